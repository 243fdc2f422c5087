"""Extracts of Mirakl Connect's orders on a real Airflow against the sandbox."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.sandbox import Sandbox

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.airflow, pytest.mark.matrix]


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lead: Callable[..., None]) -> Iterator[Sandbox]:
    monkeypatch.setenv("AIRFLOW__MIRAKL__WORK_FOLDER", str(tmp_path / "work"))
    with Sandbox(clock="stepped", limits="off") as server:
        lead(server)
        yield server


DAG = """
import pendulum
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_mirakl.operators.connect_orders import MiraklConnectExtractOrdersOperator

with DAG("extract_orders", schedule=None, start_date=pendulum.datetime(2026, 1, 1), catchup=False):
    MiraklConnectExtractOrdersOperator(task_id="extract", target={target!r}, {more})
"""


def dag(tmp_path: Path, more: str = "") -> str:
    return DAG.format(target=str(tmp_path / "lake"), more=more)


def rows(run: Any, table: str = "orders") -> list[dict[str, Any]]:
    file = run.returned("extract")["files"].get(table)
    return [] if file is None else [json.loads(line) for line in Path(file).read_text().splitlines()]


def ids(run: Any) -> list[str]:
    return [row["id"] for row in rows(run)]


def test_each_run_delivers_what_changed_since_the_previous_one(
    run_dag: Any, sandbox: Sandbox, tmp_path: Path
) -> None:
    first = sandbox.place_orders(130)
    run = run_dag(dag(tmp_path))
    assert run.state == "success"
    assert sorted(ids(run)) == first
    assert run.returned("extract")["pages"] == 2
    assert not list((tmp_path / "work").rglob("page-*"))

    assert rows(run_dag(dag(tmp_path))) == [], "the overlap is listed again and delivered once"

    sandbox.advance(5)
    second = sandbox.place_orders(3)
    sandbox.change_order(first[0], status="SHIPPED")
    run = run_dag(dag(tmp_path))
    assert sorted(ids(run)) == [first[0], *second]
    assert rows(run)[ids(run).index(first[0])]["status"] == "SHIPPED"
    assert rows(run_dag(dag(tmp_path))) == []


def test_a_change_between_two_pages_is_neither_lost_nor_doubled(
    run_dag: Any, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_mirakl.extract.work import ExtractWork

    placed = []
    for _ in range(3):
        placed += sandbox.place_orders(100)
        sandbox.advance(1)
    accept, pages = ExtractWork.accept, 0

    def disturbed(self: ExtractWork, result: Any, at: Any) -> None:
        nonlocal pages
        accept(self, result, at)
        pages += 1
        if pages == 1:  # one that was read, and one that was not
            sandbox.advance(1)
            sandbox.change_order(placed[-1], status="SHIPPED")
            sandbox.change_order(placed[0], status="SHIPPED")

    monkeypatch.setattr(ExtractWork, "accept", disturbed)
    first, second, third = (run_dag(dag(tmp_path)) for _ in range(3))
    assert sorted(ids(first)) == placed[1:]
    assert sorted(ids(second)) == [placed[0], placed[-1]]
    assert [row["status"] for row in rows(second)] == ["SHIPPED", "SHIPPED"]
    assert ids(third) == []


@pytest.mark.parametrize(("page", "moment"), [(0, "before"), (1, "after"), (2, "before")])
def test_a_kill_at_any_page_resumes(
    run_dag: Any, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: int, moment: str
) -> None:
    """Before the note of a page is written, or after it. A page that was noted is not asked for again."""
    from airflow_provider_mirakl.files.notes import Note

    placed = sandbox.place_orders(250)
    write, noted, killed = Note.write, 0, False

    def dies(self: Any, content: Any) -> None:
        nonlocal noted, killed
        if self.kind.file == "extract.json" and content.pages:
            if not killed and noted == page and moment == "before":
                killed = True
                raise RuntimeError("killed")
            write(self, content)
            noted += 1
            if not killed and noted == page + 1 and moment == "after":
                killed = True
                raise RuntimeError("killed")
            return
        write(self, content)

    monkeypatch.setattr(Note, "write", dies)
    run = run_dag(dag(tmp_path, "retries=1, retry_delay=__import__('datetime').timedelta(0)"))
    assert run.state == "success"
    assert sorted(ids(run)) == placed
    calls = [call for call in sandbox.journal("v2-listOrders") if call["status"] == 200]
    assert len(calls) == (4 if moment == "before" else 3)


def test_flat_parquet_has_the_same_columns_in_every_run(
    run_dag: Any, sandbox: Sandbox, tmp_path: Path
) -> None:
    pq = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow: make venv installs it")
    more = "format='parquet', layout='flat'"
    sandbox.place_orders(5)
    first = run_dag(dag(tmp_path, more)).returned("extract")
    sandbox.advance(1)
    (order_id,) = sandbox.place_orders(1)
    sandbox.change_order(order_id, brand_new="x", billing_info=None)
    second = run_dag(dag(tmp_path, more)).returned("extract")
    for table in ("orders", "order_lines"):
        old, new = (pq.read_table(result["files"][table]) for result in (first, second))
        assert old.schema == new.schema
    orders = pq.read_table(second["files"]["orders"]).to_pylist()
    lines = pq.read_table(second["files"]["order_lines"]).to_pylist()
    assert (orders[0]["id"], orders[0]["other"]) == (order_id, '{"brand_new":"x"}')
    known = sandbox.orders()[order_id]["order_lines"]
    assert [float(line["price_amount"]) for line in lines] == [line["price"]["amount"] for line in known]
    assert {line["order_id"] for line in lines} == {order_id}


def test_nested_parquet(run_dag: Any, sandbox: Sandbox, tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow: make venv installs it")
    (order_id,) = sandbox.place_orders(1)
    run = run_dag(dag(tmp_path, "format='parquet'"))
    (row,) = pq.read_table(run.returned("extract")["files"]["orders"]).to_pylist()
    assert row["id"] == order_id
    assert [line["product"]["id"] for line in row["order_lines"]] == [
        line["product"]["id"] for line in sandbox.orders()[order_id]["order_lines"]
    ]


def test_a_fixed_interval(run_dag: Any, sandbox: Sandbox, tmp_path: Path) -> None:
    stamps = []
    for _ in range(4):
        (order_id,) = sandbox.place_orders(1)
        stamps.append((order_id, sandbox.orders()[order_id]["updated_at"]))
        sandbox.advance(60)
    more = f"updated_from={stamps[1][1]!r}, updated_to={stamps[3][1]!r}"
    run = run_dag(dag(tmp_path, more))
    assert ids(run) == [stamps[2][0], stamps[1][0]]
    assert run.returned("extract").get("watermark") is None
    assert run_dag(dag(tmp_path, f"updated_to={stamps[0][1]!r}")).state == "failed"
    assert run_dag(dag(tmp_path, more + ", since='2026-01-01T00:00:00Z'")).state == "failed"


def test_a_watermark_that_is_gone_stops_the_task(run_dag: Any, sandbox: Sandbox, tmp_path: Path) -> None:
    """Starting over silently would deliver everything twice."""
    placed = sandbox.place_orders(3)
    assert sorted(ids(run_dag(dag(tmp_path)))) == placed
    (watermark,) = (tmp_path / "work").rglob("watermark.json")
    watermark.unlink()
    calls = len(sandbox.journal("v2-listOrders"))
    assert run_dag(dag(tmp_path)).state == "failed"
    assert len(sandbox.journal("v2-listOrders")) == calls
    assert sorted(ids(run_dag(dag(tmp_path, "on_lost_state='full'")))) == placed
    assert ids(run_dag(dag(tmp_path))) == []


def test_the_backfill_of_the_cookbook_has_no_gap_and_nothing_twice(
    run_dag: Any, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Airflow 3 a Dag with ``@daily`` would have no interval."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "cookbook.md").read_text(), re.DOTALL)
    (source,) = [block for block in blocks if '"backfill_orders"' in block]
    source = source.replace("s3://aws_default@lake/orders", str(tmp_path / "lake"))
    assert 'updated_from="{{ data_interval_start }}"' in source
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", "False")
    source = source.replace("deferrable=True,", "")

    def now() -> datetime:
        return datetime.fromisoformat(sandbox.call(lambda world: world.clock.iso(world.clock.now())))

    start, day = now().replace(hour=0, minute=0, second=0, microsecond=0), timedelta(days=1)
    placed = []
    for days in (1, 1.5, 2, 2.5, 3):
        sandbox.advance((start + day * days - now()).total_seconds())
        placed += sandbox.place_orders(1)
    first, second = (run_dag(source, logical_date=start + day * number) for number in (2, 3))
    assert (first.state, second.state) == ("success", "success")
    assert sorted(ids(first)) == placed[:2]
    assert sorted(ids(second)) == placed[2:4]


def test_personal_data_stays_in_the_files(
    run_dag: Any, sandbox: Sandbox, tmp_path: Path, read_log: Callable[[], str]
) -> None:
    sandbox.place_orders(20)
    names = {row["billing_info"]["address"]["last_name"] for row in sandbox.orders().values()}
    names |= {row["shipping_info"]["email"] for row in sandbox.orders().values()}
    names |= {row["billing_info"]["address"]["street"] for row in sandbox.orders().values()}
    run = run_dag(dag(tmp_path))
    kept = Path(run.returned("extract")["files"]["orders"]).read_text()
    assert all(name in kept for name in names)

    sandbox.advance(1)
    (last,) = sandbox.place_orders(1)

    def persons_first(world: Any) -> None:
        (book,) = world.orders.books.values()
        row = book.orders.rows[last]
        book.orders.rows[last] = {"billing_info": row["billing_info"], **row}

    sandbox.call(persons_first)
    sandbox.fault("broken_json", operation="v2-listOrders", times=1)
    broken = run_dag(dag(tmp_path))
    assert broken.state == "failed"
    dropped = run_dag(
        dag(tmp_path, "personal_data='drop', layout='flat', watermark=" + repr(str(tmp_path / "w")))
    )
    words = read_log() + json.dumps([*broken.xcoms.values(), *run.xcoms.values()])
    assert "v2-listOrders: the 200 reply is not JSON" in words
    for name in names:  # as a word: Conti is a name, and "Continue" is not
        assert not re.search(rf"\b{re.escape(name)}\b", words)
    text = Path(dropped.returned("extract")["files"]["orders"]).read_text()
    for name in names:
        assert name not in text
    for file in (tmp_path / "work").rglob("*"):
        if file.is_file():
            assert not any(name in file.read_text() for name in names), file


SENSOR = """
import pendulum
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_mirakl.sensors.connect_orders import {sensor}

with DAG("wait", schedule=None, start_date=pendulum.datetime(2026, 1, 1), catchup=False):
    {sensor}(task_id="wait", poke_interval=1, {more})
"""


@pytest.mark.parametrize("more", ["mode='poke'", "deferrable=True"])
def test_the_sensor_waits_for_orders_in_a_state(run_dag: Any, sandbox: Sandbox, more: str) -> None:
    sandbox.place_orders(2, status="SHIPPED")
    wanted = sandbox.place_orders(2)
    statuses = f"statuses='AWAITING_ACCEPTANCE', {more}"
    run = run_dag(SENSOR.format(sensor="MiraklConnectOrdersSensor", more=statuses))
    assert run.state == "success"
    assert sorted(run.returned("wait")["order_ids"]) == wanted
    late = run_dag(
        SENSOR.format(sensor="MiraklConnectOrdersSensor", more=f"{statuses}, min_orders=3, timeout=0")
    )
    assert late.state == "failed"


def test_the_sensor_of_actions(run_dag: Any, sandbox: Sandbox) -> None:
    from airflow_provider_mirakl.api.orders import accept_order_lines
    from airflow_provider_mirakl.hooks.mirakl_connect import MiraklConnectHook

    (order_id,) = sandbox.place_orders()
    lines = [{"id": line["id"], "accepted": True} for line in sandbox.orders()[order_id]["order_lines"]]
    with MiraklConnectHook().get_conn() as client:
        ids = [client.send(accept_order_lines(order_id, lines)) for _ in range(2)]
    sandbox.advance(20)
    first = SENSOR.format(sensor="MiraklConnectOrderActionsSensor", more=f"action_ids={ids[0]!r}")
    done = run_dag(first).returned("wait")
    assert (done["sent"], done["succeeded"], done["reasons"]) == (1, 1, {})
    both = SENSOR.format(sensor="MiraklConnectOrderActionsSensor", more=f"action_ids={ids!r}")
    failed = run_dag(both)
    assert failed.state == "failed"
    assert failed.returned("wait")["failed"] == 1, "the outcome is there all the same"
    allowed = both.replace("poke_interval=1", "poke_interval=1, max_failed_items=1")
    assert run_dag(allowed).returned("wait")["reasons"][ids[1]][0] == "ORDER_IN_WRONG_STATE"
    half = both.replace("poke_interval=1", "poke_interval=1, max_failed_ratio=0.5")
    assert run_dag(half).state == "success"


OTHERS = (
    DAG.replace("connect_orders", "connect_{page}")
    .replace("extract_orders", "extract_{page}")
    .replace("ExtractOrders", "Extract{name}")
)


@pytest.mark.parametrize("format_", ["ndjson", "parquet"])
def test_returns_and_conversations(run_dag: Any, sandbox: Sandbox, tmp_path: Path, format_: str) -> None:
    from airflow_provider_mirakl.api.conversations import create_conversation
    from airflow_provider_mirakl.hooks.mirakl_connect import MiraklConnectHook

    if format_ == "parquet":
        pytest.importorskip("pyarrow", reason="needs pyarrow: make venv installs it")
    (order_id,) = sandbox.place_orders(1, status="DELIVERED")
    sandbox.request_return(order_id)
    with MiraklConnectHook().get_conn() as client:
        client.send(create_conversation(order_id, topic="Delay", body="Hello"))
    sandbox.advance(20)
    for page, tables in (
        ("returns", {"returns": 1, "return_lines": len(sandbox.orders()[order_id]["order_lines"])}),
        ("conversations", {"conversations": 1}),
    ):
        source = OTHERS.format(
            page=page,
            name=page.capitalize(),
            target=str(tmp_path / "lake"),
            more=f"layout='flat', format={format_!r}",
        )
        run = run_dag(source)
        assert run.returned("extract")["items"] == tables
        assert not any(run_dag(source).returned("extract")["items"].values())


def test_messages_of_conversations(run_dag: Any, sandbox: Sandbox, tmp_path: Path) -> None:
    """Each with its conversation; a page that breaks off in the middle of its messages is read again."""
    from airflow_provider_mirakl.api.conversations import create_conversation, create_message
    from airflow_provider_mirakl.hooks.mirakl_connect import MiraklConnectHook

    placed = sandbox.place_orders(3)
    with MiraklConnectHook().get_conn() as client:
        for order_id in placed:
            client.send(create_conversation(order_id, topic="Delay", body=f"First of {order_id}"))
        sandbox.advance(20)
        client.send(create_message("conv-000002", body="Second"))
    sandbox.advance(20)
    more = "messages=True, max_failures=0, retries=1, retry_delay=__import__('datetime').timedelta(0), {more}"
    source = OTHERS.format(
        page="conversations", name="Conversations", target=str(tmp_path / "lake"), more=more
    )
    sandbox.fault("status", operation="getConversationMessages", status=400, skip=1, times=1)
    run = run_dag(source.replace("{more}", "layout='flat'"))
    assert run.state == "success"
    assert run.returned("extract")["items"] == {"conversations": 3, "messages": 4}
    bodies = sorted((row["conversation_id"], row["body"]) for row in rows(run, "messages"))
    assert bodies == [
        ("conv-000001", f"First of {placed[0]}"),
        ("conv-000002", f"First of {placed[1]}"),
        ("conv-000002", "Second"),
        ("conv-000003", f"First of {placed[2]}"),
    ]
    assert len(sandbox.journal("listConversations")) == 2
    assert run_dag(source.replace("{more}", "")).returned("extract")["items"] == {"conversations": 0}
    fresh = f"watermark={str(tmp_path / 'w')!r}, personal_data='drop'"
    nested = rows(run_dag(source.replace("{more}", fresh)), "conversations")
    assert sorted(len(row["messages"]) for row in nested) == [1, 1, 2]
    assert {name for row in nested for message in row["messages"] for name in message} == {
        "id", "channel_message_id", "visible_to_customer", "created_at", "channel_created_at",
    }  # fmt: skip


EXAMPLES = Path(__file__).parents[2] / "example_dags"


def example(name: str) -> str:
    return (EXAMPLES / name).read_text().replace('"retries": 3', '"retries": 0')


def test_the_examples(
    run_dag: Any, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow", reason="needs pyarrow: make venv installs it")
    placed = sandbox.place_orders(3, status="AWAITING_SHIPMENT")
    run = run_dag(example("mirakl_connect_orders_extract.py"), conf={"target": str(tmp_path / "lake")})
    assert run.returned("extract")["items"]["orders"] == 3

    file = tmp_path / "carrier.csv"
    cells = [
        f"{order_id};{line['id']};{line['quantity']};UPS;1Z"
        for order_id, order in sandbox.orders().items()
        for line in order["order_lines"]
    ]
    file.write_text("order_id;order_line_id;quantity;carrier;tracking_number\n" + "\n".join(cells) + "\n")
    source = example("mirakl_connect_shipments.py")
    source = source.replace("deferrable=True", "wait_for_completion=False")  # time stands still here
    shipped = run_dag(source, conf={"file": str(file)})
    assert shipped.state == "success"
    sandbox.advance(20)
    assert {order["status"] for order in sandbox.orders().values()} == {"SHIPPED"}

    # After a lost reply, the user sets a Variable and clears the task: a retry reads it just as well.
    (late,) = sandbox.place_orders(1, status="AWAITING_SHIPMENT")
    line = sandbox.orders()[late]["order_lines"][0]
    file.write_text(f"order_id;order_line_id;quantity\n{late};{line['id']};1\n")
    monkeypatch.setenv("AIRFLOW_VAR_MIRAKL_ON_UNCLEAR", "resend")
    sandbox.fault("status", operation="v2-createShipment", status=502, times=1)
    assert (
        run_dag(
            source.replace('"retries": 0', '"retries": 1, "retry_delay": 0'), conf={"file": str(file)}
        ).state
        == "success"
    )
    assert [call["status"] for call in sandbox.journal("v2-createShipment")][-2:] == [502, 202]

    asked = [sandbox.request_return(order_id) for order_id in placed[:2]]
    source = example("mirakl_connect_returns.py").replace("deferrable=True", "deferrable=False")
    source = source.replace('task_id="accept",', 'task_id="accept", wait_for_completion=False,')
    run = run_dag(source, conf={"target": str(tmp_path / "lake")})
    assert run.tasks == {"extract": "success", "to_accept": "success", "accept": "success"}
    sandbox.advance(20)
    assert {sandbox.returns()[return_id]["status"] for return_id in asked} == {"OPENED"}
    assert run_dag(source, conf={"target": str(tmp_path / "lake")}).tasks["accept"] == "skipped"
