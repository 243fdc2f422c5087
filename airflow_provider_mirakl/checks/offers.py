"""Offers of OF24, checked against Mirakl's document before a call is made. Source: :ref:`OF24 <facts-of24>`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from airflow_provider_mirakl.api.offers import required_fields
from airflow_provider_mirakl.catalog.rows import Build
from airflow_provider_mirakl.checks.fields import Kind, compile_fields, hint
from airflow_provider_mirakl.exceptions import Problem
from airflow_provider_mirakl.files.text import unseen


def _moment(text: str) -> str:
    datetime.fromisoformat(text)
    return text


Moment = Annotated[str, AfterValidator(_moment)]
Whole32 = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]
"""A whole number of 32 bits, as Mirakl's document has them: a larger one makes the whole call unreadable."""


class _Object(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class VolumePrice(_Object):
    """A volume price."""

    quantity_threshold: Whole32
    unit_origin_price: float
    unit_discount_price: float | None = None


class Price(_Object):
    """A price of Dropship's ``retail_prices``."""

    unit_origin_price: float | None = None
    unit_discount_price: float | None = None
    discount_start_date: Moment | None = None
    discount_end_date: Moment | None = None


class ChannelPrice(Price):
    """A price of ``all_prices``."""

    channel_code: str | None = None
    volume_prices: list[VolumePrice] | None = None


class DiscountRange(_Object):
    """A volume discount."""

    quantity_threshold: Whole32
    price: float


class Discount(_Object):
    """The discount of an offer."""

    price: float | None = None
    start_date: Moment | None = None
    end_date: Moment | None = None
    ranges: list[DiscountRange] | None = None


class EcoContribution(_Object):
    """An eco-contribution. The codes of its categories grow, so Mirakl checks them."""

    epr_category_code: str
    eco_contribution_amount: float | None = None
    producer_id: str | None = None


class AdditionalField(_Object):
    """A custom field."""

    code: str
    type: str | None = None
    value: Any = None


class Offer(_Object):
    """An offer. :func:`required_fields` has the required ones."""

    shop_sku: str | None = None
    product_id: str | None = None
    product_id_type: str | None = None
    price: float | None = None
    state_code: str | None = None
    update_delete: Literal["", "update", "delete"] | None = None
    all_prices: list[ChannelPrice] | None = None
    allow_quote_requests: bool | None = None
    available_ended: Moment | None = None
    available_started: Moment | None = None
    description: str | None = None
    discount: Discount | None = None
    eco_contributions: list[EcoContribution] | None = None
    internal_description: str | None = None
    leadtime_to_ship: Whole32 | None = None
    logistic_class: str | None = None
    max_order_quantity: Whole32 | None = None
    min_order_quantity: Whole32 | None = None
    min_quantity_alert: Whole32 | None = None
    msrp: float | None = None
    offer_additional_fields: list[AdditionalField] | None = None
    package_quantity: Whole32 | None = None
    price_additional_info: str | None = None
    pricing_unit: str | None = None
    product_tax_code: str | None = None
    quantity: Whole32 | None = None
    retail_prices: list[Price] | None = None


_MODELS: dict[str, type[BaseModel]] = {
    "all_prices": ChannelPrice,
    "discount": Discount,
    "eco_contributions": EcoContribution,
    "offer_additional_fields": AdditionalField,
    "ranges": DiscountRange,
    "retail_prices": Price,
    "volume_prices": VolumePrice,
}
"""The types of the fields of an offer."""

USUAL = {
    "sku": "shop_sku",
    "offer_sku": "shop_sku",
    "product_sku": "product_id",
    "ean": "product_id",
    "gtin": "product_id",
    "state": "state_code",
    "condition": "state_code",
    "stock": "quantity",
    "available_quantity": "quantity",
    "discount_price": "discount.price",
    "discount_start_date": "discount.start_date",
    "discount_end_date": "discount.end_date",
    "discount_ranges": "discount.ranges",
    "available_start_date": "available_started",
    "available_end_date": "available_ended",
}
"""Names in OF01 and in other systems, and the fields of OF24."""


def _kind(annotation: Any) -> Kind:
    text = str(annotation)
    for words, kind in _KINDS:
        if words in text:
            return kind
    return "text"


_KINDS: tuple[tuple[str, Kind], ...] = (
    ("list[", "json"),
    ("Literal", "flag"),
    ("int", "integer"),
    ("float", "number"),
    ("bool", "boolean"),
)

COLUMNS: dict[str, Kind] = {
    **{name: _kind(field.annotation) for name, field in Offer.model_fields.items() if name != "discount"},
    "discount": "json",
    **{f"discount.{name}": _kind(field.annotation) for name, field in Discount.model_fields.items()},
}
"""The columns of a table of offers."""


def compile_offers(heading: Sequence[str], *, strip: bool = True) -> Build:
    """The builder of offers of a table's rows.

    :raises MiraklInputError: columns are not fields of OF24; every one is listed.
    """
    return compile_fields(heading, fields=COLUMNS, usual=USUAL, code="OF24", strip=strip)


def check_offer(offer: object, *, few: bool = False) -> list[Problem]:
    """Every reason why Mirakl would reject an offer of OF24, or do something unintended.

    :param offer: the offer.
    :param few: as for :func:`~airflow_provider_mirakl.api.offers.required_fields`.
    """
    if not isinstance(offer, dict):
        return [Problem(f"must be an object, not {type(offer).__name__}")]
    sku = offer.get("shop_sku")
    item_id = sku if isinstance(sku, str) else None
    faults = [
        ("is missing", field)
        for field in required_fields(offer, few=few)
        if offer.get(field) is None or (field == "shop_sku" and item_id is not None and not item_id.strip())
    ]
    faults += [
        (words, field)
        for field in ("shop_sku", "product_id")
        if isinstance(value := offer.get(field), str) and value.strip() and (words := unseen(value))
    ]
    try:
        Offer.model_validate(offer)
    except ValidationError as error:
        faults += [_fault(fault) for fault in error.errors(include_url=False, include_context=False)]
    return [Problem(words, field, item_id=item_id) for words, field in faults]


_WORDS = {
    "missing": "is missing",
    "string_type": "must be a string",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "less_than_equal": "must be a whole number of 32 bits (2,147,483,647 at most)",
    "greater_than_equal": "must be a whole number of 32 bits (-2,147,483,648 or more)",
    "float_type": "must be a number",
    "finite_number": "must be a number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "model_type": "must be an object",
    "literal_error": "must be 'update', 'delete' or empty (which means update)",
    "value_error": "must be a date-time in ISO 8601, such as 2027-01-31T00:00:00Z",
}


def _fault(fault: Any) -> tuple[str, str]:
    """The message and place of an error of pydantic."""
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault["loc"]).lstrip(".")
    if fault["type"] == "extra_forbidden":
        *above, name = [part for part in fault["loc"] if isinstance(part, str)]
        model = _MODELS[above[-1]] if above else Offer
        return f"is not a field of OF24{hint(name, model.model_fields, {} if above else USUAL)}", where
    words = _WORDS.get(fault["type"], fault["msg"])
    given = fault["input"]
    advice = "; write it without quotes" if _is_quoted_number(fault["type"], given) else ""
    shown = "" if fault["type"] == "missing" else f", not {given!r:.60}{advice}"
    return f"{words}{shown}", where


def _is_quoted_number(kind: str, given: object) -> bool:
    if kind not in ("int_type", "float_type") or not isinstance(given, str):
        return False
    try:
        float(given)
    except ValueError:
        return False
    return True
