"""What one task has submitted, on storage before and after every submission.

An entry is written before a call is sent (the intent) and again as soon as Mirakl gives the id. So whatever happens to
the worker between, the next try knows: nothing was sent, this job was submitted, or nobody knows.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from airflow_provider_mirakl.exceptions import MiraklInputError
from airflow_provider_mirakl.files.storage import StoragePath, plain, write_bytes

BOOK_FILE = "job.json"
FORMAT_VERSION = 1

Phase = Literal["intent", "submitted", "done", "failed", "abandoned"]


@dataclass(slots=True)
class Entry:
    """One job, or the intent to submit it.

    :param name: unique name of the submission: dag, task, run, map index, generation and input, hashed.
    :param at: moment of the intent, in seconds since the epoch.
    :param phase: how far it has come. ``failed`` is a job that ended without doing its work.
    :param job_id: Mirakl's id, once there is one.
    :param items: items it carries, where that is known.
    :param status: Mirakl's last word on it, once it ended.
    """

    name: str
    at: float
    phase: Phase = "intent"
    job_id: int | str | None = None
    items: int | None = None
    status: dict[str, Any] | None = None


@dataclass(slots=True)
class JobBook:
    """The jobs of a task, in the order in which they are submitted. Made by :meth:`open` and :meth:`load`.

    :param generation: changes when the task is cleared.
    :param payload: hash of what is submitted; another payload is another job.
    :param entries: the jobs.
    :param result: the task's result, once every job is judged.
    :param complete: whether there is nothing left to submit.
    """

    path: StoragePath
    generation: str
    payload: str
    entries: list[Entry] = field(default_factory=list)
    result: dict[str, Any] | None = None
    complete: bool = False

    @classmethod
    def open(cls, folder: StoragePath, *, generation: str, payload: str) -> JobBook:
        """Take up what a former try of the same task began; begin anew after a clear, or when the input has changed."""
        folder = plain(folder)
        folder.mkdir(parents=True, exist_ok=True)
        kept = _read(folder / BOOK_FILE)
        if kept is not None and (kept.generation, kept.payload) == (generation, payload):
            return kept
        return cls(folder / BOOK_FILE, generation, payload)

    @classmethod
    def load(cls, folder: StoragePath, *, generation: str) -> JobBook:
        """Take up the book after a deferral.

        :raises MiraklInputError: it is not there any more, or belongs to a run before a clear.
        """
        kept = cls.find(folder, generation=generation)
        if kept is None:
            raise MiraklInputError(
                f"{plain(folder) / BOOK_FILE} is gone or belongs to another run; does every worker reach it?"
            )
        return kept

    @classmethod
    def find(cls, folder: StoragePath, *, generation: str) -> JobBook | None:
        """The book of a former try of the same task, whatever it submitted."""
        kept = _read(plain(folder) / BOOK_FILE)
        return None if kept is None or kept.generation != generation else kept

    def name(self, index: int) -> str:
        """Unique name of the submission with this index, the same in every try."""
        words = f"{self.generation}\0{self.payload}\0{index}"
        return hashlib.sha256(words.encode()).hexdigest()[:12]

    def entry(self, index: int) -> Entry | None:
        """The job with this index; ``None`` while there is not even an intent, or it ended without doing its work."""
        found = self.entries[index] if index < len(self.entries) else None
        return None if found is None or found.phase == "failed" else found

    def intend(self, index: int, items: int | None) -> Entry:
        """Note that a submission is about to be sent."""
        entry = Entry(self.name(index), time.time(), items=items)
        self.entries[index : index + 1] = [entry]
        self.complete = False
        self.save()
        return entry

    def withdraw(self, index: int) -> None:
        """Note that it surely was not taken."""
        if index == len(self.entries) - 1:
            del self.entries[index]
        else:  # one of several that is submitted again; those behind it stand
            self.entries[index].phase = "failed"
        self.save()

    def submitted(self, entry: Entry, job_id: int | str) -> None:
        """Note Mirakl's id."""
        entry.job_id, entry.phase = job_id, "submitted"
        self.save()

    def ended(self, entry: Entry, status: dict[str, Any], *, failed: bool) -> None:
        """Note Mirakl's last word."""
        entry.status, entry.phase = status, "failed" if failed else "done"
        self.save()

    def abandon(self) -> list[Entry]:
        """Note that nobody waits any more for the jobs that have not ended; give them."""
        left = [entry for entry in self.entries if entry.phase == "submitted"]
        for entry in left:
            entry.phase = "abandoned"
        self.save()
        return left

    @property
    def all_submitted(self) -> bool:
        """Whether every submission is a job of Mirakl's, and none ended without doing its work."""
        return self.complete and all(
            entry.job_id is not None and entry.phase != "failed" for entry in self.entries
        )

    @property
    def job_ids(self) -> list[int | str]:
        """Mirakl's ids."""
        return [entry.job_id for entry in self.entries if entry.job_id is not None]

    def save(self) -> None:
        """Write the file in one step."""
        content = asdict(self) | {"format": FORMAT_VERSION, "saved_at": datetime.now(UTC).isoformat()}
        del content["path"]
        write_bytes(self.path, json.dumps(content, ensure_ascii=False).encode())


def _read(path: StoragePath) -> JobBook | None:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise MiraklInputError(
            f"{path} cannot be read ({error}); look in Mirakl whether the job is there, then remove the file"
        ) from None
    return JobBook(
        path,
        content["generation"],
        content["payload"],
        [Entry(**entry) for entry in content["entries"]],
        content["result"],
        content.get("complete", False),
    )
