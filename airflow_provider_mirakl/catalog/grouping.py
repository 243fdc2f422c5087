"""Products over several rows, as shop systems export them: title and description in the first row of a group only,
a row for each variant, rows with only a further image.

Rows of a group are adjacent, so memory holds one group and the keys of those before it. Three settings of
:class:`~airflow_provider_mirakl.catalog.columns.Columns` say what happens: ``group_by`` names the column that all rows
of a group share, ``fill_down`` the columns that the first row has for all, ``collect`` the columns whose values of all
rows belong to each. A row with nothing but collected columns is not a product.

A group that returns below another one is refused: its products would lack what its first rows have, without an error.
For the same reason, rows that are refused before they were filled go to the rejects file as parts of a group, and
cannot be sent from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_mirakl.catalog.rows import BATCH_ROWS, Record, Records, Refused, dump, is_nothing
from airflow_provider_mirakl.exceptions import Problem
from airflow_provider_mirakl.files.text import BLANK

MAX_GROUP_ROWS = 100_000
"""A longer group means that the column does not distinguish products."""


@dataclass(frozen=True, slots=True)
class Grouping:
    """The columns of groups, as the source names them.

    :param key: the column that all rows of a group share.
    :param fill_down: the columns that the first row has for all.
    :param collect: the columns whose values of all rows belong to each.
    :param own: the other columns that are read: without a value in one of them a row is not a product. ``None``: all
        other columns.
    """

    key: str
    fill_down: tuple[str, ...] = ()
    collect: tuple[str, ...] = ()
    own: tuple[str, ...] | None = None


def grouped(chunks: Iterable[Records], grouping: Grouping) -> Iterator[Records]:
    """Fill and collect within groups; every row keeps its place.

    :param chunks: the records.
    :param grouping: the columns.
    """
    groups = _Groups(grouping)
    chunk = Records()
    for given in chunks:
        chunk.refused += [replace(one, form="part") if one.form == "cells" else one for one in given.refused]
        for record in given.records:
            groups.take(record, chunk)
        if len(chunk.records) >= BATCH_ROWS:
            yield chunk
            chunk = Records()
    groups.close(chunk)
    yield chunk


class _Groups:
    """The group that is open, and the keys of those before it."""

    def __init__(self, grouping: Grouping) -> None:
        self._grouping = grouping
        self._key = grouping.key
        self._held: list[Record] = []
        self._current: Any = None
        self._returned = False
        self._ended = _Keys()

    def take(self, record: Record, chunk: Records) -> None:
        """Take a record into its group; what is complete goes into the chunk."""
        at, cells = record
        if type(cells) is not dict and not isinstance(cells, Mapping):
            self.close(chunk)
            chunk.records.append(record)
            return
        value = _cell(cells, self._key)
        if value is None:
            if any(map(_is_filled, cells.values())):
                problem = Problem("is empty; every row needs it to find its group", self._key)
                chunk.refused.append(Refused(dump(dict(cells)), at, [problem], "part"))
            return
        if value != self._current:
            self.close(chunk)
            self._current = value
            self._returned = value in self._ended
        elif len(self._held) >= MAX_GROUP_ROWS:
            self._finish(chunk)
        if self._returned:
            problem = Problem(
                f"the group {value!r:.60} ended above; the rows of a group must be adjacent: sort the source by "
                f"{self._key!r}",
                self._key,
            )
            chunk.refused.append(Refused(dump(dict(cells)), at, [problem], "part"))
        else:
            self._held.append(record)

    def close(self, chunk: Records) -> None:
        """End the group that is open."""
        self._finish(chunk)
        if self._current is not None:
            self._ended.add(self._current)
        self._current = None

    def _finish(self, chunk: Records) -> None:
        """Make records of the rows that are held."""
        held, self._held = self._held, []
        if not held:
            return
        grouping = self._grouping
        first: Mapping[str, Any] = held[0][1]
        filled = {name: first[name] for name in grouping.fill_down if _has(first, name)}
        if grouping.fill_down and not filled and len(first) > 1:
            names = ", ".join(grouping.fill_down)
            words = (
                f"the first row of the group {_cell(first, self._key)!r} has none of {names}; the rows of a group "
                "must be adjacent, and the first must have these columns"
            )
            problem = Problem(words, self._key)
            chunk.refused += [Refused(dump(dict(record)), at, [problem], "part") for at, record in held]
            return
        own = grouping.own
        if own is None:
            shared = {grouping.key, *grouping.fill_down, *grouping.collect}
            columns = dict.fromkeys(name for _, record in held for name in record)
            own = tuple(name for name in columns if name not in shared)
        # All rows of a group share one list.
        collected = {
            name: list(dict.fromkeys(record[name] for _, record in held if _has(record, name)))
            for name in grouping.collect
        }
        for number, (at, record) in enumerate(held):
            if number and not any(_has(record, name) for name in own):
                continue
            made = {**record, **collected}
            if number:
                made.update((name, value) for name, value in filled.items() if not _has(record, name))
            chunk.records.append((at, made))


class _Keys:
    """The keys of groups that have ended, as hashes: a feed may have a million. A list of JSON has no hash itself."""

    def __init__(self) -> None:
        self._hashes: set[int] = set()

    def add(self, key: Any) -> None:
        self._hashes.add(hash(repr(key)))

    def __contains__(self, key: Any) -> bool:
        return hash(repr(key)) in self._hashes


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
