"""The listings of Mirakl Connect that can be extracted, as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_provider_mirakl.api.call import Call, Json, Page
from airflow_provider_mirakl.api.conversations import list_conversations
from airflow_provider_mirakl.api.orders import list_orders
from airflow_provider_mirakl.api.returns import list_returns
from airflow_provider_mirakl.extract.fields import CONVERSATION, ORDER, RETURN, Shape


@dataclass(frozen=True, slots=True)
class Listing:
    """A listing that can be read since a moment.

    :param call: the call of its first page, for rows that changed at a moment or later, and further filters.
    :param shape: what its rows are.
    :param id: field that names a row.
    :param updated: field with the moment of a row's last change.
    """

    call: Callable[..., Call[Page[dict[str, Json]]]]
    shape: Shape
    id: str = "id"
    updated: str = "updated_at"

    def since(self, moment: datetime, filters: dict[str, Any]) -> Call[Page[dict[str, Json]]]:
        """The call of the first page."""
        return self.call(updated_from=moment, **filters)


LISTINGS: dict[str, Listing] = {
    "orders": Listing(
        list_orders,
        Shape(
            "orders",
            ORDER,
            lines="order_lines",
            line_table="order_lines",
            line_key="order_id",
            personal=(("billing_info",), ("shipping_info", "address"), ("shipping_info", "email")),
        ),
    ),
    "returns": Listing(
        list_returns,
        Shape(
            "returns",
            RETURN,
            lines="return_lines",
            line_table="return_lines",
            line_key="return_id",
            personal=(("address",), ("label_url",)),
        ),
    ),
    "conversations": Listing(
        list_conversations,
        Shape("conversations", CONVERSATION, personal=(("participants",), ("topic", "value"))),
    ),
}
"""By name."""
