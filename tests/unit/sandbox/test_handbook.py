"""docs/sandbox.md names everything that the sandbox has, and its examples work."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from airflow_provider_mirakl.sandbox import Settings
from airflow_provider_mirakl.sandbox.machine.faults import KINDS
from airflow_provider_mirakl.sandbox.operations import OPERATIONS

HANDBOOK = Path(__file__).parents[3] / "docs" / "sandbox.md"


@pytest.fixture(scope="module")
def text() -> str:
    return HANDBOOK.read_text(encoding="utf-8")


def test_it_names_every_operation(text: str) -> None:
    assert [entry.code for entry in OPERATIONS if not re.search(rf"\b{entry.code}\b", text)] == []


def test_it_names_every_fault(text: str) -> None:
    assert [kind for kind in KINDS if f"`{kind}`" not in text] == []


def test_it_names_every_setting_with_its_default(text: str) -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| `?([^|`]+?)`? \|", text, re.MULTILINE))
    words = {True: "true", False: "false", frozenset(): "none"}
    elsewhere = {"speed", "clock", "seed", "clients", "keys", "djust_keys"}
    settings = Settings()
    for entry in fields(Settings):
        if entry.name in elsewhere:
            continue
        value = getattr(settings, entry.name)
        expected = words[value] if isinstance(value, bool | frozenset) else str(value).removesuffix(".0")
        assert rows[entry.name] == expected, entry.name


def test_its_example_without_pytest_works(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = (
        block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "with Sandbox" in block
    )
    exec(compile(example, "docs/sandbox.md", "exec"), {})  # noqa: S102 - the example of our own handbook
    assert "Nordlys" in capsys.readouterr().out
