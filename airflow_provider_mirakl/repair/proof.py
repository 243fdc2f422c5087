"""What became of single products, by the instance's own word: their state before and after (CM51), judged.

DJUST answers with a count alone, and CM21's report (CM23) exists only where CM21 was called directly. So what an
instance says of a product afterwards is the one proof that both routes have. Source: docs/mirakl-facts.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from airflow_provider_mirakl.api.call import Call, Json, Reply
from airflow_provider_mirakl.api.catalog_manager import MAX_FILTER, export_products
from airflow_provider_mirakl.api.steps import send
from airflow_provider_mirakl.jobs.waiting import Poll
from airflow_provider_mirakl.outcome import ItemResult
from airflow_provider_mirakl.repair.pairs import Pair

SYNCHRONIZED = "SYNCHRONIZED"
ERRORS = frozenset({"INTEGRATION_ERRORS", "ERROR"})


@dataclass(frozen=True, slots=True)
class ProductState:
    """What an instance says of a master product.

    :param status: ``SYNCHRONIZED``, ``PENDING`` or ``INTEGRATION_ERRORS``; ``None`` where the instance has no such
        product.
    :param product_sku: the SKU under which it is known.
    :param errors: integration errors, each a line.
    """

    status: str | None = None
    product_sku: str | None = None
    errors: tuple[str, ...] = ()

    def __str__(self) -> str:
        words = [self.status or "not found", *self.errors[:1]]
        return ": ".join(words)

    def dump(self) -> dict[str, Any]:
        """The state as JSON."""
        return {"status": self.status, "product_sku": self.product_sku, "errors": list(self.errors)}

    @classmethod
    def load(cls, dumped: Mapping[str, Any]) -> ProductState:
        """The state of :meth:`dump`."""
        return cls(dumped.get("status"), dumped.get("product_sku"), tuple(dumped.get("errors", ())))


States = Mapping[str, ProductState]
"""States by Mirakl product id."""


Element: TypeAlias = dict[str, Json]
"""A master product, as CM51 shows it."""


def state_calls(product_ids: Sequence[str]) -> Iterator[Call[list[Element]]]:
    """CM51 for these products alone, as many of them in a call as a filter takes."""
    for start in range(0, len(product_ids), MAX_FILTER):
        call = export_products(filters={"product_id": product_ids[start : start + MAX_FILTER]})
        yield Call(call.operation, parse=_elements, params=call.params, accept=call.accept)


def _elements(reply: Reply) -> list[Element]:
    """What a proof is built on has to be there: no body is no list that holds nothing."""
    return [] if reply.status == 204 else reply.objects(reply.json())


def read_states(product_ids: Iterable[str], answers: Iterable[list[Element]]) -> dict[str, ProductState]:
    """The states out of CM51's answers; a product that is in none of them has an empty one."""
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
    return ProductState(said.get("status") or "no status", element.get("product_sku"), errors)


def products_settled(
    notes: dict[str, Any], *, product_ids: Sequence[str], failing: Sequence[str] = ()
) -> Poll:
    """Whether the instance has come to an end with all of these products.

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
        return True  # no such product, and waiting does not bring it
    return state.status == SYNCHRONIZED or (state.status in ERRORS and not failed_before)


def judge(
    pair: Pair, after: ProductState | None, reported: ItemResult | None, silence: tuple[str, str]
) -> ItemResult:
    """What became of a product.

    :param after: what the instance says of it; ``None`` where it was not asked.
    :param reported: what CM23 says; ``None`` where there is no report.
    :param silence: code and message for a product of which nobody says anything.
    :return: ``succeeded`` only where the instance or its report says so.
    """
    key = pair.mirakl_product_id
    if reported is not None and reported.status == "failed":
        return reported._replace(item_id=key)
    if after is None:
        return (
            reported._replace(item_id=key) if reported is not None else ItemResult(key, "unknown", *silence)
        )
    if after.status is None:
        return ItemResult(
            key, "failed", "NOT_FOUND", "the instance has no such product; check mirakl_product_id"
        )
    if after.status in ERRORS:
        return ItemResult(key, "failed", after.status, "; ".join(after.errors) or "no reason given")
    if after.status != SYNCHRONIZED:
        if reported is not None and reported.status == "succeeded":
            return ItemResult(
                key, "unknown", after.status, "CM21 succeeded, yet the instance does not show it"
            )
        return ItemResult(
            key,
            "failed",
            after.status,
            "still not synchronized; it may come later, or the product is stuck: look into its source",
        )
    if after.product_sku != pair.product_sku:
        return ItemResult(
            key,
            "unknown",
            "OTHER_SKU",
            f"is synchronized as {after.product_sku!r}, not as {pair.product_sku!r}; check product_sku",
            "product_sku",
        )
    return ItemResult(key, "succeeded")
