"""An operation as data."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_mirakl.api.call import (
    Call,
    Multipart,
    Operation,
    Part,
    Reply,
    comma,
    encode,
    moment,
    nothing,
    query,
)
from airflow_provider_mirakl.api.values import numeric_id
from airflow_provider_mirakl.exceptions import MiraklInputError, MiraklReplyError

STATUS = Operation("P42", "GET", "/api/products/imports/{import_id}", replay=True, interval=60)


@pytest.mark.parametrize(
    ("argument", "path"),
    [
        (7, "/api/products/imports/7"),
        ("a/b?c#d", "/api/products/imports/a%2Fb%3Fc%23d"),
        ("../x", "/api/products/imports/..%2Fx"),
        ("größe 1", "/api/products/imports/gr%C3%B6%C3%9Fe%201"),
    ],
)
def test_arguments_of_a_path_are_quoted(argument: Any, path: str) -> None:
    assert STATUS.at(import_id=argument) == path


@pytest.mark.parametrize("argument", ["", " ", ".", "..", " .. "])
def test_arguments_that_lead_elsewhere_are_refused(argument: str) -> None:
    """A URL is normalised on its way: ``DELETE /documents/..`` would be another resource."""
    with pytest.raises(MiraklInputError, match="import_id"):
        STATUS.at(import_id=argument)


PAIRS = st.tuples(st.text(min_size=1), st.text(st.characters(exclude_categories=["Cs"])))


@given(
    st.lists(
        st.tuples(st.from_regex(r"[a-z_]{1,9}", fullmatch=True), PAIRS.map(lambda pair: pair[1])), max_size=6
    )
)
def test_parameters_arrive_as_given(params: list[tuple[str, str]]) -> None:
    target = Call(STATUS, parse=nothing, path="/api/x", params=tuple(params)).target
    assert target.isascii()
    assert parse_qsl(urlsplit(target).query, keep_blank_values=True) == params


def test_parameters_are_added_to_a_query() -> None:
    assert Call(STATUS, parse=nothing, path="/x?a=1", params=(("b", "2"),)).target == "/x?a=1&b=2"


def test_query() -> None:
    assert query(a=None, b=True, c=0, d="x", e=["1", 2], f=[], g=False) == (
        ("b", "true"), ("c", "0"), ("d", "x"), ("e", "1"), ("e", "2"), ("g", "false"),
    )  # fmt: skip
    assert comma([1, "b"]) == "1,b"
    assert comma([]) is None
    assert comma(None) is None


def test_moments_are_utc() -> None:
    there = timezone(timedelta(hours=2))
    assert moment(datetime(2026, 8, 29, 2, 34, tzinfo=there)) == "2026-08-29T00:34:00Z"
    assert moment(datetime(2026, 8, 29, 2, 34, 0, 123456, tzinfo=UTC)) == "2026-08-29T02:34:00.123Z"
    assert moment(None) is None
    with pytest.raises(MiraklInputError, match="time zone"):
        moment(datetime(2026, 8, 29))  # noqa: DTZ001


def test_bodies() -> None:
    assert encode({"a": "ö", "b": None}) == '{"a":"ö","b":null}'.encode()


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), "\ud800", Decimal(1), {1, 2}, object()],
    ids=lambda value: type(value).__name__,
)
def test_what_json_has_not(value: object) -> None:
    with pytest.raises(MiraklInputError, match="cannot be written as JSON"):
        encode({"a": [value]})


def reply(body: bytes) -> Reply:
    return Reply("P42", 200, {"set-cookie": "s3cret"}, body)


def test_readers() -> None:
    answer = reply(b'{"a":[{"b":1}],"c":"x"}')
    assert answer.list_of_objects("a") == [{"b": 1}]
    assert answer.text("c") == "x"
    assert reply(b'\xef\xbb\xbf{"a":1}').json() == {"a": 1}


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 200_000, b"9" * 10_000], ids=repr)
def test_no_json(body: bytes) -> None:
    with pytest.raises(MiraklReplyError, match="P42: the 200 reply is not JSON"):
        reply(body).json()


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"a":null}', b'{"a":[1]}', b'{"a":{}}', b'{"a":""}'])
def test_other_json_than_expected(body: bytes) -> None:
    for read in (lambda: reply(body).list_of_objects("a"), lambda: reply(body).text("a")):
        with pytest.raises(MiraklReplyError, match="P42: expected"):
            read()


def test_a_reply_shows_neither_body_nor_headers() -> None:
    assert "s3cret" not in repr(reply(b"s3cret"))


def test_excerpts_are_short() -> None:
    assert len(reply("ö".encode() * 100_000).excerpt()) < 250


def test_everything_is_frozen() -> None:
    for thing in (STATUS, reply(b""), Call(STATUS, parse=nothing), Part("a", b""), Multipart(())):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(thing, dataclasses.fields(thing)[0].name, 1)


@pytest.mark.parametrize("name", ["a/b", "a\\b", "../a", "", ".", "..", "a\nb", "a\x00b", "\u202ea"])
def test_names_that_no_upload_should_have(name: str) -> None:
    with pytest.raises(MiraklInputError, match="plain file name"):
        Part("file", b"", file_name=name)


def test_a_part_cannot_break_out_of_its_header() -> None:
    head = Part('a"\r\nX: 1', b"", file_name='b".csv').head.decode()
    assert head.count("\r\n") == 3
    assert 'name="a%22%0D%0AX: 1"; filename="b%22.csv"' in head


def test_boundaries_differ() -> None:
    assert Multipart(()).boundary != Multipart(()).boundary
    assert json.dumps(Multipart(()).content_type)


def test_a_secret_longer_than_an_excerpt_is_not_shown_in_part() -> None:
    token = "eyJ" + "abcdefghij" * 120
    shown = Reply("P41", 200, {}, json.dumps({"echo": token}).encode(), (token,)).excerpt()
    assert "***" in shown
    assert "abcdefghij" not in shown


@pytest.mark.parametrize(
    "written", ["ab+cd=", "ab%2Bcd%3d", "ab\\u002Bcd\\u003D", "ab&#x2b;cd&#061;", "ab+cd&#x3D;"]
)
def test_an_excerpt_hides_a_secret_however_it_is_written(written: str) -> None:
    assert Reply("P41", 200, {}, f"<{written}>".encode(), ("ab+cd=",)).excerpt() == "'<***>'"


@pytest.mark.parametrize(
    ("value", "number"),
    [(7, 7), ("7", 7), (" 7 ", 7), (2**63 - 1, 2**63 - 1), (2**63, None), (-1, None), ("-1", None),
     pytest.param("9" * 5000, None, id="digits by the thousand"),
     (True, None), (7.0, None), ("7.0", None), ("\u0667", None), ("", None), (None, None)],
)  # fmt: skip
def test_numeric_ids(value: object, number: int | None) -> None:
    assert numeric_id(value) == number


def test_half_of_a_surrogate_pair_becomes_a_character_that_can_be_written() -> None:
    """A text that was cut in the middle of an emoji."""
    body = rb'{"a\ud83d": ["cut \uD83D", {"b": "whole \ud83d\ude00"}], "c": 1, "d": "\\ud83d"}'
    assert reply(body).json() == {
        "a\ufffd": ["cut \ufffd", {"b": "whole \U0001f600"}],
        "c": 1,
        "d": "\\ud83d",
    }
