"""Was a submission taken of which nobody knows? Pure.

P51 names no files in Mirakl's published documents, so an import is told by when it was created, for which shop and by
which way. Should a listing carry the unique file name all the same (replies may gain fields), that alone decides.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from airflow_provider_mirakl.api.caller import Caller
from airflow_provider_mirakl.jobs.book import Entry
from airflow_provider_mirakl.jobs.polls import moment_of
from airflow_provider_mirakl.jobs.table import JobId, Status

BEFORE = timedelta(minutes=1)
"""How far Mirakl's clock may be behind ours."""
AFTER = timedelta(minutes=15)
"""How long an upload may take, and how far Mirakl's clock may be ahead of ours. Not longer: P41 is permitted every 15
minutes, so a later import is another one."""


def earliest(entry: Entry) -> datetime:
    """The moment from which a listing has to reach."""
    return datetime.fromtimestamp(entry.at, UTC) - BEFORE


def matching(statuses: Iterable[Status], entry: Entry, caller: Caller) -> list[JobId]:
    """Ids of the jobs that may be the submission.

    :param statuses: the listing, as far back as :func:`earliest`.
    :param entry: the intent.
    :param caller: whose shop it was for.
    """
    latest = datetime.fromtimestamp(entry.at, UTC) + AFTER
    found: list[JobId] = []
    for status in statuses:
        job_id = status.get("import_id")
        if not isinstance(job_id, int | str) or isinstance(job_id, bool):
            continue
        if any(isinstance(value, str) and entry.name in value for value in status.values()):
            return [job_id]
        created = moment_of(status.get("date_created"))
        if (
            created is not None
            and earliest(entry) <= created <= latest
            and status.get("origin", "API") == "API"
            and caller.shop_id in (None, status.get("shop_id", caller.shop_id))
        ):
            found.append(job_id)
    return found
