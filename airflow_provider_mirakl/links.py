"""Links on the page of a task: the back office, the report, the rejected items, Mirakl's documentation.

From Airflow 3 on a link is made when the task ends, out of the task's own result, and kept under its ``xcom_key``; the
web server computes nothing. In Airflow 2 the web server makes the link from the result, without the connection, so it
has no link to the back office.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from airflow.providers.common.compat.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator

GUIDE = "https://developer.mirakl.com"
_CONSOLES = {
    "s3": "https://console.aws.amazon.com/s3/object/{bucket}?prefix={key}",
    "gs": "https://console.cloud.google.com/storage/browser/_details/{bucket}/{key}",
}
"""Pages that show an object of a store. Other paths are shown unchanged."""


class MiraklGuideLink(BaseOperatorLink):
    """Mirakl's documentation."""

    name = "Mirakl's documentation"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """The address."""
        return GUIDE


class MiraklBackOfficeLink(BaseOperatorLink):
    """The back office of the task's connection: its address, and the connection's ``back_office_path``."""

    name = "Mirakl back office"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """The URL; empty if the task did not read its connection."""
        hook = vars(operator).get("hook") or vars(operator).get("mirakl_hook")
        values = vars(hook).get("values") if hook is not None else None  # read by the task, never here
        return "" if values is None else str(values.back_office)


class MiraklReportLink(BaseOperatorLink):
    """Mirakl's report of the job; without one, the list of the result of each item."""

    name = "Report"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """The URL; empty if there is none."""
        return _address(_result(operator, ti_key, "reports")) or _address(_result(operator, ti_key, "rows"))


class MiraklRejectsLink(BaseOperatorLink):
    """The failed items, as input for the next run."""

    name = "Rejected items"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """The URL; empty if there is none."""
        return _address(_result(operator, ti_key, "rejects"))


LINKS = (MiraklReportLink(), MiraklRejectsLink(), MiraklBackOfficeLink(), MiraklGuideLink())
"""The links of every operator and sensor."""


def _result(operator: BaseOperator, ti_key: Any, key: str) -> Any:
    """A key of the task's result: each is a separate XCom, which Airflow reports as an error where it is missing."""
    known = getattr(operator, "result", None)  # in the process that ran the task
    if isinstance(known, Mapping):
        return known.get(key)
    if hasattr(ti_key, "xcom_pull"):  # Airflow 3, in that process: the task has no result
        return None
    from airflow.models.xcom import XCom

    return XCom.get_value(key=key, ti_key=ti_key)


def _address(found: Any) -> str:
    """The URL of a path, or of the first of several."""
    while isinstance(found, Mapping | list | tuple):
        found = next(iter(found.values() if isinstance(found, Mapping) else found), None)
    if not isinstance(found, str) or not found:
        return ""
    parts = urlsplit(found)
    if page := _CONSOLES.get(parts.scheme):
        return page.format(bucket=parts.netloc.rpartition("@")[2], key=quote(parts.path.lstrip("/")))
    return found if parts.scheme else f"file://{quote(found)}"
