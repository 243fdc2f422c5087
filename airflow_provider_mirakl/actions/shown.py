"""What Mirakl shows now of the orders, returns and conversations that actions are about."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_provider_mirakl.api.conversations import get_conversation_messages, list_conversations
from airflow_provider_mirakl.api.orders import list_order_documents, list_orders
from airflow_provider_mirakl.api.paging import LONGEST_WAIT
from airflow_provider_mirakl.api.returns import list_returns
from airflow_provider_mirakl.exceptions import MiraklNotFoundError

if TYPE_CHECKING:
    from airflow_provider_mirakl.api.call import Call, Page
    from airflow_provider_mirakl.client.http import Client

Shown: TypeAlias = "Callable[[Client, Sequence[str], float, float], Iterator[Mapping[str, Any]]]"
"""Lists objects among which are those of some ids, at most :data:`BATCH`. It takes the time in seconds since the epoch
after which the actions were sent, and the seconds that its first call may wait for its turn: before that call nothing
is lost if the task defers."""
BATCH = 100
"""Orders that are read at once: one page of v2-listOrders."""


def orders(client: Client, ids: Sequence[str], since: float, patience: float) -> Iterator[Mapping[str, Any]]:
    """The orders of these ids."""
    return _listed(client, list_orders(order_ids=ids), patience)


def returns(client: Client, ids: Sequence[str], since: float, patience: float) -> Iterator[Mapping[str, Any]]:
    """The returns that changed since then: they cannot be filtered by id."""
    start = datetime.fromtimestamp(since, UTC) - timedelta(hours=1)
    return _listed(client, list_returns(updated_from=start), patience)


def documents(
    client: Client, ids: Sequence[str], since: float, patience: float
) -> Iterator[Mapping[str, Any]]:
    """The orders, each with its documents."""
    listed = _listed(client, list_order_documents(order_ids=ids), patience)
    return _grouped(ids, "documents", ((document.get("order_id"), document) for document in listed))


def conversations(
    client: Client, ids: Sequence[str], since: float, patience: float
) -> Iterator[Mapping[str, Any]]:
    """The orders, each with its conversations."""
    # Mirakl requires a time; a conversation may be older than the action.
    first = list_conversations(updated_from=datetime(2000, 1, 1, tzinfo=UTC), order_ids=ids)
    return _grouped(
        ids,
        "conversations",
        ((_order_of(conversation), conversation) for conversation in _listed(client, first, patience)),
    )


def messages(
    client: Client, ids: Sequence[str], since: float, patience: float
) -> Iterator[Mapping[str, Any]]:
    """The conversations, each with its messages. Mirakl publishes no interval for them."""
    for conversation_id in ids:
        max_wait = patience if conversation_id == ids[0] else LONGEST_WAIT  # as in _listed
        try:
            listed = client.send(get_conversation_messages(conversation_id), max_wait=max_wait)
        except MiraklNotFoundError:  # the action is rejected, and its row reports that
            continue
        yield {"id": conversation_id, "messages": listed}


def _listed(client: Client, first: Call[Page[dict[str, Any]]], patience: float) -> Iterator[dict[str, Any]]:
    """Every item of a listing."""
    for page in client.pages(first, max_wait=patience, later=LONGEST_WAIT):
        yield from page.items


def _order_of(conversation: Mapping[str, Any]) -> object:
    entity = conversation.get("entity")
    return entity.get("id") if isinstance(entity, dict) else None


def _grouped(
    ids: Sequence[str], name: str, listed: Iterable[tuple[object, Mapping[str, Any]]]
) -> Iterator[Mapping[str, Any]]:
    groups: dict[str, list[Mapping[str, Any]]] = {order_id: [] for order_id in ids}
    for order_id, one in listed:
        groups.setdefault(str(order_id), []).append(one)
    for order_id, group in groups.items():
        yield {"id": order_id, name: group}
