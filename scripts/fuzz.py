"""Fuzz every reader of what others wrote: sources, replies, archives, connections, rendered templates, notes, triggers.

    make fuzz                                   # ten minutes
    make fuzz FUZZ_ARGS="--minutes 60 --only sources,notes --seed 7"

The targets and what must hold are in ``tests/fuzz``. A sample that fails is shown with its error, as small as it can be
made, and tried first the next time. Add it to ``tests/fuzz/corpus``, or write a test of it.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ROUND = 100
"""Samples of one target before it is the next one's turn."""
MEMORY = 3 << 30
"""Bytes of address space beyond what the imports take."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default 10)")
    parser.add_argument("--only", default="", help="targets, separated by commas")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the choices; another one each time by default"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="airflow-home-") as home:
        os.environ["AIRFLOW_HOME"] = home
        sys.path.insert(0, str(ROOT / "tests" / "fuzz"))
        return fuzz(options.minutes * 60, options.only, options.seed or time.time_ns() % 1_000_000)


def fuzz(seconds: float, only: str, seed: int) -> int:
    """Fuzz the targets in turn until the time is over; 1 if something was found."""
    from targets import TARGETS

    chosen = [target for target in TARGETS if not only or target.name in only.split(",")]
    if not chosen:
        sys.exit(f"--only must name some of {', '.join(target.name for target in TARGETS)}")
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + MEMORY, resource.RLIM_INFINITY))
    counts: Counter[str] = Counter()
    found: dict[str, BaseException] = {}
    until = time.monotonic() + seconds
    print(f"seed {seed}", flush=True)
    turn = 0
    while time.monotonic() < until and len(found) < len(chosen):
        target = chosen[turn % len(chosen)]
        turn += 1
        if target.name in found:
            continue

        try:
            _round(target, seed + turn, counts)
        except Exception as error:  # noqa: BLE001 - this is what is looked for
            found[target.name] = error
            _show(target.name, error)
    for target in chosen:
        print(
            f"{target.name:12} {counts[target.name]:8,} samples  {'FAULT' if target.name in found else 'ok'}"
        )
    return 1 if found else 0


def _round(target: Any, seed: int, counts: Counter[str]) -> None:
    import hypothesis
    from hypothesis.database import DirectoryBasedExampleDatabase
    from watching import run

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=ROUND,
        database=DirectoryBasedExampleDatabase(ROOT / ".hypothesis" / "fuzz" / target.name),
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[each for each in hypothesis.Phase if each is not hypothesis.Phase.explain],
        report_multiple_bugs=False,
    )
    @hypothesis.given(target.samples)
    def check(sample: Any) -> None:
        counts[target.name] += 1
        run(target, sample)

    check()


def _show(name: str, error: BaseException) -> None:
    import traceback

    print(f"--- {name}", *getattr(error, "__notes__", ()), sep="\n")
    traceback.print_exception(error, limit=-6)
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
