"""Sends objects in batches, one call after another, each a job: in a worker, or in the triggerer.

Only for jobs whose calls are harmless to repeat: a triggerer that dies between a call and its note is replaced by one
that makes the call again. Jobs that must not be submitted twice are submitted by a worker
(:mod:`airflow_provider_mirakl.runtime.submitting`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from airflow_provider_mirakl.exceptions import duration
from airflow_provider_mirakl.jobs.copies import changed_copy, check_copy

if TYPE_CHECKING:
    from airflow_provider_mirakl.api.call import Call, Operation
    from airflow_provider_mirakl.api.caller import Caller
    from airflow_provider_mirakl.files.storage import StoragePath
    from airflow_provider_mirakl.jobs.book import JobBook
    from airflow_provider_mirakl.jobs.table import JobId


class Batch(NamedTuple):
    """A batch in the copy.

    :param begins: its start, in bytes.
    :param objects: how many it has.
    :param checksum: CRC-32 of its lines.
    """

    begins: int
    objects: int
    checksum: int


def lay_out(copy: StoragePath, size: int) -> list[Batch]:
    """The batches of a copy.

    :param copy: the objects, one per line.
    :param size: objects in one batch.
    """
    batches: list[Batch] = []
    with copy.open("rb") as file:
        begins = 0
        while lines := list(islice(file, size)):
            data = b"".join(lines)
            batches.append(Batch(begins, len(lines), crc32(data)))
            begins += len(data)
    return batches


class BatchWork:
    """Sends the batches that are not jobs in the book yet.

    :param book: the submitted jobs.
    :param copy: the objects to send, one per line.
    :param size: objects in one batch.
    :param call: makes the call of a batch.
    :param caller: the caller, with its role and shop.
    :raises MiraklNoteError: the copy is not the one that the book notes.
    """

    not_before: datetime | None = None

    def __init__(
        self,
        book: JobBook,
        copy: StoragePath,
        size: int,
        call: Callable[[Caller, list[bytes]], Call[Any]],
        caller: Caller,
    ) -> None:
        self._book = book
        self._copy = copy
        check_copy(copy, book.copy)
        self._batches = lay_out(copy, size)
        self._call = call
        self._caller = caller

    @property
    def left(self) -> list[int]:
        """The batches that are still to be sent: never sent, sent without a reply, or failed as a whole."""
        entries = [self._book.entry(number) for number in range(len(self._batches))]
        return [number for number, entry in enumerate(entries) if entry is None or entry.job_id is None]

    @property
    def last_call_at(self) -> datetime | None:
        """Time of the last call that is known to have succeeded."""
        moments = [entry.at for entry in self._book.entries if entry.job_id is not None]
        return datetime.fromtimestamp(max(moments), UTC) if moments else None

    @property
    def operation(self) -> Operation | None:
        """The operation that submits a batch; ``None`` when all are submitted."""
        return self._call(self._caller, []).operation if self.left else None

    @property
    def is_current(self) -> bool:
        """Whether no other process has submitted batches meanwhile."""
        if not self._copy.exists():
            raise FileNotFoundError(f"{self._copy} is missing: the work folder was removed, or is not shared")
        return self._book.is_current

    @property
    def position(self) -> dict[str, Any]:
        """The number of submitted batches, and of all."""
        count = len(self._batches)
        return {"submitted": count - len(self.left), "batches": count}

    def next_call(self) -> Call[Any] | None:
        """The next batch.

        :raises MiraklNoteError: the copy was changed since the batches were laid out.
        """
        if not (left := self.left):
            return None
        batch = self._batches[left[0]]
        with self._copy.open("rb") as file:
            file.seek(batch.begins)
            lines = list(islice(file, batch.objects))
        if crc32(b"".join(lines)) != batch.checksum:
            raise changed_copy(self._copy)
        return self._call(self._caller, [line.rstrip(b"\n") for line in lines])

    def intend(self) -> None:
        """Note the batch as about to be sent: what cannot be noted must not be sent."""
        number = self.left[0]
        self._book.intend(number, self._batches[number].objects)

    def withdraw(self) -> None:
        """Note that Mirakl did not accept the batch."""
        self._book.withdraw(self.left[0])

    def accept(self, result: Any, at: datetime) -> None:
        """Note the id of the job."""
        entry = self._book.entries[self.left[0]]
        before = entry.job_id, entry.phase, self._book.complete
        self._book.complete = len(self.left) == 1
        job_id: JobId = getattr(result, "import_id", result)
        try:
            self._book.submitted(entry, job_id)
        except BaseException:
            entry.job_id, entry.phase, self._book.complete = before
            raise

    def describe(self, interval: float) -> str:
        """Such as ``batch 3/10 submitted as 2041, 7 min left``."""
        left, count = len(self.left), len(self._batches)
        submitted = f" submitted as {self._book.job_ids[-1]}" if self._book.job_ids else ""
        return f"batch {count - left:,}/{count:,}{submitted}, {duration(left * interval)} left"
