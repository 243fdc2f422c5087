"""A server that repeats credentials, in whatever encoding or part: no message shows them."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest

from airflow_provider_mirakl.api.call import Reply
from airflow_provider_mirakl.api.secrets import WITHHELD, without_secrets
from airflow_provider_mirakl.client.replies import error_from
from airflow_provider_mirakl.client.settings import Settings, api_key

KEY = "8f14e45f-ceea-467a-9575-2b1c4a7d9e03"


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


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
    assert b64(KEY)[:12] not in shown
    assert KEY.encode().hex()[:16] not in shown


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
