"""Performs steps (:mod:`airflow_provider_mirakl.api.steps`) in this process, one after another."""

from __future__ import annotations

import time
from collections.abc import Callable

from airflow_provider_mirakl.api.steps import Blocking, Send, Sleep, Step
from airflow_provider_mirakl.client.http import Client


def performer(client: Client) -> Callable[[Step], object]:
    """What performs steps in a worker.

    :param client: sends the calls.
    """

    def perform(step: Step) -> object:
        match step:
            case Send():
                return client.send(step.call)
            case Blocking():
                return step.function()
            case Sleep():
                time.sleep(step.seconds)
        return None

    return perform
