"""The shops of the instance, and which of them a call is about."""

from __future__ import annotations

from typing import Any

from airflow_provider_mirakl.sandbox.machine.core import Part
from airflow_provider_mirakl.sandbox.machine.exchange import Exchange
from airflow_provider_mirakl.sandbox.machine.wire import ApiError, Problem

#: id, name, state
FIRST_SHOPS = (
    (2000, "Nordlys Outlet", "OPEN"),
    (2001, "Maison Olive", "OPEN"),
    (2002, "Closed Corner", "CLOSE"),
)


class Shops(Part):
    """Shops by their id, as A01 shows them."""

    name = "shops"
    all: dict[int, dict[str, Any]]

    def reset(self) -> None:
        """The shops of the first day, and those of the keys."""
        born = self._machine.clock.iso(0)
        self.all = {
            shop: {**new_shop(shop, name, born), "shop_state": state} for shop, name, state in FIRST_SHOPS
        }
        named = {shop for key in self._machine.settings.keys for shop in key.shops}
        for shop in sorted(named - self.all.keys()):
            self.all[shop] = new_shop(shop, f"Shop {shop}", born)

    def dump(self) -> Any:
        """As JSON, for a restart."""
        return list(self.all.values())

    def load(self, saved: Any) -> None:
        """Replace the content by that of :meth:`dump`."""
        self.all = {shop["shop_id"]: shop for shop in saved}


def new_shop(shop_id: int, name: str, created: str) -> dict[str, Any]:
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


def chosen_shop(exchange: Exchange) -> int:
    """The shop that a seller's call is about: ``shop_id``, or the default shop.

    :raises ApiError: 400 for a value that is not a number, 403 for another user's shop.
    """
    shops = exchange.principal.shops
    text = exchange.query.get("shop_id", "")
    if text and not text.isdecimal():
        raise ApiError(400, "shop_id must be a whole number.")
    shop = int(text) if text else shops[0]
    if shop not in shops:
        raise ApiError(403, f"The user of this key does not belong to the shop {shop}.")
    return shop


def shop_of(exchange: Exchange, text: str, name: str) -> int:
    """The shop that an operator names, a seller's own otherwise.

    :raises ApiError: 400 when an operator names none, 404 for one that does not exist.
    """
    if exchange.shop is not None:
        return exchange.shop
    if not text.isdecimal():
        message = f"{name} is required and must be a whole number."
        raise ApiError(400, message, problems=[Problem(message, name)])
    shop = int(text)
    if shop not in exchange.part(Shops).all:
        raise ApiError(404, f"The shop {shop} does not exist.")
    exchange.shop = shop
    return shop
