"""Offers of OF24 and products of CM21: what is refused before a call, and what a table's columns become."""

from __future__ import annotations

import json
import math
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.catalog.source import open_source
from airflow_provider_mirakl.checks.offers import check_offer, compile_offers
from airflow_provider_mirakl.exceptions import MiraklInputError
from airflow_provider_mirakl.repair.synchronization import check_product, compile_products

GOOD = {
    "shop_sku": "O-1",
    "product_id": "SKU-001",
    "product_id_type": "SKU",
    "price": 10.5,
    "state_code": "11",
    "update_delete": "",
}


def said(offer: Any, *, few: bool = False) -> list[str]:
    return [str(problem) for problem in check_offer(offer, few=few)]


def test_every_required_field_is_named() -> None:
    assert said({}) == [f"{field}: is missing" for field in GOOD if field != "update_delete"] + [
        "update_delete: is missing"
    ]
    assert said({"shop_sku": "a", "update_delete": "delete"}, few=True) == []


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"price": "x"}, "price: must be a number, not 'x'"),
        ({"price": "10.5"}, "price: must be a number, not '10.5'; write it without quotes"),
        ({"price": float("nan")}, "price: must be a number, not nan"),
        ({"price": True}, "price: must be a number, not True"),
        ({"quantity": "3"}, "quantity: must be a whole number, not '3'; write it without quotes"),
        ({"quantity": 3.5}, "quantity: must be a whole number, not 3.5"),
        (
            {"quantity": 2**31},
            "quantity: must be a whole number of 32 bits (2,147,483,647 at most), not 2147483648",
        ),
        ({"state_code": 11}, "state_code: must be a string, not 11"),
        ({"allow_quote_requests": "yes"}, "allow_quote_requests: must be true or false, not 'yes'"),
        ({"update_delete": "remove"}, "update_delete: must be 'update', 'delete' or empty"),
        ({"product_sku": "a"}, "product_sku: is not a field of OF24; did you mean 'product_id'?"),
        ({"sku": "a"}, "sku: is not a field of OF24; did you mean 'shop_sku'?"),
        ({"quantiy": 3}, "quantiy: is not a field of OF24; did you mean 'quantity'?"),
        ({"discount": {"prise": 3}}, "discount.prise: is not a field of OF24; did you mean 'price'?"),
        ({"discount": 3}, "discount: must be an object, not 3"),
        ({"available_ended": "31.01.2027"}, "available_ended: must be a date-time in ISO 8601"),
        ({"all_prices": {}}, "all_prices: must be a list, not {}"),
        (
            {"all_prices": [{"volume_prices": [{"quantity_threshold": 2}]}]},
            "all_prices[0].volume_prices[0].unit_origin_price: is missing",
        ),
    ],
)
def test_a_fault_names_field_and_fix(more: dict[str, Any], words: str) -> None:
    (message,) = said({**GOOD, **more})
    assert message.startswith(f"id 'O-1', {words}")


def test_a_whole_offer_is_good() -> None:
    offer = {
        **GOOD,
        "discount": {"price": 9, "start_date": None, "ranges": [{"price": 8.5, "quantity_threshold": 10}]},
        "available_started": "2026-02-20T10:45:53+01:00",
        "offer_additional_fields": [{"code": "warranty", "type": "NUMERIC", "value": 24}],
        "eco_contributions": [{"epr_category_code": "FR-DEA", "eco_contribution_amount": 3.59}],
        "quantity": 3,
        "description": None,
    }
    assert said(offer) == []
    assert said([1]) == ["must be an object, not list"]


def made(build: Any, **cells: Any) -> Any:
    return json.loads(build([cells])[0])


def test_columns_of_offers() -> None:
    heading = ["Shop-SKU", "product_id", "price", "quantity", "update_delete", "discount.price", "all_prices"]
    build = compile_offers(heading)
    cells: dict[str, Any] = {
        "Shop-SKU": " 007\u00a0",
        "product_id": 4006381333931,
        "price": "10,50",
        "quantity": "3",
        "update_delete": "",
        "discount.price": "9.90",
        "all_prices": '[{"unit_origin_price": 1}]',
    }
    assert json.loads(build([cells])[0]) == {
        "shop_sku": "007",
        "product_id": "4006381333931",
        "price": 10.5,
        "quantity": 3,
        "update_delete": "",
        "discount": {"price": 9.9},
        "all_prices": [{"unit_origin_price": 1}],
    }
    # What does not fit, or could mean two numbers, goes on as it is: the check of the offer names it.
    assert made(build, price="1,249", quantity="1.000", all_prices="[") == {
        "price": "1,249",
        "quantity": "1.000",
        "all_prices": "[",
    }


@pytest.mark.parametrize("value", [float("inf"), Decimal("-Infinity"), "Infinity"])
@pytest.mark.parametrize("field", ["msrp", "quantity", "description", "allow_quote_requests"])
def test_an_infinite_number_is_never_null(value: Any, field: str) -> None:
    """null would erase what Mirakl has."""
    found = made(compile_offers([field]), **{field: value})
    if field == "description":
        assert found[field] in (math.inf, -math.inf, str(value))
    else:
        assert said({**GOOD, **found}) != []


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400"])
def test_a_number_inside_a_cell_of_json_is_never_null(number: str) -> None:
    build = compile_offers(["all_prices"])
    found = made(build, all_prices=f'[{{"unit_origin_price": {number}}}]')
    assert "all_prices[0].unit_origin_price: must be a number" in said({**GOOD, **found})[0]
    nested = made(build, all_prices=[{"unit_origin_price": float(number)}])
    assert "all_prices[0].unit_origin_price: must be a number" in said({**GOOD, **nested})[0]


def test_numbers_of_a_database_keep_their_digits() -> None:
    build = compile_offers(["shop_sku", "price", "quantity", "all_prices"])
    prices = [{"unit_origin_price": Decimal("19.90")}]
    (row,) = build(
        [
            {
                "shop_sku": Decimal("1E+2"),
                "price": Decimal("12.50"),
                "quantity": Decimal("5.00"),
                "all_prices": prices,
            }
        ]
    )
    assert row == b'{"shop_sku":"100","price":12.50,"quantity":5,"all_prices":[{"unit_origin_price":19.90}]}'
    assert build([{"all_prices": '[{"unit_origin_price": 1.10}]'}]) == [
        b'{"all_prices":[{"unit_origin_price":1.10}]}'
    ]


def test_an_id_that_a_float_has_rounded_is_refused() -> None:
    build = compile_offers(["shop_sku"])
    assert made(build, shop_sku=4006381333931.0) == {"shop_sku": "4006381333931"}
    assert "shop_sku: must be a string, not 1.2345678901234567e+19" in said(
        {**GOOD, **made(build, shop_sku=1.2345678901234567e19)}
    )


def test_times_of_libraries_are_iso_8601() -> None:
    pandas = pytest.importorskip("pandas", reason="needs pandas: make venv installs it")
    build = compile_offers(["available_started"])
    for moment in ("2026-01-01 10:00", "2026-01-01 12:00+02:00"):
        for made_by in (pandas.Timestamp, datetime.fromisoformat):
            written = made(build, available_started=made_by(moment))["available_started"]
            assert written == "2026-01-01T10:00:00" + ("Z" if "+" in moment else "")


def test_bytes_are_no_sku() -> None:
    with pytest.raises(TypeError, match=r"bytes .* are not text"):
        compile_offers(["shop_sku"])([{"shop_sku": b"A1"}])


@pytest.mark.parametrize("prices", [["12,50", "1.249"], ["1.249", "12,50"]])
def test_a_number_that_a_decimal_comma_makes_unclear_stops_the_source(
    prices: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "offers.csv"
    rows = [f"A{at};{price};{price}" for at, price in enumerate(prices)]
    path.write_text("\n".join(["shop_sku;price;msrp", *rows]))
    with pytest.raises(MiraklInputError) as caught:
        list(open_source(path, compiled=compile_offers).batches())
    words = (
        "the number '1.249' could be 1.249 or 1249, because '12,50' has a decimal comma; write all numbers"
    )
    assert [str(problem).partition(" of the")[0] for problem in caught.value.problems] == [
        f"price: {words}",
        f"msrp: {words}",
    ]


def test_numbers_whose_decimal_sign_is_clear_are_read(tmp_path: Path) -> None:
    path = tmp_path / "offers.csv"
    path.write_text("shop_sku;price;msrp\nA;12,50;1.249\nB;12.50;12.50\nC;1249.001;0.125\n")
    (batch,) = open_source(path, compiled=compile_offers).batches()
    assert [(row["price"], row["msrp"]) for row in map(json.loads, batch.rows)] == [
        (12.5, 1.249),
        (12.5, 12.5),
        (1249.001, 0.125),
    ]


def test_columns_that_are_not_fields_are_all_named() -> None:
    with pytest.raises(MiraklInputError) as caught:
        compile_offers(["sku", "Discount Price", "note", "price", "PRICE", "discount", "discount.price"])
    assert [str(problem) for problem in caught.value.problems] == [
        "sku: is not a field of OF24; did you mean 'shop_sku'?",
        "Discount Price: is not a field of OF24; did you mean 'discount.price'?",
        "note: is not a field of OF24",
        "PRICE: 'price' is also set by column 'price'",
        "discount.price: 'discount.price' is also set by column 'discount'",
    ]


def test_columns_of_products() -> None:
    build = compile_products(["mirakl_product_id", "data.Color", "acceptance.status", "product_urls"])
    assert made(build, mirakl_product_id="M1", **{"data.Color": "red"}) == {
        "mirakl_product_id": "M1",
        "data": {"Color": "red"},
    }
    with pytest.raises(MiraklInputError, match="sku: is not a field of CM21; did you mean 'product_sku'"):
        compile_products(["mirakl_product_id", "sku"])
    assert "did you mean 'product_sku'?" in str(check_product({"sku": "a", "data": {}})[0])
