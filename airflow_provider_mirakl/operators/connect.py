"""Operators for the catalog of Mirakl Connect."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow_provider_mirakl.exceptions import (
    MiraklConfigurationError,
    MiraklInputError,
    MiraklItemsFailedError,
)
from airflow_provider_mirakl.files.paths import storage_path
from airflow_provider_mirakl.hooks.conn_ids import CONNECT_DEFAULT
from airflow_provider_mirakl.operators.bases.paced import PacedOperator
from airflow_provider_mirakl.runtime.arguments import (
    Choice,
    ColumnSettings,
    Deliberate,
    Flag,
    Location,
    Maybe,
    Number,
    Seconds,
    Submitted,
    Table,
    Text,
    Whole,
)
from airflow_provider_mirakl.runtime.choices import OnInvalid, OnLostState, SourceFormat, UnknownFields
from airflow_provider_mirakl.runtime.connections import OnConnect
from airflow_provider_mirakl.runtime.limits import LimitsFailures

if TYPE_CHECKING:
    from typing import Unpack

    from airflow_provider_mirakl.catalog.columns import Columns
    from airflow_provider_mirakl.catalog.plan import Plan
    from airflow_provider_mirakl.catalog.sync import SyncPlan
    from airflow_provider_mirakl.catalog.work import ListWork, VerifyWork
    from airflow_provider_mirakl.files.storage import StoragePath
    from airflow_provider_mirakl.runtime.arguments import (
        FlagArg,
        MappingArg,
        NumberArg,
        PathArg,
        RowsArg,
        TextArg,
        WholeArg,
    )
    from airflow_provider_mirakl.runtime.signatures import (
        ConnectArguments,
        PacedArguments,
        Reading,
        SendArguments,
    )
    from airflow_provider_mirakl.runtime.task_run import TaskRun
    from airflow_provider_mirakl.triggers.places import Place

GtinCheck = Literal["reject", "warn", "off"]
OnMissing = Literal["delete", "keep"]
MOST_IN_A_CALL = 1000
"""Products that Mirakl Connect accepts in one call."""


class _ConnectOperator(OnConnect, PacedOperator):
    """Base of the operators of Mirakl Connect: the connection.

    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``. Templated.
    """

    def __init__(
        self,
        *,
        mirakl_connect_conn_id: TextArg = CONNECT_DEFAULT,
        **kwargs: Unpack[PacedArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.mirakl_connect_conn_id = mirakl_connect_conn_id


class _SendProductsOperator(LimitsFailures, _ConnectOperator):
    """Plans, then sends the plan chunk by chunk."""

    source = Table()
    source_format = Maybe(Choice[SourceFormat](get_args(SourceFormat)))
    columns = Maybe(ColumnSettings())
    encoding = Text()
    items = Maybe(Text())
    transform = Maybe(Text())
    strip = Flag()
    on_invalid = Choice[OnInvalid](get_args(OnInvalid))
    batch_size = Whole(most=MOST_IN_A_CALL)
    preview = Flag()
    max_failed_items = Maybe(Whole(least=0))  # no limit is the default

    asset_name = "products"

    def __init__(
        self,
        *,
        source: RowsArg,
        source_format: SourceFormat | TextArg | None = None,
        columns: MappingArg | None = None,
        encoding: TextArg = "auto",
        items: TextArg | None = None,
        transform: TextArg | None = None,
        strip: FlagArg = True,
        on_invalid: OnInvalid | TextArg = "fail",
        max_failed_items: WholeArg | None = None,
        max_failed_ratio: NumberArg | None = None,
        batch_size: WholeArg = MOST_IN_A_CALL,
        preview: FlagArg = False,
        **kwargs: Unpack[ConnectArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.source_format = source_format
        self.columns = columns
        self.encoding = encoding
        self.items = items
        self.transform = transform
        self.strip = strip
        self.on_invalid = on_invalid
        self.max_failed_items = max_failed_items
        self.max_failed_ratio = max_failed_ratio
        self.batch_size = batch_size
        self.preview = preview
        self.may_continue = True  # only a plan of a previous try, and only once

    def reading(self) -> Reading:
        """How the source is read, as the catalog engine takes it."""
        return {
            "source_format": self.source_format,
            "columns": _columns(self.columns),
            "encoding": self.encoding,
            "items": self.items,
            "transform": self.transform,
            "strip": self.strip,
            "on_invalid": self.on_invalid,
            "batch_size": self.batch_size,
        }


class _SendPlanOperator(_SendProductsOperator):
    """Sends one plan."""

    def prepare(self, run: TaskRun) -> Place | None:
        """Plan, or find the plan of a previous try."""
        from airflow_provider_mirakl.runtime.catalog_runs import prepare_plan

        return prepare_plan(self, run)

    def conclude(self, run: TaskRun) -> dict[str, Any]:
        """The outcome of sending, or of a preview."""
        from airflow_provider_mirakl.runtime.catalog_runs import conclude_plan

        return conclude_plan(self, run)

    @abstractmethod
    def plan(self, source: Any, folder: StoragePath) -> Plan:
        """Validate the source and lay out the calls."""


class MiraklConnectUpsertProductsOperator(_SendPlanOperator):
    """Create or update products in Mirakl Connect.

    Reads and validates the whole source before the first call, then sends it in calls of up to 1,000 products, one
    a minute. Works like a PATCH: an absent field is left unchanged, ``null`` erases it.

    Mirakl answers 202 before it processes anything. So the outcome counts the products as ``unknown``: accepted but not
    verified. Read them back with :class:`MiraklConnectVerifyProductsOperator`.

    A retry continues with the first chunk that is not known to be accepted; clearing the task starts over.

    :param source: a file (a local path or object storage), a list of products, or a DataFrame of pandas, polars,
        pyarrow or DuckDB, including the result of another task. Templated.
    :param source_format: ``ndjson``, ``json``, ``csv`` or ``parquet``; default by name and content.
    :param columns: how flat columns (CSV, Parquet, flat objects) become products, such as ``{"mapping": {"SKU": "id",
        "Name": "titles[fr_FR]"}, "currency": "EUR"}``; see :class:`~airflow_provider_mirakl.catalog.columns.Columns`.
        Or the name of a ready mapping: ``shopify``, ``woocommerce``, ``magento``, ``google_merchant``, ``akeneo``; also
        as ``preset`` among your own settings. By default, columns are named after Connect's fields.
    :param encoding: encoding of a text file: ``auto`` (UTF-8, or the encoding of a byte order mark), or a name that
        Python knows, such as ``cp1252``.
    :param items: the field with the list of items, if a JSON file is an object, such as ``data``.
    :param transform: a function that changes the rows before they are mapped, as ``package.module.function``: it takes
        a list of dictionaries and returns a list of the same length, with ``None`` for a row to leave out.
    :param strip: remove white space from both ends of cells, and reject ids that contain it elsewhere; ``False`` keeps
        both as they are.
    :param gtin_check: what to do about a wrong check digit of a GTIN: ``reject`` the product, ``warn`` in the log, or
        ``off``.
    :param normalize_gtins: correct GTINs if the right one is certain (a lost leading zero, 14
        digits that begin with 0, an apostrophe), and log how many.
    :param max_failed_items: with ``on_invalid="reject"``: how many rejected rows do not fail the task; with more, it
        fails before the first call. By default any number of rows may be rejected, but not all of them.
    :param max_failed_ratio: the same as a share of the rows, 0 to 1; the more lenient of the two applies.
    :param on_invalid: ``fail`` rejects the whole source when a product is wrong, before any call; ``reject`` writes
        wrong products to a rejects file, with the reasons, and sends the others.
    :param unknown_fields: ``reject`` fields that Connect does not document, because a misspelled name would pass
        unnoticed; ``send`` sends them as they are.
    :param batch_size: products in one call, 1 to 1,000.
    :param preview: stop after the plan: validate, write rejects, log how long it would take, send nothing.
    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``. Templated.
    :return: the outcome: ``sent``, ``succeeded``, ``failed``, ``unknown``, ``errors``; ``planned``, the number
        of planned products; ``rejected``, the number of rejected rows; and ``folder`` with plan, progress and rejects.
    :raises MiraklInputError: the source is wrong; every problem is listed and no call was made.
    :raises MiraklApiError: Mirakl rejected the call.

    Source: :ref:`upsertProducts <facts-upsertproducts>`, :ref:`the product <facts-product>`.
    """

    unknown_fields = Choice[UnknownFields](get_args(UnknownFields))
    gtin_check = Choice[GtinCheck](get_args(GtinCheck))
    normalize_gtins = Flag()

    def __init__(
        self,
        *,
        source: RowsArg,
        unknown_fields: UnknownFields | TextArg = "reject",
        gtin_check: GtinCheck | TextArg = "reject",
        normalize_gtins: FlagArg = False,
        **kwargs: Unpack[SendArguments],
    ) -> None:
        super().__init__(source=source, **kwargs)
        self.unknown_fields = unknown_fields
        self.gtin_check = gtin_check
        self.normalize_gtins = normalize_gtins

    def plan(self, source: Any, folder: StoragePath) -> Plan:
        """Validate the source and lay out the calls."""
        from airflow_provider_mirakl.catalog.plan import plan_upsert

        return plan_upsert(
            source,
            folder,
            unknown_fields=self.unknown_fields,
            locales=self.hook.locales,
            gtin_check=self.gtin_check,
            normalize_gtins=self.normalize_gtins,
            **self.reading(),
        )


class MiraklConnectDeleteProductsOperator(_SendPlanOperator):
    """Delete products from Mirakl Connect.

    Sends the ids in calls of up to 1,000, one a minute. Ids that Connect does not know are not an error. As with the
    upsert, Mirakl answers 202 and processes later: the outcome counts the ids as ``unknown``. Verify with
    :class:`MiraklConnectVerifyProductsOperator`, which then expects them to be absent.

    :param source: product ids: a list of strings or of objects with an ``id``; or a file of these (a local path or
        object storage). Templated.
    :param max_deletes: reject a longer list before any call: a guard against the wrong file. Default no limit;
        a template that renders to nothing is refused.
    :param source_format: format of the file; default by name and content.
    :param columns: how flat columns map to ids, such as ``{"mapping": {"SKU": "id"}}``, or the name of a ready mapping.
    :param encoding: encoding of a text file: ``auto`` (UTF-8, or the encoding of a byte order mark), or a name that
        Python knows, such as ``cp1252``.
    :param items: the field with the list of items, if a JSON file is an object, such as ``data``.
    :param transform: a function that changes the rows before they are mapped, as ``package.module.function``: it takes
        a list of dictionaries and returns a list of the same length, with ``None`` for a row to leave out.
    :param strip: remove white space from both ends of cells, and reject ids that contain it elsewhere; ``False`` keeps
        both as they are.
    :param max_failed_items: with ``on_invalid="reject"``: how many rejected rows do not fail the task; with more, it
        fails before the first call. By default any number of rows may be rejected, but not all of them.
    :param max_failed_ratio: the same as a share of the rows, 0 to 1; the more lenient of the two applies.
    :param on_invalid: ``fail`` rejects the whole source when an id is wrong, before any call; ``reject`` writes wrong
        ones to a rejects file and deletes the others.
    :param batch_size: ids in one call, 1 to 1,000.
    :param preview: stop after the plan and send nothing.
    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``. Templated.
    :return: as for :class:`MiraklConnectUpsertProductsOperator`.
    :raises MiraklInputError: the source is wrong or longer than ``max_deletes``; no call was made.
    :raises MiraklApiError: Mirakl rejected the call.

    Source: :ref:`deleteProducts <facts-deleteproducts>`.
    """

    max_deletes = Deliberate(Whole(least=0))
    ui_color = "#f6dcd8"

    def __init__(
        self, *, source: RowsArg, max_deletes: WholeArg | None = None, **kwargs: Unpack[SendArguments]
    ) -> None:
        super().__init__(source=source, **kwargs)
        self.max_deletes = max_deletes

    def plan(self, source: Any, folder: StoragePath) -> Plan:
        """Validate the source and lay out the calls."""
        from airflow_provider_mirakl.catalog.plan import plan_delete

        plan = plan_delete(
            source,
            folder,
            **self.reading(),
        )
        if self.max_deletes is not None and plan.products > self.max_deletes:
            raise MiraklInputError(
                f"source contains {plan.products:,} products to delete, but max_deletes allows {self.max_deletes:,}; "
                "nothing was deleted. Raise max_deletes if that is intended"
            )
        return plan


class MiraklConnectSyncCatalogOperator(_SendProductsOperator):
    """Make the catalog of Mirakl Connect match a source, sending only what changed.

    The source is the whole catalog. It is compared with the state, which records what Mirakl accepted before: new and
    changed products are upserted, products missing from the source are deleted. The state moves forward chunk by chunk
    and only for what was accepted; what is uncertain, because a reply was lost or a verification failed, is sent or
    deleted again. Run one sync of a state at a time (``max_active_runs=1``).

    A retry continues with the first chunk that is not known to be accepted; clearing the task plans again.

    :param source: the whole catalog: a file (a local path or object storage), a list of products, or a DataFrame of
        pandas, polars, pyarrow or DuckDB, including the result of another task. Templated.
    :param state: folder of the state: a local path or object storage, the same for every run of this source.
        Default ``state/<connection>/<dag>/<task>`` below the work folder; a mapped task must set it. Templated.
    :param on_lost_state: what to do if the state of an earlier run of this task is missing: ``fail`` before any call,
        or ``full`` to send every product, after which products that left the source meanwhile are not deleted. The
        very first run has no state to lose. Templated.
    :param full: send every product, changed or not. Templated.
    :param on_missing: ``delete`` products that are in the state but not in the source, or ``keep`` them.
    :param max_delete_ratio: largest share (0 to 1) of the products in the state that may be deleted. Beyond
        it the task fails before any call: an empty feed must not empty a catalog.
    :param source_format: ``ndjson``, ``json``, ``csv`` or ``parquet``; default by name and content.
    :param columns: how flat columns (CSV, Parquet, flat objects) become products, such as ``{"mapping": {"SKU": "id",
        "Name": "titles[fr_FR]"}, "currency": "EUR"}``; see :class:`~airflow_provider_mirakl.catalog.columns.Columns`.
        Or the name of a ready mapping: ``shopify``, ``woocommerce``, ``magento``, ``google_merchant``, ``akeneo``; also
        as ``preset`` among your own settings. By default, columns are named after Connect's fields.
    :param encoding: encoding of a text file: ``auto`` (UTF-8, or the encoding of a byte order mark), or a name that
        Python knows, such as ``cp1252``.
    :param items: the field with the list of items, if a JSON file is an object, such as ``data``.
    :param transform: a function that changes the rows before they are mapped, as ``package.module.function``: it takes
        a list of dictionaries and returns a list of the same length, with ``None`` for a row to leave out.
    :param strip: remove white space from both ends of cells, and reject ids that contain it elsewhere; ``False`` keeps
        both as they are.
    :param gtin_check: what to do about a wrong check digit of a GTIN: ``reject`` the product, ``warn`` in the log, or
        ``off``.
    :param normalize_gtins: correct GTINs if the right one is certain (a lost leading zero, 14
        digits that begin with 0, an apostrophe), and log how many.
    :param max_failed_items: with ``on_invalid="reject"``: how many rejected rows do not fail the task; with more, it
        fails before the first call. By default any number of rows may be rejected, but not all of them.
    :param max_failed_ratio: the same as a share of the rows, 0 to 1; the more lenient of the two applies.
    :param on_invalid: ``fail`` rejects the whole source when a product is wrong, before any call; ``reject`` writes
        wrong products to a rejects file and continues with the others. A rejected product is never deleted.
    :param unknown_fields: ``reject`` fields that Connect does not document, or ``send`` them as they are.
    :param batch_size: products in one call, 1 to 1,000.
    :param preview: stop after the plan and send nothing.
    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``. Templated.
    :return: the outcome (``sent``, ``succeeded``, ``failed``, ``unknown``, ``errors``), with ``upserted``,
        ``deleted``, ``unchanged``, ``kept``, ``rejected``, and ``folder`` for
        :class:`MiraklConnectVerifyProductsOperator`.
    :raises MiraklInputError: the source is wrong, or too much would be deleted; no call was made.
    :raises MiraklApiError: Mirakl rejected the call.

    Source: :ref:`upsertProducts <facts-upsertproducts>`, :ref:`deleteProducts <facts-deleteproducts>`.
    """

    state = Maybe(Location())
    on_lost_state = Choice[OnLostState](get_args(OnLostState))
    full = Flag()
    on_missing = Choice[OnMissing](get_args(OnMissing))
    max_delete_ratio = Number(least=0, most=1)
    unknown_fields = Choice[UnknownFields](get_args(UnknownFields))
    gtin_check = Choice[GtinCheck](get_args(GtinCheck))
    normalize_gtins = Flag()

    def __init__(
        self,
        *,
        source: RowsArg,
        state: PathArg | None = None,
        on_lost_state: OnLostState | TextArg = "fail",
        full: FlagArg = False,
        on_missing: OnMissing | TextArg = "delete",
        max_delete_ratio: NumberArg = 0.1,
        unknown_fields: UnknownFields | TextArg = "reject",
        gtin_check: GtinCheck | TextArg = "reject",
        normalize_gtins: FlagArg = False,
        **kwargs: Unpack[SendArguments],
    ) -> None:
        super().__init__(source=source, **kwargs)
        self.state = state
        self.on_lost_state = on_lost_state
        self.full = full
        self.on_missing = on_missing
        self.max_delete_ratio = max_delete_ratio
        self.unknown_fields = unknown_fields
        self.gtin_check = gtin_check
        self.normalize_gtins = normalize_gtins

    def prepare(self, run: TaskRun) -> Place | None:
        """Compare source and state, or find the plan of a previous try: upserts first, then deletes."""
        from airflow_provider_mirakl.runtime.catalog_runs import prepare_sync

        return prepare_sync(self, run)

    def conclude(self, run: TaskRun) -> dict[str, Any]:
        """What was sent, and what did not need to be sent."""
        from airflow_provider_mirakl.runtime.catalog_runs import conclude_sync

        return conclude_sync(self, run)

    def plan(self, source: Any, run: TaskRun) -> SyncPlan:
        """Compare the source with the state, and lay out the calls."""
        from airflow_provider_mirakl.catalog.state import STATE
        from airflow_provider_mirakl.catalog.sync import plan_sync

        state = self.state_folder(run)
        run.check_lasting(state / STATE.file, "the state of this sync", self.on_lost_state, self.log)
        sync = plan_sync(
            source,
            run.folder,
            state,
            full=self.full,
            on_missing=self.on_missing,
            max_delete_ratio=self.max_delete_ratio,
            unknown_fields=self.unknown_fields,
            locales=self.hook.locales,
            gtin_check=self.gtin_check,
            normalize_gtins=self.normalize_gtins,
            owner=self.hook.settings.owner,
            **self.reading(),
        )
        run.note_lasting(state / STATE.file)
        return sync

    def state_folder(self, run: TaskRun) -> StoragePath:
        """The folder of the state.

        :raises MiraklConfigurationError: a mapped task must have one set.
        """
        if self.state is not None:
            return storage_path(self.state)
        if run.is_mapped:
            raise MiraklConfigurationError(
                "state must be set in a mapped task, to a folder for each source: the map index of a source can change "
                "between runs, and the wrong state would delete products",
                field="state",
            )
        return run.lasting_folder("state", self.mirakl_connect_conn_id)


class MiraklConnectExportCatalogOperator(_ConnectOperator):
    """Write the whole catalog of Mirakl Connect to a file.

    Reads up to 1,000 products a page, one page a minute, without a filter. The pages are kept in the work folder
    and the file appears when it is complete. A retry continues with the next page; clearing the task starts over.

    :param target: the NDJSON file to write: a local path or object storage. Templated.
    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``. Templated.
    :return: ``items``, how many products, ``target`` and ``folder``.
    :raises MiraklApiError: Mirakl rejected the call.

    Source: :ref:`listProducts <facts-listproducts>`.
    """

    asset_read = "products"
    target = Location()

    def __init__(self, *, target: PathArg, **kwargs: Unpack[ConnectArguments]) -> None:
        super().__init__(**kwargs)
        self.target = target

    def prepare(self, run: TaskRun) -> Place | None:
        """Continue the walk; write the file once all pages are read."""
        from airflow_provider_mirakl.triggers.places import open_list, place_of

        work = self._work(run)
        if work.end_round():
            self.log.info("%s", work.describe(0))
        if work.finished:
            return None
        return place_of(open_list, folder=str(run.folder), generation=run.generation, target=self.target)

    def conclude(self, run: TaskRun) -> dict[str, Any]:
        """The number of products in the file."""
        return {"items": self._work(run).products, "target": self.target, "folder": str(run.folder)}

    def _work(self, run: TaskRun) -> ListWork:
        from airflow_provider_mirakl.runtime.catalog_runs import list_work

        return list_work(run, self.target)


class MiraklConnectVerifyProductsOperator(LimitsFailures, _ConnectOperator):
    """Read the catalog back and compare it with what was submitted.

    This is the only way to learn the result: Mirakl Connect answers a bare 202, offers nothing to poll, and
    processes later, after a time it does not publish. So the catalog is read in rounds, page by page, one page a
    minute, and a product counts as failed only when the last round still shows it missing or different.

    A retry continues with the next page; clearing the task starts over.

    :param submitted: what was sent: the result of :class:`MiraklConnectUpsertProductsOperator`,
        :class:`MiraklConnectDeleteProductsOperator` or :class:`MiraklConnectSyncCatalogOperator`, or its ``folder``.
        Templated.
    :param sample: check only this many products, chosen by a hash of their ids; default all. Reading ends as soon
        as the last of them is found.
    :param rounds: the largest number of times the catalog is read.
    :param round_interval: seconds between two rounds, stretched by the connection's ``interval_factor``.
    :param resend_failed: after a sync: let the next sync of its state send the failed products again, changed or not.
        Set it to ``False`` if Mirakl shows a field differently from how it was sent; otherwise those products are
        sent by every sync.
    :param max_failed_items: how many products may fail without failing the task; ``None`` allows any number.
    :param max_failed_ratio: the share of products, 0 to 1, that may fail without failing the task.
    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``. Templated.
    :return: the outcome: ``sent``, ``succeeded``, ``failed``, ``unknown``, ``errors``, ``folder`` and ``rows``, the
        file with a line for each product.
    :raises MiraklItemsFailedError: more products failed than allowed.

    Source: :ref:`listProducts <facts-listproducts>`.
    """

    asset_read = "products"
    submitted = Submitted()
    sample = Maybe(Whole())
    rounds = Whole()
    round_interval = Seconds(least=0)
    resend_failed = Flag()

    def __init__(
        self,
        *,
        submitted: MappingArg | PathArg,
        sample: WholeArg | None = None,
        rounds: WholeArg = 3,
        round_interval: NumberArg = 300.0,
        resend_failed: FlagArg = True,
        max_failed_items: WholeArg | None = 0,
        max_failed_ratio: NumberArg | None = None,
        **kwargs: Unpack[ConnectArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.submitted = submitted
        self.sample = sample
        self.rounds = rounds
        self.round_interval = round_interval
        self.resend_failed = resend_failed
        self.max_failed_items = max_failed_items
        self.max_failed_ratio = max_failed_ratio

    def prepare(self, run: TaskRun) -> Place | None:
        """Evaluate a finished round, and continue; ``None`` after the last round."""
        from airflow_provider_mirakl.triggers.places import open_verify, place_of

        work = self._work(run)
        if work.end_round():
            self.log.info("%s", work.describe(0))
        if work.finished:
            return None
        return place_of(
            open_verify,
            folder=str(run.folder),
            generation=run.generation,
            submitted=str(self._submitted_folder),
            sample=self.sample,
            rounds=self.rounds,
            pause=self._pause,
            reader=run.reader,
        )

    def conclude(self, run: TaskRun) -> dict[str, Any]:
        """Apply the limits on failed items to the outcome."""
        from airflow_provider_mirakl.catalog.sync import doubt
        from airflow_provider_mirakl.outcome import Outcome

        work = self._work(run)
        outcome = work.outcome or Outcome()
        result = outcome.summary() | {"folder": str(run.folder)}
        if self.resend_failed and work.outcome is not None:
            state = doubt(self._submitted_folder, work.failed_ids(), storage_path, reader=run.reader)
            if state is not None and outcome.failed:
                self.log.warning(
                    "The next sync of %s sends the %d failed products again.", state, outcome.failed
                )
        try:
            self.check_items(run, result)
        except MiraklItemsFailedError:
            work.restart()  # a retry reads again instead of repeating the result
            raise
        return result

    @property
    def _submitted_folder(self) -> StoragePath:
        return storage_path(self.submitted)

    def _work(self, run: TaskRun) -> VerifyWork:
        from airflow_provider_mirakl.runtime.catalog_runs import verify_work

        return verify_work(run, self._submitted_folder, self.sample, self.rounds, self._pause)

    @property
    def _pause(self) -> float:
        return self.round_interval * self.hook.settings.interval_factor


def _columns(settings: Mapping[str, Any] | None) -> Columns | None:
    """A column mapping in the form that the catalog engine takes.

    :raises MiraklConfigurationError: a setting does not exist or is invalid; every one is listed.
    """
    from airflow_provider_mirakl.catalog.columns import Columns

    return None if settings is None else Columns.from_settings(settings)
