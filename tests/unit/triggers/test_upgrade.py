"""What earlier versions of the package left behind: their notes, states and stored triggers, recorded in ``stored/``.

``6fefee8`` is of November 2026, with the notes and triggers of this version; ``6fefee8-kinds`` has one note of each of
its kinds, and one trigger of each of its classes. ``cf75b08`` is of five days before, with notes of format 1, which are
refused: its package was never released. ``057a110`` is the last version whose states have no seals and checksums; its
state knows six products, three of them sent again in another form, and three in a call without a reply.
"""

from __future__ import annotations

import asyncio
import base64
import importlib
import json
import shutil
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import pytest
from airflow.triggers.base import BaseTrigger

from airflow_provider_mirakl.api.caller import Caller
from airflow_provider_mirakl.api.products import import_products
from airflow_provider_mirakl.catalog.ledger import resume
from airflow_provider_mirakl.catalog.plan import read_chunk
from airflow_provider_mirakl.catalog.sync import SYNC, SyncPlan, is_planned, plan_sync
from airflow_provider_mirakl.client.http import Client
from airflow_provider_mirakl.client.pacing import Pacer
from airflow_provider_mirakl.client.settings import Settings, api_key
from airflow_provider_mirakl.exceptions import MiraklConfigurationError, MiraklError, MiraklNoteError
from airflow_provider_mirakl.jobs.book import JobBook
from airflow_provider_mirakl.sandbox import Sandbox
from airflow_provider_mirakl.triggers import events, moment, paced, poll
from airflow_provider_mirakl.triggers.paced import PacedTrigger, read_paced
from airflow_provider_mirakl.triggers.poll import PollTrigger, read_event
from airflow_provider_mirakl.triggers.stored import find_function
from tests.damage import ANY_FILE, damage
from tests.unit.test_notes import kinds, note_of

STORED = Path(__file__).parent / "stored"


TRIGGERS: dict[str, list[Any]] = json.loads((STORED / "6fefee8.json").read_text())["triggers"]


KINDS: dict[str, dict[str, Any]] = json.loads((STORED / "6fefee8-kinds.json").read_text())
NEW_KINDS = {"poll.json", "submitted/open/*.json", "window.json"}
"""Kinds of notes that ``6fefee8`` did not have."""
NEW_TRIGGERS: set[str] = set()
"""Classes of triggers that ``6fefee8`` did not have."""


def restored(version: str, folder: Path) -> Path:
    """The files of a version, in a folder."""
    for name, content in json.loads((STORED / f"{version}.json").read_text())["files"].items():
        data = base64.b64decode(content["base64"]) if isinstance(content, dict) else content.encode()
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.replace(b"{folder}", str(folder).encode()))
    return folder


def test_a_plan_goes_on_behind_its_last_accepted_chunk(tmp_path: Path) -> None:
    ledger = resume(restored("6fefee8", tmp_path) / "plan", generation="run")
    assert ledger is not None
    assert (ledger.next_chunk, ledger.accepted) == (1, 2)
    assert ledger.chunk is not None
    assert [json.loads(row)["id"] for row in read_chunk(ledger.plan.folder, ledger.chunk)] == ["p2", "p3"]


def test_a_sync_and_its_state_go_on(tmp_path: Path) -> None:
    folder = restored("6fefee8", tmp_path)
    assert is_planned(folder / "sync", generation="run")
    sync = SyncPlan.load(folder / "sync", folder / "state")
    assert (sync.known, sync.unchanged) == (7, 5)
    assert [ledger.chunk for ledger in sync.ledgers(generation="run")] == [None, None]
    products = [{"id": f"p{number}"} for number in range(5)] + [{"id": "new5"}]
    again = plan_sync(products, folder / "again", folder / "state")
    assert (again.known, again.upsert.products, again.delete.products) == (6, 0, 0)


def has_all_of(found: Any, stored: Any) -> bool:
    """Whether every stored value was read. A newer version may have more fields."""
    if isinstance(stored, dict):
        return all(name in found and has_all_of(found[name], value) for name, value in stored.items())
    if isinstance(stored, list):
        return len(found) == len(stored) and all(map(has_all_of, found, stored))
    return bool(found == stored)


def test_a_note_of_every_kind_and_a_trigger_of_every_class_is_stored() -> None:
    assert set(KINDS["notes"]) == set(kinds()) - NEW_KINDS
    classes = {
        name
        for module in (events, moment, paced, poll)
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, BaseTrigger) and value.__module__ == module.__name__
    }
    abstract = {"MiraklEventTrigger", "_ImportsTrigger"}
    assert set(KINDS["triggers"]) == classes - abstract - NEW_TRIGGERS


@pytest.mark.parametrize("file", sorted(KINDS["notes"]))
def test_a_stored_note_of_every_kind_is_read(
    file: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    note, stored = note_of(kinds()[file], tmp_path), KINDS["notes"][file]
    Path(str(note.path)).write_text(stored)
    content = note.read()
    assert not caplog.records
    assert has_all_of(msgspec.to_builtins(content), json.loads(stored)["content"])


@pytest.mark.parametrize("name", sorted(KINDS["triggers"]))
def test_a_stored_trigger_of_every_class_is_taken_up(name: str) -> None:
    path, arguments = KINDS["triggers"][name]
    module, _, kind = path.rpartition(".")
    if module == events.__name__ and version("apache-airflow").startswith("2."):
        pytest.skip("event triggers need Airflow 3: make test")
    trigger = getattr(importlib.import_module(module), kind)(**arguments)
    again, kept = trigger.serialize()
    assert again == path
    assert has_all_of(kept, arguments)
    assert not getattr(trigger, "_unknown", {}), "today's class knows each argument"


def products(brand: str) -> list[dict[str, str]]:
    return [{"id": f"P{number}", "brand": brand} for number in range(6)]


def test_a_state_without_seals_goes_on_and_is_sealed_by_the_next_sync(tmp_path: Path) -> None:
    state = restored("057a110", tmp_path) / "state"
    sync = plan_sync(products("a"), tmp_path / "sync", state)
    assert (sync.known, sync.upsert.products) == (6, 6)
    base = max(state.glob("base-*.ndjson"))
    damage(base, lambda data: data.replace(b'"P1"', b'"PX"'))
    with pytest.raises(MiraklNoteError, match="was changed after it was written"):
        plan_sync(products("a"), tmp_path / "again", state)


def test_what_a_worker_of_the_version_before_still_notes_is_read(tmp_path: Path) -> None:
    """While a fleet is upgraded, such a worker may note a chunk that a newer sync has overtaken."""
    state = restored("057a110", tmp_path) / "state"
    shutil.rmtree(state / "intents")
    sync = plan_sync(products("a"), tmp_path / "sync", state)
    sync.intend(sync.upsert, 0)
    sync.commit(sync.upsert, 0)
    (sealed,) = (state / "journal").glob("*.sealed.ndjson")
    generation = sealed.name.partition("-")[0]
    (state / "journal" / f"{generation}-z-late-upsert-000000-0.ndjson").write_text('["P1","",0]\n')
    assert plan_sync(products("a"), tmp_path / "again", state).upsert.products == 1


@pytest.mark.parametrize("how", ANY_FILE)
@pytest.mark.parametrize("part", ["base-*.ndjson", "journal/*", "intents/*"])
def test_a_damaged_file_of_a_state_without_seals_stops_the_sync(part: str, how: str, tmp_path: Path) -> None:
    (path,) = (restored("057a110", tmp_path) / "state").glob(part)
    damage(path, ANY_FILE[how])
    with pytest.raises(MiraklNoteError, match="remove it to start over") as caught:
        plan_sync(products("a"), tmp_path / "sync", tmp_path / "state")
    assert caught.value.path == str(path)


def test_a_submitted_job_is_not_submitted_again(tmp_path: Path) -> None:
    book = JobBook.find(restored("6fefee8", tmp_path) / "job", generation="run")
    assert book is not None
    assert [(entry.phase, entry.job_id) for entry in book.entries] == [("submitted", 2001)]


@pytest.mark.parametrize(
    ("read", "note"),
    [
        (lambda folder: resume(folder / "plan", generation="run"), "plan/ledger.json"),
        (lambda folder: SYNC.at(folder / "sync").read(), "sync/sync.json"),
        (lambda folder: plan_sync([], folder / "again", folder / "state"), "state/state.json"),
        (lambda folder: JobBook.find(folder / "job", generation="run"), "job/job.json"),
    ],
)
def test_notes_of_format_1_stop_the_task_with_the_fix(
    read: Callable[[Path], object], note: str, tmp_path: Path
) -> None:
    with pytest.raises(
        MiraklNoteError, match="it has format 1, but this version of the package reads format 2"
    ) as caught:
        read(restored("cf75b08", tmp_path))
    assert caught.value.path == str(tmp_path / note)


@pytest.mark.parametrize("name", TRIGGERS)
def test_a_stored_trigger_of_calls_is_taken_up_by_its_class(name: str, tmp_path: Path) -> None:
    path, arguments = TRIGGERS[name]
    module, _, kind = path.rpartition(".")
    trigger = getattr(importlib.import_module(module), kind)(**arguments)
    assert trigger.serialize() == (path, arguments)
    read_pace, place = trigger._read_arguments()
    assert read_pace.failures == 0
    with pytest.raises(FileNotFoundError):  # all that is missing is its folder
        place.open()


@pytest.mark.usefixtures("mirakl_sandbox_connections")
def test_a_stored_trigger_sends_what_was_left_of_its_plan(tmp_path: Path, mirakl_sandbox: Sandbox) -> None:
    folder, arguments = restored("6fefee8", tmp_path), TRIGGERS["upsert"][1]
    stored = arguments | {
        "arguments": {"folder": str(folder / "plan"), "generation": "run"},
        "conn_id": "mirakl_connect_default",
        "earliest": 0.0,
    }
    event = read_paced(fired(PacedTrigger(**stored)))
    assert event["status"] == "done", event
    assert [row["item"] for row in mirakl_sandbox.ledger()] == ["p2", "p3", "p4", "p5"]
    ledger = resume(folder / "plan", generation="run")
    assert ledger is not None
    assert (ledger.chunk, ledger.accepted) == (None, 6)


OLDEST: dict[str, Any] = {
    "poll": "airflow_provider_mirakl.jobs.polls.jobs_ended",
    "arguments": {
        "kind": "product_import",
        "job_ids": [2001],
        "role": "shop",
        "shop_id": None,
        "since": None,
    },
    "hook": "airflow_provider_mirakl.hooks.mirakl.MiraklHook",
    "conn_id": "mirakl_shop",
    "role": None,
    "first": 0.0,
    "interval": 0.01,
    "deadline": 0.0,
    "max_failures": 5,
    "began": 0.0,
}
"""What ``cf75b08`` stored of a poll: without a version, and without notes."""


def fired(trigger: PollTrigger | PacedTrigger) -> Any:
    async def run() -> list[Any]:
        return [event.payload async for event in trigger.run()]

    (event,) = asyncio.run(run())
    return json.loads(json.dumps(event))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"poll": "airflow_provider_mirakl.jobs.proof.products_settled"}, "does not exist .*clear the task"),
        (
            {"arguments": {"jobs": [1]}},
            "stored by another version .*required (keyword-only )?argument.*; clear the task",
        ),
        ({"version": 2}, "arguments of version 2, this one reads 1"),
        ({"later": 1}, "stored by another version"),
    ],
)
def test_a_trigger_that_cannot_be_read_says_so(change: dict[str, Any], words: str) -> None:
    with pytest.raises(MiraklError, match=words):
        read_event(fired(PollTrigger(**OLDEST | change)))


@pytest.mark.usefixtures("mirakl_sandbox_connections")
def test_a_poll_of_the_oldest_version_finds_its_job(mirakl_sandbox: Sandbox) -> None:
    settings = Settings(base_url=mirakl_sandbox.mirakl_url, auth=api_key("sandbox-shop-key"))
    csv = b"category;shop_sku;title;ean;brand\nheadphones;p1;T;2000000000001;nordlys\n"
    with Client(settings, pacer=Pacer()) as client:
        job = client.send(import_products(csv, "products.csv", caller=Caller("shop", None)))
    arguments = {**OLDEST["arguments"], "job_ids": [job]}
    found = read_event(fired(PollTrigger(**OLDEST | {"arguments": arguments, "deadline": time.time() + 60})))
    assert found is not None
    assert list(found["statuses"]) == [str(job)]


@pytest.mark.parametrize("path", ["", "nowhere", "airflow_provider_mirakl.jobs.polls.nothing", "no_module.x"])
@pytest.mark.parametrize("field", ["poll", "opener"])
def test_a_stored_function_that_does_not_exist_is_named(field: str, path: str) -> None:
    with pytest.raises(MiraklConfigurationError, match=f"^{field} '{path}' does not exist .*clear the task"):
        find_function(field, path)
