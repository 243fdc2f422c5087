"""Documents of orders on a real Airflow against the sandbox: uploaded once, downloaded safely."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.sandbox import Sandbox

pytestmark = [pytest.mark.airflow, pytest.mark.matrix]

DAG = """
from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_mirakl.operators.connect_order_documents import {operator}

with DAG("order_documents", schedule=None, start_date=pendulum.datetime(2026, 1, 1), catchup=False):
    {operator}(task_id="documents", retry_delay=timedelta(0), {more})
"""


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lead: Callable[..., None]) -> Iterator[Sandbox]:
    monkeypatch.setenv("AIRFLOW__MIRAKL__WORK_FOLDER", str(tmp_path / "work"))
    with Sandbox(clock="stepped", limits="off", action_seconds=0) as server:
        lead(server)
        yield server


def upload(source: Any, more: str = "") -> str:
    return DAG.format(operator="MiraklConnectUploadOrderDocumentsOperator", more=f"source={source!r}, {more}")


def download(target: Path, more: str = "") -> str:
    return DAG.format(
        operator="MiraklConnectDownloadOrderDocumentsOperator", more=f"target={str(target)!r}, {more}"
    )


def test_up_and_down(run_dag: Any, sandbox: Sandbox, tmp_path: Path) -> None:
    placed = sandbox.place_orders(2)
    return_id = sandbox.request_return(placed[0])
    (tmp_path / "invoice.pdf").write_bytes(b"%PDF invoice")
    (tmp_path / "label.pdf").write_bytes(b"%PDF label")
    rows = [
        {"order_id": order_id, "path": str(tmp_path / "invoice.pdf"), "type": "CUSTOMER_INVOICE"}
        for order_id in placed
    ]
    rows.append(
        {
            "order_id": placed[0], "path": str(tmp_path / "label.pdf"), "type": "RETURN_LABEL",
            "return_id": return_id, "file_name": "../label.pdf",
        }
    )  # fmt: skip
    failed = run_dag(upload(rows))
    assert failed.state == "failed", "a name that leaves the folder"
    assert not sandbox.journal("v2-uploadOrderDocument")
    rows[-1]["file_name"] = "label of 1.pdf"
    sandbox.fault("reset_after", operation="v2-uploadOrderDocument", skip=1, times=1)
    run = run_dag(upload(rows, "retries=1"))
    assert run.state == "success"
    assert len(sandbox.journal("v2-uploadOrderDocument")) == 3

    target = tmp_path / "documents"
    first = run_dag(download(target)).returned("documents")
    files = sorted(target.rglob("*.pdf"))
    assert first["stored"] == len(files) == 3
    assert {file.parent.name for file in files} == set(placed)
    assert sorted(file.read_bytes() for file in files) == [b"%PDF invoice", b"%PDF invoice", b"%PDF label"]
    assert run_dag(download(target)).returned("documents")["stored"] == 0
    labels = run_dag(download(tmp_path / "labels", f"types='RETURN_LABEL', order_ids={placed!r}"))
    assert labels.returned("documents")["stored"] == 1


EMPTY = """
import pendulum
from airflow.providers.common.compat.sdk import DAG, XComArg, task
from airflow_provider_mirakl.operators.connect_order_documents import MiraklConnectDownloadOrderDocumentsOperator

with DAG("no_orders", schedule=None, start_date=pendulum.datetime(2026, 1, 1), catchup=False):
    @task
    def search():
        return {found!r}
    found = search()
    found >> MiraklConnectDownloadOrderDocumentsOperator(task_id="documents", target={target!r}, order_ids={given})
"""


@pytest.mark.parametrize(
    ("found", "given"),
    [
        ([], "found"),
        (None, "found"),
        ([], "\"{{ ti.xcom_pull(task_ids='search') }}\""),
        (None, "\"{{ ti.xcom_pull(task_ids='search') }}\""),
        (None, "\"{{ ti.xcom_pull(task_ids='search') or '' }}\""),
    ],
)
def test_no_orders_are_not_all_orders(
    run_dag: Any, sandbox: Sandbox, tmp_path: Path, found: Any, given: str
) -> None:
    """A task that finds no order must not make another one fetch the documents of every customer."""
    sandbox.place_orders(2)
    run = run_dag(EMPTY.format(found=found, given=given, target=str(tmp_path / "documents")))
    assert run.tasks == {"search": "success", "documents": "failed"}
    assert not sandbox.journal()


@pytest.mark.parametrize("chosen", ["None", "\"{{ none or '*' }}\""])
def test_all_orders_can_be_chosen(run_dag: Any, sandbox: Sandbox, tmp_path: Path, chosen: str) -> None:
    (order_id,) = sandbox.place_orders(1)
    (tmp_path / "invoice.pdf").write_bytes(b"%PDF invoice")
    rows = [{"order_id": order_id, "path": str(tmp_path / "invoice.pdf"), "type": "CUSTOMER_INVOICE"}]
    assert run_dag(upload(rows)).state == "success"
    assert run_dag(download(tmp_path / "all", f"order_ids={chosen}")).returned("documents")["stored"] == 1


@pytest.mark.parametrize("file", ["missing.pdf", "malware.exe", "large.pdf"])
def test_files_that_mirakl_would_refuse(run_dag: Any, sandbox: Sandbox, tmp_path: Path, file: str) -> None:
    (order_id,) = sandbox.place_orders()
    if file != "missing.pdf":
        (tmp_path / file).write_bytes(b"x" * (11 << 20 if file == "large.pdf" else 1))
    rows = [{"order_id": order_id, "path": str(tmp_path / file), "type": "CUSTOMER_INVOICE"}]
    assert run_dag(upload(rows)).state == "failed"
    assert not sandbox.journal("v2-uploadOrderDocument")


def test_an_archive_that_is_not_what_it_says(
    run_dag: Any, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_mirakl.sandbox.machine.wire import Reply
    from airflow_provider_mirakl.sandbox.systems import order_calls

    placed = sandbox.place_orders(2)
    (tmp_path / "invoice.pdf").write_bytes(b"%PDF")
    rows = [
        {"order_id": order_id, "path": str(tmp_path / "invoice.pdf"), "type": "CUSTOMER_INVOICE"}
        for order_id in placed
    ]
    assert run_dag(upload(rows)).state == "success"
    zipped, bad = order_calls._zip, io.BytesIO()
    with zipfile.ZipFile(bad, "w") as archive:
        archive.writestr("../../evil.pdf", b"%PDF")

    def evil(files: Any, name: str) -> Reply:
        return Reply(200, bad.getvalue(), "application/zip") if placed[0] in name else zipped(files, name)

    monkeypatch.setattr(order_calls, "_zip", evil)
    run = run_dag(download(tmp_path / "documents", "max_failed_items=1"))
    assert run.returned("documents")["failed"] == 1
    assert [file.parent.name for file in tmp_path.rglob("*.pdf") if file.parent != tmp_path] == [placed[1]]
