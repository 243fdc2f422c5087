"""Every operation with every fault of the sandbox, and what must come of it. Data: tests run it, the docs show it.

A fault ``each`` strikes the first call of each of Mirakl's operations that a task makes: the token, the submission, the
poll, the report. So one run meets it several times, and Airflow's retries are part of what is expected. A fault
``writing`` strikes the call that writes or submits, once. One ``always`` strikes that call every time, of a task that
only reads its main call; the task has no retries, and has to end at a bound that its log names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

PARTLY = "succeeds, the rest is unknown"
"""The result counts what Mirakl did not read as unknown, and the log warns."""


@dataclass(frozen=True)
class Fault:
    """A row of the table.

    :param name: as the table shows it.
    :param meaning: what happens to the call.
    :param rule: the rule of the sandbox.
    :param strikes: see above.
    :param codes: the operations of Mirakl that can meet it; empty for all.
    :param ends: how a task that meets it ends: ``succeeds``, or with an error.
    """

    name: str
    meaning: str
    rule: dict[str, Any] = field(default_factory=dict)
    strikes: Literal["each", "writing", "always"] = "each"
    codes: tuple[str, ...] = ()
    ends: str = "succeeds"


CONNECT_WRITES = ("upsertProducts", "deleteProducts", "v2-createShipment")
JOBS = ("P41", "OF01", "STO01", "PRI01", "OF52", "CM52", "CM21")
FAULTS = (
    Fault("reset before", "the connection breaks before Mirakl processes the call", {"kind": "reset_before"}),
    Fault("reset during", "the connection breaks in the middle of the reply", {"kind": "reset_during"}),
    Fault("reset after", "Mirakl processes the call, and no reply comes", {"kind": "reset_after"}),
    Fault("truncated", "the reply ends early", {"kind": "truncate", "keep": 0.5}),
    Fault("503", "a web page with status 503", {"kind": "status", "status": 503}),
    Fault("500", "JSON with status 500", {"kind": "status", "status": 500, "body": "json"}),
    Fault("429", "too many calls, with a time", {"kind": "throttle", "retry_after": "seconds"}),
    Fault("broken JSON", "the reply is half of its JSON", {"kind": "broken_json"}),
    Fault("empty", "the reply has no body", {"kind": "empty_body"}),
    Fault("web page", "status 200 with a web page, as from a login", {"kind": "html_body"}),
    Fault("unknown state", "a state that Mirakl does not document", {"kind": "unknown_enum"}),
    Fault("new fields", "fields that Mirakl does not document", {"kind": "extra_fields"}),
    Fault("slow", "the reply trickles for 30 s", {"kind": "slow", "seconds": 30, "chunks": 3}),
    Fault("clock off", "Mirakl's clock is a day ahead", {"kind": "clock_skew", "seconds": 86_400}),
    Fault(
        "token revoked",
        "the token is no longer valid",
        {"kind": "revoke_token"},
        codes=(*CONNECT_WRITES, "listProducts", "v2-listOrders"),
    ),
    Fault("lost", "accepted, and never processed", {"kind": "lost"}, "writing", (*JOBS, *CONNECT_WRITES)),
    Fault(
        "job fails", "the job ends as FAILED", {"kind": "fail_job"}, "writing", JOBS, "MiraklJobFailedError"
    ),
    Fault(
        "half read", "CM21 reads half of its input", {"kind": "partial_read"}, "writing", ("CM21",), PARTLY
    ),
    Fault(
        "503 for ever",
        "503 without end",
        {"kind": "status", "status": 503},
        "always",
        ends="MiraklServerError",
    ),
    Fault("429 for ever", "429 without end", {"kind": "throttle"}, "always", ends="MiraklRateLimitError"),
    Fault(
        "no connection", "each call breaks", {"kind": "reset_before"}, "always", ends="MiraklTransportError"
    ),
)
BY_NAME = {fault.name: fault for fault in FAULTS}

OPERATIONS = (
    ("upsert", "upsertProducts"), ("upsert in a worker", "upsertProducts"), ("delete", "deleteProducts"),
    ("delta", "upsertProducts"), ("catalog export", "listProducts"), ("orders extract", "v2-listOrders"),
    ("shipments", "v2-createShipment"), ("P41", "P41"), ("OF01", "OF01"), ("OF24", "OF24"), ("STO01", "STO01"),
    ("PRI01", "PRI01"), ("OF52", "OF52"), ("CM52", "CM52"), ("CM21", "CM21"), ("resync", "CM21"),
    ("resync by DJUST", "ADM-MIRAKL-100"), ("S31", "S31"), ("S32", "S32"), ("A02", "A02"),
)  # fmt: skip
"""The operations of ``live/operations.py``, each with its main call: the one that writes, submits, or reads."""

PERSON = "stops for a person"
"""It is not known whether Mirakl took what was sent, and Mirakl has no list to find it in: nothing is sent again."""
UNREAD = (
    "reset before",
    "reset during",
    "reset after",
    "truncated",
    "503",
    "500",
    "broken JSON",
    "empty",
    "web page",
)
"""Faults after which it is not known whether Mirakl took the call."""
OTHERWISE: dict[tuple[str, str], str] = {
    **{("STO01", fault): PERSON for fault in (*UNREAD, "503 for ever", "no connection")},
    **{("shipments", fault): PERSON for fault in ("reset before", "503", "500")},
    **{(name, "lost"): "MiraklJobTimeoutError" for name in (*JOBS, "shipments", "resync")},
    ("resync", "half read"): "MiraklItemsFailedError",
    **{
        ("S31", fault): "MiraklItemsFailedError"
        for fault in ("503 for ever", "429 for ever", "no connection")
    },
}
"""Where an operation ends otherwise than its fault says."""


def ends(operation: str, fault: str) -> str:
    """How a task ends that meets a fault."""
    return OTHERWISE.get((operation, fault), BY_NAME[fault].ends)
