"""What a notification says."""

from __future__ import annotations

from types import SimpleNamespace

from airflow_provider_mirakl.exceptions import MiraklItemsFailedError, MiraklPermissionError
from airflow_provider_mirakl.notifications import MiraklOutcomeNotifier, outcome_text
from airflow_provider_mirakl.outcome import ErrorCount, Outcome

OUTCOME = Outcome(
    sent=2500,
    succeeded=2485,
    failed=15,
    errors=(ErrorCount("different", "brand differs", 12), ErrorCount("missing", "not listed", 3)),
    rows=("s3://bucket/outcome.ndjson",),
).summary() | {"rejects": "s3://bucket/rejects.csv"}


def context(result=None, **more):
    ti = SimpleNamespace(
        dag_id="catalog",
        task_id="verify",
        run_id="manual__1",
        state="success",
        log_url="http://airflow/log",
        xcom_pull=lambda task_ids: result,
    )
    return {"ti": ti, **more}


def test_failed_items_are_counted_and_located():
    error = MiraklItemsFailedError("15 of 2,500 items failed", outcome=OUTCOME)
    assert outcome_text(context(exception=error)).splitlines() == [
        "catalog.verify, run manual__1: failed",
        "2,500 sent, 2,485 succeeded, 15 failed, 0 unknown",
        "- 12 x different: brand differs",
        "- 3 x missing: not listed",
        "rows: s3://bucket/outcome.ndjson",
        "rejects: s3://bucket/rejects.csv",
        "log: http://airflow/log",
    ]


def test_an_error_without_items_says_its_message():
    error = MiraklPermissionError("P41: the key may not do this", operation="P41", status=403)
    assert outcome_text(context(exception=error)).splitlines()[:2] == [
        "catalog.verify, run manual__1: failed",
        "P41: the key may not do this",
    ]


def test_a_success_tells_its_result():
    assert "2,485 succeeded" in outcome_text(context(OUTCOME))
    assert outcome_text(context("a text")).splitlines()[0].endswith("success")


def test_a_notifier_sends_the_text():
    class Notifier(MiraklOutcomeNotifier):
        def send(self, text, context):
            sent.append(text)

    sent: list[str] = []
    Notifier().notify(context(OUTCOME))
    assert sent == [outcome_text(context(OUTCOME))]
