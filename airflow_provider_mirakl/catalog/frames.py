"""Tables of libraries as a source: pandas, polars, pyarrow, DuckDB, and any library with Arrow's C stream.

They are read in batches and never turned into one list. NaN, NaT and null mean that a cell is empty. The library is
not imported: its table has the required methods.
"""

from __future__ import annotations

import importlib
import struct
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

from airflow_provider_mirakl.catalog.product import Product
from airflow_provider_mirakl.catalog.rows import (
    BATCH_ROWS,
    Batch,
    CountedSource,
    Record,
    Records,
    as_number,
    is_nothing,
)
from airflow_provider_mirakl.catalog.shaping import Shaping
from airflow_provider_mirakl.exceptions import MiraklInputError, Problem


def is_frame(data: Any) -> bool:
    """Whether an object is a table of a library."""
    return _is_pandas(data) or any(
        hasattr(data, name)
        for name in ("__arrow_c_stream__", "iter_slices", "to_batches", "fetch_arrow_reader")
    )


def _is_pandas(data: Any) -> bool:
    return hasattr(data, "iloc") and hasattr(data, "columns") and hasattr(data, "to_dict")


class FrameSource(CountedSource):
    """Rows of a table in memory, or of a query that has not run yet.

    :param frame: the table.
    :param shaping: how its columns become products.
    :param name: its name, for messages.
    """

    def __init__(self, frame: Any, shaping: Shaping, name: str = "the table of products") -> None:
        super().__init__(name)
        self._frame = frame
        self._shaping = shaping
        self.notes = shaping.notes

    def _read(self) -> Iterator[Batch]:
        if _is_pandas(self._frame):
            heading = [str(name) for name in self._frame.columns]
            return table_batches(_pandas_records(self._frame, heading), heading, self._shaping)
        if hasattr(self._frame, "iter_slices"):
            heading = list(self._frame.columns)
            slices = self._frame.iter_slices(BATCH_ROWS)
            records = map(_polars_records, slices)
            return table_batches(records, heading, self._shaping)
        groups, schema = self._arrow()
        return arrow_batches(groups, schema, self.name, self._shaping)

    def _arrow(self) -> tuple[Iterable[Any], Any]:
        frame = self._frame
        if hasattr(frame, "to_batches") and hasattr(frame, "schema"):
            return chain.from_iterable(_cut(batch) for batch in frame.to_batches()), frame.schema
        try:
            pyarrow = importlib.import_module("pyarrow")
        except ImportError:
            raise MiraklInputError(
                f"{self.name}: a {type(frame).__name__} needs pyarrow; install it with: "
                "pip install 'airflow-provider-mirakl[parquet]'"
            ) from None
        if hasattr(frame, "__arrow_c_stream__"):
            try:
                reader = pyarrow.RecordBatchReader.from_stream(frame)
            except pyarrow.ArrowInvalid as error:
                raise MiraklInputError(
                    f"{self.name}: a {type(frame).__name__} is not a table with named columns; use the "
                    "whole DataFrame, or to_frame()"
                ) from error
        else:
            reader = frame.fetch_arrow_reader(BATCH_ROWS)
        return chain.from_iterable(map(_cut, reader)), reader.schema


def _cut(batch: Any) -> Iterator[Any]:
    for start in range(0, batch.num_rows, BATCH_ROWS):
        yield batch.slice(start, BATCH_ROWS)


def _pandas_records(frame: Any, heading: list[str]) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(frame), BATCH_ROWS):
        part = frame.iloc[start : start + BATCH_ROWS]
        # Column by column, as objects: a single row would turn a whole number next to a fraction into a fraction.
        cells = [
            [
                as_number(value) if type(value).__module__ == "numpy" else value
                for value in part.iloc[:, at].array
            ]
            for at in range(len(heading))
        ]
        yield [dict(zip(heading, row, strict=True)) for row in zip(*cells, strict=True)]


def _polars_records(part: Any) -> list[dict[str, Any]]:
    """The rows of a slice; four-byte numbers keep their original digits."""
    records: list[dict[str, Any]] = part.to_dicts()
    for name in [name for name, kind in part.schema.items() if str(kind) == "Float32"]:
        for record in records:
            record[name] = None if record[name] is None else shortest(record[name], "f")
    return records


def table_batches(
    groups: Iterable[list[dict[str, Any]]], heading: list[str], shaping: Shaping
) -> Iterator[Batch]:
    """Make rows of the records of a table; empty values become absent.

    :param groups: the records.
    :param heading: the columns.
    :param shaping: how they become products.
    """
    doubled = [
        Problem(f"the name {name!r} occurs twice", f"column {number}")
        for number, name in enumerate(heading, 1)
        if name and name in heading[: number - 1]
    ]
    if doubled and shaping.columns is None:
        raise MiraklInputError("the header cannot be used", doubled)
    nested = (
        shaping.speaks_connect and shaping.columns is None and set(heading) <= set(Product.__struct_fields__)
    )

    def chunks() -> Iterator[Records]:
        count = 0
        for group in groups:
            records: list[Record] = [(at, present(record)) for at, record in enumerate(group, count)]
            count += len(group)
            yield Records(records)

    return shaping.batches(chunks(), heading=heading, table=not nested)


def present(value: Any) -> Any:
    """Remove empty values, at every depth."""
    if isinstance(value, dict):
        return {key: present(entry) for key, entry in value.items() if not is_nothing(entry)}
    if isinstance(value, list):
        return [present(entry) for entry in value]
    return value


# --- Arrow ------------------------------------------------------------------------------------------------------


def arrow_batches(groups: Iterable[Any], schema: Any, name: str, shaping: Shaping) -> Iterator[Batch]:
    """Make rows of Arrow's batches.

    :param groups: the batches.
    :param schema: their columns.
    :param name: name of the table, for messages.
    :param shaping: how the columns become products.
    """
    heading = [column.strip() for column in schema.names]
    restorers = {
        column: restore
        for column, field in zip(heading, schema, strict=True)
        if (restore := _floats(field.type)) is not None
    }
    return table_batches((_records(group, heading, restorers, name) for group in groups), heading, shaping)


Restore = Callable[[Any], Any]


def _records(
    group: Any, heading: list[str], restorers: dict[str, Restore], name: str
) -> list[dict[str, Any]]:
    """The rows of a batch. Python's datetime has no nanoseconds, and no year after 9999."""
    columns: dict[str, list[Any]] = {}
    faults = []
    for column, values in zip(heading, group.columns, strict=True):
        try:
            cells = values.to_pylist()
        except (ValueError, OverflowError) as error:
            faults.append(Problem(f"contains a value that cannot be read: {error}", f"column {column}"))
            continue
        restore = restorers.get(column)
        columns[column] = cells if restore is None else [restore(cell) for cell in cells]
    if faults:
        raise MiraklInputError(f"{name}: cannot be read", faults)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _floats(kind: Any) -> Restore | None:
    """A function that restores the digits of two-byte and four-byte numbers, at any depth; ``None`` if not needed.

    19.99 of four bytes is 19.989999771118164 in eight.
    """
    word = str(kind)
    if word in ("float", "halffloat"):
        size = "f" if word == "float" else "e"
        return lambda value: None if value is None else shortest(value, size)
    if word.startswith("struct"):
        fields = {field.name: _floats(field.type) for field in kind}
        inner = {name: restore for name, restore in fields.items() if restore is not None}
        if not inner:
            return None
        return lambda value: (
            value and {name: inner[name](entry) if name in inner else entry for name, entry in value.items()}
        )
    if word.startswith(("list", "large_list", "fixed_size_list", "list_view", "large_list_view")):
        return _each(_floats(kind.value_type))
    if word.startswith("map"):
        value_of = _floats(kind.item_type)
        return value_of and _each(lambda pair: (pair[0], value_of(pair[1])))
    if word.startswith("dictionary"):
        return _floats(kind.value_type)
    return None


def _each(item: Restore | None) -> Restore | None:
    return None if item is None else lambda value: value and [item(entry) for entry in value]


def shortest(value: float, size: str) -> float:
    """The number with the fewest digits that has the same value in that size.

    :param value: the number.
    :param size: ``f`` for four bytes, ``e`` for two.
    """
    packed = struct.pack(size, value)
    written = (float(f"{value:.{digits}g}") for digits in range(3, 10))
    # Nine digits suffice for any number, but not for every NaN.
    return next((number for number in written if struct.pack(size, number) == packed), value)
