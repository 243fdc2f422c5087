"""The wait of a hook for a job, in this process."""

from __future__ import annotations

import time
from typing import Any

from airflow_provider_mirakl.api.caller import Caller
from airflow_provider_mirakl.api.steps import drive
from airflow_provider_mirakl.client.steps import performer
from airflow_provider_mirakl.exceptions import (
    MiraklConfigurationError,
    MiraklJobFailedError,
    MiraklJobTimeoutError,
)
from airflow_provider_mirakl.hooks.base import MiraklBaseHook
from airflow_provider_mirakl.jobs.polls import jobs_ended
from airflow_provider_mirakl.jobs.table import JOBS, evaluate
from airflow_provider_mirakl.jobs.waiting import Schedule, Tolerance, waiting


def wait_for(
    hook: MiraklBaseHook, job: str, job_id: int | str, caller: Caller, timeout: float
) -> dict[str, Any]:
    """Wait until a job has ended, and return Mirakl's status.

    :param job: name of the job in the table of jobs.
    :param job_id: Mirakl's id.
    :param timeout: seconds; the job continues after it.
    :raises MiraklJobFailedError: it ended without doing its work.
    :raises MiraklJobTimeoutError: it did not end in time.
    """
    if job not in JOBS:
        raise MiraklConfigurationError(f"job must be one of {', '.join(JOBS)}, not {job!r}", field="job")
    kind, notes = JOBS[job], dict[str, Any]()
    begin, interval = time.time(), kind.recommended * hook.settings.interval_factor
    with hook.get_conn() as client:
        steps = waiting(
            lambda: jobs_ended(
                notes,
                kind=job,
                job_ids=[kind.id(job_id)],
                role=caller.role,
                shop_id=caller.shop_id,
            ),
            Schedule(begin, interval, begin + timeout),
            Tolerance(5),
            notes=notes,
        )
        found = drive(steps, performer(client))
    if found is None:
        raise MiraklJobTimeoutError(
            f"{kind.title.capitalize()} {job_id} did not end within {timeout:,.0f} s; it continues in Mirakl",
            job_ids=[str(job_id)],
        )
    status: dict[str, Any] = found["statuses"][str(job_id)]
    evaluation = evaluate(kind, status)
    if evaluation.phase == "failed":
        raise MiraklJobFailedError(
            f"{kind.title.capitalize()} {job_id} ended {evaluation.state}: "
            f"{evaluation.reason or 'Mirakl gives no reason'}",
            job_id=str(job_id),
            state=evaluation.state,
        )
    return status
