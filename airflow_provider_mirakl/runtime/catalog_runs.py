"""What the operators of the catalog of Mirakl Connect do while they run: plan, continue, read, tell the outcome."""

from __future__ import annotations

from typing import Any, Protocol

from airflow_provider_mirakl.catalog.ledger import Ledger, resume
from airflow_provider_mirakl.catalog.plan import PLAN_FILE, Plan
from airflow_provider_mirakl.catalog.reading import plans_in
from airflow_provider_mirakl.catalog.rejects import commonest
from airflow_provider_mirakl.catalog.sync import SyncPlan, is_planned
from airflow_provider_mirakl.catalog.verify import Verifier
from airflow_provider_mirakl.catalog.work import ListWork, VerifyWork
from airflow_provider_mirakl.exceptions import MiraklItemsFailedError, counted
from airflow_provider_mirakl.files.paths import path_or_data, storage_path
from airflow_provider_mirakl.files.storage import StoragePath
from airflow_provider_mirakl.hooks.base import MiraklBaseHook
from airflow_provider_mirakl.outcome import FailurePolicy, Outcome
from airflow_provider_mirakl.runtime.downloads import ready_target
from airflow_provider_mirakl.runtime.explaining import rejection
from airflow_provider_mirakl.runtime.task_run import TaskRun
from airflow_provider_mirakl.triggers.places import Place, open_plan, open_sync, place_of


class SendTask(Protocol):
    """What is needed of an operator that sends products."""

    may_continue: bool

    @property
    def source(self) -> Any: ...
    @property
    def preview(self) -> bool: ...
    @property
    def max_failed_items(self) -> int | None: ...
    @property
    def max_failed_ratio(self) -> float | None: ...
    @property
    def hook(self) -> MiraklBaseHook: ...
    @property
    def log(self) -> Any: ...


class PlanTask(SendTask, Protocol):
    """An operator that sends one plan."""

    def plan(self, source: Any, folder: StoragePath) -> Plan: ...


class SyncTask(SendTask, Protocol):
    """An operator that sends what differs from a state."""

    def plan(self, source: Any, run: TaskRun) -> SyncPlan: ...
    def state_folder(self, run: TaskRun) -> StoragePath: ...


def prepare_plan(task: PlanTask, run: TaskRun) -> Place | None:
    """Plan, or find the plan of a previous try."""
    interval = 60.0 * task.hook.settings.interval_factor
    ledger = resume(run.folder, generation=run.generation, store=run.memory)
    if ledger is None:
        plan = task.plan(path_or_data(task.source), run.folder)
        task.log.info("Plan: %s", plan.describe(interval))
        check_rejects(task, run, plan)
        ledger = Ledger.open(plan, generation=run.generation, store=run.memory)
    elif ledger.chunk is not None:
        note_continuing(task, run, ledger, interval)
    if task.preview or ledger.chunk is None:
        return None
    return place_of(open_plan, folder=str(run.folder), generation=run.generation)


def conclude_plan(task: PlanTask, run: TaskRun) -> dict[str, Any]:
    """The outcome of sending, or of a preview."""
    plan = Plan.load(run.folder)
    summary = {"planned": plan.products, "rejected": plan.rejected, "folder": str(run.folder)}
    if task.preview:
        task.log.info("Preview: nothing was sent; the plan is in %s", run.folder)
        return Outcome().summary() | summary
    outcome = Outcome(sent=plan.products, unknown=plan.products)
    task.log.info("Outcome: %s (accepted, not yet verified)", outcome)
    return outcome.summary() | summary


def prepare_sync(task: SyncTask, run: TaskRun) -> Place | None:
    """Compare source and state, or find the plan of a previous try: upserts first, then deletes."""
    interval = 60.0 * task.hook.settings.interval_factor
    if not is_planned(run.folder, generation=run.generation, store=run.memory):
        sync = task.plan(path_or_data(task.source), run)
        task.may_continue = False
        for line in sync.describe(interval).splitlines():
            task.log.info("Plan: %s", line)
        check_rejects(task, run, sync.upsert)
    else:
        sync = SyncPlan.load(run.folder, task.state_folder(run))
        sync.state.require_begun()
        sync.state.check_owner(task.hook.settings.owner)
    ledgers = sync.ledgers(generation=run.generation, store=run.memory)
    due = next((ledger for ledger in ledgers if ledger.chunk is not None), None)
    if due is None or task.preview:
        return None
    if any(ledger.accepted for ledger in ledgers):
        note_continuing(task, run, due, interval)
    return place_of(
        open_sync, folder=str(run.folder), generation=run.generation, state=str(task.state_folder(run))
    )


def conclude_sync(task: SyncTask, run: TaskRun) -> dict[str, Any]:
    """What was sent, and what did not need to be sent."""
    sync = SyncPlan.load(run.folder, task.state_folder(run))
    ledgers = sync.ledgers(generation=run.generation, store=run.memory)
    upserts, deletes = (ledger.plan.products + ledger.earlier for ledger in ledgers)
    unchanged = max(0, sync.unchanged - ledgers[0].earlier)  # a plan made again knows them as unchanged
    numbers = {"unchanged": unchanged, "kept": sync.kept, "rejected": sync.upsert.rejected}
    place = {"folder": str(run.folder)}
    if task.preview:
        task.log.info("Preview: nothing was sent; the plan is in %s", run.folder)
        return Outcome().summary() | {"upserted": 0, "deleted": 0} | numbers | place
    outcome = Outcome(sent=upserts + deletes, unknown=upserts + deletes)
    task.log.info(
        "Outcome: %s (accepted, not yet verified); %s upserted, %s deleted, %s unchanged",
        outcome,
        f"{upserts:,}",
        f"{deletes:,}",
        f"{unchanged:,}",
    )
    return outcome.summary() | {"upserted": upserts, "deleted": deletes} | numbers | place


def list_work(run: TaskRun, target: str) -> ListWork:
    """The walk through the whole catalog, to a file."""
    return ListWork(ready_target(target), run.folder, generation=run.generation)


def verify_work(
    run: TaskRun, submitted: StoragePath, sample: int | None, rounds: int, pause: float
) -> VerifyWork:
    """The rounds that read the catalog back.

    :param submitted: the folder of what was sent.
    """
    return VerifyWork(
        [Verifier(plan, sample=sample, folder=run.reader) for plan in plans_in(submitted)],
        run.folder,
        generation=run.generation,
        rounds=rounds,
        pause=pause,
    )


def check_rejects(task: SendTask, run: TaskRun, plan: Plan) -> None:
    """Log what was rejected, and fail before the first call when more was rejected than is allowed.

    :param run: the task's run. The counts and the path of the rejects go to its XCom before the error is raised.
    :raises MiraklItemsFailedError: more rows were rejected than ``max_failed_items`` and ``max_failed_ratio``
        allow, or all of them.
    """
    if plan.rejects is None:
        return
    errors = commonest(plan.rejects)
    task.log.warning(
        "%s",
        rejection(f"{plan.rejected:,} of {counted(plan.rows, 'row')} rejected", errors, plan.rejects),
    )
    if task.preview:
        return
    outcome = Outcome(
        sent=plan.rows, failed=plan.rejected, unknown=plan.rows - plan.rejected, errors=errors,
        rows=(str(plan.rejects),),
    )  # fmt: skip
    most = task.max_failed_items
    if most is None and task.max_failed_ratio is not None:
        most = 0
    try:
        if plan.rejected == plan.rows:
            raise MiraklItemsFailedError(
                f"every row of the source was rejected ({plan.rows:,}), and nothing was sent; see {plan.rejects}",
                outcome={},
            )
        FailurePolicy(most, task.max_failed_ratio).check(outcome)
    except MiraklItemsFailedError as error:
        error.outcome = outcome.summary() | {
            "planned": plan.products,
            "rejected": plan.rejected,
            "rejects": str(plan.rejects),
            "folder": str(run.folder),
        }
        run.push_result(error.outcome)
        raise


def note_continuing(task: SendTask, run: TaskRun, ledger: Ledger, interval: float) -> None:
    """Log where a later try begins, and whether the source has changed since it was planned.

    Only size and time are compared, so continuing costs the same however large the file is.
    """
    if not run.begins or not task.may_continue:
        return
    task.may_continue = False
    task.log.info("Continuing the plan in %s: %s", run.folder, ledger.describe(interval))
    if not isinstance(task.source, str):
        return
    try:
        now = storage_path(task.source).stat()
        planned = (ledger.plan.folder / PLAN_FILE).stat().st_mtime
        changed = now.st_size != ledger.plan.source.size or now.st_mtime > planned
    except FileNotFoundError:
        changed = True
    if changed:
        task.log.warning(
            "%s changed since it was planned. This run sends what it planned and none of the new content; "
            "clear the task to send the new content.",
            task.source,
        )
