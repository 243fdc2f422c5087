"""What a person who may write the source file can do to the log and to the memory."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_mirakl.catalog.mapping import Columns
from airflow_provider_mirakl.catalog.plan import plan_upsert
from airflow_provider_mirakl.checks.imports import OF01, ImportCheck
from airflow_provider_mirakl.checks.lint import lint_table, words
from airflow_provider_mirakl.exceptions import MiraklInputError, MiraklItemsFailedError, Problem
from airflow_provider_mirakl.files.csv_table import open_table
from airflow_provider_mirakl.outcome import ErrorCount, FailurePolicy, Outcome
from airflow_provider_mirakl.runtime.explaining import explanation

FORGED = "x\n[2026-11-20] INFO forged\x1b[2K\u2028"
KEY, CELL = json.dumps(FORGED), f'"{FORGED}"'
Write = Callable[..., Path]


def is_clean(message: str) -> bool:
    """Whether only this package's own line breaks are in a message."""
    return "forged" in message and all(
        line.isprintable() and not line.startswith("[2026") for line in message.split("\n")
    )


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("a.ndjson", f'{{"id": "A", {KEY}: 1}}', {}),
        ("a.ndjson", f'{{"id": "A", "titles": [{{{KEY}: 1}}]}}', {}),
        ("a.ndjson", f'{{"id": {KEY}}}', {}),
        ("a.ndjson", f'{{"id": "A", "gtins": [{{"value": {KEY}}}], "titles": [{{"locale": {KEY}}}]}}', {}),
        ("a.json", f'{{{KEY}: [{{"id": 1}}]}}', {}),
        ("a.csv", f"id;{CELL}\nA;1\n", {}),
        ("a.csv", f"id;{CELL};{CELL}\nA;1;2\n", {"columns": Columns({"id": "id", FORGED: "brand"})}),
        ("a.csv", f'id;"titles[{FORGED}]"\nA;1\n', {}),
        ("a.csv", f"{CELL};brand\nA;1\n", {"columns": Columns({"sku": "id"})}),
        ("a.csv", f"id;gtins\nA;{CELL}\n", {}),
    ],
    ids=range(10),
)
def test_no_name_and_no_value_forges_a_line_of_the_log(
    name: str, content: str, options: dict[str, Any], write: Write, tmp_path: Path
) -> None:
    with pytest.raises(MiraklInputError) as caught:
        plan_upsert(write(content, name), tmp_path / "plan", **options)
    assert is_clean(str(caught.value))
    assert is_clean(explanation(caught.value, SimpleNamespace(task_id="upsert", log=None)))


def test_no_header_and_no_cell_forges_a_line_of_a_check(write: Write) -> None:
    path = write(f"sku;price;{CELL}\n{CELL};{CELL};1\n", "offers.csv")
    with open_table(path) as table:
        lines = list(words(lint_table(table, ImportCheck(OF01)), "offers.csv"))
    assert sum("forged" in line for line in lines) == 2
    assert all(line.isprintable() for line in lines)


def test_no_part_of_a_problem_forges_a_line_of_the_log() -> None:
    assert str(Problem(FORGED, FORGED, 3, FORGED)).isprintable()
    assert str(Problem("is blank", "größe.price[0]", 3, "A")) == "line 3, id 'A', größe.price[0]: is blank"


def test_no_report_that_repeats_the_source_forges_a_line_of_the_log() -> None:
    errors = (ErrorCount(FORGED, f"no product {FORGED}", 1),)
    with pytest.raises(MiraklItemsFailedError) as caught:
        FailurePolicy().check(Outcome(sent=1, failed=1, errors=errors))
    assert is_clean(str(caught.value))


def packed(first: bytes, block: bytes, count: int = 200) -> bytes:
    """A small gzip file that unpacks to hundreds of megabytes."""
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as file:
        file.write(first)
        for _ in range(count):
            file.write(block)
    return out.getvalue()


BOMBS = {
    "an endless text.ndjson.gz": (b'{"id":"', b"a" * (1 << 20)),
    "an endless gap.json.gz": (b"[", b" " * (1 << 20)),
    "an endless cell.csv.gz": (b'id;brand\nA;"', b"a" * (1 << 20)),
    "an endless header.csv.gz": (b"id;", b"brand;" * (1 << 18)),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_compressed_source_does_not_fill_the_memory(name: str, write: Write, tmp_path: Path) -> None:
    source = write(packed(*BOMBS[name]), name)
    assert source.stat().st_size < 1 << 20
    tracemalloc.start()
    try:
        with pytest.raises(MiraklInputError):
            plan_upsert(source, tmp_path / "plan")
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
