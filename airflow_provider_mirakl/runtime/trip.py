"""What a paced operator does while it runs: open the work, make its calls here or let the triggerer make them, wait.

Operators import this module when they run, not when Airflow parses a Dag: it loads the catalog engine.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Protocol

from airflow.providers.common.compat.sdk import Context

from airflow_provider_mirakl.api.clock import clock_time
from airflow_provider_mirakl.api.steps import drive
from airflow_provider_mirakl.catalog.loop import CallLimits, Pace, make_calls
from airflow_provider_mirakl.catalog.work import Work
from airflow_provider_mirakl.client.steps import performer
from airflow_provider_mirakl.exceptions import MiraklTriggerEventError, counted
from airflow_provider_mirakl.hooks.base import MiraklBaseHook
from airflow_provider_mirakl.runtime import waiting
from airflow_provider_mirakl.runtime.hand_over import hand_over
from airflow_provider_mirakl.runtime.task_run import ChangesAsset, Defers, TaskRun
from airflow_provider_mirakl.triggers.paced import STATUSES
from airflow_provider_mirakl.triggers.places import Here, Place

FIRST_LEAD = 3.0
"""Seconds a task wakes early before it has measured how long resuming takes: the smallest value ever measured."""
LONGEST_LEAD = 15.0
"""Upper limit in seconds for waking early."""


class PacedTask(ChangesAsset, Defers, Protocol):
    """What a trip needs of its operator."""

    @property
    def deferrable(self) -> bool:
        """Whether the triggerer may make the calls."""

    @property
    def max_failures(self) -> int:
        """Calls that may fail one after another."""

    @property
    def refused_timeout(self) -> float:
        """Seconds during which Mirakl may answer only 429."""

    @property
    def work_folder(self) -> str | None:
        """The folder of plans and progress."""

    @property
    def hook(self) -> MiraklBaseHook:
        """The hook of its connection."""

    def prepare(self, run: TaskRun) -> Place | Here | None:
        """Plan, or continue; evaluate the results so far."""

    def conclude(self, run: TaskRun) -> dict[str, Any]:
        """Evaluate the work."""

    def resume(self, context: Context, event: object = None) -> dict[str, Any]:
        """Continue after a deferral."""


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
    """One stay in a worker, from the start of the task, or from its return, to its end or its next deferral.

    =========================================  ==============================================================
    The work, and the task                     Who makes the calls
    =========================================  ==============================================================
    not deferrable                             this worker, which sleeps in between
    a place, and the calls are slow            the triggerer, all of them; the task comes back to evaluate
    a place, and the calls are quick           this worker: a deferral would take longer than the wait
    of this process only                       this worker; it defers for long waits, and comes back for each call
    ``journey.in_worker``: the triggerer       as above: a worker each time, since the plan is on storage that
    could not access the plan                  workers share
    ``journey.stays``: pages got lost          this worker, to the end: in another they would be lost again
    =========================================  ==============================================================

    :param work: as it was opened last.
    """

    task: PacedTask
    run: TaskRun
    pace: Pace
    journey: Journey
    work: Work | None = None

    @classmethod
    def begin(cls, task: PacedTask, context: Context) -> Trip:
        """The trip of a task that starts."""
        run = TaskRun(context, task.work_folder, begins=True)
        return cls(task, run, Pace(), Journey(began=run.started))

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

    def proceed(self, woken_for: float | None = None) -> dict[str, Any]:
        """Make the calls, piece of work by piece of work, and return the operator's result.

        :param woken_for: the moment for which a trigger woke the task.
        """
        task, run, journey = self.task, self.run, self.journey
        limits = CallLimits(task.hook.settings.interval_factor, task.max_failures, task.refused_timeout)
        while (place := task.prepare(run)) is not None:
            if (work := self.open(place)) is not None:
                self.check_pages(work)
                in_triggerer = task.deferrable and not (journey.in_worker or journey.stays)
                if in_triggerer and isinstance(place, Place):
                    self._hand_over(place, work)
            with task.hook.get_conn() as client:
                if woken_for is not None:  # only now is everything loaded for the call
                    journey.learn(time.time() - woken_for)
                    woken_for = None
                drive(
                    make_calls(partial(self.open, place), self.pace, limits, task.log),
                    performer(client, max_wait=waiting.SHORTEST_DEFERRAL, sleep=self.wait),
                )
        result = task.conclude(run)
        run.tell_assets(task, result)
        return result

    def _hand_over(self, place: Place, work: Work) -> None:
        """Let the triggerer make the calls, unless they are too quick for it to pay off."""
        hand_over(
            self.task,
            self.task.hook,
            place,
            work,
            max_failures=self.task.max_failures,
            refused_timeout=self.task.refused_timeout,
            began=self.journey.began,
            state=self.state(),
            resume=self.task.resume,
        )

    def check_pages(self, work: Work) -> None:
        """Log that pages read before are missing. They were files, so no note restores them.

        Without this a task whose every process has a fresh disk would read its first page again and again.
        """
        run, journey, read, log = self.run, self.journey, pages_read(work.position), self.task.log
        if read >= journey.read:
            if run.begins and not run.is_first_try and work.position.get("pages") == 0:
                log.info("No page of a previous try is in %s: reading from the first one.", run.folder)
            return
        log.warning(
            "%s had been read, but %s no longer has the files: the work folder was removed, or is not shared. "
            "Reading from the first page again, and to the end in this worker. Set [mirakl] work_folder to storage "
            "that workers and triggerers share.",
            counted(journey.read[-1], "page"),
            run.folder,
        )
        journey.stays, journey.read = True, read

    def wait(self, seconds: float) -> None:
        """Wait: in the triggerer if that pays off, else here."""
        task, journey = self.task, self.journey
        # What is in memory only would be read again, and refused again.
        stays = journey.stays or (self.work is not None and self.work.position.get("unfinished", False))
        if task.deferrable and not stays and waiting.pays_off(seconds - journey.early):
            task.log.info("The triggerer waits for the next call until %s", clock_time(time.time() + seconds))
            waiting.leave(
                task,
                seconds - journey.early,
                state=self.state(),
                resume=task.resume,
                began=journey.began,
            )
        if waiting.pays_off(seconds):
            advice = "" if task.deferrable else "; deferrable=True would free it"
            task.log.info("Waiting %.0f s in this worker%s.", seconds, advice)
        time.sleep(seconds)


def resume(task: PacedTask, context: Context, event: object) -> dict[str, Any]:
    """Continue after a deferral.

    :param event: what the trigger returned.
    :raises MiraklError: the error that the triggerer met.
    :raises MiraklTriggerEventError: the event is not valid.
    """
    pace, journey, event = read_event(event)
    journey.read = max(journey.read, pages_read(event.get("position") or {}))
    run = TaskRun(context, task.work_folder, begins=False, carried=event["state"].get("carried"))
    journey.in_worker |= waiting.must_stay(task, event, run.folder)
    return Trip(task, run, pace, journey).proceed(event.get("moment"))


def pages_read(position: Mapping[str, Any]) -> list[int]:
    """Round and pages of a position: the later, the larger. Of work without pages always the same.

    :param position: see :attr:`~airflow_provider_mirakl.catalog.work.Work.position`.
    """
    return [position.get("round", 1), position.get("pages", 0)]


def read_event(event: object) -> tuple[Pace, Journey, dict[str, Any]]:
    """What a trigger returns: the pace, the journey, and the rest of the event.

    :raises MiraklTriggerEventError: it is not the event of a ``MomentTrigger`` or a ``PacedTrigger``.
    """
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
