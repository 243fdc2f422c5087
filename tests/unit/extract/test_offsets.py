"""A listing by offset whose rows enter and leave while it is read: what stays is read once, whatever else happens."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_mirakl.api.call import Reply
from airflow_provider_mirakl.exceptions import MiraklConfigurationError, MiraklReplyError
from airflow_provider_mirakl.extract.listings import find_listing
from airflow_provider_mirakl.extract.target import Target
from airflow_provider_mirakl.extract.work import ExtractWork, Window
from airflow_provider_mirakl.files.paths import storage_path

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class Listing:
    """OR11 as Mirakl has it: rows by their creation, of which the query shows some."""

    def __init__(self, count: int, *, ties: int = 1) -> None:
        self.rows = [self.row(number, number // ties) for number in range(count)]

    def row(self, number: int, minutes: int) -> dict[str, str]:
        stamp = (BEGIN + timedelta(minutes=minutes)).isoformat()
        return {"order_id": f"o-{number:04d}", "created_date": stamp, "last_updated_date": stamp}

    def reply(self, params: dict[str, str], *, link: bool) -> Reply:
        offset, size = int(params.get("offset", 0)), int(params["max"])
        rows = self.rows[::-1] if params.get("order") == "desc" else self.rows
        headers = {}
        if link and offset + size < len(rows):
            headers["link"] = f'<https://m/api/orders?max={size}&offset={offset + size}>; rel="next"'
        body = {"orders": rows[offset : offset + size]} | ({} if link else {"total_count": len(rows)})
        return Reply("OR11", 200, headers, json.dumps(body).encode())


def walk(
    folder: Path,
    listing: Listing,
    between: Callable[[int], None],
    *,
    size: int = 10,
    link: bool = True,
    filters: dict[str, Any] | None = None,
) -> tuple[list[str], int]:
    """Read all pages, each in a process of its own; returns the ids in the target, and the number of calls."""
    window = Window(BEGIN, watermark=storage_path(str(folder / "watermark")))
    calls = 0

    def opened() -> ExtractWork:
        place = storage_path(str(folder / "work"))
        query = {"max": size} | (filters or {})
        return ExtractWork(find_listing("OR11"), window, place, generation="1", filters=query)

    while (call := (work := opened()).next_call()) is not None:
        work.accept(call.parse(listing.reply(dict(call.params), link=link)), BEGIN)
        calls += 1
        between(calls)
        assert calls < 1000
    work.end(Target(storage_path(str(folder / "lake")), "run_id=1", "part-00000", "ndjson", flat=False))
    file = folder / "lake" / "orders" / "run_id=1" / "part-00000.ndjson"
    lines = file.read_text().splitlines() if file.exists() else []  # no row, no file
    return [json.loads(line)["order_id"] for line in lines], calls


@pytest.mark.parametrize("link", [True, False])
@pytest.mark.parametrize("filters", [{}, {"order": "desc"}])
def test_a_quiet_listing_is_read_once(tmp_path: Path, link: bool, filters: dict[str, Any]) -> None:
    listing = Listing(95)
    found, calls = walk(tmp_path, listing, lambda call: None, link=link, filters=filters)
    assert sorted(found) == [row["order_id"] for row in listing.rows]
    assert calls == 11, "one row of ten twice"


@pytest.mark.parametrize("link", [True, False])
def test_rows_that_leave_from_pages_that_were_read(tmp_path: Path, link: bool) -> None:
    listing = Listing(40)

    def leave(call: int) -> None:
        if call == 1:
            del listing.rows[:10]

    found, calls = walk(tmp_path, listing, leave, link=link)
    assert found == [f"o-{number:04d}" for number in range(40)]
    assert calls == 6, "five pages, and the page that did not join"


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), ties=st.sampled_from([1, 3]), descending=st.booleans())
def test_what_stays_is_never_missed(
    tmp_path_factory: pytest.TempPathFactory, seed: int, ties: int, descending: bool
) -> None:
    chance = random.Random(seed)  # noqa: S311
    listing = Listing(chance.randint(0, 80), ties=ties)
    hidden = [row for row in listing.rows if chance.random() < 0.3]
    listing.rows = [row for row in listing.rows if row not in hidden]
    stayed = {row["order_id"] for row in listing.rows}

    def change(call: int) -> None:
        if call > 12:
            return
        left = chance.sample(listing.rows, min(len(listing.rows), chance.choice([0, 0, 1, 2, 9])))
        listing.rows = [row for row in listing.rows if row not in left]
        stayed.difference_update(row["order_id"] for row in left)
        entered = chance.sample(hidden, min(len(hidden), chance.choice([0, 1, 4])))
        hidden[:] = [row for row in hidden if row not in entered]
        listing.rows = sorted(listing.rows + entered, key=lambda row: row["order_id"])

    filters = {"order": "desc"} if descending else {}
    found, _ = walk(tmp_path_factory.mktemp("walk"), listing, change, size=8, filters=filters)
    assert stayed <= set(found)
    assert len(found) == len(set(found))


def test_a_listing_that_never_joins_is_an_error(tmp_path: Path) -> None:
    """Whenever the second page is asked for, twenty rows are gone; whenever the first one is, they are back."""
    listing = Listing(60)
    every = listing.rows

    def flicker(call: int) -> None:
        listing.rows = every[20:] if call % 2 else every

    with pytest.raises(MiraklReplyError, match=r"^OR11: rows leave the listing faster than"):
        walk(tmp_path, listing, flicker)


@pytest.mark.parametrize(
    ("query", "words"), [({"sort": "x"}, "sort cannot be set"), ({"max": 1}, "max must")]
)
def test_a_query_whose_pages_cannot_be_joined(query: dict[str, Any], words: str) -> None:
    with pytest.raises(MiraklConfigurationError, match=words):
        find_listing("OR11").since(BEGIN, query)


def test_a_version_that_comes_with_the_overlap_is_left_to_the_next_run(tmp_path: Path) -> None:
    """It was delivered as it was when it was read first; its later version must not count as delivered."""
    listing = Listing(15)

    def change(call: int) -> None:
        if call == 1:
            listing.rows[9]["last_updated_date"] = "2100-01-01T00:00:00+00:00"

    found, _ = walk(tmp_path, listing, change)
    assert len(found) == 15
    assert "o-0009" not in (tmp_path / "watermark" / "watermark.json").read_text()
