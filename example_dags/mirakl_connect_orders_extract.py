"""Orders of Mirakl Connect to a warehouse, every five minutes: what changed since the previous run, as Parquet.

The files of a run lie below ``orders/run_id=...`` and ``order_lines/run_id=...`` of the target, with the same columns
in every run, so that a warehouse can load them or read them where they are. Customers' names and addresses are left
out.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_mirakl.operators.connect_orders import MiraklConnectExtractOrdersOperator

with DAG(
    dag_id="mirakl_connect_orders_extract",
    schedule="*/5 * * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,  # one extract of a watermark at a time
    default_args={"retries": 3, "retry_delay": timedelta(minutes=2)},
    params={
        "target": Param("s3://aws_default@lake/mirakl", description="Folder of the files."),
    },
    tags=["mirakl", "orders"],
):
    # [START extract]
    MiraklConnectExtractOrdersOperator(
        task_id="extract",
        target="{{ params.target }}",
        format="parquet",
        layout="flat",
        since="2026-01-01T00:00:00Z",
        personal_data="drop",
        deferrable=True,
    )
    # [END extract]
