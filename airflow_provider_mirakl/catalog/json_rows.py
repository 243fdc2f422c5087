"""Readers of JSON: one object per line, a list, or a sequence of objects. Rows are the bytes of the file."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator, Sequence

from airflow_provider_mirakl.catalog.product import Product
from airflow_provider_mirakl.catalog.rows import BATCH_ROWS, Batch, Place, by_line
from airflow_provider_mirakl.exceptions import MiraklInputError, Problem
from airflow_provider_mirakl.files.csv_table import MAX_ROW_BYTES, too_long
from airflow_provider_mirakl.files.storage import BLOCK
from airflow_provider_mirakl.files.text import not_utf8

PRETTY = re.compile(rb"\s*\{[ \t]*\r?\n")
"""An object over several lines, as written by jq and editors."""


class Blocks:
    """The blocks of a file, for one reader.

    :param name: the file's name, for errors.
    :param items: the field with the list, if the file is an object; for nested objects a path with
        dots.
    """

    def __init__(self, name: str, head: bytes, rest: Iterator[bytes], items: str | None = None) -> None:
        self.name = name
        self.head = head
        self.items = items
        self._rest = rest

    def __iter__(self) -> Iterator[bytes]:
        yield self.head
        yield from self._rest


# --- One object a line ------------------------------------------------------------------------------------------


def read_ndjson(blocks: Blocks) -> Iterator[Batch]:
    """Read one object per line; a row's place is its line."""
    line = 1
    rest = b""
    for block in blocks:
        text = rest + block
        parts = text.split(b"\n")
        rest = parts.pop()
        if len(rest) > MAX_ROW_BYTES:
            raise too_long(blocks.name, line + len(parts))
        if parts:
            yield _lines(parts, line, joined=codecs.BOM_UTF8 in text)
            line += len(parts)
    if rest.strip():
        yield _lines([rest], line, joined=rest.startswith(codecs.BOM_UTF8))


def _lines(parts: list[bytes], first: int, *, joined: bool) -> Batch:
    rows = [part.strip(b" \t\r") for part in parts]
    if joined:  # a joined file includes its byte order mark
        rows = [row.removeprefix(codecs.BOM_UTF8) for row in rows]
    at: Sequence[int] = range(first, first + len(rows))
    if not all(rows):
        at = [line for line, row in zip(at, rows, strict=True) if row]
        rows = [row for row in rows if row]
    return Batch(rows, at)


# --- A list, or objects one after another -----------------------------------------------------------------------

_SPACE = re.compile(r"[ \t\r\n\ufeff]*")
_LINE_BITS = 32


def _by_index(at: int) -> tuple[int | None, str]:
    return at & ((1 << _LINE_BITS) - 1), f"[{at >> _LINE_BITS}]"


class _Scanner:
    """Walks over JSON text that arrives in blocks.

    :param blocks: the file.
    """

    def __init__(self, blocks: Blocks) -> None:
        self.name = blocks.name
        self.line = 1
        self._blocks = iter(blocks)
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._here = 0
        self._end = False
        self._decode = json.JSONDecoder().raw_decode

    def peek(self) -> str:
        """Skip white space and return the next character, ``""`` at the end."""
        while True:
            space = _SPACE.match(self._text, self._here)
            self._move(space.end() if space else self._here)
            if self._here < len(self._text):
                return self._text[self._here]
            if not self._more():
                return ""

    def take(self, sign: str) -> bool:
        """Skip a character, if it comes next."""
        if self.peek() != sign:
            return False
        self._move(self._here + 1)
        return True

    def value(self) -> bytes:
        """Skip one JSON value, and return it as bytes without line breaks."""
        start = self.peek()
        while True:
            try:
                _, end = self._decode(self._text, self._here)
            except json.JSONDecodeError as error:
                if self._is_wrong(error) or not self._more():
                    raise self._broken(error) from None
            except (ValueError, RecursionError) as error:
                raise self.error(f"cannot be read: {error}") from None
            else:
                # A number at the end of the text may continue in the next block.
                if end < len(self._text) or start in '{["' or not self._more():
                    break
            if len(self._text) - self._here > MAX_ROW_BYTES:
                raise too_long(self.name, self.line)
        text = self._text[self._here : end]
        self._move(end)
        if "\n" in text:
            text = "".join([part.strip(" \t\r") for part in text.split("\n")])
        return text.encode()

    def error(self, words: str) -> MiraklInputError:
        """Return an error at the current place."""
        return MiraklInputError(
            f"{self.name}, line {self.line}: {words}; the rest of the list cannot be read",
            [Problem(words, line=self.line)],
        )

    def _is_wrong(self, error: json.JSONDecodeError) -> bool:
        # Near the end of the text, or in an open string, the value may just be cut by the end of the block.
        cut = error.msg.startswith("Unterminated string") or len(self._text) - error.pos < 64
        return self._end or not cut

    def _broken(self, error: json.JSONDecodeError) -> MiraklInputError:
        self._move(error.pos)
        return self.error(f"not JSON: {error.msg}")

    def _move(self, to: int) -> None:
        self.line += self._text.count("\n", self._here, to)
        self._here = to

    def _more(self) -> bool:
        if self._end:
            return False
        block = next(self._blocks, b"")
        self._end = not block
        try:
            self._text = self._text[self._here :] + self._utf8.decode(block, final=self._end)
        except UnicodeDecodeError as error:
            self.line += self._text.count("\n", self._here) + error.object.count(b"\n", 0, error.start)
            raise self.error(not_utf8(error)) from None
        self._here = 0
        return True


_WRAPPED = re.compile(rb'\s*\{\s*"([^"\\]+)"\s*:\s*\[\s*[{"]')


def wrapped_in(head: bytes) -> str | None:
    """The field that contains a list of objects, if the object is not a product."""
    found = _WRAPPED.match(head)
    name = found[1].decode("utf-8", "replace") if found else None
    return None if name in Product.__struct_fields__ else name


def read_json(blocks: Blocks) -> Iterator[Batch]:
    """Read a list, the list in a field of an object, or a sequence of objects."""
    scan = _Scanner(blocks)
    wrapped = wrapped_in(blocks.head)
    if blocks.items is None and scan.peek() == "{" and wrapped != "products":
        if wrapped is not None:
            raise MiraklInputError(
                f"{scan.name}: expected a JSON list of products, got an object; if they are in its field "
                f"{wrapped!r}, set items={wrapped!r}"
            )
        if PRETTY.match(blocks.head):
            yield from _stream(scan)
            return
    path = (blocks.items or "products").split(".")
    if scan.take("["):
        yield from _elements(scan)
    elif scan.peek() == "{" and (blocks.items or wrapped):
        yield from _inside(scan, path, blocks.items or "products")
    else:
        raise MiraklInputError(
            f"{scan.name}: expected a JSON list of products, or an object that contains the list (set items to its "
            "field, such as items='data'); for one product per line, write NDJSON"
        )
    if scan.peek():
        raise scan.error("text after the end of the list")


def _inside(scan: _Scanner, path: list[str], items: str) -> Iterator[Batch]:
    """Go to the list in an object, skipping its other fields."""
    scan.take("{")
    found = False
    while not scan.take("}"):
        name = json.loads(scan.value()) if scan.peek() == '"' else None
        if not isinstance(name, str) or not scan.take(":"):
            raise scan.error("expected a field of the object around the list")
        if name != path[0] or found:
            scan.value()
        elif len(path) > 1:
            found = True
            if scan.peek() != "{":
                raise scan.error(f"items={items!r}: {name!r} is not an object")
            yield from _inside(scan, path[1:], items)
        else:
            found = True
            if not scan.take("["):
                raise scan.error(f"items={items!r}: {name!r} is not a list")
            yield from _elements(scan)
        if not scan.take(",") and scan.peek() != "}":
            raise scan.error("expected } after the list of products")
    if not found:
        raise MiraklInputError(f"{scan.name}: items={items!r}: the file does not have field {path[0]!r}")


def _elements(scan: _Scanner) -> Iterator[Batch]:
    rows: list[bytes] = []
    at: list[int] = []
    index = size = 0
    if scan.take("]"):
        return
    while True:
        if scan.peek() in ("", "]", ","):
            raise scan.error("expected a product")
        at.append(index << _LINE_BITS | scan.line)
        rows.append(scan.value())
        index += 1
        size += len(rows[-1])
        if len(rows) == BATCH_ROWS or size > BLOCK:
            yield Batch(rows, at)
            rows, at, size = [], [], 0
        if not scan.take(","):
            break
    if not scan.take("]"):
        raise scan.error("expected , or ] after a product")
    yield Batch(rows, at)


def _stream(scan: _Scanner) -> Iterator[Batch]:
    index = 0
    while scan.peek():
        at = index << _LINE_BITS | scan.line
        yield Batch([scan.value()], [at])
        index += 1


READERS: dict[str, tuple[Callable[[Blocks], Iterator[Batch]], Place]] = {
    "ndjson": (read_ndjson, by_line),
    "json": (read_json, _by_index),
}
