"""What is counted in Airflow's metrics."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_mirakl.api.platform import get_platform_configuration
from airflow_provider_mirakl.hooks.metrics import count_items
from airflow_provider_mirakl.hooks.mirakl import MiraklHook

pytestmark = [pytest.mark.airflow, pytest.mark.matrix]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    from airflow.providers.common.compat.sdk import Stats

    found: list[Any] = []
    monkeypatch.setattr(
        Stats, "incr", lambda name, count=1, rate=1, *, tags=None: found.append((name, count, tags))
    )
    monkeypatch.setattr(Stats, "timing", lambda name, dt, *, tags=None: found.append((name, dt, tags)))
    return found


def test_calls_waits_and_rate_limits(
    counted: list[Any], mirakl_sandbox: Any, mirakl_sandbox_connections: Any
) -> None:
    mirakl_sandbox.fault("throttle", "PC01", retry_after="seconds")
    hook = MiraklHook("mirakl_operator")
    hook.send(get_platform_configuration())
    tags = {"operation": "PC01", "conn_id": "mirakl_operator"}
    calls = [entry for entry in counted if entry[0] == "mirakl.calls"]
    assert [entry[2] for entry in calls] == [tags | {"status": "429"}, tags | {"status": "200"}]
    assert ("mirakl.rate_limited", 1, tags) in counted
    assert [entry[2] for entry in counted if entry[0] == "mirakl.wait"] == [{"conn_id": "mirakl_operator"}]


def test_items_by_outcome(counted: list[Any]) -> None:
    class Task:
        """An operator."""

    count_items(Task(), {"sent": 5, "succeeded": 3, "failed": 2, "unknown": 0})
    assert counted == [
        ("mirakl.items", 3, {"outcome": "succeeded", "operator": "Task"}),
        ("mirakl.items", 2, {"outcome": "failed", "operator": "Task"}),
    ]
    for other in (None, "text", {"items": 3}):
        count_items(Task(), other)
    assert len(counted) == 2
