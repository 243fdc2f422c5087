"""### Upload the documents in a folder that the shop does not have yet

The name of a file, without its extension, is the code of its type, such as `BANK_DETAILS.pdf`. Documents
that the shop already has are skipped, so the Dag may run as often as you like.

**Needs** a connection `mirakl_shop` of type Mirakl with the role shop.

**Try it:** `make airflow` (without a clone: `mirakl-sandbox airflow --run`), then *Trigger*: of three
documents two are new.
"""

from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, Param, task

# [START mirakl_upload_shop_documents]
from airflow_provider_mirakl.operators.shop_documents import MiraklUploadShopDocumentsOperator

# Small files come with the example. Yours may be a local path or any object storage that Airflow supports.
EXAMPLES = Path(__file__).resolve().parent

with DAG(
    dag_id="mirakl_upload_shop_documents",
    description="Upload the documents that a shop does not have yet.",
    schedule=None,
    max_active_runs=1,
    default_args={"retries": 2},
    params={
        "folder": Param(
            f"{EXAMPLES}/data/documents",
            type="string",
            title="Folder",
            description="A local path, or object storage, such as s3://aws_default@shop/documents.",
        ),
        "shop_id": Param(
            None,
            type=["integer", "null"],
            title="Shop id",
            description="Number of the shop, such as 2000. Empty: the default shop.",
        ),
    },
    doc_md=__doc__,
    tags=["mirakl"],
):

    @task
    def find_documents(folder: str) -> list[dict[str, str]]:
        """Every file of the folder, with the type from its name."""
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        files = sorted(file for file in ObjectStoragePath(folder).iterdir() if file.is_file())
        return [{"path": str(file), "type_code": file.stem} for file in files]

    MiraklUploadShopDocumentsOperator(
        task_id="upload",
        mirakl_conn_id="mirakl_shop",
        documents=find_documents("{{ params.folder }}"),
        shop_id="{{ params.shop_id or '' }}",
        if_exists="skip",
        check_codes=True,
    )
# [END mirakl_upload_shop_documents]
