"""Sensors for jobs that somebody else submitted: another task, a person in the back office, a task that was killed."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from airflow_provider_mirakl.api.caller import Role
from airflow_provider_mirakl.exceptions import MiraklConfigurationError
from airflow_provider_mirakl.hooks.mirakl import MiraklHook
from airflow_provider_mirakl.runtime.arguments import (
    Choice,
    Id,
    JobIds,
    Location,
    Maybe,
    Number,
    Text,
    Whole,
    read_caller,
    stretched,
)
from airflow_provider_mirakl.runtime.results import Ended, archive, judge_items, refuse_failed, result_of
from airflow_provider_mirakl.runtime.task_run import TaskRun
from airflow_provider_mirakl.sensors.base import MiraklBaseSensor, SensorArguments

if TYPE_CHECKING:
    from typing import Unpack

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mirakl.api.caller import Caller
    from airflow_provider_mirakl.jobs.waiting import Found
    from airflow_provider_mirakl.runtime.arguments import IdsArg, NumberArg, PathArg, TextArg, WholeArg

Until = Literal["sent", "complete"]


class JobSensorArguments(SensorArguments, total=False):
    """The parameters of :class:`MiraklJobSensor` that have a default, for the sensors built on it."""

    mirakl_conn_id: TextArg
    role: TextArg | None
    shop_id: WholeArg | None
    id_column: TextArg | None
    max_failed_items: WholeArg | None
    max_failed_ratio: NumberArg | None
    poke_interval: float | timedelta | None
    work_folder: PathArg | None


class MiraklJobSensor(MiraklBaseSensor):
    """Waits for jobs, archives their reports and judges their items, as the operator that submits them does.

    Asking changes nothing: a sensor may be retried, cleared and run twice.

    :param job_ids: Mirakl's id of the job, or a list of ids, such as the ``job_ids`` of an operator. Templated.
    :param mirakl_conn_id: connection of type ``mirakl``. Templated.
    :param role: ``shop``, ``operator`` or ``front``; default the connection's own.
    :param shop_id: the shop; default the connection's own. Templated.
    :param id_column: the column of error reports that names an item; default the first of the usual ones.
    :param max_failed_items: failed items that do not fail the task; ``None`` lets any number pass.
    :param max_failed_ratio: share of failed items, 0 to 1, that does not fail the task.
    :param poke_interval: seconds between two looks; default what Mirakl recommends, at least what it allows.
    :param work_folder: folder for reports and rows, as of the operators. Templated.
    :return: as of the operator.
    :raises MiraklJobFailedError: a job ended without doing its work.
    :raises MiraklItemsFailedError: more items failed than allowed.

    Further parameters: :class:`~airflow_provider_mirakl.sensors.base.MiraklBaseSensor`.
    """

    job: ClassVar[str]
    """Name of the job's row in the table."""
    recommended: ClassVar[float] = 60.0
    """Seconds between two looks that Mirakl recommends, as in the table."""
    early: bool = True

    poll = "airflow_provider_mirakl.jobs.polls.jobs_ended"
    job_ids = JobIds()
    mirakl_conn_id = Text()
    role = Maybe(Choice(get_args(Role)))
    shop_id = Maybe(Id())
    id_column = Maybe(Text())
    max_failed_items = Maybe(Whole(least=0))
    max_failed_ratio = Maybe(Number(least=0, most=1))
    work_folder = Maybe(Location())

    def __init__(
        self,
        *,
        job_ids: IdsArg,
        mirakl_conn_id: TextArg = MiraklHook.default_conn_name,
        role: TextArg | None = None,
        shop_id: WholeArg | None = None,
        id_column: TextArg | None = None,
        max_failed_items: WholeArg | None = 0,
        max_failed_ratio: NumberArg | None = None,
        poke_interval: float | timedelta | None = None,
        work_folder: PathArg | None = None,
        **kwargs: Unpack[SensorArguments],
    ) -> None:
        # A parameter of its own, so that default_args reaches it.
        interval = self.recommended if poke_interval is None else poke_interval
        super().__init__(poke_interval=interval, **kwargs)
        self.job_ids = job_ids
        self.mirakl_conn_id = mirakl_conn_id
        self.role = role
        self.shop_id = shop_id
        self.id_column = id_column
        self.max_failed_items = max_failed_items
        self.max_failed_ratio = max_failed_ratio
        self.work_folder = work_folder

    @cached_property
    def hook(self) -> MiraklHook:
        """The hook of the sensor's connection."""
        return MiraklHook(self.mirakl_conn_id, role=self.role)

    @property
    def ids(self) -> list[int | str]:
        """The ids in the type that Mirakl gives them.

        :raises MiraklConfigurationError: there is none, or one is not of its kind.
        """
        from airflow_provider_mirakl.jobs.table import JOBS

        kind = JOBS[self.job]
        try:
            ids = [kind.id(text) for text in self.job_ids]
        except ValueError:
            ids = []
        if not ids:
            raise MiraklConfigurationError(
                f"job_ids must be the id of a {kind.title}, or a list such as the job_ids of an operator, not "
                f"{self.job_ids!r:.200}",
                field="job_ids",
            )
        return list(dict.fromkeys(ids))

    @property
    def caller(self) -> Caller:
        """Whose key it is, and for which shop."""
        return read_caller(self.hook, self.shop_id)

    def poll_arguments(self) -> dict[str, Any]:
        """Which jobs, and who asks."""
        return {
            "kind": self.job,
            "job_ids": self.ids,
            "role": self.caller.role,
            "shop_id": self.caller.shop_id,
            "early": self.early,
            "since": self._notes.get("since"),
        }

    @property
    def awaited(self) -> str:
        """The jobs."""
        from airflow_provider_mirakl.jobs.table import JOBS

        return f"{JOBS[self.job].title} {', '.join(map(str, self.ids))}"

    def interval(self) -> float:
        """Seconds between two polls.

        :raises MiraklConfigurationError: it is shorter than Mirakl allows.
        """
        from airflow_provider_mirakl.jobs.table import JOBS

        kind = JOBS[self.job]
        return stretched(
            "poke_interval",
            self.poke_interval,
            factor=self.hook.settings.interval_factor,
            shortest=kind.shortest,
            what=f"a {kind.title}",
        )

    def conclude(self, context: Context, found: Found) -> dict[str, Any]:
        """Archive the reports and judge the items."""
        from airflow_provider_mirakl.jobs.table import JOBS, judge

        kind, run = JOBS[self.job], TaskRun(context, self.work_folder, begins=False)
        folder = run.folder
        jobs = []
        with self.hook.get_conn() as client:
            for job_id in self.ids:
                verdict = judge(kind, found["statuses"][str(job_id)], early=self.early)
                reports = archive(client, self.caller, folder, job_id, verdict, self.log)
                jobs.append(Ended(job_id, None, verdict, reports))
        result = result_of(folder, jobs, self.id_column)
        refuse_failed(run, result, kind, jobs)
        judge_items(run, result, self.max_failed_items, self.max_failed_ratio, self.log)
        return result


class MiraklProductImportSensor(MiraklJobSensor):
    """Waits for a product import (P42, or P51 for many tasks at once).

    :param until: ``sent``: done when Mirakl has handed the products to the operator's catalog; ``complete``: done when
        they are integrated, which may take days.

    Further parameters: :class:`MiraklJobSensor`.
    """

    job = "product_import"

    until = Choice[Until](get_args(Until), templated=False)

    def __init__(
        self, *, job_ids: IdsArg, until: Until = "sent", **kwargs: Unpack[JobSensorArguments]
    ) -> None:
        super().__init__(job_ids=job_ids, **kwargs)
        self.until = until
        self.early = self.until == "sent"


class MiraklProductSynchronizationSensor(MiraklJobSensor):
    """Waits for a synchronization of master products (CM22). For the operator and the front office."""

    job = "product_synchronization"


class MiraklCatalogExportSensor(MiraklJobSensor):
    """Waits for an export of master products (CM53). For the operator and the front office."""

    job = "catalog_export"


class MiraklOfferImportSensor(MiraklJobSensor):
    """Waits for an import of offers (OF02, or OF04 for many tasks at once)."""

    job = "offer_import"
    recommended = 300.0


class MiraklStockImportSensor(MiraklJobSensor):
    """Waits for an import of stock (STO02)."""

    job = "stock_import"
    recommended = 300.0


class MiraklPriceImportSensor(MiraklJobSensor):
    """Waits for an import of prices (PRI02)."""

    job = "price_import"
    recommended = 300.0


class MiraklOfferExportSensor(MiraklJobSensor):
    """Waits for an export of offers (OF53)."""

    job = "offer_export"


class MiraklOrderExportSensor(MiraklJobSensor):
    """Waits for an export of orders (OR14)."""

    job = "order_export"


class MiraklTransactionExportSensor(MiraklJobSensor):
    """Waits for an export of transaction lines (TL04)."""

    job = "transaction_export"
