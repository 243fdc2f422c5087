"""### Extract the orders of Mirakl Connect for a warehouse

Extracts the orders that changed since the previous run as Parquet. The files of a run are in `orders/run_id=...` and
`order_lines/run_id=...` of the target, with the same columns in every run, so a warehouse can load them
or read them in place. Customers' names and addresses are left out.

**Needs** a connection `mirakl_connect_default` of type Mirakl Connect, and
`airflow-provider-mirakl[parquet]`.

**Try it:** `make airflow` (without a clone: `mirakl-sandbox airflow --run`), then *Trigger* twice: the first
run writes five orders to `dags/out/lake`, the second only what changed since. In production, set `schedule="*/5 *
* * *"`.
"""

from pathlib import Path

import pendulum
from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_mirakl.operators.connect_orders import MiraklConnectExtractOrdersOperator

# A local path or any object storage that Airflow supports.
EXAMPLES = Path(__file__).resolve().parent

with DAG(
    dag_id="mirakl_connect_orders_extract",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    max_active_runs=1,  # one extract of a watermark at a time
    default_args={"retries": 3},
    params={
        "target": Param(
            f"{EXAMPLES}/out/lake",
            type="string",
            title="Folder of the files",
            description="A local path, or object storage, such as s3://aws_default@lake/orders.",
        )
    },
    doc_md=__doc__,
    tags=["mirakl", "orders"],
):
    # [START extract]
    MiraklConnectExtractOrdersOperator(
        task_id="extract",
        target="{{ params.target }}",
        format="parquet",
        layout="flat",
        since="2026-01-01T00:00:00Z",
        personal_data="drop",
        deferrable=True,
    )
    # [END extract]
