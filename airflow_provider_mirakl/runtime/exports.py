"""Fetching an export that runs in the background: Mirakl's files become one. The same for operators and sensors."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_mirakl.exceptions import MiraklConfigurationError

if TYPE_CHECKING:
    from airflow_provider_mirakl.api.caller import Caller
    from airflow_provider_mirakl.client.http import Client
    from airflow_provider_mirakl.jobs.table import JobId, JobKind

TargetFormat = Literal["ndjson", "csv", "parquet"]
_ENDINGS: dict[str, TargetFormat] = {
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".csv": "csv",
    ".parquet": "parquet",
}


def format_of(target: str, chosen: TargetFormat | None, formats: Collection[TargetFormat]) -> TargetFormat:
    """The format of a target: the chosen one, otherwise by its ending.

    :param formats: those in which the rows can be written.
    :raises MiraklConfigurationError: the ending is not a known one, or Mirakl has no export of this kind in it.
    """
    found = chosen or next((kind for ending, kind in _ENDINGS.items() if target.endswith(ending)), None)
    if found is None:
        raise MiraklConfigurationError(
            f"target must end in {', '.join(_ENDINGS)}, not {target!r}; or set target_format", field="target"
        )
    if found not in formats:
        raise MiraklConfigurationError(
            f"target must be one of {', '.join(formats)}, not {found}: Mirakl exports these rows as JSON only",
            field="target",
        )
    return found


def export_type(target_format: TargetFormat) -> str:
    """The format that Mirakl is asked for."""
    return "text/csv" if target_format == "csv" else "application/json"


def fetch_export(
    client: Client,
    caller: Caller,
    kind: JobKind,
    job_id: JobId,
    target: str,
    target_format: TargetFormat,
    log: Any,
) -> dict[str, Any]:
    """Fetch the files of an export that has ended, and write the target.

    The addresses of the files are asked for now: they may be signed, so they are not kept and do not travel.

    :param kind: the row of the job table; of an export.
    :param target: the file to write, which appears when it is complete.
    :return: ``target``, ``items`` (``None`` for CSV) and ``files``.
    :raises MiraklNotFoundError: Mirakl no longer has the export.
    :raises MiraklReplyError: the files are empty, or not in the format of the target.
    """
    from airflow_provider_mirakl.files.paths import storage_path
    from airflow_provider_mirakl.jobs.table import judge
    from airflow_provider_mirakl.runtime.downloads import write_files

    urls = judge(kind, client.send(kind.status(job_id, caller))).urls
    file = kind.file
    assert file is not None  # noqa: S101 - exports have files
    calls = [file(url, accept=export_type(target_format)) for url in urls]
    items = write_files(client, calls, storage_path(target), target_format, kind.items)
    counted = "CSV, whose rows are not counted," if items is None else f"{items:,} items"
    log.info("Wrote %s: %s from %d files", target, counted, len(urls))
    return {"target": target, "items": items, "files": len(urls)}
