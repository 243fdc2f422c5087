"""Which plans lie in a folder that an operator handed over."""

from __future__ import annotations

from airflow_provider_mirakl.catalog.plan import Plan
from airflow_provider_mirakl.catalog.sync import SYNC_FILE
from airflow_provider_mirakl.files.storage import StoragePath


def plans_in(folder: StoragePath) -> list[Plan]:
    """The plans of a write, or of a sync, which has two; without those that have nothing to send.

    :param folder: the folder of the task that planned.
    :raises MiraklInputError: there is no plan.
    """
    parts = [folder / "upsert", folder / "delete"] if (folder / SYNC_FILE).exists() else [folder]
    return [plan for plan in map(Plan.load, parts) if plan.chunks]
