"""Mirakl's two ways of paging, as pure functions from a reply to a :class:`~.call.Page`."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import parse_qsl, urlsplit

from airflow_provider_mirakl.api.call import Call, Json, Page, Reply

_NEXT_LINK = re.compile(r'<([^>]*)>\s*;[^,]*\brel="?next"?', re.IGNORECASE)


def seek_page(
    reply: Reply, key: str, follow: Callable[[str], Call[Page[dict[str, Json]]]]
) -> Page[dict[str, Json]]:
    """Read a page of a seek listing (``page_token``, ``next_page_token``).

    :param reply: the reply.
    :param key: where the items are.
    :param follow: builds the call for a page token. The token carries every parameter, so it is sent alone.
    :raises MiraklReplyError: when the reply is not such a page.

    Source: seeds 002 and 004, general notes.
    """
    items = reply.list_of_objects(key)
    token = reply.json_object().get("next_page_token")
    if token is not None and not isinstance(token, str):
        raise reply.unreadable("a text under 'next_page_token'", token)
    return Page(items, follow(token) if token else None)


def offset_page(
    reply: Reply, key: str, follow: Callable[[int], Call[Page[dict[str, Json]]]]
) -> Page[dict[str, Json]]:
    """Read a page of an offset listing (``max``, ``offset``, ``Link`` header).

    Only the offset is taken from the link, never its host.

    :param reply: the reply.
    :param key: where the items are.
    :param follow: builds the call for an offset.
    :raises MiraklReplyError: when the reply is not such a page.

    Source: seed 004, general notes.
    """
    items = reply.list_of_objects(key)
    link = _NEXT_LINK.search(reply.headers.get("link", ""))
    offset = dict(parse_qsl(urlsplit(link[1]).query)).get("offset", "") if link else ""
    if link and not offset.isdecimal():
        raise reply.unreadable("a next link with an offset in the Link header", link[1])
    return Page(items, follow(int(offset)) if offset else None)
