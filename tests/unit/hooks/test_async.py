"""A hook on an event loop: whatever may block does so in another thread."""

from __future__ import annotations

import asyncio
import threading

import pytest

from airflow_provider_mirakl.api.platform import get_platform_configuration
from airflow_provider_mirakl.exceptions import MiraklConfigurationError
from airflow_provider_mirakl.hooks.base import MiraklConnectionDisabledError
from airflow_provider_mirakl.hooks.mirakl import MiraklHook
from airflow_provider_mirakl.hooks.mirakl_connect import MiraklConnectHook


@pytest.fixture
def not_on_the_loop(monkeypatch):
    """``not_on_the_loop(owner, name)``: a call in a thread with a running loop fails the test."""
    called = []

    def guard(owner, name):
        original = getattr(owner, name)

        def guarded(*arguments, **keywords):
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                called.append(name)
                return original(*arguments, **keywords)
            raise AssertionError(f"{name} blocks the event loop")

        monkeypatch.setattr(owner, name, guarded)
        return called

    return guard


@pytest.fixture
def both(connection, sandbox):
    extra = {"role": "operator", "front_api_key": "sandbox-front-key"}
    return connection(
        "both", conn_type="mirakl", host=sandbox.mirakl_url, password="sandbox-operator-key", extra=extra
    )


async def test_it_asks(both, sandbox):
    async with await MiraklHook(both).get_async_conn() as client:
        answer = await client.send(get_platform_configuration())
    assert answer["platform_name"] == "Sandbox Marketplace"


async def test_nothing_blocks_the_loop(both, not_on_the_loop):
    """Reading a connection through a secrets backend, masking, and reading certificates all take their time."""
    import httpx
    from airflow.providers.common.compat.sdk import BaseHook

    not_on_the_loop(BaseHook, "get_connection")
    made = not_on_the_loop(httpx, "AsyncClient")
    for role in ("operator", "front"):
        async with await MiraklHook(both, role=role).get_async_conn() as client:
            await client.send(get_platform_configuration())
    assert "AsyncClient" in made


async def test_many_hooks_at_once(both, sandbox):
    """As in a triggerer with many deferred tasks of one connection."""

    async def ask(role):
        async with await MiraklHook(both, role=role).get_async_conn() as client:
            await client.send(get_platform_configuration())

    await asyncio.gather(*(ask(role) for role in ("operator", "front") * 10))
    assert len(sandbox.journal("PC01")) == 20


async def test_one_token_for_many_hooks(connection, sandbox):
    conn_id = connection(
        "connect",
        conn_type="mirakl_connect",
        host=sandbox.connect_url,
        login="sandbox-client",
        password="sandbox-secret",
        extra={"token_url": sandbox.token_url, "interval_factor": 0},
    )

    async def ask():
        from airflow_provider_mirakl.api.connect import list_products

        hook = MiraklConnectHook(conn_id)
        async with await hook.get_async_conn() as client:
            await client.send(list_products())

    sandbox.settings.intervals["listProducts"] = 0.0
    try:
        await asyncio.gather(ask(), ask(), ask())
    finally:
        del sandbox.settings.intervals["listProducts"]
    assert len(sandbox.journal("token")) == 1


async def test_values_may_be_read_afterwards(both):
    hook = MiraklHook(both, role="front")
    async with await hook.get_async_conn():
        assert hook.values.role == "front"


@pytest.mark.parametrize(
    ("fields", "error", "fix"),
    [
        ({"enabled": "false"}, MiraklConnectionDisabledError, "is disabled"),
        ({"timeout": "x"}, MiraklConfigurationError, "timeout: "),
        ({"ca_bundle": "/there/is/none"}, MiraklConfigurationError, "ca_bundle: "),
    ],
)
async def test_faults_are_the_same_as_in_a_worker(connection, fields, error, fix):
    conn_id = connection(
        "faulty", conn_type="mirakl", host="https://x.example", password="k-12345", extra=fields
    )
    with pytest.raises(error, match=fix) as caught:
        await MiraklHook(conn_id).get_async_conn()
    with pytest.raises(error) as in_a_worker:
        MiraklHook(conn_id).get_conn()
    assert str(caught.value) == str(in_a_worker.value)


async def test_secrets_are_masked_on_the_loop_too(both, monkeypatch):
    from airflow_provider_mirakl.hooks import base

    masked, loop_thread = [], threading.get_ident()

    async def note(secret, name=None):
        assert threading.get_ident() == loop_thread
        masked.append(secret)

    monkeypatch.setattr(base, "amask_secret", note)
    await MiraklHook(both).get_async_conn()
    assert masked == ["sandbox-operator-key", "sandbox-front-key"]


@pytest.mark.parametrize("extra", ['{"enabled": false', "[1]", '"enabled"', "environment=test"])
async def test_extras_that_cannot_be_read_are_refused(connection, extra):
    """Some versions of Airflow take them for none, and so a disabled connection for an enabled one; the others skip
    such a connection."""
    conn_id = connection("odd", conn_type="mirakl_connect", login="id", password="a-secret", extra=extra)
    refusal = pytest.raises(MiraklConfigurationError, match=r"extra:? must be a JSON object")
    with refusal:
        await MiraklConnectHook(conn_id).get_async_conn()
    with refusal:
        MiraklConnectHook(conn_id).get_conn()


@pytest.mark.parametrize("extra", ["", "{}", None])
async def test_no_extras_are_no_fault(connection, extra):
    conn_id = connection("plain", conn_type="mirakl_connect", login="id", password="a-secret", extra=extra)
    assert MiraklConnectHook(conn_id).settings.base_url == "https://miraklconnect.com"
    async with await MiraklConnectHook(conn_id).get_async_conn() as client:
        assert client.settings.base_url == "https://miraklconnect.com"
