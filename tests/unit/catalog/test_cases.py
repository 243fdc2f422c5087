"""Small feeds as people have them, each run with what a user would expect of it.

The inputs stand here. Where the project's shared folder has its list of cases, every case of that list is run too, with
its own input: a case that is added there and has no expectation here fails.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.catalog.columns import Columns
from airflow_provider_mirakl.catalog.plan import plan_upsert, read_chunk
from airflow_provider_mirakl.checks.offers import check_offer
from airflow_provider_mirakl.exceptions import MiraklInputError

MAPPING = {"sku": "id", "name": "titles[en_US]", "price": "standard_prices.amount", "ean": "gtins"}
HEAD = "sku;name;price;ean\n"
LAMP: dict[str, Any] = {"id": "A1", "titles": [{"locale": "en_US", "value": "Lamp"}]}


def price(amount: float, currency: str = "EUR") -> dict[str, Any]:
    return {"standard_prices": [{"price": {"amount": amount, "currency": currency}}]}


class Feed:
    """Plans feeds in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def sent(
        self, content: Any, settings: dict[str, Any] | None = None, name: str = "feed.csv", **options: Any
    ) -> list[Any]:
        """The products of a feed."""
        self._count += 1
        if isinstance(content, str | bytes):
            path = self._folder / f"{self._count}-{name}"
            path.write_bytes(content.encode() if isinstance(content, str) else content)
            content = path
        columns = Columns.from_settings({"mapping": MAPPING, "currency": "EUR", **(settings or {})})
        options = {"columns": columns} | options
        plan = plan_upsert(content, self._folder / f"plan-{self._count}", **options)
        return [json.loads(row) for chunk in plan.chunks for row in read_chunk(plan.folder, chunk)]

    def refused(self, content: Any, settings: dict[str, Any] | None = None, **options: Any) -> str:
        """What is said of a feed that is refused."""
        with pytest.raises(MiraklInputError) as caught:
            self.sent(content, settings, **options)
        return str(caught.value)


Case = Callable[[Feed, list[str]], None]
CASES: dict[int, Case] = {}
OWN: dict[int, list[str]] = {}


def case(number: int, *inputs: str) -> Callable[[Case], Case]:
    """The expectation of a case, and its input."""

    def keep(check: Case) -> Case:
        CASES[number], OWN[number] = check, list(inputs)
        return check

    return keep


@case(1, "sep=;", "sku;name;price;ean", "A1;Lamp;12.50;4006381333931")
def _stated_separator(feed: Feed, inputs: list[str]) -> None:
    assert feed.sent("\r\n".join(inputs[:3])) == [
        {**LAMP, **price(12.5), "gtins": [{"value": "4006381333931"}]}
    ]


@case(2, "sku;name;price;ean;", "A1;Lamp;1;;", "A2;L;2")
def _unnamed_column_and_short_row(feed: Feed, inputs: list[str]) -> None:
    one, two = feed.sent("\n".join(inputs[:3]))
    assert (one, two["id"], two["standard_prices"]) == (
        {**LAMP, **price(1)},
        "A2",
        price(2)["standard_prices"],
    )


@case(3, "sku,name,price,ean,,", "A1,Lamp,1,,,")
@case(5, " sku , name ,price, ean", " A1 , Lamp ,1,")
def _cells_around(feed: Feed, inputs: list[str]) -> None:
    assert feed.sent("\n".join(inputs[:2])) == [{**LAMP, **price(1)}]


@case(4)
def _blank_lines_above(feed: Feed, inputs: list[str]) -> None:
    assert feed.sent(f"\n\n{HEAD}A1;Lamp;1;\n") == [{**LAMP, **price(1)}]


@case(6, "SKU,Name,Price,EAN")
def _other_case(feed: Feed, inputs: list[str]) -> None:
    assert feed.sent(f"{inputs[0]}\nA1,Lamp,1,\n") == [{**LAMP, **price(1)}]


@case(7, r"Caf\xe9")
def _windows(feed: Feed, inputs: list[str]) -> None:
    name = inputs[0].encode().decode("unicode_escape")
    content = f"{HEAD}A1;{name};1;\n".encode("cp1252")
    assert feed.sent(content, encoding="cp1252")[0]["titles"][0]["value"] == "Café"
    assert re.search(r"line 2: .*windows-1252.*encoding='cp1252'", feed.refused(content))


@case(8)
def _utf16(feed: Feed, inputs: list[str]) -> None:
    assert feed.sent(f"{HEAD}A1;Café;1;\n".encode("utf-16"))[0]["titles"][0]["value"] == "Café"


@case(9, "sku+ADs-name+ADs-...")
def _utf7(feed: Feed, inputs: list[str]) -> None:
    content = inputs[0].replace("...", "price+ADs-ean\nA1+ADs-Lamp+ADs-1+ADs-\n")
    assert "UTF-7" in feed.refused(content)
    assert feed.sent(content, encoding="utf-7") == [{**LAMP, **price(1)}]


@case(10, "12.50 EUR", "EUR 12.50", "€12.50")
def _currency_in_the_cell(feed: Feed, inputs: list[str]) -> None:
    for text in inputs[:3]:
        assert feed.sent(f"{HEAD}A1;Lamp;{text};\n", {"currency": "cell"}) == [{**LAMP, **price(12.5)}], text


@case(11, 'decimal=","', "1 249,00", "1.249,00", "thousands")
def _groups_of_three(feed: Feed, inputs: list[str]) -> None:
    for text in [inputs[1].replace(" ", space) for space in "\u00a0\u202f"] + [inputs[2]]:
        row = f"{HEAD}A1;Lamp;{text};\n"
        sign = "." if "." in text else " "
        assert feed.sent(row, {"decimal": ",", "thousands": sign}) == [{**LAMP, **price(1249)}], text
        words = feed.refused(row, {"decimal": ","})
        assert "thousands" in words, words


CAUSES = {
    "E+": "as a spreadsheet shows it",
    "'": "apostrophe",
    "00012345678905": "without the leading 0",
    "12345678901": "has 11 digits",
    "4006381333932": "check digit",
}


@case(12, "4.00638E+12", "'4006381333931", "12345678901", "00012345678905", "4006381333932")
def _gtins(feed: Feed, inputs: list[str]) -> None:
    for ean in inputs[:5]:
        cause = next(words for mark, words in CAUSES.items() if mark in ean)
        assert cause in feed.refused(f"{HEAD}A1;Lamp;1;{ean}\n"), ean


@case(13, "https://a/1.jpg, https://a/2.jpg")
def _several_images(feed: Feed, inputs: list[str]) -> None:
    mapping = {"sku": "id", "images": "images"}
    (made,) = feed.sent(f'sku,images\nA1,"{inputs[0]}"\n', {"mapping": mapping})
    assert made["images"] == [{"url": "https://a/1.jpg"}, {"url": "https://a/2.jpg"}]


@case(14)
def _a_long_cell(feed: Feed, inputs: list[str]) -> None:
    content = f"{HEAD}A1;Lamp;1;\nA2;{'x' * 140_000};1;\nA3;Lamp;1;\n"
    assert [one["id"] for one in feed.sent(content, on_invalid="reject")] == ["A1", "A3"]
    assert re.search("line 3.*titles", feed.refused(content))


@case(15)
def _a_doubled_name(feed: Feed, inputs: list[str]) -> None:
    assert feed.sent("sku,note,note,name,price,ean\nA1,x,y,Lamp,1,\n") == [{**LAMP, **price(1)}]


@case(16, 'DataFrame({"sku": ["A1", "A2"], "price": [1.5, nan], "name": ["x", None]})')
def _a_dataframe(feed: Feed, inputs: list[str]) -> None:
    pandas = pytest.importorskip("pandas", reason="needs pandas: make venv installs it")
    code = next(text for text in inputs if text.startswith("DataFrame("))
    frame = eval(code, {"DataFrame": pandas.DataFrame, "nan": float("nan")})  # noqa: S307
    mapping = {name: MAPPING[name] for name in ("sku", "name", "price")}
    one, two = feed.sent(frame, {"mapping": mapping})
    assert (one["id"], one["titles"][0]["value"], one["standard_prices"]) == (
        "A1",
        "x",
        price(1.5)["standard_prices"],
    )
    assert two == {"id": "A2"}


@case(17, '[{"id": "A", "quantities": [{"available_quantity": numpy.int64(3), "warehouse_code": "A"}]}]')
def _numbers_of_numpy(feed: Feed, inputs: list[str]) -> None:
    numpy = pytest.importorskip("numpy", reason="needs numpy: make venv installs it")
    (made,) = feed.sent(eval(inputs[0], {"numpy": numpy}), columns=None)  # noqa: S307
    assert made == {"id": "A", "quantities": [{"available_quantity": 3, "warehouse_code": "A"}]}


@case(18, '[{"id": 123}]')
def _an_id_that_is_a_number(feed: Feed, inputs: list[str]) -> None:
    rows = json.loads(inputs[0])
    assert re.search("id.*(string|text)", feed.refused(rows, columns=None))
    assert feed.sent(rows, {"mapping": {"id": "id"}}) == [{"id": "123"}]


@case(19, '{"data": [{"id": "a"}]}')
def _a_list_in_an_object(feed: Feed, inputs: list[str]) -> None:
    assert feed.sent(inputs[0], columns=None, items="data", name="feed.json") == [{"id": "a"}]
    assert "items='data'" in feed.refused(inputs[0], columns=None, name="feed.json")


@case(20)
def _shopify(feed: Feed, inputs: list[str]) -> None:
    content = (
        "Handle,Title,Option1 Value,Variant Price,Image Src\n"
        "lamp,Lamp,Red,1,https://a/1.jpg\nlamp,,Blue,2,https://a/2.jpg\nlamp,,,,https://a/3.jpg\n"
    )
    made = feed.sent(content, columns=Columns.from_settings("shopify"))
    assert [one["id"] for one in made] == ["lamp-Red", "lamp-Blue"]
    for one in made:
        assert one["titles"][0]["value"] == "Lamp"
        assert [image["url"] for image in one["images"]] == [f"https://a/{n}.jpg" for n in (1, 2, 3)]


@case(21, "Home > Light > Lamps")
def _a_category_path(feed: Feed, inputs: list[str]) -> None:
    mapping = {"sku": "id", "category": "category.id"}
    (made,) = feed.sent(f"sku,category\nA1,{inputs[0]}\n", {"mapping": mapping, "locale": "en_US"})
    assert made["category"] == {"id": "Lamps", "labels": [{"locale": "en_US", "value": "Lamps"}]}


@case(22, "{}", '{"price": "x"}', '{"product_sku": "a", "quantity": "3"}')
def _offers(feed: Feed, inputs: list[str]) -> None:
    empty, text, wrong = [
        [str(problem) for problem in check_offer(json.loads(one))] for one in inputs if one.startswith("{")
    ]
    assert "shop_sku: is missing" in empty
    assert "price: must be a number, not 'x'" in text
    assert "product_sku: is not a field of OF24; did you mean 'product_id'?" in wrong
    assert "quantity: must be a whole number, not '3'; write it without quotes" in wrong


@pytest.mark.parametrize("number", sorted(CASES))
def test_a_case(number: int, tmp_path: Path) -> None:
    CASES[number](Feed(tmp_path), OWN[number])


SHARED = Path(os.environ.get("MIRAKL_SHARED", Path(__file__).parents[4] / "shared")) / "cases" / "feeds.md"


def listed() -> dict[int, list[str]]:
    """The inputs of the shared list, by number."""
    if not SHARED.exists():
        return {}
    rows = re.findall(r"^\| (\d+) \| (.*) \| .* \|$", SHARED.read_text(encoding="utf-8"), re.MULTILINE)
    return {int(number): re.findall(r"`([^`]+)`", text) for number, text in rows}


@pytest.mark.parametrize(("number", "inputs"), listed().items(), ids=[f"case {one}" for one in listed()])
def test_a_case_of_the_shared_list(number: int, inputs: list[str], tmp_path: Path) -> None:
    CASES[number](Feed(tmp_path), inputs)


def test_the_shared_list_was_read() -> None:
    if not SHARED.exists():
        pytest.skip(f"needs the list of small feeds at {SHARED}")
    assert set(listed()) == set(CASES)
