"""Products over several rows, as shop systems export them: title and description in the first row of a group only,
a row for each variant, rows that have nothing but a further image.

Rows of a group stand together, so memory holds one group. Three settings of
:class:`~airflow_provider_mirakl.catalog.mapping.Columns` say what happens: ``group_by`` names the column that all rows
of a group share, ``fill_down`` the columns that the first row has for all, ``collect`` the columns whose values of all
rows belong to each. A row with nothing but collected columns is not a product.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_mirakl.catalog.rows import BATCH_ROWS, Record, Records, Refused, dump, is_nothing
from airflow_provider_mirakl.exceptions import Problem
from airflow_provider_mirakl.files.text import BLANK

if TYPE_CHECKING:
    from airflow_provider_mirakl.catalog.mapping import Columns

MAX_GROUP_ROWS = 100_000
"""A longer group is a column that does not tell products apart."""


def grouped(chunks: Iterable[Records], columns: Columns) -> Iterator[Records]:
    """Fill and collect within groups; places stay those of the rows.

    :param chunks: the records.
    :param columns: names the columns.
    """
    key = columns.group_by or ""
    held: list[Record] = []
    current: Any = None
    chunk = Records()
    for given in chunks:
        chunk.refused += given.refused
        for record in given.records:
            at, cells = record
            if not isinstance(cells, Mapping):
                _close(held, columns, chunk)
                held, current = [], None
                chunk.records.append(record)
                continue
            value = _cell(cells, key)
            if value is None:
                if any(_has(cells, name) for name in cells):
                    problem = Problem("is empty; every row needs it to find its group", key)
                    chunk.refused.append(Refused(dump(dict(cells)), at, [problem], "cells"))
                continue
            if value != current or len(held) >= MAX_GROUP_ROWS:
                _close(held, columns, chunk)
                held, current = [], value
            held.append(record)
        if len(chunk.records) >= BATCH_ROWS:
            yield chunk
            chunk = Records()
    _close(held, columns, chunk)
    yield chunk


def _close(held: list[Record], columns: Columns, chunk: Records) -> None:
    """Make records of a whole group."""
    if not held:
        return
    first: Mapping[str, Any] = held[0][1]
    filled = {name: first[name] for name in columns.fill_down if _has(first, name)}
    if columns.fill_down and not filled and len(held[0][1]) > 1:
        names = ", ".join(columns.fill_down)
        key = columns.group_by or ""
        words = (
            f"the first row of the group {_cell(first, key)!r} has none of {names}; the rows of a group have to stand "
            "together, the one with these columns first"
        )
        problem = Problem(words, key)
        chunk.refused += [Refused(dump(dict(record)), at, [problem], "cells") for at, record in held]
        return
    collected: dict[str, list[Any]] = {}
    for name in columns.collect:
        values = [record[name] for _, record in held if _has(record, name)]
        collected[name] = list(dict.fromkeys(values))
    shared = {columns.group_by, *columns.fill_down, *columns.collect}
    own = [name for name in columns.sources() if name not in shared]
    for number, (at, record) in enumerate(held):
        if number and not any(_has(record, name) for name in own):
            continue
        chunk.records.append((at, {**filled, **_present(record), **collected}))


def _present(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if _has(record, name)}


def _cell(record: Mapping[str, Any], name: str) -> Any:
    if not _has(record, name):
        return None
    value = record[name]
    return value.strip(BLANK) if isinstance(value, str) else value


def _has(record: Mapping[str, Any], name: str) -> bool:
    value = record.get(name)
    return bool(value.strip(BLANK)) if isinstance(value, str) else not is_nothing(value)
