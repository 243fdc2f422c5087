"""Exports in Parquet: texts stay texts, and the schema is the same over files and runs."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest

from airflow_provider_mirakl.jobs.table import JOBS
from airflow_provider_mirakl.runtime.tables import learn, write_table

parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow: make venv installs it")

TEXTS = [
    "2024-01-01", "2024-01-01T10:00:00Z", "12:30", "007", "1e5", "NaN", "true", "null", "", "ü", "9" * 40,
]  # fmt: skip


def table(*rows: dict[str, Any], documented: Any = None) -> Any:
    file = io.BytesIO()
    assert write_table(file, iter(rows), learn(iter(rows), documented or {})) == len(rows)
    file.seek(0)
    return parquet.read_table(file)


def types(found: Any) -> dict[str, str]:
    return {field.name: str(field.type) for field in found.schema}


def test_texts_stay_texts() -> None:
    found = table(*({"sku": text} for text in TEXTS))
    assert types(found) == {"sku": "string"}
    assert found.column("sku").to_pylist() == TEXTS


@pytest.mark.parametrize(
    ("values", "kind", "written"),
    [
        ([1, 2], "double", [1.0, 2.0]),
        ([1, 2.5, None], "double", [1.0, 2.5, None]),
        ([True, None], "bool", [True, None]),
        ([None, None], "string", [None, None]),
        ([None, 3], "double", [None, 3.0]),
        ([{}, {"a": 1}], "string", ["{}", '{"a":1}']),
        ([[], ["ü"]], "string", ["[]", '["ü"]']),
        (["a", 1], "string", ["a", "1"]),
        ([1, "a"], "string", ["1", "a"]),
        ([True, 1], "string", ["true", "1"]),
        ([{"a": 1}, "b"], "string", ['{"a":1}', '"b"']),
        (["b", {"a": 1}, None], "string", ["b", '{"a":1}', None]),
    ],
)
def test_kinds(values: list[Any], kind: str, written: list[Any]) -> None:
    found = table(*({"column": value} for value in values))
    assert types(found) == {"column": kind}
    assert found.column("column").to_pylist() == written


def test_rows_that_lack_columns_have_nulls() -> None:
    found = table({"a": "x"}, {}, {"b": True})
    assert found.to_pylist() == [{"a": "x", "b": None}, {"a": None, "b": None}, {"a": None, "b": True}]


@pytest.mark.parametrize("name", ["offer_export", "product_export"])
def test_an_export_without_rows_has_the_columns_of_one_with_rows(name: str) -> None:
    documented = JOBS[name].columns
    empty = table(documented=documented)
    assert empty.num_rows == 0
    assert set(types(empty)) == set(documented)
    rows = [dict.fromkeys(documented), {}]
    assert types(table(*rows, documented=documented)) == types(empty)


def test_documented_kinds_hold_whatever_a_run_has() -> None:
    documented = JOBS["offer_export"].columns
    first = {"offer_id": 2**53 + 1, "shop_sku": "2024-01-01", "msrp": 10, "prices": [], "logistic_class": {}}
    second = {"offer_id": 7, "shop_sku": "A", "msrp": 9.99, "prices": [{"price": 1}], "active": True}
    one, other = table(first, documented=documented), table(second, documented=documented)
    assert types(one) == types(other)
    assert one.column("offer_id").to_pylist() == [2**53 + 1]
    assert one.column("shop_sku").to_pylist() == ["2024-01-01"]
    assert json.loads(other.column("prices").to_pylist()[0]) == [{"price": 1}]


def test_a_value_that_contradicts_its_document_is_text_and_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = table({"offer_id": 1}, {"offer_id": "x-1"}, documented={"offer_id": "integer"})
    assert found.column("offer_id").to_pylist() == ["1", "x-1"]
    assert "Column offer_id contains text, but Mirakl documents integer" in caplog.text
    assert "x-1" not in caplog.text


def test_many_rows_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_mirakl.runtime.tables.ROWS", 7)
    rows = [{"n": number, "t": str(number)} for number in range(50)]
    assert table(*rows).to_pylist() == [{"n": float(row["n"]), "t": row["t"]} for row in rows]
