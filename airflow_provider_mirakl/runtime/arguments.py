"""What a template makes of a value that is no text: Airflow writes it as text, unless a Dag renders native objects."""

from __future__ import annotations

import ast
import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from os import PathLike
from typing import TYPE_CHECKING, Any

from airflow_provider_mirakl.exceptions import MiraklConfigurationError, MiraklInputError

if TYPE_CHECKING:
    from airflow_provider_mirakl.api.caller import Caller
    from airflow_provider_mirakl.hooks.mirakl import MiraklHook

Ids = int | str | Collection[int | str] | None
"""One id, a text with commas, or a list."""
Codes = str | Collection[str] | None
"""One code, a text with commas, or a list."""


def is_nothing(value: object) -> bool:
    """Whether nothing was given, or a template rendered nothing."""
    return value is None or (isinstance(value, str) and value.strip() in ("", "None"))


def read_structure(value: Any) -> Any:
    """A list or a mapping that a template wrote as text, in Python's words or as JSON; anything else as it is."""
    if isinstance(value, str) and value.strip()[:1] in ("[", "{", "("):
        for read in (ast.literal_eval, json.loads):
            try:
                return read(value.strip())
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                continue
    return value


def read_mapping(name: str, value: Any) -> Mapping[str, Any] | None:
    """A mapping, or ``None`` where there is nothing.

    :param name: of the argument, for the message.
    :raises MiraklConfigurationError: it is something else.
    """
    if is_nothing(value):
        return None
    found = read_structure(value)
    if not isinstance(found, Mapping):
        raise MiraklConfigurationError(f"{name}: {value!r:.200} is no mapping of names to values", field=name)
    return found


def read_path(name: str, value: Any) -> str:
    """The text of a path that has to be given.

    :param name: of the argument, for the message.
    :raises MiraklConfigurationError: there is none.
    """
    if is_nothing(value) or not isinstance(value, str | PathLike):
        raise MiraklConfigurationError(f"{name}: is {value!r:.200}; give the path of a file", field=name)
    return str(value)


def read_moment(name: str, value: datetime | str | None) -> datetime | None:
    """A moment that a template may have rendered; one without a zone is UTC.

    :raises MiraklConfigurationError: it cannot be read.
    """
    if is_nothing(value):
        return None
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        moment = None
    if not isinstance(moment, datetime):
        raise MiraklConfigurationError(
            f"{name}: {value!r} is no date-time; give one such as 2026-01-31T10:00:00Z", field=name
        )
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def as_codes(values: Codes) -> list[str]:
    """Codes from what an argument or a template gives: one, a text with commas, or a list, also rendered as text."""
    if values == "None":
        return []
    if isinstance(values, str):
        listed = values.strip().startswith("[")
        parts = values.strip("[] ").split(",")
        values = [part.strip().strip("'\"") for part in parts] if listed else parts
    return [code.strip() for code in values or () if code.strip()]


def as_moment(value: datetime | str | None, name: str) -> datetime | None:
    """A moment from what an argument or a template gives.

    :param name: of the argument, for the message.
    :raises MiraklInputError: no date-time, or one without a time zone.
    """
    if value is None or value == "":
        return None
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value.strip())
    except ValueError:
        raise MiraklInputError(
            f"{name} is {value!r}; give a date-time such as 2026-01-31T08:00:00+00:00"
        ) from None
    if moment.tzinfo is None:
        raise MiraklInputError(f"{name} is {value!r} and has no time zone; put one behind it, such as Z")
    return moment


def read_caller(hook: MiraklHook, shop_id: int | str | None) -> Caller:
    """Whose key a connection holds, and for which shop.

    :param shop_id: the shop, as a number or its text; empty takes the connection's own.
    :raises MiraklConfigurationError: the shop is no number.
    """
    from airflow_provider_mirakl.api.caller import Caller

    values = hook.values
    chosen = values.shop_id if shop_id in (None, "", "None") else shop_id
    if chosen is not None and not str(chosen).isdecimal():
        raise MiraklConfigurationError(f"shop_id: {shop_id!r} is no shop id; give a number", field="shop_id")
    return Caller(values.role or "shop", None if chosen is None else int(chosen))
