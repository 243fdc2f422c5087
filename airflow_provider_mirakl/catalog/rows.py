"""Types that all readers share: a row, a batch of rows, and their source.

A row is one JSON object as bytes. Rows come in batches, because a call per row would cost more than the row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import sha256
from itertools import chain
from typing import Any, Literal, Protocol

from airflow_provider_mirakl.exceptions import Problem

BATCH_ROWS = 500
"""Approximate number of rows in a batch: few enough that their cells stay in the processor's cache."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The identity of a source when it was read.

    :param name: path or description, for messages.
    :param size: bytes of the file, or rows of a list.
    :param digest: hash of the content.
    """

    name: str
    size: int
    digest: str


Form = Literal["row", "cells", "part"]
"""What a rejected row is: a product or its text; cells by column, which must still be mapped; or cells that need those
of the other rows of their group."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that its reader could not turn into JSON.

    :param row: the original row, for the rejects file.
    :param at: its place, see :meth:`Source.place`.
    :param problems: its problems.
    :param form: what the row is.
    """

    row: bytes
    at: int
    problems: list[Problem]
    form: Form = "row"


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows read together.

    :param rows: JSON objects as bytes, none of them with a line break.
    :param at: the place of each row, see :meth:`Source.place`; strictly increasing.
    :param refused: rows that could not be read.
    """

    rows: list[bytes]
    at: Sequence[int]
    refused: list[Refused] = field(default_factory=list)


Record = tuple[int, Any]
"""A place and its content: a mapping, or a row as bytes that is passed on unchanged."""


class Build(Protocol):
    """Makes rows of records."""

    met: Any
    """What it has met so far, for :meth:`end`. A builder that takes over from another one gets that of the other."""

    def __call__(self, records: Sequence[Mapping[str, Any]], /) -> list[bytes]:
        """Return a row for each record. If it raises for one of them, it raises for all."""

    def end(self) -> list[str]:
        """Return notes for the user, once the whole source has been read.

        :raises MiraklInputError: the source as a whole is wrong, although each of its rows could be built.
        """


@dataclass(slots=True)
class Records:
    """Records read together, before they are rows.

    :param records: in the order of their places.
    :param refused: rows that could not be read.
    """

    records: list[Record] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


class Source:
    """A source of rows.

    :param name: its name, for messages.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.notes: list[str] = []
        """Notes for the user about the last complete reading that are not problems of rows."""

    def batches(self) -> Iterator[Batch]:
        """Read from the start, once per call.

        :raises MiraklInputError: the source cannot be read.
        """
        raise NotImplementedError

    def place(self, at: int) -> tuple[int | None, str]:
        """Return line and path prefix of a row's place; a source without lines has only the prefix."""
        raise NotImplementedError

    def fingerprint(self) -> Fingerprint:
        """Return the identity of the source in the last complete :meth:`batches`."""
        raise NotImplementedError


Place = Callable[[int], tuple[int | None, str]]
"""Returns line and path prefix of a row's place."""


def by_line(at: int) -> tuple[int | None, str]:
    """The place of a row whose number is its line."""
    return at, ""


def by_position(at: int) -> tuple[int | None, str]:
    """The place of a row whose number is its position, from 0."""
    return None, f"[{at}]"


class CountedSource(Source):
    """A source without a file: its identity is the number of its rows and their hash."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._fingerprint = Fingerprint(name, 0, "")

    def _read(self) -> Iterator[Batch]:
        """Read from the start."""
        raise NotImplementedError

    def batches(self) -> Iterator[Batch]:
        self.notes.clear()
        digest = sha256()
        count = 0
        for batch in self._read():
            for row in chain(batch.rows, (refused.row for refused in batch.refused)):
                digest.update(row)
                digest.update(b"\n")
            count += len(batch.rows) + len(batch.refused)
            yield batch
        self._fingerprint = Fingerprint(self.name, count, digest.hexdigest())

    def place(self, at: int) -> tuple[int | None, str]:
        return by_position(at)

    def fingerprint(self) -> Fingerprint:
        return self._fingerprint


def dump(item: Any) -> bytes:
    """Write one Python object as a row. NaN is kept, so that the check can report it; ``None`` is ``null``.

    :raises TypeError: a value cannot be represented in JSON.
    """
    text = json.dumps(item, ensure_ascii=False, separators=(",", ":"), default=_jsonable)
    return text.encode("utf-8")


def _jsonable(value: Any) -> Any:
    if isinstance(value, Decimal):
        if value.is_snan():
            raise TypeError("a signaling NaN cannot be represented in JSON")
        return int(value) if value == value.to_integral_value() and value.is_finite() else float(value)
    if is_nothing(value):
        return float("nan")  # NaT, NA: the check reports it
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise TypeError(f"the date-time {value} has no time zone")
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if (number := as_number(value)) is not None:
        return number
    raise TypeError(f"{type(value).__name__} {value!r} cannot be represented in JSON")


def as_mapping(row: Any) -> Any:
    """A row of a database or a small class as a dictionary by its names; anything else unchanged.

    :param row: such as a row of SQLAlchemy or ``sqlite3``, a named tuple, or an instance of a data class.
    """
    if isinstance(row, Mapping | str | bytes | list):
        return row
    if isinstance(named := getattr(row, "_mapping", None), Mapping):
        return dict(named)
    if callable(named := getattr(row, "_asdict", None)):
        return named()
    if is_dataclass(row) and not isinstance(row, type):
        return {name.name: getattr(row, name.name) for name in fields(row)}
    if callable(names := getattr(row, "keys", None)) and hasattr(row, "__getitem__"):
        return {name: row[name] for name in names()}
    return row


def as_number(value: Any) -> Any:
    """Return a numpy number as a Python number with the same digits; ``None`` for anything else."""
    if type(value).__module__ != "numpy" or not hasattr(value, "item") or value.ndim:
        return None
    number = value.item()
    if isinstance(number, float) and value.itemsize < 8:
        return float(str(value))  # 19.99 of four bytes is 19.989999771118164 in eight
    return number if isinstance(number, bool | int | float | str) else None


def is_nothing(value: Any) -> bool:
    """Whether a value is a table library's empty value: ``None``, NaN, NaT or NA."""
    if value is None:
        return True
    if (
        isinstance(value, str | int | list | tuple | dict | bytes | date)
        and type(value).__name__ != "NaTType"
    ):
        return False
    if type(value).__name__ in ("NaTType", "NAType"):
        return True
    try:
        return bool(value != value)
    # An array has no single truth value, and a signaling NaN none.
    except (TypeError, ValueError, ArithmeticError):
        return False
