"""An event trigger on a real scheduler and triggerer: what happens in Mirakl starts one run, whatever dies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live_airflow import AIRFLOW, LiveAirflow

from airflow_provider_mirakl.api.products import import_products
from airflow_provider_mirakl.client.http import Client
from airflow_provider_mirakl.client.settings import HeaderAuth, Settings
from airflow_provider_mirakl.sandbox import Sandbox
from airflow_provider_mirakl.sandbox.pytest_plugin import connections

pytestmark = [
    pytest.mark.matrix,
    pytest.mark.skipif(AIRFLOW < (3, 0), reason="needs Airflow 3.0 or later: make matrix MATRIX=3.3.2"),
]
EXAMPLE = Path(__file__).parents[3] / "example_dags" / "mirakl_on_import_ended.py"
PRODUCTS = b"category;shop_sku;title;ean\nheadphones;A-1;One;2000000000001\n"


@pytest.fixture
def sandbox(live: LiveAirflow) -> Iterator[Sandbox]:
    with Sandbox(speed=100, limits="off") as sandbox:
        live.add_connection("mirakl_events", connections(sandbox)["mirakl_shop"])
        yield sandbox


def submit(sandbox: Sandbox, name: str) -> Any:
    """What another tool submits."""
    connection = connections(sandbox)["mirakl_shop"]
    with Client(
        Settings(
            connection["host"], HeaderAuth((("Authorization", connection["password"]),)), interval_factor=0.0
        )
    ) as client:
        import_id = client.send(import_products(PRODUCTS, name))
    sandbox.advance(3600)
    return import_id


def test_an_import_that_ended_starts_a_run_once(live: LiveAirflow, sandbox: Sandbox) -> None:
    text = EXAMPLE.read_text().replace("mirakl_on_import_ended", "on_ended")
    text = text.replace("Trigger(", 'Trigger(mirakl_conn_id="mirakl_events", ')
    live.add_dag("on_ended", text)
    live.until_dag("on_ended")
    if AIRFLOW < (3, 1):
        # It starts a watcher when it parses the file again, once the asset is active.
        live.until(lambda: live.query("select name from asset_active"), "the asset is active")
        live.add_dag("on_ended", text + "# again")

    def polled() -> bool:
        return len(sandbox.journal("P51")) > seen + 1

    def told(import_id: Any) -> Any:
        rows = live.query("select extra from asset_event where extra like ?", f'%"import_id": {import_id},%')
        return rows or None

    def runs() -> list[Any]:
        return live.query("select run_id from dag_run where dag_id = 'on_ended'")

    seen = 0
    live.until(polled, "the triggerer polls")
    first = submit(sandbox, "first.csv")
    live.until(lambda: told(first) and runs(), "a run has begun")
    noted = len(sandbox.journal("P51"))
    live.until(lambda: len(sandbox.journal("P51")) > noted + 3, "the event was noted")

    live.kill("triggerer")
    second = submit(sandbox, "second.csv")
    live.start("triggerer")
    live.until(lambda: told(second) and len(runs()) == 2, "what ended meanwhile starts a run, too")
    seen = len(sandbox.journal("P51"))
    live.until(polled, "polling goes on")
    assert len(told(first)) == len(told(second)) == 1
    assert len(runs()) == 2
