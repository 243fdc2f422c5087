"""How long a job operator waits for the moment at which Mirakl accepts its submission."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_mirakl.exceptions import MiraklNotYetError
from airflow_provider_mirakl.operators.bases import jobs
from airflow_provider_mirakl.operators.products import MiraklImportProductsOperator

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC).timestamp()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=NOON)

    def sleep(seconds: float) -> None:
        clock.now += seconds

    monkeypatch.setattr(jobs, "time", SimpleNamespace(time=lambda: clock.now, sleep=sleep))
    return clock


def refused(clock: SimpleNamespace) -> MiraklNotYetError:
    at = datetime.fromtimestamp(clock.now + 60, UTC)
    return MiraklNotYetError("not yet", operation="P41", retry_at=at)


def test_a_refusal_that_never_ends_ends_with_the_timeout(clock: SimpleNamespace) -> None:
    operator = MiraklImportProductsOperator(task_id="import", source="x.csv", timeout=300)
    context: Any = {}
    for _ in range(5):
        operator._postpone(context, refused(clock))
    assert clock.now == NOON + 300
    with pytest.raises(MiraklNotYetError):
        operator._postpone(context, refused(clock))


def test_a_clock_that_is_set_back_does_not_lengthen_it(clock: SimpleNamespace) -> None:
    operator = MiraklImportProductsOperator(task_id="import", source="x.csv", timeout=300)
    context: Any = {}
    operator._postpone(context, refused(clock))
    clock.now -= 3600
    for _ in range(5):  # the time begins again at the clock's new word, and no later
        operator._postpone(context, refused(clock))
    with pytest.raises(MiraklNotYetError):
        operator._postpone(context, refused(clock))
