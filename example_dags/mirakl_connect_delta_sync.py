"""Bring Mirakl Connect to what a catalog file says, every night, sending only what changed.

Needs a connection ``mirakl_connect_default`` of type Mirakl Connect. Other Dags can wait for the asset.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, Param

# [START mirakl_connect_delta_sync]
from airflow_provider_mirakl.assets import connect_catalog
from airflow_provider_mirakl.operators.connect import (
    MiraklConnectSyncCatalogOperator,
    MiraklConnectVerifyProductsOperator,
)

with DAG(
    dag_id="mirakl_connect_delta_sync",
    description="Send to Mirakl Connect what changed in a catalog file since the last run.",
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5), "deferrable": True},
    params={
        "source": Param("s3://aws_default@catalog/products.ndjson", type="string", title="Product file"),
        "full": Param(False, type="boolean", title="Send everything, changed or not"),
    },
    tags=["mirakl"],
):
    sync = MiraklConnectSyncCatalogOperator(
        task_id="sync",
        source="{{ params.source }}",
        full="{{ params.full }}",
        on_invalid="reject",
        max_delete_ratio=0.05,
        outlets=[connect_catalog("mirakl_connect_default")],
    )
    MiraklConnectVerifyProductsOperator(task_id="verify", submitted=sync.output)
# [END mirakl_connect_delta_sync]
