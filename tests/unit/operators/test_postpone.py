"""How long a job operator waits for the moment at which Mirakl accepts its submission."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_mirakl.exceptions import MiraklNotYetError
from airflow_provider_mirakl.operators.products import MiraklImportProductsOperator
from airflow_provider_mirakl.runtime import job_run, waiting

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC).timestamp()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=NOON)

    def sleep(seconds: float) -> None:
        clock.now += seconds

    monkeypatch.setattr(waiting, "time", SimpleNamespace(time=lambda: clock.now, sleep=sleep))
    return clock


def refused(clock: SimpleNamespace) -> MiraklNotYetError:
    at = datetime.fromtimestamp(clock.now + 60, UTC)
    return MiraklNotYetError("not yet", operation="P41", retry_at=at)


def job_run_of(operator: MiraklImportProductsOperator) -> job_run.JobRun:
    ti = SimpleNamespace(
        dag_id="dag", task_id="import", run_id="run", map_index=-1, max_tries=0, start_date=None
    )
    context: Any = {"ti": ti}
    return job_run.JobRun(operator, context, begins=False)


def test_a_refusal_that_never_ends_ends_with_the_timeout(clock: SimpleNamespace) -> None:
    run = job_run_of(MiraklImportProductsOperator(task_id="import", source="x.csv", timeout=300))
    for _ in range(5):
        run._postpone(refused(clock))
    assert clock.now == NOON + 300
    with pytest.raises(MiraklNotYetError):
        run._postpone(refused(clock))


def test_a_clock_that_is_set_back_does_not_lengthen_it(clock: SimpleNamespace) -> None:
    run = job_run_of(MiraklImportProductsOperator(task_id="import", source="x.csv", timeout=300))
    run._postpone(refused(clock))
    clock.now -= 3600
    for _ in range(5):  # the time begins again at the clock's new word, and no later
        run._postpone(refused(clock))
    with pytest.raises(MiraklNotYetError):
        run._postpone(refused(clock))
