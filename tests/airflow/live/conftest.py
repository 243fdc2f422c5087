"""Stages on the one live Airflow."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from live_airflow import LiveAirflow
from operations import KEYS
from stages import DAG, SetStage, Stage

from airflow_provider_mirakl.sandbox import Sandbox
from airflow_provider_mirakl.sandbox.pytest_plugin import connections


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.airflow)
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def stage(live: LiveAirflow) -> Iterator[SetStage]:
    """``stage(name, products=20, speed=3, upsert={...}, verify=None, **sandbox)``: a stage of its own, kept to the end.

    At speed 3 Mirakl's minute takes 20 seconds: long enough to be waited for in the triggerer.
    """
    with ExitStack() as stack, tempfile.TemporaryDirectory(prefix="live-stages-") as folder:

        def make(
            name: str,
            products: int = 20,
            *,
            speed: float = 3,
            upsert: dict[str, Any] | None = None,
            verify: dict[str, Any] | None = None,
            **settings: Any,
        ) -> Stage:
            sandbox = stack.enter_context(Sandbox(speed=speed, **{**KEYS, **settings}))
            live.add_connection(name, connections(sandbox)["mirakl_connect_default"])
            made = Stage(
                live,
                name,
                sandbox,
                Path(folder) / f"{name}.ndjson",
                [f"p{number:03d}" for number in range(products)],
            )
            made.write_source(brand="before")
            text = DAG.format(dag_id=name, upsert={"deferrable": True, **(upsert or {})}, verify=verify)
            live.add_dag(name, text)
            return made

        yield make
