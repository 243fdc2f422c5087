"""The journal of calls: request, caller and answer. Never contains a secret."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable
from typing import Any


class Journal:
    """Calls in order, the last ``size`` of them, and totals of all.

    :param secrets: texts that must not appear, wherever a caller sent them.
    """

    def __init__(self, size: int, secrets: Iterable[str] = ()) -> None:
        self._entries: deque[dict[str, Any]] = deque(maxlen=size)
        self._secrets = tuple(secret for secret in secrets if secret)
        self._number = 0
        self.totals: Counter[tuple[str, int]] = Counter()

    def number(self) -> int:
        """The number of the call that arrives now, from 1."""
        self._number += 1
        return self._number

    @property
    def last(self) -> int:
        """The number of the last call."""
        return self._number

    def clean(self, text: str) -> str:
        """A text without secrets."""
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, "***")
        return text

    def add(self, entry: dict[str, Any]) -> None:
        """Keep a finished call."""
        entry["real"] = round(time.time(), 3)
        self._entries.append(entry)
        self.totals[entry["operation"] or "unknown", entry["status"]] += 1

    def entries(self, *, operation: str = "", since: int = 0, last: int = 0) -> list[dict[str, Any]]:
        """Calls in order of arrival of their answers.

        :param operation: only this operation code.
        :param since: only calls with a higher number.
        :param last: only this many, from the end; 0 for all.
        """
        found = [
            dict(entry)
            for entry in self._entries
            if entry["number"] > since and (not operation or entry["operation"] == operation)
        ]
        return found[-last:] if last else found

    def summary(self) -> list[dict[str, Any]]:
        """How often each operation gave each status."""
        return [
            {"operation": operation, "status": status, "calls": calls}
            for (operation, status), calls in sorted(self.totals.items())
        ]

    def clear(self) -> None:
        """Remove all calls; numbers continue."""
        self._entries.clear()
        self.totals.clear()

    def dump(self) -> dict[str, Any]:
        """As JSON, for a restart."""
        totals = [[operation, status, calls] for (operation, status), calls in self.totals.items()]
        return {"number": self._number, "entries": list(self._entries), "totals": totals}

    def load(self, saved: dict[str, Any]) -> None:
        """Replace the content by that of :meth:`dump`."""
        self._number = saved["number"]
        self._entries.clear()
        self._entries.extend(saved["entries"])
        self.totals = Counter({(operation, status): calls for operation, status, calls in saved["totals"]})
