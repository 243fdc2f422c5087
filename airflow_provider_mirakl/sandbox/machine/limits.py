"""Published call frequencies, and the 429 that follows a call too early."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow_provider_mirakl.sandbox.machine.clock import Clock
from airflow_provider_mirakl.sandbox.machine.settings import Settings
from airflow_provider_mirakl.sandbox.machine.wire import ApiError, System


class Limits:
    """The last counted call by (operation, account, resource).

    A call that comes too early is refused and does not change the time of the next permitted call.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._last: dict[tuple[str, str, str], tuple[float, float]] = {}

    def interval(self, code: str, system: System, published: float) -> float:
        """Simulated seconds between two calls, after settings."""
        if code in self._settings.intervals:
            return self._settings.intervals[code]
        limits = self._settings.limits
        if limits == "off" or (limits == "connect" and system != "connect"):
            return 0.0
        return published

    def take(self, key: tuple[str, str, str], interval: float) -> Callable[[], None] | None:
        """Count a call that arrives now.

        :returns: what takes the call back, if it turns out not to count; ``None`` without a limit.
        :raises ApiError: 429 with ``Retry-After`` in whole real seconds of the caller.
        """
        if interval <= 0:
            return None
        now = self._clock.now()
        before = self._last.get(key)
        if before is not None and now < before[0] + interval:
            wait = self._clock.real_up(before[0] + interval - now)
            raise ApiError(
                429,
                f"Too many requests: {key[0]} may be called once every {self._words(interval)}.",
                headers={"Retry-After": str(wait)},
            )
        self._last[key] = (now, interval)

        def undo() -> None:
            if before is None:
                self._last.pop(key, None)
            else:
                self._last[key] = before

        return undo

    def _words(self, interval: float) -> str:
        return f"{interval:g} seconds"

    def table(self) -> list[dict[str, Any]]:
        """Active limits: start and duration (simulated), and remaining time (real seconds)."""
        now = self._clock.now()
        return [
            {
                "operation": code,
                "account": account,
                "resource": resource,
                "interval": interval,
                "since": moment,
                "free_in": round(max(0.0, self._clock.real(moment + interval - now)), 3),
            }
            for (code, account, resource), (moment, interval) in self._last.items()
            if moment + interval > now
        ]

    def clear(self) -> None:
        """Forget all calls."""
        self._last.clear()

    def dump(self) -> list[list[Any]]:
        """As JSON, for a restart."""
        return [[*key, *value] for key, value in self._last.items()]

    def load(self, saved: list[list[Any]]) -> None:
        """Replace the content by that of :meth:`dump`."""
        self._last = {
            (code, account, resource): (moment, interval)
            for code, account, resource, moment, interval in saved
        }
