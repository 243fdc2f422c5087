"""The step protocol: a generator decides, and a worker or an event loop performs.

A generator yields steps and receives their results. It does no I/O itself, so the same decisions serve a worker, which
sends with the sync client, and the triggerer, which sends with the async one. :func:`send` and :func:`blocking` yield a
step and give its result with its type::

    def import_state(import_id: int) -> Steps[str]:
        tracking = yield from send(get_import(import_id))
        return tracking["import_status"]

"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from airflow_provider_mirakl.api.call import Call, Operation
from airflow_provider_mirakl.exceptions import MiraklError

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sleep:
    """Let time pass.

    :param seconds: how long.
    """

    seconds: float


@dataclass(frozen=True, slots=True)
class Blocking(Generic[T]):
    """Work that blocks, such as reading a file. The triggerer does it in a thread.

    :param function: does the work; its result is handed to the generator.
    """

    function: Callable[[], T]


@dataclass(frozen=True, slots=True)
class Send(Generic[T]):
    """Send a call; its result is handed to the generator.

    :param call: the call.
    """

    call: Call[T]


@dataclass(frozen=True, slots=True)
class Turn:
    """Wait in the account's queue for an operation, until the call is almost due.

    The turn is held until the next :class:`Send` or :class:`Sleep`. Only a triggerer has such queues, since only there
    many tasks share a process.

    :param operation: the operation of the next call.
    :param paced_by: as in :class:`~airflow_provider_mirakl.api.call.Call`.
    """

    operation: Operation
    paced_by: str = ""


class OnlyReads(ABC):
    """A sequence of calls that only read: repeating one is harmless, so nothing is noted before it."""

    @abstractmethod
    def next_call(self) -> Call[Any] | None:
        """The next call; ``None`` when every page is read."""

    @property
    def operation(self) -> Operation | None:
        """The operation of the next call; ``None`` when every page is read."""
        call = self.next_call()
        return None if call is None else call.operation

    def intend(self) -> None:  # noqa: B027 - there is nothing to note
        """Do nothing."""

    def withdraw(self) -> None:  # noqa: B027
        """Do nothing."""


Step: TypeAlias = Sleep | Blocking[Any] | Send[Any] | Turn
Steps: TypeAlias = Generator[Step, Any, T]
"""A generator of steps that returns a ``T``."""


def send(call: Call[T]) -> Steps[T]:
    """Send a call and return its result."""
    result: T = yield Send(call)
    return result


def blocking(function: Callable[[], T]) -> Steps[T]:
    """Do blocking work and return its result."""
    result: T = yield Blocking(function)
    return result


def drive(steps: Generator[S, Any, T], perform: Callable[[S], object]) -> T:
    """Perform steps in a worker.

    :param steps: decides. An error of this package that a step raises is thrown into it.
    :param perform: performs one step and returns its result.
    :return: the return value of the generator.
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


async def drive_async(steps: Generator[S, Any, T], perform: Callable[[S], Awaitable[object]]) -> T:
    """Perform steps on an event loop. See :func:`drive`."""
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
