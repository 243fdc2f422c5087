"""### Extract the listings of a Marketplace to a lake

Orders (OR11), offers (OF21), transaction lines (TL02), invoices (IV01), returns (RT11) and threads of messages (M11),
each as NDJSON; each run begins where the previous one ended. Fields that are known to identify a customer are left
out.

**Needs** a connection `mirakl_shop` of type Mirakl with the role shop.

**Try it:** `make airflow` (without a clone: `mirakl-sandbox airflow --run`), then *Trigger* twice: the first run
writes a few rows of each kind to `dags/out/marketplace`, the second only what changed since. In production, set
`schedule="@daily"`: Mirakl permits IV01 once a day.
"""

from pathlib import Path

import pendulum
from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_mirakl.operators.extract import MiraklExtractOperator

# A local path or any object storage that Airflow supports.
EXAMPLES = Path(__file__).resolve().parent

with DAG(
    dag_id="mirakl_marketplace_extract",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    max_active_runs=1,  # one extract of a watermark at a time
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
    # [START listings]
    for task_id, operation in {
        "orders": "OR11",
        "offers": "OF21",
        "transactions": "TL02",
        "invoices": "IV01",
        "returns": "RT11",
        "threads": "M11",
    }.items():
        MiraklExtractOperator(
            task_id=task_id,
            operation=operation,
            target="{{ params.target }}",
            personal_data="drop",
            deferrable=True,
        )
    # [END listings]
