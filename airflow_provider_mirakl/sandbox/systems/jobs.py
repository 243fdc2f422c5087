"""Asynchronous jobs: one life cycle for imports, synchronizations and exports.

A job has stages. It waits for older jobs of its kind and shop, runs, and ends. Its effects happen when it enters a
stage.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from airflow_provider_mirakl.sandbox.machine.core import Machine, Part
from airflow_provider_mirakl.sandbox.machine.exchange import Exchange
from airflow_provider_mirakl.sandbox.machine.wire import ApiError, Reply

TERMINAL = frozenset({"COMPLETE", "COMPLETED", "FAILED", "CANCELLED", "CANCELED", "TRANSFORMATION_FAILED"})
#: Stages in which the lines are worked on, so that counters grow.
WORKING = frozenset({"RUNNING", "TRANSFORMATION_RUNNING"})


@dataclass(slots=True)
class File:
    """A file produced by a job."""

    body: bytes
    media_type: str
    name: str


@dataclass(slots=True)
class Job:
    """An import, a synchronization or an export.

    :param kind: code of the operation that submitted it.
    :param entry: its entry in the ledger, 0 for none.
    :param data: data of the kind, as JSON.
    :param stages: the statuses that it is to go through.
    """

    id: str
    kind: str
    shop: int | None
    created: float
    status: str
    data: dict[str, Any]
    entry: int = 0
    changed: float = 0.0
    finished: float | None = None
    working: tuple[float, float] = (0.0, 0.0)
    reason: str = ""
    digest: str = ""
    stages: list[str] = field(default_factory=list)
    files: dict[str, File] = field(default_factory=dict)

    @property
    def order(self) -> str:
        """Sorts by age."""
        return f"{self.created:020.6f}|{self.id}"

    def part(self, now: float) -> float:
        """How much of the work is done, 0 to 1."""
        start, end = self.working
        if self.finished is not None or now >= end:
            return 1.0
        return max(0.0, (now - start) / (end - start)) if end > start else 0.0


Stage = tuple[str, float]


class Jobs(Part):
    """All jobs by id."""

    name = "jobs"

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self._number = 2000
        self._busy: dict[str, float] = {}
        self._entering: dict[tuple[str, str], Callable[[Job], None]] = {}
        self.all: dict[str, Job] = {}
        machine.agenda.on("job", self._step)

    def on(self, kind: str, status: str, action: Callable[[Job], None]) -> None:
        """Say what a kind of job does when it enters a stage."""
        self._entering[kind, status] = action

    def number(self) -> str:
        """An id of the kind that is a number."""
        self._number += 1
        return str(self._number)

    def identifier(self) -> str:
        """An id of the kind that is a UUID, the same for the same seed."""
        return str(uuid.UUID(int=self._machine.random.getrandbits(128), version=4))

    def submit(
        self,
        exchange: Exchange,
        kind: str,
        stages: Sequence[Stage],
        end: str,
        data: dict[str, Any],
        entry: int = 0,
        *,
        numbered: bool = False,
        digest: str = "",
    ) -> Job:
        """Take a job: its first stage is the queue, the last status is ``end``."""
        now = self._machine.clock.now()
        stages, end = self._fated(exchange, stages, end)
        job = Job(
            id=self.number() if numbered else self.identifier(),
            kind=kind,
            shop=exchange.shop,
            created=now,
            status=stages[0][0],
            data=data,
            entry=entry,
            changed=now,
            digest=digest,
            stages=[*(status for status, _ in stages), end],
        )
        self.all[job.id] = job
        if exchange.fault("lost"):
            job.working = (float("1e18"), float("1e18"))
            if entry in self._machine.ledger.calls:
                self._machine.ledger.calls[entry].mark_all("lost")
            return job
        queue = f"{kind} {exchange.shop}"
        moment = max(now + stages[0][1], self._busy.get(queue, 0.0))
        for status, seconds in stages[1:]:
            self._plan(moment, job, status)
            if status in WORKING:
                job.working = (moment, moment + seconds)
                self._busy[queue] = moment + seconds
            moment += seconds
        self._plan(moment, job, end)
        if job.working == (0.0, 0.0):
            job.working = (now, moment)
        return job

    def _fated(self, exchange: Exchange, stages: Sequence[Stage], end: str) -> tuple[list[Stage], str]:
        fault = exchange.fault("fail_job")
        if fault is None:
            return list(stages), end
        end = str(fault.options.get("status", "FAILED"))
        last = "TRANSFORMATION_RUNNING" if end == "TRANSFORMATION_FAILED" else "RUNNING"
        kept: list[Stage] = []
        for stage in stages:
            kept.append(stage)
            if stage[0] == last:
                break
        return kept, end

    def _plan(self, moment: float, job: Job, status: str) -> None:
        self._machine.agenda.at(moment, "job", {"id": job.id, "status": status})

    def _step(self, payload: Any) -> None:
        job = self.all.get(payload["id"])
        if job is None or job.finished is not None:
            return
        self.enter(job, payload["status"])

    def enter(self, job: Job, status: str, reason: str = "") -> None:
        """Move a job to a stage now, and do what belongs to it."""
        now = self._machine.clock.now()
        if status.startswith("COMPLETE") and "unreadable" in job.data:  # also if it is moved there by order
            status, reason = "FAILED", job.data["unreadable"]
        job.status = status
        job.changed = now
        if status in TERMINAL:
            job.finished = now
            job.reason = reason or (
                "" if status.startswith("COMPLETE") else f"The job ended {status} by order."
            )
        action = self._entering.get((job.kind, status))
        if action is not None:
            action(job)

    def find(self, exchange: Exchange, kinds: Sequence[str], job_id: str) -> Job:
        """A job that the caller may see.

        :raises ApiError: 404 for an unknown one, or one of another shop.
        """
        job = self.all.get(job_id)
        if job is None or job.kind not in kinds or not _visible(exchange, job):
            raise ApiError(404, f"There is no job {job_id} here.")
        exchange.shop = exchange.shop or job.shop
        return job

    def listed(self, exchange: Exchange, kinds: Sequence[str]) -> list[Job]:
        """The jobs that the caller may see, oldest first."""
        found = [job for job in self.all.values() if job.kind in kinds and _visible(exchange, job)]
        return sorted(found, key=lambda job: job.order)

    def same(self, kind: str, digest: str) -> Job | None:
        """A job of an identical request that has not ended yet."""
        return next(
            (
                job
                for job in self.all.values()
                if job.kind == kind and job.digest == digest and job.finished is None
            ),
            None,
        )

    def file(self, job: Job, name: str) -> Reply:
        """A file of a job.

        :raises ApiError: 404 if it does not exist or has expired.
        """
        found = job.files.get(name)
        if found is None or self.expired(job):
            raise ApiError(404, f"There is no {name.replace('_', ' ')} of the job {job.id}.")
        disposition = f'attachment; filename="{found.name}"'
        return Reply(200, found.body, found.media_type, {"Content-Disposition": disposition})

    def expired(self, job: Job) -> bool:
        """Whether the files of a job are gone."""
        age = self._machine.clock.now() - job.finished if job.finished is not None else 0.0
        return age > self._machine.settings.report_seconds

    def has(self, job: Job, name: str) -> bool:
        """Whether a file can be fetched."""
        return name in job.files and not self.expired(job)

    def reset(self) -> None:
        """Remove all jobs; numbers continue."""
        self.all.clear()
        self._busy.clear()

    def dump(self) -> Any:
        """As JSON, for a restart."""
        jobs = []
        for job in self.all.values():
            row = {**asdict(job), "working": list(job.working)}
            row["files"] = {
                name: [base64.b64encode(file.body).decode(), file.media_type, file.name]
                for name, file in job.files.items()
            }
            jobs.append(row)
        return {"number": self._number, "busy": self._busy, "jobs": jobs}

    def load(self, saved: Any) -> None:
        """Replace the content by that of :meth:`dump`."""
        self._number = saved["number"]
        self._busy = saved["busy"]
        self.all = {}
        for row in saved["jobs"]:
            files = {
                name: File(base64.b64decode(body), kind, title)
                for name, (body, kind, title) in row["files"].items()
            }
            self.all[row["id"]] = Job(**{**row, "files": files, "working": tuple(row["working"])})


def _visible(exchange: Exchange, job: Job) -> bool:
    return exchange.principal.role != "shop" or job.shop == exchange.shop
