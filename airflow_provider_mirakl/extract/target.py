"""The target of an extract: one file for each table, which appears when it is complete."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from airflow_provider_mirakl.exceptions import MiraklConfigurationError
from airflow_provider_mirakl.extract.fields import Fields, FieldType, Row, Shape
from airflow_provider_mirakl.files.storage import StoragePath, remove, writing

if TYPE_CHECKING:
    import pyarrow as pa

Format = Literal["ndjson", "parquet"]
BATCH = 1000
"""Rows buffered before they are written to Parquet."""


@dataclass(frozen=True, slots=True)
class Target:
    """The files of one extract.

    :param folder: contains a folder for each table, with a subfolder for each run.
    :param run: name of the run's folder.
    :param file: name of the files, without their extension.
    :param format: ``ndjson`` or ``parquet``.
    :param flat: whether lines go to a separate table.
    """

    folder: StoragePath
    run: str
    file: str
    format: Format
    flat: bool

    def path(self, table: str) -> StoragePath:
        """The file of a table."""
        return self.folder / table / self.run / f"{self.file}.{self.format}"

    def check(self, shape: Shape) -> None:
        """Reject a target that cannot be written, before a call is made.

        :raises MiraklConfigurationError: Parquet without pyarrow, or a table whose fields are not known.
        """
        if not shape.fields and (self.flat or self.format == "parquet"):
            raise MiraklConfigurationError(
                "format must be ndjson and layout nested: the fields of this listing are not known",
                field="format",
            )
        if self.format == "parquet":
            _pyarrow()

    def write(self, shape: Shape, rows: Iterable[Row]) -> dict[str, int]:
        """Write all rows; a table without rows has no file.

        :return: rows by table.
        """
        if self.format == "ndjson" and not self.flat:
            tables: dict[str, Fields] = {shape.table: {}}
            split: Iterator[tuple[str, Row]] = ((shape.table, row) for row in rows)
        else:
            tables = shape.tables(flat=self.flat)
            split = (part for row in rows for part in shape.rows(row, flat=self.flat))
        counts = dict.fromkeys(tables, 0)
        with ExitStack() as stack:
            writers: dict[str, _Ndjson | _Parquet] = {}
            for table, row in split:
                if table not in writers:
                    path = self.path(table)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    if self.format == "parquet":
                        writers[table] = stack.enter_context(_Parquet(path, tables[table]))
                    else:
                        writers[table] = stack.enter_context(_Ndjson(path))
                writers[table].add(row)
                counts[table] += 1
        for table, count in counts.items():
            if not count:
                remove(self.path(table))  # from an earlier extract of this run
        return counts


class _Ndjson:
    def __init__(self, path: StoragePath) -> None:
        self._open: AbstractContextManager[Any] = writing(path)

    def __enter__(self) -> Self:
        self._file = self._open.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def add(self, row: Row) -> None:
        text = json.dumps(row, ensure_ascii=False, separators=(",", ":"), default=_as_json)
        self._file.write(text.encode() + b"\n")


def _as_json(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(type(value).__name__)


class _Parquet:
    def __init__(self, path: StoragePath, fields: Fields) -> None:
        self._stack = ExitStack()
        self._path = path
        self._schema = schema_of(fields)
        self._rows: list[Row] = []

    def __enter__(self) -> Self:
        import pyarrow.parquet as pq

        file = self._stack.enter_context(writing(self._path))
        self._writer = self._stack.enter_context(pq.ParquetWriter(file, self._schema))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
        self._stack.__exit__(kind, error, trace)

    def add(self, row: Row) -> None:
        self._rows.append(row)
        if len(self._rows) >= BATCH:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(_pyarrow().Table.from_pylist(self._rows, schema=self._schema))
            self._rows.clear()


def schema_of(fields: Fields) -> pa.Schema:
    """The schema of a table."""
    return _pyarrow().schema([(name, _arrow(kind)) for name, kind in fields.items()])


def _arrow(kind: FieldType) -> Any:
    pa = _pyarrow()
    if isinstance(kind, Mapping):
        return pa.struct([(name, _arrow(inner)) for name, inner in kind.items()])
    if isinstance(kind, list):
        return pa.list_(_arrow(kind[0]))
    return {
        "text": pa.string(),
        "json": pa.string(),
        "moment": pa.timestamp("us", tz="UTC"),
        "money": pa.decimal128(24, 6),
        "number": pa.float64(),
        "integer": pa.int64(),
        "boolean": pa.bool_(),
    }[kind]


def _pyarrow() -> Any:
    try:
        import pyarrow as pa
    except ImportError:
        raise MiraklConfigurationError(
            "format: Parquet needs pyarrow; install it with: pip install 'airflow-provider-mirakl[parquet]'",
            field="format",
        ) from None
    return pa
