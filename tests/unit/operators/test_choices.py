"""A misspelt choice is rejected instead of counting as one of the choices."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.api.shops import update_account
from airflow_provider_mirakl.catalog.plan import plan_delete, plan_upsert
from airflow_provider_mirakl.catalog.sync import plan_sync
from airflow_provider_mirakl.exceptions import MiraklConfigurationError
from airflow_provider_mirakl.operators.products import MiraklImportProductsOperator
from airflow_provider_mirakl.operators.shop_documents import (
    MiraklDeleteShopDocumentsOperator,
    MiraklUploadShopDocumentsOperator,
)
from airflow_provider_mirakl.sensors.jobs import MiraklProductImportSensor

Make = Callable[[Path, Any], object]
ROWS = [{"id": "a"}]
CASES: dict[str, tuple[str, Make]] = {
    "upsert": ("on_invalid", lambda folder, word: plan_upsert(ROWS, folder, on_invalid=word)),
    "delete": ("on_invalid", lambda folder, word: plan_delete(["a"], folder, on_invalid=word)),
    "fields": ("unknown_fields", lambda folder, word: plan_upsert(ROWS, folder, unknown_fields=word)),
    "sync": ("on_missing", lambda folder, word: plan_sync(ROWS, folder, folder / "s", on_missing=word)),
    "shop": ("unknown_fields", lambda _, word: update_account({"fax": "1"}, unknown_fields=word)),
    "import": ("until", lambda _, word: MiraklImportProductsOperator(task_id="t", source="x", until=word)),
    "sensor": ("until", lambda _, word: MiraklProductImportSensor(task_id="t", job_ids=1, until=word)),
    "upload": (
        "if_exists",
        lambda _, word: MiraklUploadShopDocumentsOperator(task_id="t", documents=[], if_exists=word),
    ),
    "remove": (
        "if_missing",
        lambda _, word: MiraklDeleteShopDocumentsOperator(task_id="t", document_ids=[1], if_missing=word),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_slip_names_the_field_and_the_choices(case: str, tmp_path: Path) -> None:
    field, make = CASES[case]
    with pytest.raises(
        MiraklConfigurationError, match=rf"^{field} must be '\w+' or '\w+', not 'Fial'$"
    ) as caught:
        make(tmp_path / "plan", "Fial")
    assert caught.value.field == field
