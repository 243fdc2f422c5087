"""The result of one product: the state on the instance against the report."""

from __future__ import annotations

import pytest

from airflow_provider_mirakl.outcome import ItemResult
from airflow_provider_mirakl.repair.pairs import Pair
from airflow_provider_mirakl.repair.proof import ProductState, result_of

SYNCHRONIZED, PENDING, NONE = ProductState("SYNCHRONIZED", "S"), ProductState("PENDING", "S"), ProductState()
WELL, FAILED, SILENT = (
    ItemResult("S", "succeeded"),
    ItemResult("S", "failed", "E"),
    ItemResult("S", "unknown"),
)


@pytest.mark.parametrize(
    ("after", "reported", "status", "code"),
    [
        (SYNCHRONIZED, None, "succeeded", None),
        (SYNCHRONIZED, WELL, "succeeded", None),
        (SYNCHRONIZED, SILENT, "succeeded", None),
        (SYNCHRONIZED, FAILED, "failed", "E"),
        (ProductState("SYNCHRONIZED", "other"), WELL, "unknown", "OTHER_SKU"),
        (PENDING, WELL, "unknown", "PENDING"),  # one says yes, the other not yet
        (PENDING, SILENT, "failed", "PENDING"),  # an element without a result is not a success
        (PENDING, None, "failed", "PENDING"),
        (ProductState("INTEGRATION_ERRORS", "S", ("E: no",)), WELL, "failed", "INTEGRATION_ERRORS"),
        (
            ProductState("ON_HOLD", "S"),
            None,
            "unknown",
            "ON_HOLD",
        ),  # a word that is not documented proves nothing
        (ProductState("ON_HOLD", "S"), WELL, "unknown", "ON_HOLD"),
        (ProductState("", "S"), SILENT, "unknown", "NO_STATUS"),
        (ProductState("ON_HOLD", "S"), FAILED, "failed", "E"),
        (NONE, WELL, "failed", "NOT_FOUND"),
        (None, WELL, "succeeded", None),
        (None, SILENT, "unknown", None),
        (None, None, "unknown", "NO_REPORT"),
    ],
)
def test_result_of(after, reported, status, code):
    result = result_of(Pair("M", "S"), after, reported, ("NO_REPORT", "silence"))
    assert (result.item_id, result.status, result.code) == ("M", status, code)
