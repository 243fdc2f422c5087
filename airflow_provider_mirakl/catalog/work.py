"""Work made of calls: the next call, and the note of its success. Waiting and sending are done elsewhere."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import msgspec

from airflow_provider_mirakl.api.call import Call, Operation, Page
from airflow_provider_mirakl.api.connect import (
    DELETE_PRODUCTS,
    LIST_PRODUCTS,
    UPSERT_PRODUCTS,
    Product,
    delete_products,
    list_products,
    upsert_products,
)
from airflow_provider_mirakl.api.steps import OnlyReads
from airflow_provider_mirakl.catalog.ledger import Ledger
from airflow_provider_mirakl.catalog.plan import PLAN_FILE, read_chunk, request_body
from airflow_provider_mirakl.catalog.sync import SyncPlan
from airflow_provider_mirakl.catalog.verify import Findings, Verifier
from airflow_provider_mirakl.exceptions import MiraklNoteError, counted
from airflow_provider_mirakl.files.notes import NoteKind
from airflow_provider_mirakl.files.pages import Pages
from airflow_provider_mirakl.files.storage import StoragePath, line_blocks, writing
from airflow_provider_mirakl.outcome import Outcome, OutcomeWriter

log = logging.getLogger(__name__)


class Work(Protocol):
    """A sequence of calls whose progress outlives the process."""

    @property
    def last_call_at(self) -> datetime | None:
        """Time of the last call that is known to have succeeded, UTC."""

    @property
    def not_before(self) -> datetime | None:
        """Time before which the next call is pointless, besides the published interval."""

    @property
    def operation(self) -> Operation | None:
        """The operation of the next call, without reading anything; ``None`` when all calls are made."""

    @property
    def is_current(self) -> bool:
        """Whether the progress on storage still matches this object; false if another process has continued."""

    @property
    def position(self) -> dict[str, Any]:
        """The progress, small and serializable as JSON, for the event of a trigger and for messages."""

    def next_call(self) -> Call[Any] | None:
        """Read the call to make now; ``None`` when all calls are made."""

    def intend(self) -> None:
        """Note that the call is made now, after all waiting."""

    def withdraw(self) -> None:
        """Note that the call was certainly not carried out."""

    def accept(self, result: Any, at: datetime) -> None:
        """Note that the call succeeded. If this raises, nothing has changed and it may be called again.

        :param result: result of the call.
        :param at: time of the reply, UTC.
        """

    def describe(self, interval: float) -> str:
        """One line of progress.

        :param interval: seconds between two calls.
        """


class SendWork:
    """Sends the chunks of a plan.

    :param ledger: the progress.
    :param sync: the sync of the plan, if any. It is notified of each chunk before the call and after its acceptance,
        before the chunk is noted here, so that a crash repeats the chunk and loses nothing.
    """

    not_before: datetime | None = None

    def __init__(self, ledger: Ledger, sync: SyncPlan | None = None) -> None:
        self._ledger = ledger
        self._sync = sync

    @property
    def last_call_at(self) -> datetime | None:
        """Time of the last accepted chunk."""
        return self._ledger.submitted_at

    @property
    def operation(self) -> Operation | None:
        """The operation of the plan; ``None`` when every chunk is accepted."""
        if self._ledger.chunk is None:
            return None
        return DELETE_PRODUCTS if self._ledger.plan.kind == "delete" else UPSERT_PRODUCTS

    @property
    def is_current(self) -> bool:
        """Whether no other process has sent chunks meanwhile.

        :raises FileNotFoundError: the plan is missing.
        """
        path = self._ledger.plan.folder / PLAN_FILE
        if not path.exists():
            raise FileNotFoundError(f"{path} is missing: the work folder was removed, or is not shared")
        return self._ledger.is_current

    @property
    def position(self) -> dict[str, Any]:
        """The plan, and the first chunk that is not known to be accepted."""
        ledger = self._ledger
        return {
            "plan": ledger.plan.id,
            "next_chunk": ledger.next_chunk,
            "chunks": len(ledger.plan.chunks),
            "accepted": ledger.accepted,
        }

    def next_call(self) -> Call[None] | None:
        """The next chunk, read from where it begins."""
        chunk = self._ledger.chunk
        if chunk is None:
            return None
        body = request_body(read_chunk(self._ledger.plan.folder, chunk))
        return delete_products(body) if self._ledger.plan.kind == "delete" else upsert_products(body)

    def intend(self) -> None:
        """Note the chunk as about to be sent: what cannot be noted must not be sent."""
        self._ledger.save()
        if self._sync is not None:
            self._sync.intend(self._ledger.plan, self._ledger.next_chunk)

    def withdraw(self) -> None:
        """Note that Mirakl did not accept the chunk."""
        if self._sync is not None:
            self._sync.withdraw()

    def accept(self, result: None, at: datetime) -> None:
        """Note the chunk as accepted."""
        if self._sync is not None:
            self._sync.commit(self._ledger.plan, self._ledger.next_chunk)
        self._ledger.record(self._ledger.next_chunk, at)

    def describe(self, interval: float) -> str:
        """Such as ``chunk 37/100, 36,412 accepted, 63 min left``."""
        return self._ledger.describe(interval)


class _Progress(msgspec.Struct):
    """``progress.json``: the progress of a walk through the catalog."""

    round: int = 1
    pages: list[int] = msgspec.field(default_factory=list)
    """A checksum of each page read in this round."""
    products: int = 0
    page_token: str | None = None
    last_call_at: datetime | None = None
    not_before: datetime | None = None
    read: bool = False
    """Whether all pages of this round are read, and only its end remains."""
    finished: bool = False
    outcome: dict[str, Any] | None = None
    found: Findings = msgspec.field(default_factory=Findings)
    """Of a verification: what the last round found."""


PROGRESS = NoteKind(
    file="progress.json",
    holds="how far the catalog has been read",
    type=_Progress,
    damaged="restart",
    fix="The catalog is read from its first page again.",
    version=2,
)


class _Walk(OnlyReads, ABC):
    """A walk through the pages of listProducts that continues where it was interrupted.

    :param folder: the folder of the progress; created if missing.
    :param generation: starts over when it changes.
    """

    def __init__(self, folder: StoragePath, *, generation: str) -> None:
        self._folder = folder
        self._note = PROGRESS.at(folder, generation=generation)
        progress = self._note.read()
        if progress is None:
            self._progress = _Progress()
            self._forget()
            self._save()  # shows the triggerer that it has the same storage
        else:
            self._progress = progress

    @property
    def last_call_at(self) -> datetime | None:
        """Time of the last page read."""
        return self._progress.last_call_at

    @property
    def not_before(self) -> datetime | None:
        """Time from which the next walk may begin."""
        return self._progress.not_before

    @property
    def finished(self) -> bool:
        """Whether there is nothing more to read."""
        return self._progress.finished

    @property
    def operation(self) -> Operation | None:
        """``None`` when the round is read."""
        return None if self.finished or self._progress.read else LIST_PRODUCTS

    @property
    def is_current(self) -> bool:
        """Whether no other process has read pages meanwhile."""
        return self._note.read() == self._progress

    @property
    def position(self) -> dict[str, Any]:
        """Round and pages."""
        progress = self._progress
        return {"round": progress.round, "pages": len(progress.pages), "products": progress.products}

    def next_call(self) -> Call[Page[Product]] | None:
        """The next page."""
        return None if self.operation is None else list_products(page_token=self._progress.page_token)

    def accept(self, result: Page[Product], at: datetime) -> None:
        """Process a page."""
        before = self._progress
        self._progress = progress = msgspec.structs.replace(before, pages=list(before.pages))
        try:
            if progress.page_token is None:
                self._forget()  # a process killed at the end of a walk leaves its pages
            is_last = self._take(result.items)
            progress.last_call_at = at
            progress.not_before = None
            progress.page_token = dict(result.following.params)["page_token"] if result.following else None
            progress.read = is_last or result.following is None
            self._save()
        except BaseException:
            self._progress = before
            raise

    def end_round(self) -> bool:
        """End the round if all its pages are read. For a worker: it may compare a whole catalog.

        :return: whether a round was ended.
        """
        progress = self._progress
        if self.finished or not progress.read:
            return False
        progress.page_token, progress.read = None, False
        try:
            self._end(progress.last_call_at or datetime.now(UTC))
        except MiraklNoteError:  # a stored page is damaged: a retry reads the catalog again
            self.restart()
            raise
        self._save()
        self._tidy()
        return True

    def restart(self) -> None:
        """Discard what was read, so that the next try reads again."""
        self._forget()
        self._progress = _Progress()
        self._save()

    @abstractmethod
    def _take(self, products: list[Product]) -> bool:
        """Process the products of a page; true if no further page matters."""

    @abstractmethod
    def _end(self, at: datetime) -> None:
        """End a round: set ``finished``, or begin the next one."""

    @abstractmethod
    def _tidy(self) -> None:
        """Remove files of an ended walk. Only after its end is noted, since a crash before that needs the pages."""

    @abstractmethod
    def _forget(self) -> None:
        """Remove files of earlier pages."""

    def _save(self) -> None:
        self._note.write(self._progress)


class VerifyWork(_Walk):
    """Reads the catalog back, in rounds, until every product is as submitted or no rounds are left.

    :param verifiers: the verifiers, each for a plan.
    :param folder: the folder of the progress and the rows per item.
    :param generation: starts over when it changes.
    :param rounds: how often the whole catalog is read before missing products count as failed.
    :param pause: seconds between two rounds.
    """

    def __init__(
        self,
        verifiers: Sequence[Verifier],
        folder: StoragePath,
        *,
        generation: str,
        rounds: int,
        pause: float,
    ) -> None:
        self._verifiers = verifiers
        self._rounds = rounds
        self._pause = pause
        super().__init__(folder, generation=generation)
        progress = self._progress
        if not verifiers:
            progress.finished = True
        elif not progress.finished and min(verifier.pages for verifier in verifiers) < len(progress.pages):
            # Without these pages, a product that is still listed would count as deleted.
            log.warning(
                "Pages that were read are missing; this round reads the catalog from its first page again."
            )
            progress.pages, progress.page_token, progress.read = [], None, False
            self._save()

    @property
    def outcome(self) -> Outcome | None:
        """The outcome of the products in the last finished round."""
        return None if self._progress.outcome is None else Outcome.from_summary(self._progress.outcome)

    def failed_ids(self) -> Iterator[str]:
        """The products that the last round found missing, different, or not deleted."""
        with (self._folder / "outcome.ndjson").open("rb") as file:
            for lines in line_blocks(file):
                for row in map(msgspec.json.decode, lines):
                    if row["status"] == "failed":
                        yield row["item_id"]

    def describe(self, interval: float) -> str:
        """Such as ``round 2/3: 9 products read back; round 1 found 1 missing, 9 verified; still waiting for: A``."""
        progress = self._progress
        seen = sum(verifier.seen for verifier in self._verifiers)
        text = f"round {progress.round}/{self._rounds}: {counted(seen, 'product')} read back"
        if not progress.found.counts:
            return text
        last = progress.round - (not self.finished)
        return f"{text}; round {last} found {progress.found}"

    def _take(self, products: list[Product]) -> bool:
        for verifier in self._verifiers:
            verifier.see(products)
        self._progress.pages.append(0)  # the verifiers store what they need
        self._progress.products += len(products)
        return all(verifier.complete for verifier in self._verifiers)

    def _end(self, at: datetime) -> None:
        progress = self._progress
        progress.found = Findings()
        with OutcomeWriter(self._folder / "outcome.ndjson") as writer:
            for verifier in self._verifiers:
                for result in verifier.finish():
                    writer.add(result)
                    progress.found.add(result)
        progress.outcome = writer.outcome.summary()
        progress.finished = not writer.outcome.failed or progress.round >= self._rounds
        if not progress.finished:
            progress.round += 1
            progress.pages = []
            progress.not_before = at + timedelta(seconds=self._pause)

    def _tidy(self) -> None:
        if not self.finished:
            self._forget()

    def _forget(self) -> None:
        for verifier in self._verifiers:
            verifier.restart()


class ListWork(_Walk):
    """Writes the whole catalog to one NDJSON file, which appears when it is complete.

    :param target: the file.
    :param folder: the folder of the progress and the pages read so far.
    :param generation: starts over when it changes.
    """

    def __init__(self, target: StoragePath, folder: StoragePath, *, generation: str) -> None:
        self._target = target
        self._pages = Pages(folder)
        super().__init__(folder, generation=generation)

    @property
    def products(self) -> int:
        """Products read so far."""
        return self._progress.products

    def describe(self, interval: float) -> str:
        """Such as ``page 12, 12,000 products``."""
        text = f"page {len(self._progress.pages):,}, {counted(self.products, 'product')}"
        return f"{text}; written to {self._target}" if self.finished else text

    def _take(self, products: list[Product]) -> bool:
        rows = b"".join(msgspec.json.encode(product) + b"\n" for product in products)
        if self._pages.add(self._progress.pages, rows):
            self._progress.products += len(products)
        return False

    def _end(self, at: datetime) -> None:
        self._target.parent.mkdir(parents=True, exist_ok=True)
        with writing(self._target) as file:
            for number, checksum in enumerate(self._progress.pages):
                file.write(self._pages.read(number, checksum))
        self._progress.finished = True

    def _tidy(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._pages.forget()
