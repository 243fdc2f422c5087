"""The trigger that makes the calls of a piece of work: one deferral for a whole catalog."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_mirakl._compat import in_thread
from airflow_provider_mirakl.api.steps import drive_async
from airflow_provider_mirakl.exceptions import (
    MiraklError,
    MiraklMissingFileError,
    MiraklStorageError,
    MiraklTriggerEventError,
)
from airflow_provider_mirakl.triggers.desk import DeadlinePassedError, open_desk
from airflow_provider_mirakl.triggers.places import Place
from airflow_provider_mirakl.triggers.poll import dump_error
from airflow_provider_mirakl.triggers.stored import check_arguments, check_call

if TYPE_CHECKING:
    from airflow_provider_mirakl.catalog.loop import Pace

log = logging.getLogger(__name__)

VERSION = 1
"""Version of the arguments. Raised when those of an older trigger could be misread."""


STATUSES = ("done", "error", "timeout", "unreachable")


class _Carried:
    """The notes that the trigger returns to the worker, besides those on storage."""

    def __init__(self, notes: dict[str, str]) -> None:
        self.notes = notes

    def get(self, key: str) -> list[str]:
        """The note, if there is one."""
        return [self.notes[key]] if key in self.notes else []

    def set(self, key: str, value: str) -> bool:
        """Store a note. It does not outlive this process unless the trigger fires."""
        self.notes[key] = value
        return False


class PacedTrigger(BaseTrigger):
    """Makes the calls of a piece of work, and fires once.

    It makes only calls that are harmless to repeat: upserts, deletes and reads. A triggerer that dies
    is replaced, and for a short time two may run the same trigger; both continue from the progress on storage.

    Its event is a mapping with a ``status``: ``done``; ``unreachable`` with a ``reason``, if the plan cannot be
    accessed from here; ``timeout``; or ``error`` with the error. It always includes ``state`` and ``position``.

    Airflow stores the arguments in plain text: ids, numbers, paths and the connection's id, never a key or a product.

    :param opener: path of the function that opens the work; see
        :class:`~airflow_provider_mirakl.triggers.places.Place`.
    :param arguments: its keyword arguments.
    :param hook: path of the hook's class.
    :param conn_id: the connection.
    :param role: the role whose key is used, for hooks with roles.
    :param max_failures: failures that may occur in a row.
    :param refused_timeout: seconds during which Mirakl may answer only 429.
    :param earliest: time before which it does not fire, in seconds since the epoch: Airflow's scheduler has a race.
    :param deadline: time at which ``execution_timeout`` ends, in seconds since the epoch.
    :param state: the state of the task: ``pace`` of the loop, its ``journey``, and ``carried``, its notes.
    :param position: the progress of the work; see :attr:`~airflow_provider_mirakl.catalog.work.Work.position`.
    :param version: version of these arguments.
    """

    def __init__(
        self,
        *,
        opener: str = "",
        arguments: dict[str, Any] | None = None,
        hook: str = "",
        conn_id: str = "",
        role: str | None = None,
        max_failures: int = 5,
        refused_timeout: float = 24 * 3600.0,
        earliest: float = 0.0,
        deadline: float | None = None,
        state: dict[str, Any] | None = None,
        position: dict[str, Any] | None = None,
        version: int = VERSION,
        **unknown: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.opener = opener
        self.arguments = arguments or {}
        self.hook = hook
        self.conn_id = conn_id
        self.role = role
        self.max_failures = max_failures
        self.refused_timeout = refused_timeout
        self.earliest = earliest
        self.deadline = deadline
        self.state = state or {}
        self.position = position or {}
        self.version = version
        self._unknown = unknown

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class and arguments, as Airflow stores them."""
        names = (
            "opener", "arguments", "hook", "conn_id", "role", "max_failures", "refused_timeout", "earliest",
            "deadline", "state", "position", "version",
        )  # fmt: skip
        return f"{__name__}.{type(self).__name__}", {
            name: getattr(self, name) for name in names
        } | self._unknown

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Fire once: when all calls are made, at an error that cannot pass, or if the plan cannot be accessed."""
        began, may_fire = time.monotonic(), 0.0
        event: dict[str, Any]
        try:
            may_fire = self.earliest - time.time()
            event = await self._make_calls(*await in_thread(self._read_arguments))
        except Exception as error:
            # An error that leaves the trigger would make Airflow fail the task without its message.
            if not isinstance(error, MiraklError):
                log.exception("The trigger broke")
            event = {"status": "error", "error": dump_error(error)}
        if (left := min(may_fire, 60.0) - (time.monotonic() - began)) > 0:
            await asyncio.sleep(left)
        yield TriggerEvent(event | {"state": self.state, "position": self.position})  # type: ignore[no-untyped-call]

    def _read_arguments(self) -> tuple[Pace, Place]:
        """The arguments as objects. In a thread: it imports the catalog engine.

        :raises MiraklTriggerEventError: another version of the package wrote them.
        """
        from airflow_provider_mirakl.catalog.loop import Pace

        check_arguments(self.version, VERSION, self._unknown)
        check_call(Pace, self.state.get("pace", {}))
        return Pace(**self.state.get("pace", {})), Place(self.opener, self.arguments)

    async def _make_calls(self, pace: Pace, place: Place) -> dict[str, Any]:
        from airflow_provider_mirakl.catalog.loop import CallLimits, make_calls
        from airflow_provider_mirakl.catalog.work import Work

        seen: list[Work] = []
        carried = _Carried(dict(self.state.get("carried") or {}))

        def opened() -> Work | None:
            work = place.open(carried)
            seen[:] = [work] if work is not None else seen
            return work

        reason: Exception | None = None
        async with open_desk(self.hook, self.conn_id, self.role) as desk:
            client = await desk.client()
            limits = CallLimits(client.settings.interval_factor, self.max_failures, self.refused_timeout)
            try:
                async with desk.caller(deadline=self.deadline) as perform:
                    await drive_async(make_calls(opened, pace, limits, log), perform)
            except DeadlinePassedError:
                return {"status": "timeout"}
            except (MiraklStorageError, MiraklMissingFileError) as error:
                reason = error
            except MiraklError:
                raise
            except (OSError, ImportError) as error:
                reason = error
            finally:
                self.state = self.state | {"pace": asdict(pace), "carried": carried.notes}
                if seen:
                    self.position = seen[0].position
        if reason is None:
            return {"status": "done"}
        words = f"{type(reason).__name__}: {reason}"
        log.warning("This triggerer cannot access the plan: %s", words)
        return {"status": "unreachable", "reason": words}

    async def on_kill(self) -> None:
        """Log the progress. Airflow calls it from 3.3 on."""
        log.warning("Stopped between two calls at %s; what Mirakl has accepted is kept", self.position)


def read_paced(event: object) -> dict[str, Any]:
    """The event of a :class:`PacedTrigger`.

    :raises MiraklTriggerEventError: it is none.
    """
    if (
        not isinstance(event, dict)
        or event.get("status") not in STATUSES
        or not isinstance(event.get("state"), dict)
    ):
        raise MiraklTriggerEventError(f"expected the event of a PacedTrigger, got {event!r:.200}")
    return event
