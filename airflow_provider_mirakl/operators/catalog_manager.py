"""Operators for the Catalog Manager.

Source: :ref:`CM21 <facts-cm21>`, :ref:`CM52 <facts-cm52>`, :ref:`CM11 <facts-cm11>`, :ref:`CM61 <facts-cm61>`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow_provider_mirakl.exceptions import MiraklConfigurationError
from airflow_provider_mirakl.files.values import read_structure
from airflow_provider_mirakl.operators.bases.exports import ChangesExportOperator, DirectExportOperator
from airflow_provider_mirakl.operators.bases.rows import RowsJobOperator
from airflow_provider_mirakl.runtime.arguments import (
    Choice,
    Codes,
    Flag,
    Mappings,
    Maybe,
    Moment,
    Selection,
    Text,
    in_order,
)

if TYPE_CHECKING:
    from typing import Unpack

    from airflow_provider_mirakl.api.call import Call
    from airflow_provider_mirakl.api.caller import Caller
    from airflow_provider_mirakl.exceptions import Problem
    from airflow_provider_mirakl.runtime.arguments import (
        CodesArg,
        FlagArg,
        MappingArg,
        MomentArg,
        PathArg,
        RowsArg,
        TextArg,
        WholeArg,
    )
    from airflow_provider_mirakl.runtime.results import Ended
    from airflow_provider_mirakl.runtime.signatures import (
        ChangesExportArguments,
        DirectExportArguments,
        RowsJobArguments,
    )

SourceStatus = Literal["LIVE", "NOT_LIVE"]


class MiraklSynchronizeProductsOperator(RowsJobOperator):
    """Synchronize master products with your own catalog (CM21), wait, and evaluate each product by the report (CM23).

    For the operator and the front office. An object of the source has one of six uses, recognized by its fields, and is
    checked before a call is made:

    - confirm the integration: ``mirakl_product_id``, ``product_sku``
    - report integration errors: ``mirakl_product_id``, ``integration_errors``
    - create: ``product_sku``, ``data``
    - accept, reject, ask for changes or for a review, as a whole or by channel: ``acceptance``
    - update: ``product_sku``, ``mirakl_product_id``, ``data``
    - delete: ``mirakl_product_id``, ``operation: DELETE``

    :param source: the objects: a list; a file (NDJSON, JSON, CSV or Parquet; a local path or object storage); or a
        DataFrame. In a table, a column is named after its field, that of an attribute ``data.`` and its code, and lists
        are written as JSON. Templated.
    :param batch_size: products in one call. Mirakl publishes no maximum: uncertain.
    :return: the outcome: ``sent``, ``succeeded``, ``failed``, ``unknown``, ``errors``; ``job_ids`` (tracking ids)
        and ``states``; ``reports``, the archived reports by id; ``rows``, the file with a line for each product;
        ``rejects``, the failed objects as input for the next run, and ``rejected``, how many of them were not sent
        because they are invalid; and ``folder``.
    :raises MiraklInputError: an object fits none of the six uses; every problem is listed and nothing was sent.
    :raises MiraklItemsFailedError: more products failed than allowed.
    :raises MiraklJobFailedError: a synchronization ended without doing its work.

    Further parameters: :class:`~airflow_provider_mirakl.operators.bases.rows.RowsJobOperator` and
    :class:`~airflow_provider_mirakl.operators.bases.jobs.MiraklJobOperator`.
    """

    job = "product_synchronization"
    asset_name = "products"
    roles = ("operator", "front")

    def __init__(
        self, *, source: RowsArg, batch_size: WholeArg = 500, **kwargs: Unpack[RowsJobArguments]
    ) -> None:
        super().__init__(source=source, batch_size=batch_size, **kwargs)

    def check(self, item: Any) -> list[Problem]:
        """Every reason why the object fits none of the six uses."""
        from airflow_provider_mirakl.repair.synchronization import check_product

        return check_product(item)

    def identity(self, item: Mapping[str, Any]) -> tuple[str, str] | None:
        """Mirakl's id of the product, else the operator's."""
        for field in ("mirakl_product_id", "product_sku"):
            if item.get(field):
                return field, str(item[field])
        return None

    def build(self, heading: Sequence[str]) -> Any:
        """What makes objects of a table's rows."""
        from airflow_provider_mirakl.repair.synchronization import compile_products

        return compile_products(heading, strip=self.strip)

    def failed(self, jobs: Sequence[Ended]) -> Iterator[bytes]:
        """The failed objects, as CM23 echoes them."""
        from airflow_provider_mirakl.jobs.reports import rejected_items

        for job in jobs:
            for report, path in job.reports:
                if report.lists == "items":
                    for item in rejected_items(path):
                        yield json.dumps(item, ensure_ascii=False).encode("utf-8", "backslashreplace")


class MiraklExportProductsOperator(ChangesExportOperator):
    """Export master products (CM52 to CM54) into one file, with an asynchronous export.

    For the operator and the front office.

    Without filters Mirakl exports only products that are accepted and valid.

    :param target: the file to write: a local path or object storage. Templated.
    :param target_format: ``ndjson``, ``csv`` or ``parquet``; default by the target's ending. Parquet needs pyarrow.
    :param updated_since: only products that changed since this time. A date-time or its ISO 8601 text, such as
        ``{{ data_interval_start }}``. Templated.
    :param changes_only: only products that changed since the last run that wrote its target; the first run exports all.
        Templated.
    :param overlap: with ``changes_only``: seconds by which a window begins before the last one ended; default 300.
        Templated.
    :param watermark: with ``changes_only``: the file that keeps where the last window ended; default one of the task in
        the work folder. Templated.
    :param updated_to: only products that changed before this time. Cannot be combined with ``changes_only``. Templated.
    :param filters: lists by Mirakl's names (``acceptance_status``, ``validation_status``, ``synchronization_status``,
        ``product_id``, ``product_sku``, ``variant_group_code``, ``catalog``, ``category``, ``rejection_reason``), each
        of 100 values at most. Templated.
    :param channel: code of the channel whose statuses are exported. Templated.
    :param restrict_attributes: with a channel: only its attributes; default Mirakl's own, true. Templated.
    :param include_data_provider_origins: also where each value comes from, in JSON and Parquet; default Mirakl's own,
        false. Templated.
    :param items_per_chunk: products in one of Mirakl's files.
    :return: ``target``, ``items`` (``None`` for CSV), ``files``, ``job_ids`` and ``folder``; without
        ``wait_for_completion`` only ``job_ids``, ``target`` and ``folder``.

    Further parameters: :class:`~airflow_provider_mirakl.operators.bases.jobs.MiraklJobOperator`.
    """

    asset_read = "products"
    job = "product_export"
    roles = ("operator", "front")
    narrowing = ("filters", "channel")

    updated_to = Maybe(Moment())
    filters = Maybe(Mappings())
    channel = Maybe(Text())
    restrict_attributes = Maybe(Flag())
    include_data_provider_origins = Maybe(Flag())

    def __init__(
        self,
        *,
        target: PathArg,
        updated_to: MomentArg | None = None,
        filters: MappingArg | None = None,
        channel: TextArg | None = None,
        restrict_attributes: FlagArg | None = None,
        include_data_provider_origins: FlagArg | None = None,
        **kwargs: Unpack[ChangesExportArguments],
    ) -> None:
        super().__init__(target=target, **kwargs)
        self.updated_to = updated_to
        self.filters = filters
        self.channel = channel
        self.restrict_attributes = restrict_attributes
        self.include_data_provider_origins = include_data_provider_origins

    def begin(self, caller: Caller) -> Call[str]:
        """CM52."""
        from airflow_provider_mirakl.api.catalog_manager import start_export

        return start_export(
            updated_since=self.since_until(self.updated_to),
            updated_to=self.updated_to,
            filters=self._lists(),
            channel=self.channel,
            restrict_attributes=self.restrict_attributes,
            include_data_provider_origins=self.include_data_provider_origins,
            export_type=self.export_type,
            items_per_chunk=self.items_per_chunk,
        )

    def _lists(self) -> dict[str, list[str]]:
        lists = {name: read_structure(given) for name, given in (self.filters or {}).items()}
        for name, given in lists.items():
            if isinstance(given, str) or not isinstance(given, Collection):
                raise MiraklConfigurationError(
                    f"filters must contain lists, but {name} is {given!r:.200}", field="filters"
                )
        # With native rendering, an id made of digits becomes a number.
        return {name: [str(value) for value in in_order(given)] for name, given in lists.items()}


class MiraklExportProductStatusOperator(DirectExportOperator):
    """Export which products of a shop are live, and why the others are not (CM11), since the last run.

    Mirakl allows a delta every 5 minutes and everything every 4 hours, which the first run of a watermark is.

    A call that comes too early waits until it is permitted.

    :param status: only ``LIVE`` or only ``NOT_LIVE``. Templated.
    :param provider_unique_identifiers: only the products with these identifiers of the shop, 100 at most. Templated.
    :param unique_identifiers: only the products with these identifiers, such as ``EAN|4006381333931``, 100 at most.
        Templated.
    :param locale: language of labels. Templated.
    :return: ``target``, ``items``, ``updated_since``, ``updated_to`` and ``folder``.

    Further parameters: :class:`~airflow_provider_mirakl.operators.bases.exports.DirectExportOperator`.
    The operator and the front office must set ``shop_id``.
    """

    asset_read = "products"
    operation = "CM11"
    narrowing = ("status", "provider_unique_identifiers", "unique_identifiers")
    status = Maybe(Choice[SourceStatus](get_args(SourceStatus)))
    provider_unique_identifiers = Selection(Codes())
    unique_identifiers = Selection(Codes())
    locale = Maybe(Text())

    def __init__(
        self,
        *,
        target: PathArg,
        status: SourceStatus | TextArg | None = None,
        provider_unique_identifiers: CodesArg = (),
        unique_identifiers: CodesArg = (),
        locale: TextArg | None = None,
        **kwargs: Unpack[DirectExportArguments],
    ) -> None:
        super().__init__(target=target, **kwargs)
        self.status = status
        self.provider_unique_identifiers = provider_unique_identifiers
        self.unique_identifiers = unique_identifiers
        self.locale = locale

    def ask(self, caller: Caller, since: datetime | None, until: datetime) -> Call[bytes]:
        """CM11."""
        from airflow_provider_mirakl.api.catalog_manager import export_source_status

        return export_source_status(
            caller=caller,
            updated_since=since,
            updated_to=until,
            status=self.status,
            provider_unique_identifiers=self.provider_unique_identifiers,
            unique_identifiers=self.unique_identifiers,
            locale=self.locale,
        )


class MiraklExportDeletedProductsOperator(DirectExportOperator):
    """Export which master products were deleted (CM61), since the last run. For the operator and the front office.

    Mirakl remembers a deletion for a year.

    :param product_ids: only these of Mirakl's ids. Templated.
    :return: ``target``, ``items``, ``updated_since``, ``updated_to`` and ``folder``.

    Further parameters: :class:`~airflow_provider_mirakl.operators.bases.exports.DirectExportOperator`.
    """

    asset_read = "products"
    operation = "CM61"
    roles = ("operator", "front")
    narrowing = ("product_ids",)
    product_ids = Selection(Codes())

    def __init__(
        self, *, target: PathArg, product_ids: CodesArg = (), **kwargs: Unpack[DirectExportArguments]
    ) -> None:
        super().__init__(target=target, **kwargs)
        self.product_ids = product_ids

    def ask(self, caller: Caller, since: datetime | None, until: datetime) -> Call[bytes]:
        """CM61."""
        from airflow_provider_mirakl.api.catalog_manager import export_deleted_products

        return export_deleted_products(deleted_from=since, deleted_to=until, product_ids=self.product_ids)
