"""What is removed from the work folder, and what never is."""

from __future__ import annotations

import argparse
import os
import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_mirakl.files.paths import safe_folder, storage_path
from airflow_provider_mirakl.files.tidying import CLAIMS, DAY, SHARED, old_claims, old_runs
from airflow_provider_mirakl.runtime import tidying

pytestmark = [pytest.mark.airflow, pytest.mark.matrix]

PACKAGE = Path(__file__).parents[2] / "airflow_provider_mirakl"
OLD, RUN = time.time() - 40 * DAY, "scheduled__2026-01-01T00:00:00+00:00"


def written(path: Path, at: float = OLD) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    os.utime(path, (at, at))
    return path


def found(folder: Path, *needed: str) -> set[str]:
    runs = old_runs(storage_path(str(folder)), time.time() - 30 * DAY, lambda dag, task, run: run in needed)
    return {str(run.path).removeprefix(f"{folder}/") for run in runs}


def test_only_old_runs_are_found(tmp_path: Path) -> None:
    written(tmp_path / "dag" / "task" / "old" / "plan.json")
    written(tmp_path / "dag" / "task" / "mapped" / "3" / "reports" / "7" / "errors.csv")
    written(tmp_path / "dag" / "task" / "new" / "plan.json", time.time())
    written(tmp_path / "dag" / "task" / "half" / "plan.json")
    written(tmp_path / "dag" / "task" / "half" / "3" / "outcome.ndjson", time.time())
    written(tmp_path / "dag" / "task" / "waits" / "jobs.json")
    written(tmp_path / "dag" / "task" / "watermark.json")
    (tmp_path / "dag" / "task" / "empty").mkdir()
    for name in SHARED:
        written(tmp_path / name / "a" / "b" / "c.json")
    outside = written(tmp_path.parent / f"{tmp_path.name}-outside" / "plan.json")
    (tmp_path / "dag" / "task" / "link").symlink_to(outside.parent)
    assert found(tmp_path, "waits") == {"dag/task/old", "dag/task/mapped"}
    assert found(tmp_path / "missing") == set()


def test_every_shared_folder_of_the_code_is_known() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    named = set(re.findall(r"(?:folder_below\([\w.]+|lasting_folder\(), ?\"(\w+)\"", text))
    named |= set(re.findall(r"lasting_folder\(\"(\w+)\"", text)) | {"platform"}
    assert named >= {"actions", "submitted", "watches", "state"}
    assert named <= SHARED, "a task of a Dag would be taken for it"


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    unfinished = {"count": 1}
    ti = SimpleNamespace(
        dag_id="dag",
        task_id="task",
        run_id=RUN,
        map_index=-1,
        get_ti_count=lambda **asked: unfinished["count"] if "running" in asked["states"] else 0,
    )
    written(tmp_path / "dag" / "task" / safe_folder(RUN) / "plan.json")
    written(tmp_path / "dag" / "task" / "old" / "plan.json")
    return {"ti": ti, "unfinished": unfinished}


def runs(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "dag" / "task").iterdir() if path.is_dir()}


def tidy(context: Any, tmp_path: Path) -> None:
    import logging

    tidying.tidy(context, str(tmp_path), logging.getLogger(__name__))


def test_a_task_removes_what_its_own_old_runs_left_once_a_day(context: Any, tmp_path: Path) -> None:
    tidy(context, tmp_path)
    assert runs(tmp_path) == {safe_folder(RUN)}, "its own folder stays, however old"
    written(tmp_path / "dag" / "task" / "older" / "plan.json")
    tidy(context, tmp_path)
    assert "older" in runs(tmp_path)
    os.utime(tmp_path / "dag" / "task" / tidying.LAST_FILE, (OLD, OLD))
    tidy(context, tmp_path)
    assert "older" not in runs(tmp_path)


def test_old_notes_about_who_sent_what_are_removed_once_a_day(context: Any, tmp_path: Path) -> None:
    old = [written(tmp_path / name / "kind" / "account" / "order" / "task.json") for name in CLAIMS]
    new = [written(tmp_path / name / "kind" / "account" / "new.json", time.time()) for name in CLAIMS]
    others = [written(tmp_path / name / "a" / "b.json") for name in SHARED - set(CLAIMS)]
    context["unfinished"]["count"] = 2  # the notes are of no run
    tidy(context, tmp_path)
    assert not any(file.parent.exists() for file in old)
    assert all(file.exists() for file in (*new, *others))
    again = written(old[0])
    os.utime(tmp_path / "dag" / "task" / tidying.LAST_FILE, (OLD, OLD))
    tidy(context, tmp_path)
    assert again.exists(), "another task has looked today"


def test_notes_about_who_sent_what_are_kept_for_a_month_at_least(tmp_path: Path) -> None:
    written(tmp_path / "submitted" / "week.json", time.time() - 7 * DAY)
    written(tmp_path / "submitted" / "quarter.json", time.time() - 90 * DAY)
    names = [file.name for file in old_claims(storage_path(str(tmp_path)), time.time() - DAY)]
    assert names == ["quarter.json"]


def test_nothing_is_removed_while_another_run_is_unfinished(context: Any, tmp_path: Path) -> None:
    context["unfinished"]["count"] = 2
    tidy(context, tmp_path)
    assert "old" in runs(tmp_path)


def test_nothing_is_removed_where_that_is_not_wanted(
    context: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__MIRAKL__KEEP_DAYS", "0")
    tidy(context, tmp_path)
    assert "old" in runs(tmp_path)
    monkeypatch.setenv("AIRFLOW__MIRAKL__KEEP_DAYS", "90")
    tidy(context, tmp_path)
    assert "old" in runs(tmp_path)


def test_whatever_goes_wrong_fails_no_task(
    context: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    del context["ti"].get_ti_count  # as if neither Airflow answered
    context["ti"].dag_id = None
    tidy(context, tmp_path)
    assert "cannot be removed" in caplog.text


def test_the_command_spares_what_a_dag_run_needs(
    tmp_path: Path, airflow_db: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_mirakl import _compat
    from airflow_provider_mirakl.cli import main

    assert ("dag", RUN) not in _compat.unfinished_runs()
    monkeypatch.setattr(_compat, "unfinished_runs", lambda: [("dag", RUN)])
    written(tmp_path / "dag" / "task" / safe_folder(RUN) / "plan.json")
    written(tmp_path / "dag" / "task" / "old" / "plan.json")
    claim = written(tmp_path / "submitted" / "P41" / "x" / "7.json")
    place = ["clean", "--work-folder", str(tmp_path), "--older-than"]
    assert main([*place, "30d", "--dry-run"]) == 0
    assert "would remove" in capsys.readouterr().out
    assert claim.exists()
    assert main([*place, "50"]) == 0
    assert len(runs(tmp_path)) == 2
    assert main([*place, "30d"]) == 0
    assert runs(tmp_path) == {safe_folder(RUN)}
    assert not claim.exists()
    assert "1 old note about submitted jobs and actions\n1 folder, 1 byte" in capsys.readouterr().out
    for wrong in ("0", "soon", "-3d"):
        with pytest.raises(SystemExit) as stopped:
            main([*place, wrong])
        assert stopped.value.code == 2


def test_the_commands_stand_in_airflows_own_command_line() -> None:
    pytest.importorskip(
        "airflow.cli.cli_config", reason="needs Airflow 3.0 or later: make matrix MATRIX=3.3.2"
    )
    from airflow.cli.cli_config import GroupCommand

    from airflow_provider_mirakl.airflow_cli import commands
    from airflow_provider_mirakl.cli import COMMANDS

    (group,) = commands()
    assert isinstance(group, GroupCommand)
    assert [command.name for command in group.subcommands] == [command.name for command in COMMANDS]


def test_a_file_is_checked_by_airflows_own_command_line_with_the_same_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip(
        "airflow.cli.cli_config", reason="needs Airflow 3.0 or later: make matrix MATRIX=3.3.2"
    )
    from airflow.cli.cli_parser import _add_command

    from airflow_provider_mirakl.airflow_cli import commands
    from airflow_provider_mirakl.cli import main

    file = tmp_path / "prices.csv"
    file.write_text("offer-sku;price\na;1\nb;x\n")
    words = ["lint", str(file), "--operation", "PRI01"]
    parser = argparse.ArgumentParser()
    _add_command(parser.add_subparsers(), commands()[0])
    arguments = parser.parse_args(["mirakl", *words])
    with pytest.raises(SystemExit) as stopped:
        arguments.func(arguments)
    assert stopped.value.code == 1
    own = capsys.readouterr().out
    assert "line 3, id 'b', price: must be a number" in own
    assert main(words) == 1
    assert capsys.readouterr().out == own


def test_the_command_refuses_a_folder_that_is_no_work_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the folder around the work folder, the state of a sync has the place of a run."""
    from airflow_provider_mirakl import _compat
    from airflow_provider_mirakl.cli import main

    monkeypatch.setattr(_compat, "unfinished_runs", list)
    state = written(tmp_path / "mirakl" / "state" / "dag" / "task" / "state.db")
    written(tmp_path / "mirakl" / tidying.LAST_FILE)
    assert main(["clean", "--older-than", "30d", "--work-folder", str(tmp_path)]) == 2
    assert state.exists()
    assert f"contains one: {tmp_path / 'mirakl'}" in capsys.readouterr().err
    assert main(["clean", "--older-than", "30d", "--work-folder", str(tmp_path / "mirakl")]) == 0
    assert state.exists()
    for slip in (tmp_path / "mirakI", state):
        assert main(["clean", "--older-than", "30d", "--work-folder", str(slip)]) == 2
        assert "is not a folder that exists" in capsys.readouterr().err


def test_the_command_removes_nothing_without_airflows_database(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_mirakl import _compat
    from airflow_provider_mirakl.cli import main

    class OperationalError(Exception):
        pass

    def fails() -> list[tuple[str, str]]:
        raise OperationalError("postgresql://airflow:secret@db/airflow")

    monkeypatch.setattr(_compat, "unfinished_runs", fails)
    kept = written(tmp_path / "dag" / "task" / "old" / "plan.json")
    assert main(["clean", "--older-than", "30d", "--work-folder", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "Airflow's database cannot be read (OperationalError)" in said
    assert "secret" not in said
    assert kept.exists()
