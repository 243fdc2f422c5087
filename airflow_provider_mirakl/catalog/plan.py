"""Plan first: one pass over the source decides everything that will be sent.

A plan is a folder::

    products.ndjson   the rows that will be sent, one a line, the bytes of the source
    rejects.ndjson    the rows that will not be sent, with every reason; valid input again once mended
    plan.json         counts and chunks; written last, so a folder without it holds no plan

A chunk is an offset, a length and a number of products in ``products.ndjson``: sending and resuming read that chunk
alone.
"""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import IO, Any, Literal, NamedTuple, cast

import msgspec

from airflow_provider_mirakl.catalog.product import (
    MAX_PRODUCTS_PER_CALL,
    Checker,
    OpenProduct,
    Product,
    ProductIdentifier,
    RowError,
)
from airflow_provider_mirakl.catalog.source import Batch, Fingerprint, Format, Source, open_source
from airflow_provider_mirakl.catalog.storage import (
    BLOCK,
    Spill,
    StoragePath,
    plain,
    remove,
    write_bytes,
    writing,
)
from airflow_provider_mirakl.exceptions import MiraklInputError, Problem

Kind = Literal["upsert", "delete"]

PLAN_FILE = "plan.json"
PRODUCTS_FILE = "products.ndjson"
REJECTS_FILE = "rejects.ndjson"
FORMAT_VERSION = 1
MAX_CHUNK_BYTES = 10_000_000
"""Default cap on the bytes of one call. Mirakl publishes none: this is a guess on the safe side."""
KEPT_PROBLEMS = 100
"""Problems an error carries as data; the rejects file has them all."""


class Chunk(NamedTuple):
    """One call's worth of ``products.ndjson``.

    :param offset: where it begins, in bytes.
    :param length: how long it is, in bytes.
    :param products: how many products it holds.
    """

    offset: int
    length: int
    products: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be sent.

    :param kind: ``upsert`` or ``delete``.
    :param folder: where the plan lies.
    :param source: what the source was when it was read.
    :param options: hash of the options the plan was made with.
    :param rows: rows read, good and bad.
    :param rejected: rows that will not be sent because something is wrong with them.
    :param repeated: ids named more than once in a delete and taken once.
    :param chunks: the calls to make, in order.
    """

    kind: Kind
    folder: StoragePath = field(compare=False)
    source: Fingerprint
    options: str
    rows: int
    rejected: int
    repeated: int
    chunks: tuple[Chunk, ...]

    @property
    def products(self) -> int:
        """Products that will be sent."""
        return sum(chunk.products for chunk in self.chunks)

    @property
    def bytes(self) -> int:
        """Bytes that will be sent, without the few around each call."""
        return sum(chunk.length for chunk in self.chunks)

    @property
    def id(self) -> str:
        """A name for exactly this plan: the same source content and options give the same id."""
        seed = msgspec.json.encode((self.kind, self.source.digest, self.options, self.chunks))
        return blake2b(seed, digest_size=8).hexdigest()

    @property
    def rejects(self) -> StoragePath | None:
        """The rejects file, ``None`` when nothing was rejected."""
        return self.folder / REJECTS_FILE if self.rejected else None

    def estimate(self, interval_seconds: float = 60.0, *, sent_chunks: int = 0) -> float:
        """Return how many minutes the calls will take.

        :param interval_seconds: pause Mirakl asks for between two calls.
        :param sent_chunks: chunks that are sent already.
        """
        waits = len(self.chunks) - max(sent_chunks, 1)
        return max(waits, 0) * interval_seconds / 60

    def describe(self, interval_seconds: float = 60.0) -> str:
        """Return the plan as one line for a person."""
        calls = len(self.chunks)
        minutes = self.estimate(interval_seconds)
        text = (
            f"{self.products:,} products to {self.kind} in {calls:,} {'call' if calls == 1 else 'calls'}, "
            f"{self.bytes / 1e6:,.1f} MB, about {minutes:,.0f} min at one call every {interval_seconds:g} s"
        )
        if self.repeated:
            text += f"; {self.repeated:,} ids were named more than once"
        if self.rejected:
            text += f"; {self.rejected:,} rows rejected, see {self.rejects}"
        return text

    def save(self) -> None:
        """Write ``plan.json``: from here on the folder holds a plan."""
        content = {
            "format": FORMAT_VERSION,
            "kind": self.kind,
            "source": self.source,
            "options": self.options,
            "rows": self.rows,
            "rejected": self.rejected,
            "repeated": self.repeated,
            "chunks": self.chunks,
        }
        write_bytes(plain(self.folder) / PLAN_FILE, msgspec.json.encode(content))

    @classmethod
    def load(cls, folder: StoragePath | str) -> Plan:
        """Read a plan back.

        :raises MiraklInputError: the folder holds no plan, a broken one, or one of a newer version.
        """
        folder = plain(folder)
        path = folder / PLAN_FILE
        try:
            content = msgspec.json.decode(path.read_bytes(), type=_Content)
        except FileNotFoundError:
            raise MiraklInputError(f"{folder} holds no plan: {PLAN_FILE} is missing") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise MiraklInputError(f"{path} is no plan of this version: {error}; plan again") from error
        return cls(
            kind=content.kind,
            folder=folder,
            source=content.source,
            options=content.options,
            rows=content.rows,
            rejected=content.rejected,
            repeated=content.repeated,
            chunks=tuple(content.chunks),
        )


class _Content(msgspec.Struct, tag_field="format", tag=FORMAT_VERSION):
    """``plan.json`` as it is read."""

    kind: Kind
    source: Fingerprint
    options: str
    rows: int
    rejected: int
    repeated: int
    chunks: list[Chunk]


# --- Making a plan ----------------------------------------------------------------------------------------------


def plan_upsert(
    source: StoragePath | str | Iterable[Mapping[str, Any]] | Source,
    folder: StoragePath | str,
    *,
    source_format: Format | None = None,
    on_invalid: Literal["fail", "reject"] = "fail",
    unknown_fields: Literal["refuse", "send"] = "refuse",
    max_products: int = MAX_PRODUCTS_PER_CALL,
    max_chunk_bytes: int = MAX_CHUNK_BYTES,
) -> Plan:
    """Validate products and lay out the calls that upsert them.

    :param source: a file (path object, or text for a local path) or a list of dictionaries.
    :param folder: where the plan goes; made if missing. An older plan in it is replaced.
    :param source_format: format of the file; default by name and content.
    :param on_invalid: ``fail`` reads on to the end and then raises, ``reject`` sends the good rows.
    :param unknown_fields: ``refuse`` top-level fields Connect does not document, or ``send`` them as they are.
    :param max_products: products in one call, 1 to 1,000.
    :param max_chunk_bytes: bytes in one call.
    :return: the plan, saved in the folder.
    :raises MiraklInputError: the source cannot be read, or ``fail`` and rows are wrong; the rejects file then names
        every one of them and the folder holds no plan.
    """
    checker: Checker[Product] = Checker(OpenProduct if unknown_fields == "send" else Product)

    def prepare(row: bytes) -> tuple[str, bytes]:
        return checker.check(row).id, row

    options = {"format": source_format, "unknown_fields": unknown_fields, "on_invalid": on_invalid}
    layout = _Layout(max_products, max_chunk_bytes)
    return _Planner("upsert", open_source(source, source_format), plain(folder), layout, options).run(
        prepare, on_invalid
    )


def plan_delete(
    source: StoragePath | str | Iterable[Mapping[str, Any] | str] | Source,
    folder: StoragePath | str,
    *,
    source_format: Format | None = None,
    on_invalid: Literal["fail", "reject"] = "fail",
    max_products: int = MAX_PRODUCTS_PER_CALL,
    max_chunk_bytes: int = MAX_CHUNK_BYTES,
) -> Plan:
    """Lay out the calls that delete products.

    :param source: ids: a list of texts, or of objects with an ``id`` whose other fields are left aside; or a file of
        such, for instance an exported catalog.
    :param folder: where the plan goes; made if missing. An older plan in it is replaced.
    :param source_format: format of the file; default by name and content.
    :param on_invalid: ``fail`` reads on to the end and then raises, ``reject`` deletes by the good rows.
    :param max_products: products in one call, 1 to 1,000.
    :param max_chunk_bytes: bytes in one call.
    :return: the plan, saved in the folder. An id named twice is taken once: deleting twice is deleting.
    :raises MiraklInputError: as for :func:`plan_upsert`.
    """
    checker = Checker(ProductIdentifier)

    def prepare(row: bytes) -> tuple[str, bytes]:
        item_id = checker.check(b'{"id":%s}' % row if row.startswith(b'"') else row).id
        return item_id, b'{"id":%s}' % msgspec.json.encode(item_id)

    options = {"format": source_format, "on_invalid": on_invalid}
    layout = _Layout(max_products, max_chunk_bytes)
    return _Planner("delete", open_source(source, source_format), plain(folder), layout, options).run(
        prepare, on_invalid
    )


Prepare = Callable[[bytes], tuple[str, bytes]]


class _Layout:
    """Cuts rows into chunks.

    :param max_products: products in one chunk.
    :param max_bytes: bytes in one chunk.
    """

    def __init__(self, max_products: int, max_bytes: int) -> None:
        if not 1 <= max_products <= MAX_PRODUCTS_PER_CALL:
            raise MiraklInputError(
                f"max_products: {max_products} is out of range; Connect takes 1 to {MAX_PRODUCTS_PER_CALL} in one call"
            )
        if max_bytes < 1:
            raise MiraklInputError(f"max_chunk_bytes: {max_bytes} is out of range; give 1 or more")
        self.max_products = max_products
        self.max_bytes = max_bytes
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self._closed: list[Chunk] = []
        self._offset = 0
        self._length = 0
        self._count = 0

    def add(self, rows: list[bytes]) -> None:
        """Place rows, each followed by a line end."""
        max_products, max_bytes = self.max_products, self.max_bytes
        length, count = self._length, self._count
        for row in rows:
            size = len(row) + 1
            if count == max_products or (count and length + size > max_bytes):
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


class _Rejects:
    """Writes the rejects file, which exists only when there is something in it.

    :param source: where the rows came from.
    :param path: the rejects file.
    :param stack: closes the file.
    """

    def __init__(self, source: Source, path: StoragePath, stack: ExitStack) -> None:
        self._source = source
        self._path = path
        self._stack = stack
        self._file: IO[bytes] | None = None
        self._buffer = bytearray()
        self.rows = 0
        self.problem_count = 0
        self.kept: list[Problem] = []

    def add(self, row: bytes, at: int, problems: list[Problem], item_id: str | None = None) -> None:
        """Reject a row."""
        line, prefix = self._source.place(at)
        placed = [
            Problem(
                problem.message,
                field=".".join(part for part in (prefix, problem.field) if part),
                line=line,
                item_id=problem.item_id,
            )
            for problem in problems
        ]
        self.rows += 1
        self.problem_count += len(placed)
        self.kept += placed[: KEPT_PROBLEMS - len(self.kept)]
        entry = {
            "line": line,
            "id": item_id,
            "problems": [
                ": ".join(part for part in (problem.field, problem.message) if part) for problem in placed
            ],
            "row": _raw_or_text(row),
        }
        self._buffer += msgspec.json.encode(entry) + b"\n"
        if len(self._buffer) > BLOCK:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting."""
        if not self._buffer:
            return
        if self._file is None:
            self._file = self._stack.enter_context(writing(self._path))
        self._file.write(self._buffer)
        self._buffer.clear()


def _raw_or_text(row: bytes) -> msgspec.Raw | str:
    try:
        msgspec.json.decode(row)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return row.decode("utf-8", "backslashreplace")
    return msgspec.Raw(row)


_PARTITIONS = 256
_FLUSH_IDS = 1 << 20
_RANGE_BITS = 16


class _Repeats:
    """Finds ids that occur twice, with memory for a part of them only.

    Ids are held as 64-bit hashes (keyed afresh in every process) in 256 groups that move to disk when they are many.
    Two different ids are taken for one with a probability of 3 in 100 million for a million products.
    """

    def __init__(self) -> None:
        self._groups = [array("q") for _ in range(_PARTITIONS)]
        self._held = 0
        self._spill = Spill(memory=0)

    def add(self, ids: list[str], at: list[int]) -> None:
        """Note ids and their places."""
        groups = self._groups
        for key, place in zip(map(hash, ids), at, strict=True):
            group = groups[key & 255]
            group.append(key)
            group.append(place)
        self._held += len(ids)
        if self._held > _FLUSH_IDS:
            for number, group in enumerate(groups):
                self._spill.add(number, group.tobytes())
                del group[:]
            self._held = 0

    def resolve(self) -> Spill | None:
        """Return (place, first place) of every repeated id, grouped by ranges of places; ``None`` if there is none."""
        found: Spill | None = None
        for number, held in enumerate(self._groups):
            group = array("q", self._spill.read(number)) + held
            keys = group[::2]
            if len(set(keys)) == len(keys):
                continue
            found = found or Spill()
            first: dict[int, int] = {}
            for key, place in zip(keys, group[1::2], strict=True):
                earlier = first.setdefault(key, place)
                if earlier != place:
                    found.add(place >> _RANGE_BITS, array("q", (place, earlier)).tobytes())
        self._spill.close()
        return found


class _Planner:
    """One run over a source."""

    def __init__(
        self, kind: Kind, source: Source, folder: StoragePath, layout: _Layout, options: dict[str, Any]
    ) -> None:
        self._kind = kind
        self._source = source
        self._folder = folder
        self._layout = layout
        self._options = {
            **options,
            "max_products": layout.max_products,
            "max_chunk_bytes": layout.max_bytes,
        }
        self._rows = 0
        self._repeated = 0

    def run(self, prepare: Prepare, on_invalid: Literal["fail", "reject"]) -> Plan:
        """Read, check, write and return the plan."""
        folder = self._folder
        folder.mkdir(parents=True, exist_ok=True)
        own = [folder / name for name in (PLAN_FILE, PRODUCTS_FILE, REJECTS_FILE)]
        if self._source.name in map(str, own):
            raise MiraklInputError(
                f"{self._source.name} would be replaced while it is read; plan in another folder"
            )
        for path in own:
            remove(path)
        with ExitStack() as stack:
            rejects = _Rejects(self._source, folder / REJECTS_FILE, stack)
            repeats = _Repeats()
            places = stack.enter_context(tempfile.TemporaryFile(prefix="mirakl-places-"))
            with writing(folder / PRODUCTS_FILE) as spool:
                for batch in self._source.batches():
                    self._take(batch, prepare, rejects, repeats, spool, places)
            found = repeats.resolve()
            if found is not None:
                self._drop(found, rejects, places)
            rejects.flush()
        if rejects.rows and on_invalid == "fail":
            remove(folder / PRODUCTS_FILE)
            raise MiraklInputError(
                f"{self._source.name}: {rejects.rows:,} of {self._rows:,} rows are wrong, nothing was sent; "
                f"all of them are listed in {folder / REJECTS_FILE}",
                rejects.kept,
                problem_count=rejects.problem_count,
            )
        options = msgspec.json.encode(self._options, order="sorted")
        plan = Plan(
            kind=self._kind,
            folder=folder,
            source=self._source.fingerprint(),
            options=blake2b(options, digest_size=8).hexdigest(),
            rows=self._rows,
            rejected=rejects.rows,
            repeated=self._repeated,
            chunks=self._layout.chunks(),
        )
        plan.save()
        return plan

    def _take(
        self,
        batch: Batch,
        prepare: Prepare,
        rejects: _Rejects,
        repeats: _Repeats,
        spool: IO[bytes],
        places: IO[bytes],
    ) -> None:
        """Check a batch and write its good rows."""
        good: list[bytes] = []
        ids: list[str] = []
        at: list[int] = []
        longest = self._layout.max_bytes - 1
        for row, place in zip(batch.rows, batch.at, strict=True):
            try:
                item_id, row = prepare(row)
                if len(row) > longest:
                    raise RowError([Problem(_too_big(row, longest), item_id=item_id)], item_id)
            except RowError as error:
                rejects.add(row, place, error.problems, error.item_id)
                continue
            good.append(row)
            ids.append(item_id)
            at.append(place)
        for refused in batch.refused:
            rejects.add(refused.row, refused.at, refused.problems)
        self._rows += len(batch.rows) + len(batch.refused)
        if good:
            self._layout.add(good)
            repeats.add(ids, at)
            spool.write(b"\n".join(good) + b"\n")
            places.write(array("q", at).tobytes())

    def _drop(self, found: Spill, rejects: _Rejects, places: IO[bytes]) -> None:
        """Write the products again without those whose id came before."""
        places.seek(0)
        self._layout.clear()
        path = self._folder / PRODUCTS_FILE
        drops: dict[int, int] = {}
        current = -1
        with path.open("rb") as old, writing(path) as spool:
            for rows in _row_lists(old):
                kept: list[bytes] = []
                at = array("q", places.read(8 * len(rows)))
                for row, place in zip(rows, at, strict=True):
                    if place >> _RANGE_BITS != current:
                        current = place >> _RANGE_BITS
                        pairs = array("q", found.read(current))
                        drops = dict(zip(pairs[::2], pairs[1::2], strict=True))
                    earlier = drops.get(place)
                    if earlier is None:
                        kept.append(row)
                    elif self._kind == "delete":
                        self._repeated += 1
                    else:
                        self._reject_repeat(row, place, earlier, rejects)
                if kept:
                    self._layout.add(kept)
                    spool.write(b"\n".join(kept) + b"\n")
        found.close()

    def _reject_repeat(self, row: bytes, place: int, earlier: int, rejects: _Rejects) -> None:
        item_id = msgspec.json.decode(row, type=ProductIdentifier).id
        line, prefix = self._source.place(earlier)
        first = " ".join(part for part in (f"line {line}" if line is not None else "", prefix) if part)
        problem = Problem(f"the same id stands in {first} already; keep one of them", "id", item_id=item_id)
        rejects.add(row, place, [problem], item_id)


def _too_big(row: bytes, longest: int) -> str:
    return f"the product has {len(row):,} bytes; max_chunk_bytes leaves room for {longest:,}"


def _row_lists(file: IO[bytes]) -> Iterator[list[bytes]]:
    """Yield the lines of a spool, block by block."""
    rest = b""
    while block := file.read(BLOCK):
        rows = (rest + block).split(b"\n")
        rest = rows.pop()
        if rows:
            yield rows


# --- Reading a plan ---------------------------------------------------------------------------------------------


def read_chunk(folder: StoragePath | str, chunk: Chunk) -> list[bytes]:
    """Read the products of one chunk; nothing before it is touched.

    :param folder: the plan's folder.
    :param chunk: one of :attr:`Plan.chunks`.
    :return: the products as JSON objects.
    :raises MiraklInputError: the file is not the one the plan was made with.
    """
    path = plain(folder) / PRODUCTS_FILE
    try:
        with path.open("rb") as file:
            file.seek(chunk.offset)
            data = cast("bytes", file.read(chunk.length))
    except FileNotFoundError:
        raise MiraklInputError(f"{path} is missing although the plan names it; plan again") from None
    rows = data.split(b"\n")
    if len(data) != chunk.length or rows.pop() or len(rows) != chunk.products:
        raise MiraklInputError(f"{path} was changed after the plan was made; plan again")
    return rows


def request_body(rows: Iterable[bytes]) -> bytes:
    """Return the body of an upsert or delete call, the products byte for byte as they are."""
    return b'{"products":[' + b",".join(rows) + b"]}"
