"""Times at the ends of the calendar: in UTC, they are in a year that Python does not have."""

from __future__ import annotations

from datetime import datetime

import pytest

from airflow_provider_mirakl.actions.rows import moment as of_a_row
from airflow_provider_mirakl.api.call import moment as parameter
from airflow_provider_mirakl.api.values import moment_of
from airflow_provider_mirakl.catalog.verify import differences
from airflow_provider_mirakl.exceptions import MiraklInputError
from airflow_provider_mirakl.extract.fields import shaped

OUT_OF_RANGE = ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-05:00"]


@pytest.mark.parametrize("text", [*OUT_OF_RANGE, "2026-13-01T00:00:00Z", "yesterday", None, 5])
def test_what_is_no_time_in_a_reply_is_nothing(text: object) -> None:
    assert moment_of(text) is None
    assert shaped(text, "moment") is None


def test_a_reply_without_a_time_zone_is_in_utc() -> None:
    assert moment_of("2026-01-31T10:00:00") == moment_of("2026-01-31T11:00:00+01:00")


@pytest.mark.parametrize("text", OUT_OF_RANGE)
def test_what_is_no_time_in_an_argument_is_refused(text: str) -> None:
    with pytest.raises(MiraklInputError, match="is not a time between the years 1 and 9999 in UTC"):
        parameter(datetime.fromisoformat(text))
    with pytest.raises(ValueError, match="must be a date-time with its time zone"):
        of_a_row(text)


def test_a_month_that_no_year_has_differs_from_every_other() -> None:
    sent, shown = {"start": "2026-13-01T00:00:00Z"}, {"start": "2026-13-01T00:00:00+00:00"}
    assert differences(sent, shown) == ["start"]


def test_a_number_of_a_reply_that_no_float_holds_is_nothing() -> None:
    assert shaped(10**400, "number") is None
