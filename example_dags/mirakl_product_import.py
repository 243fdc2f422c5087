"""Import a product file, keep the error report, and let a share of bad lines pass.

Needs a connection ``mirakl_default`` of type Mirakl, with the key of a shop.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, Param

# [START mirakl_product_import]
from airflow_provider_mirakl.operators.products import MiraklImportProductsOperator

with DAG(
    dag_id="mirakl_product_import",
    description="Import a product file, with error report and threshold.",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    params={
        "source": Param("s3://aws_default@catalog/products.csv", type="string", title="Product file"),
    },
    tags=["mirakl"],
):
    MiraklImportProductsOperator(
        task_id="import_products",
        source="{{ params.source }}",
        until="complete",
        max_failed_ratio=0.05,
        deferrable=True,
    )
# [END mirakl_product_import]
