"""Work made of calls: what to call next, and what to note when it succeeded. Waiting and sending go elsewhere."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec

from airflow_provider_mirakl.api.call import Call, Page
from airflow_provider_mirakl.api.connect import Product, delete_products, list_products, upsert_products
from airflow_provider_mirakl.catalog.ledger import Ledger
from airflow_provider_mirakl.catalog.outcome import Outcome, OutcomeWriter
from airflow_provider_mirakl.catalog.plan import read_chunk, request_body
from airflow_provider_mirakl.catalog.storage import StoragePath, write_bytes
from airflow_provider_mirakl.catalog.verify import Verifier


class Work(Protocol):
    """A row of calls, to be made one after the other, whose progress outlives the process."""

    @property
    def last_call_at(self) -> datetime | None:
        """Moment of the last call that is known to have succeeded, UTC."""

    @property
    def not_before(self) -> datetime | None:
        """Moment before which the next call makes no sense, beside the published interval."""

    def next_call(self) -> Call[Any] | None:
        """The call to make now; ``None`` when the work is done."""

    def accept(self, result: Any, at: datetime) -> None:
        """Note that the call succeeded.

        :param result: what the call gave.
        :param at: the moment of the reply, UTC.
        """

    def describe(self, interval: float) -> str:
        """One line of progress.

        :param interval: seconds between two calls.
        """


class SendWork:
    """Sends the chunks of a plan.

    :param ledger: how far it has come.
    """

    not_before: datetime | None = None

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @property
    def last_call_at(self) -> datetime | None:
        """Moment of the last accepted chunk."""
        return self._ledger.submitted_at

    def next_call(self) -> Call[None] | None:
        """The next chunk, read from where it begins."""
        chunk = self._ledger.chunk
        if chunk is None:
            return None
        body = request_body(read_chunk(self._ledger.plan.folder, chunk))
        return delete_products(body) if self._ledger.plan.kind == "delete" else upsert_products(body)

    def accept(self, result: None, at: datetime) -> None:
        """Note the chunk as accepted."""
        self._ledger.record(self._ledger.next_chunk, at)

    def describe(self, interval: float) -> str:
        """Such as ``chunk 37/100, 36,412 accepted, 63 min left``."""
        return self._ledger.describe(interval)


class _Progress(msgspec.Struct):
    """``progress.json`` of a verification."""

    generation: str
    round: int = 1
    page_token: str | None = None
    last_call_at: datetime | None = None
    not_before: datetime | None = None
    outcome: dict[str, Any] | None = None


class VerifyWork:
    """Reads the catalog back, in rounds, until every product is as it was submitted or the rounds are used up.

    :param verifier: compares.
    :param folder: where progress and per-item rows are kept.
    :param generation: begins anew when it changes.
    :param rounds: how often the whole catalog is read before what is missing counts as failed.
    :param pause: seconds between two rounds.
    """

    def __init__(
        self, verifier: Verifier, folder: StoragePath, *, generation: str, rounds: int, pause: float
    ) -> None:
        self._verifier = verifier
        self._folder = folder
        self._rounds = rounds
        self._pause = pause
        self._path = folder / "progress.json"
        self._progress = self._load(generation)

    @property
    def last_call_at(self) -> datetime | None:
        """Moment of the last page read."""
        return self._progress.last_call_at

    @property
    def not_before(self) -> datetime | None:
        """Moment from which the next round may begin."""
        return self._progress.not_before

    @property
    def outcome(self) -> Outcome | None:
        """What became of the products; ``None`` before the last round is over."""
        return None if self._progress.outcome is None else Outcome.from_summary(self._progress.outcome)

    def next_call(self) -> Call[Page[Product]] | None:
        """The next page."""
        return (
            None
            if self._progress.outcome is not None
            else list_products(page_token=self._progress.page_token)
        )

    def accept(self, result: Page[Product], at: datetime) -> None:
        """Compare a page; at the end of the catalog, judge the round."""
        self._verifier.see(result.items)
        progress = self._progress
        progress.last_call_at = at
        progress.not_before = None
        progress.page_token = dict(result.following.params)["page_token"] if result.following else None
        if result.following is None or self._verifier.complete:
            self._end_round(at)
        self._save()

    def describe(self, interval: float) -> str:
        """Such as ``round 1/3, page 12, 9,114 products read back``."""
        progress = self._progress
        text = f"round {progress.round}/{self._rounds}, {self._verifier.seen:,} products read back"
        return f"{text}; {self.outcome}" if self.outcome else text

    def _end_round(self, at: datetime) -> None:
        progress = self._progress
        progress.page_token = None
        with OutcomeWriter(self._folder / "outcome.ndjson") as writer:
            for result in self._verifier.finish():
                writer.add(result)
        if writer.outcome.failed and progress.round < self._rounds:
            progress.round += 1
            progress.not_before = at + timedelta(seconds=self._pause)
            self._verifier.restart()
        else:
            progress.outcome = writer.outcome.summary()

    def _load(self, generation: str) -> _Progress:
        try:
            progress = msgspec.json.decode(self._path.read_bytes(), type=_Progress)
        except (FileNotFoundError, msgspec.DecodeError):
            progress = None
        if progress is not None and progress.generation == generation:
            return progress
        self._verifier.restart()
        return _Progress(generation)

    def restart(self) -> None:
        """Forget what was read, so that the next try reads again."""
        self._verifier.restart()
        self._progress = _Progress(self._progress.generation)
        self._save()

    def _save(self) -> None:
        write_bytes(self._path, msgspec.json.encode(self._progress))
