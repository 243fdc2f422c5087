"""A wall clock that never runs backwards, and its times in words."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class SteadyClock:
    """Seconds since the epoch, for waits within one process.

    Times come from other processes, so they are by the wall clock. But the wall clock may be set back while a
    wait is under way, and then a wait that trusts it stalls for as long. This one continues with the monotonic clock
    instead. A clock set forward is followed, so a wait may end early, which Mirakl's 429 corrects.
    """

    def __init__(self) -> None:
        self._now = time.time()
        self._monotonic = time.monotonic()

    def __call__(self) -> float:
        """Now."""
        monotonic = time.monotonic()
        self._now = max(self._now + monotonic - self._monotonic, time.time())
        self._monotonic = monotonic
        return self._now


def clock_time(moment: float) -> str:
    """A time, formatted for a task log.

    :param moment: seconds since the epoch.
    """
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S} UTC"
