"""Operators for documents and shops on a real Airflow against the sandbox: results, faults, retries."""

from __future__ import annotations

import json
import re
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_mirakl.api.documents import ShopDocument
from airflow_provider_mirakl.operators.shop_documents import MiraklUploadShopDocumentsOperator
from airflow_provider_mirakl.runtime.task_run import TaskRun
from airflow_provider_mirakl.sandbox import Sandbox

pytestmark = [pytest.mark.airflow, pytest.mark.matrix, pytest.mark.mirakl_sandbox_settings(speed=1)]

PDF = b"%PDF-1.7 " + bytes(range(256)) * 20
HEAD = """
from datetime import datetime, timedelta
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_mirakl.operators.shops import *
from airflow_provider_mirakl.operators.shop_documents import *

with DAG({dag_id!r}, schedule=None, start_date=datetime(2024, 1, 1), catchup=False):
"""


class Ran:
    """A run, with everything that was logged."""

    def __init__(self, result: Any, said: str) -> None:
        self.tasks = result.tasks
        self.returned = result.returned
        self.state = result.state
        self.said = said


@pytest.fixture
def run(run_dag: Any, sandbox: Sandbox, read_log: Callable[[], str]) -> Callable[..., Ran]:
    """Runs the given tasks as a Dag."""

    def go(*tasks: str) -> Ran:
        read_log()
        dag_id = f"documents_{uuid.uuid4().hex}"
        source = HEAD.format(dag_id=dag_id) + "".join(f"    {task}\n" for task in tasks)
        result = run_dag(source)
        return Ran(result, " ".join(read_log().split()))

    return go


def operations(sandbox: Sandbox) -> Counter[str]:
    return Counter(call["operation"] for call in sandbox.journal())


def names(sandbox: Sandbox, shop: int = 2000) -> list[str]:
    return sandbox.call(lambda world: [d["name"] for d in world.instance.documents.of(shop)])


# --- list ----------------------------------------------------------------------------------------------------


def test_every_role_lists_in_its_own_way(run: Any, sandbox: Sandbox, tmp_path: Path) -> None:
    first = sandbox.put_document(2000, "BANK_DETAILS", "iban.pdf", PDF)
    second = sandbox.put_document(2001, "INSURANCE", "cover.pdf", PDF)
    target = tmp_path / "listing.ndjson"
    ran = run(
        "MiraklListShopDocumentsOperator(task_id='own', mirakl_conn_id='mirakl_shop')",
        "MiraklListShopDocumentsOperator(task_id='other', mirakl_conn_id='mirakl_shop', shop_ids=2001)",
        "MiraklListShopDocumentsOperator(task_id='both', mirakl_conn_id='mirakl_operator', shop_ids='2000,2001')",
        "MiraklListShopDocumentsOperator(task_id='front', mirakl_conn_id='mirakl_front', shop_ids=[2001])",
        "MiraklListShopDocumentsOperator(task_id='since', mirakl_conn_id='mirakl_operator',"
        f" updated_since='{datetime.now(UTC) - timedelta(days=2)}',"
        " type_codes='INSURANCE')",
        "MiraklListShopDocumentsOperator(task_id='file', mirakl_conn_id='mirakl_operator', shop_ids=2000,"
        f" target={str(target)!r})",
    )
    assert ran.state == "success", (ran.tasks, re.findall(r".*Error.*", ran.said))
    ids = {task: [d["id"] for d in ran.returned(task)["documents"]] for task in ran.tasks if task != "file"}
    assert ids == {
        "own": [first],
        "other": [second],
        "both": [first, second],
        "front": [second],
        "since": [second],
    }
    assert ran.returned("both")["shop_ids"] == [2000, 2001]
    filed = ran.returned("file")
    assert Path(filed.pop("folder")).match("*/file/*")
    assert filed == {"items": 1, "shop_ids": [2000], "target": str(target)}
    assert [json.loads(line)["id"] for line in target.read_text().splitlines()] == [first]


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("MiraklListShopDocumentsOperator(task_id='t', mirakl_conn_id='mirakl_operator')", "needs shop_ids"),
        (
            "MiraklListShopDocumentsOperator(task_id='t', mirakl_conn_id='mirakl_shop', updated_since='2026-01-01')",
            "updated_since",
        ),
        (
            "MiraklListShopDocumentsOperator(task_id='t', mirakl_conn_id='mirakl_operator', shop_ids=4711)",
            "S30: GET /api/shops/documents answered 404",
        ),
        (
            "MiraklGetShopOperator(task_id='t', mirakl_conn_id='mirakl_operator')",
            "role must be 'shop' for A01",
        ),
        (
            "MiraklListShopDocumentsOperator(task_id='t', mirakl_conn_id='mirakl_shop', role='operator', shop_ids=1)",
            "a key of role operator is needed",
        ),
    ],
)
def test_what_cannot_work_says_why(run: Any, task: str, said: str) -> None:
    ran = run(task)
    assert ran.state == "failed"
    assert said in ran.said


# --- download ------------------------------------------------------------------------------------------------


def test_every_role_downloads(run: Any, sandbox: Sandbox, tmp_path: Path) -> None:
    first = sandbox.put_document(2000, "BANK_DETAILS", "iban.pdf", PDF)
    second = sandbox.put_document(2000, "INSURANCE", "../../cover.pdf", b"cover")
    third = sandbox.put_document(2001, "INSURANCE", "cover.pdf", b"other")
    ran = run(
        f"MiraklDownloadShopDocumentsOperator(task_id='own', mirakl_conn_id='mirakl_shop', target='{tmp_path}/own')",
        "MiraklDownloadShopDocumentsOperator(task_id='one', mirakl_conn_id='mirakl_front', shop_ids=2000,"
        f" document_ids={second}, target='{tmp_path}/one')",
        "MiraklDownloadShopDocumentsOperator(task_id='all', mirakl_conn_id='mirakl_operator',"
        f" shop_ids=[2000, 2001], type_codes='INSURANCE', target='{tmp_path}/all')",
    )
    assert ran.state == "success", (ran.tasks, re.findall(r".*Error.*", ran.said))
    # Airflow's own handlers may print a line again, so a line that is written once says how often.
    printed = ran.said.count(f"Stored {first}-iban.pdf")
    assert printed
    assert ran.said.count("Notes and files of this task are on") == 3 * printed
    found = {
        str(path.relative_to(tmp_path)): path.read_bytes()
        for path in tmp_path.rglob("*")
        if path.is_file() and path.name != "manifest.json" and "work" not in path.relative_to(tmp_path).parts
    }
    assert found == {
        f"own/shop/{first}-iban.pdf": PDF,
        f"own/shop/{second}-_.._cover.pdf": b"cover",
        f"one/2000/{second}-_.._cover.pdf": b"cover",
        f"all/2000/{second}-_.._cover.pdf": b"cover",
        f"all/2001/{third}-cover.pdf": b"other",
    }
    outcome = ran.returned("all")
    assert (outcome["succeeded"], outcome["stored"], outcome["shop_ids"]) == (2, 2, [2000, 2001])
    rows = [json.loads(line) for line in Path(outcome["rows"][0]).read_text().splitlines()]
    assert {row["item_id"] for row in rows} == {f"2000/{second}", f"2001/{third}"}


def test_a_wrong_document_id_is_named_and_nothing_is_fetched(
    run: Any, sandbox: Sandbox, tmp_path: Path
) -> None:
    own = sandbox.put_document(2000, "BANK_DETAILS", "iban.pdf", PDF)
    ran = run(
        "MiraklDownloadShopDocumentsOperator(task_id='t', mirakl_conn_id='mirakl_operator', shop_ids=2000,"
        f" document_ids=[{own}, 999], target='{tmp_path}/t')"
    )
    assert ran.state == "failed"
    assert "document_ids contains 999, which S30 does not list here" in ran.said
    assert not (tmp_path / "t").exists()
    assert operations(sandbox)["S31"] == 0


def test_a_document_that_fails_fails_the_task_or_is_tolerated(
    run: Any, sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.put_document(2000, "BANK_DETAILS", "iban.pdf", PDF)
    big = sandbox.put_document(2000, "INSURANCE", "big.pdf", PDF * 3)
    task = (
        "MiraklDownloadShopDocumentsOperator(task_id={!r}, mirakl_conn_id='mirakl_operator', shop_ids=2000,"
        f" max_file_bytes={len(PDF)}, target='{tmp_path}/t'"
    )
    ran = run(
        f"strict = {task.format('strict')})",
        f"lenient = {task.format('lenient')}, max_failed_items=1, trigger_rule='all_done')",
        "strict >> lenient",
    )
    assert ran.tasks == {"strict": "failed", "lenient": "success"}
    assert "1 of 2 items failed" in ran.said
    outcome = ran.returned("lenient")
    assert (outcome["stored"], outcome["unchanged"], outcome["failed"]) == (0, 1, 1)
    assert f"2000/{big}" in Path(outcome["rows"][0]).read_text()


def test_a_download_that_failed_for_a_while_is_retried_also_with_fail_fast(
    run: Any, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Failed items are final where a retry would only evaluate them again; a download fetches them again."""
    sandbox.put_document(2000, "BANK_DETAILS", "iban.pdf", PDF)
    sandbox.fault("status", "S31", status=404)
    ran = run(
        "MiraklDownloadShopDocumentsOperator(task_id='t', mirakl_conn_id='mirakl_operator', shop_ids=2000,"
        f" target='{tmp_path}/t', fail_fast=True, retries=1, retry_delay=timedelta(0))"
    )
    assert ran.state == "success"
    assert "1 of 1 item failed" in ran.said
    assert ran.returned("t")["stored"] == 1


def test_a_refusal_of_the_account_ends_a_download_before_the_next_shop(
    run: Any, sandbox: Sandbox, tmp_path: Path
) -> None:
    for shop in (2000, 2001):
        sandbox.put_document(shop, "BANK_DETAILS", "iban.pdf", PDF)
    sandbox.fault("throttle", "S31", retry_after=3600, times=None)
    ran = run(
        "MiraklDownloadShopDocumentsOperator(task_id='t', mirakl_conn_id='mirakl_operator', shop_ids=[2000, 2001],"
        f" target='{tmp_path}/t')"
    )
    assert ran.state == "failed"
    assert operations(sandbox)["S31"] == 1
    assert "items failed" not in ran.said
    assert "S31: GET /api/shops/documents/download answered 429" in ran.said


def test_a_manifest_of_the_default_shop_that_cannot_be_read_is_named(
    run: Any, sandbox: Sandbox, tmp_path: Path
) -> None:
    number = sandbox.put_document(2000, "BANK_DETAILS", "iban.pdf", PDF)
    (tmp_path / "t/shop").mkdir(parents=True)
    (tmp_path / "t/shop/manifest.json").write_text("{")
    ran = run(
        "MiraklDownloadShopDocumentsOperator(task_id='t', mirakl_conn_id='mirakl_shop', max_failed_items=1,"
        f" target='{tmp_path}/t')"
    )
    outcome = ran.returned("t")
    assert (outcome["failed"], outcome["manifests"]) == (1, [f"{tmp_path}/t/shop/manifest.json"])
    assert json.loads(Path(outcome["rows"][0]).read_text())["item_id"] == f"shop/{number}"


# --- upload --------------------------------------------------------------------------------------------------


@pytest.fixture
def papers(tmp_path: Path) -> Callable[..., str]:
    """Writes files and gives them as the operator wants them."""

    def write(**files: bytes | str) -> str:
        entries = []
        for type_code, given in files.items():
            name, body = (given, PDF) if isinstance(given, str) else (f"{type_code}.pdf", given)
            path = tmp_path / name
            path.write_bytes(body)
            entries.append({"path": str(path), "type_code": type_code})
        return repr(entries)

    return write


def test_an_upload_with_errors_in_a_200_fails_document_by_document(
    run: Any, sandbox: Sandbox, papers: Any
) -> None:
    wanted = papers(BANK_DETAILS=PDF, PASSPORT=PDF)
    task = f"MiraklUploadShopDocumentsOperator(task_id='t', mirakl_conn_id='mirakl_shop', documents={wanted}"
    task += ", check_codes=False"
    ran = run(task + ")")
    assert ran.state == "failed"
    assert "1 of 2 items failed" in ran.said
    assert "valid_shop_document.type" in ran.said
    assert names(sandbox) == ["BANK_DETAILS.pdf"]

    ran = run(task + ", max_failed_items=1)")
    assert ran.state == "success"
    outcome = ran.returned("t")
    assert (outcome["uploaded"], outcome["skipped"], outcome["failed"]) == (0, 1, 1)
    rows = [json.loads(line) for line in Path(outcome["rows"][0]).read_text().splitlines()]
    assert {row["item_id"]: row["status"] for row in rows} == {
        "BANK_DETAILS.pdf": "succeeded",
        "PASSPORT.pdf": "failed",
    }


def test_bad_files_are_named_before_a_call_is_spent(
    run: Any, sandbox: Sandbox, papers: Any, tmp_path: Path
) -> None:
    wanted = papers(BANK_DETAILS=b"", PASSPORT=PDF, INSURANCE="cover.exe")[:-1]
    wanted += f", {{'path': '{tmp_path}/missing.pdf', 'type_code': 'BANK_DETAILS'}}]"
    ran = run(
        "MiraklUploadShopDocumentsOperator(task_id='t', mirakl_conn_id='mirakl_operator', shop_id=2000,"
        f" check_codes=True, documents={wanted})"
    )
    assert ran.state == "failed"
    for said in ("is empty", "does not exist", "occurs 2 times"):
        assert said in ran.said
    assert not operations(sandbox), "DO01 is permitted once a day"
    wanted = papers(BANK_DETAILS=PDF, PASSPORT=PDF, INSURANCE="cover.exe")
    ran = run(
        "MiraklUploadShopDocumentsOperator(task_id='t', mirakl_conn_id='mirakl_operator', shop_id=2000,"
        f" check_codes=True, documents={wanted})"
    )
    assert ran.state == "failed"
    for said in ("'PASSPORT' is not a type", "INSURANCE accepts"):
        assert said in ran.said
    assert operations(sandbox) == {"DO01": 1}


def test_a_check_that_mirakl_does_not_permit_now_is_left_out(run: Any, sandbox: Sandbox, papers: Any) -> None:
    """Another program has called DO01 today, or its reply was lost. Mirakl rejects a wrong type, too."""
    sandbox.fault("throttle", "DO01", times=None, retry_after="86400")
    ran = run(
        "MiraklUploadShopDocumentsOperator(task_id='t', mirakl_conn_id='mirakl_operator', shop_id=2000,"
        f" check_codes=True, max_failed_items=1, documents={papers(BANK_DETAILS=PDF, PASSPORT=PDF)})"
    )
    assert ran.state == "success", ran.said
    assert "The codes are not checked before the call" in ran.said
    result = ran.returned("t")
    assert (result["succeeded"], result["failed"]) == (1, 1)


def test_a_full_shop_and_a_closed_one(run: Any, sandbox: Sandbox, papers: Any) -> None:
    for number in range(49):
        sandbox.put_document(2000, f"T{number}", f"{number}.pdf", b"x")
    sandbox.call(lambda world: world.instance.shops[2001].update(shop_state="CLOSE"))
    wanted = papers(BANK_DETAILS=PDF, INSURANCE=PDF)
    ran = run(
        f"MiraklUploadShopDocumentsOperator(task_id='full', mirakl_conn_id='mirakl_shop', documents={wanted})",
        "MiraklUploadShopDocumentsOperator(task_id='closed', mirakl_conn_id='mirakl_shop', shop_id=2001,"
        f" documents={wanted})",
    )
    assert ran.tasks == {"full": "failed", "closed": "failed"}
    assert "has 49 documents and would get 2 more; the limit is 50" in ran.said
    assert "The shop 2001 is closed" in ran.said
    assert len(names(sandbox)) == 49


@pytest.mark.parametrize("if_exists", ["skip", "upload"])
def test_a_retry_does_not_send_again_what_arrived(
    run: Any, sandbox: Sandbox, papers: Any, if_exists: str
) -> None:
    """The answer to the upload is lost, then the listing fails too: the first try ends not knowing."""
    sandbox.fault("reset_after", "S32")
    sandbox.fault("status", "S30", skip=1, times=4, status=503)
    wanted = papers(BANK_DETAILS=PDF, INSURANCE=PDF)
    ran = run(
        f"MiraklUploadShopDocumentsOperator(task_id='t', mirakl_conn_id='mirakl_shop', if_exists={if_exists!r},"
        f" retries=1, retry_delay=timedelta(seconds=0), documents={wanted})"
    )
    assert ran.state == "success", (ran.tasks, re.findall(r".*Error.*", ran.said))
    assert names(sandbox) == ["BANK_DETAILS.pdf", "INSURANCE.pdf"]
    assert operations(sandbox)["S32"] == 1
    assert ran.returned("t")["succeeded"] == 2


@pytest.mark.parametrize(
    ("uploaded", "ours"),
    [(-3600, False), (-20, False), (0, True), (30, True), (None, False)],
)
@pytest.mark.parametrize("ahead", [0.0, 600.0])
def test_a_retry_on_another_disk_does_not_send_again_what_came_since_the_run_began(
    sandbox: Sandbox, papers: Any, uploaded: int | None, ours: bool, ahead: float
) -> None:
    """Before Airflow 3.3 it lacks the note of what the shop had. Mirakl's clock may be ahead."""
    began = datetime.now(UTC)
    document = ShopDocument(7, "INSURANCE.pdf", "INSURANCE", 2000)
    if uploaded is not None:
        moment = began + timedelta(seconds=uploaded + ahead)
        document = replace(document, date_uploaded=moment.strftime("%Y-%m-%dT%H:%M:%SZ"))
    client: Any = SimpleNamespace(clock_offset=ahead)
    operator = MiraklUploadShopDocumentsOperator(
        task_id="t", documents=papers(INSURANCE=PDF), if_exists="upload"
    )

    def known(try_number: int, run_id: str, began: datetime | None = began) -> set[int]:
        ti = SimpleNamespace(
            dag_id="d", task_id="t", run_id=run_id, map_index=-1, try_number=try_number, max_tries=1,
            task=SimpleNamespace(retries=1), start_date=began,
        )  # fmt: skip
        context: Any = {"ti": ti, "dag_run": SimpleNamespace(start_date=began)}
        run = TaskRun(context, None, begins=True)
        return operator._known(run, [document], client)

    assert known(2, "another disk") == (set() if ours else {7})
    assert known(1, "a first try") == {7}
    assert known(2, "a first try") == {7}, "noted"
    assert known(2, "unknown", None) == {7}, "it is not known when the run began"


# --- delete --------------------------------------------------------------------------------------------------


def test_delete(run: Any, sandbox: Sandbox) -> None:
    kinds = ("BANK_DETAILS", "INSURANCE", "PRICE_LIST")
    ids = [sandbox.put_document(2000, kind, f"{kind}.pdf", PDF) for kind in kinds]
    ran = run(
        "MiraklDeleteShopDocumentsOperator(task_id='wrong', mirakl_conn_id='mirakl_operator',"
        f" document_ids=[{ids[0]}, 999])",
        "MiraklDeleteShopDocumentsOperator(task_id='ignored', mirakl_conn_id='mirakl_shop',"
        f" document_ids='{ids[1]},999', if_missing='ignore')",
    )
    assert ran.tasks == {"wrong": "failed", "ignored": "success"}
    assert "1 of 2 items failed" in ran.said
    assert names(sandbox) == ["PRICE_LIST.pdf"]


def test_a_retry_of_a_delete_does_not_mind_its_own_work(run: Any, sandbox: Sandbox) -> None:
    own = [sandbox.put_document(2000, kind, f"{kind}.pdf", PDF) for kind in ("BANK_DETAILS", "INSURANCE")]
    sandbox.fault("status", "S33", skip=1, times=4, status=503)
    ran = run(
        "MiraklDeleteShopDocumentsOperator(task_id='t', mirakl_conn_id='mirakl_operator',"
        f" document_ids={own}, retries=1, retry_delay=timedelta(seconds=0))"
    )
    assert ran.state == "success", (ran.tasks, re.findall(r".*Error.*", ran.said))
    assert names(sandbox) == []
    assert ran.returned("t")["succeeded"] == 2


def test_a_retry_does_not_turn_a_document_that_never_existed_into_a_success(
    run: Any, sandbox: Sandbox
) -> None:
    ran = run(
        "MiraklDeleteShopDocumentsOperator(task_id='t', mirakl_conn_id='mirakl_operator',"
        " document_ids=[999], retries=1, retry_delay=timedelta(seconds=0))"
    )
    assert ran.tasks == {"t": "failed"}
    assert ran.returned("t")["failed"] == 1
    assert operations(sandbox)["S33"] == 2


# --- shops ---------------------------------------------------------------------------------------------------


def test_a_shop_is_asked_for_once_a_day_and_given_as_often_as_wanted(run: Any, sandbox: Sandbox) -> None:
    ran = run(
        "a = MiraklGetShopOperator(task_id='a', mirakl_conn_id='mirakl_shop')",
        "b = MiraklGetShopOperator(task_id='b', mirakl_conn_id='mirakl_shop',"
        " include_fields=['payment_info', 'shop_id'])",
        "c = MiraklGetShopOperator(task_id='c', mirakl_conn_id='mirakl_shop', shop_id=2001)",
        "d = MiraklGetShopStatisticsOperator(task_id='d', mirakl_conn_id='mirakl_shop', periods=['LAST_YEAR'])",
        "a >> b >> c >> d",
    )
    assert ran.state == "success", (ran.tasks, re.findall(r".*Error.*", ran.said))
    assert ran.returned("a")["shop_state"] == "OPEN"
    assert not {"payment_info", "contact_informations", "default_billing_information"} & set(
        ran.returned("a")
    )
    assert ran.returned("b")["shop_id"] == 2000
    assert ran.returned("c")["shop_id"] == 2001
    assert {entry["period"] for entry in ran.returned("d")["offers_count"]} == {"LAST_YEAR"}
    assert operations(sandbox) == {"A01": 2, "A21": 1}
    assert all(call["status"] == 200 for call in sandbox.journal())


def test_a_shop_update_that_is_refused_in_a_200_is_an_error(
    run: Any, sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.call(lambda world: setattr(world.settings, "locked_shop_fields", frozenset({"shop_name"})))
    changes = tmp_path / "changes.json"
    changes.write_text(json.dumps({"shop_name": "New", "fax": None}))
    ran = run(
        f"MiraklUpdateShopOperator(task_id='locked', mirakl_conn_id='mirakl_shop', changes={str(changes)!r})",
        "MiraklUpdateShopOperator(task_id='fine', mirakl_conn_id='mirakl_shop', shop_id=2001,"
        " changes={'description': 'Best chairs', 'channels': ['INIT']})",
        "MiraklUpdateShopOperator(task_id='wrong', mirakl_conn_id='mirakl_shop', shop_id=2001,"
        " changes={'channels': ['MOON'], 'emial': 'x'})",
        "MiraklUpdateShopOperator(task_id='moon', mirakl_conn_id='mirakl_shop', shop_id=2001,"
        " changes={'channels': ['MOON']})",
    )
    assert ran.tasks == {"locked": "failed", "fine": "success", "wrong": "failed", "moon": "failed"}
    assert ran.returned("fine")["succeeded"] == 2
    assert "emial: is not a field of A02" in ran.said
    assert "channels: 'MOON' does not exist on this instance, which has INIT, OUTLET" in ran.said
    assert "items failed" in ran.said
    assert operations(sandbox)["A02"] == 2
    assert operations(sandbox)["CH11"] == 1


def test_a_second_update_a_day_says_when(run: Any, sandbox: Sandbox) -> None:
    task = (
        "{0} = MiraklUpdateShopOperator(task_id={0!r}, mirakl_conn_id='mirakl_shop', changes={{'fax': None}})"
    )
    ran = run(task.format("a"), task.format("b"), "a >> b")
    assert ran.tasks == {"a": "success", "b": "failed"}
    assert "A02: the next permitted call is at" in ran.said
    assert operations(sandbox)["A02"] == 1


@pytest.mark.parametrize("made", [True, False])
def test_an_update_whose_reply_was_lost_is_looked_up(run: Any, sandbox: Sandbox, made: bool) -> None:
    """Mirakl accepts A02 once a day: the next try must say that the change may have been made, not only when."""
    sandbox.call(lambda world: setattr(world.settings, "limits", "published"))
    kind = "reset_after" if made else "status"
    sandbox.fault(kind, operation="A02", times=1)
    if not made:  # the call was counted, and the shop does not show the change
        sandbox.fault("throttle", operation="A02", times=9, skip=1, retry_after="86000")
    ran = run(
        "MiraklUpdateShopOperator(task_id='update', mirakl_conn_id='mirakl_shop', retries=1, fail_fast=False,"
        " retry_delay=__import__('datetime').timedelta(0),"
        " changes={'description': 'Best chairs', 'fax': None, 'address': {'city': 'Nantes'}})"
    )
    assert ran.tasks == {"update": "success" if made else "failed"}
    assert operations(sandbox)["A01"] == 1
    if made:
        assert operations(sandbox)["A02"] == 1
        assert "the shop shows every changed value" in ran.said
    else:
        assert "The shop does not show the new value of description" in ran.said
        assert "was lost, so the change may already have been made" in ran.said


def test_shops_are_listed_for_mapping(run: Any, sandbox: Sandbox) -> None:
    ran = run(
        "MiraklListShopsOperator(task_id='ids', mirakl_conn_id='mirakl_operator')",
        "MiraklListShopsOperator(task_id='batches', mirakl_conn_id='mirakl_operator', states=(), group_size=2)",
    )
    shops = sandbox.call(lambda world: sorted(world.instance.shops))
    assert sorted(ran.returned("ids")) == shops
    batches = ran.returned("batches")
    assert sorted(shop for batch in batches for shop in batch) == shops
    assert all(len(batch) <= 2 for batch in batches)


def test_only_what_arrived_since_the_last_good_run_is_listed(
    run_dag: Any, sandbox: Sandbox, tmp_path: Path
) -> None:
    def download(more: str = "", conn_id: str = "mirakl_operator") -> Any:
        task = (
            f"    MiraklDownloadShopDocumentsOperator(task_id='t', mirakl_conn_id={conn_id!r}, changes_only=True,"
            f" target={str(tmp_path / 'kyc')!r}, watermark={str(tmp_path / 'watermark.json')!r}, {more})\n"
        )
        return run_dag(HEAD.format(dag_id="since_the_last") + task)

    shop = sandbox.call(lambda world: min(world.instance.shops))
    sandbox.put_document(shop, "PASSPORT", "a.pdf", PDF)
    assert download().returned("t")["stored"] == 1
    sandbox.put_document(shop, "BANK_DETAILS", "b.pdf", PDF)
    fault = sandbox.fault("status", "S31", status=404, times=None)
    failed = download("max_failed_items=None")
    assert failed.returned("t")["failed"] == 1
    kept = (tmp_path / "watermark.json").read_bytes()
    sandbox.call(lambda world: world.faults.remove(fault.number))
    assert download().returned("t")["stored"] == 1, "what failed is listed again"
    assert (tmp_path / "watermark.json").read_bytes() != kept
    assert download(conn_id="mirakl_shop").state == "failed", "a seller's S30 has no such window"
    assert download("updated_since='2026-01-01'").state == "failed"


def test_no_document_is_missed_after_a_pause_that_is_longer_than_s30_reaches(
    run: Any, sandbox: Sandbox, tmp_path: Path
) -> None:
    shop, mark = sandbox.call(lambda world: min(world.instance.shops)), tmp_path / "watermark.json"
    number = sandbox.put_document(shop, "PASSPORT", "a.pdf", PDF)

    def age(world: Any) -> None:
        world.instance.documents.all[number]["uploaded"] -= timedelta(days=110).total_seconds()

    sandbox.call(age)
    paused = (datetime.now(UTC) - timedelta(days=120)).isoformat()

    def download(more: str = "") -> Ran:
        return run(
            "MiraklDownloadShopDocumentsOperator(task_id='t', mirakl_conn_id='mirakl_operator', changes_only=True,"
            f" target={str(tmp_path / 'kyc')!r}, watermark={str(mark)!r}, {more})"
        )

    mark.write_text(paused)
    failed = download()
    assert failed.state == "failed"
    assert f"then remove {mark}, and this task starts again" in failed.said
    assert not operations(sandbox)
    assert mark.read_text() == paused, "the window does not move past what was not fetched"
    assert download(f"shop_ids=[{shop}]").returned("t")["stored"] == 1
    mark.unlink()
    assert download().state == "success"


@pytest.mark.parametrize("refused", [True, False])
def test_an_update_whose_result_airflow_lost_is_not_sent_again(
    run: Any, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, refused: bool
) -> None:
    """The worker dies after Mirakl's reply. Mirakl accepts A02 once a day, so a second call could only fail."""
    from airflow_provider_mirakl.outcome import OutcomeWriter

    sandbox.call(lambda world: setattr(world.settings, "limits", "published"))
    if refused:
        sandbox.call(lambda world: setattr(world.settings, "locked_shop_fields", frozenset({"fax"})))
    begin, died = OutcomeWriter.__enter__, []

    def dies(writer: OutcomeWriter) -> OutcomeWriter:
        if not died:
            died.append(True)
            raise OSError("the worker is gone")
        return begin(writer)

    monkeypatch.setattr(OutcomeWriter, "__enter__", dies)
    ran = run(
        "MiraklUpdateShopOperator(task_id='update', mirakl_conn_id='mirakl_shop', retries=1,"
        " retry_delay=__import__('datetime').timedelta(0), changes={'description': 'Best chairs', 'fax': None})"
    )
    assert died
    assert ran.tasks == {"update": "failed" if refused else "success"}
    assert operations(sandbox)["A02"] == 1
    assert "A previous try sent these changes" in ran.said
    if refused:
        assert "1 of 2 items failed" in ran.said
    else:
        assert ran.returned("update")["succeeded"] == 2


def test_an_update_of_a_time_is_sent_once(run: Any, sandbox: Sandbox) -> None:
    """Changes that a Dag file gives need not be JSON."""
    ran = run(
        "MiraklUpdateShopOperator(task_id='update', mirakl_conn_id='mirakl_shop',"
        " changes={'closed_from': __import__('datetime').datetime(2030, 12, 24,"
        " tzinfo=__import__('datetime').timezone.utc)})"
    )
    assert ran.tasks == {"update": "success"}
    assert ran.returned("update")["succeeded"] == 1
    assert operations(sandbox)["A02"] == 1
