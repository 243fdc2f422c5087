"""Source, state, targets and work folder in an object store, with the real file system and Airflow's connection."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.client.pacing import PACER
from airflow_provider_mirakl.sandbox import Sandbox

pytestmark = [pytest.mark.airflow, pytest.mark.mirakl_sandbox_settings(speed=600)]

HEAD = """
from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG
from airflow_provider_mirakl.operators.catalog_manager import *
from airflow_provider_mirakl.operators.connect import *
from airflow_provider_mirakl.operators.offers import *
from airflow_provider_mirakl.operators.products import *
from airflow_provider_mirakl.operators.resync import *
from airflow_provider_mirakl.operators.connect_orders import *
from airflow_provider_mirakl.operators.shop_documents import *

with DAG({dag_id!r}, schedule=None, start_date=datetime(2024, 1, 1), catchup=False):
"""
PRODUCTS = "category;shop_sku;title;ean;brand\n"
GOOD = PRODUCTS + "headphones;A-1;One;2000000000001;nordlys\nheadphones;A-2;Two;2000000000002;akeba\n"
BAD = PRODUCTS + "headphones;A-1;One;2000000000001;nordlys\nheadphones;A-3;;2000000000003;nordlys\n"
OFFERS = "sku;product-id;product-id-type;price;quantity;state\nO-1;SKU-001;SKU;10;5;11\n"
PDF = b"%PDF-1.7 " + bytes(range(256)) * 20
either = pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "deferrable"])


@pytest.fixture
def sandbox(
    store: Any, mirakl_sandbox: Sandbox, mirakl_sandbox_connections: dict[str, Any], local_files: Path
) -> Sandbox:
    PACER.forget()
    return mirakl_sandbox


@pytest.fixture
def run(run_dag: Any, sandbox: Sandbox, local_files: Path) -> Callable[..., Any]:
    """Runs the given tasks as a Dag, on a disk that stays empty."""

    def go(*tasks: str) -> Any:
        text = HEAD.format(dag_id=f"stores_{uuid.uuid4().hex}") + "".join(f"    {task}\n" for task in tasks)
        result = run_dag(text)
        assert list(local_files.iterdir()) == []
        return result

    return go


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def ndjson(count: int, **fields: Any) -> str:
    return "".join(json.dumps({"id": f"p{number}", **fields}) + "\n" for number in range(count))


@either
def test_a_catalog_is_kept_in_step_with_a_source_in_the_store(
    run: Any, store: Any, sandbox: Sandbox, deferrable: bool
) -> None:
    source = store.write("in/products.ndjson", ndjson(7))
    sync = (
        f"sync = MiraklConnectSyncCatalogOperator(task_id='sync', source={source!r}, batch_size=3,"
        f" state={store.root + '/state'!r}, max_delete_ratio=0.5, deferrable={deferrable})"
    )
    verify = f"MiraklConnectVerifyProductsOperator(task_id='verify', submitted=sync.output, deferrable={deferrable})"
    first = run(sync, verify)
    assert first.tasks == {"sync": "success", "verify": "success"}
    assert first.returned("verify")["succeeded"] == 7
    assert Counter(row["item"] for row in sandbox.ledger()) == {f"p{number}": 1 for number in range(7)}
    assert store.keys("state")
    assert first.returned("sync")["folder"].startswith(store.root + "/work/")

    changed = lines(store.read(source))[:5]
    changed[0]["brand"] = "new"
    store.write("in/products.ndjson", "".join(json.dumps(product) + "\n" for product in changed))
    second = run(sync, verify)
    assert second.tasks == {"sync": "success", "verify": "success"}
    rows = sandbox.ledger()[7:]
    assert Counter((row["operation"], row["item"]) for row in rows) == {
        ("upsertProducts", "p0"): 1,
        ("deleteProducts", "p5"): 1,
        ("deleteProducts", "p6"): 1,
    }


@either
def test_a_catalog_is_exported_to_the_store(run: Any, store: Any, sandbox: Sandbox, deferrable: bool) -> None:
    sandbox.seed([{"id": f"p{number:04d}"} for number in range(1200)])
    target = f"{store.root}/out/catalog.ndjson"
    run(
        f"MiraklConnectExportCatalogOperator(task_id='task', target={target!r}, deferrable={deferrable})"
    ).returned("task")
    assert [product["id"] for product in lines(store.read(target))] == [
        f"p{number:04d}" for number in range(1200)
    ]
    assert [key.rpartition("/")[2] for key in store.keys("out")] == ["catalog.ndjson"]


@either
def test_a_file_is_imported_from_the_store_and_its_reports_are_kept_there(
    run: Any, store: Any, sandbox: Sandbox, deferrable: bool
) -> None:
    source = store.write("in/products.csv", BAD)
    result = run(
        f"MiraklImportProductsOperator(task_id='task', source={source!r}, mirakl_conn_id='mirakl_shop',"
        f" until='complete', max_failed_items=1, deferrable={deferrable})"
    ).returned("task")
    assert (result["sent"], result["succeeded"], result["failed"]) == (2, 1, 1)
    (reports,) = result["reports"].values()
    assert reports
    assert all(store.read(address) for address in reports.values())
    assert "A-3" in store.read(result["rejects"])
    assert [row["item_id"] for address in result["rows"] for row in lines(store.read(address))] == ["A-3"]
    # What was rejected is the source of the next run, as it stands.
    fixed = store.read(result["rejects"]).replace('"A-3";""', '"A-3";"Three"')
    again = store.write("in/fixed.csv", fixed)
    sandbox.forget_limits()
    result = run(
        f"MiraklImportProductsOperator(task_id='task', source={again!r}, mirakl_conn_id='mirakl_shop',"
        f" until='complete', deferrable={deferrable})"
    ).returned("task")
    assert (result["sent"], result["succeeded"]) == (1, 1)


@either
def test_products_are_synchronized_from_a_file_in_the_store(
    run: Any, store: Any, sandbox: Sandbox, deferrable: bool
) -> None:
    objects = [{"mirakl_product_id": f"MKL-00{n}", "data": {"colour": "blue"}} for n in (1, 2)]
    source = store.write("in/masters.ndjson", "".join(json.dumps(each) + "\n" for each in objects))
    result = run(
        f"MiraklSynchronizeProductsOperator(task_id='task', source={source!r}, mirakl_conn_id='mirakl_operator',"
        f" deferrable={deferrable}, max_failed_items=None)"
    ).returned("task")
    assert result["sent"] == 2
    assert result["folder"].startswith(store.root)
    assert len([call for call in sandbox.journal("CM21") if call["status"] < 300]) == 1


@pytest.mark.parametrize("ending", ["ndjson", "csv", "parquet"])
@pytest.mark.parametrize("kind", ["MiraklExportProductsOperator", "MiraklExportOffersOperator"])
def test_exports_are_written_to_the_store(
    run: Any, store: Any, sandbox: Sandbox, kind: str, ending: str
) -> None:
    target = f"{store.root}/out/export.{ending}"
    conn_id = "mirakl_operator" if "Products" in kind else "mirakl_shop"
    tasks = [f"task = {kind}(task_id='task', target={target!r}, mirakl_conn_id={conn_id!r})"]
    if "Offers" in kind:
        offers = store.write("in/offers.csv", OFFERS)
        tasks += [
            f"given = MiraklImportOffersOperator(task_id='given', source={offers!r}, mirakl_conn_id={conn_id!r})",
            "given >> task",
        ]
    result = run(*tasks).returned("task")
    if ending == "ndjson":
        rows = lines(store.read(target))
    elif ending == "csv":
        rows = list(csv.DictReader(io.StringIO(store.read(target))))
    else:
        parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow: make venv installs it")
        with store.path(f"out/export.{ending}").open("rb") as file:
            rows = parquet.read_table(io.BytesIO(file.read())).to_pylist()
    assert len(rows) > 0
    assert result["items"] in (len(rows), None)  # the rows of a CSV are not counted
    assert [key.rpartition("/")[2] for key in store.keys("out")] == [f"export.{ending}"]


def test_documents_go_to_the_store_and_come_from_it(run: Any, store: Any, sandbox: Sandbox) -> None:
    with store.path("in/certificate.pdf").open("wb") as file:
        file.write(PDF)
    given = [{"path": f"{store.root}/in/certificate.pdf", "type_code": "INSURANCE"}]
    target = f"{store.root}/documents"
    done = run(
        f"upload = MiraklUploadShopDocumentsOperator(task_id='upload', documents={given!r}, shop_id=2000,"
        " mirakl_conn_id='mirakl_operator', check_codes=False)",
        f"download = MiraklDownloadShopDocumentsOperator(task_id='download', target={target!r}, shop_ids=[2000],"
        " mirakl_conn_id='mirakl_operator')",
        "upload >> download",
    )
    assert done.tasks == {"upload": "success", "download": "success"}
    assert done.returned("download")["stored"] >= 1
    stored = [key for key in store.keys("documents") if key.endswith("certificate.pdf")]
    assert len(stored) == 1
    with store.path(stored[0].partition("/")[2]).open("rb") as file:
        assert file.read() == PDF


class BrokenError(Exception):
    """What the writer of an upload meets."""


@pytest.mark.parametrize("size", [10, 12 << 20], ids=["small", "in several parts"])
def test_a_broken_upload_leaves_nothing_behind(store: Any, size: int) -> None:
    """Neither an object with what it had, nor parts that the bucket's owner pays for unseen."""
    from airflow_provider_mirakl.files.storage import plain, writing

    def fail() -> None:
        with writing(plain(store.path("out/broken.bin"))) as file:
            for _ in range(0, size, 1 << 20):
                file.write(b"x" * min(size, 1 << 20))
            raise BrokenError

    with pytest.raises(BrokenError):
        fail()
    import gc

    gc.collect()
    assert store.keys("out") == []
    if store.client is not None:
        assert store.client.list_multipart_uploads(Bucket=store.name).get("Uploads", []) == []


def test_a_key_without_rights_is_told_in_words(run: Any, store: Any, sandbox: Sandbox) -> None:
    """A bucket that is not there: the task fails before a call is made."""
    source = f"{store.root}-that-is-not-there/products.ndjson"
    result = run(f"MiraklConnectUpsertProductsOperator(task_id='task', source={source!r}, deferrable=False)")
    assert result.tasks == {"task": "failed"}
    assert sandbox.journal() == []


def test_a_store_that_answers_503_for_a_while_costs_no_call_twice(
    store: Any, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real driver, whose own tries are used up: the notes are tried again, never the calls."""
    if store.client is None:
        pytest.skip("only the local S3 server can be made to fail: this case runs with store s3")
    from moto.server import DomainDispatcherApplication

    from airflow_provider_mirakl.catalog import loop
    from airflow_provider_mirakl.catalog.ledger import Ledger
    from airflow_provider_mirakl.catalog.plan import plan_upsert
    from airflow_provider_mirakl.files.paths import storage_path
    from airflow_provider_mirakl.triggers.paced import PacedTrigger

    folder = f"{store.root}/work/task"
    products = [{"id": f"p{number}"} for number in range(4)]
    plan = plan_upsert(products, storage_path(folder), batch_size=1)
    Ledger.open(plan, generation="run")
    answer, refused = DomainDispatcherApplication.__call__, []

    def failing(self: Any, environ: Any, start: Any) -> Any:
        if len(sandbox.ledger()) >= 2 and len(refused) < 12:
            refused.append(environ["REQUEST_METHOD"])
            start("503 Slow Down", [("Content-Type", "text/plain"), ("Content-Length", "0")])
            return [b""]
        return answer(self, environ, start)

    monkeypatch.setattr(DomainDispatcherApplication, "__call__", failing)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 2)
    monkeypatch.setattr(loop, "LONGEST_PAUSE", 0.05)
    trigger = PacedTrigger(
        opener="airflow_provider_mirakl.triggers.places.open_plan",
        arguments={"folder": folder, "generation": "run"},
        hook="airflow_provider_mirakl.hooks.mirakl_connect.MiraklConnectHook",
        conn_id="mirakl_connect_default",
        max_failures=30,
        state={"pace": {}, "journey": {}, "carried": {}},
    )

    async def fire() -> list[Any]:
        return [event.payload async for event in trigger.run()]

    (event,) = asyncio.run(fire())
    assert event["status"] == "done", event
    assert len(refused) == 12
    assert Counter(row["item"] for row in sandbox.ledger()) == {f"p{number}": 1 for number in range(4)}


@either
def test_orders_are_extracted_to_the_store_from_where_the_previous_run_ended(
    run: Any, store: Any, sandbox: Sandbox, deferrable: bool
) -> None:
    """Files, pages and watermark are objects: no disk has anything that the next run needs."""
    task = (
        f"MiraklConnectExtractOrdersOperator(task_id='task', target={store.root + '/lake'!r}, layout='flat',"
        f" format='parquet', watermark={store.root + '/marks'!r}, deferrable={deferrable})"
    )

    def extracted(result: Any) -> list[str]:
        pq = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow: make venv installs it")
        files = result.returned("task")["files"]
        if "orders" not in files:
            return []
        with store.path(files["orders"].removeprefix(f"{store.root}/")).open("rb") as file:
            return sorted(pq.read_table(file)["id"].to_pylist())

    first = sandbox.place_orders(120)
    result = run(task)
    assert extracted(result) == first
    assert result.returned("task")["pages"] == 2
    assert len(store.keys("marks")) == 1
    assert not [key for key in store.keys("work") if "page-" in key]
    assert extracted(run(task)) == []
    second = sandbox.place_orders(1)
    assert extracted(run(task)) == second
