"""Errors cross process borders with all they know."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_mirakl import exceptions
from airflow_provider_mirakl.exceptions import (
    ApiFault,
    MiraklApiError,
    MiraklAuthenticationError,
    MiraklBadRequestError,
    MiraklConfigurationError,
    MiraklError,
    MiraklInputError,
    MiraklItemsFailedError,
    MiraklJobFailedError,
    MiraklJobTimeoutError,
    MiraklMissingFileError,
    MiraklNoteError,
    MiraklNotFoundError,
    MiraklNotYetError,
    MiraklPermissionError,
    MiraklRateLimitError,
    MiraklReplyError,
    MiraklServerError,
    MiraklStorageError,
    MiraklTransportError,
    MiraklTriggerEventError,
    MiraklUnclearSubmissionError,
    Problem,
    duration,
)

MOMENT = datetime(2026, 11, 20, 12, tzinfo=UTC)
API: dict[str, Any] = {
    "operation": "P41",
    "status": 400,
    "code": "C",
    "field": "f",
    "faults": [ApiFault("m", "c", "f")],
    "retry_after": 3.5,
    "retry_at": MOMENT,
    "request_id": "r",
}
KINDS: dict[type[MiraklError], MiraklError] = {
    MiraklConfigurationError: MiraklConfigurationError("m", field="host"),
    MiraklInputError: MiraklInputError("m", [Problem("p", "f", 3, "id")], problem_count=9),
    MiraklNotYetError: MiraklNotYetError("m", operation="P41", retry_at=MOMENT),
    MiraklTransportError: MiraklTransportError("m", operation="P41", surely_not_sent=True, reason="refused"),
    MiraklReplyError: MiraklReplyError("m", operation="P41", status=200),
    MiraklItemsFailedError: MiraklItemsFailedError("m", outcome={"failed": 1}),
    MiraklTriggerEventError: MiraklTriggerEventError("m"),
    MiraklJobFailedError: MiraklJobFailedError("m", job_id="7", state="FAILED"),
    MiraklNoteError: MiraklNoteError("m", path="job.json"),
    MiraklMissingFileError: MiraklMissingFileError("m", path="products.csv"),
    MiraklStorageError: MiraklStorageError("m", path="job.json"),
    MiraklJobTimeoutError: MiraklJobTimeoutError("m", job_ids=["7", "8"]),
    MiraklUnclearSubmissionError: MiraklUnclearSubmissionError("m", operation="P41", candidates=["7"]),
    **{
        kind: kind("größer", **API)
        for kind in (
            MiraklApiError,
            MiraklBadRequestError,
            MiraklAuthenticationError,
            MiraklPermissionError,
            MiraklNotFoundError,
            MiraklRateLimitError,
            MiraklServerError,
        )
    },
}


def kinds() -> set[type[MiraklError]]:
    return {
        kind
        for kind in vars(exceptions).values()
        if isinstance(kind, type) and issubclass(kind, MiraklError) and kind is not MiraklError
    }


def test_every_error_is_tried() -> None:
    assert kinds() == set(KINDS)


def test_the_tree_in_the_module_names_every_error() -> None:
    assert exceptions.__doc__ is not None
    assert all(kind.__name__ in exceptions.__doc__ for kind in kinds())


@pytest.mark.parametrize("error", KINDS.values(), ids=[kind.__name__ for kind in KINDS])
@pytest.mark.parametrize(
    "travel",
    [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy],  # noqa: S301
    ids=["pickle", "copy", "deepcopy"],
)
def test_round_trip(error: MiraklError, travel: Any) -> None:
    there = travel(error)
    assert type(there) is type(error)
    assert there is not error
    assert str(there) == str(error) == error.message
    assert vars(there) == vars(error)
    assert there.args == error.args


def test_no_airflow_class_is_in_the_tree() -> None:
    for kind in kinds():
        assert {base.__module__.partition(".")[0] for base in kind.__mro__} <= {
            "airflow_provider_mirakl",
            "builtins",
        }


@pytest.mark.parametrize(
    ("total", "words"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3780, "63 min"), (7200, "2 h 0 min"), (60_000, "16 h 40 min")],
)
def test_a_length_of_time_in_words(total: float, words: str) -> None:
    assert duration(total) == words


def test_a_single_problem_that_the_message_has_is_not_listed_again() -> None:
    problem = Problem("not UTF-8", line=2)
    assert str(MiraklInputError("a.csv, line 2: not UTF-8", [problem])) == "a.csv, line 2: not UTF-8"
    listed = MiraklInputError("a.csv, line 2: not UTF-8", [problem], problem_count=3)
    assert str(listed) == "a.csv, line 2: not UTF-8\n  - line 2: not UTF-8\n  ... and 2 more"
