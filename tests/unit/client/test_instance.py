"""Every job and every document from the call to its end, against the local Mirakl.

What goes over the wire is understood there, and what comes back is understood here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_mirakl.api import catalog_manager, documents, offers, products
from airflow_provider_mirakl.api.caller import Caller
from airflow_provider_mirakl.client.settings import api_key, bearer
from airflow_provider_mirakl.exceptions import (
    MiraklAuthenticationError,
    MiraklBadRequestError,
    MiraklNotFoundError,
    MiraklPermissionError,
    MiraklTransportError,
)
from airflow_provider_mirakl.sandbox import Sandbox

CSV = (
    b"category;shop_sku;title;ean;brand\n"
    b"headphones;A-1;One;2000000000001;nordlys\n"
    b"headphones;A-2;;2000000000002;akeba\n"
)
OFFERS = b"sku;product-id;product-id-type;price;quantity;state;update-delete\n"
ROLES = {
    "shop": (api_key("sandbox-shop-key"), Caller("shop")),
    "second shop": (api_key("sandbox-shop-key"), Caller("shop", 2001)),
    "operator": (bearer("sandbox-operator-key"), Caller("operator", 2000)),
    "front": (api_key("sandbox-front-key"), Caller("front", 2000)),
}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(clock="stepped", limits="off") as running:
        yield running


@pytest.fixture
def as_role(bench: Any, sandbox: Sandbox) -> Any:
    """``as_role("operator")``: a client and its caller. The sandbox counts nothing, so nothing is paced."""

    def make(role: str) -> tuple[Any, Caller]:
        auth, caller = ROLES[role]
        return bench.client(sandbox.mirakl_url, auth=auth, interval_factor=0), caller

    return make


def body(client: Any, call: Any) -> bytes:
    """A report, read as a stream."""
    return bytes(client.download(call)[1])


@pytest.mark.parametrize("role", ROLES)
def test_product_import(as_role: Any, sandbox: Sandbox, role: str) -> None:
    client, caller = as_role(role)
    number = client.send(products.import_products(CSV, "größe 1.csv", caller=caller))
    assert (
        client.send(products.get_import(number, caller=caller))["import_status"] == "TRANSFORMATION_WAITING"
    )
    sandbox.advance(600)
    state = client.send(products.get_import(number, caller=caller))
    assert state["import_status"] == "COMPLETE"
    assert state["shop_id"] == (caller.shop_id or 2000)
    assert state["transform_lines_in_error"] == 1
    assert b"A-2" in body(client, products.get_transformation_error_report(number, caller=caller))
    assert b"A-1" in body(client, products.get_transformed_file(number, caller=caller))
    assert b"A-1" in body(client, products.get_new_product_report(number, caller=caller))
    with pytest.raises(MiraklNotFoundError):
        client.download(products.get_error_report(number, caller=caller))
    listed = [entry for page in client.pages(products.list_imports(caller=caller)) for entry in page.items]
    assert [entry["import_id"] for entry in listed] == [number]


def test_listings_of_imports_are_walked_to_their_end(as_role: Any, sandbox: Sandbox) -> None:
    client, caller = as_role("shop")
    numbers = [
        client.send(products.import_products(CSV, f"{number}.csv", caller=caller)) for number in range(7)
    ]
    pages = client.pages(products.list_imports(caller=caller, limit=3))
    assert [len(page.items) for page in pages] == [3, 3, 1]
    assert sorted(entry["import_id"] for page in pages for entry in page.items) == sorted(numbers)


def test_an_import_whose_reply_is_lost_is_not_sent_again(as_role: Any, sandbox: Sandbox) -> None:
    client, caller = as_role("shop")
    sandbox.fault("reset_after", "P41")
    with pytest.raises(MiraklTransportError) as caught:
        client.send(products.import_products(CSV, "lost.csv", caller=caller))
    assert caught.value.surely_not_sent is False
    (page,) = client.pages(products.list_imports(caller=caller))
    assert len(page.items) == 1, "Mirakl has it, once"


def test_conversion_options_are_understood(as_role: Any, sandbox: Sandbox) -> None:
    client, caller = as_role("operator")
    options = {"ai_enrichment": True, "ai_rewrite": False}
    call = products.import_products(
        CSV, "a.csv", caller=caller, conversion_type="AI_CONVERTER", conversion_options=options
    )
    state = client.send(products.get_import(client.send(call), caller=caller))
    assert state["conversion_type"] == "AI_CONVERTER"
    assert state["conversion_options"]["ai_enrichment"] == {"status": "ENABLED"}


def test_a_shop_key_reaches_no_other_shop(as_role: Any, bench: Any, sandbox: Sandbox) -> None:
    client, _ = as_role("shop")
    with pytest.raises((MiraklPermissionError, MiraklNotFoundError, MiraklBadRequestError)):
        client.send(products.list_imports(caller=Caller("shop", 9999)))


@pytest.mark.parametrize("role", ["operator", "front"])
def test_synchronization(as_role: Any, sandbox: Sandbox, role: str) -> None:
    client, _ = as_role(role)
    (some, *_) = json.loads(body(client, catalog_manager.export_products()))
    products = [
        {"mirakl_product_id": some["mirakl_product_id"], "product_sku": "größe-1"},
        {"mirakl_product_id": "no-such-product", "product_sku": "x"},
    ]
    tracking_id = client.send(catalog_manager.synchronize_products(products))
    assert client.send(catalog_manager.get_synchronization(tracking_id))["status"] in ("WAITING", "QUEUED")
    sandbox.advance(600)
    state = client.send(catalog_manager.get_synchronization(tracking_id))
    assert (state["status"], state["succeeded"], state["failed"]) == ("COMPLETE", 1, 1)
    report = json.loads(body(client, catalog_manager.get_synchronization_report(tracking_id)))
    assert [item["status"] for item in report["processed_items"]] == ["SUCCESS", "FAILURE"]


@pytest.mark.parametrize("accept", ["application/json", "text/csv"])
def test_catalog_export(as_role: Any, sandbox: Sandbox, accept: str) -> None:
    client, _ = as_role("operator")
    since = datetime.now(UTC) - timedelta(days=3650)
    tracking_id = client.send(catalog_manager.start_export(export_type=accept, updated_since=since))
    sandbox.advance(600)
    state = client.send(catalog_manager.get_export(tracking_id))
    assert state["status"] == "COMPLETED"
    for url in state["urls"]:
        assert b"mirakl" in body(client, catalog_manager.get_export_file(url, accept=accept))
    assert state["urls"]


def test_an_export_without_credentials_is_refused(as_role: Any, bench: Any, sandbox: Sandbox) -> None:
    """The files of the sandbox want the key, so that a client that loses it is found out."""
    client, _ = as_role("operator")
    tracking_id = client.send(catalog_manager.start_export())
    sandbox.advance(600)
    (url, *_) = client.send(catalog_manager.get_export(tracking_id))["urls"]
    elsewhere = bench.client(f"http://localhost:{sandbox.port}/mirakl", auth=ROLES["operator"][0])
    with pytest.raises(MiraklAuthenticationError):
        elsewhere.download(catalog_manager.get_export_file(url))


def test_status_of_sources_may_be_empty(as_role: Any, sandbox: Sandbox) -> None:
    client, caller = as_role("shop")
    later = datetime.now(UTC) + timedelta(days=400)
    reply, data = client.download(catalog_manager.export_source_status(caller=caller, updated_since=later))
    assert (reply.status, data) == (204, b"")


def test_deleted_products(as_role: Any, sandbox: Sandbox) -> None:
    client, _ = as_role("operator")
    (some, *_) = json.loads(body(client, catalog_manager.export_products()))
    gone = {"mirakl_product_id": some["mirakl_product_id"], "operation": "DELETE"}
    client.send(catalog_manager.synchronize_products([gone]))
    sandbox.advance(600)
    deleted = json.loads(body(client, catalog_manager.export_deleted_products()))
    assert some["mirakl_product_id"] in [entry["mirakl_product_id"] for entry in deleted]


@pytest.mark.parametrize("role", ["shop", "second shop", "operator"])
def test_offers_stock_and_prices(as_role: Any, sandbox: Sandbox, role: str) -> None:
    client, caller = as_role(role)
    product = json.loads(body(as_role("operator")[0], catalog_manager.export_products()))[0]["product_sku"]
    lines = f"o-1;{product};SKU;10.50;3;11;update\no-2;no-such;SKU;1;1;11;update\n".encode()
    started = client.send(offers.import_offers(OFFERS + lines, "offers.csv", caller=caller))
    sandbox.advance(300)
    state = client.send(offers.get_offer_import(started.import_id, caller=caller))
    assert (state["status"], state["lines_in_success"], state["lines_in_error"]) == ("COMPLETE", 1, 1)
    assert b"o-2" in body(client, offers.get_offer_error_report(started.import_id, caller=caller))
    (page,) = client.pages(offers.list_offer_imports(caller=caller))
    assert [entry["import_id"] for entry in page.items] == [started.import_id]

    stock = client.send(
        offers.import_stock(b"offer-sku;quantity\no-1;8\no-9;8\n", "stock.csv", caller=caller)
    )
    prices = client.send(
        offers.import_prices(b"offer-sku;price\no-1;12.25\no-9;1\n", "prices.csv", caller=caller)
    )
    sandbox.advance(300)
    assert client.send(offers.get_stock_import(stock, caller=caller))["status"] == "COMPLETE"
    assert b"o-9" in body(client, offers.get_stock_error_report(stock, caller=caller))
    assert client.send(offers.get_price_import(prices, caller=caller))["status"] == "COMPLETE"
    assert b"o-9" in body(client, offers.get_price_error_report(prices, caller=caller))


@pytest.mark.parametrize("role", ["shop", "operator"])
def test_offer_export(as_role: Any, sandbox: Sandbox, role: str) -> None:
    client, caller = as_role(role)
    product = json.loads(body(as_role("operator")[0], catalog_manager.export_products()))[0]["product_sku"]
    lines = f"o-1;{product};SKU;12.25;3;11;update\n".encode()
    client.send(offers.import_offers(OFFERS + lines, "offers.csv", caller=caller))
    sandbox.advance(300)
    if caller.role != "shop":
        caller = Caller(caller.role)  # OF52 takes no shop from the others
    tracking_id = client.send(offers.start_offer_export(caller=caller))
    sandbox.advance(300)
    urls = client.send(offers.get_offer_export(tracking_id, caller=caller))["urls"]
    exported = b"".join(body(client, offers.get_offer_export_file(url)) for url in urls)
    assert b"o-1" in exported
    assert b"12.25" in exported


def test_a_repeated_offer_import_gives_the_one_there_is(as_role: Any, sandbox: Sandbox) -> None:
    client, caller = as_role("shop")
    offer = {
        "shop_sku": "o-1",
        "product_id": "x",
        "product_id_type": "SKU",
        "price": 1,
        "quantity": 1,
        "state_code": "11",
        "update_delete": "update",
    }
    sandbox.fault("reset_after", "OF24")
    number = client.send(offers.upsert_offers([offer], caller=caller))
    assert number == client.send(offers.upsert_offers([offer], caller=caller))


@pytest.mark.parametrize("role", ["shop", "operator", "front"])
def test_documents(as_role: Any, sandbox: Sandbox, role: str) -> None:
    client, _ = as_role(role)
    shops = {} if role == "shop" else {"shop_ids": [2000]}
    uploads = [
        documents.Upload("kbis é.pdf", "BUSINESS_REGISTRATION", b"%PDF-1"),
        documents.Upload("b.pdf", "NO_SUCH_TYPE", b"%PDF-2"),
    ]
    answer = client.send(documents.upload_documents(role, uploads, shop_id=None if role == "shop" else 2000))
    assert [refused.file_name for refused in answer.refused] == ["b.pdf"]
    (document,) = client.send(documents.list_documents(role, **shops))
    assert document.file_name == "kbis é.pdf"
    reply, data = client.download(documents.download_documents(role, document_ids=[document.id]))
    assert data == b"%PDF-1"
    assert documents.file_name_of(reply) == "kbis é.pdf"
    assert (
        body(
            client, documents.download_documents(role, **(shops or {"type_codes": ["BUSINESS_REGISTRATION"]}))
        )[:2]
        == b"PK"
    )
    client.send(documents.delete_document(role, document.id))
    assert client.send(documents.list_documents(role, **shops)) == []
