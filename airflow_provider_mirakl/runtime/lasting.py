"""Files that must not get lost between the runs of a task: the state of a sync, the watermark of an export.

A task that loses one silently would send a whole catalog again and forget every delete, or export everything again.
So a run that finds nothing asks Airflow whether an earlier run, or an earlier try of this one, had something: each
stores the path in an XCom of its own and, from Airflow 3.3 on, in the task's state. The very first run has nothing to
lose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_mirakl.exceptions import MiraklNoteError, one_of

if TYPE_CHECKING:
    from airflow_provider_mirakl.files.storage import StoragePath
    from airflow_provider_mirakl.runtime.task_run import TaskRun

XCOM_KEY = "mirakl_lasting"


def check_lasting(
    run: TaskRun, place: StoragePath, what: str, on_lost_state: str, log: Any, *, chosen: bool = False
) -> None:
    """Refuse to start over if the file of an earlier run is missing.

    :param run: this try.
    :param place: the file that an earlier run would have written.
    :param what: its description for the message, such as ``the state of this sync``.
    :param on_lost_state: ``fail``, or ``full`` to start over with a warning.
    :param chosen: whether the user set the path. Then a different path than before is intended, not lost.
    :raises MiraklNoteError: it is missing, and ``on_lost_state`` is ``fail``; no call was made.
    """
    one_of("on_lost_state", on_lost_state, ("fail", "full"))
    if place.exists():
        return
    earlier = run.earlier(XCOM_KEY)
    # The map index of a source may change between runs, and then a different path is correct.
    if earlier is None or ((run.is_mapped or chosen) and earlier != str(place)):
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


def note_lasting(run: TaskRun, place: StoragePath) -> None:
    """Let later runs know that this one wrote a file.

    :param place: the file.
    """
    run.leave(XCOM_KEY, str(place))
