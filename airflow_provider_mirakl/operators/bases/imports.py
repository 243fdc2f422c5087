"""The base of the operators that find imports submitted by another system: by FTP, or in the back office."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, get_args

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_mirakl.exceptions import MiraklInputError
from airflow_provider_mirakl.hooks.conn_ids import MIRAKL_DEFAULT
from airflow_provider_mirakl.operators.bases.base import MiraklBaseOperator
from airflow_provider_mirakl.runtime.arguments import Choice, Id, Maybe, Whole, check_caller
from airflow_provider_mirakl.runtime.choices import OnNone
from airflow_provider_mirakl.runtime.connections import OnInstance

if TYPE_CHECKING:
    from typing import Unpack

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mirakl.api.call import Call, Json, Page
    from airflow_provider_mirakl.api.caller import Caller
    from airflow_provider_mirakl.runtime.arguments import TextArg, WholeArg
    from airflow_provider_mirakl.runtime.signatures import TaskArguments


class FindImportsOperator(OnInstance, MiraklBaseOperator):
    """Lists imports, and returns their ids for a sensor, which waits for them and evaluates their lines.

    Mirakl permits one page of 100 imports a minute.

    :param status: only imports in this state, such as ``FAILED``. Templated.
    :param on_none: what to do if no import is found: ``pass`` without ids, ``skip`` the task and those downstream, or
        ``fail``. Templated.
    :param max_imports: largest number of imports to return, the newest first. Every 100 take a minute. If there are
        more, the log has a warning. Templated.
    :param mirakl_conn_id: connection of type ``mirakl``. Templated.
    :param role: ``shop``, ``operator`` or ``front``; default the connection's own. Templated.
    :param shop_id: the shop; default the connection's own. An operator without one finds the imports of all shops.
        Templated.
    :return: ``job_ids``, the newest first; ``states``, the number of imports in each state; and ``more``, whether older
        ones are listed that are not returned because of ``max_imports``.
    :raises MiraklInputError: no import was found, with ``on_none="fail"``.
    """

    code: ClassVar[str]
    """Mirakl's code of the listing."""
    state: ClassVar[str] = "status"
    """The field with an import's state."""
    roles: ClassVar[Sequence[str]] = ("shop", "operator")

    ui_color = "#dcefe4"
    status = Maybe(Choice(("WAITING", "RUNNING", "COMPLETE", "FAILED")))
    on_none = Choice[OnNone](get_args(OnNone))
    max_imports = Whole(most=10_000)
    shop_id = Maybe(Id())

    def __init__(
        self,
        *,
        status: TextArg | None = None,
        on_none: OnNone | TextArg = "pass",
        max_imports: WholeArg = 100,
        mirakl_conn_id: TextArg = MIRAKL_DEFAULT,
        role: TextArg | None = None,
        shop_id: WholeArg | None = None,
        **kwargs: Unpack[TaskArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.status = status
        self.on_none = on_none
        self.max_imports = max_imports
        self.mirakl_conn_id = mirakl_conn_id
        self.role = role
        self.shop_id = shop_id

    @abstractmethod
    def listing(self, caller: Caller, limit: int) -> Call[Page[dict[str, Json]]]:
        """The call of the first page.

        :param limit: imports per page.
        """

    def execute(self, context: Context) -> dict[str, Any]:
        """List the imports, and count them by state."""
        caller = check_caller(self.hook, self.shop_id, self.code, self.roles)
        most, found, more = self.max_imports, [], False
        with self.hook.get_conn() as client:
            for page in client.pages(self.listing(caller, min(100, most))):
                found += page.items
                more = len(found) > most or page.following is not None
                if len(found) >= most:
                    break
        found = found[:most]
        states: dict[str, int] = {}
        for row in found:
            state = str(row.get(self.state))
            states[state] = states.get(state, 0) + 1
        words = ", ".join(f"{count} {state}" for state, count in states.items())
        self.log.info("%s lists %d imports%s", self.code, len(found), f": {words}" if words else "")
        if more:
            self.log.warning(
                "%s lists more imports than max_imports=%d; the older ones are not returned. Raise max_imports, or "
                "narrow the filters.",
                self.code,
                most,
            )
        if not found and self.on_none == "skip":
            raise AirflowSkipException(f"{self.code} lists no matching import")
        if not found and self.on_none == "fail":
            raise MiraklInputError(f"{self.code} lists no matching import")
        return {"job_ids": [row.get("import_id") for row in found], "states": states, "more": more}
