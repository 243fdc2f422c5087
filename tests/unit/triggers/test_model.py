"""The model of docs/deployment.md, against a simulation that runs the package's own loop, queues and pacer."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).resolve().parents[3] / "benchmarks" / "model_fleet.py"


@pytest.fixture(scope="module")
def fleet() -> Iterator[Any]:
    logger = logging.getLogger("airflow_provider_mirakl")
    level = logger.level
    spec = importlib.util.spec_from_file_location("model_fleet", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    logger.setLevel(level)  # a simulation silences it, for the tests that follow too


def test_accounts_do_not_wait_for_one_another(fleet: Any) -> None:
    model = fleet.model(shops=100, products=10_000)
    found = fleet.simulate(shops=100, calls=10)
    assert found.accepted == 100 * model.calls
    assert found.at_once == model.triggers
    assert found.refused == 0
    assert found.hours == pytest.approx(model.hours, rel=0.01)
    assert found.rate > 0.99


def test_fifty_tasks_of_one_account_use_its_whole_rate_in_turn_and_are_never_refused(fleet: Any) -> None:
    model = fleet.model(shops=1, products=3_000, tasks=50)
    found = fleet.simulate(shops=1, calls=3, tasks=50)
    assert (found.accepted, found.refused) == (model.calls, 0)
    assert found.hours == pytest.approx(model.hours, rel=0.01)
    assert found.rate > 0.99
    assert found.unfairness <= 2


@pytest.mark.parametrize("triggerers", [2, 4])
def test_several_triggerers_share_an_account_by_its_429s(fleet: Any, triggerers: int) -> None:
    """All of them come at the permitted time, and one is accepted: at most n - 1 are refused for each call."""
    found = fleet.simulate(shops=1, calls=4, tasks=20, triggerers=triggerers)
    assert found.accepted == 80
    assert 0 < found.refused / found.accepted <= triggerers - 1
    assert found.rate > 0.98
