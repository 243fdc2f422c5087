"""Reports become rows, and failed lines become a source again."""

from __future__ import annotations

import json

import pytest

from airflow_provider_mirakl.catalog.outcome import ItemResult
from airflow_provider_mirakl.jobs.reports import (
    global_errors,
    read_failures,
    read_items,
    rejected_items,
    write_rejected_lines,
)


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
        ("artikel;error\nX;no\n", ItemResult("X", "failed", None, "no")),
        ("artikel;kommentar\nX;no\n", ItemResult("X", "failed", None, None)),
    ],
)
def test_columns_are_found_by_name(write, text, expected):
    assert list(read_failures(write("report.csv", text))) == [expected]


def test_a_column_can_be_named(write):
    report = write("r.csv", "ean;my-code;errors\n1;C;no\n")
    assert [row.item_id for row in read_failures(report, "my-code")] == ["C"]


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


SOURCE = 'sku;title;price\nA;"One; ""1""";1\nB;Two;2\nB;"Two\nagain";3\nC;Three;4\n'


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        # the report has every column: its lines are taken
        (["sku;title;price;errors\nB;Two;2;no\n"], ["B;Two;2"]),
        # in another order, and twice
        (["errors;price;title;sku\nno;2;Two;B\n", "sku;title;price;errors\nB;Two;2;no\n"], ["B;Two;2"]),
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
