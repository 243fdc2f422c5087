"""An Airflow of its own for every test run: throw-away home, SQLite, no examples, nothing from the outside.

The environment is set while this file is imported, because Airflow reads it at import.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from operator import attrgetter
from pathlib import Path
from typing import Any

import httpx
import pytest

if "airflow" in sys.modules:
    raise pytest.UsageError(
        "Airflow was imported before tests/conftest.py could point it at a throw-away home"
    )

AIRFLOW = tuple(int(part) for part in version("apache-airflow").split(".")[:2])
LOGICAL_DATE = "logical_date" if AIRFLOW >= (3, 0) else "execution_date"
XCOM = "xcom" if AIRFLOW < (3, 4) else "xcom_v2"
AIRFLOW_HOME = Path(tempfile.mkdtemp(prefix="airflow-home-"))
DAGS_FOLDER = AIRFLOW_HOME / "dags"
DAGS_FOLDER.mkdir()
_OWNS_SHARED = "MIRAKL_TESTS_SHARED" not in os.environ
if _OWNS_SHARED:  # else xdist's controller has made it, and its workers inherit the variable
    os.environ["MIRAKL_TESTS_SHARED"] = tempfile.mkdtemp(prefix="airflow-shared-")
SHARED = Path(os.environ["MIRAKL_TESTS_SHARED"])
"""What all processes of a test run share."""
TOGETHER = ("tests/airflow/live/", "tests/airflow/connections/")
"""Folders whose tests run in one process, because they share a live Airflow or its web server: it starts only once."""
ALONE = "tests/airflow/live/test_paced_sync.py"
"""Takes longer than the rest of its folder: it has a live Airflow of its own."""
FIRST = (
    ALONE, "tests/airflow/stores/", "tests/airflow/test_personal_data.py",
    "tests/airflow/test_connect_order_actions.py", "tests/airflow/test_connect_orders.py",
    "tests/airflow/test_extract_instance.py", "tests/airflow/live/", "tests/airflow/test_showcase.py",
    "tests/airflow/test_connect_operators.py", "tests/airflow/test_masking.py",
    "tests/airflow/test_connect_sync.py", "tests/airflow/test_quickstart.py", "tests/airflow/",
)  # fmt: skip
"""What takes longest begins first. An Airflow that starts keeps two cores busy, so not all of them start at once."""

for _name in list(os.environ):
    if _name.startswith(("AIRFLOW_", "_AIRFLOW_")):
        del os.environ[_name]
# Container images often set it. Without bytecode files, each of the many processes that tests start compiles Airflow.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
os.environ |= {
    "AIRFLOW_HOME": str(AIRFLOW_HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS_FOLDER),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    # On a busy machine the first import of Airflow's providers has taken half a minute, the default.
    "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "600",
    # Tests use a Dag's id again, within the half minute for which Airflow would keep what it stored of the last one.
    "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
    "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{AIRFLOW_HOME / 'airflow.db'}",
    "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    "NO_COLOR": "1",
}
# Many tests call a server in their own process. With httpx's default of five seconds, a busy machine would fail them.
for _part in ("connect", "read", "write", "pool"):
    setattr(httpx._config.DEFAULT_TIMEOUT_CONFIG, _part, 120.0)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """One process for each file, and one for each folder in ``TOGETHER``."""
    from xdist.scheduler import LoadFileScheduling

    class LoadTogether(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            shared = (
                folder for folder in TOGETHER if nodeid.startswith(folder) and not nodeid.startswith(ALONE)
            )
            return next(shared, super()._split_scope(nodeid))

    return LoadTogether(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def turn(item: pytest.Item) -> int:
        return next((at for at, path in enumerate(FIRST) if item.nodeid.startswith(path)), len(FIRST))

    items.sort(key=turn)


def pytest_unconfigure() -> None:
    shutil.rmtree(AIRFLOW_HOME, ignore_errors=True)
    if _OWNS_SHARED:
        shutil.rmtree(SHARED, ignore_errors=True)


@dataclass(frozen=True)
class DagResult:
    """What a Dag run left behind.

    :param state: the state of the run, for example ``"success"``.
    :param tasks: the state of every task instance by task id (mapped ones as ``"task_id[0]"``).
    :param xcoms: values pushed, by ``(task id, key)``; of mapped tasks the last one.
    :param run_id: the id of the run.
    """

    state: str
    tasks: Mapping[str, str | None]
    xcoms: Mapping[tuple[str, str], Any]
    run_id: str

    def returned(self, task_id: str) -> Any:
        """The task's return value; KeyError when it returned nothing."""
        return self.xcoms[task_id, "return_value"]


RunDag = Callable[..., DagResult]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection test gives up early, because a user is watching; here the machine may be slow."""
    from airflow_provider_mirakl.hooks import base

    monkeypatch.setattr(base, "TEST_TIMEOUT", 120.0)
    monkeypatch.setattr(base, "TEST_CONNECT_TIMEOUT", 120.0)


@pytest.fixture(scope="session")
def migrated_db() -> Path:
    """An empty migrated database, to be copied. Made once for all processes of a test run."""
    made = SHARED / "migrated.db"
    with (SHARED / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            command = [sys.executable, "-m", "airflow", "db", "migrate"]
            draft = SHARED / "draft.db"
            done = subprocess.run(
                command,
                env=os.environ | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{draft}"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout
            draft.rename(made)
    return made


@pytest.fixture(scope="session")
def airflow_db(migrated_db: Path) -> Path:
    """A migrated database in the throw-away home; returns that home."""
    shutil.copyfile(migrated_db, AIRFLOW_HOME / "airflow.db")
    return AIRFLOW_HOME


@pytest.fixture
def run_dag(airflow_db: Path) -> RunDag:
    """``run_dag(source, dag_id=None, conf=None, logical_date=None)``: run one Dag here through ``dag.test()``.

    ``source`` is a Dag file or its text. Airflow 3 runs only what lies in a configured bundle, and it reads the
    place of the Dags folder once, so the file is linked into the one Dags folder for as long as the run lasts.
    Connections and Variables come from ``AIRFLOW_CONN_...`` and ``AIRFLOW_VAR_...`` as everywhere.
    """

    # Each test has a work folder of its own: what another one left in its folder is not lost in this one.
    with closing(sqlite3.connect(airflow_db / "airflow.db", timeout=60)) as database, database:
        database.execute(f"DELETE FROM {XCOM} WHERE key = 'mirakl_lasting'")  # noqa: S608 - ours

    def run(
        source: Path | str,
        dag_id: str | None = None,
        conf: dict[str, Any] | None = None,
        logical_date: datetime | None = None,
    ) -> DagResult:
        # A name never used before: two files of one name, size and second share their compiled code.
        file = DAGS_FOLDER / f"dag_{uuid.uuid4().hex}.py"
        if isinstance(source, Path):
            file.symlink_to(source.resolve())
        else:
            file.write_text(source, encoding="utf-8")
        try:
            dags = _load_dags(DAGS_FOLDER)
            if dag_id is None:
                assert len(dags) == 1, f"say which Dag: {sorted(dags)}"
                dag_id = next(iter(dags))
            when = {} if logical_date is None else {LOGICAL_DATE: logical_date}
            dag_run = dags[dag_id].test(run_conf=conf, **when)
        finally:
            file.unlink()
        return _result(dag_id, dag_run.run_id)

    return run


def _load_dags(folder: Path) -> dict[str, Any]:
    try:
        from airflow.dag_processing.dagbag import DagBag  # 3.2 and later
    except ImportError:
        from airflow.models.dagbag import DagBag
    bag = DagBag(dag_folder=str(folder))
    assert not bag.import_errors, "\n".join(f"{path}: {error}" for path, error in bag.import_errors.items())
    if AIRFLOW == (3, 0):  # its dag.test() does not activate assets, and an inactive asset fails its task
        from airflow.dag_processing.bundles.manager import DagBundlesManager

        DagBundlesManager().sync_bundles_to_db()
        bag.sync_to_db("dags-folder", None)
    # Its dag.test() stores a Dag only once, and the API then misses the tasks of another Dag with this id.
    if AIRFLOW == (3, 1):
        from airflow.dag_processing.bundles.manager import DagBundlesManager
        from airflow.models.dagbag import sync_bag_to_db

        DagBundlesManager().sync_bundles_to_db()
        sync_bag_to_db(bag, "dags-folder", None)
    if AIRFLOW < (3, 0):  # nor does it register an asset alias, and its event fails the task
        bag.sync_to_db()
    return dict(bag.dags)


def _result(dag_id: str, run_id: str) -> DagResult:
    from airflow.models import dagrun, taskinstance, xcom
    from airflow.utils.session import create_session

    if hasattr(xcom, "XComModel"):
        xcom_model, value_of = xcom.XComModel, xcom.XComModel.deserialize_value
    else:  # Airflow 2 decodes while it loads the row
        xcom_model, value_of = xcom.XCom, attrgetter("value")

    with create_session() as session:

        def rows(model: Any) -> Iterator[Any]:
            return session.query(model).filter(model.dag_id == dag_id, model.run_id == run_id)

        run = rows(dagrun.DagRun).one()
        tasks = {
            row.task_id if row.map_index < 0 else f"{row.task_id}[{row.map_index}]": _word(row.state)
            for row in rows(taskinstance.TaskInstance)
        }
        xcoms = {(row.task_id, row.key): value_of(row) for row in rows(xcom_model)}
        return DagResult(state=_word(run.state) or "", tasks=tasks, xcoms=xcoms, run_id=run_id)


def _word(state: Any) -> str | None:
    return getattr(state, "value", state)
