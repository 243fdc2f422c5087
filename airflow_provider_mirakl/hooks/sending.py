"""Products to Mirakl Connect, a few at once: what the hook's methods do, apart from it because it needs the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from airflow_provider_mirakl.api.steps import drive
from airflow_provider_mirakl.catalog.columns import Columns
from airflow_provider_mirakl.catalog.ledger import Ledger
from airflow_provider_mirakl.catalog.loop import CallLimits, Pace, make_calls
from airflow_provider_mirakl.catalog.plan import Plan, plan_delete, plan_upsert
from airflow_provider_mirakl.catalog.work import SendWork
from airflow_provider_mirakl.client.steps import performer
from airflow_provider_mirakl.files.paths import path_or_data
from airflow_provider_mirakl.files.storage import StoragePath
from airflow_provider_mirakl.hooks.base import MiraklBaseHook
from airflow_provider_mirakl.outcome import Outcome


def upsert(
    hook: MiraklBaseHook,
    products: str | Iterable[Mapping[str, Any]],
    columns: Mapping[str, Any] | str | None,
    unknown_fields: Literal["reject", "send"],
) -> dict[str, Any]:
    """Create or update products, and return the outcome."""
    mapping = None if columns is None else Columns.from_settings(columns)
    return _carry_out(
        hook,
        lambda folder: plan_upsert(
            path_or_data(products),
            folder,
            columns=mapping,
            unknown_fields=unknown_fields,
            locales=hook.locales,
        ),
    )


def delete(hook: MiraklBaseHook, product_ids: str | Iterable[str]) -> dict[str, Any]:
    """Delete products, and return the outcome."""
    return _carry_out(hook, lambda folder: plan_delete(path_or_data(product_ids), folder))


def _carry_out(hook: MiraklBaseHook, plan: Callable[[StoragePath], Plan]) -> dict[str, Any]:
    with TemporaryDirectory(prefix="mirakl-") as name, hook.get_conn() as client:
        ledger = Ledger.open(plan(Path(name)), generation="")
        limits = CallLimits(hook.settings.interval_factor, max_failures=5, refused_timeout=3600.0)

        def work() -> SendWork | None:
            return None if ledger.chunk is None else SendWork(ledger)

        drive(make_calls(work, Pace(), limits, hook.log), performer(client))
        products = ledger.plan.products
        return Outcome(sent=products, unknown=products).summary()
