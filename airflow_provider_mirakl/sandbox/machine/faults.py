"""Faults on demand: rules that make chosen calls fail in a chosen way."""

from __future__ import annotations

import fnmatch
import random
from dataclasses import asdict, dataclass, field
from typing import Any

#: The kinds of fault, and the effect of each.
KINDS: dict[str, str] = {
    "delay": "the reply is delayed by `seconds` (simulated)",
    "throttle": "429; `retry_after` is seconds, date, past, negative, zero, fraction, garbage, none, or your own text",
    "status": "the error `status` (default 503) with an HTML, JSON, text or empty `body`",
    "reset_before": "the connection is reset before the call is processed",
    "reset_during": "the call is processed; the connection is reset in the middle of the reply",
    "reset_after": "the call is processed; the connection is reset before the reply",
    "truncate": "the reply is shorter than its Content-Length; `keep` is the part that is sent (0 to 1)",
    "slow": "the reply arrives in `chunks` pieces over `seconds` (simulated)",
    "broken_json": "the reply is truncated JSON with a correct Content-Length",
    "empty_body": "the right status with an empty body",
    "html_body": "status 200 with an HTML page, as from a proxy or a login page",
    "duplicate_page": "the next-page token leads to the same page again",
    "drop_page": "the next-page token skips a page",
    "unknown_enum": "values of `field` (default: status fields) become an undocumented value",
    "extra_fields": "every object of the reply has undocumented fields",
    "revoke_token": "the access token of the call is revoked before the call, which is answered with 401",
    "lost": "the call is accepted (202, 201, tracking id) and never processed",
    "partial_read": "CM21 reads only the first half of its input",
    "fail_job": "the job that the call submits ends FAILED",
    "clock_skew": "from then on, all dates from the server are off by `seconds`",
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
