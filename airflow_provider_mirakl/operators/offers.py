"""Operators for offers, stock and prices.

Source: :ref:`OF01 <facts-of01>`, :ref:`STO01 <facts-sto01>`, :ref:`PRI01 <facts-pri01>`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow_provider_mirakl.exceptions import MiraklConfigurationError, MiraklInputError
from airflow_provider_mirakl.files.values import is_csv
from airflow_provider_mirakl.operators.bases.exports import ChangesExportOperator
from airflow_provider_mirakl.operators.bases.files import FileJobOperator
from airflow_provider_mirakl.operators.bases.imports import FindImportsOperator
from airflow_provider_mirakl.operators.bases.rows import RowsJobOperator
from airflow_provider_mirakl.runtime.arguments import (
    Choice,
    Codes,
    Flag,
    Mappings,
    Maybe,
    Moment,
    Number,
    Selection,
)

if TYPE_CHECKING:
    from typing import Unpack

    from airflow_provider_mirakl.api.call import Call, Json, Page
    from airflow_provider_mirakl.api.caller import Caller
    from airflow_provider_mirakl.checks.lint import Check
    from airflow_provider_mirakl.client.http import Client
    from airflow_provider_mirakl.exceptions import Problem
    from airflow_provider_mirakl.runtime.arguments import (
        CodesArg,
        FlagArg,
        MappingArg,
        MomentArg,
        NumberArg,
        PathArg,
        RowsArg,
        TextArg,
        WholeArg,
    )
    from airflow_provider_mirakl.runtime.results import Ended
    from airflow_provider_mirakl.runtime.signatures import (
        ChangesExportArguments,
        CheckedFileArguments,
        FindImportsArguments,
        RowsJobArguments,
    )

RequiredFields = Literal["all", "few"]
ImportMode = Literal["NORMAL", "REPLACE", "PARTIAL_UPDATE"]
_SELLERS_AND_OPERATORS = ("shop", "operator")


class MiraklImportOffersOperator(FileJobOperator):
    """Import a file of offers (OF01), wait, archive the error report (OF03) and evaluate the lines.

    Mirakl accepts one a minute for each seller, or one every 15 minutes with products. A task that comes too early
    waits.

    :param source: the file, CSV, XML or XLSX: a local path or object storage. Templated.
    :param import_mode: ``NORMAL``; or ``REPLACE``, which deletes every offer that is not in the file.
    :param max_delete_ratio: with ``REPLACE``: largest share (0 to 1) of the shop's offers that the file may leave out.
        Beyond it nothing is sent. The shop's offers are read before the submission (OF21, one call for 100 offers),
        which needs the key of a seller and a CSV file. 1 sends the file unchecked. Templated.
    :param with_products: the file also contains products. The id of their import goes to XCom as
        ``product_import_id``, unless the reply to the submission was lost: Mirakl's list (OF04) does not show it.
    :param operator_format: the products are already in the operator's format.
    :param id_column: the column of the error report that names an item; default the first of the usual ones.
    :return: as for :class:`~airflow_provider_mirakl.operators.products.MiraklImportProductsOperator`.
    :raises MiraklUnclearSubmissionError: it is not known whether Mirakl accepted the file.

    Further parameters: :class:`~airflow_provider_mirakl.operators.bases.jobs.MiraklJobOperator`.
    """

    job = "offer_import"
    asset_name = "offers"
    roles = _SELLERS_AND_OPERATORS

    import_mode = Choice[ImportMode](get_args(ImportMode))
    max_delete_ratio = Number(least=0, most=1)
    with_products = Flag()
    operator_format = Flag()

    def __init__(
        self,
        *,
        source: PathArg,
        import_mode: ImportMode | TextArg = "NORMAL",
        max_delete_ratio: NumberArg = 0.1,
        with_products: FlagArg = False,
        operator_format: FlagArg = False,
        **kwargs: Unpack[CheckedFileArguments],
    ) -> None:
        super().__init__(source=source, **kwargs)
        self.import_mode = import_mode
        self.max_delete_ratio = max_delete_ratio
        self.with_products = with_products
        self.operator_format = operator_format

    @property
    def listed_mode(self) -> str:
        """``NORMAL`` or ``REPLACE``."""
        return self.import_mode

    @property
    def options(self) -> dict[str, Any]:
        """Further fields of the submission."""
        return {
            "import_mode": self.import_mode,
            "with_products": self.with_products,
            "operator_format": self.operator_format,
        }

    def checker(self, caller: Caller) -> Check:
        """The check by OF01's columns."""
        from airflow_provider_mirakl.checks.imports import OF01, ImportCheck

        return ImportCheck(OF01)

    def guard(self, client: Client, caller: Caller) -> None:
        """Reject a file that would delete more offers by leaving them out than ``max_delete_ratio`` allows."""
        if self.import_mode != "REPLACE" or self.max_delete_ratio >= 1:
            return
        from airflow_provider_mirakl.api.offers import list_offers
        from airflow_provider_mirakl.checks.replacing import absent, ids_of, named_in
        from airflow_provider_mirakl.files.csv_table import open_table

        unchecked = "set max_delete_ratio=1 to send the file unchecked; nothing was sent"
        if caller.role != "shop":
            raise MiraklConfigurationError(
                "max_delete_ratio: Mirakl lists a shop's offers to the key of the seller only (OF21), so it is not "
                "known how many offers import_mode='REPLACE' would delete; use a connection of the shop, or "
                f"{unchecked}",
                field="max_delete_ratio",
            )
        if not is_csv(self.copy.name):
            raise MiraklConfigurationError(
                f"max_delete_ratio: only a CSV file can be compared with the shop's offers; {unchecked}",
                field="max_delete_ratio",
            )
        with open_table(self.copy) as table:
            named = named_in(table)
        found = absent(ids_of(page.items for page in client.pages(list_offers(caller=caller))), named)
        found.refuse(self.source, self.max_delete_ratio)
        self.log.info(
            "The file leaves out %d of the shop's %d offers; they will be deleted.", found.count, found.known
        )

    def upload(self, caller: Caller, file_name: str) -> Call[Any]:
        """OF01."""
        from airflow_provider_mirakl.api.offers import import_offers

        return import_offers(self.content, file_name, caller=caller, **self.options)


class MiraklUpsertOffersOperator(RowsJobOperator):
    """Create, update or delete offers as JSON (OF24), wait, archive the error report (OF03) and evaluate the offers.

    Every offer is replaced as a whole: a field that is not sent goes back to its default. Mirakl accepts one call
    a minute, so import large numbers of offers as a file.

    Types, names and required fields of every offer are checked against Mirakl's schema before a call is made, and every
    problem is listed. Then nothing is sent; or, with ``on_invalid="reject"``, the valid offers are.

    :param source: the offers by Mirakl's field names: a list; a file (NDJSON, JSON, CSV or Parquet; a local path or
        object storage); or a DataFrame. In a table, a column is named after its field, one inside an object with a
        point (``discount.price``), and lists are written as JSON. Templated.
    :param batch_size: offers in one call. Mirakl publishes no maximum: uncertain. With ``deferrable=True`` the
        triggerer sends several batches, one per minute.
    :param required_fields: the fields an offer must have before a call is made. ``all``: the six that Mirakl's
        schema requires (``shop_sku``, ``product_id``, ``product_id_type``, ``price``, ``state_code``,
        ``update_delete``). ``few``: only ``shop_sku`` and ``update_delete`` of a delete, and no product for an
        update, as the document's descriptions say. Which of the two an instance checks is uncertain.
    :return: as for :class:`~airflow_provider_mirakl.operators.products.MiraklImportProductsOperator`.

    Further parameters: :class:`~airflow_provider_mirakl.operators.bases.rows.RowsJobOperator` and
    :class:`~airflow_provider_mirakl.operators.bases.jobs.MiraklJobOperator`.
    """

    job = "offer_import"
    asset_name = "offers"
    roles = _SELLERS_AND_OPERATORS
    _key = "shop_sku"

    required_fields = Choice[RequiredFields](get_args(RequiredFields))

    def __init__(
        self,
        *,
        source: RowsArg,
        batch_size: WholeArg = 1000,
        required_fields: RequiredFields | TextArg = "all",
        **kwargs: Unpack[RowsJobArguments],
    ) -> None:
        super().__init__(source=source, batch_size=batch_size, **kwargs)
        self.required_fields = required_fields

    @property
    def listed_mode(self) -> str:
        """Always ``NORMAL``."""
        return "NORMAL"

    def check(self, item: Any) -> list[Problem]:
        """Every reason why Mirakl would reject the offer."""
        from airflow_provider_mirakl.checks.offers import check_offer

        return check_offer(item, few=self.required_fields == "few")

    def identity(self, item: Mapping[str, Any]) -> tuple[str, str]:
        """Its SKU."""
        return self._key, str(item[self._key])

    def build(self, heading: Sequence[str]) -> Any:
        """What makes offers of a table's rows."""
        from airflow_provider_mirakl.checks.offers import compile_offers

        return compile_offers(heading, strip=self.strip)

    def failed(self, jobs: Sequence[Ended]) -> Iterator[bytes]:
        """The offers named in the error reports, as they were submitted."""
        from airflow_provider_mirakl.jobs.reports import read_failures

        reports = [path for job in jobs for report, path in job.reports if is_csv(path.name)]
        failed = {item.item_id for path in reports for item in read_failures(path)}
        if failed and not self.has_copy():
            raise MiraklInputError(f"{self.copy} is missing: it is on the disk of another worker.")
        if failed:
            assert self.book is not None  # noqa: S101 - its jobs have ended
            self.check_copy(self.book)
        for row in self.rows() if failed else ():
            if str(json.loads(row).get(self._key)) in failed:
                yield row


class MiraklImportStockOperator(FileJobOperator):
    """Set stock from a CSV file (STO01), wait, archive the error report (STO03) and evaluate the lines.

    :param source: the file with the columns ``offer-sku``, ``quantity``, ``warehouse-code``, ``update-delete``: a
        local path or object storage. Templated.
    :param id_column: the column of the error report that names an item; default the first of the usual ones.
    :return: as for :class:`~airflow_provider_mirakl.operators.products.MiraklImportProductsOperator`.

    Mirakl lists no stock imports. So when it is not known whether it accepted a file, the task fails and says
    so instead of sending it again; set ``on_unclear`` to ``resend`` if the file contains absolute quantities.

    Further parameters: :class:`~airflow_provider_mirakl.operators.bases.jobs.MiraklJobOperator`.
    """

    job = "stock_import"
    asset_name = "stock"
    roles = _SELLERS_AND_OPERATORS

    def checker(self, caller: Caller) -> Check:
        """The check by STO01's columns."""
        from airflow_provider_mirakl.checks.imports import STO01, ImportCheck

        return ImportCheck(STO01)

    def upload(self, caller: Caller, file_name: str) -> Call[str]:
        """STO01."""
        from airflow_provider_mirakl.api.offers import import_stock

        return import_stock(self.content, file_name, caller=caller)


class MiraklImportPricesOperator(FileJobOperator):
    """Set prices from a CSV file (PRI01), wait, archive the error report (PRI03) and evaluate the lines.

    The prices of an offer that the file names are deleted and replaced: the file must contain all of them. Offers that
    it does not name keep their prices.

    :param source: the file: a local path or object storage. Templated.
    :param id_column: the column of the error report that names an item; default the first of the usual ones.
    :return: as for :class:`~airflow_provider_mirakl.operators.products.MiraklImportProductsOperator`.

    Further parameters: :class:`~airflow_provider_mirakl.operators.bases.jobs.MiraklJobOperator`.
    """

    job = "price_import"
    asset_name = "prices"
    roles = _SELLERS_AND_OPERATORS

    def checker(self, caller: Caller) -> Check:
        """The check by PRI01's columns."""
        from airflow_provider_mirakl.checks.imports import PRI01, ImportCheck

        return ImportCheck(PRI01)

    def upload(self, caller: Caller, file_name: str) -> Call[str]:
        """PRI01."""
        from airflow_provider_mirakl.api.offers import import_prices

        return import_prices(self.content, file_name, caller=caller)


class MiraklExportOffersOperator(ChangesExportOperator):
    """Export offers (OF52 to OF54) into one file, with an asynchronous export. For every role.

    Mirakl allows an export of everything once a day, and one of changes a minute.

    :param target: the file to write: a local path or object storage. Templated.
    :param target_format: ``csv``, ``ndjson`` or ``parquet``; default by the target's ending.
    :param updated_since: only offers that changed since this time; default all. A date-time or its ISO 8601 text,
        such as ``{{ data_interval_start }}``. Templated.
    :param changes_only: only offers that changed since the last run that wrote its target; the first run exports all.
        Templated.
    :param overlap: with ``changes_only``: seconds by which a window begins before the last one ended; default 300.
        Templated.
    :param watermark: with ``changes_only``: the file that keeps where the last window ended; default one of the task in
        the work folder. Templated.
    :param channel_codes: only these channels.
    :param options: further fields of the request by Mirakl's names: ``include_fields``, ``rename_fields``,
        ``include_inactive_offers``, ``shipping_zones``, ``ongoing_discount_campaign_identifiers``. Templated.
    :param items_per_chunk: offers in one of Mirakl's files.
    :return: ``target``, ``items`` (``None`` for CSV), ``files``, ``job_ids`` and ``folder``; without
        ``wait_for_completion`` only ``job_ids``, ``target`` and ``folder``.

    Further parameters: :class:`~airflow_provider_mirakl.operators.bases.jobs.MiraklJobOperator`.
    """

    asset_read = "offers"
    job = "offer_export"
    narrowing = ("channel_codes", "options")

    channel_codes = Selection(Codes())
    options = Maybe(Mappings())

    def __init__(
        self,
        *,
        target: PathArg,
        channel_codes: CodesArg = (),
        options: MappingArg | None = None,
        **kwargs: Unpack[ChangesExportArguments],
    ) -> None:
        super().__init__(target=target, **kwargs)
        self.channel_codes = channel_codes
        self.options = options

    def begin(self, caller: Caller) -> Call[str]:
        """OF52."""
        from airflow_provider_mirakl.api.offers import start_offer_export

        return start_offer_export(
            caller=caller,
            updated_since=self.since,
            export_type=self.export_type,
            items_per_chunk=self.items_per_chunk,
            channel_codes=self.channel_codes,
            options=self.options,
        )


class MiraklFindOfferImportsOperator(FindImportsOperator):
    """Find imports of offers that another system submitted (OF04), such as by SFTP or in the back office.

    Pass their ids to :class:`~airflow_provider_mirakl.sensors.jobs.MiraklOfferImportSensor`. For the seller and the
    operator.

    :param created_since: only imports that were created since this time, such as ``{{ data_interval_start }}``.
        Templated.
    :param created_to: only imports that were created up to this time. Templated.
    :param import_mode: only imports in this mode: ``NORMAL``, ``REPLACE`` or ``PARTIAL_UPDATE``. Templated.
    :param origins: only imports that came this way: any of ``API``, ``FTP``, ``SFTP``, ``HTTP``, ``HTTPS``, ``FRONT``
        and ``PENDING_OFFERS``. Templated.

    Further parameters, result and errors:
    :class:`~airflow_provider_mirakl.operators.bases.imports.FindImportsOperator`.
    """

    code = "OF04"

    status = Maybe(Choice(("WAITING_SYNCHRONIZATION_PRODUCT", "WAITING", "RUNNING", "COMPLETE", "FAILED")))
    created_since = Maybe(Moment())
    created_to = Maybe(Moment())
    import_mode = Maybe(Choice[ImportMode](get_args(ImportMode)))
    origins = Selection(Codes())

    def __init__(
        self,
        *,
        created_since: MomentArg | None = None,
        created_to: MomentArg | None = None,
        import_mode: ImportMode | TextArg | None = None,
        origins: CodesArg = (),
        **kwargs: Unpack[FindImportsArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.created_since = created_since
        self.created_to = created_to
        self.import_mode = import_mode
        self.origins = origins

    def listing(self, caller: Caller, limit: int) -> Call[Page[dict[str, Json]]]:
        """OF04."""
        from airflow_provider_mirakl.api.offers import list_offer_imports

        return list_offer_imports(
            caller=caller,
            created_since=self.created_since,
            created_to=self.created_to,
            status=self.status,
            mode=self.import_mode,
            origins=self.origins,
            limit=limit,
        )


class MiraklFindPriceImportsOperator(FindImportsOperator):
    """Find imports of prices that another system submitted (PRI02), such as by SFTP or in the back office.

    Pass their ids to :class:`~airflow_provider_mirakl.sensors.jobs.MiraklPriceImportSensor`. For the seller and the
    operator.

    :param created_since: only imports that were created since this time, such as ``{{ data_interval_start }}``.
        Templated.
    :param created_to: only imports that were created up to this time. Templated.
    :param origins: only imports that came this way, as for :class:`MiraklFindOfferImportsOperator`. Templated.

    Further parameters, result and errors:
    :class:`~airflow_provider_mirakl.operators.bases.imports.FindImportsOperator`.
    """

    code = "PRI02"

    created_since = Maybe(Moment())
    created_to = Maybe(Moment())
    origins = Selection(Codes())

    def __init__(
        self,
        *,
        created_since: MomentArg | None = None,
        created_to: MomentArg | None = None,
        origins: CodesArg = (),
        **kwargs: Unpack[FindImportsArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.created_since = created_since
        self.created_to = created_to
        self.origins = origins

    def listing(self, caller: Caller, limit: int) -> Call[Page[dict[str, Json]]]:
        """PRI02."""
        from airflow_provider_mirakl.api.offers import list_price_imports

        return list_price_imports(
            caller=caller,
            created_since=self.created_since,
            created_to=self.created_to,
            status=self.status,
            origins=self.origins,
            limit=limit,
        )
