"""The operator for the settings of an instance.

Source: :ref:`H11 <facts-h11>` and the other calls of that section.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow_provider_mirakl.exceptions import MiraklConfigurationError
from airflow_provider_mirakl.operators.request import MAX_XCOM
from airflow_provider_mirakl.operators.shops import StoringOperator
from airflow_provider_mirakl.runtime.arguments import Choice, Id, Location, Maybe, Query, read_caller
from airflow_provider_mirakl.runtime.task_run import TaskRun

if TYPE_CHECKING:
    from typing import Unpack

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mirakl.runtime.arguments import MappingArg, PathArg, TextArg, WholeArg
    from airflow_provider_mirakl.runtime.signatures import StoringArguments

SettingName = Literal[
    "additional_fields",
    "attributes",
    "channels",
    "configuration",
    "currencies",
    "document_types",
    "hierarchies",
    "locales",
    "shop_roles",
    "values_lists",
]


class MiraklGetSettingsOperator(StoringOperator):
    """Read a setting of an instance. For every role.

    ======================  ======  ====================  =========================================================
    ``setting``             call    at most               ``query``
    ======================  ======  ====================  =========================================================
    ``additional_fields``   AF01    once a day            ``entities``, ``locale``
    ``attributes``          PM11    once an hour          ``hierarchy``, ``max_level``, ``all_operator_attributes``,
                                                          ``channels``, ``with_roles``
    ``channels``            CH11    once a day            ``locale``
    ``configuration``       PC01    not published
    ``currencies``          CUR01   once a day            ``locale``
    ``document_types``      DO01    once a day            ``entities``, ``locale``
    ``hierarchies``         H11     once an hour          ``hierarchy``, ``max_level``
    ``locales``             L01     once a day
    ``shop_roles``          RO02    not published
    ``values_lists``        VL11    once an hour          ``code``
    ======================  ======  ====================  =========================================================

    The answer is cached in the work folder until Mirakl permits the next call.

    :param setting: the setting to read. Templated.
    :param query: filters, by the names in the table. Templated.
    :param target: an NDJSON file for the entries: a local path or object storage. Required for an answer larger
        than 64 kB. Templated.
    :param shop_id: the shop, for a seller with several shops; default the connection's own. Templated.
    :return: the list of entries; for ``configuration`` a mapping; with ``target``: ``target``, ``items``, a count, and
        ``folder``.
    :raises MiraklInputError: the call does not accept a key of ``query``; no call was made.
    :raises MiraklConfigurationError: the answer is too large for XCom.
    """

    operation = "PM11"
    setting = Choice[SettingName](get_args(SettingName))
    query = Maybe(Query())
    target = Maybe(Location())
    shop_id = Maybe(Id())

    def __init__(
        self,
        *,
        setting: SettingName | TextArg,
        query: MappingArg | None = None,
        target: PathArg | None = None,
        shop_id: WholeArg | None = None,
        **kwargs: Unpack[StoringArguments],
    ) -> None:
        kwargs.setdefault("multiple_outputs", False)  # a list has no keys
        super().__init__(**kwargs)
        self.setting = setting
        self.query = query
        self.target = target
        self.shop_id = shop_id

    def execute(self, context: Context) -> Any:
        """Make the call, or return the cached answer."""
        from airflow_provider_mirakl.api.settings import get_setting
        from airflow_provider_mirakl.runtime.downloads import write_rows

        caller = read_caller(self.hook, self.shop_id)
        call = get_setting(self.setting, self.query, role=caller.role, shop_id=caller.shop_id)
        if self.shop_id is not None:
            caller.check_shop(call.operation.code)
        with self.hook.get_conn() as client:
            answer = self.kept_settings(client).get(call)
        entries = answer if isinstance(answer, list) else [answer]
        self.log.info("%s (%s): %d entries", self.setting, call.operation.code, len(entries))
        if self.target is not None:
            return {
                "target": self.target,
                "items": write_rows(entries, self.target),
                "folder": str(TaskRun(context, self.work_folder, begins=False).folder),
            }
        size = len(json.dumps(answer).encode())
        if size > MAX_XCOM:
            raise MiraklConfigurationError(
                f"target must be set to a file: the answer has {size:,} bytes, too many for XCom",
                field="target",
            )
        return answer
