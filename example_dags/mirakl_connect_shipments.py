"""Shipments from a carrier's CSV file to Mirakl Connect, with an outcome for every row."""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_mirakl.operators.connect_orders import MiraklConnectShipOrdersOperator

with DAG(
    dag_id="mirakl_connect_shipments",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=5)},
    params={
        "file": Param("s3://aws_default@carrier/today.csv", description="The carrier's file."),
        "on_unclear": Param("fail", description="resend, after Mirakl Connect was checked by a person."),
    },
    tags=["mirakl", "orders"],
):
    # [START ship]
    # order_id;order_line_id;quantity;carrier;tracking_number
    # 0002_3202630-A;0002_3202630-A-1;2;UPS;1Z999AA10123456784
    MiraklConnectShipOrdersOperator(
        task_id="ship",
        source="{{ params.file }}",
        max_orders=500,
        max_failed_ratio=0.05,
        on_unclear="{{ params.on_unclear }}",
        deferrable=True,
    )
    # [END ship]
