"""Feeds as spreadsheets, shops and databases write them, each with the product that it means or the word that helps."""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.catalog.columns import Columns
from airflow_provider_mirakl.catalog.plan import Plan, plan_delete, plan_upsert, read_chunk
from airflow_provider_mirakl.catalog.rejects import commonest
from airflow_provider_mirakl.catalog.source import open_source
from airflow_provider_mirakl.exceptions import MiraklConfigurationError, MiraklInputError
from airflow_provider_mirakl.files.text import not_utf8

Make = Callable[..., Any]

MAPPING = {"sku": "id", "name": "titles[en_US]", "price": "standard_prices.amount", "ean": "gtins"}
COLUMNS = Columns(MAPPING, currency="EUR")


def sent(plan: Plan) -> list[Any]:
    return [json.loads(row) for chunk in plan.chunks for row in read_chunk(plan.folder, chunk)]


def planned(
    write: Make, folder: Path, content: str | bytes, name: str = "feed.csv", **options: Any
) -> list[Any]:
    options.setdefault("columns", COLUMNS)
    return sent(plan_upsert(write(content, name), folder / "plan", **options))


def refusal(write: Make, folder: Path, content: str | bytes, name: str = "feed.csv", **options: Any) -> str:
    options.setdefault("columns", COLUMNS)
    with pytest.raises(MiraklInputError) as caught:
        plan_upsert(write(content, name), folder / "plan", **options)
    return str(caught.value)


def product(
    sku: str, name: str | None = None, price: float | None = None, ean: str | None = None
) -> dict[str, Any]:
    made: dict[str, Any] = {"id": sku}
    if name is not None:
        made["titles"] = [{"locale": "en_US", "value": name}]
    if ean is not None:
        made["gtins"] = [{"value": ean}]
    if price is not None:
        made["standard_prices"] = [{"price": {"amount": price, "currency": "EUR"}}]
    return made


@pytest.mark.parametrize(
    ("text", "products"),
    [
        (
            "sep=;\nsku;name;price;ean\nA1;Lamp;12.50;4006381333931\n",
            [product("A1", "Lamp", 12.5, "4006381333931")],
        ),
        ("sep=\t\nsku\tname\tprice\tean\nA1\tLamp, big\t1\t\n", [product("A1", "Lamp, big", 1)]),
        ("sku;name;price;ean;\nA1;Lamp;1;;\nA2;L;2\n", [product("A1", "Lamp", 1), product("A2", "L", 2)]),
        ("sku,name,price,ean,,\nA1,Lamp,1,,,\n", [product("A1", "Lamp", 1)]),
        (",sku,name,price,ean\n0,A1,Lamp,1,\n1,A2,L,2,\n", [product("A1", "Lamp", 1), product("A2", "L", 2)]),
        ("\n\n \nsku,name,price,ean\nA1,Lamp,1,\n", [product("A1", "Lamp", 1)]),
        (" sku , name ,price, ean\n A1 , Lamp ,1,\n", [product("A1", "Lamp", 1)]),
        ("SKU,Name,Price,EAN\nA1,Lamp,1,\n", [product("A1", "Lamp", 1)]),
        ("\ufeff\ufeffsku,name,price,ean\nA1,Lamp,1,\n", [product("A1", "Lamp", 1)]),
        ("sku,note,note,name,price,ean\nA1,x,y,Lamp,1,\n", [product("A1", "Lamp", 1)]),
        (
            "sku,name,price,ean\n,,,\n \u00a0,,\u200b,\nA1,Lamp,1,\n;;;\n".replace(";;;\n", ""),
            [product("A1", "Lamp", 1)],
        ),
        ("sku,name,price,ean\n\u00a0A1\u200b,\ufeffLamp\u00a0,1,\n", [product("A1", "Lamp", 1)]),
        (
            'sku;name;price;ean;"GTIN, UPC, EAN, or ISBN, or none"\nA1;Lamp;1;;x\n',
            [product("A1", "Lamp", 1)],
        ),
        ("sku\tname\tprice\tean\tGTIN, UPC, EAN, or ISBN\nA1\tLamp\t1\t\t\n", [product("A1", "Lamp", 1)]),
        ('"sku","na\nme","name","price","ean"\nA1,x,Lamp,1,\n', [product("A1", "Lamp", 1)]),
        (
            "sku,name,price,ean\nA1,Lamp,1,\nsku,name,price,ean\nA2,L,2,\n",
            [product("A1", "Lamp", 1), product("A2", "L", 2)],
        ),
        (
            "sku,name,price,ean\nA1,Lamp,1,\n\ufeffsku,name,price,ean\n\ufeffA2,L,2,\n",
            [product("A1", "Lamp", 1), product("A2", "L", 2)],
        ),
    ],
    ids=lambda value: repr(value)[:40] if isinstance(value, str) else "",
)
def test_a_table_as_it_comes(text: str, products: list[Any], write: Make, tmp_path: Path) -> None:
    assert planned(write, tmp_path, text) == products


def test_a_name_that_is_nearly_there_is_suggested(write: Make, tmp_path: Path) -> None:
    words = refusal(write, tmp_path, "skuu,nam,price,ean\nA1,Lamp,1,\n")
    assert "did you mean 'skuu'?" in words
    assert "did you mean 'nam'?" in words
    assert "it has 'skuu', 'nam', 'price', 'ean'" in words
    many = ",".join(f"c{number}" for number in range(32))
    assert "'c29' and 2 more" in refusal(write, tmp_path, f"{many}\n{many}\n")


def test_a_mapped_name_that_stands_twice_is_refused(write: Make, tmp_path: Path) -> None:
    assert "'name' occurs twice" in refusal(write, tmp_path, "sku,name,name,price,ean\nA1,a,b,1,\n")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("A1,Lamp,12,50,\n", "has 5 cells, but the header has 4"),
        ("A1;Lamp;1;\n", "has 1 cell, but the header has 4"),
        ('A1,"Gold" ring,1,\n', "not CSV: "),
    ],
)
def test_a_row_that_cannot_be_read_is_one_row(row: str, words: str, write: Make, tmp_path: Path) -> None:
    path = write(f"sku,name,price,ean\nA0,Lamp,1,\n{row}A2,L,2,\n", "feed.csv")
    plan = plan_upsert(path, tmp_path / "plan", columns=COLUMNS, on_invalid="reject")
    assert [one["id"] for one in sent(plan)] == ["A0", "A2"]
    (reject,) = map(json.loads, (tmp_path / "plan" / "rejects.ndjson").read_text().splitlines())
    assert reject["line"] == 3
    assert words in reject["problems"][0]


def test_quotes_that_are_characters(write: Make, tmp_path: Path) -> None:
    columns = Columns(MAPPING, currency="EUR", quoting="none")
    text = 'sku\tname\tprice\tean\nA1\t"Gold" ring\t1\t\nA2\t5" screen\t2\t\n'
    assert [one["titles"][0]["value"] for one in planned(write, tmp_path, text, columns=columns)] == [
        '"Gold" ring',
        '5" screen',
    ]


def test_another_heading_below_ends_the_reading(write: Make, tmp_path: Path) -> None:
    text = "sku,name,price,ean\nA1,Lamp,1,\nname,sku,ean,price\nL,A2,,2\n"
    assert "line 3: is another header" in refusal(write, tmp_path, text, on_invalid="reject")


def test_a_heading_of_labels_above_one_of_codes(
    write: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    labels = "Product code,Designation,Sales price,Barcode\nsku,name,price,ean\nA1,Lamp,1,\n"
    assert planned(write, tmp_path, labels) == [product("A1", "Lamp", 1)]
    by_label = Columns({"Product code": "id", "Designation": "titles[en_US]"})
    assert planned(write, tmp_path, labels, columns=by_label) == [product("A1", "Lamp")]
    assert "a second header, with codes" in caplog.text
    narrow, two = (
        "Product code,Designation\nsku,name\nA1,Lamp\n",
        Columns({"sku": "id", "name": "titles[en_US]"}),
    )
    assert planned(write, tmp_path, narrow, columns=two) == [product("A1", "Lamp")]


def test_a_heading_of_codes_below_is_found_without_a_mapping_too(write: Make, tmp_path: Path) -> None:
    text = "id,brand\nsku,brand_code\nA,Acme\n"
    assert planned(write, tmp_path, text, columns=None) == [{"id": "A", "brand": "Acme"}]


def test_repeated_headings_are_told(write: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    planned(write, tmp_path, "sku,name,price,ean\nA1,Lamp,1,\nsku,name,price,ean\nA2,L,2,\n")
    assert "the header occurs 1 more time among the rows" in caplog.text


# --- Encodings --------------------------------------------------------------------------------------------------

CAFE = "sku,name,price,ean\nA1,Café €,1,\n"


@pytest.mark.parametrize(
    ("encoding", "setting"),
    [
        ("utf-8", "auto"),
        ("utf-8-sig", "auto"),
        ("utf-16", "auto"),
        ("utf-32", "auto"),
        ("cp1252", "cp1252"),
        ("iso8859-15", "latin9"),
        ("utf-16-le", "utf-16-le"),
        ("utf-7", "utf-7"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_encodings(encoding: str, setting: str, packed: bool, write: Make, tmp_path: Path) -> None:
    content = CAFE.encode(encoding)
    found = planned(write, tmp_path, gzip.compress(content) if packed else content, encoding=setting)
    assert found == [product("A1", "Café €", 1)]


def test_encodings_of_json(write: Make, tmp_path: Path) -> None:
    rows = '{"id":"A","brand":"Café"}\n{"id":"B","brand":"Öl"}\n'
    for name, text in (("p.ndjson", rows), ("p.json", f"[{','.join(rows.split())}]")):
        found = planned(write, tmp_path, text.encode("cp1252"), name, columns=None, encoding="cp1252")
        assert [one["brand"] for one in found] == ["Café", "Öl"]


def test_a_character_of_several_bytes_across_blocks(write: Make, tmp_path: Path) -> None:
    rows = "".join(f"A{number},{'é' * 200},1,\n" for number in range(6000))
    found = planned(write, tmp_path, f"sku,name,price,ean\n{rows}".encode("utf-16"))
    assert len(found) == 6000
    assert {one["titles"][0]["value"] for one in found} == {"é" * 200}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            CAFE.replace(" €", "").encode("cp1252"),
            ["line 2: not UTF-8: byte 0xE9", "windows-1252", "encoding='cp1252'"],
        ),
        (b"sku+ADs-name+ADs-price+ADs-ean\nA1+ADs-Lamp\n", ["UTF-7"]),
        (CAFE.encode("utf-16-le"), ["without a byte order mark", "encoding='utf-16-le'"]),
        (b"PK\x03\x04....", ["Excel workbook (XLSX)", "CSV"]),
    ],
)
def test_another_encoding_is_named_with_the_setting(
    content: bytes, words: list[str], write: Make, tmp_path: Path
) -> None:
    message = refusal(write, tmp_path, content)
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    "text",
    [
        'sku;name\n="00123";="Lamp A"\n',
        '"=""sku""";name\n"=""00123""";"=""Lamp A"""\n',
        'sku;name\n ="00123" ;Lamp A\n',
    ],
)
def test_a_text_cell_of_a_spreadsheet(text: str, write: Make, tmp_path: Path) -> None:
    """The formula with which a spreadsheet keeps leading zeros is not part of an id."""
    columns = Columns({"sku": "id", "name": "brand"})
    assert planned(write, tmp_path, text, columns=columns) == [{"id": "00123", "brand": "Lamp A"}]


def test_what_only_looks_like_a_text_cell_stays(write: Make, tmp_path: Path) -> None:
    text = 'sku;name\nA;"<b class=""x"">=""1""</b>"\nB;"=1+1"\nC;"a=""b"""\n'
    columns = Columns({"sku": "id", "name": "brand"})
    brands = [row["brand"] for row in planned(write, tmp_path, text, columns=columns)]
    assert brands == ['<b class="x">="1"</b>', "=1+1", 'a="b"']


def test_lines_that_end_with_a_carriage_return(write: Make, tmp_path: Path) -> None:
    products = planned(
        write, tmp_path, "\r\rsku,name\rA1,Lamp\rA2,Bulb\r", columns=Columns({"sku": "id", "name": "brand"})
    )
    assert products == [{"id": "A1", "brand": "Lamp"}, {"id": "A2", "brand": "Bulb"}]
    words = refusal(
        write, tmp_path, "sku,name\rA1,Lamp\rA1,Bulb\r", columns=Columns({"sku": "id", "name": "brand"})
    )
    assert "line 3" in words
    assert "line 2" in words


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Schöne große Lampe für Küche, Höhe über dem Tisch, äußerst günstig", "cp1252"),
        ("Lámpara de diseño español con botón, tamaño pequeño, iluminación cálida", "cp1252"),
        ("Lâmpada de mesa com botão, iluminação e proteção contra água, coração", "cp1252"),
        ("Lampada è già più bella così, città e qualità, perché no", "cp1252"),
        ("Snygg lampa för köket, ljusstyrka är hög åt alla håll", "cp1252"),
        ("Téléphone à 5 \u20ac l\u2019unité \u2013 œuvre \u201ctrès\u201d bien née", "cp1252"),
        ("Über 5 Stück; très élégant, à côté de la fenêtre; diseño español", "cp1252"),
        ("Příliš žluťoučký kůň úpěl ďábelské ódy", "cp1250"),
        ("Zażółć gęślą jaźń, lampka biurkowa świeci się pięknie", "cp1250"),
        ("Árvíztűrő tükörfúrógép, asztali lámpa fényerő", "cp1250"),
        ("Un téléphone à écran lumineux, deux caméras", "mac_roman"),
        ("Un téléphone à écran lumineux, deux caméras", "cp850"),
    ],
)
@pytest.mark.parametrize("rows", [1, 30])
def test_the_encoding_is_the_one_of_the_language(text: str, encoding: str, rows: int) -> None:
    """A user who follows the advice gets the letters that were written, however much of them there is."""
    with pytest.raises(UnicodeDecodeError) as caught:
        ("sku,name\n" + f"A1,{text}\n" * rows).encode(encoding).decode()
    assert f"set encoding={encoding!r}" in not_utf8(caught.value)


def test_another_encoding_of_json_is_named_with_the_setting(write: Make, tmp_path: Path) -> None:
    row = json.dumps({"id": "A", "brand": "Café crème"}, ensure_ascii=False)
    for name, text in (("feed.ndjson", row), ("feed.json", f"[{row}]")):
        with pytest.raises(
            MiraklInputError, match="byte 0xE9; the file seems to be windows-1252: set encoding='cp1252'"
        ):
            plan_upsert(write(text.encode("cp1252"), name), tmp_path / "plan")


def test_russian_is_not_taken_for_french(write: Make, tmp_path: Path) -> None:
    lamp = "Настольная лампа выключателем дизайнерским абажуром"
    text = "sku,name,price,ean\n" + f"A1,{lamp},1,\n" * 40
    assert "windows-1251" in refusal(write, tmp_path, text.encode("cp1251"))


def test_an_encoding_that_does_not_exist(write: Make, tmp_path: Path) -> None:
    for wrong in ("windows", "base64"):
        assert f"not '{wrong}'" in refusal(write, tmp_path, CAFE, encoding=wrong)


# --- Numbers ----------------------------------------------------------------------------------------------------


def price_of(write: Make, folder: Path, text: str, **settings: Any) -> tuple[float, str]:
    columns = Columns(MAPPING, **{"currency": "EUR", **settings})
    (found,) = planned(write, folder, f'sku;name;price;ean\nA1;;"{text}";\n', columns=columns)
    price = found["standard_prices"][0]["price"]
    return price["amount"], price["currency"]


@pytest.mark.parametrize(
    ("text", "settings", "expected"),
    [
        ("12.50 EUR", {}, (12.5, "EUR")),
        ("EUR 12.50", {}, (12.5, "EUR")),
        ("€12.50", {}, (12.5, "EUR")),
        ("12.50 €", {}, (12.5, "EUR")),
        ("12.50 USD", {}, (12.5, "USD")),
        ("12.50 GBP", {"currency": "cell"}, (12.5, "GBP")),
        ("$12.50", {"currency": "CAD"}, (12.5, "CAD")),
        ("¥12", {"currency": "CNY"}, (12, "CNY")),
        ("12 ¥", {"currency": "JPY"}, (12, "JPY")),
        ("¥1200 JPY", {"currency": "cell"}, (1200, "JPY")),
        ("12,50 CHF", {"decimal": ","}, (12.5, "CHF")),
        ("1 249,00", {"decimal": ",", "thousands": " "}, (1249, "EUR")),
        ("1\u00a0249,00", {"decimal": ",", "thousands": " "}, (1249, "EUR")),
        ("1\u202f249,00 €", {"decimal": ",", "thousands": " "}, (1249, "EUR")),
        ("1.249,00", {"decimal": ",", "thousands": "."}, (1249, "EUR")),
        ("1'249.00", {"thousands": "'"}, (1249, "EUR")),
        ("1\u2019249.00", {"thousands": "'"}, (1249, "EUR")),
        ("1,249,000.5", {"thousands": ","}, (1249000.5, "EUR")),
        ("1.249.000,5", {"decimal": ",", "thousands": ". "}, (1249000.5, "EUR")),
        ("19.990", {}, (19.99, "EUR")),
    ],
)
def test_prices(text: str, settings: dict[str, Any], expected: Any, write: Make, tmp_path: Path) -> None:
    assert price_of(write, tmp_path, text, **settings) == expected


@pytest.mark.parametrize(
    ("text", "settings", "words"),
    [
        ("1 249,00", {"decimal": ","}, "could be 1249.00 or 1.249"),
        ("1\u00a0249,00", {"decimal": ","}, "could be 1249.00 or 1.249"),
        ("1.249,00", {"decimal": ","}, "could be 1249.00 or 1.249"),
        ("1,249", {}, "could be 1249 or 1.249"),
        ("1.249", {"decimal": ","}, "could be 1249 or 1.249"),
        ("1,24,9", {"thousands": ","}, "expected a number"),
        ("1,249,000", {}, "could be 1249000 or 1.249; set thousands=',' and decimal='.' in columns"),
        ("1.249.000", {}, "could be 1249000 or 1.249; set thousands='.' and decimal=',' in columns"),
        ("1.249.000,5", {}, "could be 1249000.5 or 1.249; set thousands='.' and decimal=','"),
        ("1.249.000.5", {}, "expected a number"),
        ("12.50 kg", {}, "expected a number"),
        ("12.50 Eur", {}, "expected a number"),
        ("$12.50", {}, "expected a number"),
        ("¥12", {}, "expected a number"),
        ("¥12", {"currency": "cell"}, "expected a number"),
        ("12.50 EUR USD", {}, "expected a number"),
        ("12.50", {"currency": "cell"}, "currency: missing"),
    ],
)
def test_prices_that_are_not_guessed(
    text: str, settings: dict[str, Any], words: str, write: Make, tmp_path: Path
) -> None:
    with pytest.raises(MiraklInputError, match=re.escape(words)):
        price_of(write, tmp_path, text, **settings)


@pytest.mark.parametrize(("text", "thousands", "stock"), [("5", None, 5), ("5.00", None, 5), ("1000.000", None, 1000),
    ("1.000", "", 1), ("1,000", ",", 1000), ("1.000", ",", 1), ("0.000", None, 0)])  # fmt: skip
def test_quantities(text: str, thousands: str | None, stock: int, write: Make, tmp_path: Path) -> None:
    columns = Columns({"sku": "id", "stock": "quantities"}, thousands=thousands)
    (found,) = planned(write, tmp_path, f"sku;stock\nA;{text}\n", columns=columns)
    assert found["quantities"] == [{"available_quantity": stock}]


@pytest.mark.parametrize("text", ["1.000", "1,000", "12.000", "1 000"])
@pytest.mark.parametrize("decimal", [".", ","])
def test_a_group_of_three_in_a_quantity_is_not_guessed(
    text: str, decimal: Any, write: Make, tmp_path: Path
) -> None:
    columns = Columns({"sku": "id", "stock": "quantities"}, decimal=decimal)
    message = refusal(write, tmp_path, f"sku;stock\nA;{text}\n", columns=columns)
    number = text[:-4]
    assert f"could be {number}000 or {number}.000" in message
    assert "thousands" in message


# --- GTINs and lists --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ean", "words", "fixed"),
    [
        ("4.00638E+12", "as a spreadsheet shows it", None),
        ("'4006381333931", "an apostrophe", "4006381333931"),
        ("12345678901", "did a spreadsheet remove a leading zero", None),
        ("3600029145", "has 10 digits", None),
        ("36000291452", "spreadsheets remove leading zeros", "036000291452"),
        ("00012345678905", "without the leading 0", "0012345678905"),
        ("04006381333931", "without the leading 0", "4006381333931"),
        ("0-036000-291452", "normalize_gtins=True fixes it", "0036000291452"),
        ("1234565", "spreadsheets remove leading zeros", "01234565"),
        ("14006381333938", "digits identify a case", None),
        ("4006381333932", "1 would be right", None),
        ("978-0-306-40615-7", "normalize_gtins=True fixes it", "9780306406157"),
    ],
)
def test_gtins(ean: str, words: str, fixed: str | None, write: Make, tmp_path: Path) -> None:
    text = f'sku,name,price,ean\nA1,Lamp,1,"{ean}"\n'
    assert words in refusal(write, tmp_path, text)
    if fixed is None:
        refusal(write, tmp_path, text, normalize_gtins=True)
    else:
        assert planned(write, tmp_path, text, normalize_gtins=True) == [product("A1", "Lamp", 1, fixed)]


def test_a_wrong_check_digit_may_pass(write: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = '{"id":"A","gtins":[{"value":"4006381333932"}]}\n'
    assert "gtin_check='warn'" in refusal(write, tmp_path, rows, "p.ndjson", columns=None)
    for setting in ("off", "warn"):
        assert planned(write, tmp_path, rows, "p.ndjson", columns=None, gtin_check=setting)
        assert ("sending 1 product with a GTIN whose check digit is wrong" in caplog.text) == (
            setting == "warn"
        )


@pytest.mark.parametrize(
    "cell",
    [
        "https://a/1.jpg, https://a/2.jpg",
        "https://a/1.jpg,https://a/2.jpg",
        "https://a/1.jpg;https://a/2.jpg;",
        "https://a/1.jpg|https://a/2.jpg",
        "https://a/1.jpg\nhttps://a/2.jpg",
        "https://a/1.jpg https://a/2.jpg",
    ],
)
def test_several_images_in_a_cell(cell: str, write: Make, tmp_path: Path) -> None:
    columns = Columns({"sku": "id", "images": "images"})
    (found,) = planned(write, tmp_path, f'sku\timages\nA\t"{cell}"\n', columns=columns)
    assert [image["url"] for image in found["images"]] == ["https://a/1.jpg", "https://a/2.jpg"]


def test_a_comma_in_an_address_is_part_of_it(write: Make, tmp_path: Path) -> None:
    columns = Columns({"sku": "id", "images": "images"})
    (found,) = planned(write, tmp_path, "sku\timages\nA\thttps://a/w_5,h_5;c/1.jpg\n", columns=columns)
    assert [image["url"] for image in found["images"]] == ["https://a/w_5,h_5;c/1.jpg"]


def test_several_gtins_in_a_cell(write: Make, tmp_path: Path) -> None:
    for sign in ", ", ";", "|", " ", "\n":
        text = f'sku\tean\nA\t"4006381333931{sign}96385074"\n'
        (found,) = planned(write, tmp_path, text, columns=Columns({"sku": "id", "ean": "gtins"}))
        assert [gtin["value"] for gtin in found["gtins"]] == ["4006381333931", "96385074"]


# --- Long cells -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_cell_beyond_the_limit_of_the_csv_module_is_a_matter_of_its_row(
    quote: str, write: Make, tmp_path: Path
) -> None:
    limit = csv.field_size_limit()
    long = f"{quote}{'x' * 140_000}{quote}"
    text = f"sku,name,price,ean\nA1,a,1,\nA2,{long},2,\nA3,c,3,\n"
    plan = plan_upsert(write(text, "feed.csv"), tmp_path / "plan", columns=COLUMNS, on_invalid="reject")
    assert [one["id"] for one in sent(plan)] == ["A1", "A3"]
    assert csv.field_size_limit() == limit
    (reject,) = map(json.loads, (tmp_path / "plan" / "rejects.ndjson").read_text().splitlines())
    assert (reject["line"], reject["id"]) == (3, "A2")
    assert "has 140000 characters" in reject["problems"][0]


def test_a_long_cell_that_nobody_maps_does_not_matter(write: Make, tmp_path: Path) -> None:
    lines = 'line ""one""\n' * 20_000
    text = f'sku,html,name,price,ean\nA1,"{lines}",a,1,\nA2,,c,3,\n'
    assert planned(write, tmp_path, text) == [product("A1", "a", 1), product("A2", "c", 3)]


# --- Ids --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", [" ", "\u00a0", "\u200b", "\ufeff", "\n", "\t"])
def test_an_id_with_white_space_is_not_sent_as_it_is(mark: str, write: Make, tmp_path: Path) -> None:
    for item_id in (f"A{mark}", f"{mark}A"):
        row = json.dumps({"id": item_id}, ensure_ascii=False)
        message = refusal(write, tmp_path, row + "\n", "p.ndjson", columns=None)
        assert f"U+{ord(mark):04X}" in message
        with pytest.raises(MiraklInputError, match="white space"):
            plan_delete([item_id], tmp_path / "delete")
        assert planned(write, tmp_path, row + "\n", "p.ndjson", columns=None, strip=False) == [
            {"id": item_id}
        ]
        assert planned(write, tmp_path, f'sku,brand\n"{item_id}",b\n', columns=None) == [
            {"id": "A", "brand": "b"}
        ]


def test_a_blank_id(write: Make, tmp_path: Path) -> None:
    assert "id: is blank" in refusal(write, tmp_path, '{"id":" \\u00a0"}\n', "p.ndjson", columns=None)
    assert "id: missing" in refusal(write, tmp_path, "sku,brand\n \u00a0,b\n", columns=None)


def test_cells_are_kept_where_a_user_says_so(write: Make, tmp_path: Path) -> None:
    found = planned(write, tmp_path, "sku,brand\n A , b \n", columns=None, strip=False)
    assert found == [{"id": " A ", "brand": " b "}]


# --- Wrapped JSON -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ('{"data": [{"id": "a"}, {"id": "b"}]}', "data"),
        ('{"meta": {"next": [1]}, "data": [{"id": "a"}, {"id": "b"}], "total": 2}', "data"),
        ('{"products": [{"id": "a"}, {"id": "b"}], "meta": {"page": 1}}', None),
        ('{\n "meta": null,\n "result": {"n": 1, "rows": [\n{"id": "a"},\n{"id": "b"}]}\n}\n', "result.rows"),
        ('{\n  "id": "a"\n}\n{\n  "id": "b"\n}\n', None),
    ],
)
def test_json_around_a_list(text: str, items: str | None, write: Make, tmp_path: Path) -> None:
    assert planned(write, tmp_path, text, "p.json", columns=None, items=items) == [{"id": "a"}, {"id": "b"}]


@pytest.mark.parametrize("text", ['{"data": [{"id": "a"}]}', '{\n  "data": [\n    {"id": "a"}\n  ]\n}\n'])
def test_json_around_a_list_names_the_setting(text: str, write: Make, tmp_path: Path) -> None:
    assert "items='data'" in refusal(write, tmp_path, text, "p.json", columns=None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[{"id": "A"},\n', "line 2: expected a product"),
        ('[{"id": "A"},\n]', "line 2: expected a product"),
        ('[{"id": "A"}\n', "line 2: expected , or ] after a product"),
        ('[{"id": "A"}]\n[', "line 2: text after the end of the list"),
        ('[{"id": "A"},\n{"id": "B', "line 2: not JSON: Unterminated string"),
        ('{"products": [{"id": "A"}]\n', "line 2: expected } after the list of products"),
    ],
)
def test_a_list_that_was_cut_is_named_with_its_line(
    text: str, words: str, write: Make, tmp_path: Path
) -> None:
    assert words in refusal(write, tmp_path, text, "feed.json", columns=None)


def test_columns_behind_one_without_a_name_are_read(write: Make, tmp_path: Path) -> None:
    text = "id,,brand\nA,,Acme\n"
    assert planned(write, tmp_path, text, columns=None) == [{"id": "A", "brand": "Acme"}]


def test_a_name_that_matches_two_columns_is_refused(write: Make, tmp_path: Path) -> None:
    columns = Columns({"Sku": "id"})
    words = refusal(write, tmp_path, "SKU,sku\nA,B\n", columns=columns)
    assert "Sku: matches 'SKU' and 'sku' in the header" in words


def test_an_id_to_delete_is_found_behind_other_templates(write: Make, tmp_path: Path) -> None:
    columns = Columns({"titles[en]": "{brand} {name}", "id": "{shop}-{sku}"})
    path = write("brand,name,shop,sku\nAcme,Lamp,S,A\n", "feed.csv")
    assert sent(plan_delete(path, tmp_path / "plan", columns=columns)) == [{"id": "S-A"}]


def test_a_price_without_a_currency_is_named_once(write: Make, tmp_path: Path) -> None:
    columns = Columns({"sku": "id", "price": "discount_prices.amount", "other": "discount_prices.start_date"})
    with pytest.raises(MiraklInputError) as caught:
        plan_upsert(write("sku,price,other\nA,1,x\n", "feed.csv"), tmp_path / "plan", columns=columns)
    assert [problem.field for problem in caught.value.problems] == ["price"]


def test_items_that_are_not_there(write: Make, tmp_path: Path) -> None:
    text = '{"data": [{"id": "a"}]}'
    assert "does not have field 'rows'" in refusal(
        write, tmp_path, text, "p.json", columns=None, items="rows"
    )


def test_an_id_that_is_a_number(write: Make, tmp_path: Path) -> None:
    with pytest.raises(MiraklInputError, match="write it in quotes"):
        plan_upsert([{"id": 123}], tmp_path / "plan")
    plan = plan_upsert([{"sku": 123}], tmp_path / "plan", columns=Columns({"sku": "id"}))
    assert sent(plan) == [{"id": "123"}]


# --- Reject, fix, feed again ------------------------------------------------------------------------------------


def rejects(folder: Path) -> list[Any]:
    return [json.loads(line) for line in (folder / "plan" / "rejects.ndjson").read_text().splitlines()]


@pytest.mark.parametrize("tool", ["as it is", "json.dumps", "jq", "jq -c", "jq -s"])
def test_rejects_are_input_of_the_same_operator(tool: str, write: Make, tmp_path: Path) -> None:
    text = "sku,name,price,ean\nA1,Lamp,dear,\nA2,L,2,50,\nA3,M,3,\n"
    options: dict[str, Any] = {
        "columns": COLUMNS, "on_invalid": "reject", "source_format": "csv", "encoding": "cp1252",
    }  # fmt: skip
    plan_upsert(write(text, "feed.csv"), tmp_path / "plan", **options)
    entries = rejects(tmp_path)
    entries[0]["row"]["standard_prices"][0]["price"]["amount"] = 9
    assert entries[1]["cells"] == {"sku": "A2", "name": "L", "price": "2", "ean": "50", "(column 5)": ""}
    entries[1]["cells"] = {"sku": "A2", "name": "Lé", "price": "2.50", "ean": ""}
    written = {
        "as it is": "\n".join(
            json.dumps(entry, separators=(",", ":"), ensure_ascii=False) for entry in entries
        ),
        "json.dumps": "\n".join(map(json.dumps, entries)),
        "jq": "\n".join(json.dumps(entry, indent=2) for entry in entries),
        "jq -c": "\n".join(json.dumps(entry, separators=(",", ":"), sort_keys=True) for entry in entries),
        "jq -s": json.dumps(entries, indent=2),
    }[tool]
    if tool == "jq -s":
        del options["source_format"]
    again = plan_upsert(write(written, "fixed.ndjson"), tmp_path / "again", **options)
    assert again.rejected == 0
    assert sent(again) == [product("A1", "Lamp", 9), product("A2", "Lé", 2.5)]


def test_a_reject_that_was_not_fixed_is_rejected_again(write: Make, tmp_path: Path) -> None:
    path = write("sku,name,price,ean\nA2,L,2,50,x\n", "feed.csv")
    plan_upsert(path, tmp_path / "plan", columns=COLUMNS, on_invalid="reject")
    again = plan_upsert(
        tmp_path / "plan" / "rejects.ndjson", tmp_path / "again", columns=COLUMNS, on_invalid="reject"
    )
    assert (again.rejected, again.products) == (1, 0)
    once_more = (tmp_path / "again" / "rejects.ndjson").read_text()
    assert json.loads(once_more)["cells"] == rejects(tmp_path)[0]["cells"]


def test_rejects_of_a_table_without_a_mapping_are_read_by_their_names(write: Make, tmp_path: Path) -> None:
    text = "id,brand,title_en\nA,Acme,Lamp,too many\n"
    plan_upsert(write(text, "feed.csv"), tmp_path / "plan", on_invalid="reject")
    (entry,) = rejects(tmp_path)
    cells = {"id": "A", "brand": "Acme", "title_en": "Lamp"}
    for fixed, products in ((cells, 1), (cells | {"titel": "x"}, 0)):
        path = write(json.dumps(entry | {"cells": fixed}), "fixed.ndjson")
        again = plan_upsert(path, tmp_path / "again", on_invalid="reject")
        assert (again.products, again.rejected) == (products, 1 - products)
        if products:
            title = {"locale": "en", "value": "Lamp"}
            assert sent(again) == [{"id": "A", "brand": "Acme", "titles": [title]}]
    assert "titel" in (tmp_path / "again" / "rejects.ndjson").read_text()


def test_rejects_behind_blank_lines_are_still_rejects(drops: Make, tmp_path: Path) -> None:
    """Also where the first block has only the blank lines and a part of a row."""
    plan_upsert([{"id": "A", "brand": 5}], tmp_path / "plan", on_invalid="reject")
    (entry,) = rejects(tmp_path)
    entry["row"]["brand"] = "Acme"
    source = open_source(drops(b"\n\n" + json.dumps(entry).encode(), 3), "ndjson")
    assert sent(plan_upsert(source, tmp_path / "again")) == [{"id": "A", "brand": "Acme"}]


def test_a_row_that_was_not_json_is_mapped_when_it_comes_back(write: Make, tmp_path: Path) -> None:
    text = '{"sku": "A1", "name": "Lamp", "price": 1, "ean": ""}\n{"sku": "A2", "name": Lamp}\n'
    plan_upsert(write(text, "p.ndjson"), tmp_path / "plan", columns=COLUMNS, on_invalid="reject")
    (entry,) = rejects(tmp_path)
    entry["row"] = entry["row"].replace("Lamp", '"Lamp"')
    again = plan_upsert(write(json.dumps(entry), "fixed.ndjson"), tmp_path / "again", columns=COLUMNS)
    assert sent(again) == [product("A2", "Lamp")]


def test_settings_that_cannot_work() -> None:
    for wrong in ({"thousands": "."}, {"fill_down": ("a",)}, {"quoting": "all"}, {"preset": "shopifi"}):
        with pytest.raises(MiraklConfigurationError):
            Columns.from_settings({"mapping": {"a": "id"}, **wrong})  # type: ignore[dict-item]


def test_the_five_commonest_reasons_are_shown(tmp_path: Path) -> None:
    fields = ("titles", "gtins", "images", "category", "attributes", "quantities", "brand", "brand")
    rows = [{"id": f"P{number}", name: 5} for number, name in enumerate(fields)]
    plan_upsert([*rows, {"id": "A"}], tmp_path / "plan", on_invalid="reject")
    found = commonest(tmp_path / "plan" / "rejects.ndjson")
    assert [error.count for error in found] == [2, 1, 1, 1, 1]
