"""Whatever a client sends, the sandbox refuses or accepts it; it never falls over, neither now nor when jobs run."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_mirakl.sandbox import Sandbox
from airflow_provider_mirakl.sandbox.generate import product
from airflow_provider_mirakl.sandbox.systems.tables import Table, UnreadableFileError, read
from tests.fuzz.mutation import places, replaced

SYNC = [
    {
        "mirakl_product_id": "MKL-001",
        "product_sku": "SKU-001",
        "operation": "CREATE_UPDATE",
        "data": {"title": "x"},
        "acceptance": {
            "status": "REJECTED",
            "reason_code": "x",
            "channels": [{"code": "INIT", "status": "ACCEPTED"}],
        },
        "integration_errors": [{"code": "x", "message": "x", "attribute_code": "brand"}],
        "catalogs": ["default"],
        "product_urls": [{"qualifier": "x", "link": "x"}],
        "selling_authorization": {"restricted": True, "authorized_selling_shop_ids": ["2000"]},
    }
]
OFFER = {
    "shop_sku": "O-1",
    "product_id": "SKU-001",
    "product_id_type": "SKU",
    "price": 1,
    "quantity": 1,
    "state_code": "11",
    "update_delete": "",
    "description": "x",
    "discount": {"price": 1},
}
SHOP = {
    "address": {"city": "x"},
    "channels": ["INIT"],
    "closed_from": "2026-01-01T00:00:00Z",
    "email": "a@example.com",
    "payment_info": {"@type": "IBAN", "owner": "x"},
    "producer_identifiers": [{"epr_category_code": "x", "producer_id": "x"}],
    "shop_additional_fields": [{"code": "segment", "value": "M"}],
}
BODIES: dict[str, tuple[str, str, str, Any]] = {
    "upsertProducts": ("connect", "POST", "/api/products", {"products": [product(1), product(2)]}),
    "deleteProducts": ("connect", "DELETE", "/api/products", {"products": [{"id": "a"}]}),
    "CM21": ("operator", "POST", "/api/mcm/products/synchronization", SYNC),
    "CM52": (
        "operator",
        "POST",
        "/api/mcm/products/export/async",
        {
            "product_id": ["MKL-001"],
            "updated_since": "2026-01-01T00:00:00Z",
            "items_per_chunk": 10,
            "export_type": "text/csv",
        },
    ),
    "OF24": ("shop", "POST", "/api/offers", {"offers": [OFFER]}),
    "OF52": (
        "shop",
        "POST",
        "/api/offers/export/async",
        {"include_fields": ["price"], "rename_fields": {"price": "p"}, "items_per_chunk": 1},
    ),
    "OR13": (
        "shop",
        "POST",
        "/api/orders/async-export",
        {
            "start_update_date": "2026-01-01T00:00:00Z",
            "end_update_date": "2026-12-01T00:00:00Z",
            "order_state_codes": ["SHIPPED"],
            "items_per_chunk": 1,
        },
    ),
    "TL03": (
        "operator",
        "POST",
        "/api/sellerpayment/transactions_logs/async",
        {"last_updated_from": "2026-01-01T00:00:00Z", "items_per_chunk": 1},
    ),
    "A02": ("shop", "PUT", "/api/account", SHOP),
    "ADM-MIRAKL-100": (
        "djust",
        "POST",
        "/v1/mapper/mirakl/product-synchronizations",
        {
            "products": [{"miraklProductId": "MKL-001", "productSku": "SKU-001"}],
            "clientSpecificationId": None,
        },
    ),
}

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def clients() -> Iterator[tuple[Sandbox, dict[str, httpx.Client]]]:
    with Sandbox(clock="stepped", limits="off") as sandbox:
        form = {
            "grant_type": "client_credentials",
            "client_id": "sandbox-client",
            "client_secret": "sandbox-secret",
        }
        token = httpx.post(sandbox.token_url, data=form).json()["access_token"]
        opened = {
            "connect": httpx.Client(
                base_url=sandbox.connect_url, headers={"Authorization": f"Bearer {token}"}
            ),
            "shop": httpx.Client(base_url=sandbox.mirakl_url, headers={"Authorization": "sandbox-shop-key"}),
            "operator": httpx.Client(
                base_url=sandbox.mirakl_url, headers={"Authorization": "sandbox-operator-key"}
            ),
            "djust": httpx.Client(
                base_url=sandbox.djust_url,
                headers={"dj-client": "OPERATOR", "dj-api-key": "sandbox-djust-key"},
            ),
        }
        yield sandbox, opened
        for client in opened.values():
            client.close()


@pytest.mark.parametrize("code", BODIES)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_any_json(
    clients: tuple[Sandbox, dict[str, httpx.Client]],
    caplog: pytest.LogCaptureFixture,
    code: str,
    data: st.DataObject,
) -> None:
    sandbox, opened = clients
    role, method, path, good = BODIES[code]
    place = data.draw(st.sampled_from(sorted(places(good), key=str)))
    body = replaced(good, place, data.draw(values))
    answer = opened[role].request(
        method, path, content=json.dumps(body), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code < 500, answer.text
    sandbox.advance(1)  # little, so that a token lives through the run
    sandbox.call(lambda world: [world.jobs.enter(job, end) for job, end in endings(world)])
    for reading in ("/api/mcm/products/export", "/api/shops"):
        assert opened["operator"].get(reading).status_code == 200
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def endings(world: Any) -> list[tuple[Any, str]]:
    """Jobs that have not ended, each with its end: so that what they do is done at once."""
    exports = ("CM52", "OF52", "OR13", "TL03")
    open_jobs = [job for job in world.jobs.all.values() if job.finished is None]
    return [(job, "COMPLETED" if job.kind in exports else "COMPLETE") for job in open_jobs]


@pytest.mark.parametrize(("path", "kind"), [("offers/imports", "OF01"), ("products/imports", "P41")])
def test_a_file_that_cannot_be_read_fails_also_if_its_job_is_completed_by_order(
    clients: tuple[Sandbox, dict[str, httpx.Client]], path: str, kind: str
) -> None:
    sandbox, opened = clients
    files = {"file": ("rows.csv", b"sku;price\nO-1;\x00\n", "text/csv")}
    data = {"import_mode": "NORMAL"} if kind == "OF01" else {}
    assert opened["shop"].post(f"/api/{path}", files=files, data=data).status_code == 201
    sandbox.call(lambda world: [world.jobs.enter(job, end) for job, end in endings(world)])
    states = sandbox.call(lambda world: [job.status for job in world.jobs.all.values() if job.kind == kind])
    assert states[-1] == "FAILED"


@pytest.mark.parametrize("query", ["limit=²", "limit=--5", "limit=1e3", "limit=" + "9" * 5000])
def test_strange_numbers_in_a_query(clients: tuple[Sandbox, dict[str, httpx.Client]], query: str) -> None:
    _, opened = clients
    assert opened["connect"].get(f"/api/products?{query}").status_code == 400
    assert opened["operator"].get(f"/api/shops?max={query.partition('=')[2]}").status_code == 400


@pytest.mark.parametrize("path", ["clock", "faults", "master-products"])
def test_the_control_api_refuses_what_is_no_json(
    clients: tuple[Sandbox, dict[str, httpx.Client]], path: str
) -> None:
    sandbox, _ = clients
    answer = httpx.post(f"{sandbox.url}/_sandbox/{path}", content=b"{")
    assert (answer.status_code, "error" in answer.json()) == (400, True)


_BOOK = Table("xlsx", ("a", "b"), ({"a": "1", "b": "ü"}, {"a": "<&>", "b": ""}))


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=200)
    | st.tuples(st.sampled_from(["csv", "xml", "xlsx"]), st.integers(0, 2000), st.binary(max_size=4))
)
def test_any_file_is_a_table_or_unreadable(source: bytes | tuple[str, int, bytes]) -> None:
    if isinstance(source, tuple):
        kind, place, noise = source
        body = Table(kind, _BOOK.header, _BOOK.rows).dump()  # type: ignore[arg-type]
        source = body[: place % len(body)] + noise + body[place % len(body) :]
    try:
        table = read(source)
    except UnreadableFileError:
        return
    assert table.header


@pytest.mark.parametrize("kind", ["csv", "xml", "xlsx"])
def test_a_file_is_read_as_it_was_written(kind: Any) -> None:
    table = Table(kind, _BOOK.header, _BOOK.rows)
    assert (read(table.dump()).header, read(table.dump()).rows) == (table.header, table.rows)


@pytest.mark.parametrize("encoding", ["U-TF-8", "gbk", "rot13"])
def test_xml_in_an_encoding_that_the_parser_lacks_is_unreadable(encoding: str) -> None:
    with pytest.raises(UnreadableFileError, match="not valid XML"):
        read(f'<?xml version="1.0" encoding="{encoding}"?><import/>'.encode())
