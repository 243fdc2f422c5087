"""Shop documents S30 to S33."""

from __future__ import annotations

import base64
import io
import mimetypes
import re
import zipfile
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree as ET

from airflow_provider_mirakl.sandbox.machine import uploads
from airflow_provider_mirakl.sandbox.machine.core import Machine, Part
from airflow_provider_mirakl.sandbox.machine.exchange import Exchange
from airflow_provider_mirakl.sandbox.machine.uploads import Form
from airflow_provider_mirakl.sandbox.machine.wire import ApiError, Problem, Reply, loads
from airflow_provider_mirakl.sandbox.systems import reference
from airflow_provider_mirakl.sandbox.systems.shops import Shops, shop_of

MAX_DOCUMENTS = 50
WINDOW = 90 * 86400.0
OCTETS = "application/octet-stream"
#: Both of Mirakl's lists together: they contradict each other, so what one of them names is accepted.
EXTENSIONS = frozenset(
    "csv doc docx gif html jpeg jpg latex mov mp4 odc odg odp ods odt pdf png pps ppsx ppt pptx rtf text tiff txt "  # noqa: SIM905
    "xls xlsx xml zip zpl".split()
)
_FLAT = re.compile(r"shop_documents\[shop_documents]\[(\d+)]\[(file_name|type_code)]")
_FILES = re.compile(r"files(\[\d*])?")

Document = dict[str, Any]


class Documents(Part):
    """The documents of all shops, deleted ones too."""

    name = "documents"

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self._last = 500
        self.all: dict[int, Document] = {}

    def put(self, shop: int, kind: str, name: str, body: bytes) -> int:
        """Store a document without a question; tests use it for names that no upload would let in."""
        self._last += 1
        self.all[self._last] = {
            "id": self._last,
            "shop": shop,
            "type": kind,
            "name": name,
            "body": body,
            "uploaded": self._machine.clock.now(),
            "deleted": None,
        }
        return self._last

    def of(self, shop: int) -> list[Document]:
        """What a shop has now."""
        return [
            document
            for document in self.all.values()
            if document["shop"] == shop and document["deleted"] is None
        ]

    def reset(self) -> None:
        """Remove all; numbers continue."""
        self.all.clear()

    def dump(self) -> Any:
        """As JSON, for a restart."""
        rows = [
            {**document, "body": base64.b64encode(document["body"]).decode()}
            for document in self.all.values()
        ]
        return {"last": self._last, "documents": rows}

    def load(self, saved: Any) -> None:
        """Replace the content by that of :meth:`dump`."""
        self._last = saved["last"]
        self.all = {row["id"]: {**row, "body": base64.b64decode(row["body"])} for row in saved["documents"]}


def _shops(exchange: Exchange) -> list[int]:
    """``shop_ids`` of an operator.

    :raises ApiError: 400 if it is not a number, 404 for an unknown shop.
    """
    found = []
    for text in exchange.listed("shop_ids"):
        if not text.isdecimal():
            raise ApiError(
                400, "shop_ids must be whole numbers.", problems=[Problem("no whole number", "shop_ids")]
            )
        if int(text) not in exchange.part(Shops).all:
            raise ApiError(404, f"The shop {text} does not exist.")
        found.append(int(text))
    return found


def s30(exchange: Exchange) -> Reply:
    """S30: a seller's own documents; an operator names shops, or a date within the last 90 days."""
    documents = exchange.part(Documents)
    if exchange.shop is not None:
        rows = [_item(exchange, document) for document in documents.of(exchange.shop)]
        exchange.items = len(rows)
        return Reply.json({"shop_documents": rows, "total_count": len(rows)})
    since, shops = exchange.date("updated_since"), _shops(exchange)
    if since is None and not shops:
        raise ApiError(400, "At least one of shop_ids and updated_since is required.")
    clock = exchange.machine.clock
    if (
        since is not None and clock.real(clock.now() - since) > WINDOW
    ):  # a date is the caller's, so is the window
        raise ApiError(400, "updated_since must lie within the last 90 days.")
    deleted = exchange.boolean("include_deleted", False)
    rows = []
    for document in documents.all.values():
        changed = document["uploaded"] if document["deleted"] is None else document["deleted"]
        if (
            (not shops or document["shop"] in shops)
            and (since is None or changed >= since)
            and (deleted or document["deleted"] is None)
        ):
            row = {**_item(exchange, document), "shop_id": document["shop"]}
            if document["deleted"] is not None:
                row["date_deleted"] = exchange.machine.clock.iso(document["deleted"])
            rows.append(row)
    exchange.items = len(rows)
    return Reply.json({"shop_documents": rows, "total_count": len(rows)})


def _item(exchange: Exchange, document: Document) -> dict[str, Any]:
    return {
        "id": document["id"],
        "file_name": document["name"],
        "type": document["type"],
        "date_uploaded": exchange.machine.clock.iso(document["uploaded"]),
    }


def s31(exchange: Exchange) -> Reply:
    """S31: one document as it is, everything else as a ZIP; all or nothing."""
    documents = exchange.part(Documents)
    ids, types = exchange.listed("document_ids"), exchange.listed("type_codes")
    shops = [exchange.shop] if exchange.shop is not None else _shops(exchange)
    if not ids and not shops:
        raise ApiError(400, "It is mandatory to give shop_ids or document_ids.")
    known = {kind["code"] for kind in reference.DOCUMENTS if kind["entity"] == "SHOP"}
    strange = [kind for kind in types if kind not in known]
    if strange:
        raise ApiError(404, f"There is no document type {', '.join(strange)}.")
    if ids:
        chosen = [_visible(exchange, text, shops) for text in ids]
    else:
        chosen = [document for shop in shops for document in documents.of(shop)]
    chosen = [document for document in chosen if not types or document["type"] in types]
    exchange.items = len(chosen)
    if len(ids) == 1 and chosen:
        document = chosen[0]
        return Reply(200, document["body"], OCTETS, {"Content-Disposition": _disposition(document["name"])})
    stamp = exchange.machine.clock.iso(exchange.machine.clock.now()).translate(str.maketrans("", "", "-:.TZ"))
    return Reply(200, _zip(chosen), OCTETS, {"Content-Disposition": _disposition(f"documents-{stamp}.zip")})


def _visible(exchange: Exchange, text: str, shops: list[int]) -> Document:
    document = exchange.part(Documents).all.get(int(text)) if text.isdecimal() else None
    if document is None or document["deleted"] is not None or (shops and document["shop"] not in shops):
        raise ApiError(404, f"There is no document {text}.")
    return document


def _disposition(name: str) -> str:
    """The file name for every client: plain, and in UTF-8 if needed."""
    plain = "".join(char if " " <= char <= "~" and char not in '"\\' else "_" for char in name)
    extra = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'attachment; filename="{plain}"{extra}'


def _zip(documents: Iterable[Document]) -> bytes:
    out = io.BytesIO()
    taken: set[str] = set()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for document in documents:
            name = f"{document['shop']}/{document['name']}"
            stem, dot, ending = name.rpartition(".")
            number = 0
            while name in taken:
                number += 1
                name = f"{stem}({number}){dot}{ending}" if dot else f"{ending}({number})"
            taken.add(name)
            archive.writestr(zipfile.ZipInfo(name), document["body"])
    return out.getvalue()


def _described(form: Form) -> list[dict[str, Any]]:
    """The descriptor: a JSON part, an XML part, or flat fields.

    :raises ApiError: 400 if none can be read.
    """
    flat: dict[int, dict[str, Any]] = {}
    for part in form.parts:
        match = _FLAT.fullmatch(part.name)
        if match:
            flat.setdefault(int(match[1]), {})[match[2]] = part.text
    if flat:
        return [flat[index] for index in sorted(flat)]
    text = form.text("shop_documents")
    if not text:
        raise ApiError(
            400, "The part shop_documents is required.", problems=[Problem("is required", "shop_documents")]
        )
    try:
        if text.startswith("<"):
            root = ET.fromstring(text)  # noqa: S314 - expat itself limits entity expansion
            found: Any = [
                {child.tag: child.text or "" for child in entry} for entry in root.iter("shop_document")
            ]
        else:
            document = loads(text.encode())
            found = document["shop_documents"] if isinstance(document, dict) else document
        if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
            raise TypeError("shop_documents")
    except (ValueError, RecursionError, ET.ParseError, LookupError, TypeError) as error:
        message = "The part shop_documents must contain a list of file_name and type_code, as JSON or XML."
        raise ApiError(400, message, problems=[Problem(message, "shop_documents")]) from error
    return found


async def s32(exchange: Exchange) -> Reply:
    """S32: files and a descriptor; a 200 lists the failed ones."""
    form = await uploads.form(exchange)
    shop = shop_of(exchange, form.text("shop_id"), "shop_id")
    if exchange.part(Shops).all[shop]["shop_state"] in ("CLOSE", "TERMINATED"):
        raise ApiError(400, f"The shop {shop} is closed.")
    files = {
        part.file_name: part.body for part in form.parts if _FILES.fullmatch(part.name) and part.file_name
    }
    described = _described(form)
    names = [str(entry.get("file_name", "")) for entry in described]
    if len(described) > MAX_DOCUMENTS:
        raise ApiError(400, f"A call takes at most {MAX_DOCUMENTS} documents.")
    exchange.items = len(described)
    entry = exchange.machine.ledger.open(
        exchange.number, "S32", exchange.principal.account, exchange.moment, names, "created"
    )
    entry.settled = exchange.moment
    failed = []
    for index, wanted in enumerate(described):
        problems = _problems(exchange, shop, wanted, files, names[:index], described[:index])
        if problems:
            entry.mark(index, "failed", "; ".join(problem["message"] for problem in problems))
            echo = {"file_name": names[index], "type_code": str(wanted.get("type_code", ""))}
            failed.append({"input": echo, "errors": problems})
        else:
            exchange.part(Documents).put(shop, str(wanted["type_code"]), names[index], files[names[index]])
    extra = [name for name in files if name not in names]
    for name in extra:
        problem = _problem("file_name", "file_name", "The file is not in the descriptor.")
        failed.append({"input": {"file_name": name, "type_code": ""}, "errors": [problem]})
    key = exchange.machine.settings.upload_errors_key
    body: dict[str, Any] = {"errors_count": len(failed)}
    for name in ("documents", "shop_documents"):
        if key in (name, "both"):
            body[name] = failed
    return Reply.json(body)


def _problem(code: str, field: str, message: str) -> dict[str, str]:
    return {"code": f"valid_shop_document.{code}", "field": field, "message": message}


def _problems(
    exchange: Exchange,
    shop: int,
    wanted: dict[str, Any],
    files: dict[str, bytes],
    names: list[str],
    before: list[dict[str, Any]],
) -> list[dict[str, str]]:
    """Problems of one document of an upload."""
    name, code = str(wanted.get("file_name", "")), str(wanted.get("type_code", ""))
    documents = exchange.part(Documents).of(shop)
    kind = next((k for k in reference.DOCUMENTS if k["code"] == code and k["entity"] == "SHOP"), None)
    found = []
    if kind is None:
        found.append(_problem("type", "type_code", f"The document type {code} does not exist."))
    if name not in files:
        found.append(_problem("file", "file_name", f"There is no file named {name}."))
    elif not files[name]:
        found.append(_problem("file", "file_name", "The file is empty."))
    if name in names:
        found.append(_problem("file_name", "file_name", "The file name appears twice."))
    if any(sign in name for sign in "/\\\0") or name in ("", ".", ".."):
        found.append(_problem("file_name", "file_name", "The file name must not be a path."))
    if any(other.get("type_code") == code for other in before) or any(
        other["type"] == code for other in documents
    ):
        found.append(
            _problem("unique_type", "type_code", f"The shop has a document of the type {code} already.")
        )
    if len(documents) >= MAX_DOCUMENTS:
        found.append(_problem("limit", "file_name", f"A shop has at most {MAX_DOCUMENTS} documents."))
    if not _suits(exchange, name, kind):
        found.append(_problem("mime_type", "file_name", "The file type is not accepted."))
    return found


def _suits(exchange: Exchange, name: str, kind: dict[str, Any] | None) -> bool:
    ending = name.rpartition(".")[2].lower()
    if exchange.machine.settings.unlisted_document_types == "reject" and ending not in EXTENSIONS:
        return False
    accepted = kind.get("mime_types") if kind else None
    return not accepted or mimetypes.guess_type(name)[0] in accepted


def s33(exchange: Exchange) -> Reply:
    """S33: delete a document."""
    shops = [exchange.shop] if exchange.shop is not None else []
    document = _visible(exchange, exchange.params["document_id"], shops)
    document["deleted"] = exchange.machine.clock.now()
    return Reply(204)
