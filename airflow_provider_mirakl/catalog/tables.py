"""Readers of tables in files: CSV and Parquet."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import IO

from airflow_provider_mirakl.catalog.frames import arrow_batches
from airflow_provider_mirakl.catalog.mapping import id_columns
from airflow_provider_mirakl.catalog.rejects import cells_row
from airflow_provider_mirakl.catalog.rows import BATCH_ROWS, Batch, Records, Refused
from airflow_provider_mirakl.catalog.shaping import Shaping
from airflow_provider_mirakl.exceptions import MiraklInputError, Problem
from airflow_provider_mirakl.files.csv_table import Row, Table, decoded_lines, fold, read_table

_CODES_OF_IDS = frozenset(
    ("id", "sku", "product_id", "product-id", "product_sku", "product-sku", "shop_sku", "shop-sku", "offer-sku",
     "offer_sku", "provider_sku", "provider-sku", "mirakl_product_id", "mirakl-product-id", "ean", "gtin")
)  # fmt: skip
"""Ids that mark a second header: Mirakl's templates have one with codes below the labels."""


_HINT = " quoting='none' in columns treats quotes as ordinary characters"


def read_csv(blocks: Iterable[bytes], name: str, shaping: Shaping, notes: list[str]) -> Iterator[Batch]:
    """Read products from CSV with a header; a row's place is its line.

    :param blocks: the text as UTF-8, without a byte order mark.
    :param name: name of the file, for messages.
    :param shaping: how its columns become products.
    :param notes: receives notes for the user that are not problems of rows.
    :raises MiraklInputError: the header or the mapping is invalid, or a quote makes the rest unreadable.
    """
    columns = shaping.table_columns
    table = read_table(
        decoded_lines(blocks, name), name, delimiter=columns.delimiter, quoting=columns.quoting, hint=_HINT,
        whole=shaping.whole,
    )  # fmt: skip
    header, rows = _heading(table, shaping, notes)
    yield from shaping.batches(_chunks(rows, header), heading=header, table=True)
    if table.repeated_headings:
        notes.append(
            f"{name}: the header occurs {table.repeated_headings:,} more "
            f"{'time' if table.repeated_headings == 1 else 'times'} among the rows; those rows were skipped"
        )
    if table.cut is not None and not shaping.whole:  # else the row is rejected, and its reason says the same
        notes.append(
            f"{name}, line {table.cut}: the last row is short and has no line break at its end, so the file may be "
            "truncated; its missing cells were read as empty"
        )


def _chunks(rows: Iterator[Row], header: list[str]) -> Iterator[Records]:
    chunk = Records()
    for line, cells, fault in rows:
        if fault:
            chunk.refused.append(Refused(cells_row(header, cells), line, [Problem(fault)], "cells"))
        else:
            chunk.records.append((line, dict(zip(header, cells, strict=True))))
        if len(chunk.records) == BATCH_ROWS or len(chunk.refused) == BATCH_ROWS:
            yield chunk
            chunk = Records()
    yield chunk


def _heading(table: Table, shaping: Shaping, notes: list[str]) -> tuple[list[str], Iterator[Row]]:
    """The header to use: Mirakl's templates have one with labels and below it one with codes."""
    rows = table.rows
    try:
        first = next(rows, None)
    except MiraklInputError:
        if _fits(shaping, table.header):
            raise
        first = None  # report problems of the mapping before those of rows
    if first is None:
        return table.header, iter(())
    below = itertools.chain([first], rows)
    codes = [cell.strip() for cell in first.cells]
    if first.fault or len(codes) < 2 or not all(codes) or len(set(codes)) < len(codes):
        return table.header, below
    ids = id_columns(shaping.table_columns, table.header) if shaping.speaks_connect else []
    at = [table.header.index(one) for one in ids if one in table.header]
    if any(fold(codes[one]) in _CODES_OF_IDS for one in at):
        notes.append(f"{table.name}, line {first.line}: a second header, with codes, was skipped")
        return table.header, rows
    if not _fits(shaping, table.header) and _fits(shaping, codes):
        notes.append(f"{table.name}: the header in line {first.line} is used; the one above it was skipped")
        return codes, rows
    return table.header, below


def _fits(shaping: Shaping, header: Sequence[str]) -> bool:
    try:
        shaping.build(header)
    except MiraklInputError:
        return False
    return True


def read_parquet(file: IO[bytes], name: str, shaping: Shaping) -> Iterator[Batch]:
    """Read products from Parquet; a row's place is its position, from 0.

    :param file: the file.
    :param name: its name, for messages.
    :param shaping: how its columns become products; without a mapping, the columns are Connect's own fields,
        with their lists and objects. There a null means absent: Parquet does not distinguish the two.
    :raises MiraklInputError: pyarrow is not installed, or the file cannot be read.
    """
    try:
        parquet = importlib.import_module("pyarrow.parquet")
        damaged = importlib.import_module("pyarrow").ArrowException
    except ImportError:
        raise MiraklInputError(
            f"{name}: Parquet needs pyarrow; install it with: pip install 'airflow-provider-mirakl[parquet]'"
        ) from None
    try:
        table = parquet.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20)
        groups = table.iter_batches(batch_size=BATCH_ROWS, use_threads=False)
        yield from arrow_batches(groups, table.schema_arrow, name, shaping)
    except damaged as error:
        raise MiraklInputError(f"{name} cannot be read as Parquet: {error}") from error
