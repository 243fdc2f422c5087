"""The six uses of CM21, and what is none of them."""

from __future__ import annotations

import pytest

from airflow_provider_mirakl.repair.synchronization import check_product

ID, SKU = {"mirakl_product_id": "M"}, {"product_sku": "S"}
REJECTED = {"status": "REJECTED", "reason_code": "R"}


@pytest.mark.parametrize(
    "product",
    [
        ID | SKU,
        ID | {"integration_errors": [{"code": "E", "message": "m", "attribute_code": "a"}]},
        SKU | {"data": {"title": "T"}},
        SKU | {"data": {"title": "T"}, "acceptance": {"status": "ACCEPTED"}},
        ID | {"acceptance": REJECTED},
        SKU | {"acceptance": {"status": "TO_REVIEW", "reason_code": "R", "message": "why"}},
        ID | {"acceptance": {"status": "ACCEPTED", "channels": [{"code": "C"} | REJECTED]}},
        ID | {"acceptance": {"channels": [{"code": "C", "status": "ACCEPTED"}]}},
        ID | SKU | {"data": {"title": None}, "acceptance": {"status": "ACCEPTED"}},
        ID | {"operation": "DELETE"},
        ID | SKU | {"operation": "CREATE_UPDATE", "catalogs": ["C"]},
        ID | {"product_urls": [{"qualifier": "q", "link": "https://x"}]},
        ID | {"selling_authorization": {"restricted": True, "authorized_selling_shop_ids": ["2000"]}},
    ],
)
def test_what_has_a_use_passes(product):
    assert check_product(product) == []


@pytest.mark.parametrize(
    ("product", "field", "words"),
    [
        ("M", "", "must be an object, not str"),
        ({}, "", "does not identify a product"),
        ({"data": {"x": 1}}, "", "does not identify a product"),
        (ID, "", "contains nothing to do with the product"),
        (SKU, "", "contains nothing to do with the product"),
        (ID | {"titel": "x"}, "titel", "is not a field of CM21"),
        ({"mirakl_product_id": 5, "product_sku": "S"}, "mirakl_product_id", "a string that is not empty"),
        (ID | {"operation": "REMOVE"}, "operation", "CREATE_UPDATE or DELETE"),
        (SKU | {"operation": "DELETE"}, "mirakl_product_id", "product to delete"),
        (ID | {"operation": "DELETE", "data": {"x": 1}}, "data", "cannot be combined with operation DELETE"),
        (SKU | {"integration_errors": [{"code": "E"}]}, "mirakl_product_id", "product of integration errors"),
        (ID | {"acceptance": {"status": "MAYBE"}}, "acceptance.status", "must be ACCEPTED"),
        (ID | {"acceptance": {"status": "REJECTED"}}, "acceptance.reason_code", "REJECTED requires it"),
        (ID | {"acceptance": "ACCEPTED"}, "acceptance", "must be an object"),
        (
            ID | {"acceptance": {"status": "ACCEPTED", "channels": [REJECTED]}},
            "acceptance.channels[0].code",
            "identifies the channel",
        ),
        (
            ID | {"acceptance": {"status": "ACCEPTED", "channels": [{"code": "C", "status": "TO_REVIEW"}]}},
            "acceptance.channels[0].reason_code",
            "TO_REVIEW requires it",
        ),
        (ID | SKU | {"data": ["x"]}, "data", "an object of attribute codes"),
        (ID | {"catalogs": "C"}, "catalogs", "must be a list"),
        (ID | {"product_urls": [{"link": "x"}]}, "product_urls[0]", "needs qualifier and link"),
        (ID | {"selling_authorization": {"restricted": "no"}}, "selling_authorization", "needs restricted"),
    ],
)
def test_what_has_none_is_told_by_field(product, field, words):
    problems = check_product(product)
    assert [problem for problem in problems if problem.field == field and words in problem.message], problems
