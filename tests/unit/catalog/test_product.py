"""The checks on one product: what is taken, and that the decoder and the walk never disagree."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_mirakl.catalog.product import (
    Checker,
    OpenProduct,
    Product,
    ProductIdentifier,
    RowError,
    content_hash,
)

CHECKER = Checker(Product)


def accepted(row: bytes, checker: Checker[Any] = CHECKER) -> bool:
    try:
        checker.check(row)
    except RowError:
        return False
    return True


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"titles": None, "descriptions": None, "brand": None, "category": None, "images": None},
        {"attributes": None, "discount_prices": None},
        {"gtins": [], "titles": [], "images": [], "attributes": []},
        {"id": "x" * 256, "brand": "x" * 255, "titles": [{"locale": "de", "value": ""}]},
        {"id": "日本🇯🇵 \\u0000 as text"},
        {"gtins": [{"value": "12345670"}, {"value": "123456789012"}, {"value": "1234567890128"}]},
        {"category": {"id": None, "labels": []}},
        {"images": [{"url": "http://a"}] * 15},
        {"quantities": [{"available_quantity": 0}, {"available_quantity": 1_000_000_000}]},
        {"standard_prices": [{"price": {"amount": 0, "currency": "EUR"}, "scope": None}]},
    ],
)
def test_good_products(fields: dict[str, Any], product: Callable[..., Any]) -> None:
    row = json.dumps(product(**fields)).encode()
    assert CHECKER.check(row).id == product(**fields)["id"]
    assert CHECKER.problems(row) == []


@pytest.mark.parametrize(
    ("field", "entry", "limit"),
    [
        ("titles", {"locale": "en", "value": "x"}, 10),
        ("descriptions", {"locale": "en", "value": "x"}, 10),
        ("gtins", {"value": "12345670"}, 10),
        ("images", {"url": "https://x"}, 15),
        ("attributes", {"id": "a", "name": "a", "type": "STRING", "value": "x"}, 1000),
        ("quantities", {"available_quantity": 1}, 20),
        ("partner_quantities", {"available_quantity": 1, "partner_id": "p"}, 20),
        ("standard_prices", {"price": {"amount": 1, "currency": "EUR"}}, 10),
        ("discount_prices", {"price": {"amount": 1, "currency": "EUR"}}, 10),
    ],
)
def test_lists_have_limits(field: str, entry: dict[str, Any], limit: int) -> None:
    assert accepted(json.dumps({"id": "A", field: [entry] * limit}).encode())
    (problem,) = CHECKER.problems(json.dumps({"id": "A", field: [entry] * (limit + 1)}).encode())
    assert str(problem) == f"id 'A', {field}: has {limit + 1} entries; Connect accepts at most {limit}"


@pytest.mark.parametrize(
    ("row", "limit"),
    [
        ({"titles": [{"locale": "en", "value": "x" * 256}]}, 255),
        ({"descriptions": [{"locale": "en", "value": "x" * 6001}]}, 6000),
        ({"category": {"id": "x" * 256, "labels": []}}, 255),
        ({"attributes": [{"id": "a", "name": "x" * 256, "type": "BOOLEAN", "value": True}]}, 255),
        ({"attributes": [{"id": "a", "name": "a", "type": "STRING", "value": "x" * 2001}]}, 2000),
        ({"standard_prices": [{"price": {"amount": 1, "currency": "EUR"}, "scope": "x" * 256}]}, 255),
    ],
)
def test_texts_have_limits(row: dict[str, Any], limit: int) -> None:
    (problem,) = CHECKER.problems(json.dumps({"id": "A", **row}).encode())
    assert problem.message == f"has {limit + 1} characters; Connect accepts at most {limit}"
    assert accepted(json.dumps({"id": "A", **row}).replace("x" * (limit + 1), "x" * limit).encode())


@pytest.mark.parametrize(
    "more",
    [
        {"weight": 5},
        {"titles": [{"locale": "en", "value": "x", "more": 1}]},
        {"category": {"id": "C", "labels": [{"locale": "en", "value": "c"}], "level": {"deep": [1, None]}}},
        {"attributes": [{"id": "a", "type": "POINT_CLOUD", "value": [1, 2]}]},
        {"attributes": [{"id": "b", "name": "b", "type": "STRING", "value": "x", "unit": "m"}]},
        {"standard_prices": [{"price": {"amount": 1, "currency": "EUR", "net": True}}]},
    ],
)
def test_unknown_fields_and_types_of_attributes_pass_where_they_are_asked_for(more: dict[str, Any]) -> None:
    row = json.dumps({"id": "A"} | more).encode()
    checker = Checker(OpenProduct)
    assert accepted(row, checker)
    assert checker.problems(row) == []
    assert not accepted(row)
    # What this package does not know is part of what the product says: a change of it is sent again.
    said = {content_hash(checker.check(data), data) for data in (row, b'{"id":"A"}')}
    assert len(said) == 2


def test_a_change_deep_in_an_unknown_field_is_a_change() -> None:
    checker = Checker(OpenProduct)
    rows = [
        json.dumps({"id": "A", "titles": [{"locale": "en", "value": "x", "more": {"a": [number]}}]}).encode()
        for number in (1, 2, 1)
    ]
    first, second, third = (content_hash(checker.check(row), row) for row in rows)
    assert first == third != second


def test_known_fields_are_checked_beside_unknown_ones() -> None:
    checker = Checker(OpenProduct)
    row = {"id": "A", "weight": 5, "attributes": [{"id": "a", "type": "NEW", "value": 1}], "brand": 7}
    (problem,) = checker.problems(json.dumps(row).encode())
    assert problem.field == "brand"
    assert not accepted(b'{"id":"A","titles":[{"locale":"en","value":"x","more":"\\u0000"}]}', checker)
    assert not accepted(b'{"id":"A","attributes":[{"id":"a","value":1}]}', checker)


def test_an_identifier_is_taken_from_any_row() -> None:
    assert accepted(b'{"id":"A","brand":5}', CHECKERS[ProductIdentifier])
    assert not accepted(b'{"brand":5}', CHECKERS[ProductIdentifier])


@pytest.mark.contract
def test_the_limits_are_those_of_the_published_document(request: pytest.FixtureRequest) -> None:
    """Every limit of the OpenAPI document stands in the types, and no other."""
    yaml = pytest.importorskip("yaml", reason="needs yaml: make venv installs it")
    shared = Path(os.environ.get("MIRAKL_SHARED", request.config.rootpath.parent / "shared"))
    path = shared / "openapi" / "mirakl-connect-openapi.yaml"
    if not path.exists():
        pytest.skip(f"needs Mirakl's OpenAPI document {path}: set MIRAKL_SHARED")
    published = yaml.safe_load(path.read_text())["components"]["schemas"]
    (ours,), components = msgspec.json.schema_components([Product])
    assert limits(ours, components) == limits(published["Product"], published)


FORMS = ("locale", "currency", "start_date", "end_date")
"""Fields whose form the document leaves to prose."""


KEYWORDS = ("minLength", "maxLength", "minItems", "maxItems", "minimum", "maximum")


def limits(schema: Any, components: dict[str, Any], path: str = "") -> set[tuple[str, str, Any]]:
    """Flatten a JSON schema to (path, keyword, value) for the keywords that limit, and to the fields there are."""
    if "$ref" in schema:
        schema = components[schema["$ref"].rsplit("/", 1)[1]]
    branches = [*schema.get("allOf", ()), *schema.get("anyOf", ()), *schema.get("oneOf", ())]
    if schema.get("discriminator") and "anyOf" not in schema:
        kinds = [
            components[target.rsplit("/", 1)[1]] for target in schema["discriminator"]["mapping"].values()
        ]
        branches += [kind["allOf"][1] for kind in kinds]
    found = {(path, keyword, schema[keyword]) for keyword in KEYWORDS if schema.get(keyword)}
    found |= {(f"{path}.{name}", "required", True) for name in schema.get("required", ())}
    for branch in branches:
        found |= limits(branch, components, path)
    for name, field in schema.get("properties", {}).items():
        found |= {(f"{path}.{name}", "field", "")}
        found |= limits(field, components, f"{path}.{name}") if name not in FORMS else set()
    return found | (limits(schema["items"], components, f"{path}[]") if "items" in schema else set())


# --- The decoder and the walk agree -----------------------------------------------------------------------------

_texts = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ["en", "en_US", "EUR", "12345670", "01942520342791", "https://x", "STRING", "TEXT", "1.5"]
    ),
    st.sampled_from(["2026-02-19T16:46:00Z", "2026-02-30T16:46:00Z", "2026-02-19T16:46:60Z", "\0", "\ud800"]),
    st.sampled_from(["x" * length for length in (255, 256, 257, 2000, 2001, 6001)]),
)
_numbers = st.one_of(
    st.integers(-2, 3),
    st.sampled_from([10**9, 10**9 + 1, -(10**9) - 1, 2**63, 2**64, 10**400]),
    st.floats(),
)
_scalars = st.one_of(st.none(), st.booleans(), _numbers, _texts)
_names = st.sampled_from(
    [field for kind in (Product, *Product.__subclasses__()) for field in kind.__struct_fields__]
    + ["locale", "value", "url", "labels", "name", "type", "price", "amount", "currency", "scope"]
    + ["available_quantity", "warehouse_code", "partner_id", "start_date", "end_date", "title"]
)
_anything = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=4),
    max_leaves=12,
)


def mutate(data: st.DataObject, value: Any) -> Any:
    """Change a good product at one place of its depth."""
    if isinstance(value, dict) and value and data.draw(st.booleans()):
        name = data.draw(st.sampled_from(sorted(value)))
        return {**value, name: mutate(data, value[name])}
    if isinstance(value, list) and value and data.draw(st.booleans()):
        return [mutate(data, value[0]), *value[1:]]
    action = data.draw(st.sampled_from(["replace", "drop", "repeat", "add"]))
    if action == "drop" and isinstance(value, dict) and value:
        dropped = data.draw(st.sampled_from(sorted(value)))
        return {name: entry for name, entry in value.items() if name != dropped}
    if action == "repeat" and isinstance(value, list):
        return value * data.draw(st.sampled_from([0, 1, 10, 11, 15, 16, 20, 21]))
    if action == "add" and isinstance(value, dict):
        return {**value, data.draw(_names): data.draw(_anything)}
    return data.draw(_anything)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("model", [Product, OpenProduct, ProductIdentifier])
def test_decoder_and_walk_agree(model: type[Any], data: st.DataObject) -> None:
    value: Any = GOOD if model is not ProductIdentifier else {"id": "A"}
    for _ in range(data.draw(st.integers(1, 2))):
        value = mutate(data, value)
    row = json.dumps(value, ensure_ascii=data.draw(st.booleans())).encode("utf-8", "surrogatepass")
    agree(model, row)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("model", [Product, OpenProduct])
def test_decoder_and_walk_agree_on_damaged_bytes(model: type[Any], data: st.DataObject) -> None:
    row = bytearray(json.dumps(GOOD if model is Product else {**GOOD, "more": GOOD}).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(row) - 1))
        row[place : place + data.draw(st.integers(0, 2))] = data.draw(
            st.sampled_from(
                [b"", b'"', b"\\", b"{", b"]", b",", b"1", b"-", b"e9", b"\xff", b"\x01", b"\\u0000"]
            )
        )
    agree(model, bytes(row))


CHECKERS = {model: Checker(model) for model in (Product, OpenProduct, ProductIdentifier)}


def agree(model: type[Any], row: bytes) -> None:
    checker = CHECKERS[model]
    assert accepted(row, checker) == (not checker.problems(row)), checker.problems(row)


GOOD = {
    "id": "A",
    "titles": [{"locale": "en_US", "value": "x"}],
    "descriptions": [{"locale": "en", "value": "x"}],
    "brand": "b",
    "category": {"id": "c", "labels": [{"locale": "en", "value": "x"}]},
    "gtins": [{"value": "12345670"}],
    "images": [{"url": "https://x"}],
    "attributes": [
        {"id": "a", "name": "a", "type": "STRING", "value": "x"},
        {"id": "b", "name": "b", "type": "NUMERIC", "value": 1.5},
        {"id": "c", "name": "c", "type": "BOOLEAN", "value": False},
    ],
    "quantities": [{"available_quantity": 1, "warehouse_code": "W"}],
    "partner_quantities": [{"available_quantity": 1, "partner_id": "P"}],
    "standard_prices": [{"price": {"amount": 1.5, "currency": "EUR"}, "scope": None}],
    "discount_prices": [{"price": {"amount": 1, "currency": "EUR"}, "start_date": "2026-02-19T16:46:00Z"}],
}
