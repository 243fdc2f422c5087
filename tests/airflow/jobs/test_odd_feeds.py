"""One odd file for every operator that reads one: as a spreadsheet, a shop system and an export write it.

The rows are those of the operator; what is odd around them is the same for all.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.client.pacing import PACER
from airflow_provider_mirakl.exceptions import MiraklError, MiraklInputError
from airflow_provider_mirakl.operators.catalog_manager import MiraklSynchronizeProductsOperator
from airflow_provider_mirakl.operators.connect import (
    MiraklConnectDeleteProductsOperator,
    MiraklConnectSyncCatalogOperator,
    MiraklConnectUpsertProductsOperator,
)
from airflow_provider_mirakl.operators.djust import DjustSynchronizeProductsOperator
from airflow_provider_mirakl.operators.offers import (
    MiraklImportOffersOperator,
    MiraklImportPricesOperator,
    MiraklImportStockOperator,
    MiraklUpsertOffersOperator,
)
from airflow_provider_mirakl.operators.products import MiraklImportProductsOperator
from airflow_provider_mirakl.operators.reconcile import MiraklReconcileProductsOperator
from airflow_provider_mirakl.operators.resync import MiraklResyncProductsOperator

pytestmark = [pytest.mark.airflow]

Row = dict[str, str]


def table(rows: list[Row], line_end: str = "\r\n") -> str:
    """CSV with everything around the rows that is not one."""
    names = list(rows[0])
    made = io.StringIO(newline="")
    writer = csv.writer(made, delimiter=";", lineterminator=line_end)
    made.write(f"sep=;{line_end}{line_end}")
    writer.writerow([f" {names[0]}\u00a0", *names[1:], ""])
    for row in rows:
        cells = list(row.values())
        writer.writerow([f"\u00a0{cells[0]} ", *cells[1:], ""])
        made.write(";" * len(names) + line_end)
        made.write(f"\u00a0;{line_end}")
    return made.getvalue()


FORMS: dict[str, tuple[str, Callable[[list[Row]], bytes], dict[str, str]]] = {
    "cp1252": ("feed.csv", lambda rows: table(rows).encode("cp1252"), {"encoding": "cp1252"}),
    "marked": ("feed.csv", lambda rows: b"\xef\xbb\xbf\xef\xbb\xbf" + table(rows, "\n").encode(), {}),
    "utf-16": ("feed.csv", lambda rows: table(rows).encode("utf-16"), {}),
    "packed": ("feed.csv.gz", lambda rows: gzip.compress(table(rows).encode("utf-8-sig")), {}),
}
OFFERS = [
    {"sku": "O-1", "product-id": "SKU-001", "product-id-type": "SKU", "price": "10,5", "state": "11"},
    {"sku": "O-2", "product-id": "SKU-002", "product-id-type": "SKU", "price": "12", "state": "11",},
]  # fmt: skip
PAIRS = [{"mirakl_product_id": f"MKL-02{n}", "product_sku": f"SKU-02{n}"} for n in (1, 2)]
CONNECT = [{"id": "A1", "title_fr_FR": "Café crème"}, {"id": "A2", "title_fr_FR": "Lampe"}]
SHOP, OPERATOR = {"mirakl_conn_id": "mirakl_shop"}, {"mirakl_conn_id": "mirakl_operator"}


@pytest.fixture
def run(worker, tmp_path, mirakl_sandbox_connections):
    """Runs an operator with a file."""

    def go(kind: type, file: tuple[str, bytes], run_id: str = "run", **options: Any) -> Any:
        path = tmp_path / run_id / file[0]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(file[1])
        return worker(lambda: kind(task_id="task", source=str(path), **options), run_id=run_id).run()

    return go


def titles(sandbox: Any) -> dict[str, str]:
    sandbox.advance(3600)  # Connect takes a while to process products
    return {one["id"]: one["titles"][0]["value"] for one in sandbox.products() if one.get("titles")}


@pytest.mark.parametrize("form", FORMS)
def test_an_odd_file_is_read_by_every_operator(form: str, run: Any, mirakl_sandbox: Any) -> None:
    name, write, encoding = FORMS[form]
    mirakl_sandbox.world.settings.limits = "off"

    def outcome(kind: type, rows: list[Row], case: str, **options: Any) -> Any:
        return run(kind, (name, write(rows)), case, **encoding, **options)

    upserted = outcome(MiraklConnectUpsertProductsOperator, CONNECT, "upsert")
    assert (upserted["sent"], titles(mirakl_sandbox)["A1"]) == (2, "Café crème")
    changed = [{"id": "A1", "title_fr_FR": "Thé vert"}, CONNECT[1]]
    assert outcome(MiraklConnectSyncCatalogOperator, changed, "delta")["sent"] == 2
    assert titles(mirakl_sandbox)["A1"] == "Thé vert"
    assert outcome(MiraklConnectDeleteProductsOperator, [{"sku": "A1"}], "delete")["sent"] == 1
    assert "A1" not in titles(mirakl_sandbox)

    products = [
        {
            "shop_sku": f"F-{n}", "category": "headphones", "title": f"Café {n}", "ean": ean,
        }
        for n, ean in enumerate(("4006381333931", "2000000000008"))
    ]  # fmt: skip
    imported = outcome(MiraklImportProductsOperator, products, "P41", lint="fail", until="complete", **SHOP)
    assert (imported["sent"], imported["failed"], imported["lint"]["problems"]) == (2, 0, 0)

    assert outcome(MiraklImportOffersOperator, OFFERS, "OF01", **SHOP)["succeeded"] == 2
    stock = [{"offer-sku": "O-1", "quantity": "7"}, {"offer-sku": "O-2", "quantity": "8"}]
    assert outcome(MiraklImportStockOperator, stock, "STO01", **SHOP)["succeeded"] == 2
    prices = [{"offer-sku": "O-1", "price": "20,50"}, {"offer-sku": "O-2", "price": "21"}]
    assert outcome(MiraklImportPricesOperator, prices, "PRI01", **SHOP)["succeeded"] == 2
    offers = [
        {
            "shop_sku": one["sku"], "product_id": one["product-id"], "product_id_type": "SKU", "price": "9,50",
            "state_code": "11", "update_delete": "",
        }
        for one in OFFERS
    ]  # fmt: skip
    assert outcome(MiraklUpsertOffersOperator, offers, "OF24", **SHOP)["succeeded"] == 2

    assert outcome(MiraklSynchronizeProductsOperator, PAIRS, "CM21", **OPERATOR)["succeeded"] == 2
    assert (
        outcome(MiraklResyncProductsOperator, PAIRS, "repair", route="direct", **OPERATOR)["succeeded"] == 2
    )
    assert outcome(DjustSynchronizeProductsOperator, PAIRS, "djust")["sent"] == 2
    other = [{"product_sku": "SKU-021"}, {"product_sku": "SKU-029"}]
    compared = outcome(MiraklReconcileProductsOperator, PAIRS, "reconcile", other=other)
    assert [compared[kind] for kind in ("source", "missing", "extra")] == [2, 1, 1]


JSONS: dict[str, Callable[[list[dict[str, Any]]], tuple[str, bytes]]] = {
    "ndjson": lambda rows: (
        "feed.ndjson",
        b"\xef\xbb\xbf\n" + b"\r\n\r\n".join(json.dumps(row).encode() for row in rows),
    ),
    "json": lambda rows: ("feed.json", json.dumps(rows, indent=1).encode("utf-16")),
    "parquet": lambda rows: ("feed.parquet", parquet(rows)),
}


def parquet(rows: list[dict[str, Any]]) -> bytes:
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow: make venv installs it")
    made = pyarrow.BufferOutputStream()
    pytest.importorskip("pyarrow.parquet", reason="needs pyarrow: make venv installs it").write_table(
        pyarrow.Table.from_pylist(rows), made
    )
    return bytes(made.getvalue())


@pytest.mark.parametrize("form", JSONS)
def test_other_formats_are_read_by_every_operator_that_takes_rows(
    form: str, run: Any, mirakl_sandbox: Any
) -> None:
    write = JSONS[form]
    mirakl_sandbox.world.settings.limits = "off"
    offers: list[dict[str, Any]] = [
        {
            "shop_sku": f"O-{n}", "product_id": f"SKU-00{n}", "product_id_type": "SKU", "price": 9.5,
            "state_code": "11", "update_delete": "", "discount": {"price": 8.5},
        }
        for n in (1, 2)
    ]  # fmt: skip
    products = [{"id": "B1", "brand": "ACME"}, {"id": "B2", "brand": "ACME"}]
    pairs: list[dict[str, Any]] = [dict(one) for one in PAIRS]
    assert run(MiraklConnectUpsertProductsOperator, write(products), "upsert")["sent"] == 2
    assert run(MiraklConnectSyncCatalogOperator, write(products), "delta")["sent"] == 2
    assert run(MiraklConnectDeleteProductsOperator, write([{"id": "B1"}]), "delete")["sent"] == 1
    assert run(MiraklUpsertOffersOperator, write(offers), "OF24", **SHOP)["succeeded"] == 2
    assert run(MiraklSynchronizeProductsOperator, write(pairs), "CM21", **OPERATOR)["succeeded"] == 2
    compared = run(MiraklReconcileProductsOperator, write(pairs), "reconcile", other=pairs[:1])
    assert [compared[kind] for kind in ("source", "missing", "extra")] == [2, 1, 0]


STOCK = b"sku;quantity\nO-1;7\n"


@pytest.mark.parametrize(
    ("kind", "text", "options", "words"),
    [
        (MiraklImportStockOperator, STOCK, {}, r"line 1, sku: .* did you mean 'offer-sku'"),
        (MiraklImportPricesOperator, STOCK, {}, r"line 1, sku: .* did you mean 'offer-sku'"),
        (MiraklImportOffersOperator, b"offer-sku;price\nO;x\n", {}, r"(?s)line 1, offer-sku.*line 2, .*price"),
        (MiraklImportStockOperator, b"offer-sku;quantity\nO;\xe9\n", {}, r"encoding='cp1252'"),
        (MiraklUpsertOffersOperator, b"sku;price\nO-1;7\n", {}, r"sku: .* did you mean 'shop_sku'"),
        (MiraklUpsertOffersOperator, b"shop_sku;price\n;\nO-1;x\n", {}, r"line 3, id 'O-1', price: must be"),
        (MiraklImportProductsOperator, STOCK, {"encoding": "klingon"}, "encoding must be 'auto' or"),
        (
            MiraklImportProductsOperator,
            b"category;shop_sku;title;ean\nmoon;A;x;4006381333931\n",
            {"lint": "fail"},
            r"line 2, id 'A', category: 'moon' is not the code",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_before_the_call(
    kind: type, text: bytes, options: dict[str, str], words: str, run: Any, mirakl_sandbox: Any
) -> None:
    with pytest.raises(MiraklInputError, match=words):
        run(kind, ("feed.csv", text), **options, **SHOP)
    assert not [call for call in mirakl_sandbox.journal() if call["method"] == "POST"]


OFFER = b'{"shop_sku":"O-1","product_id":"A","product_id_type":"SKU","price":1,"state_code":"11","update_delete":""'
NAN = b',"offer_additional_fields":[{"code":"c","value":NaN}]}'


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        (
            MiraklUpsertOffersOperator,
            OFFER + NAN,
            r"id 'O-1', offer_additional_fields\[0\]\.value: is NaN, which is not a number in JSON",
        ),
        (
            MiraklSynchronizeProductsOperator,
            b'{"product_sku":"A","data":{"size":-Infinity}}',
            r"id 'A', data\.size: is -Infinity, which",
        ),
        (
            MiraklUpsertOffersOperator,
            OFFER + b',"all_prices":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
            r"line 1: cannot be read: lists and objects are nested too deep",
        ),
    ],
)
def test_an_object_that_would_spoil_its_call_is_not_sent(
    kind: type, text: bytes, words: str, run: Any, mirakl_sandbox: Any
) -> None:
    conn = OPERATOR if kind is MiraklSynchronizeProductsOperator else SHOP
    with pytest.raises(MiraklInputError, match=words):
        run(kind, ("feed.ndjson", text), **conn)
    assert not [call for call in mirakl_sandbox.journal() if call["method"] == "POST"]


# An hour, for which the catalog is kept, takes a minute; nothing else is waited for.
@pytest.mark.mirakl_sandbox_settings(speed=60, queue_seconds=0, run_seconds=0, integration_seconds=0)
def test_a_check_that_warns_sends_the_file_and_says_what_it_found(
    run: Any, mirakl_sandbox: Any, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    text = b"category;shop_sku;title;ean;color\nheadphones;A;x;2000000000008;purple\nmoon;B;y;4006381333931;red\n"
    result = run(MiraklImportProductsOperator, ("feed.csv", text), max_failed_items=2, **SHOP)
    assert (result["sent"], result["lint"]["rows"], result["lint"]["problems"]) == (2, 2, 2)
    found = [json.loads(line) for line in Path(result["lint"]["findings"]).read_text().splitlines()]
    assert [(one["line"], one["id"], one["column"]) for one in found] == [
        (2, "A", "color"),
        (3, "B", "category"),
    ]
    assert found[0]["allowed"][:2] == ["black", "white"]
    # Clean already: sent byte for byte. The catalog is asked for once an hour.
    assert (Path(result["folder"]) / "sent" / "feed.csv").read_bytes() == text
    mirakl_sandbox.forget_limits()
    PACER.forget()
    again = run(MiraklImportProductsOperator, ("feed.csv", text), "again", max_failed_items=2, **SHOP)
    assert again["lint"]["problems"] == 2
    calls = [call["operation"] for call in mirakl_sandbox.journal()]
    assert [calls.count(code) for code in ("H11", "PM11", "VL11", "P41")] == [1, 1, 1, 2]


def test_a_catalog_that_cannot_be_had_stops_only_a_check_that_must_pass(
    run: Any, mirakl_sandbox: Any, caplog: pytest.LogCaptureFixture
) -> None:
    text = b"category;shop_sku;title;ean\nheadphones;A;x;2000000000008\n"
    mirakl_sandbox.fault("status", "PM11", status=403, times=None)
    result = run(MiraklImportProductsOperator, ("feed.csv", text), **SHOP)
    assert (result["sent"], result["lint"]) == (1, None)
    off = run(MiraklImportProductsOperator, ("feed.csv", text), "off", lint="off", **SHOP)
    assert off["lint"] is None


def test_a_file_is_cleaned_although_its_check_cannot_be_had(
    run: Any, mirakl_sandbox: Any, read_log: Callable[[], str]
) -> None:
    mirakl_sandbox.world.settings.limits = "off"
    mirakl_sandbox.fault("status", "PM11", status=403, times=None)
    text = "category;shop_sku;title;ean\nheadphones; A ;Café;2000000000008\n\n"
    feed = ("feed.csv", text.encode("cp1252"))
    result = run(MiraklImportProductsOperator, feed, encoding="cp1252", **SHOP)
    assert (result["sent"], result["lint"]) == (1, None)
    sent = (Path(result["folder"]) / "sent" / "feed.csv").read_bytes()
    assert sent.decode("utf-8") == text.replace(" A ", "A").removesuffix("\n")
    assert "feed.csv is not checked. PM11" in " ".join(read_log().split())

    feed = ("feed.csv", f"{text}headphones;B\nheadphones;C;x;2000000000008;more;cells\n".encode("cp1252"))
    result = run(MiraklImportProductsOperator, feed, "rows", encoding="cp1252", max_failed_items=None, **SHOP)
    assert result["lint"]["problems"] == 1, "a row that does not match the header needs no check"
    assert list(Path(result["folder"]).rglob("lint.ndjson"))


@pytest.fixture
def tries(worker, tmp_path, mirakl_sandbox, mirakl_sandbox_connections):
    """Runs the tries of one task that reads a file; the first one loses the job that it has submitted."""
    mirakl_sandbox.world.settings.limits = "off"
    path, options = tmp_path / "feed.csv", {"lint": "warn", "max_failures": 0}
    task = worker(
        lambda: MiraklImportOffersOperator(task_id="task", source=str(path), **options, **SHOP), max_tries=3
    )

    def go(text: bytes, **more: Any) -> Any:
        path.write_bytes(text)
        options.update(more)
        result = task.run()
        task.ti.try_number += 1
        return result

    return go


BAD_OFFER = b"sku;product-id;product-id-type;price;state;quantity\nO-1;SKU-001;SKU;1;11;x\n"
GOOD_OFFER = BAD_OFFER.replace(b";x", b";1")


def test_what_was_found_in_another_file_is_not_in_the_result(
    tries: Any, mirakl_sandbox: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(MiraklInputError, match="1 problem in 1 row"):
        tries(BAD_OFFER, lint="fail")
    result = tries(GOOD_OFFER, lint="off")
    assert (result["succeeded"], result["lint"]) == (1, None)


def test_a_changed_file_does_not_change_what_was_found_in_the_one_that_was_sent(
    tries: Any, mirakl_sandbox: Any, read_log: Callable[[], str]
) -> None:
    fault = mirakl_sandbox.fault("status", "OF02", status=500, times=None)
    with pytest.raises(MiraklError):
        tries(GOOD_OFFER, lint="fail")
    fault.times = 0
    result = tries(BAD_OFFER)
    assert (result["succeeded"], result["lint"]) == (1, None)
    assert "The source has changed since it was sent" in " ".join(read_log().split())


@pytest.mark.parametrize(
    ("name", "text", "options"),
    [
        ("feed.csv", "sku;price\n".encode("utf-16-le"), {"encoding": "utf-16-le"}),
        ("feed.csv", "sku;price\n".encode("utf-16-be"), {"encoding": "utf-16-be", "lint": "off"}),
        ("feed.csv.gz", gzip.compress(b"sku;price\n"), {"lint": "off"}),
        ("feed.csv.gz", gzip.compress(b"sku;price\n"), {"lint": "warn"}),
        ("feed.csv", b"sku;price\n;\n", {"lint": "off"}),
    ],
    ids=["utf-16-le", "utf-16-be", "packed", "packed and checked", "an empty row"],
)
def test_a_file_without_rows_never_replaces_everything(
    name: str, text: bytes, options: dict[str, str], run: Any, mirakl_sandbox: Any
) -> None:
    with pytest.raises(MiraklInputError, match="has a header but no rows; nothing was sent"):
        run(
            MiraklImportOffersOperator,
            (name, text),
            import_mode="REPLACE",
            max_delete_ratio=1,
            **options,
            **SHOP,
        )
    assert not [call for call in mirakl_sandbox.journal() if call["method"] == "POST"]
