"""From a name that somebody else chose to one that is safe on any file system and in any object store."""

from __future__ import annotations

import re
import unicodedata

MAX_BYTES = 150
"""Of a name in UTF-8. File systems take 255; the rest is for what is put around a name."""
NAMELESS = "document"

_RESERVED_LETTERS = re.compile(r'[<>:"/\\|?*%#{}^`~\[\]]')
# Names of devices, which Windows knows in every folder, with any extension.
_RESERVED_NAMES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)


def safe_name(name: str) -> str:
    """A name without a folder, a control character, or anything that a file system or an object store reserves.

    Letters of every language stay, in their composed form. What is not allowed becomes ``_``, invisible characters go
    away, and a name that is too long is cut before its extension.

    :param name: any text.
    :return: 1 to :data:`MAX_BYTES` bytes in UTF-8; the same for the same name.
    """
    text = unicodedata.normalize("NFC", name.encode("utf-8", "replace").decode())
    text = "".join(_letter(letter) for letter in text)
    text = _RESERVED_LETTERS.sub("_", text).strip(" .")
    if not text.strip("_ ."):
        text = NAMELESS
    if _RESERVED_NAMES.fullmatch(text):
        text = f"_{text}"
    return _shortened(text)


def folded(name: str) -> str:
    """What two names share that a file system may take for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _letter(letter: str) -> str:
    kind = unicodedata.category(letter)
    if letter.isspace():
        return " "
    if kind == "Cc":
        return "_"
    # Invisible ones, such as those that turn the direction of writing to hide an extension.
    return "" if kind in ("Cf", "Cs", "Co", "Cn") else letter


def _shortened(name: str) -> str:
    if len(name.encode()) <= MAX_BYTES:
        return name
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension.encode()) > 16:
        stem, dot, extension = name, "", ""
    room = MAX_BYTES - len((dot + extension).encode())
    return stem.encode()[:room].decode("utf-8", "ignore").rstrip(" .") + dot + extension
