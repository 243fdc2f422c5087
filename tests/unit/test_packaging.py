"""What pip, uv and Airflow see of the package."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
import tomllib
from importlib import metadata, resources
from pathlib import Path

import airflow
import jsonschema
import pytest
from airflow.configuration import conf
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import airflow_provider_mirakl
from airflow_provider_mirakl.get_provider_info import get_provider_info

ROOT = Path(__file__).resolve().parents[2]
CONNECTION_TYPES = {"djust", "mirakl", "mirakl_connect"}
CONSTRAINTS = sorted((ROOT / "constraints").glob("*.txt"))
PIN = re.compile(r"^[a-z0-9]+(-[a-z0-9]+)*==[0-9][0-9a-z.]*( ; [a-zA-Z0-9_ .'!=<>()*]+)?$")


def airflow_says(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "airflow", *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def airflow_lists(*command: str) -> list[dict[str, str]]:
    """The rows of an ``airflow`` command; what it logs around the JSON list is dropped."""
    output = airflow_says(*command, "--output", "json")
    line = next(line for line in output.splitlines() if line.startswith("[{"))
    rows: list[dict[str, str]] = json.loads(line)
    return rows


# --- Airflow's view ---------------------------------------------------------------------------------------


@pytest.mark.matrix
def test_provider_info_is_valid_by_airflows_own_schema():
    schema = json.loads(resources.files(airflow).joinpath("provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)


@pytest.mark.matrix
def test_everything_the_provider_info_names_exists():
    info = get_provider_info()
    (integration,) = info["integrations"]
    assert (ROOT / integration["logo"].removeprefix("/")).is_file()
    modules = [
        module
        for kind in ("hooks", "operators", "sensors", "triggers")
        for entry in info.get(kind, ())
        for module in entry["python-modules"]
    ]
    classes = [entry["hook-class-name"] for entry in info["connection-types"]]
    classes += [*info.get("extra-links", ()), *(entry["name"] for entry in info.get("plugins", ()))]
    names = [*modules, *classes]
    code = "import sys, pkgutil; [pkgutil.resolve_name(name) for name in sys.argv[1:]]"
    done = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.airflow
@pytest.mark.matrix
def test_airflow_lists_the_provider():
    rows = {row["package_name"]: row for row in airflow_lists("providers", "list")}
    assert rows["airflow-provider-mirakl"]["version"] == airflow_provider_mirakl.__version__


@pytest.mark.airflow
@pytest.mark.matrix
def test_airflow_lists_the_connection_types():
    rows = [
        row for row in airflow_lists("providers", "hooks") if row["package_name"] == "airflow-provider-mirakl"
    ]
    assert {row["connection_type"] for row in rows} == CONNECTION_TYPES
    assert all(row["class"].startswith("airflow_provider_mirakl.hooks.") for row in rows)


@pytest.mark.airflow
@pytest.mark.matrix
def test_options_have_their_defaults_in_airflows_configuration():
    from airflow.providers_manager import ProvidersManager

    options = get_provider_info()["config"]["mirakl"]["options"]
    assert options
    ProvidersManager().initialize_providers_configuration()  # Airflow 3.0 does not do it for every process
    assert conf.as_dict()["mirakl"] == {name: option["default"] for name, option in options.items()}


# --- the installed distribution ---------------------------------------------------------------------------


@pytest.mark.matrix
def test_metadata_of_the_installed_package():
    installed = metadata.metadata("airflow-provider-mirakl")
    assert installed["Version"] == airflow_provider_mirakl.__version__
    assert installed["License-Expression"] == "Apache-2.0"
    assert installed["Requires-Python"] == ">=3.11"


@pytest.mark.matrix
def test_entry_points_can_be_loaded():
    ours = metadata.distribution("airflow-provider-mirakl").entry_points
    assert {entry.group for entry in ours} == {"apache_airflow_provider", "console_scripts", "pytest11"}
    for entry in ours:
        assert entry.load() is not None


@pytest.mark.matrix
def test_installed_airflow_is_the_pinned_one():
    """A version that pip resolved on the side would make the whole run worthless."""
    file = ROOT / "constraints" / f"airflow-{airflow.__version__}.txt"
    if not file.exists():
        pytest.skip(f"needs an Airflow of constraints/, not {airflow.__version__}: make matrix installs one")
    pins = dict(line.partition(" ;")[0].split("==") for line in file.read_text().splitlines())
    for name in ("apache-airflow", "apache-airflow-providers-common-compat", "httpx", "pydantic", "pytest"):
        assert metadata.version(name) == pins[name]


# --- what is built ----------------------------------------------------------------------------------------


def test_wheel_and_sdist_hold_what_they_should_and_nothing_else(tmp_path):
    pytest.importorskip("hatchling", reason="needs hatchling: make venv installs it")
    pytest.importorskip(
        "hatch_fancy_pypi_readme", reason="needs hatch-fancy-pypi-readme: make venv installs it"
    )
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    check_dist = runpy.run_path(str(ROOT / "scripts" / "check_dist.py"))
    assert check_dist["problems_in"](tmp_path) == []


def test_the_check_of_builds_finds_what_is_wrong(tmp_path):
    pytest.importorskip("hatchling", reason="needs hatchling: make venv installs it")
    check_dist = runpy.run_path(str(ROOT / "scripts" / "check_dist.py"))
    assert "found 0 and 0" in check_dist["problems_in"](tmp_path)[0]
    stray = ["airflow_provider_mirakl/__pycache__/hooks.cpython-311.pyc", "airflow_provider_mirakl/hooks.py"]
    assert list(check_dist["stray"](stray)) == [f"{stray[0]} is stray"]
    assert list(check_dist["missing"](stray, ["LICENSE"])) == ["LICENSE is missing"]
    bare = b"Metadata-Version: 2.4\nName: x\nVersion: 1\nLicense-Expression: MIT\n"
    assert "License-Expression is MIT" in list(check_dist["metadata_problems"](bare))
    linked = bare + b"\nSee [the docs](docs/index.md) and [Mirakl](https://www.mirakl.com)."
    assert [problem for problem in check_dist["metadata_problems"](linked) if "links to" in problem] == [
        "the description links to docs/index.md, which a package page does not have"
    ]


# --- constraints ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", CONSTRAINTS, ids=lambda path: path.stem)
def test_constraints_hold_names_and_versions_only(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines
    assert [line for line in lines if not PIN.match(line)] == []


@pytest.mark.parametrize("path", CONSTRAINTS, ids=lambda path: path.stem)
def test_constraints_agree_with_the_declared_requirements(path):
    """A floor raised in pyproject.toml without `make lock` would install something no one has tested."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = [Requirement(line) for line in project["dependencies"]]
    for lines in project["optional-dependencies"].values():
        declared += [Requirement(line) for line in lines]
    ranges: dict[str, SpecifierSet] = {requirement.name: requirement.specifier for requirement in declared}
    pins = [Requirement(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if path.stem.startswith("airflow-"):
        assert set(ranges) <= {pin.name for pin in pins}
    for pin in pins:
        version = str(pin.specifier).removeprefix("==")
        assert pin.name not in ranges or ranges[pin.name].contains(version), pin


def test_the_file_for_the_registry_is_current() -> None:
    """``python scripts/registry.py`` writes it."""
    import importlib.util

    root = Path(__file__).resolve().parents[2]
    spec = importlib.util.spec_from_file_location("registry", root / "scripts" / "registry.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    names = re.findall(r"module: (\S+)", module.FILE.read_text(encoding="utf-8"))
    assert names == re.findall(r"module: (\S+)", module.registry())
    assert len(names) > 60
