"""Mirakl Connect's catalog: listProducts, upsertProducts, deleteProducts.

Source: docs/mirakl-facts.md. The three share one rule:
at most once a minute each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from airflow_provider_mirakl.api.call import Call, Json, Operation, Page, encode, nothing, query
from airflow_provider_mirakl.api.paging import seek_list
from airflow_provider_mirakl.exceptions import MiraklInputError

PATH = "/api/products"
MAX_PRODUCTS = 1000
"""Products in one call, of all three operations."""
MAX_ID_LENGTH = 256

LIST_PRODUCTS = Operation("listProducts", "GET", PATH, replay=True, interval=60)
UPSERT_PRODUCTS = Operation("upsertProducts", "POST", PATH, replay=True, interval=60)
DELETE_PRODUCTS = Operation("deleteProducts", "DELETE", PATH, replay=True, interval=60)

Product = dict[str, Json]


def list_products(*, limit: int = MAX_PRODUCTS, page_token: str | None = None) -> Call[Page[Product]]:
    """List the catalog, sorted by product id. It has no filter.

    :param limit: products a page, 1 to 1,000.
    :param page_token: opaque position of a page, from the page before.
    :return: a call that returns one page.
    :raises MiraklInputError: for a limit out of range.
    """
    if not 1 <= limit <= MAX_PRODUCTS:
        raise MiraklInputError(f"limit must be 1 to {MAX_PRODUCTS:,}, not {limit}")
    return seek_list(LIST_PRODUCTS, "data", query(limit=limit), page_token=page_token)


def upsert_products(products: Sequence[Mapping[str, Json]] | bytes) -> Call[None]:
    """Create or update 1 to 1,000 products. Works like a PATCH: an absent field is not changed, ``null`` erases it.

    Mirakl answers 202 before it processes anything, and returns no id to poll.

    :param products: the products; or the encoded body ``{"products": [...]}``, sent as it is.
    :return: a call that returns nothing.
    :raises MiraklInputError: for a number of products out of range.
    """
    return Call(UPSERT_PRODUCTS, parse=nothing, body=_body(products))


def delete_products(product_ids: Iterable[str] | bytes) -> Call[None]:
    """Delete 1 to 1,000 products. Unknown ids are not an error.

    :param product_ids: the ids, 1 to 256 characters each; or the encoded body, sent as it is.
    :return: a call that returns nothing.
    :raises MiraklInputError: for a number of products out of range, or an id that cannot be one.
    """
    if isinstance(product_ids, bytes):
        return Call(DELETE_PRODUCTS, parse=nothing, body=product_ids)
    if isinstance(product_ids, str):
        raise MiraklInputError("product_ids must be a list of ids, not one text")
    ids = list(product_ids)
    for product_id in ids:
        if not 1 <= len(product_id) <= MAX_ID_LENGTH:
            raise MiraklInputError(
                f"product id {product_id[:MAX_ID_LENGTH]!r} has {len(product_id)} characters; "
                f"Connect accepts 1 to {MAX_ID_LENGTH}"
            )
    return Call(DELETE_PRODUCTS, parse=nothing, body=_body([{"id": product_id} for product_id in ids]))


def _body(products: Sequence[Mapping[str, object]] | bytes) -> bytes:
    if isinstance(products, bytes):
        return products
    if not 1 <= len(products) <= MAX_PRODUCTS:
        raise MiraklInputError(
            f"{len(products):,} products in one call; Connect accepts 1 to {MAX_PRODUCTS:,}"
        )
    return encode({"products": products})
