"""What the task log says of a wait that goes on in the triggerer."""

from __future__ import annotations

import logging

import pytest

from airflow_provider_mirakl.hooks.mirakl import MiraklHook
from airflow_provider_mirakl.runtime.waiting import Wait


def test_a_deferred_task_says_what_it_waits_for_and_until_when(caplog: pytest.LogCaptureFixture) -> None:
    wait = Wait(
        poll="airflow_provider_mirakl.jobs.polls.jobs_ended",
        arguments={},
        hook=MiraklHook("mirakl_default"),
        interval=60.0,
        deadline=1_800_000_000.0,
        max_failures=5,
        what="product import 2001",
    )
    with caplog.at_level(logging.INFO):
        wait.trigger()
    assert caplog.messages == [
        "The triggerer waits for product import 2001: a poll every 60 s, until 2027-01-15 08:00:00 UTC at the latest"
    ]
