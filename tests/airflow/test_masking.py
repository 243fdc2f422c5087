"""Scheduler, triggerer and workers as separate processes: triggers poll Mirakl, tasks fail, no secret leaks."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from leaks import command_lines, in_text
from live_airflow import ON_3, LiveAirflow, Run
from operations import KEYS, MARK

from airflow_provider_mirakl.sandbox import Sandbox

PATIENCE = 600.0
EVENTS = "events.ndjson"
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
        for key in KEYS[self.role]:
            self.log.info("shown by the trigger: %s", key)
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
from airflow_provider_mirakl.operators.products import MiraklImportProductsOperator

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
    MiraklImportProductsOperator(task_id="imports", source=__file__, mirakl_conn_id="echo")

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
        for key in [key for keys in KEYS.values() for key in keys]:
            log.info("shown by the log: %s", key)
            print("shown by print:", key)

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
    **{each.role: each.key for each in KEYS["keys"]},
    "client": KEYS["clients"][0].secret,
    "wrong": f"wrong-key-7f3a9b{MARK}",
    "echo": f"echo-key-1b2c3d{MARK}",
    "proxy": f"proxy-pass-4e5f6a{MARK}",
}
"""Whatever writes one of them in another way than it is, changes it."""


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
            "extra": {"proxy": f"http://someone:{quote(PASSWORDS['proxy'], safe='')}@127.0.0.1:9"},
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
    with Sandbox(speed=60, **KEYS) as sandbox:
        sandbox.fault("status", path="/echo/*", status=400, body=f"you sent {PASSWORDS['echo']}", times=None)
        yield sandbox


@pytest.fixture(scope="module")
def seen() -> set[bytes]:
    """Command lines of Airflow's processes, noted while the Dag runs."""
    return set()


@pytest.fixture(scope="module")
def secrets(mirakl: Sandbox, run: Run) -> set[str]:
    """What must not be found anywhere, in any form."""
    tokens = mirakl.call(lambda world: list(world.tokens.dump()))
    assert tokens
    return {*PASSWORDS.values(), *tokens}


@pytest.fixture(scope="module")
def run(
    mirakl: Sandbox, migrated_db: Path, tmp_path_factory: pytest.TempPathFactory, seen: set[bytes]
) -> Iterator[Run]:
    """One run of the Dag, ended, on an Airflow of its own: what it writes is searched.

    The keys are given to Airflow one by one, in its environment, and stand in a module outside of its home.
    """
    modules, place = tmp_path_factory.mktemp("modules"), tmp_path_factory.mktemp("live")
    (modules / "live_triggers.py").write_text(TRIGGER.replace("__KEYS__", repr(SHOWN)))
    settings = {
        f"AIRFLOW_CONN_{name.upper()}": json.dumps(fields) for name, fields in connections(mirakl).items()
    }
    transport = {"type": "file", "log_file_path": str(place / "home" / EVENTS), "append": True}
    settings |= {
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG",
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport),
        "PYTHONPATH": str(modules),
    }
    with LiveAirflow(place / "home", place / "connections.json", migrated_db, **settings) as airflow:
        airflow.add_dag("live", DAG.replace("__FAILING__", repr(FAILING)))
        run = airflow.trigger("live")

        def is_over() -> bool:
            seen.update(command_lines(airflow.home))
            return run.state in ("success", "failed")

        airflow.until(is_over, f"{run} is over", PATIENCE)
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


def test_no_secret_is_written_anywhere(run, mirakl, secrets):
    """Neither in a log nor in the database: XCom, rendered fields, triggers, serialized Dags."""
    found = [
        (file.relative_to(run.airflow.home).as_posix(), secret)
        for file, content in everything_written(run.airflow.home)
        for secret in in_text(content, secrets)
    ]
    assert found == []


def test_no_secret_is_an_argument_of_a_process(run, seen, secrets):
    """Every user of the machine can read those."""
    assert any(b"triggerer" in command for command in seen) or sys.platform != "linux"
    assert in_text(b"\n".join(seen), secrets) == []


@pytest.mark.skipif(
    not find_spec("airflow.providers.openlineage"),
    reason="needs apache-airflow-providers-openlineage: make venv installs it",
)
def test_no_secret_is_in_a_lineage_event(run, secrets):
    events = run.airflow.home / EVENTS

    def told() -> list[Any]:
        lines = events.read_text().splitlines() if events.exists() else ()
        found = [event for event in map(json.loads, lines) if event["job"]["name"] == "live.imports"]
        return [event for event in found if event["eventType"] == "FAIL"]

    run.airflow.until(told, "the task that failed is told")
    assert "answered 400" in json.dumps(told())
    assert in_text(events.read_bytes(), secrets) == []


@pytest.mark.skipif(not ON_3, reason="needs the API of Airflow 3.0 or later: make matrix MATRIX=3.3.2")
def test_no_secret_is_in_what_the_pages_show(run, secrets):
    """The pages of Airflow 3 are made in the browser, of these."""
    of_run = f"/api/v2/dags/live/dagRuns/{run.run_id}"
    shown = {
        path: json.dumps(run.airflow.call("GET", path))
        for path in (
            of_run,
            f"{of_run}/taskInstances",
            *(
                f"{of_run}/taskInstances/{task}/logs/{run.task(task).try_number}"  # 3.0 may have lost the first
                for task in ("errors", "breaks", "imports", "ask_front")
            ),
            *(f"{of_run}/taskInstances/{task}/xcomEntries" for task in ("ask_front", "ask_connect")),
            f"{of_run}/taskInstances/imports",
            "/api/v2/dags/live/details",
            "/api/v2/connections",
            "/api/v2/eventLogs",
            "/api/v2/importErrors",
        )
    }
    logs = {path.split("/")[-3]: text for path, text in shown.items() if "/logs/" in path}
    assert "shown by the log: ***" in logs["errors"]
    assert "answered 400" in logs["imports"]
    assert {path: found for path, text in shown.items() if (found := in_text(text, secrets))} == {}
