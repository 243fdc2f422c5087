"""One try of a task instance: where it keeps its files, and how much time it has left."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Asset, Context

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


class ChangesAsset(Protocol):
    """An operator whose outlets get an event when it changed something."""

    outlets: list[Any]

    @property
    def asset_name(self) -> str | None:
        """What it changes in Mirakl, as an asset is named; ``None`` for what only reads."""

    @property
    def asset(self) -> Asset | None:
        """What it changes in Mirakl; ``None`` for what only reads."""

    @property
    def log(self) -> Any:
        """The logger of the task."""


class Memory:
    """Where the notes of a task instance are kept besides their files, so that a worker with a fresh disk knows them.

    That is Airflow's ``task_state_store``, from 3.3 on and in workers only; and :attr:`carried`, which a task hands to
    its trigger and takes back from the trigger's event. On older versions, and in the triggerer, only the latter.

    :param state: Airflow's ``task_state_store``, where there is one.
    :param carried: notes that came back with a trigger's event.
    """

    def __init__(self, state: Any = None, carried: Mapping[str, str] | None = None) -> None:
        self._state = state
        self.carried: dict[str, str] = dict(carried or {})
        """The notes, for the arguments of a trigger: small texts, without a secret."""

    @property
    def lasts(self) -> bool:
        """Whether Airflow keeps the notes, so that a retry finds them."""
        return self._state is not None

    def get(self, key: str) -> list[str]:
        """Every version of a note that is known."""
        kept = [] if self._state is None else [self._state.get(f"mirakl/{key}".replace("/", "."))]
        return [text for text in (*kept, self.carried.get(key)) if isinstance(text, str)]

    def set(self, key: str, value: str) -> bool:
        """Keep a note; true when Airflow keeps it."""
        self.carried[key] = value
        if self._state is None:
            return False
        self._state.set(f"mirakl/{key}".replace("/", "."), value)
        return True


class TaskRun:
    """Where one task instance keeps its files, and what tells a retry from a run anew.

    :param context: of the running task.
    :param work_folder: as the operator has it.
    :param begins: whether a try begins here, the first or a later one; not after a deferral.
    :param carried: notes that came back with a trigger's event; see :class:`Memory`.
    """

    def __init__(
        self,
        context: Context,
        work_folder: str | None,
        *,
        begins: bool,
        carried: Mapping[str, str] | None = None,
    ) -> None:
        self._context = context
        self._ti = context["ti"]
        self._work_folder = work_folder
        self.begins = begins
        self.memory = Memory(cast("Any", context).get("task_state_store"), carried)

    @property
    def started(self) -> float | None:
        """See :func:`try_began`."""
        return try_began(self._context)

    @property
    def run_began(self) -> float | None:
        """When the Dag run began, in seconds since the epoch; ``None`` where Airflow does not tell."""
        began = getattr(cast("Any", self._context).get("dag_run"), "start_date", None)
        return began.timestamp() if isinstance(began, datetime) else None

    @property
    def may_have_lost_notes(self) -> bool:
        """Whether a note that is not there may have been lost: a retry, before Airflow 3.3, on another disk."""
        return not self.memory.lasts and not self.is_first_try

    @property
    def is_first_try(self) -> bool:
        """Whether no try came before this one since the task was last cleared, which raises ``max_tries``."""
        ti = self._ti
        retries = getattr(getattr(ti, "task", None), "retries", None)
        return bool(ti.try_number <= (1 if retries is None else max(1, ti.max_tries - retries + 1)))

    def announce(self, log: Any) -> None:
        """Say where the notes and files of this task are, and whether other machines reach them."""
        from airflow_provider_mirakl.files.paths import is_local

        where = (
            "on the disk of this machine; if workers run on several machines, set [mirakl] work_folder to storage "
            "that all of them reach"
            if is_local(self.folder)
            else "on storage that every worker can access"
        )
        log.info("Notes and files of this task are in %s, %s.", self.folder, where)

    @cached_property
    def folder(self) -> StoragePath:
        """The folder of this task instance: below the work folder by dag, task, run and map index."""
        from airflow_provider_mirakl.files.paths import task_folder

        ti = self._ti
        return task_folder(self._work_folder, ti.dag_id, ti.task_id, ti.run_id, ti.map_index)

    def tell_assets(self, task: ChangesAsset, result: dict[str, Any]) -> None:
        """Put a result into the asset events of a task, or withhold them where it changed nothing in Mirakl.

        :param task: the operator, whose outlets are meant.
        :param result: the task's result.
        """
        if not task.outlets:
            return
        from airflow_provider_mirakl.assets import annotate, happened, withheld

        if task.asset_name is None or happened(result):  # one that only reads says what it found
            annotate(self._context["outlet_events"], task.outlets, result, task.asset)
        elif (left := withheld(task.outlets)) != task.outlets:
            # Airflow reads the outlets when the task has ended, from this very object.
            task.outlets = left
            task.log.info("Nothing changed in Mirakl, so there is no asset event.")

    @property
    def instance(self) -> str:
        """Names the task instance; the same in every try, also after the task was cleared."""
        ti = self._ti
        return f"{ti.dag_id}/{ti.task_id}/{ti.run_id}/{ti.map_index}"

    @property
    def run_id(self) -> str:
        """The Dag run."""
        return str(self._ti.run_id)

    @property
    def map_index(self) -> int:
        """Which instance of a mapped task this is; -1 for a task that is not mapped."""
        return -1 if self._ti.map_index is None else int(self._ti.map_index)

    def earlier(self, key: str) -> str | None:
        """What :meth:`leave` left under a key, in an earlier run of this task or an earlier try of this run."""
        pull = getattr(self._ti, "xcom_pull", None)
        index = self._ti.map_index if self.is_mapped else -1
        pulled = (
            pull(task_ids=self._ti.task_id, key=key, map_indexes=index, include_prior_dates=True)
            if pull
            else None
        )
        found = [value for value in (*self.memory.get(key), pulled) if isinstance(value, str)]
        return found[0] if found else None

    def leave(self, key: str, value: str) -> None:
        """Leave a small text for later runs of this task."""
        self.memory.set(key, value)
        self._ti.xcom_push(key=key, value=value)

    def push_result(self, result: dict[str, Any]) -> None:
        """Make a result the task's XCom, as if it had returned it, before an error ends it."""
        task = getattr(self._ti, "task", None)
        if not getattr(task, "do_xcom_push", True):
            return
        if getattr(task, "multiple_outputs", False):
            for key, value in result.items():
                self._ti.xcom_push(key=key, value=value)
        self._ti.xcom_push(key="return_value", value=result)

    @property
    def is_mapped(self) -> bool:
        """Whether this is one of several instances of a mapped task."""
        return self.map_index >= 0

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
