"""Delete products from Mirakl Connect by a list of ids, and prove that they are gone.

Manual only. Needs a connection ``mirakl_connect_default`` of type Mirakl Connect.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG, Param

# [START mirakl_connect_delete_products]
from airflow_provider_mirakl.operators.connect import (
    MiraklConnectDeleteProductsOperator,
    MiraklConnectVerifyProductsOperator,
)

with DAG(
    dag_id="mirakl_connect_delete_products",
    description="Delete products from Mirakl Connect by a list of ids.",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    render_template_as_native_obj=True,
    params={
        "ids": Param([], type="array", items={"type": "string"}, title="Product ids, one a line"),
    },
    tags=["mirakl"],
):
    delete = MiraklConnectDeleteProductsOperator(
        task_id="delete",
        source="{{ params.ids }}",
        max_deletes=5_000,
        deferrable=True,
    )
    MiraklConnectVerifyProductsOperator(task_id="verify", submitted=delete.output, deferrable=True)
# [END mirakl_connect_delete_products]
