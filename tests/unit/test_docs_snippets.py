"""Every Dag in the docs loads as it is printed."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def dags() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for number, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)):
            if re.search(r"^with DAG\(", block, re.MULTILINE):
                found.append((f"{page.stem}-{number}", block))
    return found


@pytest.mark.parametrize(("name", "code"), dags(), ids=[name for name, _ in dags()])
def test_a_dag_of_the_docs_loads(name, code, monkeypatch, tmp_path):
    if "airflow.sdk" in code or "AssetWatcher" in code:
        pytest.importorskip("airflow.sdk", reason="needs Airflow 3.0 or later: make matrix MATRIX=3.3.2")
    if "mirakl_retry_policy(" in code:
        pytest.importorskip(
            "airflow.sdk.definitions.retry_policy",
            reason="needs Airflow 3.3 or later: make matrix MATRIX=3.3.2",
        )
    monkeypatch.chdir(tmp_path)
    exec(compile(code, name, "exec"), {"__name__": f"docs_{name.replace('-', '_')}"})  # noqa: S102


def test_the_rights_that_the_docs_require_can_be_checked():
    from airflow_provider_mirakl.preflight import rights

    pages = "".join(page.read_text() for page in PAGES)
    required = set(re.findall(r"--require (\w+)", pages)) - {"CODE"}
    for codes in re.findall(r"require=\[(.*?)\]", pages):
        required |= set(re.findall(r"\w+", codes))
    assert {"P51", "CM51"} <= required <= {right.code for right in rights()}


def test_there_are_dags_to_load():
    assert len(dags()) > 10


def test_troubleshooting_explains_every_error():
    import inspect

    from airflow_provider_mirakl import exceptions

    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    kinds = {
        name
        for name, kind in inspect.getmembers(exceptions, inspect.isclass)
        if issubclass(kind, exceptions.MiraklError)
    }
    explained = set(re.findall(r"^\| `(Mirakl\w+)`", page, re.MULTILINE))
    assert kinds - {"MiraklError", "MiraklApiError"} == explained


def test_where_to_change_what_names_files_that_exist():
    page = (ROOT / "docs" / "development.md").read_text()
    table = page[page.index("### Where do I change what?") :].split("\n## ")[0]
    paths = re.findall(r"`(airflow_provider_mirakl/[\w/.]*)`", table)
    assert len(paths) >= 20
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_how_we_know_speaks_of_every_operator_that_writes():
    """Operators that read, wait or check have no outcome of items."""
    import inspect

    from airflow_provider_mirakl.get_provider_info import get_provider_info

    page = (ROOT / "docs" / "how-we-know.md").read_text()
    modules = [name for entry in get_provider_info()["operators"] for name in entry["python-modules"]]
    operators = {
        name
        for module in modules
        for name, kind in vars(importlib.import_module(module)).items()
        if inspect.isclass(kind) and kind.__module__ == module and name.startswith("Mirakl")
    }
    reading = re.compile(
        r"Mirakl(Connect)?(Export|Extract|Find|Get|List|Instance|Preflight|Reconcile|Report|Request)"
    )
    writing = {name for name in operators if not reading.match(name)}
    named = set(re.findall(r"`(Mirakl\w+Operator)`", page))
    assert writing - named == set()
    assert named - operators == set()


@pytest.fixture(scope="module")
def generated():
    """What makes pages of the docs from the code."""
    spec = importlib.util.spec_from_file_location("generated", ROOT / "docs" / "_ext" / "generated_pages.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["generated"] = module  # its dataclasses look for their module
    spec.loader.exec_module(module)
    return module


def test_every_advice_is_of_one_message_that_the_package_has(generated):
    advice, texts = generated.advice(), [text for kind in generated.messages().values() for text in kind]
    assert len(advice) >= 50
    assert {part: sum(part in text for text in texts) for part in advice} == dict.fromkeys(advice, 1)
    assert all(len(one.cause) > 15 and len(one.fix) > 10 for one in advice.values())


def test_facts_and_operators_lead_to_each_other(generated):
    kinds = [kind for found in generated.operators().values() for kind in found]
    linked = {anchor for kind in kinds for anchor in generated.facts_of(kind)}
    assert linked == set(generated.facts())
    # They call what their arguments name, or nothing.
    assert {kind.__name__ for kind in kinds if not generated.facts_of(kind)} == {
        "MiraklReconcileProductsOperator",
        "MiraklReportResyncOperator",
        "MiraklRequestOperator",
    }
