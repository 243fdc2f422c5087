"""What the calls of jobs refuse, and how a caller names a shop. Their shapes: ``tests/contract/client``."""

from __future__ import annotations

import pytest

from airflow_provider_mirakl.api import catalog_manager, offers, products
from airflow_provider_mirakl.api.call import Multipart, Reply
from airflow_provider_mirakl.api.caller import SHOP_FIELDS, Caller
from airflow_provider_mirakl.exceptions import MiraklInputError, MiraklReplyError


@pytest.mark.parametrize("code", sorted(SHOP_FIELDS))
def test_a_seller_names_the_shop_in_every_query_and_only_there(code):
    assert Caller("shop").params(code) == ()
    assert Caller("shop", 2001).params(code) == (("shop_id", "2001"),)
    assert Caller("shop", 2001).parts(code) == ()


@pytest.mark.parametrize("role", ["operator", "front"])
@pytest.mark.parametrize("code", [*sorted(SHOP_FIELDS), "P42", "OF02", "CM21"])
def test_the_others_name_it_by_operation(role, code):
    field = SHOP_FIELDS.get(code)
    caller = Caller(role, 2001)
    query, form = dict(caller.params(code)), {part.name: part.content for part in caller.parts(code)}
    if field is None:
        assert (query, form) == ({}, {})
    elif field.place == "query":
        assert (query, form) == ({field.name: "2001"}, {})
    else:
        assert (query, form) == ({}, {field.name: b"2001"})
    if field is not None and field.required:
        with pytest.raises(MiraklInputError, match=f"{code} of role {role} needs a shop"):
            getattr(Caller(role), "params" if field.place == "query" else "parts")(code)


def parts(call):
    assert isinstance(call.body, Multipart)
    return {part.name: part for part in call.body.parts}


@pytest.mark.parametrize(
    ("given", "status"), [(False, "DIS"), ("False", "DIS"), (" false", "DIS"), ("True", "EN")]
)
def test_an_option_that_a_template_wrote_means_what_it_says(given, status):
    call = products.import_products(
        b"x", "p.csv", conversion_type="AI_CONVERTER", conversion_options={"ai_rewrite": given}
    )
    assert (
        parts(call)["conversion_options"].content == b'{"ai_rewrite":{"status":"%sABLED"}}' % status.encode()
    )


@pytest.mark.parametrize("given", [None, 1, "", "on", ["False"], {"status": "DISABLED"}])
def test_an_option_that_is_neither_true_nor_false_is_refused(given):
    with pytest.raises(MiraklInputError, match="conversion_options: ai_rewrite must be true or false"):
        products.checked_conversions({"ai_rewrite": given})
    with pytest.raises(MiraklInputError, match="conversion_options contains 1, x; the options are"):
        products.checked_conversions({1: True, "x": True})


def test_conversion_options_are_one_json_part():
    call = products.import_products(
        b"x", "p.csv", conversion_type="AI_CONVERTER", conversion_options={"ai_rewrite": False}
    )
    part = parts(call)["conversion_options"]
    assert (part.content, part.content_type) == (
        b'{"ai_rewrite":{"status":"DISABLED"}}',
        "application/json",
    )


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: products.import_products(b"x", "p.csv", conversion_options={"ai_rewrite": True}),
            "AI_CONVERTER",
        ),
        (
            lambda: products.import_products(
                b"x", "p.csv", conversion_type="AI_CONVERTER", conversion_options={"ai_magic": True}
            ),
            "contains ai_magic; the options are",
        ),
        (lambda: products.import_products(b"x", "../p.csv"), "plain file name"),
        (lambda: catalog_manager.synchronize_products([]), "at least one product"),
        (lambda: offers.upsert_offers([]), "at least one offer"),
        (lambda: catalog_manager.start_export(filters={"color": ["red"]}), "'color' is not a filter"),
        (lambda: catalog_manager.start_export(filters={"category": "shoes"}), "must be a list, not one text"),
        (lambda: catalog_manager.export_products(filters={"category": ["x"] * 101}), "101 values"),
        (lambda: catalog_manager.export_source_status(provider_unique_identifiers=["x"] * 101), "101 values"),
        (lambda: catalog_manager.get_synchronization(""), "needs an id"),
        (lambda: offers.get_stock_import(".."), "needs an id"),
    ],
)
def test_what_cannot_be_meant_is_refused(make, words):
    with pytest.raises(MiraklInputError, match=words):
        make()


def test_intervals_follow_what_a_call_carries():
    assert offers.import_offers(b"x", "o.csv").operation.interval == 60
    assert offers.import_offers(b"x", "o.csv", with_products=True).operation.interval == 900
    assert catalog_manager.export_source_status().operation.interval == 4 * 3600


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"import_id": 5}', 5),
        (b'{"import_id": "5"}', 5),
        (b'{"import_id": true}', None),
        pytest.param(b'{"import_id": "%b"}' % (b"9" * 5000), None, id="digits by the thousand"),
        (b"{}", None),
    ],
)
def test_an_id_is_read_as_a_number(body, found):
    reply = Reply("P41", 201, {}, body)
    if found is None:
        with pytest.raises(MiraklReplyError, match="import_id"):
            products.number_id(reply, "import_id")
    else:
        assert products.number_id(reply, "import_id") == found


def test_the_deprecated_spelling_of_an_id_is_understood():
    call = offers.import_prices(b"x", "p.csv")
    assert call.parse(Reply("PRI01", 201, {}, b'{"importId": "a-b"}')) == "a-b"


def test_a_price_import_is_picked_out_of_its_list():
    call = offers.get_price_import("b")
    assert dict(call.params)["import_id"] == "b"
    body = b'{"data": [{"import_id": "a"}, {"import_id": "b", "status": "RUNNING"}]}'
    assert call.parse(Reply("PRI02", 200, {}, body))["status"] == "RUNNING"
    with pytest.raises(MiraklReplyError, match="price import b"):
        call.parse(Reply("PRI02", 200, {}, b'{"data": []}'))
