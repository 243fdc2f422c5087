"""The calls of Mirakl Connect's orders, returns, documents and conversations."""

from __future__ import annotations

import base64
import io
import uuid
import zipfile
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from typing import Any

from airflow_provider_mirakl.sandbox.machine import checks, paging, uploads
from airflow_provider_mirakl.sandbox.machine.checks import Check, array, fields, number, text
from airflow_provider_mirakl.sandbox.machine.exchange import Exchange
from airflow_provider_mirakl.sandbox.machine.values import parse_date
from airflow_provider_mirakl.sandbox.machine.wire import ApiError, Problem, Reply, loads
from airflow_provider_mirakl.sandbox.systems.orders import FORMATS, STATUSES, Book, Orders, Row, Timeline

RETURN_STATUSES = ("REQUEST_INITIATED", "REQUEST_DECLINED", "OPENED", "RECEIVED", "CLOSED")
REASONS = (
    "CUSTOMER_CANCELATION", "OUT_OF_STOCK", "RETURN", "ITEM_NOT_RECEIVED", "AGREEMENT", "DEFECT", "UNABLE_TO_DELIVER",
)  # fmt: skip
REJECTIONS = ("RETURN_WINDOW_CLOSED", "NOT_ELIGIBLE_FOR_RETURN", "FINAL_SALES")
DOCUMENT_TYPES = (
    "RETURN_LABEL", "CUSTOMER_INVOICE", "DELIVERY_SLIP", "SHIPMENT_DELIVERY_SLIP", "CHANNEL_SPECIFIC",
)  # fmt: skip
MAX_DOCUMENT = 10 * 1024 * 1024
MONTH = 30 * 86400.0


def _public(row: Row) -> Row:
    return {name: value for name, value in row.items() if not name.startswith("_")}


def _book(exchange: Exchange) -> Book:
    return exchange.part(Orders).book(exchange.principal.account)


def _row(table: Timeline, key: str, what: str) -> Row:
    if key not in table.rows:
        raise ApiError(404, f"The {what} does not exist.")
    return table.rows[key]


def _listing(
    exchange: Exchange,
    table: Timeline,
    key: str,
    wanted: Callable[[paging.Cursor, Row], bool],
    *,
    default: int = 10,
    last_month: bool = False,
) -> Reply:
    """A page, the most recently changed first. A row that changes while pages are read moves to their beginning."""
    cursor = paging.cursor(exchange, default)
    since: float | None = None
    if moment := cursor.one("updated_from"):
        stamp = parse_date(moment)
        if stamp is None:
            problem = Problem("must be an ISO 8601 date-time", "updated_from")
            raise ApiError(400, "updated_from cannot be read.", problems=[problem])
        since = exchange.machine.clock.at_wall(stamp)
    elif last_month and not cursor.many("order_ids"):
        since = exchange.machine.clock.now() - MONTH
    keys = table.keys(since)
    filters = any(
        cursor.query.get(name) for name in cursor.query if name not in ("updated_from", "page_token")
    )
    listed = [one for one in keys if wanted(cursor, table.row(one))] if filters else keys
    found, tokens = cursor.window(exchange, listed, descending=True)
    return Reply.json({key: [_public(table.row(one)) for one in found], **tokens})


def _among(cursor: paging.Cursor, name: str, value: object) -> bool:
    wanted = cursor.many(name)
    return not wanted or value in wanted


def _words(exchange: Exchange, name: str, choices: tuple[str, ...]) -> None:
    if wrong := [value for value in exchange.listed(name) if value not in choices]:
        problem = Problem(f"must be one of {', '.join(choices)}", name)
        raise ApiError(400, f"{wrong[0]} is not a value of {name}.", problems=[problem])


def list_orders(exchange: Exchange) -> Reply:
    """v2-listOrders."""
    _words(exchange, "statuses", STATUSES)
    _words(exchange, "fulfillment_type", ("FULFILLED_BY_SELLER", "FULFILLED_BY_PARTNER"))

    def wanted(cursor: paging.Cursor, row: Row) -> bool:
        return (
            _among(cursor, "order_ids", row["id"])
            and _among(cursor, "statuses", row["status"])
            and _among(cursor, "fulfillment_type", row["fulfillment"]["type"])
        )

    return _listing(exchange, _book(exchange).orders, "data", wanted, last_month=True)


def list_returns(exchange: Exchange) -> Reply:
    """v2-listReturns."""
    _words(exchange, "statuses", RETURN_STATUSES)
    if not exchange.query.get("updated_from") and "page_token" not in exchange.query:
        raise ApiError(400, "updated_from is required.", problems=[Problem("is required", "updated_from")])

    def wanted(cursor: paging.Cursor, row: Row) -> bool:
        return _among(cursor, "order_ids", row["order_id"]) and _among(cursor, "statuses", row["status"])

    return _listing(exchange, _book(exchange).returns, "data", wanted)


def list_documents(exchange: Exchange) -> Reply:
    """v2-listOrderDocuments."""
    _words(exchange, "types", DOCUMENT_TYPES)

    def wanted(cursor: paging.Cursor, row: Row) -> bool:
        return (
            _among(cursor, "order_ids", row["order_id"])
            and _among(cursor, "types", row["type"])
            and _among(cursor, "channel_types", row.get("channel_type"))
        )

    return _listing(exchange, _book(exchange).documents, "documents", wanted, default=50)


def list_conversations(exchange: Exchange) -> Reply:
    """listConversations."""
    if not any(exchange.query.get(name) for name in ("updated_from", "conversation_ids", "page_token")):
        raise ApiError(400, "updated_from or conversation_ids is required.")

    def wanted(cursor: paging.Cursor, row: Row) -> bool:
        return _among(cursor, "conversation_ids", row["id"]) and _among(
            cursor, "entity_ids", row["entity"]["id"]
        )

    return _listing(exchange, _book(exchange).conversations, "data", wanted, default=50)


def messages(exchange: Exchange) -> Reply:
    """getConversationMessages, the newest first."""
    row = _row(_book(exchange).conversations, exchange.params["conversationId"], "conversation")
    after = exchange.date("message_after")
    found = []
    for message in reversed(row["_messages"]):
        stamp = parse_date(message["created_at"])
        if after is None or (stamp is not None and exchange.machine.clock.at_wall(stamp) > after):
            shown = [_public(file) for file in message["attachments"]]
            found.append({**message, "attachments": shown})
    return Reply.json({"messages": found})


def _zip(files: Iterable[tuple[str, str]], name: str) -> Reply:
    """Names that come twice get a number, as Mirakl does it."""
    body, taken = io.BytesIO(), set[str]()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files:
            free, count = path, 0
            while free in taken:
                count += 1
                stem, dot, ending = path.rpartition(".")
                free = f"{stem}({count}){dot}{ending}" if dot else f"{path}({count})"
            taken.add(free)
            archive.writestr(free, base64.b64decode(content))
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Reply(200, body.getvalue(), "application/zip", headers)


def download_documents(exchange: Exchange) -> Reply:
    """v2-downloadOrderDocuments: always a ZIP."""
    _words(exchange, "types", DOCUMENT_TYPES)
    types, ids = exchange.listed("types"), exchange.listed("document_ids")
    if types and ids:
        raise ApiError(400, "types cannot be used together with document_ids.")
    book, order_id = _book(exchange), exchange.params["order_id"]
    _row(book.orders, order_id, "order")
    rows = [book.documents.row(key) for key in reversed(book.documents.keys())]
    chosen = [
        row
        for row in rows
        if row["order_id"] == order_id
        and (not types or row["type"] in types)
        and (not ids or row["id"] in ids)
    ]
    if not chosen:
        raise ApiError(404, "No documents were found on this order.")
    stamp = int(exchange.machine.clock.wall(exchange.moment) * 1000)
    return _zip(((row["name"], row["_body"]) for row in chosen), f"{order_id}_documents_{stamp}.zip")


def download_attachments(exchange: Exchange) -> Reply:
    """downloadConversationAttachments: a folder for each message, and in it one for each attachment."""
    key = exchange.params["conversationId"]
    row = _row(_book(exchange).conversations, key, "conversation")
    ids = exchange.listed("attachment_ids")
    files = [
        (f"{message['id']}/{file['id']}/{file['filename']}", file["_body"])
        for message in row["_messages"]
        for file in message["attachments"]
        if not ids or file["id"] in ids
    ]
    if not files:
        raise ApiError(404, "No attachments were found.")
    stamp = int(exchange.machine.clock.wall(exchange.moment) * 1000)
    return _zip(files, f"{key}_attachments_{stamp}.zip")


def action(exchange: Exchange, name: str = "action_id") -> Reply:
    """v2-getActionStatus, v2-getOrderTracking and getConversationActionStatus."""
    found = _book(exchange).actions.get(exchange.params[name])
    if found is None:
        raise ApiError(404, "No matching action was found.")
    return Reply.json(found)


async def _checked(exchange: Exchange, shape: Check) -> Any:
    document = await exchange.json()
    problems: list[Problem] = []
    shape(document, "$", problems)
    if problems:
        raise ApiError(
            400, f"The request contains {len(problems)} invalid value(s).", "INVALID_INPUT", problems
        )
    return document


def _order_id(exchange: Exchange) -> str:
    return str(_row(_book(exchange).orders, exchange.params["order_id"], "order")["id"])


@cache
def _shape(name: str) -> Check:
    money = fields({"amount": number(0), "currency": checks.currency}, frozenset({"amount", "currency"}))
    tax = array(fields({"code": text(1), "amount": money}, frozenset({"code", "amount"})))
    adjusted = {
        "order_line_id": text(1), "product_id": text(1), "quantity": number(0, whole=True), "price": money,
        "shipping_price": money, "reason": checks.one_of(*REASONS), "taxes": tax, "shipping_taxes": tax,
    }  # fmt: skip
    required = frozenset({"price", "reason", "shipping_price"})
    accepted = fields({"id": text(), "accepted": checks.boolean}, frozenset({"id", "accepted"}))
    item = {"id": text(1), "order_line_id": text(1), "quantity": number(1, whole=True)}
    shipment = {
        name: text(1) for name in ("carrier", "tracking_number", "return_tracking_number", "warehouse_id")
    } | {"tracking_url": text()}
    tracking = fields({name: text() for name in ("carrier", "tracking_number", "tracking_url")})
    errors = array(fields({"code": text(), "message": text(1, 2000)}, frozenset({"code", "message"})))
    report = {
        "type": checks.one_of("SYNCHRONIZE_ORDER", "SYNCHRONIZE_ORDER_UPDATE"), "entity_id": text(),
        "entity_type": checks.one_of("ORDER"), "executed_at": checks.date, "errors": errors,
        "status": checks.one_of("SUCCESS", "FAILED"),
    }  # fmt: skip
    message = fields({"body": text(1, 2000)}, frozenset({"body"}))
    topic = fields({"type": checks.one_of("FREE_TEXT"), "value": text(0, 500)}, frozenset({"type", "value"}))
    about = fields({"type": checks.one_of("ORDER"), "id": text()}, frozenset({"type", "id"}))
    shapes: dict[str, tuple[dict[str, Check], frozenset[str]]] = {
        "accept": ({"order_lines": array(accepted, 1)}, frozenset({"order_lines"})),
        "ship": ({"items": array(fields(item, frozenset({"quantity"}))), **shipment}, frozenset({"items"})),
        "cancel": (
            {"cancelations": array(fields(adjusted, required | {"quantity"}), 1)}, frozenset({"cancelations"}),
        ),
        "refund": ({"refunds": array(fields(adjusted, required), 1)}, frozenset({"refunds"})),
        "accept return": (
            {"accepted": checks.boolean, "rejection_reason": checks.one_of(*REJECTIONS)}, frozenset({"accepted"}),
        ),
        "track return": ({"label_url": text(), "rma_id": text(), "tracking": tracking}, frozenset()),
        "report": (
            {"actions": array(fields(report, frozenset(report) - {"errors"}), 1, 100)}, frozenset({"actions"}),
        ),
        "document": (
            {
                "filename": text(1, 255),
                "type": checks.one_of("RETURN_LABEL", "CUSTOMER_INVOICE"),
                "entity": fields({"type": checks.one_of("RETURN"), "id": text()}, frozenset({"type", "id"})),
            },
            frozenset({"filename", "type"}),
        ),
        "conversation": (
            {"entity": about, "first_message": message, "topic": topic},
            frozenset({"entity", "first_message", "topic"}),
        ),
        "message": ({"body": text(1, 2000)}, frozenset({"body"})),
    }  # fmt: skip
    known, needed = shapes[name]
    return fields(known, needed)


async def accept(exchange: Exchange) -> Reply:
    """v2-acceptOrderLines."""
    order_id = _order_id(exchange)
    document = await _checked(exchange, _shape("accept"))
    return exchange.part(Orders).act(exchange, "accept", order_id=order_id, lines=document["order_lines"])


async def ship(exchange: Exchange) -> Reply:
    """v2-createShipment."""
    order_id = _order_id(exchange)
    document = await _checked(exchange, _shape("ship"))
    return exchange.part(Orders).act(exchange, "ship", order_id=order_id, shipment=document)


async def adjust(exchange: Exchange, step: str, key: str) -> Reply:
    """v2-cancelOrderLines and v2-refundOrderLines."""
    order_id = _order_id(exchange)
    document = await _checked(exchange, _shape(step))
    return exchange.part(Orders).act(exchange, step, order_id=order_id, lines=document[key])


cancel = partial(adjust, step="cancel", key="cancelations")
refund = partial(adjust, step="refund", key="refunds")


def _return_id(exchange: Exchange) -> str:
    return str(_row(_book(exchange).returns, exchange.params["return_id"], "return")["id"])


async def accept_return(exchange: Exchange) -> Reply:
    """v2-acceptReturn."""
    return_id = _return_id(exchange)
    document = await _checked(exchange, _shape("accept return"))
    reason = {} if document["accepted"] else {"rejection_reason": document.get("rejection_reason", "OTHER")}
    return exchange.part(Orders).act(
        exchange,
        "return",
        return_id=return_id,
        states=["REQUEST_INITIATED"],
        becomes="OPENED" if document["accepted"] else "REQUEST_DECLINED",
        **reason,
    )


def step_return(exchange: Exchange, states: list[str], becomes: str) -> Reply:
    """v2-acknowledgeReturnReception and v2-closeReturn: no body, but Content-Length is required."""
    if exchange.request.headers.get("content-length") != "0":
        raise ApiError(411, "The Content-Length header must be present with value 0.")
    return exchange.part(Orders).act(
        exchange, "return", return_id=_return_id(exchange), states=states, becomes=becomes
    )


receive_return = partial(step_return, states=["OPENED"], becomes="RECEIVED")
close_return = partial(step_return, states=["OPENED", "RECEIVED"], becomes="CLOSED")


async def track_return(exchange: Exchange) -> Reply:
    """v2-updateReturnTrackingInformation. ``carrier`` in the request is ``carrier_name`` in replies."""
    return_id = _return_id(exchange)
    document = await _checked(exchange, _shape("track return"))
    if tracking := document.pop("tracking", None):
        named = {"carrier": "carrier_name"}
        document["tracking"] = {named.get(name, name): value for name, value in tracking.items()}
    return exchange.part(Orders).act(
        exchange, "return", return_id=return_id, states=["REQUEST_INITIATED", "OPENED"], **document
    )


def _files(form: uploads.Form) -> Iterator[Row]:
    for part in form.parts:
        if part.name == "files":
            yield {
                "filename": part.file_name or "attachment",
                "size_in_bytes": len(part.body),
                "_body": base64.b64encode(part.body).decode(),
            }


def _part(form: uploads.Form, name: str, shape: Check) -> Row:
    try:
        found = loads(next(part.body for part in form.parts if part.name == name))
    except StopIteration:
        raise ApiError(
            400, f"The part {name} is required.", problems=[Problem("is required", name)]
        ) from None
    except ValueError as error:
        raise ApiError(400, f"The part {name} is not JSON: {error}") from error
    problems: list[Problem] = []
    shape(found, f"$.{name}", problems)
    if problems:
        raise ApiError(
            400, f"The request contains {len(problems)} invalid value(s).", "INVALID_INPUT", problems
        )
    document: Row = found
    return document


async def upload_document(exchange: Exchange) -> Reply:
    """v2-uploadOrderDocument."""
    order_id = _order_id(exchange)
    form = await uploads.form(exchange)
    metadata = _part(form, "metadata", _shape("document"))
    file = form.file()
    if metadata["filename"].rpartition(".")[2].lower() not in FORMATS:
        raise ApiError(400, "Supported formats are PDF, JPEG, PNG and CSV.")
    if len(file.body) > MAX_DOCUMENT:
        raise ApiError(400, "The file is larger than 10 MB.")
    body = base64.b64encode(file.body).decode()
    return exchange.part(Orders).act(exchange, "attach", order_id=order_id, metadata=metadata, body=body)


async def report(exchange: Exchange) -> Reply:
    """v2-reportOrderActions: kept at once."""
    document = await _checked(exchange, _shape("report"))
    found = []
    for reported in document["actions"]:
        action_id = str(uuid.UUID(int=exchange.machine.random.getrandbits(128), version=4))
        stamp = exchange.machine.clock.iso(exchange.moment)
        kept = {"id": action_id, "status": reported["status"], "created_at": stamp, "updated_at": stamp}
        if "errors" in reported:
            kept["errors"] = reported["errors"]
        _book(exchange).actions[action_id] = kept
        found.append({"action_id": action_id})
    return Reply.json({"actions": found})


async def create_conversation(exchange: Exchange) -> Reply:
    """createConversation."""
    form = await uploads.form(exchange)
    conversation = _part(form, "conversation", _shape("conversation"))
    _row(_book(exchange).orders, conversation["entity"]["id"], "order")
    reply = exchange.part(Orders).act(exchange, "begin", conversation=conversation, files=list(_files(form)))
    return Reply.json({"action_id": loads(reply.body)["action_id"]}, 202)


async def create_message(exchange: Exchange) -> Reply:
    """createMessage."""
    key = exchange.params["conversationId"]
    _row(_book(exchange).conversations, key, "conversation")
    form = await uploads.form(exchange)
    message = _part(form, "message_input", _shape("message"))
    reply = exchange.part(Orders).act(
        exchange, "answer", conversation_id=key, message=message, files=list(_files(form))
    )
    return Reply.json({"action_id": loads(reply.body)["action_id"]}, 202)
