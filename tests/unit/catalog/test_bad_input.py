"""Bad input, as people have it: a clear error with line and field, and nothing left that could be sent."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.catalog.plan import Plan, plan_upsert, read_chunk
from airflow_provider_mirakl.exceptions import MiraklInputError

Make = Callable[..., Any]


def refused(source: Any, folder: Path, **options: Any) -> MiraklInputError:
    """Plan, expect the refusal, and make sure that nothing is left to send."""
    with pytest.raises(MiraklInputError) as caught:
        plan_upsert(source, folder, **options)
    with pytest.raises(MiraklInputError, match="does not contain a plan"):
        Plan.load(folder)
    assert not (folder / "products.ndjson").exists()
    return caught.value


def price(amount: str) -> str:
    return f'{{"id":"A","standard_prices":[{{"price":{{"amount":{amount},"currency":"EUR"}}}}]}}'


@pytest.mark.parametrize(
    ("row", "field", "words"),
    [
        ('{"id":"%s"}' % ("x" * 257), "id", "has 257 characters; Connect accepts at most 256"),
        ('{"id":""}', "id", "is empty"),
        ('{"brand":"A"}', "id", "missing"),
        ('{"id":7}', "id", "expected a text, got the number 7; write it in quotes"),
        ('{"id":null}', "id", "null is not allowed here"),
        (
            '{"id":"A","gtins":[{"value":"01942520342791"}]}',
            "gtins[0].value",
            "'01942520342791' has 14 digits; Connect accepts 8, 12 or 13",
        ),
        ('{"id":"A","gtins":[{"value":"019425203-79"}]}', "gtins[0].value", "is not a GTIN"),
        (
            '{"id":"A","gtins":[{"value":"0194252034279\\n"}]}',
            "gtins[0].value",
            "or a space around it; remove it",
        ),
        ('{"id":"A","gtins":null}', "gtins", "send [] to empty it"),
        (price("NaN"), "standard_prices[0].price.amount", "NaN is not a valid number in JSON"),
        (price("-Infinity"), "standard_prices[0].price.amount", "-Infinity is not a valid number"),
        (price("1e999"), "standard_prices[0].price.amount", "out of range"),
        (price('"12.50"'), "standard_prices[0].price.amount", "write 12.50 without quotes"),
        (price('"12,50"'), "standard_prices[0].price.amount", "write 12.50 without quotes"),
        (price('"a lot"'), "standard_prices[0].price.amount", "expected a number, got the text 'a lot'"),
        (price("true"), "standard_prices[0].price.amount", "expected a number, got true"),
        (price("-0.01"), "standard_prices[0].price.amount", "Connect accepts 0 or more"),
        ('{"id":"A","standard_prices":[]}', "standard_prices", "is an empty list; leave the field out"),
        ('{"id":"A","standard_prices":null}', "standard_prices", "leave the field out to keep"),
        ('{"id":"A","quantities":[{"available_quantity":1.5}]}', "quantities[0].available_quantity", "whole"),
        (
            '{"id":"A","quantities":[{"available_quantity":1000000001}]}',
            "quantities[0].available_quantity",
            "Connect accepts at most 1000000000",
        ),
        ('{"id":"A","titles":{"locale":"en","value":"x"}}', "titles", "expected a list, got an object"),
        ('{"id":"A","category":[]}', "category", "expected an object, got a list"),
        ('{"id":"A","category":{"id":"c"}}', "category.labels", "missing"),
        ('{"id":"A","titles":[{"locale":"English","value":"x"}]}', "titles[0].locale", "is not a locale"),
        ('{"id":"A","titles":[{"locale":"en-US","value":"x"}]}', "titles[0].locale", "such as en or en_US"),
        ('{"id":"A","images":[{"url":"ftp://x"}]}', "images[0].url", "must start with http:// or https://"),
        (
            '{"id":"A","attributes":[{"id":"a","name":"a","type":"TEXT","value":"x"}]}',
            "attributes[0].type",
            "Connect accepts STRING, NUMERIC, BOOLEAN (a text is STRING)",
        ),
        (
            '{"id":"A","attributes":[{"id":"a","name":"a","type":"BOOLEAN","value":"yes"}]}',
            "attributes[0].value",
            "expected true or false, got the text 'yes'",
        ),
        (
            '{"id":"A","discount_prices":[{"price":{"amount":1,"currency":"EUR"},"end_date":"2026-02-30T00:00:00Z"}]}',
            "discount_prices[0].end_date",
            "is not a date",
        ),
        (
            '{"id":"A","discount_prices":[{"price":{"amount":1,"currency":"EUR"},"end_date":"30/12/2026"}]}',
            "discount_prices[0].end_date",
            "use UTC with a trailing Z",
        ),
        ('{"id":"A","title":"x"}', "title", "did you mean 'titles'?"),
        ('{"id":"A","EAN":"x"}', "EAN", "did you mean 'gtins'?"),
        ('{"id":"A","standardPrices":[]}', "standardPrices", "did you mean 'standard_prices'?"),
        ('{"id":"A\\u0000"}', "id", "U+0000"),
        ('{"id":"A","brand":"\\ud800"}', "brand", "half of a surrogate pair"),
        ('["A"]', "", "expected an object, got a list"),
        ('"A"', "", "expected an object, got the text 'A'"),
        ('{"id":"A"', "", "not JSON: "),
        ('{"id":"A"},', "", "not JSON: "),
        ("[" * 100_000, "", "nested too deep"),
    ],
)
def test_bad_line_in_the_middle(
    row: str, field: str, words: str, product: Make, write: Make, tmp_path: Path
) -> None:
    error = refused(write([product(1), product(2), row, product(4)]), tmp_path / "plan")
    (problem,) = error.problems[:1]
    assert (problem.line, problem.field) == (3, field)
    assert words in problem.message
    assert "line 3" in str(error)


def test_all_problems_are_counted_and_the_rejects_file_has_every_row(
    product: Make, write: Make, tmp_path: Path
) -> None:
    bad = [product(number, brand=5, title="x") for number in range(300)]
    error = refused(write([product(1000), *bad, product(1001)]), tmp_path / "plan")
    assert "300 of 302 rows are invalid; nothing was sent" in str(error)
    assert error.problem_count == 600
    assert "(and 49 more with this reason)" in str(error)
    assert "and 500 more" in str(error)
    rejects = [json.loads(line) for line in (tmp_path / "plan" / "rejects.ndjson").read_text().splitlines()]
    assert [entry["line"] for entry in rejects] == list(range(2, 302))
    assert [entry["row"] for entry in rejects] == bad
    assert rejects[0]["id"] == "SKU-000000"
    assert len(rejects[0]["problems"]) == 2


def test_a_mended_rejects_file_is_input_again(product: Make, write: Make, tmp_path: Path) -> None:
    lines = [product(1), product(2, gtins=[{"value": "1"}]), price("NaN")]
    plan = plan_upsert(write(lines), tmp_path / "plan", on_invalid="reject")
    assert (plan.products, plan.rejected) == (1, 2)
    text = (tmp_path / "plan" / "rejects.ndjson").read_text()
    fixed = text.replace('{"value": "1"}', '{"value": "12345670"}').replace("NaN", "1.5")
    again = plan_upsert(write(fixed, "fixed.ndjson"), tmp_path / "again")
    assert [json.loads(row) for row in read_chunk(again.folder, again.chunks[0])] == [
        product(2, gtins=[{"value": "12345670"}]),
        json.loads(price("1.5")),
    ]


def test_the_rejects_file_of_a_folder_is_not_read_and_removed_at_once(write: Make, tmp_path: Path) -> None:
    folder = tmp_path / "plan"
    plan_upsert(write([{"id": "A"}, {"id": ""}]), folder, on_invalid="reject")
    with pytest.raises(MiraklInputError, match="another folder"):
        plan_upsert(folder / "rejects.ndjson", folder)
    assert (folder / "rejects.ndjson").exists()


def test_duplicate_ids(product: Make, write: Make, tmp_path: Path) -> None:
    rows = [product(number) for number in range(3000)]
    rows[2500] = product(7, brand="other")
    rows[2999] = product(7)
    error = refused(write(rows), tmp_path / "plan")
    assert [(p.line, p.item_id, p.field) for p in error.problems] == [
        (2501, "SKU-000007", "id"),
        (3000, "SKU-000007", "id"),
    ]
    assert "the same id is already in line 8" in str(error)

    plan = plan_upsert(write(rows), tmp_path / "rest", on_invalid="reject")
    assert [chunk.products for chunk in plan.chunks] == [1000, 1000, 998]
    sent = [json.loads(row) for chunk in plan.chunks for row in read_chunk(plan.folder, chunk)]
    assert sent == [row for position, row in enumerate(rows) if position not in (2500, 2999)]


def test_a_file_twice_in_one(product: Make, write: Make, tmp_path: Path) -> None:
    rows = [product(number) for number in range(1200)]
    plan = plan_upsert(write(rows + rows), tmp_path / "plan", on_invalid="reject")
    assert (plan.rows, plan.products, plan.rejected) == (2400, 1200, 1200)


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b" \n\t\r\n", gzip.compress(b"", mtime=0)])
def test_empty_file(content: bytes, write: Make, tmp_path: Path) -> None:
    assert "is empty" in str(refused(write(content), tmp_path / "plan"))


def test_an_empty_list_is_a_plan_without_calls(write: Make, tmp_path: Path) -> None:
    assert plan_upsert([], tmp_path / "a").chunks == ()
    assert plan_upsert(write("[ ]", "x.json"), tmp_path / "b").chunks == ()


def test_missing_file(tmp_path: Path) -> None:
    assert "does not exist" in str(refused(tmp_path / "no.ndjson", tmp_path / "plan"))


def test_an_address_as_text_needs_a_path_object(tmp_path: Path) -> None:
    assert "pass an ObjectStoragePath" in str(refused("s3://bucket/products.ndjson", tmp_path / "plan"))


def test_directory_instead_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    assert "is a folder; name one file in it" in str(refused(tmp_path / "export", tmp_path / "plan"))


def test_unreadable_file(write: Make, tmp_path: Path) -> None:
    class Locked(type(Path())):  # type: ignore[misc]
        def open(self, *args: Any, **options: Any) -> Any:
            raise PermissionError(13, "Permission denied")

    path = Locked(write([{"id": "A"}]))
    assert "cannot be read by this user" in str(refused(path, tmp_path / "plan"))


def test_truncated_gzip(product: Make, write: Make, tmp_path: Path) -> None:
    whole = gzip.compress("\n".join(json.dumps(product(n)) for n in range(5000)).encode())
    error = refused(write(whole[:-2000], "products.ndjson.gz"), tmp_path / "plan")
    assert "is truncated" in str(error)


def test_damaged_gzip(product: Make, write: Make, tmp_path: Path) -> None:
    whole = bytearray(gzip.compress("\n".join(json.dumps(product(n)) for n in range(5000)).encode()))
    whole[len(whole) // 2] ^= 0xFF
    assert "is damaged" in str(refused(write(bytes(whole)), tmp_path / "plan"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"id":"A"}'.encode("utf-16-be"), "looks like UTF-16"),
        (b"PK\x03\x04....", "Excel workbook"),
        (b"<?xml version='1.0'?>", "XML"),
        (b"%PDF-1.7", "PDF"),
    ],
)
def test_what_is_no_product_file(content: bytes, words: str, write: Make, tmp_path: Path) -> None:
    assert words in str(refused(write(content), tmp_path / "plan"))


def test_another_encoding_is_named_by_line_and_byte(write: Make, tmp_path: Path) -> None:
    text = '{"id":"A"}\n{"id":"B","brand":"Café"}\n'
    (problem,) = refused(write(text.encode("latin-1")), tmp_path / "plan").problems
    assert problem.line == 2
    assert "not UTF-8: byte 0xE9" in problem.message


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('[\n {"id": "A"},\n {"id": "B" "brand": 1}\n]', 3, "not JSON: Expecting ',' delimiter"),
        ('[\n {"id": "A"}\n {"id": "B"}\n]', 3, "expected , or ] after a product"),
        ('[\n {"id": "A"},\n]', 3, "expected a product"),
        ('[\n {"id": "A"}', 2, "expected , or ] after a product"),
        ('[\n {"id": "A"},\n {"id": "B', 3, "not JSON: Unterminated string"),
        ('[\n {"id": "A"}\n]\n[]', 4, "text after the end of the list"),
        ('{"products": [\n {"id": "A"}\n]; "more": 1}', 3, "expected } after the list of products"),
    ],
)
def test_broken_json_list(text: str, line: int, words: str, write: Make, tmp_path: Path) -> None:
    error = refused(write(text, "products.json"), tmp_path / "plan", on_invalid="reject")
    assert f"line {line}: " in str(error)
    assert words in str(error)


def test_wrong_row_in_a_json_list_is_named_by_line_and_position(write: Make, tmp_path: Path) -> None:
    text = '[\n {"id": "A"},\n\n {"id": "B",\n  "brand": 5}\n]'
    (problem,) = refused(write(text, "products.json"), tmp_path / "plan").problems
    assert (problem.line, problem.field, problem.item_id) == (4, "[1].brand", "B")


@pytest.mark.parametrize("data", [{"id": "A"}, b"x", 5, None])
def test_something_else_than_a_list(data: Any, tmp_path: Path) -> None:
    assert "expected a list of products or a path" in str(refused(data, tmp_path / "plan"))


def test_values_of_a_list_that_json_does_not_know(tmp_path: Path) -> None:
    error = refused([{"id": "A"}, {"id": "B", "brand": {1, 2}}, {"id": "\ud800"}], tmp_path / "plan")
    assert [problem.field for problem in error.problems] == ["[1]", "[2]"]
    assert "set {1, 2} cannot be represented in JSON" in str(error)


def test_a_row_too_large_for_a_call(write: Make, tmp_path: Path) -> None:
    rows = [{"id": "A"}, {"id": "B", "brand": "x" * 200}]
    error = refused(write(rows), tmp_path / "plan", max_chunk_bytes=100)
    assert "max_chunk_bytes allows 99" in str(error)


def test_a_file_without_line_ends(write: Make, tmp_path: Path) -> None:
    content = b'{"id":"A","brand":"' + b"x" * (17 << 20)
    error = refused(write(content), tmp_path / "plan")
    assert "longer than 16 MB" in str(error)


@pytest.mark.parametrize("limit", [0, 1001])
def test_a_chunk_has_1_to_1000_products(limit: int, tmp_path: Path) -> None:
    assert "Connect accepts 1 to 1000" in str(refused([], tmp_path / "plan", batch_size=limit))


def test_half_of_a_surrogate_pair_in_an_id_or_a_name_is_reported(tmp_path: Path) -> None:
    source = tmp_path / "source.ndjson"
    source.write_bytes(b'{"id":"A\\ud800"}\n{"id":"B","x\\ud800":1}\n{"id":"C"}\n')
    plan = plan_upsert(source, tmp_path / "plan", on_invalid="reject")
    assert (plan.rejected, plan.products) == (2, 1)
    str(refused(source, tmp_path / "plan")).encode()


def test_a_column_of_parquet_that_stands_twice_is_named(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow", reason="needs pyarrow: make venv installs it")
    table = arrow.table([arrow.array(["A"]), arrow.array(["B"])], names=["id", "id"])
    pytest.importorskip("pyarrow.parquet", reason="needs pyarrow: make venv installs it").write_table(
        table, tmp_path / "source.parquet"
    )
    assert "'id' occurs twice" in str(refused(tmp_path / "source.parquet", tmp_path / "plan"))


def test_a_signaling_nan_is_one_bad_row(tmp_path: Path) -> None:
    rows = [{"id": "A", "brand": Decimal("sNaN")}, {"id": "B"}]
    plan = plan_upsert(rows, tmp_path / "plan", on_invalid="reject")
    assert (plan.rejected, plan.products) == (1, 1)


def test_bytes_in_parquet_are_bad_rows(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow", reason="needs pyarrow: make venv installs it")
    table = arrow.table({"id": ["A", "B"], "brand": arrow.array([b"x", None])})
    pytest.importorskip("pyarrow.parquet", reason="needs pyarrow: make venv installs it").write_table(
        table, tmp_path / "source.parquet"
    )
    plan = plan_upsert(tmp_path / "source.parquet", tmp_path / "plan", on_invalid="reject")
    assert (plan.rows, plan.rejected, plan.products) == (2, 1, 1)
