"""Every call of the package against Mirakl's OpenAPI documents: one table, one judge (``conftest.py``)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_mirakl.api import (
    catalog_manager,
    connect,
    conversations,
    documents,
    marketplace,
    offers,
    orders,
    platform,
    products,
    returns,
    shops,
)
from airflow_provider_mirakl.api.call import Call, Operation, Part
from airflow_provider_mirakl.api.caller import Caller

SINCE, UNTIL = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 20, 12, 30, tzinfo=UTC)
SHOP = 2000
ALL, MARKET, BACK = ("shop", "operator", "front"), ("shop", "operator"), ("operator", "front")


def caller(role: str) -> Caller:
    return Caller(role, SHOP)


def exporter(role: str) -> Caller:
    """Of an operation that takes a shop from a seller only, and refuses it from the others."""
    return Caller(role, SHOP if role == "shop" else None)


PRODUCT: dict[str, Any] = {
    "id": "p1",
    "titles": [{"locale": "en_US", "value": "Chair"}],
    "descriptions": None,
    "gtins": [{"value": "12345670"}],
    "attributes": [{"id": "c", "name": "Colour", "type": "STRING", "value": "red"}],
    "quantities": [{"available_quantity": 3}],
    "standard_prices": [{"price": {"amount": 1.5, "currency": "EUR"}, "scope": None}],
}
ACCEPTANCE = {
    "status": "REJECTED",
    "reason_code": "R1",
    "message": "no",
    "channels": [{"code": "FR", "status": "ACCEPTED"}],
}
SYNCHRONIZED: list[dict[str, Any]] = [
    {"mirakl_product_id": "m1", "product_sku": "s1"},
    {"mirakl_product_id": "m1", "integration_errors": [{"code": "e", "message": "m", "attribute_code": "a"}]},
    {"product_sku": "s1", "data": {"colour": "red", "size": 3}, "acceptance": ACCEPTANCE},
    {"mirakl_product_id": "m1", "operation": "DELETE"},
    {"mirakl_product_id": "m1", "catalogs": ["c"], "product_urls": [{"qualifier": "q", "link": "l"}]},
    {
        "mirakl_product_id": "m1",
        "selling_authorization": {"restricted": True, "authorized_selling_shop_ids": ["1"]},
    },
]
ADJUSTMENT: dict[str, Any] = {
    "order_line_id": "l-1", "product_id": "p-1", "quantity": 1, "reason": "OUT_OF_STOCK",
    "price": {"amount": 15, "currency": "EUR"}, "shipping_price": {"amount": 8, "currency": "EUR"},
    "taxes": [{"code": "VAT", "amount": {"amount": 1, "currency": "EUR"}}], "shipping_taxes": [],
}  # fmt: skip
OFFER: dict[str, Any] = {
    "shop_sku": "s1", "product_id": "p1", "product_id_type": "SKU", "price": 12.5, "quantity": 3,
    "state_code": "11", "update_delete": "update",
}  # fmt: skip
CSV = b'"offer-sku";"quantity"\r\n"s1";"3"\r\n'

# roles, name, call of a role
TABLE: list[tuple[tuple[str, ...], str, Callable[[str], Call[Any]]]] = [
    # --- Mirakl Connect
    (("connect",), "list", lambda role: connect.list_products(limit=7)),
    (("connect",), "next page", lambda role: connect.list_products(page_token="t/+")),
    (("connect",), "upsert", lambda role: connect.upsert_products([PRODUCT, {"id": "p2"}])),
    (("connect",), "delete", lambda role: connect.delete_products(["p1", "p2"])),
    # --- Mirakl Connect: orders
    (("connect",), "all filters", lambda role: orders.list_orders(
        order_ids=["o-1", "o-2"], statuses=["SHIPPED", "CLOSED"], updated_from=SINCE,
        fulfillment_type="FULFILLED_BY_SELLER", limit=7)),
    (("connect",), "the last 30 days", lambda role: orders.list_orders()),
    (("connect",), "next page", lambda role: orders.list_orders(page_token="t/+")),
    (("connect",), "accept", lambda role: orders.accept_order_lines("o-1", [
        {"id": "l-1", "accepted": True}, {"id": "l-2", "accepted": False}])),
    (("connect",), "ship", lambda role: orders.create_shipment(
        "o-1", [{"order_line_id": "l-1", "quantity": 2}, {"id": "p-2", "quantity": 1}], carrier="UPS",
        tracking_number="1Z", tracking_url="https://ups.example/1Z", return_tracking_number="R",
        warehouse_id="w")),
    (("connect",), "ship, nothing but items", lambda role: orders.create_shipment("o-1", [{"quantity": 1}])),
    (("connect",), "cancel", lambda role: orders.cancel_order_lines("o-1", [ADJUSTMENT])),
    (("connect",), "refund", lambda role: orders.refund_order_lines("o-1", [ADJUSTMENT])),
    (("connect",), "action", lambda role: orders.get_action_status("a-1")),
    (("connect",), "tracking", lambda role: orders.get_order_tracking("a-1")),
    (("connect",), "report", lambda role: orders.report_order_actions([{
        "type": "SYNCHRONIZE_ORDER", "entity_type": "ORDER", "entity_id": "o-1", "status": "FAILED",
        "executed_at": "2026-11-20T12:30:00Z", "errors": [{"code": "INVALID_PRODUCT_ID", "message": "no"}]}])),
    (("connect",), "documents", lambda role: orders.list_order_documents(
        order_ids=["o-1"], types=["CHANNEL_SPECIFIC"], channel_types=["x"], updated_from=SINCE, limit=7)),
    (("connect",), "documents, next page", lambda role: orders.list_order_documents(page_token="t")),
    (("connect",), "download by id", lambda role: orders.download_order_documents("o-1", document_ids=["d-1"])),
    (("connect",), "download by type", lambda role: orders.download_order_documents("o-1", types=["RETURN_LABEL"])),
    (("connect",), "upload", lambda role: orders.upload_order_document(
        "o-1", b"%PDF", file_name="a.pdf", type="RETURN_LABEL", return_id="r-1")),
    # --- Mirakl Connect: returns
    (("connect",), "all filters", lambda role: returns.list_returns(
        updated_from=SINCE, order_ids=["o-1"], statuses=["OPENED"], limit=7)),
    (("connect",), "next page", lambda role: returns.list_returns(updated_from=SINCE, page_token="t")),
    (("connect",), "accept", lambda role: returns.accept_return("r-1")),
    (("connect",), "refuse", lambda role: returns.accept_return(
        "r-1", accepted=False, rejection_reason="FINAL_SALES")),
    (("connect",), "receive", lambda role: returns.acknowledge_return_reception("r-1")),
    (("connect",), "close", lambda role: returns.close_return("r-1")),
    (("connect",), "track", lambda role: returns.update_return_tracking(
        "r-1", carrier="UPS", tracking_number="1Z", tracking_url="https://ups.example/1Z",
        label_url="https://ups.example/1Z.pdf", rma_id="RMA")),
    # --- Mirakl Connect: conversations
    (("connect",), "changed", lambda role: conversations.list_conversations(updated_from=SINCE, order_ids=["o-1"])),
    (("connect",), "by id", lambda role: conversations.list_conversations(conversation_ids=["c-1", "c-2"])),
    (("connect",), "next page", lambda role: conversations.list_conversations(page_token="t")),
    (("connect",), "messages", lambda role: conversations.get_conversation_messages("c-1", message_after=SINCE)),
    (("connect",), "attachments", lambda role: conversations.download_conversation_attachments(
        "c-1", attachment_ids=["a-1"])),
    (("connect",), "create", lambda role: conversations.create_conversation(
        "o-1", topic="Delay", body="Hello", files=[Part("files", b"x", file_name="a.txt")])),
    (("connect",), "answer", lambda role: conversations.create_message("c-1", body="Hello")),
    (("connect",), "action", lambda role: conversations.get_conversation_action("a-1")),
    # --- Catalog Manager
    (ALL, "everything", lambda role: catalog_manager.export_source_status(caller=caller(role))),
    (ALL, "a delta", lambda role: catalog_manager.export_source_status(
        caller=caller(role), updated_since=SINCE, updated_to=UNTIL, status="NOT_LIVE", locale="en_US",
        provider_unique_identifiers=["a", "b"], unique_identifiers=["EAN|1"])),
    (BACK, "all uses", lambda role: catalog_manager.synchronize_products(SYNCHRONIZED)),
    (BACK, "status", lambda role: catalog_manager.get_synchronization("t-1")),
    (BACK, "report", lambda role: catalog_manager.get_synchronization_report("t-1")),
    (BACK, "start, everything", lambda role: catalog_manager.start_export()),
    (BACK, "start, filtered", lambda role: catalog_manager.start_export(
        updated_since=SINCE, updated_to=UNTIL, channel="FR", restrict_attributes=False, items_per_chunk=1000,
        megabytes_per_chunk=10, filters={"acceptance_status": ["NEW"], "product_sku": ["a", "b"]})),
    (BACK, "export status", lambda role: catalog_manager.get_export("t-1")),
    (BACK, "deleted", lambda role: catalog_manager.export_deleted_products(deleted_from=SINCE, product_ids=["a", "b"])),
    # --- product imports
    (ALL, "a file", lambda role: products.import_products(CSV, "products.csv", caller=caller(role))),
    (ALL, "converted", lambda role: products.import_products(
        CSV, "products.csv", caller=caller(role), operator_format=True, conversion_type="AI_CONVERTER",
        conversion_options={"ai_enrichment": True, "ai_rewrite": False, "ai_translation": True})),
    (ALL, "status", lambda role: products.get_import(7, caller=caller(role))),
    (ALL, "list", lambda role: products.list_imports(
        caller=caller(role), changed_since=SINCE, status="SENT", has_transformed_file=True, offset=100)),
    (ALL, "errors", lambda role: products.get_error_report(7, caller=caller(role))),
    (ALL, "new products", lambda role: products.get_new_product_report(7, caller=caller(role))),
    (ALL, "transformed", lambda role: products.get_transformed_file(7, caller=caller(role))),
    (ALL, "transformation errors", lambda role: products.get_transformation_error_report(7, caller=caller(role))),
    # --- offers, stock, prices
    (MARKET, "a file", lambda role: offers.import_offers(CSV, "offers.csv", caller=caller(role))),
    (MARKET, "with products", lambda role: offers.import_offers(
        CSV, "offers.csv", caller=caller(role), import_mode="REPLACE", with_products=True, operator_format=True)),
    (MARKET, "status", lambda role: offers.get_offer_import(7, caller=caller(role))),
    (MARKET, "errors", lambda role: offers.get_offer_error_report(7, caller=caller(role))),
    (MARKET, "list", lambda role: offers.list_offer_imports(
        caller=caller(role), created_since=SINCE, created_to=SINCE, status="COMPLETE", mode="REPLACE",
        origins=["API", "SFTP"])),
    (("shop",), "offers of a shop", lambda role: offers.list_offers(caller=caller(role), limit=7, offset=14)),
    (MARKET, "offers", lambda role: offers.upsert_offers([OFFER], caller=caller(role))),
    (MARKET, "stock", lambda role: offers.import_stock(CSV, "stock.csv", caller=caller(role))),
    (MARKET, "stock status", lambda role: offers.get_stock_import("s-1", caller=caller(role))),
    (MARKET, "stock errors", lambda role: offers.get_stock_error_report("s-1", caller=caller(role))),
    (MARKET, "prices", lambda role: offers.import_prices(CSV, "prices.csv", caller=caller(role))),
    (MARKET, "price imports", lambda role: offers.list_price_imports(
        caller=caller(role), import_ids=["p-1", "p-2"], created_since=SINCE, created_to=SINCE, status="FAILED",
        origins=["API", "FTP"])),
    (MARKET, "price status", lambda role: offers.get_price_import("p-1", caller=caller(role))),
    (MARKET, "price errors", lambda role: offers.get_price_error_report("p-1", caller=caller(role))),
    (MARKET, "export, everything", lambda role: offers.start_offer_export(caller=exporter(role))),
    (MARKET, "export, a delta", lambda role: offers.start_offer_export(
        caller=exporter(role), updated_since=SINCE, export_type="application/json", items_per_chunk=10_000,
        megabytes_per_chunk=10, channel_codes=["FR"], options={"include_fields": ["offer-sku"]})),
    (MARKET, "export status", lambda role: offers.get_offer_export("t-1", caller=caller(role))),
]  # fmt: skip
CASES = [
    pytest.param(role, make, id=f"{make(role).operation.code}, {name}, {role}")
    for roles, name, make in TABLE
    for role in roles
]
BY_CODE = {(role, make(role).operation.code): make(role) for roles, _, make in TABLE for role in roles}


@pytest.mark.parametrize(("role", "make"), CASES)
def test_the_call_is_as_mirakl_describes_it(judge: Any, role: str, make: Callable[[str], Call[Any]]) -> None:
    assert judge.faults(role, make(role)) == []


# Replies that cannot be read by a call for another thing than theirs.
OF_ANOTHER = {"PRI02": "the published reply is about other imports than the one asked for"}


@pytest.mark.parametrize(("role", "code"), BY_CODE, ids=lambda value: str(value))
def test_published_replies_can_be_read(judge: Any, role: str, code: str) -> None:
    call = offers.list_price_imports() if code in OF_ANOTHER else BY_CODE[role, code]
    results = judge.read_samples(role, call)
    assert all(result is not None for result in results) or code in ("upsertProducts", "deleteProducts")


def operations() -> Iterator[Operation]:
    for module in (
        connect, conversations, documents, catalog_manager, marketplace, offers, orders, platform, products, returns,
        shops,
    ):  # fmt: skip
        yield from (value for value in vars(module).values() if isinstance(value, Operation))


# Without a path in the documents: the addresses of files come from a reply, and those of the last ones are published
# on Mirakl's pages only.
NOT_DESCRIBED = {"CM54", "OF54", "OR15", "TL05", "S20", "OR13", "OR14", "TL03", "TL04"}


def test_no_operation_is_forgotten() -> None:
    """An operation is in this table, or in that of ``test_documents.py``."""
    there = {"S30", "S31", "S32", "S33", "DO01", "A01", "A02", "A21", "PC01", "V01", "AF01", "CH11", "CUR01", "L01",
             "RO02", "H11", "PM11", "VL11"}  # fmt: skip
    unpublished_parameters = {"CM51"}
    ours = {operation.code for operation in operations()}
    assert ours - {code for _, code in BY_CODE} - there - NOT_DESCRIBED <= unpublished_parameters


@pytest.mark.parametrize(
    "operation",
    [operation for operation in operations() if operation.code not in NOT_DESCRIBED],
    ids=lambda operation: f"{operation.code} {operation.interval:g}",
)
def test_intervals_are_the_published_ones(
    judge: Any, intervals: dict[str, float], operation: Operation
) -> None:
    """An operation with two frequencies has both, as two operations of one code."""
    role = next(role for role in ("connect", "shop", "operator") if _knows(judge, role, operation.code))
    said = (judge.interval(role, operation.code) or "").lower()
    published = {seconds for words, seconds in intervals.items() if words in said}
    assert operation.interval in (published or {0.0}), said


def _knows(judge: Any, role: str, code: str) -> bool:
    try:
        judge.described(role, code)
    except LookupError:
        return False
    return True


WRONG: dict[str, tuple[str, Call[Any], str]] = {
    "path": (
        "shop",
        Call(Operation("P42", "GET", "/api/products/import/7", replay=True), parse=bool),
        "path is",
    ),
    "method": ("shop", Call(Operation("P51", "POST", products.PATH, replay=True), parse=bool), "method is"),
    "missing parameter": ("operator", offers.upsert_offers([OFFER]), "shop is required"),
    "unknown parameter": (
        "shop",
        Call(products.P51, parse=bool, params=(("shops", "1"),)),
        "shops is not declared",
    ),
    "type": ("shop", Call(products.P51, parse=bool, params=(("shop_id", "x"),)), "is not of type 'integer'"),
    "boolean": (
        "shop",
        Call(products.P51, parse=bool, params=(("has_transformed_file", "yes"),)),
        "'boolean'",
    ),
    "enum": ("shop", Call(offers.OF04, parse=bool, params=(("status", "DONE"),)), "is not one of"),
    "body": ("connect", connect.upsert_products(b'{"products":[{"id":""}]}'), "products[0].id"),
    "no body": ("connect", Call(connect.UPSERT_PRODUCTS, parse=bool), "none is sent"),
    "missing part": ("operator", products.import_products(CSV, "a.csv"), "the part shop is required"),
    "format": ("shop", Call(products.P51, parse=bool, accept="text/xml"), "text/xml is wanted"),
}


@pytest.mark.parametrize(("role", "call", "fault"), WRONG.values(), ids=WRONG.keys())
def test_the_judge_sees_what_is_wrong(judge: Any, role: str, call: Call[Any], fault: str) -> None:
    assert fault in "\n".join(judge.faults(role, call))
