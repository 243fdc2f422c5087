"""### Start a Dag when a product import has ended

An asset with a watcher: the triggerer polls Mirakl every five minutes for imports that have ended (P51), no matter
how they were submitted, and an event starts this Dag. Nothing is missed while no triggerer runs.

**Needs** Airflow 3.0 or later, and a connection `mirakl_default` of type Mirakl, with the key of a shop.

**Try it:** `make airflow` (without a clone: `mirakl-sandbox airflow --run`), turn this Dag on, then trigger
`mirakl_product_import`: when its import has ended, a run of this Dag begins by itself.
"""

from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Asset, task

try:
    from airflow.sdk import AssetWatcher
except ImportError:  # Airflow 2 does not have event-driven Dags, so this file defines no Dag there
    HAS_WATCHERS = False
else:
    HAS_WATCHERS = True

if HAS_WATCHERS:
    # [START mirakl_on_import_ended]
    from airflow_provider_mirakl.triggers.events import MiraklProductImportsTrigger

    imports = Asset(
        "mirakl_product_imports",
        watchers=[
            AssetWatcher(name="ended", trigger=MiraklProductImportsTrigger(states=["COMPLETE", "FAILED"]))
        ],
    )

    with DAG(
        dag_id="mirakl_on_import_ended",
        description="Starts when a product import has ended.",
        schedule=[imports],
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        doc_md=__doc__,
        tags=["mirakl"],
    ):

        @task
        def ended(triggering_asset_events: Any = None) -> list[dict[str, Any]]:
            """The imports that ended: ids and states. A manual run has none."""
            events = [event for found in (triggering_asset_events or {}).values() for event in found]
            return [one for event in events for one in event.extra["payload"]["found"]]

        @task
        def report(imports: list[dict[str, Any]]) -> list[str]:
            """Your own action; here a line for each import."""
            return [
                f"{one['import_id']} ended {one['state']}; {one['failed']} lines failed" for one in imports
            ]

        report(ended())
    # [END mirakl_on_import_ended]
