"""A call that comes too early: the advice names a parameter only where it helps."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_mirakl.exceptions import MiraklNotYetError
from airflow_provider_mirakl.operators.connect_orders import MiraklConnectReportOrderActionsOperator
from airflow_provider_mirakl.operators.shops import MiraklUpdateShopOperator
from airflow_provider_mirakl.runtime.advice import what_to_do

TOO_EARLY = MiraklNotYetError("not yet", operation="x", retry_at=datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("task", "names"),
    [
        (MiraklUpdateShopOperator(task_id="task", changes={}), False),
        (MiraklConnectReportOrderActionsOperator(task_id="task", source=[], deferrable=False), True),
        (MiraklConnectReportOrderActionsOperator(task_id="task", source=[], deferrable=True), False),
    ],
    ids=["has none", "has it", "has set it"],
)
def test_the_advice_names_deferrable_only_where_it_helps(task: Any, names: bool) -> None:
    words = what_to_do(TOO_EARLY, task)
    assert ("Set deferrable=True" in words) == names
    assert "retry the task at the time named above" in words.lower()
