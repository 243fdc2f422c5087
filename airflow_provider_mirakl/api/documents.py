"""Documents of shops: S30 to S33, and their types: DO01. Source: docs/mirakl-facts.md.

A seller's calls speak of one shop, the key's own; the operator and the front office name shops, by the names that
:mod:`~.caller` knows. All other differences are in :data:`VARIANTS`.
"""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import HTTP
from typing import BinaryIO, TypedDict
from urllib.parse import unquote

from airflow_provider_mirakl.api.call import (
    ANY,
    JSON,
    Call,
    Json,
    Multipart,
    Operation,
    Part,
    Reply,
    comma,
    encode,
    moment,
    nothing,
    query,
)
from airflow_provider_mirakl.api.caller import Caller, shops_params
from airflow_provider_mirakl.api.values import numeric_id
from airflow_provider_mirakl.exceptions import ApiFault, MiraklInputError

PATH = "/api/shops/documents"
MAX_DOCUMENTS = 50
"""Documents in one upload, and of one shop."""
MAX_PERIOD = timedelta(days=90)
"""How far back ``updated_since`` may reach."""

# No frequency is published for these four beyond "at each display", "at each upload".
S30 = Operation("S30", "GET", PATH, replay=True)
S31 = Operation("S31", "GET", f"{PATH}/download", replay=True)
S32 = Operation("S32", "POST", PATH, replay=False)
# If it succeeded and the reply was lost, a second call would answer 404: the caller must handle that.
S33 = Operation("S33", "DELETE", f"{PATH}/{{document_id}}", replay=False)
DO01 = Operation("DO01", "GET", "/api/documents", replay=True, interval=86_400)


@dataclass(frozen=True, slots=True)
class Variant:
    """How the document calls of a role differ.

    :param own_shop: the key belongs to a shop, so none must be named.
    :param changes: S30 has ``updated_since`` and ``include_deleted``, and needs this or shops.
    """

    own_shop: bool
    changes: bool


SELLER = Variant(own_shop=True, changes=False)
MARKETPLACE = Variant(own_shop=False, changes=True)
VARIANTS: Mapping[str, Variant] = {"shop": SELLER, "operator": MARKETPLACE, "front": MARKETPLACE}
"""By the role of a connection."""


@dataclass(frozen=True, slots=True)
class ShopDocument:
    """A document of a shop, as S30 lists it.

    :param id: Mirakl's id.
    :param file_name: name of the uploaded file. It is chosen by the uploader: make it safe before using it as a path.
    :param type: code of its type.
    :param shop_id: its shop; ``None`` in a seller's listing, which does not say it.
    :param date_uploaded: as Mirakl writes it, UTC.
    :param date_deleted: set for deleted documents, which a listing includes only on request.
    """

    id: int
    file_name: str
    type: str
    shop_id: int | None = None
    date_uploaded: str | None = None
    date_deleted: str | None = None


class DocumentType(TypedDict, total=False):
    """A type of document, as DO01 lists it.

    ``entity`` is ``SHOP`` or ``ORDER``; ``mime_types`` are the accepted ones, where the type restricts them;
    ``models`` come to the operator and the front office only.
    """

    code: str
    label: str
    description: str
    entity: str
    mime_types: list[str]
    models: list[str]


@dataclass(frozen=True, slots=True)
class Upload:
    """A file to upload.

    :param file_name: its name at Mirakl, distinct in one call.
    :param type_code: code of its type, distinct in one call.
    :param content: its bytes, or a function that opens them, called again for every attempt.
    """

    file_name: str
    type_code: str
    content: bytes | Callable[[], BinaryIO]


@dataclass(frozen=True, slots=True)
class RefusedUpload:
    """A document that S32 did not accept.

    :param file_name: as it was sent.
    :param type_code: as it was sent.
    :param faults: why.
    """

    file_name: str
    type_code: str
    faults: tuple[ApiFault, ...]


@dataclass(frozen=True, slots=True)
class UploadReply:
    """The answer of S32, which is a 200 even where documents were refused.

    :param errors_count: the number of refused documents, from Mirakl.
    :param refused: the refused ones it lists.
    """

    errors_count: int
    refused: tuple[RefusedUpload, ...]


def list_documents(
    role: str,
    *,
    shop_ids: Collection[int] = (),
    updated_since: datetime | None = None,
    include_deleted: bool = False,
) -> Call[list[ShopDocument]]:
    """S30: the documents of a shop, or of many. Not paginated.

    :param role: ``shop``, ``operator`` or ``front``.
    :param shop_ids: the shops. A seller names one or none; none means the user's default shop.
    :param updated_since: only documents uploaded or deleted since then, at most 90 days ago. Not for sellers.
    :param include_deleted: list deleted ones too. Not for sellers.
    :raises MiraklInputError: an argument that the role does not support, or a required one is missing.
    """
    variant = _variant(role)
    if not variant.changes and (updated_since is not None or include_deleted):
        raise MiraklInputError(
            "updated_since and include_deleted are for the operator and the front office; a shop's S30 has neither"
        )
    if variant.changes and not shop_ids and updated_since is None:
        raise MiraklInputError(f"S30 of role {role} needs shop_ids or updated_since")
    if updated_since is not None and (since := moment(updated_since)) and _is_too_old(updated_since):
        raise MiraklInputError(f"updated_since is {since}; S30 reaches back {MAX_PERIOD.days} days at most")
    return Call(
        S30,
        parse=_documents,
        params=shops_params(role, "S30", shop_ids)
        + query(updated_since=moment(updated_since), include_deleted=include_deleted or None),
    )


def download_documents(
    role: str,
    *,
    shop_ids: Collection[int] = (),
    document_ids: Collection[int] = (),
    type_codes: Collection[str] = (),
) -> Call[bytes]:
    """S31: exactly one ``document_ids`` returns the file itself, anything else a ZIP with a folder for each shop.

    Meant for ``Client.stream``. The name of the file is in the headers: see :func:`file_name_of`.

    :param role: ``shop``, ``operator`` or ``front``.
    :param shop_ids: all documents of these shops. A seller names one or none.
    :param document_ids: these documents. 404 when any of them does not exist, and then none is sent.
    :param type_codes: only these types.
    :raises MiraklInputError: no shop and no document, except for a seller, who then gets all of the shop.
    """
    variant = _variant(role)
    if not variant.own_shop and not shop_ids and not document_ids:
        raise MiraklInputError(f"S31 of role {role} needs shop_ids or document_ids")
    return Call(
        S31,
        parse=lambda reply: reply.body,
        params=shops_params(role, "S31", shop_ids)
        + query(document_ids=comma(document_ids), type_codes=comma(type_codes)),
        accept=ANY,
    )


def upload_documents(
    role: str, uploads: Sequence[Upload], *, shop_id: int | None = None
) -> Call[UploadReply]:
    """S32: attach 1 to 50 files to a shop. Never replayed: after an unclear failure ask S30 what arrived.

    :param role: ``shop``, ``operator`` or ``front``.
    :param uploads: the files; names and types distinct.
    :param shop_id: the shop. A seller may leave it out for the user's default shop.
    :raises MiraklInputError: a number of files out of range, or a missing shop where the role must name one.
    """
    if not 1 <= len(uploads) <= MAX_DOCUMENTS:
        raise MiraklInputError(f"{len(uploads)} documents in one call; S32 accepts 1 to {MAX_DOCUMENTS}")
    caller = _caller(role, shop_id)
    listed = [{"file_name": upload.file_name, "type_code": upload.type_code} for upload in uploads]
    descriptor = Part("shop_documents", encode({"shop_documents": listed}), content_type=JSON)
    parts = [descriptor, *caller.parts("S32")]
    for upload in uploads:
        mime = mime_type(upload.file_name)
        parts.append(Part("files", upload.content, file_name=upload.file_name, content_type=mime))
    return Call(
        S32,
        parse=_upload_reply,
        params=caller.params("S32"),
        body=Multipart(tuple(parts)),
    )


def delete_document(role: str, document_id: int, *, shop_id: int | None = None) -> Call[None]:
    """S33: delete a document.

    :param role: ``shop``, ``operator`` or ``front``.
    :param document_id: its id.
    :param shop_id: the shop, for a seller with several shops.
    """
    return Call(
        S33,
        parse=nothing,
        path=S33.at(document_id=document_id),
        params=_caller(role, shop_id).params("S33"),
    )


def list_document_types(
    role: str,
    *,
    entities: Collection[str] = ("SHOP",),
    locale: str | None = None,
    shop_id: int | None = None,
) -> Call[list[DocumentType]]:
    """DO01: the types of documents. At most once a day.

    :param role: ``shop``, ``operator`` or ``front``.
    :param entities: ``SHOP``, ``ORDER``; none for both.
    :param locale: of labels and descriptions.
    :param shop_id: the shop, for a seller with several shops.
    """
    return Call(
        DO01,
        parse=_document_types,
        params=query(entities=comma(entities), locale=locale) + _caller(role, shop_id).params("DO01"),
    )


def file_name_of(reply: Reply) -> str | None:
    """The file name in a reply's ``Content-Disposition``, decoded (RFC 5987, RFC 2047), else ``None``.

    A server chose it: make it safe before use as a path.
    """
    header = reply.headers.get("content-disposition", "")
    extended = re.search(r"filename\*\s*=\s*\"?([\w-]+)'[\w-]*'([^;\"\s]+)", header, re.IGNORECASE)
    if extended:
        try:
            return unquote(extended[2], encoding=extended[1], errors="replace")
        except LookupError:
            return unquote(extended[2], errors="replace")
    message = EmailMessage(policy=HTTP)
    try:
        message["Content-Disposition"] = " ".join(header.split())
        return message.get_filename()
    except (
        IndexError,
        RecursionError,
        ValueError,
    ):  # errors of the standard parser for an invalid header
        return None


def mime_type(file_name: str) -> str | None:
    """The media type that a file's name suggests."""
    return mimetypes.guess_type(file_name, strict=False)[0]


def _variant(role: str) -> Variant:
    try:
        return VARIANTS[role]
    except KeyError:
        raise MiraklInputError(f"role must be one of {', '.join(VARIANTS)}, not {role!r}") from None


def _caller(role: str, shop_id: int | None) -> Caller:
    _variant(role)  # refuses a role that does not exist
    return Caller(role, shop_id)


def _is_too_old(since: datetime) -> bool:
    # A minute of tolerance, so that a time just computed as "90 days ago" is accepted.
    return datetime.now(UTC) - since > MAX_PERIOD + timedelta(minutes=1)


def _documents(reply: Reply) -> list[ShopDocument]:
    return [_document(reply, item) for item in reply.list_of_objects("shop_documents")]


def _document(reply: Reply, item: Mapping[str, Json]) -> ShopDocument:
    document_id = numeric_id(item.get("id"))
    if document_id is None:
        raise reply.unreadable("a number under 'id' of every document", item.get("id"))
    return ShopDocument(
        id=document_id,
        file_name=_text(item.get("file_name")) or "",
        type=_text(item.get("type")) or "",
        shop_id=numeric_id(item.get("shop_id")),
        date_uploaded=_text(item.get("date_uploaded")),
        date_deleted=_text(item.get("date_deleted")),
    )


def _upload_reply(reply: Reply) -> UploadReply:
    """Mirakl's schema names the list ``documents``, its sample ``shop_documents``; one entry may come under both."""
    body = reply.state()
    listed: list[dict[str, Json]] = []
    for key in ("documents", "shop_documents"):
        listed += reply.objects(body.get(key) or [], f"under {key!r}")
    refused = tuple(dict.fromkeys(_refused(reply, entry) for entry in listed))
    count = numeric_id(body.get("errors_count"))
    if count is None and not any(isinstance(body.get(key), list) for key in ("documents", "shop_documents")):
        # Without either, it does not say whether anything was stored.
        raise reply.unreadable("a number under 'errors_count'", body.get("errors_count"))
    return UploadReply(len(refused) if count is None else count, refused)


def _refused(reply: Reply, entry: Mapping[str, Json]) -> RefusedUpload:
    given = entry.get("input")
    sent = given if isinstance(given, dict) else {}
    faults = tuple(
        ApiFault(
            _text(error.get("message")) or _text(error.get("code")) or "no reason given",
            _text(error.get("code")),
            _text(error.get("field")),
        )
        for error in reply.objects(entry.get("errors") or [], "under 'errors'")
    )
    return RefusedUpload(
        _text(sent.get("file_name")) or "",
        _text(sent.get("type_code")) or "",
        faults or (ApiFault("no reason given"),),
    )


def _document_types(reply: Reply) -> list[DocumentType]:
    types: list[DocumentType] = []
    for item in reply.list_of_objects("documents"):
        if not _text(item.get("code")):
            raise reply.unreadable("a text under 'code' of every type", item.get("code"))
        types.append(item)  # type: ignore[arg-type]
    return types


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) and value else None
