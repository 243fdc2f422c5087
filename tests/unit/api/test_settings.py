"""The settings of an instance: one row for each of Mirakl's calls."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from airflow_provider_mirakl.api.settings import SETTINGS, get_setting
from airflow_provider_mirakl.exceptions import MiraklInputError


def test_every_documented_setting_is_there() -> None:
    codes = {setting.code for setting in SETTINGS.values()}
    assert codes == {"PM11", "H11", "VL11", "L01", "CH11", "CUR01", "DO01", "AF01", "RO02", "PC01"}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_makes_its_call_and_its_questions_are_parameters_of_it(name: str) -> None:
    setting = SETTINGS[name]
    assert get_setting(name).operation.code == setting.code
    assert set(setting.questions) <= inspect.signature(setting.make).parameters.keys()


def test_a_shop_is_sent_for_a_seller_only() -> None:
    for name in SETTINGS:
        assert ("shop_id", "2000") in get_setting(name, shop_id=2000).params
        assert not get_setting(name, role="operator", shop_id=2000).params


@pytest.mark.parametrize(
    ("name", "query", "words"),
    [
        ("colours", {}, "setting must be one of additional_fields, .* not 'colours'"),
        ("locales", {"locale": "fr_FR"}, "'locale'; L01 accepts none"),
        ("values_lists", {"hierarchy": "a"}, "'hierarchy'; VL11 accepts code"),
    ],
)
def test_what_is_not_a_setting_is_refused(name: str, query: dict[str, Any], words: str) -> None:
    with pytest.raises(MiraklInputError, match=words):
        get_setting(name, query)


@pytest.mark.parametrize(
    ("channels", "sent"),
    [("FR", ["FR"]), ("FR, DE", ["FR", "DE"]), (["FR"], ["FR"]), (7, ["7"]), (None, []), ("", [])],
)
def test_a_list_as_a_text_is_not_taken_letter_by_letter(channels: Any, sent: list[str]) -> None:
    params = get_setting("attributes", {"channels": channels}, role="operator").params
    assert [value for name, value in params if name == "channels"] == sent


def test_entities_as_a_text() -> None:
    params = dict(get_setting("additional_fields", {"entities": "SHOP,OFFER"}).params)
    assert params["entities"] == "SHOP,OFFER"
    with pytest.raises(MiraklInputError, match=r"entities must be among .*, not 'MOON'"):
        get_setting("additional_fields", {"entities": "MOON"})
    assert "entities" not in dict(get_setting("additional_fields", {"entities": None}).params)
