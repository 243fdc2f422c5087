"""A disabled connection skips the task that would use it."""

from __future__ import annotations

import json

import pytest

pytestmark = [pytest.mark.airflow, pytest.mark.matrix]

DAG = """
from datetime import datetime
from airflow.providers.common.compat.sdk import BaseOperator, dag, task
from airflow_provider_mirakl.hooks.mirakl import MiraklHook


class Ask(BaseOperator):
    def execute(self, context):
        with MiraklHook("off").get_conn() as client:
            raise AssertionError("the connection is disabled")


@dag(schedule=None, start_date=datetime(2024, 1, 1), catchup=False)
def disabled_DAG_NUMBER():
    @task
    def by_hook():
        MiraklHook("off").settings

    @task
    def below():
        return 1

    @task(trigger_rule="none_failed")
    def whatever_happens():
        return 2

    first = Ask(task_id="by_operator", retries=2)
    first >> below()
    [first, by_hook()] >> whatever_happens()


disabled_DAG_NUMBER()
"""


@pytest.mark.parametrize(("number", "stored"), [(1, False), (2, "false"), (3, "n")])
def test_its_tasks_are_skipped_and_not_failed(run_dag, monkeypatch, capfd, caplog, number, stored):
    fields = {
        "conn_type": "mirakl",
        "host": "https://x.example",
        "password": "k-12345",
        "extra": {"enabled": stored},
    }
    monkeypatch.setenv("AIRFLOW_CONN_OFF", json.dumps(fields))
    result = run_dag(DAG.replace("DAG_NUMBER", str(number)))
    assert result.state == "success"
    assert result.tasks == {
        "by_operator": "skipped",
        "by_hook": "skipped",
        "below": "skipped",
        "whatever_happens": "success",
    }
    warned = [record for record in caplog.records if record.levelname == "WARNING"]
    said = capfd.readouterr()
    reason = "Connection 'off' is disabled; set its field enabled to true"
    assert any(reason in record.getMessage() for record in warned) or reason in said.out + said.err


def test_enabled_again_it_is_used(run_dag, monkeypatch):
    fields = {
        "conn_type": "mirakl",
        "host": "https://x.example",
        "password": "k-12345",
        "extra": {"enabled": True},
    }
    monkeypatch.setenv("AIRFLOW_CONN_OFF", json.dumps(fields))
    result = run_dag(DAG.replace("DAG_NUMBER", "4").replace("retries=2", "retries=0"))
    assert result.tasks["by_hook"] == "success"
    assert result.tasks["by_operator"] == "failed"
