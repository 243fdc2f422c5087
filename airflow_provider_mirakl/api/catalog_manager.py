"""The Catalog Manager: CM11, CM21 to CM23, CM51 to CM54, CM61. Source: docs/mirakl-facts.md.

No call frequency is public for CM21 to CM23 and CM51 to CM61.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Literal

from airflow_provider_mirakl.api.call import (
    JSON,
    Call,
    Json,
    Operation,
    Reply,
    comma,
    encode,
    moment,
    query,
)
from airflow_provider_mirakl.api.caller import SELLER, Caller
from airflow_provider_mirakl.api.products import text_id
from airflow_provider_mirakl.exceptions import MiraklInputError

SYNCHRONIZATION = "/api/mcm/products/synchronization"
EXPORT = "/api/mcm/products/export"
MAX_FILTER = 100
"""Values in one list of a filter."""

CM11 = Operation("CM11", "GET", "/api/mcm/products/sources/status/export", replay=True, interval=300)
CM21 = Operation("CM21", "POST", SYNCHRONIZATION, replay=True)
CM22 = Operation("CM22", "GET", f"{SYNCHRONIZATION}/{{tracking_id}}", replay=True)
CM23 = Operation("CM23", "GET", f"{SYNCHRONIZATION}/{{tracking_id}}/report", replay=True)
CM51 = Operation("CM51", "GET", EXPORT, replay=True)
CM52 = Operation("CM52", "POST", f"{EXPORT}/async", replay=False)
CM53 = Operation("CM53", "GET", f"{EXPORT}/async/status/{{tracking_id}}", replay=True)
CM54 = Operation("CM54", "GET", "", replay=True)
CM61 = Operation("CM61", "GET", "/api/mcm/products/deleted/export", replay=True)

EVERY_STATE: Mapping[str, tuple[str, ...]] = {
    "acceptance_status": ("NEW", "ACCEPTED", "REJECTED", "CHANGES_REQUESTED", "TO_REVIEW"),
    "validation_status": ("VALID", "INVALID"),
}
"""Filters with which CM51 and CM52 export every product. By default Mirakl exports accepted and valid ones."""

FULL_STATUS_INTERVAL = 4 * 3600.0
"""Published shortest time between two full exports of CM11, in seconds; of two deltas it is five minutes."""


def synchronize_products(products: Sequence[Mapping[str, Json]] | bytes) -> Call[str]:
    """CM21: confirm, report, create, accept, update or delete master products. For operator and front office.

    The body is a bare array. Mirakl publishes no maximum of products.

    :param products: the elements; or the encoded array, sent as it is.
    :return: a call that returns the tracking id.
    :raises MiraklInputError: for no product at all.
    """
    if not products:
        raise MiraklInputError("CM21 needs at least one product")
    body = products if isinstance(products, bytes) else encode(list(products))
    return Call(CM21, parse=lambda reply: text_id(reply, "tracking_id"), body=body)


def get_synchronization(tracking_id: str) -> Call[dict[str, Json]]:
    """CM22: state and counts of a synchronization."""
    return Call(CM22, parse=Reply.state, path=CM22.at(tracking_id=tracking_id), paced_by=tracking_id)


def get_synchronization_report(tracking_id: str) -> Call[bytes]:
    """CM23: every element with its result, as JSON. Intended for ``Client.stream``."""
    return Call(
        CM23, parse=lambda reply: reply.body, path=CM23.at(tracking_id=tracking_id), paced_by=tracking_id
    )


def export_source_status(
    *,
    caller: Caller = SELLER,
    updated_since: datetime | None = None,
    updated_to: datetime | None = None,
    status: Literal["LIVE", "NOT_LIVE"] | None = None,
    provider_unique_identifiers: Collection[str] = (),
    unique_identifiers: Collection[str] = (),
    locale: str | None = None,
) -> Call[bytes]:
    """CM11: which products of a shop are live, and why the others are not. Meant for ``Client.stream``.

    At most every 5 minutes with ``updated_since``, every 4 hours without. 204 without a body when there is nothing.

    :param caller: the operator and the front office must name the shop.
    :param provider_unique_identifiers: only these, 100 at most.
    :param unique_identifiers: only these, as ``TYPE|value``, 100 at most.
    :raises MiraklInputError: too many identifiers, or no shop where one is needed.
    """
    _check_length("provider_unique_identifiers", provider_unique_identifiers)
    _check_length("unique_identifiers", unique_identifiers)
    return Call(
        CM11 if updated_since is not None else _CM11_FULL,
        parse=_listed,
        params=caller.params("CM11")
        + query(
            updated_since=moment(updated_since),
            updated_to=moment(updated_to),
            status=status,
            provider_unique_identifier=list(provider_unique_identifiers),
            unique_identifier=list(unique_identifiers),
            locale=locale,
        ),
        paced_by=f"{caller.name} {'full' if updated_since is None else 'differential'}".strip(),
    )


_CM11_FULL = Operation(CM11.code, CM11.method, CM11.path, replay=True, interval=FULL_STATUS_INTERVAL)


def export_products(
    *,
    updated_since: datetime | None = None,
    updated_to: datetime | None = None,
    filters: Mapping[str, Collection[str]] | None = None,
    accept: str = JSON,
) -> Call[bytes]:
    """CM51: master products, at once. Meant for deltas, and for ``Client.stream``.

    :param filters: lists by the names of :data:`FILTERS`.
    :param accept: ``application/json``, or ``text/csv`` whose columns are to be found by name.
    :raises MiraklInputError: a filter that does not exist, or is too long.
    """
    return Call(
        CM51,
        parse=lambda reply: reply.body,
        params=query(
            updated_since=moment(updated_since),
            updated_to=moment(updated_to),
            **{name: comma(values) for name, values in _checked(filters).items()},
        ),
        accept=accept,
    )


FILTERS = (
    "acceptance_status",
    "validation_status",
    "synchronization_status",
    "product_id",
    "product_sku",
    "variant_group_code",
    "catalog",
    "category",
    "rejection_reason",
)
"""Lists that narrow CM51 and CM52, each of 100 values at most."""


def start_export(
    *,
    updated_since: datetime | None = None,
    updated_to: datetime | None = None,
    filters: Mapping[str, Collection[str]] | None = None,
    channel: str | None = None,
    restrict_attributes: bool | None = None,
    include_data_provider_origins: bool | None = None,
    export_type: str = JSON,
    items_per_chunk: int | None = None,
    megabytes_per_chunk: int | None = None,
) -> Call[str]:
    """CM52: start an asynchronous export of master products. For operator and front office.

    Without filters Mirakl exports only accepted and valid products.

    :param filters: lists by the names of :data:`FILTERS`.
    :param channel: code of the channel whose statuses are returned.
    :param restrict_attributes: with a channel, only its attributes; Mirakl's default is true.
    :param include_data_provider_origins: JSON only; Mirakl's default is false.
    :return: a call that returns the tracking id.
    :raises MiraklInputError: a filter that does not exist, or is too long.
    """
    body: dict[str, object] = {
        "updated_since": moment(updated_since),
        "updated_to": moment(updated_to),
        **{name: list(values) for name, values in _checked(filters).items()},
        "channel": channel,
        "restrict_attributes": restrict_attributes,
        "include_data_provider_origins": include_data_provider_origins,
        "export_type": export_type,
        "items_per_chunk": items_per_chunk,
        "megabytes_per_chunk": megabytes_per_chunk,
    }
    body = {name: value for name, value in body.items() if value is not None}
    return Call(CM52, parse=lambda reply: text_id(reply, "tracking_id"), body=encode(body))


def get_export(tracking_id: str) -> Call[dict[str, Json]]:
    """CM53: state of an export, and the addresses of its files."""
    return Call(CM53, parse=Reply.state, path=CM53.at(tracking_id=tracking_id), paced_by=tracking_id)


def get_export_file(url: str, *, accept: str = JSON) -> Call[bytes]:
    """CM54: one file of an export, from the address that CM53 gave. Meant for ``Client.stream``."""
    return Call(CM54, parse=lambda reply: reply.body, path=url, accept=accept)


def export_deleted_products(
    *,
    deleted_from: datetime | None = None,
    deleted_to: datetime | None = None,
    product_ids: Collection[str] = (),
    accept: str = JSON,
) -> Call[bytes]:
    """CM61: master products deleted within the last year. Meant for ``Client.stream``.

    204 without a body when there is nothing (uncertain: so it is with CM11).
    """
    return Call(
        CM61,
        parse=_listed,
        params=query(
            deleted_from=moment(deleted_from), deleted_to=moment(deleted_to), product_id=comma(product_ids)
        ),
        accept=accept,
    )


def _listed(reply: Reply) -> bytes:
    if not reply.body and reply.status != 204:  # cut off: it does not say that there is nothing
        raise reply.unreadable("a list, or status 204 without a body", "")
    return reply.body


def _checked(filters: Mapping[str, Collection[str]] | None) -> Mapping[str, Collection[str]]:
    for name, values in (filters or {}).items():
        if name not in FILTERS:
            raise MiraklInputError(f"{name!r} is not a filter of an export; use {', '.join(FILTERS)}")
        _check_length(name, values)
        if not values:
            raise MiraklInputError(
                f"filters: {name} is empty, which must not select everything; to select everything, leave it out"
            )
    return filters or {}


def _check_length(name: str, values: Collection[str]) -> None:
    if isinstance(values, str):
        raise MiraklInputError(f"{name} must be a list, not one text")
    if len(values) > MAX_FILTER:
        raise MiraklInputError(f"{name} has {len(values)} values; Mirakl accepts at most {MAX_FILTER}")
