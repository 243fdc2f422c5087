"""Base of the three hooks: makes a client from a connection, and tests a connection."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from airflow import __version__
from airflow.providers.common.compat.sdk import AirflowNotFoundException, AirflowSkipException, BaseHook

from airflow_provider_mirakl._compat import amask_secret, mask_secret, read_extra
from airflow_provider_mirakl.connection_types import CONNECTION_TYPES
from airflow_provider_mirakl.exceptions import (
    MiraklAuthenticationError,
    MiraklConfigurationError,
    MiraklError,
    words_of,
)
from airflow_provider_mirakl.hooks.metrics import AirflowMeter

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_mirakl.api.call import Call, Page
    from airflow_provider_mirakl.client.http import AsyncClient, Client
    from airflow_provider_mirakl.client.settings import Settings
    from airflow_provider_mirakl.hooks.connections import ConnectionReader, ConnectionValues


T = TypeVar("T")

TEST_TIMEOUT = 15.0
"""Seconds that a test of the connection waits for a reply; a user is watching."""
TEST_CONNECT_TIMEOUT = 5.0
"""Seconds that it waits to connect."""


class MiraklConnectionDisabledError(MiraklConfigurationError, AirflowSkipException):
    """The connection is disabled. In a task this skips the task; it is Airflow's skip exception too."""


class MiraklBaseHook(BaseHook):
    """An Airflow connection becomes a client.

    Nothing is read or sent until the client is requested, so a Dag file may create a hook.

    :param conn_id: the Airflow connection.
    """

    conn_name_attr: ClassVar[str]
    default_conn_name: ClassVar[str]
    conn_type: ClassVar[str]
    hook_name: ClassVar[str]

    role: str | None = None
    """Whose key is wanted, ``None`` for the connection's own."""

    def __init__(self, conn_id: str) -> None:
        super().__init__()
        self.conn_id = conn_id
        setattr(self, self.conn_name_attr, conn_id)

    @cached_property
    def values(self) -> ConnectionValues:
        """The checked values of the connection. Do not read them on an event loop: see :meth:`get_async_conn`.

        :raises MiraklConnectionDisabledError: the connection is disabled.
        :raises MiraklConfigurationError: with every problem of the connection.
        """
        with existing(self.conn_id, repr(self.conn_type), self.conn_name_attr):
            connection = self.get_connection(self.conn_id)
        extra = connection.extra_dejson
        for secret in _secrets(connection, extra):
            mask_secret(secret)
        return self._read(connection, extra)

    @property
    def settings(self) -> Settings:
        """The client's settings. See :attr:`values`."""
        return self.values.settings

    @property
    def locales(self) -> tuple[str, ...]:
        """The connection's locales, empty where any is accepted. See :attr:`values`."""
        return self.values.locales

    def get_conn(self) -> Client:
        """A client for this connection, to be used as a context manager.

        :raises MiraklConnectionDisabledError: the connection is disabled.
        :raises MiraklConfigurationError: with every problem of the connection.
        """
        return self._client(self.settings)

    def send(self, call: Call[T]) -> T:
        """Send one call, such as one of :mod:`airflow_provider_mirakl.api`, and return its result.

        Keeps Mirakl's published intervals inside this process, and retries calls that may be repeated.

        :param call: what to send.
        :raises MiraklError: as for the client; see :doc:`/client`.
        """
        with self.get_conn() as client:
            return client.send(call)

    def items(self, call: Call[Page[T]]) -> Iterator[T]:
        """Everything in a listing, page by page, at the published pace.

        :param call: a listing's first page.
        :raises MiraklError: as for the client; see :doc:`/client`.
        """
        with self.get_conn() as client:
            for page in client.pages(call):
                yield from page.items

    async def get_async_conn(self) -> AsyncClient:
        """The same for a trigger, to be used as an async context manager.

        Afterwards :attr:`values` may be read on the event loop too.
        """
        await self.aread()

        def make() -> AsyncClient:
            from airflow_provider_mirakl.client.http import AsyncClient

            return AsyncClient(self.settings, on_secret=amask_secret, meter=AirflowMeter(self.conn_id))

        # Importing httpx and reading the certificates take long enough to delay every other trigger.
        return await asyncio.to_thread(make)

    async def aread(self) -> None:
        """Read the connection on an event loop, unless already read. See :attr:`values` for what it raises."""
        from airflow.providers.common.compat.connection import get_async_connection

        if "values" not in self.__dict__:
            with existing(self.conn_id, repr(self.conn_type), self.conn_name_attr):
                connection = await get_async_connection(self.conn_id)
            extra = await read_extra(connection)
            for secret in _secrets(connection, extra):
                await amask_secret(secret)
            self.values = self._read(connection, extra)

    def test_connection(self) -> tuple[bool, str]:
        """Check the connection without changing anything in Mirakl.

        :return: whether it works, and a message that says what to change if it does not.
        """
        from airflow_provider_mirakl.hooks.advice import advice, hide

        words, hook = [], self
        try:
            for hook in self._one_per_key():
                with hook._impatient_client() as client:
                    words.append(hook._probe(client))
        except MiraklError as error:
            of_key = isinstance(error, MiraklAuthenticationError)
            said = advice(error, self.conn_type, hook.values.key_field if of_key else "")
            # Airflow's form tests under an id that it makes up.
            name = f"Connection {self.conn_id!r}"
            said = said.removeprefix(f"{name} cannot be used: ").replace(name, "The connection")
            return False, hide(self._known_secrets(), said)
        # What answers may not be Mirakl, and repeat what it was sent.
        return True, hide(self._known_secrets(), " ".join(words))

    def _known_secrets(self) -> list[str]:
        """The secrets of the connection; none if it cannot be read."""
        try:
            connection = self.get_connection(self.conn_id)
        except AirflowNotFoundException:
            return []
        return _secrets(connection, connection.extra_dejson)

    def _one_per_key(self) -> Sequence[MiraklBaseHook]:
        """A hook for every key of the connection."""
        return [self]

    def _probe(self, client: Client) -> str:
        """Make the cheapest call that proves the credentials; describe what answered."""
        raise NotImplementedError

    def _client(self, settings: Settings) -> Client:
        from airflow_provider_mirakl.client.http import Client

        return Client(settings, on_secret=mask_secret, meter=AirflowMeter(self.conn_id))

    def _impatient_client(self) -> Client:
        """A client for interactive use: one try, short timeouts."""
        return self._client(
            dataclasses.replace(
                self.settings,
                max_attempts=1,
                max_wait=0.0,
                timeout=min(self.settings.timeout, TEST_TIMEOUT),
                connect_timeout=TEST_CONNECT_TIMEOUT,
            )
        )

    def _read(self, connection: Connection, extra: Mapping[str, object]) -> ConnectionValues:
        from airflow_provider_mirakl.hooks.connections import ConnectionReader, read_connection

        reader = ConnectionReader(connection, extra)
        self._check_usable(reader)
        return read_connection(reader, role=self.role, user_agent=_airflow_words())

    def _check_usable(self, reader: ConnectionReader) -> None:
        if reader.conn_type != self.conn_type:
            reader.wrong(
                "conn_type", f"is {reader.conn_type!r}; here a connection of type {self.conn_type} is needed"
            )
        elif not reader.flag("enabled", True):
            disabled = f"Connection {self.conn_id!r} is disabled; set its field enabled to true to use it"
            self.log.warning(disabled)  # Airflow skips the task without a message
            raise MiraklConnectionDisabledError(disabled, field="enabled")
        reader.check()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Airflow before 3.2 searches for these two in the hook's own class, not in its bases.
        cls.get_connection_form_widgets = MiraklBaseHook.__dict__["get_connection_form_widgets"]  # type: ignore[method-assign]
        cls.get_ui_field_behaviour = MiraklBaseHook.__dict__["get_ui_field_behaviour"]  # type: ignore[method-assign]

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """The extra fields of the form, for Airflow before 3.2."""
        from airflow_provider_mirakl.hooks.forms import widgets

        return widgets(CONNECTION_TYPES[cls.conn_type]["conn-fields"])

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Labels and placeholders of the form, for Airflow before 3.2."""
        behaviour = CONNECTION_TYPES[cls.conn_type]["ui-field-behaviour"]
        return {name.replace("-", "_"): value for name, value in behaviour.items()}


def _secrets(connection: Connection, extra: Mapping[str, object]) -> list[str]:
    from airflow_provider_mirakl.hooks.connections import secrets_of

    return secrets_of(connection, extra)


def _airflow_words() -> str:
    return f"airflow/{__version__}"


@contextmanager
def existing(conn_id: str, conn_type: str, field: str) -> Iterator[None]:
    """Turn Airflow's word for a connection that is not there into one of this package's.

    :param conn_id: the connection.
    :param conn_type: the type that it must have, for the message.
    :param field: the argument that names it.
    """
    try:
        yield
    except AirflowNotFoundException:
        name = f"AIRFLOW_CONN_{conn_id.upper()}"
        if name in os.environ:  # some versions of Airflow skip what they cannot read
            raise MiraklConfigurationError(
                f"Connection {conn_id!r} cannot be used: Airflow skips {name}, because it cannot read it. Its extra "
                "must be a JSON object, its port a number, and its other values text. In a connection URI, write the "
                "characters / ? # @ : [ ] of a key as %2F %3F %23 %40 %3A %5B %5D",
                field="extra",
                conn_id=conn_id,
            ) from None
        raise MiraklConfigurationError(
            f"Connection {conn_id!r} does not exist; create one of type {conn_type} under Admin > Connections, or set "
            f"{name}",
            field=field,
        ) from None


def hook_of(conn_id: str, *, role: str | None = None) -> MiraklBaseHook:
    """The hook that fits a connection's type.

    :param conn_id: connection of type ``mirakl``, ``mirakl_connect`` or ``djust``.
    :param role: for ``mirakl``: whose key is wanted.
    :raises MiraklConfigurationError: the connection does not exist, or is of another type.
    """
    with existing(conn_id, words_of(tuple(CONNECTION_TYPES)), "conn_id"):
        conn_type = MiraklBaseHook.get_connection(conn_id).conn_type
    if conn_type not in CONNECTION_TYPES:
        raise MiraklConfigurationError(
            f"Connection {conn_id!r} cannot be used: conn_type: is {conn_type!r}; "
            f"select one of {', '.join(CONNECTION_TYPES)}",
            field="conn_type",
            conn_id=conn_id,
        )
    module, _, name = CONNECTION_TYPES[conn_type]["hook-class-name"].rpartition(".")
    hook: MiraklBaseHook = getattr(import_module(module), name)(conn_id)
    hook.role = role
    return hook
