"""Everything that the sandbox knows: one object, touched by one event loop only."""

from __future__ import annotations

import random
from pathlib import Path

from airflow_provider_mirakl.sandbox import store
from airflow_provider_mirakl.sandbox.auth import Gate, Tokens
from airflow_provider_mirakl.sandbox.clock import Agenda, Clock
from airflow_provider_mirakl.sandbox.connect import ConnectCatalog
from airflow_provider_mirakl.sandbox.faults import Faults
from airflow_provider_mirakl.sandbox.instance import Instance
from airflow_provider_mirakl.sandbox.jobs import Jobs
from airflow_provider_mirakl.sandbox.journal import Journal
from airflow_provider_mirakl.sandbox.ledger import Ledger
from airflow_provider_mirakl.sandbox.limits import Limits
from airflow_provider_mirakl.sandbox.settings import Settings


class World:
    """The state of all systems."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = Clock(settings.speed, stepped=settings.clock == "stepped")
        self.agenda = Agenda(self.clock)
        self.random = random.Random(settings.seed)  # noqa: S311 - repeatable faults, no secret
        secrets = [client.secret for client in settings.clients]
        secrets += [key.key for key in settings.keys] + list(settings.djust_keys)
        self.journal = Journal(settings.journal_size, secrets)
        self.ledger = Ledger()
        self.limits = Limits(settings, self.clock)
        self.tokens = Tokens(settings, self.clock)
        self.gate = Gate(settings, self.tokens)
        self.faults = Faults(self.random)
        self.jobs = Jobs(self)
        self.connect = ConnectCatalog(self)
        self.instance = Instance(self)

    def reset(self) -> None:
        """Back to the first day: no products, calls, limits or faults. Time and tokens go on."""
        self.agenda.clear()
        self.journal.clear()
        self.ledger.clear()
        self.limits.clear()
        self.faults.clear()
        self.connect.clear()
        self.jobs.clear()
        self.instance.reset()

    def save(self, path: Path) -> None:
        """Write the state to a file."""
        store.save(self, path)

    def load(self, path: Path) -> None:
        """Read the state from a file."""
        store.load(self, path)
