"""Plans: one pass over the source decides everything that will be sent.

A plan is a folder::

    products.ndjson   the rows that will be sent, one per line, as the bytes of the source
    rejects.ndjson    the rows that will not be sent, with every reason; valid input again once fixed
    plan.json         counts and chunks; written last, so a folder without it has no plan

A chunk is an offset, a length and a number of products in ``products.ndjson``: sending and resuming read only
that chunk.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal, cast

import msgspec

from airflow_provider_mirakl.catalog.columns import Columns
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
from airflow_provider_mirakl.exceptions import (
    MiraklInputError,
    MiraklMissingFileError,
    counted,
    duration,
    seconds,
)
from airflow_provider_mirakl.files.notes import NoteKind
from airflow_provider_mirakl.files.storage import StoragePath, plain, remove
from airflow_provider_mirakl.files.text import AUTO

log = logging.getLogger(__name__)

Kind = Literal["upsert", "delete"]

PLAN_FILE = "plan.json"


@dataclass(frozen=True, slots=True)
class Plan:
    """The calls to make, and their rows.

    :param kind: ``upsert`` or ``delete``.
    :param folder: the plan's folder.
    :param source: the identity of the source when it was read.
    :param options: hash of the options the plan was made with.
    :param rows: number of rows read, valid and invalid.
    :param rejected: number of rows that will not be sent because they are invalid.
    :param repeated: number of ids that occur more than once in a delete and are sent once.
    :param chunks: the calls to make, in order.
    """

    kind: Kind
    folder: StoragePath
    source: Fingerprint
    options: str
    rows: int
    rejected: int
    repeated: int
    chunks: tuple[Chunk, ...]

    @property
    def products(self) -> int:
        """Number of products that will be sent."""
        return sum(chunk.products for chunk in self.chunks)

    @property
    def bytes(self) -> int:
        """Bytes that will be sent, without the small overhead of each call."""
        return sum(chunk.length for chunk in self.chunks)

    @property
    def id(self) -> str:
        """An id of this plan: the same source content and options have the same id."""
        seed = msgspec.json.encode((self.kind, self.source.digest, self.options, self.chunks))
        return blake2b(seed, digest_size=8).hexdigest()

    @property
    def rejects(self) -> StoragePath | None:
        """The rejects file; ``None`` if nothing was rejected."""
        return self.folder / REJECTS_FILE if self.rejected else None

    def estimate(self, interval_seconds: float = 60.0, *, sent_chunks: int = 0) -> float:
        """Return how many minutes the calls will take.

        :param interval_seconds: Mirakl's interval between two calls.
        :param sent_chunks: number of chunks already sent.
        """
        waits = len(self.chunks) - max(sent_chunks, 1)
        return max(waits, 0) * interval_seconds / 60

    def describe(self, interval_seconds: float = 60.0) -> str:
        """Return a one-line description of the plan."""
        calls = len(self.chunks)
        text = (
            f"{counted(self.products, 'product')} to {self.kind} in {counted(calls, 'call')}, "
            f"{self.bytes / 1e6:,.1f} MB"
        )
        if calls > 1:
            wait = duration(self.estimate(interval_seconds) * 60)
            text += f", about {wait} at one call every {seconds(interval_seconds)}"
        if self.repeated:
            text += f"; {counted(self.repeated, 'id')} repeated"
        if self.rejected:
            text += f"; {counted(self.rejected, 'row')} rejected"
        return text

    def save(self) -> None:
        """Write ``plan.json``: from here on the folder has a plan."""
        content = _Content(
            self.kind, self.source, self.options, self.rows, self.rejected, self.repeated, list(self.chunks)
        )
        PLAN.at(self.folder).write(content)

    @classmethod
    def load(cls, folder: StoragePath | str) -> Plan:
        """Read a plan back.

        :raises MiraklInputError: the folder has no plan, a damaged one, or one of another version.
        """
        folder = plain(folder)
        content = PLAN.at(folder).read()
        if content is None:
            raise MiraklMissingFileError(
                f"{folder} does not contain a plan: this worker finds no {PLAN_FILE} there. The result of the "
                "operator that sends has its folder; with several workers it must be on storage that all of them "
                "can access ([mirakl] work_folder)",
                path=str(folder / PLAN_FILE),
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
    unknown_fields: Literal["reject", "send"] = "reject",
    locales: Sequence[str] = (),
    gtin_check: GtinCheck = "reject",
    normalize_gtins: bool = False,
    batch_size: int = MAX_PRODUCTS_PER_CALL,
    max_chunk_bytes: int = MAX_CHUNK_BYTES,
) -> Plan:
    """Validate products, and plan the calls that upsert them.

    :param source: a file (path object, or a string for a local path) or a list of dictionaries.
    :param folder: the folder of the plan; created if missing. An older plan in it is replaced.
    :param source_format: format of the file; default by name and content.
    :param columns: how flat columns become products; see :mod:`airflow_provider_mirakl.catalog.mapping`.
    :param encoding: encoding of a text file: ``auto``, or a name that Python knows, such as ``cp1252``.
    :param items: the field with the list, if a JSON file is an object.
    :param transform: a function that changes the rows before they are mapped, as ``package.module.function``.
    :param strip: remove white space from both ends of cells, and reject ids that contain it elsewhere; ``False`` keeps
        both as they are.
    :param on_invalid: ``fail`` reads the whole source and then raises, ``reject`` sends the valid rows.
    :param unknown_fields: ``reject`` fields and types of attributes that Connect does not document, or ``send`` them.
    :param locales: locales that texts may have; empty allows any.
    :param gtin_check: what to do about a wrong check digit: ``reject`` the product, ``warn`` in the log, or ``off``.
    :param normalize_gtins: correct GTINs if the right one is certain.
    :param batch_size: products in one call, 1 to 1,000.
    :param max_chunk_bytes: bytes in one call.
    :return: the plan, saved in the folder.
    :raises MiraklInputError: the source cannot be read, or rows are invalid with ``fail``; the rejects file then lists
        all of them, and the folder has no plan.
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
    """Plan the calls that delete products.

    :param source: ids: a list of strings, or of objects with an ``id`` whose other fields are ignored; or a file of
        these, for example an exported catalog.
    :param folder: the folder of the plan; created if missing. An older plan in it is replaced.
    :param source_format: format of the file; default by name and content.
    :param columns: how flat columns become products; see :mod:`airflow_provider_mirakl.catalog.mapping`.
    :param encoding: encoding of a text file: ``auto``, or a name that Python knows, such as ``cp1252``.
    :param items: the field with the list, if a JSON file is an object.
    :param transform: a function that changes the rows before they are mapped, as ``package.module.function``.
    :param strip: remove white space from both ends of cells, and reject ids that contain it elsewhere; ``False`` keeps
        both as they are.
    :param on_invalid: ``fail`` reads the whole source and then raises, ``reject`` deletes by the valid rows.
    :param batch_size: products in one call, 1 to 1,000.
    :param max_chunk_bytes: bytes in one call.
    :return: the plan, saved in the folder. A repeated id is sent once.
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
    """Prepare a folder for a plan: from here on it has none."""
    folder = plain(folder)
    folder.mkdir(parents=True, exist_ok=True)
    remove(folder / PLAN_FILE)
    return folder


def save(kind: Kind, folder: StoragePath, source: Source, laid: Laid, options: tuple[Any, ...]) -> Plan:
    """Make a plan of a layout, and write it.

    :param kind: ``upsert`` or ``delete``.
    :param folder: the folder of the rows.
    :param source: their source.
    :param laid: their layout.
    :param options: every option that influences the plan.
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
    """Read the products of one chunk, and only these.

    :param folder: the plan's folder.
    :param chunk: one of :attr:`Plan.chunks`.
    :return: the products as JSON objects.
    :raises MiraklInputError: the file has changed since the plan was made.
    """
    path = plain(folder) / PRODUCTS_FILE
    try:
        with path.open("rb") as file:
            file.seek(chunk.offset)
            data = cast("bytes", file.read(chunk.length))
    except FileNotFoundError:
        raise MiraklInputError(f"{path} is missing although the plan needs it; plan again") from None
    rows = data.split(b"\n")
    if len(data) != chunk.length or rows.pop() or len(rows) != chunk.products:
        raise MiraklInputError(f"{path} was changed after the plan was made; plan again")
    return rows


def request_body(rows: Iterable[bytes]) -> bytes:
    """Return the body of an upsert or delete call, with the products byte for byte."""
    return b'{"products":[' + b",".join(rows) + b"]}"
