"""A short round of ``make fuzz`` with fixed choices: no reader of foreign data fails with a bare Python error."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

sys.path.insert(0, str(Path(__file__).parent))
from targets import TARGETS, planned
from watching import Target, run

BY_NAME = {target.name: target for target in TARGETS}
RATE_LIMIT = "airflow_provider_mirakl.exceptions.MiraklRateLimitError"
ONCE_FAILED: dict[str, tuple[str, Callable[[], Any]]] = {
    "a gzip stream that ends in its header": (
        "sources",
        lambda: ("a.csv", b"\x1f\x8b\x08\x1f\x8b\x08\x00g", {"on_invalid": "fail"}),
    ),
    "a gzip stream with a broken block": (
        "sources",
        lambda: ("a.csv", gzip.compress(b"id;title\np1;x\n")[:10] + b"\xff" * 8, {"on_invalid": "fail"}),
    ),
    "partitions of a state that end before they begin": (
        "plans",
        lambda: ("state/state.json", planned()["state/state.json"].replace(b'"ends":[0,', b'"ends":[9,')),
    ),
    "an error without arguments": ("events", lambda: {"type": RATE_LIMIT, "args": None, "data": {}}),
    "an error of a module that is gone": (
        "events",
        lambda: {"type": "airflow_provider_mirakl.gone.Error", "args": ["x"], "data": {}},
    ),
    "a moment that is not a number": ("moments", lambda: {"moment": "x", "state": {}}),
    "a listing that is a number": ("watches", lambda: ("product_status", None, [7])),
    "a cursor of the first year": (
        "watches",
        lambda: ("shop_documents", {"since": "0001-01-01T00:00:00+23:59"}, [[]]),
    ),
    "a stored trigger without a time": ("triggers", lambda: {"opener": "x", "earliest": None}),
}
"""Samples that ``make fuzz`` found: target and sample."""


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_what_others_wrote_is_read_or_refused(target: Target) -> None:
    @settings(
        max_examples=25,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(target.samples)
    def check(sample: Any) -> None:
        run(target, sample)

    check()


@pytest.mark.parametrize("name", ONCE_FAILED)
def test_what_failed_once_does_not_fail_again(name: str) -> None:
    target, sample = ONCE_FAILED[name]
    run(BY_NAME[target], sample())
