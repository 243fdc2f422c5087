"""### Accept the new returns of Mirakl Connect

Lists the new returns, writes them to files, and accepts every return, with an outcome for
each.

**Needs** a connection `mirakl_connect_default` of type Mirakl Connect.

**Try it:** `make airflow` (without a clone: `mirakl-sandbox airflow --run`), then *Trigger*: the sandbox
starts with two returns. In production, set `schedule="*/15 * * * *"`.
"""

import json
from pathlib import Path
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_mirakl.operators.connect_returns import (
    MiraklConnectAcceptReturnsOperator,
    MiraklConnectExtractReturnsOperator,
)

# A local path or any object storage that Airflow supports.
EXAMPLES = Path(__file__).resolve().parent

with DAG(
    dag_id="mirakl_connect_returns",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    max_active_runs=1,
    default_args={"retries": 3},
    params={
        "target": Param(
            f"{EXAMPLES}/out/returns",
            type="string",
            title="Folder of the files",
            description="A local path, or object storage, such as s3://aws_default@lake/returns.",
        )
    },
    doc_md=__doc__,
    tags=["mirakl", "returns"],
):
    # [START returns]
    extract = MiraklConnectExtractReturnsOperator(
        task_id="extract",
        target="{{ params.target }}",
        statuses="REQUEST_INITIATED",
        personal_data="drop",
        deferrable=True,
    )

    @task.short_circuit
    def to_accept(extracted: dict[str, Any]) -> list[dict[str, str]]:
        """The ids of the new returns; skips the task if there are none."""
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        file = extracted["files"].get("returns")
        rows = ObjectStoragePath(file).read_text().splitlines() if file else []
        return [{"return_id": json.loads(row)["id"]} for row in rows]

    MiraklConnectAcceptReturnsOperator(task_id="accept", source=to_accept(extract.output), deferrable=True)
    # [END returns]
