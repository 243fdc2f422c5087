"""An operation as data: what to send, how to read the reply, how often to call, whether to replay it."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO, Generic, TypeAlias, TypeVar
from urllib.parse import quote, urlencode

from airflow_provider_mirakl.api.secrets import SEARCHED, fit_to_show, is_plain
from airflow_provider_mirakl.api.values import in_utc
from airflow_provider_mirakl.exceptions import MiraklInputError, MiraklReplyError

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Params: TypeAlias = tuple[tuple[str, str], ...]
"""Query parameters; a name may occur more than once."""

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
CSV = "text/csv"
BINARY = "application/octet-stream"
ANY = "*/*"

PERSONAL = "(not shown, because it may contain personal data)"
_DATA = re.compile(r"[{<]|\S+@\S")
"""Where data begins in a message: JSON or XML that is repeated, or an address."""
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
"""Half of a surrogate pair. Without its other half, as in a text that was cut, it cannot be written as UTF-8."""
_WORDS = frozenset({"code", "detail", "error", "errors", "field", "message", "reason_status"})
"""Fields of a state that are shown in messages."""


@dataclass(frozen=True, slots=True)
class Operation:
    """Properties of every call of an operation.

    :param code: Mirakl's own code or operation id: ``P41``, ``listProducts``.
    :param method: HTTP method.
    :param path: path below the instance, with ``{name}`` where an argument goes.
    :param replay: whether sending it twice is harmless. Otherwise a call is sent again only if it certainly
        was not sent, or when Mirakl answered 429.
    :param interval: shortest published time between two calls in seconds; 0 where none is published.
    :param authenticated: whether credentials are sent.
    :param personal: whether requests or replies contain personal data. Messages then quote nothing of a reply, also of
        an error, but the fields of a known error: a gateway may repeat either.
    """

    code: str
    method: str
    path: str
    replay: bool
    interval: float = 0.0
    authenticated: bool = True
    personal: bool = False

    def at(self, **arguments: str | int) -> str:
        """The path with its arguments filled in, each quoted.

        :raises MiraklInputError: for an argument that would lead to another path: empty, ``.`` or ``..``.
        """
        for name, value in arguments.items():
            if str(value).strip() in ("", ".", ".."):
                raise MiraklInputError(f"{name} is {str(value)!r}; {self.code} needs an id there")
        return self.path.format_map({name: quote(str(value), safe="") for name, value in arguments.items()})


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply, independent of the HTTP library.

    :param operation: code of the operation that was called.
    :param status: HTTP status.
    :param headers: header names in lower case.
    :param body: the body; empty for a streamed reply.
    :param secrets: texts that no message may show, should the body repeat them.
    :param personal: whether the body may contain personal data, so that messages never quote it.
    """

    operation: str
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False, compare=False)
    personal: bool = False

    def json(self) -> Json:
        """The body as JSON.

        :raises MiraklReplyError: when it is not JSON.
        """
        try:
            value: Json = json.loads(self.body)
            return _whole(value) if _HALF.search(self.body) else value
        except (ValueError, RecursionError) as error:
            raise MiraklReplyError(
                f"{self.operation}: the {self.status} reply is not JSON ({error}): {self.excerpt()}",
                operation=self.operation,
                status=self.status,
            ) from None

    def json_object(self) -> dict[str, Json]:
        """The body as a JSON object.

        :raises MiraklReplyError: when it is anything else.
        """
        value = self.json()
        if not isinstance(value, dict):
            raise self.unreadable("a JSON object", value)
        return value

    def state(self) -> dict[str, Json]:
        """The body as a JSON object, for the state of a job or of an action: what it says in words becomes part of
        messages, so it is fit to be shown.

        :raises MiraklReplyError: when it is anything else.
        """
        return {name: self._worded(name, value) for name, value in self.json_object().items()}

    def _worded(self, name: str, value: Json) -> Json:
        if isinstance(value, dict):
            return {key: self._worded(key, item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._worded(name, item) for item in value]
        return self.without_secrets(value) if isinstance(value, str) and name in _WORDS else value

    def list_of_objects(self, key: str, *, optional: bool = False) -> list[dict[str, Json]]:
        """The list of objects under ``key`` of the body.

        :param optional: Mirakl's document does not require the list: one that is absent is empty.
        :raises MiraklReplyError: the reply has none.
        """
        found = self.json_object().get(key)
        return [] if optional and found is None else self.objects(found, f"under {key!r}")

    def objects(self, items: Json, where: str = "as the body") -> list[dict[str, Json]]:
        """Part of the body, checked to be a list of objects.

        :param items: the part.
        :param where: its place, for the message.
        :raises MiraklReplyError: when it is anything else.
        """
        if not isinstance(items, list):
            raise self.unreadable(f"a list {where}", items)
        objects = [item for item in items if isinstance(item, dict)]
        if len(objects) != len(items):
            raise self.unreadable(f"a list of objects {where}", items)
        return objects

    def text(self, key: str) -> str:
        """The non-empty text under ``key`` of the body.

        :raises MiraklReplyError: the reply has none.
        """
        value = self.json_object().get(key)
        if not isinstance(value, str) or not value:
            raise self.unreadable(f"a text under {key!r}", value)
        return value

    def excerpt(self, limit: int = 200) -> str:
        """The start of the body, for a message; of one with personal data only its size."""
        # Cut only after secrets were masked: a truncated secret would not be recognized.
        text = self.without_secrets(self.body[: 4 * SEARCHED].decode("utf-8", "replace")).strip()
        return self.quoted(text[:limit], repr(text[:limit]) + ("..." if len(text) > limit else ""))

    def quoted(self, text: str, shown: str | None = None) -> str:
        """A body in a form that is not known, or part of it: only ordinary words are shown, otherwise the size.

        :param text: part of the body, without secrets.
        :param shown: how it is shown; default as it is.
        """
        if not self.personal and is_plain(text):
            return text if shown is None else shown
        why = "personal data" if self.personal else "credentials"
        return f"{len(self.body):,} bytes, not shown because they may contain {why}"

    def without_secrets(self, text: str) -> str:
        """Part of the body, fit to be shown. See :mod:`airflow_provider_mirakl.api.secrets`."""
        if self.personal and (data := _DATA.search(text)):
            text = text[: data.start()] + PERSONAL
        return fit_to_show(text, self.secrets)

    def unreadable(self, wanted: str, got: object) -> MiraklReplyError:
        """An error that says what the reply should have contained."""
        return MiraklReplyError(
            f"{self.operation}: expected {wanted} in the reply, got {type(got).__name__}: {self.excerpt()}",
            operation=self.operation,
            status=self.status,
        )


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a :class:`Multipart` body.

    :param name: name of the form field.
    :param content: its bytes; or a function that opens them for reading, called again for every attempt, so that a file
        is never held in memory.
    :param file_name: set for files. Path separators and control characters are rejected.
    :param content_type: default ``application/octet-stream`` for files and none for fields.
    """

    name: str
    content: bytes | Callable[[], BinaryIO] = field(repr=False)
    file_name: str | None = None
    content_type: str | None = None

    def __post_init__(self) -> None:
        name = self.file_name
        if name is not None and (not name.isprintable() or set(name) & set("/\\") or name in ("", ".", "..")):
            raise MiraklInputError(f"{name!r} cannot be the name of an uploaded file; use a plain file name")

    @property
    def head(self) -> bytes:
        """The part's header lines, with names escaped as browsers do."""
        lines = f'Content-Disposition: form-data; name="{_escape(self.name)}"'
        kind = self.content_type
        if self.file_name is not None:
            lines += f'; filename="{_escape(self.file_name)}"'
            kind = kind or BINARY
        return (lines + (f"\r\nContent-Type: {kind}" if kind else "") + "\r\n\r\n").encode()


def _escape(name: str) -> str:
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


@dataclass(frozen=True, slots=True)
class Multipart:
    """A ``multipart/form-data`` body, sent part by part without being held in memory.

    :param parts: the parts, in order.
    :param boundary: the separator of the parts; must not occur inside them.
    """

    parts: tuple[Part, ...]
    boundary: str = field(default_factory=lambda: uuid.uuid4().hex, compare=False)

    @property
    def content_type(self) -> str:
        """The body's ``Content-Type``."""
        return f"multipart/form-data; boundary={self.boundary}"


Body: TypeAlias = bytes | Multipart


@dataclass(frozen=True, slots=True)
class Call(Generic[T_co]):
    """One call of an operation, ready to be sent by a client.

    :param operation: the operation to call.
    :param parse: turns a successful reply into the result.
    :param path: the operation's path with its arguments; or a whole URL, for links that Mirakl returns.
        A URL of another host is called without credentials.
    :param params: query parameters, in order; a name may be repeated.
    :param body: request body, already encoded.
    :param content_type: of the body; a :class:`Multipart` has its own.
    :param accept: requested format of the reply. A web page in place of it is an error, unless it is
        ``*/*`` and the page comes as a file.
    :param paced_by: what the operation's interval is counted by besides the account: a shop, an import.
    """

    operation: Operation
    parse: Callable[[Reply], T_co] = field(repr=False)
    path: str = ""
    params: Params = ()
    body: Body | None = field(default=None, repr=False)
    content_type: str = JSON
    accept: str = JSON
    paced_by: str = ""

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
    """Parser of replies without content."""


def query(**values: str | int | bool | Sequence[str | int] | None) -> Params:
    """Query parameters from keywords; ``None`` leaves one out, booleans become ``true`` and ``false``.

    A list is repeated, as Mirakl's ``array`` parameters require; for those that Mirakl declares as text
    "separated by a comma" see :func:`comma`. Source: :ref:`conventions <facts-conventions>`.
    """
    return tuple(
        (name, _word(value))
        for name, given in values.items()
        if given is not None
        for value in ([given] if isinstance(given, str | int) else given)
    )


def checked_words(name: str, values: Iterable[str], choices: Sequence[str]) -> None:
    """Reject words that Mirakl does not have.

    :param name: of the argument, for the message.
    :raises MiraklInputError: any of them is unknown.
    """
    if wrong := [value for value in values if value not in choices]:
        raise MiraklInputError(
            f"{name} must be among {', '.join(choices)}, not {', '.join(map(repr, wrong))}"
        )


def comma(values: Iterable[str | int] | None) -> str | None:
    """One parameter out of a list, separated by commas; ``None`` for no list or an empty one."""
    return ",".join(str(value) for value in values or ()) or None


def moment(value: datetime | None) -> str | None:
    """A date-time parameter in UTC, as Mirakl writes its own. Source: :ref:`conventions <facts-conventions>`.

    :raises MiraklInputError: for a date-time without a time zone, or that is out of range in UTC.
    """
    if value is None:
        return None
    if value.tzinfo is None:
        raise MiraklInputError(f"{value.isoformat()} has no time zone; add one, such as UTC")
    try:
        utc = in_utc(value).isoformat(timespec="milliseconds" if value.microsecond else "seconds")
    except ValueError as error:
        raise MiraklInputError(str(error)) from None
    return utc.replace("+00:00", "Z")


def _word(value: str | int) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _whole(value: Json) -> Json:
    """A value whose texts can be written as UTF-8: a half of a surrogate pair becomes U+FFFD."""
    if isinstance(value, dict):
        return {str(_whole(key)): _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return (
        value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if isinstance(value, str)
        else value
    )


def encode(value: object) -> bytes:
    """A JSON body in UTF-8.

    :raises MiraklInputError: for what JSON cannot express: NaN, Infinity, half a surrogate pair, a Python object.
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise MiraklInputError(f"the body cannot be written as JSON: {error}") from None
