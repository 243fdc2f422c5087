"""A file of offers (OF01) of which it is not known whether Mirakl accepted it: it is imported once, and it is ours."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_mirakl.exceptions import (
    MiraklInputError,
    MiraklJobFailedError,
    MiraklPermissionError,
    MiraklRateLimitError,
    MiraklUnclearSubmissionError,
)
from airflow_provider_mirakl.jobs.book import Claim, JobBook
from airflow_provider_mirakl.operators.offers import MiraklImportOffersOperator, MiraklUpsertOffersOperator
from airflow_provider_mirakl.runtime.submitting import Submitter
from airflow_provider_mirakl.sandbox import Sandbox
from airflow_provider_mirakl.sandbox.systems.jobs import Jobs
from airflow_provider_mirakl.sandbox.systems.offers import Offers

pytestmark = [pytest.mark.airflow, pytest.mark.matrix]

HEAD = "sku;product-id;product-id-type;price;quantity;state;update-delete\n"
WAITS = pytest.mark.mirakl_sandbox_settings(queue_seconds=3_600)
"""The import waits in Mirakl's queue: it has read no line. 10 s of real time."""

Importing = Callable[..., Any]


def offers(*numbers: int) -> str:
    return HEAD + "".join(f"O-{n};SKU-{n:03};SKU;10;5;11;\n" for n in numbers)


@pytest.fixture(params=[False, True], ids=["worker", "triggerer"])
def importing(
    request: pytest.FixtureRequest,
    worker: Any,
    tmp_path: Path,
    mirakl_sandbox: Sandbox,
    mirakl_sandbox_connections: object,
) -> Importing:
    """A task that imports a file of offers, and may be tried again. Where it waits makes no difference."""
    mirakl_sandbox.world.settings.limits = "off"

    def make(text: str = offers(1, 2, 3), name: str = "offers.csv", **options: Any) -> Any:
        source = tmp_path / name
        source.write_text(text, encoding="utf-8")
        options = {
            "mirakl_conn_id": "mirakl_shop", "max_failed_items": None, "deferrable": request.param,
        } | options  # fmt: skip
        return worker(
            lambda: MiraklImportOffersOperator(task_id="task", source=str(source), **options), max_tries=3
        )

    return make


def imports(sandbox: Sandbox) -> list[str]:
    return sandbox.call(lambda world: [job.id for job in world.part(Jobs).all.values() if job.kind == "OF01"])


def again(task: Any) -> Any:
    """The next try."""
    task.ti.try_number += 1
    return task.run()


class KilledError(BaseException):
    """The worker dies."""


def killed_before_the_note(task: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker dies with Mirakl's reply in its hands."""

    def dies(*_: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(JobBook, "submitted", dies)
        with pytest.raises(KilledError):
            task.run()


def test_an_import_of_a_killed_try_that_has_ended_is_found(
    importing: Importing, mirakl_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mirakl may recognize a repeated request only while the import runs."""
    task = importing()
    killed_before_the_note(task, monkeypatch)
    mirakl_sandbox.advance(3600)
    assert again(task)["job_ids"] == imports(mirakl_sandbox)
    assert len(mirakl_sandbox.journal("OF01")) == 1


@pytest.mark.parametrize("ahead", [300, -1200])
def test_an_import_of_a_try_killed_on_a_machine_with_another_clock_is_not_sent_again(
    importing: Importing, mirakl_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    """It was killed before a reply had shown Mirakl's clock; the retry, on another machine, cannot know by how much."""
    mirakl_sandbox.world.settings.queue_seconds = mirakl_sandbox.world.settings.run_seconds = 0
    task = importing()
    with monkeypatch.context() as patch:
        patch.setattr(
            "airflow_provider_mirakl.jobs.book.time", SimpleNamespace(time=lambda: time.time() + ahead)
        )
        killed_before_the_note(task, monkeypatch)
    with pytest.raises(MiraklUnclearSubmissionError, match="may be any of") as caught:
        again(task)
    assert list(caught.value.candidates) == imports(mirakl_sandbox)
    assert len(mirakl_sandbox.journal("OF01")) == 1


@WAITS
def test_an_import_of_a_killed_try_that_waits_is_not_sent_again(
    importing: Importing, mirakl_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mirakl would recognize the same request, but the import may end while the request is on its way."""
    task = importing(wait_for_completion=False)
    killed_before_the_note(task, monkeypatch)
    assert again(task)["job_ids"] == imports(mirakl_sandbox)
    assert len(mirakl_sandbox.journal("OF01")) == 1
    assert len(mirakl_sandbox.journal("OF04")) > 1, "listed again until its lines were read"


@WAITS
def test_no_worker_waits_for_the_next_look(importing: Importing, mirakl_sandbox: Sandbox) -> None:
    mirakl_sandbox.fault("reset_after", "OF01", times=1)
    task = importing(wait_for_completion=False)
    task.run()
    looks = [arguments["state"]["looks"] for _, arguments in task.deferrals]
    assert bool(looks) is task.make().deferrable
    assert looks == sorted(looks), "no look is forgotten"


@WAITS
def test_mirakl_s_clock_is_noted_before_another_worker_may_look(
    importing: Importing, mirakl_sandbox: Sandbox, tmp_path: Path
) -> None:
    """The time of the submission is by the clock of the machine that sent it, and so must be its difference."""
    mirakl_sandbox.fault("reset_after", "OF01", times=1)
    mirakl_sandbox.fault("throttle", "OF04", retry_after="1", times=1)
    task, noted = importing(wait_for_completion=False), []

    def read() -> None:
        (book,) = (tmp_path / "work").rglob("job.json")
        noted.append(json.loads(book.read_text())["content"]["entries"][0]["clock"])

    task.meanwhile = read
    task.run()
    assert None not in noted
    assert bool(noted) is task.make().deferrable


def offer(number: int) -> dict[str, Any]:
    """An offer as an object."""
    return {
        "shop_sku": f"O-{number}", "product_id": f"SKU-00{number}", "product_id_type": "SKU", "price": 10,
        "quantity": 1, "state_code": "11", "update_delete": "update",
    }  # fmt: skip


def several(worker: Any, deferrable: bool, **options: Any) -> Any:
    """Three offers, each a call of OF24, and a search for what is lost."""
    source = [offer(number) for number in (1, 2, 3)]
    options = {
        "batch_size": 1, "on_unclear": "search", "max_failed_items": None, "deferrable": deferrable,
        "mirakl_conn_id": "mirakl_shop", "wait_for_completion": False,
    } | options  # fmt: skip
    return worker(lambda: MiraklUpsertOffersOperator(task_id="task", source=source, **options))


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_lost_reply_whose_import_was_found_does_not_count_against_the_next(
    worker: Any, mirakl_sandbox: Sandbox, mirakl_sandbox_connections: object, deferrable: bool
) -> None:
    mirakl_sandbox.world.settings.limits = "off"
    mirakl_sandbox.world.settings.queue_seconds = mirakl_sandbox.world.settings.run_seconds = 0
    mirakl_sandbox.fault("reset_after", "OF24", times=1)
    mirakl_sandbox.fault("reset_before", "OF24", skip=1, times=1)
    result = several(worker, deferrable).run()
    assert len(set(result["job_ids"])) == 3
    assert len(mirakl_sandbox.journal("OF24")) == 4


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_later_batch_that_is_refused_without_end_ends(
    worker: Any, mirakl_sandbox: Sandbox, mirakl_sandbox_connections: object, deferrable: bool
) -> None:
    """That the first one is known does not begin the count anew."""
    mirakl_sandbox.world.settings.limits = "off"
    mirakl_sandbox.fault("throttle", "OF24", retry_after="1", skip=1, times=10_000)
    with pytest.raises(MiraklRateLimitError):
        several(worker, deferrable, timeout=3).run()


@WAITS
def test_an_import_that_waits_and_whose_lines_cannot_be_counted_is_not_guessed(
    importing: Importing, mirakl_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = importing(name="offers.xml", wait_for_completion=False, lint="off")
    killed_before_the_note(task, monkeypatch)
    with pytest.raises(MiraklUnclearSubmissionError, match="may be any of"):
        again(task)
    assert len(mirakl_sandbox.journal("OF01")) == 1


@pytest.mark.mirakl_sandbox_settings(queue_seconds=0, run_seconds=3000)
def test_an_import_of_a_killed_try_that_runs_is_not_sent_again(
    importing: Importing, mirakl_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could end before the request arrives, and Mirakl would import the file a second time."""
    task = importing(wait_for_completion=False)
    killed_before_the_note(task, monkeypatch)
    assert again(task)["job_ids"] == imports(mirakl_sandbox)
    assert len(mirakl_sandbox.journal("OF01")) == 1


@WAITS
@pytest.mark.parametrize("with_products", [True, False])
def test_an_import_whose_reply_is_lost_is_sent_once(
    importing: Importing, mirakl_sandbox: Sandbox, with_products: bool
) -> None:
    mirakl_sandbox.fault("reset_after", "OF01", times=1)
    result = importing(with_products=with_products, wait_for_completion=False).run()
    assert result["job_ids"] == imports(mirakl_sandbox)
    assert len(mirakl_sandbox.journal("OF01")) == 1


def test_an_import_whose_reply_is_lost_and_that_has_ended_is_found(
    importing: Importing, mirakl_sandbox: Sandbox
) -> None:
    mirakl_sandbox.world.settings.queue_seconds = mirakl_sandbox.world.settings.run_seconds = 0
    mirakl_sandbox.fault("reset_after", "OF01", times=1)
    assert importing().run()["job_ids"] == imports(mirakl_sandbox)
    assert len(mirakl_sandbox.journal("OF01")) == 1


def test_an_import_in_another_mode_is_not_taken_for_ours(
    importing: Importing, mirakl_sandbox: Sandbox, tmp_path: Path
) -> None:
    """As many lines, for the same shop, at the same time: only its mode differs. Ours did not arrive."""
    foreign = importing(offers(7, 8, 9), "foreign.csv", import_mode="REPLACE", max_delete_ratio=1)
    foreign.ti.run_id = "another program"
    (theirs,) = foreign.run()["job_ids"]
    shutil.rmtree(tmp_path / "work" / "submitted")  # another program notes nothing here
    mirakl_sandbox.fault("reset_before", "OF01", times=1)
    (ours,) = importing().run()["job_ids"]
    assert ours != theirs
    assert imports(mirakl_sandbox) == [theirs, ours]


def test_two_tasks_whose_replies_are_lost_do_not_take_the_import_of_the_other(
    importing: Importing, mirakl_sandbox: Sandbox
) -> None:
    """As many lines, for the same shop, at the same time, and one import: each may be the one that sent it."""
    mirakl_sandbox.world.settings.queue_seconds = mirakl_sandbox.world.settings.run_seconds = 0
    first, second = importing(), importing(offers(4, 5, 6), "more.csv")
    second.ti.map_index = 1
    mirakl_sandbox.fault("reset_after", "OF01", times=1)
    mirakl_sandbox.fault("status", "OF04", times=1, status=403)
    with pytest.raises(MiraklPermissionError):
        first.run()
    mirakl_sandbox.fault("reset_before", "OF01", times=1)
    for task in (second, first):
        with pytest.raises(MiraklUnclearSubmissionError, match="may be any of") as caught:
            again(task)
        assert list(caught.value.candidates) == imports(mirakl_sandbox)
    assert len(imports(mirakl_sandbox)) == 1, "none is sent again"


@pytest.mark.parametrize("noted", [True, False])
def test_an_import_whose_reply_another_task_awaits_is_not_taken(
    importing: Importing, mirakl_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, noted: bool
) -> None:
    """Ours did not arrive. The other task notes its import before the next look, or was killed and never does."""
    mirakl_sandbox.world.settings.queue_seconds = mirakl_sandbox.world.settings.run_seconds = 0
    monkeypatch.setattr("airflow_provider_mirakl.runtime.job_run.LONGEST_SEARCH", 5.0)
    other, task = importing(offers(4, 5, 6), "more.csv"), importing()
    other.ti.map_index = 1
    killed_before_the_note(other, monkeypatch)
    mirakl_sandbox.fault("reset_before", "OF01", times=1)
    looked = []
    listed = Submitter._listed

    def look(self: Submitter, *arguments: Any) -> Any:
        if looked and noted:
            self.claims._of(imports(mirakl_sandbox)[0]).write(Claim("the other task"))
        looked.append(True)
        return listed(self, *arguments)

    monkeypatch.setattr(Submitter, "_listed", look)
    monkeypatch.setattr(Submitter, "_until_look", lambda *_: 0.0)
    if noted:
        (ours,) = task.run()["job_ids"]
        assert imports(mirakl_sandbox)[1:] == [ours]
    else:
        with pytest.raises(MiraklUnclearSubmissionError, match="may be any of"):
            task.run()
        assert len(imports(mirakl_sandbox)) == 1
    assert len(looked) > 1


def test_a_retry_whose_notes_are_gone_is_guarded_too(
    importing: Importing, mirakl_sandbox: Sandbox, tmp_path: Path
) -> None:
    """REPLACE would delete the offers that the file leaves out, in whatever try."""
    importing(offers(*range(1, 11))).run()
    task = importing(offers(1), "few.csv", import_mode="REPLACE")
    task.ti.run_id = "replacing"
    for _ in range(2):
        shutil.rmtree(tmp_path / "work")
        with pytest.raises(MiraklInputError, match="leaves out"):
            task.run()
        task.ti.try_number += 1
    there = mirakl_sandbox.call(
        lambda world: [each["sku"] for each in world.part(Offers).offers.values() if not each["deleted"]]
    )
    assert {f"O-{number}" for number in range(1, 11)} <= set(there)
    assert len(mirakl_sandbox.journal("OF01")) == 1


def test_a_file_whose_lines_cannot_be_counted_is_not_guessed(
    importing: Importing, mirakl_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ended import of that time may be ours or not: a person decides."""
    task = importing(name="offers.xml", lint="off")
    killed_before_the_note(task, monkeypatch)
    mirakl_sandbox.advance(3600)
    with pytest.raises(MiraklUnclearSubmissionError, match="may be"):
        again(task)
    assert len(mirakl_sandbox.journal("OF01")) == 1


def test_a_reply_that_timed_out_in_mirakl_is_not_a_refusal(
    importing: Importing, mirakl_sandbox: Sandbox
) -> None:
    """408: Mirakl, or a proxy before it, gave up waiting. What it has read may be imported."""
    mirakl_sandbox.fault("status", "OF01", times=1, status=408)
    task = importing()
    assert task.run()["job_ids"] == imports(mirakl_sandbox)
    assert len(imports(mirakl_sandbox)) == 1
    assert mirakl_sandbox.journal("OF04")


def failed(task: Any, sandbox: Sandbox) -> str:
    """Let the import of a try fail in Mirakl; its id."""
    sandbox.fault("fail_job", "OF01", times=1)
    with pytest.raises(MiraklJobFailedError):
        task.run()
    return imports(sandbox)[-1]


def test_a_retry_after_a_failed_import_sends_nothing_invalid(
    importing: Importing, mirakl_sandbox: Sandbox, tmp_path: Path
) -> None:
    """The source was emptied meanwhile: with REPLACE it would delete every offer."""
    task = importing(import_mode="REPLACE", max_delete_ratio=1)
    failed(task, mirakl_sandbox)
    (tmp_path / "offers.csv").write_text(HEAD, encoding="utf-8")
    with pytest.raises(MiraklInputError, match="no rows"):
        again(task)
    assert len(mirakl_sandbox.journal("OF01")) == 1


def test_a_retry_after_a_failed_import_is_guarded_too(importing: Importing, mirakl_sandbox: Sandbox) -> None:
    """Offers came into the shop since the first try: the file would delete them."""
    task = importing(import_mode="REPLACE", max_delete_ratio=0.999)
    failed(task, mirakl_sandbox)
    mirakl_sandbox.call(lambda world: world.part(Offers).offers.clear())
    other = importing(offers(*range(4, 14)), "more.csv")
    other.ti.run_id = "another run"
    other.run()
    task.make = importing(import_mode="REPLACE").make  # with the default limit
    with pytest.raises(MiraklInputError, match="leaves out 10 of the shop's 10 offers"):
        again(task)
    assert len(mirakl_sandbox.journal("OF01")) == 2


def test_the_task_s_own_failed_import_is_not_taken_for_the_next_one(
    importing: Importing, mirakl_sandbox: Sandbox
) -> None:
    task = importing()
    first = failed(task, mirakl_sandbox)
    mirakl_sandbox.fault("reset_before", "OF01", times=1)
    (second,) = again(task)["job_ids"]
    assert second != first
    assert imports(mirakl_sandbox) == [first, second]


@pytest.mark.parametrize("policy", ["search", "fail"])
def test_offers_as_objects_are_looked_for_too_if_that_is_wanted(
    worker: Any, mirakl_sandbox: Sandbox, mirakl_sandbox_connections: object, policy: str
) -> None:
    """The client does not send OF24 again by itself then."""
    mirakl_sandbox.world.settings.limits = "off"
    mirakl_sandbox.world.settings.queue_seconds = mirakl_sandbox.world.settings.run_seconds = 0
    mirakl_sandbox.fault("reset_after", "OF24", times=1)
    task = worker(
        lambda: MiraklUpsertOffersOperator(
            task_id="task",
            source=[offer(1)],
            on_unclear=policy,
            mirakl_conn_id="mirakl_shop",
            max_failed_items=None,
        )
    )
    if policy == "fail":
        with pytest.raises(MiraklUnclearSubmissionError):
            task.run()
    else:
        assert task.run()["job_ids"] == imports(mirakl_sandbox)
    assert len(mirakl_sandbox.journal("OF24")) == len(imports(mirakl_sandbox)) == 1
