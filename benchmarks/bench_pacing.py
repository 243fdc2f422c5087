"""Pacing and waiting on a running Airflow: how close to Mirakl's call frequency, and how little of a worker it takes.

    python benchmarks/bench_pacing.py                              # 30 calls at the real minute: half an hour
    python benchmarks/bench_pacing.py --interval 20 --chunks 10    # a quick run

A scheduler, a triggerer, an API server and workers (LocalExecutor) run as processes of their own; one deferrable upsert
sends its chunks to a sandbox that takes one call an interval. Beside it three sensors wait for one import, which is
polled once an interval and ends with the last chunk: one deferrable, one in mode ``reschedule``, one in mode ``poke``.
The limit is Connect's only, so that the sensors do not get in one another's way. Measured:

rate
    intervals between the first and the last accepted call, over the time between them: 1 is the published frequency.
    At a shorter interval than a minute, the same delay of each call weighs more, so the rate at a minute is calculated.
worker
    what Airflow itself logs as the duration of every piece of work that held a slot of the executor, from the fork of
    the task's process to its end, summed up for each task.
"""

from __future__ import annotations

import argparse
import itertools
import re
import sys
import tempfile
import time
from pathlib import Path

from measure import figure, table
from products import write_products

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "airflow" / "live"))
from live_airflow import LiveAirflow  # noqa: E402 - the tests' own harness

from airflow_provider_mirakl.sandbox import Sandbox  # noqa: E402
from airflow_provider_mirakl.sandbox.pytest_plugin import connections  # noqa: E402

TARGET_RATE = 0.98
TARGET_BUSY = 0.05
TARGET_SHARE = 0.5
"""Slot seconds of a deferrable sensor, of those of one in mode ``poke``."""
MINUTE = 60.0
SLOT = re.compile(r"Workload finished.*")
FIELD = re.compile(r"(duration|workload_id)=\S*?([\w.-]+)")
DAG = """
from datetime import datetime, timezone

from airflow.providers.common.compat.sdk import DAG
from airflow_provider_mirakl.operators.connect import MiraklConnectUpsertProductsOperator
from airflow_provider_mirakl.sensors.jobs import MiraklProductImportSensor

with DAG(dag_id="pacing", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):
    MiraklConnectUpsertProductsOperator(task_id="upsert", source={source!r}, deferrable=True)
    wait = {{"job_ids": {job_ids!r}, "mirakl_conn_id": "mirakl_shop"}}
    MiraklProductImportSensor(task_id="deferrable", deferrable=True, **wait)
    MiraklProductImportSensor(task_id="reschedule", mode="reschedule", **wait)
    MiraklProductImportSensor(task_id="poke", mode="poke", **wait)
"""
TASKS = ("upsert", "deferrable", "reschedule", "poke")


def submit(sandbox: Sandbox) -> list[int]:
    """An import that the sensors wait for."""
    from airflow_provider_mirakl.api.products import import_products
    from airflow_provider_mirakl.client.http import Client
    from airflow_provider_mirakl.client.settings import HeaderAuth, Settings

    auth = HeaderAuth((("Authorization", "sandbox-shop-key"),))
    with Client(Settings(sandbox.mirakl_url, auth, interval_factor=1e-9)) as client:
        file = b"category;shop_sku;title;ean\nheadphones;A;One;2000000000001\n"
        return [client.send(import_products(file, "products.csv"))]


def slots(airflow: LiveAirflow) -> dict[str, list[float]]:
    """Seconds of each piece of work that held a slot, by task."""
    rows = airflow.query(
        "select id, task_id from task_instance where dag_id = 'pacing'"
        " union select task_instance_id, task_id from task_instance_history where dag_id = 'pacing'"
    )
    names = {str(key).replace("-", ""): str(task_id) for key, task_id in rows}
    held: dict[str, list[float]] = {task_id: [] for task_id in TASKS}
    for line in SLOT.findall(airflow.component_log("scheduler").read_text()):
        found = dict(FIELD.findall(line))
        held[names[found["workload_id"].replace("-", "")]].append(float(found["duration"]))
    return held


def main() -> int:
    """Run and report; the exit code shows whether the targets are met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--interval", type=float, default=60.0, help="seconds between two calls")
    parser.add_argument("--chunks", type=int, default=30, help="calls, of 1,000 products each")
    options = parser.parse_args()
    speed = MINUTE / options.interval
    with (
        tempfile.TemporaryDirectory(prefix="pacing-", ignore_cleanup_errors=True) as name,
        Sandbox(
            speed=speed, limits="connect", queue_seconds=MINUTE * options.chunks, run_seconds=MINUTE
        ) as sandbox,
        LiveAirflow(Path(name) / "home", Path(name) / "connections.json") as airflow,
    ):
        source = Path(name) / "products.ndjson"
        write_products(source, options.chunks * 1000)
        for conn_id, connection in connections(sandbox).items():
            airflow.add_connection(conn_id, connection)
        airflow.add_dag("pacing", DAG.format(source=str(source), job_ids=submit(sandbox)))
        run = airflow.trigger("pacing")
        run.until_task("upsert", "running")
        began = time.monotonic()
        run.until_task("upsert", "success", timeout=options.chunks * options.interval * 2 + 300)
        elapsed = time.monotonic() - began
        run.succeed(timeout=options.chunks * options.interval * 2 + 300)
        airflow.until(lambda: all(slots(airflow).values()), "every task is logged", 60)
        held = slots(airflow)
        journal = sandbox.journal("upsertProducts")
    moments = [call["real"] for call in journal if call["status"] == 202]
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    rate = (len(moments) - 1) * options.interval / (moments[-1] - moments[0])
    at_minute = MINUTE / (MINUTE + options.interval / rate - options.interval)
    refused = sum(call["status"] == 429 for call in journal)
    used = {task_id: sum(seconds) for task_id, seconds in held.items()}
    busy_at_minute = used["upsert"] / (MINUTE * len(moments))
    print("late by, s:   ", " ".join(f"{gap - options.interval:.1f}" for gap in gaps))
    print(f"{len(moments)} calls at one every {options.interval:g} s in {elapsed:.0f} s")
    rows = [("task", "slots held", "seconds")]
    rows += [(task_id, str(len(held[task_id])), f"{used[task_id]:.1f}") for task_id in TASKS]
    print(table(rows))
    print(
        f"rate: {rate:.3f} of the published one, {at_minute:.3f} at an interval of a minute; 429: {refused}"
    )
    print(
        f"worker: {used['upsert'] / elapsed:.1%} of the time, {busy_at_minute:.1%} at an interval of a minute"
    )
    calls = f"{len(moments)} calls"
    figure(f"pacing: rate at an interval of a minute, calculated from {calls} on a running Airflow",
           at_minute, "of the published one", at_least=TARGET_RATE)  # fmt: skip
    figure(f"pacing: calls refused as too early, for {calls} accepted", refused, "calls", at_most=0)
    figure(f"pacing: share of the time in which a worker slot is held, for {calls} at an interval of a minute",
           busy_at_minute, "of the time", at_most=TARGET_BUSY)  # fmt: skip
    figure(f"pacing: task starts for {calls}", len(held["upsert"]), "starts", at_most=2)
    for mode in ("poke", "reschedule"):
        figure(f"waiting, {options.chunks} polls: worker slot seconds of a deferrable sensor over mode {mode}",
               used["deferrable"] / used[mode], "times", at_most=TARGET_SHARE)  # fmt: skip
    good = at_minute >= TARGET_RATE and refused == 0 and busy_at_minute <= TARGET_BUSY
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
