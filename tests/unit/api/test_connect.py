"""Mirakl Connect's three calls."""

from __future__ import annotations

import json

import pytest

from airflow_provider_mirakl.api.connect import MAX_PRODUCTS, delete_products, list_products, upsert_products
from airflow_provider_mirakl.exceptions import MiraklInputError


def test_upsert() -> None:
    call = upsert_products([{"id": "1", "brand": None}])
    assert isinstance(call.body, bytes)
    assert json.loads(call.body) == {"products": [{"id": "1", "brand": None}]}
    assert upsert_products(b"as it is").body == b"as it is"


@pytest.mark.parametrize("count", [0, MAX_PRODUCTS + 1])
def test_how_many(count: int) -> None:
    with pytest.raises(MiraklInputError, match="Connect accepts 1 to 1,000"):
        upsert_products([{"id": "1"}] * count)
    with pytest.raises(MiraklInputError, match="Connect accepts 1 to 1,000"):
        delete_products(["1"] * count)
    if count:
        upsert_products([{"id": "1"}] * (count - 1))


def test_delete() -> None:
    call = delete_products(iter(["1", "ö" * 256]))
    assert isinstance(call.body, bytes)
    assert json.loads(call.body) == {"products": [{"id": "1"}, {"id": "ö" * 256}]}
    assert delete_products(b"as it is").body == b"as it is"


@pytest.mark.parametrize("ids", [[""], ["x" * 257], "abc"])
def test_ids_that_cannot_be_one(ids: list[str]) -> None:
    """A text is a list of letters: it would delete three products."""
    with pytest.raises(MiraklInputError):
        delete_products(ids)


@pytest.mark.parametrize("limit", [0, 1001, -1])
def test_limits(limit: int) -> None:
    with pytest.raises(MiraklInputError, match="limit"):
        list_products(limit=limit)
