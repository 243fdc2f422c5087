"""The ledger: the result of every item of every call that writes. Proves that nothing was lost or doubled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

#: Results of an item. ``invalid`` has a problem itself, ``refused`` only shared a call with such an item.
RESULTS = (
    "accepted",
    "invalid",
    "refused",
    "created",
    "updated",
    "unchanged",
    "deleted",
    "absent",
    "failed",
    "lost",
    "applied",
)
_CODES = {name: code for code, name in enumerate(RESULTS)}


@dataclass(slots=True)
class LedgerCall:
    """What one call wrote: its items in the order received and the result of each.

    :param key: number of the entry; a call that carries products and offers makes two.
    :param number: number of the call in the journal.
    """

    key: int
    number: int
    operation: str
    account: str
    moment: float
    items: Sequence[str]
    results: bytearray
    settled: float | None = None
    problems: dict[int, str] = field(default_factory=dict)

    def mark(self, index: int, result: str, problem: str = "") -> None:
        """Record the result of one item."""
        self.results[index] = _CODES[result]
        if problem:
            before = self.problems.get(index)
            self.problems[index] = f"{before}; {problem}" if before else problem

    def mark_all(self, result: str) -> None:
        """Record the results of all items."""
        self.results[:] = bytes([_CODES[result]]) * len(self.items)

    def rows(self) -> Iterator[dict[str, Any]]:
        """One row per item."""
        for index, item in enumerate(self.items):
            row: dict[str, Any] = {
                "call": self.number,
                "operation": self.operation,
                "index": index,
                "item": item,
                "result": RESULTS[self.results[index]],
            }
            if index in self.problems:
                row["problem"] = self.problems[index]
            yield row

    def summary(self) -> dict[str, Any]:
        """Counts of the call."""
        counts = Counter(self.results)
        return {
            "call": self.number,
            "operation": self.operation,
            "account": self.account,
            "moment": round(self.moment, 3),
            "settled": None if self.settled is None else round(self.settled, 3),
            "received": len(self.items),
            "results": {RESULTS[code]: count for code, count in sorted(counts.items())},
        }


class Ledger:
    """All entries, by key."""

    def __init__(self) -> None:
        self._key = 0
        self.calls: dict[int, LedgerCall] = {}

    def open(
        self,
        number: int,
        operation: str,
        account: str,
        moment: float,
        items: Iterable[str],
        result: str = "accepted",
    ) -> LedgerCall:
        """Enter a call and its items."""
        listed = list(items)
        self._key += 1
        results = bytearray([_CODES[result]]) * len(listed)
        call = LedgerCall(self._key, number, operation, account, moment, listed, results)
        self.calls[call.key] = call
        return call

    def rows(self, *, item: str = "", call: int = 0) -> Iterator[dict[str, Any]]:
        """Rows of all items, of one item, or of one call."""
        for entry in self.calls.values():
            if (call and entry.number != call) or (item and item not in entry.items):
                continue
            for row in entry.rows():
                if not item or row["item"] == item:
                    yield row

    def totals(self) -> dict[str, int]:
        """The number of items by result. ``received`` is the total."""
        counts: Counter[int] = Counter()
        for call in self.calls.values():
            counts.update(call.results)
        named = {name: counts[code] for code, name in enumerate(RESULTS) if counts[code]}
        return {"calls": len(self.calls), "received": sum(counts.values()), **named}

    def summaries(self, last: int = 0) -> list[dict[str, Any]]:
        """Counts per call."""
        calls = list(self.calls.values())
        return [call.summary() for call in (calls[-last:] if last else calls)]

    def clear(self) -> None:
        """Forget all."""
        self.calls.clear()

    def dump(self) -> list[list[Any]]:
        """As JSON, for a restart."""
        return [
            [
                c.key,
                c.number,
                c.operation,
                c.account,
                c.moment,
                list(c.items),
                c.results.hex(),
                c.settled,
                c.problems,
            ]
            for c in self.calls.values()
        ]

    def load(self, saved: list[list[Any]]) -> None:
        """Replace the content by that of :meth:`dump`."""
        self.calls = {}
        self._key = max((row[0] for row in saved), default=0)
        for key, number, operation, account, moment, items, results, settled, problems in saved:
            self.calls[key] = LedgerCall(
                key,
                number,
                operation,
                account,
                moment,
                items,
                bytearray.fromhex(results),
                settled,
                {int(index): problem for index, problem in problems.items()},
            )
