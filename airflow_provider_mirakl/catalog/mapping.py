"""Flat columns to Connect's product: a small language of targets, parsed before any row is read.

A target is a field of Connect, if needed with a key in brackets::

    id   brand   gtins   images   category.id
    titles[en_US]   descriptions[fr]   category.labels[fr]      the key is a locale
    attributes[color]   attributes[weight]:NUMERIC              the key is the attribute's id
    quantities   quantities[LYON]   partner_quantities[P1]      the key is the warehouse or partner
    standard_prices.amount   standard_prices[EUR_FR].currency   the key is the scope
    discount_prices.amount   .currency   .start_date   .end_date

Conversely, a target may be made of several columns, or of a constant::

    "id": "{Handle}-{Option1 Value}"     "titles[en_US]": "{Brand} {Name}[, {Colour}]"     "brand": "=Acme"

A part in square brackets is left out if its column is empty.

Without a mapping the columns must be named after their targets, or have a common name: ``sku``, ``ean``,
``price``, ``stock``, ``title_en_US``, ``description-fr``.

A cell that does not fit its target is passed on unchanged, so that the check of the row reports it like any problem.
"""

from __future__ import annotations

import difflib
import html
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from importlib import resources
from typing import Any, Literal

import msgspec
from pydantic import TypeAdapter, ValidationError

from airflow_provider_mirakl.catalog.numbers import is_plain, number_of, split_money
from airflow_provider_mirakl.catalog.product import FORMS, Currency, Locale
from airflow_provider_mirakl.catalog.rows import as_number, is_nothing
from airflow_provider_mirakl.exceptions import MiraklConfigurationError, MiraklInputError, Problem
from airflow_provider_mirakl.files.csv_table import fold
from airflow_provider_mirakl.files.text import BLANK


@dataclass(frozen=True, slots=True)
class Columns:
    """How a flat source becomes products.

    :param mapping: column to target, or target to columns in braces or a constant after ``=``, see the
        module; other columns are ignored. Names are matched regardless of case and
        surrounding spaces. ``None``: the columns must be named after their targets; any other column is an error.
    :param optional: columns of the mapping that the source may lack; a ready mapping names those that its system
        does not always export.
    :param languages: the source's own name of a language to Connect's locale, such as ``{"FR": "fr_FR"}``; it is used
        for every key in brackets or after a title or description column. ``None``: the source uses locales.
    :param locale: locale of texts whose target does not have one.
    :param currency: currency of prices without a column for it, ISO 4217; ``cell`` if each price includes its own,
        such as ``12.50 EUR``. A currency in the cell of a price always takes precedence.
    :param separator: the separator of several values in a cell (gtins, images). ``None`` detects it: a pipe, a line
        break, a semicolon or a comma; the last two separate URLs only if a URL follows.
    :param decimal: the decimal sign of numbers in strings.
    :param thousands: the signs that may separate groups of three digits, such as ``.`` or ``,``; a space means
        every kind of space, ``'`` both apostrophes; ``""`` means none. ``None``: an ambiguous number with such a
        group is rejected.
    :param empty: the meaning of an empty cell: ``absent`` keeps the value in Mirakl, ``null`` erases it.
    :param strip: remove white space and invisible characters from both ends of every cell.
    :param delimiter: the delimiter of a CSV file; default detected from its first lines.
    :param quoting: ``auto``: cells of a CSV file may be in double quotes; ``none``: a quote is an ordinary
        character.
    :param group_by: the column that is equal in all rows of a product or of its variants; such rows must be adjacent.
    :param fill_down: columns whose value in the first row of a group applies to all of its rows.
    :param collect: columns whose values in all rows of a group belong to each of its products, such as images.
    :param category_path: the meaning of a category written as ``A > B > C``: ``leaf`` uses C as its id and, if no
        column is mapped to labels, as its label; ``whole`` uses the whole text.
    :param category_separator: the separator of the levels of such a path; ``>`` needs a space on both sides.
    :param attribute_types: type of attributes by their id, such as ``{"weight": "NUMERIC"}``.
    :param truncate: cut titles and descriptions that are too long at a word, instead of rejecting the product.
    :param html: ``text`` converts titles and descriptions from HTML to plain text; ``keep`` does not.
    :raises MiraklConfigurationError: a setting is invalid; every one is listed.
    """

    mapping: Mapping[str, str] | None = None
    optional: tuple[str, ...] = ()
    languages: Mapping[str, str] | None = None
    locale: str | None = None
    currency: str | None = None
    separator: str | None = None
    decimal: Literal[".", ","] = "."
    thousands: str | None = None
    empty: Literal["absent", "null"] = "absent"
    strip: bool = True
    delimiter: str | None = None
    quoting: Literal["auto", "none"] = "auto"
    group_by: str | None = None
    fill_down: tuple[str, ...] = ()
    collect: tuple[str, ...] = ()
    category_path: Literal["leaf", "whole"] = "leaf"
    category_separator: str = ">"
    attribute_types: Mapping[str, Literal["STRING", "NUMERIC", "BOOLEAN"]] | None = None
    truncate: bool = False
    html: Literal["keep", "text"] = "keep"

    def __post_init__(self) -> None:
        faults = []
        if self.separator == "":
            faults.append(
                "separator: must be the characters between several values of a cell, such as '|', not ''"
            )
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in '"\r\n'):
            faults.append(f"delimiter: must be one character such as ';', not {self.delimiter!r}")
        choices = {
            "decimal": (".", ","),
            "empty": ("absent", "null"),
            "quoting": ("auto", "none"),
            "category_path": ("leaf", "whole"),
            "html": ("keep", "text"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                faults.append(
                    f"{name}: must be {' or '.join(map(repr, allowed))}, not {getattr(self, name)!r}"
                )
        if self.thousands is not None and (
            self.decimal in self.thousands or set(self.thousands) - set(".,' \u2019_")
        ):
            faults.append(
                f"thousands: must consist of the signs . , ' and space, without the decimal sign {self.decimal!r}, "
                f"not {self.thousands!r}"
            )
        if self.currency not in (None, CELL) and not FORMS[Currency].pattern.match(str(self.currency)):
            faults.append(f"currency: {self.currency!r} {FORMS[Currency].says}")
        if self.group_by is None and (self.fill_down or self.collect):
            faults.append("group_by: must be set for fill_down and collect")
        if faults:
            raise MiraklConfigurationError(f"columns: {'; '.join(faults)}", field="columns")

    def without_groups(self) -> Columns:
        """The same for independent rows."""
        return replace(self, group_by=None, fill_down=(), collect=())

    def sources(self) -> list[str]:
        """The columns that the mapping reads."""
        names: list[str] = []
        for name, spec in (self.mapping or {}).items():
            names += _columns_of(spec) if _is_expression(spec) else [name]
        return list(dict.fromkeys(names))

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any] | str) -> Columns:
        """Make it from plain values, such as from a Dag file or a form.

        :param settings: the settings; or the name of a ready mapping, such as ``shopify``. Settings with ``preset``
            override parts of that ready mapping; a column of its mapping that is set to ``""`` is left
            out.
        :raises MiraklConfigurationError: a setting does not exist or is invalid; every one is listed.
        """
        settings = _with_preset({"preset": settings} if isinstance(settings, str) else settings)
        unknown = [name for name in settings if name not in cls.__dataclass_fields__]
        faults = [
            f"{name}: is not a setting{_hint(name, list(cls.__dataclass_fields__))}; the settings are "
            f"{', '.join(cls.__dataclass_fields__)}"
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


CELL = "cell"
"""Currency: each price includes its own."""

PRESETS = ("akeneo", "google_merchant", "magento", "shopify", "woocommerce")
"""Ready mappings; each is a file of ``presets/``."""


def _with_preset(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Merge settings with their ready mapping."""
    own = dict(settings)
    name = own.pop("preset", None)
    if name is None:
        return own
    if name not in PRESETS:
        raise MiraklConfigurationError(
            f"columns: preset must be one of {', '.join(PRESETS)}, not {name!r}{_hint(str(name), PRESETS)}",
            field="columns",
        )
    text = resources.files(__package__).joinpath("presets", f"{name}.json").read_text("utf-8")
    ready: dict[str, Any] = json.loads(text)
    ready.pop("about", None)
    mapping = {**ready.get("mapping", {}), **(own.get("mapping") or {})}
    return {**ready, **own, "mapping": {column: target for column, target in mapping.items() if target}}


Build = Callable[[Mapping[str, Any]], bytes]


@dataclass(frozen=True, slots=True)
class _Target:
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
"""Common column names. A language may follow if the target has one: ``title_fr``, ``description-en_US``."""
_HEADING = re.compile(
    r"(?P<word>titles?|names?|descriptions?|category_labels?)[ _.-](?P<key>[A-Za-z_]{2,6})\Z", re.IGNORECASE
)


_FIELD = re.compile(r"\{([^{}]+)\}")


def _is_expression(spec: str) -> bool:
    """Whether the value of a mapping consists of columns or a constant; then its key is the target."""
    return spec.startswith("=") or bool(_FIELD.search(spec))


def _columns_of(spec: str) -> list[str]:
    return [] if spec.startswith("=") else _FIELD.findall(spec)


def _resolved(columns: Columns, heading: Sequence[str], faults: list[Problem]) -> dict[str, str]:
    """Every column that is read: the user's name of it, with its name in the header."""
    exact = set(heading)
    folded: dict[str, list[str]] = {}
    for name in dict.fromkeys(heading):
        folded.setdefault(fold(name), []).append(name)
    doubled = {name for name in exact if name and heading.count(name) > 1}
    found: dict[str, str] = {}
    every = [
        *columns.sources(),
        *(name for name in (columns.group_by, *columns.fill_down, *columns.collect) if name),
    ]
    for name in dict.fromkeys(every):
        alike = [name] if name in exact else folded.get(fold(name), [])
        if len(alike) > 1:
            faults.append(
                Problem(
                    f"matches {' and '.join(map(repr, alike))} in the header; use one of these names", name
                )
            )
        elif not alike and name in columns.optional:
            found[name] = name
        elif not alike:
            faults.append(
                Problem(
                    f"the source does not have this column{_hint(name, [one for one in heading if one])}; "
                    f"it has {_listed(heading)}",
                    name,
                )
            )
        elif alike[0] in doubled:
            at = [number for number, one in enumerate(heading, 1) if one == alike[0]]
            faults.append(Problem(f"the name {alike[0]!r} occurs twice", f"column {at[1]}"))
        else:
            found[name] = alike[0]
    return found


def id_columns(columns: Columns, heading: Sequence[str]) -> list[str]:
    """The columns of a header that make the id."""
    if columns.mapping is None:
        return [name for name, spec in _automatic(heading, []).items() if spec == "id"]
    for name, spec in columns.mapping.items():
        if spec == "id" or (name == "id" and _is_expression(spec)):
            wanted = [name] if spec == "id" else _columns_of(spec)
            return [one for one in heading if fold(one) in {fold(column) for column in wanted}]
    return []


def compile_columns(columns: Columns, heading: Sequence[str] | None) -> Build:
    """Check a mapping against the columns, and return the builder of rows.

    :param columns: how the columns become products.
    :param heading: the columns; ``None`` if only the rows show them, which requires a mapping.
    :return: a function that makes a row from the cells of a product, by column.
    :raises MiraklInputError: mapping or header are invalid; every problem is listed.
    """
    faults: list[Problem] = []
    mapping = columns.mapping
    if mapping is None:
        mapping = _automatic(heading or (), faults)
        columns = replace(columns, mapping=mapping)
    names = {name: name for name in columns.sources()}
    if heading is not None:
        names = _resolved(columns, heading, faults)
    steps: list[tuple[_Read, _Target]] = []
    targets: dict[str, _Target] = {}
    for name, spec in mapping.items():
        expression = _is_expression(spec)
        try:
            target = _target(name if expression else spec, columns)
        except ValueError as error:
            faults.append(Problem(str(error), name))
            continue
        targets[name] = target
        steps.append((_reader(name, spec, names, target), target))
    faults += _whole(targets, columns)
    if faults:
        raise MiraklInputError("the column mapping is invalid", faults)
    return _Builder(steps, columns)


_Read = str | Callable[[Mapping[str, Any]], Any]
"""The name of a column, or a function that makes a value from the cells."""

_OPTIONAL = re.compile(r"\[([^\[\]{}]*\{[^{}]+\}[^\[\]{}]*)\]")


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of what a target is made of.

    :param parts: texts and columns in turn, beginning with a text.
    :param optional: left out where its column is empty.
    """

    parts: Sequence[str]
    optional: bool

    @classmethod
    def of(cls, text: str, names: Mapping[str, str], *, optional: bool) -> _Piece:
        """A part of a text with columns in braces."""
        parts = _FIELD.split(text)
        return cls([names.get(part, part) if at % 2 else part for at, part in enumerate(parts)], optional)

    def read(self, cells: Mapping[str, Any]) -> tuple[str, list[str]]:
        """The text of this part, and those of its columns."""
        columns = [_cell_text(cells.get(part)) for part in self.parts[1::2]]
        if self.optional and not all(columns):
            return "", []
        texts = [columns[at // 2] if at % 2 else part for at, part in enumerate(self.parts)]
        return "".join(texts), columns


def _reader(name: str, spec: str, names: Mapping[str, str], target: _Target) -> _Read:
    """A function that reads the value of a target from the cells."""
    if not _is_expression(spec):
        return names.get(name, name)
    if spec.startswith("="):
        return lambda cells: spec[1:]
    pieces = [
        _Piece.of(text, names, optional=bool(at % 2)) for at, text in enumerate(_OPTIONAL.split(spec)) if text
    ]
    whole = target.field == "id"

    def read(cells: Mapping[str, Any]) -> Any:
        texts, filled, missing = [], False, False
        for piece in pieces:
            text, columns = piece.read(cells)
            texts.append(text)
            filled = filled or any(columns)
            missing = missing or not (piece.optional or all(columns))
        # An id with a missing part would be the id of another product.
        return None if (missing and whole) or not filled else "".join(texts).strip(BLANK)

    return read


def _cell_text(value: Any) -> str:
    if is_nothing(value):
        return ""
    text = _text(value)
    return text.strip(BLANK) if isinstance(text, str) else str(text)


def _automatic(heading: Iterable[str], faults: list[Problem]) -> dict[str, str]:
    mapping: dict[str, str] = {}
    for name in heading:
        if not name:
            continue
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
            faults.append(
                Problem(
                    f"is not a field of a product{_field_hint(name)}; set its target in columns, such as "
                    f"columns={{'mapping': {{{name!r}: 'titles[en_US]'}}}}",
                    name,
                )
            )
    return mapping


def _listed(names: Sequence[str], shown: int = 30) -> str:
    """The list of columns, for a message."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(map(repr, names[:shown])) + more


def _field_hint(name: str) -> str:
    """A suggestion for a column: a text whose locale is spelled differently, or the name of a field."""
    word, _, locale = name.strip().partition("_")
    written = locale.replace("-", "_")
    if "-" in locale and _HEADING.match(f"{word}_{written}"):
        return f"; did you mean {f'{word}_{written}'!r}?"
    return _hint(name.strip().lower().replace(" ", "_"), [*_KNOWN, *_WORDS])


def _hint(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), 1, 0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def _target(spec: str, columns: Columns) -> _Target:
    match = _SPEC.match(spec)
    if match is None or match["field"] not in _KNOWN:
        raise ValueError(f"{spec!r} is not a target{_hint(spec, _KNOWN)}")
    field, sub, key = match["field"], match["sub1"] or match["sub2"] or "", match["key"]
    subs = _KNOWN[field]
    if sub not in subs and (sub or subs):
        takes = (
            f"use one of {', '.join(f'{field}.{one}' for one in subs)}"
            if subs
            else f"{field} has no subfields"
        )
        raise ValueError(f"{spec!r} is not a target; {takes}")
    if match["sub1"] and match["sub2"]:
        raise ValueError(
            f"{spec!r} is not a target; it has two subfields, {match['sub1']} and {match['sub2']}"
        )
    if key is not None and (field, sub) in _SINGLE:
        raise ValueError(
            f"{spec!r} is not a target; a product has one {f'{field}.{sub}'.rstrip('.')}, without a key"
        )
    if f"{field}.{sub}".rstrip(".") in _LOCALISED:
        key = _locale(spec, key, columns)
    if field in ("attributes", "partner_quantities") and key is None:
        raise ValueError(
            f"{spec!r} needs a key, such as {field}[{'color' if field == 'attributes' else 'P1'}]"
        )
    kind = match["kind"] or ((columns.attribute_types or {}).get(key or "", "STRING"))
    if kind not in _KINDS or (match["kind"] and field != "attributes"):
        raise ValueError(f"{spec!r}: the type of an attribute must be one of {', '.join(_KINDS)}")
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
    """Find problems of the combination of targets."""
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
    words = "a price needs a currency: map a column to it, or set currency for all"
    return faults + [Problem(words, name) for name in without]


_NULLABLE = ("titles", "descriptions", "brand", "category", "images", "attributes", "discount_prices")


_encoded = msgspec.json.Encoder(enc_hook=str).encode


class _Builder:
    """Makes rows of cells."""

    def __init__(self, steps: Sequence[tuple[_Read, _Target]], columns: Columns) -> None:
        self._columns = columns
        # The name of a column that is used unchanged: a call for each cell of a million rows is expensive.
        self._steps = [
            (read if isinstance(read, str) else None, read, target, _PUTS[target.field])
            for read, target in steps
        ]
        self._empty: dict[str, Any] = {}
        self._has_prices = any(target.field in _PRICES for _, target in steps)
        self._has_category = any(target.field == "category" for _, target in steps)
        locales = [target.key for _, target in steps if target.field in ("titles", "descriptions")]
        self._locale = columns.locale or next((locale for locale in locales if locale), None)
        if columns.empty == "null":
            fields = {target.field for _, target in steps}
            self._empty = {field: None for field in fields if field in _NULLABLE}
            self._empty |= {"gtins": []} if "gtins" in fields else {}

    def __call__(self, cells: Mapping[str, Any]) -> bytes:
        product: dict[str, Any] = {}
        strip = self._columns.strip
        for column, read, target, put in self._steps:
            value = cells.get(column) if column is not None else read(cells)  # type: ignore[operator]
            if strip and type(value) is str:
                value = value.strip(BLANK)
            if value is not None and value != "":
                put(product, target, value, self._columns)
        if self._has_prices:
            for field in _PRICES:
                if field in product:
                    _settle_prices(product, field, self._columns)
        if self._has_category and "category" in product:
            _settle_category(product["category"], self._locale)
        return _encoded({**self._empty, **product} if self._empty else product)


def _text(value: Any) -> Any:
    if type(value) is str:
        return value
    if is_nothing(value):
        return msgspec.Raw(b"NaN")  # NaN, NaT, NA: the check reports it
    value = value if (number := as_number(value)) is None else number
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        # Beyond this a float has lost digits of the original id.
        exact = value.is_integer() and abs(value) < 2**53
        return str(int(value)) if exact else _as_it_is(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, bytes | bytearray):
        raise TypeError(f"bytes ({bytes(value)!r:.60}) are not text; use text in the column")
    if isinstance(value, list | tuple | dict):
        return value  # not text either, which the check reports
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value)


def _as_it_is(value: Any) -> Any:
    """Return a value for the check. NaN must not become null, which would erase."""
    if isinstance(value, float) and not math.isfinite(value):
        return msgspec.Raw(json.dumps(value).encode())
    return value


def _number(value: Any, columns: Columns, *, whole: bool = False) -> Any:
    """Return a number with its original digits, without converting it to a float."""
    if type(value) is str and columns.decimal == "." and not whole and is_plain(value):
        return msgspec.Raw(value.encode())
    if not isinstance(value, str | Decimal):
        number = as_number(value)
        return _as_it_is(value if number is None else number)
    text = format(value, "f") if isinstance(value, Decimal) else value.strip(BLANK)
    if isinstance(value, Decimal):
        written: str | None = text if value.is_finite() else None
    else:
        written = number_of(text, columns.decimal, columns.thousands, whole=whole)
    return str(value) if written is None else msgspec.Raw(written.encode())


def _whole_number(value: Any, columns: Columns) -> Any:
    """Return a whole number, even if a table could only store it as 5.0."""
    if type(value) is str and value.isascii() and value.isdigit() and (value[0] != "0" or value == "0"):
        return msgspec.Raw(value.encode())
    number = _number(value, columns, whole=True)
    if isinstance(number, msgspec.Raw):
        whole, _, fraction = bytes(number).partition(b".")
        return number if fraction.strip(b"0") or not whole.lstrip(b"-").isdigit() else msgspec.Raw(whole)
    return int(number) if isinstance(number, float) and number.is_integer() else number


_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def _boolean(value: Any, columns: Columns) -> Any:
    return _TRUTH.get(str(value).strip().lower(), value)


_LENGTHS = {"titles": 255, "descriptions": 6000, "labels": 255}


def truncated(text: str, length: int) -> str:
    """Cut a text at the last word that fits.

    :param text: the text.
    :param length: largest number of characters.
    """
    if len(text) <= length:
        return text
    cut = text[: length + 1].rsplit(None, 1)[0] if " " in text[: length + 1].strip() else text[:length]
    return cut[:length].rstrip()


_BREAKS = re.compile(r"<(?:br|/p|/div|/li|/h\d|/tr)\b[^>]*>", re.IGNORECASE)
_HIDDEN = re.compile(r"<(script|style)\b.*?</\1\s*>|<!--.*?-->", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")


def plain_text(text: str) -> str:
    """Convert HTML to plain text: paragraphs become lines, tags are removed, entities become characters."""
    text = _TAG.sub("", _BREAKS.sub("\n", _HIDDEN.sub("", text)))
    lines = (" ".join(line.split()) for line in html.unescape(text).splitlines())
    return "\n".join(line for line in lines if line)


def _put_text(product: dict[str, Any], target: _Target, value: Any, columns: Columns) -> None:
    product[target.field] = _text(value)


def _put_localised(product: dict[str, Any], target: _Target, value: Any, columns: Columns) -> None:
    text = _text(value)
    if isinstance(text, str) and target.field in _LENGTHS:
        if columns.html == "text":
            text = plain_text(text)
        if columns.truncate:
            text = truncated(text, _LENGTHS[target.field])
    if text != "":
        product.setdefault(target.field, []).append({"locale": target.key, "value": text})


@lru_cache(maxsize=4096)
def _leaf(path: str, separator: str) -> str | None:
    """The last level of the first category in a cell; ``None`` if it is not a path. A feed repeats its categories."""
    levels = _levels(path, separator)
    return levels[-1] if len(levels) > 1 else None


def _levels(path: str, separator: str) -> list[str]:
    """The levels of the first category in a cell."""
    pattern = r"\s+>\s+|\s*&gt;\s*" if separator == ">" else rf"\s*{re.escape(separator)}\s*"
    first = path.partition("|")[0] if re.search(pattern, path) else path
    # A comma may be part of a name; if it separates paths, the next one begins with the same root, or is that root.
    pieces = re.split(r",\s*", first)
    root = re.split(pattern, pieces[0])[0]
    if len(pieces) > 1 and any(re.split(pattern, piece)[0] == root for piece in pieces[1:]):
        first = pieces[0]
    return [level.strip() for level in re.split(pattern, first) if level.strip()]


def _put_category(product: dict[str, Any], target: _Target, value: Any, columns: Columns) -> None:
    category = product.setdefault("category", {"labels": []})
    text = _text(value)
    leaf = None
    if isinstance(text, str) and columns.category_path == "leaf":
        leaf = _leaf(text, columns.category_separator)
    if target.sub == "id":
        category["id"] = leaf or text
        if leaf:
            category["leaf"] = leaf
    else:
        _put_localised(category, _Target("labels", key=target.key), leaf or text, columns)


def _settle_category(category: dict[str, Any], locale: str | None) -> None:
    """Use the leaf of a category path as its label, unless it has another."""
    leaf = category.pop("leaf", None)
    if leaf and not category["labels"] and locale is not None:
        category["labels"] = [{"locale": locale, "value": leaf}]


_AUTOMATIC = {
    "gtins": re.compile(r"[|;,\s]+"),
    "images": re.compile(r"[|\r\n]+|[;,\s]+(?=https?://)"),
}
"""The default separator of several values in a cell. A URL may contain a comma or a semicolon."""
_MAY_SEPARATE = re.compile(r"[|;,\s]")


def _separated(value: Any, field: str, separator: str | None) -> list[Any]:
    """The values of a cell, or of one entry of a list."""
    if type(value) is not str:
        if is_nothing(value):
            return []
        value = _text(value)
        if not isinstance(value, str):
            return [value]
    if separator is not None:
        return [one.strip(BLANK) for one in value.split(separator)]
    bare = value.strip(BLANK)
    if not _MAY_SEPARATE.search(bare):
        return [bare]
    return [one.strip(BLANK) for one in _AUTOMATIC[field].split(bare.strip(BLANK + ";,"))]


def _put_several(product: dict[str, Any], target: _Target, value: Any, columns: Columns) -> None:
    part = "value" if target.field == "gtins" else "url"
    several = value if isinstance(value, list | tuple) else [value]
    known = product.setdefault(target.field, [])
    found = {entry[part] for entry in known if isinstance(entry[part], str)}
    for one in several:
        for text in _separated(one, target.field, columns.separator):
            if not isinstance(text, str):
                known.append({part: text})
            elif text and text not in found:
                found.add(text)
                known.append({part: text})
    if not known:
        del product[target.field]


_CONVERT: dict[str, Callable[[Any, Columns], Any]] = {
    "STRING": lambda value, columns: _text(value),
    "NUMERIC": _number,
    "BOOLEAN": _boolean,
}


def _put_attribute(product: dict[str, Any], target: _Target, value: Any, columns: Columns) -> None:
    converted = _CONVERT[target.kind](value, columns)
    entry = {"id": target.key, "name": target.key, "type": target.kind, "value": converted}
    product.setdefault("attributes", []).append(entry)


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
        amount, currency = split_money(value, columns.currency) if isinstance(value, str) else (value, None)
        entry["price"]["amount"] = _number(amount, columns)
        if currency is not None and "currency" not in entry["price"]:
            entry["price"]["currency"] = currency
        elif currency is not None and entry["price"]["currency"] != currency:
            entry["price"]["amount"] = value  # two currencies: it is not known which one applies
    elif target.sub == "currency":
        known = entry["price"].get("currency")
        entry["price"]["currency"] = text = _text(value)
        if known is not None and known != text:
            entry["price"]["amount"] = f"{known} and {text}"
    else:
        entry[target.sub] = _text(value)


def _settle_prices(product: dict[str, Any], field: str, columns: Columns) -> None:
    """Set the currency of prices, and remove entries without an amount: a currency or a date only is not a price."""
    entries = [entry for entry in product[field] if "amount" in entry["price"]]
    for entry in entries:
        if columns.currency is not None and columns.currency != CELL:
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
