"""Sensors for jobs that were submitted elsewhere: by another task, in the back office, by a task that was killed."""

from __future__ import annotations

from abc import abstractmethod
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, get_args

from airflow_provider_mirakl.exceptions import MiraklConfigurationError
from airflow_provider_mirakl.hooks.conn_ids import MIRAKL_DEFAULT
from airflow_provider_mirakl.runtime.arguments import (
    Choice,
    Id,
    JobIds,
    Location,
    Maybe,
    Moment,
    Text,
    check_caller,
    stretched,
)
from airflow_provider_mirakl.runtime.choices import TargetFormat, Until
from airflow_provider_mirakl.runtime.connections import OfJob
from airflow_provider_mirakl.runtime.limits import LimitsFailures
from airflow_provider_mirakl.runtime.task_run import TaskRun
from airflow_provider_mirakl.sensors.base import MiraklBaseSensor

if TYPE_CHECKING:
    from typing import Unpack

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mirakl.api.caller import Caller
    from airflow_provider_mirakl.client.http import Client
    from airflow_provider_mirakl.jobs.waiting import Found
    from airflow_provider_mirakl.runtime.arguments import (
        IdsArg,
        MomentArg,
        NumberArg,
        PathArg,
        TextArg,
        WholeArg,
    )
    from airflow_provider_mirakl.runtime.signatures import (
        CheckedJobSensorArguments,
        JobSensorArguments,
        SensorArguments,
    )


class MiraklJobSensor(OfJob, MiraklBaseSensor):
    """Base of the sensors that wait for jobs, whichever task, person or tool submitted them.

    A sensor only reads, so it may be retried, cleared and run twice.

    :param job_ids: Mirakl's id of the job, or a list of ids, such as the ``job_ids`` of an operator. Templated.
    :param mirakl_conn_id: connection of type ``mirakl``. Templated.
    :param role: ``shop``, ``operator`` or ``front``; default the connection's own. Templated.
    :param shop_id: the shop; default the connection's own. Templated.
    :param poke_interval: seconds between two polls; default what Mirakl recommends, at least what it allows.
    :param work_folder: folder for reports and rows, as for the operators. Templated.
    :raises MiraklJobFailedError: a job ended without doing its work.

    Further parameters: :class:`~airflow_provider_mirakl.sensors.base.MiraklBaseSensor`.
    """

    recommended: ClassVar[float] = 60.0
    """Recommended seconds between two polls, as in the table."""
    early: bool = True

    poll = "airflow_provider_mirakl.jobs.polls.jobs_ended"
    job_ids = JobIds()
    shop_id = Maybe(Id())
    work_folder = Maybe(Location())

    def __init__(
        self,
        *,
        job_ids: IdsArg,
        mirakl_conn_id: TextArg = MIRAKL_DEFAULT,
        role: TextArg | None = None,
        shop_id: WholeArg | None = None,
        poke_interval: float | timedelta | None = None,
        work_folder: PathArg | None = None,
        **kwargs: Unpack[SensorArguments],
    ) -> None:
        # A separate parameter, so that default_args applies to it.
        interval = self.recommended if poke_interval is None else poke_interval
        super().__init__(poke_interval=interval, **kwargs)
        self.job_ids = job_ids
        self.mirakl_conn_id = mirakl_conn_id
        self.role = role
        self.shop_id = shop_id
        self.work_folder = work_folder

    @property
    def ids(self) -> list[int | str]:
        """The ids in the type that Mirakl uses.

        :raises MiraklConfigurationError: there are none, or one has the wrong type.
        """
        kind = self.kind
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
        """The role of the key, and the shop."""
        return check_caller(self.hook, self.shop_id, self.kind.code)

    def poll_arguments(self) -> dict[str, Any]:
        """The jobs and the caller."""
        return {
            "kind": self.job,
            "job_ids": self.ids,
            "role": self.caller.role,
            "shop_id": self.caller.shop_id,
            "early": self.early,
            "since": self.notes.get("since"),
        }

    @property
    def awaited(self) -> str:
        """The jobs."""
        return f"{self.kind.title} {', '.join(map(str, self.ids))}"

    def interval(self) -> float:
        """Seconds between two polls.

        :raises MiraklConfigurationError: it is shorter than Mirakl permits.
        """
        kind = self.kind
        return stretched(
            "poke_interval",
            self.poke_interval,
            factor=self.hook.settings.interval_factor,
            shortest=kind.shortest,
            what=f"a {kind.title}",
        )

    def conclude(self, context: Context, found: Found) -> dict[str, Any]:
        """Archive the reports, and refuse a job that ended without doing its work."""
        from airflow_provider_mirakl.jobs.table import evaluate
        from airflow_provider_mirakl.runtime.results import Ended, archive, refuse_failed, result_of

        run = TaskRun(context, self.work_folder, begins=False)
        folder = run.folder
        jobs = []
        with self.hook.get_conn() as client:
            for job_id in self.ids or [self.kind.id(found_id) for found_id in found["statuses"]]:
                evaluation = evaluate(self.kind, found["statuses"][str(job_id)], early=self.early)
                reports = archive(client, self.caller, folder, job_id, evaluation, self.log)
                jobs.append(Ended(job_id, None, evaluation, reports))
            result = result_of(folder, jobs, self.id_column_of_reports, secrets=client.secrets)
            result["shop_id"] = self.caller.shop_id
            refuse_failed(run, result, self.kind, jobs)
            return self.checked(run, result, client)

    @property
    def id_column_of_reports(self) -> str | None:
        """The column of error reports that names an item."""
        return None

    @abstractmethod
    def checked(self, run: TaskRun, result: dict[str, Any], client: Client) -> dict[str, Any]:
        """The value for XCom.

        :param result: of the jobs, which did their work.
        """


class CheckedJobSensor(LimitsFailures, MiraklJobSensor):
    """Waits for jobs, archives their reports and evaluates their items, like the operator that submits them.

    :param id_column: the column of error reports that names an item; default the first of the usual ones. Templated.
    :param max_failed_items: how many items may fail without failing the task; ``None`` allows any number. Templated.
    :param max_failed_ratio: the share of items, 0 to 1, that may fail without failing the task. Templated.
    :return: as for the operator: the outcome, ``job_ids``, ``states``, ``reports``, ``messages`` and ``folder``.
    :raises MiraklJobFailedError: a job ended without doing its work.
    :raises MiraklItemsFailedError: more items failed than allowed.

    Further parameters: :class:`MiraklJobSensor`.
    """

    id_column = Maybe(Text())

    def __init__(
        self,
        *,
        job_ids: IdsArg,
        id_column: TextArg | None = None,
        max_failed_items: WholeArg | None = 0,
        max_failed_ratio: NumberArg | None = None,
        **kwargs: Unpack[JobSensorArguments],
    ) -> None:
        super().__init__(job_ids=job_ids, **kwargs)
        self.id_column = id_column
        self.max_failed_items = max_failed_items
        self.max_failed_ratio = max_failed_ratio

    @property
    def id_column_of_reports(self) -> str | None:
        """The column of error reports that names an item."""
        return self.id_column

    def checked(self, run: TaskRun, result: dict[str, Any], client: Client) -> dict[str, Any]:
        """Fail the task when too many items failed."""
        self.check_items(run, result)
        return result


class ExportSensor(MiraklJobSensor):
    """Waits for an export, and with a ``target`` fetches its files and writes them as one.

    It is the second half of an export operator with ``wait_for_completion=False``::

        export = MiraklExportOffersOperator(
            task_id="export", target="/data/offers.ndjson", wait_for_completion=False
        )
        MiraklOfferExportSensor(
            task_id="fetch", job_ids=export.output["job_ids"], target=export.output["target"], deferrable=True
        )

    An export that has ended already is fetched at the first poll. Mirakl keeps the files only for some time.

    :param target: the file to write: a local path or object storage; default none, so that the sensor only waits.
        Its format must be one of the export's: CSV of a CSV export, NDJSON or Parquet of a JSON export. Templated.
    :param target_format: ``ndjson``, ``csv`` or ``parquet``; default by the target's ending. Templated.
    :return: ``job_ids``, ``states``, ``shop_id`` and ``folder``; with ``target`` also ``target``, ``items`` (``None``
        for CSV) and ``files``, as for the operator.
    :raises MiraklConfigurationError: a ``target`` for several exports, or one that cannot be written; no call was made.
    :raises MiraklReplyError: the files are not in the format of the target.

    Further parameters: :class:`MiraklJobSensor`.
    """

    formats: ClassVar[tuple[TargetFormat, ...]] = ("ndjson", "csv", "parquet")
    """What can be written: CSV only if Mirakl exports it."""
    target = Maybe(Location())
    target_format = Maybe(Choice[TargetFormat](get_args(TargetFormat)))

    def __init__(
        self,
        *,
        job_ids: IdsArg,
        target: PathArg | None = None,
        target_format: TargetFormat | TextArg | None = None,
        **kwargs: Unpack[JobSensorArguments],
    ) -> None:
        super().__init__(job_ids=job_ids, **kwargs)
        self.target = target
        self.target_format = target_format

    def poll_arguments(self) -> dict[str, Any]:
        """The export, after checking that its target can be written."""
        if self.target is not None:
            from airflow_provider_mirakl.runtime.downloads import ready_target
            from airflow_provider_mirakl.runtime.results import format_of

            if len(self.ids) > 1:
                raise MiraklConfigurationError(
                    f"target is for one export, but job_ids has {len(self.ids)}; map the sensor over them, each with "
                    "its own target",
                    field="target",
                )
            ready_target(self.target, format_of(self.target, self.target_format, self.formats))
        return super().poll_arguments()

    def checked(self, run: TaskRun, result: dict[str, Any], client: Client) -> dict[str, Any]:
        """Write the target, if there is one."""
        from airflow_provider_mirakl.runtime.results import fetch_export, format_of

        kept = {name: result[name] for name in ("job_ids", "states", "shop_id", "folder")}
        if self.target is None:
            return kept
        (job_id,) = self.ids
        chosen = format_of(self.target, self.target_format, self.formats)
        return kept | fetch_export(client, self.caller, self.kind, job_id, self.target, chosen, self.log)


class NewestJobSensor(CheckedJobSensor):
    """Waits for jobs with given ids, or for the newest one created since a given time.

    :param job_ids: Mirakl's id of the job, or a list of ids; default none, with ``newest_since``. Templated.
    :param newest_since: wait for the newest job of the shop that was created at this time or later, and until there
        is one: for imports submitted by another tool or in the back office, whose id is not known. A date-time or its
        ISO 8601 text, such as ``{{ data_interval_start }}``. Templated.
    :return: as for the operator: the outcome, ``job_ids``, ``states``, ``reports``, ``messages`` and ``folder``.

    Further parameters: :class:`CheckedJobSensor`.
    """

    poll = "airflow_provider_mirakl.jobs.polls.jobs_or_newest_ended"
    job_ids = Maybe(JobIds())  # type: ignore[assignment]
    newest_since = Maybe(Moment())

    def __init__(
        self,
        *,
        job_ids: IdsArg | None = None,
        newest_since: MomentArg | None = None,
        **kwargs: Unpack[CheckedJobSensorArguments],
    ) -> None:
        super().__init__(job_ids=job_ids, **kwargs)  # type: ignore[arg-type]
        self.newest_since = newest_since

    @property
    def ids(self) -> list[int | str]:
        """The ids that were given; of the newest job none before it was found.

        :raises MiraklConfigurationError: neither ids nor a time are set, or both.
        """
        if (self.job_ids is None) == (self.newest_since is None):
            raise MiraklConfigurationError("set either job_ids or newest_since", field="job_ids")
        return [] if self.job_ids is None else super().ids

    @property
    def awaited(self) -> str:
        """The jobs."""
        if self.newest_since is None:
            return super().awaited
        return f"the newest {self.kind.title} since {self.newest_since:%Y-%m-%d %H:%M:%S}"

    def poll_arguments(self) -> dict[str, Any]:
        """The jobs and the caller."""
        since = None if self.newest_since is None else self.newest_since.isoformat()
        return super().poll_arguments() | {"newest_since": since, "newest": self.notes.get("newest")}


class MiraklProductImportSensor(NewestJobSensor):
    """Waits for a product import (P42, or P51 for many tasks at once), or for the newest one (P51).

    :param until: ``sent``: done when Mirakl has handed the products to the operator; ``complete``: done when
        they are integrated, which may take days.

    Further parameters: :class:`NewestJobSensor`.
    """

    job = "product_import"

    until = Choice[Until](get_args(Until), templated=False)

    def __init__(
        self,
        *,
        job_ids: IdsArg | None = None,
        newest_since: MomentArg | None = None,
        until: Until = "sent",
        **kwargs: Unpack[CheckedJobSensorArguments],
    ) -> None:
        super().__init__(job_ids=job_ids, newest_since=newest_since, **kwargs)
        self.until = until
        self.early = self.until == "sent"


class MiraklProductSynchronizationSensor(CheckedJobSensor):
    """Waits for a synchronization of master products (CM22). For the operator and the front office."""

    job = "product_synchronization"


class MiraklProductExportSensor(ExportSensor):
    """Waits for an export of master products (CM53) and fetches its files (CM54). For operator and front office.

    Parameters: :class:`ExportSensor`.
    """

    job = "product_export"


class MiraklOfferImportSensor(NewestJobSensor):
    """Waits for an import of offers (OF02, or OF04 for many tasks at once), or for the newest one (OF04)."""

    job = "offer_import"
    recommended = 300.0


class MiraklStockImportSensor(CheckedJobSensor):
    """Waits for an import of stock (STO02)."""

    job = "stock_import"
    recommended = 300.0


class MiraklPriceImportSensor(CheckedJobSensor):
    """Waits for an import of prices (PRI02)."""

    job = "price_import"
    recommended = 300.0


class MiraklOfferExportSensor(ExportSensor):
    """Waits for an export of offers (OF53) and fetches its files (OF54).

    Parameters: :class:`ExportSensor`.
    """

    job = "offer_export"


class MiraklOrderExportSensor(ExportSensor):
    """Waits for an export of orders (OR14) and fetches its files (OR15), which are JSON.

    Parameters: :class:`ExportSensor`.
    """

    formats = ("ndjson", "parquet")
    job = "order_export"


class MiraklTransactionExportSensor(ExportSensor):
    """Waits for an export of transaction lines (TL04) and fetches its files (TL05), which are JSON.

    Parameters: :class:`ExportSensor`.
    """

    formats = ("ndjson", "parquet")
    job = "transaction_export"
