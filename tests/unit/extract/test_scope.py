"""What a watermark is about: when another run asks for other rows."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mirakl.extract.listings import find_listing
from airflow_provider_mirakl.extract.scope import Scope
from airflow_provider_mirakl.extract.work import ExtractWork, Window
from airflow_provider_mirakl.triggers.places import open_extract


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        ({"states": ["A", "B"]}, {"states": ["B", "A"]}, ""),
        ({"filters": {"states": ["A", "B"]}}, {"filters": {"states": ["B", "A"]}}, ""),
        ({"filters": {"states": ["A", "B"]}}, {"filters": {"states": ["A"]}}, "filters was .* and is "),
        ({}, {"states": ["A"]}, "states was not set and is "),
        ({"created_since": "2026-01-01 00:00:00+00:00"}, {"created_since": "2026-02-01 00:00:00+00:00"}, ""),
        (
            {"created_since": "2026-02-01 00:00:00+00:00"},
            {"created_since": "2026-01-01 00:00:00+00:00"},
            "created_since was ",
        ),
        ({}, {"created_since": "2026-01-01 00:00:00+00:00"}, "created_since was not set and is "),
        ({"created_since": "2026-01-01 00:00:00+00:00"}, {}, "created_since was .* and is not set"),
        (
            {"created_to": "2026-01-01 00:00:00+00:00"},
            {"created_to": "2026-02-01 00:00:00+00:00"},
            "created_to was ",
        ),
    ],
)
def test_another_order_and_a_later_begin_ask_for_no_other_rows(
    before: dict[str, Any], now: dict[str, Any], words: str
) -> None:
    differs = Scope.of(now, ["a"], {}).differs_from(Scope.of(before, ["a"], {}))
    if words:
        assert re.search(words, differs)
    else:
        assert differs == ""


OR11 = {"operation": "OR11", "role": "shop"}


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        (OR11, OR11, ""),
        ({**OR11, "operation": "TL02"}, OR11, "operation was 'TL02' and is 'OR11'"),
        (OR11, {**OR11, "role": "operator"}, "role was 'shop' and is 'operator'"),
        ({"messages": False}, {"messages": True}, "messages was False and is True"),
        ({}, OR11, ""),
        ({"operation": "OR11"}, OR11, ""),
    ],
)
def test_another_source_has_other_rows_unless_it_was_not_noted(
    before: dict[str, Any], now: dict[str, Any], words: str
) -> None:
    assert Scope.of({}, ["a"], now).differs_from(Scope.of({}, ["a"], before)) == words


def test_a_process_that_only_continues_keeps_the_walk(tmp_path: Path) -> None:
    """A trigger has no scope; what it opens must be the walk that a worker began, with its begin and its filters."""
    listing = find_listing("orders")
    begins = datetime(2026, 1, 1, tzinfo=UTC)
    scope = Scope.of({"statuses": ["SHIPPED"]}, ["owner"], {"operation": "orders"})
    begun = ExtractWork(
        listing, Window(begins, scope=scope), tmp_path, generation="g", filters={"statuses": ["SHIPPED"]}
    )
    opened = open_extract(
        folder=str(tmp_path), generation="g", listing="orders", ends=None, watermark=None, overlap=0.0,
        keep_persons=True,
    )  # fmt: skip
    assert isinstance(opened, ExtractWork)
    assert opened.progress == begun.progress
    another = Window(begins, scope=Scope.of({}, ["owner"], {"operation": "returns"}))
    assert ExtractWork(listing, another, tmp_path, generation="g").progress != begun.progress
