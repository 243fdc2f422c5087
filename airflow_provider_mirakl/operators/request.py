"""The operator for operations that do not have their own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow_provider_mirakl.api.values import Role, numeric_id
from airflow_provider_mirakl.exceptions import (
    MiraklConfigurationError,
    MiraklError,
    MiraklUnclearSubmissionError,
)
from airflow_provider_mirakl.files.paths import storage_path
from airflow_provider_mirakl.hooks.conn_ids import MIRAKL_DEFAULT
from airflow_provider_mirakl.hooks.mirakl import MiraklHook
from airflow_provider_mirakl.hooks.mirakl_connect import MiraklConnectHook
from airflow_provider_mirakl.operators.bases.paced import PacedOperator
from airflow_provider_mirakl.runtime.arguments import (
    Choice,
    Flag,
    Given,
    Id,
    Location,
    Maybe,
    Query,
    Seconds,
    Text,
    read_caller,
)
from airflow_provider_mirakl.runtime.task_run import TaskRun

if TYPE_CHECKING:
    from typing import Unpack

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mirakl.api.call import Call, Page, Reply
    from airflow_provider_mirakl.client.http import Client
    from airflow_provider_mirakl.files.notes import Note
    from airflow_provider_mirakl.hooks.base import MiraklBaseHook
    from airflow_provider_mirakl.jobs.requests import PagesWork, Written
    from airflow_provider_mirakl.runtime.arguments import (
        FlagArg,
        MappingArg,
        NumberArg,
        PathArg,
        TextArg,
        WholeArg,
    )
    from airflow_provider_mirakl.runtime.signatures import PacedArguments
    from airflow_provider_mirakl.triggers.places import Here

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
Paging = Literal["offset", "seek"]
MAX_XCOM = 64 * 1024
"""Largest reply in bytes that goes to XCom; a larger one needs a target."""
USUAL_PAGE = 10
"""Items of a page of a listing by offset, where ``max`` is not set."""
READS = ("GET", "HEAD")


class _Method(Choice[Method]):
    """An HTTP method, in upper or lower case."""

    def convert(self, value: object) -> Method:
        return super().convert(value.upper() if isinstance(value, str) else value)


class MiraklRequestOperator(PacedOperator):
    """Call any operation of an instance, or of Mirakl Connect, with the connection's authentication.

    Retries and errors work as for every other call. Set ``interval`` to keep the operation's call frequency.

    A write is sent once. It is noted in the work folder before the call; if it is not known whether Mirakl accepted it,
    a retry stops with ``MiraklUnclearSubmissionError``, and you decide. Before Airflow 3.3, a retry on another disk,
    where the note is missing, stops too. ``replay=True`` declares that sending it twice is harmless; clearing the task
    sends it again.

    With ``paging`` every page is read and kept; a retry continues with the first unread page. With ``interval`` too,
    a deferrable task waits in the triggerer between the pages.

    :param path: path below the instance, such as ``/api/hierarchies``.
    :param method: ``GET``, ``HEAD``, ``POST``, ``PUT``, ``PATCH`` or ``DELETE``.
    :param query: query parameters; a list repeats one.
    :param body: sent as JSON; a string is sent unchanged.
    :param content_type: of the body.
    :param accept: requested format of the reply.
    :param paging: ``offset`` (``max``, ``offset``, ``Link`` header) or ``seek`` (``page_token``): read all pages.
    :param items: with ``paging``: the field of a page that contains the items.
    :param target: file to write: a local path or object storage. It receives the reply unchanged; with ``paging`` the
        items as NDJSON. Required for replies over 64 kB.
    :param replay: whether the call may be sent twice; default true for reads only.
    :param interval: seconds between two calls that Mirakl publishes for the operation; the tasks of a worker process
        share it. The connection's ``interval_factor`` stretches it.
    :param mirakl_conn_id: connection of type ``mirakl``.
    :param mirakl_connect_conn_id: one of type ``mirakl_connect`` instead.
    :param role: ``shop``, ``operator`` or ``front``; default the connection's own.
    :param shop_id: the shop of a seller with several shops, sent as ``shop_id`` in the query unless ``query`` has one;
        default the connection's own. The operator and the front office set the shop in ``path`` or ``query``, under
        the name that the operation uses.
    :param deferrable: with ``paging``: wait in the triggerer between pages; default Airflow's
        ``[operators] default_deferrable``.
    :param max_failures: with ``paging``: pages that may fail one after another (5xx, broken connection).
    :param refused_timeout: with ``paging``: longest time in seconds during which Mirakl may answer only 429.
    :param work_folder: folder for pages and notes, as an object storage path that every worker can access; default
        ``[mirakl] work_folder``, else ``mirakl`` below ``AIRFLOW_HOME``.
    :return: ``status``, ``folder``, and ``body``: the reply's JSON, or its text; with ``paging`` the list of items, and
        ``items``, their number. With ``target``: ``target`` and its ``size`` instead of ``body``.
    :raises MiraklConfigurationError: arguments are invalid; no call was made.
    :raises MiraklApiError: Mirakl rejected the call.
    :raises MiraklUnclearSubmissionError: a previous try may have sent the write.
    """

    path = Text()
    method = _Method(get_args(Method))
    query = Maybe(Query())
    body = Given()
    content_type = Text()
    accept = Text()
    paging = Maybe(Choice[Paging](get_args(Paging)))
    items = Maybe(Text())
    target = Maybe(Location())
    replay = Maybe(Flag())
    interval = Seconds(least=0)
    mirakl_conn_id = Text()
    mirakl_connect_conn_id = Maybe(Text())
    role = Maybe(Choice(get_args(Role)))
    shop_id = Maybe(Id())

    def __init__(
        self,
        *,
        path: TextArg,
        method: Method | TextArg = "GET",
        query: MappingArg | None = None,
        body: Any = None,
        content_type: TextArg = "application/json",
        accept: TextArg = "application/json",
        paging: Paging | TextArg | None = None,
        items: TextArg | None = None,
        target: PathArg | None = None,
        replay: FlagArg | None = None,
        interval: NumberArg | timedelta = 0.0,
        mirakl_conn_id: TextArg = MIRAKL_DEFAULT,
        mirakl_connect_conn_id: TextArg | None = None,
        role: TextArg | None = None,
        shop_id: WholeArg | None = None,
        **kwargs: Unpack[PacedArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.path = path
        self.method = method
        self.query = query
        self.body = body
        self.content_type = content_type
        self.accept = accept
        self.paging = paging
        self.items = items
        self.target = target
        self.replay = replay
        self.interval = interval
        self.mirakl_conn_id = mirakl_conn_id
        self.mirakl_connect_conn_id = mirakl_connect_conn_id
        self.role = role
        self.shop_id = shop_id

    @cached_property
    def hook(self) -> MiraklBaseHook:
        """The hook of the operator's connection."""
        if self.mirakl_connect_conn_id is not None:
            return MiraklConnectHook(self.mirakl_connect_conn_id)
        return MiraklHook(self.mirakl_conn_id, role=self.role)

    def execute(self, context: Context) -> dict[str, Any]:
        """Make the call, and keep the reply."""
        if self.paging:
            self._check()
            return super().execute(context)
        run = TaskRun(context, self.work_folder, begins=True)
        note = None if self._may_repeat else self._begun(run)  # before anything may fail
        self._check()
        with self.hook.get_conn() as client, self._noted(note):
            result = self._single(client)
        return result | {"folder": str(run.folder)}

    def _check(self) -> None:
        if not self.path.startswith("/"):
            raise MiraklConfigurationError(
                f"path must begin with a slash, such as /api/hierarchies, not {self.path!r}", field="path"
            )
        if self.paging and (not self.items or self.method != "GET"):
            raise MiraklConfigurationError(
                "paging needs method GET, and items set to the field that contains a page's items",
                field="paging",
            )
        _ = self._query

    def _begun(self, run: TaskRun) -> Note[Written]:
        """The note of a call that must not be sent twice.

        :raises MiraklUnclearSubmissionError: a previous try may have sent it.
        """
        from airflow_provider_mirakl.jobs.requests import WRITTEN, Written

        note = WRITTEN.at(run.folder, generation=run.generation, store=run.memory)
        written = note.read()
        if written is None and run.may_have_lost_notes:
            raise MiraklUnclearSubmissionError(
                f"It is not known whether a previous try sent {self._name}: this is a retry, and the note of that try "
                f"is not in {run.folder}, because it ran on another disk or ended before it could write one. This try "
                "sent nothing. Check in Mirakl whether it was done; if not, clear the task to send it. If sending it "
                "twice is harmless, set replay=True. To avoid this, set [mirakl] work_folder to storage that every "
                "worker can access",
                operation=self._name,
                final=True,
            )
        if written is None:  # tells a retry that nothing was sent
            note.write(Written("unsent", datetime.now(UTC)))
        elif written.phase not in ("unsent", "refused"):
            known = "was answered" if written.phase == "answered" else "may have reached Mirakl"
            raise MiraklUnclearSubmissionError(
                f"{self._name} of a previous try at {written.at:%H:%M:%S} UTC {known}, so it is not sent again. Check "
                "in Mirakl what it changed. Clear the task to send it again, or set replay=True if sending it twice is "
                "harmless",
                operation=self._name,
                final=True,
            )
        return note

    @contextmanager
    def _noted(self, note: Note[Written] | None) -> Iterator[None]:
        """Make a call, and note how far it came.

        :param note: ``None`` if the call may be repeated.
        """
        from airflow_provider_mirakl.jobs.requests import Written

        if note is None:
            yield
            return
        note.write(Written("intent", datetime.now(UTC)))
        try:
            yield
        except MiraklError as error:
            if error.surely_not_done:
                note.write(Written("refused", datetime.now(UTC)))
            raise
        note.write(Written("answered", datetime.now(UTC)))

    @property
    def _may_repeat(self) -> bool:
        return self.method in READS if self.replay is None else self.replay

    def _single(self, client: Client) -> dict[str, Any]:
        call = self._call(lambda reply: reply)
        if self.target is not None:
            from airflow_provider_mirakl.runtime.downloads import writing_target

            size = 0
            with client.stream(call) as download, writing_target(storage_path(self.target)) as file:
                for chunk in download.chunks:
                    file.write(chunk)
                    size += len(chunk)
            return {"status": download.reply.status, "target": self.target, "size": size}
        reply = client.send(call)
        if len(reply.body) > MAX_XCOM:
            raise MiraklConfigurationError(
                f"target must be set to a file: the reply has {len(reply.body):,} bytes, too many for XCom",
                field="target",
            )
        try:
            body: Any = json.loads(reply.body) if reply.body else None
        except (ValueError, RecursionError):
            body = reply.body.decode("utf-8", "replace")
        return {"status": reply.status, "body": body}

    # Paging

    def prepare(self, run: TaskRun) -> Here | None:
        """Continue with the next page; ``None`` once all are read."""
        from airflow_provider_mirakl.triggers.places import Here

        work = self._work(run)
        return None if work.listed.finished else Here(work)

    def conclude(self, run: TaskRun) -> dict[str, Any]:
        """The items, or the file that contains them."""
        work = self._work(run)
        result = {"status": 200, "items": work.listed.items, "folder": str(run.folder)}
        if self.target is not None:
            return result | {"target": self.target, "size": work.listed.size}
        if work.listed.size > MAX_XCOM:
            raise MiraklConfigurationError(
                f"target must be set to a file: {work.listed.items:,} items are too many for XCom",
                field="target",
            )
        return result | {"body": work.items()}

    def _work(self, run: TaskRun) -> PagesWork:
        from airflow_provider_mirakl.api.call import query
        from airflow_provider_mirakl.jobs.requests import LISTED, PagesWork

        return PagesWork(
            list(query(**self._query)),
            self._page_call,
            # Only with its pages: it is worthless without them, and the query of the next page may name a customer,
            # so it must not get into a trigger or Airflow's task state.
            LISTED.at(run.folder, generation=run.generation),
            run.folder,
            None if self.target is None else storage_path(self.target),
        )

    def _page_call(self, params: Iterable[tuple[str, str]]) -> Call[Page[Any]]:
        from airflow_provider_mirakl.api.call import query
        from airflow_provider_mirakl.api.paging import offset_page, seek_page

        asked, items = list(params), str(self.items)  # a parameter may occur more than once
        others = [(name, value) for name, value in asked if name != "offset"]

        def parse(reply: Reply) -> Page[Any]:
            if self.paging == "seek":  # the token carries the other parameters
                return seek_page(
                    reply,
                    items,
                    lambda token: self._page_call(query(page_token=token)),
                    page_token=dict(asked).get("page_token"),
                )
            return offset_page(
                reply,
                items,
                lambda offset: self._page_call([*others, ("offset", str(offset))]),
                offset=numeric_id(dict(asked).get("offset")) or 0,
                page_size=numeric_id(dict(asked).get("max")) or USUAL_PAGE,
            )

        return self._call(parse, asked)

    # The call

    @property
    def _name(self) -> str:
        return f"{self.method} {self.path.partition('?')[0]}"

    @property
    def _query(self) -> dict[str, Any]:
        """The query, with the seller's shop.

        :raises MiraklConfigurationError: ``shop_id`` is set, but the key is not a seller's.
        """
        given = dict(self.query or {})
        seller = None
        if isinstance(self.hook, MiraklHook):
            caller = read_caller(self.hook, self.shop_id)
            seller = caller.shop_id if caller.role == "shop" else None
        if self.shop_id is not None and seller is None:
            raise MiraklConfigurationError(
                "shop_id must be left out with this connection: only a seller's key takes it for every operation; "
                "set the shop in path or query, under the name that the operation uses",
                field="shop_id",
            )
        return given if seller is None else {"shop_id": seller} | given

    def _call(
        self, parse: Callable[[Reply], Any], params: Iterable[tuple[str, str]] | None = None
    ) -> Call[Any]:
        from airflow_provider_mirakl.api.call import Call, Operation, encode, query

        operation = Operation(
            code=self._name,
            method=self.method,
            path=self.path,
            replay=self._may_repeat,
            interval=self.interval,
        )
        body = self.body.encode() if isinstance(self.body, str) else self.body
        if body is not None and not isinstance(body, bytes):
            body = encode(body)
        return Call(
            operation,
            parse=parse,
            params=query(**self._query) if params is None else tuple(params),
            body=body,
            content_type=self.content_type,
            accept=self.accept,
        )
