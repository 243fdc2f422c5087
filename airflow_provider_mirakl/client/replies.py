"""Turns an error reply into an error with data. Pure.

Mirakl has several error envelopes, and a proxy in front of it answers HTML. Source: docs/mirakl-facts.md.
"""

from __future__ import annotations

import codecs
import html
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from airflow_provider_mirakl.api.call import Reply
from airflow_provider_mirakl.api.secrets import without_secrets
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

MAX_TEXT = 500
MAX_PAGE = 16 * 1024
SHOWN_FAULTS = 10
MAX_RETRY_AFTER = 86_400.0
"""A longer ``Retry-After`` is taken for this one: Mirakl counts by the hour, at most by the day."""
SILENT_RETRY_AFTER = 60.0
"""Used if a 429 has no time and the operation has no published interval."""

_KINDS: dict[int, type[MiraklApiError]] = {
    401: MiraklAuthenticationError,
    403: MiraklPermissionError,
    404: MiraklNotFoundError,
    410: MiraklNotFoundError,
    429: MiraklRateLimitError,
}
# RFC 6749 lets a token server say these with a 400.
_REFUSED_CLIENT = frozenset({"invalid_client", "unauthorized_client", "invalid_grant"})
_HINTS: dict[int, str] = {
    401: "check the key or secret of the connection",
    403: "the key is known but may not do this; check the role of the connection and the rights of its user",
    404: "check the address and the ids",
    405: "check the address: Mirakl does not support this method there",
    406: "Mirakl cannot answer in the requested format",
    410: "it no longer exists",
    413: "the request is too large; send less in one call",
    415: "Mirakl does not accept the format of the request",
}
_REQUEST_ID_HEADERS = ("x-request-id", "x-correlation-id", "x-amzn-trace-id", "cf-ray")
# Each step reads on to the next bracket at most, so that no page takes more than linear time.
_TITLE = re.compile(r"<title[^<>]*>([^<]*)", re.IGNORECASE)
_UNSEEN = re.compile(r"<(script|style)\b.*?(?:</\1[^<>]*>|\Z)", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")
_CHARSET = re.compile(r"charset\s*=\s*\"?([\w-]+)", re.IGNORECASE)


def error_from(
    reply: Reply,
    *,
    method: str,
    path: str,
    now: datetime,
    interval: float = 0.0,
) -> MiraklApiError:
    """Build the error for a reply outside 2xx.

    :param reply: the reply.
    :param method: of the request, for the message.
    :param path: of the request without its query, for the message.
    :param now: the present, UTC.
    :param interval: the operation's published interval in seconds, for a 429 without a time.
    """
    text = _text_of(reply)
    faults, code = _read_envelope(text, reply)
    kind = _KINDS.get(reply.status, MiraklServerError if reply.status >= 500 else MiraklBadRequestError)
    if reply.status == 400 and code in _REFUSED_CLIENT:
        kind = MiraklAuthenticationError
    wait = retry_after(reply.headers, now)
    retry_at = None if wait is None else now + timedelta(seconds=wait)
    if reply.status == 429:
        retry_at = retry_at or now + timedelta(seconds=interval or SILENT_RETRY_AFTER)
    ids = [reply.headers[name] for name in _REQUEST_ID_HEADERS if name in reply.headers]
    request_id = _clean(reply.without_secrets(ids[0])) if ids else None
    shown = [_line(fault) for fault in faults[:SHOWN_FAULTS]]
    if len(faults) > SHOWN_FAULTS:
        shown.append(f"and {len(faults) - SHOWN_FAULTS} more")
    # An operation that has no code of Mirakl's is named by its method and path.
    called = f"{method} {without_secrets(path, reply.secrets)}"
    name = "" if reply.operation == f"{method} {path}" else f"{reply.operation}: "
    said = [f"{name}{called} answered {reply.status}", code if shown != [code] else ""]
    message = " ".join(filter(None, said)) + (f": {'; '.join(shown)}" if shown else "")
    notes = [
        f"({_HINTS[reply.status]})" if reply.status in _HINTS else "",
        f"(call again in {(retry_at - now).total_seconds():.0f} s, from {retry_at:%Y-%m-%dT%H:%M:%SZ})"
        if retry_at
        else "",
        f"[request {request_id}]" if request_id else "",
    ]
    return kind(
        " ".join(filter(None, [message, *notes])),
        operation=reply.operation,
        status=reply.status,
        code=code,
        field=next((fault.field for fault in faults if fault.field), None),
        faults=faults,
        retry_after=wait,
        retry_at=retry_at,
        request_id=request_id,
        is_page=not _is_json(text),
    )


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds until the next call is welcome, from a number or an HTTP date; ``None`` if unreadable.

    A date is compared with the reply's own ``Date``, so that a wrong clock, here or there, does not matter.
    """
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        moment, base = _http_date(value), _http_date(headers.get("date", "")) or now
        if moment is None:
            return None
        seconds = (moment - base).total_seconds()
    if seconds != seconds:  # NaN
        return None
    return min(max(0.0, seconds), MAX_RETRY_AFTER)


def _http_date(value: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError, IndexError, TypeError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _text_of(reply: Reply) -> str:
    charset = _CHARSET.search(reply.headers.get("content-type", ""))
    try:
        encoding = codecs.lookup(charset[1] if charset else "utf-8").name
        return reply.body.decode(encoding, "replace").strip()
    except (LookupError, ValueError):
        return reply.body.decode("utf-8", "replace").strip()


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False


def _read_envelope(text: str, reply: Reply) -> tuple[list[ApiFault], str | None]:
    """The faults a body lists, the general one first, and the body's own code.

    Of a known form only the fields are read, one by one, so that escaped characters are decoded.
    """
    try:
        body = json.loads(text) if text else None
    except (ValueError, RecursionError):
        body = None
    if isinstance(body, list):
        body = {"errors": body}
    if not isinstance(body, dict):
        plain = _clean(reply.without_secrets(_plain(text)))
        return ([ApiFault(reply.quoted(plain))] if plain else []), None
    faults = _listed(body.get("errors"), reply)
    general = _general(body, reply)
    if general is not None and general.message not in (fault.message for fault in faults):
        faults.insert(0, general)
    if not faults:
        faults = [ApiFault(_shown(body, reply))]
    return faults, (general.code if general else None) or next(
        (fault.code for fault in faults if fault.code), None
    )


def _general(body: Mapping[str, object], reply: Reply) -> ApiFault | None:
    """The error of the whole body: Mirakl's, Connect's, DJUST's or RFC 6749's form."""
    error = body.get("error")
    if isinstance(error, dict):
        return _fault(error, reply)
    oauth = _text(error, reply)
    names = ("message", "error_description", "detail")
    message = next(filter(None, (_text(body.get(name), reply) for name in names)), None)
    code = _text(body.get("code"), reply) or (oauth if message or oauth in _REFUSED_CLIENT else None)
    return ApiFault(message or oauth or code or "", code) if message or oauth or code else None


def _listed(entries: object, reply: Reply) -> list[ApiFault]:
    faults = (_fault(entry, reply) for entry in entries) if isinstance(entries, list) else ()
    return [fault for fault in faults if fault is not None]


def _fault(entry: object, reply: Reply) -> ApiFault | None:
    if isinstance(entry, str):
        return ApiFault(_clean(reply.without_secrets(entry)))
    if not isinstance(entry, dict):
        return None
    code, message, detail = (_text(entry.get(name), reply) for name in ("code", "message", "detail"))
    if message and detail and detail != message:
        message = f"{message} ({detail})"
    return ApiFault(message or detail or code or _shown(entry, reply), code, _text(entry.get("field"), reply))


def _line(fault: ApiFault) -> str:
    return f"{fault.field}: {fault.message}" if fault.field else fault.message


def _text(value: object, reply: Reply) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return _clean(reply.without_secrets(str(value))) or None


def _shown(value: object, reply: Reply) -> str:
    """JSON in a form that is not known."""
    return reply.quoted(_clean(reply.without_secrets(json.dumps(value, ensure_ascii=False))))


def _plain(text: str) -> str:
    """The visible text of an HTML error page; other text unchanged."""
    page = text[:MAX_PAGE]
    if "<" not in page:
        return page
    title = _TITLE.search(page)
    return html.unescape(title[1] if title and title[1].strip() else _TAG.sub(" ", _UNSEEN.sub(" ", page)))


def _clean(text: str) -> str:
    """One line of printable text, cut to a length suitable for a log."""
    line = "".join(letter if letter.isprintable() else " " for letter in text[: 8 * MAX_TEXT])
    line = " ".join(line.split())
    return line if len(line) <= MAX_TEXT else line[: MAX_TEXT - 3] + "..."
