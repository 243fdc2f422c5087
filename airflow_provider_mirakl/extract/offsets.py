"""The pages of a listing by offset, joined so that no row is missed while rows enter and leave the listing.

An offset counts rows. When a row leaves the listing, such as an order that leaves the state that was asked for, every
later row moves forward by one, and the row at the border of two pages would never be read. So a page begins a few rows
before the end of the previous one, and has to show that it joins it. The *edge* is the furthest value read of the field
by which Mirakl sorts the rows.

==========================================  ================================================================
the page                                    what it means
==========================================  ================================================================
has the offset 0                            nothing can come before it
contains a row of the last pages            nothing between them and this page is missing
begins before the edge                      the same; rows that entered moved the later ones back
begins at or after the edge, or is empty    rows left, and some may have moved before it: the walk goes back
==========================================  ================================================================

This holds only for an order that never changes, such as the one by creation. Without a field by which the rows are
sorted, pages follow each other as Mirakl links them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime

from airflow_provider_mirakl.api.call import Json, Params
from airflow_provider_mirakl.api.values import moment_of
from airflow_provider_mirakl.exceptions import MiraklConfigurationError

PAGE_SIZE = 100
"""Rows that a page is asked for, where the user asks for no other number."""
MOST_RETURNS = 10
"""How often the walk may go back without a new row, before the listing counts as one that cannot be read."""
_SHARE = 20
"""One row in so many is read twice, as long as nothing leaves the listing."""
_RECENT_PAGES = 3
"""Pages whose rows are recognized when they come again."""


@dataclass(frozen=True, slots=True)
class OffsetPage:
    """A page of a listing that is sorted by a time.

    :param params: its query.
    :param items: its rows.
    :param sorted_by: the field by which they are sorted.
    """

    params: Params
    items: Sequence[Mapping[str, Json]]
    sorted_by: str

    @property
    def offset(self) -> int:
        """The number of rows before it."""
        return int(dict(self.params).get("offset", 0))

    def joins(self, recent: AbstractSet[str], ids: Sequence[str], edge: datetime | None) -> bool:
        """Whether no row can be missing between the last pages and this one.

        :param recent: ids of the rows of the last pages.
        :param ids: ids of the rows of this one.
        :param edge: the edge before this page.
        """
        if self.offset == 0 or not recent.isdisjoint(ids):
            return True
        begins = moment_of(self.items[0].get(self.sorted_by)) if self.items else None
        if begins is None or edge is None:
            return False
        return begins > edge if self._descending else begins < edge

    def edge(self, before: datetime | None) -> datetime | None:
        """The edge after this page.

        :param before: the edge before it.
        """
        found = [before, *(moment_of(row.get(self.sorted_by)) for row in self.items)]
        moments = [moment for moment in found if moment is not None]
        return (min if self._descending else max)(moments, default=None)

    def recent(self, before: Sequence[str], ids: Sequence[str]) -> list[str]:
        """The ids to recognize after this page.

        :param before: those before it.
        :param ids: ids of the rows of this page.
        """
        return [*before, *ids][-_RECENT_PAGES * max(len(ids), PAGE_SIZE) :]

    def following(self, linked: Params | None) -> Params | None:
        """The query of the page after this one, which begins a few rows before its end.

        :param linked: the query of Mirakl's link; ``None`` if there is none.
        """
        if linked is None:
            return None
        count = len(self.items)
        end = int(dict(linked).get("offset", 0))
        if end <= self.offset:  # a link to the same page
            end = self.offset + count
        return _at(self.params, end - min(max(1, count // _SHARE), count - 1))

    def back(self) -> Params:
        """The query of the page to read instead of this one when it does not join."""
        size = int(dict(self.params).get("max", PAGE_SIZE))
        return _at(self.params, max(0, self.offset - size))

    @property
    def _descending(self) -> bool:
        return dict(self.params).get("order", "").lower() == "desc"


def check_query(params: Params) -> None:
    """Reject a query whose pages cannot be joined.

    :raises MiraklConfigurationError: it sorts the rows, or a page has a single row.
    """
    asked = dict(params)
    if "sort" in asked:
        raise MiraklConfigurationError(
            "query: sort cannot be set for a listing whose pages are joined by its default order; leave it out",
            field="query",
        )
    if asked.get("max", str(PAGE_SIZE)) in ("0", "1"):
        raise MiraklConfigurationError(
            f"query: max must be 2 or more, not {asked['max']}: a page begins with a row of the previous one",
            field="query",
        )


def _at(params: Params, offset: int) -> Params:
    return (*((name, value) for name, value in params if name != "offset"), ("offset", str(offset)))
