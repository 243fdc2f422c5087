"""``mirakl-sandbox airflow --run``: a click on an example Dag, products in the sandbox, nothing left at the end."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_mirakl.sandbox import showcase

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        showcase._VERSION.startswith("2."), reason="needs Airflow 3.0 or later: make matrix MATRIX=3.3.2"
    ),
]


def call(url: str, token: str = "", body: dict[str, Any] | None = None) -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = httpx.request("POST" if body else "GET", url, headers=headers, json=body, timeout=300)
    assert answer.is_success, answer.text
    return answer.json()


def until(condition: Callable[[], bool], what: str, seconds: float = 300) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, f"{what} took more than {seconds} seconds"
        time.sleep(1.5)  # every poll costs the API server CPU time


def processes_of(folder: Path) -> list[str]:
    """Command lines of processes whose environment names the folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if f"AIRFLOW_HOME={folder}".encode() in (place / "environ").read_bytes():
                found.append((place / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


@pytest.fixture
def busy_ports() -> Iterator[tuple[int, int]]:
    with socket.socket() as first, socket.socket() as second:
        for held in (first, second):
            held.bind(("127.0.0.1", 0))
            held.listen()
        yield first.getsockname()[1], second.getsockname()[1]


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux, whose /proc it reads")
def test_a_click_brings_products_and_ctrl_c_ends_everything(
    tmp_path: Path, busy_ports: tuple[int, int]
) -> None:
    folder, (port, airflow_port) = tmp_path / "demo", busy_ports
    command = [sys.executable, "-m", "airflow_provider_mirakl.sandbox.cli", "airflow", "--run"]
    command += ["--folder", str(folder), "--port", str(port), "--airflow-port", str(airflow_port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            sandbox = first.split()[1]
            assert first.startswith("Sandbox   http://127.0.0.1:"), "its address is the first line"
            assert f"(port {port} is in use)" in first
            assert process.stdout.readline().startswith("Creating Airflow's database")
            told = process.stdout.readline()
            assert f"(port {airflow_port} is in use)" in told
            address = re.match(r"Airflow   (http://127.0.0.1:\d+) ", told)
            assert address, told + process.stdout.read()
            assert {sandbox.rpartition(":")[2], address[1].rpartition(":")[2]}.isdisjoint(
                map(str, busy_ports)
            )

            again = subprocess.run(command, capture_output=True, text=True, check=False)
            assert (again.returncode, again.stdout) == (2, ""), "two Airflows on one database"
            assert f"an Airflow already runs in {folder}" in again.stderr

            dags = {path.stem for path in (folder / "dags").glob("*.py")}
            assert process.stdout.readline() == (
                f"{len(dags)} example Dags are ready: trigger one, and watch the sandbox.\n"
            )
            token = call(f"{address[1]}/auth/token")["access_token"]
            dag = f"{address[1]}/api/v2/dags/mirakl_connect_catalog_sync"
            found = call(f"{address[1]}/api/v2/dags?limit=100", token)["dags"]
            assert {row["dag_id"] for row in found} == dags
            assert not [row["dag_id"] for row in found if row["is_paused"]]
            call(f"{dag}/dagRuns", token, {"dag_run_id": "click", "logical_date": None})
            run = f"{dag}/dagRuns/click"
            until(lambda: call(run, token)["state"] in ("success", "failed"), "the run")
            assert call(run, token)["state"] == "success"
            assert call(f"{sandbox}/_sandbox/status")["products"] == {"sandbox-company": 60 + 2}
            assert processes_of(folder / "airflow")
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(300) == 0
    assert processes_of(folder / "airflow") == []
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux, whose /proc it reads")
def test_ctrl_c_while_the_database_is_created_ends_quietly(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "airflow_provider_mirakl.sandbox.cli", "airflow", "--run"]
    command += ["--folder", str(tmp_path / "demo"), "--port", "0", "--airflow-port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("Creating"):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
    assert (process.returncode, out, err) == (0, "\nended\n", "")
    assert processes_of(tmp_path / "demo" / "airflow") == []
