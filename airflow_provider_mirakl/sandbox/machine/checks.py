"""Small checks that describe a JSON document and name, by JSONPath, every place that is wrong."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_mirakl.sandbox.machine.values import CURRENCIES, LOCALE, parse_date
from airflow_provider_mirakl.sandbox.machine.wire import Problem

Check = Callable[[Any, str, list[Problem]], None]


def text(low: int = 0, high: int | None = None, pattern: str = "", words: str = "") -> Check:
    """A string of a length, and of a pattern that ``words`` explain."""
    compiled = re.compile(pattern) if pattern else None

    def check(value: Any, path: str, out: list[Problem]) -> None:
        if not isinstance(value, str):
            out.append(Problem("must be a string", path))
        elif len(value) < low or (high is not None and len(value) > high):
            limits = {"minLength": low, **({} if high is None else {"maxLength": high})}
            out.append(Problem(f"length must be between {low} and {high}", path, extensions=limits))
        elif compiled and not compiled.fullmatch(value):
            out.append(Problem(f"must be {words}", path))

    return check


def number(low: float, high: float | None = None, whole: bool = False) -> Check:
    """A JSON number within limits; never a text, never true or false."""

    def check(value: Any, path: str, out: list[Problem]) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            out.append(Problem("must be a number", path))
        elif isinstance(value, float) and not math.isfinite(value):
            out.append(Problem("is too large", path))
        elif whole and value != int(value):
            out.append(Problem("must be a whole number", path))
        elif value < low or (high is not None and value > high):
            limits = {"minimum": low, **({} if high is None else {"maximum": high})}
            out.append(Problem("is out of range", path, extensions=limits))

    return check


def boolean(value: Any, path: str, out: list[Problem]) -> None:
    """True or false."""
    if not isinstance(value, bool):
        out.append(Problem("must be true or false", path))


def date(value: Any, path: str, out: list[Problem]) -> None:
    """An ISO 8601 date-time with an offset."""
    if parse_date(value) is None:
        out.append(Problem("must be an ISO 8601 date-time such as 2026-01-31T10:00:00Z", path))


def currency(value: Any, path: str, out: list[Problem]) -> None:
    """An ISO 4217 code."""
    if value not in CURRENCIES if isinstance(value, str) else True:
        out.append(Problem("must be an ISO 4217 currency code", path))


def locale(value: Any, path: str, out: list[Problem]) -> None:
    """``en`` or ``en_US``."""
    if not isinstance(value, str) or not LOCALE.fullmatch(value):
        out.append(Problem("must be a locale such as en or en_US", path))


def one_of(*choices: str) -> Check:
    """One of the given words."""

    def check(value: Any, path: str, out: list[Problem]) -> None:
        if value not in choices:
            out.append(Problem(f"must be one of {', '.join(choices)}", path))

    return check


def nullable(inner: Check) -> Check:
    """The same, or null."""

    def check(value: Any, path: str, out: list[Problem]) -> None:
        if value is not None:
            inner(value, path, out)

    return check


def array(item: Check, low: int = 0, high: int | None = None) -> Check:
    """A list of a length, every element checked."""

    def check(value: Any, path: str, out: list[Problem]) -> None:
        if not isinstance(value, list):
            out.append(Problem("must be a list", path))
            return
        if len(value) < low or (high is not None and len(value) > high):
            limits = {"minItems": low, **({} if high is None else {"maxItems": high})}
            out.append(Problem(f"must have between {low} and {high} elements", path, extensions=limits))
        for index, element in enumerate(value):
            item(element, f"{path}[{index}]", out)

    return check


def fields(
    known: Mapping[str, Check],
    required: frozenset[str] = frozenset(),
    strict: bool = True,
    drop: bool = False,
) -> Check:
    """An object.

    :param strict: whether an unknown field is a problem.
    :param drop: whether an unknown field that is not a problem is taken out of the object.
    """

    def check(value: Any, path: str, out: list[Problem]) -> None:
        if not isinstance(value, dict):
            out.append(Problem("must be an object", path))
            return
        for name, element in list(value.items()):
            inner = known.get(name)
            if inner is not None:
                inner(element, f"{path}.{name}", out)
            elif strict:
                out.append(Problem("is not a known field", f"{path}.{name}"))
            elif drop:
                del value[name]
        if not required <= value.keys():
            out.extend(Problem("is required", f"{path}.{name}") for name in sorted(required - value.keys()))

    return check
