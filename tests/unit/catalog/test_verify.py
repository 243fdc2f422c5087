"""Read-back: verified, different, missing, still there; over pages that arrive one by one."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.catalog.plan import Plan, plan_delete, plan_upsert
from airflow_provider_mirakl.catalog.verify import Verifier, differences
from airflow_provider_mirakl.exceptions import MiraklNoteError, MiraklStorageError
from airflow_provider_mirakl.outcome import ItemResult
from tests.damage import DATA, damage

Make = Callable[..., Any]


def results(verifier: Verifier, **options: Any) -> dict[str, ItemResult]:
    found = list(verifier.finish(**options))
    assert len({result.item_id for result in found}) == len(found)
    return {result.item_id: result for result in found}


def codes(verifier: Verifier, **options: Any) -> Counter[str | None]:
    return Counter(result.code for result in results(verifier, **options).values())


@pytest.fixture
def plan(product: Make, tmp_path: Path) -> Plan:
    return plan_upsert([product(number) for number in range(2500)], tmp_path / "plan")


def test_a_catalog_is_verified_page_by_page(plan: Plan, product: Make) -> None:
    catalog = [product(number) for number in range(3500)]
    verifier = Verifier(plan)
    verifier.see(catalog[:1000])
    verifier.see(json.dumps(row).encode() for row in catalog[1000:2000])
    assert (verifier.pages, verifier.seen, verifier.complete) == (2, 2000, False)
    verifier = Verifier(Plan.load(plan.folder))
    assert (verifier.pages, verifier.seen) == (2, 2000)
    verifier.see(catalog[2000:3000])
    assert verifier.complete
    assert codes(verifier) == {"verified": 2500}


@pytest.mark.parametrize("how", [how for how, change in DATA.items() if change is not None])
def test_damaged_ids_are_read_from_the_plan_again(how: str, product: Make, tmp_path: Path) -> None:
    plan = plan_upsert([product(number) for number in range(20)], tmp_path / "plan")
    Verifier(plan).see([product(number) for number in range(10)])
    assert Verifier(plan).pages == 1
    damage(tmp_path / "plan" / "verify" / "expected.bin", DATA[how])
    verifier = Verifier(plan)
    assert verifier.pages == 0
    verifier.see([product(number) for number in range(20)])
    assert codes(verifier) == {"verified": 20}


def test_a_folder_in_the_place_of_the_ids_is_named(product: Make, tmp_path: Path) -> None:
    plan = plan_upsert([product(number) for number in range(20)], tmp_path / "plan")
    path = tmp_path / "plan" / "verify" / "expected.bin"
    Verifier(plan).see([product(1)])
    damage(path, None)
    with pytest.raises(MiraklStorageError, match=r"is a folder, but .*; remove it") as caught:
        Verifier(plan)
    assert caught.value.path == str(path)


def test_different_and_missing(plan: Plan, product: Make) -> None:
    verifier = Verifier(plan)
    changed = product(7, brand="other", titles=[])
    verifier.see([product(number) for number in range(2400) if number != 7] + [changed])
    found = results(verifier)
    assert found["SKU-000007"] == ItemResult(
        "SKU-000007", "failed", "different", "brand, titles differ from what was submitted", "brand, titles"
    )
    assert found["SKU-002400"] == ItemResult("SKU-002400", "failed", "missing", "not listed")
    assert Counter(result.status for result in found.values()) == {"succeeded": 2399, "failed": 101}


def test_a_listing_broken_off_leaves_unknowns(plan: Plan, product: Make) -> None:
    verifier = Verifier(plan)
    verifier.see([product(number) for number in range(100)])
    assert codes(verifier, listed_all=False) == {"verified": 100, "not_seen": 2400}


def test_deleted_and_still_there(product: Make, tmp_path: Path) -> None:
    verifier = Verifier(plan_delete(["SKU-000001", "SKU-000002", "gone"], tmp_path / "plan"))
    verifier.see([product(number) for number in range(2)])
    verifier.see([])
    assert not verifier.complete, "absence is known at the end of the listing only"
    assert {item: result.code for item, result in results(verifier).items()} == {
        "SKU-000001": "still_there",
        "SKU-000002": "deleted",
        "gone": "deleted",
    }


def test_waiting_for_ids_alone(product: Make, tmp_path: Path) -> None:
    plan = plan_delete(["SKU-000001", "none"], tmp_path / "plan")
    verifier = Verifier(plan, expect="listed")
    verifier.see([product(1)])
    assert {item: result.code for item, result in results(verifier).items()} == {
        "SKU-000001": "verified",
        "none": "missing",
    }


def test_a_sample(plan: Plan, product: Make) -> None:
    verifier = Verifier(plan, sample=50)
    verifier.see([product(number) for number in range(2500)])
    assert verifier.complete
    assert codes(verifier) == {"verified": 50}


def test_accepted_chunks_alone(plan: Plan, product: Make) -> None:
    verifier = Verifier(plan, chunks=1)
    verifier.see([product(number) for number in range(1000)])
    assert codes(verifier) == {"verified": 1000}


def test_another_round_and_another_question_begin_anew(plan: Plan, product: Make) -> None:
    verifier = Verifier(plan)
    verifier.see([product(1, brand="old")])
    verifier.restart()
    assert (verifier.pages, verifier.seen) == (0, 0)
    verifier.see([product(1)])
    assert results(verifier)["SKU-000001"].code == "verified"
    assert Verifier(plan, sample=10).pages == 0


def test_a_page_seen_again_counts_once(plan: Plan, product: Make) -> None:
    verifier = Verifier(plan)
    for _ in range(3):
        verifier.see([product(number) for number in range(1000)])
    assert verifier.seen == 1000
    assert not verifier.complete


def test_broken_notes_begin_anew_with_a_warning(plan: Plan, caplog: pytest.LogCaptureFixture) -> None:
    Verifier(plan).see([])
    (Path(str(plan.folder)) / "verify" / "state.json").write_bytes(b"{")
    assert Verifier(plan).pages == 0
    assert "state.json, which records which pages of a read-back are stored, cannot be read" in caplog.text


def test_a_page_that_was_cut_is_no_shorter_listing(plan: Plan) -> None:
    verifier = Verifier(plan)
    verifier.see([{"id": f"id-{number}"} for number in range(3)])
    page = Path(str(plan.folder)) / "verify" / "page-000000.ndjson"
    page.write_bytes(page.read_bytes() + b'{"id":')
    with pytest.raises(MiraklNoteError, match=r"page-000000\.ndjson.* was changed after it was written"):
        list(verifier.finish())
    page.unlink()
    with pytest.raises(MiraklNoteError, match=r"page-000000\.ndjson.* is missing"):
        list(verifier.finish())


EQUAL: list[tuple[str, Any, Any]] = [
    ("brand", None, None),
    ("titles", [], None),
    ("titles", None, []),
    (
        "standard_prices",
        [{"price": {"amount": 1249.0, "currency": "EUR"}}],
        [{"price": {"amount": 1249, "currency": "EUR"}}],
    ),
    (
        "standard_prices",
        [{"price": {"amount": 1249.5, "currency": "EUR"}}],
        [{"price": {"amount": "1249.50", "currency": "EUR"}, "scope": None}],
    ),
    (
        "discount_prices",
        [{"start_date": "2026-02-19T16:46:00Z", "end_date": None}],
        [{"start_date": "2026-02-19T16:46:00.000Z"}],
    ),
    (
        "titles",
        [{"locale": "en", "value": "a"}, {"locale": "fr", "value": "b"}],
        [{"locale": "fr", "value": "b"}, {"locale": "en", "value": "a"}],
    ),
    ("category", {"labels": []}, {"id": "x", "labels": []}),
    ("attributes", [{"id": "a", "value": True}], [{"id": "a", "value": True, "label": "new"}]),
]
DIFFERENT: list[tuple[str, Any, Any]] = [
    ("brand", None, "ACME"),
    ("brand", "ACME", None),
    ("brand", "ACME", "acme"),
    ("brand", "1", 1),
    ("titles", [], [{"locale": "en", "value": "a"}]),
    ("titles", [{"locale": "en", "value": "a"}], [{"locale": "en", "value": "a"}, {"locale": "fr", "value": "b"}]),
    ("titles", [{"locale": "en", "value": "a"}], "a"),
    ("images", [{"url": "https://1"}, {"url": "https://2"}], [{"url": "https://2"}, {"url": "https://1"}]),
    ("attributes", [{"id": "a", "value": True}], [{"id": "a", "value": 1}]),
    ("attributes", [{"id": "a", "value": 1}], [{"id": "a", "value": True}]),
    ("standard_prices", [{"price": {"amount": 1, "currency": "EUR"}}], [{"price": {"amount": 2, "currency": "EUR"}}]),
    ("discount_prices", [{"start_date": "2026-02-19T16:46:00Z"}], [{"start_date": "2026-02-19T16:46:01Z"}]),
    ("category", {"id": "x", "labels": []}, None),
]  # fmt: skip


@pytest.mark.parametrize(("field", "submitted", "listed"), EQUAL)
def test_equal_as_mirakl_stores_it(field: str, submitted: Any, listed: Any) -> None:
    assert differences({"id": "A", field: submitted}, {"id": "A", field: listed, "channel": "x"}) == []
    if submitted in (None, []):
        assert differences({"id": "A", field: submitted}, {"id": "A"}) == []


@pytest.mark.parametrize(("field", "submitted", "listed"), DIFFERENT)
def test_different(field: str, submitted: Any, listed: Any) -> None:
    assert differences({"id": "A", field: submitted}, {"id": "A", field: listed}) == [field]


def test_every_single_change_is_found(product: Make) -> None:
    """Change each leaf of a full product in the listing: the comparison names its top-level field."""
    whole = product(1)

    def leaves(value: Any, path: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        children = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        )
        found = [leaf for name, child in children for leaf in leaves(child, (*path, name))]
        return found or [path]

    paths = [path for path in leaves(whole, ()) if path != ("discount_prices", 0, "end_date")]
    assert len(paths) > 30
    for path in paths:
        listed = copy.deepcopy(whole)
        place = listed
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = "changed"
        assert differences(whole, listed) == [path[0]], path
