"""Every call for documents, shops and platform settings is one that Mirakl's OpenAPI documents describe, by role."""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jsonschema
import pytest
import yaml

from airflow_provider_mirakl.api import documents, platform, shops
from airflow_provider_mirakl.api.call import Call, Multipart, Reply

SHARED = Path(os.environ.get("MIRAKL_SHARED") or Path(__file__).parents[4] / "shared")
FILES = {
    "shop": "mirakl-mcm-seller-openapi.json",
    "operator": "mirakl-mcm-operator-openapi.json",
    "front": "mirakl-mcm-front-openapi.yaml",
}
INTERVALS = {"Once per day": 86_400.0, "Every hour": 3_600.0}

pytestmark = [
    pytest.mark.contract,
    pytest.mark.skipif(
        not (SHARED / "openapi").is_dir(), reason="Mirakl's OpenAPI documents are not beside the project"
    ),
]


@cache
def document(role: str) -> dict[str, Any]:
    text = (SHARED / "openapi" / FILES[role]).read_text(encoding="utf-8")
    return dict(json.loads(text) if FILES[role].endswith("json") else yaml.load(text, yaml.CSafeLoader))


@cache
def described(role: str) -> dict[str, tuple[str, str, dict[str, Any]]]:
    return {
        operation["operationId"]: (method.upper(), path, operation)
        for path, methods in document(role)["paths"].items()
        for method, operation in methods.items()
        if isinstance(operation, dict) and "operationId" in operation
    }


SINCE = datetime.now(UTC) - timedelta(days=3)
UPLOADS = [
    documents.Upload("kbis.pdf", "BUSINESS_REGISTRATION", b"%PDF"),
    documents.Upload("Ausweis Müller.png", "IDENTITY_PROOF", b"PNG"),
]
OF_A_MARKETPLACE = [
    lambda role: documents.list_documents(
        role, shop_ids=[2000, 2001], updated_since=SINCE, include_deleted=True
    ),
    lambda role: documents.list_documents(role, updated_since=SINCE),
    lambda role: documents.download_documents(role, shop_ids=[2000, 2001], type_codes=["A", "B"]),
    lambda role: documents.download_documents(role, document_ids=[1, 2]),
    lambda role: documents.upload_documents(role, UPLOADS, shop_id=2000),
    lambda role: documents.delete_document(role, 7, shop_id=2000),
    lambda role: documents.list_document_types(role, entities=["SHOP", "ORDER"]),
]
OF_A_SELLER = [
    lambda role: documents.list_documents(role),
    lambda role: documents.list_documents(role, shop_ids=[2000]),
    lambda role: documents.download_documents(role),
    lambda role: documents.download_documents(role, shop_ids=[2000], document_ids=[1, 2], type_codes=["A"]),
    lambda role: documents.upload_documents(role, UPLOADS),
    lambda role: documents.upload_documents(role, UPLOADS, shop_id=2000),
    lambda role: documents.delete_document(role, 7, shop_id=2000),
    lambda role: documents.list_document_types(role, shop_id=2000),
    lambda role: shops.get_account(shop_id=2000),
    lambda role: shops.update_account({"email": "a@example.com", "closed_from": SINCE}, shop_id=2000),
    lambda role: shops.get_statistics(periods=["LAST_YEAR"], channel_code="INIT", shop_id=2000),
    lambda role: platform.get_version(),
    lambda role: platform.list_attributes(all_operator_attributes=True, with_roles=True, shop_id=2000),
]
OF_ALL = [
    lambda role: platform.get_platform_configuration(),
    lambda role: platform.list_additional_fields(entities=["SHOP", "OFFER"]),
    lambda role: platform.list_channels(),
    lambda role: platform.list_currencies(),
    lambda role: platform.list_locales(),
    lambda role: platform.list_shop_roles(),
    lambda role: platform.list_hierarchies(hierarchy="shoes", max_level=2),
    lambda role: platform.list_attributes(hierarchy="shoes", max_level=2, with_roles=False),
    lambda role: platform.list_values_lists(code="colours"),
]
CALLS = (
    [("shop", make) for make in OF_A_SELLER + OF_ALL]
    + [(role, make) for role in ("operator", "front") for make in OF_A_MARKETPLACE + OF_ALL]
    + [
        (role, lambda role: platform.list_attributes(channels=["INIT", "B"]))
        for role in ("operator", "front")
    ]
)


@pytest.mark.parametrize(("role", "make"), CALLS)
def test_the_call_is_as_described(role, make):
    call: Call[Any] = make(role)
    method, path, operation = described(role)[call.operation.code]
    target = urlsplit(call.target)
    assert call.operation.method == method
    assert re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), target.path), (target.path, path)
    declared = {entry["name"]: entry for entry in operation.get("parameters", ()) if entry["in"] == "query"}
    sent = parse_qsl(target.query)
    assert {name for name, _ in sent} <= set(declared)
    assert {name for name, entry in declared.items() if entry.get("required")} <= {name for name, _ in sent}
    for name in {name for name, _ in sent}:
        # A list goes out repeated only where an array is declared, else in one parameter.
        if declared[name]["schema"]["type"] != "array":
            assert [key for key, _ in sent].count(name) == 1
    for name, value in sent:
        kind = declared[name]["schema"]["type"]
        if kind == "integer":
            assert value.isdecimal()
        if kind == "boolean":
            assert value in ("true", "false")


@pytest.mark.parametrize("role", FILES)
def test_the_body_of_an_upload_is_as_described(role):
    call = documents.upload_documents(role, UPLOADS, shop_id=2000)
    body = call.body
    assert isinstance(body, Multipart)
    schema = described(role)["S32"][2]["requestBody"]["content"]["multipart/form-data"]["schema"]
    names = [part.name for part in body.parts]
    assert set(schema["required"]) == set(names)
    assert names.count("files") == len(UPLOADS)
    assert ("shop_id" in names) == (role != "shop")
    descriptor = next(part for part in body.parts if part.name == "shop_documents")
    assert descriptor.content_type == "application/json"
    assert isinstance(descriptor.content, bytes)
    target = schema["properties"]["shop_documents"]["$ref"]
    jsonschema.Draft7Validator({"$ref": target, **document(role)}).validate(json.loads(descriptor.content))


def test_the_body_of_a_shop_update_is_as_described():
    schema = described("shop")["A02"][2]["requestBody"]["content"]["application/json"]["schema"]
    while "$ref" in schema:
        schema = document("shop")["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    assert set(shops.NULLABLE) == set(schema["properties"])
    assert schema["properties"]["recycling_policy"]["maxLength"] == shops.MAX_RECYCLING_POLICY
    assert schema["properties"]["producer_identifiers"]["maxItems"] == shops.MAX_PRODUCER_IDENTIFIERS


@pytest.mark.parametrize("role", FILES)
def test_intervals_are_the_published_ones(role):
    ours = {
        value.code: value
        for module in (documents, platform, shops)
        for value in vars(module).values()
        if hasattr(value, "interval")
    }
    checked = 0
    for code, (method, path, operation) in described(role).items():
        if code in ours:
            said = re.search(r"Maximum usage: ([^<]*)", operation.get("description") or "")
            assert ours[code].interval == INTERVALS.get(said[1] if said else "", 0.0), code
            assert (ours[code].method, ours[code].path) == (method, path)
            checked += 1
    assert checked >= 14


SAMPLES = {
    ("shop", "S30"): documents.list_documents("shop"),
    ("operator", "S30"): documents.list_documents("operator", shop_ids=[1]),
    ("front", "S30"): documents.list_documents("front", shop_ids=[1]),
    ("shop", "S32"): documents.upload_documents("shop", UPLOADS),
    ("operator", "S32"): documents.upload_documents("operator", UPLOADS, shop_id=1),
    ("shop", "DO01"): documents.list_document_types("shop"),
    ("operator", "DO01"): documents.list_document_types("operator"),
    ("shop", "A01"): shops.get_account(),
    ("shop", "A02"): shops.update_account({"fax": None}),
    ("shop", "A21"): shops.get_statistics(),
    ("shop", "AF01"): platform.list_additional_fields(),
    ("shop", "CH11"): platform.list_channels(),
    ("shop", "CUR01"): platform.list_currencies(),
    ("shop", "L01"): platform.list_locales(),
    ("shop", "RO02"): platform.list_shop_roles(),
    ("shop", "H11"): platform.list_hierarchies(),
    ("shop", "PM11"): platform.list_attributes(),
    ("shop", "VL11"): platform.list_values_lists(),
    ("shop", "PC01"): platform.get_platform_configuration(),
}


@pytest.mark.parametrize(("role", "code"), SAMPLES)
def test_the_published_samples_can_be_read(role, code):
    content = described(role)[code][2]["responses"]["200"]["content"]["application/json"]
    samples = [example["value"] for example in content["examples"].values()]
    assert samples
    for sample in samples:
        read = SAMPLES[role, code].parse(Reply(code, 200, {}, json.dumps(sample).encode()))
        if code == "S30":
            listed = sample["shop_documents"]
            assert [document.id for document in read] == [entry["id"] for entry in listed]
            assert [document.shop_id for document in read] == [entry.get("shop_id") for entry in listed]
            assert [document.type for document in read] == [entry["type"] for entry in listed]
        if code == "S32":
            # One sample names the list "documents", the other "shop_documents".
            entries = sample.get("documents") or sample.get("shop_documents")
            assert len(read.refused) == len(entries)
            assert read.refused[0].faults[0].code == entries[0]["errors"][0]["code"]
        if code == "A02":
            assert len(read.errors) == len(sample["errors"])
            assert (read.updated is None) == (sample["updated"] is None)
        if isinstance(read, list) and code != "S30":
            assert read
