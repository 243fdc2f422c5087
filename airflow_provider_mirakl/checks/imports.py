"""Checks files of OF01, STO01 and PRI01 by the columns in Mirakl's documents.

Source: :ref:`OF01 <facts-of01>`, :ref:`STO01 <facts-sto01>`, :ref:`PRI01 <facts-pri01>`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from airflow_provider_mirakl.catalog.numbers import readings
from airflow_provider_mirakl.checks.fields import key, meant, unclear
from airflow_provider_mirakl.checks.lint import Finding

_NUMBER = re.compile(r"-?[0-9]+([.,][0-9]+)?\Z")
_WHOLE = re.compile(r"[0-9]+\Z")
# Here a comma separates the ranges, so it cannot be a decimal sign too: 5|109,20 would end after 109.
_RANGES = re.compile(r"[0-9]+\|[0-9]+(\.[0-9]+)?(,[0-9]+\|[0-9]+(\.[0-9]+)?)*\Z")


def _is_moment(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


_FORMS: dict[str, tuple[Callable[[str], object], str]] = {
    "number": (_NUMBER.match, "must be a number such as 12.50"),
    "whole": (_WHOLE.match, "must be a whole number"),
    "ranges": (
        _RANGES.match,
        "must be quantities and prices such as 5|109.20,10|108.73, with a decimal point",
    ),
    "moment": (_is_moment, "must be a date or date-time in ISO 8601, such as 2027-01-31T00:00:00Z"),
    "truth": (lambda text: text.lower() in ("true", "false", "0", "1"), "must be true or false"),
    "flag": (lambda text: text.lower() in ("update", "delete"), "must be update, delete or empty"),
    "text": (lambda text: True, ""),
}


@dataclass(frozen=True, slots=True)
class ImportFile:
    """The content of a file of an operation.

    :param code: the operation.
    :param columns: its columns, and the form of their cells.
    :param required: columns that every row must fill; rows that delete need only the first.
    :param keyed: columns that take a key, such as ``price[channel=FR]``.
    :param unique: columns whose cells together identify a row; none if rows may repeat.
    :param most: largest number of rows per item, 0 for no limit.
    :param open: other columns are custom fields.
    :param usual: other names for the columns.
    """

    code: str
    columns: Mapping[str, str]
    required: tuple[str, ...]
    keyed: frozenset[str] = frozenset()
    unique: tuple[str, ...] = ()
    most: int = 0
    open: bool = False
    usual: Mapping[str, str] = field(default_factory=dict)


_OFFER_NAMES = {
    "offer_sku": "sku",
    "shop_sku": "sku",
    "state_code": "state",
    "condition": "state",
    "stock": "quantity",
    "product_id_typ": "product-id-type",
}
_ITEM_NAMES = {
    "sku": "offer-sku",
    "shop_sku": "offer-sku",
    "stock": "quantity",
    "qty": "quantity",
    "warehouse": "warehouse-code",
    "channel": "channels",
    "amount": "price",
}

OF01 = ImportFile(
    "OF01",
    {
        "sku": "text",
        "product-id": "text",
        "product-id-type": "text",
        "description": "text",
        "internal-description": "text",
        "price": "number",
        "price-additional-info": "text",
        "quantity": "whole",
        "min-quantity-alert": "whole",
        "state": "text",
        "available-start-date": "moment",
        "available-end-date": "moment",
        "logistic-class": "text",
        "discount-price": "number",
        "discount-start-date": "moment",
        "discount-end-date": "moment",
        "discount-ranges": "ranges",
        "allow-quote-requests": "truth",
        "leadtime-to-ship": "whole",
        "min-order-quantity": "whole",
        "max-order-quantity": "whole",
        "package-quantity": "whole",
        "update-delete": "flag",
        "price-ranges": "ranges",
        "ecotax": "number",
        "gift-wrap": "truth",
        "min-quantity-ordered": "whole",
        "pricing-unit": "text",
        "product-tax-code": "text",
        "producer-id": "text",
        "eco-contribution-amount": "number",
    },
    required=("sku",),
    keyed=frozenset(
        {
            "price", "discount-price", "discount-start-date", "discount-end-date", "discount-ranges",
            "price-ranges", "producer-id", "eco-contribution-amount",
        }
    ),
    unique=("sku",),
    open=True,
    usual=_OFFER_NAMES,
)  # fmt: skip
STO01 = ImportFile(
    "STO01",
    {"offer-sku": "text", "quantity": "whole", "warehouse-code": "text", "update-delete": "flag"},
    required=("offer-sku", "quantity"),
    unique=("offer-sku", "warehouse-code"),
    usual=_ITEM_NAMES,
)
PRI01 = ImportFile(
    "PRI01",
    {
        "offer-sku": "text",
        "price": "number",
        "discount-price": "number",
        "discount-start-date": "moment",
        "discount-end-date": "moment",
        "price-ranges": "ranges",
        "discount-ranges": "ranges",
        "channels": "text",
        "start-date": "moment",
        "end-date": "moment",
        "customer-organization-ids": "text",
        "customer-group-ids": "text",
        "price-type": "text",
    },
    required=("offer-sku", "price"),
    most=50,
    usual=_ITEM_NAMES,
)


class ImportCheck:
    """Checks a file by the columns of its operation.

    :param file: the content of a file of the operation.
    """

    def __init__(self, file: ImportFile) -> None:
        self._file = file
        self._known = {key(name): name for name in file.columns}
        self._seen: dict[tuple[str, ...], int] = {}
        self._closed: dict[str, int] = {}
        self._current = ("", 0)
        self._rows = 0
        self._numbers: dict[tuple[str, str, bool], tuple[str, int, str]] = {}
        """The first number of a column with each decimal sign, and whether it may be one with a group of three."""
        self.notes: list[str] = []

    def heading(self, names: Sequence[str], line: int) -> tuple[list[str], list[Finding]]:
        """The columns by the operation's own names, and their problems."""
        file = self._file
        found: list[str] = []
        findings: list[Finding] = []
        suggested: set[str] = set()
        written = [self._written(name) for name in names]
        for name, own in zip(names, written, strict=True):
            if name and (own or name) in found:
                findings.append(Finding("occurs twice", name, line))
                own = "" if own else name  # Mirakl may take either of two custom fields
            elif name and not own:
                close = meant(name, [one for one in file.columns if one not in written], file.usual)
                if close and close not in written:
                    suggested.add(close)
                    words = f"is not a column of {file.code}; did you mean {close!r}?"
                    findings.append(Finding(words, name, line))
                elif file.open:
                    self.notes.append(
                        f"{name!r} is not a column of {file.code}: Mirakl treats it as a custom field"
                    )
                else:
                    self.notes.append(f"{name!r} is not a column of {file.code}: Mirakl may ignore it")
                own = name
            found.append(own)
        findings += [
            Finding(f"the column is missing; {file.code} needs it", name, line)
            for name in file.required
            if name not in found and name not in suggested
        ]
        return found, findings

    def _written(self, name: str) -> str:
        """The operation's own name of a column; empty if it has none."""
        base, bracket, rest = name.partition("[")
        own = self._known.get(key(base), "")
        if not bracket:
            return own
        return f"{own}[{rest}" if own in self._file.keyed and rest.endswith("]") else ""

    def row(self, line: int, cells: Mapping[str, str]) -> Iterator[Finding]:
        """The problems of a row."""
        file = self._file
        item = cells.get(file.required[0], "")
        deletes = cells.get("update-delete", "").lower() == "delete"
        for name in file.required[:1] if deletes else file.required:
            if name in cells and not cells[name]:
                yield Finding("is empty", name, line, item or None)
        for name, cell in cells.items():
            form = file.columns.get(name.partition("[")[0], "text")
            fits, words = _FORMS[form]
            if cell and not fits(cell):
                yield Finding(f"{words}, not {cell!r:.60}", name, line, item or None, words, cell[:200])
            elif form == "number" and ("." in cell or "," in cell):
                yield from self._sign(line, item, name, cell)
        if item:
            yield from self._placed(line, item, cells)

    def _sign(self, line: int, item: str, name: str, cell: str) -> Iterator[Finding]:
        """A number that could be meant in two ways, because another one of its column has the other decimal sign.

        Once for each column, whichever of the two comes first.
        """
        sign, other = (".", ",") if "." in cell else (",", ".")
        either = readings(cell) is not None
        if (name, sign, either) in self._numbers:
            return
        self._numbers[name, sign, either] = (cell, line, item)
        against = self._numbers.get((name, other, not either))
        if against is None:
            return
        this = (cell, line, item)
        (number, at, whose), (proof, _, _) = (this, against) if either else (against, this)
        yield Finding(
            unclear(number, proof), name, at, whose or None, "has an unclear decimal sign", number[:200]
        )

    def _placed(self, line: int, item: str, cells: Mapping[str, str]) -> Iterator[Finding]:
        """Problems of the position of a row."""
        file = self._file
        column = file.required[0]
        if file.unique:
            name = tuple(cells.get(one, "") for one in file.unique)
            if (before := self._seen.setdefault(name, line)) != line:
                where = " with the same warehouse-code" if len(name) > 1 else ""
                words = f"is already on line {before}{where}"
                yield Finding(words, column, line, item, f"occurs more than once{where}", item)
        if file.open:
            return
        current, _ = self._current
        if item != current:
            if current:
                self._closed[current] = line - 1
            if (before := self._closed.get(item, 0)) != 0:
                words = "is not adjacent to its other rows; Mirakl needs the rows of an offer together"
                yield Finding(f"{words} (they end above line {before + 1})", column, line, item, words, item)
            self._current, self._rows = (item, line), 0
        self._rows += 1
        if file.most and self._rows == file.most + 1:
            words = f"has more than {file.most} prices"
            yield Finding(words, column, line, item, words, item)
