"""Calls of the Catalog Manager, of imports, and of offers, stock and prices: what they send, and what they refuse."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from airflow_provider_mirakl.api import catalog_manager, offers, products, shops
from airflow_provider_mirakl.api.call import Call, Multipart, Reply
from airflow_provider_mirakl.api.caller import SHOP_FIELDS, Caller
from airflow_provider_mirakl.exceptions import MiraklInputError, MiraklReplyError

SINCE = datetime(2026, 11, 1, tzinfo=UTC)
SUBMIT: dict[str, Any] = {
    "CM11": lambda caller: catalog_manager.export_source_status(caller=caller),
    "P41": lambda caller: products.import_products(b"x", "a.csv", caller=caller),
    "P51": lambda caller: products.list_imports(caller=caller),
    "OF01": lambda caller: offers.import_offers(b"x", "a.csv", caller=caller),
    "OF04": lambda caller: offers.list_offer_imports(caller=caller),
    "OF24": lambda caller: offers.upsert_offers([{"shop_sku": "1"}], caller=caller),
    "STO01": lambda caller: offers.import_stock(b"x", "a.csv", caller=caller),
    "PRI01": lambda caller: offers.import_prices(b"x", "a.csv", caller=caller),
    "PRI02": lambda caller: offers.list_price_imports(caller=caller),
}

# Where Mirakl's documents for the operator (https://developer.mirakl.com) have the shop: in the query or in the form,
# by which name, and whether it is required. Written down here once more, so that the package's table has a judge.
OPERATOR_SHOP = {
    "CM11": ("query", "provider_id", True),
    "P41": ("form", "shop", True),
    "P51": ("query", "shop_id", False),
    "OF01": ("form", "shop", True),
    "OF04": ("query", "shop_id", False),
    "OF24": ("query", "shop", True),
    "STO01": ("form", "shop_id", True),
    "PRI01": ("form", "shop", True),
    "PRI02": ("query", "shop_id", False),
}


def params(call: Call[Any]) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(call.target).query))


def parts(call: Call[Any]) -> dict[str, bytes]:
    assert isinstance(call.body, Multipart)
    return {part.name: part.content for part in call.body.parts if isinstance(part.content, bytes)}


def test_every_operation_of_the_table_is_tried() -> None:
    of_documents = {"S30", "S31", "S32"}  # in test_documents_calls.py
    assert set(SUBMIT) == set(OPERATOR_SHOP)
    assert set(SUBMIT) | of_documents == set(SHOP_FIELDS)


@pytest.mark.parametrize("code", SUBMIT)
def test_a_shop_is_named_as_its_role_names_it(code: str) -> None:
    call = SUBMIT[code](Caller("shop", 7))
    assert params(call)["shop_id"] == "7"
    assert "shop_id" not in params(SUBMIT[code](Caller("shop")))
    place, name, required = OPERATOR_SHOP[code]
    call = SUBMIT[code](Caller("operator", 7))
    query, form = params(call), parts(call) if isinstance(call.body, Multipart) else {}
    assert (query if place == "query" else form)[name] in ("7", b"7")
    named = {*query, *form} & {"shop", "shop_id", "shop_ids", "provider_id"}
    assert named == {name}, "the shop is named once"
    if required:
        with pytest.raises(MiraklInputError, match="set shop_id"):
            SUBMIT[code](Caller("operator"))
    else:
        call = SUBMIT[code](Caller("operator"))
        assert not {"shop", "shop_id", "provider_id"} & params(call).keys()


@pytest.mark.parametrize("code", SUBMIT)
def test_shops_have_intervals_of_their_own_except_where_mirakl_publishes_one_for_all(code: str) -> None:
    """The listings are read for all shops of a key at once."""
    first, second = (SUBMIT[code](Caller("operator", shop)) for shop in (7, 8))
    for_all = ("OF24", "STO01", "PRI01", "P51", "OF04", "PRI02")
    assert (first.paced_by == second.paced_by) == (code in for_all)


@pytest.mark.parametrize(
    "make",
    [
        lambda: products.import_products(b"x", "a.csv", conversion_options={"ai_rewrite": True}),
        lambda: products.import_products(
            b"x", "a.csv", conversion_type="AI_CONVERTER", conversion_options={"spelling": True}
        ),
        lambda: products.import_products(b"x", "../a.csv"),
        lambda: products.list_imports(changed_since=datetime(2026, 1, 1)),  # noqa: DTZ001
        lambda: catalog_manager.synchronize_products([]),
        lambda: catalog_manager.synchronize_products([{"data": {"a": float("nan")}}]),
        lambda: catalog_manager.export_source_status(unique_identifiers=["x"] * 101),
        lambda: catalog_manager.export_source_status(provider_unique_identifiers="abc"),
        lambda: catalog_manager.start_export(filters={"colour": ["red"]}),
        lambda: catalog_manager.start_export(filters={"catalog": "abc"}),
        lambda: catalog_manager.export_products(filters={"product_id": ["x"] * 101}),
        lambda: catalog_manager.get_synchronization(""),
        lambda: catalog_manager.get_export(".."),
        lambda: offers.upsert_offers([]),
        lambda: offers.start_offer_export(
            updated_since=datetime(2026, 1, 1, tzinfo=UTC), options={"include_inactive_offers": True}
        ),
        lambda: offers.get_stock_import("."),
    ],
)
def test_bad_input_is_refused_before_a_call_is_spent(make: Any) -> None:
    with pytest.raises(MiraklInputError):
        make()


def test_cm21_is_a_bare_array() -> None:
    body = catalog_manager.synchronize_products([{"mirakl_product_id": "m", "product_sku": "s"}]).body
    assert isinstance(body, bytes)
    assert json.loads(body) == [{"mirakl_product_id": "m", "product_sku": "s"}]
    assert catalog_manager.synchronize_products(b"[{}]").body == b"[{}]"


def test_two_frequencies_of_one_operation() -> None:
    full, delta = offers.start_offer_export(), offers.start_offer_export(updated_since=SINCE)
    assert (full.operation.interval, delta.operation.interval) == (86_400, 60)
    assert full.operation.code == delta.operation.code == "OF52"
    assert full.paced_by != delta.paced_by
    alone, with_products = (offers.import_offers(b"x", "a.csv", with_products=flag) for flag in (False, True))
    assert (alone.operation.interval, with_products.operation.interval) == (60, 900)
    assert alone.paced_by != with_products.paced_by
    full_status, delta_status = (
        catalog_manager.export_source_status(),
        catalog_manager.export_source_status(updated_since=SINCE),
    )
    assert (full_status.operation.interval, delta_status.operation.interval) == (14_400, 300)


@pytest.mark.parametrize(
    "call", [catalog_manager.export_source_status(), catalog_manager.export_deleted_products()]
)
def test_only_204_says_that_there_is_nothing(call: Call[bytes]) -> None:
    assert call.parse(Reply(call.operation.code, 204, {}, b"")) == b""
    assert call.parse(Reply(call.operation.code, 200, {}, b"[]")) == b"[]"
    with pytest.raises(MiraklReplyError, match="204"):
        call.parse(Reply(call.operation.code, 200, {}, b""))


def test_lists_in_a_query_are_repeated_or_joined_as_declared() -> None:
    call = catalog_manager.export_source_status(unique_identifiers=["EAN|1", "EAN|2"])
    assert call.params == (("unique_identifier", "EAN|1"), ("unique_identifier", "EAN|2"))
    call = catalog_manager.export_products(filters={"product_id": ["a", "b"]})
    assert call.params == (("product_id", "a,b"),)


@pytest.mark.parametrize(
    ("body", "number"),
    [(b'{"import_id":7}', 7), (b'{"import_id":"7"}', 7), (b'{"import_id":9223372036854775807}', 2**63 - 1)],
)
def test_ids_of_imports(body: bytes, number: int) -> None:
    assert products.import_products(b"x", "a.csv").parse(Reply("P41", 201, {}, body)) == number


@pytest.mark.parametrize(
    "body",
    [b"{}", b'{"import_id":null}', b'{"import_id":true}', b'{"import_id":-1}', b'{"import_id":1.5}', b"[]"],
)
def test_replies_without_an_id(body: bytes) -> None:
    for call in (products.import_products(b"x", "a.csv"), offers.import_offers(b"x", "a.csv")):
        with pytest.raises(MiraklReplyError):
            call.parse(Reply(call.operation.code, 201, {}, body))


def test_old_and_new_names_of_an_id() -> None:
    call = offers.import_prices(b"x", "a.csv")
    assert call.parse(Reply("PRI01", 201, {}, b'{"importId":"old","import_id":"new"}')) == "new"
    assert call.parse(Reply("PRI01", 201, {}, b'{"importId":"old"}')) == "old"


def test_one_price_import_out_of_a_list() -> None:
    call = offers.get_price_import("b")
    body = b'{"data":[{"import_id":"a"},{"import_id":"b","status":"COMPLETE"}]}'
    assert call.parse(Reply("PRI02", 200, {}, body))["status"] == "COMPLETE"
    with pytest.raises(MiraklReplyError, match="price import b"):
        call.parse(Reply("PRI02", 200, {}, b'{"data":[]}'))


@pytest.mark.parametrize("shop", [{}, {"shop_id": None}, {"shop_id": "x"}, {"shop_id": 2000.5}])
def test_a_listed_shop_without_an_id_is_an_error_of_this_package(shop: dict[str, Any]) -> None:
    body = json.dumps({"shops": [{"shop_id": 2000}, shop], "total_count": 2}).encode()
    with pytest.raises(MiraklReplyError, match="'shop_id' of every shop"):
        shops.list_shops().parse(Reply("S20", 200, {}, body))
    body = json.dumps({"shops": [{"shop_id": "2000"}], "total_count": 1}).encode()
    assert [shops.id_of(shop) for shop in shops.list_shops().parse(Reply("S20", 200, {}, body)).items] == [
        2000
    ]


@pytest.mark.parametrize(
    "body", [{}, {"errors": []}, {"errors": None, "updated": None}, {"message": "later"}]
)
def test_an_update_that_says_neither_what_changed_nor_what_is_wrong_is_not_a_success(
    body: dict[str, Any],
) -> None:
    call = shops.update_account({"fax": None})
    with pytest.raises(MiraklReplyError, match="'updated'"):
        call.parse(Reply("A02", 200, {}, json.dumps(body).encode()))
    assert call.parse(Reply("A02", 200, {}, b'{"updated": {}}')).errors == ()
    assert call.parse(Reply("A02", 200, {}, b'{"errors": [{"code": "x"}]}')).updated is None
