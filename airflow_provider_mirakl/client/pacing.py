"""When the next call of an operation is permitted, for all clients of this process that share an account."""

from __future__ import annotations

import threading


class Pacer:
    """Remembers, per account and operation, the moment of the next permitted call.

    Time is the wall clock in seconds, since a moment may have come from another process. A moment further
    away than the interval it was made from cannot be right (the clock was set back) and is cut to it.
    """

    def __init__(self) -> None:
        self._next: dict[tuple[str, str], tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take_turn(
        self, account: str, operation: str, *, interval: float, now: float, max_wait: float
    ) -> float:
        """Ask for a turn.

        :param interval: seconds that the caller's operation has to keep after this call.
        :param max_wait: longest wait the caller would accept.
        :return: seconds to wait. When that is at most ``max_wait`` the turn is taken: another caller gets a
            later one. Otherwise nothing changes.
        """
        with self._lock:
            moment, span = self._next.get((account, operation), (now, 0.0))
            wait = max(0.0, min(moment - now, span))
            if wait <= max_wait and interval > 0:
                self._next[account, operation] = (now + wait + interval, wait + interval)
            return wait

    def hold(self, account: str, operation: str, *, until: float, now: float) -> None:
        """Permit no call before a moment: a reply's own word, or the end of a call that began earlier."""
        with self._lock:
            moment, _ = self._next.get((account, operation), (now, 0.0))
            until = max(moment, until)
            self._next[account, operation] = (until, max(0.0, until - now))

    def give_back(self, account: str, operation: str) -> None:
        """Return a turn that was not used: the call never reached Mirakl, or was refused at the door."""
        with self._lock:
            self._next.pop((account, operation), None)

    def forget(self) -> None:
        """Drop everything, so that one test does not pace the next."""
        with self._lock:
            self._next.clear()


PACER = Pacer()
"""The process's own."""
