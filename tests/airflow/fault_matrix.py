"""Every operation with every fault of the sandbox, and what must come of it. Data: tests run it, the docs show it.

A fault ``each`` strikes the first call of each of Mirakl's operations that a task makes: the token, the submission, the
poll, the report. So one run meets it several times, and Airflow's retries are part of what is expected. A fault
``writing`` strikes the call that writes or submits, once. One ``always`` strikes that call every time, of a task that
only reads its main call; the task has no retries, and has to end at a bound that its log names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

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


ACTIONS = (
    "v2-createShipment", "v2-acceptOrderLines", "v2-cancelOrderLines", "v2-refundOrderLines", "v2-acceptReturn",
    "createConversation", "createMessage", "v2-uploadOrderDocument",
)  # fmt: skip
CONNECT_WRITES = ("upsertProducts", "deleteProducts", *ACTIONS)
JOBS = ("P41", "OF01", "STO01", "PRI01", "OF52", "CM52", "CM21")
COUNTED = ("OF21",)
"""Listings that publish how many rows they have. Those by a token do not, so a page that is missing shows nowhere."""
LISTINGS = (*COUNTED, "listProducts", "v2-listOrders")
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
    Fault("late", "the reply begins after 30 s", {"kind": "delay", "seconds": 30}),
    Fault("slow", "the reply trickles for 30 s", {"kind": "slow", "seconds": 30, "chunks": 3}),
    Fault("clock off", "Mirakl's clock is a day ahead", {"kind": "clock_skew", "seconds": 86_400}),
    Fault(
        "token revoked",
        "the token is no longer valid",
        {"kind": "revoke_token"},
        codes=(*CONNECT_WRITES, "v2-reportOrderActions", "listProducts", "v2-listOrders"),
    ),
    Fault("page twice", "the next page is the same one again", {"kind": "duplicate_page"}, codes=LISTINGS),
    Fault("page skipped", "the next link skips a page", {"kind": "drop_page"}, codes=COUNTED),
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

STRUCK_ROWS = (
    ("upsert", "upsertProducts"), ("upsert in a worker", "upsertProducts"), ("delete", "deleteProducts"),
    ("delta", "upsertProducts"), ("catalog export", "listProducts"), ("orders extract", "v2-listOrders"),
    ("shipments", "v2-createShipment"), ("P41", "P41"), ("OF01", "OF01"), ("OF24", "OF24"), ("STO01", "STO01"),
    ("PRI01", "PRI01"), ("OF52", "OF52"), ("CM52", "CM52"), ("CM21", "CM21"), ("resync", "CM21"),
    ("resync by DJUST", "ADM-MIRAKL-100"), ("S31", "S31"), ("S32", "S32"), ("A02", "A02"),
)  # fmt: skip
"""Those that ``make chaos`` runs too."""
OPERATIONS = (
    *STRUCK_ROWS,
    ("accept", "v2-acceptOrderLines"), ("cancel", "v2-cancelOrderLines"), ("refund", "v2-refundOrderLines"),
    ("accept return", "v2-acceptReturn"), ("begin conversation", "createConversation"),
    ("answer conversation", "createMessage"), ("order documents", "v2-uploadOrderDocument"), ("S33", "S33"),
    ("request", "v2-reportOrderActions"), ("offers by page", "OF21"), ("offers extract", "OF21"), ("CM11", "CM11"),
    ("products sensor", "listProducts"), ("orders sensor", "v2-listOrders"), ("import sensor", "P42"),
    ("documents sensor", "S30"),
)  # fmt: skip
"""The operations of ``live/operations.py`` and ``matrix_operations.py``, each with its main call: the one that writes,
submits, or reads."""
EVENTS = (
    ("product imports event", "P51"), ("offer imports event", "OF04"), ("product status event", "CM11"),
    ("shop documents event", "S30"), ("orders event", "v2-listOrders"),
)  # fmt: skip
"""The event triggers, each with the listing that it polls. Whatever happens to a poll, each event is told once."""
MAIN = dict(OPERATIONS)
STRUCK = tuple(name for name, _ in STRUCK_ROWS)

WORKER_ONLY = (
    "upsert in a worker", "S31", "S32", "A02", "S33", "request",
)  # fmt: skip
"""Operations that run in a worker only; each other one is run there, and again with its waits in the triggerer."""

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
SENDS = "waits like the row shipments; what proves that its own call was carried out is what these cells are about"
PAGED = (
    "waits and keeps its place like the row {0}; these cells are about the total that its listing publishes"
)
WORKER, BOTH = ("worker",), ("worker", "triggerer")


class Part(NamedTuple):
    """The cells of an operation that has only some of them.

    :param faults: names of faults.
    :param places: who waits or makes the calls.
    :param reason: why these are enough.
    """

    faults: tuple[str, ...]
    places: tuple[str, ...]
    reason: str


UNCLEAR = ("reset after", "503", "lost")
"""Faults after which an action was carried out, was not, or never will be; the reply does not say which."""
SENSORS = ("products sensor", "orders sensor", "import sensor", "documents sensor")
BOUNDS = ("429", "429 for ever", "503 for ever")
WAITS = "only reads; these cells are about the ends of its wait"
PARTS = {
    **{
        name: Part(UNCLEAR, BOTH, SENDS)
        for name in (
            "accept", "cancel", "accept return", "begin conversation", "answer conversation", "order documents"
        )
    },
    "refund": Part((*UNREAD, "429", "lost"), WORKER, SENDS),
    "offers by page": Part(("page twice", "page skipped"), BOTH, PAGED.format("orders extract")),
    "offers extract": Part(("page twice", "page skipped"), BOTH, PAGED.format("orders extract")),
    "CM11": Part(BOUNDS, BOTH, "a single read; these cells are about its only wait"),
    **{name: Part(BOUNDS, BOTH, WAITS) for name in SENSORS},
    "import sensor": Part(BOUNDS, WORKER, f"{WAITS}; the triggerer reads the list of imports (P51), as for P41"),
}  # fmt: skip
"""Each other operation has a cell for every fault that its main call can meet, in every place where it runs."""

PERSON = "stops for a person"
"""It is not known whether Mirakl took what was sent, and Mirakl has no list to find it in: nothing is sent again."""
ACTION_NAMES = tuple(name for name, code in OPERATIONS if code in ACTIONS)
OTHERWISE: dict[tuple[str, str], str] = {
    **{("STO01", fault): PERSON for fault in (*UNREAD, "503 for ever", "no connection")},
    **{(name, fault): PERSON for name in ("shipments", "refund") for fault in ("reset before", "503", "500")},
    **{(name, "503"): PERSON for name in ACTION_NAMES},
    # It returns what Mirakl answered, JSON or not: the status says that the call was accepted.
    **{("request", fault): PERSON for fault in UNREAD if fault not in ("broken JSON", "empty")},
    **{(name, "lost"): "MiraklJobTimeoutError" for name in (*JOBS, *ACTION_NAMES, "resync")},
    **{(name, "429 for ever"): "AirflowSensorTimeout" for name in SENSORS},
    ("resync", "half read"): "MiraklItemsFailedError",
    **{("S31", fault): "MiraklItemsFailedError" for fault in ("503 for ever", "no connection")},
}
"""Where an operation ends otherwise than its fault says."""


ACTION = "the same engine as the row {0}: only columns and call differ; tests/airflow/test_connect_order_actions.py"
PAGES = (
    "the same engine as the row orders extract: only the listing differs; tests/airflow/test_personal_data.py"
)
EXPORT = "the same engine as the row OF52: only the calls of jobs/table.py differ; {0}"
POLL = "reads only, and asks again like the row products sensor; {0}"
JOBS_POLLED = (
    "the same engine as the row import sensor: only the call differs; tests/airflow/jobs/test_job_sensors.py"
)
READ = "a single read that is repeated like the main call of the row S31, and leaves nothing behind; {0}"
LEFT_OUT = {
    "MiraklConnectReceiveReturnsOperator": ACTION.format("accept return"),
    "MiraklConnectCloseReturnsOperator": ACTION.format("accept return"),
    "MiraklConnectTrackReturnsOperator": ACTION.format("accept return"),
    "MiraklConnectExtractReturnsOperator": PAGES,
    "MiraklConnectExtractConversationsOperator": PAGES,
    "MiraklConnectVerifyProductsOperator": (
        "reads pages like the row catalog export, and keeps its place in the same note; tests/unit/catalog/test_work.py"
    ),
    "MiraklConnectReportOrderActionsOperator": (
        "the row request makes the same call; the place that it keeps: tests/airflow/test_connect_order_actions.py"
    ),
    "MiraklConnectDownloadOrderDocumentsOperator": (
        "fetches archives like the row S31; tests/airflow/test_connect_order_documents.py"
    ),
    "MiraklConnectDownloadAttachmentsOperator": (
        "fetches archives like the row S31; tests/airflow/test_connect_order_actions.py"
    ),
    "DjustSynchronizeProductsOperator": (
        "the route of the row resync by DJUST; tests/unit/resync/test_routes.py"
    ),
    "MiraklReportResyncOperator": "makes no call",
    "MiraklReconcileProductsOperator": "makes no call: it compares two exports; tests/unit/resync/test_reconcile.py",
    "MiraklExportOrdersOperator": EXPORT.format("tests/airflow/test_extract_instance.py"),
    "MiraklExportTransactionsOperator": EXPORT.format("tests/airflow/test_extract_instance.py"),
    "MiraklExportDeletedProductsOperator": (
        "the same engine as the row CM11: only the call differs; tests/airflow/jobs/test_other_jobs.py"
    ),
    "MiraklFindProductImportsOperator": READ.format("pages by offset as in the row offers by page"),
    "MiraklFindOfferImportsOperator": READ.format("pages by offset as in the row offers by page"),
    "MiraklFindPriceImportsOperator": READ.format("pages by offset as in the row offers by page"),
    "MiraklPreflightOperator": READ.format(
        "reports each failure as its result; tests/unit/resync/test_preflight.py"
    ),
    "MiraklGetSettingsOperator": READ.format("tests/airflow/jobs/test_changes_and_settings.py"),
    "MiraklGetShopOperator": READ.format("tests/airflow/documents/test_operators.py"),
    "MiraklGetShopStatisticsOperator": READ.format("tests/airflow/documents/test_operators.py"),
    "MiraklListShopsOperator": READ.format("tests/airflow/documents/test_operators.py"),
    "MiraklListShopDocumentsOperator": READ.format("tests/airflow/documents/test_operators.py"),
    "MiraklConnectOrderActionsSensor": POLL.format("its poll is that of the row shipments"),
    "MiraklConnectConversationActionsSensor": POLL.format("its poll is that of the row begin conversation"),
    "MiraklProductSynchronizationSensor": JOBS_POLLED,
    "MiraklProductExportSensor": JOBS_POLLED,
    "MiraklOfferImportSensor": JOBS_POLLED,
    "MiraklStockImportSensor": JOBS_POLLED,
    "MiraklPriceImportSensor": JOBS_POLLED,
    "MiraklOfferExportSensor": JOBS_POLLED,
    "MiraklOrderExportSensor": JOBS_POLLED,
    "MiraklTransactionExportSensor": JOBS_POLLED,
}
"""Operators and sensors that have no row, and where their faults are tested instead."""


def met(operation: str, fault: Fault) -> tuple[str, ...]:
    """Where an operation meets a fault; nowhere if it cannot, or has no such cell."""
    if fault.codes and MAIN[operation] not in fault.codes:
        return ()
    part = PARTS.get(operation)
    if part is not None:
        return part.places if fault.name in part.faults else ()
    return WORKER if operation in WORKER_ONLY else BOTH


def ends(operation: str, fault: str) -> str:
    """How a task ends that meets a fault."""
    return OTHERWISE.get((operation, fault), BY_NAME[fault].ends)
