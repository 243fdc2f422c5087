"""Faults on demand: rules that make chosen calls fail in a chosen way."""

from __future__ import annotations

import fnmatch
import random
from dataclasses import asdict, dataclass, field
from typing import Any

#: What can be ordered, and what each kind does.
KINDS: dict[str, str] = {
    "delay": "the answer waits for `seconds` (simulated)",
    "throttle": "429; `retry_after` is seconds, date, both-forms text of your own, negative, garbage or none",
    "status": "an error status (`status`, default 503) with an HTML, JSON, text or empty body (`body`)",
    "reset_before": "connection reset, nothing was processed",
    "reset_during": "processed, connection reset in the middle of the answer",
    "reset_after": "processed, connection reset instead of an answer",
    "truncate": "the answer ends early, its Content-Length said more; `keep` is the part sent (0 to 1)",
    "slow": "the answer trickles: `chunks` pieces over `seconds` (simulated)",
    "broken_json": "the answer is cut JSON with a correct Content-Length",
    "empty_body": "the right status with an empty body",
    "html_body": "status 200 with an HTML page, as from a proxy or a login page",
    "duplicate_page": "the next-page token leads to the same page again",
    "drop_page": "the next-page token skips a page",
    "unknown_enum": "values of `field` (default: status fields) become an undocumented value",
    "extra_fields": "every object of the answer has undocumented fields",
    "revoke_token": "the access token of the call is revoked first, so the call answers 401",
    "lost": "accepted (202, 201, tracking id), never processed",
    "partial_read": "CM21 reads only the first half of its input",
    "fail_job": "the job that the call submits ends FAILED",
    "clock_skew": "all dates of the server are off by `seconds` from now on",
}


@dataclass(slots=True)
class Fault:
    """A rule.

    :param kind: one of :data:`KINDS`.
    :param operation: operation code such as ``upsertProducts`` or ``P4*``; empty for all.
    :param method: HTTP method; empty for all.
    :param path: path with wildcards such as ``/api/products*``; empty for all.
    :param skip: number of matching calls to let pass first.
    :param times: number of strikes; ``None`` for no limit.
    :param probability: strike with this chance, drawn from the sandbox's seed.
    :param options: options of the kind.
    """

    kind: str
    operation: str = ""
    method: str = ""
    path: str = ""
    skip: int = 0
    times: int | None = 1
    probability: float = 1.0
    options: dict[str, Any] = field(default_factory=dict)
    number: int = 0
    seen: int = 0
    struck: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {self.kind!r}")
        for name in ("seconds", "keep", "chunks", *(() if self.kind == "fail_job" else ("status",))):
            if name in self.options and not isinstance(self.options[name], int | float):
                raise ValueError(f"{name} must be a number, not {self.options[name]!r}")
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability must be between 0 and 1, not {self.probability!r}")

    def matches(self, code: str, method: str, path: str) -> bool:
        """Whether a call is meant."""
        return (
            (not self.operation or fnmatch.fnmatchcase(code, self.operation))
            and (not self.method or method == self.method.upper())
            and (not self.path or fnmatch.fnmatchcase(path, self.path))
        )


class Faults:
    """The rules in force."""

    def __init__(self, rnd: random.Random) -> None:
        self._random = rnd
        self._number = 0
        self.rules: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """Put a rule in force."""
        self._number += 1
        fault.number = self._number
        self.rules.append(fault)
        return fault

    def remove(self, number: int) -> bool:
        """Take a rule back."""
        before = len(self.rules)
        self.rules = [rule for rule in self.rules if rule.number != number]
        return len(self.rules) < before

    def pick(self, code: str, method: str, path: str) -> list[Fault]:
        """The rules that strike this call."""
        if not self.rules:
            return []
        return [rule for rule in self.rules if rule.matches(code, method, path) and self._strikes(rule)]

    def _strikes(self, rule: Fault) -> bool:
        if rule.times is not None and rule.struck >= rule.times:
            return False
        rule.seen += 1
        if rule.seen <= rule.skip:
            return False
        if rule.probability < 1 and self._random.random() >= rule.probability:
            return False
        rule.struck += 1
        return True

    def table(self) -> list[dict[str, Any]]:
        """The rules, as JSON."""
        return [asdict(rule) for rule in self.rules]

    def load(self, saved: list[dict[str, Any]]) -> None:
        """Replace the rules by those of :meth:`table`."""
        self.rules = [Fault(**rule) for rule in saved]
        self._number = max((rule.number for rule in self.rules), default=0)

    def clear(self) -> None:
        """Take all rules back."""
        self.rules.clear()
