"""From the fields of a connection to settings: what people type, paste and forget."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from airflow_provider_mirakl.client.settings import ClientCredentials, api_key, bearer, djust_key
from airflow_provider_mirakl.exceptions import MiraklConfigurationError
from airflow_provider_mirakl.hooks.connections import (
    ConnectionReader,
    ConnectionValues,
    read_connection,
    secrets_of,
)

KEY = "3f1c9e52-6c1d-4f2a-9b57-0d6a5b6f7e80"
FRONT = "9d0e4f6b-1111-4c4c-8888-aaaabbbbcccc"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJvcGVyYXRvciJ9.c2lnbmF0dXJl"


@dataclass
class Fields:
    conn_type: str | None
    host: str | None = None
    password: str | None = None
    login: str | None = None
    port: int | None = None
    schema: str | None = None
    conn_id: str = "shop_eu"
    extra: str | None = None


def read(connection: Fields, *, wanted: str | None = None, **extra: object) -> ConnectionValues:
    return read_connection(ConnectionReader(connection, extra), role=wanted)


def mirakl(**fields: object) -> Fields:
    return Fields("mirakl", **{"host": "https://shop.mirakl.net", "password": KEY, **fields})


def connect(**fields: object) -> Fields:
    return Fields("mirakl_connect", **{"login": "client", "password": KEY, **fields})


def djust(**fields: object) -> Fields:
    return Fields("djust", **{"host": "https://tenant.djust.example", "password": KEY, **fields})


def refused(connection: Fields, *, wanted: str | None = None, **extra: object) -> MiraklConfigurationError:
    with pytest.raises(MiraklConfigurationError) as caught:
        read(connection, wanted=wanted, **extra)
    return caught.value


@pytest.mark.parametrize(
    "typed",
    [
        "https://shop.mirakl.net",
        "https://shop.mirakl.net/",
        "https://shop.mirakl.net/api",
        "https://shop.mirakl.net/api/",
        "shop.mirakl.net",
        "shop.mirakl.net/api",
        "  shop.mirakl.net\n",
        "HTTPS://shop.mirakl.net",
    ],
)
def test_host_is_taken_in_every_form_people_paste(typed):
    assert read(mirakl(host=typed)).settings.base_url.lower() == "https://shop.mirakl.net"


@pytest.mark.parametrize("port", [None, 0])
def test_no_port_and_the_form_s_zero_are_the_same(port):
    assert read(mirakl(port=port)).settings.base_url == "https://shop.mirakl.net"


@pytest.mark.parametrize(
    ("host", "port", "url"),
    [
        ("shop.mirakl.net", 8443, "https://shop.mirakl.net:8443"),
        ("https://shop.mirakl.net/api", 8443, "https://shop.mirakl.net:8443"),
        ("http://127.0.0.1/mirakl", 8099, "http://127.0.0.1:8099/mirakl"),
        ("http://[::1]/mirakl", 8099, "http://[::1]:8099/mirakl"),
        ("http://127.0.0.1:8099/mirakl", 8099, "http://127.0.0.1:8099/mirakl"),
    ],
)
def test_port_goes_behind_the_host_name(host, port, url):
    assert read(mirakl(host=host, port=port)).settings.base_url == url


WRONG = [
    # what is typed, the field at fault, words of the fix
    (mirakl(host=""), "host", "is empty; enter an address such as https://your-instance.mirakl.net"),
    (mirakl(host=None), "host", "is empty"),
    (mirakl(host="   "), "host", "is empty"),
    (djust(host=None), "host", "the one for your DJUST tenant"),
    (mirakl(host="http://shop.mirakl.net"), "host", "use https://shop.mirakl.net"),
    (mirakl(host="http://shop.mirakl.net"), "host", "allow_http"),
    (mirakl(host="https:/shop.mirakl.net"), "host", "begin with https://"),
    (mirakl(host="https:shop.mirakl.net"), "host", "begin with https://"),
    (mirakl(host="ftp://shop.mirakl.net"), "host", "https://"),
    (mirakl(host="https://shop .mirakl.net"), "host", "no host name"),
    (mirakl(host="https://shop\u200b.mirakl.net"), "host", "invisible"),
    (mirakl(host="https://shop.mirakl.net?x=1"), "host", "'?'"),
    (mirakl(host="https://user:pass@shop.mirakl.net"), "host", "password field"),
    (mirakl(host="https://shop.mirakl.net:99999"), "host", "must be an address"),
    (mirakl(host="https://miraklconnect.com"), "host", "type mirakl_connect"),
    (mirakl(host="https://shop.mirakl.net:444", port=443), "port", "keep only one of them"),
    (djust(host="tenant.example", schema="gateway/djust"), "schema", "whole address in host"),
    (mirakl(password=None), "password", "is empty; enter the API key or token"),
    (mirakl(password=" \n"), "password", "is empty"),
    (mirakl(password=f"Bearer {JWT}"), "password", "only the token"),
    (mirakl(password=f"bearer {KEY}"), "password", "set auth to bearer"),
    (mirakl(password=f"{KEY[:10]}\n{KEY[10:]}"), "password", "line break"),
    (mirakl(password=f"{KEY} "[:10] + " " + KEY), "password", "space"),
    (mirakl(password=f"{KEY}\u200b"), "password", "character that is not allowed in a key"),
    (mirakl(password=f'"{KEY}"'), "password", "quotes"),
    (mirakl(password="***"), "password", "asterisks"),
    (connect(login=None), "login", "enter the client id"),
    (connect(password=""), "password", "enter the client secret"),
    (djust(password=None), "password", "enter the dj-api-key"),
    (Fields("http", host="https://shop.mirakl.net"), "conn_type", "mirakl, mirakl_connect, djust"),
    (Fields("", host="https://shop.mirakl.net"), "conn_type", "must be one of"),
    (Fields(None), "conn_type", "must be one of"),
]


@pytest.mark.parametrize(("connection", "field", "fix"), WRONG)
def test_a_wrong_field_is_named_with_its_fix(connection, field, fix):
    error = refused(connection)
    assert error.field == field
    assert f"{field}: " in str(error)
    assert fix in str(error)
    assert "'shop_eu'" in str(error)


@pytest.mark.parametrize(
    ("connection", "extra", "field", "fix"),
    [
        (mirakl(), {"role": "admin"}, "role", "shop, operator, front"),
        (mirakl(), {"auth": "basic"}, "auth", "api_key, bearer, client_credentials"),
        (mirakl(), {"auth": "client_credentials"}, "login", "enter the client id"),
        (mirakl(), {"shop_id": "my shop"}, "shop_id", "number of the shop"),
        (mirakl(), {"shop_id": "9" * 5000}, "shop_id", "number of the shop"),
        (mirakl(host="https://m.example:" + "9" * 5000, port=443), {}, "host", "must be an address"),
        (
            mirakl(),
            {"locales": ["en_US", "fr_FR"]},
            "locales",
            "must be text (separate several values with commas), not a list",
        ),
        (
            mirakl(),
            {"front_api_key": [FRONT]},
            "front_api_key",
            "must be text (separate several values with commas), not a list",
        ),
        (mirakl(), {"front_api_key": f"Bearer {JWT}"}, "front_api_key", "only the token"),
        (mirakl(), {"front_api_key": f"{FRONT}\n{FRONT}"}, "front_api_key", "line break"),
        (mirakl(), {"locales": "en_US, english"}, "locales", "'english'"),
        (mirakl(), {"timeout": "soon"}, "timeout", "number from 0.1 to"),
        (mirakl(), {"timeout": 0}, "timeout", "number from 0.1 to"),
        (mirakl(), {"interval_factor": "nan"}, "interval_factor", "number from 0 to"),
        (mirakl(), {"max_wait": -1}, "max_wait", "number from 0 to"),
        (mirakl(), {"allow_http": "maybe"}, "allow_http", "true or false"),
        (mirakl(), {"proxy": "proxy.example.com:3128"}, "proxy", "http://proxy.example.com:3128"),
        (mirakl(), {"proxy": "socks5://proxy:1080"}, "proxy", "HTTP proxy"),
        (mirakl(), {"proxy": "http://proxy:port"}, "proxy", "HTTP proxy"),
        (mirakl(), {"proxy": "http://proxy..example:3128"}, "proxy", "HTTP proxy"),
        (connect(), {"environment": "staging"}, "environment", "production, test"),
        (connect(), {"token_url": "http://auth.mirakl.net/oauth/token"}, "token_url", "https"),
        (connect(host="https://miraklconnect.com"), {"environment": "test"}, "environment", "production"),
        (
            connect(host="https://connectpartner-test.mirakl.net/api"),
            {},
            "environment",
            "set environment to test",
        ),
        (djust(), {"client_specification_id": "first"}, "client_specification_id", "UUID"),
    ],
)
def test_a_wrong_extra_is_named_with_its_fix(connection, extra, field, fix):
    error = refused(connection, **extra)
    assert error.field == field
    assert f"{field}: " in str(error)
    assert fix in str(error)


def test_every_fault_is_told_at_once():
    error = refused(mirakl(host="", password=""), role="nobody", locales="klingon", timeout="x", shop_id="y")
    for field in ("host", "password", "role", "locales", "timeout", "shop_id"):
        assert f"{field}: " in str(error)


@pytest.mark.parametrize("secret", [KEY, f"Bearer {JWT}", f"'{KEY}'", f"{KEY}\n{KEY}", f"{KEY} x"])
def test_no_message_and_no_repr_shows_a_secret(secret):
    proxy = "ftp://someone:proxypass@proxy:1"
    error = refused(mirakl(host="", password=secret), role="nobody", front_api_key=secret, proxy=proxy)
    shown = f"{error} {error!r} {error.__dict__}"
    for hidden in (KEY, JWT, "proxypass"):
        assert hidden not in shown


@pytest.mark.parametrize(
    "values",
    [
        read(mirakl(), proxy="http://someone:proxypass@proxy:3128"),
        read(mirakl(password=JWT), front_api_key=FRONT),
        read(connect()),
        read(djust()),
    ],
)
def test_the_values_repr_shows_no_secret(values):
    for hidden in (KEY, FRONT, JWT, "proxypass"):
        assert hidden not in repr(values)


def test_keys_are_sent_as_their_kind_asks():
    assert read(mirakl()).settings.auth == api_key(KEY)
    assert read(mirakl(password=f" {KEY}\n")).settings.auth == api_key(KEY)
    assert read(mirakl(password=JWT)).settings.auth == bearer(JWT)
    assert read(mirakl(password=JWT), auth="api_key").settings.auth == api_key(JWT)
    assert read(mirakl(), auth="bearer").settings.auth == bearer(KEY)
    assert read(djust()).settings.auth == djust_key(KEY)


def test_client_credentials_of_an_instance():
    auth = read(mirakl(login="client"), role="operator").settings.auth
    assert auth == ClientCredentials("https://auth.mirakl.net/oauth/token", "client", KEY)
    own = read(mirakl(login="client"), token_url="https://auth.example/token", audience="42").settings.auth
    assert own == ClientCredentials("https://auth.example/token", "client", KEY, "42")


def test_a_login_beside_a_chosen_key_is_left_alone():
    assert read(mirakl(login="me"), auth="api_key").settings.auth == api_key(KEY)


@pytest.mark.parametrize(
    ("environment", "host", "token_url"),
    [
        ("production", "https://miraklconnect.com", "https://auth.mirakl.net/oauth/token"),
        ("test", "https://connectpartner-test.mirakl.net", "https://auth-test.mirakl.net/oauth/token"),
        (None, "https://miraklconnect.com", "https://auth.mirakl.net/oauth/token"),
    ],
)
def test_connect_s_environments(environment, host, token_url):
    settings = read(connect(), environment=environment, audience="company-7").settings
    assert settings.base_url == host
    assert settings.auth == ClientCredentials(token_url, "client", KEY, "company-7")


class TestRoles:
    def test_operator_and_front_office_key_in_one_connection(self):
        """As in DJUST's connector."""
        both = {"role": "operator", "front_api_key": FRONT}
        operator = read_connection(ConnectionReader(mirakl(), both))
        front = read_connection(ConnectionReader(mirakl(), both), role="front")
        assert operator.settings.auth == api_key(KEY)
        assert (operator.role, operator.roles, operator.key_field) == (
            "operator",
            ("operator", "front"),
            "password",
        )
        assert front.settings.auth == api_key(FRONT)
        assert (front.role, front.key_field) == ("front", "front_api_key")

    @pytest.mark.parametrize("auth", [None, "client_credentials"])
    def test_the_front_key_follows_its_own_look(self, auth):
        extra = {"role": "operator", "front_api_key": JWT, "auth": auth}
        values = read_connection(ConnectionReader(mirakl(login="client"), extra), role="front")
        assert values.settings.auth == bearer(JWT)

    def test_a_front_connection_may_hold_its_key_in_the_password(self):
        values = read_connection(ConnectionReader(mirakl(), {"role": "front"}))
        assert (values.settings.auth, values.roles) == (api_key(KEY), ("front",))

    def test_a_front_connection_needs_no_second_key(self):
        extra = {"role": "front", "front_api_key": FRONT}
        values = read_connection(ConnectionReader(mirakl(password=None), extra))
        assert (values.settings.auth, values.roles) == (api_key(FRONT), ("front",))

    @pytest.mark.parametrize(
        ("own", "wanted", "fix"),
        [
            (
                "shop",
                "operator",
                "a key of role operator is needed; enter one in the password of a connection",
            ),
            ("operator", "front", "enter one in front_api_key, or in the password of a connection"),
            ("shop", "admin", "must be one of shop, operator, front"),
        ],
    )
    def test_a_key_of_another_role_is_not_sent(self, own, wanted, fix):
        with pytest.raises(MiraklConfigurationError, match="role: ") as caught:
            read_connection(ConnectionReader(mirakl(), {"role": own}), role=wanted)
        assert fix in str(caught.value)


class TestForms:
    """What the forms of Airflow's versions store."""

    @pytest.mark.parametrize("stored", [None, "", "  "])
    def test_nothing_in_any_spelling_is_unset(self, stored):
        names = ("role", "auth", "front_api_key", "shop_id", "token_url", "audience", "enabled", "locales")
        names += ("timeout", "max_wait", "interval_factor", "proxy", "ca_bundle", "allow_http")
        extra = dict.fromkeys(names, stored)
        assert read_connection(ConnectionReader(mirakl(), extra)) == read(mirakl())

    @pytest.mark.parametrize("stored", [True, "true", "True", "y", "on", 1, "1"])
    def test_true_in_every_spelling(self, stored):
        assert ConnectionReader(mirakl(), {"enabled": stored}).flag("enabled", False) is True

    @pytest.mark.parametrize("stored", [False, "false", "False", "n", "off", 0, "0"])
    def test_false_in_every_spelling(self, stored):
        assert ConnectionReader(mirakl(), {"enabled": stored}).flag("enabled", True) is False

    def test_airflow_2_posts_each_field_twice(self):
        posted = {
            "extra__mirakl__role": "operator",
            "role": "operator",
            "extra__mirakl__enabled": "y",
            "enabled": "y",
            "extra__mirakl__shop_id": "12",
            "shop_id": "12",
            "extra__djust__enabled": "n",
        }
        values = read_connection(ConnectionReader(mirakl(), posted))
        assert (values.role, values.shop_id) == ("operator", 12)

    def test_the_long_name_alone_counts_too(self):
        extra = {"extra__mirakl__role": "front", "role": None}
        assert read_connection(ConnectionReader(mirakl(), extra)).role == "front"

    def test_numbers_may_be_text(self):
        settings = read(mirakl(), timeout="2.5", interval_factor="0.016667", max_wait="0").settings
        assert (settings.timeout, settings.interval_factor, settings.max_wait) == (2.5, 0.016667, 0.0)


def test_locales_and_ids():
    assert read(mirakl(), locales=" en_US, fr ,").locales == ("en_US", "fr")
    assert read(mirakl(), shop_id=2000).shop_id == 2000
    specification = "A1B2C3D4-e5f6-7890-abcd-ef1234567890"
    assert (
        read(djust(), client_specification_id=specification).client_specification_id == specification.lower()
    )


def test_plain_http_only_where_it_is_safe_or_asked_for():
    assert (
        read(mirakl(host="http://localhost:8099/mirakl")).settings.base_url == "http://localhost:8099/mirakl"
    )
    assert read(mirakl(host="http://sandbox:8099"), allow_http="y").settings.base_url == "http://sandbox:8099"
    for host in ("http://sandbox:8099", "http://shop.mirakl.net", "http://127.0.0.1.shop.example"):
        for extra in ({}, {"allow_http": "n"}, {"allow_http": None}):
            assert "would send the key unencrypted" in str(refused(mirakl(host=host), **extra))
    assert "token_url: begins with http://, which would send the key unencrypted" in str(
        refused(connect(), token_url="http://auth.example/token")
    )


def test_secrets_of_names_every_secret():
    connection = mirakl(password=f"{KEY}\n")
    extra = json.loads(
        f'{{"front_api_key": "{FRONT}", "proxy": "http://me:p%40ss@proxy:3128", "role": null}}'
    )
    assert set(secrets_of(connection, extra)) == {f"{KEY}\n", KEY, FRONT, "p%40ss", "p@ss"}
    assert secrets_of(mirakl(password=None), {}) == []


@pytest.mark.parametrize("name", ["timeout", "max_wait", "interval_factor"])
def test_numbers_that_no_clock_can_count(name: str) -> None:
    with pytest.raises(MiraklConfigurationError, match=f"{name}: .*to 86400"):
        read(mirakl(), **{name: 1e10})


@pytest.mark.parametrize(
    ("stored", "parsed"),
    [
        ('{"enabled": false', {}),
        ("[1]", [1]),
        ('"text"', "text"),
        ("5", 5),
        ("role=front", {}),
        ("[" * 100_000, {}),
    ],
    ids=["cut short", "list", "text", "number", "no JSON", "endless"],
)
def test_extras_that_cannot_be_read_are_a_fault(stored: str, parsed: Any) -> None:
    """Whatever Airflow makes of them."""
    with pytest.raises(MiraklConfigurationError, match="extra: must be a JSON object"):
        read_connection(ConnectionReader(mirakl(extra=stored), parsed))
    assert KEY in secrets_of(mirakl(extra=stored), parsed)


@pytest.mark.parametrize(("stored", "parsed"), [(None, {}), ("", {}), (" ", {}), ("null", None), ("{}", {})])
def test_no_extras_are_no_fault(stored: str | None, parsed: Any) -> None:
    assert read_connection(ConnectionReader(mirakl(extra=stored), parsed)).role == "shop"
