"""The base of the operators that upload a file as a job."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_mirakl.exceptions import MiraklInputError
from airflow_provider_mirakl.operators.bases.jobs import JudgedJobArguments, JudgedJobOperator
from airflow_provider_mirakl.runtime.arguments import Location, Maybe, Text
from airflow_provider_mirakl.runtime.results import Ended
from airflow_provider_mirakl.runtime.submitting import Submission
from airflow_provider_mirakl.runtime.task_run import TaskRun

if TYPE_CHECKING:
    from typing import Unpack

    from airflow_provider_mirakl.api.call import Call
    from airflow_provider_mirakl.api.caller import Caller
    from airflow_provider_mirakl.files.storage import StoragePath
    from airflow_provider_mirakl.jobs.book import JobBook
    from airflow_provider_mirakl.runtime.arguments import PathArg, TextArg


class FileJobArguments(JudgedJobArguments, total=False):
    """The parameters of :class:`FileJobOperator`, for the operators built on it."""

    id_column: TextArg | None


class FileJobOperator(JudgedJobOperator):
    """Base of the operators that upload a file.

    :param source: the file: a local path or object storage.
    :param id_column: the column of error reports that names an item; default the first of the usual ones.
    """

    source = Location()
    id_column = Maybe(Text())

    def __init__(
        self, *, source: PathArg, id_column: TextArg | None = None, **kwargs: Unpack[JudgedJobArguments]
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.id_column = id_column

    @abstractmethod
    def upload(self, caller: Caller, file_name: str) -> Call[Any]:
        """The call that uploads :attr:`content` with a file name."""

    @property
    def options(self) -> dict[str, Any]:
        """Further fields of the submission: a change makes it another job."""
        return {}

    @property
    def path(self) -> StoragePath:
        """The file."""
        from airflow_provider_mirakl.files.paths import storage_path

        return storage_path(self.source)

    @property
    def copy(self) -> StoragePath:
        """The copy that is sent, in the task's folder."""
        return self._run.folder / "sent" / self.path.name

    def has_copy(self) -> bool:
        """Whether the copy exists."""
        return self.copy.exists()

    def content(self) -> Any:
        """Open the copy for a try to send it."""
        return self.copy.open("rb")

    def payload(self, caller: Caller) -> str:
        """Copy the file, and hash the copy, its options and the shop."""
        import hashlib
        import json

        from airflow_provider_mirakl.files.storage import BLOCK, unreadable, writing

        digest = hashlib.sha256(
            json.dumps([self.job, self.options, caller.role, caller.shop_id], sort_keys=True).encode()
        )
        try:
            opened = self.path.open("rb")
        except OSError as error:
            raise unreadable("source", self.source, error) from None
        with opened as file:
            self.copy.parent.mkdir(parents=True, exist_ok=True)
            with writing(self.copy) as copy:
                while block := file.read(BLOCK):
                    digest.update(block)
                    copy.write(block)
        self.refuse_empty()
        return digest.hexdigest()

    def refuse_empty(self) -> None:
        """Reject a file without rows before the call: P41 is limited to one every 15 minutes, and an empty file
        that replaces Mirakl's data would delete all of it.

        :raises MiraklInputError: it is empty, or a CSV file with only a header.
        """
        if self.copy.stat().st_size == 0:
            raise MiraklInputError(f"source: {self.source!r} is empty; nothing was sent")
        if self.lines() == 0:
            raise MiraklInputError(f"source: {self.source!r} has a header but no rows; nothing was sent")

    def lines(self) -> int | None:
        """Lines below the header of a CSV file."""
        from airflow_provider_mirakl.files.csv_table import open_table
        from airflow_provider_mirakl.jobs.reports import is_csv

        if not is_csv(self.copy.name):
            return None
        try:
            with open_table(self.copy, errors="replace") as table:
                return sum(1 for _ in table.rows)
        except MiraklInputError:  # Mirakl may be able to read what we cannot
            return None

    def submissions(self, caller: Caller, book: JobBook) -> Iterator[Submission]:
        """The file, with a unique name."""
        stem, dot, ending = self.path.name.rpartition(".")
        name = f"{stem}-{book.name(0)}.{ending}" if dot else f"{ending}-{book.name(0)}"
        yield Submission(self.upload(caller, name))

    def rejects(self, run: TaskRun, jobs: Sequence[Ended]) -> StoragePath | None:
        """The failed lines, with the columns of the source; CSV files only."""
        from airflow_provider_mirakl.jobs.reports import is_csv, write_rejected_lines

        reports = [path for job in jobs for report, path in job.reports if report.lists == "failures"]
        if not reports or not all(is_csv(path.name) for path in (self.copy, *reports)):
            return None
        if not self.copy.exists():
            self.log.warning("%s is missing, so the rejects file cannot be written.", self.copy)
            return None
        target = run.folder / "rejects.csv"
        written = write_rejected_lines(self.copy, reports, target, self.id_column)
        return None if written is None else target

    @property
    def _id_column(self) -> str | None:
        return self.id_column
