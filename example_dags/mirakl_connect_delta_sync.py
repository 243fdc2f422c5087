"""### Make Mirakl Connect match a catalog file, sending only what changed

Compares the file with what was sent before, sends new and changed products, and deletes products that left the file,
at most 5 % of the catalog. Products that Mirakl would reject go to a rejects file. Other Dags can wait for
the asset.

**Needs** a connection `mirakl_connect_default` of type Mirakl Connect, and a work folder that all workers
share.

**Try it:** `make airflow` (without a clone: `mirakl-sandbox airflow --run`), then *Trigger* twice: the first
run sends 60 products, the second none. Change a line of `dags/data/products.ndjson`, and the third sends one.
"""

from datetime import UTC, datetime
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, Param

# [START mirakl_connect_delta_sync]
from airflow_provider_mirakl.assets import connect_catalog
from airflow_provider_mirakl.operators.connect import (
    MiraklConnectSyncCatalogOperator,
    MiraklConnectVerifyProductsOperator,
)

# Small files come with the example. Yours may be a local path or any object storage that Airflow supports.
EXAMPLES = Path(__file__).resolve().parent

with DAG(
    dag_id="mirakl_connect_delta_sync",
    description="Send the changes of a catalog file since the last run to Mirakl Connect.",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    max_active_runs=1,
    default_args={"retries": 2, "deferrable": True},
    params={
        "source": Param(
            f"{EXAMPLES}/data/products.ndjson",
            type="string",
            title="Product file",
            description="A local path, or object storage, such as s3://aws_default@catalog/products.csv.",
        ),
        "full": Param(
            False, type="boolean", title="Send all products", description="Off: only those that changed."
        ),
    },
    doc_md=__doc__,
    tags=["mirakl"],
):
    sync = MiraklConnectSyncCatalogOperator(
        task_id="sync",
        source="{{ params.source }}",
        full="{{ params.full }}",
        on_invalid="reject",
        max_delete_ratio=0.05,
        outlets=[connect_catalog("mirakl_connect_default")],
    )
    MiraklConnectVerifyProductsOperator(task_id="verify", submitted=sync.output)
# [END mirakl_connect_delta_sync]
