"""How many items of a task may fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_mirakl.exceptions import MiraklItemsFailedError
from airflow_provider_mirakl.runtime.arguments import Deliberate, Maybe, Number, Whole

if TYPE_CHECKING:
    from airflow_provider_mirakl.runtime.task_run import TaskRun


class LimitsFailures:
    """An operator or a sensor that reports items, some of which may fail; named before the other base."""

    after_failure: ClassVar[str] = "fix the failed ones in the source, and clear this task"
    """What the task log advises if no file of rejects says more."""
    retries_failures: ClassVar[bool] = False
    """Whether a retry tries the failed items again, and may succeed."""
    max_failed_items = Deliberate(Whole(least=0), default=0)
    max_failed_ratio = Maybe(Number(least=0, most=1))

    def check_items(self, run: TaskRun, result: dict[str, Any]) -> None:
        """Log the results of the items, and fail the task if more failed than allowed.

        :raises MiraklItemsFailedError: see :meth:`~.task_run.TaskRun.check_items`.
        """
        log = self.log  # type: ignore[attr-defined]  # of Airflow's base
        try:
            run.check_items(
                result, self.max_failed_items, self.max_failed_ratio, log, after_failure=self.after_failure
            )
        except MiraklItemsFailedError as error:
            error.may_pass = self.retries_failures
            raise
