"""One repair of single products, from its input to its report. Plain Python: it takes clients.

Progress is kept in a note, so a retry continues after the products that were sent, and knows the states before
the first try.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_mirakl.api.secrets import fit_to_show
from airflow_provider_mirakl.exceptions import MiraklConfigurationError, MiraklInputError
from airflow_provider_mirakl.files.notes import Note
from airflow_provider_mirakl.files.storage import StoragePath, write_bytes
from airflow_provider_mirakl.log_groups import log_lines
from airflow_provider_mirakl.outcome import ItemResult, Outcome, OutcomeWriter
from airflow_provider_mirakl.repair.pairs import Pair, Pairs
from airflow_provider_mirakl.repair.proof import (
    SYNCHRONIZED,
    ProductState,
    read_states,
    result_of,
    state_calls,
)
from airflow_provider_mirakl.repair.record import Repair

if TYPE_CHECKING:
    from airflow_provider_mirakl.client.http import Client
    from airflow_provider_mirakl.repair.routes import Question, Route

SHOWN_PRODUCTS = 200
"""Number of products listed in the task log; the file has all."""

log = logging.getLogger(__name__)


class RepairRun:
    """Carries out one repair.

    :param folder: the folder of the reports.
    :param note: stores the repair.
    :param route: sends the products.
    :param instance: client to read the states of products (CM51); ``None`` for no proof.
    """

    def __init__(
        self, folder: StoragePath, note: Note[Repair], route: Route, instance: Client | None
    ) -> None:
        self._folder = folder
        self._note = note
        self._route = route
        self._instance = instance
        self._repair: Repair | None = None

    @property
    def repair(self) -> Repair:
        """The repair. Available after :meth:`begin` or :meth:`take_up`."""
        assert self._repair is not None  # noqa: S101 - one of the two is called first
        return self._repair

    def begin(self, found: Pairs, *, keep: bool) -> None:
        """Read the states of the products. A retry keeps the states from before the first try.

        :param found: the products.
        :param keep: whether to write a note; a preview does not.
        """
        log.info("%d products, %d listed twice", len(found.pairs), found.duplicates)
        self._repair = Repair(list(found.pairs), found.duplicates)
        kept = self._note.read()
        if kept is not None and kept.products == self._repair.products:
            self._repair = replace(kept, duplicates=found.duplicates)
        if self.repair.before is None and self._instance is not None:
            self.repair.before = self._states(self._instance)
        if keep:
            self._save()

    def take_up(self) -> None:
        """Continue after a wait in the triggerer.

        :raises MiraklConfigurationError: the note is missing.
        """
        self._repair = self._note.read()
        if self._repair is None:
            raise MiraklConfigurationError(
                f"work_folder: the notes in {self._folder} are missing; check that every worker can access it",
                field="work_folder",
            )

    def send(self, batch_size: int) -> None:
        """Send the remaining products, in batches.

        :raises MiraklError: a batch was not accepted; a report says which products were sent.
        """
        repair = self.repair
        if repair.sent:
            log.info(
                "The previous try sent %d of %d products; continuing after them",
                repair.sent,
                len(repair.products),
            )
        while repair.sent < len(repair.products):
            batch = repair.products[repair.sent : repair.sent + batch_size]
            try:
                word = self._route.send(batch, repair)
            except Exception as error:
                self._report_stop(error)
                raise
            repair.sent += len(batch)
            self._save()
            log.info("%s", word)

    @property
    def question(self) -> Question | None:
        """What to wait for now; ``None`` if nothing can be polled."""
        return self._route.question(self.repair)

    def preview(self) -> dict[str, Any]:
        """Report what would be sent, without sending it."""
        rows = [
            _row(pair, self.repair.state_before(pair), None) | {"status": "planned"}
            for pair in self.repair.products
        ]
        path = self._write("preview.ndjson", rows)
        log_lines(log.info, f"Preview of route {self._route.name}, nothing was sent:", _lines(rows))
        missing = sum(state.status is None for state in (self.repair.before or {}).values())
        if missing:
            log.warning("The instance does not have %d of the products; check their ids", missing)
        return self._result(Outcome(rows=(path,))) | {"preview": True}

    def conclude(self, found: Mapping[str, Any] | None) -> dict[str, Any]:
        """Evaluate every product, and write the report: state before, state after and result of each.

        :param found: the finding of the wait; ``None`` after a timeout, or if there was nothing to wait for.
        """
        repair = self.repair
        try:
            reported = self._route.reported(repair, found, self._folder)
        finally:
            self._save()
        after = None if self._instance is None else self._states(self._instance)
        silence = self._route.silence(repair)
        rows, rejects = [], []
        with OutcomeWriter(None, job_ids=repair.job_ids) as writer:
            for pair in repair.products:
                key = pair.mirakl_product_id
                state = None if after is None else after[key]
                before, said = repair.state_before(pair), reported.results.get(key)
                item = result_of(pair, state, said, silence)
                was_there = before is not None and before.status == SYNCHRONIZED
                is_reported = said is not None and said.status == "succeeded"
                if reported.short and item.status == "succeeded" and was_there and not is_reported:
                    # Its state did not change, so it may be one of the products that were left out.
                    item = ItemResult(key, "unknown", *silence)
                writer.add(item)
                rows.append(_row(pair, before, state) | _told(item))
                if item.status == "failed":
                    rejects.append(pair.element())
        outcome = replace(writer.outcome, rows=(self._write("outcome.ndjson", rows),))
        if reported.short:
            outcome = self._count_short(outcome, reported.short, len(rows))
        log_lines(log.info, f"Report of route {self._route.name}:", _lines(rows))
        result = self._result(outcome)
        return result | {"rejects": self._write("rejects.ndjson", rejects) if rejects else None}

    # Helpers

    def _states(self, instance: Client) -> dict[str, ProductState]:
        ids = self.repair.product_ids
        commas = [key for key in ids if "," in key]
        if commas:
            raise MiraklInputError(
                f"products: CM51 does not accept an id with a comma, such as {commas[0]!r}"
            )
        states = read_states(ids, map(instance.send, state_calls(ids)))
        return {
            key: replace(state, errors=tuple(fit_to_show(error, instance.secrets) for error in state.errors))
            for key, state in states.items()
        }

    def _count_short(self, outcome: Outcome, short: int, asked: int) -> Outcome:
        """Count as failed what the route left out without saying which, but no product that is proved."""
        log.warning(
            "Route %s did not process %d of %d products, and does not say which",
            self._route.name,
            short,
            asked,
        )
        failed = max(outcome.failed, min(short, asked - outcome.succeeded))
        return replace(outcome, failed=failed, unknown=asked - failed - outcome.succeeded)

    def _report_stop(self, error: Exception) -> None:
        """Report a run that ended between two batches: which products were sent and which were not."""
        repair = self.repair
        if not repair.sent:
            return
        rows, rest = [], []
        for number, pair in enumerate(repair.products):
            key = pair.mirakl_product_id
            if number < repair.sent:
                result = ItemResult(
                    key, "unknown", "NO_PROOF", "it was sent; the run ended before its state was read"
                )
            else:
                result = ItemResult(key, "failed", "NOT_SENT", "the run ended before it was sent")
                rest.append(pair.element())
            rows.append(_row(pair, repair.state_before(pair), None) | _told(result))
        path, rejects = self._write("outcome.ndjson", rows), self._write("rejects.ndjson", rest)
        log.error(
            "%d of %d products were sent before the failure. A retry continues after them; %s contains the others.\n%s",
            repair.sent,
            len(rows),
            rejects,
            _lines(rows),
        )
        error.add_note(
            f"{repair.sent} of {len(rows)} products were sent: {path} lists them; {rejects} contains the others, as "
            "input for the next run"
        )

    def _result(self, outcome: Outcome) -> dict[str, Any]:
        """The result, with the same keys for both routes and for a preview."""
        repair = self.repair
        return outcome.summary() | {
            "route": self._route.name,
            "preview": False,
            "planned": len(repair.products),
            "duplicates": repair.duplicates,
            "synchronized": repair.synchronized,
            "client_specification_id": repair.client_specification_id,
            "rejects": None,
            "folder": str(self._folder),
        }

    def _save(self) -> None:
        self._note.write(self.repair)

    def _write(self, name: str, rows: Iterable[Mapping[str, Any]]) -> str:
        path = self._folder / name
        write_bytes(path, b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows))
        return str(path)


def _row(pair: Pair, before: ProductState | None, after: ProductState | None) -> dict[str, Any]:
    return {
        "mirakl_product_id": pair.mirakl_product_id,
        "product_sku": pair.product_sku,
        "before": None if before is None else str(before),
        "after": None if after is None else str(after),
    }


def _told(result: ItemResult) -> dict[str, Any]:
    return {name: value for name, value in result._asdict().items() if value is not None}


def _lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The report for a task log."""
    lines = [
        f"{row['mirakl_product_id']} ({row['product_sku']}): {row['before'] or '?'} -> {row['after'] or '?'}: "
        + " ".join(str(row[name]) for name in ("status", "code", "message") if row.get(name))
        for row in rows[:SHOWN_PRODUCTS]
    ]
    if len(rows) > SHOWN_PRODUCTS:
        lines.append(f"... and {len(rows) - SHOWN_PRODUCTS:,} more in the file")
    return lines
