"""The two ways of paging."""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_mirakl.sandbox.machine.exchange import Exchange
from airflow_provider_mirakl.sandbox.machine.wire import ApiError, Problem, dumps, loads


@dataclass(frozen=True, slots=True)
class Cursor:
    """The position of a seek-paged call. Its token contains the whole query, and the id to continue from.

    :param query: the query in force: of the call, or of the token, which then replaces everything else.
    :param key: the id that the page begins after or ends before.
    """

    query: Mapping[str, list[str]]
    limit: int
    key: str = ""
    forward: bool = True

    def one(self, name: str) -> str:
        """The last value of a parameter, or nothing."""
        return self.query.get(name, [""])[-1]

    def many(self, name: str) -> list[str]:
        """All values of a parameter, repeated or joined by commas."""
        return [part for value in self.query.get(name, ()) for part in value.split(",") if part]

    def token(self, key: str, forward: bool) -> str:
        """The opaque token of a neighbouring page."""
        content = {"q": self.query, "limit": self.limit, "key": key, "next": forward}
        return base64.urlsafe_b64encode(dumps(content)).decode()

    def window(
        self, exchange: Exchange, order: Sequence[str], *, descending: bool = False
    ) -> tuple[Sequence[str], dict[str, str]]:
        """The ids of the page and the tokens of its neighbours.

        :param order: all ids, sorted.
        :param descending: whether the pages begin with the last of them.
        """
        before, through = bisect_left(order, self.key), bisect_right(order, self.key)
        if descending:
            before, through = len(order) - through, len(order) - before
            order = order[::-1]
        if self.forward:
            start = through if self.key else 0
            stop = min(len(order), start + self.limit)
        else:
            stop = before
            start = max(0, stop - self.limit)
        ids = order[start:stop]
        exchange.items = len(ids)
        tokens = {}
        last = stop
        if exchange.fault("drop_page"):
            last = min(len(order), stop + self.limit)
        if exchange.fault("duplicate_page"):
            tokens["next_page_token"] = self.token(order[start - 1] if start else "", True)
        elif ids and last < len(order):
            tokens["next_page_token"] = self.token(order[last - 1], True)
        if ids and start > 0:
            tokens["previous_page_token"] = self.token(ids[0], False)
        return ids, tokens


def cursor(exchange: Exchange, default: int = 10, maximum: int = 100) -> Cursor:
    """Read ``limit`` or ``page_token``. With a token every other parameter is ignored.

    :raises ApiError: 400 for a limit out of range or something that is not a token.
    """
    text = exchange.query.get("page_token")
    if text is None:
        params = exchange.request.query_params
        query = {name: params.getlist(name) for name in params if name != "limit"}
        return Cursor(query, exchange.integer("limit", default, 1, maximum))
    try:
        token: Any = loads(base64.urlsafe_b64decode(text.encode()))
        kinds = {"q": dict, "limit": int, "key": str, "next": bool}
        if not all(isinstance(token[name], kind) for name, kind in kinds.items()):
            raise TypeError("page_token")
    except (ValueError, binascii.Error, KeyError, TypeError) as error:
        problem = Problem("page_token is not a token of this resource", "page_token")
        raise ApiError(400, "Invalid page token.", problems=[problem]) from error
    return Cursor(token["q"], token["limit"], token["key"], token["next"])


def offset(exchange: Exchange, total: int) -> tuple[slice, dict[str, str]]:
    """Read ``max`` and ``offset``; returns the slice of the page and the ``Link`` header.

    :raises ApiError: 400 for values out of range.
    """
    size = exchange.integer("max", 10, 1, 100)
    start = exchange.integer("offset", 0, 0, 10**9)
    url = exchange.request.url
    links = []
    if start > 0:
        links.append(f'<{url.include_query_params(max=size, offset=max(0, start - size))}>; rel="previous"')
    skip = size if not exchange.fault("drop_page") else 2 * size
    if exchange.fault("duplicate_page"):
        links.append(f'<{url.include_query_params(max=size, offset=start)}>; rel="next"')
    elif start + skip < total:
        links.append(f'<{url.include_query_params(max=size, offset=start + skip)}>; rel="next"')
    exchange.items = max(0, min(size, total - start))
    return slice(start, start + size), {"Link": ", ".join(links)} if links else {}
