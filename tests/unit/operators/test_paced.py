"""What a paced operator decides: wait here or in the triggerer, and how early to wake."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_mirakl.exceptions import MiraklTriggerEventError
from airflow_provider_mirakl.operators.bases import paced
from airflow_provider_mirakl.operators.bases.paced import FIRST_LEAD, LONGEST_LEAD, Pace, PacedOperator
from airflow_provider_mirakl.runtime import task_run
from airflow_provider_mirakl.runtime.task_run import SHORTEST_DEFERRAL

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC).timestamp()


def event(moment: float = NOON, **state: Any) -> dict[str, Any]:
    return {"moment": moment, "state": {"not_before": NOON + 5, "failures": 2, "lead": 4.0, **state}}


class TestPace:
    def test_it_comes_back_as_it_went(self) -> None:
        pace, moment = Pace.from_event(json.loads(json.dumps(event())))
        assert pace == Pace(not_before=NOON + 5, failures=2, lead=4.0)
        assert moment == NOON

    def test_before_it_ever_came_back_it_wakes_a_little_early(self) -> None:
        assert Pace().early == FIRST_LEAD

    def test_a_first_lag_is_learned_whole(self) -> None:
        pace = Pace()
        pace.learn(6)
        assert pace.early == 6

    def test_a_later_lag_moves_the_lead_towards_it(self) -> None:
        slower, quicker = Pace(lead=4.0), Pace(lead=4.0)
        slower.learn(6)
        quicker.learn(2)
        assert 4 < slower.early < 6
        assert 2 < quicker.early < 4

    def test_the_same_lag_again_and_again_is_the_lead(self) -> None:
        pace = Pace(lead=12.0)
        for _ in range(40):
            pace.learn(5)
        assert pace.early == pytest.approx(5, abs=0.01)

    def test_the_lead_has_a_limit(self) -> None:
        pace = Pace()
        pace.learn(3600)
        assert pace.early == LONGEST_LEAD

    def test_a_clock_set_back_asks_for_no_second_wait(self) -> None:
        pace = Pace(not_before=NOON + 5, lead=4.0)
        pace.learn(-3600)
        assert pace.not_before == 0
        assert pace.early >= 0

    @pytest.mark.parametrize(
        "broken",
        [
            None,
            "done",
            {},
            {"state": {}},
            {"moment": NOON, "state": None},
            {"moment": "soon", "state": {}},
            {"moment": NOON, "state": {"unknown": 1}},
        ],
    )
    def test_an_event_of_another_kind_is_refused(self, broken: object) -> None:
        with pytest.raises(MiraklTriggerEventError):
            Pace.from_event(broken)


class Operator(PacedOperator):
    @property
    def hook(self) -> Any:
        raise NotImplementedError

    def open_work(self, run: Any) -> None:
        raise NotImplementedError

    def conclude(self, run: Any) -> dict[str, Any]:
        raise NotImplementedError


class Begun(Operator):
    def _proceed(self, run: Any, pace: Pace, woken_for: float | None = None) -> dict[str, Any]:
        return {"begins": run.begins, "pace": pace, "woken_for": woken_for}


def test_a_task_cleared_while_it_defers_begins_like_any_other_try() -> None:
    context: Any = {"ti": SimpleNamespace(start_date=None)}
    begun = Begun(task_id="paced").resume(context)
    assert begun == {"begins": True, "pace": Pace(), "woken_for": None}


class TestWait:
    @pytest.fixture(autouse=True)
    def slept(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        slept: list[float] = []
        for module in (paced, task_run):
            monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: NOON, sleep=slept.append))
        return slept

    def wait(self, seconds: float, pace: Pace | None = None, **arguments: Any) -> None:
        run: Any = SimpleNamespace(started=NOON - 100)
        operator = Operator(task_id="paced", **{"deferrable": True, **arguments})
        operator._wait(NOON + seconds, pace or Pace(), run)

    def test_a_moment_that_has_passed_is_not_waited_for(self, slept: list[float]) -> None:
        self.wait(-1)
        assert slept == []

    def test_a_long_wait_goes_to_the_triggerer_with_the_state(self, slept: list[float]) -> None:
        with pytest.raises(TaskDeferred) as deferred:
            self.wait(60, Pace(failures=1, lead=6.0))
        trigger: Any = deferred.value.trigger
        assert trigger.moment == NOON + 54
        assert trigger.state == {"not_before": NOON + 60, "failures": 1, "lead": 6.0, "began": NOON - 100}
        assert deferred.value.method_name == "resume"
        assert slept == []

    def test_without_deferral_the_worker_sleeps(self, slept: list[float]) -> None:
        self.wait(60, deferrable=False)
        assert slept == [60]

    def test_what_the_lead_leaves_must_be_long_enough_to_defer(self, slept: list[float]) -> None:
        self.wait(SHORTEST_DEFERRAL + 5.9, Pace(lead=6.0))
        assert slept == [pytest.approx(SHORTEST_DEFERRAL + 5.9)]
        with pytest.raises(TaskDeferred):
            self.wait(SHORTEST_DEFERRAL + 6.1, Pace(lead=6.0))

    def test_execution_timeout_counts_the_waits_too(self) -> None:
        with pytest.raises(TaskDeferred) as deferred:
            self.wait(60, execution_timeout=timedelta(seconds=300))
        assert deferred.value.timeout == timedelta(seconds=200)

    def test_execution_timeout_counts_from_the_first_start_not_from_the_last_return(self) -> None:
        with pytest.raises(TaskDeferred) as deferred:
            self.wait(60, Pace(began=NOON - 180), execution_timeout=timedelta(seconds=300))
        assert deferred.value.timeout == timedelta(seconds=120)
        trigger: Any = deferred.value.trigger
        assert trigger.state["began"] == NOON - 180

    def test_a_timeout_that_is_over_is_not_negative(self) -> None:
        with pytest.raises(TaskDeferred) as deferred:
            self.wait(60, execution_timeout=timedelta(seconds=50))
        assert deferred.value.timeout == timedelta(0)
