"""The Marketplace and Catalog Manager instance: its shops, products, offers, documents and jobs."""

from __future__ import annotations

import copy
from collections import Counter
from typing import TYPE_CHECKING, Any

from airflow_provider_mirakl.sandbox.djust import FIRST_CLIENTS
from airflow_provider_mirakl.sandbox.documents import Documents
from airflow_provider_mirakl.sandbox.imports import ProductImports
from airflow_provider_mirakl.sandbox.mcm import Catalog
from airflow_provider_mirakl.sandbox.offers import Offers
from airflow_provider_mirakl.sandbox.platform import new_shop

if TYPE_CHECKING:
    from airflow_provider_mirakl.sandbox.world import World

Overview = tuple[str, str, tuple[str, ...], list[tuple[Any, ...]], str]

#: id, name, state
FIRST_SHOPS = (
    (2000, "Nordlys Outlet", "OPEN"),
    (2001, "Maison Olive", "OPEN"),
    (2002, "Closed Corner", "CLOSE"),
)


class Instance:
    """State of the instance."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.shops: dict[int, dict[str, Any]] = {}
        self.catalog = Catalog(world)
        self.imports = ProductImports(world)
        self.offers = Offers(world)
        self.documents = Documents(world)
        self.djust_clients: list[dict[str, Any]] = []
        self.reset()

    def reset(self) -> None:
        """Back to the first day."""
        self.shops = {shop: new_shop(shop, name, self._world.clock.iso(0)) for shop, name, _ in FIRST_SHOPS}
        for shop, _, state in FIRST_SHOPS:
            self.shops[shop]["shop_state"] = state
        for shop in sorted(
            {shop for key in self._world.settings.keys for shop in key.shops} - self.shops.keys()
        ):
            self.shops[shop] = new_shop(shop, f"Shop {shop}", self._world.clock.iso(0))
        self.catalog.reset()
        self.offers.offers.clear()
        self.documents.clear()
        self.djust_clients = copy.deepcopy(list(FIRST_CLIENTS))

    def overview(self) -> list[Overview]:
        """Tables for the page: part, title, head, rows, words for none."""
        iso, jobs = self._world.clock.iso, self._world.jobs
        latest = sorted(jobs.all.values(), key=lambda job: job.changed, reverse=True)[:30]
        states = Counter(
            (product["synchronization"], "stuck" if product["stuck"] else "")
            for product in self.catalog.products.values()
        )
        documents = sorted(self.documents.all.values(), key=lambda document: -document["id"])[:30]
        return [
            (
                "jobs",
                "Imports, synchronizations and exports",
                ("Job", "Kind", "Shop", "Status", "Changed (UTC)", "Files", "Reason"),
                [
                    (
                        job.id,
                        job.kind,
                        str(job.shop or ""),
                        job.status,
                        iso(job.changed)[11:19],
                        ", ".join(name.replace("_", " ") for name in job.files),
                        job.reason,
                    )
                    for job in latest
                ],
                "No job yet.",
            ),
            (
                "master",
                "Master products of the Catalog Manager",
                ("Synchronization", "", "Products"),
                [(status, stuck, count) for (status, stuck), count in sorted(states.items())],
                "No master products.",
            ),
            (
                "documents",
                "Shop documents",
                ("Id", "Shop", "Type", "File", "Bytes", "Uploaded (UTC)", "State"),
                [
                    (
                        str(document["id"]),
                        str(document["shop"]),
                        document["type"],
                        document["name"],
                        len(document["body"]),
                        iso(document["uploaded"])[:19],
                        "" if document["deleted"] is None else "deleted",
                    )
                    for document in documents
                ],
                "No documents yet.",
            ),
        ]

    def dump(self) -> dict[str, Any]:
        """As JSON, for a restart."""
        return {
            "shops": list(self.shops.values()),
            "products": list(self.catalog.products.values()),
            "deleted": self.catalog.deleted,
            "offers": self.offers.dump(),
            "documents": self.documents.dump(),
            "djust_clients": self.djust_clients,
            "jobs": self._world.jobs.dump(),
        }

    def load(self, saved: dict[str, Any]) -> None:
        """Replace the content by that of :meth:`dump`."""
        self.shops = {shop["shop_id"]: shop for shop in saved["shops"]}
        self.catalog.products = {product["id"]: product for product in saved["products"]}
        self.catalog.deleted = saved["deleted"]
        self.offers.load(saved["offers"])
        self.documents.load(saved["documents"])
        self.djust_clients = saved["djust_clients"]
        self._world.jobs.load(saved["jobs"])
