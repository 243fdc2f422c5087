"""Of every operator and sensor that judges items: what it knows survives the error, and a preview emits no event."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_mirakl._compat import HASHES_ALIAS_EXTRA
from airflow_provider_mirakl.exceptions import MiraklItemsFailedError, MiraklJobFailedError
from airflow_provider_mirakl.notifications import outcome_text
from airflow_provider_mirakl.operators.connect import (
    MiraklConnectDeleteProductsOperator,
    MiraklConnectSyncCatalogOperator,
    MiraklConnectUpsertProductsOperator,
    MiraklConnectVerifyProductsOperator,
)
from airflow_provider_mirakl.operators.connect_order_documents import (
    MiraklConnectDownloadOrderDocumentsOperator,
)
from airflow_provider_mirakl.operators.connect_orders import MiraklConnectAcceptOrdersOperator
from airflow_provider_mirakl.operators.offers import MiraklImportStockOperator, MiraklUpsertOffersOperator
from airflow_provider_mirakl.operators.resync import MiraklResyncProductsOperator
from airflow_provider_mirakl.operators.shop_documents import (
    MiraklDeleteShopDocumentsOperator,
    MiraklUploadShopDocumentsOperator,
)
from airflow_provider_mirakl.operators.shops import MiraklUpdateShopOperator
from airflow_provider_mirakl.sensors.connect_orders import MiraklConnectOrderActionsSensor
from airflow_provider_mirakl.sensors.jobs import MiraklStockImportSensor

sys.path.insert(0, str(Path(__file__).parents[1] / "operators"))
from surface import parameters, public

pytestmark = [pytest.mark.airflow, pytest.mark.matrix]

SHOP = {"task_id": "t", "mirakl_conn_id": "mirakl_shop"}
DIRECT = {"task_id": "repair", "route": "direct", "mirakl_conn_id": "mirakl_operator"}
OFFER = {
    "shop_sku": "J", "product_id": "SKU-001", "product_id_type": "SKU", "price": 9.5, "state_code": "11",
    "update_delete": "update",
}  # fmt: skip
NO_OFFER = "offer-sku;quantity\nO-9;1\n"


def stock_import(sandbox: Any, tmp_path: Path, run_task: Any) -> Any:
    (tmp_path / "stock.csv").write_text(NO_OFFER)
    return MiraklImportStockOperator(source=str(tmp_path / "stock.csv"), **SHOP)


def offers(sandbox: Any, tmp_path: Path, run_task: Any) -> Any:
    return MiraklUpsertOffersOperator(source=[OFFER | {"product_id": "nothing"}], **SHOP)


def stock_sensor(sandbox: Any, tmp_path: Path, run_task: Any) -> Any:
    sent = stock_import(sandbox, tmp_path, run_task)
    sent.max_failed_items = None
    return MiraklStockImportSensor(job_ids=run_task(sent)["job_ids"], timeout=60, **SHOP)


def accept(sandbox: Any, tmp_path: Path, run_task: Any, **options: Any) -> Any:
    sandbox.fault("fail_job", "v2-acceptOrderLines")
    (order,) = sandbox.place_orders(1)
    rows = [
        {"order_id": order, "order_line_id": line["id"]} for line in sandbox.orders()[order]["order_lines"]
    ]
    return MiraklConnectAcceptOrdersOperator(task_id="t", source=rows, **options)


def actions_sensor(sandbox: Any, tmp_path: Path, run_task: Any) -> Any:
    sent = run_task(accept(sandbox, tmp_path, run_task, wait_for_completion=False))
    return MiraklConnectOrderActionsSensor(task_id="wait", action_ids=sent["action_ids"], timeout=60)


def order_documents(sandbox: Any, tmp_path: Path, run_task: Any) -> Any:
    from airflow_provider_mirakl.operators.connect_order_documents import (
        MiraklConnectUploadOrderDocumentsOperator,
    )

    (order,) = sandbox.place_orders(1)
    (tmp_path / "invoice.pdf").write_bytes(b"%PDF invoice")
    row = {"order_id": order, "path": str(tmp_path / "invoice.pdf"), "type": "CUSTOMER_INVOICE"}
    run_task(MiraklConnectUploadOrderDocumentsOperator(task_id="up", source=[row]))
    sandbox.fault("status", "v2-downloadOrderDocuments", status=404)
    return MiraklConnectDownloadOrderDocumentsOperator(task_id="t", target=str(tmp_path / "documents"))


def verify(sandbox: Any, tmp_path: Path, run_task: Any) -> Any:
    sandbox.fault("lost", "upsertProducts")
    sent = run_task(MiraklConnectUpsertProductsOperator(task_id="write", source=[{"id": "A"}]))
    return MiraklConnectVerifyProductsOperator(task_id="t", submitted=sent, rounds=1)


def every_row_rejected(sandbox: Any, tmp_path: Path, run_task: Any) -> Any:
    return MiraklConnectUpsertProductsOperator(task_id="t", source=[{"id": ""}], on_invalid="reject")


def too_many_rejected(sandbox: Any, tmp_path: Path, run_task: Any) -> Any:
    return MiraklConnectDeleteProductsOperator(
        task_id="t", source=["A", ""], on_invalid="reject", max_failed_items=0
    )


def resync(sandbox: Any, tmp_path: Path, run_task: Any) -> Any:
    return MiraklResyncProductsOperator(products="MKL-999;SKU-999", timeout=1, **DIRECT)


def deletion(sandbox: Any, tmp_path: Path, run_task: Any) -> Any:
    return MiraklDeleteShopDocumentsOperator(document_ids=[4711], **SHOP)


def upload(sandbox: Any, tmp_path: Path, run_task: Any) -> Any:
    (tmp_path / "paper.pdf").write_bytes(b"%PDF-1.4")
    papers = [{"path": str(tmp_path / "paper.pdf"), "type_code": "NOTHING"}]
    return MiraklUploadShopDocumentsOperator(documents=papers, check_codes=False, **SHOP)


def shop(sandbox: Any, tmp_path: Path, run_task: Any) -> Any:
    return MiraklUpdateShopOperator(changes={"payment_info": {"type": "NOTHING"}}, check_codes=False, **SHOP)


CASES = [
    accept, actions_sensor, deletion, every_row_rejected, offers, order_documents, resync, shop, stock_import,
    stock_sensor, too_many_rejected, upload, verify,
]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_result_is_pushed_before_the_error_is_raised(
    case: Any, sandbox: Any, tmp_path: Path, run_task: Any
) -> None:
    task = case(sandbox, tmp_path, run_task)
    run_task.pushed.clear()
    with pytest.raises(MiraklItemsFailedError) as caught:
        run_task(task)
    outcome = caught.value.outcome
    assert outcome["failed"] >= 1
    assert outcome["errors"], "and why"
    assert run_task.pushed["return_value"] == outcome
    ti = SimpleNamespace(dag_id="d", task_id="t", run_id="r", state="failed")
    assert f"{outcome['failed']:,} failed" in outcome_text({"ti": ti, "exception": caught.value})


def test_a_job_that_failed_as_a_whole_leaves_its_result(sandbox: Any, tmp_path: Path, run_task: Any) -> None:
    sandbox.fault("fail_job", "STO01")
    with pytest.raises(MiraklJobFailedError):
        run_task(stock_import(sandbox, tmp_path, run_task))
    result = run_task.pushed["return_value"]
    assert set(result["states"].values()) == {"FAILED"}
    assert result["source"].endswith("stock.csv")


def test_every_way_to_judge_items_has_a_case(sandbox: Any, tmp_path: Path, run_task: Any) -> None:
    families = {
        layer
        for case in (
            accept,
            deletion,
            every_row_rejected,
            offers,
            order_documents,
            resync,
            stock_import,
            verify,
        )
        for layer in type(case(sandbox, tmp_path, run_task)).__mro__
        if layer.__name__.endswith("Operator") and layer.__name__.strip("_") not in BASES
    } | {MiraklConnectOrderActionsSensor, *MiraklStockImportSensor.__mro__[:2]}
    for name, kind in public().items():
        if "max_failed_items" in parameters(kind):
            assert families & set(kind.__mro__), name


BASES = {
    "BaseOperator", "AbstractOperator", "MiraklBaseOperator", "PacedOperator", "ConnectOperator",
    "MiraklInstanceOperator", "StoringOperator", "ListingOperator", "MiraklJobOperator",
}  # fmt: skip


class Events(dict[str, Any]):
    def __getitem__(self, outlet: Any) -> Any:
        key = getattr(outlet, "uri", None) or outlet.name
        event = SimpleNamespace(extra=None, added=[])
        event.add = lambda asset, extra: event.added.append((asset.uri, extra))
        return self.setdefault(key, event)


def told(run_task: Any, task: Any) -> tuple[dict[str, Any], Any, list[Any]]:
    """The result of a task, the events it told something, and the outlets it left to Airflow."""
    from airflow.providers.common.compat.sdk import Asset, AssetAlias

    events, alias = Events(), AssetAlias(name="changed")
    task.outlets = [task.asset, alias, Asset(uri="s3://bucket/other")]
    run_task.outlet_events = events
    result = run_task(task)
    return result, events, task.outlets


def previews(tmp_path: Path, sandbox: Any) -> list[Any]:
    source = [{"id": "A"}]
    (order,) = sandbox.place_orders(1)
    line = sandbox.orders()[order]["order_lines"][0]["id"]
    state = str(tmp_path / "state")
    return [
        MiraklConnectUpsertProductsOperator(task_id="upsert", source=source, preview=True),
        MiraklConnectDeleteProductsOperator(task_id="delete", source=["A"], preview=True),
        MiraklConnectSyncCatalogOperator(task_id="sync", source=source, state=state, preview=True),
        MiraklResyncProductsOperator(products="MKL-021;SKU-021", preview=True, **DIRECT),
        MiraklConnectAcceptOrdersOperator(
            task_id="accept", source=[{"order_id": order, "order_line_id": line}], preview=True
        ),
    ]


def test_a_preview_emits_no_event(sandbox: Any, tmp_path: Path, run_task: Any) -> None:
    tasks = previews(tmp_path, sandbox)
    assert {type(task).__name__ for task in tasks} >= {
        name for name, kind in public().items() if "preview" in parameters(kind) and "preview" in vars(kind)
    }
    for task in tasks:
        result, events, outlets = told(run_task, task)
        assert not result["sent"]
        assert not events
        assert [type(outlet).__name__ for outlet in outlets] in (
            ["AssetAlias", "Asset"],
            ["DatasetAlias", "Dataset"],
        )


def test_a_sync_with_nothing_to_do_emits_no_event(sandbox: Any, tmp_path: Path, run_task: Any) -> None:
    def sync(name: str) -> Any:
        return MiraklConnectSyncCatalogOperator(
            task_id=name, source=[{"id": "A"}], state=str(tmp_path / "state")
        )

    first, events, outlets = told(run_task, sync("first"))
    address = "mirakl-connect://mirakl_connect_default/products"
    assert events[outlets[0]].extra == first
    ((told_address, extra),) = events[outlets[1]].added
    assert (told_address, extra["sent"]) == (address, first["sent"]), (
        "the alias gets the asset of what was changed"
    )
    if HASHES_ALIAS_EXTRA:
        assert frozenset(extra.items()), "as Airflow does"
        assert json.loads(extra["errors"]) == first["errors"]
    else:
        assert extra == first
    result, events, outlets = told(run_task, sync("second"))
    assert (result["unchanged"], events) == (1, {})
    assert len(outlets) == 2


def test_a_job_tells_its_counts_and_ids_in_the_event(sandbox: Any, tmp_path: Path, run_task: Any) -> None:
    task = stock_import(sandbox, tmp_path, run_task)
    task.max_failed_items = None
    result, events, outlets = told(run_task, task)
    assert result["failed"] == result["sent"] == 1
    assert not events, "the only line failed: the stock is as it was"
    assert len(outlets) == 2
    import_offer = MiraklUpsertOffersOperator(task_id="offers", mirakl_conn_id="mirakl_shop", source=[OFFER])
    result, events, outlets = told(run_task, import_offer)
    assert events[outlets[0]].extra == result
    assert (result["succeeded"], len(result["job_ids"])) == (1, 1)


@pytest.mark.parametrize(
    "name", [name for name, kind in public().items() if getattr(kind, "asset_name", None)]
)
def test_what_changes_something_has_an_asset_of_that_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from surface import make

    monkeypatch.setenv("AIRFLOW_CONN_MIRAKL_DEFAULT", '{"conn_type": "mirakl", "host": "https://x", "password": "k", "extra": {"role": "operator"}}')  # noqa: E501  # fmt: skip
    task = make(public()[name])
    if "mirakl_conn_id" in vars(task):
        task.mirakl_conn_id = "mirakl_default"
    assert task.asset is not None
    assert task.asset.uri.endswith(f"/{task.asset_name}")
