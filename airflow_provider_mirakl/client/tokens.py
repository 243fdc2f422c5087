"""OAuth 2.0 tokens: the call that fetches one, and the one place of this process where they are kept."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import defaultdict
from dataclasses import dataclass, field
from urllib.parse import urlencode

from airflow_provider_mirakl.api.call import FORM, Call, Operation, Reply
from airflow_provider_mirakl.client.settings import ClientCredentials
from airflow_provider_mirakl.exceptions import MiraklReplyError

RENEW_BEFORE = 300.0
"""Seconds before its end at which a token is renewed; for short-lived ones a tenth of their life."""
DEFAULT_LIFETIME = 3599.0

_TOKEN = Operation("token", "POST", "", replay=True, authenticated=False)


@dataclass(frozen=True, slots=True)
class Token:
    """An access token.

    :param value: the token.
    :param lifetime: seconds it is good for, from the moment it was asked for.
    """

    value: str = field(repr=False)
    lifetime: float


def fetch_token(credentials: ClientCredentials) -> Call[Token]:
    """The call that trades client id and secret for a token. Source: facts section 1d."""
    form = {
        "grant_type": "client_credentials",
        "client_id": credentials.client_id,
        "client_secret": credentials.client_secret,
    }
    if credentials.audience:
        form["audience"] = credentials.audience
    return Call(
        _TOKEN, parse=_parse, path=credentials.token_url, body=urlencode(form).encode(), content_type=FORM
    )


def _parse(reply: Reply) -> Token:
    try:
        body = reply.json_object()
    except MiraklReplyError:
        body = {}
    value, lifetime = body.get("access_token"), body.get("expires_in", DEFAULT_LIFETIME)
    if not isinstance(value, str) or not value:
        # Never quote the body here: it may hold a token under another name.
        raise MiraklReplyError(
            "token: the reply holds no access_token; check token_url", operation="token", status=reply.status
        )
    try:
        seconds = float(lifetime) if isinstance(lifetime, int | float | str) else DEFAULT_LIFETIME
    except ValueError:
        seconds = DEFAULT_LIFETIME
    return Token(value, seconds)


class TokenStore:
    """Keeps one token per account for the whole process and lets one caller at a time fetch it."""

    def __init__(self) -> None:
        self._tokens: dict[str, tuple[str, float]] = {}
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._loop_locks: weakref.WeakKeyDictionary[
            asyncio.AbstractEventLoop, defaultdict[str, asyncio.Lock]
        ] = weakref.WeakKeyDictionary()

    def fresh(self, credentials: ClientCredentials, *, now: float, refused: str | None = None) -> str | None:
        """The kept token, unless it is about to end or is the one that Mirakl just refused."""
        value, renew_at = self._tokens.get(credentials.identity, (None, 0.0))
        return value if value != refused and now < renew_at else None

    def keep(self, credentials: ClientCredentials, token: Token, *, asked_at: float) -> str:
        """Keep a token and return its value."""
        renew_at = asked_at + token.lifetime - min(RENEW_BEFORE, token.lifetime / 10)
        self._tokens[credentials.identity] = (token.value, renew_at)
        return token.value

    def lock(self, credentials: ClientCredentials) -> threading.Lock:
        """For threads: whoever holds it fetches."""
        return self._locks[credentials.identity]

    def loop_lock(self, credentials: ClientCredentials) -> asyncio.Lock:
        """The same for tasks of the running event loop."""
        locks = self._loop_locks.setdefault(asyncio.get_running_loop(), defaultdict(asyncio.Lock))
        return locks[credentials.identity]

    def forget(self) -> None:
        """Drop every token."""
        self._tokens.clear()


TOKENS = TokenStore()
"""The process's own."""
