"""The columns of an export in Parquet: Mirakl's JSON becomes a table whose types do not depend on its values.

Parquet needs a type for every column, and JSON has none. A type guessed from values changes with them: a SKU
``2024-01-01`` would be a date today and a text tomorrow. So a column gets one of five kinds, by the types of JSON:

===============================  ============================================================
values of the column             kind, and the written value
===============================  ============================================================
texts                            text, unchanged; never a date or a number
true and false                   boolean
numbers                          a double; a whole number if Mirakl's document says so
objects or lists, also empty     text with their JSON
none                             text, empty; or the kind in Mirakl's document
texts and other kinds            text; other values as their JSON
===============================  ============================================================

The kinds of Mirakl's documented fields are known before the first value (``columns`` of the job's row), so a file
without rows has its columns. A value that contradicts its documented kind makes the column text, with a warning.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_mirakl.jobs.table import ColumnKind

ROWS = 5_000
"""Rows in memory at once."""
_WHOLE = 2**63

log = logging.getLogger(__name__)


def kind_of(value: object) -> ColumnKind | None:
    """The kind of one value; ``None`` for null, which fits every kind."""
    match value:
        case None:
            return None
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "text"
        case _:
            return "json"


def fits(value: object, kind: ColumnKind) -> bool:
    """Whether a value can be written in a column of a kind."""
    if value is None:
        return True
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool) and -_WHOLE <= value < _WHOLE
    return kind in ("text", "json") or kind_of(value) == kind


def learn(rows: Iterable[Mapping[str, Any]], documented: Mapping[str, ColumnKind]) -> dict[str, ColumnKind]:
    """The columns of all rows: the documented ones first, then the others as they appear.

    :param documented: the documented kinds.
    """
    found: dict[str, ColumnKind] = dict(documented)
    seen = dict.fromkeys(documented, True)  # others get their kind from the first value that is not null
    for row in rows:
        for name, value in row.items():
            kind = kind_of(value)
            if name not in found:
                found[name], seen[name] = kind or "text", kind is not None
            elif kind is not None and not seen[name]:
                found[name], seen[name] = kind, True
            elif not fits(value, found[name]):
                if name in documented:
                    log.warning(
                        "Column %s contains %s, but Mirakl documents %s; it is written as text",
                        name,
                        kind,
                        documented[name],
                    )
                found[name] = "text"
    return found


def written(value: Any, kind: ColumnKind) -> Any:
    """A value in the form for a column of a matching kind."""
    if value is None or kind in ("boolean", "integer"):
        return value
    if kind == "number":
        return float(value)
    if kind == "text" and isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def decoded(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Rows of NDJSON."""
    import msgspec

    decoder = msgspec.json.Decoder(dict[str, Any])
    return (decoder.decode(line) for line in lines)


def write_table(file: Any, rows: Iterable[Mapping[str, Any]], columns: Mapping[str, ColumnKind]) -> int:
    """Write rows as Parquet, in batches.

    :param file: the open target.
    :param columns: as :func:`learn` has found them.
    :return: the number of rows.
    :raises ImportError: pyarrow is not installed.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"boolean": pa.bool_(), "number": pa.float64(), "integer": pa.int64()}
    schema = pa.schema([pa.field(name, types.get(kind, pa.string())) for name, kind in columns.items()])
    count = 0
    with pq.ParquetWriter(file, schema) as writer:
        held: list[dict[str, Any]] = []

        def write() -> None:
            if held:
                writer.write_table(pa.Table.from_pylist(held, schema))
                held.clear()

        for row in rows:
            held.append({name: written(row.get(name), kind) for name, kind in columns.items()})
            count += 1
            if len(held) >= ROWS:
                write()
        write()
    return count
