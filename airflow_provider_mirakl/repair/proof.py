"""What became of single products: their state on the instance before and after (CM51), judged.

DJUST returns only a count, and CM21 has a report (CM23) only where CM21 was called directly. The state of a product on
the instance is the one proof that both routes have. See ``docs/mirakl-facts.md``, CM51.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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

    :param status: ``SYNCHRONIZED``, ``PENDING``, ``INTEGRATION_ERRORS``, or a word that Mirakl does not document;
        ``""`` where the instance shows the product without a state; ``None`` where it has no such product.
    :param product_sku: the SKU under which the instance has it.
    :param errors: integration errors, each a line.
    """

    status: str | None = None
    product_sku: str | None = None
    errors: tuple[str, ...] = ()

    def __str__(self) -> str:
        word = "not found" if self.status is None else self.status or "no status"
        return ": ".join([word, *self.errors[:1]])


Element: TypeAlias = dict[str, Json]
"""A master product, as CM51 shows it."""


def state_calls(product_ids: Sequence[str]) -> Iterator[Call[list[Element]]]:
    """CM51 for these products in every state, with as many of them in a call as a filter takes."""
    for start in range(0, len(product_ids), MAX_FILTER):
        call = export_products(filters={**EVERY_STATE, "product_id": product_ids[start : start + MAX_FILTER]})
        yield Call(call.operation, parse=_elements, params=call.params, accept=call.accept)


def _elements(reply: Reply) -> list[Element]:
    """An empty body is not an empty list: a proof needs the list."""
    return [] if reply.status == 204 else reply.objects(reply.json())


def read_states(product_ids: Iterable[str], answers: Iterable[list[Element]]) -> dict[str, ProductState]:
    """The states in CM51's replies; a product that is in none of them has the empty state."""
    found = dict.fromkeys(product_ids, ProductState())
    for answer in answers:
        for element in answer:
            key = element.get("mirakl_product_id")
            if isinstance(key, str) and key in found:
                found[key] = _state(element)
    return found


def _state(element: Mapping[str, Any]) -> ProductState:
    said = element.get("synchronization") or {}
    errors = tuple(
        ": ".join(str(error[key]) for key in ("code", "attribute_code", "message") if error.get(key))
        for error in said.get("integration_errors") or ()
    )
    return ProductState(str(said.get("status") or ""), element.get("product_sku"), errors)


def products_settled(
    notes: dict[str, Any], *, product_ids: Sequence[str], failing: Sequence[str] = ()
) -> Poll:
    """Whether the instance has finished with all of these products.

    :param notes: keeps under ``open`` the products that are still waited for.
    :param product_ids: Mirakl's ids.
    :param failing: those of them that had integration errors before: errors that are still there prove nothing.
    """
    waited: list[str] = notes.get("open", list(product_ids))
    old = set(failing)
    states: dict[str, ProductState] = {}
    for call in state_calls(waited):
        states |= read_states(waited, [(yield from send(call))])
        # A product of another call is not missing: only what was found counts.
        states = {key: state for key, state in states.items() if state.status is not None}
    notes["open"] = waited = [key for key in waited if not _is_settled(states.get(key), key in old)]
    return None if waited else {"settled": len(product_ids)}


def _is_settled(state: ProductState | None, failed_before: bool) -> bool:
    if state is None:
        return True  # no such product; waiting does not bring it
    return state.status == SYNCHRONIZED or (state.status in ERRORS and not failed_before)


def judge(
    pair: Pair, after: ProductState | None, reported: ItemResult | None, silence: tuple[str, str]
) -> ItemResult:
    """What became of a product.

    ============================  =========================  ======================================
    state on the instance         CM23                       result
    ============================  =========================  ======================================
    any                           failed                     failed, with the words of CM23
    not asked                     succeeded or unknown       as CM23 says
    not asked                     none                       unknown, with ``silence``
    no such product               otherwise                  failed, ``NOT_FOUND``
    integration errors            otherwise                  failed, with the errors
    ``SYNCHRONIZED``, same SKU    otherwise                  succeeded
    ``SYNCHRONIZED``, other SKU   otherwise                  unknown, ``OTHER_SKU``
    ``PENDING``                   succeeded                  unknown: the instance does not show it
    ``PENDING``                   otherwise                  failed: still not synchronized
    a word without a document     otherwise                  unknown, with the word
    ============================  =========================  ======================================

    :param after: the state on the instance; ``None`` where it was not asked.
    :param reported: the result in CM23; ``None`` where there is no report.
    :param silence: code and message for a product of which nothing is known.
    """
    key = pair.mirakl_product_id
    if reported is not None and (reported.status == "failed" or after is None):
        return reported._replace(item_id=key)
    if after is None:
        return ItemResult(key, "unknown", *silence)
    if after.status is None:
        return ItemResult(
            key, "failed", "NOT_FOUND", "the instance has no such product; check mirakl_product_id"
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
        "still not synchronized; it may be later, or the product is stuck: check it in its source",
    )
