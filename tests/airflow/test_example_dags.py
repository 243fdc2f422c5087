"""Every example Dag as in its first run by a user: copied with its data, with its defaults, on the sandbox."""

from __future__ import annotations

import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.sandbox import Sandbox, feeds

AIRFLOW = int(version("apache-airflow").partition(".")[0])
EXAMPLES = Path(__file__).parents[2] / "example_dags"
DAGS = sorted(path.stem for path in EXAMPLES.glob("*.py"))

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.matrix,
    pytest.mark.mirakl_sandbox_settings(speed=6000, token_seconds=1e9),
]


@pytest.fixture
def copied(tmp_path: Path, mirakl_sandbox: Sandbox, mirakl_sandbox_connections: Any) -> Path:
    """The examples in a separate folder, with a sandbox that has what they expect."""
    feeds.fill(mirakl_sandbox)
    return Path(
        shutil.copytree(EXAMPLES, tmp_path / "dags", ignore=shutil.ignore_patterns("out", "__pycache__"))
    )


#: Started by events, which Airflow 2 does not know: there the file has no Dag.
BY_EVENT = {"mirakl_on_import_ended"}
if AIRFLOW < 3:
    DAGS = [name for name in DAGS if name not in BY_EVENT]

#: What must be run before it.
BEFORE = {"mirakl_import_sensor": "mirakl_product_import"}

#: Parameters that only a user can set.
FORM = {"mirakl_incident_resync": {"products": ["MKL-021;SKU-021"], "reason": "tried out"}}


@pytest.mark.slow
@pytest.mark.parametrize("name", DAGS)
def test_an_example_runs_with_its_defaults(
    run_dag: Any, copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("AIRFLOW__MIRAKL__WORK_FOLDER", str(tmp_path / "work"))
    for stem in filter(None, (BEFORE.get(name), name)):
        run = run_dag(copied / f"{stem}.py", conf=FORM.get(stem))
        assert run.state == "success", run.tasks


def test_the_data_is_what_the_generator_makes(tmp_path: Path) -> None:
    written = {path.relative_to(tmp_path): path.read_bytes() for path in feeds.write(tmp_path, "all", 60)}
    kept = EXAMPLES / "data"
    assert {
        path.relative_to(kept): path.read_bytes() for path in kept.rglob("*") if path.is_file()
    } == written


@pytest.mark.parametrize("name", DAGS)
def test_an_example_waits_for_its_first_click_and_says_what_it_is_for(name: str, airflow_db: Path) -> None:
    """No schedule that starts a second run, and a description with the three parts."""
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:
        from airflow.models.dagbag import DagBag

    bag = DagBag(dag_folder=str(EXAMPLES / f"{name}.py"))
    assert not bag.import_errors
    (dag,) = bag.dags.values()
    assert dag.dag_id == name
    if name not in BY_EVENT:
        assert (getattr(dag, "schedule_interval", None) or getattr(dag, "schedule", None)) is None
    text = dag.doc_md or ""
    assert text.startswith("### ")
    assert "**Needs**" in text
    assert "**Try it:**" in text
    for name, schema in ((name, dag.params.get_param(name)) for name in dag.params):
        shape = schema.schema
        assert shape.get("title"), f"the field {name} of the form has no title"
        assert "description_md" not in shape, "Airflow 3.3 prints code of Markdown over the lines around it"
        said = schema.description or ""
        assert said, f"the field {name} of the form is not explained"
        is_filled = schema.has_value and schema.value not in (None, "", [])
        is_chosen = "enum" in shape or shape["type"] == "boolean"
        assert is_filled or is_chosen or "such as" in said, f"the field {name} of the form shows no example"
