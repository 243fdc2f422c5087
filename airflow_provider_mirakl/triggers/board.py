"""The listings of jobs that waiting tasks share on an event loop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary, WeakValueDictionary

from airflow_provider_mirakl.api.caller import Caller
from airflow_provider_mirakl.exceptions import (
    MiraklAuthenticationError,
    MiraklBadRequestError,
    MiraklError,
    MiraklNotFoundError,
    MiraklNotYetError,
    MiraklPermissionError,
)

if TYPE_CHECKING:
    from airflow_provider_mirakl.api.call import Call
    from airflow_provider_mirakl.jobs.polls import JobQuestion

log = logging.getLogger(__name__)

FRESH = 0.97
"""Fraction of an interval for which a cached listing counts as fresh. Less than 1, or a poll that is slightly early
would wait for the next listing; the client still keeps the published interval."""
PAGE = 100
"""Jobs on a page of a listing."""
WHOLE_EVERY = 10
"""Every how many readings one lists all jobs instead of only changes."""
OVERLAP = 120.0
"""Seconds by which a reading of changes overlaps the previous one, because Mirakl's clock may differ from Airflow's."""
FORGET_AFTER = 3
"""Intervals after which a job is dropped from a listing if no task asks for it."""

SendCall = Callable[["Call[Any]"], Awaitable[Any]]


class _Asked(NamedTuple):
    """A task's question for one job.

    :param since: as in the question.
    :param until: when the job leaves the listing, unless a task asks again; by the monotonic clock.
    :param shop_id: the shop that the job belongs to.
    """

    since: datetime
    until: float
    shop_id: int | None


class Board:
    """A shared reading of a listing for all tasks that wait for a job in it.

    A reading is one call, because Mirakl accepts one a minute: the newest jobs, up to a page. A job that is not on the
    page is asked for by itself. If a listing can be filtered by change, most readings ask only for changes, which fit
    on a page however many tasks wait. Reading every page instead would take minutes, during which no task learns
    anything.

    =============================  ==========================  ======================================================
    the reading                    the job is on the page      the job is not on the page
    =============================  ==========================  ======================================================
    of every job                   its status                  asked for by itself
    of changes, complete           its new status              nothing changed: its last status; a job never seen
                                                               before is asked for by itself
    of changes, cut after a page   its new status              asked for by itself: it may have changed
    refused (400, 403, 404)        -                           asked for by itself: the key may not list jobs
    failed otherwise               -                           the error goes to every task; the next reading is due
                                                               one interval later
    =============================  ==========================  ======================================================
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._asked: dict[Any, _Asked] = {}
        self._statuses: dict[Any, Any] = {}
        self._alone: set[Any] = set()
        self._read_at = float("-inf")
        self._read_since: datetime | None = None
        self._readings = 0
        self._error: Exception | None = None

    async def ask(self, question: JobQuestion, interval: float, send: SendCall) -> Any:
        """The status of a job: from the last reading while it is fresh, else from a new one.

        :return: ``None`` if the readings have nothing new about it.
        :raises MiraklError: why the last reading failed, if polling only the job would not help.
        """
        job_id = question.job_id
        new = job_id not in self._asked
        self._note(question, interval)  # so that a reading which begins meanwhile has it
        async with self._lock:
            self._note(question, interval)  # the readings meanwhile may have taken long, and dropped it
            refused = isinstance(self._error, MiraklAuthenticationError)
            if time.monotonic() - self._read_at >= FRESH * interval or (refused and new):
                await self._read(question, interval, send)
        if self._error is not None:
            if isinstance(self._error, MiraklAuthenticationError):
                # Tasks that wait for it fail now; later ones may have come because the key was changed.
                self._asked.pop(job_id, None)
            raise self._error
        if job_id in self._alone:
            self._alone.discard(job_id)
            self._statuses[job_id] = await send(question.call)
        return self._statuses.get(job_id)

    def _note(self, question: JobQuestion, interval: float) -> None:
        until = time.monotonic() + FORGET_AFTER * interval
        self._asked[question.job_id] = _Asked(question.since, until, question.caller.shop_id)

    async def _read(self, question: JobQuestion, interval: float, send: SendCall) -> None:
        now, began = time.monotonic(), datetime.now(UTC)
        self._asked = {
            job_id: asked
            for job_id, asked in self._asked.items()
            if asked.until >= now or job_id == question.job_id
        }
        wanted = set(self._asked)  # a copy: others join during the call
        # Nothing is known of these yet, so recent changes are not enough.
        new = wanted - self._statuses.keys()
        since = min(asked.since for asked in self._asked.values()) - timedelta(seconds=1)
        changes = (
            question.kind.changes and self._readings % WHOLE_EVERY != 0 and (not new or len(wanted) > PAGE)
        )
        if changes and self._read_since is not None:
            since = self._read_since
        assert question.kind.listing is not None  # noqa: S101 - only kinds with a listing have a board
        shops = {asked.shop_id for asked in self._asked.values()}
        caller = Caller(
            question.caller.role, shops.pop() if len(shops) == 1 else None
        )  # None lists every shop
        self._error = None
        try:
            page = await send(question.kind.listing(caller, since, sorted(wanted)[-PAGE:]))
        except (MiraklBadRequestError, MiraklNotFoundError, MiraklPermissionError) as error:
            # A key without the right to list jobs may still read one, as a poking sensor does.
            log.warning("%s Polling each job separately.", error)
            self._alone, self._statuses = wanted, {}
        except MiraklNotYetError:
            raise  # Mirakl was not asked: this reader has no time left, and the next one may have
        except MiraklError as error:
            self._error = error
        else:
            listed = {status.get("import_id"): status for status in page.items}
            found = {job_id: listed[job_id] for job_id in wanted & listed.keys()}
            kept = {job_id: self._statuses[job_id] for job_id in wanted & self._statuses.keys()}
            self._alone = (new if changes and page.following is None else wanted) - found.keys()
            self._statuses = (kept if changes else {}) | found
            self._read_since = began - timedelta(seconds=max(OVERLAP, 2 * interval))
            self._readings += 1
        # Not if the reader was cancelled: then the next one reads.
        self._read_at = time.monotonic()


Key = tuple[str, str, str, int | None]
"""Account, kind of job, role and, of a seller, shop."""


def key_of(account: str, question: JobQuestion) -> Key:
    """Which listing has the job of a question.

    Mirakl counts the calls of a key, whichever shop they are for. The operator's key lists the jobs of all shops at
    once; a seller's key lists those of one shop.
    """
    caller = question.caller
    return account, question.kind.name, caller.role, caller.shop_id if caller.role == "shop" else None


_BOARDS: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakValueDictionary[Key, Board]] = WeakKeyDictionary()


def board_of(key: Key) -> Board:
    """The listing of an account on the running event loop. It lives as long as a task refers to it."""
    boards = _BOARDS.setdefault(asyncio.get_running_loop(), WeakValueDictionary())
    return boards.setdefault(key, Board())
