"""The report of a repair for a ticket: what became of each product, as Markdown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from airflow_provider_mirakl.files.storage import StoragePath, write_bytes

COLUMNS = ("mirakl_product_id", "product_sku", "before", "after", "status", "code", "message")
COUNTS = ("products", "succeeded", "failed", "unknown")
REPORT_FILE = "report.md"


def write_report(
    result: Mapping[str, Any], rows: StoragePath, folder: StoragePath, about: Mapping[str, Any]
) -> tuple[StoragePath, str]:
    """Write the report of a repair or of its preview.

    :param result: as the operators of a repair return it.
    :param rows: its file with a line for each product.
    :param folder: where ``report.md`` goes.
    :param about: what stands at the top, by name: reason, ticket, run.
    :return: the file and its text.
    """
    products = [json.loads(line) for line in rows.read_bytes().decode().splitlines()]
    lines = [
        "# Resync of products" + (": preview, nothing was sent" if result["preview"] else ""),
        "",
        *(f"- {name}: {_cell(value) or '-'}" for name, value in {**about, "route": result["route"]}.items()),
        *(f"- {name}: {result[name]}" for name in COUNTS),
        f"- input of a next run: {result['rejects'] or '-'}",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|" + "---|" * len(COLUMNS),
        *("| " + " | ".join(_cell(row.get(name)) for name in COLUMNS) + " |" for row in products),
    ]
    text = "\n".join(lines) + "\n"
    file = folder / REPORT_FILE
    write_bytes(file, text.encode())
    return file, text


def _cell(value: object) -> str:
    """A value in one cell: a line break or a bar would end it."""
    return " ".join(str(value or "").split()).replace("|", "\\|")
