"""Check the result of ``make build``: metadata, contents, and no stray files.

Usage: ``python scripts/check_dist.py [FOLDER]`` (default ``dist``).
"""

from __future__ import annotations

import re
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.metadata import Metadata

PACKAGE = "airflow_provider_mirakl"
IN_WHEEL = (
    "__init__.py",
    "py.typed",
    "get_provider_info.py",
    "exceptions.py",
    "example_dags/mirakl_connect_catalog_sync.py",
    "example_dags/data/products.ndjson",
)
IN_SDIST = (
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "constraints/tools.txt",
    "pyproject.toml",
    "tests/conftest.py",
    f"{PACKAGE}/py.typed",
)
ENTRY_POINTS = ("apache_airflow_provider", "console_scripts", "pytest11")
LINK = re.compile(r"\]\((?!https?://|mailto:|#)([^)]+)\)")
STRAY = (
    "__pycache__",
    ".pyc",
    ".DS_Store",
    ".venv",
    ".cache",
    ".airflow/",
    ".git/",
    "_build",
    ".log",
    ".db",
    "~",
)


def metadata_problems(text: bytes) -> Iterator[str]:
    """Problems that PyPI would reject, and this project's own rules."""
    metadata = Metadata.from_email(text, validate=True)
    if metadata.license_expression != "Apache-2.0":
        yield f"License-Expression is {metadata.license_expression}"
    if "LICENSE" not in (metadata.license_files or ()):
        yield "License-File does not name LICENSE"
    if str(metadata.requires_python) != ">=3.11":
        yield f"Requires-Python is {metadata.requires_python}"
    if not metadata.description:
        yield "the description (README.md) is empty"
    for target in LINK.findall(metadata.description or ""):
        yield f"the description links to {target}, which a package page does not have"


def missing(names: Iterable[str], wanted: Iterable[str]) -> Iterator[str]:
    present = set(names)
    return (f"{name} is missing" for name in wanted if name not in present)


def stray(names: Iterable[str]) -> Iterator[str]:
    return (f"{name} is stray" for name in names if any(part in name for part in STRAY))


def wheel_problems(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        info = next(name.partition("/")[0] for name in names if ".dist-info/" in name)
        problems = list(metadata_problems(wheel.read(f"{info}/METADATA")))
        entry_points = wheel.read(f"{info}/entry_points.txt").decode()
    problems += [f"entry points lack {group}" for group in ENTRY_POINTS if f"[{group}]" not in entry_points]
    problems += missing(names, [f"{PACKAGE}/{name}" for name in IN_WHEEL] + [f"{info}/licenses/LICENSE"])
    problems += stray(names)
    problems += [f"{name} is stray" for name in names if not name.startswith((f"{PACKAGE}/", f"{info}/"))]
    return problems


def sdist_problems(path: Path) -> list[str]:
    with tarfile.open(path) as sdist:
        names = [name.partition("/")[2] for name in sdist.getnames()]
        member = sdist.extractfile(sdist.getnames()[0].partition("/")[0] + "/PKG-INFO")
        problems = list(metadata_problems(member.read() if member else b""))
    return [*problems, *missing(names, IN_SDIST), *stray(names)]


def problems_in(folder: Path) -> list[str]:
    """Every problem of the one wheel and the one sdist in ``folder``."""
    wheels, sdists = sorted(folder.glob("*.whl")), sorted(folder.glob("*.tar.gz"))
    if len(wheels) != 1 or len(sdists) != 1:
        return [f"expected one wheel and one sdist in {folder}, found {len(wheels)} and {len(sdists)}"]
    problems = [f"{wheels[0].name}: {problem}" for problem in wheel_problems(wheels[0])]
    return problems + [f"{sdists[0].name}: {problem}" for problem in sdist_problems(sdists[0])]


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "dist")
    if problems := problems_in(folder):
        sys.exit("\n".join(problems))
    print("\n".join(sorted(str(path) for path in folder.iterdir() if not path.name.startswith("."))))


if __name__ == "__main__":
    main()
