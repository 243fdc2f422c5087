"""Numbers as people write them: with a currency, groups of three or a comma. Ambiguous numbers are rejected."""

from __future__ import annotations

import re

_PLAIN = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?\Z")
_SPACES = " \u00a0\u2009\u202f\u2007"
_ONE_GROUP = re.compile(r"-?[1-9][0-9]{0,2}[.,' \u00a0\u2009\u202f\u2007\u2019][0-9]{3}\Z")
_SIGNS = {
    "€": "EUR", "£": "GBP", "zł": "PLN", "Kč": "CZK", "₺": "TRY", "₹": "INR", "CHF": "CHF", "lei": "RON",
}  # fmt: skip
_SHARED_SIGNS = {"$": ("USD", "CAD", "AUD", "NZD", "SGD", "HKD", "MXN"), "¥": ("JPY", "CNY")}
_MONEY = re.compile(
    r"(?P<before>[A-Z]{3}|[^\d\s.,'+-]{1,3})?\s*(?P<amount>[-+]?\d[\d.,'\u2019\s]*?)\s*(?P<after>[A-Z]{3}|[^\d\s.,'+-]{1,3})?\Z"
)


def is_plain(text: str) -> bool:
    """Whether a number is written as JSON writes it."""
    return _PLAIN.match(text) is not None


def split_money(text: str, currency: str | None) -> tuple[str, str | None]:
    """Split a price into amount and currency.

    :param text: such as ``12.50 EUR``, ``EUR 12.50`` or ``€12.50``.
    :param currency: the currency of prices without one; it decides what ``$`` and ``¥`` mean.
    :return: amount and currency as ISO 4217, ``None`` if the text has none. A text that is not such a price is
        returned unchanged, for the check to report.
    """
    if _PLAIN.match(text):
        return text, None
    match = _MONEY.match(text.strip())
    if match is None:
        return text, None
    marks = [mark for mark in (match["before"], match["after"]) if mark]
    # Next to a code, the code decides what the sign means.
    currency = next((code for mark in marks if (code := _code(mark, None)) is not None), currency)
    codes = {_code(mark, currency) for mark in marks}
    if len(codes) != 1 or None in codes:
        return text, None
    return match["amount"], codes.pop()


def _code(mark: str, currency: str | None) -> str | None:
    if mark in _SHARED_SIGNS:
        return currency if currency in _SHARED_SIGNS[mark] else None
    if mark in _SIGNS:
        return _SIGNS[mark]
    return mark if len(mark) == 3 and mark.isascii() and mark.isupper() else None


def number_of(text: str, decimal: str, thousands: str | None, *, whole: bool = False) -> str | None:
    """Read a number, digit by digit.

    :param text: the number as it is written.
    :param decimal: the decimal sign.
    :param thousands: the signs that may separate groups of three; ``""`` for none; ``None`` if undecided.
    :param whole: a whole number is wanted. Then one group of three after any sign could be thousands or a
        fraction, and is rejected unless ``thousands`` decides.
    :return: the number as JSON writes it; ``None`` if it is not a number or is ambiguous.
    """
    if thousands is None:
        if whole and _ONE_GROUP.match(text):
            return None
    elif thousands:
        text = _ungrouped(text, decimal, thousands)
    if decimal == ",":
        if "." in text:
            return None
        text = text.replace(",", ".")
    return text if _PLAIN.match(text) else None


def _ungrouped(text: str, decimal: str, thousands: str) -> str:
    """Remove the signs between groups of three."""
    signs = thousands.replace(" ", _SPACES).replace("'", "'\u2019")
    group = f"[{re.escape(signs)}]"
    match = re.match(rf"(-?[1-9][0-9]{{0,2}})((?:{group}[0-9]{{3}})+)({re.escape(decimal)}[0-9]+)?\Z", text)
    if match is None or len(set(re.findall(group, match[2]))) != 1:
        return text
    return match[1] + re.sub(group, "", match[2]) + (match[3] or "")


def readings(text: str) -> tuple[str, str] | None:
    """The two numbers that a text could mean; ``None`` if it is not ambiguous.

    :param text: such as ``1.000``, ``1 249,00`` or ``1.249,00``.
    :return: the number without groups of three, and with them. Of ``1.249,00`` the two are the same number with either
        sign as the decimal one.
    """
    bare = text.strip()
    if _ONE_GROUP.match(bare):
        whole, part = re.split(r"[.,' \u00a0\u2009\u202f\u2007\u2019]", bare)
        return f"{whole}.{part}", whole + part
    return None


def grouped_number(text: str) -> tuple[str, str, str] | None:
    """A number with groups of three and a fraction: its value, the sign of its groups, its decimal sign."""
    match = re.match(
        r"-?[0-9]{1,3}((?:([.,' \u00a0\u2009\u202f\u2007\u2019])[0-9]{3})(?:\2[0-9]{3})*)(?:([.,])([0-9]+))?\Z",
        text.strip(),
    )
    if match is None or match[2] == match[3] or (match[3] is None and match[1].count(match[2]) < 2):
        return None
    digits = re.sub(r"[^0-9-]", "", text.strip()[: match.end(1)])
    sign = " " if match[2] in _SPACES else match[2]
    return digits + (f".{match[4]}" if match[4] else ""), sign, match[3] or ("," if sign == "." else ".")
