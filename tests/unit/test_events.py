"""Mirakl's own events, in whatever a queue wraps them."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_mirakl.events import MiraklEvent, parse
from airflow_provider_mirakl.exceptions import MiraklInputError

EVENT = {
    "id": "01jt31mw7wy3x4zs55kawgg1xe",
    "type": "ORDER_ACTION",
    "time": "2026-07-07T10:32:00Z",
    "data": {"action_id": "a"},
}
READ = MiraklEvent(
    "ORDER_ACTION",
    EVENT["id"],
    datetime(2026, 7, 7, 10, 32, tzinfo=UTC),
    {"action_id": "a"},  # type: ignore[arg-type]
)
TEXT = json.dumps(EVENT)
CODED = base64.b64encode(TEXT.encode()).decode()


@pytest.mark.parametrize(
    "payload",
    [
        EVENT,
        TEXT,
        TEXT.encode(),
        [EVENT],
        {"status": "success", "message_batch": [{"MessageId": "1", "Body": TEXT}]},  # SQS
        {"Messages": [{"Body": TEXT, "ReceiptHandle": "x"}]},
        {"status": "success", "message": [{"ack_id": "1", "message": {"data": CODED}}]},  # Pub/Sub
        {"message": {"data": CODED, "attributes": {}}},
        {"status": "success", "message": TEXT},  # Service Bus
        {"from_trigger": True, "payload": {"message_batch": [{"Body": TEXT}]}},
    ],
)
def test_an_event_is_found_in_whatever_wraps_it(payload: Any) -> None:
    assert parse(payload) == [READ]


def test_a_webhook_is_a_list_and_its_fields_are_read_leniently() -> None:
    orders = [
        {"event_type": "ORDER", "event_date": "2026-07-07T10:32:00", "payload": {"id": number}}
        for number in (1, 2)
    ]
    assert [(event.type, event.data["id"]) for event in parse(json.dumps(orders))] == [
        ("ORDER", 1),
        ("ORDER", 2),
    ]
    bare = parse({"type": "OFFER", "sku": "A"})[0]
    assert (bare.id, bare.time, bare.data["sku"]) == (None, None, "A")
    late = parse({"type": "OFFER", "timestamp": 1_783_420_320_000, "data": None})[0]
    assert late.time == datetime.fromtimestamp(1_783_420_320, UTC)


@pytest.mark.parametrize(
    "payload", [None, 3, "", "no json", {}, [], {"message": {"message": {}}}, [[[[[[[[[[EVENT]]]]]]]]]]]
)
def test_what_holds_no_event_is_refused_without_quoting_it(payload: Any) -> None:
    with pytest.raises(MiraklInputError, match="does not contain a Mirakl event") as caught:
        parse(payload)
    assert "json" not in str(caught.value)


@pytest.mark.parametrize("moment", [1e300, float("nan"), float("inf"), -1e300, 10**400, "no time", True, []])
def test_a_time_that_is_none_is_no_reason_to_fail(moment: Any) -> None:
    assert parse({"type": "OFFER", "time": moment})[0].time is None


def test_nested_without_end_is_no_event() -> None:
    with pytest.raises(MiraklInputError, match="does not contain a Mirakl event"):
        parse("[" * 100_000)
