"""The six uses of CM21, checked before a call is made. Source: :ref:`CM21 <facts-cm21>`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from airflow_provider_mirakl.catalog.rows import Build
from airflow_provider_mirakl.checks.fields import Kind, compile_fields, hint
from airflow_provider_mirakl.exceptions import Problem
from airflow_provider_mirakl.files.text import unseen

FIELDS = frozenset(
    {
        "mirakl_product_id", "product_sku", "operation", "data", "acceptance", "integration_errors", "catalogs",
        "product_urls", "selling_authorization",
    }
)  # fmt: skip
OPERATIONS = ("CREATE_UPDATE", "DELETE")
DECISIONS = ("ACCEPTED", "REJECTED", "CHANGES_REQUESTED", "TO_REVIEW")
USES = (
    "confirm {mirakl_product_id, product_sku}; report errors {mirakl_product_id, integration_errors}; create "
    "{product_sku, data}; decide {mirakl_product_id or product_sku, acceptance}; update {product_sku, "
    "mirakl_product_id, data}; delete {mirakl_product_id, operation: DELETE}"
)

COLUMNS: dict[str, Kind] = {
    "mirakl_product_id": "text",
    "product_sku": "text",
    "operation": "text",
    "data": "json",
    "acceptance": "json",
    "acceptance.status": "text",
    "acceptance.reason_code": "text",
    "acceptance.message": "text",
    "integration_errors": "json",
    "catalogs": "json",
    "product_urls": "json",
    "selling_authorization": "json",
}
"""The columns of a table of products; those of attributes are named ``data.`` and the attribute's code."""
USUAL = {
    "sku": "product_sku",
    "shop_sku": "product_sku",
    "product_id": "mirakl_product_id",
    "status": "acceptance.status",
    "reason_code": "acceptance.reason_code",
}
"""Other names for them, and which are meant."""


def compile_products(heading: Sequence[str], *, strip: bool = True) -> Build:
    """The builder of products of a table's rows.

    :raises MiraklInputError: every column that is not a field of CM21.
    """
    return compile_fields(heading, fields=COLUMNS, open_field="data", usual=USUAL, code="CM21", strip=strip)


def check_product(product: object) -> list[Problem]:
    """Every reason why Mirakl would reject an element of CM21, or do something unintended.

    :param product: the element.
    """
    if not isinstance(product, Mapping):
        return [Problem(f"must be an object, not {type(product).__name__}")]
    item_id = product.get("product_sku") or product.get("mirakl_product_id")
    name = item_id if isinstance(item_id, str) else None
    return [Problem(message, where, item_id=name) for where, message in _faults(product)]


def _faults(product: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for field in sorted(product.keys() - FIELDS):
        meant = hint(field, FIELDS, USUAL) or f"; those are {', '.join(sorted(FIELDS))}"
        yield field, f"is not a field of CM21{meant}"
    for field in ("mirakl_product_id", "product_sku"):
        value = product.get(field)
        if value is not None and (not isinstance(value, str) or not value.strip()):
            yield field, "must be a string that is not empty"
        elif value is not None and (words := unseen(value)):
            yield field, words
    if product.get("operation") not in (None, *OPERATIONS):
        yield "operation", f"must be {' or '.join(OPERATIONS)}, not {product['operation']!r}"
    yield from _use(product)
    if product.get("acceptance") is not None:
        yield from _decision("acceptance", product["acceptance"])
    yield from _lists(product)


def _use(product: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Check which fields may be combined."""
    has = {field for field, value in product.items() if value not in (None, "", [], {})}
    content = has - {"mirakl_product_id", "product_sku", "operation"}
    if product.get("operation") == "DELETE":
        if "mirakl_product_id" not in has:
            yield "mirakl_product_id", "is missing; it identifies the product to delete"
        for field in sorted(content):
            yield field, "cannot be combined with operation DELETE"
        return
    if not has & {"mirakl_product_id", "product_sku"}:
        yield "", "does not identify a product; set mirakl_product_id, product_sku or both"
        return
    if not content and not {"mirakl_product_id", "product_sku"} <= has:
        yield "", f"contains nothing to do with the product. The uses are: {USES}"
    if "integration_errors" in has and "mirakl_product_id" not in has:
        yield "mirakl_product_id", "is missing; it identifies the product of integration errors"


def _decision(where: str, decision: object) -> Iterable[tuple[str, str]]:
    if not isinstance(decision, Mapping):
        yield where, "must be an object with a status"
        return
    status, channels = decision.get("status"), decision.get("channels")
    if status is None and where == "acceptance" and channels:
        pass  # decisions for channels only
    elif status not in DECISIONS:
        yield f"{where}.status", f"must be {', '.join(DECISIONS[:-1])} or {DECISIONS[-1]}, not {status!r}"
    elif status != "ACCEPTED" and not decision.get("reason_code"):
        yield f"{where}.reason_code", f"is missing; {status} requires it"
    if where != "acceptance" and not decision.get("code"):
        yield f"{where}.code", "is missing; it identifies the channel"
    if channels is not None:
        if not isinstance(channels, list):
            yield f"{where}.channels", "must be a list"
            return
        for index, channel in enumerate(channels):
            yield from _decision(f"{where}.channels[{index}]", channel)


def _lists(product: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    if product.get("data") is not None and not isinstance(product["data"], Mapping):
        yield "data", "must be an object of attribute codes and values"
    for field in ("integration_errors", "catalogs", "product_urls"):
        if product.get(field) is not None and not isinstance(product[field], list):
            yield field, "must be a list"
    urls = product.get("product_urls")
    for index, url in enumerate(urls if isinstance(urls, list) else ()):
        if not isinstance(url, Mapping) or not url.get("qualifier") or not url.get("link"):
            yield f"product_urls[{index}]", "needs qualifier and link"
    selling = product.get("selling_authorization")
    if selling is not None and not (
        isinstance(selling, Mapping)
        and isinstance(selling.get("restricted"), bool)
        and isinstance(selling.get("authorized_selling_shop_ids"), list)
    ):
        yield (
            "selling_authorization",
            "needs restricted (true or false) and authorized_selling_shop_ids (a list)",
        )
