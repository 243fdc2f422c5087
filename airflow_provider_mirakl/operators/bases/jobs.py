"""The base of the operators that submit a job to Mirakl and wait for it.

What was submitted is noted before and after every submission (:mod:`airflow_provider_mirakl.jobs.book`), in the work
folder, from Airflow 3.3 on in the task's state too, and in what a trigger carries. So no retry, crash or lost worker
submits a job again, deferrable or not. What is sent is a copy in the task's folder: a source that is written anew
meanwhile cannot be sent under the hash of the old one, and no batch is read from another file than the one before it.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from airflow.providers.common.compat.sdk import conf

from airflow_provider_mirakl.api.caller import Role
from airflow_provider_mirakl.exceptions import (
    MiraklError,
    MiraklInputError,
    MiraklJobTimeoutError,
    MiraklNotYetError,
    MiraklRateLimitError,
    MiraklReplyError,
    MiraklServerError,
    MiraklTransportError,
    MiraklUnclearSubmissionError,
)
from airflow_provider_mirakl.hooks.mirakl import MiraklHook
from airflow_provider_mirakl.operators.bases.base import MiraklBaseOperator
from airflow_provider_mirakl.runtime.arguments import (
    Choice,
    Flag,
    Id,
    Location,
    Maybe,
    Number,
    Seconds,
    Table,
    Text,
    Whole,
    check_role,
    read_caller,
    stretched,
)
from airflow_provider_mirakl.runtime.results import Ended, archive, judge_items, refuse_failed, result_of
from airflow_provider_mirakl.runtime.signatures import TaskArguments
from airflow_provider_mirakl.runtime.task_run import SHORTEST_DEFERRAL, TaskRun, time_left, try_began
from airflow_provider_mirakl.runtime.waiting import Wait, clock

if TYPE_CHECKING:
    from typing import Unpack

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mirakl.api.call import Call
    from airflow_provider_mirakl.api.caller import Caller
    from airflow_provider_mirakl.client.http import Client
    from airflow_provider_mirakl.files.storage import StoragePath
    from airflow_provider_mirakl.jobs.book import Entry, JobBook
    from airflow_provider_mirakl.jobs.lookup import Finding
    from airflow_provider_mirakl.jobs.table import JobId, JobKind
    from airflow_provider_mirakl.runtime.arguments import NumberArg, PathArg, RowsArg, TextArg, WholeArg

OnUnclear = Literal["look", "resend", "fail"]

LONGEST_SEARCH = 3600.0
"""Seconds for which Mirakl's list is read again and again, until it tells how many lines a job has read."""
CLOCK_TOLERANCE = 5.0
"""Seconds by which two clocks differ before the difference counts."""


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


class JudgedJobArguments(JobArguments, total=False):
    """The parameters of :class:`JudgedJobOperator`, for the operators built on it."""

    max_failed_items: WholeArg | None
    max_failed_ratio: NumberArg | None


class FileJobArguments(JudgedJobArguments, total=False):
    """The parameters of :class:`FileJobOperator`, for the operators built on it."""

    id_column: TextArg | None


@dataclass(frozen=True, slots=True)
class Submission:
    """One call that begins a job.

    :param call: the call; its result is the job's id, or has it as ``import_id``.
    :param items: items it carries, where that is known.
    """

    call: Call[Any]
    items: int | None = None


def _was_not_sent(error: MiraklError) -> bool:
    """Whether an error says that Mirakl cannot have taken the submission: no connection, or a redirect."""
    if isinstance(error, MiraklTransportError):
        return error.surely_not_sent
    return isinstance(error, MiraklReplyError) and error.status is not None and 300 <= error.status < 400


def _clock(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%H:%M:%S}"


class MiraklJobOperator(MiraklBaseOperator):
    """Submits a job, waits for its end, archives its reports and judges its items.

    A retry takes up the job that a previous try submitted, whatever became of that try, and returns the same result. A
    changed input is a new job; a job that ended ``FAILED`` is submitted again by a retry; clearing the task submits
    anew. When a task is killed the job goes on, since Mirakl has no way to cancel it: the task log and ``job.json``
    in the work folder name it, and a sensor can wait for it.

    :param mirakl_conn_id: connection of type ``mirakl``. Templated.
    :param role: ``shop``, ``operator`` or ``front``; default the connection's own.
    :param shop_id: the shop; default the connection's own. The operator and the front office have to name one where
        Mirakl asks for it. Templated.
    :param wait_for_completion: wait for the end of the job. Without it the task ends with the ids, for a sensor.
    :param deferrable: wait in the triggerer; default Airflow's ``[operators] default_deferrable``. Without it the
        worker waits, with the same result.
    :param poll_interval: seconds between two looks; default what Mirakl recommends, at least what it allows. The
        connection's ``interval_factor`` stretches it.
    :param timeout: longest wait for the job in seconds. The job goes on, and a retry takes it up.
    :param max_failures: looks that may fail one after another (5xx, broken connection) before the task fails.
    :param on_unclear: what to do when nobody knows whether Mirakl took a submission: ``look`` for it in Mirakl's
        list, ``resend`` it, or ``fail`` and let a person decide. Default what is safe for the job.
    :param work_folder: folder for ids, reports, rows and rejects, as an object storage path that every worker
        reaches; default ``[mirakl] work_folder``, else ``mirakl`` below ``AIRFLOW_HOME``. Templated.
    """

    job: ClassVar[str]
    """Name of the job's row in the table."""
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

    # What a named operator says

    @abstractmethod
    def payload(self, caller: Caller) -> str:
        """A hash of everything that is submitted, after checking it.

        :raises MiraklInputError: the input is wrong; no call was spent.
        """

    @abstractmethod
    def submissions(self, caller: Caller, book: JobBook) -> Iterator[Submission]:
        """The calls that begin the jobs, in an order that never changes."""

    def rejects(self, run: TaskRun, jobs: Sequence[Ended]) -> StoragePath | None:
        """Write the failed items as input of a next run, where that can be done."""
        return None

    def has_copy(self) -> bool:
        """Whether what is to be sent is there, as :meth:`payload` left it."""
        return True

    def lines(self) -> int | None:
        """How many lines Mirakl will count in what is sent; ``None`` where that cannot be told."""
        return None

    def deliver(self, run: TaskRun, client: Client, caller: Caller, jobs: Sequence[Ended]) -> dict[str, Any]:
        """What else belongs to the result: files of an export."""
        return {}

    # What all have in common

    @cached_property
    def hook(self) -> MiraklHook:
        """The hook of the operator's connection."""
        return MiraklHook(self.mirakl_conn_id, role=self.role)

    @property
    def kind(self) -> JobKind:
        """The job's row in the table."""
        from airflow_provider_mirakl.jobs.table import JOBS

        return JOBS[self.job]

    @cached_property
    def caller(self) -> Caller:
        """Whose key it is, and for which shop.

        :raises MiraklConfigurationError: the role may not submit this job, or the shop is no number.
        """
        return check_role(read_caller(self.hook, self.shop_id), self.roles, self.hook, self.kind.code)

    def execute(self, context: Context) -> dict[str, Any]:
        """Submit what is not submitted yet, and wait."""
        return self._begin(context)

    def _begin(self, context: Context, carried: Mapping[str, str] | None = None) -> dict[str, Any]:
        from airflow_provider_mirakl.jobs.book import JobBook

        self._interval()
        run = self._enter(context, begins=True, carried=carried)
        run.announce(self.log)
        previous = JobBook.find(run.folder, generation=run.generation, store=run.memory)
        if previous is None:  # a retry that finds this note knows that nothing was sent
            JobBook.open(run.folder, generation=run.generation, payload="", store=run.memory)
        try:
            payload = self.payload(self.caller)
        except MiraklInputError as error:
            if previous is None or not previous.job_ids:
                raise
            self.log.warning("%s A previous try submitted %s, which goes on.", error, self._named(previous))
            payload = previous.payload
        if previous is not None and previous.payload not in ("", payload):
            self._tell_changed(previous)
        book = JobBook.open(run.folder, generation=run.generation, payload=payload, store=run.memory)
        if previous is None and run.may_have_lost_notes:
            self._suspect(book)
        if book.job_ids and book.result is None:
            self.log.info("Taking up %s, which a previous try submitted.", self._named(book))
        return self._proceed(context, run, book)

    def _tell_changed(self, previous: JobBook) -> None:
        """Say that a changed input is submitted as another job, and what is known of the first."""
        if previous.job_ids:
            self.log.warning(
                "The input has changed, so it is submitted as another job. %s of the previous input goes on in Mirakl.",
                self._named(previous).capitalize(),
            )
        for entry in previous.unclear:
            self.log.warning(
                "The input has changed. Whether Mirakl took the previous one, sent at %s UTC, is not known.",
                _clock(entry.at),
            )

    def _suspect(self, book: JobBook) -> None:
        """A previous try left no note: its disk is gone. What it may have submitted is cleared up before anything is
        sent, as after a lost reply."""
        if (self.on_unclear or self.kind.unclear) == "resend":
            return
        self.log.warning(
            "This is a retry, and the notes of the previous try are gone: it ran on another disk. Set [mirakl] "
            "work_folder to storage that every worker reaches."
        )
        # Not before the Dag run began; where that is not known, a day.
        book.intend(0, None)
        book.entries[0].at = self._run.run_began or time.time() - 24 * 3600.0
        book.entries[0].span = time.time() - book.entries[0].at
        book.save()

    def _enter(self, context: Context, *, begins: bool, carried: Mapping[str, str] | None = None) -> TaskRun:
        self._run = TaskRun(context, self.work_folder, begins=begins, carried=carried)
        return self._run

    def resume_submission(self, context: Context, event: object = None) -> dict[str, Any]:
        """Go on submitting, after the wait for a permitted moment. Without an event as :meth:`resume`."""
        if event is None:
            return self._begin(context)
        state = event.get("state", {}) if isinstance(event, Mapping) else {}
        self._first_began = state.get("began")
        self._lost = state.get("lost", 0)
        self._refused_since = state.get("refused_since")
        run, book = self._taken_up(context, state.get("notes"))
        if not book.all_submitted and not self.has_copy():
            # Another disk. The source is copied again; it has to be what the first batches were made of.
            payload = self.payload(self.caller)
            if payload != book.payload and book.entries:
                raise MiraklInputError(
                    f"The input has changed after {len(book.entries)} of its batches were submitted "
                    f"({self._named(book)}), and {run.folder} with its copy is gone. Is [mirakl] work_folder shared "
                    "by all workers? Clear the task to submit the new input as a whole"
                )
            if payload != book.payload:
                return self._begin(context, state.get("notes"))
        return self._proceed(context, run, book)

    def resume(self, context: Context, event: object = None) -> dict[str, Any]:
        """Take up what the trigger found.

        Airflow resumes without an event when a task is cleared at the very moment it defers. Nothing is lost: the
        book knows what was submitted, so the try begins like any other.

        :raises MiraklTriggerEventError: for an event that is not understood.
        """
        from airflow_provider_mirakl.triggers.poll import read_event

        if event is None:
            return self._begin(context)
        run, book = self._taken_up(context, event.get("carried") if isinstance(event, Mapping) else None)
        found = read_event(event)
        with self.hook.get_conn() as client:
            return self._conclude(run, client, book, found)

    def on_kill(self) -> None:
        """Note that nobody waits for the job any more. It goes on in Mirakl, which has no way to cancel it."""
        if self._book is None:
            return
        for entry in self._book.abandon():
            self.log.warning(
                "%s %s goes on in Mirakl, and nobody waits for it now; a sensor can take it up by this id",
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
            self.log.info("A previous try submitted %s; its result stands.", self._named(book))
            return self._judged(book.result)
        with self.hook.get_conn() as client:
            self._submit(context, client, book)
            if not self.wait_for_completion:
                return {"job_ids": book.job_ids, "folder": str(run.folder)}
            found = self._await_end(context, client, book)
            return self._conclude(run, client, book, found)

    # Submitting

    def _submit(self, context: Context, client: Client, book: JobBook) -> None:
        for entry in book.entries:
            if entry.phase == "abandoned":
                entry.phase = "submitted"
        if book.all_submitted:  # the source is not read again: it may be gone
            book.save()
            context["ti"].xcom_push(key="job_ids", value=book.job_ids)
            return
        for index, submission in enumerate(self.submissions(self.caller, book)):
            known = book.entry(index)
            if known is not None and known.phase == "intent":
                known = self._cleared_up(client, book, known)
            if known is None:
                self._send(context, client, book, index, submission)
            context["ti"].xcom_push(key="job_ids", value=book.job_ids)
        book.complete = True
        book.save()

    def _send(
        self, context: Context, client: Client, book: JobBook, index: int, submission: Submission
    ) -> Entry:
        """Submit once, and note it.

        ==============================  =====================================================================
        What happens                    What follows
        ==============================  =====================================================================
        the intent cannot be noted      the task fails; nothing was sent
        too early, or 429               the intent is withdrawn; wait for the moment, then again
        surely not sent, or refused     the intent is withdrawn; the task fails, a retry submits
        not known                       cleared up (:meth:`_cleared_up`): the job is adopted; or it was not
                                        taken, and is sent again, once in this try; or a person has to decide
        an id                           logged, noted, noted for other tasks
        ==============================  =====================================================================
        """
        while True:
            entry = book.intend(index, submission.items, client.clock_offset)
            try:
                # A longer wait is for the triggerer.
                answer = client.send(submission.call, max_wait=SHORTEST_DEFERRAL if self.deferrable else None)
            except (MiraklNotYetError, MiraklRateLimitError) as wait:
                book.withdraw(index)
                self._postpone(context, wait)
            except (MiraklTransportError, MiraklServerError, MiraklReplyError) as error:
                if _was_not_sent(error):
                    book.withdraw(index)
                    raise
                self.log.warning("%s Whether Mirakl took it is not known.", error)
                if (known := self._cleared_up(client, book, entry)) is not None:
                    return known
                book.withdraw(index)
                self._lost += 1
                if self._lost > 1:
                    raise
            except (MiraklError, OSError):  # refused; or the file could not be read to its end
                book.withdraw(index)
                raise
            else:
                job_id: JobId = getattr(answer, "import_id", answer)
                # In the log first: a disk may be full, and then no note tells the id.
                self.log.info("%s %s is submitted.", self.kind.title.capitalize(), job_id)
                book.submitted(entry, job_id)
                self._claim(client, job_id)
                self._refused_since = None
                if (products := getattr(answer, "product_import_id", None)) is not None:
                    self.log.info("Its products are product import %s.", products)
                    context["ti"].xcom_push(key="product_import_id", value=products)
                return entry

    def _cleared_up(self, client: Client, book: JobBook, entry: Entry) -> Entry | None:
        """An intent of which it is not known whether Mirakl took it becomes a job, or nothing.

        :return: ``None`` when it is to be sent again.
        :raises MiraklUnclearSubmissionError: a person has to decide.
        """
        kind, policy = self.kind, self.on_unclear or self.kind.unclear
        if policy == "look" and kind.listing is not None:
            finding = self._find(client, book, entry)
            if finding.proven is not None:
                self.log.warning(
                    "Mirakl lists %s %s, which is the one that was sent; taking it up.",
                    kind.title,
                    finding.proven,
                )
                book.submitted(entry, finding.proven)
                self._claim(client, finding.proven)
                return entry
            if finding.absent:
                self.log.warning("Mirakl lists no %s that fits: it was not taken. Sending it.", kind.title)
                return None
            candidates = (*finding.pending, *finding.possible)
            raise MiraklUnclearSubmissionError(
                f"{kind.code}: the submission of {_clock(entry.at)} UTC may be any of "
                f"{', '.join(map(str, candidates))}, or none of them; wait for the right one with a sensor, or clear "
                "the task to submit again",
                operation=kind.code,
                candidates=[str(job_id) for job_id in candidates],
            )
        if policy == "resend":
            self.log.info("Sending it again, which does no harm.")
            return None
        raise MiraklUnclearSubmissionError(
            f"{kind.code}: whether Mirakl took the submission of {_clock(entry.at)} UTC is not known, and there is no "
            "list to look into. Check in the back office; clear the task to submit again, or set on_unclear='resend'",
            operation=kind.code,
        )

    def _find(self, client: Client, book: JobBook, entry: Entry) -> Finding:
        """Look for a submission in Mirakl's list, which may be a little behind, and tells lines once they are read."""
        from airflow_provider_mirakl.jobs.lookup import earliest, find_submission

        kind = self.kind
        assert kind.listing is not None  # noqa: S101 - asked before
        lines = self.lines() if entry.items is None else entry.items
        end, attempt = time.monotonic() + min(LONGEST_SEARCH, self.timeout), 0
        while True:
            attempt += 1
            clock = entry.clock if entry.clock is not None else client.clock_offset or 0.0
            statuses = self._listed(client, earliest(entry, clock))
            told = client.clock_offset or 0.0
            if (
                entry.clock is None and abs(told - clock) > CLOCK_TOLERANCE
            ):  # only this reply told Mirakl's clock
                clock = told
                statuses = self._listed(client, earliest(entry, clock))
            ids = [job_id for status in statuses if isinstance(job_id := status.get("import_id"), int | str)]
            taken = {*book.job_ids, *(job_id for job_id in ids if self._is_claimed(client, job_id))}
            finding = find_submission(
                kind, statuses, entry, self.caller, lines=lines, taken=taken, clock=clock
            )
            if finding.proven is not None or finding.possible or (finding.absent and attempt > 1):
                return finding
            if finding.pending and time.monotonic() > end:
                return finding
            if finding.pending and attempt == 1:
                self.log.info(
                    "Mirakl lists %s %s, which may be the one; waiting until it has read the lines.",
                    kind.title,
                    ", ".join(map(str, finding.pending)),
                )

    def _listed(self, client: Client, since: datetime) -> list[dict[str, Any]]:
        assert self.kind.listing is not None  # noqa: S101 - asked before
        listing = self.kind.listing(self.caller, since, ())
        return [status for page in client.pages(listing) for status in page.items]

    # Which task submitted which job is noted for all tasks, so that none takes another's job for its own.

    def _claim(self, client: Client, job_id: JobId) -> None:
        from airflow_provider_mirakl.jobs.book import CLAIM, Claim

        claim = CLAIM.at(self._claims(client), name=f"{job_id}.json")
        try:
            claim.write(Claim(self._run.generation))
        except MiraklError as error:
            self.log.warning("%s Other tasks do not see that %s is this task's.", error, job_id)

    def _is_claimed(self, client: Client, job_id: JobId) -> bool:
        from airflow_provider_mirakl.jobs.book import CLAIM

        claim = CLAIM.at(self._claims(client), name=f"{job_id}.json").read()
        return claim is not None and claim.owner != self._run.generation

    def _claims(self, client: Client) -> StoragePath:
        import hashlib

        from airflow_provider_mirakl.files.paths import folder_below

        instance = hashlib.sha256(client.settings.base_url.encode()).hexdigest()[:12]
        return folder_below(self.work_folder, "submitted", self.job, instance)

    def _postpone(self, context: Context, wait: MiraklNotYetError | MiraklRateLimitError) -> None:
        """Wait for the moment at which Mirakl takes the next submission.

        :raises MiraklNotYetError: Mirakl would have taken none for longer than :attr:`timeout`.
        :raises MiraklRateLimitError: likewise, after a 429.
        """
        now, moment = time.time(), wait.retry_at.timestamp()
        remaining = moment - now
        self._refused_since = min(now, self._refused_since or now)
        end = self._refused_since + self.timeout
        if moment > end:
            self.log.warning("Mirakl has taken no submission for timeout=%.0f s; giving up.", self.timeout)
            raise wait
        self.log.info(
            "%s Waiting until %s; giving up at %s (timeout=%.0f s).",
            wait,
            clock(moment),
            clock(end),
            self.timeout,
        )
        if self.deferrable and remaining >= SHORTEST_DEFERRAL:
            from airflow_provider_mirakl.triggers.moment import MomentTrigger

            self.defer(
                trigger=MomentTrigger(
                    wait.retry_at.timestamp(),
                    {
                        "began": self._began(context),
                        "lost": self._lost,
                        "refused_since": self._refused_since,
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
        wait = Wait(
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
        """When this try began, whether or not it was away meanwhile."""
        return self._first_began or try_began(context)

    # Judging

    def _conclude(
        self, run: TaskRun, client: Client, book: JobBook, found: dict[str, Any] | None
    ) -> dict[str, Any]:
        from airflow_provider_mirakl.jobs.table import judge

        if found is None:
            raise MiraklJobTimeoutError(
                f"{self._named(book)} did not end within {self.timeout:,.0f} s; it goes on in Mirakl, and a retry "
                "takes it up",
                job_ids=[str(job_id) for job_id in book.job_ids],
            )
        jobs = []
        for entry in book.entries:
            assert entry.job_id is not None  # noqa: S101 - each was waited for
            status = found["statuses"].get(str(entry.job_id), entry.status)
            verdict = judge(self.kind, status, early=self.early)
            book.ended(entry, status, failed=verdict.phase == "failed")
            reports = archive(client, self.caller, run.folder, entry.job_id, verdict, self.log)
            jobs.append(Ended(entry.job_id, entry.items, verdict, reports))
        result = result_of(run.folder, jobs, self._id_column)
        if result["failed"]:
            rejects = self.rejects(run, jobs)
            result["rejects"] = None if rejects is None else str(rejects)
        refuse_failed(self.kind, jobs)
        result |= self.deliver(run, client, self.caller, jobs)
        book.result = result
        book.save()
        return self._judged(result)

    def _judged(self, result: dict[str, Any]) -> dict[str, Any]:
        """The result of a task that did its work, or the error of one whose items failed."""
        return result

    @property
    def _id_column(self) -> str | None:
        return None

    def _named(self, book: JobBook) -> str:
        return f"{self.kind.title} {', '.join(map(str, book.job_ids))}"


class JudgedJobOperator(MiraklJobOperator):
    """Base of the operators whose jobs carry items, of which some may fail.

    :param max_failed_items: failed items that do not fail the task; ``None`` lets any number pass.
    :param max_failed_ratio: share of failed items, 0 to 1, that does not fail the task.
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

    def _judged(self, result: dict[str, Any]) -> dict[str, Any]:
        """Log what became of the items, and fail the task when too many failed."""
        judge_items(
            result, self.max_failed_items, self.max_failed_ratio, self.log, push=self._run.push_result
        )
        return result


class FileJobOperator(JudgedJobOperator):
    """Base of the operators that upload a file.

    :param source: the file: a local path or object storage.
    :param id_column: the column of error reports that names an item; default the first of the usual ones.
    """

    source = Location()
    id_column = Maybe(Text())

    def __init__(
        self, *, source: PathArg, id_column: TextArg | None = None, **kwargs: Unpack[JudgedJobArguments]
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.id_column = id_column

    @abstractmethod
    def upload(self, caller: Caller, file_name: str) -> Call[Any]:
        """The call that uploads :attr:`content` under a name."""

    @property
    def options(self) -> dict[str, Any]:
        """What else is submitted: a change makes another job."""
        return {}

    @property
    def path(self) -> StoragePath:
        """The file."""
        from airflow_provider_mirakl.files.paths import storage_path

        return storage_path(self.source)

    @property
    def copy(self) -> StoragePath:
        """The copy that is sent, in the task's folder."""
        return self._run.folder / "sent" / self.path.name

    def has_copy(self) -> bool:
        """Whether the copy is there."""
        return self.copy.exists()

    def content(self) -> Any:
        """Open the copy for a try to send it."""
        return self.copy.open("rb")

    def payload(self, caller: Caller) -> str:
        """Copy the file, and hash the copy, its options and the shop."""
        import hashlib
        import json

        from airflow_provider_mirakl.files.storage import BLOCK, writing

        digest = hashlib.sha256(
            json.dumps([self.job, self.options, caller.role, caller.shop_id], sort_keys=True).encode()
        )
        try:
            with self.path.open("rb") as file:
                self.copy.parent.mkdir(parents=True, exist_ok=True)
                with writing(self.copy) as copy:
                    while block := file.read(BLOCK):
                        digest.update(block)
                        copy.write(block)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError) as error:
            raise MiraklInputError(
                f"source: {self.source!r} is not a file that can be read ({error})"
            ) from None
        self.refuse_empty()
        return digest.hexdigest()

    def refuse_empty(self) -> None:
        """Refuse a file that says nothing, before its call is spent: P41's is worth 15 minutes, and a file that
        replaces what Mirakl has would delete all of it.

        :raises MiraklInputError: it is empty, or a CSV file of a heading only.
        """
        if self.copy.stat().st_size == 0:
            raise MiraklInputError(f"source: {self.source!r} is empty; nothing was sent")
        if self.lines() == 0:
            raise MiraklInputError(
                f"source: {self.source!r} has a heading and no line below it; nothing was sent"
            )

    def lines(self) -> int | None:
        """Lines below the heading of a CSV file."""
        from airflow_provider_mirakl.files.csv_table import open_table
        from airflow_provider_mirakl.jobs.reports import is_csv

        if not is_csv(self.copy.name):
            return None
        try:
            with open_table(self.copy, errors="replace") as table:
                return sum(1 for _ in table.rows)
        except MiraklInputError:  # Mirakl may read what is not read here
            return None

    def submissions(self, caller: Caller, book: JobBook) -> Iterator[Submission]:
        """The file, under a name that is its own."""
        stem, dot, ending = self.path.name.rpartition(".")
        name = f"{stem}-{book.name(0)}.{ending}" if dot else f"{ending}-{book.name(0)}"
        yield Submission(self.upload(caller, name))

    def rejects(self, run: TaskRun, jobs: Sequence[Ended]) -> StoragePath | None:
        """The failed lines, in the columns of the source; of CSV files only."""
        from airflow_provider_mirakl.jobs.reports import is_csv, write_rejected_lines

        reports = [path for job in jobs for report, path in job.reports if report.lists == "failures"]
        if not reports or not all(is_csv(path.name) for path in (self.copy, *reports)):
            return None
        if not self.copy.exists():
            self.log.warning("%s is gone, so its failed lines cannot be picked out.", self.copy)
            return None
        target = run.folder / "rejects.csv"
        written = write_rejected_lines(self.copy, reports, target, self.id_column)
        return None if written is None else target

    @property
    def _id_column(self) -> str | None:
        return self.id_column


class RowsJobOperator(JudgedJobOperator):
    """Base of the operators that send JSON objects in batches, each a job of its own.

    :param source: the objects: a list, or a file (NDJSON, a JSON array, CSV or Parquet; a local path or object
        storage).
    :param batch_size: objects in one job.
    """

    source = Table()
    batch_size = Whole()

    def __init__(
        self, *, source: RowsArg, batch_size: WholeArg, **kwargs: Unpack[JudgedJobArguments]
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.batch_size = batch_size

    @abstractmethod
    def check(self, item: Any) -> list[Any]:
        """Every problem of one object."""

    @abstractmethod
    def batch(self, caller: Caller, rows: list[bytes]) -> Call[Any]:
        """The call that sends encoded objects."""

    def payload(self, caller: Caller) -> str:
        """Check every object, hash them, and keep a copy of them."""
        import hashlib
        import json

        from airflow_provider_mirakl.files.storage import writing

        digest = hashlib.sha256(f"{self.job} {self.batch_size} {caller}".encode())
        problems: list[Any] = []
        count = found = 0
        self.copy.parent.mkdir(parents=True, exist_ok=True)
        with writing(self.copy) as copy:
            for row in self.source_rows():
                digest.update(row + b"\n")
                copy.write(row.replace(b"\n", b" ") + b"\n")
                count += 1
                faults = self.check(json.loads(row))
                found += len(faults)
                problems += faults[: 1000 - len(problems)]
        if found:
            raise MiraklInputError(
                f"source: {found:,} problems in {count:,} objects; nothing was sent",
                problems,
                problem_count=found,
            )
        if not count:
            raise MiraklInputError("source: holds nothing to send")
        return digest.hexdigest()

    def submissions(self, caller: Caller, book: JobBook) -> Iterator[Submission]:
        """The objects, in batches."""
        batch: list[bytes] = []
        for row in self.rows():
            batch.append(row)
            if len(batch) == self.batch_size:
                yield Submission(self.batch(caller, batch), len(batch))
                batch = []
        if batch:
            yield Submission(self.batch(caller, batch), len(batch))

    @property
    def copy(self) -> StoragePath:
        """The copy of the objects that is sent, one a line, in the task's folder."""
        return self._run.folder / "sent" / "rows.ndjson"

    def has_copy(self) -> bool:
        """Whether the copy is there."""
        return self.copy.exists()

    def rows(self) -> Iterator[bytes]:
        """The objects as they are sent, encoded."""
        with self.copy.open("rb") as file:
            for line in file:
                yield line.rstrip(b"\n")

    def source_rows(self) -> Iterator[bytes]:
        """The objects of the source, encoded."""
        from airflow_provider_mirakl.catalog.source import open_source
        from airflow_provider_mirakl.files.paths import storage_path

        source = open_source(storage_path(self.source) if isinstance(self.source, str) else self.source)
        for batch in source.batches():
            if batch.refused:
                raise MiraklInputError(
                    f"source: {source.name} cannot be read", [p for r in batch.refused for p in r.problems]
                )
            yield from batch.rows
