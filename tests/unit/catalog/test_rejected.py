"""The file of rejected rows, damaged: they still count as failed, and what can be read keeps its reason."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from airflow_provider_mirakl.catalog.rejects import is_reject, rejected_items, rejected_lines
from tests.damage import LINES, damage

ROWS = [
    {"line": n, "id": f"P{n}", "problems": [f"price: {n} is wrong"], "row": {"id": f"P{n}"}} for n in range(3)
]

EVERY_REASON_IS_LEFT = (
    "not UTF-8", "a list in a line", "a number in a line", "a digit changed", "each line twice",
)  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "rejected.ndjson"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return path


@pytest.mark.parametrize("noted", [0, 3])
def test_a_whole_file_has_every_reason(noted: int, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert [(item.item_id, item.status, item.message) for item in rejected_items(path, noted)] == [
        (f"P{n}", "failed", f"price: {n} is wrong") for n in range(3)
    ]
    assert b"".join(rejected_lines(path)) == path.read_bytes()
    assert not caplog.records


@pytest.mark.parametrize("how", [*LINES, "gone"])
def test_rows_of_a_damaged_file_still_count(how: str, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    if how == "gone":
        path.unlink()
    else:
        damage(path, LINES[how])
    with caplog.at_level(logging.WARNING):
        items = list(rejected_items(path, 3))
    assert [(item.status, item.code) for item in items] == [("failed", "REJECTED")] * 3
    lost = [item for item in items if "the reasons were lost" in (item.message or "")]
    assert bool(lost) == ("run the task on the source again" in caplog.text)
    assert bool(lost) == (how not in EVERY_REASON_IS_LEFT)
    assert all(is_reject(line) for line in rejected_lines(path))
