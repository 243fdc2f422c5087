"""Readers: a file or a list becomes rows, in constant memory.

A row is one JSON object as bytes. Rows of NDJSON and of a JSON array are the very bytes of the file (in an array the
line breaks between tokens are taken out), so nothing is lost or rounded on the way. Rows come in batches, because a
call per row costs more than the row.
"""

from __future__ import annotations

import codecs
import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from typing import IO, Any, Literal, cast

import msgspec

from airflow_provider_mirakl.catalog.mapping import Build, Columns, compile_columns
from airflow_provider_mirakl.exceptions import MiraklInputError, Problem
from airflow_provider_mirakl.files.storage import BLOCK, StoragePath, plain

Format = Literal["ndjson", "json", "csv", "parquet"]

MAX_ROW_BYTES = 16 << 20
"""A row longer than this is no product: a file without line ends, or a quote that is never closed."""
BATCH_ROWS = 1000
"""Rows of a batch, about."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a source was when it was read.

    :param name: path or description, for a person.
    :param size: bytes of the file, or rows of a list.
    :param digest: hash of the content.
    """

    name: str
    size: int
    digest: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that its reader could not turn into JSON.

    :param row: the row as it is, for the rejects file.
    :param at: its place, see :meth:`Source.place`.
    :param problems: what is wrong with it.
    """

    row: bytes
    at: int
    problems: list[Problem]


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows read together.

    :param rows: JSON objects as bytes, none of them with a line break.
    :param at: the place of each row, see :meth:`Source.place`; strictly increasing.
    :param refused: rows that could not be read.
    """

    rows: list[bytes]
    at: Sequence[int]
    refused: list[Refused] = field(default_factory=list)


class Source:
    """Rows from somewhere.

    :param name: what a person calls it.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def batches(self) -> Iterator[Batch]:
        """Read from the start, once per call.

        :raises MiraklInputError: the source as a whole cannot be read.
        """
        raise NotImplementedError

    def place(self, at: int) -> tuple[int | None, str]:
        """Return line and path prefix of a row's place; a source without lines has the prefix alone."""
        return at, ""

    def fingerprint(self) -> Fingerprint:
        """Return what was read by the last complete :meth:`batches`."""
        raise NotImplementedError


def open_source(
    data: StoragePath | str | Iterable[Any] | Source,
    source_format: Format | None = None,
    columns: Columns | None = None,
) -> Source:
    """Return a reader.

    :param data: a path object, the path of a local file as text, or a list of products (dictionaries, or texts where
        ids are wanted). A ready :class:`Source` is returned as it is.
    :param source_format: the file's format; default by name and content. gzip is recognised by content.
    :param columns: how flat columns become products. CSV and flat Parquet do without where their columns speak for
        themselves; JSON is taken as Connect's own form without it.
    :raises MiraklInputError: no file, no list, or a mapping that cannot work.
    """
    if isinstance(data, Source):
        return data
    if isinstance(data, Mapping | bytes):
        kind = "an object" if isinstance(data, Mapping) else "bytes"
        raise MiraklInputError(
            f"products: expected a list of products or a path, got {kind}; put it in a list"
        )
    if isinstance(data, str) or hasattr(data, "open"):
        return FileSource(plain(cast("StoragePath | str", data)), source_format, columns)
    if not isinstance(data, Iterable):
        raise MiraklInputError(f"products: expected a list of products or a path, got {type(data).__name__}")
    return ListSource(data, columns=columns)


# --- Lists ------------------------------------------------------------------------------------------------------


class ListSource(Source):
    """Rows from Python objects, as they come from XCom, a parameter or a generator.

    :param items: dictionaries (or texts, for ids).
    :param name: what a person calls it.
    :param columns: how flat dictionaries become products.
    """

    def __init__(
        self, items: Iterable[Any], name: str = "the list of products", columns: Columns | None = None
    ) -> None:
        super().__init__(name)
        self._items = items
        self._build = None if columns is None else compile_columns(columns, None)
        self._fingerprint = Fingerprint(name, 0, "")

    def batches(self) -> Iterator[Batch]:
        digest = sha256()
        rows: list[bytes] = []
        at: list[int] = []
        refused: list[Refused] = []
        count = 0
        for item in self._items:
            try:
                row = self._build(item) if self._build and isinstance(item, Mapping) else dump(item)
            except (TypeError, ValueError) as error:
                row = repr(item).encode("utf-8", "backslashreplace")
                refused.append(Refused(row, count, [Problem(f"cannot be written as JSON: {error}")]))
            else:
                rows.append(row)
                at.append(count)
            digest.update(row)
            digest.update(b"\n")
            count += 1
            if count % BATCH_ROWS == 0:
                yield Batch(rows, at, refused)
                rows, at, refused = [], [], []
        yield Batch(rows, at, refused)
        self._fingerprint = Fingerprint(self.name, count, digest.hexdigest())

    def place(self, at: int) -> tuple[int | None, str]:
        return _by_position(at)

    def fingerprint(self) -> Fingerprint:
        return self._fingerprint


def dump(item: Any) -> bytes:
    """Write one Python object as a row. NaN stays NaN, so that the check can name it; ``None`` is ``null``.

    :raises TypeError: a value JSON has no form for.
    """
    text = json.dumps(item, ensure_ascii=False, separators=(",", ":"), default=_jsonable)
    return text.encode("utf-8")


def _jsonable(value: Any) -> Any:
    if isinstance(value, Decimal):
        if value.is_snan():
            raise TypeError("a signaling NaN has no form in JSON")
        return int(value) if value == value.to_integral_value() and value.is_finite() else float(value)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise TypeError(f"the moment {value} has no time zone")
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    raise TypeError(f"{type(value).__name__} {value!r} has no form in JSON")


# --- Files ------------------------------------------------------------------------------------------------------

_GZIP = b"\x1f\x8b"
_FOREIGN: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook; unpack it, or save the sheet as CSV (UTF-8)"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook; save the sheet as CSV (UTF-8)"),
    (b"BZh", "compressed with bzip2; use gzip or no compression"),
    (b"\xfd7zXZ\x00", "compressed with xz; use gzip or no compression"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd; use gzip or no compression"),
    (b"%PDF", "a PDF"),
    (b"<", "XML or HTML"),
)
_SUFFIXES: dict[str, Format] = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}


class _Fingerprinting:
    """A file that remembers the size and the hash of what was read from it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = sha256()
        self.size = 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._digest.update(data)
        self.size += len(data)
        return data

    def fingerprint(self, name: str) -> Fingerprint:
        return Fingerprint(name, self.size, self._digest.hexdigest())


class FileSource(Source):
    """Rows from a file.

    :param path: the file.
    :param source_format: its format; default by name and content.
    :param columns: how its columns become products.
    """

    def __init__(
        self, path: StoragePath, source_format: Format | None = None, columns: Columns | None = None
    ) -> None:
        super().__init__(str(path))
        self._columns = columns
        self._path = path
        self._format = source_format
        self._fingerprint = Fingerprint(self.name, 0, "")
        self._place: Callable[[int], tuple[int | None, str]] = _by_line

    def batches(self) -> Iterator[Batch]:
        with self._opened() as file:
            reading = _Fingerprinting(file)
            blocks = self._decoded(reading)
            head = next(blocks, b"")
            kind = self._format or _sniff(self._path.name, head)
            if kind == "parquet":
                yield from self._parquet(file, reading)
            else:
                yield from self._text(kind, _Blocks(self.name, head, blocks))
            while reading.read(BLOCK):
                pass
            self._fingerprint = reading.fingerprint(self.name)

    def _text(self, kind: Format, blocks: _Blocks) -> Iterator[Batch]:
        from airflow_provider_mirakl.catalog.tables import read_csv

        if kind == "csv":
            self._place = _by_line
            yield from read_csv(blocks, self.name, self._columns or Columns())
            return
        read, self._place = _READERS[kind]
        build = None if self._columns is None else compile_columns(self._columns, None)
        for batch in read(blocks):
            yield (
                batch
                if build is None
                else Batch([_mapped(row, build) for row in batch.rows], batch.at, batch.refused)
            )

    def _parquet(self, file: IO[bytes], reading: _Fingerprinting) -> Iterator[Batch]:
        from airflow_provider_mirakl.catalog.tables import read_parquet

        self._place = _by_position
        yield from read_parquet(file, self.name, self._columns)
        # pyarrow jumps about in the file; the fingerprint wants the rest after the head in order.
        file.seek(reading.size)

    def place(self, at: int) -> tuple[int | None, str]:
        return self._place(at)

    def fingerprint(self) -> Fingerprint:
        return self._fingerprint

    @contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        """Open the file, and turn what can go wrong with it into words."""
        try:
            with self._path.open("rb") as file:
                yield file
        except (FileNotFoundError, IsADirectoryError) as error:
            if self._path.is_dir():
                raise MiraklInputError(f"{self.name} is a directory; name one file in it") from error
            raise MiraklInputError(f"{self.name} does not exist") from error
        except PermissionError as error:
            raise MiraklInputError(f"{self.name} must not be read by this user: {error}") from error
        except EOFError as error:
            raise MiraklInputError(
                f"{self.name} is cut short: its gzip stream has no end; copy it again"
            ) from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise MiraklInputError(f"{self.name} is damaged: gzip says {error}; copy it again") from error
        except OSError as error:
            raise MiraklInputError(f"{self.name} cannot be read: {error}") from error

    def _decoded(self, reading: _Fingerprinting) -> Iterator[bytes]:
        """Yield the text of the file as UTF-8 blocks: unpacked, without a byte order mark."""
        head = reading.read(BLOCK)
        read: Callable[[int], bytes] = reading.read
        if head.startswith(_GZIP):
            unpacked = gzip.GzipFile(mode="rb", fileobj=cast("IO[bytes]", _Rewound(head, reading)))
            read = unpacked.read
            head = read(BLOCK)
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in head[:4]:
            raise MiraklInputError(
                f"{self.name} is not UTF-8 but looks like UTF-16 or UTF-32; save it as UTF-8"
            )
        for magic, words in _FOREIGN:
            if head.startswith(magic):
                raise MiraklInputError(
                    f"{self.name} is {words}; products come as NDJSON, JSON, CSV or Parquet"
                )
        head = head.removeprefix(codecs.BOM_UTF8)
        if not head.strip():
            following = read(BLOCK)
            if not following.strip():
                raise MiraklInputError(f"{self.name} is empty; there is nothing to send")
            head += following
        while head:
            yield head
            head = read(BLOCK)


class _Rewound:
    """A file whose first bytes were read already."""

    def __init__(self, head: bytes, file: _Fingerprinting) -> None:
        self._head = head
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if self._head:
            if size < 0:
                size = len(self._head)
            data, self._head = self._head[:size], self._head[size:]
            return data
        return self._file.read(size)


class _Blocks:
    """The blocks of a file, for one reader.

    :param name: the file's name, for errors.
    """

    def __init__(self, name: str, head: bytes, rest: Iterator[bytes]) -> None:
        self.name = name
        self._head = head
        self._rest = rest

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        yield from self._rest


_LIST = re.compile(rb"\s*\[")
_WRAPPED = re.compile(rb'\s*\{\s*"products"\s*:\s*\[')
_OBJECT = re.compile(rb'\s*[{"]')


def _sniff(name: str, head: bytes) -> Format:
    """Tell the format: a table by the file's name, JSON by its first characters."""
    lowered = name.lower().removesuffix(".gz")
    for suffix, known in _SUFFIXES.items():
        if lowered.endswith(suffix):
            return known
    if head.startswith(b"PAR1"):
        return "parquet"
    if _LIST.match(head) or _WRAPPED.match(head):
        return "json"
    if _OBJECT.match(head) or lowered.endswith((".json", ".ndjson", ".jsonl")):
        return "ndjson"
    return "csv"


# --- NDJSON -----------------------------------------------------------------------------------------------------


def _by_line(at: int) -> tuple[int | None, str]:
    return at, ""


def _read_ndjson(blocks: _Blocks) -> Iterator[Batch]:
    line = 1
    rest = b""
    reject = None
    for block in blocks:
        parts = (rest + block).split(b"\n")
        rest = parts.pop()
        if len(rest) > MAX_ROW_BYTES:
            raise _too_long(blocks.name, line + len(parts))
        if parts:
            if reject is None:
                reject = bool(_REJECT.match(parts[0]))
            yield _lines(parts, line, reject)
            line += len(parts)
    if rest.strip():
        yield _lines([rest], line, bool(_REJECT.match(rest)) if reject is None else reject)


def _lines(parts: list[bytes], first: int, reject: bool) -> Batch:
    rows = [part.strip(b" \t\r") for part in parts]
    at: Sequence[int] = range(first, first + len(rows))
    if not all(rows):
        at = [line for line, row in zip(at, rows, strict=True) if row]
        rows = [row for row in rows if row]
    return Batch([_unreject(row) for row in rows] if reject else rows, at)


_REJECT = re.compile(rb'\{"line":(null|\d+),"id":')


class _Reject(msgspec.Struct):
    row: msgspec.Raw


_reject_decoder = msgspec.json.Decoder(_Reject)


def _unreject(row: bytes) -> bytes:
    """Take the row out of a line of a rejects file; anything else stays what it is."""
    try:
        inner = bytes(_reject_decoder.decode(row).row)
        return msgspec.json.decode(inner, type=str).encode() if inner.startswith(b'"') else inner
    except (msgspec.DecodeError, UnicodeDecodeError):
        return row


def _mapped(row: bytes, build: Build) -> bytes:
    """Build a product of a flat JSON object; what is none goes on as it is, for the check to name it."""
    try:
        cells = json.loads(row)
    except ValueError:
        return row
    return build(cells) if isinstance(cells, dict) else row


def _too_long(name: str, line: int) -> MiraklInputError:
    return MiraklInputError(
        f"{name}: the row that starts on line {line} is longer than {MAX_ROW_BYTES >> 20} MB; "
        "is a line end or a closing quote missing?"
    )


# --- JSON arrays ------------------------------------------------------------------------------------------------

_SPACE = re.compile(r"[ \t\r\n]*")
_LINE_BITS = 32


def _by_position(at: int) -> tuple[int | None, str]:
    return None, f"[{at}]"


def _by_index(at: int) -> tuple[int | None, str]:
    return at & ((1 << _LINE_BITS) - 1), f"[{at >> _LINE_BITS}]"


class _Scanner:
    """Walks over JSON text that arrives in blocks.

    :param blocks: the file.
    """

    def __init__(self, blocks: _Blocks) -> None:
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

    def take(self, pattern: re.Pattern[str]) -> bool:
        """Step over a pattern, if it comes next."""
        self.peek()
        match = pattern.match(self._text, self._here)
        if match:
            self._move(match.end())
        return bool(match)

    def value(self) -> bytes:
        """Step over one JSON value and return it as bytes without line breaks."""
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
                # A number at the very end of the text may go on in the next block.
                if end < len(self._text) or start in '{["' or not self._more():
                    break
            if len(self._text) - self._here > MAX_ROW_BYTES:
                raise _too_long(self.name, self.line)
        text = self._text[self._here : end]
        self._move(end)
        if "\n" in text:
            text = "".join([part.strip(" \t\r") for part in text.split("\n")])
        return text.encode()

    def error(self, words: str) -> MiraklInputError:
        """Return an error about the place reached."""
        return MiraklInputError(
            f"{self.name}, line {self.line}: {words}; the rest of the list cannot be read",
            [Problem(words, line=self.line)],
        )

    def _is_wrong(self, error: json.JSONDecodeError) -> bool:
        # Near the end of the text, or in an open string, the value may only be cut by the block's end.
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
            byte = error.object[error.start]
            raise self.error(f"not UTF-8: byte 0x{byte:02X}; save the file as UTF-8") from None
        self._here = 0
        return True


_OPENED = re.compile(r"\[")
_OPENED_WRAPPED = re.compile(r'\{\s*"products"\s*:\s*\[')


def _read_json(blocks: _Blocks) -> Iterator[Batch]:
    scan = _Scanner(blocks)
    wrapped = False
    if not scan.take(_OPENED):
        wrapped = scan.take(_OPENED_WRAPPED)
        if not wrapped:
            raise MiraklInputError(
                f"{scan.name}: expected a JSON list of products, or an object whose only field is 'products'; "
                "one product a line is the format ndjson"
            )
    yield from _elements(scan)
    if wrapped and not scan.take(re.compile(r"\}")):
        raise scan.error("expected } after the list of products")
    if scan.peek():
        raise scan.error("text after the end of the list")


def _elements(scan: _Scanner) -> Iterator[Batch]:
    rows: list[bytes] = []
    at: list[int] = []
    index = size = 0
    separator = re.compile(",")
    closing = re.compile(r"\]")
    if scan.take(closing):
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
        if not scan.take(separator):
            break
    if not scan.take(closing):
        raise scan.error("expected , or ] after a product")
    yield Batch(rows, at)


_READERS: dict[str, tuple[Callable[[_Blocks], Iterator[Batch]], Callable[[int], tuple[int | None, str]]]] = {
    "ndjson": (_read_ndjson, _by_line),
    "json": (_read_json, _by_index),
}
