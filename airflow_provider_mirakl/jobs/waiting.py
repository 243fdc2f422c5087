"""Waiting, as pure decisions: when to ask again, which failures to bear, when to give up.

A *poll* is one look at Mirakl, written as a generator: it yields the calls it needs, is handed their results, and
returns what it found, or ``None`` for "not yet". So the same poll serves a worker, which sends with the sync client,
and the triggerer, which sends with the async one::

    def import_ended(notes: dict[str, Any], *, import_id: int) -> Poll:
        tracking = yield get_import(import_id)
        return tracking if tracking["import_status"] in ("COMPLETE", "FAILED") else None

``notes`` belongs to the poll for as long as the waiting lasts: what it writes there it finds at its next look.
"""

from __future__ import annotations

import importlib
import math
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from airflow_provider_mirakl.api.call import Call
from airflow_provider_mirakl.exceptions import (
    MiraklConfigurationError,
    MiraklError,
    MiraklNotYetError,
    MiraklRateLimitError,
    MiraklReplyError,
    MiraklServerError,
    MiraklTransportError,
)

Ask: TypeAlias = Any
"""What a poll yields: a :class:`~airflow_provider_mirakl.api.call.Call`, anything with one under ``call``, or
:class:`Blocking`."""
Found: TypeAlias = dict[str, Any]
Poll: TypeAlias = Generator[Ask, Any, Found | None]
PollFunction: TypeAlias = Callable[..., Poll]
T = TypeVar("T")

LONGEST_SLEEP = 60.0
"""Seconds after which the wall clock is looked at again, since it may have been set."""
PASSING = (MiraklServerError, MiraklTransportError, MiraklReplyError)
"""Failures that may be gone at the next look. Any other ends the waiting at once."""


@dataclass(frozen=True, slots=True)
class Sleep:
    """A step of the waiting: let so many seconds pass."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Blocking:
    """What a poll yields for work that blocks, such as reading a file: the triggerer does it in a thread.

    :param function: does the work; its result is handed to the poll.
    """

    function: Callable[[], Any]


Step: TypeAlias = Sleep | Blocking | Ask


@dataclass(frozen=True, slots=True)
class Schedule:
    """When to look. Moments are seconds since the epoch, so that they hold in every process.

    :param first: moment of the first look. The later ones keep its beat: they fall on ``first`` plus a multiple of
        ``interval``, so that waiting tasks stay spread out even when a triggerer takes all of them up at once.
    :param interval: seconds between two looks.
    :param deadline: moment of the last look.
    """

    first: float
    interval: float
    deadline: float

    def next(self, now: float, not_before: float = 0.0) -> float:
        """The moment of the next look: at a beat, never in the past, never after the deadline."""
        moment = max(now, not_before)
        beats = max(0, math.ceil((moment - self.first) / self.interval)) if self.interval > 0 else 0
        return min(max(moment, self.first + beats * self.interval), self.deadline)


@dataclass(slots=True)
class Tolerance:
    """How many looks may fail one after another.

    :param limit: failures that are borne; one more is raised. A look that succeeds sets the count back.
    :param failures: failed looks so far.
    """

    limit: int
    failures: int = 0

    def bear(self, error: MiraklError) -> float:
        """Take a failure.

        :return: the moment before which asking again makes no sense; 0 where nothing says so.
        :raises MiraklError: the failure itself, when it does not pass by itself or is one too many. A 429 is a wait
            and no failure.
        """
        if isinstance(error, MiraklNotYetError | MiraklRateLimitError):
            return error.retry_at.timestamp()
        if not isinstance(error, PASSING):
            raise error
        self.failures += 1
        if self.failures > self.limit:
            raise error
        return 0.0

    def reset(self) -> None:
        """Note that a look succeeded."""
        self.failures = 0


def waiting(
    poll: Callable[[], Poll],
    schedule: Schedule,
    tolerance: Tolerance,
    *,
    clock: Callable[[], float] = time.time,
    on_failure: Callable[[MiraklError, Tolerance], None] = lambda error, tolerance: None,
) -> Generator[Step, Any, Found | None]:
    """Look again and again.

    :param poll: makes one look.
    :param on_failure: is told every failure that is borne.
    :return: what was found; ``None`` when the deadline passed.
    :raises MiraklError: a failure that is not borne.
    """
    not_before = 0.0
    while True:
        moment = schedule.next(clock(), not_before)
        while (remaining := moment - clock()) > 0:
            yield Sleep(min(remaining, LONGEST_SLEEP))
        try:
            found = yield from poll()
        except MiraklError as error:
            not_before = tolerance.bear(error)
            on_failure(error, tolerance)
        else:
            if found is not None:
                return found
            tolerance.reset()
            not_before = 0.0
        if moment >= schedule.deadline:
            return None
        not_before = max(not_before, math.nextafter(max(moment, clock()), math.inf))


def call_of(ask: Ask) -> Call[Any]:
    """The call that answers what a poll asks."""
    call: Call[Any] = ask if isinstance(ask, Call) else ask.call
    return call


def find_poll(path: str) -> PollFunction:
    """The poll at a path such as ``package.module.function``.

    :raises MiraklConfigurationError: there is none.
    """
    module, _, name = path.rpartition(".")
    try:
        found: PollFunction = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise MiraklConfigurationError(f"poll: there is no {path!r} ({error})", field="poll") from None
    return found
