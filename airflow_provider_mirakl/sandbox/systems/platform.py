"""Shops and platform settings of the instance."""

from __future__ import annotations

from typing import Any

from airflow_provider_mirakl.sandbox.machine import paging
from airflow_provider_mirakl.sandbox.machine.exchange import Exchange
from airflow_provider_mirakl.sandbox.machine.wire import ApiError, Reply
from airflow_provider_mirakl.sandbox.systems import reference
from airflow_provider_mirakl.sandbox.systems.offers import Offers
from airflow_provider_mirakl.sandbox.systems.shops import Shops
from airflow_provider_mirakl.sandbox.systems.tables import Table

CONFIGURATION: dict[str, Any] = {
    "features": {
        "catalog": {
            "allow_shop_contribution_to_all_channels": True,
            "exclude_invalid_products": False,
            "list_of_multiple_values_separator": "|",
            "product_acceptance_by_channel": False,
            "product_data_validation_by_channel": False,
            "product_import_only_on_leaf": False,
        },
        "circular_economy_data_collection": False,
        "competitive_pricing_tool": False,
        "direct_payment_customer_store": {"activated": False, "refund_cancel_authorized": False},
        "disable_seller_alternative_carrier": False,
        "dropship": {"retail_pricing_edition_enabled": "NO", "retail_pricing_enabled": False},
        "kyc_status_per_seller": True,
        "lead_time_to_ship_by_sellers_enabled": "YES",
        "multi_currency": False,
        "multi_payout_psp_per_seller": False,
        "no_reply_needed": True,
        "offer_prices_decimals": "2",
        "operator_csv_delimiter": "SEMICOLON",
        "order_conditions": {
            "lead_time_to_ship": True,
            "maximum_order_quantity": True,
            "minimum_order_quantity": True,
            "package_order_quantity": False,
        },
        "order_tax_mode": "TAX_INCLUDED",
        "order_workflows": {
            "no_customer_payment_confirmation": False,
            "order_acceptance": "NOT_AUTOMATIC",
            "pause_debit_workflow": False,
            "pay_on_due_date": False,
            "pay_on_shipment": True,
            "sellers_edit_shipping_origin": False,
            "shipping_and_billing_details_before_acceptance": False,
        },
        "payment_confirmation": False,
        "pricing": {
            "channel_pricing": "DISABLED",
            "discount_period_required": False,
            "discount_price_creation_in_the_past_blocked": False,
            "scheduled_pricing": True,
            "volume_discount": False,
            "volume_pricing": True,
        },
        "product_data_validation_by_channel": False,
        "promotion": {
            "cart_promotion_campaign": False,
            "discount_campaign": False,
            "seller_promotion": False,
        },
        "returns": {"drop_ship": False, "marketplace": True, "one_creditor": False},
        "shipment": {"multi_part_item_shipment": False, "multi_shipment": True},
        "shop_tax_options": {"tax_identification_number": {"mandatory": False}},
        "tax_collection": {
            "activated": "NO",
            "product_tax_code_mandatory": False,
            "tax_collection_by_operator": False,
        },
        "tax_id_number": {"mandatory": False},
        "warehouses": {"geolocation": False, "restricted_countries": []},
    },
    "modules": {
        "mirakl_catalog_integrator": True,
        "mirakl_catalog_manager": True,
        "mirakl_catalog_transformer": True,
        "mirakl_platform_services": False,
        "offer_management": True,
        "order_management": True,
        "promotions": False,
        "quotes": False,
        "tax_manager": {"activated": False, "tax_provider": {"avalara": False, "vertex": False}},
    },
    "platform_configuration": {
        "customer_model": {"b2b": False, "b2c": True},
        "enhanced_seller_invoicing": {"enabled": False},
        "platform_model": {"drop_ship": False, "marketplace": True, "one_creditor": False},
    },
    "platform_name": "Sandbox Marketplace",
    "tenant_name": "sandbox-dev",
    "timezone": "Europe/Paris",
}


def version(exchange: Exchange) -> Reply:
    """V01: says that the service is up; asks for no authentication."""
    return Reply.json({"version": "sandbox"})


def configuration(exchange: Exchange) -> Reply:
    """PC01."""
    return Reply.json(CONFIGURATION)


def _own(exchange: Exchange) -> dict[str, Any]:
    assert exchange.shop is not None  # noqa: S101 - the gate chose it
    return exchange.part(Shops).all[exchange.shop]


def account(exchange: Exchange) -> Reply:
    """A01: the seller's shop."""
    shop = _own(exchange)
    return Reply.json({**shop, "offers_count": exchange.part(Offers).count(shop["shop_id"])})


def statistics(exchange: Exchange) -> Reply:
    """A21: figures of the shop by period."""
    periods = exchange.listed("periods") or list(reference.PERIODS)
    if not set(periods) <= set(reference.PERIODS):
        raise ApiError(400, f"periods must be among {', '.join(reference.PERIODS)}.")
    channel = exchange.query.get("channel_code", "")
    if channel and channel not in {known["code"] for known in reference.CHANNELS}:
        raise ApiError(404, f"The channel {channel} does not exist.")
    body: dict[str, Any] = {
        name: [{"period": period, "value": value} for period in periods]
        for name, value in reference.STATISTICS.items()
    }
    shop = _own(exchange)
    body["shop_id"], body["last_updated_date"] = shop["shop_id"], exchange.machine.clock.iso(exchange.moment)
    return Reply.json({**body, "channel": channel} if channel else body)


def shops(exchange: Exchange) -> Reply:
    """S20: the shops of the marketplace, paged by offset."""
    wanted, state = exchange.listed("shop_ids"), exchange.query.get("states", "")
    found = [
        shop
        for shop in exchange.part(Shops).all.values()
        if (not wanted or str(shop["shop_id"]) in wanted)
        and (not state or shop["shop_state"] in state.split(","))
    ]
    part, headers = paging.offset(exchange, len(found))
    rows = [{**shop, **_FOR_OPERATORS} for shop in found[part]]
    for row in rows:
        row["payment_details"] = {
            **row["payment_details"],
            "pay_subscription": False,
            "payment_blocked": False,
        }
    return Reply.json({"shops": rows, "total_count": len(found)}, headers=headers)


_FOR_OPERATORS: dict[str, Any] = {
    "commission": {"grid_code": "default", "grid_label": "Default", "linked_to_default_grid": True},
    "premium_state": "DEFAULT",
    "assignees": [],
    "permissions": [],
}


def additional_fields(exchange: Exchange) -> Reply:
    """AF01."""
    seller = exchange.principal.role == "shop"
    rights: dict[str, Any] = (
        {"editable": True} if seller else {"shop_permission": "READ_WRITE", "channels": []}
    )
    found = [
        {"required": False, "description": "", **field, **rights}
        for field in reference.FIELDS
        if _entity(exchange, field, ("SHOP", "OFFER", "ORDER_LINE", "ORDER"))
    ]
    return Reply.json({"additional_fields": found, "total_count": len(found)})


def documents(exchange: Exchange) -> Reply:
    """DO01."""
    extra: dict[str, Any] = {} if exchange.principal.role == "shop" else {"models": ["MARKETPLACE"]}
    found = [
        {"description": f"{kind['label']}.", **kind, **(extra if kind["entity"] == "SHOP" else {})}
        for kind in reference.DOCUMENTS
        if _entity(exchange, kind, ("ORDER", "SHOP"))
    ]
    return Reply.json({"documents": found})


def _entity(exchange: Exchange, row: dict[str, Any], allowed: tuple[str, ...]) -> bool:
    wanted = exchange.listed("entities")
    if not set(wanted) <= set(allowed):
        raise ApiError(400, f"entities must be among {', '.join(allowed)}.")
    return not wanted or row["entity"] in wanted


def channels(exchange: Exchange) -> Reply:
    """CH11."""
    return Reply.json({"channels": reference.CHANNELS})


def currencies(exchange: Exchange) -> Reply:
    """CUR01."""
    return Reply.json({"currencies": reference.CURRENCIES})


def locales(exchange: Exchange) -> Reply:
    """L01."""
    return Reply.json({"locales": reference.LOCALES})


def roles(exchange: Exchange) -> Reply:
    """RO02."""
    return Reply.json({"roles": reference.ROLES})


def _below(exchange: Exchange) -> set[str]:
    """Categories selected by ``hierarchy`` and ``max_level``: ancestors and descendants."""
    top = exchange.query.get("hierarchy", "")
    if not top:
        return set(reference.CATEGORIES)
    if top not in reference.CATEGORIES:
        raise ApiError(404, f"The hierarchy {top} does not exist.")
    depth = exchange.integer("max_level", 100, 0, 100)
    base = len(reference.branch(top))
    below = {
        code
        for code in reference.CATEGORIES
        if top in reference.branch(code) and len(reference.branch(code)) - base <= depth
    }
    return below | set(reference.branch(top))


def hierarchies(exchange: Exchange) -> Reply:
    """H11."""
    chosen = _below(exchange)
    return Reply.json({"hierarchies": [row for row in reference.HIERARCHIES if row["code"] in chosen]})


_COLUMNS = (
    "code",
    "label",
    "hierarchy-code",
    "type",
    "type-parameter",
    "requirement-level",
    "required",
    "variant",
    "unique-code",
    "values-list",
)


def attributes(exchange: Exchange) -> Reply:
    """PM11: JSON, or CSV when ``Accept`` says so."""
    places = {"", *_below(exchange)}
    found = [row for row in reference.ATTRIBUTES.values() if row["hierarchy_code"] in places]
    if exchange.boolean("with_roles", False):
        found = [row for row in found if row["roles"]]
    if "text/csv" not in exchange.request.headers.get("accept", ""):
        return Reply.json({"attributes": found})
    translations = ("en_US", "fr_FR")
    header = [*_COLUMNS, *(f"label[{code}]" for code in translations), "roles"]
    header += [f"description[{code}]" for code in translations]
    rows = []
    for attribute in found:
        row = {column: str(attribute[column.replace("-", "_")]) for column in _COLUMNS}
        for name in ("label", "description"):
            row |= {
                f"{name}[{entry['locale']}]": entry["value"] for entry in attribute[f"{name}_translations"]
            }
        row |= {column: row[column].lower() for column in ("required", "variant")}
        row["roles"] = ",".join(role["type"] for role in attribute["roles"])
        rows.append(row)
    return Reply(200, Table("csv", tuple(header), tuple(rows)).dump(), "text/csv")


def values_lists(exchange: Exchange) -> Reply:
    """VL11."""
    code = exchange.query.get("code", "")
    found = [row for row in reference.VALUES_LISTS if not code or row["code"] == code]
    if code and not found:
        raise ApiError(404, f"The values list {code} does not exist.")
    return Reply.json({"values_lists": found})
