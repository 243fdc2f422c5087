"""Mirakl's own events: webhooks of a marketplace, and the messages that Mirakl sends to your queue.

A marketplace sends them to operators over HTTP, as a list, and to SQS, Pub/Sub or Service Bus, as one object each. The
channel platform of Mirakl Connect sends objects ``{"id", "type", "time", "data"}`` to the same queues. With Airflow's
``MessageQueueTrigger`` such a message starts a Dag; :func:`parse` reads the payload of the asset's event,
whichever of them sent it::

    @task
    def handle(triggering_asset_events=None):
        for found in triggering_asset_events[messages]:
            for event in parse(found.extra["payload"]):
                print(event.type, event.id)

Queues deliver at least once: use ``id`` to detect duplicates. ``data`` may contain names and addresses of
customers. Airflow keeps asset events in its database, so send Mirakl's events there only where that is allowed.

Source: https://developer.mirakl.com ("Receiving events", "Webhooks and Cloud Events"). The fields around a payload of
a marketplace are not documented publicly in one place, so they are read leniently: the rest is the ``data``.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow_provider_mirakl.api.values import moment_of
from airflow_provider_mirakl.exceptions import MiraklInputError

_TYPE = ("type", "event_type", "eventType")
_TIME = ("time", "event_date", "date_created", "timestamp")
_DATA = ("data", "payload")
# Where the queues' own envelopes keep a message: SQS (as Airflow's trigger hands it on, and as SQS writes it), Pub/Sub,
# and Service Bus.
_WRAPPED = ("payload", "message_batch", "Messages", "message", "Message", "Body", "body", "value", "data")

_DEEPEST = 8
"""More envelopes than any queue has."""


@dataclass(frozen=True, slots=True)
class MiraklEvent:
    """One Mirakl event.

    :param type: Mirakl's type, such as ``ORDER_ACTION``; empty if there is none.
    :param id: identifies duplicates; ``None`` if Mirakl sends none.
    :param time: when Mirakl made it; ``None`` where it does not say.
    :param data: its content.
    """

    type: str
    id: str | None
    time: datetime | None
    data: Any


def parse(payload: object) -> list[MiraklEvent]:
    """The events in what a queue or a webhook delivered.

    :param payload: a text or bytes of JSON; an event, or a list of them; or the message of a queue around it, as
        ``MessageQueueTrigger`` hands it on.
    :return: the events, in their order.
    :raises MiraklInputError: it contains no event. The message does not quote the payload, which may be personal.
    """
    found = list(_events(payload, depth=0))
    if not found:
        raise MiraklInputError("payload does not contain a Mirakl event")
    return found


def _events(payload: object, depth: int) -> Iterator[MiraklEvent]:
    if depth > _DEEPEST:
        return
    if isinstance(payload, str | bytes):
        yield from _events(_json(payload), depth + 1)
    elif isinstance(payload, Mapping):
        if any(name in payload for name in _TYPE):
            yield _event(payload)
            return
        inner = (
            payload[name] for name in _WRAPPED if isinstance(payload.get(name), str | bytes | Mapping | list)
        )
        yield from _events(next(inner, None), depth + 1)
    elif isinstance(payload, Sequence):
        for one in payload:
            yield from _events(one, depth + 1)


def _event(payload: Mapping[str, Any]) -> MiraklEvent:
    kind, moment = (_first(payload, names) for names in (_TYPE, _TIME))
    identity = payload.get("id", payload.get("event_id"))
    data = _first(payload, _DATA)
    return MiraklEvent(
        type=str(kind),
        id=None if identity is None else str(identity),
        time=_moment(moment),
        data=payload if data is None else data,
    )


def _first(payload: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((payload[name] for name in names if payload.get(name) is not None), None)


def _json(text: str | bytes) -> object:
    """The content of a text: JSON, or JSON in base64."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(base64.b64decode(text, validate=True))
    except (ValueError, RecursionError, binascii.Error):
        return None


def _moment(value: object) -> datetime | None:
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000 if value > 1e11 else value, UTC)
    except (ValueError, OverflowError, OSError):  # not a number, or a year that no calendar has
        return None
    return moment_of(value)
