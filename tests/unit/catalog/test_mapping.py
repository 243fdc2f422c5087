"""Single cells on their way into a product: what they become, and what is refused rather than guessed."""

from __future__ import annotations

import importlib.util
import json
from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_mirakl.catalog.mapping import Columns, compile_columns
from airflow_provider_mirakl.catalog.plan import plan_upsert, read_chunk
from airflow_provider_mirakl.catalog.product import ProductChecker, RowError
from airflow_provider_mirakl.exceptions import MiraklConfigurationError, MiraklInputError

CHECKER = ProductChecker()


def made(target: str, cell: Any, **settings: Any) -> dict[str, Any]:
    """The product that has this cell, after the check."""
    columns = Columns({"sku": "id", "cell": target}, currency="EUR", **settings)
    row = compile_columns(columns, ["sku", "cell"])({"sku": "A", "cell": cell})
    CHECKER.check(row)
    product: dict[str, Any] = json.loads(row)
    return product


@pytest.mark.parametrize(("text", "amount"), [("12,5", 12.5), ("1249", 1249), ("0,10", 0.1)])
def test_a_decimal_comma(text: str, amount: float) -> None:
    assert (
        made("standard_prices.amount", text, decimal=",")["standard_prices"][0]["price"]["amount"] == amount
    )


@pytest.mark.parametrize("text", ["1.249", "1.249,00", "12.5"])
def test_a_point_beside_a_decimal_comma_is_not_guessed(text: str) -> None:
    with pytest.raises(RowError, match="number"):
        made("standard_prices.amount", text, decimal=",")


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (True, "true"),
        (False, "false"),
        (1e5, "100000"),
        (4006381333931.0, "4006381333931"),
        (Decimal("1E+5"), "100000"),
        (Decimal("12.50"), "12.50"),
        ("007", "007"),
        ("1e5", "1e5"),
    ],
)
def test_what_becomes_a_text(cell: object, text: str) -> None:
    assert made("attributes[a]", cell)["attributes"][0]["value"] == text


@pytest.mark.parametrize("cell", [1.5, 1e23, float("nan"), ["a"], {"a": 1}])
def test_what_is_no_text_is_refused_and_not_made_one(cell: object) -> None:
    for target in ("attributes[a]", "brand", "titles[en]"):
        with pytest.raises(RowError, match="text"):
            made(target, cell)


def test_bytes_are_a_bad_row(tmp_path: Any) -> None:
    with pytest.raises(MiraklInputError, match=r"bytes .* are not text"):
        plan_upsert([{"id": "A", "brand": b"x"}], tmp_path, columns=Columns({"id": "id", "brand": "brand"}))


def test_a_list_is_several_values(tmp_path: Any) -> None:
    row = {"id": "A", "ean": ["12345670", None, 4006381333931.0], "image": ["https://a/1|2"]}
    columns = Columns({"id": "id", "ean": "gtins", "image": "images"}, separator=";")
    plan = plan_upsert([row], tmp_path, columns=columns)
    assert json.loads(read_chunk(plan.folder, plan.chunks[0])[0]) == {
        "id": "A",
        "gtins": [{"value": "12345670"}, {"value": "4006381333931"}],
        "images": [{"url": "https://a/1|2"}],
    }


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("brand[x]", "a product has one brand, without a key"),
        ("category.id[x]", "a product has one category.id, without a key"),
        ("category.labels[fr].id", "has two subfields, labels and id"),
        ("standard_prices.amount[A].currency", "has two subfields, amount and currency"),
    ],
)
def test_a_target_of_which_a_part_would_be_left_aside(target: str, words: str) -> None:
    with pytest.raises(MiraklInputError, match=words):
        made(target, "x")


def test_every_setting_that_cannot_work_is_named_at_once() -> None:
    wrong: dict[str, Any] = {"separator": "", "delimiter": ";;", "currency": "Euro"}
    for make, more in (
        (Columns.from_settings, {"maping": {}}),
        (lambda settings: Columns(**settings), {"decimal": ";", "empty": "none"}),
    ):
        with pytest.raises(MiraklConfigurationError) as caught:
            make(wrong | more)
        for name in (*wrong, *more):
            assert f"{name}: " in str(caught.value)
        assert caught.value.field == "columns"


@pytest.mark.parametrize("letter", ["a", "é", "漢", "😀"])
def test_limits_count_characters(letter: str) -> None:
    limits = {"brand": 255, "titles[en]": 255, "descriptions[en]": 6000, "attributes[a]": 2000}
    for target, limit in limits.items():
        made(target, letter * limit)
        with pytest.raises(RowError, match=f"has {limit + 1} characters"):
            made(target, letter * (limit + 1))


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("1.0", "expected a whole number, got 1.0; write 1"),
        ("1e5", "expected a whole number, got 100000.0; write 100000"),
        ("1.5", "expected a whole number, got the number 1.5"),
        ("1e10", "10000000000.0 is too large; Connect takes at most 1000000000"),
        ("-1.0", "-1.0 is too small; Connect takes 0 or more"),
    ],
)
def test_a_fraction_in_json_where_a_whole_number_belongs(number: str, words: str) -> None:
    row = b'{"id":"A","quantities":[{"available_quantity":%s}]}' % number.encode()
    with pytest.raises(RowError) as caught:
        CHECKER.check(row)
    assert words in str(caught.value)


@pytest.mark.parametrize(("unit", "moment"), [("ns", 1767323045123456789), ("s", 10**12)])
def test_a_moment_that_python_does_not_have_is_named_by_its_column(
    unit: str, moment: int, tmp_path: Any
) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    if unit == "ns" and importlib.util.find_spec("pandas"):
        pytest.skip("with pandas a moment has nanoseconds")
    column = pyarrow.array([moment], pyarrow.timestamp(unit, "UTC"))
    parquet.write_table(pyarrow.table({"id": ["A"], "from": column}), tmp_path / "p.parquet")
    columns = Columns({"id": "id", "from": "discount_prices.start_date"}, currency="EUR")
    with pytest.raises(MiraklInputError, match="column from: contains a value that cannot be read"):
        plan_upsert(tmp_path / "p.parquet", tmp_path / "plan", columns=columns)


def test_a_number_of_four_bytes_keeps_its_digits(tmp_path: Any) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    prices = pyarrow.array([19.99, None, 16777216.0, 1e10], pyarrow.float32())
    parquet.write_table(pyarrow.table({"id": list("ABCD"), "price": prices}), tmp_path / "p.parquet")
    plan = plan_upsert(tmp_path / "p.parquet", tmp_path / "plan", columns=Columns(currency="EUR"))
    rows = [json.loads(row) for row in read_chunk(plan.folder, plan.chunks[0])]
    amounts = [row["standard_prices"][0]["price"]["amount"] for row in rows if "standard_prices" in row]
    assert amounts == [19.99, 16777216.0, 1e10]
