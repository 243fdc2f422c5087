"""What an import that replaces deletes by absence: Mirakl's offers that a file does not name. Pure.

Only OF01 with ``REPLACE`` deletes what a file leaves out. PRI01 replaces the prices of the offers that the file names,
and touches no other offer; P41, STO01, OF24 and CM21 change what they name and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from airflow_provider_mirakl.exceptions import MiraklInputError
from airflow_provider_mirakl.files.csv_table import Table

SKU = ("sku", "shop-sku", "shop_sku", "offer-sku")
"""Names of the column that names an offer, in a file of offers."""
_SHOWN = 5


@dataclass(slots=True)
class Absent:
    """The offers that an import would delete because its file does not name them.

    :param known: how many offers there are.
    :param count: how many of them the file does not name.
    :param examples: the first of them.
    """

    known: int = 0
    count: int = 0
    examples: list[str] = field(default_factory=list)

    def refuse(self, source: str, max_delete_ratio: float) -> None:
        """Refuse an import that would delete too many.

        :raises MiraklInputError: naming the first of them.
        """
        # Divided, not multiplied: in floats 0.29 * 100 is less than 29, but 29 / 100 is 0.29.
        if self.count and self.count / self.known > max_delete_ratio:
            raise MiraklInputError(
                f"source: {source!r} leaves out {self.count:,} of the shop's {self.known:,} offers "
                f"({self.count / self.known:.1%}), which import_mode='REPLACE' would delete, and max_delete_ratio "
                f"allows {max_delete_ratio:.1%}; nothing was sent. Is the file complete? Left out are for instance "
                f"{', '.join(map(repr, self.examples))}"
            )


def named_in(table: Table) -> set[str]:
    """The ids of the offers that a file names.

    :raises MiraklInputError: it has no column for them.
    """
    position = table.position(SKU)
    if position is None:
        raise MiraklInputError(
            f"source: {table.name} has no column {SKU[0]!r}, so it cannot be told which offers import_mode='REPLACE' "
            "would delete; nothing was sent. Set max_delete_ratio=1 to send it unchecked"
        )
    return {row.cells[position].strip() for row in table.rows if len(row.cells) > position}


def absent(offers: Iterable[str], named: set[str]) -> Absent:
    """Compare the shop's offers with those of the file.

    :param offers: ids of the shop's offers.
    :param named: ids that the file names.
    """
    found = Absent()
    for offer in offers:
        found.known += 1
        if offer not in named:
            found.count += 1
            if len(found.examples) < _SHOWN:
                found.examples.append(offer)
    return found


def ids_of(pages: Iterable[Iterable[Mapping[str, object]]]) -> Iterator[str]:
    """The ids in pages of OF21."""
    for page in pages:
        for offer in page:
            yield str(offer.get("shop_sku", ""))
