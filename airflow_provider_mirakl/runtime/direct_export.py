"""What the operator of an export that answers at once does while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from airflow.providers.common.compat.sdk import Context

from airflow_provider_mirakl.api.call import Call
from airflow_provider_mirakl.api.caller import Caller
from airflow_provider_mirakl.api.refusals import Limit
from airflow_provider_mirakl.exceptions import (
    MiraklConfigurationError,
    MiraklNotYetError,
    MiraklRateLimitError,
    counted,
)
from airflow_provider_mirakl.files.paths import storage_path
from airflow_provider_mirakl.hooks.mirakl import MiraklHook
from airflow_provider_mirakl.runtime.arguments import check_caller, check_range
from airflow_provider_mirakl.runtime.downloads import ready_target, write_files
from airflow_provider_mirakl.runtime.task_run import TaskRun, try_began
from airflow_provider_mirakl.runtime.waiting import SHORTEST_DEFERRAL, Waits, postpone
from airflow_provider_mirakl.runtime.watermark import Marked, MarkedWindow


class DirectExport(Waits, Marked, Protocol):
    """What is needed of the operator: its arguments, and the call."""

    @property
    def target(self) -> str: ...
    @property
    def updated_since(self) -> datetime | None: ...
    @property
    def updated_to(self) -> datetime | None: ...
    @property
    def on_lost_state(self) -> str: ...
    @property
    def shop_id(self) -> int | None: ...
    @property
    def refused_timeout(self) -> float: ...
    @property
    def work_folder(self) -> str | None: ...
    @property
    def roles(self) -> Sequence[str]: ...
    @property
    def operation(self) -> str: ...
    @property
    def hook(self) -> MiraklHook: ...
    def filters(self, caller: Caller) -> dict[str, Any]: ...
    def ask(self, caller: Caller, since: datetime | None, until: datetime) -> Call[bytes]: ...
    def resume(self, context: Context, event: object = None) -> dict[str, Any]: ...


def export(task: DirectExport, context: Context, state: Mapping[str, Any]) -> dict[str, Any]:
    """Call, write, move the watermark; if Mirakl does not permit the call yet, wait until it does.

    :param state: after a wait in the triggerer, in seconds since the epoch: when the try ``began``, and
        ``refused_since``, when Mirakl first refused the call.
    """
    began, refused_since = state.get("began") or try_began(context), state.get("refused_since")
    while True:
        try:
            return _export(task, TaskRun(context, task.work_folder, begins=True))
        except (MiraklNotYetError, MiraklRateLimitError) as wait:
            refused_since = postpone(
                task,
                wait,
                since=refused_since,
                limit=Limit("refused_timeout", task.refused_timeout),
                state={"began": began},
                resume=task.resume,
                began=began,
            )


def _export(task: DirectExport, run: TaskRun) -> dict[str, Any]:
    ready_target(task.target)
    caller = check_caller(task.hook, task.shop_id, task.operation, task.roles).check_shop(task.operation)
    begun, given = datetime.now(UTC), task.updated_since
    check_range(("updated_since", "updated_to"), given, task.updated_to)
    window = None
    if given is None:
        window = MarkedWindow.find(task, run, task.filters(caller), on_lost_state=task.on_lost_state)
    since = given if window is None else window.since
    until = task.updated_to or begun
    if since is not None and until is not begun and until <= since:
        raise MiraklConfigurationError(
            f"updated_to: {until.isoformat()} is not after {since.isoformat()}, where the window begins; to "
            "repeat an older window, set updated_since as well",
            field="updated_to",
        )
    with task.hook.get_conn() as client:
        items = write_files(
            client,
            [task.ask(caller, since, until)],
            storage_path(task.target),
            "ndjson",
            max_wait=SHORTEST_DEFERRAL if task.deferrable else None,
        )
        asked = begun - timedelta(seconds=client.seconds_ahead)
    if window is not None:
        # Changes after this time are not exported yet, whatever the window.
        window.delivered(min(until, asked))
    changed = f" that changed since {since}" if since else ""
    task.log.info("Wrote %s: %s%s", task.target, counted(items or 0, "item"), changed)
    return {
        "target": task.target,
        "items": items,
        "updated_since": since.isoformat() if since else None,
        "updated_to": until.isoformat(),
        "folder": str(run.folder),
    }
