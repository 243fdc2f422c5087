"""Reports of one's own system on orders: a call a minute, and no worker that waits for it."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from airflow_provider_mirakl.exceptions import MiraklInputError, MiraklNoteError, MiraklPermissionError
from airflow_provider_mirakl.operators.connect_orders import MiraklConnectReportOrderActionsOperator
from airflow_provider_mirakl.runtime import trip

pytestmark = [pytest.mark.airflow, pytest.mark.matrix, pytest.mark.mirakl_sandbox_settings(limits="off")]
MOMENT = "airflow_provider_mirakl.triggers.moment.MomentTrigger"
REPORT = "v2-reportOrderActions"


class LeftError(Exception):
    """The task has left the worker; the test has seen enough."""


@pytest.fixture(autouse=True)
def _deferred_however_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trip, "FIRST_LEAD", 0.0)
    monkeypatch.setattr(trip, "LONGEST_LEAD", 0.0)


def rows(count: int, status: str = "SUCCESS") -> list[dict[str, str]]:
    more = {} if status == "SUCCESS" else {"error_code": "OTHER", "error_message": "no"}
    return [{"order_id": f"o-{number}", "status": status, **more} for number in range(count)]


@pytest.fixture
def report(worker: Any, mirakl_sandbox_connections: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A worker with the operator; its calls are a hundredth of the real interval apart unless said."""

    def make(source: Any, *, factor: float = 0.01, **options: Any) -> Any:
        connection = mirakl_sandbox_connections["mirakl_connect_default"]
        connection["extra"]["interval_factor"] = factor
        monkeypatch.setenv("AIRFLOW_CONN_MIRAKL_CONNECT_DEFAULT", json.dumps(connection))
        options = {"deferrable": True} | options
        return worker(
            lambda: MiraklConnectReportOrderActionsOperator(task_id="task", source=source, **options)
        )

    return make


def test_a_deferrable_task_waits_for_the_next_call_in_the_triggerer(report, mirakl_sandbox):
    task = report(rows(250))
    result = task.run()
    assert (result["reported"], len(set(result["action_ids"]))) == (250, 250)
    assert len(mirakl_sandbox.journal(REPORT)) == 3
    assert len(task.deferrals) >= 2
    assert {path for path, _ in task.deferrals} == {MOMENT}
    assert "o-0" not in repr(task.deferrals), "no row travels"


def test_another_task_sleeps_in_the_worker_with_the_same_result(report, mirakl_sandbox):
    task = report(rows(250), deferrable=False)
    assert task.run()["reported"] == 250
    assert len(mirakl_sandbox.journal(REPORT)) == 3
    assert not task.deferrals


def test_an_interval_longer_than_a_call_may_wait_is_waited_for(report, mirakl_sandbox):
    task, left = report(rows(101), factor=3), []

    def fire(trigger: Any) -> Any:
        left.append(trigger.serialize())
        raise LeftError

    task.fire = fire
    with pytest.raises(LeftError):
        task.run()
    ((path, arguments),) = left
    assert path == MOMENT
    assert arguments["moment"] - task.began_at > 150
    assert len(mirakl_sandbox.journal(REPORT)) == 1


def test_a_refusal_is_a_wait(report, mirakl_sandbox):
    mirakl_sandbox.fault("throttle", REPORT, retry_after="1", times=1)
    task = report(rows(1))
    assert task.run()["reported"] == 1
    assert [call["status"] for call in mirakl_sandbox.journal(REPORT)] == [429, 200]
    assert task.deferrals


def test_the_rows_are_those_that_the_task_began_with(report, mirakl_sandbox, tmp_path):
    source = tmp_path / "rows.json"
    source.write_text(json.dumps(rows(150)))
    task = report(str(source))
    task.meanwhile = lambda: source.write_text(json.dumps(rows(120, "FAILED")))
    assert task.run()["reported"] == 150
    assert len(mirakl_sandbox.journal(REPORT)) == 2


@pytest.mark.parametrize("lost", [False, True])
def test_a_retry_continues_with_the_rows_that_it_began_with(report, mirakl_sandbox, tmp_path, lost):
    mirakl_sandbox.fault("status", REPORT, skip=1, status=403, times=1)
    source = tmp_path / "rows.json"
    source.write_text(json.dumps(rows(150)))
    task = report(str(source))
    with pytest.raises(MiraklPermissionError):
        task.run()
    source.write_text(json.dumps(rows(120, "FAILED")))
    task.ti.try_number += 1
    if lost:
        for copy in (tmp_path / "work").rglob("actions.ndjson"):
            copy.unlink()
        with pytest.raises(MiraklInputError, match="source has changed after 100"):
            task.run()
        return
    result = task.run()
    assert (result["reported"], len(set(result["action_ids"]))) == (150, 150)
    assert [call["status"] for call in mirakl_sandbox.journal(REPORT)] == [200, 403, 200]


@pytest.mark.parametrize("changed", [False, True])
def test_on_another_disk_the_source_is_read_again(report, mirakl_sandbox, tmp_path, changed):
    source = tmp_path / "rows.json"
    source.write_text(json.dumps(rows(150)))
    task = report(str(source))

    def lose() -> None:
        shutil.rmtree(tmp_path / "work", ignore_errors=True)  # one wait may be two deferrals
        if changed:
            source.write_text(json.dumps(rows(120)))

    task.meanwhile = lose
    if changed:
        with pytest.raises(MiraklInputError, match="source has changed after 100 of its rows were reported"):
            task.run()
        assert len(mirakl_sandbox.journal(REPORT)) == 1
    else:
        assert len(task.run()["action_ids"]) == 150
        assert len(mirakl_sandbox.journal(REPORT)) == 2


def test_without_its_note_nothing_is_sent_again(report, mirakl_sandbox, tmp_path, monkeypatch):
    from airflow_provider_mirakl.runtime import task_run

    monkeypatch.setattr(task_run, "MAX_CARRIED", 0)  # as with the ids of thousands of rows
    task = report(rows(150))
    task.meanwhile = lambda: shutil.rmtree(tmp_path / "work", ignore_errors=True)
    with pytest.raises(MiraklNoteError, match=r"reports\.json is missing"):
        task.run()
    assert len(mirakl_sandbox.journal(REPORT)) == 1
