"""Shops and platform settings of the instance (facts, section 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_mirakl.sandbox.exchange import Exchange
from airflow_provider_mirakl.sandbox.wire import ApiError, Reply

if TYPE_CHECKING:
    from airflow_provider_mirakl.sandbox.world import World

_CONFIGURATION: dict[str, Any] = {
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


def _shop(shop_id: int, name: str, created: str) -> dict[str, Any]:
    address = {"city": "Lyon", "country_iso_code": "FRA", "street_1": "1 rue du Bac", "zip_code": "69002"}
    return {
        "shop_id": shop_id,
        "shop_name": name,
        "shop_state": "OPEN",
        "model": "MARKETPLACE",
        "currency_iso_code": "EUR",
        "date_created": created,
        "last_updated_date": created,
        "channels": ["INIT"],
        "domains": ["PRODUCT"],
        "description": f"{name} is a shop of the sandbox.",
        "is_professional": True,
        "premium": False,
        "free_shipping": False,
        "payment_method_mandatory": True,
        "grade": 4.5,
        "approval_rate": 0.98,
        "approval_delay": 5400,
        "order_messages_response_delay": 3600,
        "evaluations_count": 12,
        "offers_count": 0,
        "orders_count": 0,
        "kyc": {"status": "PENDING_SUBMISSION"},
        "contact_informations": {
            "city": "Lyon",
            "country": "FRA",
            "email": f"shop-{shop_id}@example.com",
            "firstname": "Camille",
            "lastname": "Martin",
            "street1": "1 rue du Bac",
            "web_site": "https://shop.example.com",
            "zip_code": "69002",
        },
        "default_billing_information": {
            "id": f"00000000-0000-4000-8000-{shop_id:012d}",
            "default_language": "fr_FR",
            "registration_address": address,
        },
        "payment_details": {"paid_balance": 0, "payable_balance": 0, "pending_balance": 0},
        "payment_info": {"@type": "IBAN", "owner": name, "bank_name": "Sandbox Bank", "bic": "AGRIFRPPXXX"},
        "producer_identifiers": [],
        "return_policy": "Thirty days.",
        "shipping": {"lead_time_to_ship": 2},
        "shipping_country": "FRA",
        "shippings": [],
        "shop_additional_fields": [],
        "billing_info": {"owner": name, "bic": "AGRIFRPPXXX"},
        "pro_details": {"corporate_name": f"{name} SAS", "identification_number": f"8{shop_id:08d}"},
        "shipping_types": ["STD"],
        "shipping_zones": ["FR"],
    }


class Instance:
    """State of the Marketplace and Catalog Manager instance."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.configuration = _CONFIGURATION
        self.shops: dict[int, dict[str, Any]] = {}
        self.reset()

    def reset(self) -> None:
        """Back to the first day."""
        created = self._world.clock.iso(0)
        self.shops = {
            2000: _shop(2000, "Nordlys Outlet", created),
            2001: _shop(2001, "Maison Olive", created),
            2002: _shop(2002, "Closed Corner", created),
        }
        self.shops[2002]["shop_state"] = "CLOSE"

    def overview(self) -> list[tuple[str, str, tuple[str, ...], list[tuple[Any, ...]], str]]:
        """Tables for the page: part, title, head, rows, words for none."""
        return []

    def dump(self) -> dict[str, Any]:
        """As JSON, for a restart."""
        return {"shops": list(self.shops.values())}

    def load(self, saved: dict[str, Any]) -> None:
        """Replace the content by that of :meth:`dump`."""
        self.shops = {shop["shop_id"]: shop for shop in saved["shops"]}


def chosen_shop(exchange: Exchange) -> int:
    """The shop that a seller's call is about: ``shop_id``, or the default shop.

    :raises ApiError: 400 for a value that is no number, 403 for a shop of somebody else.
    """
    shops = exchange.principal.shops
    text = exchange.query.get("shop_id", "")
    if text and not text.isdigit():
        raise ApiError(400, "shop_id must be a whole number.")
    shop = int(text) if text else shops[0]
    if shop not in shops:
        raise ApiError(403, f"The user of this key does not belong to the shop {shop}.")
    return shop


def version(exchange: Exchange) -> Reply:
    """V01: says that the service is up; asks for no authentication."""
    return Reply.json({"version": "sandbox"})


def configuration(exchange: Exchange) -> Reply:
    """PC01."""
    return Reply.json(exchange.world.instance.configuration)


def account(exchange: Exchange) -> Reply:
    """A01: the seller's shop."""
    assert exchange.shop is not None  # noqa: S101 - the gate chose it
    return Reply.json(exchange.world.instance.shops[exchange.shop])
