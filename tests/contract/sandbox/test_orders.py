"""Orders, returns and conversations of the sandbox: replies as Mirakl's document has them, and what each step does."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_mirakl.sandbox import Sandbox

sys.path.insert(0, str(Path(__file__).parent))
from test_replies import Book

Client = Callable[[str], httpx.Client]
SINCE = {"updated_from": "2020-01-01T00:00:00Z"}


@pytest.fixture
def book(client: Client) -> Book:
    return Book("connect", client("connect"))


def euros(amount: float) -> dict[str, Any]:
    return {"amount": amount, "currency": "EUR"}


def act(sandbox: Sandbox, book: Book, code: str, method: str, path: str, **request: Any) -> dict[str, Any]:
    """Ask for an action, and see it pending and ended."""
    action_id = book.call(code, method, path, **request).json()["action_id"]
    status = f"/api/v2/orders/actions/{action_id}"
    assert book.call("v2-getActionStatus", "GET", status).json()["status"] == "PENDING"
    sandbox.advance(20)
    book.call("v2-getOrderTracking", "GET", f"/api/v2/orders/tracking/{action_id}")
    return dict(book.call("v2-getActionStatus", "GET", status).json())


def test_listing(sandbox: Sandbox, book: Book) -> None:
    ids = []
    for _ in range(25):
        ids += sandbox.place_orders()
        sandbox.advance(1)
    first = book.call("v2-listOrders", "GET", "/api/v2/orders").json()
    assert [row["id"] for row in first["data"]] == ids[:-11:-1]
    sandbox.change_order(ids[0])
    second = book.call(
        "v2-listOrders", "GET", "/api/v2/orders", params={"page_token": first["next_page_token"]}
    )
    assert [row["id"] for row in second.json()["data"]] == ids[-11:-21:-1]
    assert {"next_page_token", "previous_page_token"} <= second.json().keys()
    filters = {"statuses": ["SHIPPED", "CLOSED"], "limit": 100}
    assert book.call("v2-listOrders", "GET", "/api/v2/orders", params=filters).json()["data"] == []
    some = book.call("v2-listOrders", "GET", "/api/v2/orders", params={"order_ids": ids[3:5]}).json()["data"]
    assert {row["id"] for row in some} == set(ids[3:5])
    since = sandbox.orders()[ids[20]]["updated_at"]
    late = book.call("v2-listOrders", "GET", "/api/v2/orders", params={"updated_from": since}).json()["data"]
    assert {row["id"] for row in late} == {ids[0], *ids[20:]}


def test_the_last_thirty_days(sandbox: Sandbox, book: Book) -> None:
    (old,) = sandbox.place_orders()
    sandbox.advance(31 * 86400)
    (new,) = sandbox.place_orders()
    # The token has expired meanwhile.
    form = {
        "grant_type": "client_credentials",
        "client_id": "sandbox-client",
        "client_secret": "sandbox-secret",
    }
    token = httpx.post(sandbox.token_url, data=form).json()["access_token"]
    book.client.headers["Authorization"] = f"Bearer {token}"
    assert [row["id"] for row in book.call("v2-listOrders", "GET", "/api/v2/orders").json()["data"]] == [new]
    rows = book.call("v2-listOrders", "GET", "/api/v2/orders", params=SINCE).json()["data"]
    assert [row["id"] for row in rows] == [new, old]


def test_the_life_of_an_order(sandbox: Sandbox, book: Book) -> None:
    (order_id,) = sandbox.place_orders()
    lines = sandbox.orders()[order_id]["order_lines"]
    path = f"/api/v2/orders/{order_id}"
    accepted = {"order_lines": [{"id": line["id"], "accepted": True} for line in lines]}
    done = act(sandbox, book, "v2-acceptOrderLines", "PUT", f"{path}/accept", json=accepted)
    assert done["status"] == "SUCCESS"
    assert sandbox.orders()[order_id]["status"] == "AWAITING_SHIPMENT"
    again = act(sandbox, book, "v2-acceptOrderLines", "PUT", f"{path}/accept", json=accepted)
    assert (again["status"], again["errors"][0]["code"]) == ("FAILED", "ORDER_IN_WRONG_STATE")

    line = lines[0]
    items = [{"order_line_id": one["id"], "quantity": one["quantity"]} for one in lines]
    refused = [
        ([{"order_line_id": "nothing", "quantity": 1}], "DATA_NOT_FOUND"),
        ([{"order_line_id": line["id"], "quantity": line["quantity"] + 1}], "INVALID_INPUT"),
    ]
    for wrong, code in refused:
        failed = act(sandbox, book, "v2-createShipment", "POST", f"{path}/shipments", json={"items": wrong})
        assert failed["errors"][0]["code"] == code
    shipped = {"items": items, "carrier": "UPS", "tracking_number": "1Z"}
    assert (
        act(sandbox, book, "v2-createShipment", "POST", f"{path}/shipments", json=shipped)["status"]
        == "SUCCESS"
    )
    assert sandbox.orders()[order_id]["status"] == "SHIPPED"

    refund = {
        "order_line_id": line["id"], "quantity": line["quantity"], "price": line["price"],
        "shipping_price": euros(0), "reason": "DEFECT",
    }  # fmt: skip
    cancel = act(
        sandbox, book, "v2-cancelOrderLines", "POST", f"{path}/cancel", json={"cancelations": [refund]}
    )
    assert cancel["errors"][0]["code"] == "ORDER_IN_WRONG_STATE"
    much = {**refund, "price": euros(line["price"]["amount"] + 0.01)}
    failed = act(sandbox, book, "v2-refundOrderLines", "POST", f"{path}/refund", json={"refunds": [much]})
    assert failed["errors"][0]["code"] == "INVALID_INPUT"
    done = act(sandbox, book, "v2-refundOrderLines", "POST", f"{path}/refund", json={"refunds": [refund]})
    assert done["status"] == "SUCCESS"
    (row,) = book.call("v2-listOrders", "GET", "/api/v2/orders", params={"order_ids": order_id}).json()[
        "data"
    ]
    assert (row["order_lines"][0]["status"], row["order_lines"][0]["status_reason"]) == ("CLOSED", "REFUNDED")
    assert [entry["type"] for entry in row["order_lines"][0]["adjustments"]] == ["REFUND"]


def test_cancel_a_part(sandbox: Sandbox, book: Book) -> None:
    (order_id,) = sandbox.place_orders(status="AWAITING_SHIPMENT")
    line = sandbox.orders()[order_id]["order_lines"][0]
    cancelation = {
        "order_line_id": line["id"], "quantity": line["quantity"], "price": line["price"],
        "shipping_price": euros(0), "reason": "OUT_OF_STOCK",
    }  # fmt: skip
    path = f"/api/v2/orders/{order_id}/cancel"
    done = act(sandbox, book, "v2-cancelOrderLines", "POST", path, json={"cancelations": [cancelation]})
    assert done["status"] == "SUCCESS"
    after = sandbox.orders()[order_id]["order_lines"][0]
    assert (after["status"], after["quantity"], after["price"]["amount"]) == ("CLOSED", 0, 0)
    book.call("v2-listOrders", "GET", "/api/v2/orders")


def test_refused_at_once(sandbox: Sandbox, client: Client) -> None:
    connect = client("connect")
    (order_id,) = sandbox.place_orders()
    assert connect.put("/api/v2/orders/nothing/accept", json={"order_lines": []}).status_code == 404
    assert connect.put(f"/api/v2/orders/{order_id}/accept", json={"order_lines": []}).status_code == 400
    assert connect.get("/api/v2/orders/actions/nothing").status_code == 404
    assert connect.get("/api/v2/orders", params={"statuses": "SOLD"}).status_code == 400
    assert connect.get("/api/v2/orders", params={"limit": 101}).status_code == 400
    assert connect.get("/api/v2/orders/returns").status_code == 400
    assert connect.get("/api/conversations").status_code == 400
    assert connect.get(f"/api/v2/orders/{order_id}/documents").status_code == 404


def test_returns(sandbox: Sandbox, book: Book) -> None:
    (order_id, other) = sandbox.place_orders(2, status="DELIVERED")
    return_id, refused = sandbox.request_return(order_id), sandbox.request_return(other)
    book.call("v2-listReturns", "GET", "/api/v2/orders/returns", params=SINCE)
    path = f"/api/v2/orders/returns/{return_id}"
    early = act(sandbox, book, "v2-acknowledgeReturnReception", "PUT", f"{path}/receive")
    assert early["errors"][0]["code"] == "RETURN_IN_WRONG_STATE"
    act(sandbox, book, "v2-acceptReturn", "PUT", f"{path}/accept", json={"accepted": True})
    no = {"accepted": False, "rejection_reason": "FINAL_SALES"}
    act(sandbox, book, "v2-acceptReturn", "PUT", f"/api/v2/orders/returns/{refused}/accept", json=no)
    tracking = {"tracking": {"carrier": "UPS", "tracking_number": "1Z"}, "rma_id": "RMA-1"}
    act(sandbox, book, "v2-updateReturnTrackingInformation", "PUT", f"{path}/trackings", json=tracking)
    assert sandbox.returns()[return_id]["tracking"]["carrier_name"] == "UPS"
    act(sandbox, book, "v2-acknowledgeReturnReception", "PUT", f"{path}/receive")
    act(sandbox, book, "v2-closeReturn", "PUT", f"{path}/close")
    rows = book.call("v2-listReturns", "GET", "/api/v2/orders/returns", params=SINCE).json()["data"]
    assert {row["id"]: row["status"] for row in rows} == {return_id: "CLOSED", refused: "REQUEST_DECLINED"}


def test_documents(sandbox: Sandbox, book: Book) -> None:
    (order_id,) = sandbox.place_orders()
    path = f"/api/v2/orders/{order_id}/documents"
    for _ in range(2):
        metadata = {"filename": "invoice.pdf", "type": "CUSTOMER_INVOICE"}
        files = {"metadata": (None, json.dumps(metadata), "application/json"), "file": ("x.pdf", b"%PDF")}
        done = act(sandbox, book, "v2-uploadOrderDocument", "POST", path, files=files)
        assert done["status"] == "SUCCESS"
    rows = book.call("v2-listOrderDocuments", "GET", "/api/v2/orders/documents").json()["documents"]
    assert [row["size_in_bytes"] for row in rows] == [4, 4]
    # A client that asks for JSON with every call gets its files all the same.
    answer = book.call("v2-downloadOrderDocuments", "GET", path, headers={"Accept": "application/json"})
    assert zipfile.ZipFile(io.BytesIO(answer.content)).namelist() == ["invoice.pdf", "invoice(1).pdf"]


def test_conversations(sandbox: Sandbox, book: Book) -> None:
    (order_id,) = sandbox.place_orders()
    conversation = {
        "entity": {"type": "ORDER", "id": order_id},
        "topic": {"type": "FREE_TEXT", "value": "Delay"},
        "first_message": {"body": "Hello"},
    }
    files = {"conversation": (None, json.dumps(conversation), "application/json"), "files": ("a.txt", b"x")}
    begun = book.call("createConversation", "POST", "/api/conversations", files=files).json()["action_id"]
    sandbox.advance(20)
    status = book.call("getConversationActionStatus", "GET", f"/api/conversations/actions/{begun}").json()
    path = f"/api/conversations/{status['conversation_id']}"
    message = {"message_input": (None, json.dumps({"body": "More"}), "application/json")}
    book.call("createMessage", "POST", f"{path}/messages", files=message)
    sandbox.advance(20)
    book.call("listConversations", "GET", "/api/conversations", params=SINCE)
    messages = book.call("getConversationMessages", "GET", path).json()["messages"]
    assert [message["body"] for message in messages] == ["More", "Hello"]
    answer = book.call("downloadConversationAttachments", "GET", f"{path}/attachments")
    assert len(zipfile.ZipFile(io.BytesIO(answer.content)).namelist()) == 1


def test_reported_actions(sandbox: Sandbox, book: Book) -> None:
    reported = {
        "type": "SYNCHRONIZE_ORDER", "entity_type": "ORDER", "entity_id": "o-1", "status": "FAILED",
        "executed_at": "2026-11-20T12:30:00Z", "errors": [{"code": "INVALID_PRODUCT_ID", "message": "no"}],
    }  # fmt: skip
    (kept,) = book.call(
        "v2-reportOrderActions", "POST", "/api/v2/orders/actions", json={"actions": [reported]}
    ).json()["actions"]
    status = book.call("v2-getActionStatus", "GET", f"/api/v2/orders/actions/{kept['action_id']}").json()
    assert status["errors"] == reported["errors"]


def test_faults_of_actions(sandbox: Sandbox, book: Book) -> None:
    (order_id,) = sandbox.place_orders()
    (line, *_) = sandbox.orders()[order_id]["order_lines"]
    body = {"order_lines": [{"id": line["id"], "accepted": True}]}
    path = f"/api/v2/orders/{order_id}/accept"
    sandbox.fault("fail_job", operation="v2-acceptOrderLines")
    failed = act(sandbox, book, "v2-acceptOrderLines", "PUT", path, json=body)
    assert (failed["status"], failed["errors"][0]["code"]) == ("FAILED", "UNEXPECTED")
    sandbox.fault("lost", operation="v2-acceptOrderLines")
    assert act(sandbox, book, "v2-acceptOrderLines", "PUT", path, json=body)["status"] == "PENDING"


def test_orders_arrive_as_time_passes(tmp_path: Path) -> None:
    with Sandbox(clock="stepped", limits="off", order_seconds=60, state=tmp_path / "state") as sandbox:
        sandbox.advance(600)
        before = sandbox.orders()
        assert len(before) == 10
    with Sandbox(clock="stepped", limits="off", order_seconds=60, state=tmp_path / "state") as sandbox:
        assert sandbox.orders() == before
        sandbox.advance(60)
        assert len(sandbox.orders()) == 11
        sandbox.reset()
        sandbox.advance(120)
        assert len(sandbox.orders()) == 2
