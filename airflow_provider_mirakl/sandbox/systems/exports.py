"""Exports in the background: the one pattern of CM52 to CM54, OF52 to OF54, OR13 to OR15 and TL03 to TL05."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from airflow_provider_mirakl.sandbox.machine.exchange import Exchange
from airflow_provider_mirakl.sandbox.machine.values import parse_date
from airflow_provider_mirakl.sandbox.machine.wire import JSON, ApiError, Problem, Reply, dumps
from airflow_provider_mirakl.sandbox.systems.jobs import File, Job, Jobs

CSV = "text/csv"
CHUNK = 100_000


def _refuse(name: str, message: str) -> ApiError:
    return ApiError(400, f"{name} {message}", problems=[Problem(message, name)])


async def body(exchange: Exchange) -> dict[str, Any]:
    """The JSON body, which may be empty.

    :raises ApiError: 400 if it is not an object.
    """
    if not await exchange.request.body():
        return {}
    document = await exchange.json()
    if not isinstance(document, dict):
        raise ApiError(400, "The body must be an object.")
    return document


def texts(document: dict[str, Any], name: str) -> list[str]:
    """A list of strings.

    :raises ApiError: 400 for anything else.
    """
    values = document.get(name)
    if values is None:
        return []
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise _refuse(name, "must be a list of strings.")
    return values


def date(exchange: Exchange, document: dict[str, Any], name: str) -> float | None:
    """A date as a simulated time.

    :raises ApiError: 400 if it is not a date.
    """
    if document.get(name) is None:
        return None
    stamp = parse_date(document[name])
    if stamp is None:
        raise _refuse(name, "must be an ISO 8601 date-time with an offset.")
    return exchange.machine.clock.at_wall(stamp)


def kind(document: dict[str, Any], default: str) -> str:
    """The format.

    :raises ApiError: 400 for an unknown one.
    """
    found = document.get("export_type") or default
    if found not in (JSON, CSV):
        raise _refuse("export_type", f"must be {JSON} or {CSV}.")
    return str(found)


def chunk(document: dict[str, Any]) -> int:
    """Items per file. A test instance accepts small ones.

    :raises ApiError: 400 if a size is not a positive whole number.
    """
    for name in ("items_per_chunk", "megabytes_per_chunk"):
        value = document.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise _refuse(name, "must be a positive whole number.")
    return int(document.get("items_per_chunk") or CHUNK)


def submit(exchange: Exchange, code: str, data: dict[str, Any], digest: str = "") -> Reply:
    """Start an export; an identical one that still runs is reused, by ``digest``."""
    machine = exchange.machine
    same = exchange.part(Jobs).same(code, digest) if digest else None
    seconds = machine.settings.queue_seconds + machine.settings.run_seconds
    job = same or exchange.part(Jobs).submit(
        exchange, code, [("PENDING", seconds)], "COMPLETED", data, digest=digest
    )
    return Reply.json({"tracking_id": job.id})


def leave_files(job: Job, items: Sequence[Any], write: Callable[[Any], bytes], media_type: str) -> None:
    """Split the result into files; none if it is empty."""
    size = job.data["chunk"]
    ending = "csv" if media_type == CSV else "json"
    for number, start in enumerate(range(0, len(items), size)):
        name = f"{job.kind.lower()}-{number}.{ending}"
        job.files[str(number)] = File(write(items[start : start + size]), media_type, name)


def status(exchange: Exchange, code: str, file_code: str, detail: str) -> Reply:
    """The state of an export.

    :param detail: the key of the error's text, which differs between CM53 and OF53.
    """
    job = exchange.part(Jobs).find(exchange, (code,), exchange.params["tracking_id"])
    answer: dict[str, Any] = {"status": job.status, "last_updated": exchange.machine.clock.iso(job.changed)}
    if job.status == "COMPLETED":
        answer["urls"] = [
            f"{exchange.base_url}/dynamic/{file_code}/{job.id}/{number}" for number in job.files
        ]
    elif job.status == "FAILED":
        answer["error"] = {"code": "EXPORT_FAILED", detail: job.reason}
    return Reply(200, dumps(answer), JSON)


def file(exchange: Exchange, code: str) -> Reply:
    """One file of an export; gone after the time that reports are kept."""
    jobs = exchange.part(Jobs)
    job = jobs.find(exchange, (code,), exchange.params["tracking_id"])
    return jobs.file(job, exchange.params["file"])
