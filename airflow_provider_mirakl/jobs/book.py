"""What one task has submitted, noted before and after every submission.

An entry is written before a call is sent (the intent) and again as soon as Mirakl returns the id. So whatever happens
to the worker in between, the next try knows which of three states applies: nothing was sent, this job was submitted,
or it is not known whether Mirakl accepted it.

==============  ====================================================================  ==============================
Phase           What is known                                                         What the next try does
==============  ====================================================================  ==============================
no entry        nothing was sent                                                      submits
``intent``      a call was about to be made; whether it was accepted is not known     resolves it (``on_unclear``)
``submitted``   Mirakl returned the id                                                waits for that job
``abandoned``   like ``submitted``; the try that waited for it was killed             waits for that job
``done``        the job ended                                                         uses the noted status
``failed``      the job ended without doing its work                                  submits again
==============  ====================================================================  ==============================
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from airflow_provider_mirakl.exceptions import MiraklInputError
from airflow_provider_mirakl.files.notes import Note, NoteKind, Store
from airflow_provider_mirakl.files.sealed import Stamp
from airflow_provider_mirakl.files.storage import StoragePath

Phase = Literal["intent", "submitted", "done", "failed", "abandoned"]


@dataclass(slots=True)
class Entry:
    """One job, or the intent to submit it.

    :param name: unique name of the submission: dag, task, run, map index, generation and input, hashed.
    :param at: time of the intent, in seconds since the epoch, by this machine's clock.
    :param phase: see the table of the module.
    :param job_id: Mirakl's id, once there is one.
    :param items: number of items in it, if known.
    :param status: its last status in Mirakl, once it has ended.
    :param clock: seconds that Mirakl's clock is ahead of this machine's, if a reply showed it.
    :param span: seconds after ``at`` within which it may have been sent, if the exact time is not known.
    :param ended: ids of jobs that ended without doing its work, before it was submitted again.
    """

    name: str
    at: float
    phase: Phase = "intent"
    job_id: int | str | None = None
    items: int | None = None
    status: dict[str, Any] | None = None
    clock: float | None = None
    span: float = 0.0
    ended: list[int | str] = field(default_factory=list)

    @property
    def is_job(self) -> bool:
        """Whether it is a job in Mirakl that has not ended without doing its work."""
        return self.job_id is not None and self.phase != "failed"


class _Content(msgspec.Struct):
    """``job.json``."""

    payload: str
    entries: list[Entry]
    result: dict[str, Any] | None = None
    complete: bool = False
    rejected: int = 0
    copy: Stamp | None = None
    asked_at: float | None = None
    sent_again: bool = False
    left: bool = False


JOB_BOOK = NoteKind(
    file="job.json",
    holds="the jobs that a task submitted",
    type=_Content,
    damaged="stop",
    fix="Check in Mirakl's back office whether the job exists; then remove the file and clear the task to submit "
    "again.",
    version=2,
)


class Claim(msgspec.Struct):
    """Which task submitted a job.

    :param asked_at: of an export, when its request was made, in seconds since the epoch.
    """

    owner: str
    asked_at: float | None = None


CLAIM = NoteKind(
    file="submitted/*.json",
    holds="which task submitted a job",
    type=Claim,
    damaged="restart",
    fix="The job is assumed not to belong to another task.",
)


class Open(msgspec.Struct):
    """A submission that a task is about to send, or has sent, and whose job it does not know.

    :param owner: the task instance.
    :param at: when, in seconds since the epoch, by the clock of its machine.
    :param span: seconds after ``at`` within which it may have been sent, if the exact time is not known.
    :param shop_id: for which shop; ``None`` for the key's own.
    :param lines: lines of its input, if they are counted.
    :param lost: whether the reply was lost. Otherwise the id will be known soon.
    :param clock: seconds that Mirakl's clock is ahead of that machine's, if a reply showed it.
    """

    owner: str
    at: float
    span: float = 0.0
    shop_id: int | None = None
    lines: int | None = None
    lost: bool = False
    clock: float | None = None


OPEN = NoteKind(
    file="submitted/open/*.json",
    holds="that a task may have submitted a job",
    type=Open,
    damaged="restart",
    fix="It is assumed that no other task waits for the id of a job.",
)


@dataclass(slots=True)
class JobBook:
    """The jobs of a task, in the order of submission. Made by :meth:`open`, :meth:`find` and
    :meth:`load`.

    :param payload: hash of what is submitted; another payload is another job.
    :param entries: the jobs.
    :param result: the task's result, once every job is evaluated.
    :param complete: whether everything has been submitted.
    :param rejected: number of items that are not sent because they are invalid. It is noted here because the file that
        lists them can be lost with the work folder, and they must still count as failed.
    :param copy: what the copy of the input is recognized by, if one is sent.
    :param asked_at: when the request of an export was made, in seconds since the epoch: see :meth:`ask`.
    :param sent_again: whether the request was sent again without knowing whether Mirakl had accepted it.
    :param left: whether the task left this worker while something was still to be submitted. Another worker may have
        continued, and kept its notes on another disk.
    """

    note: Note[_Content]
    payload: str
    entries: list[Entry] = field(default_factory=list)
    result: dict[str, Any] | None = None
    complete: bool = False
    rejected: int = 0
    copy: Stamp | None = None
    asked_at: float | None = None
    sent_again: bool = False
    left: bool = False

    @classmethod
    def open(
        cls, folder: StoragePath, *, generation: str, payload: str, store: Store | None = None
    ) -> JobBook:
        """Continue the book of a previous try of the same task; start over after a clear, or if the input has changed.

        A new note is written at once: a folder that cannot be written to stops the task before a call is made.

        :param folder: the task's folder.
        :param generation: changes when the task is cleared.
        :param payload: hash of what is submitted.
        :param store: a second place for the note.
        :raises MiraklNoteError: the note is damaged.
        :raises MiraklStorageError: the note cannot be written.
        """
        kept = cls.find(folder, generation=generation, store=store)
        if kept is not None and kept.payload == payload:
            return kept
        if kept is not None:  # its jobs are kept until the first submission of the new input
            return cls(kept.note, payload)
        book = cls(_note(folder, generation, store), payload)
        book.save()
        return book

    @classmethod
    def find(cls, folder: StoragePath, *, generation: str, store: Store | None = None) -> JobBook | None:
        """The book of a previous try of the same task, even for another payload."""
        note = _note(folder, generation, store)
        content = note.read()
        if content is None:
            return None
        return cls(
            note,
            content.payload,
            content.entries,
            content.result,
            content.complete,
            content.rejected,
            content.copy,
            content.asked_at,
            content.sent_again,
            content.left,
        )

    @classmethod
    def load(cls, folder: StoragePath, *, generation: str, store: Store | None = None) -> JobBook:
        """Reload the book after a deferral.

        :raises MiraklInputError: the note is missing, or belongs to a run before a clear.
        """
        kept = cls.find(folder, generation=generation, store=store)
        if kept is None:
            raise MiraklInputError(
                f"{folder / JOB_BOOK.file} is missing or belongs to another run; check that every worker can "
                "access [mirakl] work_folder"
            )
        return kept

    def name(self, index: int) -> str:
        """Unique name of the submission with this index, the same in every try."""
        words = f"{self.note.generation}\0{self.payload}\0{index}"
        return hashlib.sha256(words.encode()).hexdigest()[:12]

    def entry(self, index: int) -> Entry | None:
        """The job with this index; ``None`` without an intent, or if it ended without doing its work."""
        found = self.entries[index] if index < len(self.entries) else None
        return None if found is None or found.phase == "failed" else found

    def ask(self) -> None:
        """Note that the request of an export is made now; later changes may be missing from the export.

        If an earlier request may have been accepted, its time is kept: Mirakl may recognize an identical request, and
        return the id of the first job. Saved with the next entry.
        """
        if not (self.sent_again or self.unclear):
            self.asked_at = time.time()

    def intend(self, index: int, items: int | None, clock: float | None = None) -> Entry:
        """Note that a submission is about to be sent.

        :param clock: see :class:`Entry`.
        :raises MiraklStorageError: it cannot be noted, so the call must not be made.
        """
        former = self.entries[index : index + 1]
        ended = [job_id for each in former for job_id in (*each.ended, each.job_id) if job_id is not None]
        entry = Entry(self.name(index), time.time(), items=items, clock=clock, ended=ended)
        self.entries[index : index + 1] = [entry]
        self.complete = False
        self.save()
        return entry

    def withdraw(self, index: int) -> None:
        """Note that it was certainly not accepted."""
        if index == len(self.entries) - 1:
            del self.entries[index]
        else:  # one of several is submitted again; keep those after it
            self.entries[index].phase = "failed"
        self.save()

    def submitted(self, entry: Entry, job_id: int | str) -> None:
        """Note Mirakl's id."""
        entry.job_id, entry.phase = job_id, "submitted"
        self.save()

    def ended(self, entry: Entry, status: dict[str, Any], *, failed: bool) -> None:
        """Note the last status."""
        entry.status, entry.phase = status, "failed" if failed else "done"
        self.save()

    def abandon(self) -> list[Entry]:
        """Note that the task no longer waits for the unfinished jobs, and return them."""
        left = [entry for entry in self.entries if entry.phase == "submitted"]
        for entry in left:
            entry.phase = "abandoned"
        self.save()
        return left

    @property
    def all_submitted(self) -> bool:
        """Whether every submission is a job in Mirakl, and none ended without doing its work."""
        return self.complete and all(entry.is_job for entry in self.entries)

    @property
    def is_current(self) -> bool:
        """Whether the note still says what this object knows: no other process has submitted jobs meanwhile."""
        return self.note.read() == self._content

    @property
    def job_ids(self) -> list[int | str]:
        """Mirakl's ids."""
        return [entry.job_id for entry in self.entries if entry.job_id is not None]

    @property
    def is_empty(self) -> bool:
        """Whether Mirakl has accepted no submission, or only jobs that ended without doing their work."""
        return not any(entry.is_job for entry in self.entries)

    @property
    def known_ids(self) -> set[int | str]:
        """Every id that Mirakl gave to a submission of this book, also of jobs that were submitted again."""
        return {*self.job_ids, *(job_id for entry in self.entries for job_id in entry.ended)}

    @property
    def texts(self) -> list[str]:
        """The ids as results have them, whether Mirakl numbers its jobs or names them."""
        return [str(job_id) for job_id in self.job_ids]

    @property
    def unclear(self) -> list[Entry]:
        """Submissions that Mirakl may or may not have accepted."""
        return [entry for entry in self.entries if entry.phase == "intent"]

    def save(self) -> None:
        """Write the note atomically."""
        self.note.write(self._content)

    @property
    def _content(self) -> _Content:
        return _Content(
            self.payload,
            self.entries,
            self.result,
            self.complete,
            self.rejected,
            self.copy,
            self.asked_at,
            self.sent_again,
            self.left,
        )


def _note(folder: StoragePath, generation: str, store: Store | None) -> Note[_Content]:
    return JOB_BOOK.at(folder, generation=generation, store=store)
