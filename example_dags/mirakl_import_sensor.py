"""Wait for a product import that was started elsewhere: in the back office, by another tool, by a task that was killed.

Needs a connection ``mirakl_default`` of type Mirakl, with the key of a shop.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, Param

# [START mirakl_import_sensor]
from airflow_provider_mirakl.sensors.jobs import MiraklProductImportSensor

with DAG(
    dag_id="mirakl_import_sensor",
    description="Wait for a product import that was started elsewhere.",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    params={"import_id": Param(2001, type="integer", title="Import id", description="As Mirakl shows it.")},
    tags=["mirakl"],
):
    MiraklProductImportSensor(
        task_id="wait_for_import",
        job_ids="{{ params.import_id }}",
        until="complete",
        timeout=timedelta(days=3),
        max_failed_items=None,
        deferrable=True,
    )
# [END mirakl_import_sensor]
