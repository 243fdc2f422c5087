"""What a task has submitted survives whatever happens to the worker."""

from __future__ import annotations

import pytest

from airflow_provider_mirakl.exceptions import MiraklInputError
from airflow_provider_mirakl.jobs.book import JOB_BOOK, JobBook


@pytest.fixture
def reopen(tmp_path):
    return lambda generation="g", payload="p": JobBook.open(tmp_path, generation=generation, payload=payload)


def fill(book, *phases):
    for index, phase in enumerate(phases):
        entry = book.intend(index, 1)
        if phase != "intent":
            book.submitted(entry, 100 + index)
        if phase in ("done", "failed"):
            book.ended(entry, {"status": "X"}, failed=phase == "failed")


def test_every_step_is_on_storage_at_once(reopen):
    book = reopen()
    entry = book.intend(0, 5)
    assert (reopen().entry(0).phase, reopen().entry(0).items) == ("intent", 5)
    book.submitted(entry, 2001)
    assert (reopen().entry(0).phase, reopen().job_ids) == ("submitted", [2001])
    book.ended(entry, {"status": "COMPLETE"}, failed=False)
    assert reopen().entry(0).status == {"status": "COMPLETE"}
    book.result = {"sent": 5}
    book.save()
    assert reopen().result == {"sent": 5}


def test_an_export_is_as_old_as_the_first_request_that_may_have_been_accepted(reopen):
    book = reopen()
    book.ask()
    refused = book.asked_at
    book.intend(0, None)
    book.withdraw(0)
    book = reopen()
    book.ask()
    asked = book.asked_at
    assert asked > refused
    book.intend(0, None)  # the worker is killed
    book = reopen()
    book.ask()
    assert book.asked_at == asked
    book.sent_again = True
    book.withdraw(0)
    book = reopen()
    book.ask()
    assert book.asked_at == asked
    other = reopen(payload="other")
    other.ask()
    assert other.asked_at > asked


def test_another_generation_or_input_begins_anew(reopen, tmp_path):
    fill(reopen(), "submitted")
    assert reopen("other").entries == []
    fill(reopen(), "submitted")
    assert reopen(payload="other").entries == []
    assert JobBook.find(tmp_path, generation="g").job_ids == [100]
    assert JobBook.find(tmp_path, generation="other") is None


def test_a_name_is_the_same_in_every_try_and_no_other(reopen):
    names = {reopen(g, p).name(n) for g in "ab" for p in "ab" for n in (0, 1)}
    assert len(names) == 8
    assert reopen("a", "a").name(0) == reopen("a", "a").name(0)


def test_what_failed_as_a_whole_is_to_be_submitted_again(reopen):
    fill(reopen(), "done", "failed", "done")
    assert [reopen().entry(n) is None for n in range(4)] == [False, True, False, True]


def test_withdrawing_one_of_several_leaves_the_others(reopen):
    book = reopen()
    fill(book, "done", "failed", "done")
    book.intend(1, 1)
    book.withdraw(1)
    again = reopen()
    assert [entry.phase for entry in again.entries] == ["done", "failed", "done"]
    assert again.entry(1) is None
    assert again.entry(2).job_id == 102
    again.intend(3, 1)
    again.withdraw(3)
    assert len(reopen().entries) == 3


def test_only_what_still_runs_is_abandoned(reopen):
    book = reopen()
    fill(book, "done", "submitted")
    assert [entry.job_id for entry in book.abandon()] == [101]
    assert [entry.phase for entry in reopen().entries] == ["done", "abandoned"]


def test_after_a_deferral_the_book_has_to_be_there(reopen, tmp_path):
    with pytest.raises(MiraklInputError, match="check that every worker can access"):
        JobBook.load(tmp_path, generation="g")
    fill(reopen(), "submitted")
    assert JobBook.load(tmp_path, generation="g").job_ids == [100]


def test_a_broken_book_is_no_reason_to_submit_again(reopen, tmp_path):
    (tmp_path / JOB_BOOK.file).write_text("{")
    with pytest.raises(MiraklInputError, match=r"Check in Mirakl.s back office whether the job exists"):
        reopen()


def test_all_is_submitted_when_the_last_job_has_its_id_and_none_failed(reopen):
    book = reopen()
    fill(book, "done", "submitted")
    assert not book.all_submitted, "more may follow"
    book.complete = True
    book.save()
    assert reopen().all_submitted
    again = reopen()
    again.ended(again.entries[1], {"status": "FAILED"}, failed=True)
    assert not reopen().all_submitted
    again.intend(1, 1)
    assert (reopen().complete, reopen().all_submitted) == (False, False)


def test_a_new_book_has_nothing_submitted(reopen):
    book = reopen()
    assert (book.all_submitted, book.complete, book.result) == (False, False, None)
    assert not reopen(payload="other").all_submitted


def test_only_an_intent_is_unclear(reopen):
    fill(reopen(), "done", "submitted", "failed", "intent")
    assert [entry.name for entry in reopen().unclear] == [reopen().name(3)]
    assert reopen().job_ids == [100, 101, 102]


def test_another_process_that_submitted_is_noticed(reopen):
    book = reopen()
    assert book.is_current
    fill(reopen(), "submitted")
    assert not book.is_current


def test_jobs_of_another_input_are_kept_until_the_first_submission(reopen, tmp_path):
    fill(reopen(), "submitted")
    other = reopen(payload="other")
    assert (other.entries, JobBook.find(tmp_path, generation="g").job_ids) == ([], [100])
    other.intend(0, 7, clock=-2.5)
    found = JobBook.find(tmp_path, generation="g")
    assert (found.payload, found.job_ids, found.complete) == ("other", [], False)
    assert (found.entry(0).items, found.entry(0).clock) == (7, -2.5)
