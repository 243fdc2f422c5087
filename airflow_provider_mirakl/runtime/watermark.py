"""The time up to which an export has delivered changes, kept between runs in a small note."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_mirakl.exceptions import MiraklConfigurationError, MiraklNoteError
from airflow_provider_mirakl.extract.scope import BEGAN, Began, Scope
from airflow_provider_mirakl.files.notes import Note, NoteKind
from airflow_provider_mirakl.files.paths import storage_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_mirakl.files.storage import StoragePath
    from airflow_provider_mirakl.hooks.base import MiraklBaseHook
    from airflow_provider_mirakl.runtime.choices import OnChangedFilters
    from airflow_provider_mirakl.runtime.task_run import TaskRun


@dataclass(frozen=True, slots=True)
class Watermark:
    """The time up to which an export has delivered everything.

    :param until: that time.
    :param run: the task instance that moved it there; ``None`` if a user wrote the file.
    :param begin: the start of its window. A retry begins there again, since its target replaces the first one.
    :param scope: the rows that it is about; empty if a user or an older version wrote it: then it fits all rows.
    """

    until: datetime
    run: str | None = None
    begin: datetime | None = None
    scope: Scope = field(default_factory=Scope)

    def since(self, run: str, overlap: timedelta) -> datetime | None:
        """The start of the window of a task instance."""
        return self.begin if run == self.run else self.until - overlap

    def differs(self, scope: Scope) -> str:
        """Describe how a task's rows differ from those of the watermark; empty if they do not."""
        return scope.differs_from(self.scope) if self.scope.filters else ""

    def save(self, path: StoragePath) -> None:
        """Move the watermark.

        It never moves backwards, unless it is about other rows: an older run may be repeated.

        :raises MiraklStorageError: the file cannot be written.
        """
        before = Watermark.load(path)
        if before is None or before.run is None or before.until <= self.until or before.differs(self.scope):
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
    :raises MiraklConfigurationError: a mapped task must have one set.
    """
    if given is not None:
        return storage_path(given)
    folder = run.lasting_folder()
    if run.is_mapped:
        former = folder / f"watermark-{run.map_index}.json"
        words = f". An earlier version kept it in {former}, by map index" if former.exists() else ""
        raise MiraklConfigurationError(
            "watermark must be set in a mapped task, to a file for each instance, because the map index of a shop can "
            f"change between runs{words}",
            field="watermark",
        )
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "watermark.json"


AHEAD = 300.0
"""Seconds by which the clocks of two workers may differ."""


class Marked(Protocol):
    """What a window needs of its operator."""

    @property
    def watermark(self) -> str | None: ...
    @property
    def overlap(self) -> float: ...
    @property
    def on_changed_filters(self) -> OnChangedFilters: ...
    @property
    def operation(self) -> str: ...
    @property
    def hook(self) -> MiraklBaseHook: ...
    @property
    def log(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class MarkedWindow:
    """The window of a task instance that begins at a watermark.

    A try that follows another one begins where that one began, and so does a cleared task that has delivered: its
    target replaces the first one. See :class:`~airflow_provider_mirakl.extract.scope.Began`.

    :param run: the task's run.
    :param path: the watermark.
    :param scope: the rows that the task exports.
    :param since: where the window begins; ``None`` for everything.
    :param repeats: whether this task instance has delivered it before, and was cleared.
    """

    run: TaskRun
    path: StoragePath
    scope: Scope
    since: datetime | None
    repeats: bool = False

    @classmethod
    def find(
        cls, task: Marked, run: TaskRun, filters: Mapping[str, Any], *, on_lost_state: str | None = None
    ) -> MarkedWindow:
        """The window of a task.

        :param filters: what narrows the rows, by name, with the role of the key.
        :param on_lost_state: the operator's argument, if it has one.
        :raises MiraklConfigurationError: the watermark is about other rows, or a mapped task has none set.
        :raises MiraklNoteError: the watermark is missing or damaged; no call was made.
        """
        path = watermark_path(run, task.watermark)
        scope = Scope.of(filters, task.hook.settings.owner, {"operation": task.operation})
        if on_lost_state is not None:
            chosen = task.watermark is not None
            run.check_lasting(path, "the watermark of this export", on_lost_state, task.log, chosen=chosen)
        last = Watermark.load(path)
        if last is not None and (words := last.differs(scope)):
            if task.on_changed_filters == "fail":
                raise MiraklConfigurationError(
                    f"{words}. The watermark in {path} belongs to the rows of the previous run: others that changed "
                    f"before {last.until.isoformat()} would never be exported. Set on_changed_filters='restart' to "
                    "export everything once more, or set another watermark",
                    field="on_changed_filters",
                )
            task.log.warning("%s. Starting over, as on_changed_filters='restart' allows.", words)
            last = None
        if last is not None and last.until > datetime.now(UTC) + timedelta(seconds=max(task.overlap, AHEAD)):
            raise MiraklNoteError(
                f"The watermark in {path} is {last.until.isoformat()}, which is in the future: the clock of the worker "
                "that wrote it was wrong, or the clock of this one is. What changes until then would never be "
                "exported. Correct the clock. Then write the time of the last good run into the file; or, to export "
                "everything once, remove the file, and set on_lost_state='full' if the operator has it",
                path=str(path),
            )
        if last is not None and last.run is not None:
            began = BEGAN.at(run.folder, store=run.memory).read()
            if began is not None and began.is_of(path, scope) and began.pending in ("", run.generation):
                return cls(run, path, scope, began.begins, repeats=not began.pending)
        since = None if last is None else last.since(run.instance, timedelta(seconds=task.overlap))
        window = cls(run, path, scope, since)
        window._note(pending=run.generation)
        return window

    def delivered(self, until: datetime) -> None:
        """Note that the target is written, and move the watermark.

        :param until: end of the window.
        """
        self._note()
        Watermark(until, self.run.instance, self.since, self.scope).save(self.path)
        self.run.note_lasting(self.path)

    def _note(self, *, pending: str = "") -> None:
        began = Began(self.since, str(self.path), self.scope, pending=pending)
        note = BEGAN.at(self.run.folder, store=self.run.memory)
        note.read()  # its revision
        note.write(began)
