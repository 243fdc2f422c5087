"""One deferral for a whole catalog, and what happens where the triggerer does not reach the plan."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.exceptions import MiraklNoteError
from airflow_provider_mirakl.hooks.base import MiraklConnectionDisabledError
from airflow_provider_mirakl.operators.bases import paced
from airflow_provider_mirakl.operators.connect import (
    MiraklConnectDeleteProductsOperator,
    MiraklConnectExportCatalogOperator,
    MiraklConnectSyncCatalogOperator,
    MiraklConnectUpsertProductsOperator,
    MiraklConnectVerifyProductsOperator,
)

pytestmark = [pytest.mark.airflow, pytest.mark.matrix, pytest.mark.usefixtures("mirakl_sandbox_connections")]
PACED, MOMENT = "triggers.paced.PacedTrigger", "triggers.moment.MomentTrigger"


@pytest.fixture(autouse=True)
def _deferred_however_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paced, "SHORTEST_DEFERRAL", 0.0)
    monkeypatch.setattr(paced, "FIRST_LEAD", 0.0)


def products(count: int) -> list[dict[str, Any]]:
    return [{"id": f"p{number:03d}", "brand": "ACME"} for number in range(count)]


def upsert(source: Any, **options: Any) -> Any:
    options = {"batch_size": 2, "deferrable": True} | options
    return lambda: MiraklConnectUpsertProductsOperator(task_id="task", source=source, **options)


def kinds(deferrals: list[tuple[str, Any]]) -> list[str]:
    return [path.removeprefix("airflow_provider_mirakl.") for path, _ in deferrals]


def statuses(sandbox: Any, operation: str = "upsertProducts") -> Counter[int]:
    return Counter(call["status"] for call in sandbox.journal(operation))


def test_a_catalog_is_one_deferral_whatever_is_done_with_it(worker, mirakl_sandbox, tmp_path):
    runs = {
        "sync": lambda: MiraklConnectSyncCatalogOperator(
            task_id="sync", source=products(8), batch_size=2, deferrable=True
        ),
        "export": lambda: MiraklConnectExportCatalogOperator(
            task_id="export", target=str(tmp_path / "all.ndjson"), deferrable=True
        ),
        "delete": lambda: MiraklConnectDeleteProductsOperator(
            task_id="delete", source=["p000", "p001", "p002"], batch_size=1, deferrable=True
        ),
    }
    results = {}
    for name, make in runs.items():
        task = worker(make, run_id=name)
        results[name] = task.run()
        assert kinds(task.deferrals) == [PACED], name
        mirakl_sandbox.advance(3600)
    assert results["sync"]["upserted"] == 8
    assert results["export"]["items"] == 8
    assert len((tmp_path / "all.ndjson").read_text().splitlines()) == 8
    assert results["delete"]["sent"] == 3
    assert statuses(mirakl_sandbox) == {202: 4}


def test_a_verification_is_one_deferral_a_round(worker, mirakl_sandbox):
    sent = worker(upsert(products(4)), run_id="sent").run()
    mirakl_sandbox.advance(3600)
    verify = worker(
        lambda: MiraklConnectVerifyProductsOperator(
            task_id="verify", submitted=sent, deferrable=True, round_interval=60
        )
    )
    assert verify.run()["succeeded"] == 4
    assert kinds(verify.deferrals) == [PACED]


def test_where_the_triggerer_has_no_such_disk_workers_make_the_calls_and_none_twice(
    worker, mirakl_sandbox, tmp_path, monkeypatch
):
    """The triggerer's machine sees no work folder; the workers' do."""
    task = worker(upsert(products(6)))
    fire, work = task.fire, tmp_path / "work"

    def elsewhere(trigger: Any) -> Any:
        work.rename(tmp_path / "the disk of the workers")
        try:
            return fire(trigger)
        finally:
            shutil.rmtree(work, ignore_errors=True)
            (tmp_path / "the disk of the workers").rename(work)

    monkeypatch.setattr(task, "fire", elsewhere)
    assert task.run()["sent"] == 6
    assert kinds(task.deferrals)[0] == PACED
    assert set(kinds(task.deferrals)[1:]) <= {MOMENT}
    assert statuses(mirakl_sandbox) == {202: 3}


def test_a_fresh_disk_at_every_return_sends_no_chunk_twice(worker, mirakl_sandbox, tmp_path, monkeypatch):
    """What KubernetesExecutor without shared storage does: the plan is made again, and goes on at the noted chunk."""
    task = worker(upsert(products(6)))
    fire, work = task.fire, tmp_path / "work"

    def fresh(trigger: Any) -> Any:
        shutil.rmtree(work, ignore_errors=True)
        event = fire(trigger)
        shutil.rmtree(work, ignore_errors=True)
        return event

    monkeypatch.setattr(task, "fire", fresh)
    assert task.run()["sent"] == 6
    assert statuses(mirakl_sandbox) == {202: 3}


def test_a_fresh_disk_and_another_source_stop_with_a_word(worker, mirakl_sandbox, tmp_path, monkeypatch):
    source = tmp_path / "catalog.ndjson"
    source.write_text("".join(json.dumps(product) + "\n" for product in products(6)))
    task = worker(upsert(str(source)))
    fire, work = task.fire, tmp_path / "work"

    def fresh(trigger: Any) -> Any:
        event = fire(trigger)  # sends everything
        shutil.rmtree(work)
        source.write_text(json.dumps({"id": "another"}) + "\n")
        return event

    monkeypatch.setattr(task, "fire", fresh)
    with pytest.raises(MiraklNoteError, match="source"):
        task.run()
    assert statuses(mirakl_sandbox) == {202: 3}


def test_a_connection_that_is_disabled_meanwhile_skips_the_task(
    worker, mirakl_sandbox, monkeypatch, mirakl_sandbox_connections
):
    task = worker(upsert(products(4)))
    fire = task.fire
    connection = mirakl_sandbox_connections["mirakl_connect_default"]
    disabled = connection | {"extra": connection["extra"] | {"enabled": False}}

    def disabling(trigger: Any) -> Any:
        monkeypatch.setenv("AIRFLOW_CONN_MIRAKL_CONNECT_DEFAULT", json.dumps(disabled))
        return fire(trigger)

    monkeypatch.setattr(task, "fire", disabling)
    with pytest.raises(MiraklConnectionDisabledError):
        task.run()


def test_the_stored_trigger_has_no_secret_and_no_product(worker, mirakl_sandbox, tmp_path: Path):
    task = worker(upsert(products(40)))
    task.run()
    stored = json.dumps(task.deferrals)
    assert "sandbox-secret" not in stored
    assert "p001" not in stored
    assert len(stored) < 4096
