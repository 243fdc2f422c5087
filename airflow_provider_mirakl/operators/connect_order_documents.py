"""Operators for the documents of orders in Mirakl Connect: invoices, labels, delivery slips."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from airflow_provider_mirakl.operators.bases.actions import OrderActionsOperator
from airflow_provider_mirakl.operators.bases.connect_files import ConnectFilesOperator
from airflow_provider_mirakl.runtime.arguments import Codes, Selection

if TYPE_CHECKING:
    from typing import Unpack

    from airflow_provider_mirakl.client.http import Client
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

    types = Selection(Codes())

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
