"""Finds the plans in the folder of an operator's result."""

from __future__ import annotations

from airflow_provider_mirakl.catalog.plan import Plan
from airflow_provider_mirakl.catalog.sync import SYNC_FILE
from airflow_provider_mirakl.files.storage import StoragePath


def plans_in(folder: StoragePath) -> list[Plan]:
    """The plans of a write, or of a sync, which has two; without those that are empty.

    :param folder: the folder of the task that planned.
    :raises MiraklInputError: the folder has no plan.
    """
    parts = [folder / "upsert", folder / "delete"] if (folder / SYNC_FILE).exists() else [folder]
    return [plan for plan in map(Plan.load, parts) if plan.chunks]
