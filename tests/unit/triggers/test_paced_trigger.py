"""The trigger that makes the calls: against a sandbox, on one event loop, as in a triggerer."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.catalog.ledger import Ledger
from airflow_provider_mirakl.catalog.plan import plan_upsert
from airflow_provider_mirakl.client.pacing import PACER
from airflow_provider_mirakl.client.tokens import TOKENS
from airflow_provider_mirakl.exceptions import (
    MiraklAuthenticationError,
    MiraklError,
    MiraklTriggerEventError,
)
from airflow_provider_mirakl.hooks.base import MiraklConnectionDisabledError
from airflow_provider_mirakl.sandbox import Sandbox
from airflow_provider_mirakl.triggers import desk, line
from airflow_provider_mirakl.triggers.paced import PacedTrigger
from airflow_provider_mirakl.triggers.poll import load_error
from tests.waiting import until

HOOK = "airflow_provider_mirakl.hooks.mirakl_connect.MiraklConnectHook"
OPENER = "airflow_provider_mirakl.triggers.places.open_plan"
INTERVAL = 60 / 600
Plan = Callable[..., PacedTrigger]

pytestmark = [
    pytest.mark.usefixtures("mirakl_sandbox_connections"),
    # A token that is renewed meanwhile would add a 401 to the calls that are counted.
    pytest.mark.mirakl_sandbox_settings(token_seconds=1e9),
]


@pytest.fixture(autouse=True)
def _fresh_process() -> None:
    PACER.forget()
    TOKENS.forget()


@pytest.fixture
def planned(tmp_path: Path) -> Plan:
    """Plans an upsert of some chunks, as a worker does, and makes its trigger."""

    def make(name: str = "task", chunks: int = 3, *, size: int = 2, **options: Any) -> PacedTrigger:
        products = [{"id": f"{name}-{number:04d}"} for number in range(chunks * size)]
        folder = tmp_path / name
        Ledger.open(plan_upsert(products, folder, batch_size=size), generation="run")
        stored = PacedTrigger(
            opener=OPENER,
            arguments={"folder": str(folder), "generation": "run"},
            hook=HOOK,
            conn_id="mirakl_connect_default",
            state={"pace": {}, "journey": {"began": 1.0}, "carried": {}},
            **options,
        ).serialize()[1]
        return PacedTrigger(**json.loads(json.dumps(stored)))

    return make


async def fire(trigger: PacedTrigger) -> dict[str, Any]:
    events = [json.loads(json.dumps(event.payload)) async for event in trigger.run()]
    assert len(events) == 1
    return events[0]


def sent(sandbox: Sandbox) -> list[str]:
    """The first product of every accepted call, in order."""
    calls: dict[int, str] = {}
    for row in sandbox.ledger():
        calls.setdefault(row["call"], row["item"])
    return list(calls.values())


def statuses(sandbox: Sandbox) -> Counter[int]:
    return Counter(call["status"] for call in sandbox.journal("upsertProducts"))


def ledger(tmp_path: Path, name: str = "task") -> Any:
    return json.loads((tmp_path / name / "ledger.json").read_text())["content"]


async def test_one_trigger_makes_every_call_and_brings_the_position_back(
    planned: Plan, mirakl_sandbox: Sandbox, tmp_path: Path
) -> None:
    event = await fire(planned(chunks=4))
    assert event["status"] == "done"
    assert event["position"]["next_chunk"] == event["position"]["chunks"] == 4
    assert event["state"]["journey"] == {"began": 1.0}
    assert sent(mirakl_sandbox) == [f"task-{number:04d}" for number in (0, 2, 4, 6)]
    assert statuses(mirakl_sandbox) == {202: 4}
    assert ledger(tmp_path)["next_chunk"] == 4
    assert '"next_chunk":4' in event["state"]["carried"]["ledger.json"]


async def test_it_goes_on_from_the_ledger_not_from_its_arguments(
    planned: Plan, mirakl_sandbox: Sandbox
) -> None:
    stored = planned(chunks=3).serialize()[1]
    await fire(PacedTrigger(**stored))
    assert (await fire(PacedTrigger(**stored)))["status"] == "done"
    assert statuses(mirakl_sandbox) == {202: 3}


async def test_a_plan_that_cannot_be_seen_is_left_to_the_workers(
    planned: Plan, mirakl_sandbox: Sandbox, tmp_path: Path
) -> None:
    trigger = planned()
    (tmp_path / "task").rename(tmp_path / "on another machine")
    event = await fire(trigger)
    assert event["status"] == "unreachable"
    assert "FileNotFoundError" in event["reason"]
    assert not (tmp_path / "task").exists()
    assert mirakl_sandbox.journal("upsertProducts") == []


async def test_a_plan_that_goes_away_meanwhile_is_left_to_the_workers_with_its_ledger(
    planned: Plan, mirakl_sandbox: Sandbox, tmp_path: Path
) -> None:
    running = asyncio.create_task(fire(planned(chunks=30)))
    await until(lambda: len(sent(mirakl_sandbox)) >= 2)
    (tmp_path / "task").rename(tmp_path / "gone")
    event = await running
    assert event["status"] == "unreachable"
    assert '"next_chunk":' in event["state"]["carried"]["ledger.json"]


@pytest.mark.parametrize("arguments", [{"version": 99}, {"of_a_later_version": 1}])
async def test_a_trigger_of_an_unknown_version_says_so(
    planned: Plan, mirakl_sandbox: Sandbox, arguments: dict[str, Any]
) -> None:
    event = await fire(planned(**arguments))
    with pytest.raises(MiraklTriggerEventError, match="another version of airflow-provider-mirakl"):
        raise load_error(event["error"])
    assert mirakl_sandbox.journal() == []


async def test_a_trigger_stored_before_an_argument_was_added_resumes(
    planned: Plan, mirakl_sandbox: Sandbox
) -> None:
    stored = planned().serialize()[1]
    for later in ("refused_timeout", "earliest", "deadline", "position", "role"):
        del stored[later]
    assert (await fire(PacedTrigger(**stored)))["status"] == "done"


async def test_no_secret_is_stored(planned: Plan) -> None:
    _, arguments = planned().serialize()
    assert "sandbox-secret" not in json.dumps(arguments)
    assert len(json.dumps(arguments)) < 64 * 1024


async def test_it_does_not_fire_before_its_time(planned: Plan) -> None:
    began = time.time()
    await fire(planned(chunks=1, earliest=began + 1.0))
    assert time.time() - began >= 0.99


async def test_a_deadline_ends_it_between_two_calls(planned: Plan, mirakl_sandbox: Sandbox) -> None:
    trigger = planned(chunks=500)  # at least 50 seconds
    trigger.deadline = time.time() + 5.0
    event = await fire(trigger)
    assert event["status"] == "timeout"
    assert 1 <= len(sent(mirakl_sandbox)) < 500


async def test_a_cancelled_trigger_ends_the_call_under_way_and_notes_it(
    planned: Plan, mirakl_sandbox: Sandbox, tmp_path: Path
) -> None:
    slow = mirakl_sandbox.fault("delay", "upsertProducts", skip=1, seconds=1800)  # three seconds
    running = asyncio.create_task(fire(planned(chunks=50)))
    await until(lambda: bool(slow.struck))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ledger(tmp_path)["next_chunk"] == len(sent(mirakl_sandbox)) == 2
    assert PACER.wait(("nobody", "upsertProducts", ""), now=time.time()) == 0


async def test_two_that_run_the_same_trigger_for_a_moment_do_no_harm(
    planned: Plan, mirakl_sandbox: Sandbox, tmp_path: Path
) -> None:
    stored = planned(chunks=4).serialize()[1]
    events = await asyncio.gather(*(fire(PacedTrigger(**stored)) for _ in range(2)))
    assert [event["status"] for event in events] == ["done", "done"]
    assert set(sent(mirakl_sandbox)) == {f"task-{number:04d}" for number in (0, 2, 4, 6)}
    assert 429 not in statuses(mirakl_sandbox)
    assert ledger(tmp_path)["next_chunk"] == 4


# Faults meanwhile


async def test_a_token_that_expires_is_fetched_again(planned: Plan, mirakl_sandbox: Sandbox) -> None:
    mirakl_sandbox.fault("revoke_token", "upsertProducts", skip=1)
    assert (await fire(planned()))["status"] == "done"
    assert statuses(mirakl_sandbox) == {202: 3, 401: 1}


async def test_a_429_of_another_client_is_waited_for(planned: Plan, mirakl_sandbox: Sandbox) -> None:
    mirakl_sandbox.fault("throttle", "upsertProducts", skip=1)
    assert (await fire(planned()))["status"] == "done"
    assert statuses(mirakl_sandbox)[202] == 3


async def test_a_connection_that_is_disabled_stops_it(
    planned: Plan,
    mirakl_sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    mirakl_sandbox_connections: dict[str, Any],
) -> None:
    monkeypatch.setattr(desk, "RECHECK", 0.0)
    running = asyncio.create_task(fire(planned(chunks=200)))
    await until(lambda: len(sent(mirakl_sandbox)) >= 2)
    connection = mirakl_sandbox_connections["mirakl_connect_default"]
    connection = connection | {"extra": connection["extra"] | {"enabled": False}}
    monkeypatch.setenv("AIRFLOW_CONN_MIRAKL_CONNECT_DEFAULT", json.dumps(connection))
    event = await running
    assert isinstance(load_error(event["error"]), MiraklConnectionDisabledError)
    assert 2 <= event["position"]["next_chunk"] < 200


@pytest.mark.parametrize("known", [True, False])
async def test_a_secret_that_is_changed_is_read_again(
    planned: Plan,
    mirakl_sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    mirakl_sandbox_connections: dict[str, Any],
    known: bool,
) -> None:
    right = mirakl_sandbox_connections["mirakl_connect_default"]
    wrong = right | {"password": "was-changed"}
    monkeypatch.setenv("AIRFLOW_CONN_MIRAKL_CONNECT_DEFAULT", json.dumps(wrong))
    read = desk.Desk._read

    async def reading(self: Any) -> None:
        await read(self)
        if known:  # the connection is fixed after it was read
            monkeypatch.setenv("AIRFLOW_CONN_MIRAKL_CONNECT_DEFAULT", json.dumps(right))

    monkeypatch.setattr(desk.Desk, "_read", reading)
    event = await fire(planned(chunks=1))
    if known:
        assert event["status"] == "done"
    else:
        assert isinstance(load_error(event["error"]), MiraklAuthenticationError)


async def test_an_object_store_that_fails_for_a_while_repeats_no_call(
    planned: Plan, mirakl_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_mirakl.catalog import loop, work

    accept, failures = work.SendWork.accept, [OSError("503 Slow Down"), OSError("503 Slow Down")]

    def failing(self: Any, result: None, at: Any) -> None:
        if failures:
            raise failures.pop()
        accept(self, result, at)

    monkeypatch.setattr(work.SendWork, "accept", failing)
    monkeypatch.setattr(loop, "LONGEST_PAUSE", 0.05)
    assert (await fire(planned()))["status"] == "done"
    assert statuses(mirakl_sandbox) == {202: 3}


@pytest.mark.parametrize("error", [(28, "No space left on device"), (30, "Read-only file system")])
async def test_a_disk_that_takes_no_note_any_more_sends_nothing_more(
    planned: Plan,
    mirakl_sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    error: tuple[int, str],
) -> None:
    from airflow_provider_mirakl.catalog import loop
    from airflow_provider_mirakl.files import notes

    write, written = notes.write_bytes, []

    def failing(path: Any, data: bytes) -> None:
        if len(written) == 4:  # the ledger is written before and after each call
            raise OSError(*error)
        written.append(path)
        write(path, data)

    trigger = planned(chunks=5, max_failures=2)
    monkeypatch.setattr(notes, "write_bytes", failing)
    monkeypatch.setattr(loop, "LONGEST_PAUSE", 0.05)
    event = await fire(trigger)
    assert (event["status"], statuses(mirakl_sandbox)) == ("unreachable", {202: 2})
    assert error[1] in event["reason"]
    assert ledger(tmp_path)["next_chunk"] == event["position"]["next_chunk"] == 2


# One voice per account


async def test_fifty_tasks_of_one_account_are_served_in_turn_without_a_429(
    planned: Plan,
    mirakl_sandbox: Sandbox,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level("INFO")
    tasks = [f"t{number:02d}" for number in range(50)]
    join = line.Line.join

    async def join_and_let_all_join(self: line.Line, number: int) -> None:
        """The order is that of joining: in the first round nobody calls before all others are in the queue (again)."""
        await join(self, number)
        if number < len(tasks):
            await until(lambda: self.ahead(2 * len(tasks)) == len(tasks))

    monkeypatch.setattr(line.Line, "join", join_and_let_all_join)
    await asyncio.gather(*(fire(planned(task, 2, size=1)) for task in tasks))
    assert statuses(mirakl_sandbox) == {202: 100}
    served = [item.partition("-")[0] for item in sent(mirakl_sandbox)]
    assert sorted(served[:50]) == tasks  # no task twice before every task once
    assert served[:50] == served[50:]
    assert any("49 other calls of this account first; this one about" in line for line in caplog.messages)


async def test_two_connections_of_one_client_are_one_account(
    planned: Plan,
    mirakl_sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    mirakl_sandbox_connections: dict[str, Any],
) -> None:
    same = mirakl_sandbox_connections["mirakl_connect_default"]
    monkeypatch.setenv("AIRFLOW_CONN_MIRAKL_CONNECT_AGAIN", json.dumps(same))
    again = planned("again", 5)
    again.conn_id = "mirakl_connect_again"
    await asyncio.gather(fire(planned("first", 5)), fire(again))
    assert statuses(mirakl_sandbox) == {202: 10}


async def test_one_that_fails_in_its_turn_gives_it_to_the_next(
    planned: Plan, mirakl_sandbox: Sandbox
) -> None:
    mirakl_sandbox.fault("status", "upsertProducts", status=403)
    one, other = await asyncio.gather(fire(planned("one")), fire(planned("other")))
    assert {one["status"], other["status"]} == {"error", "done"}


async def test_a_line_keeps_the_place_of_one_whose_call_was_refused() -> None:
    queue, order = line.Line(), []

    async def one(name: str, number: int) -> None:
        await queue.join(number)
        order.append(name)
        queue.leave()

    numbers = [queue.number() for _ in range(4)]
    await queue.join(numbers[0])
    waiting = [
        asyncio.create_task(one(name, number)) for name, number in zip("bcd", numbers[1:], strict=True)
    ]
    await asyncio.sleep(0)
    assert queue.ahead(numbers[3]) == 3
    refused = asyncio.create_task(one("a again", numbers[0]))
    await asyncio.sleep(0)
    waiting[1].cancel()
    queue.leave()
    await asyncio.gather(*waiting, refused, return_exceptions=True)
    assert order == ["a again", "b", "d"]
    await queue.join(queue.number())  # nothing holds it any more


# The event loop


async def test_the_loop_is_never_held(
    planned: Plan, mirakl_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work on storage that takes long is done in threads, and so is parsing a large page."""
    from airflow_provider_mirakl.catalog import work

    threads: set[str] = set()
    for name in ("next_call", "intend", "accept"):
        monkeypatch.setattr(work.SendWork, name, in_which_thread(getattr(work.SendWork, name), threads))
    await fire(planned())
    import threading

    assert threads
    assert threading.current_thread().name not in threads


def in_which_thread(function: Any, threads: set[str]) -> Any:
    import threading

    def noted(*arguments: Any) -> Any:
        threads.add(threading.current_thread().name)
        return function(*arguments)

    return noted


async def test_what_airflow_has_loaded_is_kept_from_the_garbage_collector(
    planned: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full collection would walk all of it, and hold the loop meanwhile; so would asking for the count, each time."""
    from airflow_provider_mirakl.triggers import desk

    desk.keep_from_collector.cache_clear()
    gc.unfreeze()
    await fire(planned(chunks=1))
    assert gc.get_freeze_count() > 50_000
    frozen = gc.get_freeze_count()
    with monkeypatch.context() as patch:
        patch.setattr(gc, "get_freeze_count", None)
        await fire(planned("again", chunks=1))
    assert gc.get_freeze_count() <= frozen  # not frozen again; an object that is not used any more still goes


async def test_a_large_page_is_parsed_in_a_thread(
    mirakl_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading
    from dataclasses import replace

    from airflow_provider_mirakl.api.connect import list_products
    from airflow_provider_mirakl.api.steps import Send

    mirakl_sandbox.seed(
        {"id": f"p{n:04d}", "descriptions": [{"locale": "en_US", "value": "x" * 1000}]} for n in range(600)
    )
    threads: set[str] = set()
    call = list_products()
    call = replace(call, parse=in_which_thread(call.parse, threads))
    async with desk.open_desk(HOOK, "mirakl_connect_default", None) as one, one.caller() as perform:
        page: Any = await perform(Send(call))
    assert len(page.items) == 600
    assert threading.current_thread().name not in threads
    assert len(threads) == 1


def test_an_error_of_another_kind_is_an_event_too(planned: Plan) -> None:
    trigger = planned()
    trigger.opener = "nowhere.at_all"
    event = asyncio.run(fire(trigger))
    with pytest.raises(MiraklError, match=r"'nowhere\.at_all' does not exist"):
        raise load_error(event["error"])


async def test_a_listing_of_a_task_that_was_cleared_is_left_alone(
    mirakl_sandbox: Sandbox, tmp_path: Path
) -> None:
    """The old trigger may run for a moment beside the new try: it begins nothing, and overwrites no note."""
    from airflow_provider_mirakl.catalog.work import ListWork

    ListWork(tmp_path / "all.ndjson", tmp_path / "task", generation="new")
    before = (tmp_path / "task" / "progress.json").read_bytes()
    trigger = PacedTrigger(
        opener="airflow_provider_mirakl.triggers.places.open_list",
        arguments={"folder": str(tmp_path / "task"), "generation": "old", "target": str(tmp_path / "t")},
        hook=HOOK,
        conn_id="mirakl_connect_default",
    )
    assert (await fire(trigger))["status"] == "unreachable"
    assert (tmp_path / "task" / "progress.json").read_bytes() == before
    assert mirakl_sandbox.journal("listProducts") == []
