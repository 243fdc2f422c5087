"""Makes a plan in one pass over a source: valid rows go to one file, invalid ones to another.

Memory holds one block of the source and a bounded part of the ids; data needed for the whole file goes to local
temporary files.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from array import array
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, Any, Literal, NamedTuple, Protocol, get_args

import msgspec

from airflow_provider_mirakl.catalog.product import MAX_PRODUCTS_PER_CALL, ProductIdentifier, RowError
from airflow_provider_mirakl.catalog.rejects import RejectsWriter, writable
from airflow_provider_mirakl.catalog.rows import Batch, Source
from airflow_provider_mirakl.exceptions import MiraklInputError, Problem, one_of
from airflow_provider_mirakl.files.storage import (
    Spill,
    StoragePath,
    line_blocks,
    remove,
    writing,
)

log = logging.getLogger(__name__)

OnInvalid = Literal["fail", "reject"]

PRODUCTS_FILE = "products.ndjson"
REJECTS_FILE = "rejects.ndjson"
MAX_CHUNK_BYTES = 10_000_000
"""Default cap on the bytes of one call. Mirakl publishes none: this is a cautious guess."""

Prepare = Callable[[bytes], tuple[str, bytes, Any]]
"""Checks a row and returns its id, the row to send, and a mark for the index; raises :class:`RowError`."""


class Chunk(NamedTuple):
    """The part of ``products.ndjson`` for one call.

    :param offset: its start, in bytes.
    :param length: its length, in bytes.
    :param products: its number of products.
    """

    offset: int
    length: int
    products: int


@dataclass(frozen=True, slots=True)
class Laid:
    """The layout of the rows.

    :param rows: number of rows read, valid and invalid.
    :param rejected: number of rows in the rejects file.
    :param repeated: number of repeated ids left out silently.
    :param chunks: the valid rows, divided for sending.
    """

    rows: int
    rejected: int
    repeated: int
    chunks: tuple[Chunk, ...]


class Drops(NamedTuple):
    """Valid rows that are not sent after all, known once the whole source has been read.

    :param rows: a bit for every valid row, set if it is dropped.
    :param repeats: of those, the rows whose id occurred in an earlier row: pairs (row, earlier row) of 64 bits, under
        the row's number without its last :data:`RANGE_BITS` bits. The earlier row is :data:`UNSEEN` if the index
        kept it from the planner.
    """

    rows: bytearray
    repeats: Spill

    def drop(self, row: int) -> None:
        """Leave a row out."""
        self.rows[row >> 3] |= 1 << (row & 7)

    def drop_repeat(self, row: int, earlier: int) -> None:
        """Leave a row out because an earlier one has its id."""
        self.drop(row)
        self.repeats.add(row >> RANGE_BITS, array("q", (row, earlier)).tobytes())


RANGE_BITS = 16
UNSEEN = -1


class Index(Protocol):
    """Stores the ids of a whole source, to determine at its end which rows are dropped."""

    def sift(self, batch: Batch) -> Batch:
        """Return a batch without the rows that need not be examined further."""

    def add(self, ids: list[str], marks: list[Any], first: int) -> None:
        """Note valid rows.

        :param ids: their ids.
        :param marks: the mark that ``prepare`` returned for each.
        :param first: number of the first one among the valid rows.
        """

    def note_rejected(self, item_id: str | None) -> None:
        """Note a rejected row, with its id if readable."""

    def resolve(self, rows: int) -> Drops | None:
        """Return the dropped ones of this many valid rows; ``None`` if there are none."""


class Layout:
    """Divides rows into chunks.

    :param batch_size: largest number of products in a chunk.
    :param max_bytes: largest number of bytes in a chunk.
    """

    def __init__(self, batch_size: int, max_bytes: int) -> None:
        if not 1 <= batch_size <= MAX_PRODUCTS_PER_CALL:
            raise MiraklInputError(
                f"batch_size {batch_size} is out of range; Connect accepts 1 to {MAX_PRODUCTS_PER_CALL} in one "
                "call"
            )
        if max_bytes < 1:
            raise MiraklInputError(f"max_chunk_bytes must be 1 or more, not {max_bytes}")
        self.batch_size = batch_size
        self.max_bytes = max_bytes
        self.clear()

    def clear(self) -> None:
        """Start over."""
        self._closed: list[Chunk] = []
        self._offset = 0
        self._length = 0
        self._count = 0

    def add(self, rows: list[bytes]) -> None:
        """Place rows, each followed by a line end."""
        batch_size, max_bytes = self.batch_size, self.max_bytes
        length, count = self._length, self._count
        for row in rows:
            size = len(row) + 1
            if count == batch_size or (count and length + size > max_bytes):
                self._closed.append(Chunk(self._offset, length, count))
                self._offset += length
                length = count = 0
            length += size
            count += 1
        self._length, self._count = length, count

    def chunks(self) -> tuple[Chunk, ...]:
        """Return the chunks of all rows so far."""
        last = [Chunk(self._offset, self._length, self._count)] if self._count else []
        return (*self._closed, *last)


_PARTITIONS = 256
_FLUSH_IDS = 1 << 20


class Repeats:
    """The index of a plain plan: finds ids that occur twice.

    Ids are held as 64-bit hashes (with a new key in every process) in 256 groups that move to disk when they grow.
    With a million products, the probability that two different ids collide is 3 in 100 million.
    """

    def __init__(self) -> None:
        self._groups = [array("q") for _ in range(_PARTITIONS)]
        self._held = 0
        self._spill = Spill(memory=0)

    def sift(self, batch: Batch) -> Batch:
        return batch

    def add(self, ids: list[str], marks: list[Any], first: int) -> None:
        groups = self._groups
        for row, key in enumerate(map(hash, ids), first):
            group = groups[key & 255]
            group.append(key)
            group.append(row)
        self._held += len(ids)
        if self._held > _FLUSH_IDS:
            for number, group in enumerate(groups):
                self._spill.add(number, group.tobytes())
                del group[:]
            self._held = 0

    def note_rejected(self, item_id: str | None) -> None:
        """Do nothing: a rejected row may repeat an id, and the valid one is sent."""

    def resolve(self, rows: int) -> Drops | None:
        drops: Drops | None = None
        for number, held in enumerate(self._groups):
            group = array("q", self._spill.read(number)) + held
            keys = group[::2]
            if len(set(keys)) == len(keys):
                continue
            drops = drops or Drops(bytearray(rows // 8 + 1), Spill())
            seen: dict[int, int] = {}
            for key, row in zip(keys, group[1::2], strict=True):
                earlier = seen.setdefault(key, row)
                if earlier != row:
                    drops.drop_repeat(row, earlier)
        self._spill.close()
        return drops


class Planner:
    """One run over a source.

    :param source: the source of the rows.
    :param folder: the folder of the files; it must exist.
    :param layout: divides the rows.
    :param index: stores the ids; default one that finds repeats.
    :param staged: the index will drop most rows, so they are buffered in a local temporary file and only the rest is
        written to the folder.
    :param keep_repeats_silent: a repeated id is not a problem; the row is left out.
    """

    def __init__(
        self,
        source: Source,
        folder: StoragePath,
        layout: Layout,
        *,
        index: Index | None = None,
        staged: bool = False,
        keep_repeats_silent: bool = False,
    ) -> None:
        self._source = source
        self._layout = layout
        self._index = index or Repeats()
        self._staged = staged
        self._silent = keep_repeats_silent
        self._products = folder / PRODUCTS_FILE
        self._rejects = folder / REJECTS_FILE
        self._rows = 0
        self._good = 0
        self._repeated = 0

    def run(self, prepare: Prepare, on_invalid: OnInvalid, guard: Callable[[], None] = lambda: None) -> Laid:
        """Read, check and write.

        Which rows are sent is known only at the end: a later row may repeat an id, and a sync learns from the whole
        source what is unchanged. Holding the rows in memory until then is out of the question, and so is a second pass
        over the source, which may be a stream or change meanwhile. So the good rows are written as they come, and
        written again without those that drop out only if there are any:

        ====================  =================================  ===============================================
        step                  plain (a full upload)              ``staged`` (a sync)
        ====================  =================================  ===============================================
        read and check        good rows to ``products.ndjson``   changed rows to a temporary file: most drop out
        index: what drops     repeated ids, usually none         repeated ids, unchanged rows
        nothing drops         done                               the rest to ``products.ndjson``
        rows drop             ``products.ndjson`` again, less    the rest to ``products.ndjson``
                              these
        rows were rejected    ``on_invalid='fail'``: no file     the same
                              of products is left, so
                              nothing can be sent
        ====================  =================================  ===============================================

        ``places`` remembers for each good row where it stood in the source, eight bytes a row on local disk, so that an
        error about a repeat names both lines.

        :param prepare: checks one row.
        :param on_invalid: what to do about rejected rows.
        :param guard: called when the whole source has been read, before anything is final; raises to stop.
        :raises MiraklInputError: the source cannot be read, or rows were rejected although ``on_invalid`` is ``fail``.
        """
        one_of("on_invalid", on_invalid, get_args(OnInvalid))
        own = (self._products, self._rejects)
        if self._source.name in map(str, own):
            raise MiraklInputError(
                f"{self._source.name} would be replaced while it is read; use another folder for the plan"
            )
        for path in own:
            remove(path)
        with ExitStack() as stack:
            rejects = RejectsWriter(self._source, self._rejects, stack)
            places = stack.enter_context(tempfile.TemporaryFile(prefix="mirakl-places-"))
            if self._staged:
                stage = stack.enter_context(tempfile.TemporaryFile(prefix="mirakl-rows-"))
                self._read(prepare, rejects, stage, places)
                stage.seek(0)
            else:
                with writing(self._products) as file:
                    self._read(prepare, rejects, file, places)
            drops = self._index.resolve(self._good)
            if drops is not None or self._staged:
                rows = stage if self._staged else stack.enter_context(self._products.open("rb"))
                self._rewrite(rows, drops, rejects, places)
            rejects.flush()
        try:
            if rejects.rows and on_invalid == "fail":
                raise rejects.error(self._rows)
            guard()
        except BaseException:
            remove(self._products)
            raise
        return Laid(self._rows, rejects.rows, self._repeated, self._layout.chunks())

    def _read(self, prepare: Prepare, rejects: RejectsWriter, file: IO[bytes], places: IO[bytes]) -> None:
        for batch in self._source.batches():
            self._take(batch, prepare, rejects, file, places)
        for note in self._source.notes:
            log.warning("%s", note)

    def _take(
        self, batch: Batch, prepare: Prepare, rejects: RejectsWriter, file: IO[bytes], places: IO[bytes]
    ) -> None:
        """Check a batch, and write its valid rows."""
        good: list[bytes] = []
        ids: list[str] = []
        marks: list[Any] = []
        at: list[int] = []
        longest = self._layout.max_bytes - 1
        self._rows += len(batch.rows) + len(batch.refused)
        batch = self._index.sift(batch)
        for row, place in zip(batch.rows, batch.at, strict=True):
            try:
                item_id, row, mark = prepare(row)
                if len(row) > longest:
                    raise RowError([Problem(_too_big(row, longest), item_id=item_id)], item_id)
            except RowError as error:
                named = None if error.item_id is None else writable(error.item_id)
                rejects.add(row, place, error.problems, named)
                self._index.note_rejected(named)
                continue
            good.append(row)
            ids.append(item_id)
            marks.append(mark)
            at.append(place)
        for refused in batch.refused:
            rejects.add(refused.row, refused.at, refused.problems, form=refused.form)
            self._index.note_rejected(None)
        if good:
            self._layout.add(good)
            self._index.add(ids, marks, self._good)
            self._good += len(good)
            file.write(b"\n".join(good) + b"\n")
            places.write(array("q", at).tobytes())

    def _rewrite(
        self, rows: IO[bytes], drops: Drops | None, rejects: RejectsWriter, places: IO[bytes]
    ) -> None:
        """Write the products again without the dropped ones."""
        drops = drops or Drops(bytearray(self._good // 8 + 1), Spill())
        dropped, repeats, held = drops.rows, dict[int, int](), -1
        self._layout.clear()
        number = 0
        with writing(self._products) as file:
            for block in line_blocks(rows):
                kept = []
                for row in block:
                    if not dropped[number >> 3] & 1 << (number & 7):
                        kept.append(row)
                    else:
                        if number >> RANGE_BITS != held:
                            held = number >> RANGE_BITS
                            pairs = array("q", drops.repeats.read(held))
                            repeats = dict(zip(pairs[::2], pairs[1::2], strict=True))
                        if number in repeats:
                            self._drop_repeat(row, number, repeats[number], rejects, places)
                    number += 1
                if kept:
                    self._layout.add(kept)
                    file.write(b"\n".join(kept) + b"\n")
        drops.repeats.close()

    def _drop_repeat(
        self, row: bytes, number: int, earlier: int, rejects: RejectsWriter, places: IO[bytes]
    ) -> None:
        if self._silent:
            self._repeated += 1
            return
        item_id = msgspec.json.decode(row, type=ProductIdentifier).id
        first = "an unchanged row"
        if earlier != UNSEEN:
            line, prefix = self._source.place(_place(places, earlier))
            first = " ".join(part for part in (f"line {line}" if line is not None else "", prefix) if part)
        problem = Problem(f"the same id is already in {first}; keep one of them", "id", item_id=item_id)
        rejects.add(row, _place(places, number), [problem], item_id)


def _place(places: IO[bytes], row: int) -> int:
    places.seek(8 * row)
    return int.from_bytes(places.read(8), sys.byteorder)


def _too_big(row: bytes, longest: int) -> str:
    return f"the product has {len(row):,} bytes, but max_chunk_bytes allows {longest:,}"
