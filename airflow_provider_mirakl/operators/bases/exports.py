"""The bases of the export operators: asynchronous exports, and exports that answer at once."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, get_args

from airflow.providers.common.compat.sdk import conf

from airflow_provider_mirakl.exceptions import (
    MiraklConfigurationError,
    MiraklNotFoundError,
)
from airflow_provider_mirakl.hooks.conn_ids import MIRAKL_DEFAULT
from airflow_provider_mirakl.operators.bases.base import MiraklBaseOperator
from airflow_provider_mirakl.operators.bases.jobs import MiraklJobOperator
from airflow_provider_mirakl.runtime.arguments import (
    Choice,
    Flag,
    Id,
    Location,
    Maybe,
    Moment,
    Seconds,
    Whole,
    check_range,
)
from airflow_provider_mirakl.runtime.choices import OnChangedFilters, OnLostState, TargetFormat
from airflow_provider_mirakl.runtime.connections import OnInstance

if TYPE_CHECKING:
    from typing import Unpack

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mirakl.api.call import Call
    from airflow_provider_mirakl.api.caller import Caller
    from airflow_provider_mirakl.client.http import Client
    from airflow_provider_mirakl.jobs.book import JobBook
    from airflow_provider_mirakl.runtime.arguments import (
        FlagArg,
        MomentArg,
        NumberArg,
        PathArg,
        TextArg,
        WholeArg,
    )
    from airflow_provider_mirakl.runtime.results import Ended
    from airflow_provider_mirakl.runtime.signatures import ExportArguments, JobArguments, TaskArguments
    from airflow_provider_mirakl.runtime.task_run import TaskRun
    from airflow_provider_mirakl.runtime.watermark import MarkedWindow


class ExportOperator(MiraklJobOperator):
    """Base of the operators that run an asynchronous export, and write one file.

    Without ``wait_for_completion`` the task ends with ``job_ids`` and ``target``; the sensor of the export waits with
    them, fetches the files and writes the target.

    :param target: the file to write: a local path or object storage. Templated.
    :param target_format: ``ndjson``, ``csv`` or ``parquet``; default by the target's ending.
    :param items_per_chunk: items in one of Mirakl's files; default Mirakl's own.
    """

    formats: ClassVar[tuple[TargetFormat, ...]] = ("ndjson", "csv", "parquet")
    """Formats that can be written: CSV only if Mirakl exports it."""
    target = Location()
    target_format = Maybe(Choice[TargetFormat](get_args(TargetFormat)))
    items_per_chunk = Maybe(Whole())

    def __init__(
        self,
        *,
        target: PathArg,
        target_format: TargetFormat | TextArg | None = None,
        items_per_chunk: WholeArg | None = None,
        **kwargs: Unpack[JobArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.target = target
        self.target_format = target_format
        self.items_per_chunk = items_per_chunk

    @abstractmethod
    def begin(self, caller: Caller) -> Call[str]:
        """The call that begins the export."""

    def asked(self, caller: Caller) -> Call[str]:
        """The call that identifies the export: the same for every try."""
        return self.begin(caller)

    @property
    def format(self) -> TargetFormat:
        """The format of the target.

        :raises MiraklConfigurationError: Mirakl does not export these rows in this format.
        """
        from airflow_provider_mirakl.runtime.results import format_of

        return format_of(self.target, self.target_format, self.formats)

    @property
    def export_type(self) -> str:
        """The format requested from Mirakl."""
        from airflow_provider_mirakl.runtime.results import export_type

        return export_type(self.format)

    def payload(self, caller: Caller) -> str:
        """Hash of the request.

        :raises MiraklConfigurationError: a shop is set, but the export takes none from this role.
        """
        call = self.asked(caller.check_shop(self.kind.code))
        words = f"{call.target}\0{caller}\0{self.target}".encode()
        return hashlib.sha256(words + (call.body if isinstance(call.body, bytes) else b"")).hexdigest()

    def submissions(self, caller: Caller, book: JobBook) -> Iterator[tuple[Call[Any], int | None]]:
        """The export's call."""
        from airflow_provider_mirakl.runtime.downloads import ready_target

        ready_target(self.target, self.format)
        yield self.begin(caller), None

    def deliver(self, run: TaskRun, client: Client, caller: Caller, jobs: Sequence[Ended]) -> dict[str, Any]:
        """Fetch the files and write the target."""
        from airflow_provider_mirakl.runtime.results import fetch_export

        (job,) = jobs
        return fetch_export(client, caller, self.kind, job.job_id, self.target, self.format, self.log)

    def begun(self, run: TaskRun, book: JobBook) -> dict[str, Any]:
        """The ids, and the target for the sensor that fetches the files."""
        return super().begun(run, book) | {"target": self.target}

    @contextmanager
    def expiring(self) -> Iterator[None]:
        """Mark an expired export as failed, so that a retry starts a new one instead of polling it forever."""
        try:
            yield
        except MiraklNotFoundError:
            if (book := self.book) is not None:
                for entry in book.entries:
                    book.ended(entry, entry.status or {}, failed=True)
                ids = ", ".join(book.texts)
                self.log.warning("Mirakl no longer has %s %s; a retry exports again", self.kind.title, ids)
            raise

    def checked(self, result: dict[str, Any]) -> dict[str, Any]:
        """The keys that an export has."""
        kept = ("target", "items", "files", "job_ids", "shop_id", "folder")
        return {name: result[name] for name in kept}


class ChangesExportOperator(ExportOperator):
    """Base of the asynchronous exports that can export only what changed.

    :param updated_since: only items that changed since this time; default all. A date-time or its ISO 8601 text, such
        as ``{{ data_interval_start }}``. Templated.
    :param changes_only: only items that changed since the last run that wrote its target; the first run exports all.
        The end of the window is kept in a file for all runs (the watermark). Cannot be combined with ``updated_since``,
        nor with ``wait_for_completion=False``. Templated.
    :param overlap: with ``changes_only``: seconds by which a window begins before the watermark, because Mirakl's clock
        may differ from Airflow's. Changes within the overlap are exported twice. Templated.
    :param watermark: the file that keeps the watermark; default one of the task in the work folder; a mapped task must
        set it. Templated.
    :param on_changed_filters: what to do if operation, filters, shop, role or account differ from those of the previous
        run, whose watermark says nothing about other rows: ``fail`` before any call, or ``restart`` to export
        everything once. Templated.
    :param on_lost_state: what to do if the watermark of an earlier run is missing: ``fail`` before any call, or
        ``full`` to export everything once. The very first run has no watermark to lose. Templated.
    """

    narrowing: ClassVar[tuple[str, ...]] = ()
    """The arguments that narrow the rows, besides the window."""
    updated_since = Maybe(Moment())
    changes_only = Flag()
    overlap = Seconds(least=0)
    watermark = Maybe(Location())
    on_changed_filters = Choice[OnChangedFilters](get_args(OnChangedFilters))
    on_lost_state = Choice[OnLostState](get_args(OnLostState))

    def __init__(
        self,
        *,
        target: PathArg,
        updated_since: MomentArg | None = None,
        changes_only: FlagArg = False,
        overlap: NumberArg = 300.0,
        watermark: PathArg | None = None,
        on_changed_filters: OnChangedFilters | TextArg = "fail",
        on_lost_state: OnLostState | TextArg = "fail",
        **kwargs: Unpack[ExportArguments],
    ) -> None:
        super().__init__(target=target, **kwargs)
        self.updated_since = updated_since
        self.changes_only = changes_only
        self.overlap = overlap
        self.watermark = watermark
        self.on_changed_filters = on_changed_filters
        self.on_lost_state = on_lost_state
        self._window: MarkedWindow | None = None
        self._check_waits()

    def _check_waits(self) -> None:
        """Refuse a watermark that would never move: it moves when this task has written the target."""
        if self.changes_only is True and not self.wait_for_completion:
            raise MiraklConfigurationError(
                "changes_only needs wait_for_completion, because the watermark moves when this task has written the "
                "target; wait for completion, or set updated_since, such as '{{ data_interval_start }}'",
                field="changes_only",
            )

    @property
    def operation(self) -> str:
        """Mirakl's code of the export."""
        return self.kind.code

    @property
    def since(self) -> datetime | None:
        """Where the window begins; ``None`` for everything.

        :raises MiraklConfigurationError: it is set in two ways, or its watermark would never move.
        """
        self._check_waits()
        if not self.changes_only:
            return self.updated_since
        if self.updated_since is not None:
            raise MiraklConfigurationError(
                "changes_only begins at its own watermark; leave out updated_since", field="changes_only"
            )
        return self._marked().since

    def since_until(self, updated_to: datetime | None) -> datetime | None:
        """Where the window begins, of an export that may end before now.

        :param updated_to: where it ends; ``None`` for now.
        :raises MiraklConfigurationError: it ends before it begins; or before the watermark that it would move: what
            changes in between would never be exported.
        """
        if self.changes_only and updated_to is not None:
            raise MiraklConfigurationError(
                "updated_to cannot be used with changes_only, whose range ends now; leave out updated_to",
                field="updated_to",
            )
        check_range(("updated_since", "updated_to"), self.since, updated_to)
        return self.since

    def _marked(self) -> MarkedWindow:
        """The window of this stay in a worker."""
        from airflow_provider_mirakl.runtime.watermark import MarkedWindow

        if self._window is None or self._window.run is not self.task_run:
            filters = narrowed(self, self.caller)
            self._window = MarkedWindow.find(self, self.task_run, filters, on_lost_state=self.on_lost_state)
        return self._window

    def submissions(self, caller: Caller, book: JobBook) -> Iterator[tuple[Call[Any], int | None]]:
        """The export's call. The time is noted before it is made, because it may be sent later without change."""
        book.ask()
        yield from super().submissions(caller, book)

    def deliver(self, run: TaskRun, client: Client, caller: Caller, jobs: Sequence[Ended]) -> dict[str, Any]:
        """Write the target, then move the watermark to the time the export was asked for."""
        from airflow_provider_mirakl.runtime.job_run import claims_of

        window, book = self._marked() if self.changes_only else None, self.book
        result = super().deliver(run, client, caller, jobs)
        if window is not None and book is not None:
            # An earlier version noted only when it was sent.
            until = book.entries[0].at if book.asked_at is None else book.asked_at
            until = claims_of(self, run, client).first_asked_at(jobs[0].job_id, until)
            window.delivered(datetime.fromtimestamp(until, UTC))
        return result


def narrowed(task: ChangesExportOperator | DirectExportOperator, caller: Caller) -> dict[str, Any]:
    """What narrows the rows of an export, by name."""
    own = {name: getattr(task, name) for name in task.narrowing}
    return {"role": caller.role, "shop_id": caller.shop_id, **own}


class DirectExportOperator(OnInstance, MiraklBaseOperator):
    """Base of the operators whose export answers at once, with what changed since the last run.

    The end of the last window, the watermark, is kept in a file for all runs. It moves forward only when the target
    is written; a run that is retried or cleared keeps the start of its window. To repeat older runs, set the window
    yourself, for example to ``{{ data_interval_start }}``.

    :param target: the NDJSON file to write: a local path or object storage. Empty when nothing changed. Templated.
    :param updated_since: start of the window; default the watermark, none in the first run. A date-time or its ISO 8601
        text. Templated.
    :param updated_to: end of the window; default now. Templated.
    :param overlap: seconds by which a window begins before the watermark, because Mirakl's clock may differ from
        Airflow's. Changes within the overlap are exported twice.
    :param watermark: the file that keeps the watermark; default one of the task in the work folder; a mapped task must
        set it. Templated.
    :param on_changed_filters: what to do if operation, filters, shop, role or account differ from those of the previous
        run, whose watermark says nothing about other rows: ``fail`` before any call, or ``restart`` to export
        everything once. Templated.
    :param on_lost_state: what to do if the watermark of an earlier run is missing: ``fail`` before any call, or
        ``full`` to export everything once. The very first run has no watermark to lose. Templated.
    :param mirakl_conn_id: connection of type ``mirakl``. Templated.
    :param role: ``shop``, ``operator`` or ``front``; default the connection's own.
    :param shop_id: the shop; default the connection's own. Templated.
    :param deferrable: wait in the triggerer if Mirakl does not permit the call yet; default Airflow's
        ``[operators] default_deferrable``.
    :param refused_timeout: longest time in seconds, or a timedelta, during which Mirakl may refuse the call as too
        early.
    :param work_folder: folder of the watermark; default ``[mirakl] work_folder``. Templated.
    """

    roles: Sequence[str] = ("shop", "operator", "front")
    operation: ClassVar[str]
    """Mirakl's code of the export."""
    narrowing: ClassVar[tuple[str, ...]] = ()
    """The arguments that narrow the rows, besides the window."""

    target = Location()
    updated_since = Maybe(Moment())
    updated_to = Maybe(Moment())
    overlap = Seconds(least=0)
    watermark = Maybe(Location())
    on_changed_filters = Choice[OnChangedFilters](get_args(OnChangedFilters))
    on_lost_state = Choice[OnLostState](get_args(OnLostState))
    shop_id = Maybe(Id())
    deferrable = Flag(templated=False)
    refused_timeout = Seconds(least=0, templated=False)
    work_folder = Maybe(Location())

    def __init__(
        self,
        *,
        target: PathArg,
        updated_since: MomentArg | None = None,
        updated_to: MomentArg | None = None,
        overlap: NumberArg = 300.0,
        watermark: PathArg | None = None,
        on_changed_filters: OnChangedFilters | TextArg = "fail",
        on_lost_state: OnLostState | TextArg = "fail",
        mirakl_conn_id: TextArg = MIRAKL_DEFAULT,
        role: TextArg | None = None,
        shop_id: WholeArg | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        refused_timeout: float | timedelta = 24 * 3600.0,
        work_folder: PathArg | None = None,
        **kwargs: Unpack[TaskArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.target = target
        self.updated_since = updated_since
        self.updated_to = updated_to
        self.overlap = overlap
        self.watermark = watermark
        self.on_changed_filters = on_changed_filters
        self.on_lost_state = on_lost_state
        self.mirakl_conn_id = mirakl_conn_id
        self.role = role
        self.shop_id = shop_id
        self.deferrable = deferrable
        self.refused_timeout = refused_timeout
        self.work_folder = work_folder

    def filters(self, caller: Caller) -> dict[str, Any]:
        """What narrows the rows, by name."""
        return narrowed(self, caller)

    @abstractmethod
    def ask(self, caller: Caller, since: datetime | None, until: datetime) -> Call[bytes]:
        """The call, whose answer is a JSON array or 204."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Call, write, move the watermark; if Mirakl does not permit the call yet, wait until it does."""
        from airflow_provider_mirakl.runtime.direct_export import export

        return export(self, context, {})

    def resume(self, context: Context, event: object = None) -> dict[str, Any]:
        """Make the call after the wait in the triggerer.

        Airflow resumes without an event when a task is cleared just as it defers: then the limit begins again.
        """
        from airflow_provider_mirakl.runtime.direct_export import export

        state = event.get("state") if isinstance(event, dict) else None
        return export(self, context, state or {})
