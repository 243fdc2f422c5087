"""Operators for the catalog of Mirakl Connect."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_mirakl.exceptions import (
    MiraklConfigurationError,
    MiraklInputError,
    MiraklItemsFailedError,
)
from airflow_provider_mirakl.hooks.mirakl_connect import MiraklConnectHook
from airflow_provider_mirakl.operators.bases.paced import PacedOperator
from airflow_provider_mirakl.runtime.task_run import TaskRun

if TYPE_CHECKING:
    from airflow_provider_mirakl.catalog.ledger import Ledger
    from airflow_provider_mirakl.catalog.mapping import Columns
    from airflow_provider_mirakl.catalog.plan import Plan
    from airflow_provider_mirakl.catalog.source import Format
    from airflow_provider_mirakl.catalog.sync import SyncPlan
    from airflow_provider_mirakl.catalog.work import ListWork, VerifyWork, Work
    from airflow_provider_mirakl.files.storage import StoragePath


class _ConnectOperator(PacedOperator):
    """What all operators of Mirakl Connect share: the connection.

    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``. Templated.
    """

    ui_color = "#d8ecf6"

    def __init__(
        self, *, mirakl_connect_conn_id: str = MiraklConnectHook.default_conn_name, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.mirakl_connect_conn_id = mirakl_connect_conn_id

    @cached_property
    def hook(self) -> MiraklConnectHook:
        """The hook of the operator's connection."""
        return MiraklConnectHook(self.mirakl_connect_conn_id)


class _SendProductsOperator(_ConnectOperator):
    """Plans, then sends the plan chunk by chunk."""

    def __init__(
        self,
        *,
        source: str | Sequence[Mapping[str, Any] | str],
        source_format: Format | None = None,
        columns: Mapping[str, Any] | None = None,
        on_invalid: Literal["fail", "reject"] = "fail",
        batch_size: int = 1000,
        preview: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.source_format = source_format
        self.columns = columns
        self.on_invalid = on_invalid
        self.batch_size = batch_size
        self.preview = preview
        self._may_continue = True  # what a former try planned; not what this one planned, nor twice

    def flat_columns(self) -> Columns | None:
        """The column mapping as the catalog engine takes it.

        :raises MiraklConfigurationError: every setting that does not exist or does not fit.
        """
        from airflow_provider_mirakl.catalog.mapping import Columns

        return None if self.columns is None else Columns.from_settings(self.columns)

    def note_continuing(self, run: TaskRun, ledger: Ledger, interval: float) -> None:
        """Say where a later try begins, and when the source changed since it was planned.

        The change is told from size and time alone, so that continuing costs the same however long the file is.
        """
        from airflow_provider_mirakl.catalog.plan import PLAN_FILE
        from airflow_provider_mirakl.files.paths import storage_path

        if not run.begins or not self._may_continue:
            return
        self._may_continue = False
        self.log.info("Continuing the plan in %s: %s", run.folder, ledger.describe(interval))
        if not isinstance(self.source, str):
            return
        try:
            now = storage_path(self.source).stat()
            planned = (ledger.plan.folder / PLAN_FILE).stat().st_mtime
            changed = now.st_size != ledger.plan.source.size or now.st_mtime > planned
        except FileNotFoundError:
            changed = True
        if changed:
            self.log.warning(
                "%s changed since it was planned. This run sends what it planned, none of the new content; "
                "clear the task to send that.",
                self.source,
            )


class _SendPlanOperator(_SendProductsOperator):
    """Sends one plan."""

    def open_work(self, run: TaskRun) -> Work | None:
        """Plan, or find the plan of a former try."""
        from airflow_provider_mirakl.catalog.ledger import Ledger, resume
        from airflow_provider_mirakl.catalog.work import SendWork

        interval = 60.0 * self.hook.settings.interval_factor
        ledger = resume(run.folder, generation=run.generation, store=run.memory)
        if ledger is None:
            plan = self._plan(as_source(self.source), run.folder)
            self.log.info("Plan: %s", plan.describe(interval))
            ledger = Ledger.open(plan, generation=run.generation, store=run.memory)
        elif ledger.chunk is not None:
            self.note_continuing(run, ledger, interval)
        return None if self.preview or ledger.chunk is None else SendWork(ledger)

    def conclude(self, run: TaskRun) -> dict[str, Any]:
        """The outcome of the sending, or of the planning alone."""
        from airflow_provider_mirakl.catalog.plan import Plan
        from airflow_provider_mirakl.outcome import Outcome

        plan = Plan.load(run.folder)
        summary = {"planned": plan.products, "rejected": plan.rejected, "folder": str(run.folder)}
        if self.preview:
            self.log.info("Preview: nothing was sent; the plan is in %s", run.folder)
            return Outcome().summary() | summary
        outcome = Outcome(sent=plan.products, unknown=plan.products)
        self.log.info("Outcome: %s (accepted, not yet proven)", outcome)
        return outcome.summary() | summary

    @abstractmethod
    def _plan(self, source: StoragePath | Sequence[Any], folder: StoragePath) -> Plan:
        """Validate the source and lay out the calls."""


class MiraklConnectUpsertProductsOperator(_SendPlanOperator):
    """Create or update products in Mirakl Connect.

    Reads and validates the whole source before the first call, then sends it in calls of up to 1,000 products, one
    a minute. Works as a PATCH: a field that is absent stays as it is, ``null`` erases it.

    Mirakl answers 202 before it processes anything. So the outcome counts the products as ``unknown``: accepted, not
    proven. Read them back with :class:`MiraklConnectVerifyProductsOperator`.

    A retry continues with the first chunk that is not known to be accepted; clearing the task begins anew.

    :param source: a file (a local path or object storage), or a list of products. Templated.
    :param source_format: ``ndjson``, ``json``, ``csv`` or ``parquet``; default by name and content.
    :param columns: how flat columns (CSV, Parquet, flat objects) become products, such as ``{"mapping": {"SKU": "id",
        "Name": "titles[fr_FR]"}, "currency": "EUR"}``; see :class:`~airflow_provider_mirakl.catalog.mapping.Columns`.
        Default: the columns name Connect's fields themselves.
    :param on_invalid: ``fail`` refuses the whole source when a product is wrong, before any call; ``reject`` writes
        wrong products to a rejects file, with the reasons, and sends the others.
    :param unknown_fields: ``refuse`` fields that Connect does not document, since a typing error would pass silently;
        ``send`` sends them as they are.
    :param batch_size: products in one call, 1 to 1,000.
    :param preview: stop after the plan: validate, write rejects, say how long it would take, send nothing.
    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``. Templated.
    :return: the outcome: ``sent``, ``succeeded``, ``failed``, ``unknown``, ``errors``; ``planned``, products of the
        plan, and ``rejected``, rows that were not; and ``folder``, where plan, progress and rejects are.
    :raises MiraklInputError: the source is wrong; every problem is listed and no call was spent.
    :raises MiraklApiError: Mirakl says no.

    Source: :ref:`upsertProducts <facts-upsertproducts>`, :ref:`the product <facts-product>`.
    """

    template_fields: Sequence[str] = ("source", "mirakl_connect_conn_id", "work_folder")

    def __init__(self, *, unknown_fields: Literal["refuse", "send"] = "refuse", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.unknown_fields = unknown_fields

    def _plan(self, source: StoragePath | Sequence[Any], folder: StoragePath) -> Plan:
        from airflow_provider_mirakl.catalog.plan import plan_upsert

        return plan_upsert(
            source,
            folder,
            source_format=self.source_format,
            on_invalid=self.on_invalid,
            columns=self.flat_columns(),
            unknown_fields=self.unknown_fields,
            locales=self.hook.locales,
            batch_size=self.batch_size,
        )


class MiraklConnectDeleteProductsOperator(_SendPlanOperator):
    """Delete products from Mirakl Connect.

    Sends the ids in calls of up to 1,000, one a minute. Ids that Connect does not know are no error. As with the
    upsert, Mirakl answers 202 and processes later: the outcome counts the ids as ``unknown``. Prove with
    :class:`MiraklConnectVerifyProductsOperator`, which then expects them to be absent.

    :param source: product ids: a list of texts or of objects with an ``id``; or a file of such (a local path or
        object storage). Templated.
    :param max_deletes: refuse a longer list, before any call: a guard against the wrong file. Default no limit.
    :param source_format: format of the file; default by name and content.
    :param on_invalid: ``fail`` refuses the whole source when an id is wrong, before any call; ``reject`` writes wrong
        ones to a rejects file and deletes the others.
    :param batch_size: ids in one call, 1 to 1,000.
    :param preview: stop after the plan and send nothing.
    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``. Templated.
    :return: as of :class:`MiraklConnectUpsertProductsOperator`.
    :raises MiraklInputError: the source is wrong or longer than ``max_deletes``; no call was spent.
    :raises MiraklApiError: Mirakl says no.

    Source: :ref:`deleteProducts <facts-deleteproducts>`.
    """

    template_fields: Sequence[str] = ("source", "mirakl_connect_conn_id", "work_folder")
    ui_color = "#f6dcd8"

    def __init__(self, *, max_deletes: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_deletes = max_deletes

    def _plan(self, source: StoragePath | Sequence[Any], folder: StoragePath) -> Plan:
        from airflow_provider_mirakl.catalog.plan import plan_delete

        plan = plan_delete(
            source,
            folder,
            source_format=self.source_format,
            on_invalid=self.on_invalid,
            batch_size=self.batch_size,
        )
        if self.max_deletes is not None and plan.products > self.max_deletes:
            raise MiraklInputError(
                f"source holds {plan.products:,} products to delete and max_deletes allows {self.max_deletes:,}; "
                "nothing was deleted. Raise max_deletes if that many are meant"
            )
        return plan


class MiraklConnectSyncCatalogOperator(_SendProductsOperator):
    """Bring the catalog of Mirakl Connect to what a source says, sending only what changed.

    The source is the whole catalog. It is compared with the state, which knows what Mirakl accepted before: new and
    changed products are upserted, products that left the source are deleted. The state moves forward chunk by chunk
    and only for what was accepted; what is in doubt, because a reply was lost or a verification failed, is sent or
    deleted again. Run one sync of a state at a time (``max_active_runs=1``).

    A retry continues with the first chunk that is not known to be accepted; clearing the task plans anew.

    :param source: the whole catalog: a file (a local path or object storage), or a list of products. Templated.
    :param state: folder of the state: a local path or object storage, the same for every run of this source.
        Default ``state/<connection>/<dag>/<task>`` below the work folder; a mapped task has to name it. Templated.
    :param full: send every product, changed or not. Templated.
    :param on_missing: ``delete`` products that the state knows and the source does not have, or ``keep`` them.
    :param max_delete_ratio: most products that may be deleted, as a share (0 to 1) of those the state knows. Beyond
        it the task fails before any call: an empty feed must not empty a catalog.
    :param source_format: ``ndjson``, ``json``, ``csv`` or ``parquet``; default by name and content.
    :param columns: how flat columns (CSV, Parquet, flat objects) become products, such as ``{"mapping": {"SKU": "id",
        "Name": "titles[fr_FR]"}, "currency": "EUR"}``; see :class:`~airflow_provider_mirakl.catalog.mapping.Columns`.
        Default: the columns name Connect's fields themselves.
    :param on_invalid: ``fail`` refuses the whole source when a product is wrong, before any call; ``reject`` writes
        wrong products to a rejects file and goes on with the others. A rejected product is never deleted.
    :param unknown_fields: ``refuse`` fields that Connect does not document, or ``send`` them as they are.
    :param batch_size: products in one call, 1 to 1,000.
    :param preview: stop after the plan and send nothing.
    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``. Templated.
    :return: the outcome (``sent``, ``succeeded``, ``failed``, ``unknown``, ``errors``), with ``upserted``,
        ``deleted``, ``unchanged``, ``kept``, ``rejected``, and ``folder`` for
        :class:`MiraklConnectVerifyProductsOperator`.
    :raises MiraklInputError: the source is wrong, or too much would be deleted; no call was spent.
    :raises MiraklApiError: Mirakl says no.

    Source: :ref:`upsertProducts <facts-upsertproducts>`, :ref:`deleteProducts <facts-deleteproducts>`.
    """

    template_fields: Sequence[str] = ("source", "state", "full", "mirakl_connect_conn_id", "work_folder")

    def __init__(
        self,
        *,
        state: str | None = None,
        full: bool | str = False,
        on_missing: Literal["delete", "keep"] = "delete",
        max_delete_ratio: float = 0.1,
        unknown_fields: Literal["refuse", "send"] = "refuse",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.state = state
        self.full = full
        self.on_missing = on_missing
        self.max_delete_ratio = max_delete_ratio
        self.unknown_fields = unknown_fields

    def open_work(self, run: TaskRun) -> Work | None:
        """Compare source and state, or find the plan of a former try: upserts first, then deletes."""
        from airflow_provider_mirakl.catalog.ledger import Ledger, resume
        from airflow_provider_mirakl.catalog.sync import SyncPlan
        from airflow_provider_mirakl.catalog.work import SendWork

        interval = 60.0 * self.hook.settings.interval_factor
        if resume(run.folder / "delete", generation=run.generation) is None:
            sync = self._plan(run)
            self._may_continue = False
            for line in sync.describe(interval).splitlines():
                self.log.info("Plan: %s", line)
        else:
            sync = SyncPlan.load(run.folder, self._state(run))
        ledgers = [Ledger.open(plan, generation=run.generation) for plan in (sync.upsert, sync.delete)]
        due = next((ledger for ledger in ledgers if ledger.chunk is not None), None)
        if due is None or self.preview:
            return None
        if any(ledger.accepted for ledger in ledgers):
            self.note_continuing(run, due, interval)
        return SendWork(due, sync)

    def conclude(self, run: TaskRun) -> dict[str, Any]:
        """What was sent, and what did not have to be."""
        from airflow_provider_mirakl.catalog.sync import SyncPlan
        from airflow_provider_mirakl.outcome import Outcome

        sync = SyncPlan.load(run.folder, self._state(run))
        upserts, deletes = sync.upsert.products, sync.delete.products
        numbers = {"unchanged": sync.unchanged, "kept": sync.kept, "rejected": sync.upsert.rejected}
        place = {"folder": str(run.folder)}
        if self.preview:
            self.log.info("Preview: nothing was sent; the plan is in %s", run.folder)
            return Outcome().summary() | {"upserted": 0, "deleted": 0} | numbers | place
        outcome = Outcome(sent=upserts + deletes, unknown=upserts + deletes)
        self.log.info(
            "Outcome: %s (accepted, not yet proven); %s upserted, %s deleted, %s unchanged",
            outcome,
            f"{upserts:,}",
            f"{deletes:,}",
            f"{sync.unchanged:,}",
        )
        return outcome.summary() | {"upserted": upserts, "deleted": deletes} | numbers | place

    def _plan(self, run: TaskRun) -> SyncPlan:
        from airflow_provider_mirakl.catalog.sync import plan_sync

        return plan_sync(
            as_source(self.source),
            run.folder,
            self._state(run),
            full=as_flag("full", self.full),
            on_missing=self.on_missing,
            max_delete_ratio=self.max_delete_ratio,
            source_format=self.source_format,
            on_invalid=self.on_invalid,
            columns=self.flat_columns(),
            unknown_fields=self.unknown_fields,
            locales=self.hook.locales,
            batch_size=self.batch_size,
        )

    def _state(self, run: TaskRun) -> StoragePath:
        from airflow_provider_mirakl.files.paths import storage_path

        if self.state:
            return storage_path(self.state)
        if run.is_mapped:
            raise MiraklConfigurationError(
                "state: name a folder for each source; a mapped task has none of its own, since the number of its "
                "source may be another one tomorrow, and a wrong state would delete products",
                field="state",
            )
        return run.lasting_folder("state", self.mirakl_connect_conn_id)


class MiraklConnectExportCatalogOperator(_ConnectOperator):
    """Write the whole catalog of Mirakl Connect to a file.

    Reads up to 1,000 products a page, one page a minute; there is no filter. The pages are kept in the work folder
    and the file appears when it is complete. A retry continues with the next page; clearing the task begins anew.

    :param target: the NDJSON file to write: a local path or object storage. Templated.
    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``. Templated.
    :return: ``products``, how many, and ``target``.
    :raises MiraklApiError: Mirakl says no.

    Source: :ref:`listProducts <facts-listproducts>`.
    """

    template_fields: Sequence[str] = ("target", "mirakl_connect_conn_id", "work_folder")

    def __init__(self, *, target: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target = target

    def open_work(self, run: TaskRun) -> Work | None:
        """Continue the walk; ``None`` once the file is written."""
        work = self._work(run)
        return None if work.finished else work

    def conclude(self, run: TaskRun) -> dict[str, Any]:
        """How many products the file holds."""
        return {"products": self._work(run).products, "target": self.target}

    def _work(self, run: TaskRun) -> ListWork:
        from airflow_provider_mirakl.catalog.work import ListWork
        from airflow_provider_mirakl.files.paths import storage_path

        return ListWork(storage_path(self.target), run.folder, generation=run.generation)


class MiraklConnectVerifyProductsOperator(_ConnectOperator):
    """Read the catalog back and compare it with what was submitted.

    The only way to learn what became of products: Mirakl Connect answers a bare 202, gives nothing to poll, and
    processes some time later; how long is not published. So the catalog is read in rounds, page by page, one page a
    minute, and a product counts as failed only when the last round still shows it missing or different.

    A retry continues with the next page; clearing the task begins anew.

    :param submitted: what was sent: the result of :class:`MiraklConnectUpsertProductsOperator`,
        :class:`MiraklConnectDeleteProductsOperator` or :class:`MiraklConnectSyncCatalogOperator`, or its ``folder``.
        Templated.
    :param sample: check only so many products, chosen by a hash of their ids; default all. The reading ends as soon
        as the last of them was seen.
    :param rounds: how often the catalog is read at the most.
    :param round_interval: seconds between two rounds, stretched by the connection's ``interval_factor``.
    :param resend_failed: after a sync: let the next sync of its state send the failed products again, changed or not.
        Switch it off where Mirakl shows a field otherwise than it was sent, which would send those products for ever.
    :param max_failed_items: failed products that do not fail the task; ``None`` lets any number pass.
    :param max_failed_ratio: share of failed products, 0 to 1, that does not fail the task.
    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``. Templated.
    :return: the outcome: ``sent``, ``succeeded``, ``failed``, ``unknown``, ``errors`` and ``rows``, the file with
        a line for each product.
    :raises MiraklItemsFailedError: more products failed than allowed.

    Source: :ref:`listProducts <facts-listproducts>`.
    """

    template_fields: Sequence[str] = ("submitted", "mirakl_connect_conn_id", "work_folder")

    def __init__(
        self,
        *,
        submitted: str | Mapping[str, Any],
        sample: int | None = None,
        rounds: int = 3,
        round_interval: float = 300.0,
        resend_failed: bool = True,
        max_failed_items: int | None = 0,
        max_failed_ratio: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.submitted = submitted
        self.sample = sample
        self.rounds = rounds
        self.round_interval = round_interval
        self.resend_failed = resend_failed
        self.max_failed_items = max_failed_items
        self.max_failed_ratio = max_failed_ratio

    def open_work(self, run: TaskRun) -> Work | None:
        """Continue the reading; ``None`` once the last round is judged."""
        work = self._work(run)
        return None if work.finished else work

    def conclude(self, run: TaskRun) -> dict[str, Any]:
        """Judge the outcome by the limits on failed items."""
        from airflow_provider_mirakl.catalog.sync import doubt
        from airflow_provider_mirakl.files.paths import storage_path
        from airflow_provider_mirakl.outcome import FailurePolicy, Outcome

        work = self._work(run)
        outcome = work.outcome or Outcome()
        self.log.info("Outcome: %s", outcome)
        if self.resend_failed and work.outcome is not None:
            state = doubt(self._submitted_folder, work.failed_ids(), storage_path)
            if state is not None and outcome.failed:
                self.log.warning(
                    "The next sync of %s sends the %d failed products again.", state, outcome.failed
                )
        try:
            FailurePolicy(self.max_failed_items, self.max_failed_ratio).judge(outcome)
        except MiraklItemsFailedError:
            work.restart()  # a retry reads again instead of repeating the verdict
            raise
        return outcome.summary()

    @property
    def _submitted_folder(self) -> StoragePath:
        from airflow_provider_mirakl.files.paths import storage_path

        return storage_path(
            self.submitted["folder"] if isinstance(self.submitted, Mapping) else self.submitted
        )

    def _work(self, run: TaskRun) -> VerifyWork:
        from airflow_provider_mirakl.catalog.reading import plans_in
        from airflow_provider_mirakl.catalog.verify import Verifier
        from airflow_provider_mirakl.catalog.work import VerifyWork

        return VerifyWork(
            [Verifier(plan, sample=self.sample) for plan in plans_in(self._submitted_folder)],
            run.folder,
            generation=run.generation,
            rounds=self.rounds,
            pause=self.round_interval * self.hook.settings.interval_factor,
        )


def as_source(source: str | Sequence[Any]) -> StoragePath | Sequence[Any]:
    """A source as the catalog engine takes it: a path or a list.

    :raises MiraklConfigurationError: it is empty, or lies where there is no file system.
    """
    from airflow_provider_mirakl.files.paths import storage_path

    if isinstance(source, str) and not source.strip():
        raise MiraklConfigurationError("source: is empty; give the path of a file or a list", field="source")
    return storage_path(source) if isinstance(source, str) else source


def as_flag(name: str, value: bool | str) -> bool:
    """A flag that may have come through a template.

    :raises MiraklConfigurationError: for a word that is none.
    """
    word = str(value).strip().lower()
    if word not in ("true", "false"):
        raise MiraklConfigurationError(f"{name}: must be true or false, not {value!r}", field=name)
    return word == "true"
