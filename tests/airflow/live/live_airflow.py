"""A real Airflow for tests and benchmarks: scheduler, triggerer, Dag processor, API server, as separate processes.

Each can be killed and started again. On Airflow 2 the scheduler parses the Dags itself, there is no API server, and the
executor is the sequential one, the only one that Airflow 2 runs on SQLite.

State is read from the database, and every wait has a condition and a deadline. Whatever happens, even to the process
that started it, nothing is left running: ``keeper.py`` sees to that.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import uuid4

import httpx
import psutil

T = TypeVar("T")

AIRFLOW = tuple(int(part) for part in version("apache-airflow").split(".")[:2])
ON_3 = AIRFLOW >= (3, 0)
XCOM = "xcom" if AIRFLOW < (3, 4) else "xcom_v2 join task_instance on task_instance.id = task_instance_id"
POLL = 0.2
"""Seconds between two polls at a condition."""


@dataclass(frozen=True)
class Task:
    """A row of the table of task instances.

    :param state: as Airflow spells it, ``None`` before it is scheduled.
    :param pid: of the process that runs it, or ran it last.
    """

    state: str | None
    try_number: int
    max_tries: int
    pid: int | None


@dataclass(frozen=True)
class Run:
    """A Dag run.

    :param airflow: where it runs.
    """

    airflow: LiveAirflow
    dag_id: str
    run_id: str

    def __str__(self) -> str:
        return f"{self.dag_id}/{self.run_id}"

    @property
    def state(self) -> str:
        """State of the run."""
        rows = self.airflow.query(
            "select state from dag_run where dag_id = ? and run_id = ?", self.dag_id, self.run_id
        )
        return str(rows[0][0])

    def task(self, task_id: str) -> Task:
        """How a task stands."""
        rows = self.airflow.query(
            "select state, try_number, max_tries, pid from task_instance"
            " where dag_id = ? and run_id = ? and task_id = ?",
            self.dag_id,
            self.run_id,
            task_id,
        )
        return Task(*rows[0]) if rows else Task(None, 0, 0, None)

    def result(self, task_id: str, key: str = "return_value") -> Any:
        """What a task returned; ``None`` when nothing."""
        rows = self.airflow.query(
            f"select value from {XCOM} where dag_id = ? and run_id = ? and task_id = ? and key = ?",  # noqa: S608
            self.dag_id,
            self.run_id,
            task_id,
            key,
        )
        value = rows[0][0] if rows else None
        for _ in range(2):  # Airflow 3 keeps JSON text inside a JSON column
            if isinstance(value, str | bytes):
                value = json.loads(value)
        return value

    def log(self, task_id: str) -> str:
        """Everything a task has logged, of all tries, the trigger's lines included."""
        folder = self.airflow.home / "logs" / f"dag_id={self.dag_id}" / f"run_id={self.run_id}"
        files = sorted((folder / f"task_id={task_id}").rglob("*"))
        return "\n".join(file.read_text(encoding="utf-8") for file in files if file.is_file())

    def logged(self, task_id: str, *texts: str, timeout: float = 300) -> str:
        """The log of a task, once it has all of these texts: the last lines may come after the task's state."""
        with contextlib.suppress(AssertionError):
            self.airflow.until(lambda: all(text in self.log(task_id) for text in texts), "logged", timeout)
        log = self.log(task_id)
        for text in texts:
            assert text in log
        return log

    def until_task(self, task_id: str, *states: str, timeout: float = 180) -> Task:
        """Wait until a task is in one of the states; a failure that was not waited for ends the waiting."""

        def seen() -> Task | None:
            task = self.task(task_id)
            if task.state in ("failed", "upstream_failed") and task.state not in states:
                raise AssertionError(
                    self.airflow.told(f"{self} {task_id} is {task.state}:", self.log(task_id))
                )
            return task if task.state in states else None

        return self.airflow.until(seen, f"{self} {task_id} is {' or '.join(states)}", timeout)

    def until_try(self, task_id: str, number: int) -> None:
        """Wait until a task is tried for the n-th time."""
        self.airflow.until(
            lambda: self.task(task_id).try_number >= number, f"{self} {task_id} is tried {number} times"
        )

    def until_done(self, timeout: float = 300) -> str:
        """Wait until the run is over; returns its state."""
        return self.airflow.until(
            lambda: self.state if self.state in ("success", "failed") else None, f"{self} is over", timeout
        )

    def succeed(self, timeout: float = 300) -> None:
        """Wait until the run has succeeded; else fail with what its tasks have logged."""
        state = self.until_done(timeout)
        rows = self.airflow.query(
            "select task_id from task_instance where run_id = ? and state = 'failed'", self.run_id
        )
        logs = [f"{task_id}:\n{self.log(task_id)}" for (task_id,) in rows]
        assert state == "success", self.airflow.told(f"{self} is {state}", *logs)

    def clear(self, *task_ids: str) -> None:
        """Clear only these tasks, as in the UI."""
        if ON_3:
            self.airflow.call(
                "POST",
                f"/api/v2/dags/{self.dag_id}/clearTaskInstances",
                {
                    "dag_run_id": self.run_id,
                    "task_ids": list(task_ids),
                    "dry_run": False,
                    "only_failed": False,
                    "only_running": False,
                    "reset_dag_runs": True,
                },
            )
        else:
            pattern = "^(" + "|".join(re.escape(name) for name in task_ids) + ")$"
            self.airflow.cli("tasks", "clear", "--yes", "--task-regex", pattern, self.dag_id)


def _is_dead(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


class LiveAirflow:
    """An Airflow in a folder of its own, from ``with`` to its end.

    :param home: an empty folder; ``AIRFLOW_HOME``.
    :param connections: a file outside of ``home`` that Airflow reads connections from, so that a key found in ``home``
        is a leak.
    :param migrated: a migrated SQLite database to begin with; else one is made.
    :param settings: more environment variables.

    ``commands`` names the components and what they run as; ``variables`` holds more environment variables of a
    component. Both may be changed before ``with``. ``revived`` tells of each component that ended by itself.
    """

    def __init__(self, home: Path, connections: Path, migrated: Path | None = None, **settings: str) -> None:
        self.home = home
        self._migrated = migrated
        self._connections = connections
        self._processes: dict[str, psutil.Process] = {}
        self._keeper: subprocess.Popen[str] | None = None
        self._port = free_port()
        self.revived: list[str] = []
        self.environment = self._environment() | settings
        self.variables: dict[str, dict[str, str]] = {}
        self.commands = {"scheduler": ["scheduler"], "triggerer": ["triggerer"]}
        if ON_3:
            self.commands |= {
                "dag-processor": ["dag-processor"],
                "api-server": ["api-server", "--host", "127.0.0.1", "--port", str(self._port)],
            }

    def _environment(self) -> dict[str, str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.lstrip("_").startswith("AIRFLOW_")
        }
        url = self.url
        return kept | {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.home / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor" if ON_3 else "SequentialExecutor",
            "AIRFLOW__CORE__PARALLELISM": "8",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            # Without a key Airflow stores readable what it would encrypt: then the search for keys sees everything.
            "AIRFLOW__CORE__FERNET_KEY": "",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
            "AIRFLOW__API__BASE_URL": url,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(16),
            "AIRFLOW__API_AUTH__JWT_SECRET": urlsafe_b64encode(secrets.token_bytes(64)).decode(),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self._sqlite(300),
            "AIRFLOW__SECRETS__BACKEND": "airflow.secrets.local_filesystem.LocalFilesystemBackend",
            "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps({"connections_file_path": str(self._connections)}),
            # A race of LocalExecutor fails tasks that are deferred for a short time; this works around it.
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
            # A busy machine is not a dead one.
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
            "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "600",
            "AIRFLOW__CORE__DAG_FILE_PROCESSOR_TIMEOUT": "600",
            "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "600",
            # New Dag files are noticed in seconds, dead processes in about a minute.
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "1",
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
            "AIRFLOW__SCHEDULER__DAG_DIR_LIST_INTERVAL": "1",
            "AIRFLOW__SCHEDULER__MIN_FILE_PROCESS_INTERVAL": "600",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
            "AIRFLOW__SCHEDULER__SCHEDULER_ZOMBIE_TASK_THRESHOLD": "60",
            "AIRFLOW__SCHEDULER__ZOMBIE_DETECTION_INTERVAL": "3",
            "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
            "AIRFLOW__SCHEDULER__LOCAL_TASK_JOB_HEARTBEAT_SEC": "3",
            "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "8",
            "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "NO_COLOR": "1",
            "PYTHONUNBUFFERED": "1",
        }

    @property
    def url(self) -> str:
        """Address of the web interface (Airflow 3)."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.home / "airflow.db"

    def _sqlite(self, timeout: int) -> str:
        """SQLite gives up after five seconds; on a busy machine ten tasks that start at once take longer."""
        return f"sqlite:///{self.database}?timeout={timeout}"

    # Life

    def __enter__(self) -> Self:
        (self.home / "dags").mkdir(parents=True)
        if AIRFLOW == (3, 0):
            (self.home / "config").mkdir()
            local_settings = self.home / "config" / "airflow_local_settings.py"
            shutil.copyfile(Path(__file__).with_name("patient_workers.py"), local_settings)
        self._connections.write_text("{}", encoding="utf-8")
        self._keeper = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("keeper.py"))],
            env=self.environment,
            cwd=self.home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            self.prepare()
            for name in self.commands:
                self.start(name)
            if ON_3:
                self.until(self.api_answers, "the API server answers", 300)
            self.until_alive(*self.commands)
        except BaseException:
            self.stop()
            raise
        return self

    def prepare(self) -> None:
        """Make what the components need: here the database."""
        if self._migrated is None:
            self.cli("db", "migrate")
        else:
            shutil.copyfile(self._migrated, self.database)
        # In SQLite's default mode each reader stands in the way of a writer. On a busy machine the scheduler may wait
        # so long that it ends with "database is locked", and its tasks with it.
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        # A thread of the API server that holds the lock may need the event loop, which waits for the lock. With less
        # than this, calls are refused on a busy machine; with more, everything stands still for as long.
        server = self.variables.setdefault("api-server", {})
        server["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = self._sqlite(30)
        # A scheduler that has waited for the lock for so long takes itself for dead, and starts its tasks again.
        scheduler = self.variables.setdefault("scheduler", {})
        scheduler["AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD"] = "600"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End every process of this Airflow."""
        if self._keeper is not None:
            self._keeper.communicate(timeout=300)
            self._keeper = None

    def start(self, name: str) -> None:
        """Start a component: one of ``commands``."""
        if name == "scheduler" and self.database.exists():
            self._bury_schedulers()
        variables = [f"{key}={value}" for key, value in self.variables.get(name, {}).items()]
        command = [sys.executable, "-m", "airflow", *self.commands[name]]
        self.launch(name, ["env", *variables, *command])

    def _bury_schedulers(self) -> None:
        """Note that no scheduler runs. So the next one takes over the tasks of a killed one as it starts, and not when
        the threshold of :meth:`prepare` has passed."""
        with contextlib.closing(sqlite3.connect(self.database, timeout=300)) as connection, connection:
            connection.execute(
                "update job set state = 'failed' where job_type = 'SchedulerJob' and state = 'running'"
            )

    def launch(self, name: str, command: list[str]) -> psutil.Process:
        """Start any process that ends with this Airflow."""
        assert self._keeper is not None
        assert self._keeper.stdin is not None
        assert self._keeper.stdout is not None
        print(json.dumps([command, str(self.component_log(name))]), file=self._keeper.stdin, flush=True)
        self._processes[name] = psutil.Process(int(self._keeper.stdout.readline()))
        return self._processes[name]

    def revive(self) -> None:
        """Start again what has ended by itself, as a service manager does."""
        for name in [
            name for name, process in self._processes.items() if name in self.commands and _is_dead(process)
        ]:
            self.revived.append(f"{name} ended by itself:\n{self._printed(name)}")
            self.start(name)

    def told(self, *lines: str) -> str:
        """A failure in words, with what ended by itself before it, and what the components have printed last."""
        printed = [f"{name}:\n{self._printed(name)}" for name in self._processes if name in self.commands]
        return "\n".join([*lines, *self.revived, *printed])

    def _printed(self, name: str) -> str:
        return self.component_log(name).read_text(encoding="utf-8", errors="replace")[-3000:]

    def kill(self, name: str) -> None:
        """``kill -9`` a component with everything it has started, as when its machine dies."""
        process = self._processes.pop(name)
        family = [process, *process.children(recursive=True)]
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        psutil.wait_procs(family, 10)

    def component_log(self, name: str) -> Path:
        """What a component has printed."""
        return self.home / f"{name}.out"

    def until_alive(self, *names: str) -> None:
        """Wait until components beat."""
        jobs = {"scheduler": "SchedulerJob", "triggerer": "TriggererJob", "dag-processor": "DagProcessorJob"}

        def beating() -> bool:
            for name in names:
                if _is_dead(self._processes[name]):
                    raise AssertionError(f"{name} ended:\n{self._printed(name)}")
            rows = self.query("select job_type from job where state = 'running'")
            return {jobs[name] for name in names if name in jobs} <= {row[0] for row in rows}

        self.until(beating, f"{', '.join(names)} alive", 180)

    # Asking and waiting

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Read from the database."""
        with contextlib.closing(
            sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=300)
        ) as connection:
            return connection.execute(sql, values).fetchall()

    def until(self, condition: Callable[[], T | None], what: str, timeout: float = 180) -> T:
        """Wait for a condition, and start again what has ended by itself meanwhile.

        :param condition: gives something true when it holds.
        :param what: what is waited for, in words.
        :param timeout: seconds; then the wait fails.
        """
        deadline = time.monotonic() + timeout
        while True:
            if found := condition():
                return found
            assert time.monotonic() < deadline, self.told(f"not within {timeout:g} s: {what}")
            self.revive()
            time.sleep(POLL)

    def task_processes(self) -> list[psutil.Process]:
        """The processes that run tasks now: what a worker is busy with. Not those that wait for a task."""
        return list(self._task_processes())

    def _task_processes(self) -> Iterator[psutil.Process]:
        scheduler = self._processes.get("scheduler")
        if scheduler is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            for executor in scheduler.children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    yield from executor.children()

    # Doing

    def add_connection(self, conn_id: str, connection: dict[str, Any]) -> None:
        """Add a connection, or replace it."""
        known = json.loads(self._connections.read_text(encoding="utf-8"))
        known[conn_id] = connection | {"extra": json.dumps(connection.get("extra", {}))}
        draft = self._connections.with_suffix(".draft")
        draft.write_text(json.dumps(known), encoding="utf-8")
        draft.replace(self._connections)

    def add_dag(self, dag_id: str, text: str) -> None:
        """Add a Dag file; :meth:`trigger` waits until the Dag is known."""
        (self.home / "dags" / f"{dag_id}.py").write_text(text, encoding="utf-8")

    def until_dag(self, dag_id: str) -> None:
        """Wait until the scheduler knows a Dag."""

        def known() -> bool:
            errors = self.query("select stacktrace from import_error where filename like ?", f"%{dag_id}.py")
            assert not errors, errors[0][0]
            return bool(self.query("select 1 from serialized_dag where dag_id = ?", dag_id))

        self.until(known, f"Dag {dag_id} is known", 300)

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None) -> Run:
        """Start a run, as soon as the Dag is known."""
        self.until_dag(dag_id)
        run_id = f"test_{secrets.token_hex(4)}"
        if ON_3:
            body = {"dag_run_id": run_id, "conf": conf or {}, "logical_date": None}
            # One call may take a minute where the machine is busy.
            self.until(
                lambda: self._taken(f"/api/v2/dags/{dag_id}/dagRuns", body), f"{dag_id} is triggered", 300
            )
        else:
            self.cli("dags", "trigger", "--conf", json.dumps(conf or {}), "--run-id", run_id, dag_id)
        return Run(self, dag_id, run_id)

    def cli(self, *arguments: str) -> str:
        """Run ``airflow ...`` to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "airflow", *arguments],
            env=self.environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, f"airflow {' '.join(arguments)}:\n{done.stdout}"
        return done.stdout

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Call the REST API (Airflow 3), again if SQLite refused it: then it changed nothing."""

        def answered() -> httpx.Response | None:
            answer = self._http.request(method, path, json=body)
            return None if answer.status_code == 500 else answer

        answer = self.until(answered, f"{method} {path} reaches the database")
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def _taken(self, path: str, body: dict[str, Any]) -> bool:
        """Whether a POST was taken, now or before: SQLite refuses a writer while another one is slow, and the server
        may need longer than the client waits."""
        try:
            # Shorter than the caller waits, so that a call that hangs is made again.
            answer = self._http.post(path, json=body, timeout=60)
        except httpx.TimeoutException:
            return False
        assert answer.is_success or answer.status_code in (409, 500), answer.text
        return answer.status_code < 500

    @cached_property
    def _http(self) -> httpx.Client:
        client = httpx.Client(base_url=self.url, trust_env=False, timeout=300)
        token = client.get("/auth/token").json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        return client

    def api_answers(self) -> bool:
        """The first call that a task makes costs the API server many seconds; this is it."""
        with contextlib.suppress(httpx.TransportError):
            url = f"{self.url}/execution/task-instances/{uuid4()}/heartbeat"
            return httpx.put(url, json={}, trust_env=False, timeout=60).status_code < 500
        return False


def kill_process(pid: int) -> None:
    """``kill -9`` one process."""
    os.kill(pid, signal.SIGKILL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
