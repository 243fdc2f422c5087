"""### Export the orders and transaction lines of a Marketplace

In the background (OR13 to OR15, TL03 to TL05), as Mirakl recommends for many rows: each run writes what changed since
the previous one to its own file.

**Needs** a connection `mirakl_shop` of type Mirakl with the role shop.

**Try it:** `make airflow` (without a clone: `mirakl-sandbox airflow --run`), then *Trigger*: the run writes a few rows
to `dags/out/marketplace`. In production, set `schedule="@daily"`: Mirakl permits transaction lines once a day.
"""

from pathlib import Path

import pendulum
from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_mirakl.operators.accounting import MiraklExportTransactionsOperator
from airflow_provider_mirakl.operators.orders import MiraklExportOrdersOperator

# A local path or any object storage that Airflow supports.
EXAMPLES = Path(__file__).resolve().parent

with DAG(
    dag_id="mirakl_marketplace_exports",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    max_active_runs=1,  # one export of a watermark at a time
    default_args={"retries": 3, "mirakl_conn_id": "mirakl_shop"},
    params={
        "target": Param(
            f"{EXAMPLES}/out/marketplace",
            type="string",
            title="Folder of the files",
            description="A local path, or object storage, such as s3://aws_default@lake/marketplace.",
        )
    },
    doc_md=__doc__,
    tags=["mirakl", "orders"],
):
    # [START exports]
    MiraklExportOrdersOperator(
        task_id="orders_export",
        target="{{ params.target }}/orders-{{ run_id | replace(':', '') }}.ndjson",
        changes_only=True,
        deferrable=True,
    )
    MiraklExportTransactionsOperator(
        task_id="transactions_export",
        target="{{ params.target }}/transactions-{{ run_id | replace(':', '') }}.ndjson",
        changes_only=True,
        deferrable=True,
    )
    # [END exports]
