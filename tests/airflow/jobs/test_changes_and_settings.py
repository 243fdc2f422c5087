"""Exports of what changed, the wait for a permitted export, settings of an instance, and whole shops."""

from __future__ import annotations

import json
import os
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.exceptions import (
    MiraklConfigurationError,
    MiraklInputError,
    MiraklJobFailedError,
    MiraklNoteError,
)
from airflow_provider_mirakl.operators.catalog_manager import (
    MiraklExportDeletedProductsOperator,
    MiraklExportProductsOperator,
    MiraklExportProductStatusOperator,
)
from airflow_provider_mirakl.operators.offers import MiraklExportOffersOperator
from airflow_provider_mirakl.operators.settings import MiraklGetSettingsOperator
from airflow_provider_mirakl.operators.shops import MiraklListShopsOperator

pytestmark = [pytest.mark.airflow, pytest.mark.matrix]


@pytest.fixture
def task(worker: Any, mirakl_sandbox: Any, mirakl_sandbox_connections: Any) -> Any:
    """``task(Operator, run_id, **arguments)``: a worker with a task of the operator's connection."""
    mirakl_sandbox.world.settings.limits = "off"

    def make(kind: Any, run_id: str = "run", **arguments: Any) -> Any:
        arguments = {"mirakl_conn_id": "mirakl_operator", "deferrable": False} | arguments
        return worker(lambda: kind(task_id="task", **arguments), run_id=run_id)

    return make


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


# --- changes only ---------------------------------------------------------------------------------------------


def test_the_second_run_exports_what_changed_since_the_first(task, tmp_path, mirakl_sandbox):
    target = tmp_path / "catalog.ndjson"
    options = {"target": str(target), "changes_only": True, "overlap": 0}
    assert task(MiraklExportProductsOperator, "first", **options).run()["items"] == 40
    mirakl_sandbox.arrange_master_products({"id": "MKL-007", "stuck": False})
    assert task(MiraklExportProductsOperator, "second", **options).run()["items"] == 1
    assert [row["mirakl_product_id"] for row in lines(target)] == ["MKL-007"]
    assert task(MiraklExportProductsOperator, "third", **options).run()["items"] == 0


def test_a_cleared_run_begins_its_window_where_it_began(task, worker, tmp_path, mirakl_sandbox):
    options = {"target": str(tmp_path / "catalog.ndjson"), "changes_only": True, "overlap": 0}
    first = task(MiraklExportProductsOperator, "first", **options)
    assert first.run()["items"] == 40
    first.ti.max_tries = 1  # as clearing a task does
    assert first.run()["items"] == 40


def test_an_export_that_failed_moves_no_watermark(task, tmp_path, mirakl_sandbox):
    options = {"target": str(tmp_path / "catalog.ndjson"), "changes_only": True}
    mirakl_sandbox.fault("fail_job", "CM52")
    with pytest.raises(MiraklJobFailedError):
        task(MiraklExportProductsOperator, "first", **options).run()
    assert not list((tmp_path / "work").rglob("watermark*"))
    assert task(MiraklExportProductsOperator, "second", **options).run()["items"] == 40


def test_offers_have_a_watermark_of_their_own_and_the_front_office_may_export_them(
    task, tmp_path, mirakl_sandbox
):
    mark = tmp_path / "mark.txt"
    options = {"mirakl_conn_id": "mirakl_front", "changes_only": True, "watermark": str(mark)}
    result = task(MiraklExportOffersOperator, target=str(tmp_path / "offers.ndjson"), **options).run()
    assert result["items"] == 0
    assert datetime.fromisoformat(json.loads(mark.read_text("utf-8"))["content"]["until"]).tzinfo is not None


def test_a_window_is_set_in_one_way(task, tmp_path, mirakl_sandbox):
    options = {
        "target": str(tmp_path / "x.ndjson"),
        "changes_only": True,
        "updated_since": "2026-01-01T00:00:00Z",
    }
    with pytest.raises(MiraklConfigurationError, match="leave out updated_since"):
        task(MiraklExportProductsOperator, **options).run()
    assert not mirakl_sandbox.journal()


def test_a_watermark_needs_a_task_that_writes_its_target(task, tmp_path, mirakl_sandbox):
    options = {"task_id": "t", "target": str(tmp_path / "x.ndjson"), "wait_for_completion": False}
    words = "changes_only needs wait_for_completion"
    with pytest.raises(MiraklConfigurationError, match=words):  # when the Dag is parsed
        MiraklExportOffersOperator(changes_only=True, **options)
    templated = MiraklExportOffersOperator(changes_only="{{ params.x }}", **options)
    templated.changes_only = True  # as rendering does
    with pytest.raises(MiraklConfigurationError, match=words):
        _ = templated.since


@pytest.mark.parametrize(
    "content", [b"", b"yesterday", b"\xff\xfe", b"2026-01-01T00:00:00Z\n{oops", b"null\n[]"]
)
def test_a_damaged_watermark_is_named_with_its_path(task, tmp_path, mirakl_sandbox, content):
    mark = tmp_path / "mark.txt"
    mark.write_bytes(content)
    options = {"target": str(tmp_path / "x.ndjson"), "watermark": str(mark)}
    for kind, more in (
        (MiraklExportProductsOperator, {"changes_only": True}),
        (MiraklExportDeletedProductsOperator, {}),
    ):
        with pytest.raises(
            MiraklNoteError, match=r"mark\.txt, which records .* cannot be read: .* Write the time into it"
        ):
            task(kind, **options, **more).run()
    assert not mirakl_sandbox.journal()


# --- a call that comes too early ------------------------------------------------------------------------------


def test_everything_again_within_four_hours_waits_in_the_triggerer(
    task, tmp_path, mirakl_sandbox, monkeypatch
):
    from airflow.providers.common.compat.sdk import TaskDeferred

    connection = json.loads(os.environ["AIRFLOW_CONN_MIRAKL_SHOP"])
    connection["extra"] = {**connection["extra"], "max_wait": 0, "interval_factor": 1}
    monkeypatch.setenv("AIRFLOW_CONN_MIRAKL_SHOP", json.dumps(connection))
    options = {"target": str(tmp_path / "s.ndjson"), "mirakl_conn_id": "mirakl_shop", "deferrable": True}
    mark = {name: str(tmp_path / f"{name}.txt") for name in ("one", "two")}
    began = time.time()
    task(MiraklExportProductStatusOperator, watermark=mark["one"], **options).run()
    again = task(MiraklExportProductStatusOperator, watermark=mark["two"], **options)
    monkeypatch.setattr(
        again, "fire", lambda trigger: (_ for _ in ()).throw(TaskDeferred(trigger=trigger, method_name="x"))
    )
    with pytest.raises(TaskDeferred) as caught:
        again.run()
    assert began + 4 * 3600 <= caught.value.trigger.moment <= time.time() + 4 * 3600
    assert len(mirakl_sandbox.journal("CM11")) == 1


@pytest.mark.mirakl_sandbox_settings(speed=6000.0)
def test_a_limit_of_mirakl_is_waited_for_in_the_worker(task, tmp_path, mirakl_sandbox):
    mirakl_sandbox.fault("throttle", "CM11", retry_after="seconds", times=8)
    options = {"target": str(tmp_path / "s.ndjson"), "mirakl_conn_id": "mirakl_shop"}
    assert task(MiraklExportProductStatusOperator, **options).run()["items"] > 0


def test_filters_of_an_export_that_answers_at_once(task, tmp_path, mirakl_sandbox):
    options = {"target": str(tmp_path / "s.ndjson"), "mirakl_conn_id": "mirakl_shop"}
    only = {"provider_unique_identifiers": ["SHOP-003", "SHOP-004"], "watermark": str(tmp_path / "a.txt")}
    assert task(MiraklExportProductStatusOperator, **options, **only).run()["items"] == 2


# --- settings -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "setting",
    [
        "additional_fields", "attributes", "channels", "configuration", "currencies", "document_types", "hierarchies",
        "locales", "shop_roles", "values_lists",
    ],
)  # fmt: skip
@pytest.mark.parametrize("conn_id", ["mirakl_shop", "mirakl_operator", "mirakl_front"])
def test_every_setting_is_read_by_every_role_and_kept(
    worker, mirakl_sandbox, mirakl_sandbox_connections, monkeypatch, setting, conn_id
):
    uncached = setting in ("configuration", "shop_roles")
    if not uncached:  # the cache of an hour must outlive the test
        connection = mirakl_sandbox_connections[conn_id]
        connection["extra"]["interval_factor"] = 1
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))

    def make() -> Any:
        return MiraklGetSettingsOperator(task_id="task", setting=setting, mirakl_conn_id=conn_id)

    first, second = worker(make).run(), worker(make).run()
    assert first == second
    assert first["platform_name"] if setting == "configuration" else all(entry["code"] for entry in first)
    calls = [call for call in mirakl_sandbox.journal() if call["status"] == 200]
    assert len(calls) == (2 if uncached else 1)


def test_a_setting_goes_to_a_file_and_is_narrowed(
    worker, tmp_path, mirakl_sandbox, mirakl_sandbox_connections
):
    def run(**arguments: Any) -> Any:
        arguments = {"mirakl_conn_id": "mirakl_operator"} | arguments
        return worker(lambda: MiraklGetSettingsOperator(task_id="task", **arguments)).run()

    target = tmp_path / "hierarchies.ndjson"
    result = run(setting="hierarchies", target=str(target))
    assert result.pop("folder").startswith(str(tmp_path / "work"))
    assert result == {"target": str(target), "items": len(lines(target))}
    assert 0 < len(run(setting="hierarchies", query={"hierarchy": "headphones"})) <= result["items"]
    with pytest.raises(MiraklInputError, match="'hierarchy'; L01 accepts none"):
        run(setting="locales", query={"hierarchy": "x"})


# --- shops ----------------------------------------------------------------------------------------------------


def test_whole_shops_go_to_a_file(worker, tmp_path, mirakl_sandbox, mirakl_sandbox_connections):
    target = tmp_path / "shops.ndjson"
    ids = worker(
        lambda: MiraklListShopsOperator(task_id="task", target=str(target), mirakl_conn_id="mirakl_operator")
    ).run()
    rows = lines(target)
    assert [row["shop_id"] for row in rows] == ids
    assert all(row["shop_name"] for row in rows)
