"""A hundred tasks that wait for imports of one connection cost one call a minute, as the sandbox's journal shows."""

from __future__ import annotations

import asyncio
import dataclasses
import time

import pytest

from airflow_provider_mirakl.api.caller import SELLER, Caller
from airflow_provider_mirakl.api.offers import import_offers, import_prices
from airflow_provider_mirakl.api.products import import_products
from airflow_provider_mirakl.client.http import Client
from airflow_provider_mirakl.client.pacing import Pacer
from airflow_provider_mirakl.hooks.mirakl import MiraklHook
from airflow_provider_mirakl.jobs.table import JOBS
from airflow_provider_mirakl.triggers.poll import PollTrigger, read_event
from tests.airflow.jobs.conftest import first_event

pytestmark = [pytest.mark.airflow, pytest.mark.matrix]

TASKS = {"product_import": 100, "offer_import": 20, "price_import": 20}
"""Tasks that wait: a hundred for one kind of job, fewer for the others, which share the same code."""
PRODUCTS = b"category;shop_sku;title;ean\nheadphones;A-1;One;2000000000001\n"
OFFERS = b"sku;product-id;product-id-type;price;quantity;state\nO-1;SKU-001;SKU;%d;5;11\n"
SUBMIT = {
    "product_import": lambda n: import_products(PRODUCTS, f"{n}.csv"),
    "offer_import": lambda n: import_offers(OFFERS % n, f"{n}.csv"),
    "price_import": lambda n: import_prices(b"offer-sku;price\nO-%d;1\n" % n, f"{n}.csv"),
}
LIST = {"product_import": ("P51", "P42"), "offer_import": ("OF04", "OF02"), "price_import": ("PRI02", "")}


@pytest.mark.mirakl_sandbox_settings(limits="off", run_seconds=150.0, integration_seconds=120.0)
@pytest.mark.parametrize(("name", "tasks"), TASKS.items())
def test_waiting_tasks_share_one_call_a_minute(name, tasks, mirakl_sandbox, mirakl_sandbox_connections):
    kind = JOBS[name]
    # Submitted by people who keep no pace.
    settings = dataclasses.replace(MiraklHook("mirakl_shop").settings, interval_factor=0.0)
    with Client(settings, pacer=Pacer()) as client:
        answers = [client.send(SUBMIT[name](n)) for n in range(tasks)]
        job_ids = [getattr(answer, "import_id", answer) for answer in answers]
        created = client.send(kind.status(job_ids[0], SELLER))["date_created"]
    mirakl_sandbox.world.settings.limits = "published"
    factor = mirakl_sandbox_connections["mirakl_shop"]["extra"]["interval_factor"]
    start, interval = time.time(), 60 * factor
    known = len(mirakl_sandbox.journal())

    def waiting_task(number):
        return PollTrigger(
            poll="airflow_provider_mirakl.jobs.polls.jobs_ended",
            arguments={"kind": name, "job_ids": [job_ids[number]], "early": False, "since": created},
            hook="airflow_provider_mirakl.hooks.mirakl.MiraklHook",
            conn_id="mirakl_shop",
            first=start + interval * (1 + number / tasks),
            interval=interval,
            deadline=start + 250,
        )

    async def all_of_them():
        return await asyncio.gather(*(first_event(waiting_task(number)) for number in range(tasks)))

    events = asyncio.run(all_of_them())
    for number, event in enumerate(events):
        assert set(read_event(event)["statuses"]) == {str(job_ids[number])}
    listing, single = LIST[name]
    calls = mirakl_sandbox.journal()[known:]
    assert {call["operation"] for call in calls} == {listing}
    assert single not in {call["operation"] for call in calls}
    moments = [call["moment"] for call in calls]
    assert len(moments) >= 3
    # One a minute; tasks that asked for themselves would make one each.
    assert len(moments) <= (moments[-1] - moments[0]) / 60 + 1.1
    assert {call["status"] for call in calls} == {200}


@pytest.mark.mirakl_sandbox_settings(limits="off", run_seconds=150.0, integration_seconds=120.0)
def test_shops_of_one_operator_share_one_call_a_minute(mirakl_sandbox, mirakl_sandbox_connections, caplog):
    """One key: Mirakl counts its calls whichever shop they are for. None is refused, and none counts as a try."""
    shops = range(2000, 2003)
    settings = dataclasses.replace(
        MiraklHook("mirakl_operator", role="operator").settings, interval_factor=0.0
    )
    with Client(settings, pacer=Pacer()) as client:
        callers = {shop: Caller("operator", shop) for shop in shops}
        sent = {s: client.send(import_products(PRODUCTS, f"{s}.csv", caller=c)) for s, c in callers.items()}
        created = client.send(JOBS["product_import"].status(sent[2000], callers[2000]))["date_created"]
    mirakl_sandbox.world.settings.limits = "published"
    factor = mirakl_sandbox_connections["mirakl_operator"]["extra"]["interval_factor"]
    start, interval = time.time(), 60 * factor
    known = len(mirakl_sandbox.journal())

    def waiting_task(shop):
        return PollTrigger(
            poll="airflow_provider_mirakl.jobs.polls.jobs_ended",
            arguments={
                "kind": "product_import", "job_ids": [sent[shop]], "early": False, "since": created,
                "role": "operator", "shop_id": shop,
            },
            hook="airflow_provider_mirakl.hooks.mirakl.MiraklHook",
            conn_id="mirakl_operator",
            role="operator",
            first=start + interval,
            interval=interval,
            deadline=start + 250,
        )  # fmt: skip

    async def all_of_them():
        return await asyncio.gather(*(first_event(waiting_task(shop)) for shop in shops))

    for shop, event in zip(shops, asyncio.run(all_of_them()), strict=True):
        assert set(read_event(event)["statuses"]) == {str(sent[shop])}
    calls = mirakl_sandbox.journal()[known:]
    assert {(call["operation"], call["status"]) for call in calls} == {("P51", 200)}
    moments = [call["moment"] for call in calls]
    assert len(moments) <= (moments[-1] - moments[0]) / 60 + 1.1
    assert " try " not in caplog.text
