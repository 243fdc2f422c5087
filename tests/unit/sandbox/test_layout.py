"""What the sandbox costs those who do not use it, and how its modules stand to each other."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest_plugins = ("pytester",)
PACKAGE = "airflow_provider_mirakl"
HEAVY = ("starlette", "uvicorn", "httpx", "pydantic", "airflow")


def new_modules(code: str, before: str = "") -> list[str]:
    """The modules that a fresh interpreter loads for some code, beyond those it had before."""
    script = f"{before}\nimport sys\nhad = set(sys.modules)\n{code}\nprint(*sorted(set(sys.modules) - had))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.split()


def heavy(modules: list[str]) -> list[str]:
    return [name for name in modules if name.startswith(tuple(f"{root}." for root in HEAVY)) or name in HEAVY]


def test_the_package_does_not_load_its_sandbox() -> None:
    assert not [name for name in new_modules(f"import {PACKAGE}") if ".sandbox" in name]


def test_the_pytest_plugin_costs_a_run_nothing() -> None:
    """Every pytest run of a user's environment imports it, so it brings three small modules of ours only."""
    found = new_modules(f"import {PACKAGE}.sandbox.pytest_plugin", before="import pytest, json")
    assert heavy(found) == []
    assert found == [PACKAGE, f"{PACKAGE}.sandbox", f"{PACKAGE}.sandbox.pytest_plugin"]


def test_a_run_that_asks_for_no_fixture_starts_no_sandbox(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_nothing_of_it_is_loaded():
            assert not [name for name in sys.modules if name.startswith("airflow_provider_mirakl.sandbox.m")]
            assert "uvicorn" not in sys.modules
        """
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)
