"""The example Dags on an Airflow with a sandbox: files written, files kept, and feeds of every kind."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_mirakl.sandbox import Sandbox, feeds, showcase

COMMAND = [sys.executable, "-m", "airflow_provider_mirakl.sandbox.cli"]


def test_the_folder_holds_dags_connections_and_environment(tmp_path: Path) -> None:
    place = showcase.prepare(tmp_path / "demo", 8099, 8080, 60)
    names = {path.name for path in (place.folder / "dags").glob("*.py")}
    assert names == {path.name for path in showcase.examples().glob("*.py")}
    assert (place.folder / "dags" / "data" / "products.ndjson").exists()
    connections = json.loads((place.folder / "connections.json").read_text())
    assert {found["conn_type"] for found in connections.values()} == {"mirakl", "mirakl_connect", "djust"}
    for file in ("connections.json", "env.sh"):
        assert (place.folder / file).stat().st_mode & 0o077 == 0, f"{file} holds keys"


def test_the_environment_can_be_read_by_a_shell_and_stays_in_the_folder(tmp_path: Path) -> None:
    place = showcase.prepare(tmp_path / "a folder", 1, 2, 60)
    told = subprocess.run(
        ["sh", "-c", '. "$1" && env -0', "sh", str(place.folder / "env.sh")], capture_output=True, check=True
    ).stdout.decode()
    found = dict(line.split("=", 1) for line in told.split("\0") if line.startswith("AIRFLOW"))
    assert found.items() >= showcase.environment(place).items()
    for name in ("AIRFLOW_HOME", "AIRFLOW__CORE__DAGS_FOLDER", "AIRFLOW__MIRAKL__WORK_FOLDER"):
        assert Path(found[name]).is_relative_to(place.folder)


def test_a_copy_that_was_edited_is_kept_and_one_that_was_not_is_brought_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "examples"
    (source / "data").mkdir(parents=True)
    for name in ("edited.py", "left.py"):
        (source / name).write_text("first")
    monkeypatch.setattr(showcase, "examples", lambda: source)
    showcase.prepare(tmp_path / "demo", 1, 2, 60)
    (tmp_path / "demo" / "dags" / "edited.py").write_text("mine")
    for name in ("edited.py", "left.py"):
        (source / name).write_text("second")
    showcase.prepare(tmp_path / "demo", 1, 2, 60)
    assert (tmp_path / "demo" / "dags" / "edited.py").read_text() == "mine"
    assert (tmp_path / "demo" / "dags" / "left.py").read_text() == "second"


def test_the_command_says_what_to_run(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "airflow", "--port", "8123"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert (
        "mirakl-sandbox serve --port 8123 --speed 60 --examples --state mirakl-demo/sandbox.state"
        in done.stdout
    )
    assert ". mirakl-demo/env.sh && airflow standalone" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["mirakl-demo"]


def test_a_busy_port_is_replaced() -> None:
    with socket.socket() as busy:
        busy.bind((showcase.HOST, 0))
        busy.listen()
        taken = busy.getsockname()[1]
        assert showcase._free(taken) != taken


@pytest.mark.parametrize("kind", feeds.FILES)
def test_a_feed_has_the_asked_for_lines_and_is_the_same_for_the_same_seed(kind: str) -> None:
    feed = feeds.FILES[kind][1]
    assert list(feed(5, 1)) == list(feed(5, 1))
    if kind not in ("pairs", "shipments"):  # of what the sandbox has on its first day
        assert len(list(feed(500, 0))) == 500 + (kind != "products")


def test_a_kind_that_is_a_folder_needs_one(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "generate", "3", "--kind", "documents"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (2, "mirakl-sandbox: --kind documents needs --folder\n")
    options = ["generate", "3", "--kind", "all", "--folder", str(tmp_path / "feeds")]
    done = subprocess.run([*COMMAND, *options], capture_output=True, text=True, check=True)
    assert sorted(done.stdout.split()) == sorted(
        str(p) for p in (tmp_path / "feeds").rglob("*") if p.is_file()
    )


def test_a_filled_sandbox_has_documents_orders_returns_and_products_to_delete() -> None:
    with Sandbox(clock="stepped") as sandbox:
        feeds.fill(sandbox)
        assert [product["id"] for product in sandbox.products()] == ["EXAMPLE-1", "EXAMPLE-2"]
        assert len(sandbox.orders()) == feeds.SHIPPED + feeds.RETURNED
        documents = sandbox.call(lambda world: [d["shop"] for d in world.instance.documents.all.values()])
        assert documents == [shop for shop in (2000, 2001, 2002) for _ in feeds.ON_FILE]
