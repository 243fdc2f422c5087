"""What a Dag run does while another run of the same Dag is running: wait in the queue, or skip.

To wait is Airflow's own: ``max_active_runs=1``. To skip is decided here, by the first task of the Dag.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

log = logging.getLogger(__name__)


def is_first_run(context: Mapping[str, Any]) -> bool:
    """Whether this is the first of the runs of its Dag that are running; a later one logs a warning and should skip.

    The logical dates decide, so of two runs that start at the same time exactly one continues. A run without a
    logical date, as Airflow 3 permits, is the last of all; of two such runs that start at the same time neither
    continues. The Dag needs ``max_active_runs`` of 2 or more.

    :param context: the context of a running task.
    """
    run, ti = context["dag_run"], context["ti"]
    if run.logical_date is None:
        is_first = int(ti.get_dr_count(dag_id=run.dag_id, states=["running"])) <= 1
    else:
        is_first = ti.get_previous_dagrun(state="running") is None
    if not is_first:
        log.warning(
            "Another run is running, so this one does nothing. Trigger the Dag again when that run has ended."
        )
    return is_first
