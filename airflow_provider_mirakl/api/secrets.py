"""Keeps credentials out of messages, however a server repeats them. Pure.

A gateway may answer an error with the headers that it received, as JSON inside JSON, as base64, quoted twice, or cut in
the middle. A secret in plain form becomes ``***``. Where any part of one can still be read, after
undoing up to three encodings, nothing of the text is shown.

No list of encodings is complete: compressed, in four layers, as a list of numbers. So what looks
encoded is not shown either, whatever it holds. How strict this is depends on where the text comes from. Mirakl's
own error messages are what a user needs most, and they name ids, so in the fields of a known error only long runs
with digits are left out. A body in a form that is not known is mostly a proxy's, which repeats more and says less: it
is shown only if it consists of ordinary words, such as ``upstream request timeout``.

==========================================  ==================================================================
in the text                                 shown
==========================================  ==================================================================
a secret, as it is or escaped once          ``***`` in its place
the value of an ``Authorization``,          ``***`` in its place, for any owner
``Proxy-Authorization`` or ``Cookie``
a part of a secret, or an encoded one       :data:`WITHHELD` in place of the whole text
a long run of characters with a digit,      its length in its place
unless it is an id in hex or a time
anything but ordinary words, in a body      the size of the body in place of the whole text
whose form is not known
==========================================  ==================================================================
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import functools
import html
import json
import re
from collections.abc import Collection, Iterator, Mapping
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
_BASE32 = re.compile(r"[A-Z2-7]{12,}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}){8,}")
_CODE = re.compile(r"(?<![0-9A-Za-z])(?:0?[xX])?([0-9A-Fa-f]{2,3})(?![0-9A-Za-z])")
_RADIXES = (8, 10, 16)
_UNICODE = re.compile(r"\\+u([0-9a-fA-F]{4})")
_BYTE = re.compile(r"(?:\\+x|=)([0-9a-fA-F]{2})|\\+([0-7]{3})")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_LONG_WORD = re.compile(r"[^\W\d_]{13,}")
"""Letters in a secret that are no ordinary word."""
_RUN = re.compile(r"[!#$%&*+,\-./0-:=?@A-Z\[\\\]^_`a-z{|}~]{24,}")
"""What may be something encoded: ASCII without spaces, quotes and brackets. Some languages have no spaces."""
_LONGEST_ID = 23
"""Characters with a digit in one piece that may be an id: a SKU, an order."""
_INDEX = re.compile(r"\[\d{1,4}\]")
_READABLE = re.compile(
    r"(?:\w{1,8}[=:])?[0-9a-fA-F-]{1,40}|\d{4}-\d\d-\d\d[T_]\d\d:\d\d:\d\d[.\d]*(?:Z|[+-][\d:]*)?"
)
"""Runs that are no secret in disguise: ids in hex, which have been decoded already, and times."""
_TOKEN = re.compile(r"[^\W_]+")
_ORDINARY = re.compile(r"[A-Z]?(?:[a-z]+|(?:[a-z]{2,}[A-Z])*[a-z]{2,})|[A-Z]+")
_LONGEST, _NUMBERS = 20, 8
"""Letters of an ordinary word, and how many numbers are too many."""


def without_secrets(text: str, secrets: Collection[str]) -> str:
    """A text fit to be shown.

    :param text: what a server wrote.
    :param secrets: what must not be shown.
    """
    secrets = _long_enough(secrets)
    text = masked(text, secrets)
    text = _HEADERS.sub(r"\1\2***", text[:SEARCHED])
    parts = _parts(secrets)
    return WITHHELD if any(_holds(one, parts) for one in _decoded(text)) else text


def masked(text: str, secrets: Collection[str]) -> str:
    """A text with ``***`` in place of every secret that is spelled out: for many rows, where a search for parts and
    encodings would take too long.

    :param text: what a server wrote.
    :param secrets: what must not be shown.
    """
    for secret in _long_enough(secrets):
        text = _any_spelling(secret).sub("***", text)
    return text


def _long_enough(secrets: Collection[str]) -> list[str]:
    return [secret for secret in secrets if len(secret) >= _SHORTEST]


def fit_to_show(text: str, secrets: Collection[str]) -> str:
    """As :func:`without_secrets`, and without what may hold a secret that cannot be recognized.

    :param text: what a server wrote in a field of a known error, or in a header.
    :param secrets: what must not be shown.
    """
    return _RUN.sub(_readable, without_secrets(text, secrets))


def _readable(run: re.Match[str]) -> str:
    pieces = run[0].split("/")
    numbers = sum(any("0" <= letter <= "9" for letter in piece) for piece in pieces)
    return (
        run[0] if all(map(_is_id, pieces)) and numbers < _NUMBERS else f"({len(run[0])} characters not shown)"
    )


def _is_id(piece: str) -> bool:
    """Whether a piece of a path is too short or too plain to hold something encoded."""
    bare = _INDEX.sub("", piece)
    return (
        len(bare) <= _LONGEST_ID
        or _READABLE.fullmatch(piece.strip(".,:;[]{}=")) is not None
        or not any("0" <= letter <= "9" for letter in bare)
    )


def is_plain(text: str) -> bool:
    """Whether a text consists of ordinary words and a few numbers, so that nothing can be encoded in it."""
    numbers = 0
    for token in _TOKEN.findall(text):
        if token.isalpha() and (
            not token.isascii() or (_ORDINARY.fullmatch(token) and len(token) <= _LONGEST)
        ):
            continue
        numbers += 1
        if len(token) > (4 if token.isdigit() else 3):
            return False
    return numbers < _NUMBERS


def _parts(secrets: Collection[str]) -> dict[int, set[str]]:
    """The pieces that give the secrets away, by their length.

    Not a word of a secret alone, such as "operator": other texts have it too.
    """
    parts: dict[int, set[str]] = {}
    for secret in map(str.casefold, secrets):
        size = min(len(secret), _PART)
        # Letters that do not make an ordinary word are marked as digits.
        marked = (
            "0" * len(secret) if secret.isalpha() else _LONG_WORD.sub(lambda word: "0" * len(word[0]), secret)
        )
        parts.setdefault(size, set()).update(
            piece
            for piece, marks in zip(_pieces(secret, size), _pieces(marked, size), strict=True)
            if not marks.strip("-_. ").isalpha()
        )
    return parts


def _holds(text: str, parts: Mapping[int, set[str]]) -> bool:
    folded = text.casefold()
    return any(not wanted.isdisjoint(_pieces(folded, size)) for size, wanted in parts.items())


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
    yield _BYTE.sub(lambda found: chr(int(found[1], 16) if found[1] else int(found[2], 8)), text)
    yield "".join(text.split())  # base64 is often broken into lines
    if len(codes := _CODE.findall(text)) >= _PART:
        yield from ("".join(_characters(codes, radix)) for radix in _RADIXES)
    if found := _BASE32.findall(text):
        yield "\n".join(map(_from_base32, found))
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
        return (
            base64.b64decode(whole).decode("latin-1").replace("\0", "")
        )  # UTF-16 has every other byte empty
    except (binascii.Error, ValueError):
        return ""


def _from_base32(run: str) -> str:
    whole = run[: len(run) // 8 * 8 + {2: 2, 4: 4, 5: 5, 7: 7, 3: 2, 6: 5}.get(len(run) % 8, 0)]
    return base64.b32decode(whole + "=" * (-len(whole) % 8)).decode("latin-1").replace("\0", "")


def _characters(codes: list[str], radix: int) -> Iterator[str]:
    for code in codes:
        with contextlib.suppress(ValueError):
            yield chr(int(code, radix))


@functools.lru_cache(maxsize=32)
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
