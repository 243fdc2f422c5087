"""Every kind of note, damaged in every way: an error with path and fix, or started over with a warning."""

from __future__ import annotations

import importlib
import logging
import pkgutil
import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

import airflow_provider_mirakl
from airflow_provider_mirakl.actions.book import plan_hash, read_plan, write_plan
from airflow_provider_mirakl.exceptions import MiraklNoteError, MiraklStorageError
from airflow_provider_mirakl.files.notes import NoteKind
from airflow_provider_mirakl.files.pages import Pages
from airflow_provider_mirakl.files.storage import remove, write_bytes
from airflow_provider_mirakl.operators.bases.files import FileJobOperator
from tests.damage import DAMAGE, DATA, LINES, damage

PAGE = Path(__file__).parents[2] / "docs" / "files.md"
MOMENT = "2026-01-31T10:00:00Z"
SAMPLES: dict[str, dict[str, Any]] = {
    "actions.json": {"plan": "a", "entries": {"0": {"at": 1.0, "phase": "intent"}}},
    "actions/*/*/*/*.json": {"owner": "dag/task", "at": 1.0},
    "extract.json": {"begins": MOMENT, "before": {}},
    "failures.json": {"in_a_row": 3},
    "job.json": {"payload": "a", "entries": [{"name": "n", "at": 1.0, "phase": "submitted", "job_id": 7}]},
    "known.json": {"document_ids": [1]},
    "ledger.json": {"plan": "a", "next_chunk": 1, "accepted": 2, "submitted_at": MOMENT, "finished": False},
    "listed.json": {"pages": [1], "items": 1, "size": 1},
    "manifest.json": {"shop": "1", "documents": []},
    "plan.json": {
        "kind": "upsert",
        "source": {"name": "x", "size": 1, "digest": "d"},
        "options": "o",
        "rows": 1,
        "rejected": 0,
        "repeated": 0,
        "chunks": [],
    },
    "platform/*/*.json": {"at": 1.0, "answer": ["fr_FR"]},
    "poll.json": {"notes": {"newest": 7, "statuses": {"7": {"import_id": 7}}}},
    "progress.json": {"round": 2, "pages": [1]},
    "reports.json": {"rows": "a", "count": 1, "action_ids": ["x"]},
    "update.json": {"open_since": 1.0, "sent": "a", "errors": [["no", "locked", "fax"]], "changed": True},
    "repair.json": {"products": [], "duplicates": 0, "sent": 1, "job_ids": []},
    "state.json": {"generation": 1, "sync": "s", "products": 2, "ends": [3]},
    "submitted/*.json": {"owner": "dag/task"},
    "submitted/open/*.json": {"owner": "dag/task", "at": 1.0},
    "sync.json": {"state": "s", "id": "i", "known": 1, "unchanged": 1, "kept": 0},
    "tried.json": {"document_ids": [1]},
    "verify*/state.json": {
        "plan": "a",
        "expect": "listed",
        "sample": None,
        "chunks": 1,
        "pages": [],
        "seen": "",
        "expected": 0,
    },
    "watch-*.json": {"since": MOMENT},
    "watermark*.json": {"until": MOMENT},
    "watermark.json": {"moment": MOMENT, "delivered": {}},
    "window.json": {"begins": MOMENT, "watermark": "/w", "scope": {"filters": {"role": "shop"}}},
    "written.json": {"phase": "intent", "at": MOMENT},
}


@cache
def kinds() -> dict[str, NoteKind[Any]]:
    """Every kind of note that a module of the package has, by file."""
    found: dict[str, NoteKind[Any]] = {}
    root = airflow_provider_mirakl.__name__
    for module in pkgutil.walk_packages(airflow_provider_mirakl.__path__, f"{root}."):
        if not module.name.startswith(f"{root}.sandbox"):
            for value in vars(importlib.import_module(module.name)).values():
                if isinstance(value, NoteKind):
                    assert found.setdefault(value.file, value) is value, f"two kinds have {value.file}"
    return found


def note_of(kind: NoteKind[Any], folder: Path, generation: str = "one") -> Any:
    return kind.at(folder, generation=generation, name=kind.file.replace("*", "x"))


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("file", sorted(SAMPLES))
def test_a_damaged_note_stops_the_task_or_is_restarted(
    file: str, how: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kind = kinds()[file]
    note = note_of(kind, tmp_path)
    note.write(msgspec.convert(SAMPLES[file], kind.type))
    path = Path(str(note.path))
    damage(path, DAMAGE[how])
    with caplog.at_level(logging.WARNING):
        if kind.damaged == "stop":
            with pytest.raises(MiraklNoteError) as caught:
                note_of(kind, tmp_path).read()
            words = str(caught.value)
            assert caught.value.path == str(path)
        else:
            assert note_of(kind, tmp_path).read() is None
            words = caplog.text
    assert str(path) in words
    assert kind.holds in words
    assert kind.fix in words


@pytest.mark.parametrize("file", sorted(SAMPLES))
def test_a_whole_note_is_read_and_one_of_another_generation_is_none(
    file: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kind = kinds()[file]
    content = msgspec.convert(SAMPLES[file], kind.type)
    note_of(kind, tmp_path).write(content)
    assert note_of(kind, tmp_path).read() == content
    assert note_of(kind, tmp_path, "two").read() is None
    assert not caplog.records


def test_every_kind_has_a_sample_here_and_a_row_in_the_docs() -> None:
    assert set(kinds()) == set(SAMPLES), "a new kind of note needs a sample above and a row in docs/files.md"
    page = PAGE.read_text(encoding="utf-8").partition("## Data beside")[0]
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \| (stop|restart) \|", page, re.MULTILINE)
    assert {file: policy for file, _, policy in rows} == {
        file: kind.damaged for file, kind in kinds().items()
    }


@pytest.mark.parametrize("damage", ["gone", "cut", "longer", "binary", "a folder"])
def test_a_damaged_page_is_never_read(damage: str, tmp_path: Path) -> None:
    pages = Pages(tmp_path)
    checksum = pages.keep(0, b'{"id":1}\n{"id":2}\n')
    assert pages.read(0, checksum) == b'{"id":1}\n{"id":2}\n'
    path = Path(str(pages.path(0)))
    data = {"cut": b'{"id":1}\n', "longer": b'{"id":1}\n' * 3, "binary": b"\xff\n\xfe\n"}.get(damage)
    path.unlink()
    if data is not None:
        path.write_bytes(data)
    elif damage == "a folder":
        path.mkdir()
    with pytest.raises(
        MiraklNoteError, match=r"page-000000\.ndjson, a page of the listing, (is missing|was changed)"
    ):
        pages.read(0, checksum)


@pytest.mark.parametrize("how", LINES)
def test_a_damaged_plan_of_actions_is_none_or_whole(how: str, tmp_path: Path) -> None:
    groups: list[list[Any]] = [[{"order_id": "O1", "quantity": 1}], [{"order_id": "O2", "quantity": 2}]]
    write_plan(tmp_path, groups)
    assert read_plan(tmp_path, plan_hash(groups)) == groups
    damage(tmp_path / "actions.ndjson", LINES[how])
    assert read_plan(tmp_path, plan_hash(groups)) in ([groups] if how == "cut at its end" else [None])


@pytest.mark.parametrize("how", DATA)
def test_what_a_damaged_check_found_is_not_in_the_result(
    how: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    book = SimpleNamespace(payload="p")
    path, task = tmp_path / "lint.json", SimpleNamespace(log=logging.getLogger("task"), book=book)
    path.write_bytes(
        b'{"payload":"p","found":{"rows":1,"problems":0,"commonest":[],"notes":[],"findings":null}}'
    )

    def delivered() -> Any:
        return FileJobOperator.deliver(task, SimpleNamespace(folder=tmp_path), None, None, ())  # type: ignore[arg-type]

    assert delivered()["lint"]["rows"] == 1
    assert not caplog.records
    damage(path, DATA[how])
    assert delivered() == {"lint": None}
    assert f"{path} cannot be read" in caplog.text


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.mkdir()
    for change in (lambda: write_bytes(path, b"x"), lambda: remove(path)):
        with pytest.raises(MiraklStorageError, match=r"is a folder, but .*; remove it") as caught:
            change()
        assert caught.value.path == str(path)
    assert [one.name for one in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize("file", sorted(SAMPLES))
def test_a_note_is_not_written_over_a_folder(file: str, tmp_path: Path) -> None:
    note = note_of(kinds()[file], tmp_path)
    Path(str(note.path)).mkdir()
    with pytest.raises(
        MiraklStorageError, match=r"cannot be written .*is a folder, but .*; remove it"
    ) as caught:
        note.write(msgspec.convert(SAMPLES[file], kinds()[file].type))
    assert caught.value.path == str(note.path)
