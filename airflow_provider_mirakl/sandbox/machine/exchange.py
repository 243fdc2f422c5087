"""One call on its way through the sandbox, and the description of the operation that it calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from starlette.requests import Request

from airflow_provider_mirakl.sandbox.machine.core import Machine, Part
from airflow_provider_mirakl.sandbox.machine.faults import Fault
from airflow_provider_mirakl.sandbox.machine.values import parse_date
from airflow_provider_mirakl.sandbox.machine.wire import JSON, ApiError, Problem, Reply, System, dumps, loads

P = TypeVar("P", bound=Part)
Handler = Callable[["Exchange"], Awaitable[Reply] | Reply]
Counted = Literal["account", "resource", "handler"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls. ``account`` is what limits are counted by."""

    role: str = ""
    account: str = ""
    shops: tuple[int, ...] = ()
    scopes: frozenset[str] = frozenset()


ANONYMOUS = Principal()


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation as data.

    :param roles: who may call it; empty means that no authentication is asked for.
    :param interval: simulated seconds between two calls (published maximum frequency), 0 if none is known.
    :param per: what the interval is counted by: the account; the account with resource and query; or the
        handler counts, because the interval depends on what the call carries.
    :param consumes: accepted ``Content-Type`` values, empty if there is no body.
    :param produces: possible ``Content-Type`` values of the answer.
    :param scope: permission of the access token (Connect).
    """

    code: str
    system: System
    method: str
    path: str
    handler: Handler
    roles: frozenset[str] = frozenset()
    interval: float = 0.0
    per: Counted = "account"
    consumes: tuple[str, ...] = ()
    produces: tuple[str, ...] = (JSON,)
    scope: str = ""


@dataclass(slots=True)
class Exchange:
    """A call: request, caller, and its entry in the journal."""

    machine: Machine
    request: Request
    system: System
    path: str
    number: int
    moment: float
    operation: Operation | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    principal: Principal = ANONYMOUS
    shop: int | None = None
    items: int | None = None
    faults: list[Fault] = field(default_factory=list)
    undo_limit: Callable[[], None] | None = None
    reason: str = ""

    @property
    def query(self) -> Mapping[str, str]:
        """Query parameters; of a repeated one the last."""
        return self.request.query_params

    async def json(self) -> Any:
        """The body as JSON.

        :raises ApiError: 400 if it is not.
        """
        body = await self.request.body()
        if not body:
            raise ApiError(400, "The request body is empty.")
        try:
            value = loads(body)
        except RecursionError as error:
            raise ApiError(400, "The request body is nested too deeply.") from error
        except ValueError as error:
            raise ApiError(400, f"The request body is not valid JSON: {error}") from error
        if b"\\ud" in body or b"\\uD" in body:
            self._refuse_lone_surrogates(value)
        return value

    @staticmethod
    def _refuse_lone_surrogates(value: Any) -> None:
        try:
            dumps(value)
        except UnicodeEncodeError as error:
            raise ApiError(400, "The request body contains half of a surrogate pair.") from error

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        """A whole number from the query.

        :raises ApiError: 400 if it is not one, or out of its limits.
        """
        text = self.query.get(name)
        if text is None or text == "":
            return default
        if text.removeprefix("-").isdecimal() and len(text) < 20 and low <= int(text) <= high:
            return int(text)
        message = f"{name} must be a whole number from {low} to {high}."
        raise ApiError(400, message, problems=[Problem(message, name)])

    def boolean(self, name: str, default: bool) -> bool:
        """``true`` or ``false`` from the query.

        :raises ApiError: 400 for anything else.
        """
        text = self.query.get(name, "")
        if text == "":
            return default
        if text in ("true", "false"):
            return text == "true"
        raise ApiError(400, f"{name} must be true or false.")

    def listed(self, name: str) -> list[str]:
        """A list from the query: repeated parameters and comma lists are both understood."""
        values = self.request.query_params.getlist(name)
        return [part for value in values for part in value.split(",") if part]

    def date(self, name: str) -> float | None:
        """A date from the query as a simulated time.

        :raises ApiError: 400 if it is not ISO 8601 with an offset.
        """
        text = self.query.get(name)
        if not text:
            return None
        stamp = parse_date(text)
        if stamp is None:
            raise ApiError(
                400, f"{name} must be an ISO 8601 date-time with an offset, such as 2026-01-31T10:00:00Z."
            )
        return self.machine.clock.at_wall(stamp)

    def take(
        self, interval: float, resource: str = "", shop: int | None = None, *, by_account: bool = False
    ) -> None:
        """Count this call against its published frequency.

        :param interval: simulated seconds between two calls.
        :param resource: what is counted separately.
        :param shop: count by this shop instead of the caller.
        :param by_account: count by the caller's account, whichever shop is meant.
        :raises ApiError: 429 if it comes too early.
        """
        assert self.operation is not None  # noqa: S101 - nothing is counted before routing
        shop = self.shop if shop is None else shop
        account = self.principal.account if shop is None or by_account else f"shop {shop}"
        limits = self.machine.limits
        interval = limits.interval(self.operation.code, self.system, interval)
        self.undo_limit = limits.take((self.operation.code, account, resource), interval)

    @property
    def base_url(self) -> str:
        """The root of the system as the caller wrote it."""
        return f"{self.request.base_url}{self.system}"

    def part(self, kind: type[P]) -> P:
        """The state of a system."""
        return self.machine.part(kind)

    def fault(self, kind: str) -> Fault | None:
        """The fault of a kind that was ordered for this call."""
        return next((fault for fault in self.faults if fault.kind == kind), None)
