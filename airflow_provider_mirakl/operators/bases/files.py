"""The base of the operators that upload a file as a job."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, get_args

from airflow_provider_mirakl.exceptions import MiraklError, MiraklInputError, counted
from airflow_provider_mirakl.files.paths import storage_path
from airflow_provider_mirakl.files.storage import BLOCK, remove, unreadable, write_bytes, writing
from airflow_provider_mirakl.files.values import is_csv
from airflow_provider_mirakl.operators.bases.jobs import CheckedJobOperator
from airflow_provider_mirakl.runtime.arguments import Choice, Flag, Location, Maybe, Text
from airflow_provider_mirakl.runtime.choices import OnFinding

if TYPE_CHECKING:
    from typing import Unpack

    from airflow_provider_mirakl.api.call import Call
    from airflow_provider_mirakl.api.caller import Caller
    from airflow_provider_mirakl.checks.lint import Check, Lint
    from airflow_provider_mirakl.client.http import Client
    from airflow_provider_mirakl.files.storage import StoragePath
    from airflow_provider_mirakl.jobs.book import JobBook
    from airflow_provider_mirakl.runtime.arguments import FlagArg, PathArg, TextArg
    from airflow_provider_mirakl.runtime.results import Ended
    from airflow_provider_mirakl.runtime.signatures import CheckedJobArguments
    from airflow_provider_mirakl.runtime.task_run import TaskRun

LOGGED_FINDINGS = 20


class FileJobOperator(CheckedJobOperator):
    """Base of the operators that upload a file.

    A CSV file is read before it is sent. One that a spreadsheet or a shop system wrote in its own way is sent clean:
    as UTF-8 without a byte order mark, the heading in the first line, without empty rows, empty columns without a
    name, and white space around cells. A file that is clean already is sent byte for byte.

    :param source: the file: a local path or object storage.
    :param id_column: the column of error reports that names an item; default the first of the usual ones.
    :param lint: what to do when the check of a CSV file finds a problem: ``fail`` before the call, with every
        problem by line and column; ``warn`` in the log and send the file; ``off``: do not read the file, and send it
        byte for byte. If Mirakl does not provide what the check needs, ``fail`` fails, and ``warn`` sends the file
        clean, but not checked. XLSX and XML are sent as they are. Templated.
    :param encoding: encoding of a CSV file: ``auto`` (UTF-8, or what a byte order mark says), or a name that Python
        knows, such as ``cp1252``. Templated.
    :param strip: take white space from both ends of the cells of a CSV file. Templated.
    """

    source = Location()
    id_column = Maybe(Text())
    lint = Choice[OnFinding](get_args(OnFinding))
    encoding = Text()
    strip = Flag()

    def __init__(
        self,
        *,
        source: PathArg,
        id_column: TextArg | None = None,
        lint: OnFinding | TextArg = "fail",
        encoding: TextArg = "auto",
        strip: FlagArg = True,
        **kwargs: Unpack[CheckedJobArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.id_column = id_column
        self.lint = lint
        self.encoding = encoding
        self.strip = strip

    @abstractmethod
    def upload(self, caller: Caller, file_name: str) -> Call[Any]:
        """The call that uploads :attr:`content` with a file name."""

    @abstractmethod
    def checker(self, caller: Caller) -> Check:
        """What knows the columns that Mirakl accepts.

        :raises MiraklError: what it needs of Mirakl cannot be had.
        """

    @property
    def options(self) -> dict[str, Any]:
        """Further fields of the submission: a change makes it another job."""
        return {}

    @property
    def path(self) -> StoragePath:
        """The file."""
        return storage_path(self.source)

    @property
    def copy(self) -> StoragePath:
        """The copy that is sent, in the task's folder."""
        return self.task_run.folder / "sent" / self._name

    @property
    def _name(self) -> str:
        """The name of what is sent; a CSV file that is read is sent unpacked."""
        bare = self.path.name.removesuffix(".gz")
        return bare if self.lint != "off" and is_csv(bare) else self.path.name

    @property
    def _is_csv(self) -> bool:
        return is_csv(self._name)

    def content(self) -> Any:
        """Open the copy for a try to send it."""
        return self.copy.open("rb")

    def payload(self, caller: Caller) -> str:
        """Copy the file, check it, and hash it with its options and the shop."""
        digest = hashlib.sha256(
            json.dumps(
                [self.job, self.options, caller.role, caller.shop_id, self.encoding, self.strip],
                sort_keys=True,
            ).encode()
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
        payload = digest.hexdigest()
        self._check(caller, payload)
        return payload

    def refuse_empty(self) -> None:
        """Reject a file without rows before the call: P41 is limited to one every 15 minutes, and an empty file
        that replaces Mirakl's data would delete all of it.

        :raises MiraklInputError: it is empty, or a CSV file with only a header.
        """
        if self.copy.stat().st_size == 0:
            raise MiraklInputError(f"source: {self.source!r} is empty; nothing was sent")
        # It has not been read yet, so it is still as the source: packed, and in its own encoding.
        if is_csv(self.path.name.removesuffix(".gz")) and self._count(self.encoding) == 0:
            raise MiraklInputError(f"source: {self.source!r} has a header but no rows; nothing was sent")

    def lines(self) -> int | None:
        """Lines below the header of a CSV file."""
        from airflow_provider_mirakl.files.text import AUTO

        return self._count(AUTO) if self._is_csv else None

    def _count(self, encoding: str) -> int | None:
        """The rows of the copy; ``None`` if it cannot be read."""
        from airflow_provider_mirakl.files.csv_table import open_table

        try:
            with open_table(self.copy, encoding=encoding, errors="replace") as table:
                return sum(1 for _ in table.rows)
        except MiraklInputError:  # Mirakl may be able to read what we cannot
            return None

    # The check

    def _check(self, caller: Caller, payload: str) -> None:
        """Check the copy and write it clean.

        :param payload: the hash of what is sent, by which :meth:`deliver` knows what was checked.
        :raises MiraklInputError: there are problems, and ``lint`` is ``fail``.
        """
        from airflow_provider_mirakl.checks.lint import NoCheck
        from airflow_provider_mirakl.files.text import check_encoding

        for file in (self._lint, self._findings):  # a previous try may have found something in another file
            remove(file)
        if self.lint == "off":
            return
        check_encoding(self.encoding)  # a wrong argument fails the task, whatever lint says of the file
        if not self._is_csv:
            self.log.info("%s is not CSV: it is sent as it is, without a check.", self.path.name)
            return
        check: Check | None = None
        try:
            check = self.checker(caller)
        except MiraklError as error:
            if self.lint == "fail":
                raise
            self.log.warning("%s is not checked. %s", self.path.name, error)
        try:
            lint = self._read_over(check or NoCheck())  # it is cleaned in any case
        except MiraklError as error:
            if self.lint == "fail":
                raise
            self.log.warning("%s is sent as it is: its check is not complete. %s", self.path.name, error)
            return
        if check is not None or lint.count:  # what was not checked is not said to have no problems
            self._tell(lint, payload)

    def _read_over(self, check: Check) -> Lint:
        """Check the copy; if it is not clean, write it again."""
        from airflow_provider_mirakl.checks.lint import as_line, lint_table
        from airflow_provider_mirakl.files.csv_table import TableWriter, open_table

        with (
            open_table(self.copy, encoding=self.encoding) as table,
            writing(self._findings) as found,
            writing(self._clean) as clean,
        ):
            writer = TableWriter(clean, table, strip=self.strip)
            lint = lint_table(table, check, found=lambda one: found.write(as_line(one)), row=writer.write)
        if not lint.count:
            remove(self._findings)
        if table.plain and not writer.changed:
            remove(self._clean)
        else:
            with self._clean.open("rb") as clean_file, writing(self.copy) as copy:
                while block := clean_file.read(1 << 20):
                    copy.write(block)
            remove(self._clean)
            self.log.info(
                "%s is sent as a clean copy: UTF-8, header in the first line, no empty rows.", self.path.name
            )
        return lint

    def _tell(self, lint: Lint, payload: str) -> None:
        """Say what was found, and keep it for the result."""
        from airflow_provider_mirakl.checks.lint import words

        summary = lint.summary() | {"findings": str(self._findings) if lint.count else None}
        noted = {"payload": payload, "found": summary}
        write_bytes(self._lint, json.dumps(noted, ensure_ascii=False).encode())
        lines = list(words(lint, self.path.name))
        if not lint.count:
            self.log.info("%s", "\n".join(lines))
            return
        if self.lint == "fail":
            self.task_run.push_result({"lint": summary})
            raise MiraklInputError(
                f"source: {counted(lint.count, 'problem')} in {counted(lint.rows, 'row')} of {self.path.name}; nothing "
                f"was sent. All are in {self._findings}",
                [finding.problem for finding in lint.findings],
                problem_count=lint.count,
            )
        hidden = len(lines) - 1 - LOGGED_FINDINGS
        more = [f"  ... all are in {self._findings}"] if hidden > 0 else []
        self.log.warning("%s", "\n".join([*lines[: 1 + LOGGED_FINDINGS], *more]))

    @property
    def _lint(self) -> StoragePath:
        return self.task_run.folder / "lint.json"

    @property
    def _findings(self) -> StoragePath:
        return self.task_run.folder / "lint.ndjson"

    @property
    def _clean(self) -> StoragePath:
        return self.task_run.folder / "clean.csv"

    def deliver(self, run: TaskRun, client: Client, caller: Caller, jobs: Sequence[Ended]) -> dict[str, Any]:
        """What the check found."""
        path = run.folder / "lint.json"
        try:
            noted = json.loads(path.read_bytes())
        except FileNotFoundError:
            return {"lint": None}
        except (IsADirectoryError, ValueError, RecursionError):
            noted = None
        found = noted.get("found") if isinstance(noted, dict) else None
        if not isinstance(found, dict) or not found:
            self.log.warning("%s cannot be read, so the result does not say what the check found.", path)
            return {"lint": None}
        assert self.book is not None  # noqa: S101 - its jobs have ended
        if noted.get("payload") != self.book.payload:
            self.log.warning(
                "The source has changed since it was sent. %s is about the new one, so the result does not say what "
                "the check found.",
                path,
            )
            return {"lint": None}
        return {"lint": found}

    def submissions(self, caller: Caller, book: JobBook) -> Iterator[tuple[Call[Any], int | None]]:
        """The file, with a unique name."""
        stem, dot, ending = self._name.rpartition(".")
        name = f"{stem}-{book.name(0)}.{ending}" if dot else f"{ending}-{book.name(0)}"
        yield self.upload(caller, name), None

    def rejects(self, run: TaskRun, jobs: Sequence[Ended]) -> StoragePath | None:
        """The failed lines, with the columns of the source; CSV files only."""
        from airflow_provider_mirakl.jobs.reports import write_rejected_lines

        reports = [path for job in jobs for report, path in job.reports if report.lists == "failures"]
        if not reports or not all(is_csv(path.name) for path in (self.copy, *reports)):
            return None
        if not self.has_copy():
            self.log.warning("%s is missing, so the rejects file cannot be written.", self.copy)
            return None
        assert self.book is not None  # noqa: S101 - its jobs have ended
        try:
            self.check_copy(self.book)
        except MiraklInputError as error:
            self.log.warning("%s So the rejects file cannot be written.", error)
            return None
        target = run.folder / "rejects.csv"
        written = write_rejected_lines(self.copy, reports, target, self.id_column)
        return None if written is None else target

    @property
    def column_of_ids(self) -> str | None:
        """The column of error reports that names an item."""
        return self.id_column
