"""Operators for the conversations of Mirakl Connect with customers: extract, start, answer, attachments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from airflow_provider_mirakl.operators.bases.actions import OrderActionsOperator
from airflow_provider_mirakl.operators.bases.connect_files import ConnectFilesOperator
from airflow_provider_mirakl.operators.bases.extract import ConnectExtractOperator
from airflow_provider_mirakl.runtime.arguments import Codes, Flag, Selection

if TYPE_CHECKING:
    from typing import Unpack

    from airflow_provider_mirakl.client.http import Client
    from airflow_provider_mirakl.runtime.arguments import CodesArg, FlagArg, PathArg
    from airflow_provider_mirakl.runtime.signatures import ConnectExtractArguments, ConnectFilesArguments
    from airflow_provider_mirakl.shops.order_documents import Wanted


class MiraklConnectExtractConversationsOperator(ConnectExtractOperator):
    """Extract the conversations of Mirakl Connect that changed since the previous run (listConversations).

    Works like :class:`~airflow_provider_mirakl.operators.connect_orders.MiraklConnectExtractOrdersOperator`.
    Personal data: names of participants, the topic's text, and the messages.

    :param target: folder of the files. Templated.
    :param messages: extract the messages too, all of each conversation that changed: one more call for each
        conversation (getConversationMessages). Nested they are the field ``messages``, flat a separate table.
        Templated.
    :param format: ``ndjson`` or ``parquet``.
    :param layout: ``nested`` or ``flat``.
    :param since: where the first run begins; default 30 days ago. Templated.
    :param updated_from: start of a fixed interval. Templated.
    :param updated_to: end of a fixed interval, exclusive. Templated.
    :param overlap: seconds, or a timedelta, that a run reaches back before the watermark.
    :param watermark: folder of the watermark. Templated.
    :param on_changed_filters: what to do when ``messages``, filters or account differ from those of the previous run:
        ``fail`` before any call; or ``restart``, which starts over at ``since``. Templated.
    :param on_lost_state: what to do if the watermark of an earlier run is missing: ``fail`` before any call; or
        ``full``, which starts over at ``since``. Templated.
    :param personal_data: ``keep`` or ``drop``.
    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``. Templated.
    :return: ``items`` and ``files`` by table, ``pages``, ``updated_from``, ``updated_to``, ``watermark`` and
        ``folder``.
    """

    messages = Flag()

    def __init__(
        self, *, target: PathArg, messages: FlagArg = False, **kwargs: Unpack[ConnectExtractArguments]
    ) -> None:
        super().__init__(target=target, **kwargs)
        self.messages = messages

    @property
    def described(self) -> str:
        """listConversations, with the messages if requested."""
        return "conversations_with_messages" if self.messages else "conversations"

    def source(self) -> dict[str, Any]:
        """The name of the listing, and whether the messages are extracted: older ones never were without."""
        return {"operation": "conversations", "messages": self.messages}


class ConversationActionsOperator(OrderActionsOperator):
    """Base of the operators that write to customers. Parameters: those of :class:`OrderActionsOperator`."""

    asset_name = "conversations"


class MiraklConnectCreateConversationsOperator(ConversationActionsOperator):
    """Start conversations with the customers of orders (createConversation): an action for each row.

    Columns of a row: ``order_id``, ``topic`` (at most 500 characters), ``body``, the first message (1 to 2,000
    characters), and ``files``, a path or a list of at most 5 paths, local or of object storage.

    **Personal data.** Your messages are in ``source``: a list appears in Airflow's rendered fields, a file does not.
    The plan in the work folder has it too. Logs, XCom and errors do not.

    Parameters, result and errors: :class:`~airflow_provider_mirakl.operators.bases.actions.OrderActionsOperator`.
    """

    action = "begin_conversation"


class MiraklConnectAnswerConversationsOperator(ConversationActionsOperator):
    """Answer customers in conversations (createMessage): an action for each row.

    Columns of a row: ``conversation_id``, ``body`` (1 to 2,000 characters), and ``files``, a path or a list of at most
    5 paths, local or of object storage.

    **Personal data**: as for :class:`MiraklConnectCreateConversationsOperator`.

    Parameters, result and errors: :class:`~airflow_provider_mirakl.operators.bases.actions.OrderActionsOperator`.
    """

    action = "answer_conversation"


class MiraklConnectDownloadAttachmentsOperator(ConnectFilesOperator):
    """Fetch the attachments of conversations to storage (downloadConversationAttachments).

    Each is written to ``<target>/<conversation id>/<message id>/<attachment id>-<name>``, with safe names. An
    attachment that exists with the size that Mirakl lists is not fetched again. Archives are checked before a byte is
    unpacked, like those of shop documents.

    :param target: folder of the attachments: a local path or object storage. Templated.
    :param conversation_ids: only attachments of these conversations. Templated.
    :param order_ids: only attachments of conversations about these orders. Templated.
    :param updated_from: only attachments of conversations that were updated at this time or later, such as
        ``{{ data_interval_start }}``. Mirakl needs it, or ``conversation_ids``. Templated.

    Further parameters, result and errors:
    :class:`~airflow_provider_mirakl.operators.bases.connect_files.ConnectFilesOperator`.
    """

    conversation_ids = Selection(Codes())

    def __init__(
        self,
        *,
        target: PathArg,
        conversation_ids: CodesArg | None = None,
        **kwargs: Unpack[ConnectFilesArguments],
    ) -> None:
        super().__init__(target=target, **kwargs)
        self.conversation_ids = conversation_ids

    def wanted(self, client: Client) -> Iterator[Wanted]:
        """listConversations, and getConversationMessages of each."""
        from airflow_provider_mirakl.api.conversations import (
            LIST_CONVERSATIONS,
            get_conversation_messages,
            list_conversations,
        )
        from airflow_provider_mirakl.shops.order_documents import attachments_of, id_in

        first = list_conversations(
            updated_from=self.updated_from,
            conversation_ids=self.conversation_ids,
            order_ids=self.order_ids,
        )
        for page in client.pages(first):
            for conversation in page.items:
                conversation_id = id_in(conversation, "id", LIST_CONVERSATIONS)
                yield from attachments_of(
                    conversation_id, client.send(get_conversation_messages(conversation_id))
                )
