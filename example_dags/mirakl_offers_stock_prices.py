"""Bring offers to the marketplace, then their stock, then their prices.

Needs a connection ``mirakl_default`` of type Mirakl, with the key of a shop.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, Param

# [START mirakl_offers_stock_prices]
from airflow_provider_mirakl.operators.offers import (
    MiraklImportOffersOperator,
    MiraklImportPricesOperator,
    MiraklImportStockOperator,
)

with DAG(
    dag_id="mirakl_offers_stock_prices",
    description="Import offers, stock and prices.",
    schedule="@hourly",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={
        "retries": 2,
        "retry_delay": timedelta(minutes=5),
        "deferrable": True,
        "max_failed_ratio": 0.1,
    },
    params={"folder": Param("s3://aws_default@offers", type="string", title="Folder of the files")},
    tags=["mirakl"],
):
    (
        MiraklImportOffersOperator(task_id="import_offers", source="{{ params.folder }}/offers.csv")
        >> MiraklImportStockOperator(task_id="import_stock", source="{{ params.folder }}/stock.csv")
        >> MiraklImportPricesOperator(task_id="import_prices", source="{{ params.folder }}/prices.csv")
    )
# [END mirakl_offers_stock_prices]
