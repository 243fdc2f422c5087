"""One rule for intervals: what was set, stretched by the connection, against what Mirakl publishes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.exceptions import MiraklConfigurationError
from airflow_provider_mirakl.jobs.table import JOBS
from airflow_provider_mirakl.operators.bases.jobs import MiraklJobOperator
from airflow_provider_mirakl.sensors.base import MiraklBaseSensor

sys.path.insert(0, str(Path(__file__).parent))
from surface import make, public

OPERATORS = sorted(name for name, kind in public().items() if issubclass(kind, MiraklJobOperator))
SENSORS = sorted(name for name, kind in public().items() if issubclass(kind, MiraklBaseSensor))


@pytest.fixture
def factor(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets ``interval_factor`` of every connection."""

    def set_factor(value: float) -> None:
        extra = {"interval_factor": value, "role": "operator"}
        for name, conn_type in (("mirakl", "mirakl"), ("mirakl_connect", "mirakl_connect")):
            host = "https://shop.example.com" if conn_type == "mirakl" else None
            connection = {"conn_type": conn_type, "host": host, "login": "c", "password": "k", "extra": extra}
            monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}_DEFAULT", json.dumps(connection))

    return set_factor


@pytest.mark.parametrize("value", [0.01, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("name", SENSORS)
def test_a_sensor_with_defaults_works_on_any_connection(name: str, value: float, factor: Any) -> None:
    factor(value)
    sensor = make(public()[name])
    assert sensor.interval() == pytest.approx(sensor.poke_interval * value)


@pytest.mark.parametrize("value", [0.01, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("name", OPERATORS)
def test_a_job_operator_with_defaults_works_on_any_connection(name: str, value: float, factor: Any) -> None:
    factor(value)
    operator = make(public()[name])
    assert operator.interval() == pytest.approx(JOBS[operator.job].recommended * value)


@pytest.mark.parametrize(
    ("value", "seconds", "allowed"),
    [(1.0, 60, True), (1.0, 59, False), (2.0, 30, True), (0.5, 59, False), (0.5, 60, True)],
)
@pytest.mark.parametrize("name", ["MiraklProductImportSensor", "MiraklImportProductsOperator"])
def test_the_stretched_interval_is_what_mirakl_publishes_or_longer(
    name: str, value: float, seconds: float, allowed: bool, factor: Any
) -> None:
    """With a factor above 1 a shorter interval is stretched to a permitted one; below 1 is for a local Mirakl."""
    factor(value)
    word = "poke_interval" if name.endswith("Sensor") else "poll_interval"
    task = make(public()[name], **{word: seconds})
    check = task.interval
    if allowed:
        assert check() == seconds * value
    else:
        with pytest.raises(
            MiraklConfigurationError, match=f"^{word} must be 60 s or more for a product import"
        ):
            check()
