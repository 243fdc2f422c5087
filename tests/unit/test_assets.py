"""Addresses of what a Dag changes in Mirakl."""

from __future__ import annotations

from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from airflow_provider_mirakl.assets import (
    NAMES,
    annotate,
    asset_of,
    connect_catalog,
    convert_asset_to_openlineage,
    instance_data,
    sanitize_uri,
)

ADDRESSES = [f"{scheme}://my_conn/{name}" for scheme, names in NAMES.items() for name in names]


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_name_is_an_address_that_airflow_accepts(address):
    from airflow.providers.common.compat.sdk import Asset

    assert Asset(uri=address).uri == address
    assert sanitize_uri(urlsplit(f"{address}/")).geturl() == address


@pytest.mark.parametrize(
    "address",
    [
        "mirakl://my_conn/orders",
        "mirakl:///products",
        "mirakl-connect://my_conn/offers",
        "mirakl://my_conn/products?shop=1",
    ],
)
def test_another_address_is_refused_with_the_names_there_are(address):
    with pytest.raises(ValueError, match="the name is one of products"):
        sanitize_uri(urlsplit(address))


def test_the_two_factories():
    assert connect_catalog("eu").uri == "mirakl-connect://eu/products"
    assert instance_data("stock", "shop").uri == "mirakl://shop/stock"
    with pytest.raises(ValueError, match="not 'orders'"):
        instance_data("orders", "shop")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("conn_id", "address"),
    [
        ("team/shop", "mirakl://team%2Fshop/stock"),
        ("shop#1", "mirakl://shop%231/stock"),
        ("a:b", "mirakl://a:b/stock"),
        ("a(b)!", "mirakl://a(b)!/stock"),
    ],
)
def test_every_connection_id_that_airflow_accepts_has_an_address(conn_id, address):
    """The address is made when the task has done its work, which an error would undo in Airflow but not in Mirakl."""
    asset = asset_of("mirakl", conn_id, "stock")
    assert asset is not None
    assert asset.uri == address == instance_data("stock", conn_id).uri
    assert sanitize_uri(urlsplit(asset.uri)).geturl() == address


def test_openlineage_names_the_connection_and_what_changed():
    pytest.importorskip(
        "airflow.providers.openlineage",
        reason="needs apache-airflow-providers-openlineage: make venv installs it",
    )
    dataset = convert_asset_to_openlineage(instance_data("stock", "shop"), None)
    assert (dataset.namespace, dataset.name) == ("mirakl://shop", "stock")


def test_the_outcome_goes_into_the_events_of_mirakl_only():
    from airflow.providers.common.compat.sdk import Asset

    mirakl, other = instance_data("offers", "shop"), Asset(uri="s3://bucket/key")
    events = {mirakl.uri: SimpleNamespace(extra={}), other.uri: SimpleNamespace(extra={})}

    class ByAddress:
        def __getitem__(self, asset):
            return events[asset.uri]

    annotate(ByAddress(), [mirakl, other], {"sent": 3})
    assert events[mirakl.uri].extra == {"sent": 3}
    assert events[other.uri].extra == {}
