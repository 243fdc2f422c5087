"""The operations of the fault matrix that ``make chaos`` leaves out, and why it does. See ``live/operations.py``."""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "live"))
import httpx
import operations
from operations import PRODUCTS, Begin, Operation, connect

from airflow_provider_mirakl.sandbox import Sandbox
from airflow_provider_mirakl.sandbox.systems.orders import STEPS
from airflow_provider_mirakl.sandbox.world import World

P41_HEADING = operations.FILES["products.csv"][0]
LIMITS = "timeout=3.0, max_failures=2"
PACED = "refused_timeout=3.0, max_failures=2"
MESSAGE = {"body": "Two days late"}


def begun_rows(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Rows as the source of an operator, all of which have to succeed."""
    return {"rows": repr(rows), "expects": len(rows)}


def of_orders(status: str, row: Callable[[str, dict[str, Any]], dict[str, Any]]) -> Begin:
    """Two orders in a state, and a row for each of their lines."""

    def begin(sandbox: Sandbox) -> dict[str, Any]:
        placed, orders = sandbox.place_orders(2, status=status), sandbox.orders()
        return begun_rows([row(key, line) for key in placed for line in orders[key]["order_lines"]])

    return begin


def line_of(order_id: str, line: Mapping[str, Any]) -> dict[str, Any]:
    """A row that accepts a line."""
    return {"order_id": order_id, "order_line_id": line["id"]}


def adjusted(order_id: str, line: Mapping[str, Any]) -> dict[str, Any]:
    """A row that cancels or refunds a whole line."""
    return line_of(order_id, line) | {
        "quantity": line["quantity"], "price": line["price"]["amount"], "shipping_price": 0, "currency": "EUR",
        "reason": "DEFECT",
    }  # fmt: skip


def of_returns(status: str) -> Begin:
    """Two returns in a state, and a row for each."""

    def begin(sandbox: Sandbox) -> dict[str, Any]:
        asked = [sandbox.request_return(key) for key in sandbox.place_orders(2, status="DELIVERED")]

        def arrange(world: World) -> None:
            for book in world.orders.books.values():
                for key in asked:
                    book.returns.rows[key]["status"] = status

        sandbox.call(arrange)
        return begun_rows([{"return_id": key} for key in asked])

    return begin


def an_order(sandbox: Sandbox) -> dict[str, Any]:
    """An order to write about."""
    (key,) = sandbox.place_orders(1)
    return begun_rows([{"order_id": key, "topic": "Delay", **MESSAGE}])


def a_conversation(sandbox: Sandbox) -> dict[str, Any]:
    """A conversation to answer."""
    (key,) = sandbox.place_orders(1)

    def talk(world: World) -> None:
        (book,) = world.orders.books.values()
        about = {"topic": {"type": "FREE_TEXT", "value": "Delay"}, "entity": {"type": "ORDER", "id": key}}
        body = base64.b64encode(b"photo").decode()
        photo = {"filename": "photo.png", "size_in_bytes": 5, "_body": body}
        STEPS["begin"](
            world.orders,
            book,
            conversation={**about, "first_message": {"body": "Where is it?"}},
            files=[photo],
        )

    sandbox.call(talk)
    return begun_rows([{"conversation_id": "conv-000001", **MESSAGE}])


def documents_of_orders(sandbox: Sandbox) -> dict[str, Any]:
    """Two orders to attach an invoice to."""
    path = str(operations.DATA / "documents" / "PRICE_LIST.pdf")
    placed = sandbox.place_orders(2)
    return begun_rows([{"order_id": key, "path": path, "type": "CUSTOMER_INVOICE"} for key in placed])


def documents_of_a_shop(sandbox: Sandbox) -> dict[str, Any]:
    """Two documents to delete."""
    return {
        "ids": repr([sandbox.put_document(2000, "PRICE_LIST", f"{n}.pdf", b"%PDF") for n in (1, 2)]),
        "expects": 2,
    }


def offers(sandbox: Sandbox) -> dict[str, Any]:
    """Offers of the shop, on several pages."""
    sandbox.call(operations.with_offers)
    return {
        "expects": sandbox.call(
            lambda world: sum(each["shop"] == 2000 for each in world.instance.offers.offers.values())
        )
    }


def products(sandbox: Sandbox) -> dict[str, Any]:
    """Products to wait for."""
    sandbox.seed({"id": each} for each in PRODUCTS)
    return {}


def an_import(sandbox: Sandbox) -> dict[str, Any]:
    """A product import of somebody else."""
    (key,) = (each.key for each in sandbox.settings.keys if each.role == "shop")
    lines = f"{P41_HEADING}\nheadphones;{PRODUCTS[0]};T;2000000000001;nordlys\n"
    reply = httpx.post(
        f"{sandbox.mirakl_url}/api/products/imports",
        headers={"Authorization": key},
        files={"file": ("products.csv", lines.encode())},
        data={"operator_format": "true"},
    )
    return {"ids": repr([reply.raise_for_status().json()["import_id"]])}


def action(name: str, where: str, code: str, begin: Begin, calls: int = 2) -> Operation:
    """An action on orders, returns or conversations."""
    return connect(
        name, where, "source=$rows", code, calls=calls, count="succeeded", begin=begin, limits=LIMITS
    )


MORE = (
    action(
        "accept",
        "connect_orders MiraklConnectAcceptOrdersOperator",
        "v2-acceptOrderLines",
        of_orders("AWAITING_ACCEPTANCE", line_of),
    ),
    action(
        "cancel",
        "connect_orders MiraklConnectCancelOrdersOperator",
        "v2-cancelOrderLines",
        of_orders("AWAITING_SHIPMENT", adjusted),
    ),
    action(
        "refund",
        "connect_orders MiraklConnectRefundOrdersOperator",
        "v2-refundOrderLines",
        of_orders("SHIPPED", adjusted),
    ),
    action(
        "accept return",
        "connect_returns MiraklConnectAcceptReturnsOperator",
        "v2-acceptReturn",
        of_returns("REQUEST_INITIATED"),
    ),
    action(
        "begin conversation",
        "connect_conversations MiraklConnectCreateConversationsOperator",
        "createConversation",
        an_order,
        calls=1,
    ),
    action(
        "answer conversation",
        "connect_conversations MiraklConnectAnswerConversationsOperator",
        "createMessage",
        a_conversation,
        calls=1,
    ),
    action(
        "order documents",
        "connect_order_documents MiraklConnectUploadOrderDocumentsOperator",
        "v2-uploadOrderDocument",
        documents_of_orders,
    ),
    Operation(
        "S33",
        "shop_documents MiraklDeleteShopDocumentsOperator",
        "document_ids=$ids",
        code="S33",
        calls=2,
        count="succeeded",
        deferrable=False,
        begin=documents_of_a_shop,
    ),
    connect(
        "request",
        "request MiraklRequestOperator",
        "path='/api/v2/orders/actions', method='POST', body=dict(actions=[dict(type='SYNCHRONIZE_ORDER',"
        " status='SUCCESS', entity_type='ORDER', entity_id='o-1', executed_at='2026-01-01T00:00:00Z')])",
        "v2-reportOrderActions",
        deferrable=False,
    ),
    Operation(
        "offers by page",
        "request MiraklRequestOperator",
        "path='/api/offers', query=dict(max=10), paging='offset', items='offers', target='$folder/pages.ndjson'",
        begin=offers,
        target="pages.ndjson",
        limits=PACED,
    ),
    Operation(
        "offers extract",
        "extract MiraklExtractOperator",
        "operation='OF21', query=dict(max=10), target='$folder/offers'",
        begin=offers,
        target="offers",
        limits=PACED,
    ),
    Operation(
        "CM11",
        "catalog_manager MiraklExportProductStatusOperator",
        "target='$folder/status.ndjson'",
        limits="refused_timeout=3.0",
    ),
    connect(
        "products sensor",
        "sensors.connect MiraklConnectProductsSensor",
        f"product_ids={list(PRODUCTS)!r}, poke_interval=60",
        count="succeeded",
        expects=len(PRODUCTS),
        begin=products,
        limits=LIMITS,
    ),
    connect(
        "orders sensor",
        "sensors.connect_orders MiraklConnectOrdersSensor",
        "statuses=['AWAITING_SHIPMENT'], updated_from='2020-01-01T00:00:00Z', poke_interval=60",
        limits=LIMITS,
    ),
    Operation(
        "import sensor",
        "sensors.jobs MiraklProductImportSensor",
        "job_ids=$ids",
        begin=an_import,
        limits=LIMITS,
    ),
    Operation(
        "documents sensor",
        "sensors.shop_documents MiraklShopDocumentsSensor",
        "shop_ids=[2000], type_codes=['BANK_DETAILS']",
        limits=LIMITS,
    ),
)
"""Chaos begins all operations at once, and is about what is killed: each of these runs on an engine of which it has a
row already (actions: the shipments; pages: the extract of orders; calls of a worker alone: S32), or keeps no notes."""
