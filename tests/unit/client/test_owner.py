"""Whose data a note is about: what stays the same when keys are replaced, and what is another account."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_mirakl.client.settings import ClientCredentials, Settings, api_key
from airflow_provider_mirakl.files.owner import is_another

HOST = "https://one.mirakl.net"


def connect(client: str = "a", secret: str = "s", company: str | None = None, host: str = HOST) -> Settings:  # noqa: S107
    return Settings(host, ClientCredentials("https://auth.mirakl.net/oauth/token", client, secret, company))


@pytest.mark.parametrize(
    ("noted", "current", "another"),
    [
        (connect(), connect(secret="t"), False),
        (connect(), connect(client="b"), True),
        (connect(), connect(host="https://two.mirakl.net"), True),
        (connect(), connect(company="1"), False),  # it was set later
        (connect(company="1"), connect(company="2"), True),
        (connect(company="1"), connect(client="b", company="1"), False),
        (Settings(HOST, api_key("k")), Settings(HOST, api_key("l")), False),
        (Settings(HOST, api_key("k")), connect(), False),  # the instance has moved to client credentials
        (connect(company="1"), Settings(HOST, api_key("k")), False),
        (Settings(HOST, api_key("k")), Settings("https://two.mirakl.net", api_key("k")), True),
    ],
)
def test_accounts(noted: Settings, current: Settings, another: bool) -> None:
    assert is_another(noted.owner, current.owner) is another


@pytest.mark.parametrize("unknown", [[], ()])
def test_an_owner_that_is_not_known_fits_every_other(unknown: Any) -> None:
    assert not is_another(unknown, connect().owner)
    assert not is_another(connect().owner, unknown)


def test_an_owner_shows_neither_key_nor_id() -> None:
    settings = connect("client-7", "secret-7", "company-7")
    assert not any("-7" in name for name in settings.owner)
