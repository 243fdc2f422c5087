"""Replies with personal data never reach an error's text, wherever in the body a name stands."""

from __future__ import annotations

import pytest

from airflow_provider_mirakl.api import conversations, orders, returns
from airflow_provider_mirakl.api.call import Operation, Reply
from airflow_provider_mirakl.exceptions import MiraklReplyError


def test_an_excerpt_says_how_much_and_not_what() -> None:
    body = b'{"billing_info":{"address":{"last_name":"Lindqvist"'
    reply = Reply("v2-listOrders", 200, {}, body, personal=True)
    with pytest.raises(MiraklReplyError, match="51 bytes, not shown") as caught:
        reply.json()
    assert "Lindqvist" not in str(caught.value)
    assert "Lindqvist" in Reply("listProducts", 200, {}, body).excerpt()


@pytest.mark.parametrize("module", [orders, returns, conversations])
def test_every_operation_that_lists_persons_says_so(module: object) -> None:
    listings = [
        value
        for value in vars(module).values()
        if isinstance(value, Operation)
        and value.method == "GET"
        and value.code.removeprefix("v2-").startswith(("list", "download", "getConversationMessages"))
        and value.code != "v2-listOrderDocuments"
    ]
    assert listings
    assert all(operation.personal for operation in listings)
