"""Everything that the sandbox knows: the machine and the state of each system."""

from __future__ import annotations

from airflow_provider_mirakl.sandbox.machine.core import Machine
from airflow_provider_mirakl.sandbox.machine.settings import Settings
from airflow_provider_mirakl.sandbox.systems.auth import Gate
from airflow_provider_mirakl.sandbox.systems.connect import ConnectCatalog
from airflow_provider_mirakl.sandbox.systems.instance import Instance
from airflow_provider_mirakl.sandbox.systems.jobs import Jobs
from airflow_provider_mirakl.sandbox.systems.orders import Orders


class World(Machine):
    """The machine with all systems on it. Parts come after the parts that they use."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.gate = Gate(settings, self.tokens)
        self.jobs = self.add(Jobs)
        self.connect = self.add(ConnectCatalog)
        self.orders = self.add(Orders)
        self.instance = Instance(self)
