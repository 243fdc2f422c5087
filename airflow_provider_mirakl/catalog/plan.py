"""Plan first: one pass over the source decides everything that will be sent.

A plan is a folder::

    products.ndjson   the rows that will be sent, one a line, the bytes of the source
    rejects.ndjson    the rows that will not be sent, with every reason; valid input again once mended
    plan.json         counts and chunks; written last, so a folder without it holds no plan

A chunk is an offset, a length and a number of products in ``products.ndjson``: sending and resuming read that chunk
alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal, cast

import msgspec

from airflow_provider_mirakl.catalog.mapping import Columns
from airflow_provider_mirakl.catalog.planner import (
    MAX_CHUNK_BYTES,
    PRODUCTS_FILE,
    REJECTS_FILE,
    Chunk,
    Laid,
    Layout,
    OnInvalid,
    Planner,
)
from airflow_provider_mirakl.catalog.product import (
    MAX_PRODUCTS_PER_CALL,
    Checker,
    GtinCheck,
    ProductChecker,
    ProductIdentifier,
)
from airflow_provider_mirakl.catalog.rows import Fingerprint, Source
from airflow_provider_mirakl.catalog.source import Format, open_source
from airflow_provider_mirakl.exceptions import MiraklInputError, seconds
from airflow_provider_mirakl.files.notes import NoteKind
from airflow_provider_mirakl.files.storage import StoragePath, plain, remove
from airflow_provider_mirakl.files.text import AUTO

log = logging.getLogger(__name__)

Kind = Literal["upsert", "delete"]

PLAN_FILE = "plan.json"


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
            f"{self.bytes / 1e6:,.1f} MB, about {minutes:,.0f} min at one call every {seconds(interval_seconds)}"
        )
        if self.repeated:
            text += f"; {self.repeated:,} ids were named more than once"
        if self.rejected:
            text += f"; {self.rejected:,} rows rejected, see {self.rejects}"
        return text

    def save(self) -> None:
        """Write ``plan.json``: from here on the folder holds a plan."""
        content = _Content(
            self.kind, self.source, self.options, self.rows, self.rejected, self.repeated, list(self.chunks)
        )
        PLAN.at(self.folder).write(content)

    @classmethod
    def load(cls, folder: StoragePath | str) -> Plan:
        """Read a plan back.

        :raises MiraklInputError: the folder does not hold a plan, or a damaged one, or one of another version.
        """
        folder = plain(folder)
        content = PLAN.at(folder).read()
        if content is None:
            raise MiraklInputError(
                f"{folder} does not hold a plan: {PLAN_FILE} does not exist there for this worker. The result of the "
                "operator that sends names its folder; with several workers it has to be on storage that all of them "
                "reach ([mirakl] work_folder)"
            )
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


class _Content(msgspec.Struct):
    """``plan.json``."""

    kind: Kind
    source: Fingerprint
    options: str
    rows: int
    rejected: int
    repeated: int
    chunks: list[Chunk]


PLAN = NoteKind(
    file=PLAN_FILE,
    holds="the calls that a task planned",
    type=_Content,
    damaged="stop",
    fix="Clear the task to plan again.",
    version=2,
)


# --- Making a plan ----------------------------------------------------------------------------------------------


def plan_upsert(
    source: StoragePath | str | Iterable[Mapping[str, Any]] | Source,
    folder: StoragePath | str,
    *,
    source_format: Format | None = None,
    columns: Columns | None = None,
    encoding: str = AUTO,
    items: str | None = None,
    transform: str | None = None,
    strip: bool = True,
    on_invalid: OnInvalid = "fail",
    unknown_fields: Literal["refuse", "send"] = "refuse",
    locales: Sequence[str] = (),
    gtin_check: GtinCheck = "reject",
    normalize_gtins: bool = False,
    batch_size: int = MAX_PRODUCTS_PER_CALL,
    max_chunk_bytes: int = MAX_CHUNK_BYTES,
) -> Plan:
    """Validate products and lay out the calls that upsert them.

    :param source: a file (path object, or text for a local path) or a list of dictionaries.
    :param folder: where the plan goes; made if missing. An older plan in it is replaced.
    :param source_format: format of the file; default by name and content.
    :param columns: how flat columns become products; see :mod:`airflow_provider_mirakl.catalog.mapping`.
    :param encoding: encoding of a text file: ``auto``, or a name that Python knows, such as ``cp1252``.
    :param items: the field that holds the list, where a JSON file is an object around it.
    :param transform: a function that sees the rows before they are mapped, as ``package.module.function``.
    :param strip: take white space from both ends of cells, and refuse ids that have it elsewhere; ``False`` takes both
        as they are.
    :param on_invalid: ``fail`` reads on to the end and then raises, ``reject`` sends the good rows.
    :param unknown_fields: ``refuse`` fields and types of attributes that Connect does not document, or ``send`` them.
    :param locales: locales that texts may have; empty takes any.
    :param gtin_check: what a wrong check digit means: ``reject`` the product, ``warn`` in the log, or ``off``.
    :param normalize_gtins: write GTINs in Connect's form where only one can be meant.
    :param batch_size: products in one call, 1 to 1,000.
    :param max_chunk_bytes: bytes in one call.
    :return: the plan, saved in the folder.
    :raises MiraklInputError: the source cannot be read, or ``fail`` and rows are wrong; the rejects file then names
        every one of them and the folder holds no plan.
    """
    checker = ProductChecker(
        unknown_fields, locales, strip=strip, gtin_check=gtin_check, normalize_gtins=normalize_gtins
    )

    def prepare(row: bytes) -> tuple[str, bytes, None]:
        item, row = checker.prepare(row)
        return item.id, row, None

    folder = begin(folder)
    rows = open_source(
        source, source_format, columns, encoding=encoding, items=items, transform=transform, strip=strip
    )
    laid = Planner(rows, folder, Layout(batch_size, max_chunk_bytes)).run(prepare, on_invalid)
    for note in checker.notes():
        log.warning("%s: %s", rows.name, note)
    options = (
        source_format,
        columns,
        on_invalid,
        unknown_fields,
        tuple(locales),
        encoding,
        items,
        transform,
        strip,
        gtin_check,
        normalize_gtins,
        batch_size,
        max_chunk_bytes,
    )
    return save("upsert", folder, rows, laid, options)


def plan_delete(
    source: StoragePath | str | Iterable[Mapping[str, Any] | str] | Source,
    folder: StoragePath | str,
    *,
    source_format: Format | None = None,
    columns: Columns | None = None,
    encoding: str = AUTO,
    items: str | None = None,
    transform: str | None = None,
    strip: bool = True,
    on_invalid: OnInvalid = "fail",
    batch_size: int = MAX_PRODUCTS_PER_CALL,
    max_chunk_bytes: int = MAX_CHUNK_BYTES,
) -> Plan:
    """Lay out the calls that delete products.

    :param source: ids: a list of texts, or of objects with an ``id`` whose other fields are left aside; or a file of
        such, for instance an exported catalog.
    :param folder: where the plan goes; made if missing. An older plan in it is replaced.
    :param source_format: format of the file; default by name and content.
    :param columns: how flat columns become products; see :mod:`airflow_provider_mirakl.catalog.mapping`.
    :param encoding: encoding of a text file: ``auto``, or a name that Python knows, such as ``cp1252``.
    :param items: the field that holds the list, where a JSON file is an object around it.
    :param transform: a function that sees the rows before they are mapped, as ``package.module.function``.
    :param strip: take white space from both ends of cells, and refuse ids that have it elsewhere; ``False`` takes both
        as they are.
    :param on_invalid: ``fail`` reads on to the end and then raises, ``reject`` deletes by the good rows.
    :param batch_size: products in one call, 1 to 1,000.
    :param max_chunk_bytes: bytes in one call.
    :return: the plan, saved in the folder. An id named twice is taken once: deleting twice is deleting.
    :raises MiraklInputError: as for :func:`plan_upsert`.
    """
    checker = Checker(ProductIdentifier, strip=strip)

    def prepare(row: bytes) -> tuple[str, bytes, None]:
        item_id = checker.check(b'{"id":%s}' % row if row.startswith(b'"') else row).id
        return item_id, b'{"id":%s}' % msgspec.json.encode(item_id), None

    folder = begin(folder)
    rows = open_source(
        source, source_format, columns, encoding=encoding, items=items, transform=transform, strip=strip
    )
    layout = Layout(batch_size, max_chunk_bytes)
    laid = Planner(rows, folder, layout, keep_repeats_silent=True).run(prepare, on_invalid)
    options = (
        source_format, columns, encoding, items, transform, strip, on_invalid, batch_size, max_chunk_bytes,
    )  # fmt: skip
    return save("delete", folder, rows, laid, options)


def begin(folder: StoragePath | str) -> StoragePath:
    """Make a folder ready for a plan: from here on it holds none."""
    folder = plain(folder)
    folder.mkdir(parents=True, exist_ok=True)
    remove(folder / PLAN_FILE)
    return folder


def save(kind: Kind, folder: StoragePath, source: Source, laid: Laid, options: tuple[Any, ...]) -> Plan:
    """Make a plan of what was laid out, and write it.

    :param kind: what the plan is for.
    :param folder: where the rows lie.
    :param source: where they came from.
    :param laid: how they lie.
    :param options: everything that would have made another plan.
    """
    plan = Plan(
        kind=kind,
        folder=folder,
        source=source.fingerprint(),
        options=blake2b(msgspec.json.encode(options), digest_size=8).hexdigest(),
        rows=laid.rows,
        rejected=laid.rejected,
        repeated=laid.repeated,
        chunks=laid.chunks,
    )
    plan.save()
    return plan


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
