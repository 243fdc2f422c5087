"""Hands paced calls over to the triggerer: one deferral for all calls of a piece of work."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from airflow_provider_mirakl.catalog.work import Work
from airflow_provider_mirakl.hooks.base import MiraklBaseHook
from airflow_provider_mirakl.runtime import waiting
from airflow_provider_mirakl.runtime.task_run import Defers, time_left
from airflow_provider_mirakl.triggers.paced import PacedTrigger
from airflow_provider_mirakl.triggers.places import Place


def hand_over(
    task: Defers,
    hook: MiraklBaseHook,
    place: Place,
    work: Work,
    *,
    max_failures: int,
    refused_timeout: float,
    began: float | None,
    state: dict[str, Any],
    resume: Callable[..., Any],
) -> None:
    """Let the triggerer make the calls of a piece of work from here on, unless they are too quick for it to pay off.

    :param task: the operator, which is deferred.
    :param hook: the hook of its connection.
    :param place: opens the work.
    :param work: the work, as it is opened here.
    :param max_failures: failures that may occur in a row.
    :param refused_timeout: seconds during which Mirakl may answer only 429.
    :param began: when this try began; see :func:`~airflow_provider_mirakl.runtime.task_run.try_began`.
    :param state: what the task takes along.
    :param resume: the method of the operator that continues.
    """
    operation = work.operation
    if operation is None:
        return
    interval = operation.interval * hook.settings.interval_factor
    if not waiting.pays_off(interval):
        return
    now, left = time.time(), time_left(task.execution_timeout, began)
    task.log.info("The triggerer makes the calls from here on: %s", work.describe(interval))
    task.defer(
        trigger=PacedTrigger(
            opener=place.opener,
            arguments=place.arguments,
            hook=waiting.path_of(hook),
            conn_id=hook.conn_id,
            role=hook.role,
            max_failures=max_failures,
            refused_timeout=refused_timeout,
            earliest=now + waiting.SHORTEST_DEFERRAL,
            deadline=None if left is None else now + left.total_seconds(),
            state=state,
            position=work.position,
        ),
        method_name=resume.__name__,
        timeout=left,
    )
