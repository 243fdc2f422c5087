"""Many catalogs that are sent from one triggerer process: the rate of the account, and how long the loop is held.

    python benchmarks/bench_fleet.py                # 50 tasks on one account, 2 calls each, at an interval of 1 s
    python benchmarks/bench_fleet.py --polls 2000   # beside them 2,000 tasks that poll once a minute

The triggers are the package's own, made from what Airflow would store, on one event loop. A sandbox in a process
of its own answers 429 to a call that comes too early. Airflow's own bookkeeping of a triggerer is not part of it.

How long the loop is held is measured in processor time of its thread between two turns of a ticker, so other
processes on the machine do not count; the elapsed time is shown as well.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from measure import figure

TARGET_RATE = 0.98
TARGET_HELD = 0.050
SETTLED = 4.0
"""Seconds until every trigger has started."""
HOOK = "airflow_provider_mirakl.hooks.mirakl_connect.MiraklConnectHook"
SERVER = """
import sys
from airflow_provider_mirakl.sandbox import Sandbox
with Sandbox(speed=float(sys.argv[1]), limits="connect", queue_seconds=1e9) as sandbox:
    print(sandbox.connect_url, sandbox.token_url, sandbox.mirakl_url, flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def sandbox(speed: float) -> Iterator[list[str]]:
    """A sandbox in another process; yields its URLs."""
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(speed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        yield server.stdout.readline().split()
    finally:
        server.kill()
        server.wait()


class Collector:
    """Notes how often Python's garbage collector runs, and for how long it holds everything."""

    def __init__(self) -> None:
        self.pauses: list[tuple[int, float]] = []
        """Generation and seconds."""
        self.in_loop = 0.0
        """Seconds that it took in the loop's thread."""
        self._began = 0.0
        self._loop = threading.main_thread()

    def __call__(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.thread_time()
            return
        took = time.thread_time() - self._began
        self.pauses.append((info["generation"], took))
        if threading.current_thread() is self._loop:
            self.in_loop += took

    def __str__(self) -> str:
        parts = []
        for generation in range(3):
            took = [seconds for number, seconds in self.pauses if number == generation]
            parts.append(
                f"{len(took)} of generation {generation} (longest {max(took, default=0) * 1000:.0f} ms)"
            )
        return ", ".join(parts)


COLLECTOR = Collector()


class Ticker:
    """Notes how long each turn of the loop takes."""

    def __init__(self) -> None:
        self.turns: list[tuple[float, float, float, float]] = []
        """Processor time, elapsed time, seconds since the beginning, and the collector's share of the first."""

    async def run(self) -> None:
        began = elapsed = time.monotonic()
        processor, collected = time.thread_time(), COLLECTOR.in_loop
        while True:
            await asyncio.sleep(0.002)  # a turn of the loop may take longer, and then so does this
            now = time.thread_time(), time.monotonic(), COLLECTOR.in_loop
            self.turns.append((now[0] - processor, now[1] - elapsed, now[1] - began, now[2] - collected))
            processor, elapsed, collected = now


def plan(folder: Path, name: str, calls: int, size: int) -> Any:
    """Plan an upsert as a worker does; its trigger."""
    from airflow_provider_mirakl.catalog.ledger import Ledger
    from airflow_provider_mirakl.catalog.plan import plan_upsert
    from airflow_provider_mirakl.triggers.paced import PacedTrigger

    products = [
        {"id": f"{name}-{number:05d}", "descriptions": [{"locale": "en_US", "value": "x" * 1000}]}
        for number in range(calls * size)
    ]
    Ledger.open(plan_upsert(products, folder / name, batch_size=size), generation="run")
    return PacedTrigger(
        opener="airflow_provider_mirakl.triggers.places.open_plan",
        arguments={"folder": str(folder / name), "generation": "run"},
        hook=HOOK,
        conn_id="mirakl_connect_default",
        state={"pace": {}, "journey": {}, "carried": {}},
    )


def submit() -> int:
    """A job that never ends."""
    from airflow_provider_mirakl.api.catalog_manager import synchronize_products
    from airflow_provider_mirakl.hooks.mirakl import MiraklHook

    with MiraklHook("mirakl_operator").get_conn() as client:
        return client.send(synchronize_products([{"mirakl_product_id": "MKL-021", "product_sku": "SKU-021"}]))


def poll(job_id: int, first: float, deadline: float) -> Any:
    from airflow_provider_mirakl.triggers.poll import PollTrigger

    return PollTrigger(
        poll="airflow_provider_mirakl.jobs.polls.jobs_ended",
        arguments={"kind": "product_synchronization", "job_ids": [job_id], "role": "operator", "since": None},
        hook="airflow_provider_mirakl.hooks.mirakl.MiraklHook",
        conn_id="mirakl_operator",
        first=first,
        interval=60.0,
        deadline=deadline,
    )


async def fire(trigger: Any) -> Any:
    async for event in trigger.run():
        return event.payload
    return None


async def run(triggers: list[Any], polls: list[Any]) -> tuple[Ticker, float]:
    ticker = Ticker()
    waiting = [asyncio.create_task(fire(one)) for one in polls]
    ticking = asyncio.create_task(ticker.run())
    began = time.monotonic()
    events = await asyncio.gather(*map(fire, triggers))
    elapsed = time.monotonic() - began
    ticking.cancel()
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert all(event["status"] == "done" for event in events), events
    return ticker, elapsed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tasks", type=int, default=50)
    parser.add_argument("--calls", type=int, default=2)
    parser.add_argument("--size", type=int, default=1000)
    parser.add_argument("--polls", type=int, default=0)
    parser.add_argument("--interval", type=float, default=1.0)
    chosen = parser.parse_args()
    speed = 60 / chosen.interval
    with tempfile.TemporaryDirectory() as home, sandbox(speed) as (connect, token, mirakl):
        os.environ |= {"AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        os.environ["AIRFLOW_CONN_MIRAKL_CONNECT_DEFAULT"] = json.dumps(
            {
                "conn_type": "mirakl_connect",
                "host": connect,
                "login": "sandbox-client",
                "password": "sandbox-secret",
                "extra": {"token_url": token, "interval_factor": 1 / speed},
            }
        )
        os.environ["AIRFLOW_CONN_MIRAKL_OPERATOR"] = json.dumps(
            {
                "conn_type": "mirakl",
                "host": mirakl,
                "password": "sandbox-operator-key",
                "extra": {"role": "operator"},
            }
        )
        names = [f"task{number:03d}" for number in range(chosen.tasks)]
        triggers = [plan(Path(home), name, chosen.calls, chosen.size) for name in names]
        now = time.time()
        job_id = submit() if chosen.polls else 0
        polls = [poll(job_id, now + 60 * n / max(1, chosen.polls), now + 1e6) for n in range(chosen.polls)]
        objects = len(gc.get_objects())
        gc.callbacks.append(COLLECTOR)
        used = time.process_time()
        ticker, elapsed = asyncio.run(run(triggers, polls))
        used = time.process_time() - used
        with urllib.request.urlopen(f"{mirakl.removesuffix('/mirakl')}/_sandbox/journal") as reply:  # noqa: S310
            journal = json.load(reply)["calls"]
    calls = [call for call in journal if call["operation"] == "upsertProducts"]
    polled = sum(call["operation"] == "CM22" for call in journal)
    statuses = [call["status"] for call in calls]
    accepted, refused = statuses.count(202), statuses.count(429)
    moments = sorted(call["real"] for call in calls if call["status"] == 202)
    rate = (accepted - 1) * chosen.interval / (moments[-1] - moments[0])
    overhead = chosen.interval / rate - chosen.interval
    minute = 60 / (60 + overhead)
    # All begin at once, which a triggerer never sees but when it starts, and all end at once: told apart.
    longest = sorted(turn for turn in ticker.turns if SETTLED < turn[2] < elapsed - 1)[::-1]
    own = max(turn[0] - turn[3] for turn in longest)
    held = longest[0][0]
    starting = max((turn[0] for turn in ticker.turns if turn[2] <= SETTLED), default=0.0)
    print(
        f"{chosen.tasks} tasks, {accepted} calls accepted, {refused} refused, rate {rate:.3f}, {elapsed:.0f} s\n"
        f"  a call took {overhead:.2f} s beyond its interval: at an interval of a minute a rate of {minute:.3f}\n"
        f"  loop held longest: {held * 1000:.0f} ms of processor time ({longest[0][1] * 1000:.0f} ms elapsed), "
        f"without the garbage collector {own * 1000:.0f} ms; while all start at once {starting * 1000:.0f} ms\n"
        f"  collections: {COLLECTOR}; {objects:,} objects were loaded before\n"
        f"  process: {1000 * used / accepted:.0f} ms of processor time a call, beside {chosen.polls} tasks that "
        f"polled {polled} times; "
        f"memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB"
    )
    figure("fleet: calls refused as too early", refused, "calls", at_most=0)
    figure(
        "fleet: rate at an interval of a minute, calculated",
        minute,
        "of the published one",
        at_least=TARGET_RATE,
    )
    figure(
        "fleet: longest hold of the event loop, processor time", held * 1000, "ms", at_most=TARGET_HELD * 1000
    )
    if refused or minute < TARGET_RATE or held > TARGET_HELD:
        sys.exit(
            f"missed: no call refused, rate {TARGET_RATE}, loop held for {TARGET_HELD * 1000:.0f} ms at most"
        )


if __name__ == "__main__":
    main()
