"""The location of a piece of work, as plain data, so that another process (a worker or the triggerer) can open it.

Opening never starts work. If the plan, its state or the progress cannot be accessed, it raises ``FileNotFoundError`` or
:exc:`~airflow_provider_mirakl.exceptions.MiraklMissingFileError`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_mirakl.api.caller import Caller
from airflow_provider_mirakl.catalog.ledger import resume
from airflow_provider_mirakl.catalog.plan import PLAN_FILE
from airflow_provider_mirakl.catalog.reading import plans_in
from airflow_provider_mirakl.catalog.sync import SyncPlan, is_planned
from airflow_provider_mirakl.catalog.verify import VERIFY_FOLDER, Verifier
from airflow_provider_mirakl.catalog.work import PROGRESS, ListWork, SendWork, VerifyWork, Work
from airflow_provider_mirakl.extract.listings import find_listing
from airflow_provider_mirakl.extract.work import PROGRESS as EXTRACT
from airflow_provider_mirakl.extract.work import ExtractWork, Window
from airflow_provider_mirakl.files.notes import NoteKind, Store
from airflow_provider_mirakl.files.paths import storage_path
from airflow_provider_mirakl.files.storage import StoragePath
from airflow_provider_mirakl.jobs.batches import BatchWork
from airflow_provider_mirakl.jobs.book import JobBook
from airflow_provider_mirakl.jobs.table import JOBS
from airflow_provider_mirakl.triggers.stored import check_call, find_function


@dataclass(frozen=True, slots=True)
class Place:
    """The location of a piece of work.

    :param opener: path of the function that opens it, ``package.module.function``. It returns the work, or ``None``
        when all its calls are made.
    :param arguments: its keyword arguments; serializable as JSON and not secret: Airflow stores them in plain text.
    """

    opener: str
    arguments: dict[str, Any] = field(default_factory=dict)

    def open(self, store: Store | None = None) -> Work | None:
        """Open the work.

        :param store: the second place of its notes.
        :raises FileNotFoundError: its plan or its progress cannot be accessed from here.
        :raises MiraklMissingFileError: the same, for the state of a sync.
        :raises MiraklConfigurationError: the function does not exist.
        """
        opener: Callable[..., Work | None] = find_function("opener", self.opener)
        check_call(opener, self.arguments, store=store)
        return opener(**self.arguments, store=store)


@dataclass(frozen=True, slots=True)
class Here:
    """Work of this process only: it cannot be passed to a triggerer.

    :param work: the work.
    """

    work: Work

    def open(self, store: Store | None = None) -> Work | None:
        """The work; ``None`` when all its calls are made."""
        return _unfinished(self.work)


def place_of(opener: Callable[..., Work | None], **arguments: Any) -> Place:
    """The place that a function of this module opens."""
    return Place(f"{opener.__module__}.{opener.__qualname__}", arguments)


def open_plan(*, folder: str, generation: str, store: Store | None = None) -> Work | None:
    """The chunks of a plan that are still to be sent."""
    place = storage_path(folder)
    ledger = resume(place, generation=generation, store=store) if (place / PLAN_FILE).exists() else None
    if ledger is None:
        raise FileNotFoundError(f"{folder} has no plan of this task")
    return None if ledger.chunk is None else SendWork(ledger)


def open_sync(*, folder: str, generation: str, state: str, store: Store | None = None) -> Work | None:
    """The chunks of a sync that are still to be sent: upserts first, then deletes."""
    place = storage_path(folder)
    if not is_planned(place, generation=generation, store=store):
        raise FileNotFoundError(f"{folder} has no plan of this task")
    sync = SyncPlan.load(place, storage_path(state))
    sync.state.require_begun()
    for ledger in sync.ledgers(generation=generation, store=store):
        if ledger.chunk is not None:
            return SendWork(ledger, sync)
    return None


def open_list(*, folder: str, generation: str, target: str, store: Store | None = None) -> Work | None:
    """The pages of the catalog that are still to be read."""
    work = ListWork(storage_path(target), _begun(folder, PROGRESS, generation), generation=generation)
    return _unfinished(work)


def open_verify(
    *,
    folder: str,
    generation: str,
    submitted: str,
    sample: int | None,
    rounds: int,
    pause: float,
    reader: str = VERIFY_FOLDER,  # triggers that an earlier version stored do not name it
    store: Store | None = None,
) -> Work | None:
    """The pages of this round of a verification that are still to be read."""
    work = VerifyWork(
        [Verifier(plan, sample=sample, folder=reader) for plan in plans_in(storage_path(submitted))],
        _begun(folder, PROGRESS, generation),
        generation=generation,
        rounds=rounds,
        pause=pause,
    )
    return _unfinished(work)


def open_extract(
    *,
    folder: str,
    generation: str,
    listing: str | dict[str, Any],
    ends: str | None,
    watermark: str | None,
    overlap: float,
    keep_persons: bool,
    store: Store | None = None,
) -> Work | None:
    """The pages of an extract that are still to be read."""
    work = ExtractWork(
        find_listing(listing),
        Window(
            datetime.now(UTC),  # where it really began is in its note
            None if ends is None else datetime.fromisoformat(ends),
            None if watermark is None else storage_path(watermark),
            timedelta(seconds=overlap),
        ),
        _begun(folder, EXTRACT, generation),
        generation=generation,
        keep_persons=keep_persons,
    )
    return _unfinished(work)


def open_batches(
    *,
    folder: str,
    generation: str,
    kind: str,
    copy: str,
    size: int,
    role: str,
    shop_id: int | None,
    store: Store | None = None,
) -> Work | None:
    """The batches of a job operator that are still to be sent."""
    place, call = storage_path(copy), JOBS[kind].batch
    book = JobBook.find(storage_path(folder), generation=generation, store=store)
    if book is None or call is None or not place.exists():
        raise FileNotFoundError(f"there is no {copy}")
    work = BatchWork(book, place, size, call, Caller(role, shop_id))
    return _unfinished(work)


def _unfinished(work: Work) -> Work | None:
    """The work; ``None`` when all its calls are made."""
    return None if work.operation is None else work


def _begun(folder: str, kind: NoteKind[Any], generation: str) -> StoragePath:
    """The folder of a task that has begun.

    :raises FileNotFoundError: it has no note of this generation: the disk is another one, or the task was cleared
        and has started over. To go on would overwrite what the new try notes.
    """
    place = storage_path(folder)
    if kind.at(place, generation=generation).read() is None:
        raise FileNotFoundError(f"{folder} has no {kind.file} of this task")
    return place
