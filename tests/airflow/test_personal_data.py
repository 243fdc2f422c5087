"""What names a customer reaches the target, and nothing else: no log, XCom, rendered field, trigger, event or error.

Every operator on orders runs against replies that are full of a marked name: once as it should, then against replies
that cannot be read. Afterwards the mark is looked for in everything that Airflow has kept or said.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.sandbox import Sandbox

pytestmark = [pytest.mark.airflow, pytest.mark.matrix, pytest.mark.slow]

MARK = "Zyxwvutsson"
PERSON = {
    "first_name": MARK, "last_name": MARK, "company": MARK, "street": f"{MARK} street 1", "city": MARK,
    "zip_code": MARK, "country": "SWE", "country_iso_code": "SWE", "phone": MARK,
}  # fmt: skip
MARKED = {
    "billing_info": {"address": PERSON},
    "shipping_info": {"email": f"{MARK}@example.com", "address": PERSON},
}
DAG = """
import pendulum
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_mirakl.operators.connect_conversations import *
from airflow_provider_mirakl.operators.connect_order_documents import *
from airflow_provider_mirakl.operators.connect_orders import *
from airflow_provider_mirakl.operators.connect_returns import *
from airflow_provider_mirakl.operators.extract import MiraklExtractOperator
from airflow_provider_mirakl.operators.orders import MiraklExportOrdersOperator
from airflow_provider_mirakl.sensors.connect_orders import MiraklConnectOrdersSensor

with DAG("personal", schedule=None, start_date=pendulum.datetime(2026, 1, 1), catchup=False):
    SINCE = "2020-01-01T00:00:00Z"
{tasks}
"""


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Sandbox]:
    monkeypatch.setenv("AIRFLOW__MIRAKL__WORK_FOLDER", str(tmp_path / "work"))
    settings: dict[str, Any] = {"action_seconds": 0, "queue_seconds": 0, "run_seconds": 0}
    with Sandbox(clock="stepped", limits="off", **settings) as server:
        extra = {"interval_factor": 0.00001}
        for name, connection in {
            "MIRAKL_CONNECT_DEFAULT": {
                "conn_type": "mirakl_connect",
                "host": server.connect_url,
                "login": "sandbox-client",
                "password": "sandbox-secret",
                "extra": {"token_url": server.token_url, **extra},
            },
            "MIRAKL_DEFAULT": {
                "conn_type": "mirakl",
                "host": server.mirakl_url,
                "password": "sandbox-shop-key",
                "extra": extra,
            },
        }.items():
            monkeypatch.setenv(f"AIRFLOW_CONN_{name}", json.dumps(connection))
        yield server


def marked(world: Any) -> None:
    """Names wherever Mirakl has them, first in each row, so that a reply that is cut begins with them."""
    (book,) = world.orders.books.values()
    for table in book.tables().values():
        for key, row in table.rows.items():
            named: dict[str, Any] = MARKED if table is book.orders else {}
            if table is book.returns:
                named = {"address": PERSON, "label_url": f"https://label.example/{MARK}"}
            if table is book.conversations:
                named = {
                    "participants": [{"type": "CUSTOMER", "name": MARK}],
                    "topic": {"type": "FREE_TEXT", "value": MARK},
                }
                for message in row["_messages"]:
                    message["body"] = message["sender"]["name"] = MARK
            table.rows[key] = {**named, **{name: row[name] for name in row if name not in named}}


def rows(sandbox: Sandbox, order_ids: list[str], *, money: bool = False) -> list[dict[str, Any]]:
    amounts = {"price": 1, "shipping_price": 0, "currency": "EUR", "reason": "DEFECT"}
    return [
        {"order_id": order_id, "order_line_id": line["id"]} | ({"quantity": 1} | amounts if money else {})
        for order_id in order_ids
        for line in sandbox.orders()[order_id]["order_lines"]
    ]


def operators(sandbox: Sandbox, tmp_path: Path) -> dict[str, str]:
    """Every operator on orders, as a Dag file has it, with what it acts on."""
    from airflow_provider_mirakl.api.call import Part
    from airflow_provider_mirakl.api.conversations import create_conversation
    from airflow_provider_mirakl.api.orders import upload_order_document
    from airflow_provider_mirakl.hooks.mirakl_connect import MiraklConnectHook

    waiting, ready, shipped = (
        sandbox.place_orders(2, status=status, **MARKED)
        for status in ("AWAITING_ACCEPTANCE", "AWAITING_SHIPMENT", "SHIPPED")
    )
    returns = [sandbox.request_return(order_id) for order_id in shipped]
    with MiraklConnectHook().get_conn() as client:
        files = [Part("files", b"photo", file_name=f"{MARK}.png")]
        client.send(create_conversation(waiting[0], topic=MARK, body=MARK, files=files))
        document = {"file_name": f"{MARK}.pdf", "type": "CUSTOMER_INVOICE"}
        client.send(upload_order_document(waiting[0], b"%PDF", **document))
        client.send(create_conversation(waiting[1], topic="ours", body="ours"))
    sandbox.advance(1)
    sandbox.call(marked)
    persons = {"firstname": MARK, "lastname": MARK, "street_1": MARK, "city": MARK}
    customer = {"customer_id": MARK, **persons, "billing_address": persons, "shipping_address": persons}
    sandbox.add_marketplace_rows("orders", 2, customer=customer, customer_notification_email=MARK)
    file = tmp_path / "invoice.pdf"
    file.write_bytes(b"%PDF")
    ship = [{**row, "quantity": 1, "carrier": "UPS"} for row in rows(sandbox, ready[:1])]
    deferred = ", deferrable=True"
    return {
        "orders": f"MiraklConnectExtractOrdersOperator(target={str(tmp_path / 'lake')!r}, max_failures=0{deferred}",
        "orders_flat": "MiraklConnectExtractOrdersOperator("
        f"target={str(tmp_path / 'flat')!r}, max_failures=0, layout='flat', format='parquet'",
        "returns": f"MiraklConnectExtractReturnsOperator(target={str(tmp_path / 'lake')!r}, max_failures=0",
        "conversations": "MiraklConnectExtractConversationsOperator("
        f"target={str(tmp_path / 'lake')!r}, messages=True, max_failures=0",
        "accept": f"MiraklConnectAcceptOrdersOperator(source={rows(sandbox, waiting)!r}{deferred}",
        "ship": f"MiraklConnectShipOrdersOperator(source={ship!r}",
        "cancel": f"MiraklConnectCancelOrdersOperator(source={rows(sandbox, ready[1:], money=True)!r}",
        "refund": f"MiraklConnectRefundOrdersOperator(source={rows(sandbox, shipped, money=True)!r}",
        "accept_returns": f"MiraklConnectAcceptReturnsOperator(source={[{'return_id': r} for r in returns]!r}",
        "track": f"MiraklConnectTrackReturnsOperator(source=[{{'return_id': {returns[0]!r}, 'carrier': 'UPS'}}]",
        "receive": f"MiraklConnectReceiveReturnsOperator(source=[{{'return_id': {returns[0]!r}}}]",
        "close": f"MiraklConnectCloseReturnsOperator(source=[{{'return_id': {returns[0]!r}}}]",
        "talk": f"MiraklConnectCreateConversationsOperator("
        f"source=[{{'order_id': {shipped[0]!r}, 'topic': 'ours', 'body': 'ours'}}]",
        "answer": "MiraklConnectAnswerConversationsOperator("
        "source=[{'conversation_id': 'conv-000001', 'body': 'ours'}]",
        "attachments": "MiraklConnectDownloadAttachmentsOperator("
        f"target={str(tmp_path / 'attachments')!r}, updated_from=SINCE",
        "documents": f"MiraklConnectDownloadOrderDocumentsOperator(target={str(tmp_path / 'documents')!r}",
        "upload": "MiraklConnectUploadOrderDocumentsOperator("
        f"source=[{{'order_id': {ready[0]!r}, 'path': {str(file)!r}, 'type': 'CUSTOMER_INVOICE'}}]",
        "report": "MiraklConnectReportOrderActionsOperator("
        f"source=[{{'order_id': {ready[0]!r}, 'status': 'SUCCESS'}}]",
        "sensor": f"MiraklConnectOrdersSensor(statuses=['SHIPPED'], timeout=1{deferred}",
        "marketplace": f"MiraklExtractOperator(operation='OR11', target={str(tmp_path / 'market')!r}, max_failures=0",
        "export": f"MiraklExportOrdersOperator(target={str(tmp_path / 'export.ndjson')!r}{deferred}",
        "export_table": f"MiraklExportOrdersOperator(target={str(tmp_path / 'export.parquet')!r}",
    }


def source(tasks: dict[str, str], suffix: str) -> str:
    lines = [f"    {name} = {call}, task_id={f'{name}{suffix}'!r})" for name, call in tasks.items()]
    if "close" in tasks:
        lines.append("    accept_returns >> track >> receive >> close")
    return DAG.format(tasks="\n".join(lines))


def test_a_name_reaches_the_target_and_nothing_else(
    run_dag: Any,
    airflow_db: Path,
    sandbox: Sandbox,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("pyarrow", reason="needs pyarrow: make venv installs it")
    caplog.set_level(logging.DEBUG)
    tasks = operators(sandbox, tmp_path)
    run = run_dag(source(tasks, ""))
    assert {name for name, state in run.tasks.items() if state != "success"} == set()
    said = [json.dumps([*run.xcoms.values()], default=str)]
    for place in ("lake/orders", "lake/returns", "lake/conversations", "flat/orders", "market/orders"):
        (file,) = (path for path in (tmp_path / place).rglob("*") if path.is_file())
        assert MARK.encode() in file.read_bytes(), f"{place}: the test would see nothing"

    # Every reading again, of replies that cannot be read. Writes have done what they should.
    reads = {
        name: call
        for name, call in tasks.items()
        if name
        in (
            "orders",
            "returns",
            "conversations",
            "attachments",
            "documents",
            "sensor",
            "marketplace",
            "export",
        )
        or name in ("refund", "talk", "answer")  # these read before they write
    }
    for kind in ("broken_json", "html_body"):
        for code in ("v2-list*", "list*", "get*", "download*", "v2-download*", "OR1[15]"):
            sandbox.fault(kind, operation=code, method="GET", times=None)
        run = run_dag(source(reads, f"_{kind}"))
        failed = {name for name, state in run.tasks.items() if state == "failed"}
        assert len(failed) > 8, run.tasks
        said.append(json.dumps([*run.xcoms.values()], default=str))
        sandbox.call(lambda world: world.faults.clear())

    output = capfd.readouterr()
    for text in (*said, caplog.text, output.out, output.err):
        assert MARK not in text
    assert "v2-listOrders" in caplog.text + output.out + output.err
    # Rendered fields, XCom, asset events, triggers, logs: whatever Airflow keeps, it keeps here.
    for file in (path for path in airflow_db.rglob("*") if path.is_file()):
        assert MARK.encode() not in file.read_bytes(), file
    for file in (path for path in (tmp_path / "work").rglob("*") if path.is_file()):
        assert MARK.encode() not in file.read_bytes(), file
