"""The caller, and how its role passes a shop: the only place that knows.

A seller names the shop in the query of every operation, ``shop_id``, and only where the user has several. The operator
and the front office name it per operation, each time by another name. Source: docs/mirakl-facts.md.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

from airflow_provider_mirakl.api.call import Params, Part, comma, query
from airflow_provider_mirakl.exceptions import MiraklConfigurationError, MiraklInputError


class ShopField(NamedTuple):
    """The parameter in which an operation of the operator or the front office takes the shop.

    :param place: ``query`` or ``part``, which is a field of the form.
    :param name: its name there.
    :param required: whether the call makes no sense without.
    """

    place: Literal["query", "part"]
    name: str
    required: bool


SHOP_FIELDS: Mapping[str, ShopField] = {
    "CM11": ShopField("query", "provider_id", required=True),
    "P41": ShopField("part", "shop", required=True),
    "P51": ShopField("query", "shop_id", required=False),
    "OF01": ShopField("part", "shop", required=True),
    "OF04": ShopField("query", "shop_id", required=False),
    "OF24": ShopField("query", "shop", required=True),
    "STO01": ShopField("part", "shop_id", required=True),
    "PRI01": ShopField("part", "shop", required=True),
    "PRI02": ShopField("query", "shop_id", required=False),
    "S30": ShopField("query", "shop_ids", required=False),
    "S31": ShopField("query", "shop_ids", required=False),
    "S32": ShopField("part", "shop_id", required=True),
}
"""By operation; an operation that is missing takes no shop in these roles."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose key it is, and which shop is meant.

    :param role: ``shop``, ``operator`` or ``front``.
    :param shop_id: the shop; ``None`` is a seller's default shop, or every shop where an operation lists.
    """

    role: str = "shop"
    shop_id: int | None = None

    def params(self, code: str) -> Params:
        """The shop as query parameters of an operation."""
        return query(**dict(self._shop(code, "query")))

    def parts(self, code: str) -> tuple[Part, ...]:
        """The shop as parts of an operation's form."""
        return tuple(Part(name, str(value).encode()) for name, value in self._shop(code, "part"))

    def check_shop(self, code: str) -> Self:
        """The caller, unless it means a shop that an operation cannot be told: it would work on every shop's data.

        :raises MiraklConfigurationError: the operation takes no shop in this role; no call was made.
        """
        if self.shop_id is not None and not self.takes_shop(code):
            raise MiraklConfigurationError(
                f"shop_id is {self.shop_id}, but {code} takes no shop from role {self.role!r}: it would concern every "
                "shop. Leave shop_id out, of the operator and of its connection, or use the key of a user of that shop",
                field="shop_id",
            )
        return self

    def takes_shop(self, code: str) -> bool:
        """Whether an operation can be told a shop."""
        return self.role == "shop" or code in SHOP_FIELDS

    @property
    def name(self) -> str:
        """What a call of this caller's shop is paced by."""
        return "" if self.shop_id is None else f"shop {self.shop_id}"

    def _shop(self, code: str, place: str) -> list[tuple[str, int]]:
        field = (
            ShopField("query", "shop_id", required=False) if self.role == "shop" else SHOP_FIELDS.get(code)
        )
        if field is None:
            return []
        if self.shop_id is None:
            if field.required:
                raise MiraklInputError(f"{code} of role {self.role} needs a shop; set shop_id")
            return []
        return [(field.name, self.shop_id)] if field.place == place else []


SELLER = Caller()
"""A seller with the user's default shop."""


def shops_params(role: str, code: str, shop_ids: Collection[int]) -> Params:
    """Several shops as query parameters of an operation that lists them, separated by commas.

    :raises MiraklInputError: several shops of a seller, whose key can only use one at a time.
    """
    if role != "shop":
        return query(**{SHOP_FIELDS[code].name: comma(shop_ids)})
    if len(shop_ids) > 1:
        raise MiraklInputError(f"shop_ids has {len(shop_ids)} shops; a shop's key can only use one at a time")
    return Caller(role, next(iter(shop_ids), None)).params(code)
