"""What became of each field of a shop that A02 was to change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from airflow_provider_mirakl.api.shops import ShopUpdate
from airflow_provider_mirakl.outcome import ItemResult


def judge_update(fields: Sequence[str], answer: ShopUpdate) -> Iterator[ItemResult]:
    """A row for every field that was sent, and for every error that names another one.

    Mirakl's errors name fields of its own model, such as ``shop_pro_detail.identification_number`` for one within
    ``pro_details``, so they cannot always be put to the field that was sent.

    :param fields: the fields sent.
    :param answer: of A02.
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
                field, "failed", "not_applied", "Mirakl changed nothing, because of other fields"
            )
        else:
            yield ItemResult(field, "succeeded")
