"""What a paced operator decides: who makes the calls, wait here or in the triggerer, how early to wake."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout, TaskDeferred

from airflow_provider_mirakl.api.call import Operation
from airflow_provider_mirakl.catalog.loop import Pace
from airflow_provider_mirakl.exceptions import MiraklServerError, MiraklTriggerEventError
from airflow_provider_mirakl.operators.bases.paced import PacedOperator
from airflow_provider_mirakl.runtime import hand_over, task_run, trip, waiting
from airflow_provider_mirakl.runtime.trip import FIRST_LEAD, LONGEST_LEAD, Journey, Trip, read_event
from airflow_provider_mirakl.runtime.waiting import SHORTEST_DEFERRAL
from airflow_provider_mirakl.triggers.places import Place
from airflow_provider_mirakl.triggers.poll import dump_error

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC).timestamp()
STATE = {
    "pace": {"not_before": NOON + 5, "failures": 2, "refused_since": None},
    "journey": {"began": NOON - 60, "in_worker": False, "lead": 4.0},
}


class TestJourney:
    def test_before_it_ever_came_back_it_wakes_a_little_early(self) -> None:
        assert Journey().early == FIRST_LEAD

    def test_a_first_lag_is_learned_whole(self) -> None:
        journey = Journey()
        journey.learn(6)
        assert journey.early == 6

    def test_a_later_lag_moves_the_lead_towards_it(self) -> None:
        slower, quicker = Journey(lead=4.0), Journey(lead=4.0)
        slower.learn(6)
        quicker.learn(2)
        assert 4 < slower.early < 6
        assert 2 < quicker.early < 4

    def test_the_same_lag_again_and_again_is_the_lead(self) -> None:
        journey = Journey(lead=12.0)
        for _ in range(40):
            journey.learn(5)
        assert journey.early == pytest.approx(5, abs=0.01)

    @pytest.mark.parametrize(("lag", "early"), [(3600, LONGEST_LEAD), (-3600, 0.0)])
    def test_the_lead_has_limits(self, lag: float, early: float) -> None:
        journey = Journey()
        journey.learn(lag)
        assert journey.early == early


class TestEvent:
    @pytest.mark.parametrize("event", [{"moment": NOON}, {"status": "done"}, {"status": "unreachable"}])
    def test_it_comes_back_as_it_went(self, event: dict[str, Any]) -> None:
        pace, journey, said = read_event(json.loads(json.dumps(event | {"state": STATE})))
        assert pace == Pace(not_before=NOON + 5, failures=2)
        assert journey == Journey(began=NOON - 60, lead=4.0)
        assert said["state"] == STATE

    @pytest.mark.parametrize(
        "broken",
        [
            "done",
            {},
            {"state": STATE},
            {"moment": NOON, "state": None},
            {"moment": "soon", "state": STATE},
            {"status": "fine", "state": STATE},
            {"status": "done", "state": {"pace": {"unknown": 1}, "journey": {}}},
            {"status": "done", "state": {"pace": {}}},
        ],
    )
    def test_an_event_of_another_kind_is_refused(self, broken: object) -> None:
        with pytest.raises(MiraklTriggerEventError):
            read_event(broken)


class Operator(PacedOperator):
    @property
    def hook(self) -> Any:
        return SimpleNamespace(conn_id="mine", role=None, settings=SimpleNamespace(interval_factor=1.0))

    def prepare(self, run: Any) -> Place | None:
        raise NotImplementedError

    def conclude(self, run: Any) -> dict[str, Any]:
        raise NotImplementedError


CONTEXT: Any = {
    "ti": SimpleNamespace(
        start_date=None, dag_id="dag", task_id="paced", run_id="run", map_index=-1, max_tries=0
    )
}


class TestResume:
    @pytest.fixture(autouse=True)
    def _told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """How a trip begins is its result."""

        def proceed(trip: Trip, woken_for: float | None = None) -> dict[str, Any]:
            told = {"begins": trip.run.begins, "pace": trip.pace, "journey": trip.journey}
            return told | {"woken_for": woken_for}

        monkeypatch.setattr(Trip, "proceed", proceed)

    def resume(self, event: object) -> dict[str, Any]:
        return Operator(task_id="paced", work_folder="/folder/of/mine").resume(CONTEXT, event)

    def test_a_task_cleared_while_it_defers_begins_like_any_other_try(self) -> None:
        begun = self.resume(None)
        assert begun == {"begins": True, "pace": Pace(), "journey": Journey(), "woken_for": None}

    def test_after_a_moment_it_learns_from_the_moment(self) -> None:
        assert self.resume({"moment": NOON, "state": STATE})["woken_for"] == NOON

    def test_calls_that_are_made_are_concluded_in_a_worker(self) -> None:
        resumed = self.resume({"status": "done", "state": STATE})
        assert resumed["woken_for"] is None
        assert not resumed["journey"].in_worker
        assert not resumed["begins"]

    def test_where_the_triggerer_cannot_reach_the_plan_workers_make_the_calls(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        warnings: list[str] = []
        log = SimpleNamespace(warning=lambda words, *values: warnings.append(words % values))
        monkeypatch.setattr(Operator, "log", log)
        event = {"status": "unreachable", "reason": "FileNotFoundError: no plan", "state": STATE}
        assert self.resume(event)["journey"].in_worker
        (warning,) = warnings
        assert "[mirakl] work_folder" in warning
        assert "no plan" in warning

    def test_an_error_is_raised_as_the_triggerer_met_it(self) -> None:
        error = MiraklServerError("503", operation="upsertProducts", status=503)
        with pytest.raises(MiraklServerError, match="503"):
            self.resume({"status": "error", "error": dump_error(error), "position": {}, "state": STATE})

    def test_a_timeout_is_the_tasks(self) -> None:
        with pytest.raises(AirflowTaskTimeout):
            self.resume({"status": "timeout", "state": STATE})


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    for module in (hand_over, trip, task_run, waiting):
        monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: NOON, sleep=slept.append))
    return slept


RUN: Any = SimpleNamespace(memory=SimpleNamespace(carried={"ledger.json": "{}"}))


class TestHandOver:
    def hand_over(self, interval: float = 60.0, **options: Any) -> None:
        work: Any = SimpleNamespace(
            operation=Operation("upsertProducts", "POST", "/p", replay=True, interval=interval),
            position={"next_chunk": 3},
            describe=lambda interval: "chunk 3/10",
        )
        operator = Operator(task_id="paced", deferrable=True, **options)
        hand_over.hand_over(
            operator,
            operator.hook,
            Place("catalog.open", {"folder": "/f"}),
            work,
            max_failures=5,
            refused_timeout=3600,
            began=NOON - 100,
            state={},
            resume=operator.resume,
        )

    def test_the_triggerer_gets_where_the_work_lies_and_no_more(self, slept: list[float]) -> None:
        with pytest.raises(TaskDeferred) as deferred:
            self.hand_over()
        path, arguments = deferred.value.trigger.serialize()
        assert path == "airflow_provider_mirakl.triggers.paced.PacedTrigger"
        assert json.loads(json.dumps(arguments)) == arguments
        assert (arguments["opener"], arguments["arguments"]) == ("catalog.open", {"folder": "/f"})
        assert arguments["conn_id"] == "mine"
        assert arguments["earliest"] == NOON + SHORTEST_DEFERRAL
        assert arguments["position"] == {"next_chunk": 3}
        assert arguments["version"] == 1
        assert deferred.value.timeout is None

    def test_calls_that_are_quicker_than_a_deferral_stay_in_the_worker(self, slept: list[float]) -> None:
        self.hand_over(SHORTEST_DEFERRAL - 0.1)

    def test_execution_timeout_counts_the_time_in_the_triggerer(self, slept: list[float]) -> None:
        with pytest.raises(TaskDeferred) as deferred:
            self.hand_over(execution_timeout=timedelta(seconds=300))
        assert deferred.value.timeout == timedelta(seconds=200)
        assert deferred.value.trigger.serialize()[1]["deadline"] == NOON + 200


class TestWait:
    def wait(self, seconds: float, journey: Journey | None = None, **arguments: Any) -> None:
        operator = Operator(task_id="paced", **{"deferrable": True, **arguments})
        Trip(operator, RUN, Pace(failures=1), journey or Journey(began=NOON - 100)).wait(seconds)

    def test_a_long_wait_goes_to_the_triggerer_with_the_state(self, slept: list[float]) -> None:
        with pytest.raises(TaskDeferred) as deferred:
            self.wait(60, Journey(began=NOON - 100, in_worker=True, lead=6.0))
        trigger: Any = deferred.value.trigger
        assert trigger.moment == NOON + 54
        assert trigger.state == {
            "pace": {"not_before": 0.0, "failures": 1, "refused_since": None},
            "journey": {"began": NOON - 100, "in_worker": True, "stays": False, "read": [], "lead": 6.0},
            "carried": {"ledger.json": "{}"},
        }
        assert deferred.value.method_name == "resume"
        assert slept == []

    def test_without_deferral_the_worker_sleeps(self, slept: list[float]) -> None:
        self.wait(60, deferrable=False)
        assert slept == [60]

    def test_what_the_lead_leaves_must_be_long_enough_to_defer(self, slept: list[float]) -> None:
        self.wait(SHORTEST_DEFERRAL + 5.9, Journey(lead=6.0))
        assert slept == [pytest.approx(SHORTEST_DEFERRAL + 5.9)]
        with pytest.raises(TaskDeferred):
            self.wait(SHORTEST_DEFERRAL + 6.1, Journey(lead=6.0))

    def test_execution_timeout_counts_from_the_first_start_not_from_the_last_return(
        self, slept: list[float]
    ) -> None:
        with pytest.raises(TaskDeferred) as deferred:
            self.wait(60, Journey(began=NOON - 180), execution_timeout=timedelta(seconds=300))
        assert deferred.value.timeout == timedelta(seconds=120)

    def test_a_timeout_that_is_over_is_not_negative(self, slept: list[float]) -> None:
        with pytest.raises(TaskDeferred) as deferred:
            self.wait(60, execution_timeout=timedelta(seconds=50))
        assert deferred.value.timeout == timedelta(0)
