"""The results of the items of a write, for every operation.

A write ends in one :class:`Outcome`: a few numbers, the most frequent errors and the place of the per-item rows. The
summary is small enough for XCom; the rows are NDJSON in storage, written by :class:`OutcomeWriter` one by one.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields
from types import TracebackType
from typing import IO, Any, Literal, NamedTuple, Self

from airflow_provider_mirakl.api.secrets import fit_to_show, masked
from airflow_provider_mirakl.exceptions import (
    MiraklConfigurationError,
    MiraklItemsFailedError,
    counted,
    on_one_line,
)
from airflow_provider_mirakl.files.storage import BLOCK, StoragePath, writing

Status = Literal["succeeded", "failed", "unknown"]

SHOWN_ERRORS = 10
"""Errors a summary carries: the commonest ones."""
SHOWN_JOBS = 100
"""Job ids a summary carries."""
SHOWN_LETTERS = 500
"""Letters of an error that a summary carries; the rows have all of them."""
_DISTINCT_ERRORS = 1000


class ItemResult(NamedTuple):
    """The result of one item.

    :param item_id: the item's id as it was sent: product id, SKU, document id.
    :param status: ``succeeded``, ``failed``, or ``unknown`` if Mirakl does not report the result of the item.
    :param code: a stable code for the reason, Mirakl's own if there is one.
    :param message: the reason, as text.
    :param attribute: the field or attribute at fault.
    """

    item_id: str
    status: Status
    code: str | None = None
    message: str | None = None
    attribute: str | None = None


@dataclass(frozen=True, slots=True)
class ErrorCount:
    """How often one error occurred."""

    code: str | None
    message: str | None
    count: int

    @property
    def reason(self) -> str:
        """Code and message, for a log. A report may repeat what the source contains."""
        return on_one_line(": ".join(filter(None, (self.code, self.message)))) or "no reason given"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One answer about the items of a write.

    :param sent: items sent to Mirakl.
    :param succeeded: items known to be as intended.
    :param failed: items known not to be.
    :param unknown: items whose result Mirakl did not report.
    :param errors: the most frequent errors first, at most :data:`SHOWN_ERRORS` of them.
    :param job_ids: Mirakl's ids of the jobs that carried the items.
    :param rows: where the per-item rows are.
    """

    sent: int = 0
    succeeded: int = 0
    failed: int = 0
    unknown: int = 0
    errors: tuple[ErrorCount, ...] = ()
    job_ids: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """Items that the outcome covers, sent or not."""
        return max(self.sent, self.succeeded + self.failed + self.unknown)

    def summary(self) -> dict[str, Any]:
        """Return the outcome as a small mapping for JSON, for XCom, asset events and error objects."""
        return {
            "sent": self.sent,
            "succeeded": self.succeeded,
            "failed": self.failed,
            "unknown": self.unknown,
            "errors": [asdict(error) for error in self.errors[:SHOWN_ERRORS]],
            "job_ids": list(self.job_ids[:SHOWN_JOBS]),
            "rows": list(self.rows),
        }

    @classmethod
    def from_summary(cls, summary: Mapping[str, Any]) -> Outcome:
        """Rebuild an outcome from :meth:`summary`; keys that a newer version added are ignored."""
        known = {field.name for field in fields(cls)}
        values = {key: value for key, value in summary.items() if key in known}
        values["errors"] = tuple(
            ErrorCount(error.get("code"), error.get("message"), int(error.get("count", 0)))
            for error in summary.get("errors", ())
        )
        values["job_ids"] = tuple(summary.get("job_ids", ()))
        values["rows"] = tuple(summary.get("rows", ()))
        return cls(**values)

    @classmethod
    def merge(cls, outcomes: Iterable[Outcome]) -> Outcome:
        """Add up outcomes, for example of several jobs or chunks."""
        parts = list(outcomes)
        counts: Counter[tuple[str | None, str | None]] = Counter()
        for part in parts:
            for error in part.errors:
                counts[error.code, error.message] += error.count
        return cls(
            sent=sum(part.sent for part in parts),
            succeeded=sum(part.succeeded for part in parts),
            failed=sum(part.failed for part in parts),
            unknown=sum(part.unknown for part in parts),
            errors=_commonest(counts),
            job_ids=tuple(dict.fromkeys(job for part in parts for job in part.job_ids)),
            rows=tuple(dict.fromkeys(rows for part in parts for rows in part.rows)),
        )

    def __str__(self) -> str:
        """Return one line for a log."""
        text = f"{self.sent:,} sent, {self.succeeded:,} succeeded, {self.failed:,} failed"
        return f"{text}, {self.unknown:,} unknown" if self.unknown else text


@dataclass(frozen=True, slots=True)
class FailurePolicy:
    """How many items may fail without failing the task.

    The more lenient of the two limits applies, so setting only a ratio is enough to allow some failures.

    :param max_failed_items: how many items may fail; ``None`` allows any number.
    :param max_failed_ratio: the share of items that may fail, 0 to 1.
    :raises MiraklConfigurationError: a limit outside its range.
    """

    max_failed_items: int | None = 0
    max_failed_ratio: float | None = None

    def __post_init__(self) -> None:
        if self.max_failed_items is not None and self.max_failed_items < 0:
            raise MiraklConfigurationError(
                f"max_failed_items must be 0 or more, or None for no limit, not {self.max_failed_items}",
                field="max_failed_items",
            )
        if self.max_failed_ratio is not None and not 0 <= self.max_failed_ratio <= 1:
            raise MiraklConfigurationError(
                f"max_failed_ratio must be a number from 0 to 1, not {self.max_failed_ratio}",
                field="max_failed_ratio",
            )

    def check(self, outcome: Outcome) -> None:
        """Raise when more items failed than allowed; ``unknown`` items are not failed ones.

        :raises MiraklItemsFailedError: the text shows the most frequent errors and where the rows are.
        """
        if self.max_failed_items is None:
            return
        allowed, ratio, total = self.max_failed_items, self.max_failed_ratio, outcome.total
        if ratio is not None and total:
            share = int(ratio * total)
            # In floats 0.29 * 100 is less than 29, but 29 / 100 is 0.29.
            share += (share + 1) / total <= ratio
            allowed = max(allowed, share)
        if outcome.failed <= allowed:
            return
        lines = [f"{outcome.failed:,} of {counted(outcome.total, 'item')} failed; {allowed:,} are allowed"]
        lines += [f"  - {error.count:,} x {error.reason}" for error in outcome.errors[:SHOWN_ERRORS]]
        if outcome.rows:
            lines.append("every item is listed in " + ", ".join(outcome.rows))
        raise MiraklItemsFailedError("\n".join(lines), outcome=outcome.summary())


class OutcomeWriter:
    """Writes per-item rows as they become known, and counts them.

    ::

        with OutcomeWriter(folder / "outcome.ndjson", sent=plan.products) as writer:
            writer.add_all(results)
        outcome = writer.outcome

    The file appears if the block succeeds; after an error it does not.

    :param path: where the rows go, one JSON object a line; ``None`` only counts.
    :param sent: items sent to Mirakl; default the number of rows added.
    :param job_ids: Mirakl's ids of the jobs that carried the items.
    :param secrets: what neither the rows nor the errors of the outcome may show, should a report repeat them.
    """

    def __init__(
        self,
        path: StoragePath | None,
        *,
        sent: int | None = None,
        job_ids: Sequence[str] = (),
        secrets: Collection[str] = (),
    ) -> None:
        self._path = path
        self._sent = sent
        self._job_ids = tuple(job_ids)
        self._secrets = tuple(secrets)
        self._counts: Counter[str] = Counter()
        self._errors: Counter[tuple[str | None, str | None]] = Counter()
        self._stack = ExitStack()
        self._file: IO[bytes] | None = None
        self._buffer = bytearray()

    def __enter__(self) -> Self:
        if self._path is not None:
            self._file = self._stack.enter_context(writing(self._path))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._file is not None:
            self._file.write(self._buffer)
        self._stack.__exit__(kind, error, trace)

    def add(self, result: ItemResult) -> None:
        """Write and count one item."""
        self._counts[result.status] += 1
        if self._secrets and result.message:
            result = result._replace(message=masked(result.message, self._secrets))
        if result.status == "failed":
            error = (_short(result.code), _short(result.message))
            if error not in self._errors and len(self._errors) >= _DISTINCT_ERRORS:
                error = (error[0], "(other messages)")
            self._errors[error] += 1
        if self._file is not None:
            row = {name: value for name, value in result._asdict().items() if value is not None}
            self._buffer += json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
            if len(self._buffer) >= BLOCK:
                self._file.write(self._buffer)
                self._buffer.clear()

    def add_all(self, results: Iterable[ItemResult]) -> None:
        """Write and count items."""
        for result in results:
            self.add(result)

    @property
    def outcome(self) -> Outcome:
        """The outcome so far."""
        counts = self._counts
        return Outcome(
            sent=sum(counts.values()) if self._sent is None else self._sent,
            succeeded=counts["succeeded"],
            failed=counts["failed"],
            unknown=counts["unknown"],
            errors=tuple(map(self._fit, _commonest(self._errors))),
            job_ids=self._job_ids,
            rows=() if self._path is None else (str(self._path),),
        )

    def _fit(self, error: ErrorCount) -> ErrorCount:
        if not self._secrets:
            return error
        code, message = (text and fit_to_show(text, self._secrets) for text in (error.code, error.message))
        return ErrorCount(code, message, error.count)


def _short(text: str | None) -> str | None:
    return text if text is None or len(text) <= SHOWN_LETTERS else f"{text[: SHOWN_LETTERS - 3]}..."


def _commonest(counts: Counter[tuple[str | None, str | None]]) -> tuple[ErrorCount, ...]:
    return tuple(ErrorCount(*error, count) for error, count in counts.most_common(SHOWN_ERRORS))
