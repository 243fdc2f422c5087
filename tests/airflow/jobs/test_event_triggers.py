"""Event triggers against the sandbox: one listing for all, nothing missed over a restart, nothing told twice."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_mirakl.api.offers import import_offers
from airflow_provider_mirakl.api.products import import_products
from airflow_provider_mirakl.client.pacing import PACER
from airflow_provider_mirakl.hooks.mirakl import MiraklHook
from airflow_provider_mirakl.triggers import events as triggers
from tests.waiting import until

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.matrix,
    pytest.mark.skipif(
        not triggers.HAS_EVENT_TRIGGERS, reason="needs Airflow 3.0 or later: make matrix MATRIX=3.3.2"
    ),
]

PRODUCTS = b"category;shop_sku;title;ean\nheadphones;A-1;One;2000000000001\n"
OFFERS = b"sku;product-id;product-id-type;price;quantity;state\nO-1;SKU-001;SKU;9;5;11\n"


@pytest.fixture(autouse=True)
def place(mirakl_sandbox_connections: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("AIRFLOW__MIRAKL__WORK_FOLDER", str(tmp_path / "work"))
    PACER.forget()


class Store(dict[str, Any]):
    """What Airflow 3.3 hands to an event trigger."""

    async def aget(self, key: str) -> Any:
        return self.get(key)

    async def aset(self, key: str, value: Any) -> None:
        self[key] = json.loads(json.dumps(value))


async def told(trigger: Any, events: list[Any]) -> None:
    try:
        async for event in trigger.run():
            events.append(json.loads(json.dumps(event.payload)))  # noqa: PERF401 - seen one by one
    finally:
        await trigger.cleanup()


def submit(call: Any) -> Any:
    with MiraklHook("mirakl_shop").get_conn() as client:
        return client.send(call)


def polls(sandbox: Any, operation: str) -> int:
    return len(sandbox.journal(operation))


@pytest.mark.parametrize("store", [None, Store()], ids=["work folder", "asset state"])
def test_nothing_is_missed_over_a_restart_and_nothing_told_twice(mirakl_sandbox: Any, store: Any) -> None:
    def start(events: list[Any], **options: Any) -> asyncio.Task[None]:
        trigger = triggers.MiraklProductImportsTrigger(mirakl_conn_id="mirakl_shop", **options)
        trigger.asset_state_store = store
        return asyncio.create_task(told(trigger, events))

    async def live() -> None:
        first: list[Any] = []
        complete: list[Any] = []
        failed: list[Any] = []
        running = [start(first), start(complete, states=["COMPLETE"]), start(failed, states=["FAILED"])]
        await until(lambda: polls(mirakl_sandbox, "P51") > 1)
        import_id = await asyncio.to_thread(submit, import_products(PRODUCTS, "a.csv"))
        mirakl_sandbox.advance(3600)
        await until(lambda: first and complete)
        assert [row["import_id"] for row in first[0]["found"]] == [import_id]
        assert (first[0]["items"], first[0]["found"][0]["state"]) == (1, "COMPLETE")
        seen = polls(mirakl_sandbox, "P51")
        await until(lambda: polls(mirakl_sandbox, "P51") > seen + 3)
        assert (len(first), len(complete), failed) == (1, 1, [])
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

        # No triggerer runs now.
        mirakl_sandbox.advance(3600)
        late = await asyncio.to_thread(submit, import_products(PRODUCTS, "b.csv"))
        mirakl_sandbox.advance(3600)
        again: list[Any] = []
        task = start(again)
        await until(lambda: again)
        assert [row["import_id"] for row in again[0]["found"]] == [late]
        seen = polls(mirakl_sandbox, "P51")
        await until(lambda: polls(mirakl_sandbox, "P51") > seen + 2)
        task.cancel()
        assert len(again) == 1

    asyncio.run(live())
    assert all("told" in kept for kept in (store or {}).values())


def test_a_watcher_goes_on_after_the_upgrade_to_an_airflow_with_a_store(mirakl_sandbox: Any) -> None:
    """Its position is in the work folder, where Airflow before 3.3 had it; the store is still empty."""
    store = Store()

    def start(events: list[Any], store: Store | None) -> asyncio.Task[None]:
        trigger = triggers.MiraklProductImportsTrigger(mirakl_conn_id="mirakl_shop")
        trigger.asset_state_store = store
        return asyncio.create_task(told(trigger, events))

    async def live() -> None:
        before: list[Any] = []
        task = start(before, None)
        await until(lambda: polls(mirakl_sandbox, "P51") > 1)
        await asyncio.to_thread(submit, import_products(PRODUCTS, "a.csv"))
        mirakl_sandbox.advance(3600)
        await until(lambda: before)
        seen = polls(mirakl_sandbox, "P51")
        await until(lambda: polls(mirakl_sandbox, "P51") > seen + 1)  # noted
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        late = await asyncio.to_thread(submit, import_products(PRODUCTS, "b.csv"))
        mirakl_sandbox.advance(3600)
        for number in range(2):  # the second start finds its position in the store
            events: list[Any] = []
            seen = polls(mirakl_sandbox, "P51")
            task = start(events, store)
            await until(lambda: polls(mirakl_sandbox, "P51") > seen + 2 and (events or number))  # noqa: B023
            assert [row["import_id"] for event in events for row in event["found"]] == [late][number:]
            await until(lambda: store)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(live())


def test_an_error_ends_no_trigger(mirakl_sandbox: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def live() -> None:
        mirakl_sandbox.fault("status", "OF04", status=401)
        mirakl_sandbox.fault("status", "OF04", status=200, body="html")
        events: list[Any] = []
        trigger = triggers.MiraklOfferImportsTrigger(mirakl_conn_id="mirakl_shop", poke_interval=60)
        trigger.poke_interval = 0.2  # the pause after an error is not stretched
        task = asyncio.create_task(told(trigger, events))
        await until(lambda: polls(mirakl_sandbox, "OF04") > 2)
        offer_import = await asyncio.to_thread(submit, import_offers(OFFERS, "o.csv"))
        mirakl_sandbox.advance(3600)
        await until(lambda: events)
        task.cancel()
        assert events[0]["found"][0]["import_id"] == offer_import.import_id

    asyncio.run(live())


@pytest.mark.parametrize("fault", [None, "empty_body"], ids=["read", "failed"])
def test_a_trigger_that_is_cancelled_during_a_call_ends_after_it(
    fault: str | None, mirakl_sandbox: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where Mirakl publishes no interval, so that no call has to wait for its turn."""

    async def live() -> None:
        trigger = triggers.MiraklShopDocumentsTrigger(mirakl_conn_id="mirakl_operator")
        slow = mirakl_sandbox.fault("delay", "S30", seconds=300)  # half a second
        if fault:
            mirakl_sandbox.fault(fault, "S30")
        shop = mirakl_sandbox.call(lambda world: min(world.instance.shops))
        document = mirakl_sandbox.put_document(shop, "PASSPORT", "ada.pdf", b"%PDF-1.4")
        events: list[Any] = []
        task = asyncio.create_task(told(trigger, events))
        await until(lambda: slow.struck)
        task.cancel()
        await until(task.done)
        assert task.cancelled()
        assert polls(mirakl_sandbox, "S30") == 1
        assert events == [], "nobody would receive it"
        later = asyncio.create_task(
            told(triggers.MiraklShopDocumentsTrigger(mirakl_conn_id="mirakl_operator"), events)
        )
        await until(lambda: document in documents(events))
        later.cancel()

    asyncio.run(live())
    assert ("polling again" in caplog.text) == bool(fault)


def documents(events: list[Any]) -> list[Any]:
    return [row["document_id"] for event in events for row in event["found"]]


@pytest.mark.mirakl_sandbox_settings(speed=1.0)
@pytest.mark.parametrize("seconds", [-600, 600], ids=["behind", "ahead"])
def test_mirakls_clock_decides_what_is_new(
    seconds: int,
    mirakl_sandbox: Any,
    mirakl_sandbox_connections: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Polls that hardly overlap, so that a clock which is off would lose what happened between two of them."""
    from airflow_provider_mirakl import watches

    connection = mirakl_sandbox_connections["mirakl_operator"]
    connection["extra"]["interval_factor"] = 0.005  # a poll each 1.5 s
    monkeypatch.setenv("AIRFLOW_CONN_MIRAKL_OPERATOR", json.dumps(connection))
    monkeypatch.setattr(watches, "OVERLAP", timedelta(seconds=2))  # dates have no fractions of a second
    mirakl_sandbox.fault("clock_skew", "S30", seconds=seconds)
    shop = mirakl_sandbox.call(lambda world: min(world.instance.shops))

    async def live() -> None:
        events: list[Any] = []
        task = asyncio.create_task(
            told(triggers.MiraklShopDocumentsTrigger(mirakl_conn_id="mirakl_operator"), events)
        )
        await until(lambda: polls(mirakl_sandbox, "S30") > 1)
        for number in range(2):
            document = mirakl_sandbox.put_document(shop, "PASSPORT", f"{number}.pdf", b"%PDF-1.4")
            await until(lambda document=document: document in documents(events))  # type: ignore[misc]
        task.cancel()

    asyncio.run(live())


def test_an_event_says_where_its_listing_began(mirakl_sandbox: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that is found in the overlap is older than the previous poll. An export since then would omit it."""
    from airflow_provider_mirakl.triggers import watching

    asked: list[str] = []
    listed = watching.listed

    def noted(watch: Any, caller: Any, since: Any, options: Any) -> Any:
        asked.append(since.isoformat())
        return listed(watch, caller, since, options)

    monkeypatch.setattr(watching, "listed", noted)

    async def live() -> None:
        events: list[Any] = []
        trigger = triggers.MiraklConnectOrdersTrigger(statuses=["AWAITING_ACCEPTANCE"])
        task = asyncio.create_task(told(trigger, events))
        await until(lambda: polls(mirakl_sandbox, "v2-listOrders") > 1)
        mirakl_sandbox.place_orders(1)
        await until(lambda: events)
        task.cancel()
        assert events[0]["since"] in asked
        assert events[0]["since"] < events[0]["until"]

    asyncio.run(live())


def test_each_kind_of_event(mirakl_sandbox: Any) -> None:
    shop = mirakl_sandbox.call(lambda world: min(world.instance.shops))
    kinds = {
        "documents": triggers.MiraklShopDocumentsTrigger(mirakl_conn_id="mirakl_operator"),
        "orders": triggers.MiraklConnectOrdersTrigger(statuses=["AWAITING_ACCEPTANCE"]),
        "status": triggers.MiraklProductStatusTrigger(mirakl_conn_id="mirakl_shop"),
    }
    found: dict[str, list[Any]] = {name: [] for name in kinds}

    def products() -> set[str]:
        return {row["product"] for event in found["status"] for row in event["found"]}

    async def live() -> None:
        running = [asyncio.create_task(told(trigger, found[name])) for name, trigger in kinds.items()]
        for code in ("S30", "v2-listOrders", "CM11"):
            await until(lambda code=code: polls(mirakl_sandbox, code) > 0)  # type: ignore[misc]
        document = mirakl_sandbox.put_document(shop, "PASSPORT", "ada.pdf", b"%PDF-1.4")
        (order,) = mirakl_sandbox.place_orders(1)
        await asyncio.to_thread(submit, import_products(PRODUCTS, "a.csv"))
        mirakl_sandbox.advance(7200)
        await until(lambda: found["documents"] and found["orders"] and "A-1" in products())
        for task in running:
            task.cancel()
        assert found["documents"][0]["found"] == [
            {"document_id": document, "shop_id": shop, "type_code": "PASSPORT"}
        ]
        assert found["orders"][0]["found"] == [{"order_id": order, "status": "AWAITING_ACCEPTANCE"}]

    asyncio.run(live())
