"""Accept, ship, cancel, refund and returns on a real Airflow against the sandbox. Money moves: never twice."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.files.notes import Note
from airflow_provider_mirakl.sandbox import Sandbox

pytestmark = [pytest.mark.airflow, pytest.mark.matrix]


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lead: Callable[..., None]) -> Iterator[Sandbox]:
    """An action is carried out before the next call is answered."""
    monkeypatch.setenv("AIRFLOW__MIRAKL__WORK_FOLDER", str(tmp_path / "work"))
    with Sandbox(clock="stepped", limits="off", action_seconds=0) as server:
        lead(server)
        yield server


DAG = """
from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_mirakl.operators.connect_{page} import {operator}

with DAG("change_orders", schedule=None, start_date=pendulum.datetime(2026, 1, 1), catchup=False):
    {operator}(task_id="change", source={source!r}, retry_delay=timedelta(0), {more})
"""


def dag(action: str, source: Any, more: str = "", page: str = "orders") -> str:
    operator = f"MiraklConnect{action}{page.capitalize()}Operator"
    return DAG.format(page=page, operator=operator, source=source, more=more)


def lines(sandbox: Sandbox, order_ids: list[str]) -> list[dict[str, Any]]:
    orders = sandbox.orders()
    return [
        {"order_id": order_id, "order_line_id": line["id"]}
        for order_id in order_ids
        for line in orders[order_id]["order_lines"]
    ]


def refunds(sandbox: Sandbox, order_ids: list[str]) -> list[dict[str, Any]]:
    orders = sandbox.orders()
    return [
        {
            "order_id": order_id, "order_line_id": line["id"], "quantity": line["quantity"],
            "price": line["price"]["amount"], "shipping_price": 0, "currency": "EUR", "reason": "DEFECT",
        }
        for order_id in order_ids
        for line in orders[order_id]["order_lines"]
    ]  # fmt: skip


def sent(sandbox: Sandbox, operation: str) -> int:
    return len([call for call in sandbox.journal(operation) if call["status"] in (202, 0)])


def adjustments(sandbox: Sandbox, order_id: str) -> int:
    return sum(len(line["adjustments"]) for line in sandbox.orders()[order_id]["order_lines"])


def outcome(run: Any) -> dict[str, dict[str, Any]]:
    file = Path(run.returned("change")["folder"]) / "outcome.ndjson"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    return {row["item_id"]: row for row in rows}


@pytest.mark.parametrize("deferrable", [False, True])
def test_accept(run_dag: Any, sandbox: Sandbox, deferrable: bool) -> None:
    placed = sandbox.place_orders(3)
    rows = lines(sandbox, placed)
    rows[-1]["accepted"] = False
    run = run_dag(dag("Accept", rows, f"deferrable={deferrable}"))
    assert run.state == "success"
    result = run.returned("change")
    assert (result["sent"], result["succeeded"], result["orders"]) == (len(rows), len(rows), 3)
    assert len(result["action_ids"]) == 3
    assert run.xcoms["change", "action_ids"] == result["action_ids"]
    assert {row["status"] for row in outcome(run).values()} == {"succeeded"}
    orders = sandbox.orders()
    assert {line["status"] for line in orders[placed[0]]["order_lines"]} == {"AWAITING_SHIPMENT"}
    assert orders[placed[2]]["order_lines"][-1]["status_reason"] == "REFUSED"


def test_ship_from_a_carrier_s_file(run_dag: Any, sandbox: Sandbox, tmp_path: Path) -> None:
    ready = sandbox.place_orders(2, status="AWAITING_SHIPMENT")
    (late,) = sandbox.place_orders(1)
    file = tmp_path / "carrier.csv"
    orders = sandbox.orders()
    cells = [
        f"{order_id};{line['id']};{line['quantity']};UPS;1Z{order_id}"
        for order_id in (*ready, late)
        for line in orders[order_id]["order_lines"]
    ]
    file.write_text("order_id;order_line_id;quantity;carrier;tracking_number\n" + "\n".join(cells) + "\n")
    run = run_dag(dag("Ship", str(file), "max_failed_items=None"))
    assert run.state == "success"
    assert {sandbox.orders()[order_id]["status"] for order_id in ready} == {"SHIPPED"}
    failed = {key: row["code"] for key, row in outcome(run).items() if row["status"] == "failed"}
    assert set(failed.values()) == {"ORDER_IN_WRONG_STATE"}
    assert {key.partition("/")[0] for key in failed} == {late}
    assert sent(sandbox, "v2-createShipment") == 3

    again = run_dag(dag("Ship", str(file), "retries=1"))
    assert again.state == "failed", "too many rows failed"
    assert sent(sandbox, "v2-createShipment") == 6, "a retry sends nothing again"


def test_a_refund_whose_reply_was_lost_is_found_at_the_order(run_dag: Any, sandbox: Sandbox) -> None:
    placed = sandbox.place_orders(3, status="SHIPPED")
    sandbox.fault("reset_after", operation="v2-refundOrderLines", skip=1, times=1)
    run = run_dag(dag("Refund", refunds(sandbox, placed), "retries=1"))
    assert run.state == "success"
    orders = sandbox.orders()
    assert all(adjustments(sandbox, key) == len(orders[key]["order_lines"]) for key in placed)
    assert len(sandbox.journal("v2-refundOrderLines")) == 3


@pytest.fixture
def piece(sandbox: Sandbox, request: pytest.FixtureRequest) -> dict[str, Any]:
    """A refund or a cancelation of one piece of four, which may come more than once."""
    (order_id,) = sandbox.place_orders(
        1, status={"Refund": "SHIPPED", "Cancel": "AWAITING_SHIPMENT"}[request.param]
    )
    first, *others = sandbox.orders()[order_id]["order_lines"]
    line = first | {"quantity": 4, "price": {"amount": 40, "currency": "EUR"}}
    sandbox.change_order(order_id, order_lines=[line, *others])
    return refunds(sandbox, [order_id])[0] | {"quantity": 1, "price": 10}


@pytest.mark.parametrize(
    ("piece", "action"), [("Refund", "Refund"), ("Cancel", "Cancel")], indirect=["piece"]
)
def test_an_equal_one_of_a_moment_before_is_not_taken_for_this_one(
    run_dag: Any, sandbox: Sandbox, piece: dict[str, Any], action: str
) -> None:
    operation = f"v2-{action.lower()}OrderLines"
    assert run_dag(dag(action, [piece])).state == "success"
    sandbox.fault("status", operation=operation, status=502, times=1)
    assert run_dag(dag(action, [piece], "retries=2")).state == "failed", "it was never carried out"
    assert adjustments(sandbox, piece["order_id"]) == 1
    assert len(sandbox.journal(operation)) == 2


@pytest.mark.parametrize("piece", ["Refund"], indirect=True)
def test_an_equal_one_of_another_task_is_not_taken_for_this_one(
    run_dag: Any, sandbox: Sandbox, piece: dict[str, Any]
) -> None:
    """The other task's is carried out while this one, whose call Mirakl did not accept, waits for its next try."""
    sandbox.fault("status", operation="v2-refundOrderLines", status=502, times=1)
    source = dag("Refund", [piece], "retries=1").replace("timedelta(0)", "timedelta(seconds=5)")
    task = source[source.index("    MiraklConnect") :]
    after_the_first_try = """
    class Nothing(BaseOperator):
        def execute(self, context):
            pass

    Nothing(task_id="first") >> """
    other = after_the_first_try + task.strip().replace('"change"', '"other"').replace(
        "retries=1", "retries=0"
    )
    run = run_dag(source.replace("import DAG", "import DAG, BaseOperator") + other)
    assert run.tasks == {"change": "failed", "first": "success", "other": "success"}
    assert adjustments(sandbox, piece["order_id"]) == 1
    assert len(sandbox.journal("v2-refundOrderLines")) == 2


def test_a_worker_that_dies_before_it_notes_the_id(
    run_dag: Any, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    (order_id,) = sandbox.place_orders(1, status="SHIPPED")
    write, killed = Note.write, False

    def dies(self: Any, content: Any) -> None:
        nonlocal killed
        if self.kind.file == "actions.json" and not killed:
            killed = any(entry.phase == "submitted" for entry in content.entries.values())
            if killed:
                raise RuntimeError("killed")
        write(self, content)

    monkeypatch.setattr(Note, "write", dies)
    run = run_dag(dag("Refund", refunds(sandbox, [order_id]), "retries=1"))
    assert run.state == "success"
    assert killed
    assert len(sandbox.journal("v2-refundOrderLines")) == 1


@pytest.mark.parametrize("on_unclear", ["fail", "resend"])
def test_what_no_order_shows_is_for_a_person(
    run_dag: Any, sandbox: Sandbox, read_log: Callable[[], str], on_unclear: str
) -> None:
    """Read and never carried out: from outside it looks like a refund that is still at work."""
    placed = sandbox.place_orders(2, status="SHIPPED")
    sandbox.fault("status", operation="v2-refundOrderLines", status=502, times=1)
    more = f"retries=3, on_unclear={on_unclear!r}"
    run = run_dag(dag("Refund", refunds(sandbox, placed), more))
    calls = sandbox.journal("v2-refundOrderLines")
    if on_unclear == "fail":
        assert run.state == "failed"
        assert "MiraklUnclearSubmissionError: It is not known whether Mirakl received the refund" in " ".join(
            read_log().split()
        )
        assert len(calls) == 1
        assert not any(adjustments(sandbox, key) for key in placed)
    else:
        assert run.state == "success"
        assert len(calls) == 3
        orders = sandbox.orders()
        assert all(adjustments(sandbox, key) == len(orders[key]["order_lines"]) for key in placed)


@pytest.mark.parametrize(
    ("more", "change"),
    [
        ("max_refund_amount=1", {}),
        ("max_refund_amount='{{ none }}'", {}),
        ("max_orders=1", {}),
        ("", {"price": "a lot"}),
        ("", {"price": None}),
        ("", {"reason": "MOOD"}),
        ("", {"nothing": 1}),
        ("", {"order_line_id": None}),
        ("", {"order_line_id": "twice"}),
        ("preview=True", {}),
    ],
)
def test_nothing_is_sent(run_dag: Any, sandbox: Sandbox, more: str, change: dict[str, Any]) -> None:
    rows = refunds(sandbox, sandbox.place_orders(2, status="SHIPPED"))
    rows[-1] |= change
    if change.get("order_line_id") == "twice":
        rows[-1] = dict(rows[-2])
        rows.append(dict(rows[-1]))
    run = run_dag(dag("Refund", rows, more))
    assert run.state == ("success" if "preview" in more else "failed")
    assert not sandbox.journal("v2-refundOrderLines")


@pytest.mark.parametrize("action", ["Accept", "Ship", "Refund"])
def test_a_source_without_rows_is_said(
    run_dag: Any, sandbox: Sandbox, read_log: Callable[[], str], action: str
) -> None:
    run = run_dag(dag(action, []))
    assert run.state == "success"
    assert run.returned("change")["sent"] == 0
    assert "source has no rows, so nothing is sent" in read_log()
    assert not sandbox.journal()


def test_a_sensor_of_no_actions_is_not_green(run_dag: Any, sandbox: Sandbox) -> None:
    """The ids of a task that sent nothing, and of one whose result is missing."""
    for given in ("'{{ [] }}'", "'{{ none }}'", "XComArg(empty)"):
        source = SENSOR.format(given=given)
        run = run_dag(source)
        assert run.tasks["wait"] == "failed", given
    assert not sandbox.journal()


SENSOR = """
import pendulum
from airflow.providers.common.compat.sdk import DAG, XComArg, task
from airflow_provider_mirakl.sensors.connect_orders import MiraklConnectOrderActionsSensor

with DAG("no_actions", schedule=None, start_date=pendulum.datetime(2026, 1, 1), catchup=False):
    @task(task_id="empty")
    def nothing():
        return []
    empty = nothing().operator
    empty >> MiraklConnectOrderActionsSensor(task_id="wait", action_ids={given})
"""


def test_cancel(run_dag: Any, sandbox: Sandbox) -> None:
    (order_id,) = sandbox.place_orders(1, status="AWAITING_SHIPMENT")
    run = run_dag(dag("Cancel", refunds(sandbox, [order_id])))
    assert run.state == "success"
    assert sandbox.orders()[order_id]["status"] == "CLOSED"


def test_a_refusal_is_the_row_s_outcome(run_dag: Any, sandbox: Sandbox) -> None:
    (order_id,) = sandbox.place_orders(1)
    rows = [*lines(sandbox, [order_id]), {"order_id": "unknown", "order_line_id": "x"}]
    run = run_dag(dag("Accept", rows, "max_failed_items=1"))
    assert run.state == "success"
    assert outcome(run)["unknown/x"]["code"] == "DATA_NOT_FOUND"


def test_what_mirakl_was_too_busy_for_is_sent_by_a_retry(
    run_dag: Any, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_mirakl.sandbox.systems import orders

    accept, refused = orders.STEPS["accept"], False

    def busy(*args: Any, **more: Any) -> Any:
        nonlocal refused
        if not refused:
            refused = True
            raise orders.RefusedError("UNAVAILABLE", "Try again later.")
        return accept(*args, **more)

    monkeypatch.setitem(orders.STEPS, "accept", busy)
    placed = sandbox.place_orders(2)
    run = run_dag(dag("Accept", lines(sandbox, placed), "retries=1"))
    assert run.state == "success"
    assert sent(sandbox, "v2-acceptOrderLines") == 3


def test_returns(run_dag: Any, sandbox: Sandbox) -> None:
    placed = sandbox.place_orders(2, status="DELIVERED")
    first, second = (sandbox.request_return(order_id) for order_id in placed)
    answers = [
        {"return_id": first},
        {"return_id": second, "accepted": "no", "rejection_reason": "FINAL_SALES"},
    ]
    assert run_dag(dag("Accept", answers, page="returns")).state == "success"
    way = [{"return_id": first, "carrier": "UPS", "tracking_number": "1Z"}]
    assert run_dag(dag("Track", way, page="returns")).state == "success"
    sandbox.fault("reset_after", operation="v2-acknowledgeReturnReception", times=1)
    assert run_dag(dag("Receive", [{"return_id": first}], "retries=1", page="returns")).state == "success"
    assert run_dag(dag("Close", [{"return_id": first}], page="returns")).state == "success"
    found = sandbox.returns()
    assert (found[first]["status"], found[second]["status"]) == ("CLOSED", "REQUEST_DECLINED")
    assert found[first]["tracking"]["carrier_name"] == "UPS"
    assert len(sandbox.journal("v2-acknowledgeReturnReception")) == 1
    late = run_dag(dag("Close", [{"return_id": first}], page="returns"))
    assert late.state == "failed"


def test_orders_are_read_however_long_their_interval_is(
    run_dag: Any, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = json.loads(os.environ["AIRFLOW_CONN_MIRAKL_CONNECT_DEFAULT"])
    connection["extra"] |= {"interval_factor": 0.05, "max_wait": 0}
    monkeypatch.setenv("AIRFLOW_CONN_MIRAKL_CONNECT_DEFAULT", json.dumps(connection))
    monkeypatch.setattr("airflow_provider_mirakl.actions.run.BATCH", 1)  # orders that are read at once
    placed = sandbox.place_orders(2, status="AWAITING_SHIPMENT")
    parcels = [{**line, "quantity": 1} for line in lines(sandbox, placed)]
    run = run_dag(dag("Ship", parcels, "wait_for_completion=False"))
    assert run.state == "success"
    assert len(run.returned("change")["action_ids"]) == 2
    assert len(sandbox.journal("v2-listOrders")) == 2


def test_reports_of_ones_own_system_go_on_where_they_broke_off(
    run_dag: Any, sandbox: Sandbox, tmp_path: Path
) -> None:
    file = tmp_path / "loaded.csv"
    lines = [f"o-{number},SUCCESS,," for number in range(149)] + ["o-149,FAILED,OUT_OF_STOCK,none left"]
    file.write_text("order_id,status,error_code,error_message\n" + "\n".join(lines) + "\n")
    sandbox.fault("status", operation="v2-reportOrderActions", status=400, skip=1, times=1)
    run = run_dag(
        dag("ReportOrderActions", str(file), "retries=1").replace(
            "ReportOrderActionsOrders", "ReportOrderActions"
        )
    )
    assert run.state == "success"
    result = run.returned("change")
    assert (result["reported"], len(result["action_ids"])) == (150, 150)
    accepted = [call for call in sandbox.journal("v2-reportOrderActions") if call["status"] == 200]
    assert len(accepted) == 2, "the first hundred are not sent again"
    for row in ({"status": "FAILED"}, {"status": "SUCCESS", "error_code": "OTHER"}, {"status": "MAYBE"}):
        source = dag("ReportOrderActions", [{"order_id": "o", **row}]).replace(
            "ReportOrderActionsOrders", "ReportOrderActions"
        )
        assert run_dag(source).state == "failed"
    assert len(sandbox.journal("v2-reportOrderActions")) == 3


CONVERSATIONS = """
from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_mirakl.operators.connect_conversations import MiraklConnect{action}ConversationsOperator

with DAG("talk", schedule=None, start_date=pendulum.datetime(2026, 1, 1), catchup=False):
    MiraklConnect{action}ConversationsOperator(task_id="change", source={source!r}, retry_delay=timedelta(0), {more})
"""


def talked(sandbox: Sandbox) -> dict[str, list[str]]:
    def read(world: Any) -> dict[str, list[str]]:
        (book,) = world.orders.books.values()
        return {
            key: [message["body"] for message in row["_messages"]]
            for key, row in sorted(book.conversations.rows.items())
        }

    return dict(sandbox.call(read))


def test_conversations_are_begun_and_answered_once(run_dag: Any, sandbox: Sandbox, tmp_path: Path) -> None:
    first, second = sandbox.place_orders(2)
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"\x89PNG")
    rows = [
        {"order_id": first, "topic": "Delay", "body": "Two days late", "files": str(photo)},
        {"order_id": second, "topic": "Delay", "body": "Two days late"},
    ]
    # The second reply is lost: Mirakl has taken it, and the conversation proves it.
    sandbox.fault("reset_after", operation="createConversation", skip=1, times=1)
    run = run_dag(CONVERSATIONS.format(action="Create", source=rows, more="retries=1"))
    assert run.state == "success"
    assert talked(sandbox) == {"conv-000001": ["Two days late"], "conv-000002": ["Two days late"]}
    assert len(sandbox.journal("createConversation")) == 2

    answers = [
        {"conversation_id": "conv-000001", "body": "It is there"},
        {"conversation_id": "nowhere", "body": "It is there"},
    ]
    sandbox.fault("reset_after", operation="createMessage", times=1)
    run = run_dag(CONVERSATIONS.format(action="Answer", source=answers, more="retries=1, max_failed_items=1"))
    assert run.state == "success"
    assert talked(sandbox)["conv-000001"] == ["Two days late", "It is there"]
    assert outcome(run)["nowhere"]["status"] == "failed"
    assert "It is there" not in json.dumps([*run.xcoms.values()])

    target = tmp_path / "attachments"
    source = CONVERSATIONS.replace("{action}ConversationsOperator", "DownloadAttachmentsOperator")
    source = source.replace("source={source!r}", f"target={str(target)!r}")
    download = source.format(more="updated_from='2020-01-01T00:00:00Z'")
    for stored in (1, 0):
        result = run_dag(download).returned("change")
        assert (result["succeeded"], result["stored"]) == (1, stored)
    (file,) = (path for path in target.rglob("*") if path.is_file())
    assert file.relative_to(target).parts == (
        "conv-000001", "conv-000001-m1", "conv-000001-m1-a1-photo.png",
    )  # fmt: skip
    assert file.read_bytes() == b"\x89PNG"
    assert run_dag(source.format(more="conversation_ids=['conv-000002']")).returned("change")["sent"] == 0
    assert run_dag(source.format(more="")).state == "failed", "Mirakl needs a moment or ids"


def test_a_message_that_nothing_proves_is_for_a_person(run_dag: Any, sandbox: Sandbox) -> None:
    (order_id,) = sandbox.place_orders(1)
    source = CONVERSATIONS.format(
        action="Create",
        source=[{"order_id": order_id, "topic": "Delay", "body": "Late"}],
        more="retries=2",
    )
    sandbox.fault("status", operation="createConversation", status=502, times=1)
    assert run_dag(source).state == "failed"
    assert len(sandbox.journal("createConversation")) == 1
    assert sandbox.call(
        lambda world: not any(book.conversations.rows for book in world.orders.books.values())
    )


def test_a_missing_attachment_stops_every_message(
    run_dag: Any, sandbox: Sandbox, tmp_path: Path, read_log: Callable[[], str]
) -> None:
    (tmp_path / "here.txt").write_text("here")
    rows = [
        {"order_id": order_id, "topic": "Delay", "body": "Late", "files": [str(tmp_path / name)]}
        for order_id, name in zip(sandbox.place_orders(3), ("here.txt", "gone.txt", "lost.txt"), strict=True)
    ]
    assert run_dag(CONVERSATIONS.format(action="Create", source=rows, more="")).state == "failed"
    words = " ".join(read_log().split())
    assert "gone.txt does not exist" in words
    assert "lost.txt does not exist" in words
    assert not sandbox.journal("createConversation")


def conversation_with(file: Path, sandbox: Sandbox, more: str = "") -> str:
    """A Dag that begins a conversation about a new order, with an attachment."""
    file.write_bytes(b"photo")
    (order_id,) = sandbox.place_orders(1)
    row = {"order_id": order_id, "topic": "Delay", "body": "Late", "files": [str(file)]}
    return CONVERSATIONS.format(action="Create", source=[row], more=more)


def test_an_attachment_that_vanishes_just_before_its_call_leaves_nothing_unclear(
    run_dag: Any, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "photo.jpg"
    source = conversation_with(file, sandbox)
    write = Note.write

    def vanishes(self: Any, content: Any) -> None:
        write(self, content)
        if self.kind.file == "actions.json" and content.entries:
            file.unlink(missing_ok=True)

    monkeypatch.setattr(Note, "write", vanishes)
    assert run_dag(source).state == "failed"
    assert not file.exists()
    assert not sandbox.journal("createConversation")
    (book,) = (tmp_path / "work").rglob("actions.json")
    assert json.loads(book.read_bytes())["content"]["entries"] == {}


def test_an_attachment_that_cannot_be_read_leaves_nothing_unclear(
    run_dag: Any,
    sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    read_log: Callable[[], str],
) -> None:
    """It is there, so the check before the call does not find it; nothing is sent, and the next try says so too."""
    file = tmp_path / "photo.jpg"
    source = conversation_with(file, sandbox, more="retries=1")
    opened, refused = Path.open, []

    def refuse(self: Path, *args: Any, **kwargs: Any) -> Any:
        if self == file and not refused:
            refused.append(self)
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refuse)
    assert run_dag(source).state == "success"
    assert refused
    assert "It is not known" not in " ".join(read_log().split())
    assert talked(sandbox) == {"conv-000001": ["Late"]}
