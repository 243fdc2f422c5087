"""### Wait for a product import that was started elsewhere

The import may come from the back office, another tool, or a task that was killed: the sensor waits for its end
without a worker, and returns the results of its lines.

**Needs** a connection `mirakl_default` of type Mirakl, with the key of a shop.

**Try it:** `make airflow` (without a clone: `mirakl-sandbox airflow --run`), trigger `mirakl_product_import`,
then this one. The form's default, 2001, is the first import of a sandbox, of products or offers; if it is another one,
enter the id from the log of `mirakl_product_import`.
"""

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG, Param

# [START mirakl_import_sensor]
from airflow_provider_mirakl.sensors.jobs import MiraklProductImportSensor

with DAG(
    dag_id="mirakl_import_sensor",
    description="Wait for a product import that was started elsewhere.",
    schedule=None,
    params={
        "import_id": Param(
            2001, type="integer", title="Import id", description="As Mirakl shows it, such as 2001."
        )
    },
    doc_md=__doc__,
    tags=["mirakl"],
):
    MiraklProductImportSensor(
        task_id="wait_for_import",
        job_ids="{{ params.import_id }}",
        until="complete",
        timeout=timedelta(days=3),
        max_failed_items=None,
        deferrable=True,
    )
# [END mirakl_import_sensor]
