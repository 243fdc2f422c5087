"""Compare one's own catalog with the Catalog Manager every week, and propose a resync where too much differs.

Needs a connection ``mirakl_operator`` of type Mirakl with the key of the operator.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

# [START mirakl_weekly_reconciliation]
from airflow_provider_mirakl.operators.catalog_manager import MiraklExportProductsOperator
from airflow_provider_mirakl.operators.reconcile import MiraklReconcileProductsOperator

with DAG(
    dag_id="mirakl_weekly_reconciliation",
    description="What is missing, extra and different in the Catalog Manager.",
    schedule="@weekly",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    params={
        "source": Param(
            "s3://aws_default@catalog/products.csv",
            type="string",
            title="Own catalog",
            description_md="NDJSON, JSON or CSV with a column `product_sku` or `sku`.",
        ),
        "folder": Param(
            "s3://aws_default@catalog/reconciliation", type="string", title="Folder of the export"
        ),
        "threshold": Param(20, type="integer", minimum=0, title="Propose a resync above so many products"),
    },
    tags=["mirakl"],
):
    export = MiraklExportProductsOperator(
        task_id="export",
        mirakl_conn_id="mirakl_operator",
        target="{{ params.folder }}/catalog-{{ run_id | replace(':', '-') }}.ndjson",
        deferrable=True,
    )
    reconcile = MiraklReconcileProductsOperator(
        task_id="reconcile",
        source="{{ params.source }}",
        other="{{ ti.xcom_pull(task_ids='export')['target'] }}",
    )

    @task
    def propose(found: dict[str, Any], params: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """Say how to start the resync, whose dry run shows each product; tell a person in the way of your house."""
        import json
        import logging

        if found["resync_products"] <= (params or {})["threshold"]:
            return None
        form = {
            "source": found["resync"],
            "route": "direct",
            "reason": "weekly reconciliation",
            "preview": True,
        }
        logging.getLogger(__name__).warning(
            "%d products are not as they should be. See each of them, and send nothing yet, with:\n"
            "airflow dags trigger mirakl_incident_resync --conf '%s'",
            found["resync_products"],
            json.dumps(form),
        )
        return form

    export >> reconcile
    propose(reconcile.output)
# [END mirakl_weekly_reconciliation]
