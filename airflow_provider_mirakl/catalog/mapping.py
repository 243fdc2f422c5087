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

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from airflow_provider_mirakl.catalog.building import PRICES, Builder, Read, Target
from airflow_provider_mirakl.catalog.cells import text_of
from airflow_provider_mirakl.catalog.columns import Columns, columns_of, hint, is_expression, split_fields
from airflow_provider_mirakl.catalog.grouping import Grouping
from airflow_provider_mirakl.catalog.product import FORMS, Locale
from airflow_provider_mirakl.catalog.rows import Build, is_nothing
from airflow_provider_mirakl.exceptions import MiraklInputError, Problem
from airflow_provider_mirakl.files.csv_table import fold
from airflow_provider_mirakl.files.text import BLANK

_SPEC = re.compile(
    r"(?P<field>[a-z_]+)(?:\.(?P<sub1>[a-z_]+))?(?:\[(?P<key>[^\]]+)\])?"
    r"(?:\.(?P<sub2>[a-z_]+))?(?::(?P<kind>[A-Z]+))?\Z"
)

_LOCALISED = ("titles", "descriptions", "category.labels")
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
_TARGETS = ", ".join(
    f"{field}.{sub}".rstrip(".") + ("[...]" if field in ("attributes", "partner_quantities") else "")
    for field, subs in _KNOWN.items()
    for sub in subs or ("",)
)
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


def _resolved(columns: Columns, heading: Sequence[str], faults: list[Problem]) -> dict[str, str]:
    """Every column that is read: the user's name of it, with its name in the header."""
    exact = set(heading)
    folded: dict[str, list[str]] = {}
    for name in dict.fromkeys(heading):
        folded.setdefault(fold(name), []).append(name)
    doubled = {name for name in exact if name and heading.count(name) > 1}
    found: dict[str, str] = {}
    for name in dict.fromkeys([*columns.sources(), *_group_columns(columns)]):
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
            faults.append(_missing(name, heading))
        elif alike[0] in doubled:
            at = [number for number, one in enumerate(heading, 1) if one == alike[0]]
            faults.append(Problem(f"the name {alike[0]!r} occurs twice", f"column {at[1]}"))
        else:
            found[name] = alike[0]
    return found


def _missing(name: str, heading: Sequence[str]) -> Problem:
    """The problem of a column that the source does not have."""
    # An object of JSON may have the column in another spelling.
    alike = next((one for one in heading if fold(one) == fold(name)), None)
    close = hint(name, filter(None, heading)) if alike is None else f"; did you mean {alike!r}?"
    return Problem(f"the source does not have this column{close}; it has {_listed(heading)}", name)


class Wanted:
    """The columns of a mapping that a source without a header must have in one of its rows.

    An object may lack a field that another one has, so only the end of the source shows that a name is wrong.

    :param columns: the settings.
    :param spelled: what two names of the same column have in common.
    :param sparse: whether objects leave out fields without a value, as JSON does. Then a column that none of them has
        is only a mistake if another one may be meant, or if it makes the groups.
    """

    def __init__(self, columns: Columns, spelled: Callable[[str], str], *, sparse: bool = False) -> None:
        self._spelled = spelled
        self._groups = frozenset(_group_columns(columns))
        self._sparse = sparse
        self._known = frozenset(map(spelled, columns.sources()))
        self._missing = {
            spelled(name): name
            for name in [*columns.sources(), *self._groups]
            if name not in columns.optional
        }
        self._names: dict[str, None] = {}

    def see(self, rows: Iterable[Iterable[Any]]) -> None:
        """Note the columns of rows. Once all have been seen, this takes no time."""
        if self._missing:
            names = [name for name in dict.fromkeys(chain.from_iterable(rows)) if isinstance(name, str)]
            self._names.update(dict.fromkeys(names))
            for name in names:
                self._missing.pop(self._spelled(name), None)

    def end(self) -> list[str]:
        """Check that all have been seen, unless no row has any column: then none could be read.

        :return: notes for the log.
        :raises MiraklInputError: the source does not have a column; every one is listed.
        """
        if not self._missing or not self._names:
            return []
        others = [name for name in self._names if self._spelled(name) not in self._known]
        absent = [
            name
            for name in self._missing.values()
            if self._sparse and name not in self._groups and not _close(name, others)
        ]
        if faults := [
            _missing(name, list(self._names)) for name in self._missing.values() if name not in absent
        ]:
            raise MiraklInputError("the column mapping is invalid", faults)
        return [f"no object has {_listed(absent)}, which the mapping names"]


def _close(name: str, others: Iterable[str]) -> bool:
    """Whether one of other columns may be meant."""
    return any(fold(one) == fold(name) for one in others) or bool(hint(name, others))


def id_columns(columns: Columns, heading: Sequence[str]) -> list[str]:
    """The columns of a header that make the id."""
    if columns.mapping is None:
        return [name for name, spec in _automatic(heading, []).items() if spec == "id"]
    for name, spec in columns.mapping.items():
        if spec == "id" or (name == "id" and is_expression(spec)):
            wanted = [name] if spec == "id" else columns_of(spec)
            return [one for one in heading if fold(one) in {fold(column) for column in wanted}]
    return []


def _group_columns(columns: Columns) -> list[str]:
    return [name for name in (columns.group_by, *columns.fill_down, *columns.collect) if name]


def grouping_of(columns: Columns, heading: Sequence[str] | None) -> Grouping | None:
    """The columns of groups, as the header names them; ``None`` without groups.

    :param columns: the settings.
    :param heading: the columns; ``None`` if only the rows show them.
    :raises MiraklInputError: the header does not have a column; every one is listed.
    """
    if columns.group_by is None:
        return None
    names: Mapping[str, str] = {}
    if heading is not None:
        faults: list[Problem] = []
        _resolved(replace(columns, mapping=None), heading, faults)
        if faults:
            raise MiraklInputError("the column mapping is invalid", faults)
        names = _resolved(columns, heading, [])  # a column of the mapping may still be made, by transform
    shared = _group_columns(columns)
    own = None
    if columns.mapping is not None:
        own = tuple(names.get(name, name) for name in columns.sources() if name not in shared)
    return Grouping(
        names.get(columns.group_by, columns.group_by),
        tuple(names.get(name, name) for name in columns.fill_down),
        tuple(names.get(name, name) for name in columns.collect),
        own,
    )


def compile_columns(columns: Columns, heading: Sequence[str] | None) -> Build:
    """Check a mapping against the columns, and return the builder of rows.

    :param columns: how the columns become products.
    :param heading: the columns; ``None`` if only the rows show them, which requires a mapping.
    :return: a function that makes rows of records, each with the cells of a product by column.
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
    steps: list[tuple[Read, Target]] = []
    targets: dict[str, Target] = {}
    for name, spec in mapping.items():
        expression = is_expression(spec)
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
    return Builder(steps, columns)


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
        parts = split_fields(text)
        return cls([names.get(part, part) if at % 2 else part for at, part in enumerate(parts)], optional)

    def read(self, cells: Mapping[str, Any]) -> tuple[str, list[str]]:
        """The text of this part, and those of its columns."""
        columns = [_shown(cells.get(part)) for part in self.parts[1::2]]
        if self.optional and not all(columns):
            return "", []
        texts = [columns[at // 2] if at % 2 else part for at, part in enumerate(self.parts)]
        return "".join(texts), columns


def _reader(name: str, spec: str, names: Mapping[str, str], target: Target) -> Read:
    """A function that reads the value of a target from the cells."""
    if not is_expression(spec):
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


def _shown(value: Any) -> str:
    if is_nothing(value):
        return ""
    text = text_of(value)
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
    return hint(name.strip().lower().replace(" ", "_"), [*_KNOWN, *_WORDS])


def _target(spec: str, columns: Columns) -> Target:
    match = _SPEC.match(spec)
    if match is None or match["field"] not in _KNOWN:
        common = _WORDS.get(fold(spec))
        meant = f"; did you mean {common!r}?" if common else hint(spec, _KNOWN)
        meant = meant or f"; the targets are {_TARGETS}"
        raise ValueError(f"{spec!r} is not a target{meant}")
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
    return Target(field, sub, key, kind)


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


def _whole(targets: Mapping[str, Target], columns: Columns) -> list[Problem]:
    """Find problems of the combination of targets."""
    faults = []
    taken: dict[Target, str] = {}
    for name, target in targets.items():
        place = Target(target.field, target.sub, target.key)
        if place in taken:
            faults.append(Problem(f"has the same target as {taken[place]!r}", name))
        taken.setdefault(place, name)
    if Target("id") not in taken:
        faults.append(Problem("no column is mapped to id; every product needs one", "id"))
    without = [
        name
        for name, target in targets.items()
        if target.field in PRICES and target.sub == "amount"
        if columns.currency is None and Target(target.field, "currency", target.key) not in taken
    ]
    words = "a price needs a currency: map a column to it, or set currency for all"
    return faults + [Problem(words, name) for name in without]
