"""The wire format: replies, and the different error bodies of the four systems."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

System = Literal["connect", "mirakl", "auth", "djust"]

JSON = "application/json"


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_ENCODE = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_DECODE = json.JSONDecoder(parse_constant=_no_constant).decode


def dumps(value: Any) -> bytes:
    """Compact UTF-8 JSON."""
    return _ENCODE(value).encode()


def loads(body: bytes) -> Any:
    """Strict JSON: UTF-8 without a byte order mark, no NaN and no Infinity.

    :raises ValueError: when the body is not JSON.
    """
    return _DECODE(body.decode("utf-8"))


@dataclass(slots=True)
class Reply:
    """An answer. ``body`` and ``media_type`` are empty for answers without content."""

    status: int = 200
    body: bytes = b""
    media_type: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
        """A JSON answer."""
        return cls(status, dumps(value), JSON, headers or {})


@dataclass(slots=True)
class Problem:
    """One thing wrong with a request. ``field`` is a JSONPath (Connect) or the name of a field."""

    message: str
    field: str = ""
    code: str = ""
    extensions: Mapping[str, Any] | None = None


class ApiError(Exception):
    """A refusal; :func:`error_reply` formats it for its system."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str = "",
        problems: list[Problem] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.problems = problems or []
        self.headers = headers or {}


_CONNECT_CODES = {
    400: "INVALID_INPUT",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "DATA_NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    406: "NOT_ACCEPTABLE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    429: "TOO_MANY_REQUEST",
    503: "UNAVAILABLE",
}
_OAUTH_CODES = {400: "invalid_request", 401: "invalid_client", 403: "access_denied", 404: "invalid_request"}
_DJUST_CODES = {400: "F-E-012", 404: "F-E-002"}


def _connect(error: ApiError) -> dict[str, Any]:
    items = []
    for problem in error.problems:
        item: dict[str, Any] = {"message": problem.message}
        if problem.field:
            item["field"] = problem.field
        if problem.extensions:
            item["extensions"] = dict(problem.extensions)
        items.append(item)
    code = error.code or _CONNECT_CODES.get(error.status, "UNEXPECTED")
    return {"code": code, "message": error.message, "errors": items, "extensions": {}}


def _mirakl(error: ApiError) -> dict[str, Any]:
    body: dict[str, Any] = {"status": error.status, "message": error.message}
    if error.problems:
        body["errors"] = [
            {
                key: value
                for key, value in (("message", p.message), ("field", p.field), ("code", p.code))
                if value
            }
            for p in error.problems
        ]
    return body


def _djust(error: ApiError) -> dict[str, Any]:
    code = error.code or _DJUST_CODES.get(error.status, f"F-E-{error.status}")
    problems = error.problems or [Problem(error.message, code=code)]
    return {
        "content": {},
        "errors": [
            {"code": p.code or code, "detail": p.field or error.message, "message": p.message}
            for p in problems
        ],
        "warnings": [],
    }


def _oauth(error: ApiError) -> dict[str, Any]:
    return {
        "error": error.code or _OAUTH_CODES.get(error.status, "server_error"),
        "error_description": error.message,
    }


_ENVELOPES = {"connect": _connect, "mirakl": _mirakl, "djust": _djust, "auth": _oauth}


def error_reply(system: System, error: ApiError, plain: bool = False) -> Reply:
    """The refusal in the words of a system.

    :param plain: a token server that answers text instead of RFC 6749's object.
    """
    if plain and system == "auth":
        return Reply(error.status, error.message.encode(), "text/plain", dict(error.headers))
    return Reply.json(_ENVELOPES[system](error), error.status, dict(error.headers))
