"""Sensors for jobs that somebody else submitted: another task, a person in the back office, a task that was killed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow_provider_mirakl.exceptions import MiraklConfigurationError, one_of
from airflow_provider_mirakl.hooks.mirakl import MiraklHook
from airflow_provider_mirakl.runtime.arguments import read_structure
from airflow_provider_mirakl.runtime.results import Ended, archive, judge_items, refuse_failed, result_of
from airflow_provider_mirakl.runtime.task_run import TaskRun
from airflow_provider_mirakl.sensors.base import MiraklBaseSensor

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mirakl.api.caller import Caller
    from airflow_provider_mirakl.jobs.table import JobId, JobKind
    from airflow_provider_mirakl.jobs.waiting import Found


class MiraklJobSensor(MiraklBaseSensor):
    """Waits for jobs, archives their reports and judges their items, as the operator that submits them does.

    Asking changes nothing: a sensor may be retried, cleared and run twice.

    :param job_ids: Mirakl's id of the job, or a list of ids, such as the ``job_ids`` of an operator. Templated.
    :param mirakl_conn_id: connection of type ``mirakl``. Templated.
    :param role: ``shop``, ``operator`` or ``front``; default the connection's own.
    :param shop_id: the shop; default the connection's own. Templated.
    :param id_column: the column of error reports that names an item; default the first of the usual ones.
    :param max_failed_items: failed items that do not fail the task; ``None`` lets any number pass.
    :param max_failed_ratio: share of failed items, 0 to 1, that does not fail the task.
    :param poke_interval: seconds between two looks; default what Mirakl recommends, at least what it allows.
    :param work_folder: folder for reports and rows, as of the operators. Templated.
    :return: as of the operator.
    :raises MiraklJobFailedError: a job ended without doing its work.
    :raises MiraklItemsFailedError: more items failed than allowed.

    Further parameters: :class:`~airflow_provider_mirakl.sensors.base.MiraklBaseSensor`.
    """

    job: ClassVar[str]
    """Name of the job's row in the table."""
    recommended: ClassVar[float] = 60.0
    """Seconds between two looks that Mirakl recommends, as in the table."""
    early: bool = True

    poll = "airflow_provider_mirakl.jobs.polls.jobs_ended"
    template_fields: Sequence[str] = ("job_ids", "mirakl_conn_id", "shop_id", "work_folder")

    def __init__(
        self,
        *,
        job_ids: int | str | Sequence[int | str],
        mirakl_conn_id: str = MiraklHook.default_conn_name,
        role: str | None = None,
        shop_id: int | str | None = None,
        id_column: str | None = None,
        max_failed_items: int | None = 0,
        max_failed_ratio: float | None = None,
        poke_interval: float | timedelta | None = None,
        work_folder: str | None = None,
        **kwargs: Any,
    ) -> None:
        # A parameter of its own, so that default_args reaches it.
        interval = self.recommended if poke_interval is None else poke_interval
        super().__init__(poke_interval=interval, **kwargs)
        self.job_ids = job_ids
        self.mirakl_conn_id = mirakl_conn_id
        self.role = role
        self.shop_id = shop_id
        self.id_column = id_column
        self.max_failed_items = max_failed_items
        self.max_failed_ratio = max_failed_ratio
        self.work_folder = work_folder

    @cached_property
    def hook(self) -> MiraklHook:
        """The hook of the sensor's connection."""
        return MiraklHook(self.mirakl_conn_id, role=self.role)

    @property
    def ids(self) -> list[int | str]:
        """The ids in the type that Mirakl gives them.

        :raises MiraklConfigurationError: there is none, or one is not of its kind.
        """
        from airflow_provider_mirakl.jobs.table import JOBS

        given: Any = read_structure(self.job_ids)
        ids = list(given) if isinstance(given, list | tuple) else [given]
        kind = JOBS[self.job]
        checked = [_read_id(kind, value) for value in ids]
        if not checked or None in checked:
            raise MiraklConfigurationError(
                f"job_ids: {self.job_ids!r:.200} is no id of a {kind.title}; give one, or a list such as the job_ids "
                "of an operator",
                field="job_ids",
            )
        return list(dict.fromkeys(job_id for job_id in checked if job_id is not None))

    @property
    def caller(self) -> Caller:
        """Whose key it is, and for which shop."""
        from airflow_provider_mirakl.runtime.arguments import read_caller

        return read_caller(self.hook, self.shop_id)

    def poll_arguments(self) -> dict[str, Any]:
        """Which jobs, and who asks.

        :raises MiraklConfigurationError: ``poke_interval`` is shorter than Mirakl allows.
        """
        self._check_interval()
        return {
            "kind": self.job,
            "job_ids": self.ids,
            "role": self.caller.role,
            "shop_id": self.caller.shop_id,
            "early": self.early,
            "since": self._notes.get("since"),
        }

    def _check_interval(self) -> None:
        from airflow_provider_mirakl.jobs.table import JOBS

        kind = JOBS[self.job]
        shortest = kind.shortest * self.hook.settings.interval_factor
        if self.poke_interval < shortest:
            raise MiraklConfigurationError(
                f"poke_interval: {self.poke_interval:g} s is shorter than Mirakl allows for a {kind.title}; give at "
                f"least {shortest:g}",
                field="poke_interval",
            )

    def conclude(self, context: Context, found: Found) -> dict[str, Any]:
        """Archive the reports and judge the items."""
        from airflow_provider_mirakl.jobs.table import JOBS, judge

        kind, folder = JOBS[self.job], TaskRun(context, self.work_folder, begins=False).folder
        jobs = []
        with self.hook.get_conn() as client:
            for job_id in self.ids:
                verdict = judge(kind, found["statuses"][str(job_id)], early=self.early)
                reports = archive(client, self.caller, folder, job_id, verdict, self.log)
                jobs.append(Ended(job_id, None, verdict, reports))
        result = result_of(folder, jobs, self.id_column)
        refuse_failed(kind, jobs)
        judge_items(result, self.max_failed_items, self.max_failed_ratio, self.log)
        return result


_PLAIN_ID = re.compile(r"[^\s,()\[\]{}'\"]+")
"""Mirakl's ids are numbers and UUIDs: with anything of this a template has rendered something else."""


def _read_id(kind: JobKind, value: object) -> JobId | None:
    """An id as Mirakl gives it; ``None`` for what is none."""
    text = str(value).strip()
    if isinstance(value, bool) or text == "None" or not _PLAIN_ID.fullmatch(text):
        return None
    try:
        return kind.id(text)
    except ValueError:
        return None


class MiraklProductImportSensor(MiraklJobSensor):
    """Waits for a product import (P42, or P51 for many tasks at once).

    :param until: ``sent``: done when Mirakl has handed the products to the operator's catalog; ``complete``: done when
        they are integrated, which may take days.

    Further parameters: :class:`MiraklJobSensor`.
    """

    job = "product_import"

    def __init__(self, *, until: Literal["sent", "complete"] = "sent", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.until = one_of("until", until, ("sent", "complete"))
        self.early = until == "sent"


class MiraklProductSynchronizationSensor(MiraklJobSensor):
    """Waits for a synchronization of master products (CM22). For the operator and the front office."""

    job = "product_synchronization"


class MiraklCatalogExportSensor(MiraklJobSensor):
    """Waits for an export of master products (CM53). For the operator and the front office."""

    job = "catalog_export"


class MiraklOfferImportSensor(MiraklJobSensor):
    """Waits for an import of offers (OF02, or OF04 for many tasks at once)."""

    job = "offer_import"
    recommended = 300.0


class MiraklStockImportSensor(MiraklJobSensor):
    """Waits for an import of stock (STO02)."""

    job = "stock_import"
    recommended = 300.0


class MiraklPriceImportSensor(MiraklJobSensor):
    """Waits for an import of prices (PRI02)."""

    job = "price_import"
    recommended = 300.0


class MiraklOfferExportSensor(MiraklJobSensor):
    """Waits for an export of offers (OF53)."""

    job = "offer_export"
