"""The sync and the async client: how to send, wait and fetch a token. What to do is decided in
:mod:`.exchange`.

The only module that imports httpx; no httpx type leaves it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic, Self, TypedDict, TypeVar
from urllib.parse import urlsplit

import httpx

from airflow_provider_mirakl.api.call import Call, Page, Reply
from airflow_provider_mirakl.client.exchange import (
    Effect,
    Exchange,
    NeedToken,
    Request,
    Wait,
    exchange,
    exchange_reply,
)
from airflow_provider_mirakl.client.pacing import PACER, Pacer
from airflow_provider_mirakl.client.settings import Settings, is_loopback
from airflow_provider_mirakl.client.tokens import TOKENS, TokenStore, fetch_token
from airflow_provider_mirakl.exceptions import (
    MiraklConfigurationError,
    MiraklReplyError,
    MiraklTransportError,
)

T = TypeVar("T")

MAX_ERROR_BODY = 64 * 1024
STREAM_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Download(Generic[T]):
    """A reply whose body is read piece by piece.

    :param reply: status and headers, without the body.
    :param chunks: the body, to be iterated once.
    """

    reply: Reply
    chunks: T


class _Shared:
    """What both clients hold, and what neither does differently."""

    def __init__(
        self, settings: Settings, pacer: Pacer, tokens: TokenStore, clock: Callable[[], float]
    ) -> None:
        self.settings = settings
        self._pacer = pacer
        self._tokens = tokens
        self._clock = clock

    def _exchange(self, call: Call[T], max_wait: float | None) -> Exchange[T]:
        limit = self.settings.max_wait if max_wait is None else max_wait
        return exchange(call, self.settings, self._pacer, clock=self._clock, max_wait=limit)

    def _exchange_stream(self, call: Call[T], max_wait: float | None) -> Exchange[Reply]:
        limit = self.settings.max_wait if max_wait is None else max_wait
        return exchange_reply(
            call, self.settings, self._pacer, clock=self._clock, max_wait=limit, stream=True
        )

    def _kept_token(self, need: NeedToken) -> str | None:
        return self._tokens.fresh(need.credentials, now=self._clock(), refused=need.refused)


class Client(_Shared):
    """Sends calls from a worker. A context manager; may be shared by threads.

    :param settings: where to and as whom.
    :param pacer: who remembers the published intervals; default the process's own.
    :param tokens: where tokens are kept; default the process's own.
    :param clock: the wall clock in seconds.
    :param on_secret: is told every token fetched, to mask it in logs.
    :param sleep: how to wait a number of seconds.
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
    ) -> None:
        super().__init__(settings, pacer, tokens, clock)
        self._on_secret = on_secret
        self._sleep = sleep
        self._http = httpx.Client(**_options(settings))

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
        :param max_wait: longest single wait in seconds, for an interval or a ``Retry-After``;
            default the settings'.
        :raises MiraklNotYetError: the next permitted moment is further away; nothing was sent.
        :raises MiraklApiError: Mirakl says no; the subclass tells what kind.
        :raises MiraklTransportError: no reply.
        :raises MiraklReplyError: a reply that cannot be read.
        """
        return self._run(self._exchange(call, max_wait), [])

    def pages(self, call: Call[Page[T]], *, max_wait: float | None = None) -> Iterator[Page[T]]:
        """Every page of a listing, one at a time.

        :raises MiraklReplyError: when a page leads back to one already seen.
        """
        walk = PageWalk(call)
        while walk.following is not None:
            yield walk.arrived(self.send(walk.following, max_wait=max_wait))

    @contextlib.contextmanager
    def stream(self, call: Call[T], *, max_wait: float | None = None) -> Iterator[Download[Iterator[bytes]]]:
        """Send a call and read its body piece by piece; the call's own parser is not used.

        Retries end where the body begins: what breaks after that raises :class:`MiraklTransportError`.
        """
        opened: list[httpx.Response] = []
        try:
            reply = self._run(self._exchange_stream(call, max_wait), opened)
            yield Download(reply, _read(opened[-1], reply.operation))
        finally:
            for response in opened:
                response.close()

    def _run(self, steps: Exchange[T], opened: list[httpx.Response]) -> T:
        try:
            effect = next(steps)
            while True:
                try:
                    result = self._perform(effect, opened)
                except MiraklTransportError as error:
                    effect = steps.throw(error)
                else:
                    effect = steps.send(result)
        except StopIteration as stop:
            value: T = stop.value
            return value

    def _perform(self, effect: Effect, opened: list[httpx.Response]) -> Reply | str | None:
        if isinstance(effect, Wait):
            self._sleep(effect.seconds)
            return None
        if isinstance(effect, NeedToken):
            return self._token(effect)
        with _transport_errors(effect.request.operation):
            response = self._http.send(_build(self._http, effect.request), stream=True)
            if effect.stream and response.is_success:
                opened.append(response)
                return _reply(effect.request, response, b"")
            with contextlib.closing(response):
                body = bytearray()
                for chunk in response.iter_bytes():
                    body += chunk
                    if not response.is_success and len(body) > MAX_ERROR_BODY:
                        break
                return _reply(effect.request, response, bytes(body))

    def _token(self, need: NeedToken) -> str:
        with self._tokens.lock(need.credentials):
            if (kept := self._kept_token(need)) is not None:
                return kept
            asked_at = self._clock()
            token = self.send(fetch_token(need.credentials))
            if self._on_secret is not None:
                self._on_secret(token.value)
            return self._tokens.keep(need.credentials, token, asked_at=asked_at)


class AsyncClient(_Shared):
    """Sends calls from a trigger, with the same decisions as :class:`Client`. An async context manager.

    :param settings: where to and as whom.
    :param pacer: who remembers the published intervals; default the process's own.
    :param tokens: where tokens are kept; default the process's own.
    :param clock: the wall clock in seconds.
    :param on_secret: is told every token fetched, to mask it in logs.
    :param sleep: how to wait a number of seconds.
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
    ) -> None:
        super().__init__(settings, pacer, tokens, clock)
        self._on_secret = on_secret
        self._sleep = sleep
        self._http = httpx.AsyncClient(**_options(settings))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(self, call: Call[T], *, max_wait: float | None = None) -> T:
        """Send a call and read its result. See :meth:`Client.send`."""
        return await self._run(self._exchange(call, max_wait), [])

    async def pages(self, call: Call[Page[T]], *, max_wait: float | None = None) -> AsyncIterator[Page[T]]:
        """Every page of a listing, one at a time. See :meth:`Client.pages`."""
        walk = PageWalk(call)
        while walk.following is not None:
            yield walk.arrived(await self.send(walk.following, max_wait=max_wait))

    @contextlib.asynccontextmanager
    async def stream(
        self, call: Call[T], *, max_wait: float | None = None
    ) -> AsyncIterator[Download[AsyncIterator[bytes]]]:
        """Send a call and read its body piece by piece. See :meth:`Client.stream`."""
        opened: list[httpx.Response] = []
        try:
            reply = await self._run(self._exchange_stream(call, max_wait), opened)
            yield Download(reply, _aread(opened[-1], reply.operation))
        finally:
            for response in opened:
                await response.aclose()

    async def _run(self, steps: Exchange[T], opened: list[httpx.Response]) -> T:
        try:
            effect = next(steps)
            while True:
                try:
                    result = await self._perform(effect, opened)
                except MiraklTransportError as error:
                    effect = steps.throw(error)
                else:
                    effect = steps.send(result)
        except StopIteration as stop:
            value: T = stop.value
            return value

    async def _perform(self, effect: Effect, opened: list[httpx.Response]) -> Reply | str | None:
        if isinstance(effect, Wait):
            await self._sleep(effect.seconds)
            return None
        if isinstance(effect, NeedToken):
            return await self._token(effect)
        with _transport_errors(effect.request.operation):
            response = await self._http.send(_build(self._http, effect.request), stream=True)
            if effect.stream and response.is_success:
                opened.append(response)
                return _reply(effect.request, response, b"")
            async with contextlib.aclosing(response):
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if not response.is_success and len(body) > MAX_ERROR_BODY:
                        break
                return _reply(effect.request, response, bytes(body))

    async def _token(self, need: NeedToken) -> str:
        async with self._tokens.loop_lock(need.credentials):
            if (kept := self._kept_token(need)) is not None:
                return kept
            asked_at = self._clock()
            token = await self.send(fetch_token(need.credentials))
            if self._on_secret is not None:
                await self._on_secret(token.value)
            return self._tokens.keep(need.credentials, token, asked_at=asked_at)


@dataclass(slots=True)
class PageWalk(Generic[T]):
    """Where a walk through pages stands. Pure, for both clients.

    :param following: the call for the next page, ``None`` at the end.
    """

    following: Call[Page[T]] | None
    _seen: set[str] = field(default_factory=set)

    def arrived(self, page: Page[T]) -> Page[T]:
        """Take note of a page and step on.

        :raises MiraklReplyError: when the next page was already seen, which would never end.
        """
        if self.following is not None:
            self._seen.add(self.following.target)
        if page.following is not None and page.following.target in self._seen:
            code = page.following.operation.code
            raise MiraklReplyError(
                f"{code}: the next page that Mirakl names was already read; the listing is not complete",
                operation=code,
            )
        self.following = page.following
        return page


class _Options(TypedDict):
    timeout: httpx.Timeout
    follow_redirects: bool
    verify: ssl.SSLContext | bool
    proxy: str | None
    trust_env: bool


def _options(settings: Settings) -> _Options:
    parts = urlsplit(settings.base_url)
    try:
        verify = ssl.create_default_context(cafile=settings.ca_bundle) if settings.ca_bundle else True
    except OSError as error:
        raise MiraklConfigurationError(
            f"ca_bundle: {settings.ca_bundle!r} cannot be read as certificates ({error})", field="ca_bundle"
        ) from None
    return _Options(
        timeout=httpx.Timeout(settings.timeout, connect=settings.connect_timeout),
        follow_redirects=False,
        verify=verify if parts.scheme == "https" else False,
        proxy=settings.proxy,
        # A proxy of the environment cannot reach this machine's own loopback.
        trust_env=not is_loopback(parts.hostname or ""),
    )


def _build(client: httpx.Client | httpx.AsyncClient, request: Request) -> httpx.Request:
    return client.build_request(
        request.method, request.url, headers=dict(request.headers), content=request.body
    )


def _reply(request: Request, response: httpx.Response, body: bytes) -> Reply:
    return Reply(request.operation, response.status_code, dict(response.headers), body)


def _read(response: httpx.Response, operation: str) -> Iterator[bytes]:
    with _transport_errors(operation):
        yield from response.iter_bytes(STREAM_CHUNK)


async def _aread(response: httpx.Response, operation: str) -> AsyncIterator[bytes]:
    with _transport_errors(operation):
        async for chunk in response.aiter_bytes(STREAM_CHUNK):
            yield chunk


_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


@contextlib.contextmanager
def _transport_errors(operation: str) -> Iterator[None]:
    """Turn httpx's errors into ours; the text of httpx's holds no header and no key."""
    try:
        yield
    except _NOT_SENT as error:
        why = "Mirakl could not be reached"
        raise MiraklTransportError(
            f"{operation}: {why} ({_say(error)})", operation=operation, surely_not_sent=True
        ) from error
    except httpx.DecodingError as error:
        raise MiraklReplyError(
            f"{operation}: the reply cannot be decoded ({_say(error)})", operation=operation
        ) from error
    except httpx.TransportError as error:
        why = "the connection broke before Mirakl's reply was complete"
        raise MiraklTransportError(
            f"{operation}: {why} ({_say(error)})", operation=operation, surely_not_sent=False
        ) from error


def _say(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
