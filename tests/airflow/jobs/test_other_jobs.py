"""The other jobs against the sandbox: synchronization, offers, stock, prices, exports."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from airflow_provider_mirakl.exceptions import (
    MiraklBadRequestError,
    MiraklConfigurationError,
    MiraklInputError,
    MiraklItemsFailedError,
    MiraklJobFailedError,
    MiraklNotFoundError,
    MiraklPermissionError,
    MiraklRateLimitError,
    MiraklUnclearSubmissionError,
)
from airflow_provider_mirakl.operators.catalog_manager import (
    MiraklExportDeletedProductsOperator,
    MiraklExportProductsOperator,
    MiraklExportProductStatusOperator,
    MiraklSynchronizeProductsOperator,
)
from airflow_provider_mirakl.operators.offers import (
    MiraklExportOffersOperator,
    MiraklImportOffersOperator,
    MiraklImportPricesOperator,
    MiraklImportStockOperator,
    MiraklUpsertOffersOperator,
)

pytestmark = [pytest.mark.airflow, pytest.mark.matrix]
an_hour_is_short = pytest.mark.mirakl_sandbox_settings(speed=6000.0)
"""0.6 seconds: CM11 is called once an hour."""

OFFERS = "sku;product-id;product-id-type;price;quantity;state;update-delete\n"
TWO_OFFERS = OFFERS + "O-1;SKU-001;SKU;10;5;11;\nO-2;SKU-002;SKU;12;5;11;\n"


@pytest.fixture(params=[False, True], ids=["worker", "deferrable"])
def task(request, worker, mirakl_sandbox_connections):
    """Makes a worker for an operator of any class."""

    def make(kind, run_id="run", **options):
        options = {"mirakl_conn_id": "mirakl_operator"} | options
        return worker(lambda: kind(task_id="task", deferrable=request.param, **options), run_id=run_id)

    return make


@pytest.fixture
def file(tmp_path):
    """Writes a source file."""

    def write(text, name="source.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def lines(path):
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


# CM21


def test_products_are_synchronized_in_batches_and_failures_are_input_of_the_next_run(task, mirakl_sandbox):
    products = [{"mirakl_product_id": f"MKL-{n:03}", "product_sku": f"SKU-{n:03}"} for n in range(21, 26)]
    products.append({"mirakl_product_id": "MKL-001", "data": {"sky": "blue"}})
    result = task(MiraklSynchronizeProductsOperator, source=products, batch_size=4, max_failed_items=1).run()
    assert (result["sent"], result["succeeded"], result["failed"]) == (6, 5, 1)
    assert [call["items"] for call in mirakl_sandbox.journal("CM21")] == [4, 2]
    assert len(result["job_ids"]) == 2
    rows = lines(result["rows"][0])
    assert [row["status"] for row in rows] == ["succeeded"] * 5 + ["failed"]
    assert "sky is unknown" in rows[-1]["message"]
    assert result["errors"][0]["count"] == 1
    assert lines(result["rejects"]) == [products[-1]]
    with pytest.raises(MiraklItemsFailedError, match="sky is unknown"):
        task(MiraklSynchronizeProductsOperator, source=result["rejects"], run_id="next").run()


def test_only_the_batch_that_failed_as_a_whole_is_sent_again(task, mirakl_sandbox):
    products = [{"mirakl_product_id": f"MKL-{n:03}", "product_sku": f"SKU-{n:03}"} for n in range(21, 27)]
    mirakl_sandbox.fault("fail_job", "CM21", skip=1)
    running = task(MiraklSynchronizeProductsOperator, source=products, batch_size=2)
    with pytest.raises(MiraklJobFailedError):
        running.run()
    mirakl_sandbox.fault("status", "CM21", status=400)
    with pytest.raises(MiraklBadRequestError):
        running.run()
    result = running.run()
    assert (result["sent"], result["succeeded"]) == (6, 6)
    assert [call["status"] for call in mirakl_sandbox.journal("CM21")] == [200, 200, 200, 400, 200]


def test_an_ndjson_file_is_a_source(task, file, mirakl_sandbox):
    source = file('{"mirakl_product_id":"MKL-002","operation":"DELETE"}\n', "products.ndjson")
    assert task(MiraklSynchronizeProductsOperator, source=source).run()["succeeded"] == 1
    assert "MKL-002" not in mirakl_sandbox.master_products()


def test_a_part_that_was_read_leaves_the_rest_unknown(task, mirakl_sandbox):
    mirakl_sandbox.fault("partial_read", "CM21")
    products = [{"mirakl_product_id": f"MKL-{n:03}", "product_sku": f"SKU-{n:03}"} for n in range(21, 25)]
    result = task(MiraklSynchronizeProductsOperator, source=products).run()
    assert (result["sent"], result["succeeded"], result["unknown"]) == (4, 2, 2)
    assert "Only a part" in result["messages"][0]


def test_objects_without_a_use_are_refused_all_at_once(task, mirakl_sandbox):
    products = [{"mirakl_product_id": "MKL-001"}, {"product_sku": "x", "acceptance": {"status": "REJECTED"}}]
    with pytest.raises(MiraklInputError, match="2 of 2 rows are invalid; nothing was sent") as caught:
        task(MiraklSynchronizeProductsOperator, source=products).run()
    assert len(caught.value.problems) == 2
    assert not mirakl_sandbox.journal()


def test_a_seller_cannot_synchronize(task, mirakl_sandbox):
    with pytest.raises(MiraklConfigurationError, match="role must be 'operator' or 'front' for CM21"):
        task(MiraklSynchronizeProductsOperator, source=[{}], mirakl_conn_id="mirakl_shop").run()


# Offers, stock, prices


def test_offers_stock_and_prices_are_imported(task, file, mirakl_sandbox):
    shop = {"mirakl_conn_id": "mirakl_shop"}
    offers = task(MiraklImportOffersOperator, source=file(TWO_OFFERS), run_id="offers", **shop).run()
    assert (offers["sent"], offers["succeeded"]) == (2, 2)
    stock = file("offer-sku;quantity;warehouse-code;update-delete\nO-1;7;;\nO-9;1;;\n", "stock.csv")
    done = task(MiraklImportStockOperator, source=stock, run_id="stock", max_failed_items=1, **shop).run()
    assert (done["sent"], done["succeeded"], done["failed"]) == (2, 1, 1)
    assert lines(done["rows"][0])[0]["item_id"] == "O-9"
    rejects = Path(done["rejects"]).read_text(encoding="utf-8")
    assert rejects == '"offer-sku";"quantity";"warehouse-code";"update-delete"\n"O-9";"1";"";""\n'
    prices = file("offer-sku;price;discount-price\nO-1;20;18\nO-2;cheap;\n", "prices.csv")
    options = {"source": prices, "run_id": "prices", "max_failed_items": 1, "lint": "warn", **shop}
    done = task(MiraklImportPricesOperator, **options).run()
    assert done["lint"]["problems"] == 1
    assert lines(done["lint"]["findings"])[0]["column"] == "price"
    assert (done["succeeded"], done["failed"]) == (1, 1)
    assert "not a number" in lines(done["rows"][0])[0]["message"]


def test_offers_as_json_and_their_rejects(task, mirakl_sandbox):
    offers = [
        {
            "shop_sku": f"J-{n}",
            "product_id": f"SKU-00{n}",
            "product_id_type": "SKU",
            "price": 9.5,
            "state_code": "11",
            "update_delete": "update",
        }
        for n in range(1, 4)
    ]
    offers[2]["product_id"] = "nothing"
    result = task(
        MiraklUpsertOffersOperator,
        source=offers,
        mirakl_conn_id="mirakl_operator",
        shop_id=2001,
        max_failed_items=1,
    ).run()
    assert (result["sent"], result["succeeded"], result["failed"]) == (3, 2, 1)
    assert lines(result["rejects"]) == [offers[2]]


def test_wrong_offers_are_rejected_and_the_others_sent(task, file, mirakl_sandbox, capsys):
    heading = "shop_sku;product_id;product_id_type;price;state_code;update_delete\n"
    good, unknown = "J-1;SKU-001;SKU;9.50;11;update\n", "J-2;nothing;SKU;9.50;11;update\n"
    wrong, torn = "J-3;SKU-003;SKU;cheap;11;update\n", "J-4;SKU-004;SKU;9;11;update;x\n"
    running = {"mirakl_conn_id": "mirakl_shop", "on_invalid": "reject"}
    source = file(heading + good + wrong + torn + unknown, "offers.csv")
    with pytest.raises(MiraklItemsFailedError, match="3 of 4 items failed") as caught:
        task(MiraklUpsertOffersOperator, source=source, max_failed_items=2, **running).run()
    result = caught.value.outcome
    assert [result[name] for name in ("sent", "succeeded", "failed", "unknown", "rejected")] == [
        2,
        1,
        3,
        0,
        2,
    ]
    assert "2 of 4 objects rejected" in capsys.readouterr().out
    assert {item["item_id"] for item in lines(result["rows"][0])} >= {"J-2", "J-3"}
    rejects = lines(result["rejects"])
    assert [entry.get("line") for entry in rejects] == [3, 4, None]
    assert "price" in rejects[0]["problems"][0]
    assert rejects[2]["shop_sku"] == "J-2"
    # Fixed, the file is the source of the next run, whatever a row was rejected for.
    rejects[0]["row"]["price"], rejects[2]["product_id"] = 9.5, "SKU-002"
    rejects[1]["cells"].pop("(column 7)")
    fixed = file("".join(json.dumps(entry) + "\n" for entry in rejects), "fixed.ndjson")
    again = task(MiraklUpsertOffersOperator, source=fixed, run_id="fixed", **running).run()
    assert (again["succeeded"], again["failed"], again["rejected"], again["rejects"]) == (3, 0, 0, None)


OFFER = {
    "product_id": "SKU-001",
    "product_id_type": "SKU",
    "price": 9.5,
    "state_code": "11",
    "update_delete": "update",
}
DECISION = {"mirakl_product_id": "MKL-001", "acceptance": {"status": "ACCEPTED"}}
REFUSAL = {"mirakl_product_id": "MKL-001", "acceptance": {"status": "REJECTED", "reason_code": "PICTURE"}}
LINK = {"mirakl_product_id": "MKL-021", "product_sku": "SKU-021"}


@pytest.mark.parametrize(
    ("kind", "conn_id", "source", "words"),
    [
        (
            MiraklUpsertOffersOperator,
            "mirakl_shop",
            [OFFER | {"shop_sku": "A"}, OFFER | {"shop_sku": "B"}, OFFER | {"shop_sku": "A", "price": 99.0}],
            "shop_sku: 'A' is in the source more than once",
        ),
        (
            MiraklSynchronizeProductsOperator,
            "mirakl_operator",
            [DECISION, LINK, REFUSAL],
            "mirakl_product_id: 'MKL-001' is in the source more than once",
        ),
    ],
)
def test_two_objects_about_the_same_are_found_before_a_call(
    task, mirakl_sandbox, kind, conn_id, source, words
):
    running = {"source": source, "batch_size": 2, "mirakl_conn_id": conn_id}
    with pytest.raises(MiraklInputError, match=words):
        task(kind, **running).run()
    assert not mirakl_sandbox.journal()
    result = task(kind, run_id="others", on_invalid="reject", max_failed_items=1, **running).run()
    assert (result["sent"], result["rejected"]) == (2, 1)
    assert lines(result["rejects"])[0]["row"] == source[2], "the first one is sent"


def test_wrong_products_are_rejected_and_the_others_synchronized(task, mirakl_sandbox):
    good, wrong = {"mirakl_product_id": "MKL-021", "product_sku": "SKU-021"}, {"mirakl_product_id": "MKL-001"}
    running = {"on_invalid": "reject", "max_failed_ratio": 0.5, "max_failed_items": 0}
    result = task(MiraklSynchronizeProductsOperator, source=[wrong, good], **running).run()
    assert (result["sent"], result["succeeded"], result["failed"], result["rejected"]) == (1, 1, 1, 1)
    assert [call["items"] for call in mirakl_sandbox.journal("CM21")] == [1]
    assert result["errors"][0]["code"] == "REJECTED"
    begun = task(
        MiraklSynchronizeProductsOperator,
        source=[wrong, good],
        run_id="begun",
        wait_for_completion=False,
        **running,
    ).run()
    assert (begun["rejected"], lines(begun["rejects"])[0]["row"]) == (1, wrong)
    calls = len(mirakl_sandbox.journal())
    with pytest.raises(MiraklItemsFailedError, match="every object of the source was rejected") as caught:
        task(
            MiraklSynchronizeProductsOperator,
            source=[wrong],
            run_id="none",
            on_invalid="reject",
            max_failed_items=None,
        ).run()
    assert (caught.value.outcome["failed"], caught.value.outcome["rejected"]) == (1, 1)
    assert len(mirakl_sandbox.journal()) == calls


WRONG = {"mirakl_product_id": "MKL-001"}
JSON_OFFER = {
    "product_id": "SKU-001", "product_id_type": "SKU", "price": 9.5, "quantity": 1,
    "state_code": "11", "update_delete": "update",
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "conn_id", "source", "code"),
    [
        (
            MiraklSynchronizeProductsOperator,
            "mirakl_operator",
            [WRONG, WRONG]
            + [{"mirakl_product_id": f"MKL-02{n}", "product_sku": f"SKU-02{n}"} for n in (1, 2)],
            "CM21",
        ),
        (
            MiraklUpsertOffersOperator,
            "mirakl_shop",
            [{"shop_sku": "X"}, {"shop_sku": "Y"}]
            + [{"shop_sku": f"J-{n}"} | JSON_OFFER for n in (1, 2)],
            "OF24",
        ),
    ],
    ids=["CM21", "OF24"],
)  # fmt: skip
def test_rejected_objects_have_failed_although_the_task_does_not_wait(
    task, mirakl_sandbox, kind, conn_id, source, code
):
    mirakl_sandbox.world.settings.limits = "off"
    sending = {"source": source, "batch_size": 1, "mirakl_conn_id": conn_id, "on_invalid": "reject"}
    running = task(kind, wait_for_completion=False, **sending)
    with pytest.raises(MiraklItemsFailedError, match="2 of 4 items failed; 0 are allowed") as caught:
        running.run()
    ids = running.pushed["job_ids"]
    assert len(set(ids)) == 2
    assert running.pushed["return_value"] == caught.value.outcome
    running.ti.try_number += 1
    with pytest.raises(MiraklItemsFailedError):
        running.run()
    assert running.pushed["job_ids"] == ids
    assert len(mirakl_sandbox.journal(code)) == 2, "a retry submits nothing again"

    result = task(kind, run_id="ratio", wait_for_completion=False, max_failed_ratio=0.5, **sending).run()
    counts = [result[name] for name in ("sent", "succeeded", "failed", "unknown", "rejected")]
    assert counts == [2, 0, 2, 2, 2]
    assert [row["status"] for row in lines(result["rows"][0])] == ["failed", "failed"]
    assert [row["row"] for row in lines(result["rejects"])] == source[:2]


def test_a_rejected_object_is_counted_by_a_retry_whose_source_is_gone(task, file, mirakl_sandbox):
    good = {"mirakl_product_id": "MKL-021", "product_sku": "SKU-021"}
    source = file("".join(json.dumps(row) + "\n" for row in (good, {"mirakl_product_id": "M"})), "p.ndjson")
    mirakl_sandbox.fault("status", "CM22", status=403)
    running = task(MiraklSynchronizeProductsOperator, source=source, on_invalid="reject", max_failed_items=1)
    with pytest.raises(MiraklPermissionError):
        running.run()
    Path(source).unlink()
    result = running.run()
    assert (result["succeeded"], result["rejected"]) == (1, 1)


def test_between_two_batches_a_deferrable_task_holds_no_worker(task, mirakl_sandbox):
    offers = [
        {
            "shop_sku": f"J-{n}",
            "product_id": f"SKU-00{n}",
            "product_id_type": "SKU",
            "price": 9.5,
            "quantity": 1,
        }
        | {"state_code": "11", "update_delete": "update"}
        for n in range(1, 4)
    ]
    worker = task(
        MiraklUpsertOffersOperator,
        source=offers,
        batch_size=1,
        mirakl_conn_id="mirakl_operator",
        shop_id=2001,
    )
    assert worker.run()["succeeded"] == 3
    paced = [path for path, _ in worker.deferrals if path.endswith("PacedTrigger")]
    assert len(paced) == (1 if worker.make().deferrable else 0), "the triggerer sends all batches"
    assert [call["status"] < 300 for call in mirakl_sandbox.journal("OF24")] == [True] * 3


def test_offers_with_products_tell_both_imports(task, file, mirakl_sandbox):
    source = file(
        "category;title;ean;sku;product-id;product-id-type;price;quantity;state\n"
        "headphones;Both;2000000000777;O-1;2000000000777;EAN;10;5;11\n"
    )
    running = task(
        MiraklImportOffersOperator, source=source, with_products=True, mirakl_conn_id="mirakl_shop"
    )
    assert running.run()["succeeded"] == 1
    assert running.pushed["product_import_id"] != running.pushed["job_ids"][0]


def test_an_offer_import_that_fails_as_a_whole_says_why(task, file, mirakl_sandbox):
    options = {"source": file("nothing\n1\n"), "lint": "off", "mirakl_conn_id": "mirakl_shop"}
    with pytest.raises(MiraklJobFailedError, match="lacks the column sku"):
        task(MiraklImportOffersOperator, **options).run()


def test_an_unclear_stock_import_is_left_to_a_person_unless_told_otherwise(task, file, mirakl_sandbox):
    mirakl_sandbox.world.settings.limits = "off"
    options = {"source": file("offer-sku;quantity\nO-1;7\n"), "mirakl_conn_id": "mirakl_shop"}
    mirakl_sandbox.fault("reset_after", "STO01", times=2)
    unclear = task(MiraklImportStockOperator, **options)
    for _ in range(2):
        with pytest.raises(MiraklUnclearSubmissionError, match="does not list these jobs") as caught:
            unclear.run()
        assert caught.value.final
    assert len(mirakl_sandbox.journal("STO01")) == 1
    resending = task(MiraklImportStockOperator, on_unclear="resend", max_failed_items=1, **options)
    assert resending.run()["job_ids"]
    assert len(mirakl_sandbox.journal("STO01")) == 3


def test_an_unclear_price_import_is_found_in_the_list(task, file, mirakl_sandbox):
    mirakl_sandbox.fault("reset_after", "PRI01")
    source = file("offer-sku;price\nO-1;7\n")
    result = task(
        MiraklImportPricesOperator, source=source, mirakl_conn_id="mirakl_shop", max_failed_items=1
    ).run()
    assert len(mirakl_sandbox.journal("PRI01")) == 1
    assert len(result["job_ids"]) == 1


def test_a_batch_that_got_lost_is_not_taken_for_the_one_before(task, mirakl_sandbox):
    """OF04 lists the first batch, which was created just before; it is not the second."""
    mirakl_sandbox.world.settings.limits = "off"
    offers = [
        {
            "shop_sku": f"O-{n}",
            "product_id": "SKU-001",
            "product_id_type": "SKU",
            "price": 10,
            "state_code": "11",
        }
        | {"quantity": 1, "update_delete": "update"}
        for n in range(2)
    ]
    mirakl_sandbox.fault("reset_before", "OF24", skip=1, times=1)  # with search, the client tries once
    running = task(
        MiraklUpsertOffersOperator,
        source=offers,
        batch_size=1,
        on_unclear="search",
        max_failed_items=None,
        mirakl_conn_id="mirakl_shop",
    )
    job_ids = running.run()["job_ids"]
    assert len(set(job_ids)) == len(job_ids) == 2


# Exports


def test_the_catalog_becomes_a_file_of_each_format(task, tmp_path, mirakl_sandbox):
    for ending in ("ndjson", "csv", "parquet"):
        target = tmp_path / "export" / f"catalog.{ending}"
        result = task(
            MiraklExportProductsOperator, target=str(target), items_per_chunk=7, run_id=ending
        ).run()
        assert result["files"] > 1
        if ending == "csv":
            found = list(csv.DictReader(target.open(encoding="utf-8"), delimiter=";"))
            ids = [row["mirakl-product-id"] for row in found]
            assert result["items"] is None
        elif ending == "ndjson":
            ids = [row["mirakl_product_id"] for row in lines(target)]
            assert result["items"] == len(ids)
        else:
            import pyarrow.parquet as pq

            ids = pq.read_table(target).column("mirakl_product_id").to_pylist()
            assert result["items"] == len(ids)
        assert len(ids) == len(set(ids)) == len(mirakl_sandbox.master_products())


def test_an_export_that_is_empty_leaves_an_empty_file(task, tmp_path, mirakl_sandbox):
    target = tmp_path / "nothing.ndjson"
    result = task(MiraklExportProductsOperator, target=str(target), filters={"product_id": ["no"]}).run()
    assert (result["items"], result["files"], target.read_bytes()) == (0, 0, b"")


def test_no_address_of_a_file_travels_through_the_database(task, tmp_path, mirakl_sandbox):
    running = task(MiraklExportProductsOperator, target=str(tmp_path / "x.ndjson"))
    events = []
    fire = running.fire
    running.fire = lambda trigger: events.append(fire(trigger)) or events[-1]
    running.run()
    assert "dynamic" not in repr(events)


def test_offers_are_exported(task, file, tmp_path, mirakl_sandbox):
    shop = {"mirakl_conn_id": "mirakl_shop"}
    task(MiraklImportOffersOperator, source=file(TWO_OFFERS), run_id="in", **shop).run()
    target = tmp_path / "offers.ndjson"
    result = task(MiraklExportOffersOperator, target=str(target), run_id="out", **shop).run()
    assert result["items"] == 2
    assert {row["shop_sku"] for row in lines(target)} == {"O-1", "O-2"}
    since = "2000-01-01T00:00:00+00:00"
    target = tmp_path / "offers.csv"
    task(MiraklExportOffersOperator, target=str(target), run_id="delta", updated_since=since, **shop).run()
    assert len(list(csv.DictReader(target.open(encoding="utf-8"), delimiter=";"))) == 2


def test_a_format_that_nobody_knows_is_refused(task, tmp_path, mirakl_sandbox):
    with pytest.raises(MiraklConfigurationError, match="set target_format"):
        task(MiraklExportProductsOperator, target=str(tmp_path / "catalog.xlsx")).run()


# At once


@pytest.fixture
def direct(worker, mirakl_sandbox_connections):
    """Makes a worker for an operator that does not wait."""
    return lambda kind, run_id="run", **options: worker(
        lambda: kind(task_id="task", **options), run_id=run_id
    )


def test_statuses_come_with_a_watermark(direct, tmp_path, mirakl_sandbox):
    mirakl_sandbox.world.settings.limits = "off"
    target = tmp_path / "status.ndjson"
    options = {"target": str(target), "mirakl_conn_id": "mirakl_shop", "overlap": 0}
    first = direct(MiraklExportProductStatusOperator, **options).run()
    assert first["updated_since"] is None
    assert first["items"] == len(lines(target)) > 10
    second = direct(MiraklExportProductStatusOperator, run_id="next", **options).run()
    assert second["updated_since"] == first["updated_to"]
    assert (second["items"], target.read_bytes()) == (0, b"")


@an_hour_is_short
def test_a_retry_begins_its_window_where_the_lost_try_did(direct, tmp_path, mirakl_sandbox):
    """A worker that dies when the watermark has moved: its retry writes the target again, and must not empty it."""
    mirakl_sandbox.world.settings.limits = "off"
    target = tmp_path / "status.ndjson"
    options = {"target": str(target), "mirakl_conn_id": "mirakl_shop", "overlap": 0}
    for run_id in ("first", "next"):
        task = direct(MiraklExportProductStatusOperator, run_id=run_id, **options)
        lost = task.run()
        again = task.run()
        assert again["updated_since"] == lost["updated_since"]
        assert again["items"] == lost["items"] == len(lines(target))
    assert again["updated_since"] is not None


@an_hour_is_short
def test_the_watermark_never_passes_the_moment_of_asking(direct, tmp_path, mirakl_sandbox):
    mirakl_sandbox.world.settings.limits = "off"
    options = {"target": str(tmp_path / "s.ndjson"), "mirakl_conn_id": "mirakl_shop", "overlap": 0}
    direct(MiraklExportProductStatusOperator, updated_to="2099-01-01T00:00:00Z", **options).run()
    result = direct(MiraklExportProductStatusOperator, run_id="next", **options).run()
    assert result["updated_since"] <= result["updated_to"] < "2099"


@an_hour_is_short
def test_a_window_before_the_watermark_is_refused(direct, tmp_path, mirakl_sandbox):
    mirakl_sandbox.world.settings.limits = "off"
    options = {"target": str(tmp_path / "s.ndjson"), "mirakl_conn_id": "mirakl_shop"}
    direct(MiraklExportProductStatusOperator, **options).run()
    with pytest.raises(MiraklConfigurationError, match="updated_to: 2020"):
        direct(MiraklExportProductStatusOperator, run_id="old", updated_to="2020-01-01", **options).run()


@pytest.mark.parametrize("written", ["2026-11-20T10:00:00Z", "2026-11-20T10:00:00Z\n"])
def test_a_watermark_may_be_written_by_hand(direct, tmp_path, written):
    (tmp_path / "mark.txt").write_text(written, encoding="utf-8")
    options = {"target": str(tmp_path / "s.ndjson"), "watermark": str(tmp_path / "mark.txt"), "overlap": 60}
    result = direct(MiraklExportProductStatusOperator, mirakl_conn_id="mirakl_shop", **options).run()
    assert result["updated_since"] == "2026-11-20T09:59:00+00:00"


@an_hour_is_short
def test_a_window_of_one_s_own_moves_no_watermark(direct, tmp_path, mirakl_sandbox):
    mirakl_sandbox.world.settings.limits = "off"
    options = {"target": str(tmp_path / "s.ndjson"), "mirakl_conn_id": "mirakl_shop"}
    direct(
        MiraklExportProductStatusOperator, updated_since="2000-01-01T00:00:00", status="NOT_LIVE", **options
    ).run()
    assert direct(MiraklExportProductStatusOperator, **options).run()["updated_since"] is None


def test_a_failed_export_moves_no_watermark(direct, tmp_path, mirakl_sandbox):
    options = {"target": str(tmp_path / "s.ndjson"), "mirakl_conn_id": "mirakl_shop"}
    mirakl_sandbox.fault("status", "CM11", status=403)
    with pytest.raises(MiraklPermissionError):
        direct(MiraklExportProductStatusOperator, **options).run()
    assert not list((tmp_path / "work").rglob("watermark*"))


@an_hour_is_short
@pytest.mark.parametrize("deferrable", [False, True])
def test_a_refusal_that_never_ends_ends_at_the_limit_that_the_log_names(
    direct, tmp_path, mirakl_sandbox, deferrable, read_log
):
    mirakl_sandbox.fault("throttle", "CM11", times=None)
    options = {
        "target": str(tmp_path / "s.ndjson"),
        "mirakl_conn_id": "mirakl_shop",
        "deferrable": deferrable,
    }
    refused = direct(MiraklExportProductStatusOperator, refused_timeout=2, **options)
    with pytest.raises(MiraklRateLimitError):
        refused.run()
    assert len(mirakl_sandbox.journal("CM11")) > 1
    assert bool(refused.deferrals) is deferrable
    log = " ".join(read_log().split())  # Airflow 3.0 breaks long lines
    assert "unless a call is accepted before (refused_timeout=2 s)" in log
    assert "giving up after refused_timeout=2 s" in log


def test_deleted_products_are_exported(direct, worker, tmp_path, mirakl_sandbox):
    target = tmp_path / "deleted.ndjson"
    options = {"target": str(target), "mirakl_conn_id": "mirakl_operator"}
    assert direct(MiraklExportDeletedProductsOperator, **options).run()["items"] == 0
    worker(
        lambda: MiraklSynchronizeProductsOperator(
            task_id="delete",
            source=[{"mirakl_product_id": "MKL-003", "operation": "DELETE"}],
            mirakl_conn_id="mirakl_operator",
        )
    ).run()
    assert direct(MiraklExportDeletedProductsOperator, **options).run()["items"] == 1
    assert lines(target)[0]["mirakl_product_id"] == "MKL-003"


@pytest.mark.parametrize("fetch", ["CM53", "CM54"])
def test_an_export_that_mirakl_has_no_more_is_begun_anew(task, fetch, tmp_path, mirakl_sandbox):
    mirakl_sandbox.world.settings.limits = "off"
    mirakl_sandbox.fault("status", fetch, status=403)
    running = task(MiraklExportProductsOperator, target=str(tmp_path / "all.ndjson"))
    with pytest.raises(MiraklPermissionError):
        running.run()
    (expired,) = {call["path"] for call in mirakl_sandbox.journal("CM53")}
    mirakl_sandbox.fault("status", path=expired, status=404, times=None)
    with pytest.raises(MiraklNotFoundError):
        running.run()
    assert len(mirakl_sandbox.journal("CM52")) == 1
    assert running.run()["items"] == len(lines(tmp_path / "all.ndjson"))
    assert len(mirakl_sandbox.journal("CM52")) == 2


def test_a_retry_after_the_source_is_gone_takes_up_the_batches(task, file, mirakl_sandbox):
    source = file(
        "".join(
            json.dumps({"mirakl_product_id": f"MKL-{n:03}", "product_sku": f"SKU-{n:03}"}) + "\n"
            for n in range(21, 25)
        ),
        "products.ndjson",
    )
    mirakl_sandbox.fault("status", "CM22", status=403)
    running = task(MiraklSynchronizeProductsOperator, source=source, batch_size=2)
    with pytest.raises(MiraklPermissionError):
        running.run()
    Path(source).unlink()
    assert running.run()["succeeded"] == 4
    assert running.pushed["job_ids"]
    assert len(mirakl_sandbox.journal("CM21")) == 2


def test_a_batch_that_was_refused_the_second_time_is_not_forgotten(task, mirakl_sandbox):
    products = [{"mirakl_product_id": f"MKL-{n:03}", "product_sku": f"SKU-{n:03}"} for n in range(21, 25)]
    mirakl_sandbox.fault("fail_job", "CM21", skip=1)
    running = task(MiraklSynchronizeProductsOperator, source=products, batch_size=2)
    with pytest.raises(MiraklJobFailedError):
        running.run()
    for _ in range(2):
        mirakl_sandbox.fault("status", "CM21", status=400)
        with pytest.raises(MiraklBadRequestError):
            running.run()
    assert running.run()["succeeded"] == 4


def test_rejects_of_offers_whose_source_is_gone(task, file, mirakl_sandbox):
    offer = {"shop_sku": "O-1", "product_id": "no", "product_id_type": "SKU", "price": 1, "state_code": "11"}
    offer |= {"update_delete": "", "quantity": 1}
    source = file(json.dumps(offer) + "\n", "offers.ndjson")
    mirakl_sandbox.fault("status", "OF02", status=403)
    running = task(
        MiraklUpsertOffersOperator, source=source, mirakl_conn_id="mirakl_shop", max_failed_items=None
    )
    with pytest.raises(MiraklPermissionError):
        running.run()
    Path(source).unlink()
    result = running.run()
    assert result["failed"] == 1
    assert [row["shop_sku"] for row in lines(result["rejects"])] == ["O-1"]  # out of the copy that was sent
