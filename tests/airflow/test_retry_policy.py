"""The retry policy where a user meets it: in a Dag run."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.airflow, pytest.mark.matrix]

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
    pytest.importorskip(
        "airflow.sdk.definitions.retry_policy", reason="needs Airflow 3.3 or later: make matrix MATRIX=3.3.2"
    )
    path = tmp_path / "tries.txt"
    result = run_dag(DAG.format(error=error, arguments=arguments, path=str(path)))
    assert result.tasks == {"call": "failed"}
    assert len(path.read_text().splitlines()) == tries


FAST = """
from datetime import datetime, timedelta
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_mirakl.operators.offers import MiraklImportStockOperator
from airflow_provider_mirakl.sensors.jobs import MiraklStockImportSensor

with DAG("fast", schedule=None, start_date=datetime(2026, 1, 1),
         default_args={{"retries": 2, "retry_delay": timedelta(0), "fail_fast": True,
                       "mirakl_conn_id": "mirakl_shop"}}):
    MiraklImportStockOperator(task_id="load", source={source!r})
    MiraklStockImportSensor(task_id="sense", job_ids=4711, poke_interval=60, timeout=5)
"""


def test_fail_fast_spends_no_retry_on_what_none_can_cure(
    run_dag, tmp_path, mirakl_sandbox, mirakl_sandbox_connections, monkeypatch
):
    from airflow_provider_mirakl.client.pacing import PACER

    PACER.forget()
    monkeypatch.setenv("AIRFLOW__MIRAKL__WORK_FOLDER", str(tmp_path / "work"))
    mirakl_sandbox.fault("status", "STO01", status=401, times=None)
    mirakl_sandbox.fault("status", "STO02", status=403, times=None)
    (tmp_path / "stock.csv").write_text("offer-sku;quantity\nO-1;1\n")
    result = run_dag(FAST.format(source=str(tmp_path / "stock.csv")))
    assert result.tasks == {"load": "failed", "sense": "failed"}
    links = {key: value for (task, key), value in result.xcoms.items() if key.startswith("_link_")}
    if links:  # Airflow 2 makes them in its web server
        assert links["_link_MiraklBackOfficeLink"].startswith("http://127.0.0.1")
        assert links["_link_MiraklGuideLink"] == "https://developer.mirakl.com"
    assert (len(mirakl_sandbox.journal("STO01")), len(mirakl_sandbox.journal("STO02"))) == (1, 1)
