"""The actions as data: the columns of their rows, the calls they become, and how an order shows that one is done.

==========  ==================================================================================================
action      when an order or a return shows that it is done
==========  ==================================================================================================
accept      no line waits for acceptance, and each is closed as ``REFUSED`` exactly where it was to be refused
ship        every line is ``SHIPPED`` or ``DELIVERED``
cancel      every line has an adjustment ``CANCELATION`` of this quantity and price, made since the intent
refund      every line has an adjustment ``REFUND`` of this quantity and price, made since the intent
upload      the order has a document of this name and type that was updated since the intent
return      its status is the one that the step leads to, or a later one
==========  ==================================================================================================

Anything else proves nothing: an action may be accepted and not carried out yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_mirakl.actions.rows import (
    Column,
    Row,
    amount,
    boolean,
    quantity,
    taxes,
    text,
    word,
)
from airflow_provider_mirakl.api.call import Call
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

CLOCKS = timedelta(minutes=1)
"""How far Mirakl's clock may be behind ours. Short, so that a change that another run made before is not taken for this
one."""


@dataclass(frozen=True, slots=True)
class ActionKind:
    """One kind of action.

    :param title: for a person.
    :param code: Mirakl's code of the operation.
    :param key: column that names the order or the return.
    :param columns: the columns of its rows.
    :param call: the call of the rows of one action.
    :param done: whether an order or a return shows that the action of these rows, intended at a moment, is done.
    :param together: columns whose values rows of one action share, besides ``key``.
    :param item: column that names the item, besides ``key``; empty for an action on the whole.
    :param wrong: says what is wrong with a row, beyond its cells.
    """

    title: str
    code: str
    key: str
    columns: Mapping[str, Column]
    call: Callable[[Sequence[Row]], Call[str]]
    done: Callable[[Row, Sequence[Row], datetime], bool]
    together: tuple[str, ...] = ()
    item: str = ""
    wrong: Callable[[Row], str | None] = lambda row: None

    def grouped(self, rows: Sequence[Row]) -> list[list[Row]]:
        """The rows of each action, in the order in which they first appear."""
        groups: dict[tuple[Any, ...], list[Row]] = {}
        for row in rows:
            groups.setdefault(tuple(row.get(name) for name in (self.key, *self.together)), []).append(row)
        return list(groups.values())

    def item_id(self, row: Row) -> str:
        """What an outcome calls a row."""
        item = row.get(self.item) or row.get("product_id") if self.item else None
        return f"{row[self.key]}/{item}" if item else str(row[self.key])

    def doubles(self, rows: Sequence[Row]) -> Iterator[str]:
        """Items that one action would have twice: a row too many in a file must not be paid twice."""
        for group in self.grouped(rows):
            seen = set[str]()
            for row in group:
                item = self.item_id(row)
                if item in seen:
                    yield item
                seen.add(item)


def money(row: Row) -> float:
    """What a row gives back, taxes included."""
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


def _accepted(order: Row, rows: Sequence[Row], since: datetime) -> bool:
    def shows(line: Row | None, accepted: bool) -> bool:
        if line is None or line.get("status") == "AWAITING_ACCEPTANCE":
            return False
        return (line.get("status_reason") == "REFUSED") is not accepted

    return all(shows(_line_of(order, row), row.get("accepted", True)) for row in rows)


def _shipped(order: Row, rows: Sequence[Row], since: datetime) -> bool:
    return all((_line_of(order, row) or {}).get("status") in ("SHIPPED", "DELIVERED") for row in rows)


def _adjusted(kind: str) -> Callable[[Row, Sequence[Row], datetime], bool]:
    def done(order: Row, rows: Sequence[Row], since: datetime) -> bool:
        return all(
            any(
                entry.get("type") == kind
                and (entry.get("price") or {}).get("amount") in (row["price"], str(row["price"]))
                and entry.get("quantity") in (row.get("quantity", 0), str(row.get("quantity", 0)))
                and (_moment(entry.get("created_at")) or since) >= since - CLOCKS
                for entry in (_line_of(order, row) or {}).get("adjustments") or ()
            )
            for row in rows
        )

    return done


def _moment(value: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None


def _status_in(*states: str) -> Callable[[Row, Sequence[Row], datetime], bool]:
    return lambda found, rows, since: found.get("status") in states


def _return_answered(found: Row, rows: Sequence[Row], since: datetime) -> bool:
    accepted = rows[0].get("accepted", True)
    states = ("OPENED", "RECEIVED", "CLOSED") if accepted else ("REQUEST_DECLINED",)
    return found.get("status") in states


def _tracked(found: Row, rows: Sequence[Row], since: datetime) -> bool:
    tracking = found.get("tracking") or {}
    wanted = {"carrier": "carrier_name"}
    return all(
        (tracking if name in ("carrier", "tracking_number", "tracking_url") else found).get(
            wanted.get(name, name)
        )
        == value
        for name, value in rows[0].items()
        if name != "return_id"
    )


def _uploaded(found: Row, rows: Sequence[Row], since: datetime) -> bool:
    name = rows[0].get("file_name", rows[0]["path"].rpartition("/")[2])
    return any(
        document.get("name") == name and document.get("type") == rows[0]["type"]
        for document in found.get("documents") or ()
    )


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
        # The operator opens the file.
        lambda rows: upload_order_document(
            rows[0]["order_id"],
            rows[0]["content"],
            file_name=rows[0]["file_name"],
            type=rows[0]["type"],
            return_id=rows[0].get("return_id"),
        ),
        _uploaded,
        together=("path", "type", "return_id"),
        item="path",
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
            "rejection_reason: belongs to a return that is not accepted"
            if row.get("accepted", True) and "rejection_reason" in row
            else None
        ),
    ),
    "receive_return": ActionKind(
        "reception of a return",
        "v2-acknowledgeReturnReception",
        "return_id",
        {"return_id": _ID},
        lambda rows: acknowledge_return_reception(rows[0]["return_id"]),
        _status_in("RECEIVED", "CLOSED"),
    ),
    "close_return": ActionKind(
        "closing of a return",
        "v2-closeReturn",
        "return_id",
        {"return_id": _ID},
        lambda rows: close_return(rows[0]["return_id"]),
        _status_in("CLOSED"),
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
        wrong=lambda row: None if len(row) > 1 else "enter what is known of the return's way",
    ),
}
"""By name."""
