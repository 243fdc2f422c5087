"""The actions of one task, from their rows to the outcome of each. Plain Python: it takes a client.

Each action is asynchronous. Its intent is noted before the call and its id immediately after it, so that a retry, a
crash or a lost worker never accepts, ships or refunds twice. See the table of :mod:`~.book`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_mirakl.actions.attachments import MakePath
from airflow_provider_mirakl.actions.book import (
    BUSY,
    ActionEntry,
    Content,
    Senders,
    plan_hash,
    read_plan,
    write_plan,
)
from airflow_provider_mirakl.actions.rows import Row, checked
from airflow_provider_mirakl.actions.shown import BATCH
from airflow_provider_mirakl.actions.table import ActionKind, is_proven
from airflow_provider_mirakl.api.paging import LONGEST_WAIT
from airflow_provider_mirakl.exceptions import (
    MiraklBadRequestError,
    MiraklError,
    MiraklInputError,
    MiraklJobTimeoutError,
    MiraklNotFoundError,
    MiraklReplyError,
    MiraklServerError,
    MiraklTransportError,
    MiraklUnclearSubmissionError,
    Problem,
)
from airflow_provider_mirakl.files.notes import Note
from airflow_provider_mirakl.files.storage import StoragePath
from airflow_provider_mirakl.log_groups import log_lines
from airflow_provider_mirakl.outcome import ItemResult, Outcome, OutcomeWriter, Status

if TYPE_CHECKING:
    from airflow_provider_mirakl.client.http import Client

T = TypeVar("T")

log = logging.getLogger(__name__)

_STATUSES: dict[str, Status] = {"done": "succeeded", "failed": "failed"}
"""What the phase of an action says of its rows; other phases say nothing yet."""


class ActionRun:
    """Carries out the actions of one task.

    :param kind: what they do.
    :param folder: the folder of the plan and the outcome.
    :param note: stores the book.
    :param make_path: makes a path of the name of a file that is attached.
    """

    def __init__(
        self, kind: ActionKind, folder: StoragePath, note: Note[Content], make_path: MakePath
    ) -> None:
        self._kind = kind
        self._folder = folder
        self._note = note
        self._make_path = make_path
        self._book = Content()
        self._groups: list[list[Row]] = []

    # Planning

    def begin(
        self,
        read: Callable[[], list[list[Row]]],
        *,
        may_have_sent: bool,
        count: int = 0,
        is_new: bool = True,
    ) -> None:
        """Open the book, and plan the rows of each action: those of a previous try if it sent any.

        The book is written before anything else, so that a lost book differs from none.

        :param read: reads and checks the rows.
        :param may_have_sent: whether a previous try may have sent actions: then the book must be there.
        :param count: how many actions the book must have at least: a worker that this task has left may have an older
            book on its disk.
        :param is_new: whether a missing book may be written. A preview that may have lost one must not: the empty book
            would say to a later try that nothing was sent.
        :raises MiraklUnclearSubmissionError: the book of a previous try is missing or older, or its plan is missing,
            and the rows have changed.
        """
        book = self._note.read()
        if (book is None and may_have_sent) or (book is not None and len(book.entries) < count):
            raise self._lost()
        is_noted = book is not None or is_new
        if book is None:
            book = Content()
            if is_new:
                self._note.write(book)
        self._book = book
        kept = read_plan(self._folder, book.plan) if book.entries else None
        if kept is not None:
            log.info("Continuing with the rows that were planned; %d actions were sent", len(book.entries))
            self._groups = kept
            return
        self._groups = read()
        if book.entries and plan_hash(self._groups) != book.plan:
            raise self._unclear(
                f"This task has sent {len(book.entries)} actions for other rows, and the plan in {self._folder} is "
                "missing. Check which orders were changed, and send the others in another Dag run",
                final=True,
            )
        write_plan(self._folder, self._groups)
        book.plan = plan_hash(self._groups)
        if is_noted:
            self._note.write(book)

    def retry_busy(self) -> None:
        """Forget the actions that failed in a previous try because Mirakl was busy, so that they are sent again."""
        entries = self._book.entries
        for place in [place for place, entry in entries.items() if entry.phase == "failed"]:
            if entries[place].code in BUSY:
                del entries[place]
        self._note.write(self._book)

    def take_up(self) -> None:
        """Continue after the triggerer has waited for the actions, all of which were sent before.

        :raises MiraklUnclearSubmissionError: the book or the plan is missing, or the book is older.
        """
        book = self._note.read()
        groups = None if book is None else read_plan(self._folder, book.plan)
        if book is None or groups is None or len(book.entries) < len(groups):
            raise self._lost()
        self._book, self._groups = book, groups

    def preview(self) -> dict[str, Any]:
        """Log what would be sent, without sending it."""
        kind, rows = self._kind, sum(map(len, self._groups))
        log_lines(
            log.info,
            f"Preview: {len(self._groups):,} actions, {rows:,} rows; nothing was sent",
            [f"{kind.title} of {', '.join(map(kind.item_id, group))}" for group in self._groups],
        )
        return Outcome().summary() | {
            "planned": rows,
            "orders": len(self._groups),
            "folder": str(self._folder),
        }

    # Sending

    @property
    def action_ids(self) -> list[str]:
        """Mirakl's ids of the actions that were sent."""
        return [entry.action_id for entry in self._book.entries.values() if entry.action_id]

    @property
    def pending(self) -> list[str]:
        """Mirakl's ids of the actions that are not known to have ended."""
        return [
            entry.action_id
            for entry in self._book.entries.values()
            if entry.phase == "submitted" and entry.action_id
        ]

    @property
    def progress(self) -> tuple[int, int]:
        """How many actions were sent or refused, and how many there are."""
        return len(self._book.entries), len(self._groups)

    def send(self, client: Client, senders: Senders, *, resend: bool, patience: float | None) -> None:
        """Send what was not sent.

        If an action adds something, its orders are read first: only then can a later try determine what this action has
        added from what was there before.

        :param senders: which tasks send actions for which orders.
        :param resend: whether to send an action again if the order does not show that a previous try carried it out.
        :param patience: seconds that this may wait for Mirakl, if the task can leave the worker for a longer wait;
            ``None`` if it stays.
        :raises MiraklUnclearSubmissionError: an order does not show it; you decide.
        :raises MiraklNotYetError: the next call may only be made later. Nothing is lost: wait, and call this again.
        :raises MiraklRateLimitError: the same, after a 429.
        """
        reading = LONGEST_WAIT if patience is None else patience
        self._clear_up(client, senders, resend=resend, patience=reading)
        kind, places = self._kind, map(str, range(len(self._groups)))
        for some in _batches([place for place in places if place not in self._book.entries]):
            ids = sorted({self._entity_id(place) for place in some})
            shown = self._shown(client, ids, time.time(), reading) if kind.adds else {}
            for place in some:
                entity_id = self._entity_id(place)
                found = shown.get(entity_id)
                before = None if found is None else kind.marked(found, self._groups[int(place)])
                entry = ActionEntry(time.time(), before=before)
                if kind.adds:
                    senders.note(entity_id, entry.at)
                self._send_one(client, place, entry, patience)

    def _clear_up(self, client: Client, senders: Senders, *, resend: bool, patience: float) -> None:
        """Check whether the orders show uncertain actions, and drop those that were certainly not carried out."""
        kind, entries = self._kind, self._book.entries
        left = []
        for some in _batches([(place, entry) for place, entry in entries.items() if entry.phase == "intent"]):
            ids = sorted({self._entity_id(place) for place, _ in some})
            shown = self._shown(client, ids, min(entry.at for _, entry in some), patience)
            for place, entry in some:
                entity_id = self._entity_id(place)
                doubt = self._doubt(senders, shown.get(entity_id), place)
                if doubt is None:
                    log.warning("%s shows that its %s was carried out", entity_id, kind.title)
                    entry.phase = "done"
                elif resend:
                    del entries[place]
                else:
                    left.append(f"{entity_id} ({doubt})")
        self._note.write(self._book)
        if left:
            raise self._unclear(
                f"It is not known whether Mirakl received the {kind.title} of {', '.join(left)}. Check it in "
                "Mirakl Connect: if it was carried out, or will be, clear the task later; if it was not, clear the "
                "task with on_unclear='resend'. Accepted actions are not sent again"
            )

    def _shown(
        self, client: Client, entity_ids: Sequence[str], since: float, patience: float
    ) -> dict[str, dict[str, Any]]:
        """The listed ones, by id. No page is read after the last expected one."""
        found: dict[str, dict[str, Any]] = {}
        for one in self._kind.shown(client, entity_ids, since, patience):
            if one.get("id") in entity_ids:
                found[str(one["id"])] = dict(one)
                if len(found) == len(entity_ids):
                    break
        return found

    def _doubt(self, senders: Senders, found: dict[str, Any] | None, place: str) -> str | None:
        """Why an order or a return does not prove that an action was carried out; ``None`` when it does."""
        kind, entry, entity_id = self._kind, self._book.entries[place], self._entity_id(place)
        if found is None:
            return "it is not listed"
        after = kind.marked(found, self._groups[int(place)])
        if not all(after):
            return "it does not show yet"
        if not kind.adds:
            return None
        ours = [
            mark
            for other in self._book.entries
            if other != place and self._entity_id(other) == entity_id
            for marks in kind.marked(found, self._groups[int(other)])
            for mark in marks
        ]
        if not is_proven(entry.before, after, ours):
            return "there is an equal one, which may be older or from another task"
        if senders.others(entity_id, entry.at):
            return "one shows, and another task sent its own for the same order"
        return None

    def _send_one(self, client: Client, place: str, entry: ActionEntry, patience: float | None) -> None:
        kind, entries = self._kind, self._book.entries
        entries[place] = entry
        self._note.write(self._book)
        try:
            request = kind.request(self._groups[int(place)], self._make_path)
            entry.action_id = client.send(request, max_wait=patience)
            entry.phase = "submitted"
        except (MiraklBadRequestError, MiraklNotFoundError) as refusal:
            entry.phase = "failed"
            entry.code = refusal.code or str(refusal.status)
            entry.message = str(refusal)[:200]
            log.warning("%s", refusal)
        except (MiraklError, OSError) as error:
            # OSError: a file cannot be read, so Mirakl did not get the whole request.
            uncertain = MiraklServerError, MiraklTransportError, MiraklReplyError
            if not isinstance(error, uncertain) or error.surely_not_done:
                del entries[place]
                self._note.write(self._book)
            raise
        if entry.action_id is not None:  # log it first: if the disk is full, the note cannot keep the id
            log.info("The %s of %s is action %s", kind.title, self._entity_id(place), entry.action_id)
        self._note.write(self._book)

    # The end

    def note_ended(self, ended: Collection[str], failed: Mapping[str, Any]) -> None:
        """Note the actions that have ended.

        :param ended: their ids.
        :param failed: code and message of those that failed, by id.
        """
        for entry in self._book.entries.values():
            if entry.phase == "submitted" and entry.action_id in ended:
                reason = failed.get(entry.action_id or "")
                entry.phase = "done" if reason is None else "failed"
                entry.code, entry.message = reason or (None, None)
        self._note.write(self._book)

    def conclude(self, found: Mapping[str, Any] | None, timeout: float) -> dict[str, Any]:
        """Note how the actions ended, and evaluate them.

        :param found: the finding of the poll; ``None`` if there was nothing to wait for, or it took too long.
        :param timeout: the longest wait, in seconds.
        :raises MiraklJobTimeoutError: they did not end in time.
        """
        if found is not None:
            self.note_ended(self.pending, found["failed"])
        elif self.pending:
            raise MiraklJobTimeoutError(
                f"{len(self.pending)} actions did not end within {timeout:,.0f} s; they continue in Mirakl, and a "
                "retry waits for them",
                job_ids=self.pending,
            )
        return self.evaluate()

    def evaluate(self) -> dict[str, Any]:
        """Write the outcome of each row, and return the result of the task.

        Rows of an action that is not known to have ended are unknown: a task that does not wait has them.
        """
        with OutcomeWriter(self._folder / "outcome.ndjson", job_ids=self.action_ids) as writer:
            for index, group in enumerate(self._groups):
                entry = self._book.entries[str(index)]
                status, message = _STATUSES.get(entry.phase, "unknown"), entry.message
                if status == "unknown":
                    message = f"action {entry.action_id} was not waited for"
                for row in group:
                    writer.add(ItemResult(self._kind.item_id(row), status, entry.code, message))
        return writer.outcome.summary() | {
            "action_ids": self.action_ids,
            "orders": len(self._groups),
            "folder": str(self._folder),
        }

    # Helpers

    def _entity_id(self, place: str) -> str:
        return str(self._groups[int(place)][0][self._kind.key])

    def _lost(self) -> MiraklError:
        return self._unclear(
            f"A previous try may have sent actions, and its notes in {self._folder} are missing or out of "
            "date. Check in Mirakl Connect which orders were changed, and that every worker can access [mirakl] "
            "work_folder. If nothing was sent, clear the task with on_unclear='resend'",
            final=True,
        )

    def _unclear(self, message: str, *, final: bool = False) -> MiraklError:
        return MiraklUnclearSubmissionError(message, operation=self._kind.code, final=final)


def grouped_rows(
    kind: ActionKind,
    rows: Sequence[Any],
    max_orders: int,
    guard: Callable[[Sequence[Row]], None],
    make_path: MakePath,
) -> list[list[Row]]:
    """Check rows, and put together those of each action.

    :param kind: the action.
    :param rows: the rows as they were read.
    :param max_orders: largest number of orders or returns.
    :param guard: raises if the rows exceed a limit together.
    :param make_path: makes a path of the name of a file that is attached.
    :raises MiraklInputError: a row is invalid, or there are too many.
    """
    rows = checked(rows, kind.columns, kind.wrong)
    if doubles := list(kind.doubles(rows)):
        raise MiraklInputError(
            f"source contains {', '.join(doubles[:10])} more than once; no call was made. Merge them into one row"
        )
    groups = kind.grouped(rows)
    entities = len({row[kind.key] for row in rows})
    if entities > max_orders:
        raise MiraklInputError(
            f"source contains {entities:,} orders or returns, but max_orders allows {max_orders:,}; no call "
            "was made. Raise max_orders if that many are intended"
        )
    guard(rows)
    problems = []
    # Every call is built before the first one is made: building it finds the remaining errors.
    for group in groups:
        try:
            kind.request(group, make_path)
        except MiraklInputError as error:
            problems.append(Problem(f"{kind.item_id(group[0])}: {error}"))
    if problems:
        raise MiraklInputError(f"{len(problems)} actions cannot be sent; no call was made", problems)
    return groups


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + BATCH] for start in range(0, len(items), BATCH))
