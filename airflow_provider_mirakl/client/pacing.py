"""When the next call of an operation is permitted, for all clients of this process that share an account."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TypeAlias

Key: TypeAlias = tuple[str, ...]
"""What an interval is counted by: account, operation, and maybe a shop or an import."""

MAX_LINES = 10_000
NOISE = 0.001
"""Seconds. Less is noise of the clock."""


@dataclass(slots=True)
class _Line:
    """The queue of one key.

    Two times, because they answer two questions. ``free`` is about callers of this process: when may the next one in
    the queue call? ``floor`` is about Mirakl: when may anyone call? With one time for both, a 429 would have to shift
    the turns of sleeping callers, and a call that never arrived could not return its interval.

    :param free: the first time that is not reserved yet.
    :param floor: no call is permitted before, promised or not: learned from replies.
    :param seen: the clock when the two were noted.
    """

    free: float
    floor: float
    seen: float


class Pacer:
    """Remembers when each operation may be called next.

    A caller takes a turn, which reserves a time, and sleeps until then. Then it leaves, or must keep
    waiting, because replies to other calls have moved the permitted time meanwhile.

    =============  ==============================================  ==================================================
    method         when                                            effect on the queue
    =============  ==============================================  ==================================================
    ``take_turn``  a caller arrives                                ``free`` moves one interval after the new turn
    ``leave``      its time has come, and it is about to call      ``floor`` moves one interval ahead; or wait longer
    ``hold``       Mirakl counted the call                         ``floor`` moves to one interval after the reply
    ``come_back``  the call never arrived, or was not counted      ``floor`` moves back, if no other call has moved it
    ``refused``    Mirakl answered 429 with a time                 ``floor`` becomes that time, earlier or later
    ``give_back``  the caller no longer needs its turn             ``free`` moves back, if it is still the last turn
    =============  ==============================================  ==================================================

    ``come_back`` and ``give_back`` recognize their own move by its time: another call may have moved the queue since,
    and its move must be kept.

    Time is the wall clock in seconds, since a time may come from another process. When the clock is set back, all
    times move back with it.
    """

    def __init__(self) -> None:
        self._lines: dict[Key, _Line] = {}
        self._lock = threading.Lock()

    def take_turn(self, key: Key, *, interval: float, now: float, max_wait: float) -> float:
        """Ask for a turn.

        :param key: what the interval is counted by.
        :param interval: seconds until the next caller may follow.
        :param max_wait: longest wait the caller would accept.
        :return: seconds to wait. When that is at most ``max_wait`` the turn is taken: another caller gets a later
            one. Otherwise nothing changes.
        """
        with self._lock:
            line = self._line(key, now)
            wait = max(line.free - now, line.floor - now)
            wait = wait if wait > NOISE else 0.0
            if wait <= max_wait:
                line.free = now + wait + interval
            return wait

    def wait(self, key: Key, *, now: float) -> float:
        """Seconds until the next turn; asks for none."""
        with self._lock:
            line = self._line(key, now)
            wait = max(line.free - now, line.floor - now)
            return wait if wait > NOISE else 0.0

    def give_back(self, key: Key, *, interval: float, moment: float, now: float) -> None:
        """Return a turn that was not used, unless another caller has already queued after it.

        :param interval: as the turn was taken with.
        :param moment: the time of the turn: when it was taken plus the wait.
        """
        with self._lock:
            line = self._line(key, now)
            if abs(line.free - (moment + interval)) < NOISE:
                line.free = moment

    def leave(self, key: Key, *, interval: float, now: float) -> float:
        """The holder of a turn is about to call.

        :return: 0 when it may, and no other before an interval is over; else the seconds to wait on.
        """
        with self._lock:
            line = self._line(key, now)
            if line.floor - now > NOISE:
                return line.floor - now
            line.floor = now + interval
            return 0.0

    def come_back(self, key: Key, *, interval: float, left_at: float, now: float) -> None:
        """The call never arrived, or was not counted: as if it had not left."""
        with self._lock:
            line = self._line(key, now)
            if abs(line.floor - (left_at + interval)) < NOISE:
                line.floor = left_at

    def hold(self, key: Key, *, until: float, now: float) -> None:
        """Permit no call before a time: a call was counted, and the interval runs from its reply."""
        with self._lock:
            line = self._line(key, now)
            line.floor = max(line.floor, until)

    def refused(self, key: Key, *, until: float, now: float) -> None:
        """Use Mirakl's own next permitted time, whether earlier or later than expected."""
        with self._lock:
            self._line(key, now).floor = until

    def forget(self) -> None:
        """Drop everything, so that one test does not pace the next."""
        with self._lock:
            self._lines.clear()

    def _line(self, key: Key, now: float) -> _Line:
        line = self._lines.get(key)
        if line is None:
            if len(self._lines) >= MAX_LINES:
                self._lines = {k: v for k, v in self._lines.items() if max(v.free, v.floor) > now}
            line = self._lines[key] = _Line(now, now, now)
        # Threads read the clock before they get the lock, so slight disorder does not mean that the clock was set back.
        if now < line.seen - 1:
            line.free -= line.seen - now
            line.floor -= line.seen - now
            line.seen = now
        line.seen = max(line.seen, now)
        return line

    def renew_lock(self) -> None:
        """For a forked child: a lock that another thread held during the fork would be held forever."""
        self._lock = threading.Lock()


PACER = Pacer()
"""The process's own."""
os.register_at_fork(after_in_child=PACER.renew_lock)
