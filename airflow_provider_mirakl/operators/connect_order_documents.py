"""Operators for the documents of orders in Mirakl Connect: invoices, labels, delivery slips."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_mirakl.exceptions import MiraklInputError, Problem, counted
from airflow_provider_mirakl.hooks.mirakl_connect import MiraklConnectHook
from airflow_provider_mirakl.operators.bases.actions import OrderActionsOperator
from airflow_provider_mirakl.operators.bases.base import MiraklBaseOperator
from airflow_provider_mirakl.runtime.arguments import Codes, Location, Maybe, Moment, Number, Text, Whole
from airflow_provider_mirakl.runtime.results import judge_items
from airflow_provider_mirakl.runtime.task_run import TaskRun

if TYPE_CHECKING:
    from typing import Unpack

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mirakl.actions.rows import Row
    from airflow_provider_mirakl.api.call import Call
    from airflow_provider_mirakl.client.http import Client
    from airflow_provider_mirakl.files.storage import StoragePath
    from airflow_provider_mirakl.runtime.arguments import (
        CodesArg,
        MomentArg,
        NumberArg,
        PathArg,
        TextArg,
        WholeArg,
    )
    from airflow_provider_mirakl.runtime.signatures import TaskArguments


class MiraklConnectDownloadOrderDocumentsOperator(MiraklBaseOperator):
    """Fetch the documents of orders to storage (v2-listOrderDocuments and v2-downloadOrderDocuments).

    Each is written to ``<target>/<order id>/<document id>-<name>``, with safe names. A document that exists with the
    size that Mirakl lists is not fetched again. Archives are checked before a byte is unpacked, like those of shop
    documents.

    :param target: folder of the documents: a local path or object storage. Templated.
    :param order_ids: only documents of these orders. Templated.
    :param types: only documents of these types, such as ``CUSTOMER_INVOICE``. Templated.
    :param updated_from: only documents that were updated at this time or later, such as
        ``{{ data_interval_start }}``. Templated.
    :param max_failed_items: failed documents that do not fail the task; ``None`` lets any number pass.
    :param max_failed_ratio: share of failed documents, 0 to 1, that does not fail the task.
    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``. Templated.
    :param work_folder: folder for the outcome, as an object storage path that every worker can access; default
        ``[mirakl] work_folder``. Templated.
    :return: the outcome (``sent``, ``succeeded``, ``failed``, ``unknown``, ``errors``, ``rows``), with ``stored``, how
        many were fetched, ``target`` and ``folder``.
    :raises MiraklItemsFailedError: more documents failed than allowed.
    """

    ui_color = "#dcefe4"
    target = Location()
    order_ids = Codes()
    types = Codes()
    updated_from = Maybe(Moment())
    max_failed_items = Maybe(Whole(least=0))
    max_failed_ratio = Maybe(Number(least=0, most=1))
    mirakl_connect_conn_id = Text()
    work_folder = Maybe(Location())

    def __init__(
        self,
        *,
        target: PathArg,
        order_ids: CodesArg | None = None,
        types: CodesArg | None = None,
        updated_from: MomentArg | None = None,
        max_failed_items: WholeArg | None = 0,
        max_failed_ratio: NumberArg | None = None,
        mirakl_connect_conn_id: TextArg = MiraklConnectHook.default_conn_name,
        work_folder: PathArg | None = None,
        **kwargs: Unpack[TaskArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.target = target
        self.order_ids = order_ids
        self.types = types
        self.updated_from = updated_from
        self.max_failed_items = max_failed_items
        self.max_failed_ratio = max_failed_ratio
        self.mirakl_connect_conn_id = mirakl_connect_conn_id
        self.work_folder = work_folder

    @cached_property
    def hook(self) -> MiraklConnectHook:
        """The hook of the operator's connection."""
        return MiraklConnectHook(self.mirakl_connect_conn_id)

    def execute(self, context: Context) -> dict[str, Any]:
        """List, fetch what is new, and evaluate."""
        from airflow_provider_mirakl.files.paths import storage_path
        from airflow_provider_mirakl.outcome import OutcomeWriter
        from airflow_provider_mirakl.shops.order_documents import fetch

        run = TaskRun(context, self.work_folder, begins=True)
        target = storage_path(self.target)
        fetched = 0

        def stored(document: dict[str, Any], path: StoragePath) -> None:
            nonlocal fetched
            fetched += 1
            self.log.info("Stored document %s of order %s", document["id"], document["order_id"])

        run.folder.mkdir(parents=True, exist_ok=True)
        with self.hook.get_conn() as client, OutcomeWriter(run.folder / "outcome.ndjson") as writer:
            writer.add_all(fetch(client, self._listed(client), target, stored=stored))
        result = writer.outcome.summary() | {
            "stored": fetched,
            "target": str(target),
            "folder": str(run.folder),
        }
        judge_items(run, result, self.max_failed_items, self.max_failed_ratio, self.log)
        return result

    def _listed(self, client: Client) -> Iterator[dict[str, Any]]:
        from airflow_provider_mirakl.api.orders import list_order_documents

        first = list_order_documents(
            order_ids=self.order_ids,
            types=self.types,
            updated_from=self.updated_from,
        )
        for page in client.pages(first):
            yield from page.items


class MiraklConnectUploadOrderDocumentsOperator(OrderActionsOperator):
    """Attach documents to orders, or to returns of them (v2-uploadOrderDocument): an action for each document.

    Columns of a row: ``order_id``, ``path`` (a local path or object storage), ``type`` (``RETURN_LABEL`` or
    ``CUSTOMER_INVOICE``); ``file_name``, by default the name of the file, and ``return_id`` for a label. A file is PDF,
    JPEG, PNG or CSV, of at most 10 MB; all are checked before the first call.

    Parameters, result and errors: :class:`~airflow_provider_mirakl.operators.bases.actions.OrderActionsOperator`.
    """

    action = "upload_document"

    def guard(self, rows: Sequence[Row]) -> None:
        """Reject files that Mirakl would reject.

        :raises MiraklInputError: a file cannot be uploaded; every problem is listed.
        """
        from airflow_provider_mirakl.api.orders import MAX_DOCUMENT_BYTES

        problems = []
        for number, row in enumerate(rows, 1):
            path = _path_of(row)
            if path.name.rpartition(".")[2].lower() not in ("pdf", "jpg", "jpeg", "png", "csv"):
                problems.append(Problem(f"row {number}: path: must be a PDF, JPEG, PNG or CSV file"))
            elif not path.exists() or path.is_dir():
                problems.append(Problem(f"row {number}: path: file {row['path']} does not exist"))
            elif (size := int(path.stat().st_size)) > MAX_DOCUMENT_BYTES:
                problems.append(
                    Problem(
                        f"row {number}: path: file has {size:,} bytes; Mirakl allows {MAX_DOCUMENT_BYTES:,}"
                    )
                )
        if problems:
            raise MiraklInputError(
                f"{counted(len(problems), 'file')} cannot be uploaded; no call was made", problems
            )

    def call(self, group: list[Row]) -> Call[str]:
        """The upload of a file, opened again for each try."""
        (row,) = group
        path = _path_of(row)
        return self.kind.call([{"file_name": path.name, **row, "content": lambda: path.open("rb")}])

    def looked_up(
        self, client: Client, entity_ids: Sequence[str], since: float
    ) -> Iterator[Mapping[str, Any]]:
        """The orders, each with its documents."""
        from airflow_provider_mirakl.api.orders import list_order_documents

        documents: dict[str, list[Any]] = {order_id: [] for order_id in entity_ids}
        for page in client.pages(list_order_documents(order_ids=entity_ids)):
            for document in page.items:
                documents.setdefault(str(document.get("order_id")), []).append(document)
        for order_id, listed in documents.items():
            yield {"id": order_id, "documents": listed}


def _path_of(row: Row) -> StoragePath:
    from airflow_provider_mirakl.files.paths import storage_path

    return storage_path(row["path"])
