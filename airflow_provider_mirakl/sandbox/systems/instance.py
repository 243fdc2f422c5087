"""The Marketplace and Catalog Manager instance: its shops, products, offers, orders, documents and jobs."""

from __future__ import annotations

from typing import Any

from airflow_provider_mirakl.sandbox.machine.core import Machine
from airflow_provider_mirakl.sandbox.systems.catalog_manager import Catalog
from airflow_provider_mirakl.sandbox.systems.djust import DjustClients
from airflow_provider_mirakl.sandbox.systems.documents import Documents
from airflow_provider_mirakl.sandbox.systems.marketplace import Marketplace
from airflow_provider_mirakl.sandbox.systems.offers import Offers
from airflow_provider_mirakl.sandbox.systems.products import ProductImports
from airflow_provider_mirakl.sandbox.systems.shops import Shops


class Instance:
    """The parts of an instance, and a short way to each."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._shops = machine.add(Shops)
        self.catalog = machine.add(Catalog)
        self.imports = machine.add(ProductImports)
        self.offers = machine.add(Offers)
        self.marketplace = machine.add(Marketplace)
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
