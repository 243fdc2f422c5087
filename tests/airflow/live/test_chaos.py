"""A short round of ``make chaos``: the scheduler and its workers die while operations of each kind run."""

from __future__ import annotations

from pathlib import Path

import pytest
from chaos import Chaos, wrong
from live_airflow import ON_3, LiveAirflow
from operations import OPERATIONS

KINDS = ("upsert", "P41", "CM21", "S32", "orders extract")
"""Paced, a file job, batches of a job, an upload, and an extract."""


@pytest.mark.timeout(2400)  # more than its own patience, so that it can say what hangs
@pytest.mark.skipif(
    not ON_3,
    reason="needs several workers, which Airflow 2 does not have on SQLite: make matrix MATRIX=3.3.2",
)
def test_nothing_is_lost_doubled_untrue_or_leaked(live: LiveAirflow, tmp_path: Path) -> None:
    chosen = [each for each in OPERATIONS if each.name in KINDS]
    chaos = Chaos(live, tmp_path, chosen, victims=("scheduler",), faults=0, seed=1)
    chaos.round(1)
    assert "scheduler" in {case["victim"] for case in chaos.rounds[0]["cases"]}, "nothing ran any more"
    assert wrong(chaos.rounds) == []
