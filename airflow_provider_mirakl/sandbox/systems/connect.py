"""Mirakl Connect: the product catalog of a company."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from itertools import islice
from typing import Any, NamedTuple

from airflow_provider_mirakl.sandbox.machine import checks, paging
from airflow_provider_mirakl.sandbox.machine.checks import Check, array, fields, nullable, number, text
from airflow_provider_mirakl.sandbox.machine.core import Machine, Part
from airflow_provider_mirakl.sandbox.machine.exchange import Exchange
from airflow_provider_mirakl.sandbox.machine.wire import JSON, ApiError, Problem, Reply, dumps, loads

PAGE = 1000
RECENT = 16
CALL = 1000

_ATTRIBUTE_VALUES: dict[str, Check] = {
    "STRING": text(0, 2000),
    "NUMERIC": number(-1_000_000_000, 1_000_000_000),
    "BOOLEAN": checks.boolean,
}


def _anything(value: Any, path: str, out: list[Problem]) -> None:
    """For a field that is checked together with another one."""


def _object(strict: bool) -> Callable[..., Check]:
    """How unknown fields are treated: they are a problem, or ignored, which means that they are not stored."""
    return partial(fields, strict=strict, drop=not strict)


@cache
def _attribute(strict: bool) -> Check:
    shape = _object(strict)(
        {
            "id": text(1, 255),
            "name": text(1, 255),
            "type": checks.one_of(*_ATTRIBUTE_VALUES),
            "value": _anything,
        },
        frozenset({"id", "name", "type", "value"}),
    )

    def check(value: Any, path: str, out: list[Problem]) -> None:
        shape(value, path, out)
        if isinstance(value, dict) and "value" in value:
            inner = _ATTRIBUTE_VALUES.get(value["type"]) if isinstance(value.get("type"), str) else None
            if inner is not None:
                inner(value["value"], f"{path}.value", out)

    return check


@cache
def product_check(strict: bool = True) -> Check:
    """The schema of a product.

    :param strict: whether unknown fields are refused.
    """

    shape = _object(strict)

    def translated(longest: int) -> Check:
        return shape({"locale": checks.locale, "value": text(0, longest)}, frozenset({"locale", "value"}))

    def price(**dates: Check) -> Check:
        money = shape({"amount": number(0), "currency": checks.currency}, frozenset({"amount", "currency"}))
        return shape({"price": money, "scope": nullable(text(0, 255)), **dates}, frozenset({"price"}))

    quantity = number(0, 1_000_000_000, whole=True)
    gtin = text(pattern="[0-9]{8}|[0-9]{12,13}", words="a GTIN of 8, 12 or 13 digits")
    url = text(pattern="https?://.*", words="a URL that starts with http:// or https://")
    category = shape({"id": nullable(text(1, 255)), "labels": array(translated(255))}, frozenset({"labels"}))
    return shape(
        {
            "id": text(1, 256),
            "titles": nullable(array(translated(255), 0, 10)),
            "descriptions": nullable(array(translated(6000), 0, 10)),
            "brand": nullable(text(0, 255)),
            "category": nullable(category),
            "gtins": array(shape({"value": gtin}, frozenset({"value"})), 0, 10),
            "images": nullable(array(shape({"url": url}, frozenset({"url"})), 0, 15)),
            "attributes": nullable(array(_attribute(strict), 0, 1000)),
            "quantities": array(
                shape(
                    {"available_quantity": quantity, "warehouse_code": text(1)},
                    frozenset({"available_quantity"}),
                ),
                1,
                20,
            ),
            "partner_quantities": array(
                shape(
                    {"available_quantity": quantity, "partner_id": text()},
                    frozenset({"available_quantity", "partner_id"}),
                ),
                1,
                20,
            ),
            "standard_prices": array(price(), 1, 10),
            "discount_prices": nullable(
                array(price(start_date=nullable(checks.date), end_date=nullable(checks.date)), 0, 10)
            ),
        },
        frozenset({"id"}),
    )


@cache
def _request_check(delete: bool, strict: bool) -> Check:
    shape = _object(strict)
    item = shape({"id": text(1, 256)}, frozenset({"id"})) if delete else product_check(strict)
    return shape({"products": array(item, 1, CALL)}, frozenset({"products"}))


class Change(NamedTuple):
    """The latest change of a product, for the page: its result, time, and changed fields."""

    result: str
    moment: float
    fields: tuple[str, ...] = ()


class Shelf:
    """The products of one company, as the bytes that listProducts will send."""

    def __init__(self) -> None:
        self.products: dict[str, bytes] = {}
        self._order: list[str] = []
        self._sorted = True
        self.changes: dict[str, Change] = {}

    def _note(self, key: str, change: Change) -> None:
        """Keep the latest changes, the newest at the end."""
        self.changes.pop(key, None)
        self.changes[key] = change
        if len(self.changes) > RECENT:
            del self.changes[next(iter(self.changes))]

    def upsert(self, patch: dict[str, Any], moment: float) -> str:
        """Create or patch a product: top-level elements replace, null erases, absent keeps."""
        key = patch["id"]
        before = self.products.get(key)
        merged = {} if before is None else loads(before)
        for name, value in patch.items():
            if value is None:
                merged.pop(name, None)
            else:
                merged[name] = value
        after = dumps(merged)
        if after == before:
            return "unchanged"
        self.products[key] = after
        old = {} if before is None else loads(before)
        changed = tuple(
            name for name in {**old, **merged} if old.get(name) != merged.get(name) and name != "id"
        )
        self._note(key, Change("created" if before is None else "updated", moment, changed))
        if before is not None:
            return "updated"
        self._order.append(key)
        self._sorted = False
        return "created"

    def put(self, key: str, body: bytes, moment: float) -> None:
        """Store a product as it is."""
        if key not in self.products:
            self._order.append(key)
            self._sorted = False
        self.products[key] = body
        self._note(key, Change("stored", moment))

    def delete(self, key: str, moment: float) -> str:
        """Remove a product, if it is there."""
        if self.products.pop(key, None) is None:
            return "absent"
        self._sorted = False
        self._note(key, Change("deleted", moment))
        return "deleted"

    def order(self) -> list[str]:
        """Ids, sorted."""
        if not self._sorted:
            if len(self._order) != len(self.products):
                self._order = list(self.products)
            self._order.sort()
            self._sorted = True
        return self._order


class ConnectCatalog(Part):
    """The catalogs of all companies, and accepted changes that are not applied yet."""

    name = "connect"

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self.shelves: dict[str, Shelf] = {}
        machine.agenda.on("connect.apply", self._apply)

    def shelf(self, account: str) -> Shelf:
        """The catalog of a company."""
        return self.shelves.setdefault(account, Shelf())

    def accept(self, account: str, entry: int, kind: str, products: list[dict[str, Any]]) -> None:
        """Plan what a 202 promised."""
        due = self._machine.clock.now() + self._machine.settings.processing_seconds
        payload = {"account": account, "entry": entry, "kind": kind, "products": products}
        self._machine.agenda.at(due, "connect.apply", payload)

    def _apply(self, payload: Any) -> None:
        shelf = self.shelf(payload["account"])
        entry = self._machine.ledger.calls.get(payload["entry"])
        delete, now = payload["kind"] == "delete", self._machine.clock.now()
        for index, product in enumerate(payload["products"]):
            result = shelf.delete(product["id"], now) if delete else shelf.upsert(product, now)
            if entry is not None:
                entry.mark(index, result)
        if entry is not None:
            entry.settled = self._machine.clock.now()

    def pending(self) -> int:
        """Products accepted and not applied yet."""
        return sum(len(payload["products"]) for payload in self._machine.agenda.pending("connect.apply"))

    def seed(self, account: str, lines: Iterable[bytes]) -> int:
        """Fill a catalog from NDJSON, checked as an upsert would be.

        :raises ValueError: at the first bad line, with its number.
        """
        check = product_check(self._machine.settings.unknown_fields == "reject")
        shelf = self.shelf(account)
        count = 0
        for line_number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            problems: list[Problem] = []
            try:
                product = loads(line)
            except ValueError as error:
                raise ValueError(f"line {line_number}: {error}") from error
            check(product, "$", problems)
            if problems:
                raise ValueError(f"line {line_number}: {problems[0].field} {problems[0].message}")
            if None in product.values():
                line = dumps({key: value for key, value in product.items() if value is not None})
            shelf.put(product["id"], line.strip(), self._machine.clock.now())
            count += 1
        return count

    def reset(self) -> None:
        """Forget all products."""
        self.shelves.clear()

    def lines(self) -> Iterator[bytes]:
        """For a restart, by company: its name, then its products."""
        for account, shelf in self.shelves.items():
            yield dumps({"account": account, "products": len(shelf.products)})
            for key in shelf.order():
                yield shelf.products[key]

    def load_lines(self, lines: Iterable[bytes]) -> None:
        """Read what :meth:`lines` wrote."""
        rest = iter(lines)
        for header in rest:
            company = loads(header)
            shelf = self.shelf(company["account"])
            for line in islice(rest, company["products"]):
                shelf.put(loads(line)["id"], line, 0.0)


def list_products(exchange: Exchange) -> Reply:
    """listProducts: sorted by id, seek pagination with tokens that carry everything."""
    cursor = paging.cursor(exchange, PAGE, PAGE)
    shelf = exchange.part(ConnectCatalog).shelf(exchange.principal.account)
    ids, tokens = cursor.window(exchange, shelf.order())
    tail = "".join(f',"{name}":"{token}"' for name, token in tokens.items()).encode()
    body = b'{"data":[' + b",".join(map(shelf.products.__getitem__, ids)) + b"]" + tail + b"}"
    return Reply(200, body, JSON)


async def _write(exchange: Exchange, kind: str) -> Reply:
    machine = exchange.machine
    document = await exchange.json()
    problems: list[Problem] = []
    _request_check(kind == "delete", machine.settings.unknown_fields == "reject")(document, "$", problems)
    products = document.get("products") if isinstance(document, dict) else None
    listed = products if isinstance(products, list) else []
    ids = [_id(product, index) for index, product in enumerate(listed)]
    if machine.settings.duplicate_ids == "reject":
        problems.extend(_duplicates(ids))
    exchange.items = len(ids)
    code = exchange.operation.code if exchange.operation else ""
    entry = machine.ledger.open(exchange.number, code, exchange.principal.account, exchange.moment, ids)
    if problems:
        _refuse(entry, problems)
        raise ApiError(
            400, f"The request contains {len(problems)} invalid value(s).", "INVALID_INPUT", problems
        )
    if exchange.fault("lost"):
        entry.mark_all("lost")
    else:
        exchange.part(ConnectCatalog).accept(exchange.principal.account, entry.key, kind, listed)
    return Reply(202)


def _id(product: Any, index: int) -> str:
    key = product.get("id") if isinstance(product, dict) else None
    return key if isinstance(key, str) else f"#{index}"


def _duplicates(ids: list[str]) -> list[Problem]:
    seen: set[str] = set()
    found = []
    for index, key in enumerate(ids):
        if key in seen:
            found.append(Problem("appears twice in the request", f"$.products[{index}].id"))
        seen.add(key)
    return found


def _refuse(entry: Any, problems: list[Problem]) -> None:
    entry.mark_all("refused")
    for problem in problems:
        prefix = "$.products["
        if problem.field.startswith(prefix):
            index = int(problem.field[len(prefix) :].partition("]")[0])
            entry.mark(index, "invalid", f"{problem.field} {problem.message}")


async def upsert_products(exchange: Exchange) -> Reply:
    """upsertProducts: a bare 202; the change can be read after the processing time."""
    return await _write(exchange, "upsert")


async def delete_products(exchange: Exchange) -> Reply:
    """deleteProducts: DELETE with a body; unknown ids are not an error."""
    return await _write(exchange, "delete")
