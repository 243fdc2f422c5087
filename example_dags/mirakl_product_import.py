"""### Import a product file, keep the error report, and tolerate a share of bad lines

Sends a product file (P41), waits until the operator has received the products, and fetches the
reports. Up to 5 % of the lines may fail; their rows and reasons are in the rejects file.

**Needs** a connection `mirakl_default` of type Mirakl, with the key of a shop.

**Try it:** `make airflow` (without a clone: `mirakl-sandbox airflow --run`), then *Trigger*: one of 60 lines
has a category that does not exist, and the run still succeeds.
"""

from datetime import UTC, datetime
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, Param

# [START mirakl_product_import]
from airflow_provider_mirakl.operators.products import MiraklImportProductsOperator

# Small files come with the example. Yours may be a local path or any object storage that Airflow supports.
EXAMPLES = Path(__file__).resolve().parent

with DAG(
    dag_id="mirakl_product_import",
    description="Import a product file, with error report and threshold.",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    max_active_runs=1,
    default_args={"retries": 2},
    params={
        "source": Param(
            f"{EXAMPLES}/data/import.csv",
            type="string",
            title="Product file",
            description="CSV, XML or XLSX, also on object storage, such as s3://aws_default@catalog/import.csv.",
        )
    },
    doc_md=__doc__,
    tags=["mirakl"],
):
    MiraklImportProductsOperator(
        task_id="import_products",
        source="{{ params.source }}",
        lint="warn",  # compares the file with the operator's attributes first; "fail" does not send a faulty one
        until="complete",
        max_failed_ratio=0.05,
        deferrable=True,
    )
# [END mirakl_product_import]
