"""GTINs: their check digit, the usual mistakes, and the corrections that are certain."""

from __future__ import annotations

import re

from airflow_provider_mirakl.files.text import BLANK

_LENGTHS = (8, 12, 13)


def check_digit(digits: str) -> str:
    """The check digit for the digits before the last, by GS1's rule.

    :param digits: the whole GTIN.
    """
    body = digits[:-1].encode()
    # From the right, every other digit counts three times; 48 is the code of "0".
    odd, even = body[::-2], body[-2::-2]
    total = 3 * (sum(odd) - 48 * len(odd)) + sum(even) - 48 * len(even)
    return str(-total % 10)


def is_right(digits: str) -> bool:
    """Whether the last digit is the check digit of the others.

    :param digits: the whole GTIN.
    """
    # The same sum with the check digit, which makes it a multiple of ten: half as long, and every product has one.
    codes = digits.encode()
    triple = codes[-2::-2]
    return (sum(codes) + 2 * sum(triple) - 48 * (len(codes) + 2 * len(triple))) % 10 == 0


_SCIENTIFIC = re.compile(r"\d([.,]\d+)?[eE]\+?\d+\Z")


def gtin_fault(value: str) -> str:
    """Describe the problem of a GTIN that is not 8, 12 or 13 digits, and its probable cause.

    :param value: the GTIN as it was found.
    """
    shown = value if len(value) <= 60 else f"{value[:57]}..."
    takes = "Connect accepts 8, 12 or 13 digits"
    if _SCIENTIFIC.match(value.strip()):
        return (
            f"{shown!r} is a number as a spreadsheet shows it, with digits lost; format the column as text and export "
            f"it again; {takes}"
        )
    bare = value.strip(BLANK + "'\u2019`\"")
    if bare != value and bare.isascii() and bare.isdigit():
        words = "has an apostrophe, a quote or a space around it; remove it, or set normalize_gtins=True"
        return f"{shown!r} {words}; {takes}"
    if value.isascii() and value.isdigit():
        plural = "s" if len(value) != 1 else ""
        return f"{shown!r} has {len(value)} digit{plural}; {takes}{_length_hint(value)}"
    fixed = normalized(value)
    hint = "; normalize_gtins=True fixes it" if fixed is not None else ""
    return f"{shown!r} is not a GTIN; {takes} and nothing else{hint}"


def _length_hint(digits: str) -> str:
    if len(digits) == 14 and digits[0] == "0":
        return "; without the leading 0 it has 13, and normalize_gtins=True removes it"
    if len(digits) == 14:
        return "; 14 digits identify a case: use the GTIN of the item"
    if len(digits) in (7, 9, 10, 11) and normalized(digits) is not None:
        return "; spreadsheets remove leading zeros; normalize_gtins=True adds it"
    if len(digits) in (7, 9, 10, 11):
        return "; did a spreadsheet remove a leading zero?"
    return ""


def normalized(value: str) -> str | None:
    """A GTIN in the form that Connect accepts, if it is certain.

    Spaces, hyphens, quotes and the leading zero of 14 digits are removed; zeros that a spreadsheet lost are restored if
    the check digit proves it.

    :param value: the GTIN as it was found.
    :return: 8, 12 or 13 digits with a correct check digit; ``None`` if it would be a guess.
    """
    digits = re.sub(rf"[{re.escape(BLANK)}'\u2019`\"-]", "", value)
    digits = digits.removesuffix(".0")
    if not (digits.isascii() and digits.isdigit()) or not digits.strip("0"):
        return None
    if len(digits) == 14 and digits[0] == "0":
        digits = digits[1:]
    elif len(digits) == 7:
        digits = digits.zfill(8)
    elif len(digits) in (9, 10, 11):
        digits = digits.zfill(12)
    return digits if len(digits) in _LENGTHS and is_right(digits) else None
