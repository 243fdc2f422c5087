"""Reports of what your own system did with orders (v2-reportOrderActions): their rows, and how many were sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from airflow_provider_mirakl.actions.book import plan_hash, read_plan, write_plan
from airflow_provider_mirakl.actions.rows import Column, Row, moment, text, word
from airflow_provider_mirakl.api.call import Call, Operation
from airflow_provider_mirakl.api.orders import (
    MAX_REPORTED_ACTIONS,
    REPORT_ERRORS,
    REPORT_ORDER_ACTIONS,
    REPORT_STATUSES,
    REPORT_TYPES,
    report_order_actions,
)
from airflow_provider_mirakl.exceptions import MiraklInputError, MiraklNoteError, duration
from airflow_provider_mirakl.files.notes import Note, NoteKind
from airflow_provider_mirakl.files.storage import StoragePath

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


class Reported(msgspec.Struct):
    """``reports.json``.

    :param rows: hash of the rows.
    :param count: how many of them were sent.
    :param action_ids: the ids under which Connect keeps them.
    :param last_call_at: time of the last call that succeeded, UTC.
    """

    rows: str
    count: int = 0
    action_ids: list[str] = msgspec.field(default_factory=list)
    last_call_at: datetime | None = None


REPORTED = NoteKind(
    file="reports.json",
    holds="which reports a task has sent",
    type=Reported,
    damaged="stop",
    fix="Remove it to send all reports again; Connect then shows reports twice that were already sent.",
)


class ReportWork:
    """Sends the rows that were not sent yet, as many in a call as Mirakl accepts.

    :param rows: all rows.
    :param sent: how many of them were sent.
    :param note: keeps ``sent``.
    """

    not_before: datetime | None = None

    def __init__(self, rows: Sequence[Row], sent: Reported, note: Note[Reported]) -> None:
        self._rows, self.sent, self._note = rows, sent, note

    @property
    def last_call_at(self) -> datetime | None:
        """Time of the last call."""
        return self.sent.last_call_at

    @property
    def operation(self) -> Operation | None:
        """v2-reportOrderActions; ``None`` when all rows are sent."""
        return REPORT_ORDER_ACTIONS if self.sent.count < len(self._rows) else None

    @property
    def is_current(self) -> bool:
        """Whether no other process has sent rows meanwhile; if one has, the work goes on from there."""
        kept = self._note.read()
        if kept is None or kept.rows != self.sent.rows or kept.count <= self.sent.count:
            return True
        self.sent = kept
        return False

    @property
    def position(self) -> dict[str, Any]:
        """The number of rows that were sent, and of all."""
        return {"reported": self.sent.count, "rows": len(self._rows)}

    def next_call(self) -> Call[list[str]] | None:
        """The next rows."""
        return report_order_actions(_actions(self._next)) if self._next else None

    def intend(self) -> None:
        """Do nothing: after a lost reply the rows are sent again."""

    def withdraw(self) -> None:
        """Do nothing."""

    def accept(self, result: list[str], at: datetime) -> None:
        """Note the rows as sent."""
        sent = self.sent
        now = Reported(sent.rows, sent.count + len(self._next), [*sent.action_ids, *result], at)
        self._note.write(now)
        self.sent = now

    def describe(self, interval: float) -> str:
        """Such as ``Reported 300 of 1,000, 7 min left``."""
        count, total = self.sent.count, len(self._rows)
        calls = -(-(total - count) // MAX_REPORTED_ACTIONS)
        left = f", {duration(calls * interval)} left" if calls else ""
        return f"Reported {count:,} of {total:,}{left}"

    @property
    def _next(self) -> Sequence[Row]:
        return self._rows[self.sent.count : self.sent.count + MAX_REPORTED_ACTIONS]


def begun(note: Note[Reported], folder: StoragePath, rows: Sequence[Row]) -> ReportWork:
    """The work of a try that begins: what a previous try has not sent.

    :param note: says what was sent.
    :param folder: the folder of the task, which keeps the rows: a source may change while the task waits.
    :param rows: the rows of the source, valid. Once some were sent, their copy counts, as for all tries of a task.
    :raises MiraklInputError: the copy is lost, and the source has changed since rows were sent.
    """
    sent = note.read()
    if sent is not None and sent.count:
        return taken_up(note, folder, lambda: rows)
    sent = Reported(plan_hash([rows]))
    note.write(sent)
    write_plan(folder, [rows])
    return ReportWork(rows, sent, note)


def taken_up(note: Note[Reported], folder: StoragePath, read: Callable[[], Sequence[Row]]) -> ReportWork:
    """The work after a wait in the triggerer, maybe on another disk.

    :param read: reads and checks the source again, if the folder no longer has its rows.
    :raises MiraklNoteError: it is not known what was sent.
    :raises MiraklInputError: the rows are lost, and the source has changed.
    """
    sent = note.read()
    if sent is None:
        raise MiraklNoteError(
            f"{note.path} is missing, so it is not known which rows were reported. Set [mirakl] work_folder to storage "
            "that every worker can access. Clear the task to report all rows; Connect may show some of them twice",
            path=str(note.path),
        )
    kept = read_plan(folder, sent.rows)
    rows = read() if kept is None else kept[0]
    if kept is None and plan_hash([rows]) != sent.rows:
        raise MiraklInputError(
            f"source has changed after {sent.count:,} of its rows were reported, and their copy in {folder} is "
            "missing. Set [mirakl] work_folder to storage that every worker can access. Clear the task to report the "
            "new rows"
        )
    return ReportWork(rows, sent, note)


def _actions(rows: Sequence[Row]) -> list[Row]:
    """The actions of a call, as Mirakl accepts them."""
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return [
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
        for row in rows
    ]
