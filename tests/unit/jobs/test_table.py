"""One judgement for all jobs."""

from __future__ import annotations

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


@pytest.mark.parametrize("name", sorted(JOBS))
def test_states_on_the_way_are_known_and_no_end(name):
    kind = JOBS[name]
    for state in kind.in_progress:
        evaluation = evaluate(kind, {kind.state: state}, early=False)
        assert (evaluation.phase, evaluation.known, evaluation.ended) == ("running", True, False)


def test_sent_is_an_end_where_the_user_says_so():
    assert evaluate(P41, {"import_status": "SENT"}, early=True).phase == "done"
    assert evaluate(P41, {"import_status": "SENT"}, early=False).phase == "running"
    assert evaluate(P41, {"import_status": "TRANSFORMATION_FAILED"}).phase == "failed"


@pytest.mark.parametrize(
    ("state", "codes"),
    [
        ("SENT", ["P47", "P46"]),
        ("COMPLETE", ["P47", "P44", "P45", "P46"]),
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
    ],
)
def test_the_reason_is_found_wherever_it_stands(name, status, reason):
    assert evaluate(JOBS[name], status).reason == reason


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


def test_sensors_and_table_agree_on_the_recommended_interval():
    from airflow_provider_mirakl.sensors import jobs

    sensors = [kind for kind in vars(jobs).values() if isinstance(kind, type) and hasattr(kind, "job")]
    assert {kind.job for kind in sensors} == set(JOBS)
    for kind in sensors:
        assert kind.recommended == JOBS[kind.job].recommended
