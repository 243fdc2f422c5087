"""Connect's product as plain pydantic models: the usual code without the engine."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


Locale = Annotated[str, Field(pattern=r"^[a-z]{2,3}(_[A-Z]{2})?$")]
Text255 = Annotated[str, Field(max_length=255)]
Name255 = Annotated[str, Field(min_length=1, max_length=255)]


class Title(Part):
    locale: Locale
    value: Text255


class Description(Part):
    locale: Locale
    value: Annotated[str, Field(max_length=6000)]


class Category(Part):
    labels: list[Title]
    id: Name255 | None = None


class Gtin(Part):
    value: Annotated[str, Field(pattern=r"^([0-9]{8}|[0-9]{12,13})$")]


class Image(Part):
    url: Annotated[str, Field(pattern=r"^https?://")]


class AttributeString(Part):
    id: Name255
    name: Name255
    type: Literal["STRING"]
    value: Annotated[str, Field(max_length=2000)]


class AttributeNumeric(Part):
    id: Name255
    name: Name255
    type: Literal["NUMERIC"]
    value: Annotated[float, Field(ge=-1_000_000_000, le=1_000_000_000)]


class AttributeBoolean(Part):
    id: Name255
    name: Name255
    type: Literal["BOOLEAN"]
    value: bool


class Quantity(Part):
    available_quantity: Annotated[int, Field(ge=0, le=1_000_000_000)]
    warehouse_code: Annotated[str, Field(min_length=1)] | None = None


class Money(Part):
    amount: Annotated[float, Field(ge=0)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]


class Price(Part):
    price: Money
    scope: Text255 | None = None
    start_date: str | None = None
    end_date: str | None = None


Attribute = Annotated[AttributeString | AttributeNumeric | AttributeBoolean, Field(discriminator="type")]


class Product(Part):
    id: Annotated[str, Field(min_length=1, max_length=256)]
    titles: Annotated[list[Title], Field(max_length=10)] | None = None
    descriptions: Annotated[list[Description], Field(max_length=10)] | None = None
    brand: Text255 | None = None
    category: Category | None = None
    gtins: Annotated[list[Gtin], Field(max_length=10)] = []
    images: Annotated[list[Image], Field(max_length=15)] | None = None
    attributes: Annotated[list[Attribute], Field(max_length=1000)] | None = None
    quantities: Annotated[list[Quantity], Field(min_length=1, max_length=20)] = []
    standard_prices: Annotated[list[Price], Field(min_length=1, max_length=10)] = []
    discount_prices: Annotated[list[Price], Field(max_length=10)] | None = None
