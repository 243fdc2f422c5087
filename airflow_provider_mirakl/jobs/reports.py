"""Reports of jobs: per-item rows out of them, and the failed items as input of a next run.

Mirakl publishes no columns for its error reports beyond those of stock and prices (line number, then reason), so
columns are found by name. XML and XLSX reports are archived, not read.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from airflow_provider_mirakl.catalog.outcome import ItemResult
from airflow_provider_mirakl.catalog.storage import StoragePath, writing

ID_COLUMNS = (
    "offer-sku", "sku", "shop_sku", "shop-sku", "provider_sku", "provider-sku", "product_sku", "product-sku",
    "mirakl_product_id", "mirakl-product-id", "product_id", "product-id", "ean",
)  # fmt: skip
"""Columns that name an item, the first one found wins; a user may name another."""
_MAX_FIELD = 1 << 24


@dataclass(slots=True)
class Table:
    """A CSV file, opened.

    :param header: its columns.
    :param delimiter: as found in the header.
    :param lines: the lines below.
    """

    header: list[str]
    delimiter: str
    lines: Iterator[list[str]]

    def position(self, names: Sequence[str]) -> int | None:
        """Position of the first of the columns that is there."""
        folded = [name.casefold() for name in self.header]
        return next((folded.index(name.casefold()) for name in names if name.casefold() in folded), None)


def is_csv(name: str) -> bool:
    """Whether a file is one whose lines can be read here, by its name."""
    return name.casefold().endswith((".csv", ".txt"))


@contextmanager
def open_table(path: StoragePath) -> Iterator[Table]:
    """Open a CSV file. The delimiter is the one of ``; , tab |`` that is commonest in the header."""
    csv.field_size_limit(_MAX_FIELD)
    with (
        path.open("rb") as binary,
        io.TextIOWrapper(binary, "utf-8-sig", errors="replace", newline="") as file,
    ):
        head = file.readline()
        delimiter = max(";,\t|", key=head.count)
        header = next(csv.reader([head], delimiter=delimiter), [])
        yield Table([name.strip() for name in header], delimiter, csv.reader(file, delimiter=delimiter))


def read_failures(path: StoragePath, id_column: str | None = None) -> Iterator[ItemResult]:
    """The lines of an error report as failed items.

    :param path: the report, CSV.
    :param id_column: the column that names an item; default the first of :data:`ID_COLUMNS`, else the first of all.
    """
    with open_table(path) as table:
        reason = _reason_column(table.header)
        item = table.position([id_column] if id_column else ID_COLUMNS)
        if item is None:
            item = next((at for at in range(len(table.header)) if at != reason), 0)
        for line in table.lines:
            if line:
                code, message = _split(_cell(line, reason))
                yield ItemResult(_cell(line, item), "failed", code, message)


def _reason_column(header: Sequence[str]) -> int | None:
    """The column with the reason: the last that speaks of an error, and not of a line."""
    found = None
    for position, name in enumerate(header):
        word = name.casefold()
        if ("error" in word or "reason" in word) and "line" not in word and "code" not in word:
            found = position
    if found is None and len(header) > 1 and "line" in header[0].casefold():
        return 1
    return found


def _split(reason: str) -> tuple[str | None, str | None]:
    """``code|message``, where a reason is written so."""
    code, bar, message = reason.partition("|")
    if bar and code and all(letter.isalnum() or letter in "-_." for letter in code):
        return code, message or None
    return None, reason or None


def _cell(line: Sequence[str], position: int | None) -> str:
    return line[position] if position is not None and position < len(line) else ""


def read_items(path: StoragePath) -> Iterator[ItemResult]:
    """The items of CM23, succeeded and failed, then what concerns all of them."""
    report = json.loads(path.read_bytes())
    for item in report.get("processed_items") or ():
        key = str(item.get("product_sku") or item.get("mirakl_product_id") or "")
        errors = item.get("synchronization_errors") or ()
        if item.get("status") == "SUCCESS":
            yield ItemResult(key, "succeeded")
        else:
            first: dict[str, Any] = next(iter(errors), {})
            message = "; ".join(str(error.get("message")) for error in errors if error.get("message"))
            yield ItemResult(key, "failed", first.get("code"), message or None, first.get("attribute_code"))


def global_errors(path: StoragePath) -> list[str]:
    """What CM23 says about the synchronization as a whole."""
    errors = json.loads(path.read_bytes()).get("global_errors") or ()
    return [": ".join(str(error[key]) for key in ("code", "message") if error.get(key)) for error in errors]


def rejected_items(path: StoragePath) -> Iterator[dict[str, Any]]:
    """The failed elements of CM23 as they were submitted, without what the report added."""
    for item in json.loads(path.read_bytes()).get("processed_items") or ():
        if item.get("status") != "SUCCESS":
            yield {
                name: value
                for name, value in item.items()
                if name not in ("status", "synchronization_errors") and value is not None
            }


def write_rejected_lines(
    source: StoragePath, reports: Iterable[StoragePath], target: StoragePath, id_column: str | None = None
) -> int | None:
    """Write the failed lines of a CSV file as a file of the same columns, ready to be mended and sent again.

    A report that has every column of the source is taken as it is, less what it added. Otherwise the lines of the
    source are taken whose item the report names.

    :return: how many lines; ``None`` where neither is possible, and then there is no file.
    """
    with open_table(source) as table:
        header, delimiter = table.header, table.delimiter
        names = set()
        lines: dict[tuple[str, ...], None] = {}
        key: str | None = None
        for path in reports:
            with open_table(path) as report:
                places = [report.position([name]) for name in header]
                if None not in places:
                    for line in report.lines:
                        if line:
                            lines[tuple(_cell(line, place) for place in places)] = None
                    continue
                wanted = [id_column] if id_column else ID_COLUMNS
                common = [name for name in wanted if table.position([name]) is not None]
                place = report.position(common)
                if place is None:
                    return None
                key = report.header[place]
                names |= {_cell(line, place) for line in report.lines}
        if names and key is not None:
            place = table.position([key])
            lines |= {tuple(line): None for line in table.lines if _cell(line, place) in names}
    with writing(target) as binary:
        text = io.TextIOWrapper(binary, "utf-8", newline="", write_through=True)
        writer = csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(lines)
        text.detach()
    return len(lines)
