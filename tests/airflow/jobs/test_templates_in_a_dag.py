"""The result of one task as the argument of the next, in a real Dag run: rendered as text, and natively."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = [pytest.mark.airflow, pytest.mark.matrix, pytest.mark.mirakl_sandbox_settings(limits="off")]

DAG = """
from datetime import datetime
from airflow.providers.common.compat.sdk import DAG, task
from airflow_provider_mirakl.operators.products import MiraklImportProductsOperator
from airflow_provider_mirakl.operators.catalog_manager import (
    MiraklExportDeletedProductsOperator,
    MiraklExportProductsOperator,
    MiraklExportProductStatusOperator,
    MiraklSynchronizeProductsOperator,
)
from airflow_provider_mirakl.operators.offers import MiraklExportOffersOperator
from airflow_provider_mirakl.operators.request import MiraklRequestOperator
from airflow_provider_mirakl.operators.shops import MiraklGetShopOperator
from airflow_provider_mirakl.sensors.jobs import MiraklProductImportSensor, MiraklProductSynchronizationSensor

shop, operator = {{"mirakl_conn_id": "mirakl_shop"}}, {{"mirakl_conn_id": "{{{{ params.operator }}}}"}}
quick = {{"poke_interval": 60, "timeout": 250, "deferrable": False}}
with DAG(
    "rendered", schedule=None, start_date=datetime(2026, 1, 1), render_template_as_native_obj={native},
    params={{"operator": "mirakl_operator", "nothing": None, "shop": 2000, "product": "MKL-001"}},
):
    submit = MiraklImportProductsOperator(
        task_id="submit", source="{source}", wait_for_completion=False, work_folder="{{{{ params.nothing }}}}", **shop
    )
    wait = MiraklProductImportSensor(
        task_id="wait", job_ids="{{{{ ti.xcom_pull('submit')['job_ids'] }}}}", max_failed_items=None, **quick, **shop
    )
    pushed = MiraklProductImportSensor(
        task_id="pushed", job_ids="{{{{ ti.xcom_pull('submit', key='job_ids')[0] }}}}", max_failed_items=None,
        shop_id="{{{{ params.shop }}}}", **quick, **shop
    )
    report = MiraklRequestOperator(
        task_id="report", path="/api/products/imports/{{{{ ti.xcom_pull('wait')['job_ids'][0] }}}}",
        query="{{{{ params.nothing }}}}", target="{{{{ params.nothing }}}}",
        mirakl_connect_conn_id="{{{{ params.nothing }}}}", **shop
    )

    @task
    def products():
        return [{{"mirakl_product_id": "MKL-001", "product_sku": "SKU-001"}}]

    synchronize = MiraklSynchronizeProductsOperator(
        task_id="synchronize", source="{{{{ ti.xcom_pull('products') }}}}", wait_for_completion=False, **operator
    )
    synchronized = MiraklProductSynchronizationSensor(
        task_id="synchronized", job_ids="{{{{ ti.xcom_pull('synchronize')['job_ids'] }}}}", **quick, **operator
    )
    export = MiraklExportProductsOperator(
        task_id="export", target="{folder}/{{{{ run_id }}}}.ndjson",
        updated_since="{{{{ macros.datetime(2020, 1, 1) }}}}",
        updated_to="{{{{ params.nothing }}}}", filters="{{{{ {{'product_id': [params.product]}} }}}}", **operator
    )
    offers = MiraklExportOffersOperator(
        task_id="offers", target="{folder}/offers.csv", options="{{{{ {{'include_inactive_offers': False}} }}}}",
        updated_since="{{{{ '2020-01-01' }}}}", shop_id="{{{{ params.shop }}}}", **shop
    )
    deleted = MiraklExportDeletedProductsOperator(
        task_id="deleted", target="{folder}/deleted.ndjson", updated_since="{{{{ params.nothing }}}}",
        watermark="{{{{ params.nothing }}}}", work_folder="{{{{ params.nothing }}}}", **operator
    )
    account = MiraklGetShopOperator(task_id="account", shop_id="{{{{ params.shop }}}}", **shop)
    submit >> wait >> pushed >> report
    products() >> synchronize >> synchronized >> export >> offers >> deleted >> account
"""


@pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
def test_results_of_tasks_are_arguments_of_the_next(
    native, run_dag, mirakl_sandbox_connections, tmp_path, monkeypatch
):
    monkeypatch.setenv("AIRFLOW__MIRAKL__WORK_FOLDER", str(tmp_path / "work"))
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "products.csv"
    source.write_text("category;shop_sku;title;ean\nheadphones;A-1;One;2000000000001\n", encoding="utf-8")
    result = run_dag(DAG.format(native=native, source=source, folder=tmp_path))
    assert set(result.tasks.values()) == {"success"}, result.tasks
    assert result.returned("wait")["job_ids"] == result.returned("pushed")["job_ids"]
    assert str(result.returned("report")["body"]["import_id"]) == result.returned("submit")["job_ids"][0]
    assert result.returned("synchronized")["succeeded"] == 1
    assert result.returned("export")["items"] == 1
    assert result.returned("account")["shop_id"] == 2000
    assert not Path("None").exists()
