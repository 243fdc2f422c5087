"""Files of P41, OF01, STO01 and PRI01: what is found in them before their call."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.checks.imports import OF01, PRI01, STO01, ImportCheck, ImportFile
from airflow_provider_mirakl.checks.lint import Check, Lint, NoCheck, as_line, lint_table, words
from airflow_provider_mirakl.checks.products import OperatorAttributes, ProductCheck
from airflow_provider_mirakl.files.csv_table import TableWriter, open_table
from airflow_provider_mirakl.sandbox.systems import reference

OPERATOR = OperatorAttributes(
    reference.HIERARCHIES,  # type: ignore[arg-type]
    list(reference.ATTRIBUTES.values()),  # type: ignore[arg-type]
    reference.VALUES_LISTS,  # type: ignore[arg-type]
)
HEAD = "category;shop_sku;title;ean;brand;color;weight;materials;released;main_image;battery\n"


@pytest.fixture
def lint(tmp_path: Path) -> Any:
    """Checks a file."""

    def run(text: str | bytes, check: Check, **options: Any) -> Lint:
        path = tmp_path / "feed.csv"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        with open_table(path, **options) as table:
            return lint_table(table, check)

    return run


def said(lint: Lint) -> list[str]:
    return [str(finding) for finding in lint.findings]


# --- P41 ------------------------------------------------------------------------------------------------------------


def row(**cells: str) -> str:
    good = {
        "category": "headphones",
        "shop_sku": "A-1",
        "title": "One",
        "ean": "4006381333931",
        "brand": "nordlys",
    }
    return ";".join({**good, **cells}.get(name, "") for name in HEAD.strip().split(";")) + "\n"


def test_a_good_file_has_nothing(lint: Any) -> None:
    text = HEAD + row(color="Blue", weight="-3", materials="wood|Metal", released="2026-01-31")
    text += row(shop_sku="A-2", main_image="https://a/1.jpg", brand="Nordlys", materials="wood, glass")
    text += row(shop_sku="A-3", category="smartphones", battery="4000")
    found = lint(text, ProductCheck(OPERATOR))
    assert (said(found), found.notes, found.rows) == ([], [], 3)
    assert found.summary() == {"rows": 3, "problems": 0, "commonest": [], "notes": []}


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"category": "Headphone"}, ("category: 'Headphone' is not the code of a category of the operator; did you"
         " mean 'headphones'?")),
        ({"category": "Casques audio"}, ("category: 'Casques audio' is not the code of a category of the operator; did"
         " you mean 'headphones'?")),
        ({"title": ""}, "title: is empty; every product needs it"),
        ({"category": "smartphones"}, "battery: is empty; smartphones needs it"),
        ({"weight": "3 kg"}, "weight: '3 kg' is not a whole number"),
        ({"color": "purple"}, "color: 'purple' is not in the list colors; it has black, white, blue, green, red, grey"),
        ({"color": "bleck"}, "color: 'bleck' is not in the list colors; did you mean 'black'?"),
        ({"materials": "wood|stone"}, ("materials: 'wood|stone' (stone) is not in the list materials; it has wood, "
         "metal, glass, cotton, leather")),
        ({"released": "31.01.2026"}, "released: '31.01.2026' is not a date in the form yyyy-MM-dd"),
        ({"main_image": "lamp.jpg"}, "main_image: 'lamp.jpg' is not a URL; it must begin with http:// or https://"),
        ({"title": "x" * 256}, f"title: {'x' * 256!r:.60} is too long; at most 255 characters"),
        ({"ean": "4006381333932"}, "ean: '4006381333932' has a wrong check digit; 1 would be correct"),
        ({"ean": "4.00638E+12"}, ("ean: '4.00638E+12' is not a GTIN of 8, 12, 13 or 14 digits; did a spreadsheet "
         "remove a leading zero?")),
    ],
)  # fmt: skip
def test_a_fault_of_a_product(cells: dict[str, str], message: str, lint: Any) -> None:
    found = lint(HEAD + row(shop_sku="A-0") + row(**cells), ProductCheck(OPERATOR))
    assert said(found) == [f"line 3, id 'A-1', {message}"]


def test_findings_have_the_values_that_would_be_right(lint: Any) -> None:
    found = lint(HEAD + row(color="purple") + row(shop_sku="A-2", color="blck"), ProductCheck(OPERATOR))
    rows = [json.loads(as_line(finding)) for finding in found.findings]
    assert [(one["line"], one["id"], one["column"], one["value"], one["allowed"]) for one in rows] == [
        (2, "A-1", "color", "purple", ["black", "white", "blue", "green", "red", "grey"]),
        (3, "A-2", "color", "blck", ["black"]),
    ]
    assert found.summary()["commonest"] == [
        {"column": "color", "message": "is not in the list colors", "count": 2}
    ]


def test_many_allowed_values_are_cut(lint: Any) -> None:
    values = [{"code": f"color-{n:03}", "label": f"Farbe {n}"} for n in range(500)]
    attributes = [
        {"code": "id", "roles": [{"type": "SHOP_SKU"}]},
        {"code": "c", "type": "LIST", "type_parameter": "many"},
    ]
    operator = OperatorAttributes([], attributes, [{"code": "many", "values": values}])  # type: ignore[list-item]
    (finding,) = lint("id;c\n1;x\n", ProductCheck(operator)).findings
    assert finding.message.endswith("color-019 and 480 more")
    assert len(finding.allowed) == 20


def test_columns(lint: Any) -> None:
    found = lint(
        "category;shop_sku;Title;colour;ean;brnd;sku_x;ean\nheadphones;A;x;;1;;;\n", ProductCheck(OPERATOR)
    )
    assert said(found)[:6] == [
        "line 1, Title: is not an attribute of the operator; did you mean 'title'?",
        "line 1, colour: is not an attribute of the operator; did you mean 'color'?",
        "line 1, brnd: is not an attribute of the operator; did you mean 'brand'?",
        "line 1, sku_x: is not an attribute of the operator",
        "line 1, ean: occurs twice",
        "line 1, title: the column is missing; every product needs it",
    ]


def test_a_column_that_only_a_category_needs_is_named_once(lint: Any) -> None:
    text = "category;shop_sku;title;ean\n" + "".join(f"smartphones;A-{n};x;4006381333931\n" for n in range(3))
    assert said(lint(text, ProductCheck(OPERATOR))) == [
        "line 2, id 'A-0', battery: the column is missing; smartphones needs it"
    ]


def test_doubled_ids(lint: Any) -> None:
    assert said(lint(HEAD + row() + row(), ProductCheck(OPERATOR))) == [
        "line 3, id 'A-1', shop_sku: 'A-1' is already on line 2"
    ]


def test_labels_above_codes(lint: Any) -> None:
    labels = "Category;Shop SKU;Title;EAN;Colour\n"
    text = labels + "category;shop_sku;title;ean;color\nheadphones;A;x;4006381333931;purple\n"
    assert said(lint(text, ProductCheck(OPERATOR))) == [
        "line 3, id 'A', color: 'purple' is not in the list colors; it has black, white, blue, green, red, grey"
    ]


def test_the_shop_s_own_format_is_not_judged_by_the_operator_s(lint: Any) -> None:
    text = "Nummer;Bezeichnung;Farbe\n1;Lampe;violett\n"
    found = lint(text, ProductCheck(OPERATOR))
    assert said(found) == []
    assert "shop's own format" in found.notes[0]
    assert lint(text, ProductCheck(OPERATOR, operator_format=True)).count > 3
    assert "AI_CONVERTER" in lint(text, ProductCheck(OPERATOR, converted=True)).notes[0]


def test_a_row_that_cannot_be_read_is_one_finding(lint: Any) -> None:
    found = lint(HEAD + row() + "a;b;c;d;e;f;g;h;i;j;k;l\n" + row(shop_sku="A-2"), ProductCheck(OPERATOR))
    assert said(found) == ["line 3: has 12 cells, but the header has 11; is a quote or a separator missing?"]


def test_the_words_for_a_person(lint: Any) -> None:
    found = lint(HEAD + row(color="purple"), ProductCheck(OPERATOR))
    assert next(iter(words(found, "feed.csv"))) == "feed.csv: 1 problem in 1 row"
    assert list(words(Lint(rows=2), "feed.csv")) == ["feed.csv: no problems in 2 rows"]


# --- OF01, STO01, PRI01 ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "text", "messages"),
    [
        (STO01, "sku;quantity\nA;1\n", ["line 1, sku: is not a column of STO01; did you mean 'offer-sku'?"]),
        (STO01, "offer-sku;quantty\nA;1\n", ["line 1, quantty: is not a column of STO01; did you mean 'quantity'?"]),
        (STO01, "offer-sku\nA\n", ["line 1, quantity: the column is missing; STO01 needs it"]),
        (
            STO01,
            "offer-sku;quantity;warehouse-code;update-delete\nA;1.5;W;\n;3;;\nB;;;delete\nC;;;remove\n",
            [
                "line 2, id 'A', quantity: must be a whole number, not '1.5'",
                "line 3, offer-sku: is empty",
                "line 5, id 'C', quantity: is empty",
                "line 5, id 'C', update-delete: must be update, delete or empty, not 'remove'",
            ],
        ),
        (
            STO01,
            "offer-sku;quantity;warehouse-code\nA;1;W\nA;1;V\nB;1;W\nA;1;W\n",
            [
                "line 5, id 'A', offer-sku: is already on line 2 with the same warehouse-code",
                ("line 5, id 'A', offer-sku: is not adjacent to its other rows; Mirakl needs the rows of an offer "
                "together (they end above line 4)"),
            ],
        ),
        (
            PRI01,
            ("offer-sku;price;discount-start-date;price-ranges\nA;1.249,00;31.12.2026;5-3\nB;12,50;2024-01-01T23:00:00Z;"
            "1|20,10|15\n"),
            [
                "line 2, id 'A', price: must be a number such as 12.50, not '1.249,00'",
                ("line 2, id 'A', discount-start-date: must be a date or date-time in ISO 8601, such as "
                "2027-01-31T00:00:00Z, not '31.12.2026'"),
                ("line 2, id 'A', price-ranges: must be quantities and prices such as 5|109.20,10|108.73, with a "
                "decimal point, not '5-3'"),
            ],
        ),
        (
            PRI01,
            "offer-sku;price\n" + "A;1\n" * 52,
            ["line 52, id 'A', offer-sku: has more than 50 prices"],
        ),
        (
            OF01,
            "shop_sku;price[channel=FR];prize;gift-wrap\nA;x;1;maybe\n",
            [
                "line 1, shop_sku: is not a column of OF01; did you mean 'sku'?",
                "line 1, prize: is not a column of OF01; did you mean 'price'?",
                "line 2, price[channel=FR]: must be a number such as 12.50, not 'x'",
                "line 2, gift-wrap: must be true or false, not 'maybe'",
            ],
        ),
        (OF01, "sku;price\nA;1\nB;2\nA;3\n", ["line 4, id 'A', sku: is already on line 2"]),
    ],
)  # fmt: skip
def test_a_file_of_offers(file: ImportFile, text: str, messages: list[str], lint: Any) -> None:
    assert said(lint(text, ImportCheck(file))) == messages


@pytest.mark.parametrize(
    ("prices", "line", "number", "meanings", "other"),
    [
        (["1,249", "12.50", "1,300", "9.90"], 2, "1,249", "1.249 or 1249", "'12.50' has a decimal point"),
        (["12.50", "1,249", "1,300"], 3, "1,249", "1.249 or 1249", "'12.50' has a decimal point"),
        (["12,50", "1.249"], 3, "1.249", "1.249 or 1249", "'12,50' has a decimal comma"),
        (["7", "1.249", "12,50"], 3, "1.249", "1.249 or 1249", "'12,50' has a decimal comma"),
    ],
)
def test_a_price_that_could_be_a_thousand_times_as_high_is_found_once(
    prices: list[str], line: int, number: str, meanings: str, other: str, lint: Any
) -> None:
    rows = "".join(f"A{at};{price}\n" for at, price in enumerate(prices))
    words = (
        f"price: the number {number!r} could be {meanings}, because {other}; write all numbers of the column"
    )
    found = said(lint("sku;price\n" + rows, ImportCheck(OF01)))
    assert [message.partition(" with the same")[0] for message in found] == [
        f"line {line}, id 'A{line - 2}', {words}"
    ]


@pytest.mark.parametrize("prices", [["1,249", "12,50"], ["1.249", "12.50"], ["12.50", "12,50"]])
def test_prices_whose_decimal_sign_is_clear_are_good(prices: list[str], lint: Any) -> None:
    rows = "".join(f"A{at};{price}\n" for at, price in enumerate(prices))
    assert said(lint("sku;price\n" + rows, ImportCheck(OF01))) == []


@pytest.mark.parametrize("ranges", ["5|109,20", "5|109,20,10|108,73"])
def test_a_decimal_comma_between_ranges_is_refused(ranges: str, lint: Any) -> None:
    """Mirakl separates the ranges at each comma, so the price would be 109."""
    words = "must be quantities and prices such as 5|109.20,10|108.73, with a decimal point"
    found = lint(f"sku;price-ranges\nA;{ranges}\n", ImportCheck(OF01))
    assert said(found) == [f"line 2, id 'A', price-ranges: {words}, not '{ranges}'"]


@pytest.mark.parametrize("cell", ["\u0661\u0662", "1\u0662", "\uff11"])
def test_digits_of_other_scripts_are_no_numbers(cell: str, lint: Any) -> None:
    found = lint(f"sku;price;quantity;price-ranges\nA;{cell};{cell};{cell}|{cell}\n", ImportCheck(OF01))
    assert [finding.field for finding in found.findings] == ["price", "quantity", "price-ranges"]
    assert said(lint(HEAD + row(weight=cell), ProductCheck(OPERATOR))) == [
        f"line 2, id 'A-1', weight: {cell!r} is not a whole number"
    ]


def test_a_custom_column_that_occurs_twice_is_found(lint: Any) -> None:
    found = lint("sku;warranty;Warranty;warranty\nA;1;2;3\n", ImportCheck(OF01))
    assert said(found) == ["line 1, warranty: occurs twice"]


def test_a_label_that_occurs_twice_is_found(lint: Any) -> None:
    text = "Category;SKU;Title;EAN;Brand;Colour;Colour\nheadphones;A;x;4006381333931;nordlys;red;blue\n"
    labels = {"category": "Category", "shop_sku": "SKU", "title": "Title", "ean": "EAN", "brand": "Brand",
              "color": "Colour"}  # fmt: skip
    attributes = [one | {"label": labels.get(code, "Other")} for code, one in reference.ATTRIBUTES.items()]
    operator = OperatorAttributes(
        reference.HIERARCHIES,  # type: ignore[arg-type]
        attributes,  # type: ignore[arg-type]
        reference.VALUES_LISTS,  # type: ignore[arg-type]
    )
    assert said(lint(text, ProductCheck(operator))) == ["line 1, color: occurs twice"]


def test_columns_beyond_the_document(lint: Any) -> None:
    found = lint("sku;price;ecotax;warranty\nA;1;2;24\n", ImportCheck(OF01))
    assert (found.count, found.notes) == (
        0,
        ["'warranty' is not a column of OF01: Mirakl treats it as a custom field"],
    )
    found = lint("offer-sku;quantity;comment\nA;1;x\n", ImportCheck(STO01))
    assert (found.count, found.notes) == (0, ["'comment' is not a column of STO01: Mirakl may ignore it"])


def test_the_documents_own_example_is_good(lint: Any) -> None:
    head = "sku;product-id;product-id-type;price;discount-price;discount-ranges;price-ranges;available-start-date;"
    head += (
        "price[channel=FR];discount-ranges[channel=FR];producer-id[FR-DEA];eco-contribution-amount[FR-DEA]\n"
    )
    line = "O;MKP1;SKU;110.52;108,56;;5|109.20,10|108.736;2017-02-20T10:45:53+01;105.56;5|1,10|1;FR1;3.59\n"
    assert said(lint(head + line, ImportCheck(OF01))) == []


def test_what_is_sent_of_a_file_that_is_not_clean(tmp_path: Path) -> None:
    path = tmp_path / "stock.csv"
    odd = 'sep=;\n Offer SKU ;Quantity;;\n\u00a0A ;1;;\n;;;\n\n"B;x";2\n'
    path.write_bytes(odd.encode("utf-16"))
    clean = io.BytesIO()
    with open_table(path) as table:
        writer = TableWriter(clean, table, strip=True)
        found = lint_table(table, ImportCheck(STO01), row=writer.write)
    assert (found.count, found.rows, table.plain) == (0, 2, False)
    assert clean.getvalue() == b'offer-sku;quantity\nA;1\n"B;x";2\n'


def test_a_clean_file_is_known_as_such(tmp_path: Path) -> None:
    path = tmp_path / "stock.csv"
    path.write_text('offer-sku;quantity\nA;1\n"B;x";2\n', encoding="utf-8")
    with open_table(path) as table:
        writer = TableWriter(io.BytesIO(), table, strip=True)
        lint_table(table, ImportCheck(STO01), row=writer.write)
    assert table.plain
    assert not writer.changed


def test_a_faulty_row_keeps_its_cells_below_their_names(tmp_path: Path) -> None:
    """A column without a name is left out of the header, and of every row."""
    file = tmp_path / "feed.csv"
    file.write_text("sku;;title\n1;secret;x\n2;;y\n", encoding="utf-8")
    rows: list[list[str]] = []
    with open_table(file) as table:
        found = lint_table(table, NoCheck(), row=rows.append)
    assert found.count == 1
    assert rows == [["sku", "title"], ["1", "x"], ["2", "y"]]
