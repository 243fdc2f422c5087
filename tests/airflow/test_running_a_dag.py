"""The harness itself: a Dag of the user runs on a real Airflow, in a folder of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytestmark = [pytest.mark.airflow, pytest.mark.matrix]

SUM = """
from datetime import datetime
from airflow.providers.common.compat.sdk import BaseOperator, dag, task


class Double(BaseOperator):
    template_fields = ("number",)

    def __init__(self, *, number, **kwargs):
        super().__init__(**kwargs)
        self.number = number

    def execute(self, context):
        return 2 * int(self.number)


@dag(schedule=None, start_date=datetime(2024, 1, 1), catchup=False)
def harness_sum():
    @task
    def start(dag_run=None):
        return dag_run.conf.get("start", 20)

    first = start()
    first >> Double(task_id="double", number="{{ ti.xcom_pull(task_ids='start') + 1 }}")


harness_sum()
"""

FAILS = """
from datetime import datetime
from airflow.providers.common.compat.sdk import dag, task


@dag(schedule=None, start_date=datetime(2024, 1, 1), catchup=False)
def harness_fails():
    @task
    def breaks():
        raise ValueError("on purpose")

    @task
    def after():
        return 1

    breaks() >> after()


harness_fails()
"""


def test_a_dag_runs_and_its_results_can_be_read(run_dag):
    result = run_dag(SUM)
    assert result.state == "success"
    assert result.tasks == {"start": "success", "double": "success"}
    assert result.returned("double") == 42


def test_conf_reaches_the_tasks(run_dag):
    assert run_dag(SUM, conf={"start": 2}).returned("double") == 6


def test_a_failure_is_seen(run_dag):
    result = run_dag(FAILS)
    assert result.state == "failed"
    assert result.tasks == {"breaks": "failed", "after": "upstream_failed"}


def test_a_dag_file_anywhere_can_be_run(run_dag, tmp_path):
    file = tmp_path / "elsewhere.py"
    file.write_text(SUM.replace("harness_sum", "harness_elsewhere"), encoding="utf-8")
    assert run_dag(file, dag_id="harness_elsewhere").state == "success"


def test_a_broken_dag_file_says_so(run_dag):
    with pytest.raises(AssertionError, match="no_such_module"):
        run_dag("from airflow.providers.common.compat.sdk import DAG\nimport no_such_module\n")


def test_nothing_of_the_caller_leaks_in():
    assert "airflow-home-" in os.environ["AIRFLOW_HOME"]
    assert not Path(os.environ["AIRFLOW_HOME"]).is_relative_to(Path.home() / "airflow")
    assert not [name for name in os.environ if name.startswith(("AIRFLOW_CONN_", "AIRFLOW_VAR_"))]
