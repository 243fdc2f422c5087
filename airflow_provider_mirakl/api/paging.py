"""Mirakl's two ways of paging, as pure functions from a reply to a :class:`~.call.Page`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import parse_qsl, urlsplit

from airflow_provider_mirakl.api.call import Call, Json, Operation, Page, Params, Reply, query
from airflow_provider_mirakl.api.values import numeric_id
from airflow_provider_mirakl.exceptions import MiraklReplyError

T = TypeVar("T")

LONGEST_WAIT = 600.0
"""Seconds that a page after the first may wait for its turn in a worker. The connection's ``interval_factor`` may make
an interval longer than its ``max_wait``, and a reading that stopped between two pages would begin with the first again.
"""
MAX_EMPTY_PAGES = 20
"""Pages without items in a row that are believed to lead on to more."""

# One link of the header: its URL, then parameters whose quoted values may contain any character, even a comma.
_LINK = re.compile(r'<([^<>]*)>((?:\s*;\s*[\w*-]+\s*(?:=\s*(?:"[^"]*"|[^\s",;]+))?)*)')
_PARAMETER = re.compile(r';\s*([\w*-]+)\s*(?:=\s*(?:"([^"]*)"|([^\s",;]+)))?')


def seek_page(
    reply: Reply,
    key: str,
    follow: Callable[[str], Call[Page[dict[str, Json]]]],
    *,
    page_token: str | None = None,
) -> Page[dict[str, Json]]:
    """Read a page of a seek listing (``page_token``, ``next_page_token``).

    :param reply: the reply.
    :param key: where the items are.
    :param follow: builds the call for a page token. The token carries every parameter, so nothing else is sent.
    :param page_token: of this page.
    :raises MiraklReplyError: when the reply is not such a page, or leads to itself, so that the listing would not end.

    Source: :ref:`paging <facts-paging>`.
    """
    body = reply.json_object()
    items = reply.objects(body.get(key), f"under {key!r}")
    token = body.get("next_page_token")
    if token is not None and not isinstance(token, str):
        raise reply.unreadable("a text under 'next_page_token'", token)
    if token and token == page_token:
        raise _already_read(reply)
    return Page(items, follow(token) if token else None)


def seek_list(
    operation: Operation,
    key: str,
    filters: Params,
    *,
    page_token: str | None = None,
    kept: Params = (),
) -> Call[Page[dict[str, Json]]]:
    """The call of one page of a seek listing, and with it those of the pages that follow.

    :param operation: the listing.
    :param key: where the items are.
    :param filters: the parameters of the first page; the token carries them to the others.
    :param page_token: opaque position of a page, from the page before.
    :param kept: parameters that Mirakl requires on every page.
    """
    return Call(
        operation,
        parse=lambda reply: seek_page(
            reply,
            key,
            lambda token: seek_list(operation, key, filters, page_token=token, kept=kept),
            page_token=page_token,
        ),
        params=(*kept, *(query(page_token=page_token) if page_token else filters)),
    )


def offset_page(
    reply: Reply,
    key: str,
    follow: Callable[[int], Call[Page[dict[str, Json]]]],
    *,
    offset: int = 0,
    page_size: int | None = None,
    optional: bool = False,
    joined: bool = False,
) -> Page[dict[str, Json]]:
    """Read a page of an offset listing (``max``, ``offset``, ``Link`` header, ``total_count``).

    Only the offset is taken from the link, never its host, and no link may skip rows: the next page begins where this
    one ends at the latest. Where there is no next link, for example because a proxy removes the header, ``total_count``
    says whether a page follows; where that is absent too, a ``Link`` header ends the listing, and without one a full
    page is followed by another. A page without items is always the last one.

    :param reply: the reply.
    :param key: where the items are.
    :param follow: builds the call for an offset.
    :param offset: of this page.
    :param page_size: items that were asked for; ``None`` if that is not known, and then a link may skip rows.
    :param optional: whether Mirakl leaves out an empty list.
    :param joined: whether the caller joins the pages itself, and so may be led to the same page again.
    :raises MiraklReplyError: when the reply is not such a page, or leads back, so that the listing would not end.

    Source: :ref:`paging <facts-paging>`.
    """
    items = reply.list_of_objects(key, optional=optional)
    header = reply.headers.get("link", "")
    link = next_link(header)
    if not items:
        return Page(items, None)
    end, total = offset + len(items), reply.json_object().get("total_count")
    if link is not None:
        try:
            following = numeric_id(dict(parse_qsl(urlsplit(link).query)).get("offset"))
        except ValueError:  # not an address
            following = None
        if following is None:
            raise reply.unreadable("a next link with an offset in the Link header", link)
        if following <= offset and not joined:
            raise _already_read(reply)
        if page_size is not None:  # rows of a page may be hidden, so it may be shorter than it was asked for
            following = min(following, max(end, offset + page_size))
        return Page(items, follow(following))
    has_more = end < total if isinstance(total, int) else not header and len(items) == page_size
    return Page(items, follow(end) if has_more else None)


def _already_read(reply: Reply) -> MiraklReplyError:
    return MiraklReplyError(
        f"{reply.operation}: the next page that Mirakl names was already read; the listing is not complete",
        operation=reply.operation,
    )


def next_link(header: str) -> str | None:
    """The address of the link with the relation ``next`` in a ``Link`` header (RFC 8288)."""
    for link in _LINK.finditer(header):
        # Parameter by parameter, so that a quoted title with "; rel=next" is not mistaken for one. The first one
        # counts.
        relations = (
            quoted or bare for name, quoted, bare in _PARAMETER.findall(link[2]) if name.lower() == "rel"
        )
        if "next" in next(relations, "").lower().split():
            return link[1]
    return None


@dataclass(slots=True)
class PageWalk(Generic[T]):
    """The position of a walk through pages. Pure, for both clients.

    :param following: the call for the next page, ``None`` at the end.
    """

    following: Call[Page[T]] | None
    _seen: set[str] = field(default_factory=set)
    _empty: int = 0

    def arrived(self, page: Page[T]) -> Page[T]:
        """Take note of a page and step on.

        :raises MiraklReplyError: the next page was already read, or too many are empty, so the walk would not end.
        """
        if self.following is not None:
            self._seen.add(self.following.target)
        self._empty = 0 if page.items else self._empty + 1
        if page.following is not None:
            why = "was already read" if page.following.target in self._seen else ""
            why = why or (f"follows {MAX_EMPTY_PAGES} empty ones" if self._empty >= MAX_EMPTY_PAGES else "")
            if why:
                code = page.following.operation.code
                raise MiraklReplyError(
                    f"{code}: the next page that Mirakl names {why}; the listing is not complete",
                    operation=code,
                )
        self.following = page.following
        return page
