"""What the event of a catalog says: the outcome of the try that ended well, and nothing of one that failed."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace

import pytest

from airflow_provider_mirakl.assets import connect_catalog
from airflow_provider_mirakl.exceptions import MiraklItemsFailedError, MiraklPermissionError
from airflow_provider_mirakl.operators.connect import (
    MiraklConnectDeleteProductsOperator,
    MiraklConnectSyncCatalogOperator,
    MiraklConnectUpsertProductsOperator,
    MiraklConnectVerifyProductsOperator,
)

pytestmark = [pytest.mark.airflow, pytest.mark.matrix]

CATALOG = connect_catalog()


class Events:
    """The events of a try by the address of their asset, since an asset of Airflow 3.0 has no hash."""

    def __init__(self):
        self._by_uri = defaultdict(SimpleNamespace)

    def __getitem__(self, asset):
        return self._by_uri[asset.uri]

    def __contains__(self, asset):
        return asset.uri in self._by_uri


@pytest.fixture
def run(run_task):
    """``run(operator)``: its result and the events of its try."""

    def run(operator):
        from airflow.providers.common.compat.sdk import Asset

        other = Asset(uri="s3://bucket/other")
        operator.outlets = [CATALOG, other]
        context = run_task.context_of(operator) | {"outlet_events": Events()}
        events = context["outlet_events"]
        try:
            return operator.execute(context), events
        finally:
            assert other not in events

    return run


@pytest.mark.parametrize(
    ("kind", "code", "sent"),
    [
        (MiraklConnectUpsertProductsOperator, "upsertProducts", 2),
        (MiraklConnectDeleteProductsOperator, "deleteProducts", 2),
        (MiraklConnectSyncCatalogOperator, "upsertProducts", 2),
    ],
)
def test_a_retry_tells_the_outcome_and_the_try_that_failed_nothing(sandbox, run, run_task, kind, code, sent):
    def make():
        return kind(task_id="write", source=[{"id": "A"}, {"id": "B"}], deferrable=False)

    sandbox.fault("status", code, status=403)
    with pytest.raises(MiraklPermissionError):
        run(make())
    for _ in range(2):  # a second retry, after a result that got lost, says the same
        result, events = run(make())
        assert (result["sent"], result["unknown"]) == (sent, sent)
        assert events[CATALOG].extra == result
    assert len(sandbox.journal(code)) == 2


def test_a_sync_that_goes_from_upserts_to_deletes_continues_nothing(
    sandbox, run_task, caplog, capsys, tmp_path
):
    def sync(*ids, **arguments):
        return MiraklConnectSyncCatalogOperator(
            task_id="sync",
            source=[{"id": one} for one in ids],
            state=str(tmp_path / "state"),
            max_delete_ratio=1,
            **arguments,
        )

    run_task(sync("A", "B"))
    caplog.set_level("INFO")
    result = run_task(sync("B", "C", work_folder=str(tmp_path / "other")))
    assert (result["upserted"], result["deleted"]) == (1, 1)
    said = caplog.text + "".join(capsys.readouterr())  # Airflow 3 prints, Airflow 2 logs
    assert "1 upserted, 1 deleted" in said
    assert "Continuing the plan" not in said


def test_products_that_failed_are_in_the_event_where_they_do_not_fail_the_task(sandbox, run):
    sandbox.fault("lost", "upsertProducts")
    source = [{"id": "A"}, {"id": "B"}]
    sent, _ = run(MiraklConnectUpsertProductsOperator(task_id="write", source=source, deferrable=False))

    def verify(**limits):
        return MiraklConnectVerifyProductsOperator(
            task_id="verify", submitted=sent, rounds=1, deferrable=False, **limits
        )

    with pytest.raises(MiraklItemsFailedError):
        run(verify())
    result, events = run(verify(max_failed_items=2))
    assert (result["failed"], events[CATALOG].extra) == (2, result)
