"""One try of a task instance: the location of its files, and its remaining time."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, cast

from airflow_provider_mirakl.assets import annotate, happened, withheld
from airflow_provider_mirakl.exceptions import MiraklItemsFailedError, MiraklNoteError, on_one_line, one_of
from airflow_provider_mirakl.files.paths import folder_below, reach, task_folder
from airflow_provider_mirakl.runtime.explaining import Explains

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.providers.common.compat.sdk import Asset, Context

    from airflow_provider_mirakl.files.storage import StoragePath
    from airflow_provider_mirakl.outcome import Outcome

log = logging.getLogger(__name__)

LASTING = "mirakl_lasting"
"""The XCom that says where the last run left its state or watermark."""
MAX_CARRIED = 45 * 1024
"""Characters of JSON in the arguments of a trigger. Airflow encrypts them, which makes them a third longer, and MySQL
stores 65,535 bytes."""
BACKSTOP = 600.0
"""Seconds after its deadline when Airflow ends a deferral whose trigger does not respond."""


def try_began(context: Context) -> float | None:
    """When this try began, in seconds since the epoch; on Airflow 3.0 and 3.1, after a deferral, when it resumed.

    So a task that defers keeps the time.
    """
    started: datetime | None = context["ti"].start_date
    return None if started is None else started.timestamp()


def time_left(execution_timeout: timedelta | None, began: float | None) -> timedelta | None:
    """The time that ``execution_timeout`` leaves for a try, counting waits in the triggerer.

    :param began: see :func:`try_began`.
    """
    if execution_timeout is None or began is None:
        return None
    return max(timedelta(0), execution_timeout - timedelta(seconds=time.time() - began))


def fits(*parts: Any) -> bool:
    """Whether parts of the arguments of a trigger are short enough for every database, as the JSON that they become."""
    return len(json.dumps(parts)) <= MAX_CARRIED


class Defers(Protocol):
    """An operator that can wait in the triggerer."""

    execution_timeout: timedelta | None

    @property
    def log(self) -> Any:
        """The logger of the task."""

    def defer(self, *, trigger: Any, method_name: str, timeout: timedelta | None = None) -> Any:
        """Leave the worker until the trigger fires."""


class ChangesAsset(Protocol):
    """An operator whose outlets get an event when it has changed something."""

    outlets: list[Any]

    @property
    def asset_name(self) -> str | None:
        """Name of the asset that it changes; ``None`` if it only reads."""

    @property
    def asset(self) -> Asset | None:
        """The asset that it changes; ``None`` if it only reads."""

    @property
    def log(self) -> Any:
        """The logger of the task."""


class Memory:
    """Stores the notes of a task instance outside their files, for a worker with an empty disk.

    It uses Airflow's ``task_state_store``, from 3.3 on and in workers only; and :attr:`carried`, which a task passes to
    its trigger and gets back from the trigger's event. On older versions, and in the triggerer, only the latter.

    :param state: Airflow's ``task_state_store``, if available.
    :param carried: notes that came back with a trigger's event.
    """

    def __init__(self, state: Any = None, carried: Mapping[str, str] | None = None) -> None:
        self._state = state
        self._notes: dict[str, str] = dict(carried or {})

    @property
    def carried(self) -> dict[str, str]:
        """The notes, for the arguments of a trigger: strings without secrets.

        None of them if they are too long for MySQL. A worker that cannot access the folder then fails with an error
        that says so, and submits nothing again.
        """
        return dict(self._notes) if fits(self._notes) else {}

    @property
    def lasts(self) -> bool:
        """Whether Airflow stores the notes for a retry."""
        return self._state is not None

    def get(self, key: str) -> list[str]:
        """Every known version of a note."""
        kept = [] if self._state is None else [self._state.get(f"mirakl/{key}".replace("/", "."))]
        return [text for text in (*kept, self._notes.get(key)) if isinstance(text, str)]

    def set(self, key: str, value: str) -> bool:
        """Store a note; true if Airflow stores it."""
        self._notes[key] = value
        if self._state is None:
            return False
        self._state.set(f"mirakl/{key}".replace("/", "."), value)
        return True


class TaskRun:
    """The files of one task instance, and whether it is a retry or a new run.

    Where a try begins, the log says where its notes and files are, and whether other machines can access them.

    :param context: the context of the running task.
    :param work_folder: the operator's argument.
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
        if begins:
            # Airflow's log page does not wrap lines: the path gets its own.
            where, advice = reach(self.folder)
            log.info(
                "Notes and files of this task are %s:%s",
                where,
                "".join(f"\n  {line}" for line in (self.folder, advice) if line),
            )

    @property
    def started(self) -> float | None:
        """See :func:`try_began`."""
        return try_began(self._context)

    @property
    def run_began(self) -> float | None:
        """When the Dag run began, in seconds since the epoch; ``None`` if Airflow does not provide it."""
        began = getattr(cast("Any", self._context).get("dag_run"), "start_date", None)
        return began.timestamp() if isinstance(began, datetime) else None

    @property
    def may_have_lost_notes(self) -> bool:
        """Whether a missing note may have been lost: a retry, before Airflow 3.3, on another disk."""
        return not self.memory.lasts and not self.is_first_try

    @property
    def may_have_lost_work(self) -> bool:
        """Whether a missing note may have been lost, of work that not even a cleared task may repeat.

        Airflow may remove what it stores when a task succeeds or after some days, and the task may then be cleared.
        """
        retries = getattr(getattr(self._ti, "task", None), "retries", None)
        may_be_cleared = retries is None or self._ti.max_tries > retries
        return bool(self._ti.try_number > 1 and (may_be_cleared or not self.memory.lasts))

    @property
    def is_first_try(self) -> bool:
        """Whether this is the first try since the task was last cleared, which raises ``max_tries``."""
        ti = self._ti
        retries = getattr(getattr(ti, "task", None), "retries", None)
        return bool(ti.try_number <= (1 if retries is None else max(1, ti.max_tries - retries + 1)))

    @cached_property
    def folder(self) -> StoragePath:
        """The folder of this task instance: below the work folder by dag, task, run and map index."""
        ti = self._ti
        return task_folder(self._work_folder, ti.dag_id, ti.task_id, ti.run_id, ti.map_index)

    def tell_assets(self, task: ChangesAsset, result: dict[str, Any]) -> None:
        """Add a result to the asset events of a task, or suppress them if it changed nothing in Mirakl.

        :param task: the operator with the outlets.
        :param result: the task's result.
        """
        if not task.outlets:
            return

        if task.asset_name is None or happened(result):  # a task that only reads always emits its result
            annotate(self._context["outlet_events"], task.outlets, result, task.asset)
        elif (left := withheld(task.outlets)) != task.outlets:
            # Airflow reads the outlets from this object when the task has ended.
            task.outlets = left
            task.log.info("Nothing changed in Mirakl, so there is no asset event.")

    @property
    def instance(self) -> str:
        """Identifies the task instance; the same in every try, also after a clear."""
        ti = self._ti
        return f"{ti.dag_id}/{ti.task_id}/{ti.run_id}/{ti.map_index}"

    @property
    def reader(self) -> str:
        """Name for what this task instance keeps in the folder of another task; the same in every try."""
        return f"verify-{hashlib.sha256(self.instance.encode()).hexdigest()[:16]}"

    @property
    def run_id(self) -> str:
        """The Dag run."""
        return str(self._ti.run_id)

    @property
    def map_index(self) -> int:
        """The map index; -1 for a task that is not mapped."""
        return -1 if self._ti.map_index is None else int(self._ti.map_index)

    def earlier(self, key: str) -> str | None:
        """The value that :meth:`leave` stored under a key, in an earlier run of this task or an earlier try."""
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
        """Store a short string for later runs of this task."""
        self.memory.set(key, value)
        self._ti.xcom_push(key=key, value=value)

    def check_lasting(
        self, place: StoragePath, what: str, on_lost_state: str, log: Any, *, chosen: bool = False
    ) -> None:
        """Refuse to start over if a file that must not get lost between the runs of a task is missing.

        Without it a task would silently send a whole catalog again and forget every delete, or export everything again.
        So a run that finds nothing asks Airflow whether an earlier run, or an earlier try of this one, had something:
        each stores the path in an XCom of its own and, from Airflow 3.3 on, in the task's state. The very first run has
        nothing to lose.

        :param place: the file that an earlier run would have written.
        :param what: its description for the message, such as ``the state of this sync``.
        :param on_lost_state: ``fail``, or ``full`` to start over with a warning.
        :param chosen: whether the user set the path. Then a different path than before is intended, not lost.
        :raises MiraklNoteError: it is missing, and ``on_lost_state`` is ``fail``; no call was made.
        """
        one_of("on_lost_state", on_lost_state, ("fail", "full"))
        if place.exists():
            return
        earlier = self.earlier(LASTING)
        # The map index of a source may change between runs, and then a different path is correct.
        if earlier is None or ((self.is_mapped or chosen) and earlier != str(place)):
            return
        words = (
            f"{place} does not exist, but an earlier run of this task left {what} in {earlier}. It was removed, or the "
            "folder is on the disk of another machine"
        )
        if on_lost_state == "fail":
            raise MiraklNoteError(
                f"{words}. Nothing was sent. Restore it, or set [mirakl] work_folder to storage that every worker can "
                "access; set on_lost_state='full' for one run to start over",
                path=str(place),
            )
        log.warning("%s. Starting over, as on_lost_state='full' allows.", words)

    def note_lasting(self, place: StoragePath) -> None:
        """Let later runs know that this one wrote a file.

        :param place: the file.
        """
        self.leave(LASTING, str(place))

    def push_result(self, result: dict[str, Any]) -> None:
        """Push a result to XCom as the return value, before an error ends the task."""
        task = getattr(self._ti, "task", None)
        if isinstance(task, Explains):
            task.remember(result)
        if not getattr(task, "do_xcom_push", True):
            return
        if isinstance(task, Explains):
            task.push_outputs(self._ti, result)
        self._ti.xcom_push(key="return_value", value=result)

    def check_items(
        self,
        result: dict[str, Any],
        max_failed_items: int | None,
        max_failed_ratio: float | None,
        log: Any,
        *,
        after_failure: str,
    ) -> None:
        """Log the results of the items, and raise if too many failed.

        XCom gets the result before the error is raised: a failed task returns nothing, and downstream tasks and
        notifications would otherwise have neither counts nor rejects.

        :param result: the task's result.
        :param log: the logger of the task.
        :param after_failure: what to do about failed items, if no file of rejects says it.
        :raises MiraklItemsFailedError: with the result as data. The log ends with the most frequent errors, the path
            of the rejects and what to do next.
        """
        from airflow_provider_mirakl.outcome import FailurePolicy, Outcome

        outcome = Outcome.from_summary(result)
        log.info("Outcome of %s: %s", ", ".join(map(str, outcome.job_ids)) or "the task", outcome)
        for message in result.get("messages", ()):
            log.warning("%s", on_one_line(message))
        failure: MiraklItemsFailedError | None = None
        try:
            FailurePolicy(max_failed_items, max_failed_ratio).check(outcome)
        except MiraklItemsFailedError as error:
            failure = error
        if failure is None:
            _tell_errors(outcome, log.warning)
            return
        failure.outcome = dict(result)
        self.push_result(result)
        log.error("%d of %d items failed.", outcome.failed, outcome.total)
        _tell_errors(outcome, log.error)
        if rejects := result.get("rejects"):
            log.error("The failed items are in %s: fix them and use that file as source.", rejects)
        else:
            rows = ", ".join(outcome.rows) or result.get("folder")
            log.error("The items are listed in %s: %s.", rows, after_failure)
        raise failure

    @property
    def is_mapped(self) -> bool:
        """Whether the task is mapped."""
        return self.map_index >= 0

    def lasting_folder(self, *names: str) -> StoragePath:
        """A folder that every run of this task shares."""
        return folder_below(self._work_folder, *names, self._ti.dag_id, self._ti.task_id)

    @property
    def generation(self) -> str:
        """The same across retries and deferrals; changes when the task is cleared.

        Clearing a task raises ``max_tries``; nothing else does.
        """
        ti = self._ti
        return f"{ti.dag_id}/{ti.task_id}/{ti.run_id}/{ti.map_index}/{ti.max_tries}"

    @property
    def attempt(self) -> str:
        """The same across the deferrals and reschedules of one try; a retry has another."""
        return f"{self.generation}/{self._ti.try_number}"


def _tell_errors(outcome: Outcome, tell: Callable[..., object]) -> None:
    for error in outcome.errors[:3]:
        tell("%d x %s", error.count, error.reason)
