"""Which errors a retry can cure, and when."""

from __future__ import annotations

import inspect
import pickle
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_mirakl import exceptions, policies
from airflow_provider_mirakl.exceptions import (
    MiraklAuthenticationError,
    MiraklError,
    MiraklInputError,
    MiraklItemsFailedError,
    MiraklNotYetError,
    MiraklRateLimitError,
    MiraklServerError,
    MiraklUnclearSubmissionError,
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
    "MiraklUnclearSubmissionError",
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


@pytest.mark.parametrize(("may_pass", "expected"), [(False, "fail"), (True, "default")])
def test_failed_items_are_final_unless_a_retry_tries_them_again(may_pass: bool, expected: str) -> None:
    error = MiraklItemsFailedError("1 of 2 items failed", outcome={})
    error.may_pass = may_pass
    assert policies.retry_decision(error)[0] == expected
    assert policies.retry_decision(pickle.loads(pickle.dumps(error)))[0] == expected  # noqa: S301 - its own


@pytest.mark.parametrize(("final", "expected"), [(True, "fail"), (False, "default")])
def test_an_unclear_submission_fails_at_once_only_if_a_retry_can_find_out_nothing(
    final: bool, expected: str
) -> None:
    error = MiraklUnclearSubmissionError("sent, or not", operation="STO01", final=final)
    assert policies.retry_decision(error)[0] == expected


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
    pytest.importorskip(
        "airflow.sdk.definitions.retry_policy", reason="needs Airflow 3.3 or later: make matrix MATRIX=3.3.2"
    )
    from airflow.sdk.definitions.retry_policy import RetryAction

    decision = policies.mirakl_retry_policy().evaluate(MiraklInputError("wrong"), 1, 3)
    assert decision.action is RetryAction.FAIL


def test_a_final_error_stays_what_it_was():
    from airflow.providers.common.compat.sdk import AirflowFailException

    error = exceptions.MiraklItemsFailedError("2 failed", outcome={"failed": 2})
    policies.make_final(error)
    assert isinstance(error, AirflowFailException)
    assert isinstance(error, exceptions.MiraklItemsFailedError)
    assert (str(error), error.outcome, type(error).__name__) == (
        "2 failed",
        {"failed": 2},
        "MiraklItemsFailedError",
    )
    policies.make_final(error)  # once is enough


def test_what_a_retry_can_cure_is_not_final_and_a_skip_stays_a_skip():
    from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

    from airflow_provider_mirakl.hooks.base import MiraklConnectionDisabledError

    down = MiraklServerError("down", operation="P41", status=503)
    disabled = MiraklConnectionDisabledError("disabled", field="enabled")
    for error in (down, disabled):
        policies.make_final(error)
        assert not isinstance(error, AirflowFailException)
    assert isinstance(disabled, AirflowSkipException)


@pytest.mark.parametrize("kind", list(policies.FINAL_ERRORS))
def test_every_error_of_the_table_is_final_for_a_function_too(kind):
    from airflow.providers.common.compat.sdk import AirflowFailException

    @policies.fail_fast
    def push(error):
        """Push."""
        raise error

    error = kind.__new__(kind)
    with pytest.raises(AirflowFailException) as caught:
        push(error)
    assert caught.value is error
    assert push.__doc__ == "Push."
