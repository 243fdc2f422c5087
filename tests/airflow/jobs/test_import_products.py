"""MiraklImportProductsOperator against the sandbox, with and without deferral, through crashes and retries."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import time
from datetime import timedelta
from pathlib import Path

import pytest

from airflow_provider_mirakl.client.pacing import PACER
from airflow_provider_mirakl.exceptions import (
    MiraklConfigurationError,
    MiraklInputError,
    MiraklItemsFailedError,
    MiraklJobFailedError,
    MiraklJobTimeoutError,
    MiraklTransportError,
    MiraklUnclearSubmissionError,
)
from airflow_provider_mirakl.operators.products import MiraklImportProductsOperator
from airflow_provider_mirakl.triggers.moment import MomentTrigger

pytestmark = [pytest.mark.airflow, pytest.mark.matrix]

HEAD = "category;shop_sku;title;ean;brand\n"
GOOD = HEAD + "headphones;A-1;One;2000000000001;nordlys\nheadphones;A-2;Two;2000000000002;akeba\n"
MIXED = GOOD + "headphones;A-3;;2000000000003;nordlys\nmoon;A-4;Four;2000000000004;nordlys\n"


@pytest.fixture
def source(tmp_path):
    file = tmp_path / "products.csv"
    file.write_text(GOOD, encoding="utf-8")
    return file


@pytest.fixture(params=[False, True], ids=["worker", "deferrable"])
def import_products(request, worker, source, mirakl_sandbox_connections):
    """Makes a worker for the operator; each run is a try of the same task."""

    def make(max_tries=3, **options):
        options = {"source": str(source), "mirakl_conn_id": "mirakl_shop"} | options
        return worker(
            lambda: MiraklImportProductsOperator(task_id="task", deferrable=request.param, **options),
            max_tries=max_tries,
        )

    make.deferrable = request.param
    return make


# The sandbox's clock runs: a state that a poll has to find lasts longer than any test.
stays_sent = pytest.mark.mirakl_sandbox_settings(integration_seconds=3e5)


def submitted(sandbox):
    return len([call for call in sandbox.journal("P41") if call["status"] == 201])


def book(result):
    return json.loads((Path(result["folder"]) / "job.json").read_text(encoding="utf-8"))["content"]


@pytest.fixture
def end_the_import(import_products, mirakl_sandbox):
    """Ends an import that waits until the task is deferred. With a worker that waits itself, none waits so long."""
    if import_products.deferrable:
        mirakl_sandbox.world.settings.queue_seconds = 1e5
    return lambda: mirakl_sandbox.advance(5e5)


def test_a_good_file_is_imported(import_products, mirakl_sandbox, end_the_import):
    task = import_products(until="complete")
    task.meanwhile = end_the_import
    result = task.run()
    assert (result["sent"], result["succeeded"], result["failed"], result["unknown"]) == (2, 2, 0, 0)
    (job_id,) = result["job_ids"]
    assert result["states"] == {job_id: "COMPLETE"}
    assert set(result["reports"][job_id]) == {"new_product_report", "transformed_file"}
    new = Path(result["reports"][job_id]["new_product_report"]).read_text(encoding="utf-8")
    assert "A-1" in new
    assert task.pushed["job_ids"] == [job_id]
    assert result["rejects"] is None
    assert submitted(mirakl_sandbox) == 1
    assert len(task.deferrals) == import_products.deferrable


@stays_sent
def test_sent_is_enough_unless_told_otherwise(import_products, mirakl_sandbox):
    result = import_products().run()
    assert set(result["states"].values()) == {"SENT"}
    assert (result["succeeded"], result["unknown"]) == (0, 2)


def test_bad_lines_fail_the_task_and_are_input_of_the_next(import_products, source, mirakl_sandbox, caplog):
    source.write_text(MIXED, encoding="utf-8")
    task = import_products(until="complete")
    with pytest.raises(MiraklItemsFailedError, match="2 of 4 items failed; 0 are allowed") as caught:
        task.run()
    assert "1000" in str(caught.value)
    result = import_products(until="complete", max_failed_items=2).run()
    assert (result["sent"], result["succeeded"], result["failed"]) == (4, 2, 2)
    rows = [json.loads(line) for line in Path(result["rows"][0]).read_text(encoding="utf-8").splitlines()]
    assert [(row["item_id"], row["status"], row["code"]) for row in rows] == [
        ("A-3", "failed", "1000"),
        ("A-4", "failed", "1002"),
    ]
    rejects = Path(result["rejects"]).read_text(encoding="utf-8")
    assert rejects.splitlines()[0].replace('"', "") == HEAD.strip()
    fixed = rejects.replace('"";"2000000000003"', '"Three";"2000000000003"').replace("moon", "headphones")
    next_source = source.with_name("fixed.csv")
    next_source.write_text(fixed, encoding="utf-8")
    again = import_products(source=str(next_source), until="complete").run()
    assert (again["sent"], again["succeeded"], again["failed"]) == (2, 2, 0)


def test_a_ratio_of_failures_can_be_allowed(import_products, source, mirakl_sandbox):
    source.write_text(MIXED, encoding="utf-8")
    assert import_products(max_failed_ratio=0.5, until="complete").run()["failed"] == 2


def test_a_retry_after_failed_lines_sends_nothing_and_says_the_same(import_products, source, mirakl_sandbox):
    source.write_text(MIXED, encoding="utf-8")
    task = import_products(until="complete")
    words = []
    for _ in range(2):
        with pytest.raises(MiraklItemsFailedError) as caught:
            task.run()
        words.append(str(caught.value))
    assert words[0] == words[1]
    assert submitted(mirakl_sandbox) == 1


def test_a_clear_sends_again_and_changed_input_is_a_new_job(import_products, source, mirakl_sandbox):
    mirakl_sandbox.world.settings.limits = "off"
    first = import_products(max_tries=3)
    a = first.run()["job_ids"]
    assert first.run()["job_ids"] == a
    b = import_products(max_tries=7).run()["job_ids"]
    source.write_text(GOOD.replace("One", "Uno"), encoding="utf-8")
    c = import_products(max_tries=7).run()["job_ids"]
    assert len({*a, *b, *c}) == 3
    assert submitted(mirakl_sandbox) == 3


class Killed(BaseException):
    """The worker is gone."""


def kill_after(monkeypatch, name):
    """The worker dies right after a step, once."""
    from airflow_provider_mirakl.jobs.book import JobBook

    step = getattr(JobBook, name)
    left = [1]

    def dying(self, *args, **kwargs):
        result = step(self, *args, **kwargs)
        if left:
            left.pop()
            raise Killed
        return result

    monkeypatch.setattr(JobBook, name, dying)


@pytest.mark.parametrize("step", ["intend", "submitted", "ended"])
def test_a_worker_that_dies_at_any_step_never_submits_twice(
    import_products, mirakl_sandbox, monkeypatch, step
):
    whole = import_products(until="complete", max_tries=9).run()
    mirakl_sandbox.reset()
    kill_after(monkeypatch, step)
    task = import_products(until="complete")
    with pytest.raises(Killed):
        task.run()
    result = task.run()
    assert submitted(mirakl_sandbox) == 1
    unlike = {"job_ids", "states", "reports", "rows", "folder"}
    assert {k: v for k, v in result.items() if k not in unlike} == {
        k: v for k, v in whole.items() if k not in unlike
    }
    assert set(result["states"].values()) == {"COMPLETE"}


def test_a_reply_that_is_lost_is_looked_up_and_not_sent_again(import_products, mirakl_sandbox, caplog):
    mirakl_sandbox.fault("reset_after", "P41")
    result = import_products().run()
    assert len(mirakl_sandbox.journal("P41")) == 1
    assert len(result["job_ids"]) == 1


def test_a_worker_that_dies_between_reply_and_note_is_looked_up(import_products, mirakl_sandbox, monkeypatch):
    from airflow_provider_mirakl.jobs.book import JobBook

    submitted_note, left = JobBook.submitted, [1]

    def dying(self, entry, job_id):
        if left:
            left.pop()
            raise Killed
        submitted_note(self, entry, job_id)

    monkeypatch.setattr(JobBook, "submitted", dying)
    task = import_products()
    with pytest.raises(Killed):
        task.run()
    result = task.run()
    assert submitted(mirakl_sandbox) == 1
    assert mirakl_sandbox.journal("P51")
    assert len(result["job_ids"]) == 1


def test_what_never_arrived_and_is_not_listed_is_sent_again_in_the_same_try(import_products, mirakl_sandbox):
    mirakl_sandbox.fault("reset_before", "P41")
    assert len(import_products().run()["job_ids"]) == 1
    assert len(mirakl_sandbox.journal("P51")) >= 2
    assert submitted(mirakl_sandbox) == 1


def test_what_is_lost_twice_is_left_to_a_retry(import_products, mirakl_sandbox):
    mirakl_sandbox.fault("reset_before", "P41", times=2)
    task = import_products()
    with pytest.raises(MiraklTransportError):
        task.run()
    assert len(task.run()["job_ids"]) == 1
    assert submitted(mirakl_sandbox) == 1


def import_of_another_task(text):
    """Another task of the same shop, with a work folder of its own: what it submitted is not noted for ours."""
    from airflow_provider_mirakl.api.caller import Caller
    from airflow_provider_mirakl.api.products import import_products as call
    from airflow_provider_mirakl.hooks.mirakl import MiraklHook

    with MiraklHook("mirakl_shop").get_conn() as client:
        return client.send(call(text.encode(), "other.csv", caller=Caller("shop")))


def test_an_import_of_another_task_is_not_taken_for_the_own(import_products, source, mirakl_sandbox):
    """One that fits by time is no proof: the own file was never taken, and would be told as imported."""
    mirakl_sandbox.world.settings.limits = "off"
    other = import_of_another_task(MIXED)
    mirakl_sandbox.fault("reset_before", "P41")
    result = import_products(until="complete").run()
    assert result["job_ids"] != [str(other)]
    assert result["sent"] == 2
    assert submitted(mirakl_sandbox) == 2


def test_an_import_that_another_task_has_noted_is_not_taken_for_the_own(import_products, mirakl_sandbox):
    mirakl_sandbox.world.settings.limits = "off"
    (other,) = import_products(wait_for_completion=False, max_tries=1).run()["job_ids"]
    mirakl_sandbox.fault("reset_after", "P41")
    result = import_products().run()
    assert result["job_ids"] not in ([str(other)], [])
    assert len(mirakl_sandbox.journal("P41")) == 2


def test_two_imports_that_fit_are_left_to_a_person(import_products, source, mirakl_sandbox):
    mirakl_sandbox.world.settings.limits = "off"
    import_of_another_task(GOOD)
    mirakl_sandbox.fault("reset_after", "P41")
    task = import_products()
    for _ in range(2):
        with pytest.raises(MiraklUnclearSubmissionError, match="may be any of") as caught:
            task.run()
    assert len(caught.value.candidates) == 2
    assert len(mirakl_sandbox.journal("P41")) == 2


def test_an_import_that_failed_as_a_whole_says_why_and_is_sent_again_by_a_retry(
    import_products, source, mirakl_sandbox
):
    mirakl_sandbox.world.settings.limits = "off"
    mirakl_sandbox.fault("fail_job", "P41", status="TRANSFORMATION_FAILED")
    task = import_products()
    with pytest.raises(MiraklJobFailedError, match="TRANSFORMATION_FAILED: The job ended") as caught:
        task.run()
    assert caught.value.state == "TRANSFORMATION_FAILED"
    assert len(task.run()["job_ids"]) == 1
    assert submitted(mirakl_sandbox) == 2


@stays_sent
def test_a_job_that_takes_too_long_is_taken_up_by_the_retry(import_products, mirakl_sandbox):
    task = import_products(until="complete", timeout=0.05)
    with pytest.raises(MiraklJobTimeoutError, match="continues in Mirakl"):
        task.run()
    mirakl_sandbox.advance(4e5)
    assert set(task.run()["states"].values()) == {"COMPLETE"}
    assert submitted(mirakl_sandbox) == 1


@stays_sent
def test_a_source_that_is_gone_does_not_keep_a_retry_from_its_job(import_products, source, mirakl_sandbox):
    source.write_text(MIXED, encoding="utf-8")
    task = import_products(until="complete", timeout=0.05, max_failed_items=2)
    with pytest.raises(MiraklJobTimeoutError):
        task.run()
    source.unlink()
    mirakl_sandbox.advance(4e5)
    result = task.run()
    assert result["failed"] == 2
    assert (
        Path(result["rejects"]).read_text(encoding="utf-8").count("\n") == 3
    )  # out of the copy that was sent
    assert submitted(mirakl_sandbox) == 1


@pytest.mark.parametrize(("failures", "borne"), [(3, True), (9, False)])
def test_looks_that_fail_are_borne_up_to_a_limit(
    import_products, mirakl_sandbox, monkeypatch, failures, borne
):
    from airflow_provider_mirakl.exceptions import MiraklServerError
    from airflow_provider_mirakl.hooks.base import MiraklBaseHook

    settings = MiraklBaseHook.settings.fget
    monkeypatch.setattr(
        MiraklBaseHook, "settings", property(lambda self: dataclasses.replace(settings(self), max_attempts=1))
    )
    mirakl_sandbox.fault("status", "P42", status=503, times=failures)
    mirakl_sandbox.fault("status", "P51", status=503, times=failures)
    task = import_products(max_failures=7)
    if not borne:
        mirakl_sandbox.fault("status", "P42", status=503, times=100)
        mirakl_sandbox.fault("status", "P51", status=503, times=100)
        with pytest.raises(MiraklServerError):
            task.run()
        return
    assert set(task.run()["states"].values()) <= {"SENT", "COMPLETE"}


@stays_sent
def test_an_unknown_state_is_waited_through_with_a_warning(import_products, mirakl_sandbox, caplog):
    mirakl_sandbox.fault("unknown_enum", "P42", field="import_status", times=1)
    caplog.set_level(logging.WARNING)
    assert set(import_products().run()["states"].values()) == {"SENT"}
    assert "'NEVER_SEEN_BEFORE', which Mirakl does not document" in caplog.text


def test_a_second_import_waits_for_the_quarter_of_an_hour(import_products, mirakl_sandbox):
    import_products(max_tries=1).run()
    task = import_products(max_tries=2)
    task.run()
    assert submitted(mirakl_sandbox) == 2
    first, second = [call["moment"] for call in mirakl_sandbox.journal("P41") if call["status"] == 201]
    assert second - first >= 900


def test_execution_timeout_counts_both_waits(import_products, mirakl_sandbox, end_the_import, monkeypatch):
    connection = json.loads(os.environ["AIRFLOW_CONN_MIRAKL_SHOP"])
    extra = dict(connection.get("extra") or {}) | {"max_wait": 0}  # the task waits, not the client
    if import_products.deferrable:  # P41's 15 minutes become 90 s, all but one second of which is skipped
        extra["interval_factor"] = 0.1
    monkeypatch.setenv("AIRFLOW_CONN_MIRAKL_SHOP", json.dumps(connection | {"extra": extra}))
    import_products(max_tries=1, wait_for_completion=False).run()
    task = import_products(max_tries=2, execution_timeout=timedelta(seconds=100))
    fire = task.fire

    def skipping(trigger):
        if isinstance(trigger, MomentTrigger):
            PACER.forget()
            mirakl_sandbox.forget_limits()
            trigger.moment = time.time() + 1
        else:
            end_the_import()
        return fire(trigger)

    task.fire = skipping
    task.run()
    # What was left of the 100 s: less than when the previous wait ended, and no less than when the deferral was seen.
    before = 100.0
    for limit, left_at, ended in zip(task.timeouts, task.left_at, task.back_at, strict=True):
        assert 100 - (left_at - task.began_at) <= limit.total_seconds() <= before
        before = 100 - (ended - task.began_at)
    assert len(task.timeouts) == (2 if import_products.deferrable else 0)


def test_without_waiting_the_task_gives_the_ids(import_products, mirakl_sandbox):
    result = import_products(wait_for_completion=False).run()
    assert result["job_ids"] == [str(book(result)["entries"][0]["job_id"])]
    assert not mirakl_sandbox.journal("P42")


def test_a_killed_task_says_which_import_goes_on(worker, source, mirakl_sandbox_connections, caplog, capsys):
    operator = MiraklImportProductsOperator(
        task_id="task", source=str(source), mirakl_conn_id="mirakl_shop", wait_for_completion=False
    )
    result = operator.execute({"ti": worker(lambda: operator).ti})
    operator.on_kill()
    entry = book(result)["entries"][0]
    assert entry["phase"] == "abandoned"
    said = caplog.text + capsys.readouterr().out  # Airflow 3 prints, Airflow 2 logs
    assert f"{entry['job_id']} continues in Mirakl" in said


def test_a_retry_takes_up_what_a_killed_try_abandoned(
    worker, source, mirakl_sandbox, mirakl_sandbox_connections
):
    options = {"task_id": "task", "source": str(source), "mirakl_conn_id": "mirakl_shop"}
    killed = MiraklImportProductsOperator(wait_for_completion=False, **options)
    job_ids = killed.execute({"ti": worker(lambda: killed).ti})["job_ids"]
    killed.on_kill()
    result = worker(lambda: MiraklImportProductsOperator(**options)).run()
    assert result["job_ids"] == [str(job_id) for job_id in job_ids]
    assert book(result)["entries"][0]["phase"] == "done"
    assert submitted(mirakl_sandbox) == 1


def test_the_operator_names_the_shop(worker, source, mirakl_sandbox, mirakl_sandbox_connections):
    def make(**options):
        return worker(
            lambda: MiraklImportProductsOperator(
                task_id="task", source=str(source), mirakl_conn_id="mirakl_operator", **options
            )
        )

    with pytest.raises(MiraklInputError, match="needs a shop"):
        make().run()
    make(shop_id="2001").run()
    assert [call["shop"] for call in mirakl_sandbox.journal("P41")] == [2001]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"poll_interval": 5}, "poll_interval must be 60 s or more"),
        ({"max_failed_ratio": 3}, "max_failed_ratio"),
        ({"shop_id": "mine"}, "shop_id must be one of Mirakl's numeric ids, not 'mine'"),
    ],
)
def test_options_that_cannot_work_are_refused_before_a_call(import_products, mirakl_sandbox, options, words):
    with pytest.raises(MiraklConfigurationError, match=words):
        import_products(**options).run()
    assert not mirakl_sandbox.journal()


def test_a_missing_file_is_named(import_products, mirakl_sandbox):
    with pytest.raises(MiraklInputError, match=r"nowhere\.csv"):
        import_products(source="/nowhere.csv").run()
    assert not mirakl_sandbox.journal()


def test_a_deferral_that_nobody_answers_ends_a_little_after_the_timeout(import_products, end_the_import):
    task = import_products(timeout=3600)
    task.meanwhile = end_the_import
    task.run()
    for limit in task.timeouts:
        assert timedelta(seconds=3600) < limit <= timedelta(seconds=3600 + 600)
    assert bool(task.timeouts) == import_products.deferrable
