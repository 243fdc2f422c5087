"""The base of the operators that change orders and returns of Mirakl Connect."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, get_args

from airflow.providers.common.compat.sdk import conf

from airflow_provider_mirakl.exceptions import MiraklInputError
from airflow_provider_mirakl.files.paths import folder_below, storage_path
from airflow_provider_mirakl.hooks.conn_ids import CONNECT_DEFAULT
from airflow_provider_mirakl.operators.bases.base import MiraklBaseOperator
from airflow_provider_mirakl.runtime.arguments import (
    Choice,
    Flag,
    Location,
    Maybe,
    Seconds,
    Table,
    Whole,
    stretched,
)
from airflow_provider_mirakl.runtime.choices import FailOrResend
from airflow_provider_mirakl.runtime.connections import OnConnect
from airflow_provider_mirakl.runtime.limits import LimitsFailures
from airflow_provider_mirakl.runtime.task_run import TaskRun, time_left

if TYPE_CHECKING:
    from typing import Unpack

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mirakl.actions.book import Senders
    from airflow_provider_mirakl.actions.rows import Row
    from airflow_provider_mirakl.actions.run import ActionRun
    from airflow_provider_mirakl.actions.table import ActionKind
    from airflow_provider_mirakl.client.http import Client
    from airflow_provider_mirakl.runtime.arguments import (
        FlagArg,
        NumberArg,
        PathArg,
        RowsArg,
        TextArg,
        WholeArg,
    )
    from airflow_provider_mirakl.runtime.signatures import TaskArguments

POLL = "airflow_provider_mirakl.actions.book.actions_ended"
SHORTEST_POLL = 60.0
"""Shortest interval in seconds at which Mirakl permits polling one action."""


@dataclass(slots=True)
class Sending:
    """What the next stay of a task that defers while it sends must know.

    :param began: when its try began.
    :param count: how many actions had been sent or refused before the last wait.
    :param refused_since: when Mirakl first refused to show the next orders.
    """

    began: float | None = None
    count: int = 0
    refused_since: float | None = None


class OrderActionsOperator(LimitsFailures, OnConnect, MiraklBaseOperator):
    """Sends actions on orders or returns, waits for them, and records the result of every row.

    The rows are read and checked before the first call; if one is invalid, all are rejected. Rows of one order become
    one action. What a previous try sent is never sent again, even when the task is cleared or the source has changed:
    the next try continues with the planned rows. If a call was interrupted and it is not known whether Mirakl accepted
    it, the next try checks whether the order shows the action; if not, the task stops with
    ``MiraklUnclearSubmissionError``, and you decide. Trigger another Dag run to send the same rows again.

    :param source: the rows: a list, XCom, or a file (CSV, NDJSON, a JSON array or Parquet; a local path or object
        storage). The operator's own documentation names the columns. Templated.
    :param preview: read, check and log what would be sent, but send nothing.
    :param max_orders: largest number of orders, or returns, of one task. With more the whole source is rejected.
    :param wait_for_completion: wait for the end of the actions. Without it the task ends with the ids, for a sensor.
        Rows that Mirakl refused at once have failed then, too; the others are unknown.
    :param deferrable: wait in the triggerer; default Airflow's ``[operators] default_deferrable``.
    :param poll_interval: seconds between two polls; Mirakl recommends 300 and permits 60 for each action.
    :param timeout: longest wait in seconds, or a timedelta. The actions continue, and a retry waits for them.
    :param max_failures: polls that may fail one after another (5xx, broken connection) before the task fails.
    :param max_failed_items: how many rows may fail without failing the task; ``None`` allows any number.
    :param max_failed_ratio: the share of rows, 0 to 1, that may fail without failing the task.
    :param on_unclear: ``fail``, or ``resend`` after you have checked that the action was not carried out. Templated.
    :param mirakl_connect_conn_id: connection of type ``mirakl_connect``. Templated.
    :param work_folder: folder for plan, ids and outcome, as an object storage path that every worker can access;
        default ``[mirakl] work_folder``. Templated.
    :return: the outcome (``sent``, ``succeeded``, ``failed``, ``unknown``, ``errors``), with ``action_ids``, ``orders``
        and ``folder``; the outcome of each row is in ``outcome.ndjson`` there.
    :raises MiraklInputError: rows are invalid or exceed a limit; no call was made.
    :raises MiraklItemsFailedError: more rows failed than allowed.
    :raises MiraklUnclearSubmissionError: it is not known whether Mirakl accepted an action; you decide.
    """

    action: ClassVar[str]
    """Name of the action in the table of actions."""
    after_failure = "send the failed rows, corrected, in another Dag run; this task would not send them again"
    asset_name = "orders"
    ui_color = "#f3e6d0"
    source = Table()
    preview = Flag()
    max_orders = Whole()
    wait_for_completion = Flag(templated=False)
    deferrable = Flag(templated=False)
    poll_interval = Seconds(above=0, templated=False)
    timeout = Seconds(above=0, templated=False)
    max_failures = Whole(least=0, templated=False)
    on_unclear = Choice[FailOrResend](get_args(FailOrResend))
    work_folder = Maybe(Location())

    def __init__(
        self,
        *,
        source: RowsArg,
        preview: FlagArg = False,
        max_orders: WholeArg = 1000,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float | timedelta = 300.0,
        timeout: float | timedelta = 24 * 3600.0,
        max_failures: int = 5,
        max_failed_items: WholeArg | None = 0,
        max_failed_ratio: NumberArg | None = None,
        on_unclear: FailOrResend | TextArg = "fail",
        mirakl_connect_conn_id: TextArg = CONNECT_DEFAULT,
        work_folder: PathArg | None = None,
        **kwargs: Unpack[TaskArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.preview = preview
        self.max_orders = max_orders
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.timeout = timeout
        self.max_failures = max_failures
        self.max_failed_items = max_failed_items
        self.max_failed_ratio = max_failed_ratio
        self.on_unclear = on_unclear
        self.mirakl_connect_conn_id = mirakl_connect_conn_id
        self.work_folder = work_folder

    @property
    def kind(self) -> ActionKind:
        """The action's entry in the table."""
        from airflow_provider_mirakl.actions.table import ACTIONS

        return ACTIONS[self.action]

    def guard(self, rows: Sequence[Row]) -> None:
        """Reject rows that are valid one by one but exceed a limit together.

        :raises MiraklInputError: they exceed it.
        """

    def execute(self, context: Context) -> dict[str, Any]:
        """Send what has not been sent yet, and wait."""
        self._interval()  # fails on an invalid interval before a call is made
        run = TaskRun(context, self.work_folder, begins=True)
        actions = self._actions(run)
        may_have_lost = run.may_have_lost_work
        actions.begin(
            self._read,
            may_have_sent=may_have_lost and not self.preview and self.on_unclear != "resend",
            is_new=not (may_have_lost and self.preview),
        )
        if self.preview:
            return self._told(run, actions.preview())
        actions.retry_busy()
        return self._carry_out(context, run, actions, Sending(began=run.started))

    def resume_sending(self, context: Context, event: object = None) -> dict[str, Any]:
        """Continue sending, after the wait for the time at which the next orders may be read.

        :raises MiraklUnclearSubmissionError: the notes are missing or out of date.
        """
        if not isinstance(event, Mapping):  # as in resume
            return self.execute(context)
        run = TaskRun(context, self.work_folder, begins=False)
        actions = self._actions(run)
        state = event["state"]
        sending = Sending(**{name: state[name] for name in Sending.__slots__ if name in state})
        # The book is written before the task can leave its first worker. One that is missing now is on the disk of
        # that worker, even if it is still empty: a second book here would let both send.
        actions.begin(self._read, may_have_sent=True, count=sending.count)
        return self._carry_out(context, run, actions, sending)

    def resume(self, context: Context, event: object = None) -> dict[str, Any]:
        """Continue with what the trigger found.

        Airflow resumes without an event when a task is cleared just as it defers: the book knows what was
        sent, so the try begins like any other.
        """
        from airflow_provider_mirakl.triggers.poll import read_event

        if event is None:
            return self.execute(context)
        run = TaskRun(context, self.work_folder, begins=False)
        actions = self._actions(run)
        actions.take_up()
        return self._concluded(run, actions, read_event(event))

    def _actions(self, run: TaskRun) -> ActionRun:
        from airflow_provider_mirakl.actions.book import BOOK
        from airflow_provider_mirakl.actions.run import ActionRun

        return ActionRun(self.kind, run.folder, BOOK.at(run.folder, store=run.memory), storage_path)

    def _read(self) -> list[list[Row]]:
        from airflow_provider_mirakl.actions.run import grouped_rows

        rows = read_rows(self.source)
        if not rows:  # not an error: in many hours there is no order to act on
            self.log.warning("source has no rows, so nothing is sent")
        return grouped_rows(self.kind, rows, self.max_orders, self.guard, storage_path)

    def _senders(self, run: TaskRun, client: Client) -> Senders:
        from airflow_provider_mirakl.actions.book import Senders

        folder = folder_below(self.work_folder, "actions", self.action, client.settings.fingerprint)
        return Senders(folder, run.instance)

    def _carry_out(
        self, context: Context, run: TaskRun, actions: ActionRun, sending: Sending
    ) -> dict[str, Any]:
        """Send, wait and evaluate."""
        with self.hook.get_conn() as client:
            self._send(client, actions, self._senders(run, client), sending)
            context["ti"].xcom_push(key="action_ids", value=actions.action_ids)
            if actions.pending and not self.wait_for_completion:
                return self._checked(run, actions.evaluate())
            found = self._wait(actions, client, sending.began) if actions.pending else None
        return self._concluded(run, actions, found)

    def _send(self, client: Client, actions: ActionRun, senders: Senders, sending: Sending) -> None:
        """Send; a deferrable task leaves the worker until orders may be read again, and after a 429."""
        from airflow_provider_mirakl.api.paging import LONGEST_WAIT
        from airflow_provider_mirakl.api.refusals import Limit
        from airflow_provider_mirakl.exceptions import MiraklNotYetError, MiraklRateLimitError
        from airflow_provider_mirakl.runtime.waiting import SHORTEST_DEFERRAL, postpone

        while True:
            try:
                actions.send(
                    client,
                    senders,
                    resend=self.on_unclear == "resend",
                    patience=SHORTEST_DEFERRAL if self.deferrable else None,
                )
            except (MiraklNotYetError, MiraklRateLimitError) as wait:
                count, planned = actions.progress
                if count != sending.count:  # something was sent since the last wait
                    sending.count, sending.refused_since = count, None
                    self.log.info("%d of %d actions are sent", count, planned)
                # A published interval is not a refusal: it is waited for, however short the timeout is.
                is_refusal = isinstance(wait, MiraklRateLimitError)
                longest = self.timeout if is_refusal else max(self.timeout, LONGEST_WAIT)
                sending.refused_since = postpone(
                    self,
                    wait,
                    since=sending.refused_since,
                    limit=Limit("timeout", longest),
                    state=asdict(sending),
                    resume=self.resume_sending,
                    began=sending.began,
                )
            else:
                return

    # Waiting

    def _interval(self) -> float:
        return stretched(
            "poll_interval",
            self.poll_interval,
            factor=self.hook.settings.interval_factor,
            shortest=SHORTEST_POLL,
            what="an action",
        )

    def _wait(self, actions: ActionRun, client: Client, began: float | None) -> dict[str, Any] | None:
        """Wait until every action has ended, in the triggerer if the task is deferrable."""
        from airflow_provider_mirakl.runtime.waiting import Wait

        wait = Wait(
            poll=POLL,
            arguments={"action_ids": actions.pending, "of": self.kind.of},
            hook=self.hook,
            interval=self._interval(),
            deadline=time.time() + self.timeout,
            max_failures=self.max_failures,
            log=self.log,
            what=f"{len(actions.pending):,} actions",
        )
        if not self.deferrable:
            return wait.to_the_end(client)
        found = wait.once(client)
        if found is None:
            actions.note_ended(wait.notes.get("ended", ()), wait.notes.get("failed", {}))
            self.defer(
                trigger=wait.trigger(began=began, action_ids=actions.pending),
                method_name=self.resume.__name__,
                timeout=wait.backstop(time_left(self.execution_timeout, began)),
            )
        return found

    def _concluded(self, run: TaskRun, actions: ActionRun, found: Mapping[str, Any] | None) -> dict[str, Any]:
        return self._checked(run, actions.conclude(found, self.timeout))

    def _checked(self, run: TaskRun, result: dict[str, Any]) -> dict[str, Any]:
        self.check_items(run, result)
        return self._told(run, result)

    def _told(self, run: TaskRun, result: dict[str, Any]) -> dict[str, Any]:
        run.tell_assets(self, result)
        return result


def read_rows(source: object) -> Sequence[Any]:
    """The rows of an argument: a list as it is, or those of a file.

    :raises MiraklInputError: it is neither, or the file cannot be read.
    """
    from airflow_provider_mirakl.actions.rows import read_file

    if not isinstance(source, Sequence):
        raise MiraklInputError("source must be the path of a file, or a list")
    return read_file(storage_path(source)) if isinstance(source, str) else source
