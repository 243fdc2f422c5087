"""Both clients against the local Mirakl, which shares no code with them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_mirakl.api.connect import delete_products, list_products, upsert_products
from airflow_provider_mirakl.api.platform import get_platform_configuration, get_version
from airflow_provider_mirakl.client.settings import ClientCredentials, api_key
from airflow_provider_mirakl.exceptions import (
    MiraklAuthenticationError,
    MiraklBadRequestError,
    MiraklNotYetError,
    MiraklRateLimitError,
    MiraklReplyError,
    MiraklTransportError,
)
from airflow_provider_mirakl.sandbox import Sandbox

SPEED = 3600.0
"""An hour a second: the published minute takes a sixtieth of a second, and the clients wait it in earnest."""


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    # With its published life a token would last one second, and its renewal add a 401 to the calls that are counted.
    with Sandbox(speed=SPEED, limits="off", processing_seconds=0.0, token_seconds=1e9) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox) -> Sandbox:
    running.reset()
    return running


@pytest.fixture
def connect(bench: Any, sandbox: Sandbox) -> Any:
    auth = ClientCredentials(sandbox.token_url, "sandbox-client", "sandbox-secret")
    return bench.client(sandbox.connect_url, auth=auth, interval_factor=0)


@pytest.fixture
def instance(bench: Any, sandbox: Sandbox) -> Any:
    return bench.client(sandbox.mirakl_url, auth=api_key("sandbox-shop-key"))


def calls_of(sandbox: Sandbox, operation: str) -> list[int]:
    return [entry["status"] for entry in sandbox.journal(operation)]


def test_products_go_in_and_come_back(connect: Any, sandbox: Sandbox) -> None:
    products = [{"id": f"p{number:04}", "brand": "Größe"} for number in range(25)]
    assert connect.send(upsert_products(products)) is None
    pages = connect.pages(list_products(limit=10))
    assert [len(page.items) for page in pages] == [10, 10, 5]
    assert [item for page in pages for item in page.items] == products
    assert connect.send(delete_products(item["id"] for item in products[:20])) is None
    assert [item["id"] for page in connect.pages(list_products()) for item in page.items] == [
        item["id"] for item in products[20:]
    ]


def test_a_refused_product_is_named(connect: Any) -> None:
    with pytest.raises(MiraklBadRequestError) as caught:
        connect.send(upsert_products([{"id": "1"}, {"id": "x" * 257}]))
    assert caught.value.code == "INVALID_INPUT"
    assert caught.value.field is not None
    assert "products[1].id" in caught.value.field


def test_keys(bench: Any, sandbox: Sandbox, instance: Any) -> None:
    assert instance.send(get_platform_configuration())["platform_name"]
    with pytest.raises(MiraklAuthenticationError):
        bench.client(sandbox.mirakl_url, auth=api_key("wrong-key")).send(get_platform_configuration())
    bench.client(sandbox.mirakl_url, auth=api_key("wrong-key")).send(get_version())


def test_a_wrong_secret(bench: Any, sandbox: Sandbox) -> None:
    auth = ClientCredentials(sandbox.token_url, "sandbox-client", "wrong-secret")
    with pytest.raises(MiraklAuthenticationError) as caught:
        bench.client(sandbox.connect_url, auth=auth).send(list_products())
    assert caught.value.operation == "token"
    assert caught.value.code == "invalid_client"


def test_a_revoked_token_is_renewed(connect: Any, sandbox: Sandbox) -> None:
    connect.send(upsert_products([{"id": "1"}]))
    sandbox.revoke_tokens()
    connect.send(upsert_products([{"id": "2"}]))
    assert sorted(calls_of(sandbox, "upsertProducts")) == [202, 202, 401]
    assert [product["id"] for product in sandbox.products()] == ["1", "2"]


@pytest.mark.parametrize("kind", ["reset_before", "reset_after", "status", "throttle", "revoke_token"])
def test_an_upsert_survives(connect: Any, sandbox: Sandbox, kind: str) -> None:
    sandbox.fault(kind, "upsertProducts", times=2 if kind != "revoke_token" else 1)
    connect.send(upsert_products([{"id": "1"}]))
    assert [product["id"] for product in sandbox.products()] == ["1"]


@pytest.mark.parametrize("kind", ["reset_during", "truncate", "reset_before", "reset_after"])
def test_a_listing_survives(connect: Any, sandbox: Sandbox, kind: str) -> None:
    sandbox.seed({"id": f"{number:03}"} for number in range(30))
    sandbox.fault(kind, "listProducts", skip=1, times=2)
    pages = connect.pages(list_products(limit=10))
    assert [item["id"] for page in pages for item in page.items] == [f"{number:03}" for number in range(30)]


@pytest.mark.parametrize("kind", ["broken_json", "empty_body", "html_body"])
def test_a_listing_that_cannot_be_read_says_so(connect: Any, sandbox: Sandbox, kind: str) -> None:
    sandbox.seed([{"id": "1"}])
    sandbox.fault(kind, "listProducts")
    with pytest.raises(MiraklReplyError):
        connect.send(list_products())


def test_a_page_that_repeats_is_noticed(connect: Any, sandbox: Sandbox) -> None:
    sandbox.seed({"id": f"{number:03}"} for number in range(30))
    sandbox.fault("duplicate_page", "listProducts", times=None)
    with pytest.raises(MiraklReplyError, match="already read"):
        connect.pages(list_products(limit=10))


def test_fields_nobody_knows_do_no_harm(connect: Any, sandbox: Sandbox) -> None:
    sandbox.seed([{"id": "1"}])
    sandbox.fault("extra_fields", "listProducts")
    assert connect.send(list_products()).items[0]["id"] == "1"


@pytest.mark.parametrize(
    "form", ["seconds", "date", "zero", "past", "negative", "garbage", "none", "fraction"]
)
def test_every_form_of_a_429_is_survived(connect: Any, sandbox: Sandbox, bench: Any, form: str) -> None:
    sandbox.fault("throttle", "upsertProducts", retry_after=form, seconds=60)
    connect.send(upsert_products([{"id": "1"}]))
    assert calls_of(sandbox, "upsertProducts") == [429, 202]
    assert bench.time.slept, "it waited before it called again"


def test_a_429_that_does_not_end(connect: Any, sandbox: Sandbox) -> None:
    sandbox.fault("throttle", "upsertProducts", times=None)
    with pytest.raises(MiraklRateLimitError):
        connect.send(upsert_products([{"id": "1"}]))
    assert calls_of(sandbox, "upsertProducts") == [429] * 4


def test_the_published_interval_is_never_broken(bench: Any) -> None:
    """Real time, a minute in two seconds, four upserts, with the async client all at once: not one 429."""
    import asyncio
    import time

    from airflow_provider_mirakl.client.http import AsyncClient, Client
    from airflow_provider_mirakl.client.pacing import Pacer
    from airflow_provider_mirakl.client.settings import Settings
    from airflow_provider_mirakl.client.tokens import TokenStore

    speed = 30.0
    with Sandbox(speed=speed, token_seconds=1e9) as own:
        settings = Settings(
            own.connect_url,
            ClientCredentials(own.token_url, "sandbox-client", "sandbox-secret"),
            interval_factor=1 / speed,
        )
        shared: dict[str, Any] = {"pacer": Pacer(), "tokens": TokenStore()}
        with Client(settings, **shared) as client:
            client.token()  # else calls whose turns have come would wait for it, and leave together
        started = time.monotonic()
        if bench.face.__name__ == "SyncFace":
            with Client(settings, **shared) as client:
                for number in range(4):
                    client.send(upsert_products([{"id": str(number)}]))
        else:

            async def send_all() -> None:
                async with AsyncClient(settings, **shared) as client:
                    calls = [upsert_products([{"id": str(number)}]) for number in range(4)]
                    await asyncio.gather(*map(client.send, calls))

            asyncio.run(send_all())
        assert calls_of(own, "upsertProducts") == [202] * 4
        assert time.monotonic() - started >= 3 * 60 / speed


def test_a_caller_that_does_not_wait_is_told_when(bench: Any) -> None:
    with Sandbox(clock="stepped") as own:
        auth = ClientCredentials(own.token_url, "sandbox-client", "sandbox-secret")
        client = bench.client(own.connect_url, auth=auth, max_wait=10)
        client.send(upsert_products([{"id": "1"}]))
        with pytest.raises(MiraklNotYetError):
            client.send(upsert_products([{"id": "2"}]))
        bench.pacer.forget()  # as another process, which knows nothing of the first call
        with pytest.raises(MiraklRateLimitError) as caught:
            client.send(upsert_products([{"id": "2"}]))
        assert caught.value.retry_after == 60
        assert calls_of(own, "upsertProducts") == [202, 429]


def test_a_slow_answer_is_unclear(bench: Any, connect: Any, sandbox: Sandbox) -> None:
    connect.send(list_products())  # so that the short timeout does not hold for the token too
    auth = ClientCredentials(sandbox.token_url, "sandbox-client", "sandbox-secret")
    client = bench.client(sandbox.connect_url, auth=auth, timeout=1.0, max_attempts=1, interval_factor=0)
    sandbox.fault("delay", "upsertProducts", seconds=60 * SPEED)
    with pytest.raises(MiraklTransportError, match="ReadTimeout") as caught:
        client.send(upsert_products([{"id": "1"}]))
    assert caught.value.surely_not_sent is False


def test_an_address_where_nobody_listens_names_what_to_check(bench: Any) -> None:
    with socket.socket() as taken:  # bound, and not listening
        taken.bind(("127.0.0.1", 0))
        client = bench.client(f"http://127.0.0.1:{taken.getsockname()[1]}", max_attempts=1)
        with pytest.raises(MiraklTransportError, match="check host, port and proxy of the connection"):
            client.send(get_platform_configuration())
