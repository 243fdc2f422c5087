"""Asynchronous jobs: life cycles, queueing, counters, reports, and failures that the data provokes."""

from __future__ import annotations

import csv
import io
from typing import Any

import httpx
import pytest

from airflow_provider_mirakl.sandbox import Sandbox
from airflow_provider_mirakl.sandbox.systems.offers import Offers
from airflow_provider_mirakl.sandbox.systems.tables import Table, read

pytestmark = pytest.mark.mirakl_sandbox_settings(limits="off")

HEAD = "category;shop_sku;title;ean;brand\n"
GOOD = HEAD + "headphones;A-1;One;2000000000001;nordlys\nheadphones;A-2;Two;2000000000002;akeba\n"
OFFER_HEAD = "sku;product-id;product-id-type;price;quantity;state;update-delete\n"
SYNC = "/api/mcm/products/synchronization"


def p41(client: httpx.Client, body: str | bytes, name: str = "products.csv", **data: str) -> str:
    answer = client.post("/api/products/imports", files={"file": (name, body)}, data=data)
    assert answer.status_code == 201, answer.text
    return f"/api/products/imports/{answer.json()['import_id']}"


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text), delimiter=";"))


def results(sandbox: Sandbox) -> list[str]:
    return [row["result"] for row in sandbox.ledger()]


# Product imports


def test_a_seller_s_file_is_converted_sent_and_integrated(sandbox: Sandbox, shop: httpx.Client) -> None:
    path = p41(shop, GOOD)
    seen = []
    for _ in range(60):
        state = shop.get(path).json()["import_status"]
        if not seen or seen[-1] != state:
            seen.append(state)
        sandbox.advance(5)
    assert seen == [
        "TRANSFORMATION_WAITING",
        "TRANSFORMATION_RUNNING",
        "WAITING",
        "RUNNING",
        "SENT",
        "COMPLETE",
    ]
    state = shop.get(path).json()
    assert (state["transform_lines_read"], state["transform_lines_in_success"]) == (2, 2)
    assert state["integration_details"]["products_successfully_synchronized"] == 2
    assert (state["has_error_report"], state["has_new_product_report"]) == (False, True)
    fresh = rows(shop.get(f"{path}/new_product_report").text)
    assert [row["shop_sku"] for row in fresh] == ["A-1", "A-2"]
    assert fresh[0]["mirakl_product_id"] in sandbox.master_products()
    assert results(sandbox) == ["created", "created"]
    live = shop.get(
        "/api/mcm/products/sources/status/export", params={"provider_unique_identifier": "A-1"}
    ).json()
    assert [row["status"] for row in live] == ["LIVE"]


def test_an_operator_s_format_needs_no_conversion(sandbox: Sandbox, operator: httpx.Client) -> None:
    path = p41(operator, GOOD, operator_format="true", shop="2001")
    assert operator.get(path).json()["import_status"] == "WAITING"
    sandbox.advance(300)
    state = operator.get(path).json()
    assert (state["import_status"], state["shop_id"], state["has_transformed_file"]) == (
        "COMPLETE",
        2001,
        False,
    )


@pytest.mark.parametrize("name", ["csv", "xml", "xlsx"])
def test_what_the_data_does_wrong_is_told_line_by_line(
    sandbox: Sandbox, shop: httpx.Client, name: str
) -> None:
    header = ("category", "shop_sku", "title", "ean", "brand", "colour_of_sky")
    lines = [
        ("headphones", "A-1", "Good", "2000000000001", "nordlys", ""),
        ("headphones", "A-1", "Duplicate", "2000000000002", "", ""),
        ("headphones", "A-3", "", "2000000000003", "", ""),
        ("headphones", "A-4", "Unknown attribute", "2000000000004", "", "blue"),
        ("headphones", "A-5", "Unknown value", "2000000000005", "Nobody", ""),
        ("moon", "A-6", "Unknown category", "2000000000006", "", ""),
        ("smartphones", "A-7", "Needs a battery", "2000000000007", "", ""),
    ]
    table = Table(name, header, tuple(dict(zip(header, line, strict=True)) for line in lines))  # type: ignore[arg-type]
    path = p41(shop, table.dump(), f"products.{name}")
    sandbox.advance(400)
    state = shop.get(path).json()
    assert state["import_status"] == "COMPLETE"
    assert (state["transform_lines_in_success"], state["transform_lines_in_error"]) == (1, 6)
    assert state["has_transformation_error_report"]
    report = read(shop.get(f"{path}/transformation_error_report").content)
    assert report.format == name
    words = {row["title"]: row["errors"] for row in report.rows}
    assert "appears twice" in words["Duplicate"]
    assert "title is required" in words[""]
    assert "colour_of_sky is unknown" in words["Unknown attribute"]
    assert "Nobody is not in the list" in words["Unknown value"]
    assert "moon does not exist" in words["Unknown category"]
    assert "battery is required" in words["Needs a battery"]
    clean = rows(shop.get(f"{path}/transformed_file").text)
    assert [row["shop_sku"] for row in clean] == ["A-1"]
    assert results(sandbox) == ["created", *["failed"] * 6]


def test_the_operator_refuses_what_a_title_orders(sandbox: Sandbox, shop: httpx.Client) -> None:
    body = HEAD + "".join(
        f"headphones;B-{n};{word} x;{2000000000100 + n};nordlys\n"
        for n, word in enumerate(("[reject]", "[late]", "[sync-error]", "[wrong-id]", "fine"))
    )
    path = p41(shop, body)
    sandbox.advance(400)
    details = shop.get(path).json()["integration_details"]
    assert {name: count for name, count in details.items() if count} == {
        "rejected_products": 1,
        "products_not_accepted_in_time": 1,
        "products_with_synchronization_issues": 1,
        "products_with_wrong_identifiers": 1,
        "products_successfully_synchronized": 1,
    }
    report = rows(shop.get(f"{path}/error_report").text)
    assert [row["shop_sku"] for row in report] == ["B-0", "B-1", "B-2", "B-3"]
    assert all(row["errors"].startswith("3001|") for row in report)


def test_what_only_failed_can_be_sent_again(sandbox: Sandbox, shop: httpx.Client) -> None:
    path = p41(shop, HEAD + "headphones;C-1;;2000000000001;nordlys\nheadphones;C-2;Two;2000000000002;akeba\n")
    sandbox.advance(400)
    rejects = rows(shop.get(f"{path}/transformation_error_report").text)
    fixed = (
        HEAD
        + ";".join([rejects[0]["category"], rejects[0]["shop_sku"], "Mended", rejects[0]["ean"], ""])
        + "\n"
    )
    path = p41(shop, fixed)
    sandbox.advance(400)
    assert shop.get(path).json()["integration_details"]["products_successfully_synchronized"] == 1


@pytest.mark.parametrize("body", [b"", b"%PDF-1.7\xff\xfe", b"<import><products>", b"PK\x03\x04broken"])
def test_a_file_that_is_none_fails(sandbox: Sandbox, shop: httpx.Client, body: bytes) -> None:
    path = p41(shop, body)
    sandbox.advance(400)
    state = shop.get(path).json()
    assert state["import_status"] == "TRANSFORMATION_FAILED"
    assert state["reason_status"]
    path = p41(shop, body, operator_format="true")
    sandbox.advance(400)
    assert shop.get(path).json()["import_status"] == "FAILED"


def test_imports_of_a_shop_wait_for_each_other(sandbox: Sandbox, shop: httpx.Client) -> None:
    first = p41(shop, GOOD, operator_format="true")
    second = p41(shop, GOOD, operator_format="true")
    other = shop.post(
        "/api/products/imports?shop_id=2001",
        files={"file": ("p.csv", GOOD)},
        data={"operator_format": "true"},
    )
    sandbox.advance(20)
    elsewhere = f"/api/products/imports/{other.json()['import_id']}?shop_id=2001"
    assert [shop.get(path).json()["import_status"] for path in (first, second, elsewhere)] == [
        "RUNNING",
        "WAITING",
        "RUNNING",
    ]
    sandbox.advance(60)
    assert [shop.get(path).json()["import_status"] for path in (first, second)] == ["SENT", "RUNNING"]


def test_reports_come_late_and_do_not_stay(sandbox: Sandbox, shop: httpx.Client) -> None:
    path = p41(shop, GOOD)
    sandbox.advance(121)
    assert shop.get(path).json()["import_status"] == "SENT"
    assert shop.get(f"{path}/transformed_file").status_code == 200
    assert shop.get(f"{path}/new_product_report").status_code == 404
    sandbox.advance(200)
    assert shop.get(f"{path}/new_product_report").status_code == 200
    sandbox.advance(8 * 86400)
    assert shop.get(f"{path}/new_product_report").status_code == 404
    assert shop.get(path).json()["has_new_product_report"] is False


def test_an_import_belongs_to_its_shop(shop: httpx.Client, operator: httpx.Client) -> None:
    path = p41(shop, GOOD)
    assert shop.get(path, params={"shop_id": 2001}).status_code == 404
    assert operator.get(path).status_code == 200
    assert shop.get("/api/products/imports/999999").status_code == 404


def test_the_list_of_imports_is_paged_sorted_and_filtered(sandbox: Sandbox, shop: httpx.Client) -> None:
    paths = []
    for _ in range(3):
        paths.append(int(p41(shop, GOOD).rpartition("/")[2]))
        sandbox.advance(200)

    def ids(**query: Any) -> list[int]:
        answer = shop.get("/api/products/imports", params=query)
        assert answer.status_code == 200, answer.text
        return [row["import_id"] for row in answer.json()["product_import_trackings"]]

    assert ids() == paths
    assert ids(order="desc") == paths[::-1]
    assert ids(max=1, offset=1) == paths[1:2]
    assert ids(status="COMPLETE") == paths[:2]
    since = sandbox.world.clock.iso(sandbox.world.clock.now() - 190)
    assert ids(last_request_date=since) == paths[1:]
    page = shop.get("/api/products/imports", params={"max": 1, "offset": 1})
    assert page.json()["total_count"] == 3
    links = {part.partition("; rel=")[2].strip('"'): part for part in page.headers["Link"].split(", ")}
    assert set(links) == {"previous", "next"}
    following = links["next"].partition(">")[0].strip("<")
    assert shop.get(following).json()["product_import_trackings"][0]["import_id"] == paths[2]
    for bad in (
        {"max": 101},
        {"status": "TRANSFORMATION_RUNNING"},
        {"order": "up"},
        {"last_request_date": "today"},
    ):
        assert shop.get("/api/products/imports", params=bad).status_code == 400  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("files", "data", "field"),
    [
        ({}, {"shop": "2000"}, "file"),
        ({"upload": ("p.csv", GOOD)}, {"shop": "2000"}, "file"),
        ({"file": ("p.csv", GOOD)}, {}, "shop"),
        ({"file": ("p.csv", GOOD)}, {"shop": "x"}, "shop"),
        ({"file": ("p.csv", GOOD)}, {"shop": "2000", "operator_format": "yes"}, "operator_format"),
        ({"file": ("p.csv", GOOD)}, {"shop": "2000", "conversion_type": "MAGIC"}, "conversion_type"),
    ],
)
def test_a_submission_that_lacks_something_names_it(
    operator: httpx.Client, files: dict[str, Any], data: dict[str, str], field: str
) -> None:
    answer = operator.post("/api/products/imports", files=files or {"other": ("x", "y")}, data=data)
    assert answer.status_code == 400
    assert field in answer.json()["message"]


@pytest.mark.mirakl_sandbox_settings(limits="published")
def test_frequencies_are_counted_by_seller_and_by_import(sandbox: Sandbox, operator: httpx.Client) -> None:
    first = p41(operator, GOOD, shop="2000")
    second = p41(operator, GOOD, shop="2001")
    again = operator.post("/api/products/imports", files={"file": ("p.csv", GOOD)}, data={"shop": "2000"})
    assert (again.status_code, again.headers["Retry-After"]) == (429, "900")
    assert [operator.get(path).status_code for path in (first, second, first)] == [200, 200, 429]
    assert [operator.get("/api/products/imports").status_code for _ in range(2)] == [200, 429]


@pytest.mark.mirakl_sandbox_settings(intervals={"P41": 5, "CM11": 7, "OF01": 9})
def test_a_frequency_that_depends_on_the_call_can_be_set_too(sandbox: Sandbox, shop: httpx.Client) -> None:
    p41(shop, GOOD)
    again = shop.post("/api/products/imports", files={"file": ("p.csv", GOOD)})
    assert (again.status_code, again.headers["Retry-After"]) == (429, "5")
    of01(shop, OFFER_HEAD + "O-1;SKU-001;SKU;10;5;11;\n")
    path = "/api/mcm/products/sources/status/export"
    assert [shop.get(path).status_code for _ in range(2)] == [200, 429]
    sandbox.advance(7)
    assert shop.get(path).status_code == 200
    p41(shop, GOOD)


# Catalog Manager


def test_cm21_repairs_what_is_desynchronized_and_not_what_is_stuck(
    sandbox: Sandbox, operator: httpx.Client
) -> None:
    states = {key: (row["synchronization"], row["stuck"]) for key, row in sandbox.master_products().items()}
    assert states["MKL-021"] == ("PENDING", False)
    assert states["MKL-031"] == ("INTEGRATION_ERRORS", False)
    assert states["MKL-040"] == ("PENDING", True)
    items = [{"mirakl_product_id": f"MKL-0{n}", "product_sku": f"SKU-0{n}"} for n in (21, 31, 40)]
    tracking = operator.post(SYNC, json=items).json()["tracking_id"]
    assert operator.get(f"{SYNC}/{tracking}/report").status_code == 404
    seen = []
    for _ in range(20):
        state = operator.get(f"{SYNC}/{tracking}").json()
        seen.append((state["status"], state["processed"]))
        sandbox.advance(5)
    assert list(dict.fromkeys(status for status, _ in seen)) == [
        "WAITING",
        "QUEUED",
        "RUNNING",
        "COMPLETE",
    ]
    assert [count for _, count in seen] == sorted(count for _, count in seen)
    assert {0, 1, 2, 3} == {count for _, count in seen}
    assert (state["succeeded"], state["failed"], state["has_report"]) == (2, 1, True)
    report = operator.get(f"{SYNC}/{tracking}/report").json()["processed_items"]
    assert [item["status"] for item in report] == ["SUCCESS", "SUCCESS", "FAILURE"]
    assert "locked" in report[2]["synchronization_errors"][0]["message"]
    after = sandbox.master_products()
    assert [after[item["mirakl_product_id"]]["synchronization"] for item in items] == [
        "SYNCHRONIZED",
        "SYNCHRONIZED",
        "PENDING",
    ]
    assert results(sandbox) == ["updated", "updated", "failed"]


FULL = {"category": "headphones", "shop_sku": "N-1", "title": "New", "ean": "2000000000999"}


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"product_sku": "N-1", "data": FULL}, ""),
        ({"mirakl_product_id": "MKL-001", "data": {"title": "Renamed"}}, ""),
        ({"mirakl_product_id": "MKL-001", "acceptance": {"status": "REJECTED", "reason_code": "X"}}, ""),
        ({"mirakl_product_id": "MKL-001", "operation": "DELETE"}, ""),
        ({"mirakl_product_id": "MKL-001", "acceptance": {"status": "REJECTED"}}, "needs a reason_code"),
        ({"mirakl_product_id": "MKL-001", "acceptance": {"status": "MAYBE"}}, "status MAYBE is unknown"),
        ({"mirakl_product_id": "MKL-001", "data": {"sky": "blue"}}, "sky is unknown"),
        ({"product_sku": "N-1", "data": {**FULL, "title": None}}, "title is required"),
        ({"product_sku": "N-1"}, "needs its data"),
        ({"mirakl_product_id": "nowhere", "product_sku": "N-1"}, "does not exist"),
        ({"mirakl_product_id": "MKL-001", "product_sku": "SKU-002"}, "belongs to the product MKL-002"),
        ({"mirakl_product_id": "MKL-001", "operation": "EXPLODE"}, "operation EXPLODE is unknown"),
        ({"data": {}}, "names neither"),
        ("MKL-001", "not an object"),
    ],
)
def test_every_use_of_cm21_and_its_errors(
    sandbox: Sandbox, operator: httpx.Client, item: Any, words: str
) -> None:
    tracking = operator.post(SYNC, json=[item]).json()["tracking_id"]
    sandbox.advance(100)
    (row,) = operator.get(f"{SYNC}/{tracking}/report").json()["processed_items"]
    messages = " ".join(error["message"] for error in row["synchronization_errors"])
    assert (row["status"], words in messages) == ("FAILURE" if words else "SUCCESS", True)
    if isinstance(item, dict) and item.get("product_sku") == "N-1" and not words:
        assert sandbox.master_products()[row["mirakl_product_id"]]["sku"] == "N-1"


def test_a_product_twice_in_one_cm21_fails_the_second_time(sandbox: Sandbox, operator: httpx.Client) -> None:
    item = {"mirakl_product_id": "MKL-021", "product_sku": "SKU-021"}
    tracking = operator.post(SYNC, json=[item, item]).json()["tracking_id"]
    sandbox.advance(100)
    report = operator.get(f"{SYNC}/{tracking}/report").json()["processed_items"]
    assert [row["status"] for row in report] == ["SUCCESS", "FAILURE"]


@pytest.mark.parametrize("body", [{"products": []}, [], "x", 5])
def test_the_body_of_cm21_is_a_bare_array(operator: httpx.Client, body: Any) -> None:
    assert operator.post(SYNC, json=body).status_code == 400


def test_cm21_is_not_for_sellers(shop: httpx.Client, front: httpx.Client) -> None:
    item = {"mirakl_product_id": "MKL-021", "product_sku": "SKU-021"}
    assert shop.post(SYNC, json=[item]).status_code == 403
    assert front.post(SYNC, json=[item]).status_code == 200


@pytest.mark.mirakl_sandbox_settings(cm21_max_items=2)
def test_the_size_of_cm21_can_be_limited(operator: httpx.Client) -> None:
    items = [{"mirakl_product_id": f"MKL-00{n}", "product_sku": f"SKU-00{n}"} for n in (1, 2, 3)]
    assert operator.post(SYNC, json=items).status_code == 400
    assert operator.post(SYNC, json=items[:2]).status_code == 200


def test_cm11_tells_why_a_product_is_not_live(
    sandbox: Sandbox, shop: httpx.Client, operator: httpx.Client
) -> None:
    path = "/api/mcm/products/sources/status/export"
    rejected = {
        "mirakl_product_id": "MKL-002",
        "acceptance": {"status": "REJECTED", "reason_code": "PICTURE"},
    }
    operator.post(SYNC, json=[rejected])
    sandbox.advance(100)
    found = {row["provider_unique_identifier"]: row for row in shop.get(path).json()}
    codes = {sku: [error["code"] for error in row["errors"]] for sku, row in found.items()}
    assert (found["SHOP-001"]["status"], codes["SHOP-001"]) == ("LIVE", [])
    assert codes["SHOP-002"] == ["MCM-04012"]
    assert codes["SHOP-021"] == ["MCM-0L000"]
    assert codes["SHOP-031"] == ["MCM-04000"]
    assert operator.get(path).status_code == 400
    one = operator.get(path, params={"provider_id": "2000", "unique_identifier": "EAN|4000000000005"}).json()
    assert [row["provider_unique_identifier"] for row in one] == ["SHOP-005"]
    assert operator.get(path, params={"provider_id": "2001"}).status_code == 204
    now = sandbox.world.clock.iso(sandbox.world.clock.now() - 30)
    changed = operator.get(path, params={"provider_id": "2000", "updated_since": now}).json()
    assert [row["provider_unique_identifier"] for row in changed] == ["SHOP-002"]


def test_cm51_filters_and_cm61_remembers(sandbox: Sandbox, operator: httpx.Client) -> None:
    path = "/api/mcm/products/export"

    def ids(**query: Any) -> list[str]:
        return [row["mirakl_product_id"] for row in operator.get(path, params=query).json()]

    assert len(ids()) == 40
    assert len(ids(synchronization_status="PENDING")) == 15
    assert ids(product_id="MKL-001,MKL-002") == ["MKL-001", "MKL-002"]
    assert ids(product_id=["MKL-001", "MKL-002"]) == ["MKL-001", "MKL-002"]
    assert ids(product_sku="SKU-003") == ["MKL-003"]
    assert ids(category="outdoor") == []
    assert operator.get(path, params={"synchronization_status": "FINE"}).status_code == 400
    assert operator.get("/api/mcm/products/deleted/export").status_code == 204
    operator.post(SYNC, json=[{"mirakl_product_id": "MKL-001", "operation": "DELETE"}])
    sandbox.advance(100)
    assert len(ids()) == 39
    gone = operator.get("/api/mcm/products/deleted/export").json()
    assert [row["mirakl_product_id"] for row in gone] == ["MKL-001"]
    text = operator.get("/api/mcm/products/deleted/export", headers={"Accept": "text/csv"}).text
    assert rows(text)[0]["mirakl-product-id"] == "MKL-001"
    table = rows(operator.get(path, headers={"Accept": "text/csv"}).text)
    errors = {row["mirakl-integration-errors"] for row in table} - {""}
    assert errors == {"PIM-17|The PIM refused the brand.|brand"}


def test_by_default_only_accepted_and_valid_products_are_exported(
    sandbox: Sandbox, operator: httpx.Client
) -> None:
    sandbox.arrange_master_products({"id": "MKL-001", "validation": "INVALID"})
    path, product = "/api/mcm/products/export", {"product_id": "MKL-001"}
    assert operator.get(path, params=product).json() == []
    assert len(operator.get(path, params=product | {"validation_status": "VALID,INVALID"}).json()) == 1


def test_an_export_comes_in_chunks_that_expire(sandbox: Sandbox, operator: httpx.Client) -> None:
    start = operator.post("/api/mcm/products/export/async", json={"items_per_chunk": 25})
    path = f"/api/mcm/products/export/async/status/{start.json()['tracking_id']}"
    assert operator.get(path).json()["status"] == "PENDING"
    sandbox.advance(75)
    urls = operator.get(path).json()["urls"]
    assert [len(operator.get(url).json()) for url in urls] == [25, 15]
    assert httpx.get(urls[0]).status_code == 401
    sandbox.advance(8 * 86400)
    assert operator.get(urls[0]).status_code == 404
    empty = operator.post("/api/mcm/products/export/async", json={"product_id": ["nothing"]}).json()[
        "tracking_id"
    ]
    sandbox.advance(75)
    assert operator.get(path.rpartition("/")[0] + f"/{empty}").json()["urls"] == []


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"acceptance_status": ["MAYBE"]},
        {"items_per_chunk": 0},
        {"export_type": "text/html"},
        {"updated_since": "x"},
    ],
)
def test_an_export_refuses_what_it_does_not_know(operator: httpx.Client, body: Any) -> None:
    assert operator.post("/api/mcm/products/export/async", json=body).status_code == 400


# Offers, stock, prices


def of01(client: httpx.Client, body: str, **data: str) -> str:
    data = {"import_mode": "NORMAL", **data}
    answer = client.post("/api/offers/imports", files={"file": ("offers.csv", body)}, data=data)
    assert answer.status_code == 201, answer.text
    return f"/api/offers/imports/{answer.json()['import_id']}"


def test_offers_are_created_changed_deleted_and_refused(sandbox: Sandbox, shop: httpx.Client) -> None:
    path = of01(
        shop,
        OFFER_HEAD
        + "O-1;SKU-001;SKU;10;5;11;\n"
        + "O-1;SKU-001;SKU;10;5;11;\n"
        + "O-2;nothing;SKU;10;5;11;\n"
        + "O-3;SKU-003;SKU;ten;5;11;\n"
        + "O-4;SKU-004;SKU;10;5;99;\n"
        + "O-5;;;;;;delete\n"
        + ";SKU-006;SKU;10;5;11;\n",
    )
    assert shop.get(path).json()["lines_in_pending"] == 0, "it waits, and has read nothing"
    sandbox.advance(45)
    state = shop.get(path).json()
    assert state["status"] == "RUNNING"
    assert state["lines_read"] + state["lines_in_pending"] == 7
    sandbox.advance(30)
    state = shop.get(path).json()
    assert (state["status"], state["offer_inserted"], state["lines_in_error"]) == ("COMPLETE", 1, 6)
    report = rows(shop.get(f"{path}/error_report").text)
    assert [row["error-line"] for row in report] == ["3", "4", "5", "6", "7", "8"]
    assert "unknown" in report[1]["error-message"]
    assert shop.get("/api/account").json()["offers_count"] == 1
    again = of01(shop, OFFER_HEAD + "O-1;SKU-001;SKU;12;0;11;\n")
    sandbox.advance(75)
    assert shop.get(again).json()["offer_updated"] == 1
    gone = of01(shop, OFFER_HEAD + "O-1;;;;;;delete\n")
    sandbox.advance(75)
    assert shop.get(gone).json()["offer_deleted"] == 1


def test_replace_deletes_what_the_file_does_not_name(sandbox: Sandbox, shop: httpx.Client) -> None:
    of01(shop, OFFER_HEAD + "O-1;SKU-001;SKU;10;5;11;\nO-2;SKU-002;SKU;10;5;11;\n")
    sandbox.advance(75)
    path = of01(shop, OFFER_HEAD + "O-2;SKU-002;SKU;11;5;11;\n", import_mode="REPLACE")
    sandbox.advance(75)
    assert shop.get(path).json()["offer_deleted"] == 1


def test_an_identical_offer_import_is_found_again_while_it_runs(sandbox: Sandbox, shop: httpx.Client) -> None:
    body = OFFER_HEAD + "O-1;SKU-001;SKU;10;5;11;\n"
    first = of01(shop, body)
    assert of01(shop, body) == first
    assert of01(shop, body.replace("10", "11")) != first
    sandbox.advance(200)
    assert of01(shop, body) != first


def test_offers_with_products_wait_for_their_products(sandbox: Sandbox, shop: httpx.Client) -> None:
    head = "category;title;ean;sku;product-id;product-id-type;price;quantity;state\n"
    body = head + "headphones;Both;2000000000777;O-1;2000000000777;EAN;10;5;11\n"
    answer = shop.post(
        "/api/offers/imports",
        files={"file": ("both.csv", body)},
        data={"import_mode": "NORMAL", "with_products": "true"},
    ).json()
    path = f"/api/offers/imports/{answer['import_id']}"
    assert shop.get(path).json()["status"] == "WAITING_SYNCHRONIZATION_PRODUCT"
    product = f"/api/products/imports/{answer['product_import_id']}"
    sandbox.advance(245)
    assert shop.get(product).json()["import_status"] == "COMPLETE"
    sandbox.advance(100)
    state = shop.get(path).json()
    assert (state["status"], state["offer_inserted"]) == ("COMPLETE", 1)
    assert [(row["operation"], row["result"]) for row in sandbox.ledger(item="O-1")] == [
        ("P41" if row["operation"] == "P41" else "OF01", "created") for row in sandbox.ledger(item="O-1")
    ]
    assert len(sandbox.ledger(item="O-1")) == 2


def test_offers_as_json(sandbox: Sandbox, shop: httpx.Client, operator: httpx.Client) -> None:
    offer = {
        "shop_sku": "J-1",
        "product_id": "SKU-001",
        "product_id_type": "SKU",
        "price": 9.5,
        "quantity": 2,
        "state_code": "11",
        "update_delete": "update",
    }
    answer = shop.post("/api/offers", json={"offers": [offer]})
    path = f"/api/offers/imports/{answer.json()['import_id']}"
    assert answer.headers["Location"].endswith(path)
    sandbox.advance(75)
    assert shop.get(path).json()["offer_inserted"] == 1
    bad = shop.post("/api/offers", json={"offers": [{**offer, "price": "9.5"}]})
    assert (bad.status_code, bad.json()["errors"][0]["field"]) == (400, "$.offers[0].price")
    assert operator.post("/api/offers", json={"offers": [offer]}).status_code == 400
    assert operator.post("/api/offers", params={"shop": 2001}, json={"offers": [offer]}).status_code == 201


@pytest.mark.mirakl_sandbox_settings(of24_fields="few", limits="off")
def test_an_update_without_product_and_a_delete_without_price(sandbox: Sandbox, shop: httpx.Client) -> None:
    offer = {
        "shop_sku": "O-1", "product_id": "MKL-001", "product_id_type": "MIRAKL_PRODUCT_ID", "price": 9.5,
        "state_code": "11", "update_delete": "",
    }  # fmt: skip
    update = {"shop_sku": "O-1", "price": 7, "state_code": "11", "quantity": 3}
    for body in (offer, update):
        assert shop.post("/api/offers", json={"offers": [body]}).status_code == 201
        sandbox.advance(100)
    stored = sandbox.call(lambda world: dict(world.part(Offers).offers["2000|O-1"]))
    assert (stored["product_sku"], stored["price"], stored["quantity"]) == ("SKU-001", 7, 3)
    answer = shop.post("/api/offers", json={"offers": [{"shop_sku": "O-1", "update_delete": "delete"}]})
    assert answer.status_code == 201
    sandbox.advance(100)
    assert sandbox.call(lambda world: world.part(Offers).offers["2000|O-1"]["deleted"])


@pytest.mark.mirakl_sandbox_settings(limits="published")
def test_json_offers_stock_and_prices_have_one_frequency_for_all_shops(
    sandbox: Sandbox, operator: httpx.Client
) -> None:
    offer = {
        "shop_sku": "O-1", "product_id": "MKL-001", "product_id_type": "MIRAKL_PRODUCT_ID", "price": 9.5,
        "state_code": "11", "update_delete": "",
    }  # fmt: skip
    for wait, status in ((0, 201), (0, 429), (60, 201)):
        sandbox.advance(wait)
        query = {"shop": 2001 if status == 429 else 2000}
        assert operator.post("/api/offers", params=query, json={"offers": [offer]}).status_code == status


def test_the_front_office_exports_offers(sandbox: Sandbox, shop: httpx.Client, front: httpx.Client) -> None:
    of01(shop, OFFER_HEAD + "O-1;SKU-001;SKU;10;5;11;\n")
    sandbox.advance(100)
    answer = front.post("/api/offers/export/async", json={"export_type": "application/json"})
    assert answer.status_code == 200
    sandbox.advance(200)
    status = front.get(f"/api/offers/export/async/status/{answer.json()['tracking_id']}").json()
    assert status["status"] == "COMPLETED"
    assert front.get(status["urls"][0]).status_code == 200


def test_inactive_offers_and_changes_are_two_exports(front: httpx.Client) -> None:
    body = {"last_request_date": "2026-01-01T00:00:00Z", "include_inactive_offers": True}
    assert front.post("/api/offers/export/async", json=body).status_code == 400


def test_stock_and_prices_reach_the_offers(sandbox: Sandbox, shop: httpx.Client) -> None:
    of01(shop, OFFER_HEAD + "O-1;SKU-001;SKU;10;5;11;\n")
    sandbox.advance(75)
    stock = "offer-sku;quantity;warehouse-code;update-delete\n"
    stock += "O-1;7;paris;\nO-1;2;lyon;\nO-1;1;lyon;\nO-9;1;;\nO-1;x;rome;\n"
    sent = shop.post("/api/offers/stock/imports", files={"file": ("s.csv", stock)})
    assert sent.headers["Location"].endswith("/status")
    price = "offer-sku;price;discount-price\nO-1;20;18\nO-1;cheap;\nO-9;5;\n"
    priced = shop.post("/api/offers/pricing/imports", files={"file": ("p.csv", price)}).json()
    sandbox.advance(75)
    state = shop.get(f"/api/offers/stock/imports/{sent.json()['import_id']}/status").json()
    assert (state["status"], state["lines_in_success"], state["lines_in_error"]) == ("COMPLETE", 2, 3)
    errors = rows(shop.get(f"/api/offers/stock/imports/{sent.json()['import_id']}/error_report").text)
    assert [row["error-line"] for row in errors] == ["4", "5", "6"]
    query = {"import_id": priced["import_id"]}
    (view,) = shop.get("/api/offers/pricing/imports", params=query).json()["data"]
    assert (view["offers_updated"], view["lines_in_error"]) == (1, 2)
    export = shop.post("/api/offers/export/async", json={"export_type": "application/json"}).json()[
        "tracking_id"
    ]
    sandbox.advance(75)
    (url,) = shop.get(f"/api/offers/export/async/status/{export}").json()["urls"]
    (offer,) = shop.get(url).json()
    assert (offer["quantity"], offer["prices"][0]["origin_price"], offer["prices"][0]["discount_price"]) == (
        9,
        20,
        18,
    )


def test_a_file_without_its_columns_fails_as_a_whole(sandbox: Sandbox, shop: httpx.Client) -> None:
    sent = shop.post("/api/offers/stock/imports", files={"file": ("s.csv", "sku;count\nO-1;1\n")}).json()
    sandbox.advance(75)
    assert shop.get(f"/api/offers/stock/imports/{sent['import_id']}/status").json()["status"] == "FAILED"
    path = of01(shop, "nothing\n1\n")
    sandbox.advance(75)
    assert "column sku" in shop.get(path).json()["reason_status"]


@pytest.mark.parametrize(
    ("sort", "newest_first"), [(None, True), ("dateCreated,DESC", True), ("dateCreated,ASC", False)]
)
def test_the_list_of_offer_imports_is_paged_by_tokens(
    sandbox: Sandbox, shop: httpx.Client, sort: str | None, newest_first: bool
) -> None:
    made = []
    for price in range(5):
        made.append(int(of01(shop, OFFER_HEAD + f"O-1;SKU-001;SKU;{price};5;11;\n").rpartition("/")[2]))
        sandbox.advance(10)
    found: list[int] = []
    query: dict[str, Any] = {"limit": 2, "mode": "NORMAL", "origins": ["API", "FTP"]}
    pages = []
    if sort is not None:
        query["sort"] = sort
    while True:
        page = shop.get("/api/offers/imports", params=query).json()
        pages.append(page)
        found += [row["import_id"] for row in page["data"]]
        if "next_page_token" not in page:
            break
        query = {"page_token": page["next_page_token"]}
    assert found == (made[::-1] if newest_first else made)
    back = shop.get("/api/offers/imports", params={"page_token": page["previous_page_token"]}).json()
    assert back["data"] == pages[-2]["data"]
    assert shop.get("/api/offers/imports", params={"sort": "lastUpdated"}).status_code == 400
    assert shop.get("/api/offers/imports", params={"mode": "REPLACE"}).json()["data"] == []


def test_the_csv_of_an_offer_export_can_be_chosen_and_renamed(sandbox: Sandbox, shop: httpx.Client) -> None:
    of01(shop, OFFER_HEAD + "O-1;SKU-001;SKU;10;5;11;\nO-2;SKU-002;SKU;10;0;11;\n")
    sandbox.advance(75)
    body = {"include_fields": ["shop-sku", "price"], "rename_fields": {"shop-sku": "sku"}}
    tracking = shop.post("/api/offers/export/async", json=body).json()["tracking_id"]
    sandbox.advance(75)
    (url,) = shop.get(f"/api/offers/export/async/status/{tracking}").json()["urls"]
    assert rows(shop.get(url).text) == [{"sku": "O-1", "price": "10.0"}]


# Faults of jobs


@pytest.mark.parametrize("status", ["FAILED", "CANCELLED", "TRANSFORMATION_FAILED"])
def test_a_job_can_be_ordered_to_fail(sandbox: Sandbox, shop: httpx.Client, status: str) -> None:
    sandbox.fault("fail_job", operation="P41", status=status)
    path = p41(shop, GOOD)
    sandbox.advance(400)
    state = shop.get(path).json()
    assert state["import_status"] == status
    assert state["reason_status"]
    assert results(sandbox) == ["failed", "failed"]


def test_a_job_can_be_lost(sandbox: Sandbox, operator: httpx.Client) -> None:
    sandbox.fault("lost", operation="CM21")
    tracking = operator.post(SYNC, json=[{"mirakl_product_id": "MKL-021", "product_sku": "SKU-021"}]).json()[
        "tracking_id"
    ]
    sandbox.advance(86400)
    assert operator.get(f"{SYNC}/{tracking}").json()["status"] == "WAITING"


def test_a_synchronization_can_read_only_a_part(sandbox: Sandbox, operator: httpx.Client) -> None:
    sandbox.fault("partial_read", operation="CM21")
    items = [{"mirakl_product_id": f"MKL-02{n}", "product_sku": f"SKU-02{n}"} for n in range(1, 5)]
    tracking = operator.post(SYNC, json=items).json()["tracking_id"]
    sandbox.advance(100)
    state = operator.get(f"{SYNC}/{tracking}").json()
    assert (state["partial_read"], state["processed"]) == (True, 2)
    report = operator.get(f"{SYNC}/{tracking}/report").json()
    assert (len(report["processed_items"]), len(report["global_errors"])) == (2, 1)
    assert results(sandbox) == ["updated", "updated", "lost", "lost"]


def test_an_export_can_fail(sandbox: Sandbox, operator: httpx.Client, shop: httpx.Client) -> None:
    sandbox.fault("fail_job", times=2)
    first = operator.post("/api/mcm/products/export/async", json={}).json()["tracking_id"]
    second = shop.post("/api/offers/export/async", json={}).json()["tracking_id"]
    sandbox.advance(100)
    failed = operator.get(f"/api/mcm/products/export/async/status/{first}").json()
    assert (failed["status"], "message" in failed["error"]) == ("FAILED", True)
    failed = shop.get(f"/api/offers/export/async/status/{second}").json()
    assert (failed["status"], "detail" in failed["error"]) == ("FAILED", True)


def test_jobs_and_products_survive_a_restart(tmp_path: Any) -> None:
    headers = {"Authorization": "sandbox-shop-key"}
    state = tmp_path / "state"
    with Sandbox(clock="stepped", limits="off", state=state) as sandbox:
        with httpx.Client(base_url=sandbox.mirakl_url, headers=headers) as shop:
            path = p41(shop, GOOD)
            of01(shop, OFFER_HEAD + "O-1;SKU-001;SKU;10;5;11;\n")
        sandbox.put_document(2000, "BANK_DETAILS", "a.pdf", b"%PDF")
        with httpx.Client(
            base_url=sandbox.mirakl_url, headers={"Authorization": "sandbox-operator-key"}
        ) as operator:
            first = operator.post("/api/mcm/products/export/async", json={}).json()["tracking_id"]
        sandbox.fault("status", operation="P42")
        sandbox.advance(100)
        born = sandbox.world.clock.iso(0)
    with Sandbox(clock="stepped", limits="off", state=state) as sandbox:
        sandbox.advance(300)
        assert sandbox.world.clock.iso(0) == born
        with httpx.Client(
            base_url=sandbox.mirakl_url, headers={"Authorization": "sandbox-operator-key"}
        ) as operator:
            second = operator.post("/api/mcm/products/export/async", json={}).json()["tracking_id"]
            assert (
                operator.get(f"/api/mcm/products/export/async/status/{first}").json()["status"] == "COMPLETED"
            )
        assert second != first
        with httpx.Client(base_url=sandbox.mirakl_url, headers=headers) as shop:
            assert shop.get(path).status_code == 503
            assert shop.get(path).json()["import_status"] == "COMPLETE"
            assert shop.get(f"{path}/new_product_report").status_code == 200
            assert len(shop.get("/api/shops/documents").json()["shop_documents"]) == 1
        assert len(sandbox.master_products()) == 42
        jobs = httpx.get(f"{sandbox.url}/_sandbox/jobs").json()["jobs"]
        assert [(job["kind"], job["status"]) for job in jobs] == [
            ("P41", "COMPLETE"),
            ("OF01", "COMPLETE"),
            ("CM52", "COMPLETED"),
            ("CM52", "PENDING"),
        ]
