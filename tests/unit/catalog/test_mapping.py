"""Single cells on their way into a product: what they become, and what is refused rather than guessed."""

from __future__ import annotations

import importlib.util
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.catalog.cells import separated
from airflow_provider_mirakl.catalog.columns import Columns
from airflow_provider_mirakl.catalog.mapping import compile_columns
from airflow_provider_mirakl.catalog.plan import plan_upsert, read_chunk
from airflow_provider_mirakl.catalog.product import ProductChecker, RowError
from airflow_provider_mirakl.catalog.source import open_source
from airflow_provider_mirakl.exceptions import MiraklConfigurationError, MiraklInputError

CHECKER = ProductChecker()


def made(target: str, cell: Any, **settings: Any) -> dict[str, Any]:
    """The product that has this cell, after the check."""
    columns = Columns({"sku": "id", "cell": target}, currency="EUR", **settings)
    (row,) = compile_columns(columns, ["sku", "cell"])([{"sku": "A", "cell": cell}])
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
    ("text", "meanings"),
    [
        ("-1.234,50", "-1234.50 or -1.234; set thousands='.' and decimal=',' in columns, or write -1234.50"),
        ("-1.234.567", "-1234567 or -1.234"),
        ("1,234.50", "1234.50 or 1.234"),
        ("-1.249", "-1249 or -1.249"),
    ],
)
def test_the_advice_about_a_number_keeps_its_sign(text: str, meanings: str) -> None:
    row = b'{"id":"A","attributes":[{"id":"a","name":"a","type":"NUMERIC","value":"%s"}]}' % text.encode()
    with pytest.raises(RowError, match=re.escape(f"the number {text!r} could be {meanings}")):
        CHECKER.check(row)


@pytest.mark.parametrize("order", [("amount", "currency"), ("currency", "amount")])
@pytest.mark.parametrize("key", ["", "[FR]"])
@pytest.mark.parametrize("default", [None, "EUR"])
@pytest.mark.parametrize(
    ("amount", "currency", "price"),
    [
        ("$12", "USD", {"amount": 12, "currency": "USD"}),
        ("12.50 $", "CAD", {"amount": 12.5, "currency": "CAD"}),
        ("\u00a512", "JPY", {"amount": 12, "currency": "JPY"}),
        ("12", "USD", {"amount": 12, "currency": "USD"}),
        (12, "USD", {"amount": 12, "currency": "USD"}),
        ("12 GBP", "GBP", {"amount": 12, "currency": "GBP"}),
        ("12 GBP", "", {"amount": 12, "currency": "GBP"}),
        ("12 GBP", "USD", {"amount": "GBP and USD", "currency": "USD"}),
        ("$12", "GBP", {"amount": "$12", "currency": "GBP"}),
    ],
)
def test_a_currency_counts_wherever_its_column_is(
    order: tuple[str, str], key: str, default: str | None, amount: Any, currency: str, price: dict[str, Any]
) -> None:
    mapping = {"sku": "id"} | {name: f"standard_prices{key}.{name}" for name in order}
    cells = {"sku": "A", "amount": amount, "currency": currency}
    (row,) = compile_columns(Columns(mapping, currency=default), list(mapping))([cells])
    assert json.loads(row)["standard_prices"][0]["price"] == price


@pytest.mark.parametrize("text", ["1\u0662", "12.\u0665", "\uff11"])
@pytest.mark.parametrize("target", ["standard_prices.amount", "quantities", "attributes[a]:NUMERIC"])
def test_digits_of_other_scripts_name_their_field(target: str, text: str) -> None:
    """They are no JSON, so the row could not even be read."""
    with pytest.raises(RowError, match=r"id 'A', .*(amount|quantity|value): expected a"):
        made(target, text)


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


@pytest.mark.parametrize(
    ("cell", "stock"), [("0", 0), ("10", 10), ("5.0", 5), (5.0, 5), (Decimal("3.00"), 3)]
)
def test_what_becomes_a_whole_number(cell: object, stock: int) -> None:
    assert made("quantities", cell)["quantities"] == [{"available_quantity": stock}]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("true", True),
        (" Yes ", True),
        ("1", True),
        (1, True),
        (True, True),
        ("FALSE", False),
        ("no", False),
        ("0", False),
    ],
)
def test_what_becomes_true_or_false(cell: object, value: bool) -> None:
    (attribute,) = made("attributes[a]", cell, attribute_types={"a": "BOOLEAN"})["attributes"]
    assert attribute["value"] is value


def test_leading_zeros_of_a_number_are_refused_with_the_number() -> None:
    """Maybe it is the code of something else."""
    with pytest.raises(RowError, match="got the text '007'; write 7 without quotes"):
        made("quantities", "007")
    with pytest.raises(RowError, match=r"got the text '-00\.50'; write -0\.50 without quotes"):
        made("standard_prices.amount", "-00.50")


def test_several_values_of_a_cell_are_each_sent_once() -> None:
    cell = "4006381333931|12345670||4006381333931"
    assert [one["value"] for one in made("gtins", cell)["gtins"]] == ["4006381333931", "12345670"]


@pytest.mark.parametrize("cell", [1.5, 1e23, float("nan"), ["a"], {"a": 1}])
def test_what_is_no_text_is_refused_and_not_made_one(cell: object) -> None:
    for target in ("attributes[a]", "brand", "titles[en]"):
        with pytest.raises(RowError, match="text"):
            made(target, cell)


def test_an_empty_time_of_pandas_is_no_text() -> None:
    pandas = pytest.importorskip("pandas", reason="needs pandas: make venv installs it")
    with pytest.raises(RowError, match="NaN"):
        made("brand", pandas.NaT)
    assert made("discount_prices.start_date", pandas.NaT) == {"id": "A"}


def test_a_label_that_is_no_number_is_not_sent_as_a_text() -> None:
    with pytest.raises(RowError, match="NaN"):
        made("category.labels[en]", float("nan"))


MIXED: dict[str, list[Any]] = {
    "brand": ["Acme", "", None, 5, "Acme"],
    "gtins": ["4006381333931", "", "4006381333931|12345670", ["12345670", "12345670"], None],
    "images": ["https://a/1", "https://a/1, https://a/2", ["https://a/1"], None, "https://a/1,2"],
    "titles[en]": [" Lamp ", "", "  ", 7, "Lamp \u00e9"],
    "titles[fr]": ["", "Lampe", None, "Lampe", "a\nb"],
    "category.id": ["Home > Lamps", "", "Home > Lamps", None, "lamps"],
    "category.labels[en]": ["", "Light", "", None, "Lamps"],
    "attributes[a]": ["x", "", True, "true", None],
    "attributes[n]:NUMERIC": ["1", 1, True, "1", "1.50"],
    "attributes[b]:BOOLEAN": ["1", 1, True, "no", ""],
    "quantities[LYON]": ["3", 3.0, "3", None, ""],
    "standard_prices.amount": ["12.50", 12.5, "EUR 3", "", None],
    "discount_prices.amount": ["", "3", None, Decimal("1.50"), "3"],
    "discount_prices.start_date": ["2026-01-01T00:00:00Z"] * 5,
}


@pytest.mark.parametrize("empty", ["absent", "null"])
def test_a_row_does_not_depend_on_those_beside_it(empty: Any) -> None:
    """Rows are built many at once, and what is repeated is remembered: the text 1 is not the number, nor true."""
    columns = Columns(
        {"sku": "id", **{name: name for name in MIXED}}, currency="EUR", locale="en", empty=empty
    )
    build = compile_columns(columns, ["sku", *MIXED])
    records = [{"sku": f"A{at}", **{name: cells[at] for name, cells in MIXED.items()}} for at in range(5)]
    alone = [compile_columns(columns, ["sku", *MIXED])([record])[0] for record in records]
    assert build(records) == build(records) == alone
    assert json.loads(alone[0]) == {
        "id": "A0",
        "brand": "Acme",
        "gtins": [{"value": "4006381333931"}],
        "images": [{"url": "https://a/1"}],
        "titles": [{"locale": "en", "value": "Lamp"}],
        "category": {"id": "Lamps", "labels": [{"locale": "en", "value": "Lamps"}]},
        "attributes": [
            {"id": "a", "name": "a", "type": "STRING", "value": "x"},
            {"id": "n", "name": "n", "type": "NUMERIC", "value": 1},
            {"id": "b", "name": "b", "type": "BOOLEAN", "value": True},
        ],
        "quantities": [{"available_quantity": 3, "warehouse_code": "LYON"}],
        "standard_prices": [{"price": {"amount": 12.5, "currency": "EUR"}}],
        **({"discount_prices": None} if empty == "null" else {}),
    }
    numbers = [one["value"] for row in alone for one in json.loads(row)["attributes"] if one["id"] == "n"]
    assert list(map(repr, numbers)) == ["1", "1", "True", "1", "1.5"]


def test_one_row_that_cannot_be_written_does_not_refuse_the_others(tmp_path: Any) -> None:
    rows = [{"id": "A", "brand": "x"}, {"id": "B", "brand": b"x"}, {"id": "C", "brand": "x"}]
    columns = Columns({"id": "id", "brand": "brand"})
    plan = plan_upsert(rows, tmp_path, columns=columns, on_invalid="reject")
    assert (plan.products, plan.rejected) == (2, 1)
    assert "[1]" in (tmp_path / "rejects.ndjson").read_text()


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
        ("1e10", "10000000000.0 is too large; Connect accepts at most 1000000000"),
        ("-1.0", "-1.0 is too small; Connect accepts 0 or more"),
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
    pyarrow, parquet = (
        pytest.importorskip("pyarrow", reason="needs pyarrow: make venv installs it"),
        pytest.importorskip("pyarrow.parquet", reason="needs pyarrow: make venv installs it"),
    )
    if unit == "ns" and importlib.util.find_spec("pandas"):
        pytest.skip("needs an environment without pandas, in which a time has no nanoseconds: uninstall it")
    column = pyarrow.array([moment], pyarrow.timestamp(unit, "UTC"))
    parquet.write_table(pyarrow.table({"id": ["A"], "from": column}), tmp_path / "p.parquet")
    columns = Columns({"id": "id", "from": "discount_prices.start_date"}, currency="EUR")
    with pytest.raises(MiraklInputError, match="column from: contains a value that cannot be read"):
        plan_upsert(tmp_path / "p.parquet", tmp_path / "plan", columns=columns)


def test_a_number_of_four_bytes_keeps_its_digits(tmp_path: Any) -> None:
    pyarrow, parquet = (
        pytest.importorskip("pyarrow", reason="needs pyarrow: make venv installs it"),
        pytest.importorskip("pyarrow.parquet", reason="needs pyarrow: make venv installs it"),
    )
    prices = pyarrow.array([19.99, None, 16777216.0, 1e10], pyarrow.float32())
    parquet.write_table(pyarrow.table({"id": list("ABCD"), "price": prices}), tmp_path / "p.parquet")
    plan = plan_upsert(tmp_path / "p.parquet", tmp_path / "plan", columns=Columns(currency="EUR"))
    rows = [json.loads(row) for row in read_chunk(plan.folder, plan.chunks[0])]
    amounts = [row["standard_prices"][0]["price"]["amount"] for row in rows if "standard_prices" in row]
    assert amounts == [19.99, 16777216.0, 1e10]


def test_a_gtin_that_a_spreadsheet_showed_is_one_value() -> None:
    """A German spreadsheet writes a decimal comma, which else separates GTINs."""
    assert separated("4,00638E+12", "gtins", None) == ["4,00638E+12"]
    assert separated("4006381333931,4,00638E+12", "gtins", None) == ["4006381333931", "4,00638E+12"]
    assert separated("4006381333931, 96385074", "gtins", None) == ["4006381333931", "96385074"]


# --- Lists of which only some cells have a value ----------------------------------------------------------------

KEYED = {
    "titles": ("titles[en_US]", "titles[fr_FR]", "locales"),
    "descriptions": ("descriptions[en_US]", "descriptions[fr_FR]", "locales"),
    "category": ("category.labels[en_US]", "category.labels[fr_FR]", "locales of its label"),
    "attributes": ("attributes[a]", "attributes[b]", "attributes"),
    "quantities": ("quantities[LYON]", "quantities[PARIS]", "warehouses"),
    "partner_quantities": ("partner_quantities[P1]", "partner_quantities[P2]", "partners"),
    "standard_prices": ("standard_prices[A].amount", "standard_prices[B].amount", "scopes"),
    "discount_prices": ("discount_prices[A].amount", "discount_prices[B].amount", "scopes"),
}


@pytest.mark.parametrize("field", KEYED)
def test_a_list_that_lacks_some_of_its_mapped_entries_is_named_once(
    field: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one, two, what = KEYED[field]
    columns = Columns({"sku": "id", "x": one, "y": two, "brand": "brand"}, currency="EUR")
    cells = [("1", "2"), ("1", ""), ("", "2"), ("", ""), ("1", None)] * 200
    # What cannot be written is built a second time, by itself.
    rows = [{"sku": f"A{at}", "x": x, "y": y or None} for at, (x, y) in enumerate(cells)]
    rows += [{"sku": "B", "x": "1", "y": "", "brand": b"x"}]
    plan_upsert(rows, tmp_path, columns=columns, on_invalid="reject")
    (words,) = [message for message in caplog.messages if message.startswith(f"{field}:")]
    assert words == (
        f"{field}: 600 products without a value for some of the mapped {what}; what is sent replaces the list in "
        "Connect"
    )


@pytest.mark.parametrize("cells", [("1", "2"), ("", ""), (None, None)])
@pytest.mark.parametrize("field", KEYED)
def test_a_whole_list_and_an_absent_one_are_not_named(
    field: str, cells: tuple[Any, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one, two, _ = KEYED[field]
    columns = Columns({"sku": "id", "x": one, "y": two}, currency="EUR")
    plan_upsert([{"sku": "A", "x": cells[0], "y": cells[1]}], tmp_path, columns=columns)
    assert not caplog.messages


def test_the_count_goes_on_when_a_function_adds_a_column(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "adding_shop.py").write_text(
        "def add(rows):\n    return [{**r, 'brand': 'x'} if r['id'] == 'A900' else r for r in rows]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    lines = [f"A{at},Lamp,{'' if at % 2 else 'Lampe'}" for at in range(1000)]
    path = tmp_path / "feed.csv"
    path.write_text("\n".join(["id,title_en,title_fr", *lines]))
    plan = plan_upsert(path, tmp_path / "plan", transform="adding_shop.add")
    assert [message.partition(" without")[0] for message in caplog.messages] == ["titles: 500 products"]
    source = open_source(path, transform="adding_shop.add")
    for _ in range(2):
        list(source.batches())
        assert len(source.notes) == 1
    assert plan.products == 1000
