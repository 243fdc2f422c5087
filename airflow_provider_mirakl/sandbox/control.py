"""The control API under ``/_sandbox`` (JSON), for tests and for people in any language."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from airflow_provider_mirakl.sandbox import page
from airflow_provider_mirakl.sandbox.machine.faults import KINDS, Fault
from airflow_provider_mirakl.sandbox.machine.wire import dumps

if TYPE_CHECKING:
    from airflow_provider_mirakl.sandbox.world import World


def _number(request: Request, name: str, default: int = 0) -> int:
    text = request.query_params.get(name, "")
    return int(text) if text.isdecimal() else default


class Control:
    """One method per resource."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def status(self, request: Request) -> Response:
        """Time, totals, limits in force."""
        world = self._world
        return JSONResponse(
            {
                "clock": {
                    "moment": round(world.clock.now(), 3),
                    "time": world.clock.iso(world.clock.now()),
                    "speed": world.clock.speed,
                    "stepped": world.clock.stepped,
                },
                "products": {
                    account: len(shelf.products) for account, shelf in world.connect.shelves.items()
                },
                "pending_products": world.connect.pending(),
                "calls": world.journal.summary(),
                "ledger": world.ledger.totals(),
                "limits": world.limits.table(),
                "faults": world.faults.table(),
                "tokens": world.tokens.active(),
            }
        )

    async def journal(self, request: Request) -> Response:
        """Calls, filtered by ``operation``, ``since`` (number) and ``last``."""
        entries = self._world.journal.entries(
            operation=request.query_params.get("operation", ""),
            since=_number(request, "since"),
            last=_number(request, "last"),
        )
        return JSONResponse({"calls": entries})

    async def ledger(self, request: Request) -> Response:
        """Totals and calls; with ``call`` or ``item`` the rows."""
        ledger = self._world.ledger
        item, call = request.query_params.get("item", ""), _number(request, "call")
        if item or call:
            return JSONResponse({"rows": list(ledger.rows(item=item, call=call))})
        return JSONResponse({"totals": ledger.totals(), "calls": ledger.summaries(_number(request, "last"))})

    async def ledger_file(self, request: Request) -> Response:
        """Every item of every call as NDJSON."""
        rows = list(self._world.ledger.calls.values())
        lines = (dumps(row) + b"\n" for call in rows for row in call.rows())
        return StreamingResponse(lines, media_type="application/x-ndjson")

    async def products(self, request: Request) -> Response:
        """The Connect catalog as NDJSON (``account``; ``limit`` and ``id`` narrow it)."""
        world = self._world
        account = request.query_params.get("account") or world.settings.clients[0].account
        shelf = world.connect.shelf(account)
        wanted = request.query_params.get("id")
        if wanted is not None:
            body = shelf.products.get(wanted)
            return Response(body or b"{}", 404 if body is None else 200, media_type="application/json")
        if request.method == "POST":
            try:
                count = world.connect.seed(account, (await request.body()).splitlines())
            except ValueError as error:
                return JSONResponse({"error": str(error)}, 400)
            return JSONResponse({"seeded": count, "products": len(shelf.products)})
        order = list(shelf.order())[: _number(request, "limit", len(shelf.products))]
        lines = (shelf.products[key] + b"\n" for key in order if key in shelf.products)
        return StreamingResponse(lines, media_type="application/x-ndjson")

    async def reset(self, request: Request) -> Response:
        """Forget products, calls, limits and faults."""
        self._world.reset()
        return JSONResponse({"reset": True})

    async def clock(self, request: Request) -> Response:
        """``{"advance": seconds}`` moves time forward."""
        document = await request.json()
        try:
            self._world.clock.advance(float(document["advance"]))
        except (KeyError, TypeError, ValueError) as error:
            return JSONResponse({"error": f'send {{"advance": seconds}}: {error}'}, 400)
        self._world.agenda.settle()
        return JSONResponse({"moment": self._world.clock.now()})

    async def limits(self, request: Request) -> Response:
        """GET lists active limits, DELETE removes them."""
        if request.method == "DELETE":
            self._world.limits.clear()
        return JSONResponse({"limits": self._world.limits.table()})

    async def tokens(self, request: Request) -> Response:
        """DELETE revokes every access token."""
        return JSONResponse({"revoked": self._world.tokens.revoke()})

    async def faults(self, request: Request) -> Response:
        """GET shows the rules, POST adds one, DELETE takes all (or ``number``) back."""
        faults = self._world.faults
        if request.method == "POST":
            document = await request.json()
            try:
                fault = faults.add(fault_from(document))
            except (TypeError, ValueError) as error:
                return JSONResponse({"error": str(error), "kinds": KINDS}, 400)
            return JSONResponse({"number": fault.number}, 201)
        if request.method == "DELETE":
            number = _number(request, "number")
            if number:
                faults.remove(number)
            else:
                faults.clear()
        return JSONResponse({"faults": faults.table(), "kinds": KINDS})

    async def jobs(self, request: Request) -> Response:
        """Imports, synchronizations and exports, oldest first."""
        iso = self._world.clock.iso
        rows = [
            {
                "id": job.id,
                "kind": job.kind,
                "shop": job.shop,
                "status": job.status,
                "reason": job.reason,
                "created": iso(job.created),
                "changed": iso(job.changed),
                "files": {name: len(file.body) for name, file in job.files.items()},
            }
            for job in sorted(self._world.jobs.all.values(), key=lambda job: job.order)
        ]
        return JSONResponse({"jobs": rows})

    async def master_products(self, request: Request) -> Response:
        """GET shows the master products, POST creates or changes some (a list of objects with ``id``)."""
        catalog = self._world.instance.catalog
        if request.method == "POST":
            try:
                catalog.arrange(await request.json())
            except (KeyError, TypeError, ValueError) as error:
                return JSONResponse({"error": str(error)}, 400)
        return JSONResponse({"products": list(catalog.products.values()), "deleted": catalog.deleted})

    async def documents(self, request: Request) -> Response:
        """POST stores the body as a document of ``shop``, ``type`` and ``name`` (any name), without a question."""
        query = request.query_params
        shop = _number(request, "shop")
        if shop not in self._world.instance.shops or not query.get("type") or not query.get("name"):
            return JSONResponse({"error": "shop, type and name are required"}, 400)
        body = await request.body()
        number = self._world.instance.documents.put(shop, query["type"], query["name"], body)
        return JSONResponse({"id": number}, 201)

    async def djust_clients(self, request: Request) -> Response:
        """GET shows DJUST's configurations, PUT replaces them."""
        if request.method == "PUT":
            try:
                self._world.instance.djust.replace(await request.json())
            except ValueError as error:
                return JSONResponse({"error": str(error)}, 400)
        return JSONResponse({"clients": self._world.instance.djust_clients})

    async def page(self, request: Request) -> Response:
        """The page for people."""
        url = str(request.base_url).rstrip("/")
        return HTMLResponse(page.page(self._world, url, request.query_params.get("id", "")))

    async def fragment(self, request: Request) -> Response:
        """The parts of the page that change."""
        return HTMLResponse(page.fragment(self._world, request.query_params.get("id", "")))


_RULE = frozenset({"kind", "operation", "method", "path", "skip", "times", "probability"})


def fault_from(document: Any) -> Fault:
    """A rule from flat JSON: the rule's own fields, everything else is an option of the kind.

    :raises TypeError: when it is not an object with a ``kind``.
    :raises ValueError: for an unknown kind.
    """
    if not isinstance(document, dict) or "kind" not in document:
        raise TypeError("a rule is an object with a kind")
    rule = {name: value for name, value in document.items() if name in _RULE}
    options = {name: value for name, value in document.items() if name not in _RULE}
    return Fault(**rule, options=options)


async def _no_json(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": f"the body is not JSON: {error}"}, 400)


def control_app(world: World) -> Starlette:
    """The application behind ``/_sandbox`` and ``/``."""
    control = Control(world)
    table: tuple[tuple[str, Callable[[Request], Awaitable[Response]], list[str]], ...] = (
        ("status", control.status, ["GET"]),
        ("journal", control.journal, ["GET"]),
        ("ledger", control.ledger, ["GET"]),
        ("ledger.ndjson", control.ledger_file, ["GET"]),
        ("products", control.products, ["GET", "POST"]),
        ("page", control.fragment, ["GET"]),
        ("reset", control.reset, ["POST"]),
        ("clock", control.clock, ["POST"]),
        ("limits", control.limits, ["GET", "DELETE"]),
        ("tokens", control.tokens, ["DELETE"]),
        ("jobs", control.jobs, ["GET"]),
        ("master-products", control.master_products, ["GET", "POST"]),
        ("documents", control.documents, ["POST"]),
        ("djust-clients", control.djust_clients, ["GET", "PUT"]),
        ("faults", control.faults, ["GET", "POST", "DELETE"]),
    )
    routes = [Route(f"/_sandbox/{name}", endpoint, methods=methods) for name, endpoint, methods in table]
    return Starlette(routes=[Route("/", control.page), *routes], exception_handlers={ValueError: _no_json})
