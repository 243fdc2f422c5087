"""One live Airflow for every test that wants one: it takes longer to start than most tests to run."""

from __future__ import annotations

import functools
import json
import logging
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

# Tests are no packages, and the benchmarks use the same module.
sys.path.insert(0, str(Path(__file__).parent / "live"))
from live_airflow import LiveAirflow

RUNNING = pytest.StashKey[LiveAirflow]()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry a failed call at once, and let a trigger fire after half a second, in the process of the test.

    A trigger's first poll waits because of a race in Airflow's scheduler, which ``dag.test()`` does not use. The live
    Airflow is another process and keeps the real values.
    """
    from airflow_provider_mirakl.client import exchange
    from airflow_provider_mirakl.runtime import waiting

    monkeypatch.setattr(exchange, "BACKOFF", 0.01)
    monkeypatch.setattr(waiting, "SHORTEST_DEFERRAL", 0.5)


@pytest.fixture
def lead(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``lead(sandbox, interval_factor=0.00001)``: from now on, the default connection leads to its Mirakl Connect."""
    from airflow_provider_mirakl.client.tokens import TOKENS
    from airflow_provider_mirakl.sandbox.connections import connections

    def point(sandbox: Any, interval_factor: float = 0.00001) -> None:
        connection = connections(sandbox.url, sandbox.settings)["mirakl_connect_default"]
        connection["extra"] = {**connection["extra"], "interval_factor": interval_factor}
        monkeypatch.setenv("AIRFLOW_CONN_MIRAKL_CONNECT_DEFAULT", json.dumps(connection))
        TOKENS.forget()

    return point


@pytest.fixture(scope="session", autouse=True)
def _one_api() -> Iterator[None]:
    """Let all tasks of ``dag.test()`` share one API, as from Airflow 3.3 on: making one takes seconds for each task."""
    try:
        from airflow.sdk.execution_time import supervisor
    except ImportError:  # Airflow 2
        yield
        return
    if hasattr(supervisor.in_process_api_server, "cache_info"):
        yield
        return
    from airflow.api_fastapi.common.dagbag import create_dag_bag

    made = functools.cache(supervisor.in_process_api_server)

    def shared() -> Any:
        api = made()
        # It keeps Dags, and the next test may have another of this name.
        if hasattr(api.app.state, "dag_bag"):
            api.app.state.dag_bag = create_dag_bag()
        return api

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supervisor, "in_process_api_server", shared)
        yield


@pytest.fixture
def read_log(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[], str]:
    """What was logged and printed since the last call, without colors.

    Airflow 3.0 prints numbers in bold, whatever it is told, and breaks long lines.
    """
    # A handler of Airflow 2 may hold the captured output of an earlier test, and would print that it is closed.
    monkeypatch.setattr(logging, "raiseExceptions", False)

    def read() -> str:
        output = capfd.readouterr()
        text = caplog.text + output.out + output.err
        caplog.clear()
        return re.sub(r"\x1b\[[0-9;]*m", "", text)

    return read


@pytest.fixture(scope="session")
def live(request: pytest.FixtureRequest, migrated_db: Path) -> Iterator[LiveAirflow]:
    """A running Airflow: scheduler, triggerer, workers and whatever else its version needs."""
    with (
        tempfile.TemporaryDirectory(prefix="live-airflow-", ignore_cleanup_errors=True) as folder,
        LiveAirflow(
            Path(folder) / "home",
            Path(folder) / "connections.json",
            migrated_db,
            AIRFLOW__LOGGING__LOGGING_LEVEL="DEBUG",  # what is written is searched for keys
        ) as airflow,
    ):
        request.session.stash[RUNNING] = airflow
        yield airflow


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The live tests come first: they wait more than they compute, and are the longest that one process has."""
    items.sort(key=lambda item: not _is_live(item))


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """End the live Airflow behind its last test: its loops would slow all that comes after down."""
    if RUNNING not in item.session.stash or _is_live(nextitem):
        return
    if "PYTEST_XDIST_WORKER" not in os.environ:  # else the files that share it come one after another
        later = item.session.items[item.session.items.index(item) + 1 :]
        if any(map(_is_live, later)):
            return
    item.session.stash[RUNNING].stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep what a live Airflow has printed and logged if a test of it fails: its folder goes with the last test."""
    report = yield
    airflow = item.session.stash.get(RUNNING, None)
    if report.failed and airflow is not None and _is_live(item):
        kept = Path(tempfile.mkdtemp(prefix=f"failed-{re.sub(r'[^a-z0-9_]+', '-', item.name)[:80]}-"))
        for log in (*airflow.home.glob("*.out"), *airflow.home.glob("logs/dag_id=*/**/*.log")):
            copy = kept / log.relative_to(airflow.home)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(log, copy)
        report.sections.append(("live Airflow", airflow.told(f"The logs are kept in {kept}")))
    return report


def _is_live(item: pytest.Item | None) -> bool:
    return "live" in getattr(item, "fixturenames", ())
