"""Outcomes: counted once, small in XCom, judged by one policy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_mirakl.exceptions import MiraklConfigurationError, MiraklItemsFailedError
from airflow_provider_mirakl.outcome import (
    ErrorCount,
    FailurePolicy,
    ItemResult,
    Outcome,
    OutcomeWriter,
)


@pytest.mark.parametrize(
    ("ratio", "total"), [(0.29, 100), (0.07, 100), (0.1, 30), (0.57, 100), (0.5, 4), (0.0, 5)]
)
def test_what_is_allowed_is_what_is_said(ratio: float, total: int) -> None:
    policy, allowed = FailurePolicy(max_failed_ratio=ratio), round(ratio * total)
    policy.check(Outcome(sent=total, failed=allowed))
    with pytest.raises(MiraklItemsFailedError, match=f"items failed; {allowed} are allowed"):
        policy.check(Outcome(sent=total, failed=allowed + 1))


def test_a_summary_stays_small_however_long_errors_are(tmp_path: Path) -> None:
    path = tmp_path / "outcome.ndjson"
    with OutcomeWriter(path) as writer:
        for number in range(20):
            writer.add(ItemResult("A", "failed", f"{number} {'c' * 9999}", f"{number} {'m' * 99_999}"))
    assert len(json.dumps(writer.outcome.summary())) < 20_000
    assert len(json.loads(path.read_text().splitlines()[0])["message"]) == 100_001, "the rows have all of it"


def test_rows_are_written_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "outcome.ndjson"
    with OutcomeWriter(path, sent=5, job_ids=["7"]) as writer:
        writer.add(ItemResult("A", "succeeded", "verified"))
        writer.add(ItemResult("é", "failed", "different", "titles differ", "titles"))
        writer.add(ItemResult("C", "failed", "different", "titles differ", "titles"))
        writer.add(ItemResult("D", "failed", "missing"))
        writer.add(ItemResult("E", "unknown"))
        assert not path.exists(), "half a file is no file"
    outcome = writer.outcome
    assert outcome == Outcome(
        sent=5,
        succeeded=1,
        failed=3,
        unknown=1,
        errors=(ErrorCount("different", "titles differ", 2), ErrorCount("missing", None, 1)),
        job_ids=("7",),
        rows=(str(path),),
    )
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert rows[1] == {
        "item_id": "é",
        "status": "failed",
        "code": "different",
        "message": "titles differ",
        "attribute": "titles",
    }
    assert rows[4] == {"item_id": "E", "status": "unknown"}
    assert str(outcome) == "5 sent, 1 succeeded, 3 failed, 1 unknown"


def test_no_rows_file_after_an_error(tmp_path: Path) -> None:
    def rows() -> Iterator[ItemResult]:
        yield ItemResult("A", "succeeded")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), OutcomeWriter(tmp_path / "rows") as writer:
        writer.add_all(rows())
    assert list(tmp_path.iterdir()) == []


def test_a_summary_stays_small_and_comes_back() -> None:
    with OutcomeWriter(None) as writer:
        for number in range(5000):
            writer.add(ItemResult(str(number), "failed", "E1", f"product {number} is odd"))
    summary = writer.outcome.summary()
    assert len(json.dumps(summary)) < 2000
    assert Outcome.from_summary(json.loads(json.dumps(summary))) == writer.outcome
    assert Outcome.from_summary({**summary, "new": 1}) == writer.outcome
    assert summary["errors"][0] == {"code": "E1", "message": "(other messages)", "count": 4000}


def test_outcomes_add_up() -> None:
    one = Outcome(2, 1, 1, 0, (ErrorCount("a", "x", 1),), ("1",), ("p",))
    two = Outcome(3, 0, 2, 1, (ErrorCount("b", "y", 2), ErrorCount("a", "x", 1)), ("2", "1"), ("q",))
    assert Outcome.merge([one, two]) == Outcome(
        5, 1, 3, 1, (ErrorCount("a", "x", 2), ErrorCount("b", "y", 2)), ("1", "2"), ("p", "q")
    )
    assert Outcome.merge([]) == Outcome()


@pytest.mark.parametrize(
    ("policy", "failed", "passes"),
    [
        (FailurePolicy(), 0, True),
        (FailurePolicy(), 1, False),
        (FailurePolicy(max_failed_items=2), 2, True),
        (FailurePolicy(max_failed_items=2), 3, False),
        (FailurePolicy(max_failed_ratio=0.1), 10, True),
        (FailurePolicy(max_failed_ratio=0.1), 11, False),
        (FailurePolicy(max_failed_ratio=0.29), 29, True),
        (FailurePolicy(max_failed_ratio=0.29), 30, False),
        (FailurePolicy(max_failed_items=20, max_failed_ratio=0.1), 20, True),
        (FailurePolicy(max_failed_items=None), 100, True),
    ],
)
def test_policy(policy: FailurePolicy, failed: int, passes: bool) -> None:
    outcome = Outcome(
        sent=100,
        succeeded=100 - failed,
        failed=failed,
        errors=(ErrorCount("E1", "is odd", failed),),
        rows=("s3://bucket/rows.ndjson",),
    )
    if passes:
        policy.check(outcome)
        return
    with pytest.raises(MiraklItemsFailedError) as caught:
        policy.check(outcome)
    assert f"{failed} of 100 items failed" in str(caught.value)
    assert f"{failed} x E1: is odd" in str(caught.value)
    assert "s3://bucket/rows.ndjson" in str(caught.value)
    assert caught.value.outcome == outcome.summary()


def test_unknown_items_do_not_fail() -> None:
    FailurePolicy().check(Outcome(sent=5, unknown=5))


@pytest.mark.parametrize(
    "limits", [{"max_failed_items": -1}, {"max_failed_ratio": 5}, {"max_failed_ratio": -0.1}]
)
def test_a_limit_out_of_range_is_named(limits: dict[str, float]) -> None:
    with pytest.raises(MiraklConfigurationError) as caught:
        FailurePolicy(**limits)  # type: ignore[arg-type]
    assert caught.value.field == next(iter(limits))


@pytest.mark.parametrize(
    ("outcome", "total"),
    [
        (Outcome(succeeded=1, failed=2, unknown=4), 7),
        (Outcome(sent=9, succeeded=1, failed=2, unknown=4), 9),
        (Outcome(sent=3, unknown=5), 5),
        (Outcome(sent=3), 3),
    ],
)
def test_the_total_counts_every_item_once(outcome: Outcome, total: int) -> None:
    assert outcome.total == total
    # ... and so does the share: 4 unknown items are not failed ones, and count in the whole
    if outcome.failed:
        FailurePolicy(max_failed_ratio=outcome.failed / total).check(outcome)
        with pytest.raises(MiraklItemsFailedError):
            FailurePolicy(max_failed_ratio=outcome.failed / total - 0.01).check(outcome)
