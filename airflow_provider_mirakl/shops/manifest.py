"""The documents stored in a folder: ``manifest.json``."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass

from airflow_provider_mirakl.api.documents import ShopDocument
from airflow_provider_mirakl.exceptions import MiraklError, MiraklNoteError, MiraklStorageError
from airflow_provider_mirakl.files.notes import NoteKind
from airflow_provider_mirakl.files.storage import BLOCK, StoragePath, writing
from airflow_provider_mirakl.shops.names import safe_name

SPOOLED = 8 << 20
"""Size in bytes from which a document is buffered on local disk instead of in memory."""


class DocumentTooLargeError(MiraklError):
    """A document is larger than allowed. Nothing of it was stored."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A document in the folder.

    :param id: Mirakl's id.
    :param type: code of its type.
    :param file_name: its name in Mirakl.
    :param date_uploaded: as Mirakl writes it.
    :param stored_as: its name in the folder.
    :param bytes: its size.
    :param sha256: SHA-256 of its content, in hexadecimal.
    :param stored_at: when it was stored, UTC.
    """

    id: int
    type: str
    file_name: str
    date_uploaded: str | None
    stored_as: str
    bytes: int
    sha256: str
    stored_at: str


@dataclass(frozen=True, slots=True)
class Content:
    """``manifest.json``."""

    shop: str
    documents: list[Stored]


MANIFEST = NoteKind(
    file="manifest.json",
    holds="which documents of a shop are stored",
    type=Content,
    damaged="stop",
    fix="Restore it; or move it away to have everything fetched again.",
)


class Manifest:
    """The documents of one shop in one folder.

    :param folder: the folder; created when the first document is stored.
    :param shop: the shop, for the reader of the file.
    :raises MiraklNoteError: the folder has a manifest that cannot be read.
    """

    def __init__(self, folder: StoragePath, shop: str) -> None:
        self.folder = folder
        self._shop = shop
        self._note = MANIFEST.at(folder)
        self._stored = {entry.id: entry for entry in self._load()}
        self._changed = False

    @property
    def documents(self) -> list[Stored]:
        """The stored documents, by id."""
        return [self._stored[key] for key in sorted(self._stored)]

    def has(self, document: ShopDocument) -> bool:
        """Whether this document is stored: same id, same upload, and the file exists and is complete."""
        stored = self._stored.get(document.id)
        if stored is None or stored.date_uploaded != document.date_uploaded:
            return False
        file = self.folder / stored.stored_as
        return file.exists() and file.stat().st_size == stored.bytes

    def store(self, document: ShopDocument, content: Iterable[bytes], *, max_bytes: int, at: str) -> Stored:
        """Write a document; the manifest lists it once it is complete.

        The file name begins with the id, so that no two documents share one.

        :param document: the document.
        :param content: its bytes, in pieces.
        :param max_bytes: its largest size.
        :param at: the current time, for the manifest.
        :raises DocumentTooLargeError: it is larger.
        :raises MiraklStorageError: it cannot be written.
        """
        name = f"{document.id}-{safe_name(document.file_name)}"
        digest, size = hashlib.sha256(), 0
        try:
            # Not every object store discards an interrupted upload, so only complete documents are uploaded.
            with tempfile.SpooledTemporaryFile(max_size=SPOOLED, prefix="mirakl-document-") as whole:
                for piece in content:
                    size += len(piece)
                    if size > max_bytes:
                        raise DocumentTooLargeError(
                            f"document {document.id} has more than {max_bytes:,} bytes; raise the limit if that is "
                            "intended"
                        )
                    digest.update(piece)
                    whole.write(piece)
                whole.seek(0)
                self.folder.mkdir(parents=True, exist_ok=True)
                with writing(self.folder / name) as file:
                    shutil.copyfileobj(whole, file, BLOCK)
        except OSError as error:
            raise MiraklStorageError(
                f"document {document.id} cannot be stored in {self.folder} ({error.strerror or error}). Until it is "
                f"complete it is in {tempfile.gettempdir()}",
                path=str(self.folder),
            ) from error
        stored = Stored(
            id=document.id,
            type=document.type,
            file_name=document.file_name,
            date_uploaded=document.date_uploaded,
            stored_as=name,
            bytes=size,
            sha256=digest.hexdigest(),
            stored_at=at,
        )
        self._stored[document.id] = stored
        self._changed = True
        return stored

    def save(self) -> None:
        """Write the manifest, if anything was stored."""
        if self._changed:
            self._note.write(Content(self._shop, self.documents))
            self._changed = False

    def _load(self) -> list[Stored]:
        content = self._note.read()
        for entry in () if content is None else content.documents:
            # The id comes before a name that may be as long as a safe name can be.
            name = entry.stored_as.removeprefix(f"{entry.id}-")
            if safe_name(name) != name:
                path = str(self._note.path)
                raise MiraklNoteError(
                    f"{path} names {entry.stored_as!r}, which is not a file of this folder. {MANIFEST.fix}",
                    path=path,
                )
        return [] if content is None else content.documents
