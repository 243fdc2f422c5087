"""Checks what a user installs: a bill of materials, licenses, known vulnerabilities.

    python scripts/supply.py ENVIRONMENT [--offline]

``ENVIRONMENT`` is a virtual environment with the package and what it needs, nothing else. Writes
``build/sbom.cdx.json`` (CycloneDX). Fails on a license that a user of an Apache-2.0 package would not expect, and on a
known vulnerability. If the database of vulnerabilities cannot be reached, it reports that; ``--offline`` accepts that.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TOOLS = Path(sys.executable).parent
COPYLEFT = ("GNU General Public", "Affero", "AGPL", "GPL-2.0-only", "GPL-3.0", "SSPL", "Business Source")
UNREACHABLE = ("ConnectionError", "ServiceError", "Max retries", "Name or service", "HTTPError", "403", "404")


def tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a tool that is installed beside this Python."""
    return subprocess.run(
        [str(TOOLS / name), *arguments], capture_output=True, text=True, check=False, cwd=ROOT
    )


def bill_of_materials(python: Path) -> str:
    """Write the bill of materials; returns a line about it."""
    target = ROOT / "build" / "sbom.cdx.json"
    target.parent.mkdir(exist_ok=True)
    done = tool(
        "cyclonedx-py",
        "environment",
        "--pyproject",
        "pyproject.toml",
        "--output-reproducible",
        "--output-file",
        str(target),
        str(python),
    )
    if done.returncode:
        sys.exit(f"cyclonedx-py failed:\n{done.stderr}")
    count = len(json.loads(target.read_text(encoding="utf-8"))["components"])
    return f"build/sbom.cdx.json: {count} components"


def licenses(python: Path) -> list[str]:
    """Packages with a license that is not compatible with Apache-2.0."""
    done = tool("pip-licenses", "--python", str(python), "--format=json", "--from=mixed")
    if done.returncode:
        sys.exit(f"pip-licenses failed:\n{done.stderr}")
    rows: list[dict[str, str]] = json.loads(done.stdout)
    return [
        f"{row['Name']} {row['Version']}: {row['License']}"
        for row in rows
        # A choice of licenses is fine when one of them is.
        if all(any(word in choice for word in COPYLEFT) for choice in re.split(" OR |; ", row["License"]))
        and "Lesser" not in row["License"]
    ]


def vulnerabilities(python: Path) -> tuple[list[str], str]:
    """Packages with a known vulnerability, and the reason if the list is incomplete."""
    (packages,) = python.parents[1].glob("lib/python*/site-packages")
    done = tool("pip-audit", "--path", str(packages), "--format=json", "--progress-spinner=off")
    try:
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        reason = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        if any(word in done.stderr for word in UNREACHABLE):
            return [], reason
        sys.exit(f"pip-audit failed:\n{done.stderr}")
    skipped = [
        row["name"] for row in found if "skip_reason" in row and row["name"] != "airflow-provider-mirakl"
    ]
    known = [
        f"{row['name']} {row['version']}: {', '.join(each['id'] for each in row['vulns'])}"
        for row in found
        if row.get("vulns")
    ]
    return known, f"{len(skipped)} of {len(found)} packages could not be checked" if skipped else ""


def main() -> int:
    """Check everything, then print the problems."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("environment", type=Path)
    parser.add_argument(
        "--offline", action="store_true", help="accept that vulnerabilities cannot be looked up"
    )
    options = parser.parse_args()
    python = (options.environment / "bin" / "python").absolute()
    print(bill_of_materials(python))
    foreign = licenses(python)
    print(f"licenses: {len(foreign)} are not compatible with Apache-2.0", *foreign, sep="\n  ")
    known, why = vulnerabilities(python)
    print(f"vulnerabilities: in {len(known)} packages" + (f"; {why}" if why else ""), *known, sep="\n  ")
    return 1 if foreign or known or (why and not options.offline) else 0


if __name__ == "__main__":
    raise SystemExit(main())
