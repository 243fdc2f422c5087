"""A nightly sync of a large catalog of which one product in a hundred changed.

    python benchmarks/bench_delta.py               # 100,000 products
    python benchmarks/bench_delta.py --count 1000000

Measured is the second sync: read and check the whole source, compare it with the state, write the plan. The first sync,
its commits and the fold of its journal are measured apart.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from measure import Cost, figure, measured, run, table
from products import write_products

TARGET_SECONDS_PER_MILLION = 20.0
TARGET_MEGABYTES = 200.0


def first(work: Path) -> None:
    from airflow_provider_mirakl.catalog.sync import plan_sync

    print(plan_sync(work / "monday.ndjson", work / "sync", work / "state").describe())


def commit(work: Path) -> None:
    from airflow_provider_mirakl.catalog.sync import SyncPlan

    sync = SyncPlan.load(work / "sync", work / "state")
    for index in range(len(sync.upsert.chunks)):
        sync.intend(sync.upsert, index)
        sync.commit(sync.upsert, index)


def fold(work: Path) -> None:
    from airflow_provider_mirakl.catalog.state import State

    State(work / "state").begin("bench")


def second(work: Path) -> None:
    from airflow_provider_mirakl.catalog.sync import plan_sync

    print(plan_sync(work / "tuesday.ndjson", work / "sync", work / "state").describe())


JOBS = {"first": first, "commit": commit, "fold": fold, "second": second}
NAMES = {
    "first": "first sync: plan everything",
    "commit": "commit every chunk",
    "fold": "fold the journal",
    "second": "second sync: plan 1 % changed",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--job", choices=JOBS)
    parser.add_argument("work", nargs="?", type=Path)
    options = parser.parse_args()
    if options.job:
        measured(lambda: JOBS[options.job](options.work))
        return
    work = Path(tempfile.mkdtemp(prefix="mirakl-bench-"))
    try:
        write_products(work / "monday.ndjson", options.count)
        write_products(work / "tuesday.ndjson", options.count, changed_every=100)
        report(work, options.count)
    finally:
        shutil.rmtree(work)


def report(work: Path, count: int) -> None:
    costs: dict[str, Cost] = {job: run(__file__, job, str(work)) for job in JOBS}
    rows = [("job", "CPU s", "wall s", "us a product", "peak MB")]
    rows += [
        (
            NAMES[job],
            f"{cost.seconds:.2f}",
            f"{cost.wall:.2f}",
            f"{cost.seconds / count * 1e6:.1f}",
            f"{cost.megabytes:.0f}",
        )
        for job, cost in costs.items()
    ]
    print(f"{count:,} products\n")
    print(table(rows))
    delta = costs["second"]
    per_million = 1e6 / count
    figure("delta: plan of everything over plan of 1 % changed, processor time",
           costs["first"].seconds / delta.seconds, "times", at_least=1.5)  # fmt: skip
    figure("delta: peak memory", delta.megabytes, "MB", at_most=TARGET_MEGABYTES)
    print(
        f"\ndelta of a million: {delta.seconds * per_million:.1f} s of processor time, "
        f"{delta.wall * per_million:.1f} s elapsed (target {TARGET_SECONDS_PER_MILLION:g}), "
        f"peak {delta.megabytes:.0f} MB (target {TARGET_MEGABYTES:g})"
    )


if __name__ == "__main__":
    main()
