"""### Compare your catalog with the Catalog Manager every week

Lists products that are missing, extra and different there, and proposes a resync if too many differ.

**Needs** a connection `mirakl_operator` with the key of the operator.

**Try it:** `make airflow` (without a clone: `mirakl-sandbox airflow --run`), then *Trigger*: the included file
has 20 of the 40 products of the sandbox. In production, set `schedule="@weekly"`.
"""

from datetime import UTC, datetime
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, Param, task

# [START mirakl_weekly_reconciliation]
from airflow_provider_mirakl.operators.catalog_manager import MiraklExportProductsOperator
from airflow_provider_mirakl.operators.reconcile import MiraklReconcileProductsOperator
from airflow_provider_mirakl.repair.report import proposal

# A local path or any object storage that Airflow supports.
EXAMPLES = Path(__file__).resolve().parent

with DAG(
    dag_id="mirakl_weekly_reconciliation",
    description="List missing, extra and different products in the Catalog Manager.",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    max_active_runs=1,
    doc_md=__doc__,
    default_args={"retries": 2},
    params={
        "source": Param(
            f"{EXAMPLES}/data/pairs.csv",
            type="string",
            title="1. Your catalog",
            description="NDJSON, JSON or CSV with a column product_sku or sku.",
        ),
        "folder": Param(
            f"{EXAMPLES}/out/weekly",
            type="string",
            title="2. Folder of the export",
            description="A local path, or object storage, such as s3://aws_default@lake/weekly.",
        ),
        "threshold": Param(
            20,
            type="integer",
            minimum=0,
            title="3. Threshold",
            description="With more differences than this, a resync is proposed.",
        ),
    },
    tags=["mirakl"],
):
    export = MiraklExportProductsOperator(
        task_id="export",
        mirakl_conn_id="mirakl_operator",
        target="{{ params.folder }}/catalog-{{ run_id | replace(':', '-') }}.ndjson",
        filters={  # by default Mirakl exports only accepted and valid products
            "acceptance_status": ["NEW", "ACCEPTED", "REJECTED", "CHANGES_REQUESTED", "TO_REVIEW"],
            "validation_status": ["VALID", "INVALID"],
        },
        deferrable=True,
    )
    reconcile = MiraklReconcileProductsOperator(
        task_id="reconcile",
        source="{{ params.source }}",
        other="{{ ti.xcom_pull(task_ids='export')['target'] }}",
    )

    export >> reconcile
    # Its result is the form of a resync, which first shows each product. Notify someone through your usual channel.
    task(task_id="propose")(proposal)(reconcile.output, "{{ params.threshold }}", "mirakl_incident_resync")
# [END mirakl_weekly_reconciliation]
