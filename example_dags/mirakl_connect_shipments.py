"""### Post the shipments in a carrier's file to Mirakl Connect

Reads a CSV file, posts a shipment for each order, and returns an outcome for every row. Up to 5 % of the rows
may fail. A shipment that may already have been posted is not posted again: the run stops, and you check Mirakl
Connect. If the parcels are not there, set the Airflow Variable `mirakl_on_unclear` to `resend`, clear the task, and
delete the Variable afterwards. Do not trigger another run with the same file: it would post every shipment again.

**Needs** a connection `mirakl_connect_default` of type Mirakl Connect.

**Try it:** `make airflow` (without a clone: `mirakl-sandbox airflow --run`), then *Trigger*: the file ships
three of the five orders of the sandbox.
"""

from pathlib import Path

import pendulum
from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_mirakl.operators.connect_orders import MiraklConnectShipOrdersOperator

# A local path or any object storage that Airflow supports.
EXAMPLES = Path(__file__).resolve().parent

with DAG(
    dag_id="mirakl_connect_shipments",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    default_args={"retries": 3},
    params={
        "file": Param(
            f"{EXAMPLES}/data/shipments.csv",
            type="string",
            title="The carrier's file",
            description="CSV, a row for each parcel, such as s3://aws_default@carrier/shipments.csv.",
        ),
    },
    doc_md=__doc__,
    tags=["mirakl", "orders"],
):
    # [START ship]
    # order_id;order_line_id;quantity;carrier;tracking_number
    # 0002_3202630-A;0002_3202630-A-1;2;UPS;1Z999AA10123456784
    MiraklConnectShipOrdersOperator(
        task_id="ship",
        source="{{ params.file }}",
        max_orders=500,
        max_failed_ratio=0.05,
        # After a lost reply. A cleared task keeps the parameters of its run, but reads Variables again.
        on_unclear="{{ var.value.get('mirakl_on_unclear', 'fail') }}",
        deferrable=True,
    )
    # [END ship]
