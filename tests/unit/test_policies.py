"""Which errors a retry can cure, and when."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_mirakl import exceptions, policies
from airflow_provider_mirakl.exceptions import (
    MiraklAuthenticationError,
    MiraklError,
    MiraklInputError,
    MiraklNotYetError,
    MiraklRateLimitError,
    MiraklServerError,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

WORTH_RETRYING = {
    "MiraklError",
    "MiraklApiError",
    "MiraklJobFailedError",
    "MiraklJobTimeoutError",
    "MiraklNotFoundError",
    "MiraklNotYetError",
    "MiraklRateLimitError",
    "MiraklReplyError",
    "MiraklServerError",
    "MiraklStorageError",
    "MiraklTransportError",
    "MiraklTriggerEventError",
}


def test_every_error_of_the_package_is_decided() -> None:
    """A new error has to be placed here or in the table."""
    known = {
        name
        for name, kind in inspect.getmembers(exceptions, inspect.isclass)
        if issubclass(kind, MiraklError)
    }
    final = {name for name in known if issubclass(getattr(exceptions, name), tuple(policies.FINAL_ERRORS))}
    assert known - final <= WORTH_RETRYING, known - final - WORTH_RETRYING
    assert not final & WORTH_RETRYING


def test_a_wrong_key_fails_at_once() -> None:
    error = MiraklAuthenticationError("no", operation="P41", status=401)
    action, delay, reason = policies.retry_decision(error)
    assert (action, delay) == ("fail", None)
    assert "credentials" in str(reason)


@pytest.mark.parametrize(
    "error",
    [
        MiraklRateLimitError("wait", operation="P41", status=429, retry_at=NOON + timedelta(seconds=75)),
        MiraklNotYetError("wait", operation="P41", retry_at=NOON + timedelta(seconds=75)),
    ],
)
def test_a_limit_is_waited_for_exactly(error: MiraklError) -> None:
    action, delay, reason = policies.retry_decision(error, NOON)
    assert (action, delay) == ("retry", timedelta(seconds=75))
    assert reason == "Mirakl accepts the next call at 2026-01-01 12:01:15 UTC"


def test_a_moment_that_has_passed_is_no_delay() -> None:
    error = MiraklNotYetError("wait", operation="P41", retry_at=NOON - timedelta(seconds=1))
    assert policies.retry_decision(error, NOON)[:2] == ("retry", timedelta(0))


@pytest.mark.parametrize("error", [MiraklServerError("no", operation="P41", status=500), ValueError("x")])
def test_the_rest_is_left_to_airflow(error: BaseException) -> None:
    assert policies.retry_decision(error) == ("default", None, None)


def test_airflow_takes_the_policy() -> None:
    pytest.importorskip("airflow.sdk.definitions.retry_policy", reason="retry policies came with Airflow 3.3")
    from airflow.sdk.definitions.retry_policy import RetryAction

    decision = policies.mirakl_retry_policy().evaluate(MiraklInputError("wrong"), 1, 3)
    assert decision.action is RetryAction.FAIL
