"""The results of single products: their states on the instance (CM51) before and after, evaluated.

DJUST returns only a count, and a report (CM23) exists only if CM21 was called directly. The state of a product on
the instance is the only proof that both routes have. See ``docs/mirakl-facts.md``, CM51.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any, TypeAlias

from airflow_provider_mirakl.api.call import Call, Json, Reply
from airflow_provider_mirakl.api.catalog_manager import EVERY_STATE, MAX_FILTER, export_products
from airflow_provider_mirakl.api.steps import send
from airflow_provider_mirakl.jobs.waiting import Poll
from airflow_provider_mirakl.outcome import ItemResult
from airflow_provider_mirakl.repair.pairs import Pair

SYNCHRONIZED = "SYNCHRONIZED"
PENDING = "PENDING"
ERRORS = frozenset({"INTEGRATION_ERRORS", "ERROR"})


@dataclass(frozen=True, slots=True)
class ProductState:
    """The state of a master product on an instance.

    :param status: ``SYNCHRONIZED``, ``PENDING``, ``INTEGRATION_ERRORS``, or a state that Mirakl does not document;
        ``""`` if the instance shows the product without a state; ``None`` if it does not have the product.
    :param product_sku: the product's SKU on the instance.
    :param errors: integration errors, one line each.
    """

    status: str | None = None
    product_sku: str | None = None
    errors: tuple[str, ...] = ()

    def __str__(self) -> str:
        word = "not found" if self.status is None else self.status or "no status"
        return ": ".join([word, *self.errors[:1]])


Element: TypeAlias = dict[str, Json]
"""A master product in the reply of CM51."""


def state_calls(product_ids: Sequence[str]) -> Iterator[Call[list[Element]]]:
    """CM51 for these products in every state, with as many per call as the filter takes."""
    for start in range(0, len(product_ids), MAX_FILTER):
        call = export_products(filters={**EVERY_STATE, "product_id": product_ids[start : start + MAX_FILTER]})
        yield Call(call.operation, parse=_elements, params=call.params, accept=call.accept)


def _elements(reply: Reply) -> list[Element]:
    """Reject an empty body: it is not an empty list, and a proof needs the list."""
    return [] if reply.status == 204 else reply.objects(reply.json())


def read_states(product_ids: Iterable[str], answers: Iterable[list[Element]]) -> dict[str, ProductState]:
    """The states in CM51's replies; a product that is in none of them has an empty state."""
    found = dict.fromkeys(product_ids, ProductState())
    for answer in answers:
        for element in answer:
            key = element.get("mirakl_product_id")
            if isinstance(key, str) and key in found:
                found[key] = _state(element)
    return found


def _state(element: Mapping[str, Any]) -> ProductState:
    said = element.get("synchronization")
    said = said if isinstance(said, dict) else {}  # without a state it proves nothing
    listed = said.get("integration_errors") or []
    errors = tuple(map(_error, listed if isinstance(listed, list) else [listed]))
    sku = element.get("product_sku")
    # The note of the repair stores texts only.
    return ProductState(str(said.get("status") or ""), None if sku is None else str(sku), errors)


def _error(error: object) -> str:
    if not isinstance(error, dict):
        return str(error)
    return ": ".join(str(error[key]) for key in ("code", "attribute_code", "message") if error.get(key))


def products_settled(
    notes: dict[str, Any], *, product_ids: Sequence[str], failing: str | Sequence[str] = ()
) -> Poll:
    """Whether the instance has processed all of these products.

    :param notes: keeps the products still waited for under ``open``.
    :param product_ids: Mirakl's ids.
    :param failing: those that had integration errors before: errors that remain prove nothing. ``1`` or ``0`` for each
        product, since a trigger has little room; earlier versions stored a list of ids.
    """
    waited: list[str] = notes.get("open", list(product_ids))
    old = set(compress(product_ids, map(int, failing)) if isinstance(failing, str) else failing)
    states: dict[str, ProductState] = {}
    for call in state_calls(waited):
        states |= read_states(waited, [(yield from send(call))])
        # A product of another call is not missing: count only those found.
        states = {key: state for key, state in states.items() if state.status is not None}
    notes["open"] = waited = [key for key in waited if not _is_settled(states.get(key), key in old)]
    return None if waited else {"settled": len(product_ids)}


def _is_settled(state: ProductState | None, failed_before: bool) -> bool:
    if state is None:
        return True  # the product does not exist; waiting does not help
    return state.status == SYNCHRONIZED or (state.status in ERRORS and not failed_before)


def result_of(
    pair: Pair, after: ProductState | None, reported: ItemResult | None, silence: tuple[str, str]
) -> ItemResult:
    """The result of a product.

    ============================  =========================  ======================================
    state on the instance         CM23                       result
    ============================  =========================  ======================================
    any                           failed                     failed, with the message of CM23
    not read                      succeeded or unknown       as in CM23
    not read                      none                       unknown, with ``silence``
    product does not exist        otherwise                  failed, ``NOT_FOUND``
    integration errors            otherwise                  failed, with the errors
    ``SYNCHRONIZED``, same SKU    otherwise                  succeeded
    ``SYNCHRONIZED``, other SKU   otherwise                  unknown, ``OTHER_SKU``
    ``PENDING``                   succeeded                  unknown: the instance does not show it
    ``PENDING``                   otherwise                  failed: still not synchronized
    undocumented state            otherwise                  unknown, with the state
    ============================  =========================  ======================================

    :param after: the state on the instance; ``None`` if it was not read.
    :param reported: the result in CM23; ``None`` without a report.
    :param silence: code and message for a product without any information.
    """
    key = pair.mirakl_product_id
    if reported is not None and (reported.status == "failed" or after is None):
        return reported._replace(item_id=key)
    if after is None:
        return ItemResult(key, "unknown", *silence)
    if after.status is None:
        return ItemResult(
            key, "failed", "NOT_FOUND", "the product does not exist on the instance; check mirakl_product_id"
        )
    if after.status in ERRORS:
        return ItemResult(key, "failed", after.status, "; ".join(after.errors) or "no reason given")
    if after.status == SYNCHRONIZED:
        if after.product_sku == pair.product_sku:
            return ItemResult(key, "succeeded")
        return ItemResult(
            key,
            "unknown",
            "OTHER_SKU",
            f"is synchronized as {after.product_sku!r}, not as {pair.product_sku!r}; check product_sku",
            "product_sku",
        )
    if after.status != PENDING:
        word = after.status or "NO_STATUS"
        return ItemResult(
            key, "unknown", word, f"Mirakl does not document the state {word}; check it in the back office"
        )
    if reported is not None and reported.status == "succeeded":
        return ItemResult(key, "unknown", PENDING, "CM21 succeeded, but the instance does not show it yet")
    return ItemResult(
        key,
        "failed",
        PENDING,
        "still not synchronized; it may take longer, or the product is stuck: check it in its source system",
    )
