"""One harness for both clients and a server that answers as badly as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

from airflow_provider_mirakl.api.call import Call, Operation, Page, Reply
from airflow_provider_mirakl.client.http import AsyncClient, Client
from airflow_provider_mirakl.client.pacing import Pacer
from airflow_provider_mirakl.client.settings import Settings, api_key
from airflow_provider_mirakl.client.tokens import TokenStore

# --- time ---------------------------------------------------------------------------------------------------


@dataclass
class FakeTime:
    """A clock that moves only during sleeps, and records every sleep."""

    moment: float = 1_800_000_000.0
    slept: list[float] = field(default_factory=list)

    def now(self) -> float:
        return self.moment

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.moment += seconds

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)
        await asyncio.sleep(0)


# --- both clients behind one face ---------------------------------------------------------------------------


class SyncFace:
    """The sync client."""

    def __init__(self, settings: Settings, time: FakeTime, **kwargs: Any) -> None:
        self._client = Client(settings, clock=time.now, sleep=time.sleep, **kwargs)

    def send(self, call: Call[Any], **kwargs: Any) -> Any:
        return self._client.send(call, **kwargs)

    def pages(self, call: Call[Page[Any]], take: int | None = None, **waits: float) -> list[Page[Any]]:
        pages = []
        for page in self._client.pages(call, **waits):
            pages.append(page)
            if len(pages) == take:
                break
        return pages

    def download(self, call: Call[Any], take: int | None = None) -> tuple[Reply, bytes]:
        """Read a body, or only its first ``take`` pieces."""
        pieces = []
        with self._client.stream(call) as download:
            if take != 0:
                for piece in download.chunks:
                    pieces.append(piece)
                    if len(pieces) == take:
                        break
        return download.reply, b"".join(pieces)

    def together(self, call: Call[Any], times: int) -> list[Any]:
        """Send a call several times at once: in threads."""
        results: list[Any] = [None] * times

        def work(place: int) -> None:
            try:
                results[place] = self._client.send(call)
            except Exception as error:  # noqa: BLE001
                results[place] = error

        threads = [threading.Thread(target=work, args=(place,)) for place in range(times)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        return results

    def close(self) -> None:
        self._client.close()


class AsyncFace:
    """The async client, in an event loop of its own."""

    def __init__(self, settings: Settings, time: FakeTime, **kwargs: Any) -> None:
        if (told := kwargs.pop("on_secret", None)) is not None:

            async def on_secret(secret: str) -> None:
                told(secret)

            kwargs["on_secret"] = on_secret
        self._runner = asyncio.Runner()
        try:
            self._client = AsyncClient(settings, clock=time.now, sleep=time.asleep, **kwargs)
        except BaseException:
            self._runner.close()
            raise

    def send(self, call: Call[Any], **kwargs: Any) -> Any:
        return self._runner.run(self._client.send(call, **kwargs))

    def pages(self, call: Call[Page[Any]], take: int | None = None, **waits: float) -> list[Page[Any]]:
        async def read() -> list[Page[Any]]:
            pages = []
            async with contextlib.aclosing(self._client.pages(call, **waits)) as walk:
                async for page in walk:
                    pages.append(page)
                    if len(pages) == take:
                        break
            return pages

        return self._runner.run(read())

    def download(self, call: Call[Any], take: int | None = None) -> tuple[Reply, bytes]:
        async def read() -> tuple[Reply, bytes]:
            pieces = []
            async with self._client.stream(call) as download:
                if take != 0:
                    async for piece in download.chunks:
                        pieces.append(piece)
                        if len(pieces) == take:
                            break
            return download.reply, b"".join(pieces)

        return self._runner.run(read())

    def together(self, call: Call[Any], times: int) -> list[Any]:
        """Send a call several times at once: in tasks."""

        async def all_of_them() -> list[Any]:
            return await asyncio.gather(
                *(self._client.send(call) for _ in range(times)), return_exceptions=True
            )

        return self._runner.run(all_of_them())

    def close(self) -> None:
        self._runner.run(self._client.close())
        self._runner.close()


@dataclass
class Bench:
    """Makes clients that share a clock, a pacer and a token store, as one process does."""

    face: type[SyncFace | AsyncFace]
    stack: contextlib.ExitStack
    time: FakeTime = field(default_factory=FakeTime)
    pacer: Pacer = field(default_factory=Pacer)
    tokens: TokenStore = field(default_factory=TokenStore)

    def client(self, base_url: str, *, on_secret: Any = None, **settings: Any) -> Any:
        settings.setdefault("auth", api_key("the-very-secret-key"))
        settings.setdefault("connect_timeout", 120.0)  # servers here share the processor with the client
        kwargs = {"on_secret": on_secret} if on_secret else {}
        face = self.face(
            Settings(base_url=base_url, **settings),
            self.time,
            pacer=self.pacer,
            tokens=self.tokens,
            **kwargs,
        )
        self.stack.callback(face.close)
        return face


@pytest.fixture(params=[SyncFace, AsyncFace], ids=["sync", "async"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Every test that asks for this runs once for ``Client`` and once for ``AsyncClient``."""
    with contextlib.ExitStack() as stack:
        yield Bench(request.param, stack)


# --- a hostile server ---------------------------------------------------------------------------------------


@dataclass
class Seen:
    """A request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    host: str = ""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


Step = Callable[[socket.socket, Seen], None]


class Hostile:
    """Serves one scripted step per request; the last one repeats.

    :param context: serve TLS with it.
    :param host: address to listen on.
    """

    def __init__(self, context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.seen: list[Seen] = []
        self.arrived = threading.Event()
        self.closed_by_client = threading.Event()
        self._steps: list[Step] = []
        self._lock = threading.Lock()
        self._context = context
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._host = f"[{host}]" if ":" in host else host
        self._listener = socket.create_server((host, 0), family=family, backlog=128)
        self.port = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"{'https' if self._context else 'http'}://{self._host}:{self.port}"

    def script(self, *steps: Step) -> None:
        with self._lock:
            self._steps = list(steps)
            self.seen.clear()

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for connection in self._open:
                connection.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ssl.SSLError):
            connection.settimeout(120)
            if self._context:
                connection = self._context.wrap_socket(connection, server_side=True)
            with self._lock:
                self._open.add(connection)
            seen = _read_request(connection, self._early)
            if seen is None:
                return
            with self._lock:
                self.seen.append(seen)
                self.arrived.set()
                step = self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]
            step(connection, seen)
        with contextlib.suppress(OSError):
            connection.close()

    def _early(self, connection: socket.socket, seen: Seen) -> bool:
        """A step marked ``early`` answers before the body is read."""
        with self._lock:
            step = self._steps[0]
        return getattr(step, "early", False)


def _read_request(connection: socket.socket, early: Callable[[socket.socket, Seen], bool]) -> Seen | None:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return None
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    seen = Seen(method, target, headers, body, headers.get("host", ""))
    if early(connection, seen):
        return seen
    if headers.get("transfer-encoding") == "chunked":
        while not body.endswith(b"0\r\n\r\n"):
            body += connection.recv(65536)
        pieces, rest = [], body
        while True:
            size, _, rest = rest.partition(b"\r\n")
            length = int(size, 16)
            if not length:
                break
            pieces.append(rest[:length])
            rest = rest[length + 2 :]
        seen.body = b"".join(pieces)
    else:
        length = int(headers.get("content-length", 0))
        parts, got = [body], len(body)
        while got < length:
            piece = connection.recv(1 << 20)
            if not piece:
                return None
            parts.append(piece)
            got += len(piece)
        seen.body = b"".join(parts)
    return seen


class Steps:
    """What a hostile server can do to a request."""

    @staticmethod
    def reply(status: int = 200, body: bytes | str | dict | list = b"", **headers: str) -> Step:
        """A proper answer. Header names: underscores become dashes."""
        content = headers.pop("content_type", None)
        if isinstance(body, dict | list):
            body, content = json.dumps(body).encode(), content or "application/json"
        if isinstance(body, str):
            body = body.encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if content:
            named["Content-Type"] = content
        named = {"Content-Length": str(len(body)), **named, "Connection": "close"}

        def step(connection: socket.socket, seen: Seen) -> None:
            lines = "".join(f"{name}: {value}\r\n" for name, value in named.items() if value is not None)
            connection.sendall(f"HTTP/1.1 {status} \r\n{lines}\r\n".encode("utf-8", "surrogateescape") + body)

        return step

    @staticmethod
    def raw(data: bytes) -> Step:
        """These very bytes, then the end."""
        return lambda connection, seen: connection.sendall(data)

    @staticmethod
    def reset(after: bytes = b"") -> Step:
        """Some bytes, then a connection reset."""

        def step(connection: socket.socket, seen: Seen) -> None:
            if after:
                connection.sendall(after)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        return step

    @staticmethod
    def silence(server: Hostile, after: bytes = b"") -> Step:
        """Some bytes, then nothing until the client hangs up."""

        def step(connection: socket.socket, seen: Seen) -> None:
            if after:
                connection.sendall(after)
            with contextlib.suppress(OSError):
                while connection.recv(65536):
                    pass
            server.closed_by_client.set()

        return step

    @staticmethod
    def endless(server: Hostile, head: bytes, piece: bytes) -> Step:
        """A body without end, until the client hangs up."""

        def step(connection: socket.socket, seen: Seen) -> None:
            try:
                connection.sendall(head)
                while True:
                    connection.sendall(piece)
            except OSError:
                server.closed_by_client.set()

        return step

    @staticmethod
    def early(step: Step) -> Step:
        """The same, before the body of the request is read."""

        def before(connection: socket.socket, seen: Seen) -> None:
            step(connection, seen)
            connection.shutdown(socket.SHUT_WR)
            with contextlib.suppress(OSError):
                while connection.recv(1 << 20):
                    pass

        before.early = True  # type: ignore[attr-defined]
        return before


@pytest.fixture
def steps() -> type[Steps]:
    return Steps


@pytest.fixture
def server() -> Iterator[Hostile]:
    hostile = Hostile()
    yield hostile
    hostile.stop()


@pytest.fixture
def other_server() -> Iterator[Hostile]:
    """Another host, as far as a client can tell."""
    hostile = Hostile()
    yield hostile
    hostile.stop()


@pytest.fixture
def make_server() -> Iterator[Callable[..., Hostile]]:
    with contextlib.ExitStack() as stack:

        def make(context: ssl.SSLContext | None = None, **where: str) -> Hostile:
            hostile = Hostile(context, **where)
            stack.callback(hostile.stop)
            return hostile

        yield make


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port without a listener, which no other process can take meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


# --- calls --------------------------------------------------------------------------------------------------

READ = Operation("T01", "GET", "/api/things", replay=True)
UPSERT = Operation("T02", "POST", "/api/things", replay=True)
IMPORT = Operation("T03", "POST", "/api/imports", replay=False)


class Calls:
    """Calls of three kinds of operation."""

    read: ClassVar[Call[Any]] = Call(READ, parse=Reply.json_object)
    upsert: ClassVar[Call[Any]] = Call(UPSERT, parse=Reply.json_object, body=b'{"things":[]}')
    imported: ClassVar[Call[Any]] = Call(IMPORT, parse=Reply.json_object, body=b'{"file":1}')

    @staticmethod
    def make(**operation: Any) -> Call[Any]:
        """A call of an operation of its own."""
        call = {
            name: operation.pop(name) for name in ("body", "path", "params", "accept") if name in operation
        }
        fields = {"code": "T04", "method": "GET", "path": "/api/things", "replay": True, **operation}
        return Call(Operation(**fields), parse=Reply.json_object, **call)


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy and no certificate setting of the machine reaches a test."""
    import os

    for name in list(os.environ):
        if re.fullmatch(r"(?i)(all|http|https|no)_proxy|ssl_cert_(file|dir)", name):
            monkeypatch.delenv(name)
