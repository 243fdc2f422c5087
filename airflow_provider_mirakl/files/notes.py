"""The notes of a task: small typed files in which it keeps its progress.

Every such file has the same envelope, the same version field and the same policy:

==================================  =========================================================================
Found                               Result
==================================  =========================================================================
nothing                             the task begins
a note of another generation        the task was cleared: it starts over
a damaged note, or one of another   ``stop``: a :class:`MiraklNoteError` with the path and the fix, if continuing
version of this package             could repeat or lose something. ``restart``: a warning, and the task starts over
==================================  =========================================================================

A note may have a second place (:class:`Store`): Airflow's own ``task_state_store`` from 3.3 on, and the arguments of a
trigger. So a worker with an empty disk knows what the previous one did. Of several versions the one with the highest
revision is used: a write may have reached only some of the places.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Generic, Literal, Protocol, TypeVar

import msgspec

from airflow_provider_mirakl.exceptions import MiraklNoteError, MiraklStorageError
from airflow_provider_mirakl.files.storage import StoragePath, remove, write_bytes

T = TypeVar("T")

log = logging.getLogger(__name__)


class Store(Protocol):
    """A second place for notes, besides their files."""

    def get(self, key: str) -> list[str]:
        """Every known version of a note, in any order."""

    def set(self, key: str, value: str) -> bool:
        """Store a note; true if it will outlive this process."""


class _Head(msgspec.Struct):
    """The fields of every version of a note."""

    format: int


class _Envelope(msgspec.Struct):
    """The envelope of every note."""

    format: int
    generation: str
    revision: int
    saved_at: str
    content: msgspec.Raw


@dataclass(frozen=True, slots=True)
class NoteKind(Generic[T]):
    """One kind of note.

    :param file: name of the file, with ``*`` for a part that varies.
    :param holds: its content, for messages.
    :param type: a ``msgspec.Struct`` or a dataclass.
    :param damaged: ``stop`` where starting over could repeat or lose something; else ``restart``.
    :param fix: what to do about a damaged note, for the message.
    :param version: version of the content; increase it when an older reader would misread it.
    """

    file: str
    holds: str
    type: type[T]
    damaged: Literal["stop", "restart"]
    fix: str
    version: int = 1

    def at(
        self,
        folder: StoragePath,
        *,
        generation: str = "",
        store: Store | None = None,
        name: str | None = None,
    ) -> Note[T]:
        """The note of this kind in a folder.

        :param folder: created when the note is written.
        :param generation: a note of another generation is ignored.
        :param store: a second place for it.
        :param name: name of the file, if a part of it varies; also its name in the store.
        """
        return Note(
            self,
            folder / (name or self.file).rpartition("/")[2],
            generation,
            store,
            name or self.file,
        )


@dataclass(slots=True)
class Note(Generic[T]):
    """A note at its path. Made by :meth:`NoteKind.at`."""

    kind: NoteKind[T]
    path: StoragePath
    generation: str
    _store: Store | None
    _key: str
    _revision: int = field(default=0, init=False)

    def read(self) -> T | None:
        """The content; ``None`` without a note of this generation.

        :raises MiraklNoteError: the note is damaged or of another version, and the policy of its kind is ``stop``.
        """
        found = [note for data, place in self._places() if (note := self._decode(data, place)) is not None]
        if not found:
            return None
        self._revision, content = max(found, key=lambda note: note[0])
        return content

    def write(self, content: T) -> None:
        """Replace the note atomically, in all of its places.

        :raises MiraklStorageError: it could not be written anywhere.
        """
        self._revision += 1
        data = msgspec.json.encode(
            {
                "format": self.kind.version,
                "generation": self.generation,
                "revision": self._revision,
                "saved_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "content": content,
            }
        )
        failure: OSError | MiraklStorageError | None = None
        try:
            write_bytes(self.path, data)
        except (OSError, MiraklStorageError) as error:
            failure = error
        is_kept = self._store is not None and self._store.set(self._key, data.decode())
        if failure is not None:
            reason = getattr(failure, "strerror", None) or failure
            words = (
                f"{self.path} cannot be written ({reason}); free some space, or set [mirakl] work_folder to a folder "
                "that this machine may write to"
            )
            if not is_kept:
                # Without its cause: making a folder fails once for each of its parents, and the log shows all of them.
                raise MiraklStorageError(words, path=str(self.path))
            log.warning("%s. Airflow's task state keeps the note meanwhile.", words)

    def remove(self) -> None:
        """Remove the file, if it exists. The next note overwrites the store."""
        remove(self.path)

    def _places(self) -> Iterator[tuple[bytes, str]]:
        """The versions of the note, with their places."""
        try:
            yield self.path.read_bytes(), str(self.path)
        except (FileNotFoundError, NotADirectoryError):  # nor can there be one below a file
            pass
        except (IsADirectoryError, PermissionError) as error:
            self._refuse(str(self.path), str(error.strerror or error), error)
        for value in () if self._store is None else self._store.get(self._key):
            yield value.encode(), f"the task state {self._key!r}"

    def _decode(self, data: bytes, place: str) -> tuple[int, T] | None:
        try:
            written = msgspec.json.decode(data, type=_Head).format
            if written != self.kind.version:
                self._refuse(
                    place,
                    f"it has format {written}, but this version of the package reads format "
                    f"{self.kind.version}",
                )
                return None
            envelope = msgspec.json.decode(data, type=_Envelope)
            if envelope.generation != self.generation:
                return None
            return envelope.revision, msgspec.json.decode(envelope.content, type=self.kind.type)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._refuse(place, str(error) if data.strip() else "it is empty", error)
            return None

    def _refuse(self, place: str, reason: str, error: Exception | None = None) -> None:
        """Apply the policy to a note that cannot be read."""
        if self.kind.damaged == "stop":
            raise MiraklNoteError(
                f"{place}, which records {self.kind.holds}, cannot be read: {reason}. {self.kind.fix}",
                path=place,
            ) from error
        log.warning(
            "%s, which records %s, cannot be read: %s. %s", place, self.kind.holds, reason, self.kind.fix
        )
