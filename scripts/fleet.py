"""A fleet on one machine: PostgreSQL, Redis, two Celery workers with separate disks, triggerers, and the sandbox.

    make fleet                                   # everything, some ten minutes
    make fleet FLEET_ARGS="--only upsert,mapped --mapped 10"
    make fleet FLEET_ARGS="--only bare,upsert --calls 100"
    make fleet FLEET_ARGS="--only mapped --triggerers 1"
    make fleet FLEET_ARGS="--work-folder shared" # notes and plans in a folder that all share, as on NFS
    make fleet FLEET_ARGS="--work-folder s3"     # the same in object storage (moto's server)
    make fleet FLEET_ARGS="--only pods --work-folder s3"  # each task process takes 30 s to start, as a pod does

Runs: ``bare`` (an empty task, to compare with), ``upsert``, ``delta``, ``p41``, ``cm21``, ``s31``, ``pods``,
``worker_killed``, ``triggerer_killed``, ``mapped``.

Needs Debian's packages ``postgresql`` and ``redis-server``, or the same programs on the ``PATH``. Each worker and each
triggerer has an ``AIRFLOW_HOME`` of its own: no other component can read its disk. Dags, logs and the
database are shared, as they are in production.

The result of each item is read from the sandbox's own records. The table at the end shows for each run:

lost, doubled
    items that Mirakl never accepted, and items that it accepted more than once.
429
    refused calls.
rate
    the share of the published call frequency that was used, between the first and the last accepted call. Mirakl's
    minute is shortened here, so what a call takes beyond it weighs more; ``at a minute`` is calculated from it.
starts, worker s/call
    how often a worker started a process for the run's tasks, and for how many seconds these processes held a worker,
    for each accepted call.
load
    load average of the machine and its processors, when the run ended: on a busy one the other figures say little.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "airflow" / "live"))
sys.path.insert(0, str(ROOT / "benchmarks"))
from live_airflow import LiveAirflow, Run, free_port  # noqa: E402 - the tests' own harness
from measure import table  # noqa: E402

from airflow_provider_mirakl.sandbox import Sandbox  # noqa: E402
from airflow_provider_mirakl.sandbox.pytest_plugin import connections  # noqa: E402

SPEED, LONG = 20.0, 5.0
"""Mirakl's minute takes three seconds; twelve where a task has to wait outside of a worker: a short wait is slept."""
CHUNKS, BATCH = 20, 50
WORKERS = ("worker-1", "worker-2")
TRIGGERERS = 2
POD_START = 30.0
"""Seconds until a pod starts; each of its processes has an empty disk."""
PATIENCE = 900.0
STARTED = re.compile(r"\[([0-9a-f-]{36})\] Executing workload in Celery: .*?dag_id='(\w+)'")
ENDED = re.compile(r"\[([0-9a-f-]{36})\] (?:succeeded in ([\d.]+)s|raised)")

HEAD = """
from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG
from airflow_provider_mirakl.operators.catalog_manager import MiraklSynchronizeProductsOperator
from airflow_provider_mirakl.operators.connect import (
    MiraklConnectSyncCatalogOperator,
    MiraklConnectUpsertProductsOperator,
)
from airflow_provider_mirakl.operators.products import MiraklImportProductsOperator
from airflow_provider_mirakl.operators.shop_documents import MiraklDownloadShopDocumentsOperator

with DAG(
    dag_id={dag_id!r},
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    default_args={{"retries": 2, "retry_delay": timedelta(seconds=1)}},
):
"""
BARE = """
    from airflow.providers.common.compat.sdk import BaseOperator

    class Nothing(BaseOperator):
        def execute(self, context):
            pass

    Nothing(task_id="task")
"""
UPSERT = """
    MiraklConnectUpsertProductsOperator(
        task_id="task", source={source!r}, batch_size={batch}, deferrable=True, mirakl_connect_conn_id={dag_id!r},
    )
"""
POD = """
    import os, shutil, time

    def start_a_pod(context):
        shutil.rmtree(os.path.join(os.environ["AIRFLOW_HOME"], "mirakl"), ignore_errors=True)
        time.sleep({seconds})

    MiraklConnectUpsertProductsOperator(
        task_id="task", source={source!r}, batch_size={batch}, deferrable=True, mirakl_connect_conn_id={dag_id!r},
        pre_execute=start_a_pod,
    )
"""
DELTA = """
    MiraklConnectSyncCatalogOperator(
        task_id="task", source={source!r}, state={state!r}, batch_size={batch}, deferrable=True,
        max_delete_ratio=0.5, mirakl_connect_conn_id={dag_id!r},
    )
"""
MAPPED = """
    MiraklConnectUpsertProductsOperator.partial(
        task_id="task", deferrable=True, mirakl_connect_conn_id={dag_id!r},
    ).expand(source=[[dict(id=name)] for name in {ids!r}])
"""
P41 = """
    MiraklImportProductsOperator(
        task_id="task", source={source!r}, until="complete", deferrable=True, mirakl_conn_id={dag_id!r},
    )
"""
CM21 = """
    MiraklSynchronizeProductsOperator(
        task_id="task", source=[dict(mirakl_product_id=name, product_sku=f"SKU-{{name[4:]}}") for name in {ids!r}],
        deferrable=True, mirakl_conn_id={dag_id!r},
    )
"""
S31 = """
    MiraklDownloadShopDocumentsOperator(
        task_id="task", target={target!r}, shop_ids=[2001, 2002], mirakl_conn_id={dag_id!r},
    )
"""


class Fleet(LiveAirflow):
    """PostgreSQL, Redis, a scheduler, a Dag processor, an API server, two workers, and triggerers.

    :param place: an empty folder for everything.
    :param work_folder: the value of ``[mirakl] work_folder``; empty for the default, a folder on the disk of each.
    :param triggerers: how many triggerers.
    """

    def __init__(
        self, place: Path, work_folder: str = "", triggerers: int = TRIGGERERS, **settings: str
    ) -> None:
        self._database_port, self._broker_port = free_port(), free_port()
        home = place / "home"
        database = f"postgresql+psycopg2://airflow@127.0.0.1:{self._database_port}/airflow"
        super().__init__(
            home,
            place / "connections.json",
            AIRFLOW__CORE__EXECUTOR="CeleryExecutor",
            AIRFLOW__CORE__PARALLELISM="32",
            AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG="64",
            AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=database,
            AIRFLOW__CELERY__BROKER_URL=f"redis://127.0.0.1:{self._broker_port}/0",
            AIRFLOW__CELERY__RESULT_BACKEND=f"db+{database.replace('+psycopg2', '')}",
            AIRFLOW__CELERY__WORKER_CONCURRENCY="4",
            AIRFLOW__LOGGING__BASE_LOG_FOLDER=str(home / "logs"),
            **({"AIRFLOW__MIRAKL__WORK_FOLDER": work_folder} if work_folder else {}),
            **settings,
        )
        self.place = place
        self._postgres = Path(tempfile.mkdtemp(prefix="fleet-postgres-", dir="/tmp"))
        del self.commands["triggerer"]
        self.triggerers = [f"triggerer-{number + 1}" for number in range(triggerers)]
        for name in self.triggerers:
            self.commands[name] = ["triggerer"]
        for name in WORKERS:
            self.commands[name] = ["celery", "worker", "--celery-hostname", f"{name}@%h", "--without-gossip"]
        for name in (*self.triggerers, *WORKERS):
            disk = place / name
            disk.mkdir(parents=True)
            self.variables[name] = {
                "AIRFLOW_HOME": str(disk),
                "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
                "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
            }
        self.triggerer_jobs: dict[str, int] = {}

    def prepare(self) -> None:
        """Start PostgreSQL and Redis, and make the database."""
        self.launch(
            "redis", ["redis-server", "--port", str(self._broker_port), "--save", "", "--dir", "/tmp"]
        )
        as_postgres: list[str] = []
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(self._postgres, "postgres", "postgres")
            as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        data, initdb = self._postgres / "data", program("initdb")
        subprocess.run(
            [
                *as_postgres,
                initdb,
                "-D",
                str(data),
                "-U",
                "airflow",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--no-sync",
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
        )
        options = ["-p", str(self._database_port), "-c", "unix_socket_directories=", "-c", "fsync=off"]
        options += ["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200"]
        self.launch("postgres", [*as_postgres, program("postgres"), "-D", str(data), *options])
        self.until(lambda: answers(self._database_port), "PostgreSQL answers", 60)
        self.until(self._made, "the database is made", 60)
        self.cli("db", "migrate")

    def _made(self) -> bool:
        import psycopg2

        with contextlib.suppress(psycopg2.OperationalError):
            connection = psycopg2.connect(
                host="127.0.0.1", port=self._database_port, user="airflow", dbname="postgres"
            )
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("create database airflow")
            connection.close()
            return True
        return False

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Read from the database."""
        import psycopg2

        with (
            contextlib.closing(
                psycopg2.connect(host="127.0.0.1", port=self._database_port, user="airflow", dbname="airflow")
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(sql.replace("%", "%%").replace("?", "%s"), values)
            return cursor.fetchall()

    def start(self, name: str) -> None:
        """Start a component; of a triggerer, wait for its row, so that it is known which one holds a trigger."""
        known = {row[0] for row in self._triggerer_rows()} if name in self.triggerers else set()
        super().start(name)
        if name in self.triggerers:
            new = self.until(
                lambda: {row[0] for row in self._triggerer_rows()} - known, f"{name} is registered", PATIENCE
            )
            (self.triggerer_jobs[name],) = new

    def _triggerer_rows(self) -> list[tuple[Any, ...]]:
        return self.query("select id from job where job_type = 'TriggererJob'")

    def until_ready(self) -> None:
        """Wait until both workers take tasks."""
        logs = [self.component_log(name) for name in WORKERS]
        self.until(
            lambda: all("ready." in log.read_text() for log in logs), "both workers are ready", PATIENCE
        )

    def holder(self, dag_id: str) -> str:
        """The triggerer that holds a trigger of a Dag, "" while none does."""
        rows = self.query(
            "select triggerer_id from trigger join task_instance on trigger_id = trigger.id"
            " where dag_id = ? and triggerer_id is not null",
            dag_id,
        )
        return next((name for name, job in self.triggerer_jobs.items() if rows and rows[0][0] == job), "")

    def worker_of(self, dag_id: str) -> str:
        """The worker that runs a task of a Dag, "" while none does."""
        for name in WORKERS:
            log = self.component_log(name).read_text()
            open_ = {key for key, dag in STARTED.findall(log) if dag == dag_id} - set(seconds(log))
            if open_:
                return name
        return ""

    def stop(self) -> None:
        """End everything."""
        super().stop()
        shutil.rmtree(self._postgres, ignore_errors=True)

    def work(self, dag_id: str) -> tuple[int, float]:
        """How many processes workers have started for a Dag, and for how long these held a worker."""

        def read() -> tuple[list[str], dict[str, float]]:
            logs = "\n".join(self.component_log(name).read_text() for name in WORKERS)
            return [key for key, dag in STARTED.findall(logs) if dag == dag_id], seconds(logs)

        with contextlib.suppress(AssertionError):  # a worker that was killed never says how long it took
            self.until(lambda: set(read()[0]) <= set(read()[1]), "the workers have logged it", 20)
        started, took = read()
        return len(started), sum(took.get(key, 0.0) for key in started)


def seconds(log: str) -> dict[str, float]:
    """Of each ended piece of work of a worker, by Celery's id, how long it took."""
    return {key: float(took or 0) for key, took in ENDED.findall(log)}


@dataclass
class Scenario:
    """One run, and its evaluation.

    :param text: the Dag below its head.
    :param items: the items that must be accepted, each once.
    :param operation: Mirakl's code of the call that writes.
    :param during: what happens while it runs.
    """

    name: str
    text: str
    items: list[str]
    operation: str = "upsertProducts"
    during: Callable[[Fleet, Scenario], None] | None = None
    speed: float = SPEED
    load: str = ""
    patience: float = PATIENCE
    sandbox: Sandbox = field(init=False)
    runs: list[Run] = field(default_factory=list)

    def begin(self, fleet: Fleet) -> None:
        self.runs.append(fleet.trigger(self.name))

    def writes(self) -> list[dict[str, Any]]:
        return [call for call in self.sandbox.journal(self.operation) if call["status"] < 300]


def kill_triggerer(fleet: Fleet, scenario: Scenario) -> None:
    """``kill -9`` the triggerer that has the task, in the middle; it comes back."""
    fleet.until(
        lambda: len(scenario.writes()) >= CHUNKS // 4, f"{scenario.name}: a quarter is sent", PATIENCE
    )
    run = scenario.runs[-1]
    name = fleet.until(
        lambda: fleet.holder(scenario.name) or run.state not in ("queued", "running"),
        f"{scenario.name} is in a triggerer",
        PATIENCE,
    )
    if not isinstance(name, str):
        print(f"  {scenario.name}: never was in a triggerer", flush=True)
        return
    at = len(scenario.writes())
    fleet.kill(name)
    fleet.start(name)
    print(f"  {scenario.name}: {name} killed after {at} calls", flush=True)


def kill_worker(fleet: Fleet, scenario: Scenario) -> None:
    """``kill -9`` the worker that has the task; it comes back."""
    name = fleet.until(lambda: fleet.worker_of(scenario.name), f"{scenario.name} is in a worker", PATIENCE)
    fleet.until(
        lambda: scenario.sandbox.journal() or not fleet.worker_of(scenario.name), "it works", PATIENCE
    )
    at = len(scenario.writes())
    fleet.kill(name)
    fleet.start(name)
    print(f"  {scenario.name}: {name} killed after {at} calls", flush=True)


def answers(port: int) -> bool:
    """Whether something listens."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def program(name: str) -> str:
    """Where a program of PostgreSQL is: Debian does not put them all on the ``PATH``."""
    found = shutil.which(name) or next(
        (str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)), ""
    )
    if not found:
        sys.exit("make fleet needs PostgreSQL and Redis: apt-get install postgresql redis-server")
    return found


@contextlib.contextmanager
def object_storage(bucket: str) -> Iterator[dict[str, Any]]:
    """moto's server with a bucket; yields the connection."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    extra = {"endpoint_url": f"http://{host}:{port}", "region_name": "us-east-1"}
    client = boto3.client("s3", aws_access_key_id="key", aws_secret_access_key="secret", **extra)
    client.create_bucket(Bucket=bucket)
    try:
        yield {"conn_type": "aws", "login": "key", "password": "secret", "extra": extra}
    finally:
        server.stop()


def scenarios(place: Path, options: argparse.Namespace) -> list[Scenario]:
    """All runs."""
    shared = place / "shared"
    shared.mkdir()
    ids, more_ids = (
        [f"p{number:05d}" for number in range(calls * BATCH)] for calls in (CHUNKS, options.calls)
    )

    def products(name: str, names: list[str], **more: Any) -> str:
        file = shared / f"{name}.ndjson"
        file.write_text("".join(json.dumps({"id": each, **more}) + "\n" for each in names))
        return str(file)

    csv = shared / "p41.csv"
    skus = [f"A-{number}" for number in range(50)]
    csv.write_text(
        "category;shop_sku;title;ean;brand\n"
        + "".join(f"headphones;{sku};T;{2000000000001 + n};nordlys\n" for n, sku in enumerate(skus))
    )
    names = [f"m{number:03d}" for number in range(options.mapped)]

    def upsert(name: str, items: list[str], during: Any = None) -> Scenario:
        return Scenario(
            name,
            UPSERT.format(source=products(name, items), batch=BATCH, dag_id=name),
            items,
            during=during,
            speed=LONG,
        )

    delta = DELTA.format(
        source=products("delta", ids[:200]), state=str(shared / "state"), batch=BATCH, dag_id="delta"
    )
    masters = [f"MKL-{number:03}" for number in range(21, 26)]
    return [
        Scenario("bare", BARE, []),
        upsert("upsert", more_ids),
        Scenario("delta", delta, ids[:200]),
        Scenario("p41", P41.format(source=str(csv), dag_id="p41"), skus, "P41"),
        Scenario("cm21", CM21.format(ids=masters, dag_id="cm21"), masters, "CM21"),
        Scenario("s31", S31.format(target=str(shared / "documents"), dag_id="s31"), [], "S31"),
        Scenario(
            "pods",
            POD.format(source=products("pods", ids), batch=BATCH, dag_id="pods", seconds=POD_START),
            ids,
            speed=LONG,
        ),
        upsert("worker_killed", ids, kill_worker),
        upsert("triggerer_killed", ids, kill_triggerer),
        Scenario("mapped", MAPPED.format(ids=names, dag_id="mapped"), names, speed=LONG),
    ]


CONNECTIONS = {"p41": "mirakl_shop", "cm21": "mirakl_operator", "s31": "mirakl_operator"}
HEADINGS = (
    "run",
    "state",
    "items",
    "lost",
    "doubled",
    "429",
    "calls",
    "rate",
    "at a minute",
    "starts",
    "worker s/call",
    "load",
)


def row(fleet: Fleet, scenario: Scenario) -> tuple[str, ...]:
    """The result of a run."""
    sandbox = scenario.sandbox
    accepted = Counter(
        entry["item"]
        for entry in sandbox.ledger()
        if entry["operation"] == scenario.operation and entry["result"] not in ("invalid", "refused")
    )
    refused = sum(call["status"] == 429 for call in sandbox.journal())
    writes = scenario.writes()
    moments = [call["moment"] for call in writes]
    rate = at_a_minute = ""
    if scenario.operation == "upsertProducts" and len(moments) > 2:
        rate = f"{60 * (len(moments) - 1) / (moments[-1] - moments[0]):.3f}"
        gap = (moments[-1] - moments[0]) / (len(moments) - 1)
        at_a_minute = f"{60 / (60 + (gap - 60) / scenario.speed):.3f}"
    starts, held = fleet.work(scenario.name)
    return (
        scenario.name,
        "/".join(run.state for run in scenario.runs),
        str(len(scenario.items)),
        str(sum(item not in accepted for item in scenario.items)),
        str(sum(accepted[item] > 1 for item in scenario.items)),
        str(refused),
        str(len(writes)),
        rate,
        at_a_minute,
        str(starts),
        f"{held / max(1, len(writes)):.2f}",
        scenario.load,
    )


def main() -> int:
    """Run and print the table; the exit code shows whether anything was lost, doubled or failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mapped", type=int, default=50, help="mapped tasks on one account")
    parser.add_argument("--calls", type=int, default=CHUNKS, help="calls of the undisturbed upsert")
    parser.add_argument("--triggerers", type=int, default=TRIGGERERS)
    parser.add_argument("--only", default="", help="names of runs, separated by commas; default all")
    parser.add_argument(
        "--patience", type=float, default=PATIENCE, help="seconds after which a run counts as stuck"
    )
    parser.add_argument("--work-folder", choices=("local", "shared", "s3"), default="local")
    options = parser.parse_args()
    if shutil.which("redis-server") is None:
        sys.exit("make fleet needs PostgreSQL and Redis: apt-get install postgresql redis-server")
    program("initdb")
    with contextlib.ExitStack() as stack:
        place = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="fleet-", ignore_cleanup_errors=True))
        )
        wanted = set(filter(None, options.only.split(",")))
        chosen = [each for each in scenarios(place, options) if not wanted or each.name in wanted]
        folder, settings = "", {}
        if options.work_folder == "s3":
            folder = "s3://aws_default@work/mirakl"
            settings["AIRFLOW_CONN_AWS_DEFAULT"] = json.dumps(stack.enter_context(object_storage("work")))
        elif options.work_folder == "shared":
            folder = str(place / "shared" / "work")
        for scenario in chosen:
            scenario.sandbox = stack.enter_context(Sandbox(speed=scenario.speed))
            scenario.patience = options.patience
        fleet = stack.enter_context(Fleet(place, folder, options.triggerers, **settings))
        run_all(fleet, chosen)
        rows = [row(fleet, scenario) for scenario in chosen]
        print(table([HEADINGS, *rows]))
        for run in (run for scenario in chosen for run in scenario.runs if run.state != "success"):
            print(f"\n{run}:\n{run.log('task')[-6000:]}")
    return 0 if all(each[1] == "success" and each[3] == each[4] == "0" for each in rows) else 1


def run_all(fleet: Fleet, chosen: list[Scenario]) -> None:
    """First the undisturbed runs, then the killed ones, then the mapped ones."""
    fleet.until_ready()
    for scenario in chosen:
        kind = CONNECTIONS.get(scenario.name, "mirakl_connect_default")
        fleet.add_connection(scenario.name, connections(scenario.sandbox)[kind])
        fleet.add_dag(scenario.name, HEAD.format(dag_id=scenario.name) + scenario.text)
        if scenario.name == "s31":
            for shop, number in itertools.product((2001, 2002), range(10)):
                scenario.sandbox.put_document(shop, "INSURANCE", f"{shop}-{number}.pdf", b"%PDF-1.4 proof")
    killed = [each for each in chosen if each.during]
    mapped = [each for each in chosen if each.name == "mapped"]
    for group in ([each for each in chosen if each not in (*killed, *mapped)], killed, mapped):
        for scenario in group:
            scenario.begin(fleet)
            if scenario.during:
                scenario.during(fleet, scenario)
        for scenario in group:
            wait(scenario)


def wait(scenario: Scenario) -> None:
    """Wait for the end, successful or not."""
    try:
        state = scenario.runs[-1].until_done(scenario.patience)
    except AssertionError as error:
        state = str(error)
    scenario.load = f"{os.getloadavg()[1]:.1f}/{os.cpu_count()}"
    print(f"  {scenario.name}: {state}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
