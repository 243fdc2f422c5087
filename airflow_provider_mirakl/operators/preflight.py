"""An operator that checks connections before a Dag relies on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_mirakl import preflight
from airflow_provider_mirakl.exceptions import MiraklConfigurationError
from airflow_provider_mirakl.operators.bases.base import MiraklBaseOperator
from airflow_provider_mirakl.runtime.arguments import Codes

if TYPE_CHECKING:
    from typing import Unpack

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mirakl.runtime.arguments import CodesArg
    from airflow_provider_mirakl.runtime.signatures import TaskArguments


class MiraklPreflightOperator(MiraklBaseOperator):
    """Check connections: their fields, their keys, the rights of their roles. Changes nothing in Mirakl.

    :param conn_ids: connections of type ``mirakl``, ``mirakl_connect`` or ``djust``: a list, or a comma-separated
        string. Templated.
    :param require: codes of the operations that the key must be allowed to call, such as ``CM51``; any other missing
        right is a warning. A list, or a comma-separated string. Templated.
    :return: the findings by connection, each with ``check``, ``status`` (``ok``, ``warning``, ``failed``) and
        ``message``.
    :raises MiraklConfigurationError: a check failed (every failed check is listed), or no connection is named.
    """

    ui_color = "#e2f0d9"
    conn_ids = Codes()
    require = Codes()

    def __init__(
        self, *, conn_ids: CodesArg, require: CodesArg = (), **kwargs: Unpack[TaskArguments]
    ) -> None:
        kwargs.setdefault("multiple_outputs", False)  # the keys are connections, not parts of a result
        super().__init__(**kwargs)
        self.conn_ids = conn_ids
        self.require = require

    def execute(self, context: Context) -> dict[str, list[dict[str, Any]]]:
        """Check each connection, and log the findings."""
        if not self.conn_ids:  # an empty check would always pass
            raise MiraklConfigurationError(
                "conn_ids must name at least one connection to check", field="conn_ids"
            )
        found = {conn_id: preflight.check(conn_id, require=self.require) for conn_id in self.conn_ids}
        wrong = []
        for conn_id, findings in found.items():
            for finding in findings:
                self.log.log(
                    {"ok": 20, "warning": 30, "failed": 40}[finding.status], "%s: %s", conn_id, finding
                )
                if finding.status == "failed":
                    wrong.append(f"{conn_id}: {finding.check}: {finding.message}")
        if wrong:
            raise MiraklConfigurationError("\n".join(["The preflight failed:", *wrong]))
        return {conn_id: preflight.dump(findings) for conn_id, findings in found.items()}
