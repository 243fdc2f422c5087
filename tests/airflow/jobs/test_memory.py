"""The notes of a job operator: empty disks, failing disks, rewritten sources, wrong clocks."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_mirakl.client.pacing import PACER
from airflow_provider_mirakl.exceptions import (
    MiraklBadRequestError,
    MiraklError,
    MiraklInputError,
    MiraklItemsFailedError,
    MiraklNoteError,
    MiraklPermissionError,
    MiraklRateLimitError,
    MiraklReplyError,
    MiraklServerError,
    MiraklStorageError,
    MiraklUnclearSubmissionError,
)
from airflow_provider_mirakl.operators.catalog_manager import (
    MiraklExportProductsOperator,
    MiraklSynchronizeProductsOperator,
)
from airflow_provider_mirakl.operators.connect_orders import MiraklConnectAcceptOrdersOperator
from airflow_provider_mirakl.operators.offers import (
    MiraklImportOffersOperator,
    MiraklImportPricesOperator,
    MiraklImportStockOperator,
    MiraklUpsertOffersOperator,
)
from airflow_provider_mirakl.operators.products import MiraklImportProductsOperator
from tests.damage import LINES, damage

pytestmark = [pytest.mark.airflow, pytest.mark.matrix]

PRODUCTS = "category;shop_sku;title;ean;brand\nheadphones;A-1;One;2000000000001;nordlys\n"
STOCK = "offer-sku;quantity\nO-1;7\n"
PAIR = {"mirakl_product_id": "MP-1", "product_sku": "SKU-001"}
OTHER_PAIR = {"mirakl_product_id": "MKL-022", "product_sku": "SKU-022"}


class TaskState:
    """Stands in for Airflow's ``task_state_store``, which outlives every process of a task instance."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    def set(self, key: str, value: Any) -> None:
        self.values[key] = json.loads(json.dumps(value))


def kinds(tmp_path: Path) -> dict[str, tuple[type, str, dict[str, Any]]]:
    """An operator of every kind, with the code of its submission."""

    def file(name: str, text: str) -> str:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return {
        "P41": (MiraklImportProductsOperator, "mirakl_shop", {"source": file("p.csv", PRODUCTS)}),
        "STO01": (MiraklImportStockOperator, "mirakl_shop", {"source": file("s.csv", STOCK)}),
        "CM21": (
            MiraklSynchronizeProductsOperator,
            "mirakl_operator",
            {"source": [PAIR, OTHER_PAIR], "batch_size": 1},
        ),
        "CM52": (MiraklExportProductsOperator, "mirakl_operator", {"target": str(tmp_path / "out.ndjson")}),
    }


@pytest.fixture
def fleet(worker, tmp_path, mirakl_sandbox_connections):
    """Runs a task whose every process finds an empty disk."""

    def make(code: str, *, state: TaskState | None = None, keep: bool = False, **options: Any) -> Any:
        kind, connection, more = kinds(tmp_path)[code]
        options = {"mirakl_conn_id": connection, "deferrable": True} | more | options
        if "target" not in options:
            options.setdefault("max_failed_items", None)

        def start() -> Any:
            if not keep:
                shutil.rmtree(tmp_path / "work", ignore_errors=True)
            return kind(task_id="task", **options)

        task = worker(start, max_tries=3)
        if state is not None:
            task.more = {"task_state_store": state}
        return task

    return make


def accepted(sandbox: Any, code: str) -> int:
    return len([call for call in sandbox.journal(code) if call["status"] in (200, 201, 202)])


@pytest.mark.mirakl_sandbox_settings(queue_seconds=1e5)
@pytest.mark.parametrize("code", ["P41", "STO01", "CM21", "CM52"])
def test_a_fresh_disk_after_every_deferral_submits_nothing_twice(fleet, mirakl_sandbox, code):
    """Before Airflow 3.3 the trigger carries what is known."""
    mirakl_sandbox.world.settings.limits = "off"
    task = fleet(code)
    task.meanwhile = lambda: mirakl_sandbox.advance(5e5)
    result = task.run()
    assert task.deferrals
    assert accepted(mirakl_sandbox, code) == len(result["job_ids"]) == (2 if code == "CM21" else 1)


@pytest.mark.mirakl_sandbox_settings(run_seconds=1e5)  # the first poll finds it running
def test_objects_rejected_before_the_disk_was_lost_still_fail_the_task(fleet, mirakl_sandbox):
    wrong, good = {"mirakl_product_id": "MKL-001"}, {"mirakl_product_id": "MKL-021", "product_sku": "SKU-021"}

    task = fleet("CM21", source=[wrong, good], on_invalid="reject", batch_size=100, max_failed_items=0)
    task.meanwhile = lambda: mirakl_sandbox.advance(5e5)
    with pytest.raises(MiraklItemsFailedError, match="1 of 2 items failed") as caught:
        task.run()
    assert task.deferrals
    result = caught.value.outcome
    assert (result["sent"], result["succeeded"], result["failed"], result["rejected"]) == (1, 1, 1, 1)
    assert "lost with the work folder" in result["errors"][0]["message"]


@pytest.mark.mirakl_sandbox_settings(run_seconds=1e5)  # the first poll finds it running
@pytest.mark.parametrize("how", ["empty", "number", "a folder"])
def test_objects_rejected_before_their_file_was_damaged_still_fail_the_task(
    fleet, mirakl_sandbox, tmp_path, how
):
    wrong, good = {"mirakl_product_id": "MKL-001"}, {"mirakl_product_id": "MKL-021", "product_sku": "SKU-021"}
    task = fleet(
        "CM21", source=[wrong, good], on_invalid="reject", batch_size=100, max_failed_items=0, keep=True
    )

    def damaging() -> None:
        (path,) = tmp_path.glob("work/**/rejected.ndjson")
        damage(path, LINES[how])
        mirakl_sandbox.advance(5e5)

    task.meanwhile = damaging
    with pytest.raises(MiraklItemsFailedError, match="1 of 2 items failed") as caught:
        task.run()
    result = caught.value.outcome
    assert (result["failed"], result["rejected"], result["rejects"]) == (1, 1, None)
    assert "the reasons were lost" in result["errors"][0]["message"]


@pytest.mark.parametrize("code", ["P41", "STO01", "CM21", "CM52"])
def test_a_retry_on_a_fresh_disk_submits_nothing_twice(fleet, mirakl_sandbox, code):
    """From Airflow 3.3 on the task's state has what is known."""
    mirakl_sandbox.world.settings.limits = "off"
    status = {"P41": "P42", "STO01": "STO02", "CM21": "CM22", "CM52": "CM53"}[code]
    mirakl_sandbox.fault("status", status, status=403)
    mirakl_sandbox.fault("status", "P51", status=403)
    task = fleet(code, state=TaskState())
    with pytest.raises(MiraklError):
        task.run()
    task.ti.try_number = 2
    result = task.run()
    assert accepted(mirakl_sandbox, code) == len(result["job_ids"]) == (2 if code == "CM21" else 1)


@pytest.mark.parametrize(("code", "policy"), [("P41", "search"), ("STO01", "fail")])
def test_a_retry_whose_notes_are_gone_sends_nothing_on_a_guess(fleet, mirakl_sandbox, code, policy):
    """Before Airflow 3.3, a retry on another disk: the list decides if there is one, else the user."""
    mirakl_sandbox.world.settings.limits = "off"
    task = fleet(code, wait_for_completion=False)
    first = task.run()
    shutil.rmtree(Path(first["folder"]).parents[2])
    task.ti.try_number = 2
    if policy == "fail":
        with pytest.raises(MiraklUnclearSubmissionError, match="does not list these jobs"):
            task.run()
    else:
        assert task.run()["job_ids"] == first["job_ids"]
    assert accepted(mirakl_sandbox, code) == 1


@pytest.mark.mirakl_sandbox_settings(limits="off", queue_seconds=0, run_seconds=0)
@pytest.mark.parametrize(("code", "status"), [("P41", "P42"), ("STO01", "STO02")])
def test_a_retry_on_the_disk_that_the_task_had_left_submits_nothing_twice(
    worker, mirakl_sandbox, mirakl_sandbox_connections, monkeypatch, tmp_path, code, status
):
    """A refusal takes the task away before it submits. It submits from another disk, fails there, and comes back."""
    kind, connection, more = kinds(tmp_path)[code]
    stays = iter("ABA")

    def start() -> Any:
        monkeypatch.setenv("AIRFLOW__MIRAKL__WORK_FOLDER", str(tmp_path / next(stays)))
        return kind(
            task_id="task",
            mirakl_conn_id=connection,
            deferrable=True,
            wait_for_completion=code == "STO01",
            **more,
        )

    def at_once(trigger: Any) -> Any:
        trigger.moment = time.time()
        PACER.forget()
        return fire(trigger)

    task = worker(start, max_tries=3)
    fire, task.fire = task.fire, at_once
    mirakl_sandbox.fault("throttle", code, retry_after="60", times=1)
    if code == "STO01":
        mirakl_sandbox.fault("status", status, status=403)
        with pytest.raises(MiraklPermissionError):
            task.run()
        task.ti.try_number = 2
        with pytest.raises(MiraklUnclearSubmissionError, match="does not list these jobs"):
            task.run()
    else:
        first = task.run()["job_ids"]
        task.ti.try_number = 2
        assert task.run()["job_ids"] == first
    assert accepted(mirakl_sandbox, code) == 1


def test_a_refusal_without_end_leaves_a_note_that_a_retry_believes(fleet, mirakl_sandbox, tmp_path):
    """The task stays in the worker to the end, so nothing can have been sent from elsewhere."""
    mirakl_sandbox.fault("throttle", "STO01", retry_after="600", times=1)
    task = fleet("STO01", keep=True, timeout=60, wait_for_completion=False)
    with pytest.raises(MiraklRateLimitError):
        task.run()
    PACER.forget()
    task.ti.try_number = 2
    assert len(task.run()["job_ids"]) == 1


def test_a_retry_on_the_same_disk_knows_that_nothing_was_sent(fleet, mirakl_sandbox, tmp_path):
    task = fleet("STO01", keep=True)
    source = tmp_path / "s.csv"
    source.unlink()
    with pytest.raises(MiraklInputError, match="does not exist"):
        task.run()
    source.write_text(STOCK, encoding="utf-8")
    task.ti.try_number = 2
    assert len(task.run()["job_ids"]) == 1


@pytest.mark.parametrize("code", ["P41", "STO01", "CM21"])
def test_what_cannot_be_noted_is_not_sent(fleet, mirakl_sandbox, monkeypatch, code):
    """A full disk: the note has to be possible before the call is made."""
    from airflow_provider_mirakl.files import notes

    def full(path: Any, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    task = fleet(code, keep=True)
    monkeypatch.setattr(notes, "write_bytes", full)
    with pytest.raises(MiraklStorageError, match=r"job\.json cannot be written \(No space left on device\)"):
        task.run()
    assert not mirakl_sandbox.journal(code)


@pytest.mark.parametrize("code", ["P41", "STO01"])
def test_a_folder_that_is_removed_before_the_id_is_noted_is_made_again(
    fleet, mirakl_sandbox, monkeypatch, code
):
    from airflow_provider_mirakl.jobs.book import JobBook

    noted = JobBook.submitted

    def removing(self: JobBook, entry: Any, job_id: Any) -> None:
        shutil.rmtree(str(self.note.path.parent))
        noted(self, entry, job_id)

    monkeypatch.setattr(JobBook, "submitted", removing)
    task = fleet(code, keep=True, wait_for_completion=False)
    assert task.run()["job_ids"] == task.run()["job_ids"]
    assert accepted(mirakl_sandbox, code) == 1


def test_a_disk_that_is_full_when_the_id_comes_keeps_it_in_the_log(
    fleet, mirakl_sandbox, monkeypatch, capsys, caplog
):
    from airflow_provider_mirakl.jobs.book import JobBook

    def full(self: JobBook, entry: Any, job_id: Any) -> None:
        raise MiraklStorageError("full", path="job.json")

    task = fleet("STO01", keep=True)
    with monkeypatch.context() as patch:
        patch.setattr(JobBook, "submitted", full)
        with pytest.raises(MiraklStorageError):
            task.run()
    assert "was submitted." in capsys.readouterr().out + caplog.text
    with pytest.raises(MiraklUnclearSubmissionError):
        task.run()
    assert accepted(mirakl_sandbox, "STO01") == 1


def test_a_source_written_anew_while_the_submission_waits_is_not_sent_under_the_old_hash(
    fleet, mirakl_sandbox, tmp_path
):
    """P41 is permitted every 15 minutes; the source changes while the task waits for its moment."""
    fleet("P41", keep=True, wait_for_completion=False).run()
    source = tmp_path / "p.csv"
    task = fleet("P41", keep=True, wait_for_completion=False, id_column="shop_sku")
    task.ti.run_id = "second"
    fire = task.fire

    def rewriting(trigger: Any) -> Any:
        source.write_text(PRODUCTS.replace("A-1", "A-2"), encoding="utf-8")
        return fire(trigger)

    task.fire = rewriting
    result = task.run()
    assert task.deferrals, "it waited for its moment"
    sent = [Path(result["folder"]) / "sent" / "p.csv"]
    assert [path.read_text(encoding="utf-8") for path in sent] == [PRODUCTS]
    again = task.run()
    assert again["job_ids"] != result["job_ids"], "the new content is another job"


@pytest.mark.parametrize("how", ["empty", "without its last line", "a folder"])
def test_a_copy_that_is_damaged_while_a_submission_waits_is_not_sent(fleet, mirakl_sandbox, tmp_path, how):
    fleet("P41", keep=True, wait_for_completion=False).run()
    task = fleet("P41", keep=True, wait_for_completion=False, id_column="shop_sku")
    task.ti.run_id = "second"
    copies: list[Path] = []

    def damaging(trigger: Any) -> Any:
        (copy,) = set(tmp_path.glob("work/**/sent/p.csv")) - first
        copies.append(copy)
        damage(copy, LINES[how])
        return type(task).fire(task, trigger)

    first = set(tmp_path.glob("work/**/sent/p.csv"))
    task.fire = damaging
    with pytest.raises(MiraklNoteError, match="Remove it: a retry copies the source again") as caught:
        task.run()
    assert caught.value.path == str(copies[0])
    assert accepted(mirakl_sandbox, "P41") == 1
    if copies[0].is_dir():
        with pytest.raises(MiraklStorageError, match="is a folder, but this package keeps a file there"):
            task.run()
        copies[0].rmdir()
    del task.fire
    assert len(task.run()["job_ids"]) == 1
    assert copies[0].read_text(encoding="utf-8") == PRODUCTS


def offers(*names: str) -> list[dict[str, Any]]:
    base = {"product_id": "SKU-001", "product_id_type": "SKU", "price": 10, "state_code": "11"}
    base |= {"quantity": 1, "update_delete": "update"}
    return [{"shop_sku": name} | base for name in names]


@pytest.fixture
def upsert(worker, mirakl_sandbox, mirakl_sandbox_connections):
    """Runs a task whose offers the triggerer sends, each in a batch."""
    mirakl_sandbox.world.settings.limits = "off"
    options = {"batch_size": 1, "mirakl_conn_id": "mirakl_shop", "max_failed_items": None, "deferrable": True}

    def make(source: Any, **more: Any) -> Any:
        operator = {"task_id": "task", "wait_for_completion": False} | options | more
        return worker(lambda: MiraklUpsertOffersOperator(source=source, **operator))

    return make


@pytest.mark.parametrize("how", ["empty", "without its last line", "a folder"])
def test_a_copy_that_is_damaged_before_the_triggerer_sends_it_is_not_sent(
    upsert, mirakl_sandbox, tmp_path, how
):
    task = upsert(offers("A", "B", "C"))

    def damaging(trigger: Any) -> Any:
        (copy,) = tmp_path.glob("work/**/sent/rows.ndjson")
        damage(copy, LINES[how])
        return type(task).fire(task, trigger)

    task.fire = damaging
    with pytest.raises(MiraklNoteError, match="Remove it: a retry copies the source again") as caught:
        task.run()
    assert caught.value.path.endswith("rows.ndjson")
    assert not mirakl_sandbox.journal("OF24")
    if Path(caught.value.path).is_dir():
        Path(caught.value.path).rmdir()
    del task.fire
    assert len(task.run()["job_ids"]) == 3


def test_the_triggerer_sends_all_of_a_source_that_changed_before_a_retry(upsert, mirakl_sandbox):
    source = offers("A", "B", "C")
    mirakl_sandbox.fault("status", "OF24", status=403, skip=2, times=1)
    task = upsert(source)
    with pytest.raises(MiraklError):
        task.run()
    source[:] = offers("D", "E", "F")
    assert len(task.run()["job_ids"]) == 3
    sent = [row["item"] for row in mirakl_sandbox.ledger() if row["operation"] == "OF24"]
    assert sent == ["A", "B", "D", "E", "F"]


def test_objects_rejected_before_the_triggerer_sent_the_others_are_counted(upsert):
    source = [*offers("A", "B"), {"shop_sku": "C"}]
    assert upsert(source, on_invalid="reject").run()["rejected"] == 1


def test_batches_are_cut_from_one_copy(fleet, mirakl_sandbox, tmp_path, worker):
    """The source changes between two batches: no line is skipped, none is sent twice."""
    mirakl_sandbox.world.settings.limits = "off"
    offers = tmp_path / "offers.ndjson"

    def rows(names: list[str]) -> str:
        base = {"product_id": "SKU-001", "product_id_type": "SKU", "price": 10, "state_code": "11"}
        base |= {"quantity": 1, "update_delete": "update"}
        return "".join(json.dumps({"shop_sku": name} | base) + "\n" for name in names)

    offers.write_text(rows(["A", "B", "C"]), encoding="utf-8")
    operator = MiraklUpsertOffersOperator(
        task_id="task", source=str(offers), batch_size=1, mirakl_conn_id="mirakl_shop", max_failed_items=None
    )
    batch = type(operator).batch
    sent: list[bytes] = []

    def changing(self: Any, caller: Any, rows_: list[bytes]) -> Any:
        offers.write_text(rows(["X", "A", "B", "C"]), encoding="utf-8")
        sent.extend(rows_)
        return batch(self, caller, rows_)

    operator.batch = changing.__get__(operator)
    worker(lambda: operator).run()
    assert [json.loads(row)["shop_sku"] for row in sent] == ["A", "B", "C"]


@pytest.mark.parametrize("seconds", [-70, 900, -3600])
def test_a_clock_of_mirakls_that_is_off_does_not_hide_a_submission(fleet, mirakl_sandbox, seconds):
    mirakl_sandbox.fault("clock_skew", "P41", seconds=seconds)
    mirakl_sandbox.fault("reset_after", "P41")
    result = fleet("P41", keep=True, wait_for_completion=False).run()
    assert len(result["job_ids"]) == 1
    assert len(mirakl_sandbox.journal("P41")) == 1


def test_a_redirect_is_no_unclear_submission(fleet, mirakl_sandbox):
    mirakl_sandbox.fault("status", "STO01", status=302, headers={"Location": "/elsewhere"})
    task = fleet("STO01", keep=True, wait_for_completion=False)
    with pytest.raises(MiraklReplyError):
        task.run()
    assert len(task.run()["job_ids"]) == 1


def test_a_refusal_leaves_no_intent(fleet, mirakl_sandbox):
    mirakl_sandbox.fault("status", "STO01", status=400)
    task = fleet("STO01", keep=True, wait_for_completion=False)
    with pytest.raises(MiraklBadRequestError):
        task.run()
    assert len(task.run()["job_ids"]) == 1


def test_a_file_that_breaks_off_while_it_is_sent_leaves_no_intent(fleet, mirakl_sandbox, monkeypatch):
    def unreadable(self: Any) -> Any:
        raise OSError(5, "Input/output error")

    task = fleet("STO01", keep=True, wait_for_completion=False)
    with monkeypatch.context() as patch:
        patch.setattr(MiraklImportStockOperator, "content", unreadable)
        with pytest.raises(MiraklStorageError, match="Input/output error"):
            task.run()
    assert not accepted(mirakl_sandbox, "STO01")
    assert len(task.run()["job_ids"]) == 1


@pytest.mark.parametrize(
    "kind",
    [
        MiraklImportProductsOperator,
        MiraklImportOffersOperator,
        MiraklImportStockOperator,
        MiraklImportPricesOperator,
    ],
)
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("sku;price\n", "has a header but no rows"),
        ("sku;price\n;\n\n", "has a header but no rows"),
    ],
)
def test_a_file_that_says_nothing_is_refused_before_its_call(
    worker, tmp_path, mirakl_sandbox, mirakl_sandbox_connections, kind, text, words
):
    """OF01 with REPLACE would delete every offer of the shop."""
    source = tmp_path / "empty.csv"
    source.write_text(text, encoding="utf-8")
    task = worker(lambda: kind(task_id="task", source=str(source), mirakl_conn_id="mirakl_shop"))
    with pytest.raises(MiraklInputError, match=words):
        task.run()
    assert not any(mirakl_sandbox.journal(code) for code in ("P41", "OF01", "STO01", "PRI01"))


def test_an_export_that_is_asked_for_again_asks_for_the_same(fleet, mirakl_sandbox):
    """Whatever Mirakl does with repeated requests, it can tell that one is: they are identical."""
    mirakl_sandbox.fault("reset_after", "CM52", times=1)
    task = fleet("CM52", keep=True)
    try:
        task.run()
    except MiraklServerError:
        task.run()
    requests = mirakl_sandbox.journal("CM52")
    assert len({json.dumps(call.get("query"), sort_keys=True) for call in requests}) == 1


def test_a_complete_import_that_does_not_tell_yet_is_polled_again(fleet, mirakl_sandbox, monkeypatch):
    """All its lines may be rejected: integration_details come later."""
    from airflow_provider_mirakl.jobs import polls, table

    asked: list[str] = []
    evaluate = table.evaluate

    def hiding(kind: Any, status: Any, **options: Any) -> Any:
        if status.get("import_status") == "COMPLETE" and len(asked) < 3:
            asked.append("COMPLETE")
            status.pop("integration_details", None)
        return evaluate(kind, status, **options)

    monkeypatch.setattr(polls, "evaluate", hiding)
    result = fleet("P41", keep=True, deferrable=False, until="complete").run()
    assert (result["succeeded"], result["unknown"]) == (1, 0)
    assert len(asked) == 3


def test_items_that_fail_leave_the_whole_outcome_behind(fleet, mirakl_sandbox, tmp_path, capsys, caplog):
    """The tasks behind and the notifications see counts, errors, reports and rejects."""
    mirakl_sandbox.world.settings.limits = "off"
    source = tmp_path / "bad.csv"
    source.write_text(PRODUCTS + "moon;A-4;Four;2000000000004;nordlys\n", encoding="utf-8")
    task = fleet("P41", keep=True, source=str(source), until="complete", max_failed_items=0)
    with pytest.raises(MiraklItemsFailedError) as caught:
        task.run()
    pushed = task.pushed["return_value"]
    assert (pushed["sent"], pushed["failed"]) == (2, 1)
    assert pushed["errors"]
    assert pushed["reports"]
    assert Path(pushed["rejects"]).exists()
    assert caught.value.outcome == pushed
    told = capsys.readouterr().out + caplog.text
    assert "1 of 2 items failed." in told
    assert f"The failed items are in {pushed['rejects']}" in told


def test_an_export_with_an_empty_file_is_no_export_without_items(fleet, mirakl_sandbox):
    mirakl_sandbox.fault("empty_body", "CM54")
    with pytest.raises(MiraklReplyError, match="empty file"):
        fleet("CM52", keep=True).run()


@pytest.mark.parametrize(
    ("stored", "max_tries", "sent"),
    [
        pytest.param(True, 3, 1, id="killed before it began"),
        pytest.param(True, 7, 0, id="cleared"),
        pytest.param(False, 3, 0, id="before Airflow 3.3"),
    ],
)
def test_a_missing_book_of_actions_stops_a_try_that_may_have_lost_it(
    worker, tmp_path, mirakl_sandbox, mirakl_sandbox_connections, monkeypatch, stored, max_tries, sent
):
    monkeypatch.setenv("AIRFLOW__MIRAKL__WORK_FOLDER", str(tmp_path / "work"))
    (order_id,) = mirakl_sandbox.place_orders()
    (line, *_) = mirakl_sandbox.orders()[order_id]["order_lines"]
    rows = [{"order_id": order_id, "order_line_id": line["id"]}]
    task = worker(
        lambda: MiraklConnectAcceptOrdersOperator(task_id="task", source=rows, wait_for_completion=False),
        max_tries=max_tries,
    )
    task.ti.task, task.ti.try_number = SimpleNamespace(retries=3), 2
    if stored:
        task.more = {"task_state_store": TaskState()}
    if sent:
        assert len(task.run()["action_ids"]) == 1
    else:
        with pytest.raises(MiraklUnclearSubmissionError, match=r"its notes in .* are missing"):
            task.run()
    assert len(mirakl_sandbox.journal("v2-acceptOrderLines")) == sent


def test_a_preview_that_may_have_lost_the_book_does_not_begin_another(
    worker, tmp_path, mirakl_sandbox, mirakl_sandbox_connections, monkeypatch
):
    """An empty book would say to the next try that nothing was sent."""
    monkeypatch.setenv("AIRFLOW__MIRAKL__WORK_FOLDER", str(tmp_path / "work"))
    (order_id,) = mirakl_sandbox.place_orders()
    (line, *_) = mirakl_sandbox.orders()[order_id]["order_lines"]
    rows = [{"order_id": order_id, "order_line_id": line["id"]}]
    preview = iter([False, True, False])
    task = worker(
        lambda: MiraklConnectAcceptOrdersOperator(
            task_id="task", source=rows, wait_for_completion=False, preview=next(preview)
        ),
        max_tries=3,
    )
    task.run()
    shutil.rmtree(tmp_path / "work")
    task.ti.try_number = 2
    assert task.run()["planned"] == 1
    task.ti.try_number = 3
    with pytest.raises(MiraklUnclearSubmissionError, match=r"its notes in .* are missing"):
        task.run()
    assert len(mirakl_sandbox.journal("v2-acceptOrderLines")) == 1
