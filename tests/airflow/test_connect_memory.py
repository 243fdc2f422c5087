"""What must survive between the runs and the tries of a task, in a real Airflow: states, watermarks, lost disks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.api.connect import upsert_products
from airflow_provider_mirakl.hooks.mirakl_connect import MiraklConnectHook
from airflow_provider_mirakl.sandbox import Sandbox
from airflow_provider_mirakl.sandbox.pytest_plugin import connections

pytestmark = [pytest.mark.airflow, pytest.mark.matrix]

DAG = """
import shutil
from datetime import datetime, timedelta, timezone
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG
from airflow_provider_mirakl.operators.catalog_manager import MiraklExportProductStatusOperator as Export
from airflow_provider_mirakl.operators.connect import (
    MiraklConnectSyncCatalogOperator as Sync,
    MiraklConnectUpsertProductsOperator as Upsert,
)

FOLDER = Path({folder!r})


class Task({kind}):
    def execute(self, context):
        {before}
        if {fresh_disk}:
            shutil.rmtree(FOLDER / "work", ignore_errors=True)
        try:
            return super().execute(context)
        except Exception as error:
            with (FOLDER / "errors.txt").open("a") as file:
                file.write(f"{{type(error).__name__}}: {{error}}\\n")
            raise


with DAG(dag_id={dag_id!r}, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):
    Task(task_id="task", retry_delay=timedelta(0), **{arguments!r})
"""


@pytest.fixture
def sandbox(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Sandbox]:
    with Sandbox(speed=getattr(request, "param", 240.0)) as server:
        for name, connection in connections(server).items():
            monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(connection))
        monkeypatch.setenv("AIRFLOW__MIRAKL__WORK_FOLDER", str(tmp_path / "work"))
        yield server


@pytest.fixture
def run(run_dag: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    """Runs the one task of a Dag; every call is another run of the same Dag."""
    dag_id = "memory_" + "".join(letter if letter.isalnum() else "_" for letter in request.node.name)

    def once(kind: str, *, fresh_disk: bool = False, before: str = "", **arguments: Any) -> Any:
        (tmp_path / "errors.txt").write_text("")
        source = DAG.format(
            kind=kind,
            folder=str(tmp_path),
            fresh_disk=fresh_disk,
            before=before,
            dag_id=dag_id,
            arguments=arguments,
        )
        return run_dag(source, dag_id=dag_id)

    return once


def catalog(path: Path, count: int) -> str:
    rows = [{"id": f"P-{number}", "brand": "nordlys"} for number in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def accepted(sandbox: Sandbox, code: str) -> int:
    return len([call for call in sandbox.journal(code) if call["status"] < 300])


def test_a_sync_whose_state_is_gone_refuses_before_any_call(run, sandbox, tmp_path):
    source = catalog(tmp_path / "catalog.ndjson", 3)
    options = {"source": source, "state": str(tmp_path / "state")}
    assert run("Sync", **options).tasks == {"task": "success"}, "the first run ever has nothing to lose"
    shutil.rmtree(tmp_path / "state")
    sent = accepted(sandbox, "upsertProducts")
    assert run("Sync", **options).tasks == {"task": "failed"}
    words = (tmp_path / "errors.txt").read_text()
    assert "MiraklNoteError" in words
    assert "on_lost_state='full'" in words
    assert accepted(sandbox, "upsertProducts") == sent
    again = run("Sync", on_lost_state="full", **options)
    assert again.tasks == {"task": "success"}
    assert again.returned("task")["upserted"] == 3
    assert run("Sync", **options).returned("task")["unchanged"] == 3


def test_a_call_without_a_reply_that_arrives_after_the_next_run(run, sandbox, tmp_path, monkeypatch):
    """A run ends without a reply, the next one sends a newer value, and only then Mirakl accepts the older call."""
    sandbox.world.settings.limits = "off"
    source = tmp_path / "catalog.ndjson"

    def sync(brand: str, **options: Any) -> Any:
        source.write_text(json.dumps({"id": "P-0", "brand": brand}) + "\n", encoding="utf-8")
        return run("Sync", source=str(source), state=str(tmp_path / "state"), **options)

    def shown() -> list[str]:
        sandbox.advance(120)
        return [product["brand"] for product in sandbox.products()]

    assert sync("first").tasks == {"task": "success"}
    sandbox.fault("reset_before", "upsertProducts", times=20)
    assert sync("old", max_failures=0).tasks == {"task": "failed"}
    sandbox.call(lambda world: world.faults.clear())
    assert sync("new").returned("task")["upserted"] == 1
    with MiraklConnectHook().get_conn() as client:
        client.send(upsert_products(b'{"products":[{"id":"P-0","brand":"old"}]}'))
    assert shown() == ["old"]
    assert sync("new").returned("task")["upserted"] == 1, "the state does not rely on the newer call"
    assert shown() == ["new"]
    monkeypatch.setattr("airflow_provider_mirakl.catalog.state.LONGEST_CALL", 0)
    assert [sync("new").returned("task")["unchanged"] for _ in range(2)] == [0, 1]


@pytest.mark.parametrize("sandbox", [24_000.0], indirect=True)  # CM11 is called once an hour
def test_an_export_whose_watermark_is_gone_refuses_before_any_call(run, sandbox, tmp_path):
    sandbox.world.settings.limits = "off"
    options = {
        "target": str(tmp_path / "s.ndjson"),
        "watermark": str(tmp_path / "mark" / "w.json"),
        "mirakl_conn_id": "mirakl_shop",
    }
    assert run("Export", **options).tasks == {"task": "success"}
    asked = len(sandbox.journal("CM11"))
    (tmp_path / "mark" / "w.json").unlink()
    assert run("Export", **options).tasks == {"task": "failed"}
    assert "the watermark of this export" in (tmp_path / "errors.txt").read_text()
    assert len(sandbox.journal("CM11")) == asked
    assert run("Export", on_lost_state="full", **options).returned("task")["updated_since"] is None
    assert run("Export", **options).returned("task")["updated_since"] is not None


def lasts() -> bool:
    from importlib.util import find_spec

    return find_spec("airflow.models.task_state_store") is not None


@pytest.mark.skipif(
    not lasts(), reason="needs the task state of Airflow 3.3 or later: make matrix MATRIX=3.3.2"
)
def test_an_upsert_on_a_fresh_disk_at_every_try_sends_no_chunk_twice(run, sandbox, tmp_path):
    source = catalog(tmp_path / "catalog.ndjson", 8)
    for skip in (1, 2):
        sandbox.fault("status", "upsertProducts", status=400, skip=skip, times=1)
    result = run("Upsert", fresh_disk=True, source=source, batch_size=2, max_failures=0, retries=5)
    assert result.tasks == {"task": "success"}, (tmp_path / "errors.txt").read_text()
    assert result.returned("task")["sent"] == 8
    assert accepted(sandbox, "upsertProducts") == 4
    assert len((tmp_path / "errors.txt").read_text().splitlines()) >= 1, "it was tried again"


@pytest.mark.skipif(
    not lasts(), reason="needs the task state of Airflow 3.3 or later: make matrix MATRIX=3.3.2"
)
def test_a_source_that_changed_while_the_disk_was_lost_stops_the_task(run, sandbox, tmp_path):
    source = catalog(tmp_path / "catalog.ndjson", 8)
    sandbox.fault("status", "upsertProducts", status=400, skip=1, times=1)
    dag = {"fresh_disk": True, "source": source, "batch_size": 2, "max_failures": 0, "retries": 1}
    # The first try sends one chunk and fails; before the second begins the source is another one.
    rewrite = "if context['ti'].try_number > 1: (FOLDER / 'catalog.ndjson').write_text('{\"id\": \"P-0\"}')"
    result = run("Upsert", before=rewrite, **dag)
    assert result.tasks == {"task": "failed"}
    words = (tmp_path / "errors.txt").read_text()
    assert "belongs to another plan" in words
    assert "accepted 2 products in 1 calls" in words
    assert accepted(sandbox, "upsertProducts") == 1
