"""What one repair remembers between its tries."""

from __future__ import annotations

from dataclasses import dataclass, field

from airflow_provider_mirakl.files.notes import NoteKind
from airflow_provider_mirakl.repair.pairs import Pair
from airflow_provider_mirakl.repair.proof import ProductState


@dataclass(slots=True)
class Repair:
    """What one run repairs, and how far it has come. Kept in a note.

    :param products: the pairs.
    :param duplicates: how often a product was listed again.
    :param before: states by Mirakl product id; ``None`` where no instance is asked.
    :param sent: how many of the products, from the first on, were accepted: a retry continues behind them.
    :param synchronized: how many of those DJUST says it sent; ``None`` on the direct route.
    :param client_specification_id: the Mirakl client configuration that DJUST used.
    :param job_ids: tracking ids of the direct route; DJUST returns none.
    """

    products: list[Pair]
    duplicates: int = 0
    before: dict[str, ProductState] | None = None
    sent: int = 0
    synchronized: int | None = None
    client_specification_id: str | None = None
    job_ids: list[str] = field(default_factory=list)

    @property
    def product_ids(self) -> list[str]:
        """Mirakl's ids of the products."""
        return [pair.mirakl_product_id for pair in self.products]

    def state_before(self, pair: Pair) -> ProductState | None:
        """The state before; ``None`` where no instance was asked."""
        return None if self.before is None else self.before.get(pair.mirakl_product_id, ProductState())

    def forget_sent(self) -> None:
        """Note that what was sent came to nothing, so that a retry sends it again."""
        self.sent, self.job_ids = 0, []


REPAIR_NOTE = NoteKind(
    file="repair.json",
    holds="which products of a repair were sent, and their states before",
    type=Repair,
    damaged="anew",
    fix="The products are sent again, which does no harm.",
)
