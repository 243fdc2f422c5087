"""The one trigger: what it carries, what it hands back, what its tasks share."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import UTC, datetime
from types import ModuleType, SimpleNamespace

import pytest

from airflow_provider_mirakl.api.call import Page
from airflow_provider_mirakl.api.caller import Caller
from airflow_provider_mirakl.api.steps import Send
from airflow_provider_mirakl.exceptions import (
    MiraklAuthenticationError,
    MiraklError,
    MiraklInputError,
    MiraklItemsFailedError,
    MiraklMissingFileError,
    MiraklNoteError,
    MiraklNotYetError,
    MiraklPermissionError,
    MiraklRateLimitError,
    MiraklServerError,
    MiraklTriggerEventError,
    Problem,
)
from airflow_provider_mirakl.jobs.polls import JobQuestion
from airflow_provider_mirakl.jobs.table import JOBS
from airflow_provider_mirakl.runtime.explaining import explanation
from airflow_provider_mirakl.triggers.board import Board, _Asked, key_of
from airflow_provider_mirakl.triggers.poll import PollTrigger, dump_error, load_error, read_event

P41 = JOBS["product_import"]
SINCE = datetime(2026, 11, 20, tzinfo=UTC)
INTERVAL = 6000.0
"""Seconds between two readings: so many that none becomes due while a test runs."""


def trigger(**options):
    now = time.time()
    return PollTrigger(
        **{
            "poll": "airflow_provider_mirakl.jobs.polls.jobs_ended",
            "arguments": {"kind": "product_import", "job_ids": [1]},
            "hook": "airflow_provider_mirakl.hooks.mirakl.MiraklHook",
            "conn_id": "mirakl_shop",
            "first": now,
            "interval": 0.1,
            "deadline": now + 300,
        }
        | options
    )


async def fire(one):
    return [json.loads(json.dumps(event.payload)) async for event in one.run()]


def test_it_comes_back_from_what_airflow_stores():
    one = trigger(role="operator", max_failures=2)
    path, arguments = one.serialize()
    assert path == "airflow_provider_mirakl.triggers.poll.PollTrigger"
    assert json.loads(json.dumps(arguments)) == arguments
    assert PollTrigger(**arguments).serialize() == one.serialize()


@pytest.mark.parametrize("more", [{"version": 99}, {"of_a_later_version": 1}])
async def test_arguments_of_another_version_are_refused_and_kept(more, mirakl_sandbox):
    one = PollTrigger(**trigger().serialize()[1] | more)
    assert one.serialize()[1].items() >= more.items()
    (event,) = await fire(one)
    with pytest.raises(MiraklTriggerEventError, match="another version of airflow-provider-mirakl"):
        read_event(event)
    assert mirakl_sandbox.journal() == []


async def test_it_fires_once_with_what_it_found(monkeypatch, mirakl_sandbox_connections):
    polls = ModuleType("polls_here")

    def counted(notes, *, until):
        notes["looks"] = notes.get("looks", 0) + 1
        return dict(notes) if notes["looks"] >= until else None
        yield

    polls.counted = counted
    monkeypatch.setitem(sys.modules, "polls_here", polls)
    (event,) = await fire(trigger(poll="polls_here.counted", arguments={"until": 3}))
    assert read_event(event) == {"looks": 3}


async def test_a_poll_that_is_not_there_is_an_error_in_the_event():
    (event,) = await fire(trigger(poll="nowhere.at_all"))
    with pytest.raises(MiraklError, match=r"'nowhere\.at_all' does not exist"):
        read_event(event)


async def test_a_connection_that_cannot_work_is_an_error_in_the_event(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_MIRAKL_SHOP", json.dumps({"conn_type": "mirakl", "host": "a b"}))
    (event,) = await fire(trigger())
    with pytest.raises(MiraklError, match="Connection 'mirakl_shop' cannot be used"):
        read_event(event)


@pytest.mark.parametrize(
    "event", [None, "timeout", {}, {"status": "fine"}, {"status": "found"}, {"status": "error", "error": "x"}]
)
def test_an_event_that_is_not_understood_is_refused(event):
    with pytest.raises(MiraklTriggerEventError):
        read_event(event)


def test_an_error_keeps_its_type_and_data():
    error = MiraklRateLimitError("429", operation="P42", status=429, retry_after=7.0, request_id="r")
    again = load_error(json.loads(json.dumps(dump_error(error))))
    assert type(again) is MiraklRateLimitError
    assert (str(again), again.operation, again.retry_after, again.request_id) == ("429", "P42", 7.0, "r")
    assert again.faults == ()
    foreign = load_error({"type": "os.path.join", "args": ["x"]})
    assert type(foreign) is MiraklError
    assert isinstance(load_error(dump_error(MiraklItemsFailedError("x", outcome={}))), MiraklItemsFailedError)


@pytest.mark.parametrize(
    "error",
    [
        MiraklInputError("x", [Problem("wrong", line=3)]),
        MiraklNoteError("x", path="/note"),
        MiraklMissingFileError("x", path="/file"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_about_input_can_be_explained_by_the_worker(error):
    again = load_error(json.loads(json.dumps(dump_error(error))))
    assert (type(again), again.problems) == (type(error), ())
    assert str(error) in explanation(again, SimpleNamespace(task_id="task"))


# The shared listing


class Listing:
    """Mirakl's side of a board: what each reading finds, and a record of the calls."""

    def __init__(self, *pages, error=None, more=False):
        self.pages = list(pages)
        self.more = more
        self.error = error
        self.calls = []

    async def send(self, call):
        await asyncio.sleep(0)
        self.calls.append(call.operation.code)
        if call.operation.code == "P42":
            return {"import_id": 5, "import_status": "COMPLETE", "alone": True}
        if self.error is not None:
            raise self.error
        page = self.pages[min(self.calls.count("P51"), len(self.pages)) - 1]
        rest = call if self.more else None
        return Page([{"import_id": n, "import_status": "RUNNING"} for n in page], rest)


def question(job_id):
    return JobQuestion(P41, job_id, Caller(), SINCE)


async def test_those_who_wait_share_one_reading():
    board, mirakl = Board(), Listing([1, 2, 3])
    await board.ask(question(1), INTERVAL, mirakl.send)
    answers = await asyncio.gather(*(board.ask(question(n), INTERVAL, mirakl.send) for n in (1, 2, 3)))
    assert mirakl.calls == ["P51"]
    # 2 and 3 came after the reading, which did not look for them: no news yet
    assert [answer and answer["import_id"] for answer in answers] == [1, None, None]


async def test_a_reading_is_one_page_and_what_is_not_on_it_is_asked_for_alone():
    board, mirakl = Board(), Listing([9, 8], more=True)
    assert (await board.ask(question(5), INTERVAL, mirakl.send))["alone"]
    assert mirakl.calls == ["P51", "P42"]


async def test_most_readings_ask_for_changes_and_what_did_not_change_keeps_its_status():
    board, mirakl, since = Board(), Listing([1, 2], [2], []), []

    async def send(call):
        since.append(dict(call.params).get("last_request_date"))
        return await mirakl.send(call)

    for _ in range(3):
        assert (await board.ask(question(1), 0.0, send))["import_id"] == 1
        assert mirakl.calls.count("P42") == 0
    assert mirakl.calls == ["P51", "P51", "P51"]
    assert since[0] == "2026-11-19T23:59:59Z"
    assert since[1] > since[0]


async def test_a_reading_that_failed_failed_for_all_and_is_not_repeated_at_once():
    board = Board()
    mirakl = Listing(error=MiraklServerError("503", operation="P51", status=503))
    for n in (1, 2, 3):
        with pytest.raises(MiraklServerError):
            await board.ask(question(n), INTERVAL, mirakl.send)
    assert mirakl.calls == ["P51"]


async def test_a_key_that_was_refused_is_not_held_against_those_who_come_later():
    board, mirakl = Board(), Listing([1, 2])
    for n in (1, 2):
        await board.ask(question(n), INTERVAL, mirakl.send)
    mirakl.calls.clear()
    mirakl.error = MiraklAuthenticationError("401", operation="P51", status=401)
    with pytest.raises(MiraklAuthenticationError):
        await board.ask(question(1), 0.0, mirakl.send)
    with pytest.raises(MiraklAuthenticationError):
        await board.ask(question(2), INTERVAL, mirakl.send)
    assert mirakl.calls == ["P51"]
    mirakl.error = None  # the key was changed, and the task that failed is tried again
    assert (await board.ask(question(1), INTERVAL, mirakl.send))["import_id"] == 1


async def test_where_the_listing_is_refused_each_job_is_asked_for_alone():
    board = Board()
    mirakl = Listing(error=MiraklPermissionError("403", operation="P51", status=403))
    for n in (1, 2):
        answer = await board.ask(question(n), 0.0, mirakl.send)
        assert answer["alone"]
    assert mirakl.calls == ["P51", "P42", "P51", "P42"]


async def test_a_job_that_nobody_asks_for_any_more_is_forgotten():
    board, mirakl = Board(), Listing([1], [2])
    await board.ask(question(1), 0.0, mirakl.send)
    await board.ask(question(2), 0.0, mirakl.send)
    assert board._asked.keys() == {2}


# The shared client


async def test_a_key_that_was_changed_is_read_anew_after_a_401(monkeypatch, mirakl_sandbox_connections):
    from airflow_provider_mirakl.api.platform import get_platform_configuration
    from airflow_provider_mirakl.triggers.desk import open_desk

    right = mirakl_sandbox_connections["mirakl_shop"]
    monkeypatch.setenv("AIRFLOW_CONN_MIRAKL_SHOP", json.dumps(right | {"password": "old"}))
    hook = "airflow_provider_mirakl.hooks.mirakl.MiraklHook"
    async with open_desk(hook, "mirakl_shop", None) as first, open_desk(hook, "mirakl_shop", None) as second:
        assert first is second
        async with first.poller(interval=INTERVAL, deadline=time.time() + INTERVAL) as perform:
            with pytest.raises(MiraklAuthenticationError):
                await perform(Send(get_platform_configuration()))
            monkeypatch.setenv("AIRFLOW_CONN_MIRAKL_SHOP", json.dumps(right))
            assert (await perform(Send(get_platform_configuration())))["platform_name"]
    async with open_desk(hook, "mirakl_shop", None) as later:
        assert later is not first


@pytest.mark.parametrize(("early", "waits"), [(0.3, True), (INTERVAL, False)])
async def test_a_poll_that_is_a_little_early_waits_whatever_max_wait_is(
    monkeypatch, mirakl_sandbox_connections, early, waits
):
    """Polls are an interval apart, and each call comes a little later than its poll: the next poll is early."""
    from airflow_provider_mirakl.client.pacing import PACER
    from airflow_provider_mirakl.triggers.desk import open_desk

    connection = mirakl_sandbox_connections["mirakl_shop"]
    connection["extra"]["max_wait"] = 0
    monkeypatch.setenv("AIRFLOW_CONN_MIRAKL_SHOP", json.dumps(connection))
    call = P41.listing(Caller(), SINCE, ())
    async with (
        open_desk("airflow_provider_mirakl.hooks.mirakl.MiraklHook", "mirakl_shop", None) as desk,
        desk.poller(interval=INTERVAL, deadline=time.time() + INTERVAL) as perform,
    ):
        client = await desk.client()
        now = client._clock()
        key = (client.settings.account, call.operation.code, call.paced_by)
        PACER.hold(key, until=now + early, now=now)
        if waits:
            assert (await perform(Send(call))).items == []
            assert client._clock() >= now + early
        else:
            with pytest.raises(MiraklNotYetError, match="in 6000 s"):
                await perform(Send(call))


async def test_those_who_come_when_many_wait_are_asked_for_alone_once():
    board, mirakl = Board(), Listing(list(range(200)), [])
    for n in range(150):
        board._asked[n] = _Asked(SINCE, time.monotonic() + INTERVAL, None)
    await board.ask(question(0), 0.0, mirakl.send)
    assert mirakl.calls == ["P51"]
    for _ in range(2):
        assert (await board.ask(question(999), 0.0, mirakl.send))["alone"]
    assert mirakl.calls == ["P51", "P51", "P42", "P51"]


async def test_those_who_come_when_few_wait_are_looked_for_in_the_whole_list():
    board, mirakl, since = Board(), Listing([1, 2]), []

    async def send(call):
        since.append(dict(call.params).get("last_request_date"))
        return await mirakl.send(call)

    for n in (1, 2, 2):
        assert (await board.ask(question(n), 0.0, send))["import_id"] == n
    assert since[0] == since[1] < since[2]
    assert mirakl.calls == ["P51"] * 3


async def test_a_reader_who_is_cancelled_leaves_the_reading_to_the_next():
    board, mirakl, began = Board(), Listing([1, 2]), asyncio.Event()

    async def for_ever(call):
        began.set()
        await asyncio.Event().wait()

    first = asyncio.create_task(board.ask(question(1), INTERVAL, for_ever))
    await began.wait()
    second = asyncio.create_task(board.ask(question(2), INTERVAL, mirakl.send))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second)["import_id"] == 2
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_one_whose_turn_comes_late_is_not_forgotten_meanwhile():
    """Two readings before it take longer than a job is kept without being asked for, and the event loop is busy."""
    board, mirakl, interval = Board(), Listing([1, 2, 3], [1, 2, 3], [1, 2, 3]), 0.02

    async def slowly(call):
        await asyncio.sleep(4 * interval)
        return await mirakl.send(call)

    async def asked(job_id):
        status = await board.ask(question(job_id), interval, slowly)
        time.sleep(2 * interval)  # noqa: ASYNC251 - the busy event loop
        return status

    found = await asyncio.gather(*map(asked, (1, 2, 3)))
    assert [status["import_id"] for status in found] == [1, 2, 3]
    assert mirakl.calls == ["P51"] * 3


async def test_readings_that_take_longer_than_a_job_is_kept_have_every_job():
    board, mirakl, interval = Board(), Listing(*[[1, 2]] * 20), 0.02

    async def slowly(call):
        await asyncio.sleep(4 * interval)
        return await mirakl.send(call)

    async def asked(job_id):
        found = []
        for _ in range(5):
            found.append(await board.ask(question(job_id), interval, slowly))
            await asyncio.sleep(interval)
        return found

    for found in await asyncio.gather(asked(1), asked(2)):
        assert any(found)


async def test_a_reader_that_has_no_time_left_fails_only_itself():
    board, mirakl = Board(), Listing([1, 2])

    async def not_yet(call):
        raise MiraklNotYetError("not yet", operation="P51", retry_at=SINCE)

    with pytest.raises(MiraklNotYetError):
        await board.ask(question(1), INTERVAL, not_yet)
    assert (await board.ask(question(2), INTERVAL, mirakl.send))["import_id"] == 2


@pytest.mark.parametrize("ends", [True, False], ids=["then Mirakl refuses", "turn is not ended"])
async def test_a_poll_does_not_wait_in_the_queue_beyond_its_deadline(mirakl_sandbox_connections, ends):
    """It has joined while the wait seemed short: then the call ahead takes long, or is refused for a long time."""
    from airflow_provider_mirakl.client.pacing import PACER
    from airflow_provider_mirakl.triggers.desk import open_desk
    from airflow_provider_mirakl.triggers.line import line_of

    call = P41.listing(Caller(), SINCE, ())
    async with (
        open_desk("airflow_provider_mirakl.hooks.mirakl.MiraklHook", "mirakl_shop", None) as desk,
        desk.poller(interval=INTERVAL, deadline=time.time() + (30 if ends else 2)) as perform,
    ):
        client = await desk.client()
        account = client.settings.account, call.operation.code, call.paced_by
        line = line_of(account)
        await line.join(line.number())
        waiting = asyncio.create_task(perform(Send(call)))
        while line.ahead(line.number()) < 2 and not waiting.done():  # noqa: ASYNC110 - it has joined
            await asyncio.sleep(0.01)
        if ends:
            now = client._clock()
            PACER.hold(account, until=now + INTERVAL, now=now)
            line.leave()
        with pytest.raises(MiraklNotYetError):
            await asyncio.wait_for(waiting, 60)
        if ends:
            await asyncio.wait_for(line.join(line.number()), 30)
        line.leave()


# What is no error of this package


async def test_a_connection_that_is_gone_is_an_error_in_the_event(airflow_db, monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_GONE", raising=False)
    (event,) = await fire(trigger(conn_id="gone"))
    with pytest.raises(MiraklError, match="gone"):
        read_event(event)


async def test_a_poll_that_breaks_is_an_error_in_the_event(monkeypatch, mirakl_sandbox_connections):
    polls = ModuleType("polls_that_break")

    def broken(notes):
        raise KeyError("state")
        yield

    polls.broken = broken
    monkeypatch.setitem(sys.modules, "polls_that_break", polls)
    (event,) = await fire(trigger(poll="polls_that_break.broken", arguments={}))
    with pytest.raises(MiraklError, match="KeyError: 'state'"):
        read_event(event)


async def test_shops_of_one_operator_share_one_reading():
    """Mirakl counts the calls of a key, whichever shop they are for."""
    caller = {n: Caller("operator", 2000 + n) for n in (1, 2, 3)}
    asked = {n: JobQuestion(P41, n, caller[n], SINCE) for n in caller}
    assert len({key_of("account", one) for one in asked.values()}) == 1
    sellers = [JobQuestion(P41, n, Caller("shop", 2000 + n), SINCE) for n in (1, 2)]
    assert len({key_of("account", one) for one in sellers}) == 2

    queries = []
    board, mirakl = Board(), Listing([1], [1, 2, 3])

    async def send(call):
        queries.append(dict(call.params))
        return await mirakl.send(call)

    assert (await board.ask(asked[1], INTERVAL, send))["import_id"] == 1
    assert queries[0]["shop_id"] == "2001", "of one shop only its own jobs are read"
    assert await board.ask(asked[2], INTERVAL, send) is None, "the reading is a moment old"
    board._read_at = float("-inf")  # an interval later
    answers = [await board.ask(asked[n], INTERVAL, send) for n in (3, 2)]
    assert "shop_id" not in queries[1], "of several shops all jobs are"
    assert [answer["import_id"] for answer in answers] == [3, 2]
    assert mirakl.calls == ["P51", "P51"]
