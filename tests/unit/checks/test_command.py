"""``mirakl-provider lint``: the operators' messages on the command line."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.cli import main

HEAD = "category;shop_sku;title;ean;color\n"


@pytest.fixture
def feed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AIRFLOW__MIRAKL__WORK_FOLDER", str(tmp_path / "work"))

    def write(text: str, encoding: str = "utf-8") -> str:
        path = tmp_path / "feed.csv"
        path.write_text(text, encoding=encoding)
        return str(path)

    return write


@pytest.mark.usefixtures("mirakl_sandbox_connections")
def test_products_against_the_catalog(feed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    good = HEAD + "headphones;A;Café;2000000000008;blue\n"
    assert main(["lint", feed(good, "cp1252"), "--conn-id", "mirakl_shop", "--encoding", "cp1252"]) == 0
    assert capsys.readouterr().out == "feed.csv: no problems in 1 row\n"
    bad = feed(HEAD + "headphones;A;x;2000000000008;purple\n")
    assert main(["lint", bad, "--conn-id", "mirakl_shop"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "feed.csv: 1 problem in 1 row",
        "  - line 2, id 'A', color: 'purple' is not in the list colors; it has black, white, blue, green, red, grey",
    ]
    assert main(["lint", bad, "--conn-id", "mirakl_shop", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["problems"], report["findings"][0]["column"]) == (1, "color")


def test_stock_needs_no_connection(feed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", feed("sku;quantity\nA;1\n"), "--operation", "STO01"]) == 1
    assert "did you mean 'offer-sku'?" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["feed.csv"], "needs --conn-id"),
        (["/nowhere/feed.csv", "--operation", "OF01"], "cannot be read"),
        (["http://x/feed.csv", "--operation", "OF01"], "is not storage"),
    ],
)
def test_a_wrong_call(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_workbook_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "feed.csv"
    path.write_bytes(b"PK\x03\x04rest")
    assert main(["lint", str(path), "--operation", "OF01"]) == 2
    assert "XLSX" in capsys.readouterr().err


PRICES = "offer-sku;price\nÄ€;x\n"


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_terminal_without_every_character(
    feed: Any, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    out = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr("sys.stdout", out)
    assert main(["lint", feed(PRICES), "--operation", "PRI01", *options]) == 1
    said = out.buffer.getvalue().decode("ascii")  # type: ignore[attr-defined]
    if options:
        assert json.loads(said)["findings"][0]["id"] == "Ä€"
    else:
        assert "id '\\xc4\\u20ac'" in said


@pytest.mark.parametrize("output", ["pipe", "/dev/full"])
def test_output_that_nobody_takes(feed: Any, output: str) -> None:
    file, command = (
        feed(PRICES * 3000),
        "import sys; from airflow_provider_mirakl.cli import main; sys.exit(main())",
    )
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "w") if output == "pipe" else Path(output).open("w") as out:
        done = subprocess.run(
            [sys.executable, "-c", command, "lint", file, "--operation", "PRI01"],
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2, "not 1, which says that the file has problems"
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_storage_that_cannot_be_accessed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class EndpointConnectionError(Exception):
        """As botocore's, which is no OSError."""

    class Far:
        name = "feed.csv"

        def open(self, mode: str) -> Any:
            print("a line that a hook logs")
            raise EndpointConnectionError("https://key@store.example")

    monkeypatch.setattr("airflow_provider_mirakl.files.paths.storage_path", lambda path: Far())
    assert main(["lint", "s3://bucket/feed.csv", "--operation", "PRI01", "--json"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "s3://bucket/feed.csv cannot be accessed (EndpointConnectionError)" in said.err
    assert "key@" not in said.err


def test_a_program_gets_every_finding(feed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    path = feed("sku;price\n" + "".join(f"A{at};x\n" for at in range(1500)))
    assert main(["lint", path, "--operation", "OF01", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["problems"], len(report["findings"]), report["findings"][-1]["line"]) == (1500, 1500, 1501)
    assert main(["lint", path, "--operation", "OF01"]) == 1
    assert capsys.readouterr().out.endswith("  ... and 500 more\n")


@pytest.mark.parametrize("text", ["sku;price\n", "sku;price\n;\n\n"])
def test_a_file_that_no_operator_sends_has_a_problem(
    text: str, feed: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lint", feed(text), "--operation", "OF01"]) == 1
    assert "feed.csv: 1 problem in 0 rows\n  - the file has no rows" in capsys.readouterr().out
    assert main(["lint", feed(text), "--operation", "OF01", "--json"]) == 1
    assert len(json.loads(capsys.readouterr().out)["findings"]) == 1
