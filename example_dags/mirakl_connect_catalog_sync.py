"""Send a product file to Mirakl Connect, then prove by reading it back that it arrived.

Needs a connection ``mirakl_connect_default`` of type Mirakl Connect.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, Param

# [START mirakl_connect_catalog_sync]
from airflow_provider_mirakl.operators.connect import (
    MiraklConnectUpsertProductsOperator,
    MiraklConnectVerifyProductsOperator,
)

with DAG(
    dag_id="mirakl_connect_catalog_sync",
    description="Send a product file to Mirakl Connect and prove that it arrived.",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    params={
        "source": Param(
            "s3://aws_default@catalog/products.ndjson",
            type="string",
            title="Product file",
            description="NDJSON or a JSON array: a local path, or any object storage that Airflow knows.",
        )
    },
    tags=["mirakl"],
):
    upsert = MiraklConnectUpsertProductsOperator(
        task_id="upsert",
        source="{{ params.source }}",
        deferrable=True,
    )
    MiraklConnectVerifyProductsOperator(
        task_id="verify",
        submitted=upsert.output,
        deferrable=True,
    )
# [END mirakl_connect_catalog_sync]
