"""### Archive the documents of every shop of a marketplace

Lists the shops, fetches the documents that the archive does not have yet, one mapped task per shop, and
reports. A failed shop does not stop the others; the report lists it and fails the run.

**Needs** a connection `mirakl_operator` of type Mirakl with the role operator.

**Try it:** `make airflow` (without a clone: `mirakl-sandbox airflow --run`), then *Trigger* twice: the first
run stores three documents per shop in `dags/out/archive`, the second finds that they exist.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_mirakl.operators.shop_documents import MiraklDownloadShopDocumentsOperator

# [START mirakl_kyc_archive]
from airflow_provider_mirakl.operators.shops import MiraklListShopsOperator

# A local path or any object storage that Airflow supports.
EXAMPLES = Path(__file__).resolve().parent

with DAG(
    dag_id="mirakl_kyc_archive",
    description="Archive the documents of every shop; a report names the shops that failed.",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    max_active_runs=1,
    default_args={"retries": 2},
    params={
        "target": Param(
            f"{EXAMPLES}/out/archive",
            type="string",
            title="Archive folder",
            description="A local path, or object storage, such as s3://aws_default@shops/archive.",
        )
    },
    doc_md=__doc__,
    tags=["mirakl"],
):
    shops = MiraklListShopsOperator(task_id="shops", mirakl_conn_id="mirakl_operator")

    # One mapped task for each shop: a failed one neither stops nor repeats the others.
    archive = MiraklDownloadShopDocumentsOperator.partial(
        task_id="archive",
        mirakl_conn_id="mirakl_operator",
        target="{{ params.target }}",
        max_active_tis_per_dagrun=4,
    ).expand(shop_ids=shops.output)

    @task(trigger_rule="all_done", retries=0)
    def report(shop_ids: list[int], archived: Any) -> dict[str, Any]:
        """Log what was archived, and fail if a shop is missing."""
        # A failed task also returns its result, including its failed documents.
        results = [result for result in archived or () if result and not result["failed"]]
        if missing := sorted(set(shop_ids) - {shop for result in results for shop in result["shop_ids"]}):
            raise RuntimeError(f"{len(missing)} of {len(shop_ids)} shops were not archived: {missing}")
        counts = {name: sum(result[name] for result in results) for name in ("stored", "unchanged")}
        return {"shops": len(shop_ids)} | counts

    report(shops.output, archive.output)
# [END mirakl_kyc_archive]
