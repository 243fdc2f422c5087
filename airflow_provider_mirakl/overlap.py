"""What a Dag run does while a former run of the same Dag goes on: wait in the queue, or skip.

To wait is Airflow's own: ``max_active_runs=1``. To skip is asked for here, by the first task of the Dag.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def former_run_goes_on(context: Mapping[str, Any]) -> bool:
    """Whether another run of this Dag is running that came first.

    Which of two came first is told by their logical dates, so that of two that start at the same moment exactly one
    goes on. A run without a logical date, as Airflow 3 permits, is the last of all; of two such runs that start at the
    same moment neither goes on. The Dag needs ``max_active_runs`` of 2 or more.

    :param context: the context of a running task.
    :return: ``True`` where this run had better skip.
    """
    run, ti = context["dag_run"], context["ti"]
    if run.logical_date is None:
        return int(ti.get_dr_count(dag_id=run.dag_id, states=["running"])) > 1
    return ti.get_previous_dagrun(state="running") is not None
