"""Rows of actions from files: a CSV row that was cut is refused, never filled up."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.actions.rows import amount, paths, quantity, read_file, taxes
from airflow_provider_mirakl.exceptions import MiraklInputError

WANTED = [{"order_id": "o-1", "amount": "1.50"}, {"order_id": "o-2", "amount": ""}]


@pytest.mark.parametrize(
    "data",
    [
        b"order_id,amount\no-1,1.50\no-2,\n",
        b"order_id;amount\r\no-1;1.50\r\no-2;\r\n",
        b'\xef\xbb\xbforder_id;amount\n\n"o-1";"1.50"\n\no-2;',
        "order_id;amount\no-1;1.50\no-2;\n".encode("utf-16"),
        b"sep=;\norder_id;amount\no-1;1.50\no-2;\n",
    ],
)
def test_csv(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "Rows.CSV").write_bytes(data)
    assert read_file(tmp_path / "Rows.CSV") == WANTED


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"order_id,amount\no-1,1.50\no-2\n", r"line 3 has 1 cells, but the header has 2"),
        (b"order_id,amount\no-1,1.50,\n", r"line 2 has 3 cells, but the header has 2"),
        (b"order_id,amount\no-1,1,50\n", r"line 2 has 3 cells"),
        (b'order_id,amount\n"o-1,1.50\n', r"closing quote"),
        (b'order_id,amount\n"o"-1,1.50\n', r"line 2"),
        (b"order_id,amount\n\xffo-1,1.50\n", r"not UTF-8"),
        (b"amount,amount\n1,2\n", r"has the column 'amount' more than once"),
        (b"PAR1\n1,2\n", r"is Parquet"),
    ],
)
def test_csv_that_is_not_whole_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "rows.csv").write_bytes(data)
    with pytest.raises(MiraklInputError, match=words):
        read_file(tmp_path / "rows.csv")


def test_rows_of_empty_cells_and_repeated_headings_are_rows(tmp_path: Path) -> None:
    """The check of the rows refuses them: nothing is left out of what moves money."""
    (tmp_path / "rows.csv").write_bytes(b"order_id,amount\n,\norder_id,amount\n")
    assert read_file(tmp_path / "rows.csv") == [
        {"order_id": "", "amount": ""},
        {"order_id": "order_id", "amount": "amount"},
    ]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MiraklInputError, match="source"):
        read_file(tmp_path / "rows.csv")


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_every_character_of_a_message_is_kept(tmp_path: Path, ending: str) -> None:
    rows = [{"body": f"Hello{mark}world"} for mark in "\u2028\u2029\x85"]
    text = "".join(json.dumps(row, ensure_ascii=False) + ending for row in rows)
    (tmp_path / "rows.ndjson").write_bytes(text.encode())
    assert read_file(tmp_path / "rows.ndjson") == rows


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("12.50", 12.5), (" 12.5 ", 12.5), (12, 12), (0.1 + 0.2, 0.30000000000000004), (Decimal("1.10"), 1.1),
        (Decimal("12.5" + "0" * 29), 12.5), ("1E+2", 100), (".5", 0.5), ("5.", 5), ("+5", 5), (1e-7, 1e-7),
    ],
)  # fmt: skip
def test_amounts(value: Any, number: float) -> None:
    assert amount(value) == number


@pytest.mark.parametrize(
    "value",
    [
        "1_0",
        "\u0661\u0662",
        "1e400",
        "9" * 400,
        "12,50",
        "1 000",
        "-1",
        "NaN",
        "inf",
        float("nan"),
        True,
        None,
        ".",
        "",
    ],
)
def test_what_is_no_amount(value: Any) -> None:
    with pytest.raises(ValueError, match="must be an amount of 0 or more with a decimal point"):
        amount(value)


@pytest.mark.parametrize("value", ["99999999999999999.99", 2**53 + 1, Decimal("0.12345678901234567890")])
def test_an_amount_is_not_rounded(value: Any) -> None:
    with pytest.raises(ValueError, match="has more digits than can be sent exactly"):
        amount(value)


@pytest.mark.parametrize("value", ["1_0", "\u0661", "1e400", "1e999999999", 0, 1.5, True, "inf"])
def test_what_is_no_quantity(value: Any) -> None:
    with pytest.raises(ValueError, match="must be a whole number of 1 or more"):
        quantity(value)
    assert [quantity(one) for one in ("3", "3.0", 3.0, Decimal("3.00"))] == [3, 3, 3, 3]


DEEP = "[" * 200_000


def test_json_that_is_nested_too_deep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be a list such as"):
        taxes(DEEP)
    with pytest.raises(ValueError, match="must be a path, or a list of paths"):
        paths(DEEP)
    for name, data in (("a.json", DEEP), ("a.ndjson", '{"a":' + DEEP)):
        (tmp_path / name).write_text(data)
        with pytest.raises(MiraklInputError, match="cannot be read"):
            read_file(tmp_path / name)


def test_a_damaged_footer_of_parquet_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="needs pyarrow: make venv installs it")
    (tmp_path / "a.parquet").write_bytes(b"PAR1" + bytes(100) + b"\x10\0\0\0PAR1")
    with pytest.raises(MiraklInputError, match="cannot be read"):
        read_file(tmp_path / "a.parquet")
