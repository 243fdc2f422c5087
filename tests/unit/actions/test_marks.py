"""What shows on an order that an action was carried out, and what of it proves that it was this one."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_mirakl.actions.book import AT_WORK, Senders, failure_of
from airflow_provider_mirakl.actions.table import ACTIONS, is_proven

ROW = {
    "order_id": "1", "order_line_id": "1-1", "quantity": 1, "price": 10.0, "shipping_price": 0.0, "currency": "EUR",
    "reason": "DEFECT",
}  # fmt: skip


def adjustment(**changes: Any) -> dict[str, Any]:
    money = {"currency": "EUR"}
    return {
        "id": "a1", "type": "REFUND", "quantity": "1", "reason": "DEFECT",
        "price": money | {"amount": "10.00"}, "shipping_price": money | {"amount": 0}, "taxes": [],
    } | changes  # fmt: skip


def order(*adjustments: dict[str, Any], **line: Any) -> dict[str, Any]:
    return {"id": "1", "order_lines": [{"id": "1-1", "adjustments": list(adjustments)} | line]}


@pytest.mark.parametrize(
    ("changes", "row", "found"),
    [
        ({}, {}, ["a1"]),
        ({"id": 5047704}, {}, ["5047704"]),
        ({"type": "CANCELATION"}, {}, []),
        ({"quantity": 2}, {}, []),
        ({"reason": "RETURN"}, {}, []),
        ({"price": {"amount": 10.01, "currency": "EUR"}}, {}, []),
        ({"price": {"amount": 10, "currency": "SEK"}}, {}, []),
        ({"price": None}, {}, []),
        ({"shipping_price": {"amount": "4.90", "currency": "EUR"}}, {}, []),
        ({}, {"taxes": [{"code": "VAT", "amount": {"amount": 2.0, "currency": "EUR"}}]}, []),
        (
            {"taxes": [{"code": "VAT", "amount": {"amount": "2.0", "currency": "EUR"}}]},
            {"taxes": [{"code": "VAT", "amount": {"amount": 2.0, "currency": "EUR"}}]},
            ["a1"],
        ),
    ],
)
def test_an_adjustment_is_a_mark_when_it_is_equal(
    changes: dict[str, Any], row: dict[str, Any], found: list[str]
) -> None:
    assert ACTIONS["refund"].marked(order(adjustment(**changes)), [ROW | row]) == [found]


@pytest.mark.parametrize("action", ["ship", "cancel", "refund", "upload_document"])
def test_what_adds_something_needs_proof(action: str) -> None:
    assert ACTIONS[action].adds


@pytest.mark.parametrize(
    ("before", "after", "others", "proven"),
    [
        ([[]], [["a1"]], [], True),
        ([["a0"]], [["a0", "a1"]], [], True),
        ([["a0"]], [["a0"]], [], False),
        ([[]], [["a1", "a2"]], [], False),
        ([[]], [["a1"]], ["a1"], False),
        ([[], []], [["a1"], []], [], False),
        ([[], []], [["a1"], ["b1"]], [], True),
        (None, [["a1"]], [], False),
    ],
)
def test_only_one_new_mark_for_each_row_is_proof(
    before: list[list[str]] | None, after: list[list[str]], others: list[str], proven: bool
) -> None:
    assert is_proven(before, after, others) is proven


@pytest.mark.parametrize(
    ("action", "changes", "row", "shows"),
    [
        ("ship", {"status": "SHIPPED"}, {}, True),
        ("ship", {"status": "AWAITING_SHIPMENT"}, {}, False),
        ("accept", {"status": "AWAITING_SHIPMENT"}, {}, True),
        ("accept", {"status": "CLOSED", "status_reason": "REFUSED"}, {}, False),
        ("accept", {"status": "CLOSED", "status_reason": "REFUSED"}, {"accepted": False}, True),
        ("accept", {"status": "AWAITING_ACCEPTANCE"}, {}, False),
    ],
)
def test_states_of_lines(action: str, changes: dict[str, Any], row: dict[str, Any], shows: bool) -> None:
    (marks,) = ACTIONS[action].marked(order(**changes), [ROW | row])
    assert bool(marks) is shows


def test_documents_are_told_by_id_and_moment() -> None:
    document = {"id": "d", "name": "a.pdf", "type": "CUSTOMER_INVOICE", "updated_at": "2026-01-01T00:00:00Z"}
    found = {"id": "1", "documents": [document, document | {"id": "e", "name": "b.pdf"}]}
    row = {"order_id": "1", "path": "s3://bucket/a.pdf", "type": "CUSTOMER_INVOICE"}
    assert ACTIONS["upload_document"].marked(found, [row]) == [["d 2026-01-01T00:00:00Z"]]


def test_what_other_tasks_send_is_known_for_a_day(tmp_path: Any) -> None:
    mine, other = Senders(tmp_path, "mine"), Senders(tmp_path, "other")
    assert not mine.others("1", 1e9)
    mine.note("1", 1e9)
    assert not mine.others("1", 1e9)
    other.note("2", 1e9)
    assert not mine.others("1", 1e9)
    other.note("1", 1e9)
    assert mine.others("1", 1e9 + AT_WORK - 1)
    assert not mine.others("1", 1e9 + AT_WORK + 1)


@pytest.mark.parametrize(
    ("topic", "marks"), [({"value": "Delay"}, ["c1"]), ({}, []), (None, []), ("Delay", []), (["Delay"], [])]
)
def test_a_topic_in_another_form_is_no_mark(topic: Any, marks: list[str]) -> None:
    found = {"conversations": [{"id": "c1", "topic": topic}]}
    assert ACTIONS["begin_conversation"].marked(found, [{"order_id": "1", "topic": "Delay"}]) == [marks]


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ([{"code": "A"}, {"code": "B"}], "A"),
        ({"code": "A"}, "A"),
        *[(odd, "UNEXPECTED") for odd in (None, [], {}, 5, "A", ["A"], [None], {"A": 1})],
    ],
)
def test_the_errors_of_an_action_in_another_form_are_still_a_failure(errors: Any, code: str) -> None:
    assert failure_of({"status": "FAILED", "errors": errors})[0] == code
