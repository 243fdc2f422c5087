"""Polls of this package. See :mod:`airflow_provider_mirakl.jobs.waiting` for how one is written."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from airflow_provider_mirakl.api.call import Call, Json
from airflow_provider_mirakl.api.caller import Caller
from airflow_provider_mirakl.api.steps import Send
from airflow_provider_mirakl.api.values import moment_of
from airflow_provider_mirakl.exceptions import one_of
from airflow_provider_mirakl.jobs.table import JOBS, JobId, JobKind, Status, evaluate
from airflow_provider_mirakl.jobs.waiting import Poll

log = logging.getLogger(__name__)

UNTOLD_POLLS = 60
"""How often a finished job is polled again until it reports the results of its lines. Mirakl does not publish how long
that takes; with the recommended interval this is an hour."""
FIRST_DAY = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class JobQuestion(Send[dict[str, Json]]):
    """The status of one job: a call that may be answered from a listing that waiting tasks share.

    :param kind: the job's entry in the table.
    :param since: a time, by Mirakl's clock, from which a listing includes the job.
    """

    call: Call[dict[str, Json]] = field(init=False, repr=False)
    kind: JobKind
    job_id: JobId
    caller: Caller
    since: datetime

    def __post_init__(self) -> None:
        """Make the call for this job only."""
        object.__setattr__(self, "call", self.kind.status(self.job_id, self.caller))


def jobs_ended(
    notes: dict[str, Any],
    *,
    kind: str,
    job_ids: Sequence[JobId],
    role: str = "shop",
    shop_id: int | None = None,
    early: bool = True,
    since: str | None = None,
) -> Poll:
    """Whether all of these jobs have ended.

    :param notes: keeps the ``statuses`` of jobs that ended before the others, and under ``since`` when the first was
        created.
    :param kind: name of the job in the table of jobs.
    :param early: see :func:`~.table.evaluate`.
    :param since: when the first of them was created, as Mirakl wrote it.
    :return: ``statuses`` by id, without the URLs of files.
    """
    row, caller = _kind(kind), Caller(role, shop_id)
    statuses: dict[str, Status] = notes.setdefault("statuses", {})
    for job_id in job_ids:
        if str(job_id) in statuses:
            continue
        status: Status | None = yield JobQuestion(row, row.id(job_id), caller, moment_of(since) or FIRST_DAY)
        if status is None:
            continue  # a shared listing does not have a newer status yet
        notes.setdefault("since", status.get("date_created"))
        evaluation = evaluate(row, status, early=early)
        if evaluation.phase == "done" and not early and not row.told(status):
            polls: dict[str, int] = notes.setdefault("untold", {})
            polls[str(job_id)] = polls.get(str(job_id), 0) + 1
            if polls[str(job_id)] <= UNTOLD_POLLS:
                log.info(
                    "%s %s is %s; Mirakl does not report the results of its lines yet. Polling again.",
                    row.title.capitalize(),
                    job_id,
                    evaluation.state,
                )
                continue
            log.warning(
                "%s %s is %s, but Mirakl still does not report the results of its lines; they count as unknown",
                row.title.capitalize(),
                job_id,
                evaluation.state,
            )
        if evaluation.ended:
            # The URLs of an export's files may be signed, so they are not stored in the event.
            statuses[str(job_id)] = {name: value for name, value in status.items() if name != "urls"}
        elif not evaluation.known:
            log.warning(
                "%s %s is in state %r, which Mirakl does not document; still waiting",
                row.title.capitalize(),
                job_id,
                evaluation.state,
            )
    return {"statuses": statuses} if len(statuses) == len(set(job_ids)) else None


def jobs_or_newest_ended(
    notes: dict[str, Any],
    *,
    kind: str,
    job_ids: Sequence[JobId],
    role: str = "shop",
    shop_id: int | None = None,
    early: bool = True,
    since: str | None = None,
    newest_since: str | None = None,
    newest: JobId | None = None,
) -> Poll:
    """Like :func:`jobs_ended`; without ids, whether the newest job since a given time has ended.

    The newest one at the first poll that finds any: a later one does not replace it, or the wait might never end.

    :param notes: keeps its id under ``newest``.
    :param newest_since: the time, as ISO 8601.
    :param newest: its id, where an earlier poll in another process found it.
    :param since: when that job was created, as Mirakl wrote it.
    """
    row, caller, moment = _kind(kind), Caller(role, shop_id), moment_of(newest_since)
    if moment is None:
        ended = yield from jobs_ended(
            notes, kind=kind, job_ids=job_ids, role=role, shop_id=shop_id, early=early, since=since
        )
        return ended
    newest = notes.setdefault("newest", newest)
    if newest is None:
        assert row.listing is not None  # noqa: S101 - only such kinds have a sensor for it
        page = yield Send(row.listing(caller, moment, ()))
        fitting = [
            (created, status)
            for status in page.items
            if (created := moment_of(status.get("date_created"))) is not None
            and created >= moment
            and (shop_id is None or status.get("shop_id") in (None, shop_id))
        ]
        if not fitting:
            return None
        created, status = max(fitting, key=lambda found: found[0])
        newest = notes["newest"] = row.id(status["import_id"])
        notes["since"] = status.get("date_created")
        log.info("The newest %s since %s is %s", row.title, newest_since, newest)
        evaluation = evaluate(row, status, early=early)
        if evaluation.ended and (early or row.told(status)):
            return {"statuses": {str(newest): status}}
        return None
    ended = yield from jobs_ended(
        notes,
        kind=kind,
        job_ids=[newest],
        role=role,
        shop_id=shop_id,
        early=early,
        since=notes.get("since") or since,
    )
    return ended


def _kind(name: str) -> JobKind:
    """A job of the table, by a name that may be stored in a trigger of another version."""
    return JOBS[one_of("kind", name, tuple(JOBS))]
