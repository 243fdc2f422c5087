"""The work folder cleans up after itself: a task that succeeded removes what its own old runs left.

Once a day for each task, and never while another run of it is unfinished: a deferred task, or one that waits for its
retry, needs its folder however old it is. The notes about who sent what, which all tasks share, are looked through once
a day by one of them. ``mirakl-provider clean`` does the same for all tasks at once.
"""

from __future__ import annotations

import time
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_mirakl._compat import count_unfinished
from airflow_provider_mirakl.files.paths import folder_below, task_folder
from airflow_provider_mirakl.files.storage import write_bytes
from airflow_provider_mirakl.files.tidying import DAY, LAST_FILE, old_claims, old_runs_of, remove_claim

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

MOST = 50
"""Folders that are removed at once, so that no task takes long to end."""
MOST_CLAIMS = 1_000
"""Notes about who sent what that are removed at once."""


def keep_days() -> float:
    """``[mirakl] keep_days``; 0 keeps everything."""
    return float(conf.getfloat("mirakl", "keep_days", fallback=30.0))


def tidy(context: Context, work_folder: str | None, log: Any) -> None:
    """Remove what old runs of a task left. Whatever goes wrong is logged: it is no reason to fail a task.

    :param context: of the task, which has succeeded.
    :param work_folder: as the operator has it.
    """
    try:
        _tidy(context, work_folder, log)
    except Exception as error:  # noqa: BLE001 - the task has done its work
        log.warning("What old runs left cannot be removed (%s: %s).", type(error).__name__, error)


def _tidy(context: Context, work_folder: str | None, log: Any) -> None:
    days, now, ti = keep_days(), time.time(), context["ti"]
    if days <= 0:
        return
    own = task_folder(work_folder, ti.dag_id, ti.task_id, ti.run_id, None)
    last = own.parent / LAST_FILE
    if not own.exists() or (last.exists() and now - last.stat().st_mtime < DAY):
        return
    write_bytes(last, b"")
    _tidy_claims(work_folder, days * DAY, log)
    if count_unfinished(ti) > 1:  # this one is still counted
        return
    removed = 0
    for run in islice(old_runs_of(own.parent, now - days * DAY, lambda name: name == own.name), MOST):
        run.remove()
        removed += 1
    if removed:
        log.info("Removed what %d runs left in %s more than %g days ago.", removed, own.parent, days)


def _tidy_claims(work_folder: str | None, kept: float, log: Any) -> None:
    folder, now = folder_below(work_folder), time.time()
    last = folder / LAST_FILE
    if last.exists() and now - last.stat().st_mtime < DAY:
        return
    write_bytes(last, b"")
    removed = 0
    for file in islice(old_claims(folder, now - kept), MOST_CLAIMS):
        remove_claim(file)
        removed += 1
    if removed:
        log.info("Removed %d old notes about submitted jobs and actions from %s.", removed, folder)
