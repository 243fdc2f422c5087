"""Polls of the sensors on orders. Not imported by Dag files."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow_provider_mirakl.api.orders import list_orders
from airflow_provider_mirakl.api.steps import send
from airflow_provider_mirakl.jobs.waiting import Poll

SHOWN = 100
"""Largest number of ids in a finding: one page."""


def orders_listed(
    notes: dict[str, Any], *, statuses: list[str], updated_from: str | None = None, min_orders: int = 1
) -> Poll:
    """Whether enough orders are in one of these states.

    :param statuses: the states.
    :param updated_from: only orders that changed at this time or later, as ISO 8601.
    :param min_orders: the number to wait for, at most a page.
    :return: ``order_ids`` of the first page, and whether there are ``more``. No other data of an order.
    """
    since = None if updated_from is None else datetime.fromisoformat(updated_from)
    page = yield from send(list_orders(statuses=statuses, updated_from=since, limit=SHOWN))
    if len(page.items) < min_orders:
        return None
    return {"order_ids": [str(order.get("id")) for order in page.items], "more": page.following is not None}
