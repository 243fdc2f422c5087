"""Delta: only what changed is sent, nothing is lost to an empty feed, and the state knows what was accepted."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_mirakl.catalog import state as state_module
from airflow_provider_mirakl.catalog.columns import Columns
from airflow_provider_mirakl.catalog.plan import Plan, plan_upsert, read_chunk
from airflow_provider_mirakl.catalog.product import Checker, OpenProduct, Product, content_hash
from airflow_provider_mirakl.catalog.state import State
from airflow_provider_mirakl.catalog.sync import SyncPlan, doubt, plan_sync
from airflow_provider_mirakl.exceptions import (
    MiraklConfigurationError,
    MiraklInputError,
    MiraklNoteError,
)
from airflow_provider_mirakl.files import notes as notes_module
from tests.damage import DATA, LINES, damage

Make = Callable[..., Any]


def ids(plan: Plan) -> set[str]:
    return {json.loads(row)["id"] for chunk in plan.chunks for row in read_chunk(plan.folder, chunk)}


class Shop:
    """A source, a state, and a Mirakl that accepts what it is sent. A day passes before each plan.

    :param patch: gives the state a stepped clock.
    """

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.has: dict[str, Any] = {}
        self.now = 1_000_000.0
        self.late: list[tuple[Plan, list[bytes], float]] = []
        self.step = 86_400.0
        patch.setattr(state_module, "time", SimpleNamespace(time=lambda: self.now))

    def plan(self, rows: Any, name: str = "sync", **options: Any) -> SyncPlan:
        self.pass_time(self.step)
        return plan_sync(rows, self.folder / name, self.folder / "state", **options)

    def accept(self, sync: SyncPlan, chunks: int | None = None, *, fate: str = "") -> None:
        """Take the first chunks, upserts before deletes, and one more with another fate.

        :param fate: ``lost``: taken, but the reply never arrives; ``late``: Mirakl accepts it within an hour.
        """
        due = [(plan, index) for plan in (sync.upsert, sync.delete) for index in range(len(plan.chunks))]
        stop = len(due) if chunks is None else chunks
        for number, (plan, index) in enumerate(due[: stop + bool(fate)]):
            sync.intend(plan, index)
            if number < stop:
                self.take(plan, read_chunk(plan.folder, plan.chunks[index]))
                sync.commit(plan, index)
            else:
                self.leave(plan, index)
                if fate == "lost":
                    self.arrive()

    def leave(self, plan: Plan, index: int) -> None:
        """Let a call leave, to be taken later."""
        self.late.append((plan, read_chunk(plan.folder, plan.chunks[index]), self.now))

    def arrive(self) -> None:
        """Take every call that is on its way."""
        for plan, rows, _ in self.late:
            self.take(plan, rows)
        self.late.clear()

    def pass_time(self, seconds: float) -> None:
        """Let time pass. No call is on its way for an hour."""
        self.now += seconds
        if any(self.now - left >= state_module.LONGEST_CALL for _, _, left in self.late):
            self.arrive()

    def take(self, plan: Plan, rows: list[bytes]) -> None:
        for row in rows:
            product = json.loads(row)
            self.has.pop(product["id"], None)
            if plan.kind == "upsert":
                self.has[product["id"]] = product

    def run(self, rows: list[Any], **options: Any) -> SyncPlan:
        sync = self.plan(rows, **options)
        self.accept(sync)
        return sync


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    return Shop(tmp_path, monkeypatch)


def test_only_changes_are_sent(shop: Shop, product: Make) -> None:
    rows = [product(number) for number in range(3000)]
    first = shop.run(rows)
    assert (first.upsert.products, first.unchanged, first.known) == (3000, 0, 0)

    again = shop.run(rows)
    assert (again.upsert.chunks, again.delete.chunks, again.unchanged) == ((), (), 3000)

    rows[7] = product(7, brand=None)
    rows[1234] = product(1234, gtins=[])
    del rows[2000]
    rows.append(product(5000))
    sync = shop.run(rows)
    assert ids(sync.upsert) == {"SKU-000007", "SKU-001234", "SKU-005000"}
    assert ids(sync.delete) == {"SKU-002000"}
    assert (sync.unchanged, sync.known) == (2997, 3000)
    assert sync.describe().splitlines() == [
        "2,997 products unchanged of 3,000 known",
        "3 products to upsert in 1 call, 0.0 MB",
        "1 product to delete in 1 call, 0.0 MB",
    ]
    assert shop.has == {row["id"]: row for row in rows}
    assert State(shop.folder / "state").products == 3000


def test_order_and_spelling_of_fields_do_not_matter_null_does(shop: Shop, product: Make, write: Make) -> None:
    rows = [product(number) for number in range(50)]
    shop.run(rows)
    shuffled = [dict(random.Random(3).sample(sorted(row.items()), len(row))) for row in rows]  # noqa: S311
    shuffled[0]["standard_prices"][0]["price"] = {"currency": "EUR", "amount": 1249.990}
    assert shop.plan(write(json.dumps(shuffled, indent=3), "a.json")).unchanged == 50  # type: ignore[arg-type]
    without = [{name: value for name, value in row.items() if name != "brand"} for row in rows]
    erased = [{**row, "brand": None} for row in rows]
    assert shop.run(without).upsert.products == 50
    assert shop.run(erased).upsert.products == 50
    assert shop.run(without).upsert.products == 50


def test_an_empty_feed_does_not_empty_the_catalog(shop: Shop, product: Make) -> None:
    rows = [product(number) for number in range(100)]
    shop.run(rows)
    for feed in ([], rows[:89]):
        with pytest.raises(MiraklInputError, match=r"known to Mirakl are no longer in it.*nothing was sent"):
            shop.plan(feed)
        with pytest.raises(MiraklInputError, match="does not contain a sync"):
            SyncPlan.load(shop.folder / "sync", shop.folder / "state")
    assert ids(shop.plan(rows[:90]).delete) == {row["id"] for row in rows[90:]}
    assert shop.plan([], max_delete_ratio=1).delete.products == 100
    kept = shop.plan([], on_missing="keep")
    assert (kept.delete.products, kept.kept) == (0, 100)
    assert shop.run(rows).unchanged == 100


def test_a_choice_that_does_not_exist_is_refused(shop: Shop, product: Make) -> None:
    with pytest.raises(MiraklConfigurationError, match="on_missing must be 'delete' or 'keep', not 'skip'"):
        shop.plan([product(1)], on_missing="skip")
    with pytest.raises(MiraklConfigurationError, match="on_invalid must be 'fail' or 'reject', not 'skip'"):
        shop.plan([product(1)], on_invalid="skip")


def test_a_sync_changes_no_value_unless_it_is_told_to(shop: Shop) -> None:
    rows = [{"id": "A", "gtins": [{"value": "04006381333931"}]}]
    with pytest.raises(MiraklInputError, match="without the leading 0"):
        shop.plan(rows)
    with pytest.raises(MiraklInputError, match="weight"):
        shop.plan([{"id": "A", "weight": 1}])
    shop.run(rows, normalize_gtins=True)
    assert shop.has["A"]["gtins"] == [{"value": "4006381333931"}]


@pytest.mark.parametrize("ratio", [-0.1, 1.5, 10])
def test_the_guard_is_a_share(ratio: float, shop: Shop) -> None:
    with pytest.raises(MiraklInputError, match="max_delete_ratio"):
        shop.plan([], max_delete_ratio=ratio)


def test_the_guard_allows_exactly_its_share(shop: Shop, product: Make) -> None:
    shop.run([product(number) for number in range(100)])
    sync = shop.plan([product(number) for number in range(29, 100)], max_delete_ratio=0.29)
    assert sync.delete.products == 29


def test_a_rejected_product_is_not_deleted(shop: Shop, product: Make) -> None:
    rows = [product(number) for number in range(20)]
    shop.run(rows)
    sync = shop.run([*rows[:18], product(18, brand=5)], on_invalid="reject")
    assert ids(sync.delete) == {"SKU-000019"}
    assert shop.plan(rows[:19]).unchanged == 19


def test_nothing_is_deleted_while_a_row_has_no_readable_id(shop: Shop, product: Make, write: Make) -> None:
    rows = [product(number) for number in range(20)]
    shop.run(rows)
    sync = shop.run(write([*rows[:18], '{"id":"SKU-0000', json.dumps(product(30))]), on_invalid="reject")  # type: ignore[arg-type]
    assert (sync.delete.products, sync.kept, sync.upsert.products) == (0, 2, 1)


def test_bad_rows_stop_the_sync_and_leave_the_state(shop: Shop, product: Make) -> None:
    rows = [product(number) for number in range(20)]
    shop.run(rows)
    with pytest.raises(MiraklInputError, match="1 of 21 rows are invalid"):
        shop.plan([*rows, {"id": ""}])
    assert shop.run(rows).unchanged == 20


def test_repeats_are_found_in_a_sync(shop: Shop, product: Make) -> None:
    rows = [product(number) for number in range(20)]
    shop.run(rows)
    with pytest.raises(MiraklInputError, match=r"\[20\]\.id: the same id is already in an unchanged row"):
        shop.plan([*rows, product(7)])
    sync = shop.run([*rows, product(7, brand="late")], on_invalid="reject")
    assert (sync.unchanged, sync.upsert.products, sync.upsert.rejected) == (20, 0, 1)
    with pytest.raises(MiraklInputError, match=r"\[21\]\.id: the same id is already in \[20\]"):
        shop.plan([*rows, product(30), product(30)])
    with pytest.raises(MiraklInputError, match=r"\[20\]\.id: the same id is already in an unchanged row"):
        shop.plan([*rows, product(7)])


def test_new_bytes_of_old_content_are_learned(
    shop: Shop, product: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exporter that reorders fields costs one full comparison, not one every night."""
    rows = [product(number) for number in range(50)]
    shop.run(rows)
    turned = [dict(reversed(row.items())) for row in rows]
    assert shop.run(turned).unchanged == 50

    def look(*arguments: Any) -> Any:
        raise AssertionError("looked at the content of a row whose bytes are known")

    monkeypatch.setattr(Checker, "check", look)
    sync = plan_sync(turned, shop.folder / "again", shop.folder / "state", on_missing="keep")
    assert sync.unchanged == 50


def test_a_partial_run_marks_only_what_was_accepted(shop: Shop, product: Make) -> None:
    rows = [product(number) for number in range(100)]
    shop.accept(shop.plan(rows, batch_size=10), 3)
    sync = shop.plan(rows, batch_size=10)
    assert (sync.unchanged, sync.upsert.products) == (30, 70)
    shop.accept(sync)
    shop.accept(shop.plan(rows[:95], batch_size=2), 1)
    assert shop.plan(rows[:95]).delete.products == 3


def test_what_a_read_back_doubts_is_sent_again(shop: Shop, product: Make) -> None:
    """A second note of one read-back replaces the first; one of another read-back does not."""
    rows = [product(number) for number in range(5)]
    shop.run(rows)
    state = State(shop.folder / "state")
    state.doubt(["SKU-000001", "SKU-000002"], reader="r1")
    state.doubt(["SKU-000002"], reader="r1")
    state.doubt(["SKU-000004"], reader="r2")
    assert ids(shop.run(rows).upsert) == {"SKU-000002", "SKU-000004"}
    State(shop.folder / "state").doubt(["SKU-000003"], reader="r3")
    State(shop.folder / "state").doubt([], reader="r3")
    assert not shop.plan(rows).upsert.chunks


def test_a_read_back_of_a_sync_leaves_its_doubts_in_the_state(shop: Shop, product: Make) -> None:
    rows = [product(number) for number in range(5)]
    shop.run(rows)
    assert doubt(shop.folder / "sync", ["SKU-000003"], Path, reader="v") == shop.folder / "state"
    assert ids(shop.run(rows).upsert) == {"SKU-000003"}
    plan_upsert(rows, shop.folder / "plan")
    assert doubt(shop.folder / "plan", ["SKU-000003"], Path, reader="v") is None
    assert not shop.plan(rows).upsert.chunks


def test_what_one_read_back_doubts_another_one_of_the_same_sync_does_not_take_back(
    shop: Shop, product: Make
) -> None:
    rows = [product(number) for number in range(5)]
    shop.run(rows)
    doubt(shop.folder / "sync", ["SKU-000003"], Path, reader="all")
    doubt(shop.folder / "sync", [], Path, reader="sample")
    assert ids(shop.run(rows).upsert) == {"SKU-000003"}
    assert not shop.plan(rows).upsert.chunks


@pytest.mark.parametrize("moment", ["_put_in_force", "_write_base", "_check"])
@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("rewritten", [False, True])
def test_what_a_read_back_doubts_while_a_sync_begins_is_sent_again(
    shop: Shop, product: Make, monkeypatch: pytest.MonkeyPatch, moment: str, again: bool, rewritten: bool
) -> None:
    """At every step of the beginning, also if an earlier note of the same read-back is replaced.

    :param rewritten: whether the sync finds the same products in other bytes: that makes none of them certain.
    """
    rows = [product(number) for number in range(5)]
    shop.run(rows)
    if again:
        State(shop.folder / "state").doubt(["SKU-000002"], reader="r")
    late = State(shop.folder / "state")
    begin, calls = getattr(State, moment), []

    def meanwhile(self: State, *arguments: Any) -> None:
        if self is not late and not calls:
            calls.append(moment)
            late.doubt(["SKU-000003"], reader="r")
        begin(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(State, moment, meanwhile)
        rows = [dict(reversed(row.items())) for row in rows] if rewritten else rows
        first = shop.run(rows)
    assert calls
    assert "SKU-000003" in ids(first.upsert) | ids(shop.run(rows).upsert)
    assert not shop.run(rows).upsert.chunks
    assert not list((shop.folder / "state" / "journal").glob("*z-doubt*"))


def test_a_doubt_that_the_version_before_noted_is_read(shop: Shop, product: Make) -> None:
    rows = [product(number) for number in range(5)]
    shop.run(rows)
    State(shop.folder / "state").doubt(["SKU-000003"], reader="r")
    (note,) = (shop.folder / "state" / "journal").glob("*z-doubt*")
    note.rename(note.with_name(note.name[: -len("-01234567.sealed.ndjson")] + ".sealed.ndjson"))
    assert ids(shop.run(rows).upsert) == {"SKU-000003"}
    assert not shop.plan(rows).upsert.chunks


def test_an_id_with_space_around_it_is_deleted_as_mirakl_has_it(shop: Shop) -> None:
    shop.run([{"id": " A "}, {"id": "B"}], strip=False)
    assert set(shop.has) == {" A ", "B"}
    shop.run([{"id": "B"}], strip=False, max_delete_ratio=1)
    assert set(shop.has) == {"B"}


def test_a_product_to_delete_that_a_read_back_doubts_is_deleted_again(shop: Shop, product: Make) -> None:
    rows = [product(number) for number in range(5)]
    shop.run(rows)
    shop.run(rows[:4], max_delete_ratio=1)
    State(shop.folder / "state").doubt(["SKU-000004"], reader="r1")
    assert ids(shop.plan(rows[:4], max_delete_ratio=1).delete) == {"SKU-000004"}


def test_the_state_does_not_grow_with_the_number_of_syncs(shop: Shop, product: Make) -> None:
    for brand in "abcde":
        shop.run([product(number, brand=brand) for number in range(5)])
    files = [path.name for path in (shop.folder / "state").rglob("*") if path.is_file()]
    assert len(files) <= 8, "of two bases, with their journals"


def test_full_sends_everything_and_still_deletes(shop: Shop, product: Make) -> None:
    rows = [product(number) for number in range(100)]
    shop.run(rows)
    sync = shop.run(rows[:99], full=True)
    assert (sync.upsert.products, sync.delete.products) == (99, 1)
    assert shop.plan(rows[:99]).unchanged == 99


def test_a_sync_is_read_back_and_committed_by_another_process(shop: Shop, product: Make) -> None:
    rows = [product(number) for number in range(30)]
    sync = shop.plan(rows, batch_size=10)
    again = SyncPlan.load(str(shop.folder / "sync"), str(shop.folder / "state"))
    assert again == sync
    shop.accept(again)
    shop.accept(again)
    assert shop.plan(rows).unchanged == 30
    with pytest.raises(MiraklInputError, match="was planned on the state"):
        SyncPlan.load(shop.folder / "sync", shop.folder / "other")


@pytest.mark.parametrize("sent", [0, 1])
def test_two_syncs_on_one_state_do_not_mix(sent: int, shop: Shop, product: Make) -> None:
    rows = [product(number) for number in range(30)]
    slow = shop.plan(rows, batch_size=10)
    for begun in range(sent):
        shop.accept(slow, begun + 1)
    plan_sync(rows, shop.folder / "other", shop.folder / "state")
    for step in (slow.intend, slow.commit):
        with pytest.raises(MiraklInputError, match="run one sync at a time"):
            step(slow.upsert, sent)
        assert not list((shop.folder / "state").glob("intents/*"))


@pytest.mark.parametrize("runs", [1, 2, 3])
def test_a_sync_that_read_the_state_before_another_one_began_finds_it(
    runs: int, shop: Shop, product: Make
) -> None:
    """It puts the former base in force again, which must still be there, with the journal that belongs to it."""
    rows = [product(number) for number in range(30)]
    for run in range(runs):
        shop.run([*rows, product(40 + run)], max_delete_ratio=1)
    late = State(shop.folder / "state")
    plan_sync(rows, shop.folder / "other", shop.folder / "state", max_delete_ratio=1)
    late.begin("late")
    assert late.products == 31
    again = State(shop.folder / "state")
    assert sum(len(known) for known in again.partitions()) == len(again.row_hashes()) == 31


@pytest.mark.parametrize("tail", ["A095,12", "A095,129.90,Shi", "A095,"])
@pytest.mark.parametrize("on_invalid", ["fail", "reject"])
def test_a_file_that_was_cut_in_its_last_row_deletes_nothing(
    shop: Shop, tail: str, on_invalid: Any, caplog: pytest.LogCaptureFixture
) -> None:
    columns = Columns.from_settings(
        {"mapping": {"sku": "id", "price": "standard_prices.amount", "name": "titles[fr_FR]", "stock": "quantities"},
         "currency": "EUR"}
    )  # fmt: skip
    source = shop.folder / "feed.csv"
    lines = [f"A{number:03},129.90,Shirt,1000\n" for number in range(100)]
    source.write_text("sku,price,name,stock\n" + "".join(lines), encoding="utf-8")
    shop.run(source, columns=columns)
    source.write_text("sku,price,name,stock\n" + "".join(lines[:95]) + tail, encoding="utf-8")
    if on_invalid == "fail":
        with pytest.raises(MiraklInputError, match="ends without a line break: it may be truncated"):
            shop.plan(source, columns=columns)
    else:
        sync = shop.plan(source, columns=columns, on_invalid=on_invalid)
        assert (sync.upsert.products, sync.delete.products) == (0, 0)
    filled = "its missing cells were read as empty"
    assert filled not in caplog.text, "the row is rejected"
    kept = shop.plan(source, columns=columns, on_missing="keep")
    assert kept.upsert.products == 1, "nothing is deleted, so the row is filled up, with a warning"
    assert filled in caplog.text


def older(kind: str, shop: Shop, product: Make) -> tuple[SyncPlan, Plan]:
    """A sync whose call deletes product 1, or sends an old version of it; and the plan with that call."""
    sync = shop.plan(
        [product(2)] if kind == "delete" else [product(1, brand="old"), product(2)], max_delete_ratio=1
    )
    return sync, sync.delete if kind == "delete" else sync.upsert


@pytest.mark.parametrize("kind", ["upsert", "delete"])
@pytest.mark.parametrize("hours", [0, 2])
def test_a_late_call_of_an_overtaken_sync_is_made_good(
    kind: str, hours: int, shop: Shop, product: Make
) -> None:
    """Mirakl accepts the older call last, and its worker lives: the commit notes the products as uncertain.

    :param hours: how long the worker was stopped between the intent and its call.
    """
    new = [product(1, brand="new"), product(2)]
    shop.run([product(1), product(2)])
    overtaken, plan = older(kind, shop, product)
    overtaken.intend(plan, 0)
    shop.step = hours * 3600
    shop.accept(shop.plan(new, "other"))
    shop.leave(plan, 0)
    shop.arrive()
    with pytest.raises(MiraklInputError, match="another sync has started"):
        overtaken.commit(plan, 0)
    assert ids(shop.run(new).upsert) == {"SKU-000001"}
    assert brands(shop) == {"SKU-000001": "new", "SKU-000002": "ACME"}
    assert not shop.run(new).upsert.chunks


def brands(shop: Shop) -> dict[str, Any]:
    return {key: one["brand"] for key, one in shop.has.items()}


@pytest.mark.parametrize("kind", ["upsert", "delete"])
@pytest.mark.parametrize("arrives", [0, 1, 2, None])
def test_a_call_without_a_reply_may_arrive_after_the_next_sync(
    kind: str, arrives: int | None, shop: Shop, product: Make
) -> None:
    """The worker was killed after its call. Until an hour has passed, no later call is believed to be the last one.

    :param arrives: how many syncs Mirakl completes before it takes the call; ``None``: it never does.
    """
    new = [product(1, brand="new"), product(2)]
    shop.run([product(1), product(2)])
    killed, plan = older(kind, shop, product)
    killed.intend(plan, 0)
    if arrives is not None:
        shop.leave(plan, 0)
    shop.step = 600
    for completed in range(3):
        if arrives == completed:
            shop.arrive()
        assert ids(shop.run(new).upsert) == {"SKU-000001"}, completed
    shop.step = 3600
    assert ids(shop.run(new).upsert) == {"SKU-000001"}
    assert brands(shop) == {"SKU-000001": "new", "SKU-000002": "ACME"}
    assert not shop.run(new).upsert.chunks
    assert not list((shop.folder / "state").glob("intents/*"))


def test_what_the_next_sync_removed_stays_removed(shop: Shop, product: Make) -> None:
    """A late upsert brings back a product that a newer sync has deleted."""
    shop.run([product(1), product(2)])
    shop.accept(shop.plan([product(1, brand="old"), product(2)]), 0, fate="late")
    shop.step = 600
    assert ids(shop.run([product(2)], max_delete_ratio=1).delete) == {"SKU-000001"}
    shop.arrive()
    shop.step = 3600
    assert ids(shop.run([product(2)], max_delete_ratio=1).delete) == {"SKU-000001"}
    assert brands(shop) == {"SKU-000002": "ACME"}
    assert not shop.plan([product(2)]).delete.chunks


def test_a_sync_killed_at_any_write_is_made_good_by_the_next(
    shop: Shop, product: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the intent nothing is sent; killed in the commit Mirakl has taken the call already."""
    new = [product(1, brand="new"), product(2)]
    crashes = 0
    for step in range(12):
        shop.step = 86_400
        shop.run([product(1), product(2)])
        killed = shop.plan([product(1, brand="old"), product(2)])
        with monkeypatch.context() as patch:
            crashing(patch, step)
            try:
                shop.accept(killed)
            except KeyboardInterrupt:
                crashes += 1
        shop.step = 600
        shop.run(new)
        shop.run(new)
        assert brands(shop)["SKU-000001"] == "new", step
        shop.step = 3600
        shop.run(new)
        assert not shop.plan(new).upsert.chunks, step
    assert crashes > 2


def test_a_refused_call_leaves_the_state_as_it_was(shop: Shop, product: Make) -> None:
    shop.run([product(1), product(2)])
    refused = shop.plan([product(1, brand="old"), product(2)])
    refused.intend(refused.upsert, 0)
    refused.withdraw()
    assert not shop.run([product(1), product(2)]).upsert.chunks


def test_a_second_try_of_a_chunk_does_not_clear_up_the_first(shop: Shop, product: Make) -> None:
    """The first reply was lost, the second call was accepted: the first may still arrive after the next sync."""
    shop.run([product(1)])
    sync = shop.plan([product(1, brand="old")])
    sync.intend(sync.upsert, 0)
    shop.leave(sync.upsert, 0)
    shop.step = 600
    shop.accept(sync)
    assert not shop.plan([product(1, brand="old")], "none").upsert.chunks, "its own content is certain"
    assert ids(shop.run([product(1, brand="new")]).upsert) == {"SKU-000001"}
    shop.arrive()
    assert ids(shop.run([product(1, brand="new")]).upsert) == {"SKU-000001"}
    assert brands(shop) == {"SKU-000001": "new"}


def test_unknown_fields_count_as_content(shop: Shop) -> None:
    shop.run([{"id": "A", "weight": 1, "brand": "b"}], unknown_fields="send")
    assert shop.run([{"weight": 1, "id": "A", "brand": "b"}], unknown_fields="send").unchanged == 1
    assert shop.run([{"id": "A", "weight": 2, "brand": "b"}], unknown_fields="send").upsert.products == 1


def crashing(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Let the step-th write or removal of the state fail as if the machine stopped there."""
    calls = iter(range(1000))

    def stop(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            if next(calls) == step:
                raise KeyboardInterrupt
            return original(*arguments)

        return call

    for module, name in ((notes_module, "write_bytes"), (state_module, "writing"), (state_module, "remove")):
        monkeypatch.setattr(module, name, stop(getattr(module, name)))


def test_a_crash_while_folding_loses_nothing(
    shop: Shop, product: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [product(number) for number in range(40)]
    shop.run(rows, batch_size=10)
    shop.run([*rows[:39], product(100)])
    crashes = 0
    for step in range(20):
        with monkeypatch.context() as patch:
            crashing(patch, step)
            try:
                State(shop.folder / "state").begin(f"crash {step}")
            except KeyboardInterrupt:
                crashes += 1
        sync = shop.plan([*rows[:39], product(100)])
        assert (sync.unchanged, sync.upsert.products, sync.delete.products) == (40, 0, 0)
        shop.run([*rows[:39], product(100, brand=f"step {step}")])
        shop.run([*rows[:39], product(100)])
    assert crashes > 3
    assert sorted(path.name for path in (shop.folder / "state").iterdir() if "base" in path.name)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("state.json", b"{", "state.json, which records .*, cannot be read"),
        ("state.json", b'{"format":9}', "state.json, which records .*, cannot be read"),
        ("base-000001.ndjson", None, "base-000001.ndjson is missing"),
        ("base-000001.ndjson", b'["A"', "cannot be read"),
        ("base-000001.ndjson", b"", "contains 0 products instead of 20"),
    ],
)
def test_a_damaged_state_is_named(
    name: str, content: bytes | None, words: str, shop: Shop, product: Make
) -> None:
    rows = [product(number) for number in range(20)]
    shop.run(rows)
    shop.run(rows)
    path = shop.folder / "state" / name
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises(MiraklInputError, match=words) as caught:
        shop.plan(rows)
    assert "remove it to start over" in str(caught.value)


def with_every_file(shop: Shop) -> tuple[list[Any], list[Any]]:
    """A state with a base, a journal, and the intent of a call without a reply, and what the source was and is: all of
    it must be sent again."""
    first = [{"id": f"P{number}", "brand": "a"} for number in range(6)]
    then = [{"id": f"P{number}", "brand": "b"} for number in range(6)]
    shop.run(first)
    shop.accept(shop.plan(then, batch_size=3), 1, fate="lost")
    return first, then


PARTS = ("base-*.ndjson", "rows-*.bin", "journal/*", "intents/*")


def test_a_state_with_every_file_sends_what_it_must(shop: Shop) -> None:
    first, _ = with_every_file(shop)
    assert all(list((shop.folder / "state").glob(part)) for part in PARTS)
    assert shop.plan(first).upsert.products == 6


@pytest.mark.parametrize("how", LINES)
@pytest.mark.parametrize("part", ["base-*.ndjson", "journal/*", "intents/*"])
def test_a_damaged_file_of_a_state_stops_the_sync(part: str, how: str, shop: Shop) -> None:
    first, _ = with_every_file(shop)
    path = max((shop.folder / "state").glob(part))
    damage(path, LINES[how])
    with pytest.raises(MiraklNoteError) as caught:
        shop.plan(first)
    assert caught.value.path == str(path)
    assert str(path) in str(caught.value)
    assert "remove it to start over" in str(caught.value)


@pytest.mark.parametrize("how", DATA)
def test_damaged_hashes_of_a_state_stop_the_sync(how: str, shop: Shop) -> None:
    rows = [{"id": f"P{number}"} for number in range(6)]
    shop.run(rows)
    shop.run(rows)
    (path,) = (shop.folder / "state").glob("rows-*.bin")
    damage(path, DATA[how])
    with pytest.raises(MiraklNoteError, match="remove it to start over") as caught:
        shop.plan(rows)
    assert caught.value.path == str(path)


@pytest.mark.parametrize("how", LINES)
def test_a_damaged_intent_of_another_sync_stops_a_commit(how: str, shop: Shop) -> None:
    """Its products would count as certain, although its call may still arrive."""
    first, _ = with_every_file(shop)
    shop.step = 600
    sync = shop.plan(first)
    (path,) = (shop.folder / "state").glob("intents/*")
    damage(path, LINES[how])
    with pytest.raises(MiraklNoteError, match="remove it to start over") as caught:
        shop.accept(sync)
    assert caught.value.path == str(path)


@pytest.mark.parametrize("name", ["journal", "intents"])
def test_a_file_in_place_of_a_folder_of_a_state_stops_the_sync(name: str, shop: Shop) -> None:
    first, _ = with_every_file(shop)
    path = shop.folder / "state" / name
    shutil.rmtree(path)
    path.write_bytes(b"")
    with pytest.raises(MiraklNoteError, match="remove it to start over") as caught:
        shop.plan(first)
    assert caught.value.path == str(path)


def test_an_id_changed_in_the_base_stops_the_sync(shop: Shop) -> None:
    first, _ = with_every_file(shop)
    (path,) = (shop.folder / "state").glob("base-*.ndjson")
    damage(path, lambda data: data.replace(b'"P1"', b'"PX"'))
    with pytest.raises(MiraklNoteError, match="was changed after it was written") as caught:
        shop.plan(first)
    assert caught.value.path == str(path)


@settings(max_examples=25, deadline=None)
@given(
    history=st.lists(
        st.tuples(
            st.dictionaries(st.integers(0, 30), st.sampled_from(["a", "b", None]), max_size=20),
            st.integers(0, 10),
            st.sampled_from(["", "lost", "late"]),
            st.sampled_from([300, 1800, 86_400]),
            st.booleans(),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_any_history_ends_in_the_source(
    history: list[tuple[dict[int, Any], int, str, float, bool]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """However runs change and break off, whatever replies are lost and calls are late, one whole run makes Mirakl
    equal to the source."""
    with pytest.MonkeyPatch.context() as patch:
        shop = Shop(tmp_path_factory.mktemp("shop"), patch)
        rows: list[Any] = []
        for catalog, chunks, fate, shop.step, arrives in history:
            rows = [{"id": f"P{number}", "brand": brand} for number, brand in catalog.items()]
            shop.accept(shop.plan(rows, max_delete_ratio=1, batch_size=3), chunks, fate=fate)
            if arrives:
                shop.arrive()
        shop.step = 86_400
        shop.run(rows, max_delete_ratio=1, batch_size=3)
        assert shop.has == {row["id"]: row for row in rows}
        last = shop.plan(rows)
        assert (last.upsert.products, last.delete.products) == (0, 0)


def test_the_hash_of_a_product_never_changes(product: Make) -> None:
    """Another hash in another version would send every catalog again."""
    row = json.dumps(product(1, gtins=[{"value": "0000000000001"}])).encode()
    assert content_hash(Checker(Product).check(row)) == "77bf220514328968f6615c3b68809759"
    assert content_hash(Checker(OpenProduct).check(row), row) == "77bf220514328968f6615c3b68809759"
