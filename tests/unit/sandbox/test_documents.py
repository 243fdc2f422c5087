"""Shop documents S30 to S33, the shop itself, platform settings."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from airflow_provider_mirakl.sandbox import Sandbox

pytestmark = pytest.mark.mirakl_sandbox_settings(limits="off")
PATH = "/api/shops/documents"
PDF = b"%PDF-1.7 sandbox"


def describe(*pairs: tuple[str, str]) -> dict[str, Any]:
    return {"shop_documents": [{"file_name": name, "type_code": code} for name, code in pairs]}


def upload(client: httpx.Client, *pairs: tuple[str, str], part: str = "files", **data: str) -> httpx.Response:
    files: list[tuple[str, Any]] = [(part.format(n), (name, PDF)) for n, (name, _) in enumerate(pairs)]
    files.append(("shop_documents", (None, json.dumps(describe(*pairs)), "application/json")))
    return client.post(PATH, files=files, data=data)


def names(client: httpx.Client, **query: Any) -> list[str]:
    return [row["file_name"] for row in client.get(PATH, params=query).json()["shop_documents"]]


@pytest.mark.parametrize("part", ["files", "files[]", "files[{}]"])
def test_parts_may_be_named_and_ordered_in_every_way(shop: httpx.Client, part: str) -> None:
    answer = upload(shop, ("a.pdf", "BANK_DETAILS"), ("b.png", "IDENTITY_PROOF"), part=part)
    assert answer.json() == {"errors_count": 0, "documents": []}
    assert names(shop) == ["a.pdf", "b.png"]


def test_the_descriptor_may_come_first_as_xml_or_as_flat_fields(shop: httpx.Client) -> None:
    xml = (
        "<body><shop_documents><shop_document><file_name>a.pdf</file_name><type_code>BANK_DETAILS</type_code>"
        "</shop_document></shop_documents></body>"
    )
    first = shop.post(PATH, files=[("shop_documents", (None, xml)), ("files", ("a.pdf", PDF))])
    assert first.json()["errors_count"] == 0
    flat = {
        "shop_documents[shop_documents][0][file_name]": "b.pdf",
        "shop_documents[shop_documents][0][type_code]": "INSURANCE",
    }
    second = shop.post(PATH, files=[("files[0]", ("b.pdf", PDF))], data=flat)
    assert second.json()["errors_count"] == 0
    assert names(shop) == ["a.pdf", "b.pdf"]


def test_a_200_may_hold_an_error_per_document(sandbox: Sandbox, shop: httpx.Client) -> None:
    upload(shop, ("old.pdf", "INSURANCE"))
    wanted = describe(
        ("good.pdf", "BANK_DETAILS"),
        ("type.pdf", "NO_SUCH_TYPE"),
        ("missing.pdf", "IDENTITY_PROOF"),
        ("empty.pdf", "BUSINESS_REGISTRATION"),
        ("again.pdf", "INSURANCE"),
        ("virus.exe", "PRICE_LIST"),
        ("good.pdf", "PRICE_LIST"),
        ("../up.csv", "PRICE_LIST"),
    )
    files: list[tuple[str, Any]] = [
        ("files", (name, PDF))
        for name in ("good.pdf", "type.pdf", "again.pdf", "virus.exe", "../up.csv", "stray.pdf")
    ]
    files += [("files", ("empty.pdf", b"")), ("shop_documents", (None, json.dumps(wanted)))]
    body = shop.post(PATH, files=files).json()
    codes = {
        row["input"]["file_name"]: {error["code"] for error in row["errors"]} for row in body["documents"]
    }
    assert body["errors_count"] == 8
    assert "valid_shop_document.type" in codes["type.pdf"]
    assert "valid_shop_document.file" in codes["missing.pdf"]
    assert "valid_shop_document.file" in codes["empty.pdf"]
    assert "valid_shop_document.unique_type" in codes["again.pdf"]
    assert "valid_shop_document.mime_type" in codes["virus.exe"]
    assert "valid_shop_document.file_name" in codes["../up.csv"]
    assert "stray.pdf" in codes
    assert names(shop) == ["old.pdf", "good.pdf"]
    assert [row["result"] for row in sandbox.ledger()][1:] == ["created", *["failed"] * 7]


@pytest.mark.mirakl_sandbox_settings(upload_errors_key="both", limits="off")
def test_the_error_list_can_have_both_names(shop: httpx.Client) -> None:
    body = upload(shop, ("a.pdf", "NO_SUCH_TYPE")).json()
    assert body["documents"] == body["shop_documents"]


@pytest.mark.parametrize(
    "request_",
    [
        {"files": [("files", ("a.pdf", PDF))]},
        {"files": [("files", ("a.pdf", PDF)), ("shop_documents", (None, "{"))]},
        {"files": [("files", ("a.pdf", PDF)), ("shop_documents", (None, "<body>"))]},
        {"files": [("files", ("a.pdf", PDF)), ("shop_documents", (None, '{"other": []}'))]},
        {"content": b"no parts", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        {"content": b"no parts", "headers": {"Content-Type": "multipart/form-data"}},
    ],
)
def test_an_upload_that_cannot_be_read_is_refused(shop: httpx.Client, request_: dict[str, Any]) -> None:
    answer = shop.post(PATH, **request_)
    assert (answer.status_code, answer.json()["status"]) == (400, 400)
    assert names(shop) == []


def test_an_upload_must_be_multipart(shop: httpx.Client) -> None:
    assert shop.post(PATH, json={}).status_code == 415


def test_limits_of_fifty(sandbox: Sandbox, shop: httpx.Client) -> None:
    too_many = [(f"{n}.pdf", "PRICE_LIST") for n in range(51)]
    assert upload(shop, *too_many).status_code == 400
    for n in range(50):
        sandbox.put_document(2000, f"OLD_{n}", f"{n}.pdf", PDF)
    body = upload(shop, ("new.pdf", "BANK_DETAILS")).json()
    assert body["documents"][0]["errors"][0]["code"] == "valid_shop_document.limit"


def test_an_operator_names_the_shop(operator: httpx.Client, front: httpx.Client) -> None:
    assert upload(operator, ("a.pdf", "BANK_DETAILS")).status_code == 400
    assert upload(operator, ("a.pdf", "BANK_DETAILS"), shop_id="1").status_code == 404
    assert upload(operator, ("a.pdf", "BANK_DETAILS"), shop_id="2002").status_code == 400
    assert upload(front, ("a.pdf", "BANK_DETAILS"), shop_id="2001").status_code == 200
    assert names(operator, shop_ids="2000,2001") == ["a.pdf"]
    assert operator.get(PATH).status_code == 400
    assert operator.get(PATH, params={"shop_ids": "x"}).status_code == 400


def test_an_operator_lists_by_date_and_with_deleted_ones(
    sandbox: Sandbox, shop: httpx.Client, operator: httpx.Client
) -> None:
    upload(shop, ("a.pdf", "BANK_DETAILS"))
    sandbox.advance(3600)
    since = sandbox.world.clock.iso(sandbox.world.clock.now() - 60)
    upload(shop, ("b.pdf", "INSURANCE"))
    assert names(operator, updated_since=since) == ["b.pdf"]
    first = shop.get(PATH).json()["shop_documents"][0]["id"]
    assert shop.delete(f"{PATH}/{first}").status_code == 204
    assert shop.delete(f"{PATH}/{first}").status_code == 404
    assert names(operator, shop_ids="2000") == ["b.pdf"]
    assert names(operator, shop_ids="2000", include_deleted="true") == ["a.pdf", "b.pdf"]
    assert names(operator, updated_since=since, include_deleted="true") == ["a.pdf", "b.pdf"]
    sandbox.advance(91 * 86400)
    assert operator.get(PATH, params={"updated_since": since}).status_code == 400


def test_one_id_is_the_file_and_everything_else_a_zip(
    sandbox: Sandbox, shop: httpx.Client, operator: httpx.Client
) -> None:
    ids = [
        sandbox.put_document(2000, "BANK_DETAILS", "scan.pdf", b"one"),
        sandbox.put_document(2000, "INSURANCE", "scan.pdf", b"two"),
        sandbox.put_document(2001, "INSURANCE", "été.pdf", b"three"),
    ]
    single = shop.get(f"{PATH}/download", params={"document_ids": ids[0]})
    assert (single.content, single.headers["Content-Type"]) == (b"one", "application/octet-stream")
    assert 'filename="scan.pdf"' in single.headers["Content-Disposition"]

    def content(client: httpx.Client, **query: Any) -> dict[str, bytes]:
        answer = client.get(f"{PATH}/download", params=query)
        assert answer.status_code == 200, answer.text
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    assert content(shop) == {"2000/scan.pdf": b"one", "2000/scan(1).pdf": b"two"}
    assert content(shop, type_codes="INSURANCE") == {"2000/scan.pdf": b"two"}
    assert content(operator, document_ids=f"{ids[0]},{ids[2]}") == {
        "2000/scan.pdf": b"one",
        "2001/été.pdf": b"three",
    }
    assert content(operator, shop_ids="2001") == {"2001/été.pdf": b"three"}
    name = operator.get(f"{PATH}/download", params={"document_ids": ids[2]}).headers["Content-Disposition"]
    assert "filename*=UTF-8''%C3%A9t%C3%A9.pdf" in name


def test_a_download_is_all_or_nothing(sandbox: Sandbox, shop: httpx.Client, operator: httpx.Client) -> None:
    mine = sandbox.put_document(2000, "BANK_DETAILS", "a.pdf", PDF)
    other = sandbox.put_document(2001, "BANK_DETAILS", "b.pdf", PDF)
    download = f"{PATH}/download"
    assert shop.get(download, params={"document_ids": f"{mine},{other}"}).status_code == 404
    assert shop.get(download, params={"document_ids": "999"}).status_code == 404
    assert shop.get(download, params={"type_codes": "NO_SUCH_TYPE"}).status_code == 404
    assert operator.get(download, params={"shop_ids": "1"}).status_code == 404
    assert operator.get(download).status_code == 400


def test_a_hostile_name_can_be_put_for_tests_of_clients(sandbox: Sandbox, shop: httpx.Client) -> None:
    query = {"shop": 2000, "type": "INSURANCE", "name": "../../etc/passwd"}
    assert httpx.post(f"{sandbox.url}/_sandbox/documents", params=query, content=b"x").status_code == 201
    archive = zipfile.ZipFile(io.BytesIO(shop.get(f"{PATH}/download").content))
    assert archive.namelist() == ["2000/../../etc/passwd"]


# The shop and the platform


def test_a02_changes_what_it_can_and_tells_the_rest(shop: httpx.Client) -> None:
    change = {
        "shop_name": "Renamed",
        "email": "nobody",
        "web_site": None,
        "is_professional": None,
        "address": {"city": "Lille"},
        "closed_from": "tomorrow",
    }
    body = shop.put("/api/account", json=change).json()
    assert {error["field"] for error in body["errors"]} == {"email", "is_professional", "closed_from"}
    assert (body["updated"]["shop_name"], body["updated"]["address"]["city"]) == ("Renamed", "Lille")
    after = shop.get("/api/account").json()
    assert (after["shop_name"], after["contact_informations"]["city"]) == ("Renamed", "Lille")
    assert "web_site" not in after["contact_informations"]


def test_a02_erases_an_additional_field_without_value(shop: httpx.Client) -> None:
    shop.put("/api/account", json={"shop_additional_fields": [{"code": "segment", "value": "M"}]})
    assert [field["value"] for field in shop.get("/api/account").json()["shop_additional_fields"]] == ["M"]
    shop.put("/api/account", json={"shop_additional_fields": [{"code": "segment"}]})
    assert shop.get("/api/account").json()["shop_additional_fields"] == []


@pytest.mark.mirakl_sandbox_settings(limits="off", locked_shop_fields=frozenset({"shop_name"}))
def test_a02_respects_what_the_operator_locked(shop: httpx.Client) -> None:
    body = shop.put("/api/account", json={"shop_name": "Renamed"}).json()
    assert body["errors"][0]["code"] == "shop.field_locked"
    assert shop.get("/api/account").json()["shop_name"] != "Renamed"


def test_a02_refuses_what_is_no_shop(shop: httpx.Client) -> None:
    assert shop.put("/api/account", json=[]).status_code == 400
    assert shop.put("/api/account", json={"shop_nme": "x"}).status_code == 400


def test_settings_can_be_narrowed(shop: httpx.Client) -> None:
    assert {
        row["entity"] for row in shop.get("/api/documents", params={"entities": "SHOP"}).json()["documents"]
    } == {"SHOP"}
    assert shop.get("/api/documents", params={"entities": "MOON"}).status_code == 400
    codes = [
        row["code"]
        for row in shop.get("/api/hierarchies", params={"hierarchy": "home"}).json()["hierarchies"]
    ]
    assert codes == ["home", "coffee-makers", "desk-lamps"]
    assert shop.get("/api/hierarchies", params={"hierarchy": "moon"}).status_code == 404
    attributes = shop.get("/api/products/attributes", params={"hierarchy": "smartphones"}).json()[
        "attributes"
    ]
    assert "battery" in [row["code"] for row in attributes]
    assert "volume" not in [row["code"] for row in attributes]
    assert shop.get("/api/values_lists", params={"code": "moons"}).status_code == 404
    assert shop.get("/api/account/statistics", params={"periods": "TOMORROW"}).status_code == 400


@pytest.mark.parametrize(
    "path", ["/api/orders/documents", "/api/offers/5", "/api/products/offers", "/api/messages", "/mmp/shop"]
)
def test_what_is_not_offered_is_mirakl_s_404(shop: httpx.Client, path: str) -> None:
    answer = shop.get(path)
    assert (answer.status_code, answer.json()["status"]) == (404, 404)


@pytest.mark.mirakl_sandbox_settings(limits="off", clock="running", speed=3600)
def test_a_window_of_dates_is_the_callers_however_fast_the_clock(operator: httpx.Client) -> None:
    week_ago = datetime.now(UTC) - timedelta(days=7)
    query = {"updated_since": week_ago.strftime("%Y-%m-%dT%H:%M:%SZ")}
    assert operator.get(PATH, params=query).status_code == 200


def test_a_client_that_asks_for_json_with_every_call_gets_its_files(
    sandbox: Sandbox, shop: httpx.Client
) -> None:
    """An API client often sends one set of headers with every call, downloads included."""
    upload(shop, ("a.pdf", "BANK_DETAILS"))
    document = shop.get(PATH).json()["shop_documents"][0]["id"]
    headers = {"Accept": "application/json"}
    answer = shop.get(f"{PATH}/download", params={"document_ids": document}, headers=headers)
    assert (answer.status_code, answer.content) == (200, PDF)
    files = {"file": ("p.csv", b"category;sku\nheadphones;1")}
    job = shop.post("/api/products/imports", files=files, data={"operator_format": "false"}).json()[
        "import_id"
    ]
    sandbox.advance(3600)
    report = shop.get(f"/api/products/imports/{job}/transformation_error_report", headers=headers)
    assert report.status_code == 200
    assert report.headers["content-type"].startswith("application/octet-stream")
    missing = shop.get(f"/api/products/imports/{job}/new_product_report", headers=headers)
    assert (missing.status_code, missing.headers["content-type"]) == (404, "application/json")
