"""Values of Mirakl that are read outside of a call, too: roles, ids and times. Cheap to import."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

Role = Literal["shop", "operator", "front"]
"""Whose key it is."""


def numeric_id(value: object) -> int | None:
    """One of Mirakl's numeric ids from a number or its digits; ``None`` for what cannot be one.

    Mirakl's are 64 bits wide; Python refuses to parse thousands of digits, with an error that does not name the field.
    """
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    if isinstance(value, str):
        text = value.strip()
        value = int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else -1
    return value if 0 <= value < 2**63 else None


def in_utc(value: datetime) -> datetime:
    """A time in UTC, which it is in already without a time zone.

    :raises ValueError: in UTC it is before the year 1 or after 9999.
    """
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{value.isoformat()} is not a time between the years 1 and 9999 in UTC") from None


def moment_of(text: object) -> datetime | None:
    """A time as Mirakl writes it, in UTC; ``None`` if it cannot be parsed."""
    try:
        return in_utc(datetime.fromisoformat(text)) if isinstance(text, str) else None
    except ValueError:
        return None
