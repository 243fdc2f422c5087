"""Turns a source into rows, in constant memory: a file, a list, or a table of a library.

Rows of NDJSON and of a JSON array are the original bytes of the file (without the line breaks between tokens of an
array), so nothing is lost or rounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from itertools import islice
from typing import IO, Any, Literal, cast

from airflow_provider_mirakl.catalog.columns import Columns
from airflow_provider_mirakl.catalog.frames import FrameSource, is_frame
from airflow_provider_mirakl.catalog.json_rows import PRETTY, READERS, Blocks, wrapped_in
from airflow_provider_mirakl.catalog.rejects import is_rejects_file, unwrapped
from airflow_provider_mirakl.catalog.rows import (
    BATCH_ROWS,
    Batch,
    CountedSource,
    Fingerprint,
    Place,
    Records,
    Refused,
    Source,
    as_mapping,
    by_line,
    by_position,
    dump,
)
from airflow_provider_mirakl.catalog.shaping import Compile, Shaping
from airflow_provider_mirakl.catalog.tables import read_csv, read_parquet
from airflow_provider_mirakl.exceptions import MiraklInputError, Problem
from airflow_provider_mirakl.files.storage import BLOCK, StoragePath, plain, unreadable
from airflow_provider_mirakl.files.text import AUTO, text_blocks
from airflow_provider_mirakl.files.values import Frame

Format = Literal["ndjson", "json", "csv", "parquet"]


def open_source(
    data: StoragePath | str | Iterable[Any] | Frame | Source,
    source_format: Format | None = None,
    columns: Columns | None = None,
    *,
    encoding: str = AUTO,
    items: str | None = None,
    transform: str | None = None,
    strip: bool = True,
    compiled: Compile | None = None,
    whole: bool = False,
) -> Source:
    """Return a reader.

    :param data: a path object, the path of a local file as string; a list of products (dictionaries, or strings for
        ids); or a table of pandas, polars, pyarrow, DuckDB or any library that supports Arrow. A ready
        :class:`Source` is returned unchanged.
    :param source_format: the file's format; default by name and content. gzip is recognised by content.
    :param columns: how flat columns become products. CSV and flat Parquet do not need it if their columns are named
        after their targets; without it JSON must have Connect's own form.
    :param encoding: encoding of a text file: ``auto``, or a name that Python knows, such as ``cp1252``.
    :param items: the field with the list, if a JSON file is an object.
    :param transform: a function that sees the rows before they are mapped, as ``package.module.function``.
    :param strip: remove white space from both ends of cells.
    :param compiled: how the heading of a table becomes a builder of rows, if they are not products of Connect.
    :param whole: refuse the last row of a table that may be truncated: what is not in the source is deleted.
    :raises MiraklInputError: not a file, not a list, or the mapping is invalid.
    """
    if isinstance(data, Source):
        return data
    shaping = Shaping(columns, transform, strip=strip, compiled=compiled, whole=whole)
    if is_frame(data):
        return FrameSource(data, shaping)
    if isinstance(data, Mapping | bytes):
        kind = "an object" if isinstance(data, Mapping) else "bytes"
        raise MiraklInputError(
            f"products: expected a list of products or a path, got {kind}; wrap it in a list"
        )
    if isinstance(data, str) or hasattr(data, "open"):
        path = plain(cast("StoragePath | str", data))
        return FileSource(path, source_format, shaping, encoding=encoding, items=items)
    if not isinstance(data, Iterable):
        raise MiraklInputError(
            f"products: expected a list of products or a path, got {type(data).__name__}{_table_hint(data)}"
        )
    return ListSource(data, shaping)


def _table_hint(data: object) -> str:
    """How a query that has no rows yet becomes a table."""
    if hasattr(data, "collect"):
        return "; call its collect() for a table"
    if hasattr(data, "sql") and hasattr(data, "execute"):
        return "; use the relation that its sql('...') returns"
    return ""


# --- Lists ------------------------------------------------------------------------------------------------------


class ListSource(CountedSource):
    """Rows from Python objects, such as from XCom, a parameter or a generator.

    :param items: dictionaries, or rows with named values, such as of SQLAlchemy; texts, for ids.
    :param shaping: how flat dictionaries become products.
    :param name: its name, for messages.
    """

    def __init__(self, items: Iterable[Any], shaping: Shaping, name: str = "the list of products") -> None:
        super().__init__(name)
        self._items = items
        self._shaping = shaping
        self.notes = shaping.notes

    def _read(self) -> Iterator[Batch]:
        chunks = self._chunks()
        return map(_dumped, chunks) if self._shaping.is_plain else self._shaping.batches(chunks)

    def _chunks(self) -> Iterator[Records]:
        numbered = enumerate(self._items)
        while records := list(islice(numbered, BATCH_ROWS)):
            yield Records([(at, item if type(item) is dict else as_mapping(item)) for at, item in records])


def _dumped(chunk: Records) -> Batch:
    rows, at, refused = [], [], []
    for place, item in chunk.records:
        try:
            rows.append(dump(item))
            at.append(place)
        except (TypeError, ValueError) as error:
            row = repr(item).encode("utf-8", "backslashreplace")
            refused.append(Refused(row, place, [Problem(f"cannot be written as JSON: {error}")]))
    return Batch(rows, at, refused)


# --- Files ------------------------------------------------------------------------------------------------------

_SUFFIXES: dict[str, Format] = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}


class _Fingerprinting:
    """A file that records the size and the hash of the bytes read from it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = sha256()
        self.size = 0

    def read(self, size: int = -1, /) -> bytes:
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
    :param shaping: how its columns become products.
    :param encoding: ``auto`` or the name of an encoding.
    :param items: the field with the list, if a JSON file is an object.
    """

    def __init__(
        self,
        path: StoragePath,
        source_format: Format | None,
        shaping: Shaping,
        *,
        encoding: str = AUTO,
        items: str | None = None,
    ) -> None:
        super().__init__(str(path))
        self._path = path
        self._format = source_format
        self._shaping = shaping
        self.notes = shaping.notes
        self._encoding = encoding
        self._items = items
        self._fingerprint = Fingerprint(self.name, 0, "")
        self._place: Place = by_line

    def batches(self) -> Iterator[Batch]:
        self.notes.clear()
        # A rejects file is always UTF-8, whatever the encoding of its source.
        encoding = AUTO if self._encoding != AUTO and self._begins_as_rejects() else self._encoding
        with self._opened() as file:
            reading = _Fingerprinting(file)
            blocks = text_blocks(reading, self.name, encoding)
            head = next(blocks, b"")
            kind = self._format or _sniff(self._path.name, head)
            if kind != "json" and is_rejects_file(head):
                kind = "json" if PRETTY.match(head) else "ndjson"
            if self._items is not None:
                kind = "json"
            if kind == "parquet":
                self._place = by_position
                yield from read_parquet(file, self.name, self._shaping)
                # pyarrow seeks in the file; the fingerprint needs the rest after the head in order.
                file.seek(reading.size)
            elif kind == "csv":
                self._place = by_line
                yield from read_csv(_chained(head, blocks), self.name, self._shaping, self.notes)
            else:
                read, self._place = READERS[kind]
                yield from unwrapped(read(Blocks(self.name, head, blocks, self._items)), self._shaping)
            while reading.read(BLOCK):
                pass
            self._fingerprint = reading.fingerprint(self.name)

    def place(self, at: int) -> tuple[int | None, str]:
        return self._place(at)

    def fingerprint(self) -> Fingerprint:
        return self._fingerprint

    def _begins_as_rejects(self) -> bool:
        with self._opened() as file:
            try:
                return is_rejects_file(next(text_blocks(file, self.name), b""))
            except MiraklInputError:
                return False

    @contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        """Open the file, and turn its failures into clear errors."""
        try:
            with self._path.open("rb") as file:
                yield file
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            if self._path.is_dir():
                raise unreadable("source", self.name, IsADirectoryError()) from None
            raise unreadable("source", self.name, error) from None
        except OSError as error:
            raise unreadable("source", self.name, error) from None


def _chained(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from rest


_LIST = re.compile(rb"\s*\[")
_OBJECT = re.compile(rb'\s*[{"]')


def _sniff(name: str, head: bytes) -> Format:
    """Detect the format: a table by the file's name, JSON by its first characters."""
    lowered = name.lower().removesuffix(".gz")
    for suffix, known in _SUFFIXES.items():
        if lowered.endswith(suffix):
            return known
    if head.startswith(b"PAR1"):
        return "parquet"
    if _LIST.match(head) or PRETTY.match(head) or wrapped_in(head) == "products":
        return "json"
    if _OBJECT.match(head) or lowered.endswith((".json", ".ndjson", ".jsonl")):
        return "ndjson"
    return "csv"
