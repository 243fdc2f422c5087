"""Every call for documents, shops and platform settings is one that Mirakl's OpenAPI documents describe, by role."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_mirakl.api import documents, platform, shops
from airflow_provider_mirakl.api.call import Multipart, Reply

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
def test_the_call_is_as_mirakl_describes_it(judge: Any, role: str, make: Any) -> None:
    assert judge.faults(role, make(role)) == []


@pytest.mark.parametrize("role", documents.VARIANTS)
def test_the_parts_of_an_upload(judge: Any, role: str) -> None:
    body = documents.upload_documents(role, UPLOADS, shop_id=2000).body
    assert isinstance(body, Multipart)
    names = [part.name for part in body.parts]
    assert names.count("files") == len(UPLOADS)
    assert ("shop_id" in names) == (role != "shop")
    descriptor = next(part for part in body.parts if part.name == "shop_documents")
    # Mirakl's own curl sample sends it so.
    assert descriptor.content_type == "application/json"


def test_the_fields_of_a_shop_update_are_those_described(judge: Any) -> None:
    there = judge.described("shop", "A02")
    schema = there.operation["requestBody"]["content"]["application/json"]["schema"]
    while "$ref" in schema:
        schema = there.document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    assert set(shops.NULLABLE) == set(schema["properties"])
    assert schema["properties"]["recycling_policy"]["maxLength"] == shops.MAX_RECYCLING_POLICY
    assert schema["properties"]["producer_identifiers"]["maxItems"] == shops.MAX_PRODUCER_IDENTIFIERS


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
def test_the_published_samples_can_be_read(judge: Any, role: str, code: str) -> None:
    bodies = [body for _, body in judge.described(role, code).samples()]
    assert bodies
    for body in bodies:
        sample = json.loads(body)
        read = SAMPLES[role, code].parse(Reply(code, 200, {}, body))
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
