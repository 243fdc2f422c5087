"""The bases of the operators that read much: exports in the background, and exports that answer at once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_mirakl.exceptions import MiraklConfigurationError, MiraklNotFoundError
from airflow_provider_mirakl.hooks.mirakl import MiraklHook
from airflow_provider_mirakl.operators.bases.jobs import MiraklJobOperator, Submission
from airflow_provider_mirakl.runtime.arguments import read_caller, read_moment
from airflow_provider_mirakl.runtime.task_run import TaskRun

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mirakl.api.call import Call
    from airflow_provider_mirakl.api.caller import Caller
    from airflow_provider_mirakl.client.http import Client
    from airflow_provider_mirakl.files.storage import StoragePath
    from airflow_provider_mirakl.jobs.book import JobBook
    from airflow_provider_mirakl.runtime.results import Ended

TargetFormat = Literal["ndjson", "csv", "parquet"]
_ENDINGS: dict[str, TargetFormat] = {
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".csv": "csv",
    ".parquet": "parquet",
}
_PARQUET_CHUNK = 10_000
"""Items in one of Mirakl's files, where the target is Parquet: each is held in memory once."""


def target_format(target: str, chosen: TargetFormat | None) -> TargetFormat:
    """The format of a target: as chosen, else by its ending.

    :raises MiraklConfigurationError: the ending is none of the known ones.
    """
    from airflow_provider_mirakl.runtime.arguments import read_path

    target = read_path("target", target)
    found = chosen or next((kind for ending, kind in _ENDINGS.items() if target.endswith(ending)), None)
    if found not in _ENDINGS.values():
        raise MiraklConfigurationError(
            f"target: {target!r} ends in none of {', '.join(_ENDINGS)}; set target_format", field="target"
        )
    return found  # type: ignore[return-value]


class ExportOperator(MiraklJobOperator):
    """Base of the operators that export in the background, and write one file.

    :param target: the file to write: a local path or object storage. Templated.
    :param target_format: ``ndjson``, ``csv`` or ``parquet``; default by the target's ending.
    :param items_per_chunk: items in one of Mirakl's files; default Mirakl's own, for Parquet 10,000.
    """

    template_fields: Sequence[str] = ("target", *MiraklJobOperator.template_fields)

    def __init__(
        self,
        *,
        target: str,
        target_format: TargetFormat | None = None,
        items_per_chunk: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.target = target
        self.target_format = target_format
        self._items_per_chunk = items_per_chunk

    @abstractmethod
    def begin(self, caller: Caller) -> Call[str]:
        """The call that begins the export."""

    @property
    def format(self) -> TargetFormat:
        """The format of the target."""
        return target_format(self.target, self.target_format)

    @property
    def export_type(self) -> str:
        """The format that Mirakl is asked for."""
        return "text/csv" if self.format == "csv" else "application/json"

    @property
    def items_per_chunk(self) -> int | None:
        """Items in one of Mirakl's files."""
        if self._items_per_chunk is None and self.format == "parquet":
            return _PARQUET_CHUNK
        return self._items_per_chunk

    def payload(self, caller: Caller) -> str:
        """Hash of what is asked for."""
        import hashlib

        call = self.begin(caller)
        words = f"{call.target}\0{caller}\0{self.target}".encode()
        return hashlib.sha256(words + (call.body if isinstance(call.body, bytes) else b"")).hexdigest()

    def submissions(self, caller: Caller, book: JobBook) -> Iterator[Submission]:
        """The one export."""
        yield Submission(self.begin(caller))

    def deliver(self, run: TaskRun, client: Client, caller: Caller, jobs: Sequence[Ended]) -> dict[str, Any]:
        """Fetch the files, whose addresses are asked for anew, and write the target."""
        from airflow_provider_mirakl.files.paths import storage_path
        from airflow_provider_mirakl.jobs.table import judge
        from airflow_provider_mirakl.runtime.downloads import write_files

        (job,) = jobs
        urls = judge(self.kind, client.send(self.kind.status(job.job_id, caller))).urls
        file = self.kind.file
        assert file is not None  # noqa: S101 - exports have files
        calls = [file(url, accept=self.export_type) for url in urls]
        items = write_files(client, calls, storage_path(str(self.target)), self.format)
        counted = "CSV, whose rows are not counted," if items is None else f"{items:,} items"
        self.log.info("Wrote %s: %s from %d files", self.target, counted, len(urls))
        return {"target": str(self.target), "items": items, "files": len(urls)}

    def resume(self, context: Context, event: object = None) -> dict[str, Any]:
        """Take up what the trigger found."""
        with self._expiring():
            return super().resume(context, event)

    def _proceed(self, context: Context, run: TaskRun, book: JobBook) -> dict[str, Any]:
        with self._expiring():
            return super()._proceed(context, run, book)

    @contextmanager
    def _expiring(self) -> Iterator[None]:
        """Give up an export that Mirakl has no more, so that a retry begins another: it would ask in vain for ever."""
        try:
            yield
        except MiraklNotFoundError:
            if (book := self._book) is not None:
                for entry in book.entries:
                    book.ended(entry, entry.status or {}, failed=True)
                self.log.warning("Mirakl has %s no more; a retry exports anew", self._named(book))
            raise

    def _judged(self, result: dict[str, Any]) -> dict[str, Any]:
        kept = ("target", "items", "files", "job_ids", "folder")
        return {name: result[name] for name in kept}


class DirectExportOperator(BaseOperator):
    """Base of the operators whose export answers at once, with what changed since the last time.

    The last time is a watermark, kept in a file beside the work of all runs. It moves forward only when the target is
    written; a run that is retried or cleared begins its window where it began. Give the window yourself, such as
    ``{{ data_interval_start }}``, where older runs are to be repeated.

    :param target: the NDJSON file to write: a local path or object storage. Empty when nothing changed. Templated.
    :param updated_since: begin of the window; default the watermark, the first time none. A date-time or its ISO 8601
        text. Templated.
    :param updated_to: end of the window; default now. Templated.
    :param overlap: seconds by which a window begins before the watermark, since Mirakl's clock may differ from ours.
        What changed then is told twice.
    :param watermark: the file that keeps the watermark; default one of the task in the work folder. Templated.
    :param mirakl_conn_id: connection of type ``mirakl``. Templated.
    :param role: ``shop``, ``operator`` or ``front``; default the connection's own.
    :param shop_id: the shop; default the connection's own. Templated.
    :param work_folder: folder of the watermark; default ``[mirakl] work_folder``. Templated.
    """

    roles: Sequence[str] = ("shop", "operator", "front")
    template_fields: Sequence[str] = (
        "target", "updated_since", "updated_to", "watermark", "mirakl_conn_id", "shop_id", "work_folder",
    )  # fmt: skip
    ui_color = "#d8ecf6"

    def __init__(
        self,
        *,
        target: str,
        updated_since: datetime | str | None = None,
        updated_to: datetime | str | None = None,
        overlap: float = 300.0,
        watermark: str | None = None,
        mirakl_conn_id: str = MiraklHook.default_conn_name,
        role: str | None = None,
        shop_id: int | str | None = None,
        work_folder: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.target = target
        self.updated_since = updated_since
        self.updated_to = updated_to
        self.overlap = overlap
        self.watermark = watermark
        self.mirakl_conn_id = mirakl_conn_id
        self.role = role
        self.shop_id = shop_id
        self.work_folder = work_folder

    @abstractmethod
    def ask(self, caller: Caller, since: datetime | None, until: datetime) -> Call[bytes]:
        """The call that answers with a JSON array, or 204."""

    @cached_property
    def hook(self) -> MiraklHook:
        """The hook of the operator's connection."""
        return MiraklHook(self.mirakl_conn_id, role=self.role)

    def execute(self, context: Context) -> dict[str, Any]:
        """Ask, write, move the watermark."""
        from airflow_provider_mirakl.files.paths import storage_path
        from airflow_provider_mirakl.files.storage import write_bytes
        from airflow_provider_mirakl.runtime.arguments import read_path
        from airflow_provider_mirakl.runtime.downloads import write_files

        caller = read_caller(self.hook, self.shop_id)
        if caller.role not in self.roles:
            raise MiraklConfigurationError(
                f"role: this is for {' and '.join(self.roles)}, and connection {self.mirakl_conn_id!r} has the key of "
                f"role {caller.role}",
                field="role",
            )
        target, begun = read_path("target", self.target), datetime.now(UTC)
        watermark, run = self._watermark(context), _run_of(context)
        given = read_moment("updated_since", self.updated_since)
        last = None if given is not None else _read_watermark(watermark)
        since = given if last is None else last.since(run, timedelta(seconds=self.overlap))
        until = read_moment("updated_to", self.updated_to) or begun
        if since is not None and until is not begun and until <= since:
            raise MiraklConfigurationError(
                f"updated_to: {until.isoformat()} is not after {since.isoformat()}, where the window begins; to "
                "repeat an older window give updated_since as well",
                field="updated_to",
            )
        with self.hook.get_conn() as client:
            items = write_files(client, [self.ask(caller, since, until)], storage_path(target), "ndjson")
        if given is None:
            # What changes after this moment is not told yet, whatever the window says.
            moved = Watermark(min(until, begun), run, since)
            write_bytes(watermark, moved.dump())
        self.log.info("Wrote %s: %d items since %s", target, items or 0, since or "ever")
        return {
            "target": target,
            "items": items,
            "updated_since": since.isoformat() if since else None,
            "updated_to": until.isoformat(),
        }

    def _watermark(self, context: Context) -> StoragePath:
        from airflow_provider_mirakl.files.paths import folder_below, storage_path
        from airflow_provider_mirakl.runtime.arguments import is_nothing, read_path

        if not is_nothing(self.watermark):
            return storage_path(read_path("watermark", self.watermark))
        ti = context["ti"]
        folder = folder_below(self.work_folder, ti.dag_id, ti.task_id)
        folder.mkdir(parents=True, exist_ok=True)
        mapped = ti.map_index is not None and ti.map_index >= 0
        return folder / (f"watermark-{ti.map_index}.txt" if mapped else "watermark.txt")


@dataclass(frozen=True, slots=True)
class Watermark:
    """Up to when a direct export has told everything.

    :param until: that moment.
    :param run: the task instance that moved it there; ``None`` where a person wrote the file.
    :param begin: where its window began. A retry begins there again: the target it writes takes the place of the first.
    """

    until: datetime
    run: str | None = None
    begin: datetime | None = None

    def since(self, run: str, overlap: timedelta) -> datetime | None:
        """Where the window of a task instance begins."""
        return self.begin if run == self.run else self.until - overlap

    def dump(self) -> bytes:
        """The file: the moment, and in a second line whose it is."""
        import json

        began = None if self.begin is None else self.begin.isoformat()
        note = json.dumps({"run": self.run, "since": began}, ensure_ascii=False)
        return f"{self.until.isoformat()}\n{note}\n".encode()


def _read_watermark(path: StoragePath) -> Watermark | None:
    import json

    try:
        moment, _, note = path.read_bytes().decode().strip().partition("\n")
    except FileNotFoundError:
        return None
    until = read_moment("watermark", moment.strip())
    if until is None:
        return None
    try:
        kept = json.loads(note) if note else {}
        return Watermark(until, kept.get("run"), read_moment("watermark", kept.get("since")))
    except (ValueError, AttributeError):
        raise MiraklConfigurationError(
            f"watermark: {path} cannot be read; leave its first line alone in it", field="watermark"
        ) from None


def _run_of(context: Context) -> str:
    """What the tries of one task instance share, also when it is cleared."""
    ti = context["ti"]
    return f"{ti.dag_id}/{ti.task_id}/{ti.run_id}/{ti.map_index}"
