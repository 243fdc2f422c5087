"""Files of products (P41), checked against the operator's categories (H11), attributes (PM11) and
lists of values (VL11).

Rules that Mirakl does not publish are not checked: how a list cell separates its values, whether a label stands for a
value, whether a comma may be a decimal sign. Any form that some instance accepts is allowed.

Source: :ref:`P41 <facts-p41>`, :ref:`H11 <facts-h11>`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

from airflow_provider_mirakl.api.platform import Attribute, Hierarchy, ValuesList
from airflow_provider_mirakl.catalog.gtins import check_digit
from airflow_provider_mirakl.checks.fields import hint
from airflow_provider_mirakl.checks.lint import SHOWN_VALUES, Finding, shown
from airflow_provider_mirakl.files.csv_table import fold

_INTEGER = re.compile(r"-?[0-9]+\Z")
_DECIMAL = re.compile(r"-?[0-9]+([.,][0-9]+)?\Z")
_MEASUREMENT = re.compile(r"-?[0-9]+([.,][0-9]+)?(\s*[^\d\s].*)?\Z")
_ADDRESS = re.compile(r"https?://\S+\Z", re.IGNORECASE)
_GTIN_CODES = frozenset({"EAN", "GTIN", "UPC", "ISBN"})
_SEPARATORS = (r"\|", r"[|,;\n]")
_DATE_PARTS = (
    ("yyyy", "%Y"),
    ("yy", "%y"),
    ("MM", "%m"),
    ("dd", "%d"),
    ("HH", "%H"),
    ("mm", "%M"),
    ("ss", "%S"),
)

Fault = tuple[str, tuple[str, ...]]
"""The problem of a cell, and the valid values."""
Rule = Callable[[str], Fault | None]


class OperatorAttributes:
    """What the operator asks of products: files of P41 are checked against it.

    :param hierarchies: the categories (H11).
    :param attributes: the attributes (PM11).
    :param values_lists: the lists of values (VL11).
    """

    def __init__(
        self,
        hierarchies: Sequence[Hierarchy],
        attributes: Sequence[Attribute],
        values_lists: Sequence[ValuesList],
    ) -> None:
        self.parents = {one["code"]: one.get("parent_code") or "" for one in hierarchies}
        self.categories = _Values(hierarchies)
        self.lists = {one["code"]: _Values(one.get("values") or ()) for one in values_lists}
        self.attributes: dict[str, list[Attribute]] = {}
        for attribute in attributes:
            self.attributes.setdefault(attribute["code"], []).append(attribute)
        self.labels = {
            fold(label): attribute["code"] for attribute in attributes for label in _labels(attribute)
        }
        self._branches: dict[str, frozenset[str]] = {}

    def with_role(self, role: str) -> str | None:
        """The code of the attribute that has a role, such as ``CATEGORY``."""
        for code, several in self.attributes.items():
            if any(one.get("type") == role for attribute in several for one in attribute.get("roles") or ()):
                return code
        return None

    def branch(self, category: str) -> frozenset[str]:
        """A category and its ancestors, and ``""``, which has the attributes of all categories."""
        if category not in self._branches:
            found, at = {""}, category
            while at and at not in found:
                found.add(at)
                at = self.parents.get(at, "")
            self._branches[category] = frozenset(found)
        return self._branches[category]

    @cached_property
    def required(self) -> list[tuple[str, str]]:
        """Code and category of every attribute that is required."""
        return [
            (code, attribute.get("hierarchy_code") or "")
            for code, several in self.attributes.items()
            for attribute in several
            if attribute.get("requirement_level") == "REQUIRED"
        ]


def _labels(coded: Any) -> list[str]:
    translations = coded.get("label_translations") or ()
    return [text for text in (coded.get("label"), *(one.get("value") for one in translations)) if text]


class _Values:
    """Codes with their labels."""

    def __init__(self, values: Sequence[Any]) -> None:
        self.codes: list[str] = [one["code"] for one in values]
        self._known = {fold(code) for code in self.codes}
        self._by_label: dict[str, str] = {
            fold(label): one["code"] for one in values for label in _labels(one)
        }

    def has(self, text: str, *, labels: bool) -> bool:
        """Whether a text is one of the codes, or of the labels."""
        folded = fold(text)
        return folded in self._known or (labels and folded in self._by_label)

    def near(self, text: str) -> str | None:
        """The code that a text probably stands for."""
        if fold(text) in self._by_label:
            return self._by_label[fold(text)]
        close = difflib.get_close_matches(fold(text), [*self._known, *self._by_label], 1, 0.75)
        if not close:
            return None
        return self._by_label.get(close[0]) or next(code for code in self.codes if fold(code) == close[0])


class ProductCheck:
    """Checks a file of products.

    :param operator: what the operator asks of products.
    :param operator_format: the file is in the operator's format. Otherwise a file without any of the operator's columns
        is assumed to be in the shop's own format, which Mirakl converts, and only its form is checked.
    :param converted: Mirakl's AI converts the file, so that its columns may have any name.
    """

    def __init__(
        self, operator: OperatorAttributes, *, operator_format: bool = False, converted: bool = False
    ) -> None:
        self._operator = operator
        self._converted = converted
        self._strict = operator_format
        self._category = operator.with_role("CATEGORY")
        self._id = operator.with_role("SHOP_SKU")
        self._codes: dict[str, str] = {}
        """The codes of columns whose names are labels."""
        self._rules: dict[str, Rule] = {}
        self._seen: dict[str, int] = {}
        self._told: set[tuple[str, str]] = set()
        self._is_checked = True
        self._first = True
        self.notes: list[str] = []

    def heading(self, names: Sequence[str], line: int) -> tuple[list[str], list[Finding]]:
        """The columns, and their problems."""
        attributes = self._operator.attributes
        if self._converted:
            self._is_checked = False
            self.notes.append("Mirakl converts the file with AI_CONVERTER, so only its form was checked")
            return list(names), []
        named = [name for name in names if name]
        known = [name for name in named if name in attributes]
        labels = [name for name in named if fold(name) in self._operator.labels]
        if not known and labels and len(labels) > len(named) / 2:
            # Mirakl's templates have a header with labels above the one with codes.
            self._codes = {name: self._operator.labels.get(fold(name), name) for name in named}
            return list(names), self._about([self._codes[name] for name in named], line)
        if not self._strict and len(known) * 2 < len(named) and self._category not in known:
            self._is_checked = False
            self.notes.append(
                "most of the columns are not attributes of the operator, so the file seems to be in the shop's own "
                "format; only its form was checked (set operator_format=True if it is the operator's)"
            )
            return list(names), []
        return list(names), self._about(named, line)

    def _about(self, columns: Sequence[str], line: int) -> list[Finding]:
        operator = self._operator
        findings: list[Finding] = []
        for at, name in enumerate(columns):
            if name in columns[:at]:
                findings.append(Finding("occurs twice", name, line))
            elif name not in operator.attributes:
                usual = {fold(name): operator.labels[fold(name)]} if fold(name) in operator.labels else {}
                words = f"is not an attribute of the operator{hint(name, operator.attributes, usual)}"
                findings.append(Finding(words, name, line, kind="is not an attribute of the operator"))
        findings += [
            Finding("the column is missing; every product needs it", code, line)
            for code, place in operator.required
            if not place and code not in columns
        ]
        return findings

    def row(self, line: int, cells: Mapping[str, str]) -> Iterator[Finding]:
        """The problems of a row."""
        if not self._is_checked:
            return
        named = {self._codes.get(name, name): cell for name, cell in cells.items()}
        if self._first:
            self._first = False
            if all(cell in self._operator.attributes for cell in named.values() if cell):
                return  # the header with codes below the one with labels
        item = named.get(self._id or "", "")
        category = named.get(self._category or "", "")
        for finding in (*self._of_cells(named), *self._of_category(category, named)):
            yield Finding(
                finding.message,
                finding.field,
                line,
                item or None,
                finding.kind,
                finding.value,
                finding.allowed,
            )
        if item and self._id and (before := self._seen.setdefault(item, line)) != line:
            words = f"{item!r:.60} is already on line {before}"
            yield Finding(words, self._id, line, item, "occurs more than once", item)

    def _of_cells(self, cells: Mapping[str, str]) -> Iterator[Finding]:
        for name, cell in cells.items():
            if not cell or name not in self._operator.attributes:
                continue
            if (rule := self._rules.get(name)) is None:
                rule = self._rules[name] = self._rule(self._operator.attributes[name])
            if (fault := rule(cell)) is not None:
                words, allowed = fault
                kind = words.partition(";")[0]
                yield Finding(f"{cell!r:.60} {words}", name, kind=kind, value=cell[:200], allowed=allowed)

    def _of_category(self, category: str, cells: Mapping[str, str]) -> Iterator[Finding]:
        """Problems of a product that depend on its category."""
        operator = self._operator
        if category and category not in operator.parents:
            near = operator.categories.near(category)
            advice = (
                f"; did you mean {near!r}?" if near else f"; the codes are {shown(operator.categories.codes)}"
            )
            words = "is not the code of a category of the operator"
            yield Finding(
                f"{category!r:.60} {words}{advice}",
                self._category or "",
                kind=words,
                value=category[:200],
                allowed=(near,) if near else tuple(operator.categories.codes[:SHOWN_VALUES]),
            )
        branch = operator.branch(category if category in operator.parents else "")
        for code, place in operator.required:
            if place not in branch or cells.get(code):
                continue
            why = f"; {place} needs it" if place else "; every product needs it"
            if code in cells:
                yield Finding(f"is empty{why}", code, kind=f"is empty{why}")
            elif place and (code, place) not in self._told:
                self._told.add((code, place))
                yield Finding(f"the column is missing{why}", code)

    def _rule(self, several: Sequence[Attribute]) -> Rule:
        """The valid cells of an attribute. If it is in several categories, the rule of any of them suffices."""
        rules = [_rules_of(attribute, self._operator) for attribute in several]

        def check(cell: str) -> Fault | None:
            fault = None
            for parts in rules:
                fault = next((found for part in parts if (found := part(cell)) is not None), None)
                if fault is None:
                    return None
            return fault

        return check


def _rules_of(attribute: Attribute, operator: OperatorAttributes) -> list[Rule]:
    kind = attribute.get("type") or "TEXT"
    rules: list[Rule] = [rule for rule in (_of_type(kind, attribute, operator), *_lengths(attribute)) if rule]
    if str(attribute.get("unique_code") or "").upper() in _GTIN_CODES:
        rules.append(_gtin)
    return rules


def _matching(pattern: re.Pattern[str], words: str) -> Rule:
    return lambda cell: None if pattern.match(cell) else (words, ())


def _of_type(kind: str, attribute: Attribute, operator: OperatorAttributes) -> Rule | None:
    if kind in ("LIST", "LIST_MULTIPLE_VALUES"):
        code = _parameter(attribute, "LIST_CODE")
        values = operator.lists.get(code)
        return None if values is None else _of_list(code, values, several=kind != "LIST")
    if kind == "DATE":
        return _of_date(attribute)
    return {
        "INTEGER": _matching(_INTEGER, "is not a whole number"),
        "DECIMAL": _matching(_DECIMAL, "is not a number"),
        "MEASUREMENT": _matching(_MEASUREMENT, "is not a number with a unit"),
        "MEDIA": _matching(_ADDRESS, "is not a URL; it must begin with http:// or https://"),
    }.get(kind)


def _parameter(attribute: Any, name: str) -> str:
    """A parameter of an attribute's type, which older instances have in other fields."""
    found = {one.get("name"): one.get("value") for one in attribute.get("type_parameters") or ()}
    return found.get(name) or attribute.get("values_list") or attribute.get("type_parameter") or ""


def _of_list(code: str, values: _Values, *, several: bool) -> Rule:
    def unknown(cell: str) -> list[str]:
        if values.has(cell, labels=True) or not several:
            return [] if values.has(cell, labels=True) else [cell]
        split = [[part.strip() for part in re.split(one, cell) if part.strip()] for one in _SEPARATORS]
        return min(
            ([part for part in parts if not values.has(part, labels=True)] for parts in split), key=len
        )

    def check(cell: str) -> Fault | None:
        wrong = unknown(cell)
        if not wrong:
            return None
        near = values.near(wrong[0])
        which = f"({shown(wrong)}) " if several and wrong != [cell] else ""
        advice = f"did you mean {near!r}?" if near else f"it has {shown(values.codes)}"
        return f"{which}is not in the list {code}; {advice}", (
            (near,) if near else tuple(values.codes[:SHOWN_VALUES])
        )

    return check


def _of_date(attribute: Any) -> Rule | None:
    """A date in the format of the attribute's parameters, which is a Java date format."""
    formats = [str(one.get("value") or "") for one in attribute.get("type_parameters") or ()]
    wanted = next((one for one in formats if "yy" in one and "dd" in one), "")
    pattern = wanted
    for java, python in _DATE_PARTS:
        pattern = pattern.replace(java, python)
    if not wanted or re.search(r"[A-Za-z']", re.sub(r"%[YymdHMS]", "", pattern)):
        return None

    def check(cell: str) -> Fault | None:
        try:
            datetime.strptime(cell, pattern)  # noqa: DTZ007 - only checks that it can be parsed
        except ValueError:
            return f"is not a date in the form {wanted}", ()
        return None

    return check


def _lengths(attribute: Any) -> list[Rule]:
    rules: list[Rule] = []
    for name, number in re.findall(r"(\w+_LENGTH)\|(\d+)", attribute.get("validations") or ""):
        limit = int(number)
        if name == "MAX_LENGTH":
            rules.append(_longest(limit))
        elif name == "MIN_LENGTH":
            rules.append(_shortest(limit))
    return rules


def _longest(limit: int) -> Rule:
    return lambda cell: (f"is too long; at most {limit} characters", ()) if len(cell) > limit else None


def _shortest(limit: int) -> Rule:
    return lambda cell: (f"is too short; at least {limit} characters", ()) if len(cell) < limit else None


def _gtin(cell: str) -> Fault | None:
    if not (cell.isascii() and cell.isdigit()) or len(cell) not in (8, 10, 12, 13, 14):
        return "is not a GTIN of 8, 12, 13 or 14 digits; did a spreadsheet remove a leading zero?", ()
    if len(cell) != 10 and check_digit(cell) != cell[-1]:
        return f"has a wrong check digit; {check_digit(cell)} would be correct", ()
    return None
