"""Values that arrive as strings: templates, forms and files write everything as strings. Plain Python."""

from __future__ import annotations

import ast
import json
import re
from typing import Any, Protocol

from airflow_provider_mirakl.exceptions import MiraklConfigurationError

_SCHEME = r"([A-Za-z][A-Za-z0-9+.-]+):(/*)"
"""Two characters at least: ``C:`` is a drive."""
_NOT_STORAGE = {
    "http": "download the file to storage first, such as with MiraklRequestOperator and its target",
    "https": "download the file to storage first, such as with MiraklRequestOperator and its target",
    "ftp": "copy the file to storage first, such as with Airflow's FTPFileTransmitOperator",
    "sftp": "copy the file to storage first, such as with Airflow's SFTPOperator",
}


def is_nothing(value: object) -> bool:
    """Whether a value is ``None``, an empty string, or the string ``None`` that a template makes of ``None``."""
    return value is None or (isinstance(value, str) and value.strip() in ("", "None"))


class Frame(Protocol):
    """Whether a value is a table of a library, such as a DataFrame: it supports Arrow, or is from pandas."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...


def read_structure(value: Any) -> Any:
    """Parse a list or mapping that a template rendered, as JSON or Python; return anything else unchanged."""
    if isinstance(value, str) and value.strip()[:1] in ("[", "{", "("):
        for read in (json.loads, ast.literal_eval):
            try:
                return read(value.strip())
            except (TypeError, ValueError, SyntaxError, MemoryError, RecursionError):
                continue
    return value


def check_path(field: str, path: str) -> str:
    """The string of a path, which must be a local one or a URL of Airflow's object storage.

    A URL that would be mistaken for a file in the worker's current folder is rejected.

    :param field: name of the argument, for the message.
    :raises MiraklConfigurationError: the path is invalid; the message says how to fix it.
    """

    def refuse(reason: str) -> MiraklConfigurationError:
        return MiraklConfigurationError(f"{field} is {path!r}: {reason}", field=field)

    if path.startswith("~"):
        raise refuse("~ is not expanded here; write the whole path")
    if (found := re.match(_SCHEME, path)) is None:
        return path
    scheme, slashes = found.groups()
    if len(slashes) < 2 and not (slashes or scheme.lower() in _KNOWN):
        return path  # a file name with a colon
    if slashes in ("", "/"):
        raise refuse(f"two slashes belong after the scheme; write {scheme.lower()}://...")
    if scheme != scheme.lower():
        raise refuse(f"write the scheme in lower case: {scheme.lower()}://...")
    if fix := _NOT_STORAGE.get(scheme):
        raise refuse(f"{scheme}:// is not storage that Airflow reads and writes; {fix}")
    return path


_KNOWN = frozenset({"file", "s3", "s3a", "s3n", "gs", "gcs", "abfs", "abfss", "adl", *_NOT_STORAGE})


def is_csv(name: str) -> bool:
    """Whether the lines of a file can be read, as its name suggests."""
    return name.casefold().endswith((".csv", ".txt"))
