"""Run the cells of the fault matrix, and record how many passed in ``benchmarks/faults.json``, which the docs show.

    make faults                               # every cell
    make faults FAULTS_ARGS="-k P41"          # some: they are counted, and not recorded
    python scripts/faults.py --to some.json -k P41

Further arguments are pytest's.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "benchmarks" / "faults.json"
TESTS = ("tests/airflow/test_faults.py", "tests/airflow/test_event_faults.py")
CELL = "test_a_fault["
sys.path.insert(0, str(ROOT / "benchmarks"))
from ledger import machine  # noqa: E402 - the scripts' own


def main() -> int:
    """Run pytest, and write the record if every cell ran; the exit code is pytest's."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--to", type=Path, help="write the record here, whether or not every cell ran")
    options, more = parser.parse_known_args()
    environment = os.environ | {"MIRAKL_ALL_FAULTS": "1"}
    pytest = [sys.executable, "-m", "pytest", *TESTS]
    listed = subprocess.run(
        [*pytest, "--collect-only", "-q", "-p", "no:cacheprovider"],
        env=environment, cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        done = subprocess.run(
            [*pytest, f"--junitxml={report}", *more], env=environment, cwd=ROOT, check=False
        )
        found = counted(report) if report.exists() else {"passed": 0, "failed": []}
    ran = found["passed"] + len(found["failed"])
    record = {
        "machine": machine(),
        "date": datetime.now(UTC).date().isoformat(),
        "cells": listed.stdout.count(f"::{CELL}"),
        **found,
    }
    print(
        f"{ran:,} of {record['cells']:,} cells ran: {found['passed']:,} passed, {len(found['failed']):,} failed."
    )
    if options.to or ran == record["cells"]:
        (options.to or RECORD).write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    else:
        print(f"Not recorded in {RECORD.name}: that needs every cell.")
    return done.returncode


def counted(report: Path) -> dict[str, Any]:
    """How many cells passed, and the names of those that failed."""
    cases = ET.parse(report).iter("testcase")  # noqa: S314 - pytest wrote it
    cells = [case for case in cases if case.get("name", "").startswith(CELL)]
    failed = [
        case.get("name", "")[len(CELL) : -1]
        for case in cells
        if case.find("failure") is not None or case.find("error") is not None
    ]
    return {"passed": len(cells) - len(failed), "failed": sorted(failed)}


if __name__ == "__main__":
    sys.exit(main())
