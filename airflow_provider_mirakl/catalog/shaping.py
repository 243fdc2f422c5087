"""Turns records of a flat source into rows of products: grouped, transformed, mapped.

A record is a dictionary with its place. The three steps are the same for every source, so a setting has the same
meaning for CSV, Parquet, JSON, a list and a DataFrame.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from airflow_provider_mirakl.catalog.columns import Columns
from airflow_provider_mirakl.catalog.grouping import grouped
from airflow_provider_mirakl.catalog.mapping import Wanted, compile_columns, grouping_of
from airflow_provider_mirakl.catalog.rows import Batch, Build, Record, Records, Refused, dump
from airflow_provider_mirakl.exceptions import MiraklConfigurationError, MiraklInputError, Problem
from airflow_provider_mirakl.files.csv_table import fold

Transform = Callable[[list[Mapping[str, Any]]], Iterable[Mapping[str, Any] | None]]
Compile = Callable[[Sequence[str]], Build]
"""Makes the builder of rows from a table's header."""


class Shaping:
    """The user's settings for flat records.

    :param columns: how columns become products; ``None``: objects are products already, and the columns of a table
        are named after their targets.
    :param transform: a function of the user, as ``package.module.function``. It takes a list of records and returns a
        list of the same length, with ``None`` for a record to leave out.
    :param strip: remove white space from both ends of cells.
    :param compiled: makes a builder of rows from the header of a table, if the rows are not products of Connect.
    :param whole: refuse the last row of a table that may be truncated: products that are missing are deleted.
    :raises MiraklConfigurationError: the function does not exist.
    """

    def __init__(
        self,
        columns: Columns | None = None,
        transform: str | None = None,
        *,
        strip: bool = True,
        compiled: Compile | None = None,
        whole: bool = False,
    ) -> None:
        self.columns = columns if columns is None or strip else replace(columns, strip=False)
        self.table_columns = self.columns or Columns(strip=strip)
        """Those of a table, which needs no mapping where its columns speak for themselves."""
        self._transform = None if transform is None else load_transform(transform)
        self._name = transform
        self._compiled = compiled
        self.whole = whole
        self.notes: list[str] = []
        """Notes for the user about the last complete reading that are not problems of rows."""

    @property
    def speaks_connect(self) -> bool:
        """Whether rows become products of Connect."""
        return self._compiled is None

    def build(self, heading: Sequence[str]) -> Build:
        """The builder of rows of a table.

        :raises MiraklInputError: the header is invalid; every problem is listed.
        """
        return (
            compile_columns(self.table_columns, heading)
            if self._compiled is None
            else self._compiled(heading)
        )

    @property
    def is_plain(self) -> bool:
        """Whether objects are passed on unchanged."""
        return self.columns is None and self._transform is None

    @property
    def is_grouped(self) -> bool:
        """Whether a product may need several rows."""
        return self.table_columns.group_by is not None

    def batches(
        self, chunks: Iterable[Records], *, heading: Sequence[str] | None = None, table: bool = False
    ) -> Iterator[Batch]:
        """Make rows of records.

        :param chunks: the records.
        :param heading: the columns, if they are known before the records.
        :param table: records are rows of a table: without a mapping, the columns are named after their targets.
        :raises MiraklInputError: the mapping is invalid.
        """
        columns = self.table_columns if table else self.columns
        build = None if columns is None else self._builder(columns, heading, table=table)
        wanted: Wanted | None = None
        if columns is not None and heading is None:
            wanted = Wanted(columns, spelled=str, sparse=True)
            # Before the groups are made: each record of a group has the columns that are collected.
            chunks = _watched(chunks, wanted)
        elif columns is not None and self._transform is not None:
            wanted = Wanted(columns.without_groups(), spelled=fold)
        if columns is not None and (grouping := grouping_of(columns, heading)) is not None:
            chunks = grouped(chunks, grouping)
        empty = set(heading or ())
        is_empty = True
        for chunk in chunks:
            records, refused = chunk.records, chunk.refused
            if self._transform is not None:
                empty.difference_update(*_mappings(records))
                records, failed = self._transformed(records)
                refused = [*refused, *failed]
                if wanted is not None:
                    wanted.see(_mappings(records))
            is_empty = is_empty and not records
            yield _built(records, refused, build)
        if wanted is not None and not is_empty:
            wanted.see([empty])  # columns of a table in which no row has a value
            self.notes += wanted.end()
        if build is not None:
            self.notes += build.end()

    def _builder(self, columns: Columns, heading: Sequence[str] | None, *, table: bool) -> Build:
        """The builder of records; with a function of the user, only its results show their columns."""
        if self._transform is None:
            return self.build(heading) if table and heading is not None else compile_columns(columns, heading)
        if columns.mapping is not None and not table:
            return compile_columns(columns, None)
        if self._compiled is not None and table:
            return _Growing(self._compiled)
        # A column of the mapping may be missing from the first results, but not from all: see Wanted.
        some = replace(columns.without_groups(), optional=tuple(columns.sources()))
        return _Growing(lambda names: compile_columns(some, names))

    def json_batches(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Make rows of flat JSON objects; anything else is passed on unchanged, for the check to report."""
        return self.batches(map(_decoded, batches))

    def of_json(self, batch: Batch) -> Batch:
        """Make rows of independent flat JSON objects."""
        return next(self._alone().batches([_decoded(batch)]))

    def of_table_row(self, record: Mapping[str, Any], place: int) -> Batch:
        """Make a row of one row of a table."""
        try:
            alone = self._alone().batches([Records([(place, record)])], heading=list(record), table=True)
            (batch,) = alone  # to its end, where the check of the columns is
        except MiraklInputError as error:
            return Batch([], [], [Refused(dump(record), place, list(error.problems), "cells")])
        return batch

    def _alone(self) -> Shaping:
        """The same without groups: a rejected row already contains the values of its group."""
        other = Shaping()
        other.columns = None if self.columns is None else self.columns.without_groups()
        other.table_columns = self.table_columns.without_groups()
        other._transform, other._name, other._compiled = self._transform, self._name, self._compiled
        return other

    def _transformed(self, records: list[Record]) -> tuple[list[Record], list[Refused]]:
        taken = [record for record in records if isinstance(record[1], Mapping)]
        try:
            results = self._call([record for _, record in taken])
        except Exception:  # noqa: BLE001 - one by one, to identify the row
            return self._one_by_one(records)
        given = iter(results)
        made = [(at, next(given) if isinstance(record, Mapping) else record) for at, record in records]
        return [record for record in made if record[1] is not None], []

    def _one_by_one(self, records: list[Record]) -> tuple[list[Record], list[Refused]]:
        made: list[Record] = []
        refused = []
        for at, record in records:
            if not isinstance(record, Mapping):
                made.append((at, record))
                continue
            try:
                result = self._call([record])[0]
            except Exception as error:  # noqa: BLE001 - of the user's function
                words = f"{self._name} failed: {type(error).__name__}: {error}"
                refused.append(Refused(_written(record), at, [Problem(words)], "cells"))
            else:
                if result is not None:
                    made.append((at, result))
        return made, refused

    def _call(self, records: list[Mapping[str, Any]]) -> list[Any]:
        results = list(self._transform([dict(record) for record in records]))  # type: ignore[misc]
        if len(results) != len(records):
            raise ValueError(
                f"it returned {len(results)} rows for {len(records)}; return one for each, None to leave one out"
            )
        for result in results:
            if result is not None and not isinstance(result, Mapping):
                raise TypeError(f"it returned {type(result).__name__} for a row; return a dictionary or None")
        return results


class _Growing:
    """The builder of records that a later record may have further columns for: then it is compiled again.

    :param compile_names: makes a builder from the columns so far.
    """

    def __init__(self, compile_names: Compile) -> None:
        self._compile = compile_names
        self._names: dict[str, None] = {}
        self._build: Build | None = None
        self.met: Any = None

    def __call__(self, records: Sequence[Mapping[str, Any]]) -> list[bytes]:
        if not records:
            return []
        names = dict.fromkeys(chain.from_iterable(records))
        build = self._build
        if build is None or names.keys() - self._names.keys():
            self._names.update(names)
            new = self._compile(list(self._names))
            if build is not None:
                new.met = build.met
            self._build = build = new
        return build(records)

    def end(self) -> list[str]:
        return [] if self._build is None else self._build.end()


def load_transform(path: str) -> Transform:
    """Import a function by its path.

    :param path: ``package.module.function``.
    :raises MiraklConfigurationError: the function does not exist.
    """
    module, _, name = path.rpartition(".")
    if not module:
        raise MiraklConfigurationError(
            f"transform must be 'package.module.function', not {path!r}", field="transform"
        )
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise MiraklConfigurationError(
            f"transform: {path} cannot be imported: {error}", field="transform"
        ) from error
    if not callable(function):
        raise MiraklConfigurationError(f"transform: {path} is not a function", field="transform")
    found: Transform = function
    return found


def _built(records: list[Record], refused: list[Refused], build: Build | None) -> Batch:
    refused = list(refused)
    if build is not None and all(isinstance(record, Mapping) for _, record in records):
        try:
            return Batch(build([record for _, record in records]), [at for at, _ in records], refused)
        except (TypeError, ValueError):
            pass  # one by one, to identify the record
    rows: list[bytes] = []
    at: list[int] = []
    for place, record in records:
        try:
            if type(record) is bytes:
                row = record
            elif build is None or not isinstance(record, Mapping):
                row = dump(record)
            else:
                (row,) = build([record])
        except (TypeError, ValueError) as error:
            refused.append(Refused(_written(record), place, [Problem(f"cannot be written as JSON: {error}")]))
        else:
            rows.append(row)
            at.append(place)
    return Batch(rows, at, refused)


def _mappings(records: list[Record]) -> list[Mapping[str, Any]]:
    return [record for _, record in records if isinstance(record, Mapping)]


def _watched(chunks: Iterable[Records], wanted: Wanted) -> Iterator[Records]:
    for chunk in chunks:
        wanted.see(_mappings(chunk.records))
        yield chunk


def _written(record: Any) -> bytes:
    try:
        return dump(record)
    except (TypeError, ValueError):
        return repr(record).encode("utf-8", "backslashreplace")


def _decoded(batch: Batch) -> Records:
    records: list[Record] = []
    for place, row in zip(batch.at, batch.rows, strict=True):
        try:
            value = json.loads(row)
        except (ValueError, RecursionError):
            value = None
        records.append((place, value if isinstance(value, dict) else row))
    return Records(records, batch.refused)
