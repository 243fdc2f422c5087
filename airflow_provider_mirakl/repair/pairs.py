"""Products as a person on call has them: pairs of Mirakl product id and product SKU, pasted, listed or in a file.

Everything is read before anything is refused, so that one look tells all that is to be mended. Source:
docs/mirakl-facts.md, ADM-MIRAKL-100 and CM21.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from airflow_provider_mirakl.catalog.source import open_source
from airflow_provider_mirakl.exceptions import MiraklInputError, Problem
from airflow_provider_mirakl.files.storage import StoragePath

ID_NAMES = ("miraklproductid",)
SKU_NAMES = ("productsku", "miraklproductsku", "sku")
"""Names of the two fields and columns, in small letters and without what stands between words; the first one wins."""

SEPARATORS = "\t;,"
"""Between the two values of a line; the first one that a line holds counts."""

FORMS = (
    "lines such as MKL-001;SKU-1 (also with a comma or a tab, also below a heading), a list of such lines, of pairs or "
    "of objects with mirakl_product_id and product_sku, or the path of a CSV, NDJSON or JSON file"
)
_JSON_ENDINGS = (".json", ".ndjson", ".jsonl")
_KEPT_PROBLEMS = 1000
_MAX_LINE = 10_000


class Pair(NamedTuple):
    """A product, by its two names.

    :param mirakl_product_id: Mirakl's id of the master product.
    :param product_sku: the SKU in one's own catalog, DJUST's or the PIM's.
    """

    mirakl_product_id: str
    product_sku: str

    def element(self) -> dict[str, str]:
        """The pair as an element of CM21: confirm the integration."""
        return self._asdict()


@dataclass(frozen=True, slots=True)
class Pairs:
    """What was read.

    :param pairs: every product once, in the order of the input.
    :param duplicates: how often a product was given again; those are left out.
    """

    pairs: tuple[Pair, ...]
    duplicates: int = 0


class _Row(NamedTuple):
    """One row of the input: its values, ``None`` where it has none, and where it stands."""

    mirakl_product_id: object
    product_sku: object
    line: int | None
    place: str


def read_pairs(
    products: str | Iterable[Any], open_path: Callable[[str], StoragePath], *, limit: int | None = None
) -> Pairs:
    """Read products in any form, and check them.

    :param products: text or a list; see :data:`FORMS`. Text of one line without a separator, or that begins like a
        path, is the path of a file. Text in brackets or braces is what a template made of a list: JSON, or as Python
        writes it.
    :param open_path: makes a path out of its text.
    :param limit: most products that are taken.
    :raises MiraklInputError: nothing was given, too many, or with every problem of the input.
    """
    name, rows = _rows(products, open_path)
    found: dict[str, Pair] = {}
    problems: list[Problem] = []
    count = duplicates = 0
    for row in rows:
        faults = row if isinstance(row, list) else _faults(row, found)
        if faults:
            count += len(faults)
            problems += faults[: _KEPT_PROBLEMS - len(problems)]
            continue
        pair = Pair(_text(row.mirakl_product_id), _text(row.product_sku))  # type: ignore[union-attr]
        if pair.mirakl_product_id in found:
            duplicates += 1
            continue
        found[pair.mirakl_product_id] = pair
        if limit is not None and len(found) > limit:
            raise MiraklInputError(
                f"{name}: holds more than {limit:,} products, which is what max_products allows; nothing was sent. A "
                "resynchronization repairs single products: bulk belongs to the import (P41, or DJUST's import jobs). "
                "If it has to be, give fewer products a run, or raise max_products"
            )
    if problems:
        raise MiraklInputError(f"{name}: {count:,} problems; nothing was sent", problems, problem_count=count)
    if not found:
        raise MiraklInputError(f"{name}: holds no product; give at least one, as {FORMS}")
    return Pairs(tuple(found.values()), duplicates)


def looks_like_path(text: str) -> bool:
    """Whether text names a file rather than products."""
    line = text.strip()
    if not line or "\n" in line:
        return False
    return bool(re.match(r"(\.{0,2}/|~/|[A-Za-z][\w+.-]*://)", line)) or not any(
        s in line for s in SEPARATORS
    )


# --- Rows ---------------------------------------------------------------------------------------------------------


def _rows(
    products: object, open_path: Callable[[str], StoragePath]
) -> tuple[str, Iterator[_Row | list[Problem]]]:
    if products is None:
        return "products", iter(())
    if isinstance(products, str):
        products = products.removeprefix("\ufeff")  # of a file that was pasted
        bare = products.strip()
        if (bare[:1], bare[-1:]) in (("[", "]"), ("{", "}")):
            return "products", _list_rows(_written_list(bare))
        if not looks_like_path(products):
            return "products", _text_rows(io.StringIO(products, newline=None))
        path = products.strip()
        return path, _file_rows(path, open_path(path))
    if isinstance(products, Mapping | bytes) or not isinstance(products, Iterable):
        raise MiraklInputError(f"products: is {type(products).__name__}; give {FORMS}")
    return "products", _list_rows(products)


def _written_list(text: str) -> list[object]:
    """A list as a template writes it; objects may stand one a line, as in a file of rejects."""
    if text.startswith("{"):
        text = f"[{','.join(line for line in text.splitlines() if line.strip())}]"
    try:
        found = json.loads(text)
    except ValueError:
        try:
            found = ast.literal_eval(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            raise MiraklInputError(
                f"products: {text!r:.100} begins like a list, and is none that can be read; give {FORMS}"
            ) from None
    return list(found)


def _list_rows(products: Iterable[object]) -> Iterator[_Row | list[Problem]]:
    lines: list[str] = []
    heading: _Heading | None = None
    for index, item in enumerate(products):
        place = f"[{index}]"
        if isinstance(item, str):
            if not item.strip():
                continue
            if len(item.strip().splitlines()) > 1:
                yield [Problem(f"{item.strip()!r:.100} is several lines; give a product a line", place)]
                continue
            lines.append(item)
            if len(lines) == 1 and (heading := _heading(item)) is not None:
                if fault := heading.fault(None):
                    yield [fault]
                continue
            yield _line_row(item, heading, None, place)
        elif isinstance(item, Mapping):
            yield _object_row(item, None, place)
        elif isinstance(item, Sequence) and not isinstance(item, bytes) and len(item) == 2:
            yield _Row(item[0], item[1], None, place)
        else:
            yield [Problem(f"is {item!r:.100}; give a pair of mirakl_product_id and product_sku", place)]


def _file_rows(name: str, path: StoragePath) -> Iterator[_Row | list[Problem]]:
    try:
        if name.casefold().endswith(_JSON_ENDINGS):
            yield from _json_rows(path)
            return
        with path.open("rb") as binary, io.TextIOWrapper(binary, "utf-8-sig", errors="replace") as file:
            yield from _text_rows(file)
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise MiraklInputError(
            f"products: {name!r} is no file that can be read ({error}); give {FORMS}"
        ) from None


def _json_rows(path: StoragePath) -> Iterator[_Row | list[Problem]]:
    source = open_source(path)
    for batch in source.batches():
        for refused in batch.refused:
            yield refused.problems
        for row, at in zip(batch.rows, batch.at, strict=True):
            line, place = source.place(at)
            try:
                item = json.loads(row)
            except ValueError as error:
                yield [Problem(f"is no JSON ({error})", place, line)]
                continue
            if isinstance(item, Mapping):
                yield _object_row(item, line, place)
            elif isinstance(item, str):
                yield _line_row(item, None, line, place)
            elif isinstance(item, list) and len(item) == 2:
                yield _Row(item[0], item[1], line, place)
            else:
                yield [Problem("is no object with mirakl_product_id and product_sku", place, line)]


def _text_rows(file: Iterable[str]) -> Iterator[_Row | list[Problem]]:
    lines = iter(file)
    first = True
    for number, raw in enumerate(lines, 1):
        line = raw.rstrip("\r\n")
        if not line.strip():
            continue
        if first:
            first = False
            heading = _heading(line)
            if heading is not None:
                yield from _table_rows(lines, heading, number)
                return
        yield _line_row(line, None, number, "")


def _table_rows(lines: Iterator[str], heading: _Heading, above: int) -> Iterator[_Row | list[Problem]]:
    """The rows below a heading: other columns may hold line breaks, in quotes."""
    if fault := heading.fault(above):
        yield [fault]
        return
    reader = csv.reader(lines, delimiter=heading.separator)
    number = above + 1
    try:
        for cells in reader:
            if any(cells[1:]) or "".join(cells).strip():
                yield heading.row([cell.strip() for cell in cells], number, "")
            number = above + reader.line_num + 1
    except csv.Error as error:
        yield [Problem(f"is no CSV ({error}); is a quote missing?", line=number)]


# --- One row ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Heading:
    """Where the two columns stand."""

    separator: str
    id_at: int | None
    sku_at: int | None

    def fault(self, line: int | None) -> Problem | None:
        for at, column in ((self.id_at, "mirakl_product_id"), (self.sku_at, "product_sku")):
            if at is None:
                return Problem(f"the heading has no column {column}", line=line)
        return None

    def row(self, cells: Sequence[str], line: int | None, place: str) -> _Row:
        product_id, sku = (
            cells[at] if at is not None and at < len(cells) else None for at in (self.id_at, self.sku_at)
        )
        return _Row(product_id, sku, line, place)


def _heading(line: str) -> _Heading | None:
    separator = _separator(line)
    names = [_folded(cell) for cell in _cells(line, separator)]
    id_at = next((names.index(name) for name in ID_NAMES if name in names), None)
    # "sku" alone may be a product's SKU; only beside the other column, or by its full name, is it a heading.
    sku_at = next((names.index(name) for name in SKU_NAMES if name in names), None)
    if id_at is None and (sku_at is None or names[sku_at] == "sku"):
        return None
    return _Heading(separator, id_at, sku_at)


def _line_row(line: str, heading: _Heading | None, number: int | None, place: str) -> _Row | list[Problem]:
    if len(line) > _MAX_LINE:
        return [Problem(f"is {len(line):,} characters long; give a product a line", place, number)]
    if heading is not None:
        return heading.row(_cells(line, heading.separator), number, place)
    cells = _cells(line, _separator(line))
    while len(cells) > 2 and not cells[-1]:
        cells.pop()
    if len(cells) != 2:
        said = f"holds {len(cells)} values" if len(cells) > 1 else "holds one value"
        return [Problem(f"{line.strip()!r:.100} {said}; give mirakl_product_id;product_sku", place, number)]
    return _Row(cells[0], cells[1], number, place)


def _object_row(item: Mapping[str, object], line: int | None, place: str) -> _Row:
    named = {_folded(str(name)): value for name, value in item.items()}
    return _Row(
        next((named[name] for name in ID_NAMES if name in named), None),
        next((named[name] for name in SKU_NAMES if name in named), None),
        line,
        place,
    )


def _faults(row: _Row, found: Mapping[str, Pair]) -> list[Problem]:
    """Every problem of a row; also that its id was given before with another SKU."""
    fields = {"mirakl_product_id": row.mirakl_product_id, "product_sku": row.product_sku}
    problems = [
        Problem(word, f"{row.place}.{name}".lstrip("."), row.line)
        for name, value in fields.items()
        if (word := _fault(value))
    ]
    if problems:
        return problems
    known = found.get(_text(row.mirakl_product_id))
    if known is not None and known.product_sku != _text(row.product_sku):
        return [
            Problem(
                f"has SKU {_text(row.product_sku)!r} here and {known.product_sku!r} before; keep one of them",
                row.place,
                row.line,
                known.mirakl_product_id,
            )
        ]
    return []


def _fault(value: object) -> str | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return "is missing"
    if isinstance(value, bool) or not isinstance(value, str | int):
        return f"is {value!r:.50}; give a text"
    return None if _text(value).isprintable() else "holds a character that cannot be seen; remove it"


def _text(value: object) -> str:
    return str(value).strip()


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def _separator(line: str) -> str:
    return next((separator for separator in SEPARATORS if separator in line), SEPARATORS[1])


def _cells(line: str, separator: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line.strip(" ")], delimiter=separator), [])]
