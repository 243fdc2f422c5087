"""Rejected rows as new input: reject, fix, and run the same operator.

A rejects file has one object per line: ``line``, ``id``, ``problems``, and one of

- ``row``, the product as it would have been sent;
- ``cells``, the cells of a table's row that did not become a product;
- ``part``, the cells of one row of a group. They lack what the other rows of the group have, and what is sent
  replaces lists in Connect, so they are refused again: the source must be fixed instead.

It is recognized by its content, even if another tool rewrote it: jq, an editor, ``json.dumps``.
"""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import chain, islice, repeat
from typing import IO, get_args

import msgspec

from airflow_provider_mirakl.catalog.json_rows import PRETTY
from airflow_provider_mirakl.catalog.rows import Batch, Form, Refused, Source
from airflow_provider_mirakl.catalog.shaping import Shaping
from airflow_provider_mirakl.exceptions import MiraklInputError, Problem, counted
from airflow_provider_mirakl.files.storage import BLOCK, StoragePath, line_blocks, writing
from airflow_provider_mirakl.outcome import ErrorCount, ItemResult

log = logging.getLogger(__name__)

_FORMS = frozenset(get_args(Form))
_FIELDS = {"line", "id", "problems", *_FORMS}
_POSITION = re.compile(r"\A\[\d+\](: |\.)")
_INDEX = re.compile(r"\[\d+\]")
_VALUE = re.compile(r"'[^']*'|\"[^\"]*\"|(?<![\w.])-?\d[\d.,]*")


def commonest(path: StoragePath, most: int = 5) -> tuple[ErrorCount, ...]:
    """The most frequent reasons in a rejects file, without values that differ from row to row.

    :param path: the rejects file.
    :param most: largest number of reasons.
    """
    counts: Counter[str] = Counter()
    with path.open("rb") as file:
        for lines in line_blocks(file):
            for line in lines:
                problems = _Problems.decode(line).problems
                counts.update({_reason(problem) for problem in problems})
    return tuple(ErrorCount("REJECTED", reason, count) for reason, count in counts.most_common(most))


def _reason(problem: str) -> str:
    """A problem without values that differ from row to row: what a rule demands stands behind a semicolon."""
    found, rule, demand = problem.partition("; ")
    return _VALUE.sub("…", _INDEX.sub("", found)) + rule + demand


KEPT_PROBLEMS = 100
"""Largest number of problems in an error; the rejects file has all."""


class RejectsWriter:
    """Writes the rejects file, which exists only if rows were rejected.

    :param source: the source of the rows.
    :param path: the rejects file.
    :param stack: closes the file.
    """

    def __init__(self, source: Source, path: StoragePath, stack: ExitStack) -> None:
        self._source = source
        self._path = path
        self._stack = stack
        self._file: IO[bytes] | None = None
        self._buffer = bytearray()
        self.rows = 0
        self.problem_count = 0
        self.kept: list[Problem] = []

    def add(
        self,
        row: bytes,
        at: int,
        problems: list[Problem],
        item_id: str | None = None,
        form: Form = "row",
    ) -> None:
        """Reject a row."""
        line, prefix = self._source.place(at)
        placed = [
            Problem(
                writable(problem.message),
                field=writable(".".join(part for part in (prefix, problem.field) if part)),
                line=line,
                item_id=None if problem.item_id is None else writable(problem.item_id),
            )
            for problem in problems
        ]
        self.rows += 1
        self.problem_count += len(placed)
        self.kept += placed[: KEPT_PROBLEMS - len(self.kept)]
        entry = {
            "line": line,
            "id": item_id,
            "problems": [
                ": ".join(part for part in (problem.field, problem.message) if part) for problem in placed
            ],
            form: _raw_or_text(row),
        }
        self._buffer += msgspec.json.encode(entry) + b"\n"
        if len(self._buffer) > BLOCK:
            self.flush()

    def error(self, rows: int) -> MiraklInputError:
        """Return the error about all rejected rows, if they stop the task.

        :param rows: total number of rows read.
        """
        return MiraklInputError(
            f"{self._source.name}: {self.rows:,} of {rows:,} rows are invalid; nothing was sent. "
            f"{self._path} lists all of them",
            self.kept,
            problem_count=self.problem_count,
        )

    def flush(self) -> None:
        """Write the buffered rows."""
        if not self._buffer:
            return
        if self._file is None:
            self._file = self._stack.enter_context(writing(self._path))
        self._file.write(self._buffer)
        self._buffer.clear()


def writable(text: str) -> str:
    """Escape halves of surrogate pairs: they must be reported, but UTF-8 cannot encode them."""
    return text.encode("utf-8", "backslashreplace").decode()


def _raw_or_text(row: bytes) -> msgspec.Raw | str:
    try:
        msgspec.json.decode(row)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return row.decode("utf-8", "backslashreplace")
    return msgspec.Raw(row)


def rejected_items(path: StoragePath, noted: int) -> Iterator[ItemResult]:
    """The rows of a rejects file as failed items. They count even if the file does not list them any more.

    :param path: the rejects file; it may be missing or damaged.
    :param noted: how many rows were rejected; 0 if the version before did not note it.
    """
    listed = 0
    for _, entry in islice(_kept(path), noted or None):
        listed += 1
        problems = (_POSITION.sub("", problem) for problem in entry.problems)
        yield ItemResult(entry.id or "", "failed", "REJECTED", "; ".join(problems))
    if listed < noted:
        log.warning(
            "%s lists %d of %s: it was damaged, or lost with the work folder. The others count as failed too. To see "
            "their reasons, run the task on the source again.",
            path,
            listed,
            counted(noted, "rejected row"),
        )
        lost = ItemResult(
            "",
            "failed",
            "REJECTED",
            f"the reasons were lost with the work folder, or {path.name} was damaged",
        )
        yield from repeat(lost, noted - listed)


def rejected_lines(path: StoragePath) -> Iterator[bytes]:
    """The lines of a rejects file that can be read, each terminated.

    :param path: the rejects file; it may be missing or damaged.
    """
    return (line + b"\n" for line, _ in _kept(path) if is_reject(line))


class _Reasons(msgspec.Struct):
    id: str | None = None
    problems: list[str] = []


_Problems = msgspec.json.Decoder(_Reasons)


def _kept(path: StoragePath) -> Iterator[tuple[bytes, _Reasons]]:
    """The rows of a rejects file that can be read."""
    with suppress(FileNotFoundError, IsADirectoryError), path.open("rb") as file:
        for line in chain.from_iterable(line_blocks(file)):
            with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                entry = _Problems.decode(line)
                if entry.problems:
                    yield line, entry


SURPLUS = re.compile(r"\(column \d+\)\Z")


class _Entry(msgspec.Struct):
    row: msgspec.Raw = msgspec.Raw()
    cells: msgspec.Raw = msgspec.Raw()
    part: msgspec.Raw = msgspec.Raw()


_entries = msgspec.json.Decoder(_Entry)


def cells_row(header: list[str], cells: list[str]) -> bytes:
    """The cells of a row by their columns, for a rejects file; a cell without a named column has its number."""
    named = {
        (header[at] if at < len(header) and header[at] else f"(column {at + 1})"): cell
        for at, cell in enumerate(cells)
    }
    return msgspec.json.encode(named)


def is_reject(row: bytes) -> bool:
    """Whether a row is a line of a rejects file."""
    if b'"problems"' not in row:
        return False
    try:
        entry = json.loads(row)
    except (ValueError, RecursionError):
        return False
    return (
        isinstance(entry, dict)
        and "problems" in entry
        and not entry.keys() - _FIELDS
        and bool(entry.keys() & _FORMS)
    )


def is_rejects_file(head: bytes) -> bool:
    """Whether a file begins like a rejects file."""
    if head.lstrip()[:1] != b"{" or b'"problems"' not in head:
        return False
    if PRETTY.match(head):
        try:
            text = head.decode("utf-8", "ignore").lstrip()
            entry, _ = json.JSONDecoder().raw_decode(text)
        except ValueError:
            return False
        return is_reject(json.dumps(entry).encode())
    return is_reject(head.lstrip().partition(b"\n")[0])


def unwrapped(batches: Iterator[Batch], shaping: Shaping) -> Iterator[Batch]:
    """Shape rows of JSON; rejected rows of a rejects file continue where they failed."""
    first = next(batches, None)
    while first is not None and not first.rows and not first.refused:
        first = next(batches, None)
    if first is None:
        return
    every = chain([first], batches)
    if first.rows and is_reject(first.rows[0]):
        yield from (_again(batch, shaping) for batch in every)
    else:
        yield from every if shaping.is_plain else shaping.json_batches(every)


def _again(batch: Batch, shaping: Shaping) -> Batch:
    rows: list[bytes] = []
    at: list[int] = []
    refused = list(batch.refused)
    for row, place in zip(batch.rows, batch.at, strict=True):
        try:
            entry = _entries.decode(row) if is_reject(row) else _Entry(msgspec.Raw(row))
        except (msgspec.DecodeError, UnicodeDecodeError):
            entry = _Entry(msgspec.Raw(row))
        inner = bytes(entry.row)
        is_text = inner.startswith(b'"')
        if bytes(entry.cells):
            shaped = _cells(bytes(entry.cells), place, shaping)
        elif bytes(entry.part) or (is_text and shaping.is_grouped):
            shaped = Batch([], [], [Refused(bytes(entry.part) or inner, place, [Problem(_PART)], "part")])
        elif is_text:
            # The text of a row that was not JSON: once fixed, it is the original row of the source.
            text = Batch([msgspec.json.decode(inner, type=str).encode()], [place])
            shaped = text if shaping.is_plain else shaping.of_json(text)
        else:
            shaped = Batch([inner], [place])
        rows += shaped.rows
        at += shaped.at
        refused += shaped.refused
    return Batch(rows, at, refused)


_Cell = str | int | float | bool | list[str | int | float | bool] | None
"""A cell; a list where it was collected from the rows of a group."""

_PART = (
    "is one row of a group, and lacks what the other rows of the group have; correct the source, and run the task on "
    "the source again"
)


def _cells(cells: bytes, place: int, shaping: Shaping) -> Batch:
    try:
        named = msgspec.json.decode(cells, type=dict[str, _Cell])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Batch([], [], [Refused(cells, place, [Problem(f"cells: {error}")], "cells")])
    surplus = [name for name, cell in named.items() if SURPLUS.match(name) and cell not in ("", None)]
    if surplus:
        words = f"still has a value in {', '.join(surplus)}; move it to its column, or remove it"
        return Batch([], [], [Refused(cells, place, [Problem(words)], "cells")])
    named = {name: cell for name, cell in named.items() if not SURPLUS.match(name)}
    return shaping.of_table_row(named, place)
