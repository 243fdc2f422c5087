"""Simulated time, and its scheduled events.

Nothing runs in the background: due events are applied, in order and at their own time, before the next
call is handled. So the speed changes how long things take, but never their order.
"""

from __future__ import annotations

import heapq
import logging
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

log = logging.getLogger(__name__)


class Clock:
    """Simulated seconds since the start.

    :param speed: simulated seconds per real second; without effect when ``stepped``.
    :param stepped: time does not pass until :meth:`advance`.
    """

    def __init__(self, speed: float = 1.0, stepped: bool = False) -> None:
        self.speed = 1.0 if stepped else speed
        self.stepped = stepped
        self.skew = 0.0
        self._offset = 0.0
        self._mark = time.monotonic()
        self._wall = time.time()
        self._frozen: float | None = None

    def now(self) -> float:
        """Simulated seconds since the start."""
        if self._frozen is not None:
            return self._frozen
        if self.stepped:
            return self._offset
        return self._offset + (time.monotonic() - self._mark) * self.speed

    def advance(self, seconds: float) -> None:
        """Move time forward by simulated seconds.

        :raises ValueError: for a negative number; time never runs backwards.
        """
        if seconds < 0:
            raise ValueError(f"time moves forward only, not by {seconds!r} seconds")
        self._offset += seconds

    def real(self, seconds: float) -> float:
        """A simulated duration in real seconds of the caller."""
        return seconds / self.speed

    def real_up(self, seconds: float) -> int:
        """As :meth:`real`, in whole seconds, rounded up, at least 1."""
        return max(1, math.ceil(self.real(seconds) - 1e-6))

    def wall(self, moment: float) -> float:
        """A simulated time on the caller's own clock (Unix time), as in dates on the wire."""
        return self._wall + moment / self.speed + self.skew

    def at_wall(self, timestamp: float) -> float:
        """The simulated time of a date that a caller sent (Unix time)."""
        return (timestamp - self._wall - self.skew) * self.speed

    def iso(self, moment: float) -> str:
        """A simulated time as Mirakl writes dates: UTC with a trailing Z and milliseconds."""
        stamp = datetime.fromtimestamp(self.wall(moment), UTC)
        return f"{stamp:%Y-%m-%dT%H:%M:%S}.{stamp.microsecond // 1000:03d}Z"

    def freeze(self, moment: float | None) -> None:
        """Fix :meth:`now` at a time while an event is applied; ``None`` releases it."""
        self._frozen = moment

    def dump(self) -> dict[str, float]:
        """The state for a restart."""
        return {"moment": self.now(), "wall": time.time(), "start": self._wall}

    def load(self, saved: dict[str, float]) -> None:
        """Go on from :meth:`dump`; a running clock also ran while the sandbox was down."""
        down = 0.0 if self.stepped else max(0.0, time.time() - saved["wall"]) * self.speed
        self._offset = saved["moment"] + down
        self._mark = time.monotonic()
        self._wall = saved["start"] if self.stepped else time.time() - self._offset / self.speed


Due = Callable[[Any], None]


class Agenda:
    """Scheduled events: (time, kind, payload), applied in order by :meth:`settle`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, str, Any]] = []
        self._number = 0
        self._kinds: dict[str, Due] = {}

    def on(self, kind: str, apply: Due) -> None:
        """Say what a kind of event does; the payload must be JSON, so that it survives a restart."""
        self._kinds[kind] = apply

    def at(self, moment: float, kind: str, payload: Any) -> None:
        """Schedule an event; events of the same time keep the order in which they were scheduled."""
        self._number += 1
        heapq.heappush(self._heap, (moment, self._number, kind, payload))

    def settle(self) -> None:
        """Apply everything that is due."""
        heap = self._heap
        if not heap:
            return
        now = self._clock.now()
        while heap and heap[0][0] <= now:
            moment, _, kind, payload = heapq.heappop(heap)
            self._clock.freeze(moment)
            try:
                self._kinds[kind](payload)
            except Exception:
                # One bad event must not answer for the unrelated call that happened to come next.
                log.exception("the event due at %s failed: %s", moment, kind)
            finally:
                self._clock.freeze(None)

    def pending(self, kind: str) -> list[Any]:
        """The payloads of a kind that are still to come."""
        return [entry[3] for entry in sorted(self._heap, key=lambda entry: entry[:2]) if entry[2] == kind]

    def dump(self) -> list[list[Any]]:
        """Events still to come, as JSON."""
        return [list(entry) for entry in sorted(self._heap, key=lambda entry: entry[:2])]

    def load(self, saved: list[list[Any]]) -> None:
        """Replace the events by those of :meth:`dump`."""
        self._heap = [(entry[0], entry[1], entry[2], entry[3]) for entry in saved]
        heapq.heapify(self._heap)
        self._number = max((entry[1] for entry in self._heap), default=0)

    def clear(self) -> None:
        """Remove all scheduled events."""
        self._heap.clear()
