"""Finds the problems of an import file before its call, with their places: one pass, in constant memory.

A check knows the columns of an operation. It is called for the header once, then for each row.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from airflow_provider_mirakl.exceptions import Problem
from airflow_provider_mirakl.files.csv_table import Table
from airflow_provider_mirakl.files.text import BLANK

KEPT = 1000
"""Number of findings in a message; the file of findings has all."""
SHOWN_VALUES = 20
_COMMONEST = 5


class Finding(NamedTuple):
    """A problem that Mirakl would reject or misunderstand.

    :param message: what is wrong.
    :param field: the column.
    :param line: line of the file; ``None`` if the file as a whole is wrong.
    :param item_id: the item's own id, if it could be read.
    :param kind: the message without the parts that differ from row to row, for counting.
    :param value: the cell.
    :param allowed: the first valid values.
    """

    message: str
    field: str = ""
    line: int | None = None
    item_id: str | None = None
    kind: str = ""
    value: str = ""
    allowed: tuple[str, ...] = ()

    @property
    def problem(self) -> Problem:
        """The finding as the errors of the package have it."""
        return Problem(self.message, self.field, self.line, self.item_id)

    def __str__(self) -> str:
        return str(self.problem)

    def as_row(self) -> dict[str, Any]:
        """The finding as a line of the file of findings."""
        return {
            "line": self.line,
            "id": self.item_id,
            "column": self.field,
            "value": self.value,
            "message": self.message,
            "allowed": list(self.allowed),
        }


class Check(Protocol):
    """The check of an operation."""

    notes: list[str]
    """Notes for the user that are not problems."""

    def heading(self, names: Sequence[str], line: int) -> tuple[list[str], list[Finding]]:
        """The columns by the operation's own names, and their problems."""
        ...

    def row(self, line: int, cells: Mapping[str, str]) -> Iterable[Finding]:
        """The problems of a row, by the names of :meth:`heading`."""
        ...


class NoCheck:
    """Accepts all columns and rows: the file is only read, and rows that do not match the header are found."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def heading(self, names: Sequence[str], line: int) -> tuple[list[str], list[Finding]]:
        """The columns as they are."""
        return list(names), []

    def row(self, line: int, cells: Mapping[str, str]) -> Iterable[Finding]:
        """No problems."""
        return ()


@dataclass(slots=True)
class Lint:
    """The findings of a file.

    :param rows: number of rows read.
    :param count: number of findings.
    :param findings: the first of them.
    :param notes: notes for the user that are not problems.
    """

    rows: int = 0
    count: int = 0
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _kinds: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, finding: Finding) -> None:
        """Add a finding."""
        self.count += 1
        self._kinds[finding.field, finding.kind or finding.message] += 1
        if len(self.findings) < KEPT:
            self.findings.append(finding)

    def summary(self) -> dict[str, Any]:
        """The result in a few lines, for XCom."""
        return {
            "rows": self.rows,
            "problems": self.count,
            "commonest": [
                {"column": column, "message": message[:300], "count": count}
                for (column, message), count in self._kinds.most_common(_COMMONEST)
            ],
            "notes": self.notes[:_COMMONEST],
        }


Sink = Callable[[Finding], object]


def lint_table(
    table: Table, check: Check, *, found: Sink | None = None, row: Callable[[list[str]], object] | None = None
) -> Lint:
    """Check a table row by row.

    :param table: the open file.
    :param check: the check of the operation.
    :param found: called with every finding.
    :param row: called with the header and each row, in the form for the operation.
    :raises MiraklInputError: the rest of the file cannot be read.
    """
    lint = Lint()

    def tell(findings: Iterable[Finding]) -> None:
        for finding in findings:
            lint.add(finding)
            if found is not None:
                found(finding)

    names, findings = check.heading(table.header, table.line)
    if names != table.header:
        table.plain = False
    tell(findings)
    kept = [at for at, name in enumerate(names) if name]
    if row is not None:
        row([names[at] for at in kept])
    for line, cells, fault in table.rows:
        lint.rows += 1
        if fault:
            tell([Finding(fault, line=line, kind="does not match the header")])
            if row is not None:
                # Without the columns that the header has lost: each cell stays below its name.
                row([cells[at] for at in kept if at < len(cells)] + cells[len(names) :])
            continue
        tell(check.row(line, {names[at]: cells[at].strip(BLANK) for at in kept}))
        if row is not None:
            row([cells[at] for at in kept])
    lint.notes = list(check.notes)
    return lint


def as_line(finding: Finding) -> bytes:
    """A finding as a line of NDJSON."""
    return json.dumps(finding.as_row(), ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def shown(values: Sequence[str]) -> str:
    """Values for a message; only the first of many."""
    first = ", ".join(values[:SHOWN_VALUES])
    return first if len(values) <= SHOWN_VALUES else f"{first} and {len(values) - SHOWN_VALUES:,} more"


def words(lint: Lint, name: str) -> Iterator[str]:
    """The result as text: one line about the file, then a line for each finding kept.

    :param lint: the findings.
    :param name: the file.
    """
    rows = f"{lint.rows:,} row{'' if lint.rows == 1 else 's'}"
    problems = f"{lint.count:,} problem{'' if lint.count == 1 else 's'}" if lint.count else "no problems"
    yield f"{name}: {problems} in {rows}"
    for note in lint.notes:
        yield f"  note: {note}"
    for finding in lint.findings:
        yield f"  - {finding}"
    if lint.count > len(lint.findings):
        yield f"  ... and {lint.count - len(lint.findings):,} more"
