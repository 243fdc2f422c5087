"""The ``Link`` header, in every form that servers write it."""

from __future__ import annotations

import time

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


_ADDRESS = st.text("abc0123456789?&=,;/.:%-", max_size=30)
_BLANK = st.sampled_from(["", " ", "\t", "  "])
_RELATIONS = st.lists(st.sampled_from(["next", "NEXT", "prev", "last", "nextpage", "next-page"]), min_size=1)


@st.composite
def _links(draw: st.DrawFn) -> tuple[str, str | None]:
    """A link as RFC 8288 lets a server write it, and its address if its relation is ``next``."""
    address, blank = draw(_ADDRESS), draw(_BLANK)
    relations = draw(_RELATIONS)
    before = draw(st.sampled_from(["", '; title="a, <b>; rel=next"', "; type=text", "; crossorigin"]))
    name = draw(st.sampled_from(["rel", "Rel", "REL"]))
    value = f'"{" ".join(relations)}"' if len(relations) > 1 or draw(st.booleans()) else relations[0]
    text = f"<{address}>{before}{blank};{blank}{name}{blank}={blank}{value}"
    return text, address if "next" in (relation.lower() for relation in relations) else None


@given(st.lists(_links(), max_size=4), st.sampled_from([",", ", ", " , "]))
def test_the_first_next_link_is_found_among_others(links: list[tuple[str, str | None]], comma: str) -> None:
    header = comma.join(text for text, _ in links)
    assert next_link(header) == next((address for _, address in links if address is not None), None)


@given(st.text('<>;,=" relnxtpv/?0', max_size=80))
def test_a_header_in_disorder_gives_an_address_of_it_or_nothing(header: str) -> None:
    """It never raises, and a sound link that follows the disorder is not misread."""
    link = next_link(header)
    assert link is None or (f"<{link}>" in header and "rel" in header.lower() and "next" in header.lower())


@pytest.mark.parametrize(
    "unit", ["<", "<a>;", '<a>;b="', "<a>;rel=", '"', "<a>" + ";a" * 1000 + "!", "<a>; rel=" + " " * 500]
)
def test_no_header_takes_long(unit: str) -> None:
    """A pattern that backtracks would take minutes of processor time for 60,000 characters, not a second."""
    began = time.process_time()
    assert next_link(unit * (60_000 // len(unit))) is None
    assert time.process_time() - began < 1
