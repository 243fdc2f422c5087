"""One judgement for all jobs."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from airflow_provider_mirakl.api.caller import Caller
from airflow_provider_mirakl.jobs.table import JOBS, Counts, evaluate

P41 = JOBS["product_import"]


@pytest.mark.parametrize("name", sorted(JOBS))
@pytest.mark.parametrize(
    ("state", "phase"),
    [
        ("COMPLETE", "done"),
        ("COMPLETED", "done"),
        ("FAILED", "failed"),
        ("CANCELLED", "failed"),
        ("CANCELED", "failed"),
        ("SOMETHING_NEW", "running"),
        (None, "running"),
    ],
)
def test_both_spellings_of_an_end_are_understood_in_every_row(name, state, phase):
    kind = JOBS[name]
    evaluation = evaluate(kind, {kind.state: state})
    assert evaluation.phase == phase
    assert evaluation.known == (state is not None and state != "SOMETHING_NEW")


# As in docs/mirakl-facts.md; repeated here, so that the table is compared with something else.
ON_THE_WAY = {
    "product_synchronization": "WAITING QUEUED RUNNING",
    "product_import": "TRANSFORMATION_WAITING TRANSFORMATION_RUNNING WAITING RUNNING SENT",
    "product_export": "PENDING",
    "offer_import": "WAITING RUNNING WAITING_SYNCHRONIZATION_PRODUCT",
    "stock_import": "WAITING RUNNING",
    "price_import": "WAITING RUNNING",
    "offer_export": "PENDING",
    "order_export": "PENDING",
    "transaction_export": "PENDING",
}


@pytest.mark.parametrize("name", sorted(JOBS))
def test_states_on_the_way_are_known_and_no_end(name):
    kind = JOBS[name]
    for state in ON_THE_WAY[name].split():
        evaluation = evaluate(kind, {kind.state: state}, early=False)
        assert (evaluation.phase, evaluation.known, evaluation.ended) == ("running", True, False)
    assert not evaluate(kind, {kind.state: "ARRIVING"}).known


def test_sent_is_an_end_where_the_user_says_so():
    assert evaluate(P41, {"import_status": "SENT"}, early=True).phase == "done"
    assert evaluate(P41, {"import_status": "SENT"}, early=False).phase == "running"
    assert evaluate(P41, {"import_status": "TRANSFORMATION_FAILED"}).phase == "failed"


@pytest.mark.parametrize(
    ("state", "codes"),
    [
        ("SENT", ["P47", "P46"]),
        ("COMPLETE", ["P47", "P44", "P45", "P46"]),
        ("COMPLETED", ["P47", "P44", "P45", "P46"]),
        ("TRANSFORMATION_FAILED", ["P47"]),
        ("FAILED", []),
        ("RUNNING", []),
    ],
)
def test_a_report_is_there_in_its_states_and_where_its_flag_says_so(state, codes):
    flags = {report.flag: True for report in P41.reports}
    assert [report.code for report in evaluate(P41, {"import_status": state, **flags}).reports] == codes
    assert evaluate(P41, {"import_status": state, **dict.fromkeys(flags, False)}).reports == ()


@pytest.mark.parametrize(
    ("name", "status", "counts"),
    [
        ("product_synchronization", {"processed": 5, "succeeded": 3, "failed": 1}, Counts(3, 1, 1)),
        (
            "offer_import",
            {"lines_in_success": 3, "lines_in_error": 1, "lines_in_pending": 2},
            Counts(3, 1, 2),
        ),
        ("stock_import", {"lines_in_success": 3, "lines_in_error": 1}, Counts(3, 1, 0)),
        # lines that were read and of which no count speaks
        ("stock_import", {"lines_read": 9, "lines_in_success": 3, "lines_in_error": 1}, Counts(3, 1, 5)),
        ("price_import", {}, Counts()),
        ("product_export", {"status": "COMPLETED"}, Counts()),
        (
            "product_import",
            {"import_status": "SENT", "transform_lines_read": 10, "transform_lines_in_error": 4},
            Counts(0, 4, 6),
        ),
        (
            "product_import",
            {
                "import_status": "COMPLETE",
                "transform_lines_read": 10,
                "transform_lines_in_error": 4,
                "integration_details": {"products_successfully_synchronized": 3, "rejected_products": 2},
            },
            Counts(3, 6, 1),
        ),
        (  # the details come later: until then all of them may be rejected
            "product_import",
            {
                "import_status": "COMPLETE",
                "transform_lines_read": 3,
                "transform_lines_in_error": 1,
                "transform_lines_in_success": 2,
            },
            Counts(0, 1, 2),
        ),
        (  # nothing says which of them the report of errors names
            "product_import",
            {
                "import_status": "COMPLETE",
                "transform_lines_read": 3,
                "transform_lines_in_error": 1,
                "transform_lines_in_success": 2,
                "has_error_report": True,
            },
            Counts(0, 1, 2),
        ),
        (  # an operator's file is not converted: no line is counted, only products
            "product_import",
            {
                "import_status": "COMPLETE",
                "integration_details": {"invalid_products": 1, "products_reimported": 2},
            },
            Counts(2, 1, 0),
        ),
    ],
)
def test_counts(name, status, counts):
    assert evaluate(JOBS[name], status).counts == counts


@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [
        ("product_export", {"status": "FAILED", "error": {"code": "E1", "message": "no"}}, "E1: no"),
        ("offer_export", {"status": "FAILED", "error": {"code": "E1", "detail": "no"}}, "E1: no"),
        ("product_import", {"import_status": "FAILED", "reason_status": "empty"}, "empty"),
        ("product_import", {"import_status": "FAILED"}, ""),
        (
            "product_synchronization",
            {"status": "COMPLETE", "partial_read": True},
            "Mirakl read only a part of what was submitted",
        ),
        ("product_synchronization", {"status": "COMPLETE", "partial_read": False}, ""),
    ],
)
def test_the_reason_is_found_wherever_it_stands(name, status, reason):
    assert evaluate(JOBS[name], status).reason == reason


CALLS = {
    "product_synchronization": "CM22 CM23",
    "product_import": "P42 P47 P44 P45 P46",
    "product_export": "CM53 CM54",
    "offer_import": "OF02 OF03",
    "stock_import": "STO02 STO03",
    "price_import": "PRI02 PRI03",
    "offer_export": "OF53 OF54",
    "order_export": "OR14 OR15",
    "transaction_export": "TL04 TL05",
}
"""Mirakl's codes of what follows a job: its status, its reports, its files."""


@pytest.mark.parametrize("name", sorted(JOBS))
def test_each_job_is_followed_with_its_own_operations(name):
    kind, caller = JOBS[name], Caller("operator", 2000)
    job_id = kind.id("7")
    calls = [kind.status(job_id, caller), *(report.call(job_id, caller) for report in kind.reports)]
    if kind.file is not None:
        calls.append(kind.file("https://files.example/1"))
    assert [call.operation.code for call in calls] == CALLS[name].split()
    assert all("7" in call.target for call in calls[: 1 + len(kind.reports)])
    assert [report.code for report in kind.reports] == [call.operation.code for call in calls[1:]][
        : len(kind.reports)
    ]


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("product_import", "last_request_date=2026-11-20T12%3A00%3A00Z"),
        ("offer_import", "start_date=2026-11-20T12%3A00%3A00Z"),
        ("price_import", "start_date=2026-11-20T12%3A00%3A00Z"),
    ],
)
def test_a_listing_begins_at_a_time(name, query):
    assert query in JOBS[name].listing(Caller(), datetime(2026, 11, 20, 12, tzinfo=UTC), ()).target


def test_prices_are_listed_by_id_where_the_ids_are_known():
    target = JOBS["price_import"].listing(Caller(), datetime(2026, 11, 20, tzinfo=UTC), ["a", "b"]).target
    assert "import_id=a" in target
    assert "import_id=b" in target
    assert "start_date" not in target


@pytest.mark.parametrize(
    ("name", "body"),
    [("product_synchronization", b'[{"a":1},{}]'), ("offer_import", b'{"offers":[{"a":1},{}]}')],
)
def test_a_batch_is_a_body_of_its_rows(name, body):
    assert JOBS[name].batch(Caller(), [b'{"a":1}', b"{}"]).body == body


def test_only_imports_of_products_and_offers_are_numbered():
    """The ids of the others are texts, even if they look like numbers."""
    assert {name for name, kind in JOBS.items() if kind.id("007") == 7} == {"product_import", "offer_import"}
    assert JOBS["stock_import"].id(7) == "7"


def test_what_repeats_without_harm_and_what_does_not():
    """Mirakl lists imports of products, offers and prices, so a lost reply can be looked up. It lists none of stock.

    Exports and synchronizations change nothing when they are repeated.
    """
    unclear = {name: kind.unclear for name, kind in JOBS.items()}
    listed = ("product_import", "offer_import", "price_import")
    assert {unclear.pop(name) for name in listed} == {"search"}
    assert all(JOBS[name].listing for name in listed)
    assert unclear.pop("stock_import") == "fail"
    assert set(unclear.values()) == {"resend"}


def test_addresses_of_an_export():
    status = {"status": "COMPLETED", "urls": ["https://a/1", "https://a/2"]}
    assert evaluate(JOBS["product_export"], status).urls == ("https://a/1", "https://a/2")
    assert evaluate(JOBS["product_export"], {"status": "COMPLETED"}).urls == ()


@pytest.mark.parametrize("name", sorted(JOBS))
def test_no_interval_is_shorter_than_published(name):
    kind = JOBS[name]
    job_id = 1 if kind.numbered else "a"
    assert kind.shortest >= kind.status(job_id, Caller()).operation.interval
    assert kind.recommended >= kind.shortest


# The shortest and the recommended seconds between two polls, as docs/mirakl-facts.md has them.
POLLED = {
    "product_synchronization": (60, 60),
    "product_import": (60, 60),
    "product_export": (10, 60),
    "offer_import": (60, 300),
    "stock_import": (15, 300),
    "price_import": (60, 300),
    "offer_export": (10, 60),
    "order_export": (10, 60),
    "transaction_export": (10, 60),
}


def test_jobs_are_polled_as_mirakl_publishes():
    assert {name: (kind.shortest, kind.recommended) for name, kind in JOBS.items()} == POLLED


def test_sensors_and_table_agree_on_the_recommended_interval():
    from airflow_provider_mirakl.sensors import jobs

    sensors = [kind for kind in vars(jobs).values() if isinstance(kind, type) and hasattr(kind, "job")]
    assert {kind.job for kind in sensors} == set(JOBS)
    for kind in sensors:
        assert kind.recommended == JOBS[kind.job].recommended
