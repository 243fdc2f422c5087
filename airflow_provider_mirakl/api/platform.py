"""The identity and settings of an instance: PC01, V01, AF01, CH11, CUR01, L01, RO02, H11, PM11, VL11.

None of them is paginated. All take ``shop_id``, but only from a seller with several shops.
Source: docs/mirakl-facts.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, TypedDict, TypeVar
from urllib.parse import urlencode

from airflow_provider_mirakl.api.call import (
    Call,
    Json,
    Operation,
    Params,
    Reply,
    checked_words,
    comma,
    nothing,
    query,
)

HOURLY = 3_600
ONCE_A_DAY = 86_400

PC01 = Operation("PC01", "GET", "/api/platform/configuration", replay=True)
V01 = Operation("V01", "GET", "/api/version", replay=True, authenticated=False)
AF01 = Operation("AF01", "GET", "/api/additional_fields", replay=True, interval=ONCE_A_DAY)
CH11 = Operation("CH11", "GET", "/api/channels", replay=True, interval=ONCE_A_DAY)
CUR01 = Operation("CUR01", "GET", "/api/currencies", replay=True, interval=ONCE_A_DAY)
L01 = Operation("L01", "GET", "/api/locales", replay=True, interval=ONCE_A_DAY)
RO02 = Operation("RO02", "GET", "/api/users/shops/roles", replay=True)
H11 = Operation("H11", "GET", "/api/hierarchies", replay=True, interval=HOURLY)
PM11 = Operation("PM11", "GET", "/api/products/attributes", replay=True, interval=HOURLY)
VL11 = Operation("VL11", "GET", "/api/values_lists", replay=True, interval=HOURLY)

ENTITIES = ("OFFER", "SHOP", "ORDER", "ORDER_LINE")
"""What additional fields belong to."""


class Coded(TypedDict, total=False):
    """What every entry of these lists has."""

    code: str
    label: str
    description: str


class Locale(Coded, total=False):
    """A locale of the instance. Source: L01."""

    platform_default: bool


class Currency(Coded, total=False):
    """A currency of the instance. Source: CUR01."""

    platform_default: bool


class AdditionalField(Coded, total=False):
    """A custom field of offers, shops, orders or order lines. Source: AF01."""

    entity: str
    type: str
    required: bool
    editable: bool
    accepted_values: list[str]
    regex: str


class Hierarchy(Coded, total=False):
    """A category of the catalog. Source: H11."""

    level: int
    parent_code: str
    label_translations: list[dict[str, str]]


class Attribute(Coded, total=False):
    """An attribute of products. Source: PM11."""

    type: str
    requirement_level: str
    variant: bool
    roles: list[dict[str, Any]]
    type_parameters: list[dict[str, Any]]
    channels: list[dict[str, Any]]
    hierarchy_code: str
    locale: str
    type_parameter: str
    unique_code: str
    validations: str
    values_list: str


class ValuesList(Coded, total=False):
    """The values that an attribute may take. Source: VL11."""

    label_translations: list[dict[str, str]]
    values: list[dict[str, Any]]


C = TypeVar("C", bound=Coded)


def get_platform_configuration(*, shop_id: int | None = None) -> Call[dict[str, Json]]:
    """PC01: name, tenant, time zone, modules and features of the instance.

    No call frequency is published. A seller's key needs the role of a shop administrator.
    """
    return Call(PC01, parse=Reply.json_object, params=query(shop_id=shop_id))


def get_version() -> Call[None]:
    """V01: whether the instance answers. It needs no authentication, so it does not check the key."""
    return Call(V01, parse=nothing)


def list_additional_fields(
    *, entities: Collection[str] = (), locale: str | None = None, shop_id: int | None = None
) -> Call[list[AdditionalField]]:
    """AF01: custom fields. At most once a day.

    :param entities: of :data:`ENTITIES`; none for all.
    :raises MiraklInputError: for an entity that does not exist.
    """
    checked_words("entities", entities, ENTITIES)
    return Call(
        AF01,
        parse=_coded("additional_fields", AdditionalField),
        params=query(entities=comma(entities), locale=locale, shop_id=shop_id),
    )


def list_channels(*, locale: str | None = None, shop_id: int | None = None) -> Call[list[Coded]]:
    """CH11: the enabled channels. At most once a day."""
    return Call(
        CH11, parse=_coded("channels", Coded, optional=True), params=query(locale=locale, shop_id=shop_id)
    )


def list_currencies(*, locale: str | None = None, shop_id: int | None = None) -> Call[list[Currency]]:
    """CUR01: the enabled currencies. At most once a day."""
    return Call(CUR01, parse=_coded("currencies", Currency), params=query(locale=locale, shop_id=shop_id))


def list_locales(*, shop_id: int | None = None) -> Call[list[Locale]]:
    """L01: the enabled locales. At most once a day."""
    return Call(L01, parse=_coded("locales", Locale), params=query(shop_id=shop_id))


def list_shop_roles(*, shop_id: int | None = None) -> Call[list[Coded]]:
    """RO02: the roles that users of shops can have."""
    return Call(RO02, parse=_coded("roles", Coded, optional=True), params=query(shop_id=shop_id))


def list_hierarchies(
    *, hierarchy: str | None = None, max_level: int | None = None, shop_id: int | None = None
) -> Call[list[Hierarchy]]:
    """H11: the categories of the catalog. At most once an hour for each query.

    :param hierarchy: only this category with its parents and children.
    :param max_level: levels of children.
    """
    return _hourly(
        H11, "hierarchies", Hierarchy, query(hierarchy=hierarchy, max_level=max_level, shop_id=shop_id)
    )


def list_attributes(
    *,
    hierarchy: str | None = None,
    max_level: int | None = None,
    all_operator_attributes: bool | None = None,
    channels: Collection[str] = (),
    with_roles: bool | None = None,
    shop_id: int | None = None,
) -> Call[list[Attribute]]:
    """PM11: the attributes of products. At most once an hour for each query.

    :param hierarchy: only those of this category with its parents and children.
    :param max_level: levels of children.
    :param all_operator_attributes: for sellers: also those that only the operator fills.
    :param channels: for the operator and the front office: only those of these channels.
    :param with_roles: only attributes that have a role.
    """
    params = query(
        hierarchy=hierarchy,
        max_level=max_level,
        all_operator_attributes=all_operator_attributes,
        channels=list(channels) or None,
        with_roles=with_roles,
        shop_id=shop_id,
    )
    return _hourly(PM11, "attributes", Attribute, params)


def list_values_lists(*, code: str | None = None, shop_id: int | None = None) -> Call[list[ValuesList]]:
    """VL11: the lists of values that attributes may take. At most once an hour for each query.

    :param code: only this list.
    """
    return _hourly(VL11, "values_lists", ValuesList, query(code=code, shop_id=shop_id), optional=True)


def _hourly(
    operation: Operation,
    key: str,
    kind: type[C],
    params: Params,
    *,
    optional: bool = False,
) -> Call[list[C]]:
    """A part of the catalog's configuration. Each query is counted separately, so categories can be read in turn."""
    return Call(
        operation, parse=_coded(key, kind, optional=optional), params=params, paced_by=urlencode(params)
    )


def _coded(key: str, kind: type[C], *, optional: bool = False) -> Callable[[Reply], list[C]]:
    """A parser of lists whose entries have a ``code``."""

    def parse(reply: Reply) -> list[C]:
        entries = reply.list_of_objects(key, optional=optional)
        for entry in entries:
            code = entry.get("code")
            if not isinstance(code, str) or not code:
                raise reply.unreadable(f"a text under 'code' of every entry of {key!r}", code)
        return entries  # type: ignore[return-value]

    return parse
