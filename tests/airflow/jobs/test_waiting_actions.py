"""Actions on hundreds of orders: Mirakl shows a hundred a minute, and no worker waits for the next hundred."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.actions.book import BOOK
from airflow_provider_mirakl.api.conversations import list_conversations
from airflow_provider_mirakl.client.pacing import PACER
from airflow_provider_mirakl.exceptions import (
    MiraklItemsFailedError,
    MiraklRateLimitError,
    MiraklUnclearSubmissionError,
)
from airflow_provider_mirakl.hooks.mirakl_connect import MiraklConnectHook
from airflow_provider_mirakl.operators.connect_conversations import (
    MiraklConnectAnswerConversationsOperator,
    MiraklConnectCreateConversationsOperator,
)
from airflow_provider_mirakl.operators.connect_orders import (
    MiraklConnectAcceptOrdersOperator,
    MiraklConnectRefundOrdersOperator,
)
from airflow_provider_mirakl.sandbox import Sandbox
from airflow_provider_mirakl.sandbox.systems import orders

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.matrix,
    pytest.mark.mirakl_sandbox_settings(limits="off", action_seconds=0),
]
MOMENT = "airflow_provider_mirakl.triggers.moment.MomentTrigger"
REFUND, LISTING = "v2-refundOrderLines", "v2-listOrders"


def refunds(sandbox: Sandbox, count: int) -> list[dict[str, Any]]:
    placed = sandbox.place_orders(count, status="SHIPPED")
    shown = sandbox.orders()
    return [
        {
            "order_id": order_id, "order_line_id": line["id"], "quantity": line["quantity"],
            "price": line["price"]["amount"], "shipping_price": 0, "currency": "EUR", "reason": "DEFECT",
        }
        for order_id in placed
        for line in shown[order_id]["order_lines"][:1]
    ]  # fmt: skip


@pytest.fixture
def refund(worker: Any, mirakl_sandbox_connections: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A worker with the operator. A deferrable task has Mirakl's real interval, and time passes while it waits."""

    def make(rows: list[dict[str, Any]], *, deferrable: bool, factor: float = 1, **options: Any) -> Any:
        if deferrable:
            connection = mirakl_sandbox_connections["mirakl_connect_default"]
            connection["extra"]["interval_factor"] = factor
            monkeypatch.setenv("AIRFLOW_CONN_MIRAKL_CONNECT_DEFAULT", json.dumps(connection))
        options = {"wait_for_completion": False, "deferrable": deferrable} | options
        task = worker(lambda: MiraklConnectRefundOrdersOperator(task_id="task", source=rows, **options))
        fire = task.fire

        def passing(trigger: Any) -> Any:
            trigger.moment = trigger.first = time.time()
            PACER.forget()
            return fire(trigger)

        task.fire = passing
        return task

    return make


anywhere = pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "triggerer"])


def moments(task: Any) -> list[dict[str, Any]]:
    return [arguments["state"] for path, arguments in task.deferrals if path == MOMENT]


@anywhere
def test_every_order_gets_its_action_once(refund: Any, mirakl_sandbox: Sandbox, deferrable: bool) -> None:
    rows = refunds(mirakl_sandbox, 250)
    task = refund(rows, deferrable=deferrable)
    result = task.run()
    assert len(set(result["action_ids"])) == len(rows) == 250
    assert len(mirakl_sandbox.journal(REFUND)) == 250
    assert len(mirakl_sandbox.journal(LISTING)) == 3
    counts = {state["count"] for state in moments(task)}
    assert counts == ({100, 200} if deferrable else set())
    assert rows[0]["order_id"] not in repr(task.deferrals), "no row is stored in a trigger"


@anywhere
def test_a_refusal_by_mirakl_is_waited_for(refund: Any, mirakl_sandbox: Sandbox, deferrable: bool) -> None:
    mirakl_sandbox.fault("throttle", LISTING, retry_after="1", times=3)
    task = refund(refunds(mirakl_sandbox, 2), deferrable=deferrable)
    assert len(task.run()["action_ids"]) == 2
    assert bool(moments(task)) is deferrable


@anywhere
@pytest.mark.parametrize("refused", [LISTING, REFUND])
def test_a_refusal_without_end_ends(
    refund: Any, mirakl_sandbox: Sandbox, deferrable: bool, refused: str
) -> None:
    mirakl_sandbox.fault("throttle", refused, retry_after="1", times=1_000)
    task = refund(refunds(mirakl_sandbox, 2), timeout=3, deferrable=deferrable)
    with pytest.raises(MiraklRateLimitError):
        task.run()
    assert {call["status"] for call in mirakl_sandbox.journal(REFUND)} <= {429}


def test_an_action_that_mirakl_refuses_as_too_early_leaves_the_worker(
    refund: Any, mirakl_sandbox: Sandbox, tmp_path: Path
) -> None:
    mirakl_sandbox.fault("throttle", REFUND, retry_after="20", skip=1, times=1)
    task = refund(refunds(mirakl_sandbox, 3), deferrable=True)
    began = time.monotonic()
    result = task.run()
    assert [state["count"] for state in moments(task)] == [1], "the refused action is not noted as sent"
    assert time.monotonic() - began < 15
    assert [call["status"] for call in mirakl_sandbox.journal(REFUND)] == [202, 429, 202, 202]
    (book,) = (tmp_path / "work").rglob("actions.json")
    entries = BOOK.at(book.parent).read().entries
    assert [entry.action_id for entry in entries.values()] == result["action_ids"]
    assert len(set(result["action_ids"])) == 3


def test_a_conversation_that_may_not_be_read_yet_leaves_the_worker(
    worker: Any, mirakl_sandbox: Sandbox, mirakl_sandbox_connections: object
) -> None:
    (order_id,) = mirakl_sandbox.place_orders(1)
    rows: list[dict[str, Any]] = [{"order_id": order_id, "topic": "Delay", "body": "Late"}]
    options: dict[str, Any] = {"task_id": "task", "deferrable": True, "wait_for_completion": False}
    worker(lambda: MiraklConnectCreateConversationsOperator(source=rows, **options), run_id="first").run()
    mirakl_sandbox.advance(60)
    with MiraklConnectHook().get_conn() as client:
        ((conversation, *_), *_) = [
            page.items
            for page in client.pages(list_conversations(updated_from=datetime(2000, 1, 1, tzinfo=UTC)))
        ]
    answers = [{"conversation_id": conversation["id"], "body": "Sent today"}]
    mirakl_sandbox.fault("throttle", "getConversationMessages", retry_after="2", times=1)
    task = worker(lambda: MiraklConnectAnswerConversationsOperator(source=answers, **options))
    assert len(task.run()["action_ids"]) == 1
    assert len(moments(task)) == 1


@anywhere
def test_what_mirakl_was_too_busy_for_is_sent_by_a_retry_that_must_wait(
    refund: Any, mirakl_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, deferrable: bool
) -> None:
    step, left = orders.STEPS["refund"], [1]

    def busy(*args: Any, **more: Any) -> Any:
        if left:
            left.pop()
            raise orders.RefusedError("UNAVAILABLE", "Try again later.")
        return step(*args, **more)

    monkeypatch.setitem(orders.STEPS, "refund", busy)
    rows = refunds(mirakl_sandbox, 2)
    task = refund(rows, deferrable=deferrable, wait_for_completion=True)
    with pytest.raises(MiraklItemsFailedError):
        task.run()
    task.ti.try_number += 1
    mirakl_sandbox.fault("throttle", LISTING, retry_after="1", times=1)
    assert task.run()["succeeded"] == 2
    assert len(mirakl_sandbox.journal(REFUND)) == 3


def test_a_plan_that_is_lost_during_a_wait_is_made_again(
    refund: Any, mirakl_sandbox: Sandbox, tmp_path: Any
) -> None:
    """As on another machine, where Airflow has the notes."""
    task = refund(refunds(mirakl_sandbox, 150), deferrable=True)
    task.meanwhile = lambda: [path.unlink() for path in (tmp_path / "work").rglob("actions.ndjson")]
    assert len(set(task.run()["action_ids"])) == len(mirakl_sandbox.journal(REFUND)) == 150


def test_notes_that_are_lost_during_a_wait_stop_the_task(
    refund: Any, mirakl_sandbox: Sandbox, tmp_path: Any
) -> None:
    task = refund(refunds(mirakl_sandbox, 150), deferrable=True)
    task.meanwhile = lambda: [path.unlink() for path in (tmp_path / "work").rglob("actions.*")]
    with pytest.raises(MiraklUnclearSubmissionError, match=r"its notes in .* are missing"):
        task.run()
    assert len(mirakl_sandbox.journal(REFUND)) == 100


@pytest.fixture
def on_disks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``on_disks(task, "AB")``: each stay of the task in a worker finds the work folder of another disk."""

    def place(task: Any, disks: str) -> Any:
        make, stays = task.make, iter(disks)

        def start() -> Any:
            monkeypatch.setenv("AIRFLOW__MIRAKL__WORK_FOLDER", str(tmp_path / next(stays)))
            return make()

        task.make = start
        return task

    return place


lost = partial(
    pytest.raises, MiraklUnclearSubmissionError, match=r"its notes in .* are missing or out of date"
)


def test_an_empty_book_on_the_disk_that_a_task_left_is_not_started_again(
    refund: Any, on_disks: Any, mirakl_sandbox: Sandbox
) -> None:
    """Two books, each unaware of what the other one has sent, would send the same refunds twice."""
    mirakl_sandbox.fault("throttle", LISTING, retry_after="60", times=1)
    task = on_disks(refund(refunds(mirakl_sandbox, 150), deferrable=True), "ABAA")
    with lost():
        task.run()
    assert [state["count"] for state in moments(task)] == [0]
    assert not mirakl_sandbox.journal(REFUND)
    task.ti.try_number += 1  # on the disk of the only book
    assert len(set(task.run()["action_ids"])) == len(mirakl_sandbox.journal(REFUND))


@pytest.mark.parametrize(
    ("number", "factor"), [(150, 1), (3, 0.0001)], ids=["while it sends", "while it waits for the end"]
)
def test_a_book_that_another_disk_has_overtaken_stops_the_task(
    refund: Any, on_disks: Any, mirakl_sandbox: Sandbox, number: int, factor: float
) -> None:
    """``resend`` lets a try begin without the book of the previous one, and so there may be two."""
    rows, options = refunds(mirakl_sandbox, number), {"wait_for_completion": True, "on_unclear": "resend"}
    mirakl_sandbox.fault("throttle", LISTING, retry_after="60", times=1)
    task = on_disks(refund(rows, deferrable=True, factor=factor, **options), "ABCA")
    with lost():  # an empty book stays on A
        task.run()
    mirakl_sandbox.world.settings.action_seconds = 1e6  # the first poll finds them running
    task.meanwhile = lambda: mirakl_sandbox.advance(2e6)
    task.ti.try_number += 1
    with lost():
        task.run()
    assert len(mirakl_sandbox.journal(REFUND)) == min(number, 100)


def test_actions_that_need_no_reading_do_not_wait(
    worker: Any, mirakl_sandbox: Sandbox, mirakl_sandbox_connections: object
) -> None:
    placed = mirakl_sandbox.place_orders(150)
    shown = mirakl_sandbox.orders()
    rows = [
        {"order_id": order_id, "order_line_id": line["id"]}
        for order_id in placed
        for line in shown[order_id]["order_lines"]
    ]
    task = worker(
        lambda: MiraklConnectAcceptOrdersOperator(
            task_id="task", source=rows, deferrable=True, wait_for_completion=False
        )
    )
    assert len(task.run()["action_ids"]) == 150
    assert not task.deferrals
    assert not mirakl_sandbox.journal(LISTING)


@pytest.mark.parametrize("status", [400, 404])
def test_what_mirakl_refuses_at_once_has_failed_although_the_task_does_not_wait(
    worker: Any, mirakl_sandbox: Sandbox, mirakl_sandbox_connections: object, status: int
) -> None:
    placed = mirakl_sandbox.place_orders(2)
    shown = mirakl_sandbox.orders()
    rows = [
        {"order_id": order_id, "order_line_id": shown[order_id]["order_lines"][0]["id"]}
        for order_id in placed
    ]
    mirakl_sandbox.fault("status", "v2-acceptOrderLines", status=status, skip=1, times=1)
    options: dict[str, Any] = {"task_id": "task", "source": rows, "wait_for_completion": False}
    task = worker(lambda: MiraklConnectAcceptOrdersOperator(**options))
    with pytest.raises(MiraklItemsFailedError, match="1 of 2 items failed; 0 are allowed"):
        task.run()
    (action_id,) = task.pushed["action_ids"]
    assert task.pushed["return_value"]["action_ids"] == [action_id]

    options["max_failed_ratio"] = 0.5
    task.ti.try_number += 1
    result = task.run()
    counts = [result[name] for name in ("sent", "succeeded", "failed", "unknown")]
    assert counts == [2, 0, 1, 1]
    (path,) = result["rows"]
    first, second = [json.loads(line) for line in Path(path).read_text().splitlines()]
    assert (first["status"], first["message"]) == ("unknown", f"action {action_id} was not waited for")
    assert (second["status"], second["code"]) == ("failed", str(status))
    assert len(mirakl_sandbox.journal("v2-acceptOrderLines")) == 2, "a retry sends neither again"


def test_the_log_says_how_to_send_what_failed(
    refund: Any, mirakl_sandbox: Sandbox, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """A cleared task would send nothing again: it keeps its plan."""
    mirakl_sandbox.fault("fail_job", REFUND, times=1)
    with pytest.raises(MiraklItemsFailedError):
        refund(refunds(mirakl_sandbox, 1), deferrable=False, wait_for_completion=True).run()
    assert "in another Dag run" in caplog.text + capsys.readouterr().out  # Airflow 3 prints, Airflow 2 logs
