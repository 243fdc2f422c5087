"""Orders and returns of Mirakl Connect: state, asynchronous actions, documents, and new orders as time passes.

What Mirakl does not publish, and the sandbox therefore decides: an action is carried out whole or not at all; a line
that does not exist, a wrong quantity and a wrong amount are found when the action is carried out, not when it is asked
for; an accepted order is paid at once.
"""

from __future__ import annotations

import base64
import random
import uuid
from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import Any

from airflow_provider_mirakl.sandbox.machine.core import Machine, Part
from airflow_provider_mirakl.sandbox.machine.exchange import Exchange
from airflow_provider_mirakl.sandbox.machine.wire import Reply

Row = dict[str, Any]

STATUSES = (
    "AWAITING_FRAUD_CHECK", "AWAITING_ACCEPTANCE", "AWAITING_PAYMENT", "AWAITING_SHIPMENT", "SHIPPED", "DELIVERED",
    "CLOSED",
)  # fmt: skip
FORMATS = {
    "pdf": "application/pdf",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "png": "image/png",
    "csv": "text/csv",
}

_ORIGIN = {
    "channel_id": "0002",
    "channel_name": "Sandbox Market",
    "channel_store_id": "4",
    "channel_store_name": "Sandbox Shop",
}
PEOPLE = (
    ("Ada", "Lindqvist", "Storgatan 12", "Umeå", "SWE"),
    ("Bruno", "Carvalho", "Rua das Flores 7", "Porto", "PRT"),
    ("Chloé", "Marchand", "3 rue des Lilas", "Nantes", "FRA"),
    ("Dario", "Conti", "Via Roma 44", "Torino", "ITA"),
    ("Emil", "Novák", "Dlouhá 9", "Brno", "CZE"),
)


class RefusedError(Exception):
    """An action that ends FAILED.

    :param code: Mirakl's code.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Timeline:
    """Rows by id, listed by the time of their last change."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self._keys: dict[str, str] = {}
        self._sorted: list[str] | None = None

    def touch(self, row: Row, moment: float) -> None:
        """Store a row that changed at a given time."""
        self.rows[row["id"]] = row
        self._keys[row["id"]] = f"{moment:020.6f} {row['id']}"
        self._sorted = None

    def keys(self, since: float | None = None) -> list[str]:
        """Keys of the rows that changed at a given time or later, the oldest first."""
        if self._sorted is None:
            self._sorted = sorted(self._keys.values())
        if since is None:
            return self._sorted
        return self._sorted[bisect_left(self._sorted, f"{max(0.0, since - 0.0005):020.6f} ") :]

    def row(self, key: str) -> Row:
        """The row of a key."""
        return self.rows[key.partition(" ")[2]]

    def dump(self) -> list[list[Any]]:
        """As JSON, for a restart."""
        return [[float(self._keys[key].partition(" ")[0]), row] for key, row in self.rows.items()]

    def load(self, saved: Iterable[list[Any]]) -> None:
        """Replace the content by that of :meth:`dump`."""
        self.rows.clear()
        self._keys.clear()
        self._sorted = None
        for moment, row in saved:
            self.touch(row, moment)


class Book:
    """What one company has."""

    def __init__(self) -> None:
        self.orders = Timeline()
        self.returns = Timeline()
        self.documents = Timeline()
        self.conversations = Timeline()
        self.actions: dict[str, Row] = {}

    def tables(self) -> dict[str, Timeline]:
        """The timelines by name."""
        return {
            "orders": self.orders,
            "returns": self.returns,
            "documents": self.documents,
            "conversations": self.conversations,
        }


class Orders(Part):
    """The orders of all companies, and their pending actions."""

    name = "orders"

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self._count = 0
        self.books: dict[str, Book] = {}
        machine.agenda.on("orders.act", self._carry_out)
        machine.agenda.on("orders.arrive", self._arrive)

    def book(self, account: str) -> Book:
        """What a company has."""
        return self.books.setdefault(account, Book())

    # Orders as time passes

    def place(self, count: int, account: str = "", **changes: Any) -> list[str]:
        """Let orders arrive now; returns their ids.

        :param changes: fields that are set on every one of them, such as ``status`` (which its lines get too).
        """
        account = account or self._machine.settings.clients[0].account
        placed = []
        for _ in range(count):
            moment = self._machine.clock.now()
            self._count += 1
            row = order(self._count, self._machine.settings.seed, self._machine.clock.iso(moment)) | changes
            for line in row["order_lines"] if "status" in changes else ():
                line["status"] = row["status"]
            _settle(row)
            self.book(account).orders.touch(row, moment)
            placed.append(row["id"])
        return placed

    def change(self, order_id: str, account: str = "", **changes: Any) -> None:
        """Change fields of an order, as a channel or a customer does.

        :raises KeyError: the order does not exist.
        """
        account = account or self._machine.settings.clients[0].account
        self._touch(self.book(account).orders, self.book(account).orders.rows[order_id] | changes)

    def request_return(self, order_id: str, account: str = "", reason: str = "UNWANTED_ITEM") -> str:
        """Let a customer ask to send an order back; returns the id of the return.

        :raises KeyError: the order does not exist.
        """
        account = account or self._machine.settings.clients[0].account
        book = self.book(account)
        row, now = book.orders.rows[order_id], self._now()
        lines = [
            {
                "order_line_id": line["id"],
                "product_id": line["product"]["id"],
                "quantity": line["quantity"],
                "reason": reason,
            }
            for line in row["order_lines"]
        ]
        found = {
            "id": f"R-{len(book.returns.rows) + 1:06d}",
            "channel_return_id": f"CR-{len(book.returns.rows) + 1}",
            "order_id": order_id,
            "origin": _ORIGIN,
            "status": "REQUEST_INITIATED",
            "return_lines": lines,
            "created_at": now,
            "channel_updated_at": now,
            "updated_at": now,
        }
        book.returns.touch(found, self._machine.clock.now())
        return str(found["id"])

    def _expect(self) -> None:
        """Schedule the next order, if orders arrive automatically."""
        if self._machine.settings.order_seconds > 0:
            self._machine.agenda.at(
                self._machine.clock.now() + self._machine.settings.order_seconds, "orders.arrive", None
            )

    def _arrive(self, payload: None) -> None:
        self.place(1)
        self._expect()

    # Actions

    def act(self, exchange: Exchange, step: str, **arguments: Any) -> Reply:
        """Take an action that will be carried out after the processing time."""
        machine = self._machine
        now = machine.clock.now()
        stamp = machine.clock.iso(now)
        action_id = str(uuid.UUID(int=machine.random.getrandbits(128), version=4))
        account = exchange.principal.account
        self.book(account).actions[action_id] = {
            "id": action_id,
            "status": "PENDING",
            "created_at": stamp,
            "updated_at": stamp,
        }
        if not exchange.fault("lost"):
            fated = exchange.fault("fail_job") is not None
            payload = {
                "account": account, "action": action_id, "step": step, "arguments": arguments, "fails": fated,
            }  # fmt: skip
            machine.agenda.at(now + machine.settings.action_seconds, "orders.act", payload)
        return Reply.json({"action_id": action_id, "tracking_id": action_id}, 202)

    def _carry_out(self, payload: Row) -> None:
        book = self.book(payload["account"])
        action = book.actions[payload["action"]]
        action["updated_at"] = self._now()
        try:
            if payload["fails"]:
                raise RefusedError("UNEXPECTED", "The channel did not answer.")
            done = STEPS[payload["step"]](self, book, **payload["arguments"])
        except RefusedError as refused:
            # Conversations use a different term.
            action["status"] = "ERROR" if payload["step"] in ("begin", "answer") else "FAILED"
            action["errors"] = [{"code": refused.code, "message": str(refused)}]
        else:
            action["status"] = "SUCCESS"
            action.update(done or {})

    def _now(self) -> str:
        return self._machine.clock.iso(self._machine.clock.now())

    def _touch(self, table: Timeline, row: Row) -> None:
        row["updated_at"] = self._now()
        table.touch(row, self._machine.clock.now())

    # Life

    def reset(self) -> None:
        """Forget all."""
        self.books.clear()
        self._count = 0
        self._expect()

    def dump(self) -> Row:
        """As JSON, for a restart."""
        books = {
            account: {
                **{name: table.dump() for name, table in book.tables().items()},
                "actions": book.actions,
            }
            for account, book in self.books.items()
        }
        return {"count": self._count, "books": books}

    def load(self, saved: Row) -> None:
        """Replace the content by that of :meth:`dump`."""
        self._count = saved["count"]
        self.books.clear()
        for account, content in saved["books"].items():
            book = self.book(account)
            book.actions = content["actions"]
            for name, table in book.tables().items():
                table.load(content[name])


# What each action does. All of it, or nothing.


def _accept(orders: Orders, book: Book, order_id: str, lines: list[Row]) -> None:
    row = book.orders.rows[order_id]
    found = [(_line(row, wanted["id"]), wanted["accepted"]) for wanted in lines]
    for line, _ in found:
        _in(line, "AWAITING_ACCEPTANCE")
    for line, accepted in found:
        line["status"] = "AWAITING_SHIPMENT" if accepted else "CLOSED"
        if not accepted:
            line["status_reason"] = "REFUSED"
    _settle(row)
    orders._touch(book.orders, row)


def _ship(orders: Orders, book: Book, order_id: str, shipment: Row) -> None:
    row = book.orders.rows[order_id]
    found = [
        (_line(row, item.get("order_line_id"), item.get("id")), item["quantity"])
        for item in shipment["items"]
    ]
    left: dict[str, int] = {}
    for line, quantity in found:
        _in(line, "AWAITING_SHIPMENT")
        left.setdefault(line["id"], line["quantity"] - _shipped(row, line))
        left[line["id"]] -= quantity
        if left[line["id"]] < 0:
            raise RefusedError(
                "INVALID_INPUT", f"The quantity of line {line['id']} is larger than what is left to ship."
            )
    row.setdefault("_shipments", []).append(
        {**shipment, "items": [{"order_line_id": line["id"], "quantity": count} for line, count in found]}
    )
    for line, _ in found:
        if not left[line["id"]]:
            line["status"] = "SHIPPED"
    if "carrier" in shipment:
        row["shipping_info"]["carrier"] = shipment["carrier"]
    _settle(row)
    orders._touch(book.orders, row)


def _adjust(orders: Orders, book: Book, kind: str, order_id: str, lines: list[Row]) -> None:
    row = book.orders.rows[order_id]
    states = (
        ("AWAITING_ACCEPTANCE", "AWAITING_SHIPMENT") if kind == "CANCELATION" else ("SHIPPED", "DELIVERED")
    )
    found = [(_line(row, wanted.get("order_line_id"), wanted.get("product_id")), wanted) for wanted in lines]
    left: dict[str, list[float]] = {}
    for line, wanted in found:
        _in(line, *states)
        rest = left.setdefault(line["id"], _adjustable(row, line, kind))
        quantity = wanted.get("quantity", 0)
        rest[0] = rest[0] - quantity
        rest[1] = round(rest[1] - wanted["price"]["amount"], 2)
        if rest[0] < 0:
            raise RefusedError(
                "INVALID_INPUT", f"The quantity of line {line['id']} is larger than what is left."
            )
        if rest[1] < 0:
            raise RefusedError(
                "INVALID_INPUT", f"The price of line {line['id']} is larger than what is left."
            )
    for line, wanted in found:
        adjustment_id = f"{line['id']}-{len(line['adjustments']) + 1}"
        line["adjustments"].append(
            {
                "id": adjustment_id,
                "adjustment_id": adjustment_id,
                "type": kind,
                "created_at": orders._now(),
                "reason": wanted["reason"],
                "quantity": wanted.get("quantity", 0),
                "price": wanted["price"],
                "shipping_price": wanted["shipping_price"],
                "taxes": wanted.get("taxes", []),
                "shipping_taxes": wanted.get("shipping_taxes", []),
            }
        )
        if kind == "CANCELATION":
            line["quantity"] -= wanted.get("quantity", 0)
            line["price"]["amount"] = round(line["price"]["amount"] - wanted["price"]["amount"], 2)
        if left[line["id"]][0] == 0:
            line["status"] = "CLOSED"
            line["status_reason"] = "CANCELED" if kind == "CANCELATION" else "REFUNDED"
    _settle(row)
    orders._touch(book.orders, row)


def _step_return(
    orders: Orders, book: Book, return_id: str, states: list[str], becomes: str = "", **changes: Any
) -> None:
    row = book.returns.rows[return_id]
    if row["status"] not in states:
        raise RefusedError("RETURN_IN_WRONG_STATE", "The return was not in the expected status.")
    row.update(changes)
    row["status"] = becomes or row["status"]
    orders._touch(book.returns, row)


def _attach(orders: Orders, book: Book, order_id: str, metadata: Row, body: str) -> None:
    name = metadata["filename"]
    entity = metadata.get("entity")
    if entity and entity["id"] not in book.returns.rows:
        raise RefusedError("DATA_NOT_FOUND", "The return does not exist.")
    orders._touch(
        book.documents,
        {
            "id": f"doc-{len(book.documents.rows) + 1:06d}",
            "order_id": order_id,
            "name": name,
            "type": metadata["type"],
            "size_in_bytes": len(base64.b64decode(body)),
            "file_format": FORMATS.get(name.rpartition(".")[2].lower(), "application/pdf"),
            "_body": body,
        },
    )


def _begin(orders: Orders, book: Book, conversation: Row, files: list[Row]) -> Row:
    entity = conversation["entity"]
    row: Row = {
        "id": f"conv-{len(book.conversations.rows) + 1:06d}",
        "channel_conversation_id": f"cc-{len(book.conversations.rows) + 1}",
        "participants": [{"type": "CUSTOMER", "name": "Ada Lindqvist"}],
        "topic": conversation["topic"],
        "entity": {**entity, "channel_entity_id": book.orders.rows[entity["id"]]["channel_order_id"]},
        "origin": _ORIGIN,
        "created_at": orders._now(),
        "_messages": [],
    }
    book.conversations.touch(row, 0.0)
    return _answer(orders, book, row["id"], conversation["first_message"], files)


def _answer(orders: Orders, book: Book, conversation_id: str, message: Row, files: list[Row]) -> Row:
    row, now = book.conversations.rows[conversation_id], orders._now()
    number = len(row["_messages"]) + 1
    row["_messages"].append(
        {
            "id": f"{conversation_id}-m{number}",
            "channel_message_id": f"m{number}",
            "body": message["body"],
            "sender": {"type": "STORE", "id": "4", "name": "Sandbox Shop"},
            "visible_to_customer": True,
            "created_at": now,
            "channel_created_at": now,
            "attachments": [
                {**file, "id": f"{conversation_id}-m{number}-a{index}"} for index, file in enumerate(files, 1)
            ],
        }
    )
    orders._touch(book.conversations, row)
    return {"conversation_id": conversation_id}


STEPS: dict[str, Callable[..., Row | None]] = {
    "accept": _accept,
    "ship": _ship,
    "cancel": lambda orders, book, **more: _adjust(orders, book, "CANCELATION", **more),
    "refund": lambda orders, book, **more: _adjust(orders, book, "REFUND", **more),
    "return": _step_return,
    "attach": _attach,
    "begin": _begin,
    "answer": _answer,
}


def _line(row: Row, line_id: str | None, product_id: str | None = None) -> Row:
    for line in row["order_lines"]:
        if line["id"] == line_id or (line_id is None and line["product"]["id"] == product_id):
            found: Row = line
            return found
    raise RefusedError("DATA_NOT_FOUND", f"The order has no line {line_id or product_id}.")


def _in(line: Row, *states: str) -> None:
    if line["status"] not in states:
        raise RefusedError("ORDER_IN_WRONG_STATE", "The order was not in the expected status.")


def _shipped(row: Row, line: Row) -> int:
    return sum(
        item["quantity"]
        for shipment in row.get("_shipments", ())
        for item in shipment["items"]
        if item["order_line_id"] == line["id"]
    )


def _adjustable(row: Row, line: Row, kind: str) -> list[float]:
    """Quantity and price that may still be adjusted."""
    if kind == "CANCELATION":
        return [line["quantity"] - _shipped(row, line), line["price"]["amount"]]
    before = [entry for entry in line["adjustments"] if entry["type"] == kind]
    return [
        line["quantity"] - sum(entry["quantity"] for entry in before),
        round(line["price"]["amount"] - sum(entry["price"]["amount"] for entry in before), 2),
    ]


def _settle(row: Row) -> None:
    """Derive the order's status and the allowed actions of its lines from the lines."""
    for line in row["order_lines"]:
        line["can_cancel"] = line["status"] in ("AWAITING_ACCEPTANCE", "AWAITING_SHIPMENT")
        line["can_refund"] = line["status"] in ("SHIPPED", "DELIVERED")
    known = [line["status"] for line in row["order_lines"] if line["status"] in STATUSES]
    if known:
        row["status"] = min(known, key=STATUSES.index)


def order(index: int, seed: int, stamp: str) -> Row:
    """An order of a customer, the same for the same index and seed."""
    chance = random.Random(seed << 40 | index).random  # noqa: S311 - repeatable test data, not a secret
    first, last, street, city, country = PEOPLE[int(chance() * len(PEOPLE))]
    order_id = f"0002_{3200000 + index}-A"
    address = {
        "first_name": first, "last_name": last, "street": street, "city": city, "zip_code": f"{10000 + index % 80000}",
        "country_iso_code": country, "phone": f"+46 70 {1000000 + index}",
    }  # fmt: skip
    lines = []
    for place in range(1, 2 + int(chance() * 3)):
        quantity = 1 + int(chance() * 3)
        amount = round(quantity * (5 + chance() * 200), 2)
        lines.append(
            {
                "id": f"{order_id}-{place}",
                "channel_order_line_id": f"{3200000 + index}-A-{place}",
                "product": {"id": f"SKU-{1 + int(chance() * 5000):07d}", "title": f"Article {place}"},
                "quantity": quantity,
                "can_cancel": True,
                "can_refund": False,
                "price": {"amount": amount, "currency": "EUR"},
                "taxes": [{"code": "VAT", "amount": {"amount": round(amount * 0.2, 2), "currency": "EUR"}}],
                "total_shipping_price": {"amount": 4.9, "currency": "EUR"},
                "shipping_taxes": [],
                "status": "AWAITING_ACCEPTANCE",
                "adjustments": [],
                "custom_attributes": [],
            }
        )
    return {
        "id": order_id,
        "channel_order_id": f"{3200000 + index}-A",
        "origin": _ORIGIN,
        "created_at": stamp,
        "channel_updated_at": stamp,
        "updated_at": stamp,
        "status": "AWAITING_ACCEPTANCE",
        "order_lines": lines,
        "billing_info": {"address": address},
        "shipping_info": {
            "email": f"{first.lower()}.{index}@customers.example",
            "address": address,
            "method": "Standard",
            "shipping_deadline": stamp,
        },
        "fulfillment": {"type": "FULFILLED_BY_SELLER"},
        "custom_attributes": [{"id": "is-premium", "type": "BOOLEAN", "value": index % 5 == 0}],
    }
