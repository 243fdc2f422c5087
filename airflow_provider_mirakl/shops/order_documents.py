"""Documents of orders and attachments of conversations of Mirakl Connect: brings them into a folder.

With the checks that documents of shops get.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any

from airflow_provider_mirakl.api.call import Operation
from airflow_provider_mirakl.api.conversations import GET_MESSAGES, download_conversation_attachments
from airflow_provider_mirakl.api.orders import LIST_ORDER_DOCUMENTS, download_order_documents
from airflow_provider_mirakl.api.values import numeric_id
from airflow_provider_mirakl.exceptions import MiraklError, MiraklReplyError, MiraklStorageError
from airflow_provider_mirakl.files.storage import StoragePath, writing
from airflow_provider_mirakl.outcome import ItemResult
from airflow_provider_mirakl.shops.archive import DEFAULT_LIMITS, ArchiveLimits, ArchiveRefusedError, opened
from airflow_provider_mirakl.shops.fetch import code_of, concerns_all, spooled
from airflow_provider_mirakl.shops.names import safe_name

if TYPE_CHECKING:
    from airflow_provider_mirakl.api.call import Call
    from airflow_provider_mirakl.client.http import Client

ATTACHMENTS = replace(DEFAULT_LIMITS, max_depth=2)
"""Attachments lie in the folder of a message, and there in one of their own."""
_NAME = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
log = logging.getLogger("airflow_provider_mirakl.documents")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file that Mirakl returns in a separate archive.

    :param item: its name in the outcome.
    :param parts: its path below the target: folders, then the file. Each is made safe.
    :param size: its size as Mirakl lists it.
    :param call: the call that fetches the archive.
    :param limits: how much the archive may be.
    """

    item: str
    parts: tuple[str, ...]
    size: int | None
    call: Call[bytes]
    limits: ArchiveLimits = DEFAULT_LIMITS

    def place(self, target: StoragePath) -> StoragePath:
        """Its path below a folder."""
        for part in self.parts:
            target = target / safe_name(part)
        return target


def documents_of(listed: Iterable[dict[str, Any]]) -> Iterator[Wanted]:
    """Documents of orders, at ``<order id>/<document id>-<its name>``.

    :param listed: as v2-listOrderDocuments lists them.
    :raises MiraklReplyError: one has no id.
    """
    for document in listed:
        order_id = id_in(document, "order_id", LIST_ORDER_DOCUMENTS)
        document_id = id_in(document, "id", LIST_ORDER_DOCUMENTS)
        yield Wanted(
            f"{order_id}/{document_id}",
            (order_id, f"{document_id}-{document.get('name') or 'document'}"),
            numeric_id(document.get("size_in_bytes")),
            download_order_documents(order_id, document_ids=[document_id]),
        )


def attachments_of(conversation_id: str, messages: Iterable[dict[str, Any]]) -> Iterator[Wanted]:
    """Attachments of a conversation, at ``<conversation id>/<message id>/<attachment id>-<its name>``.

    :param messages: as getConversationMessages lists them.
    :raises MiraklReplyError: a message or an attachment has no id, or the attachments are not a list of objects.
    """
    for message in messages:
        attachments = message.get("attachments") or ()
        if not isinstance(attachments, list | tuple) or not all(isinstance(one, dict) for one in attachments):
            raise _unreadable(GET_MESSAGES, "a list of objects under 'attachments'", attachments)
        for attachment in attachments:
            attachment_id = id_in(attachment, "id", GET_MESSAGES)
            yield Wanted(
                f"{conversation_id}/{attachment_id}",
                (
                    conversation_id,
                    id_in(message, "id", GET_MESSAGES),
                    f"{attachment_id}-{attachment.get('filename') or 'attachment'}",
                ),
                numeric_id(attachment.get("size_in_bytes")),
                download_conversation_attachments(conversation_id, attachment_ids=[attachment_id]),
                ATTACHMENTS,
            )


def id_in(item: Mapping[str, Any], name: str, operation: Operation) -> str:
    """The id under a name of what Mirakl lists. Without it nothing can be fetched, nor stored in its own place.

    :param operation: what listed it.
    :raises MiraklReplyError: it has none.
    """
    value = item.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int) or str(value).strip() in ("", ".", ".."):
        raise _unreadable(operation, f"an id under {name!r} of every item", value)
    return str(value)


def _unreadable(operation: Operation, wanted: str, got: object) -> MiraklReplyError:
    return MiraklReplyError(
        f"{operation.code}: expected {wanted} in the reply, got {type(got).__name__}",
        operation=operation.code,
        status=200,
    )


def fetch(
    client: Client,
    wanted: Iterable[Wanted],
    target: StoragePath,
    *,
    stored: Callable[[Wanted], None] = lambda wanted: None,
) -> Iterator[ItemResult]:
    """Fetch files to a folder, unless they exist with the size that Mirakl lists.

    Each is fetched in a separate archive: Mirakl numbers equal names in an archive, so several could not be
    distinguished. The archive is checked before a byte is unpacked. One that fails does not stop the others.

    :param wanted: the files.
    :param target: the folder of all.
    :param stored: called with each file that was fetched.
    :return: the result of each.
    :raises MiraklError: an error that every other file would meet too; see :func:`~.fetch.concerns_all`.
    :raises MiraklStorageError: the folder cannot be used.
    """
    seen: set[tuple[str, int | None]] = set()
    for one in wanted:
        if (one.item, one.size) in seen:  # a listing that changes while it is read may name a file twice
            continue
        seen.add((one.item, one.size))
        path = one.place(target)
        try:
            if is_new := not _is_there(one, path):
                _fetch(client, one, path)
        except MiraklError as error:
            if concerns_all(error):
                raise
            message = error.message.replace(str(path), f"its place in {path.parent}")
            log.warning("File %s: %s", one.item, message)
            yield ItemResult(one.item, "failed", code_of(error), message)
            continue
        except OSError as error:  # says the name of the file, which may name a customer
            folder, why = str(path.parent), error.strerror or type(error).__name__
            raise MiraklStorageError(
                f"{one.item} cannot be stored in {folder} ({why}). Until it is complete it is in {gettempdir()}",
                path=folder,
            ) from None
        if is_new:
            stored(one)
        yield ItemResult(one.item, "succeeded")


def _is_there(wanted: Wanted, path: StoragePath) -> bool:
    size = _size_of(path)
    return size is not None and wanted.size in (None, size)


def _fetch(client: Client, wanted: Wanted, path: StoragePath) -> None:
    limits = wanted.limits
    with _unnamed(), ExitStack() as stack:
        file = stack.enter_context(spooled(client, wanted.call, limits))
        archive = stack.enter_context(opened(file, limits))
        if len(archive.members) != 1:
            raise ArchiveRefusedError([f"it contains {len(archive.members)} files, but one was requested"])
        (member,) = archive.members
        size = wanted.size
        if size is not None and member.size != size:
            raise ArchiveRefusedError([f"the file in it has {member.size:,} bytes; Mirakl lists {size:,}"])
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing(path) as target:
            for piece in archive.read(member):
                target.write(piece)


@contextlib.contextmanager
def _unnamed() -> Iterator[None]:
    """Say what is wrong with an archive without the names of its files: they may name a customer."""
    try:
        yield
    except ArchiveRefusedError as refused:
        raise ArchiveRefusedError([_NAME.sub("a file", words) for words in refused.problems]) from None


def _size_of(path: StoragePath) -> int | None:
    with contextlib.suppress(FileNotFoundError):
        return int(path.stat().st_size)
    return None
