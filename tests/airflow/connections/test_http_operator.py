"""Airflow's own ``HttpOperator`` calls Mirakl with the credentials of our connections."""

from __future__ import annotations

import json

import pytest

from airflow_provider_mirakl.sandbox import Sandbox

pytestmark = [pytest.mark.airflow, pytest.mark.matrix]

DAG = """
from datetime import datetime
from airflow.providers.common.compat.sdk import dag
from airflow.providers.http.operators.http import HttpOperator
from airflow_provider_mirakl.hooks.requests_auth import mirakl_requests_auth


@dag(schedule=None, start_date=datetime(2024, 1, 1), catchup=False)
def by_http_operator_NUMBER():
    HttpOperator(
        task_id="call",
        http_conn_id="web",
        auth_type=mirakl_requests_auth("credentials"),
        method="METHOD",
        endpoint="ENDPOINT",
        data='{"products": []}' if "METHOD" == "POST" else None,
        headers={"Content-Type": "application/json"},
        response_check=lambda response: response.status_code in (200, 400),
        extra_options={"check_response": False},
    )


by_http_operator_NUMBER()
"""
CALLS = {
    "mirakl": ("GET", "api/platform/configuration", "PC01", 200),
    "mirakl_connect": ("GET", "api/products", "listProducts", 200),
    "djust": ("POST", "v1/mapper/mirakl/product-synchronizations", "ADM-MIRAKL-100", 400),
}


@pytest.fixture
def call(run_dag, monkeypatch):
    """``call(number, address, fields, method, endpoint)``: the state of the task."""

    def run(number, address, fields, method, endpoint):
        monkeypatch.setenv("AIRFLOW_CONN_WEB", json.dumps({"conn_type": "http", "host": address}))
        monkeypatch.setenv("AIRFLOW_CONN_CREDENTIALS", json.dumps(fields))
        source = DAG.replace("NUMBER", str(number)).replace("METHOD", method).replace("ENDPOINT", endpoint)
        return run_dag(source).tasks["call"]

    return run


def test_it_calls(call, good, conn_type, sandbox):
    method, endpoint, operation, status = CALLS[conn_type]
    address = good["host"].removesuffix("/api")
    assert call(conn_type, address, good, method, endpoint) == "success"
    done = sandbox.journal(operation)
    assert [entry["status"] for entry in done] == [status]


def test_login_and_password_of_the_http_connection_are_not_sent(run_dag, monkeypatch, sandbox):
    web = {"conn_type": "http", "host": sandbox.mirakl_url, "login": "someone", "password": "something-else"}
    shop = {"conn_type": "mirakl", "host": sandbox.mirakl_url, "password": "sandbox-shop-key"}
    monkeypatch.setenv("AIRFLOW_CONN_WEB", json.dumps(web))
    monkeypatch.setenv("AIRFLOW_CONN_CREDENTIALS", json.dumps(shop))
    source = DAG.replace("NUMBER", "login").replace("METHOD", "GET").replace("ENDPOINT", CALLS["mirakl"][1])
    assert run_dag(source).tasks["call"] == "success"
    assert [entry["role"] for entry in sandbox.journal("PC01")] == ["shop"]


def test_another_address_gets_nothing(call, sandbox):
    shop = {"conn_type": "mirakl", "host": sandbox.mirakl_url, "password": "sandbox-shop-key"}
    with Sandbox() as other:
        assert call("elsewhere", other.mirakl_url, shop, "GET", CALLS["mirakl"][1]) == "failed"
        assert other.journal() == []


def test_a_disabled_connection_skips(call, sandbox):
    shop = {
        "conn_type": "mirakl",
        "host": sandbox.mirakl_url,
        "password": "k-12345",
        "extra": {"enabled": False},
    }
    assert call("off", sandbox.mirakl_url, shop, "GET", CALLS["mirakl"][1]) == "skipped"
    assert sandbox.journal() == []
