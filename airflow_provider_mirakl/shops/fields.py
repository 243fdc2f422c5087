"""The result of each field of a shop that A02 should change: from its reply, or from A01 if the reply was lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from airflow_provider_mirakl.api.shops import ShopUpdate
from airflow_provider_mirakl.exceptions import ApiFault
from airflow_provider_mirakl.files.notes import NoteKind
from airflow_provider_mirakl.outcome import ItemResult


class Update(msgspec.Struct):
    """A call of A02: Mirakl accepts one a day, so a retry must know of it.

    :param open_since: when a call was made whose reply has not come; ``None`` where nothing is open.
    :param sent: a hash of the call that Mirakl has answered; ``None`` before.
    :param errors: what it did not accept of them.
    :param changed: whether it changed anything.
    """

    open_since: float | None
    sent: str | None = None
    errors: tuple[ApiFault, ...] = ()
    changed: bool = True

    def answer(self, sent: str) -> ShopUpdate | None:
        """Mirakl's answer to the call with this hash, if it has come."""
        return ShopUpdate(self.errors, {} if self.changed else None) if self.sent == sent else None


UPDATE = NoteKind(
    file="update.json",
    holds="that a shop's update was sent, and what Mirakl did not accept of it",
    type=Update,
    damaged="restart",
    fix="The update is sent as if none had been sent before.",
)


def update_results(fields: Sequence[str], answer: ShopUpdate) -> Iterator[ItemResult]:
    """A row for every field that was sent, and for every error about another one.

    Mirakl's errors use field names of its own model, such as ``shop_pro_detail.identification_number`` for one within
    ``pro_details``, so they cannot always be assigned to the field that was sent.

    :param fields: the fields sent.
    :param answer: the answer of A02.
    """
    refused = set()
    for error in answer.errors:
        field = (error.field or "").partition(".")[0]
        refused.add(field)
        item = field if field in fields else error.field or "shop"
        yield ItemResult(item, "failed", error.code, error.message, error.field)
    for field in fields:
        if field in refused:
            continue
        if answer.errors and answer.updated is None:
            yield ItemResult(
                field, "failed", "not_applied", "Mirakl changed nothing because of errors in other fields"
            )
        else:
            yield ItemResult(field, "succeeded")


_CONTACT = frozenset({"address", "email", "fax", "web_site"})
"""Fields of A02 that A01 shows among the contact information."""


def not_shown(changes: Mapping[str, Any], account: Mapping[str, Any]) -> list[str]:
    """The fields of which A01 does not show the value that A02 was to set.

    :param changes: the fields as they were sent.
    :param account: the shop, as A01 shows it.
    """
    contact = account.get("contact_informations")
    places = contact if isinstance(contact, Mapping) else {}
    missing = []
    for name, wanted in changes.items():
        shown = places if name == "address" else (places if name in _CONTACT else account).get(name)
        # A01 always has these two: without them it does not show that something was erased.
        is_known = isinstance(contact, Mapping) if name == "address" or name in _CONTACT else True
        if name == "shop_additional_fields":
            is_known = isinstance(shown, list)
            if wanted is not None:  # those that are not sent are not changed
                wanted, shown = _by_code(wanted), _by_code(shown)
        if not is_known or not _shows(wanted, shown):
            missing.append(name)
    return missing


def _shows(wanted: Any, shown: Any) -> bool:
    """Whether a value contains all of another one; Mirakl adds further fields."""
    if wanted is None:
        return shown in (None, "", [], {})
    if isinstance(wanted, datetime):
        try:
            return datetime.fromisoformat(str(shown)) == wanted
        except (ValueError, TypeError):
            return False
    if isinstance(wanted, Mapping):
        return isinstance(shown, Mapping) and all(
            _shows(value, shown.get(name)) for name, value in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(shown, list)
            and len(shown) == len(wanted)
            and all(any(_shows(one, other) for other in shown) for one in wanted)
        )
    return bool(wanted == shown)


def _by_code(fields: Any) -> dict[str, Any]:
    listed = fields if isinstance(fields, list) else ()
    return {str(field.get("code")): field.get("value") for field in listed if isinstance(field, Mapping)}
