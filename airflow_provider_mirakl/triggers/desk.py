"""What the triggers of one connection share on an event loop: a client, and the listings of jobs."""

from __future__ import annotations

import asyncio
import importlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from airflow_provider_mirakl._compat import in_thread

if TYPE_CHECKING:
    from airflow_provider_mirakl.api.call import Call
    from airflow_provider_mirakl.api.steps import Step
    from airflow_provider_mirakl.client.http import AsyncClient
    from airflow_provider_mirakl.hooks.base import MiraklBaseHook
    from airflow_provider_mirakl.jobs.polls import JobQuestion

log = logging.getLogger(__name__)

FRESH = 0.97
"""Share of an interval for which a listing is news. Less than all of it, or a look that comes a moment early would
wait for the next one; the client still keeps the published interval."""
PAGE = 100
"""Jobs on a page of a listing."""
WHOLE_EVERY = 10
"""Readings of which one asks for every job, and not for changes alone."""
OVERLAP = 120.0
"""Seconds by which a reading of changes reaches behind the one before, since Mirakl's clock may differ from ours."""
FORGET_AFTER = 3
"""Intervals after which a job that nobody asks for any more leaves a listing."""

AT_ONCE = 50
"""Calls of a connection under way at once; more would wait for each other inside the HTTP library, and time out."""

Send = Callable[["Call[Any]"], Awaitable[Any]]


class Desk:
    """One client for all triggers of a connection, and one reading of each listing.

    Made by :func:`open_desk`.
    """

    def __init__(self, make_hook: Callable[[], MiraklBaseHook]) -> None:
        self._make_hook = make_hook
        self._opening = asyncio.Lock()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._client: AsyncClient | None = None
        self._clients = AsyncExitStack()
        self._boards: dict[tuple[str, str, int | None], Board] = {}
        self.users = 0

    def performer(self, interval: float, deadline: float) -> Callable[[Step], Awaitable[object]]:
        """What performs the steps of a wait.

        :param interval: seconds between two polls.
        :param deadline: moment after which no call may wait for its turn.
        """
        from airflow_provider_mirakl.api.steps import Blocking, Send, Sleep
        from airflow_provider_mirakl.jobs.polls import JobQuestion

        async def send(call: Call[Any]) -> Any:
            return await self._send(call, deadline)

        async def perform(step: Step) -> object:
            match step:
                case Sleep():
                    await asyncio.sleep(step.seconds)
                case Blocking():
                    return await in_thread(step.function)
                case JobQuestion() if step.kind.listing is not None:
                    key = (step.kind.name, step.caller.role, step.caller.shop_id)
                    return await self._boards.setdefault(key, Board()).look(step, interval, send)
                case Send():
                    return await send(step.call)
            return None

        return perform

    async def close(self) -> None:
        """Close the connections."""
        await self._clients.aclose()

    async def _send(self, call: Call[Any], deadline: float) -> Any:
        from airflow_provider_mirakl.exceptions import MiraklAuthenticationError

        client = await self._open()
        try:
            async with self._slots:
                patience = max(0.0, min(client.settings.max_wait, deadline - time.time()))
                return await client.send(call, max_wait=patience)
        except MiraklAuthenticationError:
            # The key may have been changed in the connection: whoever comes next reads it anew.
            if self._client is client:
                self._client = None
            raise

    async def _open(self) -> AsyncClient:
        async with self._opening:
            if self._client is None:
                client = await self._make_hook().get_async_conn()
                self._client = await self._clients.enter_async_context(client)
            return self._client


class Board:
    """One reading of a listing for all who wait for a job in it.

    A reading is one call, since Mirakl takes one a minute: the newest jobs, up to a page. What is not on the page is
    asked for alone. Where a listing tells changes, most readings ask for these, which fit on a page however many wait.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._asked: dict[Any, tuple[datetime, float]] = {}
        self._statuses: dict[Any, Any] = {}
        self._alone: set[Any] = set()
        self._read_at = float("-inf")
        self._read_since: datetime | None = None
        self._readings = 0
        self._error: Exception | None = None

    async def look(self, question: JobQuestion, interval: float, send: Send) -> Any:
        """The status of a job: from the last reading while that is fresh, else from a new one.

        :return: ``None`` where the readings have no news of it.
        :raises MiraklError: why the last reading failed, where asking for the job alone would not help.
        """
        from airflow_provider_mirakl.exceptions import MiraklAuthenticationError

        job_id = question.job_id
        new = job_id not in self._asked
        self._asked[job_id] = (question.since, time.monotonic() + FORGET_AFTER * interval)
        async with self._lock:
            refused = isinstance(self._error, MiraklAuthenticationError)
            if time.monotonic() - self._read_at >= FRESH * interval or (refused and new):
                await self._read(question, interval, send)
        if self._error is not None:
            if isinstance(self._error, MiraklAuthenticationError):
                # Whoever waits for it ends now; who comes later may have come because the key was changed.
                self._asked.pop(job_id, None)
            raise self._error
        if job_id in self._alone:
            self._alone.discard(job_id)
            self._statuses[job_id] = await send(question.call)
        return self._statuses.get(job_id)

    async def _read(self, question: JobQuestion, interval: float, send: Send) -> None:
        from airflow_provider_mirakl.exceptions import (
            MiraklBadRequestError,
            MiraklError,
            MiraklNotFoundError,
            MiraklPermissionError,
        )

        now, began = time.monotonic(), datetime.now(UTC)
        self._asked = {
            job_id: asked
            for job_id, asked in self._asked.items()
            if asked[1] >= now or job_id == question.job_id
        }
        wanted = set(self._asked)  # a copy: others come while the call is under way
        # Of these nothing is known yet, so what changed lately does not tell enough.
        new = wanted - self._statuses.keys()
        since = min(since for since, _ in self._asked.values()) - timedelta(seconds=1)
        changes = (
            question.kind.changes and self._readings % WHOLE_EVERY != 0 and (not new or len(wanted) > PAGE)
        )
        if changes and self._read_since is not None:
            since = self._read_since
        assert question.kind.listing is not None  # noqa: S101 - only such kinds have a board
        self._error = None
        try:
            page = await send(question.kind.listing(question.caller, since, sorted(wanted)[-PAGE:]))
        except (MiraklBadRequestError, MiraklNotFoundError, MiraklPermissionError) as error:
            # Whoever may not list jobs may still ask for his own, as a sensor that pokes does.
            log.warning("%s Asking for each job alone.", error)
            self._alone, self._statuses = wanted, {}
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
        # Not where the reader was cancelled: then it is for the next one to read.
        self._read_at = time.monotonic()


_DESKS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str, str | None], Desk]] = (
    WeakKeyDictionary()
)


@asynccontextmanager
async def open_desk(hook: str, conn_id: str, role: str | None) -> AsyncIterator[Desk]:
    """The desk of a connection on the running event loop; the last one to leave closes it.

    :param hook: path of the hook's class.
    """
    desks = _DESKS.setdefault(asyncio.get_running_loop(), {})
    key = (hook, conn_id, role)
    desk = desks.get(key)
    if desk is None:
        desk = desks[key] = Desk(lambda: _hook(hook, conn_id, role))
    desk.users += 1
    try:
        yield desk
    finally:
        desk.users -= 1
        if desk.users == 0:
            del desks[key]
            await desk.close()


def _hook(path: str, conn_id: str, role: str | None) -> MiraklBaseHook:
    module, _, name = path.rpartition(".")
    kind = getattr(importlib.import_module(module), name)
    hook: MiraklBaseHook = kind(conn_id) if role is None else kind(conn_id, role=role)
    return hook
