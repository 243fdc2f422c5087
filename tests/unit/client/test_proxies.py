"""``NO_PROXY`` as people write it: a client can be made whatever it holds, and the rules hold."""

from __future__ import annotations

import logging
from typing import Any

import httpx
import pytest

from airflow_provider_mirakl.client import proxies
from airflow_provider_mirakl.client.http import AsyncClient, Client
from airflow_provider_mirakl.client.proxies import routes
from airflow_provider_mirakl.client.settings import Settings, api_key
from airflow_provider_mirakl.exceptions import MiraklConfigurationError

PROXY = "http://proxy.example:3128"


def goes_direct(no_proxy: str, url: str) -> bool:
    """Asks httpx itself, with the routes as its mounts."""
    host = httpx.URL(url).host
    found = routes({"https": PROXY, "http": PROXY, "no": no_proxy}, [host])
    mounts = {
        name: None if address is None else httpx.HTTPTransport(proxy=address)
        for name, address in found.items()
    }
    with httpx.Client(mounts=mounts, trust_env=False) as client:
        return client._transport_for_url(httpx.URL(url)) is client._transport


@pytest.mark.parametrize(
    ("no_proxy", "url", "direct"),
    [
        ("", "https://shop.mirakl.net", False),
        ("", "http://localhost:8080", True),
        ("", "http://[::1]:8080", True),
        ("", "http://127.0.0.2:8080", True),
        ("*", "https://shop.mirakl.net", True),
        ("a, *", "https://shop.mirakl.net", True),
        ("[::1]", "https://shop.mirakl.net", False),
        ("[fd00::7]", "https://[fd00::7]", True),
        ("fd00::7", "https://[fd00:0::7]:8443", True),
        ("[fd00::7]:8443", "https://[fd00::7]:8443", True),
        ("[fd00::7]:8443", "https://[fd00::7]", False),
        ("fd00::/8", "https://[fd00::7]", True),
        ("[fd00::]/8", "https://[fd00::7]", True),
        ("fd00::/8", "https://[fe80::7]", False),
        ("fe80::1%eth0", "https://shop.mirakl.net", False),
        ("10.0.0.0/8", "https://10.1.2.3", True),
        ("10.0.0.0/8", "https://11.1.2.3", False),
        ("10.0.0.0/8", "https://shop.mirakl.net", False),
        ("10.1.2.3", "https://10.1.2.3:8443", True),
        ("mirakl.net", "https://shop.mirakl.net", True),
        ("mirakl.net", "https://mirakl.net", True),
        ("mirakl.net", "https://notmirakl.net", False),
        (".mirakl.net", "https://mirakl.net", True),
        ("*.mirakl.net", "https://a.shop.mirakl.net", True),
        ("MIRAKL.NET", "https://shop.mirakl.net", True),
        ("mirakl.net:443", "https://shop.mirakl.net", True),
        ("mirakl.net:443", "http://shop.mirakl.net", False),
        ("mirakl.net:8443", "https://shop.mirakl.net:8443", True),
        ("mirakl.net:8443", "https://shop.mirakl.net", False),
        ("http://mirakl.net", "https://shop.mirakl.net", False),
        ("https://mirakl.net/", "https://shop.mirakl.net", True),
        ("localhost 127.0.0.1\tmirakl.net", "https://shop.mirakl.net", True),
        (",, ,mirakl.net,", "https://shop.mirakl.net", True),
    ],
)
def test_rules(no_proxy: str, url: str, direct: bool) -> None:
    assert goes_direct(no_proxy, url) is direct


@pytest.mark.parametrize(
    "entry",
    [
        "::1::2",
        "[10.0.0.1]x",
        "a b@c",
        "mirakl.net:0x50",
        "mirakl.net:99999",
        "10.0.0.0/99",
        "<local>",
        "a/b",
        "#",
        "é",
    ],
)
def test_what_is_neither_host_nor_network_is_ignored_and_named_once(
    entry: str, caplog: pytest.LogCaptureFixture
) -> None:
    proxies._patterns.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert not goes_direct(f"{entry},other.example", "https://shop.mirakl.net")
            assert goes_direct(f"{entry},mirakl.net", "https://shop.mirakl.net")
    words = [record.getMessage() for record in caplog.records]
    assert len(words) == 1
    assert "is neither a host nor a network" in words[0]


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("proxied", [True, False])
def test_clients_are_made(monkeypatch: pytest.MonkeyPatch, kind: Any, proxied: bool) -> None:
    monkeypatch.setenv("NO_PROXY", "[::1],fd00::/8,10.0.0.0/8,[::1]:8080,<local>,é")
    if proxied:
        monkeypatch.setenv("HTTPS_PROXY", PROXY)
    made = kind(Settings("https://shop.mirakl.net", api_key("k" * 20)))
    leads = made._http._transport_for_url(httpx.URL("https://shop.mirakl.net"))
    assert (leads is not made._http._transport) is proxied


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "ALL_PROXY", "http_proxy"])
def test_a_wrong_proxy_is_blamed_by_its_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "ftp://secret@proxy:21")
    monkeypatch.setenv("NO_PROXY", "[::1],fd00::/8")
    with pytest.raises(MiraklConfigurationError, match=f"proxy: {name.upper()} is not an address") as caught:
        Client(Settings("https://shop.mirakl.net", api_key("k" * 20)))
    assert "secret" not in str(caught.value)
