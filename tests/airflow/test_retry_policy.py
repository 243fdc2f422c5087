"""The retry policy where a user meets it: in a Dag run."""

from __future__ import annotations

import pytest

pytest.importorskip("airflow.sdk.definitions.retry_policy", reason="retry policies came with Airflow 3.3")

pytestmark = pytest.mark.airflow

DAG = """
from datetime import datetime, timedelta
from airflow.sdk import DAG, task
from airflow_provider_mirakl.exceptions import {error}
from airflow_provider_mirakl.policies import mirakl_retry_policy

with DAG("policy", schedule=None, start_date=datetime(2026, 1, 1),
         default_args={{"retries": 2, "retry_delay": timedelta(0), "retry_policy": mirakl_retry_policy()}}):

    @task
    def call(ti=None):
        with open({path!r}, "a") as file:
            file.write(f"try {{ti.try_number}}\\n")
        raise {error}({arguments})

    call()
"""


@pytest.mark.parametrize(
    ("error", "arguments", "tries"),
    [
        ("MiraklAuthenticationError", "'no', operation='P41', status=401", 1),
        ("MiraklServerError", "'down', operation='P41', status=503", 3),
    ],
)
def test_a_retry_is_made_only_where_it_can_help(run_dag, tmp_path, error, arguments, tries):
    path = tmp_path / "tries.txt"
    result = run_dag(DAG.format(error=error, arguments=arguments, path=str(path)))
    assert result.tasks == {"call": "failed"}
    assert len(path.read_text().splitlines()) == tries
