"""A shop that an operation cannot be told: the operator's and the front office's keys work on every shop's data."""

from __future__ import annotations

import json

import pytest

from airflow_provider_mirakl.api.caller import Caller
from airflow_provider_mirakl.api.marketplace import start_order_export, start_transaction_export
from airflow_provider_mirakl.api.offers import list_offers, start_offer_export
from airflow_provider_mirakl.exceptions import MiraklConfigurationError
from airflow_provider_mirakl.operators.accounting import MiraklExportTransactionsOperator
from airflow_provider_mirakl.operators.catalog_manager import (
    MiraklExportDeletedProductsOperator,
    MiraklExportProductsOperator,
    MiraklExportProductStatusOperator,
    MiraklSynchronizeProductsOperator,
)
from airflow_provider_mirakl.operators.extract import MiraklExtractOperator
from airflow_provider_mirakl.operators.offers import MiraklExportOffersOperator
from airflow_provider_mirakl.operators.orders import MiraklExportOrdersOperator
from airflow_provider_mirakl.operators.settings import MiraklGetSettingsOperator
from airflow_provider_mirakl.operators.shop_documents import MiraklDeleteShopDocumentsOperator
from airflow_provider_mirakl.sensors.jobs import MiraklOrderExportSensor

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.matrix,
    pytest.mark.mirakl_sandbox_settings(limits="off"),
]

PRODUCT = {"mirakl_product_id": "MKL-001", "product_sku": "SKU-001"}
EVERY_SHOP = [
    ("OR13", MiraklExportOrdersOperator, {"target": "out.ndjson"}),
    ("TL03", MiraklExportTransactionsOperator, {"target": "out.ndjson"}),
    ("OF52", MiraklExportOffersOperator, {"target": "out.ndjson"}),
    ("CM52", MiraklExportProductsOperator, {"target": "out.ndjson"}),
    ("CM61", MiraklExportDeletedProductsOperator, {"target": "out.ndjson"}),
    ("OR11", MiraklExtractOperator, {"target": "out", "operation": "OR11"}),
    ("IV01", MiraklExtractOperator, {"target": "out", "operation": "IV01"}),
]
"""They read what belongs to every shop."""
NO_SHOP = [
    ("CM21", MiraklSynchronizeProductsOperator, {"source": [PRODUCT]}),
    ("CH11", MiraklGetSettingsOperator, {"setting": "channels"}),
]
"""They read or change what belongs to no shop."""
ROLES = ["mirakl_operator", "mirakl_front"]


@pytest.fixture
def run(worker, mirakl_sandbox, mirakl_sandbox_connections, tmp_path, monkeypatch):
    """Runs an operator in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(kind, **options):
        options = {"mirakl_conn_id": "mirakl_operator"} | options
        if "target" in options:
            options["target"] = str(tmp_path / options["target"])
        return worker(lambda: kind(task_id="task", **options)).run()

    return run


@pytest.fixture
def for_shop_2000(mirakl_sandbox_connections, monkeypatch):
    """Sets ``shop_id`` in the connections, too."""
    for conn_id in ROLES:
        connection = json.loads(json.dumps(mirakl_sandbox_connections[conn_id]))
        connection.setdefault("extra", {})["shop_id"] = 2000
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))


@pytest.mark.parametrize("conn_id", ROLES)
@pytest.mark.parametrize(
    ("code", "kind", "options"),
    [*EVERY_SHOP, *NO_SHOP, ("S33", MiraklDeleteShopDocumentsOperator, {"document_ids": 1})],
)
def test_a_shop_that_the_operation_does_not_take_is_refused(
    run, mirakl_sandbox, conn_id, code, kind, options
):
    words = rf"^shop_id is 2000, but {code} takes no shop from role '{conn_id.partition('_')[2]}'"
    with pytest.raises(MiraklConfigurationError, match=words) as caught:
        run(kind, shop_id=2000, mirakl_conn_id=conn_id, **options)
    assert caught.value.field == "shop_id"
    assert not mirakl_sandbox.journal()


@pytest.mark.parametrize(("code", "kind", "options"), EVERY_SHOP)
def test_the_shop_of_the_connection_is_refused_where_every_shop_would_be_read(
    run, mirakl_sandbox, for_shop_2000, code, kind, options
):
    with pytest.raises(MiraklConfigurationError, match=f"{code} takes no shop.*of its connection"):
        run(kind, **options)
    assert not mirakl_sandbox.journal()


@pytest.mark.parametrize(("code", "kind", "options"), NO_SHOP)
def test_the_shop_of_the_connection_is_a_default_elsewhere(
    run, mirakl_sandbox, for_shop_2000, code, kind, options
):
    assert run(kind, **options)
    assert mirakl_sandbox.journal(code)


def test_an_operation_that_takes_a_shop_gets_it(run, mirakl_sandbox, for_shop_2000):
    run(MiraklExportProductStatusOperator, target="out.ndjson")
    assert mirakl_sandbox.journal("CM11")[-1]["query"].startswith("provider_id=2000")


def test_a_seller_gets_the_orders_of_the_shop(run, mirakl_sandbox):
    mirakl_sandbox.add_marketplace_rows("orders", 3, shop=2000)
    mirakl_sandbox.add_marketplace_rows("orders", 4, shop=2001)
    found = run(MiraklExportOrdersOperator, target="a.ndjson", shop_id=2000, mirakl_conn_id="mirakl_shop")
    assert (found["items"], found["shop_id"]) == (3, 2000)
    found = run(
        MiraklExtractOperator, target="b", operation="OR11", shop_id=2000, mirakl_conn_id="mirakl_shop"
    )
    assert found["items"] == {"orders": 3}


def test_a_sensor_refuses_it_too(run, mirakl_sandbox):
    with pytest.raises(MiraklConfigurationError, match="OR13 takes no shop"):
        run(MiraklOrderExportSensor, job_ids="e3e70682-c209-4cac-a29f-6fbed82c07cd", shop_id=2000)
    assert not mirakl_sandbox.journal()


@pytest.mark.parametrize(
    "call", [start_order_export, start_transaction_export, start_offer_export, list_offers]
)
def test_your_own_code_is_refused_too(call):
    with pytest.raises(MiraklConfigurationError, match="takes no shop from role 'operator'"):
        call(caller=Caller("operator", 2000))
