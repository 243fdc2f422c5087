"""Operators for the conversations of Mirakl Connect with customers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_mirakl.hooks.mirakl_connect import MiraklConnectHook
from airflow_provider_mirakl.operators.bases.extract import ExtractOperator

if TYPE_CHECKING:
    from airflow_provider_mirakl.extract.listings import Listing
    from airflow_provider_mirakl.extract.target import Format


class MiraklConnectExtractConversationsOperator(ExtractOperator):
    """Extract the conversations of Mirakl Connect that changed since the previous run (listConversations).

    Works as :class:`~airflow_provider_mirakl.operators.connect_orders.MiraklConnectExtractOrdersOperator` does. The
    messages themselves are not in the listing. Personal data: names of participants and the topic's text.

    :param target: folder of the files. Templated.
    :param format: ``ndjson`` or ``parquet``.
    :param layout: ``nested`` or ``flat``.
    :param since: where the first run begins; default 30 days ago. Templated.
    :param updated_from: begin of a fixed interval. Templated.
    :param updated_until: end of a fixed interval, itself not included. Templated.
    :param overlap: seconds, or a timedelta, that a run reaches back behind the watermark.
    :param watermark: folder of the watermark. Templated.
    :param personal_data: ``keep`` or ``drop``.
    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``. Templated.
    :return: as of the extract of orders.
    """

    template_fields: Sequence[str] = (*ExtractOperator.template_fields, "mirakl_connect_conn_id")

    def __init__(
        self,
        *,
        target: str,
        format: Format = "ndjson",  # noqa: A002 - as users say it
        layout: Literal["nested", "flat"] = "nested",
        since: datetime | str | None = None,
        updated_from: datetime | str | None = None,
        updated_until: datetime | str | None = None,
        overlap: float | timedelta = 600.0,
        watermark: str | None = None,
        personal_data: Literal["keep", "drop"] = "keep",
        mirakl_connect_conn_id: str = MiraklConnectHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            target=target,
            format=format,
            layout=layout,
            since=since,
            updated_from=updated_from,
            updated_until=updated_until,
            overlap=overlap,
            watermark=watermark,
            personal_data=personal_data,
            **kwargs,
        )
        self.mirakl_connect_conn_id = mirakl_connect_conn_id

    @cached_property
    def hook(self) -> MiraklConnectHook:
        """The hook of the operator's connection."""
        return MiraklConnectHook(self.mirakl_connect_conn_id)

    @property
    def listing(self) -> Listing:
        """listConversations."""
        from airflow_provider_mirakl.extract.listings import LISTINGS

        return LISTINGS["conversations"]
