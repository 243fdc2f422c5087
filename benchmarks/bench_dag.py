"""A Dag that sends a catalog with this package, beside a Dag of HttpOperators that makes the same calls.

    python benchmarks/bench_dag.py                # 20 calls of 1,000 products of 1 kB
    python benchmarks/bench_dag.py --calls 50

Both run through ``dag.test()`` on a migrated database, against a sandbox without limits in a process of its own. Our
Dag has one task, which checks and plans the file, paces itself, and notes each call. The other has a task for each
call: a macro reads the lines of its chunk, already cut and valid, and a second one the token. So it does less for each
product, and ``dag.test()`` spares it what a task costs most: a process of its own. Measured is the processor time of
``dag.test()`` only, after one of an empty Dag: the first in a process loads Airflow's API, which takes seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from importlib.util import find_spec
from pathlib import Path

from measure import Cost, figure, measured, run, table
from products import write_products

LEAST_RATIO = 1.0
"""What a product may cost, with its check, plan and notes: no more than in a Dag of HttpOperators without them."""
SERVER = """
import sys
from airflow_provider_mirakl.sandbox import Sandbox
with Sandbox(limits="off") as sandbox:
    print(sandbox.connect_url, sandbox.token_url, sandbox.url, flush=True)
    sys.stdin.read()
"""
EMPTY = """
from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG, BaseOperator


class Nothing(BaseOperator):
    def execute(self, context):
        return None


with DAG("empty", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
    Nothing(task_id="nothing")
"""
OURS = """
from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG
from airflow_provider_mirakl.operators.connect import MiraklConnectUpsertProductsOperator

with DAG("ours", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
    MiraklConnectUpsertProductsOperator(task_id="upsert", source={source!r})
"""
HTTP = """
from datetime import UTC, datetime
from functools import cache
from itertools import islice

import httpx
from airflow.providers.common.compat.sdk import DAG
from airflow.providers.http.operators.http import HttpOperator


def chunk(number):
    with open({source!r}, encoding="utf-8") as file:
        lines = islice(file, number * 1000, (number + 1) * 1000)
        return '{{"products":[' + ",".join(line.rstrip() for line in lines) + "]}}"


@cache
def token():
    form = {{
        "grant_type": "client_credentials",
        "client_id": "sandbox-client",
        "client_secret": "sandbox-secret",
    }}
    return httpx.post({token_url!r}, data=form).json()["access_token"]


with DAG(
    "http",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    user_defined_macros={{"chunk": chunk, "token": token}},
):
    before = None
    for number in range({calls}):
        task = HttpOperator(
            task_id=f"send{{number:03d}}",
            http_conn_id="mirakl_http",
            endpoint="api/products",
            data=f"{{{{{{{{ chunk({{number}}) }}}}}}}}",
            headers={{"Content-Type": "application/json", "Authorization": "Bearer {{{{ token() }}}}"}},
            log_response=False,
        )
        if before is not None:
            before >> task
        before = task
"""


def test_dag(dag_id: str, dags: Path) -> None:
    """Run a Dag of the folder through ``dag.test()``, measured."""
    try:
        from airflow.dag_processing.dagbag import DagBag  # Airflow 3.2 and later
    except ImportError:
        from airflow.models.dagbag import DagBag
    bag = DagBag(dag_folder=str(dags))
    assert not bag.import_errors, bag.import_errors

    def job(dag_id: str) -> None:
        state = bag.dags[dag_id].test().state
        assert state == "success", state

    job("empty")
    measured(lambda: job(dag_id))


def accepted(url: str) -> int:
    """The calls that the sandbox accepted."""
    with urllib.request.urlopen(f"{url}/_sandbox/journal") as reply:  # noqa: S310
        calls = json.load(reply)["calls"]
    return sum(call["operation"] == "upsertProducts" and call["status"] == 202 for call in calls)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--job", nargs=2)
    options = parser.parse_args()
    if options.job:
        test_dag(options.job[0], Path(options.job[1]))
        return
    with tempfile.TemporaryDirectory(prefix="mirakl-bench-") as folder:
        report(Path(folder), options.calls)


def report(work: Path, calls: int) -> None:
    name = "sending: a Dag of HttpOperators over a Dag of this package, processor time for each product"
    if not find_spec("airflow.providers.http"):
        figure(name, None, "times", at_least=LEAST_RATIO, why="not installed")
        return
    source = write_products(work / "products.ndjson", calls * 1000)
    dags = work / "dags"
    dags.mkdir()
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    connect_url, token_url, url = server.stdout.readline().split()
    (dags / "empty.py").write_text(EMPTY, "utf-8")
    (dags / "ours.py").write_text(OURS.format(source=str(source)), "utf-8")
    (dags / "http_dag.py").write_text(
        HTTP.format(source=str(source), token_url=token_url, calls=calls), "utf-8"
    )
    os.environ |= {
        "AIRFLOW_HOME": str(work),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "AIRFLOW_CONN_MIRAKL_HTTP": json.dumps({"conn_type": "http", "host": connect_url}),
        "AIRFLOW_CONN_MIRAKL_CONNECT_DEFAULT": json.dumps(
            {
                "conn_type": "mirakl_connect",
                "host": connect_url,
                "login": "sandbox-client",
                "password": "sandbox-secret",
                "extra": {"token_url": token_url, "interval_factor": 1e-9},
            }
        ),
    }
    try:
        subprocess.run(
            [sys.executable, "-m", "airflow", "db", "migrate"], check=True, stdout=subprocess.DEVNULL
        )
        costs: dict[str, Cost] = {}
        for dag_id in ("http", "ours"):
            before = accepted(url)
            costs[dag_id] = run(__file__, dag_id, str(dags))
            assert accepted(url) - before == calls, (dag_id, accepted(url) - before)
    finally:
        server.communicate("")
    rows = [("Dag", "CPU s", "us a product", "peak MB")]
    rows += [
        (dag_id, f"{cost.seconds:.2f}", f"{cost.seconds / calls * 1000:.0f}", f"{cost.megabytes:.0f}")
        for dag_id, cost in costs.items()
    ]
    print(table(rows))
    figure(name, costs["http"].seconds / costs["ours"].seconds, "times", at_least=LEAST_RATIO)


if __name__ == "__main__":
    main()
