"""What a worker and a triggerer do with a task, in this process and on the Airflow that is installed."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _fresh_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """No pace and no token of another test, a work folder of its own, and no wait before a trigger may fire."""
    from airflow_provider_mirakl.client.pacing import PACER
    from airflow_provider_mirakl.client.tokens import TOKENS
    from airflow_provider_mirakl.runtime import waiting

    PACER.forget()
    TOKENS.forget()
    monkeypatch.setenv("AIRFLOW__MIRAKL__WORK_FOLDER", str(tmp_path / "work"))
    monkeypatch.setattr(waiting, "SHORTEST_DEFERRAL", 0.0)


class Worker:
    """Runs one task as a worker would, deferrals and reschedules included.

    :param make: makes the operator, as parsing the Dag file does in every process.

    ``meanwhile`` is called before a trigger runs: what happens in Mirakl during a deferral, and not before it.
    """

    def __init__(self, make: Callable[[], Any], *, max_tries: int = 0, run_id: str = "run") -> None:
        self.make = make
        self.started = datetime.now(UTC)
        self.deferrals: list[tuple[str, dict[str, Any]]] = []
        self.timeouts: list[Any] = []
        self.began_at = 0.0
        self.left_at: list[float] = []
        self.back_at: list[float] = []
        self.reschedules = 0
        self.pushed: dict[str, Any] = {}
        self.more: dict[str, Any] = {}
        self.meanwhile: Callable[[], object] = lambda: None
        self.ti = SimpleNamespace(
            dag_id="dag",
            task_id="task",
            run_id=run_id,
            map_index=-1,
            try_number=1,
            max_tries=max_tries,
            start_date=self.started,
            get_first_reschedule_date=lambda context: self.started if self.reschedules else None,
            xcom_push=lambda key, value, **_: self.pushed.__setitem__(key, value),
        )

    def run(self) -> Any:
        """The task's result, or the exception that ends it."""
        from airflow.exceptions import AirflowRescheduleException
        from airflow.providers.common.compat.sdk import TaskDeferred

        self.began_at = time.time()
        self.ti.start_date = datetime.now(UTC)
        context = {"ti": self.ti, "outlet_events": {}} | self.more
        method, kwargs = None, None
        while True:
            operator = self.make()
            try:
                if method is None:
                    return operator.execute(context)
                return operator.resume_execution(method, kwargs, context)
            except TaskDeferred as deferred:
                method = deferred.method_name
                self.timeouts.append(deferred.timeout)
                self.left_at.append(time.time())
                kwargs = {"event": self.fire(deferred.trigger)}
                self.back_at.append(time.time())
                self.ti.start_date = datetime.now(UTC)  # as Airflow 3.0 and 3.1 have it
            except AirflowRescheduleException as reschedule:
                self.reschedules += 1
                method = None
                time.sleep(max(0.0, (reschedule.reschedule_date - datetime.now(UTC)).total_seconds()))

    def fire(self, trigger: Any) -> Any:
        """Run a trigger from what Airflow stores of it."""
        self.meanwhile()
        path, arguments = trigger.serialize()
        self.deferrals.append((path, json.loads(json.dumps(arguments))))
        return json.loads(json.dumps(asyncio.run(first_event(type(trigger)(**self.deferrals[-1][1])))))


async def first_event(trigger: Any) -> Any:
    """The payload of a trigger's first event."""
    async for event in trigger.run():
        return event.payload
    raise AssertionError("the trigger ended without an event")


@pytest.fixture
def out_of_reach(tmp_path: Path) -> Callable[[Any], Any]:
    """``out_of_reach(task)``: its triggers do not see the work folder, which is on the disk of the workers."""

    def hide(task: Any) -> Any:
        fire, work, elsewhere = task.fire, tmp_path / "work", tmp_path / "the disk of the workers"

        def on_another_machine(trigger: Any) -> Any:
            work.rename(elsewhere)
            try:
                return fire(trigger)
            finally:
                shutil.rmtree(work, ignore_errors=True)
                elsewhere.rename(work)

        task.fire = on_another_machine
        return task

    return hide


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> type[Worker]:
    """The class of workers."""
    from airflow.providers.common.compat.sdk import BaseSensorOperator

    module = __import__(BaseSensorOperator.__module__, fromlist=["_orig_start_date"])
    if hasattr(
        module, "_orig_start_date"
    ):  # Airflow 2 asks its database; the moment is the same for all tests
        began = datetime.now(UTC)
        monkeypatch.setattr(module, "_orig_start_date", lambda **_: began)
    return Worker
