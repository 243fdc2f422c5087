"""What faults do to a call, and how an answer gets onto the wire."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from airflow_provider_mirakl.sandbox.machine.wire import JSON, ApiError, Reply, dumps, error_reply, loads

if TYPE_CHECKING:
    from starlette.types import Send

    from airflow_provider_mirakl.sandbox.machine.exchange import Exchange
    from airflow_provider_mirakl.sandbox.machine.faults import Fault

_HTML = (
    b"<!DOCTYPE html><html><head><title>%d</title></head><body><center><h1>%d</h1></center><hr>"
    b"<center>gateway</center></body></html>"
)
_STATUS_FIELDS = frozenset({"status", "import_status", "shop_state", "requirement_level", "type"})


class Reset(Exception):  # noqa: N818 - not an error of ours, an event on the wire
    """The connection is to be reset without an answer."""


async def before(exchange: Exchange) -> Reply | None:
    """Faults before the call is handled; an answer ends it.

    :raises Reset: when the connection is to be reset unprocessed.
    """
    for fault in exchange.faults:
        if fault.kind == "delay":
            await asyncio.sleep(exchange.machine.clock.real(float(fault.options.get("seconds", 30))))
        elif fault.kind == "reset_before":
            raise Reset
        elif fault.kind == "clock_skew":
            exchange.machine.clock.skew = float(fault.options.get("seconds", 0))
        elif fault.kind == "revoke_token":
            exchange.machine.tokens.revoke(
                exchange.request.headers.get("authorization", "").partition(" ")[2]
            )
        elif fault.kind == "throttle":
            return _throttle(exchange, fault)
        elif fault.kind == "status":
            return _status(exchange, fault)
    return None


def _throttle(exchange: Exchange, fault: Fault) -> Reply:
    clock = exchange.machine.clock
    form = str(fault.options.get("retry_after", "seconds"))
    wait = clock.real_up(float(fault.options.get("seconds", 60)))
    values = {
        "seconds": str(wait),
        "date": formatdate(clock.wall(clock.now()) + wait, usegmt=True),
        "past": formatdate(clock.wall(clock.now()) - 3600, usegmt=True),
        "negative": "-5",
        "zero": "0",
        "fraction": f"{clock.real(float(fault.options.get('seconds', 60))):.3f}",
        "garbage": "soon",
        "none": "",
    }
    text = values.get(form, form)
    headers = {"Retry-After": text} if text else {}
    return error_reply(exchange.system, ApiError(429, "Too many requests.", headers=headers))


def _status(exchange: Exchange, fault: Fault) -> Reply:
    status = int(fault.options.get("status", 503))
    body = fault.options.get("body", "html")
    headers = {str(name): str(value) for name, value in dict(fault.options.get("headers", {})).items()}
    if body == "json":
        return error_reply(
            exchange.system, ApiError(status, "The server met an unexpected condition.", headers=headers)
        )
    if body == "html":
        return Reply(status, _HTML % (status, status), "text/html", headers)
    if body == "empty":
        return Reply(status, headers=headers)
    return Reply(status, str(body).encode(), "text/plain", headers)


def alter(exchange: Exchange, reply: Reply) -> Reply:
    """What strikes after the call was processed.

    :raises Reset: when the connection is to be reset instead of an answer.
    """
    for fault in exchange.faults:
        if fault.kind == "reset_after":
            raise Reset
        if fault.kind == "empty_body":
            reply = Reply(reply.status, b"", "", reply.headers)
        elif fault.kind == "broken_json" and reply.body:
            reply = Reply(
                reply.status, reply.body[: max(1, len(reply.body) // 2)], reply.media_type, reply.headers
            )
        elif fault.kind == "html_body":
            reply = Reply(
                200, b"<!DOCTYPE html><html><body><h1>Please sign in</h1></body></html>", "text/html"
            )
        elif fault.kind in ("unknown_enum", "extra_fields") and reply.media_type == JSON and reply.body:
            reply = _rewrite(fault, reply)
    return reply


def _rewrite(fault: Fault, reply: Reply) -> Reply:
    names = {fault.options["field"]} if "field" in fault.options else _STATUS_FIELDS
    word = fault.options.get("value", "NEVER_SEEN_BEFORE")

    def walk(value: Any) -> Any:
        if isinstance(value, list):
            return [walk(element) for element in value]
        if not isinstance(value, dict):
            return value
        if fault.kind == "extra_fields":
            return {
                **{k: walk(v) for k, v in value.items()},
                "sandbox_extra": {"new": True},
                "sandbox_list": [1, None],
            }
        return {k: word if k in names and isinstance(v, str) else walk(v) for k, v in value.items()}

    with contextlib.suppress(json.JSONDecodeError):
        return Reply(reply.status, dumps(walk(loads(reply.body))), reply.media_type, reply.headers)
    return reply


async def send(exchange: Exchange, reply: Reply, to: Send) -> None:
    """Put an answer onto the wire, as slowly or as incompletely as was ordered."""
    body = reply.body
    cut = next((fault for fault in exchange.faults if fault.kind in ("truncate", "reset_during")), None)
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers.items()
    ]
    clock = exchange.machine.clock
    headers.append((b"date", formatdate(clock.wall(clock.now()), usegmt=True).encode()))
    if reply.media_type:
        headers.append((b"content-type", reply.media_type.encode("latin-1")))
    if reply.status != 204:
        headers.append((b"content-length", str(len(body) or int(cut is not None)).encode()))
    await to({"type": "http.response.start", "status": reply.status, "headers": headers})
    if cut is not None:
        keep = int(len(body) * float(cut.options.get("keep", 0.5)))
        await to({"type": "http.response.body", "body": body[:keep], "more_body": True})
        await asyncio.sleep(0.02)  # lets the sent bytes reach the caller before the connection closes
        await abort(to, hard=cut.kind == "reset_during")
        return
    for fault in exchange.faults:
        if fault.kind == "slow":
            body = await _trickle(exchange, fault, body, to)
    await to({"type": "http.response.body", "body": body})


async def _trickle(exchange: Exchange, fault: Fault, body: bytes, to: Send) -> bytes:
    pieces = max(1, int(fault.options.get("chunks", 10)))
    pause = exchange.machine.clock.real(float(fault.options.get("seconds", 30))) / pieces
    size = max(1, len(body) // pieces)
    while len(body) > size:
        await to({"type": "http.response.body", "body": body[:size], "more_body": True})
        body = body[size:]
        await asyncio.sleep(pause)
    return body


async def abort(to: Send, hard: bool = True) -> None:
    """Close the connection of a call: with a reset, or as if the server had gone.

    The server passes ``send`` as a method of its own cycle, which has the transport.
    """
    transport = getattr(getattr(to, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionResetError("the connection was to be reset")
    if transport.is_closing():
        return
    connection = transport.get_extra_info("socket")
    if hard and connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    else:
        transport.close()
    await asyncio.sleep(0.01)  # lets the server notice, or it complains about an unfinished answer
