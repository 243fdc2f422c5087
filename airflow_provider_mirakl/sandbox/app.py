"""The ASGI application: every call of the four systems takes the same way through here."""

from __future__ import annotations

import inspect
import logging
import time
from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect, Request

from airflow_provider_mirakl.sandbox.control import control_app
from airflow_provider_mirakl.sandbox.machine import strike
from airflow_provider_mirakl.sandbox.machine.exchange import Exchange, Operation
from airflow_provider_mirakl.sandbox.machine.routing import Routes
from airflow_provider_mirakl.sandbox.machine.wire import JSON, ApiError, Reply, System, error_reply
from airflow_provider_mirakl.sandbox.operations import OPERATIONS
from airflow_provider_mirakl.sandbox.systems.shops import chosen_shop

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from airflow_provider_mirakl.sandbox.world import World

log = logging.getLogger(__name__)

SYSTEMS: dict[str, System] = {"connect": "connect", "mirakl": "mirakl", "auth": "auth", "djust": "djust"}


class SandboxApp:
    """The four systems by their prefixes; everything else is the control API and the page."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._routes = Routes(OPERATIONS, world.settings.trailing_slash)
        self._control = control_app(world)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.world.agenda.settle()
            prefix, _, rest = scope["path"][1:].partition("/")
            system = SYSTEMS.get(prefix)
            if system is not None:
                await self._serve(system, f"/{rest}", scope, receive, send)
                return
        await self._control(scope, receive, send)

    async def _serve(self, system: System, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        world = self.world
        started = time.perf_counter()
        request = Request(scope, receive)
        exchange = Exchange(world, request, system, path, world.journal.number(), world.clock.now())
        missing: ApiError | None = None
        try:
            exchange.operation, exchange.params = self._routes.find(system, scope["method"], path)
        except ApiError as error:
            missing = error
        code = exchange.operation.code if exchange.operation else ""
        exchange.faults = world.faults.pick(code, scope["method"], path)
        try:
            reply = await strike.before(exchange) if exchange.faults else None
            if reply is None:
                if exchange.faults:
                    world.agenda.settle()  # time may have passed
                reply = self._refuse(exchange, missing) if missing else await self._answer(exchange)
                if exchange.faults:
                    reply = strike.alter(exchange, reply)
        except ClientDisconnect:
            reply = Reply(499)
        except strike.Reset:
            reply = Reply(0)
        self._note(exchange, reply, started)
        if reply.status == 0:
            await strike.abort(send)
        elif reply.status != 499:
            await strike.send(exchange, reply, send)

    async def _answer(self, exchange: Exchange) -> Reply:
        operation = exchange.operation
        assert operation is not None  # noqa: S101 - _serve found it
        try:
            self._admit(exchange, operation)
            result = operation.handler(exchange)
            return await result if inspect.isawaitable(result) else result
        except ApiError as error:
            if error.status == 400 and exchange.undo_limit and not self.world.settings.refused_calls_count:
                exchange.undo_limit()
            return self._refuse(exchange, error)
        except ClientDisconnect:
            raise
        except Exception:
            log.exception("%s failed inside the sandbox", operation.code)
            return self._refuse(exchange, ApiError(500, "The sandbox failed; see its log."))

    def _refuse(self, exchange: Exchange, error: ApiError) -> Reply:
        exchange.reason = error.message
        return error_reply(exchange.system, error, plain=self.world.settings.oauth_errors == "plain")

    def _admit(self, exchange: Exchange, operation: Operation) -> None:
        headers = exchange.request.headers
        exchange.principal = self.world.gate.admit(exchange, operation)
        if exchange.principal.role == "shop":
            exchange.shop = chosen_shop(exchange)
        if operation.consumes and not _consumed(headers.get("content-type", ""), operation.consumes):
            raise ApiError(415, f"Content-Type must be {' or '.join(operation.consumes)}.")
        # A client that asks for JSON with every call gets its files all the same: an error would be JSON.
        if not _produced(headers.get("accept", "*/*"), (*operation.produces, JSON)):
            raise ApiError(406, f"Only {', '.join(operation.produces)} is available here.")
        limited = operation.interval > 0 or operation.code in self.world.settings.intervals
        if limited and operation.per != "handler":
            self._count(exchange, operation)

    def _count(self, exchange: Exchange, operation: Operation) -> None:
        """Connect's pages may or may not count; everything else does."""
        settings = self.world.settings
        is_page = operation.system == "connect" and "page_token" in exchange.query
        if is_page and not settings.pages_count:
            return
        resource = ""
        if operation.per == "resource":
            resource = self.world.journal.clean(f"{exchange.path}?{exchange.request.url.query}")
        exchange.take(operation.interval, resource)

    def _note(self, exchange: Exchange, reply: Reply, started: float) -> None:
        journal = self.world.journal
        scope = exchange.request.scope
        entry: dict[str, Any] = {
            "number": exchange.number,
            "moment": round(exchange.moment, 3),
            "time": self.world.clock.iso(exchange.moment),
            "system": exchange.system,
            "operation": exchange.operation.code if exchange.operation else "",
            "method": scope["method"],
            "path": journal.clean(exchange.path),
            "query": journal.clean(scope["query_string"].decode("latin-1")),
            "status": reply.status,
            "role": exchange.principal.role,
            "account": exchange.principal.account,
            "shop": exchange.shop,
            "items": exchange.items,
            "bytes": len(reply.body),
            "milliseconds": round((time.perf_counter() - started) * 1000, 2),
        }
        if "Retry-After" in reply.headers:
            entry["retry_after"] = reply.headers["Retry-After"]
        if exchange.faults:
            entry["faults"] = [fault.kind for fault in exchange.faults]
        if exchange.reason:
            entry["reason"] = journal.clean(exchange.reason)[:200]
        journal.add(entry)


def _consumed(content_type: str, consumes: tuple[str, ...]) -> bool:
    return content_type.partition(";")[0].strip().lower() in consumes


def _produced(accept: str, produces: tuple[str, ...]) -> bool:
    """JSON is welcome everywhere: clients in the field ask for it with every call, downloads of files included."""
    if accept in ("*/*", ""):
        return True
    for part in accept.split(","):
        wanted = part.partition(";")[0].strip().lower()
        if wanted == "*/*" or any(
            wanted in (offered, JSON) or (wanted.endswith("/*") and offered.startswith(wanted[:-1]))
            for offered in produces
        ):
            return True
    return False
