"""Returns of Mirakl Connect: list, accept or refuse, track, receive, close.

Each step is asynchronous, as those of orders: it gives an action's id for
:func:`~airflow_provider_mirakl.api.orders.get_action_status`. Source: Mirakl Connect's API documentation,
https://developer.mirakl.com.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from airflow_provider_mirakl.api.call import Call, Json, Operation, Page, checked_words, encode, moment, query
from airflow_provider_mirakl.api.orders import (
    MAX_LIMIT,
    PATH,
    action_id_of,
    checked_limit,
    without_none,
)
from airflow_provider_mirakl.api.paging import seek_list
from airflow_provider_mirakl.exceptions import MiraklInputError

MAX_FILTER = 100
"""Values of one filter."""
RETURN_STATUSES = ("REQUEST_INITIATED", "REQUEST_DECLINED", "OPENED", "RECEIVED", "CLOSED")
REJECTION_REASONS = ("RETURN_WINDOW_CLOSED", "NOT_ELIGIBLE_FOR_RETURN", "FINAL_SALES")

_RETURN = f"{PATH}/returns/{{return_id}}"
LIST_RETURNS = Operation("v2-listReturns", "GET", f"{PATH}/returns", replay=True, interval=60, personal=True)
ACCEPT_RETURN = Operation("v2-acceptReturn", "PUT", f"{_RETURN}/accept", replay=False, personal=True)
ACKNOWLEDGE_RETURN = Operation(
    "v2-acknowledgeReturnReception", "PUT", f"{_RETURN}/receive", replay=False, personal=True
)
CLOSE_RETURN = Operation("v2-closeReturn", "PUT", f"{_RETURN}/close", replay=False, personal=True)
UPDATE_RETURN_TRACKING = Operation(
    "v2-updateReturnTrackingInformation", "PUT", f"{_RETURN}/trackings", replay=False, personal=True
)


def list_returns(
    *,
    updated_from: datetime,
    order_ids: Collection[str] = (),
    statuses: Collection[str] = (),
    limit: int = MAX_LIMIT,
    page_token: str | None = None,
) -> Call[Page[dict[str, Json]]]:
    """List returns, the most recently updated first.

    :param updated_from: only returns that were updated in Connect at this time or later. Mirakl requires it, on
        later pages too.
    :param order_ids: only of these orders, at most 100.
    :param statuses: only in these states, see :data:`RETURN_STATUSES`.
    :param limit: returns a page, 1 to 100.
    :param page_token: opaque position of a page, from the page before.
    :return: a call that returns one page.
    :raises MiraklInputError: a limit out of range, an unknown status, or too many ids.
    """
    checked_limit(limit, LIST_RETURNS)
    checked_words("statuses", statuses, RETURN_STATUSES)
    if len(order_ids) > MAX_FILTER:
        raise MiraklInputError(
            f"order_ids contains {len(order_ids):,} ids; {LIST_RETURNS.code} accepts {MAX_FILTER}"
        )

    return seek_list(
        LIST_RETURNS,
        "data",
        query(order_ids=list(order_ids), statuses=list(statuses), limit=limit),
        page_token=page_token,
        kept=query(updated_from=moment(updated_from)),
    )


def accept_return(return_id: str, *, accepted: bool = True, rejection_reason: str | None = None) -> Call[str]:
    """Accept or refuse a return that is ``REQUEST_INITIATED``.

    :param return_id: Connect's id of the return.
    :param accepted: whether it is accepted.
    :param rejection_reason: why it is not, see :data:`REJECTION_REASONS`.
    :return: a call that returns the action's id.
    :raises MiraklInputError: an unknown reason, or a reason for an accepted return.
    """
    if rejection_reason is not None:
        checked_words("rejection_reason", [rejection_reason], REJECTION_REASONS)
        if accepted:
            raise MiraklInputError("rejection_reason belongs to a return that is not accepted")
    body = without_none({"accepted": accepted, "rejection_reason": rejection_reason})
    return _step(ACCEPT_RETURN, return_id, body)


def acknowledge_return_reception(return_id: str) -> Call[str]:
    """Confirm that the goods of a return have arrived.

    :param return_id: Connect's id of the return.
    :return: a call that returns the action's id.
    """
    return _step(ACKNOWLEDGE_RETURN, return_id)


def close_return(return_id: str) -> Call[str]:
    """Close a return after everything about it is done.

    :param return_id: Connect's id of the return.
    :return: a call that returns the action's id.
    """
    return _step(CLOSE_RETURN, return_id)


def update_return_tracking(
    return_id: str,
    *,
    carrier: str | None = None,
    tracking_number: str | None = None,
    tracking_url: str | None = None,
    label_url: str | None = None,
    rma_id: str | None = None,
) -> Call[str]:
    """Say how a return travels.

    :param return_id: Connect's id of the return.
    :param carrier: name of the carrier.
    :param tracking_number: the carrier's number.
    :param tracking_url: the carrier's page about the parcel.
    :param label_url: where the label is.
    :param rma_id: number of the authorization (RMA).
    :return: a call that returns the action's id.
    :raises MiraklInputError: nothing to say.
    """
    tracking = without_none(
        {"carrier": carrier, "tracking_number": tracking_number, "tracking_url": tracking_url}
    )
    body = without_none({"label_url": label_url, "rma_id": rma_id, "tracking": tracking or None})
    if not body:
        raise MiraklInputError(
            "enter at least one of carrier, tracking_number, tracking_url, label_url, rma_id"
        )
    return _step(UPDATE_RETURN_TRACKING, return_id, body)


def _step(operation: Operation, return_id: str, body: Mapping[str, object] | None = None) -> Call[str]:
    return Call(
        operation,
        parse=action_id_of,
        path=operation.at(return_id=return_id),
        body=None if body is None else encode(body),
    )
