"""Ids that are not what they look like are refused wherever ids are sent, not only in a catalog."""

from __future__ import annotations

import pytest

from airflow_provider_mirakl.actions.rows import checked
from airflow_provider_mirakl.actions.table import ACTIONS
from airflow_provider_mirakl.checks.offers import check_offer
from airflow_provider_mirakl.exceptions import MiraklInputError
from airflow_provider_mirakl.files.text import unseen
from airflow_provider_mirakl.repair.synchronization import check_product

ENDS = ["O-1 ", " O-1", "O-1\u00a0", "\u200bO-1", "\ufeffO-1", "O-1\n", "\u3000O-1"]
INSIDE = ["O\u200b-1", "O\u00ad1", "O\n1"]
OFFER = {
    "product_id": "SKU-001", "product_id_type": "SKU", "price": 10, "state_code": "11", "update_delete": "update",
}  # fmt: skip


@pytest.mark.parametrize("item_id", [*ENDS, *INSIDE])
def test_what_cannot_be_seen_is_named(item_id: str) -> None:
    assert "U+" in (unseen(item_id) or "")
    (offer,) = check_offer(OFFER | {"shop_sku": item_id})
    assert offer.field == "shop_sku"
    (product,) = check_product({"mirakl_product_id": "MP-1", "product_sku": item_id})
    assert product.field == "product_sku"


@pytest.mark.parametrize("item_id", ["O-1", "O 1", "Ö-1", "商品1", "0"])
def test_what_is_seen_is_left_alone(item_id: str) -> None:
    assert unseen(item_id) is None
    assert check_offer(OFFER | {"shop_sku": item_id}) == []
    assert check_product({"mirakl_product_id": "MP-1", "product_sku": item_id}) == []


@pytest.mark.parametrize("order_id", [*INSIDE, "  ", "\u200b"])
def test_an_order_is_not_guessed(order_id: str) -> None:
    rows = [{"order_id": order_id, "order_line_id": "1"}]
    with pytest.raises(MiraklInputError, match="order_id"):
        checked(rows, ACTIONS["accept"].columns, lambda row: None)


@pytest.mark.parametrize("order_id", ENDS)
def test_white_space_around_a_cell_is_not_part_of_an_order_s_id(order_id: str) -> None:
    (row,) = checked(
        [{"order_id": order_id, "order_line_id": "1"}], ACTIONS["accept"].columns, lambda row: None
    )
    assert row["order_id"] == "O-1"


def test_a_message_may_have_lines() -> None:
    rows = [{"conversation_id": "c", "body": "Hello,\nyour parcel left.\u00a0Bye"}]
    assert checked(rows, ACTIONS["answer_conversation"].columns, lambda row: None) == rows
