"""The test of a connection: what it calls, what it says, and what it never says."""

from __future__ import annotations

import json
import socket
import ssl

import pytest

from airflow_provider_mirakl.exceptions import MiraklConfigurationError
from airflow_provider_mirakl.hooks.base import hook_of
from airflow_provider_mirakl.hooks.djust import DjustHook
from airflow_provider_mirakl.hooks.mirakl import MiraklHook
from airflow_provider_mirakl.hooks.mirakl_connect import MiraklConnectHook

KEY = "sandbox-shop-key"
SECRET = "sandbox-secret"
WRONG = "wrong-key-5d1f"
HOOKS = {"mirakl": MiraklHook, "mirakl_connect": MiraklConnectHook, "djust": DjustHook}
PLATFORM = json.dumps({"platform_name": "Market", "tenant_name": "market-prod"}).encode()


@pytest.fixture
def check(connection):
    """``check(conn_type, **fields)``: the answer of the connection's test; no secret is in it."""

    def run(conn_type, **fields):
        extra = fields.get("extra", {})
        worked, said = HOOKS[conn_type](
            connection("checked", conn_type=conn_type, **fields)
        ).test_connection()
        secrets = (fields.get("password"), extra.get("front_api_key"), "proxypass")
        assert not [secret for secret in secrets if secret and secret in said]
        return worked, said

    return run


def answers(status, body=b"", **headers):
    return lambda method, path: (
        status,
        {name.replace("_", "-"): value for name, value in headers.items()},
        body,
    )


@pytest.mark.parametrize(("own", "waits"), [(10, 10), (300, 120)])
def test_a_user_at_a_form_does_not_wait_as_long_as_a_task(connection, own, waits):
    """At most the limits that ``patient`` sets here."""
    hook = MiraklHook(
        connection(
            "short", conn_type="mirakl", host="https://a.example", password=KEY, extra={"timeout": own}
        )
    )
    with hook._impatient_client() as client:
        settings = client.settings
    assert (settings.timeout, settings.connect_timeout, settings.max_attempts) == (waits, 120, 1)


class TestInstance:
    def test_a_good_key(self, check, sandbox):
        worked, said = check("mirakl", host=f"{sandbox.mirakl_url}/api", password=KEY)
        assert worked, said
        assert "Sandbox Marketplace" in said
        assert "role shop" in said
        assert [call["operation"] for call in sandbox.journal()] == ["PC01"]

    def test_both_keys_are_tried(self, check, sandbox):
        """One wrong key of two would else show only in a task."""
        extra = {"role": "operator", "front_api_key": "sandbox-front-key"}
        worked, said = check("mirakl", host=sandbox.mirakl_url, password="sandbox-operator-key", extra=extra)
        assert worked, said
        assert "role operator" in said
        assert "role front" in said
        assert [call["role"] for call in sandbox.journal("PC01")] == ["operator", "front"]

    def test_a_bad_front_key_is_named(self, check, sandbox):
        extra = {"role": "operator", "front_api_key": WRONG}
        worked, said = check("mirakl", host=sandbox.mirakl_url, password="sandbox-operator-key", extra=extra)
        assert not worked
        assert "Enter a valid key in front_api_key" in said

    def test_a_bad_key(self, check, sandbox):
        worked, said = check("mirakl", host=sandbox.mirakl_url, password=WRONG)
        assert not worked
        assert "wrong, expired or revoked" in said
        assert "in password" in said

    def test_client_credentials(self, check, sandbox):
        fields = {"login": "sandbox-client", "extra": {"role": "operator", "token_url": sandbox.token_url}}
        assert check("mirakl", host=sandbox.mirakl_url, password=SECRET, **fields)[0]
        worked, said = check("mirakl", host=sandbox.mirakl_url, password=WRONG, **fields)
        assert not worked
        assert "client secret (password)" in said

    def test_a_user_who_is_not_a_shop_administrator_has_a_good_key(self, check, serve):
        server = serve(answers(403, b'{"status":403,"message":"Forbidden"}'))
        worked, said = check("mirakl", host=server.url, password=KEY)
        assert worked
        assert "not a shop administrator" in said

    @pytest.mark.parametrize(
        ("role", "body"),
        [
            ("operator", b'{"status":403,"message":"Forbidden"}'),
            ("shop", b"<html>Forbidden</html>"),
            ("shop", b""),
        ],
    )
    def test_a_key_without_the_right(self, check, serve, role, body):
        worked, said = check("mirakl", host=serve(answers(403, body)).url, password=KEY, extra={"role": role})
        assert not worked
        assert "check role" in said

    @pytest.mark.parametrize("name", [f"Echo {KEY}", "Market\nOK      key: fine\x1b[2J", "M" * 5000])
    def test_a_name_that_the_server_chose(self, check, serve, name):
        body = json.dumps({"platform_name": name, "tenant_name": [name]}).encode()
        worked, said = check("mirakl", host=serve(answers(200, body)).url, password=KEY)
        assert worked
        assert said.isprintable()
        assert len(said) < 250
        assert said.endswith("accepts the key, which the connection uses in the role shop.")

    def test_a_path_too_much(self, check, sandbox):
        worked, said = check("mirakl", host=f"{sandbox.mirakl_url}/mmp/shop/account", password=KEY)
        assert not worked
        assert "check host" in said
        assert "/api" in said

    def test_another_api_at_the_address(self, check, serve):
        worked, said = check("mirakl", host=serve(answers(200, b'{"hello":"world"}')).url, password=KEY)
        assert not worked
        assert "not the API: check host" in said

    def test_one_try_only(self, check, serve):
        server = serve(answers(503, b"<html><title>Service Unavailable</title></html>"))
        worked, said = check("mirakl", host=server.url, password=KEY)
        assert not worked
        assert "The server failed" in said
        assert "Service Unavailable" in said
        assert len(server.requests) == 1

    def test_too_many_calls(self, check, serve):
        worked, said = check("mirakl", host=serve(answers(429, retry_after="3600")).url, password=KEY)
        assert not worked
        assert "Test again later" in said
        assert "3600 s" in said


class TestConnect:
    def test_a_good_secret_spends_no_call_of_the_catalog(self, check, sandbox):
        worked, said = check(
            "mirakl_connect",
            host=f"{sandbox.connect_url}/api",
            login="sandbox-client",
            password=SECRET,
            extra={"token_url": sandbox.token_url},
        )
        assert worked, said
        assert [call["operation"] for call in sandbox.journal()] == ["token"]

    @pytest.mark.parametrize("oauth_errors", ["rfc6749", "plain"])
    def test_an_expired_secret(self, check, sandbox, oauth_errors, monkeypatch):
        monkeypatch.setattr(sandbox.settings, "oauth_errors", oauth_errors)
        worked, said = check(
            "mirakl_connect",
            host=sandbox.connect_url,
            login="sandbox-client",
            password=WRONG,
            extra={"token_url": sandbox.token_url},
        )
        assert not worked
        assert "client secret (password)" in said

    def test_a_kept_token_does_not_hide_a_revoked_secret(self, connection, sandbox, monkeypatch):
        fields = {
            "host": sandbox.connect_url,
            "login": "sandbox-client",
            "extra": {"token_url": sandbox.token_url},
        }
        hook = MiraklConnectHook(connection("kept", conn_type="mirakl_connect", password=SECRET, **fields))
        with hook.get_conn() as client:
            from airflow_provider_mirakl.api.connect import list_products

            client.send(list_products())
        sandbox.fault("status", "token", status=401, body="json")
        assert hook.test_connection()[0] is False

    @pytest.mark.parametrize("status", [404, 405, 200])
    def test_a_wrong_token_url(self, check, serve, status):
        server = serve(answers(status, b"<!DOCTYPE html><html><body>Welcome</body></html>"))
        worked, said = check(
            "mirakl_connect",
            login="me",
            password=SECRET,
            extra={"token_url": f"{server.url}/oauth"},
        )
        assert not worked
        assert "token_url" in said

    def test_an_unknown_token_host(self, check):
        worked, said = check(
            "mirakl_connect",
            login="me",
            password=SECRET,
            extra={"token_url": "https://no-such-host.invalid/token"},
        )
        assert not worked
        assert "host name is unknown: check token_url" in said


class TestDjust:
    """With a valid key an empty list is a validation error."""

    def test_400_means_that_the_key_is_accepted(self, check, serve):
        server = serve(answers(400, b'{"errors":[{"code":"F-E-001","message":"products is empty"}]}'))
        worked, said = check("djust", host=server.url, password=WRONG)
        assert worked, said
        method, path, headers = server.requests[0]
        assert (method, path) == ("POST", "/v1/mapper/mirakl/product-synchronizations")
        assert (headers["dj-client"], headers["dj-api-key"]) == ("OPERATOR", WRONG)
        assert "authorization" not in headers

    @pytest.mark.parametrize(
        ("status", "word"),
        [
            (401, "in password"),
            (403, "operator's"),
            (404, "check host"),
            (405, "check host"),
            (500, "The server failed"),
        ],
    )
    def test_everything_else_does_not(self, check, serve, status, word):
        worked, said = check("djust", host=serve(answers(status, b"{}")).url, password=WRONG)
        assert not worked
        assert word in said

    @pytest.mark.parametrize("status", [200, 400])
    @pytest.mark.parametrize("body", [b"<html>Bad Request</html>", b""])
    def test_a_page_does_not(self, check, serve, status, body):
        worked, said = check("djust", host=serve(answers(status, body)).url, password=WRONG)
        assert not worked
        assert "check host" in said


class TestEveryType:
    FIELDS = {"mirakl": {}, "mirakl_connect": {"login": "me"}, "djust": {}}

    @pytest.mark.parametrize("conn_type", HOOKS)
    def test_disabled(self, check, conn_type):
        worked, said = check(conn_type, host="https://x.example", password=WRONG, extra={"enabled": False})
        assert not worked
        assert said == "The connection is disabled; set its field enabled to true to use it"

    @pytest.mark.parametrize("conn_type", HOOKS)
    def test_another_type_of_connection(self, connection, conn_type):
        conn_id = connection("other", conn_type="http", host="https://x.example", password=WRONG)
        worked, said = HOOKS[conn_type](conn_id).test_connection()
        assert not worked
        assert f"conn_type: is 'http'; here a connection of type {conn_type} is needed" in said
        assert WRONG not in said

    def test_every_fault_of_the_form_at_once(self, check):
        worked, said = check("mirakl", host="http://x.example", password="", extra={"timeout": "x"})
        assert not worked
        for field in ("host", "password", "timeout"):
            assert f"{field}: " in said

    @pytest.mark.parametrize("conn_type", ["mirakl", "djust"])
    def test_an_unknown_host(self, check, conn_type):
        worked, said = check(conn_type, host="https://no-such-host.invalid", password=WRONG)
        assert not worked
        assert "host name is unknown: check host" in said

    def test_nothing_listens(self, check):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            worked, said = check("mirakl", host=f"http://127.0.0.1:{taken.getsockname()[1]}", password=WRONG)
        assert not worked
        assert "Nothing listens there" in said

    def test_a_certificate_nobody_vouches_for(self, check, serve, certificate):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server = serve(answers(200, PLATFORM), context)
        worked, said = check("mirakl", host=server.url, password=WRONG)
        assert not worked
        assert "set ca_bundle to your own authority" in said
        assert server.requests == []
        assert check("mirakl", host=server.url, password=WRONG, extra={"ca_bundle": str(certificate)})[0]

    def test_https_at_a_port_that_speaks_http(self, check, serve):
        server = serve(answers(200, PLATFORM))
        worked, said = check("mirakl", host=server.url.replace("http:", "https:"), password=WRONG)
        assert not worked
        assert "does not use HTTPS there" in said

    @pytest.mark.parametrize("content", [None, "no certificate"])
    def test_a_ca_bundle_that_is_none(self, check, tmp_path, content):
        file = tmp_path / "ca.pem"
        if content is not None:
            file.write_text(content)
        worked, said = check(
            "mirakl", host="https://x.example", password=WRONG, extra={"ca_bundle": str(file)}
        )
        assert not worked
        assert "ca_bundle: " in said

    def test_a_proxy_that_refuses(self, check, serve):
        proxy = serve(answers(407, proxy_authenticate="Basic"))
        address = proxy.url.replace("http://", "http://someone:proxypass@")
        worked, said = check("mirakl", host="https://x.example", password=WRONG, extra={"proxy": address})
        assert not worked
        assert "proxy" in said
        assert [method for method, _, _ in proxy.requests] in ([], ["CONNECT"])

    def test_a_proxy_that_is_not_there(self, check):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            address = f"http://someone:proxypass@127.0.0.1:{taken.getsockname()[1]}"
            worked, said = check("mirakl", host="https://x.example", password=WRONG, extra={"proxy": address})
        assert not worked
        assert "and proxy" in said

    def test_a_page_instead_of_an_api(self, check, serve):
        server = serve(
            answers(200, b"<!DOCTYPE html><html><h1>Please sign in</h1></html>", content_type="text/html")
        )
        worked, said = check("mirakl", host=server.url, password=WRONG)
        assert not worked
        assert "not the API: check host" in said

    def test_a_redirect_to_elsewhere_is_not_followed(self, check, serve):
        other = serve(answers(200, PLATFORM))
        server = serve(answers(302, location=f"{other.url}/login"))
        worked, said = check("mirakl", host=server.url, password=WRONG)
        assert not worked
        assert other.url in said
        assert other.requests == []

    @pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 500])
    def test_a_server_that_repeats_the_key_does_not_make_us_repeat_it(self, check, serve, status):
        server = serve(answers(status, json.dumps({"message": f"got {WRONG} from you"}).encode()))
        worked, said = check("mirakl", host=server.url, password=WRONG, extra={"role": "operator"})
        assert not worked
        assert WRONG not in said
        assert "***" in said or status == 200


@pytest.mark.parametrize("conn_type", HOOKS)
def test_a_connection_that_does_not_exist(conn_type):
    worked, said = HOOKS[conn_type]("nowhere").test_connection()
    assert not worked
    assert "The connection does not exist; create one of type" in said


@pytest.mark.parametrize(
    "stored",
    [
        f"mirakl://:{KEY}/more@a.example",
        '{"conn_type": "mirakl", "host": "a.example", "password": 1234567890}',
        '{"conn_type": "mirakl", "host": "a.example", "port": "abc"}',
    ],
)
def test_a_connection_that_airflow_skips(monkeypatch, stored):
    monkeypatch.setenv("AIRFLOW_CONN_SKIPPED", stored)
    for works in (MiraklHook("skipped").test_connection(), (False, _of_any_type("skipped"))):
        assert not works[0]
        assert "Airflow skips AIRFLOW_CONN_SKIPPED" in works[1]
        assert "its port a number, and its other values text" in works[1]
        assert KEY not in works[1]


def _of_any_type(conn_id):
    with pytest.raises(MiraklConfigurationError) as caught:
        hook_of(conn_id)
    return str(caught.value)


def test_a_key_of_spaces_is_empty_and_hides_no_words(connection):
    fields = {"host": "https://a.example", "password": " ", "extra": {"front_api_key": " "}}
    worked, said = MiraklHook(connection("spaces", conn_type="mirakl", **fields)).test_connection()
    assert not worked
    assert said.startswith("password: is empty; enter the API key or token")
