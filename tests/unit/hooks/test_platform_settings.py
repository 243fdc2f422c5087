"""Settings of an instance are asked no more often than Mirakl permits, and what was answered is kept."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from airflow_provider_mirakl.api.platform import (
    list_attributes,
    list_channels,
    list_hierarchies,
    list_shop_roles,
)
from airflow_provider_mirakl.client.http import Client
from airflow_provider_mirakl.client.pacing import Pacer
from airflow_provider_mirakl.client.settings import Settings, api_key
from airflow_provider_mirakl.exceptions import (
    MiraklAuthenticationError,
    MiraklError,
    MiraklInputError,
    MiraklNotYetError,
)
from airflow_provider_mirakl.hooks.platform import PlatformSettings

pytestmark = pytest.mark.mirakl_sandbox_settings(speed=1)

DAY = 86_400


class Clock:
    moment = 1_800_000_000.0

    def __call__(self) -> float:
        return self.moment


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def settings(mirakl_sandbox, tmp_path, clock):
    """Settings as another process would make them: its client remembers no pace."""
    clients = []

    def make(key: str = "sandbox-shop-key") -> PlatformSettings:
        there = Settings(base_url=mirakl_sandbox.mirakl_url, auth=api_key(key), max_attempts=1)
        clients.append(Client(there, pacer=Pacer(), sleep=lambda seconds: None))
        return PlatformSettings(clients[-1], str(tmp_path), clock=clock)

    yield make
    for client in clients:
        client.close()


def calls(sandbox) -> Counter[tuple[str, int]]:
    return Counter((call["operation"], call["status"]) for call in sandbox.journal())


def test_an_answer_is_kept_for_as_long_as_mirakl_permits_no_other(mirakl_sandbox, settings, clock):
    assert settings().channels() == {"INIT", "OUTLET"}
    clock.moment += DAY - 1
    assert settings().channels() == {"INIT", "OUTLET"}
    assert calls(mirakl_sandbox) == {("CH11", 200): 1}
    mirakl_sandbox.call(lambda world: world.limits.clear())
    clock.moment += 1
    assert settings().channels() == {"INIT", "OUTLET"}
    assert calls(mirakl_sandbox) == {("CH11", 200): 2}


def test_one_answer_for_each_call_and_each_account(mirakl_sandbox, settings):
    assert settings().locales() == {"fr_FR", "en_US", "de"}
    assert settings().currencies() == {"EUR", "GBP"}
    assert settings().attributes()
    assert [entry["code"] for entry in settings().document_types("shop")]
    assert settings("sandbox-operator-key").locales() == {"fr_FR", "en_US", "de"}
    settings().get(list_channels())
    assert calls(mirakl_sandbox) == {
        ("L01", 200): 2,
        ("CUR01", 200): 1,
        ("PM11", 200): 1,
        ("DO01", 200): 1,
        ("CH11", 200): 1,
    }


@pytest.mark.parametrize("fault", [None, ("status", 503), ("reset_before", 0)])
def test_an_older_answer_is_better_than_none(mirakl_sandbox, settings, clock, fault, caplog):
    """Another program has asked since (429), Mirakl fails, or it cannot be reached."""
    assert settings().channels() == {"INIT", "OUTLET"}
    clock.moment += 2 * DAY
    if fault is not None:
        mirakl_sandbox.call(lambda world: world.limits.clear())
        mirakl_sandbox.fault(fault[0], "CH11", status=fault[1])
    assert settings().channels() == {"INIT", "OUTLET"}
    assert f"Using the answer of {2 * DAY} s ago" in caplog.text


def test_two_tasks_that_ask_at_once_are_both_answered(mirakl_sandbox, settings, monkeypatch):
    """The second finds nothing kept, asks and is refused: by then the first has its answer."""
    first, second = settings(), settings()
    send = second._client.send

    def overtaken(call):
        first.channels()
        return send(call)

    monkeypatch.setattr(second._client, "send", overtaken)
    assert second.channels() == {"INIT", "OUTLET"}
    assert calls(mirakl_sandbox) == {("CH11", 200): 1, ("CH11", 429): 1}


def test_without_an_older_answer_the_error_is_raised(mirakl_sandbox, settings):
    mirakl_sandbox.fault("status", "CH11", status=503)
    with pytest.raises(MiraklError):
        settings().channels()


def test_a_wrong_key_is_an_error_even_with_an_older_answer(mirakl_sandbox, settings, clock):
    settings().channels()
    clock.moment += 2 * DAY
    mirakl_sandbox.fault("status", "CH11", status=401, body="json")
    with pytest.raises(MiraklAuthenticationError):
        settings().channels()


@pytest.mark.parametrize("content", [b"", b"{}", b"no json", b'{"at": "x", "answer": []}', b"[]"])
def test_a_file_that_cannot_be_read_is_asked_for_anew(mirakl_sandbox, settings, tmp_path, content):
    settings().channels()
    (file,) = [path for path in Path(tmp_path).rglob("*") if path.is_file()]
    assert file.parts[-3] == "platform"
    file.write_bytes(content)
    mirakl_sandbox.call(lambda world: world.limits.clear())
    assert settings().channels() == {"INIT", "OUTLET"}
    assert calls(mirakl_sandbox) == {("CH11", 200): 2}


def test_a_clock_set_back_does_not_keep_an_answer_for_ever(mirakl_sandbox, settings, clock):
    settings().channels()
    clock.moment -= 100 * DAY
    mirakl_sandbox.call(lambda world: world.limits.clear())
    settings().channels()
    assert calls(mirakl_sandbox) == {("CH11", 200): 2}


def test_what_may_be_asked_at_any_time_is_not_kept(mirakl_sandbox, settings, tmp_path):
    mirakl_sandbox.call(lambda world: setattr(world.settings, "limits", "off"))
    settings().get(list_shop_roles())
    assert not [path for path in Path(tmp_path).rglob("*") if path.is_file()]


def test_unknown_codes_are_named_before_a_call_is_spent(mirakl_sandbox, settings):
    settings().check(locales=["fr_FR"], channels=["INIT"])
    with pytest.raises(MiraklInputError) as caught:
        settings().check(
            locales=["fr_FR", "it_IT"], channels=["MOON"], currencies=["XXX"], attributes=["n_o"]
        )
    said = [f"{problem.field}: {problem.message}" for problem in caught.value.problems]
    assert [line.partition(" does")[0] for line in said] == [
        "locales: 'it_IT'",
        "channels: 'MOON'",
        "currencies: 'XXX'",
        "attributes: 'n_o'",
    ]
    assert "which has de, en_US, fr_FR" in said[0]


def test_only_what_is_given_is_asked_for(mirakl_sandbox, settings):
    settings().check(currencies=["EUR"])
    assert calls(mirakl_sandbox) == {("CUR01", 200): 1}


def test_every_category_can_be_asked_for_in_turn_and_none_twice(mirakl_sandbox):
    there = Settings(base_url=mirakl_sandbox.mirakl_url, auth=api_key("sandbox-shop-key"), max_wait=0)
    with Client(there, pacer=Pacer()) as client:
        codes = [hierarchy["code"] for hierarchy in client.send(list_hierarchies())][:3]
        for code in codes:
            client.send(list_hierarchies(hierarchy=code))
            client.send(list_attributes(hierarchy=code))
        with pytest.raises(MiraklNotYetError):
            client.send(list_attributes(hierarchy=codes[0]))
    assert calls(mirakl_sandbox) == {("H11", 200): 4, ("PM11", 200): 3}


def test_an_unknown_code_says_how_old_the_answer_is(settings, clock):
    """A channel may have been created since, and Mirakl permits asking once a day."""
    with pytest.raises(MiraklInputError) as fresh:
        settings().check(channels=["NEW"])
    assert "'NEW' does not exist on this instance, which has INIT, OUTLET" in str(fresh.value)
    assert "as Mirakl answered" not in str(fresh.value)
    clock.moment += DAY / 2
    with pytest.raises(MiraklInputError, match=r"\(as Mirakl answered at 2027-01-15 08:00 UTC\)"):
        settings().check(channels=["NEW"])
