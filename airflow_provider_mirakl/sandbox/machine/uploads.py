"""``multipart/form-data`` as the SDKs of Mirakl and everybody else send it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException

from airflow_provider_mirakl.sandbox.machine.exchange import Exchange
from airflow_provider_mirakl.sandbox.machine.wire import ApiError, Problem

MULTIPART = "multipart/form-data"


@dataclass(frozen=True, slots=True)
class Part:
    """One part: a file when it has a file name."""

    name: str
    file_name: str | None
    body: bytes

    @property
    def text(self) -> str:
        """The content as text."""
        return self.body.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Form:
    """The parts, in the order received, which has no meaning."""

    parts: tuple[Part, ...]

    def text(self, name: str, default: str = "") -> str:
        """The text of a part."""
        return next((part.text.strip() for part in self.parts if part.name == name), default)

    def boolean(self, name: str) -> bool:
        """``true`` or ``false``, false when absent.

        :raises ApiError: 400 for anything else.
        """
        text = self.text(name, "false")
        if text not in ("true", "false"):
            raise ApiError(
                400, f"{name} must be true or false.", problems=[Problem("must be true or false", name)]
            )
        return text == "true"

    def file(self, name: str = "file") -> Part:
        """The one file.

        :raises ApiError: 400 when it is missing, or is not a file.
        """
        part = next((part for part in self.parts if part.name == name), None)
        if part is None or part.file_name is None:
            message = f"The part {name} with a file name is required."
            raise ApiError(400, message, problems=[Problem(message, name)])
        return part

    def digest(self) -> str:
        """Tells an identical request."""
        found = hashlib.sha256()
        for part in sorted(self.parts, key=lambda part: (part.name, part.body)):
            found.update(f"{part.name}\0{len(part.body)}\0".encode())
            found.update(part.body)
        return found.hexdigest()


async def form(exchange: Exchange) -> Form:
    """Read the parts of a call.

    :raises ApiError: 400 when the body is not what its Content-Type says.
    """
    try:
        data = await exchange.request.form(max_files=1000, max_fields=1000, max_part_size=64 * 1024 * 1024)
    except (MultiPartException, HTTPException, KeyError, ValueError) as error:
        raise ApiError(400, f"The multipart body cannot be read: {error}") from error
    parts = []
    for name, value in data.multi_items():
        if isinstance(value, UploadFile):
            parts.append(Part(name, value.filename or "", await value.read()))
        else:
            parts.append(Part(name, None, value.encode()))
    await data.close()
    return Form(tuple(parts))
