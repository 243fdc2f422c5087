"""### Delete products from Mirakl Connect by a list of ids

Deletes the products with these ids, and reads the catalog back to verify that they no longer exist. An id that Mirakl
does not know is not an error. At most 5,000 are deleted in one run.

**Needs** a connection `mirakl_connect_default` of type Mirakl Connect.

**Try it:** `make airflow` (without a clone: `mirakl-sandbox airflow --run`), then *Trigger*. The sandbox
starts with the two products of the form's default; after the catalog sync, `SKU-0000001` exists as well.
"""

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
    render_template_as_native_obj=True,
    params={
        "ids": Param(
            ["EXAMPLE-1", "EXAMPLE-2"],
            type="array",
            items={"type": "string"},
            title="Product ids, one per line",
            description="Ids in Mirakl Connect, such as EXAMPLE-1. These products are deleted.",
        )
    },
    doc_md=__doc__,
    tags=["mirakl"],
):
    delete = MiraklConnectDeleteProductsOperator(
        task_id="delete", source="{{ params.ids }}", max_deletes=5_000, deferrable=True
    )
    MiraklConnectVerifyProductsOperator(task_id="verify", submitted=delete.output, deferrable=True)
# [END mirakl_connect_delete_products]
