"""Operators for the catalog of Mirakl Connect. Source: seed 002; facts section 2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_mirakl.exceptions import MiraklItemsFailedError
from airflow_provider_mirakl.hooks.mirakl_connect import MiraklConnectHook
from airflow_provider_mirakl.operators.paced import PacedOperator, TaskRun

if TYPE_CHECKING:
    from airflow_provider_mirakl.catalog.plan import Plan
    from airflow_provider_mirakl.catalog.work import VerifyWork, Work


class MiraklConnectUpsertProductsOperator(PacedOperator):
    """Create or update products in Mirakl Connect.

    Reads and validates the whole source before the first call, then sends it in calls of up to 1,000 products, one
    a minute. Works as a PATCH: a field that is absent stays as it is, ``null`` erases it.

    Mirakl answers 202 before it processes anything. So the outcome counts the products as ``unknown``: accepted, not
    proven. Read them back with :class:`MiraklConnectVerifyProductsOperator`.

    A retry continues with the first chunk that is not known to be accepted; clearing the task begins anew.

    :param source: a file (NDJSON or a JSON array; a local path or object storage), or a list of products. Templated.
    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``. Templated.
    :param source_format: ``ndjson``, ``json``; default by name and content.
    :param on_invalid: ``fail`` refuses the whole source when a product is wrong, before any call; ``reject`` writes
        wrong products to a rejects file, with the reasons, and sends the others.
    :param unknown_fields: ``refuse`` fields that Connect does not document, since a typing error would pass silently;
        ``send`` sends them as they are.
    :param chunk_size: products in one call, 1 to 1,000.
    :return: the outcome: ``sent``, ``succeeded``, ``failed``, ``unknown``, ``errors``, and ``folder``, where plan,
        progress and rejects are.
    :raises MiraklInputError: the source is wrong; every problem is listed and no call was spent.
    :raises MiraklApiError: Mirakl says no.

    Source: upsertProducts, seed 002; facts sections 2.2 and 2.4.
    """

    template_fields: Sequence[str] = ("source", "mirakl_connect_conn_id", "work_folder")
    ui_color = "#d8ecf6"

    def __init__(
        self,
        *,
        source: str | Sequence[Mapping[str, Any]],
        mirakl_connect_conn_id: str = MiraklConnectHook.default_conn_name,
        source_format: Literal["ndjson", "json"] | None = None,
        on_invalid: Literal["fail", "reject"] = "fail",
        unknown_fields: Literal["refuse", "send"] = "refuse",
        chunk_size: int = 1000,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.mirakl_connect_conn_id = mirakl_connect_conn_id
        self.source_format = source_format
        self.on_invalid = on_invalid
        self.unknown_fields = unknown_fields
        self.chunk_size = chunk_size

    @cached_property
    def hook(self) -> MiraklConnectHook:
        """The hook of the operator's connection."""
        return MiraklConnectHook(self.mirakl_connect_conn_id)

    def open_work(self, run: TaskRun) -> Work | None:
        """Plan, or find the plan of a former try."""
        from airflow_provider_mirakl.catalog.ledger import Ledger, resume
        from airflow_provider_mirakl.catalog.work import SendWork

        ledger = resume(run.folder, generation=run.generation)
        if ledger is None:
            plan = self._plan(run)
            ledger = Ledger.open(plan, generation=run.generation)
        if ledger.chunk is None:
            return None
        return SendWork(ledger)

    def _plan(self, run: TaskRun) -> Plan:
        from airflow_provider_mirakl.api.connect import UPSERT_PRODUCTS
        from airflow_provider_mirakl.catalog.plan import plan_upsert
        from airflow_provider_mirakl.storage import storage_path

        plan = plan_upsert(
            storage_path(self.source) if isinstance(self.source, str) else self.source,
            run.folder,
            source_format=self.source_format,
            on_invalid=self.on_invalid,
            unknown_fields=self.unknown_fields,
            max_products=self.chunk_size,
        )
        self.log.info(
            "Plan: %s", plan.describe(UPSERT_PRODUCTS.interval * self.hook.settings.interval_factor)
        )
        return plan

    def conclude(self, run: TaskRun) -> dict[str, Any]:
        """The outcome of the sending."""
        from airflow_provider_mirakl.catalog.outcome import Outcome
        from airflow_provider_mirakl.catalog.plan import Plan

        plan = Plan.load(run.folder)
        outcome = Outcome(sent=plan.products, unknown=plan.products)
        self.log.info("Outcome: %s (accepted, not yet proven)", outcome)
        return outcome.summary() | {"rejected": plan.rejected, "folder": str(run.folder)}


class MiraklConnectVerifyProductsOperator(PacedOperator):
    """Read the catalog back and compare it with what was submitted.

    The only way to learn what became of products: Mirakl Connect answers a bare 202, gives nothing to poll, and
    processes some time later; how long is not published. So the catalog is read in rounds, page by page, one page a
    minute, and a product counts as failed only when the last round still shows it missing or different.

    A retry continues with the next page; clearing the task begins anew.

    :param submitted: what was sent: the result of :class:`MiraklConnectUpsertProductsOperator`, or its ``folder``.
        Templated.
    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``. Templated.
    :param sample: check only so many products, chosen by chance but the same in every round; default all. A sample
        ends the reading as soon as it was seen.
    :param rounds: how often the catalog is read at the most.
    :param round_interval: seconds between two rounds, stretched by the connection's ``interval_factor``.
    :param max_failed_items: failed products that do not fail the task; ``None`` lets any number pass.
    :param max_failed_ratio: share of failed products, 0 to 1, that does not fail the task.
    :return: the outcome: ``sent``, ``succeeded``, ``failed``, ``unknown``, ``errors`` and ``rows``, the file with
        a line for each product.
    :raises MiraklItemsFailedError: more products failed than allowed.

    Source: listProducts, seed 002; facts sections 2.1 and 2.5.
    """

    template_fields: Sequence[str] = ("submitted", "mirakl_connect_conn_id", "work_folder")
    ui_color = "#d8ecf6"

    def __init__(
        self,
        *,
        submitted: str | Mapping[str, Any],
        mirakl_connect_conn_id: str = MiraklConnectHook.default_conn_name,
        sample: int | None = None,
        rounds: int = 3,
        round_interval: float = 300.0,
        max_failed_items: int | None = 0,
        max_failed_ratio: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.submitted = submitted
        self.mirakl_connect_conn_id = mirakl_connect_conn_id
        self.sample = sample
        self.rounds = rounds
        self.round_interval = round_interval
        self.max_failed_items = max_failed_items
        self.max_failed_ratio = max_failed_ratio

    @cached_property
    def hook(self) -> MiraklConnectHook:
        """The hook of the operator's connection."""
        return MiraklConnectHook(self.mirakl_connect_conn_id)

    def open_work(self, run: TaskRun) -> Work | None:
        """Continue the reading; ``None`` once the last round is judged."""
        work = self._work(run)
        return None if work.outcome else work

    def conclude(self, run: TaskRun) -> dict[str, Any]:
        """Judge the outcome by the limits on failed items."""
        from airflow_provider_mirakl.catalog.outcome import FailurePolicy, Outcome

        work = self._work(run)
        outcome = work.outcome or Outcome()
        self.log.info("Outcome: %s", outcome)
        try:
            FailurePolicy(self.max_failed_items, self.max_failed_ratio).judge(outcome)
        except MiraklItemsFailedError:
            work.restart()  # a retry reads again instead of repeating the verdict
            raise
        return outcome.summary()

    def _work(self, run: TaskRun) -> VerifyWork:
        from airflow_provider_mirakl.catalog.plan import Plan
        from airflow_provider_mirakl.catalog.verify import Verifier
        from airflow_provider_mirakl.catalog.work import VerifyWork
        from airflow_provider_mirakl.storage import storage_path

        folder = self.submitted["folder"] if isinstance(self.submitted, Mapping) else self.submitted
        run.folder.mkdir(parents=True, exist_ok=True)
        return VerifyWork(
            Verifier(Plan.load(storage_path(folder)), sample=self.sample),
            run.folder,
            generation=run.generation,
            rounds=self.rounds,
            pause=self.round_interval * self.hook.settings.interval_factor,
        )
