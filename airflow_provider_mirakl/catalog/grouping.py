"""Products over several rows, as shop systems export them: title and description in the first row of a group only,
a row for each variant, rows with only a further image.

Rows of a group are adjacent, so memory holds one group and the keys of those before it. Three settings of
:class:`~airflow_provider_mirakl.catalog.mapping.Columns` say what happens: ``group_by`` names the column that all rows
of a group share, ``fill_down`` the columns that the first row has for all, ``collect`` the columns whose values of all
rows belong to each. A row with nothing but collected columns is not a product.

A group that returns below another one is refused: its products would lack what its first rows have, without an error.
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
"""A longer group means that the column does not distinguish products."""


def grouped(chunks: Iterable[Records], columns: Columns) -> Iterator[Records]:
    """Fill and collect within groups; every row keeps its place.

    :param chunks: the records.
    :param columns: the settings with the columns.
    """
    groups = _Groups(columns)
    chunk = Records()
    for given in chunks:
        chunk.refused += given.refused
        for record in given.records:
            groups.take(record, chunk)
        if len(chunk.records) >= BATCH_ROWS:
            yield chunk
            chunk = Records()
    groups.close(chunk)
    yield chunk


class _Groups:
    """The group that is open, and the keys of those before it."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._key = columns.group_by or ""
        self._held: list[Record] = []
        self._current: Any = None
        self._ended = _Keys()

    def take(self, record: Record, chunk: Records) -> None:
        """Take a record into its group; what is complete goes into the chunk."""
        at, cells = record
        if not isinstance(cells, Mapping):
            self.close(chunk)
            chunk.records.append(record)
            return
        value = _cell(cells, self._key)
        if value is None:
            if any(_has(cells, name) for name in cells):
                problem = Problem("is empty; every row needs it to find its group", self._key)
                chunk.refused.append(Refused(dump(dict(cells)), at, [problem], "cells"))
            return
        if value != self._current:
            self.close(chunk)
            self._current = value
        elif len(self._held) >= MAX_GROUP_ROWS:
            _close(self._held, self._columns, chunk)
            self._held = []
        if value in self._ended:
            problem = Problem(
                f"the group {value!r:.60} ended above; the rows of a group must be adjacent: sort the source by "
                f"{self._key!r}",
                self._key,
            )
            chunk.refused.append(Refused(dump(dict(cells)), at, [problem], "cells"))
        else:
            self._held.append(record)

    def close(self, chunk: Records) -> None:
        """End the group that is open."""
        _close(self._held, self._columns, chunk)
        if self._current is not None:
            self._ended.add(self._current)
        self._held, self._current = [], None


class _Keys:
    """The keys of groups that have ended, as hashes: a feed may have a million. A list of JSON has no hash itself."""

    def __init__(self) -> None:
        self._hashes: set[int] = set()

    def add(self, key: Any) -> None:
        self._hashes.add(hash(repr(key)))

    def __contains__(self, key: Any) -> bool:
        return hash(repr(key)) in self._hashes


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
            f"the first row of the group {_cell(first, key)!r} has none of {names}; the rows of a group must be "
            "adjacent, and the first must have these columns"
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
    return {name: value for name, value in record.items() if _is_filled(value)}


def _cell(record: Mapping[str, Any], name: str) -> Any:
    if not _has(record, name):
        return None
    value = record[name]
    return value.strip(BLANK) if isinstance(value, str) else value


def _has(record: Mapping[str, Any], name: str) -> bool:
    return _is_filled(record.get(name))


def _is_filled(value: Any) -> bool:
    if type(value) is str:
        # The first test is the cheapest and nearly always decides.
        return value != "" and (value[0].isalnum() or bool(value.strip(BLANK)))
    return not is_nothing(value)
