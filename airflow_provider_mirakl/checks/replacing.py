"""Finds the offers that a replacing import would delete, because they are not in the file. Pure.

Only OF01 with ``REPLACE`` deletes offers that a file leaves out. PRI01 replaces the prices of the offers in the file
and changes no other offer; P41, STO01, OF24 and CM21 change only the items in the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from airflow_provider_mirakl.exceptions import MiraklInputError
from airflow_provider_mirakl.files.csv_table import Table

SKU = ("sku", "shop-sku", "shop_sku", "offer-sku")
"""Names of the column with the offer's id, in a file of offers."""
_SHOWN = 5


@dataclass(slots=True)
class Absent:
    """The offers that an import would delete, because they are not in its file.

    :param known: number of offers of the shop.
    :param count: number of those that are not in the file.
    :param examples: the first of them.
    """

    known: int = 0
    count: int = 0
    examples: list[str] = field(default_factory=list)

    def refuse(self, source: str, max_delete_ratio: float) -> None:
        """Reject an import that would delete too many.

        :raises MiraklInputError: it would; the first offers are listed.
        """
        # Divided, not multiplied: in floats 0.29 * 100 is less than 29, but 29 / 100 is 0.29.
        if self.count and self.count / self.known > max_delete_ratio:
            raise MiraklInputError(
                f"source: {source!r} leaves out {self.count:,} of the shop's {self.known:,} offers "
                f"({self.count / self.known:.1%}), which import_mode='REPLACE' would delete, but max_delete_ratio "
                f"allows {max_delete_ratio:.1%}; nothing was sent. Check that the file is complete. Missing, for "
                f"example: {', '.join(map(repr, self.examples))}"
            )


def named_in(table: Table) -> set[str]:
    """The ids of the offers in a file.

    :raises MiraklInputError: it does not have a column for them.
    """
    position = table.position(SKU)
    if position is None:
        raise MiraklInputError(
            f"source: {table.name} has no column {SKU[0]!r}, so it is not known which offers import_mode='REPLACE' "
            "would delete; nothing was sent. Set max_delete_ratio=1 to send it unchecked"
        )
    return {row.cells[position].strip() for row in table.rows if len(row.cells) > position}


def absent(offers: Iterable[str], named: set[str]) -> Absent:
    """Compare the shop's offers with those of the file.

    :param offers: ids of the shop's offers.
    :param named: ids in the file.
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
