"""Two lists of products compared."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_mirakl.exceptions import MiraklInputError
from airflow_provider_mirakl.jobs.table import PRODUCT_EXPORT
from airflow_provider_mirakl.operators.reconcile import MiraklReconcileProductsOperator
from airflow_provider_mirakl.repair.pairs import Pair, read_file
from airflow_provider_mirakl.repair.reconcile import Keys, Sizes, compare, read_side
from airflow_provider_mirakl.runtime.tables import decoded, learn, write_table


def kinds(source, other, keys=None):
    return {found.key: found.kind for found in compare(source, other, keys or Keys(), Sizes())}


def product(number, status="SYNCHRONIZED", **data):
    return {
        "mirakl_product_id": f"M-{number}",
        "product_sku": f"S-{number}",
        "synchronization": {"status": status},
        "data": data,
    }


values = st.dictionaries(st.text(min_size=1).filter(str.strip).map(str.strip), st.text().map(str.strip))


@given(values, values)
def test_it_says_what_a_comparison_of_dictionaries_says(ours, theirs):
    expected = dict.fromkeys(ours.keys() - theirs.keys(), "missing")
    expected |= dict.fromkeys(theirs.keys() - ours.keys(), "extra")
    expected |= {key: "different" for key in ours.keys() & theirs.keys() if ours[key] != theirs[key]}

    def rows(side):
        return [{"id": key, "title": value} for key, value in side.items()]

    if ours:
        assert kinds(rows(ours), rows(theirs), Keys(fields={"title": "title"})) == expected


def test_a_product_that_is_not_synchronized_is_different():
    (found,) = compare([{"sku": "S-1"}, {"sku": "S-2"}], [product(1), product(2, "PENDING")], Keys(), Sizes())
    assert (found.kind, found.mirakl_product_id, found.product_sku) == ("different", "M-2", "S-2")
    assert found.fields == {"synchronization.status": ("SYNCHRONIZED", "PENDING")}
    assert found.is_pair
    columns = {
        "mirakl-product-id": "M-3",
        "mirakl-product-sku": "S-3",
        "mirakl-synchronization-status": "PENDING",
    }
    assert kinds([{"sku": "S-3"}], [columns]) == {"S-3": "different"}


@pytest.mark.parametrize("kind", ["ndjson", "parquet"])
def test_an_export_says_the_same_in_every_format(tmp_path, kind):
    pytest.importorskip("pyarrow", reason="needs pyarrow: make venv installs it")
    rows = [
        product(1, title="One"),
        product(2, "PENDING", title="Two"),
        product(3, title="Drei"),
        product(4, None, title="Four"),
    ]
    rows[3]["synchronization"]["integration_errors"] = [{"code": "E", "message": "m"}]
    lines = [json.dumps(row).encode() for row in rows]
    with (tmp_path / f"a.{kind}").open("wb") as file:
        if kind == "parquet":
            write_table(file, decoded(lines), learn(decoded(lines), PRODUCT_EXPORT.columns))
        else:
            file.writelines(line + b"\n" for line in lines)
    source = [{"sku": f"S-{n}", "title": title} for n, title in enumerate(("One", "Two", "Three", "Four"), 1)]
    keys = Keys(fields={"title": "data.title"})
    found = {
        d.key: d.fields for d in compare(source, read_side(tmp_path / f"a.{kind}", "other"), keys, Sizes())
    }
    assert found == {
        "S-2": {"synchronization.status": ("SYNCHRONIZED", "PENDING")},
        "S-3": {"title": ("Three", "Drei")},
        "S-4": {"synchronization.status": ("SYNCHRONIZED", "")},
    }


def test_fields_by_paths():
    source = [{"ean": "1", "name": "A", "price": 1}, {"ean": "2", "name": None, "price": 2}]
    other = [product(1, ean="1", title="A "), product(2, ean="2", title="")]
    keys = Keys("ean", "data.ean", {"name": "data.title"})
    assert kinds(source, other, keys) == {}
    assert kinds(source, other, Keys("ean", "data.ean", {"price": "data.title"})) == {
        "1": "different",
        "2": "different",
    }


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"titel": "data.title"}, ["titel: is in no product of source; did you mean 'title'?"]),
        ({"title": "data.titel"}, ["data.titel: is in no product of other; did you mean 'data.title'?"]),
        ({"title": "title"}, ["title: is in no product of other; did you mean 'data.title'?"]),
        (
            {"colour": "data.xyz"},
            ["colour: is in no product of source", "data.xyz: is in no product of other"],
        ),
    ],
)
def test_a_field_that_no_product_has_is_not_compared(tmp_path, fields, said):
    file = tmp_path / "own.csv"
    file.write_text("sku;title\nS-1;a\nS-2;b\n", encoding="utf-8")
    other = [product(1, title="x"), product(2, title="b")]
    with pytest.raises(MiraklInputError) as caught:
        next(compare(read_side(file, "source"), other, Keys(fields=fields), Sizes()))
    assert str(caught.value).splitlines()[1:] == [f"  - {words}" for words in said]


def test_a_field_that_is_empty_everywhere_is_compared(tmp_path):
    file = tmp_path / "own.csv"
    file.write_text("sku;title\nS-1;\n", encoding="utf-8")
    keys = Keys(fields={"title": "data.title"})
    assert not list(compare(read_side(file, "source"), [product(1, title=None)], keys, Sizes()))
    assert [found.kind for found in compare(read_side(file, "source"), [], keys, Sizes())] == ["missing"]


def test_a_key_that_is_no_sku_does_not_become_one():
    source, other = {"ean": "1", "title": "a"}, product(7, ean="1", title="b")
    keys = Keys("ean", "data.ean", {"title": "data.title"})
    (found,) = compare([source], [other], keys, Sizes())
    assert (found.mirakl_product_id, found.product_sku) == ("M-7", "S-7")
    (missing,) = compare([source | {"mirakl_product_id": "M-7"}], [], keys, Sizes())
    assert (missing.mirakl_product_id, missing.product_sku, missing.is_pair) == ("M-7", None, False)
    for keys in (Keys("ids.sku"), Keys("ref", None), Keys("ref", "product_sku")):
        (missing,) = compare([{"ref": "S-7", "ids": {"sku": "S-7"}}], [], keys, Sizes())
        assert missing.product_sku == "S-7"


@pytest.mark.parametrize("seed", range(4))
def test_of_several_skus_the_same_one_counts_in_every_process(seed):
    code = "from airflow_provider_mirakl.repair.reconcile import Keys, Sizes, compare; print(*[found.key for found in "
    code += "compare([{'sku': 'X', 'product_sku': 'S'}], [], Keys(), Sizes())])"
    environment = os.environ | {"PYTHONHASHSEED": str(seed)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "S\n"


def test_a_packed_table_is_read_and_what_is_no_table_is_refused(tmp_path):
    def write(name, content):
        (tmp_path / name).write_bytes(content)
        return list(read_side(tmp_path / name, "other"))

    assert write("a.csv.gz", gzip.compress(b"sku;title\nA;x\n")) == [{"sku": "A", "title": "x"}]
    assert write("a.ndjson.gz", gzip.compress(b'{"sku":"A"}\n')) == [{"sku": "A"}]
    assert write("a.gz", gzip.compress(b'{"sku":"A"}\n')) == [{"sku": "A"}]
    for content in (b"PAR1\x00\x01PAR1", b"PK\x03\x04\x14\x00"):
        with pytest.raises(MiraklInputError, match=r"(read as Parquet|a ZIP archive or an Excel workbook)"):
            write("a.export", content)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{bad", "line 2: is not JSON"),
        (b'{"sku":"\xff"}', "line 2: not UTF-8: byte 0xFF"),
        (b'{"sku":"A","n":' + b"9" * 5000 + b"}", "line 2: is not JSON"),
        (b'{"sku":"A","n":' + b"[" * 200_000, "line 2: is not JSON"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(line, words, tmp_path):
    (tmp_path / "a.ndjson").write_bytes(b'{"sku":"A"}\n' + line + b"\n")
    with pytest.raises(MiraklInputError, match=f"other: .*a.ndjson cannot be read\n.*{words}"):
        list(read_side(tmp_path / "a.ndjson", "other"))


def test_products_without_a_key_are_listed():
    with pytest.raises(
        MiraklInputError, match="2 products cannot be matched; set source_key to the field"
    ) as e:
        kinds([{"a": 1}, {"sku": "S"}, {"sku": " "}], [])
    assert [problem.line for problem in e.value.problems] == [1, 3]


def test_an_empty_source_is_no_reason_to_call_everything_extra():
    with pytest.raises(MiraklInputError, match="check why it is empty"):
        kinds([], [product(1)])


def test_duplicates_are_counted_and_the_last_counts():
    sizes = Sizes()
    found = list(compare([{"id": "1", "t": "a"}, {"id": "1", "t": "b"}], [{"id": "1", "t": "b"}],
                         Keys(fields={"t": "t"}), sizes))  # fmt: skip
    assert (found, sizes) == ([], Sizes(2, 1, 1))


@pytest.mark.parametrize("name", ["a.csv", "a.ndjson"])
def test_a_file_that_is_not_there(name):
    with pytest.raises(MiraklInputError):
        list(read_side(Path("/nowhere") / name, "source"))


@pytest.mark.airflow
@pytest.mark.matrix
def test_the_operator_writes_the_input_of_a_resync(airflow_db, run_task, tmp_path):
    source, other = tmp_path / "catalog.csv", tmp_path / "export.ndjson"
    source.write_text("sku;title\nS-1;One\nS-2;Two\nS-3;Three\nS-9;Nine\n", encoding="utf-8")
    rows = [product(1, title="One"), product(2, title="2"), product(3, "PENDING", title="Three"), product(4)]
    other.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    result = run_task(
        MiraklReconcileProductsOperator(
            task_id="t",
            source=str(source),
            other=str(other),
            fields={"title": "data.title"},
            work_folder=str(tmp_path / "work"),
        )
    )
    assert [result[name] for name in ("source", "other", "missing", "extra", "different")] == [4, 4, 1, 1, 2]
    assert set(read_file(Path(result["resync"])).pairs) == {Pair("M-2", "S-2"), Pair("M-3", "S-3")}
    assert result["resync_products"] == 2
    told = {row["key"]: row for row in map(json.loads, Path(result["differences"]).read_text().splitlines())}
    assert told["S-2"]["fields"] == {"title": {"source": "Two", "other": "2"}}
    assert {key: row["difference"] for key, row in told.items()} == {
        "S-2": "different",
        "S-3": "different",
        "S-9": "missing",
        "S-4": "extra",
    }


@pytest.mark.airflow
@pytest.mark.matrix
def test_nothing_to_resync_writes_no_input(airflow_db, run_task, tmp_path):
    result = run_task(
        MiraklReconcileProductsOperator(
            task_id="t", source=[{"id": "1"}, {"id": "2"}], other=[{"id": "1"}], work_folder=str(tmp_path)
        )
    )
    assert (result["missing"], result["resync"], result["resync_products"]) == (1, None, 0)
    assert sorted(path.name for path in Path(result["folder"]).iterdir()) == ["differences.ndjson"]


@pytest.mark.airflow
@pytest.mark.matrix
def test_half_a_surrogate_pair_is_no_bare_error(airflow_db, run_task, tmp_path):
    source = tmp_path / "a.ndjson"
    source.write_bytes(b'{"sku": "\\ud800"}\n{"sku": "\xc3\xa9"}\n')
    result = run_task(
        MiraklReconcileProductsOperator(task_id="t", source=str(source), other=[], work_folder=str(tmp_path))
    )
    told = [json.loads(line) for line in Path(result["differences"]).read_text(encoding="utf-8").splitlines()]
    assert {row["key"] for row in told} == {"\ud800", "é"}


@pytest.mark.airflow
@pytest.mark.matrix
@pytest.mark.parametrize("write", [str, json.dumps])
def test_a_list_that_a_template_wrote_is_read(airflow_db, run_task, tmp_path, write):
    rows = [{"sku": "A", "mirakl_product_id": "M"}, {"sku": "B", "mirakl_product_id": None}]
    result = run_task(
        MiraklReconcileProductsOperator(
            task_id="t", source=write(rows), other=write(rows[:1]), work_folder=str(tmp_path)
        )
    )
    assert (result["source"], result["other"], result["missing"]) == (2, 1, 1)


def test_no_byte_is_replaced(tmp_path):
    file = tmp_path / "own.csv"
    file.write_bytes("sku;title\nFAUTEUIL-CRÈME;a\n".encode("cp1252"))
    with pytest.raises(MiraklInputError, match=r"line 2: not UTF-8: byte 0xC8.*encoding='cp1252'"):
        list(read_side(file, "source"))
    assert list(read_side(file, "source", "cp1252")) == [{"sku": "FAUTEUIL-CRÈME", "title": "a"}]
    file.write_bytes("sku;title\nFAUTEUIL-CRÈME;a\n".encode("utf-16"))
    assert list(read_side(file, "source")) == [{"sku": "FAUTEUIL-CRÈME", "title": "a"}]


def test_a_row_of_another_width_is_named(tmp_path):
    file = tmp_path / "own.csv"
    file.write_text("sku;title\nS-1;a\nS-2;b;c\n", encoding="utf-8")
    with pytest.raises(MiraklInputError, match="line 3: has 3 cells"):
        list(read_side(file, "source"))


def test_a_field_that_mirakl_has_lost_is_different_everywhere(tmp_path):
    """That is what a comparison is for: only a slip in the name is refused."""
    file = tmp_path / "own.csv"
    file.write_text("sku;shade\nS-1;red\n", encoding="utf-8")
    found = list(
        compare(
            read_side(file, "source"), [product(1, title="x")], Keys(fields={"shade": "data.shade"}), Sizes()
        )
    )
    assert [one.kind for one in found] == ["different"]
