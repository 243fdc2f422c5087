"""Pacing on a running Airflow: how close to Mirakl's call frequency, and how little of a worker it takes.

    python benchmarks/bench_pacing.py                              # 30 calls at the real minute: half an hour
    python benchmarks/bench_pacing.py --interval 20 --chunks 10    # a quick run

A scheduler, a triggerer, an API server and workers (LocalExecutor) run as processes of their own; one deferrable upsert
sends its chunks to a sandbox that takes one call an interval. Measured are:

rate
    intervals between the first and the last accepted call, over the time between them: 1 is the published frequency.
worker
    what Airflow itself logs as the duration of every piece of work that held a slot of the executor, from the fork of
    the task's process to its end, summed up, over the time from the first to the last of them.
"""

from __future__ import annotations

import argparse
import itertools
import re
import sys
import tempfile
import time
from pathlib import Path

from products import write_products

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "airflow" / "live"))
from live_airflow import LiveAirflow  # noqa: E402 - the tests' own harness

from airflow_provider_mirakl.sandbox import Sandbox  # noqa: E402
from airflow_provider_mirakl.sandbox.pytest_plugin import connections  # noqa: E402

TARGET_RATE = 0.98
TARGET_BUSY = 0.05
SLOT = re.compile(r"Workload finished .*?duration=([\d.]+)")
DAG = """
from datetime import datetime, timezone

from airflow.providers.common.compat.sdk import DAG
from airflow_provider_mirakl.operators.connect import MiraklConnectUpsertProductsOperator

with DAG(dag_id="pacing", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):
    MiraklConnectUpsertProductsOperator(task_id="upsert", source={source!r}, deferrable=True)
"""


def main() -> int:
    """Run and report; the exit code shows whether both targets are met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--interval", type=float, default=60.0, help="seconds between two calls")
    parser.add_argument("--chunks", type=int, default=30, help="calls, of 1,000 products each")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="pacing-", ignore_cleanup_errors=True) as name,
        Sandbox(speed=60 / options.interval) as sandbox,
        LiveAirflow(Path(name) / "home", Path(name) / "connections.json") as airflow,
    ):
        source = Path(name) / "products.ndjson"
        write_products(source, options.chunks * 1000)
        for conn_id, connection in connections(sandbox).items():
            airflow.add_connection(conn_id, connection)
        airflow.add_dag("pacing", DAG.format(source=str(source)))
        run = airflow.trigger("pacing")
        run.until_task("upsert", "running")
        began = time.monotonic()
        run.succeed(timeout=options.chunks * options.interval * 2 + 300)
        elapsed = time.monotonic() - began
        slots = [float(found) for found in SLOT.findall(airflow.component_log("scheduler").read_text())]
        journal = sandbox.journal("upsertProducts")
    moments = [call["real"] for call in journal if call["status"] == 202]
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    rate = (len(moments) - 1) * options.interval / (moments[-1] - moments[0])
    refused = sum(call["status"] == 429 for call in journal)
    busy = sum(slots) / elapsed
    print("late by, s:   ", " ".join(f"{gap - options.interval:.1f}" for gap in gaps))
    print("slot held, s: ", " ".join(f"{slot:.1f}" for slot in slots))
    print(
        f"{len(moments)} calls at one every {options.interval:g} s, {len(slots) - 1} waits in the triggerer"
    )
    print(
        f"rate: {rate:.3f} of the published one (target {TARGET_RATE:g} or more); 429: {refused} (target 0)"
    )
    print(f"worker: busy for {busy:.1%} of {elapsed:.0f} s (target {TARGET_BUSY:.0%} or less, at 60 s)")
    good = rate >= TARGET_RATE and refused == 0 and (busy <= TARGET_BUSY or options.interval < 60)
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
