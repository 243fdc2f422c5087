"""What a poll of jobs asks, when it ends, and which job is the newest."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from airflow_provider_mirakl.api.call import Page
from airflow_provider_mirakl.api.steps import drive
from airflow_provider_mirakl.api.values import moment_of
from airflow_provider_mirakl.exceptions import MiraklConfigurationError
from airflow_provider_mirakl.jobs.polls import JobQuestion, jobs_ended, jobs_or_newest_ended

MORNING, NOON, EVENING = (f"2026-11-20T{hour}:00:00Z" for hour in ("08", "12", "20"))


class Mirakl:
    """Answers the questions of a poll.

    :param statuses: by id; what is not there has no newer status.
    :param listed: what a listing shows.
    """

    def __init__(self, *listed: dict[str, Any], **statuses: dict[str, Any]) -> None:
        self.listed = list(listed)
        self.statuses = statuses
        self.asked: list[Any] = []
        self.calls: list[str] = []

    def perform(self, step: Any) -> Any:
        self.calls.append(f"{step.call.operation.code} {step.call.target}")
        if isinstance(step, JobQuestion):
            self.asked.append(step.job_id)
            return self.statuses.get(f"_{step.job_id}")
        return Page(self.listed, None)

    def ended(self, notes: dict[str, Any], *job_ids: Any, kind: str = "product_import", **more: Any) -> Any:
        return drive(jobs_ended(notes, kind=kind, job_ids=job_ids, **more), self.perform)

    def newest(self, notes: dict[str, Any], kind: str = "product_import", **more: Any) -> Any:
        more = {"newest_since": NOON, "job_ids": []} | more
        return drive(jobs_or_newest_ended(notes, kind=kind, **more), self.perform)


def job(job_id: int = 1, state: str = "COMPLETE", created: Any = NOON, **more: Any) -> dict[str, Any]:
    return {"import_id": job_id, "import_status": state, "date_created": created, **more}


# Jobs whose ids are known


def test_it_ends_with_the_last_job_and_asks_only_for_those_that_run() -> None:
    mirakl, notes = Mirakl(_1=job(1), _2=job(2, "RUNNING")), {}  # type: ignore[var-annotated]
    assert mirakl.ended(notes, 1, 2, 2) is None
    mirakl.asked.clear()
    mirakl.statuses["_2"] = job(2, "FAILED")
    assert mirakl.ended(notes, 1, 2, 2) == {"statuses": {"1": job(1), "2": job(2, "FAILED")}}
    assert mirakl.asked == [2]


def test_a_listing_without_news_of_a_job_is_no_end() -> None:
    mirakl, notes = Mirakl(_2=job(2)), {}  # type: ignore[var-annotated]
    assert mirakl.ended(notes, 1, 2) is None
    mirakl.statuses["_1"] = job(1)
    assert set(mirakl.ended(notes, 1, 2)["statuses"]) == {"1", "2"}


def test_ids_are_asked_for_in_the_type_that_mirakl_uses() -> None:
    mirakl = Mirakl(_7=job(7))
    mirakl.ended({}, "7")
    mirakl.ended({}, 7, kind="stock_import")
    assert mirakl.asked == [7, "7"]


def test_each_job_is_asked_for_as_its_shop() -> None:
    mirakl = Mirakl(_7=job(7))
    mirakl.ended({}, 7, shop_id=2000)
    assert mirakl.calls == ["P42 /api/products/imports/7?shop_id=2000"]


def test_signed_urls_of_an_export_are_not_in_the_event() -> None:
    status = {"status": "COMPLETED", "urls": ["https://files.example/1?signature=secret"]}
    assert Mirakl(_a=status).ended({}, "a", kind="product_export") == {
        "statuses": {"a": {"status": "COMPLETED"}}
    }


def test_sent_is_the_end_only_where_the_user_says_so() -> None:
    mirakl = Mirakl(_1=job(1, "SENT"))
    assert mirakl.ended({}, 1) is not None
    assert mirakl.ended({}, 1, early=False) is None


def test_a_complete_import_is_polled_for_its_results_for_an_hour_and_not_longer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Polled every 60 s. After that, its lines count as unknown, and the log says so."""
    mirakl, notes = Mirakl(_1=job(1)), {}  # type: ignore[var-annotated]
    with caplog.at_level(logging.INFO):
        polls = [mirakl.ended(notes, 1, early=False) for _ in range(61)]
    assert polls[:60] == [None] * 60
    assert polls[60] == {"statuses": {"1": job(1)}}
    assert caplog.messages[0] == (
        "Product import 1 is COMPLETE; Mirakl does not report the results of its lines yet. Polling again."
    )
    assert [record.levelname for record in caplog.records] == ["INFO"] * 60 + ["WARNING"]
    assert "still does not report the results of its lines; they count as unknown" in caplog.messages[60]


def test_a_complete_import_ends_with_its_results() -> None:
    mirakl, notes = Mirakl(_1=job(1)), {}  # type: ignore[var-annotated]
    assert mirakl.ended(notes, 1, early=False) is None
    mirakl.statuses["_1"] = job(1, integration_details={"products_reimported": 1})
    assert mirakl.ended(notes, 1, early=False) is not None


def test_a_failed_import_is_not_polled_for_results() -> None:
    assert Mirakl(_1=job(1, "FAILED")).ended({}, 1, early=False) is not None


def test_a_listing_reaches_back_to_the_first_job() -> None:
    """Of the jobs of a task the first one is the oldest; in a new process its time comes with the question."""
    questions: list[JobQuestion] = []

    def perform(step: Any) -> Any:
        questions.append(step)
        return job(step.job_id, "RUNNING", created={1: MORNING, 2: NOON}[step.job_id])

    notes: dict[str, Any] = {}
    drive(jobs_ended(notes, kind="product_import", job_ids=[1, 2]), perform)
    assert notes["since"] == MORNING
    drive(jobs_ended({}, kind="product_import", job_ids=[1], since=notes["since"]), perform)
    first, _, later = (question.since for question in questions)
    assert first.year == 2000, "nothing is known: the whole listing"
    assert later == moment_of(MORNING)


def test_a_kind_of_another_version_is_named() -> None:
    with pytest.raises(MiraklConfigurationError, match=r"kind must be .*product_import.*, not 'moon_import'"):
        Mirakl().ended({}, 1, kind="moon_import")


# The newest job since a given time


def test_the_newest_job_is_waited_for() -> None:
    mirakl, notes = Mirakl(job(1), job(3, "RUNNING", EVENING), job(2)), {}  # type: ignore[var-annotated]
    assert mirakl.newest(notes) is None
    assert (notes["newest"], notes["since"]) == (3, EVENING)
    mirakl.listed.append(job(4, "COMPLETE", "2026-11-20T21:00:00Z"))
    mirakl.statuses["_3"] = job(3, "RUNNING", EVENING)
    assert mirakl.newest(notes) is None, "a later one does not replace it"
    mirakl.statuses["_3"] = job(3, "COMPLETE", EVENING)
    assert mirakl.newest(notes) == {"statuses": {"3": job(3, "COMPLETE", EVENING)}}
    assert mirakl.asked == [3, 3]


def test_a_newest_job_that_has_ended_needs_no_second_call() -> None:
    mirakl = Mirakl(job(1))
    assert mirakl.newest({}) == {"statuses": {"1": job(1)}}
    assert mirakl.asked == []


@pytest.mark.parametrize(
    ("status", "fits"),
    [
        (job(created=NOON), True),
        (job(created="2026-11-20T11:59:59Z"), False),
        (job(created="2026-11-20T13:30:00+01:00"), True),
        (job(created="2026-11-20T12:30:00+01:00"), False),
        (job(created="2026-11-20T12:00:00"), True),
        (job(created="yesterday"), False),
        (job(created=None), False),
    ],
)
def test_it_is_not_older_than_the_given_time(status: dict[str, Any], fits: bool) -> None:
    assert (Mirakl(status).newest({}) is not None) == fits


@pytest.mark.parametrize(
    ("shop_id", "listed", "fits"),
    [(None, 2001, True), (2001, 2001, True), (2001, 2002, False), (2001, None, True)],
)
def test_it_is_of_the_shop(shop_id: int | None, listed: int | None, fits: bool) -> None:
    """A listing may contain the jobs of all shops; a status need not name its shop."""
    status = job(shop_id=listed) if listed else job()
    found = Mirakl(status).newest({}, role="operator", shop_id=shop_id)
    assert (found is not None) == fits


def test_without_a_job_since_then_it_waits_for_one() -> None:
    mirakl, notes = Mirakl(), {}  # type: ignore[var-annotated]
    assert mirakl.newest(notes) is None
    mirakl.listed.append(job(5))
    assert mirakl.newest(notes) == {"statuses": {"5": job(5)}}


def test_a_newest_job_whose_results_are_still_to_come_is_polled() -> None:
    mirakl, notes = Mirakl(job(1), _1=job(1)), {}  # type: ignore[var-annotated]
    assert mirakl.newest(notes, early=False) is None
    assert mirakl.newest(notes, early=False) is None
    mirakl.statuses["_1"] = done = job(1, integration_details={})
    assert mirakl.newest(notes, early=False) == {"statuses": {"1": done}}
    assert Mirakl(job(1, "SENT")).newest({}, early=False) is None
    assert Mirakl(done).newest({}, early=False) == {"statuses": {"1": done}}


def test_what_an_earlier_process_found_is_kept() -> None:
    mirakl = Mirakl(job(9, created=EVENING), _3=job(3))
    assert mirakl.newest({}, newest=3) == {"statuses": {"3": job(3)}}


def test_the_listing_of_the_next_process_begins_where_the_newest_job_was_created() -> None:
    since = []

    def perform(step: Any) -> Any:
        since.append(step.since)
        return job(3)

    arguments = {"kind": "product_import", "job_ids": [], "newest_since": MORNING, "newest": 3, "since": NOON}
    assert drive(jobs_or_newest_ended({}, **arguments), perform)  # type: ignore[arg-type]
    assert since == [moment_of(NOON)]


def test_with_ids_no_listing_is_read() -> None:
    mirakl = Mirakl(job(9), _1=job(1))
    assert mirakl.newest({}, newest_since=None, job_ids=[1]) == {"statuses": {"1": job(1)}}
    assert [call.split()[0] for call in mirakl.calls] == ["P42"]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-20T12:00:00Z", "2026-11-20T12:00:00+00:00"),
        ("2026-11-20T12:00:00", "2026-11-20T12:00:00+00:00"),
        ("2026-11-20T12:00:00+02:00", "2026-11-20T10:00:00+00:00"),
    ],
)
def test_a_time_is_in_utc_with_and_without_a_zone(text: str, moment: str) -> None:
    found = moment_of(text)
    assert found is not None
    assert found.isoformat() == moment


@pytest.mark.parametrize("text", ["soon", "", None, 1_800_000_000, "2026-13-01"])
def test_what_is_no_time_is_nothing(text: object) -> None:
    assert moment_of(text) is None
