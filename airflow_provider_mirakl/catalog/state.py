"""The known content of Mirakl's catalog: every accepted product with a hash of its content.

A state is a folder::

    state.json                     the current base, the ends of its partitions, and the sync that may change it
    base-000007.ndjson             ["id", hash of the content, hash of the bytes], in 256 partitions by id
    rows-000007.bin                only the hashes of the bytes, sorted: a row found here is unchanged
    journal/000007-<chunk>.sealed.ndjson  products accepted since, as in the base; both hashes null for a delete
    intents/<time>-<sync>-<id>.sealed.ndjson  the products of a call whose result is not known, or not yet

``state.json`` has the checksums of the base and its rows; the other files end with a seal
(:mod:`airflow_provider_mirakl.files.sealed`). Files of the version before have neither: their names lack ``.sealed``,
and its ``state.json`` lacks the checksums, until the next sync folds them into a new base.

A chunk that was accepted adds one journal file, so a crash loses nothing and nothing is written twice. The next sync
folds the journal into a new base; ``state.json`` is replaced atomically, and files that it does not name are ignored.
The former base and its journal are kept for one more generation: a sync that read ``state.json`` just before another
sync replaced it puts the former base in force again when it begins.

A product is uncertain if the reply of its call was lost, or if a read-back did not find it as it was sent. The state
keeps it with a content that no product has, so that the next sync sends or deletes it again. A read-back may end while
a sync begins. So its note counts in every later generation, until it is in a base.

A call without a reply may still arrive, even after a call of the next sync, and Mirakl keeps what comes last. So every
call has an intent: a file that is written before the call, and removed by the same process once its result is known.
What happens to call A of one sync while another sync B begins:

===============================  ==================  ==================================================================
A ended, or its worker was       the intent of A     what is known of the products of A
killed
===============================  ==================  ==================================================================
before the intent                none                A was never sent
after the intent                 stays               uncertain: B sends or deletes them again. A may arrive after B, so
                                                     they stay uncertain although B is accepted, and the next sync
                                                     sends them again, until the intent is an hour old
refused, or certainly not sent   removed             as before A
accepted, before the commit      stays               as after the intent
accepted, in the commit          stays               as after the intent: the journal of A may be too late for B
accepted, after the commit       removed             what A sent, and then what B sends
accepted, B had begun            removed             the commit notes them as uncertain, whatever B has committed
===============================  ==================  ==================================================================

B first notes itself in ``state.json`` and then reads the intents. A first writes its intent and then reads
``state.json``. So either B sees the intent, or A sees B and sends nothing.
"""

from __future__ import annotations

import logging
import re
import sys
import time
import uuid
from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import chain
from typing import IO
from zlib import crc32

import msgspec

from airflow_provider_mirakl.catalog.plan import Plan, read_chunk
from airflow_provider_mirakl.catalog.product import (
    OpenProduct,
    ProductIdentifier,
    content_hash,
    row_hash,
)
from airflow_provider_mirakl.exceptions import (
    MiraklConfigurationError,
    MiraklInputError,
    MiraklMissingFileError,
    MiraklNoteError,
    counted,
)
from airflow_provider_mirakl.files.notes import NoteKind
from airflow_provider_mirakl.files.owner import is_another
from airflow_provider_mirakl.files.sealed import SealedLines, sealed_lines, sealing
from airflow_provider_mirakl.files.storage import (
    Spill,
    StoragePath,
    is_file,
    names,
    plain,
    remove,
    writing,
)

PARTITIONS = 256
LONGEST_CALL = 3600.0
"""Seconds after which a call without a reply is taken as ended: it can no longer arrive after a newer one."""

log = logging.getLogger(__name__)

Known = dict[str, tuple[str, int]]
"""Ids with the hashes of content and bytes."""
_Entry = tuple[str, str | None, int | None]
_DOUBT = "", 0
_DOUBTED = "-z-doubt-"
_REFRESH = "a-refresh"
"""In the names of journal files of read-backs."""
_SEALED = ".sealed.ndjson"
_INTENT = re.compile(r"(?P<time>\d{11})-(?P<sync>.+)-[0-9a-f]{8}(\.sealed)?\.ndjson")

_encode_lines = msgspec.json.Encoder().encode_lines
_decode_known = msgspec.json.Decoder(tuple[str, str, int]).decode_lines
_decode_entry = msgspec.json.Decoder(_Entry).decode
_decode_entries = msgspec.json.Decoder(_Entry).decode_lines
_decode_open = msgspec.json.Decoder(OpenProduct).decode
_decode_id = msgspec.json.Decoder(ProductIdentifier).decode


class _Content(msgspec.Struct):
    """``state.json``."""

    generation: int = 0
    sync: str = ""
    products: int = 0
    ends: list[int] = msgspec.field(default_factory=list)
    intents: list[str] = msgspec.field(default_factory=list)
    """Intents whose products are uncertain in the base, or were made certain since."""
    base_checksum: int | None = None
    rows_checksum: int | None = None
    """CRC-32 of the files of the base; ``None`` for a base that the version before wrote."""
    owner: list[str] = msgspec.field(default_factory=list)
    """Whose catalog it is; empty until a sync of this version begins."""


_FIX = "Restore the folder of the state from a backup, or remove it to start over, which sends every product again."

STATE = NoteKind(
    file="state.json",
    holds="the known content of Mirakl's catalog",
    type=_Content,
    damaged="stop",
    fix=_FIX,
    version=2,
)


def partition(item_id: str) -> int:
    """Return the partition of an id, the same on every machine and in every version."""
    return crc32(item_id.encode()) % PARTITIONS


class State:
    """The state in a folder; a missing folder is an empty state.

    :param folder: path object, or a string for a local path.
    :raises MiraklInputError: the state cannot be read.
    """

    def __init__(self, folder: StoragePath | str) -> None:
        self.folder = plain(folder)
        self._content = self._load()
        self._intent: StoragePath | None = None

    @property
    def generation(self) -> int:
        """Number of the current base."""
        return self._content.generation

    @property
    def products(self) -> int:
        """Products in the base."""
        return self._content.products

    def require_begun(self) -> None:
        """Refuse a folder on which no sync has begun, though one was planned on it: it is not that state.

        :raises MiraklMissingFileError: it has no ``state.json``.
        """
        if not self._content.sync:
            raise MiraklMissingFileError(
                f"{self.folder} has no {STATE.file}, although this sync was planned on it: the folder was removed, or "
                "this machine cannot access it. With several machines, state must be on storage that workers and "
                "triggerers share",
                path=str(self.folder / STATE.file),
            )

    def row_hashes(self) -> array[int]:
        """Return the hashes of the bytes of every known product, sorted.

        :raises MiraklInputError: the file is missing or damaged.
        """
        hashes = array("Q")
        if not self._content.ends:
            return hashes
        path = self._rows(self.generation)
        with self._reading_base(path):
            data = path.read_bytes()
            if len(data) != self.products * hashes.itemsize:
                raise self._damaged(path, f"does not contain {self.products:,} products")
            self._compare(path, crc32(data), self._content.rows_checksum)
        hashes.frombytes(data)
        return hashes

    def partitions(self) -> Iterator[Known]:
        """Yield the base's partitions in order.

        :raises MiraklInputError: the base is missing or damaged.
        """
        if not self._content.ends:
            yield from ({} for _ in range(PARTITIONS))
            return
        path = self._base(self.generation)
        start = known = size = checksum = 0
        with self._reading_base(path), path.open("rb") as file:
            for end in self._content.ends:
                if end < start:
                    raise self._damaged(
                        self._note.path, "cannot be read: it has partitions that end before they begin"
                    )
                data = file.read(end - start)
                checksum = crc32(data, checksum)
                entries = _decode_known(data)
                known += len(entries)
                size += len(data)
                start = end
                yield {item_id: (content, row) for item_id, content, row in entries}
            if known != self.products:
                raise self._damaged(path, f"contains {known:,} products instead of {self.products:,}")
            if size != start:
                raise self._damaged(path, f"has {size:,} bytes instead of {start:,}")
            self._compare(path, checksum, self._content.base_checksum)

    # Intents are folded first, then journal files in the order of their names: certain entries override uncertain ones
    # from before the call.

    def intend(self, plan: Plan, chunk_index: int, *, sync: str) -> None:
        """Note that a chunk is about to be sent: its products are uncertain until :meth:`commit` or :meth:`withdraw`.

        :param plan: the plan of the chunk.
        :param chunk_index: the chunk's index.
        :param sync: the id of the sync, as passed to :meth:`begin`.
        :raises MiraklInputError: another sync has begun since.
        """
        # An earlier intent of this process stays: its call was not answered, and may still arrive.
        folder = self.folder / "intents"
        folder.mkdir(parents=True, exist_ok=True)
        self._intent = folder / f"{int(time.time()):011d}-{sync}-{uuid.uuid4().hex[:8]}{_SEALED}"
        with writing(self._intent) as file, sealing(file) as lines:
            lines.write(_uncertain(_ids(plan, chunk_index)))
        try:
            self._check(sync)
        except MiraklInputError:
            self.withdraw()
            raise

    def withdraw(self) -> None:
        """Note that the chunk was certainly not accepted. See :meth:`intend`."""
        if self._intent is not None:
            remove(self._intent)
            self._intent = None

    def commit(self, plan: Plan, chunk_index: int, *, sync: str) -> None:
        """Note that Mirakl accepted a chunk; doing so twice changes nothing. See :meth:`intend`.

        Products that are also in a call of another sync stay uncertain while that call may still arrive.

        Where another sync has begun since, Mirakl may have taken this chunk after one of the other sync: its products
        are uncertain, and the next sync sends or deletes them again.

        :raises MiraklInputError: another sync has begun since.
        """
        try:
            self._check(sync)
        except MiraklInputError:
            self._doubt_late(plan, chunk_index)
            self.withdraw()
            raise
        entries = [_entry(plan, row) for row in read_chunk(plan.folder, plan.chunks[chunk_index])]
        if open_ids := self._open_ids(sync):
            entries = [(entry[0], *_DOUBT) if entry[0] in open_ids else entry for entry in entries]
            if uncertain := sum(entry[1] == "" for entry in entries):
                log.warning(
                    "%s: an earlier call with %s of this chunk was not answered, and may still arrive; the next sync "
                    "sends or deletes them again.",
                    self.folder,
                    counted(uncertain, "product"),
                )
        with self._journal(f"{plan.kind}-{chunk_index:06d}-{plan.id}") as lines:
            lines.write(_encode_lines(entries))
        self.withdraw()

    def _open_ids(self, sync: str) -> set[str]:
        """The products of calls of other syncs that may still arrive."""
        return {
            entry[0]
            for name, of_sync, age in self._intents()
            if of_sync != sync and age < LONGEST_CALL
            for entry in self._entries(self.folder / "intents" / name)
        }

    def _intents(self) -> list[tuple[str, str, float]]:
        """Name, sync and age in seconds of each intent."""
        now = time.time()
        found = map(_INTENT.fullmatch, self._names("intents"))
        return [(match[0], match["sync"], now - int(match["time"])) for match in found if match]

    def doubt(self, ids: Iterable[str], *, reader: str) -> None:
        """Note that a read-back did not find products as they were sent.

        A sync that begins meanwhile may have listed the journal, but not this note; it leaves the note to the next one.

        :param ids: ids of the products; may be empty.
        :param reader: identifies the read-back; a second note of the same one replaces the first.
        """
        self._content = self._load()
        mine = re.compile(rf"\d{{6}}{_DOUBTED}{re.escape(reader)}-[0-9a-f]{{8}}{re.escape(_SEALED)}")
        earlier = [name for name in self._names("journal") if mine.fullmatch(name)]
        found = iter(ids)
        if (first := next(found, None)) is not None:
            # Its name is new: a sync removes the notes that it has read, and it may have read an earlier one.
            self._doubt(f"z-doubt-{reader}-{uuid.uuid4().hex[:8]}", chain((first,), found))
        for name in earlier:
            remove(self.folder / "journal" / name)

    def refresh(self) -> AbstractContextManager[SealedLines]:
        """Open a journal for products with known content and new bytes, which need not be sent."""
        return self._journal(_REFRESH)

    def check_owner(self, owner: Sequence[str]) -> None:
        """Refuse the state of another account, whose products are not those of this one.

        :param owner: whose catalog is to be changed; see :mod:`airflow_provider_mirakl.files.owner`.
        :raises MiraklConfigurationError: it is another account.
        """
        if is_another(self._content.owner, owner):
            raise MiraklConfigurationError(
                f"{self.folder} is the state of another account: the connection has another host, client id or company "
                "than when it was written. Nothing was sent. Set state to another folder for this account, or correct "
                "the connection; then clear the task. If it is the same account under another name, remove the folder, "
                "and the next run sends every product",
                field="state",
            )

    def begin(self, sync: str, owner: Sequence[str] = ()) -> None:
        """Let only a new sync change the state from now on, and fold journal and intents into a new base.

        Safe to interrupt at any time.

        :param sync: a name that no other sync has.
        :param owner: whose catalog the sync changes.
        :raises MiraklInputError: a third sync has begun meanwhile.
        :raises MiraklConfigurationError: the state is that of another account.
        """
        self.check_owner(owner)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._put_in_force(
            msgspec.structs.replace(self._content, sync=sync, owner=list(owner) or self._content.owner)
        )
        changes = Spill()
        # Read before the journal is listed: an intent that is gone by now has its entries there.
        intents = self._intents()
        new = [name for name, _, _ in intents if name not in self._content.intents]
        for name in new:
            self._spill(self._entries(self.folder / "intents" / name), changes)
        journal = self.folder / "journal"
        current = f"{self.generation:06d}-"
        waiting = [name for name in self._names("journal") if name.startswith(current) or _DOUBTED in name]
        # A doubt may be older than a refresh, which only says that the same content has other bytes.
        waiting.sort(key=lambda name: f"-{_REFRESH}" not in name)
        for name in waiting:
            self._spill(self._entries(journal / name), changes)
        if new or waiting:
            seen, owner = [name for name, _, _ in intents], self._content.owner
            self._fold(changes, set(waiting), _Content(self.generation + 1, sync, intents=seen, owner=owner))
        changes.close()
        for name, _, age in intents:
            if age >= LONGEST_CALL:
                remove(self.folder / "intents" / name)

    def _spill(self, entries: Iterable[_Entry], changes: Spill) -> None:
        for entry in entries:
            changes.add(partition(entry[0]), _encode_lines([entry]))

    def _fold(self, changes: Spill, folded: Collection[str], content: _Content) -> None:
        """Write a new base with the changes, make it current, and remove what it replaces.

        :param folded: the journal files in it. A doubt that came later stays for the next base.
        """
        old, journal = self.generation, self.folder / "journal"
        self._write_base(changes, content)
        self._check(content.sync)
        self._put_in_force(content)
        # The former base and its journal are kept for one more generation: a sync that read the former state puts them
        # in force again.
        for name in self._names("journal"):
            if name in folded if _DOUBTED in name else name < f"{old:06d}":
                remove(journal / name)
        remove(self._base(old - 1))
        remove(self._rows(old - 1))

    def _entries(self, path: StoragePath) -> Iterator[_Entry]:
        """The entries of a journal file or an intent; an error instead of the end if it was damaged.

        None if it was removed meanwhile: an intent by its own process, a journal file by a sync that has begun since,
        which :meth:`_fold` notices.
        """
        read = sealed_lines if path.name.endswith(_SEALED) else _unsealed_lines
        with suppress(FileNotFoundError), self._reading(path), path.open("rb") as file:
            yield from map(_decode_entry, read(file))

    def _names(self, folder: str) -> list[str]:
        """The names of the files in a folder of the state, in order; a missing one has none."""
        path = self.folder / folder
        found = names(path)
        if not found and is_file(path):
            raise self._damaged(path, "is a file, not a folder")
        return found

    def _write_base(self, changes: Spill, content: _Content) -> None:
        """Write a new base with the changes, and note its size in its content."""
        hashes = Spill()
        with writing(self._base(content.generation)) as base:
            end = content.base_checksum = 0
            for number, known in enumerate(self.partitions()):
                for item_id, digest, row in _decode_entries(changes.read(number)):
                    if digest is None or row is None:
                        known.pop(item_id, None)
                    else:
                        known[item_id] = digest, row
                lines = _encode_lines([(item_id, *pair) for item_id, pair in known.items()])
                base.write(lines)
                content.base_checksum = crc32(lines, content.base_checksum)
                end += len(lines)
                content.ends.append(end)
                content.products += len(known)
                for _, row in known.values():
                    hashes.add(row >> 56, row.to_bytes(8, sys.byteorder))
        with writing(self._rows(content.generation)) as rows:
            content.rows_checksum = 0
            for first in hashes.keys():  # noqa: SIM118 - no mapping
                data = array("Q", sorted(array("Q", hashes.read(first)))).tobytes()
                rows.write(data)
                content.rows_checksum = crc32(data, content.rows_checksum)
        hashes.close()

    def _put_in_force(self, content: _Content) -> None:
        self._note.write(content)
        self._content = content

    def _check(self, sync: str) -> None:
        self._content = self._load()
        if self._content.sync != sync:
            raise MiraklInputError(
                f"{self.folder}: another sync has started on this state since this one was planned; run one sync at a "
                "time, and clear the task to plan again"
            )

    def _doubt(self, name: str, ids: Iterable[str]) -> None:
        with self._journal(name) as lines:
            lines.write(_uncertain(ids))

    def _doubt_late(self, plan: Plan, chunk_index: int) -> None:
        """Note a chunk of an overtaken sync as uncertain, in the journal that is current when it has been written."""
        generation = -1
        while generation != self.generation:
            generation = self.generation
            self._doubt(f"z-late-{plan.kind}-{chunk_index:06d}-{plan.id}", _ids(plan, chunk_index))
            self._content = self._load()
        log.warning(
            "%s: Mirakl accepted a chunk of %d products after another sync had begun; the next sync sends them again.",
            self.folder,
            plan.chunks[chunk_index].products,
        )

    def _load(self) -> _Content:
        self._note = STATE.at(self.folder)
        return self._note.read() or _Content()

    @contextmanager
    def _reading(self, path: StoragePath) -> Iterator[None]:
        """Say what is wrong with a file of the state. One that is missing is left to the caller."""
        try:
            yield
        except (FileNotFoundError, IsADirectoryError):  # an object store has no folders, so it finds no file
            if path.is_dir():
                raise self._damaged(path, "is a folder, not a file") from None
            raise
        except (
            msgspec.DecodeError,
            ValueError,
            RecursionError,
        ) as error:  # ValueError: not UTF-8, or not sealed
            raise self._damaged(path, f"cannot be read: {error}") from error

    @contextmanager
    def _reading_base(self, path: StoragePath) -> Iterator[None]:
        try:
            with self._reading(path):
                yield
        except FileNotFoundError:
            raise self._damaged(path, "is missing") from None

    def _compare(self, path: StoragePath, checksum: int, noted: int | None) -> None:
        if noted not in (None, checksum):
            raise self._damaged(path, "was changed after it was written")

    def _damaged(self, path: StoragePath, reason: str) -> MiraklNoteError:
        return MiraklNoteError(f"{path} {reason}. {_FIX}", path=str(path))

    def _base(self, generation: int) -> StoragePath:
        return self.folder / f"base-{generation:06d}.ndjson"

    def _rows(self, generation: int) -> StoragePath:
        return self.folder / f"rows-{generation:06d}.bin"

    @contextmanager
    def _journal(self, name: str) -> Iterator[SealedLines]:
        (self.folder / "journal").mkdir(parents=True, exist_ok=True)
        with writing(self._journal_file(name)) as file, sealing(file) as lines:
            yield lines

    def _journal_file(self, name: str) -> StoragePath:
        return self.folder / "journal" / f"{self.generation:06d}-{name}{_SEALED}"


def _unsealed_lines(file: IO[bytes]) -> Iterator[bytes]:
    """The lines of a file that the version before wrote: at least one, and each terminated.

    :raises ValueError: after the last line.
    """
    line = b""
    for line in file:
        yield line
    if not line.endswith(b"\n"):
        raise ValueError("it is empty or truncated")


def _ids(plan: Plan, chunk_index: int) -> Iterator[str]:
    """The products of a chunk."""
    return (_decode_id(row).id for row in read_chunk(plan.folder, plan.chunks[chunk_index]))


def _uncertain(ids: Iterable[str]) -> bytes:
    """Entries of products with a content that no product has."""
    return _encode_lines((item_id, *_DOUBT) for item_id in ids)


def _entry(plan: Plan, row: bytes) -> _Entry:
    if plan.kind == "delete":
        return _decode_id(row).id, None, None
    item = _decode_open(row)
    return item.id, content_hash(item, row), row_hash(row)
