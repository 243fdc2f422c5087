"""The extract of any listing of an instance, on a real Airflow against the sandbox's list of product imports."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.api.products import import_products
from airflow_provider_mirakl.hooks.mirakl import MiraklHook
from airflow_provider_mirakl.sandbox import Sandbox

pytestmark = [pytest.mark.airflow, pytest.mark.matrix]

P51 = {
    "code": "P51",
    "path": "/api/products/imports",
    "items": "product_import_trackings",
    "paging": "offset",
    "since": "last_request_date",
    "updated": "date_created",
    "id": "import_id",
    "table": "imports",
}
DAG = """
import pendulum
from airflow.sdk import DAG
from airflow_provider_mirakl.operators.extract import MiraklExtractOperator

with DAG("extract_instance", schedule=None, start_date=pendulum.datetime(2026, 1, 1), catchup=False):
    MiraklExtractOperator(task_id="extract", operation={operation!r}, target={target!r}, query={{"max": 3}}, {more})
"""


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Sandbox]:
    monkeypatch.setenv("AIRFLOW__MIRAKL__WORK_FOLDER", str(tmp_path / "work"))
    with Sandbox(clock="stepped", limits="off") as server:
        connection = {
            "conn_type": "mirakl",
            "host": server.mirakl_url,
            "password": "sandbox-shop-key",
            "extra": {"interval_factor": 0.00001},
        }
        monkeypatch.setenv("AIRFLOW_CONN_MIRAKL_DEFAULT", json.dumps(connection))
        yield server


def submit(count: int) -> list[int]:
    with MiraklHook().get_conn() as client:
        calls = [
            import_products(b"category;shop_sku\n", f"p-{number}-{count}.csv") for number in range(count)
        ]
        return [int(client.send(call)) for call in calls]


def ids(run: Any) -> list[int]:
    file = run.returned("extract")["files"].get("imports")
    return (
        [] if file is None else [json.loads(row)["import_id"] for row in Path(file).read_text().splitlines()]
    )


def test_each_run_delivers_what_is_new(run_dag: Any, sandbox: Sandbox, tmp_path: Path) -> None:
    source = DAG.format(operation=P51, target=str(tmp_path / "lake"), more="")
    first = submit(7)
    run = run_dag(source)
    assert sorted(ids(run)) == first
    assert run.returned("extract")["pages"] == 3
    assert ids(run_dag(source)) == []
    second = submit(2)
    assert sorted(ids(run_dag(source))) == second


@pytest.mark.parametrize(
    ("operation", "more"),
    [
        ("OR99", ""),
        ({"code": "X"}, ""),
        ({**P51, "paging": "both"}, ""),
        (P51, "format='parquet'"),
        (P51, "layout='flat'"),
    ],
)
def test_what_cannot_be_extracted_costs_no_call(
    run_dag: Any, sandbox: Sandbox, tmp_path: Path, operation: Any, more: str
) -> None:
    assert run_dag(DAG.format(operation=operation, target=str(tmp_path), more=more)).state == "failed"
    assert not sandbox.journal()
