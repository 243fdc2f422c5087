"""Returns of Mirakl Connect: accept every new one, then tell a person's system which goods are on their way."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_mirakl.operators.connect_returns import (
    MiraklConnectAcceptReturnsOperator,
    MiraklConnectExtractReturnsOperator,
)

with DAG(
    dag_id="mirakl_connect_returns",
    schedule="*/15 * * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=5)},
    params={"target": Param("/data/mirakl", description="Folder of the files.")},
    tags=["mirakl", "returns"],
):
    # [START returns]
    extract = MiraklConnectExtractReturnsOperator(
        task_id="extract",
        target="{{ params.target }}",
        statuses="REQUEST_INITIATED",
        personal_data="drop",
        deferrable=True,
    )

    @task.short_circuit
    def to_accept(extracted: dict[str, Any]) -> list[dict[str, str]]:
        """The ids of the new returns; nothing to do without any."""
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        file = extracted["files"].get("returns")
        rows = ObjectStoragePath(file).read_text().splitlines() if file else []
        return [{"return_id": json.loads(row)["id"]} for row in rows]

    MiraklConnectAcceptReturnsOperator(
        task_id="accept",
        source=to_accept(extract.output),
        deferrable=True,
    )
    # [END returns]
