"""Airflow 3.0 hands a task to LocalExecutor before its database says so, and fails the task whose worker was faster.

A worker of a live Airflow 3.0 asks again instead. It reads this file as ``airflow_local_settings``; 3.1 has no such
race.
"""

from __future__ import annotations

import time
from typing import Any

from airflow.sdk.api import client

PATIENCE = 60.0
"""Seconds within which the scheduler of a busy machine must have committed."""

_start = client.TaskInstanceOperations.start


def start(self: Any, *arguments: Any) -> Any:
    """Tell the API server that a task begins, once the task is queued."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return _start(self, *arguments)
        except client.ServerResponseError as error:
            if "'previous_state': 'scheduled'" not in str(error.detail) or time.monotonic() > deadline:
                raise
        time.sleep(0.2)


client.TaskInstanceOperations.start = start  # type: ignore[method-assign]
