"""Products as an engineer on call has them: pairs of Mirakl product id and product SKU, pasted, listed or in a file.

All input is read before an error is raised, so that one error lists every problem.
"""

from __future__ import annotations

import ast
import csv
import itertools
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, cast

from airflow_provider_mirakl.catalog.frames import is_frame
from airflow_provider_mirakl.catalog.rows import as_mapping
from airflow_provider_mirakl.catalog.source import open_source
from airflow_provider_mirakl.checks.fields import keep_columns
from airflow_provider_mirakl.exceptions import MiraklInputError, Problem, counted
from airflow_provider_mirakl.files.csv_table import decoded_lines, pasted_lines, text_cell
from airflow_provider_mirakl.files.storage import StoragePath, unreadable
from airflow_provider_mirakl.files.text import AUTO, BLANK, text_blocks
from airflow_provider_mirakl.files.values import Frame

ID_NAMES = ("miraklproductid", "miraklid", "idmirakl")
SKU_NAMES = ("productsku", "miraklproductsku", "sku")
"""Names of the two fields and columns, as :func:`fold` writes them; the first one is used."""

_SMALL_WORDS = frozenset(("de", "del", "della", "der", "des", "do", "du", "la", "le", "of", "the"))
_PRODUCT_WORDS = frozenset(("product", "produkt", "produit", "producto", "prodotto", "produto"))
_ID_WORDS = frozenset(
    ("id", "identifier", "identifiant", "identificador", "identificativo", "identificatore", "kennung", "nummer",
     "number", "numero")
)  # fmt: skip
_LABEL_WORDS = (
    _PRODUCT_WORDS
    | _ID_WORDS
    | frozenset(
        ("mirakl", "sku", "ean", "gtin", "code", "codigo", "codice", "artikel", "artikelnummer", "article", "articulo",
         "articolo", "artigo", "reference", "referenz", "referencia", "riferimento")
    )
)  # fmt: skip
"""Words of headers, in the language of the spreadsheet's author: English, German, French, Spanish, Italian,
Portuguese."""

SEPARATORS = "\t;,"
"""Separators of the two values of a line; the first one in the line is used."""

FORMS = (
    "lines such as MKL-001;SKU-1 (a comma or a tab also separates; a header is allowed), or a list of such lines, "
    "pairs or of objects with mirakl_product_id and product_sku"
)
_BINARY = ("PK\x03\x04", "\u00d0\u00cf\u0011\u00e0", "\u00ff\u00fe", "\u00fe\u00ff")
"""How workbooks and UTF-16 begin, read byte by byte."""
_KEPT_PROBLEMS = 1000
_MAX_VALUE = 1000
_MAX_JSON = 64 << 20
_STATED = re.compile(r'\s*"?sep=.?"?\s*$', re.IGNORECASE)
"""A line with which Excel states the separator."""


class Pair(NamedTuple):
    """A product, by its two ids.

    :param mirakl_product_id: Mirakl's id of the master product.
    :param product_sku: the SKU in your catalog, in DJUST or in the PIM.
    """

    mirakl_product_id: str
    product_sku: str

    def element(self) -> dict[str, str]:
        """The pair as an element of CM21: confirm the integration."""
        return self._asdict()


@dataclass(frozen=True, slots=True)
class Pairs:
    """The products of the input.

    :param pairs: every product once, in the order of the input.
    :param duplicates: number of repeated products, which are left out.
    """

    pairs: tuple[Pair, ...]
    duplicates: int = 0


class _Row(NamedTuple):
    """A row of the input: two values, its position, and why it cannot be used."""

    mirakl_product_id: object = None
    product_sku: object = None
    line: int | None = None
    place: str = ""
    fault: str = ""


def read_pairs(products: str | Iterable[object] | Frame, *, limit: int | None = None) -> Pairs:
    """Read products from text, a list or a table of a library, and check them.

    :param products: see :data:`FORMS`; or a DataFrame with these columns.
    :param limit: largest number of products.
    :raises MiraklInputError: there are none or too many, or the input is invalid; every problem is listed.
    """
    if isinstance(products, str):
        if products.startswith(_BINARY) or "\0" in products:
            raise MiraklInputError(
                "products is not text but the content of a file, such as an Excel workbook (XLSX) or UTF-16; paste its "
                "lines, or save the sheet as CSV (UTF-8) and set source to the file"
            )
        return _checked(
            "products", _text_rows(pasted_lines(products.removeprefix("\ufeff")), "products"), limit
        )
    if is_frame(products):
        return _checked("products", _list_rows(_table_items(cast("Frame", products))), limit)
    if isinstance(products, Mapping | bytes) or not isinstance(products, Iterable):
        raise MiraklInputError(f"products must be {FORMS}, not {type(products).__name__}")
    return _checked("products", _list_rows(products), limit)


def _table_items(table: Frame) -> Iterator[object]:
    for batch in open_source(table, compiled=keep_columns).batches():
        yield from map(json.loads, batch.rows)


def read_file(path: StoragePath, *, limit: int | None = None, encoding: str = AUTO) -> Pairs:
    """Read products from a file: CSV, NDJSON or JSON.

    :param path: the file.
    :param limit: largest number of products.
    :param encoding: ``auto``, or a name that Python knows.
    :raises MiraklInputError: it cannot be read, or as for :func:`read_pairs`.
    """
    name = str(path)
    try:
        with path.open("rb") as file:
            return _checked(
                name, _text_rows(decoded_lines(text_blocks(file, name, encoding), name), name), limit
            )
    except OSError as error:
        raise unreadable("products", name, error) from None


@lru_cache(maxsize=1024)
def fold(name: str) -> str:
    """A normalized name: lower case, without accents, only letters and digits. The words for Mirakl's id and for a
    product's SKU, in any order and language, are one of :data:`ID_NAMES` and :data:`SKU_NAMES`."""
    words = _words(name)
    if "mirakl" in words and words & _ID_WORDS and words <= {"mirakl", *_PRODUCT_WORDS, *_ID_WORDS}:
        return ID_NAMES[0]
    if "sku" in words and words & _PRODUCT_WORDS and words <= {"mirakl", "sku", *_PRODUCT_WORDS}:
        return SKU_NAMES["mirakl" in words]
    return re.sub(r"[^a-z0-9]", "", _plain(name))


def _plain(name: str) -> str:
    return re.sub(r"[\u0300-\u036f]", "", unicodedata.normalize("NFKD", name)).casefold()


def _words(name: str) -> set[str]:
    """The words of a name, without the small ones; ``productSku`` has two."""
    return set(re.findall(r"[a-z0-9]+", _plain(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)))) - _SMALL_WORDS


def _checked(name: str, rows: Iterable[_Row], limit: int | None) -> Pairs:
    found: dict[str, Pair] = {}
    problems: list[Problem] = []
    count = duplicates = 0
    for row in rows:
        pair = Pair(_text(row.mirakl_product_id), _text(row.product_sku))
        if faults := _faults(row, pair, found.get(pair.mirakl_product_id)):
            count += len(faults)
            problems += faults[: _KEPT_PROBLEMS - len(problems)]
        elif pair.mirakl_product_id in found:
            duplicates += 1
        else:
            found[pair.mirakl_product_id] = pair
        if limit is not None and len(found) > limit:
            raise MiraklInputError(
                f"{name} contains more than {limit:,} products, the limit set by max_products; nothing was sent. A "
                "resync repairs single products: use an import (P41, or DJUST's import jobs) for many. If you need "
                "a resync, split the products into several runs, or raise max_products"
            )
    if problems:
        raise MiraklInputError(
            f"{name}: {counted(count, 'problem')}; nothing was sent", problems, problem_count=count
        )
    if not found:
        raise MiraklInputError(f"{name} contains no products; list at least one, as {FORMS}")
    return Pairs(tuple(found.values()), duplicates)


def _faults(row: _Row, pair: Pair, known: Pair | None) -> list[Problem]:
    """Every problem of a row, including an id that was listed before with another SKU."""
    if row.fault:
        return [Problem(row.fault, row.place, row.line)]
    problems = [
        Problem(word, f"{row.place}.{name}".lstrip("."), row.line)
        for name, value in (("mirakl_product_id", row.mirakl_product_id), ("product_sku", row.product_sku))
        if (word := _fault(value))
    ]
    if problems or known is None or known.product_sku == pair.product_sku:
        return problems
    words = f"has SKU {pair.product_sku!r} here and {known.product_sku!r} before; keep one of them"
    return [Problem(words, row.place, row.line, known.mirakl_product_id)]


def _fault(value: object) -> str | None:
    if value is None or (isinstance(value, str) and not _text(value)):
        return "is missing"
    if isinstance(value, bool) or not isinstance(value, str | int):
        return f"must be a string, not {value!r:.50}"
    text = _text(value)
    if len(text) > _MAX_VALUE:
        return f"is {len(text):,} characters long; is a line end or a quote missing?"
    return None if text.isprintable() else "contains an invisible character; remove it"


def _text(value: object) -> str:
    """A value without white space around it; ``="00123"`` is how a spreadsheet keeps leading zeros."""
    return text_cell(str(value).strip(BLANK)).strip(BLANK)


# --- Rows ---------------------------------------------------------------------------------------------------------


def _list_rows(products: Iterable[object]) -> Iterator[_Row]:
    """The rows of a list of lines, pairs or objects."""
    heading: _Heading | None = None
    first = True
    for index, item in enumerate(products):
        place = f"[{index}]"
        if not isinstance(item, str):
            yield _item_row(item, None, place)
            continue
        if len(item.strip(BLANK).splitlines()) > 1:
            words = f"{item.strip(BLANK)!r:.100} contains several lines; use one element per product"
            yield _Row(place=place, fault=words)
        elif _holds(item):
            if first and (heading := _heading(item)) is not None:
                if heading.fault:
                    yield _Row(fault=heading.fault)
            else:
                yield _line_row(item, heading, None, place)
            first = False


def _item_row(item: object, line: int | None, place: str) -> _Row:
    """A product given as an object, a row with named values, or a pair."""
    item = as_mapping(item)
    if isinstance(item, Mapping):
        named = {fold(str(name)): value for name, value in item.items()}
        product_id, sku = (
            next((named[name] for name in names if name in named), None) for names in (ID_NAMES, SKU_NAMES)
        )
        return _Row(product_id, sku, line, place)
    if isinstance(item, Sequence) and not isinstance(item, str | bytes) and len(item) == 2:
        return _Row(item[0], item[1], line, place)
    words = f"must be a pair of mirakl_product_id and product_sku, or an object with both, not {item!r:.100}"
    return _Row(line=line, place=place, fault=words)


def _text_rows(lines: Iterator[str], name: str) -> Iterator[_Row]:
    """The rows of pasted text or of a file: JSON, a table below a header, or one product per line."""
    above, first = next(
        ((at, line) for at, line in enumerate(lines) if _holds(line) and not _STATED.match(line)),
        (0, ""),
    )
    if first.lstrip()[:1] in ("[", "{"):
        yield from _json_rows("".join([first, *lines]), above, name)
    elif (heading := _heading(first)) is not None:
        yield from _table_rows(lines, heading, above)
    else:
        for number, line in enumerate(itertools.chain([first], lines), above + 1):
            if _holds(line):
                yield _line_row(line, None, number, "")


def _table_rows(lines: Iterator[str], heading: _Heading, above: int) -> Iterator[_Row]:
    """The rows below a header; other columns may contain line breaks, in quotes."""
    if heading.fault:
        yield _Row(line=above + 1, fault=heading.fault)
        return
    # Strict: otherwise a quote that is never closed takes the rest of the table into its cell.
    reader = csv.reader(lines, delimiter=heading.separator, strict=True)
    while True:
        number = above + reader.line_num + 2
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield _Row(line=number, fault=_not_csv(error))
            continue
        if any(cell.strip(BLANK) for cell in cells):
            yield heading.row(cells, number, "")


def _not_csv(error: csv.Error) -> str:
    return f"is not CSV ({error}); is a quote missing?"


def _json_rows(text: str, above: int, name: str) -> Iterator[_Row]:
    """A sequence of JSON values: an array, one object per line, or objects over several lines.

    After a value that cannot be read it continues in the next line.
    """
    if len(text) > _MAX_JSON:
        raise MiraklInputError(
            f"{name} is larger than {_MAX_JSON >> 20} MB; a resync repairs single products"
        )
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        if text[at] in ", \t\r\n\ufeff":
            at += 1
            continue
        line = above + 1 + text.count("\n", 0, at)
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            if at == 0 and (listed := _python_list(text)) is not None:
                yield from _list_rows(listed)
                return
            yield _Row(line=line, fault=f"is not JSON ({error})")
            at = text.find("\n", at) + 1 or len(text)
            continue
        items = value.get("products", value) if isinstance(value, dict) else value
        yield from _list_rows(items) if isinstance(items, list) else [_item_row(items, line, "")]


def _python_list(text: str) -> list[object] | None:
    """A list rendered as a string by a template."""
    try:
        found = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    return found if isinstance(found, list) else None


@dataclass(frozen=True, slots=True)
class _Heading:
    """The positions of the two columns."""

    separator: str
    id_at: int | None
    sku_at: int | None

    @classmethod
    def of(cls, cells: Sequence[str], separator: str) -> _Heading | None:
        """The header in these cells; ``None`` if they are a product."""
        names = [fold(_text(cell)) for cell in cells]
        id_at, sku_at = (
            next((names.index(name) for name in known if name in names), None)
            for known in (ID_NAMES, SKU_NAMES)
        )
        # "sku" may be the SKU of a product; it is a header only next to the other column, or by its full name. A line
        # that consists of such words is a header too: as a product it would be sent.
        alone = id_at is None and (sku_at is None or names[sku_at] == "sku")
        if alone and not (len(cells) > 1 and all(_words(_text(cell)) <= _LABEL_WORDS for cell in cells)):
            return None
        return cls(separator, id_at, sku_at)

    @property
    def fault(self) -> str:
        """Which column is missing."""
        for at, column in ((self.id_at, "mirakl_product_id"), (self.sku_at, "product_sku")):
            if at is None:
                return f"the header has no column {column}; name it so"
        return ""

    def row(self, cells: Sequence[str], line: int | None, place: str) -> _Row:
        """The two values of a row."""
        product_id, sku = (
            cells[at] if at is not None and at < len(cells) else None for at in (self.id_at, self.sku_at)
        )
        return _Row(product_id, sku, line, place)


def _heading(line: str) -> _Heading | None:
    separator = _separator(line)
    try:
        return _Heading.of(_cells(line, separator), separator)
    except csv.Error:
        return None


def _line_row(line: str, heading: _Heading | None, number: int | None, place: str) -> _Row:
    try:
        cells = _cells(line, heading.separator if heading else _separator(line))
    except csv.Error as error:
        return _Row(line=number, place=place, fault=_not_csv(error))
    if heading is not None:
        return heading.row(cells, number, place)
    while len(cells) > 2 and not cells[-1].strip(BLANK):
        cells.pop()
    if len(cells) == 2:
        return _Row(cells[0], cells[1], number, place)
    said = f"contains {len(cells)} values" if len(cells) > 1 else "contains one value"
    words = f"{line.strip(BLANK)!r:.100} {said}; write mirakl_product_id;product_sku"
    return _Row(line=number, place=place, fault=words)


def _holds(line: str) -> bool:
    """Whether a line has content: a row of empty cells does not."""
    return bool(line.strip(BLANK + SEPARATORS + '"'))


def _separator(line: str) -> str:
    return next((separator for separator in SEPARATORS if separator in line), SEPARATORS[1])


def _cells(line: str, separator: str) -> list[str]:
    """The values of a line.

    :raises csv.Error: a quote is not closed, or the line is longer than any product.
    """
    return next(csv.reader([line.strip(" \r\n")], delimiter=separator, strict=True), [])
