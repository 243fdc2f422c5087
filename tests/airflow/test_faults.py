"""Every operation with every fault, in a worker and in the triggerer: nothing is lost, doubled or untrue.

``make faults`` runs every cell of ``fault_matrix.py``; a run of the suite takes a dozen, with fixed choices. The
sandbox's time runs 20,000 times as fast, so a wait of a day takes four seconds; the client's own pauses are as short.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import random
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent / "live"))
import fault_matrix
from airflow.providers.common.compat.sdk import BaseOperator
from fault_matrix import FAULTS, OTHERWISE, PARTLY, PERSON, Fault, ends
from matrix_operations import MORE
from operations import OPERATIONS as STRUCK
from operations import Operation, Stand

from airflow_provider_mirakl import operators, sensors
from airflow_provider_mirakl.client import exchange
from airflow_provider_mirakl.jobs.table import JOBS as KINDS
from airflow_provider_mirakl.runtime import waiting
from airflow_provider_mirakl.sandbox.machine.faults import KINDS as KINDS_OF_FAULTS
from airflow_provider_mirakl.sandbox.operations import OPERATIONS as CALLS
from airflow_provider_mirakl.shops import fetch

OPERATIONS = (*STRUCK, *MORE)
SPEED = 20_000.0
SAMPLE = 12
PACED = {"upsert", "upsert in a worker", "delete", "delta", "catalog export", "orders extract"}
JOBS = {"resync", "shipments", "P41", "OF01", "OF24", "STO01", "PRI01", "OF52", "CM52", "CM21"}
REPEATABLE = {kind.code for kind in KINDS.values() if kind.unclear == "resend"} | {"OF24", "A02"}
"""What is sent again when it is not known whether Mirakl took it, because that does no harm."""
BOUND = re.compile(r"(try|failure) \d+ of \d+|(refused_timeout|timeout)=|did not end within")
ERROR = re.compile(r"^(?:airflow\S*\.)?(Mirakl\w+Error|AirflowSensorTimeout)(?::|$)", re.MULTILINE)


ROOT = Path(__file__).parents[2]
BASES = ("MiraklInstanceOperator", "MiraklBaseSensor", "MiraklConnectSensor", "MiraklJobSensor")
"""Classes that others are built on."""
MAIN = fault_matrix.MAIN


def cells() -> Iterator[tuple[Operation, Fault, str]]:
    """The cells of the table: operation, fault, and who waits or makes the calls."""
    for operation in OPERATIONS:
        for fault in FAULTS:
            for where in fault_matrix.met(operation.name, fault):
                yield operation, fault, where


def chosen() -> list[Any]:
    every = list(cells())
    if not os.environ.get("MIRAKL_ALL_FAULTS"):
        every = random.Random(18).sample(every, SAMPLE)  # noqa: S311 - the same in every run
    return [
        pytest.param(*cell, id=f"{cell[0].name}, {cell[1].name}, {cell[2]}".replace(" ", "_"))
        for cell in every
    ]


def bounded(operation: Operation) -> Operation:
    """The operation with bounds that a test can wait for."""
    more = {"timeout": 3.0, "max_failures": 2} if operation.name in JOBS else {}
    if operation.name in PACED:
        more = {"refused_timeout": 3.0, "max_failures": 2}
    words = "".join(f", {name}={value!r}" for name, value in more.items())
    words += f", {operation.limits}" if operation.limits else ""
    return replace(operation, arguments=operation.arguments + words)


@pytest.mark.airflow
@pytest.mark.parametrize(("operation", "fault", "where"), chosen())
def test_a_fault(
    operation: Operation,
    fault: Fault,
    where: str,
    run_dag: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    read_log: Callable[[], str],
) -> None:
    monkeypatch.setenv(
        "AIRFLOW__MIRAKL__WORK_FOLDER", str(tmp_path / "work")
    )  # a watermark is of one account
    monkeypatch.setattr(exchange, "BACKOFF", 0.01)
    monkeypatch.setattr(fetch, "PAUSE", 0.01)
    monkeypatch.setattr(waiting, "SHORTEST_DEFERRAL", 0.0)
    stand = Stand(
        operation if fault.strikes == "each" else bounded(operation),
        tmp_path / "stand",
        deferrable=where == "triggerer",
        speed=SPEED,
        retries=8 if fault.strikes == "each" else 0,
        token_seconds=1e9,
    )
    try:
        if fault.strikes == "each":
            for code in sorted({call.code for call in CALLS}):
                stand.sandbox.fault(**fault.rule, operation=code)
        else:
            times = None if fault.strikes == "always" else 1
            stand.sandbox.fault(**fault.rule, operation=MAIN[operation.name], times=times)
        for conn_id, connection in stand.connections.items():
            monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
        run = run_dag(stand.dag)
        log = read_log()
        result = run.xcoms.get(("task", "return_value")) or {}
        unknown = result.get("unknown", 0) if operation.count == "succeeded" else 0
        if unknown:  # what is not known is told: the judge expects all of them
            result = result | {operation.count: result[operation.count] + unknown}
        found = list(stand.judge(run.state, result, log))
        errors = ERROR.findall(log)
        assert stand.sandbox.call(lambda world: any(rule.struck for rule in world.faults.rules))
        succeeded = PARTLY if unknown else "succeeds"
        ended = succeeded if run.state == "success" else errors[-1] if errors else run.state
        if ended == "MiraklUnclearSubmissionError":
            ended = PERSON
        assert ended == ends(operation.name, fault.name), log[-3000:]
        if fault.strikes == "always" and len(stand.sandbox.journal(MAIN[operation.name])) > 2:
            assert BOUND.search(log), "nothing in the log says when the waiting ends"
        harm = {"lost", "untrue"} | (set() if MAIN[operation.name] in REPEATABLE else {"doubled"})
        assert not [words for column, words in found if column in harm]
    finally:
        stand.sandbox.stop()


def test_the_table_names_operations_and_faults_that_there_are() -> None:
    assert tuple(MAIN) == tuple(operation.name for operation in OPERATIONS)
    assert all(MAIN[operation.name] == operation.code for operation in OPERATIONS if operation.code)
    pairs = {(operation.name, fault.name) for operation, fault, _ in cells()}
    assert set(OTHERWISE) <= pairs
    worker_only = {operation.name for operation in OPERATIONS if not operation.deferrable}
    assert worker_only == set(fault_matrix.WORKER_ONLY)
    parts = {(name, fault) for name, part in fault_matrix.PARTS.items() for fault in part.faults}
    assert parts <= pairs


def test_the_table_has_every_kind_of_fault_of_the_sandbox() -> None:
    assert {fault.rule["kind"] for fault in FAULTS} == set(KINDS_OF_FAULTS)


def test_every_operator_and_sensor_has_a_row_or_a_reason() -> None:
    there = {
        name
        for package in (operators, sensors)
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
        if not module.ispkg
        for name, found in vars(importlib.import_module(module.name)).items()
        if isinstance(found, type)
        and issubclass(found, BaseOperator)
        and found.__module__ == module.name
        and re.match("Mirakl|Djust", name)
        and name not in BASES
    }
    rows = {operation.where.rpartition(" ")[2] for operation in OPERATIONS}
    left_out = set(fault_matrix.LEFT_OUT)
    assert not left_out & rows, "has a row by now"
    assert there == (rows & there) | left_out
    for name, reason in fault_matrix.LEFT_OUT.items():
        for path in re.findall(r"tests/\S+\.py", reason):
            assert (ROOT / path).exists(), (name, path)
        for row in re.findall(r"\brow ([A-Z0-9]{3,4}\b|[a-z ]+?)(?:[:;,]|$| makes)", reason):
            assert row in MAIN, (name, row)
