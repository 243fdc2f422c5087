"""The trigger that waits: it fires at its moment, whatever the clock does, and hands its state back."""

from __future__ import annotations

import importlib
import json
from typing import Any

import pytest

from airflow_provider_mirakl.triggers import moment
from airflow_provider_mirakl.triggers.moment import LONGEST_SLEEP, MomentTrigger

STATE = {"not_before": 1030.0, "failures": 1, "lead": 4.5}
NOON = 1000.0


class Clock:
    """Two clocks that only sleeping moves; the one on the wall can be set."""

    def __init__(self) -> None:
        self.now = NOON
        self.slept: list[float] = []
        self.set_after_first_sleep: float | None = None

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return sum(self.slept)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        if self.set_after_first_sleep is not None and len(self.slept) == 1:
            self.now = self.set_after_first_sleep


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(moment, "time", made)
    monkeypatch.setattr(moment, "asyncio", made)
    return made


async def events(trigger: MomentTrigger) -> list[Any]:
    return [event.payload async for event in trigger.run()]


def test_it_survives_being_stored() -> None:
    path, arguments = MomentTrigger(NOON, STATE).serialize()
    module, name = path.rsplit(".", 1)
    again = getattr(importlib.import_module(module), name)(**json.loads(json.dumps(arguments)))
    assert isinstance(again, MomentTrigger)
    assert again.serialize() == (path, arguments)


async def test_arguments_of_another_version_do_not_keep_it_from_waiting(clock: Clock) -> None:
    one = MomentTrigger(NOON, STATE, of_a_later_version=1)
    assert one.serialize()[1] == {"moment": NOON, "state": STATE, "of_a_later_version": 1}
    assert len(await events(one)) == 1


async def test_it_fires_once_at_its_moment_with_its_state(clock: Clock) -> None:
    assert await events(MomentTrigger(NOON + 25, STATE)) == [{"moment": NOON + 25, "state": STATE}]
    assert clock.now == NOON + 25


async def test_a_moment_that_has_passed_fires_at_once(clock: Clock) -> None:
    assert len(await events(MomentTrigger(NOON - 1, STATE))) == 1
    assert clock.slept == []


@pytest.mark.parametrize("stored", [None, "x", [], 10**400, float("nan")])
async def test_a_stored_moment_that_is_none_fires_at_once(clock: Clock, stored: Any) -> None:
    """The operator reads the event, and refuses it or waits again."""
    assert len(await events(MomentTrigger(stored, STATE))) == 1
    assert clock.slept == []


async def test_a_long_wait_looks_at_the_clock_again(clock: Clock) -> None:
    await events(MomentTrigger(NOON + 150, STATE))
    assert max(clock.slept) <= LONGEST_SLEEP
    assert clock.now == NOON + 150


async def test_a_clock_set_back_makes_it_wait_no_longer(clock: Clock) -> None:
    clock.set_after_first_sleep = NOON - 3600
    assert len(await events(MomentTrigger(NOON + 150, STATE))) == 1
    assert sum(clock.slept) == 150


async def test_a_clock_set_forward_ends_the_wait_within_a_minute(clock: Clock) -> None:
    clock.set_after_first_sleep = NOON + 3600
    assert len(await events(MomentTrigger(NOON + 600, STATE))) == 1
    assert sum(clock.slept) <= LONGEST_SLEEP
