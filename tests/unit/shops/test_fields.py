"""Whether a shop shows what A02 was to change."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_mirakl.shops.fields import not_shown

ACCOUNT = {
    "shop_name": "Chairs",
    "closed_from": "2026-12-24T00:00:00Z",
    "channels": ["INIT", "OUTLET"],
    "contact_informations": {"city": "Nantes", "zip_code": "44000", "email": "a@b.example"},
    "shop_additional_fields": [{"code": "vat", "type": "STRING", "value": "FR1"}],
}


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"shop_name": "Chairs"}, []),
        ({"shop_name": "Tables"}, ["shop_name"]),
        ({"fax": None, "description": None}, []),
        ({"shop_name": None}, ["shop_name"]),
        ({"email": "a@b.example", "address": {"city": "Nantes"}}, []),
        ({"address": {"city": "Nantes", "street1": "x"}}, ["address"]),
        ({"closed_from": datetime(2026, 12, 24, tzinfo=UTC)}, []),
        ({"closed_from": datetime(2026, 12, 25, tzinfo=UTC)}, ["closed_from"]),
        ({"channels": ["INIT"]}, ["channels"]),
        ({"channels": ["OUTLET", "INIT"]}, []),
        ({"shop_additional_fields": [{"code": "vat", "value": "FR1"}]}, []),
        ({"shop_additional_fields": [{"code": "vat", "value": None}]}, ["shop_additional_fields"]),
        ({"shop_additional_fields": [{"code": "gone", "value": None}]}, []),
        ({"shop_additional_fields": None}, ["shop_additional_fields"]),
        ({"is_professional": True}, ["is_professional"]),
    ],
)
def test_fields_that_a_shop_does_not_show(changes: dict[str, Any], missing: list[str]) -> None:
    assert not_shown(changes, ACCOUNT) == missing


@pytest.mark.parametrize("account", [{}, {"contact_informations": None}, {"contact_informations": []}])
def test_an_account_without_contacts_shows_nothing(account: dict[str, Any]) -> None:
    assert not_shown({"email": "a@b.example"}, account) == ["email"]


@pytest.mark.parametrize("name", ["fax", "web_site"])
def test_an_account_without_contacts_does_not_show_that_one_was_erased(name: str) -> None:
    assert not_shown({name: None, "address": {"phone": None}}, {}) == [name, "address"]


def test_additional_fields_that_were_all_erased() -> None:
    changes = {"shop_additional_fields": None}
    assert not_shown(changes, {"shop_additional_fields": []}) == []
    assert not_shown(changes, {}) == ["shop_additional_fields"]
    erased = {"shop_additional_fields": [{"code": "vat", "value": None}]}
    assert not_shown(erased, {}) == ["shop_additional_fields"]
