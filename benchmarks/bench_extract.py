"""An extract of 100,000 orders from the sandbox: memory, processor time, and pages a minute at the published limit.

    python benchmarks/bench_extract.py               # 10,000 and 100,000 orders, two ways to write them
    python benchmarks/bench_extract.py --limit       # the rate of pages at the published limit

The sandbox runs in a process of its own. Limits are off, so the time is what the client, the walk and the target cost;
at the published limit, a page of 100 orders a minute, the same extract takes the minutes of the last column.

With ``--limit`` the sandbox keeps the published limit at a time that runs faster, and the loop of the operator reads 20
pages: the rate is what the sandbox's journal shows, in Mirakl's minutes.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from measure import Cost, figure, measured, run, serving, table

SIZES = (10_000, 100_000)
WAYS = (("ndjson", "nested"), ("parquet", "flat"))
SERVER = """
import sys
from airflow_provider_mirakl.sandbox import Sandbox
with Sandbox(clock="stepped", limits="off") as sandbox:
    for _ in range(int(sys.argv[1]) // 1000):
        sandbox.place_orders(1000)
        sandbox.advance(1)
    print(sandbox.connect_url, sandbox.token_url, flush=True)
    sys.stdin.read()
"""


def extract(connect_url: str, token_url: str, format_: str, layout: str, folder: Path) -> int:
    """What the operator does between its waits."""
    from airflow_provider_mirakl.client.http import Client
    from airflow_provider_mirakl.client.settings import ClientCredentials, Settings
    from airflow_provider_mirakl.extract.listings import LISTINGS
    from airflow_provider_mirakl.extract.target import Target
    from airflow_provider_mirakl.extract.work import ExtractWork, Window

    auth = ClientCredentials(token_url, "sandbox-client", "sandbox-secret")
    target = Target(folder / "lake", "run_id=1", "part-00000", format_, layout == "flat")  # type: ignore[arg-type]
    window = Window(datetime(2020, 1, 1, tzinfo=UTC), watermark=folder / "watermark")
    work = ExtractWork(LISTINGS["orders"], window, folder / "work", generation="1")
    with Client(Settings(connect_url, auth, interval_factor=1e-9)) as client:
        while (call := work.next_call()) is not None:
            work.accept(client.send(call), datetime.now(UTC))
    work.end(target)
    assert work.progress.counts is not None
    return work.progress.counts["orders"]


def at_limit(speed: float, pages: int = 20) -> tuple[float, int]:
    """Pages a minute of Mirakl's time, and how many calls were refused as too early.

    :param speed: how much faster the sandbox's time runs.
    """
    from airflow_provider_mirakl.api.steps import drive
    from airflow_provider_mirakl.catalog.loop import CallLimits, Pace, make_calls
    from airflow_provider_mirakl.client.http import Client
    from airflow_provider_mirakl.client.settings import ClientCredentials, Settings
    from airflow_provider_mirakl.client.steps import performer
    from airflow_provider_mirakl.extract.listings import LISTINGS
    from airflow_provider_mirakl.extract.work import ExtractWork, Window
    from airflow_provider_mirakl.sandbox import Sandbox

    with Sandbox(speed=speed, limits="published") as sandbox, tempfile.TemporaryDirectory() as folder:
        sandbox.place_orders(100 * pages)
        auth = ClientCredentials(sandbox.token_url, "sandbox-client", "sandbox-secret")
        window = Window(datetime(2020, 1, 1, tzinfo=UTC), watermark=Path(folder) / "watermark")
        work = ExtractWork(LISTINGS["orders"], window, Path(folder) / "work", generation="1")
        with Client(Settings(sandbox.connect_url, auth, interval_factor=1 / speed)) as client:
            limits = CallLimits(1 / speed, 5, 86_400.0)
            drive(
                make_calls(
                    lambda: None if work.operation is None else work,
                    Pace(),
                    limits,
                    logging.getLogger("bench"),
                ),
                performer(client),
            )
        calls = sandbox.journal("v2-listOrders")
    moments = [call["moment"] for call in calls if call["status"] == 200]
    assert len(moments) == pages, len(moments)
    return (pages - 1) * 60 / (moments[-1] - moments[0]), len(calls) - len(moments)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--job", nargs="*")
    parser.add_argument("--limit", action="store_true")
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    arguments = parser.parse_args()
    if arguments.job:
        connect_url, token_url, format_, layout, count = arguments.job
        with tempfile.TemporaryDirectory() as folder:

            def job() -> None:
                found = extract(connect_url, token_url, format_, layout, Path(folder))
                assert found == int(count), found

            measured(job)
        return
    if arguments.limit:
        found: list[tuple[str, ...]] = [("Mirakl's minute", "pages a minute", "refused as too early")]
        for speed in (12, 60):
            rate, refused = at_limit(speed)
            found.append((f"{60 / speed:g} s", f"{rate:.3f}", str(refused)))
        print(table(found))
        return
    rows: list[tuple[str, ...]] = [
        ("orders", "format", "layout", "peak MB", "processor s", "wall s", "at the limit")
    ]
    costs: dict[tuple[int, str], Cost] = {}
    for size in arguments.sizes:
        with serving(SERVER, str(size)) as urls:
            for format_, layout in WAYS:
                cost = costs[size, format_] = run(__file__, *urls, format_, layout, str(size))
                numbers = (
                    f"{cost.megabytes:.0f}",
                    f"{cost.seconds:.1f}",
                    f"{cost.wall:.1f}",
                    f"{size // 100:,} min",
                )
                rows.append((f"{size:,}", format_, layout, *numbers))
    print(table(rows))
    least, most = min(arguments.sizes), max(arguments.sizes)
    for format_, _ in WAYS:
        grown = costs[most, format_].megabytes / costs[least, format_].megabytes
        figure(
            f"extract, {format_}: peak memory of {most:,} orders over that of {least:,}",
            grown,
            "times",
            at_most=1.5,
        )


if __name__ == "__main__":
    main()
