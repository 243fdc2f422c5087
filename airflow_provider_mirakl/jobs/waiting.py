"""Pure decisions about waiting: when to poll again, which failures to tolerate, when to give up.

A *poll* queries Mirakl once. It is a generator: it yields the steps it needs, receives their results, and returns
its finding, or ``None`` for "not yet". So the same poll works in a worker, with the sync client, and in the triggerer,
with the async client::

    def import_ended(notes: dict[str, Any], *, import_id: int) -> Poll:
        tracking = yield from send(get_import(import_id))
        return tracking if tracking["import_status"] in ("COMPLETE", "FAILED") else None

``notes`` belongs to the poll: what it writes there is available to its next call. Only values that JSON returns
unchanged: in ``reschedule`` mode, where each poll is a process of its own, they are kept in a file. The triggerer
begins with empty notes: a deferrable task passes what it must know as an argument of the poll.

They also show progress: if a poll notes something new before it fails, the count of failures starts again at one.
Otherwise failures that are hours apart would end a task that reads a listing page by page.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeGuard

import msgspec

from airflow_provider_mirakl.api.clock import SteadyClock
from airflow_provider_mirakl.api.steps import Sleep, Steps
from airflow_provider_mirakl.exceptions import (
    MiraklError,
    MiraklNotYetError,
    MiraklRateLimitError,
    MiraklReplyError,
    MiraklServerError,
    MiraklTransportError,
)
from airflow_provider_mirakl.files.notes import NoteKind

Found: TypeAlias = dict[str, Any]
Poll: TypeAlias = Steps[Found | None]

LONGEST_SLEEP = 60.0
"""Seconds after which the clock is read again, since it may have been changed."""
PASSING = (MiraklServerError, MiraklTransportError, MiraklReplyError)
"""Failures that may pass by the next poll. Any other ends the wait at once."""


def is_wait(error: MiraklError) -> TypeGuard[MiraklNotYetError | MiraklRateLimitError]:
    """Whether an error has a time to wait for, and is not a failure: the call was too early, or 429."""
    return isinstance(error, MiraklNotYetError | MiraklRateLimitError)


class Log(Protocol):
    """The logger of a task: structlog's on Airflow 3, the standard library's before."""

    def info(self, message: str, /, *args: object) -> object:
        """Log what happens."""

    def warning(self, message: str, /, *args: object) -> object:
        """Log a warning."""


class Failures(msgspec.Struct):
    """``failures.json``: polls that failed one after another, while each poll is a process of its own."""

    in_a_row: int


FAILURES = NoteKind(
    file="failures.json",
    holds="how many polls of a sensor failed one after another",
    type=Failures,
    damaged="restart",
    fix="They are counted from zero again.",
)


class Remembered(msgspec.Struct):
    """``poll.json``: the notes of a poll, while each poll is a process of its own."""

    notes: dict[str, Any]


REMEMBERED = NoteKind(
    file="poll.json",
    holds="what the polls of a sensor have found so far",
    type=Remembered,
    damaged="restart",
    fix="The sensor polls as if for the first time; with newest_since it may choose a newer import.",
)


@dataclass(frozen=True, slots=True)
class Schedule:
    """When to poll. Times are seconds since the epoch, valid in every process.

    :param first: time of the first poll. Later polls fall on ``first`` plus a multiple of
        ``interval``, so waiting tasks remain spread out even when a triggerer starts all of them at once.
    :param interval: seconds between two polls.
    :param deadline: time of the last poll.
    """

    first: float
    interval: float
    deadline: float

    def next(self, now: float, not_before: float = 0.0) -> float:
        """The time of the next poll: on the grid, never in the past, never after the deadline."""
        moment = max(now, not_before)
        beats = max(0, math.ceil((moment - self.first) / self.interval)) if self.interval > 0 else 0
        return min(max(moment, self.first + beats * self.interval), self.deadline)


@dataclass(slots=True)
class Tolerance:
    """How many polls may fail one after another.

    :param limit: failures that are tolerated; one more is raised. A poll that succeeds, or makes progress, sets the
        count to 0.
    :param failures: failed polls so far.
    """

    limit: int
    failures: int = 0

    def bear(self, error: MiraklError) -> float:
        """Count a failure.

        :return: the time before which polling again is pointless; 0 if unknown.
        :raises MiraklError: the failure, if it cannot pass or is one too many. A 429 is a wait,
            not a failure.
        """
        if is_wait(error):
            return error.retry_at.timestamp()
        if not isinstance(error, PASSING):
            raise error
        self.failures += 1
        if self.failures > self.limit:
            raise error
        return 0.0

    def reset(self) -> None:
        """Note that a poll succeeded, or made progress."""
        self.failures = 0


def tell_failure(log: Log, error: MiraklError, tolerance: Tolerance) -> None:
    """Log a failure that is tolerated, or a wait."""
    if is_wait(error):
        log.info("%s Polling again then.", error)
    else:
        log.warning(
            "%s (failure %d of %d in a row; polling again)", error, tolerance.failures, tolerance.limit
        )


def waiting(
    poll: Callable[[], Poll],
    schedule: Schedule,
    tolerance: Tolerance,
    *,
    notes: dict[str, Any],
    clock: Callable[[], float] | None = None,
    on_failure: Callable[[MiraklError, Tolerance], None] = lambda error, tolerance: None,
) -> Poll:
    """Poll repeatedly.

    :param poll: queries Mirakl once.
    :param notes: those of the poll, which show whether it made progress before it failed.
    :param clock: seconds since the epoch; default a monotonic one, so a clock that is set back does not
        stop the polling.
    :param on_failure: called with every tolerated failure.
    :return: the finding; ``None`` when the deadline has passed.
    :raises MiraklError: a failure that is not tolerated.
    """
    wall = clock or time.time
    now = clock or SteadyClock()
    not_before = 0.0
    while True:
        moment = schedule.next(now(), not_before)
        while (remaining := moment - now()) > 0:
            yield Sleep(min(remaining, LONGEST_SLEEP))
        before = deepcopy(notes)
        try:
            found = yield from poll()
        except MiraklError as error:
            if notes != before:
                tolerance.reset()
            not_before = now() + max(0.0, tolerance.bear(error) - wall())
            on_failure(error, tolerance)
        else:
            if found is not None:
                return found
            tolerance.reset()
            not_before = 0.0
        if moment >= schedule.deadline:
            return None
        not_before = max(not_before, math.nextafter(max(moment, now()), math.inf))
