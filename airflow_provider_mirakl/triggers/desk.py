"""Shared by the triggers of one connection on an event loop: a client, and the performing of their steps.

All calls of an account whose frequency Mirakl limits go through one queue for each operation (:mod:`.line`), whichever
task and connection they come from.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import importlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

from airflow_provider_mirakl._compat import in_thread
from airflow_provider_mirakl.api.steps import Blocking, Send, Sleep, Turn
from airflow_provider_mirakl.exceptions import (
    MiraklAuthenticationError,
    MiraklError,
    MiraklNotYetError,
    MiraklRateLimitError,
)
from airflow_provider_mirakl.jobs.polls import JobQuestion
from airflow_provider_mirakl.triggers.board import Board, board_of, key_of
from airflow_provider_mirakl.triggers.board import Key as BoardKey
from airflow_provider_mirakl.triggers.line import line_of

if TYPE_CHECKING:
    from airflow_provider_mirakl.api.call import Call, Operation
    from airflow_provider_mirakl.api.steps import Step
    from airflow_provider_mirakl.client.http import AsyncClient
    from airflow_provider_mirakl.hooks.base import MiraklBaseHook
    from airflow_provider_mirakl.hooks.connections import ConnectionValues
    from airflow_provider_mirakl.triggers.line import Line

    Perform = Callable[[Step], Awaitable[object]]

T = TypeVar("T")
P = TypeVar("P")

log = logging.getLogger(__name__)

AT_ONCE = 50
"""Concurrent calls of a connection; more would wait for each other inside the HTTP library, and time out."""
RECHECK = 60.0
"""Seconds after which a connection is read again, so that a task that sends for hours notices that it was disabled, or
that its key was changed."""
FIRST_LEAD = 1.0
"""Seconds before the permitted time when a turn begins, to read the call; more if reading takes longer."""
LONGEST_LEAD = 15.0
KEPT_SLEEP = 2.0
"""Seconds. A longer sleep passes the turn on."""
PATIENCE = 10.0
"""Longest wait of a call in seconds inside the client, during which it keeps its turn."""
LEAST_PATIENCE = 1.0
"""Seconds that any poll may wait for its turn, even if ``max_wait`` or the time that is left is shorter."""
GRACE = 60.0
"""Seconds for a running call to end when its trigger is cancelled."""


class DeadlinePassedError(Exception):
    """The time of a task is over. Not an error of this package, so that generators do not mistake it for Mirakl's."""


def stop_if_cancelled() -> None:
    """End a trigger here if it was cancelled during a call or a note, which was finished first.

    :raises asyncio.CancelledError: it was.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


class Desk:
    """One client for all triggers of a connection. Made by :func:`open_desk`."""

    def __init__(self, make_hook: Callable[[], MiraklBaseHook]) -> None:
        self._make_hook = make_hook
        self._opening = asyncio.Lock()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._client: AsyncClient | None = None
        self._hook: MiraklBaseHook | None = None
        self._read_at = float("-inf")
        self._clients = AsyncExitStack()
        self.users = 0

    @asynccontextmanager
    async def caller(self, *, deadline: float | None = None) -> AsyncIterator[Perform]:
        """Performs the steps of a task that makes calls.

        :param deadline: time at which it must stop.
        """
        performer = _Performer(self, deadline=deadline)
        try:
            yield performer.perform
        finally:
            performer.leave()

    @asynccontextmanager
    async def poller(self, *, interval: float, deadline: float) -> AsyncIterator[Perform]:
        """Performs the steps of a task that polls.

        :param interval: seconds between two polls.
        :param deadline: time of the last poll: no call waits longer for its turn.
        """
        performer = _Performer(self, interval=interval, patience=deadline)
        try:
            yield performer.perform
        finally:
            performer.leave()

    async def client(self) -> AsyncClient:
        """The client for the current state of the connection.

        :raises MiraklConnectionDisabledError: the connection is disabled.
        :raises MiraklConfigurationError: the connection is invalid; every problem is listed.
        """
        async with self._opening:
            if self._client is None or time.monotonic() - self._read_at > RECHECK:
                await self._read()
            assert self._client is not None  # noqa: S101 - just made
            return self._client

    async def values(self) -> ConnectionValues:
        """The current values of the connection. See :meth:`client`."""
        await self.client()
        assert self._hook is not None  # noqa: S101 - read with the client
        return self._hook.values

    async def send(self, call: Call[T], max_wait: float) -> T:
        """Send a call. A call rejected with 401 is sent again if the key was changed meanwhile."""
        client = await self.client()
        async with self._slots:
            try:
                return await client.send(call, max_wait=max_wait)
            except MiraklAuthenticationError:
                async with self._opening:
                    if self._client is client:
                        await self._read()
                    changed = self._client
                if changed is None or changed is client:
                    raise
                log.info("The key of the connection was changed; sending again with the new one")
                return await changed.send(call, max_wait=max_wait)

    async def close(self) -> None:
        """Close the connections."""
        await self._clients.aclose()

    async def _read(self) -> None:
        hook = self._make_hook()
        try:
            await hook.aread()
        except Exception as error:
            if self._client is None or isinstance(error, MiraklError):
                raise
            # A failure of Airflow, such as an API server that restarts.
            log.warning(
                "The connection cannot be read again (%s); continuing with the previous values",
                type(error).__name__,
            )
            self._read_at = time.monotonic()
            return
        self._read_at, self._hook = time.monotonic(), hook
        if self._client is None or hook.settings != self._client.settings:
            self._client = await self._clients.enter_async_context(await hook.get_async_conn())


class _Performer:
    """Performs the steps of one task, and holds its turn.

    A trigger that is cancelled stops between two calls: a running call or note is finished first.
    """

    def __init__(
        self,
        desk: Desk,
        *,
        deadline: float | None = None,
        interval: float = 0.0,
        patience: float | None = None,
    ) -> None:
        self._desk = desk
        self._deadline = deadline
        self._patience = patience
        self._interval = interval
        self._line: Line | None = None
        self._numbers: dict[Line, int] = {}
        self._boards: dict[BoardKey, Board] = {}
        self._lead = FIRST_LEAD
        self._turn_began = 0.0

    async def perform(self, step: Step) -> object:
        """Perform a step, and return its result."""
        match step:
            case Sleep():
                if step.seconds > KEPT_SLEEP:
                    self.leave()
                await self._sleep(step.seconds)
            case Blocking():
                return await self._finish(in_thread(step.function))
            case Turn():
                await self._take_turn(step.operation, step.paced_by)
            case JobQuestion() if step.kind.listing is not None:
                return await (await self._board(step)).ask(step, self._interval, self._send)
            case Send():
                return await self._send(step.call)
        return None

    def leave(self) -> None:
        """Pass the turn on, if this task has it."""
        line, self._line = self._line, None
        if line is not None:
            line.leave()

    async def _board(self, question: JobQuestion) -> Board:
        account = (await self._desk.client()).settings.account
        key = key_of(account, question)
        return self._boards.setdefault(key, board_of(key))

    async def _take_turn(self, operation: Operation, paced_by: str) -> None:
        """Join the queue, and wait until the call is almost due."""
        client = await self._desk.client()
        interval = operation.interval * client.settings.interval_factor
        if interval <= 0 or self._line is not None:
            return
        line = line_of((client.settings.account, operation.code, paced_by))
        number = self._numbers.setdefault(line, line.number())
        ahead = line.ahead(number)
        wait = client.next_permitted(operation, paced_by) + ahead * interval
        patience = self._patience_for(client)
        if patience is not None and wait > patience:
            raise _not_yet(operation, wait, ahead)
        if ahead and patience is None:
            log.info(
                "%s: %d other %s of this account first; this one about %s",
                operation.code,
                ahead,
                "call" if ahead == 1 else "calls",
                f"{_in(wait):%H:%M:%S} UTC",
            )
        try:
            async with asyncio.timeout(patience):
                await self._limited(line.join, number)
        except TimeoutError:  # those ahead took longer than it seemed
            ahead = line.ahead(number)
            wait = client.next_permitted(operation, paced_by) + ahead * interval
            raise _not_yet(operation, wait, ahead) from None
        self._line = line
        await self._until_permitted(client, operation, paced_by, self._lead)
        self._turn_began = time.monotonic()

    async def _until_permitted(
        self, client: AsyncClient, operation: Operation, paced_by: str, lead: float
    ) -> None:
        """Wait in the turn until the call is almost due; pass the turn on if that has become too long."""
        while (wait := client.next_permitted(operation, paced_by) - lead) > 0:
            patience = self._patience_for(client)
            if patience is not None and wait > patience:
                self.leave()
                raise _not_yet(operation, wait, 0)
            await self._sleep(wait)

    async def _send(self, call: Call[T]) -> T:
        """Send a call at its permitted time."""
        stop_if_cancelled()
        client = await self._desk.client()
        if call.operation.interval * client.settings.interval_factor <= 0:
            return await self._finish(self._desk.send(call, self._longest(client)))
        if self._line is None:
            await self._take_turn(call.operation, call.paced_by)
        else:  # the time for reading tells how early the next turn must begin
            taken = 1.5 * (time.monotonic() - self._turn_began)
            self._lead = min(LONGEST_LEAD, max(FIRST_LEAD, max(self._lead, taken)))
        line = self._line
        assert line is not None  # noqa: S101 - just taken
        try:
            await self._until_permitted(client, call.operation, call.paced_by, 0.0)
            result = await self._finish(self._desk.send(call, PATIENCE))
        except (MiraklNotYetError, MiraklRateLimitError):
            raise  # it keeps its number, and so its place
        except BaseException:
            self._numbers.pop(line, None)
            raise
        else:
            self._numbers.pop(line, None)
            return result
        finally:
            self.leave()

    def _longest(self, client: AsyncClient) -> float:
        """Seconds that a call may wait."""
        longest = client.settings.max_wait
        return longest if self._patience is None else max(0.0, min(longest, self._patience - time.time()))

    def _patience_for(self, client: AsyncClient) -> float | None:
        """Seconds that a poll may wait for its turn; ``None`` for a task that makes calls, which has no limit.

        A poll that is a few milliseconds early waits, whatever ``max_wait`` is: else it would be put off by an
        interval.
        """
        return None if self._patience is None else max(LEAST_PATIENCE, self._longest(client))

    async def _sleep(self, seconds: float) -> None:
        await self._limited(asyncio.sleep, seconds)

    async def _limited(self, wait: Callable[[P], Awaitable[None]], argument: P) -> None:
        """Wait, but not beyond the deadline, and not when the trigger is to stop."""
        stop_if_cancelled()
        left = None if self._deadline is None else max(0.0, self._deadline - time.time())
        try:
            async with asyncio.timeout(left):
                await wait(argument)
        except TimeoutError:
            raise DeadlinePassedError from None

    async def _finish(self, work: Awaitable[T]) -> T:
        """Run something that must not be interrupted: if the trigger is cancelled meanwhile, it is finished first.

        The next wait, call or poll begins with :func:`stop_if_cancelled`.
        """
        task = asyncio.ensure_future(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
            done, _ = await asyncio.wait({task}, timeout=GRACE)
            if not done:
                task.cancel()
                raise
            return task.result()


def _in(seconds: float) -> datetime:
    return datetime.fromtimestamp(time.time() + seconds, UTC)


def _not_yet(operation: Operation, wait: float, ahead: int) -> MiraklNotYetError:
    others = f"{ahead} other calls of this account are ahead; " if ahead else ""
    return MiraklNotYetError(
        f"{operation.code}: {others}the next permitted call is at {_in(wait):%Y-%m-%dT%H:%M:%SZ}, in {wait:.0f} s",
        operation=operation.code,
        retry_at=_in(wait),
    )


_DESKS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str, str | None], Desk]] = (
    WeakKeyDictionary()
)


@asynccontextmanager
async def open_desk(hook: str, conn_id: str, role: str | None) -> AsyncIterator[Desk]:
    """The desk of a connection on the running event loop; the last user to leave closes it.

    :param hook: path of the hook's class.
    """
    keep_from_collector()
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


@functools.cache
def keep_from_collector() -> None:
    """Take what is loaded now out of the reach of Python's garbage collector, once in a process.

    A full collection walks every object that Airflow has loaded, and blocks the event loop for about 200 ms: more than
    all work of this package together. Modules never become garbage, so the walk finds nothing. Airflow does the same
    in the processes that it forks from (``gc.freeze`` in its Dag processor and its LocalExecutor), not in the
    triggerer. To ask whether it was done costs as much as a collection (``gc.get_freeze_count`` counts them all), so
    this remembers it.
    """
    gc.freeze()


def _hook(path: str, conn_id: str, role: str | None) -> MiraklBaseHook:
    module, _, name = path.rpartition(".")
    kind = getattr(importlib.import_module(module), name)
    hook: MiraklBaseHook = kind(conn_id) if role is None else kind(conn_id, role=role)
    return hook
