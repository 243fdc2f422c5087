"""### Export the master products and the deleted ones

Exports the products of the Catalog Manager (CM52) that are accepted or new as NDJSON or Parquet, and the
deleted ones (CM61) as NDJSON.

**Needs** a connection `mirakl_operator` of type Mirakl, with the key of the operator or the front office;
Parquet needs `pip install 'airflow-provider-mirakl[parquet]'`.

**Try it:** `make airflow` (without a clone: `mirakl-sandbox airflow --run`), then *Trigger*: the files are in
`dags/out/products`.
"""

from datetime import UTC, datetime
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, Param

# [START mirakl_products_export]
from airflow_provider_mirakl.operators.catalog_manager import (
    MiraklExportDeletedProductsOperator,
    MiraklExportProductsOperator,
)

# A local path or any object storage that Airflow supports.
EXAMPLES = Path(__file__).resolve().parent

with DAG(
    dag_id="mirakl_products_export",
    description="Export the master products and the deleted ones.",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    default_args={"retries": 2, "mirakl_conn_id": "mirakl_operator"},
    params={
        "folder": Param(
            f"{EXAMPLES}/out/products",
            type="string",
            title="Folder to write to",
            description="A local path, or object storage, such as s3://aws_default@catalog/exports.",
        ),
        "format": Param(
            "ndjson", enum=["ndjson", "parquet"], title="Format", description="Lines of JSON, or a table."
        ),
    },
    doc_md=__doc__,
    tags=["mirakl"],
):
    MiraklExportProductsOperator(
        task_id="export_products",
        target="{{ params.folder }}/products-{{ ds_nodash | default('manual') }}.{{ params.format }}",
        filters={"acceptance_status": ["ACCEPTED", "NEW"], "validation_status": ["VALID", "INVALID"]},
        deferrable=True,
    )
    MiraklExportDeletedProductsOperator(
        task_id="export_deletions",
        target="{{ params.folder }}/deleted-{{ ds_nodash | default('manual') }}.ndjson",
    )
# [END mirakl_products_export]
