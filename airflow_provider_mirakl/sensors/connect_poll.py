"""The poll of the catalog of Mirakl Connect, for the sensor. Not imported by Dag files."""

from __future__ import annotations

import logging
import math
import time
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

LATEST = 3600.0
"""How many seconds late another process may continue a reading. Even a busy fleet starts a task or a trigger sooner,
and a round over a large catalog takes that long anyway."""


def catalog_matches(
    notes: dict[str, Any],
    *,
    product_ids: list[str] | None = None,
    expect: str = "present",
    folder: str | None = None,
    sample: int | None = None,
    reader: str = "sensor",
    begun: dict[str, Any] | None = None,
) -> Poll:
    """Whether the catalog is as expected.

    :param notes: keeps under ``reading`` how far this round has come: a poll that Mirakl refuses ends, and the next one
        continues at the same page.
    :param product_ids: products that should be present or absent.
    :param folder: folder of a plan, whose products should be as submitted.
    :param sample: products of the plan to check.
    :param reader: name of the folder for the stored pages.
    :param begun: a reading that was begun in another process. A triggerer that restarts gets it again, maybe rounds
        later: after its ``until`` the reading starts over, because the catalog may have changed meanwhile.
    """
    reading: dict[str, Any] = notes.setdefault("reading", dict(begun or {}))
    if reading.get("until", math.inf) < time.time():
        reading.clear()
    if folder is None:
        found = yield from _ids_match(reading, set(product_ids or ()), expect)
    else:
        found = yield from _plans_match(reading, folder, sample, reader)
    reading.clear()
    return found


def _ids_match(reading: dict[str, Any], wanted: set[str], expect: str) -> Poll:
    seen: set[str] = set(reading.get("seen", ()))
    following: Call[Page[Product]] | None = list_products(page_token=reading.get("page_token"))
    while following is not None:
        page = yield from send(following)
        seen |= wanted.intersection(str(product.get("id")) for product in page.items)
        if seen and (expect == "absent" or seen == wanted):
            break
        following = page.following
        _note(reading, following, {"seen": sorted(seen)})  # JSON has no sets
    waiting = wanted - seen if expect == "present" else seen
    if not waiting:
        return {"succeeded": len(wanted)}
    if expect == "present":
        found = f"{len(seen):,} of {len(wanted):,} products are present"
    else:
        found = "products are still listed"
    log.info("This round: %s; still waiting for: %s", found, min(waiting))
    return None


def _plans_match(reading: dict[str, Any], folder: str, sample: int | None, reader: str) -> Poll:
    verifiers = yield from blocking(partial(_open, folder, sample, reader, reading))
    first = list_products(page_token=reading.get("page_token"))
    following: Call[Page[Product]] | None = first if verifiers else None
    while following is not None:
        page = yield from send(following)
        complete = yield from blocking(partial(_see, verifiers, page.items))
        following = None if complete else page.following
        _note(reading, following, {"pages": reading.get("pages", 0) + 1})
    found = yield from blocking(partial(_compared, verifiers))
    if not found.waiting:
        return {"succeeded": sum(found.counts.values())}
    log.info("This round: %s", found)
    return None


def passing_on(reading: dict[str, Any], due: float) -> None:
    """Note in a reading until when another process may continue it.

    :param due: when that should be, in seconds since the epoch.
    """
    if reading:
        reading["until"] = due + LATEST


def _note(reading: dict[str, Any], following: Call[Page[Product]] | None, found: dict[str, Any]) -> None:
    """Note a page. From now on the reading belongs to this process."""
    reading.pop("until", None)
    reading |= {
        "page_token": None if following is None else str(dict(following.params)["page_token"]),
        **found,
    }


def _open(folder: str, sample: int | None, reader: str, reading: dict[str, Any]) -> list[Verifier]:
    verifiers = [Verifier(plan, sample=sample, folder=reader) for plan in plans_in(storage_path(folder))]
    if not reading or any(verifier.pages != reading["pages"] for verifier in verifiers):
        # Another round; or the pages of this one are on another disk.
        reading.clear()
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
