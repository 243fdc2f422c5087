"""Operators for the conversations of Mirakl Connect with customers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_mirakl.operators.bases.extract import ConnectExtractArguments, ConnectExtractOperator
from airflow_provider_mirakl.runtime.arguments import Flag

if TYPE_CHECKING:
    from typing import Unpack

    from airflow_provider_mirakl.runtime.arguments import FlagArg, PathArg


class MiraklConnectExtractConversationsOperator(ConnectExtractOperator):
    """Extract the conversations of Mirakl Connect that changed since the previous run (listConversations).

    Works as :class:`~airflow_provider_mirakl.operators.connect_orders.MiraklConnectExtractOrdersOperator` does.
    Personal data: names of participants, the topic's text, and what people wrote.

    :param target: folder of the files. Templated.
    :param messages: extract the messages too, all of each conversation that changed: one call more for each
        conversation (getConversationMessages). Nested they are the field ``messages``, flat a table of their own.
        Templated.
    :param format: ``ndjson`` or ``parquet``.
    :param layout: ``nested`` or ``flat``.
    :param since: where the first run begins; default 30 days ago. Templated.
    :param updated_from: start of a fixed interval. Templated.
    :param updated_to: end of a fixed interval, exclusive. Templated.
    :param overlap: seconds, or a timedelta, that a run reaches back behind the watermark.
    :param watermark: folder of the watermark. Templated.
    :param on_changed_filters: what to do when the filters differ from those of the previous run: ``fail`` before any
        call; or ``anew``, which begins again at ``since``. Templated.
    :param on_lost_state: what to do when an earlier run left a watermark and it is gone: ``fail`` before any call; or
        ``full``, which begins again at ``since``. Templated.
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
        """listConversations, with the messages where they are wanted."""
        return "conversations_with_messages" if self.messages else "conversations"
