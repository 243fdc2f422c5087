"""Reports become rows, and failed lines become a source again."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from airflow_provider_mirakl.exceptions import MiraklInputError
from airflow_provider_mirakl.jobs.reports import (
    global_errors,
    read_failures,
    read_items,
    read_warnings,
    rejected_items,
    write_rejected_lines,
)
from airflow_provider_mirakl.outcome import ItemResult


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (  # a reason behind the lines
            "shop_sku;title;errors\nA;One;1000|The title is required.\n",
            ItemResult("A", "failed", "1000", "The title is required."),
        ),
        (  # several reasons in one cell, and a comma inside of one
            "shop_sku;errors\nA;1002|The category moon, for one, does not exist.,1000|The attribute ean is required.\n",
            ItemResult(
                "A",
                "failed",
                "1002",
                "The category moon, for one, does not exist.; The attribute ean is required.",
            ),
        ),
        (  # line and reason in front, as published for stock and prices
            "line number;reason;offer-sku\n3;Unknown offer;O-1\n",
            ItemResult("O-1", "failed", None, "Unknown offer"),
        ),
        (  # in front, by names that say nothing
            "line;text;offer-sku\n3;Unknown offer;O-1\n",
            ItemResult("O-1", "failed", None, "Unknown offer"),
        ),
        (  # behind, with the line
            '"sku","error-line","error-message"\n"O-1","3","It is, well, wrong"\n',
            ItemResult("O-1", "failed", None, "It is, well, wrong"),
        ),
        ("\ufeffSKU\terror\nO-1\tno\n", ItemResult("O-1", "failed", None, "no")),
        # a line break in a heading, other signs in another, blank lines above
        ('sku;"error\nmessage"\nO-1;no\n', ItemResult("O-1", "failed", None, "no")),
        ('"sku";"errors (what, why, where)"\nO-1;no\n', ItemResult("O-1", "failed", None, "no")),
        ("\n\nsku;error\nO-1;no\n", ItemResult("O-1", "failed", None, "no")),
        ("artikel;error\nX;no\n", ItemResult("X", "failed", None, "no")),
        ("artikel;kommentar\nX;no\n", ItemResult("X", "failed", None, None)),
    ],
)
def test_columns_are_found_by_name(write, text, expected):
    assert list(read_failures(write("report.csv", text))) == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # a column of the source behind the report's own is not Mirakl's word
        ("sku;errors;return_reason\nA;no;too small\n", [ItemResult("A", "failed", None, "no")]),
        ("sku;error_count;errors;reason\nA;1;no;none\n", [ItemResult("A", "failed", None, "no")]),
        # a warning is no failure; an error beside it is
        (
            "sku;errors;warnings\nA;;odd\nB;no;odd\nC;no;\n",
            [ItemResult("B", "failed", None, "no"), ItemResult("C", "failed", None, "no")],
        ),
        ("sku;warnings\nA;odd\n", []),
        ("sku;errors;warnings\nA;;\n", [ItemResult("A", "failed", None, None)]),
    ],
)
def test_exact_names_come_first_and_a_warning_is_no_failure(write, text, expected):
    assert list(read_failures(write("report.csv", text))) == expected


def test_warnings_are_told_as_warnings_and_are_no_rejects(write, tmp_path):
    report = write("P47.csv", "sku;title;errors;warnings\nA;One;;odd\nB;Two;no;odd\nC;Three;;odd\n")
    assert read_warnings(report) == {"odd": 3}
    target = tmp_path / "rejects.csv"
    assert (
        write_rejected_lines(write("source.csv", "sku;title\nA;One\nB;Two\nC;Three\n"), [report], target) == 1
    )
    assert target.read_text(encoding="utf-8").splitlines() == ['"sku";"title"', '"B";"Two"']


def test_a_column_can_be_named(write):
    report = write("r.csv", "ean;my-code;errors\n1;C;no\n")
    assert [row.item_id for row in read_failures(report, "my-code")] == ["C"]


def test_a_named_column_that_a_report_does_not_have_leaves_the_usual_ones(write):
    report = write("r.csv", "line;error;sku\n3;no;A\n")
    assert [row.item_id for row in read_failures(report, "my-code")] == ["A"]


def test_a_quote_without_an_end_is_no_bare_error(write, tmp_path):
    report = write("r.csv", 'sku;error\nA;no\nB;"' + "x" * (17 << 20))
    with pytest.raises(MiraklInputError, match="is a line end or a closing quote missing"):
        list(read_failures(report))
    assert write_rejected_lines(write("source.csv", SOURCE), [report], tmp_path / "rejects.csv") is None


def test_a_cell_may_hold_line_breaks(write):
    report = write("r.csv", 'sku;text;error\nA;"two\nlines";no\nB;x;no\n')
    assert [row.item_id for row in read_failures(report)] == ["A", "B"]


def test_the_report_of_cm21(write):
    report = write(
        "report.json",
        json.dumps(
            {
                "global_errors": [{"code": "G", "message": "all"}],
                "processed_items": [
                    {"product_sku": "A", "status": "SUCCESS", "synchronization_errors": []},
                    {
                        "mirakl_product_id": "M",
                        "data": {"x": None},
                        "operation": None,
                        "status": "FAILURE",
                        "synchronization_errors": [
                            {"code": "E", "message": "one"},
                            {"code": "F", "message": "two"},
                        ],
                    },
                ],
            }
        ),
    )
    assert list(read_items(report)) == [
        ItemResult("A", "succeeded"),
        ItemResult("M", "failed", "E", "one; two"),
    ]
    assert global_errors(report) == ["G: all"]
    assert list(rejected_items(report)) == [{"mirakl_product_id": "M", "data": {"x": None}}]


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "<html></html>", '{"processed_items": null}', '{"processed_items": ["A"]}']
)
def test_a_report_of_cm21_that_says_nothing(write, text):
    report = write("report.json", text)
    assert (list(read_items(report)), list(rejected_items(report))) == ([], [])
    assert bool(global_errors(report)) == ("processed" not in text)


def test_an_element_of_which_cm23_says_nothing_is_unknown(write):
    items = [{"product_sku": "A"}, {"product_sku": "B", "status": "LATER"}]
    items.append({"product_sku": "C", "synchronization_errors": [{"code": 7, "attribute_code": None}]})
    report = write("report.json", json.dumps({"processed_items": items}))
    assert [row.status for row in read_items(report)] == ["unknown", "unknown", "failed"]
    assert list(read_items(report))[-1] == ItemResult("C", "failed", "7")
    assert list(rejected_items(report)) == [{"product_sku": "C"}]


SOURCE = 'sku;title;price\nA;"One; ""1""";1\nB;Two;2\nB;"Two\nagain";3\nC;Three;4\n'


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        # the report has every column: its lines are taken
        (["sku;title;price;errors\nB;Two;2;no\n"], ["B;Two;2"]),
        # in another order, and twice
        (["errors;price;title;sku\nno;2;Two;B\n", "sku;title;price;errors\nB;Two;2;no\n"], ["B;Two;2"]),
        # one is empty, lines are blank, or end in a blank
        (["", "sku;errors\nB ;no\n\n;no\n"], ["B;Two;2", "B;Two\nagain;3"]),
        # it has the item alone: every line of the source that has it
        (["sku;errors\nB;no\n"], ["B;Two;2", "B;Two\nagain;3"]),
    ],
)
def test_failed_lines_become_a_source_of_the_same_columns(write, tmp_path, reports, expected):
    source = write("source.csv", SOURCE)
    paths = [write(f"report{number}.csv", text) for number, text in enumerate(reports)]
    count = write_rejected_lines(source, paths, tmp_path / "rejects.csv")
    text = (tmp_path / "rejects.csv").read_text(encoding="utf-8")
    assert count == len(expected)
    assert text.replace('"', "") == "\n".join(["sku;title;price", *expected, ""])


def test_where_nothing_tells_the_item_there_are_no_rejects(write, tmp_path):
    report = write("report.csv", "name;errors\nB;no\n")
    assert write_rejected_lines(write("source.csv", SOURCE), [report], tmp_path / "rejects.csv") is None
    assert not (tmp_path / "rejects.csv").exists()


@pytest.mark.parametrize("id_column", [None, "sku", "SKU"])
def test_a_column_is_the_same_in_any_letter_case(write, tmp_path, id_column):
    source, report = write("source.csv", "SKU;price\nA;1\nB;2\n"), write("report.csv", "sku;errors\nB;no\n")
    assert write_rejected_lines(source, [report], tmp_path / "rejects.csv", id_column) == 1
    assert (tmp_path / "rejects.csv").read_text(encoding="utf-8").splitlines() == ['"SKU";"price"', '"B";"2"']


def rejected(write, tmp_path, source, *reports):
    paths = [write(f"report{number}.csv", report) for number, report in enumerate(reports)]
    write_rejected_lines(write("source.csv", source), paths, tmp_path / "rejects.csv")
    return (tmp_path / "rejects.csv").read_bytes().replace(b'"', b"").splitlines()[1:]


def test_two_reports_may_name_items_by_different_columns(write, tmp_path):
    source = "sku;ean;price\nA;1;1\nB;2;2\nC;3;3\n"
    found = rejected(write, tmp_path, source, "sku;errors\nA;no\n", "ean;errors\n2;no\n")
    assert found == [b"A;1;1", b"B;2;2"]


def test_a_line_without_an_item_rejects_no_lines_without_one(write, tmp_path):
    source = "sku;price\nA;1\n\n;2\n"
    assert rejected(write, tmp_path, source, "sku;errors\nA;no\n;no\n\n") == [b"A;1"]


def test_columns_of_one_name_keep_their_own_values(write, tmp_path):
    source = "sku;image;image\nA;1.png;2.png\n"
    found = rejected(write, tmp_path, source, "sku;image;image;errors\nA;1.png;2.png;no\n")
    assert found == [b"A;1.png;2.png"]


def test_bytes_of_another_encoding_stay_what_they_were(write, tmp_path):
    source = "sku;title\nÀ;été\n".encode("latin-1")
    assert rejected(write, tmp_path, source, "sku;errors\nÀ;no\n".encode("latin-1")) == [
        "À;été".encode("latin-1")
    ]


def test_a_file_that_fails_as_a_whole_is_not_held_in_memory(write, tmp_path):
    lines = [f"S-{number};{'x' * 200};{number}\n" for number in range(30_000)]
    source = write("source.csv", "sku;title;price\n" + "".join(lines))
    report = write("report.csv", "sku;title;price;errors\n" + "".join(f"{line[:-1]};no\n" for line in lines))
    del lines
    tracemalloc.start()
    try:
        assert write_rejected_lines(source, [report, report], tmp_path / "rejects.csv") == 30_000
        assert tracemalloc.get_traced_memory()[1] < 5 << 20
    finally:
        tracemalloc.stop()


def test_a_report_without_lines_leaves_no_file(write, tmp_path):
    assert (
        write_rejected_lines(write("s.csv", SOURCE), [write("r.csv", "sku;errors\n")], tmp_path / "o.csv")
        is None
    )
    assert not (tmp_path / "o.csv").exists()


def test_a_report_that_is_nested_too_deep_is_not_one(tmp_path):
    path = tmp_path / "report.json"
    path.write_text("[" * 200_000)
    assert list(rejected_items(path)) == []
    assert "cannot be read as a report" in global_errors(path)[0]
