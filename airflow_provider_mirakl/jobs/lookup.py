"""Did Mirakl take a submission whose reply was lost? Pure.

P51 names no files in Mirakl's published documents (https://developer.mirakl.com), so an import is told by when it was
created, for which shop, by which way, and by how many lines Mirakl read. That it fits by time is no proof: another task
or a person may have imported for the same shop at the same moment. So:

=====================================  ===========================================================================
The listing has                        What follows
=====================================  ===========================================================================
a job with the unique file name        it is the one (replies may gain fields)
one job that fits and has our lines,   it is the one
and none whose lines are still unread
jobs that fit, lines still unread      not decided yet: list again
none that fits                         Mirakl did not take the submission
anything else                          not decided: a person has to look
=====================================  ===========================================================================

Ids that another task has noted as its own never fit. All moments are reckoned by Mirakl's clock, as its
replies tell it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from airflow_provider_mirakl.api.caller import Caller
from airflow_provider_mirakl.jobs.book import Entry
from airflow_provider_mirakl.jobs.polls import moment_of
from airflow_provider_mirakl.jobs.table import JobId, JobKind, Status, judge

BEFORE = timedelta(minutes=1)
"""How far what is known of Mirakl's clock may be off."""
AFTER = timedelta(minutes=15)
"""How long an upload may take. Not longer: P41 is permitted every 15 minutes, so a later import is another one."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a listing tells about a submission.

    :param proven: the job that it is.
    :param pending: jobs that fit so far, and whose lines Mirakl has not read yet.
    :param possible: jobs that fit and cannot be told apart from it.
    """

    proven: JobId | None = None
    pending: tuple[JobId, ...] = ()
    possible: tuple[JobId, ...] = ()

    @property
    def absent(self) -> bool:
        """Whether nothing fits: Mirakl did not take the submission."""
        return self.proven is None and not self.pending and not self.possible


def earliest(entry: Entry, clock: float = 0.0) -> datetime:
    """The moment from which a listing has to reach, by Mirakl's clock.

    :param clock: seconds that Mirakl's clock is ahead of this machine's.
    """
    return datetime.fromtimestamp(entry.at + clock, UTC) - BEFORE


def find_submission(
    kind: JobKind,
    statuses: Iterable[Status],
    entry: Entry,
    caller: Caller,
    *,
    lines: int | None = None,
    taken: Collection[JobId] = (),
    clock: float = 0.0,
) -> Finding:
    """Find a submission among the jobs that Mirakl lists.

    :param kind: the job's row.
    :param statuses: the listing, as far back as :func:`earliest`.
    :param entry: the intent.
    :param caller: whose shop it was for.
    :param lines: lines of the file, or objects of the batch; ``None`` where they cannot be counted.
    :param taken: ids that are known to be other submissions.
    :param clock: seconds that Mirakl's clock is ahead of this machine's.
    """
    first = earliest(entry, clock)
    latest = datetime.fromtimestamp(entry.at + entry.span + clock, UTC) + AFTER
    proven: list[JobId] = []
    pending: list[JobId] = []
    possible: list[JobId] = []
    for status in statuses:
        job_id = status.get("import_id")
        if not isinstance(job_id, int | str) or isinstance(job_id, bool) or job_id in taken:
            continue
        if any(isinstance(value, str) and entry.name in value for value in status.values()):
            return Finding(proven=job_id)
        created = moment_of(status.get("date_created"))
        if (
            created is None
            or not first <= created <= latest
            or status.get("origin", "API") != "API"
            or caller.shop_id not in (None, status.get("shop_id", caller.shop_id))
        ):
            continue
        verdict = judge(kind, status)
        read = verdict.counts.total
        if lines is None or (verdict.ended and not read):
            possible.append(job_id)  # waiting for its lines tells nothing
        elif read == lines:
            proven.append(job_id)
        elif not verdict.ended and read < lines:
            pending.append(job_id)
    if len(proven) == 1 and not pending and not possible:
        return Finding(proven=proven[0])
    if len(proven) > 1 or possible:
        return Finding(possible=(*proven, *pending, *possible))
    return Finding(pending=(*proven, *pending))
