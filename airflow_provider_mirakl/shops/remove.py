"""Deletes a document, and distinguishes one that we deleted from one that never existed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from airflow_provider_mirakl.api.documents import delete_document
from airflow_provider_mirakl.exceptions import (
    MiraklError,
    MiraklNotFoundError,
    MiraklServerError,
    MiraklTransportError,
)
from airflow_provider_mirakl.files.notes import Note, NoteKind
from airflow_provider_mirakl.outcome import ItemResult

if TYPE_CHECKING:
    from airflow_provider_mirakl.client.http import Client

ATTEMPTS = 3
PAUSE = 2.0
"""Seconds between two tries."""

log = logging.getLogger("airflow_provider_mirakl.documents")


class Tried(msgspec.Struct):
    """``tried.json``: ids of the documents that a task has deleted or may have deleted."""

    document_ids: list[int]


TRIED = NoteKind(
    file="tried.json",
    holds="which documents a task may have deleted",
    type=Tried,
    damaged="restart",
    fix="A document that a previous try deleted counts as missing; set if_missing='ignore' to let that pass.",
)


class Deletions:
    """The documents that a task has deleted, or may have deleted because no answer came.

    A document is noted before its call, and taken back when Mirakl certainly did not delete it. So a retry does not
    take a document that never existed for one that an earlier try deleted.

    :param note: where they are kept.
    """

    def __init__(self, note: Note[Tried]) -> None:
        self._note = note
        found = note.read()
        self._ids = set() if found is None else set(found.document_ids)

    def __contains__(self, document_id: int) -> bool:
        return document_id in self._ids

    def add(self, document_id: int) -> None:
        """Note a document."""
        self._write(self._ids | {document_id})

    def discard(self, document_id: int) -> None:
        """Take a document back."""
        self._write(self._ids - {document_id})

    def _write(self, ids: set[int]) -> None:
        if ids != self._ids:
            self._note.write(Tried(sorted(ids)))
            self._ids = ids


def remove(
    client: Client,
    role: str,
    document_id: int,
    deletions: Deletions,
    *,
    shop_id: int | None = None,
    may_be_missing: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> ItemResult:
    """Delete a document, and again if the reply was lost: then 404 means that the first call deleted it.

    :param client: sends the calls.
    :param role: ``shop``, ``operator`` or ``front``.
    :param document_id: its id.
    :param deletions: the documents that the task may have deleted.
    :param shop_id: the shop, for a seller with several shops.
    :param may_be_missing: whether a document that never existed counts as deleted.
    :param sleep: waits a number of seconds.
    :raises MiraklTransportError: no reply after :data:`ATTEMPTS` tries.
    :raises MiraklServerError: the same.
    """
    item = str(document_id)
    for attempt in range(1, ATTEMPTS + 1):
        may_be_gone = document_id in deletions
        deletions.add(document_id)
        try:
            client.send(delete_document(role, document_id, shop_id=shop_id))
        except MiraklError as error:
            if error.surely_not_done and not may_be_gone:
                deletions.discard(document_id)
            if isinstance(error, MiraklNotFoundError):
                is_gone = may_be_gone or may_be_missing
                return ItemResult(item, "succeeded" if is_gone else "failed", "http_404", error.message)
            if attempt == ATTEMPTS or not isinstance(error, MiraklServerError | MiraklTransportError):
                raise
            log.warning("%s Sending it again, try %d of %d.", error, attempt + 1, ATTEMPTS)
            sleep(PAUSE * attempt)
        else:
            break
    return ItemResult(item, "succeeded")
