"""Up to where a listing has been extracted, kept from run to run.

Rows are listed by the moment of their last change, and the clock of a moment has a grain: a row may become visible a
little after another one with a later moment. So a run begins a little before the moment at which the previous one ended
(the overlap), and the watermark remembers what it has delivered within the overlap, so that nothing is delivered twice.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Any

import msgspec

from airflow_provider_mirakl.files.notes import NoteKind
from airflow_provider_mirakl.files.storage import StoragePath


class Watermark(msgspec.Struct):
    """``watermark.json``.

    :param moment: the latest change that was delivered.
    :param delivered: digests of rows that were delivered and changed within the overlap, by id.
    :param filters: which rows that was, by the names of the listing's filters. With other filters, rows that changed
        before the moment were never delivered.
    """

    moment: datetime
    delivered: dict[str, str]
    filters: dict[str, Any] = msgspec.field(default_factory=dict)

    @classmethod
    def load(cls, folder: StoragePath) -> Watermark | None:
        """The watermark of a folder; ``None`` before the first run.

        :raises MiraklNoteError: the file is there and cannot be read.
        """
        return WATERMARK.at(folder).read()

    def save(self, folder: StoragePath) -> None:
        """Write it in one step.

        Never backwards, unless the filters are others: a run that began earlier may end later.
        """
        note = WATERMARK.at(folder)
        before = note.read()
        if before is None or before.moment <= self.moment or before.filters != self.filters:
            note.write(self)

    def other_filters(self, filters: dict[str, Any]) -> str:
        """Say which filters are others than those of the previous run, such as ``statuses was [...] and is [...]``."""
        names = sorted(
            {name for name in (*self.filters, *filters) if self.filters.get(name) != filters.get(name)}
        )
        return ", ".join(
            f"{name} was {self.filters.get(name, 'not set')!r} and is {filters.get(name, 'not set')!r}"
            for name in names
        )

    def begins(self, overlap: timedelta) -> datetime:
        """Where the next run begins."""
        return self.moment - overlap


WATERMARK = NoteKind(
    file="watermark.json",
    holds="up to where a listing has been extracted",
    type=Watermark,
    damaged="stop",
    fix="Restore it, or remove it to begin again from `since`.",
)


def digest(row: dict[str, Any]) -> str:
    """Tells one version of a row from another."""
    return hashlib.blake2b(msgspec.json.encode(row, order="deterministic"), digest_size=9).hexdigest()
