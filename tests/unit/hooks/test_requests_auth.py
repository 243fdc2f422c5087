"""``requests`` with the credentials of an Airflow connection."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys

import pytest
import requests
from requests_mock import ANY

from airflow_provider_mirakl.exceptions import MiraklConfigurationError
from airflow_provider_mirakl.hooks.base import MiraklConnectionDisabledError
from airflow_provider_mirakl.hooks.requests_auth import MiraklRequestsAuth, mirakl_requests_auth

SHOP = "https://shop.mirakl.net"
DJUST = "https://tenant.djust.example"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJvcGVyYXRvciJ9.c2lnbmF0dXJl"


@pytest.fixture
def shop(connection):
    return connection("shop", conn_type="mirakl", host=f"{SHOP}/api", password="shop-key-1")


@pytest.fixture
def djust(connection):
    return connection("djust", conn_type="djust", host=DJUST, password="djust-key-1")


@pytest.fixture
def connect(connection, sandbox):
    return connection(
        "connect",
        conn_type="mirakl_connect",
        host=sandbox.connect_url,
        login="sandbox-client",
        password="sandbox-secret",
        extra={"token_url": sandbox.token_url},
    )


class TestKinds:
    def test_api_key(self, shop, requests_mock):
        requests_mock.get(f"{SHOP}/api/account", json={})
        requests.get(f"{SHOP}/api/account", auth=MiraklRequestsAuth(shop), timeout=120)
        assert requests_mock.last_request.headers["Authorization"] == "shop-key-1"

    def test_bearer(self, connection, requests_mock):
        conn_id = connection("op", conn_type="mirakl", host=SHOP, password=JWT, extra={"role": "operator"})
        requests_mock.get(f"{SHOP}/api/shops", json={})
        requests.get(f"{SHOP}/api/shops", auth=MiraklRequestsAuth(conn_id), timeout=120)
        assert requests_mock.last_request.headers["Authorization"] == f"Bearer {JWT}"

    def test_role(self, connection, requests_mock):
        extra = {"role": "operator", "front_api_key": "front-key-1"}
        conn_id = connection("both", conn_type="mirakl", host=SHOP, password="operator-key-1", extra=extra)
        requests_mock.get(f"{SHOP}/api/shops", json={})
        for role, key in ((None, "operator-key-1"), ("front", "front-key-1")):
            requests.get(f"{SHOP}/api/shops", auth=MiraklRequestsAuth(conn_id, role=role), timeout=120)
            assert requests_mock.last_request.headers["Authorization"] == key

    def test_djust(self, djust, requests_mock):
        requests_mock.post(f"{DJUST}/v1/mapper/mirakl/product-synchronizations", json={})
        requests.post(
            f"{DJUST}/v1/mapper/mirakl/product-synchronizations", auth=MiraklRequestsAuth(djust), timeout=120
        )
        sent = requests_mock.last_request.headers
        assert (sent["dj-client"], sent["dj-api-key"]) == ("OPERATOR", "djust-key-1")
        assert "Authorization" not in sent

    def test_oauth(self, connect, sandbox):
        auth = MiraklRequestsAuth(connect)
        reply = requests.get(f"{sandbox.connect_url}/api/products", auth=auth, timeout=120)
        assert reply.status_code == 200
        assert [call["operation"] for call in sandbox.journal()] == ["token", "listProducts"]

    def test_another_type(self, connection):
        conn_id = connection("web", conn_type="http", host=SHOP, password="pw-of-web")
        with pytest.raises(MiraklConfigurationError, match="conn_type: is 'http'; select one of mirakl"):
            requests.get(f"{SHOP}/api/account", auth=MiraklRequestsAuth(conn_id), timeout=120)

    def test_disabled(self, connection):
        conn_id = connection("off", conn_type="mirakl", host=SHOP, password="k-off-1", extra={"enabled": "n"})
        with pytest.raises(MiraklConnectionDisabledError, match="'off' is disabled"):
            requests.get(f"{SHOP}/api/account", auth=MiraklRequestsAuth(conn_id), timeout=120)


class TestTokens:
    def products(self, sandbox, auth, **kwargs):
        return requests.delete(
            f"{sandbox.connect_url}/api/products",
            auth=auth,
            timeout=120,
            json={"products": [{"id": "a"}]},
            **kwargs,
        )

    def tokens(self, sandbox):
        return len(sandbox.journal("token"))

    def test_one_token_for_the_whole_process(self, connect, sandbox):
        from airflow_provider_mirakl.api.connect import list_products
        from airflow_provider_mirakl.hooks.mirakl_connect import MiraklConnectHook

        assert self.products(sandbox, MiraklRequestsAuth(connect)).status_code == 202
        with MiraklConnectHook(connect).get_conn() as client:
            client.send(list_products())
        assert self.tokens(sandbox) == 1

    def test_a_refused_token_is_renewed_once_and_the_body_sent_again(self, connect, sandbox):
        auth = MiraklRequestsAuth(connect)
        with requests.Session() as session:
            session.auth = auth
            body = {"products": [{"id": "a"}]}
            session.delete(f"{sandbox.connect_url}/api/products", json=body, timeout=120)
            sandbox.advance(61)
            sandbox.revoke_tokens()
            reply = session.delete(f"{sandbox.connect_url}/api/products", json=body, timeout=120)
        assert reply.status_code == 202
        assert [answer.status_code for answer in reply.history] == [401]
        assert self.tokens(sandbox) == 2

    def test_a_token_that_is_refused_again_is_not_renewed_for_ever(self, connect, sandbox):
        sandbox.fault("status", "deleteProducts", status=401, body="json", times=10)
        assert self.products(sandbox, MiraklRequestsAuth(connect)).status_code == 401
        assert len(sandbox.journal("deleteProducts")) == 2
        assert self.tokens(sandbox) == 2

    def test_a_body_that_is_gone_is_not_sent_as_an_empty_one(self, connect, sandbox):
        auth = MiraklRequestsAuth(connect)
        sandbox.fault("revoke_token", "deleteProducts")
        pieces = iter([b'{"products":', b'[{"id":"a"}]}'])
        reply = requests.delete(
            f"{sandbox.connect_url}/api/products",
            auth=auth,
            timeout=120,
            data=pieces,
            headers={"Content-Type": "application/json"},
        )
        assert reply.status_code == 401
        assert len(sandbox.journal("deleteProducts")) == 1

    def test_a_raw_key_that_is_refused_is_not_sent_twice(self, shop, requests_mock):
        requests_mock.get(f"{SHOP}/api/account", status_code=401)
        assert (
            requests.get(f"{SHOP}/api/account", auth=MiraklRequestsAuth(shop), timeout=120).status_code == 401
        )
        assert requests_mock.call_count == 1


class TestOtherHosts:
    @pytest.mark.parametrize(
        "url",
        [
            "https://evil.example/api/account",
            "https://shop.mirakl.net.evil.example/api/account",
            "https://shop.mirakl.net@evil.example/api/account",
            "https://shop.mirakl.net:8443/api/account",
            "http://shop.mirakl.net/api/account",
        ],
    )
    def test_the_key_is_not_sent(self, shop, requests_mock, url):
        requests_mock.get(ANY, json={})
        with pytest.raises(
            MiraklConfigurationError, match=r"sent only to https://shop\.mirakl\.net"
        ) as caught:
            requests.get(url, auth=MiraklRequestsAuth(shop), timeout=120)
        assert requests_mock.call_count == 0
        assert "shop-key-1" not in str(caught.value)

    @pytest.mark.parametrize(
        "target",
        [
            "https://evil.example/collect",
            "//evil.example/collect",
            "https://tenant.djust.example@evil.example/collect",
            "https://tenant.djust.example:8443/collect",
            "http://tenant.djust.example/collect",
        ],
    )
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_no_redirect_carries_it_away(self, djust, requests_mock, target, status):
        """``requests`` itself drops ``Authorization`` alone."""
        requests_mock.get(ANY, json={})
        requests_mock.get(f"{DJUST}/v1/orders", status_code=status, headers={"Location": target})
        requests.get(f"{DJUST}/v1/orders", auth=MiraklRequestsAuth(djust), timeout=120)
        assert requests_mock.call_count == 2
        assert not {"dj-api-key", "dj-client", "Authorization"} & set(requests_mock.last_request.headers)

    def test_a_redirect_at_home_keeps_it(self, djust, requests_mock):
        requests_mock.get(f"{DJUST}/v1/orders", status_code=302, headers={"Location": "/v2/orders"})
        requests_mock.get(f"{DJUST}/v2/orders", json={})
        requests.get(f"{DJUST}/v1/orders", auth=MiraklRequestsAuth(djust), timeout=120)
        assert requests_mock.last_request.headers["dj-api-key"] == "djust-key-1"

    def test_a_real_redirect_to_a_real_server(self, connection, serve):
        other = serve(lambda method, path: (200, {}, b"{}"))
        home = serve(lambda method, path: (307, {"Location": f"{other.url}/collect"}, b""))
        conn_id = connection("away", conn_type="djust", host=home.url, password="djust-key-2")
        requests.post(f"{home.url}/v1/x", auth=MiraklRequestsAuth(conn_id), json={"a": 1}, timeout=120)
        assert home.requests[0][2]["dj-api-key"] == "djust-key-2"
        assert not {"dj-api-key", "dj-client", "authorization"} & set(other.requests[0][2])

    def test_a_redirect_after_a_renewal_carries_no_token(self, connection, serve, sandbox):
        other = serve(lambda method, path: (200, {}, b"{}"))
        answers = iter([(401, {}, b""), (302, {"Location": f"{other.url}/collect"}, b"")])
        home = serve(lambda method, path: next(answers))
        conn_id = connection(
            "renewing",
            conn_type="mirakl_connect",
            host=home.url,
            login="sandbox-client",
            password="sandbox-secret",
            extra={"token_url": sandbox.token_url},
        )
        requests.get(f"{home.url}/api/products", auth=MiraklRequestsAuth(conn_id), timeout=120)
        tokens = [headers["authorization"] for _, _, headers in home.requests]
        assert len(set(tokens)) == 2
        assert "authorization" not in other.requests[0][2]

    @pytest.mark.parametrize("host", ["http://shop.example", "http://10.0.0.7:8080"])
    def test_plain_http_is_refused(self, connection, requests_mock, host):
        requests_mock.get(ANY, json={})
        conn_id = connection("plain", conn_type="mirakl", host=host, password="plain-key-1")
        with pytest.raises(MiraklConfigurationError, match="host: begins with http://"):
            requests.get(f"{host}/api/account", auth=MiraklRequestsAuth(conn_id), timeout=120)
        assert requests_mock.call_count == 0


class TestInADagFile:
    def test_nothing_is_read_and_nothing_heavy_is_loaded(self):
        code = (
            "import sys\n"
            "import airflow.providers.common.compat.sdk\n"
            "before = set(sys.modules)\n"
            "from airflow_provider_mirakl.hooks.requests_auth import mirakl_requests_auth\n"
            "made = mirakl_requests_auth('there_is_no_such_connection')\n"
            "import json\n"
            "print(json.dumps(sorted(set(sys.modules) - before)))\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        loaded = json.loads(done.stdout.strip().splitlines()[-1])
        heavy = ("requests", "httpx", "pydantic", "airflow_provider_mirakl.client", "airflow.models")
        assert "airflow_provider_mirakl.hooks.requests_auth" in loaded
        assert [name for name in loaded if name.startswith(heavy)] == []

    @pytest.mark.parametrize("arguments", [(), ("login of the http connection", "its password")])
    def test_it_is_called_as_http_hook_calls_it(self, shop, requests_mock, arguments):
        requests_mock.get(f"{SHOP}/api/account", json={})
        auth = mirakl_requests_auth(shop)(*arguments)
        assert isinstance(auth, requests.auth.AuthBase)
        requests.get(f"{SHOP}/api/account", auth=auth, timeout=120)
        assert requests_mock.last_request.headers["Authorization"] == "shop-key-1"

    def test_it_crosses_processes_without_a_key(self, shop, requests_mock):
        requests_mock.get(f"{SHOP}/api/account", json={})
        auth = MiraklRequestsAuth(shop)
        requests.get(f"{SHOP}/api/account", auth=auth, timeout=120)
        assert b"shop-key-1" not in pickle.dumps(auth)
        assert "shop-key-1" not in repr(auth)
        again = pickle.loads(pickle.dumps(auth))  # noqa: S301
        requests.get(f"{SHOP}/api/account", auth=again, timeout=120)
        assert requests_mock.last_request.headers["Authorization"] == "shop-key-1"
