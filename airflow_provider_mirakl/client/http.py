"""The sync and the async client: how to send, wait and fetch a token. What to do is decided in
:mod:`.exchange`.

The only module that imports httpx; no httpx type leaves it.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import logging
import os
import re
import socket
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Generic, Protocol, Self, TypedDict, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpx

from airflow_provider_mirakl.api.call import Call, Multipart, Operation, Page, Reply
from airflow_provider_mirakl.api.paging import PageWalk
from airflow_provider_mirakl.api.steps import drive, drive_async
from airflow_provider_mirakl.client.exchange import (
    Effect,
    Exchange,
    NeedToken,
    Parse,
    Request,
    Wait,
    exchange,
    exchange_reply,
)
from airflow_provider_mirakl.client.pacing import PACER, Pacer
from airflow_provider_mirakl.client.packing import ACCEPTED, PackingError, UnknownPackingError, Unpacker
from airflow_provider_mirakl.client.proxies import host_of, routes
from airflow_provider_mirakl.client.settings import ClientCredentials, Secret, Settings
from airflow_provider_mirakl.client.tokens import TOKENS, Flight, TokenStore, fetch_token
from airflow_provider_mirakl.client.uploads import Upload, open_upload
from airflow_provider_mirakl.exceptions import (
    MiraklConfigurationError,
    MiraklError,
    MiraklReplyError,
    MiraklTransportError,
    NoReply,
    seconds,
)

T = TypeVar("T")

MAX_ERROR_BODY = 64 * 1024
MAX_BODY = 256 * 1024 * 1024
"""A larger reply must be streamed."""
LARGE_BODY = 256 * 1024
"""A reply of more bytes is parsed in a thread by the async client."""
STREAM_CHUNK = 64 * 1024
"""A body is handled in pieces of about this size, however small those are in which it arrives."""

log = logging.getLogger("airflow_provider_mirakl.client")


@dataclass(frozen=True, slots=True)
class Download(Generic[T]):
    """A reply whose body is read piece by piece.

    :param reply: status and headers, without the body.
    :param chunks: the body, to be iterated once.
    """

    reply: Reply
    chunks: T


class Meter(Protocol):
    """Counts what a client does."""

    def replied(self, operation: str, status: int) -> None:
        """Count a reply, whatever its status."""

    def waited(self, seconds: float) -> None:
        """Note a wait inside a call."""


class _Shared:
    """The common part of both clients."""

    def __init__(
        self,
        settings: Settings,
        pacer: Pacer,
        tokens: TokenStore,
        clock: Callable[[], float],
        meter: Meter | None,
    ) -> None:
        settings.check()
        self._meter = meter
        self.settings = settings
        self._pacer = pacer
        self._tokens = tokens
        self._clock = clock
        self.clock_offset: float | None = None
        """Seconds that the clock of the server is ahead of this machine's, by the ``Date`` of its last reply."""

    @property
    def seconds_ahead(self) -> float:
        """Seconds by which this machine's clock is certainly ahead of the server's, which sends whole seconds. 0 if it
        is not ahead, or if no reply has shown it."""
        return max(0.0, -1.0 - (self.clock_offset or 0.0))

    def _note(self, request: Request, response: httpx.Response) -> None:
        """Count a reply, and learn the server's clock. The reply of another server, such as a token, is ignored."""
        if self._meter is not None:
            self._meter.replied(request.operation, response.status_code)
        sent = response.headers.get("date")
        if sent is None or not request.url.startswith(self.settings.base_url):
            return
        with contextlib.suppress(ValueError, TypeError):
            self.clock_offset = parsedate_to_datetime(sent).timestamp() - self._clock()

    def _waiting(self, seconds: float) -> None:
        if self._meter is not None:
            self._meter.waited(seconds)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no message may show: the credentials, and the token in use."""
        auth = self.settings.auth
        held = self._tokens.held(auth) if isinstance(auth, ClientCredentials) else ()
        return (*self.settings.secrets, *held)

    def next_permitted(self, operation: Operation, paced_by: str = "") -> float:
        """Seconds until the next call of an operation is permitted, as far as this process knows.

        :param paced_by: as in :class:`~airflow_provider_mirakl.api.call.Call`.
        """
        key = (self.settings.account, operation.code, paced_by)
        return self._pacer.wait(key, now=self._clock())

    def _exchange(self, call: Call[T], max_wait: float | None) -> Exchange[T]:
        limit = self.settings.max_wait if max_wait is None else max_wait
        return exchange(call, self.settings, self._pacer, clock=self._clock, max_wait=limit)

    def _exchange_reply(
        self, call: Call[T], max_wait: float | None, *, stream: bool = False
    ) -> Exchange[Reply]:
        limit = self.settings.max_wait if max_wait is None else max_wait
        return exchange_reply(
            call, self.settings, self._pacer, clock=self._clock, max_wait=limit, stream=stream
        )

    def _claim(self, need: NeedToken, *, blocking: bool) -> Secret | Flight:
        return self._tokens.claim(
            need.credentials, now=self._clock(), refused=need.refused, blocking=blocking
        )


class Client(_Shared):
    """Sends calls from a worker. A context manager; may be shared by threads.

    :param settings: where to and as whom.
    :param pacer: who remembers the published intervals; default the process's own.
    :param tokens: where tokens are kept; default the process's own.
    :param clock: the wall clock in seconds.
    :param on_secret: called with every token fetched, to mask it in logs.
    :param sleep: how to wait a number of seconds.
    :param meter: counts calls and waits.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        pacer: Pacer = PACER,
        tokens: TokenStore = TOKENS,
        clock: Callable[[], float] = time.time,
        on_secret: Callable[[str], None] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        meter: Meter | None = None,
    ) -> None:
        super().__init__(settings, pacer, tokens, clock, meter)
        self._on_secret = on_secret
        self._sleep = sleep
        options = _options(settings)
        self._http = httpx.Client(**options, mounts=_mounts(settings, options, httpx.HTTPTransport))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(self, call: Call[T], *, max_wait: float | None = None) -> T:
        """Send a call and read its result.

        :param call: what to send.
        :param max_wait: seconds that the call may wait in all, for an interval and a ``Retry-After``;
            default the settings'.
        :raises MiraklNotYetError: the next permitted time is further away; nothing was sent.
        :raises MiraklApiError: an error reply; the subclass depends on the status.
        :raises MiraklTransportError: no reply.
        :raises MiraklReplyError: a reply that cannot be read.
        """
        return drive(self._exchange(call, max_wait), functools.partial(self._perform, opened=[]))

    def pages(
        self, call: Call[Page[T]], *, max_wait: float | None = None, later: float | None = None
    ) -> Iterator[Page[T]]:
        """Every page of a listing, one at a time.

        :param max_wait: seconds that the call of a page may wait, as for :meth:`send`.
        :param later: the same for the pages after the first, if it differs. A reading that stops between two pages must
            begin again, so they may be worth a longer wait.
        :raises MiraklReplyError: when a page leads back to one already seen.
        """
        walk = PageWalk(call)
        while walk.following is not None:
            yield walk.arrived(self.send(walk.following, max_wait=max_wait))
            max_wait = max_wait if later is None else later

    @contextlib.contextmanager
    def stream(self, call: Call[T], *, max_wait: float | None = None) -> Iterator[Download[Iterator[bytes]]]:
        """Send a call and read its body piece by piece; the call's own parser is not used.

        Retries end where the body begins: what breaks after that raises :class:`MiraklTransportError`.
        """
        opened: list[httpx.Response] = []
        try:
            reply = drive(
                self._exchange_reply(call, max_wait, stream=True),
                functools.partial(self._perform, opened=opened),
            )
            yield Download(reply, _read(opened[-1], reply.operation, self.settings))
        finally:
            for response in opened:
                response.close()

    def token(self, refused: str | None = None) -> str:
        """An access token for the connection's client credentials, cached or fetched, for use with another HTTP client.

        :param refused: the token that was just refused with 401; another one is fetched in its place.
        :raises MiraklConfigurationError: the connection has no client credentials.
        :raises MiraklError: as :meth:`send`.
        """
        auth = self.settings.auth
        if not isinstance(auth, ClientCredentials):
            raise MiraklConfigurationError(
                "auth: only client credentials are exchanged for tokens", field="auth"
            )
        return str(self._token(NeedToken(auth, None if refused is None else Secret(refused))))

    def _perform(self, effect: Effect, opened: list[httpx.Response]) -> Reply | Secret | None:
        if isinstance(effect, Wait):
            self._waiting(effect.seconds)
            self._sleep(effect.seconds)
            return None
        if isinstance(effect, Parse):
            effect.parse()
            return None
        if isinstance(effect, NeedToken):
            return self._token(effect)
        response = self._send(effect.request)
        self._note(effect.request, response)
        if effect.stream and response.is_success:
            opened.append(response)
            return _reply(effect.request, response, b"")
        with contextlib.closing(response):
            body, operation = bytearray(), effect.request.operation
            with _reading(response):
                for piece in _read(response, operation, self.settings):
                    body += piece
                    if _is_enough(response, body, operation):
                        break
            return _reply(effect.request, response, bytes(body))

    def _send(self, request: Request) -> httpx.Response:
        with _quietly(), _transport_errors(request.operation), _body(request) as (content, headers):
            return self._http.send(_build(self._http, request, content, headers), stream=True)

    def _token(self, need: NeedToken) -> Secret:
        while isinstance(claim := self._claim(need, blocking=True), Flight):
            if not claim.mine:
                _raise_again(claim.landed.result())
                continue
            with self._tokens.fetching(need.credentials, claim):
                asked_at = self._clock()
                token = self.send(fetch_token(need.credentials))
                if self._on_secret is not None:
                    self._on_secret(str(token.value))
                return self._tokens.keep(need.credentials, token, asked_at=asked_at)
        return claim


class AsyncClient(_Shared):
    """Sends calls from a trigger, with the same decisions as :class:`Client`. An async context manager.

    :param settings: where to and as whom.
    :param pacer: who remembers the published intervals; default the process's own.
    :param tokens: where tokens are kept; default the process's own.
    :param clock: the wall clock in seconds.
    :param on_secret: called with every token fetched, to mask it in logs.
    :param sleep: how to wait a number of seconds.
    :param meter: counts calls and waits.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        pacer: Pacer = PACER,
        tokens: TokenStore = TOKENS,
        clock: Callable[[], float] = time.time,
        on_secret: Callable[[str], Awaitable[None]] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        meter: Meter | None = None,
    ) -> None:
        super().__init__(settings, pacer, tokens, clock, meter)
        self._on_secret = on_secret
        self._sleep = sleep
        options = _options(settings)
        self._http = httpx.AsyncClient(**options, mounts=_mounts(settings, options, httpx.AsyncHTTPTransport))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(self, call: Call[T], *, max_wait: float | None = None) -> T:
        """Send a call and read its result. See :meth:`Client.send`."""
        return await drive_async(self._exchange(call, max_wait), functools.partial(self._perform, opened=[]))

    async def pages(
        self, call: Call[Page[T]], *, max_wait: float | None = None, later: float | None = None
    ) -> AsyncIterator[Page[T]]:
        """Every page of a listing, one at a time. See :meth:`Client.pages`."""
        walk = PageWalk(call)
        while walk.following is not None:
            yield walk.arrived(await self.send(walk.following, max_wait=max_wait))
            max_wait = max_wait if later is None else later

    @contextlib.asynccontextmanager
    async def stream(
        self, call: Call[T], *, max_wait: float | None = None
    ) -> AsyncIterator[Download[AsyncIterator[bytes]]]:
        """Send a call and read its body piece by piece. See :meth:`Client.stream`."""
        opened: list[httpx.Response] = []
        try:
            reply = await drive_async(
                self._exchange_reply(call, max_wait, stream=True),
                functools.partial(self._perform, opened=opened),
            )
            async with contextlib.aclosing(_aread(opened[-1], reply.operation, self.settings)) as chunks:
                yield Download(reply, chunks)
        finally:
            for response in opened:
                await response.aclose()

    async def _perform(self, effect: Effect, opened: list[httpx.Response]) -> Reply | Secret | None:
        if isinstance(effect, Wait):
            self._waiting(effect.seconds)
            await self._sleep(effect.seconds)
            return None
        if isinstance(effect, Parse):
            if effect.size > LARGE_BODY:
                await asyncio.to_thread(effect.parse)
            else:
                effect.parse()
            return None
        if isinstance(effect, NeedToken):
            return await self._token(effect)
        response = await self._send(effect.request)
        self._note(effect.request, response)
        if effect.stream and response.is_success:
            opened.append(response)
            return _reply(effect.request, response, b"")
        async with contextlib.aclosing(response):
            body, operation = bytearray(), effect.request.operation
            with _reading(response):
                async with contextlib.aclosing(_aread(response, operation, self.settings)) as pieces:
                    async for piece in pieces:
                        body += piece
                        if _is_enough(response, body, operation):
                            break
            return _reply(effect.request, response, bytes(body))

    async def _send(self, request: Request) -> httpx.Response:
        with contextlib.ExitStack() as files, _quietly(), _transport_errors(request.operation):
            body = _body(request)
            if isinstance(request.body, Multipart):
                # Opening a file may take a while, on an object storage above all.
                content, headers = await asyncio.to_thread(files.enter_context, body)
            else:
                content, headers = files.enter_context(body)
            pieces = _threaded(content) if isinstance(content, Upload) else content
            return await self._http.send(_build(self._http, request, pieces, headers), stream=True)

    async def _token(self, need: NeedToken) -> Secret:
        while isinstance(claim := self._claim(need, blocking=False), Flight):
            if not claim.mine:
                _raise_again(await asyncio.wrap_future(claim.landed))
                continue
            with self._tokens.fetching(need.credentials, claim):
                asked_at = self._clock()
                token = await self.send(fetch_token(need.credentials))
                if self._on_secret is not None:
                    await self._on_secret(str(token.value))
                return self._tokens.keep(need.credentials, token, asked_at=asked_at)
        return claim


class _Options(TypedDict):
    timeout: httpx.Timeout
    follow_redirects: bool
    headers: dict[str, str]
    cookies: CookieJar
    verify: ssl.SSLContext
    trust_env: bool


def _options(settings: Settings) -> _Options:
    return _Options(
        timeout=httpx.Timeout(settings.timeout, connect=settings.connect_timeout),
        follow_redirects=False,
        headers={"Accept-Encoding": ACCEPTED},
        # Calls are independent: no session, no affinity to one server behind a load balancer.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        verify=_trust(settings.ca_bundle),
        # Read the environment here: httpx does not support every NO_PROXY and every certificate.
        trust_env=False,
    )


def _mounts(settings: Settings, options: _Options, transport: Callable[..., T]) -> dict[str, T | None]:
    """Which addresses are reached through a proxy. One of the connection leads everywhere."""
    token_url = settings.auth.token_url if isinstance(settings.auth, ClientCredentials) else ""
    hosts = sorted({host for address in (settings.base_url, token_url) if (host := host_of(address))})
    addresses: dict[str, str | None] = (
        {"all://": settings.proxy} if settings.proxy else routes(getproxies(), hosts)
    )
    mounts: dict[str, T | None] = {}
    for pattern, address in addresses.items():
        where = "proxy of the connection" if settings.proxy else f"{pattern[:-3].upper()}_PROXY"
        mounts[pattern] = None if address is None else _through(address, where, options["verify"], transport)
    return mounts


def _through(address: str, where: str, trust: ssl.SSLContext, transport: Callable[..., T]) -> T:
    """The transport through a proxy. Errors do not repeat the setting, since it may contain a password."""
    try:
        # The trust settings for a proxy reached over TLS are those for Mirakl; httpx rejects them for any other proxy.
        proxy = httpx.Proxy(address, ssl_context=trust if urlsplit(address).scheme == "https" else None)
        return transport(verify=trust, proxy=proxy)
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        why = (
            "needs the package socksio" if isinstance(error, ImportError) else "is not an address of a proxy"
        )
        raise MiraklConfigurationError(
            f"proxy: {where} {why}; set one such as http://proxy:3128", field="proxy"
        ) from None


def _trust(ca_bundle: str | None) -> ssl.SSLContext:
    try:
        if ca_bundle:
            return ssl.create_default_context(cafile=ca_bundle)
        return _default_trust(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
    except (OSError, ValueError) as error:
        name, value = (
            ("ca_bundle", ca_bundle) if ca_bundle else ("SSL_CERT_FILE", os.environ.get("SSL_CERT_FILE"))
        )
        raise MiraklConfigurationError(
            f"{name}: {value!r} cannot be read as certificates ({error})", field="ca_bundle"
        ) from None


@functools.lru_cache(maxsize=4)
def _default_trust(cert_file: str | None, cert_dir: str | None) -> ssl.SSLContext:
    """Made once per process and environment: it takes 40 ms, too long for an event loop with many triggers."""
    return httpx.create_ssl_context()


def _build(
    client: httpx.Client | httpx.AsyncClient,
    request: Request,
    content: bytes | Upload | AsyncIterator[bytes] | None,
    headers: dict[str, str],
) -> httpx.Request:
    try:
        return client.build_request(
            request.method, request.url, headers={**request.headers, **headers}, content=content
        )
    except UnicodeError as error:  # "xn--" followed by invalid Punycode
        raise httpx.InvalidURL(str(error)) from None


@contextlib.contextmanager
def _body(request: Request) -> Iterator[tuple[bytes | Upload | None, dict[str, str]]]:
    """What to send as the body, and the headers it adds."""
    if not isinstance(request.body, Multipart):
        yield request.body, {}
        return
    with open_upload(request.body) as upload:
        yield upload, {} if upload.length is None else {"Content-Length": str(upload.length)}


async def _threaded(upload: Upload) -> AsyncIterator[bytes]:
    """Read files without stopping the event loop."""
    pieces = iter(upload)
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        yield piece


def _reply(request: Request, response: httpx.Response, body: bytes) -> Reply:
    headers = {name.lower(): value for name, value in response.headers.items()}
    log.debug("%s: %s answered %d", request.operation, request.method, response.status_code)
    return Reply(request.operation, response.status_code, headers, body)


def _is_enough(response: httpx.Response, body: bytearray, operation: str) -> bool:
    """Whether a body was read far enough: of an error its start will do.

    :raises MiraklReplyError: for a reply too large to be held in memory.
    """
    if not response.is_success:
        return len(body) > MAX_ERROR_BODY
    if len(body) > MAX_BODY:
        raise MiraklReplyError(
            f"{operation}: the reply is larger than {MAX_BODY:,} bytes; read it as a stream",
            operation=operation,
            status=response.status_code,
        )
    return False


def _raise_again(error: MiraklError | None) -> None:
    """The failure of a fetch that others waited for, as a copy for each of them."""
    if error is not None:
        raise copy.copy(error)


class _Intake:
    """A body as it arrives: gathered into pieces, unpacked, and given up when it arrives too slowly.

    The timeout of the HTTP library starts over with every byte, so a server that sends one now and then would be waited
    for without end. Only time spent waiting counts: the user of the pieces may take as long as it likes.
    """

    def __init__(self, response: httpx.Response, operation: str, settings: Settings) -> None:
        self._unpacker = Unpacker(response.headers.get("content-encoding", ""))
        self._operation = operation
        self._grace = settings.timeout
        self._rate = settings.min_rate
        self._waited = 0.0
        self._arrived = 0
        self._held = bytearray()
        self.ended = False

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """While the server is waited for."""
        began = _now()
        with _quietly():
            yield
        self._waited += _now() - began

    def took(self, data: bytes | None) -> Iterator[bytes]:
        """What can be handed on now.

        :param data: what has arrived; ``None`` at the end.
        :raises MiraklTransportError: it arrives too slowly.
        """
        self.ended = data is None
        self._held += data or b""
        self._arrived += len(data or b"")
        if not self.ended and self._rate * (self._waited - self._grace) > self._arrived:
            raise MiraklTransportError(
                f"{self._operation}: the reply arrives too slowly: {self._arrived:,} bytes in {seconds(self._waited)}. "
                f"Once it was waited for as long as the timeout of the connection ({seconds(self._grace)}), it must "
                f"arrive at {self._rate:,.0f} bytes per second (min_rate); for a server as slow as this, set a longer "
                "timeout",
                operation=self._operation,
                surely_not_sent=False,
                reason="timeout",
            )
        if self.ended or len(self._held) >= STREAM_CHUNK:
            gathered, self._held = bytes(self._held), bytearray()
            yield from self._unpacker.feed(gathered)
        if self.ended:
            self._unpacker.end()


def _read(response: httpx.Response, operation: str, settings: Settings) -> Iterator[bytes]:
    with _transport_errors(operation):
        intake, raw = _Intake(response, operation, settings), response.iter_raw()
        while not intake.ended:
            with intake.waiting():
                data = next(raw, None)
            yield from intake.took(data)


async def _aread(response: httpx.Response, operation: str, settings: Settings) -> AsyncGenerator[bytes, None]:
    with _transport_errors(operation):
        intake, raw = _Intake(response, operation, settings), response.aiter_raw()
        while not intake.ended:
            with intake.waiting():
                data = await anext(raw, None)
            for piece in intake.took(data):
                yield piece


_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


@contextlib.contextmanager
def _reading(response: httpx.Response) -> Iterator[None]:
    """While a body is read. For an error reply a partial or missing body is enough: its status suffices."""
    try:
        yield
    except (MiraklTransportError, MiraklReplyError):
        if response.is_success:
            raise


@contextlib.contextmanager
def _transport_errors(operation: str) -> Iterator[None]:
    """Turn httpx's errors into ours.

    They are not chained: they contain the request, which contains the key.
    """
    try:
        yield
    except httpx.InvalidURL:
        raise MiraklReplyError(
            f"{operation}: the address does not exist; check the host of the connection, or the link from Mirakl",
            operation=operation,
        ) from None
    except httpx.LocalProtocolError:
        # Its text may quote a header.
        raise MiraklTransportError(
            f"{operation}: the request cannot be sent as it is", operation=operation, surely_not_sent=False
        ) from None
    except _NOT_SENT as error:
        raise MiraklTransportError(
            f"{operation}: Mirakl could not be reached ({_say(error)}); check host, port and proxy of the connection",
            operation=operation,
            surely_not_sent=True,
            reason=_reason(error),
        ) from None
    except UnknownPackingError as error:
        raise MiraklReplyError(
            f"{operation}: the reply cannot be read: it is {error}. Check what is between here and Mirakl, such as a "
            "proxy that compresses replies",
            operation=operation,
        ) from None
    except (httpx.TransportError, PackingError) as error:
        raise MiraklTransportError(
            f"{operation}: the connection broke before Mirakl's reply was complete ({_say(error)})",
            operation=operation,
            surely_not_sent=False,
            reason=_reason(error),
        ) from None


_REASONS: tuple[tuple[type[BaseException], NoReply], ...] = (
    (ssl.SSLCertVerificationError, "certificate"),
    (httpx.ProxyError, "proxy"),
    (socket.gaierror, "unknown_host"),
    (ConnectionRefusedError, "refused"),
    (httpx.TimeoutException, "timeout"),
    (TimeoutError, "timeout"),
)
_NO_HTTPS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")
"""OpenSSL's reasons when a server answers without encryption."""


def _reason(error: BaseException) -> NoReply | None:
    """Why no reply came: httpx's error, or one that it was raised from, shows it."""
    causes, waiting = [], [error]
    while waiting:
        cause = waiting.pop()
        causes.append(cause)
        following = (cause.__cause__, cause.__context__, *getattr(cause, "exceptions", ()))
        waiting += [one for one in following if one is not None and one not in causes]
    if any(isinstance(cause, ssl.SSLError) and cause.reason in _NO_HTTPS for cause in causes):
        return "no_https"
    return next((reason for kind, reason in _REASONS if any(isinstance(one, kind) for one in causes)), None)


def _say(error: Exception) -> str:
    """The error in our own words or those of the system, never in the server's: it may repeat what it was sent.

    A proxy repeats its password in the reason of a 407, and the HTTP library quotes whatever is not HTTP.
    """
    name = type(error).__name__
    if isinstance(error, httpx.ProxyError):
        status = _STATUS.match(str(error))
        return f"{name}: the proxy answered {status[0]}" if status else f"{name}: the proxy refused"
    if isinstance(error, PackingError):
        return f"{name}: {error}"
    if isinstance(error, httpx.RemoteProtocolError):
        return f"{name}: the server closed the connection too early, or its reply is not HTTP"
    reason: BaseException | None = error
    while reason is not None and not (isinstance(reason, OSError) and str(reason)):
        reason = reason.__cause__ or reason.__context__
    return name if reason is None else f"{name}: {reason}"


_STATUS = re.compile(r"[1-9][0-9]{2}\b")
_now = time.monotonic

_QUIET: ContextVar[bool] = ContextVar("mirakl_quiet", default=False)
_HARMLESS = ("connect_", "start_tls", "close")
"""What the HTTP library logs about connections. Its other records hold an address, headers, or bytes of a reply."""


def _is_shown(record: logging.LogRecord) -> bool:
    """Whether the HTTP library may log this: of our own calls nothing that was sent or received.

    An address with its query is as good as a key where it is a link that Mirakl hands out, and a server may repeat
    a key in a header.
    """
    return not _QUIET.get() or record.getMessage().startswith(_HARMLESS)


for _name in ("httpx", *(f"httpcore.{part}" for part in ("connection", "http11", "http2", "proxy", "socks"))):
    logging.getLogger(_name).addFilter(_is_shown)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    before = _QUIET.set(True)
    try:
        yield
    finally:
        _QUIET.reset(before)
