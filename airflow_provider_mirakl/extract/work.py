"""The walk through the pages of a listing, which continues where it was interrupted.

===================  ==========================================================================================
what happens          what it means
===================  ==========================================================================================
row changes after     its old version was delivered; its new version has a later time, so the next run delivers it
it was read
row changes before    it moves to the first page, which was already read, so this run does not see it; its time is
it was read           later than the first page, so the next run delivers it
row comes twice       a page that is read again after a crash is replaced; a row of the previous page is
                      left out, even if it has changed: its new version has a later time
row leaves the        with paging by offset, later rows move forward: :mod:`~airflow_provider_mirakl.extract.offsets`
listing
run is killed         the page that was not noted is read again
===================  ==========================================================================================

This relies on one rule: the watermark is the latest time **of the first page**, read before anything could
change, and it moves only after the target is complete. If a listing is sorted differently, the time before the first
call is used instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from airflow_provider_mirakl.api.call import Call, Json, Page, Params
from airflow_provider_mirakl.api.steps import OnlyReads
from airflow_provider_mirakl.api.values import moment_of
from airflow_provider_mirakl.exceptions import MiraklNoteError, MiraklReplyError
from airflow_provider_mirakl.extract.fields import Row
from airflow_provider_mirakl.extract.listings import Listing
from airflow_provider_mirakl.extract.offsets import MOST_RETURNS, OffsetPage
from airflow_provider_mirakl.extract.scope import BEGAN, Began, Scope
from airflow_provider_mirakl.extract.target import Target
from airflow_provider_mirakl.extract.watermark import Watermark, digest
from airflow_provider_mirakl.files.notes import NoteKind
from airflow_provider_mirakl.files.owner import is_another
from airflow_provider_mirakl.files.pages import Pages
from airflow_provider_mirakl.files.storage import StoragePath

PRECISION = timedelta(seconds=1)
"""How much earlier than its exact time a change may be shown. Mirakl compares exact times."""


@dataclass(frozen=True, slots=True)
class Window:
    """The range of changes that an extract delivers.

    :param begins: start of the range.
    :param ends: end of the range, exclusive; ``None`` for no end.
    :param watermark: folder of the watermark that moves when the extract is complete; ``None`` for a fixed interval.
    :param overlap: how far the next run reaches back.
    :param delivered: rows that the previous run delivered within the overlap.
    :param scope: the rows that the watermark is about.
    """

    begins: datetime
    ends: datetime | None = None
    watermark: StoragePath | None = None
    overlap: timedelta = timedelta()
    delivered: Mapping[str, str] = field(default_factory=dict)
    scope: Scope = field(default_factory=Scope)


class Progress(msgspec.Struct):
    """``extract.json``: the progress of the walk. Contains ids and digests of rows, but never rows."""

    begins: datetime
    before: dict[str, str]
    """Rows that the previous run delivered within the overlap. Kept here, since the watermark may have moved when
    a try resumes one that was killed at the very end."""
    pages: list[int] = msgspec.field(default_factory=list)
    """A checksum of each page that is kept."""
    rows: int = 0
    """Number of rows stored so far."""
    params: Params | None = None
    last_call_at: datetime | None = None
    newest: datetime | None = None
    recent: list[str] = msgspec.field(default_factory=list)
    delivered: dict[str, str] = msgspec.field(default_factory=dict)
    edge: datetime | None = None
    """In a listing by offset, the latest time read by which its rows are sorted."""
    returns: int = 0
    """How often the walk went back for the same rows."""
    going_back: bool = False
    read: bool = False
    """Whether every page is kept, and it remains to write the target."""
    counts: dict[str, int] | None = None
    owner: list[str] = msgspec.field(default_factory=list)
    """Whose pages these are. Those of another account are not continued."""
    source: dict[str, Any] = msgspec.field(default_factory=dict)
    """What listed them. Those of another operation or role are not continued. An earlier version did not note it, and a
    process that only continues, such as the triggerer, does not know it."""


@dataclass(slots=True)
class _Unfinished:
    """A page whose rows wait for their lines. A try that is killed meanwhile reads the page again.

    :param page: the page.
    :param at: when it was read.
    :param rows: its rows that are to be delivered, by id.
    :param lines: the lines of those that were asked for already.
    """

    page: Page[dict[str, Json]]
    at: datetime
    rows: dict[str, Row]
    lines: dict[str, list[Row]] = field(default_factory=dict)

    @property
    def missing(self) -> str | None:
        """The next row whose lines are to be asked for."""
        return next((row_id for row_id in self.rows if row_id not in self.lines), None)


PROGRESS = NoteKind(
    file="extract.json",
    holds="how far a listing has been read",
    type=Progress,
    damaged="restart",
    fix="The listing is read from its first page again.",
)


class ExtractWork(OnlyReads):
    """Reads a listing, page by page, in a worker or in the triggerer. A worker then writes the target (:meth:`end`).

    :param listing: the listing to read.
    :param window: the range of changes.
    :param folder: stores the progress and the pages read so far. The pages contain everything Mirakl sent, including
        customers' names and addresses; they are removed when the target is complete.
    :param generation: starts over when it changes.
    :param filters: further filters of the listing. Only the first process needs them: the query of the next page is
        in the note, and so not in the arguments of a trigger.
    :param keep_persons: whether personal data is kept.
    """

    not_before: datetime | None = None

    def __init__(
        self,
        listing: Listing,
        window: Window,
        folder: StoragePath,
        *,
        generation: str,
        filters: Mapping[str, Any] | None = None,
        keep_persons: bool = True,
    ) -> None:
        self._listing = listing
        self._folder = folder
        self._pages = Pages(folder)
        self._keep_persons = keep_persons
        self._unfinished: _Unfinished | None = None
        self._note = PROGRESS.at(folder, generation=generation)
        progress = self._note.read()
        scope = window.scope
        if (
            progress is None
            or is_another(progress.owner, scope.owner)
            or (progress.source and scope.source and progress.source != scope.source)
        ):
            self._pages.forget()
            first = listing.since(window.begins, dict(filters or {}))
            progress = Progress(
                window.begins,
                dict(window.delivered),
                params=first.params,
                owner=scope.owner,
                source=scope.source,
            )
            if not listing.newest_first:
                progress.newest = _now()
            self._note.write(progress)  # a later try begins at the same time
        self._progress = progress
        self._window = replace(window, begins=progress.begins)

    @property
    def progress(self) -> Progress:
        """The progress."""
        return self._progress

    @property
    def last_call_at(self) -> datetime | None:
        """Time of the last page read."""
        return self._progress.last_call_at

    @property
    def finished(self) -> bool:
        """Whether target and watermark are complete."""
        return self._progress.counts is not None

    @property
    def is_current(self) -> bool:
        """Whether no other process has read pages meanwhile."""
        return self._note.read() == self._progress

    @property
    def position(self) -> dict[str, Any]:
        """Pages and rows, and whether part of another page is in memory only."""
        return {
            "pages": len(self._progress.pages),
            "rows": self._progress.rows,
            "unfinished": self._unfinished is not None,
        }

    def next_call(self) -> Call[Any] | None:
        """The next page, or the lines of a row of this one; ``None`` when every page is read."""
        if self.finished or self._progress.read or self._progress.params is None:
            return None
        if self._unfinished is not None and self._listing.lines is not None:
            row_id = self._unfinished.missing
            assert row_id is not None  # noqa: S101 - else the page is taken
            return self._listing.lines(row_id)
        return self._listing.page(self._progress.params)

    def accept(self, result: Any, at: datetime) -> None:
        """Take a page, or the lines of a row."""
        unfinished = self._unfinished
        if unfinished is None:
            if self._goes_back(result, at):
                return
            rows = list(self._wanted(result.items))
            if self._listing.lines is not None and rows:
                by_id = {str(row[self._listing.id]): row for row in rows}
                self._unfinished = _Unfinished(result, at, by_id)
                return
        else:
            row_id = unfinished.missing
            assert row_id is not None  # noqa: S101 - else the page is taken
            lines = {**unfinished.lines, row_id: result}
            if len(lines) < len(unfinished.rows):
                unfinished.lines = lines
                return
            name = self._listing.shape.lines
            rows = [{**row, name: lines[key]} for key, row in unfinished.rows.items()]
            result, at = unfinished.page, unfinished.at
        self._finish_page(result, rows, at)
        self._unfinished = None

    def _goes_back(self, page: Page[dict[str, Json]], at: datetime) -> bool:
        """Whether the page does not join the last ones; then an earlier one is read instead.

        :raises MiraklReplyError: the listing changes faster than it can be read.
        """
        progress, found = self._progress, self._by_offset(page)
        if found is None or found.joins(set(progress.recent), self._ids(page), progress.edge):
            return False
        returns = progress.returns + (not progress.going_back)
        if returns > MOST_RETURNS:
            operation = self._listing.page(found.params).operation.code
            raise MiraklReplyError(
                f"{operation}: rows leave the listing faster than its pages can be read. Going back {MOST_RETURNS} "
                "times found no new row. Remove filters that rows can stop matching, such as a state",
                operation=operation,
            )
        self._progress = msgspec.structs.replace(
            progress, params=found.back(), last_call_at=at, returns=returns, going_back=True
        )
        try:
            self._note.write(self._progress)
        except BaseException:
            self._progress = progress
            raise
        return True

    def _by_offset(self, page: Page[dict[str, Json]]) -> OffsetPage | None:
        """The page, if it is one of a listing whose pages are joined."""
        params = self._progress.params
        if params is None or not self._listing.sorted_by:
            return None
        return OffsetPage(params, page.items, self._listing.sorted_by)

    def _ids(self, page: Page[dict[str, Json]]) -> list[str]:
        return [str(row.get(self._listing.id)) for row in page.items]

    def _finish_page(self, page: Page[dict[str, Json]], rows: list[Row], at: datetime) -> None:
        before = self._progress
        self._progress = msgspec.structs.replace(
            before, pages=list(before.pages), delivered=dict(before.delivered)
        )
        try:
            self._take(page, rows, at)
        except BaseException:
            self._progress = before
            raise

    def end(self, target: Target) -> None:
        """Write the target and move the watermark, once every page is read. For a worker: it reads all of them."""
        if self.finished or not self._progress.read:
            return
        before = self._progress
        self._progress = msgspec.structs.replace(before)
        try:
            self._end(target)
            self._note.write(self._progress)
        except BaseException:
            self._progress = before
            raise
        self._pages.forget()

    def _take(self, result: Page[dict[str, Json]], rows: list[Row], at: datetime) -> None:
        progress = self._progress
        if not progress.pages and self._listing.newest_first:
            moments = [found for row in result.items if (found := moment_of(row.get(self._listing.updated)))]
            progress.newest = max(moments, default=None)
        self._remember(result.items)
        ids, page = self._ids(result), self._by_offset(result)
        if page is not None and not set(ids) <= set(progress.recent):
            progress.returns = 0
        progress.going_back = False
        if not self._keep_persons:
            rows = [self._listing.shape.without_persons(row) for row in rows]
        kept = b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
        progress.pages.append(self._pages.keep(len(progress.pages), kept))
        progress.rows += len(rows)
        progress.last_call_at = at
        before = progress.recent
        progress.params = result.following.params if result.following else None
        progress.recent = ids
        if page is not None:
            progress.params = page.following(progress.params)
            progress.recent = page.recent(before, ids)
            progress.edge = page.edge(progress.edge)
        progress.read = result.following is None
        self._note.write(progress)

    def describe(self, interval: float) -> str:
        """Such as ``page 12, 1,200 rows``."""
        if self._progress.going_back and self._progress.params is not None:
            offset = dict(self._progress.params)["offset"]
            return f"Rows left the listing while it was read: going back to offset {offset}"
        if (unfinished := self._unfinished) is not None:
            of = f"{len(unfinished.lines):,} of {len(unfinished.rows):,} rows"
            return f"page {len(self._progress.pages) + 1:,}: {self._listing.shape.lines} of {of}"
        return f"page {len(self._progress.pages):,}, {self._progress.rows:,} rows"

    def _wanted(self, items: list[dict[str, Json]]) -> Iterator[Row]:
        delivered = self._progress.before
        recent = set(self._progress.recent)
        for row in items:
            row_id, changed = str(row.get(self._listing.id)), moment_of(row.get(self._listing.updated))
            if self._window.ends is not None and changed is not None and changed >= self._window.ends:
                continue
            if row_id in recent or delivered.get(row_id) == digest(row):
                continue
            yield row

    def _remember(self, items: list[dict[str, Json]]) -> None:
        """The rows within the overlap of the next run.

        Of a row that comes again the version that was delivered: the next run has to deliver a later one.
        """
        newest, recent = self._progress.newest, set(self._progress.recent)
        if self._window.watermark is None or newest is None:
            return
        for row in items:
            changed = moment_of(row.get(self._listing.updated))
            if str(row.get(self._listing.id)) in recent:
                continue
            if changed is not None and changed >= newest - self._window.overlap - PRECISION:
                self._progress.delivered[str(row.get(self._listing.id))] = digest(row)

    def _end(self, target: Target) -> None:
        progress = self._progress
        counts = target.write(self._listing.shape, self._rows())
        window = self._window
        if window.watermark is not None:
            # Before the watermark moves: a cleared task begins here again.
            began = Began(progress.begins, str(window.watermark), window.scope, dict(progress.before))
            BEGAN.at(self._folder).write(began)
            # If nothing is listed, the next run begins where this one began.
            reached = progress.newest or progress.begins + window.overlap
            scope = window.scope
            Watermark(reached, progress.delivered, scope.filters, scope.owner, scope.source).save(
                window.watermark
            )
        progress.before, progress.delivered = {}, {}
        progress.counts = counts

    def _rows(self) -> Iterator[Row]:
        for number, checksum in enumerate(self._progress.pages):
            try:
                rows = self._pages.read(number, checksum)
            except MiraklNoteError:
                self._note.remove()  # a retry reads the listing again
                raise
            yield from map(msgspec.json.decode, rows.splitlines())


def _now() -> datetime:
    return datetime.now(UTC)
