"""A listing that is read page by page: continued where it ended, and never shorter than it was."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.api.call import Call, Operation, Page
from airflow_provider_mirakl.exceptions import MiraklNoteError
from airflow_provider_mirakl.jobs.requests import LISTED, PagesWork, Params

OPERATION = Operation("OR11", "GET", "/api/orders", replay=True, interval=60)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
PAGES: list[list[Any]] = [[{"id": 1}, {"id": "é"}], [], [{"id": 3}]]


def call(params: Params) -> Call[Page[Any]]:
    return Call(OPERATION, parse=lambda reply: Page([], None), params=tuple(params))


def opened(folder: Path, target: Path | None = None, generation: str = "g") -> PagesWork:
    """The work as a new process opens it."""
    note = LISTED.at(folder, generation=generation)
    return PagesWork([("max", "2")], call, note, folder / "pages", target)


def asked(work: PagesWork) -> dict[str, str] | None:
    following = work.next_call()
    return None if following is None else dict(following.params)


def accept(work: PagesWork, number: int) -> None:
    following = call([("page", str(number + 1))]) if number + 1 < len(PAGES) else None
    work.accept(Page(PAGES[number], following), NOON + timedelta(minutes=number))


def test_each_process_reads_the_next_page_and_the_last_one_writes_the_file(tmp_path: Path) -> None:
    target = tmp_path / "new" / "orders.ndjson"
    queries = []
    for number in range(3):
        work = opened(tmp_path, target)
        assert work.operation is OPERATION
        queries.append(asked(work))
        assert not target.exists()
        accept(work, number)
    assert queries == [{"max": "2"}, {"page": "1"}, {"page": "2"}]
    last = opened(tmp_path, target)
    assert (last.next_call(), last.operation) == (None, None)
    assert last.last_call_at == NOON + timedelta(minutes=2)
    assert target.read_text("utf-8") == '{"id": 1}\n{"id": "é"}\n{"id": 3}\n'
    assert last.items() == [{"id": 1}, {"id": "é"}, {"id": 3}]
    assert last.listed.size == target.stat().st_size


def test_progress_is_told(tmp_path: Path) -> None:
    work = opened(tmp_path)
    assert (work.position, work.describe(60)) == ({"pages": 0, "items": 0}, "page 0, 0 items")
    accept(work, 0)
    accept(work, 1)
    assert (work.position, work.describe(60)) == ({"pages": 2, "items": 2}, "page 2, 2 items")


def test_a_page_that_comes_once_more_under_another_token_is_kept_once(tmp_path: Path) -> None:
    work = opened(tmp_path)
    for token in ("0 again", "1"):
        work.accept(Page(PAGES[0], call([("page", token)])), NOON)
    assert asked(work) == {"page": "1"}
    assert (work.position, work.items()) == ({"pages": 1, "items": 2}, PAGES[0])


def test_a_cleared_task_reads_from_the_first_page(tmp_path: Path) -> None:
    accept(opened(tmp_path), 0)
    assert asked(opened(tmp_path, generation="after a clear")) == {"max": "2"}


def test_another_process_that_went_on_is_noticed(tmp_path: Path) -> None:
    work = opened(tmp_path)
    assert work.is_current
    accept(opened(tmp_path), 0)
    assert not work.is_current


def test_pages_on_a_lost_disk_are_read_again(tmp_path: Path) -> None:
    """The note is also in Airflow's task state; the pages are only on the disk."""
    work = opened(tmp_path)
    accept(work, 0)
    accept(work, 1)
    (tmp_path / "pages" / "page-000001.ndjson").unlink()
    again = opened(tmp_path)
    assert asked(again) == {"max": "2"}
    assert again.position == {"pages": 0, "items": 0}


def test_a_finished_listing_is_not_read_again_without_its_pages(tmp_path: Path) -> None:
    for number in range(3):
        accept(opened(tmp_path), number)
    (tmp_path / "pages" / "page-000002.ndjson").unlink()
    assert opened(tmp_path).next_call() is None


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_a_damaged_page_makes_no_shorter_file_and_a_retry_reads_the_listing_again(
    tmp_path: Path, damage: str
) -> None:
    target = tmp_path / "orders.ndjson"
    work = opened(tmp_path, target)
    accept(work, 0)
    accept(work, 1)
    page = tmp_path / "pages" / "page-000000.ndjson"
    if damage == "missing":
        page.unlink()
    else:
        page.write_text(json.dumps({"id": 1}) + "\n")
    with pytest.raises(MiraklNoteError, match="page-000000"):
        accept(work, 2)
    assert not target.exists()
    again = opened(tmp_path, target)
    assert asked(again) == {"max": "2"}
    for number in range(3):
        accept(again, number)
    assert len(target.read_text().splitlines()) == 3
