"""A02: change a shop. A 200 may contain errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from airflow_provider_mirakl.sandbox.machine.exchange import Exchange
from airflow_provider_mirakl.sandbox.machine.values import parse_date
from airflow_provider_mirakl.sandbox.machine.wire import ApiError, Problem, Reply
from airflow_provider_mirakl.sandbox.systems import reference
from airflow_provider_mirakl.sandbox.systems.shops import Shops

Shop = dict[str, Any]
Test = Callable[[Any], bool]

_CONTACT = frozenset({"email", "fax", "web_site"})
_NEVER_NULL = frozenset({"address", "email", "is_professional", "shop_name", "channels"})


def _text(longest: int) -> Test:
    return lambda value: isinstance(value, str) and len(value) <= longest


def _date(value: Any) -> bool:
    return parse_date(value) is not None


def _channels(value: Any) -> bool:
    known = {channel["code"] for channel in reference.CHANNELS}
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(code, str) and code in known for code in value)
    )


def _fields(value: Any) -> bool:
    known = {field["code"] for field in reference.FIELDS if field["entity"] == "SHOP"}
    return isinstance(value, list) and all(isinstance(f, dict) and str(f.get("code")) in known for f in value)


def _producers(value: Any) -> bool:
    needed = {"epr_category_code", "producer_id"}
    return (
        isinstance(value, list)
        and len(value) <= 50
        and all(isinstance(p, dict) and needed <= p.keys() for p in value)
    )


_TESTS: dict[str, Test] = {
    "address": lambda value: isinstance(value, dict),
    "channels": _channels,
    "closed_from": _date,
    "closed_to": _date,
    "description": _text(3000),
    "email": lambda value: (
        isinstance(value, str) and re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", value) is not None
    ),
    "fax": _text(255),
    "is_professional": lambda value: isinstance(value, bool),
    "payment_info": lambda value: isinstance(value, dict) and bool(value.get("owner")) and "@type" in value,
    "pro_details": lambda value: isinstance(value, dict),
    "producer_identifiers": _producers,
    "recycling_policy": _text(5000),
    "return_policy": _text(60000),
    "shipping_country": lambda value: isinstance(value, str) and re.fullmatch("[A-Z]{3}", value) is not None,
    "shop_additional_fields": _fields,
    "shop_name": lambda value: isinstance(value, str) and 0 < len(value) <= 255,
    "web_site": _text(255),
}


def _problem(exchange: Exchange, name: str, value: Any) -> dict[str, str] | None:
    """Why a field cannot be changed so."""
    if name in exchange.machine.settings.locked_shop_fields:
        return {
            "code": "shop.field_locked",
            "field": name,
            "message": f"The operator locked the field {name}.",
        }
    if value is None:
        if name in _NEVER_NULL:
            return {"code": "shop.not_null", "field": name, "message": f"{name} cannot be null."}
        return None
    if not _TESTS[name](value):
        return {"code": "shop.invalid", "field": name, "message": f"The value of {name} is not valid."}
    return None


def _set(shop: Shop, name: str, value: Any) -> None:
    if name == "address":
        shop["contact_informations"] = {**shop["contact_informations"], **value}
    elif name in _CONTACT:
        _put(shop["contact_informations"], name, value)
    elif name == "shop_additional_fields":
        _additional(shop, value or [])
    elif name == "producer_identifiers":
        shop[name] = value or []
    else:
        _put(shop, name, value)


def _put(target: dict[str, Any], name: str, value: Any) -> None:
    if value is None:
        target.pop(name, None)
    else:
        target[name] = value


def _additional(shop: Shop, fields: list[dict[str, Any]]) -> None:
    """A field without a value is erased."""
    types = {field["code"]: field["type"] for field in reference.FIELDS}
    held = {field["code"]: field for field in shop["shop_additional_fields"]}
    for field in fields:
        if field.get("value") is None:
            held.pop(field["code"], None)
        else:
            held[field["code"]] = {
                "code": field["code"],
                "type": types[field["code"]],
                "value": field["value"],
            }
    shop["shop_additional_fields"] = list(held.values())


def _view(shop: Shop) -> dict[str, Any]:
    """The shop as in A02, which differs from A01."""
    contact = shop["contact_informations"]
    places = (
        "city",
        "civility",
        "country",
        "firstname",
        "lastname",
        "phone",
        "phone_secondary",
        "state",
        "street1",
    )
    address = {name: contact[name] for name in (*places, "street2", "zip_code") if name in contact}
    same = (
        "channels",
        "closed_from",
        "closed_to",
        "default_billing_information",
        "description",
        "is_professional",
        "model",
        "payment_info",
        "payment_method_mandatory",
        "pro_details",
        "producer_identifiers",
        "recycling_policy",
        "return_policy",
        "shipping",
        "shipping_country",
        "shop_additional_fields",
        "shop_name",
    )
    view = {name: shop[name] for name in same if name in shop}
    view |= {name: contact[name] for name in sorted(_CONTACT) if name in contact}
    return {"address": address, **view}


async def update(exchange: Exchange) -> Reply:
    """A02: every field separately; ``errors`` lists those that cannot be changed, the rest is changed."""
    document = await exchange.json()
    if not isinstance(document, dict):
        raise ApiError(400, "The body must be an object.")
    unknown = sorted(document.keys() - _TESTS.keys())
    if unknown:
        message = f"Unknown fields: {', '.join(unknown)}."
        raise ApiError(400, message, problems=[Problem("is not a known field", name) for name in unknown])
    assert exchange.shop is not None  # noqa: S101 - the gate chose it
    shop = exchange.part(Shops).all[exchange.shop]
    errors = []
    for name, value in document.items():
        problem = _problem(exchange, name, value)
        if problem is not None:
            errors.append(problem)
        else:
            _set(shop, name, value)
    if len(errors) < len(document):
        shop["last_updated_date"] = exchange.machine.clock.iso(exchange.machine.clock.now())
    exchange.items = len(document)
    return Reply.json({"errors": errors, "updated": _view(shop)})
