"""The machine that every system runs on, and the slot for the state of a system."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, TypeVar, cast

from airflow_provider_mirakl.sandbox.machine.clock import Agenda, Clock
from airflow_provider_mirakl.sandbox.machine.faults import Faults
from airflow_provider_mirakl.sandbox.machine.journal import Journal
from airflow_provider_mirakl.sandbox.machine.ledger import Ledger
from airflow_provider_mirakl.sandbox.machine.limits import Limits
from airflow_provider_mirakl.sandbox.machine.settings import Settings
from airflow_provider_mirakl.sandbox.machine.tokens import Tokens

P = TypeVar("P", bound="Part")


class Part:
    """The state of one system.

    A system finds the state of another one by its class, ``machine.part(Jobs)``. So the machine need not know the
    systems, and the import graph has no circle.
    """

    #: Its key in the state file.
    name: ClassVar[str]

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def reset(self) -> None:
        """Back to the first day."""

    def dump(self) -> Any:
        """The state as JSON, for a restart."""
        return None

    def load(self, saved: Any) -> None:
        """Replace the state by that of :meth:`dump`."""

    def lines(self) -> Iterator[bytes]:
        """State that is too large for :meth:`dump`, as JSON lines."""
        return iter(())

    def load_lines(self, lines: Iterable[bytes]) -> None:
        """Replace the state by that of :meth:`lines`."""


class Machine:
    """Time, books, limits and faults, touched by one event loop only."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = Clock(settings.speed, stepped=settings.clock == "stepped")
        self.agenda = Agenda(self.clock)
        self.random = random.Random(settings.seed)  # noqa: S311 - repeatable faults, not a secret
        secrets = [client.secret for client in settings.clients]
        secrets += [key.key for key in settings.keys] + list(settings.djust_keys)
        self.journal = Journal(settings.journal_size, secrets)
        self.ledger = Ledger()
        self.limits = Limits(settings, self.clock)
        self.tokens = Tokens(settings, self.clock)
        self.faults = Faults(self.random)
        self.parts: dict[type[Part], Part] = {}

    def add(self, kind: type[P]) -> P:
        """Create the state of a system. The systems that it builds on must exist."""
        part = kind(self)
        self.parts[kind] = part
        part.reset()
        return part

    def part(self, kind: type[P]) -> P:
        """The state of a system."""
        return cast("P", self.parts[kind])

    def reset(self) -> None:
        """Reset to the start: no products, calls, limits or faults. Time and tokens are kept."""
        for book in (self.agenda, self.journal, self.ledger, self.limits, self.faults):
            book.clear()
        for part in self.parts.values():
            part.reset()
