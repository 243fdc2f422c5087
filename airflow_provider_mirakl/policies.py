"""Retry policies: which errors a retry can cure, and when it is worth trying.

Airflow retries every error alike. A wrong key is then tried again for hours, and the alert comes late; a rate limit is
tried again too early. The table below says it once for every error of this package.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from airflow_provider_mirakl.exceptions import (
    MiraklAuthenticationError,
    MiraklBadRequestError,
    MiraklConfigurationError,
    MiraklError,
    MiraklInputError,
    MiraklItemsFailedError,
    MiraklPermissionError,
    MiraklUnclearSubmissionError,
)

if TYPE_CHECKING:
    from airflow.sdk.definitions.retry_policy import RetryPolicy

FINAL_ERRORS: dict[type[MiraklError], str] = {
    MiraklAuthenticationError: "Mirakl rejected the credentials; fix the connection first",
    MiraklPermissionError: "the key may not do this; fix its rights first",
    MiraklConfigurationError: "a setting is wrong; fix it first",
    MiraklInputError: "the input is wrong; fix it first",
    MiraklBadRequestError: "Mirakl rejects this request every time",
    MiraklItemsFailedError: "the result stands; a retry judges the same items again",
    MiraklUnclearSubmissionError: "a person has to decide whether to submit again",
}
"""Errors that a retry cannot cure, each with the reason that Airflow logs."""

Action = Literal["fail", "retry", "default"]


def retry_decision(
    error: BaseException, now: datetime | None = None
) -> tuple[Action, timedelta | None, str | None]:
    """Decide whether a retry makes sense after an error.

    :param error: the error that ended the try.
    :param now: the present moment; default the clock's.
    :return: ``fail``, ``retry`` or ``default`` (Airflow's own rules); the delay of the retry, where Mirakl named a
        moment; and the reason.
    """
    for kind, reason in FINAL_ERRORS.items():
        if isinstance(error, kind):
            return "fail", None, reason
    moment = getattr(error, "retry_at", None)
    if isinstance(error, MiraklError) and isinstance(moment, datetime):
        delay = max(timedelta(0), moment - (now or datetime.now(UTC)))
        return "retry", delay, f"Mirakl accepts the next call at {moment:%Y-%m-%d %H:%M:%S} UTC"
    return "default", None, None


def mirakl_retry_policy() -> RetryPolicy:
    """A retry policy for tasks that call Mirakl, for Airflow 3.3 and later.

    Fails at once on errors that a retry cannot cure (:data:`FINAL_ERRORS`), waits exactly until the moment that Mirakl
    named after a 429, and leaves every other error to the task's own ``retries`` and ``retry_delay``::

        DAG("catalog", default_args={"retries": 3, "retry_policy": mirakl_retry_policy()})

    :return: an instance of Airflow's ``RetryPolicy``.
    :raises ImportError: Airflow is older than 3.3 and has no retry policies.
    """
    try:
        from airflow.sdk.definitions.retry_policy import RetryAction, RetryDecision, RetryPolicy
    except ImportError:
        raise ImportError(
            "mirakl_retry_policy() needs Airflow 3.3 or later; on an older one set retries for each task"
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
