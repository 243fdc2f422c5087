"""Airflow's metrics: calls, waits, rate limits, and items by result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.providers.common.compat.sdk import Stats

OUTCOMES = ("succeeded", "failed", "unknown")


class AirflowMeter:
    """Counts what a client does, in whatever Airflow's ``[metrics]`` sends to.

    :param conn_id: the connection, a tag of each metric.
    """

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id

    def replied(self, operation: str, status: int) -> None:
        """Count a reply: ``mirakl.calls``, and ``mirakl.rate_limited`` for a 429."""
        tags = {"operation": operation, "conn_id": self._conn_id}
        _incr("mirakl.calls", 1, tags | {"status": str(status)})
        if status == 429:
            _incr("mirakl.rate_limited", 1, tags)

    def waited(self, seconds: float) -> None:
        """Note a wait inside a call, for an interval or for what Mirakl asked: ``mirakl.wait``, in milliseconds."""
        Stats.timing("mirakl.wait", seconds * 1000, tags={"conn_id": self._conn_id})


def count_items(task: Any, result: object) -> None:
    """Count the items of a result: ``mirakl.items``, by outcome.

    :param task: the operator or sensor.
    :param result: its result, or the partial result when it failed.
    """
    if not isinstance(result, Mapping) or not isinstance(result.get("sent"), int):
        return
    for outcome in OUTCOMES:
        if count := result.get(outcome):
            _incr("mirakl.items", int(count), {"outcome": outcome, "operator": type(task).__name__})


def _incr(name: str, count: int, tags: dict[str, str]) -> None:
    Stats.incr(name, count, tags=tags)
