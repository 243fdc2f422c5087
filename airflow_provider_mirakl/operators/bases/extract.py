"""The base of the operators that read a listing into files, each run from where the previous one ended."""

from __future__ import annotations

import re
from abc import abstractmethod
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow_provider_mirakl.exceptions import MiraklConfigurationError
from airflow_provider_mirakl.hooks.mirakl_connect import MiraklConnectHook
from airflow_provider_mirakl.operators.bases.paced import PacedArguments, PacedOperator
from airflow_provider_mirakl.runtime.arguments import Choice, Location, Maybe, Moment, Seconds, Text
from airflow_provider_mirakl.runtime.task_run import TaskRun

if TYPE_CHECKING:
    from typing import Unpack

    from airflow_provider_mirakl.extract.listings import Listing
    from airflow_provider_mirakl.extract.target import Target
    from airflow_provider_mirakl.extract.work import ExtractWork, Window
    from airflow_provider_mirakl.runtime.arguments import MomentArg, NumberArg, PathArg, TextArg
    from airflow_provider_mirakl.triggers.places import Here

Format = Literal["ndjson", "parquet"]
Layout = Literal["nested", "flat"]
PersonalData = Literal["keep", "drop"]


class ExtractArguments(PacedArguments, total=False):
    """The parameters of :class:`ExtractOperator` that have a default, for the operators built on it."""

    since: MomentArg | None
    updated_from: MomentArg | None
    updated_to: MomentArg | None
    overlap: NumberArg | timedelta
    watermark: PathArg | None
    personal_data: PersonalData | TextArg


class ConnectExtractArguments(ExtractArguments, total=False):
    """The parameters of :class:`ConnectExtractOperator` that have a default, for the operators built on it."""

    format: Format | TextArg
    layout: Layout | TextArg
    mirakl_connect_conn_id: TextArg


FIRST_RUN = timedelta(days=30)
"""How far the first run reaches back by default: what Mirakl lists by default."""
_UNSAFE = re.compile(r"[^\w.=+-]+")


class ExtractOperator(PacedOperator):
    """Reads a listing page by page, at the published pace, and writes it to files.

    The operators made of it name every parameter; this is what the parameters mean for all of them.

    :param target: folder of the files. Templated.
    :param format: ``ndjson`` or ``parquet``.
    :param layout: ``nested`` or ``flat``.
    :param since: where the first run begins. Templated.
    :param updated_from: begin of a fixed interval. Templated.
    :param updated_to: end of a fixed interval. Templated.
    :param overlap: how far a run reaches back behind the watermark.
    :param watermark: folder of the watermark. Templated.
    :param personal_data: ``keep`` or ``drop``.
    """

    ui_color = "#dcefe4"
    target = Location()
    format = Choice[Format](get_args(Format))
    layout = Choice[Layout](get_args(Layout))
    since = Maybe(Moment())
    updated_from = Maybe(Moment())
    updated_to = Maybe(Moment())
    overlap = Seconds(least=0)
    watermark = Maybe(Location())
    personal_data = Choice[PersonalData](get_args(PersonalData))

    def __init__(
        self,
        *,
        target: PathArg,
        format: Format | TextArg = "ndjson",  # noqa: A002 - as users say it
        layout: Layout | TextArg = "nested",
        since: MomentArg | None = None,
        updated_from: MomentArg | None = None,
        updated_to: MomentArg | None = None,
        overlap: NumberArg | timedelta = 600.0,
        watermark: PathArg | None = None,
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
        self.personal_data = personal_data

    @property
    @abstractmethod
    def listing(self) -> Listing:
        """What is read."""

    def filters(self) -> dict[str, Any]:
        """Further filters of the listing."""
        return {}

    def prepare(self, run: TaskRun) -> Here | None:
        """Begin the walk, or go on where it was broken off."""
        from airflow_provider_mirakl.triggers.places import Here

        work = self._work(run)
        if run.begins and work.progress.pages and not work.finished:
            self.log.info("Continuing the previous try: %s were read", work.describe(0.0))
        return None if work.finished else Here(work)

    def conclude(self, run: TaskRun) -> dict[str, Any]:
        """Say what was written, and where."""
        from airflow_provider_mirakl.extract.watermark import Watermark

        progress = self._work(run).progress
        counts = progress.counts or {}
        window = self._window(run)
        moved = Watermark.load(window.watermark) if window.watermark is not None else None
        result = {
            "rows": counts,
            "files": {table: str(self._target(run).path(table)) for table, count in counts.items() if count},
            "pages": len(progress.pages),
            "updated_from": progress.begins.isoformat(),
            "updated_to": None if window.ends is None else window.ends.isoformat(),
            "watermark": None if moved is None else moved.moment.isoformat(),
        }
        words = ", ".join(f"{count:,} {table}" for table, count in counts.items())
        self.log.info("Extracted %s from %d pages into %s", words, result["pages"], self.target)
        return result

    def _work(self, run: TaskRun) -> ExtractWork:
        from airflow_provider_mirakl.extract.work import ExtractWork

        target = self._target(run)
        target.check(self.listing.shape)
        return ExtractWork(
            self.listing,
            self.filters(),
            self._window(run),
            target,
            run.folder,
            generation=run.generation,
            keep_persons=self.personal_data == "keep",
        )

    def _target(self, run: TaskRun) -> Target:
        from airflow_provider_mirakl.extract.target import Target
        from airflow_provider_mirakl.files.paths import storage_path

        return Target(
            storage_path(self.target),
            f"run_id={_UNSAFE.sub('_', run.run_id)}",
            f"part-{run.map_index:05d}" if run.is_mapped else "part-00000",
            self.format,
            self.layout == "flat",
        )

    def _window(self, run: TaskRun) -> Window:
        """Which changes this run delivers.

        :raises MiraklConfigurationError: a fixed interval together with ``since`` or ``watermark``, without its begin,
            or that ends before it begins.
        """
        from airflow_provider_mirakl.extract.watermark import Watermark
        from airflow_provider_mirakl.extract.work import Window
        from airflow_provider_mirakl.files.paths import storage_path

        begins = self.updated_from
        ends = self.updated_to
        if begins is None and ends is not None:
            raise MiraklConfigurationError(
                "updated_to: a fixed interval needs updated_from too", field="updated_from"
            )
        if begins is not None:
            if self.since is not None or self.watermark is not None:
                raise MiraklConfigurationError(
                    "updated_from: is a fixed interval; since and watermark belong to extracts without one",
                    field="updated_from",
                )
            if ends is not None and ends <= begins:
                raise MiraklConfigurationError(
                    f"updated_to: {ends.isoformat()} is not after updated_from, {begins.isoformat()}",
                    field="updated_to",
                )
            return Window(begins, ends)
        if self.watermark is None:
            if run.is_mapped:
                raise MiraklConfigurationError(
                    "watermark: a mapped task needs a folder of its own for each instance", field="watermark"
                )
            place = run.lasting_folder("watermarks", self.hook.conn_id)
        else:
            place = storage_path(self.watermark)
        known = Watermark.load(place)
        first = self.since or datetime.now(UTC) - FIRST_RUN
        overlap = timedelta(seconds=self.overlap)
        return Window(first if known is None else known.begins(overlap), None, place, overlap)


class ConnectExtractOperator(ExtractOperator):
    """Reads a listing of Mirakl Connect.

    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``.
    """

    mirakl_connect_conn_id = Text()

    def __init__(
        self,
        *,
        target: PathArg,
        format: Format | TextArg = "ndjson",  # noqa: A002 - as users say it
        layout: Layout | TextArg = "nested",
        mirakl_connect_conn_id: TextArg = MiraklConnectHook.default_conn_name,
        **kwargs: Unpack[ExtractArguments],
    ) -> None:
        super().__init__(target=target, format=format, layout=layout, **kwargs)
        self.mirakl_connect_conn_id = mirakl_connect_conn_id

    @cached_property
    def hook(self) -> MiraklConnectHook:
        """The hook of the operator's connection."""
        return MiraklConnectHook(self.mirakl_connect_conn_id)
