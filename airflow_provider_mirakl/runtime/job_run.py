"""What a job operator does while it runs: submit what is not submitted yet, wait for the end, evaluate.

Operators import this module when they run, not when Airflow parses a Dag.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from typing import Any, Protocol

from airflow.providers.common.compat.sdk import Context

from airflow_provider_mirakl.api.call import Call
from airflow_provider_mirakl.api.caller import Caller
from airflow_provider_mirakl.api.refusals import Limit
from airflow_provider_mirakl.client.http import Client
from airflow_provider_mirakl.exceptions import (
    MiraklError,
    MiraklInputError,
    MiraklJobTimeoutError,
    MiraklNotYetError,
    MiraklRateLimitError,
)
from airflow_provider_mirakl.files.sealed import Stamp, stamp_of
from airflow_provider_mirakl.files.storage import StoragePath
from airflow_provider_mirakl.hooks.base import MiraklBaseHook
from airflow_provider_mirakl.jobs.book import JobBook
from airflow_provider_mirakl.jobs.table import JobKind, evaluate
from airflow_provider_mirakl.outcome import ItemResult
from airflow_provider_mirakl.runtime import waiting
from airflow_provider_mirakl.runtime.choices import OnUnclear
from airflow_provider_mirakl.runtime.results import Ended, archive, refuse_failed, result_of
from airflow_provider_mirakl.runtime.submitting import LONGEST_SEARCH, Claims, Search, Submitter, utc_time
from airflow_provider_mirakl.runtime.task_run import ChangesAsset, TaskRun, time_left, try_began
from airflow_provider_mirakl.triggers.poll import read_event


class JobTask(ChangesAsset, waiting.Waits, Protocol):
    """What a run needs of its operator: the arguments, and what a subclass of ``MiraklJobOperator`` defines."""

    task_run: TaskRun
    book: JobBook | None

    @property
    def job(self) -> str: ...
    @property
    def early(self) -> bool: ...
    @property
    def rejected_count(self) -> int: ...
    @property
    def max_failures(self) -> int: ...
    @property
    def listed_mode(self) -> str | None: ...
    @property
    def unclear_policy(self) -> OnUnclear: ...
    @property
    def timeout(self) -> float: ...
    @property
    def wait_for_completion(self) -> bool: ...
    @property
    def work_folder(self) -> str | None: ...
    @property
    def hook(self) -> MiraklBaseHook: ...
    @property
    def caller(self) -> Caller: ...
    @property
    def kind(self) -> JobKind: ...
    @property
    def described(self) -> dict[str, Any]: ...
    @property
    def column_of_ids(self) -> str | None: ...
    def interval(self) -> float: ...
    def payload(self, caller: Caller) -> str: ...
    def rejected(self, book: JobBook) -> Iterable[ItemResult]: ...
    def rejects(self, run: TaskRun, jobs: Sequence[Ended]) -> StoragePath | None: ...
    def guard(self, client: Client, caller: Caller) -> None: ...
    @property
    def copy(self) -> StoragePath | None: ...
    def has_copy(self) -> bool: ...
    def check_copy(self, book: JobBook) -> None: ...
    def lines(self) -> int | None: ...
    def hand_over(self, job_run: JobRun, book: JobBook) -> None: ...
    def submissions(self, caller: Caller, book: JobBook) -> Iterator[tuple[Call[Any], int | None]]: ...
    def expiring(self) -> AbstractContextManager[None]: ...
    def deliver(
        self, run: TaskRun, client: Client, caller: Caller, jobs: Sequence[Ended]
    ) -> dict[str, Any]: ...
    def begun(self, run: TaskRun, book: JobBook) -> dict[str, Any]: ...
    def checked(self, result: dict[str, Any]) -> dict[str, Any]: ...
    def resume(self, context: Context, event: object = None) -> dict[str, Any]: ...
    def resume_submission(self, context: Context, event: object = None) -> dict[str, Any]: ...


class JobRun:
    """One stay of a job operator in a worker, from its start or its return to its end or its next deferral.

    The book is the memory; it says with which step a try continues:

    ==============================  ==========================================================================
    What the book knows             What the run does
    ==============================  ==========================================================================
    nothing, a first try            checks and copies the input, notes its hash, submits
    nothing, a retry that may have  as after a lost reply: looks for the job in Mirakl's list before it sends
    lost its notes
    nothing submitted, a retry      the same, before Airflow 3.3: another worker may have gone on
    that had left this worker
    another hash                    the input has changed: submits it as another job; the first one continues
    the hash, not all submitted     submits the rest, in the same order; from the copy, or a copy made again
                                    whose hash must be the same
    the hash, all submitted         waits, without reading the source
    a result                        returns it
    ==============================  ==========================================================================

    :param task: the operator.
    :param context: the context of the running task.
    :param begins: whether a try begins here.
    :param carried: notes that came back with a trigger's event.
    :param state: what :meth:`_postpone` stored in the trigger.
    """

    def __init__(
        self,
        task: JobTask,
        context: Context,
        *,
        begins: bool,
        carried: Mapping[str, str] | None = None,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        state = state or {}
        self.task = task
        self.context = context
        self.run = task.task_run = TaskRun(context, task.work_folder, begins=begins, carried=carried)
        self._first_began: float | None = state.get("began")
        self._refused_since: float | None = state.get("refused_since")
        self._search = Search(**{name: state[name] for name in Search.__slots__ if name in state})
        self._in_worker: bool = state.get("in_worker", False)  # the triggerer cannot reach what is to be sent

    @property
    def began(self) -> float | None:
        """When this try began, whether or not it was deferred since."""
        return self._first_began or try_began(self.context)

    @property
    def _state(self) -> dict[str, Any]:
        """What a later stay of the same try must know."""
        return {
            "began": self.began,
            "refused_since": self._refused_since,
            "in_worker": self._in_worker,
            "notes": self.run.memory.carried,
        } | asdict(self._search)

    def begin(self) -> dict[str, Any]:
        """Check the input, and submit what has not been submitted yet."""
        task, run = self.task, self.run
        task.interval()  # a wrong interval fails before anything is read
        previous = JobBook.find(run.folder, generation=run.generation, store=run.memory)
        if previous is None:  # tells a retry that nothing was sent
            JobBook.open(run.folder, generation=run.generation, payload="", store=run.memory)
        try:
            payload, copy = self._copied()
            rejected = task.rejected_count
        except MiraklInputError as error:
            if previous is None or not previous.all_submitted:  # what is left to send must be valid
                raise
            task.log.warning("%s A previous try submitted %s, which continues.", error, self._named(previous))
            payload, rejected, copy = previous.payload, previous.rejected, previous.copy
        if previous is not None and previous.payload not in ("", payload):
            self._tell_changed(previous)
        book = JobBook.open(run.folder, generation=run.generation, payload=payload, store=run.memory)
        book.rejected, book.copy = rejected, copy  # noted with the next entry
        if run.may_have_lost_notes and (previous is None or (previous.left and previous.is_empty)):
            self._suspect(book)
        if book.job_ids and book.result is None:
            task.log.info("Resuming %s, which a previous try submitted.", self._named(book))
        return self.proceed(book)

    def load(self) -> JobBook:
        """The book, after a deferral."""
        run = self.run
        self.task.book = book = JobBook.load(run.folder, generation=run.generation, store=run.memory)
        if book.left:  # from now on, the notes of this worker are complete again
            book.left = False
            book.save()
        return book

    def go_on(self, book: JobBook, carried: Mapping[str, str] | None) -> dict[str, Any]:
        """Continue submitting, maybe on another disk."""
        task = self.task
        if not book.all_submitted and not task.has_copy():
            # Another disk. The source is copied again, and must match the first batches.
            payload, book.copy = self._copied()
            if payload != book.payload and book.entries and not book.job_ids:
                raise MiraklInputError(
                    "The input has changed, and it is not known whether Mirakl accepted the previous one, sent at "
                    f"{utc_time(book.entries[0].at)} UTC. {self.run.folder} with its copy is missing: check that all "
                    "workers share [mirakl] work_folder. Check in the back office; clear the task to submit the new "
                    "input"
                )
            if payload != book.payload and book.entries:
                raise MiraklInputError(
                    f"The input has changed after {len(book.entries)} of its batches were submitted "
                    f"({self._named(book)}), and {self.run.folder} with its copy is missing. Check that all workers "
                    "share [mirakl] work_folder. Clear the task to submit the whole new input"
                )
            if payload != book.payload:
                return JobRun(task, self.context, begins=True, carried=carried, state=self._state).begin()
        elif not book.all_submitted:
            task.check_copy(book)
        return self.proceed(book)

    def _copied(self) -> tuple[str, Stamp | None]:
        """Check and copy the input: its hash, and what its copy is recognized by.

        :raises MiraklInputError: it is invalid.
        """
        task = self.task
        payload = task.payload(task.caller)
        return payload, None if task.copy is None else stamp_of(task.copy)

    def proceed(self, book: JobBook) -> dict[str, Any]:
        """Submit, wait and evaluate."""
        task, run = self.task, self.run
        task.book = book
        if book.result is not None:
            task.log.info("A previous try submitted %s; using its result.", self._named(book))
            return task.checked(book.result)
        with task.expiring(), task.hook.get_conn() as client:
            self._submit(client, book)
            if not task.wait_for_completion:
                result = task.begun(run, book)
                run.tell_assets(task, result)
                return result
            return self.conclude(client, book, self._await_end(client, book))

    def stay(self, client: Client, book: JobBook, event: Mapping[str, Any]) -> None:
        """Note what the triggerer has submitted; keep what is left in this worker if the triggerer cannot reach it."""
        claims = claims_of(self.task, self.run, client)
        for job_id in book.job_ids:
            claims.note(job_id)
        self._in_worker |= waiting.must_stay(self.task, event, self.run.folder)

    def _tell_changed(self, previous: JobBook) -> None:
        """Log that a changed input is submitted as another job, and what is known of the first one."""
        log = self.task.log
        if previous.job_ids:
            log.warning(
                "The input has changed, so it is submitted as another job. %s of the previous input continues in "
                "Mirakl.",
                self._named(previous).capitalize(),
            )
        for entry in previous.unclear:
            log.warning(
                "The input has changed. It is not known whether Mirakl accepted the previous one, sent at %s UTC.",
                utc_time(entry.at),
            )

    def _suspect(self, book: JobBook) -> None:
        """Handle a previous try without a note, whose disk was lost. Find out what it submitted before anything is
        sent, as after a lost reply."""
        task = self.task
        if task.unclear_policy == "resend":
            return
        task.log.warning(
            "This is a retry, and notes of the previous try may be missing, because it ran or continued on another "
            "disk. Set [mirakl] work_folder to storage that every worker can access."
        )
        # The submission is not older than the Dag run; if its start is unknown, assume a day.
        book.intend(0, None)
        book.entries[0].at = self.run.run_began or time.time() - 24 * 3600.0
        book.entries[0].span = time.time() - book.entries[0].at
        book.save()

    # Submitting

    def _submit(self, client: Client, book: JobBook) -> None:
        task, push = self.task, self.context["ti"].xcom_push
        if task.deferrable and not self._in_worker and not book.all_submitted:
            task.hand_over(self, book)
        for entry in book.entries:
            if entry.phase == "abandoned":
                entry.phase = "submitted"
        if book.all_submitted:  # do not read the source again: it may no longer exist
            book.save()
            push(key="job_ids", value=book.texts)
            return
        submitter = self._submitter(client, book)
        for index, (call, items) in enumerate(task.submissions(task.caller, book)):
            known = book.entry(index)
            asks = known is None or known.phase == "intent"
            products = submitter.submit(index, call, items)
            if asks:
                self._refused_since = None
            if products is not None:
                push(key="product_import_id", value=products)
            push(key="job_ids", value=book.texts)
        book.complete = True
        book.save()

    def _submitter(self, client: Client, book: JobBook) -> Submitter:
        task = self.task
        return Submitter(
            kind=task.kind,
            caller=task.caller,
            client=client,
            book=book,
            claims=claims_of(self.task, self.run, client),
            policy=task.unclear_policy,
            lines=task.lines,
            mode=task.listed_mode,
            guard=lambda: task.guard(client, task.caller),
            postpone=self._postpone,
            pause=self._pause,
            search=self._search,
            log=task.log,
            # Longer waits belong in the triggerer.
            max_wait=waiting.SHORTEST_DEFERRAL if task.deferrable else None,
            longest_search=min(LONGEST_SEARCH, task.timeout),
        )

    def _postpone(self, wait: MiraklNotYetError | MiraklRateLimitError) -> None:
        """Wait until Mirakl permits the next submission, or the next look into its list.

        :raises MiraklNotYetError: Mirakl does not permit one within the operator's ``timeout``.
        :raises MiraklRateLimitError: the same, after a 429.
        """
        task = self.task
        try:
            with self._leaving(wait.retry_at.timestamp() - time.time()):
                self._refused_since = waiting.postpone(
                    task,
                    wait,
                    since=self._refused_since,
                    limit=Limit("timeout", task.timeout),
                    state=self._state,
                    resume=task.resume_submission,
                    began=self.began,
                )
        except (MiraklNotYetError, MiraklRateLimitError):
            if not self._search.lost:
                raise
            raise MiraklNotYetError(
                f"{wait} The reply to an earlier submission of this task was lost, so Mirakl may have accepted it; "
                "check in the back office",
                operation=task.kind.code,
                retry_at=wait.retry_at,
            ) from None

    def _pause(self, remaining: float) -> None:
        """Wait until Mirakl's list may be read again."""
        task = self.task
        with self._leaving(remaining):
            waiting.pause(task, remaining, state=self._state, resume=task.resume_submission, began=self.began)

    @contextmanager
    def _leaving(self, seconds: float) -> Iterator[None]:
        """Note that the task leaves the worker before it has submitted everything, if it does.

        The worker that continues may have another disk. A retry that finds the notes of this worker must not treat them
        as complete.
        """
        task, book = self.task, self.task.book
        leaves = task.deferrable and waiting.pays_off(seconds) and not self.run.memory.lasts
        if book is None or not leaves:
            yield
            return
        book.left = True
        book.save()
        try:
            yield
        except MiraklError:  # it stays
            book.left = False
            book.save()
            raise

    # Waiting

    def _await_end(self, client: Client, book: JobBook) -> dict[str, Any] | None:
        """Wait for the jobs: poll once, then defer; or poll in this worker until the end."""
        task = self.task
        wait = waiting.Wait(
            poll="airflow_provider_mirakl.jobs.polls.jobs_ended",
            arguments={
                "kind": task.job,
                "job_ids": [entry.job_id for entry in book.entries if entry.status is None],
                "role": task.caller.role,
                "shop_id": task.caller.shop_id,
                "early": task.early,
            },
            hook=task.hook,
            interval=task.interval(),
            deadline=time.time() + task.timeout,
            max_failures=task.max_failures,
            log=task.log,
            what=self._named(book),
        )
        if not task.deferrable:
            return wait.to_the_end(client)
        found = wait.once(client)
        if found is None:
            left = time_left(task.execution_timeout, self.began)
            task.defer(
                trigger=wait.trigger(carried=self.run.memory.carried, since=wait.notes.get("since")),
                method_name=task.resume.__name__,
                timeout=wait.backstop(left),
            )
        return found

    # Evaluating

    def conclude(self, client: Client, book: JobBook, found: dict[str, Any] | None) -> dict[str, Any]:
        """Archive the reports and evaluate the items.

        :param found: the statuses of the jobs; ``None`` if they did not end in time.
        """
        task, run = self.task, self.run
        if found is None:
            raise MiraklJobTimeoutError(
                f"{self._named(book)} did not end within {task.timeout:,.0f} s; it continues in Mirakl, and a retry "
                "resumes it",
                job_ids=book.texts,
            )
        jobs = []
        for entry in book.entries:
            assert entry.job_id is not None  # noqa: S101 - each was waited for
            status = found["statuses"].get(str(entry.job_id), entry.status)
            evaluation = evaluate(task.kind, status, early=task.early)
            book.ended(entry, status, failed=evaluation.phase == "failed")
            reports = archive(client, task.caller, run.folder, entry.job_id, evaluation, task.log)
            jobs.append(Ended(entry.job_id, entry.items, evaluation, reports))
        result = (
            result_of(run.folder, jobs, task.column_of_ids, task.rejected(book), secrets=client.secrets)
            | task.described
        )
        if result["failed"]:
            rejects = task.rejects(run, jobs)
            result["rejects"] = None if rejects is None else str(rejects)
        refuse_failed(run, result, task.kind, jobs)
        result |= task.deliver(run, client, task.caller, jobs)
        book.result = result
        book.save()
        return task.checked(result)

    def _named(self, book: JobBook) -> str:
        return f"{self.task.kind.title} {', '.join(book.texts)}"


def claims_of(task: JobTask, run: TaskRun, client: Client) -> Claims:
    """What all tasks have noted of the jobs of an operator."""
    return Claims(task.work_folder, task.job, client.settings.base_url, run.generation, task.log)


def begin(task: JobTask, context: Context) -> dict[str, Any]:
    """Begin, or continue what a previous try submitted."""
    return JobRun(task, context, begins=True).begin()


def resume(task: JobTask, context: Context, event: object) -> dict[str, Any]:
    """Continue with what the trigger found.

    :raises MiraklTriggerEventError: the event is not valid.
    """
    carried = event.get("carried") if isinstance(event, Mapping) else None
    run = JobRun(task, context, begins=False, carried=carried)
    book = run.load()
    with task.expiring():
        found = read_event(event)
        with task.hook.get_conn() as client:
            return run.conclude(client, book, found)


def resume_submission(task: JobTask, context: Context, event: object) -> dict[str, Any]:
    """Continue submitting, after the wait for a permitted time."""
    state = event.get("state", {}) if isinstance(event, Mapping) else {}
    run = JobRun(task, context, begins=False, carried=state.get("notes"), state=state)
    return run.go_on(run.load(), state.get("notes"))


def resume_batches(task: JobTask, context: Context, event: object) -> dict[str, Any]:
    """Continue after the triggerer has sent the batches.

    :raises MiraklError: the error that the triggerer met.
    :raises MiraklTriggerEventError: the event is not valid.
    """
    from airflow_provider_mirakl.triggers.paced import read_paced  # with the catalog engine

    found = read_paced(event)
    state = found["state"]
    run = JobRun(
        task, context, begins=False, carried=state.get("carried"), state={"began": state.get("began")}
    )
    book = run.load()
    with task.hook.get_conn() as client:
        run.stay(client, book, found)
    return run.go_on(book, state.get("carried"))
