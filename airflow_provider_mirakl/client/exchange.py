"""Everything a client decides between a call and its result, as a generator that does no I/O.

The generator yields what it needs done (:class:`Send`, :class:`Wait`, :class:`NeedToken`, :class:`Parse`) and receives
the result, or has the error thrown in. The sync and the async client differ only in how they do these.
"""

from __future__ import annotations

import functools
import logging
import platform
import random
import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TypeAlias, TypeVar
from urllib.parse import urljoin

from airflow_provider_mirakl import __version__
from airflow_provider_mirakl.api.call import ANY, Body, Call, Multipart, Reply
from airflow_provider_mirakl.client.pacing import Pacer
from airflow_provider_mirakl.client.replies import error_from
from airflow_provider_mirakl.client.settings import (
    ClientCredentials,
    Secret,
    Settings,
    can_be_resolved,
    origin,
)
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
SLACK = 1.0
"""Seconds by which the waits of a call may exceed its ``max_wait``."""
MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
NOT_RETRIED_SERVER_ERRORS = frozenset({501, 505})

_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")

log = logging.getLogger("airflow_provider_mirakl.client")


@dataclass(frozen=True, slots=True)
class Request:
    """A request, ready for any HTTP library. Its headers contain the key, so its repr omits them."""

    operation: str
    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: Body | None = field(default=None, repr=False)


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
    refused: Secret | None


@dataclass(frozen=True, slots=True)
class Parse:
    """Parse a reply. A large one would block an event loop.

    :param parse: does it.
    :param size: bytes of the reply.
    """

    parse: Callable[[], None] = field(repr=False)
    size: int


Effect: TypeAlias = Send | Wait | NeedToken | Parse
Exchange: TypeAlias = Generator[Effect, Reply | Secret | None, T]
Failure: TypeAlias = MiraklTransportError | MiraklApiError


def exchange(
    call: Call[T], settings: Settings, pacer: Pacer, *, clock: Callable[[], float], max_wait: float
) -> Exchange[T]:
    """Send a call and read its result. See :func:`exchange_reply` for what it may raise."""
    reply = yield from exchange_reply(call, settings, pacer, clock=clock, max_wait=max_wait)
    parsed: list[T] = []
    yield Parse(lambda: parsed.append(call.parse(reply)), len(reply.body))
    return parsed[0]


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

    The waits for an interval and for a ``Retry-After`` add up, so a call holds a worker for ``max_wait`` at most,
    however many requests it needs. The short pauses between failures are not counted.

    :raises MiraklNotYetError: the next permitted time is more than ``max_wait`` away; nothing was sent.
    :raises MiraklRateLimitError: 429 with a wait longer than what is left of ``max_wait``, or on every attempt.
    :raises MiraklApiError: any other error reply.
    :raises MiraklTransportError: no reply.
    :raises MiraklReplyError: a web page instead of data, or a redirect that must not be followed.
    """
    turn = _Turn(call, settings, pacer, clock, max_wait)
    failure: Failure | None = None
    failures = refusals = 0
    try:
        while max(failures, refusals) < settings.max_attempts:
            yield from turn.come(failure)
            outcome = yield from turn.use(_send_renewing(call, settings, stream=stream))
            pause = backoff(failures + refusals + 1)
            failure = turn.failure(outcome, pause)
            if isinstance(outcome, Reply) and failure is None:
                return _data(outcome, call)
            assert failure is not None  # noqa: S101 - anything but a reply is a failure
            if not may_retry(failure, call.operation.replay) or (said := wait_said(failure)) > turn.left:
                break
            if isinstance(failure, MiraklRateLimitError):  # nothing failed: the call waits for its time
                refusals += 1
                log.info("%s Waiting for it; try %d of %d", failure, refusals, settings.max_attempts)
                continue
            failures += 1
            log.warning("%s; try %d of %d", failure, failures, settings.max_attempts)
            if failures < settings.max_attempts:
                turn.waits(said)
                yield Wait(max(pause, said))
    finally:
        turn.end()
    raise failure or AssertionError("max_attempts is at least 1")


class _Turn:
    """A call's place in the queue of published intervals: taken once, kept until Mirakl has counted a request.

    Why a place in a queue, and not a sleep before each call: callers in many threads would all sleep until the same
    moment. And why it outlives a failed attempt: a request that never arrived was not counted, so the caller would
    lose its place, and the account a whole interval, for nothing.

    ============  ==============================  ==================================================
    state         what it means                   what leads on
    ============  ==============================  ==================================================
    no turn       no time is reserved             ``come`` takes a turn
    waiting       ``_moment`` is reserved         its time comes: ``leave``; too far away: an error
    left          ``_left_at`` is set             the outcome: counted -> spent; otherwise -> waiting
    spent         Mirakl has counted the call     the interval runs from now; ``come`` takes a new turn
    given back    ``end`` with a time reserved    the next caller moves up
    ============  ==============================  ==================================================

    401 and 429 count as not counted (:func:`_was_counted`). A 429 also moves the time of every caller that shares the
    queue, because it speaks for the account.
    """

    def __init__(
        self, call: Call[T], settings: Settings, pacer: Pacer, clock: Callable[[], float], max_wait: float
    ) -> None:
        self._call = call
        self._settings = settings
        self._pacer = pacer
        self._clock = clock
        self._max_wait = max_wait
        self._waited = 0.0
        self._interval = call.operation.interval * settings.interval_factor
        self._key = (settings.account, call.operation.code, call.paced_by)
        self._moment: float | None = None
        self._left_at: float | None = None

    @property
    def left(self) -> float:
        """Seconds that the call may still wait."""
        # A wait that ended a little early may be completed.
        return max(0.0, self._max_wait - self._waited) + (SLACK if self._waited > 0 else 0.0)

    def waits(self, seconds: float) -> None:
        """Count a wait that Mirakl asked for."""
        self._waited += seconds

    def come(self, failure: Failure | None) -> Generator[Effect, object, None]:
        """Wait for the next permitted time. If it is too far away, raise the previous failure or say when."""
        wait = self._take() if self._moment is None else 0.0
        while wait > 0 or (wait := self._leave()) > 0:
            if wait > self.left:
                raise failure or self._not_yet(wait)
            # Many tasks that poll at the same rate would fill the log with waits too short to notice.
            level = logging.INFO if wait >= 1 else logging.DEBUG
            log.log(level, "%s: waiting %.1f s for the next permitted call", self._call.operation.code, wait)
            before = self._clock()
            self.waits(wait)
            # With an interval, turns already spread the callers. Without one, all of them have the same
            # time, so add jitter.
            yield Wait(wait if self._interval > 0 else wait * random.uniform(1.0, 1.02))  # noqa: S311
            if self._clock() - before < wait / 2:
                return  # the clock was set back or stopped; the wait is over anyway
            wait = 0.0

    def use(self, steps: Exchange[Reply | MiraklTransportError]) -> Exchange[Reply | MiraklTransportError]:
        """Send. The turn is spent when sending is cancelled from outside or ends in an unusable reply."""
        try:
            return (yield from steps)
        except GeneratorExit:
            self._spend()
            raise
        except MiraklReplyError as error:
            if error.operation == self._call.operation.code:  # and not the token's
                self._spend()
            raise

    def failure(self, outcome: Reply | MiraklTransportError, pause: float) -> Failure | None:
        """Return the failure, if any, and notify the pacer if Mirakl counted the call."""
        if _was_counted(outcome):
            self._spend()
        else:
            self._come_back()
        if isinstance(outcome, MiraklTransportError):
            return outcome
        if 200 <= outcome.status < 300:
            return None
        error = self._error(outcome)
        if isinstance(error, MiraklRateLimitError):
            self._hold_off(error, pause)
        return error

    def end(self) -> None:
        """Give back an unused turn."""
        if self._moment is not None:
            self._come_back()
            self._pacer.give_back(self._key, interval=self._interval, moment=self._moment, now=self._clock())
            self._moment = None

    def _take(self) -> float:
        now = self._clock()
        wait = self._pacer.take_turn(self._key, interval=self._interval, now=now, max_wait=self.left)
        if wait <= self.left:
            self._moment = now + wait
        return wait

    def _leave(self) -> float:
        now = self._clock()
        wait = self._pacer.leave(self._key, interval=self._interval, now=now)
        self._left_at = now if wait == 0 else None
        return wait

    def _come_back(self) -> None:
        if self._left_at is not None:
            now = self._clock()
            self._pacer.come_back(self._key, interval=self._interval, left_at=self._left_at, now=now)
            self._left_at = None

    def _spend(self) -> None:
        """Mirakl may have counted the call at any time until now, so the interval runs from now."""
        self._moment = None
        if self._interval > 0:
            now = self._clock()
            self._pacer.hold(self._key, until=now + self._interval, now=now)

    def _hold_off(self, error: MiraklRateLimitError, pause: float) -> None:
        """A 429 applies to every caller of the account, not only to this one."""
        now = self._clock()
        # If Mirakl says "now" and still refuses, increase the pause.
        self._pacer.refused(self._key, until=max(error.retry_at.timestamp(), now + pause), now=now)

    def _error(self, reply: Reply) -> MiraklApiError:
        operation = self._call.operation
        return error_from(
            reply,
            method=operation.method,
            path=_shown_path(self._call),
            now=datetime.fromtimestamp(self._clock(), UTC),
            interval=self._interval,
        )

    def _not_yet(self, wait: float) -> MiraklNotYetError:
        code, moment = self._call.operation.code, datetime.fromtimestamp(self._clock() + wait, UTC)
        return MiraklNotYetError(
            f"{code}: the next permitted call is at {moment:%Y-%m-%dT%H:%M:%SZ}, in {wait:.0f} s",
            operation=code,
            retry_at=moment,
        )


def _was_counted(outcome: Reply | MiraklTransportError) -> bool:
    """Whether Mirakl may count a request: not one that never arrived, nor one refused with 401 or 429."""
    if isinstance(outcome, MiraklTransportError):
        return not outcome.surely_not_sent
    return outcome.status not in (401, 429)


def backoff(attempt: int) -> float:
    """Seconds to wait after a number of failures: doubling, jittered, never below its base."""
    base: float = min(MAX_BACKOFF, BACKOFF * 2.0 ** (attempt - 1))
    return base * random.uniform(1.0, 1.5)  # noqa: S311


def wait_said(failure: Failure) -> float:
    """Seconds that Mirakl asks to wait; 0 if it does not say."""
    return (failure.retry_after or 0.0) if isinstance(failure, MiraklApiError) else 0.0


def may_retry(failure: Failure, replay: bool) -> bool:
    """Whether a failed call may be sent again.

    Always after 429, and if the request certainly never arrived; otherwise only an operation that is harmless to
    repeat, and only where a second try may end better: after 408, 5xx or a broken connection.
    """
    if isinstance(failure, MiraklTransportError):
        return replay or failure.surely_not_sent
    if isinstance(failure, MiraklRateLimitError):
        return True
    passing = isinstance(failure, MiraklServerError) and failure.status not in NOT_RETRIED_SERVER_ERRORS
    return replay and (passing or failure.status == 408)


def _data(reply: Reply, call: Call[T]) -> Reply:
    """Refuse a web page that a proxy or a login in front of Mirakl returns instead of data.

    A document of a shop may be one; it comes with a file name.
    """
    kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_file = call.accept == ANY and "content-disposition" in reply.headers
    if kind in ("text/html", "application/xhtml+xml") and not is_file:
        raise MiraklReplyError(
            f"{reply.operation}: the {reply.status} reply is a web page, not data; check the host, and any system "
            "between here and Mirakl (a proxy, a login)",
            operation=reply.operation,
            status=reply.status,
        )
    return reply


def _send_renewing(
    call: Call[T], settings: Settings, *, stream: bool
) -> Generator[Effect, Reply | Secret | None, Reply | MiraklTransportError]:
    """Send; if Mirakl rejects the token, send once more with a new one."""
    outcome, token = yield from _send(call, settings, None, stream=stream)
    if isinstance(outcome, Reply) and outcome.status == 401 and token is not None:
        log.info("%s: Mirakl rejected the token; fetching a new one", call.operation.code)
        outcome, _ = yield from _send(call, settings, token, stream=stream)
    return outcome


def _send(
    call: Call[T], settings: Settings, refused: Secret | None, *, stream: bool
) -> Generator[Effect, Reply | Secret | None, tuple[Reply | MiraklTransportError, Secret | None]]:
    """Send once, following redirects. Returns the outcome and the token that was used.

    Credentials go only to the connection's own origin. A failure to get a token is raised, not returned: the call
    itself never left, and the token's own call has been retried already.
    """
    route = _Route(call, settings)
    for _ in range(MAX_REDIRECTS + 1):
        token = None
        if route.is_home and call.operation.authenticated and isinstance(settings.auth, ClientCredentials):
            token = yield from _need_token(settings.auth, refused)
        try:
            reply = yield Send(_request(call, settings, route, token), stream)
        except MiraklTransportError as error:
            return error, token
        assert isinstance(reply, Reply)  # noqa: S101 - what a Send is answered with
        reply = replace(
            reply,
            secrets=settings.secrets if token is None else (*settings.secrets, token),
            personal=call.operation.personal,
        )
        location = reply.headers.get("location", "") if reply.status in REDIRECTS else ""
        if not location:
            return reply, token
        route.follow(location, reply)
    code = call.operation.code
    raise MiraklReplyError(f"{code}: more than {MAX_REDIRECTS} redirects", operation=code)


class _Route:
    """The address that a call is sent to, and where redirects may lead it."""

    def __init__(self, call: Call[T], settings: Settings) -> None:
        self._operation = call.operation
        self._home = origin(settings.base_url)
        self._is_link = _ABSOLUTE.match(call.path) is not None
        # With a slash between, no path can change the host.
        self.url = call.target if self._is_link else f"{settings.base_url}/{call.target.lstrip('/')}"
        self._origin = self._check(self.url)

    @property
    def is_home(self) -> bool:
        """Whether the address is the connection's own, where its credentials may go."""
        return self._origin == self._home

    def follow(self, location: str, reply: Reply) -> None:
        """Take a redirect: reads only, and to another host only where Mirakl's own link began elsewhere anyway.

        :raises MiraklReplyError: when it must not be followed.
        """
        try:
            following = urljoin(self.url, location)
        except ValueError:
            raise self._wrong("redirects to something that is not an address") from None
        there = self._check(following)
        if self._operation.method != "GET" or (there != self._origin and not self._is_link):
            scheme, host, port = there
            at = reply.without_secrets(f"{scheme}://{host}" + ("" if port in (80, 443) else f":{port}"))
            error = self._wrong(
                f"redirects to {at}; use that address in the connection if it is your instance"
            )
            error.status = reply.status
            raise error
        self.url, self._origin = following, there

    def _check(self, url: str) -> tuple[str, str, int]:
        try:
            there = origin(url)
        except ValueError:
            there = ("", "", 0)
        if not can_be_resolved(there[1]):
            raise self._wrong("points to something that is not an address")
        if there[0] != "https" and (self._home[0] == "https" or there[0] != "http"):
            raise self._wrong(
                "points to an address that does not begin with https://; only https:// is followed"
            )
        return there

    def _wrong(self, why: str) -> MiraklReplyError:
        return MiraklReplyError(f"{self._operation.code}: Mirakl {why}", operation=self._operation.code)


def _request(call: Call[T], settings: Settings, route: _Route, token: Secret | None) -> Request:
    headers = {"Accept": call.accept, "User-Agent": user_agent(settings)}
    if call.body is not None:
        headers["Content-Type"] = (
            call.body.content_type if isinstance(call.body, Multipart) else call.content_type
        )
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    elif route.is_home and call.operation.authenticated and not isinstance(settings.auth, ClientCredentials):
        headers.update(settings.auth.headers)
    return Request(call.operation.code, call.operation.method, route.url, headers, call.body)


def _need_token(credentials: ClientCredentials, refused: Secret | None) -> Generator[Effect, object, Secret]:
    try:
        token = yield NeedToken(credentials, refused)
    except MiraklTransportError as error:
        # Whatever the result of the token's request, the call was not sent.
        raise MiraklTransportError(
            error.message, operation=error.operation, surely_not_sent=True, reason=error.reason
        ) from None
    assert isinstance(token, Secret)  # noqa: S101 - what a NeedToken is answered with
    return token


def user_agent(settings: Settings) -> str:
    """The package's name and version, then whatever the caller added, made fit for a header."""
    return _user_agent(settings.user_agent)


@functools.lru_cache(maxsize=8)
def _user_agent(added: str) -> str:
    words = f"airflow-provider-mirakl/{__version__} python/{platform.python_version()} {added}"
    return " ".join("".join(letter if "!" <= letter <= "~" else " " for letter in words).split())


def _shown_path(call: Call[T]) -> str:
    """The path without host and query, which may contain a signature."""
    path = call.path or call.operation.path
    return _ABSOLUTE.sub("", path, count=1).partition("?")[0].partition("#")[0]
