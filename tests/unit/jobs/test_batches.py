"""The batches of a job operator: noted before they are sent, each sent once, and taken up where the book ends."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.api.call import Call, Operation
from airflow_provider_mirakl.api.caller import Caller
from airflow_provider_mirakl.exceptions import MiraklNoteError
from airflow_provider_mirakl.files.sealed import stamp_of
from airflow_provider_mirakl.jobs.batches import BatchWork
from airflow_provider_mirakl.jobs.book import JobBook
from tests.damage import LINES, damage

OPERATION = Operation("OF24", "POST", "/api/offers", replay=False, interval=60.0)
NOW = datetime(2026, 11, 20, tzinfo=UTC)


def call(caller: Caller, rows: list[bytes]) -> Call[Any]:
    return Call(OPERATION, parse=bool, body=b"[" + b",".join(rows) + b"]")


@pytest.fixture
def work(tmp_path: Path) -> BatchWork:
    """Five rows, two of them in a batch."""
    copy = tmp_path / "rows.ndjson"
    copy.write_text("".join(f'{{"sku":"é{number}"}}\n' for number in range(5)))
    return opened(tmp_path)


def opened(folder: Path) -> BatchWork:
    book = JobBook.open(folder, generation="g", payload="p")
    return BatchWork(book, folder / "rows.ndjson", 2, call, Caller("shop", None))


def skus(work: BatchWork) -> list[str]:
    found = work.next_call()
    assert found is not None
    assert isinstance(found.body, bytes)
    return [row["sku"] for row in json.loads(found.body)]


def test_each_batch_is_sent_once_and_a_new_process_takes_up_the_next(work: BatchWork, tmp_path: Path) -> None:
    sent = []
    for job_id in (11, 12, 13):
        again = opened(tmp_path)  # as another process
        assert again.operation is OPERATION
        sent.append(skus(again))
        again.intend()
        again.accept(job_id, NOW)
    assert sent == [["é0", "é1"], ["é2", "é3"], ["é4"]]
    last = opened(tmp_path)
    assert (last.next_call(), last.operation, last.left) == (None, None, [])
    assert last.position == {"submitted": 3, "batches": 3}


def test_a_batch_is_noted_before_it_is_sent(work: BatchWork, tmp_path: Path) -> None:
    work.intend()
    book = JobBook.find(tmp_path, generation="g")
    assert book is not None
    assert [(entry.phase, entry.items, entry.job_id) for entry in book.entries] == [("intent", 2, None)]
    assert opened(tmp_path).left == [0, 1, 2], "whether it was taken is not known"


def test_a_batch_that_mirakl_did_not_take_is_no_longer_noted(work: BatchWork, tmp_path: Path) -> None:
    work.intend()
    work.withdraw()
    book = JobBook.find(tmp_path, generation="g")
    assert book is not None
    assert book.entries == []


def test_the_book_is_complete_with_the_last_batch(work: BatchWork) -> None:
    complete = []
    for job_id in (11, 12, 13):
        work.intend()
        work.accept(job_id, NOW)
        complete.append(work._book.complete)
    assert complete == [False, False, True]


def test_progress_says_what_is_left(work: BatchWork) -> None:
    assert work.last_call_at is None
    assert work.describe(120.0) == "batch 0/3, 6 min left"
    work.intend()
    work.accept(2041, NOW)
    assert work.last_call_at is not None
    assert work.describe(120.0) == "batch 1/3 submitted as 2041, 4 min left"


@pytest.mark.parametrize("how", LINES)
def test_a_damaged_copy_is_not_laid_out(work: BatchWork, how: str, tmp_path: Path) -> None:
    work._book.copy = stamp_of(tmp_path / "rows.ndjson")
    work._book.save()
    damage(tmp_path / "rows.ndjson", LINES[how])
    with pytest.raises(MiraklNoteError, match="Remove it: a retry copies the source again") as caught:
        opened(tmp_path)
    assert caught.value.path == str(tmp_path / "rows.ndjson")


@pytest.mark.parametrize("how", [how for how, change in LINES.items() if change is not None])
def test_a_copy_that_is_damaged_between_two_batches_is_not_sent(
    work: BatchWork, how: str, tmp_path: Path
) -> None:
    for job_id in (11, 12):
        work.intend()
        work.accept(job_id, NOW)
    damage(tmp_path / "rows.ndjson", LINES[how])
    with pytest.raises(MiraklNoteError, match="Remove it: a retry copies the source again"):
        work.next_call()


def test_a_copy_of_the_version_before_is_sent(work: BatchWork, tmp_path: Path) -> None:
    book = JobBook.find(tmp_path, generation="g")
    assert book is not None
    assert book.copy is None
    assert skus(opened(tmp_path)) == ["é0", "é1"]


def test_another_process_that_went_on_is_noticed(work: BatchWork, tmp_path: Path) -> None:
    assert work.is_current
    other = opened(tmp_path)
    other.intend()
    assert not work.is_current
    (tmp_path / "rows.ndjson").unlink()
    with pytest.raises(FileNotFoundError, match=r"rows\.ndjson is missing"):
        _ = work.is_current
