"""The listings of a Marketplace besides offers: orders, transaction lines, invoices, returns and threads of messages.

All of it can be read, as listings (OR11, TL02, IV01, RT11, M11) and as exports in the background (OR13 to OR15, TL03 to
TL05). Tests and the sandbox's user change it. What Mirakl does not publish, and the sandbox therefore decides: a second
OR13 is refused with 409 while the first one runs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any

from airflow_provider_mirakl.sandbox.machine import paging
from airflow_provider_mirakl.sandbox.machine.core import Machine, Part
from airflow_provider_mirakl.sandbox.machine.exchange import Exchange
from airflow_provider_mirakl.sandbox.machine.wire import JSON, ApiError, Problem, Reply, dumps
from airflow_provider_mirakl.sandbox.systems import exports
from airflow_provider_mirakl.sandbox.systems.jobs import Job, Jobs
from airflow_provider_mirakl.sandbox.systems.orders import PEOPLE, Row, Timeline

MINUTE, FIVE_MINUTES, DAY = 60.0, 300.0, 86400.0
ORDER_STATES = (
    "STAGING", "WAITING_ACCEPTANCE", "WAITING_DEBIT", "WAITING_DEBIT_PAYMENT", "SHIPPING", "SHIPPED", "TO_COLLECT",
    "RECEIVED", "CLOSED", "REFUSED", "CANCELED",
)  # fmt: skip


class Marketplace(Part):
    """Rows by kind: ``orders``, ``transactions``, ``invoices``, ``returns`` and ``threads``."""

    name = "marketplace"

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self._count = 0
        self.tables = {kind: Timeline() for kind in MAKERS}
        jobs = machine.part(Jobs)
        jobs.on("OR13", "COMPLETED", lambda job: self._leave(job, "orders", "orders"))
        jobs.on("TL03", "COMPLETED", lambda job: self._leave(job, "transactions", "data"))

    def add(self, kind: str, count: int = 1, *, shop: int = 2000, **changes: Any) -> list[str]:
        """Let rows of a kind appear now; returns their ids.

        :param changes: fields that are set on every one of them, by Mirakl's names.
        """
        moment = self._machine.clock.now()
        found = []
        for _ in range(count):
            self._count += 1
            chance = random.Random(f"{self._machine.settings.seed} {kind} {self._count}")  # noqa: S311 - repeatable
            row = MAKERS[kind](self._count, chance, self._machine.clock.iso(moment)) | changes
            # The names that begin with an underscore are the sandbox's own.
            row |= {"id": row.get("id", row.get("order_id")), "_shop": shop, "_created": moment}
            self.tables[kind].touch(row, moment)
            found.append(row["id"])
        return found

    def change(self, kind: str, row_id: str, **changes: Any) -> None:
        """Change fields of a row, and its time of the last change.

        :raises KeyError: the row does not exist.
        """
        now = self._machine.clock.now()
        table, updated = self.tables[kind], UPDATED[kind]
        stamp = {updated: self._machine.clock.iso(now)} if updated else {}
        table.touch(table.rows[row_id] | stamp | changes, now)

    def _leave(self, job: Job, kind: str, field: str) -> None:
        table = self.tables[kind]
        first, last = job.data["updated"]
        born = job.data["created"]
        found = [
            _public(kind, table.row(key))
            for key in table.keys(first)
            if (last is None or float(key.partition(" ")[0]) <= last)
            and _within(table.row(key)["_created"], *born)
            and (job.shop is None or table.row(key)["_shop"] == job.shop)
            and (not job.data["states"] or table.row(key).get("order_state") in job.data["states"])
        ]
        exports.leave_files(job, found, lambda part: dumps({field: part}), JSON)

    def reset(self) -> None:
        """Forget all."""
        self._count = 0
        for table in self.tables.values():
            table.load(())

    def dump(self) -> Any:
        """As JSON, for a restart."""
        return {"count": self._count, **{kind: table.dump() for kind, table in self.tables.items()}}

    def load(self, saved: Any) -> None:
        """Replace the content by that of :meth:`dump`."""
        self._count = saved["count"]
        for kind, table in self.tables.items():
            table.load(saved[kind])


# --- Rows -------------------------------------------------------------------------------------------------------


def _order(number: int, chance: random.Random, now: str) -> Row:
    first, last, street, city, country = chance.choice(PEOPLE)
    address = {
        "firstname": first, "lastname": last, "street_1": street, "city": city, "zip_code": "12345",
        "country": country, "country_iso_code": country,
    }  # fmt: skip
    quantity, unit = chance.randint(1, 3), chance.randint(500, 9000) / 100
    price, order_id = round(unit * quantity, 2), f"MO-{number:06d}-A"
    line = {
        "order_line_id": f"{order_id}-1", "order_line_index": 1, "order_line_state": "WAITING_ACCEPTANCE",
        "offer_id": 7000 + number, "offer_sku": f"sku-{number}", "offer_state_code": "11", "product_sku": f"p-{number}",
        "product_title": f"Product {number}", "product_medias": [], "category_code": "lamps",
        "category_label": "Lamps", "description": "", "quantity": quantity, "price": price, "price_unit": unit,
        "shipping_price": 4.9, "total_price": round(price + 4.9, 2), "commission_fee": 1.0,
        "commission_rate_vat": 20.0, "commission_vat": 0.2, "total_commission": 1.2, "can_refund": False,
        "cancelations": [], "refunds": [], "order_line_additional_fields": [], "created_date": now,
        "last_updated_date": now,
    }  # fmt: skip
    return {
        "order_id": order_id, "commercial_id": f"MO-{number:06d}", "order_state": "WAITING_ACCEPTANCE",
        "created_date": now, "last_updated_date": now, "currency_iso_code": "EUR", "can_cancel": False,
        "can_shop_ship": True,
        "customer": {
            "customer_id": f"C-{number}", "firstname": first, "lastname": last, "billing_address": address,
            "shipping_address": address,
        },
        "customer_notification_email": f"{first}.{last}-{number}@example.com".lower(),
        "fulfillment": {"center": {"code": "DEFAULT"}}, "fully_refunded": False, "has_customer_message": False,
        "has_incident": False, "has_invoice": False, "leadtime_to_ship": 2, "order_lines": [line],
        "order_tax_mode": "TAX_INCLUDED", "paymentType": "CARD", "price": price, "shipping_price": 4.9,
        "shipping_type_code": "STD", "shipping_type_label": "Standard", "shipping_zone_code": "FR",
        "shipping_zone_label": "France", "total_commission": 1.2, "total_price": line["total_price"],
    }  # fmt: skip


def _transaction(number: int, chance: random.Random, now: str) -> Row:
    amount = chance.randint(500, 9000) / 100
    return {
        "id": f"00000000-0000-4000-8000-{number:012d}", "type": "ORDER_AMOUNT", "amount": amount,
        "amount_credited": amount, "amount_debited": 0, "balance": amount, "currency_iso_code": "EUR",
        "date_created": now, "last_updated": now, "payment_state": "PENDING",
        "entities": {"order": {"id": f"MO-{number:06d}-A"}, "domain": "PRODUCT"},
    }  # fmt: skip


def _invoice(number: int, chance: random.Random, now: str) -> Row:
    total = chance.randint(5000, 90000) / 100
    return {
        "id": f"I-{number:06d}", "invoice_id": 9000 + number, "type": "AUTO_INVOICE", "state": "COMPLETE",
        "date_created": now, "issue_date": now, "currency_iso_code": "EUR", "shop_id": 2000,
        "shop_name": "Nordlys Outlet", "total_amount_excl_taxes": total,
        "total_amount_incl_taxes": round(total * 1.2, 2), "payment": {"state": "PENDING"},
    }  # fmt: skip


def _return(number: int, chance: random.Random, now: str) -> Row:
    _, _, street, city, country = chance.choice(PEOPLE)
    return {
        "id": f"MR-{number:06d}", "state": "WAITING_ACCEPTANCE", "rma": f"RMA-{number}", "date_created": now,
        "last_updated": now, "order_id": f"MO-{number:06d}-A", "order_commercial_id": f"MO-{number:06d}",
        "reason_code": "14", "return_lines": [{"order_line_id": f"MO-{number:06d}-A-1", "quantity": 1}],
        "return_address": {"street_1": street, "city": city, "zip_code": "12345", "country_iso_code": country},
    }  # fmt: skip


def _thread(number: int, chance: random.Random, now: str) -> Row:
    first, last, *_ = chance.choice(PEOPLE)
    customer = {"id": f"C-{number}", "type": "CUSTOMER", "display_name": f"{first} {last}"}
    return {
        "id": f"T-{number:06d}", "date_created": now, "date_updated": now,
        "topic": {"type": "FREE_TEXT", "value": f"{first} asks where the parcel is"},
        "entities": [{"type": "MMP_ORDER", "id": f"MO-{number:06d}-A"}],
        "authorized_participants": [customer], "current_participants": [customer],
        "metadata": {"total_count": 1, "last_message_date": now},
    }  # fmt: skip


MAKERS: dict[str, Callable[[int, random.Random, str], Row]] = {
    "orders": _order,
    "transactions": _transaction,
    "invoices": _invoice,
    "returns": _return,
    "threads": _thread,
}
UPDATED = {
    "orders": "last_updated_date",
    "transactions": "last_updated",
    "invoices": "",
    "returns": "last_updated",
    "threads": "date_updated",
}
"""The field with the time of the last change; an invoice has none."""


def _public(kind: str, row: Row) -> Row:
    hidden = ("id",) if kind == "orders" else ()
    return {name: value for name, value in row.items() if not name.startswith("_") and name not in hidden}


# --- Listings ---------------------------------------------------------------------------------------------------


def _within(moment: float, first: float | None, last: float | None) -> bool:
    return (first is None or moment >= first - 0.0005) and (last is None or moment <= last)


def _keys(
    exchange: Exchange,
    kind: str,
    query: Callable[[str], list[str]],
    *,
    created: tuple[str, str],
    updated: tuple[str, str] = ("", ""),
    among: Iterable[tuple[str, str]] = (),
) -> list[str]:
    """Keys of the rows that a query asks for, the oldest change first.

    :param query: values of a parameter.
    :param created: parameters with the bounds of the time of creation.
    :param updated: parameters with the bounds of the time of the last change.
    :param among: parameter, and field whose value must be among the parameter's.
    """
    table = exchange.part(Marketplace).tables[kind]
    bounds = {name: _moment(exchange, name, query(name)) for name in (*created, *updated) if name}
    born = bounds.get(created[0]), bounds.get(created[1])
    changed = bounds.get(updated[0]), bounds.get(updated[1])
    wanted = [(field, set(values)) for name, field in among if (values := query(name))]
    shop = exchange.shop
    return [
        key
        for key in table.keys(None)
        if (row := table.row(key))
        and (shop is None or row["_shop"] == shop)
        and _within(row["_created"], *born)
        and _within(float(key.partition(" ")[0]), *changed)
        and all(row.get(field) in values for field, values in wanted)
    ]


def _moment(exchange: Exchange, name: str, values: list[str]) -> float | None:
    return exports.date(exchange, {name: values[-1]}, name) if values else None


def or11(exchange: Exchange) -> Reply:
    """OR11: orders by offset, the oldest first."""
    if wrong := [state for state in exchange.listed("order_state_codes") if state not in ORDER_STATES]:
        raise ApiError(400, f"{wrong[0]} is not a state of an order.")
    found = _keys(
        exchange,
        "orders",
        exchange.listed,
        created=("start_date", "end_date"),
        updated=("start_update_date", "end_update_date"),
        among=(("order_ids", "order_id"), ("order_state_codes", "order_state")),
    )
    return _by_offset(exchange, "orders", found, "orders")


def iv01(exchange: Exchange) -> Reply:
    """IV01: accounting documents by offset, the oldest first; by default those of the payment process."""

    def query(name: str) -> list[str]:
        values = exchange.listed(name)
        if name != "type":
            return values
        return [] if values == ["ALL"] else values or ["AUTO_INVOICE"]

    found = _keys(exchange, "invoices", query, created=("start_date", "end_date"), among=(("type", "type"),))
    return _by_offset(exchange, "invoices", found, "invoices")


def _by_offset(exchange: Exchange, kind: str, keys: list[str], field: str) -> Reply:
    table = exchange.part(Marketplace).tables[kind]
    keys.sort(key=lambda key: (table.row(key)["_created"], table.row(key)["id"]))
    if exchange.query.get("order") == "desc":
        keys.reverse()
    page, links = paging.offset(exchange, len(keys))
    content = {field: [_public(kind, table.row(key)) for key in keys[page]], "total_count": len(keys)}
    return Reply(200, dumps(content), JSON, headers=links)


def _by_token(
    exchange: Exchange, kind: str, limit: int, maximum: int, *, sorts: dict[str, str], **filters: Any
) -> Reply:
    """A page of a seek listing.

    :param limit: rows a page by default.
    :param sorts: sort options, with their fields; the first one is the default.
    """
    cursor = paging.cursor(exchange, limit, maximum)
    table = exchange.part(Marketplace).tables[kind]
    criterion, _, direction = (cursor.one("sort") or f"{next(iter(sorts))},").partition(",")
    if criterion not in sorts or direction not in ("", "ASC", "DESC"):
        raise ApiError(400, f"sort must be one of {', '.join(sorts)}, with ASC or DESC.")
    ordered = {
        f"{table.row(key)['_created']:020.6f} {table.row(key)['id']}"
        if sorts[criterion] == "created"
        else key: key
        for key in _keys(exchange, kind, cursor.many, **filters)
    }
    default = "DESC" if kind in ("transactions", "threads") else "ASC"
    ids, tokens = cursor.window(exchange, sorted(ordered), descending=(direction or default) == "DESC")
    return Reply.json({"data": [_public(kind, table.row(ordered[key])) for key in ids], **tokens})


def tl02(exchange: Exchange) -> Reply:
    """TL02: transaction lines by token, the newest first."""
    return _by_token(
        exchange,
        "transactions",
        50,
        2000,
        sorts={"dateCreated": "created", "lastUpdated": "updated"},
        created=("date_created_from", "date_created_to"),
        updated=("last_updated_from", ""),
        among=(("payment_state", "payment_state"), ("transaction_type", "type")),
    )


def rt11(exchange: Exchange) -> Reply:
    """RT11: returns by token, the oldest first."""
    return _by_token(
        exchange,
        "returns",
        10,
        100,
        sorts={"date_created": "created"},
        created=("return_creation_date_from", "return_creation_date_to"),
        updated=("return_last_updated_from", "return_last_updated_to"),
        among=(
            ("return_id", "id"),
            ("return_state", "state"),
            ("order_commercial_id", "order_commercial_id"),
        ),
    )


def m11(exchange: Exchange) -> Reply:
    """M11: threads by token, the most recently changed first."""
    return _by_token(
        exchange,
        "threads",
        50,
        100,
        sorts={"dateUpdated": "updated"},
        created=("", ""),
        updated=("updated_since", ""),
    )


# --- Exports in the background ----------------------------------------------------------------------------------


async def or13(exchange: Exchange) -> Reply:
    """OR13: an export of orders; of what changed every five minutes, of everything once a day."""
    body = await exports.body(exchange)
    ranges = []
    for first, last in (("start_update_date", "end_update_date"), ("start_date", "end_date")):
        begin, end = exports.date(exchange, body, first), exports.date(exchange, body, last)
        if (begin is None) is not (end is None):
            raise ApiError(400, f"{first} and {last} must be used together.", problems=[Problem("", first)])
        ranges.append((begin, end))
    if not any(begin is not None for begin, _ in ranges):
        raise ApiError(400, "At least one date range is required: of the creation or of the last update.")
    states = exports.texts(body, "order_state_codes")
    if wrong := [state for state in states if state not in ORDER_STATES]:
        raise ApiError(400, f"{wrong[0]} is not a state of an order.")
    differential = ranges[0][0] is not None
    exchange.take(FIVE_MINUTES if differential else DAY, "differential" if differential else "full")
    running = [job for job in exchange.part(Jobs).listed(exchange, ("OR13",)) if job.finished is None]
    if running:
        raise ApiError(409, f"The export {running[0].id} is still running; there can be only one.")
    return _submit(exchange, "OR13", body, ranges, states)


async def tl03(exchange: Exchange) -> Reply:
    """TL03: an export of transaction lines, once a day."""
    body = await exports.body(exchange)
    exchange.take(DAY)
    ranges = [
        (exports.date(exchange, body, "last_updated_from"), None),
        tuple(exports.date(exchange, body, name) for name in ("date_created_from", "date_created_to")),
    ]
    return _submit(exchange, "TL03", body, ranges, [])


def _submit(exchange: Exchange, code: str, body: Row, ranges: list[Any], states: list[str]) -> Reply:
    data = {"updated": ranges[0], "created": ranges[1], "states": states, "chunk": exports.chunk(body)}
    return exports.submit(exchange, code, data)


def or14(exchange: Exchange) -> Reply:
    """OR14: state of an export of orders."""
    return exports.status(exchange, "OR13", "OR15", "message")


def or15(exchange: Exchange) -> Reply:
    """OR15: one file of an export of orders."""
    return exports.file(exchange, "OR13")


def tl04(exchange: Exchange) -> Reply:
    """TL04: state of an export of transaction lines."""
    return exports.status(exchange, "TL03", "TL05", "detail")


def tl05(exchange: Exchange) -> Reply:
    """TL05: one file of an export of transaction lines."""
    return exports.file(exchange, "TL03")
