"""The base of the operators that extract a listing to files; each run begins where the previous one ended."""

from __future__ import annotations

import hashlib
import json
import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, get_args

from airflow_provider_mirakl.exceptions import MiraklConfigurationError, MiraklNoteError
from airflow_provider_mirakl.files.paths import storage_path
from airflow_provider_mirakl.hooks.conn_ids import CONNECT_DEFAULT
from airflow_provider_mirakl.operators.bases.paced import PacedOperator
from airflow_provider_mirakl.runtime.arguments import (
    Choice,
    Location,
    Maybe,
    Moment,
    Seconds,
    check_range,
)
from airflow_provider_mirakl.runtime.choices import (
    ExtractFormat,
    Layout,
    OnChangedFilters,
    OnLostState,
    PersonalData,
)
from airflow_provider_mirakl.runtime.connections import OnConnect

if TYPE_CHECKING:
    from typing import Unpack

    from airflow_provider_mirakl.extract.listings import Listing
    from airflow_provider_mirakl.extract.scope import Scope
    from airflow_provider_mirakl.extract.target import Target
    from airflow_provider_mirakl.extract.work import ExtractWork, Window
    from airflow_provider_mirakl.runtime.arguments import MomentArg, NumberArg, PathArg, TextArg
    from airflow_provider_mirakl.runtime.signatures import ExtractArguments, PacedArguments
    from airflow_provider_mirakl.runtime.task_run import TaskRun
    from airflow_provider_mirakl.triggers.places import Place


FIRST_RUN = timedelta(days=30)
"""How far the first run reaches back by default: as far as Mirakl lists by default."""
_UNSAFE = r"[^\w.=+-]+"


class ExtractOperator(PacedOperator):
    """Reads a listing page by page, at the published pace, and writes it to files.

    The subclasses name every parameter; the meaning of the shared ones is the same in all.

    :param target: folder of the files. Templated.
    :param format: ``ndjson`` or ``parquet``.
    :param layout: ``nested`` or ``flat``.
    :param since: where the first run begins. Templated.
    :param updated_from: start of a fixed interval. Templated.
    :param updated_to: end of a fixed interval. Templated.
    :param overlap: how far a run reaches back before the watermark.
    :param watermark: folder of the watermark. Templated.
    :param on_changed_filters: what to do when operation, role, filters or account differ from those of the previous
        run, whose watermark does not cover the rows that were left out then: ``fail`` before any call; or ``restart``,
        which starts over at ``since`` and delivers rows that match both filters again. Templated.
    :param on_lost_state: what to do if the watermark of an earlier run is missing: ``fail`` before any call; or
        ``full``, which starts over at ``since``. Templated.
    :param personal_data: ``keep`` or ``drop``.
    """

    ui_color = "#dcefe4"
    target = Location()
    format = Choice[ExtractFormat](get_args(ExtractFormat))
    layout = Choice[Layout](get_args(Layout))
    since = Maybe(Moment())
    updated_from = Maybe(Moment())
    updated_to = Maybe(Moment())
    overlap = Seconds(least=0)
    watermark = Maybe(Location())
    on_changed_filters = Choice[OnChangedFilters](get_args(OnChangedFilters))
    on_lost_state = Choice[OnLostState](get_args(OnLostState))
    personal_data = Choice[PersonalData](get_args(PersonalData))

    def __init__(
        self,
        *,
        target: PathArg,
        format: ExtractFormat | TextArg = "ndjson",  # noqa: A002 - the name users expect
        layout: Layout | TextArg = "nested",
        since: MomentArg | None = None,
        updated_from: MomentArg | None = None,
        updated_to: MomentArg | None = None,
        overlap: NumberArg | timedelta = 600.0,
        watermark: PathArg | None = None,
        on_changed_filters: OnChangedFilters | TextArg = "fail",
        on_lost_state: OnLostState | TextArg = "fail",
        personal_data: PersonalData | TextArg = "keep",
        **kwargs: Unpack[PacedArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.target = target
        self.format = format
        self.layout = layout
        self.since = since
        self.updated_from = updated_from
        self.updated_to = updated_to
        self.overlap = overlap
        self.watermark = watermark
        self.on_changed_filters = on_changed_filters
        self.on_lost_state = on_lost_state
        self.personal_data = personal_data

    @property
    @abstractmethod
    def described(self) -> str | Mapping[str, Any]:
        """The listing, as :func:`~airflow_provider_mirakl.extract.listings.find_listing` takes it."""

    @property
    def listing(self) -> Listing:
        """The listing to read."""
        from airflow_provider_mirakl.extract.listings import find_listing

        return find_listing(self.described)

    @abstractmethod
    def source(self) -> dict[str, Any]:
        """The operation, and what else decides which rows it lists, by name."""

    def filters(self) -> dict[str, Any]:
        """Further filters of the listing."""
        return {}

    def prepare(self, run: TaskRun) -> Place | None:
        """Begin the walk, or continue where it was interrupted; write the target once all pages are read."""
        from airflow_provider_mirakl.extract.watermark import WATERMARK
        from airflow_provider_mirakl.triggers.places import open_extract, place_of

        if run.begins:
            self._check_former(self._target(run))
        if run.begins and (place := self._window(run).watermark) is not None:
            what, chosen = "the watermark of this extract", self.watermark is not None
            run.check_lasting(place / WATERMARK.file, what, self.on_lost_state, self.log, chosen=chosen)
        work, window = self._work(run), self._window(run)
        if run.begins and work.progress.pages and work.operation is not None:
            self.log.info("Continuing the previous try, which read %s", work.describe(0.0))
        work.end(self._target(run))
        if work.finished:
            return None
        return place_of(
            open_extract,
            folder=str(run.folder),
            generation=self._generation(run, window),
            listing=self.described,
            ends=None if window.ends is None else window.ends.isoformat(),
            watermark=None if window.watermark is None else str(window.watermark),
            overlap=window.overlap.total_seconds(),
            keep_persons=self.personal_data == "keep",
        )

    def conclude(self, run: TaskRun) -> dict[str, Any]:
        """Log what was written, and where."""
        from airflow_provider_mirakl.extract.watermark import WATERMARK, Watermark

        progress = self._work(run).progress
        counts = progress.counts or {}
        window = self._window(run)
        moved = None
        if window.watermark is not None:
            moved = Watermark.load(window.watermark)
            run.note_lasting(window.watermark / WATERMARK.file)
        result = {
            "items": counts,
            "files": {table: str(self._target(run).path(table)) for table, count in counts.items() if count},
            "pages": len(progress.pages),
            "updated_from": progress.begins.isoformat() if self.listing.incremental else None,
            "updated_to": None if window.ends is None else window.ends.isoformat(),
            "watermark": None if moved is None else moved.moment.isoformat(),
            "folder": str(run.folder),
        }
        words = ", ".join(f"{count:,} {table}" for table, count in counts.items())
        self.log.info("Extracted %s from %d pages into %s", words, result["pages"], self.target)
        return result

    def _work(self, run: TaskRun) -> ExtractWork:
        from airflow_provider_mirakl.extract.work import ExtractWork

        window = self._window(run)
        self._target(run).check(self.listing.shape)
        return ExtractWork(
            self.listing,
            window,
            run.folder,
            generation=self._generation(run, window),
            filters=self.filters(),
            keep_persons=self.personal_data == "keep",
        )

    def _generation(self, run: TaskRun, window: Window) -> str:
        return f"{run.generation}/{self._asked(window)}"

    def _asked(self, window: Window) -> str:
        """Identifies a walk: a try with other filters does not continue with the pages of the previous one."""
        fixed = None if window.watermark is not None else [str(self.updated_from), str(self.updated_to)]
        shape, scope = self.listing.shape, self._scope()
        words = [shape.table, shape.lines, scope.filters, fixed, self.personal_data]
        return hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()[:12]

    def _scope(self) -> Scope:
        """The rows that this extract delivers."""
        from airflow_provider_mirakl.extract.scope import Scope

        return Scope.of(self.filters(), self.hook.settings.owner, self.source())

    def _target(self, run: TaskRun) -> Target:
        from airflow_provider_mirakl.extract.target import Target

        # Tasks may share a target, and two run ids a folder: a file belongs to one task instance.
        own = hashlib.sha256(run.instance.encode()).hexdigest()[:8]
        return Target(
            storage_path(self.target),
            f"run_id={re.sub(_UNSAFE, '_', run.run_id)}",
            f"part-{max(run.map_index, 0):05d}-{own}",
            self.format,
            self.layout == "flat",
        )

    def _check_former(self, target: Target) -> None:
        """Refuse to deliver rows a second time beside a file that has the name of an earlier version.

        :raises MiraklNoteError: this run has such a file; no call was made.
        """
        former = replace(target, file=target.file.rpartition("-")[0]).path(self.listing.shape.table)
        if former.exists():
            raise MiraklNoteError(
                f"{former} was written by this run with an earlier version of this package, and would be delivered "
                "twice. Nothing was read. Remove it, then clear the task",
                path=str(former),
            )

    def _window(self, run: TaskRun) -> Window:
        """Which changes this run delivers.

        :raises MiraklConfigurationError: arguments exclude each other; or the rows are other ones than those
            of the watermark, unless ``on_changed_filters`` permits it.
        """
        from airflow_provider_mirakl.extract.work import Window

        if not self.listing.incremental:
            self._leave_out(
                ("since", "updated_from", "updated_to", "watermark"),
                "this listing has no time of the last change, so every run reads all of it",
            )
            return Window(datetime.now(UTC))
        begins, ends = self.updated_from, self.updated_to
        if begins is None:
            if ends is not None:
                raise MiraklConfigurationError(
                    "updated_from must be set together with updated_to", field="updated_from"
                )
            return self._since_watermark(run)
        self._leave_out(
            ("since", "watermark"), "cannot be used with updated_from, which sets a fixed interval"
        )
        check_range(("updated_from", "updated_to"), begins, ends)
        return Window(begins, ends)

    def _leave_out(self, names: Sequence[str], reason: str) -> None:
        """Reject arguments that have no meaning here.

        :raises MiraklConfigurationError: one of these is set.
        """
        for name in names:
            if getattr(self, name) is not None:
                raise MiraklConfigurationError(f"{name}: {reason}; leave out {name}", field=name)

    def _since_watermark(self, run: TaskRun) -> Window:
        """The window from the end of the previous run, if that had the same rows.

        An instance that runs again after it has delivered begins where it began before: its files are replaced.
        """
        from airflow_provider_mirakl.extract.scope import BEGAN
        from airflow_provider_mirakl.extract.watermark import Watermark
        from airflow_provider_mirakl.extract.work import Window

        if self.watermark is not None:
            place = storage_path(self.watermark)
        elif run.is_mapped:
            raise MiraklConfigurationError(
                "watermark must be set in a mapped task, to a folder for each instance", field="watermark"
            )
        else:
            place = run.lasting_folder("watermarks", self.hook.conn_id)
        self._check_filters()
        known, scope = Watermark.load(place), self._scope()
        from_start = Window(
            self.since or datetime.now(UTC) - FIRST_RUN,
            watermark=place,
            overlap=timedelta(seconds=self.overlap),
            scope=scope,
        )
        if known is None:
            return from_start
        if words := scope.differs_from(known.scope):
            if self.on_changed_filters == "fail":
                raise MiraklConfigurationError(
                    f"{words}. The watermark in {place} belongs to the rows of the previous run: others that changed "
                    f"before {known.moment.isoformat()} would never be extracted. Set "
                    "on_changed_filters='restart' to extract once more from since, or set another watermark",
                    field="on_changed_filters",
                )
            if run.begins:
                self.log.warning("%s. Starting over at %s", words, from_start.begins.isoformat())
            return from_start
        began = BEGAN.at(run.folder).read()
        if began is not None and began.begins is not None and began.is_of(place, scope):
            return replace(from_start, begins=began.begins, delivered=began.before)
        if began is None and run.may_have_lost_work:
            self._check_replaces(run)
        return replace(from_start, begins=known.begins(from_start.overlap), delivered=known.delivered)

    def _check_filters(self) -> None:
        """Refuse filters that rows may match only after the watermark has passed them.

        :raises MiraklConfigurationError: one of these is set.
        """
        listing = self.listing
        for name in set(listing.changing) & set(self.filters()):
            raise MiraklConfigurationError(
                f"query: {name} may change after {listing.updated}, by which a run continues where the previous one "
                f"ended, so a row that matches only later would never be extracted. Leave out {name} and filter the "
                "rows in the files, or set updated_from, so that a run reads a fixed interval",
                field="query",
            )

    def _check_replaces(self, run: TaskRun) -> None:
        """Refuse to replace what this instance delivered, if it is not known any more where its window began.

        :raises MiraklNoteError: its file exists, but not its notes; no call was made.
        """
        from airflow_provider_mirakl.extract.work import PROGRESS

        file = self._target(run).path(self.listing.shape.table)
        if PROGRESS.at(run.folder).path.exists() or not file.exists():
            return
        raise MiraklNoteError(
            f"{file} was written by an earlier try of this task, but {run.folder}, whose notes say where its window "
            "began, is empty: it was removed after [mirakl] keep_days, or is on the disk of another machine. Nothing "
            "was read. Set updated_from to extract an older window again, or remove the file to extract only what "
            "changed since the watermark",
            path=str(run.folder),
        )


class ConnectExtractOperator(OnConnect, ExtractOperator):
    """Reads a listing of Mirakl Connect.

    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``.
    """

    def __init__(
        self,
        *,
        target: PathArg,
        format: ExtractFormat | TextArg = "ndjson",  # noqa: A002 - the name users expect
        layout: Layout | TextArg = "nested",
        mirakl_connect_conn_id: TextArg = CONNECT_DEFAULT,
        **kwargs: Unpack[ExtractArguments],
    ) -> None:
        super().__init__(target=target, format=format, layout=layout, **kwargs)
        self.mirakl_connect_conn_id = mirakl_connect_conn_id

    def source(self) -> dict[str, Any]:
        """The name of the listing."""
        return {"operation": self.described}
