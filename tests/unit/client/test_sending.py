"""Both clients against a server that answers as badly as a network can."""

from __future__ import annotations

import contextlib
import gzip
import io
import itertools
import json
import logging
import select
import socket
import ssl
import threading
import tracemalloc
import zlib
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.api.call import Call, Multipart, Operation, Part, Reply, nothing
from airflow_provider_mirakl.api.connect import upsert_products
from airflow_provider_mirakl.client import http
from airflow_provider_mirakl.client.replies import MAX_TEXT
from airflow_provider_mirakl.client.settings import Settings, api_key, clean_base_url
from airflow_provider_mirakl.exceptions import (
    MiraklApiError,
    MiraklBadRequestError,
    MiraklError,
    MiraklInputError,
    MiraklNotYetError,
    MiraklPermissionError,
    MiraklRateLimitError,
    MiraklReplyError,
    MiraklServerError,
    MiraklTransportError,
)

OK = {"ok": True}
REFUSED = b"HTTP/1.1 429 x\r\nRetry-After: 1\r\nConnection: close\r\n"


# --- what a request looks like ------------------------------------------------------------------------------


def test_a_request(bench: Any, server: Any, steps: Any, calls: Any) -> None:
    server.script(steps.reply(200, OK))
    client = bench.client(server.url, user_agent="airflow/3.3.2")
    assert client.send(calls.upsert) == OK
    (seen,) = server.seen
    assert (seen.method, seen.target, seen.body) == ("POST", "/api/things", b'{"things":[]}')
    assert seen.headers["authorization"] == "the-very-secret-key"
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["accept"] == "application/json"
    assert seen.headers["user-agent"].startswith("airflow-provider-mirakl/")
    assert seen.headers["user-agent"].endswith("airflow/3.3.2")


def test_a_delete_has_its_body(bench: Any, server: Any, steps: Any, calls: Any) -> None:
    server.script(steps.reply(202))
    operation = Operation("D", "DELETE", "/api/products", replay=True)
    assert bench.client(server.url).send(Call(operation, parse=nothing, body=b'{"products":[]}')) is None
    assert server.seen[0].body == b'{"products":[]}'


def test_parameters_are_encoded_as_mirakl_asks(bench: Any, server: Any, steps: Any, calls: Any) -> None:
    server.script(steps.reply(200, OK))
    params = (("since", "2019-08-29T02:34:00+02:00"), ("a", "é/ ?&"), ("a", "2"))
    bench.client(server.url).send(calls.make(params=params))
    assert (
        server.seen[0].target
        == "/api/things?since=2019-08-29T02%3A34%3A00%2B02%3A00&a=%C3%A9%2F%20%3F%26&a=2"
    )


def test_a_signed_link_arrives_as_it_is(
    bench: Any, server: Any, steps: Any, other_server: Any, calls: Any
) -> None:
    other_server.script(steps.reply(200, OK))
    query = "?X-Amz-Signature=a%2Fb%3D&x=1+2&e=%C3%A9"
    bench.client(server.url).send(calls.make(path=f"{other_server.url}/bucket/a%20b.json{query}"))
    (seen,) = other_server.seen
    assert seen.target == f"/bucket/a%20b.json{query}"
    assert "authorization" not in seen.headers


# --- retries ------------------------------------------------------------------------------------------------


BREAKS: dict[str, Callable[[Any, Any], Any]] = {
    "reset before": lambda steps, server: steps.reset(),
    "end before": lambda steps, server: steps.raw(b""),
    "reset in the head": lambda steps, server: steps.reset(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "reset in the body": lambda steps, server: steps.reset(
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"
    ),
    "truncated": lambda steps, server: steps.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
    "truncated chunks": lambda steps, server: steps.raw(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{"
    ),
    "no HTTP": lambda steps, server: steps.raw(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "broken gzip": lambda steps, server: steps.reply(200, b"not gzip at all", Content_Encoding="gzip"),
    "head without end": lambda steps, server: steps.raw(b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 200_000),
    "silence": lambda steps, server: steps.silence(server),
    "silence in the body": lambda steps, server: steps.silence(
        server, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"
    ),
}


@pytest.mark.parametrize("how", BREAKS)
def test_an_unclear_failure(bench: Any, server: Any, steps: Any, calls: Any, how: str) -> None:
    """Reads and upserts are sent again; an import is not, since it is not known whether it arrived."""
    step = BREAKS[how](steps, server)
    # A silence is waited out five times; but the timeout also holds for the reply that follows it.
    client = bench.client(server.url, timeout=2 if "silence" in how else 120)
    for call in (calls.read, calls.upsert):
        server.script(step, step, steps.reply(200, OK))
        assert client.send(call) == OK
        assert len(server.seen) == 3
    server.script(step, steps.reply(200, OK))
    with pytest.raises(MiraklTransportError) as caught:
        client.send(calls.imported)
    assert caught.value.surely_not_sent is False
    assert caught.value.operation == "T03"
    assert len(server.seen) == 1


def test_a_connection_that_was_never_made(
    bench: Any, server: Any, steps: Any, calls: Any, closed_port: int
) -> None:
    client = bench.client(f"http://127.0.0.1:{closed_port}", max_attempts=3)
    with pytest.raises(MiraklTransportError) as caught:
        client.send(calls.imported)
    assert caught.value.surely_not_sent is True
    assert caught.value.reason == "refused"
    assert len(bench.time.slept) == 2, "even an import was tried three times"


def test_an_unknown_host(bench: Any, calls: Any) -> None:
    with pytest.raises(MiraklTransportError) as caught:
        bench.client("https://no-such-host.invalid", max_attempts=1).send(calls.imported)
    assert caught.value.surely_not_sent is True
    assert caught.value.reason == "unknown_host"


def test_a_connection_that_takes_too_long(bench: Any, calls: Any) -> None:
    """A listener whose queue is full neither accepts nor refuses."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        try:
            for one in waiting:
                one.setblocking(False)
                one.connect_ex(listener.getsockname())
            client = bench.client(
                f"http://127.0.0.1:{listener.getsockname()[1]}",
                connect_timeout=0.3,
                timeout=30,
                max_attempts=1,
            )
            with pytest.raises(MiraklTransportError) as caught:
                client.send(calls.imported)
        finally:
            for one in waiting:
                one.close()
    assert caught.value.surely_not_sent is True
    assert "ConnectTimeout" in str(caught.value)
    assert caught.value.reason == "timeout"


def test_a_handshake_with_something_that_is_no_tls(bench: Any, server: Any, steps: Any, calls: Any) -> None:
    server.script(steps.raw(b"hello"))
    url = server.url.replace("http://", "https://")
    with pytest.raises(MiraklTransportError) as caught:
        bench.client(url, max_attempts=1, connect_timeout=0.5).send(calls.imported)
    assert caught.value.surely_not_sent is True
    assert caught.value.reason in ("no_https", "timeout")


def test_a_server_without_https_is_told_from_one_that_is_silent(bench: Any, calls: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(MiraklTransportError) as caught:
            bench.client(f"https://127.0.0.1:{listener.getsockname()[1]}", max_attempts=1).send(
                calls.imported
            )
        thread.join()
    assert (caught.value.surely_not_sent, caught.value.reason) == (True, "no_https")


def test_a_reader_that_does_not_read_is_unclear(bench: Any, calls: Any) -> None:
    """The write times out: part of the body has left."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client = bench.client(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=0.3, max_attempts=1)
        with pytest.raises(MiraklTransportError) as caught:
            client.send(calls.make(method="POST", replay=False, body=b"x" * 20_000_000))
    assert caught.value.surely_not_sent is False


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_server_errors_are_retried_where_that_is_harmless(
    bench: Any, server: Any, steps: Any, calls: Any, status: int
) -> None:
    client = bench.client(server.url)
    server.script(steps.reply(status, b"<html><title>down</title></html>"), steps.reply(200, OK))
    assert client.send(calls.upsert) == OK
    server.script(steps.reply(status, b""), steps.reply(200, OK))
    with pytest.raises(MiraklServerError):
        client.send(calls.imported)
    assert len(server.seen) == 1


@pytest.mark.parametrize("kind", ["read", "upsert", "imported"])
def test_429_is_waited_for_whatever_the_operation(
    bench: Any, server: Any, steps: Any, calls: Any, kind: str
) -> None:
    server.script(steps.reply(429, {}, Retry_After="30"), steps.reply(200, OK))
    assert bench.client(server.url).send(getattr(calls, kind)) == OK
    assert 30 <= sum(bench.time.slept) < 32


def test_429_never_loops(bench: Any, server: Any, steps: Any, calls: Any) -> None:
    """Without a time that can be read, a minute is assumed: the third refusal is the last within ``max_wait``."""
    for value, tries in {
        "0": 4, "1": 4, "garbage": 3, "-7": 4, "Thu, 01 Jan 1970 00:00:00 GMT": 4, None: 3,
    }.items():  # fmt: skip
        bench.pacer.forget()
        server.script(steps.reply(429, {}, Retry_After=value))
        with pytest.raises(MiraklRateLimitError) as caught:
            bench.client(server.url).send(calls.read)
        assert len(server.seen) == tries, value
        assert caught.value.retry_at is not None


def test_429_far_away_is_raised_at_once_with_its_moment(
    bench: Any, server: Any, steps: Any, calls: Any
) -> None:
    server.script(steps.reply(429, {"message": "Too many"}, Retry_After="3600"))
    client = bench.client(server.url)
    with pytest.raises(MiraklRateLimitError) as caught:
        client.send(calls.read)
    assert caught.value.retry_after == 3600
    assert caught.value.retry_at.timestamp() == bench.time.moment + 3600
    assert not bench.time.slept
    with pytest.raises(MiraklNotYetError) as later:
        client.send(calls.read)
    assert later.value.retry_at == caught.value.retry_at
    assert len(server.seen) == 1, "a second call would only have been refused as well"


def test_429_as_a_date_by_a_server_whose_clock_is_wrong(
    bench: Any, server: Any, steps: Any, calls: Any
) -> None:
    dates = {"Retry_After": "Mon, 01 Jan 2001 00:00:20 GMT", "Date": "Mon, 01 Jan 2001 00:00:00 GMT"}
    server.script(steps.reply(429, {}, **dates), steps.reply(200, OK))
    assert bench.client(server.url).send(calls.read) == OK
    assert 20 <= sum(bench.time.slept) < 22


def test_an_answer_before_the_body_was_read(bench: Any, server: Any, steps: Any, calls: Any) -> None:
    """A gateway refuses a large upload early and stops reading: the refusal counts, not the broken pipe."""
    server.script(steps.early(steps.reply(429, {}, Retry_After="1")), steps.reply(200, OK))
    call = calls.make(method="POST", replay=False, body=b"x" * 5_000_000)
    assert bench.client(server.url).send(call) == OK
    assert len(server.seen[1].body) == 5_000_000


# --- bodies -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress),
        ("deflate", lambda data: zlib.compress(data, wbits=-15)), ("identity", bytes), ("GZIP", gzip.compress),
    ],
)  # fmt: skip
def test_packed_bodies(bench: Any, server: Any, steps: Any, calls: Any, encoding: str, pack: Any) -> None:
    client, data = bench.client(server.url), json.dumps({"message": "größer"}).encode()
    if encoding != "x-gzip":
        server.script(steps.reply(200, pack(data), Content_Encoding=encoding))
        assert client.send(calls.read) == {"message": "größer"}
    server.script(steps.reply(400, pack(data), Content_Encoding=encoding))
    with pytest.raises(MiraklBadRequestError, match="größer"):
        client.send(calls.read)


def test_a_packing_that_was_not_asked_for(bench: Any, server: Any, steps: Any, calls: Any) -> None:
    server.script(steps.reply(200, b"{}", Content_Encoding="br"))
    with pytest.raises(MiraklReplyError, match="'br', which was not requested"):
        bench.client(server.url, max_attempts=4).send(calls.read)
    assert len(server.seen) == 1, "another try brings the same"
    assert server.seen[0].headers["accept-encoding"] == "gzip, deflate"


def test_an_error_in_an_unknown_packing_is_still_that_error(
    bench: Any, server: Any, steps: Any, calls: Any
) -> None:
    server.script(steps.reply(403, b"\x00\x01", Content_Encoding="br"))
    with pytest.raises(MiraklPermissionError):
        bench.client(server.url).send(calls.read)


@pytest.mark.parametrize("encoding", ["aws-chunked", "utf-8", "none", "", "identity, aws-chunked"])
def test_a_packing_that_is_none(bench: Any, server: Any, steps: Any, calls: Any, encoding: str) -> None:
    server.script(steps.reply(200, OK, Content_Encoding=encoding))
    assert bench.client(server.url).send(calls.read) == OK


def test_a_packed_body_that_is_not_whole(bench: Any, server: Any, steps: Any, calls: Any) -> None:
    """Its length matches the header, but compression was interrupted. It must not pass as a shorter body."""
    packed = gzip.compress(b"[1]\n" * 1000, mtime=0)
    server.script(steps.reply(200, packed[:-9], Content_Encoding="gzip"), steps.reply(200, OK))
    assert bench.client(server.url).send(calls.read) == OK
    assert len(server.seen) == 2


def test_a_cookie_is_not_sent_back(bench: Any, server: Any, steps: Any, calls: Any) -> None:
    server.script(steps.reply(200, OK, Set_Cookie="JSESSIONID=1; Path=/"))
    client = bench.client(server.url)
    client.send(calls.read)
    client.send(calls.read)
    assert "cookie" not in server.seen[1].headers


def test_a_bomb_in_an_error_stays_small(bench: Any, server: Any, steps: Any, calls: Any) -> None:
    """64 megabytes of zeros in 64 kilobytes; 64 kilobytes are looked at."""
    packer = zlib.compressobj(wbits=31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
    server.script(steps.reply(400, bomb, Content_Encoding="gzip"))
    with pytest.raises(MiraklBadRequestError) as caught:
        bench.client(server.url).send(calls.read)
    assert len(str(caught.value)) < 3 * MAX_TEXT


def test_an_error_without_end_is_left(bench: Any, server: Any, steps: Any, calls: Any) -> None:
    server.script(steps.endless(server, b"HTTP/1.1 400 Bad\r\nConnection: close\r\n\r\n", b"no! " * 1000))
    with pytest.raises(MiraklBadRequestError, match="no! no!"):
        bench.client(server.url).send(calls.read)
    assert server.closed_by_client.wait(120)


def test_a_reply_without_end_is_refused(
    bench: Any, server: Any, steps: Any, calls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "MAX_BODY", 1_000_000)
    server.script(steps.endless(server, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b"[" * 4096))
    with pytest.raises(MiraklReplyError, match="stream"):
        bench.client(server.url).send(calls.read)
    assert server.closed_by_client.wait(120)


def drip(server: Any, head: bytes) -> Any:
    """One byte after another, each well within the timeout, until the client hangs up."""

    def step(connection: socket.socket, seen: Any) -> None:
        connection.sendall(head)
        try:
            while not select.select([connection], [], [], 0.05)[0]:
                connection.sendall(b" ")
        except OSError:
            pass
        server.closed_by_client.set()

    return step


@pytest.mark.parametrize("way", ["send", "download"])
def test_a_reply_that_drips_is_given_up(bench: Any, server: Any, calls: Any, way: str) -> None:
    server.script(drip(server, b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n"))
    client = bench.client(server.url, timeout=1.5, max_attempts=1)
    with pytest.raises(
        MiraklTransportError, match=r"too slowly: \d+ bytes in .* 1,000 bytes per second"
    ) as caught:
        getattr(client, way)(calls.imported)
    assert (caught.value.surely_not_sent, caught.value.reason) == (False, "timeout")
    assert server.closed_by_client.wait(120)


def test_an_error_that_drips_is_still_that_error(bench: Any, server: Any, calls: Any) -> None:
    server.script(drip(server, b"HTTP/1.1 400 Bad\r\nContent-Length: 100000000\r\n\r\n"))
    with pytest.raises(MiraklBadRequestError):
        bench.client(server.url, timeout=1.5).send(calls.read)
    assert server.closed_by_client.wait(120)


def test_time_in_which_nobody_reads_is_no_time_that_the_server_takes(
    server: Any, steps: Any, calls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow disk must not end a download."""
    clock = [0.0]
    monkeypatch.setattr(http, "_now", lambda: clock[0])
    size = 3 * http.STREAM_CHUNK
    server.script(steps.reply(200, b"x" * size))
    got = 0
    with http.Client(Settings(server.url, api_key("k"))) as client, client.stream(calls.read) as download:
        for piece in download.chunks:
            got += len(piece)
            clock[0] += 100_000
    assert got == size


@pytest.mark.parametrize(("rate", "ends"), [(0.0, True), (0.001, True), (100.0, False)])
def test_a_slow_reply_is_read_at_the_rate_of_the_settings(
    server: Any, steps: Any, calls: Any, monkeypatch: pytest.MonkeyPatch, rate: float, ends: bool
) -> None:
    """The clock moves an hour with every look at it. A busy machine may read the reply in many small pieces."""
    ticks = itertools.count(0, 3600)
    monkeypatch.setattr(http, "_now", lambda: float(next(ticks)))
    server.script(steps.reply(200, b" " * 100_000 + b"{}"))
    settings = Settings(server.url, api_key("k"), min_rate=rate, max_attempts=1)
    expected = contextlib.nullcontext() if ends else pytest.raises(MiraklTransportError, match="too slowly")
    with http.Client(settings) as client, expected:
        client.send(calls.read)


@pytest.mark.parametrize(
    "answer",
    [
        REFUSED + b"Content-Length: 500\r\n\r\n{",
        REFUSED + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
        REFUSED + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_an_error_whose_body_breaks_is_still_that_error(
    bench: Any, server: Any, steps: Any, calls: Any, answer: bytes
) -> None:
    """The status has been read: an import refused with 429 surely was not carried out."""
    server.script(steps.raw(answer), steps.reply(200, OK))
    assert bench.client(server.url).send(calls.imported) == OK


UNREADABLE = {
    "truncated JSON": b'{"products": [{"id": "1',
    "empty": b"",
    "a list": b"[]",
    "a text": b'"x"',
    "not UTF-8": b'{"a":"\xff"}',
    "deep": b"[" * 100_000,
    "HTML without its type": b"<!DOCTYPE html><html></html>",
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_reply_that_cannot_be_read(bench: Any, server: Any, steps: Any, calls: Any, body: bytes) -> None:
    server.script(steps.reply(200, body))
    with pytest.raises(MiraklReplyError) as caught:
        bench.client(server.url).send(calls.read)
    assert caught.value.operation == "T01"
    assert caught.value.status == 200
    assert len(str(caught.value)) < 1000
    assert len(server.seen) == 1


def test_200_with_a_web_page_is_not_taken_for_success(bench: Any, server: Any, steps: Any) -> None:
    """The reply of an upsert holds nothing to read, so that a login page would pass for it."""
    server.script(steps.reply(200, "<html>Please sign in</html>", content_type="text/html; charset=utf-8"))
    with pytest.raises(MiraklReplyError, match="web page"):
        bench.client(server.url).send(upsert_products([{"id": "1"}]))


@pytest.mark.parametrize("status", [200, 202, 204])
def test_an_empty_success_is_success(bench: Any, server: Any, steps: Any, status: int) -> None:
    server.script(steps.reply(status))
    assert bench.client(server.url).send(upsert_products([{"id": "1"}])) is None


def test_header_names_of_any_case_and_values_of_any_letters(bench: Any, server: Any, steps: Any) -> None:
    head = (
        'HTTP/1.1 200\r\nCONTENT-disposition: attachment; filename="größe.csv"\r\nLINK: <a>\r\nLink: <b>\r\n'
    )
    server.script(steps.raw(head.encode() + b"Content-Length: 2\r\n\r\n{}"))
    reply = bench.client(server.url).send(
        Call(Operation("X", "GET", "/", replay=True), parse=lambda reply: reply)
    )
    assert reply.headers["content-disposition"] == 'attachment; filename="größe.csv"'
    assert reply.headers["link"] == "<a>, <b>"


def test_no_reason_phrase_is_needed(bench: Any, server: Any, steps: Any, calls: Any) -> None:
    server.script(steps.raw(b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n{}"))
    assert bench.client(server.url).send(calls.read) == {}


# --- uploads ------------------------------------------------------------------------------------------------

UPLOAD = Operation("S32", "POST", "/api/shops/documents", replay=False)


class Slices(io.RawIOBase):
    """A file of any size that is never in memory, and counts the largest piece asked for."""

    def __init__(self, size: int, seekable: bool = True, real_size: int | None = None) -> None:
        self._size, self._seekable, self._place = size, seekable, 0
        self._real_size = size if real_size is None else real_size
        self.largest = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._seekable

    def seek(self, offset: int, whence: int = 0) -> int:
        self._place = offset + (self._size if whence == 2 else 0)
        return self._place

    def read(self, size: int = -1) -> bytes:
        assert size > 0, "asked for the whole file at once"
        self.largest = max(self.largest, size)
        piece = min(size, self._real_size - self._place)
        self._place += piece
        return b"x" * piece


def test_an_upload(bench: Any, server: Any, steps: Any, tmp_path: Path) -> None:
    server.script(steps.reply(200, OK))
    file = tmp_path / "a.csv"
    file.write_bytes(b"sku;price\r\n1;2\r\n")
    body = Multipart(
        (
            Part("file", lambda: file.open("rb"), file_name='größe "1".csv'),
            Part("import_mode", b"NORMAL"),
            Part("options", b"{}", content_type="application/json"),
        ),
        boundary="BOUND",
    )
    assert bench.client(server.url).send(Call(UPLOAD, parse=Reply.json_object, body=body)) == OK
    (seen,) = server.seen
    assert seen.headers["content-type"] == "multipart/form-data; boundary=BOUND"
    assert int(seen.headers["content-length"]) == len(seen.body)
    assert seen.body.decode() == (
        '--BOUND\r\nContent-Disposition: form-data; name="file"; filename="größe %221%22.csv"\r\n'
        "Content-Type: application/octet-stream\r\n\r\nsku;price\r\n1;2\r\n\r\n"
        '--BOUND\r\nContent-Disposition: form-data; name="import_mode"\r\n\r\nNORMAL\r\n'
        '--BOUND\r\nContent-Disposition: form-data; name="options"\r\nContent-Type: application/json\r\n\r\n{}\r\n'
        "--BOUND--\r\n"
    )


@pytest.mark.parametrize("seekable", [True, False])
def test_a_large_upload_is_read_in_pieces(bench: Any, server: Any, steps: Any, seekable: bool) -> None:
    server.script(steps.reply(200, OK))
    file = Slices(20_000_000, seekable)
    call = Call(UPLOAD, parse=nothing, body=Multipart((Part("files", lambda: file, file_name="a.pdf"),)))
    bench.client(server.url).send(call)
    assert len(server.seen[0].body) > 20_000_000
    assert ("content-length" in server.seen[0].headers) is seekable
    assert file.largest <= 1 << 20
    assert file.closed


def test_a_very_large_upload_takes_little_memory(bench: Any, server: Any, steps: Any) -> None:
    size = 200_000_000

    def swallow(connection: socket.socket, seen: Any) -> None:
        left = int(seen.headers["content-length"]) - len(seen.body)
        while left > 0:
            left -= len(connection.recv(1 << 16))
        steps.reply(200, OK)(connection, seen)

    swallow.early = True  # type: ignore[attr-defined]
    server.script(swallow)
    call = Call(
        UPLOAD, parse=Reply.json_object, body=Multipart((Part("f", lambda: Slices(size), file_name="a"),))
    )
    client = bench.client(server.url)
    tracemalloc.start()
    try:
        assert client.send(call) == OK
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10_000_000


def test_an_upload_that_is_retried_opens_its_files_anew(bench: Any, server: Any, steps: Any) -> None:
    server.script(steps.reply(429, {}, Retry_After="1"), steps.reply(200, OK))
    opened: list[Slices] = []

    def open_file() -> Slices:
        opened.append(Slices(1000))
        return opened[-1]

    bench.client(server.url).send(
        Call(UPLOAD, parse=nothing, body=Multipart((Part("f", open_file, file_name="a"),)))
    )
    assert len(opened) == 2
    assert all(file.closed for file in opened)
    bodies = [seen.body.count(b"x" * 1000) for seen in server.seen]
    assert bodies == [1, 1]


@pytest.mark.parametrize("real_size", [500, 2000])
def test_a_file_that_changes_meanwhile_is_an_error(
    bench: Any, server: Any, steps: Any, real_size: int
) -> None:
    server.script(steps.reply(200, OK))
    part = Part("f", lambda: Slices(1000, real_size=real_size), file_name="a.csv")
    with pytest.raises(MiraklInputError, match=r"a\.csv: changed while it was sent"):
        bench.client(server.url).send(Call(UPLOAD, parse=nothing, body=Multipart((part,))))


def test_a_missing_file_is_told_as_such(bench: Any, server: Any, steps: Any, tmp_path: Path) -> None:
    part = Part("f", lambda: (tmp_path / "none.csv").open("rb"), file_name="none.csv")
    with pytest.raises(FileNotFoundError):
        bench.client(server.url).send(Call(UPLOAD, parse=nothing, body=Multipart((part,))))


# --- proxies, TLS -------------------------------------------------------------------------------------------


def test_a_proxy_of_the_settings(bench: Any, server: Any, steps: Any, calls: Any) -> None:
    server.script(steps.reply(200, OK))
    assert bench.client("http://localhost:9", proxy=server.url).send(calls.read) == OK
    assert server.seen[0].target == "http://localhost:9/api/things"


def test_a_proxy_of_the_environment(
    bench: Any, server: Any, steps: Any, calls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.script(steps.reply(200, OK))
    monkeypatch.setenv("HTTP_PROXY", server.url)
    assert bench.client("http://own.example").send(calls.read) == OK
    assert server.seen[0].host == "own.example"


@pytest.mark.parametrize("proxied", ["HTTP_PROXY", "ALL_PROXY", "http_proxy"])
def test_the_own_machine_needs_no_proxy(
    bench: Any,
    server: Any,
    steps: Any,
    calls: Any,
    closed_port: int,
    monkeypatch: pytest.MonkeyPatch,
    proxied: str,
) -> None:
    monkeypatch.setenv(proxied, f"http://127.0.0.1:{closed_port}")
    server.script(steps.reply(200, OK))
    assert bench.client(server.url).send(calls.read) == OK


def test_no_proxy_is_kept(
    bench: Any, server: Any, calls: Any, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.setenv("NO_PROXY", "own.invalid")
    with pytest.raises(MiraklTransportError):
        bench.client("http://own.invalid", max_attempts=1).send(calls.read)
    assert not server.seen


def test_a_loopback_instance_does_not_take_the_proxy_from_links_elsewhere(
    bench: Any, server: Any, steps: Any, other_server: Any, calls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", other_server.url)
    other_server.script(steps.reply(200, OK))
    bench.client(server.url).send(calls.make(path="http://files.example/1"))
    assert other_server.seen[0].target == "http://files.example/1"
    assert "authorization" not in other_server.seen[0].headers


def test_a_proxy_that_refuses_was_never_mirakl(bench: Any, server: Any, steps: Any, calls: Any) -> None:
    server.script(steps.reply(407, b"<html>no</html>"))
    with pytest.raises(MiraklTransportError) as caught:
        bench.client("https://shop.mirakl.net", proxy=server.url, max_attempts=1).send(calls.imported)
    assert caught.value.surely_not_sent is True
    assert server.seen[0].method == "CONNECT"
    assert "authorization" not in server.seen[0].headers


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="needs IPv6: enable it on the loopback interface")
def test_ipv6(
    bench: Any, make_server: Any, steps: Any, calls: Any, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed_port}")
    server = make_server(host="::1")
    server.script(steps.reply(302, b"", Location="/api/there"), steps.reply(200, OK))
    assert bench.client(clean_base_url(f"{server.url}/api/")).send(calls.read) == OK
    assert server.seen[1].headers["authorization"] == "the-very-secret-key"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    import datetime
    import ipaddress

    x509 = pytest.importorskip("cryptography.x509", reason="needs cryptography: make venv installs it")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def tls_server(make_server: Any, certificate: tuple[Path, Path]) -> Any:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return make_server(context)


def test_an_unknown_certificate_is_refused(bench: Any, tls_server: Any, steps: Any, calls: Any) -> None:
    tls_server.script(steps.reply(200, OK))
    with pytest.raises(MiraklTransportError, match="CERTIFICATE_VERIFY_FAILED") as caught:
        bench.client(tls_server.url, max_attempts=1).send(calls.imported)
    assert caught.value.surely_not_sent is True
    assert not tls_server.seen


def test_a_ca_bundle_is_trusted(
    bench: Any, tls_server: Any, steps: Any, calls: Any, certificate: tuple[Path, Path]
) -> None:
    tls_server.script(steps.reply(200, OK))
    assert bench.client(tls_server.url, ca_bundle=str(certificate[0])).send(calls.read) == OK


def tunnel(connection: Any, seen: Any) -> None:
    """What a proxy does with CONNECT; in one thread, since two must not use one TLS connection at once."""
    host, _, port = seen.target.rpartition(":")
    with socket.create_connection((host, int(port))) as there, contextlib.suppress(OSError):
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        other = {connection: there, there: connection}
        while True:
            is_held = isinstance(connection, ssl.SSLSocket) and connection.pending()
            for end in [connection] if is_held else select.select([*other], [], [], 120)[0]:
                if not (data := end.recv(65536)):
                    return
                other[end].sendall(data)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_sees_no_key_and_is_trusted_as_mirakl_is(
    bench: Any,
    tls_server: Any,
    make_server: Any,
    steps: Any,
    calls: Any,
    certificate: tuple[Path, Path],
    scheme: str,
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    proxy = make_server(context if scheme == "https" else None)
    proxy.script(tunnel)
    tls_server.script(steps.reply(200, OK))
    address = proxy.url.replace("://", "://user:p%40ss@")
    client = bench.client(tls_server.url, proxy=address, ca_bundle=str(certificate[0]), max_attempts=1)
    assert client.send(calls.read) == OK
    assert proxy.seen[0].headers["proxy-authorization"] == f"Basic {b64encode(b'user:p@ss').decode()}"
    assert "authorization" not in proxy.seen[0].headers
    assert "proxy-authorization" not in tls_server.seen[0].headers


def test_a_429_that_does_not_say_how_long_is_not_asked_again_at_once(
    bench: Any, server: Any, steps: Any, calls: Any
) -> None:
    server.script(steps.reply(429, b""))
    with pytest.raises(MiraklRateLimitError, match="in 60 s"):
        bench.client(server.url, max_wait=10).send(calls.read)
    assert len(server.seen) == 1


def test_a_broken_connection_is_told_in_the_words_of_the_system(
    bench: Any, server: Any, steps: Any, calls: Any
) -> None:
    server.script(steps.reset())
    with pytest.raises(MiraklTransportError, match="ReadError") as caught:
        bench.client(server.url, max_attempts=1).send(calls.read)
    # Before, anyio kept the system's word from the event loop.
    if bench.face.__name__ == "SyncFace" or tuple(map(int, version("anyio").split(".")[:2])) >= (4, 13):
        assert "reset by peer" in str(caught.value)


def test_certificates_of_the_environment_are_trusted(
    bench: Any,
    tls_server: Any,
    steps: Any,
    calls: Any,
    certificate: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    tls_server.script(steps.reply(200, OK))
    assert bench.client(tls_server.url).send(calls.read) == OK


def test_a_plain_instance_does_not_switch_verification_off_elsewhere(
    bench: Any, server: Any, tls_server: Any, steps: Any, calls: Any
) -> None:
    """A local gateway over http, and a link or a token server over https."""
    tls_server.script(steps.reply(200, OK))
    with pytest.raises(MiraklTransportError, match="CERTIFICATE_VERIFY_FAILED"):
        bench.client(server.url, max_attempts=1).send(calls.make(path=f"{tls_server.url}/file"))
    assert not tls_server.seen


def test_an_https_instance_follows_no_plain_link(
    bench: Any, server: Any, tls_server: Any, steps: Any, calls: Any, certificate: tuple[Path, Path]
) -> None:
    tls_server.script(steps.reply(302, b"", Location=f"{server.url}/file"))
    client = bench.client(tls_server.url, ca_bundle=str(certificate[0]))
    with pytest.raises(MiraklReplyError, match="only https"):
        client.send(calls.read)
    with pytest.raises(MiraklReplyError, match="only https"):
        client.send(calls.make(path=f"{server.url}/file"))
    assert not server.seen


def test_clients_share_what_is_slow_to_load() -> None:
    from airflow_provider_mirakl.client.settings import Settings, api_key

    settings = Settings(base_url="https://shop.mirakl.net", auth=api_key("k"))
    assert http._options(settings)["verify"] is http._options(settings)["verify"]


def test_a_link_to_another_host_is_fetched_without_the_key(
    bench: Any, server: Any, steps: Any, other_server: Any, calls: Any
) -> None:
    """A link as Mirakl's replies have it: to a file, which may be on a store of objects."""
    other_server.script(steps.reply(200, OK))
    server.script(steps.reply(200, OK))
    client = bench.client(server.url)
    client.send(calls.make(path=f"{other_server.url}/bucket/file?sig=1"))
    client.send(calls.make(path=f"{server.url}/api/file"))
    assert "the-very-secret-key" not in repr(other_server.seen[0].headers)
    assert server.seen[0].headers["authorization"] == "the-very-secret-key"


# --- redirects over the wire --------------------------------------------------------------------------------


def test_redirects(bench: Any, server: Any, steps: Any, other_server: Any, calls: Any) -> None:
    client = bench.client(server.url)
    server.script(steps.reply(302, b"", Location="/api/moved"), steps.reply(200, OK))
    assert client.send(calls.read) == OK
    assert server.seen[1].headers["authorization"] == "the-very-secret-key"
    for call in (calls.read, calls.upsert, calls.imported):
        server.script(steps.reply(307, b"", Location=f"{other_server.url}/api/things"), steps.reply(200, OK))
        with pytest.raises(MiraklReplyError, match="redirects to"):
            client.send(call)
        assert len(server.seen) == 1
    assert not other_server.seen


@pytest.mark.parametrize(
    "location", ["http://[::1", "http://a b/", "http://x:99999/", "//\x01/", "http://\xff/"]
)
def test_a_location_that_is_no_address(
    bench: Any, server: Any, steps: Any, calls: Any, location: str
) -> None:
    server.script(steps.reply(302, b"", Location=location))
    with pytest.raises((MiraklReplyError, MiraklTransportError)):
        bench.client(server.url).send(calls.read)


@pytest.mark.parametrize(
    "host", ["files..example", f"{'a' * 64}.example", ".example", "xn--files0.example", "256.1.1.1"]
)
def test_a_link_to_a_host_that_cannot_be(bench: Any, server: Any, calls: Any, host: str) -> None:
    """Python's resolver, or the HTTP library, would fail with a bare UnicodeError."""
    with pytest.raises(MiraklReplyError, match=r"address does not exist|not an address"):
        bench.client(server.url).send(calls.make(path=f"https://{host}/file"))


# --- pacing over the wire -----------------------------------------------------------------------------------


def test_clients_of_a_process_share_the_interval(bench: Any, server: Any, steps: Any, calls: Any) -> None:
    server.script(steps.reply(200, OK))
    call = calls.make(interval=60)
    for _ in range(3):
        bench.client(server.url).send(call)
    assert bench.time.slept == [60, 60]
    bench.client(server.url, auth=http_auth("another-key")).send(call)
    assert bench.time.slept == [60, 60], "another account has an interval of its own"


def http_auth(key: str) -> Any:
    from airflow_provider_mirakl.client.settings import api_key

    return api_key(key)


def test_at_once_means_one_after_the_other(bench: Any, server: Any, steps: Any, calls: Any) -> None:
    server.script(steps.reply(200, OK))
    start = bench.time.moment
    results = bench.client(server.url, max_wait=1e6).together(calls.make(interval=60), 5)
    assert results == [OK] * 5
    assert bench.time.moment - start >= 240


def test_a_call_not_made_says_when(bench: Any, server: Any, steps: Any, calls: Any) -> None:
    server.script(steps.reply(200, OK))
    client = bench.client(server.url)
    client.send(calls.make(interval=900))
    with pytest.raises(MiraklNotYetError) as caught:
        client.send(calls.make(interval=900))
    assert caught.value.retry_at.timestamp() == bench.time.moment + 900
    assert len(server.seen) == 1
    client.send(calls.make(interval=900), max_wait=1000)
    assert bench.time.slept == [900]


def test_a_call_that_never_arrived_costs_no_turn(
    bench: Any, server: Any, steps: Any, calls: Any, closed_port: int
) -> None:
    client = bench.client(f"http://127.0.0.1:{closed_port}", max_attempts=1, max_wait=5)
    for _ in range(3):
        with pytest.raises(MiraklTransportError):
            client.send(calls.make(interval=60))


# --- what must not be seen ----------------------------------------------------------------------------------


@pytest.fixture
def http_log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """Everything that the HTTP library and the client log, whatever Airflow has done to their loggers."""
    for name in ("httpx", "httpcore", "airflow_provider_mirakl.client"):
        logger = logging.getLogger(name)
        monkeypatch.setattr(logger, "disabled", False)
        monkeypatch.setattr(logger, "propagate", True)
        caplog.set_level(logging.DEBUG, logger=name)
    return caplog


def test_no_link_is_logged(
    bench: Any, server: Any, steps: Any, other_server: Any, calls: Any, http_log: pytest.LogCaptureFixture
) -> None:
    """Neither by us nor by the HTTP library: the query of a link holds a signature."""
    other_server.script(steps.reply(503, b""), steps.reply(200, OK))
    server.script(steps.reply(429, b"", Retry_After="1"), steps.reply(200, OK))
    client = bench.client(server.url)
    client.send(calls.make(path=f"{other_server.url}/f?signature=s3cr3t-signature"))
    client.send(calls.read)
    assert len(server.seen) == 2
    assert "T01: GET answered 200" in http_log.text
    assert "s3cr3t-signature" not in http_log.text
    assert "the-very-secret-key" not in http_log.text


def test_other_users_of_the_http_library_log_as_before(
    server: Any, steps: Any, http_log: pytest.LogCaptureFixture
) -> None:
    import httpx

    server.script(steps.reply(200, OK))
    httpx.get(f"{server.url}/theirs", trust_env=False)
    assert "/theirs" in http_log.text


def failures(steps: Any, secret: bytes) -> list[Any]:
    """Ways to fail, most of them by a server that repeats what it was sent."""
    return [
        steps.reset(),
        steps.reply(401, {"message": f"the key {secret.decode()} is wrong"}),
        steps.reply(500, b"You sent " + secret),
        steps.reply(200, b"You sent Authorization: " + secret),
        steps.reply(302, b"", Location="https://evil.example"),
        steps.reply(429, b"", Retry_After="9999"),
    ]


@pytest.mark.parametrize("number", range(6))
def test_no_error_holds_the_key_anywhere(
    bench: Any, server: Any, steps: Any, calls: Any, number: int
) -> None:
    """Not in its text, not in its causes, not in the variables of our frames that a crash reporter would send on."""
    server.script(failures(steps, b"the-very-secret-key")[number])
    with pytest.raises(MiraklError) as caught:
        bench.client(server.url, max_attempts=1).send(calls.read)
    error: BaseException | None = caught.value
    assert error.__cause__ is None
    assert (
        error.__suppress_context__ or error.__context__ is None or isinstance(error.__context__, MiraklError)
    )
    trace, frames = error.__traceback__, 0
    while trace is not None:
        if "airflow_provider_mirakl" in trace.tb_frame.f_code.co_filename:
            frames += 1
            assert "the-very-secret-key" not in repr(trace.tb_frame.f_locals)
        trace = trace.tb_next
    assert frames > 3
    assert "the-very-secret-key" not in repr(error) + str(error) + repr(vars(error))


def test_no_error_of_an_account_with_a_token_holds_it(
    bench: Any, server: Any, steps: Any, other_server: Any, calls: Any
) -> None:
    from airflow_provider_mirakl.client.settings import ClientCredentials

    other_server.script(steps.reply(200, {"access_token": "t0ken-value"}))
    auth = ClientCredentials(f"{other_server.url}/t", "id", "s3cret-value")
    for step in failures(steps, b"t0ken-value"):
        server.script(step)
        bench.pacer.forget()
        with pytest.raises(MiraklError) as caught:
            bench.client(server.url, auth=auth, max_attempts=1).send(calls.read)
        assert "t0ken-value" not in str(caught.value) + repr(vars(caught.value))
        trace, frames = caught.value.__traceback__, 0
        while trace is not None:
            if "airflow_provider_mirakl" in trace.tb_frame.f_code.co_filename:
                frames += 1
                shown = repr(trace.tb_frame.f_locals)
                assert "t0ken-value" not in shown
                assert "s3cret-value" not in shown
            trace = trace.tb_next
        assert frames > 3


def test_a_closed_client_leaves_no_connection(bench: Any, server: Any, steps: Any, calls: Any) -> None:
    server.script(steps.silence(server, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"))
    client = bench.client(server.url)
    assert client.send(calls.read) == {}
    bench.stack.close()
    assert server.closed_by_client.wait(120)


def test_errors_keep_what_the_operators_need(bench: Any, server: Any, steps: Any, calls: Any) -> None:
    body = {"code": "INVALID_INPUT", "message": "bad", "errors": [{"message": "m", "field": "$.a"}]}
    server.script(steps.reply(400, body, X_Request_Id="r-1"))
    with pytest.raises(MiraklApiError) as caught:
        bench.client(server.url).send(calls.read)
    error = caught.value
    assert (error.operation, error.status, error.code, error.field, error.request_id) == (
        "T01", 400, "INVALID_INPUT", "$.a", "r-1",
    )  # fmt: skip


def test_threads_share_a_client(server: Any, steps: Any, calls: Any, bench: Any) -> None:
    server.script(steps.reply(200, OK))
    client = bench.client(server.url)
    assert client.together(calls.read, 30) == [OK] * 30
    assert threading.active_count() < 200


# --- what a client knows and counts -------------------------------------------------------------------------


def test_a_client_knows_when_the_next_call_is_permitted(
    bench: Any, server: Any, steps: Any, calls: Any
) -> None:
    server.script(steps.reply(200, OK))
    client, call = bench.client(server.url, interval_factor=2.0), calls.make(interval=60)
    inner = client._client
    assert inner.next_permitted(call.operation) == 0
    client.send(call)
    assert inner.next_permitted(call.operation) == 120
    assert inner.next_permitted(call.operation, "another shop") == 0
    bench.time.sleep(100)
    assert inner.next_permitted(call.operation) == 20


def test_the_clock_of_mirakl_is_learned_from_its_own_replies(
    bench: Any, server: Any, steps: Any, other_server: Any, calls: Any
) -> None:
    client, now = bench.client(server.url), bench.time.moment
    assert client._client.clock_offset is None
    server.script(
        steps.reply(200, OK, Date=format_datetime(datetime.fromtimestamp(now + 90, UTC), usegmt=True))
    )
    client.send(calls.read)
    assert client._client.clock_offset == 90
    other_server.script(steps.reply(200, OK, Date="Mon, 01 Jan 2001 00:00:00 GMT"))
    client.send(calls.make(path=f"{other_server.url}/file"))
    server.script(steps.reply(200, OK, Date="soon"))
    client.send(calls.read)
    assert client._client.clock_offset == 90


def test_replies_and_waits_are_counted(bench: Any, server: Any, steps: Any, calls: Any) -> None:
    counted: list[Any] = []

    class Meter:
        def replied(self, operation: str, status: int) -> None:
            counted.append((operation, status))

        def waited(self, seconds: float) -> None:
            counted.append(int(seconds))  # with up to 2 % more

    server.script(steps.reply(429, {}, Retry_After="30"), steps.reply(200, OK))
    client = bench.client(server.url)
    client._client._meter = Meter()
    client.send(calls.read)
    assert counted == [("T01", 429), 30, ("T01", 200)]
