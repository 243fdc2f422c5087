"""### Start the review of a shop as soon as its documents are complete

Waits up to two weeks, without a worker, until a shop has uploaded every required document; then
fetches them and starts the review.

**Needs** a connection `mirakl_operator` of type Mirakl with the role operator.

**Try it:** `make airflow` (without a clone: `mirakl-sandbox airflow --run`), then *Trigger*: every shop of
the sandbox has the three documents. With `INSURANCE` as a fourth type it waits until
`mirakl_upload_shop_documents` has uploaded it.
"""

from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

# [START mirakl_shop_review]
from airflow_provider_mirakl.operators.shop_documents import MiraklDownloadShopDocumentsOperator
from airflow_provider_mirakl.sensors.shop_documents import MiraklShopDocumentsSensor

# A local path or any object storage that Airflow supports.
EXAMPLES = Path(__file__).resolve().parent

with DAG(
    dag_id="mirakl_shop_review",
    description="Start the review of a shop as soon as its documents are complete.",
    schedule=None,
    default_args={"retries": 2},
    params={
        "shop_id": Param(
            2000, type="integer", title="Shop id", description="Number of the shop in Mirakl, such as 2000."
        ),
        "type_codes": Param(
            ["BUSINESS_REGISTRATION", "IDENTITY_PROOF", "BANK_DETAILS"],
            type="array",
            items={"type": "string"},
            title="Required documents",
            description="Types of documents that the shop must have, one per line, such as IDENTITY_PROOF.",
        ),
        "target": Param(
            f"{EXAMPLES}/out/review",
            type="string",
            title="Folder for the documents",
            description="A local path, or object storage, such as s3://aws_default@shops/review.",
        ),
    },
    doc_md=__doc__,
    tags=["mirakl"],
):
    complete = MiraklShopDocumentsSensor(
        task_id="complete",
        mirakl_conn_id="mirakl_operator",
        shop_ids="{{ params.shop_id }}",
        type_codes="{{ params.type_codes | join(',') }}",
        deferrable=True,
        poke_interval=15 * 60,
        timeout=14 * 24 * 3600,
    )
    fetch = MiraklDownloadShopDocumentsOperator(
        task_id="fetch",
        mirakl_conn_id="mirakl_operator",
        shop_ids="{{ params.shop_id }}",
        type_codes="{{ params.type_codes | join(',') }}",
        target="{{ params.target }}",
    )

    @task
    def start_review(found: dict[str, Any], fetched: dict[str, Any]) -> dict[str, Any]:
        """Notify the reviewers: a ticket, a message, another Dag."""
        kinds = sorted(document["type"] for document in found["documents"])
        return {"shop_ids": fetched["shop_ids"], "types": kinds, "manifests": fetched["manifests"]}

    complete >> fetch
    start_review(complete.output, fetch.output)
# [END mirakl_shop_review]
