"""What can become of a file that the package keeps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec


def replaced(data: bytes, **values: Any) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(data) | values)


ANY_FILE: dict[str, Callable[[bytes], bytes] | None] = {
    "empty": lambda data: b"",
    "blank": lambda data: b" \n",
    "cut": lambda data: data[: len(data) // 2],
    "cut at its end": lambda data: data[:-1],
    "binary": lambda data: bytes(range(256)),
    "not UTF-8": lambda data: data.replace(b'"', b'"\xff', 1) if b'"' in data else b"\xff" + data,
    "null": lambda data: b"null",
    "list": lambda data: b"[]",
    "number": lambda data: b"7",
    "text": lambda data: b'"x"',
    "an empty object": lambda data: b"{}",
    "deep": lambda data: b"[" * 100_000,
    "a folder": None,
}
"""Makes other bytes of a file's bytes; ``None``: a folder takes its place."""

DAMAGE: dict[str, Callable[[bytes], bytes] | None] = ANY_FILE | {
    "another version": lambda data: replaced(data, format=99),
    "another content": lambda data: replaced(data, content=[1]),
    "no content": lambda data: replaced(data, content=None),
}
"""The same for a note."""

DATA: dict[str, Callable[[bytes], bytes] | None] = ANY_FILE | {
    "its first byte changed": lambda data: bytes([data[0] ^ 1]) + data[1:],
    "its last byte changed": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
}
"""The same for any other file."""

LINES: dict[str, Callable[[bytes], bytes] | None] = ANY_FILE | {
    "without its first line": lambda data: data.partition(b"\n")[2],
    "without its last line": lambda data: data[: data.rstrip(b"\n").rfind(b"\n") + 1],
    "a list in a line": lambda data: b"[]\n" + data,
    "a number in a line": lambda data: b"7\n" + data,
    "a digit changed": lambda data: data.translate(bytes.maketrans(b"0123456789", b"1234567890")),
    "each line twice": lambda data: b"".join(line * 2 for line in data.splitlines(keepends=True)),
}
"""The same for a file of lines."""


def damage(path: Path, change: Callable[[bytes], bytes] | None) -> None:
    """Damage a file.

    :param path: the file.
    :param change: one of the changes above.
    """
    data = path.read_bytes()
    if change is None:
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(change(data))
        assert path.read_bytes() != data
