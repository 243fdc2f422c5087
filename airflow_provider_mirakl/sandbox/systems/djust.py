"""DJUST's product synchronization."""

from __future__ import annotations

import uuid
from typing import Any

from airflow_provider_mirakl.sandbox.machine.checks import array, fields, text
from airflow_provider_mirakl.sandbox.machine.core import Part
from airflow_provider_mirakl.sandbox.machine.exchange import Exchange
from airflow_provider_mirakl.sandbox.machine.wire import ApiError, Problem, Reply
from airflow_provider_mirakl.sandbox.systems import catalog_manager
from airflow_provider_mirakl.sandbox.systems.catalog_manager import Catalog

#: What DJUST starts with: one configuration that is active.
FIRST_CLIENTS = ({"id": "5f0c8a52-7c1e-4f6b-9d35-2b1a4c6e8f01", "name": "sandbox", "active": True},)


class DjustClients(Part):
    """DJUST's configurations."""

    name = "djust"
    all: list[dict[str, Any]]

    def reset(self) -> None:
        """One active configuration."""
        self.all = [dict(client) for client in FIRST_CLIENTS]

    def replace(self, document: Any) -> list[dict[str, Any]]:
        """Take configurations from JSON: ``id`` (made up if absent), ``name``, ``active``.

        :raises ValueError: if it is not a list of objects.
        """
        if not isinstance(document, list) or not all(isinstance(entry, dict) for entry in document):
            raise ValueError("the configurations are a list of objects")
        self.all = [
            {
                "id": str(entry.get("id") or uuid.uuid4()),
                "name": str(entry.get("name", f"client {number}")),
                "active": bool(entry.get("active", True)),
            }
            for number, entry in enumerate(document, 1)
        ]
        return self.all

    def dump(self) -> Any:
        """As JSON, for a restart."""
        return self.all

    def load(self, saved: Any) -> None:
        """Replace the content by that of :meth:`dump`."""
        self.all = saved


_BODY = fields(
    {
        "products": array(
            fields(
                {"miraklProductId": text(1), "productSku": text(1)},
                frozenset({"miraklProductId", "productSku"}),
                strict=False,
            ),
            1,
        )
    },
    frozenset({"products"}),
    strict=False,
)


def _client(exchange: Exchange, wanted: Any) -> dict[str, Any]:
    clients = exchange.part(DjustClients).all
    active = [client for client in clients if client["active"]]
    if wanted is not None:
        try:
            key = str(uuid.UUID(wanted))
        except (ValueError, AttributeError, TypeError) as error:
            raise ApiError(400, "clientSpecificationId is not a UUID.", "F-E-012") from error
        found = next((client for client in clients if client["id"] == key), None)
        if found is None:
            raise ApiError(404, f"The clientSpecificationId {key} does not exist.", "F-E-002")
        if not found["active"]:
            raise ApiError(400, f"The Mirakl client {key} is not active.", "F-E-008")
        return found
    if not active:
        raise ApiError(400, "No active Mirakl client is configured.", "F-E-001")
    if len(active) > 1:
        ids = ", ".join(client["id"] for client in active)
        raise ApiError(
            400, f"Several Mirakl clients are active, choose a clientSpecificationId: {ids}", "F-E-001"
        )
    return active[0]


async def synchronize(exchange: Exchange) -> Reply:
    """ADM-MIRAKL-100: confirms products to Mirakl; the count is the number sent, without unknown products."""
    header = exchange.request.headers.get("dj-client", "")
    if header != "OPERATOR":
        status, words = (403, "is not allowed") if header else (400, "is required")
        raise ApiError(
            status, f"dj-client {words}: this operation is for OPERATOR only.", "" if header else "F-E-001"
        )
    document = await exchange.json()
    problems: list[Problem] = []
    _BODY(document, "$", problems)
    if problems:
        named = [Problem(f"{p.field.removeprefix('$.')} {p.message}", p.field, "F-E-001") for p in problems]
        raise ApiError(400, named[0].message, "F-E-001", named)
    client = _client(exchange, document.get("clientSpecificationId"))
    catalog = exchange.part(Catalog)
    pairs = {(entry["miraklProductId"], entry["productSku"]) for entry in document["products"]}
    known = sorted(pair for pair in pairs if pair[0] in catalog.products)
    items = [{"mirakl_product_id": key, "product_sku": sku} for key, sku in known]
    if items:
        catalog_manager.submit_synchronization(exchange, items, "ADM-MIRAKL-100")
    exchange.items = len(document["products"])
    return Reply.json({"synchronizedProducts": len(items), "clientSpecificationId": client["id"]})
