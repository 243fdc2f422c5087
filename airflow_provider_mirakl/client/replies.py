"""From a reply that says no to an error with data. Pure.

Mirakl has several envelopes, and what stands in front of it answers HTML. Source: facts section 9 and 3.4.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from airflow_provider_mirakl.api.call import Reply
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
SHOWN_FAULTS = 10
_KINDS: dict[int, type[MiraklApiError]] = {
    401: MiraklAuthenticationError,
    403: MiraklPermissionError,
    404: MiraklNotFoundError,
    410: MiraklNotFoundError,
    429: MiraklRateLimitError,
}
_HINTS = {
    401: "check the key or secret of the connection",
    403: "the key is known but may not do this; check the role of the connection and the rights of its user",
    404: "check the address and the ids",
    405: "check the address: Mirakl does not know this method there",
    406: "Mirakl cannot answer in the format asked for",
    410: "it is gone for good",
    415: "Mirakl does not take the format sent",
}
_REQUEST_ID_HEADERS = ("x-request-id", "x-correlation-id", "x-amzn-trace-id", "cf-ray")
_TAGS = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.DOTALL | re.IGNORECASE)


def error_from(reply: Reply, *, method: str, path: str, now: datetime) -> MiraklApiError:
    """Build the error for a reply outside 2xx.

    :param reply: the reply.
    :param method: of the request, for the message.
    :param path: of the request without its query, for the message.
    :param now: the present, to read a ``Retry-After`` that is a date.
    """
    faults, code = _read_envelope(reply)
    kind = _KINDS.get(reply.status, MiraklServerError if reply.status >= 500 else MiraklBadRequestError)
    wait = retry_after(reply.headers, now)
    request_id = next((reply.headers[name] for name in _REQUEST_ID_HEADERS if name in reply.headers), None)
    shown = "; ".join(_line(fault) for fault in faults[:SHOWN_FAULTS])
    if len(faults) > SHOWN_FAULTS:
        shown += f"; and {len(faults) - SHOWN_FAULTS} more"
    message = f"{reply.operation}: {method} {path} answered {reply.status}"
    if code:
        message += f" {code}"
    if shown:
        message += f": {shown}"
    if reply.status in _HINTS:
        message += f" ({_HINTS[reply.status]})"
    if reply.status == 429:
        message += f" (next call in {wait:.0f} s)" if wait is not None else " (no word when to call again)"
    if request_id:
        message += f" [request {request_id}]"
    return kind(
        message,
        operation=reply.operation,
        status=reply.status,
        code=code,
        field=next((fault.field for fault in faults if fault.field), None),
        faults=faults,
        retry_after=wait,
        request_id=request_id,
    )


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds until the next call is welcome, from a number or an HTTP date; ``None`` if unreadable."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = (moment - now).total_seconds()
    return max(0.0, seconds) if seconds < float("inf") else None


def _read_envelope(reply: Reply) -> tuple[list[ApiFault], str | None]:
    """The faults a body lists, the general one first, and the body's own code."""
    text = reply.body.decode("utf-8", "replace").strip()
    try:
        body = json.loads(text) if text else None
    except ValueError:
        body = None
    if not isinstance(body, dict):
        return ([ApiFault(_plain(text))] if text else []), None
    entries = body.get("errors")
    listed = [_fault(entry) for entry in entries] if isinstance(entries, list) else []
    faults = [fault for fault in listed if fault is not None]
    code = _text(body.get("code")) or (faults[0].code if faults else None)
    general = _text(body.get("message")) or _text(body.get("error_description")) or _text(body.get("detail"))
    oauth = _text(body.get("error"))
    if oauth and general:
        code = code or oauth
    general = general or oauth
    if general and general not in (fault.message for fault in faults):
        faults.insert(0, ApiFault(general, _text(body.get("code"))))
    if not faults:
        faults = [ApiFault(_shorten(text))]
    return faults, code


def _fault(entry: object) -> ApiFault | None:
    if isinstance(entry, str):
        return ApiFault(_shorten(entry))
    if not isinstance(entry, dict):
        return None
    message = _text(entry.get("message")) or _text(entry.get("detail")) or _text(entry.get("code"))
    if message is None:
        return ApiFault(_shorten(json.dumps(entry, ensure_ascii=False)))
    return ApiFault(message, _text(entry.get("code")), _text(entry.get("field")))


def _line(fault: ApiFault) -> str:
    return f"{fault.field}: {fault.message}" if fault.field else fault.message


def _text(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return _shorten(str(value)) or None


def _plain(text: str) -> str:
    """What a person would read on an HTML error page; other text as it is."""
    title = _TITLE.search(text)
    return _shorten(title[1] if title else _TAGS.sub(" ", text))


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 3] + "..."
