"""The paced loop: which call to make next, when, and what to do when it fails. Decisions only: no I/O.

A worker and the triggerer perform the same steps (:mod:`airflow_provider_mirakl.api.steps`). Progress is on storage,
not in the loop: the process may die between any two steps, and another continues.

One round of the loop::

    is the work still where it was?   another process may have continued it meanwhile: then it is opened again
    sleep                             until just before the time that the last call, a failure or a 429 permits
    turn                              in the account's queue; only the triggerer has one
    read the call                     a chunk of products; in memory only while its call is near
    sleep                             what is left
    note the intent, send, note the result; withdraw the intent if Mirakl certainly did nothing
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_mirakl.api.clock import SteadyClock
from airflow_provider_mirakl.api.refusals import Limit, Log, bounded
from airflow_provider_mirakl.api.steps import Sleep, Steps, Turn, blocking, send
from airflow_provider_mirakl.exceptions import (
    MiraklError,
    MiraklNotYetError,
    MiraklRateLimitError,
    MiraklServerError,
    MiraklStorageError,
    MiraklTransportError,
)

if TYPE_CHECKING:
    from airflow_provider_mirakl.catalog.work import Work

T = TypeVar("T")

READ_AHEAD = 1.0
"""Seconds before its time when a call is read, so that reading does not delay it."""
LONGEST_PAUSE = 15 * 60.0
"""Seconds between two tries of a call that keeps failing."""
_LIBRARIES = frozenset({"aiobotocore", "aiohttp", "azure", "botocore", "gcsfs", "google", "requests"})
"""Modules of errors of object stores that are not an ``OSError``."""
_STAYING = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)


@dataclass(slots=True)
class Pace:
    """The state of the loop besides the progress on storage. Kept through deferrals: small, and not secret.

    :param not_before: time of the next call after a failure or a 429, in seconds since the epoch.
    :param failures: calls that failed in a row.
    :param refused_since: time of the first 429 after the last accepted call; ``None`` if there was none.
    """

    not_before: float = 0.0
    failures: int = 0
    refused_since: float | None = None


@dataclass(frozen=True, slots=True)
class CallLimits:
    """The limits of the loop.

    :param interval_factor: stretches the published intervals.
    :param max_failures: failures in a row: of calls, and of the storage.
    :param refused_timeout: seconds during which Mirakl may answer only 429.
    """

    interval_factor: float
    max_failures: int
    refused_timeout: float


def make_calls(
    open_work: Callable[[], Work | None],
    pace: Pace,
    limits: CallLimits,
    log: Log,
    *,
    clock: Callable[[], float] | None = None,
) -> Steps[None]:
    """Make every call of a piece of work, and of the next ones, until there is none.

    :param open_work: finds the work and its progress on storage; ``None`` when all calls are made. Called again when
        another process has continued the work.
    :param pace: the state of an earlier part of the loop; changed in place.
    :param clock: seconds since the epoch; default a monotonic one.
    :raises MiraklError: a failure that cannot pass, or one too many.
    """
    loop = _Loop(pace, limits, log, clock or SteadyClock())
    while (work := (yield from loop.stored(open_work))) is not None:
        yield from loop.make_calls(work)


class _Loop:
    def __init__(self, pace: Pace, limits: CallLimits, log: Log, clock: Callable[[], float]) -> None:
        self._pace = pace
        self._limits = limits
        self._log = log
        self._now = clock

    def make_calls(self, work: Work) -> Steps[None]:
        while (operation := work.operation) is not None:
            interval = operation.interval * self._limits.interval_factor
            due = self._due(work, interval)
            yield from self._sleep_until(due - min(READ_AHEAD, interval / 10))
            yield Turn(operation)
            if not (yield from self.stored(lambda: work.is_current)):
                self._log.info("Another process has continued this work; going on from its progress.")
                return
            call = yield from self.stored(work.next_call)
            if call is None:
                return
            yield from self._sleep_until(due)
            yield from self.stored(work.intend)
            try:
                result = yield from send(call)
            except MiraklError as error:
                if error.surely_not_done:
                    yield from self.stored(work.withdraw)
                match error:
                    case MiraklNotYetError() | MiraklRateLimitError():
                        self._refused(error)
                    case MiraklServerError() | MiraklTransportError():
                        self._failed(error, interval)
                    case _:
                        raise
            else:
                self._pace.failures, self._pace.refused_since = 0, None
                at = datetime.now(UTC)
                # Noted however long the storage takes: an accepted call must not be repeated.
                yield from self.stored(lambda result=result, at=at: work.accept(result, at))  # type: ignore[misc]
                self._log.info("%s", work.describe(interval))

    def stored(self, function: Callable[[], T]) -> Steps[T]:
        """Work on the storage. A failure that may pass is retried."""
        failures = 0
        while True:
            try:
                return (yield from blocking(lambda: _tell_storage(function)))
            except MiraklStorageError as error:
                failures += 1
                if failures > self._limits.max_failures:
                    raise
                pause = min(LONGEST_PAUSE, 2.0**failures)
                self._log.warning(
                    "%s (failure %d of %d in a row; trying again in %.0f s)",
                    error,
                    failures,
                    self._limits.max_failures,
                    pause,
                )
                yield Sleep(pause)

    def _due(self, work: Work, interval: float) -> float:
        """The time of the next call."""
        # Never later than the interval, in case the clock was set back.
        last = min(work.last_call_at.timestamp(), self._now()) + interval if work.last_call_at else 0.0
        not_before = work.not_before.timestamp() if work.not_before else 0.0
        return max(last, not_before, self._pace.not_before)

    def _sleep_until(self, moment: float) -> Steps[None]:
        while (remaining := moment - self._now()) > 0:
            yield Sleep(remaining)

    def _refused(self, wait: MiraklNotYetError | MiraklRateLimitError) -> None:
        """Handle a 429: it is a wait, not a failure; but one that does not end is an error."""
        pace, now = self._pace, self._now()
        seconds = max(0.0, wait.retry_at.timestamp() - time.time())
        pace.not_before = now + seconds
        limit = Limit("refused_timeout", self._limits.refused_timeout)
        first = bounded(
            wait, now=now, moment=pace.not_before, since=pace.refused_since, limit=limit, log=self._log
        )
        if first is None:
            raise wait
        pace.refused_since = first

    def _failed(self, failure: MiraklServerError | MiraklTransportError, interval: float) -> None:
        pace = self._pace
        pace.failures += 1
        if pace.failures > self._limits.max_failures:
            raise failure
        pause = min(LONGEST_PAUSE, max(interval, 2.0**pace.failures))
        pace.not_before = self._now() + pause
        self._log.warning(
            "%s Failure %d of %d in a row; trying again in %.0f s.",
            failure,
            pace.failures,
            self._limits.max_failures,
            pause,
        )


def _tell_storage(function: Callable[[], T]) -> T:
    """Do work on the storage; a failure that may pass becomes an error of this package."""
    try:
        return function()
    except MiraklError:
        raise
    except Exception as error:
        library = type(error).__module__.partition(".")[0] in _LIBRARIES
        if isinstance(error, _STAYING) or not (library or isinstance(error, OSError)):
            raise
        raise MiraklStorageError(
            f"The work folder cannot be accessed: {type(error).__name__}: {error}",
            path=str(getattr(error, "filename", None) or ""),
        ) from error
