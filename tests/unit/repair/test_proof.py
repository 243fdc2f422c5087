"""The result of one product: the state on the instance against the report."""

from __future__ import annotations

import msgspec
import pytest

from airflow_provider_mirakl.outcome import ItemResult
from airflow_provider_mirakl.repair.pairs import Pair
from airflow_provider_mirakl.repair.proof import ProductState, products_settled, read_states, result_of

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


def element(**fields):
    return {"mirakl_product_id": "M", "product_sku": "S", **fields}


@pytest.mark.parametrize(
    ("said", "state"),
    [
        (element(synchronization="x"), ProductState("", "S")),
        (element(synchronization={"status": "ERROR", "integration_errors": ["x"]}), ProductState("ERROR", "S", ("x",))),
        (element(synchronization={"status": "ERROR", "integration_errors": "xy"}), ProductState("ERROR", "S", ("xy",))),
        (element(product_sku=12, synchronization={"status": "PENDING"}), ProductState("PENDING", "12")),
        (element(product_sku=None), ProductState("")),
    ],
)  # fmt: skip
def test_a_malformed_element_is_a_state_that_a_note_keeps(said, state):
    assert read_states(["M"], [[said]]) == {"M": state}
    kept = msgspec.json.encode(read_states(["M"], [[said]]))
    assert msgspec.json.decode(kept, type=dict[str, ProductState]) == {"M": state}


@pytest.mark.parametrize("failing", ["010", ["B"]], ids=["today", "stored by an earlier version"])
def test_errors_of_before_are_waited_for_in_both_forms_of_the_argument(failing):
    notes = {}
    steps = products_settled(notes, product_ids=["A", "B", "C"], failing=failing)
    next(steps)
    answer = [{"mirakl_product_id": key, "synchronization": {"status": "ERROR"}} for key in "ABC"]
    with pytest.raises(StopIteration) as stop:
        steps.send(answer)
    assert stop.value.value is None
    assert notes["open"] == ["B"]
