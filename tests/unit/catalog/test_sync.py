"""Delta: only what changed is sent, nothing is lost to an empty feed, and the state knows what was accepted."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_mirakl.catalog import state as state_module
from airflow_provider_mirakl.catalog.plan import Plan, read_chunk
from airflow_provider_mirakl.catalog.product import Checker, OpenProduct, Product, content_hash
from airflow_provider_mirakl.catalog.state import State
from airflow_provider_mirakl.catalog.sync import SyncPlan, plan_sync
from airflow_provider_mirakl.exceptions import MiraklInputError
from airflow_provider_mirakl.files import notes as notes_module

Make = Callable[..., Any]


def ids(plan: Plan) -> set[str]:
    return {json.loads(row)["id"] for chunk in plan.chunks for row in read_chunk(plan.folder, chunk)}


class Shop:
    """A source, a state, and a Mirakl that accepts what it is sent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.has: dict[str, Any] = {}

    def plan(self, rows: list[Any], **options: Any) -> SyncPlan:
        return plan_sync(rows, self.folder / "sync", self.folder / "state", **options)

    def accept(self, sync: SyncPlan, chunks: int | None = None, *, lost: bool = False) -> None:
        """Take the first chunks, upserts before deletes; ``lost``: one more, of which the reply never arrives."""
        due = [(plan, index) for plan in (sync.upsert, sync.delete) for index in range(len(plan.chunks))]
        stop = len(due) if chunks is None else chunks
        for number, (plan, index) in enumerate(due[: stop + lost]):
            sync.intend(plan, index)
            self._take(plan, index)
            if number < stop:
                sync.commit(plan, index)

    def _take(self, plan: Plan, index: int) -> None:
        for row in read_chunk(plan.folder, plan.chunks[index]):
            product = json.loads(row)
            self.has.pop(product["id"], None)
            if plan.kind == "upsert":
                self.has[product["id"]] = product

    def run(self, rows: list[Any], **options: Any) -> SyncPlan:
        sync = self.plan(rows, **options)
        self.accept(sync)
        return sync


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


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
        "3 products to upsert in 1 call, 0.0 MB, about 0 min at one call every 60 s",
        "1 products to delete in 1 call, 0.0 MB, about 0 min at one call every 60 s",
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


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("kind", ["upsert", "delete"])
def test_a_late_call_of_an_overtaken_sync_is_made_good(
    kind: str, later: bool, shop: Shop, product: Make, tmp_path: Path
) -> None:
    """Mirakl takes the older call last: the state must not believe what it was told before.

    :param later: whether a third sync has begun when the late commit comes.
    """
    old, new = [product(1, brand="old")], [product(1, brand="new"), product(2)]
    shop.run([product(1), product(2)])
    overtaken = shop.plan(
        [product(1), product(2)][:1] if kind == "delete" else [old[0], product(2)], max_delete_ratio=1
    )
    plan = overtaken.delete if kind == "delete" else overtaken.upsert
    overtaken.intend(plan, 0)
    current = plan_sync(new, tmp_path / "other", shop.folder / "state")
    shop.accept(current)
    shop._take(plan, 0)  # the reply comes now
    if later:
        third = plan_sync(new, tmp_path / "third", shop.folder / "state")
        assert not third.upsert.chunks, "nothing is known of it yet"
    with pytest.raises(MiraklInputError, match="another sync has started"):
        overtaken.commit(plan, 0)
    shop.run(new)
    assert {key: one["brand"] for key, one in shop.has.items()} == {"SKU-000001": "new", "SKU-000002": "ACME"}
    assert not shop.run(new).upsert.chunks


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
        ("state.json", b"{", "state.json, which contains .*, cannot be read"),
        ("state.json", b'{"format":9}', "state.json, which contains .*, cannot be read"),
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


@settings(max_examples=25, deadline=None)
@given(
    history=st.lists(
        st.tuples(
            st.dictionaries(st.integers(0, 30), st.sampled_from(["a", "b", None]), max_size=20),
            st.integers(0, 10),
            st.booleans(),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_any_history_ends_in_the_source(
    history: list[tuple[dict[int, Any], int, bool]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """However runs change and break off, whatever replies are lost, one whole run makes Mirakl equal to the source."""
    shop = Shop(tmp_path_factory.mktemp("shop"))
    rows: list[Any] = []
    for catalog, chunks, lost in history:
        rows = [{"id": f"P{number}", "brand": brand} for number, brand in catalog.items()]
        shop.accept(shop.plan(rows, max_delete_ratio=1, batch_size=3), chunks, lost=lost)
    shop.run(rows, max_delete_ratio=1, batch_size=3)
    assert shop.has == {row["id"]: row for row in rows}
    last = shop.plan(rows)
    assert (last.upsert.products, last.delete.products) == (0, 0)


def test_the_hash_of_a_product_never_changes(product: Make) -> None:
    """Another hash in another version would send every catalog again."""
    row = json.dumps(product(1, gtins=[{"value": "0000000000001"}])).encode()
    assert content_hash(Checker(Product).check(row)) == "77bf220514328968f6615c3b68809759"
    assert content_hash(Checker(OpenProduct).check(row), row) == "77bf220514328968f6615c3b68809759"
