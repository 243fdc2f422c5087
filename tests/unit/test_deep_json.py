"""JSON nested deeper than Python reads is refused like other text that is not JSON: RecursionError is no ValueError."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_mirakl.actions.rows import paths, read_file, taxes
from airflow_provider_mirakl.exceptions import MiraklInputError
from airflow_provider_mirakl.jobs.reports import global_errors
from airflow_provider_mirakl.runtime.downloads import _list_of

DEEP = "[" * 200_000 + "]" * 200_000


def test_cells_of_an_action() -> None:
    with pytest.raises(ValueError, match="must be a path"):
        paths(DEEP)
    with pytest.raises(ValueError, match="must be a list such as"):
        taxes(DEEP)


@pytest.mark.parametrize("text", [DEEP, f'{{"a": {DEEP}}}\n'], ids=["array", "lines"])
def test_rows_of_an_action(tmp_path: Path, text: str) -> None:
    (tmp_path / "rows.json").write_text(text)
    with pytest.raises(MiraklInputError, match="cannot be read"):
        read_file(tmp_path / "rows.json")


def test_a_report(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(DEEP)
    assert "cannot be read as a report" in global_errors(tmp_path / "report.json")[0]


def test_the_head_of_an_export(tmp_path: Path) -> None:
    (tmp_path / "export.json").write_text(f'{{"lines": {DEEP}}}')
    assert _list_of(tmp_path / "export.json", "lines") == "lines"


def test_rows_of_an_operator() -> None:
    from airflow_provider_mirakl.operators.offers import MiraklUpsertOffersOperator

    task = MiraklUpsertOffersOperator(task_id="task", source="offers.ndjson")
    (problem,) = task._faults(f'{{"shop_sku": {DEEP}}}'.encode(), set())
    assert "nested too deep" in problem.message
