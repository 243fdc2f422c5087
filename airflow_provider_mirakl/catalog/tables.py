"""Readers of tables: CSV and Parquet."""

from __future__ import annotations

import csv
import importlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

from airflow_provider_mirakl.catalog.mapping import Columns, compile_columns
from airflow_provider_mirakl.catalog.product import Product
from airflow_provider_mirakl.catalog.source import BATCH_ROWS, Batch, Refused, dump
from airflow_provider_mirakl.exceptions import MiraklInputError, Problem

_DELIMITERS = ",;\t|"


def read_csv(blocks: Iterable[bytes], name: str, columns: Columns) -> Iterator[Batch]:
    """Read products from CSV with a heading; a row's place is its line.

    :param blocks: the text as UTF-8, without a byte order mark.
    :param name: what a person calls the file.
    :param columns: how its columns become products.
    :raises MiraklInputError: the heading or the mapping cannot work, or a quote makes the rest unreadable.
    """
    lines = _lines(blocks, name)
    first = next(lines)
    delimiter = columns.delimiter or max(_DELIMITERS, key=first.count)
    reader = csv.reader(itertools.chain([first], lines), delimiter=delimiter, strict=True)
    try:
        heading = _heading(next(reader), name)
    except csv.Error as error:
        words = f"not CSV: {error}"
        raise MiraklInputError(f"{name}, line 1: {words}", [Problem(words, line=1)]) from None
    build = compile_columns(columns, heading)
    batch = Batch([], [], [])
    places: list[int] = []
    line = reader.line_num + 1
    try:
        for cells in reader:
            if len(cells) == len(heading):
                batch.rows.append(build(dict(zip(heading, cells, strict=True))))
                places.append(line)
            elif cells:
                words = f"has {len(cells)} cells, the heading has {len(heading)}; is a quote or a separator missing?"
                batch.refused.append(Refused(dump(cells), line, [Problem(words)]))
            line = reader.line_num + 1
            if len(batch.rows) == BATCH_ROWS:
                yield Batch(batch.rows, places, batch.refused)
                batch, places = Batch([], [], []), []
    except csv.Error as error:
        words = f"not CSV: {error}"
        raise MiraklInputError(
            f"{name}, line {line}: {words}; the rest cannot be read", [Problem(words, line=line)]
        ) from None
    yield Batch(batch.rows, places, batch.refused)


def _lines(blocks: Iterable[bytes], name: str) -> Iterator[str]:
    """Yield the lines with their ends, decoded one by one, so that a foreign byte is named by its line."""
    rest = b""
    line = 0
    for block in itertools.chain(blocks, [b""]):
        *parts, rest = (rest + block).split(b"\n")
        parts = [part + b"\n" for part in parts] + ([] if block or not rest else [rest])
        for line, part in enumerate(parts, line + 1):  # noqa: B020 - the count goes on
            try:
                yield part.decode()
            except UnicodeDecodeError as error:
                words = f"not UTF-8: byte 0x{part[error.start]:02X}; save the file as UTF-8"
                raise MiraklInputError(f"{name}, line {line}: {words}", [Problem(words, line=line)]) from None


def _heading(cells: Sequence[str], name: str) -> list[str]:
    heading = [cell.strip() for cell in cells]
    faults = [
        Problem("has no name" if not cell else f"the name {cell!r} stands twice", f"column {number}")
        for number, cell in enumerate(heading, 1)
        if not cell or cell in heading[: number - 1]
    ]
    if faults:
        raise MiraklInputError(f"{name}: the heading cannot be used", faults)
    return heading


def read_parquet(file: IO[bytes], name: str, columns: Columns | None) -> Iterator[Batch]:
    """Read products from Parquet; a row's place is its position, from 0.

    :param file: the file.
    :param name: what a person calls it.
    :param columns: how its columns become products; ``None`` for a file whose columns are Connect's own fields with
        their lists and objects. There a null means absent: Parquet does not tell the two apart.
    :raises MiraklInputError: pyarrow is not installed, or the file cannot be read.
    """
    try:
        parquet = importlib.import_module("pyarrow.parquet")
        damaged = importlib.import_module("pyarrow").ArrowException
    except ImportError:
        raise MiraklInputError(
            f"{name}: Parquet needs pyarrow; install it with: pip install 'airflow-provider-mirakl[parquet]'"
        ) from None
    count = 0
    try:
        table = parquet.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20)
        heading = _heading(table.schema_arrow.names, name)
        nested = columns is None and set(heading) <= set(Product.__struct_fields__)
        build = None if nested else compile_columns(columns or Columns(), heading)
        for group in table.iter_batches(batch_size=BATCH_ROWS, use_threads=False):
            records = _records(group, name)
            batch, places = Batch([], [], []), []
            for place, record in enumerate(records, count):
                try:
                    row = dump(_present(record)) if build is None else build(record)
                except (TypeError, ValueError) as error:
                    problem = Problem(f"cannot be written as JSON: {error}")
                    batch.refused.append(Refused(repr(record).encode(), place, [problem]))
                else:
                    batch.rows.append(row)
                    places.append(place)
            count += len(records)
            yield Batch(batch.rows, places, batch.refused)
    except damaged as error:
        raise MiraklInputError(f"{name} is no Parquet file that can be read: {error}") from error


def _records(group: Any, name: str) -> list[dict[str, Any]]:
    """The rows of a batch. Python has no moment with nanoseconds, and none after the year 9999."""
    # 19.99 of four bytes is 19.989999771118164 in eight; written out and read again it is 19.99.
    columns = [c.cast("string").cast("double") if str(c.type) == "float" else c for c in group.columns]
    group = type(group).from_arrays(columns, names=group.schema.names)
    try:
        records: list[dict[str, Any]] = group.to_pylist()
    except (ValueError, OverflowError):
        faults = []
        for column in group.schema.names:
            try:
                group.column(column).to_pylist()
            except (ValueError, OverflowError) as error:
                faults.append(Problem(f"holds a value that cannot be read: {error}", f"column {column}"))
        raise MiraklInputError(f"{name}: cannot be read", faults) from None
    return records


def _present(value: Any) -> Any:
    """Take out what is null, at every depth."""
    if isinstance(value, dict):
        return {key: _present(entry) for key, entry in value.items() if entry is not None}
    if isinstance(value, list):
        return [_present(entry) for entry in value]
    return value
