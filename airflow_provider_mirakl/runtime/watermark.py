"""The time up to which an export has delivered changes, kept between runs in a small note."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow_provider_mirakl.files.notes import Note, NoteKind
from airflow_provider_mirakl.files.paths import storage_path

if TYPE_CHECKING:
    from airflow_provider_mirakl.files.storage import StoragePath
    from airflow_provider_mirakl.runtime.task_run import TaskRun


@dataclass(frozen=True, slots=True)
class Watermark:
    """The time up to which an export has delivered everything.

    :param until: that time.
    :param run: the task instance that moved it there; ``None`` if a user wrote the file.
    :param begin: the start of its window. A retry begins there again, since its target replaces the first one.
    """

    until: datetime
    run: str | None = None
    begin: datetime | None = None

    def since(self, run: str, overlap: timedelta) -> datetime | None:
        """The start of the window of a task instance."""
        return self.begin if run == self.run else self.until - overlap

    def save(self, path: StoragePath) -> None:
        """Move the watermark.

        :raises MiraklStorageError: the file cannot be written.
        """
        _note(path).write(self)

    @classmethod
    def load(cls, path: StoragePath) -> Watermark | None:
        """The watermark in a file, which may be a time that a user wrote; ``None`` if the file does not exist.

        :raises MiraklNoteError: it cannot be read; starting over would export everything.
        """
        try:
            until = datetime.fromisoformat(path.read_bytes().decode().strip())
        except (ValueError, OSError):  # not a time that a user wrote
            return _note(path).read()
        return cls(until if until.tzinfo is not None else until.replace(tzinfo=UTC))


WATERMARK = NoteKind(
    file="watermark*.json",
    holds="up to when an export has delivered everything",
    type=Watermark,
    damaged="stop",
    fix="Write the time into it, such as 2026-01-31T10:00:00Z, or remove it to export everything once.",
)


def _note(path: StoragePath) -> Note[Watermark]:
    return WATERMARK.at(path.parent, name=path.name)


def watermark_path(run: TaskRun, given: str | None) -> StoragePath:
    """The file of a task's watermark.

    :param given: the operator's argument; default a file in the folder that all runs of the task share.
    """
    if given is not None:
        return storage_path(given)
    folder = run.lasting_folder()
    folder.mkdir(parents=True, exist_ok=True)
    return folder / (f"watermark-{run.map_index}.json" if run.is_mapped else "watermark.json")
