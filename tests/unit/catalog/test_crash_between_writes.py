"""A process that is killed between two writes: what the next one finds must lead to the same end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.api.call import Page
from airflow_provider_mirakl.api.connect import list_products
from airflow_provider_mirakl.catalog.ledger import Ledger
from airflow_provider_mirakl.catalog.plan import plan_delete
from airflow_provider_mirakl.catalog.sync import plan_sync
from airflow_provider_mirakl.catalog.verify import Verifier
from airflow_provider_mirakl.catalog.work import ListWork, VerifyWork
from airflow_provider_mirakl.files import notes, storage

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Killed(BaseException):
    """No code may catch it, as nothing catches SIGKILL."""


def page(*ids: str, following: str | None = None) -> Page[Any]:
    call = None if following is None else list_products(page_token=following)
    return Page([{"id": item_id} for item_id in ids], call)


def take(work: ListWork | VerifyWork, taken: Page[Any]) -> None:
    """Take a page, and do what a worker does when the round is read."""
    work.accept(taken, NOON)
    work.end_round()


def kill_at_note(monkeypatch: pytest.MonkeyPatch) -> None:
    """Die instead of writing ``progress.json``, so everything before it has happened."""
    write = storage.write_bytes

    def dying(path: Any, data: bytes) -> None:
        if path.name == "progress.json":
            raise Killed
        write(path, data)

    monkeypatch.setattr(notes, "write_bytes", dying)


def test_a_list_killed_before_its_end_is_noted_is_finished_by_the_next_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work() -> ListWork:
        return ListWork(tmp_path / "all.ndjson", tmp_path / "work", generation="run-1")

    take(work(), page("A", following="2"))
    with monkeypatch.context() as patch:
        kill_at_note(patch)
        with pytest.raises(Killed):
            take(work(), page("B"))
    again = work()
    take(again, page("B"))
    assert again.finished
    assert (tmp_path / "all.ndjson").read_text().splitlines() == ['{"id":"A"}', '{"id":"B"}']
    assert not list((tmp_path / "work").glob("page-*"))


def test_a_verification_killed_between_two_rounds_proves_no_delete_from_the_last_page_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_delete(["A"], tmp_path / "plan")

    def work() -> VerifyWork:
        return VerifyWork([Verifier(plan)], tmp_path / "work", generation="run-1", rounds=2, pause=0)

    take(work(), page("A", following="2"))
    with monkeypatch.context() as patch:
        kill_at_note(patch)
        with pytest.raises(Killed):
            take(work(), page("B"))
    again = work()
    take(again, page("B"))
    assert not again.finished
    assert again.outcome is not None
    assert (again.outcome.failed, again.outcome.succeeded) == (1, 0)
    assert again.describe(0) == (
        "round 2/2: 0 products read back; round 1 found 1 still_there; still waiting for: A"
    )
    take(again, page("B"))
    assert again.describe(0) == "round 2/2: 0 products read back; round 2 found 1 deleted"


def test_a_round_does_not_see_what_an_earlier_one_saw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_delete(["A"], tmp_path / "plan")

    def work() -> VerifyWork:
        return VerifyWork([Verifier(plan)], tmp_path / "work", generation="run-1", rounds=2, pause=0)

    def dying(self: Verifier) -> None:
        raise Killed

    first = work()
    take(first, page("A", following="2"))
    with monkeypatch.context() as patch:
        patch.setattr(Verifier, "restart", dying)
        with pytest.raises(Killed):
            take(first, page("B"))
    again = work()
    take(again, page("B"))
    assert again.outcome is not None
    assert (again.outcome.failed, again.outcome.succeeded) == (0, 1)


def test_a_sync_killed_between_its_two_ledgers_plans_again(
    tmp_path: Path, product: Callable[..., Any]
) -> None:
    folder, state = tmp_path / "sync", tmp_path / "state"
    first = plan_sync([product(1)], folder, state)
    Ledger.open(first.upsert, generation="run-1")  # killed before the ledger of the deletes
    again = plan_sync([product(1), product(2)], folder, state)
    ledger = Ledger.open(again.upsert, generation="run-1")
    assert (ledger.accepted, ledger.plan.products) == (0, 2)
