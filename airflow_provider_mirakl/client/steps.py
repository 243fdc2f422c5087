"""Performs steps (:mod:`airflow_provider_mirakl.api.steps`) in this process, one after another."""

from __future__ import annotations

import time
from collections.abc import Callable

from airflow_provider_mirakl.api.steps import Blocking, Send, Sleep, Step
from airflow_provider_mirakl.client.http import Client


def performer(
    client: Client,
    *,
    max_wait: float | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Callable[[Step], object]:
    """What performs steps in a worker.

    :param client: sends the calls.
    :param max_wait: see :meth:`~airflow_provider_mirakl.client.http.Client.send`.
    :param sleep: waits a number of seconds.
    """

    def perform(step: Step) -> object:
        match step:
            case Send():
                return client.send(step.call, max_wait=max_wait)
            case Blocking():
                return step.function()
            case Sleep():
                sleep(step.seconds)
        return None

    return perform
