"""``make demo``: a product file goes through the example Dag, on a real Airflow, into a local Mirakl Connect.

Everything it writes is in ``.demo/``, recreated by every run: the product file, an Airflow home with its SQLite
database, the log. The sandbox takes a free port and runs at sixty times the speed, so that Mirakl's one call a minute
becomes one a second; nothing else differs from the real service.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / ".demo"
DAG_FILE = ROOT / "example_dags" / "mirakl_connect_catalog_sync.py"
DAG_ID = "mirakl_connect_catalog_sync"
PRODUCTS = 2_500
SPEED = 60
OUR_LINES = re.compile(r"\s(?:\[\w+\s*\]\s)?([^\[]*\S)\s+\[airflow\.task\.operators\.airflow_provider_mirakl")


def main() -> int:
    """Run the demo and report; the exit code says whether every product was verified."""
    began = time.monotonic()
    shutil.rmtree(DEMO, ignore_errors=True)
    (DEMO / "airflow").mkdir(parents=True)
    source = DEMO / "products.ndjson"

    from airflow_provider_mirakl.sandbox import Sandbox

    with Sandbox(speed=SPEED) as sandbox:
        print(
            f"{sandbox.url} is a local Mirakl, {SPEED} times as fast as the real one: watch it in a browser"
        )
        print(f"{PRODUCTS:,} products, generated into {source.relative_to(ROOT)}")
        with source.open("wb") as file:
            subprocess.run([_script("mirakl-sandbox"), "generate", str(PRODUCTS)], stdout=file, check=True)
        environment = _environment(sandbox.connect_url, sandbox.token_url)
        with (DEMO / "airflow.log").open("w") as log:
            print("a real Airflow in .demo/airflow (its log: .demo/airflow.log)")
            subprocess.run(
                [sys.executable, "-m", "airflow", "db", "migrate"],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                check=True,
            )
            command = [sys.executable, __file__, "run-dag", str(source)]
            with subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            ) as dag:
                assert dag.stdout is not None
                for line in dag.stdout:
                    log.write(line)
                    if found := OUR_LINES.search(line):
                        print(f"  | {found[1]}", flush=True)
        journal, stored = sandbox.journal(), len(sandbox.products())
    result_file = DEMO / "result.json"
    if not result_file.exists():
        print("The Dag run failed; the end of its log:")
        print("".join((DEMO / "airflow.log").read_text().splitlines(keepends=True)[-30:]))
        print("demo: failed")
        return 1
    return _report(json.loads(result_file.read_text()), journal, stored, time.monotonic() - began)


def _report(result: dict[str, Any], journal: list[dict[str, Any]], stored: int, seconds: float) -> int:
    calls = Counter((call["operation"], call["status"]) for call in journal)
    upsert, verify = (result["xcoms"].get(task) or {} for task in ("upsert", "verify"))
    sent, verified, failed = upsert.get("sent", 0), verify.get("succeeded", 0), verify.get("failed", 0)
    print()
    print(f"{'task':<10}{'state':<12}{'sent':>8}{'verified':>10}{'failed':>8}{'unknown':>9}")
    print(
        f"{'upsert':<10}{result['tasks'].get('upsert')!s:<12}{sent:>8,}{'-':>10}{'-':>8}{upsert.get('unknown', 0):>9,}"
    )
    print(
        f"{'verify':<10}{result['tasks'].get('verify')!s:<12}{'-':>8}{verified:>10,}{failed:>8,}"
        f"{verify.get('unknown', 0):>9,}"
    )
    print()
    for (operation, status), count in sorted(calls.items()):
        print(f"Mirakl saw {count} x {operation} and answered {status}")
    print(f"Mirakl has {stored:,} products; {seconds:.0f} s in all")
    print(f"demo: {sent:,} sent, {verified:,} verified, {failed:,} failed")
    good = result["state"] == "success" and sent == verified == stored == PRODUCTS and failed == 0
    print("`make airflow` starts an Airflow to try, with every example Dag and such a Mirakl.")
    return 0 if good else 1


def run_dag(source: str) -> None:
    """Run the example Dag once in this process, and store its result."""
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:
        from airflow.models.dagbag import DagBag

    bag = DagBag(dag_folder=str(DAG_FILE))
    if bag.import_errors:
        raise SystemExit(str(bag.import_errors))
    dag = bag.dags[DAG_ID]
    for task in dag.tasks:
        task.retries = 0  # a failure shows at once
    run = dag.test(run_conf={"source": source})
    tasks = {ti.task_id: ti for ti in run.get_task_instances()}
    result = {
        "state": str(run.state),
        "tasks": {task_id: str(ti.state) for task_id, ti in tasks.items()},
        "xcoms": {task_id: ti.xcom_pull(task_ids=task_id) for task_id, ti in tasks.items()},
    }
    (DEMO / "result.json").write_text(json.dumps(result))


def _environment(connect_url: str, token_url: str) -> dict[str, str]:
    connection = {
        "conn_type": "mirakl_connect",
        "host": connect_url,
        "login": "sandbox-client",
        "password": "sandbox-secret",
        "extra": {"token_url": token_url, "interval_factor": 1 / SPEED},
    }
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "_AIRFLOW_"))
    }
    return kept | {
        "AIRFLOW_HOME": str(DEMO / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAG_FILE.parent),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        "AIRFLOW_CONN_MIRAKL_CONNECT_DEFAULT": json.dumps(connection),
        "NO_COLOR": "1",
        "PYTHONUNBUFFERED": "1",
    }


def _script(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


if __name__ == "__main__":
    if sys.argv[1:2] == ["run-dag"]:
        run_dag(sys.argv[2])
    else:
        raise SystemExit(main())
