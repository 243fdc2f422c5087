"""The web server of the Airflow under test, in this process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow import __version__

from airflow_provider_mirakl.sandbox import Sandbox

AIRFLOW = tuple(int(part) for part in __version__.split(".")[:2])


class Site:
    """The actions of a user on the page of connections, by the calls that the page makes.

    :param client: a client of the web server that is let in.
    """

    def __init__(self, client: Any, api: str) -> None:
        self.client = client
        self._api = api

    def test(self, **fields: Any) -> tuple[bool, str]:
        """The test button."""
        body = {"connection_id": "typed_in_the_form", **fields}
        if isinstance(body.get("extra"), dict):
            body["extra"] = json.dumps(body["extra"])
        reply = self.client.post(f"{self._api}/connections/test", json=body)
        assert reply.status_code == 200, reply.text
        answer = reply.json() if callable(reply.json) else reply.json
        return answer["status"], answer["message"]


@pytest.fixture(scope="session")
def site(airflow_db: Path) -> Iterator[Site]:
    """The web server; every visitor is an administrator."""
    with pytest.MonkeyPatch.context() as patch:
        if AIRFLOW < (3, 0):
            (airflow_db / "webserver_config.py").write_text(
                "AUTH_ROLE_PUBLIC = 'Admin'\nWTF_CSRF_ENABLED = False\n"
            )
            from airflow.www.app import create_app

            app = create_app(testing=True)
            with app.test_client() as client:
                yield Site(client, "/api/v1")
            return
        patch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "True")
        patch.setenv(
            "AIRFLOW__API_AUTH__JWT_SECRET",
            "for-these-tests-alone-and-as-long-as-the-signature-wants-it-to-be-0123456789",
        )
        from airflow.api_fastapi.app import create_app
        from fastapi.testclient import TestClient

        if AIRFLOW in ((3, 0), (3, 1)):
            # It makes the forms of the hooks' widgets, in a process that has not loaded the hooks before.
            from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
            from airflow.providers_manager import ProvidersManager

            ProvidersManager().__init__()
            HookMetaService.hook_meta_data()
        with TestClient(create_app()) as client:
            client.headers["Authorization"] = f"Bearer {client.get('/auth/token').json()['access_token']}"
            yield Site(client, "/api/v2")


@pytest.fixture(scope="package")
def running_sandbox() -> Iterator[Sandbox]:
    with Sandbox(speed=60) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running_sandbox: Sandbox) -> Sandbox:
    """A local Mirakl, as on its first day."""
    running_sandbox.reset()
    return running_sandbox


@pytest.fixture(params=["mirakl", "mirakl_connect", "djust"])
def conn_type(request: pytest.FixtureRequest) -> str:
    """Each of the three types."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def good(sandbox: Sandbox, conn_type: str) -> dict[str, Any]:
    """Fields of a connection of that type to the sandbox."""
    return {
        "mirakl": {"host": f"{sandbox.mirakl_url}/api", "password": "sandbox-shop-key"},
        "mirakl_connect": {
            "host": sandbox.connect_url,
            "login": "sandbox-client",
            "password": "sandbox-secret",
            "extra": {"token_url": sandbox.token_url},
        },
        "djust": {"host": sandbox.djust_url, "password": "sandbox-djust-key"},
    }[conn_type] | {"conn_type": conn_type}
