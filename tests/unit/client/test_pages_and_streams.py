"""Listings read to their end, and bodies read piece by piece."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_mirakl.api.call import Call, Operation, Page, Reply, nothing, query
from airflow_provider_mirakl.api.connect import list_products
from airflow_provider_mirakl.api.paging import PageWalk, offset_page, seek_page
from airflow_provider_mirakl.exceptions import (
    MiraklNotFoundError,
    MiraklNotYetError,
    MiraklReplyError,
    MiraklServerError,
    MiraklTransportError,
)

LIST = Operation("P51", "GET", "/api/products/imports", replay=True)


def by_token(token: str | None = None) -> Call[Page[Any]]:
    return Call(LIST, parse=lambda reply: seek_page(reply, "data", by_token), params=query(page_token=token))


def by_offset(offset: int = 0) -> Call[Page[Any]]:
    return Call(
        LIST,
        parse=lambda reply: offset_page(reply, "data", by_offset),
        params=query(max=100, offset=offset or None),
    )


def items(pages: list[Page[Any]]) -> list[Any]:
    return [item["id"] for page in pages for item in page.items]


def page(*ids: int, token: str | None = None) -> dict[str, Any]:
    return {"data": [{"id": number} for number in ids], **({"next_page_token": token} if token else {})}


# --- paging -------------------------------------------------------------------------------------------------


def test_seek(bench: Any, server: Any, steps: Any) -> None:
    server.script(
        steps.reply(200, page(1, 2, token="t/1+")),
        steps.reply(200, page(token="t2")),
        steps.reply(200, page(3)),
    )
    pages = bench.client(server.url).pages(by_token())
    assert items(pages) == [1, 2, 3]
    assert [seen.target.partition("?")[2] for seen in server.seen] == [
        "",
        "page_token=t%2F1%2B",
        "page_token=t2",
    ]


def test_the_token_is_sent_alone(bench: Any, server: Any, steps: Any) -> None:
    server.script(steps.reply(200, page(1, token="t")), steps.reply(200, page()))
    bench.client(server.url, interval_factor=0).pages(list_products(limit=7))
    assert [seen.target for seen in server.seen] == ["/api/products?limit=7", "/api/products?page_token=t"]


def test_later_pages_may_wait_longer_than_the_first(bench: Any, server: Any, steps: Any) -> None:
    """What a reading has is lost if it stops between two pages."""
    first = steps.reply(200, page(1, token="t"))
    server.script(first, first, steps.reply(200, page(2)))
    client = bench.client(server.url)
    with pytest.raises(MiraklNotYetError):
        client.pages(list_products(), max_wait=1.0)
    bench.pacer.forget()
    assert items(client.pages(list_products(), max_wait=1.0, later=600.0)) == [1, 2]
    assert sum(bench.time.slept) > 1.0


def test_offset_by_the_link_header(bench: Any, server: Any, steps: Any) -> None:
    def link(offset: int) -> str:
        return f'<{server.url}/evil?max=100&offset={offset}>; rel="next", <{server.url}/x?offset=0>; rel="previous"'

    server.script(
        steps.reply(200, page(1), Link=link(100)),
        steps.reply(200, page(2), Link=link(200)),
        steps.reply(200, page(3)),
    )
    assert items(bench.client(server.url).pages(by_offset())) == [1, 2, 3]
    assert [seen.target for seen in server.seen] == [
        f"/api/products/imports?max=100{suffix}" for suffix in ("", "&offset=100", "&offset=200")
    ]


def test_an_empty_page_ends_an_offset_listing(bench: Any, server: Any, steps: Any) -> None:
    server.script(
        steps.reply(200, page(1), Link='<https://x/?offset=100>; rel="next"'),
        steps.reply(200, page(), Link='<https://x/?offset=200>; rel="next"'),
    )
    assert items(bench.client(server.url).pages(by_offset())) == [1]


@pytest.mark.parametrize("loop", [["a", "a"], ["a", "b", "a"], ["a", "b", "c", "b"]])
def test_a_token_that_comes_back_ends_the_walk(bench: Any, server: Any, steps: Any, loop: list[str]) -> None:
    server.script(*[steps.reply(200, page(number, token=token)) for number, token in enumerate(loop)])
    with pytest.raises(MiraklReplyError, match="already read"):
        bench.client(server.url).pages(by_token())
    assert len(server.seen) == len(loop)


def test_an_offset_that_stands_still_ends_the_walk(bench: Any, server: Any, steps: Any) -> None:
    server.script(steps.reply(200, page(1), Link='<https://x/?offset=100>; rel="next"'))
    with pytest.raises(MiraklReplyError, match="already read"):
        bench.client(server.url).pages(by_offset())
    assert len(server.seen) == 2


def test_a_walk_may_end_early(bench: Any, server: Any, steps: Any) -> None:
    server.script(steps.reply(200, page(1, token="t")), steps.reply(200, page(2)))
    assert items(bench.client(server.url).pages(by_token(), take=1)) == [1]
    assert len(server.seen) == 1


def test_pages_keep_the_interval(bench: Any, server: Any, steps: Any) -> None:
    server.script(steps.reply(200, page(1, token="t")), steps.reply(200, page(2)))
    bench.client(server.url).pages(list_products())
    assert bench.time.slept == [60]


def test_a_page_that_fails_for_a_moment_is_asked_for_again(bench: Any, server: Any, steps: Any) -> None:
    server.script(
        steps.reply(200, page(1, token="t")), steps.reset(), steps.reply(429, b"", Retry_After="2"),
        steps.reply(200, page(2)),
    )  # fmt: skip
    assert items(bench.client(server.url).pages(by_token())) == [1, 2]


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{}",
        b'{"data":null}',
        b'{"data":{}}',
        b'{"data":[1]}',
        b'{"data":[],"next_page_token":7}',
        b'{"data":[{',
    ],
)
def test_pages_that_are_none(bench: Any, server: Any, steps: Any, body: bytes) -> None:
    server.script(steps.reply(200, body))
    with pytest.raises(MiraklReplyError, match="P51"):
        bench.client(server.url).pages(by_token())


@pytest.mark.parametrize(
    "link",
    [
        "<https://x/>",
        "<https://x/?offset=>",
        "<https://x/?offset=-1>",
        "<https://[x/>",
        pytest.param(f"<https://x/?offset={'9' * 5000}>", id="endless"),
    ],
)
def test_next_links_without_an_offset(bench: Any, server: Any, steps: Any, link: str) -> None:
    server.script(steps.reply(200, page(1), Link=f'{link}; rel="next"'))
    with pytest.raises(MiraklReplyError, match="Link header"):
        bench.client(server.url).pages(by_offset())


@given(st.lists(st.lists(st.integers(0, 9), max_size=3), min_size=1, max_size=8), st.randoms())
def test_every_item_once_in_order_whatever_the_pages(chunks: list[list[int]], random: Any) -> None:
    """A walk by hand over a catalog cut anywhere, under tokens of any order."""
    tokens = [str(number) for number in range(len(chunks))]
    random.shuffle(tokens)
    bodies = {
        token: Page(
            [{"id": number} for number in chunk],
            by_token(tokens[place + 1]) if place + 1 < len(chunks) else None,
        )
        for place, (token, chunk) in enumerate(zip(tokens, chunks, strict=True))
    }
    walk, seen = PageWalk(by_token(tokens[0])), []
    while walk.following is not None:
        token = dict(walk.following.params)["page_token"]
        seen.append(walk.arrived(bodies[token]))
    assert items(seen) == [number for chunk in chunks for number in chunk]


def test_ever_new_tokens_without_items_end_the_walk() -> None:
    walk = PageWalk(by_token("start"))

    def arrive() -> None:
        for number in range(1000):
            walk.arrived(Page([], by_token(str(number))))

    with pytest.raises(MiraklReplyError, match="empty ones; the listing is not complete"):
        arrive()


def test_some_empty_pages_do_not_end_a_walk(bench: Any, server: Any, steps: Any) -> None:
    empty = [steps.reply(200, page(token=f"a{number}")) for number in range(15)]
    more = [steps.reply(200, page(token=f"b{number}")) for number in range(15)]
    server.script(*empty, steps.reply(200, page(1, token="b")), *more, steps.reply(200, page(2)))
    assert items(bench.client(server.url).pages(by_token())) == [1, 2]


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=12))
def test_no_walk_is_endless(tokens: list[str]) -> None:
    """Whatever tokens a server gives, a walk reads each at most once and then ends or says why."""
    walk, reads = PageWalk(by_token("start")), 0
    supply = iter(tokens * 3)
    try:
        while walk.following is not None:
            reads += 1
            walk.arrived(Page([], by_token(next(supply))))
    except MiraklReplyError:
        pass
    assert reads <= 1 + len(set(tokens))


# --- streams ------------------------------------------------------------------------------------------------

FILE = Operation("P44", "GET", "/api/file", replay=True)
DOWNLOAD: Call[None] = Call(FILE, parse=nothing, accept="*/*")


def test_a_download(bench: Any, server: Any, steps: Any) -> None:
    data = bytes(range(256)) * 4000
    server.script(steps.reply(200, data, Content_Disposition='attachment; filename="errors.csv"'))
    reply, body = bench.client(server.url).download(DOWNLOAD)
    assert body == data
    assert reply.headers["content-disposition"] == 'attachment; filename="errors.csv"'
    assert reply.body == b""


def test_a_packed_download_is_unpacked(bench: Any, server: Any, steps: Any) -> None:
    data = b"sku;error\r\n" * 100_000
    server.script(steps.reply(200, gzip.compress(data), Content_Encoding="gzip"))
    assert bench.client(server.url).download(DOWNLOAD)[1] == data


@pytest.mark.parametrize("encoding", ["aws-chunked", "utf-8", "none", ""])
def test_a_download_whose_packing_is_none(bench: Any, server: Any, steps: Any, encoding: str) -> None:
    server.script(steps.reply(200, b"sku\r\n1\r\n", Content_Encoding=encoding))
    assert bench.client(server.url).download(DOWNLOAD)[1] == b"sku\r\n1\r\n"


def test_a_download_in_an_unknown_packing_is_one_error(bench: Any, server: Any, steps: Any) -> None:
    server.script(steps.reply(200, b"x", Content_Encoding="br"))
    with pytest.raises(MiraklReplyError, match="P44: the reply cannot be read: it is compressed as 'br'"):
        bench.client(server.url).download(DOWNLOAD)
    assert len(server.seen) == 1


def test_a_download_is_retried_until_its_body_begins(bench: Any, server: Any, steps: Any) -> None:
    server.script(
        steps.reset(),
        steps.reply(503, b"<html>"),
        steps.reply(429, b"", Retry_After="3"),
        steps.reply(200, b"data"),
    )
    assert bench.client(server.url).download(DOWNLOAD)[1] == b"data"


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "tail"),
    [
        (HEAD, b"x" * 100_000),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"ffff\r\n" + b"x" * 1000),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 20\r\n\r\n", b"x" * 20),
    ],
    ids=["truncated", "chunks", "gzip"],
)
@pytest.mark.parametrize("end", ["raw", "reset"])
def test_a_break_in_the_middle_is_an_error_and_never_a_short_file(
    bench: Any, server: Any, steps: Any, head: bytes, tail: bytes, end: str
) -> None:
    server.script(getattr(steps, end)(head + tail), steps.reply(200, b"never asked for"))
    with pytest.raises(MiraklTransportError) as caught:
        bench.client(server.url).download(DOWNLOAD)
    assert caught.value.operation == "P44"
    assert caught.value.surely_not_sent is False
    assert len(server.seen) == 1


def test_a_packed_download_that_is_not_whole_is_an_error(bench: Any, server: Any, steps: Any) -> None:
    packed = gzip.compress(b"sku;error\r\n" * 100_000)
    server.script(steps.reply(200, packed[: len(packed) // 2], Content_Encoding="gzip"))
    with pytest.raises(MiraklTransportError, match="is truncated"):
        bench.client(server.url).download(DOWNLOAD)


def test_silence_in_the_middle_is_an_error(bench: Any, server: Any, steps: Any) -> None:
    server.script(steps.silence(server, HEAD + b"x"))
    with pytest.raises(MiraklTransportError, match="ReadTimeout"):
        bench.client(server.url, timeout=2).download(DOWNLOAD)
    assert server.closed_by_client.wait(120)


@pytest.mark.parametrize("take", [0, 1])
def test_a_download_left_early_is_closed(bench: Any, server: Any, steps: Any, take: int) -> None:
    server.script(steps.endless(server, HEAD.replace(b"1000000", b"100000000000"), b"x" * 65536))
    bench.client(server.url).download(DOWNLOAD, take=take)
    assert server.closed_by_client.wait(120)


def test_an_error_in_place_of_a_download_is_read(bench: Any, server: Any, steps: Any) -> None:
    server.script(steps.reply(404, {"message": "no such report"}))
    with pytest.raises(MiraklNotFoundError, match="no such report"):
        bench.client(server.url).download(DOWNLOAD)
    server.script(steps.reply(500, b""))
    with pytest.raises(MiraklServerError):
        bench.client(server.url, max_attempts=2).download(DOWNLOAD)


def test_a_web_page_in_place_of_a_download_is_closed(bench: Any, server: Any, steps: Any) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 100000000000\r\n\r\n"
    server.script(steps.endless(server, head, b"<p>" * 1000))
    with pytest.raises(MiraklReplyError, match="web page"):
        bench.client(server.url).download(Call(FILE, parse=nothing, accept="text/csv"))
    assert server.closed_by_client.wait(120)


def test_a_download_from_another_host(bench: Any, server: Any, steps: Any, other_server: Any) -> None:
    server.script(steps.reply(302, b"", Location=f"{other_server.url}/bucket/f?sig=1"))
    other_server.script(steps.reply(200, b"data"))
    call: Call[None] = Call(FILE, parse=nothing, accept="*/*", path=f"{server.url}/api/file/1")
    assert bench.client(server.url).download(call)[1] == b"data"
    assert server.seen[0].headers["authorization"] == "the-very-secret-key"
    assert "authorization" not in other_server.seen[0].headers


def test_an_empty_download(bench: Any, server: Any, steps: Any) -> None:
    server.script(steps.reply(200, b""))
    reply, body = bench.client(server.url).download(DOWNLOAD)
    assert (reply.status, body) == (200, b"")
    server.script(steps.reply(204))
    assert bench.client(server.url).download(DOWNLOAD)[0].status == 204


def test_the_calls_own_parser_is_not_used(bench: Any, server: Any, steps: Any) -> None:
    server.script(steps.reply(200, b"no JSON", content_type="application/json"))
    assert bench.client(server.url).download(Call(FILE, parse=Reply.json_object))[1] == b"no JSON"


# --- a listing whose Link header is lost on the way ------------------------------------------------------------


def by_size(offset: int = 0) -> Call[Page[Any]]:
    return Call(
        LIST,
        parse=lambda reply: offset_page(reply, "data", by_size, offset=offset, page_size=2, optional=True),
        params=query(max=2, offset=offset or None),
    )


def test_without_a_link_the_total_count_says_whether_a_page_follows(
    bench: Any, server: Any, steps: Any
) -> None:
    server.script(
        steps.reply(200, page(1, 2) | {"total_count": 4}), steps.reply(200, page(3, 4) | {"total_count": 4})
    )
    assert items(bench.client(server.url).pages(by_size())) == [1, 2, 3, 4]
    assert [seen.target.partition("?")[2] for seen in server.seen] == ["max=2", "max=2&offset=2"]


def test_a_short_page_is_not_the_last_one_where_the_total_count_is_higher(
    bench: Any, server: Any, steps: Any
) -> None:
    server.script(
        steps.reply(200, page(1) | {"total_count": 2}), steps.reply(200, page(2) | {"total_count": 2})
    )
    assert items(bench.client(server.url).pages(by_size())) == [1, 2]


@pytest.mark.parametrize("last", [page(3), page(), {}], ids=["short", "empty", "no list"])
def test_without_link_and_total_count_a_full_page_has_another_behind_it(
    bench: Any, server: Any, steps: Any, last: dict[str, Any]
) -> None:
    server.script(steps.reply(200, page(1, 2)), steps.reply(200, last))
    assert items(bench.client(server.url).pages(by_size())) == [
        1,
        2,
        *[item["id"] for item in last.get("data", [])],
    ]


@pytest.mark.parametrize("total", [{}, {"total_count": 2}], ids=["no total", "total"])
def test_a_link_header_without_a_next_link_ends_a_listing(
    bench: Any, server: Any, steps: Any, total: dict[str, int]
) -> None:
    server.script(steps.reply(200, page(1, 2) | total, Link='<https://x/?offset=0>; rel="previous"'))
    assert items(bench.client(server.url).pages(by_size())) == [1, 2]


@pytest.mark.parametrize("rest", [[3, 4], []], ids=["more", "none"])
def test_a_missing_next_link_does_not_end_a_listing_whose_total_count_is_higher(
    bench: Any, server: Any, steps: Any, rest: list[int]
) -> None:
    link = '<https://x/?offset=0>; rel="previous"'
    server.script(
        steps.reply(200, page(1, 2) | {"total_count": 4}, Link=link),
        steps.reply(200, page(*rest) | {"total_count": 4}, Link=link),
    )
    assert items(bench.client(server.url).pages(by_size())) == [1, 2, *rest]


def test_a_link_that_skips_a_page_is_not_followed_further_than_the_end_of_this_one(
    bench: Any, server: Any, steps: Any
) -> None:
    server.script(
        steps.reply(200, page(1, 2), Link='<https://x/?max=2&offset=4>; rel="next"'), steps.reply(200, page())
    )
    assert items(bench.client(server.url).pages(by_size())) == [1, 2]
    assert [seen.target.partition("?")[2] for seen in server.seen] == ["max=2", "max=2&offset=2"]


def test_a_page_of_which_rows_are_hidden_is_followed_by_the_one_that_the_link_names(
    bench: Any, server: Any, steps: Any
) -> None:
    server.script(
        steps.reply(200, page(1), Link='<https://x/?max=2&offset=2>; rel="next"'), steps.reply(200, page(3))
    )
    assert items(bench.client(server.url).pages(by_size())) == [1, 3]
    assert [seen.target.partition("?")[2] for seen in server.seen] == ["max=2", "max=2&offset=2"]


@pytest.mark.parametrize(
    "read",
    [
        lambda reply: offset_page(reply, "data", by_size, offset=2, page_size=2),
        lambda reply: seek_page(reply, "data", by_token, page_token="t2"),
    ],
    ids=["offset", "seek"],
)
def test_a_page_that_leads_to_itself_is_an_error(read: Callable[[Reply], object]) -> None:
    link = {"link": '<https://x/?max=2&offset=2>; rel="next"'}
    with pytest.raises(MiraklReplyError, match="already read"):
        read(Reply("P51", 200, link, json.dumps(page(1, 2, token="t2")).encode()))


def test_a_list_that_the_document_requires_has_to_be_there(bench: Any, server: Any, steps: Any) -> None:
    server.script(steps.reply(200, {}))
    with pytest.raises(MiraklReplyError, match="under 'data'"):
        list(bench.client(server.url).pages(by_offset()))
