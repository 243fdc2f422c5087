"""Type-check what users write: the first Dag of README, the Dags in the docs, and the example Dags.

A misspelled parameter, a missing one, or the result of a task as an argument has to be what the signatures say, in the
user's editor. So mypy reads this code as a user's: not strict, with our types.

Usage: ``python scripts/check_user_code.py``
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WRONG = {
    "sourc": 'MiraklConnectUpsertProductsOperator(task_id="t", sourc="x.csv")',
    "deferable": 'MiraklConnectUpsertProductsOperator(task_id="t", source="x.csv", deferable=True)',
    "source": 'MiraklConnectUpsertProductsOperator(task_id="t")',
    "max_failed_item": 'MiraklImportProductsOperator(task_id="t", source="x.csv", max_failed_item=1)',
    "until": 'MiraklImportProductsOperator(task_id="t", source="x.csv", until="done")',
    "max_failed_items": 'MiraklExportOffersOperator(task_id="t", target="x.csv", max_failed_items=1)',
    "jobs": 'MiraklProductImportSensor(task_id="t", jobs=[1])',
}
"""Code that mypy must reject, by a word of its error."""
IMPORTS = """
from airflow_provider_mirakl.operators.connect import MiraklConnectUpsertProductsOperator
from airflow_provider_mirakl.operators.offers import MiraklExportOffersOperator
from airflow_provider_mirakl.operators.products import MiraklImportProductsOperator
from airflow_provider_mirakl.sensors.jobs import MiraklProductImportSensor
"""


def snippets() -> Iterator[tuple[str, str]]:
    """Every whole Dag of the docs: a block that imports what it uses and makes a Dag."""
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for number, block in enumerate(BLOCK.findall(page.read_text(encoding="utf-8"))):
            if "airflow_provider_mirakl" in block and re.search(
                r"^\s*(with DAG\(|@dag)", block, re.MULTILINE
            ):
                yield f"{page.stem.replace('-', '_').lower()}_{number}.py", block


def mypy(folder: Path) -> tuple[int, str]:
    """The output of mypy for a folder of user code."""
    command = [
        sys.executable, "-m", "mypy", "--no-incremental", "--config-file", str(folder / "mypy.ini"),
        "--python-version", "3.11", str(folder),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def main() -> int:
    """Check, and print the problems."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "mypy.ini").write_text("[mypy]\ncheck_untyped_defs = True\nfollow_imports = silent\n")
        for file, block in snippets():
            (folder / file).write_text(block, encoding="utf-8")
        for dag in (ROOT / "example_dags").glob("*.py"):
            (folder / dag.name).write_text(dag.read_text(encoding="utf-8"), encoding="utf-8")
        first = len(IMPORTS.splitlines()) + 1
        (folder / "wrong.py").write_text(IMPORTS + "\n".join(WRONG.values()) + "\n", encoding="utf-8")
        files = sorted(path.name for path in folder.glob("*.py"))
        _, said = mypy(folder)
    errors = [line for line in said.splitlines() if ": error:" in line]
    rejected = {int(found[1]): line for line in errors if (found := re.search(r"wrong\.py:(\d+)", line))}
    # Airflow's @task does not say that its functions take the results of other tasks.
    faults = [
        line
        for line in errors
        if "wrong.py" not in line and not re.search(r'Argument \d+ has incompatible type "XComArg"', line)
    ]
    for number, (word, code) in enumerate(WRONG.items(), first):
        if f'"{word}"' not in rejected.get(number, ""):
            faults.append(f"mypy accepts, or does not name {word!r} in: {code}\n  {rejected.get(number, '')}")
    if not errors:
        faults.append(said)
    print("\n".join(faults) or f"mypy accepts {len(files) - 1} Dags of users, and rejects {len(WRONG)} slips")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
