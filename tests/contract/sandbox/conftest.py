"""The sandbox with its limits off, and clients for every role."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from airflow_provider_mirakl.sandbox import Sandbox

SHARED = Path(os.environ.get("MIRAKL_SHARED") or Path(__file__).parents[4] / "shared")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "contract/sandbox" in str(item.path).replace(os.sep, "/"):
            item.add_marker(pytest.mark.contract)
            if not (SHARED / "openapi").is_dir():
                item.add_marker(
                    pytest.mark.skip(
                        reason="needs Mirakl's OpenAPI documents: set MIRAKL_SHARED to their folder"
                    )
                )


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(clock="stepped", limits="off") as running:
        yield running


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[Callable[[str], httpx.Client]]:
    keys = {
        "shop": "sandbox-shop-key",
        "operator": "sandbox-operator-key",
        "front": "Bearer sandbox-front-key",
    }
    opened: list[httpx.Client] = []

    def open_client(role: str) -> httpx.Client:
        if role == "connect":
            form = {
                "grant_type": "client_credentials",
                "client_id": "sandbox-client",
                "client_secret": "sandbox-secret",
            }
            token = httpx.post(sandbox.token_url, data=form).json()["access_token"]
            headers, url = {"Authorization": f"Bearer {token}"}, sandbox.connect_url
        else:
            headers, url = {"Authorization": keys[role]}, sandbox.mirakl_url
        opened.append(httpx.Client(base_url=url, headers=headers, trust_env=False))
        return opened[-1]

    yield open_client
    for entry in opened:
        entry.close()
