"""The wait of operators and sensors: poll once, defer, read the event, or poll in the worker until the end."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_mirakl.exceptions import seconds
from airflow_provider_mirakl.runtime.task_run import BACKSTOP, SHORTEST_DEFERRAL

if TYPE_CHECKING:
    from airflow_provider_mirakl.client.http import Client
    from airflow_provider_mirakl.hooks.base import MiraklBaseHook
    from airflow_provider_mirakl.jobs.waiting import Found, Log
    from airflow_provider_mirakl.triggers.paced import PacedTrigger
    from airflow_provider_mirakl.triggers.places import Place
    from airflow_provider_mirakl.triggers.poll import PollTrigger


@dataclass(slots=True)
class Wait:
    """The wait of one task for the finding of a poll.

    :param poll: path of the poll, ``package.module.function``.
    :param arguments: its keyword arguments: serializable as JSON and not secret, since Airflow stores them in plain
        text.
    :param hook: the hook of the connection to poll.
    :param interval: seconds between two polls.
    :param deadline: time of the last poll, in seconds since the epoch.
    :param max_failures: polls that may fail one after another.
    :param failures: polls that have failed in a row.
    :param log: the logger for failures.
    :param what: description of the awaited thing, for the task log.
    """

    poll: str
    arguments: dict[str, Any]
    hook: MiraklBaseHook
    interval: float
    deadline: float
    max_failures: int
    failures: int = 0
    notes: dict[str, Any] = field(default_factory=dict)
    log: Log = field(default_factory=lambda: logging.getLogger(__name__))
    what: str = "Mirakl"

    def once(self, client: Client) -> Found | None:
        """Poll once, now.

        :return: the finding; ``None`` for "not yet", and after a failure that may pass.
        :raises MiraklError: a failure that cannot pass, or one too many.
        """
        return self._wait(client, time.time(), time.time())

    def to_the_end(self, client: Client, *, first: float | None = None) -> Found | None:
        """Poll repeatedly in this worker.

        :param first: time of the first poll; default now.
        :return: the finding; ``None`` when the deadline has passed.
        :raises MiraklError: a failure that cannot pass, or one too many.
        """
        return self._wait(client, time.time() if first is None else first, self.deadline)

    def trigger(
        self, *, began: float | None = None, carried: dict[str, str] | None = None, **arguments: Any
    ) -> PollTrigger:
        """The trigger that continues the wait.

        :param began: when the task's try began.
        :param carried: notes of the task, which the event returns.
        :param arguments: further arguments of the poll.
        """
        from airflow_provider_mirakl.triggers.poll import PollTrigger

        hook = self.hook
        self.log.info(
            "The triggerer waits for %s: a poll every %s, until %s at the latest",
            self.what,
            seconds(self.interval),
            clock(self.deadline),
        )
        return PollTrigger(
            poll=self.poll,
            arguments=self.arguments | arguments,
            hook=_path_of(hook),
            conn_id=hook.conn_id,
            role=hook.role,
            first=time.time() + max(self.interval, SHORTEST_DEFERRAL),
            interval=self.interval,
            deadline=self.deadline,
            max_failures=self.max_failures,
            began=began,
            carried=carried,
        )

    def backstop(self, limit: timedelta | None = None) -> timedelta:
        """How long Airflow lets the trigger run.

        :param limit: the time that ``execution_timeout`` leaves.
        """
        backstop = timedelta(seconds=max(0.0, self.deadline - time.time()) + BACKSTOP)
        return backstop if limit is None else min(limit, backstop)

    def _wait(self, client: Client, first: float, last: float) -> Found | None:
        from airflow_provider_mirakl.api.steps import drive
        from airflow_provider_mirakl.hooks.base import performer
        from airflow_provider_mirakl.jobs.waiting import Schedule, Tolerance, find_poll, tell_failure, waiting

        poll = find_poll(self.poll)
        tolerance = Tolerance(self.max_failures, self.failures)
        steps = waiting(
            lambda: poll(self.notes, **self.arguments),
            Schedule(first, self.interval, last),
            tolerance,
            on_failure=lambda error, tolerance: tell_failure(self.log, error, tolerance),
        )
        try:
            return drive(steps, performer(client))
        finally:
            self.failures = tolerance.failures


def clock(moment: float) -> str:
    """A time, formatted for a task log.

    :param moment: seconds since the epoch.
    """
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S} UTC"


def paced_trigger(
    place: Place,
    hook: MiraklBaseHook,
    *,
    max_failures: int,
    refused_timeout: float,
    left: timedelta | None,
    state: dict[str, Any],
    position: dict[str, Any],
) -> PacedTrigger:
    """The trigger that makes the calls of a piece of work from here on.

    :param place: opens the work.
    :param left: what ``execution_timeout`` leaves.
    :param state: what the task takes along.
    :param position: how far the work has come.
    """
    from airflow_provider_mirakl.triggers.paced import PacedTrigger

    now = time.time()
    return PacedTrigger(
        opener=place.opener,
        arguments=place.arguments,
        hook=_path_of(hook),
        conn_id=hook.conn_id,
        role=hook.role,
        max_failures=max_failures,
        refused_timeout=refused_timeout,
        earliest=now + SHORTEST_DEFERRAL,
        deadline=None if left is None else now + left.total_seconds(),
        state=state,
        position=position,
    )


def _path_of(hook: MiraklBaseHook) -> str:
    return f"{type(hook).__module__}.{type(hook).__name__}"
