"""### Repair products that are stuck between a PIM, DJUST and Mirakl

For the engineer on call: paste the products, see what would happen, run it, and get proof for each product.

**Needs** a connection `mirakl_operator` of type Mirakl with the key of the operator, and for the route `djust` a
connection `djust_default`. Approval by a second person needs Airflow 3.1 and the standard provider 1.13.

**Try it:** `make airflow` (without a clone: `mirakl-sandbox airflow --run`), then *Trigger* with `MKL-021;SKU-021`
and a reason. First leave *Dry run* on, then switch it off: the report shows PENDING before and SYNCHRONIZED after.
"""

from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_mirakl.files.paths import folder_below

# [START mirakl_incident_resync]
from airflow_provider_mirakl.operators.resync import (
    PAIR_PATTERN,
    MiraklReportResyncOperator,
    MiraklResyncProductsOperator,
)
from airflow_provider_mirakl.overlap import is_first_run

MAX_PRODUCTS = 200  # For more, use an import.

# Allowed folders for a file of the form: the work folder, which has the rejects.
SOURCE_FOLDERS = [str(folder_below(None))]
OVERLAP = "queue"  # What a run does while another is running: "queue", it waits; "skip", it does nothing.
APPROVAL = False  # True: a second person approves before anything is sent.

with DAG(
    dag_id="mirakl_incident_resync",
    description="Repair single products, through DJUST or directly, with proof for each product.",
    schedule=None,  # by hand only
    max_active_runs=1 if OVERLAP == "queue" else 16,
    doc_md=__doc__,
    params={
        "products": Param(
            [],
            type=["array", "null"],
            items={"type": "string", "pattern": PAIR_PATTERN},
            title="1. Products",
            description="One per line: mirakl_product_id;product_sku, such as MKL-021;SKU-021. Two columns of a "
            "spreadsheet can be pasted, with or without a header.",
        ),
        "source": Param(
            None,
            type=["null", "string"],
            title="... or a file",
            description="CSV, NDJSON or JSON, such as the rejects of a previous run: "
            "/opt/airflow/mirakl/mirakl_incident_resync/resync/.../rejects.ndjson. It must be in one of the Dag's "
            "SOURCE_FOLDERS.",
        ),
        "route": Param(
            "djust",
            enum=["djust", "direct"],
            title="2. Route",
            description="djust: DJUST triggers CM21. direct: CM21 on the Mirakl instance.",
        ),
        "client": Param(
            None,
            type=["null", "string"],
            title="Mirakl client of DJUST",
            description="Only if DJUST has several: its clientSpecificationId, such as "
            "5f0c8a52-7c1e-4f6b-9d35-2b1a4c6e8f01. Empty: the connection's own, else DJUST resolves it.",
        ),
        "reason": Param(
            type="string",
            minLength=3,
            title="3. Reason",
            description='For the report, such as "stuck since the PIM release".',
        ),
        "ticket": Param(
            None, type=["null", "string"], title="Ticket", description="For the report, such as INC-1234."
        ),
        "preview": Param(
            True,
            type="boolean",
            title="4. Dry run",
            description="On: check the products and show their states; send nothing. Off: send.",
        ),
        "minutes": Param(
            10,
            type="number",
            minimum=0,
            maximum=120,
            title="Minutes to wait for the result",
            description="A product that is not synchronized by then is reported as failed.",
        ),
    },
    tags=["mirakl"],
):

    @task.short_circuit
    def no_other_run(**context: Any) -> bool:
        """Skip the run while another one is running, if ``OVERLAP`` is ``skip``."""
        return OVERLAP == "queue" or is_first_run(context)

    resync: dict[str, Any] = {
        "products": "{{ params.products }}",
        "source": "{{ params.source }}",
        "source_folders": SOURCE_FOLDERS,
        "route": "{{ params.route }}",
        "client_specification_id": "{{ params.client }}",
        "mirakl_conn_id": "mirakl_operator",
        "max_products": MAX_PRODUCTS,
        "timeout": "{{ params.minutes * 60 }}",
        "deferrable": True,
    }
    preview = MiraklResyncProductsOperator(task_id="preview", preview=True, **resync)

    @task.short_circuit(ignore_downstream_trigger_rules=False)
    def is_wanted(params: dict[str, Any] | None = None) -> bool:
        """Stop after the preview of a dry run."""
        return not (params or {})["preview"]

    # The report evaluates the result, so failed items do not fail this task.
    send = MiraklResyncProductsOperator(
        task_id="resync", max_failed_items=None, retries=2, retry_delay=timedelta(minutes=1), **resync
    )
    report = MiraklReportResyncOperator(
        task_id="report",
        previewed=preview.output,
        resynced=send.output,
        about={"reason": "{{ params.reason }}", "ticket": "{{ params.ticket }}"},
        trigger_rule="none_failed",
    )
    wanted = is_wanted()
    no_other_run() >> preview >> wanted >> send >> report
    if APPROVAL:
        from airflow.providers.standard.operators.hitl import ApprovalOperator

        approve = ApprovalOperator(
            task_id="approve",
            subject="Resync of Mirakl products: {{ params.reason }} {{ params.ticket or '' }}",
            body="{{ ti.xcom_pull(task_ids='preview')['planned'] }} products, route {{ params.route }}. The log of "
            "the task `preview` shows each of them.",
            response_timeout=timedelta(hours=4),
            defaults="Reject",
        )
        wanted >> approve >> send
# [END mirakl_incident_resync]
