"""The differences between Airflow 2.11 and 3.x that common.compat does not cover."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

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


async def in_thread(function: Callable[[], T]) -> T:
    """Do work that blocks in a thread, from an event loop.

    Not ``asyncio.to_thread``: work that reads storage may ask Airflow for a connection, and from a thread of asgiref it
    does so on the triggerer's own loop, where the conversation with its supervisor lives. From another thread it may
    hang. Nor asgiref's one sensitive thread, in which the tasks of a triggerer would wait for one another.
    """
    from asgiref.sync import sync_to_async

    return await sync_to_async(function, thread_sensitive=False)()


async def read_extra(connection: Connection) -> dict[str, Any]:
    """The extra fields of a connection, read on an event loop; the plain property may block it."""
    from asgiref.sync import sync_to_async

    if hasattr(connection, "aextra_dejson"):
        extra: dict[str, Any] = await connection.aextra_dejson()
        return extra
    return await sync_to_async(lambda: connection.extra_dejson)()


__all__ = [
    "HAS_EVENT_TRIGGERS",
    "BaseEventTrigger",
    "amask_secret",
    "in_thread",
    "mask_secret",
    "read_extra",
]
