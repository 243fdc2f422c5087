"""The operator for everything that has no operator of its own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow_provider_mirakl.api.caller import Role
from airflow_provider_mirakl.exceptions import MiraklConfigurationError
from airflow_provider_mirakl.hooks.mirakl import MiraklHook
from airflow_provider_mirakl.hooks.mirakl_connect import MiraklConnectHook
from airflow_provider_mirakl.operators.bases.base import MiraklBaseOperator
from airflow_provider_mirakl.runtime.arguments import (
    Choice,
    Flag,
    Given,
    Location,
    Mappings,
    Maybe,
    Seconds,
    Text,
)
from airflow_provider_mirakl.runtime.signatures import TaskArguments

if TYPE_CHECKING:
    from typing import Unpack

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mirakl.api.call import Call, Page
    from airflow_provider_mirakl.client.http import Client
    from airflow_provider_mirakl.hooks.base import MiraklBaseHook
    from airflow_provider_mirakl.runtime.arguments import FlagArg, MappingArg, NumberArg, PathArg, TextArg

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
Paging = Literal["offset", "seek"]
MAX_XCOM = 64 * 1024
"""Bytes of a reply that go to XCom; a larger one needs a target."""
READS = ("GET", "HEAD")


class MiraklRequestOperator(MiraklBaseOperator):
    """Call any operation of an instance, or of Mirakl Connect, with the connection's authentication.

    Pacing, retries and errors are those of every other call. A write is sent again only when it surely did not arrive,
    or after a 429, unless ``replay`` says that a second one does no harm.

    :param path: path below the instance, such as ``/api/hierarchies``. Templated.
    :param method: ``GET``, ``POST``, ``PUT``, ``PATCH`` or ``DELETE``.
    :param query: query parameters; a list repeats one. Templated.
    :param body: sent as JSON; a text is sent as it is. Templated.
    :param content_type: of the body.
    :param accept: wanted format of the reply.
    :param paging: ``offset`` (``max``, ``offset``, ``Link`` header) or ``seek`` (``page_token``): read all pages.
    :param items: with ``paging``, the field of a page that holds the items.
    :param target: file to write: a local path or object storage. The reply as it comes; with ``paging`` the items as
        NDJSON. Needed for replies over 64 kB. Templated.
    :param replay: whether the call may be sent twice; default for reads alone.
    :param interval: seconds between two calls that Mirakl publishes for the operation; tasks of one worker process keep
        it.
    :param mirakl_conn_id: connection of type ``mirakl``. Templated.
    :param mirakl_connect_conn_id: instead of it one of type ``mirakl_connect``. Templated.
    :param role: ``shop``, ``operator`` or ``front``; default the connection's own.
    :return: ``status``, and ``body`` (the reply's JSON, or its text), ``items`` (with ``paging``) or ``target`` with
        ``size``.
    :raises MiraklApiError: Mirakl says no.
    """

    path = Text()
    method = Choice[Method](get_args(Method))
    query = Maybe(Mappings())
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
        mirakl_conn_id: TextArg = MiraklHook.default_conn_name,
        mirakl_connect_conn_id: TextArg | None = None,
        role: TextArg | None = None,
        **kwargs: Unpack[TaskArguments],
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

    @cached_property
    def hook(self) -> MiraklBaseHook:
        """The hook of the operator's connection."""
        if self.mirakl_connect_conn_id is not None:
            return MiraklConnectHook(self.mirakl_connect_conn_id)
        return MiraklHook(self.mirakl_conn_id, role=self.role)

    def execute(self, context: Context) -> dict[str, Any]:
        """Call, and keep the reply."""
        self._check()
        with self.hook.get_conn() as client:
            return self._paged(client) if self.paging else self._single(client)

    def _check(self) -> None:
        if not self.path.startswith("/"):
            raise MiraklConfigurationError(
                f"path must begin with a slash, such as /api/hierarchies, not {self.path!r}", field="path"
            )
        if self.paging and (not self.items or self.method != "GET"):
            raise MiraklConfigurationError(
                "paging: needs the method GET, and in items the field that holds a page's items",
                field="paging",
            )

    def _single(self, client: Client) -> dict[str, Any]:
        import json

        call = self._call(parse=lambda reply: reply)
        if self.target is not None:
            from airflow_provider_mirakl.files.paths import storage_path
            from airflow_provider_mirakl.runtime.downloads import writing_target

            size = 0
            with (
                client.stream(call) as download,
                writing_target(storage_path(self.target)) as file,
            ):
                for chunk in download.chunks:
                    file.write(chunk)
                    size += len(chunk)
            return {"status": download.reply.status, "target": self.target, "size": size}
        reply = client.send(call)
        if len(reply.body) > MAX_XCOM:
            raise MiraklConfigurationError(
                f"target: the reply has {len(reply.body):,} bytes, too many for XCom; name a file for it",
                field="target",
            )
        try:
            body: Any = json.loads(reply.body) if reply.body else None
        except ValueError:
            body = reply.body.decode("utf-8", "replace")
        return {"status": reply.status, "body": body}

    def _paged(self, client: Client) -> dict[str, Any]:
        import json

        from airflow_provider_mirakl.files.paths import storage_path
        from airflow_provider_mirakl.runtime.downloads import writing_target

        pages = client.pages(self._call(parse=self._page))
        if self.target is not None:
            count = 0
            with writing_target(storage_path(self.target)) as file:
                for page in pages:
                    for item in page.items:
                        file.write(json.dumps(item, ensure_ascii=False).encode() + b"\n")
                        count += 1
            return {"status": 200, "target": self.target, "items": count}
        items: list[Any] = []
        size = 0
        for page in pages:
            items += page.items
            size += sum(len(json.dumps(item)) for item in page.items)
            if size > MAX_XCOM:
                raise MiraklConfigurationError(
                    f"target: after {len(items):,} items there are too many for XCom; name a file for them",
                    field="target",
                )
        return {"status": 200, "items": items}

    def _page(self, reply: Any) -> Page[Any]:
        from airflow_provider_mirakl.api.paging import offset_page, seek_page

        assert self.items is not None  # noqa: S101 - checked
        if self.paging == "seek":
            return seek_page(reply, self.items, lambda token: self._call(self._page, {"page_token": token}))
        return offset_page(
            reply,
            self.items,
            lambda offset: self._call(self._page, {**self._query, "offset": offset}),
        )

    @property
    def _query(self) -> dict[str, Any]:
        return dict(self.query or {})

    def _call(self, parse: Any, params: Mapping[str, Any] | None = None) -> Call[Any]:
        from airflow_provider_mirakl.api.call import Call, Operation, encode
        from airflow_provider_mirakl.api.call import query as parameters

        method = self.method
        operation = Operation(
            code=f"{method} {self.path.partition('?')[0]}",
            method=method,
            path=self.path,
            replay=method in READS if self.replay is None else self.replay,
            interval=self.interval,
        )
        body = self.body.encode() if isinstance(self.body, str) else self.body
        if body is not None and not isinstance(body, bytes):
            body = encode(body)
        return Call(
            operation,
            parse=parse,
            params=parameters(**self._query if params is None else params),
            body=body,
            content_type=self.content_type,
            accept=self.accept,
        )
