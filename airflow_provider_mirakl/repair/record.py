"""The note of a repair, kept between its tries."""

from __future__ import annotations

from dataclasses import dataclass, field

from airflow_provider_mirakl.files.notes import NoteKind
from airflow_provider_mirakl.repair.pairs import Pair
from airflow_provider_mirakl.repair.proof import ProductState


@dataclass(slots=True)
class Repair:
    """The products of a repair and its progress, kept in a note.

    :param products: the pairs.
    :param duplicates: number of repeated products.
    :param before: states by Mirakl product id; ``None`` without an instance.
    :param sent: number of products, from the first on, that were accepted: a retry continues after them.
    :param synchronized: number of products that DJUST reports as sent; ``None`` on the direct route.
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
        """The state before; ``None`` without an instance."""
        return None if self.before is None else self.before.get(pair.mirakl_product_id, ProductState())

    def forget_sent(self) -> None:
        """Note that the sent products had no effect, so that a retry sends them again."""
        self.sent, self.job_ids = 0, []


REPAIR_NOTE = NoteKind(
    file="repair.json",
    holds="which products of a repair were sent, and their states before",
    type=Repair,
    damaged="restart",
    fix="The products are sent again, which is harmless.",
)
