"""The sandbox as a server in this process."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import uvicorn

from airflow_provider_mirakl.sandbox.app import SandboxApp
from airflow_provider_mirakl.sandbox.control import fault_from
from airflow_provider_mirakl.sandbox.machine import store
from airflow_provider_mirakl.sandbox.machine.faults import Fault
from airflow_provider_mirakl.sandbox.machine.settings import Settings
from airflow_provider_mirakl.sandbox.machine.wire import dumps, loads
from airflow_provider_mirakl.sandbox.world import World

T = TypeVar("T")

LONGEST_WAIT = 120.0
"""Seconds after which a sandbox thread that has not started, answered or ended counts as broken. Far more than it
takes: a busy machine must not fail a user's tests."""


class _Server(uvicorn.Server):
    """As uvicorn's, but it ends at once when asked, not at its next tick."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.end = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ignore signals in a thread; in the main thread end cleanly, so that the state is saved."""
        if threading.current_thread() is threading.main_thread():
            loop = asyncio.get_running_loop()
            for name in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(name, self.end.set)
        yield

    async def main_loop(self) -> None:
        ticks = 0
        while not await self.on_tick(ticks) and not self.end.is_set():
            ticks = (ticks + 1) % 864000
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.end.wait(), 0.1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close everything at once: a test should not wait for calls whose answer is not read any more."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        for task in list(self.server_state.tasks):
            task.cancel()
        await asyncio.sleep(0)


class Sandbox:
    """A local Mirakl, in a thread of its own while the ``with`` block lasts.

    :param speed: simulated seconds per real second.
    :param port: 0 takes a free port.
    :param host: address to listen on.
    :param catalog: NDJSON file with the products of the first account.
    :param state: file that is read at the start, if it exists, and written now and then and at the end.
    :param ledger: file that gets the ledger as NDJSON at the end.
    :param settings: every other setting by its name in :class:`Settings`.
    """

    def __init__(
        self,
        speed: float = 1.0,
        port: int = 0,
        host: str = "127.0.0.1",
        catalog: str | Path | None = None,
        state: str | Path | None = None,
        ledger: str | Path | None = None,
        **settings: Any,
    ) -> None:
        self.settings = Settings(speed=speed, **settings)
        self.world = World(self.settings)
        self._host = host
        self._port = port
        self._state = None if state is None else Path(state)
        self._ledger = None if ledger is None else Path(ledger)
        self._socket: socket.socket | None = None
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        if self._state is not None and self._state.exists():
            store.load(self.world, self._state)
        elif catalog is not None:
            with Path(catalog).open("rb") as lines:
                self.seed(lines)

    # Addresses

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        if self._socket is None:
            raise RuntimeError("the sandbox is not running")
        return int(self._socket.getsockname()[1])

    @property
    def url(self) -> str:
        """Root of the server and the page for people."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{self.port}"  # noqa: S104

    @property
    def connect_url(self) -> str:
        """Mirakl Connect, without ``/api``."""
        return f"{self.url}/connect"

    @property
    def mirakl_url(self) -> str:
        """The instance, without ``/api``."""
        return f"{self.url}/mirakl"

    @property
    def token_url(self) -> str:
        """The token endpoint."""
        return f"{self.url}/auth/oauth/token"

    @property
    def djust_url(self) -> str:
        """DJUST, without ``/v1``."""
        return f"{self.url}/djust"

    # Life

    def bind(self) -> None:
        """Take the port.

        :raises OSError: when another process has it.
        """
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        # With the protocol named, asyncio sets TCP_NODELAY on what it accepts; without, every answer waits 40 ms.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self._host, self._port))
        except OSError:
            listener.close()
            raise
        listener.listen(2048)
        self._socket = listener

    def serve(self, ready: Callable[[], None] | None = None) -> None:
        """Serve in this thread until :meth:`stop`, SIGTERM or SIGINT (in the main thread)."""
        if self._socket is None:
            self.bind()
        config = uvicorn.Config(
            SandboxApp(self.world),
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,  # the date is that of the sandbox's own clock
            lifespan="off",
            timeout_keep_alive=75,  # as a load balancer does; paced clients keep their connection
        )

        async def run() -> None:
            self._loop = asyncio.get_running_loop()
            self._server = _Server(config)
            if ready is not None:
                self._loop.call_soon(ready)
            assert self._socket is not None  # noqa: S101 - bound above
            keeper = asyncio.create_task(self._keep())
            await self._server.serve(sockets=[self._socket])
            keeper.cancel()

        try:
            asyncio.run(run())
        finally:
            self._loop = None
            self._save()
            if self._socket is not None:
                self._socket.close()
                self._socket = None

    async def _keep(self) -> None:
        """Save now and then, so that a crash costs little; never more than a twentieth of the time."""
        pause, saved = 5.0, self.world.journal.last
        while self._state is not None:
            await asyncio.sleep(pause)
            if self.world.journal.last != saved:
                saved, started = self.world.journal.last, time.perf_counter()
                store.save(self.world, self._state)
                pause = max(5.0, 20 * (time.perf_counter() - started))

    def _save(self) -> None:
        if self._state is not None:
            store.save(self.world, self._state)
        if self._ledger is not None:
            with self._ledger.open("wb") as out:
                out.writelines(dumps(row) + b"\n" for row in self.world.ledger.rows())

    def start(self) -> Self:
        """Serve in a thread of its own; returns when calls are answered."""
        self.bind()
        ready = threading.Event()
        self._thread = threading.Thread(
            target=self.serve, args=(ready.set,), name="mirakl-sandbox", daemon=True
        )
        self._thread.start()
        if not ready.wait(LONGEST_WAIT):
            raise RuntimeError(f"the sandbox did not start within {LONGEST_WAIT:.0f} seconds")
        return self

    def stop(self) -> None:
        """End the server; open connections are closed.

        :raises RuntimeError: it does not end.
        """
        if self._server is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._server.end.set)
        if self._thread is not None:
            thread, self._thread = self._thread, None
            thread.join(LONGEST_WAIT)
            if thread.is_alive():
                raise RuntimeError(f"the sandbox did not end within {LONGEST_WAIT:.0f} seconds")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        except RuntimeError as stuck:
            if error is None:
                raise
            error.add_note(str(stuck))

    # What tests ask

    def call(self, function: Callable[[World], T]) -> T:
        """Do something with the state, in the thread that owns it."""

        def settled() -> T:
            self.world.agenda.settle()
            return function(self.world)

        loop = self._loop
        if loop is None:
            return settled()
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(settled())
            except BaseException as error:  # noqa: BLE001 - handed to the caller
                future.set_exception(error)

        loop.call_soon_threadsafe(run)
        return future.result(LONGEST_WAIT)

    def journal(self, operation: str = "") -> list[dict[str, Any]]:
        """Calls as ``/_sandbox/journal`` shows them."""
        return self.call(lambda world: world.journal.entries(operation=operation))

    def ledger(self, item: str = "", call: int = 0) -> list[dict[str, Any]]:
        """One row per item of every call that writes."""
        return self.call(lambda world: list(world.ledger.rows(item=item, call=call)))

    def products(self, account: str = "") -> list[dict[str, Any]]:
        """The Connect catalog of an account (default: the first), sorted by id."""
        account = account or self.settings.clients[0].account

        def read(world: World) -> list[dict[str, Any]]:
            shelf = world.connect.shelf(account)
            return [loads(shelf.products[key]) for key in shelf.order()]

        return self.call(read)

    def seed(self, products: Iterable[dict[str, Any] | bytes], account: str = "") -> int:
        """Put products into the Connect catalog at once, without a call.

        :raises ValueError: for a product that Connect would refuse.
        """
        account = account or self.settings.clients[0].account
        lines = (line if isinstance(line, bytes) else dumps(line) for line in products)
        return self.call(lambda world: world.connect.seed(account, lines))

    def fault(self, kind: str, operation: str = "", **rule: Any) -> Fault:
        """Order a fault; see :data:`airflow_provider_mirakl.sandbox.machine.faults.KINDS`."""
        return self.call(
            lambda world: world.faults.add(fault_from({"kind": kind, "operation": operation, **rule}))
        )

    def master_products(self) -> dict[str, dict[str, Any]]:
        """Products of the Catalog Manager by Mirakl id."""
        return self.call(
            lambda world: {key: dict(row) for key, row in world.instance.catalog.products.items()}
        )

    def arrange_master_products(self, *rows: dict[str, Any]) -> None:
        """Create or change products of the Catalog Manager: ``id`` and any field, e.g. ``synchronization``, ``stuck``.

        :raises ValueError: for an unknown field or state.
        """
        self.call(lambda world: world.instance.catalog.arrange(list(rows)))

    def place_orders(self, count: int = 1, account: str = "", **changes: Any) -> list[str]:
        """Let orders arrive in Connect now; returns their ids.

        :param changes: fields of every one of them, such as ``status``.
        """
        return self.call(lambda world: world.orders.place(count, account, **changes))

    def orders(self, account: str = "") -> dict[str, dict[str, Any]]:
        """The orders of an account (default: the first) by id."""
        account = account or self.settings.clients[0].account
        return self.call(
            lambda world: {
                key: loads(dumps(row)) for key, row in world.orders.book(account).orders.rows.items()
            }
        )

    def change_order(self, order_id: str, account: str = "", **changes: Any) -> None:
        """Change fields of an order, as a channel or a customer does.

        :raises KeyError: the order does not exist.
        """
        self.call(lambda world: world.orders.change(order_id, account, **changes))

    def request_return(self, order_id: str, account: str = "") -> str:
        """Let a customer ask to send an order back; returns the id of the return.

        :raises KeyError: the order does not exist.
        """
        return self.call(lambda world: world.orders.request_return(order_id, account))

    def returns(self, account: str = "") -> dict[str, dict[str, Any]]:
        """The returns of an account (default: the first) by id."""
        account = account or self.settings.clients[0].account
        return self.call(
            lambda world: {
                key: loads(dumps(row)) for key, row in world.orders.book(account).returns.rows.items()
            }
        )

    def add_marketplace_rows(self, kind: str, count: int = 1, shop: int = 2000, **changes: Any) -> list[str]:
        """Let rows appear in the Marketplace now; returns their ids.

        :param kind: ``orders``, ``transactions``, ``invoices``, ``returns`` or ``threads``.
        :param changes: fields that are set on every one of them, such as ``order_state``.
        """
        return self.call(lambda world: world.instance.marketplace.add(kind, count, shop=shop, **changes))

    def change_marketplace_row(self, kind: str, row_id: str, **changes: Any) -> None:
        """Change fields of a row of the Marketplace.

        :raises KeyError: the row does not exist.
        """
        self.call(lambda world: world.instance.marketplace.change(kind, row_id, **changes))

    def put_document(self, shop: int, kind: str, name: str, body: bytes) -> int:
        """Store a shop document under any name, even one that no upload would let in; returns its id."""
        return self.call(lambda world: world.instance.documents.put(shop, kind, name, body))

    def djust_clients(self, *clients: dict[str, Any]) -> list[dict[str, Any]]:
        """Replace DJUST's configurations: ``id``, ``name``, ``active``; returns them with their ids."""
        return self.call(lambda world: world.instance.djust.replace(list(clients)))

    def advance(self, seconds: float) -> None:
        """Move time forward; everything due happens, in order."""
        self.call(lambda world: world.clock.advance(seconds))
        self.call(lambda world: None)

    def reset(self) -> None:
        """Forget products, calls, limits and faults."""
        self.call(lambda world: world.reset())

    def forget_limits(self) -> None:
        """Let every operation be called at once again."""
        self.call(lambda world: world.limits.clear())

    def revoke_tokens(self) -> int:
        """End every access token; the next call with one answers 401."""
        return self.call(lambda world: world.tokens.revoke())
