"""DJUST's product synchronization, ADM-MIRAKL-100. Source: docs/mirakl-facts.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from airflow_provider_mirakl.api.call import Call, Operation, Reply, encode

SYNCHRONIZE_PRODUCTS = Operation(
    "ADM-MIRAKL-100", "POST", "/v1/mapper/mirakl/product-synchronizations", replay=True
)


@dataclass(frozen=True, slots=True)
class ProductSynchronization:
    """What DJUST answers.

    :param synchronized_products: how many were sent for synchronization; not how many Mirakl accepted.
    :param client_specification_id: the Mirakl client configuration that was used.
    """

    synchronized_products: int
    client_specification_id: str


def synchronize_products(
    products: Sequence[tuple[str, str]], *, client_specification_id: str | None = None
) -> Call[ProductSynchronization]:
    """Trigger CM21 for chosen products through DJUST.

    An empty list is sent as it is: DJUST refuses it with 400, which is how a connection is tested.

    :param products: pairs of Mirakl product id and DJUST product SKU.
    :param client_specification_id: the Mirakl client configuration; ``None`` lets DJUST resolve it.
    """
    body: dict[str, object] = {
        "products": [{"miraklProductId": product_id, "productSku": sku} for product_id, sku in products]
    }
    if client_specification_id is not None:
        body["clientSpecificationId"] = client_specification_id
    return Call(SYNCHRONIZE_PRODUCTS, parse=_parse, body=encode(body))


def _parse(reply: Reply) -> ProductSynchronization:
    count = reply.json_object().get("synchronizedProducts")
    if not isinstance(count, int) or isinstance(count, bool):
        raise reply.unreadable("a number under 'synchronizedProducts'", count)
    return ProductSynchronization(count, reply.text("clientSpecificationId"))
