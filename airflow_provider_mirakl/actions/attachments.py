"""The files that actions attach: checked before the first call, and opened again for each try of a call."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from airflow_provider_mirakl.actions.rows import Row
from airflow_provider_mirakl.api.call import Part
from airflow_provider_mirakl.api.orders import MAX_DOCUMENT_BYTES
from airflow_provider_mirakl.exceptions import MiraklInputError
from airflow_provider_mirakl.files.storage import StoragePath, is_file, opener

MakePath: TypeAlias = Callable[[str], StoragePath]
"""Makes a path of a string, which may name object storage."""
Attach: TypeAlias = Callable[[Row, MakePath], Row]
"""Gives a row its files. Raises :class:`MiraklInputError` if one cannot be sent."""
DOCUMENT_ENDINGS = ("pdf", "jpg", "jpeg", "png", "csv")
"""The files that v2-uploadOrderDocument accepts."""


def nothing(row: Row, make_path: MakePath) -> Row:
    """The row as it is: its action has no files."""
    return row


def message_files(row: Row, make_path: MakePath) -> Row:
    """The files of a message, as parts of its form.

    :raises MiraklInputError: a file does not exist; every one is listed.
    """
    paths = {name: make_path(name) for name in row.get("files", ())}
    if missing := [name for name, path in paths.items() if not is_file(path)]:
        raise MiraklInputError("; ".join(f"files: {name} does not exist" for name in missing))
    parts = [Part("files", opener(path), file_name=path.name) for path in paths.values()]
    return {**row, "files": parts}


def document(row: Row, make_path: MakePath) -> Row:
    """The document of an order.

    :raises MiraklInputError: Mirakl would reject the file.
    """
    path = make_path(row["path"])
    if path.name.rpartition(".")[2].lower() not in DOCUMENT_ENDINGS:
        raise MiraklInputError(f"path: {path.name} must be a PDF, JPEG, PNG or CSV file")
    if not is_file(path):
        raise MiraklInputError(f"path: {row['path']} does not exist")
    if (size := int(path.stat().st_size)) > MAX_DOCUMENT_BYTES:
        raise MiraklInputError(f"path: {path.name} has {size:,} bytes; Mirakl allows {MAX_DOCUMENT_BYTES:,}")
    return {"file_name": path.name, **row, "content": opener(path)}
