"""One deferral for a whole catalog, and what happens where the triggerer does not reach the plan."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.exceptions import (
    MiraklBadRequestError,
    MiraklInputError,
    MiraklMissingFileError,
    MiraklNoteError,
)
from airflow_provider_mirakl.hooks.base import MiraklConnectionDisabledError
from airflow_provider_mirakl.operators.connect import (
    MiraklConnectDeleteProductsOperator,
    MiraklConnectExportCatalogOperator,
    MiraklConnectSyncCatalogOperator,
    MiraklConnectUpsertProductsOperator,
    MiraklConnectVerifyProductsOperator,
)
from airflow_provider_mirakl.operators.connect_orders import MiraklConnectExtractOrdersOperator
from airflow_provider_mirakl.runtime import trip

pytestmark = [pytest.mark.airflow, pytest.mark.matrix, pytest.mark.usefixtures("mirakl_sandbox_connections")]
PACED, MOMENT = "triggers.paced.PacedTrigger", "triggers.moment.MomentTrigger"


@pytest.fixture(autouse=True)
def _deferred_however_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trip, "FIRST_LEAD", 0.0)


def products(count: int) -> list[dict[str, Any]]:
    return [{"id": f"p{number:03d}", "brand": "ACME"} for number in range(count)]


def upsert(source: Any, **options: Any) -> Any:
    options = {"batch_size": 2, "deferrable": True} | options
    return lambda: MiraklConnectUpsertProductsOperator(task_id="task", source=source, **options)


def kinds(deferrals: list[tuple[str, Any]]) -> list[str]:
    return [path.removeprefix("airflow_provider_mirakl.") for path, _ in deferrals]


def statuses(sandbox: Any, operation: str = "upsertProducts") -> Counter[int]:
    return Counter(call["status"] for call in sandbox.journal(operation))


def test_a_catalog_is_one_deferral_whatever_is_done_with_it(worker, mirakl_sandbox, tmp_path):
    runs = {
        "sync": lambda: MiraklConnectSyncCatalogOperator(
            task_id="sync", source=products(8), batch_size=2, deferrable=True
        ),
        "export": lambda: MiraklConnectExportCatalogOperator(
            task_id="export", target=str(tmp_path / "all.ndjson"), deferrable=True
        ),
        "delete": lambda: MiraklConnectDeleteProductsOperator(
            task_id="delete", source=["p000", "p001", "p002"], batch_size=1, deferrable=True
        ),
    }
    results = {}
    for name, make in runs.items():
        task = worker(make, run_id=name)
        results[name] = task.run()
        assert kinds(task.deferrals) == [PACED], name
        mirakl_sandbox.advance(3600)
    assert results["sync"]["upserted"] == 8
    assert results["export"]["items"] == 8
    assert len((tmp_path / "all.ndjson").read_text().splitlines()) == 8
    assert results["delete"]["sent"] == 3
    assert statuses(mirakl_sandbox) == {202: 4}


def test_a_verification_is_one_deferral_a_round(worker, mirakl_sandbox):
    sent = worker(upsert(products(4)), run_id="sent").run()
    mirakl_sandbox.advance(3600)
    verify = worker(
        lambda: MiraklConnectVerifyProductsOperator(
            task_id="verify", submitted=sent, deferrable=True, round_interval=60
        )
    )
    assert verify.run()["succeeded"] == 4
    assert kinds(verify.deferrals) == [PACED]


def test_each_task_that_verifies_a_submission_reads_for_itself(worker, mirakl_sandbox):
    sent = worker(upsert(products(2)), run_id="sent").run()
    for name in ("all", "some"):
        mirakl_sandbox.advance(3600)
        verify = worker(
            lambda name=name: MiraklConnectVerifyProductsOperator(
                task_id="verify", submitted=sent, sample=None if name == "all" else 1, deferrable=True
            ),
            run_id=name,
        )
        assert verify.run()["succeeded"] == (2 if name == "all" else 1)
    assert len(list(Path(sent["folder"]).glob("verify-*/page-000000.ndjson"))) == 2


def test_where_the_triggerer_has_no_such_disk_workers_make_the_calls_and_none_twice(
    worker, mirakl_sandbox, out_of_reach
):
    """The triggerer's machine sees no work folder; the workers' do."""
    task = out_of_reach(worker(upsert(products(6))))
    assert task.run()["sent"] == 6
    assert kinds(task.deferrals)[0] == PACED
    assert set(kinds(task.deferrals)[1:]) <= {MOMENT}
    assert statuses(mirakl_sandbox) == {202: 3}


def planned_sync(state: Path) -> Any:
    return lambda: MiraklConnectSyncCatalogOperator(
        task_id="task", source=products(6), batch_size=2, deferrable=True, state=str(state)
    )


def test_where_the_triggerer_has_no_such_state_workers_make_the_calls_and_none_twice(
    worker, mirakl_sandbox, tmp_path, monkeypatch
):
    """The work folder is shared, but the state is on the worker's own disk."""
    task = worker(planned_sync(tmp_path / "state"))
    fire, here, elsewhere = task.fire, tmp_path / "state", tmp_path / "elsewhere"

    def without_state(trigger: Any) -> Any:
        here.rename(elsewhere)
        event = fire(trigger)
        elsewhere.rename(here)
        return event

    monkeypatch.setattr(task, "fire", without_state)
    assert task.run()["upserted"] == 6
    assert set(kinds(task.deferrals)[1:]) <= {MOMENT}
    assert statuses(mirakl_sandbox) == {202: 3}


def test_a_worker_without_the_state_of_its_plan_says_so(worker, mirakl_sandbox, tmp_path, monkeypatch):
    """Not that another sync has begun, which would send its reader after a second Dag."""
    task = worker(planned_sync(tmp_path / "state"))
    fire = task.fire

    def losing(trigger: Any) -> Any:
        shutil.rmtree(tmp_path / "state")
        return fire(trigger)

    monkeypatch.setattr(task, "fire", losing)
    with pytest.raises(
        MiraklMissingFileError, match=r"state has no state\.json, although this sync was planned"
    ):
        task.run()
    assert statuses(mirakl_sandbox) == {}


def test_a_fresh_disk_at_every_return_sends_no_chunk_twice(worker, mirakl_sandbox, tmp_path, monkeypatch):
    """What KubernetesExecutor without shared storage does: the plan is made again, and goes on at the noted chunk."""
    task = worker(upsert(products(6)))
    fire, work = task.fire, tmp_path / "work"

    def fresh(trigger: Any) -> Any:
        shutil.rmtree(work, ignore_errors=True)
        event = fire(trigger)
        shutil.rmtree(work, ignore_errors=True)
        return event

    monkeypatch.setattr(task, "fire", fresh)
    assert task.run()["sent"] == 6
    assert statuses(mirakl_sandbox) == {202: 3}


def test_a_fresh_disk_and_another_source_stop_with_a_word(worker, mirakl_sandbox, tmp_path, monkeypatch):
    source = tmp_path / "catalog.ndjson"
    source.write_text("".join(json.dumps(product) + "\n" for product in products(6)))
    task = worker(upsert(str(source)))
    fire, work = task.fire, tmp_path / "work"

    def fresh(trigger: Any) -> Any:
        event = fire(trigger)  # sends everything
        shutil.rmtree(work)
        source.write_text(json.dumps({"id": "another"}) + "\n")
        return event

    monkeypatch.setattr(task, "fire", fresh)
    with pytest.raises(MiraklNoteError, match="source"):
        task.run()
    assert statuses(mirakl_sandbox) == {202: 3}


def test_a_connection_that_is_disabled_meanwhile_skips_the_task(
    worker, mirakl_sandbox, monkeypatch, mirakl_sandbox_connections
):
    task = worker(upsert(products(4)))
    fire = task.fire
    connection = mirakl_sandbox_connections["mirakl_connect_default"]
    disabled = connection | {"extra": connection["extra"] | {"enabled": False}}

    def disabling(trigger: Any) -> Any:
        monkeypatch.setenv("AIRFLOW_CONN_MIRAKL_CONNECT_DEFAULT", json.dumps(disabled))
        return fire(trigger)

    monkeypatch.setattr(task, "fire", disabling)
    with pytest.raises(MiraklConnectionDisabledError):
        task.run()


def test_the_stored_trigger_has_no_secret_and_no_product(worker, mirakl_sandbox, tmp_path: Path):
    task = worker(upsert(products(40)))
    task.run()
    stored = json.dumps(task.deferrals)
    assert "sandbox-secret" not in stored
    assert "p001" not in stored
    assert len(stored) < 4096


@pytest.fixture
def on_fresh_disks(monkeypatch, tmp_path):
    """Empties the work folder whenever a task goes to its trigger or comes back, as a new pod finds it."""

    def empty(task: Any) -> Any:
        fire, work = task.fire, tmp_path / "work"

        def fresh(trigger: Any) -> Any:
            shutil.rmtree(work, ignore_errors=True)
            event = fire(trigger)
            shutil.rmtree(work, ignore_errors=True)
            return event

        monkeypatch.setattr(task, "fire", fresh)
        return task

    return empty


@pytest.fixture
def slower(monkeypatch, mirakl_sandbox_connections):
    """0.6 s between two calls: long enough for a wait to be one on a busy machine."""
    connection = mirakl_sandbox_connections["mirakl_connect_default"]
    connection = connection | {"extra": connection["extra"] | {"interval_factor": 0.01}}
    monkeypatch.setenv("AIRFLOW_CONN_MIRAKL_CONNECT_DEFAULT", json.dumps(connection))


def sent(sandbox: Any, operation: str = "upsertProducts") -> Counter[str]:
    return Counter(row["item"] for row in sandbox.ledger() if row["operation"] == operation)


@pytest.mark.parametrize("full", [False, True])
def test_a_sync_on_a_fresh_disk_at_every_return_sends_nothing_twice(
    worker, mirakl_sandbox, tmp_path, on_fresh_disks, full
):
    """Its state is on lasting storage, and knows every accepted chunk: what is planned again is the rest."""

    def sync(count: int, **options: Any) -> Any:
        return lambda: MiraklConnectSyncCatalogOperator(
            task_id="task",
            source=products(count),
            batch_size=2,
            deferrable=True,
            state=str(tmp_path / "state"),
            max_delete_ratio=0.5,
            **options,
        )

    first = on_fresh_disks(worker(sync(8, full=full))).run()
    assert (first["upserted"], first["unchanged"], first["deleted"]) == (8, 0, 0)
    assert sent(mirakl_sandbox) == {f"p{number:03d}": 1 for number in range(8)}
    second = on_fresh_disks(worker(sync(5, full=full), run_id="second")).run()
    assert (second["upserted"], second["unchanged"], second["deleted"]) == ((5, 0, 3) if full else (0, 5, 3))
    assert sent(mirakl_sandbox, "deleteProducts") == {"p005": 1, "p006": 1, "p007": 1}


def test_a_full_sync_whose_source_changed_with_its_disk_stops(worker, mirakl_sandbox, tmp_path, monkeypatch):
    source = tmp_path / "catalog.ndjson"
    source.write_text("".join(json.dumps(product) + "\n" for product in products(6)))
    task = worker(
        lambda: MiraklConnectSyncCatalogOperator(
            task_id="task", source=str(source), deferrable=True, state=str(tmp_path / "state"), full=True
        )
    )
    fire = task.fire

    def changing(trigger: Any) -> Any:
        event = fire(trigger)
        shutil.rmtree(tmp_path / "work")
        source.write_text("".join(json.dumps(product) + "\n" for product in products(7)))
        return event

    monkeypatch.setattr(task, "fire", changing)
    with pytest.raises(MiraklNoteError, match="the source or the options changed"):
        task.run()


def test_a_source_that_is_gone_when_the_plan_has_to_be_made_again_is_named(
    worker, mirakl_sandbox, tmp_path, monkeypatch
):
    source = tmp_path / "catalog.ndjson"
    source.write_text("".join(json.dumps(product) + "\n" for product in products(6)))
    task = worker(upsert(str(source)))
    fire = task.fire

    def losing(trigger: Any) -> Any:
        shutil.rmtree(tmp_path / "work")
        source.unlink()
        return fire(trigger)

    monkeypatch.setattr(task, "fire", losing)
    with pytest.raises(MiraklInputError, match=r"catalog\.ndjson"):
        task.run()
    assert statuses(mirakl_sandbox) == {}


def test_a_listing_on_a_fresh_disk_at_every_return_is_read_to_its_end_by_one_worker(
    worker, mirakl_sandbox, tmp_path, on_fresh_disks, slower, caplog, capsys
):
    """Pages are files, and no note brings them back: reading the first one again at every return would never end."""
    mirakl_sandbox.seed({"id": f"p{number:05d}"} for number in range(2500))
    target = tmp_path / "catalog.ndjson"
    task = worker(
        lambda: MiraklConnectExportCatalogOperator(task_id="task", target=str(target), deferrable=True)
    )
    assert on_fresh_disks(task).run()["items"] == 2500
    assert len(target.read_text().splitlines()) == 2500
    first, *waits = kinds(task.deferrals)
    assert (first, waits) in (
        (PACED, [MOMENT]),
        (PACED, []),
    )  # none where reading took longer than the interval
    assert statuses(mirakl_sandbox, "listProducts") == {200: 3 + len(waits)}  # the first page twice
    said = caplog.text + capsys.readouterr().out
    assert ("1 page had been read, but" in said) == bool(waits)
    assert "[mirakl] work_folder" in said


def test_a_verification_on_a_fresh_disk_at_every_return_comes_to_an_end(
    worker, mirakl_sandbox, tmp_path, on_fresh_disks
):
    sent_folder = worker(upsert(products(4), work_folder=str(tmp_path / "lasting")), run_id="sent").run()
    mirakl_sandbox.advance(3600)
    task = worker(
        lambda: MiraklConnectVerifyProductsOperator(task_id="verify", submitted=sent_folder, deferrable=True)
    )
    assert on_fresh_disks(task).run()["succeeded"] == 4


def test_the_first_line_of_a_task_says_where_its_files_are(worker, mirakl_sandbox, tmp_path, caplog, capsys):
    caplog.set_level("INFO")
    worker(upsert(products(2), deferrable=False)).run()
    said = caplog.text + capsys.readouterr().out
    assert f"Notes and files of this task are on the disk of this machine:\n  {tmp_path / 'work'}" in said
    assert "\n  with workers on several machines, set [mirakl] work_folder" in said


@pytest.mark.parametrize("fresh", [False, True])
def test_an_extract_is_one_deferral_and_comes_to_an_end_on_fresh_disks_too(
    worker, mirakl_sandbox, tmp_path, on_fresh_disks, slower, fresh
):
    mirakl_sandbox.place_orders(250)
    make = lambda: MiraklConnectExtractOrdersOperator(  # noqa: E731
        task_id="task",
        target=str(tmp_path / "lake"),
        watermark=str(tmp_path / "mark"),
        statuses=["AWAITING_ACCEPTANCE", "AWAITING_SHIPMENT"],
        deferrable=True,
    )
    task = worker(make)
    result = (on_fresh_disks(task) if fresh else task).run()
    assert result["items"] == {"orders": 250}
    lines = Path(result["files"]["orders"]).read_text().splitlines()
    assert len({json.loads(line)["id"] for line in lines}) == 250
    first, *waits = kinds(task.deferrals)
    assert (first, waits) in ((PACED, []), (PACED, [MOMENT] * fresh))
    assert "AWAITING_SHIPMENT" not in json.dumps(task.deferrals)  # filters may name persons
    again = worker(make, run_id="again")
    assert again.run()["items"] == {"orders": 0}


# Batches of job operators


@pytest.fixture
def batches(worker, tmp_path, monkeypatch):
    """Three offers, each a call of OF24, which Mirakl permits once a minute."""
    from airflow_provider_mirakl.operators.offers import MiraklUpsertOffersOperator

    base = {"product_id": "SKU-001", "product_id_type": "SKU", "price": 10, "state_code": "11"}
    base |= {"quantity": 1, "update_delete": "update"}
    source = [{"shop_sku": name} | base for name in "ABC"]
    options = {"batch_size": 1, "deferrable": True, "mirakl_conn_id": "mirakl_shop", "max_failed_items": None}
    return lambda **more: worker(
        lambda: MiraklUpsertOffersOperator(task_id="task", source=source, **(options | more))
    )


def offers(sandbox: Any) -> list[int]:
    return [call["status"] for call in sandbox.journal("OF24")]


POLL = "triggers.poll.PollTrigger"


def test_the_triggerer_sends_all_batches_in_one_deferral(batches, mirakl_sandbox):
    task = batches()
    result = task.run()
    assert len(result["job_ids"]) == result["sent"] == 3
    assert [status for status in offers(mirakl_sandbox) if status != 429] == [201] * 3
    assert kinds(task.deferrals)[0] == PACED
    assert set(kinds(task.deferrals)[1:]) <= {POLL}
    stored = json.dumps(task.deferrals[0])
    assert "shop_sku" not in stored
    assert "sandbox-shop-key" not in stored


def test_batches_on_a_fresh_disk_at_every_return_are_each_sent_once(batches, mirakl_sandbox, on_fresh_disks):
    task = on_fresh_disks(batches())
    assert len(task.run()["job_ids"]) == 3
    assert [status for status in offers(mirakl_sandbox) if status != 429] == [201] * 3


def test_notes_too_long_for_a_trigger_end_in_an_error_and_no_batch_goes_out_twice(
    batches, mirakl_sandbox, on_fresh_disks, monkeypatch
):
    from airflow_provider_mirakl.runtime import task_run

    monkeypatch.setattr(task_run, "MAX_CARRIED", 100)
    with pytest.raises(MiraklInputError, match=r"job\.json is missing.*\[mirakl\] work_folder"):
        on_fresh_disks(batches()).run()
    assert [status for status in offers(mirakl_sandbox) if status != 429] in ([], [201] * 3)


def test_a_triggerer_that_dies_between_a_batch_and_its_note_sends_it_again(
    batches, mirakl_sandbox, monkeypatch
):
    from airflow_provider_mirakl.jobs.book import JobBook

    task, submitted, died = batches(), JobBook.submitted, []

    class DiedError(BaseException):
        pass

    def dying(self: Any, entry: Any, job_id: Any) -> None:
        if not died:
            died.append(job_id)
            raise DiedError
        submitted(self, entry, job_id)

    monkeypatch.setattr(JobBook, "submitted", dying)
    fire = task.fire

    def replaced(trigger: Any) -> Any:
        try:
            return fire(trigger)
        except DiedError:
            return fire(trigger)

    monkeypatch.setattr(task, "fire", replaced)
    assert len(task.run()["job_ids"]) == 3
    assert died


def test_batches_that_may_not_be_repeated_stay_in_a_worker(batches, mirakl_sandbox):
    task = batches(on_unclear="search")
    assert len(task.run()["job_ids"]) == 3
    assert PACED not in kinds(task.deferrals)


def test_a_batch_that_mirakl_refuses_fails_the_task_and_a_retry_goes_on(batches, mirakl_sandbox):
    mirakl_sandbox.fault("status", "OF24", skip=1, status=400)
    task = batches()
    with pytest.raises(MiraklBadRequestError):
        task.run()
    task.ti.try_number = 2
    assert len(task.run()["job_ids"]) == 3
    assert sorted(status for status in offers(mirakl_sandbox) if status != 429) == [201, 201, 201, 400]


def test_a_delete_on_a_fresh_disk_at_every_return_deletes_nothing_twice(
    worker, mirakl_sandbox, on_fresh_disks
):
    ids = [f"p{number:03d}" for number in range(6)]
    mirakl_sandbox.seed({"id": item} for item in ids)
    task = worker(
        lambda: MiraklConnectDeleteProductsOperator(task_id="task", source=ids, batch_size=2, deferrable=True)
    )
    assert on_fresh_disks(task).run()["sent"] == 6
    assert sent(mirakl_sandbox, "deleteProducts") == dict.fromkeys(ids, 1)


def test_a_retry_on_a_fresh_disk_downloads_no_document_twice(worker, mirakl_sandbox, tmp_path):
    from airflow_provider_mirakl.operators.shop_documents import MiraklDownloadShopDocumentsOperator

    for number in range(3):
        mirakl_sandbox.put_document(2001, "INSURANCE", f"{number}.pdf", b"%PDF-1.4 proof")
    task = worker(
        lambda: MiraklDownloadShopDocumentsOperator(
            task_id="task",
            target=str(tmp_path / "lasting"),
            shop_ids=[2001],
            mirakl_conn_id="mirakl_operator",
        )
    )
    assert task.run()["stored"] == 3
    downloads = len(mirakl_sandbox.journal("S31"))
    shutil.rmtree(tmp_path / "work", ignore_errors=True)
    task.ti.try_number = 2
    task.run()
    assert len(mirakl_sandbox.journal("S31")) == downloads
    assert len(list((tmp_path / "lasting").rglob("*.pdf"))) == 3
