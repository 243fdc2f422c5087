"""Sending a planned catalog beside a plain httpx loop, both to a sandbox in a process of its own.

    python benchmarks/bench_send.py                # 30 calls of 1,000 products of 1 kB
    python benchmarks/bench_send.py --calls 100

The plain loop reads a chunk of lines, wraps it, posts it with a token, and checks for 202. Ours reads the plan's
chunk, asks the pacer, notes the intent, sends, and notes what was accepted, each note in one step on disk. The interval
is close to nothing, so the processor time is what one call costs. Imports are not part of it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from itertools import islice
from pathlib import Path

from measure import Cost, figure, measured, run, table
from products import write_products

TARGET_RATIO = 2.0
"""What a call may cost with its notes and its pacing, in plain calls."""
SERVER = """
import sys
from airflow_provider_mirakl.sandbox import Sandbox
with Sandbox(limits="off") as sandbox:
    print(sandbox.connect_url, sandbox.token_url, flush=True)
    sys.stdin.read()
"""


def engine(work: Path, connect_url: str, token_url: str) -> None:
    from datetime import UTC, datetime

    from airflow_provider_mirakl.catalog.ledger import resume
    from airflow_provider_mirakl.catalog.work import SendWork
    from airflow_provider_mirakl.client.http import Client
    from airflow_provider_mirakl.client.settings import ClientCredentials, Settings

    ledger = resume(work / "plan", generation="bench")
    assert ledger is not None
    send = SendWork(ledger)
    auth = ClientCredentials(token_url, "sandbox-client", "sandbox-secret")
    with Client(Settings(connect_url, auth, interval_factor=1e-9)) as client:
        while (call := send.next_call()) is not None:
            send.intend()
            client.send(call)
            send.accept(None, datetime.now(UTC))


def plain(work: Path, connect_url: str, token_url: str) -> None:
    import httpx

    form = {
        "grant_type": "client_credentials",
        "client_id": "sandbox-client",
        "client_secret": "sandbox-secret",
    }
    with httpx.Client(timeout=60) as client, (work / "plan" / "products.ndjson").open("rb") as file:
        token = client.post(token_url, data=form).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        while lines := list(islice(file, 1000)):
            body = b'{"products":[' + b",".join(line.rstrip(b"\n") for line in lines) + b"]}"
            reply = client.post(f"{connect_url}/api/products", content=body, headers=headers)
            assert reply.status_code == 202, reply.text


JOBS = {"engine": engine, "plain": plain}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=30)
    parser.add_argument("--job", choices=JOBS)
    parser.add_argument("paths", nargs="*")
    options = parser.parse_args()
    if options.job:
        import httpx  # noqa: F401

        import airflow_provider_mirakl.catalog.work
        import airflow_provider_mirakl.client.http  # noqa: F401

        work, *urls = options.paths
        measured(lambda: JOBS[options.job](Path(work), *urls))
        return
    with tempfile.TemporaryDirectory(prefix="mirakl-bench-") as folder:
        report(Path(folder), options.calls)


def report(work: Path, calls: int) -> None:
    from airflow_provider_mirakl.catalog.ledger import Ledger
    from airflow_provider_mirakl.catalog.plan import plan_upsert

    Ledger.open(
        plan_upsert(write_products(work / "products.ndjson", calls * 1000), work / "plan"), generation="bench"
    )
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    urls = server.stdout.readline().split()
    try:
        costs: dict[str, Cost] = {job: run(__file__, job, str(work), *urls) for job in reversed(JOBS)}
    finally:
        server.communicate("")
    rows = [("job", "CPU s", "ms a call", "peak MB")]
    rows += [
        (job, f"{cost.seconds:.2f}", f"{cost.seconds / calls * 1000:.1f}", f"{cost.megabytes:.0f}")
        for job, cost in costs.items()
    ]
    ratio = costs["engine"].seconds / costs["plain"].seconds
    print(table(rows))
    print(f"\n{ratio:.1f} times the processor time of the plain loop (target {TARGET_RATIO:g})")
    figure("sending: processor time over that of a plain httpx loop", ratio, "times", at_most=TARGET_RATIO)


if __name__ == "__main__":
    main()
