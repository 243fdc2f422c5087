"""The poll of the catalog of Mirakl Connect, for the sensor. Not imported by Dag files."""

from __future__ import annotations

from functools import partial
from typing import Any

from airflow_provider_mirakl.api.call import Call, Page
from airflow_provider_mirakl.api.connect import Product, list_products
from airflow_provider_mirakl.api.steps import blocking, send
from airflow_provider_mirakl.catalog.reading import plans_in
from airflow_provider_mirakl.catalog.verify import Verifier
from airflow_provider_mirakl.files.paths import storage_path
from airflow_provider_mirakl.jobs.waiting import Poll


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
    matches = seen == wanted if expect == "present" else not seen
    return {"succeeded": len(wanted)} if matches else None


def _plans_match(folder: str, sample: int | None, reader: str) -> Poll:
    verifiers = yield from blocking(partial(_open, folder, sample, reader))
    following: Call[Page[Product]] | None = list_products() if verifiers else None
    while following is not None:
        page = yield from send(following)
        complete = yield from blocking(partial(_see, verifiers, page.items))
        following = None if complete else page.following
    succeeded, others = yield from blocking(partial(_count, verifiers))
    return None if others else {"succeeded": succeeded}


def _open(folder: str, sample: int | None, reader: str) -> list[Verifier]:
    verifiers = [Verifier(plan, sample=sample, folder=reader) for plan in plans_in(storage_path(folder))]
    for verifier in verifiers:
        verifier.restart()
    return verifiers


def _see(verifiers: list[Verifier], products: list[Product]) -> bool:
    for verifier in verifiers:
        verifier.see(products)
    return all(verifier.complete for verifier in verifiers)


def _count(verifiers: list[Verifier]) -> tuple[int, int]:
    succeeded = others = 0
    for verifier in verifiers:
        for result in verifier.finish():
            if result.status == "succeeded":
                succeeded += 1
            else:
                others += 1
    return succeeded, others
