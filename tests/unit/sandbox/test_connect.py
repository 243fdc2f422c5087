"""Mirakl Connect's catalog through real HTTP."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from airflow_provider_mirakl.sandbox import Sandbox


def upsert(connect: httpx.Client, *products: Any) -> httpx.Response:
    return connect.post("/api/products", json={"products": list(products)})


def delete(connect: httpx.Client, *ids: str) -> httpx.Response:
    return connect.request("DELETE", "/api/products", json={"products": [{"id": key} for key in ids]})


def test_an_upsert_is_a_bare_202_and_readable_later(sandbox: Sandbox, connect: httpx.Client) -> None:
    answer = upsert(connect, {"id": "b", "brand": "Nordlys"}, {"id": "a"})
    assert (answer.status_code, answer.content) == (202, b"")
    assert sandbox.products() == []
    sandbox.advance(19.9)
    assert sandbox.products() == []
    sandbox.advance(0.2)
    assert connect.get("/api/products").json() == {"data": [{"id": "a"}, {"id": "b", "brand": "Nordlys"}]}


def test_a_patch_replaces_top_level_elements_null_erases_and_absent_keeps(
    sandbox: Sandbox, connect: httpx.Client
) -> None:
    sandbox.seed(
        [
            {
                "id": "a",
                "brand": "Nordlys",
                "titles": [{"locale": "en", "value": "old"}, {"locale": "fr", "value": "vieux"}],
                "images": [{"url": "https://example.com/1.jpg"}],
            }
        ]
    )
    upsert(connect, {"id": "a", "brand": None, "titles": [{"locale": "en", "value": "new"}]})
    sandbox.advance(20)
    assert sandbox.products() == [
        {
            "id": "a",
            "titles": [{"locale": "en", "value": "new"}],
            "images": [{"url": "https://example.com/1.jpg"}],
        }
    ]


def test_delete_has_a_body_and_unknown_ids_are_no_error(sandbox: Sandbox, connect: httpx.Client) -> None:
    sandbox.seed([{"id": "a"}, {"id": "b"}])
    answer = delete(connect, "a", "never-there")
    assert (answer.status_code, answer.content) == (202, b"")
    sandbox.advance(20)
    assert [product["id"] for product in sandbox.products()] == ["b"]
    assert [row["result"] for row in sandbox.ledger()] == ["deleted", "absent"]


def test_changes_are_applied_in_the_order_of_their_acceptance(
    sandbox: Sandbox, connect: httpx.Client
) -> None:
    upsert(connect, {"id": "a", "brand": "first"}, {"id": "a", "brand": "second"})
    sandbox.advance(1)
    delete(connect, "a")
    sandbox.advance(60)
    upsert(connect, {"id": "a", "brand": "third"})
    assert sandbox.products() == []
    sandbox.advance(20)
    assert sandbox.products() == [{"id": "a", "brand": "third"}]
    assert [row["result"] for row in sandbox.ledger(item="a")] == ["created", "updated", "deleted", "created"]


BAD = [
    ({}, ".id"),
    ({"id": ""}, ".id"),
    ({"id": "x" * 257}, ".id"),
    ({"id": 7}, ".id"),
    ({"id": "x", "titles": [{"locale": "en"}]}, ".titles[0].value"),
    ({"id": "x", "titles": [{"locale": "EN-us", "value": ""}]}, ".titles[0].locale"),
    ({"id": "x", "titles": [{"locale": "en", "value": "x" * 256}]}, ".titles[0].value"),
    ({"id": "x", "titles": [{"locale": "en", "value": ""}] * 11}, ".titles"),
    ({"id": "x", "descriptions": [{"locale": "en", "value": "x" * 6001}]}, ".descriptions[0].value"),
    ({"id": "x", "brand": "x" * 256}, ".brand"),
    ({"id": "x", "category": {"id": "c"}}, ".category.labels"),
    ({"id": "x", "gtins": None}, ".gtins"),
    ({"id": "x", "gtins": [{"value": "12345678901234"}]}, ".gtins[0].value"),
    ({"id": "x", "images": [{"url": "ftp://example.com"}]}, ".images[0].url"),
    (
        {"id": "x", "attributes": [{"id": "a", "name": "a", "type": "TEXT", "value": "x"}]},
        ".attributes[0].type",
    ),
    (
        {"id": "x", "attributes": [{"id": "a", "name": "a", "type": "NUMERIC", "value": "1"}]},
        ".attributes[0].value",
    ),
    (
        {"id": "x", "attributes": [{"id": "a", "name": "a", "type": "BOOLEAN", "value": 1}]},
        ".attributes[0].value",
    ),
    ({"id": "x", "quantities": []}, ".quantities"),
    ({"id": "x", "quantities": None}, ".quantities"),
    ({"id": "x", "quantities": [{"available_quantity": 1.5}]}, ".quantities[0].available_quantity"),
    ({"id": "x", "quantities": [{"available_quantity": -1}]}, ".quantities[0].available_quantity"),
    (
        {"id": "x", "standard_prices": [{"price": {"amount": "9.99", "currency": "EUR"}}]},
        ".standard_prices[0].price.amount",
    ),
    (
        {"id": "x", "standard_prices": [{"price": {"amount": 1, "currency": "EURO"}}]},
        ".standard_prices[0].price.currency",
    ),
    (
        {
            "id": "x",
            "discount_prices": [{"price": {"amount": 1, "currency": "EUR"}, "start_date": "tomorrow"}],
        },
        ".discount_prices[0].start_date",
    ),
    ({"id": "x", "titel": []}, ".titel"),
    (["id"], ""),
]


@pytest.mark.parametrize(("product", "field"), BAD, ids=[field for _, field in BAD])
def test_one_bad_product_refuses_the_whole_call_and_names_the_place(
    sandbox: Sandbox, connect: httpx.Client, product: Any, field: str
) -> None:
    answer = upsert(connect, {"id": "good"}, product)
    assert answer.status_code == 400
    body = answer.json()
    assert body["code"] == "INVALID_INPUT"
    assert f"$.products[1]{field}" in [error["field"] for error in body["errors"]]
    assert all(error["message"] for error in body["errors"])
    sandbox.advance(60)
    assert sandbox.products() == []
    assert [row["result"] for row in sandbox.ledger()] == ["refused", "invalid"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"products": []}',
        b'{"products": {"id": "a"}}',
        b'{"products": [{"id": "a", "standard_prices": [{"price": {"amount": NaN, "currency": "EUR"}}]}]}',
        b'{"products": [{"id": "a", "standard_prices": [{"price": {"amount": 1e999, "currency": "EUR"}}]}]}',
        b'{"products": [{"id": "\\ud800"}]}',
        b'\xef\xbb\xbf{"products": [{"id": "a"}]}',
        b'{"products": [{"id": "caf\xe9"}]}',
        b"[" * 100_000,
        json.dumps({"products": [{"id": str(n)} for n in range(1001)]}).encode(),
    ],
)
def test_a_body_that_is_no_catalog_is_refused(connect: httpx.Client, body: bytes) -> None:
    answer = connect.post("/api/products", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["code"] == "INVALID_INPUT"


def test_a_thousand_products_are_accepted(sandbox: Sandbox, connect: httpx.Client) -> None:
    assert upsert(connect, *({"id": f"p{n:04d}"} for n in range(1000))).status_code == 202
    sandbox.advance(20)
    assert len(sandbox.products()) == 1000


@pytest.mark.mirakl_sandbox_settings(unknown_fields="ignore")
def test_unknown_fields_can_be_ignored(sandbox: Sandbox, connect: httpx.Client) -> None:
    """Ignored at every depth: the call passes, what is known is stored, what is unknown is not."""
    title = {"locale": "en_GB", "value": "Lamp"}
    answer = upsert(connect, {"id": "a", "titel": [], "titles": [{**title, "tone": "warm"}]})
    assert answer.status_code == 202
    sandbox.advance(20)
    assert sandbox.products() == [{"id": "a", "titles": [title]}]
    sandbox.advance(60)
    (error,) = upsert(connect, {"id": "a", "brand": 7, "titel": []}).json()["errors"]
    assert error["field"] == "$.products[0].brand"


@pytest.mark.mirakl_sandbox_settings(duplicate_ids="reject")
def test_duplicates_can_be_refused(connect: httpx.Client) -> None:
    answer = upsert(connect, {"id": "a"}, {"id": "b"}, {"id": "a"})
    assert [error["field"] for error in answer.json()["errors"]] == ["$.products[2].id"]


@pytest.mark.mirakl_sandbox_settings(limits="off")
def test_pages_are_sorted_and_tokens_lead_both_ways(sandbox: Sandbox, connect: httpx.Client) -> None:
    sandbox.seed([{"id": f"p{n}"} for n in (5, 3, 1, 4, 2)])
    first = connect.get("/api/products", params={"limit": 2}).json()
    assert [product["id"] for product in first["data"]] == ["p1", "p2"]
    assert "previous_page_token" not in first
    second = connect.get("/api/products", params={"page_token": first["next_page_token"]}).json()
    assert [product["id"] for product in second["data"]] == ["p3", "p4"]
    # The token stands for everything: another limit beside it changes nothing.
    third = connect.get(
        "/api/products", params={"page_token": second["next_page_token"], "limit": 1000}
    ).json()
    assert [product["id"] for product in third["data"]] == ["p5"]
    assert "next_page_token" not in third
    back = connect.get("/api/products", params={"page_token": third["previous_page_token"]}).json()
    assert [product["id"] for product in back["data"]] == ["p3", "p4"]


@pytest.mark.mirakl_sandbox_settings(limits="off")
def test_a_page_token_survives_changes_of_the_catalog(sandbox: Sandbox, connect: httpx.Client) -> None:
    sandbox.seed([{"id": f"p{n}"} for n in range(1, 7)])
    first = connect.get("/api/products", params={"limit": 2}).json()
    delete(connect, "p2", "p3")
    sandbox.seed([{"id": "p0"}])
    sandbox.advance(20)
    second = connect.get("/api/products", params={"page_token": first["next_page_token"]}).json()
    assert [product["id"] for product in second["data"]] == ["p4", "p5"]


@pytest.mark.mirakl_sandbox_settings(limits="off")
@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "page_token=", "page_token=%%", "page_token=e30="]
)
def test_a_bad_limit_or_token_is_refused(connect: httpx.Client, query: str) -> None:
    answer = connect.get(f"/api/products?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_INPUT")


def test_an_empty_catalog_is_an_empty_page(connect: httpx.Client) -> None:
    assert connect.get("/api/products").json() == {"data": []}


def test_the_answers_of_the_http_layer_use_connects_error_body(
    connect: httpx.Client, sandbox: Sandbox
) -> None:
    found = {
        "404": connect.get("/api/product"),
        "405": connect.put("/api/products", json={}),
        "406": connect.get("/api/products", headers={"Accept": "text/csv"}),
        "415": connect.post("/api/products", content=b"{}", headers={"Content-Type": "text/plain"}),
        "401": httpx.get(
            f"{sandbox.connect_url}/api/products", headers={"Authorization": "sandbox-shop-key"}
        ),
    }
    for status, answer in found.items():
        assert answer.status_code == int(status)
        assert set(answer.json()) == {"code", "message", "errors", "extensions"}
    assert found["405"].headers["Allow"] == "DELETE, GET, POST"
    assert found["404"].json()["code"] == "DATA_NOT_FOUND"


def test_a_trailing_slash_is_another_path(connect: httpx.Client) -> None:
    assert connect.get("/api/products/").status_code == 404


@pytest.mark.mirakl_sandbox_settings(trailing_slash=True)
def test_a_trailing_slash_can_be_tolerated(connect: httpx.Client) -> None:
    assert connect.get("/api/products/").status_code == 200
