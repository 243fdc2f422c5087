"""Delta: sends only changes since the last accepted state, and deletes products that left the source, up to a limit."""

from __future__ import annotations

import logging
import uuid
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from airflow_provider_mirakl.catalog.columns import Columns
from airflow_provider_mirakl.catalog.ledger import Ledger, resume
from airflow_provider_mirakl.catalog.plan import Plan, begin, plan_delete, save
from airflow_provider_mirakl.catalog.planner import (
    MAX_CHUNK_BYTES,
    UNSEEN,
    Drops,
    Layout,
    OnInvalid,
    Planner,
)
from airflow_provider_mirakl.catalog.product import (
    MAX_PRODUCTS_PER_CALL,
    GtinCheck,
    ProductChecker,
    content_hash,
    row_hash,
)
from airflow_provider_mirakl.catalog.rows import Batch, Source
from airflow_provider_mirakl.catalog.source import Format, open_source
from airflow_provider_mirakl.catalog.state import PARTITIONS, Known, State, partition
from airflow_provider_mirakl.exceptions import MiraklInputError, MiraklMissingFileError, one_of
from airflow_provider_mirakl.files.notes import NoteKind, Store
from airflow_provider_mirakl.files.sealed import SealedLines
from airflow_provider_mirakl.files.storage import Spill, StoragePath, plain, remove
from airflow_provider_mirakl.files.text import AUTO

log = logging.getLogger(__name__)

SYNC_FILE = "sync.json"
UPSERT_LEDGER, DELETE_LEDGER = "upsert/ledger.json", "delete/ledger.json"
_FLUSH_ROWS = 1 << 16

_Mark = tuple[str, int]
_Entry = tuple[str, _Mark | None, int]
_encode_lines = msgspec.json.Encoder().encode_lines
_decode_entries = msgspec.json.Decoder(_Entry).decode_lines


class _Content(msgspec.Struct):
    """``sync.json``."""

    state: str
    id: str
    known: int
    unchanged: int
    kept: int
    full: bool = False


SYNC = NoteKind(
    file=SYNC_FILE,
    holds="the state that a sync was planned on",
    type=_Content,
    damaged="stop",
    fix="Clear the task to plan again.",
    version=2,
)


@dataclass(frozen=True, slots=True)
class SyncPlan:
    """The plans of a sync: one of upserts and one of deletes; each may be empty.

    :param upsert: changed and new products, in ``upsert`` below the sync's folder.
    :param delete: products that left the source, in ``delete`` below the sync's folder.
    :param id: identifies the sync in the state.
    :param known: number of products in the state.
    :param unchanged: number of products of the source that need not be sent.
    :param kept: number of products that left the source and are not deleted, because deletes are off or a row without a
        readable id might be one of them.
    :param full: whether every product is sent, changed or not.
    """

    upsert: Plan
    delete: Plan
    state: State = field(compare=False)
    id: str
    known: int
    unchanged: int
    kept: int
    full: bool = False

    def ledgers(self, *, generation: str, store: Store | None = None) -> tuple[Ledger, Ledger]:
        """The progress of upserts and deletes.

        A plan that was made again, because its files were lost, continues where the first one ended: the state has
        every accepted chunk. Only a full sync relies on its ledger.

        :param generation: changes when the task is cleared.
        :param store: a second place for the notes.
        :raises MiraklNoteError: a full sync was planned again, from another source.
        """
        return (
            Ledger.open(
                self.upsert, generation=generation, store=store, name=UPSERT_LEDGER, follows=not self.full
            ),
            Ledger.open(self.delete, generation=generation, store=store, name=DELETE_LEDGER, follows=True),
        )

    def intend(self, plan: Plan, chunk_index: int) -> None:
        """Note in the state that a chunk is about to be sent.

        :param plan: :attr:`upsert` or :attr:`delete`.
        :param chunk_index: the chunk.
        :raises MiraklInputError: another sync was planned on the state meanwhile.
        """
        self.state.intend(plan, chunk_index, sync=self.id)

    def withdraw(self) -> None:
        """Note that Mirakl certainly did not accept the chunk of the last :meth:`intend`."""
        self.state.withdraw()

    def commit(self, plan: Plan, chunk_index: int) -> None:
        """Move the state forward for one accepted chunk; doing so twice changes nothing.

        :param plan: :attr:`upsert` or :attr:`delete`.
        :param chunk_index: the accepted chunk.
        :raises MiraklInputError: another sync was planned on the state meanwhile.
        """
        self.state.commit(plan, chunk_index, sync=self.id)

    def describe(self, interval_seconds: float = 60.0) -> str:
        """Return a description of the sync, one line per plan."""
        lines = [
            f"{self.unchanged:,} products unchanged of {self.known:,} known",
            self.upsert.describe(interval_seconds),
        ]
        if self.delete.chunks:
            lines.append(self.delete.describe(interval_seconds))
        if self.kept:
            lines.append(f"{self.kept:,} products left the source and are kept")
        return "\n".join(lines)

    @classmethod
    def load(cls, folder: StoragePath | str, state: StoragePath | str) -> SyncPlan:
        """Read a sync's plan back.

        :param folder: the sync's folder.
        :param state: the state it was planned on.
        :raises MiraklInputError: the folder has no sync, a damaged one, or one for another state.
        """
        folder = plain(folder)
        known = State(state)
        content = SYNC.at(folder).read()
        if content is None:
            raise MiraklMissingFileError(
                f"{folder} does not contain a sync: this worker finds no {SYNC_FILE} there; with several "
                "workers the folder must be on storage that all of them can access ([mirakl] work_folder)",
                path=str(folder / SYNC_FILE),
            )
        if content.state != str(known.folder):
            raise MiraklInputError(
                f"{folder / SYNC_FILE} was planned on the state {content.state}, not on {known.folder}"
            )
        return cls(
            Plan.load(folder / "upsert"),
            Plan.load(folder / "delete"),
            known,
            content.id,
            content.known,
            content.unchanged,
            content.kept,
            content.full,
        )


def is_planned(folder: StoragePath, *, generation: str, store: Store | None = None) -> bool:
    """Whether a previous try planned a sync in a folder, and its plans exist.

    :param folder: the sync's folder.
    :param generation: changes when the task is cleared.
    :param store: a second place for the notes.
    """
    plans = folder / "delete"  # planning writes the ledger of the deletes last
    return resume(plans, generation=generation, store=store, name=DELETE_LEDGER, follows=True) is not None


def doubt(
    folder: StoragePath, ids: Iterable[str], open_path: Callable[[str], StoragePath], *, reader: str
) -> StoragePath | None:
    """Let the next sync send products again, or delete them again, regardless of the state.

    :param folder: the folder of a sync; that of any other plan is ignored.
    :param ids: products that a read-back did not find as the sync sent them; may be empty.
    :param open_path: makes a path from a string.
    :param reader: identifies the task that read back: what it finds later replaces this, what others find does not.
    :return: the state's folder; ``None`` without a sync.
    :raises MiraklInputError: the sync or its state is damaged.
    """
    content = SYNC.at(folder).read()
    if content is None:
        return None
    state = State(open_path(content.state))
    state.doubt(ids, reader=f"{content.id}-{reader}")
    return state.folder


def plan_sync(
    source: StoragePath | str | Iterable[Mapping[str, Any]] | Source,
    folder: StoragePath | str,
    state: StoragePath | str,
    *,
    full: bool = False,
    on_missing: Literal["delete", "keep"] = "delete",
    max_delete_ratio: float = 0.1,
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
    owner: Sequence[str] = (),
) -> SyncPlan:
    """Compare a source with the state, and plan the calls for the differences.

    :param source: the whole catalog: a file (path object, or a string for a local path) or a list of dictionaries.
    :param folder: the folder of the plans; created if missing. An older sync in it is replaced.
    :param state: folder of the state, the same for every run; created with the first commit.
    :param full: send every product, changed or not.
    :param on_missing: ``delete`` products that are in the state but not in the source, or ``keep`` them.
    :param max_delete_ratio: largest share (0 to 1) of the products in the state that may be deleted.
    :param source_format: format of the file; default by name and content.
    :param columns: how flat columns become products; see :mod:`airflow_provider_mirakl.catalog.mapping`.
    :param encoding: encoding of a text file: ``auto``, or a name that Python knows, such as ``cp1252``.
    :param items: the field with the list, if a JSON file is an object.
    :param transform: a function that changes the rows before they are mapped, as ``package.module.function``.
    :param strip: remove white space from both ends of cells, and reject ids that contain it elsewhere; ``False`` keeps
        both as they are.
    :param on_invalid: ``fail`` reads the whole source and then raises, ``reject`` sends the valid rows. A rejected
        product is in the source, so it is never deleted; if a rejected row has no readable id, nothing is deleted.
    :param unknown_fields: ``reject`` fields and types of attributes that Connect does not document, or ``send`` them.
    :param locales: locales that texts may have; empty allows any.
    :param gtin_check: what to do about a wrong check digit: ``reject`` the product, ``warn`` in the log, or ``off``.
    :param normalize_gtins: correct GTINs if the right one is certain.
    :param batch_size: products in one call, 1 to 1,000.
    :param max_chunk_bytes: bytes in one call.
    :param owner: whose catalog it is, as ``client.settings.owner``; the state of another account is refused. Empty
        refuses none.
    :return: the two plans, saved in the folder. Only :meth:`SyncPlan.intend` and :meth:`SyncPlan.commit`
        change the state, and from now on only for this sync.
    :raises MiraklInputError: as for :func:`~airflow_provider_mirakl.catalog.plan.plan_upsert`, or more products left
        the source than ``max_delete_ratio`` allows. The state is unchanged.
    :raises MiraklConfigurationError: the state is that of another account.
    """
    one_of("on_missing", on_missing, ("delete", "keep"))
    if not 0 <= max_delete_ratio <= 1:
        raise MiraklInputError(f"max_delete_ratio must be a number from 0 to 1, not {max_delete_ratio}")
    folder = plain(folder)
    remove(folder / SYNC_FILE)
    known = State(state)
    sync_id = uuid.uuid4().hex
    known.begin(sync_id, owner)
    checker = ProductChecker(
        unknown_fields, locales, strip=strip, gtin_check=gtin_check, normalize_gtins=normalize_gtins
    )

    def prepare(row: bytes) -> tuple[str, bytes, _Mark]:
        item, row = checker.prepare(row)
        return item.id, row, (content_hash(item, row), row_hash(row))

    changes = Changes(known, full=full)
    upserts = begin(folder / "upsert")
    rows = open_source(
        source, source_format, columns, encoding=encoding, items=items, transform=transform, strip=strip,
        whole=on_missing == "delete",
    )  # fmt: skip
    planner = Planner(rows, upserts, Layout(batch_size, max_chunk_bytes), index=changes, staged=True)
    deletes = on_missing == "delete"
    laid = planner.run(
        prepare, on_invalid, lambda: _guard(changes, rows.name, max_delete_ratio) if deletes else None
    )
    for note in checker.notes():
        log.warning("%s: %s", rows.name, note)
    deleted = deletes and not changes.unreadable
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
        full,
        None if full else known.generation,  # a full plan does not depend on the state
    )
    upsert = save("upsert", upserts, rows, laid, options)
    delete = plan_delete(
        changes.missing() if deleted else [],
        folder / "delete",
        strip=False,  # these ids exist in Mirakl
        batch_size=batch_size,
        max_chunk_bytes=max_chunk_bytes,
    )
    plan = SyncPlan(
        upsert,
        delete,
        known,
        sync_id,
        known.products,
        changes.unchanged,
        0 if deleted else changes.missing_count,
        full,
    )
    content = _Content(str(known.folder), plan.id, plan.known, plan.unchanged, plan.kept, full)
    SYNC.at(folder).write(content)
    changes.close()
    return plan


def _guard(changes: Changes, source: str, max_delete_ratio: float) -> None:
    missing, known = changes.missing_count, changes.known
    # Divided, not multiplied: in floats 0.29 * 100 is less than 29, but 29 / 100 is 0.29.
    if changes.unreadable or not missing or missing / known <= max_delete_ratio:
        return
    examples = ", ".join(repr(item_id) for _, item_id in zip(range(5), changes.missing(), strict=False))
    raise MiraklInputError(
        f"{source}: {missing:,} of {known:,} products known to Mirakl are no longer in it ({missing / known:.1%}), "
        f"but max_delete_ratio allows {max_delete_ratio:.1%}; nothing was sent or deleted. Check that the source is "
        f"complete. Missing, for example: {examples}"
    )


class Changes:
    """The index of a sync: finds repeated ids, unchanged rows, and ids that left the source.

    A row whose very bytes are known is unchanged and is not compared any further. The others are compared by content,
    partition by partition, so that memory holds one partition of the state and of the source, and nine bytes of every
    known product. A dictionary of all ids would need some 150 bytes a product.

    ==========================  =======================  ===========================================================
    a row of the source         the state                result
    ==========================  =======================  ===========================================================
    the same bytes              has them                 unchanged (:meth:`sift`), and its product counts as met
    the same bytes again        met before               goes on to the comparison, which finds the repeated id
    other bytes, same content   has the id               unchanged; its new bytes are noted, so that the next sync
                                                         recognizes them at once
    other content               has the id               sent
    any                         does not have the id     sent
    rejected, with an id        has the id               not sent, and not missing: it is still in the source
    rejected, without an id     -                        may be any product, so no product is deleted
    no row                      has the id, not met      missing: deleted, within ``max_delete_ratio``
    ==========================  =======================  ===========================================================

    :param state: the state to compare with.
    :param full: treat every row as changed.
    """

    def __init__(self, state: State, *, full: bool) -> None:
        self._state = state
        self._full = full
        self._hashes = array("Q") if full else state.row_hashes()
        self._met = bytearray(len(self._hashes) // 8 + 1)
        self._parts: list[list[_Entry]] = [[] for _ in range(PARTITIONS)]
        self._held = 0
        self._spill = Spill()
        self._missing = Spill()
        self.known = state.products
        self.unchanged = 0
        self.missing_count = 0
        self.unreadable = 0

    def sift(self, batch: Batch) -> Batch:
        if not self._hashes:
            return batch
        hashes, met, end = self._hashes, self._met, len(self._hashes)
        rows: list[bytes] = []
        at: list[int] = []
        for row, place in zip(batch.rows, batch.at, strict=True):
            wanted = row_hash(row)
            position = bisect_left(hashes, wanted)
            bit = 1 << (position & 7)
            if position < end and hashes[position] == wanted and not met[position >> 3] & bit:
                met[position >> 3] |= bit
            else:
                rows.append(row)
                at.append(place)
        self.unchanged += len(batch.rows) - len(rows)
        return Batch(rows, at, batch.refused)

    def add(self, ids: list[str], marks: list[Any], first: int) -> None:
        parts = self._parts
        for row, (item_id, mark) in enumerate(zip(ids, marks, strict=True), first):
            parts[partition(item_id)].append((item_id, mark, row))
        self._held += len(ids)
        if self._held > _FLUSH_ROWS:
            self._flush()

    def note_rejected(self, item_id: str | None) -> None:
        if item_id is None:
            self.unreadable += 1
        else:
            self._parts[partition(item_id)].append((item_id, None, UNSEEN))

    def resolve(self, rows: int) -> Drops | None:
        self._flush()
        drops = Drops(bytearray(rows // 8 + 1), Spill())
        with ExitStack() as stack:
            refresh = _Refresh(self._state, stack)
            for number, known in enumerate(self._state.partitions()):
                self._compare(_decode_entries(self._spill.read(number)), known, drops, refresh)
                missing = sorted(item_id for item_id, (_, row) in known.items() if not self._was_met(row))
                self.missing_count += len(missing)
                self._missing.add(number, _encode_lines(missing))
            refresh.flush()
        self._spill.close()
        return drops

    def _compare(self, entries: list[_Entry], known: Known, drops: Drops, refresh: _Refresh) -> None:
        """Compare the rows of a partition; ``known`` keeps the products that were not among them."""
        seen: dict[str, int] = {}
        for item_id, mark, row in entries:
            former = known.pop(item_id, None)
            if former is not None and self._was_met(former[1]):
                seen[item_id] = UNSEEN
            if mark is None:
                continue
            earlier = seen.setdefault(item_id, row)
            if earlier != row:
                drops.drop_repeat(row, earlier)
            elif former is not None and former[0] == mark[0] and not self._full:
                drops.drop(row)
                self.unchanged += 1
                refresh.add(item_id, mark)

    def missing(self) -> Iterator[str]:
        """Yield the ids that left the source."""
        decode = msgspec.json.Decoder(str).decode_lines
        for number in self._missing.keys():  # noqa: SIM118 - no mapping
            yield from decode(self._missing.read(number))

    def close(self) -> None:
        """Free memory and disk."""
        self._missing.close()

    def _was_met(self, row: int) -> bool:
        if self._full:
            return False
        position = bisect_left(self._hashes, row)
        return bool(self._met[position >> 3] & 1 << (position & 7))

    def _flush(self) -> None:
        for number, part in enumerate(self._parts):
            if part:
                self._spill.add(number, _encode_lines(part))
                part.clear()
        self._held = 0


class _Refresh:
    """Stores the new bytes of products with unchanged content, so that the next sync need not examine them."""

    def __init__(self, state: State, stack: ExitStack) -> None:
        self._state = state
        self._stack = stack
        self._file: SealedLines | None = None
        self._waiting: list[tuple[str, str, int]] = []

    def add(self, item_id: str, mark: _Mark) -> None:
        self._waiting.append((item_id, *mark))
        if len(self._waiting) >= _FLUSH_ROWS:
            self.flush()

    def flush(self) -> None:
        if not self._waiting:
            return
        if self._file is None:
            self._file = self._stack.enter_context(self._state.refresh())
        self._file.write(_encode_lines(self._waiting))
        self._waiting.clear()
