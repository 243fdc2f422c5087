"""Carrying out a generator's steps: the one loop behind workers and triggers, in its two colours.

Whoever decides is a generator that yields steps and is handed their results; whoever performs knows how to do a step.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

from airflow_provider_mirakl.exceptions import MiraklError

S = TypeVar("S")
T = TypeVar("T")


def drive(steps: Generator[S, Any, T], perform: Callable[[S], Any]) -> T:
    """Carry out steps in a worker.

    :param steps: decides. An error of this package that a step raises is thrown into it.
    :param perform: does one step and gives its result.
    :return: what the generator returns.
    """
    with contextlib.closing(steps):
        try:
            step = next(steps)
            while True:
                try:
                    result = perform(step)
                except MiraklError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as stop:
            value: T = stop.value
            return value


async def drive_async(steps: Generator[S, Any, T], perform: Callable[[S], Awaitable[Any]]) -> T:
    """Carry out steps on an event loop. See :func:`drive`."""
    with contextlib.closing(steps):
        try:
            step = next(steps)
            while True:
                try:
                    result = await perform(step)
                except MiraklError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as stop:
            value: T = stop.value
            return value
