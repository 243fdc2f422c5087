"""Submits jobs to Mirakl without submitting any twice, whatever fails in between.

What was submitted is noted before and after every call (:mod:`airflow_provider_mirakl.jobs.book`). When a reply is
lost, the job is searched for before anything is sent again.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Literal

from airflow_provider_mirakl.api.call import Call
from airflow_provider_mirakl.api.caller import Caller
from airflow_provider_mirakl.api.clock import clock_time
from airflow_provider_mirakl.api.paging import LONGEST_WAIT
from airflow_provider_mirakl.client.http import Client
from airflow_provider_mirakl.exceptions import (
    MiraklApiError,
    MiraklError,
    MiraklInputError,
    MiraklNotYetError,
    MiraklRateLimitError,
    MiraklReplyError,
    MiraklTransportError,
    MiraklUnclearSubmissionError,
)
from airflow_provider_mirakl.files.notes import Note
from airflow_provider_mirakl.files.paths import folder_below
from airflow_provider_mirakl.files.storage import StoragePath
from airflow_provider_mirakl.jobs.book import CLAIM, OPEN, Claim, Entry, JobBook, Open
from airflow_provider_mirakl.jobs.lookup import SURE, UNKNOWN_CLOCK, Finding, earliest, find_submission
from airflow_provider_mirakl.jobs.table import JobId, JobKind
from airflow_provider_mirakl.runtime.choices import OnUnclear
from airflow_provider_mirakl.triggers.poll import dump_error, load_error

LONGEST_SEARCH = 3600.0
"""Seconds for which Mirakl's list is polled until it shows how many lines a job has read."""
CLOCK_TOLERANCE = 5.0
"""Seconds by which two clocks must differ to count as different."""
Resolved = Literal["adopted", "send"]
"""How a submission is resolved of which it was not known whether Mirakl accepted it: :meth:`Submitter._resolve`."""


def utc_time(moment: float) -> str:
    """The UTC time of day, for messages."""
    return f"{datetime.fromtimestamp(moment, UTC):%H:%M:%S}"


class Claims:
    """Which task submitted which job, noted for all tasks, so that none adopts another task's job.

    :param work_folder: the operator's argument.
    :param job: name of the job in the table of jobs.
    :param instance: URL of the instance.
    :param owner: the task instance, see :attr:`TaskRun.generation`.
    """

    def __init__(self, work_folder: str | None, job: str, instance: str, owner: str, log: Any) -> None:
        self._work_folder = work_folder
        self._job = job
        self._instance = instance
        self._owner = owner
        self._log = log

    def note(self, job_id: JobId, asked_at: float | None = None) -> None:
        """Note that a job belongs to this task.

        :param asked_at: of an export, when its request was made. An earlier one of another run is kept: Mirakl
            recognizes an identical request, and returns the job that runs already.
        """
        try:
            if asked_at is not None:
                asked_at = self.first_asked_at(job_id, asked_at)
            self._of(job_id).write(Claim(self._owner, asked_at))
        except MiraklError as error:
            self._log.warning("%s Other tasks cannot see that %s belongs to this task.", error, job_id)

    def intend(
        self, index: int, entry: Entry, shop_id: int | None, lines: int | None, *, lost: bool = False
    ) -> None:
        """Note that a submission is about to be sent: until its job is known, it may be any that fits.

        :param index: its place in the book.
        :param entry: the submission.
        :param lost: whether its reply was lost.
        """
        try:
            self._open(index).write(
                Open(self._owner, entry.at, entry.span, shop_id, lines, lost, entry.clock)
            )
        except MiraklError as error:
            self._log.warning("%s Other tasks cannot see that this task is submitting a job.", error)

    def settle(self, index: int) -> None:
        """Note that the job of a submission is known, or that there is none."""
        # A note that is left behind makes other tasks look twice, for a quarter of an hour.
        with suppress(OSError, MiraklError):
            self._open(index).remove()

    @property
    def rivals(self) -> list[Open]:
        """What other tasks have submitted, or are about to submit, without knowing its job.

        To be read before :meth:`is_taken`: a task notes the id first.
        """
        folder = self._folder / "open"
        try:
            names = [path.name for path in folder.iterdir()]
        except FileNotFoundError:
            return []
        found = (OPEN.at(folder, name=name).read() for name in names if name.endswith(".json"))
        return [rival for rival in found if rival is not None and rival.owner != self._owner]

    def is_taken(self, job_id: JobId) -> bool:
        """Whether a job belongs to another task."""
        claim = self._of(job_id).read()
        return claim is not None and claim.owner != self._owner

    def first_asked_at(self, job_id: JobId, asked_at: float) -> float:
        """When the request of an export was first made, maybe by another run.

        :param asked_at: when this task made it.
        """
        claim = self._of(job_id).read()
        return asked_at if claim is None or claim.asked_at is None else min(asked_at, claim.asked_at)

    def _of(self, job_id: JobId) -> Note[Claim]:
        return CLAIM.at(self._folder, name=f"{job_id}.json")

    def _open(self, index: int) -> Note[Open]:
        owner = hashlib.sha256(self._owner.encode()).hexdigest()[:16]
        return OPEN.at(self._folder / "open", name=f"{owner}-{index}.json")

    @cached_property
    def _folder(self) -> StoragePath:
        instance = hashlib.sha256(self._instance.encode()).hexdigest()[:12]
        return folder_below(self._work_folder, "submitted", self._job, instance)


@dataclass(slots=True)
class Search:
    """What one try knows of lost replies. A deferral keeps it.

    :param lost: number of submissions whose reply was lost, and whose job was not found.
    :param looks: how often Mirakl's list was read for the last of them, since ``looking_since``.
    :param looking_since: in seconds since the epoch; ``None`` if nothing is searched for.
    :param error: what was received instead of the last lost reply, as JSON.
    :param clock: seconds that Mirakl's clock was ahead of the machine that read the list last.
    """

    lost: int = 0
    looks: int = 0
    looking_since: float | None = None
    error: dict[str, Any] | None = None
    clock: float | None = None


@dataclass(slots=True)
class Submitter:
    """Submits the jobs of one task, one after another.

    :param kind: the job's entry in the table.
    :param caller: the caller, with its role and shop.
    :param client: sends the calls.
    :param book: the notes.
    :param claims: the notes for other tasks.
    :param policy: what to do if it is not known whether Mirakl accepted a submission.
    :param lines: counts the lines of the input, if possible; called only when a job is searched for.
    :param mode: the mode of the import, where Mirakl's list shows it.
    :param guard: rejects input with unintended effects; called before the first submission.
    :param postpone: after a refusal, waits for the permitted time, or defers.
    :param pause: waits a number of seconds, or defers.
    :param search: what is known of lost replies; both waits keep it.
    :param max_wait: longest wait in seconds inside the client; ``postpone`` handles longer ones.
    :param longest_search: seconds for which Mirakl's list may be polled.
    """

    kind: JobKind
    caller: Caller
    client: Client
    book: JobBook
    claims: Claims
    policy: OnUnclear
    lines: Callable[[], int | None]
    mode: str | None
    guard: Callable[[], None]
    postpone: Callable[[MiraklNotYetError | MiraklRateLimitError], None]
    pause: Callable[[float], None]
    search: Search
    log: Any
    max_wait: float | None = None
    longest_search: float = LONGEST_SEARCH
    _guarded: bool = False

    def submit(self, index: int, call: Call[Any], items: int | None = None) -> int | None:
        """Submit one job, unless the book knows it already.

        :param index: its place in the book.
        :param call: the call; its result is the job's id, or has it as ``import_id``.
        :param items: number of items in it, if known.
        :return: id of the product import that Mirakl started with it, if any.
        :raises MiraklUnclearSubmissionError: a user must decide.
        """
        known = self.book.entry(index)
        if known is None:
            return self._send(index, call, items)
        if known.phase != "intent":
            return None
        if self._resolve(known, unsure=UNKNOWN_CLOCK if known.clock is None else SURE) == "adopted":
            return None
        # Two replies were lost in this try, and the task left the worker in the meantime.
        if self.search.lost > 1 and self.search.error is not None:
            self._withdraw(index)
            raise load_error(self.search.error)
        self._guarded_now(known)
        return self._send(index, call, items)

    def _guarded_now(self, unclear: Entry | None = None) -> None:
        """Call the guard, once in a try, and unless a job of this task already runs."""
        if self._guarded or not self.book.is_empty:
            return
        try:
            self.guard()
        except MiraklInputError:
            if unclear is not None:
                self.log.warning(
                    "It is not known whether Mirakl accepted the submission of %s UTC; it was not sent again.",
                    utc_time(unclear.at),
                )
            raise
        self._guarded = True

    def _send(self, index: int, call: Call[Any], items: int | None) -> int | None:
        """Submit once, and note it.

        ==============================  =====================================================================
        What happens                    Result
        ==============================  =====================================================================
        the intent cannot be noted      the task fails; nothing was sent
        too early, or 429               the intent is withdrawn; wait until permitted, then try again
        certainly not sent, or refused  the intent is withdrawn; the task fails, a retry submits
        not known                       resolved (:meth:`_resolve`): the job is adopted; or it is sent again, once in
                                        this try; or a user must decide
        an id                           logged, noted, noted for other tasks
        ==============================  =====================================================================

        A call that Mirakl recognizes is sent again at once and identically, where a second job would be harmless, or
        Mirakl lists none.
        """
        self._guarded_now()
        if self.policy != "resend":  # else the client itself repeats a call whose reply was lost
            call = replace(call, operation=replace(call.operation, replay=False))
        at_once = False
        while True:
            entry = self.book.intend(index, items, self.client.clock_offset)
            if self._searches:
                self.claims.intend(index, entry, self.caller.shop_id, items)
            try:
                answer = self.client.send(_unpaced(call) if at_once else call, max_wait=self.max_wait)
            except (MiraklError, OSError) as error:  # an OSError: the file could not be read completely
                resolved = self._failed(error, index, entry)
            else:
                return self._accepted(entry, answer)
            if resolved == "adopted":
                return None
            at_once = False
            if self.book.entry(index) is not None:  # else it was too early, and is withdrawn already
                self._withdraw(index)
                at_once = self.kind.recognizes  # Mirakl may still recognize the request, if it comes at once

    @property
    def _searches(self) -> bool:
        """Whether Mirakl's list is searched after a lost reply."""
        return self.policy == "search" and self.kind.listing is not None

    def _withdraw(self, index: int) -> None:
        self.book.withdraw(index)
        if self._searches:
            self.claims.settle(index)

    def _submitted(self, entry: Entry, job_id: JobId) -> None:
        """Note the id of a job, for this task and for the others."""
        self.book.submitted(entry, job_id)
        self.claims.note(job_id, self.book.asked_at)
        if self._searches:
            self.claims.settle(self.book.entries.index(entry))

    def _failed(self, error: MiraklError | OSError, index: int, entry: Entry) -> Resolved:
        """Decide what follows a call that has returned no id: see :meth:`_send`."""
        if isinstance(error, MiraklNotYetError | MiraklRateLimitError):
            self._withdraw(index)
            self.postpone(error)
            return "send"
        if (
            not isinstance(error, MiraklTransportError | MiraklApiError | MiraklReplyError)
            or error.surely_not_done
        ):
            self._withdraw(index)
            raise error
        self.log.warning("%s It is not known whether Mirakl accepted it.", error)
        self.search.lost, self.search.error = self.search.lost + 1, dump_error(error)
        resolved = self._resolve(entry)
        if resolved == "adopted":
            return resolved
        if self.search.lost > 1:
            if resolved == "send":
                self._withdraw(index)
            raise error
        return resolved

    def _accepted(self, entry: Entry, answer: Any) -> int | None:
        """Note the job's id. Log it first: if the disk is full, the note cannot keep it."""
        job_id: JobId = getattr(answer, "import_id", answer)
        self.log.info("%s %s was submitted.", self.kind.title.capitalize(), job_id)
        if self.book.asked_at is not None:
            # A watermark must not be later than the request, by Mirakl's clock.
            self.book.asked_at -= self.client.seconds_ahead
            with suppress(MiraklError):  # an accepted job is noted, whatever else fails
                self.book.asked_at = self.claims.first_asked_at(job_id, self.book.asked_at)
        self._submitted(entry, job_id)
        products: int | None = getattr(answer, "product_import_id", None)
        if products is not None:
            self.log.info("Its products are product import %s.", products)
        return products

    def _resolve(self, entry: Entry, *, unsure: timedelta = SURE) -> Resolved:
        """Resolve an uncertain submission.

        :param unsure: how much the clock of the machine that made it may differ from this one's.
        :return: ``adopted``: its job was found and noted. ``send``: it was not accepted, or a second one is harmless.
        :raises MiraklUnclearSubmissionError: a user must decide.
        """
        kind = self.kind
        if self._searches:
            finding = self._find(entry, unsure)
            if finding.proven is not None:
                self.log.warning(
                    "Mirakl lists %s %s, which is the one that was sent; waiting for it.",
                    kind.title,
                    finding.proven,
                )
                self._submitted(entry, finding.proven)
                self.search.lost = max(0, self.search.lost - 1)
                return "adopted"
            if finding.absent:
                self.log.warning(
                    "Mirakl lists no matching %s, so it was not accepted. Sending it.", kind.title
                )
                return "send"
            candidates = (*finding.pending, *finding.possible)
            raise MiraklUnclearSubmissionError(
                f"{kind.code}: the submission of {utc_time(entry.at)} UTC may be any of "
                f"{', '.join(map(str, candidates))}, or none of them; wait for the right one with a sensor, or clear "
                "the task to submit again",
                operation=kind.code,
                candidates=[str(job_id) for job_id in candidates],
                final=not finding.pending,  # a list without lines that are still unread stays as it is
            )
        if self.policy == "resend":
            self.log.info("Sending it again, which is harmless.")
            self.book.sent_again = True  # saved when it is withdrawn, or intended again
            return "send"
        raise MiraklUnclearSubmissionError(
            f"{kind.code}: it is not known whether Mirakl accepted the submission of {utc_time(entry.at)} UTC, and "
            "Mirakl does not list these jobs. Check in the back office; clear the task to submit again, or set "
            "on_unclear='resend'",
            operation=kind.code,
            final=True,
        )

    def _find(self, entry: Entry, unsure: timedelta) -> Finding:
        """Search Mirakl's list for a submission. The list may lag, and shows lines only once they are read."""
        lines = self.lines() if entry.items is None else entry.items
        index, search = self.book.entries.index(entry), self.search
        self.claims.intend(index, entry, self.caller.shop_id, lines, lost=True)
        search.looking_since = search.looking_since or time.time()
        end = search.looking_since + self.longest_search
        while True:
            known = entry.clock
            statuses, clock = self._listed(entry, end, unsure)
            if entry.clock != known:
                self.claims.intend(index, entry, self.caller.shop_id, lines, lost=True)
            search.looks += 1
            ids = [job_id for status in statuses if isinstance(job_id := status.get("import_id"), int | str)]
            rivals = self.claims.rivals
            taken = {*self.book.known_ids, *(job_id for job_id in ids if self.claims.is_taken(job_id))}
            finding = find_submission(
                self.kind, statuses, entry, self.caller, lines=lines, mode=self.mode, taken=taken, rivals=rivals,
                clock=clock, unsure=unsure,
            )  # fmt: skip
            if finding.pending and time.time() < end:
                if search.looks == 1:
                    self.log.info(
                        "Mirakl lists %s %s, which this task may have sent; waiting until Mirakl has read its lines, "
                        "or another task has noted it as its own.",
                        self.kind.title,
                        ", ".join(map(str, finding.pending)),
                    )
            elif not finding.absent or search.looks > 1:
                search.looks, search.looking_since = 0, None
                return finding

    def _listed(self, entry: Entry, end: float, unsure: timedelta) -> tuple[list[dict[str, Any]], float]:
        """Mirakl's list since a submission, and how far Mirakl's clock is ahead.

        :param end: when the search ends, in seconds since the epoch.
        :param unsure: how much the clock of the machine that made the submission may differ from this one's.
        """
        assert self.kind.listing is not None  # noqa: S101 - asked before
        while True:
            is_known, clock = self._clock is not None, self._ahead(entry)
            listing = self.kind.listing(self.caller, earliest(entry, clock, unsure), ())
            if (seconds := self._until_look(listing, end)) > 0:
                self.log.info(
                    "Looking into Mirakl's list again at %s; the search ends at about %s",
                    clock_time(time.time() + seconds),
                    clock_time(end),
                )
                self.pause(seconds)
            try:
                pages = self.client.pages(listing, max_wait=self.max_wait, later=LONGEST_WAIT)
                statuses = [status for page in pages for status in page.items]
            except (MiraklNotYetError, MiraklRateLimitError) as wait:
                self._note_clock(entry, unsure)
                if time.time() > end:
                    raise
                self.postpone(wait)
                continue
            self._note_clock(entry, unsure)
            if not is_known and abs(self._ahead(entry) - clock) > CLOCK_TOLERANCE:
                continue  # only this reply showed Mirakl's clock, so the list was read from the wrong time
            return statuses, self._ahead(entry)

    def _until_look(self, listing: Call[Any], end: float) -> float:
        """Seconds until the next look. Mirakl permits one a minute, and recommends one every five minutes."""
        permitted = self.client.next_permitted(listing.operation, listing.paced_by)
        return max(permitted, min(permitted * min(self.search.looks, 5), end - time.time()))

    def _ahead(self, entry: Entry) -> float:
        """Seconds that Mirakl's clock is ahead of the time that the entry has, as far as that is known."""
        return entry.clock if entry.clock is not None else self._clock or 0.0

    @property
    def _clock(self) -> float | None:
        """Seconds that Mirakl's clock is ahead of this machine's, or of the one that looked before it."""
        return self.search.clock if self.client.clock_offset is None else self.client.clock_offset

    def _note_clock(self, entry: Entry, unsure: timedelta) -> None:
        """Note how far Mirakl's clock is ahead of this machine's, if the entry has its time.

        The next look may be made on another machine.
        """
        self.search.clock = self._clock
        if entry.clock is None and not unsure and self.client.clock_offset is not None:
            entry.clock = self.client.clock_offset
            self.book.save()


def _unpaced(call: Call[Any]) -> Call[Any]:
    """The same call without its published interval: Mirakl decides, with 429, whether it comes too early."""
    return replace(
        call, operation=replace(call.operation, interval=0), paced_by=f"{call.paced_by} repeated".strip()
    )
