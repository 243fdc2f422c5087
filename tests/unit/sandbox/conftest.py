"""A sandbox whose time moves by hand, and HTTP clients for its systems: nothing here knows the client package."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from airflow_provider_mirakl.sandbox import Sandbox

# A TLS context costs more than the whole sandbox, and nothing here uses one.
OPTIONS: Any = {"trust_env": False, "verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)}
KEYS = {"shop": "sandbox-shop-key", "operator": "sandbox-operator-key", "front": "Bearer sandbox-front-key"}


@pytest.fixture
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    settings: dict[str, Any] = {"clock": "stepped"}
    marker = request.node.get_closest_marker("mirakl_sandbox_settings")
    if marker:
        settings.update(marker.kwargs)
    with Sandbox(**settings) as running:
        yield running


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(**OPTIONS) as client:
        yield client


@pytest.fixture
def token(sandbox: Sandbox, http: httpx.Client) -> Callable[[], str]:
    def fetch() -> str:
        form = {
            "grant_type": "client_credentials",
            "client_id": "sandbox-client",
            "client_secret": "sandbox-secret",
        }
        answer = http.post(sandbox.token_url, data=form)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    return fetch


@pytest.fixture
def connect(sandbox: Sandbox, token: Callable[[], str]) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {token()}"}
    with httpx.Client(base_url=sandbox.connect_url, headers=headers, **OPTIONS) as client:
        yield client


def _instance(sandbox: Sandbox, role: str) -> httpx.Client:
    headers = {"Authorization": KEYS[role]}
    return httpx.Client(base_url=sandbox.mirakl_url, headers=headers, **OPTIONS)


@pytest.fixture
def shop(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with _instance(sandbox, "shop") as client:
        yield client


@pytest.fixture
def operator(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with _instance(sandbox, "operator") as client:
        yield client


@pytest.fixture
def front(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with _instance(sandbox, "front") as client:
        yield client


def pytest_configure(config: pytest.Config) -> None:
    # The plugin registers the marker as well, once the package is installed with its entry points.
    config.addinivalue_line(
        "markers", "mirakl_sandbox_settings(**settings): settings of the sandbox of this test"
    )
