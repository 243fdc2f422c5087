"""A server that repeats credentials, in whatever encoding or part: no message shows them."""

from __future__ import annotations

import base64
import gzip
import html
import json
import logging
import quopri
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest

from airflow_provider_mirakl.api.call import Reply
from airflow_provider_mirakl.api.secrets import WITHHELD, without_secrets
from airflow_provider_mirakl.client.replies import error_from
from airflow_provider_mirakl.client.settings import Settings, api_key
from airflow_provider_mirakl.exceptions import MiraklReplyError, MiraklTransportError

KEY = "8f14e45f-ceea-467a-9575-2b1c4a7d9e03"


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


ENCODINGS: dict[str, Callable[[str], str]] = {
    "base64 of UTF-16": lambda key: base64.b64encode(key.encode("utf-16")).decode(),
    "base64 of UTF-16, the other way round": lambda key: base64.b64encode(key.encode("utf-16-be")).decode(),
    "base64, compressed": lambda key: base64.b64encode(gzip.compress(key.encode(), mtime=0)).decode(),
    "base64 four times": lambda key: b64(b64(b64(b64(key)))),
    "base32": lambda key: base64.b32encode(key.encode()).decode(),
    "a buffer of Node": lambda key: json.dumps({"type": "Buffer", "data": list(key.encode())}),
    "numbers": lambda key: ",".join(str(ord(letter)) for letter in key),
    "escapes of C": lambda key: "".join(f"\\x{ord(letter):02x}" for letter in key),
    "octal escapes": lambda key: "".join(f"\\{ord(letter):03o}" for letter in key),
    "quoted-printable": lambda key: "".join(f"={ord(letter):02X}" for letter in key),
    "hex with colons": lambda key: key.encode().hex(":"),
    "hex with spaces": lambda key: key.encode().hex(" "),
}
"""Every one of them is told by its form: there are more than can be undone."""
ECHOES: dict[str, Callable[[str], str]] = {
    "as it is": lambda key: f"you sent {key}",
    "JSON in JSON": lambda key: json.dumps({"headers": json.dumps({"Authorization": key})}),
    "JSON in JSON in JSON": lambda key: json.dumps({"a": json.dumps({"b": json.dumps({"X-Key": key})})}),
    "base64": lambda key: f"request: {b64(key)}",
    "base64 of all headers": lambda key: b64(f"GET / HTTP/1.1\r\nAuthorization: {key}\r\nHost: x"),
    "base64 that begins in the middle": lambda key: b64(f"GET / HTTP/1.1\r\nX: {key}\r\n")[7:],
    "base64 in lines": lambda key: base64.encodebytes((f"X: {key} " * 4).encode()).decode(),
    "base64 for addresses": lambda key: base64.urlsafe_b64encode(f"\xff\xfe?{key}".encode()).decode(),
    "base64 twice": lambda key: b64(b64(f"x={key}")),
    "quoted twice": lambda key: quote(quote(f"key={key}/", safe=""), safe=""),
    "hex": lambda key: f"id {key.encode().hex()}",
    "a web page twice escaped": lambda key: "<p>" + html.escape(html.escape(f"'{key}'")) + "</p>",
    "every character as an escape": lambda key: "".join(f"\\u{ord(letter):04x}" for letter in key),
    "its beginning": lambda key: f"token {key[:12]}... is not valid",
    "its end": lambda key: f"token ...{key[-12:]} is not valid",
    "its middle": lambda key: f"<{key[9:20]}>",
    "in capitals": lambda key: f"TOKEN {key.upper()}",
    "a header of the proxy": lambda key: f"Proxy-Authorization: Basic {b64('user:' + key)}",
    "quoted-printable in part": lambda key: quopri.encodestring(f"={key}".encode()).decode(),
    **{name: lambda key, encode=encode: f"got {encode(key)}" for name, encode in ENCODINGS.items()},  # type: ignore[misc]
}


def is_readable(shown: str) -> bool:
    """Whether any eight characters of the key can be read."""
    folded = shown.casefold()
    return any(KEY[start : start + 8] in folded for start in range(len(KEY) - 7))


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
@pytest.mark.parametrize(
    "form", ["text", "message", "detail", "unknown", "in a list", "code", "field", "header"]
)
def test_no_error_shows_a_key_that_a_server_repeats(echo: Callable[[str], str], form: str) -> None:
    text = echo(KEY)
    body: Any = {
        "text": None,
        "message": {"message": text},
        "detail": {"errors": [{"message": "wrong", "detail": text}]},
        "unknown": {"request": {"headers": text}},
        "in a list": {"errors": [text, {"raw": text}]},
        "code": {"code": text, "message": "wrong"},
        "field": {"errors": [{"field": text, "message": "wrong"}]},
        "header": {"message": "wrong"},
    }[form]
    content = text.encode() if body is None else json.dumps(body).encode()
    headers = {"x-request-id": " ".join(text.split())} if form == "header" else {}
    reply = Reply("P41", 400, headers, content, (KEY,))
    error = error_from(reply, method="POST", path="/x", now=datetime.now(UTC))
    shown = (
        f"{error} {error.args} {error.faults} {error.code} {error.field} {error.request_id} {reply.excerpt()}"
    )
    assert not is_readable(without_decoding(shown)), shown
    assert not shows_encoded(shown), shown
    assert b64(KEY)[:12] not in shown
    assert KEY.encode().hex()[:16] not in shown


def shows_encoded(shown: str) -> bool:
    """Whether sixteen characters of an encoded key are shown. The test cannot tell how each of them can be undone."""
    letters = without_decoding(shown)
    codes = [without_decoding(encode(KEY)) for encode in ENCODINGS.values()]
    return any(code[start : start + 16] in letters for code in codes for start in range(len(code) - 15))


def without_decoding(shown: str) -> str:
    return shown.replace("\\", "")


@pytest.mark.parametrize(
    "text",
    [
        "The shop 2000 does not exist.",
        "column 'price' of line 12: 19,99 is not a number",
        "request 7c9e6679-7425-40de-944b-e07fc1f90ae7 failed",
        "a" * 5000,
        "SGVsbG8gV29ybGQsIG5vdGhpbmcgc2VjcmV0IGhlcmU=",
        "",
    ],
)
def test_what_holds_no_part_of_a_key_is_shown(text: str) -> None:
    assert without_secrets(text, (KEY, "the-very-secret-key")) == text


def test_a_secret_of_words_does_not_withhold_messages_with_one_of_them() -> None:
    assert without_secrets("the operator may not do this", ("sandbox-operator-key",)) != WITHHELD


def test_what_other_programs_send_is_not_shown_either() -> None:
    text = 'headers: {"Proxy-Authorization": "Basic YTpi", "Cookie": "JSESSIONID=1", "Host": "x"}'
    shown = without_secrets(text, ())
    assert "YTpi" not in shown
    assert "JSESSIONID" not in shown
    assert '"Host": "x"' in shown


@pytest.mark.parametrize("name", ["proxy", "HTTPS_PROXY"])
def test_the_password_of_the_proxy_is_a_secret(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    address = "http://user:p%40ss-w0rd-long@proxy.example:3128"
    if name != "proxy":
        monkeypatch.setenv(name, address)
    settings = Settings("https://x.mirakl.net", api_key(KEY), proxy=address if name == "proxy" else None)
    assert "p@ss-w0rd-long" in settings.secrets
    assert KEY in settings.secrets


def test_a_long_body_is_searched_in_no_time() -> None:
    token = "eyJ" + "aZ09-_" * 500
    shown = without_secrets(b64("x" * 40_000) + "%25" * 5000 + "&amp;" * 5000, (token, KEY))
    assert len(shown) <= 16 * 1024


@pytest.mark.parametrize(
    "key",
    ["sandbox-operator-key", "abcdefghijklmnopqrstuvwxyz", "correct-horse-battery-staple", "Pröxy-Paßwort"],
)
def test_no_eight_characters_of_a_key_of_letters_are_shown(key: str) -> None:
    """But one of its words alone, which other texts have too."""
    words = [word for word in key.split("-") if word != key]
    for start in range(len(key) - 7):
        piece = key[start : start + 8]
        if not any(piece.strip("-") in word for word in words):
            assert piece not in without_secrets(f"token <{piece}> is wrong", (key,))


@pytest.mark.parametrize(
    "text",
    [
        "The attribute $.products[0].localized_values[12].data[34].description is too long",
        "product 7c9e6679-7425-40de-944b-e07fc1f90ae7 of 2026-11-20T12:00:00.000Z is unknown",
        "offer SKU-2024-0012345-BLUE: see https://shop.mirakl.net/mmp/shop/offers/123456789/edit",
        "Root=1-67891233-abcdef012345678912345678",
        "MAX_SHIPPING_DEADLINE_EXCEEDED_FOR_OFFER",
        "商品编号12345的价格不正确请检查后重试并联系运营商支持",
        "lines 12, 13, 14, 15, 16, 17, 18, 19, 20, 21 have no price",
    ],
)
def test_what_users_need_of_mirakls_errors_is_shown(text: str) -> None:
    reply = Reply("P41", 400, {}, json.dumps({"message": text}).encode(), (KEY, "the-very-secret-key"))
    assert text in str(error_from(reply, method="POST", path="/x", now=datetime.now(UTC)))


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b"upstream connect error or disconnect/reset before headers. reset reason: overflow", True),
        (b"<h1>504 Gateway Time-out</h1><hr>nginx/1.18.0 (Ubuntu)", True),
        (b'{"title": "Not allowed", "status": 403}', True),
        (b"request 8841-22 of H4sIAAAAAAAC was refused", False),
        (b'{"data": [56, 102, 49, 52, 101, 52, 53, 102]}', False),
        (b"OGYx NGU0 NWYt Y2Vl YS00 Njdh", False),
    ],
)
def test_a_body_in_no_known_form_is_shown_if_it_is_of_ordinary_words(body: bytes, shown: bool) -> None:
    """Otherwise nobody knows what is in it; its size is enough to ask the owner of the proxy."""
    reply = Reply("P41", 502, {}, body, ())
    (fault,) = error_from(reply, method="POST", path="/x", now=datetime.now(UTC)).faults
    size = f"{len(body)} bytes, not shown because they may contain credentials"
    assert (fault.message == size) is not shown
    assert (size in reply.excerpt()) is not shown


def test_a_link_in_a_message_does_not_show_a_key() -> None:
    reply = Reply("OF52", 500, {}, b"{}", (KEY,))
    error = error_from(reply, method="GET", path=f"/files/{KEY}/1", now=datetime.now(UTC))
    assert "GET /files/***/1 answered 500" in str(error)


# --- on the wire --------------------------------------------------------------------------------------------

PASSWORD = "pr0xy-Passw0rd-long"


@pytest.fixture
def everything_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> pytest.LogCaptureFixture:
    """What the HTTP library and the client log at debug level, whatever Airflow has done to their loggers."""
    for name in ("httpx", "httpcore", "airflow_provider_mirakl.client"):
        monkeypatch.setattr(logging.getLogger(name), "disabled", False)
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
        caplog.set_level(logging.DEBUG, logger=name)
    return caplog


def header_of(text: str) -> bytes:
    return " ".join(text.split()).encode("latin-1", "replace")


@pytest.mark.parametrize("place", ["reason", "not HTTP", "length"])
@pytest.mark.parametrize("name", ["proxy", "HTTPS_PROXY", "ALL_PROXY without a scheme"])
def test_a_proxy_that_repeats_its_password_shows_none(
    bench: Any,
    server: Any,
    steps: Any,
    calls: Any,
    monkeypatch: pytest.MonkeyPatch,
    everything_logged: pytest.LogCaptureFixture,
    name: str,
    place: str,
) -> None:
    """Neither in the error nor in a log, in any form; the status is enough to know what to do."""
    address = server.url.replace("http://", f"http://user:{PASSWORD}@")
    if name == "HTTPS_PROXY":
        monkeypatch.setenv(name, address)
    elif name != "proxy":
        monkeypatch.setenv("ALL_PROXY", address.removeprefix("http://"))
    proxy = address if name == "proxy" else None
    client = bench.client("https://shop.mirakl.net", proxy=proxy, max_attempts=1)
    secrets = (PASSWORD, f"user:{PASSWORD}")
    for echo in ECHOES.values():
        for secret in secrets:
            said = header_of(echo(secret))
            whole = {
                "reason": b"HTTP/1.1 407 bad %s\r\n\r\n" % said,
                "not HTTP": b"%s\r\n\r\n" % said,
                "length": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: %s\r\nContent-Length: %s\r\n\r\n"
                % (said, said),
            }[place]
            server.script(steps.raw(whole))
            everything_logged.clear()
            with pytest.raises(MiraklTransportError) as caught:
                client.send(calls.read)
            error = caught.value
            shown = f"{error} {error.args} {vars(error)} {everything_logged.text}"
            assert said.decode("latin-1")[-12:] not in shown
            assert not any(
                secret[start : start + 8].casefold() in shown.casefold() for start in range(len(secret) - 7)
            )
            assert b64(f"user:{PASSWORD}") not in shown
            if place == "reason":
                assert "the proxy answered 407" in str(error)
                assert (error.surely_not_sent, error.reason) == (True, "proxy")
            assert "try 1 of 1" in everything_logged.text


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
def test_the_http_library_logs_no_header_of_a_reply(
    bench: Any,
    server: Any,
    steps: Any,
    calls: Any,
    everything_logged: pytest.LogCaptureFixture,
    echo: Callable[[str], str],
) -> None:
    """At debug level it prints every header: a key that is repeated, a signed link, a cookie."""
    said = header_of(echo(KEY)).decode("latin-1").replace("\\", "/")
    link = "/api/there?signature=s3cr3t-signature"
    server.script(
        steps.reply(302, b"", Location=link, X_Echo=said, Set_Cookie=f"session={KEY}"),
        steps.reply(503, b"", X_Echo=said, X_Request_Id=said),
        steps.raw(
            f"HTTP/1.1 200 OK\r\nX-Echo: {said}\r\nTransfer-Encoding: chunked\r\n\r\n{said}\r\n".encode()
        ),
        steps.reply(200, b"{}", X_Echo=said),
    )
    bench.client(server.url, auth=api_key(KEY)).send(calls.read)
    assert len(server.seen) == 4
    assert "connect_tcp.complete" in everything_logged.text, "connections are still logged"
    assert "s3cr3t-signature" not in everything_logged.text
    assert not is_readable(everything_logged.text)
    assert not shows_encoded(everything_logged.text)


def test_a_redirect_to_a_host_that_is_named_like_the_key_does_not_show_it(
    bench: Any, server: Any, steps: Any, calls: Any
) -> None:
    for location in (f"https://{KEY}.example/", f"{KEY[1:]}://x.example"):
        server.script(steps.reply(302, b"", Location=location))
        with pytest.raises(MiraklReplyError) as caught:
            bench.client(server.url, auth=api_key(KEY)).send(calls.read)
        assert not is_readable(str(caught.value))


def test_a_packing_that_is_named_like_the_key_does_not_show_it(
    bench: Any, server: Any, steps: Any, calls: Any
) -> None:
    server.script(steps.reply(200, b"{}", Content_Encoding=KEY))
    with pytest.raises(MiraklReplyError, match="'something unknown', which was not requested") as caught:
        bench.client(server.url, auth=api_key(KEY)).send(calls.read)
    assert not is_readable(str(caught.value))
