"""Which triggers share a reading of a listing, and how far it reaches back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_mirakl.triggers.listings import SharedListing
from airflow_provider_mirakl.triggers.watching import AT_START

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
INTERVAL = 300.0


class Mirakl:
    """What was asked for."""

    def __init__(self) -> None:
        self.since: list[datetime] = []

    async def ask(self, since: datetime) -> tuple[list[Any], datetime]:
        self.since.append(since)
        return [since], NOW


async def test_triggers_that_need_about_the_same_time_share_a_reading() -> None:
    listing, mirakl = SharedListing(), Mirakl()
    first = await listing.read("a", NOW - 3 * MINUTE, 7 * MINUTE, INTERVAL, mirakl.ask)
    assert await listing.read("b", NOW, 7 * MINUTE, INTERVAL, mirakl.ask) == first
    assert mirakl.since == [NOW - 3 * MINUTE]


async def test_one_that_needs_an_earlier_time_reads_for_both() -> None:
    listing, mirakl = SharedListing(), Mirakl()
    await listing.read("a", NOW, 7 * MINUTE, INTERVAL, mirakl.ask)
    await listing.read("b", NOW - 3 * MINUTE, 7 * MINUTE, INTERVAL, mirakl.ask)
    await listing.read("a", NOW, 7 * MINUTE, INTERVAL, mirakl.ask)
    assert mirakl.since == [NOW, NOW - 3 * MINUTE]


async def test_one_that_polls_once_a_day_gives_the_others_no_history() -> None:
    listing, mirakl = SharedListing(), Mirakl()
    await listing.read("daily", NOW - DAY, DAY, 86_400.0, mirakl.ask)
    for _ in range(2):
        found, begin, _asked = await listing.read("a", NOW, 7 * MINUTE, INTERVAL, mirakl.ask)
        assert (found, begin) == ([NOW], NOW)
    assert mirakl.since == [NOW - DAY, NOW]


async def test_new_ones_share_their_first_reading_and_not_an_old_one() -> None:
    listing, mirakl = SharedListing(), Mirakl()
    await listing.read("a", NOW - 5 * MINUTE, 7 * MINUTE, INTERVAL, mirakl.ask)
    for milliseconds in range(10):
        since = NOW + timedelta(milliseconds=milliseconds)
        found, begin, _asked = await listing.read(
            f"new {milliseconds}", since, AT_START, INTERVAL, mirakl.ask
        )
        assert (found, begin) == ([NOW], NOW), "where the listing began, not what it needed"
    assert mirakl.since == [NOW - 5 * MINUTE, NOW]


async def test_where_the_listing_says_when_it_happened_all_share_it() -> None:
    listing, mirakl = SharedListing(), Mirakl()
    await listing.read("daily", NOW - DAY, timedelta.max, 86_400.0, mirakl.ask)
    await listing.read("a", NOW, timedelta.max, INTERVAL, mirakl.ask)
    assert mirakl.since == [NOW - DAY]
