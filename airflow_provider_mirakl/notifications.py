"""Notifications with the results of the items, for mail, chat or a ticket."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseNotifier

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

_LONGEST_ERROR = 1_000
"""Characters of an error's own message."""


def outcome_text(context: Context) -> str:
    """The result of a task, as plain text of a few lines.

    Says which task, the counts of its outcome, the three most frequent errors, and where the rows, the rejects and
    the log are. It never contains items.

    :param context: the context of a callback, such as ``on_failure_callback``.
    :return: the text.
    """
    ti = context["ti"]
    error = context.get("exception")
    title = f"{ti.dag_id}.{ti.task_id}, run {ti.run_id}"
    lines = [f"{title}: {'failed' if error else str(getattr(ti, 'state', None) or 'ended')}"]
    outcome = _outcome(context, error)
    if outcome is None:
        if error:
            lines.append(str(error)[:_LONGEST_ERROR])
    else:
        counts = (f"{outcome[name]:,} {name}" for name in _COUNTS if isinstance(outcome.get(name), int))
        lines.append(", ".join(counts))
        lines += [_line(entry) for entry in (outcome.get("errors") or [])[:3]]
        for name in ("rows", "rejects"):
            if place := outcome.get(name):
                listed = place if isinstance(place, str) else ", ".join(map(str, place))
                lines.append(f"{name}: {listed}")
    if url := getattr(ti, "log_url", None):
        lines.append(f"log: {url}")
    return "\n".join(lines)


_COUNTS = ("sent", "succeeded", "failed", "unknown", "rejected")


def _outcome(context: Context, error: object) -> Mapping[str, Any] | None:
    """The outcome on the error; without an error, the task's result."""
    found = getattr(error, "outcome", None)
    if found is None and error is None:
        found = context["ti"].xcom_pull(task_ids=context["ti"].task_id)
    return found if isinstance(found, Mapping) and "sent" in found else None


def _line(entry: Mapping[str, Any]) -> str:
    reason = ": ".join(str(entry[name]) for name in ("code", "message") if entry.get(name))
    return f"- {entry.get('count', 0):,} x {reason}"


class MiraklOutcomeNotifier(BaseNotifier):
    """Base of a notifier that sends :func:`outcome_text`.

    A subclass implements :meth:`send`; the docs' cookbook has an example.
    """

    @abstractmethod
    def send(self, text: str, context: Context) -> None:
        """Send the text.

        :param text: as :func:`outcome_text` returns it.
        :param context: the context of the callback.
        """

    def notify(self, context: Context) -> None:
        """Send the outcome; Airflow calls this."""
        self.send(outcome_text(context), context)
