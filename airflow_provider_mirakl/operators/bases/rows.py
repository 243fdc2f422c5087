"""The base of the operators that send JSON objects in batches, each a separate job."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_mirakl.exceptions import (
    MiraklInputError,
    counted,
)
from airflow_provider_mirakl.files.paths import storage_path
from airflow_provider_mirakl.operators.bases.jobs import JudgedJobArguments, JudgedJobOperator
from airflow_provider_mirakl.runtime.arguments import Choice, Flag, Maybe, Table, Text, Whole
from airflow_provider_mirakl.runtime.submitting import Submission
from airflow_provider_mirakl.runtime.waiting import hand_over

if TYPE_CHECKING:
    from typing import Unpack

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mirakl.api.call import Call
    from airflow_provider_mirakl.api.caller import Caller
    from airflow_provider_mirakl.client.http import Client
    from airflow_provider_mirakl.exceptions import Problem
    from airflow_provider_mirakl.files.storage import StoragePath
    from airflow_provider_mirakl.jobs.book import JobBook
    from airflow_provider_mirakl.runtime.arguments import FlagArg, RowsArg, TextArg, WholeArg

Format = Literal["ndjson", "json", "csv", "parquet"]
KEPT_PROBLEMS = 1000


class RowsJobArguments(JudgedJobArguments, total=False):
    """The parameters of :class:`RowsJobOperator`, for the operators built on it."""

    source_format: Format | TextArg | None
    encoding: TextArg
    items: TextArg | None
    transform: TextArg | None
    strip: FlagArg


class RowsJobOperator(JudgedJobOperator):
    """Base of the operators that send JSON objects in batches, each a separate job.

    :param source: the objects by Mirakl's field names: a list; a file (NDJSON, JSON, CSV or Parquet; a local path or
        object storage); or a DataFrame. In a table, a column is named as its field, one inside an object with a
        point (``discount.price``), and a cell of a list contains JSON. Templated.
    :param batch_size: objects in one job.
    :param source_format: ``ndjson``, ``json``, ``csv`` or ``parquet``; default by the file's name and content.
        Templated.
    :param encoding: encoding of a text file: ``auto`` (UTF-8, or what a byte order mark says), or a name that Python
        knows, such as ``cp1252``. Templated.
    :param items: the field with the list, if a JSON file is an object. Templated.
    :param transform: a function that sees the rows first, as ``package.module.function``: it takes a list of
        dictionaries and returns as many, ``None`` for one to leave out. Templated.
    :param strip: take white space from both ends of a table's cells. Templated.
    """

    source = Table()
    batch_size = Whole()
    source_format = Maybe(Choice[Format](get_args(Format)))
    encoding = Text()
    items = Maybe(Text())
    transform = Maybe(Text())
    strip = Flag()

    def __init__(
        self,
        *,
        source: RowsArg,
        batch_size: WholeArg,
        source_format: Format | TextArg | None = None,
        encoding: TextArg = "auto",
        items: TextArg | None = None,
        transform: TextArg | None = None,
        strip: FlagArg = True,
        **kwargs: Unpack[JudgedJobArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.batch_size = batch_size
        self.source_format = source_format
        self.encoding = encoding
        self.items = items
        self.transform = transform
        self.strip = strip

    @abstractmethod
    def check(self, item: Any) -> list[Problem]:
        """Every problem of an object."""

    @abstractmethod
    def build(self, heading: Sequence[str]) -> Any:
        """What makes objects of a table's rows.

        :raises MiraklInputError: every column that is not a field.
        """

    def batch(self, caller: Caller, rows: list[bytes]) -> Call[Any]:
        """The call that sends encoded objects."""
        call = self.kind.batch
        assert call is not None  # noqa: S101 - each job of such an operator has one
        return call(caller, rows)

    def payload(self, caller: Caller) -> str:
        """Check, hash and copy every object."""
        import hashlib

        from airflow_provider_mirakl.files.storage import writing

        digest = hashlib.sha256(f"{self.job} {self.batch_size} {caller}".encode())
        problems: list[Problem] = []
        count = found = 0
        self.copy.parent.mkdir(parents=True, exist_ok=True)
        with writing(self.copy) as copy:
            for row, faults in self._checked():
                digest.update(row + b"\n")
                copy.write(row.replace(b"\n", b" ") + b"\n")
                count += 1
                found += len(faults)
                problems += faults[: KEPT_PROBLEMS - len(problems)]
        if found:
            raise MiraklInputError(
                f"source: {counted(found, 'problem')} in {counted(count, 'object')}; nothing was sent",
                problems,
                problem_count=found,
            )
        if not count:
            raise MiraklInputError("source is empty; nothing was sent")
        return digest.hexdigest()

    def _submit(self, context: Context, client: Client, book: JobBook) -> None:
        if self.deferrable and not self._in_worker and not book.all_submitted:
            self._hand_over(context, book)
        super()._submit(context, client, book)

    def _hand_over(self, context: Context, book: JobBook) -> None:
        """Let the triggerer send the batches, unless there is one only, they need not wait for each other, or a call
        whose reply was lost may not be repeated."""
        from airflow_provider_mirakl.jobs.batches import BatchWork
        from airflow_provider_mirakl.triggers.places import open_batches, place_of

        work = BatchWork(book, self.copy, self.batch_size, self.batch, self.caller)
        may_repeat = (self.on_unclear or self.kind.unclear) == "resend"
        if len(work.left) < 2 or not may_repeat:
            return
        place = place_of(
            open_batches,
            folder=str(self._run.folder),
            generation=self._run.generation,
            kind=self.job,
            copy=str(self.copy),
            size=self.batch_size,
            role=self.caller.role,
            shop_id=self.caller.shop_id,
        )
        began = self._began(context)
        hand_over(
            self,
            self.hook,
            place,
            work,
            max_failures=self.max_failures,
            refused_timeout=self.timeout,
            began=began,
            state={"began": began, "carried": self._run.memory.carried},
            resume=self.resume_batches,
        )

    def resume_batches(self, context: Context, event: object = None) -> dict[str, Any]:
        """Continue after the triggerer has sent the batches. Without an event, like :meth:`resume`.

        :raises MiraklError: the error that the triggerer met.
        :raises MiraklTriggerEventError: the event is not valid.
        """
        from airflow_provider_mirakl.triggers.paced import read_paced
        from airflow_provider_mirakl.triggers.poll import load_error

        if event is None:
            return self._begin(context)
        found = read_paced(event)
        state = found["state"]
        self._first_began = state.get("began")
        run, book = self._taken_up(context, state.get("carried"))
        with self.hook.get_conn() as client:
            claims = self._claims(client)
            for job_id in book.job_ids:
                claims.note(job_id)
        match found["status"]:
            case "error":
                self.log.error("The triggerer stopped at %s", found.get("position"))
                raise load_error(found["error"])
            case "timeout":
                raise AirflowTaskTimeout(f"execution_timeout of {self.execution_timeout} passed")
            case "unreachable":
                self._in_worker = True
                self.log.warning(
                    "The triggerer cannot reach %s (%s). Workers send the batches, one process for each. Set [mirakl] "
                    "work_folder, or work_folder of the task, to storage that workers and triggerers share.",
                    run.folder,
                    found.get("reason"),
                )
        return self._go_on(context, run, book, state.get("carried"))

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
        """The copy of the objects that is sent, one per line, in the task's folder."""
        return self._run.folder / "sent" / "rows.ndjson"

    def has_copy(self) -> bool:
        """Whether the copy exists."""
        return self.copy.exists()

    def rows(self) -> Iterator[bytes]:
        """The encoded objects that are sent."""
        with self.copy.open("rb") as file:
            for line in file:
                yield line.rstrip(b"\n")

    def _checked(self) -> Iterator[tuple[bytes, list[Problem]]]:
        """The objects of the source, encoded, each with its problems and their places."""
        import json
        from dataclasses import replace

        from airflow_provider_mirakl.catalog.source import open_source
        from airflow_provider_mirakl.exceptions import Problem

        source = open_source(
            storage_path(self.source) if isinstance(self.source, str) else self.source,
            self.source_format,
            encoding=self.encoding,
            items=self.items,
            transform=self.transform,
            strip=self.strip,
            compiled=self.build,
        )

        def placed(at: int, faults: Sequence[Problem]) -> list[Problem]:
            line, prefix = source.place(at)
            return [
                replace(fault, line=line, field=".".join(part for part in (prefix, fault.field) if part))
                for fault in faults
            ]

        for batch in source.batches():
            for refused in batch.refused:
                yield refused.row, placed(refused.at, refused.problems)
            for at, row in zip(batch.at, batch.rows, strict=True):
                try:
                    faults = self.check(json.loads(row))
                except ValueError as error:
                    faults = [Problem(f"is not JSON: {error}")]
                yield row, placed(at, faults) if faults else []
        for note in source.notes:
            self.log.warning("%s", note)
