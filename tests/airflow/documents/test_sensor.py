"""The sensor for documents gives the same in every mode; it waits on a real Airflow against the sandbox."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest

from airflow_provider_mirakl.sandbox import Sandbox

pytestmark = [pytest.mark.airflow, pytest.mark.matrix, pytest.mark.mirakl_sandbox_settings(speed=1)]

DAG = """
from datetime import datetime
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_mirakl.sensors.shop_documents import MiraklShopDocumentsSensor

with DAG({dag_id!r}, schedule=None, start_date=datetime(2024, 1, 1), catchup=False):
"""
MODES = {"poke": {}, "deferrable": {"deferrable": True}}


@pytest.fixture(autouse=True)
def _no_shortest_deferral(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scheduler whose race this avoids is not at work in ``dag.test()``."""
    from airflow_provider_mirakl.runtime import waiting

    monkeypatch.setattr(waiting, "SHORTEST_DEFERRAL", 0.0)


@pytest.fixture
def wait(run_dag: Any, sandbox: Sandbox) -> Any:
    """Runs sensors, by task id."""

    def run(**sensors: dict[str, Any]) -> Any:
        source = DAG.format(dag_id=f"sensor_{uuid.uuid4().hex}")
        for task_id, arguments in sensors.items():
            values = {"mirakl_conn_id": "mirakl_operator", "poke_interval": 0.2} | arguments
            listed = ", ".join(f"{name}={value!r}" for name, value in values.items())
            source += f"    MiraklShopDocumentsSensor(task_id={task_id!r}, {listed})\n"
        return run_dag(source)

    return run


def later(sandbox: Sandbox, *arguments: Any) -> threading.Thread:
    """Upload a document after the first poll has found none."""

    def hand_in() -> None:
        looked = threading.Event()
        while not sandbox.journal("S30"):
            looked.wait(0.05)
        sandbox.put_document(*arguments)

    thread = threading.Thread(target=hand_in, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("mode", MODES)
def test_the_papers_of_a_shop_are_complete(wait: Any, sandbox: Sandbox, mode: str) -> None:
    first = sandbox.put_document(2000, "BANK_DETAILS", "iban.pdf", b"x")
    sandbox.put_document(2001, "INSURANCE", "cover.pdf", b"of another shop")
    thread = later(sandbox, 2000, "INSURANCE", "cover.pdf", b"x")
    run = wait(t={"shop_ids": 2000, "type_codes": "BANK_DETAILS,INSURANCE", "timeout": 250} | MODES[mode])
    thread.join(250)
    assert run.state == "success"
    found = run.returned("t")
    assert found["items"] == 2
    assert [(d["id"], d["type"], d["shop_id"]) for d in found["documents"]] == [
        (first, "BANK_DETAILS", 2000),
        (first + 2, "INSURANCE", 2000),
    ]
    assert len(sandbox.journal("S30")) >= 2


@pytest.mark.parametrize("mode", MODES)
def test_something_new_arrives_in_any_shop(wait: Any, sandbox: Sandbox, mode: str) -> None:
    sandbox.put_document(2000, "BANK_DETAILS", "old.pdf", b"x")
    moment = sandbox.call(lambda world: world.clock.iso(world.clock.now()))
    thread = later(sandbox, 2001, "BANK_DETAILS", "new.pdf", b"x")
    run = wait(t={"uploaded_after": moment, "timeout": 250} | MODES[mode])
    thread.join(250)
    assert run.state == "success"
    assert [d["file_name"] for d in run.returned("t")["documents"]] == ["new.pdf"]


def test_a_seller_waits_for_its_own_documents(wait: Any, sandbox: Sandbox) -> None:
    sandbox.put_document(2000, "BANK_DETAILS", "iban.pdf", b"x")
    own = {"mirakl_conn_id": "mirakl_shop", "type_codes": ["BANK_DETAILS"], "timeout": 250}
    run = wait(poke=own, deferrable=own | MODES["deferrable"])
    assert run.state == "success"
    assert run.returned("poke") == run.returned("deferrable")


def test_every_mode_ends_in_the_same_way(wait: Any, sandbox: Sandbox) -> None:
    """Timeouts, flags and faults, each once in the worker and once in the triggerer."""
    in_vain = {"shop_ids": 2000, "type_codes": "BANK_DETAILS", "timeout": 0.5}
    cases: dict[str, tuple[dict[str, Any], str]] = {
        "timeout": (in_vain, "failed"),
        "soft_fail": (in_vain | {"soft_fail": True}, "skipped"),
        "never_fail": (in_vain | {"never_fail": True}, "skipped"),
        "no_shop": ({"type_codes": "A", "timeout": 250}, "failed"),
        "no_shop_soft": ({"type_codes": "A", "timeout": 250, "soft_fail": True}, "failed"),
        "no_shop_never": ({"type_codes": "A", "timeout": 250, "never_fail": True}, "skipped"),
        "unknown_shop": ({"shop_ids": 4711, "timeout": 250}, "failed"),
    }
    run = wait(
        **{
            f"{case}_{mode}": arguments | flags
            for case, (arguments, _) in cases.items()
            for mode, flags in MODES.items()
        }
    )
    assert run.tasks == {f"{case}_{mode}": state for case, (_, state) in cases.items() for mode in MODES}
