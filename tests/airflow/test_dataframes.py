"""A task returns a DataFrame, the next one sends it."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("mirakl_sandbox_connections")]

DAG = """
from datetime import datetime

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_mirakl.operators.connect import MiraklConnectUpsertProductsOperator

with DAG("frames", schedule=None, start_date=datetime(2026, 1, 1)):
    @task
    def extract():
        import pandas

        return pandas.DataFrame({
            "sku": [1, 2], "price": [1.5, float("nan")], "name": ["Lamp", None], "stock": [3, 4],
            "since": [pandas.NaT, pandas.Timestamp("2026-01-01", tz="UTC")],
        })

    MiraklConnectUpsertProductsOperator(
        task_id="upsert",
        source=extract(),
        columns={
            "mapping": {
                "sku": "id", "price": "standard_prices.amount", "name": "titles[en_US]", "stock": "quantities",
                "since": "attributes[since]",
            },
            "currency": "EUR",
        },
    )
"""


def test_a_dataframe_that_a_task_returns_is_a_source(run_dag: Any, mirakl_sandbox: Any) -> None:
    pytest.importorskip("pandas", reason="needs pandas: make venv installs it")
    result = run_dag(DAG)
    assert result.tasks == {"extract": "success", "upsert": "success"}
    assert result.returned("upsert")["sent"] == 2
    mirakl_sandbox.advance(3600)
    one, two = sorted(mirakl_sandbox.products(), key=lambda product: product["id"])
    assert (one["id"], one["standard_prices"][0]["price"]["amount"]) == ("1", 1.5)
    assert one["quantities"] == [{"available_quantity": 3}]
    assert "attributes" not in one
    assert two.keys() & {"standard_prices", "titles"} == set()
    assert two["attributes"][0]["value"] == "2026-01-01T00:00:00Z"
