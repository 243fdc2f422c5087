"""Many tasks that wait in one triggerer process, on one core: how late their polls are, and what they cost.

    python benchmarks/bench_triggers.py                 # 2,000 tasks for 4 minutes, each kind of poll
    python benchmarks/bench_triggers.py --tasks 200 --minutes 1
    python benchmarks/bench_triggers.py --interval 20 --minutes 0.7   # three polls of each task in a minute

The triggers are the package's own, made from what Airflow would store of them, on one event loop pinned to one core. A
sandbox in a process of its own answers at real speed, with a poll interval of 60 s or a shorter one. Airflow's own
bookkeeping of a triggerer is not part of it.

Two kinds of waiting: ``alone``, where Mirakl has no listing (CM21: each task polls), and ``shared``, where it
has one (P41: one reading of P51 for all).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from measure import figure

MINUTE = 60.0
"""Seconds between two polls, as Mirakl recommends."""
TARGET_LATENESS = 1.0
TARGET_CORE = 0.5
TARGET_SHARED = 0.75
"""Calls of tasks that share a listing, of those of tasks that do not. The first poll of a task is often its own."""

SERVER = """
import sys, time
from airflow_provider_mirakl.sandbox import Sandbox
with Sandbox(limits="off", queue_seconds=1e6) as sandbox:
    print(sandbox.mirakl_url, flush=True)
    sys.stdin.read()
"""

looks: dict[str, list[float]] = defaultdict(list)


def recorded(notes: dict[str, Any], *, mark: str, **arguments: Any) -> Any:
    """The package's own poll, with a note of when it runs."""
    from airflow_provider_mirakl.jobs.polls import jobs_ended

    looks[mark].append(time.time())
    return (yield from jobs_ended(notes, **arguments))


@contextlib.contextmanager
def sandbox(core: int) -> Iterator[str]:
    """A sandbox on another core; yields its URL."""
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    os.sched_setaffinity(server.pid, {core})
    try:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
    finally:
        server.kill()
        server.wait()


def submit(kind: str, count: int) -> list[Any]:
    """Jobs that never end, submitted without pacing."""
    from airflow_provider_mirakl.api.catalog_manager import synchronize_products
    from airflow_provider_mirakl.api.products import import_products
    from airflow_provider_mirakl.client.http import Client
    from airflow_provider_mirakl.client.pacing import Pacer
    from airflow_provider_mirakl.hooks.mirakl import MiraklHook

    hook = MiraklHook("mirakl_shop" if kind == "shared" else "mirakl_operator")
    settings = dataclasses.replace(hook.settings, interval_factor=0.0)
    with Client(settings, pacer=Pacer()) as client:
        if kind == "shared":
            file = b"category;shop_sku;title;ean\nheadphones;A;One;2000000000001\n"
            return [client.send(import_products(file, f"{n}.csv")) for n in range(count)]
        item = [{"mirakl_product_id": "MKL-021", "product_sku": "SKU-021"}]
        return [client.send(synchronize_products(item)) for _ in range(count)]


async def wait(kind: str, job_ids: list[Any], minutes: float, interval: float) -> dict[str, float]:
    """Run all triggers, spread over an interval like tasks that start one by one; return when each begins to poll."""
    from airflow_provider_mirakl.triggers.poll import PollTrigger

    shared = kind == "shared"
    start = time.time() + 5
    first = {str(job_id): start + interval * n / len(job_ids) for n, job_id in enumerate(job_ids)}

    async def one(job_id: Any) -> None:
        stored = PollTrigger(
            poll="bench_triggers.recorded",
            arguments={
                "mark": str(job_id),
                "kind": "product_import" if shared else "product_synchronization",
                "job_ids": [job_id],
                "role": "shop" if shared else "operator",
                "since": None,
            },
            hook="airflow_provider_mirakl.hooks.mirakl.MiraklHook",
            conn_id="mirakl_shop" if shared else "mirakl_operator",
            first=first[str(job_id)],
            interval=interval,
            deadline=first[str(job_id)] + minutes * 60,
        ).serialize()[1]
        async for event in PollTrigger(**json.loads(json.dumps(stored))).run():
            assert event.payload["status"] == "timeout", event.payload

    await asyncio.gather(*(one(job_id) for job_id in job_ids))
    return first


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def calls(url: str) -> Counter[str]:
    with urllib.request.urlopen(f"{url.removesuffix('/mirakl')}/_sandbox/journal") as reply:  # noqa: S310
        return Counter(call["operation"] for call in json.load(reply)["calls"])


def bench(kind: str, tasks: int, minutes: float, interval: float) -> tuple[bool, int]:
    """Wait with many tasks and report; whether every target is met, and how many calls were made."""
    cores = sorted(os.sched_getaffinity(0))
    with sandbox(cores[-1]) as url:
        for role in ("shop", "operator"):
            connection = {
                "conn_type": "mirakl",
                "host": url,
                "password": f"sandbox-{role}-key",
                "extra": {"role": role, "interval_factor": interval / MINUTE},
            }
            os.environ[f"AIRFLOW_CONN_MIRAKL_{role.upper()}"] = json.dumps(connection)
        job_ids = submit(kind, tasks)
        looks.clear()
        before = calls(url)
        os.sched_setaffinity(0, {cores[0]})
        used = resource.getrusage(resource.RUSAGE_SELF)
        began = time.monotonic()
        first = asyncio.run(wait(kind, job_ids, minutes, interval))
        elapsed = time.monotonic() - began
        now = resource.getrusage(resource.RUSAGE_SELF)
        os.sched_setaffinity(0, set(cores))
        made = calls(url) - before
    cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    late = [
        moment - (first[mark] + interval * number)
        for mark, moments in looks.items()
        for number, moment in enumerate(moments)
    ]
    counts = [len(looks[mark]) for mark in first]
    typical, rare = (percentile(late, share) * 1000 for share in (0.5, 0.99))
    print(
        f"{kind}: {tasks:,} tasks, {elapsed:.0f} s, {sum(counts):,} polls, {dict(made)}\n"
        f"  lateness of a poll: median {typical:.0f} ms, 99 % {rare:.0f} ms, worst {max(late) * 1000:.0f} ms\n"
        f"  polls of a task: least {min(counts)}, most {max(counts)}\n"
        f"  one core: {100 * cpu / elapsed:.1f} % busy, {1000 * cpu / sum(counts):.2f} ms a poll;"
        f" memory {now.ru_maxrss / 1024:.0f} MB"
    )
    late_share, core = percentile(late, 0.99) / MINUTE, cpu / sum(counts) * tasks / MINUTE
    uneven = max(counts) - min(counts)
    what = f"waiting, {tasks:,} tasks in one triggerer, {kind}"
    figure(
        f"{what}: share of one core at a poll a minute, calculated", core, "of a core", at_most=TARGET_CORE
    )
    figure(f"{what}: lateness of 99 % of the polls, of a minute", late_share, "of a minute",
           at_most=round(TARGET_LATENESS / MINUTE, 3))  # fmt: skip
    figure(f"{what}: most polls of a task beyond the fewest", uneven, "polls", at_most=1)
    good = percentile(late, 0.99) <= TARGET_LATENESS and core <= TARGET_CORE and uneven <= 1
    return good, made.total()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--tasks", type=int, default=2000)
    arguments.add_argument("--minutes", type=float, default=4.0)
    arguments.add_argument(
        "--interval", type=float, default=MINUTE, help="seconds between two polls of a task"
    )
    arguments.add_argument("--kind", choices=["alone", "shared"])
    chosen = arguments.parse_args()
    sys.modules.setdefault("bench_triggers", sys.modules[__name__])
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {"AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "WARNING"
        kinds = [chosen.kind] if chosen.kind else ["alone", "shared"]
        done = {kind: bench(kind, chosen.tasks, chosen.minutes, chosen.interval) for kind in kinds}
    if len(done) == 2:
        figure(f"waiting, {chosen.tasks:,} tasks: calls with a shared listing over calls without",
               done["shared"][1] / done["alone"][1], "times", at_most=TARGET_SHARED)  # fmt: skip
    if not all(good for good, _ in done.values()):
        sys.exit(
            f"missed: 99 % of polls within {TARGET_LATENESS:g} s, {TARGET_CORE:.0%} of a core, and no task left behind"
        )


if __name__ == "__main__":
    main()
