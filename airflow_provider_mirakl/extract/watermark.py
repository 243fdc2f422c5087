"""The time up to which a listing has been extracted, kept between runs.

Rows are listed by the time of their last change, whose clock has a limited resolution: a row may become visible
slightly after another one with a later time. So a run begins slightly before the time at which the previous one ended
(the overlap), and the watermark stores the rows delivered within the overlap, so that nothing is delivered twice.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Any

import msgspec

from airflow_provider_mirakl.extract.scope import Scope
from airflow_provider_mirakl.files.notes import NoteKind
from airflow_provider_mirakl.files.storage import StoragePath


class Watermark(msgspec.Struct):
    """``watermark.json``.

    :param moment: the latest change that was delivered.
    :param delivered: digests of rows that were delivered and changed within the overlap, by id.
    :param filters: the filters of that run. With different filters, rows that changed before ``moment`` may never
        have been delivered.
    :param owner: whose rows they are; empty if an older version wrote it.
    :param source: see :class:`~airflow_provider_mirakl.extract.scope.Scope`.
    """

    moment: datetime
    delivered: dict[str, str]
    filters: dict[str, Any] = msgspec.field(default_factory=dict)
    owner: list[str] = msgspec.field(default_factory=list)
    source: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def scope(self) -> Scope:
        """The rows that it is about."""
        return Scope(self.filters, self.owner, self.source)

    @classmethod
    def load(cls, folder: StoragePath) -> Watermark | None:
        """The watermark of a folder; ``None`` before the first run.

        :raises MiraklNoteError: the file exists but cannot be read.
        """
        return WATERMARK.at(folder).read()

    def save(self, folder: StoragePath) -> None:
        """Write it atomically.

        It never moves backwards, unless it is about other rows: a run that began earlier may end later.
        """
        note = WATERMARK.at(folder)
        before = note.read()
        if before is None or before.moment <= self.moment or self.scope.differs_from(before.scope):
            note.write(self)

    def begins(self, overlap: timedelta) -> datetime:
        """The start of the next run."""
        return self.moment - overlap


WATERMARK = NoteKind(
    file="watermark.json",
    holds="how far a listing has been extracted",
    type=Watermark,
    damaged="stop",
    fix="Restore it, or remove it to start over from `since`.",
)


def digest(row: dict[str, Any]) -> str:
    """Identifies a version of a row."""
    return hashlib.blake2b(msgspec.json.encode(row, order="deterministic"), digest_size=9).hexdigest()
