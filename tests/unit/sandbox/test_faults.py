"""Every kind of fault, as a client feels it."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import parsedate_to_datetime

import httpx
import pytest

from airflow_provider_mirakl.sandbox import Sandbox
from airflow_provider_mirakl.sandbox.machine.faults import KINDS

BODY = {"products": [{"id": "a", "brand": "Nordlys"}]}
CONFIGURATION = "/api/platform/configuration"


def test_a_rule_strikes_as_often_as_ordered(sandbox: Sandbox, shop: httpx.Client) -> None:
    sandbox.fault("status", operation="PC01", status=502, times=2, skip=1)
    assert [shop.get(CONFIGURATION).status_code for _ in range(4)] == [200, 502, 502, 200]


@pytest.mark.parametrize(
    "rule",
    [{"operation": "PC*"}, {"method": "GET"}, {"path": "/api/platform/*"}, {}],
)
def test_a_rule_chooses_by_operation_method_or_path(
    sandbox: Sandbox, shop: httpx.Client, rule: dict[str, str]
) -> None:
    sandbox.fault("status", **rule)
    assert shop.get(CONFIGURATION).status_code == 503


@pytest.mark.parametrize("rule", [{"operation": "P41"}, {"method": "POST"}, {"path": "/api/products*"}])
def test_a_rule_leaves_other_calls_alone(sandbox: Sandbox, shop: httpx.Client, rule: dict[str, str]) -> None:
    sandbox.fault("status", **rule)
    assert shop.get(CONFIGURATION).status_code == 200


def test_chance_is_drawn_from_the_seed() -> None:
    def run(seed: int) -> list[int]:
        with Sandbox(clock="stepped", seed=seed) as sandbox:
            sandbox.fault("status", times=None, probability=0.5)
            with httpx.Client(base_url=sandbox.mirakl_url, trust_env=False) as client:
                return [client.get("/api/version").status_code for _ in range(40)]

    first = run(1)
    assert first == run(1)
    assert first != run(2)
    assert {200, 503} == set(first)


@pytest.mark.parametrize("form", ["seconds", "date", "past", "negative", "zero", "garbage", "none", "17"])
def test_429_comes_with_every_form_of_retry_after(sandbox: Sandbox, connect: httpx.Client, form: str) -> None:
    sandbox.fault("throttle", retry_after=form, seconds=90)
    answer = connect.get("/api/products")
    assert answer.status_code == 429
    header = answer.headers.get("Retry-After")
    if form == "date":
        date = parsedate_to_datetime(header).timestamp()
        assert date - sandbox.world.clock.wall(sandbox.world.clock.now()) == pytest.approx(90, abs=2)
    elif form == "past":
        assert parsedate_to_datetime(header).timestamp() < sandbox.world.clock.wall(sandbox.world.clock.now())
    else:
        words = {"seconds": "90", "negative": "-5", "zero": "0", "garbage": "soon", "none": None, "17": "17"}
        assert header == words[form]


@pytest.mark.parametrize(
    ("body", "media_type", "start"),
    [
        ("html", "text/html", "<!DOCTYPE"),
        ("json", "application/json", "{"),
        ("empty", None, ""),
        ("oops", "text/plain", "oops"),
    ],
)
@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_server_error_has_the_body_that_was_ordered(
    sandbox: Sandbox, shop: httpx.Client, status: int, body: str, media_type: str | None, start: str
) -> None:
    sandbox.fault("status", status=status, body=body)
    answer = shop.get(CONFIGURATION)
    assert answer.status_code == status
    assert answer.headers.get("Content-Type") == media_type
    assert answer.text.startswith(start)


@pytest.mark.parametrize(
    ("kind", "processed"), [("reset_before", 0), ("reset_during", 1), ("reset_after", 1)]
)
def test_a_reset_says_nothing_about_what_was_processed(
    sandbox: Sandbox, connect: httpx.Client, kind: str, processed: int
) -> None:
    sandbox.fault(kind, operation="upsertProducts")
    with pytest.raises(httpx.TransportError):
        connect.post("/api/products", json=BODY)
    sandbox.advance(20)
    assert len(sandbox.products()) == processed
    expected = 202 if kind == "reset_during" else 0
    assert [call["status"] for call in sandbox.journal("upsertProducts")] == [expected]


def test_a_truncated_answer_is_shorter_than_it_said(sandbox: Sandbox, shop: httpx.Client) -> None:
    sandbox.fault("truncate", keep=0.3)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
        shop.get(CONFIGURATION)


@pytest.mark.mirakl_sandbox_settings(clock="running", speed=100)
@pytest.mark.parametrize("kind", ["slow", "delay"])
def test_a_slow_answer_is_whole_in_the_end(sandbox: Sandbox, shop: httpx.Client, kind: str) -> None:
    before = sandbox.world.clock.now()
    sandbox.fault(kind, seconds=20)
    assert shop.get(CONFIGURATION).json()["timezone"] == "Europe/Paris"
    assert sandbox.world.clock.now() - before >= 18


@pytest.mark.mirakl_sandbox_settings(clock="running", speed=100, token_seconds=1e9)
def test_a_delayed_call_sees_what_happened_meanwhile(sandbox: Sandbox, connect: httpx.Client) -> None:
    assert connect.post("/api/products", json=BODY).status_code == 202
    sandbox.fault("delay", operation="listProducts", seconds=40)
    assert connect.get("/api/products").json()["data"] == BODY["products"]


def test_broken_empty_and_foreign_bodies(sandbox: Sandbox, shop: httpx.Client) -> None:
    sandbox.fault("broken_json")
    broken = shop.get(CONFIGURATION)
    assert broken.status_code == 200
    with pytest.raises(ValueError, match=r"."):
        broken.json()
    sandbox.fault("empty_body")
    assert shop.get(CONFIGURATION).content == b""
    sandbox.fault("html_body")
    assert shop.get(CONFIGURATION).headers["Content-Type"] == "text/html"


@pytest.mark.mirakl_sandbox_settings(limits="off")
def test_a_page_can_come_twice_or_not_at_all(sandbox: Sandbox, connect: httpx.Client) -> None:
    sandbox.seed([{"id": f"p{n}"} for n in range(6)])

    def walk() -> list[str]:
        found: list[str] = []
        query: dict[str, str | int] = {"limit": 2}
        while True:
            page = connect.get("/api/products", params=query).json()
            found += [product["id"] for product in page["data"]]
            if "next_page_token" not in page:
                return found
            query = {"page_token": page["next_page_token"]}

    assert walk() == ["p0", "p1", "p2", "p3", "p4", "p5"]
    sandbox.fault("duplicate_page", operation="listProducts", skip=1)
    assert walk() == ["p0", "p1", "p2", "p3", "p2", "p3", "p4", "p5"]
    sandbox.fault("drop_page", operation="listProducts")
    assert walk() == ["p0", "p1", "p4", "p5"]


def test_unknown_values_and_fields(sandbox: Sandbox, shop: httpx.Client) -> None:
    sandbox.fault("unknown_enum", field="shop_state", value="DREAMING")
    assert shop.get("/api/account").json()["shop_state"] == "DREAMING"
    sandbox.fault("extra_fields")
    answer = shop.get(CONFIGURATION).json()
    assert "sandbox_extra" in answer
    assert "sandbox_extra" in answer["modules"]


def test_a_token_can_be_revoked_in_the_middle_of_a_run(
    sandbox: Sandbox, connect: httpx.Client, token: Callable[[], str]
) -> None:
    sandbox.fault("revoke_token", operation="upsertProducts")
    assert connect.post("/api/products", json=BODY).status_code == 401
    connect.headers["Authorization"] = f"Bearer {token()}"
    assert connect.post("/api/products", json=BODY).status_code == 202


def test_a_202_can_be_a_lie(sandbox: Sandbox, connect: httpx.Client) -> None:
    sandbox.fault("lost", operation="upsertProducts")
    assert connect.post("/api/products", json=BODY).status_code == 202
    sandbox.advance(3600)
    assert sandbox.products() == []
    assert [row["result"] for row in sandbox.ledger()] == ["lost"]


def test_rules_are_ordered_over_http_and_taken_back(sandbox: Sandbox, shop: httpx.Client) -> None:
    url = f"{sandbox.url}/_sandbox/faults"
    rule = {"kind": "status", "operation": "PC01", "status": 500, "times": None}
    number = httpx.post(url, json=rule).json()["number"]
    assert shop.get(CONFIGURATION).status_code == 500
    shown = httpx.get(url).json()
    assert [(fault["kind"], fault["struck"]) for fault in shown["faults"]] == [("status", 1)]
    assert set(shown["kinds"]) == set(KINDS)
    httpx.delete(url, params={"number": number})
    assert shop.get(CONFIGURATION).status_code == 200


@pytest.mark.parametrize("rule", [{}, [], {"kind": "gremlins"}, {"kind": "delay", "probability": 2}])
def test_a_rule_that_means_nothing_is_refused(sandbox: Sandbox, rule: object) -> None:
    answer = httpx.post(f"{sandbox.url}/_sandbox/faults", json=rule)
    assert answer.status_code == 400
    assert "kinds" in answer.json()


def test_the_journal_says_what_was_ordered(sandbox: Sandbox, shop: httpx.Client) -> None:
    sandbox.fault("throttle", operation="PC01")
    shop.get(CONFIGURATION)
    entry = sandbox.journal("PC01")[0]
    assert (entry["status"], entry["faults"], entry["retry_after"]) == (429, ["throttle"], "60")
