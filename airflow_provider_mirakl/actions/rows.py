"""Rows that describe actions: reading them from a list or a file, and the types of their columns."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeAlias

from airflow_provider_mirakl.api.values import in_utc
from airflow_provider_mirakl.exceptions import MiraklConfigurationError, MiraklInputError, Problem, counted
from airflow_provider_mirakl.files.csv_table import open_table
from airflow_provider_mirakl.files.storage import StoragePath, unreadable
from airflow_provider_mirakl.files.text import BLANK, unseen

Row: TypeAlias = dict[str, Any]
Reader: TypeAlias = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the rows.

    :param read: returns the value in its type; raises ``ValueError`` saying what it must be.
    :param required: whether every row has it.
    """

    read: Reader
    required: bool = False


def text(value: Any) -> str:
    """An id or a name, not empty; numbers become digits, since a CSV reader or a table turns ids into numbers."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("must be text")  # noqa: TRY004 - one error type for every invalid cell
    found = str(value).strip(BLANK)
    if not found:
        raise ValueError("is blank")
    if words := unseen(found):
        raise ValueError(words)
    return found


def prose(value: Any) -> str:
    """Text for humans, with line breaks; not empty."""
    if not isinstance(value, str) or not value.strip(BLANK):
        raise ValueError("must be text that is not blank")
    return value.strip()


_NUMBER = re.compile(r"[+-]?([0-9]{1,40}\.?[0-9]{0,40}|\.[0-9]{1,40})([eE][+-]?[0-9]{1,2})?\Z")
"""A number as people, JSON and libraries write it. Decimal also reads ``1_0``, the digits of every script, and an
exponent that fills the memory."""


def _number(value: Any) -> Decimal | None:
    text = str(value).strip()
    return Decimal(text) if not isinstance(value, bool) and _NUMBER.match(text) else None


def quantity(value: Any) -> int:
    """A whole number from 1."""
    number = _number(value)
    if number is None or number < 1 or number != int(number):
        raise ValueError("must be a whole number of 1 or more")
    return int(number)


def amount(value: Any) -> float:
    """An amount of money with a decimal point, 0 or more."""
    number = _number(value)
    if number is None or number < 0:
        raise ValueError("must be an amount of 0 or more with a decimal point, such as 12.50")
    if Decimal(repr(found := float(number))) != number:
        raise ValueError("has more digits than can be sent exactly; round it")
    return found


def boolean(value: Any) -> bool:
    """True or false, as a value or a string."""
    found = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(
        str(value).strip().lower()
    )
    if found is None:
        raise ValueError("must be true or false")
    return found


def word(*choices: str) -> Reader:
    """One of several values."""

    def read(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return str(value)

    return read


def taxes(value: Any) -> list[Row]:
    """A list of taxes, ``[{"code": ..., "amount": {"amount": ..., "currency": ...}}]``, or its JSON."""
    try:
        found = json.loads(value) if isinstance(value, str) else value
        return [
            {
                "code": text(tax["code"]),
                "amount": {
                    "amount": amount(tax["amount"]["amount"]),
                    "currency": text(tax["amount"]["currency"]),
                },
            }
            for tax in found
        ]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ValueError(
            'must be a list such as [{"code": "VAT", "amount": {"amount": 1.5, "currency": "EUR"}}]'
        ) from None


def moment(value: Any) -> str:
    """A time with its time zone, as ISO 8601 in UTC."""
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).strip())
        utc = in_utc(found) if found.tzinfo is not None else None
    except ValueError:
        utc = None
    if utc is None:
        raise ValueError("must be a date-time with its time zone, such as 2026-01-31T10:00:00Z")
    return utc.isoformat().replace("+00:00", "Z")


def paths(value: Any) -> list[str]:
    """Paths of files: a list, its JSON, or one path."""
    try:
        found = json.loads(value) if isinstance(value, str) and value.startswith("[") else value
    except (ValueError, RecursionError):
        found = None
    found = [found] if isinstance(found, str) else found
    if not isinstance(found, list) or not all(isinstance(path, str) and path for path in found):
        raise ValueError("must be a path, or a list of paths")
    return found


def checked(
    rows: Sequence[Any], columns: Mapping[str, Column], more: Callable[[Row], str | None]
) -> list[Row]:
    """Convert the rows to their types. An empty cell counts as absent.

    :param more: finds a problem in a row whose cells are valid.
    :raises MiraklInputError: every problem is listed.
    """
    problems: list[Problem] = []
    found: list[Row] = []
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Mapping):
            problems.append(Problem(f"row {number} must be an object with columns"))
            continue
        values: Row = {}
        wrong = [
            f"{name} is not a column; the columns are {', '.join(columns)}"
            for name in row
            if name not in columns
        ]
        for name, column in columns.items():
            cell = row.get(name)
            if cell is None or cell == "":
                if column.required:
                    wrong.append(f"{name}: is required")
                continue
            try:
                values[name] = column.read(cell)
            except ValueError as error:
                wrong.append(f"{name}: {error}")
        if not wrong and (problem := more(values)):
            wrong.append(problem)
        problems += [Problem(f"row {number}: {one}") for one in wrong]
        found.append(values)
    if problems:
        raise MiraklInputError(
            f"{counted(len(problems), 'problem')} in {counted(len(rows), 'row')}; no call was made", problems
        )
    return found


def read_file(path: StoragePath) -> list[Any]:
    """The rows of a file: CSV with a comma or a semicolon, NDJSON, a JSON array, or Parquet, by its name.

    :raises MiraklInputError: it cannot be read.
    """
    name = path.name.lower()
    try:
        if name.endswith((".csv", ".csv.gz")):
            return list(_csv(path))
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        raise unreadable("source", path, error) from None
    try:
        if name.endswith(".parquet"):
            return _parquet(data)
        content = data.decode("utf-8-sig")
        if content.lstrip().startswith("["):
            return list(json.loads(content))
        # str.splitlines would also split at characters that JSON allows in a text, such as U+2028.
        return [json.loads(line) for line in content.split("\n") if line.strip()]
    # pyarrow raises an OSError for a damaged footer.
    except (ValueError, OSError, RecursionError) as error:
        raise MiraklInputError(f"source: {path} cannot be read ({error})") from None


def _csv(path: StoragePath) -> Iterator[Row]:
    with open_table(path, exact=True) as table:
        if doubled := table.doubled():
            raise MiraklInputError(f"source: {path} has the column {next(iter(doubled))!r} more than once")
        for row in table.rows:
            if row.fault:
                raise MiraklInputError(f"source: {path}, line {row.line} {row.fault}")
            yield dict(zip(table.header, row.cells, strict=True))


def _parquet(data: bytes) -> list[Any]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MiraklConfigurationError(
            "source: Parquet needs pyarrow; install it with: pip install 'airflow-provider-mirakl[parquet]'",
            field="source",
        ) from None
    return list(pq.read_table(pa.BufferReader(data)).to_pylist())
