"""The queue of an account for one operation, on one event loop."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from weakref import WeakKeyDictionary, WeakValueDictionary

Key = tuple[str, str, str]
"""Account, operation, and any other key of its interval."""


class Line:
    """One caller at a time, first come, first served.

    A task that has made a call joins again at the end for its next one, so all are served in turn. A task whose
    call was refused joins with its old number, and so keeps its place.

    ==========  ======================  ================================================
    State       ``_is_taken``           ``_waiting``
    ==========  ======================  ================================================
    free        false                   empty
    in use      true                    later callers, by number
    handed on   true                    the next caller is woken, but not running yet
    ==========  ======================  ================================================

    ``asyncio.Lock`` does not suffice: it has no numbers, and cannot say how many are ahead.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self._is_taken = False

    def number(self) -> int:
        """The next number."""
        return next(self._numbers)

    def ahead(self, number: int) -> int:
        """How many are ahead of a number, including the one whose turn it is."""
        return int(self._is_taken) + sum(
            other < number for other, waiter in self._waiting if not waiter.done()
        )

    async def join(self, number: int) -> None:
        """Wait for the turn."""
        if not self._is_taken:
            self._is_taken = True
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (number, waiter))
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():  # woken and cancelled at the same time
                self.leave()
            raise

    def leave(self) -> None:
        """End the turn."""
        while self._waiting:
            _, waiter = heapq.heappop(self._waiting)
            if not waiter.done():
                waiter.set_result(None)
                return
        self._is_taken = False


_LINES: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakValueDictionary[Key, Line]] = WeakKeyDictionary()


def line_of(key: Key) -> Line:
    """The line of an account for an operation on the running event loop. It lives as long as a task refers to it."""
    lines = _LINES.setdefault(asyncio.get_running_loop(), WeakValueDictionary())
    return lines.setdefault(key, Line())
