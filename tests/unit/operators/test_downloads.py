"""The files of an export become one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_mirakl.exceptions import MiraklConfigurationError, MiraklReplyError
from airflow_provider_mirakl.runtime.downloads import ready_target, write_files


class Piece(bytes):
    """What a call asks for, and is answered with."""

    operation = SimpleNamespace(code="CM54", personal=False)


class Files:
    """Gives what it is asked for: nothing is 204, unless told otherwise."""

    def __init__(self, empty: int = 204) -> None:
        self.empty = empty

    @contextmanager
    def stream(self, call: bytes, *, max_wait: float | None) -> Iterator[Any]:
        reply = SimpleNamespace(status=200 if call else self.empty)
        yield SimpleNamespace(chunks=iter([call[:3], call[3:]]), reply=reply)


def written(target: Any, target_format: str, *pieces: bytes, empty: int = 204) -> int | None:
    return write_files(Files(empty), [Piece(piece) for piece in pieces], target, target_format)


@pytest.mark.parametrize(
    ("target_format", "pieces"),
    [
        ("csv", [b""]),
        ("csv", [b"a;b\n1;2\n", b""]),
        ("ndjson", [b""]),
        ("ndjson", [b'[{"a":1}]', b""]),
        ("parquet", [b""]),
        ("parquet", [b'[{"a":1}]', b""]),
    ],
)
def test_an_empty_file_is_nothing_only_where_mirakl_says_so(tmp_path, target_format, pieces):
    with pytest.raises(MiraklReplyError, match="CM54: Mirakl answered 200 with an empty file"):
        written(tmp_path / "t", target_format, *pieces, empty=200)
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([], b""),
        ([b""], b""),
        ([b"a;b\n1;2\n", b"a;b\n3;4\n"], b"a;b\n1;2\n3;4\n"),
        ([b"a;b\n1;2", b"a;b\n3;4"], b"a;b\n1;2\n3;4\n"),
        ([b"a;b", b"a;b\n3;4"], b"a;b\n3;4\n"),
        ([b"a;b\r\n", b"a;b", b"", b"a;b\r\n3;4\r\n"], b"a;b\r\n3;4\r\n"),
        ([b"a;b"], b"a;b\n"),
    ],
)
def test_csv(tmp_path, pieces, expected):
    target = tmp_path / "t.csv"
    assert written(target, "csv", *pieces) is None
    assert target.read_bytes() == expected


def test_csv_with_other_columns_leaves_no_target(tmp_path):
    with pytest.raises(MiraklReplyError, match="different columns"):
        written(tmp_path / "t.csv", "csv", b"a;b\n1;2\n", b"a;c\n3;4\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("target_format", "piece", "words"),
    [
        ("csv", b'[{"a":1}]', "are JSON, not CSV; use a target that ends in .ndjson or .parquet"),
        ("csv", b"\xef\xbb\xbf \n[]", "are JSON, not CSV"),
        (
            "ndjson",
            b"a;b\n1;2\n",
            "are not JSON; if it was exported as CSV, use a target that ends in .csv",
        ),
        ("parquet", b"a;b\n1;2\n", "are not JSON"),
        ("ndjson", b"<html>", "are not JSON"),
    ],
)
def test_files_in_another_format_than_the_target_are_refused(tmp_path, target_format, piece, words):
    with pytest.raises(MiraklReplyError, match=words):
        written(tmp_path / "t", target_format, piece)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("pieces", [[], [b""], [b"[]"], [b"[]", b"[]"]])
@pytest.mark.parametrize("target_format", ["ndjson", "parquet"])
def test_nothing(tmp_path, target_format, pieces):
    target = tmp_path / "t"
    assert written(target, target_format, *pieces) == 0
    if target_format == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow: make venv installs it")
        assert parquet.read_table(target).num_rows == 0
    else:
        assert target.read_bytes() == b""


def test_parquet_with_other_columns(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow: make venv installs it")
    pieces = [b'[{"a":1,"n":null}]', b'[{"b":"x","n":"y"},{"a":2.5}]', b"[]", b"[{}]"]
    assert written(tmp_path / "t", "parquet", *pieces) == 4
    assert parquet.read_table(tmp_path / "t").to_pylist()[1:3] == [
        {"a": None, "n": "y", "b": "x"},
        {"a": 2.5, "n": None, "b": None},
    ]


def test_a_product_larger_than_a_block(tmp_path):
    pytest.importorskip("pyarrow", reason="needs pyarrow: make venv installs it")
    row = b'{"text":"' + b"x" * (3 << 20) + b'"}'
    assert written(tmp_path / "t", "parquet", b'[{"text":"a"},' + row + b"]") == 2


@pytest.mark.parametrize(
    ("target", "kind", "words"),
    [
        ("out.parquet", "ndjson", "is written as NDJSON"),
        ("", "ndjson", "must be a file, not the folder"),
        ("new/", "parquet", "must be a file, not the folder"),
        ("file/out.ndjson", "ndjson", "cannot be written"),
    ],
)
def test_a_target_is_checked_before_a_call(target, kind, words, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(MiraklConfigurationError, match=words):
        ready_target(f"{tmp_path}/{target}", kind)


def test_a_target_that_can_be_written_is_left_alone(tmp_path):
    (tmp_path / "old.ndjson").write_text("x")
    assert ready_target(str(tmp_path / "old.ndjson")).read_bytes() == b"x"
    ready_target(str(tmp_path / "new" / "out.parquet"), "parquet")
    assert [path.name for path in (tmp_path / "new").iterdir()] == []
