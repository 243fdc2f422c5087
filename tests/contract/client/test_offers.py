"""The check of offers knows every field of Mirakl's document with its type, and no other."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from pydantic import BaseModel

from airflow_provider_mirakl.api.offers import REQUIRED_OFFER_FIELDS
from airflow_provider_mirakl.checks.offers import (
    _MODELS,
    AdditionalField,
    Offer,
    _Object,
    check_offer,
)
from tests.contract.client.conftest import FILES, described, load

TYPES = {
    "string": "str",
    "integer": "int",
    "number with decimals": "float",
    "number": "float",
    "boolean": "bool",
}


def models(model: type[BaseModel]) -> set[type[BaseModel]]:
    """A model and those inside it."""
    found = {model}

    def walk(annotation: Any) -> None:
        if isinstance(annotation, type) and issubclass(annotation, _Object):
            found.update(models(annotation))
        for part in get_args(annotation):
            walk(part)

    for field in model.model_fields.values():
        walk(field.annotation)
    return found


def compare(document: dict[str, Any], schema: dict[str, Any], model: type[BaseModel]) -> None:
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    # The value of a custom field has no schema of its own: it depends on the type beside it.
    untyped = {"value"} if model is AdditionalField else set()
    assert set(schema["properties"]) == set(model.model_fields) - untyped, model
    for name, declared in schema["properties"].items():
        inner = declared
        if "$ref" in inner:
            inner = document["components"]["schemas"][inner["$ref"].rpartition("/")[2]]
        annotation = str(model.model_fields[name].annotation)
        if inner.get("type") == "array":
            assert "list[" in annotation
            compare(document, inner["items"], _MODELS[name])
        elif inner.get("type") == "object" or "properties" in inner:
            compare(document, inner, _MODELS[name])
        elif name == "update_delete":
            assert "Literal" in annotation
        elif "type" in inner:
            assert TYPES[inner["type"]] in annotation, name
    if model is not Offer:
        required = {name for name, field in model.model_fields.items() if field.is_required()}
        assert required == set(schema.get("required", ()))


@pytest.mark.parametrize("role", ["shop", "operator"])
def test_the_offer_is_that_of_the_document(role: str) -> None:
    document = next(document for document in map(load, FILES[role]) if "/offers" in str(document["paths"]))
    body = described(role, "OF24").operation["requestBody"]["content"]["application/json"]["schema"]
    document = described(role, "OF24").document
    if "$ref" in body:
        body = document["components"]["schemas"][body["$ref"].rpartition("/")[2]]
    schema = body["properties"]["offers"]["items"]
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    compare(document, schema, Offer)
    assert set(schema["required"]) == set(REQUIRED_OFFER_FIELDS)
    assert models(Offer) - {Offer} == set(_MODELS.values())


@pytest.mark.parametrize("role", ["shop", "operator"])
def test_the_published_examples_pass_but_for_their_quoted_numbers(role: str) -> None:
    """The example writes some numbers as texts, against the types beside it."""
    content = described(role, "OF24").operation["requestBody"]["content"]["application/json"]
    examples = [
        example["value"] for name, example in content.get("examples", {}).items() if not name.endswith("auto")
    ]
    for example in examples:
        for offer in example["offers"]:
            faults = [str(problem) for problem in check_offer(offer)]
            assert all(fault.endswith("write it without quotes") for fault in faults), faults
