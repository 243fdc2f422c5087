"""What an event trigger tells: everything once, however the listing overlaps, and nothing that was before."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_mirakl.api.call import Page
from airflow_provider_mirakl.api.caller import Caller
from airflow_provider_mirakl.api.documents import ShopDocument
from airflow_provider_mirakl.api.steps import Send
from airflow_provider_mirakl.exceptions import MiraklConfigurationError, MiraklReplyError
from airflow_provider_mirakl.triggers import events
from airflow_provider_mirakl.watches import (
    LONGEST_JOB,
    MAX_WAITING,
    OVERLAP,
    REMEMBERED,
    WATCHES,
    Cursor,
    _hash,
    begin_of,
    listed,
    news,
)

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
START = Cursor(NOW - timedelta(hours=1))
MINUTE = timedelta(minutes=1)


def status(
    import_id: int, state: str, field: str = "import_status", ago: timedelta = MINUTE
) -> dict[str, Any]:
    return {"import_id": import_id, field: state, "date_created": (NOW - ago).isoformat(), "shop_id": 2001}


def tell(name: str, replies: list[Any], cursor: Cursor = START, now: datetime = NOW, **options: Any) -> Any:
    return news(WATCHES[name], replies, options, cursor, now)


def test_an_import_is_told_once_in_each_state_that_is_an_end() -> None:
    first = tell("product_imports", [status(2, "COMPLETE"), status(1, "RUNNING")])
    assert [row["import_id"] for row in first.found] == [2]
    assert first.cursor.since == NOW
    again = tell("product_imports", [status(2, "COMPLETE"), status(1, "FAILED")], first.cursor)
    assert [(row["import_id"], row["state"]) for row in again.found] == [(1, "FAILED")]
    sent = tell("product_imports", [status(3, "SENT")], states=["SENT"])
    assert [row["state"] for row in sent.found] == ["SENT"]
    assert not tell("product_imports", [status(3, "SENT")]).found
    assert not tell("product_imports", [status(3, "FAILED")], states=["COMPLETE"]).found


def test_a_listing_by_creation_reaches_back_to_the_oldest_import_that_runs() -> None:
    long = timedelta(hours=9)
    running = tell("offer_imports", [status(1, "RUNNING", "status", long), status(2, "COMPLETE", "status")])
    assert [row["import_id"] for row in running.found] == [2]
    assert running.cursor.since == NOW - long
    ended = tell(
        "offer_imports",
        [status(1, "COMPLETE", "status", long), status(2, "COMPLETE", "status")],
        running.cursor,
    )
    assert [row["import_id"] for row in ended.found] == [1], "and the other one was told"
    assert ended.cursor.since == NOW
    stuck = tell("offer_imports", [status(1, "RUNNING", "status", LONGEST_JOB + MINUTE)])
    assert stuck.cursor.since == NOW, "not forever"


def test_more_imports_than_are_remembered_are_told_once_behind_one_that_runs() -> None:
    week = timedelta(days=7)
    many = [
        status(number, "COMPLETE", "status", week - number * MINUTE) for number in range(1, REMEMBERED + 200)
    ]
    cursor, told = Cursor(NOW - week), []
    for number in range(4):
        found = tell("offer_imports", [status(0, "WAITING", "status", week), *many], cursor, NOW)
        cursor = Cursor.load(json.loads(json.dumps(found.cursor.dump())))
        assert cursor is not None
        told += found.found
        many.append(status(9000 + number, "COMPLETE", "status", ago=MINUTE))
    assert len(told) == len({row["import_id"] for row in told}) == len(many) - 1
    ended = tell("offer_imports", [status(0, "COMPLETE", "status", week), *many], cursor)
    assert [row["import_id"] for row in ended.found] == [9003, 0], (
        "the one that ran, and the last of the others"
    )
    assert not tell("offer_imports", [status(0, "COMPLETE", "status", week), *many], ended.cursor).found


def test_more_imports_run_than_are_remembered_and_each_is_told_once() -> None:
    count, hours = MAX_WAITING + 100, timedelta(hours=20)
    jobs = {number: hours - number * MINUTE for number in range(count)}
    first = tell("offer_imports", [status(number, "RUNNING", "status", ago) for number, ago in jobs.items()])
    assert not first.found
    ended = [status(number, "COMPLETE", "status", ago) for number, ago in jobs.items()]
    second = tell("offer_imports", [status(-1, "RUNNING", "status", hours), *ended], first.cursor)
    assert len(second.found) == count
    assert not tell("offer_imports", [status(-1, "RUNNING", "status", hours), *ended], second.cursor).found


def test_a_listing_that_reaches_back_for_another_trigger_tells_no_old_import() -> None:
    old, new = status(1, "COMPLETE", "status", timedelta(days=2)), status(2, "COMPLETE", "status")
    assert [row["import_id"] for row in tell("offer_imports", [new, old]).found] == [2]
    slow = tell("product_imports", [status(1, "COMPLETE", ago=timedelta(days=2))])
    assert len(slow.found) == 1, "listed by change: it ended just now"


def test_what_is_listed_in_the_overlap_is_told_once() -> None:
    row = {"provider_unique_identifier": "A", "status": "NOT_LIVE", "errors": [{"code": "MCM-04000"}]}
    first = tell("product_status", [json.dumps([row]).encode()])
    assert first.found == [{"product": "A", "status": "NOT_LIVE"}]
    assert not tell("product_status", [json.dumps([row]).encode()], first.cursor).found
    other = tell("product_status", [json.dumps([row | {"errors": []}]).encode()], first.cursor)
    assert len(other.found) == 1, "another reason is another status"
    more = row | {"score": 7, "errors": [row["errors"][0] | {"severity": "high"}]}
    assert not tell("product_status", [json.dumps([more]).encode()], first.cursor).found, (
        "a new field is none"
    )
    assert not tell("product_status", [b""]).found, "204 has no body"


def test_a_seller_whose_listing_has_everything_is_told_what_is_new() -> None:
    old, new = (
        ShopDocument(number, "x.pdf", "PASSPORT", None, (NOW - ago).isoformat())
        for number, ago in ((1, timedelta(days=9)), (2, MINUTE))
    )
    found = tell("shop_documents", [[old, new]])
    assert [row["document_id"] for row in found.found] == [2]
    assert not tell("shop_documents", [[new]], type_codes=["BANK_DETAILS"]).found
    assert "x.pdf" not in json.dumps(found.found), "a file's name may name a person"


def test_an_order_is_told_for_each_state_and_nothing_personal_of_it() -> None:
    order = {"id": "o-1", "status": "SHIPPED", "customer": {"name": "Ada"}}
    found = tell("orders", [order], statuses=["SHIPPED"])
    assert found.found == [{"order_id": "o-1", "status": "SHIPPED"}]
    assert not tell("orders", [order | {"updated_at": "later"}], found.cursor, statuses=["SHIPPED"]).found
    assert not tell("orders", [order | {"status": "NEW_STATE"}], statuses=["SHIPPED"]).found, (
        "asked for another"
    )


def test_an_event_is_told_though_its_short_hash_is_that_of_another_one() -> None:
    first, other = ({"id": f"ORD-{number}", "status": "AWAITING_ACCEPTANCE"} for number in (100494, 111763))
    assert _hash(f"{first['id']} {first['status']}") == _hash(f"{other['id']} {other['status']}")
    told = tell("orders", [first])
    both = tell("orders", [first, other], told.cursor)
    assert [row["order_id"] for row in both.found] == [other["id"]]
    assert not tell("orders", [first, other], both.cursor).found


def test_what_an_earlier_version_has_told_by_short_hashes_is_not_told_again() -> None:
    rows = [{"id": f"o-{number}", "status": "SHIPPED"} for number in range(4)]
    cursor = replace(START, told="".join(_hash(f"{row['id']} SHIPPED") for row in rows[:2]))
    for expected in (["o-2"], ["o-3"], []):  # then both kinds of hashes are in the cursor
        found = tell("orders", rows[: 3 if expected == ["o-2"] else 4], cursor)
        assert [row["order_id"] for row in found.found] == expected
        cursor = Cursor.load(json.loads(json.dumps(found.cursor.dump())))  # type: ignore[assignment]


def test_the_cursor_stays_small_and_survives_what_is_kept_of_it() -> None:
    many = tell("orders", [{"id": str(number), "status": "SHIPPED"} for number in range(2 * REMEMBERED)])
    dumped = json.dumps(many.cursor.dump())
    assert len(dumped) < 49_152
    assert Cursor.load(json.loads(dumped)) == many.cursor
    assert len(many.found) == 2 * REMEMBERED
    rows = [{"provider_unique_identifier": str(n), "status": "LIVE"} for n in range(2 * REMEMBERED)]
    states = tell("product_status", [json.dumps(rows).encode()]).cursor
    assert len(json.dumps(states.dump())) < 65_536
    assert Cursor.load(json.loads(json.dumps(states.dump()))) == states
    for damaged in (None, "x", {}, {"since": "yesterday"}):
        assert Cursor.load(damaged) is None
    known = {"since": NOW.isoformat(), "told": "0123abcd"}
    for older in ({}, {"settled": "yesterday", "waiting": "a"}, {"settled": NOW.isoformat(), "waiting": 1}):
        assert Cursor.load(known | older) == Cursor(NOW, "0123abcd"), "of another version, or damaged"


@pytest.mark.parametrize("body", [b"{}", b"7", b"[7]", b"[", b"\xff"])
def test_a_listing_that_cannot_be_read_is_an_error_of_the_package(body: bytes) -> None:
    with pytest.raises(MiraklReplyError, match=r"CM11: (the 200 reply|expected a list)"):
        tell("product_status", [body])


@pytest.mark.parametrize("since", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_a_damaged_cursor_does_not_end_the_calendar(since: str) -> None:
    cursor = Cursor.load({"since": since, "told": ""})
    assert cursor is not None
    assert begin_of(WATCHES["orders"], cursor).astimezone(UTC).year == 1969
    assert len(tell("orders", [{"id": "o-1", "status": "SHIPPED"}], cursor).found) == 1


def test_every_page_is_read_from_behind_the_cursor() -> None:
    steps = listed(WATCHES["product_imports"], Caller(), begin_of(WATCHES["product_imports"], START), {})
    call = next(steps).call  # type: ignore[union-attr]
    since = (START.since - OVERLAP).strftime("%Y-%m-%dT%H:%M:%S")
    assert since in call.target.replace("%3A", ":")
    second = steps.send(Page([{"import_id": 1}], replace(call, path="/page/2")))
    assert isinstance(second, Send)
    with pytest.raises(StopIteration) as stop:
        steps.send(Page([{"import_id": 2}], None))
    assert [row["import_id"] for row in stop.value.value] == [1, 2]


def test_pages_that_lead_in_a_circle_are_an_error() -> None:
    steps = listed(WATCHES["product_imports"], Caller(), START.since, {})
    call = next(steps).call  # type: ignore[union-attr]
    steps.send(Page([], replace(call, path="/page/2")))
    with pytest.raises(MiraklReplyError, match="already read"):
        steps.send(Page([], call))


def test_of_more_events_than_are_remembered_the_newest_are_kept() -> None:
    """Mirakl lists the newest first; what the next listing overlaps with is the newest, too."""
    rows = [{"id": str(number), "status": "SHIPPED"} for number in range(REMEMBERED + 500)]
    many = tell("orders", rows, statuses=["SHIPPED"])
    assert not tell("orders", rows[:100], many.cursor, statuses=["SHIPPED"]).found


def test_a_product_that_returns_to_an_earlier_status_is_told_again() -> None:
    def listing(status: str) -> list[bytes]:
        return [json.dumps([{"provider_unique_identifier": "A", "status": status}]).encode()]

    every, live = [], []
    one, other = START, START
    for status in ("LIVE", "LIVE", "NOT_LIVE", "LIVE", "NOT_LIVE"):
        found, only = (
            tell("product_status", listing(status), one),
            tell("product_status", listing(status), other, statuses=["LIVE"]),
        )
        one, other = Cursor.load(found.cursor.dump()), Cursor.load(only.cursor.dump())  # type: ignore[assignment]
        every += [row["status"] for row in found.found]
        live += [row["status"] for row in only.found]
    assert every == ["LIVE", "NOT_LIVE", "LIVE", "NOT_LIVE"]
    assert live == ["LIVE", "LIVE"]


def test_what_an_earlier_version_has_told_is_not_told_again_until_it_changes() -> None:
    row = {"provider_unique_identifier": "A", "status": "LIVE"}
    cursor = replace(START, told=_hash(json.dumps(row, sort_keys=True)) + "0" * 8 * REMEMBERED)
    told = []
    for status in ("LIVE", "NOT_LIVE", "LIVE"):
        listing = [json.dumps([row | {"status": status}]).encode()]
        found = tell("product_status", listing, cursor, statuses=["LIVE"])
        told.append(len(found.found))
        cursor = found.cursor
    assert told == [0, 0, 1]
    assert cursor.told == "", "the old hashes take no room"


@pytest.mark.parametrize("product", [{"provider_unique_identifier": "A"}, {}], ids=["two rows", "no id"])
def test_an_unusual_listing_is_told_once(product: dict[str, str]) -> None:
    rows = [product | {"status": "LIVE"}, product | {"status": "NOT_LIVE"}]
    first = tell("product_status", [json.dumps(rows).encode()])
    assert {row["product"] for row in first.found} == {product.get("provider_unique_identifier")}
    assert not tell("product_status", [json.dumps(rows[::-1]).encode()], first.cursor).found


def test_of_more_products_than_are_remembered_the_newest_are_kept() -> None:
    rows = [{"provider_unique_identifier": str(n), "status": "LIVE"} for n in range(REMEMBERED + 500)]
    many = tell("product_status", [json.dumps(rows).encode()])
    assert not tell("product_status", [json.dumps(rows[:100]).encode()], many.cursor).found


TRIGGERS = [
    kind
    for kind in vars(events).values()
    if isinstance(kind, type) and issubclass(kind, events.MiraklEventTrigger) and hasattr(kind, "watch")
]


def make(kind: type[events.MiraklEventTrigger], **options: Any) -> events.MiraklEventTrigger:
    needed = {"statuses": ["SHIPPED"]} if kind is events.MiraklConnectOrdersTrigger else {}
    return kind(**needed | options)


def test_every_watch_has_its_trigger_with_the_intervals_of_the_table() -> None:
    if not events.HAS_EVENT_TRIGGERS:
        pytest.skip("needs Airflow 3.0 or later: make matrix MATRIX=3.3.2")
    assert {kind.watch for kind in TRIGGERS} == set(WATCHES)
    for kind in TRIGGERS:
        assert kind.shortest == WATCHES[kind.watch].shortest
        assert make(kind).poke_interval == WATCHES[kind.watch].recommended
        with pytest.raises(MiraklConfigurationError, match="poke_interval must be"):
            make(kind, poke_interval=5)
        for since in ("yesterday", "0001-01-01T00:00:00+14:00"):  # the second is in the year 0, in UTC
            with pytest.raises(MiraklConfigurationError, match="since must be a date-time"):
                make(kind, since=since)


@pytest.mark.parametrize("kind", TRIGGERS)
def test_a_trigger_comes_back_from_what_airflow_stores(kind: type[events.MiraklEventTrigger]) -> None:
    if not events.HAS_EVENT_TRIGGERS:
        with pytest.raises(MiraklConfigurationError, match="needs Airflow 3"):
            make(kind)
        return
    path, arguments = make(kind, since=NOW).serialize()
    stored = json.loads(json.dumps(arguments))
    again = kind(**stored)
    assert again.serialize() == (path, stored)
    assert path.endswith(f".{kind.__name__}")
    assert events.BaseEventTrigger.hash(path, arguments) == events.BaseEventTrigger.hash(*again.serialize())
