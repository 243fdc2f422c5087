"""Calls that tell what an instance is: PC01, V01, A01. Source: seed 004; facts section 7."""

from __future__ import annotations

from airflow_provider_mirakl.api.call import Call, Json, Operation, Reply, nothing, query

PC01 = Operation("PC01", "GET", "/api/platform/configuration", replay=True)
V01 = Operation("V01", "GET", "/api/version", replay=True, authenticated=False)
A01 = Operation("A01", "GET", "/api/account", replay=True)


def get_platform_configuration() -> Call[dict[str, Json]]:
    """PC01: name, tenant, time zone, modules and features of the instance.

    No call frequency is published. A seller's key needs the role of a shop administrator.
    """
    return Call(PC01, parse=Reply.json_object)


def get_version() -> Call[None]:
    """V01: whether the instance answers. It asks for no authentication, so it says nothing about a key."""
    return Call(V01, parse=nothing)


def get_account(*, shop_id: int | None = None) -> Call[dict[str, Json]]:
    """A01: the shop of a seller's key. Published maximum: once a day.

    :param shop_id: the shop, for a user of several; default the user's default shop.
    """
    return Call(A01, parse=Reply.json_object, params=query(shop_id=shop_id))
