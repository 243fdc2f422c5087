"""Which listed job a submission may be of which nobody knows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_mirakl.api.caller import Caller
from airflow_provider_mirakl.jobs.book import Entry
from airflow_provider_mirakl.jobs.lookup import matching

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ENTRY = Entry("abc123def456", NOW.timestamp())


def status(job_id, minutes=0.0, **more):
    return {"import_id": job_id, "date_created": (NOW + timedelta(minutes=minutes)).isoformat(), **more}


@pytest.mark.parametrize(
    ("statuses", "found"),
    [
        ([], []),
        ([status(1)], [1]),
        ([status(1, -0.9), status(2, 14)], [1, 2]),
        ([status(1, -1.1), status(2, 16)], []),
        ([status(1, shop_id=2001)], []),
        ([status(1, shop_id=2000)], [1]),
        ([status(1, origin="FRONT"), status(2, origin="API")], [2]),
        ([status(1), status(2, 600, file_name="products-abc123def456.csv")], [2]),
        ([{"import_id": 1}], []),
        ([{"date_created": NOW.isoformat()}], []),
    ],
)
def test_created_then_for_that_shop_and_by_that_way(statuses, found):
    assert matching(statuses, ENTRY, Caller("operator", 2000)) == found


def test_a_seller_s_default_shop_is_any():
    assert matching([status(1, shop_id=2001)], ENTRY, Caller()) == [1]
