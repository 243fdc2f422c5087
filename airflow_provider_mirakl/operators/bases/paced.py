"""The base of the operators that make many calls, one at a time, at Mirakl's pace, without occupying a worker.

A worker plans and evaluates. In between, the triggerer makes the calls: one deferral for a whole catalog. If the
triggerer cannot access the plan, workers make the calls and defer between them. Progress is kept on storage, so
a killed worker, a killed triggerer or a retry continues from there.
"""

from __future__ import annotations

from abc import abstractmethod
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_mirakl.operators.bases.base import MiraklBaseOperator
from airflow_provider_mirakl.runtime.arguments import Flag, Location, Maybe, Seconds, Whole

if TYPE_CHECKING:
    from typing import Unpack

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mirakl.hooks.base import MiraklBaseHook
    from airflow_provider_mirakl.runtime.arguments import PathArg
    from airflow_provider_mirakl.runtime.signatures import TaskArguments
    from airflow_provider_mirakl.runtime.task_run import TaskRun
    from airflow_provider_mirakl.triggers.places import Here, Place


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
        from airflow_provider_mirakl.runtime.trip import resume

        return self._begin(context) if event is None else resume(self, context, event)

    def _begin(self, context: Context) -> dict[str, Any]:
        from airflow_provider_mirakl.runtime.trip import Trip

        return Trip.begin(self, context).proceed()
