"""A client of each role that talks to a sandbox through real HTTP, without waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest

from airflow_provider_mirakl.client.http import Client
from airflow_provider_mirakl.client.pacing import Pacer
from airflow_provider_mirakl.client.settings import Settings, api_key
from airflow_provider_mirakl.exceptions import (
    TOKEN,
    MiraklError,
    MiraklNotYetError,
    MiraklRateLimitError,
    MiraklReplyError,
    MiraklServerError,
    MiraklTransportError,
)
from airflow_provider_mirakl.sandbox import Sandbox

ClientOf = Callable[[str], Client]


@pytest.fixture
def client_of(mirakl_sandbox: Sandbox) -> Iterator[ClientOf]:
    with ExitStack() as stack:

        def make(role: str) -> Client:
            settings = Settings(
                base_url=mirakl_sandbox.mirakl_url,
                auth=api_key(f"sandbox-{role}-key"),
                interval_factor=1 / mirakl_sandbox.world.clock.speed,
            )
            return stack.enter_context(Client(settings, pacer=Pacer(), sleep=lambda seconds: None))

        yield make


@pytest.fixture(
    params=[
        MiraklRateLimitError("429", operation="S31", status=429),
        MiraklNotYetError("later", operation="S31", retry_at=datetime(2030, 1, 1, tzinfo=UTC)),
        MiraklTransportError("no such host", operation="S31", surely_not_sent=True),
        MiraklServerError("no token", operation=TOKEN, status=503),
        MiraklReplyError("no token", operation=TOKEN, status=200),
    ]
)
def met_by_all(request: pytest.FixtureRequest) -> MiraklError:
    """An error of a download that every other one would meet too."""
    error: MiraklError = request.param
    return error
