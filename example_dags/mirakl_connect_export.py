"""### Write the whole catalog of Mirakl Connect to a file

Reads the catalog page by page at the pace that Mirakl permits, and writes it as NDJSON. A run that was killed
continues with the page where it stopped.

**Needs** a connection `mirakl_connect_default` of type Mirakl Connect.

**Try it:** `make airflow` (without a clone: `mirakl-sandbox airflow --run`), then *Trigger*: the file is in
`dags/out/exports`.
"""

from datetime import UTC, datetime
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, Param

# [START mirakl_connect_export]
from airflow_provider_mirakl.operators.connect import MiraklConnectExportCatalogOperator

# A local path or any object storage that Airflow supports.
EXAMPLES = Path(__file__).resolve().parent

with DAG(
    dag_id="mirakl_connect_export",
    description="Write the whole catalog of Mirakl Connect to a file.",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    default_args={"retries": 2},
    params={
        "folder": Param(
            f"{EXAMPLES}/out/exports",
            type="string",
            title="Folder to write to",
            description="A local path, or object storage, such as s3://aws_default@catalog/exports.",
        )
    },
    doc_md=__doc__,
    tags=["mirakl"],
):
    MiraklConnectExportCatalogOperator(
        task_id="export",
        target="{{ params.folder }}/{{ run_id | replace(':', '-') }}.ndjson",
        deferrable=True,
    )
# [END mirakl_connect_export]
