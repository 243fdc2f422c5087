"""What a single cell becomes: a text, a number, a truth value, the leaf of a category path, several values.

A cell that does not fit is returned unchanged, so that the check of the row reports it like any problem.
"""

from __future__ import annotations

import html
import json
import math
import re
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec

from airflow_provider_mirakl.catalog.columns import Columns
from airflow_provider_mirakl.catalog.numbers import is_plain, number_of
from airflow_provider_mirakl.catalog.rows import as_number, is_nothing
from airflow_provider_mirakl.files.text import BLANK


def text_of(value: Any) -> Any:
    """A text."""
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


def amount_of(value: Any, columns: Columns, *, whole: bool = False) -> Any:
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


def whole_of(value: Any, columns: Columns) -> Any:
    """Return a whole number, even if a table could only store it as 5.0."""
    if type(value) is str and value.isascii() and value.isdigit() and (value[0] != "0" or value == "0"):
        return msgspec.Raw(value.encode())
    number = amount_of(value, columns, whole=True)
    if isinstance(number, msgspec.Raw):
        whole, _, fraction = bytes(number).partition(b".")
        return number if fraction.strip(b"0") or not whole.lstrip(b"-").isdigit() else msgspec.Raw(whole)
    return int(number) if isinstance(number, float) and number.is_integer() else number


_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def truth_of(value: Any, columns: Columns) -> Any:
    """A truth value."""
    return _TRUTH.get(str(value).strip().lower(), value)


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


@lru_cache(maxsize=4096)
def leaf_of(path: str, separator: str) -> str | None:
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


_AUTOMATIC = {
    "gtins": re.compile(r"(?:[|;\s]|,(?!\d+[eE]\+?\d))+"),
    "images": re.compile(r"[|\r\n]+|[;,\s]+(?=https?://)"),
}
"""The default separator of several values in a cell. A URL may contain a comma or a semicolon, and a number as a
spreadsheet shows it a decimal comma."""


def may_separate(text: str, separator: str | None) -> bool:
    """Whether a text may have several values. Several times as fast as a pattern; the text must not begin or end with
    white space.

    :param text: a cell, or many of them in a row.
    :param separator: as for :func:`separated`.
    """
    if separator is not None:
        return separator in text
    return "|" in text or ";" in text or "," in text or len(text.split(None, 1)) > 1


def separated(value: Any, field: str, separator: str | None) -> list[Any]:
    """The values of a cell, or of one entry of a list.

    :param value: the cell.
    :param field: ``gtins`` or ``images``.
    :param separator: the separator; ``None`` detects it.
    """
    if type(value) is not str:
        if is_nothing(value):
            return []
        value = text_of(value)
        if not isinstance(value, str):
            return [value]
    if separator is not None:
        return [one.strip(BLANK) for one in value.split(separator)]
    bare = value.strip(BLANK)
    if not may_separate(bare, None):
        return [bare]
    return [one.strip(BLANK) for one in _AUTOMATIC[field].split(bare.strip(BLANK + ";,"))]
