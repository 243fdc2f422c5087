"""Reports of jobs: read rows per item from them, and write the failed items as input for the next run.

Mirakl publishes no columns for its error reports beyond those of stock and prices (line number, then reason), so
columns are found by name. XML and XLSX reports are archived, not read.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from airflow_provider_mirakl.exceptions import MiraklInputError
from airflow_provider_mirakl.files.csv_table import Table, fold, open_table
from airflow_provider_mirakl.files.storage import StoragePath, remove, writing
from airflow_provider_mirakl.outcome import ItemResult, Status

ID_COLUMNS = (
    "offer-sku", "sku", "shop_sku", "shop-sku", "provider_sku", "provider-sku", "product_sku", "product-sku",
    "mirakl_product_id", "mirakl-product-id", "product_id", "product-id", "ean",
)  # fmt: skip
"""Columns that identify an item; the first one found is used. A user may set another."""
ERROR_COLUMNS = (
    "errors",
    "error",
    "error-message",
    "error_message",
    "error message",
    "error-reason",
    "reason",
)
"""Names of the column with the reason. A column of the source such as ``return_reason`` is used
only if none of these exists."""
WARNING_COLUMNS = ("warnings", "warning", "warning-message", "warning_message", "warning message")
_CODED = re.compile(r"[\w.-]+\|")
_NEXT_CODED = re.compile(r",(?=[\w.-]+\|)")


def read_failures(path: StoragePath, id_column: str | None = None) -> Iterator[ItemResult]:
    """The lines of an error report as failed items. A line that has a warning and no error did not fail.

    :param path: the report, CSV.
    :param id_column: the column that identifies an item; default the first of :data:`ID_COLUMNS`, else the first
        column.
    :raises MiraklInputError: a line cannot be read.
    """
    with open_table(path, errors="replace") as table:
        reason, warning = _reason_column(table), table.position(WARNING_COLUMNS)
        item = table.position([id_column, *ID_COLUMNS] if id_column else ID_COLUMNS)
        if item is None:
            item = next((at for at in range(len(table.header)) if at not in (reason, warning)), 0)
        for row in table.rows:
            if not _is_warning(row.cells, reason, warning):
                code, message = _split(_cell(row.cells, reason))
                yield ItemResult(_cell(row.cells, item), "failed", code, message)


def read_warnings(path: StoragePath) -> Counter[str]:
    """The warnings of a report, each with its number of lines.

    :raises MiraklInputError: a line cannot be read.
    """
    with open_table(path, errors="replace") as table:
        warning = table.position(WARNING_COLUMNS)
        if warning is None:
            return Counter()
        return Counter(text for row in table.rows if (text := _cell(row.cells, warning).strip()))


def _is_warning(line: Sequence[str], reason: int | None, warning: int | None) -> bool:
    """Whether a line has a warning and no error."""
    return warning is not None and bool(_cell(line, warning).strip()) and not _cell(line, reason).strip()


def _reason_column(table: Table) -> int | None:
    """The column with the reason: by exact name, else the last one named after an error but not a line."""
    exact = table.position(ERROR_COLUMNS)
    if exact is not None:
        return exact
    header, found = table.header, None
    for position, name in enumerate(header):
        word = name.casefold()
        if ("error" in word or "reason" in word) and "line" not in word and "code" not in word:
            found = position
    if found is None and len(header) > 1 and "line" in header[0].casefold():
        return 1
    return found


def _split(reason: str) -> tuple[str | None, str | None]:
    """Code and message of a reason written as ``code|message``. Of several, the first code and all messages."""
    if not _CODED.match(reason):
        return None, reason or None
    parts = [part.partition("|") for part in _NEXT_CODED.split(reason)]
    return parts[0][0], "; ".join(message for _, _, message in parts if message) or None


def _cell(line: Sequence[str], position: int | None) -> str:
    return line[position] if position is not None and position < len(line) else ""


def read_items(
    path: StoragePath, names: Sequence[str] = ("product_sku", "mirakl_product_id")
) -> Iterator[ItemResult]:
    """The items of CM23, as far as they can be read.

    :param names: the fields that identify an item; the first one present is used.
    """
    for item in _items(_read(path)):
        key = next((str(item[name]) for name in names if item.get(name)), "")
        errors = _objects(item.get("synchronization_errors"))
        first = {name: str(value) for name, value in next(iter(errors), {}).items() if value is not None}
        message = "; ".join(str(error["message"]) for error in errors if error.get("message"))
        status = _status(item)
        if status == "succeeded":
            yield ItemResult(key, status)
        else:
            yield ItemResult(key, status, first.get("code"), message or None, first.get("attribute_code"))


def global_errors(path: StoragePath) -> list[str]:
    """The messages of CM23 about the whole synchronization, or that it cannot be read."""
    report = _read(path)
    if report is None:
        return [f"{path.name}: cannot be read as a report, so the results of its products are unknown"]
    errors = _objects(report.get("global_errors"))
    return [": ".join(str(error[key]) for key in ("code", "message") if error.get(key)) for error in errors]


def rejected_items(path: StoragePath) -> Iterator[dict[str, Any]]:
    """The failed elements of CM23 as they were submitted, without what the report added."""
    for item in _items(_read(path)):
        if _status(item) == "failed":
            yield {
                name: value
                for name, value in item.items()
                if name not in ("status", "synchronization_errors") and value is not None
            }


def _read(path: StoragePath) -> Mapping[str, Any] | None:
    """CM23; ``None`` if it is empty, or not from Mirakl. The job is done anyway."""
    try:
        report = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None
    return report if isinstance(report, Mapping) else None


def _items(report: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    return _objects((report or {}).get("processed_items"))


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []


def _status(item: Mapping[str, Any]) -> Status:
    """The result of an element; unknown if the report does not mention it."""
    if item.get("status") == "SUCCESS":
        return "succeeded"
    return "failed" if item.get("status") == "FAILURE" or item.get("synchronization_errors") else "unknown"


def write_rejected_lines(
    source: StoragePath, reports: Iterable[StoragePath], target: StoragePath, id_column: str | None = None
) -> int | None:
    """Write the failed lines of a CSV file as a file of the same columns, ready to be fixed and sent again.

    If the report has every column of the source, its lines are used without the added columns. Otherwise the lines of
    the source are used whose items the report names.

    :return: the number of lines; ``None`` if neither is possible or no line is named, and then no file is written.
    """
    known: set[int] = set()  # hashes of the written lines, since a whole file may fail
    try:
        # Bytes that are not UTF-8 are kept unchanged.
        with open_table(source, errors="surrogateescape") as table, writing(target) as binary:
            text = io.TextIOWrapper(binary, "utf-8", "surrogateescape", newline="", write_through=True)
            try:
                writer = csv.writer(
                    text, delimiter=table.delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n"
                )
                writer.writerow(table.header)
                for line in _rejected_lines(table, reports, [id_column] if id_column else ID_COLUMNS):
                    if (mark := hash(line)) not in known:
                        known.add(mark)
                        writer.writerow(line)
            finally:
                text.detach()
    except (MiraklInputError, LookupError):
        return None
    if not known:
        remove(target)
    return len(known) or None


def _rejected_lines(
    table: Table, reports: Iterable[StoragePath], id_columns: Sequence[str]
) -> Iterator[tuple[str, ...]]:
    """The lines, one by one. LookupError: the report and the table have no item in common."""
    wanted: defaultdict[str, set[str]] = defaultdict(set)
    shared = [name for name in id_columns if table.position([name]) is not None]
    for path in reports:
        with open_table(path, errors="surrogateescape") as report:
            places = _positions(report.header, table.header)
            reason, warning = _reason_column(report), report.position(WARNING_COLUMNS)
            failed = (row.cells for row in report.rows if not _is_warning(row.cells, reason, warning))
            if None not in places:
                yield from (tuple(_cell(line, at) for at in places) for line in failed)
            elif (place := report.position(shared)) is not None:
                column = report.header[place].casefold()
                wanted[column] |= {_cell(line, place).strip() for line in failed} - {""}
            elif report.header:
                raise LookupError(path.name)
    items = [(table.position([column]), named) for column, named in wanted.items() if named]
    for row in table.rows if items else ():
        if any(_cell(row.cells, place).strip() in named for place, named in items):
            yield tuple(row.cells)


def _positions(header: Sequence[str], names: Sequence[str]) -> list[int | None]:
    """Position of each column; duplicate names are matched in order."""
    places = defaultdict(list)
    for at, name in enumerate(header):
        places[fold(name)].append(at)
    return [places[fold(name)].pop(0) if places[fold(name)] else None for name in names]
