"""Write the whole catalog of Mirakl Connect to object storage, once a week.

Needs a connection ``mirakl_connect_default`` of type Mirakl Connect.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, Param

# [START mirakl_connect_export]
from airflow_provider_mirakl.operators.connect import MiraklConnectExportCatalogOperator

with DAG(
    dag_id="mirakl_connect_export",
    description="Write the whole catalog of Mirakl Connect to a file.",
    schedule="@weekly",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    params={"folder": Param("s3://aws_default@catalog/exports", type="string", title="Folder to write to")},
    tags=["mirakl"],
):
    MiraklConnectExportCatalogOperator(
        task_id="export",
        target="{{ params.folder }}/{{ run_id | replace(':', '-') }}.ndjson",
        deferrable=True,
    )
# [END mirakl_connect_export]
