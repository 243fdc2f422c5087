"""Orders of Mirakl Connect: list, accept, ship, cancel, refund, documents, and the actions that all of it becomes.

Every operation that changes an order is asynchronous: Mirakl answers 202 with an ``action_id``, and
``v2-getActionStatus`` returns its status. None of them is sent twice, since money moves.

The unversioned ``listOrders``, ``acceptOrderLines`` and ``createShipment`` are superseded by these and closed to new
integrations, so they are not here. Source: Mirakl Connect's API documentation, https://developer.mirakl.com.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import BinaryIO, Literal

from airflow_provider_mirakl.api.call import (
    ANY,
    JSON,
    Call,
    Json,
    Multipart,
    Operation,
    Page,
    Part,
    Reply,
    checked_words,
    encode,
    moment,
    query,
)
from airflow_provider_mirakl.api.paging import seek_list
from airflow_provider_mirakl.exceptions import MiraklInputError

PATH = "/api/v2/orders"
MAX_LIMIT = 100
"""Items of one page, of every listing of orders, returns, documents and conversations."""
MAX_DOCUMENT_BYTES = 10 * 1024 * 1024
MAX_DOCUMENT_IDS = 100
MAX_REPORTED_ACTIONS = 100

ORDER_STATUSES = (
    "AWAITING_FRAUD_CHECK", "AWAITING_ACCEPTANCE", "AWAITING_PAYMENT", "AWAITING_SHIPMENT", "SHIPPED", "DELIVERED",
    "CLOSED",
)  # fmt: skip
"""Statuses that listOrders filters by. An order may have others: ``CHANNEL_SPECIFIC``, and whatever Mirakl adds."""
ADJUSTMENT_REASONS = (
    "CUSTOMER_CANCELATION", "OUT_OF_STOCK", "RETURN", "ITEM_NOT_RECEIVED", "AGREEMENT", "DEFECT", "UNABLE_TO_DELIVER",
)  # fmt: skip
"""Reasons of a cancelation and of a refund."""
DOCUMENT_TYPES = (
    "RETURN_LABEL", "CUSTOMER_INVOICE", "DELIVERY_SLIP", "SHIPMENT_DELIVERY_SLIP", "CHANNEL_SPECIFIC",
)  # fmt: skip
UPLOAD_TYPES = ("RETURN_LABEL", "CUSTOMER_INVOICE")

REPORT_TYPES = ("SYNCHRONIZE_ORDER", "SYNCHRONIZE_ORDER_UPDATE")
REPORT_STATUSES = ("SUCCESS", "FAILED")
REPORT_ERRORS = (
    "INVALID_INPUT", "DATA_NOT_FOUND", "UNEXPECTED", "UNAVAILABLE", "TOO_MANY_REQUEST", "ACTION_NOT_SUPPORTED",
    "ORDER_IN_WRONG_STATE", "INVALID_PRODUCT_ID", "OUT_OF_STOCK", "RETURN_IN_WRONG_STATE", "OTHER",
)  # fmt: skip
"""Codes of an error that is reported."""

LIST_ORDERS = Operation("v2-listOrders", "GET", PATH, replay=True, interval=60, personal=True)
ACCEPT_ORDER_LINES = Operation(
    "v2-acceptOrderLines", "PUT", f"{PATH}/{{order_id}}/accept", replay=False, personal=True
)
CANCEL_ORDER_LINES = Operation(
    "v2-cancelOrderLines", "POST", f"{PATH}/{{order_id}}/cancel", replay=False, personal=True
)
REFUND_ORDER_LINES = Operation(
    "v2-refundOrderLines", "POST", f"{PATH}/{{order_id}}/refund", replay=False, personal=True
)
CREATE_SHIPMENT = Operation(
    "v2-createShipment", "POST", f"{PATH}/{{order_id}}/shipments", replay=False, personal=True
)
LIST_ORDER_DOCUMENTS = Operation(
    "v2-listOrderDocuments", "GET", f"{PATH}/documents", replay=True, personal=True
)
DOWNLOAD_ORDER_DOCUMENTS = Operation(
    "v2-downloadOrderDocuments", "GET", f"{PATH}/{{order_id}}/documents", replay=True, personal=True
)
UPLOAD_ORDER_DOCUMENT = Operation(
    "v2-uploadOrderDocument", "POST", f"{PATH}/{{order_id}}/documents", replay=False, personal=True
)
REPORT_ORDER_ACTIONS = Operation(
    "v2-reportOrderActions", "POST", f"{PATH}/actions", replay=False, interval=60, personal=True
)
GET_ACTION_STATUS = Operation(
    "v2-getActionStatus", "GET", f"{PATH}/actions/{{action_id}}", replay=True, interval=60, personal=True
)
GET_ORDER_TRACKING = Operation(
    "v2-getOrderTracking", "GET", f"{PATH}/tracking/{{tracking_id}}", replay=True, personal=True
)

Order = dict[str, Json]
Rows = Sequence[Mapping[str, Json]]


def list_orders(
    *,
    order_ids: Collection[str] = (),
    statuses: Collection[str] = (),
    updated_from: datetime | None = None,
    fulfillment_type: Literal["FULFILLED_BY_SELLER", "FULFILLED_BY_PARTNER"] | None = None,
    limit: int = MAX_LIMIT,
    page_token: str | None = None,
) -> Call[Page[Order]]:
    """List orders, the most recently updated first.

    :param order_ids: only these orders.
    :param statuses: only orders in these states, see :data:`ORDER_STATUSES`.
    :param updated_from: only orders that were updated in Connect at this time or later. Without it and without
        ``order_ids`` Mirakl lists the last 30 days.
    :param fulfillment_type: only orders that are fulfilled so.
    :param limit: orders a page, 1 to 100.
    :param page_token: opaque position of a page, from the page before. It carries every other parameter.
    :return: a call that returns one page.
    :raises MiraklInputError: a limit out of range, an unknown status, or a time without a time zone.
    """
    checked_limit(limit, LIST_ORDERS)
    checked_words("statuses", statuses, ORDER_STATUSES)
    filters = query(
        order_ids=list(order_ids),
        statuses=list(statuses),
        updated_from=moment(updated_from),
        fulfillment_type=fulfillment_type,
        limit=limit,
    )
    return seek_list(LIST_ORDERS, "data", filters, page_token=page_token)


def accept_order_lines(order_id: str, order_lines: Rows) -> Call[str]:
    """Accept or refuse lines of an order that is ``AWAITING_ACCEPTANCE``.

    :param order_id: Connect's id of the order.
    :param order_lines: one or more of ``{"id": ..., "accepted": true}``.
    :return: a call that returns the action's id.
    :raises MiraklInputError: no line, or no order id.
    """
    return _act(ACCEPT_ORDER_LINES, {"order_lines": filled("order_lines", order_lines)}, order_id)


def create_shipment(
    order_id: str,
    items: Rows,
    *,
    carrier: str | None = None,
    tracking_number: str | None = None,
    tracking_url: str | None = None,
    return_tracking_number: str | None = None,
    warehouse_id: str | None = None,
) -> Call[str]:
    """Ship items of one order in one parcel.

    :param order_id: Connect's id of the order.
    :param items: the content of the parcel: ``quantity`` (1 or more) and ``order_line_id`` or ``id``, which is the
        seller's product id.
    :param carrier: name of the carrier.
    :param tracking_number: the carrier's number.
    :param tracking_url: the carrier's page about the parcel.
    :param return_tracking_number: only for channels that ask for it when the parcel leaves.
    :param warehouse_id: where it leaves from.
    :return: a call that returns the action's id.
    :raises MiraklInputError: no item, or no order id.
    """
    shipment = {
        "items": filled("items", items),
        "carrier": carrier,
        "tracking_number": tracking_number,
        "tracking_url": tracking_url,
        "return_tracking_number": return_tracking_number,
        "warehouse_id": warehouse_id,
    }
    return _act(CREATE_SHIPMENT, without_none(shipment), order_id)


def cancel_order_lines(order_id: str, cancelations: Rows) -> Call[str]:
    """Cancel lines of an order, all of a line or a part of it.

    :param order_id: Connect's id of the order.
    :param cancelations: ``price``, ``shipping_price`` (each ``{"amount", "currency"}``), ``quantity`` and ``reason``
        (see :data:`ADJUSTMENT_REASONS`) of each line; ``order_line_id`` or ``product_id`` names it; ``taxes`` and
        ``shipping_taxes`` are optional.
    :return: a call that returns the action's id.
    :raises MiraklInputError: no line, or no order id.
    """
    return _act(CANCEL_ORDER_LINES, {"cancelations": filled("cancelations", cancelations)}, order_id)


def refund_order_lines(order_id: str, refunds: Rows) -> Call[str]:
    """Refund lines of an order, all of a line or a part of it.

    :param order_id: Connect's id of the order.
    :param refunds: as the cancelations of :func:`cancel_order_lines`; ``quantity`` may be left out.
    :return: a call that returns the action's id.
    :raises MiraklInputError: no line, or no order id.
    """
    return _act(REFUND_ORDER_LINES, {"refunds": filled("refunds", refunds)}, order_id)


def get_action_status(action_id: str) -> Call[dict[str, Json]]:
    """Get the status of an action on orders or returns: ``PENDING``, ``SUCCESS`` or ``FAILED`` with ``errors``.

    :param action_id: as an operation gave it. Each may be asked for once a minute.
    """
    return Call(
        GET_ACTION_STATUS,
        parse=Reply.state,
        path=GET_ACTION_STATUS.at(action_id=action_id),
        paced_by=action_id,
    )


def get_order_tracking(tracking_id: str) -> Call[dict[str, Json]]:
    """The deprecated way to ask for an action. New code uses :func:`get_action_status`, with the same id."""
    return Call(GET_ORDER_TRACKING, parse=Reply.state, path=GET_ORDER_TRACKING.at(tracking_id=tracking_id))


def report_order_actions(actions: Rows) -> Call[list[str]]:
    """Tell Connect what your own system did with orders, for the errors page of its back office.

    :param actions: 1 to 100 of ``{"type": "SYNCHRONIZE_ORDER", "entity_type": "ORDER", "entity_id": ..., "status":
        "SUCCESS" or "FAILED", "executed_at": ..., "errors": [{"code", "message"}]}``.
    :return: a call that returns the ids under which Connect keeps them.
    :raises MiraklInputError: a number of actions out of range.
    """
    if not 1 <= len(actions) <= MAX_REPORTED_ACTIONS:
        raise MiraklInputError(
            f"actions contains {len(actions):,} actions; {REPORT_ORDER_ACTIONS.code} accepts 1 to "
            f"{MAX_REPORTED_ACTIONS}"
        )
    return Call(
        REPORT_ORDER_ACTIONS,
        parse=lambda reply: [str(action.get("action_id")) for action in reply.list_of_objects("actions")],
        body=encode({"actions": list(actions)}),
    )


def list_order_documents(
    *,
    order_ids: Collection[str] = (),
    types: Collection[str] = (),
    channel_types: Collection[str] = (),
    updated_from: datetime | None = None,
    limit: int = MAX_LIMIT,
    page_token: str | None = None,
) -> Call[Page[dict[str, Json]]]:
    """List documents of orders, the most recently updated first.

    :param order_ids: only of these orders.
    :param types: only of these types, see :data:`DOCUMENT_TYPES`.
    :param channel_types: only of these types of the channel; ``types`` then has ``CHANNEL_SPECIFIC``.
    :param updated_from: only documents that were updated at this time or later.
    :param limit: documents a page, 1 to 100.
    :param page_token: opaque position of a page, from the page before.
    :return: a call that returns one page.
    :raises MiraklInputError: a limit out of range, an unknown type, or ``channel_types`` without their type.
    """
    checked_limit(limit, LIST_ORDER_DOCUMENTS)
    checked_words("types", types, DOCUMENT_TYPES)
    if channel_types and "CHANNEL_SPECIFIC" not in types:
        raise MiraklInputError("channel_types needs CHANNEL_SPECIFIC among types")
    filters = query(
        order_ids=list(order_ids),
        types=list(types),
        channel_types=list(channel_types),
        updated_from=moment(updated_from),
        limit=limit,
    )
    return seek_list(LIST_ORDER_DOCUMENTS, "documents", filters, page_token=page_token)


def download_order_documents(
    order_id: str, *, document_ids: Collection[str] = (), types: Collection[str] = ()
) -> Call[bytes]:
    """Download documents of one order. Always a ZIP, whatever their number. Meant for ``Client.stream``.

    :param order_id: Connect's id of the order.
    :param document_ids: only these, at most 100. Unknown ones are left out; 404 when none of them exists.
    :param types: only of these types; not together with ``document_ids``.
    :raises MiraklInputError: both filters, too many ids, or an unknown type.
    """
    if document_ids and types:
        raise MiraklInputError("enter either document_ids or types, not both")
    if len(document_ids) > MAX_DOCUMENT_IDS:
        raise MiraklInputError(
            f"document_ids contains {len(document_ids):,} ids; Mirakl accepts {MAX_DOCUMENT_IDS}"
        )
    checked_words("types", types, DOCUMENT_TYPES)
    return Call(
        DOWNLOAD_ORDER_DOCUMENTS,
        parse=lambda reply: reply.body,
        path=DOWNLOAD_ORDER_DOCUMENTS.at(order_id=order_id),
        params=query(types=list(types), document_ids=list(document_ids)),
        accept=ANY,
    )


def upload_order_document(
    order_id: str,
    content: bytes | Callable[[], BinaryIO],
    *,
    file_name: str,
    type: str,  # noqa: A002 - Mirakl's word
    return_id: str | None = None,
) -> Call[str]:
    """Attach a document to an order, or to a return of it.

    :param order_id: Connect's id of the order.
    :param content: the file: PDF, JPEG, PNG or CSV, at most 10 MB; or a function that opens it.
    :param file_name: the name that Connect shows, at most 255 characters.
    :param type: ``RETURN_LABEL`` or ``CUSTOMER_INVOICE``.
    :param return_id: the return that a label belongs to; some channels need it.
    :return: a call that returns the action's id.
    :raises MiraklInputError: another type, or a name that cannot be one.
    """
    checked_words("type", [type], UPLOAD_TYPES)
    if not 1 <= len(file_name) <= 255:
        raise MiraklInputError(f"file_name has {len(file_name)} characters; Mirakl accepts 1 to 255")
    entity = None if return_id is None else {"type": "RETURN", "id": return_id}
    metadata = without_none({"filename": file_name, "type": type, "entity": entity})
    return Call(
        UPLOAD_ORDER_DOCUMENT,
        parse=action_id_of,
        path=UPLOAD_ORDER_DOCUMENT.at(order_id=order_id),
        body=Multipart(
            (
                Part("metadata", encode(metadata), content_type=JSON),
                Part("file", content, file_name=file_name),
            )
        ),
    )


def action_id_of(reply: Reply) -> str:
    """The id of the action that a 202 announces."""
    return reply.text("action_id")


def checked_limit(limit: int, operation: Operation) -> None:
    """Refuse a page size that Mirakl does not have.

    :raises MiraklInputError: it is out of range.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise MiraklInputError(f"limit must be 1 to {MAX_LIMIT} for {operation.code}, not {limit}")


def filled(name: str, rows: Rows) -> list[Mapping[str, Json]]:
    """A list that Mirakl refuses when it is empty.

    :raises MiraklInputError: it is.
    """
    if not rows:
        raise MiraklInputError(f"{name} is empty; enter at least one")
    return list(rows)


def without_none(values: Mapping[str, object]) -> dict[str, object]:
    """The values that there are."""
    return {name: value for name, value in values.items() if value is not None}


def _act(operation: Operation, body: Mapping[str, object], order_id: str) -> Call[str]:
    return Call(operation, parse=action_id_of, path=operation.at(order_id=order_id), body=encode(body))
