"""The pages that show what the tests and the benchmarks found, made from their data."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "docs" / "_ext"))
import proof_pages


def row(**values: Any) -> dict[str, Any]:
    return {"name": "x", "value": 2.0, "unit": "times", "at_least": None, "at_most": None} | values


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


def test_the_ledger_shows_every_figure_with_its_target() -> None:
    found, table = proof_pages.results(), proof_pages.ledger_table()
    for figure in found["figures"]:
        assert f"| {figure['name']} | {figure['value']:.3g} {figure['unit']}" in table
        assert proof_pages.target(figure)
    shown = {element.text for element in ET.fromstring(proof_pages.picture()).iter()}  # noqa: S314 - ours
    assert "target" in shown
    assert len([text for text in shown if text]) > len(found["figures"])


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
