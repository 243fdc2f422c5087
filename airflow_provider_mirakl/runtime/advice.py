"""The next step after an error, and the page of the documentation. Its page "Messages" has this table."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, metadata
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout

from airflow_provider_mirakl.exceptions import (
    TOKEN,
    MiraklAuthenticationError,
    MiraklBadRequestError,
    MiraklConfigurationError,
    MiraklError,
    MiraklInputError,
    MiraklItemsFailedError,
    MiraklJobFailedError,
    MiraklJobTimeoutError,
    MiraklMissingFileError,
    MiraklNoteError,
    MiraklNotFoundError,
    MiraklNotYetError,
    MiraklPermissionError,
    MiraklRateLimitError,
    MiraklReplyError,
    MiraklServerError,
    MiraklStorageError,
    MiraklTransportError,
    MiraklTriggerEventError,
    MiraklUnclearSubmissionError,
)
from airflow_provider_mirakl.hooks.advice import word

PACKAGE = "airflow-provider-mirakl"

FIXES: dict[type[Exception], str] = {
    MiraklConfigurationError: "Correct the connection or the argument named above, then clear the task.",
    MiraklNoteError: "Check that every worker and triggerer can access the work folder ([mirakl] work_folder). If the "
    "file is lost for good, clear the task to start over.",
    MiraklMissingFileError: "Check the path as the worker sees it: another machine or container may not have the file.",
    MiraklInputError: "Correct the input, then clear the task.",
    MiraklStorageError: "Free or mount the storage, and let the user that runs Airflow write to it. A retry continues "
    "where the task stopped.",
    MiraklNotYetError: "Retry the task at the time named above: Mirakl permits the call from then on.",
    MiraklTransportError: "Check host, port and proxy of the connection, and the network. A retry is safe.",
    MiraklReplyError: "Check the host of the connection, and any system between Airflow and Mirakl: a proxy, a "
    "firewall, a login page.",
    MiraklBadRequestError: "Correct what Mirakl names above. A retry sends the same request and fails again.",
    MiraklAuthenticationError: "Enter a valid key in the connection, and press Test.",
    MiraklPermissionError: "Check the role of the connection, and the rights of the key's user in Mirakl.",
    MiraklNotFoundError: "Check the ids, and shop_id: Mirakl shows a key only what belongs to its shop. If every call "
    "fails like this, check the host of the connection.",
    MiraklRateLimitError: "Retry later. Check for other programs that use the same key, and for Airflow installations "
    "that do not share their pace: pools, or interval_factor of the connection, slow this one down.",
    MiraklServerError: "Retry the task: it continues where it stopped. If it persists, send Mirakl's support the "
    "request id above.",
    MiraklItemsFailedError: "Correct the items; their rows and reasons are in the files that the log names. Or allow "
    "more failures with max_failed_items or max_failed_ratio.",
    MiraklJobFailedError: "Read Mirakl's reason above and the archived reports, correct the file, then clear the task.",
    MiraklJobTimeoutError: "Retry the task: it waits for the same job again. Raise timeout if jobs of this size take "
    "longer.",
    MiraklUnclearSubmissionError: "Check in Mirakl's back office whether it arrived, then continue as described above.",
    MiraklTriggerEventError: "Install the same version of the package for workers and triggerers, then clear the task.",
    AirflowSensorTimeout: "Check that what the sensor waits for still happens, or raise timeout. Clear the task to "
    "wait again.",
    AirflowFailException: "Correct the problem named above, then clear the task. A retry cannot help.",
}  # fmt: skip
"""The advice for each kind of error, if nothing more precise is known."""


def what_to_do(error: Exception, task: Any) -> str:
    """The next step for the reader of the log.

    :param error: the error.
    :param task: the operator or sensor that failed.
    """
    precise = (
        _of_a_call(error, task)
        or _of_a_setting(error, task)
        or _of_rows(error, task)
        or _of_a_wait(error, task)
    )
    return precise or next(
        (fix for kind, fix in FIXES.items() if isinstance(error, kind)), "Read the log above."
    )


def _of_a_call(error: Exception, task: Any) -> str | None:
    """The advice of the connection's test, if the key, the token or the URL is wrong."""
    kinds = (MiraklAuthenticationError, MiraklPermissionError, MiraklTransportError)
    if not isinstance(error, MiraklError) or not (
        isinstance(error, kinds) or getattr(error, "operation", "") == TOKEN
    ):
        return None
    conn_type = next(iter(connections_of(task, getattr(error, "operation", "")).values()), "mirakl")
    values = values_of(task)
    return word(error, conn_type, values.key_field if values else "password")


def connections_of(task: Any, operation: str = "") -> dict[str, str]:
    """The connections of a task by their description, each with its type.

    :param task: the operator or sensor.
    :param operation: Mirakl's code of a call that failed; DJUST's calls use a separate connection.
    """
    found = {}
    for name in ("mirakl_conn_id", "mirakl_connect_conn_id", "djust_conn_id"):
        conn_type, conn_id = name.removesuffix("_conn_id"), getattr(task, name, None)
        if conn_id and (not operation or operation.startswith("ADM-") == (conn_type == "djust")):
            values = values_of(task, conn_id)
            host = f" ({values.settings.base_url})" if values else ""
            found[f"{conn_id!r}{host}"] = conn_type
    return found


def values_of(task: Any, conn_id: str | None = None) -> Any:
    """The values of the task's connection, if the task has read them; nothing is read here."""
    hook = vars(task).get("hook")
    values = vars(hook).get("values") if hook is not None else None
    return values if conn_id is None or getattr(hook, "conn_id", None) == conn_id else None


def _of_a_setting(error: Exception, task: Any) -> str | None:
    if not isinstance(error, MiraklConfigurationError) or not error.field:
        return None
    if error.conn_id is not None:
        return (
            f"Correct {error.field} of connection {error.conn_id!r} under Admin > Connections, press Test, then clear "
            "the task."
        )
    if error.field == "role":
        return "Use a connection with the key of such a role, or set role if the connection has several keys."
    if hasattr(type(task), error.field):  # an argument
        rendered = (
            " If it is a template, Airflow's tab Rendered Templates shows its value."
            if error.field in type(task).template_fields
            else ""
        )
        return f"Correct {error.field} in the Dag, then clear the task.{rendered}"
    return None


def _of_rows(error: Exception, task: Any) -> str | None:
    """How to send the other rows, if some are invalid; and what describes the rows, if that is wrong."""
    if (
        isinstance(error, MiraklInputError)
        and any(problem.line is not None for problem in error.problems)
        and getattr(task, "on_invalid", None) == "fail"
    ):
        return "Correct the rows, then clear the task; or set on_invalid='reject' to send the others without them."
    if isinstance(error, MiraklInputError) and error.problems and hasattr(task, "columns"):
        return "Correct the input, or what the Dag says about it (columns, encoding), then clear the task."
    return None


def _of_a_wait(error: Exception, task: Any) -> str | None:
    """The parameter that helps against a call that comes too early, if the task has it and has not set it."""
    if not isinstance(error, MiraklNotYetError) or getattr(task, "deferrable", None) is not False:
        return None
    return (
        "Set deferrable=True: the triggerer then waits for the next permitted call. Without it, retry the task at the "
        "time named above."
    )


def page(error: Exception, task: Any) -> str:
    """The place in the documentation: the URL, if the installed package knows it, else page and heading."""
    kind = next((kind for kind in FIXES if isinstance(error, kind)), type(error))
    base = _documentation()
    if base:
        return f"{base}/reference/messages.html#{kind.__name__.lower()} and {base}/reference/{type(task).__name__}.html"
    return f"documentation of {PACKAGE}, Messages > {kind.__name__}, and Reference > {type(task).__name__}"


def _documentation() -> str:
    try:
        urls: list[str] = metadata(PACKAGE).get_all("Project-URL") or []
    except PackageNotFoundError:
        return ""
    return next((url.partition(", ")[2].rstrip("/") for url in urls if url.startswith("Documentation, ")), "")
