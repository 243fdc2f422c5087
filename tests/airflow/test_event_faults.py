"""Every event trigger with every fault: no event is lost, and none is told twice. If polls keep failing, the log says
when the next one is.

``make faults`` runs every cell; a run of the suite takes some of them, with fixed choices.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from fault_matrix import EVENTS, FAULTS, Fault

from airflow_provider_mirakl.api.offers import import_offers
from airflow_provider_mirakl.api.products import import_products
from airflow_provider_mirakl.client import exchange
from airflow_provider_mirakl.client.pacing import PACER
from airflow_provider_mirakl.hooks.mirakl import MiraklHook
from airflow_provider_mirakl.sandbox import Sandbox
from airflow_provider_mirakl.triggers import events as triggers
from tests.waiting import until

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(
        not triggers.HAS_EVENT_TRIGGERS, reason="needs Airflow 3.0 or later: make matrix MATRIX=3.3.2"
    ),
]
SAMPLE = 12
CODES = dict(EVENTS)
SAYS_WHEN = re.compile(r"polling again in \d+ s")


def _submit(call: Any) -> None:
    with MiraklHook("mirakl_shop").get_conn() as client:
        client.send(call)


def _import_products(_: Sandbox, number: int) -> None:
    row = f"headphones;A-{number};Title;200000000000{number}"
    _submit(import_products(f"category;shop_sku;title;ean\n{row}\n".encode(), "a.csv"))


def _import_offers(_: Sandbox, number: int) -> None:
    head = "sku;product-id;product-id-type;price;quantity;state"
    _submit(import_offers(f"{head}\nO-{number};SKU-001;SKU;9;5;11\n".encode(), "o.csv"))


def _put_document(sandbox: Sandbox, number: int) -> None:
    shop = sandbox.call(lambda world: min(world.instance.shops))
    sandbox.put_document(shop, "PASSPORT", f"{number}.pdf", b"%PDF-1.4")


def _place_order(sandbox: Sandbox, _: int) -> None:
    sandbox.place_orders(1)


def watched(event: str) -> tuple[Any, Callable[[Sandbox, int], None], str]:
    """A trigger, what makes something happen, and the field that identifies it in an event."""
    made: dict[str, tuple[Any, Callable[[Sandbox, int], None], str]] = {
        "product imports event": (
            triggers.MiraklProductImportsTrigger(mirakl_conn_id="mirakl_shop"), _import_products, "import_id",
        ),
        "offer imports event": (
            triggers.MiraklOfferImportsTrigger(mirakl_conn_id="mirakl_shop"), _import_offers, "import_id",
        ),
        "product status event": (
            triggers.MiraklProductStatusTrigger(mirakl_conn_id="mirakl_shop"), _import_products, "product",
        ),
        "shop documents event": (
            triggers.MiraklShopDocumentsTrigger(mirakl_conn_id="mirakl_operator"), _put_document, "document_id",
        ),
        "orders event": (
            triggers.MiraklConnectOrdersTrigger(statuses=["AWAITING_ACCEPTANCE"]), _place_order, "order_id",
        ),
    }  # fmt: skip
    trigger, happen, field = made[event]
    trigger.poke_interval = 0.05  # the pause after an error is not stretched
    return trigger, happen, field


def cells() -> Iterator[tuple[str, Fault]]:
    for event, code in EVENTS:
        for fault in FAULTS:
            if fault.strikes != "writing" and (not fault.codes or code in fault.codes):
                yield event, fault


def chosen() -> list[Any]:
    every = list(cells())
    if not os.environ.get("MIRAKL_ALL_FAULTS"):
        every = random.Random(18).sample(every, SAMPLE)  # noqa: S311 - the same in every run
    return [pytest.param(*cell, id=f"{cell[0]}, {cell[1].name}".replace(" ", "_")) for cell in every]


@pytest.mark.mirakl_sandbox_settings(speed=20_000.0)
@pytest.mark.parametrize(("event", "fault"), chosen())
def test_a_fault(
    event: str,
    fault: Fault,
    mirakl_sandbox: Sandbox,
    mirakl_sandbox_connections: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("AIRFLOW__MIRAKL__WORK_FOLDER", str(tmp_path / "work"))
    monkeypatch.setattr(exchange, "BACKOFF", 0.01)
    PACER.forget()
    trigger, happen, field = watched(event)
    code = CODES[event]
    told: list[tuple[Any, Any]] = []

    def polls() -> int:
        return len(mirakl_sandbox.journal(code))

    async def watch() -> None:
        async with aclosing(trigger.run()) as events:
            async for found in events:
                assert found.payload["items"] == len(found.payload["found"])
                told.extend((row[field], row.get("status")) for row in found.payload["found"])

    def new() -> set[tuple[Any, Any]]:
        """Of the products only those imported here, live: another state is a change, and so is the way back."""
        return {
            row for row in told if event != "product status event" or (row[0][0], row[1]) == ("A", "LIVE")
        }

    async def live() -> None:
        task = asyncio.create_task(watch())
        await until(lambda: polls() > 2)
        told.clear()  # what there was before
        times = None if fault.strikes == "always" else 1
        rule = mirakl_sandbox.fault(**fault.rule, operation=code, times=times)
        await asyncio.to_thread(happen, mirakl_sandbox, 1)
        await until(lambda: rule.struck and (times or SAYS_WHEN.search(caplog.text)))
        mirakl_sandbox.call(lambda world: world.faults.clear())
        await until(lambda: task.done() or new())
        await asyncio.to_thread(happen, mirakl_sandbox, 2)
        await until(lambda: task.done() or len(new()) > 1)
        seen = polls()
        await until(lambda: task.done() or polls() > seen + 2)
        assert not task.done(), "the trigger ended"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await trigger.cleanup()

    asyncio.run(live())
    found = [row for row in told if row in new()]
    assert len(found) == len(new()) == 2, told


def test_every_event_trigger_is_in_the_table() -> None:
    kinds = {
        found
        for name, found in vars(triggers).items()
        if name.startswith("Mirakl") and isinstance(found, type) and found.__module__ == triggers.__name__
    } - {triggers.MiraklEventTrigger, triggers.MiraklConfigurationError}
    assert {type(watched(event)[0]) for event, _ in EVENTS} == kinds
