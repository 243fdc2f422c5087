"""Text files from users: decompressed, decoded to UTF-8, and identified if they are not text.

One rule for encodings applies to every file of a user. ``auto`` takes UTF-8 with or without a byte order mark and
UTF-16 or UTF-32 with one. It never guesses: a wrong guess would change names and descriptions without an error. The
error says which encoding a file seems to have, and the user decides.
"""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from itertools import chain
from typing import IO, Protocol, cast

from airflow_provider_mirakl.exceptions import MiraklInputError, Problem
from airflow_provider_mirakl.files.storage import BLOCK

AUTO = "auto"

BLANK = "".join(
    [*(chr(code) for code in range(0x3001) if chr(code).isspace()), "\u180e\u200b\u200c\u200d\u2060\ufeff"]
)
"""White space and invisible characters, which surround cells of spreadsheets and of joined files."""


def unseen(text: str) -> str | None:
    """Describe a hidden difference in an id: white space at its ends, or an invisible character.

    Mirakl would take it for another id than the one that people see.

    :param text: the id.
    :return: the message; ``None`` for a plain id.
    """
    if text.strip(BLANK) != text:
        ends = text[: len(text) - len(text.lstrip(BLANK))] + text[len(text.rstrip(BLANK)) :]
        signs = ", ".join(dict.fromkeys(f"U+{ord(sign):04X}" for sign in ends))
        return f"begins or ends with white space ({signs}); remove it"
    if not text.isprintable():
        signs = ", ".join(dict.fromkeys(f"U+{ord(sign):04X}" for sign in text if not sign.isprintable()))
        return f"contains an invisible character ({signs}); remove it"
    return None


GZIP = b"\x1f\x8b"
_FOREIGN: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook (XLSX); unpack it, or save the sheet as CSV (UTF-8)"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook; save the sheet as CSV (UTF-8)"),
    (b"BZh", "compressed with bzip2; use gzip or no compression"),
    (b"\xfd7zXZ\x00", "compressed with xz; use gzip or no compression"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd; use gzip or no compression"),
    (b"%PDF", "a PDF"),
    (b"<", "XML or HTML"),
)
# UTF-32 first: the mark of UTF-16 LE begins the one of UTF-32 LE.
_MARKS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
MARKS = (codecs.BOM_UTF8, *(mark for mark, _ in _MARKS))
PLAIN = frozenset({AUTO, "utf-8", "ascii"})
"""Encodings whose bytes are UTF-8, where the file has no mark."""
_UTF7 = re.compile(rb"\+A[A-Za-z0-9]{2,}-")
_MARK = codecs.BOM_UTF8


class Readable(Protocol):
    """The required methods of an open file."""

    def read(self, size: int = -1, /) -> bytes: ...


def check_encoding(encoding: str) -> str:
    """Return Python's name for an encoding; ``auto`` is unchanged.

    :raises MiraklInputError: the encoding is unknown.
    """
    if encoding.strip().lower() in ("", AUTO):
        return AUTO
    try:
        known = codecs.lookup(encoding.strip())
        known.incrementaldecoder()  # base64 and the like have none, or do not produce text
        "".join(["", known.decode(b"")[0]])
    except (LookupError, TypeError):
        raise MiraklInputError(
            f"encoding must be 'auto' or a text encoding that Python knows, such as 'cp1252', not {encoding!r}"
        ) from None
    return known.name


def text_blocks(
    file: Readable, name: str, encoding: str = AUTO, *, empty: bool = False, size: int = BLOCK
) -> Iterator[bytes]:
    """Yield the text of a file as UTF-8 blocks: unpacked, decoded, without byte order marks.

    With ``auto`` the bytes of a file without a mark are not decoded: the reader of the lines reports the line of a byte
    that is not UTF-8, see :func:`not_utf8`.

    :param file: the open file, at its start.
    :param name: its name, for errors.
    :param encoding: ``auto`` or the name of an encoding.
    :param empty: accept an empty file.
    :param size: bytes read at once.
    :raises MiraklInputError: it is empty, or not text; or it cannot be unpacked or decoded.
    """
    encoding = check_encoding(encoding)
    raw = _unpacked(file, name, size)
    head = next(raw, b"")
    for magic, words in _FOREIGN:
        if head.removeprefix(_MARK).startswith(magic):
            raise MiraklInputError(f"{name} is {words}")
    marked = _marked(head, name, encoding)
    raw = chain([head], raw)
    blocks = raw if marked in (AUTO, "utf-8") else _decoded(raw, marked, name)
    first = _first(blocks)
    if not first and not empty:
        raise MiraklInputError(f"{name} is empty; there is nothing to send")
    if marked == AUTO and _seems_utf7(first[:4096]):
        raise MiraklInputError(f"{name} seems to be UTF-7 (+ADs- stands for ;); set encoding='utf-7'")
    if first:
        yield first
    yield from blocks


def _unpacked(file: Readable, name: str, size: int) -> Iterator[bytes]:
    head = file.read(size)
    read: Callable[[int], bytes] = file.read
    if not head.startswith(GZIP):
        while head:
            yield head
            head = read(size)
        return
    read = gzip.GzipFile(mode="rb", fileobj=cast("IO[bytes]", _Rewound(head, file))).read
    try:
        while block := read(size):
            yield block
    except EOFError as error:
        raise MiraklInputError(f"{name} is truncated: its gzip stream has no end; copy it again") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise MiraklInputError(f"{name} is damaged: gzip says {error}; copy it again") from error


def _first(blocks: Iterator[bytes]) -> bytes:
    """The first block with content, without the byte order marks before it. Empty lines are kept, since they count."""
    first = b""
    for block in blocks:
        first += block
        while first.startswith(_MARK):
            first = first[len(_MARK) :]
        if first.strip() and not _MARK.startswith(first):  # else a part of a mark
            return first
    return first if first.strip() else b""


def _marked(head: bytes, name: str, encoding: str) -> str:
    """The encoding, detected from the byte order mark if the user did not set it."""
    if encoding != AUTO:
        return encoding
    for mark, marked in _MARKS:
        if head.startswith(mark):
            return marked
    if b"\0" in head[:4]:
        wide = "utf-16-be" if head[:1] == b"\0" else "utf-16-le"
        raise MiraklInputError(
            f"{name} is not UTF-8 but looks like UTF-16 or UTF-32 without a byte order mark; set encoding={wide!r}, "
            "or save it as UTF-8"
        )
    return encoding


def _decoded(blocks: Iterator[bytes], encoding: str, name: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    line = 1
    for block in chain(blocks, [b""]):
        try:
            text = decoder.decode(block, not block)
        except UnicodeError as error:
            reason = getattr(error, "reason", str(error))
            words = f"not {encoding}: {reason}; set encoding to the one the file has"
            raise MiraklInputError(
                f"{name}, after line {line}: {words}", [Problem(words, line=line)]
            ) from None
        line += text.count("\n")
        if text:
            yield text.encode("utf-8", "surrogatepass")


def _seems_utf7(sample: bytes) -> bool:
    if not _UTF7.search(sample):
        return False
    try:
        text = sample.decode("utf-7", "ignore")
    except UnicodeDecodeError:
        return False
    return any(sign in text and sign.encode() not in sample for sign in ';",|\t=@&<>')


def not_utf8(error: UnicodeDecodeError) -> str:
    """Describe which byte is not UTF-8, the likely encoding, and the setting to use.

    :param error: the error, with the text around the byte.
    """
    byte = f"not UTF-8: byte 0x{error.object[error.start]:02X}"
    seems = _remembered(bytes(error.object))
    if seems is None:
        return f"{byte}; save the file as UTF-8, or set encoding to the one it has"
    return f"{byte}; the file seems to be {seems[0]}: set encoding={seems[1]!r}, or save it as UTF-8"


_HINTS: dict[bytes, tuple[str, str] | None] = {}
_MOST_HINTS = 200


def _remembered(sample: bytes) -> tuple[str, str] | None:
    """The likely encoding, found once for texts with the same characters: every row of a file may ask."""
    high = bytes(sorted({byte for byte in sample if byte > 0x7F}))
    if high not in _HINTS:
        if len(_HINTS) == _MOST_HINTS:
            _HINTS.clear()
        _HINTS[high] = _seems(sample)
    return _HINTS[high]


_LIKELY = ("cp1252", "iso8859_15", "mac_roman", "cp1250", "cp1251", "cp850", "shift_jis", "gb18030", "euc_kr")
_SPOKEN = {
    "cp1252": "windows-1252",
    "cp1250": "windows-1250",
    "cp1251": "windows-1251",
    "mac_roman": "Mac Roman",
}
_LATIN = ("cp1252", "cp1250", "mac_roman", "cp850")
"""Encodings of Latin letters, the commonest first. Statistics confuse them: every byte is a letter in each."""
_ALPHABETS = (
    "àâæçéèêëîïôœùûüÿ", "äöüß", "áéíóúüñ", "áâãàçéêíóôõú", "àèéìíîòóùú", "éëïóöü", "åäöé", "æøåé", "ąćęłńóśźż",
    "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "áéíóöőúüű", "ăâîşţ", "čćđšž",
)  # fmt: skip
"""The letters beyond ASCII of French, German, Spanish, Portuguese, Italian, Dutch, Swedish, Danish, Polish, Czech,
Slovak, Hungarian, Romanian and Croatian."""
_SIGNS = frozenset(" €…‰•™§©ª®°±²³µ¹º¼½¾×÷£»”›“")  # noqa: RUF001
_OPENING = frozenset("«“„‘‚‹¿¡£€©®±×")  # noqa: RUF001
_ANYWHERE = frozenset("’´·–—\xad\xa0")  # noqa: RUF001
_FITS = 0.97


def _seems(sample: bytes) -> tuple[str, str] | None:
    """The likely encoding of a text: its name for messages and for the setting."""
    fits = {encoding: _fit(sample, encoding) for encoding in _LATIN}
    best = max(fits, key=lambda encoding: fits[encoding])
    if fits[best] < _FITS:
        from charset_normalizer import from_bytes  # imported only here: a valid file never needs it

        match = from_bytes(sample[: 1 << 16], cp_isolation=list(_LIKELY)).best()
        if match is None:
            return None
        # A Latin one means several languages: then the best fit is the safer guess.
        if match.encoding not in (*_LATIN, "iso8859_15"):
            best = match.encoding
    return _SPOKEN.get(best, best), best


def _fit(sample: bytes, encoding: str) -> float:
    """The share of the characters beyond ASCII that belong to one language, or are signs where signs belong."""
    text = sample[: 1 << 16].decode(encoding, "replace").lower()
    letters: list[str] = []
    signs = 0
    for before, sign, after in zip(" " + text, text, text[1:] + " ", strict=False):
        if sign < "\x80":
            continue
        fits = (sign in _SIGNS and not after.isalpha()) or (sign in _OPENING and not before.isalpha())
        if fits or sign in _ANYWHERE:
            signs += 1
        else:
            letters.append(sign)
    most = max(sum(map(alphabet.__contains__, letters)) for alphabet in _ALPHABETS)
    return (most + signs) / max(len(letters) + signs, 1)


class _Rewound:
    """A file whose first bytes have been read."""

    def __init__(self, head: bytes, file: Readable) -> None:
        self._head = head
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if self._head:
            if size < 0:
                size = len(self._head)
            data, self._head = self._head[:size], self._head[size:]
            return data
        return self._file.read(size)
