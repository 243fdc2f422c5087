"""The base of the operators that send JSON objects in batches, each batch a job of its own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from airflow_provider_mirakl.exceptions import MiraklInputError, counted
from airflow_provider_mirakl.operators.bases.jobs import JudgedJobArguments, JudgedJobOperator
from airflow_provider_mirakl.runtime.arguments import Table, Whole
from airflow_provider_mirakl.runtime.submitting import Submission

if TYPE_CHECKING:
    from typing import Unpack

    from airflow_provider_mirakl.api.call import Call
    from airflow_provider_mirakl.api.caller import Caller
    from airflow_provider_mirakl.files.storage import StoragePath
    from airflow_provider_mirakl.jobs.book import JobBook
    from airflow_provider_mirakl.runtime.arguments import RowsArg, WholeArg


class RowsJobOperator(JudgedJobOperator):
    """Base of the operators that send JSON objects in batches, each a job of its own.

    :param source: the objects: a list, or a file (NDJSON, a JSON array, CSV or Parquet; a local path or object
        storage).
    :param batch_size: objects in one job.
    """

    source = Table()
    batch_size = Whole()

    def __init__(
        self, *, source: RowsArg, batch_size: WholeArg, **kwargs: Unpack[JudgedJobArguments]
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.batch_size = batch_size

    @abstractmethod
    def check(self, item: Any) -> list[Any]:
        """Every problem of one object."""

    @abstractmethod
    def batch(self, caller: Caller, rows: list[bytes]) -> Call[Any]:
        """The call that sends encoded objects."""

    def payload(self, caller: Caller) -> str:
        """Check every object, hash them, and keep a copy of them."""
        import hashlib
        import json

        from airflow_provider_mirakl.files.storage import writing

        digest = hashlib.sha256(f"{self.job} {self.batch_size} {caller}".encode())
        problems: list[Any] = []
        count = found = 0
        self.copy.parent.mkdir(parents=True, exist_ok=True)
        with writing(self.copy) as copy:
            for row in self.source_rows():
                digest.update(row + b"\n")
                copy.write(row.replace(b"\n", b" ") + b"\n")
                count += 1
                faults = self.check(json.loads(row))
                found += len(faults)
                problems += faults[: 1000 - len(problems)]
        if found:
            raise MiraklInputError(
                f"source: {counted(found, 'problem')} in {counted(count, 'object')}; nothing was sent",
                problems,
                problem_count=found,
            )
        if not count:
            raise MiraklInputError("source: holds nothing to send")
        return digest.hexdigest()

    def submissions(self, caller: Caller, book: JobBook) -> Iterator[Submission]:
        """The objects, in batches."""
        batch: list[bytes] = []
        for row in self.rows():
            batch.append(row)
            if len(batch) == self.batch_size:
                yield Submission(self.batch(caller, batch), len(batch))
                batch = []
        if batch:
            yield Submission(self.batch(caller, batch), len(batch))

    @property
    def copy(self) -> StoragePath:
        """The copy of the objects that is sent, one a line, in the task's folder."""
        return self._run.folder / "sent" / "rows.ndjson"

    def has_copy(self) -> bool:
        """Whether the copy is there."""
        return self.copy.exists()

    def rows(self) -> Iterator[bytes]:
        """The objects as they are sent, encoded."""
        with self.copy.open("rb") as file:
            for line in file:
                yield line.rstrip(b"\n")

    def source_rows(self) -> Iterator[bytes]:
        """The objects of the source, encoded."""
        from airflow_provider_mirakl.catalog.source import open_source
        from airflow_provider_mirakl.files.paths import storage_path

        source = open_source(storage_path(self.source) if isinstance(self.source, str) else self.source)
        for batch in source.batches():
            if batch.refused:
                raise MiraklInputError(
                    f"source: {source.name} cannot be read", [p for r in batch.refused for p in r.problems]
                )
            yield from batch.rows
