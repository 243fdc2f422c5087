"""Plans: what is sent is what was given, and a chunk is read without what stands before it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_provider_mirakl.catalog import planner
from airflow_provider_mirakl.catalog.plan import (
    Chunk,
    Plan,
    plan_delete,
    plan_upsert,
    read_chunk,
    request_body,
)
from airflow_provider_mirakl.catalog.reading import plans_in
from airflow_provider_mirakl.catalog.source import open_source
from airflow_provider_mirakl.catalog.sync import plan_sync
from airflow_provider_mirakl.exceptions import MiraklInputError
from airflow_provider_mirakl.files.csv_table import MAX_ROW_BYTES

Make = Callable[..., Any]


def sent(plan: Plan) -> list[bytes]:
    return [row for chunk in plan.chunks for row in read_chunk(plan.folder, chunk)]


def test_1001_products_are_two_calls(product: Make, write: Make, tmp_path: Path) -> None:
    rows = [product(number) for number in range(1001)]
    plan = plan_upsert(write(rows), tmp_path / "plan")
    assert [chunk.products for chunk in plan.chunks] == [1000, 1]
    assert [json.loads(row) for row in read_chunk(plan.folder, plan.chunks[1])] == rows[1000:]
    assert plan.estimate() == 1
    assert plan.describe().startswith("1,001 products to upsert in 2 calls, ")


def test_null_and_absent_and_every_byte_survive(write: Make, tmp_path: Path) -> None:
    lines = [
        b'{"id":"A","brand":null}',
        b'{"id":"B"}',
        b'{ "id" : "C", "standard_prices":[{"price":{"amount":1249.00,"currency":"EUR"}}] }',
        '{"id":"é\\u00e9🎁","gtins":[]}'.encode(),
    ]
    plan = plan_upsert(write(b"\r\n".join(lines)), tmp_path / "plan")
    assert sent(plan) == lines
    assert request_body(sent(plan)[:2]) == b'{"products":[{"id":"A","brand":null},{"id":"B"}]}'


SHAPES: dict[str, Callable[[list[Any]], bytes]] = {
    "ndjson": lambda rows: "\n".join(json.dumps(row) for row in rows).encode(),
    "ndjson with blank lines": lambda rows: (
        "\n\n \n".join(json.dumps(row) for row in rows).encode() + b"\n\n"
    ),
    "ndjson with a BOM": lambda rows: "\n".join(json.dumps(row) for row in rows).encode("utf-8-sig"),
    "ndjson, gzip": lambda rows: gzip.compress("\n".join(json.dumps(row) for row in rows).encode()),
    "ndjson, gzip in two members": lambda rows: b"".join(
        gzip.compress("".join(json.dumps(row) + "\n" for row in part).encode())
        for part in (rows[:7], rows[7:])
    ),
    "list": lambda rows: json.dumps(rows).encode(),
    "list, indented, CRLF": lambda rows: json.dumps(rows, indent=4).replace("\n", "\r\n").encode(),
    "list with a BOM": lambda rows: json.dumps(rows, ensure_ascii=False).encode("utf-8-sig"),
    "request body": lambda rows: json.dumps({"products": rows}, indent=1).encode(),
    "list, gzip with a BOM": lambda rows: gzip.compress(json.dumps(rows).encode("utf-8-sig")),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["products.json", "products.ndjson.gz", "export"])
def test_every_shape_gives_the_same_products(
    shape: str, name: str, product: Make, write: Make, tmp_path: Path
) -> None:
    rows = [product(number, brand=None if number % 2 else 'é\u2028\x85 {[\\"') for number in range(50)]
    plan = plan_upsert(write(SHAPES[shape](rows), name), tmp_path / "plan")
    assert [json.loads(row) for row in sent(plan)] == rows


def test_a_list_in_memory_gives_the_same_products(product: Make, tmp_path: Path) -> None:
    rows = [product(number, brand=None) for number in range(1500)]
    plan = plan_upsert(iter(rows), tmp_path / "plan")
    assert [json.loads(row) for row in sent(plan)] == rows
    assert plan.source.size == 1500


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@example(rows=[{"id": "A"}, {"id": "B"}], size=1, indent=None, shape="joined lines")
@example(rows=[{"id": "A"}], size=1, indent=None, shape="field")
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {"id": st.text(min_size=1, max_size=3)}, optional={"n": st.floats(allow_nan=False)}
        ),
        min_size=1,
    ),
    size=st.integers(1, 50),
    indent=st.sampled_from([None, 1]),
    shape=st.sampled_from(["list", "field", "lines", "joined lines"]),
)
def test_blocks_may_end_anywhere(
    drops: Make, rows: list[Any], size: int, indent: int | None, shape: str
) -> None:
    """Also in a number beside the list, and in the byte order mark of a file that was appended."""
    listed = json.dumps(rows, indent=indent, ensure_ascii=False)
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    text = {
        "list": listed,
        "field": f'{{"total": 1234567, "data": {listed}, "next": null, "page": 12345}}',
        "lines": "\n".join(lines),
        "joined lines": "\n".join(f"\ufeff{line}" for line in lines),
    }[shape]
    source = open_source(
        drops(text.encode(), size),
        "ndjson" if "lines" in shape else "json",
        items="data" if shape == "field" else None,
    )
    # Decoded here: json itself would accept the mark of a line.
    assert [json.loads(row.decode()) for batch in source.batches() for row in batch.rows] == rows


def test_a_list_that_is_not_json_is_refused_before_the_rest_of_it_is_read(drops: Make) -> None:
    file = drops(b'[{"id": "A"}, {id: "B"}' + b', {"id": "C"}' * 10_000, 1000)
    with pytest.raises(MiraklInputError, match="line 1: not JSON: Expecting property name"):
        list(open_source(file, "json").batches())
    assert file.taken < 5000


def test_a_call_has_a_cap_of_bytes(product: Make, write: Make, tmp_path: Path) -> None:
    rows = [product(number) for number in range(100)]
    plan = plan_upsert(write(rows), tmp_path / "plan", max_chunk_bytes=10_000)
    assert len(plan.chunks) > 5
    assert all(chunk.length <= 10_000 for chunk in plan.chunks)
    assert [json.loads(row) for row in sent(plan)] == rows


def test_reading_a_chunk_touches_nothing_before_it(product: Make, write: Make, tmp_path: Path) -> None:
    plan = plan_upsert(write([product(number) for number in range(3000)]), tmp_path / "plan")
    asked: list[tuple[str, int]] = []

    class Watched(type(Path())):  # type: ignore[misc]
        def open(self, mode: str = "r", *args: Any, **options: Any) -> Any:
            file = super().open(mode, *args, **options)

            class File:
                def __enter__(self) -> Any:
                    return self

                def __exit__(self, *error: object) -> None:
                    file.close()

                def seek(self, offset: int) -> int:
                    asked.append(("seek", offset))
                    return int(file.seek(offset))

                def read(self, size: int) -> bytes:
                    asked.append(("read", size))
                    return bytes(file.read(size))

            return File()

    last = plan.chunks[2]
    assert len(read_chunk(Watched(plan.folder), last)) == 1000
    assert asked == [("seek", last.offset), ("read", last.length)]


def test_a_changed_product_file_is_noticed(product: Make, write: Make, tmp_path: Path) -> None:
    plan = plan_upsert(write([product(number) for number in range(10)]), tmp_path / "plan")
    path = tmp_path / "plan" / "products.ndjson"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(MiraklInputError, match="was changed after the plan was made"):
        read_chunk(plan.folder, plan.chunks[0])
    path.unlink()
    with pytest.raises(MiraklInputError, match="is missing although the plan needs it"):
        read_chunk(plan.folder, plan.chunks[0])


def test_a_plan_is_read_back(product: Make, write: Make, tmp_path: Path) -> None:
    plan = plan_upsert(write([product(1), {"id": ""}]), tmp_path / "plan", on_invalid="reject")
    again = Plan.load(str(tmp_path / "plan"))
    assert again == plan
    assert again.id == plan.id
    assert str(again.rejects).endswith("rejects.ndjson")
    assert again.describe().startswith("1 product to upsert in 1 call, ")
    assert again.describe().endswith("; 1 row rejected")
    assert again.chunks == (Chunk(0, plan.bytes, 1),)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"format":2}',
        b'{"format":1,"kind":"upsert"}',
        b"\xff",
        b'{"format":1,"kind":"eat"}',
    ],
)
def test_a_broken_plan_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_bytes(content)
    with pytest.raises(
        MiraklInputError,
        match=r"plan\.json, which .* cannot be read: .*Clear the task",
    ):
        Plan.load(tmp_path)


def test_the_id_names_content_and_options(product: Make, write: Make, tmp_path: Path) -> None:
    def plan_id(rows: list[Any], **options: Any) -> str:
        return plan_upsert(write(rows), tmp_path / "plan", **options).id

    rows = [product(1), product(2)]
    first = plan_id(rows)
    assert plan_id(rows) == first
    assert plan_id([product(1), product(2, brand="other")]) != first
    assert plan_id(rows, batch_size=1) != first
    assert plan_id(rows, unknown_fields="send") != first


def test_a_former_plan_is_gone_when_a_new_one_fails(product: Make, write: Make, tmp_path: Path) -> None:
    folder = tmp_path / "plan"
    plan_upsert(write([product(1)]), folder)
    with pytest.raises(MiraklInputError):
        plan_upsert(write([{"id": ""}]), folder)
    assert sorted(path.name for path in folder.iterdir()) == ["rejects.ndjson"]
    plan_upsert(write([product(1)]), folder)
    assert sorted(path.name for path in folder.iterdir()) == ["plan.json", "products.ndjson"]


def test_a_crash_while_planning_leaves_no_plan(product: Make, tmp_path: Path) -> None:
    def rows() -> Iterator[Any]:
        yield from (product(number) for number in range(2000))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plan_upsert(rows(), tmp_path / "plan")
    assert list((tmp_path / "plan").iterdir()) == []


def test_the_plans_of_an_upsert_and_of_a_sync_are_found(product: Make, tmp_path: Path) -> None:
    plan_upsert([product(1)], tmp_path / "upsert")
    assert [plan.kind for plan in plans_in(tmp_path / "upsert")] == ["upsert"]
    plan_sync([product(1), product(2)], tmp_path / "sync", tmp_path / "state")
    assert [(plan.kind, plan.products) for plan in plans_in(tmp_path / "sync")] == [("upsert", 2)]
    with pytest.raises(MiraklInputError):
        plans_in(tmp_path / "none")


def test_unknown_fields_are_sent_when_asked(write: Make, tmp_path: Path) -> None:
    plan = plan_upsert(write(['{"id":"A","weight":1.50}']), tmp_path / "plan", unknown_fields="send")
    assert sent(plan) == [b'{"id":"A","weight":1.50}']


def test_repeats_far_apart_are_found_on_disk(
    product: Make, write: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With room for a few ids in memory the rest goes to disk, and nothing changes."""
    monkeypatch.setattr(planner, "_FLUSH_IDS", 100)
    monkeypatch.setattr("airflow_provider_mirakl.catalog.source.BLOCK", 2000)
    rows = [{"id": f"A{number % 900}"} for number in range(1000)]
    plan = plan_upsert(write(rows), tmp_path / "plan", on_invalid="reject")
    assert (plan.products, plan.rejected) == (900, 100)
    rejects = [json.loads(line) for line in (tmp_path / "plan" / "rejects.ndjson").read_text().splitlines()]
    assert [entry["line"] for entry in rejects] == list(range(901, 1001))
    assert "is already in line 1" in rejects[0]["problems"][0]


@pytest.mark.parametrize(
    "source",
    [
        ["A", "B", "A", "ü"],
        [{"id": "A"}, {"id": "B"}, {"id": "A"}, {"id": "ü", "brand": 5, "note": "not looked at"}],
        '"A"\n"B"\n"A"\n{"id":"ü"}',
        '["A", "B", "A", {"id":"ü"}]',
    ],
)
def test_delete_takes_ids_in_every_shape(source: Any, write: Make, tmp_path: Path) -> None:
    plan = plan_delete(write(source) if isinstance(source, str) else source, tmp_path / "plan")
    assert (plan.kind, plan.products, plan.repeated, plan.rejected) == ("delete", 3, 1, 0)
    assert plan.describe().endswith("; 1 id repeated")
    assert request_body(sent(plan)) == '{"products":[{"id":"A"},{"id":"B"},{"id":"ü"}]}'.encode()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (5, "got int$"),
        (b"[]", "got bytes; wrap it in a list$"),
        ({"id": "A"}, "got an object; wrap it in a list$"),
    ],
)
def test_what_is_neither_a_list_nor_a_path(source: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(MiraklInputError, match=f"expected a list of products or a path, {words}"):
        plan_upsert(source, tmp_path / "plan")


@pytest.mark.parametrize("bad", ["", "x" * 257, 5, None, ["A"], {"sku": "A"}, {"id": 5}])
def test_delete_refuses_what_is_no_id(bad: Any, tmp_path: Path) -> None:
    with pytest.raises(MiraklInputError) as caught:
        plan_delete(["A", bad], tmp_path / "plan")
    assert caught.value.problem_count == 1
    assert caught.value.problems[0].field.startswith("[1]")


def test_the_longest_row_is_bounded() -> None:
    """A product at every limit of Connect, in characters of one byte, fits a row."""
    attribute = 2000 + 2 * 255 + 60
    assert 1000 * attribute + 10 * 6000 < MAX_ROW_BYTES


def test_paths_of_object_storage_work(product: Make, tmp_path: Path) -> None:
    """fsspec's in-memory store behind Airflow's own path: no rename, no append, no directories."""
    from fsspec.implementations.memory import MemoryFileSystem

    try:
        from airflow.sdk import ObjectStoragePath
        from airflow.sdk.io import attach
    except ImportError:
        from airflow.io.path import ObjectStoragePath  # type: ignore[no-redef]
        from airflow.io.store import attach  # type: ignore[no-redef]
    attach("memory", fs=MemoryFileSystem())
    rows = [product(number) for number in range(1200)]
    source = ObjectStoragePath(f"memory://bucket{tmp_path}/products.json")
    file: IO[bytes]
    with source.open("wb") as file:
        file.write(json.dumps([*rows, product(7)]).encode())
    folder = ObjectStoragePath(f"memory://bucket{tmp_path}/plan")
    with pytest.raises(
        MiraklInputError, match=r"line 1.*\[1200\]\.id: the same id is already in line 1 \[7\]"
    ):
        plan_upsert(source, folder)
    assert not (folder / "products.ndjson").exists()
    plan = plan_upsert(source, folder, on_invalid="reject")
    assert [json.loads(row) for row in sent(Plan.load(folder))] == rows
    assert (plan.products, plan.rejected) == (1200, 1)
    with pytest.raises(MiraklInputError, match="does not exist"):
        plan_upsert(ObjectStoragePath("memory://bucket/none.json"), folder)
    with pytest.raises(MiraklInputError, match="is a folder"):
        plan_upsert(ObjectStoragePath(f"memory://bucket{tmp_path}"), folder)
