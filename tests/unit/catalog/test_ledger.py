"""The ledger: what a crash, a clear and a changed source do to the progress of a plan."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.catalog.ledger import Ledger, resume
from airflow_provider_mirakl.catalog.plan import Plan, plan_upsert
from airflow_provider_mirakl.exceptions import MiraklInputError

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def plan(product: Callable[..., Any], tmp_path: Path) -> Plan:
    return plan_upsert([product(number) for number in range(25)], tmp_path / "plan", batch_size=10)


def test_progress_survives_a_crash(plan: Plan) -> None:
    ledger = Ledger.open(plan, generation="run-1")
    ledger.record(0, NOON)
    ledger.record(1, (NOON + timedelta(minutes=1)).astimezone(timezone(timedelta(hours=2))))
    again = resume(plan.folder, generation="run-1")
    assert again is not None
    assert (again.next_chunk, again.accepted, again.finished) == (2, 20, False)
    assert again.submitted_at == NOON + timedelta(minutes=1)
    assert again.chunk == plan.chunks[2]
    assert again.describe() == "chunk 2/3, 20 accepted, 1 min left"
    again.record(2, NOON + timedelta(minutes=2))
    assert again.chunk is None
    again.finish()
    assert Ledger.open(plan, generation="run-1").finished


def test_a_cleared_task_begins_anew(plan: Plan) -> None:
    Ledger.open(plan, generation="run-1").record(0, NOON)
    assert resume(plan.folder, generation="run-2") is None
    ledger = Ledger.open(plan, generation="run-2")
    assert (ledger.next_chunk, ledger.accepted, ledger.submitted_at) == (0, 0, None)


def test_another_plan_follows_where_a_sync_planned_again(plan: Plan, product: Callable[..., Any]) -> None:
    """What the state already has is not in the new plan: its chunks begin at 0, and the products add up."""
    Ledger.open(plan, generation="run-1").record(0, NOON)
    for number, planned in enumerate(([3, 4], [5])):
        other = plan_upsert([product(each) for each in planned], plan.folder)
        ledger = Ledger.open(other, generation="run-1", follows=True)
        assert (ledger.next_chunk, ledger.accepted, ledger.earlier) == (0, 0, (10, 12)[number])
        assert ledger.submitted_at == NOON + timedelta(minutes=number)
        assert not ledger.finished
        ledger.record(0, NOON + timedelta(minutes=1))
        assert Ledger.open(other, generation="run-1", follows=True).next_chunk == 1


@pytest.mark.parametrize("follows", [False, True])
def test_a_plan_of_which_nothing_was_sent_makes_room(
    plan: Plan, product: Callable[..., Any], follows: bool
) -> None:
    Ledger.open(plan, generation="run-1")
    other = plan_upsert([product(3)], plan.folder)
    ledger = Ledger.open(other, generation="run-1", follows=follows)
    assert (ledger.next_chunk, ledger.accepted, ledger.earlier) == (0, 0, 0)
    ledger.record(0, NOON)
    ledger.finish()
    again = resume(plan.folder, generation="run-1")
    assert again is not None
    assert (again.accepted, again.finished) == (1, True)


def test_nothing_to_resume(tmp_path: Path) -> None:
    assert resume(tmp_path / "nothing", generation="run-1") is None


def test_a_changed_source_is_noticed_and_not_mixed(plan: Plan, product: Callable[..., Any]) -> None:
    Ledger.open(plan, generation="run-1").record(0, NOON)
    other = plan_upsert([product(number) for number in range(1, 26)], plan.folder, batch_size=10)
    for attempt in (
        lambda: Ledger.open(other, generation="run-1"),
        lambda: resume(plan.folder, generation="run-1"),
    ):
        with pytest.raises(
            MiraklInputError, match=r"belongs to another plan.*accepted 10 products in 1 calls"
        ):
            attempt()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"format":9}',
        b'{"format":1,"generation":"run-1"}',
        b'{"format":1,"generation":"run-1","plan":"x","next_chunk":"1","accepted":0,"submitted_at":null,"finished":false}',
    ],
)
def test_a_broken_ledger_is_named(content: bytes, plan: Plan) -> None:
    (Path(str(plan.folder)) / "ledger.json").write_bytes(content)
    with pytest.raises(MiraklInputError, match=r"ledger\.json, which records .*, cannot be read"):
        Ledger.open(plan, generation="run-1")


@pytest.mark.parametrize(
    ("old", "new"), [('"next_chunk":1', '"next_chunk":4'), ('"accepted":10', '"accepted":9')]
)
def test_a_ledger_that_does_not_fit_is_named(old: str, new: str, plan: Plan) -> None:
    Ledger.open(plan, generation="run-1").record(0, NOON)
    path = Path(str(plan.folder)) / "ledger.json"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(MiraklInputError, match="does not fit its plan"):
        Ledger.open(plan, generation="run-1")


def test_chunks_are_recorded_in_order_once(plan: Plan) -> None:
    ledger = Ledger.open(plan, generation="run-1")
    with pytest.raises(ValueError, match="chunk 0 is due"):
        ledger.record(1, NOON)
    ledger.record(0, NOON)
    with pytest.raises(ValueError, match="chunk 1 is due"):
        ledger.record(0, NOON)
    with pytest.raises(ValueError, match="time zone"):
        ledger.record(1, NOON.replace(tzinfo=None))
    with pytest.raises(ValueError, match="not accepted yet"):
        ledger.finish()
