"""What a Marketplace lists and exports beside its products, on a real Airflow against the sandbox."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_mirakl.api.products import import_products
from airflow_provider_mirakl.extract import work
from airflow_provider_mirakl.hooks.mirakl import MiraklHook
from airflow_provider_mirakl.sandbox import Sandbox

pytestmark = [pytest.mark.airflow, pytest.mark.matrix]

P51 = {
    "code": "P51",
    "path": "/api/products/imports",
    "items": "product_import_trackings",
    "paging": "offset",
    "since": "last_request_date",
    "updated": "date_created",
    "id": "import_id",
    "table": "imports",
}
DAG = """
import pendulum
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_mirakl.operators.extract import MiraklExtractOperator

with DAG("extract_instance", schedule=None, start_date=pendulum.datetime(2026, 1, 1), catchup=False):
    MiraklExtractOperator(task_id="extract", operation={operation!r}, target={target!r}, query={{"max": 3}}, {more})
"""


@pytest.fixture
def sandbox(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Sandbox]:
    clock = getattr(request, "param", "stepped")
    monkeypatch.setenv("AIRFLOW__MIRAKL__WORK_FOLDER", str(tmp_path / "work"))
    with Sandbox(clock=clock, limits="off", queue_seconds=0, run_seconds=0) as server:
        connection = {
            "conn_type": "mirakl",
            "host": server.mirakl_url,
            "password": "sandbox-shop-key",
            "extra": {"interval_factor": 0.00001},
        }
        monkeypatch.setenv("AIRFLOW_CONN_MIRAKL_DEFAULT", json.dumps(connection))
        yield server


def submit(count: int) -> list[int]:
    with MiraklHook().get_conn() as client:
        calls = [
            import_products(b"category;shop_sku\n", f"p-{number}-{count}.csv") for number in range(count)
        ]
        return [int(client.send(call)) for call in calls]


def ids(run: Any) -> list[int]:
    file = run.returned("extract")["files"].get("imports")
    return (
        [] if file is None else [json.loads(row)["import_id"] for row in Path(file).read_text().splitlines()]
    )


def test_each_run_delivers_what_is_new(run_dag: Any, sandbox: Sandbox, tmp_path: Path) -> None:
    source = DAG.format(operation=P51, target=str(tmp_path / "lake"), more="")
    first = submit(7)
    run = run_dag(source)
    assert sorted(ids(run)) == first
    assert run.returned("extract")["pages"] == 3
    assert ids(run_dag(source)) == []
    second = submit(2)
    assert sorted(ids(run_dag(source))) == second


@pytest.mark.parametrize(
    ("operation", "more"),
    [
        ("OR99", ""),
        ({"code": "X"}, ""),
        ({**P51, "paging": "both"}, ""),
        ({**P51, "paging": "seek", "sorted_by": "date_created"}, ""),
        (P51, "format='parquet'"),
        ("OF21", "since='2026-01-01T00:00:00Z'"),
        ("OF21", "watermark='/nowhere'"),
        (P51, "layout='flat'"),
    ],
)
def test_what_cannot_be_extracted_costs_no_call(
    run_dag: Any, sandbox: Sandbox, tmp_path: Path, operation: Any, more: str
) -> None:
    assert run_dag(DAG.format(operation=operation, target=str(tmp_path), more=more)).state == "failed"
    assert not sandbox.journal()


LISTED = {
    "OR11": ("orders", "orders", "order_id", {"order_state": "SHIPPING"}),
    "TL02": ("transactions", "transactions", "id", {"payment_state": "PAYABLE"}),
    "RT11": ("returns", "returns", "id", {"state": "IN_PROGRESS"}),
    "M11": ("threads", "threads", "id", {"topic": {"type": "FREE_TEXT", "value": "Thanks"}}),
}


def rows(run: Any, table: str) -> list[dict[str, Any]]:
    file = run.returned("extract")["files"].get(table)
    return [] if file is None else [json.loads(row) for row in Path(file).read_text().splitlines()]


@pytest.mark.parametrize("code", LISTED)
def test_what_changed_is_delivered_once(run_dag: Any, sandbox: Sandbox, tmp_path: Path, code: str) -> None:
    kind, table, key, change = LISTED[code]
    size = "max" if code == "OR11" else "limit"
    source = DAG.format(operation=code, target=str(tmp_path / "lake"), more="overlap=0.5").replace(
        '"max"', repr(size)
    )
    first = sandbox.add_marketplace_rows(kind, 7)
    run = run_dag(source)
    assert sorted(row[key] for row in rows(run, table)) == first
    assert run.returned("extract")["pages"] == 3
    assert rows(run_dag(source), table) == []
    sandbox.advance(3600)
    new = sandbox.add_marketplace_rows(kind, 2)
    sandbox.change_marketplace_row(kind, first[3], **change)
    changed = rows(run_dag(source), table)
    assert sorted(row[key] for row in changed) == sorted([first[3], *new])
    assert {name: row[name] for row in changed if row[key] == first[3] for name in change} == change
    if code == "OR11":  # every run of it has left its watermark
        (watermark,) = (tmp_path / "work").rglob("watermark.json")
        watermark.unlink()
        calls = len(sandbox.journal(code))
        assert run_dag(source).state == "failed"
        assert len(sandbox.journal(code)) == calls
        assert len(rows(run_dag(source.replace("overlap", "on_lost_state='full', overlap")), table)) == 9
    persons = ("customer", "return_address", "current_participants")
    dropped = run_dag(
        source.replace(
            "overlap", "personal_data='drop', watermark=" + repr(str(tmp_path / "w")) + ", overlap"
        )
    )
    assert len(rows(dropped, table)) == 9
    assert not any(name in row for row in rows(dropped, table) for name in persons)


def test_a_time_that_is_shown_shorter_delivers_nothing_twice(
    run_dag: Any, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mirakl compares exact times with the whole milliseconds of the request, and shows whole milliseconds, too."""
    source = DAG.format(operation="M11", target=str(tmp_path / "lake"), more="overlap=0.5")
    sandbox.add_marketplace_rows("threads")
    headers = {"Authorization": "sandbox-shop-key"}
    (thread,) = httpx.get(f"{sandbox.mirakl_url}/api/inbox/threads", headers=headers).json()["data"]
    shown = datetime.fromisoformat(thread["date_updated"])

    # A run that begins half a second later, within the same millisecond.
    monkeypatch.setattr(work, "_now", lambda: shown + timedelta(seconds=0.5, microseconds=400))
    assert len(rows(run_dag(source), "threads")) == 1
    assert rows(run_dag(source), "threads") == []


def test_invoices_by_creation_and_offers_as_a_whole(run_dag: Any, sandbox: Sandbox, tmp_path: Path) -> None:
    source = DAG.format(operation="IV01", target=str(tmp_path / "lake"), more="overlap=0.5")
    first = sandbox.add_marketplace_rows("invoices", 4)
    manual = sandbox.add_marketplace_rows("invoices", 1, type="MANUAL_INVOICE")
    assert sorted(row["id"] for row in rows(run_dag(source), "invoices")) == [*first, *manual]
    sandbox.advance(3600)
    new = sandbox.add_marketplace_rows("invoices", 1)
    assert [row["id"] for row in rows(run_dag(source), "invoices")] == new

    with MiraklHook().get_conn() as client:
        from airflow_provider_mirakl.api.offers import import_offers

        lines = "".join(f"s{number};SKU-001;SKU;{number}.5;3;11\n" for number in range(1, 6))
        header = "sku;product-id;product-id-type;price;quantity;state\n"
        client.send(import_offers((header + lines).encode(), "offers.csv"))
    sandbox.advance(600)
    source = DAG.format(operation="OF21", target=str(tmp_path / "lake"), more="")
    for _ in range(2):
        run = run_dag(source)
        assert [row["shop_sku"] for row in rows(run, "offers")] == ["s1", "s2", "s3", "s4", "s5"]
    assert run.returned("extract").get("watermark") is None


def test_other_filters_than_those_of_the_watermark(run_dag: Any, sandbox: Sandbox, tmp_path: Path) -> None:
    """Orders that the first filter left out are older than the watermark: to go on would lose them silently."""
    source = DAG.format(operation="OR11", target=str(tmp_path / "lake"), more="{more}").replace(
        '{"max": 3}', "{query}"
    )
    waiting = sandbox.add_marketplace_rows("orders", 2)
    shipped = sandbox.add_marketplace_rows("orders", 2, order_state="SHIPPED")

    def extract(codes: str, more: str = "") -> Any:
        query = {"order_state_codes": codes}
        return run_dag(source.replace("{query}", repr(query)).replace("{more}", more))

    def ids(run: Any) -> list[str]:
        return sorted(row["order_id"] for row in rows(run, "orders"))

    assert ids(extract("SHIPPED")) == shipped
    before = len(sandbox.journal("OR11"))
    assert extract("SHIPPED,WAITING_ACCEPTANCE").state == "failed"
    assert len(sandbox.journal("OR11")) == before
    assert ids(extract("SHIPPED,WAITING_ACCEPTANCE", "on_changed_filters='restart'")) == [*waiting, *shipped]
    assert ids(extract("SHIPPED,WAITING_ACCEPTANCE")) == []
    assert ids(extract("CLOSED", "on_changed_filters='restart'")) == []
    assert ids(extract("CLOSED")) == []


@pytest.mark.parametrize(
    ("operation", "name", "value"),
    [("IV01", "payment_status", "PAID"), ({**P51, "changing": ["status"]}, "status", "COMPLETE")],
)
def test_a_state_that_changes_after_the_creation_is_no_filter_of_a_watermark(
    run_dag: Any, sandbox: Sandbox, tmp_path: Path, read_log: Any, operation: Any, name: str, value: str
) -> None:
    """An invoice that is paid later is older than the watermark."""
    source = DAG.format(operation=operation, target=str(tmp_path / "lake"), more="{more}").replace(
        '{"max": 3}', repr({name: value})
    )
    assert run_dag(source.replace("{more}", "")).state == "failed"
    log = " ".join(read_log().split())  # Airflow 3.0 breaks long lines
    assert f"query: {name} may change after date_created" in log
    assert not sandbox.journal()
    assert run_dag(source.replace("{more}", "updated_from='2026-01-01T00:00:00Z'")).state == "success"


def test_an_order_that_leaves_the_state_between_two_pages_hides_no_other(
    run_dag: Any, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It moves the others forward, and the one at the border would never be read: no later run asks for it."""
    from airflow_provider_mirakl.extract.work import ExtractWork

    source = DAG.format(operation="OR11", target=str(tmp_path / "lake"), more="").replace(
        '"max": 3', '"max": 3, "order_state_codes": "WAITING_ACCEPTANCE"'
    )
    placed = []
    for _ in range(8):
        placed += sandbox.add_marketplace_rows("orders")
        sandbox.advance(60)
    accept, calls = ExtractWork.accept, 0

    def disturbed(self: ExtractWork, result: Any, at: Any) -> None:
        nonlocal calls
        accept(self, result, at)
        calls += 1
        if calls == 1:
            for order in placed[:2]:
                sandbox.change_marketplace_row("orders", order, order_state="SHIPPED")

    monkeypatch.setattr(ExtractWork, "accept", disturbed)
    run = run_dag(source)
    assert [row["order_id"] for row in rows(run, "orders")] == placed
    assert rows(run_dag(source), "orders") == []


EXPORT = """
import pendulum
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_mirakl.operators.{module} import {operator}

with DAG("export_instance", schedule=None, start_date=pendulum.datetime(2026, 1, 1), catchup=False):
    {operator}(task_id="extract", target={target!r}, {more})
"""


@pytest.mark.parametrize("sandbox", ["running"], indirect=True)
@pytest.mark.parametrize(
    ("module", "operator", "kind", "key", "submits"),
    [
        ("orders", "MiraklExportOrdersOperator", "orders", "order_id", "OR13"),
        ("accounting", "MiraklExportTransactionsOperator", "transactions", "id", "TL03"),
    ],
)
def test_exports_in_the_background(
    run_dag: Any,
    sandbox: Sandbox,
    tmp_path: Path,
    module: str,
    operator: str,
    kind: str,
    key: str,
    submits: str,
) -> None:
    first = sandbox.add_marketplace_rows(kind, 5)
    target = tmp_path / "rows.ndjson"

    def export(more: str, target: Path = target) -> Any:
        return run_dag(EXPORT.format(module=module, operator=operator, target=str(target), more=more))

    def written() -> list[str]:
        return sorted(json.loads(line)[key] for line in target.read_text().splitlines())

    run = export("changes_only=True, items_per_chunk=2")
    assert run.state == "success"
    assert run.returned("extract")["files"] == 3
    assert written() == first
    new = sandbox.add_marketplace_rows(kind, 1)
    assert export("changes_only=True, overlap=0").state == "success"
    assert written() == new
    parquet = tmp_path / "rows.parquet"
    pq = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow: make venv installs it")
    assert export("", parquet).returned("extract")["items"] == 6
    assert sorted(pq.read_table(parquet)[key].to_pylist()) == [*first, *new]
    submitted = len(sandbox.journal(submits))
    assert export("", tmp_path / "rows.csv").state == "failed"
    assert len(sandbox.journal(submits)) == submitted


def test_an_export_whose_reply_is_lost_ends(run_dag: Any, sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.add_marketplace_rows("orders", 2)
    sandbox.fault("reset_after", operation="OR13", times=1)
    target = tmp_path / "rows.ndjson"
    source = EXPORT.format(
        module="orders", operator="MiraklExportOrdersOperator", target=str(target),
        more="retries=1, retry_delay=__import__('datetime').timedelta(0)",
    )  # fmt: skip
    run = run_dag(source)
    assert run.state == "success"
    assert len(target.read_text().splitlines()) == 2


FIND = """
import pendulum
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_mirakl.operators.{module} import {operator}
from airflow_provider_mirakl.sensors.jobs import {sensor}

with DAG("find", schedule=None, start_date=pendulum.datetime(2026, 1, 1), catchup=False):
    found = {operator}(task_id="find", {more})
    {sensor}(task_id="wait", job_ids=found.output["job_ids"], max_failed_items=None)
"""


def test_imports_of_another_system_are_found_by_their_filters(
    run_dag: Any, sandbox: Sandbox, read_log: Any
) -> None:
    from airflow_provider_mirakl.api.offers import import_offers, import_prices

    with MiraklHook().get_conn() as client:
        offers = [
            client.send(import_offers(b"sku;price\na;1\n", f"{mode}.csv", import_mode=mode)).import_id
            for mode in ("NORMAL", "REPLACE")
        ]
        price = client.send(import_prices(b"offer-sku;price\na;1\n", "p.csv"))
    product = submit(1)
    sandbox.advance(86400)

    def find(kind: str, module: str = "offers", more: str = "") -> Any:
        names = {"operator": f"MiraklFind{kind}ImportsOperator", "sensor": f"Mirakl{kind}ImportSensor"}
        return run_dag(FIND.format(module=module, more=more, **names))

    run = find("Offer", more="import_mode='REPLACE', origins=['API'], status='COMPLETE'")
    assert run.state == "success"
    assert run.returned("find") == {"job_ids": offers[1:], "states": {"COMPLETE": 1}, "more": False}
    for most, found in ((1, offers[1:]), (2, offers[::-1])):
        run = find("Offer", more=f"max_imports={most}")
        assert run.returned("find")["job_ids"] == found
        assert run.returned("find")["more"] is (most == 1)
        log = " ".join(read_log().split())  # Airflow 3.0 breaks long lines
        assert ("OF04 lists more imports than max_imports=1; the older ones" in log) is (most == 1)
    assert find("Price", more="created_since='2020-01-01T00:00:00Z'").returned("find")["job_ids"] == [price]
    assert (
        find("Product", "products", "changed_since='2020-01-01T00:00:00Z'").returned("find")["job_ids"]
        == product
    )
    late = "created_since='2100-01-01T00:00:00Z'"
    assert find("Offer", more=f"{late}, on_none='skip'").tasks == {"find": "skipped", "wait": "skipped"}
    assert find("Price", more=f"{late}, on_none='fail'").tasks["find"] == "failed"
    assert find("Offer", more="origins=['SFTP'], on_none='skip'").tasks["find"] == "skipped"
