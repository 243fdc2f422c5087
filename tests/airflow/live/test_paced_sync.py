"""A catalog goes through a real scheduler, triggerer and worker into a sandbox, whatever dies on the way.

What happens to each product is read from the sandbox's own books, not from ours.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from datetime import timedelta

import httpx
import psutil
import pytest
from leaks import command_lines, in_files, in_text
from live_airflow import AIRFLOW, ON_3, LiveAirflow, Run, kill_process
from operations import MARK
from stages import SetStage, Stage

Running = dict[str, tuple[Stage, Run]]

pytestmark = pytest.mark.matrix
parallel = pytest.mark.skipif(
    not ON_3,
    reason="needs several workers, which Airflow 2 does not have on SQLite: make matrix MATRIX=3.3.2",
)


def not_on_3_0(why: str) -> pytest.MarkDecorator:
    """Leaves a test out where Airflow 3.0 itself stands in the way; 3.1 does not."""
    return pytest.mark.skipif(AIRFLOW == (3, 0), reason=f"Airflow 3.0 {why}: make matrix MATRIX=3.1.8")


@pytest.fixture(scope="module")
def running(stage: SetStage, live: LiveAirflow) -> Running:
    """Scenarios that do not disturb one another. All but the first begin at once, as Dags do in life."""
    if not ON_3:
        deferring = stage("deferring", verify={"deferrable": True})
        return {"deferring": (deferring, deferring.start())}
    stages = [
        stage("sleeping", 15, upsert={"deferrable": False}, verify={"deferrable": False}),
        stage("stumbling", 15),
        stage("shared", 10),
        stage("exhausted", 10, speed=60, upsert={"max_failures": 1, "retries": 50}),
        stage("hopeless", 10, speed=60, upsert={"max_failures": 1}),
        stage("timed", 50, upsert={"execution_timeout": timedelta(seconds=60)}),
        stage("bad_input", 10),
        stage("sent_again", 10, speed=60),
        stage("deferring", verify={"deferrable": True}),  # last: a test has to see it while it is deferred
    ]
    named = {stage.name: stage for stage in stages}
    stumbling = named["stumbling"].sandbox
    stumbling.fault("status", "upsertProducts", skip=1, status=500)
    stumbling.fault("throttle", "upsertProducts", skip=2, retry_after="none")
    stumbling.fault("revoke_token", "upsertProducts", skip=3)
    named["exhausted"].sandbox.fault("status", "upsertProducts", skip=1, times=None)
    named["hopeless"].sandbox.fault("status", "upsertProducts", skip=1, times=None, status=500, body="json")
    bad = named["bad_input"]
    lines = bad.source.read_text().splitlines()
    lines[6] = json.dumps({"id": "p006", "standard_prices": [{"price": {"amount": "12", "currency": "EUR"}}]})
    bad.source.write_text("\n".join(lines))
    # Its clock stands still until its task has met the other client, however long the task takes to start.
    contended = stage("contended", 5, speed=1, clock="stepped")
    assert _call_as_another_client(contended) == 202
    started = {"contended": (contended, contended.start())}
    contended.airflow.until(lambda: 429 in contended.statuses(), "the task is told to wait")
    contended.sandbox.advance(60)
    started |= {stage.name: (stage, stage.start()) for stage in stages}
    return started | {"shared again": (named["shared"], named["shared"].start())}


def _call_as_another_client(stage: Stage) -> int:
    """Send a product from another program with the same credentials; return the status of the reply."""
    client, sandbox = stage.sandbox.settings.clients[0], stage.sandbox
    with httpx.Client(trust_env=False, timeout=30) as http:
        form = {
            "grant_type": "client_credentials",
            "client_id": client.client_id,
            "client_secret": client.secret,
        }
        token = http.post(sandbox.token_url, data=form).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        body = {"products": [{"id": "another"}]}
        return http.post(f"{sandbox.connect_url}/api/products", headers=headers, json=body).status_code


def _secrets(stage: Stage) -> set[str]:
    """Client secret and every token that is still valid."""
    secrets = {client.secret for client in stage.sandbox.settings.clients}
    return secrets | set(stage.sandbox.call(lambda world: world.tokens.dump()))


def once(stage: Stage) -> dict[str, int]:
    """Every product exactly once."""
    return dict.fromkeys(stage.ids, 1)


def test_no_worker_is_held_while_the_triggerer_makes_the_calls(running: Running, live: LiveAirflow) -> None:
    stage, run = running["deferring"]
    task = run.until_task("upsert", "deferred")
    live.until(lambda: not psutil.pid_exists(task.pid or 0), "the process of the deferred task is gone", 60)
    ((classpath, arguments),) = live.query(
        "select classpath, kwargs from trigger join task_instance on trigger_id = trigger.id where run_id = ?",
        run.run_id,
    )
    assert classpath.endswith(".PacedTrigger")
    assert "position" in arguments
    assert [secret for secret in _secrets(stage) if secret in arguments] == []


# --- While the scenarios run ----------------------------------------------------------------------------------


@parallel
@not_on_3_0("gives a task no second try whose process was killed")
def test_a_killed_worker_loses_no_chunk_and_repeats_at_most_the_one_in_flight(
    running: Running, stage: SetStage
) -> None:
    killed = stage("worker_killed", 15, upsert={"retries": 1, "deferrable": False})
    slow = killed.sandbox.fault("delay", "upsertProducts", skip=1, seconds=165)
    run = killed.start()
    run.airflow.until(lambda: slow.struck, "the second call is on its way", 300)
    task = run.task("upsert")
    assert task.state == "running"
    kill_process(task.pid or 0)
    run.succeed()
    assert run.task("upsert").try_number == 2
    first, second, third = killed.ids[:5], killed.ids[5:10], killed.ids[10:]
    assert killed.chunks() in ([first, second, third], [first, second, second, third])


# --- The scenarios --------------------------------------------------------------------------------------------


def test_the_triggerer_makes_the_calls(running: Running) -> None:
    stage, run = running["deferring"]
    run.succeed()
    assert stage.chunks() == [stage.ids[:5], stage.ids[5:10], stage.ids[10:15], stage.ids[15:]]
    assert stage.statuses() == [202] * 4
    assert run.task("upsert").try_number == 1
    log = run.logged("upsert", "chunk 1/4", "chunk 4/4")  # said in the triggerer, and shown with the task
    assert log.count("The triggerer makes the calls from here on") == 1
    assert run.result("upsert")["sent"] == 20
    outcome = run.result("verify")
    assert (outcome["sent"], outcome["succeeded"], outcome["failed"], outcome["unknown"]) == (20, 20, 0, 0)
    assert set(stage.statuses("listProducts")) == {200}


@parallel
def test_without_deferral_the_result_is_the_same(running: Running) -> None:
    stage, run = running["sleeping"]
    run.succeed()
    assert stage.sent() == once(stage)
    assert stage.statuses() == [202] * 3
    assert run.result("upsert")["sent"] == 15
    assert run.result("verify")["succeeded"] == 15
    assert "deferred" not in run.log("upsert")


@parallel
def test_faults_of_mirakl_are_waited_for_and_fail_nothing(running: Running) -> None:
    stage, run = running["stumbling"]
    run.succeed()
    assert stage.sent() == once(stage)
    assert sorted(stage.statuses()) == [202, 202, 202, 401, 429, 500]
    assert run.task("upsert").max_tries == 0, "a failure would have ended it"
    run.logged("upsert", "Failure 1 of 5 in a row")


@parallel
def test_a_retry_continues_with_the_chunk_that_failed_and_with_the_file_it_planned(running: Running) -> None:
    stage, run = running["exhausted"]
    run.until_task("upsert", "up_for_retry")
    stage.write_source(brand="after")
    stage.sandbox.call(lambda world: world.faults.clear())
    run.succeed()
    assert run.task("upsert").try_number > 1
    assert stage.sent() == once(stage)
    stage.sandbox.advance(60)
    assert {product["brand"] for product in stage.sandbox.products()} == {"before"}
    run.logged("upsert", "changed since it was planned")


@parallel
def test_what_fails_again_and_again_fails_the_task_and_says_why(running: Running) -> None:
    stage, run = running["hopeless"]
    assert run.until_done() == "failed"
    run.logged(
        "upsert", "upsertProducts: POST /api/products answered 500", "The server met an unexpected condition."
    )
    assert stage.chunks() == [stage.ids[:5]]


@parallel
def test_execution_timeout_counts_the_waits(running: Running) -> None:
    stage, run = running["timed"]
    assert run.until_done() == "failed"
    # Airflow's own watch over deferrals, or the trigger's, whichever comes first.
    said = re.compile("TaskDeferralTimeout|execution_timeout of 0:01:00 passed")
    run.airflow.until(lambda: said.search(run.log("upsert")), "the log tells what passed", 300)
    assert len(stage.chunks()) < 10


@parallel
def test_another_client_of_the_account_is_waited_for(running: Running) -> None:
    stage, run = running["contended"]
    run.succeed()
    assert 429 in stage.statuses()
    assert run.task("upsert").try_number == 1
    assert stage.sent() == once(stage) | {"another": 1}


@parallel
def test_bad_input_names_line_and_field_and_costs_no_call(running: Running) -> None:
    stage, run = running["bad_input"]
    assert run.until_done() == "failed"
    run.logged("upsert", "line 7", "standard_prices[0].price.amount")
    assert stage.sandbox.journal() == []


@parallel
def test_clearing_a_finished_task_sends_again(running: Running) -> None:
    stage, run = running["sent_again"]
    run.succeed()
    stage.write_source(brand="after")
    run.clear("upsert")
    run.airflow.until(lambda: len(stage.chunks()) == 4, "both calls made again")
    run.succeed()
    assert stage.sent() == dict.fromkeys(stage.ids, 2)
    stage.sandbox.advance(60)
    assert {product["brand"] for product in stage.sandbox.products()} == {"after"}


@parallel
@not_on_3_0("never starts a running task again that was cleared")
def test_clearing_a_half_done_task_begins_anew(stage: SetStage) -> None:
    stages = [
        stage("begun_anew", 10, upsert={"max_failures": 1000}),
        stage("begun_anew_sleeping", 10, upsert={"deferrable": False, "retries": 1, "max_failures": 1000}),
    ]
    for stage_ in stages:  # the second call waits for the clearing, however long that takes
        stage_.sandbox.fault("status", "upsertProducts", skip=1, times=None, status=503)
    runs = [stage.start() for stage in stages]
    for stage_, run in zip(stages, runs, strict=True):
        stage_.until_accepted(1)
        run.until_task("upsert", "deferred", "running")
        run.clear("upsert")
    for stage_, run in zip(stages, runs, strict=True):
        run.until_try("upsert", 2)
        refused = stage_.statuses().count(503)
        stage_.until_refused(503, refused + 1)  # the new try calls; of the old one nothing is left
        stage_.sandbox.call(lambda world: world.faults.clear())
    for stage_, run in zip(stages, runs, strict=True):
        run.succeed()
        first, second = stage_.ids[:5], stage_.ids[5:]
        assert stage_.chunks() == [first, first, second]


@parallel
def test_two_runs_of_one_account_take_turns_without_a_429(running: Running) -> None:
    stage, first = running["shared"]
    _, second = running["shared again"]
    first.succeed()
    second.succeed()
    one, two = stage.ids[:5], stage.ids[5:]
    assert Counter(map(tuple, stage.chunks())) == {tuple(one): 2, tuple(two): 2}
    assert stage.statuses() == [202] * 4


# --- Something that all use dies ------------------------------------------------------------------------------


def test_a_killed_triggerer_delays_and_repeats_nothing(stage: SetStage, live: LiveAirflow) -> None:
    waiting = stage("triggerer_killed", 15)
    run = waiting.start()
    run.until_task("upsert", "deferred")
    run.logged("upsert", "chunk 1/3", timeout=180)  # noted; the next call is 20 s away
    live.kill("triggerer")
    live.start("triggerer")
    run.succeed()
    assert run.task("upsert").try_number == 1
    assert waiting.statuses() == [202] * 3
    assert waiting.sent() == once(waiting)


@parallel
def test_a_killed_scheduler_with_its_workers_repeats_nothing(stage: SetStage, live: LiveAirflow) -> None:
    deferring = stage("scheduler_killed", 20)
    sleeping = stage("workers_killed", 20, upsert={"deferrable": False, "retries": 1})
    runs = {"scheduler_killed": deferring.start()}
    runs["scheduler_killed"].until_task("upsert", "deferred")
    runs["workers_killed"] = sleeping.start()
    sleeping.until_accepted(1)
    runs["workers_killed"].logged("upsert", "chunk 1/4", timeout=180)  # noted; its next call is 20 s away
    live.kill("scheduler")
    live.start("scheduler")
    for each in (deferring, sleeping):
        runs[each.name].succeed()
        assert each.sent() == once(each)
    assert runs["scheduler_killed"].task("upsert").try_number == 1
    assert runs["workers_killed"].task("upsert").try_number == 2


# --- What is left behind --------------------------------------------------------------------------------------


def test_keys_and_tokens_are_nowhere(running: Running, live: LiveAirflow) -> None:
    """Airflow here encrypts nothing, and its connections are kept outside of its home: what is found has leaked.

    ``test_ui.py`` saves connections in Airflow's database on purpose, so it has to come later, as its name makes it.
    """
    secrets = set().union(*(_secrets(stage) for stage, _ in running.values()))
    assert any(MARK in secret for secret in secrets), "no form differs from the key itself"
    assert re.search(rb"\[debug|DEBUG", live.component_log("triggerer").read_bytes()), "not at debug level"
    assert in_files(live.home, secrets) == []
    commands = command_lines(live.home)
    assert len(commands) >= len(live.commands) or sys.platform != "linux"
    assert in_text(b"\n".join(commands), secrets) == []
