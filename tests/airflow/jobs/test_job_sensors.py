"""The sensors for jobs: what was submitted elsewhere is waited for, archived and judged as its operator would."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowSkipException

from airflow_provider_mirakl.client.pacing import PACER
from airflow_provider_mirakl.exceptions import (
    MiraklConfigurationError,
    MiraklItemsFailedError,
    MiraklJobFailedError,
    MiraklNotFoundError,
    MiraklReplyError,
)
from airflow_provider_mirakl.operators.catalog_manager import (
    MiraklExportProductsOperator,
    MiraklSynchronizeProductsOperator,
)
from airflow_provider_mirakl.operators.offers import (
    MiraklExportOffersOperator,
    MiraklImportOffersOperator,
    MiraklImportPricesOperator,
    MiraklImportStockOperator,
)
from airflow_provider_mirakl.operators.products import MiraklImportProductsOperator
from airflow_provider_mirakl.sensors.jobs import (
    MiraklOfferExportSensor,
    MiraklOfferImportSensor,
    MiraklPriceImportSensor,
    MiraklProductExportSensor,
    MiraklProductImportSensor,
    MiraklProductSynchronizationSensor,
    MiraklStockImportSensor,
)

pytestmark = [pytest.mark.airflow, pytest.mark.matrix]

PRODUCTS = "category;shop_sku;title;ean\nheadphones;A-1;One;2000000000001\nheadphones;A-2;;2000000000002\n"
FILES = {
    MiraklImportProductsOperator: PRODUCTS,
    MiraklImportOffersOperator: (
        "sku;product-id;product-id-type;price;quantity;state\nO-1;SKU-001;SKU;10;5;11\nO-2;no;SKU;1;1;11\n"
    ),
    MiraklImportStockOperator: "offer-sku;quantity\nO-9;1\n",
    MiraklImportPricesOperator: "offer-sku;price\nO-9;1\n",
}
PAIRS = [
    (MiraklImportProductsOperator, MiraklProductImportSensor, "mirakl_shop"),
    (MiraklImportOffersOperator, MiraklOfferImportSensor, "mirakl_shop"),
    (MiraklImportStockOperator, MiraklStockImportSensor, "mirakl_shop"),
    (MiraklImportPricesOperator, MiraklPriceImportSensor, "mirakl_shop"),
    (MiraklSynchronizeProductsOperator, MiraklProductSynchronizationSensor, "mirakl_operator"),
]
EXPORTS = [
    (MiraklExportOffersOperator, MiraklOfferExportSensor, "mirakl_shop"),
    (MiraklExportProductsOperator, MiraklProductExportSensor, "mirakl_operator"),
]


@pytest.fixture
def submit(worker, tmp_path, mirakl_sandbox_connections):
    """Submits a job and leaves it alone; returns its ids, or the whole result."""

    def run(operator, conn_id, *, whole=False, **options):
        if operator in FILES:
            source = tmp_path / "source.csv"
            source.write_text(FILES[operator], encoding="utf-8")
            options |= {"source": str(source)}
        elif operator is MiraklSynchronizeProductsOperator:
            options |= {"source": [{"mirakl_product_id": "MKL-001", "data": {"sky": "blue"}}]}
        else:
            options |= {"target": str(tmp_path / "target.ndjson")}
        task = worker(
            lambda: operator(task_id="submit", wait_for_completion=False, mirakl_conn_id=conn_id, **options),
            run_id="submit",
        )
        result = task.run()
        return result if whole else result["job_ids"]

    return run


MODES = {"poke": {}, "reschedule": {"mode": "reschedule"}, "deferrable": {"deferrable": True}}


@pytest.fixture(params=MODES.values(), ids=MODES.keys())
def sense(request, worker):
    """Runs a sensor."""

    def run(sensor, conn_id, run_id="run", **options):
        options = {"poke_interval": 60, "timeout": 250} | options
        run.worker = worker(
            lambda: sensor(task_id="task", mirakl_conn_id=conn_id, **request.param, **options), run_id=run_id
        )
        return run.worker.run()

    return run


@pytest.mark.parametrize(("operator", "sensor", "conn_id"), PAIRS, ids=[pair[1].job for pair in PAIRS])
def test_a_job_of_another_is_waited_for_and_its_reports_are_kept(submit, sense, operator, sensor, conn_id):
    job_ids = submit(operator, conn_id)
    result = sense(sensor, conn_id, job_ids=job_ids, max_failed_items=None)
    (job_id,) = job_ids
    assert result["job_ids"] == [job_id]
    assert set(result["states"]) == {job_id}
    assert result["failed"] == 1
    rows = [json.loads(line) for line in Path(result["rows"][0]).read_text(encoding="utf-8").splitlines()]
    assert len([row for row in rows if row["status"] == "failed"]) == 1
    assert all(Path(path).exists() for path in result["reports"][job_id].values())
    with pytest.raises(MiraklItemsFailedError):
        sense(sensor, conn_id, job_ids=job_ids)


@pytest.mark.parametrize(("operator", "sensor", "conn_id"), EXPORTS, ids=[pair[1].job for pair in EXPORTS])
@pytest.mark.parametrize("ended", [False, True], ids=["running", "complete"])
def test_an_export_of_another_is_waited_for_and_fetched(
    submit, sense, worker, tmp_path, mirakl_sandbox, operator, sensor, conn_id, ended
):
    mirakl_sandbox.world.settings.limits = "off"
    target = tmp_path / "whole.ndjson"
    options = {"mirakl_conn_id": conn_id, "target": str(target)}
    whole = worker(lambda: operator(task_id="whole", **options), run_id="whole").run()
    PACER.forget()  # everything of OF52 once a day
    submitted = submit(operator, conn_id, whole=True)
    if ended:
        mirakl_sandbox.advance(3600)
    result = sense(sensor, conn_id, job_ids=submitted["job_ids"], target=submitted["target"])
    assert result.keys() - {"states"} == whole.keys()
    assert (result["items"], result["files"]) == (whole["items"], whole["files"])
    assert Path(result["target"]).read_bytes() == target.read_bytes()
    assert sense(sensor, conn_id, job_ids=submitted["job_ids"]).keys() == {
        "job_ids",
        "states",
        "shop_id",
        "folder",
    }
    # Fetched again by a cleared sensor, as one file of another kind.
    again = sense(sensor, conn_id, job_ids=submitted["job_ids"], target=str(tmp_path / "new" / "x.parquet"))
    assert again["items"] == whole["items"]


def test_an_export_is_not_waited_for_when_its_target_cannot_be_written(sense, tmp_path, mirakl_sandbox):
    for target, job_ids, words in (
        ("x.txt", "a", "target must end in .ndjson"),
        ("", "a", "must be a file, not the folder"),
        ("x.csv", ["a", "b"], "target is for one export, but job_ids has 2"),
    ):
        with pytest.raises(MiraklConfigurationError, match=words):
            sense(
                MiraklOfferExportSensor,
                "mirakl_shop",
                job_ids=job_ids,
                target=f"{tmp_path}/{target}",
                target_format="csv" if not target else None,
            )
    assert not mirakl_sandbox.journal()


def test_an_export_that_mirakl_no_longer_has_leaves_no_target(submit, sense, tmp_path, mirakl_sandbox):
    job_ids = submit(MiraklExportProductsOperator, "mirakl_operator")
    target = tmp_path / "late.csv"
    with pytest.raises(MiraklReplyError, match="are JSON, not CSV"):
        sense(MiraklProductExportSensor, "mirakl_operator", job_ids=job_ids, target=str(target))
    mirakl_sandbox.fault("status", "CM54", status=404, times=None)
    with pytest.raises(MiraklNotFoundError):
        sense(
            MiraklProductExportSensor,
            "mirakl_operator",
            job_ids=job_ids,
            target=str(tmp_path / "late.ndjson"),
        )
    assert not list(tmp_path.glob("late*"))


def test_complete_can_be_waited_for_and_several_at_once(submit, sense, mirakl_sandbox):
    mirakl_sandbox.world.settings.limits = "off"
    job_ids = submit(MiraklImportProductsOperator, "mirakl_shop")
    job_ids += submit(MiraklImportProductsOperator, "mirakl_shop", operator_format=True)
    result = sense(
        MiraklProductImportSensor,
        "mirakl_shop",
        job_ids=str(job_ids),  # as a template renders it
        until="complete",
        max_failed_items=None,
    )
    assert set(result["states"].values()) == {"COMPLETE"}
    assert len(result["states"]) == 2


def test_a_job_that_was_abandoned_is_adopted(worker, sense, tmp_path, mirakl_sandbox_connections):
    source = tmp_path / "products.csv"
    source.write_text(PRODUCTS, encoding="utf-8")
    operator = MiraklImportProductsOperator(
        task_id="killed", source=str(source), mirakl_conn_id="mirakl_shop", wait_for_completion=False
    )
    folder = operator.execute({"ti": worker(lambda: operator).ti})["folder"]
    operator.on_kill()
    (entry,) = json.loads((Path(folder) / "job.json").read_text(encoding="utf-8"))["content"]["entries"]
    result = sense(MiraklProductImportSensor, "mirakl_shop", job_ids=entry["job_id"], max_failed_items=None)
    assert result["failed"] == 1


def test_a_job_that_failed_as_a_whole_fails_the_sensor(submit, sense, mirakl_sandbox):
    mirakl_sandbox.fault("fail_job", "P41")
    job_ids = submit(MiraklImportProductsOperator, "mirakl_shop")
    with pytest.raises(MiraklJobFailedError, match="ended FAILED"):
        sense(MiraklProductImportSensor, "mirakl_shop", job_ids=job_ids)


FLAGS = ({}, {"soft_fail": True}, {"never_fail": True})


@pytest.mark.parametrize("flags", FLAGS, ids=["plain", "soft_fail", "never_fail"])
@pytest.mark.parametrize("word", ["FAILED", "CANCELLED", "CANCELED", "TRANSFORMATION_FAILED"])
def test_whatever_a_failure_is_called_it_fails_the_sensor(submit, sense, mirakl_sandbox, word, flags):
    mirakl_sandbox.fault("fail_job", "P41", status=word)
    job_ids = submit(MiraklImportProductsOperator, "mirakl_shop")
    with pytest.raises(Exception, match="never_fail" if "never_fail" in flags else f"ended {word}") as caught:
        sense(MiraklProductImportSensor, "mirakl_shop", job_ids=job_ids, **flags)
    kind = AirflowSkipException if "never_fail" in flags else MiraklJobFailedError
    assert isinstance(caught.value, kind)


@pytest.mark.parametrize("flags", FLAGS, ids=["plain", "soft_fail", "never_fail"])
def test_a_word_that_nobody_knows_is_waited_for_until_the_timeout(submit, sense, mirakl_sandbox, flags):
    job_ids = submit(MiraklImportProductsOperator, "mirakl_shop")
    mirakl_sandbox.fault("unknown_enum", "P42", times=None)
    mirakl_sandbox.fault("unknown_enum", "P51", times=None)
    with pytest.raises(AirflowSkipException if flags else AirflowSensorTimeout):
        sense(MiraklProductImportSensor, "mirakl_shop", job_ids=job_ids, timeout=0.6, **flags)


@pytest.mark.mirakl_sandbox_settings(run_seconds=1e6)
@pytest.mark.parametrize("flags", FLAGS, ids=["plain", "soft_fail", "never_fail"])
def test_a_job_that_is_gone_meanwhile_is_an_error(submit, sense, mirakl_sandbox, flags):
    job_ids = submit(MiraklImportProductsOperator, "mirakl_shop")
    mirakl_sandbox.fault("status", "P42", status=404, skip=1, times=None)
    mirakl_sandbox.fault("status", "P51", status=404, times=None)
    with pytest.raises(AirflowSkipException if "never_fail" in flags else MiraklNotFoundError):
        sense(MiraklProductImportSensor, "mirakl_shop", job_ids=job_ids, **flags)


@pytest.mark.mirakl_sandbox_settings(run_seconds=100.0)
def test_a_key_that_may_not_list_jobs_may_wait_for_its_own(submit, sense, mirakl_sandbox):
    job_ids = submit(MiraklImportProductsOperator, "mirakl_shop")
    mirakl_sandbox.fault("status", "P51", status=403, times=None)
    result = sense(MiraklProductImportSensor, "mirakl_shop", job_ids=job_ids, max_failed_items=None)
    assert result["failed"] == 1


def test_a_job_that_nobody_knows_is_an_error_at_once(sense, mirakl_sandbox_connections):
    with pytest.raises(MiraklNotFoundError):
        sense(MiraklProductImportSensor, "mirakl_shop", job_ids=999)


@pytest.mark.parametrize(
    "job_id",
    [None, "", "None", "abc", [], [None], "[None]", "[1,", "[]", True, 5.5, {"job_ids": [1]}],
)
def test_what_is_no_id_is_refused(sense, mirakl_sandbox_connections, job_id):
    with pytest.raises(MiraklConfigurationError, match="job_id"):
        sense(MiraklProductImportSensor, "mirakl_shop", job_ids=job_id)


@pytest.mark.parametrize("job_id", [{"job_ids": ["a"]}, "{'job_ids': ['a']}", True, "(a)", "['a'"])
def test_what_is_no_id_is_refused_where_ids_are_texts(
    sense, mirakl_sandbox, job_id, mirakl_sandbox_connections
):
    with pytest.raises(MiraklConfigurationError, match=r"^job_ids must be the id of a (job|stock import)"):
        sense(MiraklStockImportSensor, "mirakl_shop", job_ids=job_id)
    assert not mirakl_sandbox.journal()


@pytest.mark.parametrize("form", ["{0}", "[{0}, {0}]", "({0},)", "['{0}', {0}]"])
def test_a_job_that_is_named_twice_counts_once(submit, sense, form):
    (job_id,) = submit(MiraklImportProductsOperator, "mirakl_shop")
    options = {"job_ids": form.format(job_id), "max_failed_items": None}
    assert sense(MiraklProductImportSensor, "mirakl_shop", **options)["sent"] == 2


def test_an_interval_shorter_than_mirakl_allows_is_refused(sense, mirakl_sandbox, mirakl_sandbox_connections):
    with pytest.raises(
        MiraklConfigurationError, match=r"poke_interval must be 60 s or more for a product import, not 59 s"
    ):
        sense(MiraklProductImportSensor, "mirakl_shop", job_ids=1, poke_interval=59)
    assert not mirakl_sandbox.journal()


def test_only_ids_and_numbers_travel(submit, sense):
    job_ids = submit(MiraklImportProductsOperator, "mirakl_shop")
    sense(MiraklProductImportSensor, "mirakl_shop", job_ids=job_ids, until="complete", max_failed_items=None)
    for _, arguments in sense.worker.deferrals:
        known = {"kind", "job_ids", "role", "shop_id", "early", "since", "newest_since", "newest"}
        assert arguments["arguments"].keys() == known
        assert "sandbox-shop-key" not in repr(arguments)


@pytest.mark.parametrize("mapped", [False, True])
def test_the_interval_may_stand_in_default_args(mapped):
    from airflow.providers.common.compat.sdk import DAG

    def made(**default_args):
        with DAG("dag", default_args=default_args):
            if not mapped:
                return MiraklOfferImportSensor(task_id="wait", job_ids=1)
            task = MiraklOfferImportSensor.partial(task_id="wait").expand(job_ids=[1, 2])
            return task.unmap({"job_ids": 1})

    assert made().poke_interval == 300
    assert made(poke_interval=900).poke_interval == 900


def test_the_newest_import_is_found_without_its_id(
    sense, mirakl_sandbox, mirakl_sandbox_connections, tmp_path
):
    from datetime import datetime, timedelta

    from airflow_provider_mirakl.api.offers import get_offer_import
    from airflow_provider_mirakl.hooks.mirakl import MiraklHook

    hook, source, text = MiraklHook("mirakl_shop"), tmp_path / "o.csv", FILES[MiraklImportOffersOperator]
    source.write_text(text)
    created = hook.send(get_offer_import(hook.import_offers(source)))["date_created"]
    mirakl_sandbox.advance(3600)
    source.write_text(text.replace(";10;", ";11;"))
    newest = hook.import_offers(source)
    since = datetime.fromisoformat(created) + timedelta(seconds=3)  # of 6 that an hour takes at this speed
    result = sense(MiraklOfferImportSensor, "mirakl_shop", newest_since=since, max_failed_items=1)
    assert result["job_ids"] == [str(newest)]
    assert (result["succeeded"], result["failed"]) == (1, 1)
    with pytest.raises(MiraklConfigurationError, match="set either job_ids or newest_since"):
        sense(MiraklOfferImportSensor, "mirakl_shop")
    later = since + timedelta(days=1)
    with pytest.raises(AirflowSensorTimeout):
        sense(MiraklOfferImportSensor, "mirakl_shop", "another", newest_since=later, timeout=0.3)


OFFERS = FILES[MiraklImportOffersOperator]


class Overtaken(MiraklOfferImportSensor):
    """What happens in Mirakl after the first poll, in every mode: here and not in the sandbox's own time."""

    then = staticmethod(lambda: None)

    def poke(self, context):
        try:
            return super().poke(context)
        finally:
            type(self).then()


@pytest.fixture
def import_offers(tmp_path, mirakl_sandbox_connections):
    """Imports offers as another tool does, each time others."""
    from airflow_provider_mirakl.hooks.mirakl import MiraklHook

    def run(price):
        source = tmp_path / "others.csv"
        source.write_text(OFFERS.replace(";10;", f";{price};"), encoding="utf-8")
        return MiraklHook("mirakl_shop").import_offers(source)

    return run


@pytest.mark.mirakl_sandbox_settings(run_seconds=1e6, limits="off")
def test_a_newer_import_does_not_replace_the_one_that_is_waited_for(
    sense, mirakl_sandbox, import_offers, monkeypatch
):
    PACER.forget()
    first, later = import_offers(11), []

    def overtake():
        if not later:
            PACER.forget()
            mirakl_sandbox.advance(3600)
            later.append(import_offers(12))
            mirakl_sandbox.advance(3e6)

    monkeypatch.setattr(Overtaken, "then", staticmethod(overtake))
    result = sense(Overtaken, "mirakl_shop", newest_since="2000-01-01T00:00:00Z", max_failed_items=None)
    assert later
    assert result["job_ids"] == [str(first)]
    listings = [call for call in mirakl_sandbox.journal("OF04") if call["status"] == 200]
    since = [call["query"] for call in listings][1:]
    assert not [query for query in since if "2000-01-01" in str(query)], "listed from the first day again"


@pytest.mark.mirakl_sandbox_settings(limits="off")
def test_a_retry_waits_for_the_newest_import_of_its_own(sense, mirakl_sandbox, import_offers, monkeypatch):
    PACER.forget()
    first = import_offers(11)
    mirakl_sandbox.advance(1e7)
    options = {"newest_since": "2000-01-01T00:00:00Z"}
    with pytest.raises(MiraklItemsFailedError):
        sense(MiraklOfferImportSensor, "mirakl_shop", **options)
    PACER.forget()
    second = import_offers(12)
    assert first != second
    sense.worker.ti.try_number, sense.worker.reschedules = 2, 0
    with pytest.raises(MiraklItemsFailedError) as caught:
        sense.worker.run()
    assert caught.value.outcome["job_ids"] == [str(second)]
