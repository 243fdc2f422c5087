"""How long a fleet of shops takes, and what it holds meanwhile: the model of docs/deployment.md, and a simulation.

    python benchmarks/model_fleet.py                              # 1,000 shops of 100,000 products
    python benchmarks/model_fleet.py --shops 10 --tasks 5         # five tasks on each account
    python benchmarks/model_fleet.py --shops 1 --tasks 50 --calls 4 --triggerers 2

The simulation runs the package's own code on an event loop whose clock jumps to the next timer: the paced loop, the
queues of a triggerer (:mod:`airflow_provider_mirakl.triggers.line`), the pacer and the exchange with its 429s. Only
Mirakl is replaced, by its rule: a call that comes within an interval of the one that was counted before is refused,
with ``Retry-After``. No time passes, so the figures do not depend on the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import math
import selectors
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from airflow_provider_mirakl.api.call import Reply
from airflow_provider_mirakl.api.connect import UPSERT_PRODUCTS, upsert_products
from airflow_provider_mirakl.api.steps import OnlyReads, drive_async
from airflow_provider_mirakl.catalog import loop as paced_loop
from airflow_provider_mirakl.catalog.loop import CallLimits, Pace, make_calls
from airflow_provider_mirakl.client import exchange
from airflow_provider_mirakl.client.pacing import Pacer
from airflow_provider_mirakl.client.settings import HeaderAuth, Settings
from airflow_provider_mirakl.triggers import desk as desks

INTERVAL = UPSERT_PRODUCTS.interval
LATENCY = 0.3
"""Seconds that Mirakl accepts to answer; not published. The interval runs from the reply, so they add to it."""
WAY = 0.05
"""Seconds until a request reaches Mirakl, which counts it then."""
STAGGER = 120.0
"""Seconds within which the tasks come to the triggerers, one after another."""
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC).timestamp()
ERA = 1e5
"""Where the monotonic clock stands at noon."""


@dataclass
class Account:
    """An account as Mirakl counts it."""

    counted: float = -math.inf
    accepted: list[float] = field(default_factory=list)
    refused: int = 0

    def arrive(self, now: float) -> Reply:
        """A call arrives."""
        if now - self.counted < INTERVAL:
            self.refused += 1
            wait = math.ceil(INTERVAL - (now - self.counted))
            return Reply(UPSERT_PRODUCTS.code, 429, {"retry-after": str(wait)}, b"{}")
        self.counted = now
        self.accepted.append(now)
        return Reply(UPSERT_PRODUCTS.code, 202, {}, b"")


class Catalog(OnlyReads):
    """The calls of one task; its progress is in memory."""

    not_before = None
    is_current = True
    last_call_at: datetime | None = None

    def __init__(self, calls: int, now: Any) -> None:
        self._left, self._now = calls, now

    @property
    def operation(self) -> Any:
        """Of the next call."""
        return UPSERT_PRODUCTS if self._left else None

    def next_call(self) -> Any:
        """A call; what is in it does not matter."""
        return upsert_products(b'{"products":[]}') if self._left else None

    def accept(self, result: object, at: datetime) -> None:
        """Note a call."""
        self._left -= 1
        self.last_call_at = datetime.fromtimestamp(self._now(), UTC)

    def describe(self, interval: float) -> str:
        """Nothing to say."""
        return ""


class Client:
    """The client of an account in one triggerer: the package's exchange and pacer, without HTTP."""

    def __init__(self, name: str, account: Account, pacer: Pacer, now: Any) -> None:
        self._account, self._pacer, self._now = account, pacer, now
        self._settings = Settings(
            "https://simulated.example", HeaderAuth((("Authorization", f"key of {name}"),))
        )
        self.settings = SimpleNamespace(account=f"{name}/{id(pacer)}", interval_factor=1.0, max_wait=10.0)

    def next_permitted(self, operation: Any, paced_by: str = "") -> float:
        """Seconds until the next call."""
        return self._pacer.wait((self._settings.account, operation.code, paced_by), now=self._now())

    async def send(self, call: Any, *, max_wait: float) -> Any:
        """Send a call."""
        steps = exchange.exchange(call, self._settings, self._pacer, clock=self._now, max_wait=max_wait)
        return await drive_async(steps, self._perform)

    async def _perform(self, effect: Any) -> Any:
        match effect:
            case exchange.Wait():
                await asyncio.sleep(effect.seconds)
            case exchange.Parse():
                effect.parse()
            case exchange.Send():
                await asyncio.sleep(WAY)
                reply = self._account.arrive(self._now())
                await asyncio.sleep(LATENCY - WAY)
                return reply
        return None


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer. It waits for nothing else: no socket, no thread."""

    def __init__(self) -> None:
        self.elapsed = 0.0
        super().__init__(_NoWait(self))

    def time(self) -> float:
        """Seconds of the simulation."""
        return ERA + self.elapsed


class _NoWait(selectors.SelectSelector):
    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("every task waits, and no timer is set: the simulation would never end")
        self._loop.elapsed += max(0.0, timeout)
        return []


@contextlib.contextmanager
def simulated_time(loop: Loop) -> Iterator[Any]:
    """The clock of the modules under simulation; gives it."""

    def now() -> float:
        return NOON + loop.elapsed

    async def inline(function: Any) -> Any:
        return function()

    clock: Any = SimpleNamespace(time=now, monotonic=loop.time)
    kept = paced_loop.time, desks.time, desks.in_thread
    paced_loop.time = desks.time = clock
    desks.in_thread = inline
    try:
        yield now
    finally:
        paced_loop.time, desks.time, desks.in_thread = kept


@dataclass(frozen=True)
class Result:
    """What a simulation found."""

    hours: float
    """From the first to the last call of the slowest account."""
    accepted: int
    refused: int
    rate: float
    """Share of the published frequency that was used, of the slowest account."""
    at_once: int
    """Triggers that were there at the same time."""
    unfairness: int
    """Most calls that one task of an account was ahead of another, while both were there."""


def simulate(*, shops: int, calls: int, tasks: int = 1, triggerers: int = 1) -> Result:
    """Send catalogs.

    :param shops: accounts.
    :param calls: of each task.
    :param tasks: of each account.
    :param triggerers: over which an account's tasks are spread.
    """
    logging.getLogger("airflow_provider_mirakl").setLevel(logging.CRITICAL)
    accounts = [Account() for _ in range(shops)]
    loop = Loop()
    made: dict[tuple[int, int], int] = {}
    spread = 0
    running = most = 0

    with simulated_time(loop) as now:
        pacers = [Pacer() for _ in range(triggerers)]

        async def task(shop: int, number: int) -> None:
            nonlocal running, most, spread
            await asyncio.sleep(STAGGER * (shop * tasks + number) / (shops * tasks))
            running += 1
            most = max(most, running)
            place = (shop * tasks + number) % triggerers
            client: Any = Client(f"shop {shop}", accounts[shop], pacers[place], now)
            desk = desks.Desk(lambda: None)  # type: ignore[arg-type, return-value]
            desk._client, desk._read_at = client, math.inf
            work: Any = Catalog(calls, now)
            limits = CallLimits(1.0, 5, 24 * 3600.0)
            made[shop, number] = 0

            def accept(result: object, at: datetime, kept: Any = work.accept) -> None:
                nonlocal spread
                kept(result, at)
                made[shop, number] += 1
                others = [made[shop, n] for n in range(tasks) if 0 < made.get((shop, n), -1) < calls]
                spread = max(spread, made[shop, number] - min(others, default=made[shop, number]))

            work.accept = accept
            async with desk.caller() as perform:
                await drive_async(
                    make_calls(lambda: work if work.operation else None, Pace(), limits, QUIET, clock=now),
                    perform,
                )
            running -= 1

        async def everything() -> None:
            await asyncio.gather(*(task(shop, number) for shop in range(shops) for number in range(tasks)))

        try:
            loop.run_until_complete(everything())
        finally:
            loop.close()
    rates = [
        INTERVAL * (len(account.accepted) - 1) / (account.accepted[-1] - account.accepted[0])
        for account in accounts
        if len(account.accepted) > 1
    ]
    return Result(
        hours=max(account.accepted[-1] - account.accepted[0] for account in accounts) / 3600,
        accepted=sum(len(account.accepted) for account in accounts),
        refused=sum(account.refused for account in accounts),
        rate=min(rates, default=1.0),
        at_once=most,
        unfairness=spread,
    )


QUIET: Any = SimpleNamespace(info=lambda *_: None, warning=lambda *_: None)


@dataclass(frozen=True)
class Model:
    """What docs/deployment.md calculates.

    :param calls: calls of one account, of all its tasks.
    :param hours: until an account is done.
    :param triggers: rows of Airflow's table ``trigger`` at once, and ``[triggerer] capacity`` that is needed.
    :param starts: processes that workers start.
    :param slots: worker slots, so that every shop is planned in the first hour.
    :param rows: rows of the database that stay: task instances, and the XComs of their results.
    """

    calls: int
    hours: float
    triggers: int
    starts: int
    slots: int
    rows: int


def model(*, shops: int, products: int, tasks: int = 1, planning: float = 30.0) -> Model:
    """Calculate.

    :param shops: accounts.
    :param products: of each task.
    :param tasks: of each account.
    :param planning: seconds for which a worker is held by one task: reading, checking, planning, evaluating.
    """
    calls = math.ceil(products / 1000) * tasks
    return Model(
        calls=calls,
        hours=(calls - 1) * (INTERVAL + LATENCY) / 3600,
        triggers=shops * tasks,
        starts=2 * shops * tasks,
        slots=math.ceil(shops * tasks * planning / 3600),
        rows=2 * shops * tasks,
    )


def main() -> None:
    """Print the model beside the simulation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shops", type=int, default=1000)
    parser.add_argument("--calls", type=int, default=100, help="calls of each task")
    parser.add_argument("--tasks", type=int, default=1, help="tasks of each account")
    parser.add_argument(
        "--triggerers", type=int, default=1, help="over which the tasks of an account are spread"
    )
    chosen = parser.parse_args()
    expected = model(shops=chosen.shops, products=1000 * chosen.calls, tasks=chosen.tasks)
    began = time.process_time()
    found = simulate(shops=chosen.shops, calls=chosen.calls, tasks=chosen.tasks, triggerers=chosen.triggerers)
    used = time.process_time() - began
    print(
        f"{chosen.shops:,} accounts, {chosen.tasks} tasks each, {chosen.calls} calls a task, {chosen.triggerers} "
        f"triggerers: {found.accepted:,} calls\n"
        f"  model: {expected.hours:.2f} h, {expected.triggers:,} triggers, {expected.starts:,} task processes, "
        f"{expected.slots} worker slots, {expected.rows:,} rows stay\n"
        f"  simulation: {found.hours:.2f} h, {found.at_once:,} triggers at once, rate {found.rate:.4f}, "
        f"{found.refused:,} refused calls ({found.refused / found.accepted:.3f} for each accepted one), "
        f"a task at most {found.unfairness} calls ahead of another\n"
        f"  {used:.0f} s of processor time"
    )
    if found.hours > 1.02 * expected.hours:
        sys.exit("the simulation takes longer than the model says")


if __name__ == "__main__":
    main()
