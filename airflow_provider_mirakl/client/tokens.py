"""OAuth 2.0 tokens: the call that fetches one, and the one place of this process where they are kept."""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from airflow_provider_mirakl.api.call import FORM, Call, Operation, Reply
from airflow_provider_mirakl.client.settings import ClientCredentials, Secret, is_header_text
from airflow_provider_mirakl.exceptions import TOKEN, MiraklError, MiraklReplyError

RENEW_BEFORE = 300.0
"""Seconds before its end at which a token is renewed; for short-lived ones a tenth of their life."""
DEFAULT_LIFETIME = 3599.0

_TOKEN = Operation(TOKEN, "POST", "", replay=True, authenticated=False)


@dataclass(frozen=True, slots=True)
class Token:
    """An access token.

    :param value: the token; its ``repr`` does not show it.
    :param lifetime: seconds of validity, from the time of the request.
    """

    value: Secret
    lifetime: float


def fetch_token(credentials: ClientCredentials) -> Call[Token]:
    """The call that exchanges client id and secret for a token.

    Source: :ref:`authentication <facts-authentication>`.
    """
    form = {
        "grant_type": "client_credentials",
        "client_id": credentials.client_id,
        "client_secret": Secret(credentials.client_secret),
    }
    if credentials.audience:
        form["audience"] = credentials.audience
    return Call(
        _TOKEN, parse=_parse, path=credentials.token_url, body=urlencode(form).encode(), content_type=FORM
    )


def _parse(reply: Reply) -> Token:
    token = _read(reply)
    if token is None:
        # Never quote the body here: it may contain a token under another name.
        raise MiraklReplyError(
            f"{reply.operation}: the reply contains no access_token; check token_url",
            operation=reply.operation,
            status=reply.status,
        )
    return token


def _read(reply: Reply) -> Token | None:
    try:
        body = reply.json_object()
    except MiraklReplyError:
        return None
    value, lifetime = body.get("access_token"), body.get("expires_in")
    if not isinstance(value, str) or not is_header_text(value):
        return None
    try:
        seconds = float(lifetime) if isinstance(lifetime, int | float | str) else math.nan
    except (ValueError, OverflowError):
        seconds = math.nan
    return Token(Secret(value), seconds if 0 < seconds < math.inf else DEFAULT_LIFETIME)


@dataclass(frozen=True, slots=True)
class Flight:
    """A fetch under way.

    :param mine: whether the caller must fetch it, inside :meth:`TokenStore.fetching`.
    :param landed: done when the fetch is, with the error it ended in, if any.
    """

    mine: bool
    landed: Future[MiraklError | None]
    thread: int


class TokenStore:
    """Keeps one token per account for the whole process and lets one caller at a time fetch it.

    Threads and the tasks of every event loop wait for the same fetch, and share its failure.
    """

    def __init__(self) -> None:
        self._tokens: dict[str, tuple[Secret, float]] = {}
        self._flights: dict[str, Flight] = {}
        self._lock = threading.Lock()

    def claim(
        self, credentials: ClientCredentials, *, now: float, refused: Secret | None, blocking: bool
    ) -> Secret | Flight:
        """The cached token, unless it is about to expire or Mirakl just refused it; otherwise a flight.

        :param blocking: whether the caller would block its thread while another caller fetches.
        """
        key, thread = credentials.identity, threading.get_ident()
        with self._lock:
            value, renew_at = self._tokens.get(key, (None, 0.0))
            if value is not None and value != refused and now < renew_at:
                return value
            flight = self._flights.get(key)
            # A flight of this very thread is a task of its event loop: blocking here, it would never land.
            if flight is not None and not (blocking and flight.thread == thread):
                return flight
            own = Flight(True, Future(), thread)
            own.landed.set_running_or_notify_cancel()  # one who stops waiting must not cancel it for the others
            self._flights.setdefault(key, replace(own, mine=False))
            return own

    @contextlib.contextmanager
    def fetching(self, credentials: ClientCredentials, flight: Flight) -> Iterator[None]:
        """Wrap the fetch: all waiting callers receive its result, or its error."""
        failure: MiraklError | None = None
        try:
            yield
        except MiraklError as error:
            failure = error
            raise
        finally:
            with self._lock:
                waited_for = self._flights.get(credentials.identity)
                if waited_for is not None and waited_for.landed is flight.landed:
                    del self._flights[credentials.identity]
            flight.landed.set_result(failure)

    def keep(self, credentials: ClientCredentials, token: Token, *, asked_at: float) -> Secret:
        """Keep a token and return its value."""
        renew_at = asked_at + token.lifetime - min(RENEW_BEFORE, token.lifetime / 10)
        with self._lock:
            self._tokens[credentials.identity] = (token.value, renew_at)
        return token.value

    def held(self, credentials: ClientCredentials) -> tuple[Secret, ...]:
        """The token that is kept, if any."""
        with self._lock:
            kept = self._tokens.get(credentials.identity)
        return () if kept is None else (kept[0],)

    def forget(self) -> None:
        """Drop every token."""
        with self._lock:
            self._tokens.clear()

    def after_fork(self) -> None:
        """For a forked child, where nothing finishes the parent's fetches or releases its lock."""
        self._lock = threading.Lock()
        self._flights.clear()


TOKENS = TokenStore()
"""The process's own."""
os.register_at_fork(after_in_child=TOKENS.after_fork)
