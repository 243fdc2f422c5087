"""The progress of sending a plan, on disk after every chunk.

A killed worker loses at most the note of the chunk that it was sending: it is sent again, which is safe for an upsert
or delete. Before each call the note is written as a test: on a full disk nothing is sent; otherwise every try would
send the same chunk.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import msgspec

from airflow_provider_mirakl.catalog.plan import PLAN_FILE, Plan
from airflow_provider_mirakl.catalog.planner import Chunk
from airflow_provider_mirakl.exceptions import MiraklNoteError, duration
from airflow_provider_mirakl.files.notes import Note, NoteKind, Store
from airflow_provider_mirakl.files.storage import StoragePath, plain

log = logging.getLogger(__name__)


class _Content(msgspec.Struct):
    """``ledger.json``."""

    plan: str
    next_chunk: int
    accepted: int
    submitted_at: datetime | None
    finished: bool
    earlier: int = 0
    """Products accepted under an earlier plan of the same task."""


LEDGER = NoteKind(
    file="ledger.json",
    holds="how many products of a plan Mirakl accepted",
    type=_Content,
    damaged="stop",
    fix="Remove the file to send the plan from its start; products that Mirakl accepted are then sent again, which "
    "is harmless.",
    version=2,
)


class Ledger:
    """The progress of one plan. Made by :meth:`open`."""

    def __init__(self, plan: Plan, note: Note[_Content], content: _Content) -> None:
        self.plan = plan
        self._note = note
        self._content = content

    @classmethod
    def open(
        cls,
        plan: Plan,
        *,
        generation: str,
        store: Store | None = None,
        name: str = LEDGER.file,
        follows: bool = False,
    ) -> Ledger:
        """Continue the ledger of a plan, or begin one.

        The note is written before the first call, so that a folder that cannot be written to stops the task.

        :param plan: the plan to send.
        :param generation: a key that is the same for retries and deferrals of a task instance and changes when
            the task is cleared; another generation starts over.
        :param store: a second place for the note.
        :param name: name of the note, if a task has several.
        :param follows: whether another plan may continue where the noted one ended, as in a sync: it was planned
            on the state, which has every accepted chunk.
        :raises MiraklNoteError: the ledger cannot be read, or notes accepted chunks of another plan: the source or
            the options changed since. Nothing is mixed.
        """
        note = LEDGER.at(plan.folder, generation=generation, store=store, name=name)
        content = note.read()
        # A sync that was killed before it opened its second ledger leaves an unused ledger of another plan.
        if content is None or (content.plan != plan.id and not content.next_chunk):
            ledger = cls(plan, note, _Content(plan.id, 0, 0, None, False))
            ledger.save()
            return ledger
        if content.plan != plan.id and follows:
            earlier = content.earlier + content.accepted
            ledger = cls(plan, note, _Content(plan.id, 0, 0, content.submitted_at, False, earlier))
            ledger.save()
            return ledger
        if content.plan != plan.id:
            raise MiraklNoteError(
                f"{note.path} belongs to another plan: the source or the options changed after Mirakl had accepted "
                f"{content.accepted:,} products in {content.next_chunk:,} calls. Clear the task to send the new plan "
                "from its start",
                path=str(note.path),
            )
        if content.next_chunk > len(plan.chunks) or content.accepted != _accepted(plan, content.next_chunk):
            raise MiraklNoteError(
                f"{note.path} does not fit its plan; clear the task to start over", path=str(note.path)
            )
        return cls(plan, note, content)

    @property
    def next_chunk(self) -> int:
        """Index of the first chunk that is not known to be accepted."""
        return self._content.next_chunk

    @property
    def accepted(self) -> int:
        """Products of this plan that Mirakl accepted."""
        return self._content.accepted

    @property
    def earlier(self) -> int:
        """Products that Mirakl accepted under earlier plans of the same task."""
        return self._content.earlier

    @property
    def submitted_at(self) -> datetime | None:
        """Time of the last accepted call, UTC."""
        return self._content.submitted_at

    @property
    def finished(self) -> bool:
        """True once :meth:`finish` was called."""
        return self._content.finished

    @property
    def chunk(self) -> Chunk | None:
        """The chunk to send next; ``None`` when all are accepted."""
        chunks = self.plan.chunks
        return chunks[self.next_chunk] if self.next_chunk < len(chunks) else None

    @property
    def is_current(self) -> bool:
        """Whether the note still matches this object: no other process has continued the plan."""
        return self._note.read() == self._content

    def record(self, chunk_index: int, submitted_at: datetime) -> None:
        """Note that a chunk was accepted.

        :param chunk_index: its index; only the next one fits.
        :param submitted_at: the time of the call, with a time zone.
        :raises ValueError: another chunk is due, or the time has no time zone.
        """
        if chunk_index != self.next_chunk or self.chunk is None:
            raise ValueError(f"chunk {chunk_index} cannot be recorded: chunk {self.next_chunk} is due")
        if submitted_at.tzinfo is None:
            raise ValueError("submitted_at needs a time zone")
        before = self._content
        self._content = msgspec.structs.replace(
            before,
            accepted=before.accepted + self.chunk.products,
            next_chunk=before.next_chunk + 1,
            submitted_at=submitted_at.astimezone(UTC),
        )
        try:
            self.save()
        except BaseException:
            self._content = before  # so that the same chunk can be recorded again
            raise

    def finish(self) -> None:
        """Note that everything after sending is done too.

        :raises ValueError: chunks are still to be sent.
        """
        if self.chunk is not None:
            raise ValueError(f"chunk {self.next_chunk} is not accepted yet")
        self._content.finished = True
        self.save()

    def describe(self, interval_seconds: float = 60.0) -> str:
        """Return one line of progress, such as ``chunk 37/100, 36,412 accepted, 63 min left``."""
        left = self.plan.estimate(interval_seconds, sent_chunks=self.next_chunk) * 60
        return (
            f"chunk {self.next_chunk:,}/{len(self.plan.chunks):,}, {self.accepted:,} accepted, "
            f"{duration(left)} left"
        )

    def save(self) -> None:
        """Write the note. Also called before each call: what cannot be noted must not be sent.

        :raises MiraklStorageError: it cannot be written.
        """
        self._note.write(self._content)


def resume(
    folder: StoragePath | str,
    *,
    generation: str,
    store: Store | None = None,
    name: str = LEDGER.file,
    follows: bool = False,
) -> Ledger | None:
    """Find the work of a previous try of the same task.

    :param folder: the folder of the plan.
    :param generation: as in :meth:`Ledger.open`.
    :param store: as in :meth:`Ledger.open`.
    :param name: as in :meth:`Ledger.open`.
    :param follows: as in :meth:`Ledger.open`.
    :return: the ledger with its plan; ``None`` if there is nothing to continue, or if the ledger exists but its plan
        is missing: then :meth:`Ledger.open` compares the new plan with the ledger.
    :raises MiraklNoteError: the ledger or the plan is damaged.
    """
    folder = plain(folder)
    if LEDGER.at(folder, generation=generation, store=store, name=name).read() is None:
        return None
    if not (folder / PLAN_FILE).exists():
        log.warning(
            "%s is missing although the task has begun: its work folder is not shared by the workers, or was removed. "
            "Planning again from the source; set [mirakl] work_folder to storage that every worker can access",
            folder / PLAN_FILE,
        )
        return None
    return Ledger.open(Plan.load(folder), generation=generation, store=store, name=name, follows=follows)


def _accepted(plan: Plan, chunks: int) -> int:
    return sum(chunk.products for chunk in plan.chunks[:chunks])
