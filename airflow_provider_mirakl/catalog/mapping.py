"""Flat columns to Connect's product: a small language of targets, read before any row is.

A target names a field of Connect, where needed with a key in brackets::

    id   brand   gtins   images   category.id
    titles[en_US]   descriptions[fr]   category.labels[fr]      the key is a locale
    attributes[color]   attributes[weight]:NUMERIC              the key is the attribute's id
    quantities   quantities[LYON]   partner_quantities[P1]      the key is the warehouse or partner
    standard_prices.amount   standard_prices[EUR_FR].currency   the key is the scope
    discount_prices.amount   .currency   .start_date   .end_date

Without a mapping the columns name their targets themselves, as a target or by a common word: ``sku``, ``ean``,
``price``, ``stock``, ``title_en_US``, ``description-fr``.

A cell that does not fit its target goes there as it is, so that the check of the row names it like any other fault.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

import msgspec
from pydantic import TypeAdapter, ValidationError

from airflow_provider_mirakl.catalog.product import FORMS, Currency, Locale
from airflow_provider_mirakl.exceptions import MiraklConfigurationError, MiraklInputError, Problem


@dataclass(frozen=True, slots=True)
class Columns:
    """How a flat source becomes products.

    :param mapping: column to target, as this module's text says; columns that are not named are left aside. ``None``:
        the columns name their targets themselves, and a column that does not is an error.
    :param languages: the source's own name of a language to Connect's locale, such as ``{"FR": "fr_FR"}``; it is looked
        up for every key in brackets or behind a title or description column. ``None``: the source names locales.
    :param locale: locale of texts whose target has none.
    :param currency: currency of prices that have no column for it, ISO 4217.
    :param separator: what stands between several values of a cell (gtins, images).
    :param decimal: the decimal sign of numbers written as text.
    :param empty: what an empty cell means: ``absent`` keeps what Mirakl has, ``null`` erases it.
    :param delimiter: what stands between the cells of a CSV; default found in its heading.
    :raises MiraklConfigurationError: every setting that cannot work.
    """

    mapping: Mapping[str, str] | None = None
    languages: Mapping[str, str] | None = None
    locale: str | None = None
    currency: str | None = None
    separator: str = "|"
    decimal: Literal[".", ","] = "."
    empty: Literal["absent", "null"] = "absent"
    delimiter: str | None = None

    def __post_init__(self) -> None:
        faults = []
        if not self.separator:
            faults.append("separator: is empty; give what stands between several values of a cell, such as |")
        if self.delimiter and (len(self.delimiter) != 1 or self.delimiter in '"\r\n'):
            faults.append(
                f"delimiter: is {self.delimiter!r}; give one character such as ; or nothing to find it"
            )
        if self.decimal not in (".", ","):
            faults.append(f"decimal: is {self.decimal!r}; give . or ,")
        if self.empty not in ("absent", "null"):
            faults.append(f"empty: is {self.empty!r}; give absent or null")
        if self.currency is not None and not FORMS[Currency].pattern.match(self.currency):
            faults.append(f"currency: {self.currency!r} {FORMS[Currency].says}")
        if faults:
            raise MiraklConfigurationError(f"columns: {'; '.join(faults)}", field="columns")

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Columns:
        """Make it from plain values, as a Dag file or a form passes them.

        :raises MiraklConfigurationError: every setting that does not exist or does not fit.
        """
        unknown = [name for name in settings if name not in cls.__dataclass_fields__]
        faults = [
            f"{name}: there is no such setting{_hint(name, list(cls.__dataclass_fields__))}"
            for name in unknown
        ]
        known = {name: value for name, value in settings.items() if name not in unknown}
        try:
            columns = TypeAdapter(cls).validate_python(known)
        except ValidationError as error:
            faults += [
                f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
                for fault in error.errors(include_url=False)
            ]
        except MiraklConfigurationError as error:
            faults.append(str(error).removeprefix("columns: "))
        if faults:
            raise MiraklConfigurationError(f"columns: {'; '.join(faults)}", field="columns")
        return columns


Build = Callable[[Mapping[str, Any]], bytes]


@dataclass(frozen=True, slots=True)
class _Target:
    """A place in a product.

    :param field: top-level field.
    :param sub: field below it.
    :param key: what stood in brackets.
    :param kind: type of an attribute.
    """

    field: str
    sub: str = ""
    key: str | None = None
    kind: str = "STRING"


_SPEC = re.compile(
    r"(?P<field>[a-z_]+)(?:\.(?P<sub1>[a-z_]+))?(?:\[(?P<key>[^\]]+)\])?"
    r"(?:\.(?P<sub2>[a-z_]+))?(?::(?P<kind>[A-Z]+))?\Z"
)

_LOCALISED = ("titles", "descriptions", "category.labels")
_PRICES = ("standard_prices", "discount_prices")
_KNOWN = {
    "id": (),
    "brand": (),
    "gtins": (),
    "images": (),
    "titles": (),
    "descriptions": (),
    "category": ("id", "labels"),
    "attributes": (),
    "quantities": (),
    "partner_quantities": (),
    "standard_prices": ("amount", "currency"),
    "discount_prices": ("amount", "currency", "start_date", "end_date"),
}
_KINDS = ("STRING", "NUMERIC", "BOOLEAN")
_SINGLE = (("id", ""), ("brand", ""), ("category", "id"))

_WORDS = {
    "sku": "id",
    "product_id": "id",
    "ean": "gtins",
    "gtin": "gtins",
    "upc": "gtins",
    "isbn": "gtins",
    "image": "images",
    "image_url": "images",
    "title": "titles",
    "name": "titles",
    "description": "descriptions",
    "category": "category.id",
    "category_id": "category.id",
    "category_label": "category.labels",
    "quantity": "quantities",
    "stock": "quantities",
    "available_quantity": "quantities",
    "price": "standard_prices.amount",
    "currency": "standard_prices.currency",
    "discount_price": "discount_prices.amount",
    "discount_start_date": "discount_prices.start_date",
    "discount_end_date": "discount_prices.end_date",
}
"""Common headings. A language may follow where the target has one: ``title_fr``, ``description-en_US``."""
_HEADING = re.compile(
    r"(?P<word>titles?|names?|descriptions?|category_labels?)[ _.-](?P<key>[A-Za-z_]{2,6})\Z", re.IGNORECASE
)


def compile_columns(columns: Columns, heading: Sequence[str] | None) -> Build:
    """Check a mapping against the columns there are, and return the builder of rows.

    :param columns: how the columns become products.
    :param heading: the columns there are; ``None`` where only rows can tell, which needs a mapping.
    :return: makes one row of the cells of one product, by column.
    :raises MiraklInputError: every fault of mapping and heading at once.
    """
    faults: list[Problem] = []
    mapping = columns.mapping
    if mapping is None:
        mapping = _automatic(heading or (), faults)
    elif heading is not None:
        faults += [
            Problem(f"there is no such column{_hint(name, heading)}", name)
            for name in mapping
            if name not in heading
        ]
    targets: dict[str, _Target] = {}
    for name, spec in mapping.items():
        try:
            targets[name] = _target(spec, columns)
        except ValueError as error:
            faults.append(Problem(str(error), name))
    faults += _whole(targets, columns)
    if faults:
        raise MiraklInputError("the column mapping cannot work", faults)
    return _Builder(targets, columns)


def _automatic(heading: Iterable[str], faults: list[Problem]) -> dict[str, str]:
    mapping: dict[str, str] = {}
    for name in heading:
        word = name.strip().lower().replace(" ", "_")
        localised = _HEADING.match(name.strip())
        if (
            _SPEC.match(name.strip())
            and name.strip().partition("[")[0].partition(".")[0] in _KNOWN
            and word not in _WORDS
        ):
            mapping[name] = name.strip()
        elif word in _WORDS:
            mapping[name] = _WORDS[word]
        elif localised:
            word = localised["word"].lower()
            mapping[name] = (
                f"{_WORDS.get(word, _WORDS.get(word.removesuffix('s'), word))}[{localised['key']}]"
            )
        else:
            known = [*_KNOWN, *_WORDS]
            faults.append(
                Problem(
                    f"no field of a product is called so{_hint(word, known)}; name its target in a mapping",
                    name,
                )
            )
    return mapping


def _hint(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), 1, 0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def _target(spec: str, columns: Columns) -> _Target:
    match = _SPEC.match(spec)
    if match is None or match["field"] not in _KNOWN:
        raise ValueError(f"{spec!r} is no target{_hint(spec, _KNOWN)}")
    field, sub, key = match["field"], match["sub1"] or match["sub2"] or "", match["key"]
    subs = _KNOWN[field]
    if sub not in subs and (sub or subs):
        takes = (
            f"give one of {', '.join(f'{field}.{one}' for one in subs)}" if subs else f"{field} has no parts"
        )
        raise ValueError(f"{spec!r} is no target; {takes}")
    if match["sub1"] and match["sub2"]:
        raise ValueError(f"{spec!r} is no target; it names two parts, {match['sub1']} and {match['sub2']}")
    if key is not None and (field, sub) in _SINGLE:
        raise ValueError(
            f"{spec!r} is no target; a product has one {f'{field}.{sub}'.rstrip('.')}, without a key"
        )
    if f"{field}.{sub}".rstrip(".") in _LOCALISED:
        key = _locale(spec, key, columns)
    if field in ("attributes", "partner_quantities") and key is None:
        raise ValueError(
            f"{spec!r} needs a key, such as {field}[{'color' if field == 'attributes' else 'P1'}]"
        )
    kind = match["kind"] or "STRING"
    if kind not in _KINDS or (match["kind"] and field != "attributes"):
        raise ValueError(f"{spec!r}: the type of an attribute is {', '.join(_KINDS)}")
    return _Target(field, sub, key, kind)


def _locale(spec: str, key: str | None, columns: Columns) -> str:
    locale = key or columns.locale
    if locale is None:
        raise ValueError(f"{spec!r} needs a locale, such as {spec}[en_US], or a default locale")
    if key is not None and columns.languages is not None:
        if key not in columns.languages:
            known = ", ".join(columns.languages)
            raise ValueError(
                f"{spec!r}: the language {key!r} is not in the language mapping, which has {known}"
            )
        locale = columns.languages[key]
    if not FORMS[Locale].pattern.match(locale):
        raise ValueError(f"{spec!r}: {locale!r} {FORMS[Locale].says}")
    return locale


def _whole(targets: Mapping[str, _Target], columns: Columns) -> list[Problem]:
    """Find what is wrong with the targets together."""
    faults = []
    taken: dict[_Target, str] = {}
    for name, target in targets.items():
        place = _Target(target.field, target.sub, target.key)
        if place in taken:
            faults.append(Problem(f"has the same target as {taken[place]!r}", name))
        taken.setdefault(place, name)
    if _Target("id") not in taken:
        faults.append(Problem("no column is mapped to id; every product needs one", "id"))
    without = [
        name
        for name, target in targets.items()
        if target.field in _PRICES and target.sub == "amount"
        if columns.currency is None and _Target(target.field, "currency", target.key) not in taken
    ]
    words = "a price needs a currency: map a column to it, or give one for all"
    return faults + [Problem(words, name) for name in without]


_NULLABLE = ("titles", "descriptions", "brand", "category", "images", "attributes", "discount_prices")


class _Builder:
    """Makes rows of cells."""

    def __init__(self, targets: Mapping[str, _Target], columns: Columns) -> None:
        self._columns = columns
        self._steps = [(name, target, _PUTS[target.field]) for name, target in targets.items()]
        self._empty: dict[str, Any] = {}
        if columns.empty == "null":
            fields = {target.field for target in targets.values()}
            self._empty = {field: None for field in fields if field in _NULLABLE}
            self._empty |= {"gtins": []} if "gtins" in fields else {}

    def __call__(self, cells: Mapping[str, Any]) -> bytes:
        product: dict[str, Any] = {}
        for name, target, put in self._steps:
            value = cells.get(name)
            if value is not None and value != "":
                put(product, target, value, self._columns)
        for field in _PRICES:
            _settle_prices(product, field, self._columns)
        return msgspec.json.encode({**self._empty, **product}, enc_hook=str)


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        # Beyond this a float has lost digits of the id that it was.
        exact = value.is_integer() and abs(value) < 2**53
        return str(int(value)) if exact else _as_it_is(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, bytes | bytearray):
        raise TypeError(f"bytes ({bytes(value)!r:.60}) are no text; write text into the column")
    if isinstance(value, list | tuple | dict):
        return value  # no text either, as the check says
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value)


def _as_it_is(value: Any) -> Any:
    """Return a value for the check to judge. NaN must not become null, which would erase."""
    if isinstance(value, float) and not math.isfinite(value):
        return msgspec.Raw(json.dumps(value).encode())
    return value


_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?\Z")


def _number(value: Any, columns: Columns) -> Any:
    """Return a number digit by digit as it was written; nothing passes through a float."""
    if not isinstance(value, str | Decimal):
        return _as_it_is(value)
    text = format(value, "f") if isinstance(value, Decimal) else value.strip()
    if columns.decimal == "," and isinstance(value, str):
        if "." in text:
            return value  # of thousands, or of a fraction: nobody knows
        text = text.replace(",", ".")
    return msgspec.Raw(text.encode()) if _NUMBER.match(text) else str(value)


def _whole_number(value: Any, columns: Columns) -> Any:
    """Return a whole number, also where a table could only hold it as 5.0."""
    number = _number(value, columns)
    if isinstance(number, msgspec.Raw):
        whole, _, fraction = bytes(number).partition(b".")
        return number if fraction.strip(b"0") else msgspec.Raw(whole)
    return int(number) if isinstance(number, float) and number.is_integer() else number


_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def _boolean(value: Any, columns: Columns) -> Any:
    return _TRUTH.get(str(value).strip().lower(), value)


def _put_text(product: dict[str, Any], target: _Target, value: Any, columns: Columns) -> None:
    product[target.field] = _text(value)


def _put_localised(product: dict[str, Any], target: _Target, value: Any, columns: Columns) -> None:
    product.setdefault(target.field, []).append({"locale": target.key, "value": _text(value)})


def _put_category(product: dict[str, Any], target: _Target, value: Any, columns: Columns) -> None:
    category = product.setdefault("category", {"labels": []})
    if target.sub == "id":
        category["id"] = _text(value)
    else:
        _put_localised(category, _Target("labels", key=target.key), value, columns)


def _put_several(product: dict[str, Any], target: _Target, value: Any, columns: Columns) -> None:
    part = "value" if target.field == "gtins" else "url"
    several = value if isinstance(value, list | tuple) else [value]
    values: list[Any] = []
    for text in (_text(one) for one in several if one is not None):
        values += text.split(columns.separator) if isinstance(text, str) else [text]
    values = [one.strip() if isinstance(one, str) else one for one in values]
    product.setdefault(target.field, []).extend({part: one} for one in values if one)


_CONVERT: dict[str, Callable[[Any, Columns], Any]] = {
    "STRING": lambda value, columns: _text(value),
    "NUMERIC": _number,
    "BOOLEAN": _boolean,
}


def _put_attribute(product: dict[str, Any], target: _Target, value: Any, columns: Columns) -> None:
    entry = {"id": target.key, "name": target.key, "type": target.kind}
    product.setdefault("attributes", []).append({**entry, "value": _CONVERT[target.kind](value, columns)})


def _put_quantity(product: dict[str, Any], target: _Target, value: Any, columns: Columns) -> None:
    entry = {"available_quantity": _whole_number(value, columns)}
    if target.key is not None:
        entry["warehouse_code" if target.field == "quantities" else "partner_id"] = target.key
    product.setdefault(target.field, []).append(entry)


def _put_price(product: dict[str, Any], target: _Target, value: Any, columns: Columns) -> None:
    entries = product.setdefault(target.field, [])
    entry = next((entry for entry in entries if entry.get("scope") == target.key), None)
    if entry is None:
        entry = {"price": {}} if target.key is None else {"price": {}, "scope": target.key}
        entries.append(entry)
    if target.sub == "amount":
        entry["price"]["amount"] = _number(value, columns)
    elif target.sub == "currency":
        entry["price"]["currency"] = _text(value)
    else:
        entry[target.sub] = _text(value)


def _settle_prices(product: dict[str, Any], field: str, columns: Columns) -> None:
    """Give prices their currency, and take out what has no amount: a currency or a date alone is no price."""
    if field not in product:
        return
    entries = [entry for entry in product[field] if "amount" in entry["price"]]
    for entry in entries:
        if columns.currency is not None:
            entry["price"].setdefault("currency", columns.currency)
    product[field] = entries
    if not entries:
        del product[field]


_PUTS: dict[str, Callable[[dict[str, Any], _Target, Any, Columns], None]] = {
    "id": _put_text,
    "brand": _put_text,
    "gtins": _put_several,
    "images": _put_several,
    "titles": _put_localised,
    "descriptions": _put_localised,
    "category": _put_category,
    "attributes": _put_attribute,
    "quantities": _put_quantity,
    "partner_quantities": _put_quantity,
    "standard_prices": _put_price,
    "discount_prices": _put_price,
}
