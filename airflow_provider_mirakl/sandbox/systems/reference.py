"""Settings of the instance: the answers of H11, PM11, VL11 and the platform calls, and the rules for imports."""

from __future__ import annotations

import re
from typing import Any

CHANNELS = [
    {"code": "INIT", "label": "Main channel", "description": "Every product is offered here."},
    {"code": "OUTLET", "label": "Outlet", "description": "Last items at lower prices."},
]
CURRENCIES = [
    {"code": "EUR", "label": "Euro", "platform_default": True},
    {"code": "GBP", "label": "Pound sterling", "platform_default": False},
]
LOCALES = [
    {"code": "fr_FR", "label": "Français (France)", "platform_default": True},
    {"code": "en_US", "label": "English (United States)", "platform_default": False},
    {"code": "de", "label": "Deutsch", "platform_default": False},
]
ROLES = [
    {"code": "ROLE_SHOP_ADMIN", "description": "May do everything in the shop."},
    {"code": "ROLE_PARTNER_PRODUCT_WRITE", "description": "Imports products."},
    {"code": "ROLE_PARTNER_OFFER_WRITE", "description": "Imports offers."},
    {"code": "ROLE_PARTNER_SHOP_DOCUMENT_READ", "description": "Reads the documents of the shop."},
]
_PAPER = ["application/pdf", "image/jpeg", "image/png"]
DOCUMENTS: list[dict[str, Any]] = [
    {
        "code": "BUSINESS_REGISTRATION",
        "label": "Business registration",
        "entity": "SHOP",
        "mime_types": _PAPER,
    },
    {"code": "IDENTITY_PROOF", "label": "Proof of identity", "entity": "SHOP", "mime_types": _PAPER},
    {"code": "BANK_DETAILS", "label": "Bank details", "entity": "SHOP", "mime_types": _PAPER},
    {
        "code": "INSURANCE",
        "label": "Insurance certificate",
        "entity": "SHOP",
        "mime_types": ["application/pdf"],
    },
    {"code": "PRICE_LIST", "label": "Price list", "entity": "SHOP"},
    {"code": "CUSTOMER_INVOICE", "label": "Invoice", "entity": "ORDER", "mime_types": ["application/pdf"]},
]
FIELDS: list[dict[str, Any]] = [
    {
        "code": "segment",
        "label": "Segment",
        "entity": "SHOP",
        "type": "LIST",
        "accepted_values": ["S", "M", "L"],
    },
    {"code": "contract-signed", "label": "Contract signed", "entity": "SHOP", "type": "BOOLEAN"},
    {"code": "warranty", "label": "Warranty in months", "entity": "OFFER", "type": "NUMERIC"},
    {"code": "gift-wrap", "label": "Gift wrap", "entity": "ORDER_LINE", "type": "BOOLEAN"},
    {"code": "delivery-note", "label": "Delivery note", "entity": "ORDER", "type": "STRING"},
]
PERIODS = ("ALL_SINCE_BEGINNING", "LAST_MONTH", "LAST_THREE_MONTHS", "LAST_SIX_MONTHS", "LAST_YEAR")
STATISTICS: dict[str, float] = {
    "approval_delay": 5400,
    "approval_rate": 0.98,
    "auto_refused_rate": 0.0,
    "average_cart": 61.3,
    "average_cart_with_shipping": 66.2,
    "cancelation_rate": 0.01,
    "consecutive_refused_orders_count": 0,
    "evaluations_count": 12,
    "grade": 4.5,
    "incident_rate": 0.02,
    "late_shipment_rate": 0.03,
    "offers_count": 0,
    "order_messages_response_delay": 3600,
    "orders_count": 41,
    "refund_rate": 0.01,
    "return_rate": 0.02,
    "shipping_delay": 86400,
    "total_revenue": 2513.3,
    "valid_tracking_rate": 0.97,
}

#: code, parent, level, English, French
_CATEGORIES = (
    ("electronics", "", 1, "Electronics", "Électronique"),
    ("smartphones", "electronics", 2, "Smartphones", "Smartphones"),
    ("headphones", "electronics", 2, "Headphones", "Casques audio"),
    ("home", "", 1, "Home", "Maison"),
    ("coffee-makers", "home", 2, "Coffee makers", "Machines à café"),
    ("desk-lamps", "home", 2, "Desk lamps", "Lampes de bureau"),
    ("outdoor", "", 1, "Outdoor", "Plein air"),
    ("hiking-boots", "outdoor", 2, "Hiking boots", "Chaussures de randonnée"),
    ("backpacks", "outdoor", 2, "Backpacks", "Sacs à dos"),
)


def _translated(english: str, french: str) -> list[dict[str, str]]:
    return [{"locale": "en_US", "value": english}, {"locale": "fr_FR", "value": french}]


HIERARCHIES = [
    {
        "code": code,
        "parent_code": parent,
        "level": level,
        "label": english,
        "label_translations": _translated(english, french),
    }
    for code, parent, level, english, french in _CATEGORIES
]
CATEGORIES: dict[str, str] = {code: parent for code, parent, *_ in _CATEGORIES}

_VALUES = {
    "brands": (
        "Brands",
        "Marques",
        ("Nordlys", "Akeba", "Veltro", "Brightwater", "Kusari", "Ferrum", "Oakline"),
    ),
    "colors": ("Colours", "Couleurs", ("black", "white", "blue", "green", "red", "grey")),
    "materials": ("Materials", "Matières", ("wood", "metal", "glass", "cotton", "leather")),
}
VALUES_LISTS = [
    {
        "code": code,
        "label": english,
        "label_translations": _translated(english, french),
        "values": [
            {"code": value.lower(), "label": value, "label_translations": _translated(value, value)}
            for value in values
        ],
    }
    for code, (english, french, values) in _VALUES.items()
]
VALUES: dict[str, frozenset[str]] = {
    code: frozenset(values) | {value.lower() for value in values} for code, (_, _, values) in _VALUES.items()
}

LONGEST = {"title": 255, "description": 6000}
"""Characters that a value may have."""
SKU = "shop_sku"
CATEGORY = "category"
#: code, English, French, type, level, role, category, values list
_ATTRIBUTES = (
    (CATEGORY, "Category", "Catégorie", "TEXT", "REQUIRED", "CATEGORY", "", ""),
    (SKU, "Shop SKU", "SKU boutique", "TEXT", "REQUIRED", "SHOP_SKU", "", ""),
    ("title", "Title", "Titre", "TEXT", "REQUIRED", "TITLE", "", ""),
    ("description", "Description", "Description", "LONG_TEXT", "OPTIONAL", "DESCRIPTION", "", ""),
    ("brand", "Brand", "Marque", "LIST", "RECOMMENDED", "BRAND", "", "brands"),
    ("ean", "EAN", "EAN", "TEXT", "REQUIRED", "UNIQUE_IDENTIFIER", "", ""),
    ("main_image", "Main image", "Image principale", "MEDIA", "RECOMMENDED", "MAIN_IMAGE", "", ""),
    (
        "variant_group",
        "Variant group",
        "Groupe de variantes",
        "TEXT",
        "OPTIONAL",
        "VARIANT_GROUP_CODE",
        "",
        "",
    ),
    ("color", "Colour", "Couleur", "LIST", "OPTIONAL", "", "", "colors"),
    ("materials", "Materials", "Matières", "LIST_MULTIPLE_VALUES", "OPTIONAL", "", "", "materials"),
    ("released", "Released", "Sortie", "DATE", "OPTIONAL", "", "", ""),
    ("weight", "Weight (g)", "Poids (g)", "INTEGER", "OPTIONAL", "", "", ""),
    ("battery", "Battery (mAh)", "Batterie (mAh)", "INTEGER", "REQUIRED", "", "smartphones", ""),
    ("volume", "Volume (l)", "Volume (l)", "INTEGER", "REQUIRED", "", "backpacks", ""),
)


def _attribute(row: tuple[str, ...]) -> dict[str, Any]:
    code, english, french, kind, level, role, category, values = row
    parameters = [{"name": "LIST_CODE", "value": values}] if values else []
    if kind == "DATE":
        parameters = [{"name": "PATTERN", "value": "yyyy-MM-dd"}]
    return {
        "code": code,
        "label": english,
        "label_translations": _translated(english, french),
        "description": f"{english} of the product.",
        "description_translations": _translated(f"{english} of the product.", f"{french} du produit."),
        "hierarchy_code": category,
        "type": kind,
        "type_parameter": values,
        "type_parameters": parameters,
        "requirement_level": level,
        "required": level == "REQUIRED",
        "roles": [{"type": role, "parameters": []}] if role else [],
        "variant": code == "color",
        "values": [],
        "values_list": values,
        "validations": f"MAX_LENGTH|{LONGEST[code]}" if code in LONGEST else "",
        "unique_code": "EAN" if code == "ean" else "",
        "channels": [{"code": "INIT"}],
    }


ATTRIBUTES: dict[str, dict[str, Any]] = {row[0]: _attribute(row) for row in _ATTRIBUTES}


def branch(category: str) -> list[str]:
    """A category and its ancestors."""
    found = []
    while category:
        found.append(category)
        category = CATEGORIES.get(category, "")
    return found


def required(category: str) -> list[str]:
    """Attributes that a product of a category must have."""
    places = {"", *branch(category)}
    return [
        code
        for code, attribute in ATTRIBUTES.items()
        if attribute["requirement_level"] == "REQUIRED" and attribute["hierarchy_code"] in places
    ]


def problems(row: dict[str, str]) -> list[tuple[str, str, str]]:
    """Problems of a product: (code, attribute, message)."""
    found = []
    for code, value in row.items():
        if not value:
            continue
        attribute = ATTRIBUTES.get(code)
        if attribute is None:
            found.append(("1001", code, f"The attribute {code} is unknown."))
        elif attribute["type"] == "LIST" and value not in VALUES[attribute["values_list"]]:
            found.append(("2004", code, f"The value {value} is not in the list {attribute['values_list']}."))
        elif attribute["type"] == "LIST_MULTIPLE_VALUES":
            unknown = [one for one in value.split("|") if one.strip() not in VALUES[attribute["values_list"]]]
            words = f"The value {', '.join(unknown)} is not in the list {attribute['values_list']}."
            found += [("2004", code, words)] if unknown else []
        elif attribute["type"] == "DATE" and not re.fullmatch(r"\d{4}-\d\d-\d\d", value):
            found.append(("2005", code, f"The value {value} is not a date of the form yyyy-MM-dd."))
        elif len(value) > LONGEST.get(code, len(value)):
            found.append(("2006", code, f"The value has more than {LONGEST[code]} characters."))
        elif attribute["type"] == "INTEGER" and not value.removeprefix("-").isdecimal():
            found.append(("2003", code, f"The value {value} is not a whole number."))
    category = row.get(CATEGORY, "")
    if category and category not in CATEGORIES:
        found.append(("1002", CATEGORY, f"The category {category} does not exist."))
    missing = [code for code in required(category) if not row.get(code)]
    found += [("1000", code, f"The attribute {code} is required.") for code in missing]
    return found
