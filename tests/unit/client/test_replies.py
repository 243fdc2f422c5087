"""From an error reply to an error with data: every envelope of Mirakl, Connect, DJUST and of proxies between."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_mirakl.api.call import Reply
from airflow_provider_mirakl.client.replies import MAX_RETRY_AFTER, MAX_TEXT, error_from, retry_after
from airflow_provider_mirakl.exceptions import (
    ApiFault,
    MiraklApiError,
    MiraklAuthenticationError,
    MiraklBadRequestError,
    MiraklNotFoundError,
    MiraklPermissionError,
    MiraklRateLimitError,
    MiraklServerError,
)

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)


def read(status: int, body: Any = b"", *, secrets: tuple[str, ...] = (), **headers: str) -> MiraklApiError:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return error_from(
        Reply("P41", status, named, data, secrets),
        method="POST",
        path="/api/products/imports",
        now=NOW,
    )


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, MiraklBadRequestError), (401, MiraklAuthenticationError), (403, MiraklPermissionError),
        (404, MiraklNotFoundError), (405, MiraklBadRequestError), (410, MiraklNotFoundError),
        (415, MiraklBadRequestError), (422, MiraklBadRequestError), (429, MiraklRateLimitError),
        (500, MiraklServerError), (502, MiraklServerError), (503, MiraklServerError), (304, MiraklBadRequestError),
    ],
)  # fmt: skip
def test_one_kind_per_status(status: int, kind: type[MiraklApiError]) -> None:
    error = read(status)
    assert type(error) is kind
    assert error.status == status
    assert error.operation == "P41"
    assert f"P41: POST /api/products/imports answered {status}" in str(error)


ENVELOPES: dict[str, tuple[Any, list[ApiFault], str | None]] = {
    "Mirakl": (
        {"status": 400, "message": "Import mode is missing"},
        [ApiFault("Import mode is missing")],
        None,
    ),
    "Mirakl with fields": (
        {
            "status": 400,
            "message": "Bad",
            "errors": [{"message": "too long", "field": "name", "code": "SIZE"}],
        },
        [ApiFault("Bad"), ApiFault("too long", "SIZE", "name")],
        "SIZE",
    ),
    "only a list": (
        {"errors": [{"message": "a"}, {"message": "b", "field": "f"}]},
        [ApiFault("a"), ApiFault("b", None, "f")],
        None,
    ),
    "Connect": (
        {
            "code": "INVALID_INPUT",
            "message": "Invalid input",
            "errors": [{"message": "must match", "field": "$.products[0].gtins[0].value", "extensions": {}}],
            "extensions": {},
        },
        [
            ApiFault("Invalid input", "INVALID_INPUT"),
            ApiFault("must match", None, "$.products[0].gtins[0].value"),
        ],
        "INVALID_INPUT",
    ),
    "Connect, message repeated": (
        {"code": "DATA_NOT_FOUND", "message": "gone", "errors": [{"message": "gone"}]},
        [ApiFault("gone")],
        "DATA_NOT_FOUND",
    ),
    "DJUST": (
        {
            "content": {},
            "errors": [{"code": "F-E-012", "detail": "products", "message": "wrong format"}],
            "warnings": [],
        },
        [ApiFault("wrong format (products)", "F-E-012")],
        "F-E-012",
    ),
    "DJUST, old": ({"error": "no configuration is active"}, [ApiFault("no configuration is active")], None),
    "RFC 6749": (
        {"error": "invalid_client", "error_description": "Client authentication failed"},
        [ApiFault("Client authentication failed", "invalid_client")],
        "invalid_client",
    ),
    "RFC 6749, short": (
        {"error": "invalid_client"},
        [ApiFault("invalid_client", "invalid_client")],
        "invalid_client",
    ),
    "a gateway": (
        {"timestamp": "2026", "status": 404, "error": "Not Found", "path": "/api"},
        [ApiFault("Not Found")],
        None,
    ),
    "nested": ({"error": {"code": 7, "message": "deep"}}, [ApiFault("deep", "7")], "7"),
    "problem details": ({"title": "x", "detail": "what went wrong"}, [ApiFault("what went wrong")], None),
    "a list": ([{"message": "m", "code": "c"}, "plain"], [ApiFault("m", "c"), ApiFault("plain")], "c"),
    "texts": ({"errors": ["one", "two"]}, [ApiFault("one"), ApiFault("two")], None),
    "odd entries": ({"errors": [None, 7, {"x": 1}]}, [ApiFault('{"x": 1}')], None),
    "unknown object": ({"x": 1}, [ApiFault('{"x": 1}')], None),
    "a text": ("just text", [ApiFault('"just text"')], None),
    "null": (b"null", [ApiFault("null")], None),
    "empty": (b"", [], None),
    "plain text": (b"upstream request timeout\n", [ApiFault("upstream request timeout")], None),
    "cut JSON": (b'{"message": "half', [ApiFault('{"message": "half')], None),
    "binary": (b"\x00\x01\xff", [ApiFault("\ufffd")], None),
}


@pytest.mark.parametrize(("body", "faults", "code"), ENVELOPES.values(), ids=ENVELOPES.keys())
def test_envelopes(body: Any, faults: list[ApiFault], code: str | None) -> None:
    error = read(400, body)
    assert list(error.faults) == faults
    assert error.code == code
    for fault in faults:
        assert fault.message in str(error)
    assert error.field == next((fault.field for fault in faults if fault.field), None)


@pytest.mark.parametrize("code", ["invalid_client", "unauthorized_client", "invalid_grant"])
def test_a_token_server_may_say_401_with_a_400(code: str) -> None:
    assert type(read(400, {"error": code})) is MiraklAuthenticationError


PAGES = {
    "title": (
        b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>",
        "502 Bad Gateway",
    ),
    "title with attributes": (b'<TITLE lang="en">\n Attention  Required!\n</TITLE>', "Attention Required!"),
    "no title": (
        b"<html><style>b{}</style><script>var a=1</script><h1>Blocked</h1><p>by &amp; firewall</p>",
        "Blocked by & firewall",
    ),
    "empty title": (b"<title> </title><h1>Sorry</h1>", "Sorry"),
    "cut": (b"<html><body><p>We are down <b", "We are down <b"),
    "cut in a script": (b"<p>Down</p><script>if (a < b) {", "Down"),
}


@pytest.mark.parametrize(("page", "shown"), PAGES.values(), ids=PAGES.keys())
def test_web_pages_are_read_as_a_person_would(page: bytes, shown: str) -> None:
    assert [fault.message for fault in read(502, page, content_type="text/html").faults] == [shown]


@pytest.mark.parametrize("unit", [b"<", b"<script", b"<title", b"[", b'{"a":', b"<!--", b"< >", b"&"])
def test_no_page_takes_long(unit: bytes) -> None:
    """64 kB of the worst input: a quadratic parser would not finish before the timeout."""
    for _ in range(20):
        error = read(503, unit * (65536 // len(unit)))
    assert len(str(error)) < 2 * MAX_TEXT


def test_texts_are_cut_to_what_a_log_can_bear() -> None:
    errors = [{"message": "m" * 5000, "field": "f" * 5000, "code": "c" * 5000} for _ in range(500)]
    error = read(400, {"message": "x" * 100_000, "errors": errors}, x_request_id="r" * 60_000)
    assert len(error.faults) == 501
    assert all(len(fault.message) <= MAX_TEXT for fault in error.faults)
    assert len(str(error)) < 25 * MAX_TEXT
    assert "and 491 more" in str(error)


def test_line_breaks_and_escapes_cannot_forge_a_log() -> None:
    error = read(400, {"message": "bad\n[2026-11-20] INFO all is well\x1b[2K\u2028"}, x_request_id="a\x1bb")
    assert str(error).isprintable()


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("<title>Zugriff verweigert: Prüfung</title>".encode("latin-1"), "text/html; charset=ISO-8859-1"),
        ("<title>Zugriff verweigert: Prüfung</title>".encode(), 'text/html; charset="utf-8"'),
        ("<title>Zugriff verweigert: Prüfung</title>".encode("utf-16"), "text/html; charset=utf-16"),
        ("<title>Zugriff verweigert: Prüfung</title>".encode(), "text/html; charset=no-such"),
        ("<title>Zugriff verweigert: Prüfung</title>".encode(), "text/html; charset=hex"),
        ("<title>Zugriff verweigert: Prüfung</title>".encode(), "text/html"),
    ],
)
def test_charsets(body: bytes, content_type: str) -> None:
    assert read(403, body, content_type=content_type).faults[0].message == "Zugriff verweigert: Prüfung"


def test_non_ascii_messages_arrive() -> None:
    assert "Größe fehlt 寸法" in str(read(400, {"message": "Größe fehlt 寸法"}))


def test_a_secret_that_a_server_repeats_is_not_shown() -> None:
    for body in ({"message": "client secret s3cr3t-value is wrong"}, b"<p>s3cr3t-value</p>", b"s3cr3t-value"):
        error = read(401, body, secrets=("s3cr3t-value",))
        assert "s3cr3t-value" not in str(error) + repr(error.faults)
        assert "***" in str(error)


def test_request_id_for_support() -> None:
    error = read(500, {}, x_request_id="abc-123")
    assert error.request_id == "abc-123"
    assert "[request abc-123]" in str(error)


# --- Retry-After --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("60", 60), (" 60 ", 60), ("0", 0), ("-5", 0), ("1.5", 1.5), ("1e18", MAX_RETRY_AFTER),
        ("9" * 400, MAX_RETRY_AFTER), ("inf", MAX_RETRY_AFTER), ("nan", None), ("soon", None), ("", None),
        ("Fri, 20 Nov 2026 12:01:00 GMT", 60), ("Fri, 20 Nov 2026 12:01:00", 60),
        ("Fri, 20 Nov 2026 14:01:00 +0200", 60), ("Friday, 20-Nov-26 12:01:00 GMT", 60),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0), ("Mon, 01 Jan 99999 00:00:00 GMT", None),
        ("Fri, 20 Nov 9026 12:01:00 GMT", MAX_RETRY_AFTER), ("20 Nov", None), (",", None),
    ],
)  # fmt: skip
def test_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": value}, NOW) == seconds


def test_no_header_at_all() -> None:
    assert retry_after({}, NOW) is None


def test_a_date_is_read_by_the_servers_own_clock() -> None:
    """Our clock is an hour off; the wait is still a minute."""
    headers = {"retry-after": "Fri, 20 Nov 2026 13:01:00 GMT", "date": "Fri, 20 Nov 2026 13:00:00 GMT"}
    assert retry_after(headers, NOW) == 60
    assert retry_after({**headers, "date": "garbage"}, NOW) == 3660


@given(st.text(max_size=60))
def test_retry_after_never_raises(value: str) -> None:
    seconds = retry_after({"retry-after": value, "date": value}, NOW)
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER


@given(st.integers(0, int(MAX_RETRY_AFTER)))
def test_both_forms_say_the_same(seconds: int) -> None:
    date = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    assert (
        retry_after({"retry-after": date}, NOW) == retry_after({"retry-after": str(seconds)}, NOW) == seconds
    )


def test_429_always_has_a_moment() -> None:
    assert read(429, retry_after="30").retry_at == NOW + timedelta(seconds=30)
    silent = read(429)
    assert silent.retry_after is None
    assert silent.retry_at == NOW + timedelta(seconds=60)
    assert "call again in 60 s, from 2026-11-20T12:01:00Z" in str(silent)
    assert read(503).retry_at is None


@given(st.binary(max_size=300), st.sampled_from([400, 401, 404, 429, 500]))
def test_no_body_breaks_the_reader(body: bytes, status: int) -> None:
    error = read(status, body)
    assert error.status == status
    assert str(error).isprintable()


@pytest.mark.parametrize(
    ("body", "secret", "leak"),
    [
        (b'{"message":"key ab\\/cdef\\u002dgh is bad"}', "ab/cdef-gh", "cdef"),
        (b'{"message":"key ab\\"cdef is bad"}', 'ab"cdef', "cdef"),
        (b"<p>key ab&amp;cdef is bad</p>", "ab&cdef", "cdef"),
        (b"grant_type=x&client_secret=ab%2Fcdef+gh", "ab/cdef gh", "cdef"),
        (b"client_secret=ab%2fcdef%20gh", "ab/cdef gh", "cdef"),
        (b'{"message":"key ab\\u002Bcdef\\u003d is bad', "ab+cdef=", "cdef"),  # JSON cut short
        (b"<p>key ab&#x2B;cdef&#061; is bad</p>", "ab+cdef=", "cdef"),
        (b"<p>key ab&#39;cdef&#X3d; is bad</p>", "ab'cdef=", "cdef"),
    ],
)
def test_a_secret_that_a_server_repeats_in_other_letters_is_not_shown(
    body: bytes, secret: str, leak: str
) -> None:
    error = read(400, body, secrets=(secret,))
    assert "***" in str(error)
    assert leak not in f"{error} {error.faults} {error.code} {error.field}"
