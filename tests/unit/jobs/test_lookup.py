"""Which listed job a submission is whose reply was lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_mirakl.api.caller import Caller
from airflow_provider_mirakl.jobs.book import Entry, Open
from airflow_provider_mirakl.jobs.lookup import UNKNOWN_CLOCK, Finding, earliest, find_submission
from airflow_provider_mirakl.jobs.table import OFFER_IMPORT, PRODUCT_IMPORT

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ENTRY = Entry("abc123def456", NOW.timestamp())
OPERATOR = Caller("operator", 2000)


def status(job_id, minutes=0.0, read=5, **more):
    created = (NOW + timedelta(minutes=minutes)).isoformat()
    return {"import_id": job_id, "date_created": created, "transform_lines_read": read, **more}


def find(statuses, caller=OPERATOR, **options):
    return find_submission(PRODUCT_IMPORT, statuses, ENTRY, caller, **{"lines": 5} | options)


@pytest.mark.parametrize(
    ("statuses", "found"),
    [
        ([], Finding()),
        ([status(1)], Finding(proven=1)),
        ([status(1, read=4, import_status="SENT")], Finding()),
        ([status(1, read=4)], Finding(pending=(1,))),
        ([status(1, read=6)], Finding()),
        ([status(1, read=0)], Finding(pending=(1,))),
        ([status(1), status(2, read=0)], Finding(pending=(1, 2))),
        ([status(1, read=0, import_status="FAILED")], Finding(possible=(1,))),
        ([status(1), status(2, read=0, import_status="COMPLETE")], Finding(possible=(1, 2))),
        ([status(1, -0.9), status(2, 14)], Finding(possible=(1, 2))),
        ([status(1, -1.1), status(2, 16)], Finding()),
        ([status(1, shop_id=2001)], Finding()),
        ([status(1, shop_id=2000)], Finding(proven=1)),
        ([status(1, origin="FRONT"), status(2, origin="API")], Finding(proven=2)),
        ([status(1), status(2, 600, file_name="products-abc123def456.csv")], Finding(proven=2)),
        ([{"import_id": 1}], Finding()),
        ([{"date_created": NOW.isoformat()}], Finding()),
        ([status(True)], Finding()),
        ([status(1), status(2)], Finding(possible=(1, 2))),
        ([status(1), status(2, read=4)], Finding(pending=(1, 2))),
        ([status("a")], Finding(proven="a")),
        ([status(1, -1)], Finding(proven=1)),
        ([status(1, 15)], Finding(proven=1)),
    ],
)
def test_created_then_for_that_shop_by_that_way_and_with_these_lines(statuses, found):
    assert find(statuses) == found
    assert find(statuses).absent == (found == Finding())


@pytest.mark.parametrize(
    ("rival", "statuses", "found"),
    [
        ({}, [status(1)], Finding(pending=(1,))),
        ({"lost": True}, [status(1)], Finding(possible=(1,))),
        ({"lines": 5}, [status(1)], Finding(pending=(1,))),
        ({"lines": 4, "lost": True}, [status(1)], Finding(proven=1)),
        ({"shop_id": 2001}, [status(1)], Finding(proven=1)),
        ({"shop_id": None}, [status(1)], Finding(pending=(1,))),
        ({"at": NOW.timestamp() - 600, "clock": 600.0}, [status(1)], Finding(pending=(1,))),
        ({"at": NOW.timestamp() + 600, "clock": -600.0}, [status(1)], Finding(pending=(1,))),
        ({"clock": 61.0}, [status(1)], Finding(proven=1)),
        ({"at": NOW.timestamp() + 600, "clock": None}, [status(1)], Finding(pending=(1,))),
        ({"at": NOW.timestamp() + 661, "clock": None}, [status(1)], Finding(proven=1)),
        ({"at": NOW.timestamp() - 1501, "clock": None}, [status(1)], Finding(proven=1)),
        ({"at": NOW.timestamp() + 61}, [status(1)], Finding(proven=1)),
        ({"at": NOW.timestamp() - 901}, [status(1)], Finding(proven=1)),
        ({"at": NOW.timestamp() - 901, "span": 2}, [status(1)], Finding(pending=(1,))),
        ({}, [status(1), status(2)], Finding(pending=(1, 2))),
        ({"lost": True}, [status(1, read=0)], Finding(pending=(1,))),
        ({}, [status(1, read=6)], Finding()),
        ({"lost": True}, [status(1, file_name="products-abc123def456.csv")], Finding(proven=1)),
    ],
)
def test_a_job_that_another_task_may_have_sent_is_not_taken(rival, statuses, found):
    rival = Open(**{"owner": "another", "at": NOW.timestamp(), "shop_id": 2000, "clock": 0.0} | rival)
    assert find(statuses, rivals=[rival]) == found


@pytest.mark.parametrize(
    ("statuses", "found"),
    [
        ([status(1, -9)], Finding(possible=(1,))),
        ([status(1, 24)], Finding(possible=(1,))),
        ([status(1, -9, read=4)], Finding(pending=(1,))),
        ([status(1, -9, read=6)], Finding()),
        ([status(1), status(2, -9)], Finding(possible=(1, 2))),
        ([status(1)], Finding(proven=1)),
        ([status(1, -11.1), status(2, 25.1)], Finding()),
    ],
)
def test_what_fits_only_if_the_clock_of_the_other_machine_differs_is_not_decided(statuses, found):
    assert find(statuses, unsure=UNKNOWN_CLOCK) == found


def test_the_clock_of_this_machine_says_nothing_of_the_time_of_another():
    """This one is ten minutes behind Mirakl's, the other one is not."""
    entry = Entry("abc123def456", NOW.timestamp() - 600)
    rival = Open("another", NOW.timestamp(), shop_id=2000, clock=0.0)
    options = {"lines": 5, "clock": 600.0, "rivals": [rival]}
    assert find_submission(PRODUCT_IMPORT, [status(1)], entry, OPERATOR, **options) == Finding(pending=(1,))


def listed(job_id, state="COMPLETE", read=5, **more):
    return {
        "import_id": job_id, "date_created": NOW.isoformat(), "status": state, "lines_read": read,
        "lines_in_success": read, "origin": "API", "mode": "NORMAL", "shop_id": 2000,
    } | more  # fmt: skip


@pytest.mark.parametrize(
    ("statuses", "lines", "found"),
    [
        ([listed(1)], 5, Finding(proven=1)),
        ([listed(1, mode="REPLACE")], 5, Finding()),
        ([listed(1, mode=None, origin=None, shop_id=None)], 5, Finding(proven=1)),
        ([listed(1, read=4)], 5, Finding()),
        ([listed(1, read=0)], 5, Finding(possible=(1,))),
        ([listed(1)], None, Finding(possible=(1,))),
        # Even one that waits may end before the same request arrives, which would then be imported, too.
        ([listed(1, "WAITING", 0)], 5, Finding(pending=(1,))),
        ([listed(1, "WAITING", 0)], None, Finding(possible=(1,))),
        ([listed(1, "WAITING_SYNCHRONIZATION_PRODUCT", 0)], 5, Finding(pending=(1,))),
        ([listed(1, "WAITING", 0), listed(2, "WAITING", 0)], 5, Finding(pending=(1, 2))),
        ([listed(1, "RUNNING", 5)], 5, Finding(proven=1)),
        ([listed(1, "RUNNING", 3)], 5, Finding(pending=(1,))),
        ([listed(1, "RUNNING", 6)], 5, Finding()),
        ([listed(1, "RUNNING", 3)], None, Finding(possible=(1,))),
        ([listed(1, "RUNNING", 3), listed(2, "WAITING", 0)], 5, Finding(pending=(1, 2))),
        ([listed(1, "RUNNING", 3), listed(2)], 5, Finding(pending=(2, 1))),
        ([listed(1, "RUNNING", 3), listed(2)], None, Finding(possible=(1, 2))),
    ],
)
def test_what_waits_is_not_sent_again_although_mirakl_recognizes_it(statuses, lines, found):
    assert find_submission(OFFER_IMPORT, statuses, ENTRY, OPERATOR, lines=lines, mode="NORMAL") == found


def test_without_lines_nothing_but_the_name_proves():
    assert find([status(1)], lines=None) == Finding(possible=(1,))
    assert find([status(1, name=f"x-{ENTRY.name}.xlsx")], lines=None) == Finding(proven=1)


def test_a_submission_whose_time_is_not_known_fits_within_its_span():
    """Another process may have sent it at any time of ten minutes."""
    late = status(1, 24)
    assert find([late]) == Finding()
    entry = Entry(ENTRY.name, ENTRY.at, span=600.0)
    assert find_submission(PRODUCT_IMPORT, [late], entry, OPERATOR, lines=5) == Finding(proven=1)


def test_what_is_another_submission_does_not_fit():
    assert find([status(1), status(2)], taken={1}) == Finding(proven=2)


def test_a_seller_s_default_shop_is_any():
    assert find([status(1, shop_id=2001)], Caller()) == Finding(proven=1)


@pytest.mark.parametrize("clock", [-70.0, 901.0, 86_400.0])
def test_moments_are_mirakls(clock):
    listed = status(1, clock / 60)
    assert find([listed], clock=clock) == Finding(proven=1)
    assert find([listed]) == Finding()
    assert earliest(ENTRY, clock) == NOW + timedelta(seconds=clock - 60)
