"""Files go through the example Dag and the real operator into a sandbox: the catalog as a user meets it.

What a scheduler, a triggerer and dying processes add is in ``live/``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.sandbox import Sandbox
from airflow_provider_mirakl.sandbox.pytest_plugin import connections

pytestmark = [pytest.mark.airflow, pytest.mark.matrix]

EXAMPLE = Path(__file__).parents[2] / "example_dags" / "mirakl_connect_catalog_sync.py"
SPEED = 240.0

DAG = """
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG
from airflow_provider_mirakl.operators.connect import MiraklConnectUpsertProductsOperator

FOLDER = Path({folder!r})


class Upsert(MiraklConnectUpsertProductsOperator):
    # A callback of the failure would not do: dag.test() before Airflow 3.3 does not tell it the error.
    def execute(self, context):
        try:
            return super().execute(context)
        except Exception as error:
            (FOLDER / f"{{self.task_id}}.error").write_text(str(error))
            raise


with DAG(dag_id={dag_id!r}, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):
    for name, source in json.loads((FOLDER / "sources.json").read_text()).items():
        Upsert(task_id=name, source=source, retry_delay=timedelta(0), **{arguments!r})
"""


@pytest.fixture
def sandbox(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox(speed=getattr(request, "param", SPEED)) as server:
        connection = connections(server)["mirakl_connect_default"]
        monkeypatch.setenv("AIRFLOW_CONN_MIRAKL_CONNECT_DEFAULT", json.dumps(connection))
        yield server


@pytest.fixture
def upsert(run_dag: Any, tmp_path: Path) -> Callable[..., Any]:
    """``upsert(sources, **arguments)``: run the operator once for each source, by task id."""

    def run(sources: dict[str, Any], **arguments: Any) -> Any:
        (tmp_path / "sources.json").write_text(json.dumps(sources), encoding="utf-8")
        dag_id = f"upsert_{abs(hash(tmp_path))}"
        return run_dag(DAG.format(folder=str(tmp_path), dag_id=dag_id, arguments=arguments))

    return run


def write(path: Path, products: list[Any]) -> str:
    path.write_text("".join(json.dumps(product) + "\n" for product in products), encoding="utf-8")
    return str(path)


def answers(sandbox: Sandbox) -> Counter[tuple[str, int]]:
    """How often each operation gave each status."""
    return Counter((call["operation"], call["status"]) for call in sandbox.journal())


def sizes(sandbox: Sandbox) -> list[int]:
    """Products in each accepted call, in order."""
    return list(Counter(row["call"] for row in sandbox.ledger()).values())


def test_the_example_sends_1001_products_in_two_calls_and_proves_them(
    run_dag: Any, sandbox: Sandbox, tmp_path: Path
) -> None:
    source = write(tmp_path / "p.ndjson", [{"id": f"p{number}", "brand": "ACME"} for number in range(1001)])
    result = run_dag(EXAMPLE, conf={"source": source})
    assert result.tasks == {"upsert": "success", "verify": "success"}
    assert sizes(sandbox) == [1000, 1]
    assert answers(sandbox)["upsertProducts", 202] == 2
    assert result.returned("upsert")["sent"] == 1001
    assert result.returned("verify")["succeeded"] == 1001
    assert len(sandbox.products()) == 1001


def test_null_erases_and_absent_keeps(upsert: Any, sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.seed([{"id": "p1", "brand": "ACME", "gtins": [{"value": "4006381333931"}]}])
    source = write(tmp_path / "p.ndjson", [{"id": "p1", "brand": None}])
    assert upsert({"upsert": source}).state == "success"
    sandbox.advance(60)
    (product,) = sandbox.products()
    assert product.get("brand") is None
    assert product["gtins"] == [{"value": "4006381333931"}]


def test_a_byte_order_mark_and_windows_line_ends_are_understood(
    upsert: Any, sandbox: Sandbox, tmp_path: Path
) -> None:
    path = tmp_path / "p.ndjson"
    path.write_bytes(b'\xef\xbb\xbf{"id": "p1"}\r\n{"id": "p2"}\r\n')
    assert upsert({"upsert": str(path)}).state == "success"
    assert sizes(sandbox) == [2]


def test_a_list_of_products_is_a_source(upsert: Any, sandbox: Sandbox) -> None:
    assert upsert({"upsert": [{"id": "p1"}, {"id": "p2"}]}).state == "success"
    assert sizes(sandbox) == [2]


GOOD = [json.dumps({"id": f"p{number}"}) for number in range(5)]


def among_good(line: str) -> str:
    """Line 3 of five is this one."""
    return "\n".join([*GOOD[:2], line, *GOOD[2:4]]) + "\n"


PRICE = '{"id": "x", "standard_prices": [{"price": {"amount": %s, "currency": "EUR"}}]}'
BAD: dict[str, tuple[str | None, tuple[str, ...]]] = {
    "missing": (None, ("does not exist",)),
    "empty": ("", ("is empty",)),
    "torn_line": (among_good('{"id": "x", "brand'), ("line 3",)),
    "list_for_object": (among_good('["x"]'), ("line 3", "object")),
    "long_id": (among_good(json.dumps({"id": "x" * 257})), ("line 3", "id", "256")),
    "gtin_of_14": (among_good('{"id": "x", "gtins": [{"value": "12345678901234"}]}'), ("line 3", "gtins[0]")),
    "nan": (among_good(PRICE % "NaN"), ("line 3", "standard_prices[0].price.amount")),
    "price_as_text": (among_good(PRICE % '"12.50"'), ("line 3", "standard_prices[0].price.amount")),
    "twice": (among_good(GOOD[0]), ("line 3", "line 1")),
}


def test_bad_input_is_named_by_line_and_field_and_costs_no_call(
    upsert: Any, sandbox: Sandbox, tmp_path: Path
) -> None:
    sources = {}
    for name, (text, _) in BAD.items():
        path = tmp_path / f"{name}.ndjson"
        sources[name] = str(path)
        if text is not None:
            path.write_text(text, encoding="utf-8")
    result = upsert(sources)
    assert result.tasks == dict.fromkeys(BAD, "failed")
    for name, (_, words) in BAD.items():
        error = (tmp_path / f"{name}.error").read_text(encoding="utf-8")
        assert [word for word in words if word not in error] == [], error
    assert sandbox.journal() == []


def test_rejected_rows_are_set_aside_and_the_others_sent(
    upsert: Any, sandbox: Sandbox, tmp_path: Path
) -> None:
    path = tmp_path / "p.ndjson"
    path.write_text(among_good(PRICE % '"12.50"'), encoding="utf-8")
    result = upsert({"upsert": str(path)}, on_invalid="reject")
    assert result.state == "success"
    assert sizes(sandbox) == [4]
    outcome = result.returned("upsert")
    assert (outcome["sent"], outcome["rejected"]) == (4, 1)
    assert "standard_prices" in (Path(outcome["folder"]) / "rejects.ndjson").read_text(encoding="utf-8")


def test_rejected_rows_count_as_failed_items_before_a_call(
    upsert: Any, sandbox: Sandbox, tmp_path: Path
) -> None:
    products = [{"id": f"p{number}", "brand": 1 if number < 2 else "x"} for number in range(10)]
    rows = "".join(json.dumps(product) + "\n" for product in products)
    some, every = tmp_path / "some.ndjson", tmp_path / "every.ndjson"
    some.write_text(rows, encoding="utf-8")
    every.write_text('{"id": "p1", "brand": 1}\n{"brand": "x"}\n', encoding="utf-8")

    result = upsert({"every": str(every)}, on_invalid="reject")
    assert result.tasks == {"every": "failed"}
    assert "every row of the source was rejected (2)" in (tmp_path / "every.error").read_text(
        encoding="utf-8"
    )
    result = upsert({"some": str(some)}, on_invalid="reject", max_failed_ratio=0.1)
    assert result.tasks == {"some": "failed"}
    error = (tmp_path / "some.error").read_text(encoding="utf-8")
    assert "2 of 10 items failed; 1 are allowed" in error
    assert "2 x REJECTED: brand: expected a text, got the number …" in error
    assert sandbox.journal() == []

    result = upsert({"some": str(some)}, on_invalid="reject", max_failed_items=2)
    assert result.state == "success"
    assert sizes(sandbox) == [8]


def test_a_ready_mapping_and_the_settings_of_reading(upsert: Any, sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    text = "Handle,Title,Option1 Value,Variant Price,Variant Barcode\nlamp,Caf\xe9, Red ,12.50,36000291452\n"
    path.write_bytes(text.encode("cp1252"))
    columns = {
        "preset": "shopify",
        "mapping": dict.fromkeys(
            ("Body (HTML)", "Vendor", "Product Category", "Image Src", "Variant Inventory Qty"), ""
        ),
        "fill_down": ["Title"],
        "collect": [],
    }
    result = upsert({"upsert": str(path)}, columns=columns, encoding="cp1252", normalize_gtins=True)
    assert result.state == "success"
    sandbox.advance(60)
    (product,) = sandbox.products()
    assert product["id"] == "lamp-Red"
    assert product["titles"][0]["value"] == "Caf\xe9"
    assert product["gtins"] == [{"value": "036000291452"}]


def test_a_disabled_connection_skips_the_task(
    upsert: Any, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connections(sandbox)["mirakl_connect_default"]
    connection["extra"]["enabled"] = False
    monkeypatch.setenv("AIRFLOW_CONN_MIRAKL_CONNECT_DEFAULT", json.dumps(connection))
    assert upsert({"upsert": [{"id": "p1"}]}).tasks == {"upsert": "skipped"}
    assert sandbox.journal() == []


FAULTS: dict[str, dict[str, Any]] = {
    "500": {"kind": "status", "status": 500},
    "502 of a proxy": {"kind": "status", "status": 502, "body": "html"},
    "503 with nothing": {"kind": "status", "status": 503, "body": "empty"},
    "reset before": {"kind": "reset_before"},
    "429 in seconds": {"kind": "throttle", "retry_after": "seconds"},
    "429 with a date": {"kind": "throttle", "retry_after": "date"},
    "429 of the past": {"kind": "throttle", "retry_after": "past"},
    "429 without Retry-After": {"kind": "throttle", "retry_after": "none"},
    "429 with nonsense": {"kind": "throttle", "retry_after": "garbage"},
    "token ended": {"kind": "revoke_token"},
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_what_passes_is_waited_for(upsert: Any, sandbox: Sandbox, fault: dict[str, Any]) -> None:
    rule = sandbox.fault(
        fault["kind"], "upsertProducts", skip=1, **{k: v for k, v in fault.items() if k != "kind"}
    )
    products = [{"id": f"p{number}"} for number in range(6)]
    assert upsert({"upsert": products}, batch_size=2).tasks == {"upsert": "success"}
    assert rule.struck == 1
    assert Counter(row["item"] for row in sandbox.ledger()) == {product["id"]: 1 for product in products}


def test_a_reply_that_was_lost_repeats_its_own_chunk_alone(upsert: Any, sandbox: Sandbox) -> None:
    sandbox.fault("reset_after", "upsertProducts", skip=1)
    products = [{"id": f"p{number}"} for number in range(6)]
    assert upsert({"upsert": products}, batch_size=2).tasks == {"upsert": "success"}
    assert [row["item"] for row in sandbox.ledger()] == ["p0", "p1", "p2", "p3", "p2", "p3", "p4", "p5"]


def test_a_retry_begins_where_the_try_before_it_ended(upsert: Any, sandbox: Sandbox) -> None:
    sandbox.fault("status", "upsertProducts", skip=1, times=4, status=500)  # all tries of one call
    products = [{"id": f"p{number}"} for number in range(6)]
    result = upsert({"upsert": products}, batch_size=2, max_failures=0, retries=1)
    assert result.tasks == {"upsert": "success"}
    assert [row["item"] for row in sandbox.ledger()] == [product["id"] for product in products]


def test_a_refusal_fails_at_once_with_the_words_of_mirakl(
    upsert: Any, sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.fault("status", "upsertProducts", status=400, body='{"message": "the locale is not known"}')
    assert upsert({"upsert": [{"id": "p1"}]}).tasks == {"upsert": "failed"}
    error = (tmp_path / "upsert.error").read_text(encoding="utf-8")
    assert "upsertProducts: POST /api/products answered 400" in error
    assert "the locale is not known" in error
    assert answers(sandbox)["upsertProducts", 400] == 1


@pytest.mark.slow
@pytest.mark.parametrize("sandbox", [60.0], indirect=True)
def test_state_survives_a_deferral(upsert: Any, sandbox: Sandbox) -> None:
    """A minute of Mirakl is a second here: too long to sleep."""
    sandbox.fault("status", "upsertProducts", skip=1, status=500)
    products = [{"id": f"p{number}"} for number in range(4)]
    assert upsert({"upsert": products}, batch_size=2, deferrable=True).tasks == {"upsert": "success"}
    assert [call["status"] for call in sandbox.journal("upsertProducts")] == [202, 500, 202]
    assert sizes(sandbox) == [2, 2]
