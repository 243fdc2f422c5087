"""The base of the operators that submit a job to Mirakl and wait for it.

Every submission is noted before and after the call (:mod:`airflow_provider_mirakl.jobs.book`): in the work folder,
from Airflow 3.3 on also in the task's state, and in the trigger. So a retry, a crash or a lost worker never
submits a job twice, deferrable or not. What is sent is a copy in the task's folder: a source that is rewritten
meanwhile cannot be sent under the hash of the old one, and all batches come from the same file.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, get_args

from airflow.providers.common.compat.sdk import conf

from airflow_provider_mirakl.api.values import Role
from airflow_provider_mirakl.exceptions import (
    MiraklInputError,
    MiraklJobTimeoutError,
    MiraklNotYetError,
    MiraklRateLimitError,
)
from airflow_provider_mirakl.hooks.mirakl import MiraklHook
from airflow_provider_mirakl.operators.bases.base import MiraklBaseOperator
from airflow_provider_mirakl.runtime import waiting
from airflow_provider_mirakl.runtime.arguments import (
    Choice,
    Flag,
    Id,
    Location,
    Maybe,
    Number,
    Seconds,
    Text,
    Whole,
    check_role,
    read_caller,
    stretched,
)
from airflow_provider_mirakl.runtime.results import Ended, archive, check_items, refuse_failed, result_of
from airflow_provider_mirakl.runtime.signatures import TaskArguments
from airflow_provider_mirakl.runtime.submitting import (
    LONGEST_SEARCH,
    Claims,
    OnUnclear,
    Submission,
    Submitter,
    utc_time,
)
from airflow_provider_mirakl.runtime.task_run import TaskRun, time_left, try_began

if TYPE_CHECKING:
    from typing import Unpack

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mirakl.api.caller import Caller
    from airflow_provider_mirakl.client.http import Client
    from airflow_provider_mirakl.files.storage import StoragePath
    from airflow_provider_mirakl.jobs.book import JobBook
    from airflow_provider_mirakl.jobs.table import JobId, JobKind
    from airflow_provider_mirakl.outcome import ItemResult
    from airflow_provider_mirakl.runtime.arguments import NumberArg, PathArg, TextArg, WholeArg


class JobArguments(TaskArguments, total=False):
    """The parameters of :class:`MiraklJobOperator`, for the operators built on it."""

    mirakl_conn_id: TextArg
    role: TextArg | None
    shop_id: WholeArg | None
    wait_for_completion: bool
    deferrable: bool
    poll_interval: float | timedelta | None
    timeout: float | timedelta
    max_failures: int
    on_unclear: OnUnclear | None
    work_folder: PathArg | None


class CheckedJobArguments(JobArguments, total=False):
    """The parameters of :class:`CheckedJobOperator`, for the operators built on it."""

    max_failed_items: WholeArg | None
    max_failed_ratio: NumberArg | None


class MiraklJobOperator(MiraklBaseOperator):
    """Submits a job, waits for its end, archives its reports and evaluates its items.

    A retry resumes the job that a previous try submitted, however that try ended, and returns the same result. A
    changed input is a new job; a job that ended ``FAILED`` is submitted again by a retry; clearing the task submits
    again. When a task is killed the job continues, because Mirakl cannot cancel it: the task log and ``job.json``
    in the work folder name it, and a sensor can wait for it.

    :param mirakl_conn_id: connection of type ``mirakl``. Templated.
    :param role: ``shop``, ``operator`` or ``front``; default the connection's own.
    :param shop_id: the shop; default the connection's own. The operator and the front office must set one where
        Mirakl requires it. Templated.
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

    job: ClassVar[str]
    """Name of the job in the table of jobs."""
    roles: ClassVar[tuple[str, ...]] = ("shop", "operator", "front")
    """Roles that may submit it."""
    early: bool = True
    """Whether the job's early states count as its end."""

    mirakl_conn_id = Text()
    role = Maybe(Choice(get_args(Role)))
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
        mirakl_conn_id: TextArg = MiraklHook.default_conn_name,
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
        self._book: JobBook | None = None
        self._first_began: float | None = None
        self._refused_since: float | None = None
        self._lost = 0  # submissions of this try whose replies were lost
        self._in_worker = False  # the triggerer cannot reach what is to be sent

    # What a subclass defines

    @abstractmethod
    def payload(self, caller: Caller) -> str:
        """A hash of everything that is submitted, after checking it.

        :raises MiraklInputError: the input is invalid; no call was made.
        """

    @abstractmethod
    def submissions(self, caller: Caller, book: JobBook) -> Iterator[Submission]:
        """The calls that begin the jobs, in an order that never changes."""

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

    def has_copy(self) -> bool:
        """Whether the data to send still exists as :meth:`payload` left it."""
        return True

    def lines(self) -> int | None:
        """The number of lines that Mirakl will count; ``None`` if unknown."""
        return None

    def deliver(self, run: TaskRun, client: Client, caller: Caller, jobs: Sequence[Ended]) -> dict[str, Any]:
        """Further keys of the result, such as the files of an export."""
        return {}

    def begun(self, run: TaskRun, book: JobBook) -> dict[str, Any]:
        """The result of a task that does not wait."""
        return {"job_ids": _texts(book.job_ids), "folder": str(run.folder)}

    # What all subclasses share

    @cached_property
    def hook(self) -> MiraklHook:
        """The hook of the operator's connection."""
        return MiraklHook(self.mirakl_conn_id, role=self.role)

    @property
    def kind(self) -> JobKind:
        """The job's entry in the table."""
        from airflow_provider_mirakl.jobs.table import JOBS

        return JOBS[self.job]

    @cached_property
    def caller(self) -> Caller:
        """The role of the key, and the shop.

        :raises MiraklConfigurationError: the role may not submit this job, or the shop is not a number.
        """
        return check_role(read_caller(self.hook, self.shop_id), self.roles, self.hook, self.kind.code)

    def execute(self, context: Context) -> dict[str, Any]:
        """Submit what has not been submitted yet, and wait."""
        return self._begin(context)

    def _begin(self, context: Context, carried: Mapping[str, str] | None = None) -> dict[str, Any]:
        from airflow_provider_mirakl.jobs.book import JobBook

        self._interval()
        run = self._enter(context, begins=True, carried=carried)
        previous = JobBook.find(run.folder, generation=run.generation, store=run.memory)
        if previous is None:  # tells a retry that nothing was sent
            JobBook.open(run.folder, generation=run.generation, payload="", store=run.memory)
        try:
            payload = self.payload(self.caller)
            rejected = self.count_rejected()
        except MiraklInputError as error:
            if previous is None or not previous.job_ids:
                raise
            self.log.warning("%s A previous try submitted %s, which continues.", error, self._named(previous))
            payload, rejected = previous.payload, previous.rejected
        if previous is not None and previous.payload not in ("", payload):
            self._tell_changed(previous)
        book = JobBook.open(run.folder, generation=run.generation, payload=payload, store=run.memory)
        book.rejected = rejected  # noted with the next entry
        if previous is None and run.may_have_lost_notes:
            self._suspect(book)
        if book.job_ids and book.result is None:
            self.log.info("Resuming %s, which a previous try submitted.", self._named(book))
        return self._proceed(context, run, book)

    def _tell_changed(self, previous: JobBook) -> None:
        """Log that a changed input is submitted as another job, and what is known of the first one."""
        if previous.job_ids:
            self.log.warning(
                "The input has changed, so it is submitted as another job. %s of the previous input continues in "
                "Mirakl.",
                self._named(previous).capitalize(),
            )
        for entry in previous.unclear:
            self.log.warning(
                "The input has changed. It is not known whether Mirakl accepted the previous one, sent at %s UTC.",
                utc_time(entry.at),
            )

    def _suspect(self, book: JobBook) -> None:
        """Handle a previous try without a note, whose disk was lost. Find out what it submitted before anything is
        sent, as after a lost reply."""
        if (self.on_unclear or self.kind.unclear) == "resend":
            return
        self.log.warning(
            "This is a retry, and the notes of the previous try are missing: it ran on another disk. Set [mirakl] "
            "work_folder to storage that every worker can access."
        )
        # The submission is not older than the Dag run; if its start is unknown, assume a day.
        book.intend(0, None)
        book.entries[0].at = self._run.run_began or time.time() - 24 * 3600.0
        book.entries[0].span = time.time() - book.entries[0].at
        book.save()

    def _enter(self, context: Context, *, begins: bool, carried: Mapping[str, str] | None = None) -> TaskRun:
        self._run = TaskRun(context, self.work_folder, begins=begins, carried=carried)
        return self._run

    def resume_submission(self, context: Context, event: object = None) -> dict[str, Any]:
        """Continue submitting, after the wait for a permitted time. Without an event, like :meth:`resume`."""
        if event is None:
            return self._begin(context)
        state = event.get("state", {}) if isinstance(event, Mapping) else {}
        self._first_began = state.get("began")
        self._lost = state.get("lost", 0)
        self._refused_since = state.get("refused_since")
        self._in_worker = state.get("in_worker", False)
        run, book = self._taken_up(context, state.get("notes"))
        return self._go_on(context, run, book, state.get("notes"))

    def _go_on(
        self, context: Context, run: TaskRun, book: JobBook, carried: Mapping[str, str] | None
    ) -> dict[str, Any]:
        """Continue submitting, maybe on another disk."""
        if not book.all_submitted and not self.has_copy():
            # Another disk. The source is copied again, and must match the first batches.
            payload = self.payload(self.caller)
            if payload != book.payload and book.entries:
                raise MiraklInputError(
                    f"The input has changed after {len(book.entries)} of its batches were submitted "
                    f"({self._named(book)}), and {run.folder} with its copy is missing. Check that all workers share "
                    "[mirakl] work_folder. Clear the task to submit the whole new input"
                )
            if payload != book.payload:
                return self._begin(context, carried)
        return self._proceed(context, run, book)

    def resume(self, context: Context, event: object = None) -> dict[str, Any]:
        """Continue with what the trigger found.

        Airflow resumes without an event when a task is cleared just as it defers. Nothing is lost: the
        book knows what was submitted, so the try begins like any other.

        :raises MiraklTriggerEventError: the event is not valid.
        """
        from airflow_provider_mirakl.triggers.poll import read_event

        if event is None:
            return self._begin(context)
        run, book = self._taken_up(context, event.get("carried") if isinstance(event, Mapping) else None)
        found = read_event(event)
        with self.hook.get_conn() as client:
            return self._conclude(run, client, book, found)

    def on_kill(self) -> None:
        """Log that the task stops waiting. The job continues in Mirakl, which cannot cancel it."""
        if self._book is None:
            return
        for entry in self._book.abandon():
            self.log.warning(
                "%s %s continues in Mirakl, but this task no longer waits for it; a sensor can, by this id",
                self.kind.title,
                entry.job_id,
            )

    def _taken_up(self, context: Context, carried: Mapping[str, str] | None) -> tuple[TaskRun, JobBook]:
        from airflow_provider_mirakl.jobs.book import JobBook

        run = self._enter(context, begins=False, carried=carried)
        self._book = JobBook.load(run.folder, generation=run.generation, store=run.memory)
        return run, self._book

    def _proceed(self, context: Context, run: TaskRun, book: JobBook) -> dict[str, Any]:
        self._book = book
        if book.result is not None:
            self.log.info("A previous try submitted %s; using its result.", self._named(book))
            return self._checked(book.result)
        with self.hook.get_conn() as client:
            self._submit(context, client, book)
            if not self.wait_for_completion:
                result = self.begun(run, book) | self._described
                run.tell_assets(self, result)
                return result
            found = self._await_end(context, client, book)
            return self._conclude(run, client, book, found)

    # Submitting

    def _submit(self, context: Context, client: Client, book: JobBook) -> None:
        for entry in book.entries:
            if entry.phase == "abandoned":
                entry.phase = "submitted"
        if book.all_submitted:  # do not read the source again: it may no longer exist
            book.save()
            context["ti"].xcom_push(key="job_ids", value=_texts(book.job_ids))
            return
        if not book.entries:
            self.guard(client, self.caller)
        submitter = self._submitter(context, client, book)
        for index, submission in enumerate(self.submissions(self.caller, book)):
            products = submitter.submit(index, submission)
            self._refused_since = None
            if products is not None:
                context["ti"].xcom_push(key="product_import_id", value=products)
            context["ti"].xcom_push(key="job_ids", value=_texts(book.job_ids))
        book.complete = True
        book.save()

    def _submitter(self, context: Context, client: Client, book: JobBook) -> Submitter:
        return Submitter(
            kind=self.kind,
            caller=self.caller,
            client=client,
            book=book,
            claims=self._claims(client),
            policy=self.on_unclear or self.kind.unclear,
            lines=self.lines,
            postpone=lambda wait, lost: self._postpone(context, wait, lost),
            log=self.log,
            # Longer waits belong in the triggerer.
            max_wait=waiting.SHORTEST_DEFERRAL if self.deferrable else None,
            longest_search=min(LONGEST_SEARCH, self.timeout),
            lost=self._lost,
        )

    def _claims(self, client: Client) -> Claims:
        return Claims(self.work_folder, self.job, client.settings.base_url, self._run.generation, self.log)

    def _postpone(
        self, context: Context, wait: MiraklNotYetError | MiraklRateLimitError, lost: int = 0
    ) -> None:
        """Wait until Mirakl permits the next submission.

        :raises MiraklNotYetError: Mirakl does not permit one within :attr:`timeout`.
        :raises MiraklRateLimitError: the same, after a 429.
        """
        now, moment = time.time(), wait.retry_at.timestamp()
        remaining = moment - now
        self._refused_since = min(now, self._refused_since or now)
        end = self._refused_since + self.timeout
        if moment > end:
            self.log.warning("Mirakl has accepted no submission for timeout=%.0f s; giving up.", self.timeout)
            if lost:
                raise MiraklNotYetError(
                    f"{wait} The reply to an earlier submission of this task was lost, so Mirakl may have accepted it; "
                    "check in the back office",
                    operation=self.kind.code,
                    retry_at=wait.retry_at,
                )
            raise wait
        self.log.info(
            "%s Waiting until %s; giving up at %s (timeout=%.0f s).",
            wait,
            waiting.clock(moment),
            waiting.clock(end),
            self.timeout,
        )
        if self.deferrable and waiting.pays_off(remaining):
            from airflow_provider_mirakl.triggers.moment import MomentTrigger

            self.defer(
                trigger=MomentTrigger(
                    wait.retry_at.timestamp(),
                    {
                        "began": self._began(context),
                        "lost": lost,
                        "refused_since": self._refused_since,
                        "in_worker": self._in_worker,
                        "notes": self._run.memory.carried,
                    },
                ),
                method_name=self.resume_submission.__name__,
                timeout=time_left(self.execution_timeout, self._began(context)),
            )
        time.sleep(max(0.0, remaining))

    # Waiting

    def _await_end(self, context: Context, client: Client, book: JobBook) -> dict[str, Any] | None:
        """Wait for the jobs: poll once, then defer; or poll in this worker until the end."""
        wait = waiting.Wait(
            poll="airflow_provider_mirakl.jobs.polls.jobs_ended",
            arguments={
                "kind": self.job,
                "job_ids": [entry.job_id for entry in book.entries if entry.status is None],
                "role": self.caller.role,
                "shop_id": self.caller.shop_id,
                "early": self.early,
            },
            hook=self.hook,
            interval=self._interval(),
            deadline=time.time() + self.timeout,
            max_failures=self.max_failures,
            log=self.log,
            what=self._named(book),
        )
        if not self.deferrable:
            return wait.to_the_end(client)
        found = wait.once(client)
        if found is None:
            left = time_left(self.execution_timeout, self._began(context))
            self.defer(
                trigger=wait.trigger(carried=self._run.memory.carried, since=wait.notes.get("since")),
                method_name=self.resume.__name__,
                timeout=wait.backstop(left),
            )
        return found

    def _interval(self) -> float:
        """Seconds between two polls, stretched by the connection."""
        kind = self.kind
        return stretched(
            "poll_interval",
            kind.recommended if self.poll_interval is None else self.poll_interval,
            factor=self.hook.settings.interval_factor,
            shortest=kind.shortest,
            what=f"a {kind.title}",
        )

    def _began(self, context: Context) -> float | None:
        """When this try began, whether or not it was deferred since."""
        return self._first_began or try_began(context)

    # Evaluating

    def _conclude(
        self, run: TaskRun, client: Client, book: JobBook, found: dict[str, Any] | None
    ) -> dict[str, Any]:
        from airflow_provider_mirakl.jobs.table import evaluate

        if found is None:
            raise MiraklJobTimeoutError(
                f"{self._named(book)} did not end within {self.timeout:,.0f} s; it continues in Mirakl, and a retry "
                "resumes it",
                job_ids=_texts(book.job_ids),
            )
        jobs = []
        for entry in book.entries:
            assert entry.job_id is not None  # noqa: S101 - each was waited for
            status = found["statuses"].get(str(entry.job_id), entry.status)
            evaluation = evaluate(self.kind, status, early=self.early)
            book.ended(entry, status, failed=evaluation.phase == "failed")
            reports = archive(client, self.caller, run.folder, entry.job_id, evaluation, self.log)
            jobs.append(Ended(entry.job_id, entry.items, evaluation, reports))
        result = result_of(run.folder, jobs, self._id_column, self.rejected(book)) | self._described
        if result["failed"]:
            rejects = self.rejects(run, jobs)
            result["rejects"] = None if rejects is None else str(rejects)
        refuse_failed(run, result, self.kind, jobs)
        result |= self.deliver(run, client, self.caller, jobs)
        book.result = result
        book.save()
        return self._checked(result)

    def _checked(self, result: dict[str, Any]) -> dict[str, Any]:
        """The result of a successful task, or the error of one whose items failed."""
        return result

    @property
    def _described(self) -> dict[str, Any]:
        """What distinguishes the results of a mapped task: the shop and the file."""
        source = getattr(self, "source", None)
        return {"shop_id": self.caller.shop_id, "source": source if isinstance(source, str) else None}

    @property
    def _id_column(self) -> str | None:
        return None

    def _named(self, book: JobBook) -> str:
        return f"{self.kind.title} {', '.join(map(str, book.job_ids))}"


class CheckedJobOperator(MiraklJobOperator):
    """Base of the operators whose jobs have items that may fail.

    :param max_failed_items: how many items may fail without failing the task; ``None`` allows any number.
    :param max_failed_ratio: the share of items, 0 to 1, that may fail without failing the task.
    """

    max_failed_items = Maybe(Whole(least=0))
    max_failed_ratio = Maybe(Number(least=0, most=1))

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

    def _checked(self, result: dict[str, Any]) -> dict[str, Any]:
        """Log the results of the items, and fail the task if too many failed."""
        check_items(self._run, result, self.max_failed_items, self.max_failed_ratio, self.log)
        self._run.tell_assets(self, result)
        return result


def _texts(job_ids: Sequence[JobId]) -> list[str]:
    """Ids as results have them, whether Mirakl numbers its jobs or names them."""
    return [str(job_id) for job_id in job_ids]
