"""CSV, Parquet and flat objects: columns become products; a faulty mapping is named before a row is read."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.catalog.columns import Columns
from airflow_provider_mirakl.catalog.plan import Plan, plan_delete, plan_upsert, read_chunk
from airflow_provider_mirakl.exceptions import MiraklInputError

Make = Callable[..., Any]

HEADING = (
    "sku,title_en_US,title-fr,description_en,brand,category,category_label_en,ean,image,stock,price,currency"
)
ROW = 'A1,Phone,Téléphone,"Fine, big\nand ""new""",ACME,phones,Phones,12345670|123456789012,https://a|https://b,5,12.50,EUR'
WHOLE = {
    "id": "A1",
    "titles": [{"locale": "en_US", "value": "Phone"}, {"locale": "fr", "value": "Téléphone"}],
    "descriptions": [{"locale": "en", "value": 'Fine, big\nand "new"'}],
    "brand": "ACME",
    "category": {"id": "phones", "labels": [{"locale": "en", "value": "Phones"}]},
    "gtins": [{"value": "12345670"}, {"value": "123456789012"}],
    "images": [{"url": "https://a"}, {"url": "https://b"}],
    "quantities": [{"available_quantity": 5}],
    "standard_prices": [{"price": {"amount": 12.5, "currency": "EUR"}}],
}


def sent(plan: Plan) -> list[Any]:
    return [json.loads(row) for chunk in plan.chunks for row in read_chunk(plan.folder, chunk)]


def faults(source: Any, folder: Path, **options: Any) -> dict[str, str]:
    with pytest.raises(MiraklInputError) as caught:
        plan_upsert(source, folder, **options)
    return {problem.field: problem.message for problem in caught.value.problems}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("shape", ["plain", "BOM", "gzip", "CRLF"])
def test_csv_whose_headings_speak_for_themselves(
    delimiter: str, shape: str, write: Make, tmp_path: Path
) -> None:
    separated = (
        ROW.replace("Fine, big", "Fine_ big").replace(",", delimiter).replace("Fine_ big", "Fine, big")
    )
    text = f"{HEADING.replace(',', delimiter)}\n{separated}\n\n"
    content = (text.replace("\n", "\r\n") if shape == "CRLF" else text).encode(
        "utf-8-sig" if shape == "BOM" else "utf-8"
    )
    plan = plan_upsert(
        write(gzip.compress(content) if shape == "gzip" else content, "p.csv"), tmp_path / "plan"
    )
    expected = json.loads(json.dumps(WHOLE).replace("\\n", "\\r\\n")) if shape == "CRLF" else WHOLE
    assert sent(plan) == [expected]


def test_csv_numbers_keep_their_digits(write: Make, tmp_path: Path) -> None:
    text = "id;price\nA;0.10\nB;12345678901234567.89\nC;7\n"
    plan = plan_upsert(write(text, "p.csv"), tmp_path / "plan", columns=Columns(currency="EUR"))
    rows = read_chunk(plan.folder, plan.chunks[0])
    assert rows[0] == b'{"id":"A","standard_prices":[{"price":{"amount":0.10,"currency":"EUR"}}]}'
    assert b'"amount":12345678901234567.89,' in rows[1]


def test_every_target(write: Make, tmp_path: Path) -> None:
    mapping = {
        "ref": "id",
        "c1": "attributes[color]",
        "c2": "attributes[weight]:NUMERIC",
        "c3": "attributes[new]:BOOLEAN",
        "lyon": "quantities[LYON]",
        "paris": "quantities[PARIS]",
        "dealer": "partner_quantities[P1]",
        "fr": "standard_prices[EUR_FR].amount",
        "be": "standard_prices[EUR_BE].amount",
        "be_c": "standard_prices[EUR_BE].currency",
        "sale": "discount_prices.amount",
        "from": "discount_prices.start_date",
        "to": "discount_prices.end_date",
        "label": "category.labels[de]",
        "t": "titles",
    }
    values = "R,red,1.5,yes,1,2,3,10,11,CHF,9,2026-02-19T16:46:00Z,,Telefone,Hallo,left aside"
    text = ",".join(mapping) + ",more\n" + values + "\n"
    plan = plan_upsert(
        write(text, "p.csv"), tmp_path / "plan", columns=Columns(mapping, currency="EUR", locale="de_DE")
    )
    assert sent(plan) == [
        {
            "id": "R",
            "attributes": [
                {"id": "color", "name": "color", "type": "STRING", "value": "red"},
                {"id": "weight", "name": "weight", "type": "NUMERIC", "value": 1.5},
                {"id": "new", "name": "new", "type": "BOOLEAN", "value": True},
            ],
            "quantities": [
                {"available_quantity": 1, "warehouse_code": "LYON"},
                {"available_quantity": 2, "warehouse_code": "PARIS"},
            ],
            "partner_quantities": [{"available_quantity": 3, "partner_id": "P1"}],
            "standard_prices": [
                {"price": {"amount": 10, "currency": "EUR"}, "scope": "EUR_FR"},
                {"price": {"amount": 11, "currency": "CHF"}, "scope": "EUR_BE"},
            ],
            "discount_prices": [
                {"price": {"amount": 9, "currency": "EUR"}, "start_date": "2026-02-19T16:46:00Z"}
            ],
            "category": {"labels": [{"locale": "de", "value": "Telefone"}]},
            "titles": [{"locale": "de_DE", "value": "Hallo"}],
        }
    ]


def test_an_empty_cell_keeps_or_erases(write: Make, tmp_path: Path) -> None:
    path = write("id,brand,ean,title_en,price\nA,,,,\n", "p.csv")
    assert sent(plan_upsert(path, tmp_path / "a", columns=Columns(currency="EUR"))) == [{"id": "A"}]
    erase = Columns(currency="EUR", empty="null")
    assert sent(plan_upsert(path, tmp_path / "b", columns=erase)) == [
        {"id": "A", "brand": None, "gtins": [], "titles": None}
    ]


def test_languages_by_a_mapping_key(write: Make, tmp_path: Path) -> None:
    path = write("id,title_FR,title_EN,description_FR\nA,Bonjour,Hello,Long\n", "p.csv")
    plan = plan_upsert(path, tmp_path / "plan", columns=Columns(languages={"FR": "fr_FR", "EN": "en_GB"}))
    assert sent(plan) == [
        {
            "id": "A",
            "titles": [{"locale": "fr_FR", "value": "Bonjour"}, {"locale": "en_GB", "value": "Hello"}],
            "descriptions": [{"locale": "fr_FR", "value": "Long"}],
        }
    ]
    assert faults(path, tmp_path / "plan", columns=Columns(languages={"FR": "fr_FR"})) == {
        "title_EN": "'titles[EN]': the language 'EN' is not in the language mapping, which has FR"
    }
    found = faults(path, tmp_path / "plan")
    assert set(found) == {"title_FR", "title_EN", "description_FR"}
    assert "'FR' is not a locale" in found["title_FR"]


@pytest.mark.parametrize(
    ("mapping", "column", "words"),
    [
        (
            {"sku": "id", "titel": "titles[en]"},
            "titel",
            "the source does not have this column; did you mean 'title'?",
        ),
        ({"sku": "id", "title": "title"}, "title", "'title' is not a target; did you mean 'titles'?"),
        ({"sku": "id", "title": "stock"}, "title", "'stock' is not a target; did you mean 'quantities'?"),
        (
            {"sku": "id", "title": "weight"},
            "title",
            "'weight' is not a target; the targets are id, brand, gtins,",
        ),
        (
            {"sku": "id", "title": "titles"},
            "title",
            "needs a locale, such as titles[en_US], or a default locale",
        ),
        ({"sku": "id", "title": "titles[English]"}, "title", "'English' is not a locale"),
        ({"title": "titles[en]"}, "id", "no column is mapped to id"),
        (
            {"sku": "id", "price": "standard_prices"},
            "price",
            "standard_prices.amount, standard_prices.currency",
        ),
        ({"sku": "id", "price": "standard_prices.price"}, "price", "standard_prices.amount"),
        ({"sku": "id", "price": "standard_prices.amount"}, "price", "a price needs a currency"),
        ({"sku": "id", "title": "brand.x"}, "title", "brand has no subfields"),
        ({"sku": "id", "title": "attributes"}, "title", "needs a key, such as attributes[color]"),
        ({"sku": "id", "title": "attributes[a]:TEXT"}, "title", "STRING, NUMERIC, BOOLEAN"),
        ({"sku": "id", "title": "brand", "price": "brand"}, "price", "has the same target as 'title'"),
    ],
)
def test_a_mapping_that_cannot_work(
    mapping: dict[str, str], column: str, words: str, write: Make, tmp_path: Path
) -> None:
    path = write("sku,title,price\n\xff this row is never read".encode("latin-1"), "p.csv")
    assert words in faults(path, tmp_path / "plan", columns=Columns(mapping))[column]


def test_a_heading_nobody_knows(write: Make, tmp_path: Path) -> None:
    found = faults(write("id,brnad,colour\nA,b,c\n", "p.csv"), tmp_path / "plan")
    assert set(found) == {"brnad", "colour"}
    assert "did you mean 'brand'?" in found["brnad"]


@pytest.mark.parametrize(
    ("text", "line", "field", "words"),
    [
        ("id,price\nA,1\nB,12,50\nC,3\n", 3, "", "has 3 cells, but the header has 2"),
        (
            "id,price\nA,1\nB,dear\n",
            3,
            "standard_prices[0].price.amount",
            "expected a number, got the text 'dear'",
        ),
        ('id,price\nA,1\nB,"12,50"\n', 3, "standard_prices[0].price.amount", "write 12.50 without quotes"),
        ('id,title_en\nA,"two\nlines"\n,no id\n', 4, "id", "missing"),
        ("id,ean\nA,12345670\nB,01942520342791\n", 3, "gtins[0].value", "has 14 digits"),
        ("id,stock\nA,1\nB,1.5\n", 3, "quantities[0].available_quantity", "expected a whole number"),
        ("id,brand\nA,b\nA,c\n", 3, "id", "the same id is already in line 2"),
        ('id,brand\nA,b\nB,"never closed\nC,c\n', 3, "", "not CSV: "),
        ("id,id\nA,B\n", None, "column 2", "the name 'id' occurs twice"),
        ("id,,brand\nA,,C\nA,B,C\n", 3, "", "has the value 'B' in column 2, which has no name"),
    ],
)
def test_bad_csv(text: str, line: int | None, field: str, words: str, write: Make, tmp_path: Path) -> None:
    with pytest.raises(MiraklInputError) as caught:
        plan_upsert(write(text, "p.csv"), tmp_path / "plan", columns=Columns(currency="EUR"))
    problem = caught.value.problems[0]
    assert (problem.line, problem.field) == (line, field)
    assert words in problem.message


def test_csv_in_another_encoding(write: Make, tmp_path: Path) -> None:
    with pytest.raises(MiraklInputError, match="line 3: not UTF-8: byte 0xE9"):
        plan_upsert(write("id,brand\nA,b\nB,Café\n".encode("latin-1"), "p.csv"), tmp_path / "plan")


def test_rejects_of_a_table_are_input_again(write: Make, tmp_path: Path) -> None:
    path = write("id,price\nA,dear\nB,2\n", "p.csv")
    plan_upsert(path, tmp_path / "plan", columns=Columns(currency="EUR"), on_invalid="reject")
    text = (tmp_path / "plan" / "rejects.ndjson").read_text().replace('"amount":"dear"', '"amount":9')
    again = plan_upsert(write(text, "fixed.ndjson"), tmp_path / "again")
    assert sent(again) == [{"id": "A", "standard_prices": [{"price": {"amount": 9, "currency": "EUR"}}]}]


def test_decimal_comma(write: Make, tmp_path: Path) -> None:
    path = write('id;price\nA;12,50\nB;"7"\n', "p.csv")
    plan = plan_upsert(path, tmp_path / "plan", columns=Columns(currency="EUR", decimal=","))
    assert [row["standard_prices"][0]["price"]["amount"] for row in sent(plan)] == [12.5, 7]


@pytest.mark.parametrize("kind", ["list", "ndjson", "json"])
def test_flat_objects_are_mapped_too(kind: str, write: Make, tmp_path: Path) -> None:
    rows = [
        {"sku": "A", "title": "Phone", "price": Decimal("12.50") if kind == "list" else 12.5, "more": [1]},
        {"sku": "B", "title": None, "price": 3},
    ]
    texts = {"ndjson": "\n".join(map(json.dumps, rows)) if kind == "ndjson" else "", "json": ""}
    source = rows if kind == "list" else write(texts["ndjson"] or json.dumps(rows), "p.json")
    columns = Columns(
        {"sku": "id", "title": "titles", "price": "standard_prices.amount"}, locale="en", currency="EUR"
    )
    assert sent(plan_upsert(source, tmp_path / "plan", columns=columns)) == [
        {
            "id": "A",
            "titles": [{"locale": "en", "value": "Phone"}],
            "standard_prices": [{"price": {"amount": 12.5, "currency": "EUR"}}],
        },
        {"id": "B", "standard_prices": [{"price": {"amount": 3, "currency": "EUR"}}]},
    ]


def test_nan_of_a_table_does_not_erase(tmp_path: Path) -> None:
    columns = Columns({"sku": "id", "price": "standard_prices.amount", "brand": "brand"}, currency="EUR")
    rows = [{"sku": "A", "price": float("nan"), "brand": float("nan")}]
    found = faults(rows, tmp_path / "plan", columns=columns)
    assert "NaN is not a valid number" in found["[0].standard_prices[0].price.amount"]
    assert "got NaN" in found["[0].brand"]


def test_ids_to_delete_from_csv(write: Make, tmp_path: Path) -> None:
    plan = plan_delete(write("sku,brand\nA,x\nB,y\nA,z\n", "p.csv"), tmp_path / "plan")
    assert sent(plan) == [{"id": "A"}, {"id": "B"}]


@pytest.mark.parametrize("item_id", ["sku", "ean", "id2"])
def test_an_id_that_reads_like_a_heading_is_an_id(item_id: str, write: Make, tmp_path: Path) -> None:
    plan = plan_delete(write(f"id\n{item_id}\nA\n", "p.csv"), tmp_path / "plan")
    assert sent(plan) == [{"id": item_id}, {"id": "A"}]


def test_parquet_flat_and_nested(write: Make, tmp_path: Path, product: Make) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow: make venv installs it")
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow: make venv installs it")
    flat = pyarrow.table(
        {
            "sku": ["A", "B"],
            "title_en": ["Phone", None],
            "price": pyarrow.array([Decimal("12.50"), None], pyarrow.decimal128(10, 2)),
            "stock": [5.0, 7.0],
            "discount_price": [1.5, None],
            "discount_end_date": [datetime(2026, 2, 19, 16, 46, tzinfo=UTC), None],
        }
    )
    parquet.write_table(flat, tmp_path / "flat.parquet")
    plan = plan_upsert(tmp_path / "flat.parquet", tmp_path / "a", columns=Columns(currency="EUR"))
    assert sent(plan) == [
        {
            "id": "A",
            "titles": [{"locale": "en", "value": "Phone"}],
            "standard_prices": [{"price": {"amount": 12.5, "currency": "EUR"}}],
            "quantities": [{"available_quantity": 5}],
            "discount_prices": [
                {"price": {"amount": 1.5, "currency": "EUR"}, "end_date": "2026-02-19T16:46:00Z"}
            ],
        },
        {"id": "B", "quantities": [{"available_quantity": 7}]},
    ]
    assert plan.source.size == (tmp_path / "flat.parquet").stat().st_size

    rows = [
        {"id": "A", "titles": [{"locale": "en", "value": "x"}], "brand": None},
        {"id": "B", "titles": [], "brand": "b"},
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "nested.parquet")
    nested = plan_upsert(tmp_path / "nested.parquet", tmp_path / "b")
    assert sent(nested) == [
        {"id": "A", "titles": [{"locale": "en", "value": "x"}]},
        {"id": "B", "titles": [], "brand": "b"},
    ]

    damaged = write((tmp_path / "flat.parquet").read_bytes()[:-20], "damaged.parquet")
    with pytest.raises(MiraklInputError, match="cannot be read as Parquet"):
        plan_upsert(damaged, tmp_path / "c")


def test_parquet_without_pyarrow_names_the_extra(
    write: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MiraklInputError, match=r"airflow-provider-mirakl\[parquet\]"):
        plan_upsert(write(b"PAR1....", "p.parquet"), tmp_path / "plan")
