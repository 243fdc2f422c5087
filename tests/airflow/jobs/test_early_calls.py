"""Calls that Mirakl does not permit yet: a task that can leave the worker does not wait for them there."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout

from airflow_provider_mirakl.api.connect import list_products
from airflow_provider_mirakl.api.conversations import create_conversation
from airflow_provider_mirakl.exceptions import MiraklServerError
from airflow_provider_mirakl.hooks.mirakl_connect import MiraklConnectHook
from airflow_provider_mirakl.operators.catalog_manager import MiraklExportProductStatusOperator
from airflow_provider_mirakl.operators.connect_conversations import MiraklConnectExtractConversationsOperator
from airflow_provider_mirakl.runtime import trip, waiting
from airflow_provider_mirakl.sandbox import Sandbox
from airflow_provider_mirakl.sensors import connect_poll
from airflow_provider_mirakl.sensors.connect import MiraklConnectProductsSensor

pytestmark = [pytest.mark.airflow, pytest.mark.matrix, pytest.mark.mirakl_sandbox_settings(limits="off")]
MODES = ({"mode": "poke"}, {"mode": "reschedule"}, {"deferrable": True})


class LeftError(Exception):
    """The task has left the worker; the test has seen enough."""


@pytest.fixture
def spaced(mirakl_sandbox_connections: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, float], None]:
    """``spaced(conn_id, factor)``: stretches the intervals of a connection."""

    def set_factor(conn_id: str, factor: float) -> None:
        connection = mirakl_sandbox_connections[conn_id]
        connection["extra"]["interval_factor"] = factor
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))

    return set_factor


def leaving(task: Any) -> Any:
    """The trigger with which a task leaves its worker."""
    left: list[Any] = []

    def fire(trigger: Any) -> None:
        left.append(trigger)
        raise LeftError

    task.fire = fire
    with pytest.raises(LeftError):
        task.run()
    return left[0]


@pytest.fixture
def five_products(
    mirakl_sandbox: Sandbox, spaced: Any, monkeypatch: Any, tmp_path: Path
) -> Callable[[bool], Any]:
    """``five_products(by_plan)``: on three pages; what a sensor asks for that must read all of them."""
    monkeypatch.setattr(connect_poll, "list_products", partial(list_products, limit=2))
    spaced("mirakl_connect_default", 1 / 120)
    rows = [{"id": f"P-{number}"} for number in range(5)]
    mirakl_sandbox.seed(rows)

    def wanted(by_plan: bool) -> dict[str, Any]:
        from airflow_provider_mirakl.catalog.plan import plan_upsert

        if not by_plan:
            return {"product_ids": ["P-0", "P-4"]}
        source = tmp_path / "p.ndjson"
        source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        plan_upsert(source, tmp_path / "plan")
        return {"submitted": str(tmp_path / "plan")}

    return wanted


@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("by_plan", [False, True])
def test_a_round_of_several_pages_reads_each_once(
    worker: Any, mirakl_sandbox: Sandbox, five_products: Any, mode: Any, by_plan: bool
) -> None:
    """The sensor leaves the worker between two pages, and goes on where it was."""
    wanted = five_products(by_plan)
    task = worker(
        lambda: MiraklConnectProductsSensor(task_id="task", timeout=600, poke_interval=60, **mode, **wanted)
    )
    assert task.run()["succeeded"] == (5 if by_plan else 2)
    assert len(mirakl_sandbox.journal("listProducts")) == 3
    assert task.reschedules == (2 if mode == {"mode": "reschedule"} else 0)


@pytest.mark.parametrize("mode", MODES[1:], ids=str)
@pytest.mark.parametrize("by_plan", [False, True])
def test_a_round_that_is_continued_hours_later_starts_over(
    worker: Any, mirakl_sandbox: Sandbox, five_products: Any, monkeypatch: Any, mode: Any, by_plan: bool
) -> None:
    """The catalog has changed meanwhile, and Mirakl may not know the page any more."""
    wanted, processes = five_products(by_plan), list[str]()
    monkeypatch.setattr(
        connect_poll, "time", SimpleNamespace(time=lambda: time.time() + 7200 * (len(processes) == 2))
    )

    def start() -> Any:
        processes.append("worker")
        return MiraklConnectProductsSensor(task_id="task", timeout=600, poke_interval=60, **mode, **wanted)

    task = worker(start)
    task.meanwhile = lambda: processes.append("triggerer")
    task.run()
    continued = ["page_token" in call["query"] for call in mirakl_sandbox.journal("listProducts")]
    assert continued == [False, False, True, True]


def test_a_triggerer_that_restarts_does_not_find_what_was_seen_hours_ago(
    worker: Any, mirakl_sandbox: Sandbox, five_products: Any, monkeypatch: Any
) -> None:
    """It starts with the arguments that the worker stored, however many rounds later."""
    five_products(False)
    task = worker(
        lambda: MiraklConnectProductsSensor(
            task_id="task", timeout=600, poke_interval=60, product_ids=["P-0", "Z-9"], deferrable=True
        )
    )
    trigger = leaving(task)
    assert trigger.arguments["begun"]["seen"] == ["P-0"]
    mirakl_sandbox.reset()
    mirakl_sandbox.seed([{"id": f"P-{number}"} for number in range(1, 5)] + [{"id": "Z-9"}])
    del task.fire
    trigger.first, trigger.deadline = time.time(), time.time() + 3
    monkeypatch.setattr(connect_poll, "time", SimpleNamespace(time=lambda: time.time() + 7200))
    assert task.fire(trigger)["status"] == "timeout"
    assert len(mirakl_sandbox.journal("listProducts")) > 3


def failing(monkeypatch: pytest.MonkeyPatch, fails: Callable[[str | None], bool]) -> None:
    """Let pages fail.

    :param fails: whether a page does, by its token.
    """
    send = connect_poll.send

    def failing_send(call: Any) -> Any:
        if fails(dict(call.params).get("page_token")):
            raise MiraklServerError("502", operation="listProducts", status=502)
        return (yield from send(call))

    monkeypatch.setattr(connect_poll, "send", failing_send)


@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("by_plan", [False, True])
def test_failures_with_a_page_between_them_are_not_in_a_row(
    worker: Any, mirakl_sandbox: Sandbox, five_products: Any, monkeypatch: Any, mode: Any, by_plan: bool
) -> None:
    """Every page fails once."""
    wanted, failed = five_products(by_plan), set[Any]()

    def once(page: str | None) -> bool:
        is_new = page not in failed
        failed.add(page)
        return is_new

    failing(monkeypatch, once)
    task = worker(
        lambda: MiraklConnectProductsSensor(
            task_id="task", timeout=600, poke_interval=60, max_failures=1, **mode, **wanted
        )
    )
    assert task.run()["succeeded"] == (5 if by_plan else 2)
    assert len(failed) == len(mirakl_sandbox.journal("listProducts")) == 3


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_a_page_that_always_fails_ends_the_round(
    worker: Any, five_products: Any, monkeypatch: Any, mode: Any
) -> None:
    wanted = five_products(False)
    failing(monkeypatch, lambda page: page is not None)
    task = worker(
        lambda: MiraklConnectProductsSensor(
            task_id="task", timeout=600, poke_interval=60, max_failures=1, **mode, **wanted
        )
    )
    with pytest.raises(MiraklServerError):
        task.run()


def test_pages_of_a_round_on_another_disk_are_read_again(
    worker: Any, mirakl_sandbox: Sandbox, spaced: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from airflow_provider_mirakl.catalog.plan import plan_delete

    monkeypatch.setattr(connect_poll, "list_products", partial(list_products, limit=1))
    spaced("mirakl_connect_default", 1 / 120)
    mirakl_sandbox.seed([{"id": "Q-1"}, {"id": "Q-2"}])
    plan_delete(["P-1"], tmp_path / "plan")
    task = worker(
        lambda: MiraklConnectProductsSensor(
            task_id="task", timeout=600, poke_interval=60, submitted=str(tmp_path / "plan"), deferrable=True
        )
    )
    task.meanwhile = lambda: [path.unlink() for path in (tmp_path / "plan").rglob("verify-*/*")]
    assert task.run()["succeeded"] == 1
    assert len(mirakl_sandbox.journal("listProducts")) > 2


def test_two_runs_of_a_sensor_that_read_one_submission_do_not_share_pages(
    worker: Any, mirakl_sandbox_connections: Any, tmp_path: Path
) -> None:
    from airflow_provider_mirakl.catalog.plan import plan_delete

    plan_delete(["P-1"], tmp_path / "plan")
    for run_id in ("one", "two"):
        task = worker(
            lambda: MiraklConnectProductsSensor(task_id="task", submitted=str(tmp_path / "plan")),
            run_id=run_id,
        )
        assert task.run()["succeeded"] == 1
    assert len({path.parent for path in (tmp_path / "plan").rglob("verify-*/state.json")}) == 2


def test_a_first_poll_that_is_refused_is_made_when_it_is_permitted(
    worker: Any, mirakl_sandbox: Sandbox, spaced: Any
) -> None:
    """Not after the whole interval, and not in the worker."""
    spaced("mirakl_connect_default", 1)
    mirakl_sandbox.fault("throttle", "listProducts", retry_after="20")
    task = worker(lambda: MiraklConnectProductsSensor(task_id="task", product_ids=["P"], deferrable=True))
    trigger = leaving(task)
    assert 0 < trigger.first - task.began_at < 100
    assert trigger.interval == 300


def test_an_export_that_comes_a_little_early_leaves_the_worker(
    worker: Any, mirakl_sandbox: Sandbox, spaced: Any, tmp_path: Path
) -> None:
    """CM11 is permitted every five minutes. The client itself would wait up to two for it."""
    mirakl_sandbox.world.settings.limits = "off"
    spaced("mirakl_shop", 0.2)

    def task(run_id: str) -> Any:
        options = {"target": str(tmp_path / f"{run_id}.ndjson"), "watermark": str(tmp_path / "mark.txt")}
        (tmp_path / "mark.txt").write_text("2026-01-01T00:00:00Z", encoding="utf-8")
        return worker(
            lambda: MiraklExportProductStatusOperator(
                task_id="task", mirakl_conn_id="mirakl_shop", deferrable=True, **options
            ),
            run_id=run_id,
        )

    task("first").run()
    second = task("second")
    trigger = leaving(second)
    assert 30 < trigger.moment - second.began_at < 90
    assert trigger.state["began"] == second.ti.start_date.timestamp()


def test_a_page_whose_messages_are_refused_is_not_read_again(
    worker: Any,
    mirakl_sandbox: Sandbox,
    mirakl_sandbox_connections: object,
    out_of_reach: Callable[[Any], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is in memory only: in another process it would be read again, and refused again.

    The triggerer cannot access the plan, so a worker makes the calls.
    """
    monkeypatch.setattr(trip, "FIRST_LEAD", 0.0)
    with MiraklConnectHook().get_conn() as client:
        for order_id in mirakl_sandbox.place_orders(3):
            client.send(create_conversation(order_id, topic="Delay", body="Late"))
    mirakl_sandbox.advance(60)
    mirakl_sandbox.fault("throttle", "getConversationMessages", retry_after="1", skip=1, times=2)
    task = worker(
        lambda: MiraklConnectExtractConversationsOperator(
            task_id="task", target=str(tmp_path / "lake"), messages=True, deferrable=True
        )
    )
    assert out_of_reach(task).run()["items"]["conversations"] == 3
    assert len(mirakl_sandbox.journal("listConversations")) == 1
    assert len(task.deferrals) == 1


def test_a_resync_that_polls_often_leaves_the_worker_too(
    worker: Any, mirakl_sandbox: Sandbox, spaced: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It polls there for as long as a deferral would take, and no longer."""
    from airflow_provider_mirakl.operators.resync import MiraklResyncProductsOperator

    monkeypatch.setattr(waiting, "SHORTEST_DEFERRAL", 0.3)
    spaced("mirakl_operator", 0.001)
    mirakl_sandbox.world.settings.queue_seconds = 1e6
    task = worker(
        lambda: MiraklResyncProductsOperator(
            task_id="task",
            products=[{"mirakl_product_id": "MKL-001", "product_sku": "SKU-001"}],
            mirakl_conn_id="mirakl_operator",
            route="direct",
            timeout=600,
            poll_interval=60,
            deferrable=True,
        )
    )
    began = time.monotonic()
    trigger = leaving(task)
    assert trigger.interval == pytest.approx(0.06)
    assert time.monotonic() - began < 60


@pytest.mark.parametrize(("retry_after", "timeout", "longest"), [("3600", 2, 10), ("0", 100, 60)])
def test_a_sensor_that_is_refused_polls_again_within_its_timeout(
    worker: Any, mirakl_sandbox: Sandbox, spaced: Any, retry_after: str, timeout: float, longest: float
) -> None:
    """Not after it, and not at once again."""
    spaced("mirakl_connect_default", 1 / 600)
    mirakl_sandbox.fault("throttle", "listProducts", retry_after=retry_after, times=1)
    mirakl_sandbox.seed([{"id": "P"}])
    task = worker(
        lambda: MiraklConnectProductsSensor(
            task_id="task", product_ids=["P"], mode="reschedule", timeout=timeout, poke_interval=60
        )
    )
    began = time.monotonic()
    if retry_after == "3600":
        with pytest.raises(AirflowSensorTimeout):
            task.run()
    else:
        task.run()
    assert time.monotonic() - began < longest
