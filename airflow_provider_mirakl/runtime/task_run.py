"""One try of a task instance: where it keeps its files, and how much time it has left."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mirakl.files.storage import StoragePath

SHORTEST_DEFERRAL = 10.0
"""Seconds. A shorter wait is slept in the worker: a trigger that fires within some six seconds of the deferral can run
into a race in Airflow's scheduler, which fails the task."""
BACKSTOP = 600.0
"""Seconds after its deadline at which Airflow itself ends a deferral whose trigger does not answer."""


def try_began(context: Context) -> float | None:
    """When this try began, in seconds since the epoch; on Airflow 3.0 and 3.1, after a deferral, when it came back.

    So a task that defers takes the moment along.
    """
    started: datetime | None = context["ti"].start_date
    return None if started is None else started.timestamp()


def time_left(execution_timeout: timedelta | None, began: float | None) -> timedelta | None:
    """What ``execution_timeout`` leaves of a try, so that it counts the waits in the triggerer too.

    :param began: of :func:`try_began`.
    """
    if execution_timeout is None or began is None:
        return None
    return max(timedelta(0), execution_timeout - timedelta(seconds=time.time() - began))


class TaskRun:
    """Where one task instance keeps its files, and what tells a retry from a run anew.

    :param context: of the running task.
    :param work_folder: as the operator has it.
    :param begins: whether a try begins here, the first or a later one; not after a deferral.
    """

    def __init__(self, context: Context, work_folder: str | None, *, begins: bool) -> None:
        self._context = context
        self._ti = context["ti"]
        self._work_folder = work_folder
        self.begins = begins

    @property
    def started(self) -> float | None:
        """See :func:`try_began`."""
        return try_began(self._context)

    @cached_property
    def folder(self) -> StoragePath:
        """The folder of this task instance: below the work folder by dag, task, run and map index."""
        from airflow_provider_mirakl.files.paths import task_folder

        ti = self._ti
        return task_folder(self._work_folder, ti.dag_id, ti.task_id, ti.run_id, ti.map_index)

    def annotate_assets(self, outlets: list[Any], outcome: dict[str, Any]) -> None:
        """Put the outcome into the asset events of a task that has a catalog of Mirakl among its outlets."""
        from airflow_provider_mirakl.assets import annotate

        annotate(self._context["outlet_events"], outlets, outcome)

    @property
    def is_mapped(self) -> bool:
        """Whether this is one of several instances of a mapped task."""
        return self._ti.map_index is not None and self._ti.map_index >= 0

    def lasting_folder(self, *names: str) -> StoragePath:
        """A folder that every run of this task shares."""
        from airflow_provider_mirakl.files.paths import folder_below

        return folder_below(self._work_folder, *names, self._ti.dag_id, self._ti.task_id)

    @property
    def generation(self) -> str:
        """Stays the same over retries and deferrals and changes when the task is cleared.

        Clearing a task raises ``max_tries``; nothing else does.
        """
        ti = self._ti
        return f"{ti.dag_id}/{ti.task_id}/{ti.run_id}/{ti.map_index}/{ti.max_tries}"
