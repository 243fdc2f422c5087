"""The Marketplace and Catalog Manager instance: its shops, products, offers, documents and jobs."""

from __future__ import annotations

from collections import Counter
from typing import Any

from airflow_provider_mirakl.sandbox.machine.core import Machine
from airflow_provider_mirakl.sandbox.systems.catalog_manager import Catalog
from airflow_provider_mirakl.sandbox.systems.djust import DjustClients
from airflow_provider_mirakl.sandbox.systems.documents import Documents
from airflow_provider_mirakl.sandbox.systems.jobs import Jobs
from airflow_provider_mirakl.sandbox.systems.offers import Offers
from airflow_provider_mirakl.sandbox.systems.products import ProductImports
from airflow_provider_mirakl.sandbox.systems.shops import Shops

Overview = tuple[str, str, tuple[str, ...], list[tuple[Any, ...]], str]


class Instance:
    """The parts of an instance, and a short way to each."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._shops = machine.add(Shops)
        self.catalog = machine.add(Catalog)
        self.imports = machine.add(ProductImports)
        self.offers = machine.add(Offers)
        self.documents = machine.add(Documents)
        self.djust = machine.add(DjustClients)

    @property
    def shops(self) -> dict[int, dict[str, Any]]:
        """Shops by their id."""
        return self._shops.all

    @property
    def djust_clients(self) -> list[dict[str, Any]]:
        """DJUST's configurations."""
        return self.djust.all

    def overview(self) -> list[Overview]:
        """Tables for the page: part, title, head, rows, words for none."""
        iso, jobs = self._machine.clock.iso, self._machine.part(Jobs)
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
