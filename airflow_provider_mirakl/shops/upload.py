"""Uploads files to a shop: checked before a call is made, one result for each, and never sent twice."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import msgspec

from airflow_provider_mirakl.api.call import Part
from airflow_provider_mirakl.api.documents import (
    MAX_DOCUMENTS,
    DocumentType,
    ShopDocument,
    Upload,
    UploadReply,
    list_documents,
    mime_type,
    upload_documents,
)
from airflow_provider_mirakl.api.values import moment_of
from airflow_provider_mirakl.exceptions import (
    MiraklInputError,
    MiraklReplyError,
    MiraklServerError,
    MiraklTransportError,
    Problem,
)
from airflow_provider_mirakl.files.notes import NoteKind
from airflow_provider_mirakl.files.storage import StoragePath, is_file
from airflow_provider_mirakl.outcome import ItemResult
from airflow_provider_mirakl.shops.names import folded

if TYPE_CHECKING:
    from airflow_provider_mirakl.client.http import Client

ATTEMPTS = 3
"""How often missing files are sent."""
SETTLE = 5.0
"""Seconds between an uncertain failure and the listing. Mirakl does not publish how soon S30 shows an upload."""
CLOCK_TOLERANCE = 5.0
"""Seconds by which Mirakl's clock, and what is known of it, may be off: both are in whole seconds."""

log = logging.getLogger("airflow_provider_mirakl.documents")


class Known(msgspec.Struct):
    """``known.json``: ids of the documents that the shop had before the first try."""

    document_ids: list[int]


KNOWN = NoteKind(
    file="known.json",
    holds="which documents a shop had before an upload",
    type=Known,
    damaged="stop",
    fix="Check which of the documents arrived; then remove the file and run the task with the others, or with "
    "if_exists='skip'.",
)


def is_since(document: ShopDocument, moment: float) -> bool:
    """Whether a document was uploaded since a moment; false if Mirakl does not say when.

    :param moment: in seconds since the epoch, by Mirakl's clock.
    """
    uploaded = moment_of(document.date_uploaded)
    return uploaded is not None and uploaded.timestamp() >= moment - CLOCK_TOLERANCE


@dataclass(frozen=True, slots=True)
class File:
    """A checked file to upload.

    :param path: its path.
    :param file_name: its name in Mirakl.
    :param type_code: code of its type.
    """

    path: StoragePath
    file_name: str
    type_code: str

    def open(self) -> BinaryIO:
        """Open it for one try."""
        return cast("BinaryIO", self.path.open("rb"))

    def is_that(self, document: ShopDocument) -> bool:
        """Whether a listed document has its name and its type."""
        return document.type == self.type_code and folded(document.file_name) == folded(self.file_name)


def check_files(
    wanted: Sequence[Mapping[str, Any]],
    at: Callable[[str], StoragePath],
    *,
    types: Sequence[DocumentType] | None = None,
) -> list[File]:
    """Check every file before a call is made.

    :param wanted: for each file its ``path``, ``type_code`` and, optionally, ``file_name``.
    :param at: makes a path from a string.
    :param types: the types of DO01, to check types and media types; default no check.
    :raises MiraklInputError: a file is invalid; every problem is listed.
    """
    problems: list[Problem] = []
    files: list[File] = []
    for place, entry in enumerate(wanted):
        file, faults = _read_entry(f"documents[{place}]", entry, at)
        problems += faults
        if file is not None:
            files.append(file)
            problems += _faults_of_type(file, types)
    problems += _repeated("file name", "distinct names", (file.file_name for file in files))
    problems += _repeated("type", "one file of a type", (file.type_code for file in files))
    if len(wanted) > MAX_DOCUMENTS:
        problems.append(Problem(f"{len(wanted)} files; Mirakl allows {MAX_DOCUMENTS} per call and per shop"))
    if not wanted:
        problems.append(Problem("no files to upload"))
    if problems:
        raise MiraklInputError("the documents cannot be uploaded; nothing was sent", problems)
    return files


class Uploader:
    """Uploads files to one shop.

    S32 is never blindly repeated: after a failure with an unknown result, S30 lists what arrived, and only
    the rest is sent.

    :param client: sends the calls.
    :param role: ``shop``, ``operator`` or ``front``.
    :param shop_id: the shop; ``None`` for a seller's default shop.
    :param sleep: waits a number of seconds.
    """

    def __init__(
        self,
        client: Client,
        role: str,
        shop_id: int | None,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._role = role
        self._shop_id = shop_id
        self._sleep = sleep

    def listed(self) -> list[ShopDocument]:
        """The documents of the shop, from S30."""
        shops = () if self._shop_id is None else (self._shop_id,)
        return self._client.send(list_documents(self._role, shop_ids=shops))

    def upload(self, files: Sequence[File], *, known: Collection[int]) -> list[ItemResult]:
        """Send files, and return a result for each.

        :param files: 1 to 50 of them.
        :param known: ids of the documents that the shop had before; any other is assumed to be from this upload.
        :raises MiraklBadRequestError: Mirakl rejected the whole call, for example for a closed shop.
        :raises MiraklTransportError: nothing was sent, or some files did not arrive after :data:`ATTEMPTS` tries.
        :raises MiraklServerError: the same.
        """
        left, results = list(files), []
        for attempt in range(1, ATTEMPTS + 1):
            uploads = [Upload(file.file_name, file.type_code, file.open) for file in left]
            try:
                reply = self._client.send(upload_documents(self._role, uploads, shop_id=self._shop_id))
            except (MiraklServerError, MiraklReplyError, MiraklTransportError) as error:
                if error.surely_not_done:
                    raise
                log.warning("%s Listing the documents that arrived.", error)
                self._sleep(SETTLE)
                arrived = self._arrived(left, known)
                results += [ItemResult(file.file_name, "succeeded") for file in arrived]
                left = [file for file in left if file not in arrived]
                if not left:
                    break
                if attempt == ATTEMPTS:
                    raise
                log.warning(
                    "%d of %d documents did not arrive; sending them again, try %d of %d",
                    len(left),
                    len(files),
                    attempt + 1,
                    ATTEMPTS,
                )
            else:
                results += self._results(reply, left, known)
                break
        return results

    def _arrived(self, files: Sequence[File], known: Collection[int]) -> list[File]:
        new = [document for document in self.listed() if document.id not in known]
        return [file for file in files if any(file.is_that(document) for document in new)]

    def _results(self, reply: UploadReply, files: Sequence[File], known: Collection[int]) -> list[ItemResult]:
        refused = {folded(entry.file_name): entry for entry in reply.refused}
        names = {folded(file.file_name) for file in files}
        named = len(names & refused.keys())
        # Errors without a name: only the listing shows which documents they concern.
        arrived = self._arrived(files, known) if reply.errors_count > named else files
        results = []
        for file in files:
            entry = refused.get(folded(file.file_name))
            if entry is not None:
                message = "; ".join(fault.message for fault in entry.faults)
                results.append(
                    ItemResult(file.file_name, "failed", entry.faults[0].code, message, entry.faults[0].field)
                )
            elif file in arrived:
                results.append(ItemResult(file.file_name, "succeeded"))
            else:
                message = "Mirakl reports errors without a name, and does not list this document"
                results.append(ItemResult(file.file_name, "failed", "not_listed", message))
        return results


def _read_entry(
    place: str, entry: object, at: Callable[[str], StoragePath]
) -> tuple[File | None, list[Problem]]:
    if not isinstance(entry, Mapping) or not entry.get("path") or not entry.get("type_code"):
        return None, [Problem("needs a path and a type_code", place)]
    text, type_code = str(entry["path"]), str(entry["type_code"])
    path = at(text)
    name = str(entry.get("file_name") or path.name)
    problems = []
    try:
        Part("files", b"", file_name=name)
    except MiraklInputError as error:
        problems.append(Problem(error.message, f"{place}.file_name"))
    try:
        if not is_file(path):
            problems.append(Problem(f"file {text!r} does not exist", f"{place}.path"))
        elif path.stat().st_size == 0:
            problems.append(Problem(f"file {text!r} is empty", f"{place}.path"))
    except OSError as error:
        problems.append(Problem(f"file {text!r} cannot be read ({error})", f"{place}.path"))
    return File(path, name, type_code), problems


def _faults_of_type(file: File, types: Sequence[DocumentType] | None) -> Iterator[Problem]:
    if types is None:
        return
    by_code = {entry["code"]: entry for entry in types if entry.get("entity", "SHOP") == "SHOP"}
    known = by_code.get(file.type_code)
    if known is None:
        codes = ", ".join(sorted(by_code)) or "none"
        yield Problem(
            f"{file.type_code!r} is not a type of shop documents; the types are {codes}", "type_code"
        )
        return
    accepted, own = known.get("mime_types"), mime_type(file.file_name)
    if not isinstance(accepted, list) or not all(isinstance(kind, str) for kind in accepted):
        return  # none, or not in the form that Mirakl publishes: Mirakl itself checks them
    if accepted and own not in accepted:
        yield Problem(
            f"{file.file_name!r} is {own or 'of an unknown type'}; {file.type_code} accepts {', '.join(accepted)}",
            "file_name",
        )


def _repeated(what: str, rule: str, keys: Iterable[str]) -> Iterator[Problem]:
    for key, count in Counter(folded(key) for key in keys).items():
        if count > 1:
            yield Problem(f"the {what} {key!r} occurs {count} times; Mirakl requires {rule}")
