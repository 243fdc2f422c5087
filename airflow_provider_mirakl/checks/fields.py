"""Turns rows of a table into JSON objects of an operation: a column for each field, regardless of spelling.

A field inside an object has a name with a dot, such as ``discount.price``. A cell of a list or an object contains
JSON.

A number may have a decimal point or a decimal comma. ``1.249`` is read with a decimal point, as JSON does, unless
another number of its column has a decimal comma: then it could be 1249 too, and the source is refused.
"""

from __future__ import annotations

import difflib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

import msgspec

from airflow_provider_mirakl.catalog.numbers import number_of, readings
from airflow_provider_mirakl.catalog.rows import Build, as_number, is_nothing
from airflow_provider_mirakl.exceptions import MiraklInputError, Problem
from airflow_provider_mirakl.files.csv_table import fold
from airflow_provider_mirakl.files.text import BLANK

Kind = Literal["text", "flag", "integer", "number", "boolean", "json"]
"""The types of cells; an empty ``flag`` is a value."""

_Sign = Literal["comma", "either"]

_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def key(name: str) -> str:
    """A normalized field name, regardless of case, spaces and hyphens."""
    return fold(name).replace("-", "_").replace(" ", "_")


def meant(name: str, known: Collection[str], usual: Mapping[str, str]) -> str | None:
    """A suggestion for an unknown name.

    :param name: the name.
    :param known: the known names.
    :param usual: names in other systems, and their names here.
    """
    folded = {key(one): one for one in known}
    if (own := usual.get(key(name))) is not None:
        return own
    return next((folded[close] for close in difflib.get_close_matches(key(name), list(folded), 1, 0.7)), None)


def hint(name: str, known: Collection[str], usual: Mapping[str, str]) -> str:
    """:func:`meant` as the end of a message."""
    close = meant(name, known, usual)
    return f"; did you mean {close!r}?" if close else ""


def compile_fields(
    heading: Sequence[str],
    *,
    fields: Mapping[str, Kind],
    open_field: str = "",
    usual: Mapping[str, str],
    code: str,
    strip: bool = True,
) -> Build:
    """Check a header, and return the builder of objects.

    :param heading: the columns.
    :param fields: the fields by name.
    :param open_field: an object whose fields are not documented: ``data.color`` goes into ``data``.
    :param usual: names that other systems use, for the hint.
    :param code: code of the operation, for messages.
    :param strip: remove white space from both ends of cells.
    :raises MiraklInputError: a column is not a field, or occurs twice; every one is listed.
    """
    columns, faults = _columns(heading, fields, open_field, usual, code)
    faults += [
        Problem(f"{'.'.join(path)!r} is also set by column {other!r}", name)
        for at, (name, path, _) in enumerate(columns)
        for other, before, _ in columns[:at]
        if path[: len(before)] == before or before[: len(path)] == path
    ]
    if faults:
        raise MiraklInputError(f"the columns cannot be used for {code}", faults)

    return _Objects(columns, strip=strip)


class _OneByOne(ABC):
    """A builder that makes one object at a time."""

    met: Any = None

    def __call__(self, records: Sequence[Mapping[str, Any]]) -> list[bytes]:
        return list(map(self._build, records))

    @abstractmethod
    def _build(self, cells: Mapping[str, Any]) -> bytes: ...

    def end(self) -> list[str]:
        return []


class _Objects(_OneByOne):
    """The builder of objects.

    :param columns: the columns that are fields.
    :param strip: remove white space from both ends of cells.
    """

    def __init__(self, columns: Sequence[_Column], *, strip: bool) -> None:
        self._columns = columns
        self._strip = strip
        self.met: dict[tuple[str, _Sign], str] = {}
        """The first number of a column with each sign that decides something."""

    def _build(self, cells: Mapping[str, Any]) -> bytes:
        made: dict[str, Any] = {}
        for name, path, kind in self._columns:
            value = cells.get(name)
            if self._strip and type(value) is str:
                value = value.strip(BLANK)
            if is_nothing(value) or (value == "" and kind != "flag"):
                continue
            place = made
            for step in path[:-1]:
                place = place.setdefault(step, {})
            written = _converted(value, kind)
            place[path[-1]] = written if type(written) is str else _exact(written)
            if kind == "number" and isinstance(value, str) and (sign := _sign(value, written)):
                self.met.setdefault((name, sign), value)
        return msgspec.json.encode(made, enc_hook=str)

    def end(self) -> list[str]:
        faults = [
            Problem(unclear(point, comma), name)
            for (name, sign), point in self.met.items()
            if sign == "either" and (comma := self.met.get((name, "comma")))
        ]
        if faults:
            raise MiraklInputError("the decimal sign of the numbers is unclear", faults)
        return []


def unclear(number: str, other: str) -> str:
    """The problem of a number that could be meant in two ways.

    :param number: such as ``1.249``.
    :param other: a number of the same column with the other decimal sign.
    """
    sign = "comma" if "," in other else "point"
    meanings = " or ".join(readings(number) or ())
    return (
        f"the number {number!r} could be {meanings}, because {other!r} has a decimal {sign}; write all numbers of the "
        "column with the same decimal sign, and without group separators"
    )


def keep_columns(heading: Sequence[str]) -> Build:
    """The builder of objects with the columns of a table as fields; an empty cell is ``null``."""
    return _Kept()


class _Kept(_OneByOne):
    """The builder of objects with the columns as fields."""

    def _build(self, cells: Mapping[str, Any]) -> bytes:
        made: dict[str, Any] = {}
        for name, value in cells.items():
            value = value.strip(BLANK) if type(value) is str else value
            if not name:
                continue
            if value == "" or is_nothing(value):
                made[name] = None
            else:
                made[name] = value if (number := as_number(value)) is None else number
        return msgspec.json.encode(made, enc_hook=str)


_Column = tuple[str, list[str], Kind]
"""A column's name, the path of its field, and the type of its cells."""


def _columns(
    heading: Sequence[str], fields: Mapping[str, Kind], open_field: str, usual: Mapping[str, str], code: str
) -> tuple[list[_Column], list[Problem]]:
    """The columns that are fields, and the problems of the others. A column without a name is ignored."""
    known = {key(name): name for name in fields}
    columns: list[_Column] = []
    faults: list[Problem] = []
    for name in filter(None, heading):
        inner = name[len(open_field) + 1 :]
        if open_field and inner and key(name).startswith(f"{open_field}."):
            columns.append((name, [open_field, inner], "text"))
        elif (field := known.get(key(name))) is not None:
            columns.append((name, field.split("."), fields[field]))
        else:
            faults.append(Problem(f"is not a field of {code}{hint(name, fields, usual)}", name))
    return columns, faults


def _converted(value: Any, kind: Kind) -> Any:
    """A cell in its field's type. An invalid one is unchanged, so that the check of the object reports it."""
    if (number := as_number(value)) is not None:
        value = number
    if kind in ("text", "flag"):
        return _text(value)
    if isinstance(value, float | Decimal):
        whole = kind == "integer" and math.isfinite(value) and value == int(value)
        return int(value) if whole else value
    if not isinstance(value, str):
        return value
    if kind == "boolean":
        return _TRUTH.get(value.lower(), value)
    if kind == "json":
        try:
            return json.loads(value, parse_float=_raw, parse_constant=_raw)
        except (ValueError, RecursionError):
            return value
    written = number_of(value, ".", None, whole=kind == "integer")
    if written is None and kind == "number" and readings(value) is None:
        written = number_of(value, ",", None)
    return value if written is None else msgspec.Raw(written.encode())


def _sign(text: str, made: Any) -> _Sign | None:
    """What a number says about the decimal sign of its column: it has a comma, or it could be meant either way."""
    if not isinstance(made, msgspec.Raw):
        return None
    if "," in text:
        return "comma"
    return "either" if readings(text) else None


def _text(value: Any) -> Any:
    if isinstance(value, float) and (not math.isfinite(value) or value.is_integer()):
        # From here on a float has lost digits of the original id; the check reports it, as the infinite ones.
        return str(int(value)) if abs(value) < 2**53 else value
    if isinstance(value, Decimal):
        return format(value, "f")
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _raw(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode())


def _exact(value: Any) -> Any:
    """A value with its own digits. msgspec writes an infinite number as null, which would erase what Mirakl has, a
    Decimal in quotes, and bytes as base64.

    :raises TypeError: it contains bytes.
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else _raw(json.dumps(value))  # which the check reports
    if isinstance(value, Decimal):
        return _raw(format(value, "f") if value.is_finite() else json.dumps(math.inf))
    if isinstance(value, dict):
        return {name: _exact(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_exact(entry) for entry in value]
    if isinstance(value, datetime):
        # Written here, because msgspec does not know the classes that libraries derive from it.
        if value.tzinfo is not None:
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        return value.isoformat()
    if isinstance(value, bytes | bytearray):
        raise TypeError(f"bytes ({bytes(value)!r:.60}) are not text; use text in the column")
    return value
