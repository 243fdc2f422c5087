"""The jobs of Mirakl as data, and the single evaluation of their states.

Submit, poll, terminal state, counts, reports: all differences between the jobs are in :data:`JOBS`.
Operators, sensors and the trigger use it through :func:`evaluate`. Source: docs/mirakl-facts.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

from airflow_provider_mirakl.api import catalog_manager, marketplace, offers, products
from airflow_provider_mirakl.api.call import Call, Json, Page
from airflow_provider_mirakl.api.caller import Caller

JobId = int | str
Status = Mapping[str, Json]

# Mirakl spells the final states differently from job to job: COMPLETE for imports and CM21, COMPLETED for exports,
# CANCELLED in P42, CANCELED in CM53. A third spelling is likely, so both are accepted everywhere.
DONE = frozenset({"COMPLETE", "COMPLETED"})
FAILED = frozenset({"FAILED", "CANCELLED", "CANCELED", "TRANSFORMATION_FAILED"})

_P42_FAILURES = (
    "invalid_products",
    "products_not_accepted_in_time",
    "products_not_synchronized_in_time",
    "products_with_synchronization_issues",
    "products_with_wrong_identifiers",
    "rejected_products",
)


@dataclass(frozen=True, slots=True)
class Counts:
    """Items of a job by result.

    :param succeeded: known to have succeeded.
    :param failed: known to have failed.
    :param unknown: read by Mirakl, but without a result yet.
    """

    succeeded: int = 0
    failed: int = 0
    unknown: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.succeeded + self.failed + self.unknown


@dataclass(frozen=True, slots=True)
class Report:
    """A report that Mirakl keeps for a limited time.

    :param code: Mirakl's code of the operation that fetches it.
    :param name: name of the archived file, without its extension.
    :param flag: field of the status that says whether it exists.
    :param states: states in which it can be fetched.
    :param call: the call that fetches it.
    :param lists: what it lists: ``failures``, line by line; ``items``, every item with its status; else ``other``.
    """

    code: str
    name: str
    flag: str
    states: frozenset[str]
    call: Callable[[Any, Caller], Call[bytes]]
    lists: Literal["failures", "items", "other"] = "other"
    certain: bool = True
    """Whether every line of a list of failures is a failure: P47 also has warnings."""


ColumnKind: TypeAlias = Literal["text", "boolean", "number", "integer", "json"]


def _columns(kind: ColumnKind, names: str) -> dict[str, ColumnKind]:
    return dict.fromkeys(names.split(), kind)


@dataclass(frozen=True, slots=True)
class JobKind:
    """One entry of the table.

    :param name: name of the entry.
    :param code: Mirakl's code of the operation that submits it.
    :param title: name for messages.
    :param numbered: its id is a number; otherwise a string.
    :param status: the call for the status of one job.
    :param state: field of the status with the state.
    :param in_progress: documented states before the end. An unknown state counts as one too, with a warning: a new
        state must not fail a task whose job is still running.
    :param count: reads the counts from a status.
    :param reports: the reports that may exist.
    :param shortest: shortest published time between two polls, in seconds.
    :param recommended: recommended time between two polls, in seconds.
    :param listing: the call that lists jobs: of a caller, created since a time, with these ids. If it exists, waiting
        tasks share it.
    :param changes: whether the listing contains jobs that changed since a time; otherwise, that were created since.
    :param told: whether a finished job already reports the results of its items.
    :param early: states that a user may treat as the end.
    :param file: the call that fetches a file of an export by its URL.
    :param items: the field of such a file with the list, if the file is an object.
    :param columns: kinds of the fields of an exported row that Mirakl documents, for Parquet.
    :param batch: the call that submits encoded objects as a job, if any.
    :param unclear: what to do when it is not known whether Mirakl accepted a file or an export: ``search`` the
        listing; ``resend``, where that is harmless; or ``fail`` and leave the decision to the user.
    """

    name: str
    code: str
    title: str
    numbered: bool
    status: Callable[[Any, Caller], Call[dict[str, Json]]]
    state: str
    in_progress: frozenset[str]
    shortest: float
    recommended: float
    unclear: Literal["search", "resend", "fail"]
    count: Callable[[Status], Counts] = lambda status: Counts()
    reports: tuple[Report, ...] = ()
    listing: Callable[[Caller, datetime, Collection[Any]], Call[Page[dict[str, Json]]]] | None = None
    changes: bool = False
    told: Callable[[Status], bool] = lambda status: True
    recognizes: bool = False
    early: frozenset[str] = frozenset()
    file: Callable[..., Call[bytes]] | None = None
    batch: Callable[[Caller, list[bytes]], Call[Any]] | None = None
    items: str | None = None
    columns: Mapping[str, ColumnKind] = field(default_factory=dict)

    def id(self, value: JobId) -> JobId:
        """An id in the type that Mirakl uses."""
        return int(value) if self.numbered else str(value)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The meaning of a status.

    :param phase: ``running``, ``done`` or ``failed``. A job whose lines failed is ``done``: see ``counts``.
    :param state: Mirakl's own name.
    :param known: whether the state is documented.
    :param counts: items by result.
    :param reports: reports that can be fetched now.
    :param reason: Mirakl's explanation, if any.
    :param urls: URLs of an export's files.
    """

    phase: Literal["running", "done", "failed"]
    state: str
    known: bool
    counts: Counts
    reports: tuple[Report, ...]
    reason: str
    urls: tuple[str, ...]

    @property
    def ended(self) -> bool:
        """Whether the job has ended."""
        return self.phase != "running"


def evaluate(kind: JobKind, status: Status, *, early: bool = True) -> Evaluation:
    """Evaluate a status.

    :param kind: the job's entry in the table.
    :param status: as Mirakl returns it.
    :param early: treat the early states (``SENT`` of a product import) as the end.
    """
    word = status.get(kind.state)
    state = word if isinstance(word, str) else ""
    if state in DONE or (early and state in kind.early):
        phase: Literal["running", "done", "failed"] = "done"
    elif state in FAILED:
        phase = "failed"
    else:
        phase = "running"
    urls = status.get("urls")
    return Evaluation(
        phase=phase,
        state=state,
        known=phase != "running" or state in kind.in_progress | kind.early,
        counts=kind.count(status),
        reports=tuple(r for r in kind.reports if status.get(r.flag) is True and state in r.states),
        reason=_reason(status),
        urls=tuple(url for url in urls if isinstance(url, str) and url) if isinstance(urls, list) else (),
    )


def _reason(status: Status) -> str:
    """``reason_status`` of imports; the error of exports, whose text is ``message`` in CM53 and ``detail`` in OF53; for
    CM22, that it read only a part."""
    error = status.get("error")
    if isinstance(error, Mapping):
        words = [error.get("code"), error.get("message") or error.get("detail")]
        return ": ".join(str(word) for word in words if word)
    if status.get("partial_read") is True:
        return "Mirakl read only a part of what was submitted"
    reason = status.get("reason_status")
    return reason if isinstance(reason, str) else ""


def _number(status: object, name: str) -> int:
    value = status.get(name) if isinstance(status, Mapping) else None
    return value if isinstance(value, int) else 0


def _count_synchronization(status: Status) -> Counts:
    processed = _number(status, "processed")
    succeeded, failed = _number(status, "succeeded"), _number(status, "failed")
    return Counts(succeeded, failed, max(0, processed - succeeded - failed))


def _count_product_import(status: Status) -> Counts:
    """Lines: first converted, then integrated. Lines converted but not integrated yet are unknown."""
    read, broken = _number(status, "transform_lines_read"), _number(status, "transform_lines_in_error")
    details = status.get("integration_details")
    failed = broken + sum(_number(details, name) for name in _P42_FAILURES)
    # Reimported means that a more recent file contained the product again: nothing failed.
    succeeded = _number(details, "products_successfully_synchronized") + _number(
        details, "products_reimported"
    )
    # Mirakl may add the details some time after COMPLETE. Until then the result is unknown for any line that was
    # converted: all of them may be rejected.
    return Counts(succeeded, failed, max(0, read - succeeded - failed))


def _count_lines(status: Status) -> Counts:
    succeeded, failed = _number(status, "lines_in_success"), _number(status, "lines_in_error")
    rest = _number(status, "lines_read") - succeeded - failed
    return Counts(succeeded, failed, max(0, rest, _number(status, "lines_in_pending")))


_IMPORT_STATES = frozenset({"WAITING", "RUNNING"})


def _error_report(code: str, call: Callable[[Any, Caller], Call[bytes]]) -> tuple[Report, ...]:
    return (Report(code, "error_report", "has_error_report", DONE | {"FAILED"}, call, "failures"),)


PRODUCT_SYNCHRONIZATION = JobKind(
    name="product_synchronization",
    code="CM21",
    title="product synchronization",
    numbered=False,
    status=lambda job_id, caller: catalog_manager.get_synchronization(job_id),
    state="status",
    in_progress=frozenset({"WAITING", "QUEUED", "RUNNING"}),
    # No frequency of CM22 is public: uncertain.
    shortest=60,
    recommended=60,
    unclear="resend",
    count=_count_synchronization,
    reports=(
        Report(
            "CM23",
            "report",
            "has_report",
            DONE | {"FAILED"},
            lambda job_id, caller: catalog_manager.get_synchronization_report(job_id),
            "items",
        ),
    ),
    batch=lambda caller, rows: catalog_manager.synchronize_products(b"[" + b",".join(rows) + b"]"),
)

PRODUCT_IMPORT = JobKind(
    name="product_import",
    code="P41",
    title="product import",
    numbered=True,
    status=lambda job_id, caller: products.get_import(job_id, caller=caller),
    state="import_status",
    in_progress=_IMPORT_STATES
    # The last two are deprecated.
    | {"TRANSFORMATION_WAITING", "TRANSFORMATION_RUNNING", "SENT", "TRANSFORMATION_QUEUED", "QUEUED"},
    shortest=60,
    recommended=60,
    unclear="search",
    count=_count_product_import,
    reports=(
        Report(
            "P47",
            "transformation_error_report",
            "has_transformation_error_report",
            # In the last state it may be missing: uncertain.
            DONE | {"SENT", "TRANSFORMATION_FAILED"},
            lambda job_id, caller: products.get_transformation_error_report(job_id, caller=caller),
            "failures",
            certain=False,
        ),
        Report(
            "P44",
            "error_report",
            "has_error_report",
            DONE,
            lambda job_id, caller: products.get_error_report(job_id, caller=caller),
            "failures",
        ),
        Report(
            "P45",
            "new_product_report",
            "has_new_product_report",
            DONE,
            lambda job_id, caller: products.get_new_product_report(job_id, caller=caller),
        ),
        Report(
            "P46",
            "transformed_file",
            "has_transformed_file",
            DONE | {"SENT"},
            lambda job_id, caller: products.get_transformed_file(job_id, caller=caller),
        ),
    ),
    listing=lambda caller, since, ids: products.list_imports(caller=caller, changed_since=since),
    changes=True,
    told=lambda status: isinstance(status.get("integration_details"), Mapping),
    early=frozenset({"SENT"}),
)

PRODUCT_EXPORT = JobKind(
    name="product_export",
    code="CM52",
    title="product export",
    numbered=False,
    status=lambda job_id, caller: catalog_manager.get_export(job_id),
    state="status",
    in_progress=frozenset({"PENDING"}),
    # No frequency of CM53 is public; the values of OF53, which works alike, are used: uncertain.
    shortest=10,
    recommended=60,
    unclear="resend",
    file=catalog_manager.get_export_file,
    columns=_columns("text", "mirakl_product_id product_sku creation_date update_date")
    | _columns("json", "acceptance data synchronization validation catalogs product_urls sources"),
)

OFFER_IMPORT = JobKind(
    name="offer_import",
    code="OF01",
    title="offer import",
    numbered=True,
    status=lambda job_id, caller: offers.get_offer_import(job_id, caller=caller),
    state="status",
    in_progress=_IMPORT_STATES | {"WAITING_SYNCHRONIZATION_PRODUCT"},
    shortest=60,
    recommended=300,
    # An identical request gets the id of the import that runs. Once it has ended, Mirakl may import it twice.
    unclear="search",
    recognizes=True,
    count=_count_lines,
    reports=_error_report(
        "OF03", lambda job_id, caller: offers.get_offer_error_report(job_id, caller=caller)
    ),
    listing=lambda caller, since, ids: offers.list_offer_imports(caller=caller, created_since=since),
    batch=lambda caller, rows: offers.upsert_offers(b'{"offers":[' + b",".join(rows) + b"]}", caller=caller),
)

STOCK_IMPORT = JobKind(
    name="stock_import",
    code="STO01",
    title="stock import",
    numbered=False,
    status=lambda job_id, caller: offers.get_stock_import(job_id, caller=caller),
    state="status",
    in_progress=_IMPORT_STATES,
    shortest=15,
    recommended=300,
    # Mirakl does not list stock imports.
    unclear="fail",
    count=_count_lines,
    reports=_error_report(
        "STO03", lambda job_id, caller: offers.get_stock_error_report(job_id, caller=caller)
    ),
)

PRICE_IMPORT = JobKind(
    name="price_import",
    code="PRI01",
    title="price import",
    numbered=False,
    status=lambda job_id, caller: offers.get_price_import(job_id, caller=caller),
    state="status",
    in_progress=_IMPORT_STATES,
    shortest=60,
    recommended=300,
    unclear="search",
    count=_count_lines,
    reports=_error_report(
        "PRI03", lambda job_id, caller: offers.get_price_error_report(job_id, caller=caller)
    ),
    listing=lambda caller, since, ids: offers.list_price_imports(
        caller=caller, import_ids=ids, created_since=None if ids else since
    ),
)

_OFFER_COLUMNS: Mapping[str, ColumnKind] = {
    **_columns(
        "text", "available_end_date available_start_date currency_iso_code date_created description last_updated "
        "min_shipping_type min_shipping_zone price_additional_info product_sku product_tax_code shop_name shop_sku "
        "state_code",
    ),
    **_columns("boolean", "active allow_quote_requests deleted is_professional premium"),
    **_columns(
        "integer", "favorite_rank leadtime_to_ship max_order_quantity min_order_quantity offer_id package_quantity "
        "quantity shop_id",
    ),
    **_columns("number", "min_shipping_price min_shipping_price_additional msrp"),
    **_columns(
        "json", "channels eco_contributions fulfillment logistic_class measurement offer_additional_fields "
        "ongoing_discount_campaigns prices retail_prices shipping_types warehouses",
    ),
}  # fmt: skip
"""Fields of OF54 that Mirakl documents."""

OFFER_EXPORT = JobKind(
    name="offer_export",
    code="OF52",
    title="offer export",
    numbered=False,
    status=lambda job_id, caller: offers.get_offer_export(job_id, caller=caller),
    state="status",
    in_progress=frozenset({"PENDING"}),
    shortest=10,
    recommended=60,
    unclear="resend",
    recognizes=True,
    file=offers.get_offer_export_file,
    columns=_OFFER_COLUMNS,
)

ORDER_EXPORT = JobKind(
    name="order_export",
    code="OR13",
    title="order export",
    numbered=False,
    status=lambda job_id, caller: marketplace.get_order_export(job_id, caller=caller),
    state="status",
    in_progress=frozenset({"PENDING"}),
    # No frequency of OR14 is public; the values of OF53, which works alike, are used: uncertain.
    shortest=10,
    recommended=60,
    # Mirakl runs one at a time: while the first one runs, a second one is refused, and a retry exports again.
    unclear="resend",
    file=marketplace.get_order_export_file,
    items="orders",
)

TRANSACTION_EXPORT = JobKind(
    name="transaction_export",
    code="TL03",
    title="export of transaction lines",
    numbered=False,
    status=lambda job_id, caller: marketplace.get_transaction_export(job_id, caller=caller),
    state="status",
    in_progress=frozenset({"PENDING"}),
    shortest=10,
    recommended=60,
    unclear="resend",
    file=marketplace.get_transaction_export_file,
    items="data",
)

JOBS: Mapping[str, JobKind] = {
    kind.name: kind
    for kind in (
        PRODUCT_SYNCHRONIZATION,
        PRODUCT_IMPORT,
        PRODUCT_EXPORT,
        OFFER_IMPORT,
        STOCK_IMPORT,
        PRICE_IMPORT,
        OFFER_EXPORT,
        ORDER_EXPORT,
        TRANSACTION_EXPORT,
    )
}
"""The jobs by name."""
