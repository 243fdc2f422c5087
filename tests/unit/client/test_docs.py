"""The page about the client tells the truth: its examples run, its tables name what there is."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl import exceptions
from airflow_provider_mirakl.api import catalog_manager, connect, documents, offers, products
from airflow_provider_mirakl.api.call import Operation
from airflow_provider_mirakl.client.settings import Settings

PAGE = Path(__file__).parents[3] / "docs" / "client.md"


@pytest.fixture(scope="module")
def text() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_the_examples_run(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    from airflow_provider_mirakl.client.pacing import PACER
    from airflow_provider_mirakl.client.tokens import TOKENS

    blocks = list(re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    assert len(blocks) > 8
    names: dict[str, Any] = {}
    try:
        for block in blocks:
            line = text.count("\n", 0, block.start()) + 1
            connect, does_not_wait = names.get("connect"), "max_wait=0" in block[1]
            if does_not_wait:  # an interval of a tenth of a second could be over before the second call
                names["connect"] = replace(connect, interval_factor=60)
            exec(compile("\n" * line + block[1], str(PAGE), "exec"), names)  # noqa: S102
            if does_not_wait:
                names["connect"] = connect
                PACER.forget()
                names["sandbox"].forget_limits()
    finally:
        if "sandbox" in names:
            names["sandbox"].stop()
        PACER.forget()
        TOKENS.forget()
    # Airflow 2, where an earlier test has loaded it, logs to the same place.
    out = [line for line in capsys.readouterr().out.splitlines() if not re.match(r"\[\d{4}-", line)]
    assert out[0] == out[1], "both clients read the same name"
    assert out[2] == "chair-1"
    assert out[3] == "12"
    assert out[4].startswith("upsertProducts 20")
    assert out[5] == "True False"
    assert out[6].startswith("400 INVALID_INPUT $.products[0].id")
    assert out[7].startswith("- ")


def table(text: str, heading: str) -> list[list[str]]:
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows if "---" not in row]


def test_every_error_is_in_the_table(text: str) -> None:
    named = {row[0].strip("`") for row in table(text, "Errors")[1:]}
    ours = {
        name
        for name, kind in vars(exceptions).items()
        if isinstance(kind, type) and issubclass(kind, Exception)
    }
    # What operators and sensors raise has pages of its own.
    judged = {
        name
        for name in ours
        if name.startswith(("MiraklItems", "MiraklTrigger", "MiraklJob", "MiraklUnclear"))
    }
    assert named == ours - {"MiraklError"} - judged


def test_the_replay_table_has_every_operation_that_is_not_replayed(text: str) -> None:
    head = table(text, "Retries")[0]
    operations = [
        value
        for module in (connect, documents, catalog_manager, offers, products)
        for value in vars(module).values()
        if isinstance(value, Operation)
    ]
    assert {operation.code for operation in operations if not operation.replay} == set(
        re.findall(r"[A-Z]+\d\d", head[2])
    )
    assert {"CM21", "OF24"} <= {operation.code for operation in operations if operation.replay}
    writes = {operation.code for operation in operations if operation.replay and operation.method == "POST"}
    assert writes == {"CM21", "OF24", "upsertProducts"}


def test_defaults_are_as_told(text: str) -> None:
    fields = Settings.__dataclass_fields__
    assert f"`max_attempts` attempts (default {fields['max_attempts'].default})" in text
    assert f"`max_wait` seconds away (default {fields['max_wait'].default:g})" in text
