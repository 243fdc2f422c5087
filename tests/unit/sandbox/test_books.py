"""Journal, ledger, page and state: what the sandbox tells about itself."""

from __future__ import annotations

import json
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_mirakl.sandbox import Sandbox
from airflow_provider_mirakl.sandbox.world import World

SECRETS = (
    "sandbox-secret",
    "sandbox-shop-key",
    "sandbox-operator-key",
    "sandbox-front-key",
    "sandbox-djust-key",
)


def test_the_journal_keeps_what_was_asked_and_answered(sandbox: Sandbox, connect: httpx.Client) -> None:
    sandbox.advance(5)
    connect.post("/api/products", json={"products": [{"id": "a"}, {"id": "b"}]})
    connect.get("/api/nothing")
    entries = httpx.get(f"{sandbox.url}/_sandbox/journal").json()["calls"]
    assert [(e["operation"], e["method"], e["path"], e["status"], e["items"]) for e in entries] == [
        ("token", "POST", "/oauth/token", 200, None),
        ("upsertProducts", "POST", "/api/products", 202, 2),
        ("", "GET", "/api/nothing", 404, None),
    ]
    assert (entries[1]["moment"], entries[1]["role"], entries[1]["account"]) == (
        5.0,
        "connect",
        "sandbox-company",
    )
    assert sandbox.journal() == entries
    only = httpx.get(f"{sandbox.url}/_sandbox/journal", params={"operation": "token"}).json()["calls"]
    assert [entry["number"] for entry in only] == [1]
    later = httpx.get(f"{sandbox.url}/_sandbox/journal", params={"since": 2}).json()["calls"]
    assert [entry["number"] for entry in later] == [3]


def test_no_book_holds_a_secret(sandbox: Sandbox, shop: httpx.Client, connect: httpx.Client) -> None:
    shop.get("/api/account", params={"key": "sandbox-shop-key"})
    shop.get("/api/sandbox-operator-key")
    connect.get("/api/products")
    bearer = connect.headers["Authorization"].removeprefix("Bearer ")
    for path in ("journal", "status", "ledger", "limits", "page"):
        text = httpx.get(f"{sandbox.url}/_sandbox/{path}").text
        assert not [secret for secret in (*SECRETS, bearer) if secret in text]


def test_the_ledger_accounts_for_every_item_of_every_call(sandbox: Sandbox, connect: httpx.Client) -> None:
    sandbox.seed([{"id": "old", "brand": "x"}])
    connect.post("/api/products", json={"products": [{"id": "new"}, {"id": "old", "brand": "x"}]})
    connect.request("DELETE", "/api/products", json={"products": [{"id": "gone"}]})
    url = f"{sandbox.url}/_sandbox/ledger"
    assert httpx.get(url).json()["totals"] == {"calls": 2, "received": 3, "accepted": 3}
    sandbox.advance(60)
    connect.post("/api/products", json={"products": [{"id": "new", "brand": "y"}]})
    sandbox.advance(20)
    book = httpx.get(url).json()
    assert book["totals"] == {
        "calls": 3,
        "received": 4,
        "created": 1,
        "updated": 1,
        "unchanged": 1,
        "absent": 1,
    }
    assert [call["received"] for call in book["calls"]] == [2, 1, 1]
    assert book["calls"][0]["settled"] == 20.0
    assert [row["result"] for row in httpx.get(url, params={"item": "new"}).json()["rows"]] == [
        "created",
        "updated",
    ]
    number = book["calls"][1]["call"]
    assert [row["item"] for row in httpx.get(url, params={"call": number}).json()["rows"]] == ["gone"]
    lines = httpx.get(f"{sandbox.url}/_sandbox/ledger.ndjson").text.splitlines()
    assert [json.loads(line) for line in lines] == sandbox.ledger()


def test_products_can_be_read_and_seeded_over_http(sandbox: Sandbox) -> None:
    url = f"{sandbox.url}/_sandbox/products"
    seeded = httpx.post(url, content=b'{"id": "b"}\n\n{"id": "a", "brand": null}\n')
    assert seeded.json() == {"seeded": 2, "products": 2}
    assert [json.loads(line) for line in httpx.get(url).text.splitlines()] == [{"id": "a"}, {"id": "b"}]
    assert httpx.get(url, params={"limit": 1}).text == '{"id":"a"}\n'
    assert httpx.get(url, params={"id": "b"}).json() == {"id": "b"}
    assert httpx.get(url, params={"id": "c"}).status_code == 404
    bad = httpx.post(url, content=b'{"id": "c"}\n{"id": ""}\n')
    assert (bad.status_code, bad.json()["error"][:7]) == (400, "line 2:")


def test_reset_forgets_everything_but_the_token(sandbox: Sandbox, connect: httpx.Client) -> None:
    connect.post("/api/products", json={"products": [{"id": "a"}]})
    sandbox.fault("status")
    assert httpx.post(f"{sandbox.url}/_sandbox/reset").json() == {"reset": True}
    sandbox.advance(60)
    assert (sandbox.products(), sandbox.ledger(), sandbox.journal()) == ([], [], [])
    assert connect.get("/api/products").status_code == 200


def test_the_page_shows_products_calls_limits_and_errors(sandbox: Sandbox, connect: httpx.Client) -> None:
    sandbox.seed([{"id": "<b>bold</b>", "brand": "Nordlys & Co"}])
    connect.get("/api/products")
    connect.get("/api/products")
    sandbox.fault("delay", operation="P41")
    page = httpx.get(sandbox.url)
    assert page.headers["Content-Type"].startswith("text/html")
    for words in ("&lt;b&gt;bold", "Nordlys &amp; Co", "listProducts", "retry after 60 s", "60.0 s", "delay"):
        assert words in page.text
    assert "<b>bold" not in page.text
    assert "http://" not in page.text.replace(sandbox.url, "")
    assert "https://" not in page.text
    found = httpx.get(sandbox.url, params={"id": "nobody"}).text
    assert "No product has the id nobody." in found


def test_the_page_is_well_formed_and_every_table_has_a_name(sandbox: Sandbox, connect: httpx.Client) -> None:
    sandbox.seed([{"id": "a", "titles": None}])
    connect.post("/api/products", json={"products": [{"id": "b"}, {"id": "b"}]})
    sandbox.put_document(2000, "INSURANCE", "a.pdf", b"x")
    open_tags: list[str] = []
    labels: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag not in ("meta", "link", "input"):
                open_tags.append(tag)
            if dict(attrs).get("role") == "region":
                labels.append(dict(attrs)["aria-label"] or "")

        def handle_endtag(self, tag: str) -> None:
            assert open_tags.pop() == tag

    Reader().feed(httpx.get(sandbox.url).text)
    assert open_tags == []
    names = ["Latest calls", "Ledger", "Limits", "Master products of the Catalog Manager"]
    assert sorted(labels) == [f"{name}, table" for name in names]
    assert "" not in labels


def test_an_unknown_page_of_the_sandbox_is_a_404(sandbox: Sandbox) -> None:
    assert httpx.get(f"{sandbox.url}/nowhere").status_code == 404


def test_the_state_survives_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with Sandbox(clock="stepped", state=state) as sandbox:
        sandbox.seed([{"id": "a", "brand": "Nordlys"}])
        form = {
            "grant_type": "client_credentials",
            "client_id": "sandbox-client",
            "client_secret": "sandbox-secret",
        }
        token = httpx.post(sandbox.token_url, data=form).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        body = {"products": [{"id": "b"}, {"id": "a", "brand": None}]}
        assert (
            httpx.post(f"{sandbox.connect_url}/api/products", json=body, headers=headers).status_code == 202
        )
        sandbox.advance(5)
        journal = sandbox.journal()
    assert oct(state.stat().st_mode)[-3:] == "600"
    with Sandbox(clock="stepped", state=state) as sandbox:
        assert sandbox.journal() == journal
        assert sandbox.products() == [{"id": "a", "brand": "Nordlys"}]
        again = httpx.post(f"{sandbox.connect_url}/api/products", json=body, headers=headers)
        assert (again.status_code, again.headers["Retry-After"]) == (429, "55")
        sandbox.advance(15)
        assert sandbox.products() == [{"id": "a"}, {"id": "b"}]
        assert [row["result"] for row in sandbox.ledger()] == ["created", "updated"]


def test_the_state_is_readable_only_by_its_owner(tmp_path: Path) -> None:
    """It holds tokens. A file that a crash has left may be readable by everyone."""
    state, partial = tmp_path / "state", tmp_path / "state.part"
    partial.touch(0o666)
    partial.chmod(0o666)
    modes = set()
    with Sandbox(clock="stepped", state=state) as sandbox:

        def watch(world: World) -> None:
            part = next(iter(world.parts.values()))
            lines = part.lines

            def seen() -> Any:
                modes.add(partial.stat().st_mode & 0o777)
                return lines()

            part.lines = seen  # type: ignore[method-assign]

        sandbox.call(watch)
    assert (state.stat().st_mode & 0o777, modes) == (0o600, {0o600})


def test_the_state_is_kept_before_a_crash(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with Sandbox(state=state) as sandbox:
        httpx.get(f"{sandbox.mirakl_url}/api/version")
        for _ in range(400):
            if state.exists():
                break
            time.sleep(0.1)
        assert json.loads(state.read_text().splitlines()[0])["journal"]["number"] == 1


def test_a_file_that_is_no_state_is_not_overwritten(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.write_text('{"format": 99}\n')
    with pytest.raises(ValueError, match="not a state file"):
        Sandbox(state=state)
    assert state.read_text() == '{"format": 99}\n'
