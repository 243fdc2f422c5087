"""The base of the operators that read a listing into files, each run from where the previous one ended."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_mirakl.exceptions import MiraklConfigurationError, one_of
from airflow_provider_mirakl.operators.bases.paced import PacedOperator
from airflow_provider_mirakl.runtime.arguments import is_nothing, read_moment, read_path
from airflow_provider_mirakl.runtime.task_run import TaskRun

if TYPE_CHECKING:
    from airflow_provider_mirakl.extract.listings import Listing
    from airflow_provider_mirakl.extract.target import Format, Target
    from airflow_provider_mirakl.extract.work import ExtractWork, Window

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
    :param updated_until: end of a fixed interval. Templated.
    :param overlap: how far a run reaches back behind the watermark.
    :param watermark: folder of the watermark. Templated.
    :param personal_data: ``keep`` or ``drop``.
    """

    template_fields: Sequence[str] = (
        "target",
        "since",
        "updated_from",
        "updated_until",
        "watermark",
        "work_folder",
    )
    ui_color = "#dcefe4"

    def __init__(
        self,
        *,
        target: str,
        format: Format = "ndjson",  # noqa: A002 - as users say it
        layout: Literal["nested", "flat"] = "nested",
        since: datetime | str | None = None,
        updated_from: datetime | str | None = None,
        updated_until: datetime | str | None = None,
        overlap: float | timedelta = 600.0,
        watermark: str | None = None,
        personal_data: Literal["keep", "drop"] = "keep",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.target = target
        self.format = format
        self.layout = layout
        self.since = since
        self.updated_from = updated_from
        self.updated_until = updated_until
        self.overlap = overlap if isinstance(overlap, timedelta) else timedelta(seconds=overlap)
        self.watermark = watermark
        self.personal_data = personal_data

    @property
    @abstractmethod
    def listing(self) -> Listing:
        """What is read."""

    def filters(self) -> dict[str, Any]:
        """Further filters of the listing."""
        return {}

    def open_work(self, run: TaskRun) -> ExtractWork | None:
        """Begin the walk, or go on where it was broken off."""
        self._check()
        work = self._work(run)
        if run.begins and work.progress.pages and not work.finished:
            self.log.info("Continuing the previous try: %s were read", work.describe(0.0))
        return None if work.finished else work

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
            "updated_until": None if window.ends is None else window.ends.isoformat(),
            "watermark": None if moved is None else moved.moment.isoformat(),
        }
        words = ", ".join(f"{count:,} {table}" for table, count in counts.items())
        self.log.info("Extracted %s from %d pages into %s", words, result["pages"], self.target)
        return result

    def _check(self) -> None:
        one_of("format", self.format, ("ndjson", "parquet"))
        one_of("layout", self.layout, ("nested", "flat"))
        one_of("personal_data", self.personal_data, ("keep", "drop"))
        if self.overlap < timedelta():
            raise MiraklConfigurationError("overlap: must not be negative", field="overlap")

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
            storage_path(read_path("target", self.target)),
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

        begins = read_moment("updated_from", self.updated_from)
        ends = read_moment("updated_until", self.updated_until)
        if begins is None and ends is not None:
            raise MiraklConfigurationError(
                "updated_until: a fixed interval needs updated_from too", field="updated_from"
            )
        if begins is not None:
            if not is_nothing(self.since) or not is_nothing(self.watermark):
                raise MiraklConfigurationError(
                    "updated_from: is a fixed interval; since and watermark belong to extracts without one",
                    field="updated_from",
                )
            if ends is not None and ends <= begins:
                raise MiraklConfigurationError(
                    f"updated_until: {ends.isoformat()} is not after updated_from, {begins.isoformat()}",
                    field="updated_until",
                )
            return Window(begins, ends)
        if is_nothing(self.watermark):
            if run.is_mapped:
                raise MiraklConfigurationError(
                    "watermark: a mapped task needs a folder of its own for each instance", field="watermark"
                )
            place = run.lasting_folder("watermarks", self.hook.conn_id)
        else:
            place = storage_path(str(self.watermark))
        known = Watermark.load(place)
        first = read_moment("since", self.since) or datetime.now(UTC) - FIRST_RUN
        return Window(first if known is None else known.begins(self.overlap), None, place, self.overlap)
