"""What templates make of arguments: lists and mappings as text, nothing as "None", numbers where texts stood."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from airflow_provider_mirakl.exceptions import MiraklConfigurationError, MiraklError
from airflow_provider_mirakl.operators.catalog_manager import (
    MiraklExportDeletedProductsOperator,
    MiraklExportProductsOperator,
    MiraklSynchronizeProductsOperator,
)
from airflow_provider_mirakl.operators.extract import MiraklExtractOperator
from airflow_provider_mirakl.operators.offers import MiraklExportOffersOperator
from airflow_provider_mirakl.operators.products import MiraklImportProductsOperator
from airflow_provider_mirakl.operators.request import MiraklRequestOperator
from airflow_provider_mirakl.operators.settings import MiraklGetSettingsOperator
from airflow_provider_mirakl.operators.shops import MiraklGetShopStatisticsOperator, MiraklUpdateShopOperator

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.matrix,
    pytest.mark.mirakl_sandbox_settings(limits="off"),
]

PRODUCT = {"mirakl_product_id": "MKL-001", "product_sku": "SKU-001"}


@pytest.fixture
def run(worker, mirakl_sandbox_connections, tmp_path, monkeypatch):
    """Runs an operator whose arguments are rendered, in a folder where nothing may appear."""
    monkeypatch.chdir(tmp_path)
    target = str(tmp_path / "target.ndjson")

    def run(kind, *, with_target=False, **options):
        options = (
            {"mirakl_conn_id": "mirakl_operator"} | ({"target": target} if with_target else {}) | options
        )
        return worker(lambda: kind(task_id="task", **options)).run()

    run.target = Path(target)
    yield run
    assert not (tmp_path / "None").exists()


@pytest.mark.parametrize("written", [str, json.dumps])
def test_a_list_of_objects_as_text(run, written):
    assert run(MiraklSynchronizeProductsOperator, source=written([PRODUCT]))["succeeded"] == 1


@pytest.mark.parametrize(
    "filters",
    [
        {"product_id": ["MKL-001"]},
        "{'product_id': ['MKL-001']}",
        '{"product_id": ["MKL-001"]}',
        {"product_id": "['MKL-001']"},
        {"product_id": {"MKL-001"}},
    ],
)
def test_filters_as_text(run, filters):
    assert run(MiraklExportProductsOperator, with_target=True, filters=filters)["items"] == 1


def test_an_id_that_became_a_number_is_a_text_again(run):
    assert run(MiraklExportProductsOperator, with_target=True, filters={"product_id": [1]})["items"] == 0


@pytest.mark.parametrize("nothing", [None, "None", "{}"])
def test_no_filters_and_no_options(run, nothing):
    assert run(MiraklExportProductsOperator, with_target=True, filters=nothing)["items"] > 1
    assert run(MiraklExportOffersOperator, with_target=True, options=nothing)["target"]


@pytest.mark.parametrize("filters", [{"product_id": None}, {"product_id": "MKL-001"}, "product_id", [1]])
def test_filters_that_are_none(run, mirakl_sandbox, filters):
    with pytest.raises(MiraklConfigurationError, match=r"^filters must "):
        run(MiraklExportProductsOperator, with_target=True, filters=filters)
    assert not mirakl_sandbox.journal()


@pytest.mark.parametrize("filters", [{"product_id": []}, "{'product_id': []}"])
def test_a_filter_that_is_empty_does_not_select_everything(run, mirakl_sandbox, filters):
    with pytest.raises(MiraklError, match=r"^filters: product_id is empty"):
        run(MiraklExportProductsOperator, with_target=True, filters=filters)
    assert not mirakl_sandbox.journal()


@pytest.mark.parametrize("nothing", ["", "None"])
def test_a_limit_that_a_template_made_none_is_still_a_limit(run, tmp_path, nothing):
    (tmp_path / "p.csv").write_text("category;shop_sku;title;ean\nheadphones;A-1;;2000000000001\n")
    importing = {"source": "p.csv", "mirakl_conn_id": "mirakl_shop", "lint": "off"}
    with pytest.raises(MiraklError, match="1 of 1 item failed; 0 are allowed"):
        run(MiraklImportProductsOperator, max_failed_items=nothing, **importing)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (MiraklImportProductsOperator, {"source": None}),
        (MiraklImportProductsOperator, {"source": "None"}),
        (MiraklImportProductsOperator, {"source": ["a.csv"]}),
        (MiraklExportProductsOperator, {"target": None}),
        (MiraklExportProductsOperator, {"target": "None", "target_format": "ndjson"}),
        (MiraklExportDeletedProductsOperator, {"target": None}),
        (MiraklExportDeletedProductsOperator, {"target": "None"}),
        (MiraklExportOffersOperator, {"target": "x.csv", "options": "x"}),
        (MiraklRequestOperator, {"path": None}),
        (MiraklRequestOperator, {"path": "/api/shops", "query": "max"}),
        (MiraklUpdateShopOperator, {"changes": None}),
        (MiraklUpdateShopOperator, {"changes": "None"}),
        (MiraklUpdateShopOperator, {"changes": "missing.json"}),
    ],
)
def test_what_has_to_be_given_is_refused_by_its_name(run, mirakl_sandbox, kind, options):
    field = next(reversed(options)) if "target_format" not in options else "target"
    with pytest.raises(MiraklError, match=rf"^{field}\b"):
        run(kind, **options)
    assert not mirakl_sandbox.journal()


def test_optional_arguments_of_which_a_template_made_none(run):
    shop = {"mirakl_conn_id": "mirakl_shop"}
    none = dict.fromkeys(("query", "target", "mirakl_connect_conn_id"), "None")
    assert run(MiraklRequestOperator, path="/api/platform/configuration", **none)["status"] == 200
    assert run(MiraklGetShopStatisticsOperator, channel_code="None", **shop)
    windows = dict.fromkeys(("updated_since", "updated_to", "watermark", "work_folder"), "None")
    assert run(MiraklExportDeletedProductsOperator, with_target=True, **windows)["updated_since"] is None


def test_a_query_as_text(run, mirakl_sandbox):
    assert run(MiraklRequestOperator, path="/api/shops", query="{'max': 1}")["status"] == 200
    assert mirakl_sandbox.journal("S20")[-1]["query"] == "max=1"


def test_a_query_whose_texts_became_numbers(run, mirakl_sandbox):
    query = {"max": 1, "price": 1.5, "open": True, "none": None, "several": {"B", "A"}, 5: "x"}
    assert run(MiraklRequestOperator, path="/api/shops", query=query)["status"] == 200
    shown = mirakl_sandbox.journal("S20")[-1]["query"]
    assert shown == "max=1&price=1.5&open=true&several=A&several=B&5=x"


@pytest.mark.parametrize(
    "value", [{"secret": 1}, [["secret"]], [None], b"secret", float("nan"), [float("inf")], datetime.now(UTC)]
)
def test_a_query_that_cannot_be_sent_is_refused_by_its_name(run, value):
    for kind, more in (
        (MiraklRequestOperator, {"path": "/api/shops"}),
        (MiraklGetSettingsOperator, {"setting": "hierarchies"}),
        (MiraklExtractOperator, {"operation": "OR11", "target": "target"}),
    ):
        with pytest.raises(MiraklConfigurationError, match="query: price must be a text, a number") as caught:
            run(kind, query={"price": value}, **more)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("written", [str, json.dumps])
def test_changes_of_a_shop_as_text(run, written):
    changes = written({"description": "We sell things."})
    assert run(MiraklUpdateShopOperator, changes=changes, mirakl_conn_id="mirakl_shop")["succeeded"] == 1


def test_changes_that_cannot_be_read_are_not_shown(run):
    with pytest.raises(MiraklConfigurationError) as caught:
        run(MiraklUpdateShopOperator, changes="{'iban': DE00}", mirakl_conn_id="mirakl_shop")
    assert "DE00" not in str(caught.value)


def test_paths_as_objects(run):
    assert run(MiraklExportProductsOperator, target=run.target)["items"] > 1
    assert run.target.exists()
