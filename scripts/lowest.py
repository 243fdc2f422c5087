"""Print the oldest Airflow's constraints without what ``pyproject.toml`` names itself (`make lowest`)."""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = ROOT / "constraints" / "airflow-2.11.2.txt"


def main() -> None:
    """Print them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    named = list(project["project"]["dependencies"])
    for extra in ("sandbox", "parquet"):
        named += project["project"]["optional-dependencies"][extra]
    own = {canonicalize_name(Requirement(line).name) for line in named}
    for line in CONSTRAINTS.read_text(encoding="utf-8").splitlines():
        if canonicalize_name(Requirement(line).name) not in own:
            print(line)


if __name__ == "__main__":
    main()
