"""The base of every operator of this package."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_mirakl.assets import asset_of
from airflow_provider_mirakl.links import LINKS
from airflow_provider_mirakl.runtime.arguments import Flag, ReadsArguments
from airflow_provider_mirakl.runtime.explaining import Explains

if TYPE_CHECKING:
    from typing import Unpack

    from airflow.providers.common.compat.sdk import Asset

    from airflow_provider_mirakl.hooks.base import MiraklBaseHook
    from airflow_provider_mirakl.runtime.signatures import AirflowArguments


class MiraklBaseOperator(Explains, ReadsArguments, BaseOperator):
    """Base of the operators: reads arguments once, and makes every key of the result an output.

    ``task.output["folder"]`` is the key ``folder`` of the result, since each key of a result goes to XCom as well as
    the whole result. ``multiple_outputs=False`` stores only the whole result.

    :param fail_fast: fail at once, without the retries that are left, on an error that a retry cannot fix: a wrong
        key, a wrong setting, wrong input, failed items. From Airflow 3.3 on
        :func:`~airflow_provider_mirakl.policies.mirakl_retry_policy` does more.
    """

    ui_color = "#d8ecf6"
    ui_fgcolor = "#1f2933"
    asset_name: ClassVar[str | None] = None
    """Name of the asset that the operator changes; ``None`` if it only reads."""

    asset_read: ClassVar[str | None] = None
    """Name of the asset that the operator reads; for lineage."""

    operator_extra_links = LINKS
    fail_fast = Flag(templated=False)

    def __init__(self, *, fail_fast: bool = False, **kwargs: Unpack[AirflowArguments]) -> None:
        kwargs.setdefault("multiple_outputs", True)
        super().__init__(**kwargs)
        self.fail_fast = fail_fast

    @property
    def asset(self) -> Asset | None:
        """The asset that the operator changes."""
        if self.asset_name is None or (hook := self.changed_by) is None:
            return None

        return asset_of(hook.conn_type, hook.conn_id, self.asset_name)

    @property
    def changed_by(self) -> MiraklBaseHook | None:
        """The hook of the connection whose asset changes."""
        hook: MiraklBaseHook | None = getattr(self, "hook", None)
        return hook
