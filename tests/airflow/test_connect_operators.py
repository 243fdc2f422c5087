"""The operators of Mirakl Connect on a real Airflow against the sandbox: delta, delete, export, dry run, assets."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.sandbox import Sandbox

pytestmark = [pytest.mark.airflow, pytest.mark.matrix]

EXAMPLES = Path(__file__).parents[2] / "example_dags"
SPEED = 240


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lead: Callable[..., None]) -> Iterator[Sandbox]:
    monkeypatch.setenv("AIRFLOW__MIRAKL__WORK_FOLDER", str(tmp_path / "work"))
    with Sandbox(speed=SPEED) as server:
        lead(server, interval_factor=1 / SPEED)
        yield server


@pytest.fixture
def catalog(tmp_path: Path) -> Callable[[dict[str, str]], str]:
    """Writes a product file from ids and titles."""
    path = tmp_path / "catalog.ndjson"

    def write(titles: dict[str, str]) -> str:
        rows = [{"id": key, "titles": [{"locale": "en_US", "value": value}]} for key, value in titles.items()]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return write


def operations(sandbox: Sandbox) -> Counter[str]:
    return Counter(call["operation"] for call in sandbox.journal() if call["status"] < 400)


def titles(sandbox: Sandbox) -> dict[str, str]:
    return {product["id"]: product["titles"][0]["value"] for product in sandbox.products()}


def example(name: str) -> str:
    """An example Dag whose failures show at once."""
    return (EXAMPLES / name).read_text().replace('"retries": 2', '"retries": 0')


DELTA = example("mirakl_connect_delta_sync.py")
DELETE = example("mirakl_connect_delete_products.py")
EXPORT = example("mirakl_connect_export.py")


def test_only_what_changed_is_sent_and_what_left_is_deleted(
    run_dag: Any, sandbox: Sandbox, catalog: Callable[[dict[str, str]], str]
) -> None:
    first = {f"sku-{number:03d}": f"Chair {number}" for number in range(100)}
    run = run_dag(DELTA, conf={"source": catalog(first)})
    assert run.state == "success"
    assert run.returned("sync")["upserted"] == 100
    assert run.returned("verify")["succeeded"] == 100

    second = {key: value for key, value in first.items() if key not in ("sku-003", "sku-004")}
    second |= {"sku-000": "Armchair", "sku-999": "Stool"}
    run = run_dag(DELTA, conf={"source": catalog(second)})
    assert run.state == "success"
    result = run.returned("sync")
    assert (result["upserted"], result["deleted"], result["unchanged"]) == (2, 2, 97)
    assert run.returned("verify")["succeeded"] == 4
    assert titles(sandbox) == second

    before = operations(sandbox)
    run = run_dag(DELTA, conf={"source": catalog(second)})
    assert run.state == "success"
    assert run.returned("sync")["unchanged"] == 99
    assert operations(sandbox) == before, "nothing changed, so nothing is sent and nothing is read"

    run = run_dag(DELTA, conf={"source": catalog(second), "full": True})
    assert run.returned("sync")["upserted"] == 99


def test_what_mirakl_did_not_store_the_next_run_sends_again(
    run_dag: Any, sandbox: Sandbox, catalog: Callable[[dict[str, str]], str]
) -> None:
    sandbox.world.settings.processing_seconds = 0.0  # a single round may read at once
    products = {f"sku-{number:03d}": f"Chair {number}" for number in range(40)}
    few_rounds = DELTA.replace("submitted=sync.output", "submitted=sync.output, rounds=1, **MORE")
    one_round, kept = few_rounds.replace(", **MORE", ""), few_rounds.replace("**MORE", "resend_failed=False")
    assert run_dag(one_round, conf={"source": catalog(products)}).state == "success"

    products["sku-007"] = "Armchair"
    del products["sku-009"]
    sandbox.fault("lost", operation="upsertProducts")
    sandbox.fault("lost", operation="deleteProducts")
    run = run_dag(kept, conf={"source": catalog(products)})
    assert run.tasks == {"sync": "success", "verify": "failed"}
    run = run_dag(one_round, conf={"source": catalog(products)})
    assert run.state == "success"
    assert run.returned("sync")["unchanged"] == 39, "the state was not updated"

    products["sku-001"] = "Bench"
    del products["sku-002"]
    sandbox.fault("lost", operation="upsertProducts")
    sandbox.fault("lost", operation="deleteProducts")
    run = run_dag(one_round, conf={"source": catalog(products)})
    assert run.tasks == {"sync": "success", "verify": "failed"}
    run = run_dag(one_round, conf={"source": catalog(products)})
    assert run.state == "success"
    assert (run.returned("sync")["upserted"], run.returned("sync")["deleted"]) == (1, 1)
    shown = titles(sandbox)
    assert shown["sku-001"] == "Bench"
    assert "sku-002" not in shown
    assert (shown["sku-007"], "sku-009" in shown) == ("Chair 7", True)
    assert run_dag(one_round, conf={"source": catalog(products)}).returned("sync")["unchanged"] == 38


def test_an_empty_feed_empties_no_catalog(
    run_dag: Any, sandbox: Sandbox, catalog: Callable[[dict[str, str]], str]
) -> None:
    full = {f"sku-{number:03d}": "Chair" for number in range(40)}
    assert run_dag(DELTA, conf={"source": catalog(full)}).state == "success"
    before = operations(sandbox)
    few = dict(list(full.items())[:10])
    assert run_dag(DELTA, conf={"source": catalog(few)}).state == "failed"
    assert operations(sandbox) == before
    assert titles(sandbox) == full
    assert run_dag(DELTA, conf={"source": catalog(full)}).returned("sync")["unchanged"] == 40


def test_products_are_deleted_by_a_list_and_proven_gone(
    run_dag: Any, sandbox: Sandbox, catalog: Callable[[dict[str, str]], str]
) -> None:
    sandbox.seed(
        [
            json.dumps({"id": f"sku-{n}", "titles": [{"locale": "en", "value": "x"}]}).encode()
            for n in range(5)
        ]
    )
    run = run_dag(DELETE, conf={"ids": ["sku-1", "sku-3", "never-there"]})
    assert run.state == "success"
    assert run.returned("verify")["succeeded"] == 3
    assert set(titles(sandbox)) == {"sku-0", "sku-2", "sku-4"}


def test_a_list_longer_than_meant_deletes_nothing(run_dag: Any, sandbox: Sandbox) -> None:
    run = run_dag(DELETE.replace("max_deletes=5_000", "max_deletes=2"), conf={"ids": ["a", "b", "c"]})
    assert run.tasks == {"delete": "failed", "verify": "upstream_failed"}
    assert not operations(sandbox)


def test_the_catalog_is_exported_page_by_page(run_dag: Any, sandbox: Sandbox, tmp_path: Path) -> None:
    rows = [json.dumps({"id": f"sku-{number:05d}", "brand": None}).encode() for number in range(2_100)]
    sandbox.seed(rows)
    run = run_dag(EXPORT, conf={"folder": str(tmp_path / "exports")})
    assert run.state == "success"
    result = run.returned("export")
    lines = Path(result["target"]).read_text().splitlines()
    assert result["items"] == len(lines) == 2_100
    assert [json.loads(line)["id"] for line in lines] == [f"sku-{number:05d}" for number in range(2_100)]
    assert operations(sandbox)["listProducts"] == 3


def test_a_preview_sends_nothing(
    run_dag: Any, sandbox: Sandbox, catalog: Callable[[dict[str, str]], str]
) -> None:
    source = catalog({f"sku-{number}": "Chair" for number in range(7)})
    text = f"""
from datetime import datetime
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_mirakl.operators.connect import MiraklConnectUpsertProductsOperator
with DAG("dry", schedule=None, start_date=datetime(2026, 1, 1)):
    MiraklConnectUpsertProductsOperator(task_id="upsert", source={source!r}, preview=True)
"""
    result = run_dag(text).returned("upsert")
    assert (result["planned"], result["sent"]) == (7, 0)
    assert not operations(sandbox)
    assert (Path(result["folder"]) / "plan.json").exists()


def test_the_asset_event_carries_the_outcome(
    run_dag: Any, sandbox: Sandbox, catalog: Callable[[dict[str, str]], str]
) -> None:
    source = catalog({"sku-1": "Chair"})
    delta = DELTA.replace("outlets=[", 'outlets=[AssetAlias("changed"), ')
    delta = delta.replace("compat.sdk import ", "compat.sdk import AssetAlias, ", 1)
    assert run_dag(delta, conf={"source": source, "full": True}).state == "success"
    assert run_dag(delta, conf={"source": source}).state == "success"
    from airflow.utils.session import create_session

    asset = pytest.importorskip(
        "airflow.models.asset",
        reason="needs Airflow 3.0 or later, whose dag.test() registers asset events: make matrix MATRIX=3.3.2",
    )
    with create_session() as session:
        event = session.query(asset.AssetEvent).order_by(asset.AssetEvent.id.desc()).first()
        assert event is not None
        assert event.extra["sent"] == 1, "the second run had nothing to send, and emitted none"
        assert session.query(asset.AssetEvent).filter(asset.AssetEvent.source_aliases.any()).count() == 1


SENSOR = """
from datetime import datetime
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_mirakl.operators.connect import MiraklConnectUpsertProductsOperator
from airflow_provider_mirakl.sensors.connect import MiraklConnectProductsSensor
with DAG("sensing", schedule=None, start_date=datetime(2026, 1, 1)):
    upsert = MiraklConnectUpsertProductsOperator(task_id="upsert", source={source!r})
    often = dict(poke_interval=1, timeout=600, deferrable={deferrable})
    equal = MiraklConnectProductsSensor(task_id="equal", submitted=upsert.output, **often)
    present = MiraklConnectProductsSensor(task_id="present", product_ids=["sku-1", "sku-2"], **often)
    absent = MiraklConnectProductsSensor(task_id="absent", product_ids=["sku-99"], expect="absent", **often)
    late = MiraklConnectProductsSensor(task_id="late", product_ids=["sku-99"], **often | dict(timeout=2))
    equal >> present >> absent >> late
"""


@pytest.mark.parametrize("deferrable", [False, True])
def test_the_sensor_finds_the_same_in_both_modes(
    deferrable: bool, run_dag: Any, sandbox: Sandbox, catalog: Callable[[dict[str, str]], str]
) -> None:
    source = catalog({f"sku-{number}": "Chair" for number in range(4)})
    run = run_dag(SENSOR.format(source=source, deferrable=deferrable))
    assert run.tasks == {
        "upsert": "success",
        "equal": "success",
        "present": "success",
        "absent": "success",
        "late": "failed",
    }
    assert run.returned("equal")["succeeded"] == 4
    assert run.returned("present")["succeeded"] == 2


FLAT = """
from datetime import datetime
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_mirakl.operators.connect import MiraklConnectUpsertProductsOperator
with DAG("flat", schedule=None, start_date=datetime(2026, 1, 1)):
    MiraklConnectUpsertProductsOperator(
        task_id="upsert",
        source={source!r},
        columns={{
            "mapping": {{"SKU": "id", "Name": "titles[FR]", "Price": "standard_prices.amount"}},
            "languages": {{"FR": "fr_FR"}},
            "currency": "EUR",
        }},
    )
"""


def test_a_spreadsheet_becomes_products_by_a_mapping(run_dag: Any, sandbox: Sandbox, tmp_path: Path) -> None:
    source = tmp_path / "products.csv"
    source.write_text("SKU;Name;Price\nsku-1;Chaise;12.50\nsku-2;Table;80\n")
    run = run_dag(FLAT.format(source=str(source)))
    assert run.returned("upsert")["sent"] == 2
    sandbox.advance(600)
    assert {
        product["id"]: (product["titles"], product["standard_prices"][0]["price"])
        for product in sandbox.products()
    } == {
        "sku-1": ([{"locale": "fr_FR", "value": "Chaise"}], {"amount": 12.5, "currency": "EUR"}),
        "sku-2": ([{"locale": "fr_FR", "value": "Table"}], {"amount": 80, "currency": "EUR"}),
    }


def test_a_locale_that_the_connection_does_not_have_is_refused_before_a_call(
    run_dag: Any,
    sandbox: Sandbox,
    catalog: Callable[[dict[str, str]], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection = json.loads(os.environ["AIRFLOW_CONN_MIRAKL_CONNECT_DEFAULT"])
    connection["extra"]["locales"] = "fr_FR, de_DE"
    monkeypatch.setenv("AIRFLOW_CONN_MIRAKL_CONNECT_DEFAULT", json.dumps(connection))
    run = run_dag(DELTA, conf={"source": catalog({"sku-1": "Chair"})})
    assert run.tasks["sync"] == "failed"  # nothing is left to send
    (rejects_file,) = Path(os.environ["AIRFLOW__MIRAKL__WORK_FOLDER"]).rglob("rejects.ndjson")
    rejects = rejects_file.read_text()
    assert "'en_US' is not a locale of the connection, which has de_DE, fr_FR" in rejects
    assert not operations(sandbox)


TIDY = """
from datetime import datetime
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_mirakl.operators.connect import MiraklConnectUpsertProductsOperator
with DAG("tidy", schedule=None, start_date=datetime(2026, 1, 1)):
    MiraklConnectUpsertProductsOperator(task_id="upsert", source=[{"id": "A"}])
"""


def test_a_task_that_succeeded_removes_what_its_old_runs_left(
    run_dag: Any, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__MIRAKL__WORK_FOLDER", str(tmp_path / "tidied"))
    old = tmp_path / "tidied" / "tidy" / "upsert" / "old" / "plan.json"
    old.parent.mkdir(parents=True)
    old.write_text("{}")
    os.utime(old, (1, 1))
    run = run_dag(TIDY)
    assert run.state == "success"
    assert not old.parent.exists()
    assert Path(run.returned("upsert")["folder"]).exists()
