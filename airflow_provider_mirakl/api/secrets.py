"""Keeps credentials out of messages, however a server repeats them. Pure.

A gateway may answer an error with the headers that it received, as JSON inside JSON, as base64, quoted twice, or cut in
the middle. A secret in plain form becomes ``***``. Where any part of one can still be read, after
undoing up to three encodings, nothing of the text is shown.

==========================================  ==================================================================
in the text                                 shown
==========================================  ==================================================================
a secret, as it is or escaped once          ``***`` in its place
the value of an ``Authorization``,          ``***`` in its place, for any owner
``Proxy-Authorization`` or ``Cookie``
a part of a secret, or an encoded one       :data:`WITHHELD` in place of the whole text
==========================================  ==================================================================
"""

from __future__ import annotations

import base64
import binascii
import functools
import html
import json
import re
from collections.abc import Collection, Iterator
from urllib.parse import quote, quote_plus, unquote_plus

WITHHELD = "(not shown, because it repeats credentials)"
SEARCHED = 16 * 1024
"""Characters of a text that are searched; more are cut off."""

_SHORTEST = 4
"""Characters of a secret; a shorter one would be found everywhere."""
_PART = 8
"""Characters of a secret that count as a part of it."""
_DEPTH, _MOST = 3, 120
"""How many encodings are undone, and how many texts that may give."""
_HEADERS = re.compile(
    r"((?:proxy-)?authorization|(?:set-)?cookie)([\\\"'\s]*[:=][\\\"'\s]*)(?:(?:basic|bearer|digest)\s+)?[^\s\"'\\<>,;&]+",
    re.IGNORECASE,
)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}){8,}")
_UNICODE = re.compile(r"\\+u([0-9a-fA-F]{4})")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def without_secrets(text: str, secrets: Collection[str]) -> str:
    """A text fit to be shown.

    :param text: what a server wrote.
    :param secrets: what must not be shown.
    """
    secrets = [secret for secret in secrets if len(secret) >= _SHORTEST]
    for secret in secrets:
        text = _any_spelling(secret).sub("***", text)
    text = _HEADERS.sub(r"\1\2***", text[:SEARCHED])
    return WITHHELD if any(_holds_part(one, secrets) for one in _decoded(text)) else text


def _holds_part(text: str, secrets: Collection[str]) -> bool:
    parts: dict[int, set[str]] = {}
    for secret in secrets:
        size = _part_of(secret)
        parts.setdefault(size, set()).update(_pieces(secret.casefold(), size))
    folded = text.casefold()
    return any(not wanted.isdisjoint(_pieces(folded, size)) for size, wanted in parts.items())


def _part_of(secret: str) -> int:
    """How many characters of a secret give it away. One of words shares shorter parts with other texts."""
    words = not any(letter.isdigit() for letter in secret)
    return min(len(secret), max(_PART, len(secret) * 3 // 4) if words else _PART)


def _pieces(text: str, size: int) -> Iterator[str]:
    return (text[start : start + size] for start in range(len(text) - size + 1))


def _decoded(text: str) -> Iterator[str]:
    """The text, and what it becomes when encodings are undone, one after another."""
    seen, layer = {text}, [text]
    for _ in range(_DEPTH):
        following = []
        for one in layer:
            for other in _undone(one):
                if other not in seen and len(seen) < _MOST:
                    seen.add(other)
                    following.append(other)
        layer = following
    yield from seen


def _undone(text: str) -> Iterator[str]:
    yield unquote_plus(text)
    yield html.unescape(text)
    yield _ESCAPE.sub(r"\1", _UNICODE.sub(lambda found: chr(int(found[1], 16)), text))
    yield "".join(text.split())  # base64 is often broken into lines
    runs = _BASE64.findall(text)
    for start in range(4):  # a run may begin in the middle of a group
        decoded = "\n".join(_from_base64(run[start:]) for run in runs)
        if decoded.strip():
            yield decoded
    if found := _HEX.findall(text):
        yield "\n".join(bytes.fromhex(run).decode("latin-1") for run in found)


def _from_base64(run: str) -> str:
    whole = run.replace("-", "+").replace("_", "/")
    whole = whole[: len(whole) // 4 * 4] if len(whole) % 4 == 1 else whole + "=" * (-len(whole) % 4)
    try:
        return base64.b64decode(whole).decode("latin-1")
    except (binascii.Error, ValueError):
        return ""


def _any_spelling(secret: str) -> re.Pattern[str]:
    """Finds a secret however a server writes it: as it is, or as in a form, a URL, JSON or a web page."""
    return re.compile(
        "".join(letter if letter.isascii() and letter.isalnum() else _spellings(letter) for letter in secret)
    )


@functools.lru_cache(maxsize=128)
def _spellings(letter: str) -> str:
    """A pattern for a character that some writers escape."""
    point, in_form, in_json = ord(letter), quote_plus(letter), json.dumps(letter)[1:-1]
    escaped = (in_form, in_form.lower(), quote(letter), in_json, f"\\{letter}", html.escape(letter))
    numbered = (f"\\\\u(?i:{point:04x})", f"&#0*{point};", f"&#[xX]0*(?i:{point:x});")
    return f"(?:{'|'.join((*map(re.escape, dict.fromkeys((letter, *escaped))), *numbered))})"
