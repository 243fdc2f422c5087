"""Reports of what your own system did with orders (v2-reportOrderActions): their rows, and how many were sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import msgspec

from airflow_provider_mirakl.actions.rows import Column, Row, moment, text, word
from airflow_provider_mirakl.api.orders import (
    MAX_REPORTED_ACTIONS,
    REPORT_ERRORS,
    REPORT_STATUSES,
    REPORT_TYPES,
)
from airflow_provider_mirakl.files.notes import NoteKind

COLUMNS = {
    "order_id": Column(text, required=True),
    "status": Column(word(*REPORT_STATUSES), required=True),
    "executed_at": Column(moment),
    "error_code": Column(word(*REPORT_ERRORS)),
    "error_message": Column(text),
    "type": Column(word(*REPORT_TYPES)),
}


def wrong(row: Row) -> str | None:
    """What is wrong with a row whose cells are right."""
    has_error = "error_code" in row and "error_message" in row
    if row["status"] == "FAILED" and not has_error:
        return "a row that is FAILED needs error_code and error_message"
    if row["status"] == "SUCCESS" and ("error_code" in row or "error_message" in row):
        return "error_code and error_message belong to a row that is FAILED"
    return None


def batches(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """The actions of each call, as Mirakl accepts them."""
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    for start in range(0, len(rows), MAX_REPORTED_ACTIONS):
        yield [
            {
                "type": row.get("type", REPORT_TYPES[0]),
                "entity_type": "ORDER",
                "entity_id": row["order_id"],
                "status": row["status"],
                "executed_at": row.get("executed_at", now),
            }
            | (
                {"errors": [{"code": row["error_code"], "message": row["error_message"]}]}
                if "error_code" in row
                else {}
            )
            for row in rows[start : start + MAX_REPORTED_ACTIONS]
        ]


class Reported(msgspec.Struct):
    """``reports.json``.

    :param rows: hash of the rows.
    :param count: how many of them were sent.
    :param action_ids: the ids under which Connect keeps them.
    """

    rows: str
    count: int = 0
    action_ids: list[str] = msgspec.field(default_factory=list)


REPORTED = NoteKind(
    file="reports.json",
    holds="which reports a task has sent",
    type=Reported,
    damaged="stop",
    fix="Remove it to send all reports again; Connect then shows reports twice that were already sent.",
)
