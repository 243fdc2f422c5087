"""What Mirakl is known to have: every accepted product with a hash of its content.

A state is a folder beside the data::

    state.json                    which base is in force, and where its partitions end
    base-000007.ndjson            ["id","hash"], grouped by 256 partitions of the id
    journal/000007-<chunk>.ndjson what was accepted since: ["id","hash"], or ["id",null] for a delete

A chunk that was accepted adds one journal file, so a crash loses nothing and nothing is written twice. The next sync
folds the journal into a new base; ``state.json`` changes hands in one step, and whatever it does not name is leftover.
"""

from __future__ import annotations

from collections.abc import Iterator
from zlib import crc32

import msgspec

from airflow_provider_mirakl.catalog.plan import Plan, read_chunk
from airflow_provider_mirakl.catalog.product import (
    OpenProduct,
    ProductIdentifier,
    content_hash,
)
from airflow_provider_mirakl.catalog.storage import (
    Spill,
    StoragePath,
    names,
    plain,
    remove,
    write_bytes,
    writing,
)
from airflow_provider_mirakl.exceptions import MiraklInputError

STATE_FILE = "state.json"
FORMAT_VERSION = 1
PARTITIONS = 256

Entry = tuple[str, str | None]

_encode_lines = msgspec.json.Encoder().encode_lines
_decode_entries = msgspec.json.Decoder(tuple[str, str | None]).decode_lines
_decode_open = msgspec.json.Decoder(OpenProduct).decode
_decode_id = msgspec.json.Decoder(ProductIdentifier).decode


class _Content(msgspec.Struct, tag_field="format", tag=FORMAT_VERSION):
    """``state.json``."""

    generation: int = 0
    products: int = 0
    ends: list[int] = msgspec.field(default_factory=list)


def partition(item_id: str) -> int:
    """Return the partition of an id, the same on every machine and in every version."""
    return crc32(item_id.encode()) % PARTITIONS


class State:
    """The state in a folder; a missing folder is the state of knowing nothing.

    :param folder: path object, or text for a local path.
    :raises MiraklInputError: the state cannot be read.
    """

    def __init__(self, folder: StoragePath | str) -> None:
        self.folder = plain(folder)
        self._content = self._load()

    @property
    def generation(self) -> int:
        """Number of the base in force; a sync commits to the one it was planned on."""
        return self._content.generation

    @property
    def products(self) -> int:
        """Products in the base."""
        return self._content.products

    def partitions(self) -> Iterator[dict[str, str]]:
        """Yield the base's partitions in order, each as id to hash.

        :raises MiraklInputError: the base is missing or damaged.
        """
        if not self._content.ends:
            yield from ({} for _ in range(PARTITIONS))
            return
        path = self._base(self.generation)
        start = known = 0
        try:
            with path.open("rb") as file:
                for end in self._content.ends:
                    entries = dict(_decode_entries(file.read(end - start)))
                    known += len(entries)
                    start = end
                    yield entries  # type: ignore[misc]  # a base has no deletes
        except FileNotFoundError:
            raise self._damaged(f"{path.name} is missing") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._damaged(f"{path.name} cannot be read: {error}") from error
        if known != self.products:
            raise self._damaged(f"{path.name} holds {known:,} products instead of {self.products:,}")

    def commit(self, plan: Plan, chunk_index: int, *, generation: int) -> None:
        """Note that Mirakl accepted a chunk; doing so twice changes nothing.

        :param plan: the plan the chunk is of.
        :param chunk_index: the chunk's index.
        :param generation: the generation the plan was made on.
        :raises MiraklInputError: the state moved on: another sync was planned on it meanwhile.
        """
        current = self._load().generation
        if current != generation:
            raise MiraklInputError(
                f"{self.folder}: another sync was planned on this state since this one was (generation {current} "
                f"instead of {generation}); run one sync at a time"
            )
        journal = self.folder / "journal"
        journal.mkdir(parents=True, exist_ok=True)
        entries = [_entry(plan, row) for row in read_chunk(plan.folder, plan.chunks[chunk_index])]
        write_bytes(
            journal / f"{generation:06d}-{plan.kind}-{chunk_index:06d}-{plan.id}.ndjson",
            _encode_lines(entries),
        )

    def fold(self) -> None:
        """Take the journal into a new base, if there is one. Safe to break off at any moment."""
        old = self.generation
        journal = self.folder / "journal"
        waiting = [name for name in names(journal) if name.startswith(f"{old:06d}-")]
        if not waiting:
            return
        changes = Spill()
        for name in waiting:
            for entry in _decode_entries((journal / name).read_bytes()):
                changes.add(partition(entry[0]), _encode_lines([entry]))
        content = _Content(old + 1)
        with writing(self._base(old + 1)) as file:
            for number, known in enumerate(self.partitions()):
                for item_id, digest in _decode_entries(changes.read(number)):
                    if digest is None:
                        known.pop(item_id, None)
                    else:
                        known[item_id] = digest
                content.products += len(known)
                written = file.write(_encode_lines(list(known.items())))
                content.ends.append(written + (content.ends[-1] if content.ends else 0))
        changes.close()
        write_bytes(self.folder / STATE_FILE, msgspec.json.encode(content))
        self._content = content
        for name in names(journal):
            if name < f"{old + 1:06d}":
                remove(journal / name)
        remove(self._base(old))

    def _load(self) -> _Content:
        path = self.folder / STATE_FILE
        try:
            return msgspec.json.decode(path.read_bytes(), type=_Content)
        except FileNotFoundError:
            return _Content()
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._damaged(f"{STATE_FILE} cannot be read: {error}") from error

    def _damaged(self, words: str) -> MiraklInputError:
        return MiraklInputError(
            f"{self.folder}: {words}; remove the folder to begin anew, every product is then sent once more"
        )

    def _base(self, generation: int) -> StoragePath:
        return self.folder / f"base-{generation:06d}.ndjson"


def _entry(plan: Plan, row: bytes) -> Entry:
    if plan.kind == "delete":
        return _decode_id(row).id, None
    item = _decode_open(row)
    return item.id, content_hash(item, row)
