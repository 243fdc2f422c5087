"""The ``Link`` header, in every form that servers write it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_mirakl.api.paging import next_link


@pytest.mark.parametrize(
    ("header", "link"),
    [
        ('<https://x/?offset=10>; rel="next"', "https://x/?offset=10"),
        ("<https://x/?offset=10>; rel=next", "https://x/?offset=10"),
        ("<https://x/?offset=10>;rel=next", "https://x/?offset=10"),
        ("<https://x/?offset=10> ; REL = Next", "https://x/?offset=10"),
        ('<https://x/?offset=0>; rel="previous", <https://x/?offset=20>; rel="next"', "https://x/?offset=20"),
        ('<https://x/?offset=20>; rel="next", <https://x/?offset=0>; rel="previous"', "https://x/?offset=20"),
        ('<https://x/?a=1,2&offset=20>; title="a, b"; rel="next"', "https://x/?a=1,2&offset=20"),
        ('<https://x/?offset=20>; rel="last next"', "https://x/?offset=20"),
        ('<https://x/?offset=20>; rel="nextpage"', None),
        ('<https://x/?offset=20>; rel="previous"', None),
        ('<https://x/?offset=0>; rel="prev"; title="next"', None),
        ("<https://x/?offset=20>", None),
        ("", None),
        ("next", None),
    ],
)
def test_next(header: str, link: str | None) -> None:
    assert next_link(header) == link


@given(st.text('<>;,=" relnxtpv/?0', max_size=80))
def test_any_header_is_read(header: str) -> None:
    link = next_link(header)
    assert link is None or f"<{link}>" in header


def test_no_header_takes_long() -> None:
    for unit in ("<", "<a>;", '<a>;b="', "<a>;rel=", '"', "<a>" + ";a" * 1000 + "!"):
        next_link(unit * (60_000 // len(unit)))
