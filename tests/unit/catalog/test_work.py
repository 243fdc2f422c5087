"""Reading the catalog back and listing it: rounds, pauses, progress, and what another process finds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_mirakl.api.call import Page
from airflow_provider_mirakl.api.connect import LIST_PRODUCTS, list_products
from airflow_provider_mirakl.catalog.ledger import Ledger
from airflow_provider_mirakl.catalog.plan import plan_delete, plan_upsert
from airflow_provider_mirakl.catalog.verify import Verifier
from airflow_provider_mirakl.catalog.work import ListWork, SendWork, VerifyWork
from airflow_provider_mirakl.exceptions import MiraklNoteError
from airflow_provider_mirakl.runtime.catalog_runs import verify_work

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def page(*ids: str, following: str | None = None) -> Page[Any]:
    call = None if following is None else list_products(page_token=following)
    return Page([{"id": item_id} for item_id in ids], call)


def query(work: ListWork | VerifyWork) -> dict[str, str] | None:
    call = work.next_call()
    return None if call is None else dict(call.params)


def listing(folder: Path, generation: str = "g") -> ListWork:
    return ListWork(folder / "new" / "all.ndjson", folder / "work", generation=generation)


@pytest.fixture
def verification(tmp_path: Path) -> Any:
    """Opens the verification of two products as a new process does."""
    plan = plan_upsert([{"id": "A"}, {"id": "B"}], tmp_path / "plan")

    def opened(rounds: int = 3) -> VerifyWork:
        return VerifyWork([Verifier(plan)], tmp_path / "work", generation="g", rounds=rounds, pause=600)

    return opened


# A list


def test_a_page_that_comes_once_more_under_another_token_is_kept_once(tmp_path: Path) -> None:
    work = listing(tmp_path)
    work.accept(page("A", "B", following="1 again"), NOON)
    work.accept(page("A", "B", following="2"), NOON)
    work.accept(page("C"), NOON)
    assert work.end_round()
    assert (tmp_path / "new" / "all.ndjson").read_text() == '{"id":"A"}\n{"id":"B"}\n{"id":"C"}\n'
    assert work.products == 3


def test_a_list_says_how_far_it_is_and_where_it_is(tmp_path: Path) -> None:
    work = listing(tmp_path)
    work.accept(page("A", "B", following="2"), NOON)
    again = listing(tmp_path)
    assert (again.products, again.last_call_at, query(again)) == (2, NOON, {"page_token": "2"})
    assert again.describe(60) == "page 1, 2 products"
    assert again.position == {"round": 1, "pages": 1, "products": 2}
    assert not again.end_round(), "there are more pages"
    again.accept(page("C"), NOON)
    assert (again.operation, again.finished) == (None, False)
    assert again.end_round()
    assert not again.end_round(), "a round ends once"
    last = listing(tmp_path)
    assert last.describe(60) == f"page 2, 3 products; written to {tmp_path / 'new' / 'all.ndjson'}"
    assert (last.finished, last.next_call()) == (True, None)


def test_a_cleared_list_begins_anew(tmp_path: Path) -> None:
    listing(tmp_path).accept(page("A", following="2"), NOON)
    again = listing(tmp_path, generation="after a clear")
    assert (again.products, again.operation) == (0, LIST_PRODUCTS)
    assert "page_token" not in (query(again) or {})
    assert not list((tmp_path / "work").glob("page-*"))


def test_another_process_that_went_on_is_noticed(tmp_path: Path) -> None:
    work = listing(tmp_path)
    assert work.is_current
    listing(tmp_path).accept(page("A", following="2"), NOON)
    assert not work.is_current


def test_a_damaged_page_makes_no_shorter_list_and_a_retry_begins_anew(tmp_path: Path) -> None:
    work = listing(tmp_path)
    work.accept(page("A", following="2"), NOON)
    work.accept(page("B"), NOON)
    (tmp_path / "work" / "page-000000.ndjson").write_text("")
    with pytest.raises(MiraklNoteError, match="page-000000"):
        work.end_round()
    assert not (tmp_path / "new").exists() or not list((tmp_path / "new").iterdir())
    again = listing(tmp_path)
    assert (again.products, again.operation) == (0, LIST_PRODUCTS)


# A verification


def test_a_verification_ends_with_the_first_round_that_finds_everything(verification: Any) -> None:
    work = verification()
    work.accept(page("A", following="2"), NOON)
    work.accept(page("B", "C", following="3"), NOON)
    assert query(work) is None, "no further page matters"
    assert work.end_round()
    assert (work.finished, work.outcome.succeeded, list(work.failed_ids())) == (True, 2, [])


def test_two_tasks_read_back_one_submission_without_disturbing_each_other(tmp_path: Path) -> None:
    """A page that the first has read stays, while the second begins with another sample."""
    plan_delete(["A", "B"], tmp_path / "plan")

    def work(reader: str, sample: int | None = None) -> VerifyWork:
        run: Any = SimpleNamespace(folder=tmp_path / reader, generation="g", reader=reader)
        return verify_work(run, tmp_path / "plan", sample, 1, 0.0)

    work("first").accept(page("A", following="2"), NOON)
    other = work("second", sample=1)
    other.accept(page("X"), NOON)
    assert other.end_round()
    first = work("first")
    assert query(first) == {"page_token": "2"}, "it goes on with the second page"
    first.accept(page("X"), NOON)
    assert first.end_round()
    assert list(first.failed_ids()) == ["A"]


def test_a_round_whose_pages_are_missing_begins_again(tmp_path: Path, caplog: Any) -> None:
    plan = plan_delete(["A"], tmp_path / "plan")

    def work() -> VerifyWork:
        return VerifyWork([Verifier(plan)], tmp_path / "work", generation="g", rounds=1, pause=0)

    work().accept(page("A", following="2"), NOON)
    (tmp_path / "plan" / "verify" / "state.json").write_text("{")
    again = work()
    assert query(again) == {"limit": "1000"}
    assert "reads the catalog from its first page again" in caplog.text
    again.accept(page("A"), NOON)
    assert again.end_round()
    assert list(again.failed_ids()) == ["A"]


def test_rounds_are_a_pause_apart_and_end(verification: Any) -> None:
    for number in (1, 2, 3):
        work = verification()
        assert not work.finished
        assert work.position["round"] == number
        assert query(work) == query(verification()) == {"limit": "1000"}, "from the first page"
        assert work.not_before == (None if number == 1 else NOON + timedelta(minutes=10))
        work.accept(page("A"), NOON)
        assert work.not_before is None
        assert work.end_round()
        assert list(work.failed_ids()) == ["B"]
        assert (work.outcome.succeeded, work.outcome.failed) == (1, 1)
    assert verification().finished
    assert verification().describe(60) == (
        "round 3/3: 1 product read back; round 3 found 1 missing, 1 verified; still waiting for: B"
    )


def test_one_round_is_one_round(verification: Any) -> None:
    work = verification(rounds=1)
    work.accept(page(), NOON)
    work.end_round()
    assert (work.finished, work.outcome.failed) == (True, 2)


def test_without_plans_nothing_is_read(tmp_path: Path) -> None:
    work = VerifyWork([], tmp_path / "work", generation="g", rounds=3, pause=600)
    assert (work.finished, work.next_call(), work.outcome) == (True, None, None)


# Sending


def test_a_plan_is_sent_with_its_own_operation_chunk_by_chunk(tmp_path: Path) -> None:
    for name, plan in (
        ("upsertProducts", plan_upsert([{"id": f"P{n}"} for n in range(3)], tmp_path / "u", batch_size=2)),
        ("deleteProducts", plan_delete([f"P{n}" for n in range(3)], tmp_path / "d", batch_size=2)),
    ):
        work, bodies = SendWork(Ledger.open(plan, generation="g")), []
        while (call := work.next_call()) is not None:
            assert work.operation is call.operation
            assert call.operation.code == name
            bodies.append(call.body)
            work.intend()
            work.accept(None, NOON)
        assert bodies == [b'{"products":[{"id":"P0"},{"id":"P1"}]}', b'{"products":[{"id":"P2"}]}']
        assert (work.operation, work.last_call_at) == (None, NOON)
        assert work.position == {"plan": plan.id, "next_chunk": 2, "chunks": 2, "accepted": 3}


def test_a_plan_on_a_lost_disk_is_no_end(tmp_path: Path) -> None:
    plan = plan_upsert([{"id": "A"}], tmp_path / "plan")
    work = SendWork(Ledger.open(plan, generation="g"))
    assert work.is_current
    (tmp_path / "plan" / "plan.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"plan\.json is missing"):
        _ = work.is_current
