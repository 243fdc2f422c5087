"""Retry policies: which errors a retry can fix, and when it is worth trying.

Airflow retries every error in the same way. A wrong key is then retried for hours, and the alert comes late; a rate
limit is tried again too early. The table below defines it for every error of this package.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import TYPE_CHECKING, Literal, ParamSpec, TypeVar

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from airflow_provider_mirakl.exceptions import (
    MiraklAuthenticationError,
    MiraklBadRequestError,
    MiraklConfigurationError,
    MiraklError,
    MiraklInputError,
    MiraklItemsFailedError,
    MiraklPermissionError,
)

if TYPE_CHECKING:
    from airflow.sdk.definitions.retry_policy import RetryPolicy

FINAL_ERRORS: dict[type[MiraklError], str] = {
    MiraklAuthenticationError: "Mirakl rejected the credentials; fix the connection first",
    MiraklPermissionError: "the key may not do this; fix its rights first",
    MiraklConfigurationError: "a setting is wrong; fix it first",
    MiraklInputError: "the input is wrong; fix it first",
    MiraklBadRequestError: "Mirakl rejects this request every time",
    MiraklItemsFailedError: "the result is final; a retry evaluates the same items again",
}
"""Errors that a retry cannot fix, each with the reason that Airflow logs. For some others, :attr:`MiraklError.final`
says so: an unclear submission of which a retry can find out nothing. Items of a download are the exception: see
:attr:`MiraklItemsFailedError.may_pass`."""

P = ParamSpec("P")
R = TypeVar("R")
Action = Literal["fail", "retry", "default"]


def retry_decision(
    error: BaseException, now: datetime | None = None
) -> tuple[Action, timedelta | None, str | None]:
    """Decide whether a retry makes sense after an error.

    :param error: the error that ended the try.
    :param now: the current time; default that of the clock.
    :return: ``fail``, ``retry`` or ``default`` (Airflow's own rules); the delay of the retry, where Mirakl named a
        moment; and the reason.
    """
    for kind, reason in FINAL_ERRORS.items():
        if isinstance(error, kind) and not getattr(error, "may_pass", False):
            return "fail", None, reason
    if isinstance(error, MiraklError) and error.final:
        return "fail", None, "a user must decide whether to submit again"
    moment = getattr(error, "retry_at", None)
    if isinstance(error, MiraklError) and isinstance(moment, datetime):
        delay = max(timedelta(0), moment - (now or datetime.now(UTC)))
        return "retry", delay, f"Mirakl accepts the next call at {moment:%Y-%m-%d %H:%M:%S} UTC"
    return "default", None, None


def make_final(error: MiraklError) -> None:
    """Make an error one that Airflow does not retry, if a retry cannot fix it.

    It keeps its type and data: its class becomes a subclass that is also Airflow's ``AirflowFailException``.

    :param error: an error that is about to leave a task.
    """
    if retry_decision(error)[0] == "fail" and not isinstance(error, AirflowSkipException):
        error.__class__ = _final_kind(type(error))


def _final_kind(kind: type[MiraklError]) -> type[MiraklError]:
    if issubclass(kind, AirflowFailException):
        return kind
    return type(kind.__name__, (kind, AirflowFailException), {"__module__": kind.__module__})


def fail_fast(function: Callable[P, R]) -> Callable[P, R]:
    """Let a task fail at once on errors that a retry cannot fix, on every version of Airflow.

    These are :data:`FINAL_ERRORS`, and errors with ``final``.

    For functions of your own that use a hook; operators and sensors have a parameter ``fail_fast``::

        @task(retries=3)
        @fail_fast
        def push(): ...

    :param function: the task's function.
    """

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except MiraklError as error:
            make_final(error)
            raise

    return wrapped


def mirakl_retry_policy() -> RetryPolicy:
    """A retry policy for tasks that call Mirakl, for Airflow 3.3 and later.

    Fails at once on errors that a retry cannot fix (:data:`FINAL_ERRORS`, and those with ``final``), waits exactly
    until the time that Mirakl named after a 429, and leaves every other error to the task's own ``retries`` and
    ``retry_delay``::

        DAG("catalog", default_args={"retries": 3, "retry_policy": mirakl_retry_policy()})

    :return: an instance of Airflow's ``RetryPolicy``.
    :raises ImportError: Airflow is older than 3.3 and has no retry policies.
    """
    try:
        from airflow.sdk.definitions.retry_policy import RetryAction, RetryDecision, RetryPolicy
    except ImportError:
        raise ImportError(
            "mirakl_retry_policy() needs Airflow 3.3 or later; on an older one set fail_fast=True"
        ) from None

    class MiraklRetryPolicy(RetryPolicy):
        """See :func:`mirakl_retry_policy`."""

        def evaluate(
            self, exception: BaseException, try_number: int, max_tries: int, context: object = None
        ) -> RetryDecision:
            action, delay, reason = retry_decision(exception)
            return RetryDecision(RetryAction(action), delay, reason)

        def serialize(self) -> dict[str, str]:
            return {"__type": f"{__name__}.mirakl_retry_policy"}

    return MiraklRetryPolicy()
