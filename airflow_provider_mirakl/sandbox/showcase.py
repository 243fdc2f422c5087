"""An Airflow with the example Dags and a sandbox, in one folder and on the loopback address."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from airflow_provider_mirakl.sandbox import Sandbox
from airflow_provider_mirakl.sandbox.connections import connections
from airflow_provider_mirakl.sandbox.feeds import fill
from airflow_provider_mirakl.sandbox.machine.settings import Settings

HOST = "127.0.0.1"
#: Seconds for a first start on a slow machine, and for Airflow to end.
START, END = 300.0, 5.0
_VERSION = version("apache-airflow") if find_spec("airflow") else ""
#: The commands of Airflow, the web server first.
_PARTS = (
    (("webserver",), ("scheduler",), ("triggerer",))
    if _VERSION.startswith("2.")
    else (("api-server",), ("scheduler",), ("dag-processor",), ("triggerer",))
)
_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a showcase lives: its folder, both ports, the sandbox's speed."""

    folder: Path
    port: int
    airflow_port: int
    speed: float

    @property
    def sandbox_url(self) -> str:
        """Address of the sandbox."""
        return f"http://{HOST}:{self.port}"

    @property
    def airflow_url(self) -> str:
        """Address of Airflow."""
        return f"http://{HOST}:{self.airflow_port}"

    @property
    def state(self) -> Path:
        """The sandbox's state, so that it outlives a restart as Airflow's database does."""
        return self.folder / "sandbox.state"


def examples() -> Path:
    """The folder of the example Dags: in a wheel inside the package, in a clone next to it.

    :raises FileNotFoundError: when the installation has none.
    """
    for folder in (_PACKAGE / "example_dags", _PACKAGE.parent / "example_dags"):
        if (folder / "data").is_dir():
            return folder
    raise FileNotFoundError("this installation of airflow-provider-mirakl has no example Dags")


def prepare(folder: Path, port: int, airflow_port: int, speed: float) -> Place:
    """Copy the example Dags with their data, and write connections and environment. An edited copy is kept."""
    place = Place(folder.resolve(), port, airflow_port, speed)
    place.folder.mkdir(parents=True, exist_ok=True)
    _copy(examples(), place.folder / "dags", place.folder / "copied.json")
    home = place.folder / "airflow"
    home.mkdir(exist_ok=True)
    # Airflow 2 asks for a password unless this file says otherwise; Airflow 3 has a setting.
    (home / "webserver_config.py").write_text('AUTH_ROLE_PUBLIC = "Admin"\n')
    _write_settings(place)
    return place


def _copy(source: Path, target: Path, notes: Path) -> None:
    """Update a folder. A copy that was edited since the last time is not changed.

    :param notes: file with the digest of each copy, to distinguish an edited copy from an older version.
    """
    known: dict[str, str] = json.loads(notes.read_text()) if notes.exists() else {}
    for file in sorted(source.rglob("*")):
        name = file.relative_to(source).as_posix()
        if file.is_dir() or name.startswith("out/") or "__pycache__" in name:
            continue
        copy = target / name
        if not copy.exists() or known.get(name) == _digest(copy):
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
            known[name] = _digest(copy)
    notes.write_text(json.dumps(known, indent=2) + "\n")


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _write_settings(place: Place) -> None:
    found = connections(place.sandbox_url, Settings(speed=place.speed))
    _write_for_the_owner(place.folder / "connections.json", json.dumps(found, indent=2) + "\n")
    lines = [f"export {name}={shlex.quote(value)}" for name, value in environment(place).items()]
    text = "\n".join(["# The settings of this Airflow, for a shell: . env.sh", *lines]) + "\n"
    _write_for_the_owner(place.folder / "env.sh", text)


def _write_for_the_owner(path: Path, text: str) -> None:
    """Write a file that no one else can read, not even while it is written."""
    path.touch(0o600)
    path.chmod(0o600)
    path.write_text(text)


def environment(place: Place) -> dict[str, str]:
    """Airflow's settings: everything in the folder, on the loopback address, without a login, Dags unpaused."""
    url, folder = place.airflow_url, place.folder
    settings = {
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        **({"AIRFLOW__CORE__EXECUTOR": "SequentialExecutor"} if _VERSION.startswith("2.") else {}),
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__API__HOST": HOST,
        "AIRFLOW__API__PORT": str(place.airflow_port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__WEBSERVER__WEB_SERVER_HOST": HOST,
        "AIRFLOW__WEBSERVER__WEB_SERVER_PORT": str(place.airflow_port),
        "AIRFLOW__WEBSERVER__BASE_URL": url,
        "AIRFLOW__WEBSERVER__WORKERS": "1",
        # A laptop that starts everything at once answers slowly for a while.
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "AIRFLOW__MIRAKL__WORK_FOLDER": str(folder / "work"),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    for conn_id, connection in connections(place.sandbox_url, Settings(speed=place.speed)).items():
        settings[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(connection)
    return settings


def instructions(place: Place) -> str:
    """What to run, in two terminals."""
    folder = shlex.quote(os.path.relpath(place.folder))
    busy = [
        f"Port {port} is in use: stop what uses it, or choose another with {option}."
        for port, option in ((place.port, "--port"), (place.airflow_port, "--airflow-port"))
        if _free(port) != port
    ]
    serve = f"mirakl-sandbox serve --port {place.port} --speed {place.speed:g} --examples"
    return "\n".join(
        (
            f"{folder}/dags contains the example Dags, {folder}/connections.json their connections.",
            "Run these two commands from this folder, each in its own terminal with this environment active:",
            "",
            f"  {serve} --state {folder}/sandbox.state",
            f"  . {folder}/env.sh && airflow standalone",
            "",
            f"The sandbox then answers at {place.sandbox_url}, Airflow at {place.airflow_url}.",
            f"`mirakl-sandbox airflow --folder {folder} --run` starts both in this terminal.",
            *busy,
        )
    )


def _free(wanted: int) -> int:
    """The port if it is free, another one otherwise."""
    for port in (wanted, 0):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return int(probe.getsockname()[1])
    raise OSError("no port is free on the loopback address")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - a loopback address of our own
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


def _start(command: Sequence[str], variables: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """A part of Airflow in a process group of its own."""
    with log.open("ab") as out:
        return subprocess.Popen(  # noqa: S603 - Airflow's own command
            [sys.executable, "-m", "airflow", *command],
            env=variables,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _stop(parts: Sequence[subprocess.Popen[bytes]]) -> None:
    """End the groups, all at once, with everything that they started in between."""
    for name in (signal.SIGTERM, signal.SIGKILL):
        for part in parts:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(part.pid, name)
        limit = time.monotonic() + END
        for part in parts:
            with contextlib.suppress(subprocess.TimeoutExpired):
                part.wait(max(0.0, limit - time.monotonic()))


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder: two Airflows on one SQLite database would disturb each other.

    :raises OSError: when another process holds it.
    """
    with (folder / "running.lock").open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(
                f"an Airflow already runs in {folder}; use it, or choose another --folder"
            ) from None
        yield


def run(place: Place) -> int:
    """Start both, say where they are, and wait for Ctrl-C; returns the exit code.

    :raises ImportError: when Airflow is not installed.
    :raises OSError: when both already run in this folder.
    """
    if not _VERSION:
        raise ImportError("Airflow is not installed: pip install apache-airflow")
    began, ended = time.monotonic(), threading.Event()
    handlers = {name: signal.signal(name, lambda *_: ended.set()) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        with _alone(place.folder):
            return _run(place, began, ended)
    finally:
        for name, handler in handlers.items():
            signal.signal(name, handler)


def _run(wanted: Place, began: float, ended: threading.Event) -> int:
    place = replace(wanted, port=_free(wanted.port), airflow_port=_free(wanted.airflow_port))
    _write_settings(place)
    new = not place.state.exists()
    parts: list[subprocess.Popen[bytes]] = []
    with Sandbox(speed=place.speed, port=place.port, state=place.state) as sandbox:
        print(f"Sandbox   {sandbox.url}{_instead_of(wanted.port, place.port)}", flush=True)
        if new:
            fill(sandbox)
        log = place.folder / "airflow.log"
        variables = _variables(place)
        try:
            if not _migrate(place, variables, log, parts, ended):
                return _end(ended, log)
            parts.append(_start(_PARTS[0], variables, log))
            if not _until(lambda: _answers(place.airflow_url), parts, ended):
                return _end(ended, log)
            # Start the rest afterwards: on two cores the URL would otherwise take twice as long.
            parts += [_start(part, variables, log) for part in _PARTS[1:]]
            seconds = time.monotonic() - began
            busy = _instead_of(wanted.airflow_port, place.airflow_port)
            print(f"Airflow   {place.airflow_url}   (started in {seconds:.0f} s; no login){busy}", flush=True)
            # The list of Dags in a browser does not grow on its own, so say when it is complete.
            names = [path.stem for path in examples().glob("*.py")]
            if _until(lambda: _dags(place) >= set(names), parts, ended, limit=None):
                print(f"{len(names)} example Dags are ready: trigger one, and watch the sandbox.", flush=True)
                print("Ctrl-C ends both.", flush=True)
            _until(lambda: False, parts, ended, limit=None)
            return _end(ended, log)
        finally:
            _stop(parts)


def _instead_of(wanted: int, port: int) -> str:
    return "" if wanted in (0, port) else f"   (port {wanted} is in use)"


def _variables(place: Place) -> dict[str, str]:
    """The environment of Airflow's parts: this process's, without another Airflow's settings."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "_AIRFLOW_"))
    }
    ports = {f"AIRFLOW__LOGGING__{name}_LOG_SERVER_PORT": str(_free(0)) for name in ("WORKER", "TRIGGER")}
    # The environment's own `airflow` comes first, since `airflow standalone` starts its parts by that name.
    path = os.pathsep.join((str(Path(sys.executable).parent), kept.get("PATH", "")))
    return {**kept, **environment(place), **ports, "PYTHONUNBUFFERED": "1", "PATH": path}


def _migrate(
    place: Place,
    variables: dict[str, str],
    log: Path,
    parts: list[subprocess.Popen[bytes]],
    ended: threading.Event,
) -> bool:
    """Create the database, or migrate it to this Airflow; a second start of the same version does nothing.

    :param parts: gets the migration while it runs, so that Ctrl-C ends it.
    :return: False if it failed or was ended.
    """
    done = place.folder / "airflow" / "migrated.txt"
    if done.exists() and done.read_text() == _VERSION:
        return True
    log.unlink(missing_ok=True)
    if not done.exists():
        # A first migration that was ended leaves half a database.
        for path in _database(place).parent.glob("airflow.db*"):
            path.unlink()
        print("Creating Airflow's database; a second start is faster ...", flush=True)
    migration = _start(("db", "migrate"), variables, log)
    parts.append(migration)
    while migration.poll() is None and not ended.wait(0.1):
        pass
    if ended.is_set() or migration.returncode != 0:
        return False
    parts.remove(migration)
    done.write_text(_VERSION)
    return True


def _database(place: Place) -> Path:
    return place.folder / "airflow" / "airflow.db"


def _dags(place: Place) -> set[str]:
    """The ids of the Dags that Airflow has read so far."""
    address = f"{_database(place).as_uri()}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True)) as database:
            return {dag_id for (dag_id,) in database.execute("select dag_id from dag")}
    except sqlite3.Error:
        return set()


def _until(
    condition: Callable[[], bool],
    parts: Sequence[subprocess.Popen[bytes]],
    ended: threading.Event,
    limit: float | None = START,
) -> bool:
    """Whether the condition was met before the limit, Ctrl-C, and the end of a part."""
    began = time.monotonic()
    while not ended.is_set() and all(part.poll() is None for part in parts):
        if condition():
            return True
        if limit is not None and time.monotonic() - began > limit:
            return False
        ended.wait(0.3)
    return False


def _end(ended: threading.Event, log: Path) -> int:
    if ended.is_set():
        print("\nended", flush=True)
        return 0
    print(f"Airflow did not start, or a part of it ended; the end of {log}:", file=sys.stderr)
    print("".join(log.read_text(errors="replace").splitlines(keepends=True)[-20:]), file=sys.stderr)
    return 1
