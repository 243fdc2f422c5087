"""Addresses as people type them, and settings no client can work with."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from airflow_provider_mirakl.client.http import Client
from airflow_provider_mirakl.client.settings import (
    ClientCredentials,
    HeaderAuth,
    Secret,
    Settings,
    api_key,
    bearer,
    clean_base_url,
    djust_key,
    is_loopback,
    origin,
)
from airflow_provider_mirakl.exceptions import MiraklConfigurationError

GOOD = {
    "https://shop.mirakl.net": "https://shop.mirakl.net",
    "shop.mirakl.net": "https://shop.mirakl.net",
    "  https://shop.mirakl.net/  ": "https://shop.mirakl.net",
    "https://shop.mirakl.net/api": "https://shop.mirakl.net",
    "https://shop.mirakl.net/api/": "https://shop.mirakl.net",
    "https://shop.mirakl.net//api//": "https://shop.mirakl.net",
    "https://shop.mirakl.net/api/api": "https://shop.mirakl.net",
    "HTTPS://Shop.Mirakl.NET": "https://shop.mirakl.net",
    "https://shop.mirakl.net:443": "https://shop.mirakl.net",
    "https://shop.mirakl.net:8443/api": "https://shop.mirakl.net:8443",
    "shop.mirakl.net:8443": "https://shop.mirakl.net:8443",
    "https://gateway.example/mirakl/prod/api": "https://gateway.example/mirakl/prod",
    "https://shop.mirakl.net/apis": "https://shop.mirakl.net/apis",
    "https://xn--bcher-kva.example": "https://xn--bcher-kva.example",
    "http://localhost:8080": "http://localhost:8080",
    "http://127.0.0.1:80/api": "http://127.0.0.1",
    "http://[::1]:8080/api": "http://[::1]:8080",
    "https://[2001:DB8::1]/": "https://[2001:db8::1]",
}


@pytest.mark.parametrize(("typed", "clean"), GOOD.items(), ids=GOOD.keys())
def test_addresses_that_work(typed: str, clean: str) -> None:
    assert clean_base_url(typed) == clean


BAD = {
    "": "is empty",
    "   ": "is empty",
    "http://shop.mirakl.net": "use https://shop.mirakl.net",
    "http://10.0.0.1": "send the key unencrypted",
    "ftp://shop.mirakl.net": "begins with ftp://",
    "https://": "no host name",
    "https:/shop.mirakl.net": "no host name",
    "http//shop.mirakl.net": "no host name",
    "https://shop mirakl.net": "no host name",
    "https://shop.mirakl.net/a b": "no host name",
    "https://shop.mirakl.net\\@evil.example": "user name or a password",
    "https://shop!.mirakl.net": "no host name",
    "https://shop..mirakl.net": "no host name",
    f"https://{'a' * 64}.mirakl.net": "no host name",
    "https://shop\u200b.mirakl.net": "invisible",
    "https://shop.mirakl.net/\tx": "invisible",
    "https://bücher.example": "xn--",
    "https://shоp.mirakl.net": "xn--",  # noqa: RUF001 - the o is Cyrillic
    "https://me:pw@shop.mirakl.net": "user name or a password",
    "https://@shop.mirakl.net": "user name or a password",
    "https://shop.mirakl.net?key=1": "'?' or '#'",
    "https://shop.mirakl.net/#/home": "'?' or '#'",
    "https://shop.mirakl.net:99999": "must be an address",
    "https://shop.mirakl.net:key": "must be an address",
    "https://[::1": "must be an address",
}


@pytest.mark.parametrize(("typed", "why"), BAD.items(), ids=[repr(key) for key in BAD])
def test_addresses_that_do_not(typed: str, why: str) -> None:
    with pytest.raises(MiraklConfigurationError, match=r"^host: ") as caught:
        clean_base_url(typed)
    assert why in str(caught.value)
    assert caught.value.field == "host"


def test_what_was_typed_is_not_repeated_where_it_may_be_a_key() -> None:
    for typed in ("https://name:k3y-value", "https://name:k3y-value@shop.mirakl.net"):
        with pytest.raises(MiraklConfigurationError) as caught:
            clean_base_url(typed)
        assert "k3y-value" not in str(caught.value)


def test_switches() -> None:
    assert clean_base_url("http://own.example", allow_http=True) == "http://own.example"
    assert clean_base_url("https://own.example/api", strip_api=False) == "https://own.example/api"


HOSTS = st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,10}[a-zA-Z0-9])?(\.[a-zA-Z]{2,6}){0,2}", fullmatch=True)
PATHS = st.lists(st.sampled_from(["api", "v1", "", "mirakl", "API"]), max_size=4).map("/".join)


@given(
    st.sampled_from(["", "https://", "HTTPS://"]), HOSTS, st.sampled_from(["", ":443", ":8443", ":80"]), PATHS
)
def test_cleaning_twice_changes_nothing(scheme: str, host: str, port: str, path: str) -> None:
    assume(host.lower() not in ("http", "https"))
    clean = clean_base_url(f"{scheme}{host}{port}/{path}")
    assert clean_base_url(clean) == clean
    assert not clean.endswith(("/", "/api"))
    assert origin(clean)[1] == host.lower()


@given(st.text(max_size=40))
def test_any_text_is_cleaned_or_refused(text: str) -> None:
    try:
        clean = clean_base_url(text)
    except MiraklConfigurationError:
        return
    assert clean.startswith("https://") or is_loopback(origin(clean)[1])
    assert clean_base_url(clean) == clean


def test_loopback() -> None:
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.8.8.8", "::1")))
    assert not any(map(is_loopback, ("10.0.0.1", "localhost.example", "127.0.0.1.example", "")))


# --- settings -----------------------------------------------------------------------------------------------

HOME = "https://shop.mirakl.net"
PLAIN = ClientCredentials("http://auth.example/t", "i", "s")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"timeout": 0}, "timeout"), ({"timeout": float("nan")}, "timeout"), ({"timeout": float("inf")}, "timeout"),
        ({"connect_timeout": -1}, "connect_timeout"), ({"max_attempts": 0}, "max_attempts"),
        ({"max_wait": -1}, "max_wait"), ({"interval_factor": -0.5}, "interval_factor"),
        ({"base_url": ""}, "base_url"), ({"base_url": "shop.mirakl.net"}, "base_url"),
        ({"auth": api_key("")}, "auth"), ({"auth": ClientCredentials("https://a/t", "", "s")}, "auth"),
        ({"auth": ClientCredentials("a/t", "i", "s")}, "auth"),
        ({"auth": PLAIN}, "auth"), ({"base_url": "http://localhost", "auth": PLAIN}, "auth"),
        ({"ca_bundle": "/no/such/file"}, "ca_bundle"),
        ({"ca_bundle": __file__}, "ca_bundle"), ({"ca_bundle": "/"}, "ca_bundle"), ({"ca_bundle": "a\0b"}, "ca_bundle"),
        ({"proxy": "ftp://p"}, "proxy"), ({"proxy": "::::"}, "proxy"), ({"proxy": "socks5://p"}, "proxy"),
        ({"proxy": "http://p:99999"}, "proxy"),
    ],
)  # fmt: skip
def test_a_client_refuses_what_cannot_work(change: dict[str, object], field: str) -> None:
    with pytest.raises(MiraklConfigurationError) as caught:
        Client(Settings(**{"base_url": HOME, "auth": api_key("k"), **change}))
    assert caught.value.field == field


def test_a_token_server_may_be_as_plain_as_the_instance() -> None:
    """On this machine, or where plain HTTP was allowed for the instance itself."""
    for base_url, token_url in (
        ("http://own.example", "http://auth.example/t"),
        ("http://localhost", "http://127.0.0.1:8080/t"),
    ):
        Client(Settings(base_url=base_url, auth=ClientCredentials(token_url, "i", "s"))).close()


def test_every_fault_is_listed() -> None:
    with pytest.raises(MiraklConfigurationError) as caught:
        Client(Settings(base_url="", auth=api_key(""), timeout=0, max_attempts=0))
    assert all(word in str(caught.value) for word in ("base_url", "auth", "timeout", "max_attempts"))


@pytest.mark.parametrize("key", ["k3y-value\n", "k3y-value ", "k3y\r\nX: 1", "k3y-välue", "k3y\0"])
def test_a_key_that_no_header_can_hold_is_refused_without_being_shown(key: str) -> None:
    for auth in (api_key(key), bearer(key), djust_key(key)):
        with pytest.raises(MiraklConfigurationError) as caught:
            Client(Settings(base_url=HOME, auth=auth))
        assert "k3y" not in str(caught.value)


def test_a_password_of_a_proxy_is_not_shown() -> None:
    with pytest.raises(MiraklConfigurationError) as caught:
        Client(Settings(base_url=HOME, auth=api_key("k"), proxy="ftp://me:pr0xy-pw@p"))
    assert "pr0xy-pw" not in str(caught.value)


def test_accounts_are_told_apart_without_their_secret() -> None:
    settings = [
        Settings(base_url=HOME, auth=api_key("a-very-long-key")),
        Settings(base_url=HOME, auth=api_key("b-very-long-key")),
        Settings(base_url=HOME, auth=bearer("a-very-long-key")),
        Settings(base_url="https://other.mirakl.net", auth=api_key("a-very-long-key")),
        Settings(base_url=HOME, auth=ClientCredentials("https://t/", "i", "s")),
        Settings(base_url=HOME, auth=ClientCredentials("https://t/", "i", "s", audience="7")),
        Settings(base_url=HOME, auth=HeaderAuth((("X", "a-very-long-key"),))),
    ]
    accounts = [setting.account for setting in settings]
    assert len(set(accounts)) == len(accounts)
    assert accounts[0] == Settings(base_url=HOME, auth=api_key("a-very-long-key"), timeout=5).account
    assert not any("key" in account for account in accounts)


def test_the_folder_of_an_account_is_found_again_by_another_process() -> None:
    """Another fingerprint in another version would lose what tasks have noted."""
    settings = [
        Settings(base_url=HOME, auth=api_key("a-very-long-key")),
        Settings(base_url=HOME, auth=api_key("b-very-long-key")),
        Settings(base_url="https://other.mirakl.net", auth=api_key("a-very-long-key")),
        Settings(base_url=HOME, auth=ClientCredentials("https://t/", "i", "s")),
    ]
    assert settings[0].fingerprint == "ff707102e78b5a6a"
    assert len({setting.fingerprint for setting in settings}) == len(settings)
    assert settings[0].fingerprint == Settings(HOME, api_key("a-very-long-key"), timeout=5).fingerprint


def test_one_account_has_one_frequency_whatever_the_connection_says_besides() -> None:
    def client(**options: Any) -> Settings:
        return Settings(
            base_url=HOME, auth=ClientCredentials("https://t/", "i", **{"client_secret": "s"} | options)
        )

    assert client().account == client(client_secret="rotated").account
    assert client().account != client(audience="7").account
    keyed = Settings(base_url=HOME, auth=api_key("a-very-long-key"))
    assert keyed.account == Settings(base_url=f"{HOME}/api", auth=api_key("a-very-long-key")).account


def test_no_repr_shows_a_secret() -> None:
    shown = repr(
        [
            Settings(base_url=HOME, auth=api_key("s3cr3t"), proxy="http://me:s3cr3t@p"),
            Settings(base_url=HOME, auth=ClientCredentials("https://t/", "i", "s3cr3t")),
            {"token": Secret("s3cr3t")},
        ]
    )
    assert "s3cr3t" not in shown
    assert f"Bearer {Secret('s3cr3t')}" == "Bearer s3cr3t"
