"""What readers of a source have in common: a row, a batch of rows, and where they came from.

A row is one JSON object as bytes. Rows come in batches, because a call per row costs more than the row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal

from airflow_provider_mirakl.exceptions import Problem

BATCH_ROWS = 1000
"""Rows of a batch, about."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a source was when it was read.

    :param name: path or description, for a person.
    :param size: bytes of the file, or rows of a list.
    :param digest: hash of the content.
    """

    name: str
    size: int
    digest: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that its reader could not turn into JSON.

    :param row: the row as it is, for the rejects file.
    :param at: its place, see :meth:`Source.place`.
    :param problems: what is wrong with it.
    :param form: ``cells``: the row is an object of a table's cells by column, which still have to be mapped.
    """

    row: bytes
    at: int
    problems: list[Problem]
    form: Literal["row", "cells"] = "row"


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
"""A place and what stands there: a mapping, or a row as bytes that goes on as it is."""


@dataclass(slots=True)
class Records:
    """Records read together, before they are rows.

    :param records: in the order of their places.
    :param refused: rows that could not be read.
    """

    records: list[Record] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


class Source:
    """Rows from somewhere.

    :param name: what a person calls it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.notes: list[str] = []
        """What a person should know of the last complete reading, although no row is wrong."""

    def batches(self) -> Iterator[Batch]:
        """Read from the start, once per call.

        :raises MiraklInputError: the source as a whole cannot be read.
        """
        raise NotImplementedError

    def place(self, at: int) -> tuple[int | None, str]:
        """Return line and path prefix of a row's place; a source without lines has only the prefix."""
        return at, ""

    def fingerprint(self) -> Fingerprint:
        """Return what was read by the last complete :meth:`batches`."""
        raise NotImplementedError


Place = Callable[[int], tuple[int | None, str]]
"""Returns line and path prefix of a row's place."""


def by_line(at: int) -> tuple[int | None, str]:
    """The place of a row whose number is its line."""
    return at, ""


def by_position(at: int) -> tuple[int | None, str]:
    """The place of a row whose number is its position, from 0."""
    return None, f"[{at}]"


def dump(item: Any) -> bytes:
    """Write one Python object as a row. NaN stays NaN, so that the check can name it; ``None`` is ``null``.

    :raises TypeError: a value JSON has no form for.
    """
    text = json.dumps(item, ensure_ascii=False, separators=(",", ":"), default=_jsonable)
    return text.encode("utf-8")


def _jsonable(value: Any) -> Any:
    if isinstance(value, Decimal):
        if value.is_snan():
            raise TypeError("a signaling NaN has no form in JSON")
        return int(value) if value == value.to_integral_value() and value.is_finite() else float(value)
    if is_nothing(value):
        return float("nan")  # NaT, NA: the check names it
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise TypeError(f"the moment {value} has no time zone")
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if (number := as_number(value)) is not None:
        return number
    raise TypeError(f"{type(value).__name__} {value!r} has no form in JSON")


def as_number(value: Any) -> Any:
    """Return a number of numpy as a number of Python with the digits it is written with; ``None`` for anything else."""
    if type(value).__module__ != "numpy" or not hasattr(value, "item") or value.ndim:
        return None
    number = value.item()
    if isinstance(number, float) and getattr(value, "itemsize", 8) < 8:
        return float(str(value))  # 19.99 of four bytes is 19.989999771118164 in eight
    return number if isinstance(number, bool | int | float | str) else None


def is_nothing(value: Any) -> bool:
    """Whether a value is what a table library writes for nothing: ``None``, NaN, NaT or NA."""
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
    except (TypeError, ValueError):  # an array has no single truth
        return False
