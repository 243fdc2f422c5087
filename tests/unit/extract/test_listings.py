"""Listings of an instance: every page by its query."""

from __future__ import annotations

import json
import math

import pytest

from airflow_provider_mirakl.api.call import Reply
from airflow_provider_mirakl.exceptions import MiraklConfigurationError
from airflow_provider_mirakl.extract.fields import shaped
from airflow_provider_mirakl.extract.listings import find_listing


def test_a_page_knows_its_offset_where_a_proxy_removes_the_link() -> None:
    """A walk that goes on in another process has nothing but the query."""
    listing = find_listing("OR11")
    params = (("max", "100"), ("offset", "100"), ("order_state_codes", "A"), ("order_state_codes", "B"))
    call = listing.page(params)
    assert call.params == params
    body = json.dumps({"orders": [{"order_id": str(n)} for n in range(100)], "total_count": 250}).encode()
    following = call.parse(Reply(call.operation.code, 200, {}, body)).following
    assert following is not None
    assert dict(following.params)["offset"] == "200"
    assert [value for name, value in following.params if name == "order_state_codes"] == ["A", "B"]


def test_a_listing_that_does_not_exist_is_named() -> None:
    with pytest.raises(MiraklConfigurationError, match=r"must be one of OR11, .* not 'OR99'"):
        find_listing("OR99")


@pytest.mark.parametrize("lines", [[None], ["x"], "x", 1, {"id": "a"}])
def test_lines_that_are_none_do_not_stop_an_extract(lines: object) -> None:
    shape = find_listing("orders").shape
    tables = [table for table, _ in shape.rows({"id": "O-1", "order_lines": lines}, flat=True)]
    assert tables == ["orders", *(["order_lines"] if isinstance(lines, list) else [])]


def test_a_number_that_is_none_is_null() -> None:
    assert [shaped(value, "integer") for value in (math.inf, math.nan, 10.0)] == [None, None, 10]
