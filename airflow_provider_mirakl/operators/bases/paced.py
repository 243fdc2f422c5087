"""The base of the operators that make many calls, one at a time, at Mirakl's pace, without occupying a worker.

A worker plans and evaluates. In between, the triggerer makes the calls: one deferral for a whole catalog. If the
triggerer cannot access the plan, workers make the calls and defer between them. Progress is kept on storage, so
a killed worker, a killed triggerer or a retry continues from there.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_mirakl.exceptions import MiraklTriggerEventError, counted
from airflow_provider_mirakl.operators.bases.base import MiraklBaseOperator
from airflow_provider_mirakl.runtime import waiting
from airflow_provider_mirakl.runtime.arguments import Flag, Location, Maybe, Seconds, Whole
from airflow_provider_mirakl.runtime.signatures import TaskArguments
from airflow_provider_mirakl.runtime.task_run import TaskRun, time_left

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mirakl.api.steps import Step
    from airflow_provider_mirakl.catalog.loop import CallLimits, Pace
    from airflow_provider_mirakl.catalog.work import Work
    from airflow_provider_mirakl.client.http import Client
    from airflow_provider_mirakl.hooks.base import MiraklBaseHook
    from airflow_provider_mirakl.runtime.arguments import PathArg
    from airflow_provider_mirakl.triggers.places import Here, Place


class PacedArguments(TaskArguments, total=False):
    """The parameters of :class:`PacedOperator`, for the operators built on it."""

    deferrable: bool
    max_failures: int
    refused_timeout: float | timedelta
    work_folder: PathArg | None


FIRST_LEAD = 3.0
"""Seconds a task wakes early before it has measured how long resuming takes: the smallest value ever measured."""
LONGEST_LEAD = 15.0
"""Upper limit in seconds for waking early."""


@dataclass(slots=True)
class Journey:
    """What a task keeps through a deferral, besides the pace; stored in the trigger's arguments.

    :param began: when this try began; Airflow 3 tells a resumed task only when it resumed.
    :param in_worker: the triggerer cannot access the plan, so workers make the calls.
    :param stays: pages got lost on the way, so this worker reads to the end: a deferral would lose them again.
    :param read: round and pages that had been read when the task left.
    :param lead: measured seconds from a trigger's time until the task was ready to call again; ``None``
        before it first resumed.
    """

    began: float | None = None
    in_worker: bool = False
    stays: bool = False
    read: list[int] = field(default_factory=list)
    lead: float | None = None

    @property
    def early(self) -> float:
        """Seconds that the task wakes early."""
        return FIRST_LEAD if self.lead is None else self.lead

    def learn(self, lag: float) -> None:
        """Record how long resuming took.

        :param lag: seconds from the trigger's time until the task was ready to call.
        """
        learned = lag if self.lead is None else 0.7 * self.lead + 0.3 * lag
        self.lead = max(0.0, min(learned, LONGEST_LEAD))


@dataclass(slots=True)
class Trip:
    """One stay in a worker: the run, and what the task takes along when it leaves.

    :param work: as it was opened last.
    """

    run: TaskRun
    pace: Pace
    journey: Journey
    work: Work | None = None

    def open(self, place: Place | Here) -> Work | None:
        """Open the work at a place."""
        self.work = place.open(self.run.memory)
        return self.work

    def state(self) -> dict[str, Any]:
        """What the task keeps through a deferral."""
        if self.work is not None:
            self.journey.read = pages_read(self.work.position)
        return {
            "pace": asdict(self.pace),
            "journey": asdict(self.journey),
            "carried": self.run.memory.carried,
        }


class PacedOperator(MiraklBaseOperator):
    """Base of the operators that make many paced calls.

    :param deferrable: let the triggerer make the calls; default Airflow's ``[operators] default_deferrable``.
        Otherwise the worker makes them and sleeps in between, with the same results.
    :param max_failures: calls that may fail one after another (5xx, broken connection) before the task fails, and
        failures of the storage in the same way. A 429 is a wait, not a failure.
    :param refused_timeout: longest time in seconds during which Mirakl may answer only 429.
    :param work_folder: folder for plans, progress, rejects and outcomes, as an object storage path that every worker
        and triggerer can access; default ``[mirakl] work_folder``, else ``mirakl`` below ``AIRFLOW_HOME``. Templated.
    """

    deferrable = Flag(templated=False)
    max_failures = Whole(least=0, templated=False)
    refused_timeout = Seconds(least=0, templated=False)
    work_folder = Maybe(Location())

    def __init__(
        self,
        *,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        max_failures: int = 5,
        refused_timeout: float | timedelta = 24 * 3600.0,
        work_folder: PathArg | None = None,
        **kwargs: Unpack[TaskArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.deferrable = deferrable
        self.max_failures = max_failures
        self.refused_timeout = refused_timeout
        self.work_folder = work_folder

    @property
    @abstractmethod
    def hook(self) -> MiraklBaseHook:
        """The hook of the operator's connection."""

    @abstractmethod
    def prepare(self, run: TaskRun) -> Place | Here | None:
        """Plan, or continue what a previous try planned; evaluate the results so far.

        Called again after each piece of work, and after each deferral: it must find its progress on storage.

        :return: the location of the next piece of work; ``None`` when all calls are made.
        """

    @abstractmethod
    def conclude(self, run: TaskRun) -> dict[str, Any]:
        """Evaluate the work, and return the operator's result."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Begin, or continue a previous try."""
        return self._begin(context)

    def resume(self, context: Context, event: object = None) -> dict[str, Any]:
        """Continue after a deferral.

        Airflow resumes without an event when a task is cleared just as it defers. Nothing is lost:
        progress is on storage, so the try begins like any other.

        :raises MiraklError: the error that the triggerer met.
        :raises MiraklTriggerEventError: the event is not valid.
        """
        if event is None:
            return self._begin(context)
        pace, journey, event = read_event(event)
        journey.read = max(journey.read, pages_read(event.get("position") or {}))
        run = TaskRun(context, self.work_folder, begins=False, carried=event["state"].get("carried"))
        journey.in_worker |= waiting.must_stay(self, event, run.folder)
        return self._proceed(Trip(run, pace, journey), event.get("moment"))

    def _begin(self, context: Context) -> dict[str, Any]:
        from airflow_provider_mirakl.catalog.loop import Pace

        run = TaskRun(context, self.work_folder, begins=True)
        return self._proceed(Trip(run, Pace(), Journey(began=run.started)))

    def _proceed(self, trip: Trip, woken_for: float | None = None) -> dict[str, Any]:
        from airflow_provider_mirakl.api.steps import drive
        from airflow_provider_mirakl.catalog.loop import make_calls
        from airflow_provider_mirakl.triggers.places import Place

        limits, run, journey = self._limits, trip.run, trip.journey
        while (place := self.prepare(run)) is not None:
            work = trip.open(place)
            if work is not None:
                self._check_pages(work, trip)
                in_triggerer = self.deferrable and not (journey.in_worker or journey.stays)
                if in_triggerer and isinstance(place, Place):
                    waiting.hand_over(
                        self,
                        self.hook,
                        place,
                        work,
                        max_failures=self.max_failures,
                        refused_timeout=self.refused_timeout,
                        began=journey.began,
                        state=trip.state(),
                        resume=self.resume,
                    )
            with self.hook.get_conn() as client:
                if woken_for is not None:  # only now is everything loaded for the call
                    journey.learn(time.time() - woken_for)
                    woken_for = None
                opened: Callable[[], Work | None] = partial(trip.open, place)
                drive(
                    make_calls(opened, trip.pace, limits, self.log),
                    lambda step: self._perform(step, client, trip),
                )
        result = self.conclude(run)
        run.tell_assets(self, result)
        return result

    @property
    def _limits(self) -> CallLimits:
        from airflow_provider_mirakl.catalog.loop import CallLimits

        return CallLimits(self.hook.settings.interval_factor, self.max_failures, self.refused_timeout)

    def _check_pages(self, work: Work, trip: Trip) -> None:
        """Log that pages read before are missing. They were files, so no note restores them.

        Without this a task whose every process has a fresh disk would read its first page again and again.
        """
        run, journey, read = trip.run, trip.journey, pages_read(work.position)
        if read >= journey.read:
            if run.begins and not run.is_first_try and work.position.get("pages") == 0:
                self.log.info("No page of a previous try is in %s: reading from the first one.", run.folder)
            return
        self.log.warning(
            "%s had been read, but %s no longer has the files: the work folder was removed, or is not shared. "
            "Reading from the first page again, and to the end in this worker. Set [mirakl] work_folder to storage "
            "that workers and triggerers share.",
            counted(journey.read[-1], "page"),
            run.folder,
        )
        journey.stays, journey.read = True, read

    def _perform(self, step: Step, client: Client, trip: Trip) -> object:
        """Perform a step in this worker."""
        from airflow_provider_mirakl.api.steps import Blocking, Send, Sleep

        match step:
            case Send():
                return client.send(step.call, max_wait=waiting.SHORTEST_DEFERRAL)
            case Blocking():
                return step.function()
            case Sleep():
                self._wait(step.seconds, trip)
        return None

    def _wait(self, seconds: float, trip: Trip) -> None:
        """Wait: in the triggerer if that pays off, else here."""
        journey = trip.journey
        if self.deferrable and not journey.stays and waiting.pays_off(seconds - journey.early):
            from airflow_provider_mirakl.triggers.moment import MomentTrigger

            self.log.info(
                "The triggerer waits for the next call until %s", waiting.clock(time.time() + seconds)
            )
            self.defer(
                trigger=MomentTrigger(time.time() + seconds - journey.early, trip.state()),
                method_name=self.resume.__name__,
                timeout=time_left(self.execution_timeout, journey.began),
            )
        if not self.deferrable and waiting.pays_off(seconds):
            self.log.info("Waiting %.0f s in this worker; deferrable=True would free it.", seconds)
        time.sleep(seconds)


def pages_read(position: Mapping[str, Any]) -> list[int]:
    """Round and pages of a position: the later, the larger. Of work without pages always the same.

    :param position: see :attr:`~airflow_provider_mirakl.catalog.work.Work.position`.
    """
    return [position.get("round", 1), position.get("pages", 0)]


def read_event(event: object) -> tuple[Pace, Journey, dict[str, Any]]:
    """What a trigger returns: the pace, the journey, and the rest of the event.

    :raises MiraklTriggerEventError: it is not the event of a ``MomentTrigger`` or a ``PacedTrigger``.
    """
    from airflow_provider_mirakl.catalog.loop import Pace
    from airflow_provider_mirakl.triggers.paced import STATUSES

    if not isinstance(event, Mapping):
        raise MiraklTriggerEventError(f"expected the event of a trigger, got {event!r:.200}")
    moment = event.get("moment")
    state = event.get("state")
    known = isinstance(moment, int | float) if moment is not None else event.get("status") in STATUSES
    if not known or not isinstance(state, Mapping):
        raise MiraklTriggerEventError(f"expected the event of a trigger, got {event!r:.200}")
    try:
        return Pace(**state["pace"]), Journey(**state["journey"]), dict(event)
    except (KeyError, TypeError) as error:
        raise MiraklTriggerEventError(f"the event of the trigger cannot be read: {error}") from None
