"""A sandbox, connections to it, and a worker that runs one task, deferrals included."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_mirakl.sandbox import Sandbox
from airflow_provider_mirakl.sandbox.pytest_plugin import connections


@pytest.fixture(scope="module")
def running_sandbox() -> Iterator[Sandbox]:
    # A token that is renewed meanwhile would add a 401 to the calls that are counted.
    with Sandbox(speed=600, token_seconds=1e9) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(
    running_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, airflow_db: Any, patient: None
) -> Sandbox:
    """A local Mirakl and DJUST as on its first day, its connections, and a work folder of the test's own."""
    from airflow_provider_mirakl.client.pacing import PACER
    from airflow_provider_mirakl.client.tokens import TOKENS

    PACER.forget()
    TOKENS.forget()
    running_sandbox.reset()
    running_sandbox.forget_limits()
    for conn_id, connection in connections(running_sandbox).items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW__MIRAKL__WORK_FOLDER", str(tmp_path / "work"))
    return running_sandbox


@pytest.fixture
def run_task() -> Callable[..., Any]:
    """``run_task(operator)``: the result of a task, or the error that ends it. ``try_number`` makes it a retry."""

    def run(operator: Any, *, max_tries: int = 0) -> Any:
        from airflow.providers.common.compat.sdk import TaskDeferred

        context = context_of(operator, max_tries) | {
            "task_state_store": run.state,
            "outlet_events": run.outlet_events,
        }
        context["ti"].xcom_push = lambda key, value, **_: run.pushed.__setitem__(key, value)
        step, arguments = operator.execute, {}
        while True:
            try:
                return step(context, **arguments)
            except TaskDeferred as deferred:
                run.deferrals.append(deferred)
                step = getattr(operator, deferred.method_name)
                arguments = {"event": asyncio.run(_event(deferred.trigger))}
                run.before_resume()

    run.before_resume = lambda: None  # type: ignore[attr-defined]
    run.outlet_events = {}  # type: ignore[attr-defined]
    run.pushed = {}  # type: ignore[attr-defined]
    run.context_of = context_of  # type: ignore[attr-defined]
    run.deferrals = []  # type: ignore[attr-defined]
    run.state = None  # type: ignore[attr-defined]
    return run


def context_of(operator: Any, max_tries: int = 0) -> Any:
    """What a task is given."""
    ti = SimpleNamespace(
        dag_id="dag",
        task_id=operator.task_id,
        run_id="run",
        map_index=-1,
        max_tries=max_tries,
        try_number=1,
        start_date=datetime.now(UTC),
        xcom_push=lambda **_: None,
    )
    return {"ti": ti, "outlet_events": {}}


async def _event(trigger: Any) -> Any:
    """What a trigger fires, made from what Airflow stores of it."""
    arguments = json.loads(json.dumps(trigger.serialize()[1]))
    async for event in type(trigger)(**arguments).run():
        return json.loads(json.dumps(event.payload))
    raise AssertionError("the trigger ended without an event")
