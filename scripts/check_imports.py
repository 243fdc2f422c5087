"""Fail when a Dag file that uses this package would load something heavy.

Airflow imports a Dag file again on every parse, and only ``airflow.*`` names are loaded beforehand: what our
operators, sensors, triggers and hooks import at module level is paid each time. So this check compares, in fresh
interpreters, the names of the loaded modules. It does not measure time.

Usage: ``python scripts/check_imports.py [DAG_FILE ...]``; without a file, all of ``example_dags``.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from airflow_provider_mirakl.get_provider_info import get_provider_info

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "airflow_provider_mirakl"
HEAVY = (
    "aiohttp",
    "httpcore",
    "httpx",
    "httpx2",
    "msgspec",
    "pandas",
    "pyarrow",
    "pydantic",
    "requests",
    "starlette",
    "uvicorn",
    f"{PACKAGE}.catalog",
    f"{PACKAGE}.client",
    f"{PACKAGE}.sandbox",
)
# How many modules, of ours and of others, a Dag file may load beyond what the same file loads without us.
MOST_NEW_MODULES = 30


def loaded() -> set[str]:
    """Names of the modules read from a file; Airflow 2 registers empty ones for names it has given up."""
    return {name for name, module in list(sys.modules.items()) if getattr(module, "__file__", None)}


def is_heavy(name: str) -> bool:
    return any(name == heavy or name.startswith(heavy + ".") for heavy in HEAVY)


def load_plain_dag() -> None:
    """Load what every Dag file loads, with or without us."""
    try:
        from airflow.sdk import DAG, Asset, BaseOperator, Param
    except ImportError:  # Airflow 2
        from airflow import DAG
        from airflow.datasets import Dataset as Asset
        from airflow.models.baseoperator import BaseOperator
        from airflow.models.param import Param

    start = datetime(2024, 1, 1, tzinfo=UTC)
    with DAG("plain", schedule="@daily", start_date=start, catchup=False, params={"x": Param(1)}):
        BaseOperator(task_id="first") >> BaseOperator(task_id="second", outlets=[Asset("s3://plain/dag")])


def load_bases() -> None:
    """The classes of Airflow which ours inherit from, with all that they bring."""
    from airflow.providers.common.compat.sdk import BaseHook, BaseSensorOperator  # noqa: F401
    from airflow.triggers.base import BaseTrigger  # noqa: F401


def load_own_imports(dag_file: str) -> None:
    """What the Dag file takes from Airflow by itself: Airflow loads such modules before it forks to parse."""
    for node in ast.parse(Path(dag_file).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "airflow":
            exec(compile(ast.Module([node], []), dag_file, "exec"), {})  # noqa: S102


def public_modules() -> list[str]:
    """The modules which the provider info names: what Dag files, the triggerer and forms import."""
    info = get_provider_info()
    return [
        name
        for kind in ("hooks", "operators", "sensors", "triggers")
        for entry in info.get(kind, ())
        for name in entry["python-modules"]
    ]


class Spy:
    """Sees heavy imports by our modules even where Airflow has loaded the module before us."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._import = builtins.__import__

    def __enter__(self) -> Self:
        builtins.__import__ = self
        return self

    def __exit__(self, *_: object) -> None:
        builtins.__import__ = self._import

    def __call__(self, name: str, globals: Any = None, *args: Any, **kwargs: Any) -> Any:  # noqa: A002
        importer = (globals or {}).get("__name__") or ""
        if importer.startswith(PACKAGE) and is_heavy(name):
            self.seen.append(f"{importer} imports {name}")
        return self._import(name, globals, *args, **kwargs)


def load_dag_file(path: str) -> None:
    spec = importlib.util.spec_from_file_location("dag_file_under_check", path)
    if spec is None or spec.loader is None:
        sys.exit(f"not a Python file: {path}")
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


def probe(targets: Sequence[str]) -> dict[str, list[str]]:
    """Load the targets (module names or Dag files) in this interpreter; what is new, and what is wrong."""
    for target in targets:
        if target.endswith(".py"):
            load_own_imports(target)
        else:
            importlib.import_module("airflow.triggers.base")
    problems: list[str] = []
    before = loaded()
    with Spy() as spy:
        for target in targets:
            known = loaded()
            if target.endswith(".py"):
                load_dag_file(target)
            else:
                importlib.import_module(target)
            problems += [f"{target} loads {name}" for name in sorted(loaded() - known) if is_heavy(name)]
    return {"new": sorted(loaded() - before), "problems": sorted(set(spy.seen)) + problems}


def probe_each(groups: Sequence[Sequence[str]]) -> None:
    """Print one line of JSON for each group, each probed in a fork of its own, as the Dag processor does it."""
    load_plain_dag()
    load_bases()
    for targets in groups:
        child = os.fork()
        if not child:
            status = 1
            try:
                print(json.dumps(probe(targets)), flush=True)
                status = 0
            except Exception:  # noqa: BLE001 - a fork must end here in any case
                traceback.print_exc()
            finally:
                os._exit(status)
        if os.waitpid(child, 0)[1]:
            sys.exit(f"could not load {' '.join(targets)}")


def probes(groups: Sequence[Sequence[str]]) -> list[dict[str, list[str]]]:
    """The output of :func:`probe_each`, in a fresh interpreter with its own Airflow home."""
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [sys.executable, __file__, "--probe", json.dumps(groups)],
            env=os.environ | {"AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
    if done.returncode:
        sys.exit(1)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"new"')]


def main() -> None:
    if sys.argv[1:2] == ["--probe"]:
        probe_each(json.loads(sys.argv[2]))
        return

    modules = public_modules()
    dag_files = sys.argv[1:] or sorted(map(str, (ROOT / "example_dags").glob("*.py")))
    answers = probes([modules, *([dag_file] for dag_file in dag_files)])
    problems = [problem for answer in answers for problem in answer["problems"]]
    print(f"{len(modules)} public modules")
    for dag_file, answer in zip(dag_files, answers[1:], strict=True):
        name, new = Path(dag_file).name, answer["new"]
        print(f"{name}: {len(new)} modules beyond those without us")
        if len(new) > MOST_NEW_MODULES:
            problems.append(f"{name} loads {len(new)} modules, {MOST_NEW_MODULES} are allowed: {new}")
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
