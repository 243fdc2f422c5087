"""A trigger that waits until a given time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

LONGEST_SLEEP = 60.0
"""Seconds after which the wall clock is read again, since it may have been changed."""


class MomentTrigger(BaseTrigger):
    """Waits until a given time, then returns its state.

    Airflow's own ``DateTimeTrigger`` waits as well, but writes a line to the task log every second and has no
    state: what is passed to ``defer(kwargs=...)`` is lost under ``dag.test()``.

    :param moment: seconds since the epoch.
    :param state: small values, serializable as JSON, for the operator that resumes. No secrets: Airflow stores them in
        plain text.
    :param unknown: arguments of another version of this package. They are kept; to wait, they are not needed.
    """

    def __init__(self, moment: float, state: dict[str, Any], **unknown: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.moment = moment
        self.state = state
        self._unknown = unknown

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class and arguments, as Airflow stores them."""
        return "airflow_provider_mirakl.triggers.moment.MomentTrigger", {
            "moment": self.moment,
            "state": self.state,
        } | self._unknown

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Fire once: at the given time, or after the remaining seconds if the clock is set back meanwhile."""
        moment = self._moment()
        end = time.monotonic() + moment - time.time()
        while (left := min(moment - time.time(), end - time.monotonic())) > 0:  # noqa: ASYNC110 - no event to wait for
            await asyncio.sleep(min(left, LONGEST_SLEEP))
        yield TriggerEvent({"moment": self.moment, "state": self.state})  # type: ignore[no-untyped-call]

    def _moment(self) -> float:
        """The time; now if the stored one is not a number: the operator reads the event, and waits again if it must."""
        try:
            return float(self.moment)
        except (TypeError, ValueError, OverflowError):
            return 0.0
