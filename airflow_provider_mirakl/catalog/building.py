"""Makes rows of products from records, a column at a time.

A row is put together from the members of its fields, and each member depends on the cells of its own columns only. So
a thousand records are built column by column: what is common, a column of plain texts, is written with one call for
all of them, and what a feed repeats, a category, a stock or a price, is written once. A cell at a time, with a
dictionary for each product, took more than twice as long.

=========================  ===================  ==================================================================
field                      from                 how
=========================  ===================  ==================================================================
``id``, ``brand``          one column           its text
texts, attributes, stock   any number           an entry for each cell that has a value: :class:`_Entries`
GTINs, images              any number           all of them together, each value once: :class:`_Several`
category, prices           any number           all of them together: :class:`_Together`
=========================  ===================  ==================================================================
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Protocol

import msgspec

from airflow_provider_mirakl.catalog.cells import (
    amount_of,
    leaf_of,
    may_separate,
    plain_text,
    separated,
    text_of,
    truncated,
    truth_of,
    whole_of,
)
from airflow_provider_mirakl.catalog.columns import CELL, Columns
from airflow_provider_mirakl.catalog.numbers import split_money
from airflow_provider_mirakl.exceptions import counted
from airflow_provider_mirakl.files.text import BLANK

PRICES = ("standard_prices", "discount_prices")
"""The fields with prices."""


@dataclass(frozen=True, slots=True)
class Target:
    """A target in a product.

    :param field: top-level field.
    :param sub: field below it.
    :param key: the key in brackets.
    :param kind: type of an attribute.
    """

    field: str
    sub: str = ""
    key: str | None = None
    kind: str = "STRING"


Read = str | Callable[[Mapping[str, Any]], Any]
"""The name of a column, or a function that makes a value from the cells."""

_Cells = Sequence[Any]
"""The cells of one column, one for each record; ``None`` or ``""`` if a record has none."""

_encoder = msgspec.json.Encoder(enc_hook=str)
_encoded = _encoder.encode

_REMEMBERED = 1024
"""Cells of a column whose result is kept, as long as they are short: feeds repeat numbers and categories."""
_SHORT = 100
_STRINGS = frozenset({str, type(None)})


class _Field(Protocol):
    """Writes one field."""

    gaps: int
    """How many of the last records have only some of the entries that are mapped."""

    def members(self, columns: Sequence[_Cells]) -> list[bytes]:
        """Return the field of each record as ``"name":value``; ``b""`` if a record does not have it."""


class Builder:
    """Makes rows of records.

    :param steps: what is read for each target.
    :param columns: the settings.
    """

    def __init__(self, steps: Sequence[tuple[Read, Target]], columns: Columns) -> None:
        locales = [target.key for _, target in steps if target.field in ("titles", "descriptions")]
        locale = columns.locale or next((locale for locale in locales if locale), None)
        self._strip = columns.strip
        self.met: Counter[str] = Counter()
        """Products that have only some of the mapped entries of a field."""
        self._fields: dict[str, tuple[list[Read], _Field, bytes]] = {}
        for name in dict.fromkeys(target.field for _, target in steps):
            reads = [read for read, target in steps if target.field == name]
            targets = [target for _, target in steps if target.field == name]
            erased = _ERASED.get(name, b"") if columns.empty == "null" else b""
            self._fields[name] = (reads, _field(targets, columns, locale), erased)

    def __call__(self, records: Sequence[Mapping[str, Any]]) -> list[bytes]:
        """Return a row for each record.

        :raises TypeError: a cell cannot be written; :exc:`ValueError` likewise. The caller finds the record.
        """
        fields = []
        for reads, field, erased in self._fields.values():
            members = field.members([self._cells(read, records) for read in reads])
            fields.append([member or erased for member in members] if erased else members)
        # Only now: if a field raises, the caller passes each record again.
        for name, (_, field, _) in self._fields.items():
            if field.gaps:
                self.met[name] += field.gaps
        return [b"{" + b",".join(filter(None, members)) + b"}" for members in zip(*fields, strict=True)]

    def end(self) -> list[str]:
        return [
            f"{name}: {counted(number, 'product')} without a value for some of the mapped {_ENTRIES[name]}; what is "
            "sent replaces the list in Connect"
            for name, number in self.met.items()
        ]

    def _cells(self, read: Read, records: Sequence[Mapping[str, Any]]) -> _Cells:
        cells = (
            [record.get(read) for record in records] if isinstance(read, str) else list(map(read, records))
        )
        if self._strip:
            return [cell.strip(BLANK) if type(cell) is str else cell for cell in cells]
        return cells


_ENTRIES = {
    "titles": "locales",
    "descriptions": "locales",
    "category": "locales of its label",
    "attributes": "attributes",
    "quantities": "warehouses",
    "partner_quantities": "partners",
    "standard_prices": "scopes",
    "discount_prices": "scopes",
}
"""What the entries of a list are for, where each has a column of its own."""

_ERASED = {
    "gtins": b'"gtins":[]',
    **{
        name: b'"%b":null' % name.encode()
        for name in ("titles", "descriptions", "brand", "category", "images", "attributes", "discount_prices")
    },
}
"""What erases a field in Mirakl; the others cannot be erased."""


def _field(targets: Sequence[Target], columns: Columns, locale: str | None) -> _Field:
    """What writes the field of these targets."""
    name = targets[0].field
    if name in ("id", "brand"):
        return _Single(name)
    if name in ("gtins", "images"):
        return _Several(name, columns.separator, strip=columns.strip)
    entries = [at for at, target in enumerate(targets) if target.sub in ("labels", "amount")]
    if name == "category":
        return _Together(name, partial(_category, targets, columns, locale), entries)
    if name in PRICES:
        return _Together(name, partial(_prices, targets, columns), entries)
    return _Entries(name, [_Entry(target, columns) for target in targets])


def _texts(cells: _Cells) -> list[bytes]:
    """Cells of strings and ``None`` as JSON. A string in JSON has no line break, so one call writes all of them."""
    lines = _encoder.encode_lines(cells).split(b"\n")
    lines.pop()  # behind the last line end
    return lines


def _are_strings(cells: _Cells) -> bool:
    return _STRINGS.issuperset(map(type, cells))


def _is_given(cell: Any) -> bool:
    return cell is not None and cell != ""


def _gaps(columns: Sequence[Sequence[Any]]) -> int:
    """How many records have something in one of the columns, and nothing in another."""
    if all(map(all, columns)):
        return 0
    return sum(any(record) and not all(record) for record in zip(*columns, strict=True))


class _Single:
    """A field that is one text."""

    gaps = 0

    def __init__(self, name: str) -> None:
        self._before = b'"%b":' % name.encode()

    def members(self, columns: Sequence[_Cells]) -> list[bytes]:
        (cells,), before = columns, self._before
        if _are_strings(cells):
            return [before + text if cell else b"" for cell, text in zip(cells, _texts(cells), strict=True)]
        return [before + _encoded(text_of(cell)) if _is_given(cell) else b"" for cell in cells]


# --- A list with an entry for each cell -------------------------------------------------------------------------

_LENGTHS = {"titles": 255, "descriptions": 6000, "labels": 255}


class _Entry:
    """The entry of one column in a list: a text, an attribute, a stock."""

    def __init__(self, target: Target, columns: Columns) -> None:
        self._is_text = target.field in _LENGTHS or (target.field, target.kind) == ("attributes", "STRING")
        self._convert: Callable[[Any], Any] = text_of
        self._changes = False
        if target.field in _LENGTHS:
            name, others = "value", {"locale": target.key}
            self._changes = columns.truncate or columns.html == "text"
            self._convert = partial(_localised, length=_LENGTHS[target.field], columns=columns)
        elif target.field == "attributes":
            name, others = "value", {"id": target.key, "name": target.key, "type": target.kind}
            if target.kind != "STRING":
                self._convert = partial(amount_of if target.kind == "NUMERIC" else truth_of, columns=columns)
        else:
            key = "warehouse_code" if target.field == "quantities" else "partner_id"
            name, others = "available_quantity", {} if target.key is None else {key: target.key}
            self._convert = partial(whole_of, columns=columns)
        begin = _encoded(others)[:-1]
        self._before = begin + (b"," if others else b"") + b'"%b":' % name.encode()
        self._remembered = lru_cache(_REMEMBERED)(self._of)

    def of(self, cells: _Cells) -> list[bytes]:
        """The entry of each record; ``b""`` if the cell has no value."""
        if not self._is_text:
            remembered, of = self._remembered, self._of
            return [
                remembered(cell) if type(cell) is str and len(cell) < _SHORT else of(cell) for cell in cells
            ]
        if not _are_strings(cells):
            return list(map(self._of, cells))
        before = self._before
        if self._changes:
            cells = [self._convert(cell) if cell else cell for cell in cells]
        return [
            before + text + b"}" if cell else b"" for cell, text in zip(cells, _texts(cells), strict=True)
        ]

    def _of(self, cell: Any) -> bytes:
        if not _is_given(cell):
            return b""
        value = self._convert(cell)
        # HTML without any text is no value.
        return b"" if self._is_text and value == "" else self._before + _encoded(value) + b"}"


def _localised(cell: Any, *, length: int, columns: Columns) -> Any:
    """A title, a description or a label."""
    text = text_of(cell)
    if isinstance(text, str):
        if columns.html == "text":
            text = plain_text(text)
        if columns.truncate:
            text = truncated(text, length)
    return text


class _Entries:
    """A list with an entry for each cell."""

    def __init__(self, name: str, entries: Sequence[_Entry]) -> None:
        self._before = b'"%b":[' % name.encode()
        self._entries = entries
        self.gaps = 0

    def members(self, columns: Sequence[_Cells]) -> list[bytes]:
        before = self._before
        lists = [entry.of(cells) for entry, cells in zip(self._entries, columns, strict=True)]
        if len(lists) == 1:
            return [before + entry + b"]" if entry else b"" for entry in lists[0]]
        self.gaps = _gaps(lists)
        joined = [b",".join(filter(None, entries)) for entries in zip(*lists, strict=True)]
        return [before + entries + b"]" if entries else b"" for entries in joined]


# --- Several values in a cell -----------------------------------------------------------------------------------


class _Several:
    """GTINs or images: the values of all cells, each value once."""

    gaps = 0

    def __init__(self, name: str, separator: str | None, *, strip: bool) -> None:
        self._name = name
        self._part = "value" if name == "gtins" else "url"
        self._separator = separator
        self._strip = strip
        self._open = b'"%b":[' % name.encode()
        self._before = self._open + b'{"%b":' % self._part.encode()

    def members(self, columns: Sequence[_Cells]) -> list[bytes]:
        if len(columns) > 1:
            return list(map(self._of, zip(*columns, strict=True)))
        (cells,), before = columns, self._before
        if self._strip and _are_strings(cells):
            texts = zip(cells, _texts(cells), strict=True)
            if not may_separate("".join(filter(None, cells)), self._separator):
                return [before + text + b"}]" if cell else b"" for cell, text in texts]
        made: list[bytes] = []
        last, member = None, b""
        for cell in cells:
            # All rows of a group have the very same list.
            if cell is not last:
                last, member = cell, self._of((cell,))
            made.append(member)
        return made

    def _of(self, cells: _Cells) -> bytes:
        several: list[Any] = []
        found: set[str] = set()
        for cell in filter(_is_given, cells):
            for one in cell if isinstance(cell, list | tuple) else (cell,):
                for text in separated(one, self._name, self._separator):
                    if not isinstance(text, str):
                        several.append(text)
                    elif text and text not in found:
                        found.add(text)
                        several.append(text)
        return self._open + _encoded([{self._part: one} for one in several])[1:] if several else b""


# --- Columns that belong together -------------------------------------------------------------------------------


class _Together:
    """A field that all of its cells make together.

    :param name: the field.
    :param make: makes its value of the cells; ``None`` for none.
    :param entries: the numbers of the columns that each make an entry of a list.
    """

    def __init__(self, name: str, make: Callable[[_Cells], Any], entries: Sequence[int]) -> None:
        self._before = b'"%b":' % name.encode()
        self._make = make
        self._entries = entries
        self.gaps = 0
        self._remembered = lru_cache(_REMEMBERED)(self._of)

    def members(self, columns: Sequence[_Cells]) -> list[bytes]:
        short = all(
            _are_strings(cells) and max(map(len, filter(None, cells)), default=0) < _SHORT
            for cells in columns
        )
        if len(self._entries) > 1:
            self.gaps = _gaps([list(map(_is_given, columns[at])) for at in self._entries])
        return list(map(self._remembered if short else self._of, *columns))

    def _of(self, *cells: Any) -> bytes:
        value = self._make(cells)
        return b"" if value is None else self._before + _encoded(value)


def _category(
    targets: Sequence[Target], columns: Columns, locale: str | None, cells: _Cells
) -> dict[str, Any] | None:
    """A category. The leaf of a path is its label too, unless it has another."""
    category: dict[str, Any] = {"labels": []}
    given = [(target, cell) for target, cell in zip(targets, cells, strict=True) if _is_given(cell)]
    leaf_of_id = None
    for target, cell in given:
        text = text_of(cell)
        leaf = None
        if isinstance(text, str) and columns.category_path == "leaf":
            leaf = leaf_of(text, columns.category_separator)
        if target.sub == "id":
            category["id"] = leaf or text
            leaf_of_id = leaf
        elif (label := _localised(leaf or cell, length=_LENGTHS["labels"], columns=columns)) != "":
            category["labels"].append({"locale": target.key, "value": label})
    if leaf_of_id and not category["labels"] and locale is not None:
        category["labels"] = [{"locale": locale, "value": leaf_of_id}]
    return category if given else None


def _prices(targets: Sequence[Target], columns: Columns, cells: _Cells) -> list[dict[str, Any]] | None:
    """The prices of a product: an entry for each scope. A currency or a date without an amount is not a price."""
    entries: dict[str | None, dict[str, Any]] = {}
    given = [(target, cell) for target, cell in zip(targets, cells, strict=True) if _is_given(cell)]
    # Whichever column comes first: the currency decides what a sign such as $ in the amount means.
    currencies = {target.key: text_of(cell) for target, cell in given if target.sub == "currency"}
    for target, cell in given:
        scope = {} if target.key is None else {"scope": target.key}
        entry = entries.setdefault(target.key, {"price": {}, **scope})
        _put_price(entry, target.sub, cell, columns, currencies.get(target.key))
    prices = [entry for entry in entries.values() if "amount" in entry["price"]]
    for entry in prices:
        if columns.currency is not None and columns.currency != CELL:
            entry["price"].setdefault("currency", columns.currency)
    return prices or None


def _put_price(entry: dict[str, Any], sub: str, cell: Any, columns: Columns, declared: Any) -> None:
    """Set a part of a price.

    :param declared: the currency of the price's own column; ``None`` without one.
    """
    price = entry["price"]
    if sub == "amount":
        meant = columns.currency if declared is None else declared
        amount, currency = split_money(cell, meant) if isinstance(cell, str) else (cell, None)
        price["amount"] = amount_of(amount, columns)
        if declared is None and currency is not None:
            price["currency"] = currency
        elif currency not in (None, declared):
            price["amount"] = f"{currency} and {declared}"  # it is not known which one applies
    elif sub == "currency":
        price["currency"] = declared
    else:
        entry[sub] = text_of(cell)
