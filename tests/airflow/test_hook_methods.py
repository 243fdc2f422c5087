"""A task of five lines with nothing but a hook, on a real Airflow against the sandbox."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.exceptions import (
    MiraklConfigurationError,
    MiraklInputError,
    MiraklJobFailedError,
    MiraklJobTimeoutError,
)
from airflow_provider_mirakl.hooks.mirakl import MiraklHook
from airflow_provider_mirakl.hooks.mirakl_connect import MiraklConnectHook

pytestmark = [pytest.mark.airflow, pytest.mark.matrix]

PRODUCTS = "category;shop_sku;title;ean\nheadphones;A-1;One;2000000000001\n"
OFFERS = "sku;product-id;product-id-type;price;quantity;state\nO-1;SKU-001;SKU;9;5;11\n"
PAGE = Path(__file__).parents[2] / "docs" / "hooks.md"


@pytest.fixture(autouse=True)
def pace() -> Iterator[None]:
    from airflow_provider_mirakl.client.pacing import PACER

    PACER.forget()
    yield
    PACER.forget()


def test_the_dag_of_the_docs_runs(
    run_dag: Any, mirakl_sandbox: Any, mirakl_sandbox_connections: Any, tmp_path: Path
) -> None:
    (block,) = [
        text for text in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL) if "DAG(" in text
    ]
    (tmp_path / "products.csv").write_text(PRODUCTS)
    text = block.replace("s3://aws_default@feeds/products.csv", str(tmp_path / "products.csv"))
    run = run_dag(text)
    assert run.state == "success", run.tasks
    assert run.returned("import_products")["import_status"] in ("SENT", "COMPLETE")
    assert run.returned("upsert")["sent"] == 2
    assert run.returned("shop")["shop_id"]
    mirakl_sandbox.advance(60)
    assert len(mirakl_sandbox.products()) == 2


def test_offers_and_every_page_of_a_listing(
    mirakl_sandbox: Any, mirakl_sandbox_connections: Any, tmp_path: Path
) -> None:
    from airflow_provider_mirakl.api.offers import list_offer_imports

    hook, ids = MiraklHook("mirakl_shop"), []
    for number in (1, 2):  # Mirakl accepts a file it has already for the same import
        (tmp_path / "offers.csv").write_text(OFFERS.replace(";5;", f";{number};"))
        ids.append(hook.import_offers(tmp_path / "offers.csv"))
    assert hook.wait_for("offer_import", ids[1])["lines_in_success"] == 1
    listed = [found["import_id"] for found in hook.items(list_offer_imports(limit=1))]
    assert listed == ids[::-1]
    connect = MiraklConnectHook()
    assert connect.upsert([{"id": str(number)} for number in range(3)])["sent"] == 3
    assert connect.delete(["0"])["unknown"] == 1
    mirakl_sandbox.advance(60)
    assert {product["id"] for product in mirakl_sandbox.products()} == {"1", "2"}


def test_what_cannot_be_sent_costs_no_call(
    mirakl_sandbox: Any, mirakl_sandbox_connections: Any, tmp_path: Path
) -> None:
    (tmp_path / "empty.csv").write_bytes(b"")
    hook = MiraklHook("mirakl_shop")
    for path in (tmp_path / "missing.csv", tmp_path, tmp_path / "empty.csv"):
        with pytest.raises(MiraklInputError, match="nothing was sent"):
            hook.import_products(path)
    with pytest.raises(MiraklConfigurationError, match="job must be one of"):
        hook.wait_for("import", 1)
    with pytest.raises(MiraklInputError, match="shop"):
        MiraklHook("mirakl_operator").import_products(Path(__file__))
    with pytest.raises(MiraklInputError):
        MiraklConnectHook().upsert([{"id": "A", "prize": 3}])
    assert mirakl_sandbox.journal() == []


@pytest.mark.mirakl_sandbox_settings(integration_seconds=3e5, run_seconds=3e5)
def test_a_job_that_does_not_end_well_is_an_error(
    mirakl_sandbox: Any, mirakl_sandbox_connections: Any, tmp_path: Path
) -> None:
    (tmp_path / "products.csv").write_text(PRODUCTS)
    hook = MiraklHook("mirakl_shop")
    import_id = hook.import_products(str(tmp_path / "products.csv"))
    with pytest.raises(MiraklJobTimeoutError, match="it continues in Mirakl"):
        hook.wait_for("product_import", import_id, timeout=0.2)
    mirakl_sandbox.fault("fail_job", "OF01")
    (tmp_path / "offers.csv").write_text(OFFERS)
    failed = hook.import_offers(tmp_path / "offers.csv")
    mirakl_sandbox.advance(3e6)
    with pytest.raises(MiraklJobFailedError, match="ended FAILED"):
        hook.wait_for("offer_import", failed)
