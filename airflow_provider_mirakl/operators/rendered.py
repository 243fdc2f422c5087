"""What a template makes of a value that is no text: Airflow writes it as text, unless a Dag renders native objects."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from os import PathLike
from typing import Any

from airflow_provider_mirakl.exceptions import MiraklConfigurationError


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
