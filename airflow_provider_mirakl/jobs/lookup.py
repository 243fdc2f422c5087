"""Find the job of a submission whose reply was lost. Pure.

P51, OF04 and PRI02 name no files in Mirakl's published documents (https://developer.mirakl.com), so an import is
recognized by its creation time, shop, origin, mode, and number of lines read. A matching time is not proof: another
task or a user may have imported for the same shop at the same time. So:

=====================================  ===========================================================================
The listing has                        Result
=====================================  ===========================================================================
a job with the unique file name        it is the job (replies may gain fields)
one job that fits and has our lines,   it is the job
and none whose lines are still unread
jobs that fit, lines still unread      not decided yet: list again
one job that another task may have     not decided yet: that task will note its id, or lose its reply too
sent that still waits for its reply
none that fits                         Mirakl did not accept the submission
anything else                          not decided: a user must check
=====================================  ===========================================================================

The same request is never sent again to learn the id, although Mirakl recognizes it: the job may end while the request
is on its way, and Mirakl would then start another one.

Ids that another task has noted as its own never fit. All times are by Mirakl's clock, as shown in its
replies. If no reply was shown to the machine that has sent the submission, and another one searches, its clock is not
known: what fits only with a difference of :data:`UNKNOWN_CLOCK` is then not decided either.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args

from airflow_provider_mirakl.api.caller import Caller
from airflow_provider_mirakl.api.values import moment_of
from airflow_provider_mirakl.jobs.book import Entry, Open
from airflow_provider_mirakl.jobs.table import JobId, JobKind, Status, evaluate

BEFORE = timedelta(minutes=1)
"""Tolerance for the known difference to Mirakl's clock."""
AFTER = timedelta(minutes=15)
"""How long an upload may take. P41 is permitted every 15 minutes, so a later import is a different one."""

UNKNOWN_CLOCK = timedelta(minutes=10)
"""How much the clock of another machine may differ from Mirakl's, if it has not noted by how much."""

SURE = timedelta()

Place = Literal["proven", "pending", "possible"]
"""A field of :class:`Finding`."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a listing shows about a submission.

    :param proven: its job.
    :param pending: jobs that fit so far, whose lines Mirakl has not read yet, or that another task may have sent.
    :param possible: jobs that fit and cannot be distinguished from it.
    """

    proven: JobId | None = None
    pending: tuple[JobId, ...] = ()
    possible: tuple[JobId, ...] = ()

    @property
    def absent(self) -> bool:
        """Whether nothing fits: Mirakl did not accept the submission."""
        return self.proven is None and not (self.pending or self.possible)


def earliest(entry: Entry, clock: float = 0.0, unsure: timedelta = SURE) -> datetime:
    """The time from which to list, by Mirakl's clock.

    :param clock: seconds that Mirakl's clock is ahead of this machine's.
    :param unsure: see :func:`find_submission`.
    """
    return datetime.fromtimestamp(entry.at + clock, UTC) - BEFORE - unsure


def find_submission(
    kind: JobKind,
    statuses: Iterable[Status],
    entry: Entry,
    caller: Caller,
    *,
    lines: int | None = None,
    mode: str | None = None,
    taken: Collection[JobId] = (),
    rivals: Collection[Open] = (),
    clock: float = 0.0,
    unsure: timedelta = SURE,
) -> Finding:
    """Find a submission among the jobs that Mirakl lists.

    :param kind: the job's entry in the table.
    :param statuses: the listing, as far back as :func:`earliest`.
    :param entry: the intent.
    :param caller: the caller, with the shop.
    :param lines: lines of the file, or objects of the batch; ``None`` if they cannot be counted.
    :param mode: the import's mode, where the listing has it.
    :param taken: ids known to be other submissions.
    :param rivals: submissions of other tasks whose job is not known either. It may be the one that fits.
    :param clock: seconds that Mirakl's clock is ahead of this machine's.
    :param unsure: how much the clock of the machine that has noted the intent may differ from this machine's. A job
        that only fits then may be the one, and may not.
    """
    first = earliest(entry, clock)
    latest = datetime.fromtimestamp(entry.at + entry.span + clock, UTC) + AFTER
    alike = {"origin": "API", "mode": mode, "shop_id": caller.shop_id}
    found: dict[Place | None, list[JobId]] = {}
    for status in statuses:
        job_id = status.get("import_id")
        if not isinstance(job_id, int | str) or isinstance(job_id, bool) or job_id in taken:
            continue
        if any(isinstance(value, str) and entry.name in value for value in status.values()):
            return Finding(proven=job_id)
        created = moment_of(status.get("date_created"))
        # A field that the listing does not have says nothing.
        differs = any(
            value is not None and status.get(name) not in (None, value) for name, value in alike.items()
        )
        if created is not None and first - unsure <= created <= latest + unsure and not differs:
            place = _place(kind, status, lines)
            if place == "proven" and not first <= created <= latest:
                place = "possible"
            fitting = [rival for rival in rivals if _may_be(rival, caller, created, lines)]
            if (
                place == "proven" and fitting
            ):  # tasks that have both lost their reply would wait for each other
                place = "possible" if any(rival.lost for rival in fitting) else "pending"
            found.setdefault(place, []).append(job_id)
    proven, pending, possible = (found.get(place, []) for place in get_args(Place))
    if len(proven) == 1 and not pending and not possible:
        return Finding(proven=proven[0])
    if len(proven) > 1 or possible:
        return Finding(possible=(*proven, *pending, *possible))
    return Finding(pending=(*proven, *pending))


def _may_be(rival: Open, caller: Caller, created: datetime, lines: int | None) -> bool:
    """Whether a job with as many lines as ours may be the one that another task has sent.

    Its time is by the clock of another machine. The shop of a key may be one that the other task has named.
    """
    at = datetime.fromtimestamp(rival.at + (rival.clock or 0.0), UTC)
    unsure = UNKNOWN_CLOCK if rival.clock is None else SURE
    alike = [(rival.shop_id, caller.shop_id), (rival.lines, lines)]
    return (
        all(None in pair or pair[0] == pair[1] for pair in alike)
        and at - BEFORE - unsure <= created <= at + timedelta(seconds=rival.span) + AFTER + unsure
    )


def _place(kind: JobKind, status: Status, lines: int | None) -> Place | None:
    """What a job that fits by its time can be; ``None`` if it has other lines than ours."""
    evaluation = evaluate(kind, status)
    read = evaluation.counts.total
    if evaluation.ended:
        if lines is None or not read:
            return "possible"
        return "proven" if read == lines else None
    if lines is not None and read > lines:
        return None
    if lines is None:
        return "possible"  # waiting for its lines does not help
    return "proven" if read == lines else "pending"
