"""A job is done, and its report is empty, broken or gone: the counts stand, and no empty file of rejects is named."""

from __future__ import annotations

import pytest

from airflow_provider_mirakl.operators.catalog_manager import MiraklSynchronizeProductsOperator
from airflow_provider_mirakl.operators.offers import MiraklImportStockOperator
from airflow_provider_mirakl.operators.resync import MiraklResyncProductsOperator

pytestmark = [pytest.mark.airflow, pytest.mark.matrix]

BROKEN = {
    "empty": ("empty_body", {}),
    "cut": ("broken_json", {}),
    "gone": ("status", {"status": 404}),
    "gone for good": ("status", {"status": 410}),
}
GOOD = {"mirakl_product_id": "MKL-021", "product_sku": "SKU-021"}
BAD = {"mirakl_product_id": "MKL-001", "data": {"sky": "blue"}}


def counts(result):
    return tuple(result[name] for name in ("sent", "succeeded", "failed", "unknown"))


@pytest.fixture(params=BROKEN)
def broken(request, sandbox):
    """Breaks the report of a code."""

    def break_(code):
        kind, options = BROKEN[request.param]
        sandbox.fault(kind, code, **options)
        return request.param

    return break_


def test_cm22_counts_where_cm23_does_not(broken, run_task):
    said = broken("CM23")
    task = MiraklSynchronizeProductsOperator(
        task_id="sync", source=[GOOD, BAD], mirakl_conn_id="mirakl_operator", max_failed_items=1
    )
    result = run_task(task)
    assert counts(result) == (2, 1, 1, 0)
    assert (result["errors"], result["rejects"]) == ([], None)
    assert ("cannot be read as a report" in str(result["messages"])) == ("gone" not in said)


def test_a_resync_trusts_the_instance_alone(broken, run_task):
    broken("CM23")
    task = MiraklResyncProductsOperator(
        task_id="repair",
        products=[GOOD, ("MKL-040", "SKU-040")],
        route="direct",
        mirakl_conn_id="mirakl_operator",
        timeout=2.0,
        max_failed_items=2,
    )
    result = run_task(task)
    assert counts(result) == (2, 1, 1, 0)


def test_lines_are_counted_without_their_report(broken, run_task, tmp_path):
    broken("STO03")
    source = tmp_path / "stock.csv"
    source.write_text("offer-sku;quantity;warehouse-code;update-delete\nO-9;1;;\n", encoding="utf-8")
    task = MiraklImportStockOperator(
        task_id="stock", source=str(source), mirakl_conn_id="mirakl_shop", max_failed_items=1
    )
    result = run_task(task)
    assert counts(result) == (1, 0, 1, 0)
    assert result["rejects"] is None
