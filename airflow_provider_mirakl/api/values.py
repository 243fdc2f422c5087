"""Values of Mirakl that operators and connections read before there is a call: roles and ids. Cheap to import."""

from __future__ import annotations

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
