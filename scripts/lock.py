"""Write the constraints files: one per supported Airflow version, one for the tools, one for the benchmarks, one
for checks of the supply chain.

Usage: ``python scripts/lock.py [VERSION ...]`` (``make lock``); without a version, all of them.

Airflow publishes no constraints inside the package index, so each set is resolved as of two days after that
release and written down as names and versions. The result holds for Linux and macOS on every Python which
that Airflow supports (3.11 to 3.13).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints"


@dataclass(frozen=True)
class Release:
    """How one Airflow version is resolved.

    :param version: the exact Airflow version.
    :param exclude_newer: nothing published after this day is considered.
    :param pins: requirements that correct what the index of that day gets wrong.
    :param newer: packages that may come from any later day.
    """

    version: str
    exclude_newer: str
    pins: tuple[str, ...] = ()
    newer: tuple[str, ...] = ()


# Before 3.3 Airflow cannot keep a DataFrame of pandas 3 in XCom.
_PANDAS = "pandas<3"

RELEASES = (
    Release("2.11.2", "2026-03-16", pins=(_PANDAS,)),
    # FastAPI 0.129 breaks the in-process API that dag.test() uses; the common-compat of that day has no `sdk`.
    Release(
        "3.0.6",
        "2025-08-31",
        pins=("fastapi<0.129", "apache-airflow-providers-common-compat>=1.20"),
        newer=("apache-airflow-providers-common-compat", "asgiref"),
    ),
    Release("3.1.8", "2026-03-13", pins=(_PANDAS,)),
    # Either of the two newer releases breaks the import of the API server.
    Release("3.2.2", "2026-05-31", pins=("fastapi<0.137", "svcs<26", _PANDAS)),
    Release("3.3.2", "2026-09-19"),
)
NEWEST = RELEASES[-1]


def compile_pins(
    requirements: str, *options: str, exclude_newer: str, newer: tuple[str, ...] = ()
) -> list[str]:
    """Resolve ``requirements`` with uv for all supported Pythons and return the lines ``name==version``."""
    uv = shutil.which("uv", path=sysconfig.get_path("scripts") + os.pathsep + os.environ.get("PATH", ""))
    if uv is None:
        sys.exit("uv is missing: run `make venv` first")
    command = [
        uv,
        "pip",
        "compile",
        "--universal",
        "--python-version",
        "3.11",
        "--no-header",
        "--no-annotate",
    ]
    command += ["--no-emit-index-url", "--no-config", "--quiet", "--exclude-newer", exclude_newer]
    for package in newer:
        command += ["--exclude-newer-package", f"{package}=2099-01-01"]
    command += [*options, "-"]
    done = subprocess.run(
        command, cwd=ROOT, input=requirements, text=True, stdout=subprocess.PIPE, check=False
    )
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout.splitlines()


def write(name: str, lines: list[str]) -> None:
    (CONSTRAINTS / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"constraints/{name}: {len(lines)} packages")


def lock_airflow(release: Release) -> None:
    requirements = "\n".join((f"apache-airflow=={release.version}", *release.pins))
    options = ["pyproject.toml", "--all-extras", "--group", "test"]
    if release is NEWEST:
        options += ["--group", "fleet", "--group", "stores"]
    write(
        f"airflow-{release.version}.txt",
        compile_pins(requirements, *options, exclude_newer=release.exclude_newer, newer=release.newer),
    )


def lock_beside_newest(name: str, *groups: str) -> None:
    """Groups that share an environment with the newest Airflow: its pins bind them, only the rest is written."""
    newest = CONSTRAINTS / f"airflow-{NEWEST.version}.txt"
    taken = set(newest.read_text(encoding="utf-8").splitlines())
    options = ["--constraints", str(newest.relative_to(ROOT))]
    for group in groups:
        options += ["--group", group]
    lines = compile_pins("", *options, exclude_newer=NEWEST.exclude_newer)
    write(name, [line for line in lines if line not in taken])


def lock_supply() -> None:
    """The checks of the supply chain have a separate environment."""
    lines = compile_pins("", "--group", "supply", exclude_newer=NEWEST.exclude_newer)
    write("supply.txt", lines)


def main() -> None:
    wanted = sys.argv[1:]
    unknown = set(wanted) - {release.version for release in RELEASES}
    if unknown:
        sys.exit(f"not a supported Airflow version: {', '.join(sorted(unknown))}")
    for release in RELEASES:
        if not wanted or release.version in wanted:
            lock_airflow(release)
    lock_beside_newest("tools.txt", "lint", "mutants", "docs", "browser", "build")
    lock_beside_newest("bench.txt", "bench")
    lock_supply()


if __name__ == "__main__":
    main()
