"""Fixtures: a sandbox per test, and connections that point Airflow at it.

The fixture takes its settings from a marker: ``@pytest.mark.mirakl_sandbox_settings(speed=60, pages_count=False)``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from airflow_provider_mirakl.sandbox.server import Sandbox

#: A minute of Mirakl accepts a tenth of a second in a test.
SPEED = 600.0


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers", "mirakl_sandbox_settings(**settings): settings of the mirakl_sandbox fixture of this test"
    )


@pytest.fixture
def mirakl_sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A separate running sandbox for the test.

    Speed 600 unless the marker ``mirakl_sandbox_settings`` says otherwise.
    """
    from airflow_provider_mirakl.sandbox import Sandbox

    settings: dict[str, Any] = {"speed": SPEED}
    for marker in reversed(list(request.node.iter_markers("mirakl_sandbox_settings"))):
        settings.update(marker.kwargs)
    with Sandbox(**settings) as sandbox:
        yield sandbox


def connections(sandbox: Sandbox) -> dict[str, dict[str, Any]]:
    """Airflow connections to a sandbox by their ids, as Airflow reads them from JSON."""
    from airflow_provider_mirakl.sandbox.connections import connections

    return connections(sandbox.url, sandbox.settings)


@pytest.fixture
def mirakl_sandbox_connections(
    mirakl_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> dict[str, dict[str, Any]]:
    """Sets ``AIRFLOW_CONN_...`` for ``mirakl_connect_default``, ``djust_default``, ``mirakl_default`` (a seller),
    ``mirakl_shop``, ``mirakl_operator`` and ``mirakl_front``; returns the connections by id.
    """
    found = connections(mirakl_sandbox)
    for conn_id, connection in found.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
    return found
