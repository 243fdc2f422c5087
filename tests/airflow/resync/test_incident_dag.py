"""The Dag of an incident on a real Airflow, against the sandbox."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from live_airflow import AIRFLOW

pytestmark = [pytest.mark.airflow, pytest.mark.matrix, pytest.mark.slow]

DAG_FILE = Path(__file__).parents[3] / "example_dags" / "mirakl_incident_resync.py"
FORM = {"reason": "stuck since the morning", "ticket": "INC-1", "preview": False, "minutes": 0.02}


@pytest.fixture
def incident(run_dag, monkeypatch, tmp_path, mirakl_sandbox_connections):
    """``incident(products=[...])``: fill in the form and run; ``changes`` are edits to the file."""
    monkeypatch.setenv("AIRFLOW__MIRAKL__WORK_FOLDER", str(tmp_path))
    # No wait of a second try: what fails here is meant to fail.
    source = DAG_FILE.read_text("utf-8").replace("retries=2", "retries=0")

    def run(changes: dict[str, str] | None = None, **form: Any) -> Any:
        text = source
        for before, after in (changes or {}).items():
            assert before in text
            text = text.replace(before, after)
        return run_dag(text, conf=FORM | form)

    return run


@pytest.fixture
def former_run(airflow_db):
    """``former_run(dag_id, state)``: a run of a Dag, an hour old."""

    def make(dag_id: str, state: str) -> None:
        from airflow.models.dagrun import DagRun
        from airflow.utils.session import create_session

        moment = datetime.now(UTC) - timedelta(hours=1)
        dates = {name: moment for name in ("logical_date", "run_after") if hasattr(DagRun, name)}
        if "run_after" not in dates:  # Airflow 2
            dates = {"execution_date": moment}
        with create_session() as session:
            session.add(
                DagRun(
                    dag_id=dag_id, run_id="former", run_type="manual", state=state, start_date=moment, **dates
                )
            )

    return make


def test_a_preview_is_the_default_and_sends_nothing(incident, mirakl_sandbox):
    run = incident(products=["MKL-021;SKU-021", ""], preview=True)
    assert (run.state, run.tasks["resync"]) == ("success", "skipped")
    told = run.returned("report")
    assert (told["sent"], told["planned"]) == (False, 1)
    text = Path(told["report"]).read_text("utf-8")
    assert "nothing was sent" in text
    assert "| MKL-021 | SKU-021 | PENDING |  | planned |" in text
    assert mirakl_sandbox.master_products()["MKL-021"]["synchronization"] == "PENDING"


@pytest.mark.parametrize("route", ["djust", "direct"])
def test_products_are_repaired_with_proof(incident, mirakl_sandbox, route):
    run = incident(
        products=["mirakl_product_id\tproduct_sku", "MKL-021\tSKU-021", "MKL-022\tSKU-022"], route=route
    )
    assert (run.state, run.tasks.get("approve", "skipped")) == ("success", "skipped")
    told = run.returned("report")
    assert (told["sent"], told["succeeded"], told["failed"], told["unknown"]) == (True, 2, 0, 0)
    text = Path(told["report"]).read_text("utf-8")
    assert "| MKL-022 | SKU-022 | PENDING | SYNCHRONIZED | succeeded |" in text
    assert "INC-1" in text


def test_a_failure_fails_the_run_and_its_rejects_are_the_next_input(incident, mirakl_sandbox):
    run = incident(products=["MKL-040;SKU-040", "MKL-023;SKU-023"])
    assert (run.state, run.tasks["resync"], run.tasks["report"]) == ("failed", "success", "failed")
    rejects = run.returned("resync")["rejects"]
    mirakl_sandbox.arrange_master_products({"id": "MKL-040", "stuck": False})
    run = incident(source=rejects)
    assert run.returned("report")["succeeded"] == 1
    row = json.loads(Path(run.returned("resync")["rows"][0]).read_text("utf-8"))
    assert (row["mirakl_product_id"], row["before"], row["after"]) == ("MKL-040", "PENDING", "SYNCHRONIZED")


@pytest.mark.parametrize(
    ("form", "failed"),
    [
        ({}, "preview"),
        ({"products": [""]}, "preview"),
        ({"products": ["MKL-021;SKU-021"], "source": "x.csv"}, "preview"),
        ({"products": [f"M-{n};S-{n}" for n in range(201)]}, "preview"),
    ],
)
def test_what_cannot_be_run_sends_nothing(incident, mirakl_sandbox, form, failed):
    run = incident(**form)
    assert (run.state, run.tasks[failed]) == ("failed", "failed")
    assert not mirakl_sandbox.journal()


def test_a_bad_line_is_refused_by_the_form(incident):
    with pytest.raises(Exception, match="does not match"):
        incident(products=["MKL-021"])


def test_approval_stands_between_the_preview_and_the_sending(airflow_db):
    if AIRFLOW < (3, 2):
        pytest.skip("approval needs Airflow 3.2 or later: make matrix MATRIX=3.3.2")
    switched = DAG_FILE.read_text("utf-8").replace("APPROVAL = False", "APPROVAL = True")
    space = {"__name__": "incident_with_approval", "__file__": str(DAG_FILE), "__doc__": ""}
    exec(compile(switched, str(DAG_FILE), "exec"), space)  # noqa: S102 - a Dag file, as Airflow executes it
    dag = space["send"].dag
    assert dag.task_dict["approve"].upstream_task_ids == {"is_wanted"}
    assert "approve" in dag.task_dict["resync"].upstream_task_ids
    is_wanted = dag.task_dict["is_wanted"].python_callable
    assert [is_wanted(params={"preview": preview}) for preview in (True, False)] == [False, True]


@pytest.mark.parametrize(("state", "reported"), [("running", "skipped"), ("success", "success")])
def test_a_run_skips_while_a_former_one_goes_on(incident, mirakl_sandbox, former_run, state, reported):
    dag_id = f"skips_after_{state}"
    former_run(dag_id, state)
    run = incident(
        products=["MKL-021;SKU-021"],
        changes={'OVERLAP = "queue"': 'OVERLAP = "skip"', "mirakl_incident_resync": dag_id},
    )
    assert (run.state, run.tasks["resync"], run.tasks["report"]) == ("success", reported, reported)
    wanted = "PENDING" if reported == "skipped" else "SYNCHRONIZED"
    assert mirakl_sandbox.master_products()["MKL-021"]["synchronization"] == wanted
