"""The actions as data: the columns of their rows, the calls they become, and what shows that one was carried out.

==========  ==================================================================================================
action      marks that an order or a return has once the action of a row is carried out
==========  ==================================================================================================
accept      the line no longer waits for acceptance, and is closed as ``REFUSED`` only if it was to be refused
ship        the line is ``SHIPPED`` or ``DELIVERED``
cancel      each adjustment ``CANCELATION`` of the line with this quantity, reason, price and taxes
refund      each adjustment ``REFUND`` of the line with this quantity, reason, price and taxes
upload      each document of the order with this name and type, with the time of its last update
begin       each conversation about the order with this topic
answer      each message of the conversation with this text
return      its status is the one that the action leads to, or a later one
==========  ==================================================================================================

Without a mark an action may still be at work. With one, it is carried out where only the state counts: an order cannot
be accepted twice. An action that *adds* something (a parcel, a refund, a document) is proven only by
:func:`is_proven`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

from airflow_provider_mirakl.actions import shown
from airflow_provider_mirakl.actions.attachments import Attach, MakePath, document, message_files, nothing
from airflow_provider_mirakl.actions.book import Actions
from airflow_provider_mirakl.actions.rows import (
    Column,
    Row,
    amount,
    boolean,
    paths,
    prose,
    quantity,
    taxes,
    text,
    word,
)
from airflow_provider_mirakl.actions.shown import Shown
from airflow_provider_mirakl.api.call import Call
from airflow_provider_mirakl.api.conversations import create_conversation, create_message
from airflow_provider_mirakl.api.orders import (
    ADJUSTMENT_REASONS,
    UPLOAD_TYPES,
    accept_order_lines,
    cancel_order_lines,
    create_shipment,
    refund_order_lines,
    upload_order_document,
)
from airflow_provider_mirakl.api.returns import (
    REJECTION_REASONS,
    accept_return,
    acknowledge_return_reception,
    close_return,
    update_return_tracking,
)

Marks: TypeAlias = Callable[[Row, Row], list[str]]
"""Gives the marks of a row on an order or a return."""
Marked: TypeAlias = list[list[str]]
"""The marks of each row of an action."""


@dataclass(frozen=True, slots=True)
class ActionKind:
    """One kind of action.

    :param title: name for messages.
    :param code: Mirakl's code of the operation.
    :param key: column with the id of the order or return.
    :param columns: the columns of its rows.
    :param call: the call of the rows of one action.
    :param marks: what shows on an order or a return that the action of a row was carried out; see the module's table.
    :param adds: whether each action adds something, so that an equal mark of another action can be taken for its own.
    :param together: columns, besides ``key``, whose values are equal in all rows of one action.
    :param item: column with the id of the item; empty for an action on the whole order or return.
    :param wrong: finds a problem in a row whose cells are valid.
    :param of: the call that returns the status of the action.
    :param attach: gives a row its files.
    :param shown: lists what the actions are about, as Mirakl shows it now.
    """

    title: str
    code: str
    key: str
    columns: Mapping[str, Column]
    call: Callable[[Sequence[Row]], Call[str]]
    marks: Marks
    adds: bool = False
    together: tuple[str, ...] = ()
    item: str = ""
    wrong: Callable[[Row], str | None] = lambda row: None
    of: Actions = "orders"
    attach: Attach = nothing
    shown: Shown = shown.orders

    def request(self, rows: Sequence[Row], make_path: MakePath) -> Call[str]:
        """The call of the rows of one action, with their files.

        :raises MiraklInputError: it cannot be sent.
        """
        return self.call([self.attach(row, make_path) for row in rows])

    def grouped(self, rows: Sequence[Row]) -> list[list[Row]]:
        """The rows of each action, in the order in which they first appear."""
        groups: dict[tuple[Any, ...], list[Row]] = {}
        for row in rows:
            groups.setdefault(tuple(row.get(name) for name in (self.key, *self.together)), []).append(row)
        return list(groups.values())

    def marked(self, found: Row, rows: Sequence[Row]) -> Marked:
        """The marks of each row of an action on an order or a return."""
        return [self.marks(found, row) for row in rows]

    def item_id(self, row: Row) -> str:
        """The name of a row in an outcome."""
        item = row.get(self.item) or row.get("product_id") if self.item else None
        return f"{row[self.key]}/{item}" if item else str(row[self.key])

    def doubles(self, rows: Sequence[Row]) -> Iterator[str]:
        """Items that occur twice in one action: a duplicate row must not be paid twice."""
        for group in self.grouped(rows):
            seen = set[str]()
            for row in group:
                item = self.item_id(row)
                if item in seen:
                    yield item
                seen.add(item)


def is_proven(before: Marked | None, after: Marked, others: Collection[str] = ()) -> bool:
    """Whether the marks prove that an action was carried out which adds something: one new mark for each of its rows.

    A mark that was there before the action belongs to another one. Of two new ones it is not known which is whose.

    :param before: marks of the rows, read before the action was sent; ``None`` where they were not read.
    :param after: marks of the rows now.
    :param others: marks that may belong to other actions.
    """
    if before is None or len(before) != len(after):
        return False
    for there, now in zip(before, after, strict=True):
        new = set(now) - set(there)
        if len(new) != 1 or new & set(others):
            return False
    return True


def money(row: Row) -> float:
    """The amount that a row refunds, including taxes."""
    parts = [row["price"], row["shipping_price"]]
    parts += [tax["amount"]["amount"] for name in ("taxes", "shipping_taxes") for tax in row.get(name, ())]
    return float(sum(parts))


def _line_of(order: Row, row: Row) -> Row | None:
    for line in order.get("order_lines") or ():
        if row.get("order_line_id") == line.get("id") or (
            "order_line_id" not in row and row.get("product_id") == (line.get("product") or {}).get("id")
        ):
            found: Row = line
            return found
    return None


def _accepted(order: Row, row: Row) -> list[str]:
    line = _line_of(order, row)
    if line is None or line.get("status") == "AWAITING_ACCEPTANCE":
        return []
    refused = line.get("status_reason") == "REFUSED"
    return ["answered"] if refused is not row.get("accepted", True) else []


def _shipped(order: Row, row: Row) -> list[str]:
    return ["shipped"] if (_line_of(order, row) or {}).get("status") in ("SHIPPED", "DELIVERED") else []


def _adjusted(kind: str) -> Marks:
    def marks(order: Row, row: Row) -> list[str]:
        adjustments = (_line_of(order, row) or {}).get("adjustments") or ()
        return [
            str(entry.get("id", entry.get("adjustment_id")))
            for entry in adjustments
            if entry.get("type") == kind and _is_equal(entry, row)
        ]

    return marks


def _is_equal(adjustment: Row, row: Row) -> bool:
    """Whether an adjustment has the values of a row. Mirakl returns numbers as numbers or strings."""
    wanted, currency = _adjustment(row), row["currency"]
    return (
        adjustment.get("reason") == row["reason"]
        and ("quantity" not in row or _number(adjustment.get("quantity")) == row["quantity"])
        and all(
            _number((adjustment.get(name) or {}).get("amount")) == _number(wanted[name]["amount"])
            and (adjustment.get(name) or {}).get("currency", currency) == currency
            for name in ("price", "shipping_price")
        )
        and all(
            _sum(adjustment.get(name)) == _sum(wanted[name])
            for name in ("taxes", "shipping_taxes")
            if name in wanted
        )
    )


def _number(value: Any) -> Decimal | None:
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return None


def _sum(listed: Any) -> Decimal:
    amounts = (_number((tax.get("amount") or {}).get("amount")) for tax in listed or ())
    return sum((amount for amount in amounts if amount is not None), Decimal(0))


def _status_in(*states: str) -> Marks:
    return lambda found, row: ["reached"] if found.get("status") in states else []


def _return_answered(found: Row, row: Row) -> list[str]:
    states = ("OPENED", "RECEIVED", "CLOSED") if row.get("accepted", True) else ("REQUEST_DECLINED",)
    return ["answered"] if found.get("status") in states else []


def _tracked(found: Row, row: Row) -> list[str]:
    tracking = found.get("tracking") or {}
    wanted = {"carrier": "carrier_name"}
    shows = all(
        (tracking if name in ("carrier", "tracking_number", "tracking_url") else found).get(
            wanted.get(name, name)
        )
        == value
        for name, value in row.items()
        if name != "return_id"
    )
    return ["tracked"] if shows else []


def _uploaded(found: Row, row: Row) -> list[str]:
    name = row.get("file_name", row["path"].rpartition("/")[2])
    return [
        f"{document.get('id')} {document.get('updated_at')}"
        for document in found.get("documents") or ()
        if document.get("name") == name and document.get("type") == row["type"]
    ]


def _begun(found: Row, row: Row) -> list[str]:
    return [
        str(conversation.get("id"))
        for conversation in found.get("conversations") or ()
        if isinstance(topic := conversation.get("topic"), dict) and topic.get("value") == row["topic"]
    ]


def _answered(found: Row, row: Row) -> list[str]:
    return [
        str(message.get("id"))
        for message in found.get("messages") or ()
        if message.get("body") == row["body"]
    ]


def _named(row: Row) -> str | None:
    return None if "order_line_id" in row or "product_id" in row else "enter order_line_id or product_id"


def _without(row: Row, *names: str) -> Row:
    return {name: value for name, value in row.items() if name not in names}


def _adjustment(row: Row) -> Row:
    currency = row["currency"]
    return _without(row, "order_id", "currency") | {
        "price": {"amount": row["price"], "currency": currency},
        "shipping_price": {"amount": row["shipping_price"], "currency": currency},
    }


def _shipment(rows: Sequence[Row]) -> Call[str]:
    names = {"order_line_id": "order_line_id", "product_id": "id", "quantity": "quantity"}
    items = [{there: row[here] for here, there in names.items() if here in row} for row in rows]
    return create_shipment(rows[0]["order_id"], items, **_without(rows[0], "order_id", *names))


_TEXT = Column(text)
_ID = Column(text, required=True)
_PROSE = Column(prose, required=True)
_LINE = {"order_id": _ID, "order_line_id": _TEXT, "product_id": _TEXT}
_ADJUSTED = {
    **_LINE,
    "quantity": Column(quantity, required=True),
    "price": Column(amount, required=True),
    "shipping_price": Column(amount, required=True),
    "currency": _ID,
    "reason": Column(word(*ADJUSTMENT_REASONS), required=True),
    "taxes": Column(taxes),
    "shipping_taxes": Column(taxes),
}
_PARCEL = ("carrier", "tracking_number", "tracking_url", "return_tracking_number", "warehouse_id")

ACTIONS: Mapping[str, ActionKind] = {
    "accept": ActionKind(
        "acceptance",
        "v2-acceptOrderLines",
        "order_id",
        {"order_id": _ID, "order_line_id": _ID, "accepted": Column(boolean)},
        lambda rows: accept_order_lines(
            rows[0]["order_id"],
            [{"id": row["order_line_id"], "accepted": row.get("accepted", True)} for row in rows],
        ),
        _accepted,
        item="order_line_id",
    ),
    "ship": ActionKind(
        "shipment",
        "v2-createShipment",
        "order_id",
        {**_LINE, "quantity": Column(quantity, required=True), **dict.fromkeys(_PARCEL, _TEXT)},
        _shipment,
        _shipped,
        adds=True,
        together=_PARCEL,
        item="order_line_id",
        wrong=_named,
    ),
    "cancel": ActionKind(
        "cancelation",
        "v2-cancelOrderLines",
        "order_id",
        _ADJUSTED,
        lambda rows: cancel_order_lines(rows[0]["order_id"], [_adjustment(row) for row in rows]),
        _adjusted("CANCELATION"),
        adds=True,
        item="order_line_id",
        wrong=_named,
    ),
    "refund": ActionKind(
        "refund",
        "v2-refundOrderLines",
        "order_id",
        _ADJUSTED | {"quantity": Column(quantity)},
        lambda rows: refund_order_lines(rows[0]["order_id"], [_adjustment(row) for row in rows]),
        _adjusted("REFUND"),
        adds=True,
        item="order_line_id",
        wrong=_named,
    ),
    "upload_document": ActionKind(
        "upload of a document",
        "v2-uploadOrderDocument",
        "order_id",
        {
            "order_id": _ID,
            "path": _ID,
            "type": Column(word(*UPLOAD_TYPES), required=True),
            "file_name": _TEXT,
            "return_id": _TEXT,
        },
        lambda rows: upload_order_document(
            rows[0]["order_id"],
            rows[0]["content"],
            file_name=rows[0]["file_name"],
            type=rows[0]["type"],
            return_id=rows[0].get("return_id"),
        ),
        _uploaded,
        adds=True,
        together=("path", "type", "return_id"),
        item="path",
        attach=document,
        shown=shown.documents,
    ),
    "accept_return": ActionKind(
        "acceptance of a return",
        "v2-acceptReturn",
        "return_id",
        {"return_id": _ID, "accepted": Column(boolean), "rejection_reason": Column(word(*REJECTION_REASONS))},
        lambda rows: accept_return(
            rows[0]["return_id"],
            accepted=rows[0].get("accepted", True),
            rejection_reason=rows[0].get("rejection_reason"),
        ),
        _return_answered,
        wrong=lambda row: (
            "rejection_reason must be left out of a return that is accepted"
            if row.get("accepted", True) and "rejection_reason" in row
            else None
        ),
        shown=shown.returns,
    ),
    "receive_return": ActionKind(
        "reception of a return",
        "v2-acknowledgeReturnReception",
        "return_id",
        {"return_id": _ID},
        lambda rows: acknowledge_return_reception(rows[0]["return_id"]),
        _status_in("RECEIVED", "CLOSED"),
        shown=shown.returns,
    ),
    "close_return": ActionKind(
        "closing of a return",
        "v2-closeReturn",
        "return_id",
        {"return_id": _ID},
        lambda rows: close_return(rows[0]["return_id"]),
        _status_in("CLOSED"),
        shown=shown.returns,
    ),
    "track_return": ActionKind(
        "tracking of a return",
        "v2-updateReturnTrackingInformation",
        "return_id",
        {
            "return_id": _ID,
            **dict.fromkeys(("carrier", "tracking_number", "tracking_url", "label_url", "rma_id"), _TEXT),
        },
        lambda rows: update_return_tracking(rows[0]["return_id"], **_without(rows[0], "return_id")),
        _tracked,
        wrong=lambda row: None if len(row) > 1 else "enter at least one column of tracking information",
        shown=shown.returns,
    ),
    "begin_conversation": ActionKind(
        "conversation",
        "createConversation",
        "order_id",
        {"order_id": _ID, "topic": _PROSE, "body": _PROSE, "files": Column(paths)},
        lambda rows: create_conversation(
            rows[0]["order_id"], topic=rows[0]["topic"], body=rows[0]["body"], files=rows[0].get("files", ())
        ),
        _begun,
        adds=True,
        together=("topic", "body"),
        attach=message_files,
        of="conversations",
        shown=shown.conversations,
    ),
    "answer_conversation": ActionKind(
        "message",
        "createMessage",
        "conversation_id",
        {"conversation_id": _ID, "body": _PROSE, "files": Column(paths)},
        lambda rows: create_message(
            rows[0]["conversation_id"], body=rows[0]["body"], files=rows[0].get("files", ())
        ),
        _answered,
        adds=True,
        together=("body",),
        attach=message_files,
        of="conversations",
        shown=shown.messages,
    ),
}
"""The actions by name."""
