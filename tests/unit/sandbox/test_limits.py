"""Published call frequencies, and the clock that they run by."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from airflow_provider_mirakl.sandbox import Sandbox

BODY = {"products": [{"id": "a"}]}


def test_each_connect_operation_is_once_a_minute_of_its_own(sandbox: Sandbox, connect: httpx.Client) -> None:
    assert connect.post("/api/products", json=BODY).status_code == 202
    assert connect.request("DELETE", "/api/products", json=BODY).status_code == 202
    assert connect.get("/api/products").status_code == 200
    refused = connect.post("/api/products", json=BODY)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "60")
    assert refused.json()["code"] == "TOO_MANY_REQUEST"
    sandbox.advance(59.5)
    assert connect.post("/api/products", json=BODY).headers["Retry-After"] == "1"
    sandbox.advance(0.5)
    assert connect.post("/api/products", json=BODY).status_code == 202


def test_a_refused_call_does_not_move_the_next_permitted_one(sandbox: Sandbox, connect: httpx.Client) -> None:
    connect.get("/api/products")
    for _ in range(5):
        sandbox.advance(10)
        assert connect.get("/api/products").status_code == 429
    sandbox.advance(10)
    assert connect.get("/api/products").status_code == 200


def test_every_page_counts(sandbox: Sandbox, connect: httpx.Client) -> None:
    sandbox.seed([{"id": "a"}, {"id": "b"}])
    token = connect.get("/api/products", params={"limit": 1}).json()["next_page_token"]
    assert connect.get("/api/products", params={"page_token": token}).status_code == 429
    sandbox.advance(60)
    assert connect.get("/api/products", params={"page_token": token}).status_code == 200


@pytest.mark.mirakl_sandbox_settings(pages_count=False)
def test_pages_can_be_free(sandbox: Sandbox, connect: httpx.Client) -> None:
    sandbox.seed([{"id": "a"}, {"id": "b"}])
    token = connect.get("/api/products", params={"limit": 1}).json()["next_page_token"]
    assert connect.get("/api/products", params={"page_token": token}).status_code == 200
    assert connect.get("/api/products").status_code == 429


def test_a_call_that_validation_refuses_counts(connect: httpx.Client) -> None:
    assert connect.post("/api/products", json={}).status_code == 400
    assert connect.post("/api/products", json=BODY).status_code == 429


@pytest.mark.mirakl_sandbox_settings(refused_calls_count=False)
def test_a_call_that_validation_refuses_can_be_free(connect: httpx.Client) -> None:
    assert connect.post("/api/products", json={}).status_code == 400
    assert connect.post("/api/products", json=BODY).status_code == 202


def test_calls_that_never_reach_the_operation_are_free(sandbox: Sandbox, connect: httpx.Client) -> None:
    url = f"{sandbox.connect_url}/api/products"
    assert httpx.post(url, json=BODY).status_code == 401
    assert (
        connect.post("/api/products", content=b"x", headers={"Content-Type": "text/csv"}).status_code == 415
    )
    assert connect.post("/api/products", json=BODY).status_code == 202


@pytest.mark.mirakl_sandbox_settings(limits="connect")
def test_only_connects_limits_can_be_kept(shop: httpx.Client, connect: httpx.Client) -> None:
    assert [shop.get("/api/account").status_code for _ in range(2)] == [200, 200]
    assert [connect.get("/api/products").status_code for _ in range(2)] == [200, 429]


def test_an_instance_limit_is_counted_per_shop(sandbox: Sandbox, shop: httpx.Client) -> None:
    assert shop.get("/api/account").status_code == 200
    refused = shop.get("/api/account")
    assert refused.status_code == 429
    assert refused.json()["status"] == 429
    assert refused.headers["Retry-After"] == "86400"
    assert shop.get("/api/account", params={"shop_id": 2001}).json()["shop_id"] == 2001


@pytest.mark.mirakl_sandbox_settings(intervals={"A01": 0, "PC01": 5})
def test_intervals_can_be_set_by_operation(shop: httpx.Client) -> None:
    assert [shop.get("/api/account").status_code for _ in range(2)] == [200, 200]
    assert [shop.get("/api/platform/configuration").status_code for _ in range(2)] == [200, 429]


def test_limits_are_shown_and_can_be_forgotten(sandbox: Sandbox, connect: httpx.Client) -> None:
    connect.get("/api/products")
    limits = httpx.get(f"{sandbox.url}/_sandbox/limits").json()["limits"]
    assert [(row["operation"], row["free_in"]) for row in limits] == [("listProducts", 60.0)]
    assert httpx.delete(f"{sandbox.url}/_sandbox/limits").json() == {"limits": []}
    assert connect.get("/api/products").status_code == 200


@pytest.mark.mirakl_sandbox_settings(clock="running", speed=30)
def test_durations_on_the_wire_are_the_callers_seconds(sandbox: Sandbox, connect: httpx.Client) -> None:
    """At speed 30 a minute lasts two real seconds: that is what Retry-After says, and it is enough."""
    while (refused := connect.get("/api/products")).status_code == 200:
        pass  # on a busy machine the minute may be over before the second call
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] in ("1", "2")
    time.sleep(int(refused.headers["Retry-After"]))
    assert connect.get("/api/products").status_code == 200


def test_time_moves_over_http_and_never_backwards(sandbox: Sandbox) -> None:
    url = f"{sandbox.url}/_sandbox/clock"
    assert httpx.post(url, json={"advance": 90}).json() == {"moment": 90.0}
    refused: Any = httpx.post(url, json={"advance": -1})
    assert refused.status_code == 400
    with pytest.raises(ValueError, match="forward only"):
        sandbox.advance(-1)
