"""The base of the operators that change orders and returns of Mirakl Connect.

Each action is asynchronous. Its intent is noted before the call and its id immediately after it, so that a retry,
a crash or a lost worker never accepts, ships or refunds twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, get_args

from airflow.providers.common.compat.sdk import AirflowFailException, conf

from airflow_provider_mirakl.exceptions import (
    MiraklBadRequestError,
    MiraklError,
    MiraklInputError,
    MiraklJobTimeoutError,
    MiraklNotFoundError,
    MiraklReplyError,
    MiraklServerError,
    MiraklTransportError,
    Problem,
)
from airflow_provider_mirakl.files.paths import folder_below, storage_path
from airflow_provider_mirakl.hooks.conn_ids import CONNECT_DEFAULT
from airflow_provider_mirakl.log_groups import log_lines
from airflow_provider_mirakl.operators.bases.base import MiraklBaseOperator
from airflow_provider_mirakl.runtime.arguments import (
    Choice,
    Flag,
    Location,
    Maybe,
    Number,
    Seconds,
    Table,
    Whole,
    stretched,
)
from airflow_provider_mirakl.runtime.choices import FailOrResend
from airflow_provider_mirakl.runtime.connections import OnConnect
from airflow_provider_mirakl.runtime.task_run import TaskRun, time_left, try_began

if TYPE_CHECKING:
    from typing import Unpack

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mirakl.actions.book import ActionEntry, Content, Senders
    from airflow_provider_mirakl.actions.rows import Row
    from airflow_provider_mirakl.actions.table import ActionKind
    from airflow_provider_mirakl.api.call import Call
    from airflow_provider_mirakl.client.http import Client
    from airflow_provider_mirakl.files.notes import Note
    from airflow_provider_mirakl.runtime.arguments import (
        FlagArg,
        NumberArg,
        PathArg,
        RowsArg,
        TextArg,
        WholeArg,
    )
    from airflow_provider_mirakl.runtime.signatures import TaskArguments
    from airflow_provider_mirakl.runtime.waiting import Wait


POLL = "airflow_provider_mirakl.actions.book.actions_ended"
SHORTEST_POLL = 60.0
"""Shortest interval in seconds at which Mirakl permits polling one action."""
BATCH = 100
"""Orders that are read at once: one page of v2-listOrders."""
T = TypeVar("T")


class OrderActionsOperator(OnConnect, MiraklBaseOperator):
    """Sends actions on orders or returns, waits for them, and records the result of every row.

    The rows are read and checked before the first call; if one is invalid, all are rejected. Rows of one order become
    one action. What a previous try sent is never sent again, even when the task is cleared or the source has changed:
    the next try continues with the planned rows. If a call was interrupted and it is not known whether Mirakl accepted
    it, the next try checks whether the order shows the action; if not, the task stops with ``AirflowFailException``,
    and you decide. Trigger another Dag run to send the same rows again.

    :param source: the rows: a list, XCom, or a file (CSV, NDJSON, a JSON array or Parquet; a local path or object
        storage). The operator's own documentation names the columns. Templated.
    :param preview: read, check and log what would be sent, but send nothing.
    :param max_orders: largest number of orders, or returns, of one task. With more the whole source is rejected.
    :param wait_for_completion: wait for the end of the actions. Without it the task ends with the ids, for a sensor.
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
    :raises AirflowFailException: it is not known whether Mirakl accepted an action; you decide.
    """

    action: ClassVar[str]
    """Name of the action in the table of actions."""
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
    max_failed_items = Maybe(Whole(least=0))
    max_failed_ratio = Maybe(Number(least=0, most=1))
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

    def call(self, group: list[Row]) -> Call[str]:
        """The call of one action."""
        return self.kind.call(group)

    def looked_up(
        self, client: Client, entity_ids: Sequence[str], since: float
    ) -> Iterator[Mapping[str, Any]]:
        """Orders or returns among which are those of these ids, as Mirakl shows them now.

        :param entity_ids: at most :data:`BATCH`.
        :param since: a time, in seconds since the epoch, after which the actions were sent.
        """
        from airflow_provider_mirakl.api.orders import list_orders
        from airflow_provider_mirakl.api.returns import list_returns

        if self.kind.key == "order_id":
            first: Any = list_orders(order_ids=entity_ids)
        else:  # returns cannot be filtered by id; those changed since the intent come first
            first = list_returns(updated_from=datetime.fromtimestamp(since, UTC) - timedelta(hours=1))
        for page in client.pages(first):
            yield from page.items

    def execute(self, context: Context) -> dict[str, Any]:
        """Send what has not been sent yet, and wait."""
        self._interval()  # fails on an invalid interval before a call is made
        run = TaskRun(context, self.work_folder, begins=True)
        note, book = self._opened(run, context)
        groups = self._planned(run, note, book)
        if self.preview:
            return self._previewed(run, groups)
        with self.hook.get_conn() as client:
            senders = self._senders(run, client)
            self._clear_up(client, senders, note, book, groups)
            self._send(context, client, senders, note, book, groups)
            pending = _pending(book)
            if pending and not self.wait_for_completion:
                result = {"action_ids": _ids(book), "orders": len(groups), "folder": str(run.folder)}
                run.tell_assets(self, result)
                return result
            if pending:
                wait = self._wait(pending, time.time() + self.timeout)
                found = wait.once(client) if self.deferrable else wait.to_the_end(client)
                if found is None and self.deferrable:
                    self._defer(context, run, wait)
                self._ended(note, book, found)
        return self._concluded(run, book, groups)

    def resume(self, context: Context, event: object = None) -> dict[str, Any]:
        """Continue with what the trigger found.

        Airflow resumes without an event when a task is cleared just as it defers: the book knows what was
        sent, so the try begins like any other.
        """
        from airflow_provider_mirakl.actions.book import read_plan
        from airflow_provider_mirakl.triggers.poll import read_event

        if event is None:
            return self.execute(context)
        run = TaskRun(context, self.work_folder, begins=False)
        note = self._note(run)
        book = note.read()
        groups = None if book is None else read_plan(run.folder, book.plan)
        if book is None or groups is None:
            raise AirflowFailException(_lost(run))
        self._ended(note, book, read_event(event))
        return self._concluded(run, book, groups)

    # Planning

    def _note(self, run: TaskRun) -> Note[Content]:
        from airflow_provider_mirakl.actions.book import BOOK

        return BOOK.at(run.folder, store=run.memory)

    def _opened(self, run: TaskRun, context: Context) -> tuple[Note[Content], Content]:
        """The book, written before anything else, so that a lost book differs from none."""
        from airflow_provider_mirakl.actions.book import Content

        note = self._note(run)
        book = note.read()
        if book is None:
            if context["ti"].try_number > 1 and not self.preview and self.on_unclear == "fail":
                raise AirflowFailException(_lost(run))
            book = Content()
            note.write(book)
        return note, book

    def _planned(self, run: TaskRun, note: Note[Content], book: Content) -> list[list[Row]]:
        """The rows of each action: those of a previous try if it sent any."""
        from airflow_provider_mirakl.actions.book import plan_hash, read_plan, write_plan

        kept = read_plan(run.folder, book.plan) if book.entries else None
        if kept is not None:
            self.log.info(
                "Continuing with the rows that a previous try planned; it sent %d actions", len(book.entries)
            )
            return kept
        groups = self._read()
        if book.entries and plan_hash(groups) != book.plan:
            raise AirflowFailException(
                f"A previous try sent {len(book.entries)} actions for other rows, and its plan in {run.folder} is "
                "missing. Check which orders were changed, and send the others in another Dag run"
            )
        write_plan(run.folder, groups)
        book.plan = plan_hash(groups)
        note.write(book)
        return groups

    def _read(self) -> list[list[Row]]:
        """Read and check the rows.

        :raises MiraklInputError: a row is invalid, or there are too many.
        """
        from airflow_provider_mirakl.actions.rows import checked

        kind = self.kind
        rows = checked(read_rows(self.source), kind.columns, kind.wrong)
        if doubles := list(kind.doubles(rows)):
            raise MiraklInputError(
                f"source contains {', '.join(doubles[:10])} more than once; no call was made. Merge them into one row"
            )
        groups = kind.grouped(rows)
        entities = len({row[kind.key] for row in rows})
        if entities > self.max_orders:
            raise MiraklInputError(
                f"source contains {entities:,} orders or returns, but max_orders allows {self.max_orders:,}; no call "
                "was made. Raise max_orders if that many are intended"
            )
        self.guard(rows)
        problems = []
        for (
            group
        ) in groups:  # build every call before the first one is made: building it finds the remaining errors
            try:
                self.call(group)
            except MiraklInputError as error:
                problems.append(Problem(f"{self.kind.item_id(group[0])}: {error}"))
        if problems:
            raise MiraklInputError(f"{len(problems)} actions cannot be sent; no call was made", problems)
        return groups

    def _previewed(self, run: TaskRun, groups: list[list[Row]]) -> dict[str, Any]:
        from airflow_provider_mirakl.outcome import Outcome

        log_lines(
            self.log.info,
            f"Preview: {len(groups):,} actions, {sum(map(len, groups)):,} rows; nothing was sent",
            [f"{self.kind.title} of {', '.join(map(self.kind.item_id, group))}" for group in groups],
        )
        result = Outcome().summary() | {
            "planned": sum(map(len, groups)),
            "orders": len(groups),
            "folder": str(run.folder),
        }
        run.tell_assets(self, result)
        return result

    # Sending

    def _clear_up(
        self,
        client: Client,
        senders: Senders,
        note: Note[Content],
        book: Content,
        groups: list[list[Row]],
    ) -> None:
        """Check whether the orders show uncertain actions, and drop those that were certainly not carried out.

        :raises AirflowFailException: an order does not show the action; you decide.
        """
        from airflow_provider_mirakl.actions.book import BUSY

        for place in [place for place, entry in book.entries.items() if entry.phase == "failed"]:
            if book.entries[place].code in BUSY:
                del book.entries[place]
        unclear = [(place, entry) for place, entry in book.entries.items() if entry.phase == "intent"]
        left = []
        for some in _batches(unclear):
            ids = sorted({groups[int(place)][0][self.kind.key] for place, _ in some})
            shown = self._shown(client, ids, min(entry.at for _, entry in some))
            for place, entry in some:
                entity_id = groups[int(place)][0][self.kind.key]
                doubt = self._doubt(senders, shown.get(entity_id), place, book, groups)
                if doubt is None:
                    self.log.warning("%s shows that its %s was carried out", entity_id, self.kind.title)
                    entry.phase = "done"
                elif self.on_unclear == "resend":
                    del book.entries[place]
                else:
                    left.append(f"{entity_id} ({doubt})")
        note.write(book)
        if left:
            raise AirflowFailException(
                f"It is not known whether Mirakl received the {self.kind.title} of {', '.join(left)}. Check it in "
                "Mirakl Connect: if it was carried out, or will be, clear the task later; if it was not, clear the "
                "task with on_unclear='resend'. Accepted actions are not sent again"
            )

    def _shown(self, client: Client, entity_ids: Sequence[str], since: float) -> dict[str, dict[str, Any]]:
        """The listed ones, by id. No page is read after the last expected one."""
        found: dict[str, dict[str, Any]] = {}
        for one in self.looked_up(client, entity_ids, since):
            if one.get("id") in entity_ids:
                found[str(one["id"])] = dict(one)
                if len(found) == len(entity_ids):
                    break
        return found

    def _doubt(
        self,
        senders: Senders,
        found: dict[str, Any] | None,
        place: str,
        book: Content,
        groups: list[list[Row]],
    ) -> str | None:
        """Why an order or a return does not prove that an action was carried out; ``None`` when it does."""
        from airflow_provider_mirakl.actions.table import is_proven

        kind, entry, group = self.kind, book.entries[place], groups[int(place)]
        if found is None:
            return "it is not listed"
        after = kind.marked(found, group)
        if not all(after):
            return "it does not show yet"
        if not kind.adds:
            return None
        ours = [
            mark
            for other in book.entries
            if other != place and groups[int(other)][0][kind.key] == group[0][kind.key]
            for marks in kind.marked(found, groups[int(other)])
            for mark in marks
        ]
        if not is_proven(entry.before, after, ours):
            return "there is an equal one, which may be older or from another task"
        if senders.others(group[0][kind.key], entry.at):
            return "one shows, and another task sent its own for the same order"
        return None

    def _senders(self, run: TaskRun, client: Client) -> Senders:
        from airflow_provider_mirakl.actions.book import Senders

        folder = folder_below(self.work_folder, "actions", self.action, client.settings.fingerprint)
        return Senders(folder, run.instance)

    def _send(
        self,
        context: Context,
        client: Client,
        senders: Senders,
        note: Note[Content],
        book: Content,
        groups: list[list[Row]],
    ) -> None:
        """Send what was not sent.

        If an action adds something, its orders are read first: only then can a later try determine what this action has
        added from what was there before.
        """
        from airflow_provider_mirakl.actions.book import ActionEntry

        kind = self.kind
        for some in _batches([index for index in range(len(groups)) if str(index) not in book.entries]):
            ids = sorted({groups[index][0][kind.key] for index in some})
            shown = self._shown(client, ids, time.time()) if kind.adds else {}
            for index in some:
                group = groups[index]
                found = shown.get(group[0][kind.key])
                before = None if found is None else kind.marked(found, group)
                entry = ActionEntry(time.time(), before=before)
                if kind.adds:
                    senders.note(group[0][kind.key], entry.at)
                self._send_one(client, note, book, group, str(index), entry)
        context["ti"].xcom_push(key="action_ids", value=_ids(book))

    def _send_one(
        self,
        client: Client,
        note: Note[Content],
        book: Content,
        group: list[Row],
        place: str,
        entry: ActionEntry,
    ) -> None:
        name = group[0][self.kind.key]
        book.entries[place] = entry
        note.write(book)
        try:
            entry.action_id = client.send(self.call(group))
            entry.phase = "submitted"
        except (MiraklBadRequestError, MiraklNotFoundError) as refusal:
            entry.phase = "failed"
            entry.code = refusal.code or str(refusal.status)
            entry.message = str(refusal)[:200]
            self.log.warning("%s", refusal)
        except (MiraklServerError, MiraklTransportError, MiraklReplyError) as error:
            if error.surely_not_done:
                del book.entries[place]
                note.write(book)
            raise
        except MiraklError:
            del book.entries[place]
            note.write(book)
            raise
        if entry.action_id is not None:  # log it first: if the disk is full, the note cannot keep the id
            self.log.info("The %s of %s is action %s", self.kind.title, name, entry.action_id)
        note.write(book)

    # Waiting

    def _interval(self) -> float:
        return stretched(
            "poll_interval",
            self.poll_interval,
            factor=self.hook.settings.interval_factor,
            shortest=SHORTEST_POLL,
            what="an action",
        )

    def _wait(self, action_ids: list[str], deadline: float) -> Wait:
        from airflow_provider_mirakl.runtime.waiting import Wait

        return Wait(
            poll=POLL,
            arguments={"action_ids": action_ids, "of": self.kind.of},
            hook=self.hook,
            interval=self._interval(),
            deadline=deadline,
            max_failures=self.max_failures,
            log=self.log,
            what=f"{len(action_ids):,} actions",
        )

    def _defer(self, context: Context, run: TaskRun, wait: Wait) -> None:
        ended = wait.notes.get("ended", ())
        left = [action_id for action_id in wait.arguments["action_ids"] if action_id not in ended]
        self._keep(run, wait.notes)
        began = try_began(context)
        self.defer(
            trigger=wait.trigger(began=began, action_ids=left),
            method_name=self.resume.__name__,
            timeout=wait.backstop(time_left(self.execution_timeout, began)),
        )

    def _keep(self, run: TaskRun, notes: Mapping[str, Any]) -> None:
        """Note the actions that ended before the others."""
        note = self._note(run)
        if (book := note.read()) is not None and notes.get("ended"):
            _note_ended(book, notes["ended"], notes["failed"])
            note.write(book)

    def _ended(self, note: Note[Content], book: Content, found: Mapping[str, Any] | None) -> None:
        """Note how the actions ended.

        :raises MiraklJobTimeoutError: they did not end in time.
        """
        if found is None:
            pending = _pending(book)
            raise MiraklJobTimeoutError(
                f"{len(pending)} actions did not end within {self.timeout:,.0f} s; they continue in Mirakl, and a "
                "retry waits for them",
                job_ids=pending,
            )
        _note_ended(book, _pending(book), found["failed"])
        note.write(book)

    def _concluded(self, run: TaskRun, book: Content, groups: list[list[Row]]) -> dict[str, Any]:
        from airflow_provider_mirakl.outcome import ItemResult, OutcomeWriter

        with OutcomeWriter(run.folder / "outcome.ndjson", job_ids=_ids(book)) as writer:
            for index, group in enumerate(groups):
                entry = book.entries[str(index)]
                status: Literal["succeeded", "failed"] = "succeeded" if entry.phase == "done" else "failed"
                for row in group:
                    writer.add(ItemResult(self.kind.item_id(row), status, entry.code, entry.message))
        result = writer.outcome.summary() | {
            "action_ids": _ids(book),
            "orders": len(groups),
            "folder": str(run.folder),
        }
        run.check_items(result, self.max_failed_items, self.max_failed_ratio, self.log)
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


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + BATCH] for start in range(0, len(items), BATCH))


def _pending(book: Content) -> list[str]:
    return [
        entry.action_id for entry in book.entries.values() if entry.phase == "submitted" and entry.action_id
    ]


def _ids(book: Content) -> list[str]:
    return [entry.action_id for entry in book.entries.values() if entry.action_id]


def _note_ended(book: Content, ended: Sequence[str] | set[str], failed: Mapping[str, Any]) -> None:
    for entry in book.entries.values():
        if entry.phase == "submitted" and entry.action_id in ended:
            reason = failed.get(entry.action_id or "")
            entry.phase = "done" if reason is None else "failed"
            entry.code, entry.message = reason or (None, None)


def _lost(run: TaskRun) -> str:
    return (
        f"A previous try may have sent actions, and its notes in {run.folder} are missing. Check in Mirakl Connect "
        "which orders were changed, and that every worker can access [mirakl] work_folder. If nothing was sent, "
        "clear the task with on_unclear='resend'"
    )
