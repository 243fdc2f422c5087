"""How far the sending of a plan has come, on disk after every chunk.

A killed worker loses at most the note of the chunk it was sending: that one is sent again, which an upsert and a
delete allow.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from airflow_provider_mirakl.catalog.plan import Plan
from airflow_provider_mirakl.catalog.planner import Chunk
from airflow_provider_mirakl.exceptions import MiraklInputError
from airflow_provider_mirakl.files.storage import StoragePath, plain, write_bytes

LEDGER_FILE = "ledger.json"
FORMAT_VERSION = 1


class _Content(msgspec.Struct, tag_field="format", tag=FORMAT_VERSION):
    """``ledger.json``."""

    generation: str
    plan: str
    next_chunk: int
    accepted: int
    submitted_at: datetime | None
    finished: bool


class Ledger:
    """The progress of one plan. Made by :meth:`open`."""

    def __init__(self, plan: Plan, path: StoragePath, content: _Content) -> None:
        self.plan = plan
        self._path = path
        self._content = content

    @classmethod
    def open(cls, plan: Plan, *, generation: str) -> Ledger:
        """Continue the ledger beside a plan, or begin one.

        :param plan: the plan to send.
        :param generation: a key that stays the same over retries and deferrals of one task instance and changes when
            the task is cleared; another generation begins anew.
        :raises MiraklInputError: the ledger cannot be read, or notes accepted chunks of another plan: the source or
            the options changed since. Nothing is mixed.
        """
        path = plain(plan.folder) / LEDGER_FILE
        content = _load(path)
        is_unused = content is not None and content.plan != plan.id and not content.next_chunk
        # An unused ledger of another plan is what a sync leaves that was killed before it opened its second one.
        if content is None or content.generation != generation or is_unused:
            content = _Content(generation, plan.id, 0, 0, None, False)
            ledger = cls(plan, path, content)
            ledger._save()
            return ledger
        if content.plan != plan.id:
            raise MiraklInputError(
                f"{path} belongs to another plan: the source or the options changed after {content.accepted:,} "
                "products had been accepted; clear the task to send the new plan from its start"
            )
        if content.next_chunk > len(plan.chunks) or content.accepted != _accepted(plan, content.next_chunk):
            raise MiraklInputError(f"{path} does not fit its plan; clear the task to begin anew")
        return cls(plan, path, content)

    @property
    def next_chunk(self) -> int:
        """Index of the first chunk that is not known to be accepted."""
        return self._content.next_chunk

    @property
    def accepted(self) -> int:
        """Products Mirakl accepted."""
        return self._content.accepted

    @property
    def submitted_at(self) -> datetime | None:
        """Moment of the last accepted call, UTC."""
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

    def record(self, chunk_index: int, submitted_at: datetime) -> None:
        """Note that a chunk was accepted.

        :param chunk_index: its index; only the next one fits.
        :param submitted_at: the moment of the call, with a time zone.
        :raises ValueError: another chunk was due, or the moment has no time zone.
        """
        if chunk_index != self.next_chunk or self.chunk is None:
            raise ValueError(f"chunk {chunk_index} cannot be recorded: chunk {self.next_chunk} is due")
        if submitted_at.tzinfo is None:
            raise ValueError("submitted_at needs a time zone")
        content = self._content
        content.accepted += self.chunk.products
        content.next_chunk += 1
        content.submitted_at = submitted_at.astimezone(UTC)
        self._save()

    def finish(self) -> None:
        """Note that everything after the sending is done too.

        :raises ValueError: chunks are still to be sent.
        """
        if self.chunk is not None:
            raise ValueError(f"chunk {self.next_chunk} is not accepted yet")
        self._content.finished = True
        self._save()

    def describe(self, interval_seconds: float = 60.0) -> str:
        """Return one line of progress, such as ``chunk 37/100, 36,412 accepted, 63 min left``."""
        minutes = self.plan.estimate(interval_seconds, sent_chunks=self.next_chunk)
        return (
            f"chunk {self.next_chunk:,}/{len(self.plan.chunks):,}, {self.accepted:,} accepted, "
            f"{minutes:,.0f} min left"
        )

    def _save(self) -> None:
        write_bytes(self._path, msgspec.json.encode(self._content))


def resume(folder: StoragePath | str, *, generation: str) -> Ledger | None:
    """Find the work a former try of the same task began.

    :param folder: where the plan would lie.
    :param generation: as in :meth:`Ledger.open`.
    :return: the ledger with its plan; ``None`` when there is nothing to continue, so that planning begins.
    :raises MiraklInputError: there is something, but it is broken.
    """
    folder = plain(folder)
    content = _load(folder / LEDGER_FILE)
    if content is None or content.generation != generation:
        return None
    return Ledger.open(Plan.load(folder), generation=generation)


def _accepted(plan: Plan, chunks: int) -> int:
    return sum(chunk.products for chunk in plan.chunks[:chunks])


def _load(path: StoragePath) -> _Content | None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return msgspec.json.decode(data, type=_Content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MiraklInputError(
            f"{path} cannot be read: {error}; remove it to send the plan from its start"
        ) from error
