"""Documents of orders of Mirakl Connect: brings them into a folder, with the checks that documents of shops get."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from airflow_provider_mirakl.api.orders import download_order_documents
from airflow_provider_mirakl.exceptions import (
    MiraklAuthenticationError,
    MiraklError,
    MiraklPermissionError,
)
from airflow_provider_mirakl.files.storage import StoragePath, writing
from airflow_provider_mirakl.outcome import ItemResult
from airflow_provider_mirakl.shops.archive import DEFAULT_LIMITS, ArchiveLimits, ArchiveRefusedError, opened
from airflow_provider_mirakl.shops.fetch import code_of, spooled
from airflow_provider_mirakl.shops.names import safe_name

if TYPE_CHECKING:
    from airflow_provider_mirakl.client.http import Client

log = logging.getLogger("airflow_provider_mirakl.documents")


def place_of(target: StoragePath, document: dict[str, Any]) -> StoragePath:
    """Where a document lies: ``<order id>/<document id>-<its name>``, each made safe.

    :param target: the folder of all orders.
    :param document: as v2-listOrderDocuments lists it.
    """
    name = safe_name(f"{document['id']}-{document.get('name') or 'document'}")
    return target / safe_name(str(document["order_id"])) / name


def fetch(
    client: Client,
    documents: Iterable[dict[str, Any]],
    target: StoragePath,
    *,
    limits: ArchiveLimits = DEFAULT_LIMITS,
    stored: Callable[[dict[str, Any], StoragePath], None] = lambda document, path: None,
) -> Iterator[ItemResult]:
    """Bring documents to a folder, unless they are there with the size that Mirakl tells.

    Each comes in an archive of its own: Mirakl numbers equal names in an archive, so of several it would not be certain
    which is which. The archive is checked before a byte is unpacked. One that fails does not stop the others.

    :param documents: as v2-listOrderDocuments lists them.
    :param target: the folder of all orders.
    :param stored: is told each document that was fetched.
    :return: the result of each, as ``<order id>/<document id>``.
    :raises MiraklAuthenticationError: the client is not accepted.
    :raises MiraklPermissionError: the client may not download.
    """
    for document in documents:
        item = f"{document['order_id']}/{document['id']}"
        path, size = place_of(target, document), document.get("size_in_bytes")
        if _size_of(path) is not None and size in (None, _size_of(path)):
            yield ItemResult(item, "succeeded")
            continue
        try:
            _fetch(client, document, path, limits)
        except (MiraklAuthenticationError, MiraklPermissionError):
            raise
        except MiraklError as error:
            log.warning("Document %s: %s", item, error)
            yield ItemResult(item, "failed", code_of(error), error.message)
        else:
            stored(document, path)
            yield ItemResult(item, "succeeded")


def _fetch(client: Client, document: dict[str, Any], path: StoragePath, limits: ArchiveLimits) -> None:
    call = download_order_documents(str(document["order_id"]), document_ids=[str(document["id"])])
    with spooled(client, call, limits) as file, opened(file, limits) as archive:
        if len(archive.members) != 1:
            raise ArchiveRefusedError([f"it holds {len(archive.members)} files, and one was asked for"])
        (member,) = archive.members
        size = document.get("size_in_bytes")
        if size is not None and member.size != size:
            raise ArchiveRefusedError([f"{member.name!r} has {member.size:,} bytes; Mirakl lists {size:,}"])
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing(path) as target:
            for piece in archive.read(member):
                target.write(piece)


def _size_of(path: StoragePath) -> int | None:
    with contextlib.suppress(FileNotFoundError):
        return int(path.stat().st_size)
    return None
