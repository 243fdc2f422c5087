"""The actions that a task has sent, noted before and after every call.

The book belongs to a task in a Dag run. Clearing the task does not reset it: rows that were sent are not sent
again, because money moves. To send the same rows again, trigger another run.

==============  =====================================================  ===========================================
phase           what is known                                          what the next try does
==============  =====================================================  ===========================================
no entry        nothing was sent                                       sends
``intent``      it was about to be sent; whether it was is not known   checks the order for proof; else the user decides
``submitted``   Mirakl returned the action's id                        waits for the action
``done``        it ended ``SUCCESS``, or the order shows that it did   nothing
``failed``      it ended ``FAILED`` or was refused                     sends again if Mirakl was busy, else nothing
==============  =====================================================  ===========================================
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from airflow_provider_mirakl.actions.rows import Row
from airflow_provider_mirakl.api.conversations import get_conversation_action
from airflow_provider_mirakl.api.orders import get_action_status
from airflow_provider_mirakl.api.steps import Steps, send
from airflow_provider_mirakl.files.notes import NoteKind
from airflow_provider_mirakl.files.storage import StoragePath, write_bytes

BUSY = frozenset({"UNAVAILABLE", "TOO_MANY_REQUEST"})
"""Codes of an action that failed because Mirakl or the channel was busy: nothing was carried out."""
FAILURES = ("FAILED", "ERROR")
"""How an action of orders and returns fails, and one of conversations."""
Actions = Literal["orders", "conversations"]
PLAN_FILE = "actions.ndjson"
_LONGEST_MESSAGE = 200


@dataclass(slots=True)
class ActionEntry:
    """One action, or the intent to send it.

    :param at: time of the intent, in seconds since the epoch.
    :param before: marks of each row on the order before the action was sent, where the action adds something.
    :param phase: see the table of the module.
    :param action_id: Mirakl's id.
    :param code: Mirakl's code of a failure.
    :param message: Mirakl's message about it.
    """

    at: float
    phase: Literal["intent", "submitted", "done", "failed"] = "intent"
    action_id: str | None = None
    code: str | None = None
    message: str | None = None
    before: list[list[str]] | None = None


class Content(msgspec.Struct):
    """``actions.json``.

    :param plan: hash of the rows; empty until they are read.
    :param entries: the actions by their place in the plan.
    """

    plan: str = ""
    entries: dict[str, ActionEntry] = msgspec.field(default_factory=dict)


BOOK = NoteKind(
    file="actions.json",
    holds="the actions that a task sent",
    type=Content,
    damaged="stop",
    fix="Check in Mirakl Connect which orders were changed; then send the others in another run.",
)


class Sent(msgspec.Struct):
    """Which task was about to send an action for an order, and when."""

    owner: str
    at: float


SENT = NoteKind(
    file="actions/*/*/*/*.json",
    holds="which task sent an action for an order",
    type=Sent,
    damaged="restart",
    fix="The action counts as not sent by another task.",
)
AT_WORK = 86_400.0
"""Seconds for which an action of another task may still be carried out."""


@dataclass(frozen=True, slots=True)
class Senders:
    """Which tasks send actions for which orders, noted for all of them: what one task has caused must not be taken by
    another for its own.

    :param folder: of one kind of action of one account; every task has it.
    :param owner: names this task.
    """

    folder: StoragePath
    owner: str

    def note(self, entity_id: str, at: float) -> None:
        """Note that this task is about to send an action for an order."""
        folder = self._folder(entity_id)
        SENT.at(folder, name=f"{_hashed(self.owner)}.json").write(Sent(self.owner, at))

    def others(self, entity_id: str, at: float) -> bool:
        """Whether another task has sent an action for the same order that may have been carried out since a time."""
        folder = self._folder(entity_id)
        try:
            names = [path.name for path in folder.iterdir()]
        except FileNotFoundError:
            return False
        found = (SENT.at(folder, name=name).read() for name in names if name.endswith(".json"))
        return any(one is not None and one.owner != self.owner and one.at > at - AT_WORK for one in found)

    def _folder(self, entity_id: str) -> StoragePath:
        return self.folder / _hashed(entity_id)


def _hashed(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def plan_hash(groups: Sequence[Sequence[Row]]) -> str:
    """Identifies a plan."""
    return hashlib.sha256(json.dumps(groups, sort_keys=True).encode()).hexdigest()


def write_plan(folder: StoragePath, groups: Sequence[Sequence[Row]]) -> None:
    """Store the rows of each action, so that a later try sends the same rows."""
    lines = (json.dumps(group, ensure_ascii=False).encode() + b"\n" for group in groups)
    write_bytes(folder / PLAN_FILE, b"".join(lines))


def read_plan(folder: StoragePath, plan: str) -> list[list[Row]] | None:
    """The rows of each action, as they were planned.

    :param plan: their hash, as the book has it.
    :return: ``None`` if the file is missing, damaged, or of another plan.
    """
    try:
        data = (folder / PLAN_FILE).read_bytes()
        groups = [json.loads(line) for line in data.splitlines()]
    except (FileNotFoundError, IsADirectoryError, ValueError, RecursionError):
        return None
    return groups if plan_hash(groups) == plan else None


def actions_ended(
    notes: dict[str, Any], *, action_ids: Sequence[str], of: Actions = "orders"
) -> Steps[dict[str, Any] | None]:
    """Whether all of these actions have ended: a poll, see :mod:`airflow_provider_mirakl.jobs.waiting`.

    :param notes: keeps the actions that ended before the others.
    :param of: what they are about: those of conversations are asked for elsewhere, and fail as ``ERROR``.
    :return: ``failed``: code and message of each action that did not succeed, by its id. All others succeeded.
    """
    ended: list[str] = notes.setdefault("ended", [])  # JSON has no sets
    known = set(ended)
    failed: dict[str, Any] = notes.setdefault("failed", {})
    for action_id in action_ids:
        if action_id in known:
            continue
        ask = get_action_status if of == "orders" else get_conversation_action
        status = yield from send(ask(action_id))
        if status.get("status") in ("SUCCESS", *FAILURES):
            ended.append(action_id)
            known.add(action_id)
        if status.get("status") in FAILURES:
            failed[action_id] = failure_of(status)
    return {"failed": failed} if known >= set(action_ids) else None


def failure_of(status: dict[str, Any]) -> list[str]:
    """Code and message of an action that failed. A list, since XCom and a trigger's event return a list unchanged."""
    errors = status.get("errors")
    found = errors[0] if isinstance(errors, list) and errors else errors
    first = found if isinstance(found, dict) else {}
    code, message = first.get("code"), first.get("message")
    return [
        str(code) if code else "UNEXPECTED",
        str(message)[:_LONGEST_MESSAGE] if message else "Mirakl gives no reason",
    ]
