"""### Send a product file to Mirakl Connect, and verify that it arrived

Reads a file of products, checks each of them, sends them in calls of up to 1,000 at the pace that Mirakl
permits, and reads the catalog back to verify what arrived. Products that Mirakl would reject fail the run
before a call is made.

**Needs** a connection `mirakl_connect_default` of type Mirakl Connect.

**Try it:** `make airflow` (without a clone: `mirakl-sandbox airflow --run`), then *Trigger*: 60 products
appear on the sandbox's page. Set `source` to use your own file. In production, set `schedule`.
"""

from datetime import UTC, datetime
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, Param

# [START mirakl_connect_catalog_sync]
from airflow_provider_mirakl.operators.connect import (
    MiraklConnectUpsertProductsOperator,
    MiraklConnectVerifyProductsOperator,
)

# Small files come with the example. Yours may be a local path or any object storage that Airflow supports.
EXAMPLES = Path(__file__).resolve().parent

with DAG(
    dag_id="mirakl_connect_catalog_sync",
    description="Send a product file to Mirakl Connect and verify that it arrived.",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    max_active_runs=1,
    default_args={"retries": 2},
    params={
        "source": Param(
            f"{EXAMPLES}/data/products.ndjson",
            type="string",
            title="Product file",
            description="A local path, or object storage, such as s3://aws_default@catalog/products.csv.",
        )
    },
    doc_md=__doc__,
    tags=["mirakl"],
):
    upsert = MiraklConnectUpsertProductsOperator(
        task_id="upsert", source="{{ params.source }}", deferrable=True
    )
    MiraklConnectVerifyProductsOperator(task_id="verify", submitted=upsert.output, deferrable=True)
# [END mirakl_connect_catalog_sync]
