"""The report of a repair for a ticket: the result of each product, as Markdown."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from airflow_provider_mirakl.files.storage import StoragePath, write_bytes

COLUMNS = ("mirakl_product_id", "product_sku", "before", "after", "status", "code", "message")
COUNTS = ("planned", "succeeded", "failed", "unknown")
REPORT_FILE = "report.md"

log = logging.getLogger(__name__)


def write_report(
    result: Mapping[str, Any], rows: StoragePath, folder: StoragePath, about: Mapping[str, Any]
) -> tuple[StoragePath, str]:
    """Write the report of a repair or of its preview.

    :param result: the result of a repair operator.
    :param rows: its file with a line for each product.
    :param folder: the folder of ``report.md``.
    :param about: entries for the top, by name: reason, ticket, run.
    :return: the file and its text.
    """
    products = [json.loads(line) for line in rows.read_bytes().splitlines()]
    lines = [
        "# Resync of products" + (": preview, nothing was sent" if result["preview"] else ""),
        "",
        *(f"- {name}: {_cell(value) or '-'}" for name, value in {**about, "route": result["route"]}.items()),
        *(f"- {name}: {result[name]}" for name in COUNTS),
        f"- input for the next run: {result['rejects'] or '-'}",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|" + "---|" * len(COLUMNS),
        *("| " + " | ".join(_cell(row.get(name)) for name in COLUMNS) + " |" for row in products),
    ]
    text = "\n".join(lines) + "\n"
    file = folder / REPORT_FILE
    write_bytes(file, text.encode())
    return file, text


def proposal(found: Mapping[str, Any], threshold: int | str, dag_id: str) -> dict[str, Any] | None:
    """Fill the form of the Dag ``mirakl_incident_resync`` from a reconciliation; the log shows how to trigger it.

    :param found: the result of :class:`~airflow_provider_mirakl.operators.reconcile.MiraklReconcileProductsOperator`.
    :param threshold: number of products up to which nothing is done; also as the text of a template.
    :param dag_id: the Dag that repairs.
    :return: the form, with the dry run on; ``None`` where no more than ``threshold`` products could be repaired.
    """
    if found["resync_products"] <= int(threshold):
        return None
    form = {"source": found["resync"], "route": "direct", "reason": "weekly reconciliation", "preview": True}
    log.warning(
        "%d products differ from what they should be. To list them without sending anything, run:\n"
        "airflow dags trigger %s --conf '%s'",
        found["resync_products"],
        dag_id,
        json.dumps(form),
    )
    return form


def _cell(value: object) -> str:
    """A value as one cell, without line breaks and bars."""
    return " ".join(str(value or "").split()).replace("|", "\\|")
