"""The poll of the catalog of Mirakl Connect, for the sensor. Not imported by Dag files."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from airflow_provider_mirakl.api.call import Call, Page
from airflow_provider_mirakl.api.connect import Product, list_products
from airflow_provider_mirakl.api.steps import blocking, send
from airflow_provider_mirakl.catalog.reading import plans_in
from airflow_provider_mirakl.catalog.verify import Findings, Verifier
from airflow_provider_mirakl.files.paths import storage_path
from airflow_provider_mirakl.jobs.waiting import Poll

log = logging.getLogger(__name__)


def catalog_matches(
    notes: dict[str, Any],
    *,
    product_ids: list[str] | None = None,
    expect: str = "present",
    folder: str | None = None,
    sample: int | None = None,
    reader: str = "sensor",
) -> Poll:
    """Whether the catalog is as expected.

    :param product_ids: products that should be present or absent.
    :param folder: folder of a plan, whose products should be as submitted.
    :param sample: products of the plan to check.
    :param reader: name of the folder for the stored pages.
    """
    if folder is None:
        return (yield from _ids_match(set(product_ids or ()), expect))
    return (yield from _plans_match(folder, sample, reader))


def _ids_match(wanted: set[str], expect: str) -> Poll:
    seen: set[str] = set()
    following: Call[Page[Product]] | None = list_products()
    while following is not None:
        page = yield from send(following)
        seen |= wanted.intersection(str(product.get("id")) for product in page.items)
        if seen and (expect == "absent" or seen == wanted):
            break
        following = page.following
    waiting = wanted - seen if expect == "present" else seen
    if not waiting:
        return {"succeeded": len(wanted)}
    if expect == "present":
        found = f"{len(seen):,} of {len(wanted):,} products are present"
    else:
        found = "products are still listed"
    log.info("This round: %s; still waiting for: %s", found, min(waiting))
    return None


def _plans_match(folder: str, sample: int | None, reader: str) -> Poll:
    verifiers = yield from blocking(partial(_open, folder, sample, reader))
    following: Call[Page[Product]] | None = list_products() if verifiers else None
    while following is not None:
        page = yield from send(following)
        complete = yield from blocking(partial(_see, verifiers, page.items))
        following = None if complete else page.following
    found = yield from blocking(partial(_compared, verifiers))
    if not found.waiting:
        return {"succeeded": sum(found.counts.values())}
    log.info("This round: %s", found)
    return None


def _open(folder: str, sample: int | None, reader: str) -> list[Verifier]:
    verifiers = [Verifier(plan, sample=sample, folder=reader) for plan in plans_in(storage_path(folder))]
    for verifier in verifiers:
        verifier.restart()
    return verifiers


def _see(verifiers: list[Verifier], products: list[Product]) -> bool:
    for verifier in verifiers:
        verifier.see(products)
    return all(verifier.complete for verifier in verifiers)


def _compared(verifiers: list[Verifier]) -> Findings:
    found = Findings()
    for verifier in verifiers:
        for result in verifier.finish():
            found.add(result)
    return found
