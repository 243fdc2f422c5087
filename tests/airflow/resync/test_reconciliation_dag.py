"""The weekly reconciliation, and the resync of what it found, on a real Airflow against the sandbox."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = [pytest.mark.airflow, pytest.mark.matrix, pytest.mark.slow]

EXAMPLES = Path(__file__).parents[3] / "example_dags"


def example(name):
    """An example Dag whose failures show at once."""
    return (
        (EXAMPLES / name)
        .read_text("utf-8")
        .replace('"retries": 2', '"retries": 0')
        .replace("retries=2", "retries=0")
    )


def test_what_the_reconciliation_finds_the_resync_repairs(
    run_dag, monkeypatch, tmp_path, mirakl_sandbox, mirakl_sandbox_connections
):
    monkeypatch.setenv("AIRFLOW__MIRAKL__WORK_FOLDER", str(tmp_path / "work"))
    source = tmp_path / "own.csv"
    source.write_text("sku\n" + "".join(f"SKU-{n:03}\n" for n in range(1, 36)) + "SKU-777\n", "utf-8")
    form = {"source": str(source), "folder": str(tmp_path), "threshold": 10}
    run = run_dag(example("mirakl_weekly_reconciliation.py"), conf=form)
    assert run.state == "success"
    found = run.returned("reconcile")
    # The sandbox has 40 products: 20 synchronized, 10 pending, 5 with errors, 5 stuck; the source knows the first 35.
    assert [found[name] for name in ("source", "missing", "different", "resync_products")] == [36, 1, 15, 15]
    assert found["extra"] == 5
    proposal = run.returned("propose")
    assert proposal["preview"] is True

    run = run_dag(example("mirakl_incident_resync.py"), conf=proposal | {"preview": False})
    assert run.state == "success"
    assert run.returned("report")["succeeded"] == 15

    run = run_dag(example("mirakl_weekly_reconciliation.py"), conf=form)
    assert run.returned("reconcile")["different"] == 0
    assert ("propose", "return_value") not in run.xcoms or run.returned("propose") is None
