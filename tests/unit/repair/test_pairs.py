"""Products in every supported form."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_mirakl.exceptions import MiraklInputError
from airflow_provider_mirakl.repair.pairs import Pair, read_file, read_pairs

WANTED = (Pair("M-1", "S-1"), Pair("M-2", "S-2"))


@pytest.mark.parametrize(
    "products",
    [
        "M-1;S-1\nM-2;S-2",
        "M-1,S-1\r\nM-2,S-2\r\n",
        "M-1\tS-1\nM-2\tS-2\n",
        " M-1 ; S-1 \n\n M-2;S-2;;\n",
        "M-1;S-1\nM-2\tS-2",
        "mirakl_product_id;product_sku\nM-1;S-1\nM-2;S-2",
        "productSku,name,miraklProductId\nS-1,x,M-1\nS-2,y,M-2",
        "mirakl-product-id;mirakl-product-sku;mirakl-synchronization-status\nM-1;S-1;PENDING\nM-2;S-2;\n",
        "Mirakl Product Id\tSKU\nM-1\tS-1\nM-2\tS-2",
        '"M-1";"S-1"\n"M-2";"S-2"',
        [("M-1", "S-1"), ["M-2", "S-2"]],
        ["M-1;S-1", "", "M-2,S-2"],
        ["mirakl_product_id;product_sku", "M-1;S-1", "M-2;S-2"],
        [{"mirakl_product_id": "M-1", "product_sku": "S-1"}, {"miraklProductId": "M-2", "productSku": "S-2"}],
        [{"mirakl_product_id": "M-1", "product_sku": "S-1", "before": "PENDING", "status": "failed"}, "M-2;S-2"],
        (pair for pair in [("M-1", "S-1"), ("M-2", "S-2"), ("M-1", "S-1")]),
        # as a template writes a list, and as files are pasted
        "['M-1;S-1', 'M-2;S-2']",
        "[('M-1', 'S-1'), ('M-2', 'S-2')]",
        ' [["M-1", "S-1"], {"mirakl_product_id": "M-2", "product_sku": "S-2"}]\n',
        '{"mirakl_product_id": "M-1", "product_sku": "S-1"}\n\n{"miraklProductId": "M-2", "productSku": "S-2"}\n',
        "\ufeffM-1;S-1\nM-2;S-2",
        "M-1;S-1\rM-2;S-2",
        # other columns: a line break in quotes, another SKU
        'mirakl_product_id;product_sku;title\nM-1;S-1;"a\nM-9;S-9"\n\nM-2;S-2;b\n',
        "sku;product_sku;mirakl_product_id\nX-1;S-1;M-1\nX-2;S-2;M-2",
    ],
)  # fmt: skip
def test_forms(products):
    assert read_pairs(products).pairs == WANTED


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "\ufeffmirakl_product_id;product_sku\nM-1;S-1\nM-2;S-2\n"),
        ("a.txt", "M-1\tS-1\nM-2\tS-2"),
        ("a,b.csv", "M-1,S-1\nM-2,S-2\n"),
        ("rejects.ndjson", "".join(json.dumps(pair._asdict()) + "\n" for pair in WANTED)),
        ("a.json", '[["M-1","S-1"],{"mirakl_product_id":"M-2","sku":"S-2"}]'),
    ],
)  # fmt: skip
def test_files(tmp_path, name, content):
    file = tmp_path / name
    file.write_text(content, encoding="utf-8")
    assert read_file(file).pairs == WANTED


def test_a_broken_line_below_line_breaks_in_quotes_is_named_by_its_own_number():
    with pytest.raises(MiraklInputError) as caught:
        read_pairs('mirakl_product_id;product_sku;title\nM-1;S-1;"a\nb"\nM-2;;c\n')
    assert [problem.line for problem in caught.value.problems] == [4]


@pytest.mark.parametrize("from_file", [True, False])
def test_a_quote_that_is_never_closed_takes_no_products_with_it(tmp_path, from_file):
    text = 'mirakl_product_id;product_sku;title\nM-1;S-1;"a" b\nM-2;;c\nM-3;S-3;"Gold ring 3\nM-4;S-4;x\nM-5;S-5;y\n'
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(MiraklInputError, match=r"line 4: is not CSV \(unexpected end of data\)") as caught:
        read_file(tmp_path / "a.csv") if from_file else read_pairs(text)
    assert [problem.line for problem in caught.value.problems] == [2, 3, 4]


def test_numbers_are_texts_and_leading_zeros_stay():
    assert read_pairs([(1, 2)]).pairs == (Pair("1", "2"),)
    assert read_pairs("001;0002").pairs == (Pair("001", "0002"),)


def test_duplicates_are_left_out_and_counted():
    found = read_pairs("M-1;S-1\nM-2;S-2\nM-1;S-1\nM-1; S-1")
    assert (found.pairs, found.duplicates) == (WANTED, 2)


def test_every_problem_is_listed_with_its_line():
    with pytest.raises(MiraklInputError) as caught:
        read_pairs("M-1;S-1\nM-2\n;S-3\nM-4;\na;b;c\nM-1;other\nM-5;S\u200b5")
    assert caught.value.problem_count == 6
    assert [problem.line for problem in caught.value.problems] == [2, 3, 4, 5, 6, 7]
    said = str(caught.value)
    for words in (
        "'M-2' contains one value; write mirakl_product_id;product_sku",
        "line 3, mirakl_product_id: is missing",
        "line 4, product_sku: is missing",
        "contains 3 values",
        "has SKU 'other' here and 'S-1' before",
        "invisible character",
    ):
        assert words in said


@pytest.mark.parametrize("products", ["", " \n\n", [], [""], "mirakl_product_id;product_sku\n", "sep=;\n"])
def test_at_least_one(products):
    with pytest.raises(MiraklInputError, match="list at least one"):
        read_pairs(products)


@pytest.mark.parametrize(
    ("products", "words"),
    [
        ("product_sku;name\nS-1;x", "no column mirakl_product_id"),
        ("mirakl_product_id;name\nM-1;x", "no column product_sku"),
        ({"mirakl_product_id": "M-1"}, "not dict"),
        ([("M-1", 1.5)], r"\[0\].product_sku: must be a string, not 1.5"),
        ([("M-1",)], "must be a pair"),
        (["M-1;S-1\nM-2;S-2"], r"\[0\]: .* contains several lines"),
        ("['M-1;S-1', oops]", "is not JSON"),
        ('mirakl_product_id;product_sku\nM-1;"S-1\nM-2;S-2"', "line 2, product_sku: contains an invisible"),
        ('M-1;S-1\nM-2;"S-2', "line 2: is not CSV .*; is a quote missing?"),
        (['M-1;"S-1'], r"\[0\]: is not CSV .*; is a quote missing?"),
        ('mirakl_product_id;"product_sku\nM-1;S-1', "line 1: is not CSV .*; is a quote missing?"),
        ("[['M-1', 1e5]]", "product_sku: must be a string, not 100000.0"),
    ],
)
def test_what_is_refused(products, words):
    with pytest.raises(MiraklInputError, match=words):
        read_pairs(products)


@pytest.mark.parametrize("name", ["missing.csv", "folder"])
def test_what_is_not_a_file_is_refused(tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(MiraklInputError, match=r"does not exist|is a folder"):
        read_file(tmp_path / name)


@pytest.mark.parametrize(
    "content",
    [
        # as spreadsheets write what must stay a text, and the separator
        'sep=;\nmirakl_product_id;product_sku\n="M-1";="S-1"\n="M-2";S-2\n',
        '"=""M-1""";"=""S-1"""\n"=""M-2""";"S-2"\n',
        # headings in the language of those who keep the file
        "Mirakl-Produkt-ID;Produkt-SKU;Titel\nM-1;S-1;a\nM-2;S-2;b\n",
        "Identifiant produit Mirakl;SKU du produit\nM-1;S-1\nM-2;S-2\n",
        "ID du produit Mirakl;SKU du produit\nM-1;S-1\nM-2;S-2\n",
        "Número do produto Mirakl;SKU do produto\nM-1;S-1\nM-2;S-2\n",
        "Kennung (Mirakl);SKU Produkt\nM-1;S-1\nM-2;S-2\n",
        # out of a chat, which makes its own quotes
        "=\u201cM-1\u201d;=\u201eS-1\u201c\nM-2;S-2\n",
        "ID producto Mirakl\tSKU\nM-1\tS-1\nM-2\tS-2\n",
        "\n;;\n\nID prodotto Mirakl;SKU del prodotto\nM-1;S-1\n;;\nM-2;S-2\n",
        # rejects that went through jq or json.dumps
        "".join(json.dumps(pair._asdict(), indent=2) + "\n" for pair in WANTED),
        '{"products": [{"miraklProductId": "M-1", "productSku": "S-1"}, ["M-2", "S-2"]]}',
        "M-1\u00a0;\ufeffS-1\u200b\nM-2;S-2",
    ],
)  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_files_as_people_have_them(tmp_path, content, encoding):
    file = tmp_path / "products.csv"
    file.write_bytes(content.encode(encoding))
    assert read_file(file).pairs == WANTED


def test_tables_of_a_library():
    pandas, polars, pyarrow, duckdb = (
        pytest.importorskip(name, reason=f"needs {name}: make venv installs it")
        for name in ("pandas", "polars", "pyarrow", "duckdb")
    )
    columns = {"Mirakl-Produkt-ID": ["M-1", "M-2"], "Produkt-SKU": ["S-1", "S-2"], "Titel": ["a", None]}
    arrow = pyarrow.table(columns)
    for table in (pandas.DataFrame(columns), polars.DataFrame(columns), arrow, duckdb.from_arrow(arrow)):
        assert read_pairs(table).pairs == WANTED
    with pytest.raises(MiraklInputError, match=r"\[1\].product_sku: is missing"):
        read_pairs(pandas.DataFrame({"mirakl_product_id": ["M-1", "M-2"], "product_sku": ["S-1", None]}))


@pytest.mark.parametrize(
    ("header", "missing"),
    [
        ("Produkt-ID;SKU", "mirakl_product_id"),
        ("Product ID;Artikelnummer", "mirakl_product_id"),
        ("ID;SKU", "mirakl_product_id"),
        ("Identifiant Mirakl;Référence", "product_sku"),
    ],
)
def test_a_header_that_does_not_say_which_ids_are_meant_is_not_a_product(header, missing):
    with pytest.raises(MiraklInputError, match=f"line 1: the header has no column {missing}; name it so"):
        read_pairs(f"{header}\nM-1;S-1\n")


@pytest.mark.parametrize("content", ["PK\x03\x04\x14\x00", "\u00ff\u00feM\x00-\x001\x00", "M\x00-\x001\x00"])
def test_the_bytes_of_a_file_are_not_lines(content):
    with pytest.raises(
        MiraklInputError, match=r"Excel workbook \(XLSX\) or UTF-16; paste its lines, or save"
    ):
        read_pairs(content)


def test_no_byte_is_replaced(tmp_path):
    file = tmp_path / "products.csv"
    file.write_bytes("mirakl_product_id;product_sku\nM-1;FAUTEUIL-CRÈME\n".encode("cp1252"))
    with pytest.raises(MiraklInputError, match=r"line 2: not UTF-8: byte 0xC8.*encoding='cp1252'"):
        read_file(file)
    assert read_file(file, encoding="cp1252").pairs == (Pair("M-1", "FAUTEUIL-CRÈME"),)


def test_a_workbook_is_named_as_one(tmp_path):
    file = tmp_path / "products.csv"
    file.write_bytes(b"PK\x03\x04" + bytes(60))
    with pytest.raises(MiraklInputError, match="Excel workbook"):
        read_file(file)


def test_broken_ndjson_tells_the_line(tmp_path):
    file = tmp_path / "a.ndjson"
    file.write_text('{"mirakl_product_id":"M-1","product_sku":"S-1"}\n{oops\n{"product_sku":"S-3"}\n')
    with pytest.raises(MiraklInputError) as caught:
        read_file(file)
    assert [problem.line for problem in caught.value.problems] == [2, 3]


def test_bulk_is_refused_with_the_way_out():
    lines = "\n".join(f"M-{n};S-{n}" for n in range(11))
    assert len(read_pairs(lines, limit=11).pairs) == 11
    with pytest.raises(MiraklInputError, match=r"more than 10 products.*use an import"):
        read_pairs(lines, limit=10)


ids = st.text(st.characters(categories=["L", "N"], include_characters="-_./ "), min_size=1).filter(
    lambda text: text == text.strip() and text
)


@given(st.dictionaries(ids, ids, min_size=1), st.sampled_from("\t;,"))
def test_what_is_written_is_read(products, separator):
    heading = f"mirakl_product_id{separator}product_sku\n"
    text = heading + "".join(f"{key}{separator}{sku}\n" for key, sku in products.items())
    assert dict(read_pairs(text).pairs) == products
    assert dict(read_pairs(json.loads(json.dumps(list(products.items())))).pairs) == products
