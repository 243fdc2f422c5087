r"""Repair products that are stuck between a PIM, DJUST and Mirakl: started by hand, with a form, a preview and proof.

Needs a connection ``mirakl_operator`` of type Mirakl with the key of the operator and, for the route DJUST, a
connection ``djust_default``. On Airflow 3.1 and later a second person can be asked for approval.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, AirflowFailException, Param, task

from airflow_provider_mirakl.files.paths import folder_below

# [START mirakl_incident_resync]
from airflow_provider_mirakl.operators.resync import MiraklResyncProductsOperator

log = logging.getLogger(__name__)

MAX_PRODUCTS = 200  # More than an incident has: bulk belongs to the import.
SOURCE_FOLDERS = [str(folder_below(None))]  # What a form may name: files of the work folder, such as rejects.
OVERLAP = "queue"  # What a run does while another goes on: "queue", it waits; "skip", it does nothing.
APPROVAL = False  # True: a second person approves before anything is sent. Needs Airflow 3.1, standard provider 1.13.

with DAG(
    dag_id="mirakl_incident_resync",
    description="Repair single products, through DJUST or directly, with proof per product.",
    schedule=None,  # by hand only
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1 if OVERLAP == "queue" else 16,
    doc_md=__doc__,
    params={
        "products": Param(
            [],
            type=["array", "null"],
            items={
                "type": "string",
                "pattern": r"^(\s*|[^;,\t]*[^;,\t\s][^;,\t]*[;,\t][^;,\t]*[^;,\t\s][^;,\t]*)$",
            },
            title="Products",
            description_md="One a line: `mirakl_product_id;product_sku`. Two columns of a spreadsheet can be pasted, "
            "with their heading or without.",
        ),
        "source": Param(
            None,
            type=["null", "string"],
            title="or a file",
            description_md="CSV, NDJSON or JSON: a path or an object storage address, such as the `rejects` of a "
            "previous run or the output of a reconciliation. It has to lie in one of the Dag's `SOURCE_FOLDERS`.",
        ),
        "route": Param(
            "djust",
            enum=["djust", "direct"],
            title="Route",
            description_md="`djust`: DJUST triggers CM21. `direct`: CM21 on the Mirakl instance.",
        ),
        "client": Param(
            None,
            type=["null", "string"],
            title="Mirakl client of DJUST",
            description_md="`clientSpecificationId`, a UUID. Empty: the connection's own, else DJUST resolves it.",
        ),
        "reason": Param(type="string", minLength=3, title="Reason"),
        "ticket": Param(None, type=["null", "string"], title="Ticket"),
        "preview": Param(
            True,
            type="boolean",
            title="Dry run",
            description_md="Check the products and show their states; send nothing.",
        ),
        "proof_minutes": Param(
            10, type="number", minimum=0, maximum=120, title="Minutes to wait for proof (route djust)"
        ),
    },
    tags=["mirakl"],
):

    @task.short_circuit
    def no_other_run(**context: Any) -> bool:
        """Skip everything while another run goes on, where the overlap rule says so."""
        from airflow_provider_mirakl.overlap import former_run_goes_on

        if OVERLAP == "queue" or not former_run_goes_on(context):
            return True
        log.warning(
            "Another run goes on: this one does nothing. Trigger the Dag again when that run has ended."
        )
        return False

    @task
    def read_form(params: dict[str, Any] | None = None) -> str:
        """Take the products out of the form: pasted lines, or the path of a file."""
        form = params or {}
        lines = [line for line in form["products"] or [] if line.strip()]
        source = (form["source"] or "").strip()
        if bool(lines) == bool(source):
            raise AirflowFailException("Fill in either Products or a file" + (", not both" if lines else ""))
        # A line end behind the last one: a single line is products too, and not a path.
        return source or "".join(f"{line}\n" for line in lines)

    products = read_form()
    repair: dict[str, Any] = {
        "products": products,
        "source_folders": SOURCE_FOLDERS,
        "route": "{{ params.route }}",
        "client_specification_id": "{{ params.client or '' }}",
        "mirakl_conn_id": "mirakl_operator",
        "max_products": MAX_PRODUCTS,
        "proof_timeout": "{{ params.proof_minutes * 60 }}",
        "deferrable": True,
    }
    preview = MiraklResyncProductsOperator(task_id="preview", preview=True, **repair)

    @task.branch
    def decide(params: dict[str, Any] | None = None) -> str:
        """Send nothing on a dry run."""
        if (params or {})["preview"]:
            return "report"
        return "approve" if APPROVAL else "resync"

    resync = MiraklResyncProductsOperator(
        task_id="resync",
        max_failed_items=None,  # the report judges
        trigger_rule="none_failed_min_one_success",
        retries=2,
        retry_delay=timedelta(minutes=1),
        **repair,
    )

    @task(trigger_rule="none_failed", multiple_outputs=False)  # Airflow 3.0 stores no output that is None
    def report(
        previewed: dict[str, Any],
        repaired: dict[str, Any] | None,
        params: dict[str, Any] | None = None,
        run_id: str | None = None,
    ) -> dict[str, Any]:
        """Write what became of each product, for the ticket; fail where a product failed."""
        import json

        from airflow_provider_mirakl.files.paths import storage_path

        form, result = params or {}, repaired or previewed
        rows = [
            json.loads(line)
            for path in result["rows"]
            for line in storage_path(path).read_bytes().decode().splitlines()
        ]
        columns = ("mirakl_product_id", "product_sku", "before", "after", "status", "code", "message")
        counts = {name: result[name] for name in ("products", "succeeded", "failed", "unknown")}
        lines = [
            "# Resync of products" + ("" if repaired else ": preview, nothing was sent"),
            "",
            *(f"- {name}: {form[name] or '-'}" for name in ("reason", "ticket", "route")),
            f"- run: {run_id}",
            *(f"- {name}: {count}" for name, count in counts.items()),
            f"- input of a next run: {result['rejects'] or '-'}",
            "",
            "| " + " | ".join(columns) + " |",
            "|" + "---|" * len(columns),
            *(
                "| " + " | ".join(str(row.get(name) or "").replace("|", "\\|") for name in columns) + " |"
                for row in rows
            ),
        ]
        text = "\n".join(lines) + "\n"
        file = storage_path(result["folder"]) / "report.md"
        file.write_text(text)
        log.info("%s\n%s", file, text)
        if counts["failed"]:
            raise AirflowFailException(
                f"{counts['failed']} of {counts['products']} products failed; {file} lists them, and "
                f"{result['rejects'] or 'the same input'} is input of a next run"
            )
        return counts | {"report": str(file), "rejects": result["rejects"], "sent": bool(repaired)}

    decision = decide()
    final = report(preview.output, resync.output)
    no_other_run() >> products
    preview >> decision >> [resync, final]
    if APPROVAL:
        from airflow.providers.standard.operators.hitl import ApprovalOperator

        approve = ApprovalOperator(
            task_id="approve",
            subject="Resync of Mirakl products: {{ params.reason }} {{ params.ticket or '' }}",
            body="{{ ti.xcom_pull(task_ids='preview')['products'] }} products, route {{ params.route }}. The log of "
            "the task `preview` shows each of them.",
            response_timeout=timedelta(hours=4),
            defaults="Reject",
        )
        decision >> approve >> resync
# [END mirakl_incident_resync]
