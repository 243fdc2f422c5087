"""What the three hooks share: a connection becomes a client, and a connection can be tested."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowSkipException, BaseHook

from airflow_provider_mirakl.connection_types import CONNECTION_TYPES
from airflow_provider_mirakl.exceptions import (
    MiraklAuthenticationError,
    MiraklConfigurationError,
    MiraklError,
    MiraklNotFoundError,
    MiraklPermissionError,
    MiraklRateLimitError,
    MiraklReplyError,
    MiraklTransportError,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_mirakl.client.http import AsyncClient, Client
    from airflow_provider_mirakl.client.settings import Settings


class MiraklConnectionDisabledError(MiraklConfigurationError, AirflowSkipException):
    """The connection is disabled. In a task this skips the task; it is Airflow's skip exception too."""


class MiraklBaseHook(BaseHook):
    """An Airflow connection becomes a client.

    Nothing is read and nothing is sent before the client is asked for, so a hook may be made in a Dag file.

    :param conn_id: the Airflow connection.
    """

    conn_name_attr: ClassVar[str]
    default_conn_name: ClassVar[str]
    conn_type: ClassVar[str]
    hook_name: ClassVar[str]

    def __init__(self, conn_id: str) -> None:
        super().__init__()
        self.conn_id = conn_id
        setattr(self, self.conn_name_attr, conn_id)

    @cached_property
    def settings(self) -> Settings:
        """What the connection says, checked. Not to be read on an event loop: see :meth:`get_async_conn`.

        :raises MiraklConnectionDisabledError: the connection is disabled.
        :raises MiraklConfigurationError: with every fault of the connection.
        """
        connection = self.get_connection(self.conn_id)
        return self._read(connection, connection.extra_dejson)

    @cached_property
    def locales(self) -> tuple[str, ...]:
        """The connection's locales, empty where any is accepted."""
        from airflow_provider_mirakl.hooks.connections import read_locales

        connection = self.get_connection(self.conn_id)
        return read_locales(connection, connection.extra_dejson)

    def get_conn(self) -> Client:
        """A client for this connection, to be used as a context manager.

        :raises MiraklConnectionDisabledError: the connection is disabled.
        :raises MiraklConfigurationError: with every fault of the connection.
        """
        from airflow_provider_mirakl._compat import mask_secret
        from airflow_provider_mirakl.client.http import Client

        return Client(self.settings, on_secret=mask_secret)

    async def get_async_conn(self) -> AsyncClient:
        """The same for a trigger, to be used as an async context manager."""
        from airflow.providers.common.compat.connection import get_async_connection

        from airflow_provider_mirakl._compat import amask_secret, read_extra
        from airflow_provider_mirakl.client.http import AsyncClient

        if "settings" not in self.__dict__:
            connection = await get_async_connection(self.conn_id)
            self.settings = self._read(connection, await read_extra(connection))
        return AsyncClient(self.settings, on_secret=amask_secret)

    def test_connection(self) -> tuple[bool, str]:
        """Check the connection without changing anything in Mirakl.

        :return: whether it works, and a word for a person that says what to change where it does not.
        """
        try:
            with self.get_conn() as client:
                return True, self._probe(client)
        except MiraklError as error:
            return False, self._advice(error)

    def _probe(self, client: Client) -> str:
        """Make the cheapest call that proves the credentials; tell what answered."""
        raise NotImplementedError

    def _read(self, connection: Connection, extra: Mapping[str, object]) -> Settings:
        from airflow_provider_mirakl.hooks.connections import is_enabled, read_settings

        if not is_enabled(connection, extra):
            raise MiraklConnectionDisabledError(
                f"Connection {self.conn_id!r} is disabled; set its field enabled to true to use it",
                field="enabled",
            )
        return read_settings(connection, extra, role=self._role, user_agent=_airflow_words())

    @property
    def _role(self) -> str | None:
        return None

    def _advice(self, error: MiraklError) -> str:
        """What to change, for each kind of failure a person can bring about in the form."""
        for kind, advice in self.ADVICE.items():
            if isinstance(error, kind):
                return f"{advice} {error}"
        return str(error)

    ADVICE: ClassVar[dict[type[MiraklError], str]] = {
        MiraklAuthenticationError: "The key is not accepted: it is wrong, expired or revoked. Put a valid one into "
        "the password field.",
        MiraklPermissionError: "The key is valid, but may not do this: check the field role, and the rights of the "
        "key's user in Mirakl.",
        MiraklNotFoundError: "A server answers, but there is no such API at this address: check the host.",
        MiraklReplyError: "A server answers, but not as this API does: check the host.",
        MiraklTransportError: "The server cannot be reached: check host and port, the network, and the proxy.",
        MiraklRateLimitError: "The address answers, but asks to wait: too many calls. Test again later.",
    }

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Airflow before 3.2 looks for these two in the hook's own class, not in its bases.
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


def _airflow_words() -> str:
    from airflow import __version__

    return f"airflow/{__version__}"
