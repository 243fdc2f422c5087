"""The trigger that polls Mirakl until it finds something.

All polls of a connection in one triggerer share a client, and where Mirakl lists jobs, one listing: a hundred tasks
that wait for imports cost one call a minute.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_mirakl._compat import in_thread
from airflow_provider_mirakl.exceptions import (
    MiraklApiError,
    MiraklError,
    MiraklInputError,
    MiraklTriggerEventError,
)
from airflow_provider_mirakl.triggers.stored import check_arguments, check_call, find_function

log = logging.getLogger(__name__)

VERSION = 1
"""Version of the arguments. Raised when those of an older trigger could be misread."""


class PollTrigger(BaseTrigger):
    """Makes a poll until it finds something or the deadline passes, and fires once.

    Its event is a mapping with a ``status``: ``found`` with the finding, ``timeout``, or ``error`` with the error.
    It always includes ``deadline``, ``began`` and ``carried``. See :func:`read_event`.

    Airflow stores the arguments in plain text: ids, numbers and the connection's id, never a key.

    :param poll: path of the poll, ``package.module.function``.
    :param arguments: its keyword arguments, serializable as JSON.
    :param hook: path of the hook's class.
    :param conn_id: the connection.
    :param role: the role whose key is used, for hooks with roles; ``None`` is the connection's own.
    :param first: time of the first poll, in seconds since the epoch. Absolute, so that the schedule survives
        a triggerer that dies.
    :param interval: seconds between two polls.
    :param deadline: time of the last poll, in seconds since the epoch.
    :param max_failures: polls that may fail one after another.
    :param began: when the task's try began, for the resumed task.
    :param carried: notes of the task, for a worker that cannot access the work folder of the previous one.
    :param version: of these arguments.
    """

    def __init__(
        self,
        *,
        poll: str,
        arguments: dict[str, Any],
        hook: str,
        conn_id: str,
        first: float,
        interval: float,
        deadline: float,
        role: str | None = None,
        max_failures: int = 5,
        began: float | None = None,
        carried: dict[str, str] | None = None,
        version: int = VERSION,
        **unknown: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.poll = poll
        self.arguments = arguments
        self.hook = hook
        self.conn_id = conn_id
        self.role = role
        self.first = first
        self.interval = interval
        self.deadline = deadline
        self.max_failures = max_failures
        self.began = began
        self.carried = carried
        self.version = version
        self._unknown = unknown

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class and arguments, as Airflow stores them."""
        names = (
            "poll", "arguments", "hook", "conn_id", "role", "first", "interval", "deadline", "max_failures",
            "began", "carried", "version",
        )  # fmt: skip
        return "airflow_provider_mirakl.triggers.poll.PollTrigger", {
            name: getattr(self, name) for name in names
        } | self._unknown

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Fire once: at the first poll that finds something, at an error that cannot pass, or at the deadline."""
        from airflow_provider_mirakl.api.steps import drive_async
        from airflow_provider_mirakl.jobs.waiting import (
            Schedule,
            Tolerance,
            tell_failure,
            waiting,
        )
        from airflow_provider_mirakl.triggers.desk import open_desk

        event: dict[str, Any] = {"deadline": self.deadline, "began": self.began, "carried": self.carried}
        notes: dict[str, Any] = {}
        try:
            check_arguments(self.version, VERSION, self._unknown)
            poll = await in_thread(lambda: find_function("poll", self.poll))  # it may import a large module
            check_call(poll, self.arguments, notes)
            steps = waiting(
                lambda: poll(notes, **self.arguments),
                Schedule(self.first, self.interval, self.deadline),
                Tolerance(self.max_failures),
                notes=notes,
                on_failure=lambda error, tolerance: tell_failure(log, error, tolerance),
            )
            async with (
                open_desk(self.hook, self.conn_id, self.role) as desk,
                desk.poller(interval=self.interval, deadline=self.deadline) as perform,
            ):
                found = await drive_async(steps, perform)
        except Exception as error:
            # Any error that leaves the trigger would make Airflow fail the task without applying its flags.
            if not isinstance(error, MiraklError):
                log.exception("The poll %s broke", self.poll)
            event |= {"status": "error", "error": dump_error(error)}
        else:
            event |= {"status": "timeout"} if found is None else {"status": "found", "found": found}
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """Log what continues in Mirakl, which cannot cancel a job. Airflow calls it from 3.3 on.

        Nothing is written here: a cleared task may already have started over, and its notes belong to it.
        """
        log.warning(
            "No longer waiting for %s; what was submitted continues in Mirakl, and a sensor can wait for it",
            self.arguments,
        )


def read_event(event: object) -> dict[str, Any] | None:
    """The finding of a :class:`PollTrigger`; ``None`` after its deadline.

    :raises MiraklError: the error that it raised.
    :raises MiraklTriggerEventError: the event is not valid.
    """
    if isinstance(event, dict):
        status, found, error = event.get("status"), event.get("found"), event.get("error")
        if status == "timeout":
            return None
        if status == "found" and isinstance(found, dict):
            return found
        if status == "error" and isinstance(error, dict):
            raise load_error(error)
    raise MiraklTriggerEventError(f"expected the event of a PollTrigger, got {event!r:.200}")


def dump_error(error: Exception) -> dict[str, Any]:
    """An error as JSON, to return to the worker; of a foreign error only the message."""
    name = type(error).__name__
    if not isinstance(error, MiraklError):
        return {"type": name, "args": [f"{name}: {error}"], "data": {}}
    plain = (str, int, float, bool, type(None))
    data = {name: value for name, value in error.__dict__.items() if isinstance(value, plain)}
    return {"type": f"{type(error).__module__}.{name}", "args": [str(error)], "data": data}


def load_error(dumped: dict[str, Any]) -> Exception:
    """The error of :func:`dump_error`; a foreign one becomes a plain error with the same message, and so does one that
    only another version of this package has."""
    args, data = dumped.get("args"), dumped.get("data", {})
    if not isinstance(args, list) or not isinstance(data, dict):
        return MiraklTriggerEventError(f"expected the error of a trigger, got {dumped!r:.200}")
    module, _, name = str(dumped.get("type")).rpartition(".")
    kind: Any = MiraklError
    if module.startswith("airflow_provider_mirakl."):
        with suppress(ImportError):
            kind = getattr(importlib.import_module(module), name, MiraklError)
    if not (isinstance(kind, type) and issubclass(kind, MiraklError)):
        kind = MiraklError
    error: MiraklError = kind.__new__(kind)
    error.args = tuple(args)
    error.__dict__.update(data)
    if isinstance(error, MiraklApiError):
        error.faults = ()
    if isinstance(error, MiraklInputError):
        error.problems = ()  # the message has them
    return error
