"""Operators that make many calls, one at a time, at the pace Mirakl publishes, without holding a worker between them.

A worker makes a call and notes it; then the task waits in the triggerer until the next call is permitted. What has been
done is kept by the work itself, on storage, so that a killed worker, a killed triggerer or a retry continues there.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_mirakl.exceptions import (
    MiraklNotYetError,
    MiraklRateLimitError,
    MiraklServerError,
    MiraklTransportError,
    MiraklTriggerEventError,
)
from airflow_provider_mirakl.operators.bases.base import MiraklBaseOperator
from airflow_provider_mirakl.runtime.arguments import Flag, Location, Maybe, Whole
from airflow_provider_mirakl.runtime.signatures import TaskArguments
from airflow_provider_mirakl.runtime.task_run import SHORTEST_DEFERRAL, TaskRun, time_left

if TYPE_CHECKING:
    from typing import Unpack

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mirakl.catalog.work import Work
    from airflow_provider_mirakl.client.http import Client
    from airflow_provider_mirakl.hooks.base import MiraklBaseHook
    from airflow_provider_mirakl.runtime.arguments import PathArg


class PacedArguments(TaskArguments, total=False):
    """The parameters of :class:`PacedOperator`, for the operators built on it."""

    deferrable: bool
    max_failures: int
    work_folder: PathArg | None


FIRST_LEAD = 3.0
"""Seconds a task wakes early before it has learned how long coming back takes: the least that was ever measured."""
LONGEST_LEAD = 15.0
"""Seconds. A task that takes longer to come back does not wake even earlier for it."""
LONGEST_PAUSE = 15 * 60.0
"""Seconds between two tries of a call that fails again and again."""


@dataclass(slots=True)
class Pace:
    """What a task takes along through a deferral. Travels in the trigger's arguments: small, and no secret.

    :param not_before: moment of the next try after a failure or a 429, in seconds since the epoch.
    :param failures: calls that failed one after another.
    :param lead: seconds from a trigger's moment until the task was ready to call again, as learned so far; ``None``
        before it ever came back.
    :param began: moment at which this try began; Airflow 3 tells a task that comes back only when it came back.
    """

    not_before: float = 0.0
    failures: int = 0
    lead: float | None = None
    began: float | None = None

    @property
    def early(self) -> float:
        """Seconds that the task wakes early."""
        return FIRST_LEAD if self.lead is None else self.lead

    @classmethod
    def from_event(cls, event: object) -> tuple[Pace, float]:
        """Take the state back from a trigger's event.

        :return: the state, and the moment for which the trigger was set.
        :raises MiraklTriggerEventError: for anything but the event of a ``MomentTrigger``.
        """
        if not isinstance(event, Mapping) or not isinstance(event.get("state"), Mapping):
            raise MiraklTriggerEventError(f"expected the event of a MomentTrigger, got {event!r}")
        try:
            return cls(**event["state"]), float(event["moment"])
        except (KeyError, TypeError, ValueError) as error:
            raise MiraklTriggerEventError(f"the event of the trigger is not understood: {error}") from None

    def learn(self, lag: float) -> None:
        """Learn how long coming back took.

        :param lag: seconds from the trigger's moment until the task was ready to call.
        """
        if lag < -LONGEST_LEAD:  # the clock was set back: what was to be waited for has been waited for
            self.not_before = 0.0
        learned = lag if self.lead is None else 0.7 * self.lead + 0.3 * lag
        self.lead = max(0.0, min(learned, LONGEST_LEAD))


class PacedOperator(MiraklBaseOperator):
    """Base of the operators that make many paced calls.

    :param deferrable: wait in the triggerer between calls; default Airflow's ``[operators] default_deferrable``.
        Without it the worker sleeps, with the same results.
    :param max_failures: calls that may fail one after another (5xx, broken connection) before the task fails.
        A 429 is a wait, not a failure.
    :param work_folder: folder for plans, progress, rejects and outcomes, as an object storage path that every worker
        reaches; default ``[mirakl] work_folder``, else ``mirakl`` below ``AIRFLOW_HOME``. Templated.
    """

    deferrable = Flag(templated=False)
    max_failures = Whole(least=0, templated=False)
    work_folder = Maybe(Location())

    def __init__(
        self,
        *,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        max_failures: int = 5,
        work_folder: PathArg | None = None,
        **kwargs: Unpack[TaskArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.deferrable = deferrable
        self.max_failures = max_failures
        self.work_folder = work_folder

    @property
    @abstractmethod
    def hook(self) -> MiraklBaseHook:
        """The hook of the operator's connection."""

    @abstractmethod
    def open_work(self, run: TaskRun) -> Work | None:
        """Begin or continue the next piece of work; ``None`` when all is done.

        Called again after each piece, and after each deferral: it has to find its progress on storage.
        """

    @abstractmethod
    def conclude(self, run: TaskRun) -> dict[str, Any]:
        """Judge what was done and give the operator's result."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Begin, or continue what a former try began."""
        return self._proceed(TaskRun(context, self.work_folder, begins=True), Pace())

    def resume(self, context: Context, event: object = None) -> dict[str, Any]:
        """Continue after a wait in the triggerer.

        Airflow resumes without an event when a task is cleared at the very moment it defers. Nothing is lost: what
        was done is on storage, so the try begins like any other.

        :raises MiraklTriggerEventError: for an event that is not understood.
        """
        if event is None:
            return self._proceed(TaskRun(context, self.work_folder, begins=True), Pace())
        pace, moment = Pace.from_event(event)
        return self._proceed(TaskRun(context, self.work_folder, begins=False), pace, moment)

    def _proceed(self, run: TaskRun, pace: Pace, woken_for: float | None = None) -> dict[str, Any]:
        with self.hook.get_conn() as client:
            while (work := self.open_work(run)) is not None:
                if woken_for is not None:  # only now is everything loaded that the call needs
                    pace.learn(time.time() - woken_for)
                    woken_for = None
                self._complete(work, client, pace, run)
        result = self.conclude(run)
        if self.outlets:
            run.annotate_assets(self.outlets, result)
        return result

    def _complete(self, work: Work, client: Client, pace: Pace, run: TaskRun) -> None:
        while (call := work.next_call()) is not None:
            interval = call.operation.interval * client.settings.interval_factor
            # Never further away than the interval, should the clock have been set back.
            last = min(work.last_call_at.timestamp(), time.time()) + interval if work.last_call_at else 0.0
            not_before = work.not_before.timestamp() if work.not_before else 0.0
            self._wait(max(last, not_before, pace.not_before), pace, run)
            work.intend()
            try:
                result = client.send(call, max_wait=SHORTEST_DEFERRAL)
            except (MiraklNotYetError, MiraklRateLimitError) as wait:
                pace.not_before = wait.retry_at.timestamp()
                self.log.info("%s Waiting.", wait)
            except (MiraklServerError, MiraklTransportError) as failure:
                pace.failures += 1
                if pace.failures > self.max_failures:
                    raise
                pause = min(LONGEST_PAUSE, max(interval, 2.0**pace.failures))
                pace.not_before = time.time() + pause
                self.log.warning(
                    "%s Failure %d of %d in a row; trying again in %.0f s.",
                    failure,
                    pace.failures,
                    self.max_failures,
                    pause,
                )
            else:
                pace.failures = 0
                work.accept(result, datetime.now(UTC))
                self.log.info("%s", work.describe(interval))

    def _wait(self, moment: float, pace: Pace, run: TaskRun) -> None:
        """Wait for a moment: in the triggerer when that pays, else here."""
        remaining = moment - time.time()
        if remaining <= 0:
            return
        if self.deferrable and remaining - pace.early >= SHORTEST_DEFERRAL:
            from airflow_provider_mirakl.triggers.moment import MomentTrigger

            pace.began = pace.began or run.started
            state = asdict(pace) | {"not_before": moment}
            self.defer(
                trigger=MomentTrigger(moment - pace.early, state),
                method_name=self.resume.__name__,
                timeout=time_left(self.execution_timeout, pace.began),
            )
        if not self.deferrable and remaining >= SHORTEST_DEFERRAL:
            self.log.info("Waiting %.0f s in this worker; deferrable=True would free it.", remaining)
        time.sleep(remaining)
