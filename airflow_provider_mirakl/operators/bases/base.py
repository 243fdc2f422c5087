"""The base of every operator of this package."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_mirakl.runtime.arguments import ReadsArguments

if TYPE_CHECKING:
    from typing import Unpack

    from airflow_provider_mirakl.runtime.signatures import TaskArguments


class MiraklBaseOperator(ReadsArguments, BaseOperator):
    """Base of the operators: arguments that are read once, and results whose every key is an output.

    ``task.output["folder"]`` is the key ``folder`` of the result, since each key of a result goes to XCom beside the
    result itself. ``multiple_outputs=False`` stores only the result.
    """

    ui_color = "#d8ecf6"

    def __init__(self, **kwargs: Unpack[TaskArguments]) -> None:
        kwargs.setdefault("multiple_outputs", True)
        super().__init__(**kwargs)
