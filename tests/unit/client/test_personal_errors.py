"""An error may repeat an order: no message about orders, returns, conversations or shops quotes it."""

from __future__ import annotations

import json
import logging
from types import ModuleType
from typing import Any

import pytest

from airflow_provider_mirakl.actions.book import failure_of
from airflow_provider_mirakl.api import conversations, marketplace, orders, returns, shops
from airflow_provider_mirakl.api.call import Call, Operation, Reply, nothing
from airflow_provider_mirakl.api.orders import LIST_ORDERS, REFUND_ORDER_LINES, get_action_status
from airflow_provider_mirakl.api.shops import update_account
from airflow_provider_mirakl.exceptions import MiraklApiError, MiraklReplyError

MARK = "Zyxwvutsson"
EMAIL = f"{MARK}@example.com"
ORDER = {
    "id": "o-1",
    "shipping_info": {"email": EMAIL, "address": {"last_name": MARK, "street": f"1 {MARK} St"}},
}
BODIES: dict[str, Any] = {
    "unknown JSON": {"order": ORDER},
    "a list": [ORDER],
    "an unknown entry": {"message": "wrong", "errors": [ORDER]},
    "an unknown error": {"error": {"order": ORDER}},
    "words and JSON": f"upstream answered: {json.dumps(ORDER)}",
    "words": f"no such customer: {MARK}",
    "a page": f"<html><title>Error for {MARK}</title><p>{EMAIL}</p></html>",
    "JSON cut short": json.dumps({"orders": [ORDER]})[:-9],
    "a text": json.dumps(MARK),
    "the request in a message": {"message": f"Cannot read the body: {json.dumps(ORDER)}", "code": "INVALID"},
    "XML in a message": {"errors": [{"message": f"Cannot read <name>{MARK}</name>", "field": "$.body"}]},
    "an address in a message": {"errors": [f"The address {EMAIL} is not valid"]},
}


@pytest.mark.parametrize("operation", [LIST_ORDERS, REFUND_ORDER_LINES], ids=["read", "write"])
@pytest.mark.parametrize("status", [400, 404, 429, 500, 502])
def test_no_error_about_orders_quotes_one(
    bench: Any, server: Any, steps: Any, caplog: pytest.LogCaptureFixture, operation: Operation, status: int
) -> None:
    caplog.set_level(logging.DEBUG)
    client = bench.client(server.url, max_attempts=1)
    call = Call(operation, parse=nothing, path="/api/x")
    for name, body in BODIES.items():
        server.script(steps.reply(status, body))
        bench.pacer.forget()
        with pytest.raises(MiraklApiError) as caught:
            client.send(call)
        error = caught.value
        assert MARK not in f"{error} {error.args} {vars(error)} {caplog.text}", name
        assert f"answered {status}" in str(error)


def test_what_mirakl_says_about_an_order_is_shown(bench: Any, server: Any, steps: Any) -> None:
    body = {
        "code": "ORDER_LINE_NOT_FOUND",
        "message": "Order line L-12 of order O-2024-0001 was not found",
        "errors": [{"field": "$.order_lines[0].id", "message": "is unknown"}],
    }
    server.script(steps.reply(404, body))
    with pytest.raises(MiraklApiError) as caught:
        bench.client(server.url).send(Call(REFUND_ORDER_LINES, parse=nothing, path="/api/x"))
    assert (
        "404 ORDER_LINE_NOT_FOUND: Order line L-12 of order O-2024-0001 was not found; $.order_lines[0].id: is unknown"
    ) in str(caught.value)


@pytest.mark.parametrize(
    "module", [orders, returns, conversations, marketplace, shops], ids=lambda module: module.__name__
)
def test_every_operation_about_people_is_marked(module: ModuleType) -> None:
    found = [one for one in vars(module).values() if isinstance(one, Operation)]
    missing = {one.code for one in found if not one.personal}
    assert len(found) >= 4
    assert missing <= {"TL03", "TL04", "A21"}, "they have transactions and figures, not people"


@pytest.mark.parametrize(
    "call",
    [shops.get_account(), update_account({"fax": None}), shops.list_shops()],
    ids=lambda call: str(call.operation.code),
)
def test_no_reply_about_a_shop_is_quoted(call: Call[Any]) -> None:
    """It has the name, the address and the bank account of a seller."""
    for body in (f"<html>{MARK}, {EMAIL}</html>", json.dumps({"errors": f"of {MARK}", "shops": MARK})):
        with pytest.raises(MiraklReplyError) as caught:
            call.parse(Reply(call.operation.code, 200, {}, body.encode(), personal=call.operation.personal))
        assert MARK not in str(caught.value)


# --- what a 2xx says in words -------------------------------------------------------------------------------

KEY = "8f14e45f-ceea-467a-9575-2b1c4a7d9e03"


def test_the_reason_of_a_failed_action_shows_neither_a_key_nor_a_customer() -> None:
    for message in (f"Authorization: {KEY}", f"order {json.dumps(ORDER)}", f"got {KEY.encode().hex(':')}"):
        body = {"status": "FAILED", "errors": [{"code": KEY, "message": message}]}
        call = get_action_status("a-1")
        reply = Reply(
            call.operation.code, 200, {}, json.dumps(body).encode(), (KEY,), call.operation.personal
        )
        shown = str(failure_of(call.parse(reply)))
        assert KEY not in shown
        assert MARK not in shown
        assert "38:66" not in shown


def test_the_errors_of_a_change_show_no_key_and_its_values_stay_as_they_are() -> None:
    code = "an-additional-field-with-a-long-code-1234"
    body = {
        "errors": [{"code": "X", "field": "name", "message": f"bad key {KEY}"}],
        "updated": {"shop_additional_fields": [{"code": code, "value": "1"}]},
    }
    call = update_account({"shop_name": "x"}, unknown_fields="send")
    update = call.parse(Reply("A02", 200, {}, json.dumps(body).encode(), (KEY,)))
    assert update.errors[0].message == "bad key ***"
    assert update.updated == body["updated"]
