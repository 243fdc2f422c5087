"""The base of the operators that bring files of Mirakl Connect to storage."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from airflow_provider_mirakl.files.paths import storage_path
from airflow_provider_mirakl.hooks.conn_ids import CONNECT_DEFAULT
from airflow_provider_mirakl.operators.bases.base import MiraklBaseOperator
from airflow_provider_mirakl.runtime.arguments import Codes, Location, Maybe, Moment, Selection
from airflow_provider_mirakl.runtime.connections import OnConnect
from airflow_provider_mirakl.runtime.limits import LimitsFailures
from airflow_provider_mirakl.runtime.task_run import TaskRun

if TYPE_CHECKING:
    from typing import Unpack

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mirakl.client.http import Client
    from airflow_provider_mirakl.runtime.arguments import (
        CodesArg,
        MomentArg,
        NumberArg,
        PathArg,
        TextArg,
        WholeArg,
    )
    from airflow_provider_mirakl.runtime.signatures import TaskArguments
    from airflow_provider_mirakl.shops.order_documents import Wanted


class ConnectFilesOperator(LimitsFailures, OnConnect, MiraklBaseOperator):
    """Fetches files to a folder. A file that exists with the size that Mirakl lists is not fetched again.

    :param target: folder of the files: a local path or object storage. Templated.
    :param order_ids: only those of these orders. Templated.
    :param updated_from: only files that changed at this time or later, such as ``{{ data_interval_start }}``.
        Templated.
    :param max_failed_items: how many files may fail without failing the task; ``None`` allows any number.
    :param max_failed_ratio: the share of files, 0 to 1, that may fail without failing the task.
    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``. Templated.
    :param work_folder: folder for the outcome, as an object storage path that every worker can access; default
        ``[mirakl] work_folder``. Templated.
    :return: the outcome (``sent``, ``succeeded``, ``failed``, ``unknown``, ``errors``, ``rows``), with ``stored``, how
        many were fetched, ``target`` and ``folder``.
    :raises MiraklItemsFailedError: more files failed than allowed.
    """

    after_failure = "a retry fetches the failed ones again; so does clearing this task"
    retries_failures = True
    ui_color = "#dcefe4"
    target = Location()
    order_ids = Selection(Codes())
    updated_from = Maybe(Moment())
    work_folder = Maybe(Location())

    def __init__(
        self,
        *,
        target: PathArg,
        order_ids: CodesArg | None = None,
        updated_from: MomentArg | None = None,
        max_failed_items: WholeArg | None = 0,
        max_failed_ratio: NumberArg | None = None,
        mirakl_connect_conn_id: TextArg = CONNECT_DEFAULT,
        work_folder: PathArg | None = None,
        **kwargs: Unpack[TaskArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.target = target
        self.order_ids = order_ids
        self.updated_from = updated_from
        self.max_failed_items = max_failed_items
        self.max_failed_ratio = max_failed_ratio
        self.mirakl_connect_conn_id = mirakl_connect_conn_id
        self.work_folder = work_folder

    @abstractmethod
    def wanted(self, client: Client) -> Iterator[Wanted]:
        """The files, as they are listed."""

    def execute(self, context: Context) -> dict[str, Any]:
        """List, fetch what is new, and evaluate."""
        from airflow_provider_mirakl.outcome import OutcomeWriter
        from airflow_provider_mirakl.shops.order_documents import fetch

        run = TaskRun(context, self.work_folder, begins=True)
        target = storage_path(self.target)
        fetched = 0

        def stored(file: Wanted) -> None:
            nonlocal fetched
            fetched += 1
            self.log.info("Stored %s", file.item)

        run.folder.mkdir(parents=True, exist_ok=True)
        with self.hook.get_conn() as client, OutcomeWriter(run.folder / "outcome.ndjson") as writer:
            writer.add_all(fetch(client, self.wanted(client), target, stored=stored))
        result = writer.outcome.summary() | {
            "stored": fetched,
            "target": str(target),
            "folder": str(run.folder),
        }
        self.check_items(run, result)
        return result
