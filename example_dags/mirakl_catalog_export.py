"""Export the master products that changed since the last run, for the data platform.

Needs a connection ``mirakl_operator`` of type Mirakl, with the key of the operator or the front office.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, Param

# [START mirakl_catalog_export]
from airflow_provider_mirakl.operators.catalog_manager import (
    MiraklExportDeletedProductsOperator,
    MiraklExportProductsOperator,
)

with DAG(
    dag_id="mirakl_catalog_export",
    description="Export the master products as Parquet, and what was deleted.",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    default_args={
        "retries": 2,
        "retry_delay": timedelta(minutes=5),
        "mirakl_conn_id": "mirakl_operator",
    },
    params={"folder": Param("s3://aws_default@catalog/mirakl", type="string", title="Folder to write to")},
    tags=["mirakl"],
):
    MiraklExportProductsOperator(
        task_id="export_products",
        target="{{ params.folder }}/products-{{ ds_nodash | default('manual') }}.parquet",
        filters={"acceptance_status": ["ACCEPTED", "NEW"], "validation_status": ["VALID", "INVALID"]},
        deferrable=True,
    )
    MiraklExportDeletedProductsOperator(
        task_id="export_deletions",
        target="{{ params.folder }}/deleted-{{ ds_nodash | default('manual') }}.ndjson",
    )
# [END mirakl_catalog_export]
