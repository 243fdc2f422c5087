"""Turns foreign file names into names that are safe on any file system and in any object store."""

from __future__ import annotations

import re
import unicodedata

MAX_BYTES = 150
"""Largest size of a name in UTF-8. File systems allow 255; the rest is for prefixes and suffixes."""
NAMELESS = "document"

_RESERVED_LETTERS = re.compile(r'[<>:"/\\|?*%#{}^`~\[\]]')
# Names of devices, which Windows reserves in every folder, with any extension.
_RESERVED_NAMES = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(\..*)?", re.IGNORECASE
)


def safe_name(name: str) -> str:
    """A name without a folder, a control character, or anything that a file system or an object store reserves.

    Characters of every language are kept, in composed form. Forbidden ones become ``_``, invisible ones are
    removed, and a name that is too long is cut before its extension.

    :param name: any text.
    :return: 1 to :data:`MAX_BYTES` bytes in UTF-8; always the same for the same name. A safe name is returned
        unchanged.
    """
    text = name.encode("utf-8", "replace").decode()
    # Composed after that: an invisible character may have stood between a letter and its accent.
    text = unicodedata.normalize("NFC", "".join(_letter(letter) for letter in text))
    text = _shortened(_RESERVED_LETTERS.sub("_", text).strip(" ."))
    # Looked at last: what was cut off may have been all that made it a name.
    if not text.strip("_ ."):
        return NAMELESS
    return _shortened(f"_{text}") if _RESERVED_NAMES.fullmatch(text) else text


def folded(name: str) -> str:
    """The common form of names that a file system may treat as equal."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _letter(letter: str) -> str:
    kind = unicodedata.category(letter)
    if letter.isspace():
        return " "
    if kind == "Cc":
        return "_"
    # Invisible characters, such as those that reverse the writing direction to hide an extension.
    return "" if kind in ("Cf", "Cs", "Co", "Cn") else letter


def _shortened(name: str) -> str:
    if len(name.encode()) <= MAX_BYTES:
        return name
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension.encode()) > 16:
        stem, dot, extension = name, "", ""
    room = MAX_BYTES - len((dot + extension).encode())
    return stem.encode()[:room].decode("utf-8", "ignore").rstrip(" .") + dot + extension
