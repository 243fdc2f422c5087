"""An asynchronous export of master products (CM52 to CM54) into one file: memory over size, and calls.

    python benchmarks/bench_export.py                      # 10,000 and 100,000 products, as NDJSON and Parquet
    python benchmarks/bench_export.py --sizes 10000 40000

The sandbox runs in a process of its own, without limits, and its exports end at once. A product has about 1 kB; a file
of the export has 1,000 products. Measured is what the task does: start the export, ask whether it has ended, fetch the
files, write the target. The calls are those of the sandbox's journal.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path

from measure import Cost, figure, measured, run, serving, table

SIZES = (10_000, 100_000)
PER_FILE = 1_000
FORMATS = ("ndjson", "parquet")
MOST_GROWTH = 1.5
MOST_CALLS = 3.0
"""Calls for a thousand products: a listing of a hundred on a page needs ten."""
SERVER = """
import sys
from airflow_provider_mirakl.sandbox import Sandbox
data = {"title": "Phone, 128 GB", "brand": "ACME", "description": "A phone with a bright display. " * 25}
with Sandbox(limits="off", queue_seconds=0.0, run_seconds=0.0) as sandbox:
    sandbox.arrange_master_products(
        *(
            {"id": f"MKL-{number:08d}", "sku": f"SKU-{number:08d}", "data": data}
            for number in range(int(sys.argv[1]) - len(sandbox.master_products()))
        )
    )
    print(sandbox.mirakl_url, flush=True)
    sys.stdin.read()
"""


def export(url: str, target_format: str, folder: Path) -> int:
    """What the task does; the number of products in the target."""
    from airflow_provider_mirakl.api.caller import Caller
    from airflow_provider_mirakl.api.catalog_manager import start_export
    from airflow_provider_mirakl.client.http import Client
    from airflow_provider_mirakl.client.settings import HeaderAuth, Settings
    from airflow_provider_mirakl.jobs.table import JOBS, evaluate
    from airflow_provider_mirakl.runtime.results import fetch_export

    kind, caller = JOBS["product_export"], Caller("operator")
    target = folder / f"products.{target_format}"
    auth = HeaderAuth((("Authorization", "sandbox-operator-key"),))
    with Client(Settings(url, auth, interval_factor=1e-9)) as client:
        job_id = client.send(start_export(items_per_chunk=PER_FILE))
        while not evaluate(kind, client.send(kind.status(job_id, caller))).ended:
            time.sleep(0.01)
        log = logging.getLogger("bench")
        done = fetch_export(client, caller, kind, job_id, str(target), target_format, log)  # type: ignore[arg-type]
    return int(done["items"])


def journal(url: str) -> Counter[str]:
    """The calls of each operation."""
    with urllib.request.urlopen(f"{url.removesuffix('/mirakl')}/_sandbox/journal") as reply:  # noqa: S310
        return Counter(call["operation"] for call in json.load(reply)["calls"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--job", nargs="*")
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    options = parser.parse_args()
    if options.job:
        url, target_format, size = options.job
        with tempfile.TemporaryDirectory() as folder:

            def job() -> None:
                found = export(url, target_format, Path(folder))
                assert found == int(size), found

            measured(job)
        return
    report(options.sizes)


def report(sizes: list[int]) -> None:
    rows: list[tuple[str, ...]] = [("products", "format", "peak MB", "processor s", "calls")]
    costs: dict[tuple[int, str], Cost] = {}
    calls: dict[int, Counter[str]] = {}
    for size in sizes:
        with serving(SERVER, str(size)) as (url,):
            for target_format in FORMATS:
                before = journal(url)
                cost = costs[size, target_format] = run(__file__, url, target_format, str(size))
                made = calls[size] = journal(url) - before
                rows.append(
                    (
                        f"{size:,}",
                        target_format,
                        f"{cost.megabytes:.0f}",
                        f"{cost.seconds:.1f}",
                        ", ".join(f"{count} {code}" for code, count in sorted(made.items())),
                    )
                )
    print(table(rows))
    least, most = min(sizes), max(sizes)
    for target_format in FORMATS:
        figure(
            f"exports, {target_format}: peak memory of {most:,} products over that of {least:,}",
            costs[most, target_format].megabytes / costs[least, target_format].megabytes,
            "times",
            at_most=MOST_GROWTH,
        )
    figure(
        f"exports: calls for 1,000 products, of {least:,} in files of {PER_FILE:,}",
        calls[least].total() / least * 1000,
        "calls",
        at_most=MOST_CALLS,
    )


if __name__ == "__main__":
    main()
