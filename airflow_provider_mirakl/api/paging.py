"""Mirakl's two ways of paging, as pure functions from a reply to a :class:`~.call.Page`."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import parse_qsl, urlsplit

from airflow_provider_mirakl.api.call import Call, Json, Page, Reply, numeric_id

# One link of the header: its address, then parameters whose quoted values may hold anything, a comma too.
_LINK = re.compile(r'<([^<>]*)>((?:\s*;\s*[\w*-]+\s*(?:=\s*(?:"[^"]*"|[^\s",;]+))?)*)')
_PARAMETER = re.compile(r';\s*([\w*-]+)\s*(?:=\s*(?:"([^"]*)"|([^\s",;]+)))?')


def seek_page(
    reply: Reply, key: str, follow: Callable[[str], Call[Page[dict[str, Json]]]]
) -> Page[dict[str, Json]]:
    """Read a page of a seek listing (``page_token``, ``next_page_token``).

    :param reply: the reply.
    :param key: where the items are.
    :param follow: builds the call for a page token. The token carries every parameter, so nothing else is sent.
    :raises MiraklReplyError: when the reply is not such a page.

    Source: :ref:`paging <facts-paging>`.
    """
    body = reply.json_object()
    items = reply.objects(body.get(key), f"under {key!r}")
    token = body.get("next_page_token")
    if token is not None and not isinstance(token, str):
        raise reply.unreadable("a text under 'next_page_token'", token)
    return Page(items, follow(token) if token else None)


def offset_page(
    reply: Reply, key: str, follow: Callable[[int], Call[Page[dict[str, Json]]]]
) -> Page[dict[str, Json]]:
    """Read a page of an offset listing (``max``, ``offset``, ``Link`` header).

    Only the offset is taken from the link, never its host. A page without items is the last one, whatever its
    header says.

    :param reply: the reply.
    :param key: where the items are.
    :param follow: builds the call for an offset.
    :raises MiraklReplyError: when the reply is not such a page.

    Source: :ref:`paging <facts-paging>`.
    """
    items = reply.list_of_objects(key)
    link = next_link(reply.headers.get("link", ""))
    if link is None or not items:
        return Page(items, None)
    try:
        offset = numeric_id(dict(parse_qsl(urlsplit(link).query)).get("offset"))
    except ValueError:  # no address
        offset = None
    if offset is None:
        raise reply.unreadable("a next link with an offset in the Link header", link)
    return Page(items, follow(offset))


def next_link(header: str) -> str | None:
    """The address of the link with the relation ``next`` in a ``Link`` header (RFC 8288)."""
    for link in _LINK.finditer(header):
        # Parameter by parameter, so that a quoted title that holds "; rel=next" is not taken for one. The first counts.
        relations = (
            quoted or bare for name, quoted, bare in _PARAMETER.findall(link[2]) if name.lower() == "rel"
        )
        if "next" in next(relations, "").lower().split():
            return link[1]
    return None
