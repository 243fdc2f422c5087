"""A short round of ``make chaos``: the scheduler and its workers die while operations of each kind run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from chaos import Chaos, wrong
from live_airflow import ON_3, LiveAirflow
from operations import OPERATIONS

KINDS = ("upsert", "P41", "CM21", "S32", "orders extract")
"""Paced, a file job, batches of a job, an upload, and an extract."""


@pytest.mark.skipif(
    not os.environ.get("MIRAKL_CHAOS"),
    reason="takes minutes, so it runs on request only: MIRAKL_CHAOS=1 make test",
)
@pytest.mark.skipif(
    not ON_3,
    reason="needs several workers, which Airflow 2 does not have on SQLite: make matrix MATRIX=3.3.2",
)
def test_nothing_is_lost_doubled_untrue_or_leaked(tmp_path: Path, migrated_db: Path) -> None:
    with LiveAirflow(tmp_path / "home", tmp_path / "connections.json", migrated_db) as airflow:
        chosen = [each for each in OPERATIONS if each.name in KINDS]
        chaos = Chaos(airflow, tmp_path, chosen, victims=("scheduler",), faults=0, seed=1)
        chaos.round(1)
        assert wrong(chaos.rounds) == []
