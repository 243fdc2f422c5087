"""Tables of libraries as a source, products over several rows, and ready mappings."""

from __future__ import annotations

import csv
import io
import json
import math
import sqlite3
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_mirakl.catalog.cells import plain_text, truncated
from airflow_provider_mirakl.catalog.columns import PRESETS, Columns
from airflow_provider_mirakl.catalog.frames import shortest
from airflow_provider_mirakl.catalog.plan import Plan, plan_upsert, read_chunk
from airflow_provider_mirakl.exceptions import MiraklConfigurationError, MiraklInputError

Make = Callable[..., Any]
COLUMNS = Columns({"sku": "id", "name": "titles[en]", "price": "standard_prices.amount"}, currency="EUR")


def sent(plan: Plan) -> list[Any]:
    return [json.loads(row) for chunk in plan.chunks for row in read_chunk(plan.folder, chunk)]


def price(amount: float, currency: str = "EUR") -> list[Any]:
    return [{"price": {"amount": amount, "currency": currency}}]


TWO = [
    {"id": "A1", "titles": [{"locale": "en", "value": "x"}], "standard_prices": price(1.5)},
    {"id": "A2"},
]


def test_pandas(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="needs pandas: make venv installs it")
    frame = pandas.DataFrame({"sku": ["A1", "A2"], "price": [1.5, float("nan")], "name": ["x", None]})
    assert sent(plan_upsert(frame, tmp_path / "plan", columns=COLUMNS)) == TWO
    frame["price"] = frame["price"].astype("float32") + 18.49
    frame["sku"] = [7, 8]
    frame["until"] = [pandas.Timestamp("2026-02-19T16:46:00Z"), pandas.NaT]
    columns = Columns(
        {"sku": "id", "price": "discount_prices.amount", "until": "discount_prices.end_date"}, currency="EUR"
    )
    first, second = sent(plan_upsert(frame, tmp_path / "plan", columns=columns))
    assert first["discount_prices"] == [{**price(19.99)[0], "end_date": "2026-02-19T16:46:00Z"}]
    assert second == {"id": "8"}


def test_a_table_without_a_mapping_is_read_by_the_names_of_its_columns(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="needs pandas: make venv installs it")
    frame = pandas.DataFrame({"id": ["A"], "title_en": ["Lamp"], "brand": ["Acme"]})
    title = {"locale": "en", "value": "Lamp"}
    assert sent(plan_upsert(frame, tmp_path / "plan")) == [{"id": "A", "brand": "Acme", "titles": [title]}]


def test_pandas_in_batches_with_an_odd_index(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="needs pandas: make venv installs it")
    frame = pandas.DataFrame({"id": [f"A{number}" for number in range(2500)]}, index=[1] * 2500)
    plan = plan_upsert(frame, tmp_path / "plan")
    assert [row["id"] for row in sent(plan)] == list(frame["id"])
    assert plan.source.size == 2500
    assert plan_upsert(frame, tmp_path / "plan").id == plan.id


def test_polars(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars", reason="needs polars: make venv installs it")
    frame = polars.DataFrame({"sku": ["A1", "A2"], "price": [1.5, None], "name": ["x", None]})
    assert sent(plan_upsert(frame, tmp_path / "plan", columns=COLUMNS)) == TWO
    small = frame.with_columns(polars.Series("price", [19.99, float("nan")], dtype=polars.Float32))
    assert sent(plan_upsert(small, tmp_path / "plan", columns=COLUMNS))[0]["standard_prices"] == price(19.99)


def test_arrow_and_duckdb(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow: make venv installs it")
    table = pyarrow.table({"sku": ["A1", "A2"], "price": [1.5, None], "name": ["x", None]})
    assert sent(plan_upsert(table, tmp_path / "plan", columns=COLUMNS)) == TWO
    assert sent(plan_upsert(table.to_reader(), tmp_path / "plan", columns=COLUMNS)) == TWO
    duckdb = pytest.importorskip("duckdb", reason="needs duckdb: make venv installs it")
    relation = duckdb.sql(
        "select * from (values ('A1', 1.5::double, 'x'), ('A2', null, null)) as t(sku, price, name)"
    )
    assert sent(plan_upsert(relation, tmp_path / "plan", columns=COLUMNS)) == TWO


def test_small_floats_at_any_depth(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow: make venv installs it")
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow: make venv installs it")
    kind = pyarrow.list_(
        pyarrow.struct({"price": pyarrow.struct({"amount": pyarrow.float32(), "currency": pyarrow.string()})})
    )
    prices = [[{"price": {"amount": 19.99, "currency": "EUR"}}], None]
    table = pyarrow.table({"id": ["A", "B"], "standard_prices": pyarrow.array(prices, kind)})
    parquet.write_table(table, tmp_path / "p.parquet")
    assert sent(plan_upsert(tmp_path / "p.parquet", tmp_path / "plan")) == [
        {"id": "A", "standard_prices": price(19.99)},
        {"id": "B"},
    ]


def digits(value: float) -> int:
    """The number of significant digits that are written."""
    return len(Decimal(repr(value)).normalize().as_tuple().digits)


@given(st.floats(width=32, allow_nan=False), st.floats(width=16, allow_nan=False))
@example(3.4028234663852886e38, 65504.0)
@example(999999995904.0, 0.0)  # 1e12: one digit, and more zeros than the other has digits
def test_a_small_number_keeps_its_value_with_the_fewest_digits(four: float, two: float) -> None:
    for value, size in ((four, "f"), (two, "e")):
        written = shortest(value, size)
        assert struct.pack(size, written) == struct.pack(size, value)
        assert digits(written) <= digits(value)
    assert shortest(19.989999771118164, "f") == 19.99
    assert all(math.isnan(shortest(struct.unpack("<e", nan)[0], "e")) for nan in (b"\x01\x7c", b"\x00\xfe"))


def test_numbers_of_numpy_in_a_list(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy", reason="needs numpy: make venv installs it")
    rows = [
        {"id": "A", "quantities": [{"available_quantity": numpy.int64(3), "warehouse_code": "A"}]},
        {"id": "B", "standard_prices": price(numpy.float32(19.99))},
    ]
    first, second = sent(plan_upsert(rows, tmp_path / "plan"))
    assert first["quantities"][0]["available_quantity"] == 3
    assert second["standard_prices"] == price(19.99)


def test_values_of_a_database_in_products_keep_their_digits(tmp_path: Path) -> None:
    """Decimals, moments with a time zone, and small whole numbers, in Connect's own form."""
    numpy = pytest.importorskip("numpy", reason="needs numpy: make venv installs it")
    paris = timezone(timedelta(hours=1))
    row = {
        "id": "A",
        "quantities": [{"available_quantity": Decimal("3.00")}, {"available_quantity": numpy.int32(7)}],
        "standard_prices": [{"price": {"amount": Decimal("12.50"), "currency": "EUR"}}],
        "discount_prices": [
            {
                "price": {"amount": 9, "currency": "EUR"},
                "start_date": datetime(2026, 2, 19, 17, 46, tzinfo=paris),
            }
        ],
    }
    (found,) = sent(plan_upsert([row], tmp_path / "plan"))
    quantities = [entry["available_quantity"] for entry in found["quantities"]]
    assert (quantities, [type(entry) for entry in quantities]) == ([3, 7], [int, int])
    assert found["standard_prices"] == price(12.5)
    assert found["discount_prices"][0]["start_date"] == "2026-02-19T16:46:00Z"


def test_a_moment_without_a_time_zone_is_refused(tmp_path: Path) -> None:
    row = {"id": "A", "discount_prices": [{"start_date": datetime(2026, 2, 19, 17, 46)}]}  # noqa: DTZ001
    with pytest.raises(MiraklInputError, match="2026-02-19 17:46:00 has no time zone"):
        plan_upsert([row], tmp_path / "plan")


@pytest.mark.parametrize("row", [7, 7.5, True])
def test_a_row_that_is_a_number_is_named_as_one(row: Any, tmp_path: Path) -> None:
    plan = plan_upsert([row, {"id": "A"}], tmp_path / "plan", on_invalid="reject")
    assert (plan.products, plan.rejected) == (1, 1)
    (entry,) = map(json.loads, (tmp_path / "plan" / "rejects.ndjson").read_text().splitlines())
    assert "null" not in entry["problems"][0]


# --- What a mapping says ----------------------------------------------------------------------------------------


class NamedRow(NamedTuple):
    sku: str
    name: str


@dataclass
class ClassRow:
    sku: str
    name: str


def rows_of_a_database() -> list[Any]:
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    return connection.execute("SELECT 'A' AS sku, 'x' AS name").fetchall()


def rows_of_sqlalchemy() -> list[Any]:
    sqlalchemy = pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy: make venv installs it")
    with sqlalchemy.create_engine("sqlite://").connect() as connection:
        return list(connection.execute(sqlalchemy.text("SELECT 'A' AS sku, 'x' AS name")))


@pytest.mark.parametrize(
    "rows",
    [lambda: [NamedRow("A", "x")], lambda: [ClassRow("A", "x")], rows_of_a_database, rows_of_sqlalchemy],
)
def test_rows_with_named_values(rows: Any, tmp_path: Path) -> None:
    plan = plan_upsert(rows(), tmp_path, columns=Columns({"sku": "id", "name": "brand"}))
    assert sent(plan) == [{"id": "A", "brand": "x"}]


def test_what_is_not_a_table_is_named_with_the_fix(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars", reason="needs polars: make venv installs it")
    duckdb = pytest.importorskip("duckdb", reason="needs duckdb: make venv installs it")
    for data, words in (
        (polars.LazyFrame({"id": ["A"]}), r"got LazyFrame; call its collect\(\)"),
        (duckdb.connect(), r"got DuckDBPyConnection; use the relation"),
        (polars.Series("id", ["A"]), r"a Series is not a table with named columns.*to_frame\(\)"),
    ):
        with pytest.raises(MiraklInputError, match=words):
            plan_upsert(data, tmp_path)


def test_templates_and_constants(write: Make, tmp_path: Path) -> None:
    columns = Columns(
        {
            "id": "{Handle}-{Size}",
            "brand": "=Acme",
            "titles[en]": "{Name} {Size}",
            "attributes[weight]": "{Weight}",
            "Category": "category.id",
        },
        attribute_types={"weight": "NUMERIC"},
        locale="en",
    )
    text = "Handle;Size;Name;Weight;Category\nlamp;XL;Lamp;1.5;Home > Light > Lamps\nlamp;;Lamp;;\n"
    with pytest.raises(MiraklInputError, match="id: missing"):
        plan_upsert(write(text, "p.csv"), tmp_path / "plan", columns=columns)
    plan = plan_upsert(write(text, "p.csv"), tmp_path / "plan", columns=columns, on_invalid="reject")
    assert sent(plan) == [
        {
            "id": "lamp-XL",
            "brand": "Acme",
            "titles": [{"locale": "en", "value": "Lamp XL"}],
            "attributes": [{"id": "weight", "name": "weight", "type": "NUMERIC", "value": 1.5}],
            "category": {"id": "Lamps", "labels": [{"locale": "en", "value": "Lamps"}]},
        }
    ]


def test_cells_of_a_template_stand_without_the_space_around_them(tmp_path: Path) -> None:
    columns = Columns({"sku": "id", "titles[en]": "{brand}-{number}"}, strip=False)
    plan = plan_upsert([{"sku": "A", "brand": " Acme ", "number": 7.0}], tmp_path / "plan", columns=columns)
    assert sent(plan) == [{"id": "A", "titles": [{"locale": "en", "value": "Acme-7"}]}]


def test_a_category_as_a_whole(write: Make, tmp_path: Path) -> None:
    columns = Columns({"sku": "id", "c": "category.id"}, category_path="whole")
    plan = plan_upsert(write("sku;c\nA;Home > Lamps\n", "p.csv"), tmp_path / "plan", columns=columns)
    assert sent(plan)[0]["category"]["id"] == "Home > Lamps"


def test_texts_are_made_to_fit() -> None:
    assert truncated("one two three", 9) == "one two"
    assert truncated("onetwothree", 6) == "onetwo"
    assert truncated("one two", 7) == "one two"
    assert (
        plain_text("<p>A &amp; B<br>C</p><ul><li>D</li></ul><script>x</script> 1 < 2") == "A & B\nC\nD\n1 < 2"
    )


def test_a_function_over_rows(write: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_shop.py").write_text(
        "def shout(rows):\n"
        "    if any(row['sku'] == 'bad' for row in rows):\n"
        "        raise ValueError('no')\n"
        "    return [None if r['sku'] == 'skip' else {**r, 'name': r['name'].upper()} for r in rows]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    path = write("sku,name,price\nA,x,1\nskip,y,1\nbad,z,1\nB,w,2\n", "p.csv")
    plan = plan_upsert(
        path, tmp_path / "plan", columns=COLUMNS, on_invalid="reject", transform="my_shop.shout"
    )
    assert [(row["id"], row["titles"][0]["value"]) for row in sent(plan)] == [("A", "X"), ("B", "W")]
    (reject,) = map(json.loads, (tmp_path / "plan" / "rejects.ndjson").read_text().splitlines())
    assert (reject["line"], reject["cells"]["sku"]) == (4, "bad")
    assert reject["problems"] == ["my_shop.shout failed: ValueError: no"]
    lines = write(['{"sku": "bad", "price": 1}', '["C"]', '{"sku": "D", "name": "x"}'], "p.ndjson")
    plan = plan_upsert(
        lines, tmp_path / "plan", columns=COLUMNS, on_invalid="reject", transform="my_shop.shout"
    )
    assert (plan.products, plan.rejected) == (1, 2), "a row that is no object is not lost"
    lines = write(['{"sku": "A", "name": "x"}', '{"sku": "B", "name": "y", "price": 3}'], "p.ndjson")
    plan = plan_upsert(lines, tmp_path / "plan", columns=COLUMNS, transform="my_shop.shout")
    assert [row.get("standard_prices") for row in sent(plan)] == [None, price(3)]
    for wrong in ("shout", "my_shop.whisper", "no_such.module.f"):
        with pytest.raises(MiraklConfigurationError, match="transform"):
            plan_upsert(path, tmp_path / "plan", columns=COLUMNS, transform=wrong)


def rows_of(
    source: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, **options: Any
) -> list[Any]:
    """What is sent of a source whose rows a function changes."""
    name = f"shop_{uuid4().hex}"
    (tmp_path / f"{name}.py").write_text(function)
    monkeypatch.syspath_prepend(tmp_path)
    return sent(plan_upsert(source, tmp_path / "plan", transform=f"{name}.change", **options))


SAME = "def change(rows):\n    return rows\n"
LATE = [{"id": "A", "brand": None, "stock": None}, {"id": "B", "brand": "Acme", "stock": 3}]
LATER = [*[{"id": f"A{at}", "brand": None, "stock": None} for at in range(600)], LATE[1]]
ACME = {"id": "B", "brand": "Acme", "quantities": [{"available_quantity": 3}]}


@pytest.mark.parametrize("rows", [LATE, LATER], ids=["of the same batch", "of a later batch"])
@pytest.mark.parametrize(
    "columns",
    [None, Columns({"ID": "id", "Brand": "brand", "stock": "quantities"})],
    ids=["names", "mapping"],
)
def test_a_function_keeps_the_columns_that_only_later_rows_have(
    rows: list[Any], columns: Columns | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pandas = pytest.importorskip("pandas", reason="needs pandas: make venv installs it")
    frame = pandas.DataFrame(rows, dtype=object)
    assert rows_of(frame, tmp_path, monkeypatch, SAME, columns=columns)[-1] == ACME


def test_a_function_may_add_a_column_to_some_rows(
    write: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("id\nA\nB\n", "feed.csv")
    adds = "def change(rows):\n    return [{**r, %s: 'Acme'} if r['id'] == 'B' else r for r in rows]\n"
    assert rows_of(path, tmp_path, monkeypatch, adds % "'brand'") == [
        {"id": "A"},
        {"id": "B", "brand": "Acme"},
    ]
    with pytest.raises(MiraklInputError, match=r"brnd: is not a field of a product; did you mean 'brand'"):
        rows_of(path, tmp_path, monkeypatch, adds % "'brnd'")
    rows = [{"id": "A"}, {"id": "B"}]
    found = rows_of(rows, tmp_path, monkeypatch, adds % "'brand'", columns=Columns(currency="EUR"))
    assert found == [{"id": "A"}, {"id": "B", "brand": "Acme"}]


def test_a_function_that_drops_a_mapped_column(
    write: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = Columns({"id": "id", "Brand": "brand"})
    drops = "def change(rows):\n    return [{'id': row['id'], 'Brant': 'x'} for row in rows]\n"
    with pytest.raises(MiraklInputError, match=r"Brand: the source does not have .* did you mean 'Brant'"):
        rows_of(write("id,brand\nA,Acme\n", "feed.csv"), tmp_path, monkeypatch, drops, columns=columns)


def test_a_function_may_drop_every_row_and_the_column_of_the_groups(
    write: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = Columns({"id": "id", "made": "brand"})
    nothing = "def change(rows):\n    return [None for row in rows]\n"
    assert rows_of([{"id": "A"}], tmp_path, monkeypatch, nothing, columns=columns) == []
    columns = Columns({"id": "id", "brand": "brand"}, group_by="group", fill_down=("brand",))
    drops = "def change(rows):\n    return [{'id': row['id'], 'brand': row['brand']} for row in rows]\n"
    path = write("group,id,brand\ng,A,Acme\ng,B,\n", "feed.csv")
    found = rows_of(path, tmp_path, monkeypatch, drops, columns=columns)
    assert found == [{"id": "A", "brand": "Acme"}, {"id": "B", "brand": "Acme"}]


def test_a_mapped_column_without_any_value_is_no_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pandas = pytest.importorskip("pandas", reason="needs pandas: make venv installs it")
    frame = pandas.DataFrame([{"id": "A", "brand": None}], dtype=object)
    columns = Columns({"id": "id", "brand": "brand"})
    assert rows_of(frame, tmp_path, monkeypatch, SAME, columns=columns) == [{"id": "A"}]
    assert sent(plan_upsert(frame, tmp_path / "plan", columns=columns)) == [{"id": "A"}]


# --- Columns that no row has ------------------------------------------------------------------------------------

OBJECTS = [{"id": "A", "name": "Lamp", "Price": 1}, {"id": "B", "name": "Cup"}]


@pytest.mark.parametrize("empty", ["absent", "null"])
@pytest.mark.parametrize("form", ["list", "ndjson", "json", "function"])
def test_a_mapped_column_that_no_object_has_stops_the_task(
    form: str, empty: Any, write: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = Columns(
        {"id": "id", "Name": "titles[en]", "Prise": "standard_prices.amount"}, currency="EUR", empty=empty
    )
    source = {
        "list": OBJECTS,
        "function": OBJECTS,
        "ndjson": write(OBJECTS),
        "json": write(json.dumps(OBJECTS), "products.json"),
    }[form]
    (tmp_path / "same_rows.py").write_text(SAME)
    monkeypatch.syspath_prepend(tmp_path)
    transform = "same_rows.change" if form == "function" else None
    with pytest.raises(MiraklInputError) as caught:
        plan_upsert(source, tmp_path / "plan", columns=columns, on_invalid="reject", transform=transform)
    has = "it has 'id', 'name', 'Price'"
    assert [str(problem) for problem in caught.value.problems] == [
        f"Name: the source does not have this column; did you mean 'name'?; {has}",
        f"Prise: the source does not have this column; did you mean 'Price'?; {has}",
    ]
    assert not (tmp_path / "plan" / "products.ndjson").exists()


def test_an_object_may_lack_what_another_one_has(tmp_path: Path) -> None:
    mapping = {"id": "id", "name": "titles[en]", "Price": "standard_prices.amount", "rare": "brand"}
    columns = Columns(mapping, currency="EUR", optional=("rare",))
    assert len(sent(plan_upsert(OBJECTS, tmp_path / "plan", columns=columns))) == 2
    assert plan_upsert([], tmp_path / "plan", columns=columns).products == 0


def test_objects_may_all_lack_a_column_that_no_other_name_is_like(tmp_path: Path) -> None:
    """JSON leaves out what has no value: a delta of today may have no product with a brand."""
    columns = Columns({"id": "id", "name": "titles[en]", "maker": "brand"})
    plan = plan_upsert([{"id": "A", "name": "Lamp"}], tmp_path / "plan", columns=columns)
    assert len(sent(plan)) == 1


def test_a_function_may_drop_every_row_of_the_first_batch(
    write: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = "def change(rows):\n    return [row if int(row['id'][1:]) >= 1_500 else None for row in rows]\n"
    source = write("id;brand\n" + "".join(f"P{number};x\n" for number in range(2_000)), "late.csv")
    assert len(rows_of(source, tmp_path, monkeypatch, late)) == 500


def test_a_collected_column_that_no_object_has_stops_the_task(tmp_path: Path) -> None:
    columns = Columns({"id": "id", "img": "images"}, group_by="name", collect=("img",))
    with pytest.raises(MiraklInputError, match="img: the source does not have this column"):
        plan_upsert(OBJECTS, tmp_path / "plan", columns=columns)


# --- Ready mappings ---------------------------------------------------------------------------------------------

FEEDS = {
    "shopify": (
        "Handle,Title,Body (HTML),Vendor,Product Category,Option1 Name,Option1 Value,Variant SKU,Variant Inventory Qty,"
        "Variant Price,Variant Barcode,Image Src,Image Position\n"
        "lamp,Desk lamp,<p>Bright &amp; warm</p>,Acme,Home > Light > Lamps,Colour,Red,L-R,5,12.50,4006381333931,"
        "https://cdn.example/1.jpg,1\n"
        "lamp,,,,,,Blue,L-B,0,13.00,,https://cdn.example/2.jpg,2\n"
        "lamp,,,,,,,,,,,https://cdn.example/3.jpg,3\n"
        "cup,Cup,,Acme,,Title,Default Title,C,1,4.00,,https://cdn.example/4.jpg,1\n"
    ),
    "woocommerce": (
        'ID,Type,SKU,"GTIN, UPC, EAN, or ISBN",Name,Description,Regular price,Sale price,Categories,Images,Stock\n'
        '1,simple,W1,4006381333931,Lamp,<b>Bright</b>,20,,"Home > Lamps, Home","https://w/1.jpg, https://w/2.jpg",3\n'
    ),
    "magento": (
        "sku,store_view_code,product_type,categories,name,description,price,special_price,qty,base_image\n"
        '24-MB01,,simple,"Default Category/Gear,Default Category/Gear/Bags",'
        "Bag,<p>Strong</p>,34.000000,,100.0000,/m/b.jpg\n"
    ),
    "google_merchant": (
        "id\ttitle\tdescription\tlink\timage_link\tprice\tbrand\tgtin\tgoogle_product_category\n"
        "G1\tLamp\tBright\thttps://g/1\thttps://g/1.jpg\t15.00 USD\tAcme\t4006381333931\t"
        "Home & Garden > Lighting, Lamps\n"
    ),
    "akeneo": (
        "sku;categories;family;name-en_US;description-en_US-ecommerce;brand;ean;price-USD\n"
        "K1;lamps;light;Lamp;Bright;Acme;4006381333931;12.50\n"
    ),
}


def test_every_ready_mapping_has_a_feed() -> None:
    assert set(FEEDS) == set(PRESETS)


def made(preset: str, write: Make, folder: Path, **own: Any) -> list[Any]:
    columns = Columns.from_settings({"preset": preset, **own})
    return sent(plan_upsert(write(FEEDS[preset], "feed.csv"), folder / "plan", columns=columns))


def test_shopify(write: Make, tmp_path: Path) -> None:
    images = [{"url": f"https://cdn.example/{number}.jpg"} for number in (1, 2, 3)]
    red, blue, cup = made("shopify", write, tmp_path)
    shared = {
        "titles": [{"locale": "en", "value": "Desk lamp"}],
        "descriptions": [{"locale": "en", "value": "Bright & warm"}],
        "brand": "Acme",
        "category": {"id": "Lamps", "labels": [{"locale": "en", "value": "Lamps"}]},
        "images": images,
    }
    assert red == {
        "id": "lamp-Red",
        **shared,
        "gtins": [{"value": "4006381333931"}],
        "quantities": [{"available_quantity": 5}],
        "standard_prices": price(12.5, "USD"),
        "attributes": [{"id": "option1", "name": "option1", "type": "STRING", "value": "Red"}],
    }
    assert {name: blue[name] for name in shared} == shared
    assert (blue["id"], blue["standard_prices"]) == ("lamp-Blue", price(13, "USD"))
    assert (cup["id"], cup["images"]) == ("cup-Default Title", [{"url": "https://cdn.example/4.jpg"}])


@pytest.mark.parametrize(
    ("preset", "category", "amount"),
    [
        ("woocommerce", "Lamps", 20),
        ("magento", "Gear", 34),
        ("google_merchant", "Lighting, Lamps", 15),
        ("akeneo", "lamps", 12.5),
    ],
)
def test_the_other_ready_mappings(
    preset: str, category: str, amount: float, write: Make, tmp_path: Path
) -> None:
    (product,) = made(preset, write, tmp_path)
    assert product["category"]["id"] == category
    assert product["standard_prices"] == price(amount, "USD")
    assert product["titles"][0]["value"] in ("Lamp", "Bag")
    assert "<" not in product["descriptions"][0]["value"]


# The columns of the systems' own exports, in their order; the products are ours.
_SHOPIFY = (
    "Handle,Title,Body (HTML),Vendor,Type,Tags,Published,Option1 Name,Option1 Value,Option2 Name,Option2 Value,"
    "Option3 Name,Option3 Value,Variant SKU,Variant Grams,Variant Inventory Tracker,Variant Inventory Qty,"
    "Variant Inventory Policy,Variant Fulfillment Service,Variant Price,Variant Compare At Price,"
    "Variant Requires Shipping,Variant Taxable,Variant Barcode,Image Src,Image Position,Image Alt Text,Gift Card,"
    "SEO Title,SEO Description,Variant Image,Variant Weight Unit,Variant Tax Code,Cost per item,Status"
)
_WOOCOMMERCE = (
    "ID,Type,SKU,Name,Published,Is featured?,Visibility in catalog,Short description,Description,"
    "Date sale price starts,Date sale price ends,Tax status,Tax class,In stock?,Stock,Backorders allowed?,"
    "Sold individually?,Weight (lbs),Length (in),Width (in),Height (in),Allow customer reviews?,Purchase note,"
    "Sale price,Regular price,Categories,Tags,Shipping class,Images,Download limit,Download expiry days,Parent,"
    "Grouped products,Upsells,Cross-sells,External URL,Button text,Position,Attribute 1 name,Attribute 1 value(s),"
    "Attribute 1 visible,Attribute 1 global"
)
_MAGENTO = (
    "sku,store_view_code,attribute_set_code,product_type,categories,product_websites,name,description,"
    "short_description,weight,product_online,tax_class_name,visibility,price,special_price,special_price_from_date,"
    "special_price_to_date,url_key,meta_title,base_image,small_image,thumbnail_image,created_at,updated_at,"
    "additional_attributes,qty,out_of_stock_qty,is_in_stock,additional_images,configurable_variations"
)


def export(heading: str, *rows: dict[str, str]) -> str:
    """A file with every column of an export."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, heading.split(","), restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


WHOLE = {
    "shopify apparel": (
        "shopify",
        export(
            _SHOPIFY,
            {
                "Handle": "shirt", "Title": "Shirt", "Body (HTML)": "<p>Soft,<br>warm</p>", "Vendor": "Acme",
                "Type": "Shirts", "Tags": "men, cotton", "Published": "true", "Option1 Name": "Size",
                "Option1 Value": "M", "Option2 Name": "Colour", "Option2 Value": "Blue", "Variant Grams": "200",
                "Variant Inventory Qty": "1", "Variant Price": "50", "Variant Taxable": "TRUE",
                "Image Src": "https://cdn.example/1.jpg", "Image Position": "1", "Gift Card": "FALSE",
            },
            {
                "Handle": "shirt", "Option1 Value": "M", "Option2 Value": "Red", "Variant Price": "50",
                "Variant Inventory Qty": "2",
            },
            {"Handle": "shirt", "Image Src": "https://cdn.example/2.jpg", "Image Position": "2"},
        ),
        ["shirt-M-Blue", "shirt-M-Red"],
    ),
    "shopify jewellery": (
        "shopify",
        export(
            _SHOPIFY,
            {
                "Handle": "ring", "Title": "Ring", "Option1 Name": "Title", "Option1 Value": "Default Title",
                "Variant Price": "44.99", "Variant Compare At Price": "49.99",
            },
            {
                "Handle": "chain", "Title": "Chain", "Vendor": "Acme", "Option1 Name": "Colour",
                "Option1 Value": "Gold", "Variant Price": "69.99", "Image Src": "https://cdn.example/3.jpg",
            },
            {"Handle": "chain", "Option1 Value": "Silver", "Variant Price": "69.99"},
        ),
        ["ring-Default Title", "chain-Gold", "chain-Silver"],
    ),
    "shopify home without stock and barcodes": (
        "shopify",
        export(
            ",".join(
                name
                for name in _SHOPIFY.split(",")
                if name not in ("Variant Inventory Qty", "Variant Barcode", "Option3 Name", "Option3 Value")
            ),
            {
                "Handle": "pot", "Title": "Pot", "Vendor": "Acme", "Option1 Name": "Size",
                "Option1 Value": "Regular", "Variant Price": "9.99", "Image Src": "https://cdn.example/4.jpg",
            },
            {"Handle": "pot", "Option1 Value": "Large", "Variant Price": "15.99"},
        ),
        ["pot-Regular", "pot-Large"],
    ),
    "woocommerce": (
        "woocommerce",
        export(
            _WOOCOMMERCE,
            {
                "ID": "44", "Type": "variable", "SKU": "tee", "Name": "Tee", "Description": "Short & <b>good</b>",
                "Categories": "Clothing > Tshirts", "Images": "https://w.example/1.jpg, https://w.example/2.jpg",
                "Attribute 1 name": "Color", "Attribute 1 value(s)": "Blue, Red",
            },
            {
                "ID": "56", "Type": "variation", "SKU": "tee-blue", "Name": "Tee - Blue", "Regular price": "20",
                "Stock": "3", "Parent": "tee", "Images": "https://w.example/3.jpg",
            },
            {
                "ID": "60", "Type": "external", "SKU": "pennant", "Name": "Pennant", "Regular price": "11.05",
                "Categories": "Decor", "External URL": "https://w.example/pennant", "Button text": "Buy",
            },
            {"ID": "61", "Type": "grouped", "SKU": "logo", "Name": "Logo collection", "Grouped products": "tee, cap"},
        ),
        ["tee", "tee-blue", "pennant", "logo"],
    ),
    "magento": (
        "magento",
        export(
            _MAGENTO,
            {
                "sku": "24-MB01", "attribute_set_code": "Bag", "product_type": "simple",
                "categories": "Default Category/Gear,Default Category/Gear/Bags", "name": "Duffle bag",
                "description": "<p>Strong.</p>", "price": "34.000000", "qty": "100.0000",
                "additional_attributes": "activity=Gym|Hiking,color=Black", "base_image": "/m/b.jpg",
            },
            {
                "sku": "WS12", "product_type": "configurable", "categories": "Default Category/Women/Tops",
                "name": "Tank", "configurable_variations": "sku=WS12-XS-Orange,size=XS|sku=WS12-XS-Blue,size=XS",
            },
        ),
        ["24-MB01", "WS12"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WHOLE)
def test_an_export_with_every_column_goes_in_completely(name: str, write: Make, tmp_path: Path) -> None:
    preset, text, ids = WHOLE[name]
    plan = plan_upsert(write(text, "feed.csv"), tmp_path / "plan", columns=Columns.from_settings(preset))
    products = sent(plan)
    assert [product["id"] for product in products] == ids
    assert all(product["titles"] for product in products)


def test_variants_with_two_options_share_what_their_group_has(write: Make, tmp_path: Path) -> None:
    path = write(WHOLE["shopify apparel"][1], "feed.csv")
    blue, red = sent(plan_upsert(path, tmp_path / "plan", columns=Columns.from_settings("shopify")))
    assert blue["images"] == red["images"] == [{"url": f"https://cdn.example/{n}.jpg"} for n in (1, 2)]
    assert red["descriptions"] == [{"locale": "en", "value": "Soft,\nwarm"}]
    assert [one["value"] for one in red["attributes"]] == ["M", "Red"]


def test_what_stands_in_square_brackets_is_left_out_where_its_column_is_empty(
    write: Make, tmp_path: Path
) -> None:
    columns = Columns({"id": "{a}[-{b}]", "titles[en]": "{t}[ ({b})]", "brand": "{x}[{b}]"}, optional=("x",))
    plan = plan_upsert(write("a,b,t\n1,2,T\n3,,U\n", "f.csv"), tmp_path / "plan", columns=columns)
    one, two = sent(plan)
    assert (one["id"], one["titles"][0]["value"], one["brand"]) == ("1-2", "T (2)", "2")
    assert (two["id"], two["titles"][0]["value"], two.get("brand")) == ("3", "U", None)
    with pytest.raises(MiraklInputError, match="a: the source does not have this column"):
        plan_upsert(write("b,t\n1,T\n", "g.csv"), tmp_path / "plan", columns=columns)


def test_a_ready_mapping_gives_way(write: Make, tmp_path: Path) -> None:
    own = {"mapping": {"Vendor": "", "Variant SKU": "attributes[sku]"}, "currency": "EUR", "locale": "de"}
    red, *_ = made("shopify", write, tmp_path, **own)
    assert "brand" not in red
    assert red["standard_prices"] == price(12.5)
    assert red["titles"][0]["locale"] == "de"
    assert {"id": "sku", "name": "sku", "type": "STRING", "value": "L-R"} in red["attributes"]
    by_name = plan_upsert(
        write(FEEDS["akeneo"], "feed.csv"), tmp_path / "plan", columns=Columns.from_settings("akeneo")
    )
    assert [row["id"] for row in sent(by_name)] == ["K1"]


def test_rows_of_a_group_that_stand_apart_are_named(write: Make, tmp_path: Path) -> None:
    lines = FEEDS["shopify"].splitlines(keepends=True)
    path = write("".join([lines[0], lines[1], lines[4], lines[2]]), "feed.csv")
    with pytest.raises(MiraklInputError, match="the rows of a group must be adjacent"):
        plan_upsert(path, tmp_path / "plan", columns=Columns.from_settings("shopify"))


def test_groups_by_columns_that_the_header_spells_differently(write: Make, tmp_path: Path) -> None:
    columns = Columns(
        {"sku": "id", "title": "titles[en]", "image": "images"},
        group_by="handle", fill_down=("title",), collect=("image",),
    )  # fmt: skip
    text = "Handle,SKU,Title ,IMAGE\nh,A,Lamp,https://a/1\nh,B,,https://a/2\n"
    plan = plan_upsert(write(text, "feed.csv"), tmp_path / "plan", columns=columns)
    shared = {
        "titles": [{"locale": "en", "value": "Lamp"}],
        "images": [{"url": "https://a/1"}, {"url": "https://a/2"}],
    }
    assert sent(plan) == [{"id": "A", **shared}, {"id": "B", **shared}]


def test_groups_of_columns_that_are_named_after_their_targets(write: Make, tmp_path: Path) -> None:
    """Without a mapping every column is read, so a row that has only an id is a product too."""
    columns = Columns(group_by="brand", fill_down=("title_en",), collect=("images",))
    text = "brand,id,title_en,images\nAcme,A,Lamp,https://a/1\nAcme,B,,\nAcme,,,https://a/2\n"
    plan = plan_upsert(write(text, "feed.csv"), tmp_path / "plan", columns=columns)
    assert [(row["id"], row["titles"], len(row["images"])) for row in sent(plan)] == [
        (name, [{"locale": "en", "value": "Lamp"}], 2) for name in "AB"
    ]


def test_a_column_of_groups_that_the_source_lacks(write: Make, tmp_path: Path) -> None:
    for transform in (None, "json.dumps"):
        columns = Columns({"sku": "id"}, group_by="handel")
        with pytest.raises(MiraklInputError, match=r"handel.*did you mean 'handle'"):
            plan_upsert(
                write("handle,sku\nh,A\n", "feed.csv"),
                tmp_path / "plan",
                columns=columns,
                transform=transform,
            )


def test_groups_of_rows_that_are_not_dictionaries(tmp_path: Path) -> None:
    columns = Columns({"sku": "id", "name": "titles[en]"}, group_by="group", fill_down=("name",))
    rows = [{"group": "g", "sku": "A", "name": "Lamp"}, {"group": "g", "sku": "B"}]
    plan = plan_upsert(map(MappingProxyType, rows), tmp_path / "plan", columns=columns)
    assert [row["titles"][0]["value"] for row in sent(plan)] == ["Lamp", "Lamp"]


def test_a_row_that_is_no_object_is_refused_between_groups(write: Make, tmp_path: Path) -> None:
    columns = Columns({"sku": "id"}, group_by="group")
    lines = ['{"group": "g", "sku": "A"}', '["B"]', '{"group": "h", "sku": "C"}']
    plan = plan_upsert(write(lines), tmp_path / "plan", columns=columns, on_invalid="reject")
    assert ([row["id"] for row in sent(plan)], plan.rejected) == (["A", "C"], 1)


@pytest.mark.parametrize("settings", [{}, {"fill_down": ("name",)}, {"collect": ("img",)}])
def test_a_group_that_returns_is_refused_whatever_is_done_within_groups(
    settings: dict[str, Any], write: Make, tmp_path: Path
) -> None:
    columns = Columns({"sku": "id", "name": "titles[en_US]", "img": "images"}, group_by="group", **settings)
    text = "group,sku,name,img\ng1,A,x,https://a/1\ng1,B,,\ng2,C,y,\ng1,D,z,\ng3,E,w,\n"
    plan = plan_upsert(write(text, "feed.csv"), tmp_path / "plan", columns=columns, on_invalid="reject")
    assert [row["id"] for row in sent(plan)] == ["A", "B", "C", "E"]
    (rejected,) = (
        json.loads(line) for line in (tmp_path / "plan" / "rejects.ndjson").read_text().splitlines()
    )
    assert rejected["line"] == 5
    assert "the group 'g1' ended above" in rejected["problems"][0]


GROUPED = Columns(
    {"sku": "id", "name": "titles[en_US]", "img": "images"},
    group_by="group", fill_down=("name",), collect=("img",),
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "feed"),
    [
        ("returned.csv", "group,sku,name,img\ng1,A,x,https://a/1\ng2,C,y,\ng1,D,z,https://a/2\n"),
        ("without_first.csv", "group,sku,name,img\ng1,A,,https://a/1\n"),
        ("without_group.csv", "group,sku,name,img\n,A,x,https://a/1\n"),
        ("surplus_cell.csv", "group,sku,name,img\ng1,A,x,https://a/1,,y\n"),
        ("no_json.ndjson", '{"group": "g1", "sku": A, "name": "x", "img": "https://a/1"}\n'),
    ],
)
def test_a_rejected_part_of_a_group_is_not_sent_by_itself(
    name: str, feed: str, write: Make, tmp_path: Path
) -> None:
    """It would lack the title, and its own image would replace those of the whole group."""
    plan_upsert(write(feed, name), tmp_path / "plan", columns=GROUPED, on_invalid="reject")
    text = (tmp_path / "plan" / "rejects.ndjson").read_text()
    fixed = text.replace('"(column 5)":"","(column 6)":"y"', '"x":""').replace("A,", '\\"A\\",')
    again = plan_upsert(write(fixed, "r.ndjson"), tmp_path / "again", columns=GROUPED, on_invalid="reject")
    assert (again.products, again.rejected) == (0, 1)
    once_more = tmp_path / "again" / "rejects.ndjson"
    assert "correct the source, and run the task on the source again" in once_more.read_text()
    again = plan_upsert(once_more, tmp_path / "thrice", columns=GROUPED, on_invalid="reject")
    assert (again.products, again.rejected) == (0, 1)


def test_a_row_that_was_rejected_with_the_values_of_its_group_can_be_fixed(
    write: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "strict_shop.py").write_text(
        "def only_known(rows):\n"
        "    if any(row['sku'] == 'B' for row in rows):\n"
        "        raise ValueError('B is not known')\n"
        "    return rows\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    feed = write("group,sku,name,img\ng1,A,Lamp,https://a/1\ng1,B,,https://a/2\n", "feed.csv")
    options: dict[str, Any] = {
        "columns": GROUPED, "on_invalid": "reject", "transform": "strict_shop.only_known",
    }  # fmt: skip
    first = plan_upsert(feed, tmp_path / "plan", **options)
    text = (tmp_path / "plan" / "rejects.ndjson").read_text()
    again = plan_upsert(
        write(text.replace('"sku":"B"', '"sku":"C"'), "fixed.ndjson"), tmp_path / "again", **options
    )
    assert [{**row, "id": ""} for row in sent(first)] == [{**row, "id": ""} for row in sent(again)]
    assert [row["id"] for row in sent(again)] == ["C"]
