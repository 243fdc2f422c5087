"""Everything a client decides between a call and its result, as a generator that does no I/O.

The generator yields what it needs done (:class:`Send`, :class:`Wait`, :class:`NeedToken`) and is handed what
came of it. The sync and the async client differ only in how they do these three things.
"""

from __future__ import annotations

import logging
import platform
import random
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeAlias, TypeVar
from urllib.parse import urljoin, urlsplit

from airflow_provider_mirakl import __version__
from airflow_provider_mirakl.api.call import Call, Operation, Reply
from airflow_provider_mirakl.client.pacing import Pacer
from airflow_provider_mirakl.client.replies import error_from
from airflow_provider_mirakl.client.settings import ClientCredentials, Settings, origin
from airflow_provider_mirakl.exceptions import (
    MiraklApiError,
    MiraklNotYetError,
    MiraklRateLimitError,
    MiraklReplyError,
    MiraklServerError,
    MiraklTransportError,
)

T = TypeVar("T")

BACKOFF = 0.5
MAX_BACKOFF = 30.0
MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
RETRIED_SERVER_ERRORS = frozenset({500, 502, 503, 504})

log = logging.getLogger("airflow_provider_mirakl.client")


@dataclass(frozen=True, slots=True)
class Request:
    """A request, ready for any HTTP library. Its headers hold the key, so they stay out of its repr."""

    operation: str
    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Send:
    """Send this; hand back the reply, or throw :class:`MiraklTransportError` in.

    :param stream: leave a 2xx body unread, for the caller to stream.
    """

    request: Request
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait this many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class NeedToken:
    """Hand back a token for these credentials, another one than ``refused``."""

    credentials: ClientCredentials
    refused: str | None


Effect: TypeAlias = Send | Wait | NeedToken
Exchange: TypeAlias = Generator[Effect, Reply | str | None, T]


def exchange(
    call: Call[T], settings: Settings, pacer: Pacer, *, clock: Callable[[], float], max_wait: float
) -> Exchange[T]:
    """Send a call and read its result. See :func:`exchange_reply` for what it may raise."""
    reply = yield from exchange_reply(call, settings, pacer, clock=clock, max_wait=max_wait)
    return call.parse(reply)


def exchange_reply(
    call: Call[T],
    settings: Settings,
    pacer: Pacer,
    *,
    clock: Callable[[], float],
    max_wait: float,
    stream: bool = False,
) -> Exchange[Reply]:
    """Send a call until it succeeds or must not be sent again.

    :raises MiraklNotYetError: the next permitted moment is more than ``max_wait`` away; nothing was sent.
    :raises MiraklRateLimitError: 429, and Mirakl asks for more than ``max_wait``, or again and again.
    :raises MiraklApiError: any other reply that says no.
    :raises MiraklTransportError: no reply.
    """
    turn = _Turn(call.operation, settings, pacer, clock, max_wait)
    failure: MiraklTransportError | MiraklApiError | None = None
    for attempt in range(1, settings.max_attempts + 1):
        yield from turn.take(failure)
        try:
            reply = yield from _send_renewing(call, settings, stream=stream)
        except MiraklTransportError as error:
            turn.broken_off(error)
            failure = error
        else:
            turn.answered(reply)
            if 200 <= reply.status < 300:
                return reply
            now = datetime.fromtimestamp(clock(), UTC)
            failure = error_from(reply, method=call.operation.method, path=_shown_path(call), now=now)
        if attempt == settings.max_attempts or not may_retry(failure, call.operation.replay):
            break
        pause = pause_before_retry(failure, attempt, turn.interval)
        turn.put_off(failure, pause)
        if pause > max_wait:
            break
        log.warning("%s; trying again in %.1f s (%d of %d)", failure, pause, attempt, settings.max_attempts)
        if not isinstance(failure, MiraklRateLimitError):
            yield Wait(pause)
    assert failure is not None  # noqa: S101 - a loop of at least one attempt that did not return
    raise failure


@dataclass(frozen=True, slots=True)
class _Turn:
    """One operation's place in the queue of published intervals."""

    operation: Operation
    settings: Settings
    pacer: Pacer
    clock: Callable[[], float]
    max_wait: float

    @property
    def interval(self) -> float:
        return self.operation.interval * self.settings.interval_factor

    def take(self, failure: MiraklTransportError | MiraklApiError | None) -> Generator[Effect, object, None]:
        """Wait for the next permitted moment; when that is too far, raise what failed before, or say when."""
        code, now = self.operation.code, self.clock()
        wait = self.pacer.take_turn(
            self.settings.account, code, interval=self.interval, now=now, max_wait=self.max_wait
        )
        if wait > self.max_wait:
            if failure is not None:
                raise failure
            moment = datetime.fromtimestamp(now + wait, UTC)
            raise MiraklNotYetError(
                f"{code}: the next permitted call is at {moment:%Y-%m-%dT%H:%M:%SZ}, in {wait:.0f} s",
                operation=code,
                retry_at=moment,
            )
        if wait > 0:
            log.info("%s: waiting %.1f s for the next permitted call", code, wait)
            yield Wait(wait)

    def answered(self, reply: Reply) -> None:
        """Count the interval from the reply on: Mirakl may have counted the call at any moment before it."""
        if reply.status == 401:
            self.pacer.give_back(self.settings.account, self.operation.code)
        elif self.interval > 0:
            self._hold(self.interval)

    def broken_off(self, error: MiraklTransportError) -> None:
        if error.surely_not_sent:
            self.pacer.give_back(self.settings.account, self.operation.code)

    def put_off(self, failure: MiraklTransportError | MiraklApiError, pause: float) -> None:
        """A 429 holds for every caller of the account, not for this one alone."""
        if isinstance(failure, MiraklRateLimitError):
            self._hold(pause)

    def _hold(self, seconds: float) -> None:
        now = self.clock()
        self.pacer.hold(self.settings.account, self.operation.code, until=now + seconds, now=now)


def pause_before_retry(
    failure: MiraklTransportError | MiraklApiError, attempt: int, interval: float
) -> float:
    """Seconds before a failed call is tried again: what Mirakl says, else growing and jittered.

    A 429 that does not say how long is taken to mean one published interval.
    """
    backoff: float = min(MAX_BACKOFF, BACKOFF * 2.0 ** (attempt - 1)) * random.uniform(1.0, 1.5)  # noqa: S311
    said = failure.retry_after if isinstance(failure, MiraklApiError) else None
    if said is not None:
        # Many clients are told the same moment: a little jitter keeps them from coming back as one.
        return said + random.uniform(0.0, min(1.0, 0.1 * said))  # noqa: S311
    return max(backoff, interval) if isinstance(failure, MiraklRateLimitError) else backoff


def may_retry(failure: MiraklTransportError | MiraklApiError, replay: bool) -> bool:
    """Whether a failed call may be sent again: after 429 always, else where a second one does no harm."""
    if isinstance(failure, MiraklTransportError):
        return replay or failure.surely_not_sent
    if isinstance(failure, MiraklRateLimitError):
        return True
    return replay and isinstance(failure, MiraklServerError) and failure.status in RETRIED_SERVER_ERRORS


def _send_renewing(
    call: Call[T], settings: Settings, *, stream: bool
) -> Generator[Effect, Reply | str | None, Reply]:
    """Send; where Mirakl refuses the token, send once more with a new one."""
    reply, token = yield from _send(call, settings, None, stream=stream)
    if reply.status == 401 and token is not None:
        log.info("%s: Mirakl refused the token; fetching a new one", call.operation.code)
        reply, _ = yield from _send(call, settings, token, stream=stream)
    return reply


def _send(
    call: Call[T], settings: Settings, refused: str | None, *, stream: bool
) -> Generator[Effect, Reply | str | None, tuple[Reply, str | None]]:
    """Send once, following redirects; gives the reply and the token that was used.

    Credentials go to the connection's own origin alone.
    """
    operation, home = call.operation, origin(settings.base_url)
    is_link = "://" in call.path
    url = call.target if is_link else settings.base_url + call.target
    for _ in range(MAX_REDIRECTS + 1):
        if urlsplit(url).scheme != "https" and home[0] == "https":
            raise MiraklReplyError(
                f"{operation.code}: Mirakl points to an address without https", operation=operation.code
            )
        headers = {"Accept": call.accept, "User-Agent": user_agent(settings)}
        if call.body is not None:
            headers["Content-Type"] = call.content_type
        token: str | None = None
        if operation.authenticated and origin(url) == home:
            if isinstance(settings.auth, ClientCredentials):
                token = yield from _need_token(settings.auth, refused)
                headers["Authorization"] = f"Bearer {token}"
            else:
                headers.update(settings.auth.headers)
        reply: Reply = yield Send(Request(operation.code, operation.method, url, headers, call.body), stream)  # type: ignore[assignment]
        location = reply.headers.get("location", "") if reply.status in REDIRECTS else ""
        if not location:
            return reply, token
        following = urljoin(url, location)
        there = urlsplit(following)
        if operation.method != "GET" or (origin(following) != origin(url) and not is_link):
            raise MiraklReplyError(
                f"{operation.code}: Mirakl redirects to {there.scheme}://{there.netloc}; "
                "put that address into the connection if it is yours",
                operation=operation.code,
                status=reply.status,
            )
        url = following
    raise MiraklReplyError(f"{operation.code}: more than {MAX_REDIRECTS} redirects", operation=operation.code)


def _need_token(credentials: ClientCredentials, refused: str | None) -> Generator[Effect, object, str]:
    try:
        return str((yield NeedToken(credentials, refused)))
    except MiraklTransportError as error:
        # Whatever became of the token's request, the call itself never left.
        raise MiraklTransportError(error.message, operation=error.operation, surely_not_sent=True) from error


def user_agent(settings: Settings) -> str:
    """The package's name and version, then whatever the caller added."""
    words = f"airflow-provider-mirakl/{__version__} python/{platform.python_version()}"
    return f"{words} {settings.user_agent}".strip()


def _shown_path(call: Call[T]) -> str:
    """The path without a query, which may hold a signature."""
    return urlsplit(call.path or call.operation.path).path
