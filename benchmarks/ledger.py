"""Run the benchmarks in a short form, and write every figure with its target to ``benchmarks/results.json``.

    make bench                                  # all, a few minutes
    make bench BENCH_ARGS="--only plan,delta"   # the others keep their figures of before

A figure is a ratio or a count of one run, or a size, so that it means the same on another machine. Each has its own
date and load: some are measured again sooner than others. The scripts themselves measure more, and longer.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
SHORT: dict[str, tuple[str, ...]] = {
    "parse": ("bench_parse.py", "--repeat", "10"),
    "plan": ("bench_plan.py", "--count", "20000", "--repeat", "1"),
    "csv": ("bench_plan.py", "--count", "20000", "--repeat", "1", "--format", "csv"),
    "groups": ("bench_plan.py", "--count", "20000", "--repeat", "1", "--format", "groups"),
    "send": ("bench_send.py", "--calls", "20"),
    "delta": ("bench_delta.py", "--count", "20000"),
    "extract": ("bench_extract.py", "--sizes", "2000", "8000"),
    "fleet": ("bench_fleet.py", "--tasks", "10", "--calls", "1", "--size", "200", "--interval", "2"),
}
PACKAGES = ("airflow-provider-mirakl", "apache-airflow", "httpx", "msgspec", "pydantic")


def machine() -> dict[str, Any]:
    """Where this runs."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "memory_gb": round(memory / 2**30),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def measure(name: str) -> list[dict[str, Any]]:
    """Run one script; its figures."""
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
        if not path.exists():
            sys.exit(
                f"{script} ended with {done.returncode}, without a figure; the others before it are kept"
            )
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    more = {"benchmark": name, "date": datetime.now(UTC).date().isoformat(), "load": round(load, 1)}
    return [row | more for row in rows]


def is_met(row: dict[str, Any]) -> bool:
    """Whether a figure reaches its target."""
    least, most = row["at_least"], row["at_most"]
    return (least is None or row["value"] >= least) and (most is None or row["value"] <= most)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help=f"some of {', '.join(SHORT)}, separated by commas")
    chosen = [name for name in parser.parse_args().only.split(",") if name] or list(SHORT)
    if unknown := set(chosen) - set(SHORT):
        parser.error(f"--only must name some of {', '.join(SHORT)}, not {', '.join(sorted(unknown))}")
    known = json.loads(RESULTS.read_text("utf-8"))["figures"] if RESULTS.exists() else []
    figures = {name: [row for row in known if row["benchmark"] == name] for name in SHORT}
    for name in chosen:
        figures[name] = measure(name)
        found = {"machine": machine(), "figures": [row for rows in figures.values() for row in rows]}
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    missed = [row["name"] for name in chosen for row in figures[name] if not is_met(row)]
    print("\n".join(f"missed: {name}" for name in missed) or "every target is met")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
