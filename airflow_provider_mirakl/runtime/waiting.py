"""The wait of operators and sensors: poll once, defer, read the event, or poll in the worker until the end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_mirakl.api.clock import clock_time
from airflow_provider_mirakl.api.refusals import Limit, bounded
from airflow_provider_mirakl.api.steps import drive
from airflow_provider_mirakl.client.http import Client
from airflow_provider_mirakl.client.steps import performer
from airflow_provider_mirakl.exceptions import MiraklError, MiraklNotYetError, MiraklRateLimitError, seconds
from airflow_provider_mirakl.files.storage import StoragePath
from airflow_provider_mirakl.hooks.base import MiraklBaseHook
from airflow_provider_mirakl.jobs.waiting import (
    Found,
    Log,
    Poll,
    Schedule,
    Tolerance,
    is_wait,
    tell_failure,
    waiting,
)
from airflow_provider_mirakl.runtime.task_run import BACKSTOP, Defers, fits, time_left
from airflow_provider_mirakl.triggers.moment import MomentTrigger
from airflow_provider_mirakl.triggers.poll import PollTrigger, load_error
from airflow_provider_mirakl.triggers.stored import find_function

SHORTEST_DEFERRAL = 10.0
"""Seconds. A shorter wait is slept in the worker: a trigger that fires within about six seconds of the deferral can hit
a race in Airflow's scheduler, which fails the task."""


class Waits(Defers, Protocol):
    """An operator that waits in the triggerer if it is deferrable, else in its worker."""

    @property
    def deferrable(self) -> bool:
        """Whether it leaves the worker."""


def pays_off(seconds: float) -> bool:
    """Whether a wait is long enough to be spent in the triggerer.

    :param seconds: how long it is.
    """
    return seconds >= SHORTEST_DEFERRAL


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
    :param what: description of what the sensor waits for, for the task log.
    """

    poll: str
    arguments: dict[str, Any]
    hook: MiraklBaseHook
    interval: float
    deadline: float
    max_failures: int
    failures: int = 0
    permitted_at: float | None = field(default=None, init=False)
    """When Mirakl permits the call that the last poll could not make; ``None`` if it made all of its calls."""
    notes: dict[str, Any] = field(default_factory=dict)
    log: Log = field(default_factory=lambda: logging.getLogger(__name__))
    what: str = "Mirakl"

    def once(self, client: Client, *, leaves: bool = True) -> Found | None:
        """Poll once, now.

        :param leaves: whether the task leaves the worker until the next poll. Then it does not wait here either, until
            Mirakl permits a call.
        :return: the finding; ``None`` for "not yet", and after a failure that may pass.
        :raises MiraklError: a failure that cannot pass, or one too many.
        """
        return self._wait(client, time.time(), time.time(), max_wait=SHORTEST_DEFERRAL if leaves else None)

    def to_the_end(
        self, client: Client, *, first: float | None = None, last: float | None = None
    ) -> Found | None:
        """Poll repeatedly in this worker.

        :param first: time of the first poll; default now.
        :param last: time of the last poll; default the deadline.
        :return: the finding; ``None`` when that time has passed.
        :raises MiraklError: a failure that cannot pass, or one too many.
        """
        return self._wait(
            client, time.time() if first is None else first, self.deadline if last is None else last
        )

    def trigger(
        self, *, began: float | None = None, carried: dict[str, str] | None = None, **arguments: Any
    ) -> PollTrigger:
        """The trigger that continues the wait.

        :param began: when the task's try began.
        :param carried: notes of the task, which the event returns; left out if they do not fit beside the arguments.
        :param arguments: further arguments of the poll.
        """

        hook = self.hook
        arguments = self.arguments | arguments
        if carried and not fits(arguments, carried):
            self.log.info(
                "The notes are too long for Airflow's database, so only a worker that can access the work folder can "
                "continue"
            )
            carried = {}
        next_poll = time.time() + self.interval if self.permitted_at is None else self.permitted_at
        self.log.info(
            "The triggerer waits for %s: a poll every %s, until %s at the latest",
            self.what,
            seconds(self.interval),
            clock_time(self.deadline),
        )
        return PollTrigger(
            poll=self.poll,
            arguments=arguments,
            hook=path_of(hook),
            conn_id=hook.conn_id,
            role=hook.role,
            first=max(next_poll, time.time() + SHORTEST_DEFERRAL),
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

    def _wait(
        self, client: Client, first: float, last: float, *, max_wait: float | None = None
    ) -> Found | None:
        self.permitted_at = None
        poll: Callable[..., Poll] = find_function("poll", self.poll)
        tolerance = Tolerance(self.max_failures, self.failures)
        steps = waiting(
            lambda: poll(self.notes, **self.arguments),
            Schedule(first, self.interval, last),
            tolerance,
            notes=self.notes,
            on_failure=self._failed,
        )
        try:
            return drive(steps, performer(client, max_wait=max_wait))
        finally:
            self.failures = tolerance.failures

    def _failed(self, error: MiraklError, tolerance: Tolerance) -> None:
        if is_wait(error):
            self.permitted_at = error.retry_at.timestamp()
        tell_failure(self.log, error, tolerance)


def leave(
    task: Defers,
    remaining: float,
    *,
    state: Mapping[str, Any],
    resume: Callable[..., Any],
    began: float | None,
) -> None:
    """Leave the worker for a number of seconds. Parameters: those of :func:`pause`."""
    task.defer(
        trigger=MomentTrigger(time.time() + remaining, dict(state)),
        method_name=resume.__name__,
        timeout=time_left(task.execution_timeout, began),
    )


def pause(
    task: Waits,
    remaining: float,
    *,
    state: Mapping[str, Any],
    resume: Callable[..., Any],
    began: float | None,
) -> None:
    """Wait: in the triggerer if that pays off, else here.

    :param task: the operator; its method ``resume`` gets the state back.
    :param remaining: seconds.
    :param state: for the trigger: small values, serializable as JSON and not secret.
    :param began: when the task's try began.
    """
    if task.deferrable and pays_off(remaining):
        leave(task, remaining, state=state, resume=resume, began=began)
    time.sleep(max(0.0, remaining))


def postpone(
    task: Waits,
    refusal: MiraklNotYetError | MiraklRateLimitError,
    *,
    since: float | None,
    limit: Limit,
    state: Mapping[str, Any],
    resume: Callable[..., Any],
    began: float | None,
) -> float:
    """Wait until Mirakl permits a refused call, as :func:`pause` does.

    :param refusal: why it was not made.
    :param since: when Mirakl first refused it, in seconds since the epoch; ``None`` if that was now.
    :param limit: how long Mirakl may refuse.
    :param state: see :func:`pause`. Gains ``refused_since``, which is ``since`` the next time.
    :return: when Mirakl first refused the call.
    :raises MiraklNotYetError: Mirakl does not permit it within the limit.
    :raises MiraklRateLimitError: the same, after a 429.
    """
    now, moment = time.time(), refusal.retry_at.timestamp()
    first = bounded(refusal, now=now, moment=moment, since=since, limit=limit, log=task.log)
    if first is None:
        raise refusal
    pause(task, moment - now, state={**state, "refused_since": first}, resume=resume, began=began)
    return first


def must_stay(task: Defers, event: Mapping[str, Any], folder: StoragePath) -> bool:
    """Read how the triggerer ended, after :func:`~airflow_provider_mirakl.runtime.hand_over.hand_over`.

    :param event: of a ``PacedTrigger``; of any other trigger it says nothing.
    :param folder: the folder of the task, for the message.
    :return: whether workers must make the calls, because the triggerer cannot access the folder.
    :raises MiraklError: the error that the triggerer met.
    :raises AirflowTaskTimeout: ``execution_timeout`` passed.
    """

    match event.get("status"):
        case "error":
            task.log.error("The triggerer stopped at %s", event.get("position"))
            raise load_error(event["error"])
        case "timeout":
            raise AirflowTaskTimeout(f"execution_timeout of {task.execution_timeout} passed")
        case "unreachable":
            task.log.warning(
                "The triggerer cannot access the plan in %s (%s). Workers make the calls, one process for each. Set "
                "[mirakl] work_folder, or work_folder of the task, and state of a sync, to storage that workers and "
                "triggerers share.",
                folder,
                event.get("reason"),
            )
            return True
    return False


def path_of(hook: MiraklBaseHook) -> str:
    """The path of a hook's class, for a trigger."""
    return f"{type(hook).__module__}.{type(hook).__name__}"
