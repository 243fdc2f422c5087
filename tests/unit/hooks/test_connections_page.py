"""Every line of docs/connections.md that sets a connection gives the connection that the page promises."""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_provider_mirakl.client.settings import ClientCredentials, api_key, bearer, djust_key
from airflow_provider_mirakl.connection_types import CONNECTION_TYPES
from airflow_provider_mirakl.hooks.base import MiraklConnectionDisabledError, hook_of
from airflow_provider_mirakl.hooks.connections import ConnectionReader, read_connection
from airflow_provider_mirakl.sandbox.machine.settings import DEFAULT_CLIENTS, DEFAULT_DJUST_KEYS, DEFAULT_KEYS

PAGE = Path(__file__).resolve().parents[3] / "docs" / "connections.md"
PACKAGE = PAGE.parents[1] / "airflow_provider_mirakl" / "hooks"
KEY, FRONT = "11111111-2222-3333-4444-555555555555", "66666666-7777-8888-9999-000000000000"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJvcGVyYXRvciJ9.c2lnbmF0dXJl"
TOKENS, TEST_TOKENS = "https://auth.mirakl.net/oauth/token", "https://auth-test.mirakl.net/oauth/token"
INSTANCE, LOCAL = "https://your-instance.mirakl.net", "http://127.0.0.1:8099"


def lines():
    found = defaultdict(list)
    for line in re.findall(r"^.*\bAIRFLOW_CONN_.*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE):
        word, setting = shlex.split(line)
        name, _, value = setting.partition("=")
        assert word == "export"
        found[name.removeprefix("AIRFLOW_CONN_").lower()].append(value)
    return dict(found)


LINES = lines()
CONNECT = ClientCredentials(TOKENS, "your-client-id", "your-client-secret")
EXPECTED = {
    "mirakl_shop": (INSTANCE, api_key(KEY), "shop"),
    "mirakl_shop_2001": (INSTANCE, api_key(KEY), "shop"),
    "mirakl_operator": (INSTANCE, bearer(JWT), "operator"),
    "mirakl_front": (INSTANCE, api_key(FRONT), "front"),
    "mirakl_both": ("https://operator.mirakl.net", api_key(KEY), "operator"),
    "mirakl_m2m": (INSTANCE, CONNECT, "operator"),
    "mirakl_xtnd": (INSTANCE, api_key("the-access-token-of-xtnd"), "shop"),
    "connect": ("https://miraklconnect.com", CONNECT, None),
    "connect_test": ("https://connectpartner-test.mirakl.net", replace(CONNECT, token_url=TEST_TOKENS), None),
    "connect_company": ("https://miraklconnect.com", replace(CONNECT, audience="your-company-id"), None),
    "djust": ("https://api.your-tenant.example", djust_key("your-dj-api-key"), None),
    "djust_gateway": ("https://gateway.example/djust", djust_key("your-dj-api-key"), None),
    "mirakl_off": (INSTANCE, api_key(KEY), "shop"),
    "mirakl_proxy": (INSTANCE, api_key(KEY), "shop"),
    "sandbox_instance": (f"{LOCAL}/mirakl", api_key(DEFAULT_KEYS[0].key), "shop"),
    "sandbox_operator": (f"{LOCAL}/mirakl", api_key(DEFAULT_KEYS[1].key), "operator"),
    "sandbox_connect": (
        f"{LOCAL}/connect",
        ClientCredentials(
            f"{LOCAL}/auth/oauth/token", DEFAULT_CLIENTS[0].client_id, DEFAULT_CLIENTS[0].secret
        ),
        None,
    ),
    "sandbox_djust": (f"{LOCAL}/djust", djust_key(DEFAULT_DJUST_KEYS[0]), None),
}


def test_the_page_has_exactly_these_situations_each_as_json_and_as_uri():
    assert sorted(LINES) == sorted(EXPECTED)
    for conn_id, (as_json, as_uri) in LINES.items():
        assert as_json.startswith('{"conn_type": "'), conn_id
        assert re.match(r"[a-z-]+://", as_uri), conn_id


@pytest.mark.parametrize("form", [0, 1], ids=["json", "uri"])
@pytest.mark.parametrize("conn_id", EXPECTED)
def test_a_line_gives_what_the_page_says(monkeypatch, conn_id, form):
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", LINES[conn_id][form])
    hook = hook_of(conn_id)
    base_url, auth, role = EXPECTED[conn_id]
    if conn_id == "mirakl_off":
        with pytest.raises(MiraklConnectionDisabledError):
            _ = hook.values
        connection = hook.get_connection(conn_id)
        values = read_connection(ConnectionReader(connection, connection.extra_dejson))
    else:
        values = hook.values
    assert (values.settings.base_url, values.settings.auth, values.role) == (base_url, auth, role)


@pytest.mark.parametrize("conn_id", EXPECTED)
def test_both_forms_say_the_same(monkeypatch, conn_id):
    read = []
    for line in LINES[conn_id]:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", line)
        connection = hook_of(conn_id).get_connection(conn_id)
        read.append(read_connection(ConnectionReader(connection, connection.extra_dejson)))
    assert read[0] == read[1]


def test_what_the_headings_promise(monkeypatch):
    for conn_id, (as_json, _) in LINES.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", as_json)
    shop = hook_of("mirakl_shop_2001").values
    assert (shop.shop_id, shop.locales) == (2001, ("en_US", "fr_FR"))
    assert hook_of("mirakl_both", role="front").settings.auth == api_key(FRONT)
    assert hook_of("sandbox_operator", role="front").settings.auth == api_key(DEFAULT_KEYS[2].key)
    assert hook_of("djust").values.client_specification_id == "a1b2c3d4-e5f6-7890-abcd-ef1234567890"
    proxied = hook_of("mirakl_proxy").settings
    assert (proxied.proxy, proxied.ca_bundle) == (
        "http://user:secret@proxy.example.com:3128",
        "/etc/ssl/company.pem",
    )


def test_every_field_of_every_form_is_described():
    page = PAGE.read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    shared = sections["Fields that all types have"]
    for conn_type, form in CONNECTION_TYPES.items():
        own = next(text for title, text in sections.items() if title.startswith(f"`{conn_type}`"))
        for name, field in form["conn-fields"].items():
            assert f"| {field['label']} | `{name}` |" in own + shared
        for name, label in form["ui-field-behaviour"]["relabeling"].items():
            assert f"| {label} | `{name}` |" in own


def test_the_results_of_the_test_button_are_worded_as_the_test_words_them():
    section = PAGE.read_text(encoding="utf-8").partition("| It says | Change |")[2].partition("\n\n")[0]
    listed = re.findall(r"^\| ([A-Zi][^|]+?) \|", section, re.MULTILINE)
    said = "".join((PACKAGE / name).read_text("utf-8") for name in ("advice.py", "base.py"))
    assert len(listed) >= 10
    assert [words for words in listed if words not in said] == []
