"""Operators for the documents of orders in Mirakl Connect: invoices, labels, delivery slips."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_mirakl.exceptions import MiraklInputError, Problem, counted
from airflow_provider_mirakl.files.paths import storage_path
from airflow_provider_mirakl.operators.bases.actions import OrderActionsOperator
from airflow_provider_mirakl.operators.bases.connect_files import ConnectFilesOperator
from airflow_provider_mirakl.runtime.arguments import Codes

if TYPE_CHECKING:
    from typing import Unpack

    from airflow_provider_mirakl.actions.rows import Row
    from airflow_provider_mirakl.api.call import Call
    from airflow_provider_mirakl.client.http import Client
    from airflow_provider_mirakl.files.storage import StoragePath
    from airflow_provider_mirakl.runtime.arguments import CodesArg, PathArg
    from airflow_provider_mirakl.runtime.signatures import ConnectFilesArguments
    from airflow_provider_mirakl.shops.order_documents import Wanted


class MiraklConnectDownloadOrderDocumentsOperator(ConnectFilesOperator):
    """Fetch the documents of orders to storage (v2-listOrderDocuments and v2-downloadOrderDocuments).

    Each is written to ``<target>/<order id>/<document id>-<name>``, with safe names. A document that exists with the
    size that Mirakl lists is not fetched again. Archives are checked before a byte is unpacked, like those of shop
    documents.

    :param target: folder of the documents: a local path or object storage. Templated.
    :param order_ids: only documents of these orders. Templated.
    :param types: only documents of these types, such as ``CUSTOMER_INVOICE``. Templated.
    :param updated_from: only documents that were updated at this time or later, such as
        ``{{ data_interval_start }}``. Templated.

    Further parameters, result and errors:
    :class:`~airflow_provider_mirakl.operators.bases.connect_files.ConnectFilesOperator`.
    """

    types = Codes()

    def __init__(
        self, *, target: PathArg, types: CodesArg | None = None, **kwargs: Unpack[ConnectFilesArguments]
    ) -> None:
        super().__init__(target=target, **kwargs)
        self.types = types

    def wanted(self, client: Client) -> Iterator[Wanted]:
        """v2-listOrderDocuments."""
        from airflow_provider_mirakl.api.orders import list_order_documents
        from airflow_provider_mirakl.shops.order_documents import documents_of

        first = list_order_documents(
            order_ids=self.order_ids,
            types=self.types,
            updated_from=self.updated_from,
        )
        for page in client.pages(first):
            yield from documents_of(page.items)


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
    return storage_path(row["path"])
