"""The page about the catalog engine tells the truth: its examples run, and do what it says."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.outcome import ItemResult

PAGE = Path(__file__).parents[3] / "docs" / "catalog.md"


@pytest.fixture
def blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The examples, run with a file of products."""
    monkeypatch.chdir(tmp_path)
    write("a", "b", "c")
    return re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def write(*brands: str) -> None:
    rows = [{"id": f"p{number}", "brand": brand} for number, brand in enumerate(brands)]
    Path("products.ndjson").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


def run_all(blocks: list[str]) -> dict[str, Any]:
    """Run the example of sending, with what it leaves to the reader filled in."""
    example = (
        blocks[0]
        .replace("folder = ...", "folder = Path('first')")
        .replace("generation = ...", "generation = 'g'")
        .replace("return outcome.summary()", "summary = outcome.summary()")
    )
    names: dict[str, Any] = {
        "Path": Path,
        "log": logging.getLogger(__name__),
        "sent": [],
        "results": [ItemResult("p0", "succeeded")],
    }
    names["send"] = names["sent"].append
    exec(compile(example, str(PAGE), "exec"), names)  # noqa: S102 - the example of our own page
    return names


def test_a_list_of_products_is_sent_and_accounted_for(blocks: list[str]) -> None:
    names = run_all(blocks)
    (body,) = names["sent"]
    assert [product["id"] for product in json.loads(body)["products"]] == ["p0", "p1", "p2"]
    assert (names["summary"]["sent"], names["summary"]["succeeded"]) == (3, 1)


def test_a_delta_sends_again_what_a_lost_reply_left_in_doubt(blocks: list[str]) -> None:
    names = run_all(blocks)
    calls: list[tuple[str, list[Any]]] = []

    def sync(folder: str, *, is_lost: bool = False) -> list[tuple[str, list[Any]]]:
        def send(kind: str, body: bytes) -> None:
            calls.append((kind, json.loads(body)["products"]))
            if is_lost:
                raise ConnectionResetError

        calls.clear()
        names.update(folder=Path(folder), state=Path("state"), send=send)
        exec(compile(blocks[1], str(PAGE), "exec"), names)  # noqa: S102
        return calls

    assert [(kind, len(products)) for kind, products in sync("1")] == [("upsert", 3)]
    assert sync("2") == []
    write("a", "b", "changed")
    with pytest.raises(ConnectionResetError):
        sync("3", is_lost=True)
    write("a", "b", "c")  # as before, and it is not known what Mirakl accepted
    assert sync("4") == [("upsert", [{"id": "p2", "brand": "c"}])]


def test_columns_become_products(blocks: list[str]) -> None:
    names = run_all(blocks)
    names["folder"] = Path("columns")
    heading = "sku,title,titre,ean,price,price_be,stock_lyon,weight"
    Path("products.csv").write_text(f"{heading}\nA,Chair,Chaise,40170725,10,11,3,2.5\n", encoding="utf-8")
    exec(compile(blocks[2], str(PAGE), "exec"), names)  # noqa: S102
    (product,) = map(json.loads, Path("columns", "products.ndjson").read_text(encoding="utf-8").splitlines())
    assert product["id"] == "A"
    assert product["titles"] == [
        {"locale": "en_US", "value": "Chair"},
        {"locale": "fr_FR", "value": "Chaise"},
    ]
    assert [entry.get("scope") for entry in product["standard_prices"]] == [None, "EUR_BE"]
