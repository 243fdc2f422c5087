"""One operator for an incident: repair single products, through DJUST or directly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_mirakl.exceptions import MiraklConfigurationError
from airflow_provider_mirakl.hooks.mirakl import MiraklHook
from airflow_provider_mirakl.operators.bases.repair import ProductRepairOperator, Repair
from airflow_provider_mirakl.operators.catalog_manager import MiraklSynchronizeProductsOperator
from airflow_provider_mirakl.runtime.results import Ended
from airflow_provider_mirakl.runtime.task_run import TaskRun

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mirakl.api.caller import Caller
    from airflow_provider_mirakl.client.http import Client
    from airflow_provider_mirakl.files.storage import StoragePath
    from airflow_provider_mirakl.outcome import ItemResult


class MiraklResyncProductsOperator(ProductRepairOperator, MiraklSynchronizeProductsOperator):
    """Synchronize chosen products by the route of one's choice: the same input, the same outcome.

    - ``direct``: CM21 on the instance, CM22 until it ends, CM23 for each product, and CM51 before and after.
    - ``djust``: DJUST triggers CM21; the instance, where ``mirakl_conn_id`` names it, proves what came of it (CM51).

    :param route: ``direct`` or ``djust``. Templated.
    :param mirakl_conn_id: connection of type ``mirakl`` with the key of the operator or the front office. For the route
        ``djust`` it gives the proof, and may be empty: then each result is ``unknown``. Templated.
    :return: as of :class:`~airflow_provider_mirakl.operators.djust.DjustSynchronizeProductsOperator`; ``job_ids`` holds
        the tracking ids of the direct route, ``synchronized`` and ``client_specification_id`` belong to DJUST's.

    Further parameters: :class:`~airflow_provider_mirakl.operators.bases.repair.ProductRepairOperator` and, for
    waiting and judging, :class:`~airflow_provider_mirakl.operators.bases.jobs.MiraklJobOperator`.
    """

    template_fields: Sequence[str] = (
        "route",
        *ProductRepairOperator.template_fields,
        "mirakl_conn_id",
        "work_folder",
    )

    def __init__(self, *, route: Literal["direct", "djust"] | str, **kwargs: Any) -> None:  # noqa: PYI051
        super().__init__(source=(), **kwargs)
        self.route = route
        self._repair: Repair | None = None

    @property
    def route_name(self) -> str:
        """The route.

        :raises MiraklConfigurationError: there is no such route.
        """
        if self.route not in ("direct", "djust"):
            raise MiraklConfigurationError(f"route: is {self.route!r}; give direct or djust", field="route")
        return self.route

    @property
    def proof_hook(self) -> MiraklHook | None:
        """The instance that is asked about the products, if any."""
        if self.mirakl_conn_id not in (None, "", "None"):
            return self.hook
        if self.route_name == "djust":
            return None
        raise MiraklConfigurationError(
            "mirakl_conn_id: is empty; the direct route needs a connection", field="mirakl_conn_id"
        )

    def _begin(self, context: Context) -> dict[str, Any]:
        """Check, send, prove."""
        run = TaskRun(context, self.work_folder, begins=True)
        route = self.route_name
        self._repair = self.begin(run)
        if self.is_preview:
            return self.previewed(run, self._repair)
        if route == "djust":
            return self.send_through_djust(context, run, self._repair)
        return super()._begin(context)

    # The direct route: CM21 with the pairs, then the same report

    def resume_submission(self, context: Context, event: object = None) -> dict[str, Any]:
        """Go on submitting, after the wait for a permitted moment."""
        if event is None:
            return self._begin(context)
        run = TaskRun(context, self.work_folder, begins=False)
        self._repair = Repair.load(run.folder, run.generation)
        return super().resume_submission(context, event)

    def rows(self) -> Iterator[bytes]:
        """The pairs as elements of CM21."""
        import json

        assert self._repair is not None  # noqa: S101 - begun before
        for pair in self._repair.pairs:
            yield json.dumps(pair.element(), ensure_ascii=False).encode()

    def rejects(self, run: TaskRun, jobs: Sequence[Ended]) -> StoragePath | None:
        """The report writes them."""
        return None

    def deliver(self, run: TaskRun, client: Client, caller: Caller, jobs: Sequence[Ended]) -> dict[str, Any]:
        """The report: what CM23 says of each product, and the instance."""
        repair = Repair.load(run.folder, run.generation)
        assert repair is not None  # noqa: S101 - kept before CM21 was sent
        repair.job_ids = [str(job.job_id) for job in jobs]
        return self.report(run, repair, _reported(jobs))


def _reported(jobs: Sequence[Ended]) -> dict[str, ItemResult]:
    """What CM23 says, by Mirakl product id."""
    from airflow_provider_mirakl.jobs.reports import read_items

    return {
        result.item_id: result
        for job in jobs
        for report, path in job.reports
        if report.lists == "items"
        for result in read_items(path, ("mirakl_product_id",))
    }
