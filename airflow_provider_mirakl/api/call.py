"""An operation as data: what to send, how to read the reply, how often to call, whether to replay it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar
from urllib.parse import quote, urlencode

from airflow_provider_mirakl.exceptions import MiraklReplyError

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Operation:
    """What is true of every call of one operation.

    :param code: Mirakl's own code or operation id: ``P41``, ``listProducts``.
    :param method: HTTP method.
    :param path: path below the instance, with ``{name}`` where an argument goes.
    :param replay: whether sending it twice does no harm. Without it a call is sent again only when it surely
        was not sent, or when Mirakl answered 429.
    :param interval: shortest published time between two calls in seconds; 0 where none is published.
    :param authenticated: whether credentials are sent.
    """

    code: str
    method: str
    path: str
    replay: bool
    interval: float = 0.0
    authenticated: bool = True

    def at(self, **arguments: str | int) -> str:
        """The path with its arguments filled in, each quoted."""
        return self.path.format_map({name: quote(str(value), safe="") for name, value in arguments.items()})


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, free of any HTTP library.

    :param operation: code of the operation that was called.
    :param status: HTTP status.
    :param headers: header names in lower case.
    :param body: the body; empty for a streamed reply.
    """

    operation: str
    status: int
    headers: Mapping[str, str]
    body: bytes = b""

    def json(self) -> Json:
        """The body as JSON.

        :raises MiraklReplyError: when it is not JSON.
        """
        try:
            value: Json = json.loads(self.body)
        except ValueError as error:
            raise MiraklReplyError(
                f"{self.operation}: the {self.status} reply is not JSON ({error}): {self.excerpt()}",
                operation=self.operation,
                status=self.status,
            ) from None
        return value

    def json_object(self) -> dict[str, Json]:
        """The body as a JSON object.

        :raises MiraklReplyError: when it is anything else.
        """
        value = self.json()
        if not isinstance(value, dict):
            raise self.unreadable("a JSON object", value)
        return value

    def list_of_objects(self, key: str) -> list[dict[str, Json]]:
        """The list of objects under ``key`` of the body.

        :raises MiraklReplyError: when there is none.
        """
        items = self.json_object().get(key)
        if not isinstance(items, list):
            raise self.unreadable(f"a list under {key!r}", items)
        objects = [item for item in items if isinstance(item, dict)]
        if len(objects) != len(items):
            raise self.unreadable(f"objects under {key!r}", items)
        return objects

    def text(self, key: str) -> str:
        """The non-empty text under ``key`` of the body.

        :raises MiraklReplyError: when there is none.
        """
        value = self.json_object().get(key)
        if not isinstance(value, str) or not value:
            raise self.unreadable(f"a text under {key!r}", value)
        return value

    def excerpt(self, limit: int = 200) -> str:
        """The start of the body, for a message."""
        text = self.body[: 4 * limit].decode("utf-8", "replace").strip()
        return repr(text[:limit]) + ("..." if len(text) > limit else "")

    def unreadable(self, wanted: str, got: object) -> MiraklReplyError:
        """An error that says what the reply should have held."""
        return MiraklReplyError(
            f"{self.operation}: expected {wanted} in the reply, got {type(got).__name__}: {self.excerpt()}",
            operation=self.operation,
            status=self.status,
        )


@dataclass(frozen=True, slots=True)
class Call(Generic[T_co]):
    """One call of an operation, ready to be sent by a client.

    :param operation: what is called.
    :param parse: turns a successful reply into the result.
    :param path: the operation's path with its arguments; or a whole URL, for links that Mirakl returns.
        A URL of another host is called without credentials.
    :param params: query parameters, in order; a name may be repeated.
    :param body: request body, already encoded.
    :param content_type: of the body.
    :param accept: wanted format of the reply.
    """

    operation: Operation
    parse: Callable[[Reply], T_co] = field(repr=False)
    path: str = ""
    params: tuple[tuple[str, str], ...] = ()
    body: bytes | None = field(default=None, repr=False)
    content_type: str = JSON
    accept: str = JSON

    @property
    def target(self) -> str:
        """Path and query, percent-encoded (``+`` and ``:`` in dates too, as Mirakl asks)."""
        path = self.path or self.operation.path
        if not self.params:
            return path
        return f"{path}{'&' if '?' in path else '?'}{urlencode(self.params, quote_via=quote)}"


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a listing.

    :param items: the page's items.
    :param following: the call for the next page, ``None`` on the last one.
    """

    items: list[T]
    following: Call[Page[T]] | None


def nothing(reply: Reply) -> None:
    """Parser of replies that carry nothing to read."""


def query(**values: str | int | bool | None) -> tuple[tuple[str, str], ...]:
    """Query parameters from keywords; ``None`` leaves one out, booleans become ``true`` and ``false``."""
    return tuple(
        (name, str(value).lower() if isinstance(value, bool) else str(value))
        for name, value in values.items()
        if value is not None
    )


def encode(value: object) -> bytes:
    """A JSON body, UTF-8, refusing NaN and Infinity, which JSON has not."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
