"""A first run of years takes no more memory than one of a day: pages lie on storage, and a note counts them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.api.call import Call, Page
from airflow_provider_mirakl.extract.listings import LISTINGS
from airflow_provider_mirakl.extract.target import Target
from airflow_provider_mirakl.extract.work import ExtractWork, Window

NEWEST = datetime(2026, 11, 1, tzinfo=UTC)
ROWS = 100
"""On a page of v2-listOrders."""


def pages(count: int) -> Iterator[Page[dict[str, Any]]]:
    """Orders of about a kilobyte, the last change first."""
    first = LISTINGS["orders"].call(updated_from=NEWEST)
    for page in range(count):
        rows = [
            {
                "id": f"o-{page}-{row}",
                "updated_at": (NEWEST - timedelta(minutes=page * ROWS + row)).isoformat(),
                "order_lines": [{"id": f"l-{page}-{row}", "product": {"title": "x" * 800}}],
            }
            for row in range(ROWS)
        ]
        following: Call[Any] | None = first if page < count - 1 else None
        yield Page(rows, following)


def peak(folder: Path, count: int, format_: Any) -> int:
    """Most bytes that were held at once."""
    target = Target(folder / "lake", "run_id=1", "part-00000", format_, flat=format_ == "parquet")
    window = Window(
        datetime(2020, 1, 1, tzinfo=UTC), watermark=folder / "watermark", overlap=timedelta(minutes=10)
    )
    work = ExtractWork(LISTINGS["orders"], window, folder / "work", generation="1")
    tracemalloc.start()
    for page in pages(count):
        work.accept(page, NEWEST)
    work.end(target)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert work.progress.counts is not None
    assert work.progress.counts["orders"] == count * ROWS
    return most


@pytest.mark.parametrize("format_", ["ndjson", "parquet"])
def test_the_memory_of_an_extract_does_not_grow_with_its_pages(tmp_path: Path, format_: str) -> None:
    if format_ == "parquet":
        pytest.importorskip("pyarrow", reason="needs pyarrow: make venv installs it")
    peak(tmp_path / "warm", 12, format_)  # what is imported and cached once
    few, many = peak(tmp_path / "few", 12, format_), peak(tmp_path / "many", 52, format_)
    rows = 40 * ROWS * 1000
    assert many - few < rows / 8, f"{few:,} and {many:,} bytes: the rows alone have {rows:,} bytes more"
