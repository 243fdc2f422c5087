"""A trigger fits into its row: MySQL stores its encrypted arguments in 65,535 bytes."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from airflow.models.trigger import Trigger

from airflow_provider_mirakl.repair.pairs import Pair
from airflow_provider_mirakl.repair.proof import ProductState
from airflow_provider_mirakl.repair.record import Repair
from airflow_provider_mirakl.repair.routes import DirectRoute, DjustRoute
from airflow_provider_mirakl.runtime.task_run import Memory, fits
from airflow_provider_mirakl.runtime.waiting import Wait

NO_CLIENT: Any = None
DIRECT = DirectRoute(NO_CLIENT, "operator")
DJUST = DjustRoute(NO_CLIENT, "djust", None, has_proof=True)
ROOM = 65_535
FAILING = ("INTEGRATION_ERRORS", ("ERR: Attribute color: value is missing",))


def repair(count: int, length: int = 36) -> Repair:
    pairs = [Pair(str(uuid4()).ljust(length, "x"), f"SKU-{n:08d}") for n in range(count)]
    before = {
        pair.mirakl_product_id: ProductState(FAILING[0], pair.product_sku, FAILING[1]) for pair in pairs
    }
    return Repair(pairs, before=before, sent=count, job_ids=[str(uuid4())])


def stored(route: Any, found: Repair) -> tuple[int, dict[str, str]]:
    """The bytes that Airflow stores, and the notes among them."""
    encrypt = getattr(Trigger, "encrypt_kwargs", None) or Trigger._encrypt_kwargs  # 2.x
    question = route.question(found)
    wait = Wait(
        poll=question.poll,
        arguments=question.arguments,
        hook=SimpleNamespace(conn_id="mirakl_operator_production", role="operator"),  # type: ignore[arg-type]
        interval=60.0,
        deadline=time.time() + 3600,
        max_failures=5,
    )
    memory = Memory()
    memory.set("repair.json", msgspec.json.encode(found).decode())
    trigger = wait.trigger(began=time.time(), carried=memory.carried)
    return len(encrypt(trigger.serialize()[1])), trigger.carried or {}


@pytest.fixture(autouse=True)
def encrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Fernet key, since Airflow encrypts only with one."""
    from airflow.models import crypto
    from cryptography.fernet import Fernet

    key = Fernet(Fernet.generate_key())
    monkeypatch.setattr("airflow.models.crypto.get_fernet", lambda: key)
    assert crypto.get_fernet() is key


@pytest.mark.airflow
@pytest.mark.parametrize("count", [100, 200, 250, 300, 350, 400, 600, 1000])
@pytest.mark.parametrize("route", [DIRECT, DJUST], ids=["direct", "djust"])
def test_a_resync_of_any_size_can_be_deferred(route: Any, count: int) -> None:
    size, carried = stored(route, repair(count))
    assert size < ROOM
    assert bool(carried) or count > 100


@pytest.mark.airflow
def test_a_thousand_ids_of_forty_characters_fit_with_their_errors() -> None:
    found = repair(1000, length=40)
    question = DJUST.question(found)
    assert question is not None
    assert fits(question.arguments)
    assert stored(DJUST, found)[0] < ROOM
    question = DJUST.question(repair(1000, length=60))
    assert question is not None
    assert not fits(question.arguments), "the task waits in its worker instead"
