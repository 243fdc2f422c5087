"""The pages that show what the tests and the benchmarks found, made from their data."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "docs" / "_ext"))
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import ledger
import proof_pages


def row(**values: Any) -> dict[str, Any]:
    return {
        "name": "x", "value": 2.0, "unit": "times", "at_least": None, "at_most": None,
        "benchmark": "plan", "run": "now", "date": "2026-01-02", "load": 1.0,
    } | values  # fmt: skip


def test_the_table_of_faults_has_every_fault_and_every_exception() -> None:
    data, operations = proof_pages.matrix()
    lines = proof_pages.faults_table().splitlines()[2:]
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines] == [
        fault.name for fault in data.FAULTS
    ]
    for (operation, fault), end in data.OTHERWISE.items():
        line = lines[[each.name for each in data.FAULTS].index(fault)]
        assert operation in line
        assert end in line
    assert operations


def test_the_operations_say_where_they_run_and_why_others_are_left_out() -> None:
    data, operations = proof_pages.matrix()
    rows, left_out = proof_pages.operations_table().split("\n\n")
    found = [_bare(line).split(" | ") for line in rows.splitlines()[2:]]
    assert [tuple(cells[:2]) for cells in found] == [*operations, *data.EVENTS]
    alone = {name for name, part in data.PARTS.items() if part.places == data.WORKER}
    assert {name for name, _, where, _ in found if where == "worker"} == set(data.WORKER_ONLY) | alone
    assert len(left_out.splitlines()) == len(data.LEFT_OUT) + 2


@pytest.mark.parametrize(
    ("failed", "words"), [([], "none failed"), (["P41, 503, worker"], "**1 failed**: P41, 503, worker.")]
)
def test_the_record_says_how_many_cells_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failed: list[str], words: str
) -> None:
    monkeypatch.setattr(proof_pages, "FAULTS", tmp_path / "faults.json")
    assert "recorded yet" in proof_pages.faults_record()
    about = {"apache-airflow": "3.3.2", "python": "3.11.7"}
    record = {"machine": about, "date": "2026-11-26", "cells": 9, "passed": 8, "failed": failed}
    (tmp_path / "faults.json").write_text(json.dumps(record))
    said = proof_pages.faults_record()
    assert f"{8 + len(failed)} of 9 cells were run on 2026-11-26; Airflow 3.3.2" in said
    assert words in said


def _bare(line: str) -> str:
    return line.strip("| ")


def test_the_mutants_add_up_and_every_survivor_is_shown() -> None:
    found, table = proof_pages.mutants(), proof_pages.mutants_table()
    counts = list(found["modules"].values())
    survivors = sum(each["tried"] - each["killed"] for each in counts)
    assert survivors == len(found["survivors"])
    assert all(each["killed"] <= each["tried"] <= each["mutants"] for each in counts)
    for row in found["survivors"]:
        assert f"| `{row['module']}:{row['line']}` |" in table
        assert row.get("harmless", "**a test is missing**") in table
    rooms = table.partition("\n\n")[0].splitlines()[2:]
    numbers = [[int(cell.replace(",", "")) for cell in line.split(" | ")[1:]] for line in map(_bare, rooms)]
    assert len(numbers) == len({module.partition("/")[0] for module in found["modules"]})
    assert [sum(column) for column in zip((0, 0, 0, 0), *numbers, strict=True)] == [
        *(sum(each[name] for each in counts) for name in ("mutants", "tried", "killed")),
        survivors,
    ]


def test_the_kills_add_up_by_operation_and_by_victim() -> None:
    found, table = proof_pages.chaos(), proof_pages.chaos_table()
    runs = sum(row["cases"] for row in found["counts"])
    assert f"{found['rounds']} rounds" in table
    for part in table.split("\n\n")[1:]:
        rows = [_bare(line).split(" | ") for line in part.strip().splitlines()[2:]]
        numbers = [[int(cell) for cell in cells] for _, *cells in rows]
        assert [sum(column) for column in zip(*numbers[:-1], strict=True)] == numbers[-1]
        assert rows[-1][:2] == ["all", str(runs)]
    assert {row["operation"] for row in found["counts"]} == set(proof_pages.matrix()[0].STRUCK)


def test_the_ledger_shows_every_figure_with_its_target() -> None:
    found, table = proof_pages.results(), proof_pages.ledger_table()
    for figure in found["figures"]:
        assert f"| {figure['name']} | {proof_pages.measured(figure)}" in table
        assert proof_pages.target(figure)
    drawn = [figure for figure in found["figures"] if figure["value"] is not None]
    shown = [element.text for element in ET.fromstring(proof_pages.picture()).iter()]  # noqa: S314 - ours
    assert "target" in shown
    assert len([text for text in shown if text]) > len(drawn)
    names = [figure["name"] for figure in found["figures"]]
    assert len(set(names)) == len(names)


def test_every_benchmark_has_a_figure() -> None:
    assert {figure["benchmark"] for figure in proof_pages.results()["figures"]} == set(ledger.SHORT)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """The page of a ledger with these figures."""

    def of(*figures: dict[str, Any]) -> str:
        about = {"system": "Linux", "cores": 2, "memory_gb": 4, "python": "3.12"}
        found = {"run": "now", "machine": about, "figures": list(figures)}
        monkeypatch.setattr(proof_pages, "results", lambda: found)
        return proof_pages.ledger_table() + proof_pages.picture()

    return of


def test_the_ledger_says_which_figures_are_from_another_run(shown: Callable[..., str]) -> None:
    assert "other runs" not in shown(row(at_least=1.0))
    page = shown(row(at_least=1.0), row(at_least=1.0, run="before", machine={"cores": 8, "python": "3.11"}))
    assert "1 of 2 figures are from other runs" in page
    assert "| 2026-01-02 |" in page
    assert "| 2026-01-02 * with 8 cores; python 3.11 |" in page


def test_a_figure_without_a_value_says_why(shown: Callable[..., str]) -> None:
    page = shown(row(name="beside y", value=None, why="not installed", at_least=1.0))
    assert "| beside y | not installed | 1 or more |" in page
    assert "missed" not in page


def test_a_figure_of_before_keeps_the_machine_that_it_was_measured_on() -> None:
    first = {"cores": 2, "python": "3.11", "httpx": "0.28"}
    known = {"machine": first, "figures": [row()]}
    assert ledger.moved(known, first) == [row()]
    second = {"cores": 8, "python": "3.11"}
    (kept,) = ledger.moved(known, second)
    assert kept["machine"] == {"cores": 2, "httpx": "0.28"}
    again = ledger.moved({"machine": second, "figures": [kept]}, first)
    assert again == [row()], "the machine of then is the block's again"


@pytest.mark.parametrize(
    ("figure", "share"),
    [
        (row(at_least=1.0), 2.0),
        (row(at_most=4.0), 2.0),
        (row(at_most=1.0), 0.5),
        (row(at_most=0, value=0), 1.0),
        (row(at_most=0, value=3), 0.0),
    ],
)
def test_a_figure_is_compared_with_its_target(figure: dict[str, Any], share: float) -> None:
    assert proof_pages.share(figure) == share
