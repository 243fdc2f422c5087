"""The differences between Airflow 2.11 and 3.x that common.compat does not cover."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from airflow import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.providers.common.compat.sdk import Connection

T = TypeVar("T")

try:
    from airflow.sdk.log import mask_secret
except ImportError:  # Airflow before 3.1
    try:
        from airflow.sdk.execution_time.secrets_masker import mask_secret  # type: ignore[no-redef]
    except ImportError:  # Airflow 2
        from airflow.utils.log.secrets_masker import mask_secret  # type: ignore[no-redef]

try:
    from airflow.sdk.log import amask_secret
except ImportError:  # Airflow before 3.3

    async def amask_secret(secret: Any, name: str | None = None) -> None:  # type: ignore[misc]
        """Mask a secret without holding the event loop."""
        from asgiref.sync import sync_to_async

        # Not asyncio.to_thread: masking talks to the triggerer's supervisor, and from a thread of asgiref it does so
        # on the triggerer's own loop, where that conversation lives.
        await sync_to_async(mask_secret)(secret, name)


try:
    from airflow.triggers.base import BaseEventTrigger

    HAS_EVENT_TRIGGERS = True
except ImportError:  # Airflow 2
    from airflow.triggers.base import BaseTrigger as BaseEventTrigger  # type: ignore[assignment]

    HAS_EVENT_TRIGGERS = False


REFUSES_NONE = __version__.startswith("3.0.")
"""Whether the API of Airflow refuses an XCom that is nothing: a task with such an output would fail after its work."""


HASHES_ALIAS_EXTRA = __version__.startswith(("2.", "3.0."))
"""Whether the values of an alias event's extra must be hashable: a list would fail the task after its work is done."""


def as_alias_extra(result: dict[str, Any]) -> dict[str, Any]:
    """A result as the extra of an alias event; before Airflow 3.1, its lists and mappings are JSON."""
    if not HASHES_ALIAS_EXTRA:
        return result
    return {
        name: json.dumps(value) if isinstance(value, list | tuple | dict) else value
        for name, value in result.items()
    }


async def in_thread(function: Callable[[], T]) -> T:
    """Do work that blocks in a thread, from an event loop.

    Not ``asyncio.to_thread``: work that reads storage may ask Airflow for a connection, and from a thread of asgiref it
    does so on the triggerer's own loop, where the conversation with its supervisor lives. From another thread it may
    hang. Nor asgiref's one sensitive thread, in which the tasks of a triggerer would wait for one another.
    """
    from asgiref.sync import sync_to_async

    return await sync_to_async(function, thread_sensitive=False)()


def check_file_system(scheme: str) -> None:
    """Reject an unknown file system when a path is made: before Airflow 3.2, Airflow does that when the path is used.

    :param scheme: the beginning of a URL, such as ``s3``.
    :raises ValueError: no file system has the scheme.
    """
    try:
        from airflow.sdk.io.fs import has_fs
    except ImportError:  # before Airflow 3.1
        from airflow.io import has_fs  # type: ignore[attr-defined, no-redef]
    if not has_fs(scheme):
        raise ValueError(f"No filesystem registered for scheme {scheme}")


UNFINISHED = ("deferred", "queued", "restarting", "running", "scheduled", "up_for_reschedule", "up_for_retry")
"""States of an unfinished task instance."""


def count_unfinished(ti: Any) -> int:
    """How many instances of a task are unfinished, in any run, the running one among them."""
    if hasattr(ti, "get_ti_count"):  # Airflow 3
        return int(ti.get_ti_count(dag_id=ti.dag_id, task_ids=[ti.task_id], states=list(UNFINISHED)))
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    with create_session() as session:
        query = session.query(TaskInstance).filter(
            TaskInstance.dag_id == ti.dag_id,
            TaskInstance.task_id == ti.task_id,
            TaskInstance.state.in_(UNFINISHED),
        )
        return int(query.count())


def unfinished_runs() -> list[tuple[str, str]]:
    """Dag and run of every unfinished Dag run, or with an unfinished task. For a process that may read the database."""
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    with create_session() as session:
        runs = session.query(DagRun.dag_id, DagRun.run_id).filter(DagRun.state.in_(("queued", "running")))
        tasks = session.query(TaskInstance.dag_id, TaskInstance.run_id).filter(
            TaskInstance.state.in_(UNFINISHED)
        )
        return [(dag_id, run_id) for query in (runs, tasks) for dag_id, run_id in query]


async def read_extra(connection: Connection) -> dict[str, Any]:
    """The extra fields of a connection, read on an event loop; the plain property may block it."""
    from asgiref.sync import sync_to_async

    if hasattr(connection, "aextra_dejson"):
        extra: dict[str, Any] = await connection.aextra_dejson()
        return extra
    return await sync_to_async(lambda: connection.extra_dejson)()


__all__ = [
    "HAS_EVENT_TRIGGERS",
    "REFUSES_NONE",
    "BaseEventTrigger",
    "amask_secret",
    "as_alias_extra",
    "count_unfinished",
    "in_thread",
    "mask_secret",
    "read_extra",
    "unfinished_runs",
]
