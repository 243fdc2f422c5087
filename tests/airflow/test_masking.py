"""Scheduler, triggerer and workers as separate processes: triggers poll Mirakl, tasks fail, no secret leaks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live_airflow import LiveAirflow, Run

from airflow_provider_mirakl.sandbox import Sandbox

PATIENCE = 600.0
pytestmark = [pytest.mark.airflow, pytest.mark.matrix, pytest.mark.slow, pytest.mark.timeout(2 * PATIENCE)]

TRIGGER = """
import asyncio

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_mirakl.api.connect import list_products
from airflow_provider_mirakl.api.platform import get_platform_configuration
from airflow_provider_mirakl.hooks.base import hook_of
from airflow_provider_mirakl.hooks.mirakl import MiraklHook
from airflow_provider_mirakl.hooks.mirakl_connect import MiraklConnectHook


class AskTrigger(BaseTrigger):
    def __init__(self, conn_id, role):
        super().__init__()
        self.conn_id, self.role = conn_id, role

    def serialize(self):
        return "live_triggers.AskTrigger", {"conn_id": self.conn_id, "role": self.role}

    async def run(self):
        if self.role == "connect":
            hook, call = MiraklConnectHook(self.conn_id), list_products()
        else:
            hook, call = MiraklHook(self.conn_id, role=self.role), get_platform_configuration()
        async with await hook.get_async_conn() as client:
            await client.send(call)
        self.log.info("shown by the trigger: %s", KEYS[self.role])
        await asyncio.sleep(10)  # Airflow's scheduler loses tasks whose trigger fires sooner
        yield TriggerEvent({"answered": call.operation.code, "role": hook.values.role})


KEYS = __KEYS__
"""

DAG = """
import logging
from datetime import datetime

from airflow.providers.common.compat.sdk import BaseOperator, dag, task
from live_triggers import KEYS, AskTrigger

from airflow_provider_mirakl.hooks.base import hook_of
from airflow_provider_mirakl.hooks.mirakl import MiraklHook

log = logging.getLogger("live")


class Ask(BaseOperator):
    def __init__(self, *, conn_id, role, **kwargs):
        super().__init__(**kwargs)
        self.conn_id, self.role = conn_id, role

    def execute(self, context):
        self.defer(trigger=AskTrigger(self.conn_id, self.role), method_name="asked")

    def asked(self, context, event):
        return event


@dag(schedule=None, start_date=datetime(2024, 1, 1), catchup=False)
def live():
    Ask(task_id="ask_connect", conn_id="connect", role="connect")
    Ask(task_id="ask_front", conn_id="both", role="front")

    @task
    def errors():
        for conn_id in __FAILING__:
            hook = hook_of(conn_id)
            worked, said = hook.test_connection()
            log.info("%s: %s %s", conn_id, worked, said)
            try:
                with hook.get_conn() as client:
                    log.info("%r %r %r", hook, hook.settings, client)
                    hook._probe(client)
            except Exception:
                log.exception("%s failed", conn_id)
                log.debug("settings %s", vars(hook))
        for conn_id in ("both", "connect", "proxied"):
            hook_of(conn_id).settings
        log.info("shown by the log: %s", KEYS)
        print("shown by print:", KEYS)

    @task
    def breaks():
        with MiraklHook("wrong_key").get_conn() as client:
            from airflow_provider_mirakl.api.platform import get_platform_configuration

            client.send(get_platform_configuration())

    @task
    def disabled():
        MiraklHook("off").get_conn()

    errors() >> disabled()
    breaks()


live()
"""

PASSWORDS = {
    "shop": "sandbox-shop-key",
    "operator": "sandbox-operator-key",
    "front": "sandbox-front-key",
    "client": "sandbox-secret",
    "wrong": "wrong-key-7f3a9b",
    "echo": "echo-key-1b2c3d",
    "proxy": "proxy-pass-4e5f6a",
}


# What is written on purpose, by role; every role's connection holds these.
SHOWN = {
    "connect": [PASSWORDS["client"]],
    "front": [PASSWORDS["operator"], PASSWORDS["front"]],
    "proxied": [PASSWORDS["wrong"], PASSWORDS["proxy"]],
}


def connections(sandbox: Sandbox) -> dict[str, dict[str, Any]]:
    instance = {"conn_type": "mirakl", "host": sandbox.mirakl_url}
    wrong, token_url = PASSWORDS["wrong"], sandbox.token_url
    connect = {"conn_type": "mirakl_connect", "host": sandbox.connect_url, "login": "sandbox-client"}
    return {
        "connect": {**connect, "password": PASSWORDS["client"], "extra": {"token_url": token_url}},
        "both": {
            **instance,
            "password": PASSWORDS["operator"],
            "extra": {"role": "operator", "front_api_key": PASSWORDS["front"]},
        },
        "off": {**instance, "password": PASSWORDS["shop"], "extra": {"enabled": False}},
        "wrong_key": {**instance, "password": wrong},
        "wrong_front_key": {
            **instance,
            "password": wrong,
            "extra": {"role": "front", "front_api_key": wrong + "f"},
        },
        "wrong_secret": {**connect, "password": wrong, "extra": {"token_url": token_url}},
        "wrong_token_url": {**connect, "password": wrong, "extra": {"token_url": f"{sandbox.url}/nowhere"}},
        "wrong_path": {**instance, "host": f"{sandbox.mirakl_url}/shop/login", "password": wrong},
        "wrong_djust": {"conn_type": "djust", "host": sandbox.djust_url, "password": wrong},
        "echo": {**instance, "host": f"{sandbox.mirakl_url}/echo", "password": PASSWORDS["echo"]},
        "no_host": {**instance, "host": "https://no-such-host.invalid", "password": wrong},
        "nobody": {**instance, "host": "http://127.0.0.1:9", "password": wrong},
        "plain_http": {**instance, "host": "http://shop.example", "password": wrong},
        "pasted": {**instance, "password": f"Bearer {wrong}"},
        "torn": {**instance, "password": f"{wrong}\n{wrong}"},
        "proxied": {
            **instance,
            "host": "https://shop.mirakl.example",
            "password": wrong,
            "extra": {"proxy": f"http://someone:{PASSWORDS['proxy']}@127.0.0.1:9"},
        },
    }


FAILING = [
    "wrong_key",
    "wrong_front_key",
    "wrong_secret",
    "wrong_token_url",
    "wrong_path",
    "wrong_djust",
    "echo",
    "no_host",
    "nobody",
    "plain_http",
    "pasted",
    "torn",
    "proxied",
]


@pytest.fixture(scope="module")
def mirakl() -> Iterator[Sandbox]:
    with Sandbox(speed=60) as sandbox:
        sandbox.fault("status", path="/echo/*", status=400, body=f"you sent {PASSWORDS['echo']}", times=None)
        yield sandbox


@pytest.fixture(scope="module")
def run(mirakl: Sandbox, migrated_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """One run of the Dag, ended, on an Airflow of its own: what it writes is searched.

    The keys are given to Airflow one by one, in its environment, and stand in a module outside of its home.
    """
    modules, place = tmp_path_factory.mktemp("modules"), tmp_path_factory.mktemp("live")
    (modules / "live_triggers.py").write_text(TRIGGER.replace("__KEYS__", repr(SHOWN)))
    settings = {
        f"AIRFLOW_CONN_{name.upper()}": json.dumps(fields) for name, fields in connections(mirakl).items()
    }
    settings |= {"AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG", "PYTHONPATH": str(modules)}
    with LiveAirflow(place / "home", place / "connections.json", migrated_db, **settings) as airflow:
        airflow.add_dag("live", DAG.replace("__FAILING__", repr(FAILING)))
        run = airflow.trigger("live")
        run.until_done(PATIENCE)
        yield run


def everything_written(home: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file below Airflow's home, as it is searched."""
    for file in home.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            if file.suffix == ".out":
                # Airflow's local executor repeats task logs on its own output without any masking: what was
                # written there on purpose is left out, and the rest shows that nothing of ours needs to be masked.
                content = b"\n".join(line for line in content.splitlines() if b"shown by" not in line)
            yield file, content


def test_triggers_ask_mirakl(run, mirakl):
    """Two at once, on one event loop; none blocks it forever."""
    assert (run.task("ask_connect").state, run.task("ask_front").state) == ("success", "success")
    asked = {(call["operation"], call["role"]) for call in mirakl.journal() if call["status"] == 200}
    assert {("listProducts", "connect"), ("PC01", "front")} <= asked


def test_a_disabled_connection_skips(run):
    assert run.task("disabled").state == "skipped"


def test_every_kind_of_error_happened(run):
    assert run.task("breaks").state == "failed"
    assert run.task("errors").state == "success"
    log = run.log("errors")
    for conn_id in FAILING:
        assert f"{conn_id} failed" in log
    assert "httpcore" in log or "DEBUG" in log.upper()


def test_what_is_shown_is_masked(run):
    """Tasks and triggers wrote keys on purpose; what arrived in the logs is ``***``."""
    shown = {"errors": ["shown by the log", "shown by print"]}
    shown |= {f"ask_{role}": ["shown by the trigger"] for role in ("connect", "front")}
    for task_id, words in shown.items():
        for word in words:
            assert [line for line in run.log(task_id).splitlines() if word in line and "***" in line]


def test_no_secret_is_written_anywhere(run, mirakl):
    """Neither in a log nor in the database: XCom, rendered fields, triggers, serialized Dags."""
    tokens = mirakl.call(lambda world: list(world.tokens.dump()))
    assert tokens
    found = [
        (file.relative_to(run.airflow.home).as_posix(), secret)
        for file, content in everything_written(run.airflow.home)
        for secret in [*PASSWORDS.values(), *tokens]
        if secret.encode() in content
    ]
    assert found == []
