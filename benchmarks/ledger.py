"""Run the benchmarks in a short form, and write every figure with its target to ``benchmarks/results.json``.

    make bench                                  # all, ten minutes or so
    make bench BENCH_ARGS="--only plan,delta"   # the others keep their figures of before

A figure is a ratio or a count of one run, or a size, so that it means the same on another machine. Each has its own
date, load and run: some are measured again sooner than others. The block ``machine`` is that of the last run; a figure
of another run keeps what was different then. The scripts themselves measure more, and longer.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
SHORT: dict[str, tuple[str, ...]] = {
    "parse": ("bench_parse.py", "--repeat", "10"),
    "plan": ("bench_plan.py", "--count", "50000", "--repeat", "3"),
    "csv": ("bench_plan.py", "--count", "50000", "--repeat", "2", "--format", "csv"),
    "groups": ("bench_plan.py", "--count", "50000", "--repeat", "2", "--format", "groups"),
    "memory": ("bench_plan.py", "--sizes", "10000", "100000"),
    "send": ("bench_send.py", "--calls", "20"),
    "dag": ("bench_dag.py", "--calls", "20"),
    "pacing": ("bench_pacing.py", "--interval", "10", "--chunks", "10"),
    "fleet": ("bench_fleet.py", "--tasks", "10", "--calls", "1", "--size", "200", "--interval", "2"),
    "waiting": ("bench_triggers.py", "--interval", "20", "--minutes", "0.7"),
    "delta": ("bench_delta.py", "--count", "20000"),
    "extract": ("bench_extract.py", "--sizes", "2000", "8000"),
    "export": ("bench_export.py", "--sizes", "10000", "40000"),
}
PACKAGES = (
    "airflow-provider-mirakl",
    "apache-airflow",
    "apache-airflow-providers-airbyte",
    "apache-airflow-providers-databricks",
    "apache-airflow-providers-dbt-cloud",
    "apache-airflow-providers-http",
    "httpx",
    "msgspec",
    "pydantic",
)
Row = dict[str, Any]


def machine() -> dict[str, Any]:
    """Where this runs, and with what: a package that is not installed is left out."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    found: dict[str, Any] = {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "memory_gb": round(memory / 2**30),
        "python": platform.python_version(),
    }
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def moved(known: dict[str, Any], now: dict[str, Any]) -> list[Row]:
    """The figures of a ledger, below the machine of another run: each keeps what was different when it was measured.

    :param known: the ledger: ``machine`` and ``figures``.
    :param now: the machine of the new run.
    """
    before = known["machine"]
    kept = []
    for row in known["figures"]:
        its = before | row.get("machine", {})
        other = {name: its.get(name) for name in {**its, **now} if its.get(name) != now.get(name)}
        bare = {name: value for name, value in row.items() if name != "machine"}
        kept.append(bare | ({"machine": other} if other else {}))
    return kept


def measure(name: str, run: str) -> list[Row]:
    """Run one script; its figures, none if it failed.

    :param run: when this run of the ledger began.
    """
    began, load = time.monotonic(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figures"
        script, *arguments = SHORT[name]
        done = subprocess.run(
            [sys.executable, str(HERE / script), *arguments],
            env=os.environ | {"MIRAKL_BENCH_FIGURES": str(path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        print(f"--- {name}, {time.monotonic() - began:.0f} s\n{done.stdout}", flush=True)
        # A missed target ends a script with 1 too, but after its last figure.
        if not path.exists() or (done.returncode and "Traceback (most recent call last)" in done.stdout):
            print(f"{script} ended with {done.returncode} before its last figure")
            return []
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    today = datetime.now(UTC).date().isoformat()
    more = {"benchmark": name, "run": run, "date": today, "load": round(load, 1)}
    return [row | more for row in rows]


def is_met(row: Row) -> bool:
    """Whether a figure reaches its target. One that could not be measured misses none."""
    value, least, most = row["value"], row["at_least"], row["at_most"]
    return value is None or ((least is None or value >= least) and (most is None or value <= most))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help=f"some of {', '.join(SHORT)}, separated by commas")
    chosen = [name for name in parser.parse_args().only.split(",") if name] or list(SHORT)
    if unknown := set(chosen) - set(SHORT):
        parser.error(f"--only must name some of {', '.join(SHORT)}, not {', '.join(sorted(unknown))}")
    run, here = datetime.now(UTC).isoformat(timespec="seconds"), machine()
    known = moved(json.loads(RESULTS.read_text("utf-8")), here) if RESULTS.exists() else []
    failed: list[str] = []
    figures = {name: [row for row in known if row["benchmark"] == name] for name in SHORT}
    for name in chosen:
        if rows := measure(name, run):
            figures[name] = rows
        else:
            failed.append(name)
        found = {"run": run, "machine": here, "figures": [row for rows in figures.values() for row in rows]}
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    new = [row for rows in figures.values() for row in rows if row.get("run") == run]
    for row in new:
        if row["value"] is None:
            print(f"not measured: {row['name']}: {row['why']}")
        elif not is_met(row):
            print(f"missed: {row['name']}")
    for name in failed:
        print(f"failed: {name}, which keeps its figures of before")
    if failed or not all(map(is_met, new)):
        return 1
    print("every target is met")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
