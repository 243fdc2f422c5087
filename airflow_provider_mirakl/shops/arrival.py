"""The condition of a sensor for documents. Pure, the same for a worker and a triggerer."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from airflow_provider_mirakl.api.call import Call
from airflow_provider_mirakl.api.documents import VARIANTS, ShopDocument, list_documents
from airflow_provider_mirakl.api.steps import Steps, send
from airflow_provider_mirakl.api.values import moment_of
from airflow_provider_mirakl.exceptions import MiraklInputError

log = logging.getLogger("airflow_provider_mirakl.documents")

OWN_SHOP = "shop"
"""Name of the seller's default shop."""


@dataclass(frozen=True, slots=True)
class Awaited:
    """The awaited documents: every type for every shop; or, without types, any document of any of the shops.

    :param shop_ids: the shops; empty for a seller's default shop, or for all shops of a marketplace.
    :param type_codes: types that every shop must have.
    :param uploaded_after: only documents uploaded after this time count; ``None`` for all.
    """

    shop_ids: tuple[int, ...] = ()
    type_codes: tuple[str, ...] = ()
    uploaded_after: datetime | None = None

    def call(self, role: str) -> Call[list[ShopDocument]]:
        """The call that lists the existing documents.

        :raises MiraklInputError: no call can list them.
        """
        if VARIANTS[role].own_shop or self.shop_ids:
            return list_documents(role, shop_ids=self.shop_ids)
        if self.type_codes:
            raise MiraklInputError(f"type_codes of role {role} need shop_ids: the shops that must have them")
        return list_documents(role, updated_since=self.uploaded_after)

    def look(self, role: str, documents: Iterable[ShopDocument]) -> Found:
        """Compare the existing documents with the awaited ones."""
        counted = [document for document in documents if self._counts(document)]
        missing: dict[str, tuple[str, ...]] = {}
        if self.type_codes:
            own_shop = VARIANTS[role].own_shop
            for shop in self.shop_ids or (None,):
                there = {document.type for document in counted if own_shop or document.shop_id == shop}
                if lacking := tuple(code for code in self.type_codes if code not in there):
                    missing[OWN_SHOP if shop is None else str(shop)] = lacking
        return Found(tuple(counted), missing, done=not missing if self.type_codes else bool(counted))

    def _counts(self, document: ShopDocument) -> bool:
        if document.date_deleted is not None or (self.type_codes and document.type not in self.type_codes):
            return False
        return self.uploaded_after is None or _moment(document.date_uploaded) > self.uploaded_after


@dataclass(frozen=True, slots=True)
class Found:
    """The awaited documents that exist.

    :param documents: the existing ones.
    :param missing: types that shops do not have yet.
    :param done: whether the waiting is over.
    """

    documents: tuple[ShopDocument, ...]
    missing: dict[str, tuple[str, ...]] = field(default_factory=dict)
    done: bool = False

    def __str__(self) -> str:
        """Return one line for a log."""
        if self.done:
            return f"{len(self.documents)} documents found"
        lacking = "; ".join(f"shop {shop} lacks {', '.join(codes)}" for shop, codes in self.missing.items())
        return (lacking or "no new document").replace(f"shop {OWN_SHOP} ", "the shop ")


def _moment(text: str | None) -> datetime:
    """A time as Mirakl writes it; an invalid one counts as long ago."""
    return moment_of(text) or datetime.min.replace(tzinfo=UTC)


SHOWN = 300
"""Largest number of documents in a finding, since the event of a trigger must be small."""


def shop_documents(
    notes: dict[str, Any],
    *,
    role: str,
    shop_ids: Sequence[int],
    type_codes: Sequence[str],
    uploaded_after: str | None,
) -> Steps[dict[str, Any] | None]:
    """The poll of a sensor: see :mod:`airflow_provider_mirakl.jobs.waiting`.

    :param notes: not used.
    :param role: ``shop``, ``operator`` or ``front``.
    :param uploaded_after: a date-time as string.
    """
    awaited = Awaited(
        tuple(shop_ids),
        tuple(type_codes),
        None if uploaded_after is None else datetime.fromisoformat(uploaded_after),
    )
    found = awaited.look(role, (yield from send(awaited.call(role))))
    log.info("Documents: %s", found)
    if not found.done:
        return None
    documents = [asdict(document) for document in found.documents[:SHOWN]]
    return {"items": len(found.documents), "documents": documents}
