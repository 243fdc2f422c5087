"""Asynchronous exports of a Marketplace: orders (OR13 to OR15) and transaction lines (TL03 to TL05).

Source: Mirakl's API documentation, https://developer.mirakl.com; see docs/mirakl-facts.md. Offers are exported by
:mod:`airflow_provider_mirakl.api.offers`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from airflow_provider_mirakl.api.call import JSON, Call, Json, Operation, Reply, encode, moment
from airflow_provider_mirakl.api.caller import SELLER, Caller
from airflow_provider_mirakl.api.products import text_id
from airflow_provider_mirakl.exceptions import MiraklInputError

ORDERS, TRANSACTIONS = "/api/orders/async-export", "/api/sellerpayment/transactions_logs/async"
ORDER_STATES = (
    "STAGING", "WAITING_ACCEPTANCE", "WAITING_DEBIT", "WAITING_DEBIT_PAYMENT", "SHIPPING", "SHIPPED", "TO_COLLECT",
    "RECEIVED", "CLOSED", "REFUSED", "CANCELED",
)  # fmt: skip
FIRST_DAY = datetime(2000, 1, 1, tzinfo=UTC)
"""Before the first order of any Marketplace: OR13 needs a range, also for everything."""

# Replies with customers' names and addresses are never quoted in errors.
OR13 = Operation("OR13", "POST", ORDERS, replay=False, interval=300, personal=True)
OR14 = Operation("OR14", "GET", f"{ORDERS}/status/{{tracking_id}}", replay=True, personal=True)
OR15 = Operation("OR15", "GET", "", replay=True, personal=True)
TL03 = Operation("TL03", "POST", TRANSACTIONS, replay=False, interval=86_400)
TL04 = Operation("TL04", "GET", f"{TRANSACTIONS}/status/{{tracking_id}}", replay=True, interval=10)
TL05 = Operation("TL05", "GET", "", replay=True, personal=True)

_OR13_FULL = Operation("OR13", "POST", ORDERS, replay=False, interval=86_400, personal=True)


def start_order_export(
    *,
    caller: Caller = SELLER,
    updated_since: datetime | None = None,
    updated_to: datetime | None = None,
    created_since: datetime | None = None,
    created_to: datetime | None = None,
    order_state_codes: Collection[str] = (),
    channel_codes: Collection[str] = (),
    items_per_chunk: int | None = None,
    megabytes_per_chunk: int | None = None,
    options: Mapping[str, Json] | None = None,
) -> Call[str]:
    """OR13: start an asynchronous export of orders. A delta at most every 5 minutes, everything once a day.

    Mirakl needs both ends of a range: the end defaults to now if only the start is set. Without any range everything
    is exported. Mirakl runs one such export for each shop at a time.

    :param updated_since: only orders that changed since then; Mirakl reaches back slightly further.
    :param updated_to: only orders whose last change is not later.
    :param created_since: only orders that were created since then.
    :param created_to: only orders that were created until then.
    :param order_state_codes: only orders in these states, see :data:`ORDER_STATES`.
    :param channel_codes: only orders of these channels.
    :param items_per_chunk: orders in one file, 10,000 to 1,000,000.
    :param megabytes_per_chunk: size of one file, 10 to 1,024.
    :param options: further fields of the body by Mirakl's names, such as ``order_tax_mode`` and ``only_null_channel``.
    :return: a call that returns the tracking id.
    :raises MiraklInputError: an unknown state, or the end of a range without its begin.
    """
    if wrong := [state for state in order_state_codes if state not in ORDER_STATES]:
        raise MiraklInputError(
            f"order_state_codes must be of {', '.join(ORDER_STATES)}, not {', '.join(map(repr, wrong))}"
        )
    for name, begin, end in (
        ("updated", updated_since, updated_to),
        ("created", created_since, created_to),
    ):
        if end is not None and (begin is None or end <= begin):
            raise MiraklInputError(f"{name}_to must be after {name}_since")
    now = datetime.now(UTC)
    if updated_since is None and created_since is None:
        created_since = FIRST_DAY
    body = {
        "start_update_date": moment(updated_since),
        "end_update_date": moment(updated_to or now) if updated_since else None,
        "start_date": moment(created_since),
        "end_date": moment(created_to or now) if created_since else None,
        "order_state_codes": list(order_state_codes) or None,
        "channel_codes": list(channel_codes) or None,
        "items_per_chunk": items_per_chunk,
        "megabytes_per_chunk": megabytes_per_chunk,
        **(options or {}),
    }
    differential = updated_since is not None
    return Call(
        OR13 if differential else _OR13_FULL,
        parse=lambda reply: text_id(reply, "tracking_id"),
        body=_without_none(body),
        params=caller.check_shop("OR13").params("OR13"),
        paced_by=f"{caller.name} {'differential' if differential else 'full'}".strip(),
    )


def get_order_export(tracking_id: str, *, caller: Caller = SELLER) -> Call[dict[str, Json]]:
    """OR14: state of an export of orders, and the addresses of its files. No frequency is published."""
    return _status(OR14, tracking_id, caller)


def get_order_export_file(url: str, *, accept: str = JSON) -> Call[bytes]:
    """OR15: one file of an export, from the address that OR14 gave. Meant for ``Client.stream``."""
    return Call(OR15, parse=lambda reply: reply.body, path=url, accept=accept)


def start_transaction_export(
    *,
    caller: Caller = SELLER,
    updated_since: datetime | None = None,
    created_since: datetime | None = None,
    created_to: datetime | None = None,
    items_per_chunk: int | None = None,
    megabytes_per_chunk: int | None = None,
    options: Mapping[str, Json] | None = None,
) -> Call[str]:
    """TL03: start an asynchronous export of transaction lines. At most once a day.

    :param updated_since: only lines that changed since then.
    :param created_since: only lines that were created since then.
    :param created_to: only lines that were created until then.
    :param items_per_chunk: lines in one file.
    :param megabytes_per_chunk: size of one file.
    :param options: further fields of the body by Mirakl's names, such as ``payment_state`` and ``transaction_type``.
    :return: a call that returns the tracking id.
    """
    body = {
        "last_updated_from": moment(updated_since),
        "date_created_from": moment(created_since),
        "date_created_to": moment(created_to),
        "items_per_chunk": items_per_chunk,
        "megabytes_per_chunk": megabytes_per_chunk,
        **(options or {}),
    }
    return Call(
        TL03,
        parse=lambda reply: text_id(reply, "tracking_id"),
        body=_without_none(body),
        params=caller.check_shop("TL03").params("TL03"),
        paced_by=caller.name,
    )


def get_transaction_export(tracking_id: str, *, caller: Caller = SELLER) -> Call[dict[str, Json]]:
    """TL04: state of an export of transaction lines. At most every 10 seconds; once a minute recommended."""
    return _status(TL04, tracking_id, caller)


def get_transaction_export_file(url: str, *, accept: str = JSON) -> Call[bytes]:
    """TL05: one file of an export, from the address that TL04 gave. Meant for ``Client.stream``."""
    return Call(TL05, parse=lambda reply: reply.body, path=url, accept=accept)


def _status(operation: Operation, tracking_id: str, caller: Caller) -> Call[dict[str, Json]]:
    return Call(
        operation,
        parse=Reply.state,
        path=operation.at(tracking_id=tracking_id),
        params=caller.params(operation.code),
        paced_by=tracking_id,
    )


def _without_none(body: Mapping[str, object]) -> bytes:
    return encode({name: value for name, value in body.items() if value is not None})
