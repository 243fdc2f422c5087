"""The base of the operators that send JSON objects in batches, each a separate job."""

from __future__ import annotations

import hashlib
import json
import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

from airflow_provider_mirakl.exceptions import (
    MiraklInputError,
    MiraklItemsFailedError,
    Problem,
    counted,
)
from airflow_provider_mirakl.files.paths import path_or_data
from airflow_provider_mirakl.files.storage import is_file, remove, writing
from airflow_provider_mirakl.operators.bases.jobs import CheckedJobOperator
from airflow_provider_mirakl.runtime.arguments import Choice, Flag, Maybe, Table, Text, Whole
from airflow_provider_mirakl.runtime.choices import OnInvalid, OnUnclear, SourceFormat

if TYPE_CHECKING:
    from typing import Unpack

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mirakl.api.call import Call
    from airflow_provider_mirakl.api.caller import Caller
    from airflow_provider_mirakl.catalog.rows import Source
    from airflow_provider_mirakl.client.http import Client
    from airflow_provider_mirakl.files.storage import StoragePath
    from airflow_provider_mirakl.jobs.book import JobBook
    from airflow_provider_mirakl.outcome import ItemResult
    from airflow_provider_mirakl.runtime.arguments import FlagArg, RowsArg, TextArg, WholeArg
    from airflow_provider_mirakl.runtime.job_run import JobRun
    from airflow_provider_mirakl.runtime.results import Ended
    from airflow_provider_mirakl.runtime.signatures import CheckedJobArguments
    from airflow_provider_mirakl.runtime.task_run import TaskRun


class RowsJobOperator(CheckedJobOperator):
    """Base of the operators that send JSON objects in batches, each a separate job.

    :param source: the objects by Mirakl's field names: a list; a file (NDJSON, JSON, CSV or Parquet; a local path or
        object storage); or a DataFrame. In a table, a column is named after its field, one inside an object with a
        point (``discount.price``), and lists are written as JSON. A second object about the same offer or product is
        wrong. Templated.
    :param batch_size: objects in one job.
    :param source_format: ``ndjson``, ``json``, ``csv`` or ``parquet``; default by the file's name and content.
        Templated.
    :param encoding: encoding of a text file: ``auto`` (UTF-8, or what a byte order mark says), or a name that Python
        knows, such as ``cp1252``. Templated.
    :param items: the field with the list, if a JSON file is an object. Templated.
    :param transform: a function that sees the rows first, as ``package.module.function``: it takes a list of
        dictionaries and returns as many, ``None`` for one to leave out. Templated.
    :param strip: take white space from both ends of a table's cells. Templated.
    :param on_invalid: ``fail`` rejects the whole source when an object is wrong, before any call; ``reject`` writes
        wrong objects to a rejects file with the reasons and sends the others. Rejected objects count as failed for
        ``max_failed_items`` and ``max_failed_ratio``, which are compared when the jobs have ended, or, without
        ``wait_for_completion``, when they are submitted; if every object is rejected, the task fails. Templated.
    """

    source = Table()
    batch_size = Whole()
    source_format = Maybe(Choice[SourceFormat](get_args(SourceFormat)))
    encoding = Text()
    items = Maybe(Text())
    transform = Maybe(Text())
    strip = Flag()
    on_invalid = Choice[OnInvalid](get_args(OnInvalid))

    def __init__(
        self,
        *,
        source: RowsArg,
        batch_size: WholeArg,
        source_format: SourceFormat | TextArg | None = None,
        encoding: TextArg = "auto",
        items: TextArg | None = None,
        transform: TextArg | None = None,
        strip: FlagArg = True,
        on_invalid: OnInvalid | TextArg = "fail",
        **kwargs: Unpack[CheckedJobArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.batch_size = batch_size
        self.source_format = source_format
        self.encoding = encoding
        self.items = items
        self.transform = transform
        self.strip = strip
        self.on_invalid = on_invalid

    @abstractmethod
    def check(self, item: Any) -> list[Problem]:
        """Every problem of an object."""

    @abstractmethod
    def identity(self, item: Mapping[str, Any]) -> tuple[str, str] | None:
        """The field that says what an object is about, and its value; a second object about the same is wrong."""

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

    @abstractmethod
    def failed(self, jobs: Sequence[Ended]) -> Iterator[bytes]:
        """The encoded objects that Mirakl rejected, as input for the next run.

        :raises MiraklInputError: a report does not tell which ones.
        """

    def payload(self, caller: Caller) -> str:
        """Check every object, copy and hash those that are sent, and write the others to a file.

        :raises MiraklInputError: the source cannot be read; or objects are invalid, and ``on_invalid`` is ``fail``.
        :raises MiraklItemsFailedError: every object was rejected.
        """
        from airflow_provider_mirakl.catalog.rejects import RejectsWriter

        source = self._open()  # the files of a previous try are kept if this one cannot be read
        digest = hashlib.sha256(f"{self.job} {self.batch_size} {caller}".encode())
        count, met = 0, set[bytes]()
        self.copy.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack, writing(self.copy) as copy:
            rejects = RejectsWriter(source, self._rejected, stack)
            for batch in source.batches():
                for at, row in zip(batch.at, batch.rows, strict=True):
                    count += 1
                    if faults := self._faults(row, met):
                        rejects.add(row, at, faults, faults[0].item_id)
                        continue
                    digest.update(row + b"\n")
                    copy.write(row.replace(b"\n", b" ") + b"\n")
                for refused in batch.refused:
                    count += 1
                    rejects.add(refused.row, refused.at, refused.problems, form=refused.form)
            rejects.flush()
        if not rejects.rows:
            remove(self._rejected)
        for note in source.notes:
            self.log.warning("%s", note)
        if not count:
            raise MiraklInputError("source is empty; nothing was sent")
        if rejects.rows and self.on_invalid == "fail":
            raise rejects.error(count)
        if rejects.rows:
            self._tell_rejected(rejects.rows, count)
        self.rejected_count = rejects.rows
        return digest.hexdigest()

    def _faults(self, row: bytes, met: set[bytes]) -> list[Problem]:
        """The faults of an object.

        :param met: hashes of what the valid objects before it are about, which gets its own.
        """
        # Python reads them, but JSON does not have them: Mirakl would reject the whole call.
        constants: list[str] = []

        def constant(text: str) -> float:
            constants.append(text)
            return float(text)

        try:
            item = json.loads(row, parse_constant=constant)
        except ValueError as error:
            return [Problem(f"is not JSON: {error}")]
        except RecursionError:
            return [Problem("cannot be read: lists and objects are nested too deep")]
        if faults := self.check(item):
            return faults
        identity = self.identity(item)
        if constants:
            name = None if identity is None else identity[1]
            words = f"is {constants[0]}, which is not a number in JSON; leave it out"
            places = list(_infinite(item)) or [""]  # none, if the field is there twice
            return [Problem(words, where, item_id=name) for where in places]
        if identity is None:
            return []
        digest = hashlib.blake2b("\0".join(identity).encode("utf-8", "surrogatepass"), digest_size=8).digest()
        if digest in met:
            field, value = identity
            return [
                Problem(f"{value!r} is in the source more than once; merge the objects", field, item_id=value)
            ]
        met.add(digest)
        return []

    def _tell_rejected(self, rejected: int, count: int) -> None:
        """Log what was rejected.

        :raises MiraklItemsFailedError: everything was.
        """
        from airflow_provider_mirakl.catalog.rejects import commonest
        from airflow_provider_mirakl.outcome import Outcome
        from airflow_provider_mirakl.runtime.explaining import rejection

        errors = commonest(self._rejected)
        self.log.warning(
            "%s",
            rejection(f"{rejected:,} of {counted(count, 'object')} rejected", errors, self._rejected),
        )
        if rejected < count:
            return
        outcome = Outcome(failed=rejected, errors=errors, rows=(str(self._rejected),)).summary() | {
            "rejected": rejected,
            "rejects": str(self._rejected),
            "folder": str(self.task_run.folder),
        }
        self.task_run.push_result(outcome)
        raise MiraklItemsFailedError(
            f"every object of the source was rejected ({rejected:,}), and nothing was sent; see {self._rejected}",
            outcome=outcome,
        )

    @property
    def _rejected(self) -> StoragePath:
        """The objects of the source that are not sent, with the reasons."""
        return self.task_run.folder / "rejected.ndjson"

    @property
    def _has_rejected(self) -> bool:
        return self.on_invalid == "reject" and is_file(self._rejected)

    def rejected(self, book: JobBook) -> Iterator[ItemResult]:
        """The objects that were not sent because they are invalid; they count as failed even if their file is lost."""
        from airflow_provider_mirakl.catalog.rejects import rejected_items

        if book.rejected or self._has_rejected:
            yield from rejected_items(self._rejected, book.rejected)

    def deliver(self, run: TaskRun, client: Client, caller: Caller, jobs: Sequence[Ended]) -> dict[str, Any]:
        """The number of rejected objects."""
        assert self.book is not None  # noqa: S101 - its jobs have ended
        return {"rejected": self.book.rejected}

    def begun(self, run: TaskRun, book: JobBook) -> dict[str, Any]:
        """The result of a task that does not wait: rejected objects have failed, those that were sent are unknown.

        :raises MiraklItemsFailedError: more were rejected than allowed. The others were sent.
        """
        from airflow_provider_mirakl.outcome import OutcomeWriter

        run.folder.mkdir(parents=True, exist_ok=True)
        with OutcomeWriter(run.folder / "outcome.ndjson") as writer:
            writer.add_all(self.rejected(book))
        sent = sum(entry.items or 0 for entry in book.entries)
        outcome = replace(writer.outcome, sent=sent, unknown=sent)
        result = (
            outcome.summary()
            | super().begun(run, book)
            | {
                "rejected": book.rejected,
                "rejects": str(self._rejected) if self._has_rejected else None,
            }
        )
        self.check_items(run, result)
        return result

    def rejects(self, run: TaskRun, jobs: Sequence[Ended]) -> StoragePath | None:
        """The objects that were rejected before the call, with the reasons, and those that Mirakl rejected."""
        from airflow_provider_mirakl.catalog.rejects import rejected_lines

        target = run.folder / "rejects.ndjson"
        found = False
        with writing(target) as file:
            # First the ones with their reasons: a file is recognized by how it begins.
            for line in rejected_lines(self._rejected) if self._has_rejected else ():
                file.write(line)
                found = True
            try:
                for row in self.failed(jobs):
                    file.write(row + b"\n")
                    found = True
            except MiraklInputError as error:
                self.log.warning("%s So the objects that Mirakl rejected cannot be picked out.", error)
        if found:
            return target
        remove(target)
        return None

    @property
    def unclear_policy(self) -> OnUnclear:
        """``resend`` by default: an object replaces what Mirakl has, so that a second one changes nothing."""
        return self.on_unclear or "resend"

    def hand_over(self, job_run: JobRun, book: JobBook) -> None:
        """Let the triggerer send the batches, unless there is one only, they need not wait for each other, or a call
        whose reply was lost may not be repeated."""
        from airflow_provider_mirakl.jobs.batches import BatchWork
        from airflow_provider_mirakl.runtime.hand_over import hand_over
        from airflow_provider_mirakl.triggers.places import open_batches, place_of

        run = job_run.run
        work = BatchWork(book, self.copy, self.batch_size, self.batch, self.caller)
        if len(work.left) < 2 or self.unclear_policy != "resend":
            return
        book.save()  # the triggerer reads it
        place = place_of(
            open_batches,
            folder=str(run.folder),
            generation=run.generation,
            kind=self.job,
            copy=str(self.copy),
            size=self.batch_size,
            role=self.caller.role,
            shop_id=self.caller.shop_id,
        )
        hand_over(
            self,
            self.hook,
            place,
            work,
            max_failures=self.max_failures,
            refused_timeout=self.timeout,
            began=job_run.began,
            state={"began": job_run.began, "carried": run.memory.carried},
            resume=self.resume_batches,
        )

    def resume_batches(self, context: Context, event: object = None) -> dict[str, Any]:
        """Continue after the triggerer has sent the batches. Without an event, like :meth:`resume`.

        :raises MiraklError: the error that the triggerer met.
        :raises MiraklTriggerEventError: the event is not valid.
        """
        from airflow_provider_mirakl.runtime.job_run import begin, resume_batches

        return begin(self, context) if event is None else resume_batches(self, context, event)

    def submissions(self, caller: Caller, book: JobBook) -> Iterator[tuple[Call[Any], int | None]]:
        """The objects, in batches."""
        batch: list[bytes] = []
        for row in self.rows():
            batch.append(row)
            if len(batch) == self.batch_size:
                yield self.batch(caller, batch), len(batch)
                batch = []
        if batch:
            yield self.batch(caller, batch), len(batch)

    @property
    def copy(self) -> StoragePath:
        """The copy of the objects that is sent, one per line, in the task's folder."""
        return self.task_run.folder / "sent" / "rows.ndjson"

    def rows(self) -> Iterator[bytes]:
        """The encoded objects that are sent."""
        with self.copy.open("rb") as file:
            for line in file:
                yield line.rstrip(b"\n")

    def _open(self) -> Source:
        from airflow_provider_mirakl.catalog.source import open_source

        return open_source(
            path_or_data(self.source),
            self.source_format,
            encoding=self.encoding,
            items=self.items,
            transform=self.transform,
            strip=self.strip,
            compiled=self.build,
        )


def _infinite(value: Any, path: str = "") -> Iterator[str]:
    """The paths of the numbers in an object that JSON does not have."""
    if isinstance(value, float) and not math.isfinite(value):
        yield path
    elif isinstance(value, dict):
        for name, entry in value.items():
            yield from _infinite(entry, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for position, entry in enumerate(value):
            yield from _infinite(entry, f"{path}[{position}]")
