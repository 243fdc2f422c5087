"""Deletes a document, and distinguishes one that we deleted from one that never existed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from airflow_provider_mirakl.api.documents import delete_document
from airflow_provider_mirakl.exceptions import MiraklNotFoundError, MiraklServerError, MiraklTransportError
from airflow_provider_mirakl.files.notes import NoteKind
from airflow_provider_mirakl.outcome import ItemResult

if TYPE_CHECKING:
    from airflow_provider_mirakl.client.http import Client

ATTEMPTS = 3
PAUSE = 2.0
"""Seconds between two tries."""

log = logging.getLogger("airflow_provider_mirakl.documents")


class Tried(msgspec.Struct):
    """``tried.json``: ids of the documents that a try began to delete."""

    document_ids: list[int]


TRIED = NoteKind(
    file="tried.json",
    holds="which documents a task began to delete",
    type=Tried,
    damaged="restart",
    fix="A document that a previous try deleted counts as missing; set if_missing='ignore' to let that pass.",
)


def remove(
    client: Client,
    role: str,
    document_id: int,
    *,
    shop_id: int | None = None,
    may_be_gone: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> ItemResult:
    """Delete a document, and again if the reply was lost: then 404 means that the first try deleted it.

    :param client: sends the calls.
    :param role: ``shop``, ``operator`` or ``front``.
    :param document_id: its id.
    :param shop_id: the shop, for a seller with several shops.
    :param may_be_gone: whether an unknown document counts as deleted.
    :param sleep: waits a number of seconds.
    :raises MiraklTransportError: no reply after :data:`ATTEMPTS` tries.
    :raises MiraklServerError: the same.
    """
    item = str(document_id)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            client.send(delete_document(role, document_id, shop_id=shop_id))
        except MiraklNotFoundError as error:
            return ItemResult(item, "succeeded" if may_be_gone else "failed", "http_404", error.message)
        except (MiraklServerError, MiraklTransportError) as error:
            if attempt == ATTEMPTS:
                raise
            may_be_gone = may_be_gone or not error.surely_not_done
            log.warning("%s Sending it again, try %d of %d.", error, attempt + 1, ATTEMPTS)
            sleep(PAUSE * attempt)
        else:
            break
    return ItemResult(item, "succeeded")
