"""Keys, tokens and roles."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from airflow_provider_mirakl.sandbox import Sandbox, Settings
from airflow_provider_mirakl.sandbox.machine.settings import InstanceKey, OAuthClient

FORM = {"grant_type": "client_credentials", "client_id": "sandbox-client", "client_secret": "sandbox-secret"}


def test_a_token_says_how_long_it_lives(sandbox: Sandbox, http: httpx.Client) -> None:
    answer = http.post(sandbox.token_url, data={**FORM, "audience": "company-7"})
    body = answer.json()
    assert (answer.status_code, body["token_type"], body["expires_in"]) == (200, "Bearer", 3599)
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_id": "nobody"}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": ""}, 400, "invalid_request"),
        ({"client_secret": ""}, 400, "invalid_request"),
    ],
)
def test_a_refused_token_request_answers_as_rfc_6749(
    sandbox: Sandbox, http: httpx.Client, change: dict[str, str], status: int, code: str
) -> None:
    answer = http.post(sandbox.token_url, data={**FORM, **change})
    assert (answer.status_code, answer.json()["error"]) == (status, code)
    assert answer.json()["error_description"]
    assert "wrong" not in answer.json()["error_description"].replace("is wrong", "")


@pytest.mark.mirakl_sandbox_settings(oauth_errors="plain")
def test_a_token_server_may_answer_text(sandbox: Sandbox, http: httpx.Client) -> None:
    answer = http.post(sandbox.token_url, data={**FORM, "client_secret": "wrong"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (401, "text/plain")


def test_the_token_request_is_a_form(sandbox: Sandbox, http: httpx.Client) -> None:
    assert http.post(sandbox.token_url, json=FORM).status_code == 415
    assert http.get(sandbox.token_url).status_code == 405


def test_a_token_expires(sandbox: Sandbox, connect: httpx.Client) -> None:
    sandbox.advance(3598)
    assert connect.get("/api/products").status_code == 200
    sandbox.advance(1)
    answer = connect.get("/api/products")
    assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHORIZED")


def test_tokens_can_be_revoked(sandbox: Sandbox, connect: httpx.Client, token: Callable[[], str]) -> None:
    assert sandbox.revoke_tokens() == 1
    assert connect.get("/api/products").status_code == 401
    connect.headers["Authorization"] = f"Bearer {token()}"
    assert connect.get("/api/products").status_code == 200


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("sandbox-shop-key", 200),
        ("Bearer sandbox-shop-key", 401),
        ("sandbox-operator-key", 200),
        ("Bearer sandbox-operator-key", 200),
        ("sandbox-front-key", 200),
        ("Bearer sandbox-front-key", 200),
        ("Basic c2FuZGJveA==", 401),
        ("nonsense", 401),
        ("", 401),
    ],
)
def test_how_the_instance_reads_a_key(
    sandbox: Sandbox, http: httpx.Client, authorization: str, status: int
) -> None:
    url = f"{sandbox.mirakl_url}/api/platform/configuration"
    answer = http.get(url, headers={"Authorization": authorization} if authorization else {})
    assert answer.status_code == status
    if status == 401:
        assert answer.json()["status"] == 401


def test_an_oauth_token_opens_the_instance_as_operator(
    sandbox: Sandbox, http: httpx.Client, token: Callable[[], str]
) -> None:
    headers = {"Authorization": f"Bearer {token()}"}
    assert http.get(f"{sandbox.mirakl_url}/api/platform/configuration", headers=headers).status_code == 200
    assert http.get(f"{sandbox.mirakl_url}/api/account", headers=headers).status_code == 403


def test_v01_asks_nobody(sandbox: Sandbox, http: httpx.Client) -> None:
    assert http.get(f"{sandbox.mirakl_url}/api/version").status_code == 200


def test_a_seller_chooses_among_own_shops(shop: httpx.Client) -> None:
    assert shop.get("/api/account").json()["shop_id"] == 2000
    assert shop.get("/api/account", params={"shop_id": 2001}).json()["shop_id"] == 2001
    assert shop.get("/api/account", params={"shop_id": 2002}).status_code == 403
    assert shop.get("/api/account", params={"shop_id": "x"}).status_code == 400


def test_a_role_may_not_do_what_another_may(operator: httpx.Client, front: httpx.Client) -> None:
    for client in (operator, front):
        answer = client.get("/api/account")
        assert (answer.status_code, answer.json()["status"]) == (403, 403)


def test_credentials_and_permissions_are_settings() -> None:
    settings = {
        "clients": (OAuthClient("reader", "s3cret", scopes=frozenset({"connect:product:read"})),),
        "keys": (InstanceKey("my-key", "shop", "me", shops=(2077,)),),
    }
    with Sandbox(clock="stepped", **settings) as sandbox:
        form = {"grant_type": "client_credentials", "client_id": "reader", "client_secret": "s3cret"}
        token = httpx.post(sandbox.token_url, data=form).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        url = f"{sandbox.connect_url}/api/products"
        assert httpx.get(url, headers=headers).status_code == 200
        refused = httpx.post(url, json={"products": [{"id": "a"}]}, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (403, "FORBIDDEN")
        account = httpx.get(f"{sandbox.mirakl_url}/api/account", headers={"Authorization": "my-key"})
        assert account.json()["shop_id"] == 2077


def test_settings_refuse_what_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        Settings(speed=0)
    with pytest.raises(ValueError, match="at least one shop"):
        Settings(keys=(InstanceKey("k", "shop", "me"),))
    with pytest.raises(ValueError, match="'running' or 'stepped'"):
        Settings(clock="backwards")  # type: ignore[arg-type]
