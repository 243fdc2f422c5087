"""How long Mirakl may refuse a call as too early: a wait, not a failure, but one that ends. Decisions only: no I/O."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from airflow_provider_mirakl.api.clock import clock_time
from airflow_provider_mirakl.exceptions import MiraklNotYetError, MiraklRateLimitError


class Log(Protocol):
    """The logger of the wait."""

    def info(self, message: str, /, *args: object) -> object:
        """Log a wait."""

    def warning(self, message: str, /, *args: object) -> object:
        """Log that the waits are over."""


class Limit(NamedTuple):
    """What bounds the waits in a row.

    :param name: the argument of the operator, as the log names it.
    :param seconds: its value.
    """

    name: str
    seconds: float


def bounded(
    wait: MiraklNotYetError | MiraklRateLimitError,
    *,
    now: float,
    moment: float,
    since: float | None,
    limit: Limit,
    log: Log,
) -> float | None:
    """Whether a refused call may be waited for, counting from the first refusal in a row.

    :param wait: the refusal.
    :param now: seconds since the epoch.
    :param moment: when Mirakl permits the call, on the same clock.
    :param since: time of the first refusal after the last accepted call; ``None`` if this is the first.
    :return: time of the first refusal, for the next one; ``None`` if the limit would pass before the call is permitted.
    """
    first = min(now, since or now)  # a clock that was set back does not lengthen the wait
    end = first + limit.seconds
    if moment > end:
        log.warning(
            "Mirakl has accepted no call since %s; giving up after %s=%.0f s.",
            clock_time(first),
            *limit,
        )
        return None
    log.info(
        "%s Waiting until %s; giving up at %s unless a call is accepted before (%s=%.0f s).",
        wait,
        clock_time(moment),
        clock_time(end),
        *limit,
    )
    return first
