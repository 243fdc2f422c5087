"""One live Airflow for every test that wants one: it takes longer to start than most tests to run."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# Tests are no packages, and the benchmarks use the same module.
sys.path.insert(0, str(Path(__file__).parent / "live"))
from live_airflow import LiveAirflow


@pytest.fixture(scope="session")
def live(migrated_db: Path) -> Iterator[LiveAirflow]:
    """A running Airflow: scheduler, triggerer, workers and whatever else its version needs."""
    with (
        tempfile.TemporaryDirectory(prefix="live-airflow-", ignore_cleanup_errors=True) as folder,
        LiveAirflow(Path(folder) / "home", Path(folder) / "connections.json", migrated_db) as airflow,
    ):
        yield airflow
