"""Results of jobs that have ended, their evaluation, and the files of exports: the same for operators and sensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_mirakl.api.call import Reply
from airflow_provider_mirakl.api.caller import Caller
from airflow_provider_mirakl.api.documents import file_name_of
from airflow_provider_mirakl.api.secrets import fit_to_show
from airflow_provider_mirakl.client.http import Client
from airflow_provider_mirakl.exceptions import (
    MiraklConfigurationError,
    MiraklInputError,
    MiraklJobFailedError,
    MiraklNotFoundError,
    MiraklReplyError,
)
from airflow_provider_mirakl.files.paths import storage_path
from airflow_provider_mirakl.files.storage import StoragePath, writing
from airflow_provider_mirakl.files.values import is_csv
from airflow_provider_mirakl.jobs.reports import (
    global_errors,
    read_failures,
    read_items,
    read_warnings,
)
from airflow_provider_mirakl.jobs.table import Evaluation, JobId, JobKind, Report, evaluate
from airflow_provider_mirakl.outcome import SHOWN_LETTERS, ItemResult, OutcomeWriter
from airflow_provider_mirakl.runtime.choices import TargetFormat
from airflow_provider_mirakl.runtime.downloads import write_files
from airflow_provider_mirakl.runtime.task_run import TaskRun

_ENDINGS: dict[str, TargetFormat] = {
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".csv": "csv",
    ".parquet": "parquet",
}
_HEAD = 64
"""Bytes read from a report to detect its format."""
_MESSAGES = 10
"""Messages that a result carries."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A job that has ended, and its archived reports.

    :param job_id: Mirakl's id.
    :param items: number of items in it, if known.
    :param evaluation: the meaning of its status.
    :param reports: the archived reports.
    """

    job_id: JobId
    items: int | None
    evaluation: Evaluation
    reports: list[tuple[Report, StoragePath]]


def archive(
    client: Client, caller: Caller, folder: StoragePath, job_id: JobId, evaluation: Evaluation, log: Any
) -> list[tuple[Report, StoragePath]]:
    """Fetch every report of a job at once, since Mirakl keeps them for a limited time.

    :param folder: the task's folder; they are written to ``reports/<id>`` below it.
    """
    kept = []
    place = folder / "reports" / str(job_id)
    for report in evaluation.reports:
        try:
            with client.stream(report.call(job_id, caller)) as download:
                chunks, head = iter(download.chunks), b""
                while len(head) < _HEAD and (chunk := next(chunks, b"")):
                    head += chunk
                place.mkdir(parents=True, exist_ok=True)
                path = place / f"{report.name}{_ending(download.reply, head)}"
                with writing(path) as file:
                    file.write(head)
                    for chunk in chunks:
                        file.write(chunk)
        except MiraklNotFoundError as error:
            log.warning("%s Mirakl announced this report, but does not have it.", error)
            continue
        log.info("Archived %s (%s) as %s", report.name, report.code, path)
        kept.append((report, path))
    return kept


def result_of(
    folder: StoragePath,
    jobs: Sequence[Ended],
    id_column: str | None,
    rejected: Iterable[ItemResult] = (),
    *,
    secrets: Collection[str] = (),
) -> dict[str, Any]:
    """The result of a task: the outcome of its jobs, their states and reports. Small enough for XCom.

    Mirakl reports the same result up to three times, and the three may disagree or be incomplete. Which one is used:

    =========  ===================================================  ================================================
    number     first                                                otherwise
    =========  ===================================================  ================================================
    sent       what the task submitted                              the largest of: Mirakl's counts, the items of a
                                                                    report, the failures of a report
    failed     the larger of: Mirakl's count, the failed items of   the lines of a report of failures. Not first,
               a report of items                                    because it may list an item on several lines
    succeeded  Mirakl's count, at most what is left                 the succeeded items of a report
    unknown    the rest: no source mentions them                    -
    =========  ===================================================  ================================================

    A report that cannot be read does not fail a job that did its work: a message says so. The rows of all reports go to
    ``outcome.ndjson``.

    :param folder: the task's folder.
    :param jobs: the jobs.
    :param id_column: the column of error reports that names an item; ``None`` for the usual ones.
    :param rejected: items that were not sent because they are invalid. They count as failed.
    :param secrets: what the result must not show, should a report repeat them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    messages: list[str] = []
    sent = succeeded = failed = rejected_count = 0
    with OutcomeWriter(folder / "outcome.ndjson", secrets=secrets) as writer:
        for item in rejected:
            writer.add(item)
            rejected_count += 1
        failed = rejected_count
        for job in jobs:
            counts, listed, named = job.evaluation.counts, Counter[str](), 0
            for report, path in job.reports:
                if report.lists == "items":
                    for result in read_items(path):
                        writer.add(result)
                        listed[result.status] += 1
                    messages += [fit_to_show(text, secrets) for text in global_errors(path)[:_MESSAGES]]
                elif report.lists == "failures" and is_csv(path.name):
                    rows = Counter[str]()
                    try:
                        for result in read_failures(path, id_column):
                            writer.add(result)
                            rows[result.status] += 1
                        messages += [
                            f"warning on {count:,} lines of {report.name}: {fit_to_show(text, secrets)}"
                            for text, count in read_warnings(path).most_common(3)
                        ]
                    except MiraklInputError as error:
                        messages.append(str(error))
                    named += rows["failed"] if report.certain else 0
            if job.evaluation.phase == "done" and job.evaluation.reason:
                messages.append(f"{job.job_id}: {job.evaluation.reason}")
            items = max(counts.total, listed.total(), named) if job.items is None else job.items
            # A line report may list an item twice, so it is used only if Mirakl counts no failures at all.
            lost = min(items, max(counts.failed, listed["failed"]) or named)
            well = counts.succeeded if counts.total else listed["succeeded"]
            sent += items
            failed += lost
            succeeded += min(well, items - lost)
    outcome = replace(
        writer.outcome,
        sent=sent,
        succeeded=succeeded,
        failed=failed,
        unknown=sent + rejected_count - succeeded - failed,
        job_ids=tuple(str(job.job_id) for job in jobs),
    )
    return outcome.summary() | {
        "states": {str(job.job_id): job.evaluation.state for job in jobs},
        "reports": {
            str(job.job_id): {report.name: str(path) for report, path in job.reports} for job in jobs
        },
        "messages": [message[:SHOWN_LETTERS] for message in messages[:_MESSAGES]],
        "rejects": None,
        "folder": str(folder),
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
    :raises MiraklReplyError: the files are empty, or not in the format of the target; or Mirakl does not list them
        now. Only a complete export without any has no items.
    """
    call = kind.status(job_id, caller)
    status = client.send(call)
    evaluation = evaluate(kind, status)
    urls = evaluation.urls
    if evaluation.phase != "done" or status.get("urls") not in (None, list(urls)):
        raise MiraklReplyError(
            f"{kind.title.capitalize()} {job_id} has ended, but now Mirakl does not list its files "
            f"(status {evaluation.state or 'missing'}); nothing was written, and a retry asks again",
            operation=call.operation.code,
        )
    file = kind.file
    assert file is not None  # noqa: S101 - exports have files
    calls = [file(url, accept=export_type(target_format)) for url in urls]
    items = write_files(client, calls, storage_path(target), target_format, kind.items, kind.columns)
    counted = "CSV, whose rows are not counted," if items is None else f"{items:,} items"
    log.info("Wrote %s: %s from %d files", target, counted, len(urls))
    return {"target": target, "items": items, "files": len(urls)}


def refuse_failed(run: TaskRun, result: dict[str, Any], kind: JobKind, jobs: Sequence[Ended]) -> None:
    """Raise for a job that ended without doing its work.

    :param run: the task's run. Its XCom gets the result before the error is raised, as in :meth:`TaskRun.check_items`.
    :param result: the task's result.
    :raises MiraklJobFailedError: with Mirakl's reason.
    """
    for job in jobs:
        if job.evaluation.phase == "failed":
            run.push_result(result)
            raise MiraklJobFailedError(
                f"{kind.title.capitalize()} {job.job_id} ended {job.evaluation.state}: "
                f"{job.evaluation.reason or 'Mirakl gives no reason'}",
                job_id=str(job.job_id),
                state=job.evaluation.state,
            )


def _ending(reply: Reply, head: bytes) -> str:
    """The extension of a report's file: as Mirakl names it, else by its type, else by its first bytes, else CSV."""
    name = (file_name_of(reply) or "").casefold()
    kind = reply.headers.get("content-type", "")
    for ending in (".csv", ".xlsx", ".xml", ".json", ".txt"):
        if name.endswith(ending):
            return ending
    for word, ending in (("json", ".json"), ("spreadsheet", ".xlsx"), ("xml", ".xml"), ("html", ".html")):
        if word in kind:
            return ending
    for sign, ending in ((b"PK\x03\x04", ".xlsx"), (b"<", ".xml")):
        if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(sign):
            return ending
    return ".csv"
