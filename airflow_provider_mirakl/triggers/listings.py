"""The listings that the event triggers of an account share on an event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from airflow_provider_mirakl.triggers.board import FRESH


class SharedListing:
    """A shared reading for all triggers that watch the same listing.

    A reading reaches back to the earliest time that any of them needs, but not much further than the one that reads:
    what is listed may not say when it happened, and a trigger remembers only so many events. So triggers with very
    different intervals read for themselves. A trigger that needs an earlier time than the last reading, or a much later
    one, makes a new one.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._needed: dict[object, datetime] = {}
        self._read_at = float("-inf")
        self._since: datetime | None = None
        self._asked = datetime.min.replace(tzinfo=UTC)
        self._replies: list[Any] = []

    async def read(
        self,
        who: object,
        since: datetime,
        slack: timedelta,
        interval: float,
        ask: Callable[[datetime], Awaitable[tuple[list[Any], datetime]]],
    ) -> tuple[list[Any], datetime, datetime]:
        """The listing: from the last reading while it is fresh, else from a new one.

        :param who: the trigger.
        :param since: the time from which it needs the listing.
        :param slack: how much further back the listing may reach.
        :param interval: seconds for which a reading is current.
        :param ask: lists from a given time on, and tells when it asked.
        :return: the replies, the time from which they are listed, and the time of the call.
        """
        self._needed[who] = since
        async with self._lock:
            is_fresh = time.monotonic() - self._read_at < FRESH * interval
            begin = self._since
            if not (is_fresh and begin is not None and timedelta(0) <= since - begin <= slack):
                begin = min(need for need in (*self._needed.values(), since) if since - need <= slack)
                self._replies, self._asked = await ask(begin)
                self._since, self._read_at = begin, time.monotonic()
            return self._replies, begin, self._asked

    def leave(self, who: object) -> None:
        """Note that a trigger no longer needs it."""
        self._needed.pop(who, None)


Key = tuple[str, ...]
_LISTINGS: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakValueDictionary[Key, SharedListing]] = (
    WeakKeyDictionary()
)


def listing_of(key: Key) -> SharedListing:
    """The listing with a key on the running event loop. It lives as long as a trigger refers to it."""
    listings = _LISTINGS.setdefault(asyncio.get_running_loop(), WeakValueDictionary())
    return listings.setdefault(key, SharedListing())
