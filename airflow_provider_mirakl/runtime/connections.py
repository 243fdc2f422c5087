"""The hook of a task's connection, made when it is first used: a Dag file does not load the hooks."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, get_args

from airflow_provider_mirakl.api.values import Role
from airflow_provider_mirakl.runtime.arguments import Choice, Maybe, Text

if TYPE_CHECKING:
    from airflow_provider_mirakl.hooks.mirakl import MiraklHook
    from airflow_provider_mirakl.hooks.mirakl_connect import MiraklConnectHook
    from airflow_provider_mirakl.jobs.table import JobKind


class OnInstance:
    """An operator or a sensor of a Mirakl instance; named before the other base."""

    mirakl_conn_id = Text()
    role = Maybe(Choice(get_args(Role)))

    @cached_property
    def hook(self) -> MiraklHook:
        """The hook of the task's connection."""
        from airflow_provider_mirakl.hooks.mirakl import MiraklHook

        return MiraklHook(self.mirakl_conn_id, role=self.role)


class OfJob(OnInstance):
    """An operator or a sensor of a job; named before the other base."""

    job: ClassVar[str]
    """Name of the job in the table of jobs."""

    @property
    def kind(self) -> JobKind:
        """The job's entry in the table."""
        from airflow_provider_mirakl.jobs.table import JOBS

        return JOBS[self.job]


class OnConnect:
    """An operator or a sensor of Mirakl Connect; named before the other base."""

    mirakl_connect_conn_id = Text()

    @cached_property
    def hook(self) -> MiraklConnectHook:
        """The hook of the task's connection."""
        from airflow_provider_mirakl.hooks.mirakl_connect import MiraklConnectHook

        return MiraklConnectHook(self.mirakl_connect_conn_id)
