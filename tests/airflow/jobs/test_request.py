"""MiraklRequestOperator: anything an instance offers."""

from __future__ import annotations

import json
import os
import shutil
import time
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_mirakl.exceptions import (
    MiraklBadRequestError,
    MiraklConfigurationError,
    MiraklPermissionError,
    MiraklTransportError,
    MiraklUnclearSubmissionError,
)
from airflow_provider_mirakl.operators.request import MiraklRequestOperator
from airflow_provider_mirakl.runtime import trip

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.matrix,
    pytest.mark.mirakl_sandbox_settings(limits="off"),
]

SYNC = "/api/mcm/products/synchronization"
ITEM = [{"mirakl_product_id": "MKL-021", "product_sku": "SKU-021"}]


@pytest.fixture
def request_(worker, mirakl_sandbox_connections):
    """Runs the operator."""
    return lambda **options: worker(
        lambda: MiraklRequestOperator(task_id="task", **({"mirakl_conn_id": "mirakl_operator"} | options))
    ).run()


def test_a_read_gives_its_body(request_, mirakl_sandbox):
    result = request_(path="/api/hierarchies", query={"max_level": 1, "hierarchy": None})
    assert result["status"] == 200
    assert result["body"]["hierarchies"]
    assert mirakl_sandbox.journal("H11")[0]["query"] == "max_level=1"


def test_a_write_sends_json(request_, mirakl_sandbox):
    item = {"mirakl_product_id": "MKL-021", "product_sku": "SKU-021"}
    result = request_(path=SYNC, method="post", body=[item])
    assert result["body"]["tracking_id"]
    assert mirakl_sandbox.journal("CM21")[0]["items"] == 1


def test_a_write_is_not_sent_twice_unless_said(request_, mirakl_sandbox):
    item = [{"mirakl_product_id": "MKL-021", "product_sku": "SKU-021"}]
    mirakl_sandbox.fault("reset_after", "CM21")
    with pytest.raises(MiraklTransportError):
        request_(path=SYNC, method="POST", body=item)
    assert len(mirakl_sandbox.journal("CM21")) == 1
    mirakl_sandbox.fault("reset_after", "CM21")
    assert request_(path=SYNC, method="POST", body=json.dumps(item), replay=True)["status"] == 200
    assert len(mirakl_sandbox.journal("CM21")) == 3


def test_a_reply_goes_to_a_file_as_it_is(request_, tmp_path):
    target = tmp_path / "out" / "products.csv"
    result = request_(path="/api/mcm/products/export", accept="text/csv", target=str(target))
    assert result["size"] == target.stat().st_size > 1000
    assert b"mirakl-product-id" in target.read_bytes().splitlines()[0]


@pytest.mark.parametrize("target", [None, "shops.ndjson"])
def test_all_pages_are_read(request_, tmp_path, mirakl_sandbox, target):
    result = request_(
        path="/api/shops",
        query={"max": 2},
        paging="offset",
        items="shops",
        target=target and str(tmp_path / target),
    )
    count = result["items"]
    assert target or len(result["body"]) == count
    assert count == len(mirakl_sandbox.world.instance.shops) > 2
    assert len(mirakl_sandbox.journal("S20")) == -(-count // 2)
    if target:
        assert len((tmp_path / target).read_bytes().splitlines()) == count


def test_connect_is_read_by_tokens(request_, mirakl_sandbox):
    mirakl_sandbox.seed([{"id": f"p{number}"} for number in range(5)])
    result = request_(
        path="/api/products",
        query={"limit": 2},
        paging="seek",
        items="data",
        mirakl_connect_conn_id="mirakl_connect_default",
    )
    assert [item["id"] for item in result["body"]] == [f"p{number}" for number in range(5)]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"path": "api/version"}, MiraklConfigurationError, "begin with a slash"),
        ({"path": "https://elsewhere.example/api"}, MiraklConfigurationError, "begin with a slash"),
        ({"path": "/api/shops", "paging": "offset"}, MiraklConfigurationError, "items set to the field"),
        ({"path": SYNC, "method": "POST", "body": {}}, MiraklBadRequestError, "400"),
        (
            {"path": SYNC, "method": "POST", "body": [{}], "mirakl_conn_id": "mirakl_shop"},
            MiraklPermissionError,
            "403",
        ),
    ],
)
def test_what_cannot_work_is_said(request_, options, error, words):
    with pytest.raises(error, match=words):
        request_(**options)


def test_a_reply_too_large_for_xcom_needs_a_file(request_, monkeypatch):
    from airflow_provider_mirakl.operators import request

    monkeypatch.setattr(request, "MAX_XCOM", 100)
    with pytest.raises(MiraklConfigurationError, match="too many for XCom"):
        request_(path="/api/hierarchies")
    with pytest.raises(MiraklConfigurationError, match="too many for XCom"):
        request_(path="/api/shops", paging="offset", items="shops")


def test_a_write_of_which_nobody_knows_is_left_to_a_person(
    worker, mirakl_sandbox, mirakl_sandbox_connections
):
    item = [{"mirakl_product_id": "MKL-021", "product_sku": "SKU-021"}]
    options = {"path": SYNC, "method": "POST", "body": item, "mirakl_conn_id": "mirakl_operator"}
    task = worker(lambda: MiraklRequestOperator(task_id="task", **options))
    mirakl_sandbox.fault("reset_after", "CM21")
    with pytest.raises(MiraklTransportError):
        task.run()
    with pytest.raises(
        MiraklUnclearSubmissionError, match="POST /api/mcm/products/synchronization of a previous try"
    ):
        task.run()
    assert len(mirakl_sandbox.journal("CM21")) == 1
    task.ti.max_tries += 1  # as clearing the task does
    assert task.run()["status"] == 200
    with pytest.raises(MiraklUnclearSubmissionError, match="was answered") as caught:
        task.run()
    assert isinstance(caught.value, AirflowFailException), "retries would find out nothing"
    assert len(mirakl_sandbox.journal("CM21")) == 2


def test_a_write_that_was_refused_may_be_sent_again(worker, mirakl_sandbox, mirakl_sandbox_connections):
    options = {"path": SYNC, "method": "POST", "body": {}, "mirakl_conn_id": "mirakl_operator"}
    task = worker(lambda: MiraklRequestOperator(task_id="task", **options))
    for _ in range(2):
        with pytest.raises(MiraklBadRequestError):
            task.run()
    assert len(mirakl_sandbox.journal("CM21")) == 2


@pytest.fixture
def write(worker, mirakl_sandbox_connections):
    """A task that writes, with two retries."""
    task = worker(
        lambda: MiraklRequestOperator(
            task_id="task", path=SYNC, method="POST", body=ITEM, mirakl_conn_id="mirakl_operator"
        ),
        max_tries=2,
    )
    task.ti.task = SimpleNamespace(retries=2)
    return task


def test_a_retry_on_another_disk_does_not_send_a_write_again(write, mirakl_sandbox, tmp_path):
    """Before Airflow 3.3. The note that it may have been sent stayed on the first disk."""
    mirakl_sandbox.fault("reset_after", "CM21")
    with pytest.raises(MiraklTransportError):
        write.run()
    shutil.rmtree(tmp_path / "work")
    write.ti.try_number = 2
    for _ in range(2):
        with pytest.raises(
            MiraklUnclearSubmissionError, match=r"not known .* sent POST /api/mcm/.* clear"
        ) as error:
            write.run()
        assert isinstance(error.value, AirflowFailException), "retries would find out nothing"
    assert len(mirakl_sandbox.journal("CM21")) == 1
    write.ti.max_tries, write.ti.try_number = 4, 3  # as clearing the task does
    assert write.run()["status"] == 200


def test_a_read_is_made_again_on_another_disk(worker, mirakl_sandbox_connections, tmp_path):
    options = {"path": "/api/hierarchies", "mirakl_conn_id": "mirakl_operator"}
    task = worker(lambda: MiraklRequestOperator(task_id="task", **options))
    task.run()
    shutil.rmtree(tmp_path / "work", ignore_errors=True)
    task.ti.try_number = 2
    assert task.run()["status"] == 200


def test_a_retry_on_the_same_disk_knows_that_nothing_was_sent(write, mirakl_sandbox, monkeypatch):
    """The first try had no connection."""
    connection = os.environ["AIRFLOW_CONN_MIRAKL_OPERATOR"]
    monkeypatch.delenv("AIRFLOW_CONN_MIRAKL_OPERATOR")
    with pytest.raises(Exception, match="mirakl_operator"):
        write.run()
    assert not mirakl_sandbox.journal("CM21")
    monkeypatch.setenv("AIRFLOW_CONN_MIRAKL_OPERATOR", connection)
    write.ti.try_number = 2
    assert write.run()["status"] == 200


@pytest.mark.parametrize("keeps_pages", [True, False])
def test_no_query_gets_into_a_trigger_or_the_task_state(
    worker, mirakl_sandbox, mirakl_sandbox_connections, monkeypatch, tmp_path, keeps_pages
):
    """It may name a customer. A task goes on with the next page from its files all the same."""
    monkeypatch.setattr(trip, "FIRST_LEAD", 0.0)  # a task leaves for the shortest wait
    monkeypatch.setattr(trip, "LONGEST_LEAD", 0.0)
    connection = mirakl_sandbox_connections["mirakl_operator"]
    connection["extra"]["interval_factor"] = 0.005
    monkeypatch.setenv("AIRFLOW_CONN_MIRAKL_OPERATOR", json.dumps(connection))
    state: dict[str, str] = {}
    options = {
        "path": "/api/shops",
        "query": {"customer_email": "jane.doe@example.com", "max": 1},
        "paging": "offset",
        "items": "shops",
        "interval": 60,
        "mirakl_conn_id": "mirakl_operator",
        "deferrable": True,
    }
    task = worker(lambda: MiraklRequestOperator(task_id="task", **options))
    task.more = {"task_state_store": SimpleNamespace(get=state.get, set=state.__setitem__)}
    if not keeps_pages:
        # In the first deferral: in a later one, a busy machine may have read another page.
        task.meanwhile = lambda: not task.deferrals and shutil.rmtree(tmp_path / "work")
    result = task.run()
    count = len(mirakl_sandbox.world.instance.shops)
    assert task.deferrals
    assert "jane.doe" not in json.dumps(task.deferrals) + json.dumps(state)
    assert result["items"] == len({shop["shop_id"] for shop in result["body"]}) == count
    queries = [call["query"] for call in mirakl_sandbox.journal("S20")]
    assert "jane.doe" in queries[0]
    assert len(queries) == (count if keeps_pages else count + 1), (
        "without its files the first page is read again"
    )


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_retry_goes_on_with_the_page_that_was_not_read(
    worker, mirakl_sandbox, mirakl_sandbox_connections, deferrable
):
    options = {
        "path": "/api/shops",
        "query": {"max": 1},
        "paging": "offset",
        "items": "shops",
        "max_failures": 0,
        "mirakl_conn_id": "mirakl_operator",
        "deferrable": deferrable,
    }
    task = worker(lambda: MiraklRequestOperator(task_id="task", **options))
    mirakl_sandbox.fault("status", "S20", status=400, skip=1)
    with pytest.raises(MiraklBadRequestError):
        task.run()
    before = len(mirakl_sandbox.journal("S20"))
    result = task.run()
    assert result["items"] == len(result["body"]) == len(mirakl_sandbox.world.instance.shops)
    assert "offset=1" in mirakl_sandbox.journal("S20")[before]["query"]


@pytest.mark.parametrize("interval", [60, 180])
def test_pages_far_apart_are_waited_for_in_the_triggerer(
    worker, mirakl_sandbox, mirakl_sandbox_connections, monkeypatch, interval
):
    """180 s is more than a client waits inside a call."""
    connection = mirakl_sandbox_connections["mirakl_operator"]
    connection["extra"]["interval_factor"] = 1
    monkeypatch.setenv("AIRFLOW_CONN_MIRAKL_OPERATOR", json.dumps(connection))
    options = {"path": "/api/shops", "query": {"max": 1}, "paging": "offset", "items": "shops"}
    task = worker(
        lambda: MiraklRequestOperator(
            task_id="task", **options, interval=interval, deferrable=True, mirakl_conn_id="mirakl_operator"
        )
    )

    class DeferredError(Exception):
        pass

    def fire(trigger):
        raise DeferredError(trigger.serialize()[1]["moment"])

    task.fire = fire
    begun = time.time()
    with pytest.raises(DeferredError) as deferred:
        task.run()
    assert [call["query"] for call in mirakl_sandbox.journal("S20")] == ["max=1"]
    # Up to the longest lead by which a task wakes early.
    assert deferred.value.args[0] - begun > interval - 15


def test_a_sellers_shop_is_sent_with_every_request(request_, mirakl_sandbox):
    seller = {"path": "/api/account", "mirakl_conn_id": "mirakl_shop"}
    assert request_(**seller, shop_id="2001")["body"]["shop_id"] == 2001
    assert mirakl_sandbox.journal("A01")[-1]["query"] == "shop_id=2001"
    with pytest.raises(MiraklConfigurationError, match="shop_id must be left out"):
        request_(path="/api/shops", shop_id=2001)


def test_the_connections_shop_is_sent_with_every_request(
    request_, mirakl_sandbox, mirakl_sandbox_connections, monkeypatch
):
    connection = mirakl_sandbox_connections["mirakl_shop"]
    connection["extra"]["shop_id"] = 2001
    monkeypatch.setenv("AIRFLOW_CONN_MIRAKL_SHOP", json.dumps(connection))
    assert request_(path="/api/account", mirakl_conn_id="mirakl_shop")["body"]["shop_id"] == 2001
