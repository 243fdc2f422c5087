"""A column mapping passed as plain values."""

from __future__ import annotations

import pytest

from airflow_provider_mirakl.catalog.columns import Columns
from airflow_provider_mirakl.exceptions import MiraklConfigurationError


def test_plain_values_make_the_same_as_the_class() -> None:
    settings = {"mapping": {"SKU": "id"}, "languages": {"FR": "fr_FR"}, "currency": "EUR", "empty": "null"}
    assert Columns.from_settings(settings) == Columns(
        mapping={"SKU": "id"}, languages={"FR": "fr_FR"}, currency="EUR", empty="null"
    )


def test_every_fault_is_named_with_its_setting() -> None:
    with pytest.raises(MiraklConfigurationError) as caught:
        Columns.from_settings({"maping": {"SKU": "id"}, "decimal": ";", "mapping": {"SKU": 7}})
    message = str(caught.value)
    assert "maping: is not a setting; did you mean" in message
    assert "decimal: " in message
    assert "mapping.SKU: " in message
    assert caught.value.field == "columns"
