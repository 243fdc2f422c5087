"""The table of docs/sensors.md, cell by cell: what a sensor does is the same in every mode."""

from __future__ import annotations

import sys
from datetime import timedelta
from functools import cached_property
from types import ModuleType

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
)

from airflow_provider_mirakl.api.platform import get_platform_configuration
from airflow_provider_mirakl.api.steps import send
from airflow_provider_mirakl.exceptions import (
    MiraklItemsFailedError,
    MiraklNotFoundError,
    MiraklPermissionError,
    MiraklServerError,
)
from airflow_provider_mirakl.hooks.mirakl import MiraklHook
from airflow_provider_mirakl.sensors.base import MiraklBaseSensor

pytestmark = [pytest.mark.airflow, pytest.mark.matrix, pytest.mark.mirakl_sandbox_settings(limits="off")]

MODES = ("poke", "reschedule", "deferrable")


@pytest.fixture(autouse=True)
def polls(monkeypatch):
    """A module with a poll that counts the sandbox's answers, as a user's own module would hold one."""
    module = ModuleType("polls_of_this_test")
    module.answers = 0

    def answered(notes, *, times):
        configuration = yield from send(get_platform_configuration())
        module.answers += 1
        return {"name": configuration["platform_name"]} if module.answers >= times else None

    module.answered = answered
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


class PatientSensor(MiraklBaseSensor):
    poll = "polls_of_this_test.answered"

    def __init__(self, *, times=1, refuse=False, **kwargs):
        super().__init__(**kwargs)
        self.times, self.refuse = times, refuse

    @cached_property
    def hook(self):
        return MiraklHook("mirakl_operator")

    def poll_arguments(self):
        return {"times": self.times}

    def conclude(self, context, found):
        if self.refuse:
            raise MiraklItemsFailedError("what was found is bad", outcome={})
        return found["name"]


@pytest.fixture(params=MODES)
def sense(request, worker, mirakl_sandbox_connections):
    """Runs a sensor in one of the modes."""
    mode = {"deferrable": True} if request.param == "deferrable" else {"mode": request.param}

    def run(**options):
        options = {"timeout": 250, "poke_interval": 30} | options
        run.worker = worker(lambda: PatientSensor(task_id="task", **mode, **options))
        return run.worker.run()

    run.mode = request.param
    return run


def test_what_is_there_is_found_at_once(sense, polls):
    assert sense() == "Sandbox Marketplace" or polls.answers == 1
    assert polls.answers == 1
    assert not sense.worker.deferrals
    assert not sense.worker.reschedules


def test_what_comes_later_is_found_later(sense, polls):
    assert sense(times=3)
    assert polls.answers == 3
    assert len(sense.worker.deferrals) == (sense.mode == "deferrable")
    assert sense.worker.reschedules == (2 if sense.mode == "reschedule" else 0)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({}, AirflowSensorTimeout),
        ({"soft_fail": True}, AirflowSkipException),
        ({"never_fail": True}, AirflowSkipException),
    ],
    ids=["plain", "soft_fail", "never_fail"],
)
def test_timeout(sense, flags, expected):
    with pytest.raises(expected) as caught:
        sense(times=10**6, timeout=0.3, **flags)
    assert type(caught.value) is expected


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({}, MiraklItemsFailedError),
        ({"soft_fail": True}, MiraklItemsFailedError),
        ({"never_fail": True}, AirflowSkipException),
    ],
    ids=["plain", "soft_fail", "never_fail"],
)
def test_a_finding_that_is_refused(sense, flags, expected):
    with pytest.raises(expected):
        sense(times=2, refuse=True, **flags)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({}, MiraklPermissionError),
        ({"soft_fail": True}, MiraklPermissionError),
        ({"never_fail": True}, AirflowSkipException),
    ],
    ids=["plain", "soft_fail", "never_fail"],
)
def test_a_refusal_ends_the_waiting_at_once(sense, mirakl_sandbox, polls, flags, expected):
    mirakl_sandbox.fault("status", "PC01", status=403, skip=1)
    with pytest.raises(expected):
        sense(times=3, **flags)
    assert len(mirakl_sandbox.journal("PC01")) == 2


def test_the_error_that_a_trigger_met_comes_back_whole(sense, mirakl_sandbox):
    mirakl_sandbox.fault("status", "PC01", status=404, skip=1)
    with pytest.raises(
        MiraklNotFoundError, match=r"PC01: .*\nWhere: task .*\nWhat to do: Check the ids"
    ) as caught:
        sense(times=3)
    assert (caught.value.operation, caught.value.status) == ("PC01", 404)


@pytest.mark.parametrize(
    ("flags", "skipped"),
    [({}, False), ({"soft_fail": True}, False), ({"never_fail": True}, True)],
    ids=["plain", "soft_fail", "never_fail"],
)
def test_what_is_no_word_of_mirakl_is_an_error_too(sense, polls, flags, skipped):
    def broken(notes, *, times):
        yield from send(get_platform_configuration())
        polls.answers += 1
        if polls.answers > 1:
            raise KeyError("state")

    polls.answered = broken
    with pytest.raises(Exception, match="never_fail" if skipped else "state") as caught:
        sense(times=3, **flags)
    assert isinstance(caught.value, AirflowSkipException) == skipped


@pytest.fixture
def _one_try(monkeypatch, mirakl_sandbox_connections):
    """The client itself tries each call once, so that every failure is a failed look."""
    import dataclasses

    from airflow_provider_mirakl.hooks.base import MiraklBaseHook

    settings = MiraklBaseHook.settings.fget
    monkeypatch.setattr(
        MiraklBaseHook, "settings", property(lambda self: dataclasses.replace(settings(self), max_attempts=1))
    )


@pytest.mark.usefixtures("_one_try")
def test_failures_within_the_budget_are_borne(sense, mirakl_sandbox):
    mirakl_sandbox.fault("status", "PC01", status=503, skip=1, times=2)
    assert sense(times=2, max_failures=2)
    assert [call["status"] for call in mirakl_sandbox.journal("PC01")] == [200, 503, 503, 200]


@pytest.mark.usefixtures("_one_try")
@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({}, MiraklServerError),
        ({"soft_fail": True}, MiraklServerError),
        ({"never_fail": True}, AirflowSkipException),
    ],
    ids=["plain", "soft_fail", "never_fail"],
)
def test_failures_beyond_the_budget_are_not(sense, mirakl_sandbox, flags, expected):
    mirakl_sandbox.fault("status", "PC01", status=503, skip=1, times=100)
    with pytest.raises(expected):
        sense(times=2, max_failures=2, **flags)
    assert [call["status"] for call in mirakl_sandbox.journal("PC01")] == [200, 503, 503, 503]


@pytest.mark.usefixtures("_one_try")
def test_a_good_look_sets_the_budget_back(sense, mirakl_sandbox):
    for skip in (1, 3, 5):
        mirakl_sandbox.fault("status", "PC01", status=503, skip=skip, times=1)
    assert sense(times=4, max_failures=1)


@pytest.mark.parametrize(
    "flags", [{}, {"soft_fail": True}, {"never_fail": True}], ids=["plain", "soft", "never"]
)
def test_execution_timeout_fails_the_task_whatever_the_flags(sense, flags):
    """Not in ``reschedule`` mode, where Airflow counts each poke on its own, and none takes that long."""
    limit = timedelta(seconds=0.4)
    if sense.mode == "reschedule":
        with pytest.raises(AirflowSkipException if flags else AirflowSensorTimeout):
            sense(times=10**6, timeout=0.8, execution_timeout=limit, **flags)
        return
    with pytest.raises(AirflowTaskTimeout), WorkerClock(sense, limit):
        sense(times=10**6, timeout=30, execution_timeout=limit, **flags)


class WorkerClock:
    """What Airflow's worker does with ``execution_timeout``: it interrupts whatever runs."""

    def __init__(self, sense, limit):
        self.seconds = limit.total_seconds() if sense.mode == "poke" else 60.0

    def __enter__(self):
        import signal

        def strike(*_):
            raise AirflowTaskTimeout("Timeout")

        self.before = signal.signal(signal.SIGALRM, strike)
        signal.setitimer(signal.ITIMER_REAL, self.seconds)

    def __exit__(self, *_):
        import signal

        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self.before)


def test_a_disabled_connection_skips(sense, monkeypatch, mirakl_sandbox_connections):
    import json

    connection = mirakl_sandbox_connections["mirakl_operator"]
    connection["extra"]["enabled"] = False
    monkeypatch.setenv("AIRFLOW_CONN_MIRAKL_OPERATOR", json.dumps(connection))
    with pytest.raises(AirflowSkipException, match="disabled"):
        sense(times=2)


def test_no_key_travels_in_a_trigger(worker, mirakl_sandbox_connections):
    running = worker(
        lambda: PatientSensor(task_id="task", deferrable=True, times=2, timeout=30, poke_interval=30)
    )
    running.run()
    assert len(running.deferrals) == 1
    assert "sandbox-operator-key" not in repr(running.deferrals)


def test_without_an_event_it_looks_anew(worker, polls, mirakl_sandbox_connections):
    sensor = PatientSensor(task_id="task", deferrable=True, timeout=30, poke_interval=30)
    assert sensor.execute_complete({"ti": worker(lambda: sensor).ti}) == "Sandbox Marketplace"
    assert polls.answers == 1


DAG = """
from datetime import datetime
from functools import cached_property

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_mirakl.hooks.mirakl import MiraklHook
from airflow_provider_mirakl.sensors.base import MiraklBaseSensor


class Patient(MiraklBaseSensor):
    poll = "polls_of_this_test.answered"

    @cached_property
    def hook(self):
        return MiraklHook("mirakl_operator")

    def poll_arguments(self):
        return {"times": 2}


with DAG(dag_id="strict", schedule=None, start_date=datetime(2026, 1, 1)):
    Patient(task_id="wait", deferrable=True, poke_interval=30, timeout=30, allow_nested_operators=False)
"""


def test_it_comes_back_where_airflow_forbids_nested_operators(run_dag, polls, mirakl_sandbox_connections):
    run = run_dag(DAG)
    assert run.tasks == {"wait": "success"}
    assert polls.answers == 2
