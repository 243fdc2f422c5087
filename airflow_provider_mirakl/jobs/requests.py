"""Notes of the request operator: how far a listing was read, and whether a write may have arrived."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Literal, TypeAlias

import msgspec

from airflow_provider_mirakl.api.call import Call, Page
from airflow_provider_mirakl.api.steps import OnlyReads
from airflow_provider_mirakl.exceptions import MiraklNoteError
from airflow_provider_mirakl.files.notes import Note, NoteKind
from airflow_provider_mirakl.files.pages import Pages
from airflow_provider_mirakl.files.storage import StoragePath, writing

Params: TypeAlias = list[tuple[str, str]]


class Listed(msgspec.Struct):
    """How far a listing was read.

    :param following: query of the next page; ``None`` before the first, and after the last.
    :param pages: a checksum of each stored page.
    :param size: bytes of the items.
    """

    following: Params | None = None
    pages: list[int] = []
    items: int = 0
    size: int = 0
    finished: bool = False
    last_call_at: datetime | None = None


class Written(msgspec.Struct):
    """A write that must not be repeated.

    :param phase: ``unsent`` when a task begins, ``intent`` before the call, ``answered`` after it, ``refused`` if it
        certainly changed nothing.
    """

    phase: Literal["unsent", "intent", "answered", "refused"]
    at: datetime


LISTED = NoteKind(
    "listed.json", "how far a listing was read", Listed, "restart", "The listing is read from its first page."
)
WRITTEN = NoteKind(
    "written.json",
    "whether a request was sent",
    Written,
    "stop",
    "Check in Mirakl whether the request arrived; clear the task to send it again.",
)


class PagesWork(OnlyReads):
    """Reads a listing page by page. Each page is stored, so a retry continues with the next one.

    :param first: query of the first page.
    :param call: makes the call for a query.
    :param note: stores the progress.
    :param folder: stores the pages.
    :param target: the NDJSON file to write when all pages are read; ``None`` for :meth:`items`.
    """

    not_before: datetime | None = None

    def __init__(
        self,
        first: Params,
        call: Callable[[Params], Call[Page[Any]]],
        note: Note[Listed],
        folder: StoragePath,
        target: StoragePath | None,
    ) -> None:
        self._first, self._call, self._note = first, call, note
        self._pages, self._target = Pages(folder), target
        self.listed = note.read() or Listed()
        pages = len(self.listed.pages)
        if pages and not self.listed.finished and not self._pages.path(pages - 1).exists():
            self.listed = Listed()  # the note exists in another place, but the disk with the pages is lost

    @property
    def last_call_at(self) -> datetime | None:
        """Time of the last page."""
        return self.listed.last_call_at

    @property
    def is_current(self) -> bool:
        """Whether the note still matches this object."""
        return (self._note.read() or Listed()).pages == self.listed.pages

    @property
    def position(self) -> dict[str, Any]:
        """The progress."""
        return {"pages": len(self.listed.pages), "items": self.listed.items}

    def next_call(self) -> Call[Page[Any]] | None:
        """The next page."""
        if self.listed.finished:
            return None
        following = self.listed.following
        return self._call(self._first if following is None else following)

    def accept(self, result: Page[Any], at: datetime) -> None:
        """Keep a page; after the last one, write the target."""
        listed = self.listed
        rows = b"".join(json.dumps(item, ensure_ascii=False).encode() + b"\n" for item in result.items)
        following = None if result.following is None else list(result.following.params)
        pages = list(listed.pages)
        is_new = self._pages.add(pages, rows)
        listed = Listed(
            following=following,
            pages=pages,
            items=listed.items + len(result.items) * is_new,
            size=listed.size + len(rows) * is_new,
            finished=following is None,
            last_call_at=at,
        )
        if listed.finished:
            self._end(listed)
        self._note.write(listed)
        self.listed = listed

    def describe(self, interval: float) -> str:
        """Such as ``page 12, 1,200 items``."""
        return f"page {len(self.listed.pages):,}, {self.listed.items:,} items"

    def items(self) -> list[Any]:
        """Every item."""
        return [json.loads(line) for rows in self._rows(self.listed) for line in rows.splitlines()]

    def _end(self, listed: Listed) -> None:
        if self._target is not None:
            self._target.parent.mkdir(parents=True, exist_ok=True)
            with writing(self._target) as file:
                for rows in self._rows(listed):
                    file.write(rows)

    def _rows(self, listed: Listed) -> Iterator[bytes]:
        for number, checksum in enumerate(listed.pages):
            try:
                yield self._pages.read(number, checksum)
            except MiraklNoteError:
                self._note.write(Listed())  # a retry reads the listing again
                raise
