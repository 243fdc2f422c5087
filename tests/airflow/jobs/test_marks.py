"""States and watermarks: a cleared run, another account, other filters, files of two tasks in one folder."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from airflow_provider_mirakl.catalog.state import STATE
from airflow_provider_mirakl.exceptions import (
    MiraklConfigurationError,
    MiraklJobTimeoutError,
    MiraklNoteError,
    MiraklTransportError,
)
from airflow_provider_mirakl.operators.accounting import MiraklExportTransactionsOperator
from airflow_provider_mirakl.operators.catalog_manager import (
    MiraklExportDeletedProductsOperator,
    MiraklExportProductsOperator,
    MiraklExportProductStatusOperator,
)
from airflow_provider_mirakl.operators.connect import MiraklConnectSyncCatalogOperator
from airflow_provider_mirakl.operators.connect_conversations import MiraklConnectExtractConversationsOperator
from airflow_provider_mirakl.operators.connect_orders import MiraklConnectExtractOrdersOperator
from airflow_provider_mirakl.operators.extract import MiraklExtractOperator
from airflow_provider_mirakl.operators.offers import MiraklExportOffersOperator
from airflow_provider_mirakl.operators.orders import MiraklExportOrdersOperator
from airflow_provider_mirakl.operators.shop_documents import MiraklDownloadShopDocumentsOperator
from airflow_provider_mirakl.sandbox import Sandbox

pytestmark = [pytest.mark.airflow, pytest.mark.matrix]
PRODUCTS = [{"id": f"SKU-{number}", "titles": [{"locale": "en", "value": "x"}]} for number in range(5)]


def cleared(task: Any) -> Any:
    """The task, as clearing it leaves it."""
    task.ti.max_tries += 1
    task.ti.try_number += 1
    return task


def lines(path: str | Path) -> int:
    return len(Path(path).read_bytes().splitlines())


# --- Connect --------------------------------------------------------------------------------------------------


@pytest.fixture
def servers() -> Iterator[tuple[Sandbox, Sandbox]]:
    """Two accounts of Connect."""
    with (
        Sandbox(clock="stepped", limits="off") as first,
        Sandbox(clock="stepped", limits="off") as second,
    ):
        yield first, second


@pytest.fixture
def extract(worker: Any, tmp_path: Path) -> Any:
    def make(run_id: str = "run", task_id: str = "task", **arguments: Any) -> Any:
        arguments = {"target": str(tmp_path / "lake"), "deferrable": False} | arguments
        task = worker(lambda: MiraklConnectExtractOrdersOperator(task_id=task_id, **arguments), run_id=run_id)
        task.ti.task_id = task_id
        return task

    return make


def test_a_cleared_extract_delivers_what_it_had_delivered(servers, lead, extract):
    server, _ = servers
    lead(server)
    server.place_orders(5)
    first, second = extract("first"), extract("second")
    result = first.run()
    assert (result["items"], lines(result["files"]["orders"])) == ({"orders": 5}, 5)
    assert cleared(first).run()["items"] == {"orders": 5}
    server.advance(5)
    server.place_orders(2)
    assert second.run()["items"] == {"orders": 2}
    assert cleared(first).run()["items"] == {"orders": 7}, "also what changed since"
    again = cleared(second).run()
    assert (again["items"], lines(again["files"]["orders"])) == ({"orders": 2}, 2)
    assert extract("third").run()["items"] == {"orders": 0}


def test_an_extract_that_never_delivered_begins_at_the_watermark_when_it_is_cleared(servers, lead, extract):
    """A later run has delivered its rows."""
    server, _ = servers
    lead(server)
    server.place_orders(1)
    extract("first").run()
    server.advance(5)
    server.place_orders(2)
    server.fault("status", "v2-listOrders", status=403)
    failed = extract("second")
    with pytest.raises(Exception, match="403"):
        failed.run()
    server.call(lambda world: world.faults.clear())
    assert extract("third").run()["items"] == {"orders": 2}
    assert cleared(failed).run()["items"] == {"orders": 0}


def test_a_cleared_extract_whose_notes_are_gone_keeps_its_file(servers, lead, extract, tmp_path):
    """The work folder is cleaned after a while. The watermark is newer than what the file contains."""
    lead(servers[0])
    servers[0].place_orders(5)
    task = extract()
    file = task.run()["files"]["orders"]
    shutil.rmtree(tmp_path / "work" / "dag")
    calls = len(servers[0].journal())
    with pytest.raises(MiraklNoteError, match="where its window began"):
        cleared(task).run()
    assert len(servers[0].journal()) == calls
    assert lines(file) == 5
    Path(file).unlink()
    assert cleared(task).run()["items"] == {"orders": 0}


def test_a_run_that_an_earlier_version_delivered_is_not_delivered_beside_it(servers, lead, extract):
    lead(servers[0])
    servers[0].place_orders(5)
    file = Path(extract("first").run()["files"]["orders"])
    former = file.with_name("part-00000.ndjson")
    file.rename(former)
    calls = len(servers[0].journal())
    with pytest.raises(MiraklNoteError, match=r"part-00000\.ndjson was written by this run"):
        extract("first").run()
    assert (lines(former), len(servers[0].journal())) == (5, calls)


def test_no_two_task_instances_write_one_file(servers, lead, extract, tmp_path):
    server, _ = servers
    lead(server)
    marks = iter(str(tmp_path / f"mark-{number}") for number in range(4))
    server.place_orders(4)
    found = [
        extract(run_id, task_id, watermark=next(marks)).run()["files"]["orders"]
        for run_id, task_id in (("a:b", "task"), ("a_b", "task"), ("a:b", "other"))
    ]
    assert len(set(found)) == 3
    assert [lines(path) for path in found] == [4, 4, 4]
    assert len({Path(path).parent for path in found}) == 1
    extract("a:b", "nothing", watermark=next(marks), since="2099-01-01").run()
    assert [lines(path) for path in found] == [4, 4, 4], "a task without rows removes no other file"


def test_an_extract_does_not_continue_at_the_watermark_of_another_account(servers, lead, extract):
    for server, orders in zip(servers, (5, 3), strict=True):
        server.place_orders(orders)
    lead(servers[0])
    assert extract("first").run()["items"] == {"orders": 5}
    lead(servers[1])
    with pytest.raises(MiraklConfigurationError, match="another account") as caught:
        extract("second").run()
    assert caught.value.field == "on_changed_filters"
    assert not servers[1].journal()
    assert extract("third", on_changed_filters="restart").run()["items"] == {"orders": 3}
    assert extract("fourth").run()["items"] == {"orders": 0}


def test_a_watermark_of_an_older_version_is_taken_over_by_an_extract(servers, lead, extract, tmp_path):
    lead(servers[0])
    servers[0].place_orders(5)
    mark = tmp_path / "mark"
    extract("first", watermark=str(mark)).run()
    note = json.loads((mark / "watermark.json").read_bytes())
    assert note["content"].pop("owner")
    (mark / "watermark.json").write_text(json.dumps(note))
    lead(servers[1])  # which an older note cannot know
    assert extract("second", watermark=str(mark)).run()["items"] == {"orders": 0}
    assert json.loads((mark / "watermark.json").read_bytes())["content"]["owner"]


def test_messages_from_before_the_watermark_are_not_left_out(servers, lead, worker, tmp_path):
    server, _ = servers
    lead(server)
    options = {"target": str(tmp_path / "lake"), "watermark": str(tmp_path / "mark"), "deferrable": False}

    def extract(run_id: str, **more: Any) -> Any:
        return worker(
            lambda: MiraklConnectExtractConversationsOperator(task_id="task", **options, **more),
            run_id=run_id,
        ).run()

    extract("first")
    calls = len(server.journal())
    with pytest.raises(MiraklConfigurationError, match="messages was False and is True") as caught:
        extract("second", messages=True)
    assert caught.value.field == "on_changed_filters"
    assert len(server.journal()) == calls
    extract("third", messages=True, on_changed_filters="restart")
    extract("fourth", messages=True)


@pytest.mark.parametrize(
    ("before", "words"),
    [
        ({"operation": "TL02"}, "operation was 'TL02' and is 'OR11'"),
        ({"mirakl_conn_id": "mirakl_shop"}, "role was 'shop' and is 'operator'"),
    ],
)
def test_an_extract_does_not_continue_at_the_watermark_of_another_listing(
    worker, mirakl_sandbox, mirakl_sandbox_connections, tmp_path, before, words
):
    mirakl_sandbox.world.settings.limits = "off"
    mirakl_sandbox.add_marketplace_rows("orders", 3, shop=2001)
    mark = tmp_path / "mark" / "watermark.json"
    options = {"operation": "OR11", "mirakl_conn_id": "mirakl_operator", "overlap": 0, "deferrable": False}
    options |= {"target": str(tmp_path / "lake"), "watermark": str(mark.parent)}

    def extract(run_id: str, **more: Any) -> Any:
        task = worker(lambda: MiraklExtractOperator(task_id="task", **options | more), run_id=run_id)
        return task.run()["items"]

    extract("first", **before)
    calls = len(mirakl_sandbox.journal())
    with pytest.raises(MiraklConfigurationError, match=words) as caught:
        extract("second")
    assert caught.value.field == "on_changed_filters"
    assert len(mirakl_sandbox.journal()) == calls
    assert extract("third", on_changed_filters="restart") == {"orders": 3}
    note = json.loads(mark.read_bytes())
    assert note["content"].pop("source")  # which an older version did not note
    mark.write_text(json.dumps(note))
    assert extract("fourth") == {"orders": 0}
    assert json.loads(mark.read_bytes())["content"]["source"]["operation"] == "OR11"


def test_an_extract_does_not_continue_where_its_mapping_asked_for_other_rows(
    worker, mirakl_sandbox, mirakl_sandbox_connections, tmp_path
):
    mirakl_sandbox.world.settings.limits = "off"
    mirakl_sandbox.add_marketplace_rows("orders", 3, shop=2001)
    listing = {
        "code": "OR11",
        "path": "/api/orders",
        "items": "orders",
        "paging": "offset",
        "table": "orders",
    }
    listing |= {"since": "start_update_date", "updated": "last_updated_date", "id": "order_id"}
    mark = tmp_path / "mark"

    def extract(run_id: str, **more: Any) -> Any:
        task = worker(
            lambda: MiraklExtractOperator(
                task_id="task", mirakl_conn_id="mirakl_operator", operation=listing | more, watermark=str(mark),
                target=str(tmp_path / "lake"), overlap=0, deferrable=False,
            ),
            run_id=run_id,
        )  # fmt: skip
        return task.run()["items"]

    assert extract("first", params={"order_state_codes": "CLOSED"}) == {"orders": 0}
    calls = len(mirakl_sandbox.journal())
    words = "params was {'order_state_codes': 'CLOSED'} and is {'order_state_codes': 'SHIPPING'}"
    with pytest.raises(MiraklConfigurationError, match=words):
        extract("second", params={"order_state_codes": "SHIPPING"})
    assert len(mirakl_sandbox.journal()) == calls
    assert extract("third", params={"order_state_codes": "CLOSED"}) == {"orders": 0}


@pytest.fixture
def sync(worker: Any) -> Any:
    def run(run_id: str, **arguments: Any) -> Any:
        arguments = {"source": PRODUCTS, "deferrable": False} | arguments
        task = worker(lambda: MiraklConnectSyncCatalogOperator(task_id="task", **arguments), run_id=run_id)
        return task.run()

    return run


def test_a_sync_refuses_the_state_of_another_account(servers, lead, sync, tmp_path):
    lead(servers[0])
    assert sync("first")["upserted"] == 5
    lead(servers[1])
    with pytest.raises(MiraklConfigurationError, match=r"state of another account.*another folder"):
        sync("second")
    assert not servers[1].journal()
    lead(servers[0])
    assert sync("third")["unchanged"] == 5, "its state is as it was"
    lead(servers[1])
    with pytest.raises(MiraklConfigurationError, match="state of another account"):
        sync("fourth", on_lost_state="full")  # it is not lost, and would be
    assert sync("fifth", state=str(tmp_path / "another"))["upserted"] == 5
    lead(servers[0])
    assert sync("sixth")["unchanged"] == 5


def test_a_state_of_an_older_version_is_taken_over(servers, lead, sync, tmp_path):
    options = {"state": str(tmp_path / "state")}
    lead(servers[0])
    assert sync("first", **options)["upserted"] == 5
    note = STATE.at(tmp_path / "state")
    content = note.read()
    assert content is not None
    assert content.owner
    note.write(msgspec.structs.replace(content, owner=[]))
    assert sync("second", **options)["unchanged"] == 5
    lead(servers[1])
    with pytest.raises(MiraklConfigurationError, match="state of another account"):
        sync("third", **options)


def test_a_new_secret_is_the_same_account(servers, lead, sync, monkeypatch):
    lead(servers[0])
    assert sync("first")["upserted"] == 5
    connection = json.loads(os.environ["AIRFLOW_CONN_MIRAKL_CONNECT_DEFAULT"])
    monkeypatch.setenv(
        "AIRFLOW_CONN_MIRAKL_CONNECT_DEFAULT", json.dumps({**connection, "password": "another"})
    )
    assert sync("second")["unchanged"] == 5


# --- exports --------------------------------------------------------------------------------------------------


@pytest.fixture
def export(
    worker: Any,
    tmp_path: Path,
    mirakl_sandbox: Any,
    mirakl_sandbox_connections: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    """``export(Operator, run_id, **arguments)``: a worker with an export; here it is permitted more than once a day."""
    mirakl_sandbox.world.settings.limits = "off"
    connection = mirakl_sandbox_connections["mirakl_operator"]
    connection["extra"]["interval_factor"] = 0.00001
    monkeypatch.setenv("AIRFLOW_CONN_MIRAKL_OPERATOR", json.dumps(connection))

    def make(kind: Any, run_id: str, *, map_index: int = -1, **arguments: Any) -> Any:
        target = str(tmp_path / f"{run_id}.ndjson")
        arguments = {"target": target, "mirakl_conn_id": "mirakl_operator"} | arguments
        task = worker(lambda: kind(task_id="task", **arguments), run_id=run_id)
        task.ti.map_index = map_index
        return task

    return make


ORDERS = {"changes_only": True, "overlap": 0}


def test_a_cleared_export_writes_its_target_again_also_after_later_runs(export, mirakl_sandbox, tmp_path):
    mirakl_sandbox.add_marketplace_rows("orders", 7)
    first, second = (export(MiraklExportOrdersOperator, run_id, **ORDERS) for run_id in ("first", "second"))
    assert first.run()["items"] == 7
    mirakl_sandbox.advance(60)
    mirakl_sandbox.add_marketplace_rows("orders", 2)
    found = second.run()["items"]
    assert cleared(first).run()["items"] >= 7
    assert lines(tmp_path / "first.ndjson") >= 7
    assert cleared(second).run()["items"] >= found, "the first run has not taken its window"


@pytest.mark.parametrize("kind", [MiraklExportOrdersOperator, MiraklExportProductsOperator])
def test_a_watermark_does_not_pass_the_end_of_what_was_exported(export, mirakl_sandbox, kind):
    """It moves to the time of the export: what changed since ``updated_to`` would never be exported."""
    with pytest.raises(MiraklConfigurationError, match="leave out updated_to") as caught:
        export(kind, "first", **ORDERS, updated_to="2026-01-01").run()
    assert caught.value.field == "updated_to"
    assert not mirakl_sandbox.journal()


@pytest.mark.parametrize(
    ("kind", "submits"),
    [
        (MiraklExportOrdersOperator, "OR13"),
        (MiraklExportTransactionsOperator, "TL03"),
        (MiraklExportOffersOperator, "OF52"),
        (MiraklExportProductsOperator, "CM52"),
    ],
)
def test_a_watermark_does_not_pass_the_request_that_had_to_wait(
    export, mirakl_sandbox, mirakl_sandbox_connections, monkeypatch, tmp_path, kind, submits
):
    """It was made before the wait, and OR13 names the end of its range."""
    connection = mirakl_sandbox_connections["mirakl_operator"]
    connection["extra"]["max_wait"] = 0  # so that the task waits, as it does for minutes
    monkeypatch.setenv("AIRFLOW_CONN_MIRAKL_OPERATOR", json.dumps(connection))
    made = request_times(kind, monkeypatch)
    mirakl_sandbox.fault("throttle", submits)
    mark = tmp_path / "mark.json"
    export(kind, "run", **ORDERS, watermark=str(mark), deferrable=False).run()
    assert [call["status"] for call in mirakl_sandbox.journal(submits)] == [429, 200]
    assert reached(mark) <= made[-1]


def test_a_watermark_does_not_pass_an_export_that_mirakl_recognizes(
    export, mirakl_sandbox, monkeypatch, tmp_path
):
    """Every reply is lost, and a later try gets the id of the first job: it has nothing that changed since."""
    made = request_times(MiraklExportOffersOperator, monkeypatch)
    mark = tmp_path / "mark.json"
    mirakl_sandbox.world.settings.run_seconds = 1e6
    mirakl_sandbox.fault("reset_after", "OF52", times=None)
    task = export(MiraklExportOffersOperator, "run", **ORDERS, watermark=str(mark), deferrable=True)
    with pytest.raises(MiraklTransportError):
        task.run()
    asked = made[-1]
    mirakl_sandbox.call(lambda world: world.faults.clear())
    mirakl_sandbox.fault(
        "throttle", "OF52"
    )  # a refusal of the repeated request says nothing of the first one
    task.meanwhile = lambda: mirakl_sandbox.advance(2e6 if mirakl_sandbox.journal("OF53") else 0)
    task.run()
    assert [call["status"] for call in mirakl_sandbox.journal("OF52")][-2:] == [429, 200]
    assert mirakl_sandbox.call(lambda world: len(world.jobs.all)) == 1
    assert made[-1] > asked
    assert reached(mark) <= asked


def test_a_watermark_does_not_pass_an_export_of_another_run(export, mirakl_sandbox, monkeypatch, tmp_path):
    """The first run was given up. The second one makes the same request, and gets the id of the first one's job."""
    made = request_times(MiraklExportOffersOperator, monkeypatch)
    mark = tmp_path / "mark.json"
    mirakl_sandbox.world.settings.run_seconds = 1e6
    first, second = (
        export(
            MiraklExportOffersOperator,
            run_id,
            **ORDERS,
            watermark=str(mark),
            deferrable=True,
            timeout=timeout,
        )
        for run_id, timeout in (("first", 0.1), ("second", 3600))
    )

    def accepted() -> list[Any]:
        return [call for call in mirakl_sandbox.journal("OF52") if call["status"] == 200]

    with pytest.raises(MiraklJobTimeoutError):
        first.run()
    asked = made[-1]
    second.meanwhile = lambda: mirakl_sandbox.advance(2e6 if len(accepted()) > 1 else 0)
    second.run()
    assert mirakl_sandbox.call(lambda world: len(world.jobs.all)) == 1
    assert made[-1] > asked
    assert reached(mark) <= asked


def request_times(kind: Any, monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """When each request of an export was made, as a list that grows."""
    times: list[datetime] = []
    begin = kind.begin

    def noted(self: Any, caller: Any) -> Any:
        times.append(datetime.now(UTC))
        return begin(self, caller)

    monkeypatch.setattr(kind, "begin", noted)
    return times


def reached(mark: Path) -> datetime:
    return datetime.fromisoformat(json.loads(mark.read_bytes())["content"]["until"])


def test_a_cleared_export_never_moves_the_watermark_back(export, tmp_path, mirakl_sandbox):
    mark = tmp_path / "mark.json"
    options = {"watermark": str(mark), "overlap": 0, "shop_id": 2000}

    def until() -> str:
        return str(json.loads(mark.read_bytes())["content"]["until"])

    old = export(MiraklExportProductStatusOperator, "old", updated_to="2026-01-01", **options)
    assert old.run()["updated_since"] is None
    export(MiraklExportProductStatusOperator, "new", **options).run()
    moved = until()
    assert cleared(old).run()["updated_since"] is None
    assert until() == moved


@pytest.mark.parametrize(
    ("kind", "options", "other"),
    [
        (MiraklExportOrdersOperator, {**ORDERS, "order_state_codes": ["SHIPPED"]}, {"order_state_codes": ()}),
        (MiraklExportProductStatusOperator, {"shop_id": 2000}, {"shop_id": 2001}),
        (MiraklExportProductStatusOperator, {"shop_id": 2000, "status": "LIVE"}, {"status": None}),
        (MiraklExportDeletedProductsOperator, {"product_ids": ["MKL-001"]}, {"product_ids": ()}),
        (
            MiraklDownloadShopDocumentsOperator,
            {"changes_only": True, "type_codes": ["PASSPORT"]},
            {"type_codes": ()},
        ),
    ],
)  # fmt: skip
def test_an_export_does_not_continue_at_a_watermark_of_other_rows(
    export, mirakl_sandbox, kind, options, other
):
    export(kind, "first", **options).run()
    calls = len(mirakl_sandbox.journal())
    with pytest.raises(MiraklConfigurationError, match=rf"{next(iter(other))} was .* and is ") as caught:
        export(kind, "second", **options | other).run()
    assert caught.value.field == "on_changed_filters"
    assert len(mirakl_sandbox.journal()) == calls
    result = export(kind, "third", **options | other, on_changed_filters="restart").run()
    assert result.get("updated_since") is None
    export(kind, "fourth", **options | other).run()


def test_an_export_does_not_continue_at_the_watermark_of_another_one(export, mirakl_sandbox, tmp_path):
    mirakl_sandbox.add_marketplace_rows("orders", 3)
    options = {**ORDERS, "watermark": str(tmp_path / "mark.json")}
    export(MiraklExportTransactionsOperator, "first", **options).run()
    calls = len(mirakl_sandbox.journal())
    with pytest.raises(MiraklConfigurationError, match="operation was 'TL03' and is 'OR13'") as caught:
        export(MiraklExportOrdersOperator, "second", **options).run()
    assert caught.value.field == "on_changed_filters"
    assert len(mirakl_sandbox.journal()) == calls
    restarted = export(MiraklExportOrdersOperator, "third", **options, on_changed_filters="restart").run()
    assert restarted["items"] == 3
    note = json.loads((tmp_path / "mark.json").read_bytes())
    assert note["content"]["scope"].pop("source")  # which an older version did not note
    (tmp_path / "mark.json").write_text(json.dumps(note))
    export(MiraklExportOrdersOperator, "fourth", **options).run()


def test_a_watermark_of_an_older_version_is_taken_over_by_an_export(export, tmp_path):
    mark = tmp_path / "mark.json"
    options = {"watermark": str(mark), "overlap": 0, "shop_id": 2000}
    first = export(MiraklExportProductStatusOperator, "first", **options).run()
    note = json.loads(mark.read_bytes())
    assert note["content"].pop("scope")
    mark.write_text(json.dumps(note))
    second = export(MiraklExportProductStatusOperator, "second", **options | {"shop_id": 2001}).run()
    assert second["updated_since"] == first["updated_to"]
    with pytest.raises(MiraklConfigurationError, match="shop_id was 2001 and is 2000"):
        export(MiraklExportProductStatusOperator, "third", **options).run()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (MiraklExportOrdersOperator, ORDERS),
        (MiraklExportProductStatusOperator, {"shop_id": 2000}),
        (MiraklDownloadShopDocumentsOperator, {"changes_only": True}),
    ],
)
def test_a_mapped_export_needs_a_watermark_of_its_own(export, tmp_path, mirakl_sandbox, kind, options):
    """The first shop of today may be another one than that of yesterday."""
    former = tmp_path / "work" / "dag" / "task" / "watermark-0.json"
    former.parent.mkdir(parents=True)
    former.write_text(datetime.now(UTC).isoformat())
    with pytest.raises(MiraklConfigurationError, match=r"mapped task.* earlier version .*watermark-0\.json"):
        export(kind, "run", map_index=0, **options).run()
    assert not mirakl_sandbox.journal()
    export(kind, "run", map_index=0, **options, watermark=str(former)).run()


def test_a_mapped_export_of_a_fixed_window_needs_no_watermark(export):
    options = {"shop_id": 2000, "updated_since": "2026-01-01"}
    assert export(MiraklExportProductStatusOperator, "run", map_index=0, **options).run()["target"]


MARKED = [
    (MiraklExportProductStatusOperator, "CM11", {"shop_id": 2000}),
    (MiraklExportProductsOperator, "CM52", {"changes_only": True}),
]


@pytest.mark.parametrize(("kind", "code", "options"), MARKED)
def test_a_watermark_in_the_future_stops_an_export(export, tmp_path, mirakl_sandbox, kind, code, options):
    """A worker whose clock was a day ahead has written it. What changes until then would never be exported."""
    mark = tmp_path / "mark.json"
    export(kind, "first", watermark=str(mark), **options).run()
    note = json.loads(mark.read_bytes())
    note["content"]["until"] = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    mark.write_text(json.dumps(note))
    calls = len(mirakl_sandbox.journal(code))
    with pytest.raises(MiraklNoteError, match="which is in the future") as caught:
        export(kind, "second", watermark=str(mark), **options).run()
    assert caught.value.path == str(mark)
    assert len(mirakl_sandbox.journal(code)) == calls


@pytest.mark.parametrize(("kind", "code", "options"), MARKED)
def test_a_worker_whose_clock_is_ahead_moves_no_watermark_past_the_request(
    export, tmp_path, mirakl_sandbox, kind, code, options
):
    mark = tmp_path / "mark.json"
    mirakl_sandbox.fault("clock_skew", code, seconds=-600)
    export(kind, "run", watermark=str(mark), **options).run()
    until = datetime.fromisoformat(json.loads(mark.read_bytes())["content"]["until"])
    assert until < datetime.now(UTC) - timedelta(seconds=590)
