"""A shop's own account: A01, A02, A21; and the operator's list of shops: S20. See docs/mirakl-facts.md."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from airflow_provider_mirakl.api.call import (
    Call,
    Json,
    Operation,
    Page,
    Reply,
    checked_words,
    comma,
    encode,
    moment,
    query,
)
from airflow_provider_mirakl.api.paging import offset_page
from airflow_provider_mirakl.api.values import numeric_id
from airflow_provider_mirakl.exceptions import ApiFault, MiraklInputError, Problem, one_of

ONCE_A_DAY = 86_400
PERIODS = ("ALL_SINCE_BEGINNING", "LAST_MONTH", "LAST_THREE_MONTHS", "LAST_SIX_MONTHS", "LAST_YEAR")
MAX_RECYCLING_POLICY = 5000
MAX_PRODUCER_IDENTIFIERS = 50

A01 = Operation("A01", "GET", "/api/account", replay=True, interval=ONCE_A_DAY, personal=True)
A02 = Operation("A02", "PUT", "/api/account", replay=True, interval=ONCE_A_DAY, personal=True)
A21 = Operation("A21", "GET", "/api/account/statistics", replay=True, interval=ONCE_A_DAY)
# Uncertain: the published files describe the answer of S20, but not its path or frequency.
S20 = Operation("S20", "GET", "/api/shops", replay=True, personal=True)

NULLABLE: Mapping[str, bool | None] = {
    "address": False,
    "channels": None,
    "closed_from": True,
    "closed_to": True,
    "description": True,
    "email": False,
    "fax": True,
    "is_professional": False,
    "payment_info": True,
    "pro_details": None,
    "producer_identifiers": None,
    "recycling_policy": None,
    "return_policy": True,
    "shipping_country": True,
    "shop_additional_fields": True,
    "shop_name": False,
    "web_site": True,
}
"""The fields that A02 takes, and whether ``null`` is allowed: ``None`` if that is not published, or depends."""

_KINDS: Mapping[str, tuple[type, str]] = {
    "address": (dict, "an object"),
    "channels": (list, "a list of channel codes"),
    "is_professional": (bool, "true or false"),
    "payment_info": (dict, "an object"),
    "pro_details": (dict, "an object"),
    "producer_identifiers": (list, "a list of objects"),
    "shop_additional_fields": (list, "a list of objects"),
}


@dataclass(frozen=True, slots=True)
class ShopUpdate:
    """The reply of A02, which is a 200 even if it contains errors.

    :param errors: what Mirakl did not accept, such as a field that the operator has locked.
    :param updated: the shop as it is now, ``None`` where nothing was changed.
    """

    errors: tuple[ApiFault, ...]
    updated: dict[str, Json] | None


def get_account(*, shop_id: int | None = None) -> Call[dict[str, Json]]:
    """A01: the shop of a seller's key. At most once a day.

    :param shop_id: the shop, for a user with several shops; default the user's default shop.
    """
    return Call(A01, parse=_account, params=query(shop_id=shop_id), paced_by=_paced_by(shop_id))


def update_account(
    changes: Mapping[str, Any],
    *,
    shop_id: int | None = None,
    unknown_fields: Literal["reject", "send"] = "reject",
) -> Call[ShopUpdate]:
    """A02: change some fields of the shop of a seller's key. At most once a day.

    A field that is left out is not changed. ``null`` erases it, if Mirakl allows that. An additional field of the
    shop that comes without a ``value`` is erased by Mirakl: since that is easily done by mistake, say it with
    ``"value": None``, which is sent in Mirakl's form.

    :param changes: the fields to change, in Mirakl's names; date-times may be ``datetime``.
    :param shop_id: the shop, for a user with several shops; default the user's default shop.
    :param unknown_fields: ``reject`` fields that A02 does not document, since a typing error would pass silently, or
        ``send`` them.
    :raises MiraklInputError: listing every fault of ``changes``.
    """
    one_of("unknown_fields", unknown_fields, ("reject", "send"))
    problems = list(_faults_of(changes, unknown_fields))
    if problems:
        raise MiraklInputError("the shop cannot be updated like this; nothing was sent", problems)
    body = {name: _sent(name, value) for name, value in changes.items()}
    return Call(
        A02,
        parse=_update,
        params=query(shop_id=shop_id),
        body=encode(body),
        paced_by=_paced_by(shop_id),
    )


def get_statistics(
    *, periods: Collection[str] = (), channel_code: str | None = None, shop_id: int | None = None
) -> Call[dict[str, Json]]:
    """A21: sales figures of the shop of a seller's key. At most once a day.

    :param periods: of :data:`PERIODS`; none for all.
    :param channel_code: only this channel; default all together.
    :param shop_id: the shop, for a user with several shops; default the user's default shop.
    :raises MiraklInputError: for a period that does not exist.
    """
    checked_words("periods", periods, PERIODS)
    return Call(
        A21,
        parse=Reply.json_object,
        params=query(periods=comma(periods), channel_code=channel_code, shop_id=shop_id),
        paced_by=_paced_by(shop_id),
    )


def list_shops(
    *,
    shop_ids: Collection[int] = (),
    updated_since: datetime | None = None,
    page_size: int = 100,
    offset: int = 0,
) -> Call[Page[dict[str, Json]]]:
    """S20: the shops of a marketplace, for its operator.

    Uncertain: the path and the two filters come from public code, not from a published description.

    :param shop_ids: only these.
    :param updated_since: only those changed since.
    :param page_size: shops a page, 1 to 100.
    :param offset: shops to pass over.
    """
    if not 1 <= page_size <= 100:
        raise MiraklInputError(f"page_size must be 1 to 100, not {page_size}")
    return Call(
        S20,
        parse=lambda reply: _with_ids(
            reply,
            offset_page(
                reply,
                "shops",
                lambda following: list_shops(
                    shop_ids=shop_ids, updated_since=updated_since, page_size=page_size, offset=following
                ),
                offset=offset,
                page_size=page_size,
            ),
        ),
        params=query(
            shop_ids=comma(shop_ids),
            updated_since=moment(updated_since),
            max=page_size,
            offset=offset or None,
        ),
    )


def id_of(shop: Mapping[str, Json]) -> int:
    """The id of a shop that :func:`list_shops` listed."""
    number = numeric_id(shop.get("shop_id"))
    assert number is not None  # noqa: S101 - checked when the page was read
    return number


def _with_ids(reply: Reply, page: Page[dict[str, Json]]) -> Page[dict[str, Json]]:
    for shop in page.items:
        if numeric_id(shop.get("shop_id")) is None:
            raise reply.unreadable("a number under 'shop_id' of every shop", shop.get("shop_id"))
    return page


def _paced_by(shop_id: int | None) -> str:
    return "" if shop_id is None else f"shop {shop_id}"


def _account(reply: Reply) -> dict[str, Json]:
    account = reply.json_object()
    if not isinstance(account.get("shop_id"), int):
        raise reply.unreadable("a number under 'shop_id'", account.get("shop_id"))
    return account


def _update(reply: Reply) -> ShopUpdate:
    body = reply.json_object()
    errors = tuple(
        ApiFault(str(error.get("message") or error.get("code") or "no reason given"), *_code_and_field(error))
        for error in reply.objects(reply.state().get("errors") or [], "under 'errors'")
    )
    updated = body.get("updated")
    if not errors and not isinstance(updated, dict):
        # Without either, it does not say whether anything was changed.
        raise reply.unreadable("the shop under 'updated', or what is wrong under 'errors'", updated)
    return ShopUpdate(errors, updated if isinstance(updated, dict) else None)


def _code_and_field(error: Mapping[str, Json]) -> tuple[str | None, str | None]:
    code, field = error.get("code"), error.get("field")
    return (code if isinstance(code, str) else None), (field if isinstance(field, str) else None)


def _faults_of(changes: Mapping[Any, Any], unknown_fields: str) -> list[Problem]:
    problems = []
    if not changes:
        problems.append(Problem("nothing to change; set at least one field"))
    for name, value in changes.items():
        if not isinstance(name, str):
            problems.append(Problem("is not a field of A02; names of fields are text", str(name)))
        elif name not in NULLABLE:
            if unknown_fields == "reject":
                problems.append(Problem("is not a field of A02; fix the name or leave it out", name))
        elif value is None:
            if NULLABLE[name] is False:
                problems.append(Problem("cannot be erased; leave it out to keep it", name))
        elif name in _KINDS and not isinstance(value, _KINDS[name][0]):
            problems.append(Problem(f"must be {_KINDS[name][1]}, not {type(value).__name__}", name))
        else:
            problems += _faults_within(name, value)
    return problems


def _faults_within(name: str, value: Any) -> list[Problem]:
    if name == "recycling_policy" and len(str(value)) > MAX_RECYCLING_POLICY:
        return [Problem(f"has {len(str(value)):,} characters; at most {MAX_RECYCLING_POLICY:,} fit", name)]
    if name == "shipping_country" and not (
        isinstance(value, str) and len(value) == 3 and value.isascii() and value.isupper()
    ):
        return [Problem(f"must be an ISO 3166 code of three letters such as FRA, not {value!r}", name)]
    if name in ("closed_from", "closed_to") and isinstance(value, datetime) and value.tzinfo is None:
        return [Problem("has no time zone; add one, such as UTC", name)]
    if name == "channels":
        return [
            Problem(f"must be text, the code of a channel, not {type(code).__name__}", f"{name}[{place}]")
            for place, code in enumerate(value)
            if not isinstance(code, str)
        ]
    if name == "producer_identifiers" and len(value) > MAX_PRODUCER_IDENTIFIERS:
        return [Problem(f"has {len(value)} entries; at most {MAX_PRODUCER_IDENTIFIERS} fit", name)]
    if name == "shop_additional_fields":
        return [
            problem
            for place, entry in enumerate(value)
            for problem in _faults_of_entry(f"{name}[{place}]", entry)
        ]
    return []


def _faults_of_entry(place: str, entry: Any) -> list[Problem]:
    if not isinstance(entry, Mapping) or not entry.get("code"):
        return [Problem("needs a code", place)]
    if "value" not in entry:
        return [Problem("has no value, which would erase it; set one, or None to erase it", place)]
    return []


def _sent(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return moment(value)
    if name == "shop_additional_fields" and isinstance(value, list):
        return [{key: item for key, item in entry.items() if item is not None} for entry in value]
    return value
