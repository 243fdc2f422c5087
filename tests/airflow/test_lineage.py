"""What OpenLineage is told: with its real provider and its file transport, and what of each dataset is named."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from leaks import in_text

from airflow_provider_mirakl.lineage import dataset_name, lineage_of

pytest.importorskip(
    "airflow.providers.openlineage",
    reason="needs apache-airflow-providers-openlineage: make venv installs it",
)
pytestmark = [pytest.mark.airflow, pytest.mark.matrix]

DAG = """
from datetime import datetime
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_mirakl.operators.connect import MiraklConnectUpsertProductsOperator
from airflow_provider_mirakl.operators.offers import MiraklImportStockOperator

with DAG("lineage", schedule=None, start_date=datetime(2026, 1, 1)):
    MiraklConnectUpsertProductsOperator(task_id="upsert", source={products!r})
    MiraklImportStockOperator(task_id="stock", source={stock!r}, mirakl_conn_id="mirakl_shop")
"""
RUN = """
from pathlib import Path
import os
try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:
    from airflow.models.dagbag import DagBag
DagBag(dag_folder=os.environ["AIRFLOW__CORE__DAGS_FOLDER"]).dags["lineage"].test()
"""


def test_events_of_real_tasks(
    migrated_db: Path, mirakl_sandbox: Any, mirakl_sandbox_connections: Any, tmp_path: Path
) -> None:
    home, told = tmp_path / "home", tmp_path / "events.ndjson"
    (home / "dags").mkdir(parents=True)
    shutil.copyfile(migrated_db, home / "airflow.db")
    products, stock = tmp_path / "products.ndjson", tmp_path / "stock.csv"
    products.write_text('{"id": "A"}\n{"id": "B"}\n')
    stock.write_text("offer-sku;quantity\nO-9;1\n")
    (home / "dags" / "lineage.py").write_text(DAG.format(products=str(products), stock=str(stock)))
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        env=os.environ
        | {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(
                {"type": "file", "log_file_path": str(told), "append": True}
            ),
            "AIRFLOW__MIRAKL__WORK_FOLDER": str(tmp_path / "work"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert told.exists(), done.stdout[-3000:]
    keys = [client.secret for client in mirakl_sandbox.settings.clients]
    keys += [each.key for each in mirakl_sandbox.settings.keys]
    assert in_text(told.read_bytes(), keys) == []
    ended: dict[str, Any] = {}
    for line in told.read_text().splitlines():
        event = json.loads(line)
        if event["eventType"] in ("COMPLETE", "FAIL"):
            ended[event["job"]["name"]] = event
    upsert, stocked = ended["lineage.upsert"], ended["lineage.stock"]
    assert [(one["namespace"], one["name"]) for one in upsert["inputs"]] == [("file", str(products))]
    assert upsert["inputs"][0]["inputFacets"]["dataQualityMetrics"]["rowCount"] == 2
    (output,) = upsert["outputs"]
    assert (output["namespace"], output["name"]) == ("mirakl-connect://mirakl_connect_default", "products")
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 2

    assert stocked["eventType"] == "FAIL"
    assert [(one["namespace"], one["name"]) for one in stocked["outputs"]] == [
        ("mirakl://mirakl_shop", "stock")
    ]
    assertions = stocked["outputs"][0]["facets"]["dataQualityAssertions"]["assertions"]
    assert [one["success"] for one in assertions] == [False, False]
    assert "There is no offer" in assertions[1]["assertion"]
    query = stocked["run"]["facets"]["externalQuery"]
    assert query["source"] == "mirakl://mirakl_shop"
    assert query["externalQueryId"] in json.dumps(mirakl_sandbox.journal("STO02"))
    assert "1 of 1 item" in stocked["run"]["facets"]["errorMessage"]["message"]


@pytest.mark.parametrize(
    ("path", "namespace", "name"),
    [
        ("/feeds/products.csv", "file", "/feeds/products.csv"),
        ("file:///feeds/products.csv", "file", "/feeds/products.csv"),
        ("s3://aws_default@bucket/feeds/a.csv", "s3://bucket", "feeds/a.csv"),
        ("s3://bucket/a.csv", "s3://bucket", "a.csv"),
        ("gs://google@bucket/a.csv", "gs://bucket", "a.csv"),
        ("gcs://bucket/a.csv", "gs://bucket", "a.csv"),
        ("abfs://azure@container/a.csv", "abfs://container", "a.csv"),
        (
            "abfss://container@account.dfs.core.windows.net/a.csv",
            "abfss://container@account.dfs.core.windows.net",
            "a.csv",
        ),
    ],
)
def test_files_are_named_as_openlineage_names_them(path: str, namespace: str, name: str) -> None:
    assert dataset_name(path) == (namespace, name)


def test_an_export_reads_mirakl_and_writes_its_target() -> None:
    from airflow_provider_mirakl.operators.offers import MiraklExportOffersOperator

    task = MiraklExportOffersOperator(task_id="t", target="s3://aws@b/offers.csv", mirakl_conn_id="shop")
    told = lineage_of(task, {"items": 7, "job_ids": ["x"]})
    assert [(one.namespace, one.name) for one in told.inputs] == [("mirakl://shop", "offers")]
    assert [(one.namespace, one.name) for one in told.outputs] == [("s3://b", "offers.csv")]
    assert told.outputs[0].outputFacets["outputStatistics"].rowCount == 7
    assert lineage_of(task, {}).run_facets == {}
