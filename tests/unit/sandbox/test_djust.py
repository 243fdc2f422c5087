"""DJUST's product synchronization."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from airflow_provider_mirakl.sandbox import Sandbox

HEADERS = {"dj-client": "OPERATOR", "dj-api-key": "sandbox-djust-key"}
PRODUCTS = [{"miraklProductId": "MKL-021", "productSku": "SKU-021"}]


def post(sandbox: Sandbox, body: Any, headers: dict[str, str] | None = None) -> httpx.Response:
    url = f"{sandbox.djust_url}/v1/mapper/mirakl/product-synchronizations"
    return httpx.post(url, json=body, headers=HEADERS if headers is None else headers)


def test_one_active_client_is_found_and_the_products_are_repaired(sandbox: Sandbox) -> None:
    answer = post(sandbox, {"products": PRODUCTS})
    client = sandbox.call(lambda world: world.instance.djust_clients[0]["id"])
    assert answer.json() == {"synchronizedProducts": 1, "clientSpecificationId": client}
    assert sandbox.master_products()["MKL-021"]["synchronization"] == "PENDING"
    sandbox.advance(100)
    assert sandbox.master_products()["MKL-021"]["synchronization"] == "SYNCHRONIZED"


def test_the_count_is_what_was_sent_and_says_nothing_about_stuck_products(sandbox: Sandbox) -> None:
    products = [
        *PRODUCTS,
        *PRODUCTS,
        {"miraklProductId": "MKL-040", "productSku": "SKU-040"},
        {"miraklProductId": "unknown", "productSku": "x"},
    ]
    assert post(sandbox, {"products": products}).json()["synchronizedProducts"] == 2
    sandbox.advance(100)
    assert sandbox.master_products()["MKL-040"]["synchronization"] == "PENDING"


def test_several_active_clients_are_listed_in_the_refusal(sandbox: Sandbox) -> None:
    first, second, off = sandbox.djust_clients({}, {}, {"active": False})
    answer = post(sandbox, {"products": PRODUCTS})
    assert answer.status_code == 400
    message = answer.json()["errors"][0]["message"]
    assert first["id"] in message
    assert second["id"] in message
    assert off["id"] not in message
    chosen = post(sandbox, {"products": PRODUCTS, "clientSpecificationId": second["id"]})
    assert chosen.json()["clientSpecificationId"] == second["id"]
    assert post(sandbox, {"products": PRODUCTS, "clientSpecificationId": off["id"]}).status_code == 400


def test_no_active_client_and_an_unknown_one(sandbox: Sandbox) -> None:
    unknown = "00000000-0000-4000-8000-000000000000"
    assert post(sandbox, {"products": PRODUCTS, "clientSpecificationId": unknown}).status_code == 404
    clients = httpx.put(f"{sandbox.url}/_sandbox/djust-clients", json=[{"active": False}]).json()["clients"]
    assert clients[0]["active"] is False
    answer = post(sandbox, {"products": PRODUCTS})
    assert (answer.status_code, "No active" in answer.json()["errors"][0]["message"]) == (400, True)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"dj-client": "OPERATOR"}, 401),
        ({"dj-client": "OPERATOR", "dj-api-key": "wrong"}, 401),
        ({"dj-client": "SUPPLIER", "dj-api-key": "sandbox-djust-key"}, 403),
        ({"dj-api-key": "sandbox-djust-key"}, 400),
    ],
)
def test_who_may_not(sandbox: Sandbox, headers: dict[str, str], status: int) -> None:
    answer = post(sandbox, {"products": PRODUCTS}, headers)
    assert answer.status_code == status
    assert answer.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"products": []},
        {"products": [{}]},
        {"products": [{"miraklProductId": "MKL-021"}]},
        {"products": [{"miraklProductId": "MKL-021", "productSku": ""}]},
        {"products": PRODUCTS, "clientSpecificationId": "no uuid"},
    ],
)
def test_what_is_no_request(sandbox: Sandbox, body: Any) -> None:
    answer = post(sandbox, body)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"].startswith("F-E-")


def test_master_products_can_be_arranged(sandbox: Sandbox) -> None:
    sandbox.arrange_master_products(
        {"id": "MKL-001", "synchronization": "PENDING", "stuck": True}, {"id": "X", "sku": "S"}
    )
    products = httpx.get(f"{sandbox.url}/_sandbox/master-products").json()["products"]
    assert {row["id"]: row["stuck"] for row in products}["MKL-001"] is True
    assert "X" in [row["id"] for row in products]
    bad = httpx.post(f"{sandbox.url}/_sandbox/master-products", json=[{"id": "X", "synchronization": "FINE"}])
    assert bad.status_code == 400
