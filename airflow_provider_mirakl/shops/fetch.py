"""Fetches the new documents of a shop into a folder, with as few calls as possible, each checked."""

from __future__ import annotations

import logging
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, BinaryIO

from airflow_provider_mirakl.api.call import Call
from airflow_provider_mirakl.api.documents import VARIANTS, ShopDocument, download_documents
from airflow_provider_mirakl.exceptions import (
    TOKEN,
    MiraklAuthenticationError,
    MiraklBadRequestError,
    MiraklError,
    MiraklNotFoundError,
    MiraklNotYetError,
    MiraklPermissionError,
    MiraklRateLimitError,
    MiraklReplyError,
    MiraklStorageError,
    MiraklTransportError,
)
from airflow_provider_mirakl.files.storage import StoragePath
from airflow_provider_mirakl.outcome import ItemResult
from airflow_provider_mirakl.shops.archive import DEFAULT_LIMITS, ArchiveLimits, ArchiveRefusedError, opened
from airflow_provider_mirakl.shops.arrival import OWN_SHOP
from airflow_provider_mirakl.shops.manifest import DocumentTooLargeError, Manifest
from airflow_provider_mirakl.shops.names import folded

if TYPE_CHECKING:
    from airflow_provider_mirakl.client.http import Client, Download

ATTEMPTS = 3
"""How often a download is started if its body is interrupted."""
PAUSE = 2.0
"""Seconds between two tries."""

log = logging.getLogger("airflow_provider_mirakl.documents")


@dataclass(frozen=True, slots=True)
class Fetched:
    """The results of the documents of one shop.

    :param results: one for each document wanted; its item id is ``<shop>/<document id>``.
    :param stored: number of documents fetched.
    :param unchanged: number of documents that already existed.
    :param manifest: path of the manifest.
    """

    results: tuple[ItemResult, ...]
    stored: int
    unchanged: int
    manifest: str


class Fetcher:
    """Downloads documents.

    Several documents of a shop come as one archive. If that fails, because one of them no longer exists (S31 is
    all or nothing) or because the archive is rejected, they are fetched one by one, so that only the bad one fails.

    :param client: sends the calls.
    :param role: ``shop``, ``operator`` or ``front``.
    :param limits: the accepted sizes.
    :param sleep: waits a number of seconds.
    """

    def __init__(
        self,
        client: Client,
        role: str,
        *,
        limits: ArchiveLimits = DEFAULT_LIMITS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._role = role
        self._own_shop = VARIANTS[role].own_shop
        self._limits = limits
        self._sleep = sleep

    def fetch(
        self, documents: Sequence[ShopDocument], target: StoragePath, *, shop_id: int | None
    ) -> Fetched:
        """Fetch documents of one shop to ``<target>/<shop>/<id>-<name>``, unless they exist.

        :param documents: as S30 listed them.
        :param target: the folder of all shops.
        :param shop_id: the shop; ``None`` for a seller's default shop, whose folder is named ``shop``.
        :raises MiraklError: an error that every other document would meet too; see :func:`concerns_all`.
        """
        shop = folder_of(shop_id)
        manifest = Manifest(target / shop, shop)
        new = [document for document in documents if not manifest.has(document)]
        failures: dict[int, MiraklError] = {}
        try:
            left = self._fetch_archive(new, manifest, shop_id)
            for document in left:
                try:
                    self._fetch_file(document, manifest, shop_id)
                except MiraklError as error:
                    if concerns_all(error):
                        raise
                    log.warning("Document %d of shop %s: %s", document.id, shop, error)
                    failures[document.id] = error
        finally:
            manifest.save()
        return Fetched(
            results=tuple(_result(shop, document, failures.get(document.id)) for document in documents),
            stored=len(new) - len(failures),
            unchanged=len(documents) - len(new),
            manifest=str(manifest.folder / "manifest.json"),
        )

    def _fetch_archive(
        self, documents: Sequence[ShopDocument], manifest: Manifest, shop_id: int | None
    ) -> list[ShopDocument]:
        """Fetch by archive the documents that can be identified by name; return the others."""
        names = Counter(folded(document.file_name) for document in documents)
        wanted = {
            document.file_name: document
            for document in documents
            if document.file_name and names[folded(document.file_name)] == 1
        }
        if len(wanted) < 2:
            return list(documents)
        call = download_documents(
            self._role,
            document_ids=[document.id for document in wanted.values()],
            shop_ids=self._shop_parameter(shop_id),
        )
        fetched: set[int] = set()
        try:
            with (
                spooled(self._client, call, self._limits, self._sleep) as file,
                opened(file, self._limits) as archive,
            ):
                for member in archive.members:
                    if not self._own_shop and member.folder != str(shop_id):
                        continue
                    document = wanted.get(member.name)
                    if document is None:
                        log.warning("The archive contains %r, which was not requested", member.name)
                        continue
                    self._store(document, archive.read(member), manifest)
                    fetched.add(document.id)
        except (
            DocumentTooLargeError,
            MiraklBadRequestError,
            MiraklNotFoundError,
            MiraklReplyError,
            MiraklStorageError,
            MiraklTransportError,
        ) as error:
            if concerns_all(error):
                raise
            log.warning("%s Fetching the documents one by one.", error)
        return [document for document in documents if document.id not in fetched]

    def _fetch_file(self, document: ShopDocument, manifest: Manifest, shop_id: int | None) -> None:
        call = download_documents(
            self._role, document_ids=[document.id], shop_ids=self._shop_parameter(shop_id)
        )

        def read(download: Download[Iterator[bytes]]) -> None:
            self._store(document, _content(download), manifest)

        persistently(self._client, call, read, self._sleep)

    def _store(self, document: ShopDocument, content: Iterator[bytes], manifest: Manifest) -> None:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        stored = manifest.store(document, content, max_bytes=self._limits.max_file_bytes, at=at)
        log.info("Stored %s, %d bytes", stored.stored_as, stored.bytes)

    def _shop_parameter(self, shop_id: int | None) -> list[int]:
        """The shop for a seller's call; for other roles the document ids suffice."""
        return [shop_id] if self._own_shop and shop_id is not None else []


def folder_of(shop_id: int | None) -> str:
    """The folder of a shop's documents.

    :param shop_id: the shop; ``None`` for a seller's default shop.
    """
    return OWN_SHOP if shop_id is None else str(shop_id)


def _content(download: Download[Iterator[bytes]]) -> Iterator[bytes]:
    """The content of a single file. Mirakl accepts no empty document, so an empty reply is not one.

    :raises MiraklTransportError: it is empty.
    """
    is_empty = True
    for piece in download.chunks:
        is_empty = is_empty and not piece
        yield piece
    if is_empty:
        code, status = download.reply.operation, download.reply.status
        raise MiraklTransportError(
            f"{code}: Mirakl answered {status} with an empty file.", operation=code, surely_not_sent=False
        )


@contextmanager
def spooled(
    client: Client, call: Call[bytes], limits: ArchiveLimits, sleep: Callable[[float], None] = time.sleep
) -> Iterator[BinaryIO]:
    """The body of a reply as a file on local disk: a ZIP is read from its end.

    :param sleep: waits a number of seconds.
    :raises ArchiveRefusedError: it is larger than the limits allow.
    """
    with tempfile.TemporaryFile(prefix="mirakl-documents-") as file:

        def read(download: Download[Iterator[bytes]]) -> None:
            file.seek(0)
            file.truncate()
            for piece in download.chunks:
                file.write(piece)
                if file.tell() > limits.max_total_bytes:
                    allowed = limits.max_total_bytes
                    raise ArchiveRefusedError([f"it has more than {allowed:,} bytes"])

        persistently(client, call, read, sleep)
        yield file


def persistently(
    client: Client,
    call: Call[bytes],
    read: Callable[[Download[Iterator[bytes]]], None],
    sleep: Callable[[float], None],
) -> None:
    """Start again if a body is interrupted. Failures before the body are not repeated: the client has done that."""
    for attempt in range(1, ATTEMPTS + 1):
        has_begun = False
        try:
            with client.stream(call) as download:
                has_begun = True
                read(download)
            break
        except MiraklTransportError as error:
            if attempt == ATTEMPTS or not has_begun:
                raise
            log.warning("%s Fetching it again, try %d of %d.", error, attempt + 1, ATTEMPTS)
            sleep(PAUSE * attempt)


_OF_THE_ACCOUNT = (
    MiraklAuthenticationError,
    MiraklNotYetError,
    MiraklPermissionError,
    MiraklRateLimitError,
)


def concerns_all(error: MiraklError) -> bool:
    """Whether an error is not about one file: the key is rejected, Mirakl refuses more calls, it cannot be reached, or
    there is no token.

    Every other file would meet it too, and cost minutes. A task ends with it instead of reporting that its files have
    failed: a retry goes on with them.
    """
    return (
        isinstance(error, _OF_THE_ACCOUNT)
        or (isinstance(error, MiraklTransportError) and error.surely_not_sent)
        or getattr(error, "operation", None) == TOKEN
    )


def _result(shop: str, document: ShopDocument, failure: MiraklError | None) -> ItemResult:
    item = f"{shop}/{document.id}"
    if failure is None:
        return ItemResult(item, "succeeded")
    return ItemResult(item, "failed", code_of(failure), failure.message)


def code_of(failure: MiraklError) -> str:
    """A stable code for the reason of a failure."""
    status = getattr(failure, "status", None)
    if isinstance(failure, DocumentTooLargeError):
        return "too_large"
    if isinstance(failure, MiraklStorageError):
        return "storage"
    return str(getattr(failure, "code", None) or (f"http_{status}" if status else "no_reply"))
