"""Checks what a user installs: a bill of materials, licenses, known vulnerabilities.

    python scripts/supply.py ENVIRONMENT [--offline]

``ENVIRONMENT`` is a virtual environment with the package and what it needs, nothing else. Writes
``build/sbom.cdx.json`` (CycloneDX). Fails on a license that is not on the list of allowed ones, or is unknown, and on a
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
ALLOWED = frozenset(
    map(
        str.casefold,
        (
            # SPDX ids
            "0BSD", "AFL-2.1", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "Artistic-2.0", "BlueOak-1.0.0",
            "BSD-1-Clause", "BSD-2-Clause", "BSD-3-Clause", "BSD-3-Clause-Clear", "BSL-1.0", "CC0-1.0", "CNRI-Python",
            "HPND", "ISC", "LGPL-2.0-or-later", "LGPL-2.1-only", "LGPL-2.1-or-later", "LGPL-3.0-only",
            "LGPL-3.0-or-later", "MIT", "MIT-0", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Python-2.0", "Unlicense", "WTFPL",
            "Zlib", "ZPL-2.1",
            # the names of classifiers
            "Academic Free License (AFL)", "Apache Software License", "Artistic License",
            "BSD License", "CC0 1.0 Universal (CC0 1.0) Public Domain Dedication",
            "GNU Lesser General Public License v2 (LGPLv2)", "GNU Lesser General Public License v2 or later (LGPLv2+)",
            "GNU Lesser General Public License v3 (LGPLv3)", "GNU Lesser General Public License v3 or later (LGPLv3+)",
            "GNU Library or Lesser General Public License (LGPL)", "Historical Permission Notice and Disclaimer (HPND)",
            "ISC License (ISCL)", "MIT License", "MIT No Attribution License (MIT-0)",
            "Mozilla Public License 2.0 (MPL 2.0)", "Public Domain", "Python Software Foundation License",
            "The Unlicense (Unlicense)", "zlib/libpng License", "Zope Public License",
            # what people write into the field
            "3-Clause BSD License", "Apache 2", "Apache 2.0", "Apache License 2.0", "Apache License, Version 2.0",
            "Apache-2", "BSD", "BSD 2-Clause License", "BSD 3-Clause License", "ISC License", "LGPL", "MPL 2.0",
            "Modified BSD License", "New BSD License", "PSF",
        ),
    )
)  # fmt: skip
"""Licenses that a package may have on which one under Apache-2.0 depends. A weak copyleft is one: nothing is linked."""
UNREACHABLE = re.compile(
    r"Could not connect to|Max retries exceeded|Failed to establish a new connection|NameResolutionError"
    r"|ProxyError|ConnectTimeout|ReadTimeout|Connection (refused|reset|aborted)"
)
"""What pip-audit prints if no answer came. An answer that refuses, such as 403 or 404, is another problem."""


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


def is_allowed(license: str) -> bool:  # noqa: A002 - what it is called
    """Whether a package may be depended on.

    :param license: an SPDX expression or a name; or several names, of which one may be chosen, separated by semicolons.
    """
    return any(_is_allowed(choice.strip()) for choice in license.split(";"))


def _is_allowed(expression: str) -> bool:
    if expression.casefold() in ALLOWED:
        return True
    parts = _split(expression, " OR ")
    if len(parts) > 1:
        return any(map(_is_allowed, parts))
    parts = _split(expression, " AND ")
    if len(parts) > 1:
        return all(map(_is_allowed, parts))
    return expression.startswith("(") and expression.endswith(")") and _is_allowed(expression[1:-1].strip())


def _split(expression: str, operator: str) -> list[str]:
    """The parts of an expression between the operators that are outside of all brackets."""
    parts = [""]
    for piece in re.split(f"({operator})", expression):
        if piece == operator and parts[-1].count("(") == parts[-1].count(")"):
            parts.append("")
        else:
            parts[-1] += piece
    return parts


def licenses(python: Path) -> list[str]:
    """Packages whose license is not one of :data:`ALLOWED`, or is not known."""
    done = tool("pip-licenses", "--python", str(python), "--format=json", "--from=mixed")
    if done.returncode:
        sys.exit(f"pip-licenses failed:\n{done.stderr}")
    rows: list[dict[str, str]] = json.loads(done.stdout)
    return [
        f"{row['Name']} {row['Version']}: {row['License']}" for row in rows if not is_allowed(row["License"])
    ]


def is_unreachable(stderr: str) -> bool:
    """Whether pip-audit failed because the database of vulnerabilities did not answer."""
    return UNREACHABLE.search(stderr) is not None


def vulnerabilities(python: Path) -> tuple[list[str], str]:
    """Packages with a known vulnerability, and the reason if the list is incomplete."""
    (packages,) = python.parents[1].glob("lib/python*/site-packages")
    done = tool("pip-audit", "--path", str(packages), "--format=json", "--progress-spinner=off")
    try:
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        reason = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        if is_unreachable(done.stderr):
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
    print(f"licenses: {len(foreign)} are not on the list of allowed ones", *foreign, sep="\n  ")
    known, why = vulnerabilities(python)
    print(f"vulnerabilities: in {len(known)} packages" + (f"; {why}" if why else ""), *known, sep="\n  ")
    return 1 if foreign or known or (why and not options.offline) else 0


if __name__ == "__main__":
    raise SystemExit(main())
