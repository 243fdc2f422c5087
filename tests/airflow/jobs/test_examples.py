"""The example Dags on a real Airflow against the sandbox, as the docs quote them."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.matrix,
    pytest.mark.slow,
    pytest.mark.mirakl_sandbox_settings(speed=600),
]

EXAMPLES = Path(__file__).parents[3] / "example_dags"
PRODUCTS = "category;shop_sku;title;ean\n" + "".join(
    f"headphones;A-{n};Headphone {n};20000000001{n:02}\n" for n in range(40)
)


def example(name):
    """An example Dag whose failures show at once."""
    return (EXAMPLES / name).read_text(encoding="utf-8").replace('"retries": 2', '"retries": 0')


def test_product_import_with_error_report_and_threshold(
    run_dag, tmp_path, mirakl_sandbox, mirakl_sandbox_connections
):
    source = tmp_path / "products.csv"
    source.write_text(PRODUCTS + "moon;B-1;Unknown;2000000000999\n", encoding="utf-8")
    run = run_dag(example("mirakl_product_import.py"), conf={"source": str(source)})
    assert run.state == "success"
    result = run.returned("import_products")
    assert (result["sent"], result["succeeded"], result["failed"]) == (41, 40, 1)
    assert run.xcoms["import_products", "job_ids"] == result["job_ids"] == ["2001"]
    assert Path(result["rejects"]).read_text(encoding="utf-8").count("\n") == 2

    source.write_text(PRODUCTS.replace("headphones", "moon"), encoding="utf-8")
    run = run_dag(example("mirakl_product_import.py"), conf={"source": str(source)})
    assert run.tasks == {"import_products": "failed"}


def test_catalog_export(run_dag, tmp_path, mirakl_sandbox, mirakl_sandbox_connections):
    run = run_dag(example("mirakl_products_export.py"), conf={"folder": str(tmp_path)})
    assert run.state == "success"
    exported = run.returned("export_products")
    assert exported["items"] > 10
    assert Path(exported["target"]).exists()
    assert run.returned("export_deletions")["items"] == 0


def test_offers_stock_prices(run_dag, tmp_path, mirakl_sandbox, mirakl_sandbox_connections):
    offers = "sku;product-id;product-id-type;price;quantity;state\nO-1;SKU-001;SKU;10;5;11\n"
    (tmp_path / "offers.csv").write_text(offers, encoding="utf-8")
    (tmp_path / "stock.csv").write_text("offer-sku;quantity\nO-1;7\n", encoding="utf-8")
    (tmp_path / "prices.csv").write_text("offer-sku;price\nO-1;12\n", encoding="utf-8")
    run = run_dag(example("mirakl_offers_stock_prices.py"), conf={"folder": str(tmp_path)})
    assert run.tasks == {"import_offers": "success", "import_stock": "success", "import_prices": "success"}
    (offer,) = mirakl_sandbox.world.instance.offers.offers.values()
    assert (offer["quantity"], offer["price"]) == (7, 12)


def test_a_sensor_on_an_import_started_elsewhere(run_dag, mirakl_sandbox, mirakl_sandbox_connections):
    from airflow_provider_mirakl.api.products import import_products
    from airflow_provider_mirakl.hooks.mirakl import MiraklHook

    with MiraklHook("mirakl_shop").get_conn() as client:
        import_id = client.send(import_products(PRODUCTS.encode(), "elsewhere.csv"))
    mirakl_sandbox.advance(600)  # it has ended: the example polls once a minute of real time
    run = run_dag(example("mirakl_import_sensor.py"), conf={"import_id": import_id})
    assert run.state == "success"
    assert run.returned("wait_for_import")["states"] == {str(import_id): "COMPLETE"}
    assert run.returned("wait_for_import")["succeeded"] == 40
