"""OF01 with REPLACE deletes what a file leaves out: guarded by what the shop has, before the call."""

from __future__ import annotations

import pytest

from airflow_provider_mirakl.exceptions import MiraklConfigurationError, MiraklInputError, MiraklNotYetError
from airflow_provider_mirakl.operators.offers import MiraklExportOffersOperator, MiraklImportOffersOperator

pytestmark = [pytest.mark.airflow, pytest.mark.matrix]

HEAD = "sku;product-id;product-id-type;price;quantity;state;update-delete\n"


def offers(*numbers):
    return HEAD + "".join(f"O-{n};SKU-{n:03};SKU;10;5;11;\n" for n in numbers)


@pytest.fixture
def importing(worker, tmp_path, mirakl_sandbox, mirakl_sandbox_connections):
    """Imports a file of offers, with what the operator takes besides."""
    mirakl_sandbox.world.settings.limits = "off"
    count = 0

    def run(text, name="offers.csv", **options):
        nonlocal count
        count += 1
        source = tmp_path / name
        source.write_text(text, encoding="utf-8")
        options = {"mirakl_conn_id": "mirakl_shop", "max_failed_items": None} | options
        make = lambda: MiraklImportOffersOperator(task_id="task", source=str(source), **options)  # noqa: E731
        return worker(make, run_id=f"run {count}").run()

    return run


def listed(sandbox):
    from airflow_provider_mirakl.sandbox.systems.offers import Offers

    return sandbox.call(
        lambda world: sorted(
            offer["sku"]
            for offer in world.part(Offers).offers.values()
            if offer["shop"] == 2000 and not offer["deleted"]
        )
    )


def test_a_file_that_leaves_out_too_much_is_refused_before_its_call(importing, mirakl_sandbox):
    importing(offers(*range(1, 11)))
    there = listed(mirakl_sandbox)
    known = len(there)
    with pytest.raises(
        MiraklInputError, match=rf"leaves out \d+ of the shop's {known} offers .* max_delete_ratio"
    ) as told:
        importing(offers(1, 2, 3), import_mode="REPLACE")
    assert "nothing was sent" in str(told.value)
    assert len(mirakl_sandbox.journal("OF01")) == 1
    assert listed(mirakl_sandbox) == there

    ratio = (known - 3 + 0.5) / known
    importing(offers(1, 2, 3), import_mode="REPLACE", max_delete_ratio=ratio)
    assert listed(mirakl_sandbox) == ["O-1", "O-2", "O-3"]
    importing(offers(4, 5, 6), import_mode="REPLACE", max_delete_ratio=1)
    assert listed(mirakl_sandbox) == ["O-4", "O-5", "O-6"], "as many, and others"


def test_as_many_other_offers_are_not_the_same_offers(importing, mirakl_sandbox):
    importing(offers(*range(1, 11)))
    importing(offers(*range(1, 11)), import_mode="REPLACE", max_delete_ratio=1)
    with pytest.raises(MiraklInputError, match=r"leaves out 10 of the shop's 10 offers \(100\.0%\)"):
        importing(offers(*range(11, 21)), import_mode="REPLACE")


@pytest.mark.parametrize(
    ("name", "text", "options", "error"),
    [
        (
            "offers.csv",
            offers(1),
            {"mirakl_conn_id": "mirakl_operator", "shop_id": 2000},
            MiraklConfigurationError,
        ),
        ("offers.xml", "<import/>", {}, MiraklConfigurationError),
        ("offers.csv", "price;quantity\n1;2\n", {"lint": "off"}, MiraklInputError),
    ],
)
def test_what_cannot_be_compared_is_not_sent_unless_it_is_meant(
    importing, mirakl_sandbox, name, text, options, error
):
    with pytest.raises(error, match="max_delete_ratio=1"):
        importing(text, name, import_mode="REPLACE", **options)
    assert not mirakl_sandbox.journal("OF01")


def test_other_modes_read_no_offers(importing, mirakl_sandbox):
    importing(offers(1))
    assert not mirakl_sandbox.journal("OF21")


@pytest.mark.mirakl_sandbox_settings(run_seconds=1e5)
@pytest.mark.parametrize("fault", ["reset_after", "status"])
def test_an_export_that_was_lost_is_one_export(
    worker, tmp_path, mirakl_sandbox, mirakl_sandbox_connections, fault
):
    """OF52 recognizes an identical request while the export runs: it is repeated as it was."""
    from airflow_provider_mirakl.sandbox.systems.jobs import Jobs

    mirakl_sandbox.world.settings.limits = "off"
    mirakl_sandbox.fault(fault, "OF52", times=1)
    target = str(tmp_path / "offers.ndjson")
    task = worker(
        lambda: MiraklExportOffersOperator(
            task_id="task", target=target, mirakl_conn_id="mirakl_shop", deferrable=True
        ),
        max_tries=3,
    )
    task.meanwhile = lambda: mirakl_sandbox.advance(5e5)
    result = task.run()
    jobs = mirakl_sandbox.call(
        lambda world: [job.id for job in world.part(Jobs).all.values() if job.kind == "OF52"]
    )
    assert jobs == result["job_ids"]
    assert len(mirakl_sandbox.journal("OF52")) == 2


def test_a_lost_export_that_may_not_be_repeated_today_says_so(
    worker, tmp_path, mirakl_sandbox, mirakl_sandbox_connections
):
    """Mirakl permits an export of everything once a day, and may have counted the lost one."""
    mirakl_sandbox.fault("reset_after", "OF52", times=1)
    mirakl_sandbox.fault("throttle", "OF52", skip=1, times=9, retry_after="86000")
    target = str(tmp_path / "offers.ndjson")
    task = worker(
        lambda: MiraklExportOffersOperator(
            task_id="task", target=target, mirakl_conn_id="mirakl_shop", deferrable=True, timeout=3600
        )
    )
    with pytest.raises(
        MiraklNotYetError, match="an earlier submission of this task was lost, so Mirakl may have"
    ):
        task.run()
