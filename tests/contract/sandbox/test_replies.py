"""Every reply of the sandbox is valid against Mirakl's own OpenAPI document of the role that asked."""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
import yaml

from airflow_provider_mirakl.sandbox import Sandbox
from airflow_provider_mirakl.sandbox.generate import product
from airflow_provider_mirakl.sandbox.operations import OPERATIONS

Client = Callable[[str], httpx.Client]

SHARED = Path(os.environ.get("MIRAKL_SHARED") or Path(__file__).parents[4] / "shared")
FILES = {
    "connect": ("mirakl-connect-openapi.yaml",),
    "shop": ("mirakl-mcm-seller-openapi.json", "mirakl-mmp-seller-openapi.json"),
    "operator": ("mirakl-mcm-operator-openapi.json", "mirakl-mmp-operator-openapi.json"),
    "front": ("mirakl-mcm-front-openapi.yaml",),
}
FORMATS = jsonschema.FormatChecker(())


@FORMATS.checks("date-time")
def _utc(value: object) -> bool:
    """Mirakl provides all dates in UTC with a trailing Z."""
    return (
        not isinstance(value, str)
        or re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", value) is not None
    )


_WORDS = re.compile(r'`"([^"`]+)"`')


@cache
def document(name: str) -> dict[str, Any]:
    """A document as it is."""
    path = SHARED / "openapi" / name
    text = path.read_text(encoding="utf-8")
    return dict(json.loads(text) if name.endswith("json") else yaml.load(text, yaml.CSafeLoader))


@cache
def operations(role: str) -> dict[str, tuple[str, str, dict[str, Any], str]]:
    """Operation code: method, path, operation, document."""
    found = {}
    for name in FILES[role]:
        for path, methods in document(name)["paths"].items():
            for method, operation in methods.items():
                if isinstance(operation, dict) and "operationId" in operation:
                    found.setdefault(operation["operationId"], (method.upper(), path, operation, name))
    return found


def _stricter(schema: Any, *, closed: bool = True) -> Any:
    """The same schema, but it knows the enumerations of the descriptions and refuses fields that are not described."""
    if isinstance(schema, list):
        return [_stricter(element, closed=closed) for element in schema]
    if not isinstance(schema, dict):
        return schema
    open_ends = ("allOf", "oneOf", "anyOf", "discriminator")
    result = {
        key: value
        if key in ("properties", "example", "examples")
        else _stricter(value, closed=key not in open_ends)
        for key, value in schema.items()
    }
    if isinstance(schema.get("properties"), dict):
        result["properties"] = {name: _stricter(value) for name, value in schema["properties"].items()}
        if closed and "additionalProperties" not in schema and not any(end in schema for end in open_ends):
            result["additionalProperties"] = False
    words = str(schema.get("description", "")).partition("Enum:")[2].partition("Deprecated")[0]
    if schema.get("type") == "string" and _WORDS.findall(words):
        deprecated = _WORDS.findall(str(schema["description"]).partition("Deprecated values:")[2])
        result["enum"] = [*_WORDS.findall(words), *deprecated]
    return result


def _composed(value: Any) -> Iterator[str]:
    """Schemas that are a part of another one, so that they do not know all of its fields."""
    if isinstance(value, list):
        for element in value:
            yield from _composed(element)
    elif isinstance(value, dict):
        for key, element in value.items():
            if key in ("allOf", "oneOf", "anyOf"):
                yield from (part["$ref"].rpartition("/")[2] for part in element if "$ref" in part)
            yield from _composed(element)


@cache
def components(name: str) -> dict[str, Any]:
    """The schemas of a document, stricter, and with known mistakes corrected."""
    schemas: dict[str, Any] = copy.deepcopy(document(name)["components"]["schemas"])
    for title, schema in schemas.items():
        properties = schema.get("properties", {})
        if title.startswith(("Attribute", "CustomAttribute")) and "value" in properties:
            properties["value"] = {}
        if "data" in properties and "additionalProperties" in properties["data"]:
            properties["data"] = {"type": "object"}
    schemas.get("S32_Response_200_Documents", {}).get("properties", {})["input"] = {}  # only in the sample
    composed = set(_composed(document(name)))
    return {
        title: _stricter(schema, closed=title not in composed and "discriminator" not in schema)
        for title, schema in schemas.items()
    }


def validate(name: str, schema: dict[str, Any], value: Any) -> list[str]:
    """What is wrong with a value."""
    root = {**_stricter(schema), "components": {"schemas": components(name)}}
    errors = jsonschema.Draft202012Validator(root, format_checker=FORMATS).iter_errors(value)
    return [f"{error.json_path}: {error.message[:200]}" for error in errors]


def judge(role: str, code: str, reply: httpx.Response) -> list[str]:
    """What is wrong with a reply, by the document of the role."""
    _, _, operation, name = operations(role)[code]
    responses = operation["responses"]
    if str(reply.status_code) not in responses:
        return [f"status {reply.status_code} is not declared, only {', '.join(responses)}"]
    declared = responses[str(reply.status_code)]
    missing = [header for header in declared.get("headers", {}) if header not in reply.headers]
    problems = [f"header {header} is missing" for header in missing]
    content = declared.get("content", {})
    media_type = reply.headers.get("Content-Type", "").partition(";")[0]
    if not content:
        return problems
    if media_type not in content:
        return [*problems, f"{media_type} is not declared, only {', '.join(content)}"]
    schema = content[media_type]["schema"]
    if media_type == "application/json":
        problems += validate(name, schema, reply.json())
    return problems


GOOD = "category;shop_sku;title;ean;brand\n"
CSV = GOOD + "headphones;A-1;One;2000000000001;nordlys\nheadphones;A-2;Two;2000000000002;akeba\n"
BAD = CSV + "headphones;A-2;Again;2000000000003;akeba\nheadphones;A-4;;2000000000004;nobody\n"
OFFERS = (
    "sku;product-id;product-id-type;price;quantity;state\n"
    "O-1;SKU-001;SKU;10.5;3;11\nO-2;SKU-002;SKU;7;1;11\nO-3;nothing;SKU;7;1;11\n"
)
#: Paths that Mirakl's documents do not publish; the facts sheet, section 4, has them from Mirakl's SDK.
UNPUBLISHED = {
    "CM21", "CM22", "CM23", "CM51", "CM52", "CM53", "CM54", "CM61", "S20", "OF54",
    # On Mirakl's pages, not in its documents here.
    "OR11", "OR13", "OR14", "OR15", "TL02", "TL03", "TL04", "TL05", "IV01", "RT11", "M11",
}  # fmt: skip
ROLES = ("shop", "operator", "front")


def parts(role: str, name: str, **fields: str) -> dict[str, str]:
    return fields if role == "shop" else {**fields, name: "2000"}


class Book:
    """Sends calls, and judges every answer."""

    def __init__(self, role: str, client: httpx.Client) -> None:
        self.role = role
        self.client = client
        self.seen: set[str] = set()

    def call(self, code: str, method: str, path: str, schema: str = "", **request: Any) -> httpx.Response:
        answer = self.client.request(method, path, **request)
        assert answer.status_code < 300, f"{code}: {answer.status_code} {answer.text}"
        if code in operations(self.role):
            assert judge(self.role, code, answer) == [], code
        elif schema:
            name = (
                "mirakl-mcm-operator-openapi.json"
                if self.role == "operator"
                else "mirakl-mcm-front-openapi.yaml"
            )
            body = answer.json()
            reference = {"$ref": f"#/components/schemas/{schema}"}
            wanted = {"type": "array", "items": reference} if isinstance(body, list) else reference
            assert validate(name, wanted, body) == [], code
        self.seen.add(code)
        return answer


def test_connect(sandbox: Sandbox, client: Client) -> None:
    book = Book("connect", client("connect"))
    products = [product(index) for index in range(30)]
    book.call("upsertProducts", "POST", "/api/products", json={"products": products})
    sandbox.advance(20)
    first = book.call("listProducts", "GET", "/api/products", params={"limit": 10}).json()
    middle = book.call(
        "listProducts", "GET", "/api/products", params={"page_token": first["next_page_token"]}
    ).json()
    assert {"next_page_token", "previous_page_token"} <= middle.keys()
    assert first["data"] + middle["data"] == products[:20]
    book.call("deleteProducts", "DELETE", "/api/products", json={"products": [{"id": "SKU-0000001"}]})


REFERENCE = (
    ("PC01", "/api/platform/configuration"),
    ("CH11", "/api/channels"),
    ("CUR01", "/api/currencies"),
    ("L01", "/api/locales"),
    ("RO02", "/api/users/shops/roles"),
    ("AF01", "/api/additional_fields"),
    ("AF01", "/api/additional_fields?entities=SHOP,OFFER"),
    ("DO01", "/api/documents"),
    ("DO01", "/api/documents?entities=SHOP"),
    ("H11", "/api/hierarchies"),
    ("H11", "/api/hierarchies?hierarchy=electronics&max_level=1"),
    ("PM11", "/api/products/attributes"),
    ("PM11", "/api/products/attributes?hierarchy=smartphones"),
    ("VL11", "/api/values_lists"),
    ("VL11", "/api/values_lists?code=colors"),
)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("code", "path"), REFERENCE)
def test_platform_settings(client: Client, role: str, code: str, path: str) -> None:
    Book(role, client(role)).call(code, "GET", path)


def test_the_seller_s_shop(client: Client) -> None:
    book = Book("shop", client("shop"))
    book.call("V01", "GET", "/api/version")
    book.call("A01", "GET", "/api/account")
    book.call("A21", "GET", "/api/account/statistics", params={"periods": "LAST_MONTH,LAST_YEAR"})
    good = {"description": None, "email": "new@example.com", "closed_from": "2027-01-01T00:00:00Z"}
    good["shop_additional_fields"] = [{"code": "segment", "value": "M"}]  # type: ignore[assignment]
    assert book.call("A02", "PUT", "/api/account", json=good).json()["errors"] == []
    bad = book.call("A02", "PUT", "/api/account", json={"shop_name": None, "channels": ["MOON"]}).json()
    assert [error["field"] for error in bad["errors"]] == ["shop_name", "channels"]
    book.call("A01", "GET", "/api/account")


def test_the_operator_s_list_of_shops(client: Client) -> None:
    book = Book("operator", client("operator"))
    answer = book.call("S20", "GET", "/api/shops", params={"max": 1}, schema="S20_Response_200")
    assert 'rel="next"' in answer.headers["Link"]


@pytest.mark.parametrize("role", ROLES)
def test_documents(sandbox: Sandbox, client: Client, role: str) -> None:
    book = Book(role, client(role))
    files = [("files", ("a.pdf", b"%PDF")), ("files", ("b.pdf", b"%PDF"))]
    wanted = [
        {"file_name": "a.pdf", "type_code": "BANK_DETAILS"},
        {"file_name": "b.pdf", "type_code": "NOTHING"},
    ]
    data = {"shop_documents": json.dumps({"shop_documents": wanted}), **parts(role, "shop_id")}
    answer = book.call("S32", "POST", "/api/shops/documents", files=files, data=data).json()
    assert answer["errors_count"] == 1
    query = {} if role == "shop" else {"shop_ids": "2000"}
    (row,) = book.call("S30", "GET", "/api/shops/documents", params=query).json()["shop_documents"]
    book.call("S31", "GET", "/api/shops/documents/download", params={"document_ids": row["id"]})
    book.call("S31", "GET", "/api/shops/documents/download", params=query)
    book.call("S33", "DELETE", f"/api/shops/documents/{row['id']}")
    if role != "shop":
        deleted = {**query, "include_deleted": "true"}
        rows = book.call("S30", "GET", "/api/shops/documents", params=deleted).json()["shop_documents"]
        assert "date_deleted" in rows[0]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("operator_format", ["true", "false"])
@pytest.mark.parametrize("body", [CSV, BAD, ""], ids=["good", "bad", "empty"])
def test_product_imports(
    sandbox: Sandbox, client: Client, role: str, operator_format: str, body: str
) -> None:
    book = Book(role, client(role))
    data = {"operator_format": operator_format, **parts(role, "shop"), "conversion_type": "AI_CONVERTER"}
    answer = book.call("P41", "POST", "/api/products/imports", files={"file": ("p.csv", body)}, data=data)
    path = f"/api/products/imports/{answer.json()['import_id']}"
    assert answer.headers["Location"].endswith(path)
    for _ in range(16):
        state = book.call("P42", "GET", path).json()
        book.call("P51", "GET", "/api/products/imports", params={"max": 5})
        sandbox.advance(20)
    assert state["import_status"] == ("COMPLETE" if body else state["import_status"])
    reports = {
        "has_error_report": ("P44", "error_report"),
        "has_new_product_report": ("P45", "new_product_report"),
        "has_transformed_file": ("P46", "transformed_file"),
        "has_transformation_error_report": ("P47", "transformation_error_report"),
    }
    for flag, (code, suffix) in reports.items():
        if state[flag]:
            book.call(code, "GET", f"{path}/{suffix}")
        else:
            assert book.client.get(f"{path}/{suffix}").status_code == 404


@pytest.mark.parametrize("role", ["shop", "operator"])
def test_offers_stock_and_prices(sandbox: Sandbox, client: Client, role: str) -> None:
    book = Book(role, client(role))
    data = {"import_mode": "NORMAL", **parts(role, "shop")}
    offers = book.call("OF01", "POST", "/api/offers/imports", files={"file": ("o.csv", OFFERS)}, data=data)
    path = f"/api/offers/imports/{offers.json()['import_id']}"
    offer = {
        "shop_sku": "O-9",
        "product_id": "SKU-003",
        "product_id_type": "SKU",
        "price": 3,
        "state_code": "11",
        "update_delete": "",
    }
    query = {} if role == "shop" else {"shop": "2000"}
    book.call("OF24", "POST", "/api/offers", json={"offers": [offer]}, params=query)
    for _ in range(5):
        book.call("OF02", "GET", path)
        book.call("OF04", "GET", "/api/offers/imports", params={"limit": 1})
        sandbox.advance(40)
    state = book.call("OF02", "GET", path).json()
    assert (state["lines_in_success"], state["lines_in_error"]) == (2, 1)
    book.call("OF03", "GET", f"{path}/error_report")
    stock = "offer-sku;quantity;warehouse-code;update-delete\nO-1;5;;\nO-7;5;;\n"
    sent = book.call(
        "STO01",
        "POST",
        "/api/offers/stock/imports",
        files={"file": ("s.csv", stock)},
        data=parts(role, "shop_id"),
    )
    price = "offer-sku;price;discount-price\nO-1;12;11\nO-7;5;\n"
    priced = book.call(
        "PRI01",
        "POST",
        "/api/offers/pricing/imports",
        files={"file": ("p.csv", price)},
        data=parts(role, "shop"),
    )
    stock_path = f"/api/offers/stock/imports/{sent.json()['import_id']}"
    key = priced.json()["import_id"]
    for _ in range(4):
        book.call("STO02", "GET", f"{stock_path}/status")
        book.call("PRI02", "GET", "/api/offers/pricing/imports", params={"import_id": key})
        sandbox.advance(30)
    assert book.call("STO02", "GET", f"{stock_path}/status").json()["lines_in_error"] == 1
    book.call("STO03", "GET", f"{stock_path}/error_report")
    book.call("PRI03", "GET", f"/api/offers/pricing/imports/{key}/error_report")
    for kind in ("text/csv", "application/json"):
        tracking = book.call("OF52", "POST", "/api/offers/export/async", json={"export_type": kind}).json()
        status = f"/api/offers/export/async/status/{tracking['tracking_id']}"
        book.call("OF53", "GET", status)
        sandbox.advance(75)
        (url,) = book.call("OF53", "GET", status).json()["urls"]
        answer = book.client.get(url)
        assert answer.headers["Content-Type"] == kind
        if kind == "application/json":
            name = "mirakl-mmp-seller-openapi.json" if role == "shop" else "mirakl-mmp-operator-openapi.json"
            schema = operations(role)["OF54"][2]["responses"]["200"]["content"][kind]["schema"]
            items = schema.get("items", schema)
            assert [problem for element in answer.json() for problem in validate(name, items, element)] == []


def test_orders_transactions_and_offers_of_a_marketplace(sandbox: Sandbox, client: Client) -> None:
    """An order of OR11 is one of OR15, a line of TL02 one of TL05: the documents have the files only."""
    name = "mirakl-mmp-seller-openapi.json"
    book = Book("shop", client("shop"))
    book.call(
        "OF01",
        "POST",
        "/api/offers/imports",
        files={"file": ("o.csv", OFFERS)},
        data={"import_mode": "NORMAL"},
    )
    sandbox.advance(200)
    assert book.call("OF21", "GET", "/api/offers", params={"max": 5}).json()["total_count"] > 0
    sandbox.add_marketplace_rows("orders", 3)
    sandbox.add_marketplace_rows("transactions", 3)
    schemas = components(name)
    exports = (
        ("orders", "/api/orders", "OR15_Response_200_Ext_FileStructure_Orders", "/api/orders/async-export"),
        (
            "data",
            "/api/sellerpayment/transactions_logs",
            "TL05_Response_200_Ext_FileStructure",
            "/api/sellerpayment/transactions_logs/async",
        ),
    )
    for field, path, schema, submit in exports:
        listed = book.client.get(path).json()[field]
        body = {"start_update_date": "2020-01-01T00:00:00Z", "end_update_date": "2100-01-01T00:00:00Z"}
        sent = book.client.post(submit, json=body if field == "orders" else {}).json()
        sandbox.advance(100)
        status = book.client.get(f"{submit}/status/{sent['tracking_id']}").json()
        (url,) = status["urls"]
        exported = book.client.get(url).json()[field]
        assert len(listed) == len(exported) == 3
        for row in (*listed, *exported):
            assert validate(name, schemas[schema], row) == []


@pytest.mark.parametrize("role", ["operator", "front"])
def test_catalog_manager(sandbox: Sandbox, client: Client, role: str) -> None:
    book = Book(role, client(role))
    items = [
        {"mirakl_product_id": "MKL-021", "product_sku": "SKU-021"},
        {
            "mirakl_product_id": "MKL-001",
            "integration_errors": [{"code": "X", "message": "no", "attribute_code": "brand"}],
        },
        {"mirakl_product_id": "MKL-002", "acceptance": {"status": "REJECTED", "reason_code": "PICTURE"}},
        {"mirakl_product_id": "MKL-003", "operation": "DELETE"},
        {"mirakl_product_id": "nothing", "product_sku": "x"},
    ]
    sync = "/api/mcm/products/synchronization"
    sent = book.call("CM21", "POST", sync, schema="CM21_Response_200", json=items).json()
    path = f"{sync}/{sent['tracking_id']}"
    for _ in range(5):
        book.call("CM22", "GET", path, schema="CM22_Response_200")
        sandbox.advance(20)
    state = book.call("CM22", "GET", path, schema="CM22_Response_200").json()
    assert (state["status"], state["succeeded"], state["failed"]) == ("COMPLETE", 4, 1)
    book.call("CM23", "GET", f"{path}/report", schema="CM23_Response_200")
    element = "CM51_Response_200_Ext_FileStructure"
    # One of the 39 that are left was rejected, and by default only accepted products are exported.
    assert len(book.call("CM51", "GET", "/api/mcm/products/export", schema=element).json()) == 38
    states = {"acceptance_status": "ACCEPTED,REJECTED,NEW,CHANGES_REQUESTED,TO_REVIEW"}
    every = book.call("CM51", "GET", "/api/mcm/products/export", params=states, schema=element)
    assert len(every.json()) == 39
    book.call("CM61", "GET", "/api/mcm/products/deleted/export", schema="CM61_Response_200_Ext_FileStructure")
    book.call("CM11", "GET", "/api/mcm/products/sources/status/export", params={"provider_id": "2000"})
    book.call("CM11", "GET", "/api/mcm/products/sources/status/export", params={"provider_id": "77"})
    tracking = book.call(
        "CM52", "POST", "/api/mcm/products/export/async", schema="CM52_Response_200", json={}
    ).json()
    status = f"/api/mcm/products/export/async/status/{tracking['tracking_id']}"
    book.call("CM53", "GET", status, schema="CM53_Response_200")
    sandbox.advance(75)
    (url,) = book.call("CM53", "GET", status, schema="CM53_Response_200").json()["urls"]
    book.call("CM54", "GET", url, schema="CM54_Response_200_Ext_FileStructure")


def test_the_csv_exports_have_columns_that_mirakl_names(sandbox: Sandbox, client: Client) -> None:
    name = "mirakl-mcm-operator-openapi.json"
    operator = client("operator")
    csv = {"Accept": "text/csv"}
    header = operator.get("/api/mcm/products/export", headers=csv).text.splitlines()[0]
    known = components(name)["CM51_Response_200_TextCsv_Ext_FileStructure"]["properties"]
    columns = [column.strip('"') for column in header.split(";") if "mirakl-" in column]
    assert columns
    assert set(columns) <= set(known)
    attributes = operator.get("/api/products/attributes", headers=csv)
    assert judge("operator", "PM11", attributes) == []
    schema = operations("operator")["PM11"][2]["responses"]["200"]["content"]["text/csv"]["schema"]
    columns = [column.strip('"') for column in attributes.text.splitlines()[0].split(";")]
    declared = schema.get("properties") or components(name)[schema["$ref"].rpartition("/")[2]]["properties"]
    plain = {column.partition("[")[0] for column in declared}
    assert {column.partition("[")[0] for column in columns} <= plain


@pytest.mark.parametrize(
    "operation",
    [
        operation
        for operation in OPERATIONS
        if operation.system == "connect"
        or (operation.system == "mirakl" and operation.code not in UNPUBLISHED)
    ],
    ids=lambda operation: operation.code,
)
def test_the_table_of_operations_agrees_with_mirakl_s_documents(operation: Any) -> None:
    if operation.system == "connect":
        method, path, declared, _ = operations("connect")[operation.code]
        assert (method, f"/api{path}") == (operation.method, operation.path)
        assert declared["security"] == [{"Bearer": [operation.scope]}]
        return
    roles = {role for role in ROLES if operation.code in operations(role)}
    for role in roles:
        method, path, declared, _ = operations(role)[operation.code]
        assert (method, path) == (operation.method, operation.path)
        body = tuple((declared.get("requestBody") or {}).get("content", ()))
        assert body == operation.consumes
    # Mirakl publishes no document of the Marketplace for the front office, which may export offers too.
    roles |= {"front"} if operation.code in ("OF52", "OF53", "OF54") else set()
    assert operation.roles == (set() if operation.code == "V01" else roles)


def test_connects_own_examples_are_accepted(client: Client) -> None:
    """Two are known slips: amounts as texts and an attribute value that is an object; dates in a standard price."""
    schema = document("mirakl-connect-openapi.yaml")["paths"]["/products"]["post"]["requestBody"]
    connect = client("connect")
    refused = {}
    for name, example in schema["content"]["application/json"]["examples"].items():
        answer = connect.post("/api/products", json=example["value"])
        if answer.status_code != 202:
            refused[name] = sorted(error["field"].rpartition(".")[2] for error in answer.json()["errors"])
    assert set(refused) == {"application/json-0", "application/json-auto"}
    assert set(refused["application/json-0"]) == {"start_date", "end_date"}


@pytest.mark.parametrize(
    "change",
    [
        {"id": "x" * 257},
        {"id": ""},
        {"brand": None},
        {"brand": 5},
        {"gtins": None},
        {"gtins": []},
        {"gtins": [{"value": "12345678901234"}]},
        {"gtins": [{"value": "123456789012"}]},
        {"titles": None},
        {"titles": [{"locale": "en", "value": "x" * 256}]},
        {"images": [{"url": "ftp://x"}]},
        {"images": [{"url": "http://x"}] * 16},
        {"category": None},
        {"category": {"id": None, "labels": []}},
        {"category": {"id": "a"}},
        {"quantities": []},
        {"quantities": [{"available_quantity": 1, "warehouse_code": ""}]},
        {"quantities": [{"available_quantity": 5.0}]},
        {"quantities": [{"available_quantity": 5.5}]},
        {"standard_prices": [{"price": {"amount": -1, "currency": "EUR"}}]},
        {"standard_prices": [{"price": {"amount": 0, "currency": "EUR"}, "scope": None}]},
        {"discount_prices": None},
        {"partner_quantities": [{"available_quantity": 1}]},
        {"attributes": [{"id": "a", "name": "a", "value": "x"}]},
        {"nothing": 1},
    ],
    ids=str,
)
def test_connect_judges_a_request_as_mirakl_s_schema_does(client: Client, change: dict[str, Any]) -> None:
    body = {"products": [{**product(1), **change}]}
    content = document("mirakl-connect-openapi.yaml")["paths"]["/products"]["post"]["requestBody"]["content"]
    problems = validate("mirakl-connect-openapi.yaml", content["application/json"]["schema"], body)
    answer = client("connect").post("/api/products", json=body)
    assert answer.status_code == (400 if problems else 202), problems or answer.text
