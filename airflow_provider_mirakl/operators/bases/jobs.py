"""The base of the operators that submit a job to Mirakl and wait for it.

Every submission is noted before and after the call (:mod:`airflow_provider_mirakl.jobs.book`): in the work folder,
from Airflow 3.3 on also in the task's state, and in the trigger. So a retry, a crash or a lost worker never
submits a job twice, deferrable or not. What is sent is a copy in the task's folder: a source that is rewritten
meanwhile cannot be sent under the hash of the old one, and all batches come from the same file.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, get_args

from airflow.providers.common.compat.sdk import conf

from airflow_provider_mirakl.hooks.conn_ids import MIRAKL_DEFAULT
from airflow_provider_mirakl.operators.bases.base import MiraklBaseOperator
from airflow_provider_mirakl.runtime.arguments import (
    Choice,
    Flag,
    Id,
    Location,
    Maybe,
    Seconds,
    Whole,
    check_caller,
    stretched,
)
from airflow_provider_mirakl.runtime.choices import OnUnclear
from airflow_provider_mirakl.runtime.connections import OfJob
from airflow_provider_mirakl.runtime.limits import LimitsFailures

if TYPE_CHECKING:
    from typing import Unpack

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mirakl.api.call import Call
    from airflow_provider_mirakl.api.caller import Caller
    from airflow_provider_mirakl.client.http import Client
    from airflow_provider_mirakl.files.storage import StoragePath
    from airflow_provider_mirakl.jobs.book import JobBook
    from airflow_provider_mirakl.outcome import ItemResult
    from airflow_provider_mirakl.runtime.arguments import NumberArg, PathArg, TextArg, WholeArg
    from airflow_provider_mirakl.runtime.job_run import JobRun
    from airflow_provider_mirakl.runtime.results import Ended
    from airflow_provider_mirakl.runtime.signatures import JobArguments, TaskArguments
    from airflow_provider_mirakl.runtime.task_run import TaskRun


class MiraklJobOperator(OfJob, MiraklBaseOperator):
    """Submits a job, waits for its end, archives its reports and evaluates its items.

    A retry resumes the job that a previous try submitted, however that try ended, and returns the same result. A
    changed input is a new job; a job that ended ``FAILED`` is submitted again by a retry; clearing the task submits
    again. When a task is killed the job continues, because Mirakl cannot cancel it: the task log and ``job.json``
    in the work folder name it, and a sensor can wait for it.

    :param mirakl_conn_id: connection of type ``mirakl``. Templated.
    :param role: ``shop``, ``operator`` or ``front``; default the connection's own.
    :param shop_id: the shop; default the connection's own. The operator and the front office must set one where
        Mirakl requires it, and none where it takes none: the result would concern every shop. Templated.
    :param wait_for_completion: wait for the end of the job. Without it the task ends with the ids, for a sensor.
    :param deferrable: wait in the triggerer; default Airflow's ``[operators] default_deferrable``. Without it the
        worker waits, with the same result.
    :param poll_interval: seconds between two polls; default what Mirakl recommends, at least what it allows. The
        connection's ``interval_factor`` stretches it.
    :param timeout: longest wait for the job in seconds. The job continues, and a retry resumes it.
    :param max_failures: polls that may fail one after another (5xx, broken connection) before the task fails.
    :param on_unclear: what to do when it is not known whether Mirakl accepted a submission: ``search`` Mirakl's
        list, ``resend`` it, or ``fail`` and leave the decision to you. The default is the safe choice for the job.
    :param work_folder: folder for ids, reports, rows and rejects, as an object storage path that every worker
        reaches; default ``[mirakl] work_folder``, else ``mirakl`` below ``AIRFLOW_HOME``. Templated.
    """

    roles: ClassVar[tuple[str, ...]] = ("shop", "operator", "front")
    """Roles that may submit it."""
    early: bool = True
    """Whether the job's early states count as its end."""
    task_run: TaskRun
    """The files of the task instance, while it runs."""
    rejected_count: int = 0
    """The number of items that :meth:`payload` has rejected."""

    shop_id = Maybe(Id())
    wait_for_completion = Flag(templated=False)
    deferrable = Flag(templated=False)
    poll_interval = Maybe(Seconds(above=0, templated=False))
    timeout = Seconds(above=0, templated=False)
    max_failures = Whole(least=0, templated=False)
    on_unclear = Maybe(Choice[OnUnclear](get_args(OnUnclear)))
    work_folder = Maybe(Location())

    def __init__(
        self,
        *,
        mirakl_conn_id: TextArg = MIRAKL_DEFAULT,
        role: TextArg | None = None,
        shop_id: WholeArg | None = None,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float | timedelta | None = None,
        timeout: float | timedelta = 24 * 3600.0,
        max_failures: int = 5,
        on_unclear: OnUnclear | TextArg | None = None,
        work_folder: PathArg | None = None,
        **kwargs: Unpack[TaskArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.mirakl_conn_id = mirakl_conn_id
        self.role = role
        self.shop_id = shop_id
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.timeout = timeout
        self.max_failures = max_failures
        self.on_unclear = on_unclear
        self.work_folder = work_folder
        self.book: JobBook | None = None

    # What a subclass defines

    @abstractmethod
    def payload(self, caller: Caller) -> str:
        """A hash of everything that is submitted, after checking it.

        :raises MiraklInputError: the input is invalid; no call was made.
        """

    @abstractmethod
    def submissions(self, caller: Caller, book: JobBook) -> Iterator[tuple[Call[Any], int | None]]:
        """The calls that begin the jobs, in an order that never changes, each with its number of items, if known.

        The result of a call is the job's id, or has it as ``import_id``.
        """

    def rejects(self, run: TaskRun, jobs: Sequence[Ended]) -> StoragePath | None:
        """Write the failed items as input for the next run, if possible."""
        return None

    def count_rejected(self) -> int:
        """The number of items that :meth:`payload` has just rejected."""
        return 0

    def rejected(self, book: JobBook) -> Iterable[ItemResult]:
        """The items of the source that were not sent because they are invalid."""
        return ()

    def guard(self, client: Client, caller: Caller) -> None:
        """Reject input with unintended effects, as far as Mirakl's own data shows them before the first submission.

        :raises MiraklInputError: nothing was submitted.
        """

    @property
    def copy(self) -> StoragePath | None:
        """The copy of the input that is sent; ``None`` where nothing of it is kept."""
        return None

    def has_copy(self) -> bool:
        """Whether the data to send still exists."""
        return self.copy is None or self.copy.exists()

    def check_copy(self, book: JobBook) -> None:
        """Reject a copy that is not as :meth:`payload` left it.

        :raises MiraklNoteError: it was changed.
        """
        from airflow_provider_mirakl.jobs.copies import check_copy

        if self.copy is not None:
            check_copy(self.copy, book.copy)

    def lines(self) -> int | None:
        """The number of lines that Mirakl will count; ``None`` if unknown."""
        return None

    @property
    def listed_mode(self) -> str | None:
        """The import's mode as Mirakl's list shows it; ``None`` where it shows none."""
        return None

    @property
    def unclear_policy(self) -> OnUnclear:
        """``on_unclear``, or the job's own."""
        return self.on_unclear or self.kind.unclear

    def hand_over(self, job_run: JobRun, book: JobBook) -> None:
        """Let the triggerer submit the jobs, which ends this stay in the worker, if that is possible and pays off."""

    def expiring(self) -> AbstractContextManager[None]:
        """What surrounds the wait for the jobs, such as the treatment of one that Mirakl no longer has."""
        return nullcontext()

    def checked(self, result: dict[str, Any]) -> dict[str, Any]:
        """The result of a successful task, or the error of one whose items failed."""
        return result

    @property
    def column_of_ids(self) -> str | None:
        """The column of error reports that names an item; ``None`` for the usual ones."""
        return None

    def deliver(self, run: TaskRun, client: Client, caller: Caller, jobs: Sequence[Ended]) -> dict[str, Any]:
        """Further keys of the result, such as the files of an export."""
        return {}

    def begun(self, run: TaskRun, book: JobBook) -> dict[str, Any]:
        """The result of a task that does not wait."""
        return {"job_ids": book.texts, "folder": str(run.folder)} | self.described

    # What all subclasses share

    @cached_property
    def caller(self) -> Caller:
        """The role of the key, and the shop.

        :raises MiraklConfigurationError: the role may not submit this job, or not for a shop; or the shop is not a
            number.
        """
        return check_caller(self.hook, self.shop_id, self.kind.code, self.roles)

    def execute(self, context: Context) -> dict[str, Any]:
        """Submit what has not been submitted yet, and wait."""
        from airflow_provider_mirakl.runtime.job_run import begin

        return begin(self, context)

    def resume_submission(self, context: Context, event: object = None) -> dict[str, Any]:
        """Continue submitting, after the wait for a permitted time. Without an event, like :meth:`resume`."""
        from airflow_provider_mirakl.runtime.job_run import begin, resume_submission

        return begin(self, context) if event is None else resume_submission(self, context, event)

    def resume(self, context: Context, event: object = None) -> dict[str, Any]:
        """Continue with what the trigger found.

        Airflow resumes without an event when a task is cleared just as it defers. Nothing is lost: the
        book knows what was submitted, so the try begins like any other.

        :raises MiraklTriggerEventError: the event is not valid.
        """
        from airflow_provider_mirakl.runtime.job_run import begin, resume

        return begin(self, context) if event is None else resume(self, context, event)

    def on_kill(self) -> None:
        """Log that the task stops waiting. The job continues in Mirakl, which cannot cancel it."""
        if self.book is None:
            return
        for entry in self.book.abandon():
            self.log.warning(
                "%s %s continues in Mirakl, but this task no longer waits for it; a sensor can, by this id",
                self.kind.title,
                entry.job_id,
            )

    def interval(self) -> float:
        """Seconds between two polls, stretched by the connection.

        :raises MiraklConfigurationError: it is shorter than Mirakl permits.
        """
        kind = self.kind
        return stretched(
            "poll_interval",
            kind.recommended if self.poll_interval is None else self.poll_interval,
            factor=self.hook.settings.interval_factor,
            shortest=kind.shortest,
            what=f"a {kind.title}",
        )

    @property
    def described(self) -> dict[str, Any]:
        """What distinguishes the results of a mapped task: the shop and the file."""
        source = getattr(self, "source", None)
        return {"shop_id": self.caller.shop_id, "source": source if isinstance(source, str) else None}


class CheckedJobOperator(LimitsFailures, MiraklJobOperator):
    """Base of the operators whose jobs have items that may fail.

    :param max_failed_items: how many items may fail without failing the task; ``None`` allows any number.
    :param max_failed_ratio: the share of items, 0 to 1, that may fail without failing the task.
    """

    def __init__(
        self,
        *,
        max_failed_items: WholeArg | None = 0,
        max_failed_ratio: NumberArg | None = None,
        **kwargs: Unpack[JobArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.max_failed_items = max_failed_items
        self.max_failed_ratio = max_failed_ratio

    def checked(self, result: dict[str, Any]) -> dict[str, Any]:
        """Log the results of the items, and fail the task if too many failed."""
        self.check_items(self.task_run, result)
        self.task_run.tell_assets(self, result)
        return result
